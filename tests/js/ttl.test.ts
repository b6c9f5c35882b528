// Rows that expire (C33), and how rows are kept (C19, C35), over all four faces. The clock is
// Date.now, which stands still here until it is set.
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { all, faces, freshName, inMemory, refuses } from "./lib.ts";

const real = Date.now;
let now = 0;
const later = (ms: number): void => void (now += ms);

describe("rows that expire", () => {
  beforeEach(() => {
    now = 1_800_000_000_000;
    Date.now = () => now;
  });
  afterEach(() => {
    Date.now = real;
  });

  for (const face of faces) {
    describe(face.name, () => {
      test("c33 no read of a key-value membrane finds what is over", () => inMemory(face, async (db) => {
        const kv = await db.kv("sessions", { ttlMs: 1000 });
        await kv.put("a", 1);
        await kv.put("b", 2, { ttlMs: 5000 });
        await kv.put("c", 3, { ttlMs: Infinity });
        await kv.putMany([["d", 4], ["e", 5]], { ttlMs: 2000 });
        const snapshot = await db.snapshot();
        const then = await snapshot.kv("sessions");
        for (const [wait, left] of [[0, "abcde"], [999, "abcde"], [1, "bcde"], [999, "bcde"], [1, "bc"], [2999, "bc"], [1, "c"]] as const) {
          later(wait);
          if (wait === 2999) await db.checkpoint();
          for (const reader of [kv, then]) {
            assert.deepEqual(await all(reader.keys()), [...left]);
            assert.deepEqual(await all(reader.keys({ reverse: true })), [...left].reverse());
            assert.equal((await all(reader.entries())).length, left.length);
            assert.equal(await reader.count(), left.length);
            assert.deepEqual(await reader.getMany([..."abcde"]), [..."abcde"].map((key, i) => left.includes(key) ? i + 1 : undefined));
            for (const key of "abcde") {
              assert.equal(await reader.get(key) !== undefined, left.includes(key));
              assert.equal(await reader.has(key), left.includes(key));
            }
          }
        }
        assert.equal(await kv.delete("a"), false);
        assert.equal(await kv.delete("c"), true);
        assert.equal(await kv.clear(), 0);
        await snapshot.release();
      }));

      test("c33 rows of a bulk load live as long as the schema or the load says", () => inMemory(face, async (db) => {
        const kv = await db.kv<number>("kv", { ttlMs: 100 });
        const notes = await db.collection("notes", { vector: { dimensions: 1 } });
        await kv.bulkLoad([["a", 1], ["b", 2]]);
        await kv.bulkLoad([["b", 3], ["c", 4]], { ttlMs: 200 });
        await kv.bulkLoad([["d", 5]], { ttlMs: Infinity });
        await notes.bulkLoad([{ key: "m", vector: [1] }]);
        await notes.bulkLoad([{ key: "n", vector: [1] }], { ttlMs: 200 });
        for (const [wait, left] of [[99, "abcdmn"], [1, "bcdmn"], [100, "dm"]] as const) {
          later(wait);
          assert.deepEqual([...await all(kv.keys()), ...(await all(notes.records())).map(({ key }) => key)], [...left]);
        }
      }));

      test("c33 a put says the time anew; one without takes it away", () => inMemory(face, async (db) => {
        const kv = await db.kv("kv");
        await kv.put("a", 1, { ttlMs: 10 });
        await kv.put("a", 2);
        await kv.put("b", 1);
        await kv.put("b", 2, { ttlMs: 10 });
        later(10);
        assert.deepEqual(await all(kv.entries()), [["a", 2]]);
      }));

      test("c33 records of a collection, by all its writes; an update keeps the time unless one is given", () => inMemory(face, async (db) => {
        const notes = await db.collection("notes", { vector: { dimensions: 2 }, fields: { n: "integer" }, ttlMs: 1000 });
        await notes.put({ key: "a", vector: [1, 0], n: 1 });
        await notes.put([{ key: "b", vector: [2, 0], n: 1 }, { key: "c", vector: [3, 0], n: 1 }], { ttlMs: 3000 });
        await notes.putMany({ keys: ["d", "e"], vectors: Float32Array.of(4, 0, 5, 0), fields: { n: [1, 1] } }, { ttlMs: Infinity });
        later(500);
        assert.equal(await notes.update("a", { n: 2 }), true);
        assert.equal(await notes.update("b", { n: 2 }, { ttlMs: 1000 }), true);
        assert.equal(await notes.update("e", { n: 2 }), true);
        later(499);
        assert.deepEqual((await notes.get("a"))?.n, 2);
        for (const [wait, left] of [[1, "bcde"], [499, "bcde"], [1, "cde"], [1499, "cde"], [1, "de"]] as const) {
          later(wait);
          assert.deepEqual((await all(notes.records())).map((record) => record.key), [...left]);
          assert.deepEqual((await notes.search([0, 0], { k: 10 })).map((hit) => hit.key), [...left]);
          assert.deepEqual((await notes.search([0, 0], { k: 10, where: { n: 2 } })).map((hit) => hit.key), [...left].filter((key) => "abe".includes(key)));
          assert.equal(await notes.count({}), left.length);
          assert.equal(await notes.count({ n: 1 }), [...left].filter((key) => "cd".includes(key)).length);
          assert.equal(await notes.update("a", { n: 9 }), false);
        }
        assert.equal(await notes.deleteWhere({ n: { gte: 0 } }), 2);
      }));

      test("c33 batches and transactions; the time is that of the commit, and is kept in the file", async () => {
        const name = freshName();
        let db = await face.open(name);
        const kv = await db.kv<number>("kv", { ttlMs: 100 });
        const notes = await db.collection("notes", { vector: { dimensions: 1 } });
        const batch = db.batch().put(kv, "a", 1).put(kv, "b", 2, { ttlMs: 300 }).put(notes, { key: "n", vector: [1] }, { ttlMs: 200 });
        batch.put("kv", "c", 3, { ttlMs: Infinity });
        later(50);
        await batch.commit();
        later(99);
        assert.deepEqual(await all(kv.keys()), ["a", "b", "c"]);
        await db.close();
        db = await face.open(name);
        later(1);
        assert.deepEqual((await db.membranes()).map((each) => [each.name, each.rows, each.schema.ttlMs]), [["kv", 2, 100], ["notes", 1, undefined]]);
        later(99);
        assert.equal(await (await db.collection("notes")).has("n"), true);
        later(1);
        assert.equal(await (await db.collection("notes")).has("n"), false);
        later(100);
        assert.deepEqual(await all((await db.kv("kv")).keys()), ["c"]);
        assert.equal((await db.compact()).rows, 1);
        await db.close();
      });

      test("c33 what is no time is refused, and nothing written", () => inMemory(face, async (db) => {
        const kv = await db.kv("kv"), notes = await db.collection("notes", { vector: { dimensions: 1 } });
        for (const ttlMs of [0, -1, 1.5, NaN, "1", 8.65e15, null, 1n]) {
          await refuses("INVALID_ARGUMENT", () => kv.put("a", 1, { ttlMs } as never), /ttlMs/);
          await refuses("INVALID_ARGUMENT", () => kv.putMany([["a", 1]], { ttlMs } as never), /ttlMs/);
          await refuses("INVALID_ARGUMENT", () => notes.put({ key: "a", vector: [1] }, { ttlMs } as never), /ttlMs/);
          await refuses("INVALID_ARGUMENT", () => notes.update("a", {}, { ttlMs } as never), /ttlMs/);
          await refuses("INVALID_ARGUMENT", () => db.kv("other", { ttlMs } as never), /ttlMs/);
        }
        await refuses("INVALID_ARGUMENT", () => kv.put("a", 1, { ttl: 5 } as never), /unknown option "ttl"/);
        assert.equal(await kv.count(), 0);
      }));
    });
  }
});

