import { LOCK, MODE } from "./abi.gen.ts";
import { checkDecryption, checkUntil, feed, feedSync, report, sources } from "./backup.ts";
import type { BackupReport, BackupSource, BackupSourceSync } from "./backup.ts";
import { Cutoff, longCall } from "./cutoff.ts";
import type { LongCall } from "./cutoff.ts";
import { Database } from "./database.ts";
import { checkWasmSource, Engine, loadModule, loadModuleSync } from "./engine.ts";
import type { EngineOptions, Until as EngineUntil, WasmModule, WasmSource } from "./engine.ts";
import { checkOptions, invalid, NacreError, shown } from "./errors.ts";
import type { Host } from "./host.ts";
import { MemoryHost } from "./host-memory.ts";
import { NodeHost } from "./host-node.ts";
import { NodeLock, processLines, removeDeadPins } from "./lock-node.ts";
import { builtin, isNode } from "./node.ts";
import { readRepair } from "./report.ts";
import type { RepairReport } from "./report.ts";
import { copyKey, sameKey } from "./secret.ts";
import { openShared } from "./shared.ts";
import { findModule } from "./start.ts";
import { DURABILITIES, Store } from "./store.ts";
import type { Durability } from "./store.ts";
import { DatabaseSync } from "./sync.ts";

export type Mode = "readwrite" | "existing" | "create" | "readonly";

export interface OpenOptions {
  /** "readwrite" creates when missing; "existing": NOT_FOUND; "create": EXISTS when there; "readonly". */
  mode?: Mode | undefined;
  /** "strict", the default, syncs before it acknowledges; "relaxed" within 200 ms; "none" leaves it to the system. */
  durability?: Durability | undefined;
  /** Budget in bytes for caches, memtables and indexes together; 64 MiB when absent. */
  memory?: number | undefined;
  /**
   * How much of what was committed `changes()` can still give: at least so many bytes, once
   * there are so many, and one log more. What the logs hold when absent.
   */
  changes?: { retain: number } | undefined;
  /**
   * Rows that have been in the log for so many milliseconds go to segments, piece by piece, so that
   * the log stays short; by size only when absent.
   */
  checkpointMs?: number | undefined;
  /**
   * A backup, or what `export()` gave: the content of a database that does not exist yet (EXISTS
   * when it does).
   */
  from?: BackupSource | undefined;
  /**
   * Encrypts everything in the files with a key of 32 bytes, which is copied. Without it, or with
   * another one, opening is PERMISSION; whoever loses it has lost the database.
   */
  encryption?: { key: Uint8Array } | undefined;
  /**
   * In a browser: where the files are. "auto" is where they were made, else the OPFS, else
   * IndexedDB, never memory.
   */
  storage?: "auto" | "opfs" | "indexeddb" | "memory" | undefined;
  /**
   * In a browser: how an eviction is told from a first visit. "storage" sets no cookie, and cannot
   * tell in Firefox.
   */
  marker?: "cookie" | "storage" | undefined;
  /** Engines: 1 is the only number supported yet. */
  shards?: 1 | undefined;
  /** Where the WebAssembly module comes from; beside this package when absent. */
  wasm?: WasmSource | undefined;
  /** In a browser: opening ends with ABORTED when it fires. */
  signal?: AbortSignal | undefined;
  /** In a browser: opening ends with BUSY or TIMEOUT after so long; 10 000 when absent. */
  timeoutMs?: number | undefined;
}

export interface OpenSyncOptions extends Omit<OpenOptions, "from" | "signal" | "timeoutMs"> {
  from?: BackupSourceSync | undefined;
}

/** How far a restore goes: all of what is given when neither is. */
export interface Until {
  /** Up to this commit. */
  sequence?: bigint | undefined;
  /** Up to this time. */
  time?: Date | number | undefined;
}

/** What streams are encrypted with. */
export interface Decryption {
  /** The key that they were made with: one that is not encrypted is refused then. */
  decryption?: { key: Uint8Array } | undefined;
}

