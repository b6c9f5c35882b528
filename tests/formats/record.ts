// record_format.h
import { Reader, expect } from "./bytes.ts";

export const DELETE = 1;
export const VECTOR = 2;
export const EXPIRES = 8;

export interface Row {
  key: Uint8Array; // with the membrane's id
  deleted: boolean;
  value: Uint8Array;
  vector: Uint8Array | undefined;
  expires: bigint; // milliseconds since 1970; 0: never
}

export interface Batch {
  lsn: bigint;
  rows: Row[];
}

/** `logged`: not from the archive of changes, where nobody looks at link and stamp. */
export function readRecord(r: Reader, logged = true): Row {
  const start = r.at;
  const head = r.u32();
  const keySize = head & 0xffffff;
  const flags = head >>> 24;
  const valueSize = r.u32();
  if (logged) r.zeros(8, "record: link and stamp");
  else r.take(8);
  const key = r.take(keySize);
  let value = r.take(valueSize);
  r.zeros((4 - ((r.at - start) % 4)) % 4, "record: padding");
  expect(keySize > 4 && (flags === DELETE || (flags & ~(VECTOR | EXPIRES)) === 0), () => `record: key of ${keySize} bytes, flags ${flags}`);
  if (flags === DELETE) expect(valueSize === 0, "record: a deletion with a value");
  let expires = 0n;
  if (flags & EXPIRES) {
    const v = new Reader(value);
    expires = v.u64();
    expect(expires > 0n && expires < 1n << 63n, () => `record: expiry ${expires}`);
    value = v.take(v.left);
  }
  let vector: Uint8Array | undefined;
  if (flags & VECTOR) {
    const v = new Reader(value);
    vector = v.take(v.u32());
    value = v.take(v.left);
  }
  return { key, deleted: flags === DELETE, value, vector, expires };
}

/** The batches of one frame's body. */
export function readBatches(body: Uint8Array): Batch[] {
  const r = new Reader(body);
  const batches: Batch[] = [];
  while (r.left > 0) {
    const start = r.at;
    const size = r.u32();
    const count = r.u32();
    const lsn = r.u64();
    expect(size % 4 === 0, "batch: size");
    batches.push({ lsn, rows: r.array(count, (each) => readRecord(each)) });
    expect(r.at - start === size, () => `batch ${lsn}: size`);
  }
  return batches;
}
