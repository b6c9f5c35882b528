import { Cutoff } from "./cutoff.ts";
import type { LongCall } from "./cutoff.ts";
import type { Database } from "./database.ts";
import { NacreError } from "./errors.ts";
import type { Place } from "./estimate.ts";
import { Link } from "./link.ts";
import { isMarked, mark } from "./marker.ts";
import type { OpenOptions } from "./open.ts";
import { databaseOn } from "./remote.ts";
import type { Wanted } from "./serving.ts";
import { findModule, startWorker } from "./start.ts";
import { Tab } from "./tab.ts";
import { NAMES, TIMES } from "./tabs.ts";
import { browser } from "./world.ts";

/** A database that this realm has open, or is about to. */
interface Entry {
  readonly options: OpenOptions;
  readonly link: Promise<Link>;
  opened: Link | undefined;
  /** Calls of open() that wait for it; the last one gives back the handle that it was made with. */
  waiting: number;
  held: boolean;
}

/**
 * The databases that this realm has open: on globalThis, for a program that is loaded again
 * (hot reloading) brings another copy of this module, and means the same databases.
 */
const REGISTRY = Symbol.for("nacre.databases");

function registry(): Map<string, Entry> {
  const holder = globalThis as { [REGISTRY]?: Map<string, Entry> };
  return holder[REGISTRY] ??= new Map<string, Entry>();
}

/** UNSUPPORTED where the browser, or how the page was loaded, leaves no safe way. */
function checkPlace(name: string): void {
  const missing = (what: string): NacreError => new NacreError("UNSUPPORTED", `open: ${name}: ${what}`);
  if (globalThis.isSecureContext === false) throw missing("only secure pages (https:, or localhost) are given files and locks by browsers; this one is not");
  if (typeof navigator === "undefined" || (navigator as { locks?: unknown }).locks === undefined || typeof BroadcastChannel === "undefined") {
    throw missing("this browser has no Web Locks or no BroadcastChannel, without which two tabs would spoil each other's work");
  }
}

/** `open` of a name in a browser: the files belong to one tab's worker, which serves all. */
export async function openShared(name: string, options: OpenOptions, limits: LongCall, inline: boolean): Promise<Database> {
  checkPlace(name);
  const key = `${options.mode === "readonly" ? "r" : "w"}:${name}`, entries = registry();
  const known = entries.get(key), first = known === undefined || known.opened?.closed === true;
  const entry = first ? enter(key, name, options, limits, inline) : known;
  if (!first) agree(name, entry.options, options);
  const cutoff = new Cutoff({ signal: limits.signal, timeoutMs: first ? undefined : limits.timeoutMs ?? TIMES.open }, `open: ${name}`);
  entry.waiting++;
  try {
    return databaseOn((await cutoff.race(entry.link)).retain(), name);
  } finally {
    cutoff.end();
    if (--entry.waiting === 0 && entry.held) {
      entry.held = false;
      entry.link.then((link) => link.release()).catch(() => {});
    }
  }
}

function enter(key: string, name: string, options: OpenOptions, limits: LongCall, inline: boolean): Entry {
  const entries = registry();
  const leave = (): void => {
    if (entries.get(key) === entry) entries.delete(key);
  };
  const link = connect(name, options, limits, inline, leave);
  const entry: Entry = { options, link, opened: undefined, waiting: 0, held: true };
  entries.set(key, entry);
  link.then((open) => entry.opened = open, leave);
  return entry;
}

/** What a second handle asks for must be what the first one has. */
function agree(name: string, has: OpenOptions, wants: OpenOptions): void {
  if (wants.mode === "create" || wants.from !== undefined) throw new NacreError("EXISTS", `${name} exists, and is open already`);
  const defaults: OpenOptions = { durability: "strict", memory: 64 * 2 ** 20 };
  for (const option of ["durability", "memory", "checkpointMs"] as const) {
    const is = has[option] ?? defaults[option];
    if (wants[option] !== undefined && wants[option] !== is) throw new NacreError("MISUSE", `${name}: open in this page already, with ${option} ${is}`);
  }
}

async function connect(name: string, options: OpenOptions, limits: LongCall, inline: boolean, leave: () => void): Promise<Link> {
  const { wasm, marker = "cookie", signal: _signal, timeoutMs = TIMES.open, ...rest } = { ...options, ...limits };
  const module = findModule(wasm, inline);
  module.catch(() => {}); // `start` tells
  const page = typeof document === "undefined" ? undefined : document;
  const tab = await Tab.open({
    name, world: browser, client: clientId(), timeoutMs,
    visible: page === undefined || page.visibilityState === "visible",
    options: { options: rest, marked: page !== undefined && isMarked(name) } satisfies Wanted,
    start: async (job) => startWorker(job, await module, inline),
  });
  if (page !== undefined && tab.backend !== "memory") mark(name, marker);
  const ends = page === undefined ? (): void => {} : follow(tab, page);
  const close = tab.close.bind(tab);
  tab.close = () => {
    ends();
    leave();
    return close();
  };
  const link = new Link(tab, name, options.mode === "readonly");
  link.place = async () => ({ backend: tab.backend as Place["backend"], role: tab.role, tabs: await tabsOf(name) });
  return link;
}

/** How many workers have the database open. */
export async function tabsOf(name: string): Promise<number> {
  const { held = [] } = await navigator.locks.query();
  return held.filter((lock) => lock.name?.startsWith(NAMES.client(name, ""))).length;
}

function clientId(): string {
  let id = "";
  for (const byte of crypto.getRandomValues(new Uint8Array(16))) id += byte.toString(16).padStart(2, "0");
  return id;
}

/** What happens to the page happens to its worker. */
function follow(tab: Tab, page: Document): () => void {
  const sleep = (): void => tab.sleep(), wake = (): void => tab.wake();
  const see = (): void => {
    if (page.visibilityState === "visible") tab.wake();
    tab.see(page.visibilityState === "visible");
  };
  const events: [EventTarget, string, () => void][] = [
    [window, "pagehide", sleep], [page, "freeze", sleep], [window, "pageshow", wake], [page, "resume", wake], [page, "visibilitychange", see]];
  for (const [target, type, listener] of events) target.addEventListener(type, listener);
  return () => {
    for (const [target, type, listener] of events) target.removeEventListener(type, listener);
  };
}