/** Without `decryption`, encrypted streams need the key of `encryption`. */
export interface RestoreSyncOptions extends Omit<OpenOptions, "from" | "mode" | "signal" | "timeoutMs">, Until, Decryption {}
export interface RestoreOptions extends RestoreSyncOptions, LongCall {}

const MODES: Readonly<Record<Mode, number>> = {
  readwrite: MODE.READWRITE, existing: MODE.EXISTING, create: MODE.CREATE, readonly: MODE.READ,
};
const OPTIONS = ["mode", "durability", "memory", "changes", "checkpointMs", "encryption", "storage", "marker", "from", "shards", "wasm", "signal", "timeoutMs"];

const STORAGES = { auto: 0, opfs: 0, indexeddb: 0, memory: 0 };
const MARKERS = { cookie: 0, storage: 0 };

/** Options, checked and complete. */
interface Checked {
  mode: Mode;
  durability: Durability | undefined;
  memory: number | undefined;
  changes: number | undefined;
  checkpointMs: number | undefined;
  /** A copy: `begin` takes it, `again` wipes it. */
  key: Uint8Array | undefined;
  wasm: WasmSource | undefined;
}

function oneOf<Name extends string>(value: unknown, names: Readonly<Record<Name, unknown>>, option: string): Name | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "string" && Object.hasOwn(names, value)) return value as Name;
  throw invalid(`open: ${option} must be one of ${Object.keys(names).join(", ")}, not ${shown(value)}`);
}

function checkRetain(changes: unknown): number | undefined {
  if (changes === undefined) return undefined;
  const { retain } = checkOptions(changes, "open: changes", ["retain"]);
  if (typeof retain !== "number" || !Number.isInteger(retain) || retain < 0 || retain > RETAIN_MAX) {
    throw invalid(`open: changes.retain must be a number of bytes, at most ${RETAIN_MAX}, not ${shown(retain)}`);
  }
  return retain;
}

function checkEncryption(encryption: unknown): Uint8Array | undefined {
  return encryption === undefined ? undefined : copyKey(checkOptions(encryption, "open: encryption", ["key"]).key, "open: encryption.key");
}

function check(options: unknown, known: readonly string[] = OPTIONS): Checked {
  const given = checkOptions(options, "open", known);
  const { memory, checkpointMs, shards } = given;
  if (memory !== undefined && !(typeof memory === "number" && Number.isSafeInteger(memory) && memory > 0)) {
    throw invalid(`open: memory must be a number of bytes, not ${shown(memory)}`);
  }
  if (checkpointMs !== undefined &&
      !(typeof checkpointMs === "number" && Number.isInteger(checkpointMs) && checkpointMs >= 1 && checkpointMs <= CHECKPOINT_MS_MAX)) {
    throw invalid(`open: checkpointMs must be a whole number of milliseconds from 1 to ${CHECKPOINT_MS_MAX}, not ${shown(checkpointMs)}`);
  }
  if (shards !== undefined && !(typeof shards === "number" && Number.isInteger(shards) && shards >= 1)) {
    throw invalid(`open: shards must be a whole number from 1, not ${shown(shards)}`);
  }
  const storage = oneOf(given.storage, STORAGES, "storage");
  const marker = oneOf(given.marker, MARKERS, "marker");
  const checked = {
    mode: oneOf(given.mode, MODES, "mode") ?? "readwrite",
    durability: oneOf(given.durability, DURABILITIES, "durability"),
    memory,
    changes: checkRetain(given.changes),
    checkpointMs,
    key: checkEncryption(given.encryption),
    wasm: checkWasmSource(given.wasm),
  };
  const notYet = (option: string, value: unknown): NacreError =>
    new NacreError("UNSUPPORTED", `open: ${option}${value === undefined ? "" : `: ${shown(value)}`} is not supported yet`);
  if (storage !== undefined && storage !== "auto") throw notYet("storage", storage);
  if (marker === "storage") throw notYet("marker", marker);
  if (shards !== undefined && shards !== 1) throw notYet("shards", shards);
  if (known === OPTIONS) for (const option of ["signal", "timeoutMs"]) if (given[option] !== undefined) throw notYet(option, undefined);
  if (given.from !== undefined && (checked.mode === "existing" || checked.mode === "readonly")) {
    throw invalid(`open: from makes a database, and mode ${checked.mode} does not`);
  }
  return checked;
}

