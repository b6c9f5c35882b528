import { ABI, LIMIT, PATH } from "./abi.gen.ts";
import { longCall } from "./cutoff.ts";
import type { LongCall } from "./cutoff.ts";
import { checkOptions, invalid, NacreError, shown } from "./errors.ts";
import type { Where } from "./where.ts";

/** Names of fields, and "vector". */
export type Include<F> = readonly ((keyof F & string) | "vector")[];

export interface SearchOptions<F = Record<string, unknown>> extends LongCall {
  /** 1 or more; 10 when absent. */
  k?: number | undefined;
  where?: Where<F> | undefined;
  /** The share of true neighbours to aim for, above 0 and up to 1 (0.95 when absent); "exact" scores every vector. */
  recall?: number | "exact" | undefined;
  /** Lists of the index to read, whatever `recall` would want. */
  probes?: number | undefined;
  /** Only records at this distance or nearer: fewer than `k` if there are fewer. */
  maxDistance?: number | undefined;
  /** All fields and no vector when absent; [] for neither. */
  include?: Include<F> | undefined;
}

/** How a search was done. */
export interface Explanation {
  /** "exact": every vector was scored. */
  path: "exact" | "flat" | "ivf" | "matches";
  /** Codes of vectors that were compared. */
  codesScored: number;
  /** Vectors themselves that were compared. */
  reranked: number;
  /** Segments that were searched; the newest records are in none. */
  segments: number;
  ms: number;
}

/** What the engine is asked for, of any number of queries. */
export interface SearchRequest {
  readonly k: number;
  readonly flags: number;
  /** 0: the default. */
  readonly recall: number;
  /** 0: not said. */
  readonly probes: number;
  readonly maxDistance: number;
  /** Below 0: none. */
  readonly timeoutMs: number;
  readonly filter: Uint8Array;
  /** Fields by index; undefined: all. */
  readonly wanted: readonly boolean[] | undefined;
}

/** What knows the membrane's fields. */
export interface SearchShape {
  include(include: unknown, what: string): { wanted: boolean[] | undefined; vector: boolean };
  where(where: unknown, what: string): Uint8Array;
}

const OPTIONS = ["k", "where", "recall", "include", "probes", "maxDistance", "signal", "timeoutMs"];

/** The options of a search, checked. */
export function searchRequest(shape: SearchShape, options: unknown, what: string): SearchRequest {
  const given = checkOptions(options, what, OPTIONS);
  const { k = 10, recall = 0, probes = 0, maxDistance } = given;
  if (typeof k !== "number" || !Number.isInteger(k) || k < 1 || k > LIMIT.K) {
    throw invalid(`${what}: k must be a whole number from 1 to ${LIMIT.K}, not ${shown(k)}`);
  }
  if (given.recall !== undefined && recall !== "exact" && !(typeof recall === "number" && recall > 0 && recall <= 1)) {
    throw invalid(`${what}: recall must be a number above 0 and up to 1, or "exact", not ${shown(recall)}`);
  }
  if (given.probes !== undefined && !(typeof probes === "number" && Number.isInteger(probes) && probes >= 1 && probes < 2 ** 32)) {
    throw invalid(`${what}: probes must be a whole number, 1 or more, not ${shown(probes)}`);
  }
  if (recall === "exact" && given.probes !== undefined) throw invalid(`${what}: an exact search has no probes`);
  if (maxDistance !== undefined && !(typeof maxDistance === "number" && !Number.isNaN(maxDistance))) {
    throw invalid(`${what}: maxDistance must be a number, not ${shown(maxDistance)}`);
  }
  const { wanted, vector } = shape.include(given.include, what);
  const filter = shape.where(given.where, what);
  return {
    k, wanted, filter,
    flags: (vector ? ABI.SEARCH_VECTORS : 0) | (recall === "exact" ? ABI.SEARCH_EXACT : 0) |
      (maxDistance === undefined ? 0 : ABI.SEARCH_LIMITED),
    recall: recall === "exact" ? 0 : recall as number,
    probes: probes as number,
    maxDistance: maxDistance === undefined ? 0 : floatUpTo(maxDistance as number),
    timeoutMs: timeLeft(given, what),
  };
}

/** A search is done in one go: a signal must have fired before it, and the engine keeps the time. */
function timeLeft(given: Record<string, unknown>, what: string): number {
  const { signal, timeoutMs } = longCall(given, what);
  if (signal?.aborted === true) throw new NacreError("ABORTED", `${what}: aborted`, { cause: signal.reason });
  return timeoutMs === undefined || timeoutMs > Number.MAX_SAFE_INTEGER / 2 ? -1 : timeoutMs;
}

const scratch = new DataView(new ArrayBuffer(4));

/** The greatest number of 32 bits that is not above `limit`: distances have 32 bits. */
function floatUpTo(limit: number): number {
  const near = Math.fround(limit);
  if (near <= limit) return near;
  scratch.setFloat32(0, near);
  const bits = scratch.getInt32(0);
  if (near === 0) return -(2 ** -149);
  scratch.setInt32(0, near > 0 ? bits - 1 : bits + 1);
  return scratch.getFloat32(0);
}

const PATHS: readonly (readonly [number, Explanation["path"]])[] = [
  [PATH.EXACT, "exact"], [PATH.FLAT, "flat"], [PATH.IVF, "ivf"], [PATH.MATCHES, "matches"],
];

/** The name of a nacre_search_path. */
export function pathName(path: number): Explanation["path"] {
  const found = PATHS.find(([number]) => number === path);
  if (found === undefined) throw new NacreError("INTERNAL", `a search by the path ${path}, which this package does not know`);
  return found[1];
}
