// data.mjs - the rows that all engines get: 16-byte random keys, 100-byte values that do not
// compress, both computed from the row's number. data.h is the same in C.

export const KEY = 16;
export const VALUE = 100;
const POOL = 1 << 20;

/** A bijection of 32-bit numbers that scatters them (murmur3's finaliser). */
export function mix(h) {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/**
 * One allocation for all keys: a million key objects would measure the heap instead.
 * `ascending`: the row's number, big-endian, fills the key. `first`: of which row the first is.
 */
export function makeKeys(rows, ascending = false, first = 0) {
  const keys = Buffer.allocUnsafeSlow(rows * KEY);
  for (let i = 0; i < rows; i++) {
    for (let word = 0; word < 4; word++) {
      keys.writeUInt32BE(ascending ? (word === 3 ? first + i : 0) : mix(4 * (first + i) + word), i * KEY + 4 * word);
    }
  }
  return keys;
}

/** The `index`-th key. A view of `keys`: engines copy it during the call. */
export function keyAt(keys, index) {
  return keys.subarray(index * KEY, index * KEY + KEY);
}

const pool = Buffer.allocUnsafeSlow(POOL + 128);
for (let i = 0; i < pool.length; i += 4) pool.writeUInt32LE(mix(i + 0x1234567), i);

function place(row) {
  return mix(row ^ 0x5bd1e995) & (POOL - 1);
}

export function valueOf(row) {
  const at = place(row);
  return pool.subarray(at, at + VALUE);
}

/** Length and eight bytes: so cheap that it does not change the figures. */
export function check(row, value, what) {
  const at = place(row);
  if (value === undefined || value === null || value.length !== VALUE) throw new Error(`${what}: row ${row}: not a value of ${VALUE} bytes`);
  for (let i = 0; i < VALUE; i += 14) {
    if (value[i] !== pool[at + i]) throw new Error(`${what}: row ${row}: wrong byte at ${i}`);
  }
}

/** Every byte. */
export function checkWhole(row, value, what) {
  check(row, value, what);
  if (Buffer.compare(value, valueOf(row)) !== 0) throw new Error(`${what}: row ${row}: wrong value`);
}

/** The row that the j-th random read asks for. */
export function randomRow(j, rows) {
  return mix(j + 0x7777777) % rows;
}

/** The same floats in C: between -1 and 1. */
export function fillFloats(into, seed) {
  for (let i = 0; i < into.length; i++) into[i] = (mix((seed + i) >>> 0) >>> 8) / 8388608 - 1;
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}
