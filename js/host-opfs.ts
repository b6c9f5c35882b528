import { NacreError } from "./errors.ts";
import { ERRNO } from "./host.ts";
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

/** One file behind an access handle. The size is kept here: asking costs as much as reading. */
export class OpfsFile implements HostFile {
  readonly #handle: SyncHandle;
  readonly #name: string;
  #size: number;
  #closed = false;

  constructor(handle: SyncHandle, name: string) {
    this.#handle = handle;
    this.#name = name;
    this.#size = handle.getSize();
  }

  get size(): number {
    return this.#size;
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
      this.#measure();
      throw this.#refused(from.length, error);
    }
    // Older Chromium answers -8 as a u32 when the quota is used up, Firefox a short count.
    if (put !== from.length) {
      this.#measure();
      throw this.#refused(from.length);
    }
    this.#size = Math.max(this.#size, at + from.length);
  }

  truncate(size: number): void {
    try {
      this.#handle.truncate(size);
    } catch (error) {
      this.#measure();
      throw size > this.#size ? this.#refused(size - this.#size, error) : this.#explained("truncate", error);
    }
    this.#size = size;
  }

  sync(): void {
    this.#try("flush", () => this.#handle.flush());
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#handle.close();
  }

  /** After a failure: a part may have been written. */
  #measure(): void {
    try {
      this.#size = this.#handle.getSize();
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
  #looked = performance.now();

  constructor(files: ReadonlyMap<string, HostFile>, folder: SyncFolder, name: string) {
    super(files);
    this.#folder = folder;
    this.#name = name;
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
  untilMs?: number;
}

/**
 * The files of a database as a host: the module opens it under its name.
 *
 * @throws NacreError BUSY (others have them open), NOT_FOUND (without `create`), UNSUPPORTED (no
 *   OPFS here: a private window, or no secure context)
 */
export async function openOpfs(name: string, { create, untilMs }: OpfsOptions): Promise<FilesHost> {
  const folder = (await foldersOf(name, create))?.own;
  if (folder === undefined) throw new NacreError("NOT_FOUND", `${name}: there is no such database`);
  return openFolder(folder, name, untilMs);
}

/** The same in a folder. */
export async function openFolder(folder: SyncFolder, name: string, untilMs?: number): Promise<FilesHost> {
  const files = new Map<string, HostFile>();
  try {
    for (const file of fileNames(name)) {
      const handle = await patiently(async () => (await folder.getFileHandle(file, { create: true })).createSyncAccessHandle(), file, untilMs);
      files.set(file, new OpfsFile(handle, file));
    }
  } catch (error) {
    for (const file of files.values()) file.close();
    if (error instanceof NacreError) throw error;
    if (isFull(error)) throw new NacreError("QUOTA", `${name}: the browser gives no room for its files`, { cause: error });
    throw new NacreError("IO", `${name}: ${messageOf(error)}`, { cause: error });
  }
  return new OpfsHost(files, folder, name);
}
