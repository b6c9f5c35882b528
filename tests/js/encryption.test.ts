// Encrypted databases through the package and the command: H08.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { open, openSync, restoreSync } from "../../build/js/index.js";
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

test("h08 a backup is restored under another key, and one that is cut leaves nothing behind", async () => {
  const pieces: Uint8Array[] = [], name = freshName(), cut = freshName();
  const db = await open(await filled({ key }), { encryption: { key } });
  for await (const piece of db.export()) pieces.push(piece);
  await db.close();
  const whole = Buffer.concat(pieces);
  const copy = restoreSync(name, whole, { encryption: { key: other } });
  assert.equal(copy.kv("SECRETNAME").get("SECRETKEY77"), "SECRETVALUE77");
  copy.close();
  assert.ok(!files(name).includes("SECRETVALUE"));
  assert.throws(() => restoreSync(cut, whole.subarray(0, whole.length - 9), { encryption: { key } }), { code: "CORRUPT" });
  assert.deepEqual(readdirSync(dirname(cut)).filter((file) => file.startsWith(basename(cut))), []);
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
  const db = await open(name, { encryption: { key: other } }); // and it is the package's
  assert.equal(await (await db.kv("SECRETNAME")).get("last"), "SECRETLAST");
  await db.close();
});
