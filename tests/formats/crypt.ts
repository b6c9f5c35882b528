// crypt_format.h and crypt_stream.h: what is encrypted, as it would be without encryption. The
// cipher is Node's ChaCha20-Poly1305; what makes it XChaCha20, the subkey, is here.
import { createDecipheriv } from "node:crypto";
import { Reader, equal, expect, latin1 } from "./bytes.ts";
import type { Files } from "./database.ts";
import { xxh3 } from "./xxh3.ts";

const PAGE = 4096, SEAL = 40, HEAD = 8192, LOG_HEAD = HEAD + 2 * (PAGE + SEAL), RECORD = SEAL + 24;

/** draft-irtf-cfrg-xchacha-03, 2.2: the key under which the rest of the nonce, 8 bytes, is used. */
export function hchacha20(key: Uint8Array, nonce: Uint8Array): Uint8Array {
  const words = new Uint32Array(16), k = new Reader(key), n = new Reader(nonce);
  words.set([0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, ...k.array(8, (r) => r.u32()), ...n.array(4, (r) => r.u32())]);
  const rotate = (word: number, by: number): number => (word << by) | (word >>> (32 - by));
  const quarter = (a: number, b: number, c: number, d: number): void => {
    for (const [x, y, z, by] of [[a, b, d, 16], [c, d, b, 12], [a, b, d, 8], [c, d, b, 7]] as const) {
      words[x] = words[x]! + words[y]!;
      words[z] = rotate(words[z]! ^ words[x]!, by);
    }
  };
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 4; i++) quarter(i, 4 + i, 8 + i, 12 + i);
    for (let i = 0; i < 4; i++) quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
  }
  const out = new DataView(new ArrayBuffer(32));
  [0, 1, 2, 3, 12, 13, 14, 15].forEach((word, i) => out.setUint32(4 * i, words[word]!, true));
  return new Uint8Array(out.buffer);
}

/** undefined: it was not sealed so. */
export function open(key: Uint8Array, nonce: Uint8Array, tag: Uint8Array, extra: Uint8Array, text: Uint8Array): Uint8Array | undefined {
  const tail = Buffer.concat([new Uint8Array(4), nonce.subarray(16)]);
  const cipher = createDecipheriv("chacha20-poly1305", hchacha20(key, nonce.subarray(0, 16)), tail, { authTagLength: 16 });
  cipher.setAuthTag(tag);
  cipher.setAAD(extra, { plaintextLength: text.length });
  try {
    return Uint8Array.from(Buffer.concat([cipher.update(text), cipher.final()]));
  } catch {
    return undefined;
  }
}

function numbers(...of: (number | bigint)[]): Uint8Array {
  const out = Buffer.alloc(of.reduce<number>((size, each) => size + (typeof each === "bigint" ? 8 : 4), 0));
  let at = 0;
  for (const each of of) at = typeof each === "bigint" ? out.writeBigUInt64LE(each, at) : out.writeUInt32LE(each, at);
  return out;
}

/** Rule 2: none is used twice, in whatever of the three files. */
class Nonces {
  readonly #seen = new Set<string>();

  add(nonce: Uint8Array): void {
    const text = latin1(nonce);
    expect(!this.#seen.has(text), "a nonce is used twice");
    this.#seen.add(text);
  }
}

interface Slot {
  generation: bigint;
  dataKey: Uint8Array | undefined; // a log's has none
}

/** Rules 1 and 7. */
function readSlot(file: Uint8Array, at: number, key: Uint8Array | undefined): Slot {
  const bytes = file.subarray(at, at + 128), r = new Reader(bytes);
  expect(latin1(r.take(8)) === "NACREENC" && r.u32() === 1, "slot: magic, version");
  expect(new Reader(bytes, 120).u64() === xxh3(bytes.subarray(0, 120)), "slot: checksum");
  expect(r.u32() === (key ? 0 : 1), "slot: kind");
  const generation = r.u64(), nonce = r.take(24), tag = r.take(16), wrapped = r.take(32);
  r.zeros(24, "slot");
  if (!key) {
    expect([...nonce, ...tag, ...wrapped].every((byte) => byte === 0), "slot of a log");
    return { generation, dataKey: undefined };
  }
  const dataKey = open(key, nonce, tag, bytes.subarray(0, 24), wrapped);
  expect(dataKey !== undefined, "slot: another key");
  return { generation, dataKey };
}

/** Rules 3 to 5. */
function readPages(file: Uint8Array, which: number, count: number, key: Uint8Array, nonces: Nonces): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => {
    const r = new Reader(file.subarray(0, HEAD + (i + 1) * (PAGE + SEAL)), HEAD + i * (PAGE + SEAL));
    const nonce = r.take(24), tag = r.take(16), text = r.take(PAGE);
    if ([nonce, tag, text].every((part) => part.every((byte) => byte === 0))) return text; // a hole
    nonces.add(nonce);
    const plain = open(key, nonce, tag, numbers(which, 0, BigInt(i)), text);
    expect(plain !== undefined, () => `file ${which}: page ${i} does not authenticate`);
    return plain;
  });
}

