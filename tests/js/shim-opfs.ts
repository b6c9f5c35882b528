// A folder of the OPFS as browsers have it, in memory: exclusive handles, errors by their
// names, writes that a power failure takes unless they were flushed.
import type { SyncFolder, SyncHandle } from "../../js/host-opfs.ts";

export function domError(name: string, message = name): DOMException {
  return new DOMException(message, name);
}

/** What a write or a truncation does instead of what it should: undefined, it is done. */
export type Fault = (file: string, verb: "write" | "truncate" | "flush" | "read", size: number) => number | undefined;

/** What a site may have. Chromium counts what files may grow to without asking again: doublings, until they are closed. */
export interface Quota {
  bytes: number;
  readonly kind: "Chromium" | "Firefox";
}

class ShimFile {
  /** What is counted for it while it is open, in Chromium. */
  capacity = 0;
  bytes = new Uint8Array(0);
  /** What is on the device. */
  synced = new Uint8Array(0);
  handle: ShimHandle | undefined;

  put(from: Uint8Array, at: number): void {
    if (at + from.length > this.bytes.length) this.resize(at + from.length);
    this.bytes.set(from, at);
  }

  resize(size: number): void {
    const bytes = new Uint8Array(size);
    bytes.set(this.bytes.subarray(0, size));
    this.bytes = bytes;
  }
}

class ShimHandle implements SyncHandle {
  readonly #file: ShimFile;
  readonly #name: string;
  readonly #folder: ShimFolder;
  closed = false;

  constructor(file: ShimFile, name: string, folder: ShimFolder) {
    this.#file = file;
    this.#name = name;
    this.#folder = folder;
  }

