import { invalid, shown } from "./errors.ts";
import type { Schema } from "./schema.ts";

/** A vector as it is given: of bits a Uint8Array, of the other elements numbers. */
export type VectorIn = Float32Array | Int8Array | Uint8Array | readonly number[];

/** A vector as it is given back: f32 and f16 as Float32Array, i8 as Int8Array, bits as Uint8Array. */
export type VectorOut = Float32Array | Int8Array | Uint8Array;

type Numbers = Float32Array | Int8Array | readonly number[];

/**
 * How a collection's vectors go into records and come back: element.h's rules.
 *
 * What is given is never changed, and what is given back is a copy.
 */
export class VectorCodec {
  readonly dimensions: number;
  /** Bytes of a vector. */
  readonly size: number;
  /** Members of the array that is one vector. */
  readonly length: number;
  readonly #element: "f32" | "f16" | "i8" | "bit";
  readonly #nonzero: boolean;

  constructor({ dimensions, element, metric }: NonNullable<Schema["vector"]>) {
    this.dimensions = dimensions;
    this.#element = element;
    this.#nonzero = metric === "cosine";
    this.length = element === "bit" ? Math.ceil(dimensions / 8) : dimensions;
    this.size = this.length * (element === "f32" ? 4 : element === "f16" ? 2 : 1);
  }

  /** The bytes of one vector: a view of the caller's where these are the same. */
  plain(given: unknown, what: () => string): Uint8Array {
    const vector = this.#array(given, what);
    if (vector.length !== this.length) {
      throw invalid(this.#element === "bit" ? `${what()}: the vector has ${vector.length} bytes, not ${this.length}`
        : `${what()}: the vector has ${vector.length} dimensions, not ${this.dimensions}`);
    }
    return this.#bytes(vector, 0, what);
  }

  /** The one that begins at member `from` of a column. */
  plainAt(column: Numbers | Uint8Array, from: number, what: () => string): Uint8Array {
    return this.#bytes(column, from, what);
  }

  /** One array of many vectors, one behind the other. */
  column(given: unknown, what: string): Float32Array | Int8Array | Uint8Array {
    if (this.#takesArray(given)) return given;
    throw invalid(`${what}: vectors must be one ${this.#names()}, not ${shown(given)}`);
  }

  /** The bytes of many vectors: in one array, or an array of vectors. */
  plainMany(given: unknown, what: string): Uint8Array {
    if (this.#takesArray(given)) {
      if (given.length % this.length !== 0) {
        throw invalid(`${what}: ${given.length} numbers are no vectors of ${this.dimensions} dimensions`);
      }
      const all = new Uint8Array(given.length / this.length * this.size);
      for (let i = 0; i * this.length < given.length; i++) {
        all.set(this.#bytes(given, i * this.length, () => `${what}: query ${i}`), i * this.size);
      }
      return all;
    }
    if (!Array.isArray(given)) throw invalid(`${what}: it takes a ${this.#names()}, or an array of vectors, not ${shown(given)}`);
    const all = new Uint8Array(given.length * this.size);
    given.forEach((query, i) => all.set(this.plain(query, () => `${what}: query ${i}`), i * this.size));
    return all;
  }

  /** A vector at any address. */
  read(bytes: Uint8Array, at: number): VectorOut {
    const copy = bytes.slice(at, at + this.size);
    switch (this.#element) {
      case "f32": return new Float32Array(copy.buffer);
      case "f16": return readHalves(copy, this.dimensions);
      case "i8": return new Int8Array(copy.buffer);
      case "bit": return copy;
    }
  }

  #names(): string {
    return { f32: "Float32Array", f16: "Float32Array", i8: "Int8Array or Float32Array", bit: "Uint8Array" }[this.#element];
  }

  #takesArray(given: unknown): given is Float32Array | Int8Array | Uint8Array {
    if (this.#element === "bit") return given instanceof Uint8Array;
    if (given instanceof Float32Array) return true;
    return this.#element === "i8" ? given instanceof Int8Array : this.#element === "f16" && isFloat16Array(given);
  }

  #array(given: unknown, what: () => string): Numbers | Uint8Array {
    if (this.#takesArray(given)) return given;
    if (this.#element === "bit") throw invalid(`${what()}: a vector of bits must be a Uint8Array, not ${shown(given)}`);
    if (!Array.isArray(given)) {
      throw invalid(`${what()}: a vector must be a ${this.#names()} or an array of numbers, not ${shown(given)}`);
    }
    return given as readonly number[];
  }

  #bytes(vector: Numbers | Uint8Array, from: number, what: () => string): Uint8Array {
    switch (this.#element) {
      case "f32": return this.#floats(vector, from, what);
      case "f16": return this.#halves(vector, from, what);
      case "i8": return this.#bytes8(vector, from, what);
      case "bit": return this.#bits(vector as Uint8Array, from, what);
    }
  }

  #floats(given: Numbers | Uint8Array, from: number, what: () => string): Uint8Array {
    const { dimensions } = this;
    let vector = given as Float32Array;
    if (!(given instanceof Float32Array)) {
      vector = new Float32Array(dimensions);
      for (let i = 0; i < dimensions; i++) vector[i] = number(given[from + i], i, what);
      from = 0;
    }
    this.#check(vector, from, what);
    return new Uint8Array(vector.buffer, vector.byteOffset + 4 * from, this.size);
  }

  /** All finite, in 32 bits, and not all zero where that is asked. */
  #check(vector: Float32Array, from: number, what: () => string): void {
    const to = from + this.dimensions;
    let zero = 0, any = false;
    for (let i = from; i < to; i++) {
      const component = vector[i] as number;
      zero += component * 0; // NaN for what is not finite
      any ||= component !== 0;
    }
    if (zero !== 0) {
      const index = vector.subarray(from, to).findIndex((component) => !Number.isFinite(component));
      throw invalid(`${what()}: the vector's component ${index} is not a finite number of 32 bits`);
    }
    this.#checkZero(any, what);
  }

