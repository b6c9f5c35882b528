// The files against the pages that describe them: a second reader (the files beside this
// one), which shares no code with the first and was written from core/**/*_format.h alone,
// reads every byte. And the golden files: what was once written stays readable, and what is
// written does not change unnoticed.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { latin1 } from "./bytes.ts";
import { readDatabase, readFiles } from "./database.ts";
import type { Files, State } from "./database.ts";
import { replay } from "./feed.ts";
import type { Value } from "./keycode.ts";
import { BUILD, GOLDEN, NACRE, NAMES, canonicalDump, dumpOf, goldenVersions, inFolder, namesOfVersion, readGolden, run, runWasi, writeFiles } from "./lib.ts";
import type { Row } from "./record.ts";
import type { Type } from "./schema.ts";
import { filterHas } from "./segment.ts";
import { xxh3 } from "./xxh3.ts";

const seed = Number(process.env.TEST_SEED ?? 1);

/** Mulberry32. */
function random(salt: number): (below: number) => number {
  let state = (seed * 0x9e3779b1 + salt) >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor(((t ^ (t >>> 14)) >>> 0) / 4294967296 * below);
  };
}

/** Compares long lists so that a difference is one line and not all. */
function sameLines(found: string[], wanted: string[], what: string): void {
  const at = found.findIndex((line, i) => line !== wanted[i]);
  if (at >= 0) assert.equal(found[at]?.slice(0, 400), wanted[at]?.slice(0, 400), `${what}: line ${at}`);
  assert.equal(found.length, wanted.length, what);
}

test("the readers' XXH3 is xxHash's, at every size up to 1100 and some above", () => {
  const bytes = Uint8Array.from({ length: 70000 }, (_, i) => Math.imul(i, 2654435761) >>> 24);
  const lines = run(join(BUILD, "formats/xxh3_vectors")).trim().split("\n");
  assert.ok(lines.length > 6600);
  for (const line of lines) {
    const [size, from, hash] = line.split(" ");
    assert.equal(xxh3(bytes.subarray(0, Number(size)), BigInt(from!)), BigInt(hash!), line);
  }
});

test("a filter without a bit of a key denies it", () => {
  const filter = new Uint8Array(32).fill(255);
  assert.ok(filterHas(filter, 0x123456789abcdefn));
  for (let i = 0; i < 8; i++) {
    const word = filter.slice(4 * i, 4 * i + 4);
    filter.fill(0, 4 * i, 4 * i + 4);
    assert.ok(!filterHas(filter, 0x123456789abcdefn));
    filter.set(word, 4 * i);
  }
});

// ---- golden files ----

