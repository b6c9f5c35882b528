// Backups, restores, archives and one-file export, over the four faces and the command.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, createReadStream, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { describe, test } from "node:test";
import { open, openSync, restore, restoreSync, verifyBackup, verifyBackupSync } from "../../build/js/index.js";
import type { BackupReport, Collection, Database, Kv, RestoreOptions } from "../../build/js/index.js";
import { all, faces, freshName, inMemory, refuses } from "./lib.ts";
import type { Face } from "./lib.ts";

const COMMAND = new URL("../../build/nacre", import.meta.url).pathname;

/** The functions beside `open`, of the same face. */
const isSync = (face: Face): boolean => face.name.startsWith("sync");
const restored = async (face: Face, name: string, from: Uint8Array[], options?: RestoreOptions): Promise<Database> =>
  isSync(face) ? restoreSync(name, from, options) as unknown as Database : restore(name, from, options);
const verified = async (face: Face, from: Uint8Array[]): Promise<BackupReport> =>
  isSync(face) ? verifyBackupSync(from) : verifyBackup(from);

async function bytesOf(stream: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return Uint8Array.from(Buffer.concat(parts));
}

/** A database with a bit of everything; what `dump` gives of it. */
async function fill(db: Database, rows = 3000): Promise<void> {
  const kv: Kv<number, number> = await db.kv("numbers", { key: "integer" });
  await kv.putMany(Array.from({ length: rows }, (_, i) => [i, i * i] as const));
  const files: Kv<Uint8Array> = await db.kv("files", { value: "bytes" });
  await files.put("small", Uint8Array.of(1, 2, 3));
  await files.putStream("large", Array.from({ length: 9 }, (_, i) => new Uint8Array(200_000).fill(i)));
  const notes: Collection<{ title: string }> = await db.collection("notes", { vector: { dimensions: 4, metric: "l2" }, fields: { title: "text" } });
  for (let i = 0; i < 50; i++) await notes.put({ key: `n${i}`, vector: [i, i / 2, 1, -i], title: `title ${i}` });
  await kv.delete(7);
}

async function dump(db: Database): Promise<unknown[]> {
  const lines: unknown[] = [];
  for (const { name, kind } of await db.membranes()) {
    if (kind === "kv") lines.push([name, await all((await db.kv(name)).entries())]);
    else lines.push([name, await all((await db.collection(name)).records({ include: ["vector"] }))]);
  }
  return lines;
}

