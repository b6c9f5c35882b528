// manifest_format.h
import { Reader, compare, expect, latin1, utf8 } from "./bytes.ts";
import { EXTENT, readExtents } from "./superblock.ts";
import { readSchema } from "./schema.ts";
import type { Membrane } from "./catalog.ts";
import type { Superblock } from "./superblock.ts";
import { xxh3 } from "./xxh3.ts";

export interface Stream {
  size: number;
  extents: number[];
}

export interface SegmentRef {
  id: bigint;
  pageSize: number;
  rows: number;
  deletes: number;
  firstExpiry: bigint; // 0: no row expires
  metaOffset: number;
  metaSize: number;
  metaChecksum: bigint;
  firstKey: Uint8Array;
  lastKey: Uint8Array;
  streams: (Stream | undefined)[]; // rows, vectors, blobs, codes, fields
}

export interface Run {
  id: bigint;
  tier: number;
  above: Uint8Array;
  segments: SegmentRef[];
}

export interface Manifest {
  nextSegment: bigint;
  nextRun: bigint;
  runs: Run[];
  catalog: Membrane[]; // a copy for repair; by name
}

/** The bytes of a stream, from the extents that hold it. */
export function readStream(file: Uint8Array, stream: Stream): Uint8Array {
  const bytes = new Uint8Array(stream.size);
  stream.extents.forEach((extent, i) => {
    const size = Math.min(EXTENT, stream.size - i * EXTENT);
    const at = extent * EXTENT;
    expect(at + size <= file.length, () => `extent ${extent} is behind the end of the file`);
    bytes.set(file.subarray(at, at + size), i * EXTENT);
  });
  return bytes;
}

function readSegmentRef(r: Reader, shape: number): SegmentRef {
  const id = r.u64();
  const pageSize = r.u32();
  const streamCount = r.u32();
  const segment: SegmentRef = {
    id, pageSize, rows: r.size(), deletes: r.size(), firstExpiry: shape === 0 ? 0n : r.u64(), metaOffset: r.size(), metaSize: r.size(), metaChecksum: r.u64(),
    firstKey: r.take(r.u32()), lastKey: r.take(r.u32()), streams: [undefined, undefined, undefined, undefined, undefined],
  };
  expect((shape === 0 ? [4096, 8192, 16384, 32768, 65536] : [512, 4096, 8192, 16384, 32768, 65536]).includes(pageSize), () => `segment ${id}: page size ${pageSize}`);
  for (let i = 0; i < streamCount; i++) {
    const kind = r.u32();
    r.zeros(4, "stream");
    const stream = { size: r.size(), extents: readExtents(r) };
    expect(kind < 5 && segment.streams[kind] === undefined && stream.size > 0, () => `segment ${id}: stream ${kind}`);
    expect(stream.extents.length === Math.ceil(stream.size / EXTENT), () => `segment ${id}: extents of stream ${kind}`);
    segment.streams[kind] = stream;
  }
  expect(segment.rows > 0 && segment.deletes <= segment.rows, () => `segment ${id}: rows`);
  expect(segment.metaOffset + segment.metaSize <= (segment.streams[0]?.size ?? 0), () => `segment ${id}: meta is among the rows`);
  expect(compare(segment.firstKey, segment.lastKey) <= 0, () => `segment ${id}: keys`);
  return segment;
}

export function readManifest(file: Uint8Array, superblock: Superblock): Manifest {
  const bytes = readStream(file, { size: superblock.manifestSize, extents: superblock.manifest });
  expect(xxh3(bytes, superblock.generation) === superblock.manifestChecksum, "manifest: checksum");
  const r = new Reader(bytes);
  const manifest: Manifest = { nextSegment: r.u64(), nextRun: r.u64(), runs: [], catalog: [] };
  const runCount = r.u32();
  const shape = r.u32();
  expect(shape <= 2, () => `manifest: shape ${shape}`);
  for (let i = 0; i < runCount; i++) {
    const id = r.u64();
    const tier = r.u32();
    const segmentCount = r.u32();
    const above = r.take(r.u32());
    manifest.runs.push({ id, tier, above, segments: r.array(segmentCount, (each) => readSegmentRef(each, shape)) });
  }
  if (shape === 2) manifest.catalog = readTail(r, bytes, superblock);
  r.end("manifest");
  checkManifest(manifest);
  return manifest;
}

/** Rule 8: a copy of the catalog, and the seal. */
function readTail(r: Reader, bytes: Uint8Array, superblock: Superblock): Membrane[] {
  const catalog = new Reader(r.take(r.u32()));
  const membranes: Membrane[] = [];
  while (catalog.left > 0) {
    const [id, nameSize, schemaSize] = [catalog.u32(), catalog.u32(), catalog.u32()];
    membranes.push({ id, name: utf8(catalog.take(nameSize)), schema: readSchema(catalog.take(schemaSize)) });
  }
  expect(latin1(r.take(8)) === "NACREMAN" && latin1(r.take(16)) === superblock.databaseId, "manifest: seal");
  // A superblock that was written alone shares the manifest of the one before.
  expect(r.u64() <= superblock.generation && r.u64() <= superblock.epoch && r.u64() === superblock.flushedLsn, "manifest: seal");
  const sealed = r.at;
  expect(r.u64() === xxh3(bytes.subarray(0, sealed)), "manifest: checksum of its seal");
  return membranes;
}

/** Rule 4: the archive of changes, if there is one, stands behind the runs of rows. */
export const TIER_FEED = 256;

function checkManifest(manifest: Manifest): void {
  const feed = manifest.runs.findIndex((run) => run.tier === TIER_FEED);
  expect(feed < 0 || (feed === manifest.runs.length - 1 && manifest.runs[feed]!.above.length === 0), "manifest: the archive of changes");
  const segments = manifest.runs.flatMap((run) => run.segments);
  expect(new Set(manifest.runs.map((run) => run.id)).size === manifest.runs.length, "manifest: run ids");
  expect(new Set(segments.map((segment) => segment.id)).size === segments.length, "manifest: segment ids");
  expect(segments.every((segment) => segment.id < manifest.nextSegment), "manifest: next segment id");
  for (const run of manifest.runs) {
    expect(run.id < manifest.nextRun && run.tier <= 256 && run.segments.length > 0, () => `run ${run.id}`);
    run.segments.forEach((segment, i) => {
      const before = run.segments[i - 1];
      expect(!before || compare(before.lastKey, segment.firstKey) < 0, () => `run ${run.id}: segments overlap`);
    });
    expect(compare(run.segments[0]!.lastKey, run.above) > 0, () => `run ${run.id}: a segment that is wholly hidden`);
  }
}