const RESTORE_OPTIONS = [...OPTIONS.filter((option) => option !== "from" && option !== "mode"), "sequence", "time", "decryption"];

function engineOptions(options: Checked): EngineOptions {
  return {
    mode: MODES[options.mode],
    durability: DURABILITIES[options.durability ?? "strict"],
    lock: LOCK.HOST,
    memory: options.memory ?? MEMORY_DEFAULT,
    changes: options.changes ?? 0,
    checkpointMs: options.checkpointMs ?? 0,
    key: options.key,
  };
}

// ---- Databases in memory: each is one of its own ----

function begin(engine: Engine, path: string, name: string, options: Checked, onClose: () => void): Store {
  try {
    engine.open(path, engineOptions(options));
  } catch (error) {
    engine.close();
    options.key?.fill(0);
    throw error;
  }
  return storeOf(engine, name, options, onClose);
}

function storeOf(engine: Engine, name: string, options: Checked, onClose: () => void): Store {
  const { durability = "strict", memory = MEMORY_DEFAULT, changes = 0, checkpointMs, mode, key } = options;
  return new Store(engine, name, { durability, memory, changes, checkpointMs, key, readonly: mode === "readonly" }, onClose);
}

/** The same of a database that is made of a backup. */
async function beginFrom(engine: Engine, name: string, from: unknown, options: Checked, onClose: () => void): Promise<Store> {
  try {
    engine.restoreBegin(name, engineOptions(options), ALL);
    await feed(engine, sources(from, "open: from"), {}, "open: from");
    engine.restoreFinish();
  } catch (error) {
    engine.close();
    options.key?.fill(0);
    throw error;
  }
  return storeOf(engine, name, options, onClose);
}

/** Opens the database `name` in the files of a host, which goes with it whatever happens. */
export async function openIn(host: Host, name: string, options?: OpenOptions, onClose: () => void = nothing): Promise<Store> {
  let engine: Engine;
  let checked: Checked;
  try {
    checked = check({ ...options, storage: undefined, marker: undefined }); // that is the host's business
    engine = await Engine.create(await loadModule(checked.wasm), host);
  } catch (error) {
    host.close();
    throw error;
  }
  const store = options?.from === undefined ? begin(engine, name, name, checked, onClose) : await beginFrom(engine, name, options.from, checked, onClose);
  await store.settled();
  return store;
}

const MEMORY = ":memory:";
const RETAIN_MAX = 2 ** 40;
const CHECKPOINT_MS_MAX = 86_400_000;
const MEMORY_DEFAULT = 64 * 2 ** 20;
const nothing = (): void => {};

// ---- Databases in files ----

/** Databases that this realm has open, by their real path. */
const opened = new Map<string, Store>();

interface Place {
  /** As the user gave it. */
  name: string;
  /** Absolute. */
  path: string;
  /** The same file under whatever name has the same. */
  key: string;
}

function checkName(given: unknown): string | URL {
  if (given instanceof URL) return given;
  if (typeof given !== "string") throw invalid(`open: the name must be a string or a file: URL, not ${shown(given)}`);
  if (given === "") throw invalid("open: the name is empty");
  if (given.includes("\0")) throw invalid(`open: the name ${shown(given)} has a zero character`);
  return given;
}

function place(given: string | URL): Place {
  if (!isNode) {
    throw new NacreError("UNSUPPORTED", `${shown(String(given))}: in a browser only open() takes a name: files are not opened at once there, and belong to a worker; \":memory:\" goes everywhere`);
  }
  const path = builtin("node:path"), fs = builtin("node:fs"), url = builtin("node:url");
  const name = String(given);
  let absolute: string;
  try {
    absolute = path.resolve(given instanceof URL || /^file:/i.test(name) ? url.fileURLToPath(given) : name);
  } catch (error) {
    throw invalid(`open: ${shown(name)}: ${error instanceof Error ? error.message : String(error)}`);
  }
  let key = absolute;
  try {
    key = fs.realpathSync(absolute);
  } catch {
    try {
      key = path.join(fs.realpathSync(path.dirname(absolute)), path.basename(absolute));
    } catch { /* no such folder: opening says so */ }
  }
  return { name, path: absolute, key };
}

