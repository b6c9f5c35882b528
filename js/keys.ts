import { KEYCODE, LIMIT, TYPE } from "./abi.gen.ts";
import { checkOptions, invalid, shown } from "./errors.ts";
import { copyOf, decodeText } from "./heap.ts";
import type { Cut } from "./heap.ts";

/** The type of a key, or of one part of a composite key. */
export type KeyType = "text" | "integer" | "bigint" | "bytes" | "real" | "boolean" | "timestamp";

/** One type, or those of a composite key's parts. */
export type KeySchema = KeyType | readonly KeyType[];

export type KeyPart = string | number | bigint | boolean | Uint8Array | Date;

/** A key: an array of parts where the key is composite. */
export type Key = KeyPart | readonly KeyPart[];

/** Rows between bounds; of a composite key, bounds may be arrays of its first parts. */
export interface KeyRange<K = Key> {
  gt?: K | undefined;
  gte?: K | undefined;
  lt?: K | undefined;
  lte?: K | undefined;
  /** The beginning of a text or bytes key (of a composite one: of the last part given). */
  prefix?: K | undefined;
}

/** Rows in order of their keys. */
export interface Range<K = Key> extends KeyRange<K> {
  reverse?: boolean | undefined;
  limit?: number | undefined;
}

/** Encoded keys low <= key < high; an empty high is no bound. */
export interface Bounds {
  low: Uint8Array;
  high: Uint8Array;
  /** Nothing can lie between them. */
  empty: boolean;
}

export const KEY_TYPES: Readonly<Record<KeyType, number>> = {
  text: TYPE.TEXT, integer: TYPE.INTEGER, bigint: TYPE.BIGINT, bytes: TYPE.BYTES, real: TYPE.REAL,
  boolean: TYPE.BOOLEAN, timestamp: TYPE.TIMESTAMP,
};

const I64_MIN = -(2n ** 63n), I64_MAX = 2n ** 63n - 1n;
const NONE = new Uint8Array(0);

/** How large an encoded key may become before it is refused, and a little more. */
export const KEY_ROOM = 3 * LIMIT.KEY_SIZE + 256;

const scratch = new DataView(new ArrayBuffer(8));

/** Keys of one membrane as bytes that sort as they do (keycode_format.h). */
export class KeyCodec {
  readonly types: readonly KeyType[];
  readonly composite: boolean;
  readonly #name: () => string;
  readonly #single: KeyType | undefined;

  /** `name` says whose keys these are, for messages. */
  constructor(schema: KeySchema, name: () => string) {
    this.composite = typeof schema !== "string";
    this.types = typeof schema === "string" ? [schema] : schema;
    this.#single = typeof schema === "string" ? schema : undefined;
    this.#name = name;
  }

  /** At least the bytes that `encode` writes, whatever `key` is. */
  room(key: unknown): number {
    if (typeof key === "string") return textKeyRoom(key.length);
    if (key instanceof Uint8Array) return bytesKeyRoom(key.length);
    if (!Array.isArray(key)) return 16;
    let room = 16;
    for (const part of key as unknown[]) room += this.room(part);
    return room;
  }

  /** Writes `key`, whole, at `at`; gives the end. INVALID_ARGUMENT when it is no such key. */
  encode(key: unknown, into: Uint8Array, at: number): number {
    const single = this.#single;
    if (single !== undefined) return this.#part(single, key, into, at, 0, true);
    if (!Array.isArray(key)) throw this.#refuse(`must be an array of ${this.types.length} parts, not ${shown(key)}`);
    if (key.length !== this.types.length) throw this.#refuse(`must have ${this.types.length} parts, not ${key.length}`);
    return this.#parts(key, into, at, false);
  }

