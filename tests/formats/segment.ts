// segment_format.h. Reads all of a segment at once, and checks every byte of it.
import { Reader, commonPrefix, compare, equal, expect } from "./bytes.ts";
import { readStream } from "./manifest.ts";
import type { SegmentRef } from "./manifest.ts";
import { readCodes } from "./codes.ts";
import type { CodesFacts } from "./codes.ts";
import { readFields } from "./fields.ts";
import type { FieldEntry } from "./fields.ts";
import { readLz4 } from "./lz4.ts";
import type { Row } from "./record.ts";
import { xxh3 } from "./xxh3.ts";

const ENTRY_DELETE = 1;
const ENTRY_VECTOR = 2;
const ENTRY_BLOB = 4;
const ENTRY_EXPIRES = 8;
const ENTRY_PIECES = 16;
const PIECE = 256 * 1024;
const SOLO = 1024 * 1024;
const UNIT = 16384;

export interface Section {
  membrane: number;
  stride: number;
  firstSlot: number;
  slotCount: number;
  offset: number;
  rows: number;
}

export interface SegmentFacts {
  blocks: number;
  blockPages: Set<number>; // of 4 KiB, begun
  longRows: number;
  packedBlocks: number; // compressed
  blobs: number;
  vectors: number;
  filterSize: number;
  sections: Section[];
  model: number; // pieces of the learned index; 0: none
  codes: CodesFacts;
  fields: FieldEntry[];
}

/** What kind of bytes, and which of them: the seed of a checksum. */
function placeSeed(segment: bigint, stream: number, number: number): bigint {
  return BigInt.asUintN(64, segment * 0x9e3779b97f4a7c15n + (BigInt(stream) << 56n) + BigInt(number) + 1n);
}

// ---- the filter ----

const SALTS = [0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d, 0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31];

export function filterHas(filter: Uint8Array, hash: bigint): boolean {
  if (filter.length === 0) return true;
  const block = Number(((hash >> 32n) * BigInt(filter.length / 32)) >> 32n);
  const r = new Reader(filter, 32 * block);
  const low = Number(hash & 0xffffffffn);
  return SALTS.every((salt) => ((r.u32() >>> (Math.imul(low, salt) >>> 27)) & 1) === 1);
}

// ---- the index ----

interface Meta {
  pages: number[];
  firstSlots: number[];
  separators: Uint8Array[];
  sections: Section[];
  fences: bigint[];
  unitChecksums: bigint[];
  filter: Uint8Array;
  prefix: Uint8Array;
  model: Model | undefined;
}

/** A learned index over the fences. */
interface Model {
  firsts: bigint[];
  starts: number[];
  slopes: bigint[];
  shifts: [bigint, bigint][];
  keyCount: number;
  epsilon: number;
}

function readModel(r: Reader): Model {
  const [pieces, keyCount, epsilon] = [r.u32(), r.u32(), r.u32()];
  const model = {
    keyCount, epsilon, firsts: r.array(pieces, () => r.u64()), starts: r.array(pieces, () => r.u32()),
    slopes: r.array(pieces, () => BigInt(r.u32())), shifts: r.array(pieces, (): [bigint, bigint] => [BigInt(r.u8()), BigInt(r.u8())]),
  };
  const { firsts, starts } = model;
  expect(pieces > 0 && starts[0] === 0 && starts.at(-1)! <= keyCount, "model: pieces");
  for (let i = 1; i < pieces; i++) expect(firsts[i]! > firsts[i - 1]! && starts[i]! > starts[i - 1]!, "model: pieces rise");
  return model;
}

