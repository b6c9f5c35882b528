// Keys, JSON and filters as bytes: no database takes part.
import assert from "node:assert/strict";
import { test } from "node:test";
import { jsonText } from "../../js/json.ts";
import { compareBytes, KeyCodec, successor } from "../../js/keys.ts";
import type { Key, KeySchema } from "../../js/keys.ts";
import { collectionSchema, decodeSchema, encodeSchema, kvSchema, publicSchema } from "../../js/schema.ts";
import { encodeWhere } from "../../js/where.ts";
import { pick, random } from "./lib.ts";

const name = (): string => "test";
const invalid = { name: "NacreError", code: "INVALID_ARGUMENT" };

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

for (const { schema, key, bytes } of [
  { schema: "text", key: "", bytes: "0001" },
  { schema: "text", key: "a\0b", bytes: "6100ff620001" },
  { schema: "text", key: "é€😀", bytes: "c3a9e282acf09f98800001" },
  { schema: "bytes", key: Uint8Array.of(0, 255, 1), bytes: "00ffff010001" },
  { schema: "integer", key: 0, bytes: "8000000000000000" },
  { schema: "integer", key: -0, bytes: "8000000000000000" },
  { schema: "integer", key: -1, bytes: "7fffffffffffffff" },
  { schema: "integer", key: 2 ** 53 - 1, bytes: "801fffffffffffff" },
  { schema: "integer", key: -(2n ** 63n), bytes: "0000000000000000" },
  { schema: "bigint", key: 2n ** 63n - 1n, bytes: "ffffffffffffffff" },
  { schema: "real", key: 1, bytes: "bff0000000000000" },
  { schema: "real", key: -1, bytes: "400fffffffffffff" },
  { schema: "real", key: -0, bytes: "8000000000000000" },
  { schema: "boolean", key: true, bytes: "01" },
  { schema: "timestamp", key: new Date(1), bytes: "8000000000000001" },
  { schema: ["text", "integer"], key: ["a", 1], bytes: "6100018000000000000001" },
] as { schema: KeySchema; key: Key; bytes: string }[]) {
  test(`keys: ${schema} ${JSON.stringify(String(key))} is ${bytes}, and comes back`, () => {
    const codec = new KeyCodec(schema, name);
    const encoded = codec.encoded(key);
    assert.equal(hex(encoded), bytes);
    assert.deepEqual(codec.decode(encoded, 0, encoded.length), Object.is(key, -0) ? 0 : key);
  });
}

test("keys: integers are numbers while safe, else bigint", () => {
  const codec = new KeyCodec("integer", name);
  for (const [key, back] of [[5n, 5], [2n ** 53n, 2n ** 53n], [-(2n ** 53n) + 1n, -(2 ** 53) + 1], [2n ** 62n, 2n ** 62n], [-(2n ** 62n) - 1n, -(2n ** 62n) - 1n]] as const) {
    const bytes = codec.encoded(key);
    assert.equal(codec.decode(bytes, 0, bytes.length), back);
  }
});

const samples: Record<string, (next: () => number) => Key> = {
  text: (next) => Array.from({ length: Math.floor(next() * 6) }, () => pick(next, ["\0", "\u0001", "a", "b", "é", "\uffff", "😀", "ÿ"])).join(""),
  bytes: (next) => Uint8Array.from({ length: Math.floor(next() * 5) }, () => pick(next, [0, 1, 2, 254, 255])),
  integer: (next) => pick(next, [0, 1, -1, 255, -256, 2 ** 31, -(2 ** 31), 2 ** 32, 2 ** 53 - 1, -(2 ** 53) + 1, Math.floor((next() - 0.5) * 2 ** 40)]),
  bigint: (next) => BigInt.asIntN(64, BigInt(Math.floor(next() * 2 ** 53)) * BigInt(Math.floor(next() * 4096))),
  real: (next) => pick(next, [0, 1.5, -1.5, Infinity, -Infinity, Number.MIN_VALUE, -Number.MIN_VALUE, Number.MAX_VALUE, (next() - 0.5) * 1e6]),
  boolean: (next) => next() < 0.5,
  timestamp: (next) => new Date(Math.floor((next() - 0.5) * 8.64e15)),
};

function compareParts(a: Key, b: Key): number {
  if (typeof a === "string" && typeof b === "string") return Buffer.compare(Buffer.from(a), Buffer.from(b));
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b);
  return a < b ? -1 : a > b ? 1 : 0;
}

