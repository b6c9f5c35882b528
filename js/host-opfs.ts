import { NacreError } from "./errors.ts";
import { ERRNO, ROOM } from "./host.ts";
import { Failure, FilesHost } from "./host-files.ts";
import type { HostFile } from "./host-files.ts";

/** The part of FileSystemSyncAccessHandle that is used. */
export interface SyncHandle {
  read(into: Uint8Array, options: { at: number }): number;
  write(from: Uint8Array, options: { at: number }): number;
  truncate(size: number): void;
  getSize(): number;
  flush(): void;
  close(): void;
}

/** The part of a folder of the OPFS that is used. */
export interface SyncFolder {
  getDirectoryHandle(name: string, options: { create: boolean }): Promise<SyncFolder>;
  getFileHandle(name: string, options: { create: boolean }): Promise<{
    createSyncAccessHandle(): Promise<SyncHandle>;
    getFile(): Promise<{ readonly size: number }>;
  }>;
  removeEntry(name: string, options: { recursive: boolean }): Promise<void>;
}

/** All databases of an origin lie in this folder, each in one of its own. */
const FOLDER = "nacre";

const RETRY_FIRST_MS = 2;
const RETRY_MOST_MS = 200;
const RETRY_UNTIL_MS = 5000;

const PIECE = 65536;
const ZEROS = 512 * 1024;
const DATA_ROOM = 24 * PIECE; // what merges leave for the last of them, manifests, ends of streams
const SEGMENT_SHARE = 16; // of the memory, at most SEGMENT_MOST: db/options.h
const SEGMENT_MOST = 16 * 2 ** 20;
const MEMORY = 64 * 2 ** 20;
const LOGGED_ROOM = 1.25; // what becomes of a byte in the log
const LOG_ROOM = 2 * PIECE;
const MORE = 16 * PIECE;
const FRAME = 256; // around a batch, and encrypted

/** The files of a database: as many handles as it has. */
export function fileNames(name: string): string[] {
  return [name, `${name}-wal0`, `${name}-wal1`];
}

function nameOf(error: unknown): string {
  return typeof error === "object" && error !== null && "name" in error ? String(error.name) : "";
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * One file behind an access handle.
 *
 * 1. Its sizes are kept here: asking costs as much as reading.
 * 2. It may be longer than the module knows: browsers refuse to make files longer when the site's
 *    quota is used up, and never to write inside of them. What is made ahead is zeros, and goes
 *    at close; after a kill it stays, and the module takes it for what it is.
 */
export class OpfsFile implements HostFile {
  readonly #handle: SyncHandle;
  readonly #name: string;
  /** As the module knows it, and as it is. */
  #size: number;
  #physical: number;
  #closed = false;
  /** What was written ends here. */
  #end: number;

  constructor(handle: SyncHandle, name: string) {
    this.#handle = handle;
    this.#name = name;
    this.#size = this.#physical = handle.getSize();
    this.#end = this.#findEnd();
  }

  get size(): number {
    return this.#size;
  }

  /** Where what was written ends. */
  get end(): number {
    return this.#end;
  }

  /** Bytes behind what was written, into which more can be written whatever the quota. */
  get ahead(): number {
    return this.#physical - this.#end;
  }

  /** Behind the last byte that is not zero, in steps of a piece. */
  #findEnd(): number {
    const words = new Uint32Array(PIECE / 4), piece = new Uint8Array(words.buffer);
    let end = this.#physical;
    while (end > 0) {
      const from = end - 1 - (end - 1) % PIECE;
      words.fill(0);
      if (this.read(piece.subarray(0, end - from), from) !== end - from) break;
      let zeros = 0;
      while (zeros < words.length && words[zeros] === 0) zeros++;
      if (zeros < words.length) break;
      end = from;
    }
    return end;
  }

  /** Makes it so long that `bytes` more can be written, and a little more if there is room for it. */
  make(bytes: number): boolean {
    if (this.ahead >= bytes) return true;
    const least = this.#end + bytes, more = Math.ceil((least + Math.min(bytes / 4, MORE)) / PIECE) * PIECE;
    return this.#grow(more) || this.#grow(least);
  }

  #grow(to: number): boolean {
    const by = to - this.#physical;
    try {
      // Zeros that were written have a place on the device, too.
      if (by > ZEROS) this.#handle.truncate(to);
      else if (this.#handle.write(new Uint8Array(by), { at: this.#physical }) !== by) throw new Error("no room");
    } catch {
      this.#measure();
      return false;
    }
    this.#physical = to;
    return true;
  }

  read(into: Uint8Array, at: number): number {
    const most = Math.min(into.length, Math.max(0, this.#size - at));
    if (most === 0) return 0;
    const got = this.#try("read", () => this.#handle.read(most < into.length ? into.subarray(0, most) : into, { at }));
    if (!(got >= 0 && got <= most)) throw this.#failed(`read: it says ${got} of ${most} bytes`);
    return got;
  }

  write(from: Uint8Array, at: number): void {
    let put: number;
    try {
      put = this.#handle.write(from, { at });
    } catch (error) {
      this.#failedAt(at + from.length);
      throw this.#refused(from.length, error);
    }
    // Older Chromium answers -8 as a u32 when the quota is used up, Firefox a short count.
    if (put !== from.length) {
      this.#failedAt(at + from.length);
      throw this.#refused(from.length);
    }
    this.#written(at + from.length);
  }

  #written(end: number): void {
    if (end > this.#size) this.#size = end;
    if (end > this.#end) this.#end = end;
    if (end > this.#physical) this.#physical = end;
  }

  /** A part may have been written. */
  #failedAt(end: number): void {
    this.#measure();
    this.#written(Math.min(end, this.#physical));
  }

  truncate(size: number): void {
    const ahead = this.ahead;
    try {
      this.#handle.truncate(size); // even inside of what is ahead: what it gives back is zeros
    } catch (error) {
      this.#measure();
      throw size > this.#size ? this.#refused(size - this.#size, error) : this.#explained("truncate", error);
    }
    this.#size = this.#end = this.#physical = size;
    if (ahead > 0) this.make(ahead);
  }

  sync(): void {
    this.#try("flush", () => this.#handle.flush());
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      if (this.#physical > this.#size) this.#handle.truncate(this.#size);
    } catch { /* it is longer, then */ }
    this.#handle.close();
  }

  #measure(): void {
    try {
      this.#physical = this.#handle.getSize();
    } catch { /* the failure itself says why */ }
  }

  #try<T>(verb: string, call: () => T): T {
    try {
      return call();
    } catch (error) {
      throw this.#explained(verb, error);
    }
  }

  #explained(verb: string, error: unknown): Failure {
    // Somebody else has closed the handle: only a browser that deletes the file does that.
    return nameOf(error) === "InvalidStateError" || nameOf(error) === "NotFoundError"
      ? new Failure(ERRNO.IO, evicted(this.#name, error))
      : this.#failed(`${verb}: ${messageOf(error)}`, error);
  }

  #failed(what: string, cause?: unknown): Failure {
    return new Failure(ERRNO.IO, new NacreError("IO", `${this.#name}: ${what}`, { cause }));
  }

  /** A write that was cut short, or thrown out under whatever name: there is no more room. */
  #refused(needed: number, cause?: unknown): Failure {
    const kind = nameOf(cause);
    if (cause !== undefined && !isFull(cause) && !(cause instanceof DOMException && kind !== "InvalidStateError" && kind !== "NotFoundError")) {
      return this.#explained("write", cause);
    }
    return new Failure(ERRNO.NOSPC, new NacreError("QUOTA",
      `${this.#name}: the browser gives no room for ${needed} bytes more; delete something, or ask for more with persist()`,
      { cause, details: { needed } }));
  }
}

