import type { Backend } from "./estimate.ts";
import { invalid, NacreError, shown } from "./errors.ts";
import type { FilesHost } from "./host-files.ts";
import { isInIdb, openIdb } from "./host-idb.ts";
import { MemoryHost } from "./host-memory.ts";
import { evicted, isInOpfs, openOpfs } from "./host-opfs.ts";
import { Canary } from "./marker.ts";
import { openIn } from "./open.ts";
import type { OpenOptions } from "./open.ts";
import type { Store } from "./store.ts";

export type BrowserBackend = Exclude<Backend, "file">;

const NAME_MAX = 180; // bytes: the names of its files are longer, and must fit everywhere

/** INVALID_ARGUMENT unless a database in a browser may have this name. */
export function checkBrowserName(name: string): void {
  const bytes = new TextEncoder().encode(name).length;
  if (bytes > NAME_MAX) throw invalid(`open: the name ${shown(name)} has ${bytes} bytes, of at most ${NAME_MAX}`);
  if (/[/\\\u0000-\u001f\u007f]/.test(name) || name === "." || name === "..") throw invalid(`open: in a browser ${shown(name)} cannot be a name: no slashes, no control characters`);
}

/** A database that is open in a browser. */
export interface Stored {
  readonly store: Store;
  readonly backend: BrowserBackend;
  /** Why it is not where "auto" looks first. */
  readonly instead: string | undefined;
  /**
   * Resolves when nothing goes any more, if ever. EVICTED: the data is gone. Anything else: what was
   * acknowledged is there, and opening it once more finds it.
   */
  readonly lost: Promise<NacreError>;
}

/** What is known of the place of a database before anything is opened. */
interface Found {
  readonly backend: BrowserBackend;
  readonly there: boolean;
  readonly instead: string | undefined;
}

async function look(name: string, storage: "auto" | BrowserBackend): Promise<Found> {
  if (storage === "memory") return { backend: "memory", there: false, instead: undefined };
  if (storage === "indexeddb") return { backend: "indexeddb", there: await isInIdb(name), instead: undefined };
  if (storage === "opfs") return { backend: "opfs", there: await isInOpfs(name), instead: undefined };
  let instead: string | undefined;
  try {
    if (await isInOpfs(name)) return { backend: "opfs", there: true, instead };
  } catch (error) {
    if (!(error instanceof NacreError) || error.code !== "UNSUPPORTED") throw error;
    instead = error.message;
  }
  if (await isInIdb(name)) return { backend: "indexeddb", there: true, instead: instead ?? "it was made in IndexedDB" };
  if (instead === undefined) return { backend: "opfs", there: false, instead };
  if (typeof indexedDB !== "undefined") return { backend: "indexeddb", there: false, instead };
  throw new NacreError("UNSUPPORTED", `${name}: neither the OPFS nor IndexedDB is to be had here; storage "memory" keeps it as long as this page`);
}

/**
 * Opens a database where it is, or makes it: in the OPFS, else in IndexedDB, in memory only when
 * that is asked for. Only whoever holds the database's lock may call this.
 *
 * @param marked Whether the page has a mark of the database.
 * @throws NacreError EVICTED: it was made here once, and is gone; only mode "create" begins anew.
 */
export async function openStored(name: string, options: OpenOptions, marked: boolean): Promise<Stored> {
  checkBrowserName(name);
  const { mode = "readwrite", storage = "auto" } = options;
  const { backend, there, instead } = await look(name, storage);
  if (backend === "memory") return { store: await openIn(new MemoryHost(), ":memory:", options), backend, instead, lost: new Promise(() => {}) };
  const canary = typeof indexedDB === "undefined" ? undefined : new Canary(name);
  try {
    if (!there && mode !== "create") {
      const made = await canary?.read().catch(() => undefined); // no answer: the page's marks have to do
      if (made === "opfs" && storage === "auto" && backend !== "opfs") throw new NacreError("IO", `${instead}, and that is where it was made`);
      if (marked || made !== undefined) throw evicted(name);
      if (mode !== "readwrite") throw new NacreError("NOT_FOUND", `${name}: there is no such database`);
    }
    const host: FilesHost = backend === "opfs" ? await openOpfs(name, { create: !there, memory: options.memory }) : await openIdb(name, { create: !there });
    let lose = (_why: NacreError): void => {};
    const lost = new Promise<NacreError>((resolve) => lose = resolve);
    const store = await openIn(host, name, options, () => canary?.close());
    void host.whenLost.then((why) => (canary?.close(), lose(why)));
    store.place = { ...store.place, backend };
    if (canary !== undefined) await watch(host, canary, name, backend);
    return { store, backend, instead, lost };
  } catch (error) {
    canary?.close();
    throw error;
  }
}

/** Marks the database, and has the mark looked for when its connection closes. */
async function watch(host: FilesHost, canary: Canary, name: string, backend: string): Promise<void> {
  try {
    await canary.make(backend);
  } catch { /* no room for it, or no IndexedDB in this window: the page's marks and the files' names remain */ }
  canary.onsuspicion = () => host.suspect(async () => {
    if (await canary.read() === undefined) throw evicted(name);
  });
}