for (const version of goldenVersions()) {
  describe(`golden files, ${version}`, () => {
    for (const name of namesOfVersion(version)) {
      const wanted = (): string[] => canonicalDump(gunzipSync(readFileSync(join(GOLDEN, version, `${name}.jsonl.gz`))).toString());

      test(`${name}: every byte is as the format pages say, and the rows are all there`, () => {
        sameLines(dumpOf(readDatabase(readGolden(version, name))), wanted(), name);
      });

      test(`${name}: a copy opens, shows the same rows, verifies, and is well-formed afterwards`, () => inFolder((folder) => {
        const path = join(folder, "db");
        writeFiles(path, readGolden(version, name));
        sameLines(canonicalDump(run(NACRE, "dump", path)), wanted(), "dump");
        run(NACRE, "verify", path, "--deep");
        sameLines(dumpOf(readDatabase(readFiles(path))), wanted(), "afterwards");
        run(NACRE, "compact", path);
        const compacted = readDatabase(readFiles(path));
        sameLines(dumpOf(compacted), wanted(), "after compaction");
        assert.deepEqual(compacted.superblocks.map((each) => each.version), [2, 2], "what is written is of the newest version");
      }));

      test(`${name}: reading leaves every byte, the first commit makes it version 2`, () => inFolder((folder) => {
        const path = join(folder, "db");
        const files = readGolden(version, name);
        writeFiles(path, files);
        run(NACRE, "info", path);
        assert.deepEqual(readFiles(path), files);
        run(NACRE, "create", path, "by the newest", "--kind", "kv");
        const state = readDatabase(readFiles(path));
        assert.equal(state.superblocks[0]!.version, 2);
        assert.deepEqual(state.catalog.membranes.find((each) => each.name === "by the newest")?.schema.keyTypes, ["text"]);
        sameLines(dumpOf(state).filter((line) => !line.includes('"by the newest"')), wanted(), "its rows");
      }));

      test(`${name}: the JavaScript package reads a copy`, async () => {
        const state = readDatabase(readGolden(version, name));
        const { openSync } = await import(new URL(`file://${BUILD}/js/index.js`).href) as PackageFace;
        await inFolder((folder) => {
          const path = join(folder, "db");
          writeFiles(path, readGolden(version, name));
          const db = openSync(path);
          try {
            comparePackage(db, state);
          } finally {
            db.close();
          }
        });
      });
    }

    test("together they hold what each page tells of", () => {
      const states = namesOfVersion(version).map((name) => readDatabase(readGolden(version, name)));
      const segments = states.flatMap((state) => state.segments);
      const references = states.flatMap((state) => state.manifest.runs.flatMap((each) => each.segments));
      const runs = states.flatMap((state) => state.manifest.runs);
      const logs = states.flatMap((state) => state.logs);
      const schemas = states.flatMap((state) => state.catalog.membranes.map((membrane) => membrane.schema));
      const frames = logs.flatMap((log) => log.frames);
      const has: Record<string, boolean> = {
        "two page sizes": version !== "v1" || new Set(references.map((each) => each.pageSize)).size > 1,
        "blocks of 4 KiB, and larger ones": version === "v1" || [1, 16384 / 4096].every((pages) => segments.some((each) => each.blockPages.has(pages))),
        "compressed blocks": version === "v1" || segments.some((each) => each.packedBlocks > 0),
        "rows that expire": version === "v1" || references.some((each) => each.firstExpiry > 0n),
        "rows that have expired": version === "v1" || references.some((each) => each.firstExpiry > 0n && each.firstExpiry < BigInt(Date.now())),
        "long rows": segments.some((each) => each.longRows > 0),
        "values in the blobs, of more than an extent": references.some((each) => (each.streams[2]?.size ?? 0) > 65536),
        "vectors of more than a unit": references.some((each) => (each.streams[1]?.size ?? 0) > 16384),
        "several membranes in a segment": segments.some((each) => each.sections.length > 5),
        "segments with a filter": segments.some((each) => each.filterSize > 32),
        "segments without a filter": segments.some((each) => each.filterSize === 0),
        "deletions in segments": references.some((each) => each.deletes > 0),
        "runs of several segments": runs.some((each) => each.segments.length > 1),
        "several runs": states.some((state) => state.manifest.runs.length > 3),
        "a merge given up in its middle": runs.some((each) => each.above.length > 0),
        "the last tier, and others": [0, 255].every((tier) => runs.some((each) => each.tier === tier)),
        "rows in both logs": states.some((state) => state.logs.every((log) => log.frames.some((frame) => frame.lsn > state.superblocks[0]!.flushedLsn))),
        "a cut log": frames.some((frame) => frame.kind === "cut"),
        "a torn log": logs.some((log) => log.torn > 0),
        "a dropped membrane": states.some((state) => state.catalog.dropped.length > 0),
        "a composite key": schemas.some((schema) => schema.keyTypes.length > 1),
      };
      for (const kind of ["kv", "collection", "table"]) has[kind] = schemas.some((schema) => schema.kind === kind);
      for (const metric of ["l2", "cosine", "ip"]) has[metric] = schemas.some((schema) => schema.metric === metric);
      for (const element of ["f16", "i8", "bit"]) has[element] = version === "v1" || schemas.some((schema) => schema.element === element);
      for (const type of ["integer", "bigint", "real", "boolean", "text", "bytes", "timestamp"]) {
        has[`keys of type ${type}`] = schemas.some((schema) => schema.keyTypes.includes(type as Type));
        has[`fields of type ${type}`] = schemas.some((schema) => schema.fields.some((field) => field.type === type));
      }
      for (const value of ["json", "text", "bytes"]) has[`values of type ${value}`] = schemas.some((schema) => schema.valueType === value);
      assert.deepEqual(Object.keys(has).filter((each) => !has[each]), []);
    });
  });
}

