// H08, B29: encrypted files and streams against crypt_format.h and crypt_stream.h, by the second
// reader; and the golden encrypted database.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { FormatError } from "./bytes.ts";
import { decryptFiles, decryptStream, hchacha20 } from "./crypt.ts";
import { readDatabase, readFiles } from "./database.ts";
import { BUILD, GOLDEN, GOLDEN_KEY, NACRE, canonicalDump, dumpOf, inFolder, readGolden, run, runWasi, writeFiles } from "./lib.ts";

const VERSION = "v2";
const wanted = (): string[] => canonicalDump(gunzipSync(readFileSync(join(GOLDEN, VERSION, "secret.jsonl.gz"))).toString());
const packageFace = async (): Promise<typeof import("../../build/js/index.js")> =>
  await import(new URL(`file://${BUILD}/js/index.js`).href) as typeof import("../../build/js/index.js");

/** With a file that has the key. */
const withKey = (use: (folder: string, keyFile: string) => void | Promise<void>): Promise<void> => inFolder((folder) => {
  writeFileSync(join(folder, "key"), GOLDEN_KEY);
  return use(folder, join(folder, "key"));
});

test("h08 the second reader's subkey is that of the draft", () => { // draft-irtf-cfrg-xchacha-03, 2.2.1
  const key = Uint8Array.from({ length: 32 }, (_, i) => i);
  const subkey = hchacha20(key, Buffer.from("000000090000004a0000000031415927", "hex"));
  assert.equal(Buffer.from(subkey).toString("hex"), "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc");
});

test("b29 the golden encrypted database: every byte is as the page says, and the rows are all there", () => {
  assert.deepEqual(dumpOf(readDatabase(decryptFiles(readGolden(VERSION, "secret"), GOLDEN_KEY))), wanted());
});

test("b29 a copy of it opens with its key, in the command and in the package, and is well-formed afterwards", () => withKey(async (folder, keyFile) => {
  const path = join(folder, "db"), golden = readGolden(VERSION, "secret");
  writeFiles(path, golden);
  assert.deepEqual(canonicalDump(run(NACRE, "dump", path, "--key-file", keyFile)), wanted());
  run(NACRE, "verify", path, "--deep", "--key-file", keyFile);
  assert.deepEqual(readFiles(path), golden, "reading leaves every byte");
  const { openSync } = await packageFace();
  assert.throws(() => openSync(path), { code: "PERMISSION" });
  const db = openSync(path, { encryption: { key: GOLDEN_KEY } });
  assert.ok(db.verify({ deep: true }).ok);
  db.close();
  run(NACRE, "compact", path, "--key-file", keyFile);
  assert.deepEqual(dumpOf(readDatabase(decryptFiles(readFiles(path), GOLDEN_KEY))), wanted());
}));

test("b29 it is made again byte for byte, natively and as WebAssembly", () => inFolder(async (folder) => {
  const golden = readGolden(VERSION, "secret");
  run(join(BUILD, "formats/make_golden"), "secret", join(folder, "native"));
  assert.deepEqual(readFiles(join(folder, "native")), golden, "if that was meant, say make golden (tests/formats/make_golden.c)");
  await runWasi(join(BUILD, "formats/make_golden.wasm"), folder, "secret", "/tmp/wasm");
  assert.deepEqual(readFiles(join(folder, "wasm")), golden);
}));

test("h08 the second reader notices any flipped bit of what is in use", () => {
  const files = readGolden(VERSION, "secret");
  let state = 1;
  for (let i = 0; i < 60; i++) {
    const bytes = [files.data, ...files.logs][i % 3]!;
    do state = Math.imul(state, 1103515245) + 12345 >>> 0; while (bytes[(state >>> 4) % bytes.length] === 0); // a hole is in no use
    const at = (state >>> 4) % bytes.length;
    bytes[at]! ^= 1 << i % 8;
    assert.throws(() => decryptFiles(files, GOLDEN_KEY), FormatError, `byte ${at} of file ${i % 3}`);
    bytes[at]! ^= 1 << i % 8;
  }
});

test("h08 what the package has just written reads the same, and so do its encrypted backups", () => withKey(async (folder) => {
  const { openSync } = await packageFace(), key = randomBytes(32), path = join(folder, "db");
  const db = openSync(path, { encryption: { key }, memory: 2 << 20 });
  const kv = db.kv<string, Uint8Array>("kv", { value: "bytes" });
  for (let i = 0; i < 400; i++) kv.put(`key ${i % 150}`, new Uint8Array(i * 40).fill(i));
  db.checkpoint();
  for (let i = 0; i < 50; i++) kv.put(`late ${i}`, new Uint8Array(i));
  const streams = ["as it is", "plain"].map((how) => Buffer.concat([...db.export(how === "plain" ? { encryption: false } : {})]));
  db.close();
  const state = readDatabase(decryptFiles(readFiles(path), key));
  assert.equal(state.rows.get("kv")?.length, 200);
  for (const row of state.rows.get("kv") ?? []) {
    const [, word, n] = /^(key|late) (\d+)$/.exec(String(row.key[0])) ?? [];
    const last = word === "late" ? Number(n) : 399 - (399 - Number(n)) % 150;
    assert.deepEqual(row.fields[0], word === "late" ? new Uint8Array(last) : new Uint8Array(last * 40).fill(last));
  }
  assert.deepEqual(decryptStream(streams[0]!, key), Uint8Array.from(streams[1]!));
  assert.throws(() => decryptStream(streams[0]!, randomBytes(32)), FormatError);
}));
