// codes_format.h, codebook_format.h and code_format.h: what a segment has beside its vectors.
import { Reader, expect } from "./bytes.ts";
import type { SegmentRef } from "./manifest.ts";
import type { Section } from "./segment.ts";
import { xxh3 } from "./xxh3.ts";

const STREAM_CODES = 3;
const LANES = 32;
const PIECE = 256;

export interface CodesFacts {
  parts: number;
  lists: number;
  slots: number;
}

interface Codebook {
  dimensions: number;
  padded: number;
  lists: number;
  bits: number;
}

const roundUp = (size: number, unit: number): number => Math.ceil(size / unit) * unit;

function seedOf(segment: bigint, number: bigint): bigint {
  return BigInt.asUintN(64, segment * 0x9e3779b97f4a7c15n + (BigInt(STREAM_CODES) << 56n) + number + 1n);
}

/** Rule 1 of codebook_format.h: the head, then the floats in pieces, each seeded with the sum so far. */
function readCodebook(bytes: Uint8Array): Codebook {
  const r = new Reader(bytes);
  const checksum = r.u64();
  expect(r.u32() === 0x4b424356, "codebook: magic");
  const dimensions = r.u32();
  r.u64(); // seed
  const [lists, bits, metric] = [r.u32(), r.u8(), r.u8()];
  expect(lists >= 1 && lists <= 4096 && bits >= 1 && bits <= 8 && metric >= 1 && metric <= 3, "codebook: head");
  const rising = (numbers: number[]): boolean => numbers.every((each, i) => i === 0 || each >= numbers[i - 1]!);
  for (let rank = 0; rank < 2; rank++) {
    const probes = r.array(11, (each) => each.u16());
    expect(rising(probes) && probes[0]! >= 1 && probes[10]! <= lists, "codebook: probes");
  }
  for (let rank = 0; rank < 2; rank++) {
    const reaches = new Float32Array(r.take(44).slice().buffer);
    expect(rising([...reaches]) && reaches[0]! >= 0 && reaches[10]! < Infinity, "codebook: reaches");
  }
  const least = new Float32Array(r.take(4).slice().buffer)[0]!;
  expect(least >= 0 && least < Infinity, "codebook: least");
  const padded = roundUp(dimensions, 64);
  let sum = xxh3(bytes.subarray(8, r.at), 0x4b424356n);
  for (let row = 0; row < (lists > 1 ? lists + 1 : 1); row++) {
    for (let i = 0; i < padded; i += PIECE) {
      const floats = r.take(4 * Math.min(PIECE, padded - i));
      sum = xxh3(floats, sum);
      expect(new Reader(floats).array(floats.length / 4, (each) => each.u32()).every((word) => (word & 0x7f800000) !== 0x7f800000), "codebook: finite");
    }
  }
  r.end("codebook");
  expect(sum === checksum, "codebook: checksum");
  return { dimensions, padded, lists, bits };
}

/** Rule 5 of code_format.h: what no lane uses is 0. */
function checkBlock(block: Uint8Array, used: number): void {
  const r = new Reader(block, 20);
  r.zeros(12, "codes: head of a block");
  r.take(2 * used);
  r.zeros(2 * (LANES - used), "codes: unused lanes");
  r.take(2 * used);
  r.zeros(2 * (LANES - used), "codes: unused lanes");
  for (let at = r.at; at < block.length && used < LANES; at++) {
    const lane = (at - r.at) % 16;
    expect(lane < used || (block[at]! & 15) === 0, "codes: unused lanes");
    expect(16 + lane < used || block[at]! >> 4 === 0, "codes: unused lanes");
  }
}

function readBody(bytes: Uint8Array, book: Codebook, section: Section): void {
  const r = new Reader(bytes);
  const [slots, blocks, lists] = [r.u32(), r.u32(), r.u32()];
  r.zeros(4, "codes");
  expect(slots === section.slotCount && lists === book.lists, "codes: of other vectors");
  const ends = r.array(lists, (each) => each.u32());
  const counts = r.array(lists, (each) => each.u32());
  const numbers = lists > 1 ? r.array(LANES * blocks, (each) => each.u32()) : undefined;
  r.zeros(roundUp(r.at, 64) - r.at, "codes: in front of blocks");
  const seen = new Set<number>();
  let begin = 0;
  for (let list = 0; list < lists; list++) {
    const [end, count] = [ends[list]!, counts[list]!];
    expect(end - begin === Math.ceil(count / LANES), "codes: blocks of a list");
    let last = -1;
    for (let at = begin * LANES; at < end * LANES; at++) {
      const slot = numbers ? numbers[at]! : at;
      if (at - begin * LANES >= count) {
        expect(!numbers || slot === 0, "codes: slot of an unused lane");
        continue;
      }
      expect(slot > last && slot < slots, "codes: slots rise in a list");
      seen.add(last = slot);
    }
    for (let block = begin; block < end; block++) {
      checkBlock(r.take(160 + 4 * book.padded * book.bits), Math.min(LANES, count - (block - begin) * LANES));
    }
    begin = end;
  }
  expect(begin === blocks && seen.size === slots, "codes: each vector has one");
  r.zeros(r.left, "codes: behind blocks");
  expect(r.at - roundUp(r.at, 64) === 0, "codes: padded");
}

/** Reads the stream from its end; every byte of it is part of something. */
export function readCodes(stream: Uint8Array, ref: SegmentRef, sections: Section[]): CodesFacts {
  const facts: CodesFacts = { parts: 0, lists: 0, slots: 0 };
  if (stream.length === 0) return facts;
  const tail = new Reader(stream, stream.length - 16);
  const count = tail.u32();
  tail.zeros(4, "codes: directory");
  const start = stream.length - 16 - 40 * count;
  expect(tail.u64() === xxh3(stream.subarray(start, stream.length - 8), seedOf(ref.id, 1n << 40n)), "codes: checksum of the directory");
  const r = new Reader(stream, start);
  let at = 0;
  for (let i = 0; i < count; i++) {
    const membrane = r.u32();
    r.zeros(4, "codes: directory");
    const [offset, bookSize, bodySize] = [r.size(), r.u32(), r.u32()];
    const section = sections.find((each) => each.membrane === membrane);
    expect(offset === at && section !== undefined && section.slotCount >= 1024, "codes: an entry");
    const book = stream.subarray(offset, offset + bookSize);
    const bodyAt = roundUp(offset + bookSize, 64);
    const body = stream.subarray(bodyAt, bodyAt + bodySize);
    expect(r.u64() === xxh3(book, seedOf(ref.id, BigInt(2 * i))), "codes: checksum of the codebook");
    expect(r.u64() === xxh3(body, seedOf(ref.id, BigInt(2 * i + 1))), "codes: checksum");
    new Reader(stream, offset + bookSize).zeros(bodyAt - offset - bookSize, "codes: behind the codebook");
    const codebook = readCodebook(book);
    expect([4, 2, 1].some((size) => codebook.dimensions * size === section.stride), "codes: dimensions");
    readBody(body, codebook, section);
    facts.parts++;
    facts.lists += codebook.lists;
    facts.slots += section.slotCount;
    at = bodyAt + bodySize;
  }
  expect(at === start, "codes: every byte");
  return facts;
}
