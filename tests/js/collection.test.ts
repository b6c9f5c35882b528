// Vector collections, over all four faces: records, filters against an evaluator in
// JavaScript, search against a scan in JavaScript.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Collection, Where } from "../../build/js/index.js";
import { all, faces, inMemory, pick, random, refuses } from "./lib.ts";

const fields = {
  title: "text", year: "integer", big: "bigint", score: "real", ok: "boolean", blob: "bytes", at: "timestamp", tags: "json",
} as const;
type Fields = { title: string; year: number; big: bigint; score: number; ok: boolean; blob: Uint8Array; at: Date; tags: unknown };
type Row = { key: string; vector: Float32Array } & { [Name in keyof Fields]: Fields[Name] | null };

function randomRow(next: () => number, i: number): Row {
  const maybe = <T>(value: T): T | null => next() < 0.2 ? null : value;
  return {
    key: `r${String(i).padStart(4, "0")}`,
    vector: Float32Array.from({ length: 8 }, () => Math.floor(next() * 9) - 4 + (next() < 0.5 ? 0 : next())),
    title: maybe(pick(next, ["", "Nacre", "shell", "é😀", "Na"])),
    year: maybe(2000 + Math.floor(next() * 20)),
    big: maybe(BigInt(Math.floor(next() * 5)) * 2n ** 60n),
    score: maybe(pick(next, [-1.5, 0, 0.25, 1e300])),
    ok: maybe(next() < 0.5),
    blob: maybe(pick(next, [new Uint8Array(0), Uint8Array.of(0), Uint8Array.of(1, 2)])),
    at: maybe(new Date(Math.floor(next() * 4) * 86_400_000)),
    tags: maybe(pick<unknown>(next, [[], ["wasm"], ["wasm", 1], { a: 1, b: [2] }, "wasm", 7])),
  };
}

// ---- Where, as API.md says it ----

const same = (a: unknown, b: unknown): boolean => {
  try {
    assert.deepStrictEqual(a, b);
    return true;
  } catch {
    return false;
  }
};
function compare(a: unknown, b: unknown): number {
  if (typeof a === "string") return Buffer.compare(Buffer.from(a), Buffer.from(b as string));
  if (a instanceof Uint8Array) return Buffer.compare(a, b as Uint8Array);
  return (a as number) < (b as number) ? -1 : (a as number) > (b as number) ? 1 : 0;
}
function testOne(value: unknown, operator: string, operand: unknown): boolean {
  if (operator === "exists") return (value !== null) === operand;
  if (operator === "eq") return operand === null ? value === null : value !== null && same(value, operand);
  if (operator === "in") return (operand as unknown[]).some((item) => testOne(value, "eq", item));
  if (value === null) return false;
  switch (operator) {
    case "ne": return operand === null || !same(value, operand);
    case "nin": return !(operand as unknown[]).some((item) => item !== null && same(value, item));
    case "gt": return compare(value, operand) > 0;
    case "gte": return compare(value, operand) >= 0;
    case "lt": return compare(value, operand) < 0;
    case "lte": return compare(value, operand) <= 0;
    case "contains": return typeof operand === "string" && typeof value === "string" && !tagsOf.has(value) ? value.includes(operand)
      : Array.isArray(value) && value.some((item) => same(item, operand));
    case "startsWith": return value instanceof Uint8Array ? Buffer.from(value).subarray(0, (operand as Uint8Array).length).equals(operand as Uint8Array)
      : (value as string).startsWith(operand as string);
    default: throw new Error(operator);
  }
}
const tagsOf = new Set<string>();
function matches(row: Record<string, unknown>, where: Record<string, unknown>): boolean {
  return Object.entries(where).every(([name, value]) => {
    if (name === "and") return (value as Record<string, unknown>[]).every((each) => matches(row, each));
    if (name === "or") return (value as Record<string, unknown>[]).some((each) => matches(row, each));
    if (name === "not") return !matches(row, value as Record<string, unknown>);
    const operators = typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype
      ? Object.entries(value) : [["eq", value] as const];
    return operators.every(([operator, operand]) => {
      if (name === "tags" && operator === "contains") return Array.isArray(row.tags) && row.tags.some((item) => same(item, operand));
      return testOne(row[name], operator, operand);
    });
  });
}

