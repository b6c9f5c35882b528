// Encrypted databases through the package and the command: H08.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { open, openSync, repair, repairSync, restore, restoreSync, verifyBackup, verifyBackupSync } from "../../build/js/index.js";
import { freshName } from "./lib.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const key = randomBytes(32), other = randomBytes(32);
const command = join(process.env["B"] ?? join(root, "build"), "nacre");

/** All files of a database, as one string of bytes. */
function files(name: string): string {
  return readdirSync(dirname(name)).filter((file) => file.startsWith(basename(name)))
    .map((file) => readFileSync(join(dirname(name), file), "latin1")).join("");
}

async function filled(encryption: { key: Uint8Array } | undefined): Promise<string> {
  const name = freshName();
  const db = await open(name, { encryption });
  const kv = await db.kv("SECRETNAME", { key: "text", value: "text" });
  for (let i = 0; i < 500; i++) kv.put(`SECRETKEY${i}`, `SECRETVALUE${i}`);
  await db.checkpoint();
  await kv.put("last", "SECRETLAST");
  await db.close();
  return name;
}

test("h08 what is put with a key is got with it, and no file shows it", async () => {
  const name = await filled({ key });
  for (const word of ["SECRETNAME", "SECRETKEY", "SECRETVALUE", "SECRETLAST", "NACREDB"]) assert.ok(!files(name).includes(word), word);
  assert.ok(files(await filled(undefined)).includes("SECRETKEY"), "the test would notice");
  const db = await open(name, { encryption: { key }, mode: "existing" });
  const kv = await db.kv("SECRETNAME");
  assert.equal(await kv.get("SECRETKEY77"), "SECRETVALUE77");
  assert.equal(await kv.get("last"), "SECRETLAST");
  assert.equal((await db.verify({ deep: true })).ok, true);
  await db.close();
});

test("h08 without the key, or with another one, it is PERMISSION; a plain one with a key is INVALID_ARGUMENT", async () => {
  const name = await filled({ key }), plain = await filled(undefined), before = files(name) + files(plain);
  for (const mode of ["readwrite", "existing", "readonly"] as const) {
    await assert.rejects(open(name, { mode }), { code: "PERMISSION" });
    await assert.rejects(open(name, { mode, encryption: { key: other } }), { code: "PERMISSION" });
    assert.throws(() => openSync(name, { mode, encryption: { key: other } }), { code: "PERMISSION" });
    await assert.rejects(open(plain, { mode, encryption: { key } }), { code: "INVALID_ARGUMENT" });
  }
  assert.equal(files(name) + files(plain), before, "what is refused is not touched");
});

const has = (bytes: Uint8Array, word: string): boolean => Buffer.from(bytes).includes(word);

test("h08 a backup is encrypted with its database's key, with another one, or not; one that is cut leaves nothing behind", async () => {
  const db = await open(await filled({ key }), { encryption: { key } }), plain = await open(await filled(undefined));
  const pieces: Uint8Array[] = [], parts: Uint8Array[][] = [[], [], [], []];
  for await (const piece of db.export()) pieces.push(piece);
  const made = await db.backup((chunk) => { parts[0]?.push(chunk); }, { encryption: { key: other } });
  await db.backup((chunk) => { parts[1]?.push(chunk); }, { encryption: false });
  await plain.backup((chunk) => { parts[2]?.push(chunk); });
  await plain.backup((chunk) => { parts[3]?.push(chunk); }, { encryption: { key: other } });
  await db.close();
  await plain.close();
  const whole = Buffer.concat(pieces), [others, bare, plains, sealed] = parts.map((chunks) => Buffer.concat(chunks)) as [Buffer, Buffer, Buffer, Buffer];
  assert.equal(made.bytes, others.length);
  for (const stream of [whole, others, sealed]) assert.ok(!has(stream, "SECRETVALUE") && !has(stream, "SECRETNAME"));
  for (const stream of [bare, plains]) assert.ok(has(stream, "SECRETVALUE"), "the test would notice");

  const expect = (encryption: Uint8Array | undefined, decryption: Uint8Array | undefined, stream: Uint8Array): void => {
    const name = freshName();
    const copy = restoreSync(name, stream, {
      encryption: encryption && { key: encryption }, decryption: decryption && { key: decryption } });
    assert.equal(copy.kv("SECRETNAME").get("SECRETKEY77"), "SECRETVALUE77");
    copy.close();
    assert.equal(files(name).includes("SECRETVALUE"), encryption === undefined);
  };
  expect(key, undefined, whole);
  expect(other, key, whole);
  expect(undefined, key, whole);
  expect(key, other, others);
  expect(other, undefined, sealed);
  expect(key, undefined, bare);
  expect(undefined, undefined, plains);
  const code = (want: string, encryption: Uint8Array | undefined, decryption: Uint8Array | undefined, stream: Uint8Array): void => {
    const name = freshName();
    assert.throws(() => restoreSync(name, stream, {
      encryption: encryption && { key: encryption }, decryption: decryption && { key: decryption } }), { code: want });
    assert.deepEqual(readdirSync(dirname(name)).filter((file) => file.startsWith(basename(name))), []);
  };
  code("PERMISSION", other, undefined, whole);
  code("PERMISSION", key, other, whole);
  code("PERMISSION", undefined, undefined, whole);
  code("INVALID_ARGUMENT", key, key, bare); // a key never stands for nothing
  code("CORRUPT", key, undefined, whole.subarray(0, whole.length - 9));

  assert.equal((await verifyBackup(whole, { decryption: { key } })).kind, "full");
  assert.equal(verifyBackupSync(whole, { decryption: { key } }).bytes, whole.length);
  await assert.rejects(verifyBackup(whole, { decryption: { key: other } }), { code: "PERMISSION" });
  assert.throws(() => verifyBackupSync(whole), { code: "PERMISSION" });
  const inMemory = await restore(":memory:", whole, { decryption: { key } });
  assert.equal(await (await inMemory.kv("SECRETNAME")).get("last"), "SECRETLAST");
  await inMemory.close();
  const from = await open(freshName(), { from: whole, encryption: { key } });
  await from.close();
});

