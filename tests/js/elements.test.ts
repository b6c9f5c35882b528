// Vectors of f16, i8 and bits, over all four faces: what is given comes back, what cannot be is
// refused, and searches equal a scan in JavaScript (F03, F09, F10).
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Collection, Element, Key, Metric, VectorOut } from "../../build/js/index.js";
import { all, faces, freshName, inMemory, random, refuses } from "./lib.ts";

type Any = Collection<{ n: number }, Key, VectorOut>;
const DIMENSIONS = 19, BYTES = 3;

/** The binary16 nearest to a number, the even one of two, by trying both neighbours. */
function rounded(value: number): number {
  const size = Math.abs(value), step = 2 ** Math.max(Math.floor(Math.log2(size || 1)) - 10, -24);
  const low = Math.floor(size / step), rest = size / step - low;
  const up = rest > 0.5 || (rest === 0.5 && low % 2 === 1);
  return Math.sign(value) * (low + (up ? 1 : 0)) * step;
}

function vectorOf(element: Element, next: () => number): VectorOut {
  switch (element) {
    case "f32": return Float32Array.from({ length: DIMENSIONS }, () => next() * 8 - 4);
    case "f16": return Float32Array.from({ length: DIMENSIONS }, () => rounded((next() - 0.5) * 10 ** Math.floor(next() * 9 - 5)) || 1);
    case "i8": return Int8Array.from({ length: DIMENSIONS }, () => Math.floor(next() * 256) - 128);
    case "bit": return Uint8Array.from({ length: BYTES }, (_, i) => Math.floor(next() * (i === 2 ? 8 : 256)));
  }
}

function distance(metric: Metric, a: VectorOut, b: VectorOut): number {
  let square = 0, dot = 0, left = 0, right = 0, bits = 0;
  for (let i = 0; i < a.length; i++) {
    const x = a[i] as number, y = b[i] as number;
    square += (x - y) ** 2; dot += x * y; left += x * x; right += y * y;
    for (let rest = (x ^ y) & 255; rest !== 0; rest &= rest - 1) bits++;
  }
  return { l2: Math.sqrt(square), cosine: 1 - dot / Math.sqrt(left * right), ip: -dot, hamming: bits }[metric];
}

const close = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-5 * (1 + Math.abs(b));