/** A second handle on a database that is open here already; undefined: it is not. */
function again(at: Place, options: Checked): Store | undefined {
  const store = opened.get(at.key);
  if (store === undefined) return undefined;
  if (options.mode === "create") throw new NacreError("EXISTS", `${at.path} exists, and is open already`);
  if (store.readonly && options.mode !== "readonly") {
    throw new NacreError("BUSY", `${at.path}: open in this process for reading only; close that first`);
  }
  agree(store, `${at.path}: open in this process already`, options);
  return store.retain();
}

/** MISUSE or PERMISSION unless the options are those that the store has. Wipes the key. */
function agree(store: Store, what: string, options: Checked): void {
  for (const option of ["durability", "memory", "changes", "checkpointMs"] as const) {
    if (options[option] !== undefined && options[option] !== store[option]) throw new NacreError("MISUSE", `${what}, with ${option} ${store[option]}`);
  }
  const right = sameKey(options.key, store.key);
  options.key?.fill(0);
  if (!right) throw new NacreError("PERMISSION", `${what}, with another key or none`);
}

/** The same, of options as users give them: what another realm wants of a store that is open here. */
export function mismatch(store: Store, what: string, options: OpenOptions): NacreError | undefined {
  try {
    agree(store, what, check({ ...options, storage: undefined, marker: undefined }));
    return undefined;
  } catch (error) {
    if (error instanceof NacreError) return error;
    throw error;
  }
}

/** An engine for a file, the file's name there, and what ends both. */
interface FileEngine {
  engine: Engine;
  file: string;
  release(): void;
}

function fileEngine(at: Place, locks: boolean, module: WasmModule): FileEngine {
  const path = builtin("node:path");
  const lockName = `${at.path}-lock`;
  const lock = locks ? NodeLock.take(lockName) : undefined;
  try {
    const folder = path.dirname(at.path);
    const guest = folder.replaceAll("\\", "/").replace(/^(?!\/)/, "/");
    const engine = Engine.createSync(module, new NodeHost(folder, guest, {
      environment: { NACRE_PROCESS: processLines() },
      beforeListing: () => removeDeadPins(lockName),
    }));
    return { engine, file: `${guest.replace(/\/$/, "")}/${path.basename(at.path)}`, release: () => lock?.release() };
  } catch (error) {
    lock?.release();
    throw error;
  }
}

function openFile(at: Place, options: Checked, module: WasmModule): Store {
  const existing = again(at, options);
  if (existing !== undefined) return existing;
  const fs = builtin("node:fs");
  const there = fs.existsSync(at.path);
  if (options.mode === "create" && there) throw new NacreError("EXISTS", `${at.path} exists already`);
  if ((options.mode === "existing" || options.mode === "readonly") && !there && !fs.existsSync(`${at.path}-wal0`)) {
    throw new NacreError("NOT_FOUND", `${at.path} does not exist: there is no such database`);
  }
  const { engine, file, release } = fileEngine(at, options.mode !== "readonly", module);
  try {
    const store = begin(engine, file, at.name, options, () => {
      opened.delete(at.key);
      release();
    });
    opened.set(at.key, store);
    return store;
  } catch (error) {
    release();
    throw error;
  }
}

// ---- Databases made of backups ----

/** A database on its way: nobody can open it before `finish`. */
class Making {
  readonly engine: Engine;
  readonly #name: string;
  readonly #options: Checked;
  readonly #at: Place | undefined;
  readonly #release: () => void;

  constructor(given: string | URL, options: Checked, until: EngineUntil, module: WasmModule) {
    const at = given === MEMORY ? undefined : place(given);
    if (at !== undefined && opened.has(at.key)) throw new NacreError("EXISTS", `${at.path} exists, and is open already`);
    const made = at === undefined ? { engine: Engine.createSync(module, new MemoryHost()), file: MEMORY, release: nothing } : fileEngine(at, true, module);
    this.engine = made.engine;
    this.#name = at?.name ?? MEMORY;
    this.#options = options;
    this.#at = at;
    this.#release = made.release;
    try {
      made.engine.restoreBegin(made.file, engineOptions(options), until);
    } catch (error) {
      this.abort();
      throw error;
    } finally {
      until.key?.fill(0);
    }
  }