  #parts(parts: readonly unknown[], into: Uint8Array, at: number, open: boolean): number {
    let raw = 0;
    for (let i = 0; i < parts.length; i++) {
      const type = this.types[i] as KeyType;
      const ends = !(open && i === parts.length - 1);
      const start = at;
      at = this.#part(type, parts[i], into, at, raw, ends);
      raw += type === "text" || type === "bytes" ? rawSize(into, start, ends ? at - 2 : at) : type === "boolean" ? 1 : 8;
    }
    return at;
  }

  /** `raw`: bytes of the parts before. `ends` false leaves away the end of text and bytes. */
  #part(type: KeyType, part: unknown, into: Uint8Array, at: number, raw: number, ends: boolean): number {
    switch (type) {
      case "text":
        if (typeof part !== "string") throw this.#mistyped(type, part);
        return this.#text(part, into, at, raw, ends);
      case "bytes":
        if (!(part instanceof Uint8Array)) throw this.#mistyped(type, part);
        return this.#bytes(part, into, at, raw, ends);
      case "integer":
        if (typeof part === "number") {
          if (!Number.isSafeInteger(part)) {
            throw this.#refuse(`${shown(part)} is not a safe integer${Number.isInteger(part) ? " (use a bigint)" : ""}`);
          }
          this.#checkRaw(raw + 8);
          return writeInteger(part, into, at);
        }
        if (typeof part !== "bigint") throw this.#mistyped(type, part);
        return this.#bigint(part, into, at, raw);
      case "bigint":
        if (typeof part !== "bigint") throw this.#mistyped(type, part);
        return this.#bigint(part, into, at, raw);
      case "real":
        if (typeof part !== "number") throw this.#mistyped(type, part);
        if (Number.isNaN(part)) throw this.#refuse("NaN is not a key");
        this.#checkRaw(raw + 8);
        return writeReal(part, into, at);
      case "boolean":
        if (typeof part !== "boolean") throw this.#mistyped(type, part);
        this.#checkRaw(raw + 1);
        into[at] = part ? 1 : 0;
        return at + 1;
      case "timestamp": {
        if (!(part instanceof Date)) throw this.#mistyped(type, part);
        const ms = part.getTime();
        if (Number.isNaN(ms)) throw this.#refuse("an invalid Date is not a key");
        this.#checkRaw(raw + 8);
        return writeInteger(ms, into, at);
      }
    }
  }

  #text(text: string, into: Uint8Array, at: number, raw: number, ends: boolean): number {
    const { length } = text;
    const rawMax = LIMIT.KEY_SIZE - raw;
    this.#checkRaw(raw + length);
    const start = at;
    let escapes = 0;
    for (let i = 0; i < length; i++) {
      let unit = text.charCodeAt(i);
      if (unit < 0x80) {
        into[at++] = unit;
        if (unit === 0) into[at++] = KEYCODE.ESCAPED_ZERO, escapes++;
      } else if (unit < 0x800) {
        into[at++] = 0xc0 | (unit >> 6);
        into[at++] = 0x80 | (unit & 63);
      } else if ((unit & 0xf800) !== 0xd800) {
        into[at++] = 0xe0 | (unit >> 12);
        into[at++] = 0x80 | ((unit >> 6) & 63);
        into[at++] = 0x80 | (unit & 63);
      } else {
        const low = unit < 0xdc00 && i + 1 < length ? text.charCodeAt(i + 1) : 0;
        if ((low & 0xfc00) !== 0xdc00) throw this.#refuse("text with a lone surrogate");
        unit = 0x10000 + ((unit & 0x3ff) << 10) + (low & 0x3ff);
        into[at++] = 0xf0 | (unit >> 18);
        into[at++] = 0x80 | ((unit >> 12) & 63);
        into[at++] = 0x80 | ((unit >> 6) & 63);
        into[at++] = 0x80 | (unit & 63);
        i++;
      }
    }
    if (at - start - escapes > rawMax) this.#checkRaw(raw + at - start - escapes);
    return ends ? writeEnd(into, at) : at;
  }

  #bytes(bytes: Uint8Array, into: Uint8Array, at: number, raw: number, ends: boolean): number {
    this.#checkRaw(raw + bytes.length);
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i] as number;
      into[at++] = byte;
      if (byte === 0) into[at++] = KEYCODE.ESCAPED_ZERO;
    }
    return ends ? writeEnd(into, at) : at;
  }

  #bigint(value: bigint, into: Uint8Array, at: number, raw: number): number {
    if (value < I64_MIN || value > I64_MAX) throw this.#refuse(`${value}n does not fit in 64 bits`);
    this.#checkRaw(raw + 8);
    scratch.setBigInt64(0, value ^ I64_MIN);
    return writeScratch(into, at);
  }

  #checkRaw(size: number): void {
    if (size > LIMIT.KEY_SIZE) throw this.#refuse(`${size} bytes or more, at most ${LIMIT.KEY_SIZE} are allowed`);
  }

  /** The key that is encoded in these bytes, which come from the database. */
  decode(bytes: Uint8Array, at: number, end: number, cut: Cut = copyOf): Key {
    const single = this.#single;
    if (single !== undefined) return decodePart(single, bytes, at, end, cut);
    const key: KeyPart[] = [];
    for (const type of this.types) {
      const next = partEnd(type, bytes, at);
      key.push(decodePart(type, bytes, at, next, cut));
      at = next;
    }
    return key;
  }

  /** A whole key, in bytes of its own. */
  encoded(key: unknown): Uint8Array {
    const bytes = new Uint8Array(this.room(key));
    return bytes.subarray(0, this.encode(key, bytes, 0));
  }

  /** The encoded range that `options` describe; those named in `others` are not looked at. */
  bounds(options: unknown, what: string, others: readonly string[] = []): Bounds {
    const range = checkOptions(options, what, ["gt", "gte", "lt", "lte", "prefix", ...others]);
    const bounds: Bounds = { low: NONE, high: NONE, empty: false };
    const raise = (low: Uint8Array): void => {
      if (compareBytes(low, bounds.low) > 0) bounds.low = low;
    };
    const lower = (high: Uint8Array): void => {
      if (high.length === 0) bounds.empty = true; // nothing is less than the empty string
      else if (bounds.high.length === 0 || compareBytes(high, bounds.high) < 0) bounds.high = high;
    };
    if (range.gte !== undefined) raise(this.#leading(range.gte));
    if (range.gt !== undefined) {
      const after = successor(this.#leading(range.gt));
      if (after === undefined) bounds.empty = true;
      else raise(after);
    }
    if (range.lt !== undefined) lower(this.#leading(range.lt));
    if (range.lte !== undefined) {
      const after = successor(this.#leading(range.lte));
      if (after !== undefined) lower(after);
    }
    if (range.prefix !== undefined) {
      const prefix = this.#prefix(range.prefix);
      raise(prefix);
      const after = successor(prefix);
      if (after !== undefined) lower(after);
    }
    if (bounds.high.length > 0 && compareBytes(bounds.low, bounds.high) >= 0) bounds.empty = true;
    return bounds;
  }

  /** A bound: a whole key, or the first parts of a composite one. */
  #leading(bound: unknown): Uint8Array {
    if (!this.composite) return this.encoded(bound);
    const parts = this.#checkLeading(bound);
    const bytes = new Uint8Array(this.room(parts));
    return bytes.subarray(0, this.#parts(parts, bytes, 0, false));
  }

  #prefix(prefix: unknown): Uint8Array {
    const parts = this.composite ? this.#checkLeading(prefix) : [prefix];
    const type = this.types[parts.length - 1] as KeyType;
    if (type !== "text" && type !== "bytes") {
      throw this.#refuse(`prefix is for text and bytes, not for ${type}${this.composite ? "; gte and lte take the first parts" : ""}`);
    }
    const bytes = new Uint8Array(this.room(parts));
    return bytes.subarray(0, this.#parts(parts, bytes, 0, true));
  }

  #checkLeading(parts: unknown): readonly unknown[] {
    if (!Array.isArray(parts)) throw this.#refuse(`a bound must be an array of parts, not ${shown(parts)}`);
    if (parts.length === 0 || parts.length > this.types.length) {
      throw this.#refuse(`a bound must have 1 to ${this.types.length} parts, not ${parts.length}`);
    }
    return parts;
  }

  #mistyped(type: KeyType, part: unknown): Error {
    const wants = {
      text: "a string", bytes: "a Uint8Array", integer: "a number or bigint", bigint: "a bigint", real: "a number",
      boolean: "a boolean", timestamp: "a Date",
    }[type];
    return this.#refuse(`must be ${wants} (${type}), not ${shown(part)}`);
  }

  #refuse(why: string): Error {
    return invalid(`${this.#name()}: key: ${why}`);
  }
}

