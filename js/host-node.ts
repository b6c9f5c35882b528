import { commonCalls, ERRNO } from "./host.ts";
import type { Host, HostMemory, WasiCalls } from "./host.ts";
import { builtin } from "./node.ts";

const PREOPEN = 3;
const RIGHT_WRITE = 1n << 6n;
const OFLAG = { CREAT: 1, DIRECTORY: 2, EXCL: 4, TRUNC: 8 } as const;
const FILETYPE = { UNKNOWN: 0, DIRECTORY: 3, REGULAR: 4 } as const;
const DIRENT_SIZE = 24;
const ALL_RIGHTS = 0xffff_ffff_ffff_ffffn;

/** What node:fs says, in numbers of WASI; what is not here is EIO. */
const ERRNO_OF: Readonly<Record<string, number>> = {
  EACCES: ERRNO.ACCES, EAGAIN: ERRNO.AGAIN, EBADF: ERRNO.BADF, EBUSY: ERRNO.BUSY, EDQUOT: ERRNO.DQUOT,
  EEXIST: ERRNO.EXIST, EFBIG: ERRNO.FBIG, EINTR: ERRNO.INTR, EINVAL: ERRNO.INVAL, EIO: ERRNO.IO,
  EISDIR: ERRNO.ISDIR, ELOOP: ERRNO.LOOP, EMFILE: ERRNO.MFILE, ENAMETOOLONG: ERRNO.NAMETOOLONG,
  ENFILE: ERRNO.NFILE, ENODEV: ERRNO.NODEV, ENOENT: ERRNO.NOENT, ENOMEM: ERRNO.NOMEM, ENOSPC: ERRNO.NOSPC,
  ENOSYS: ERRNO.NOSYS, ENOTDIR: ERRNO.NOTDIR, ENOTEMPTY: ERRNO.NOTEMPTY, ENOTSUP: ERRNO.NOTSUP,
  EOPNOTSUPP: ERRNO.NOTSUP, ENXIO: ERRNO.NXIO, EPERM: ERRNO.PERM, EROFS: ERRNO.ROFS, ESPIPE: ERRNO.SPIPE,
  ESTALE: ERRNO.STALE, ETIMEDOUT: ERRNO.TIMEDOUT, ETXTBSY: ERRNO.TXTBSY, EXDEV: ERRNO.XDEV,
};

/** What a NodeHost is told of its surroundings. */
export interface NodeHostOptions {
  /** The module's environment. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Runs before the module sees a list of the folder. */
  readonly beforeListing?: () => void;
}

interface OpenFile {
  /** Node's descriptor; -1 for a folder that the system does not open (Windows). */
  readonly fd: number;
  readonly path: string;
  readonly folder: boolean;
}

/**
 * Files of the operating system, in one folder and nowhere else. The calls are answered
 * over node:fs, because node:wasi goes on using freed memory after the module's memory
 * has grown.
 */
export class NodeHost implements Host {
  readonly #fs = builtin("node:fs");
  readonly #path = builtin("node:path");
  readonly #folder: string;
  readonly #guest: string;
  readonly #files = new Map<number, OpenFile>();
  /** What a folder held when its listing began: by descriptor. */
  readonly #listings = new Map<number, Uint8Array[]>();
  readonly #options: NodeHostOptions;
  #next = PREOPEN + 1;

  /** `folder` is where the files lie, and `guest` its name inside the module. */
  constructor(folder: string, guest: string, options: NodeHostOptions = {}) {
    this.#folder = folder;
    this.#guest = guest;
    this.#options = options;
    this.#files.set(PREOPEN, { fd: -1, path: folder, folder: true });
  }

  close(): void {
    for (const [number, file] of this.#files) {
      if (file.fd >= 0) this.#fs.closeSync(file.fd);
      this.#files.delete(number);
    }
  }

