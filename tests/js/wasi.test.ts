// The module is a plain WASI reactor: it runs under Node's own node:wasi, too, and what one
// host writes the other reads.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { test } from "node:test";
import { WASI } from "node:wasi";
import { openSync } from "../../build/js/index.js";
import { ANSWER, LOCK } from "../../js/abi.gen.ts";
import type { Exports } from "../../js/abi.gen.ts";
import { BUILD, freshName } from "./lib.ts";

for (const file of ["nacre.wasm", "nacre-scalar.wasm"]) {
  test(`${file} under node:wasi reads what the package wrote, and writes what it reads`, async () => {
    const name = freshName();
    const db = openSync(name);
    db.kv("s", { value: "text" }).put("a", "from the package");
    db.close();

    const wasi = new WASI({ version: "preview1", preopens: { "/here": dirname(name) }, returnOnExit: true });
    const module = await WebAssembly.compile(readFileSync(new URL(file, BUILD)));
    const instance = await WebAssembly.instantiate(module, wasi.getImportObject() as WebAssembly.Imports);
    wasi.initialize(instance);
    const exports = instance.exports as unknown as Exports;
    const host = exports.abi_host_new();
    const word = (offset: number): number => new DataView(exports.memory.buffer).getUint32(host + offset, true);
    const input = word(ANSWER.DATA);
    const put = (...pieces: (string | Uint8Array)[]): number[] => {
      let at = input;
      return pieces.map((piece) => {
        const bytes = typeof piece === "string" ? new TextEncoder().encode(piece) : piece;
        new Uint8Array(exports.memory.buffer).set(bytes, at);
        at += bytes.length;
        return bytes.length;
      });
    };
    const ok = (status: number): void => assert.equal(status, 0, Buffer.from(exports.memory.buffer, host + ANSWER.TEXT, 100).toString());

    ok(exports.abi_open(host, put(`/here/${basename(name)}`)[0] as number, 0, 0, LOCK.OWN, 0, 0));
    ok(exports.abi_membrane_open(host, put("s")[0] as number, 0));
    const membrane = word(ANSWER.POINTER), id = word(ANSWER.COUNT);
    ok(exports.abi_get(host, membrane, 0, put("a\0\u0001")[0] as number));
    assert.equal(Buffer.from(exports.memory.buffer, word(ANSWER.DATA), word(ANSWER.SIZE)).toString(), "from the package");

    const key = Uint8Array.of(0, 0, 0, id, 98, 0, 1), value = Buffer.from("from node:wasi");
    const record = new Uint8Array(16 + 16 + 24);
    const view = new DataView(record.buffer);
    view.setUint32(0, record.length, true);
    view.setUint32(4, 1, true);
    view.setUint32(16, key.length, true);
    view.setUint32(20, value.length, true);
    record.set(key, 32);
    record.set(value, 32 + key.length);
    ok(exports.abi_reserve(host, record.length, 1));
    new Uint8Array(exports.memory.buffer).set(record, word(ANSWER.POINTER));
    ok(exports.abi_commit(host, record.length, 1));
    ok(exports.abi_close(host));

    const again = openSync(name, { mode: "existing" });
    assert.deepEqual([...again.kv("s").entries()], [["a", "from the package"], ["b", "from node:wasi"]]);
    again.close();
  });
}