for (const face of faces) {
  test(`c19, c35 block sizes and compression, ${face.name}`, async () => {
    const name = freshName();
    let db = await face.open(name);
    const text = "What is said again and again takes little room. ".repeat(20);
    const rows = Array.from({ length: 3000 }, (_, i) => [i, `${text}${i}`] as const);
    const bytes: Record<string, number> = {};
    for (const [what, schema] of Object.entries({
      plain: {}, large: { blockSize: 65536 }, packed: { compression: "lz4" }, both: { compression: "lz4", blockSize: 4096 },
    } as const)) {
      const kv = await db.kv<string, number>(what, { key: "integer", value: "text", ...schema });
      await kv.putMany(rows);
    }
    await db.compact();
    for (const { name: what, bytes: size, schema } of await db.membranes()) {
      bytes[what] = size;
      const kv = await db.kv<string, number>(what, schema as never); // the schema that is told opens it
      assert.deepEqual(await all(kv.entries()), rows.map(([key, value]) => [key, value]));
      assert.equal(await kv.get(1234), rows[1234]![1]);
    }
    assert.ok(bytes["packed"]! < bytes["plain"]! / 2, JSON.stringify(bytes));
    await refuses("SCHEMA_MISMATCH", () => db.kv("packed", { key: "integer", value: "text" }), /compression: stored lz4, given none/);
    await refuses("SCHEMA_MISMATCH", () => db.kv("large", { key: "integer", value: "text", blockSize: 4096 }), /block_size: stored 65536, given 4096/);
    await refuses("INVALID_ARGUMENT", () => db.kv("other", { blockSize: 1000 }), /blockSize/);
    await refuses("INVALID_ARGUMENT", () => db.kv("other", { compression: "gzip" as never }), /compression/);
    await db.close();
    db = await face.open(name, { mode: "readonly" });
    assert.deepEqual((await db.membranes()).map((each) => each.schema), [
      { key: "integer", value: "text", blockSize: 4096, compression: "lz4" }, { key: "integer", value: "text", blockSize: 65536 },
      { key: "integer", value: "text", compression: "lz4" }, { key: "integer", value: "text" },
    ]);
    await db.close();
  });
}
