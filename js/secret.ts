import { invalid, shown } from "./errors.ts";

const KEY_SIZE = 32;

/** A copy of an encryption key, which no message shows. */
export function copyKey(given: unknown, what: string): Uint8Array {
  if (!(given instanceof Uint8Array)) throw invalid(`${what} must be a Uint8Array of ${KEY_SIZE} bytes, not ${given === undefined ? shown(given) : typeof given}`);
  if (given.length !== KEY_SIZE) throw invalid(`${what} must have ${KEY_SIZE} bytes, not ${given.length}`);
  return Uint8Array.from(given);
}

/** Every byte is looked at, so that the time tells nothing. */
export function sameKey(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  let difference = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) difference |= (a[i] as number) ^ (b[i] ?? 0);
  return difference === 0;
}
