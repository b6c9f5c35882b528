// superblock_format.h
import { Reader, expect, latin1 } from "./bytes.ts";
import { xxh3 } from "./xxh3.ts";

export const EXTENT = 65536;
export const SLOTS = [0, 4096] as const;

export interface Superblock {
  slot: number;
  version: number;
  loose: boolean; // SUPERBLOCK_LOOSE
  databaseId: string;
  generation: bigint;
  epoch: bigint;
  flushedLsn: bigint;
  syncedLsn: bigint;
  manifestSize: number;
  manifestChecksum: bigint;
  manifest: number[]; // extents
}

/** Runs of neighbours, as a list of extents. */
export function readExtents(r: Reader): number[] {
  const extents: number[] = [];
  const runs = r.u32();
  for (let i = 0; i < runs; i++) {
    const first = r.u32();
    const length = r.u32();
    expect(first > 0 && length > 0 && length <= 1 << 24, () => `extents: ${length} from ${first}`);
    expect(extents.at(-1) !== first - 1, "extents: two runs that are one");
    for (let e = 0; e < length; e++) extents.push(first + e);
  }
  return extents;
}

/** undefined: what lies there is no whole superblock. */
export function readSuperblock(file: Uint8Array, slot: number): Superblock | undefined {
  const at = SLOTS[slot]!;
  if (file.length < at + 2048) return undefined;
  const bytes = file.subarray(at, at + 2048);
  if (latin1(bytes.subarray(0, 8)) !== "NACREDB\n") return undefined;
  if (new Reader(bytes, 2040).u64() !== xxh3(bytes.subarray(0, 2040))) return undefined;
  const r = new Reader(bytes.subarray(0, 2040), 8);
  const version = r.u32();
  expect(version === 1 || version === 2, "superblock: version");
  const flags = r.u32();
  expect(flags === 0 || flags === 2, () => `superblock: flags ${flags}`);
  const superblock: Superblock = {
    slot,
    version,
    loose: flags === 2,
    databaseId: latin1(r.take(16)),
    generation: r.u64(),
    epoch: r.u64(),
    flushedLsn: r.u64(),
    syncedLsn: r.u64(),
    manifestSize: r.size(),
    manifestChecksum: r.u64(),
    manifest: readExtents(r),
  };
  r.zeros(r.left, "superblock: behind the manifest's extents");
  expect(Number(superblock.generation % 2n) === slot, "superblock: generation and slot");
  expect(superblock.epoch > 0n && superblock.syncedLsn >= superblock.flushedLsn, "superblock: epoch, LSNs");
  expect(Math.ceil(superblock.manifestSize / EXTENT) === superblock.manifest.length, "superblock: extents of the manifest");
  return superblock;
}