function randomWhere(next: () => number, rows: readonly Row[], depth: number): Record<string, unknown> {
  const roll = next();
  if (depth > 0 && roll < 0.15) return { and: [randomWhere(next, rows, depth - 1), randomWhere(next, rows, depth - 1)] };
  if (depth > 0 && roll < 0.3) return { or: [randomWhere(next, rows, depth - 1), randomWhere(next, rows, depth - 1)] };
  if (depth > 0 && roll < 0.4) return { not: randomWhere(next, rows, depth - 1) };
  const name = pick(next, ["key", ...Object.keys(fields)]) as keyof Row;
  const operand = (): unknown => {
    for (;;) {
      const value = pick(next, rows)[name];
      if (value !== null) return value;
    }
  };
  const json = name === "tags";
  const operator = pick(next, ["eq", "ne", "in", "nin", "exists", ...(json ? ["contains"] : ["gt", "gte", "lt", "lte"]),
    ...(name === "title" || name === "key" ? ["contains", "startsWith"] : []), ...(name === "blob" ? ["startsWith"] : [])]);
  if (operator === "exists") return { [name]: { exists: next() < 0.5 } };
  if (operator === "in" || operator === "nin") {
    return { [name]: { [operator]: [operand(), operand(), ...(next() < 0.3 && name !== "key" ? [null] : [])] } };
  }
  if (operator === "contains" && json) return { tags: { contains: pick<unknown>(next, ["wasm", 1, "x"]) } };
  if (operator === "contains" || operator === "startsWith") {
    const value = operand();
    return { [name]: { [operator]: typeof value === "string" ? [...value].slice(0, 2).join("") : (value as Uint8Array).slice(0, 1) } };
  }
  if (operator === "eq" && next() < 0.3 && name !== "key") return { [name]: null };
  return { [name]: { [operator]: operand() } };
}

// ---- Distances ----

function distance(metric: string, a: Float32Array, b: Float32Array): number {
  let dot = 0, aa = 0, bb = 0, l2 = 0;
  for (let i = 0; i < a.length; i++) {
    const x = a[i] as number, y = b[i] as number;
    dot += x * y, aa += x * x, bb += y * y, l2 += (x - y) ** 2;
  }
  return metric === "l2" ? Math.sqrt(l2) : metric === "ip" ? -dot : 1 - dot / Math.sqrt(aa * bb);
}