/** Where the place of `key` must be, both included. */
function modelWindow({ firsts, starts, slopes, shifts, keyCount, epsilon }: Model, key: bigint): [number, number] {
  const piece = firsts.findLastIndex((first) => first <= key);
  if (piece < 0) return [0, 0];
  const [into, out] = shifts[piece]!;
  const distance = (key - firsts[piece]!) >> into;
  const most = (1n << 32n) - 1n;
  const [start, end] = [starts[piece]!, starts[piece + 1] ?? keyCount];
  const guess = Math.min(end, start + Number((distance < most ? distance : most) * slopes[piece]! >> out));
  return [Math.max(start, guess - epsilon), Math.min(end, guess + epsilon + 3)];
}

function readMeta(bytes: Uint8Array): Meta {
  const r = new Reader(bytes);
  const [blocks, units, sections, filterSize, separatorsSize, prefixSize] = r.array(6, () => r.u32()) as
    [number, number, number, number, number, number];
  const pages = r.array(blocks + 1, () => r.u32());
  const firstSlots = r.array(blocks, () => r.u32());
  const offsets = r.array(blocks + 1, () => r.u32());
  const meta = {
    pages, firstSlots,
    sections: r.array(sections, () => ({
      membrane: r.u32(), stride: r.u32(), firstSlot: r.u32(), slotCount: r.u32(), offset: r.size(), rows: r.size(),
    })),
    fences: r.array(blocks, () => r.u64()),
    unitChecksums: r.array(units, () => r.u64()),
    filter: r.take(filterSize),
    prefix: r.take(prefixSize),
  };
  const separators = r.take(separatorsSize);
  const model = r.left > 0 ? readModel(r) : undefined;
  r.end("meta");
  expect(offsets[0] === 0 && offsets[blocks] === separatorsSize, "meta: separators");
  return { ...meta, model, separators: firstSlots.map((_, i) => separators.subarray(offsets[i]!, offsets[i + 1]!)) };
}

// ---- blocks ----

interface Entry {
  key: Uint8Array;
  flags: number;
  value: Uint8Array; // as stored
}

interface Block {
  firstSlot: number;
  long: boolean;
  packed: boolean;
  entries: Entry[];
}

function join(prefix: Uint8Array, suffix: Uint8Array): Uint8Array {
  const key = new Uint8Array(prefix.length + suffix.length);
  key.set(prefix);
  key.set(suffix, prefix.length);
  return key;
}

function readNormal(r: Reader, count: number, prefixSize: number, width: number): Entry[] {
  const fingerprints = r.take(count);
  const flags = r.take(count);
  const valueOffsets = r.array(count + 1, () => r.u16());
  const keyOffsets = width === 0xffff ? r.array(count + 1, () => r.u16()) : undefined;
  const prefix = r.take(prefixSize);
  const suffixes = r.at;
  const entries = Array.from({ length: count }, (_, i): Entry => {
    const from = keyOffsets ? keyOffsets[i]! : suffixes + i * width;
    const to = keyOffsets ? keyOffsets[i + 1]! : from + width;
    expect(r.at === from && from <= to, "block: suffixes lie one after the other");
    const key = join(prefix, r.take(to - from));
    expect(fingerprints[i] === Number((xxh3(key) >> 32n) & 0xffn), "block: fingerprint");
    return { key, flags: flags[i]!, value: new Uint8Array() };
  });
  entries.forEach((entry, i) => {
    expect(r.at === valueOffsets[i] && valueOffsets[i]! <= valueOffsets[i + 1]!, "block: values lie one after the other");
    entry.value = r.take(valueOffsets[i + 1]! - valueOffsets[i]!);
  });
  return entries;
}