for (const face of faces) {
  describe(`elements, ${face.name}`, () => {
    for (const [element, metric] of [["f16", "l2"], ["f16", "cosine"], ["f16", "ip"], ["i8", "l2"], ["i8", "cosine"], ["i8", "ip"], ["bit", "hamming"]] as const) {
      test(`F09 F10 ${element} under ${metric}: kept, found, updated`, () => inMemory(face, async (db) => {
        const next = random(17);
        const notes: Any = await db.collection<{ n: number }, Key, VectorOut>("notes", { vector: { dimensions: DIMENSIONS, element, metric }, fields: { n: "integer" } });
        const rows = new Map<string, VectorOut>();
        for (let i = 0; i < 40; i++) rows.set(`k${i}`, vectorOf(element, next));
        await notes.put([...rows].map(([key, vector]) => ({ key, vector, n: 1 })));
        await db.checkpoint();
        const length = element === "bit" ? BYTES : DIMENSIONS, keys: string[] = [];
        const column = new (element === "f16" ? Float32Array : element === "i8" ? Int8Array : Uint8Array)(60 * length);
        for (let i = 0; i < 60; i++) {
          const vector = vectorOf(element, next);
          keys.push(`k${20 + i}`);
          rows.set(`k${20 + i}`, vector);
          column.set(vector, i * length);
        }
        await notes.putMany({ keys, vectors: column, fields: { n: keys.map(() => 2) } });
        assert.equal(await notes.update("k3", { n: 5 }), true);
        const changed = vectorOf(element, next);
        assert.equal(await notes.update("k4", { vector: changed }), true);
        rows.set("k4", changed);
        for (const round of [0, 1]) {
          if (round === 1) await db.compact();
          for (const [key, vector] of rows) assert.deepEqual((await notes.get(key))?.vector, vector);
          assert.equal((await notes.get("k3"))?.n, 5);
          for (const record of await all(notes.records({ include: ["vector"] }))) assert.deepEqual(record.vector, rows.get(record.key as string));
          const queries = [changed, ...Array.from({ length: 8 }, () => vectorOf(element, next))];
          const many = await notes.searchMany(queries, { k: 7, include: ["vector"] });
          for (const [i, query] of queries.entries()) {
            const hits = await notes.search(query, { k: 7, include: ["vector"] });
            assert.deepEqual(many[i], hits);
            const want = [...rows.values()].map((vector) => distance(metric, query, vector)).sort((a, b) => a - b);
            hits.forEach((hit, at) => {
              assert.deepEqual(hit.vector, rows.get(hit.key as string));
              assert.ok(close(hit.distance, want[at] as number), `${hit.distance} is not ${want[at]}`);
            });
          }
          assert.equal((await notes.search(changed, { k: 1 }))[0]?.key, metric === "ip" ? (await notes.search(changed, { k: 1 }))[0]?.key : "k4");
        }
      }));
    }

    test("F10 numbers become the nearest binary16, the even one of two", () => inMemory(face, async (db) => {
      const next = random(4);
      const notes = await db.collection("notes", { vector: { dimensions: 1, element: "f16" } });
      const numbers = [0, 1 / 3, 65504, 65519.99, 2 ** -24, 2 ** -25, 2 ** -25 * (1 + 2 ** -40), 3 * 2 ** -25, 2 ** -14 - 2 ** -25, 1e-300,
        1 + 2 ** -11, 1 + 3 * 2 ** -11, 1 + 2 ** -11 + 2 ** -40, 1 + 3 * 2 ** -11 - 2 ** -45, 2049, 2051, -2049.0000001];
      for (let i = 0; i < 2000; i++) numbers.push((next() - 0.5) * 2 ** (Math.floor(next() * 44) - 28));
      for (const number of numbers) {
        await notes.put({ key: "a", vector: [number] });
        assert.deepEqual((await notes.get("a"))?.vector, Float32Array.of(rounded(number)), String(number));
      }
      await notes.put({ key: "a", vector: [-0] });
      assert.ok(Object.is((await notes.get("a"))?.vector[0], -0));
    }));

    test("F09 what an element cannot be is refused, and nothing is kept", () => inMemory(face, async (db) => {
      const wrong: [Element, Metric, unknown][] = [
        ["f16", "l2", [65520, 0, 0]], ["f16", "l2", [0, NaN, 0]], ["f16", "l2", [0, 0, -Infinity]], ["f16", "cosine", [2 ** -25, 0, 0]],
        ["f16", "l2", [1, 2]], ["f16", "l2", Int8Array.of(1, 2, 3)], ["i8", "l2", [0, 0.5, 0]], ["i8", "l2", [128, 0, 0]],
        ["i8", "l2", Float32Array.of(0, -129, 0)], ["i8", "l2", Uint8Array.of(1, 2, 3)], ["i8", "cosine", [0, -0, 0]], ["i8", "l2", [1, "2", 3]],
        ["bit", "hamming", [1, 0, 1]], ["bit", "hamming", Float32Array.of(1, 0, 1)], ["bit", "hamming", Uint8Array.of(8)],
        ["bit", "hamming", Uint8Array.of(1, 0)], ["bit", "hamming", new Uint8Array(0)], ["bit", "hamming", Int8Array.of(1)],
      ];
      for (const [element, metric, vector] of wrong) {
        const notes = await db.collection(`${element}-${metric}`, { vector: { dimensions: 3, element, metric } });
        await refuses("INVALID_ARGUMENT", () => notes.put({ key: "a", vector: vector as never }));
        await refuses("INVALID_ARGUMENT", () => notes.search(vector as never));
        await refuses("INVALID_ARGUMENT", () => notes.searchMany([vector as never]), /query 0/);
        await refuses("INVALID_ARGUMENT", () => notes.update("a", { vector: vector as never }));
        if (ArrayBuffer.isView(vector)) await refuses("INVALID_ARGUMENT", () => notes.putMany({ keys: ["a"], vectors: vector as never }));
        assert.equal(await notes.count(), 0);
      }
      for (const [element, metric] of [["bit", "l2"], ["bit", "cosine"], ["f32", "hamming"], ["i8", "hamming"], ["f64", "l2"]] as const) {
        await refuses("INVALID_ARGUMENT", () => db.collection("new", { vector: { dimensions: 3, element, metric } as never }));
      }
    }));
  });
}

test("F10 elements are in the file, in changes and in backups", async () => {
  const name = freshName(), face = faces[0]!;
  const db = await face.open(name);
  const bits = await db.collection<{}, Key, Uint8Array>("bits", { vector: { dimensions: 12, element: "bit" } });
  const halves = await db.collection("halves", { vector: { dimensions: 2, element: "f16", metric: "cosine" } });
  await bits.put({ key: "a", vector: Uint8Array.of(255, 15) });
  await halves.put({ key: "b", vector: [1 / 3, 2] });
  const half = Float32Array.of(rounded(1 / 3), 2), seen = [];
  for await (const change of db.changes({ since: 0n })) if (change.type === "put") seen.push(change.record?.vector);
  assert.deepEqual(seen, [Uint8Array.of(255, 15), half]);
  await db.close();
  const again = await face.open(name);
  assert.deepEqual((await again.membranes()).map(({ schema }) => (schema as { vector: unknown }).vector), [
    { dimensions: 12, metric: "hamming", element: "bit", index: "auto", bits: 1 },
    { dimensions: 2, metric: "cosine", element: "f16", index: "auto", bits: 1 },
  ]);
  await refuses("SCHEMA_MISMATCH", () => again.collection("halves", { vector: { dimensions: 2, metric: "cosine" } }), /element: stored f16, given f32/);
  assert.deepEqual(await (await again.collection("bits")).search(Uint8Array.of(0, 15), { include: ["vector"] }),
    [{ key: "a", distance: 8, vector: Uint8Array.of(255, 15) }]);
  assert.deepEqual(await (await again.collection("halves")).get("b"), { key: "b", vector: half });
  await again.close();
});
