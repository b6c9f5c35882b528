// Each call with each kind of wrong argument: refused, named, and nothing has changed.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { NacreError, open, openSync } from "../../build/js/index.js";
import type { ErrorCode } from "../../build/js/index.js";
import { all, faces, freshName, refuses } from "./lib.ts";

type Call = [name: string, code: ErrorCode, call: () => unknown];

for (const face of faces) {
  describe(`wrong arguments, ${face.name}`, async () => {
    const db = await face.open(":memory:");
    const kv = await db.kv<unknown>("kv"), text = await db.kv<unknown>("text", { value: "text" }), bytes = await db.kv<unknown>("bytes", { value: "bytes" });
    const real = await db.kv<unknown>("real", { key: "real" });
    const notes = await db.collection<Record<string, unknown>>("notes", { vector: { dimensions: 2, metric: "cosine" }, fields: {
      t: "text", i: "integer", g: "bigint", r: "real", o: "boolean", b: "bytes", d: "timestamp", j: "json" } });
    const l2 = await db.collection("l2", { vector: { dimensions: 2 } });
    const put = (record: unknown) => () => notes.put(record as never);
    const field = (name: string, value: unknown) => put({ key: "k", vector: [1, 2], [name]: value });
    const bad = (call: unknown) => call as never;
    await kv.put("kept", 1);
    await notes.put({ key: "kept", vector: [1, 2] });

    const calls: Call[] = [
      ["kv schema", "INVALID_ARGUMENT", () => db.kv("x", bad({ keys: "text" }))],
      ["kv schema", "INVALID_ARGUMENT", () => db.kv("x", bad({ value: "integer" }))],
      ["kv schema", "INVALID_ARGUMENT", () => db.kv("x", bad("text"))],
      ["kv schema", "INVALID_ARGUMENT", () => db.kv("x", bad(null))],
      ["kv key type", "INVALID_ARGUMENT", () => kv.get(bad(1))],
      ["kv key type", "INVALID_ARGUMENT", () => kv.has(bad(undefined))],
      ["kv key type", "INVALID_ARGUMENT", () => kv.delete(bad(null))],
      ["kv key type", "INVALID_ARGUMENT", () => kv.put(bad(Symbol("x")), 1)],
      ["kv key type", "INVALID_ARGUMENT", () => real.put(NaN, 1)],
      ["getMany", "INVALID_ARGUMENT", () => kv.getMany(bad("abc"))],
      ["getMany", "INVALID_ARGUMENT", () => kv.getMany(bad(undefined))],
      ["getMany", "INVALID_ARGUMENT", () => kv.getMany(["a", bad(1)])],
      ["putMany", "INVALID_ARGUMENT", () => kv.putMany(bad(5))],
      ["putMany", "INVALID_ARGUMENT", () => kv.putMany(bad(["ab"]))],
      ["putMany", "INVALID_ARGUMENT", () => kv.putMany(bad({ a: 1 }))],
      ["json value", "INVALID_ARGUMENT", () => kv.put("a", undefined)],
      ["json value", "INVALID_ARGUMENT", () => kv.put("a", { x: 1n })],
      ["json value", "INVALID_ARGUMENT", () => kv.put("a", new Map())],
      ["json value", "INVALID_ARGUMENT", () => kv.put("a", Uint8Array.of(1))],
      ["text value", "INVALID_ARGUMENT", () => text.put("a", 1)],
      ["text value", "INVALID_ARGUMENT", () => text.put("a", "\udfff")],
      ["text value", "INVALID_ARGUMENT", () => text.put("a", `${"x".repeat(100)}\ud800`)],
      ["bytes value", "INVALID_ARGUMENT", () => bytes.put("a", "x")],
      ["bytes value", "INVALID_ARGUMENT", () => bytes.put("a", [1, 2])],
      ["bytes value", "INVALID_ARGUMENT", () => bytes.put("a", new ArrayBuffer(1))],
      ["a value too large", "INVALID_ARGUMENT", () => bytes.put("a", new Uint8Array((256 << 20) + 1))],
      ["range option", "INVALID_ARGUMENT", () => kv.entries(bad({ from: "a" }))],
      ["range option", "INVALID_ARGUMENT", () => kv.keys(bad({ gte: 1 }))],
      ["range option", "INVALID_ARGUMENT", () => kv.values(bad("a"))],
      ["range option", "INVALID_ARGUMENT", () => kv.entries(bad({ limit: -1 }))],
      ["range option", "INVALID_ARGUMENT", () => kv.entries(bad({ limit: 1.5 }))],
      ["range option", "INVALID_ARGUMENT", () => kv.entries(bad({ limit: "5" }))],
      ["range option", "INVALID_ARGUMENT", () => kv.entries(bad({ reverse: 1 }))],
      ["range option", "INVALID_ARGUMENT", () => kv.count(bad({ limit: 5 }))],
      ["range option", "INVALID_ARGUMENT", () => kv.clear(bad({ reverse: true }))],
      ["range option", "INVALID_ARGUMENT", () => kv.clear(bad("a"))],
      ["range option", "INVALID_ARGUMENT", () => real.count(bad({ prefix: 1 }))],
      ["record", "INVALID_ARGUMENT", put(undefined)],
      ["record", "INVALID_ARGUMENT", put("x")],
      ["record", "INVALID_ARGUMENT", put({ key: "k" })],
      ["record", "INVALID_ARGUMENT", put({ vector: [1, 2] })],
      ["record", "INVALID_ARGUMENT", put({ key: 1, vector: [1, 2] })],
      ["record", "INVALID_ARGUMENT", put([{ key: "k", vector: [1, 2] }, 5])],
      ["unknown field", "INVALID_ARGUMENT", field("nope", 1)],
      ["unknown field", "INVALID_ARGUMENT", field("distance", 1)],
      ["text field", "INVALID_ARGUMENT", field("t", 1)],
      ["text field", "INVALID_ARGUMENT", field("t", "\ud800")],
      ["integer field", "INVALID_ARGUMENT", field("i", 1.5)],
      ["integer field", "INVALID_ARGUMENT", field("i", "1")],
      ["integer field", "INVALID_ARGUMENT", field("i", 2 ** 60)],
      ["integer field", "INVALID_ARGUMENT", field("i", 2n ** 63n)],
      ["bigint field", "INVALID_ARGUMENT", field("g", 1)],
      ["real field", "INVALID_ARGUMENT", field("r", NaN)],
      ["real field", "INVALID_ARGUMENT", field("r", 1n)],
      ["boolean field", "INVALID_ARGUMENT", field("o", 0)],
      ["bytes field", "INVALID_ARGUMENT", field("b", "x")],
      ["timestamp field", "INVALID_ARGUMENT", field("d", 5)],
      ["timestamp field", "INVALID_ARGUMENT", field("d", new Date(NaN))],
      ["json field", "INVALID_ARGUMENT", field("j", NaN)],
      ["json field", "INVALID_ARGUMENT", field("j", new Date())],
      ["vector", "INVALID_ARGUMENT", put({ key: "k", vector: [1] })],
      ["vector", "INVALID_ARGUMENT", put({ key: "k", vector: [1, 2, 3] })],
      ["vector", "INVALID_ARGUMENT", put({ key: "k", vector: [1, NaN] })],
      ["vector", "INVALID_ARGUMENT", put({ key: "k", vector: [1, Infinity] })],
      ["vector", "INVALID_ARGUMENT", put({ key: "k", vector: [1, 1e39] })],
      ["vector", "INVALID_ARGUMENT", put({ key: "k", vector: [1, "2"] })],
      ["vector", "INVALID_ARGUMENT", put({ key: "k", vector: Float64Array.of(1, 2) })],
      ["vector", "INVALID_ARGUMENT", put({ key: "k", vector: "12" })],
      ["zero vector under cosine", "INVALID_ARGUMENT", put({ key: "k", vector: [0, -0] })],
      ["update", "INVALID_ARGUMENT", () => notes.update("kept", bad(undefined))],
      ["update", "INVALID_ARGUMENT", () => notes.update("kept", { i: "x" })],
      ["update", "INVALID_ARGUMENT", () => notes.update(bad(1), {})],
      ["query", "INVALID_ARGUMENT", () => notes.search([0, 0])],
      ["query", "INVALID_ARGUMENT", () => notes.search([1])],
      ["query", "INVALID_ARGUMENT", () => notes.search(bad(undefined))],
      ["query", "INVALID_ARGUMENT", () => l2.search([1, NaN])],
      ["search option", "INVALID_ARGUMENT", () => notes.search([1, 2], bad({ top: 1 }))],
      ["search option", "INVALID_ARGUMENT", () => notes.search([1, 2], bad(5))],
      ["search option", "INVALID_ARGUMENT", () => notes.search([1, 2], { k: 0 })],
      ["search option", "INVALID_ARGUMENT", () => notes.search([1, 2], { k: 1.5 })],
      ["search option", "INVALID_ARGUMENT", () => notes.search([1, 2], { k: 10_001 })],
      ["search option", "INVALID_ARGUMENT", () => notes.search([1, 2], bad({ k: "5" }))],
      ["search option", "INVALID_ARGUMENT", () => notes.search([1, 2], { recall: 0 })],
      ["search option", "INVALID_ARGUMENT", () => notes.search([1, 2], { recall: 1.1 })],
      ["search option", "INVALID_ARGUMENT", () => notes.search([1, 2], bad({ recall: "high" }))],
      ["search option", "INVALID_ARGUMENT", () => notes.search([1, 2], { include: ["nope"] })],
      ["search option", "INVALID_ARGUMENT", () => notes.search([1, 2], bad({ include: "t" }))],
      ["search option", "INVALID_ARGUMENT", () => notes.search([1, 2], bad({ where: null }))],
      ["search option", "INVALID_ARGUMENT", () => notes.search([1, 2], bad({ probes: 0 }))],
      ["search option", "INVALID_ARGUMENT", () => notes.search([1, 2], bad({ maxDistance: NaN }))],
      ["search option", "INVALID_ARGUMENT", () => notes.search([1, 2], bad({ timeoutMs: -1 }))],
      ["search option", "INVALID_ARGUMENT", () => notes.search([1, 2], bad({ signal: 1 }))],
      ["records option", "INVALID_ARGUMENT", () => notes.records(bad({ k: 1 }))],
      ["records option", "INVALID_ARGUMENT", () => notes.records({ where: { nope: 1 } })],
      ["deleteWhere", "INVALID_ARGUMENT", () => notes.deleteWhere(bad(undefined))],
      ["deleteWhere", "INVALID_ARGUMENT", () => notes.deleteWhere({})],
      ["clear with a filter", "INVALID_ARGUMENT", () => notes.clear(bad({ i: 1 }))],
      ["count", "INVALID_ARGUMENT", () => notes.count({ i: undefined })],
      ["count", "INVALID_ARGUMENT", () => notes.count(bad("x"))],
      ["verify", "INVALID_ARGUMENT", () => db.verify(bad({ deep: 1 }))],
      ["verify", "INVALID_ARGUMENT", () => db.verify(bad({ fast: true }))],
      ["verify", "UNSUPPORTED", () => db.verify(bad({ timeoutMs: 5 }))],
      ["compact", "NOT_FOUND", () => db.compact("nope")],
      ["compact", "INVALID_ARGUMENT", () => db.compact(bad(5))],
      ["compact", "UNSUPPORTED", () => db.compact(undefined, bad({ timeoutMs: 5 }))],
    ];
    for (const [name, code, call] of calls) {
      test(`${name}: ${call.toString().slice(6, 90)}`, () => refuses(code, call));
    }

    test("and nothing has changed", async () => {
      assert.deepEqual(await all(kv.entries()), [["kept", 1]]);
      assert.equal(await notes.count(), 1);
      assert.deepEqual((await db.membranes()).map(({ name }) => name), ["bytes", "kv", "l2", "notes", "real", "text"]);
      assert.equal((await db.verify({ deep: true })).ok, true);
      await db.close();
    });
  });

  describe(`open, ${face.name}`, () => {
    for (const [name, options, code] of [
      ["", {}, "INVALID_ARGUMENT"], [5, {}, "INVALID_ARGUMENT"], [undefined, {}, "INVALID_ARGUMENT"], ["a\0b", {}, "INVALID_ARGUMENT"],
      [new URL("https://example.com/x"), {}, "INVALID_ARGUMENT"], [":memory:", { modes: 1 }, "INVALID_ARGUMENT"], [":memory:", null, "INVALID_ARGUMENT"],
      [":memory:", { mode: "rw" }, "INVALID_ARGUMENT"], [":memory:", { durability: true }, "INVALID_ARGUMENT"], [":memory:", { memory: -1 }, "INVALID_ARGUMENT"],
      [":memory:", { memory: "1" }, "INVALID_ARGUMENT"], [":memory:", { memory: 1000 }, "INVALID_ARGUMENT"], [":memory:", { storage: "disk" }, "INVALID_ARGUMENT"],
      [":memory:", { shards: 0 }, "INVALID_ARGUMENT"], [":memory:", { shards: 2 }, "UNSUPPORTED"], [":memory:", { storage: "opfs" }, "UNSUPPORTED"],
      [":memory:", { from: new Uint8Array(1) }, "CORRUPT"], [":memory:", { timeoutMs: 5 }, "UNSUPPORTED"], [":memory:", { mode: "existing" }, "NOT_FOUND"],
    ] as [unknown, unknown, ErrorCode][]) {
      test(`${String(name)} ${JSON.stringify(options)} is ${code}`, () => refuses(code, () => face.open(name as never, options as never)));
    }
  });
}

