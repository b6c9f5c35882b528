// XXH3-64 with a seed, from the description of the algorithm
// (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md). Slow and plain: it
// only has to agree with the C code, and it shares nothing with it.

const mask = (1n << 64n) - 1n;
const P32_1 = 0x9e3779b1n;
const P32_2 = 0x85ebca77n;
const P32_3 = 0xc2b2ae3dn;
const P64_1 = 0x9e3779b185ebca87n;
const P64_2 = 0xc2b2ae3d27d4eb4fn;
const P64_3 = 0x165667b19e3779f9n;
const P64_4 = 0x85ebca77c2b2ae63n;
const P64_5 = 0x27d4eb2f165667c5n;
const MX_1 = 0x165667919e3779f9n;
const MX_2 = 0x9fb21c651e98df25n;

const SECRET = Uint8Array.from(Buffer.from(
  "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f" +
  "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c" +
  "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8" +
  "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364" +
  "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e" +
  "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e", "hex"));

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const secret = view(SECRET);
const s64 = (at: number): bigint => secret.getBigUint64(at, true);

const swap32 = (x: bigint): bigint =>
  ((x & 0xffn) << 24n) | ((x & 0xff00n) << 8n) | ((x >> 8n) & 0xff00n) | ((x >> 24n) & 0xffn);
const swap64 = (x: bigint): bigint => (swap32(x & 0xffffffffn) << 32n) | swap32(x >> 32n);
const rotl = (x: bigint, by: bigint): bigint => ((x << by) | (x >> (64n - by))) & mask;

/** The upper half of a 128-bit product xor its lower half. */
function fold(a: bigint, b: bigint): bigint {
  const product = a * b;
  return (product & mask) ^ (product >> 64n);
}

function avalanche(h: bigint): bigint {
  h ^= h >> 37n;
  h = (h * MX_1) & mask;
  return h ^ (h >> 32n);
}

function avalancheOld(h: bigint): bigint { // of XXH64
  h ^= h >> 33n;
  h = (h * P64_2) & mask;
  h ^= h >> 29n;
  h = (h * P64_3) & mask;
  return h ^ (h >> 32n);
}

function upTo16(data: DataView, size: number, seed: bigint): bigint {
  if (size > 8) {
    const first = data.getBigUint64(0, true) ^ (((s64(24) ^ s64(32)) + seed) & mask);
    const last = data.getBigUint64(size - 8, true) ^ (((s64(40) ^ s64(48)) - seed) & mask);
    return avalanche((BigInt(size) + swap64(first) + last + fold(first, last)) & mask);
  }
  if (size >= 4) {
    const mixed = seed ^ (swap32(seed & 0xffffffffn) << 32n);
    const input = BigInt(data.getUint32(size - 4, true)) + (BigInt(data.getUint32(0, true)) << 32n);
    let h = input ^ (((s64(8) ^ s64(16)) - mixed) & mask);
    h ^= rotl(h, 49n) ^ rotl(h, 24n);
    h = (h * MX_2) & mask;
    h ^= (h >> 35n) + BigInt(size);
    h = (h * MX_2) & mask;
    return h ^ (h >> 28n);
  }
  if (size > 0) {
    const [a, b, c] = [data.getUint8(0), data.getUint8(size >> 1), data.getUint8(size - 1)];
    const combined = BigInt(((a << 16) | (b << 24) | c | (size << 8)) >>> 0);
    const flip = BigInt((secret.getUint32(0, true) ^ secret.getUint32(4, true)) >>> 0) + seed;
    return avalancheOld(combined ^ (flip & mask));
  }
  return avalancheOld(seed ^ s64(56) ^ s64(64));
}

function mix16(data: DataView, at: number, from: number, seed: bigint): bigint {
  return fold(data.getBigUint64(at, true) ^ ((s64(from) + seed) & mask),
    data.getBigUint64(at + 8, true) ^ ((s64(from + 8) - seed) & mask));
}

function upTo128(data: DataView, size: number, seed: bigint): bigint {
  let sum = BigInt(size) * P64_1;
  for (let i = (size - 1) >> 5; i >= 0; i--) {
    sum += mix16(data, 16 * i, 32 * i, seed) + mix16(data, size - 16 * (i + 1), 32 * i + 16, seed);
  }
  return avalanche(sum & mask);
}

function upTo240(data: DataView, size: number, seed: bigint): bigint {
  let sum = BigInt(size) * P64_1;
  for (let i = 0; i < 8; i++) sum += mix16(data, 16 * i, 16 * i, seed);
  sum = avalanche(sum & mask);
  for (let i = 8; i < size >> 4; i++) sum += mix16(data, 16 * i, 16 * (i - 8) + 3, seed);
  sum += mix16(data, size - 16, 136 - 17, seed);
  return avalanche(sum & mask);
}

function long(data: DataView, size: number, seed: bigint): bigint {
  const own = view(new Uint8Array(192));
  for (let at = 0; at < 192; at += 16) {
    own.setBigUint64(at, (s64(at) + seed) & mask, true);
    own.setBigUint64(at + 8, (s64(at + 8) - seed) & mask, true);
  }
  const sums = [P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1];
  const stripe = (at: number, from: number): void => {
    for (let i = 0; i < 8; i++) {
      const value = data.getBigUint64(at + 8 * i, true);
      const keyed = value ^ own.getBigUint64(from + 8 * i, true);
      sums[i ^ 1] = (sums[i ^ 1]! + value) & mask;
      sums[i] = (sums[i]! + (keyed & 0xffffffffn) * (keyed >> 32n)) & mask;
    }
  };
  const blocks = Math.floor((size - 1) / 1024);
  for (let block = 0; block < blocks; block++) {
    for (let n = 0; n < 16; n++) stripe(1024 * block + 64 * n, 8 * n);
    for (let i = 0; i < 8; i++) {
      const sum = sums[i]! ^ (sums[i]! >> 47n) ^ own.getBigUint64(128 + 8 * i, true);
      sums[i] = (sum * P32_1) & mask;
    }
  }
  const left = Math.floor((size - 1 - 1024 * blocks) / 64);
  for (let n = 0; n < left; n++) stripe(1024 * blocks + 64 * n, 8 * n);
  stripe(size - 64, 192 - 64 - 7);
  let result = BigInt(size) * P64_1;
  for (let i = 0; i < 4; i++) {
    result += fold(sums[2 * i]! ^ own.getBigUint64(11 + 16 * i, true), sums[2 * i + 1]! ^ own.getBigUint64(19 + 16 * i, true));
  }
  return avalanche(result & mask);
}

export function xxh3(bytes: Uint8Array, seed = 0n): bigint {
  const data = view(bytes);
  const size = bytes.length;
  seed &= mask;
  if (size <= 16) return upTo16(data, size, seed);
  if (size <= 128) return upTo128(data, size, seed);
  if (size <= 240) return upTo240(data, size, seed);
  return long(data, size, seed);
}