describe("the same seed and operations make the same bytes", () => {
  const version = goldenVersions().at(-1)!;
  const same = (name: string, path: string): void => {
    const wanted = readGolden(version, name);
    const found = readFiles(path);
    [found.data, ...found.logs].forEach((bytes, i) => {
      const stored = [wanted.data, ...wanted.logs][i]!;
      let at = 0;
      while (at < bytes.length && at < stored.length && bytes[at] === stored[at]) at++;
      assert.ok(at === bytes.length && at === stored.length,
        `${name}, file ${i}: differs from golden/${version} at byte ${at}; if that was meant, say make golden (tests/formats/make_golden.c)`);
    });
  };
  for (const name of NAMES) {
    test(`${name}, natively`, () => inFolder((folder) => {
      run(join(BUILD, "formats/make_golden"), name, join(folder, "db"));
      same(name, join(folder, "db"));
    }));
  }
  for (const name of NAMES) {
    test(`${name}, in WebAssembly`, () => inFolder(async (folder) => {
      await runWasi(join(BUILD, "formats/make_golden.wasm"), folder, name, "/tmp/db");
      same(name, join(folder, "db"));
    }));
  }
});

// ---- the package ----

interface PackageDb {
  membranes(): { name: string; kind: string; rows: number }[];
  kv(name: string): { entries(): Iterable<[unknown, unknown]> };
  collection(name: string): { records(options: { include: string[] }): Iterable<Record<string, unknown>> };
  close(): void;
}
interface PackageFace {
  openSync(path: string): PackageDb;
}

/** A value as the package gives it. */
function shown(value: Value, type: Type): unknown {
  if (type === "timestamp" && value !== null) return new Date(Number(value));
  if (type === "json" && value !== null) return JSON.parse(value as string);
  if (type === "integer" && value !== null) return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  return value instanceof Uint8Array ? Uint8Array.from(value) : value;
}

function comparePackage(db: PackageDb, state: State): void {
  assert.deepEqual(db.membranes().map((each) => [each.name, each.kind, each.rows]),
    state.catalog.membranes.map(({ name, schema }) => [name, schema.kind, state.rows.get(name)!.length]));
  for (const { name, schema } of state.catalog.membranes) {
    const rows = state.rows.get(name)!;
    const keyOf = (parts: Value[]): unknown => {
      const key = parts.map((part, i) => shown(part, schema.keyTypes[i]!));
      return key.length === 1 ? key[0] : key;
    };
    if (schema.kind === "kv") {
      const found = [...db.kv(name).entries()];
      assert.deepStrictEqual(found, rows.map((row) => [keyOf(row.key), shown(row.fields[0]!, schema.valueType)]), name);
    }
    if (schema.kind === "collection") {
      const include = [...schema.fields.map((field) => field.name), "vector"];
      const found = [...db.collection(name).records({ include })];
      assert.deepStrictEqual(found.map((record) => ({ ...record })), rows.map((row) => ({
        key: keyOf(row.key), vector: row.vector,
        ...Object.fromEntries(schema.fields.map((field, i) => [field.name, shown(row.fields[i]!, field.type)])),
      })), name);
    }
  }
}

// ---- databases of the day ----