test("the option wasm takes what it says", async () => {
  const { readFileSync } = await import("node:fs");
  const url = new URL("../../build/js/nacre.wasm", import.meta.url), bytes = readFileSync(url);
  for (const wasm of [url, bytes, new Uint8Array(bytes).buffer, await WebAssembly.compile(bytes), new Response(bytes, { headers: { "content-type": "application/wasm" } }), new Response(bytes)]) {
    const db = await open(":memory:", { wasm });
    await db.close();
  }
  await refuses("INVALID_ARGUMENT", () => open(":memory:", { wasm: "nacre.wasm" as never }), /wasm/);
  await refuses("IO", () => open(":memory:", { wasm: new URL("missing.wasm", url) }), /missing/);
  await refuses("IO", () => open(":memory:", { wasm: Uint8Array.of(1, 2, 3) }));
  await refuses("INVALID_ARGUMENT", () => open(":memory:", { wasm: Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 2, 7, 1, 1, 97, 1, 98, 0, 0) }), /not Nacre's/);
  await refuses("UNSUPPORTED", () => openSync(":memory:", { wasm: new Response(bytes) }));
});

test("an error is an Error with a code", async () => {
  const error = await open(freshName(), { mode: "existing" }).catch((reason: unknown) => reason);
  assert.ok(error instanceof NacreError && error instanceof Error);
  assert.equal(error.code, "NOT_FOUND");
  assert.equal(error.name, "NacreError");
  assert.ok(!("details" in error));
});

test("using and await using close", { skip: Symbol.dispose === undefined }, async () => {
  const db = await open(":memory:");
  const kv = await db.kv("s");
  const sync = openSync(":memory:");
  assert.equal((db as unknown as Record<symbol, unknown>)[Symbol.asyncDispose], db.close);
  await db[Symbol.asyncDispose]();
  sync[Symbol.dispose]();
  await refuses("CLOSED", () => kv.get("a"));
  await refuses("CLOSED", () => sync.stats());
});