  finish(): Store {
    this.engine.restoreFinish();
    const at = this.#at;
    const store = storeOf(this.engine, this.#name, this.#options, () => {
      if (at !== undefined) opened.delete(at.key);
      this.#release();
    });
    if (at !== undefined) opened.set(at.key, store);
    return store;
  }

  /** Nothing stays of it. */
  abort(): void {
    try {
      this.engine.close();
    } finally {
      this.#options.key?.fill(0);
      this.#release();
    }
  }
}

const ALL: EngineUntil = { sequence: 0, timeMs: 0, key: undefined };

async function make(given: string | URL, from: unknown, checked: Checked, until: EngineUntil, call: LongCall, what: string): Promise<Database> {
  const source = sources(from, what);
  const making = new Making(given, checked, until, await loadModule(checked.wasm));
  try {
    await feed(making.engine, source, call, what);
    return new Database(making.finish(), given === MEMORY ? MEMORY : String(given), false);
  } catch (error) {
    making.abort();
    throw error;
  }
}

function makeSync(given: string | URL, from: unknown, checked: Checked, until: EngineUntil, what: string): DatabaseSync {
  const making = new Making(given, checked, until, loadModuleSync(checked.wasm));
  try {
    feedSync(making.engine, from, what);
    return new DatabaseSync(making.finish(), given === MEMORY ? MEMORY : String(given), false);
  } catch (error) {
    making.abort();
    throw error;
  }
}

/**
 * Makes a database of a full backup, the incremental ones that follow it, and what archives
 * wrote, in their order. There must be none yet: EXISTS. What is damaged or cut short is CORRUPT,
 * streams that do not follow each other INVALID_ARGUMENT, a point that they do not reach
 * NOT_FOUND; nothing is left behind then.
 */
export async function restore(name: string | URL, from: BackupSource | readonly BackupSource[], options?: RestoreOptions): Promise<Database> {
  const given = checkName(name), checked = check(options, RESTORE_OPTIONS);
  return make(given, from, checked, checkUntil({ ...options }, "restore"), longCall({ ...options }, "restore"), "restore");
}

/** `restore`, at once. */
export function restoreSync(name: string | URL, from: BackupSourceSync | readonly BackupSourceSync[], options?: RestoreSyncOptions): DatabaseSync {
  const given = checkName(name), checked = check(options, RESTORE_OPTIONS);
  return makeSync(given, from, checked, checkUntil({ ...options }, "restore"), "restore");
}

function checking(module: WasmModule, key: Uint8Array | undefined): Engine {
  const engine = Engine.createSync(module, new MemoryHost());
  engine.restoreBegin("", engineOptions(check(undefined)), { ...ALL, key });
  key?.fill(0);
  return engine;
}

function checked(engine: Engine): BackupReport {
  const found = report(engine.restoreDescribe());
  engine.restoreFinish();
  return found;
}

export interface VerifyBackupSyncOptions extends Decryption {
  wasm?: WasmSource | undefined;
}
export interface VerifyBackupOptions extends VerifyBackupSyncOptions, LongCall {}

/** Reads backups, one or several that follow each other, and checks every byte: CORRUPT. */
export async function verifyBackup(from: BackupSource | readonly BackupSource[], options?: VerifyBackupOptions): Promise<BackupReport> {
  const given = checkOptions(options, "verifyBackup", ["wasm", "decryption", "signal", "timeoutMs"]);
  const key = checkDecryption(given.decryption, "verifyBackup");
  const source = sources(from, "verifyBackup"), call = longCall(given, "verifyBackup");
  const engine = checking(await loadModule(checkWasmSource(given.wasm)), key);
  try {
    await feed(engine, source, call, "verifyBackup");
    return checked(engine);
  } finally {
    engine.close();
  }
}

