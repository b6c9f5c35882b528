import { commonCalls, ERRNO } from "./host.ts";
import type { Host, HostMemory, WasiCalls } from "./host.ts";
import { NacreError } from "./errors.ts";

const PREOPEN = 3;
const RIGHT_WRITE = 1n << 6n;
const OFLAG = { CREAT: 1, DIRECTORY: 2, EXCL: 4, TRUNC: 8 } as const;
const FILETYPE = { DIRECTORY: 3, REGULAR: 4 } as const;
const ALL_RIGHTS = 0xffff_ffff_ffff_ffffn;
const FOLDER = new TextEncoder().encode(".");

/**
 * A file where there is no file system: everything is done when the call returns, and what
 * cannot be done throws a Failure. One of size 0 is as good as none (rule 2 below).
 */
export interface HostFile {
  readonly size: number;
  /** As many bytes as there are. */
  read(into: Uint8Array, at: number): number;
  /** All of them, or a throw. */
  write(from: Uint8Array, at: number): void;
  truncate(size: number): void;
  sync(): void;
  /** May be called twice; the last thing that happens to it. */
  close(): void;
}

/** A failure with a number of WASI, and what the user is told of it in place of the module's words. */
export class Failure extends Error {
  readonly errno: number;
  readonly reason: NacreError | undefined;

  constructor(errno: number, reason?: NacreError) {
    super(reason?.message ?? `errno ${errno}`);
    this.errno = errno;
    this.reason = reason;
  }
}

/**
 * The calls for files, over a fixed set of them.
 *
 * 1. All files lie in one folder, and have the names of the map and no others: whoever makes
 *    another one is refused. The folder itself cannot be opened.
 * 2. A file is there when it has bytes, or was made since; what was removed is there no more.
 */