for (const face of faces) {
  describe(`backups, ${face.name}`, () => {
    test("b27: export gives one file that opens as the same database", () => inMemory(face, async (db) => {
      await fill(db);
      const before = await dump(db), { sequence } = await db.stats();
      const file = await bytesOf(db.export());
      const again = await face.open(":memory:", { from: file });
      assert.deepEqual(await dump(again), before);
      assert.equal((await again.stats()).sequence, sequence);
      await (await again.kv<number, number>("numbers")).put(1, -1);
      assert.equal((await again.stats()).sequence, sequence + 1n);
      assert.equal(await (await db.kv<number, number>("numbers")).get(1), 1);
      await again.close();
      assert.deepEqual(await bytesOf(db.export()), file);
    }));

    test("b24: an export is the state of the call, whatever is written while it is read", () => inMemory(face, async (db) => {
      await fill(db, 20_000);
      const kv: Kv<number, number> = await db.kv("numbers");
      const before = await dump(db), parts: Uint8Array[] = [];
      const stream = db.export();
      await kv.put(1, -1);
      for await (const part of stream) {
        parts.push(part);
        await kv.put(parts.length, -1);
        await kv.delete(1000 + parts.length);
        if (parts.length === 2) await db.compact();
      }
      const copy = await face.open(":memory:", { from: Uint8Array.from(Buffer.concat(parts)) });
      assert.deepEqual(await dump(copy), before);
      await copy.close();
    }));

    test("b24: incremental backups, in their order", () => inMemory(face, async (db) => {
      const files: Uint8Array[] = [], dumps: unknown[] = [];
      let base: Uint8Array | undefined;
      await fill(db);
      for (let i = 0; i < 3; i++) {
        await (await db.kv<number, number>("numbers")).put(i, i + 0.5);
        const parts: Uint8Array[] = [];
        const report: BackupReport = await db.backup((chunk) => void parts.push(chunk), base === undefined ? {} : { base });
        const file = Uint8Array.from(Buffer.concat(parts));
        assert.equal(report.kind, base === undefined ? "full" : "incremental");
        assert.equal(report.sequence, (await db.stats()).sequence);
        assert.equal(report.bytes, file.length);
        assert.deepEqual(report.token, file.slice(file.length - report.token.length));
        base = i === 0 ? report.token : file; // either will do
        files.push(file);
        dumps.push(await dump(db));
        const copy = await restored(face, ":memory:", files);
        assert.deepEqual(await dump(copy), dumps[i]);
        await copy.close();
      }
      assert.ok((files[2] as Uint8Array).length < (files[0] as Uint8Array).length / 2);
      assert.deepEqual((await verified(face, files)).kind, "incremental");
      const [full, first, second] = files as [Uint8Array, Uint8Array, Uint8Array];
      await refuses("INVALID_ARGUMENT", () => restored(face, ":memory:", [full, second]), /not the one before/);
      await refuses("INVALID_ARGUMENT", () => restored(face, ":memory:", [first]), /first stream/);
      await refuses("CORRUPT", () => restored(face, ":memory:", [full.slice(0, -1)]), /not whole/);
      const hurt = full.slice();
      hurt[hurt.length >> 1]! ^= 4;
      await refuses("CORRUPT", () => verified(face, [hurt]), /checksum/);
      await refuses("INVALID_ARGUMENT", () => db.backup(() => {}, { base: full.slice(100, 300) }), /does not end/);
      await refuses("INVALID_ARGUMENT", () => db.backup("file" as never), /backup takes/);
      await refuses("INVALID_ARGUMENT", () => db.backup(() => {}, { bases: full } as never), /bases/);
    }));

    test("b26: an archive leads to every commit", async () => {
      const db = await face.open(":memory:", { changes: { retain: 1 << 24 } });
      await fill(db, 100);
      const files = [await bytesOf(db.export())];
      const { sequence } = await db.stats();
      const archive = await db.archive({ since: sequence });
      const kv: Kv<number, number> = await db.kv("numbers");
      const points: { sequence: bigint; dump: unknown }[] = [];
      for (let i = 0; i < 12; i++) {
        if (i === 5) await kv.bulkLoad(Array.from({ length: 500 }, (_, n) => [10_000 + n, n] as const));
        else await kv.put(i, i + 0.25);
        points.push({ sequence: (await db.stats()).sequence, dump: await dump(db) });
        if (i % 4 !== 3) continue;
        const parts: Uint8Array[] = [];
        const report: BackupReport = await archive.write({ write: (chunk: Uint8Array) => parts.push(chunk) });
        assert.equal(report.kind, "log");
        assert.equal(report.sequence, points[i]?.sequence);
        files.push(Uint8Array.from(Buffer.concat(parts)));
      }
      for (const point of points) {
        const then = await restored(face, ":memory:", files, { sequence: point.sequence });
        assert.deepEqual(await dump(then), point.dump);
        await then.close();
      }
      await refuses("NOT_FOUND", () => restored(face, ":memory:", files, { sequence: sequence - 1n }), /later/);
      await refuses("NOT_FOUND", () => restored(face, ":memory:", files, { time: new Date(2000, 1) }), /not known/);
      await refuses("NOT_FOUND", () => restored(face, ":memory:", files, { time: Date.now() + 1e9 }), /no time as late/);
      await refuses("INVALID_ARGUMENT", () => restored(face, ":memory:", [files[0]!, files[2]!]), /missing/);
      await refuses("INVALID_ARGUMENT", () => restored(face, ":memory:", files, { sequence: 3n, time: 5 }), /not both/);
      await archive.close();
      await refuses("CLOSED", () => archive.write(() => {}), /archive/);
      await refuses("INVALID_ARGUMENT", () => db.archive({ since: 3 } as never), /bigint/);
      await refuses("INVALID_ARGUMENT", () => db.archive({ since: sequence + 10_000n }), /future/);
      await db.close();
    });

    test("b25: a restore makes files only of what is whole, and never over others", () => inMemory(face, async (db) => {
      await fill(db);
      const file = await bytesOf(db.export());
      const name = freshName();
      await refuses("CORRUPT", () => restored(face, name, [file.slice(0, 300_000)]), /not whole/);
      assert.deepEqual(readdirSync(dirname(name)), []);
      const made = await restored(face, name, [file]);
      assert.deepEqual(await dump(made), await dump(db));
      await refuses("EXISTS", () => restored(face, name, [file]), /open already/);
      await made.close();
      await refuses("EXISTS", () => restored(face, name, [file]));
      await refuses("EXISTS", () => face.open(name, { from: file }));
      await refuses("INVALID_ARGUMENT", () => face.open(name, { from: file, mode: "existing" }), /existing/);
      await refuses("INVALID_ARGUMENT", () => face.open(freshName(), { from: "text" as never }), /Uint8Array/);
      await refuses("INVALID_ARGUMENT", () => restored(face, freshName(), [3 as never]));
      const again = await face.open(name, { mode: "existing" });
      assert.deepEqual(await dump(again), await dump(db));
      await again.close();
    }));
  });
}