test("keys: the order of the bytes is the order of the values, and none is a prefix of another", () => {
  const next = random(1);
  for (const type of Object.keys(samples)) {
    for (const types of [[type], [type, "text"], ["text", type], [type, type, type]]) {
      const codec = new KeyCodec(types as never, name);
      for (let i = 0; i < 300; i++) {
        const a = types.map((part) => samples[part]?.(next) as Key), b = types.map((part) => samples[part]?.(next) as Key);
        const order = a.map((part, p) => compareParts(part, b[p] as Key)).find((part) => part !== 0) ?? 0;
        const x = codec.encoded(a as never), y = codec.encoded(b as never);
        assert.equal(Math.sign(compareBytes(x, y)), Math.sign(order), `${types}: ${String(a)} and ${String(b)}`);
        if (order !== 0) assert.notEqual(hex(y).startsWith(hex(x)), true);
        assert.deepEqual(codec.decode(x, 0, x.length), a);
      }
    }
  }
});

for (const { schema, key, why } of [
  { schema: "text", key: 1, why: /must be a string/ },
  { schema: "text", key: undefined, why: /must be a string/ },
  { schema: "text", key: ["a"], why: /must be a string/ },
  { schema: "text", key: "\ud800", why: /lone surrogate/ },
  { schema: "text", key: "a\udc00b", why: /lone surrogate/ },
  { schema: "text", key: "x".repeat(65537), why: /65536/ },
  { schema: "text", key: "é".repeat(32769), why: /65536/ },
  { schema: "bytes", key: "a", why: /Uint8Array/ },
  { schema: "bytes", key: new Uint8Array(65537), why: /65536/ },
  { schema: "integer", key: "1", why: /number or bigint/ },
  { schema: "integer", key: 1.5, why: /not a safe integer/ },
  { schema: "integer", key: 2 ** 53, why: /use a bigint/ },
  { schema: "integer", key: NaN, why: /not a safe integer/ },
  { schema: "integer", key: 2n ** 63n, why: /64 bits/ },
  { schema: "bigint", key: 1, why: /must be a bigint/ },
  { schema: "bigint", key: -(2n ** 63n) - 1n, why: /64 bits/ },
  { schema: "real", key: NaN, why: /NaN/ },
  { schema: "real", key: 1n, why: /must be a number/ },
  { schema: "boolean", key: 1, why: /must be a boolean/ },
  { schema: "timestamp", key: 5, why: /must be a Date/ },
  { schema: "timestamp", key: new Date(NaN), why: /invalid Date/ },
  { schema: ["text", "integer"], key: "a", why: /array of 2 parts/ },
  { schema: ["text", "integer"], key: ["a"], why: /2 parts, not 1/ },
  { schema: ["text", "integer"], key: ["a", 1, 2], why: /2 parts, not 3/ },
  { schema: ["text", "integer"], key: [1, 1], why: /must be a string/ },
  { schema: ["text", "text"], key: ["x".repeat(40000), "x".repeat(40000)], why: /65536/ },
] as { schema: KeySchema; key: unknown; why: RegExp }[]) {
  test(`keys: ${schema} refuses ${typeof key === "string" ? `text of ${key.length}` : String(key)}`, () => {
    assert.throws(() => new KeyCodec(schema, name).encoded(key), { ...invalid, message: why });
  });
}

test("keys: the longest that are allowed", () => {
  for (const [schema, key] of [["text", "x".repeat(65536)], ["text", "\0".repeat(65536)], ["bytes", new Uint8Array(65536)],
    ["text", "€".repeat(21845)], [["text", "text"], ["x".repeat(32768), "\0".repeat(32768)]]] as [KeySchema, Key][]) {
    const codec = new KeyCodec(schema, name);
    const bytes = codec.encoded(key);
    assert.deepEqual(codec.decode(bytes, 0, bytes.length), key);
  }
});

test("successor: the smallest that is greater than all that begin so", () => {
  assert.deepEqual(successor(Uint8Array.of(1, 2)), Uint8Array.of(1, 3));
  assert.deepEqual(successor(Uint8Array.of(1, 255, 255)), Uint8Array.of(2));
  assert.equal(successor(Uint8Array.of(255)), undefined);
  assert.equal(successor(new Uint8Array(0)), undefined);
});

// ---- JSON ----

const cycle: unknown[] = [];
cycle.push(cycle);
for (const value of [
  undefined, NaN, Infinity, 1n, Symbol("s"), () => 1, new Date(0), new Map(), new Set(), Uint8Array.of(1), new Float32Array(1), /x/,
  new (class Point { x = 1; })(), Object(1), Object("s"), { a: undefined }, [undefined], [, 1], { a: { b: [NaN] } }, cycle,
  { toJSON: () => 1 }, { [Symbol("s")]: 1 }, new Error("x"), Promise.resolve(1),
] as unknown[]) {
  test(`JSON: ${typeof value === "symbol" ? "a symbol" : String(Object.prototype.toString.call(value))} is refused`, () => {
    assert.throws(() => jsonText(value, name), invalid);
  });
}