/** `verifyBackup`, at once. */
export function verifyBackupSync(from: BackupSourceSync | readonly BackupSourceSync[], options?: VerifyBackupSyncOptions): BackupReport {
  const { wasm, decryption } = checkOptions(options, "verifyBackup", ["wasm", "decryption"]);
  const engine = checking(loadModuleSync(checkWasmSource(wasm)), checkDecryption(decryption, "verifyBackup"));
  try {
    feedSync(engine, from, "verifyBackup");
    return checked(engine);
  } finally {
    engine.close();
  }
}

// ---- Repair ----

export interface RepairOptions {
  /** Budget in bytes; 64 MiB when absent. */
  memory?: number | undefined;
  /** The key of an encrypted database. The new one has the same. */
  encryption?: { key: Uint8Array } | undefined;
  wasm?: WasmSource | undefined;
}

/** The folder that both lie in, and their names inside it as the module sees them. */
function shared(from: Place, to: Place): { folder: string; guest: string; names: [string, string] } {
  const path = builtin("node:path");
  const inside = (folder: string, file: string): string | undefined => {
    const relative = path.relative(folder, file);
    return relative.startsWith("..") || path.isAbsolute(relative) ? undefined : relative.replaceAll("\\", "/");
  };
  let folder = path.dirname(from.path);
  for (; inside(folder, to.path) === undefined; folder = path.dirname(folder)) {
    if (path.dirname(folder) === folder) throw new NacreError("UNSUPPORTED", `repair: ${from.path} and ${to.path} are not on one drive`);
  }
  const guest = folder.replaceAll("\\", "/").replace(/^(?!\/)/, "/");
  const name = (file: string): string => `${guest.replace(/\/$/, "")}/${inside(folder, file)}`;
  return { folder, guest, names: [name(from.path), name(to.path)] };
}

function repairing(from: string | URL, to: string | URL, module: WasmModule, { memory, key }: RepairChecked): RepairReport {
  const source = place(from), target = place(to);
  if (source.key === target.key) throw invalid(`repair: the new database needs another name than ${source.path}`);
  for (const at of [source, target]) {
    if (opened.has(at.key)) throw new NacreError("BUSY", `repair: ${at.path} is open in this process: close it first`);
  }
  const { folder, guest, names } = shared(source, target);
  const lock = NodeLock.take(`${target.path}-lock`);
  try {
    const engine = Engine.createSync(module, new NodeHost(folder, guest, { environment: { NACRE_PROCESS: processLines() } }));
    try {
      return readRepair(engine.repair(names[0], names[1], key, memory));
    } finally {
      engine.close();
    }
  } finally {
    key?.fill(0);
    lock.release();
  }
}

interface RepairChecked {
  memory: number;
  key: Uint8Array | undefined;
  wasm: WasmSource | undefined;
}

function checkRepair(options: unknown): RepairChecked {
  const { memory, key, wasm } = check(checkOptions(options, "repair", ["memory", "encryption", "wasm"]));
  return { memory: memory ?? MEMORY_DEFAULT, key, wasm };
}

/**
 * Makes the new database `to` of every row of `from` whose own bytes are whole, whatever else is
 * damaged, and tells what is lost or in doubt. `from` is not written to, and nobody may have it
 * open for writing.
 *
 * @throws NacreError NOT_FOUND (nothing at `from`), EXISTS (something at `to`), IO, QUOTA ...
 */
export async function repair(from: string | URL, to: string | URL, options?: RepairOptions): Promise<RepairReport> {
  const source = checkName(from), target = checkName(to), checked = checkRepair(options);
  return repairing(source, target, await loadModule(checked.wasm), checked);
}

/** `repair`, at once. */
export function repairSync(from: string | URL, to: string | URL, options?: RepairOptions): RepairReport {
  const source = checkName(from), target = checkName(to), checked = checkRepair(options);
  return repairing(source, target, loadModuleSync(checked.wasm), checked);
}

// ---- Opening ----