// Longer keys are refused before anything is written, so they need no room.
function textKeyRoom(length: number): number {
  return 3 * Math.min(length, LIMIT.KEY_SIZE) + 2;
}

function bytesKeyRoom(length: number): number {
  return 2 * Math.min(length, LIMIT.KEY_SIZE) + 2;
}

/** Bytes of text or bytes before they were escaped. */
function rawSize(bytes: Uint8Array, at: number, end: number): number {
  let size = end - at;
  for (let i = at; i < end; i++) if (bytes[i] === KEYCODE.ESCAPE) size--;
  return size;
}

function writeEnd(into: Uint8Array, at: number): number {
  into[at] = KEYCODE.ESCAPE;
  into[at + 1] = KEYCODE.END;
  return at + 2;
}

function writeScratch(into: Uint8Array, at: number): number {
  for (let i = 0; i < 8; i++) into[at + i] = scratch.getUint8(i);
  return at + 8;
}

/** A safe integer, big-endian with its sign bit flipped. */
function writeInteger(value: number, into: Uint8Array, at: number): number {
  const high = Math.floor(value / 0x1_0000_0000);
  const low = value - high * 0x1_0000_0000;
  const top = (high ^ 0x8000_0000) >>> 0;
  into[at] = top >>> 24;
  into[at + 1] = top >>> 16;
  into[at + 2] = top >>> 8;
  into[at + 3] = top;
  into[at + 4] = low >>> 24;
  into[at + 5] = low >>> 16;
  into[at + 6] = low >>> 8;
  into[at + 7] = low;
  return at + 8;
}