test("JSON: what is kept comes back the same", () => {
  const deep: unknown[] = [];
  for (let i = 0, at = deep; i < 998; i++) at.push(at = []);
  for (const value of [
    null, true, 0, -0, 1.5, -1e300, "", "\0\ud800 é", [], {}, [[-0, [null]]], { a: { b: [1, "x", -0] } }, deep,
    JSON.parse('{"__proto__": 1, "constructor": 2}'), Object.create(null), { "": 1 },
  ]) {
    const text = jsonText(value, name);
    assert.deepStrictEqual(JSON.parse(text), value === null || Object.getPrototypeOf(Object(value)) !== null ? value : { ...value as object });
  }
});

// ---- Schemas ----

test("schemas: bytes and back", () => {
  for (const schema of [
    kvSchema({}, "s"), kvSchema({ key: "bigint", value: "bytes" }, "s"), kvSchema({ key: ["text", "boolean", "timestamp"] }, "s"),
    collectionSchema({ vector: { dimensions: 16384, metric: "cosine", index: "flat" }, fields: { é: "text", b: "integer", c: "bigint", d: "real", e: "boolean", f: "bytes", g: "timestamp", h: "json" } }, "s"),
    kvSchema({ ttlMs: 1 }, "s"), kvSchema({ ttlMs: 8.64e15, blockSize: 65536, compression: "lz4" }, "s"),
    collectionSchema({ vector: { dimensions: 3, element: "f16", metric: "ip" } }, "s"),
    collectionSchema({ vector: { dimensions: 3, element: "i8" } }, "s"),
    collectionSchema({ vector: { dimensions: 3, element: "bit" } }, "s"),
    collectionSchema({ vector: { dimensions: 3 }, ttlMs: 2 ** 40 + 3, blockSize: 4096, compression: "none" }, "s"),
  ]) {
    assert.deepEqual(decodeSchema(encodeSchema(schema)), schema);
    const again = publicSchema(schema);
    assert.deepEqual(schema.kind === "kv" ? kvSchema(again, "s") : collectionSchema(again, "s"), schema);
  }
});

for (const [schema, code] of [
  [{ vector: {} }, "INVALID_ARGUMENT"], [{ vector: { dimensions: 0 } }, "INVALID_ARGUMENT"], [{ vector: { dimensions: 1.5 } }, "INVALID_ARGUMENT"],
  [{ vector: { dimensions: 16385 } }, "INVALID_ARGUMENT"], [{ vector: { dimensions: "3" } }, "INVALID_ARGUMENT"], [{}, "INVALID_ARGUMENT"],
  [{ vector: { dimensions: 3, metric: "hamming" } }, "INVALID_ARGUMENT"], [{ vector: { dimensions: 3, metric: "L2" } }, "INVALID_ARGUMENT"],
  [{ vector: { dimensions: 3, element: "bit", metric: "l2" } }, "INVALID_ARGUMENT"], [{ vector: { dimensions: 3, element: "f64" } }, "INVALID_ARGUMENT"],
  [{ vector: { dimensions: 3, index: "graph" } }, "UNSUPPORTED"], [{ vector: { dimensions: 3, bits: 9 } }, "INVALID_ARGUMENT"],
  [{ vector: { dimensions: 3, bits: 9 } }, "INVALID_ARGUMENT"], [{ vector: { dimensions: 3, dims: 3 } }, "INVALID_ARGUMENT"],
  [{ vector: { dimensions: 3 }, field: {} }, "INVALID_ARGUMENT"], [{ vector: { dimensions: 3 }, fields: { a: "string" } }, "INVALID_ARGUMENT"],
  [{ vector: { dimensions: 3 }, fields: { key: "text" } }, "INVALID_ARGUMENT"], [{ vector: { dimensions: 3 }, fields: { not: "text" } }, "INVALID_ARGUMENT"],
  [{ vector: { dimensions: 3 }, fields: { "": "text" } }, "INVALID_ARGUMENT"], [{ vector: { dimensions: 3 }, fields: { "a/b": "text" } }, "INVALID_ARGUMENT"],
  [{ vector: { dimensions: 3 }, fields: ["a"] }, "INVALID_ARGUMENT"], [{ vector: { dimensions: 3 }, key: "json" }, "INVALID_ARGUMENT"],
  [{ vector: { dimensions: 3 }, ttlMs: 0 }, "INVALID_ARGUMENT"], [{ vector: { dimensions: 3 }, ttlMs: 1.5 }, "INVALID_ARGUMENT"],
  [{ vector: { dimensions: 3 }, ttlMs: 8.65e15 }, "INVALID_ARGUMENT"], [{ vector: { dimensions: 3 }, ttlMs: "1" }, "INVALID_ARGUMENT"],
  [{ vector: { dimensions: 3 }, blockSize: 2048 }, "INVALID_ARGUMENT"], [{ vector: { dimensions: 3 }, blockSize: 5000 }, "INVALID_ARGUMENT"],
  [{ vector: { dimensions: 3 }, compression: "zstd" }, "INVALID_ARGUMENT"], [{ vector: { dimensions: 3 }, compression: true }, "INVALID_ARGUMENT"],
  [{ vector: { dimensions: 3 }, key: [] }, "INVALID_ARGUMENT"], [{ vector: { dimensions: 3 }, key: 1 }, "INVALID_ARGUMENT"], ["x", "INVALID_ARGUMENT"],
] as [unknown, string][]) {
  test(`schemas: ${JSON.stringify(schema)} is ${code}`, () => {
    assert.throws(() => collectionSchema(schema, "s"), { name: "NacreError", code });
  });
}

