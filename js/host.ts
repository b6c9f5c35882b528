import type { NacreError } from "./errors.ts";
import { fillRandom } from "./random.ts";

/**
 * What the engine asks of the place that it runs in: answers to the calls of
 * wasi_snapshot_preview1 that the module imports. A call without an answer here gets
 * ENOSYS.
 */
export interface Host {
  calls(memory: HostMemory): WasiCalls;
  /** Gives back what the module left open: files, if any. */
  close(): void;
  /** Why the last call that failed did, once: in place of the module's words when the code fits. */
  reason?(): NacreError | undefined;
  /**
   * Before anything is acknowledged: resolves when all that was synced is safe, rejects when it
   * is not, and then nothing is acknowledged ever again. undefined: it is safe now.
   */
  settled?(): Promise<void> | undefined;
  /** Makes room for so many bytes more of log, and for what it takes to remove them again: one of ROOM. Absent: nobody knows before it is written. */
  room?(bytes: number): number;
  /** Called once when nothing can be read or written here any more. */
  onlost?: ((why: NacreError) => void) | undefined;
}

/** The module's memory as a host sees it; `fresh()` comes before each use. */
export interface HostMemory {
  readonly u8: Uint8Array;
  readonly view: DataView;
  fresh(): void;
}

export type WasiCalls = Record<string, (...values: never[]) => number | void>;

/** The numbers of wasi_snapshot_preview1. */
export const ERRNO = {
  SUCCESS: 0, ACCES: 2, AGAIN: 6, BADF: 8, BUSY: 10, DQUOT: 19, EXIST: 20, FBIG: 22, INTR: 27, INVAL: 28,
  IO: 29, ISDIR: 31, LOOP: 32, MFILE: 33, NAMETOOLONG: 37, NFILE: 41, NODEV: 43, NOENT: 44, NOMEM: 48,
  NOSPC: 51, NOSYS: 52, NOTDIR: 54, NOTEMPTY: 55, NOTSUP: 58, NXIO: 60, PERM: 63, ROFS: 69, SPIPE: 70,
  STALE: 72, TIMEDOUT: 73, TXTBSY: 74, XDEV: 75, NOTCAPABLE: 76,
} as const;

/** SCARCE: what there is, is for deletions. NONE: the logs must be emptied even before these. */
export const ROOM = { PLENTY: 0, SCARCE: 1, NONE: 2 } as const;

/** The module called `proc_exit`: it has found a bug of its own and is not to be used again. */
export class ModuleExit extends Error {}

/** The calls that have nothing to do with files. What the module says goes to console.error. */
export function commonCalls(memory: HostMemory): WasiCalls {
  const started = performance.now();
  let said = "";
  return {
    args_sizes_get: (count: number, size: number) => {
      memory.fresh();
      memory.view.setUint32(count, 0, true);
      memory.view.setUint32(size, 0, true);
      return ERRNO.SUCCESS;
    },
    args_get: () => ERRNO.SUCCESS,
    environ_sizes_get: (count: number, size: number) => {
      memory.fresh();
      memory.view.setUint32(count, 0, true);
      memory.view.setUint32(size, 0, true);
      return ERRNO.SUCCESS;
    },
    environ_get: () => ERRNO.SUCCESS,
    clock_res_get: (_clock: number, into: number) => {
      memory.fresh();
      memory.view.setBigUint64(into, 1_000_000n, true);
      return ERRNO.SUCCESS;
    },
    clock_time_get: (clock: number, _precision: bigint, into: number) => {
      memory.fresh();
      const ms = clock === 0 ? Date.now() : performance.now() - started;
      memory.view.setBigUint64(into, BigInt(Math.floor(ms * 1000)) * 1000n, true);
      return ERRNO.SUCCESS;
    },
    random_get: (into: number, size: number) => {
      memory.fresh();
      fillRandom(memory.u8.subarray(into, into + size));
      return ERRNO.SUCCESS;
    },
    sched_yield: () => ERRNO.SUCCESS,
    fd_write: (fd: number, pieces: number, count: number, written: number) => {
      if (fd !== 1 && fd !== 2) return ERRNO.BADF;
      memory.fresh();
      let size = 0;
      for (let i = 0; i < count; i++) {
        const at = memory.view.getUint32(pieces + 8 * i, true);
        const length = memory.view.getUint32(pieces + 8 * i + 4, true);
        said += new TextDecoder().decode(memory.u8.slice(at, at + length));
        size += length;
      }
      const lines = said.split("\n");
      said = lines.pop() ?? "";
      for (const line of lines) console.error(line);
      memory.view.setUint32(written, size, true);
      return ERRNO.SUCCESS;
    },
    fd_close: () => ERRNO.BADF,
    fd_prestat_get: () => ERRNO.BADF,
    fd_prestat_dir_name: () => ERRNO.BADF,
    fd_fdstat_get: () => ERRNO.BADF,
    proc_exit: (code: number) => {
      throw new ModuleExit(`the module gave up (exit ${code}) ${said}`);
    },
  };
}