  #checkZero(any: boolean, what: () => string): void {
    if (this.#nonzero && !any) throw invalid(`${what()}: the zero vector has no direction, and the metric is cosine`);
  }

  #halves(given: Numbers | Uint8Array, from: number, what: () => string): Uint8Array {
    const bytes = new Uint8Array(this.size);
    let any = false;
    for (let i = 0; i < this.dimensions; i++) {
      const half = toHalf(number(given[from + i], i, what));
      if (half < 0) throw invalid(`${what()}: the vector's component ${i}, ${given[from + i]}, is not within ±65504 (f16)`);
      any ||= (half & 0x7fff) !== 0;
      bytes[2 * i] = half;
      bytes[2 * i + 1] = half >>> 8;
    }
    this.#checkZero(any, what);
    return bytes;
  }

  #bytes8(given: Numbers | Uint8Array, from: number, what: () => string): Uint8Array {
    const bytes = new Uint8Array(this.size);
    let any = false;
    for (let i = 0; i < this.dimensions; i++) {
      const value = number(given[from + i], i, what);
      if (!(value >= -128 && value <= 127 && Number.isInteger(value))) {
        throw invalid(`${what()}: the vector's component ${i}, ${value}, is not a whole number from -128 to 127 (i8)`);
      }
      any ||= value !== 0;
      bytes[i] = value;
    }
    this.#checkZero(any, what);
    return bytes;
  }

  #bits(given: Uint8Array, from: number, what: () => string): Uint8Array {
    const unused = this.dimensions % 8;
    if (unused !== 0 && (given[from + this.size - 1] as number) >>> unused !== 0) {
      throw invalid(`${what()}: the bits of the last byte behind the ${this.dimensions} of the vector must be 0`);
    }
    return given.subarray(from, from + this.size);
  }
}

function number(value: unknown, i: number, what: () => string): number {
  if (typeof value !== "number") throw invalid(`${what()}: the vector's component ${i} is ${shown(value)}, not a number`);
  return value;
}

const float = new Float32Array(1), word = new Uint32Array(float.buffer);

/** The nearest binary16, the even one of two; below 0: there is none. */
function toHalf(value: number): number {
  float[0] = value;
  if (float[0] !== value) { // the last bit says that there is more: what is rounded twice is rounded once
    word[0] = ((word[0] as number) - (Math.abs(float[0]) > Math.abs(value) ? 1 : 0)) | 1;
  }
  const bits = word[0] as number, sign = (bits >>> 16) & 0x8000, size = bits & 0x7fffffff;
  if (size >= 0x477ff000) return -1;
  if (size >= 0x38800000) return sign | ((size + 0xfff + ((size >>> 13) & 1) - 0x38000000) >>> 13);
  float[0] = Math.abs(float[0] as number) + 0.5; // rounds to a multiple of 2^-24
  return sign | ((word[0] as number) - 0x3f000000);
}

function readHalves(bytes: Uint8Array, count: number): Float32Array {
  const numbers = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const half = (bytes[2 * i] as number) | (bytes[2 * i + 1] as number) << 8;
    word[0] = (half & 0x7fff) << 13;
    const size = (float[0] as number) * 2 ** 112;
    numbers[i] = half & 0x8000 ? -size : size;
  }
  return numbers;
}

function isFloat16Array(given: unknown): given is Float32Array {
  const type = (globalThis as { Float16Array?: new () => object }).Float16Array;
  return type !== undefined && given instanceof type;
}
