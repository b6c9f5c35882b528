// What a search can be asked for, over all four faces: distances, time, many at once, and how it
// was done (F18, F23, F28).
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Collection, Database, Hit } from "../../build/js/index.js";
import { all as listed, faces, inMemory, random, refuses } from "./lib.ts";

const DIMENSIONS = 5;

/** Records in segments, in a memtable, replaced and deleted. */
async function filled(db: Database, metric: "l2" | "cosine" | "ip", rows = 400): Promise<Collection<{ n: number }>> {
  const next = random(7);
  const notes = await db.collection<{ n: number }>("notes", { vector: { dimensions: DIMENSIONS, metric }, fields: { n: "integer" } });
  const put = async (from: number, to: number): Promise<void> => {
    const keys = Array.from({ length: to - from }, (_, i) => `k${from + i}`);
    await notes.putMany({
      keys, vectors: Float32Array.from({ length: keys.length * DIMENSIONS }, () => Math.round(next() * 20) - 10 || 1),
      fields: { n: keys.map((_, i) => (from + i) % 10) },
    });
  };
  await put(0, rows / 2);
  await db.checkpoint();
  await put(rows / 4, rows);
  for (let i = 0; i < rows; i += 9) await notes.delete(`k${i}`);
  return notes;
}

const queryOf = (next: () => number): number[] => Array.from({ length: DIMENSIONS }, () => Math.round(next() * 20) - 10 || 1);
const distances = (hits: readonly Hit[]): number[] => hits.map((hit) => hit.distance);

