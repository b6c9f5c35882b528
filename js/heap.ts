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
    return this.#slab.cut(this.u8, at, size);
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

/** Cuts small copies out of one buffer: an ArrayBuffer of its own costs 250 ns. */
export class Slab {
  static readonly SIZE = 64 * 1024;
  static readonly CUT_MAX = 4096;
  #bytes = new Uint8Array(0);
  #used = 0;

  cut(from: Uint8Array, at: number, size: number): Uint8Array {
    if (size > Slab.CUT_MAX) return from.slice(at, at + size);
    // A length of 0 also means that somebody has transferred the buffer away.
    if (this.#used + size > this.#bytes.length) {
      this.#bytes = new Uint8Array(Slab.SIZE);
      this.#used = 0;
    }
    const start = this.#used;
    const bytes = this.#bytes;
    const cut = bytes.subarray(start, start + size);
    if (size <= 48) {
      for (let i = 0; i < size; i++) bytes[start + i] = from[at + i] as number;
    } else {
      bytes.set(from.subarray(at, at + size), start);
    }
    this.#used = (start + size + 7) & ~7;
    return cut;
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
