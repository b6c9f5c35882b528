// A whole database from its three files: what the pages of core/**/*_format.h say about
// each is checked, and what they say about all three together.
import { readFileSync } from "node:fs";
import { Reader, compare, expect, latin1 } from "./bytes.ts";
import { readCatalog } from "./catalog.ts";
import type { Catalog, Membrane } from "./catalog.ts";
import { checkFields } from "./fields.ts";
import { readFeed } from "./feed.ts";
import type { Feed } from "./feed.ts";
import { readKey } from "./keycode.ts";
import type { Value } from "./keycode.ts";
import { readManifest, TIER_FEED } from "./manifest.ts";
import type { Manifest } from "./manifest.ts";
import { readBatches } from "./record.ts";
import type { Row } from "./record.ts";
import { readRow } from "./row.ts";
import { readSegment } from "./segment.ts";
import type { SegmentFacts } from "./segment.ts";
import { readSuperblock } from "./superblock.ts";
import type { Superblock } from "./superblock.ts";
import { readLog } from "./wal.ts";
import type { Log } from "./wal.ts";

/** Of bits the bytes. */
export type Vector = Float32Array | Int8Array | Uint8Array;

export interface MembraneRow {
  key: Value[];
  vector: Vector | undefined;
  fields: Value[];
}

export interface State {
  superblocks: Superblock[]; // the newer first
  manifest: Manifest; // of the newer
  logs: Log[]; // the older first
  lastLsn: bigint;
  segments: SegmentFacts[];
  catalog: Catalog;
  feed: Feed | undefined; // the archive of changes
  newest: Row[]; // of all membranes, the catalog's too
  rows: Map<string, MembraneRow[]>; // by the membrane's name, in the order of keys
}

export interface Files {
  data: Uint8Array;
  logs: Uint8Array[];
}

export function readFiles(name: string): Files {
  return { data: readFileSync(name), logs: [readFileSync(`${name}-wal0`), readFileSync(`${name}-wal1`)] };
}

/** What each extent holds in one state; each has one use at most. */
function uses(superblock: Superblock, manifest: Manifest): Map<number, string> {
  const found = new Map([[0, "superblocks"]]);
  const use = (extents: number[], what: string): void => extents.forEach((extent, i) => {
    expect(!found.has(extent), () => `extent ${extent} is ${found.get(extent)} and ${what}`);
    found.set(extent, `${what}, piece ${i}`);
  });
  use(superblock.manifest, `manifest ${superblock.manifestChecksum}`);
  for (const run of manifest.runs) {
    for (const segment of run.segments) {
      segment.streams.forEach((stream, kind) => use(stream?.extents ?? [], `stream ${kind} of segment ${segment.id}`));
    }
  }
  return found;
}

/** Rule 1 of superblock_format.h: what the older state uses, the newer has not overwritten. */
function checkSharing(states: { superblock: Superblock; manifest: Manifest }[]): void {
  const [newer, older] = states.map((state) => uses(state.superblock, state.manifest));
  for (const [extent, use] of older ?? []) {
    const now = newer!.get(extent);
    // A manifest may be shared where the disk had no room for another: its checksum, seeded
    // with the generation, then differs, and its extents are the same.
    expect(now === undefined || now === use || (now.startsWith("manifest") && use.startsWith("manifest")),
      () => `extent ${extent} was ${use} and is now ${now}`);
  }
}

/** Newest first of one key: logs over runs, newer runs over older ones. */
function readRows(files: Files, state: { manifest: Manifest; logs: Log[]; superblock: Superblock }, segments: SegmentFacts[]): {
  newest: Row[];
  lastLsn: bigint;
} {
  const newest = new Map<string, Row>();
  let lsn = state.superblock.flushedLsn;
  for (const log of state.logs) {
    log.frames.forEach((frame, i) => {
      if (frame.lsn <= state.superblock.flushedLsn) return;
      if (i === 0) expect(frame.previous === lsn, () => `log: batches between ${lsn} and ${frame.previous} are missing`);
      if (frame.kind === "batches") {
        let last = frame.previous;
        for (const batch of readBatches(frame.body)) {
          expect(batch.lsn > last, () => `batch ${batch.lsn} after ${last}`);
          last = batch.lsn;
          for (const row of batch.rows) newest.set(latin1(row.key), row);
        }
        expect(last === frame.lsn, () => `frame ${frame.lsn} ends with batch ${last}`);
      }
      lsn = frame.lsn;
    });
  }
  expect(lsn >= state.superblock.syncedLsn, () => `${state.superblock.syncedLsn} was durable, found up to ${lsn}`);
  for (const run of state.manifest.runs.filter(({ tier }) => tier !== TIER_FEED)) {
    for (const segment of run.segments) {
      const { rows, facts } = readSegment(files.data, segment);
      segments.push(facts);
      for (const row of rows) {
        const key = latin1(row.key);
        if (compare(row.key, run.above) > 0 && !newest.has(key)) newest.set(key, row);
      }
    }
  }
  const now = BigInt(Date.now());
  const living = [...newest.values()].filter((row) => !row.deleted && (row.expires === 0n || row.expires > now));
  return { newest: living.sort((a, b) => compare(a.key, b.key)), lastLsn: lsn };
}