for (const face of faces) {
  describe(`search, ${face.name}`, () => {
    for (const metric of ["l2", "cosine", "ip"] as const) {
      test(`F23 maxDistance leaves out what is farther, and nothing else: ${metric}`, () => inMemory(face, async (db) => {
        const notes = await filled(db, metric);
        const next = random(3);
        for (let i = 0; i < 20; i++) {
          const query = queryOf(next);
          const all = await notes.search(query, { k: 1000 });
          for (const index of [0, 5, 40, all.length - 1]) {
            const limit = all[index]!.distance;
            const want = all.filter((hit) => hit.distance <= limit);
            assert.deepEqual(await notes.search(query, { k: 1000, maxDistance: limit }), want);
            assert.deepEqual(await notes.search(query, { k: 7, maxDistance: limit }), want.slice(0, 7));
            // Between two numbers of 32 bits: the limit is what was given, not what it is rounded to.
            const below = limit - Math.abs(limit) * 1e-12 - 1e-300;
            assert.deepEqual(await notes.search(query, { k: 1000, maxDistance: below }), all.filter((hit) => hit.distance <= below));
          }
          assert.deepEqual(await notes.search(query, { k: 1000, maxDistance: Infinity }), all);
          assert.deepEqual(await notes.search(query, { maxDistance: -Infinity }), []);
          assert.deepEqual(await notes.search(query, { maxDistance: -1e300 }), []);
          const filtered = await notes.search(query, { k: 1000, where: { n: 3 } }), middle = distances(filtered)[9]!;
          assert.deepEqual(await notes.search(query, { k: 1000, where: { n: 3 }, maxDistance: middle }),
            filtered.filter((hit) => hit.distance <= middle));
        }
      }));
    }

    test("F23 recall, probes and timeoutMs: what can be asked for, and what is refused", () => inMemory(face, async (db) => {
      const notes = await filled(db, "l2");
      const query = [1, 2, 3, 4, 5], plain = await notes.search(query);
      for (const options of [{ recall: "exact" }, { recall: 1 }, { recall: 0.01 }, { probes: 1 }, { probes: 4, recall: 0.9 },
        { timeoutMs: 600_000 }, { timeoutMs: Infinity }, { signal: new AbortController().signal }] as const) {
        assert.deepEqual(await notes.search(query, options), plain);
      }
      for (const options of [{ recall: 0 }, { recall: 1.1 }, { recall: NaN }, { recall: "all" }, { probes: 0 }, { probes: 1.5 },
        { probes: -1 }, { probes: 2 ** 32 }, { probes: "1" }, { recall: "exact", probes: 3 }, { maxDistance: NaN },
        { maxDistance: "1" }, { maxDistance: null }, { timeoutMs: -1 }, { timeoutMs: NaN }, { signal: {} }, { nprobe: 3 }]) {
        for (const call of ["search", "explain"] as const) {
          await refuses("INVALID_ARGUMENT", () => notes[call](query, options as never), new RegExp(`notes: ${call}: `));
        }
        await refuses("INVALID_ARGUMENT", () => notes.searchMany([query], options as never), /notes: searchMany: /);
      }
    }));

    test("F23 a search whose time is over, or whose signal has fired, says so", () => inMemory(face, async (db) => {
      const notes = await filled(db, "l2");
      const query = [1, 2, 3, 4, 5], signal = AbortSignal.abort("enough");
      await refuses("TIMEOUT", () => notes.search(query, { timeoutMs: 0 }), /notes/);
      await refuses("TIMEOUT", () => notes.searchMany([query, query], { timeoutMs: 0 }), /notes/);
      for (const call of [() => notes.search(query, { signal }), () => notes.searchMany([query], { signal }), () => notes.explain(query, { signal })]) {
        await assert.rejects(async () => await call(), { code: "ABORTED", cause: "enough" });
      }
      assert.equal((await notes.search(query)).length, 10);
    }));

    test("F18 searchMany finds what single searches find", () => inMemory(face, async (db) => {
      const notes = await filled(db, "cosine");
      const next = random(5);
      const queries = Array.from({ length: 37 }, () => queryOf(next));
      for (const options of [undefined, { k: 3, include: [] }, { k: 500, include: ["vector"] }, { where: { n: { lt: 4 } } },
        { where: { n: 99 } }, { maxDistance: 0.2 }] as const) {
        const want = [];
        for (const query of queries) want.push(await notes.search(query, options));
        assert.deepEqual(await notes.searchMany(queries, options), want);
        assert.deepEqual(await notes.searchMany(Float32Array.from(queries.flat()), options), want);
        assert.deepEqual(await notes.searchMany(queries.map((query) => Float32Array.from(query)), options), want);
      }
      assert.deepEqual(await notes.searchMany([]), []);
      assert.deepEqual(await notes.searchMany(new Float32Array(0)), []);
      await refuses("INVALID_ARGUMENT", () => notes.searchMany(new Float32Array(DIMENSIONS + 1)), /6 numbers/);
      await refuses("INVALID_ARGUMENT", () => notes.searchMany([[1, 2, 3, 4, 5], [1, 2, 3, 4]]), /query 1/);
      await refuses("INVALID_ARGUMENT", () => notes.searchMany([[1, 2, 3, 4, 5], [0, 0, 0, 0, 0]]), /query 1/);
      await refuses("INVALID_ARGUMENT", () => notes.searchMany(Float32Array.of(1, 2, 3, 4, 5, 1, NaN, 3, 4, 5)), /query 1/);
      await refuses("INVALID_ARGUMENT", () => notes.searchMany("abc" as never));
    }));

    test("F18 so many queries that they go in pieces", () => inMemory(face, async (db) => {
      const wide = await db.collection("wide", { vector: { dimensions: 1024 } });
      for (let i = 0; i < 3; i++) await wide.put({ key: `k${i}`, vector: new Float32Array(1024).fill(i) });
      const queries = new Float32Array(2500 * 1024);
      for (let i = 0; i < 2500; i++) queries.fill(i % 3, i * 1024, (i + 1) * 1024);
      const found = await wide.searchMany(queries, { k: 1 });
      assert.deepEqual(found.map((hits) => hits[0]?.key), Array.from({ length: 2500 }, (_, i) => `k${i % 3}`));
    }));

    test("F28 explain tells how a search is done", () => inMemory(face, async (db) => {
      const notes = await filled(db, "l2");
      const { ms, ...rest } = await notes.explain([1, 2, 3, 4, 5]);
      assert.ok(ms >= 0);
      // 200 vectors in the segment, 300 in the memtable, but for 33 that a deletion has replaced there.
      assert.deepEqual(rest, { path: "exact", codesScored: 0, reranked: 467, segments: 1 });
      await db.compact();
      const after = await notes.explain([1, 2, 3, 4, 5], { where: { n: 3 }, k: 1, recall: "exact" });
      assert.equal(after.reranked, await notes.count());
      assert.equal(after.segments, 1);
      const empty = await db.collection("empty", { vector: { dimensions: 2 } });
      const nothing = await empty.explain([1, 2]);
      assert.deepEqual([nothing.reranked, nothing.segments], [0, 0]);
    }));

    test("F06 F12 codes and lists as the schema says, and the same answers but for the recall", () => inMemory(face, async (db) => {
      const dimensions = 32, count = 4500;
      let state = 7;
      const next = (): number => (state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff) / 0x40000000 - 1;
      const vectors = new Float32Array(count * dimensions).map(next);
      for (const [index, bits, path] of [["ivf", 2, "ivf"], ["flat", 1, "flat"]] as const) {
        const rows = await db.collection(index, { key: "integer", vector: { dimensions, metric: "l2", index, bits } });
        await rows.putMany({ keys: Array.from({ length: count }, (_, i) => i), vectors });
        await db.compact();
        assert.equal((await rows.explain(vectors.subarray(0, dimensions))).path, path);
        let found = 0, wanted = 0;
        for (let q = 0; q < 20; q++) {
          const query = new Float32Array(dimensions).map(next);
          const exact = await rows.search(query, { recall: "exact", include: [] });
          const hits = await rows.search(query, { recall: 0.99, include: [] });
          assert.equal(hits.length, 10);
          found += hits.filter(({ key }) => exact.some((each) => each.key === key)).length;
          wanted += exact.length;
        }
        assert.ok(found / wanted >= 0.97, `${index}: ${found / wanted}`);
      }
    }));

    test("F22 F30 indexed fields: the same answers, told by membranes, and a schema that differs is refused", () => inMemory(face, async (db) => {
      type Fields = { year: number | null; title: string };
      const indexed = { key: "integer", vector: { dimensions: 2 }, fields: { year: { type: "integer", indexed: true }, title: "text" } } as const;
      const plain = { ...indexed, fields: { year: { type: "integer" }, title: "text" } } as const;
      const [notes, others] = [await db.collection<Fields>("indexed", indexed), await db.collection<Fields>("plain", plain)];
      const next = random(5);
      for (let i = 0; i < 900; i++) {
        const note = { key: Math.floor(next() * 600), vector: [i, next()], year: i % 7 ? Math.floor(next() * 50) : null, title: `t${i % 3}` };
        await notes.put(note);
        await others.put(note);
        if (i % 300 === 299) await db.checkpoint();
      }
      for (const where of [{ year: 7 }, { year: { gte: 10, lt: 12 } }, { year: null }, { year: { in: [3, 9, 1000] }, title: "t1" }, { not: { year: { gt: 2 } } },
        { or: [{ year: 1 }, { year: { exists: false } }] }]) {
        const count = await others.count(where);
        assert.ok(count > 0);
        assert.equal(await notes.count(where), count);
        assert.deepEqual(await listed(notes.records({ where })), await listed(others.records({ where })));
        assert.deepEqual(await notes.search([400, 0], { where }), await others.search([400, 0], { where }));
      }
      assert.equal(await notes.deleteWhere({ year: 7 }), await others.deleteWhere({ year: 7 }));
      assert.equal(await notes.count({ year: 7 }), 0);
      const told = (await db.membranes()).find(({ name }) => name === "indexed")!;
      assert.deepEqual((told.schema as { fields: unknown }).fields, { year: { type: "integer", indexed: true }, title: "text" });
      assert.equal(await (await db.collection("indexed", told.schema as typeof indexed)).count(), await notes.count());
      await refuses("SCHEMA_MISMATCH", () => db.collection("indexed", plain), /year.*indexed/);
      await refuses("SCHEMA_MISMATCH", () => db.collection("plain", indexed), /year.*indexed/);
      const wrong = (field: unknown): Promise<unknown> => refuses("INVALID_ARGUMENT", () => db.collection("wrong", { vector: { dimensions: 2 }, fields: { f: field as "text" } }), /field f/);
      for (const field of [{}, { type: "integer", indexed: 1 }, { type: "json", indexed: true }, { type: "float" }, { type: "text", index: true }, null]) await wrong(field);
      const many = Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`f${i}`, { type: "real", indexed: true } as const]));
      await refuses("INVALID_ARGUMENT", () => db.collection("wrong", { vector: { dimensions: 2 }, fields: many }), /17 indexed/);
    }));

    test("F18 searches of a snapshot and of a transaction", () => inMemory(face, async (db) => {
      const notes = await filled(db, "l2");
      const queries = [[1, 2, 3, 4, 5], [-3, 1, 1, 9, 2]];
      const before = await notes.searchMany(queries);
      const snapshot = await db.snapshot();
      await notes.clear();
      const frozen = await snapshot.collection("notes");
      assert.deepEqual(await frozen.searchMany(queries), before);
      assert.deepEqual(await notes.searchMany(queries), [[], []]);
      await snapshot.release();
      await refuses("CLOSED", () => frozen.searchMany(queries));
    }));
  });
}