test("h08 an incremental backup and an archive of an encrypted database are encrypted, too", async () => {
  const db = await open(await filled({ key }), { encryption: { key }, changes: { retain: 1 << 20 } });
  const streams: Uint8Array[] = [], sink = (chunk: Uint8Array): void => { streams.push(chunk); };
  const full = await db.backup(sink);
  const kv = await db.kv<string, string>("SECRETNAME");
  await kv.put("more", "SECRETMORE");
  const next = await db.backup(sink, { base: full.token });
  const archive = await db.archive({ since: next.sequence });
  await kv.put("most", "SECRETMOST");
  await archive.write(sink);
  await archive.close();
  await assert.rejects(db.backup(sink, { base: Buffer.concat(streams) }), { code: "INVALID_ARGUMENT" });
  await db.close();
  assert.ok(!has(Buffer.concat(streams), "SECRET"));
  const copy = restoreSync(freshName(), streams, { encryption: { key: other }, decryption: { key } });
  assert.deepEqual(["more", "most"].map((name) => copy.kv("SECRETNAME").get(name)), ["SECRETMORE", "SECRETMOST"]);
  copy.close();
});

test("h08 repair takes the key, and the new database has it, too", async () => {
  const name = await filled({ key }), repaired = freshName();
  await assert.rejects(repair(name, freshName()), { code: "PERMISSION" });
  await assert.rejects(repair(name, freshName(), { encryption: { key: other } }), { code: "PERMISSION" });
  await assert.rejects(repair(name, freshName(), { encryption: { key: new Uint8Array(3) } }), { code: "INVALID_ARGUMENT" });
  const report = repairSync(name, repaired, { encryption: { key } });
  assert.deepEqual([report.rows, report.findings.length], [501, 0]);
  assert.ok(!files(repaired).includes("SECRET"));
  const db = openSync(repaired, { encryption: { key } });
  assert.equal(db.kv("SECRETNAME").get("last"), "SECRETLAST");
  db.close();
});

test("h08 a key that is none is refused, and no message shows it", async () => {
  const name = freshName();
  for (const bad of [new Uint8Array(31), new Uint8Array(33), "SECRETSECRETSECRETSECRETSECRET12", undefined, null, 7, [...key]]) {
    await assert.rejects(open(name, { encryption: { key: bad as Uint8Array } }), (error: Error & { code: string }) =>
      error.code === "INVALID_ARGUMENT" && !error.message.includes("SECRET"));
  }
  await assert.rejects(open(name, { encryption: { key, cipher: "aes" } as { key: Uint8Array } }), { code: "INVALID_ARGUMENT" });
  await assert.rejects(open(":memory:", { encryption: { key } }), { code: "INVALID_ARGUMENT" });
});

test("h08 the caller's key may be wiped at once; a second handle needs the same one", async () => {
  const name = freshName(), mine = Uint8Array.from(key);
  const opening = open(name, { encryption: { key: mine } });
  mine.fill(0);
  const db = await opening;
  const second = await open(name, { encryption: { key } });
  await assert.rejects(open(name), { code: "PERMISSION" });
  await assert.rejects(open(name, { encryption: { key: other } }), { code: "PERMISSION" });
  await second.close();
  await db.close();
  const plain = await open(freshName());
  await assert.rejects(plain.rekey(key), { code: "UNSUPPORTED" });
  await plain.close();
});

test("h08 rekey makes another key the only one, and whoever has it open goes on", async () => {
  const name = await filled({ key });
  const db = await open(name, { encryption: { key } });
  const reader = await open(name, { encryption: { key }, mode: "readonly" });
  await assert.rejects(reader.rekey(other), { code: "READONLY" });
  await assert.rejects(db.rekey(new Uint8Array(5)), { code: "INVALID_ARGUMENT" });
  await db.rekey(other);
  const kv = await db.kv<string, string>("SECRETNAME");
  await kv.put("after", "it");
  await reader.close();
  await db.close();
  await assert.rejects(open(name, { encryption: { key } }), { code: "PERMISSION" });
  const again = openSync(name, { encryption: { key: other } });
  assert.equal(again.kv("SECRETNAME").get("after"), "it");
  again.rekey(key);
  again.close();
  await (await open(name, { encryption: { key }, mode: "existing" })).close();
});

