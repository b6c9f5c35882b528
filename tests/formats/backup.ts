// backup_format.h: streams of backups, and the rows that a chain of them leads to.
import { Reader, compare, equal, expect, latin1 } from "./bytes.ts";
import { TIER_FEED } from "./manifest.ts";
import type { SegmentRef } from "./manifest.ts";
import { readRecord } from "./record.ts";
import type { Row } from "./record.ts";
import { readSegment } from "./segment.ts";
import { EXTENT } from "./superblock.ts";
import { xxh3 } from "./xxh3.ts";

const PIECE = 256 << 10;
const KINDS = ["", "full", "incremental", "log"] as const;
const PIECES = ["", "header", "segment", "bytes", "state", "batch", "load", "mark", "value", "end"] as const;

export interface Backup {
  kind: "full" | "incremental" | "log";
  databaseId: string;
  lsn: bigint;
  flushedLsn: bigint;
  baseLsn: bigint;
  baseChecksum: bigint;
  segments: Map<bigint, { metaChecksum: bigint; rows: Row[] }>; // that it brings
  runs: { id: bigint; tier: number; above: Uint8Array; segments: bigint[] }[];
  commits: { lsn: bigint; load: boolean; rows: Row[]; ms: bigint }[]; // ms: when, 0n: it does not say
  checksum: bigint; // of its END
  pieces: number;
}

/** A segment's streams as BYTES give them, in extents of a file of their own. */
class Laid {
  readonly ref: SegmentRef;
  readonly #file: Uint8Array;
  readonly #sizes: number[] = [];
  #at = 0;

  constructor(body: Uint8Array) {
    const r = new Reader(body);
    const id = r.u64(), pageSize = r.u32(), streamCount = r.u32();
    this.ref = {
      id, pageSize, rows: r.size(), deletes: r.size(), firstExpiry: r.u64(), metaOffset: r.size(), metaSize: r.size(), metaChecksum: r.u64(),
      firstKey: r.take(r.u32()), lastKey: r.take(r.u32()), streams: [undefined, undefined, undefined, undefined, undefined],
    };
    let extents = 0, last = -1;
    for (let i = 0; i < streamCount; i++) {
      const kind = r.u32();
      r.zeros(4, "stream");
      const size = r.size(), count = Math.ceil(size / EXTENT);
      expect(kind > last && kind < 5 && size > 0, () => `segment ${id}: stream ${kind}`);
      last = kind;
      this.ref.streams[kind] = { size, extents: Array.from({ length: count }, (_, n) => extents + n) };
      this.#sizes.push(size);
      extents += count;
    }
    r.end("segment");
    this.#file = new Uint8Array(extents * EXTENT);
  }

  get missing(): number {
    return this.#sizes.reduce((sum, size) => sum + size, 0) - this.#at;
  }

  put(bytes: Uint8Array): void {
    expect(bytes.length <= this.missing, () => `segment ${this.ref.id}: more bytes than it has`);
    for (const byte of bytes) {
      let at = this.#at++, base = 0;
      for (const size of this.#sizes) {
        if (at < size) break;
        at -= size;
        base += Math.ceil(size / EXTENT) * EXTENT;
      }
      this.#file[base + at] = byte;
    }
  }