function readBlock(bytes: Uint8Array, seed: bigint, pageSize: number): Block {
  const head = new Reader(bytes);
  const checksum = head.u64();
  const size = head.u32();
  expect(size >= 24 && size <= bytes.length, "block: size");
  expect(xxh3(bytes.subarray(8, size), seed) === checksum, "block: checksum");
  new Reader(bytes, size).zeros(bytes.length - size, "block: behind its size");
  const r = new Reader(bytes.subarray(0, size), 12);
  const count = r.u16();
  const kind = r.u8();
  r.zeros(1, "block");
  const prefixSize = r.u16();
  const width = r.u16();
  const firstSlot = r.u32();
  if (kind === 1) {
    expect(count === 1 && prefixSize === 0 && width === 0, "block: a long row's head");
    expect(bytes.length - size < Math.max(pageSize, 4096), "block: pages of a long row");
    const flags = r.u8();
    r.zeros(3, "block");
    const keySize = r.u32();
    const valueSize = r.u32();
    const entry: Entry = { flags, key: r.take(keySize), value: r.take(valueSize) };
    r.end("block");
    return { firstSlot, long: true, packed: false, entries: [entry] };
  }
  if (kind === 2) {
    const plain = new Uint8Array(r.u32());
    expect(plain.length > 24 && plain.length <= 65536, "block: size when it is not compressed");
    expect(Math.ceil(size / pageSize) < Math.ceil(plain.length / pageSize) && bytes.length - size < 4096, "block: compressing saves a page");
    readLz4(bytes.subarray(r.at, size), plain.subarray(24));
    const inner = new Reader(plain, 24);
    const packed = readNormal(inner, count, prefixSize, width);
    inner.end("block");
    return { firstSlot, long: false, packed: true, entries: packed };
  }
  const whole = pageSize >= 4096 ? bytes.length === pageSize : bytes.length - size < 4096; // version 1: one page
  expect(kind === 0 && count > 0 && whole, () => `block: kind ${kind}, ${count} rows, ${bytes.length} bytes`);
  const entries = readNormal(r, count, prefixSize, width);
  r.end("block");
  return { firstSlot, long: false, packed: false, entries };
}

// ---- the whole ----