/**
 * Opens a database, or creates it.
 *
 * @param name In Node a path or file: URL, in a browser a name, the same in all tabs of the site;
 *   ":memory:" for a database that is gone at close.
 * @throws NacreError NOT_FOUND, EXISTS, BUSY (another process writes), EVICTED, TIMEOUT, CORRUPT (no Nacre
 *   database, or a damaged one), VERSION, PERMISSION, IO, INVALID_ARGUMENT, UNSUPPORTED.
 */
export async function open(name: string | URL, options?: OpenOptions): Promise<Database> {
  return openHere(name, options, false);
}

/** @internal `inline`: in a browser, worker and module are not looked for beside this package. */
export async function openHere(name: string | URL, options: OpenOptions | undefined, inline: boolean): Promise<Database> {
  const given = checkName(name);
  if (!isNode && given !== MEMORY) return openNamed(given, options, inline);
  const checked = check(options);
  if (options?.from !== undefined) return make(given, options.from, checked, ALL, {}, "open: from");
  if (given === MEMORY) {
    checkMemoryMode(checked);
    const module = await loadModule(checked.wasm);
    const store = begin(await Engine.create(module, new MemoryHost()), MEMORY, MEMORY, checked, nothing);
    return new Database(store, MEMORY, false);
  }
  const at = place(given);
  const store = openFile(at, checked, await loadModule(checked.wasm));
  return new Database(store, at.name, checked.mode === "readonly");
}

/** A backup as what can be handed to a worker, and read again if that ends. */
async function gathered(from: unknown, limits: LongCall): Promise<Blob> {
  if (typeof Blob !== "undefined" && from instanceof Blob) return from;
  const cutoff = new Cutoff(limits, "open: from"), source = sources(from, "open: from");
  try {
    return await cutoff.race((async () => {
      const parts: BlobPart[] = [];
      for await (const chunk of source) parts.push(chunk as BlobPart);
      return new Blob(parts);
    })());
  } finally {
    cutoff.end();
  }
}

/** In a browser. */
async function openNamed(given: string | URL, options: OpenOptions = {}, inline: boolean): Promise<Database> {
  if (given instanceof URL) throw invalid(`open: in a browser databases have names, not addresses: ${shown(given.href)}`);
  const limits = longCall(checkOptions(options, "open", OPTIONS), "open");
  const { storage, marker, signal: _signal, timeoutMs: _timeoutMs, ...rest } = options;
  oneOf(storage, STORAGES, "storage");
  oneOf(marker, MARKERS, "marker");
  const checked = check(rest);
  if (storage !== "memory") {
    const from = rest.from === undefined ? undefined : await gathered(rest.from, limits);
    return openShared(given, { ...rest, from, storage, marker }, limits, inline);
  }
  if (rest.from !== undefined) return make(MEMORY, rest.from, checked, ALL, limits, "open: from");
  checkMemoryMode(checked);
  const module = await findModule(checked.wasm, inline), at = { name: given, path: given, key: `${MEMORY}${given}` };
  let store = again(at, checked);
  if (store === undefined) {
    store = begin(Engine.createSync(module, new MemoryHost()), MEMORY, given, checked, () => void opened.delete(at.key));
    opened.set(at.key, store);
  }
  return new Database(store, given, false);
}

/** `open`, at once: in Node, and inside a browser's worker, where files are not opened at once. */
export function openSync(name: string | URL, options?: OpenSyncOptions): DatabaseSync {
  const given = checkName(name);
  const checked = check(options);
  if (options?.from !== undefined) return makeSync(given, options.from, checked, ALL, "open: from");
  if (given === MEMORY) {
    checkMemoryMode(checked);
    const store = begin(Engine.createSync(loadModuleSync(checked.wasm), new MemoryHost()), MEMORY, MEMORY, checked, nothing);
    return new DatabaseSync(store, MEMORY, false);
  }
  const at = place(given);
  return new DatabaseSync(openFile(at, checked, loadModuleSync(checked.wasm)), at.name, checked.mode === "readonly");
}

function checkMemoryMode({ mode }: Checked): void {
  if (mode === "existing" || mode === "readonly") {
    throw new NacreError("NOT_FOUND", `:memory:: a database in memory is always a new one, so there is none for mode ${mode}`);
  }
}