test("h08 the command takes the key from a file or the environment", async () => {
  const name = await filled({ key }), folder = dirname(freshName());
  const raw = join(folder, "raw.key"), hex = join(folder, "hex.key"), bad = join(folder, "bad.key");
  writeFileSync(raw, key);
  writeFileSync(hex, `${other.toString("hex")}\n`);
  writeFileSync(bad, "secret");
  const run = (environment: Record<string, string>, ...args: string[]): { status: number | null; out: string } => {
    const { NACRE_KEY: _, ...rest } = process.env;
    const done = spawnSync(command, args, { encoding: "utf8", env: { ...rest, ...environment } });
    return { status: done.status, out: done.stdout + done.stderr };
  };
  assert.match(run({}, "get", name, "SECRETNAME", "last").out, /encrypted, and no key was given; check the key/);
  assert.match(run({}, "get", name, "SECRETNAME", "last", "--key-file", bad).out, /32 bytes, or 64 hexadecimal digits/);
  assert.match(run({ NACRE_KEY: "secret" }, "get", name, "SECRETNAME", "last").out, /NACRE_KEY: a key has 64 hexadecimal digits/);
  assert.match(run({ NACRE_KEY: other.toString("hex") }, "get", name, "SECRETNAME", "last").out, /the key is not that of this database/);
  assert.deepEqual(run({ NACRE_KEY: key.toString("hex") }, "get", name, "SECRETNAME", "last"), { status: 0, out: '"SECRETLAST"\n' });
  assert.deepEqual(run({}, "get", name, "SECRETNAME", "last", "--key-file", raw), { status: 0, out: '"SECRETLAST"\n' });
  assert.equal(run({}, "rekey", name, "--key-file", raw).status, 2);
  assert.deepEqual(run({}, "rekey", name, "--key-file", raw, "--new-key-file", hex), { status: 0, out: "" });
  assert.equal(run({}, "get", name, "SECRETNAME", "last", "--key-file", raw).status, 1);
  assert.equal(run({}, "verify", name, "--deep", "--key-file", hex).status, 0);
  for (const verb of ["wal", "manifest", "segments"]) {
    assert.match(run({}, verb, name, "--key-file", hex).out, verb === "wal" ? /frame/ : verb === "manifest" ? /generation=/ : /firstKey=/);
    assert.match(run({}, verb, name).out, /encrypted, and no key was given/);
    assert.match(run({}, verb, name, "--key-file", raw).out, /the key is not that of this database/);
  }
  const saved = freshName(), stream = join(folder, "stream"), bare = join(folder, "bare"), sealed = join(folder, "sealed");
  assert.match(run({}, "repair", name, "--out", saved).out, /no key was given/);
  assert.match(run({}, "repair", name, "--out", saved, "--key-file", hex).out, /501 rows .* 0 damages, 0 losses, 0 doubts/);
  assert.equal(run({}, "get", saved, "SECRETNAME", "last", "--key-file", hex).out, '"SECRETLAST"\n');
  assert.equal(run({}, "backup", name, stream, "--key-file", hex).status, 0);
  assert.equal(run({}, "backup", name, bare, "--key-file", hex, "--plain").status, 0);
  assert.equal(run({}, "backup", name, sealed, "--key-file", hex, "--backup-key-file", raw).status, 0);
  for (const [file, plain] of [[stream, false], [bare, true], [sealed, false]] as const) assert.equal(has(readFileSync(file), "SECRETVALUE"), plain);
  assert.match(run({}, "backup", name, join(folder, "next"), "--key-file", hex, "--incremental", stream).out, /incremental/);
  assert.match(run({}, "restore", "--verify", stream, "--key-file", hex).out, /full/);
  assert.match(run({}, "restore", "--verify", stream).out, /no key was given/);
  const restored = [freshName(), freshName(), freshName()] as const;
  assert.match(run({ NACRE_KEY: other.toString("hex") }, "restore", stream, restored[0]).out, /restored/);
  assert.match(run({}, "restore", sealed, restored[1], "--backup-key-file", raw).out, /restored/);
  assert.match(run({}, "restore", bare, restored[2], "--key-file", raw).out, /restored/);
  assert.equal(run({}, "get", restored[0], "SECRETNAME", "last", "--key-file", hex).out, '"SECRETLAST"\n');
  assert.equal(run({}, "get", restored[1], "SECRETNAME", "last").out, '"SECRETLAST"\n');
  assert.equal(run({}, "get", restored[2], "SECRETNAME", "last", "--key-file", raw).out, '"SECRETLAST"\n');
  const db = await open(name, { encryption: { key: other } }); // and it is the package's
  assert.equal(await (await db.kv("SECRETNAME")).get("last"), "SECRETLAST");
  await db.close();
});
