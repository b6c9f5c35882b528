import { LIMIT } from "./abi.gen.ts";
import { checkOptions, invalid, shown } from "./errors.ts";
import type { Storage } from "./schema.ts";
import { writeU32 } from "./rows.ts";

export interface PutOptions {
  /**
   * Milliseconds that the row lives, counted from its commit (in a bulk load, from when it is
   * read); Infinity: for ever. As the schema says when absent. From its end on no read finds
   * it, in snapshots and iterators either; a later put of its key says it anew.
   */
  ttlMs?: number | undefined;
}

/**
 * When a row ends, as it is written: 0 never; below 0 that many milliseconds after its
 * commit; above 0 at that time.
 */
export type Expiry = number;

/** What the options of a put say, and where they do not, the schema. */
export function expiryOf(options: unknown, { ttlMs: usual }: Storage, what: () => string): Expiry {
  if (options === undefined) return -usual;
  const { ttlMs } = checkOptions(options, what(), ["ttlMs"]);
  if (ttlMs === undefined) return -usual;
  if (ttlMs === Infinity) return 0;
  if (typeof ttlMs === "number" && Number.isInteger(ttlMs) && ttlMs >= 1 && ttlMs <= LIMIT.TIMESTAMP_MS) return -ttlMs;
  throw invalid(`${what()}: ttlMs must be Infinity or a whole number of milliseconds from 1 to ${LIMIT.TIMESTAMP_MS}, not ${shown(ttlMs)}`);
}

export const EXPIRY_ROOM = 8;

/** Writes what stands in front of a value that ends: nothing for 0; gives the end. */
export function writeExpiry(expiry: Expiry, into: Uint8Array, at: number): number {
  if (expiry === 0) return at;
  const ms = Math.abs(expiry);
  writeU32(ms % 0x100000000, into, at);
  writeU32(Math.floor(ms / 0x100000000) + (expiry < 0 ? 0x80000000 : 0), into, at + 4); // RECORD_LIFETIME
  return at + EXPIRY_ROOM;
}
