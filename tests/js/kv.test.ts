// Key-value membranes, over all four faces.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Kv } from "../../build/js/index.js";
import { all, faces, inMemory, pick, random, refuses } from "./lib.ts";

for (const face of faces) {
  describe(`kv, ${face.name}`, () => {
    test("values come back as they were given", () => inMemory(face, async (db) => {
      for (const [value, samples] of [
        ["json", [null, true, 0, -0, 1.5, "", "text é😀", [], {}, [1, [2, { a: null }]], { a: { b: [1] }, é: "x" }, "x".repeat(5000)]],
        ["text", ["", "a", "\0", "é€😀", "x".repeat(100), "é".repeat(100_000), "\ufeffbom"]],
        ["bytes", [new Uint8Array(0), Uint8Array.of(0, 255), new Uint8Array(100).fill(7), new Uint8Array(5000).fill(8), new Uint8Array(1_000_000).fill(9)]],
      ] as const) {
        const kv = await db.kv(`values ${value}`, { value });
        for (const sample of samples) {
          await kv.put("k", sample);
          assert.deepStrictEqual(await kv.get("k"), sample);
          assert.deepStrictEqual(await kv.getMany(["k"]), [sample]);
          assert.deepStrictEqual(await all(kv.values()), [sample]);
        }
      }
    }));

    test("keys of every type come back, in order", () => inMemory(face, async (db) => {
      for (const [key, keys] of [
        ["text", ["", "a", "aa", "b", "é", "\uffff", "😀"]],
        ["integer", [-(2n ** 63n), -5, 0, 1, 2 ** 53 - 1, 2n ** 63n - 1n]],
        ["bigint", [-1n, 0n, 2n ** 60n]],
        ["bytes", [new Uint8Array(0), Uint8Array.of(0), Uint8Array.of(0, 0), Uint8Array.of(1), Uint8Array.of(255)]],
        ["real", [-Infinity, -1.5, 0, 1e-300, Infinity]],
        ["boolean", [false, true]],
        ["timestamp", [new Date(-1), new Date(0), new Date(8.64e15)]],
        [["text", "integer"], [["", 5], ["a", -1], ["a", 2], ["aa", 0]]],
      ] as const) {
        const kv: Kv = await db.kv(`keys ${String(key)}`, { key });
        for (const each of [...keys].reverse()) await kv.put(each as never, 1);
        assert.deepStrictEqual(await all(kv.keys()), keys);
        assert.deepStrictEqual(await all(kv.keys({ reverse: true })), [...keys].reverse());
        for (const each of keys) assert.equal(await kv.has(each as never), true);
      }
    }));

    test("absent is undefined, and delete says whether it was there", () => inMemory(face, async (db) => {
      const kv = await db.kv("s");
      assert.equal(await kv.get("a"), undefined);
      assert.equal(await kv.has("a"), false);
      assert.equal(await kv.delete("a"), false);
      await kv.put("a", null);
      assert.equal(await kv.get("a"), null);
      assert.equal(await kv.delete("a"), true);
      assert.equal(await kv.get("a"), undefined);
      assert.deepEqual(await kv.getMany(["a", "b"]), [undefined, undefined]);
      assert.deepEqual(await kv.getMany([]), []);
    }));

    test("putMany takes any iterable of pairs, all or nothing", () => inMemory(face, async (db) => {
      const kv = await db.kv<number>("s");
      await kv.putMany(new Map([["a", 1], ["b", 2]]));
      await kv.putMany(function* () { yield ["c", 3] as const; }());
      await kv.putMany([]);
      assert.deepEqual(await all(kv.entries()), [["a", 1], ["b", 2], ["c", 3]]);
      await refuses("INVALID_ARGUMENT", () => kv.putMany([["d", 4], ["e", NaN]]), /"e"/);
      await refuses("INVALID_ARGUMENT", () => kv.putMany([["d", 4], ["e"]] as never), /pairs/);
      await assert.rejects(async () => kv.putMany(function* () { yield ["d", 4] as const; throw new RangeError("mine"); }()), RangeError);
      assert.equal(await kv.count(), 3);
    }));

    test("an iterable that uses the database while it is read", () => inMemory(face, async (db) => {
      const kv = await db.kv<number>("s");
      await kv.putMany(function* () {
        yield ["a", 1] as const;
        void kv.put("b", 2);
        yield ["c", 3] as const;
      }());
      assert.deepEqual(await all(kv.entries()), [["a", 1], ["b", 2], ["c", 3]]);
    }));

    test("input is copied at the call", () => inMemory(face, async (db) => {
      const kv = await db.kv<Uint8Array>("s", { key: "bytes", value: "bytes" });
      const key = Uint8Array.of(1), value = Uint8Array.of(2);
      const done = kv.put(key, value);
      key[0] = 9, value[0] = 9;
      await done;
      assert.deepEqual(await all(kv.entries()), [[Uint8Array.of(1), Uint8Array.of(2)]]);
      const got = await kv.get(Uint8Array.of(1)) as Uint8Array;
      got[0] = 77;
      assert.deepEqual(await kv.get(Uint8Array.of(1)), Uint8Array.of(2));
    }));

    test("ranges, limits and orders are those of a sorted array", () => inMemory(face, async (db) => {
      const next = random(2);
      const kv = await db.kv<number>("s");
      const rows = new Map<string, number>();
      for (let i = 0; i < 300; i++) rows.set(Array.from({ length: 1 + Math.floor(next() * 3) }, () => pick(next, ["a", "b", "\uffff", "é"])).join(""), i);
      await kv.putMany(rows);
      const sorted = [...rows].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      const below = (a: string, b: string): boolean => Buffer.compare(Buffer.from(a), Buffer.from(b)) < 0;
      for (let i = 0; i < 200; i++) {
        const range: Record<string, unknown> = {};
        for (const bound of ["gt", "gte", "lt", "lte", "prefix"]) if (next() < 0.3) range[bound] = pick(next, [...rows.keys(), "", "aé", "z"]);
        const order: Record<string, unknown> = {};
        if (next() < 0.5) order.reverse = next() < 0.5;
        if (next() < 0.5) order.limit = Math.floor(next() * 20);
        let want = sorted.filter(([key]) =>
          (range.gt === undefined || below(range.gt as string, key)) && (range.gte === undefined || !below(key, range.gte as string)) &&
          (range.lt === undefined || below(key, range.lt as string)) && (range.lte === undefined || !below(range.lte as string, key)) &&
          (range.prefix === undefined || key.startsWith(range.prefix as string)));
        assert.equal(await kv.count(range), want.length, JSON.stringify(range));
        if (order.reverse === true) want = want.reverse();
        if (order.limit !== undefined) want = want.slice(0, order.limit as number);
        assert.deepEqual(await all(kv.entries({ ...range, ...order })), want, JSON.stringify({ ...range, ...order }));
        assert.deepEqual(await all(kv.keys({ ...range, ...order })), want.map(([key]) => key));
        assert.deepEqual(await all(kv.values({ ...range, ...order })), want.map(([, value]) => value));
      }
    }));

    test("composite keys: bounds may be their first parts", () => inMemory(face, async (db) => {
      const kv = await db.kv("s", { key: ["text", "integer"] });
      const keys = [["a", 1], ["a", 2], ["ab", 1], ["b", -1], ["b", 7]];
      await kv.putMany(keys.map((key) => [key, 0] as never));
      for (const [range, want] of [
        [{ gte: ["a"], lte: ["a"] }, [0, 1]], [{ gt: ["a"] }, [2, 3, 4]], [{ lt: ["b"] }, [0, 1, 2]], [{ lte: ["b"] }, [0, 1, 2, 3, 4]],
        [{ gte: ["a", 2], lt: ["b", 7] }, [1, 2, 3]], [{ prefix: ["a"] }, [0, 1, 2]],
      ] as const) {
        assert.deepEqual(await all(kv.keys(range as never)), want.map((i) => keys[i]), JSON.stringify(range));
      }
      await refuses("INVALID_ARGUMENT", () => kv.count({ prefix: ["a", 1] }), /prefix/);
      await refuses("INVALID_ARGUMENT", () => kv.count({ gte: [] }), /1 to 2 parts/);
      await refuses("INVALID_ARGUMENT", () => kv.count({ gte: "a" }), /array/);
    }));

    test("clear gives the number removed", () => inMemory(face, async (db) => {
      const kv = await db.kv("s");
      for (const key of ["a", "b", "b1", "c"]) await kv.put(key, 1);
      assert.equal(await kv.clear({ prefix: "b" }), 2);
      assert.equal(await kv.clear({ gt: "a", lt: "c" }), 0);
      assert.equal(await kv.clear({ gt: "z", lt: "a" }), 0);
      assert.deepEqual(await all(kv.keys()), ["a", "c"]);
      assert.equal(await kv.clear(), 2);
      assert.equal(await kv.count(), 0);
    }));

    test("iterators see the state of their first next(), however long they take", () => inMemory(face, async (db) => {
      const kv = await db.kv<number>("s");
      await kv.putMany(Array.from({ length: 5000 }, (_, i) => [`k${String(i).padStart(5, "0")}`, i] as const));
      const rows = kv.entries();
      await kv.put("k00000", -1); // before the first next(): seen
      let count = 0;
      for await (const [key, value] of rows) {
        assert.equal(value, count === 0 ? -1 : count);
        if (count % 500 === 0) await kv.put(key, 1_000_000), await kv.put(`${key}x`, 1), await kv.delete(`k${String(4999 - count).padStart(5, "0")}`);
        count++;
      }
      assert.equal(count, 5000);
    }));

    test("break gives the cursor back, and a drop in the middle is no crash", () => inMemory(face, async (db) => {
      const kv = await db.kv("s");
      await kv.putMany(Array.from({ length: 2000 }, (_, i) => [`k${i}`, "x".repeat(100)] as const));
      for (let i = 0; i < 50; i++) for await (const _ of kv.entries()) break;
      const rows = kv.values()[Symbol.asyncIterator]?.() ?? (kv.values() as unknown as Iterable<string>)[Symbol.iterator]();
      await rows.next();
      await db.drop("s");
      await refuses("NOT_FOUND", () => kv.get("k1"), /dropped/);
      await rows.return?.(undefined as never);
    }));

    test("a large value takes a page of its own", () => inMemory(face, async (db) => {
      const kv = await db.kv("s", { value: "text" });
      await kv.put("a", "small");
      await kv.put("b", "x".repeat(3_000_000));
      await kv.put("c", "small");
      assert.deepEqual((await all(kv.values())).map((value: string) => value.length), [5, 3_000_000, 5]);
      assert.deepEqual((await kv.getMany(["c", "b", "a", "b"])).map((value: string) => value.length), [5, 3_000_000, 5, 3_000_000]);
    }));

    test("long keys go in and out", () => inMemory(face, async (db) => {
      const kv = await db.kv("s");
      const keys = ["\0".repeat(65536), "x".repeat(65536), "é".repeat(32768)];
      for (const key of keys) await kv.put(key, key.length);
      assert.deepEqual(await all(kv.entries()), keys.map((key) => [key, key.length]));
      assert.deepEqual(await kv.getMany(keys), keys.map((key) => key.length));
    }));

    test("a random walk is that of a Map, with checkpoints and compactions in between", () => inMemory(face, async (db) => {
      const next = random(3);
      const kv = await db.kv<number>("s");
      const model = new Map<string, number>();
      for (let i = 0; i < 1500; i++) {
        const key = `k${Math.floor(next() * 200)}`;
        const what = next();
        if (what < 0.5) await kv.put(key, i), model.set(key, i);
        else if (what < 0.75) assert.equal(await kv.delete(key), model.delete(key));
        else if (what < 0.95) assert.equal(await kv.get(key), model.get(key));
        else if (what < 0.97) await db.checkpoint();
        else if (what < 0.98) await db.compact();
        else assert.deepEqual(await all(kv.entries()), [...model].sort(([a], [b]) => a < b ? -1 : 1));
      }
      assert.deepEqual((await db.verify({ deep: true })).problems, []);
    }));
  });
}
