import type { Engine } from "./engine.ts";
import type { CollectionSchema, KvSchema } from "./schema.ts";
import { publicSchema } from "./schema.ts";
import type { Session } from "./store.ts";

/** What a membrane is, and how much it holds: `bytes` are those of the file and of records in memory that hold its rows, overwritten ones included until they are merged away. */
export interface MembraneInfo {
  name: string;
  kind: "kv" | "collection" | "table";
  schema: KvSchema | CollectionSchema;
  rows: number;
  bytes: number;
}

export interface Stats {
  /** Of the last commit; rises for ever. */
  sequence: bigint;
  recovery: { replayedFrames: number; tornBytes: number; fallback: boolean; message?: string };
  /**
   * Bytes: `used` of `size` hold what some state or a write under way needs, `free` nothing.
   * `live` is what the newest state needs, about what a compaction would leave: an estimate
   * from a sample of rows. `log` stands in the logs beside the file.
   */
  file: { size: number; used: number; live: number; free: number; log: number };
  /** Bytes; the components add up to `total`. */
  memory: { total: number; budget: number; [component: string]: number };
  segments: number;
  snapshots: number;
  oldestSnapshotMs: number | null;
  writeAmplification: number;
  syncs: number;
  counters: Record<string, number>;
  /** What went wrong in work that no call asked for; empty: nothing. */
  maintenance: string;
  /** Which kernels score vectors. */
  kernels: string;
}

/** Bytes of file. */
export interface CompactReport {
  before: number;
  after: number;
  rows: number;
  ms: number;
}

export interface Problem {
  where: string;
  /** Bytes. */
  offset: number;
  what: string;
}

export interface VerifyReport {
  ok: boolean;
  problems: Problem[];
}

export function readStats(engine: Engine): Stats {
  const stats = JSON.parse(engine.stats()) as Stats & { sequence: string };
  // The engine counts what it asked for; the host sees the whole linear memory.
  const asked = stats.memory.total;
  const total = Math.max(asked, engine.memorySize);
  return {
    ...stats,
    sequence: BigInt(stats.sequence),
    memory: { ...stats.memory, total, unused: total - asked },
  };
}

/** What repair met: `damage` is what is broken, `loss` rows that are not in the new database, `doubt` rows that are in it and may be older than they were, or deleted since. */
export interface Finding {
  kind: "damage" | "loss" | "doubt";
  /** File, or segment of it. */
  where: string;
  offset: number;
  what: string;
  /** Where rows of one membrane are concerned: some with keys from here to there, in words. */
  membrane?: string;
  from?: string;
  to?: string;
}

export interface RepairReport {
  /** Nothing is lost or in doubt. */
  ok: boolean;
  /** In the new database. */
  membranes: number;
  rows: number;
  /** Of the logs, replayed. */
  frames: number;
  damages: number;
  losses: number;
  doubts: number;
  /** The first thousand. */
  findings: Finding[];
}

export function readRepair(json: string): RepairReport {
  const report = JSON.parse(json) as Omit<RepairReport, "ok">;
  return { ok: report.losses === 0 && report.doubts === 0, ...report };
}

export function readVerify(engine: Engine, deep: boolean): VerifyReport {
  const { json, count } = engine.verify(deep);
  const problems = JSON.parse(json) as Problem[];
  if (count > problems.length) {
    problems.push({ where: "verify", offset: 0, what: `${count - problems.length} more problems that are not listed` });
  }
  return { ok: count === 0, problems };
}

export function readCompact(engine: Engine): CompactReport {
  const began = performance.now();
  const report = engine.compact();
  return { ...report, ms: performance.now() - began };
}

const NONE = new Uint8Array(0);

export function readMembranes(session: Session): MembraneInfo[] {
  const { engine } = session.reading();
  return session.store.membraneNames().map(({ name, schema, pointer }) => ({
    name,
    kind: schema.kind,
    schema: publicSchema(schema),
    rows: engine.count(pointer, session.snapshot, NONE, NONE, NONE),
    bytes: engine.membraneBytes(pointer),
  }));
}