// ---- Filters ----

const schema = collectionSchema({
  key: "integer", vector: { dimensions: 2 },
  fields: { title: "text", year: "integer", big: "bigint", score: "real", ok: "boolean", blob: "bytes", at: "timestamp", tags: "json" },
}, "s");

for (const { where, bytes } of [
  { where: {}, bytes: "01 01 00000000" },
  { where: { year: 1 }, bytes: "01 10 0100 01 0100000000000000" },
  { where: { year: null }, bytes: "01 10 0100 00" },
  { where: { score: { gt: 0.5, lte: 2 } }, bytes: "01 01 02000000 12 0300 02 000000000000e03f 15 0300 01 0200000000000000" },
  { where: { not: { ok: true } }, bytes: "01 03 10 0400 03 01" },
  { where: { or: [{ title: { startsWith: "N" } }, { tags: { contains: "w" } }] }, bytes: "01 02 02000000 1a 0000 04 01000000 4e 19 0700 07 03000000 227722" },
  { where: { title: { in: ["a", null] } }, bytes: "01 16 0000 02000000 04 01000000 61 00" },
  { where: { title: { exists: false } }, bytes: "01 18 0000 00" },
  { where: { key: { gte: 3 } }, bytes: "01 13 ffff 01 0300000000000000" },
  { where: { at: new Date(5), blob: Uint8Array.of(9) }, bytes: "01 01 02000000 10 0600 06 0500000000000000 10 0500 05 01000000 09" },
]) {
  test(`where: ${JSON.stringify(where)}`, () => {
    assert.equal(hex(encodeWhere(where, schema, "t")), bytes.replaceAll(" ", ""));
  });
}

for (const where of [
  null, [], "year", 1, { nope: 1 }, { year: { like: 1 } }, { year: {} }, { year: undefined }, { year: { gt: undefined } }, { year: "1" },
  { year: NaN }, { year: [1] }, { year: { gt: null } }, { year: { in: 1 } }, { year: { contains: 1 } }, { year: { startsWith: 1 } },
  { title: 1 }, { title: "\ud800" }, { title: { exists: 1 } }, { title: { exists: null } }, { title: { startsWith: null } },
  { and: {} }, { or: { year: 1 } }, { or: [1] }, { not: [] }, { and: [{ nope: 1 }] }, { key: null }, { key: "a" }, { key: { in: [null] } },
  { ok: 1 }, { blob: [1] }, { at: "2020" }, { at: new Date(NaN) }, { tags: { gt: 1 } }, { tags: { startsWith: "a" } }, { tags: { eq: NaN } },
  { tags: { contains: undefined } }, { big: 2n ** 64n }, { vector: [1, 2] }, { blob: { contains: Uint8Array.of(1) } }, new Map([["year", 1]]),
] as unknown[]) {
  test(`where: refuses ${where instanceof Map ? "a Map" : JSON.stringify(where, (_, value) => typeof value === "bigint" ? `${value}n` : value === undefined ? "undefined" : value)}`, () => {
    assert.throws(() => encodeWhere(where, schema, "t"), invalid);
  });
}

test("where: more levels than are allowed", () => {
  let where: object = { year: 1 };
  for (let i = 0; i < 65; i++) where = { not: where };
  assert.throws(() => encodeWhere(where, schema, "t"), invalid);
});