function writeReal(value: number, into: Uint8Array, at: number): number {
  scratch.setFloat64(0, value === 0 ? 0 : value); // -0 equals 0
  const high = scratch.getUint32(0);
  if (high >>> 31 === 0) {
    scratch.setUint32(0, high ^ 0x8000_0000);
  } else {
    scratch.setUint32(0, ~high);
    scratch.setUint32(4, ~scratch.getUint32(4));
  }
  return writeScratch(into, at);
}

function readScratch(bytes: Uint8Array, at: number): void {
  for (let i = 0; i < 8; i++) scratch.setUint8(i, bytes[at + i] as number);
}

/** The end of the part that begins at `at`. */
function partEnd(type: KeyType, bytes: Uint8Array, at: number): number {
  if (type === "boolean") return at + 1;
  if (type !== "text" && type !== "bytes") return at + KEYCODE.NUMBER_SIZE;
  while (!(bytes[at] === KEYCODE.ESCAPE && bytes[at + 1] === KEYCODE.END)) at += bytes[at] === KEYCODE.ESCAPE ? 2 : 1;
  return at + 2;
}

function decodePart(type: KeyType, bytes: Uint8Array, at: number, end: number, cut: Cut): KeyPart {
  switch (type) {
    case "text": {
      const raw = unescape(bytes, at, end - 2);
      return raw === undefined ? decodeText(bytes, at, end - 2 - at) : decodeText(raw, 0, raw.length);
    }
    case "bytes":
      return unescape(bytes, at, end - 2) ?? cut(bytes, at, end - 2 - at);
    case "integer": {
      const high = ((bytes[at] as number) << 24 | (bytes[at + 1] as number) << 16 | (bytes[at + 2] as number) << 8 |
        (bytes[at + 3] as number)) ^ 0x8000_0000;
      const low = ((bytes[at + 4] as number) << 24 | (bytes[at + 5] as number) << 16 | (bytes[at + 6] as number) << 8 |
        (bytes[at + 7] as number)) >>> 0;
      const value = high * 0x1_0000_0000 + low;
      return Number.isSafeInteger(value) ? value : (BigInt(high) << 32n) | BigInt(low);
    }
    case "bigint":
      readScratch(bytes, at);
      return scratch.getBigInt64(0) ^ I64_MIN;
    case "real": {
      readScratch(bytes, at);
      const high = scratch.getUint32(0);
      if (high >>> 31 === 1) {
        scratch.setUint32(0, high ^ 0x8000_0000);
      } else {
        scratch.setUint32(0, ~high);
        scratch.setUint32(4, ~scratch.getUint32(4));
      }
      return scratch.getFloat64(0);
    }
    case "boolean":
      return bytes[at] === 1;
    case "timestamp":
      readScratch(bytes, at);
      return new Date(Number(scratch.getBigInt64(0) ^ I64_MIN));
  }
}

/** Bytes without their escapes; undefined: there are none. */
function unescape(bytes: Uint8Array, at: number, end: number): Uint8Array | undefined {
  if (end - at <= 64) { // a loop is quicker for what is short
    let first = at;
    while (first < end && bytes[first] !== KEYCODE.ESCAPE) first++;
    if (first === end) return undefined;
  } else {
    const first = bytes.indexOf(KEYCODE.ESCAPE, at);
    if (first < 0 || first >= end) return undefined;
  }
  const raw = new Uint8Array(rawSize(bytes, at, end));
  for (let i = at, to = 0; i < end; i++) {
    raw[to++] = bytes[i] as number;
    if (bytes[i] === KEYCODE.ESCAPE) i++;
  }
  return raw;
}

/** The order of bytes, the shorter first where one begins with the other. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const size = Math.min(a.length, b.length);
  for (let i = 0; i < size; i++) {
    const order = (a[i] as number) - (b[i] as number);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

/** The smallest bytes greater than all that begin with these; undefined: there are none. */
export function successor(bytes: Uint8Array): Uint8Array | undefined {
  let size = bytes.length;
  while (size > 0 && bytes[size - 1] === 0xff) size--;
  if (size === 0) return undefined;
  const after = bytes.slice(0, size);
  after[size - 1] = (after[size - 1] as number) + 1;
  return after;
}