export class FilesHost implements Host {
  readonly #files: ReadonlyMap<string, HostFile>;
  readonly #there = new Set<HostFile>();
  readonly #open = new Map<number, { file: HostFile; writable: boolean }>();
  #next = PREOPEN + 1;
  #reason: NacreError | undefined;
  #lost: NacreError | undefined;
  #tell!: (why: NacreError) => void;
  /** Resolves when nothing goes any more. */
  readonly whenLost = new Promise<NacreError>((resolve) => this.#tell = resolve);
  onlost: ((why: NacreError) => void) | undefined;
  #doubt: Promise<void> | undefined;

  constructor(files: ReadonlyMap<string, HostFile>) {
    this.#files = files;
    for (const file of files.values()) if (file.size > 0) this.#there.add(file);
  }

  /** Why the last call that failed did, once. */
  reason(): NacreError | undefined {
    const reason = this.#reason;
    this.#reason = undefined;
    return reason;
  }

  /** Why nothing goes any more, when nothing does. */
  get lost(): NacreError | undefined {
    return this.#lost;
  }

  /** From now on nothing goes any more: every call of the engine throws `why`. */
  lose(why: NacreError): void {
    if (this.#lost !== undefined) return;
    this.#lost = why;
    this.onlost?.(why);
    this.#tell(why);
  }

  /**
   * The files may be gone: nothing is acknowledged until `check` is done. It throws EVICTED when
   * they are; when it throws anything else, nobody knows.
   */
  suspect(check: () => Promise<void>): void {
    const doubt = (this.#doubt ?? Promise.resolve()).then(check).catch((error: unknown) => {
      if (error instanceof NacreError && error.code === "EVICTED") this.lose(error);
    }).then(() => {
      if (this.#doubt === doubt) this.#doubt = undefined;
      if (this.#lost !== undefined) throw this.#lost;
    });
    doubt.catch(() => {}); // whoever waits for it is told
    this.#doubt = doubt;
  }

  settled(): Promise<void> | undefined {
    return this.#lost === undefined ? this.#doubt : Promise.reject(this.#lost);
  }

  close(): void {
    this.#open.clear();
    // Chromium never comes back from closing a file that it has removed itself: the worker's end does it.
    if (this.#lost?.code === "EVICTED") return;
    for (const file of this.#files.values()) file.close();
  }

  #path(memory: HostMemory, at: number, size: number): string {
    return new TextDecoder().decode(memory.u8.slice(at, at + size)).replace(/^\.\/+/, "");
  }

  #find(path: string): HostFile {
    const file = this.#files.get(path);
    if (file === undefined || !this.#there.has(file)) throw new Failure(ERRNO.NOENT);
    return file;
  }

  #at(fd: number): HostFile {
    const file = this.#open.get(fd)?.file;
    if (file === undefined) throw new Failure(ERRNO.BADF);
    return file;
  }

  #writable(fd: number): HostFile {
    const file = this.#at(fd);
    if (this.#open.get(fd)?.writable !== true) throw new Failure(ERRNO.BADF);
    return file;
  }

  #create(path: string, oflags: number, writable: boolean): number {
    if (oflags & OFLAG.DIRECTORY) throw new Failure(ERRNO.NOTSUP);
    const known = this.#files.get(path);
    if (known !== undefined && oflags & OFLAG.CREAT) {
      if (oflags & OFLAG.EXCL && this.#there.has(known)) throw new Failure(ERRNO.EXIST);
      this.#there.add(known);
    } else if (known === undefined && oflags & OFLAG.CREAT) {
      throw new Failure(ERRNO.NOTSUP);
    }
    const file = this.#find(path);
    if (oflags & OFLAG.TRUNC) file.truncate(0);
    this.#open.set(this.#next, { file, writable });
    return this.#next++;
  }

  calls(memory: HostMemory): WasiCalls {
    /** Answers with an errno what throws. */
    const guard = <Values extends unknown[]>(call: (...values: Values) => void) => (...values: Values): number => {
      try {
        if (this.#lost !== undefined) return ERRNO.IO;
        memory.fresh();
        call(...values);
        return ERRNO.SUCCESS;
      } catch (error) {
        if (!(error instanceof Failure)) throw error; // our own bug: the engine stops
        if (error.reason !== undefined) this.#reason = error.reason;
        if (error.reason?.code === "EVICTED") this.lose(error.reason);
        return error.errno;
      }
    };
    /** Moves piece by piece, up to the first that is cut short. */
    const transfer = (move: (fd: number, bytes: Uint8Array, position: number) => number) =>
      guard((fd: number, pieces: number, count: number, offset: bigint, moved: number) => {
        let total = 0;
        for (let i = 0; i < count; i++) {
          const at = memory.view.getUint32(pieces + 8 * i, true);
          const size = memory.view.getUint32(pieces + 8 * i + 4, true);
          if (size === 0) continue;
          const got = move(fd, memory.u8.subarray(at, at + size), Number(offset) + total);
          total += got;
          if (got < size) break;
        }
        memory.view.setUint32(moved, total, true);
      });
    const stat = (file: HostFile, into: number): void => {
      memory.u8.fill(0, into, into + 64);
      memory.view.setBigUint64(into + 16, BigInt(FILETYPE.REGULAR), true);
      memory.view.setBigUint64(into + 24, this.#there.has(file) ? 1n : 0n, true);
      memory.view.setBigUint64(into + 32, BigInt(file.size), true);
    };
    return {
      ...commonCalls(memory),
      fd_prestat_get: guard((fd: number, into: number) => {
        if (fd !== PREOPEN) throw new Failure(ERRNO.BADF);
        memory.view.setUint32(into, 0, true);
        memory.view.setUint32(into + 4, FOLDER.length, true);
      }),
      fd_prestat_dir_name: guard((fd: number, into: number, size: number) => {
        if (fd !== PREOPEN) throw new Failure(ERRNO.BADF);
        if (size < FOLDER.length) throw new Failure(ERRNO.NAMETOOLONG);
        memory.u8.set(FOLDER, into);
      }),
      fd_fdstat_get: guard((fd: number, into: number) => {
        if (fd !== PREOPEN) this.#at(fd);
        memory.view.setBigUint64(into, BigInt(fd === PREOPEN ? FILETYPE.DIRECTORY : FILETYPE.REGULAR), true);
        memory.view.setBigUint64(into + 8, ALL_RIGHTS, true);
        memory.view.setBigUint64(into + 16, ALL_RIGHTS, true);
      }),
      path_open: guard((_fd: number, _lookup: number, at: number, size: number, oflags: number, rights: bigint,
                        _inheriting: bigint, _flags: number, into: number) => {
        const fd = this.#create(this.#path(memory, at, size), oflags, (rights & RIGHT_WRITE) !== 0n);
        memory.view.setUint32(into, fd, true);
      }),
      path_unlink_file: guard((_fd: number, at: number, size: number) => {
        const file = this.#find(this.#path(memory, at, size));
        file.truncate(0);
        this.#there.delete(file);
      }),
      path_filestat_get: guard((_fd: number, _lookup: number, at: number, size: number, into: number) =>
        stat(this.#find(this.#path(memory, at, size)), into)),
      fd_filestat_get: guard((fd: number, into: number) => stat(this.#at(fd), into)),
      fd_filestat_set_size: guard((fd: number, size: bigint) => this.#writable(fd).truncate(Number(size))),
      fd_pread: transfer((fd, into, position) => this.#at(fd).read(into, position)),
      fd_pwrite: transfer((fd, from, position) => {
        this.#writable(fd).write(from, position);
        return from.length;
      }),
      fd_datasync: guard((fd: number) => this.#at(fd).sync()),
      fd_sync: guard((fd: number) => this.#at(fd).sync()),
      fd_close: guard((fd: number) => {
        this.#at(fd);
        this.#open.delete(fd);
      }),
    };
  }
}
