import { ANSWER } from "./abi.gen.ts";

/**
 * The module's memory: the only file that touches it.
 *
 * A view is good until the memory grows, which any call into the module may do: `fresh()`
 * comes after each call, and before each use by a host. Nobody keeps a view.
 */
export class Heap {
  u8!: Uint8Array;
  u32!: Uint32Array;
  f64!: Float64Array;
  view!: DataView;
  readonly #memory: { readonly buffer: ArrayBuffer };
  readonly #slab = new Slab();

  constructor(memory: { readonly buffer: ArrayBuffer }) {
    this.#memory = memory;
    this.#rebuild();
  }

  /** Makes the views anew if the memory has grown. */
  fresh(): void {
    if (this.u8.length === 0) this.#rebuild();
  }

  #rebuild(): void {
    const buffer = this.#memory.buffer;
    this.u8 = new Uint8Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.f64 = new Float64Array(buffer);
    this.view = new DataView(buffer);
  }

  get size(): number {
    return this.#memory.buffer.byteLength;
  }

  /** A copy, with a buffer of its own. */
  copy(at: number, size: number): Uint8Array {
    return this.u8.slice(at, at + size);
  }

  /** A copy; small ones share their buffer with others, as Node's Buffer does. */
  cut(at: number, size: number): Uint8Array {
    return (at & 3) === 0 && size <= Slab.WORDS_MAX ? this.#slab.cutWords(this.u32, at, size) : this.#slab.cut(this.u8, at, size);
  }

  text(at: number, size: number): string {
    return decodeText(this.u8, at, size);
  }

  /** The text of a failure. */
  failure(answer: number): string {
    const at = answer + ANSWER.TEXT;
    let end = at;
    while (end < at + ANSWER.TEXT_SIZE && this.u8[end] !== 0) end++;
    return this.text(at, end - at);
  }
}

/** Where bytes that are given back come from: a copy, or a view of what is ours already. */
export type Cut = (bytes: Uint8Array, at: number, size: number) => Uint8Array;
export const copyOf: Cut = (bytes, at, size) => bytes.slice(at, at + size);
export const viewOf: Cut = (bytes, at, size) => new Uint8Array(bytes.buffer, bytes.byteOffset + at, size);

/** Cuts small copies out of one buffer: an ArrayBuffer of its own costs 250 ns. */
export class Slab {
  static readonly SIZE = 64 * 1024;
  static readonly CUT_MAX = 4096;
  /** Up to here a loop over words is quicker than `set`. */
  static readonly WORDS_MAX = 256;
  #bytes = new Uint8Array(0);
  #words = new Uint32Array(0);
  #used = 0;

  /** Where `size` bytes begin. */
  #room(size: number): number {
    // A length of 0 also means that somebody has transferred the buffer away.
    if (this.#used + size > this.#bytes.length) {
      const buffer = new ArrayBuffer(Slab.SIZE);
      this.#bytes = new Uint8Array(buffer);
      this.#words = new Uint32Array(buffer);
      this.#used = 0;
    }
    const start = this.#used;
    this.#used = (start + size + 7) & ~7;
    return start;
  }

  cut(from: Uint8Array, at: number, size: number): Uint8Array {
    if (size > Slab.CUT_MAX) return from.slice(at, at + size);
    const start = this.#room(size), bytes = this.#bytes;
    if (size <= 48) {
      for (let i = 0; i < size; i++) bytes[start + i] = from[at + i] as number;
    } else {
      bytes.set(viewOf(from, at, size), start);
    }
    return new Uint8Array(bytes.buffer, start, size);
  }

  /** The same from a multiple of 4 in memory that goes on to the next one. */
  cutWords(from: Uint32Array, at: number, size: number): Uint8Array {
    const start = this.#room(size), words = this.#words;
    for (let i = at >>> 2, to = start >>> 2, end = (at + size + 3) >>> 2; i < end; i++, to++) words[to] = from[i] as number;
    return new Uint8Array(this.#bytes.buffer, start, size);
  }
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** Text of UTF-8 bytes that are known to be valid. */
export function decodeText(bytes: Uint8Array, at: number, size: number): string {
  if (size <= 24) {
    let text = "";
    for (let i = at; i < at + size; i++) {
      const byte = bytes[i] as number;
      if (byte >= 0x80) return utf8.decode(bytes.subarray(at, at + size));
      text += String.fromCharCode(byte);
    }
    return text;
  }
  return utf8.decode(bytes.subarray(at, at + size));
}
