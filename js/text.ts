import { invalid } from "./errors.ts";

const encoder = new TextEncoder();

/** Whether text has no lone surrogate, and so is what its UTF-8 says. */
export function isWellFormed(text: string): boolean {
  const native = (text as { isWellFormed?: () => boolean }).isWellFormed;
  return native === undefined ? !/\p{Surrogate}/u.test(text) : native.call(text);
}

/** The most bytes that text can take. */
export function textRoom(text: string): number {
  return 3 * text.length;
}

/** Writes text as UTF-8; gives the end. There must be room for `textRoom`. */
export function writeText(text: string, into: Uint8Array, at: number, what: () => string): number {
  if (text.length <= 64) {
    let end = at;
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      if (unit >= 0x80) return writeLong(text, into, at, what);
      into[end++] = unit;
    }
    return end;
  }
  return writeLong(text, into, at, what);
}

function writeLong(text: string, into: Uint8Array, at: number, what: () => string): number {
  if (!isWellFormed(text)) throw invalid(`${what()}: text with a lone surrogate`);
  return at + encoder.encodeInto(text, into.subarray(at)).written;
}

/** The name of a membrane or field as UTF-8; INVALID_ARGUMENT when it cannot be one. */
export function nameBytes(name: unknown, what: string, sizeMax: number): Uint8Array {
  if (typeof name !== "string") throw invalid(`${what}: a name must be a string`);
  if (!isWellFormed(name)) throw invalid(`${what}: the name has a lone surrogate`);
  const bytes = encoder.encode(name);
  if (bytes.length === 0) throw invalid(`${what}: the name is empty`);
  if (bytes.length > sizeMax) throw invalid(`${what}: the name has ${bytes.length} bytes, at most ${sizeMax} are allowed`);
  if (/[\u0000-\u001f\u007f-\u009f/\\]/.test(name) || name === "." || name === "..") {
    throw invalid(`${what}: the name ${JSON.stringify(name)} has a character that names cannot have, or is "." or ".."`);
  }
  return bytes;
}
