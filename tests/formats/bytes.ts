// Reading bytes in order, and the one error of the readers: a file is not as its page says.

export class FormatError extends Error {
  override name = "FormatError";
}

export function expect(condition: boolean, what: string | (() => string)): asserts condition {
  if (!condition) throw new FormatError(typeof what === "string" ? what : what());
}

/** Numbers are little-endian unless the name says otherwise; u64 is a bigint. */
export class Reader {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  at: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = at;
  }

  get left(): number {
    return this.bytes.length - this.at;
  }

  #take(size: number): number {
    expect(size >= 0 && size <= this.left, () => `${size} bytes at ${this.at}: cut short`);
    this.at += size;
    return this.at - size;
  }

  u8(): number { return this.#view.getUint8(this.#take(1)); }
  u16(): number { return this.#view.getUint16(this.#take(2), true); }
  u32(): number { return this.#view.getUint32(this.#take(4), true); }
  u64(): bigint { return this.#view.getBigUint64(this.#take(8), true); }
  i64(): bigint { return this.#view.getBigInt64(this.#take(8), true); }
  f64(): number { return this.#view.getFloat64(this.#take(8), true); }
  u32be(): number { return this.#view.getUint32(this.#take(4), false); }
  u64be(): bigint { return this.#view.getBigUint64(this.#take(8), false); }
  take(size: number): Uint8Array { return this.bytes.subarray(this.#take(size), this.at); }

  /** A u64 that counts bytes or places: what a number can hold exactly. */
  size(): number {
    const size = this.u64();
    expect(size <= BigInt(Number.MAX_SAFE_INTEGER), () => `size ${size}`);
    return Number(size);
  }

  array<T>(count: number, read: (r: Reader) => T): T[] {
    return Array.from({ length: count }, () => read(this));
  }

  end(what: string): void {
    expect(this.left === 0, () => `${what}: ${this.left} bytes follow`);
  }

  zeros(size: number, what: string): void {
    expect(this.take(size).every((byte) => byte === 0), `${what}: not zero`);
  }
}

export const compare = (a: Uint8Array, b: Uint8Array): number => Buffer.compare(a, b);
export const equal = (a: Uint8Array, b: Uint8Array): boolean => compare(a, b) === 0;
/** Bytes as text of one character each: a key of a Map, and sortable. */
export const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");
export const utf8 = (bytes: Uint8Array): string => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);

export function commonPrefix(a: Uint8Array, b: Uint8Array): number {
  let size = 0;
  while (size < a.length && size < b.length && a[size] === b[size]) size++;
  return size;
}