test("b27: the same state gives the same bytes from the command and from WebAssembly", async () => {
  const name = freshName(), folder = dirname(name);
  const db = await open(name);
  await fill(db);
  await db.checkpoint();
  await (await db.kv<number, number>("numbers")).put(5, 0);
  const here = await bytesOf(db.export());
  await db.close();
  execFileSync(COMMAND, ["backup", name, join(folder, "native.nb")]);
  assert.deepEqual(Uint8Array.from(readFileSync(join(folder, "native.nb"))), here);
  const scalar = await open(name, { mode: "readonly", wasm: new URL("../../build/js/nacre-scalar.wasm", import.meta.url) });
  assert.deepEqual(await bytesOf(scalar.export()), here);
  await scalar.close();
  // And what one makes, the other reads.
  writeFileSync(join(folder, "js.nb"), here);
  execFileSync(COMMAND, ["restore", join(folder, "js.nb"), join(folder, "made")]);
  const made = await open(join(folder, "made"), { mode: "existing" });
  const back = await open(":memory:", { from: here });
  assert.deepEqual(await dump(made), await dump(back));
  await made.close();
  await back.close();
});

test("b24: beside a program that writes, the command backs up; incremental files and logs restore", async () => {
  const name = freshName(), folder = dirname(name), at = (file: string): string => join(folder, file);
  const db = await open(name);
  const kv: Kv<number, number> = await db.kv("numbers", { key: "integer" });
  const run = (...args: string[]): string => execFileSync(COMMAND, args, { encoding: "utf8", stdio: "pipe" });
  await kv.put(1, 1);
  run("backup", name, at("full"));
  await kv.put(2, 2);
  run("backup", name, at("inc"), "--incremental", at("full"));
  await kv.put(3, 3);
  run("backup", name, at("log"), "--log", at("inc"));
  assert.throws(() => run("backup", name, at("log")), /there already/);
  const { sequence } = await db.stats();
  run("restore", at("full"), at("inc"), at("log"), at("made"));
  run("restore", at("full"), at("inc"), at("log"), at("earlier"), "--sequence", String(sequence - 1n));
  assert.match(run("dump", at("made"), "numbers"), /"key":3/);
  assert.doesNotMatch(run("dump", at("earlier"), "numbers"), /"key":3/);
  assert.match(run("dump", at("earlier"), "numbers"), /"key":2/);
  const lines = run("restore", "--verify", at("full"), at("inc"), at("log"), "--json").trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines.map((line) => line.kind), ["full", "incremental", "log"]);
  assert.throws(() => run("restore", at("full"), at("made")), /already/);
  assert.throws(() => run("restore", at("inc"), at("other")), /first stream/);
  assert.throws(() => run("restore", "--verify", at("nowhere")), /nowhere/);
  assert.ok(!existsSync(at("other")));
  await db.close();
});

