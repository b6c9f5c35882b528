// Streams of backups against backup_format.h, by the second reader.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { readBackup, rowsOf, sameRow } from "./backup.ts";
import type { Backup } from "./backup.ts";
import { FormatError } from "./bytes.ts";
import { readDatabase, readFiles } from "./database.ts";
import { BUILD, GOLDEN, NACRE, canonicalDump, goldenVersions, inFolder, namesOfVersion, readGolden, run, writeFiles } from "./lib.ts";
import type { Row } from "./record.ts";

function sameRows(found: Row[], wanted: Row[]): void {
  const at = found.findIndex((row, i) => wanted[i] === undefined || !sameRow(row, wanted[i]));
  assert.ok(at < 0, `row ${at} of ${found.length}`);
  assert.equal(found.length, wanted.length);
}

const streamOf = (file: string): Backup => readBackup(readFileSync(file));

for (const version of goldenVersions()) {
  describe(`b27: backups of golden files, ${version}`, () => {
    for (const name of namesOfVersion(version)) {
      test(`${name}: every byte is as the page says, all rows are in it, and a database made of it is well-formed`, () => inFolder((folder) => {
        const path = join(folder, "db"), file = join(folder, "backup"), made = join(folder, "made");
        writeFiles(path, readGolden(version, name));
        run(NACRE, "backup", path, file);
        const backup = streamOf(file), source = readDatabase(readFiles(path)), { lsn, rows } = rowsOf([backup]);
        assert.equal(backup.kind, "full");
        assert.equal(lsn, source.lastLsn);
        sameRows(rows, source.newest);
        run(NACRE, "restore", file, made);
        const restored = readDatabase(readFiles(made));
        sameRows(restored.newest, source.newest);
        assert.equal(restored.lastLsn, source.lastLsn);
        assert.notEqual(restored.superblocks[0]!.databaseId, source.superblocks[0]!.databaseId);
        assert.deepEqual(canonicalDump(run(NACRE, "dump", made)), canonicalDump(run(NACRE, "dump", path)));
      }));
    }
  });
}

test("b27: a stored backup is still read, and what is written of its database is the same", () => inFolder((folder) => {
  const stored = gunzipSync(readFileSync(join(GOLDEN, "v2", "small.backup.gz")));
  const path = join(folder, "db"), file = join(folder, "backup"), made = join(folder, "made");
  writeFileSync(file, stored);
  run(NACRE, "restore", file, made);
  const wanted = canonicalDump(gunzipSync(readFileSync(join(GOLDEN, "v2", "small.jsonl.gz"))).toString());
  assert.deepEqual(canonicalDump(run(NACRE, "dump", made)), wanted);
  writeFiles(path, readGolden("v2", "small"));
  run(NACRE, "backup", path, join(folder, "again"));
  assert.ok(stored.equals(readFileSync(join(folder, "again"))));
}));

test("b24, b26: incremental backups and logs lead where their pages say", async () => {
  const { openSync } = await import(new URL(`file://${BUILD}/js/index.js`).href) as typeof import("../../build/js/index.js");
  await inFolder((folder) => {
    const path = join(folder, "db"), chain: Backup[] = [], streams: Uint8Array[] = [];
    const db = openSync(path, { changes: { retain: 1 << 24 } });
    const numbers = db.kv<number, number>("numbers", { key: "integer" }), files = db.kv<Uint8Array>("files", { value: "bytes" });
    const notes = db.collection("notes", { vector: { dimensions: 3, metric: "l2" }, fields: { title: "text" } });
    const keep = (take: (write: (chunk: Uint8Array) => unknown) => unknown): void => {
      const parts: Uint8Array[] = [];
      take((chunk) => parts.push(chunk));
      streams.push(Uint8Array.from(Buffer.concat(parts)));
      chain.push(readBackup(streams.at(-1)!));
    };
    const check = (): void => { // the files as they are, against what the streams say
      db.flush();
      const { lsn, rows } = rowsOf(chain), state = readDatabase(readFiles(path));
      assert.equal(lsn, state.lastLsn);
      sameRows(rows, state.newest);
    };
    numbers.putMany(Array.from({ length: 5000 }, (_, i) => [i, i] as const));
    notes.put({ key: "a", vector: [1, 2, 3], title: "first" });
    files.putStream("large", [new Uint8Array(1_500_000).fill(7)]);
    keep((write) => db.backup(write));
    check();
    numbers.put(1, -1);
    keep((write) => db.backup(write, { base: streams[0] }));
    assert.equal(chain[1]!.segments.size, 0);
    check();
    const archive = db.archive({ since: chain[1]!.lsn });
    for (let round = 0; round < 3; round++) {
      numbers.delete(round);
      numbers.bulkLoad(Array.from({ length: 1000 }, (_, i) => [10_000 * round + i, -i] as const));
      notes.put({ key: `n${round}`, vector: [round, 2, 3], title: "x".repeat(round * 200_000) }); // a batch of several pieces
      files.putStream(`large ${round}`, [new Uint8Array(1_200_000).fill(round)]);
      if (round === 1) db.checkpoint();
      keep((write) => archive.write(write));
      check();
    }
    assert.deepEqual(chain.map(({ kind }) => kind), ["full", "incremental", "log", "log", "log"]);
    assert.equal(chain.slice(2).flatMap(({ commits }) => commits).filter(({ load }) => load).length, 6);
    for (const { commits } of chain.slice(2)) for (const { ms } of commits) assert.ok(Math.abs(Number(ms) - Date.now()) < 3_600_000);
    db.close();
  });
});

test("the second reader refuses what is not as the page says", () => inFolder((folder) => {
  const path = join(folder, "db"), file = join(folder, "backup");
  writeFiles(path, readGolden("v2", "torn"));
  run(NACRE, "backup", path, file);
  const bytes = readFileSync(file);
  for (let at = 0; at < bytes.length; at += 1 + (at >> 6)) {
    const hurt = Uint8Array.from(bytes);
    hurt[at]! ^= 1 << at % 8;
    assert.throws(() => readBackup(hurt), FormatError, `byte ${at}`);
  }
}));