describe(`databases made by the command, seed ${seed}`, () => {
  /** Imports the same lines a few times over; the last of a key counts. */
  function fill(path: string, folder: string, next: (below: number) => number): { kv: Map<string, string>; vectors: Map<number, string> } {
    const kv = new Map<string, string>();
    const vectors = new Map<number, string>();
    run(NACRE, "create", path, "kv", "--kind", "kv", "--key", "text", "--value", "text");
    run(NACRE, "create", path, "points", "--kind", "collection", "--key", "integer", "--dimensions", "20", "--metric", "cosine", "--field", "n:integer");
    for (let round = 0; round < 3; round++) {
      const lines = Array.from({ length: 1500 }, () => {
        const key = `${"key/".repeat(next(5))}${next(3000)}`;
        const value = next(50) === 0 ? "large ".repeat(next(20000)) : `${next(1e9)} of round ${round}`;
        kv.set(key, value);
        return JSON.stringify({ key, value });
      });
      writeFileSync(join(folder, "kv.jsonl"), lines.join("\n"));
      run(NACRE, "import", path, "kv", join(folder, "kv.jsonl"));
      const records = Array.from({ length: 1000 }, () => {
        const key = next(2000);
        const vector = Array.from({ length: 20 }, () => Math.fround(next(2000) / 1000 - 1.0005));
        vectors.set(key, JSON.stringify(vector));
        return JSON.stringify({ key, vector, n: round });
      });
      writeFileSync(join(folder, "points.jsonl"), records.join("\n"));
      run(NACRE, "import", path, "points", join(folder, "points.jsonl"));
      if (round === 1) run(NACRE, "compact", path);
    }
    for (const key of [...kv.keys()].slice(0, 10)) {
      run(NACRE, "del", path, "kv", key);
      kv.delete(key);
    }
    return { kv, vectors };
  }

  function check(files: Files, kv: Map<string, string>, vectors: Map<number, string>): State {
    const state = readDatabase(files);
    const byBytes = [...kv.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    assert.deepStrictEqual(state.rows.get("kv")!.map((row) => row.key[0]), byBytes);
    for (const row of state.rows.get("kv")!) assert.equal(row.fields[0], kv.get(row.key[0] as string));
    assert.deepStrictEqual(state.rows.get("points")!.map((row) => Number(row.key[0])), [...vectors.keys()].sort((a, b) => a - b));
    for (const row of state.rows.get("points")!) {
      const put = Float32Array.from(JSON.parse(vectors.get(Number(row.key[0]))!) as number[]);
      assert.equal(latin1(new Uint8Array(row.vector!.buffer)), latin1(new Uint8Array(put.buffer)), "bit for bit");
    }
    return state;
  }

  test("the second reader finds every row that was put, before and after compaction", () => inFolder((folder) => {
    const path = join(folder, "db");
    const { kv, vectors } = fill(path, folder, random(1));
    const state = check(readFiles(path), kv, vectors);
    assert.ok(state.logs.some((log) => log.frames.length > 0), "rows in a log");
    run(NACRE, "compact", path);
    const compacted = check(readFiles(path), kv, vectors);
    assert.ok(compacted.logs.every((log) => log.frames.every((frame) => frame.lsn <= compacted.superblocks[0]!.flushedLsn)));
    assert.equal(compacted.manifest.runs.length, 1);
    assert.ok(compacted.manifest.runs[0]!.segments.every((segment) => segment.deletes === 0), "no deletion outlives the last level");
  }));

  test("and the lines of a learned index lead to every fence, where keys are even", () => inFolder((folder) => {
    const path = join(folder, "db"), next = random(3);
    run(NACRE, "create", path, "even", "--kind", "kv", "--key", "integer", "--value", "text");
    // Behind the membrane's number, fences have the upper half of an integer.
    const lines = Array.from({ length: 8000 }, (_, i) => JSON.stringify({ key: i * 2 ** 34, value: "x".repeat(80 + next(20)) }));
    writeFileSync(join(folder, "even.jsonl"), lines.join("\n"));
    run(NACRE, "import", path, "even", join(folder, "even.jsonl"));
    run(NACRE, "compact", path);
    const { segments } = readDatabase(readFiles(path));
    assert.ok(segments.some(({ blocks, model }) => blocks > 128 && model > 0), JSON.stringify(segments.map(({ blocks, model }) => [blocks, model])));
  }));

  /** Everything that the newest state consists of, as pieces of a file: [file, from, to). */
  function pieces(files: Files, state: State): [Uint8Array, number, number][] {
    const found: [Uint8Array, number, number][] = [[files.data, 0, 2048], [files.data, 4096, 6144]];
    const extents = (list: number[], size: number): void => list.forEach((extent, i) =>
      found.push([files.data, extent * 65536, extent * 65536 + Math.min(65536, size - i * 65536)]));
    extents(state.superblocks[0]!.manifest, state.superblocks[0]!.manifestSize);
    for (const each of state.manifest.runs) {
      for (const segment of each.segments) for (const stream of segment.streams) if (stream) extents(stream.extents, stream.size);
    }
    for (const log of files.logs) found.push([log, 0, 72], [log, 4096, 4168], [log, 8192, log.length]);
    return found.filter(([, from, to]) => to > from);
  }

  test("and notices any flipped bit", () => {
    const next = random(2);
    const files = readGolden(goldenVersions().at(-1)!, "cut");
    const state = readDatabase(files);
    const all = pieces(files, state);
    for (let i = 0; i < 150; i++) {
      const [bytes, from, to] = all[i % all.length]!;
      const at = from + next(to - from);
      const bit = 1 << next(8);
      bytes[at]! ^= bit;
      let noticed: boolean;
      try {
        const now = readDatabase(files); // a log's second header is enough; a last frame is a torn one
        noticed = now.logs.some((log, k) => log.torn !== state.logs[k]!.torn || !log.twice);
      } catch {
        noticed = true;
      }
      assert.ok(noticed, `bit ${bit} of byte ${at}`);
      bytes[at]! ^= bit;
    }
  });
});

// ---- the archive of changes ----

for (const retain of [64 << 20, 100_000]) {
  test(`the archive of changes, ${retain} bytes of it, is as its page says`, () => inFolder(async (folder) => {
    const { open } = await import("../../build/js/index.js");
    const path = join(folder, "db"), next = random(77);
    const db = await open(path, { memory: 2 << 20, durability: "none", changes: { retain } }); // memtables of 256 KiB
    const kv = await db.kv<Uint8Array>("kv", { key: "integer", value: "bytes" });
    const notes = await db.collection<{ n: number }>("notes", { vector: { dimensions: 3 }, fields: { n: "integer" } });
    for (let round = 0; round < 60; round++) {
      const batch = db.batch();
      for (let i = next(round % 20 === 0 ? 300 : 20); i >= 0; i--) {
        const key = next(200);
        if (next(4) === 0) batch.delete(kv, key);
        else if (next(2) === 0) batch.put(kv, key, new Uint8Array(next(4000)).fill(round));
        else batch.put(notes, { key: String(key), vector: [round, key, i], n: i });
      }
      await batch.commit();
      if (round % 25 === 24) await db.compact();
    }
    await kv.put(-1, new Uint8Array(700_000).fill(1)); // has a piece of its own
    await db.checkpoint();
    await db.close();
    const { feed, newest, lastLsn } = readDatabase(readFiles(path));
    assert.ok(feed !== undefined);
    assert.equal(feed.batches.at(-1)?.lsn, lastLsn);
    if (retain < 1 << 20) return void assert.ok(feed.oldest > 0n); // the rest went
    assert.equal(feed.oldest, 0n);
    feed.batches.forEach(({ lsn }, i) => assert.equal(lsn, BigInt(i + 1)));
    const replayed = [...replay(feed).values()];
    sameLines(replayed.map(rowLine), newest.map(rowLine), "the archive, replayed");
  }));
}

function rowLine({ key, value, vector }: Row): string {
  return `${latin1(key)} ${xxh3(value)} ${vector === undefined ? "" : xxh3(vector)}`;
}