const LOOK_MS = 1000;
const LOOK_LIMIT_MS = 2000;

/** Files that are looked up by name once a second, before what was written is acknowledged. */
class OpfsHost extends FilesHost {
  readonly #folder: SyncFolder;
  readonly #name: string;
  readonly #data: OpfsFile;
  /** What a merge writes before it can give back anything. */
  readonly #merge: number;
  readonly #logs: readonly OpfsFile[];
  #looked = performance.now();

  constructor(data: OpfsFile, logs: readonly OpfsFile[], memory: number, folder: SyncFolder, name: string) {
    super(new Map([data, ...logs].map((file, i) => [fileNames(name)[i] as string, file])));
    this.#data = data;
    this.#merge = 2 * Math.min(memory / SEGMENT_SHARE, SEGMENT_MOST);
    this.#logs = logs;
    this.#folder = folder;
    this.#name = name;
  }

  /**
   * What is in the logs must fit into the file of the segments, and behind that there is room for
   * the merges that turn deleted rows into free space; in the logs there is some for deletions.
   */
  room(bytes: number): number {
    let logged = bytes, room: number = ROOM.PLENTY;
    for (const log of this.#logs) logged += log.size;
    if (!this.#data.make(DATA_ROOM + Math.min(this.#merge, this.#data.end) + Math.ceil(LOGGED_ROOM * logged))) room = ROOM.SCARCE;
    for (const log of this.#logs) {
      if (log.make(LOG_ROOM + (room === ROOM.PLENTY ? bytes : 0)) && room === ROOM.PLENTY) continue;
      room = log.ahead > 2 * bytes + FRAME ? Math.max(room, ROOM.SCARCE) : ROOM.NONE;
    }
    return room;
  }

  override settled(): Promise<void> | undefined {
    const now = performance.now();
    if (now - this.#looked > LOOK_MS) {
      this.#looked = now;
      this.suspect(() => this.#look());
    }
    return super.settled();
  }

  async #look(): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => timer = setTimeout(resolve, LOOK_LIMIT_MS));
    try {
      await Promise.race([this.#folder.getFileHandle(this.#name, { create: false }), late]);
    } catch (error) {
      if (nameOf(error) === "NotFoundError") throw evicted(this.#name, error);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** EVICTED, to be thrown. */
export function evicted(name: string, cause?: unknown): NacreError {
  return new NacreError("EVICTED",
    `${name}: the browser or the user has removed the database; mode "create" starts anew`, { cause });
}

/** The folder of all databases, and that of one; what is missing without `create` is undefined. */
async function foldersOf(name: string, create: boolean): Promise<{ all: SyncFolder; own: SyncFolder } | undefined> {
  const unsupported = (why: string, cause?: unknown): NacreError => new NacreError("UNSUPPORTED", `${name}: the OPFS is not to be had here: ${why}`, { cause });
  if (typeof navigator === "undefined" || typeof navigator.storage?.getDirectory !== "function" ||
      (typeof FileSystemFileHandle !== "undefined" && !("createSyncAccessHandle" in FileSystemFileHandle.prototype))) {
    throw unsupported("it needs a worker, and a secure context (https, or localhost)");
  }
  try {
    const root = await navigator.storage.getDirectory() as unknown as SyncFolder;
    const all = await root.getDirectoryHandle(FOLDER, { create });
    return { all, own: await all.getDirectoryHandle(name, { create }) };
  } catch (error) {
    if (nameOf(error) === "NotFoundError") return undefined;
    if (isFull(error)) throw new NacreError("QUOTA", `${name}: the browser gives no room for a folder`, { cause: error });
    throw unsupported(messageOf(error), error);
  }
}

function isFull(error: unknown): boolean {
  return /quota|space/i.test(nameOf(error));
}

/** Whether there are bytes of a database, be it open elsewhere or not. UNSUPPORTED: there is no OPFS here. */
export async function isInOpfs(name: string): Promise<boolean> {
  const folder = (await foldersOf(name, false))?.own;
  if (folder === undefined) return false;
  for (const file of fileNames(name)) {
    try {
      if ((await (await folder.getFileHandle(file, { create: false })).getFile()).size > 0) return true;
    } catch (error) {
      if (nameOf(error) !== "NotFoundError") throw new NacreError("IO", `${file}: ${messageOf(error)}`, { cause: error });
    }
  }
  return false;
}

/** Removes a database that nobody has open. */
export async function removeFromOpfs(name: string): Promise<void> {
  await (await foldersOf(name, false))?.all.removeEntry(name, { recursive: true });
}

/** Tries until it works, for as long as somebody else has the file. */
export async function patiently<T>(open: () => Promise<T>, what: string, untilMs = RETRY_UNTIL_MS): Promise<T> {
  const began = performance.now();
  for (let wait = RETRY_FIRST_MS; ; wait = Math.min(2 * wait, RETRY_MOST_MS)) {
    try {
      return await open();
    } catch (error) {
      // Another handle is open; or it was, and the browser has not come to an end with it.
      if (nameOf(error) !== "NoModificationAllowedError" && nameOf(error) !== "InvalidStateError") throw error;
      if (performance.now() - began + wait > untilMs) {
        throw new NacreError("BUSY", `${what}: another tab or worker has the file open`, { cause: error });
      }
    }
    await new Promise((resolve) => setTimeout(resolve, wait * (0.5 + Math.random() / 2)));
  }
}

export interface OpfsOptions {
  /** Makes the files when they are missing. */
  create: boolean;
  /** How long others are waited for, in milliseconds. */
  untilMs?: number | undefined;
  /** What the database is opened with. */
  memory?: number | undefined;
}

/**
 * The files of a database as a host: the module opens it under its name.
 *
 * @throws NacreError BUSY (others have them open), NOT_FOUND (without `create`), UNSUPPORTED (no
 *   OPFS here: a private window, or no secure context)
 */
export async function openOpfs(name: string, { create, untilMs, memory }: OpfsOptions): Promise<FilesHost> {
  const folder = (await foldersOf(name, create))?.own;
  if (folder === undefined) throw new NacreError("NOT_FOUND", `${name}: there is no such database`);
  return openFolder(folder, name, untilMs, memory);
}

/** The same in a folder. */
export async function openFolder(folder: SyncFolder, name: string, untilMs?: number, memory = MEMORY): Promise<FilesHost> {
  const files: OpfsFile[] = [];
  try {
    for (const file of fileNames(name)) {
      const handle = await patiently(async () => (await folder.getFileHandle(file, { create: true })).createSyncAccessHandle(), file, untilMs);
      try {
        files.push(new OpfsFile(handle, file));
      } catch (error) {
        handle.close();
        throw error;
      }
    }
  } catch (error) {
    for (const file of files) file.close();
    if (error instanceof NacreError) throw error;
    if (isFull(error)) throw new NacreError("QUOTA", `${name}: the browser gives no room for its files`, { cause: error });
    throw new NacreError("IO", `${name}: ${messageOf(error)}`, { cause: error });
  }
  const [data, ...logs] = files;
  return new OpfsHost(data as OpfsFile, logs, memory, folder, name);
}
