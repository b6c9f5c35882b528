// keycode_format.h
import { Reader, expect, utf8 } from "./bytes.ts";
import type { Type } from "./schema.ts";

/** Integers and timestamps are bigints. */
export type Value = null | bigint | number | boolean | string | Uint8Array;

function readNumber(r: Reader, type: Type): bigint | number {
  const code = r.u64be();
  const positive = code >> 63n === 1n;
  if (type !== "real") return BigInt.asIntN(64, code ^ (1n << 63n));
  const bits = new DataView(new ArrayBuffer(8));
  bits.setBigUint64(0, positive ? code ^ (1n << 63n) : ~code & ((1n << 64n) - 1n));
  const real = bits.getFloat64(0);
  expect(!Number.isNaN(real) && !Object.is(real, -0), "key: NaN or -0");
  return real;
}

function readEscaped(r: Reader): Uint8Array {
  const raw: number[] = [];
  for (;;) {
    const byte = r.u8();
    const code = byte === 0 ? r.u8() : undefined;
    if (code === 1) return Uint8Array.from(raw);
    expect(code === undefined || code === 0xff, "key: escape");
    raw.push(byte);
  }
}

function readPart(r: Reader, type: Type): Value {
  switch (type) {
    case "boolean": {
      const byte = r.u8();
      expect(byte <= 1, "key: boolean");
      return byte === 1;
    }
    case "text": return utf8(readEscaped(r));
    case "bytes": return readEscaped(r);
    default: return readNumber(r, type);
  }
}

/** The parts of a key, without the membrane's id. */
export function readKey(bytes: Uint8Array, types: readonly Type[]): Value[] {
  const r = new Reader(bytes);
  const parts = types.map((type) => readPart(r, type));
  r.end("key");
  return parts;
}