// vector/element.h, rule 1
function readVector(bytes: Uint8Array, { element, dimensions }: Membrane["schema"], name: string): Vector {
  const sizes = { "": 0, f32: 4 * dimensions, f16: 2 * dimensions, i8: dimensions, bit: Math.ceil(dimensions / 8) };
  expect(bytes.length === sizes[element], () => `${name}: dimensions`);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  if (element === "f32") return new Float32Array(dimensions).map((_, i) => view.getFloat32(4 * i, true));
  if (element === "f16") return new Float32Array(dimensions).map((_, i) => readHalf(view.getUint16(2 * i, true)));
  if (element === "i8") return new Int8Array(dimensions).map((_, i) => view.getInt8(i));
  expect(dimensions % 8 === 0 || (bytes.at(-1)! >> dimensions % 8) === 0, () => `${name}: bits behind the last one`);
  return Uint8Array.from(bytes);
}

function readHalf(half: number): number {
  const exponent = (half >> 10) & 31, fraction = half & 1023;
  expect(exponent < 31, "a half that is not finite");
  const size = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
  return half & 0x8000 ? -size : size;
}

function showRow(row: Row, { schema, name }: Membrane): MembraneRow {
  expect((row.vector !== undefined) === (schema.kind === "collection"), () => `${name}: vector`);
  const vector = row.vector && readVector(row.vector, schema, name);
  return { key: readKey(row.key.subarray(4), schema.keyTypes), vector, fields: readRow(row.value, schema) };
}

export function readDatabase(files: Files): State {
  const superblocks = [0, 1].map((slot) => readSuperblock(files.data, slot)).filter((each) => each !== undefined)
    .sort((a, b) => Number(b.generation - a.generation));
  const superblock = superblocks[0];
  expect(superblock !== undefined && superblocks.length === 2, "both superblocks are whole");
  expect(superblock.generation === superblocks[1]!.generation + 1n, "generations follow each other");
  const states = superblocks.map((each) => ({ superblock: each, manifest: readManifest(files.data, each) }));
  checkSharing(states);

  const logs = files.logs.map(readLog).sort((a, b) => Number(a.header.sequence - b.header.sequence));
  expect(logs[0]!.header.sequence < logs[1]!.header.sequence, "logs: sequences");
  for (const { header } of logs) {
    expect(header.databaseId === superblock.databaseId && superblocks[1]!.databaseId === superblock.databaseId, "database ids");
    expect(header.flags === 0 && header.epoch <= superblock.epoch, "log: flags, epoch");
    for (const each of superblocks) expect(header.baseLsn <= each.flushedLsn, "a log is reset when both superblocks cover it");
  }
  const segments: SegmentFacts[] = [];
  const manifest = states[0]!.manifest;
  const { newest, lastLsn } = readRows(files, { manifest, logs, superblock }, segments);

  const feed = readFeed(files.data, manifest, segments, superblock.flushedLsn);
  const byId = new Map<number, Row[]>();
  for (const row of newest) {
    const id = new Reader(row.key).u32be();
    const rows = byId.get(id) ?? [];
    byId.set(id, rows);
    rows.push(row);
  }
  const catalog = readCatalog(byId.get(0) ?? []);
  const known = new Set([0, ...catalog.dropped, ...catalog.membranes.map((membrane) => membrane.id)]);
  for (const id of byId.keys()) expect(known.has(id), () => `rows of membrane ${id}, which never was`);
  for (const { id, schema } of catalog.membranes) {
    for (const { fields } of segments) checkFields(fields, id, schema, (row) => readRow(row.value, schema));
  }
  const rows = new Map(catalog.membranes.map((membrane) =>
    [membrane.name, (byId.get(membrane.id) ?? []).map((row) => showRow(row, membrane))]));
  return { superblocks, manifest, logs, lastLsn, segments, catalog, feed, newest, rows };
}
