// feed_format.h: the archive of changes.
import { Reader, compare, expect } from "./bytes.ts";
import { TIER_FEED } from "./manifest.ts";
import type { Manifest } from "./manifest.ts";
import { readRecord } from "./record.ts";
import type { Batch, Row } from "./record.ts";
import { readSegment } from "./segment.ts";
import type { SegmentFacts } from "./segment.ts";

const MEMBRANE = 0xfffffffe;
const MARK = 0xffffffff;
const LOAD = 0xfffffffe;

export interface Feed {
  oldest: bigint; // changes above it are there
  batches: Batch[];
  loads: { lsn: bigint; membranes: number[] }[];
}

/** The archive, and what is true of all of it; undefined: there is none. */
export function readFeed(file: Uint8Array, manifest: Manifest, segments: SegmentFacts[], flushedLsn: bigint): Feed | undefined {
  const run = manifest.runs.find((each) => each.tier === TIER_FEED);
  if (run === undefined) return undefined;
  const feed: Feed = { oldest: 0n, batches: [], loads: [] };
  let last = 0n;
  run.segments.forEach((ref, s) => {
    const { rows, facts } = readSegment(file, ref);
    segments.push(facts);
    rows.forEach((row, i) => {
      const key = new Reader(row.key);
      expect(key.u32be() === MEMBRANE && !row.deleted && row.vector === undefined && row.expires === 0n, "feed: a row of another kind");
      const lsn = BigInt(key.u32be()) << 32n | BigInt(key.u32be()), index = key.u32be();
      key.end("feed: key");
      expect((index === MARK) === (i === 0), () => `feed: segment ${ref.id}: marks`);
      if (index === MARK) {
        expect(row.value.length === 0 && (s === 0 || lsn === last), () => `feed: segment ${ref.id}: begins behind ${lsn}, not ${last}`);
        if (s === 0) feed.oldest = lsn;
      } else if (index === LOAD) {
        const ids = new Reader(row.value), membranes: number[] = [];
        while (ids.left > 0) membranes.push(ids.u32());
        expect(lsn > last && membranes.length > 0, () => `feed: load ${lsn}`);
        feed.loads.push({ lsn, membranes });
      } else {
        const r = new Reader(row.value), records: Row[] = [];
        while (r.left > 0) records.push(readRecord(r, false));
        expect(records.length > 0, () => `feed: batch ${lsn}: an empty piece`);
        if (index > 0) {
          const batch = feed.batches.at(-1);
          expect(i > 1 && batch !== undefined && batch.lsn === lsn && batch.rows.length === index, () => `feed: batch ${lsn}: a piece is missing before ${index}`);
          batch.rows.push(...records);
        } else {
          expect(lsn > last, () => `feed: batch ${lsn} after ${last}`);
          feed.batches.push({ lsn, rows: records });
        }
      }
      last = lsn;
    });
  });
  expect(last <= flushedLsn, () => `feed: ends with ${last}, behind the segments' ${flushedLsn}`);
  return feed;
}

/** What an archive of a whole life says of the rows: the newest of each key. */
export function replay(feed: Feed): Map<string, Row> {
  const rows = new Map<string, Row>();
  for (const batch of feed.batches) {
    for (const row of batch.rows) rows.set(Buffer.from(row.key).toString("latin1"), row);
  }
  for (const [key, row] of rows) if (row.deleted) rows.delete(key);
  return new Map([...rows].sort(([, a], [, b]) => compare(a.key, b.key)));
}