  #file(fd: number): OpenFile {
    const file = this.#files.get(fd);
    if (file === undefined) throw new Failure(ERRNO.BADF);
    return file;
  }

  #resolve(memory: HostMemory, fd: number, at: number, size: number): string {
    const folder = this.#file(fd);
    if (!folder.folder) throw new Failure(ERRNO.NOTDIR);
    const name = new TextDecoder().decode(memory.u8.slice(at, at + size));
    const path = this.#path.resolve(folder.path, name);
    const inside = this.#path.relative(this.#folder, path);
    if (inside === ".." || inside.startsWith(`..${this.#path.sep}`) || this.#path.isAbsolute(inside)) {
      throw new Failure(ERRNO.NOTCAPABLE);
    }
    return path;
  }

  #open(path: string, oflags: number, rights: bigint, follow: boolean): number {
    const { constants } = this.#fs;
    const folder = (oflags & OFLAG.DIRECTORY) !== 0;
    let flags = (rights & RIGHT_WRITE) !== 0n && !folder ? constants.O_RDWR : constants.O_RDONLY;
    if (oflags & OFLAG.CREAT) flags |= constants.O_CREAT;
    if (oflags & OFLAG.EXCL) flags |= constants.O_EXCL;
    if (oflags & OFLAG.TRUNC) flags |= constants.O_TRUNC;
    if (!follow) flags |= constants.O_NOFOLLOW ?? 0;
    let file: OpenFile;
    try {
      file = { fd: this.#fs.openSync(path, flags | (folder ? constants.O_DIRECTORY ?? 0 : constants.O_NONBLOCK ?? 0), 0o600), path, folder };
    } catch (error) {
      if (!folder || !this.#fs.statSync(path).isDirectory()) throw error;
      file = { fd: -1, path, folder };
    }
    this.#files.set(this.#next, file);
    return this.#next++;
  }

  calls(memory: HostMemory): WasiCalls {
    const fs = this.#fs;
    const common = commonCalls(memory);
    /** Answers with an errno what throws. */
    const guard = <Values extends unknown[]>(call: (...values: Values) => number) => (...values: Values): number => {
      try {
        memory.fresh();
        return call(...values);
      } catch (error) {
        if (error instanceof Failure) return error.errno;
        const code = (error as NodeJS.ErrnoException).code;
        return (code === undefined ? undefined : ERRNO_OF[code]) ?? ERRNO.IO;
      }
    };
    /** Reads or writes piece by piece, up to the first that is cut short; counts are truthful. */
    const transfer = (move: (fd: number, from: Uint8Array, at: number, size: number, position: number) => number) =>
      guard((fd: number, pieces: number, count: number, offset: bigint, moved: number) => {
        const file = this.#file(fd);
        if (file.folder) return ERRNO.ISDIR;
        let total = 0;
        for (let i = 0; i < count; i++) {
          const at = memory.view.getUint32(pieces + 8 * i, true);
          const size = memory.view.getUint32(pieces + 8 * i + 4, true);
          if (size === 0) continue;
          const got = move(file.fd, memory.u8, at, size, Number(offset) + total);
          total += got;
          if (got < size) break;
        }
        memory.view.setUint32(moved, total, true);
        return ERRNO.SUCCESS;
      });
    const stat = (path: string | number, into: number): number => {
      const about = typeof path === "number" ? fs.fstatSync(path, { bigint: true }) : fs.statSync(path, { bigint: true });
      const type = about.isFile() ? FILETYPE.REGULAR : about.isDirectory() ? FILETYPE.DIRECTORY : FILETYPE.UNKNOWN;
      const { view } = memory;
      view.setBigUint64(into, BigInt.asUintN(64, about.dev), true);
      view.setBigUint64(into + 8, BigInt.asUintN(64, about.ino), true);
      view.setBigUint64(into + 16, BigInt(type), true);
      view.setBigUint64(into + 24, about.nlink, true);
      view.setBigUint64(into + 32, about.size, true);
      view.setBigUint64(into + 40, about.atimeNs, true);
      view.setBigUint64(into + 48, about.mtimeNs, true);
      view.setBigUint64(into + 56, about.ctimeNs, true);
      return ERRNO.SUCCESS;
    };
    const sync = (how: (fd: number) => void) => guard((fd: number) => {
      const file = this.#file(fd);
      if (file.fd >= 0) how(file.fd);
      return ERRNO.SUCCESS;
    });
    const guestBytes = new TextEncoder().encode(this.#guest);
    const environment = Object.entries(this.#options.environment ?? {}).map(([name, value]) => new TextEncoder().encode(`${name}=${value}\0`));
    return {
      ...common,
      fd_prestat_get: guard((fd: number, into: number) => {
        if (fd !== PREOPEN) return ERRNO.BADF;
        memory.view.setUint32(into, 0, true);
        memory.view.setUint32(into + 4, guestBytes.length, true);
        return ERRNO.SUCCESS;
      }),
      fd_prestat_dir_name: guard((fd: number, into: number, size: number) => {
        if (fd !== PREOPEN) return ERRNO.BADF;
        if (size < guestBytes.length) return ERRNO.NAMETOOLONG;
        memory.u8.set(guestBytes, into);
        return ERRNO.SUCCESS;
      }),
      fd_fdstat_get: guard((fd: number, into: number) => {
        const file = this.#file(fd);
        memory.view.setBigUint64(into, BigInt(file.folder ? FILETYPE.DIRECTORY : FILETYPE.REGULAR), true);
        memory.view.setBigUint64(into + 8, ALL_RIGHTS, true);
        memory.view.setBigUint64(into + 16, ALL_RIGHTS, true);
        return ERRNO.SUCCESS;
      }),
      environ_sizes_get: guard((count: number, size: number) => {
        memory.view.setUint32(count, environment.length, true);
        memory.view.setUint32(size, environment.reduce((sum, bytes) => sum + bytes.length, 0), true);
        return ERRNO.SUCCESS;
      }),
      environ_get: guard((pointers: number, into: number) => {
        for (const [i, bytes] of environment.entries()) {
          memory.view.setUint32(pointers + 4 * i, into, true);
          memory.u8.set(bytes, into);
          into += bytes.length;
        }
        return ERRNO.SUCCESS;
      }),
      fd_readdir: guard((fd: number, into: number, size: number, cookie: bigint, used: number) => {
        const { folder, path } = this.#file(fd);
        if (!folder) return ERRNO.NOTDIR;
        if (cookie === 0n) {
          this.#options.beforeListing?.();
          this.#listings.set(fd, fs.readdirSync(path).map((name) => new TextEncoder().encode(name)));
        }
        let at = 0;
        for (const [i, name] of (this.#listings.get(fd) ?? []).slice(Number(cookie)).entries()) {
          const entry = new Uint8Array(DIRENT_SIZE + name.length), next = cookie + BigInt(i) + 1n;
          const view = new DataView(entry.buffer);
          view.setBigUint64(0, next, true);
          view.setBigUint64(8, next, true); // in place of the inode: no zero
          view.setUint32(16, name.length, true);
          entry.set(name, DIRENT_SIZE);
          memory.u8.set(entry.subarray(0, size - at), into + at); // the last one may be cut: it is asked for again
          at += Math.min(entry.length, size - at);
          if (at === size) break;
        }
        memory.view.setUint32(used, at, true);
        return ERRNO.SUCCESS;
      }),
      path_rename: guard((fd: number, at: number, atSize: number, newFd: number, to: number, toSize: number) => {
        fs.renameSync(this.#resolve(memory, fd, at, atSize), this.#resolve(memory, newFd, to, toSize));
        return ERRNO.SUCCESS;
      }),
      path_unlink_file: guard((fd: number, at: number, size: number) => {
        fs.unlinkSync(this.#resolve(memory, fd, at, size));
        return ERRNO.SUCCESS;
      }),
      path_open: guard((fd: number, lookup: number, at: number, size: number, oflags: number, rights: bigint,
                        _inheriting: bigint, _flags: number, into: number) => {
        const opened = this.#open(this.#resolve(memory, fd, at, size), oflags, rights, (lookup & 1) !== 0);
        memory.view.setUint32(into, opened, true);
        return ERRNO.SUCCESS;
      }),
      path_filestat_get: guard((fd: number, _lookup: number, at: number, size: number, into: number) =>
        stat(this.#resolve(memory, fd, at, size), into)),
      fd_filestat_get: guard((fd: number, into: number) => {
        const file = this.#file(fd);
        return stat(file.fd >= 0 ? file.fd : file.path, into);
      }),
      fd_filestat_set_size: guard((fd: number, size: bigint) => {
        fs.ftruncateSync(this.#file(fd).fd, Number(size));
        return ERRNO.SUCCESS;
      }),
      fd_pread: transfer((fd, bytes, at, size, position) => fs.readSync(fd, bytes, at, size, position)),
      fd_pwrite: transfer((fd, bytes, at, size, position) => fs.writeSync(fd, bytes, at, size, position)),
      fd_datasync: sync((fd) => fs.fdatasyncSync(fd)),
      fd_sync: sync((fd) => fs.fsyncSync(fd)),
      fd_close: guard((fd: number) => {
        const file = this.#file(fd);
        this.#listings.delete(fd);
        this.#files.delete(fd); // closed even if the system complains, and never again
        if (file.fd >= 0) fs.closeSync(file.fd);
        return ERRNO.SUCCESS;
      }),
    };
  }
}

class Failure extends Error {
  readonly errno: number;

  constructor(errno: number) {
    super(`errno ${errno}`);
    this.errno = errno;
  }
}