/** Rules 3 and 6, of a log without damage. */
function readRecords(file: Uint8Array, which: number, key: Uint8Array, nonces: Nonces): Uint8Array[] {
  const texts: Uint8Array[] = [], r = new Reader(file, LOG_HEAD);
  for (let end = BigInt(2 * PAGE); r.left > 0;) {
    const head = file.subarray(r.at, r.at + RECORD), nonce = r.take(24), tag = r.take(16), offset = r.u64(), size = r.size();
    expect(r.u64() === xxh3(head.subarray(0, RECORD - 8)), () => `file ${which}: checksum of a record`);
    expect(offset === end && size > 0, () => `file ${which}: a record of ${offset}, not ${end}`);
    nonces.add(nonce);
    const plain = open(key, nonce, tag, numbers(which, 1, offset, BigInt(size)), r.take(size));
    expect(plain !== undefined, () => `file ${which}: the record of ${offset} does not authenticate`);
    texts.push(plain);
    end += BigInt(size);
  }
  return texts;
}

/** The files as they would be without encryption. */
export function decryptFiles(files: Files, key: Uint8Array): Files {
  const slots = [0, PAGE].map((at) => readSlot(files.data, at, key)), nonces = new Nonces();
  expect(equal(files.data.subarray(0, 128), files.data.subarray(PAGE, PAGE + 128)), "both slots are the same");
  for (const from of [0, PAGE]) new Reader(files.data, from + 128).zeros(PAGE - 128, "behind a slot");
  const dataKey = slots[0]!.dataKey!;
  expect((files.data.length - HEAD) % (PAGE + SEAL) === 0, "whole pages");
  const data = Buffer.concat(readPages(files.data, 0, (files.data.length - HEAD) / (PAGE + SEAL), dataKey, nonces));
  const logs = files.logs.map((log, i) => {
    readSlot(log, 0, undefined);
    new Reader(log, 128).zeros(HEAD - 128, "behind a log's slot");
    return Uint8Array.from(Buffer.concat([...readPages(log, i + 1, 2, dataKey, nonces), ...readRecords(log, i + 1, dataKey, nonces)]));
  });
  return { data: Uint8Array.from(data), logs };
}

/** crypt_stream.h: one stream. */
export function decryptStream(stream: Uint8Array, key: Uint8Array): Uint8Array {
  const r = new Reader(stream), texts: Uint8Array[] = [];
  expect(latin1(r.take(8)) === "NACRESEC" && r.u32() === 1 && r.u32() === 0, "stream: magic, version");
  const nonce = (count: bigint): Uint8Array => Buffer.concat([stream.subarray(16, 32), numbers(count)]);
  r.take(16);
  const proof = open(key, nonce(0n), r.take(16), stream.subarray(0, 32), new Uint8Array(0));
  expect(r.u64() === xxh3(stream.subarray(0, 48)), "stream: checksum");
  expect(proof !== undefined, "stream: another key");
  for (let count = 1n, last = false; !last; count++) {
    const word = r.u32(), size = word & 0x7fffffff;
    last = word >= 2 ** 31;
    expect(size <= 65536, () => `chunk ${count}: ${size} bytes`);
    const text = open(key, nonce(count), r.take(16), numbers(word), r.take(size));
    expect(text !== undefined, () => `chunk ${count} does not authenticate`);
    texts.push(text);
  }
  r.end("stream");
  return Uint8Array.from(Buffer.concat(texts));
}