  #check(): void {
    if (this.closed) throw domError("InvalidStateError");
  }

  read(into: Uint8Array, { at }: { at: number }): number {
    this.#check();
    this.#folder.calls++;
    const bogus = this.#folder.fault?.(this.#name, "read", into.length);
    if (bogus !== undefined) return bogus;
    const piece = this.#file.bytes.subarray(at, at + into.length);
    into.set(piece);
    return piece.length;
  }

  write(from: Uint8Array, { at }: { at: number }): number {
    this.#check();
    this.#folder.calls++;
    this.#folder.step?.(this.#name, "write", from, at);
    const bogus = this.#folder.fault?.(this.#name, "write", from.length);
    if (bogus !== undefined) {
      if (bogus <= from.length) this.#put(from.subarray(0, bogus), at);
      return bogus;
    }
    const room = this.#folder.room(this.#file, at + from.length);
    if (room < at + from.length) {
      if (this.#folder.quota?.kind === "Chromium") throw domError("QuotaExceededError");
      const part = Math.max(0, room - at);
      this.#put(from.subarray(0, part), at);
      return part;
    }
    this.#put(from, at);
    return from.length;
  }

  #put(from: Uint8Array, at: number): void {
    this.#file.put(from, at);
  }

  truncate(size: number): void {
    this.#check();
    this.#folder.calls++;
    this.#folder.step?.(this.#name, "truncate");
    this.#folder.fault?.(this.#name, "truncate", size);
    if (this.#folder.room(this.#file, size) < size) throw domError(this.#folder.quota?.kind === "Chromium" ? "QuotaExceededError" : "NS_ERROR_FILE_NO_DEVICE_SPACE");
    this.#file.resize(size);
  }

  getSize(): number {
    this.#check();
    return this.#file.bytes.length;
  }

  flush(): void {
    this.#check();
    this.#folder.calls++;
    this.#folder.step?.(this.#name, "flush");
    this.#folder.fault?.(this.#name, "flush", 0);
    this.#file.synced = this.#file.bytes.slice();
  }

  close(): void {
    this.closed = true;
    this.#file.capacity = this.#file.bytes.length;
    if (this.#file.handle === this) this.#file.handle = undefined;
  }
}

/** Makes it the OPFS of this realm; a name of an error is what asking for it gives. */
export function installOpfs(root: ShimFolder | string): void {
  const getDirectory = async (): Promise<ShimFolder> => {
    if (typeof root === "string") throw domError(root);
    return root;
  };
  Object.defineProperty(navigator, "storage", { configurable: true, value: { getDirectory } });
}

/** One folder; those in it are its own. */
export class ShimFolder implements SyncFolder {
  readonly files = new Map<string, ShimFile>();
  readonly folders = new Map<string, ShimFolder>();
  fault: Fault | undefined;
  /** Called before each change and each flush. */
  step: ((file: string, verb: string, from?: Uint8Array, at?: number) => void) | undefined;
  quota: Quota | undefined;
  calls = 0;

  async getDirectoryHandle(name: string, { create }: { create?: boolean } = {}): Promise<ShimFolder> {
    let folder = this.folders.get(name);
    if (folder === undefined) {
      if (create !== true) throw domError("NotFoundError");
      this.folders.set(name, folder = new ShimFolder());
    }
    return folder;
  }

  async getFileHandle(name: string, { create }: { create?: boolean } = {}): Promise<{ createSyncAccessHandle(): Promise<SyncHandle>; getFile(): Promise<{ size: number }> }> {
    if (!this.files.has(name)) {
      if (create !== true) throw domError("NotFoundError");
      this.files.set(name, new ShimFile());
    }
    const file = this.files.get(name)!;
    return {
      createSyncAccessHandle: async () => {
        if (file.handle !== undefined) throw domError("NoModificationAllowedError");
        return file.handle = new ShimHandle(file, name, this);
      },
      getFile: async () => ({ size: file.bytes.length }),
    };
  }

  async removeEntry(name: string, _options?: { recursive?: boolean }): Promise<void> {
    const file = this.files.get(name);
    if (file?.handle !== undefined) throw domError("NoModificationAllowedError");
    if (!this.files.delete(name) && !this.folders.delete(name)) throw domError("NotFoundError");
  }

  /** How long a file may be, at most `wanted`; what is given is charged. */
  room(file: ShimFile, wanted: number): number {
    const { quota } = this;
    if (quota === undefined || wanted <= file.bytes.length) return wanted;
    const chromium = quota.kind === "Chromium", charged = (each: ShimFile): number => chromium ? Math.max(each.capacity, each.bytes.length) : each.bytes.length;
    if (chromium && wanted <= file.capacity) return wanted;
    let others = 0;
    for (const each of this.files.values()) if (each !== file) others += charged(each);
    const asked = chromium ? Math.max(1 << 20, 2 ** Math.ceil(Math.log2(wanted))) : wanted;
    if (others + asked <= quota.bytes) {
      file.capacity = asked;
      return wanted;
    }
    return chromium ? charged(file) : Math.max(file.bytes.length, quota.bytes - others);
  }

  /** As a browser that clears its storage does: handles that are open are closed (Firefox). */
  clear(): void {
    for (const file of this.files.values()) file.handle?.close();
    this.files.clear();
    for (const folder of this.folders.values()) folder.clear();
    this.folders.clear();
  }

  /** As Chromium does: what is open goes on, nameless. */
  vanish(): void {
    this.files.clear();
    for (const folder of this.folders.values()) folder.vanish();
    this.folders.clear();
  }

  get handles(): number {
    return [...this.files.values()].filter((file) => file.handle !== undefined).length;
  }

  /** What is there after the owner's end: all that was written, or after a power failure only what was flushed. */
  after(power: boolean): ShimFolder {
    const folder = new ShimFolder();
    folder.quota = this.quota;
    for (const [name, { bytes, synced }] of this.files) {
      const file = new ShimFile();
      file.bytes = (power ? synced : bytes).slice();
      file.synced = file.bytes.slice();
      file.capacity = file.bytes.length;
      folder.files.set(name, file);
    }
    return folder;
  }
}