for (const face of faces) {
  describe(`collection, ${face.name}`, () => {
    test("records come back as they were put; absent fields are null", () => inMemory(face, async (db) => {
      const notes = await db.collection<Fields>("n", { vector: { dimensions: 3 }, fields });
      const vector = Float32Array.of(1.1, -0, 3e-40);
      await notes.put({ key: "a", vector, title: "T", year: -5, big: 2n ** 62n, score: -0, ok: false, blob: Uint8Array.of(0), at: new Date(-1), tags: { a: [1] } });
      await notes.put({ key: "b", vector: [1, 2, 3], title: null, year: undefined });
      assert.deepStrictEqual(await notes.get("a"), {
        key: "a", vector, title: "T", year: -5, big: 2n ** 62n, score: -0, ok: false, blob: Uint8Array.of(0), at: new Date(-1), tags: { a: [1] },
      });
      assert.deepStrictEqual(await notes.get("b"), {
        key: "b", vector: Float32Array.of(1, 2, 3), title: null, year: null, big: null, score: null, ok: null, blob: null, at: null, tags: null,
      });
      assert.equal(await notes.get("c"), undefined);
      assert.equal(await notes.has("a"), true);
      assert.deepEqual((await notes.getMany(["c", "b"])).map((record) => record?.key), [undefined, "b"]);
      await notes.put({ key: "a", vector: [0, 0, 0] });
      assert.equal((await notes.get("a"))?.title, null);
      assert.equal(await notes.delete("a"), true);
      assert.equal(await notes.delete("a"), false);
      assert.equal(await notes.count(), 1);
      assert.equal(await notes.clear(), 1);
    }));

    test("integers beyond 2^53 come back as bigint", () => inMemory(face, async (db) => {
      const notes = await db.collection("n", { vector: { dimensions: 1 }, fields: { n: "integer" } });
      await notes.put([{ key: "a", vector: [1], n: 2n ** 60n }, { key: "b", vector: [1], n: 7n }]);
      assert.deepEqual((await notes.getMany(["a", "b"])).map((record) => record?.n), [2n ** 60n, 7]);
    }));

    test("update changes only what is named", () => inMemory(face, async (db) => {
      const notes = await db.collection<Fields>("n", { vector: { dimensions: 2 }, fields });
      await notes.put({ key: "a", vector: [1, 2], title: "T", year: 1, tags: ["x"], blob: Uint8Array.of(1, 2) });
      const before = await notes.get("a");
      assert.equal(await notes.update("a", { year: 2 }), true);
      assert.deepEqual(await notes.get("a"), { ...before, year: 2 });
      assert.equal(await notes.update("a", { vector: [3, 4], title: null, ok: true, year: undefined }), true);
      assert.deepEqual(await notes.get("a"), { ...before, year: 2, vector: Float32Array.of(3, 4), title: null, ok: true });
      assert.equal(await notes.update("a", {}), true);
      assert.equal(await notes.update("zz", { year: 2 }), false);
      await refuses("INVALID_ARGUMENT", () => notes.update("a", { nope: 1 } as never), /nope/);
      await refuses("INVALID_ARGUMENT", () => notes.update("a", { key: "b" } as never), /key/);
      await refuses("INVALID_ARGUMENT", () => notes.update("a", { vector: [1] }), /dimensions/);
    }));

    test("putMany takes columns", () => inMemory(face, async (db) => {
      const notes = await db.collection<{ title: string; year: number }>("n", { vector: { dimensions: 2 }, fields: { title: "text", year: "integer" } });
      await notes.putMany({ keys: ["a", "b"], vectors: Float32Array.of(1, 2, 3, 4), fields: { year: Int32Array.of(5, 6), title: ["x", null] } });
      await notes.putMany({ keys: ["c"], vectors: Float32Array.of(5, 6) });
      assert.deepEqual(await all(notes.records({ include: ["vector", "title", "year"] })), [
        { key: "a", vector: Float32Array.of(1, 2), title: "x", year: 5 },
        { key: "b", vector: Float32Array.of(3, 4), title: null, year: 6 },
        { key: "c", vector: Float32Array.of(5, 6), title: null, year: null },
      ]);
      for (const columns of [
        { keys: ["d"], vectors: Float32Array.of(1) }, { keys: ["d"], vectors: [1, 2] }, { keys: ["d"], vectors: Float32Array.of(1, 2), fields: { nope: [1] } },
        { keys: ["d"], vectors: Float32Array.of(1, 2), fields: { year: [1, 2] } }, { keys: ["d"], vectors: Float32Array.of(1, NaN) },
        { keys: [1], vectors: Float32Array.of(1, 2) }, { keys: ["d", "e"], vectors: Float32Array.of(1, 2, 3, 4), fields: { year: [1, "x"] } },
        [{ key: "d", vector: [1, 2] }], {}, { keys: ["d"], vectors: Float32Array.of(1, 2), more: 1 },
      ]) await refuses("INVALID_ARGUMENT", () => notes.putMany(columns as never));
      assert.equal(await notes.count(), 3);
    }));

    test("filters are what an evaluator in JavaScript says", () => inMemory(face, async (db) => {
      const next = random(4);
      const notes = await db.collection<Fields>("n", { vector: { dimensions: 8 }, fields });
      const rows = Array.from({ length: 150 }, (_, i) => randomRow(next, i));
      await notes.put(rows.slice(0, 100));
      await db.checkpoint();
      await notes.put(rows.slice(100));
      for (let i = 0; i < 400; i++) {
        const where = randomWhere(next, rows, 3);
        const want = rows.filter((row) => matches(row, where)).map((row) => row.key);
        const text = JSON.stringify(where, (_, value) => typeof value === "bigint" ? `${value}n` : value);
        assert.deepEqual((await all(notes.records({ where: where as Where<Fields>, include: [] }))).map((row) => row.key), want, text);
        assert.equal(await notes.count(where as Where<Fields>), want.length, text);
      }
      const where = { year: { lt: 2010 } };
      const gone = rows.filter((row) => matches(row, where)).length;
      assert.equal(await notes.deleteWhere(where), gone);
      assert.equal(await notes.count(), rows.length - gone);
      assert.equal(await notes.count(where), 0);
    }));

    for (const metric of ["l2", "cosine", "ip"] as const) {
      test(`search finds what a scan finds: ${metric}`, () => inMemory(face, async (db) => {
        const next = random(5);
        const notes = await db.collection<Fields>("n", { vector: { dimensions: 8, metric }, fields });
        const rows = Array.from({ length: 400 }, (_, i) => randomRow(next, i)).filter((row) => row.vector.some((x) => x !== 0));
        rows.slice(0, 20).forEach((row, i) => row.vector.set(rows[i + 20]?.vector as Float32Array)); // ties
        await notes.put(rows.slice(0, 300));
        await db.checkpoint();
        await notes.put(rows.slice(300));
        await notes.delete(rows[7]?.key as string);
        const live = rows.filter((_, i) => i !== 7);
        for (let i = 0; i < 60; i++) {
          const query = i % 3 === 0 ? (pick(next, live).vector) : randomRow(next, 0).vector;
          if (!query.some((x) => x !== 0)) continue;
          const where = i % 2 === 0 ? undefined : randomWhere(next, rows, 2);
          const k = 1 + Math.floor(next() * 30);
          const found = await notes.search(query, { k, where: where as Where<Fields> | undefined, recall: pick(next, [0.5, 1, "exact", undefined] as const), include: ["vector", "year"] });
          const want = live.filter((row) => where === undefined || matches(row, where)).map((row) => ({ row, d: distance(metric, query, row.vector) }))
            .sort((a, b) => a.d - b.d || (a.row.key < b.row.key ? -1 : 1));
          assert.equal(found.length, Math.min(k, want.length));
          found.forEach((hit, at) => {
            const d = want[at]?.d as number;
            assert.ok(Math.abs(hit.distance - d) <= 1e-5 * Math.max(1, Math.abs(d)), `${metric} ${at}: ${hit.distance} for ${d}`);
            const row = live.find((each) => each.key === hit.key) as Row;
            assert.deepEqual(hit, { key: row.key, distance: hit.distance, vector: row.vector, year: row.year });
            const before = found[at - 1];
            if (before !== undefined) assert.ok(before.distance < hit.distance || (before.distance === hit.distance && before.key < hit.key));
          });
        }
      }));
    }

    test("include says what comes back", () => inMemory(face, async (db) => {
      const notes = await db.collection<{ title: string; year: number }>("n", { vector: { dimensions: 2 }, fields: { title: "text", year: "integer" } });
      await notes.put({ key: "a", vector: [1, 0], title: "T", year: 5 });
      const [hit] = await notes.search([1, 0]);
      assert.deepEqual(hit, { key: "a", distance: 0, title: "T", year: 5 });
      assert.deepEqual(await notes.search([1, 0], { include: [] }), [{ key: "a", distance: 0 }]);
      assert.deepEqual(await notes.search([1, 0], { include: ["vector"] }), [{ key: "a", distance: 0, vector: Float32Array.of(1, 0) }]);
      assert.deepEqual(await all(notes.records()), [{ key: "a", title: "T", year: 5 }]);
      assert.deepEqual(await all(notes.records({ include: [] })), [{ key: "a" }]);
      assert.deepEqual(await all(notes.records({ include: ["vector", "year"], limit: 1, reverse: true })), [{ key: "a", vector: Float32Array.of(1, 0), year: 5 }]);
      assert.deepEqual(await all(notes.records({ limit: 0 })), []);
    }));

    test("a collection of a composite key, and without fields", () => inMemory(face, async (db) => {
      const notes = await db.collection("n", { key: ["text", "integer"], vector: { dimensions: 2 } });
      await notes.put([{ key: ["b", 1], vector: [1, 0] }, { key: ["a", 2], vector: [1, 0] }]);
      assert.deepEqual(await notes.search([1, 0]), [{ key: ["a", 2], distance: 0 }, { key: ["b", 1], distance: 0 }]);
      assert.deepEqual(await notes.search([1, 0], { where: { key: { gt: ["a", 2] } } }), [{ key: ["b", 1], distance: 0 }]);
      assert.deepEqual(await notes.get(["b", 1]), { key: ["b", 1], vector: Float32Array.of(1, 0) });
    }));

    test("input is copied at the call", () => inMemory(face, async (db) => {
      const notes: Collection = await db.collection("n", { vector: { dimensions: 2 } });
      const vector = Float32Array.of(1, 2);
      const done = notes.put({ key: "a", vector });
      vector.fill(9);
      await done;
      const record = await notes.get("a");
      assert.deepEqual(record?.vector, Float32Array.of(1, 2));
      record?.vector.fill(3);
      assert.deepEqual((await notes.get("a"))?.vector, Float32Array.of(1, 2));
    }));
  });
}
