import { LIMIT, TYPE } from "./abi.gen.ts";
import { invalid, shown } from "./errors.ts";
import { decodeText } from "./heap.ts";
import type { Cut } from "./heap.ts";
import { jsonText } from "./json.ts";
import type { Field, ValueType } from "./schema.ts";

import { textRoom, writeText } from "./text.ts";

const I64_MIN = -(2n ** 63n), I64_MAX = 2n ** 63n - 1n;
const scratch = new DataView(new ArrayBuffer(8));

/** What a value becomes before it is written: nothing that follows runs the caller's code. */
export type Plain = string | Uint8Array;

/** A key-value membrane's value, checked: JSON already as text. */
export function plainValue(type: ValueType, value: unknown, what: () => string): Plain {
  if (type === "json") return jsonText(value, what);
  if (type === "text" ? typeof value !== "string" : !(value instanceof Uint8Array)) {
    throw invalid(`${what()}: a value must be ${type === "text" ? "a string" : "a Uint8Array"}, not ${shown(value)}`);
  }
  return value as Plain;
}

export function plainRoom(plain: Plain, what: () => string): number {
  // No text is shorter in UTF-8 than in UTF-16 units.
  if (plain.length > LIMIT.VALUE_SIZE) throw tooLarge(plain.length, what);
  return typeof plain === "string" ? textRoom(plain) : plain.length;
}

/** Writes it; gives the end. There must be room for `plainRoom`. */
export function writePlain(plain: Plain, into: Uint8Array, at: number, what: () => string): number {
  if (typeof plain !== "string") {
    writeBytes(plain, into, at);
    return at + plain.length;
  }
  const end = writeText(plain, into, at, what);
  if (end - at > LIMIT.VALUE_SIZE) throw tooLarge(end - at, what);
  return end;
}

/** For small pieces a loop is quicker than `set`, which looks at its argument first. */
function writeBytes(from: Uint8Array, into: Uint8Array, at: number): void {
  if (from.length > 32) {
    into.set(from, at);
  } else {
    for (let i = 0; i < from.length; i++) into[at + i] = from[i] as number;
  }
}

function tooLarge(size: number, what: () => string): Error {
  return invalid(`${what()}: a value of ${size} bytes, at most ${LIMIT.VALUE_SIZE} are allowed`);
}

/** A field's value, checked, before it is written; null where it is absent. */
export type PlainField = Plain | number | bigint | boolean | Date | null;

/** Checks the value of a field; undefined counts as null. */
export function plainField(field: Field, value: unknown, what: () => string): PlainField {
  if (value === undefined || value === null) return null;
  const refuse = (why: string): Error => invalid(`${what()}: field ${field.name}: ${why}`);
  const mistyped = (wants: string): Error => refuse(`must be ${wants} (${field.type}), not ${shown(value)}`);
  switch (field.type) {
    case "text":
      if (typeof value !== "string") throw mistyped("a string");
      return value;
    case "bytes":
      if (!(value instanceof Uint8Array)) throw mistyped("a Uint8Array");
      return value;
    case "integer":
      if (typeof value === "bigint") break;
      if (typeof value !== "number") throw mistyped("a number or bigint");
      if (!Number.isSafeInteger(value)) {
        throw refuse(`${shown(value)} is not a safe integer${Number.isInteger(value) ? " (use a bigint)" : ""}`);
      }
      return value;
    case "bigint":
      if (typeof value !== "bigint") throw mistyped("a bigint");
      break;
    case "real":
      if (typeof value !== "number") throw mistyped("a number");
      if (Number.isNaN(value)) throw refuse("NaN is not a value");
      return value;
    case "boolean":
      if (typeof value !== "boolean") throw mistyped("a boolean");
      return value;
    case "timestamp":
      if (!(value instanceof Date)) throw mistyped("a Date");
      if (Number.isNaN(value.getTime())) throw refuse("an invalid Date is not a value");
      return new Date(value.getTime());
    case "json":
      return jsonText(value, () => `${what()}: field ${field.name}`);
  }
  if (value < I64_MIN || value > I64_MAX) throw refuse(`${value}n does not fit in 64 bits`);
  return value;
}

export function plainFieldRoom(plain: PlainField, what: () => string): number {
  return typeof plain === "string" || plain instanceof Uint8Array ? 5 + plainRoom(plain, what) : 9;
}

/** Writes tag and payload of row_format.h; gives the end. */
export function writeField(type: number, plain: PlainField, into: Uint8Array, at: number, what: () => string): number {
  if (plain === null) {
    into[at] = TYPE.NULL;
    return at + 1;
  }
  into[at++] = type;
  if (typeof plain === "string" || plain instanceof Uint8Array) {
    const end = writePlain(plain, into, at + 4, what);
    writeU32(end - at - 4, into, at);
    return end;
  }
  if (typeof plain === "boolean") {
    into[at] = plain ? 1 : 0;
    return at + 1;
  }
  if (type === TYPE.REAL) scratch.setFloat64(0, plain as number, true);
  else scratch.setBigInt64(0, BigInt(plain instanceof Date ? plain.getTime() : plain), true);
  for (let i = 0; i < 8; i++) into[at + i] = scratch.getUint8(i);
  return at + 8;
}

export function writeU32(value: number, into: Uint8Array, at: number): void {
  into[at] = value;
  into[at + 1] = value >>> 8;
  into[at + 2] = value >>> 16;
  into[at + 3] = value >>> 24;
}

export function readU32(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) | (bytes[at + 1] as number) << 8 | (bytes[at + 2] as number) << 16 |
    (bytes[at + 3] as number) << 24) >>> 0;
}

export function decodeValue(type: ValueType, bytes: Uint8Array, at: number, size: number, cut: Cut): unknown {
  if (type === "bytes") return cut(bytes, at, size);
  const text = decodeText(bytes, at, size);
  return type === "json" ? JSON.parse(text) : text;
}

/** Puts the wanted fields of a row into `record`; null where they are absent. */
export function decodeFields(fields: readonly Field[], wanted: readonly boolean[] | undefined, bytes: Uint8Array, at: number,
                             record: Record<string, unknown>, cut: Cut): void {
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i] as Field;
    const tag = bytes[at++];
    const want = wanted === undefined || wanted[i] === true;
    let value: unknown = null;
    switch (tag) {
      case TYPE.NULL:
        break;
      case TYPE.TEXT:
      case TYPE.BYTES:
      case TYPE.JSON: {
        const size = readU32(bytes, at);
        at += 4;
        if (want) {
          value = tag === TYPE.BYTES ? cut(bytes, at, size) : decodeText(bytes, at, size);
          if (tag === TYPE.JSON) value = JSON.parse(value as string);
        }
        at += size;
        break;
      }
      case TYPE.BOOLEAN:
        value = bytes[at++] === 1;
        break;
      default:
        for (let b = 0; b < 8; b++) scratch.setUint8(b, bytes[at + b] as number);
        at += 8;
        value = want ? decodeNumber(tag) : null;
    }
    if (!want) continue;
    if (field.name === "__proto__") Object.defineProperty(record, field.name, { value, enumerable: true, writable: true, configurable: true });
    else record[field.name] = value;
  }
}

/** What stands in `scratch`. */
function decodeNumber(tag: number | undefined): unknown {
  if (tag === TYPE.REAL) return scratch.getFloat64(0, true);
  const big = scratch.getBigInt64(0, true);
  if (tag === TYPE.BIGINT) return big;
  const number = Number(big);
  if (tag === TYPE.TIMESTAMP) return new Date(number);
  return Number.isSafeInteger(number) ? number : big;
}
