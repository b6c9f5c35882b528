// The LZ4 block format: sequences of literals and a copy of what was before.
import { Reader, expect } from "./bytes.ts";

/** Fills `out` from a block that must hold exactly so much. */
export function readLz4(block: Uint8Array, out: Uint8Array): void {
  const r = new Reader(block);
  let at = 0;
  const length = (nibble: number): number => {
    let size = nibble;
    for (let byte = 255; nibble === 15 && byte === 255; size += byte) byte = r.u8();
    return size;
  };
  for (;;) {
    const token = r.u8();
    const literals = r.take(length(token >>> 4));
    expect(at + literals.length <= out.length, "lz4: literals");
    out.set(literals, at);
    at += literals.length;
    if (r.left === 0) break; // the last sequence has no copy
    const distance = r.u16();
    const size = length(token & 15) + 4;
    expect(distance > 0 && distance <= at && at + size <= out.length, "lz4: copy");
    for (let i = 0; i < size; i++, at++) out[at] = out[at - distance]!;
  }
  expect(at === out.length, "lz4: size");
}