test("b27: what a download or an upload gives is taken", async () => {
  const db = await open(":memory:");
  await fill(db, 200);
  const file = await bytesOf(db.export()), before = await dump(db);
  const path = freshName();
  writeFileSync(path, file);
  const sources = [
    file, file.buffer as ArrayBuffer, new Blob([file as Uint8Array<ArrayBuffer>]), new Response(file as Uint8Array<ArrayBuffer>), db.export(),
    Readable.toWeb(createReadStream(path)) as ReadableStream<Uint8Array>, createReadStream(path), [file.subarray(0, 1000), file.subarray(1000)],
  ];
  for (const from of sources) {
    const copy = await open(":memory:", { from });
    assert.deepEqual(await dump(copy), before);
    await copy.close();
  }
  const sent: Uint8Array[] = [];
  const target = new WritableStream<Uint8Array>({ write: (chunk) => void sent.push(chunk) });
  await db.backup(target);
  assert.deepEqual(Uint8Array.from(Buffer.concat(sent)), file);
  await target.getWriter().close(); // it was left open, and unlocked
  const locked = db.export();
  locked.getReader();
  await refuses("INVALID_ARGUMENT", () => open(":memory:", { from: locked }), /locked/);
  await refuses("IO", () => open(":memory:", { from: new Response("no", { status: 404 }) }), /404/);
  await refuses("CORRUPT", () => open(":memory:", { from: new Uint8Array(0) }), /empty/);
  await db.close();
});

test("b24: a backup can be cut off, and one that nobody reads holds up nothing", async () => {
  const db = await open(":memory:");
  await fill(db);
  const controller = new AbortController();
  let chunks = 0;
  const call = db.backup(() => { if (++chunks === 2) controller.abort("enough"); }, { signal: controller.signal });
  await refuses("ABORTED", () => call);
  await refuses("TIMEOUT", () => db.backup(() => new Promise(() => {}), { timeoutMs: 1 }));
  await assert.rejects(db.backup(() => { throw new Error("the disk is full"); }), /the disk is full/);
  const unread = db.export();
  await db.compact();
  await unread.cancel();
  const open2 = db.export().getReader();
  await open2.read();
  await db.close();
  await refuses("CLOSED", () => open2.read());
  await refuses("TIMEOUT", () => restore(":memory:", new ReadableStream<Uint8Array>({}), { timeoutMs: 1 }));
});

test("b25: a copied file is another matter: half a restore is refused until it is done again", async () => {
  const name = freshName(), folder = dirname(name);
  const db = openSync(":memory:");
  await fill(db as unknown as Database, 100);
  const file = await bytesOf(db.export());
  db.close();
  // The files as they are while it goes on.
  const half = join(folder, "half");
  assert.throws(() => restoreSync(name, (function* () {
    yield file.subarray(0, file.length - 10);
    for (const suffix of ["", "-wal0", "-wal1"]) copyFileSync(name + suffix, half + suffix);
    throw new Error("the power failed");
  })()), /the power failed/);
  assert.ok(!existsSync(name));
  await refuses("CORRUPT", () => open(half), /restore it again/);
  await refuses("CORRUPT", () => open(half, { mode: "readonly" }), /restore it again/);
  const made = await restore(half, file);
  assert.equal(await (await made.kv<number, number>("numbers")).get(3), 9);
  await made.close();
});