  rows(): Row[] {
    return readSegment(this.#file, this.ref).rows;
  }
}

interface Piece {
  kind: (typeof PIECES)[number];
  body: Uint8Array;
}

/** Rules 1 and 6: the pieces, each proved by those before it. */
function readPieces(bytes: Uint8Array): { pieces: Piece[]; checksum: bigint } {
  const r = new Reader(bytes), pieces: Piece[] = [];
  expect(latin1(r.take(8)) === "NACREBAK" && r.u32() === 1, "backup: magic, version");
  r.zeros(4, "backup");
  let chain = 0n, before = 0n, at = 0;
  while (pieces.at(-1)?.kind !== "end") {
    at = r.at;
    const checksum = r.u64(), kind = PIECES[r.u32()], size = r.u32();
    const body = r.take(size - 16);
    expect(kind !== undefined && kind !== "" && size <= 16 + (kind === "bytes" ? PIECE : 1 << 30), () => `piece at ${at}`);
    expect(xxh3(bytes.subarray(at + 8, at + size), chain) === checksum, () => `piece at ${at}: checksum`);
    before = chain;
    chain = checksum;
    pieces.push({ kind, body });
  }
  r.end("backup");
  const end = new Reader(pieces.at(-1)!.body, 32);
  expect(end.u64() === BigInt(pieces.length - 1) && end.u64() === BigInt(at) && end.u64() === before, "end: counts, checksum before");
  const tail = new Reader(bytes, bytes.length - 8);
  expect(tail.u32() === bytes.length - at && latin1(tail.take(4)) === "BEND", "end: its size");
  return { pieces, checksum: chain };
}

function readRuns(body: Uint8Array): Backup["runs"] {
  const r = new Reader(body), count = r.u32();
  r.zeros(4, "state");
  const runs = r.array(count, () => {
    const id = r.u64(), tier = r.u32(), segments = r.u32();
    return { id, tier, above: r.take(r.u32()), segments: r.array(segments, (each) => each.u64()) };
  });
  r.end("state");
  return runs;
}

export function readBackup(bytes: Uint8Array): Backup {
  const { pieces, checksum } = readPieces(bytes);
  const h = new Reader(pieces[0]!.body);
  expect(pieces[0]!.kind === "header", "backup: header");
  const kind = KINDS[h.u32()];
  expect(kind !== undefined && kind !== "", "header: kind");
  h.zeros(4, "header");
  const backup: Backup = {
    kind, databaseId: latin1(h.take(16)), lsn: h.u64(), flushedLsn: h.u64(), baseLsn: h.u64(), baseChecksum: h.u64(),
    segments: new Map(), runs: [], commits: [], checksum, pieces: pieces.length,
  };
  h.end("header");
  expect(kind !== "full" || (backup.baseLsn === 0n && backup.baseChecksum === 0n), "header: a base");
  readBody(backup, pieces.slice(1, -1));
  checkEnd(backup, pieces.at(-1)!.body);
  return backup;
}

function readBody(backup: Backup, pieces: Piece[]): void {
  const log = backup.kind === "log";
  let laid: Laid | undefined, gathered: Uint8Array[] = [], stated = false, mark = { lsn: 0n, ms: 0n };
  let value: { row: Row; bytes: Uint8Array; at: number } | undefined;
  let last = log ? backup.baseLsn : backup.flushedLsn;
  const flush = (): void => { // what BYTES belonged to is whole
    expect(laid === undefined || laid.missing === 0, "a segment is cut short");
    if (laid !== undefined) backup.segments.set(laid.ref.id, { metaChecksum: laid.ref.metaChecksum, rows: laid.rows() });
    laid = undefined;
    expect(value === undefined || value.at === value.bytes.length, "a value is cut short");
    value = undefined;
    const r = new Reader(Uint8Array.from(Buffer.concat(gathered)));
    while (r.left > 0) backup.commits.at(-1)!.rows.push(readRecord(r));
    gathered = [];
  };
  for (const { kind, body } of pieces) {
    if (kind === "bytes") {
      expect(body.length > 0, "bytes: none");
      if (laid !== undefined) laid.put(body);
      else if (value !== undefined && value.at < value.bytes.length) value.bytes.set(body, value.at), value.at += body.length;
      else gathered.push(body);
      continue;
    }
    flush();
    const r = new Reader(body);
    if (kind === "segment") {
      expect(!log && !stated, "a segment in its place");
      laid = new Laid(body);
      expect(!backup.segments.has(laid.ref.id), "a segment comes once");
    } else if (kind === "state") {
      expect(!log && !stated, "one state");
      backup.runs = readRuns(body);
      stated = true;
    } else if (kind === "mark") {
      const next = { lsn: r.u64(), ms: r.u64() };
      expect(log && next.lsn >= mark.lsn && next.ms >= mark.ms && next.lsn <= backup.lsn, "a mark in its place");
      mark = next;
    } else if (kind === "batch" || kind === "load") {
      const lsn = r.u64();
      expect(lsn > last && lsn <= backup.lsn && (log ? lsn <= mark.lsn : stated && kind === "batch"), () => `${kind} ${lsn} in its place`);
      backup.commits.push({ lsn, load: kind === "load", rows: [], ms: log ? mark.ms : 0n });
      last = lsn;
    } else if (kind === "value") {
      const size = r.size(), row = readRecord(r);
      expect(backup.commits.at(-1)?.load === true && row.value.length === 0 && size >= 1 << 20, "a value in its place");
      r.end("value");
      row.value = new Uint8Array(size);
      value = { row, bytes: row.value, at: 0 };
      backup.commits.at(-1)!.rows.push(row);
    } else {
      expect(false, () => `a piece of kind ${kind}`);
    }
  }
  flush();
  expect(log ? mark.lsn === backup.lsn : stated, "the end of what there is");
}

function checkEnd(backup: Backup, body: Uint8Array): void {
  const r = new Reader(body);
  expect(latin1(r.take(16)) === backup.databaseId && KINDS[r.u32()] === backup.kind, "end: of this stream");
  r.zeros(4, "end");
  expect(r.u64() === backup.lsn, "end: LSN");
  r.take(24); // counts
  const listed = r.array(r.size(), (each) => ({ id: each.u64(), metaChecksum: each.u64() }));
  r.take(8); // size, magic
  r.end("end");
  const used = backup.runs.flatMap((run) => run.segments);
  expect(listed.length === used.length && listed.every(({ id }, i) => id === used[i]), "end: the segments of the state");
  expect(new Set(used).size === used.length, "state: a segment stands twice");
  for (const { id, metaChecksum } of listed) {
    const here = backup.segments.get(id);
    expect(here === undefined ? backup.kind === "incremental" : here.metaChecksum === metaChecksum, () => `end: segment ${id}`);
  }
  expect([...backup.segments.keys()].every((id) => used.includes(id)), "a segment that the state does not have");
}

/** The rows after a full backup, incremental ones, logs; deletions and what has ended left out. */
export function rowsOf(chain: Backup[]): { lsn: bigint; rows: Row[] } {
  const known = new Map<bigint, Row[]>();
  let rows = new Map<string, Row>(), before: Backup | undefined, lsn = 0n;
  for (const backup of chain) {
    expect(before === undefined ? backup.kind === "full" : backup.kind !== "full" && backup.databaseId === before.databaseId, "the order of streams");
    if (backup.kind === "incremental") expect(backup.baseChecksum === before!.checksum && backup.baseLsn === before!.lsn, "the base");
    if (backup.kind === "log") expect(backup.baseLsn <= lsn, "a log is missing");
    if (backup.kind !== "log") {
      rows = new Map();
      for (const [id, segment] of backup.segments) known.set(id, segment.rows);
      for (const run of backup.runs.filter(({ tier }) => tier !== TIER_FEED)) {
        for (const row of run.segments.flatMap((id) => known.get(id)!)) {
          if (compare(row.key, run.above) > 0 && !rows.has(latin1(row.key))) rows.set(latin1(row.key), row);
        }
      }
      lsn = backup.flushedLsn;
    }
    for (const commit of backup.commits) {
      if (commit.lsn <= lsn) continue;
      if (commit.load) commit.rows.forEach((row, i) => expect(i === 0 || compare(commit.rows[i - 1]!.key, row.key) < 0, "a load rises"));
      for (const row of commit.rows) rows.set(latin1(row.key), row);
    }
    if (backup.lsn > lsn) lsn = backup.lsn;
    before = backup;
  }
  const now = BigInt(Date.now());
  const living = [...rows.values()].filter((row) => !row.deleted && (row.expires === 0n || row.expires > now));
  return { lsn, rows: living.sort((a, b) => compare(a.key, b.key)) };
}

export const sameRow = (a: Row, b: Row): boolean =>
  equal(a.key, b.key) && equal(a.value, b.value) && a.expires === b.expires && equal(a.vector ?? new Uint8Array(), b.vector ?? new Uint8Array());