/** Reads a segment of the file; gives its rows in their order. */
export function readSegment(file: Uint8Array, ref: SegmentRef): { rows: Row[]; facts: SegmentFacts } {
  const [rowStream, vectorStream, blobStream, codeStream, fieldStream] = ref.streams.map((stream) => stream ? readStream(file, stream) : new Uint8Array()) as
    [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  const metaBytes = rowStream.subarray(ref.metaOffset, ref.metaOffset + ref.metaSize);
  expect(xxh3(metaBytes, placeSeed(ref.id, 255, 0)) === ref.metaChecksum, "meta: checksum");
  const meta = readMeta(metaBytes);
  const facts: SegmentFacts = {
    blocks: meta.firstSlots.length, blockPages: new Set(), longRows: 0, packedBlocks: 0, blobs: 0, vectors: 0, filterSize: meta.filter.length, sections: meta.sections, model: 0,
    codes: readCodes(codeStream, ref, meta.sections), fields: [],
  };
  checkVectors(vectorStream, ref, meta);
  checkSpare(rowStream, ref, meta);

  const rows: Row[] = [];
  const counts = new Map<number, number>();
  let last: Uint8Array = new Uint8Array();
  let blobAt = 0;
  let slot = 0;
  let firstExpiry = 0n;
  const take = (entry: Entry): void => { // one row, all its parts in the order of the streams
    const { key, flags } = entry;
    expect(rows.length === 0 || compare(last, key) < 0, "keys rise");
    expect(filterHas(meta.filter, xxh3(key)), "the filter has every key");
    expect(flags <= 31 && ((flags & ENTRY_PIECES) === 0 || (flags & ENTRY_BLOB) !== 0) && (flags & ENTRY_DELETE) === 0 || flags === ENTRY_DELETE, () => `flags ${flags}`);
    const membrane = new Reader(key).u32be();
    counts.set(membrane, (counts.get(membrane) ?? 0) + 1);
    const r = new Reader(entry.value);
    const expires = flags & ENTRY_EXPIRES ? r.u64() : 0n;
    expect(expires > 0n === (flags & ENTRY_EXPIRES) > 0 && expires < 1n << 63n, () => `expiry ${expires}`);
    if (expires > 0n && (firstExpiry === 0n || expires < firstExpiry)) firstExpiry = expires;
    let vector: Uint8Array | undefined;
    if (flags & ENTRY_VECTOR) {
      const section = meta.sections.find((each) => each.membrane === membrane);
      expect(r.u32() === slot && section !== undefined, "slots rise by one");
      const within = slot - section.firstSlot;
      expect(within >= 0 && within < section.slotCount, "slot in its section");
      vector = vectorStream.slice(section.offset + within * section.stride, section.offset + (within + 1) * section.stride);
      expect(vector.length === section.stride, "vector");
      slot++;
      facts.vectors++;
    }
    let value = r.take(r.left);
    if (flags & ENTRY_BLOB) {
      const blob = new Reader(value);
      const offset = blob.size();
      const size = blob.size();
      expect(offset === blobAt && offset + size <= blobStream.length, "blobs lie one after the other");
      const checksum = blob.u64();
      blob.end("reference to a blob");
      value = blobStream.slice(offset, offset + size);
      blobAt += size;
      expect((flags & ENTRY_PIECES) === 0 || size >= SOLO, "blob: pieces only where it is large");
      if (flags & ENTRY_PIECES) {
        const table = blobStream.slice(blobAt, blobAt + 8 * Math.ceil(size / PIECE));
        const sums = new Reader(table);
        for (let i = 0; i * PIECE < size; i++) {
          expect(sums.u64() === xxh3(value.subarray(i * PIECE, (i + 1) * PIECE), BigInt(i)), () => `blob: checksum of piece ${i}`);
        }
        sums.end("checksums of pieces");
        expect(xxh3(table, BigInt(size)) === checksum, "blob: checksum of its pieces");
        expect(ref.rows === 1, "a row of pieces is alone in its segment");
        blobAt += table.length;
      } else {
        expect(xxh3(value, BigInt(size)) === checksum, "blob: checksum");
      }
      facts.blobs++;
    } else {
      expect(value.length <= (ref.pageSize >= 4096 ? ref.pageSize : 65536) / 4, "a value longer than a quarter of a block is a blob");
    }
    if (flags === ENTRY_DELETE) expect(entry.value.length === 0, "a deletion with a value");
    rows.push({ key, deleted: flags === ENTRY_DELETE, value, vector, expires });
    last = key;
  };

  expect(meta.pages[0] === 0 && meta.pages.at(-1)! * ref.pageSize === ref.metaOffset, "meta: pages");
  const begins: number[] = [];
  meta.firstSlots.forEach((firstSlot, i) => {
    const [from, to] = [meta.pages[i]!, meta.pages[i + 1]!];
    expect(from < to, "meta: pages rise");
    const block = readBlock(rowStream.subarray(from * ref.pageSize, to * ref.pageSize), placeSeed(ref.id, 0, from), ref.pageSize);
    facts.blockPages.add(Math.ceil(((to - from) * ref.pageSize) / 4096));
    const separator = meta.separators[i]!;
    expect(firstSlot === slot && block.firstSlot === slot, "first slot of a block");
    expect(compare(separator, block.entries[0]!.key) <= 0 && (i === 0 || compare(separator, last) > 0), "separator");
    expect(meta.fences[i] === fenceOf(separator, meta.prefix.length), "fence");
    facts.longRows += Number(block.long);
    facts.packedBlocks += Number(block.packed);
    expect(block.packed || (from * ref.pageSize) % 4096 === 0, "blocks that are not compressed are aligned");
    begins.push(rows.filter((row) => !row.deleted).length);
    block.entries.forEach(take);
  });
  facts.fields = readFields(fieldStream, ref, rows, begins);
  if (meta.model !== undefined) checkModel(meta.model, meta.fences);
  facts.model = meta.model?.firsts.length ?? 0;
  expect(rows.length === ref.rows && rows.filter((row) => row.deleted).length === ref.deletes, "rows and deletes are those of the manifest");
  expect(firstExpiry === ref.firstExpiry, "first expiry");
  expect(equal(rows[0]!.key, ref.firstKey) && equal(last, ref.lastKey), "first and last key");
  expect(equal(meta.prefix, ref.firstKey.subarray(0, commonPrefix(ref.firstKey, ref.lastKey))), "common prefix");
  expect(blobAt === blobStream.length, "every byte of the blobs is some row's");
  expect(meta.sections.length === counts.size, "a section for each membrane");
  for (const section of meta.sections) expect(counts.get(section.membrane) === section.rows, "rows of a section");
  return { rows, facts };
}

/** Fences that are there, and numbers beside them, have their places in their windows. */
function checkModel(model: Model, fences: bigint[]): void {
  const pieces = model.firsts.length;
  expect(model.keyCount === fences.length && model.epsilon === 4, "model: of other fences");
  expect(fences.length >= 32 && (pieces === 1 || pieces * 64 <= fences.length), "model: one that does not pay");
  for (const fence of fences) {
    for (const key of [fence, fence + 1n, fence - 1n]) {
      const place = fences.findIndex((each) => each >= key), [low, high] = modelWindow(model, key);
      const at = place < 0 ? fences.length : place;
      expect(low <= at && at <= high, () => `model: ${key} is at ${at}, not in ${low} to ${high}`);
    }
  }
}

function fenceOf(separator: Uint8Array, prefix: number): bigint {
  const bytes = new Uint8Array(8);
  bytes.set(separator.subarray(prefix, prefix + 8));
  return new Reader(bytes).u64be();
}

/** Rule 13: behind the meta, of the streams of vectors, what is in it too. */
function checkSpare(rowStream: Uint8Array, ref: SegmentRef, meta: Meta): void {
  const end = ref.metaOffset + ref.metaSize;
  if (end === rowStream.length) { // none: there are no vectors, or it is of version 1
    expect(meta.unitChecksums.length === 0 || ref.pageSize >= 4096, "spare: missing");
    return;
  }
  const start = Math.ceil(end / 512) * 512;
  new Reader(rowStream, end).zeros(start - end, "behind meta");
  const r = new Reader(rowStream, start);
  expect(r.u64() === xxh3(rowStream.subarray(start + 8), placeSeed(ref.id, 255, 1)), "spare: checksum");
  expect(r.u32() === meta.sections.length && r.u32() === meta.unitChecksums.length && r.left > 0, "spare: counts");
  for (const section of meta.sections) {
    expect(r.u32() === section.membrane && r.u32() === section.stride && r.u32() === section.firstSlot, "spare: section");
    expect(r.u32() === section.slotCount && r.size() === section.offset && r.size() === section.rows, "spare: section");
  }
  for (const checksum of meta.unitChecksums) expect(r.u64() === checksum, "spare: checksum of a unit");
  r.end("spare");
}

/** Sections follow each other; between them nothing but zeros up to 16 bytes. */
function checkVectors(stream: Uint8Array, ref: SegmentRef, meta: Meta): void {
  expect(meta.unitChecksums.length === Math.ceil(stream.length / UNIT), "units");
  meta.unitChecksums.forEach((checksum, unit) => {
    const bytes = stream.subarray(unit * UNIT, (unit + 1) * UNIT);
    expect(xxh3(bytes, placeSeed(ref.id, 1, unit)) === checksum, () => `vectors: checksum of unit ${unit}`);
  });
  let at = 0;
  let slot = 0;
  let membrane = -1;
  for (const section of meta.sections) {
    expect(section.membrane > membrane && section.firstSlot === slot, "sections rise");
    membrane = section.membrane;
    if (section.slotCount === 0) continue;
    const start = Math.ceil(at / 16) * 16;
    new Reader(stream, at).zeros(start - at, "vectors: between sections");
    expect(section.offset === start && section.stride > 0, "section");
    slot += section.slotCount;
    at = start + section.stride * section.slotCount;
  }
  expect(at === stream.length, "every byte of the vectors is some row's");
}
