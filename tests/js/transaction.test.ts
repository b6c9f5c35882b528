// Transactions: one state and their own writes, all or nothing, and who is in whose way.
import assert from "node:assert/strict";
import { copyFileSync, existsSync } from "node:fs";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { open, openSync } from "../../build/js/index.js";
import type { Database, Transaction } from "../../build/js/index.js";
import { all, faces, freshName, inMemory, pick, random, refuses, seed } from "./lib.ts";

/** Milliseconds in which a body gets to what it waits for: through another realm that takes messages. */
const SOON = process.env.TEST_REMOTE === undefined ? 5 : 500;

type Step = Generator<any, any, any>;
type Tx = any; // Transaction or TransactionSync

/** Goes through a generator whose `yield` stands for `await`. */
async function walk(steps: Step): Promise<any> {
  for (let step = steps.next(); ;) {
    if (step.done === true) return step.value;
    let value: unknown;
    try {
      value = await step.value;
    } catch (error) {
      step = steps.throw(error);
      continue;
    }
    step = steps.next(value);
  }
}

function walkSync(steps: Step): any {
  let step = steps.next();
  while (step.done !== true) step = steps.next(step.value);
  return step.value;
}

/** A transaction of either face, or one nested in it: `yield` in the body is `await`. */
function transact(on: any, body: (tx: Tx) => Step, options?: object): any {
  return /Sync$/.test(on.constructor.name)
    ? on.transaction((tx: Tx) => walkSync(body(tx)), options)
    : on.transaction((tx: Tx) => walk(body(tx)), options);
}

/** Everything an iterator of either face gives. */
const list = (from: any): any => Symbol.iterator in from ? [...from] : all(from);

/** `yield* caught(call)`: what the call throws or rejects with; undefined when it does not. */
function* caught(call: () => unknown): Step {
  try {
    yield call();
  } catch (error) {
    return error;
  }
  return undefined;
}

/** What is thrown or rejected. */
async function thrown(call: () => unknown): Promise<any> {
  try {
    await call();
  } catch (error) {
    return error;
  }
  assert.fail("nothing was thrown");
}

const sequence = async (db: Database): Promise<bigint> => (await db.stats()).sequence;
const NOTES = { vector: { dimensions: 2 }, fields: { n: "integer", t: "text" } } as const;

for (const face of faces) {
  describe(`transactions, ${face.name}`, () => {
    test("c08 every method of a Kv sees the writes before it", () => inMemory(face, async (db) => {
      const kv = await db.kv<number>("s");
      await kv.putMany([["a", 1], ["b", 2], ["c", 3]]);
      const before = await sequence(db);
      assert.equal(await transact(db, function* (tx) {
        const s = yield tx.kv("s");
        assert.equal(s.name, "s");
        yield s.put("d", 4);
        assert.equal(yield s.get("d"), 4);
        assert.equal(yield s.delete("a"), true);
        assert.equal(yield s.delete("a"), false);
        assert.equal(yield s.has("a"), false);
        assert.equal(yield s.has("d"), true);
        yield s.putMany([["b", 20], ["e", 5]]);
        assert.deepEqual(yield s.getMany(["a", "b", "c", "d", "e"]), [undefined, 20, 3, 4, 5]);
        assert.equal(yield s.count(), 4);
        assert.equal(yield s.count({ gte: "d" }), 2);
        assert.deepEqual(yield list(s.entries()), [["b", 20], ["c", 3], ["d", 4], ["e", 5]]);
        assert.deepEqual(yield list(s.keys({ reverse: true, limit: 2 })), ["e", "d"]);
        assert.deepEqual(yield list(s.values({ prefix: "c" })), [3]);
        assert.equal(yield s.clear({ lt: "d" }), 2);
        assert.equal(yield s.clear({ gt: "x" }), 0);
        yield tx.batch().put(s, "f", 6).put("s", "g", 7).delete("s", "e").commit();
        return "answer";
      }), "answer");
      assert.deepEqual(await all(kv.entries()), [["d", 4], ["f", 6], ["g", 7]]);
      assert.equal(await sequence(db), before + 1n);
      assert.equal((await db.stats()).snapshots, 0);
    }));

    test("c08 every method of a collection sees the writes before it", () => inMemory(face, async (db) => {
      const notes = await db.collection<{ n: number; t: string }>("n", NOTES);
      await notes.put([{ key: "a", vector: [1, 0], n: 1 }, { key: "b", vector: [2, 0], n: 2 }, { key: "c", vector: [3, 0], n: 3 }]);
      await transact(db, function* (tx) {
        const n = yield tx.collection("n");
        yield n.put({ key: "d", vector: [0, 0], n: 4, t: "D" });
        assert.deepEqual(yield n.search([0, 0], { k: 2, include: [] }), [{ key: "d", distance: 0 }, { key: "a", distance: 1 }]);
        assert.equal(yield n.update("b", { t: "B", vector: [0, 1] }), true);
        assert.equal(yield n.update("zz", { t: "B" }), false);
        assert.deepEqual(yield n.get("b"), { key: "b", vector: new Float32Array([0, 1]), n: 2, t: "B" });
        assert.equal(yield n.delete("a"), true);
        assert.deepEqual(yield n.search([0, 0], { k: 5, where: { n: { lt: 9 } }, include: ["n"] }), [
          { key: "d", distance: 0, n: 4 }, { key: "b", distance: 1, n: 2 }, { key: "c", distance: 3, n: 3 },
        ]);
        assert.equal(yield n.count({ t: { exists: true } }), 2);
        assert.deepEqual(yield list(n.records({ where: { t: "D" } })), [{ key: "d", n: 4, t: "D" }]);
        yield n.putMany({ keys: ["e", "f"], vectors: new Float32Array([5, 5, 6, 6]), fields: { n: [5, 6] } });
        assert.equal(yield n.deleteWhere({ n: { gte: 4 }, t: null }), 2);
        assert.equal(yield n.has("e"), false);
        assert.equal((yield n.getMany(["d", "e"]))[1], undefined);
      });
      assert.deepEqual(await all(notes.records({ include: ["n"] })), [{ key: "b", n: 2 }, { key: "c", n: 3 }, { key: "d", n: 4 }]);
      await transact(db, function* (tx) {
        assert.equal(yield (yield tx.collection("n")).clear(), 3);
      });
      assert.equal(await notes.count(), 0);
    }));

    test("c08 what the body throws is the rejection, and nothing is applied", () => inMemory(face, async (db) => {
      const kv = await db.kv<number>("s");
      await kv.put("a", 1);
      const before = await sequence(db);
      for (const reason of [new Error("why"), "text", undefined, null, { code: "CONFLICT" }]) {
        assert.equal(await thrown(() => transact(db, function* (tx) {
          const s = yield tx.kv("s");
          yield s.put("a", 2);
          yield s.put("b", 2);
          assert.equal(yield s.count(), 2);
          throw reason;
        }, { retries: 3 })), reason);
      }
      assert.equal(await thrown(() => (db as any).transaction(() => { throw before; })), before);
      assert.deepEqual(await all(kv.entries()), [["a", 1]]);
      assert.equal(await sequence(db), before);
    }));

    test("afterwards the handles of the transaction are CLOSED", () => inMemory(face, async (db) => {
      for (const fails of [false, true]) {
        let tx: Tx, s: any, n: any, batch: any, rows: any;
        const done = async (): Promise<unknown> => transact(db, function* (given) {
          tx = given;
          s = yield tx.kv("s");
          n = yield tx.collection("n", NOTES);
          yield s.putMany([["a", 1], ["b", 1]]);
          batch = tx.batch().put("s", "c", 1);
          rows = s.keys();
          assert.equal((yield rows.next()).value, "a");
          if (fails) throw new RangeError();
        });
        if (fails) assert.ok(await thrown(done) instanceof RangeError);
        else await done();
        for (const call of [() => s.get("a"), () => s.put("a", 1), () => s.delete("a"), () => s.count(), () => all(s.entries()), () => s.clear(), () => rows.next(),
          () => n.search([1, 2]), () => n.put({ key: "x", vector: [1, 2] }), () => n.deleteWhere({ n: 1 }), () => batch.commit(),
          () => tx.kv("s"), () => tx.collection("n"), () => tx.batch(), () => tx.transaction(() => {})]) {
          await refuses("CLOSED", call, /transaction has ended/);
        }
      }
      await db.checkpoint(); // whatever the iterators held is free
      assert.equal((await db.verify({ deep: true })).ok, true);
    }));

    test("c08 snapshot isolation: one state inside, nothing to be seen outside before the commit", () => inMemory(face, async (db) => {
      const kv = await db.kv<number>("s");
      await kv.putMany([["a", 1], ["b", 1]]);
      await transact(db, function* (tx) {
        const s = yield tx.kv("s");
        yield kv.put("b", 2);
        yield kv.put("c", 2);
        assert.deepEqual(yield list(s.entries()), [["a", 1], ["b", 1]]);
        yield s.put("a", 3);
        assert.deepEqual(yield list(kv.entries()), [["a", 1], ["b", 2], ["c", 2]]);
        yield db.checkpoint();
        yield db.compact();
        assert.deepEqual(yield list(s.entries()), [["a", 3], ["b", 1]]);
        assert.deepEqual(yield list(kv.entries()), [["a", 1], ["b", 2], ["c", 2]]);
      });
      assert.deepEqual(await all(kv.entries()), [["a", 3], ["b", 2], ["c", 2]]);
    }));

    test("a snapshot, not the order of somebody else: each may write what the other has read", () => inMemory(face, async (db) => {
      const kv = await db.kv<string>("doctors");
      await kv.putMany([["ada", "on call"], ["grace", "on call"]]);
      await transact(db, function* (tx) {
        const s = yield tx.kv("doctors");
        assert.equal(yield s.get("grace"), "on call");
        yield kv.put("grace", "off");
        yield s.put("ada", "off");
      });
      assert.deepEqual(await all(kv.values()), ["off", "off"]);
    }));

    for (const { name, plain, own, conflict } of [
      { name: "put and put", plain: "put b", own: "put b", conflict: true },
      { name: "put and delete", plain: "put b", own: "delete b", conflict: true },
      { name: "delete and put", plain: "delete b", own: "put b", conflict: true },
      { name: "both delete", plain: "delete b", own: "delete b", conflict: true },
      { name: "both insert", plain: "put x", own: "put x", conflict: true },
      { name: "another row", plain: "put a", own: "put b", conflict: false },
      { name: "a row that was only read", plain: "put b", own: "get b", conflict: false },
      { name: "a deletion of what is not there", plain: "put x", own: "delete x", conflict: false },
      { name: "changed and changed back", plain: "again b", own: "put b", conflict: false },
      { name: "clear", plain: "put b", own: "clear", conflict: true },
      { name: "clear, and a row that it did not see", plain: "put x", own: "clear", conflict: false },
      { name: "undone", plain: "put b", own: "undo b", conflict: false },
    ]) {
      for (const flushed of [false, true]) {
        test(`c08 first committer wins: ${name}${flushed ? ", in segments" : ""}`, () => inMemory(face, async (db) => {
          const kv = await db.kv<number>("s");
          await kv.putMany([["a", 1], ["b", 1], ["c", 1]]);
          if (flushed) await db.checkpoint();
          const [plainly, plainKey] = plain.split(" ") as [string, string], [ownly, ownKey] = own.split(" ") as [string, string];
          let expected: unknown;
          const done = async (): Promise<unknown> => transact(db, function* (tx) {
            const s = yield tx.kv("s");
            if (ownly === "put") yield s.put(ownKey, 9);
            if (ownly === "get") assert.equal(yield s.get(ownKey), 1);
            if (ownly === "delete") yield s.delete(ownKey);
            if (ownly === "clear") yield s.clear();
            if (ownly === "undo") {
              yield* caught(() => transact(tx, function* () {
                yield s.put(ownKey, 9);
                throw new Error("undo");
              }));
            }
            yield s.put("mine", 1);
            if (plainly === "delete") yield kv.delete(plainKey);
            else yield kv.put(plainKey, 5);
            if (plainly === "again") yield kv.put(plainKey, 1);
            if (flushed) yield db.checkpoint();
            expected = yield list(kv.entries());
          });
          if (conflict) {
            await refuses("CONFLICT", done, /s.*(b|x)/);
            assert.deepEqual(await all(kv.entries()), expected);
          } else {
            await done();
            assert.equal(await kv.get("mine"), 1);
          }
          await kv.put("after", 1);
          assert.equal(await transact(db, function* (tx) { return yield (yield tx.kv("s")).get("after"); }), 1);
        }));
      }
    }

    test("retries run the body again on a CONFLICT of the commit, and on nothing else", () => inMemory(face, async (db) => {
      const kv = await db.kv<number>("s");
      await kv.put("a", 0);
      let runs = 0;
      const add = function* (tx: Tx): Step {
        const s = yield tx.kv("s");
        const seen = yield s.get("a");
        if (++runs <= 2) yield kv.put("a", seen + 10);
        yield s.put("a", seen + 1);
        return seen;
      };
      await refuses("CONFLICT", () => transact(db, add));
      assert.equal(runs, 1);
      runs = 0;
      await refuses("CONFLICT", () => transact(db, add, { retries: 1 }));
      assert.equal(runs, 2);
      runs = 0;
      await kv.put("a", 0);
      assert.equal(await transact(db, add, { retries: 2 }), 20);
      assert.equal(runs, 3);
      assert.equal(await kv.get("a"), 21);
      runs = 0;
      await assert.rejects(async () => transact(db, function* () {
        runs++;
        throw Object.assign(new Error("mine"), { code: "CONFLICT" });
      }, { retries: 5 }), /mine/);
      assert.equal(runs, 1);
    }));

    test("c08 nested: what the inner body throws undoes only what was written in it", () => inMemory(face, async (db) => {
      const kv = await db.kv<number>("s");
      await kv.put("a", 0);
      const why = new Error("inner");
      await transact(db, function* (tx) {
        const s = yield tx.kv("s");
        yield s.put("a", 1);
        let inner: any;
        assert.equal(yield* caught(() => transact(tx, function* (nested) {
          inner = yield nested.kv("s");
          assert.equal(yield inner.get("a"), 1);
          yield inner.put("a", 2);
          yield s.put("b", 2); // through the outer handle: it belongs to the inner one, too
          yield inner.delete("a");
          assert.deepEqual(yield list(s.entries()), [["b", 2]]);
          throw why;
        })), why);
        assert.deepEqual(yield list(s.entries()), [["a", 1]]);
        assert.equal((yield* caught(() => inner.get("a"))).code, "CLOSED");
        assert.equal(yield transact(tx, function* (nested) {
          yield (yield nested.kv("s")).put("c", 3);
          return 5;
        }), 5);
        yield s.put("d", 4);
        assert.deepEqual(yield list(s.entries()), [["a", 1], ["c", 3], ["d", 4]]);
      });
      assert.deepEqual(await all(kv.entries()), [["a", 1], ["c", 3], ["d", 4]]);
      await assert.rejects(async () => transact(db, function* (tx) {
        yield transact(tx, function* (nested) {
          yield (yield nested.kv("s")).clear();
        });
        throw why;
      }), why);
      assert.equal(await kv.count(), 3);
    }));

    test("nested deeply, every second one undone", () => inMemory(face, async (db) => {
      const deep = function* (tx: Tx, depth: number): Step {
        const s = yield tx.kv("s");
        yield s.put(`in ${depth}`, depth);
        if (depth < 40) {
          const error = yield* caught(() => transact(tx, (inner) => deep(inner, depth + 1)));
          if (error !== undefined && !(error instanceof RangeError)) throw error;
        }
        yield s.put(`out ${depth}`, depth);
        if (depth === 21) throw new RangeError();
      };
      await transact(db, (tx) => deep(tx, 1));
      const kv = await db.kv<number>("s");
      assert.equal(await kv.count(), 40);
      assert.equal(await kv.has("out 20"), true);
      assert.equal(await kv.has("in 21"), false);
      assert.equal(await kv.has("in 22"), false);
    }));

    test("a membrane that a transaction creates goes when it is rolled back, unless somebody else has opened it", () => inMemory(face, async (db) => {
      const names = async (): Promise<string[]> => (await db.membranes()).map(({ name }) => name);
      const make = function* (tx: Tx, between: () => Step): Step {
        const s = yield tx.kv("new"), n = yield tx.collection("vectors", NOTES);
        yield s.put("a", 1);
        yield n.put({ key: "x", vector: [1, 2] });
        assert.equal(yield (yield tx.kv("new")).get("a"), 1);
        assert.equal((yield n.search([1, 2])).length, 1);
        yield* between();
      };
      await assert.rejects(async () => transact(db, (tx) => make(tx, function* () { throw new Error("no"); })), /no/);
      assert.deepEqual(await names(), []);
      const kv = await db.kv<number>("s");
      await refuses("CONFLICT", () => transact(db, (tx) => make(tx, function* () {
        yield (yield tx.kv("s")).put("k", 1);
        yield kv.put("k", 2);
      })));
      assert.deepEqual(await names(), ["s"]);
      await assert.rejects(async () => transact(db, (tx) => make(tx, function* () {
        yield (yield db.kv("new")).put("theirs", 1);
        throw new Error("no");
      })), /no/);
      assert.deepEqual(await names(), ["new", "s"]);
      assert.deepEqual(await all((await db.kv("new")).keys()), ["theirs"]);
      await db.drop("new");
      await transact(db, function* (tx) {
        const s = yield tx.kv("s");
        assert.ok((yield* caught(() => transact(tx, (inner) => make(inner, function* () { throw new RangeError(); })))) instanceof RangeError);
        yield s.put("kept", 1);
        yield transact(tx, function* (inner) {
          yield (yield inner.kv("inner")).put("a", 1);
        });
      });
      assert.deepEqual(await names(), ["inner", "s"]);
      assert.equal(await kv.get("kept"), 1);
      await assert.rejects(async () => transact(db, function* (tx) {
        yield transact(tx, (inner) => make(inner, function* () {}));
        throw new Error("outer");
      }), /outer/);
      assert.deepEqual(await names(), ["inner", "s"]);
      await transact(db, (tx) => make(tx, function* () {}));
      assert.deepEqual(await names(), ["inner", "new", "s", "vectors"]);
      assert.equal(await (await db.kv("new")).get("a"), 1);
    }));

    test("a membrane that is dropped meanwhile takes the transaction with it, if it was written to", () => inMemory(face, async (db) => {
      const kv = await db.kv<number>("s");
      for (const [read, code] of [[false, "NOT_FOUND"], [true, "NOT_FOUND"]] as const) {
        await db.kv("gone");
        await refuses(code, () => transact(db, function* (tx) {
          const gone = yield tx.kv("gone"), s = yield tx.kv("s");
          yield s.put("a", 1);
          yield gone.put("a", 1);
          if (read) assert.equal(yield gone.get("a"), 1);
          yield db.drop("gone");
        }));
        assert.equal(await kv.count(), 0);
      }
      await db.kv("gone");
      await refuses("NOT_FOUND", () => transact(db, function* (tx) {
        const gone = yield tx.kv("gone"), s = yield tx.kv("s");
        yield s.put("a", 1);
        yield gone.put("a", 1); // answered, and refused later: nobody may take it for kept
        yield db.drop("gone");
        assert.equal((yield* caught(() => s.get("a"))).code, "NOT_FOUND");
        assert.equal((yield* caught(() => s.count())).code, "NOT_FOUND");
      }));
      assert.equal(await kv.count(), 0);
      await db.kv("gone");
      await transact(db, function* (tx) {
        const s = yield tx.kv("s");
        yield s.put("a", 1);
        assert.equal((yield* caught(() => transact(tx, function* (inner) {
          yield (yield inner.kv("gone")).put("a", 1);
          yield db.drop("gone");
          yield s.put("b", 1);
        }))).code, "NOT_FOUND");
        yield s.put("c", 1);
      });
      assert.deepEqual(await all(kv.keys()), ["a", "c"]);
      await db.kv("gone");
      await transact(db, function* (tx) {
        const s = yield tx.kv("s"), batch = tx.batch();
        for (let i = 0; i < 3000; i++) batch.put(s, `x${i}`, i);
        for (let i = 0; i < 3000; i++) batch.put("gone", `x${i}`, i);
        yield db.drop("gone");
        assert.equal((yield* caught(() => batch.commit())).code, "NOT_FOUND");
        assert.equal(yield s.count({ prefix: "x" }), 0); // a batch is whole or not at all, here too
        yield s.put("c", 1);
      });
      assert.deepEqual(await all(kv.keys()), ["a", "c"]);
      await db.kv("gone");
      await transact(db, function* (tx) {
        yield (yield tx.kv("gone")).count();
        yield db.drop("gone");
        yield (yield tx.kv("s")).put("d", 1);
      });
      assert.equal(await kv.get("d"), 1);
    }));

    test("what is refused at its call refuses nothing else", () => inMemory(face, async (db) => {
      const kv = await db.kv<unknown>("s");
      await db.collection("n", NOTES);
      await transact(db, function* (tx) {
        const s = yield tx.kv("s"), n = yield tx.collection("n");
        const codes: unknown[] = [];
        for (const call of [
          () => s.put(5, 1), () => s.put("b", NaN), () => s.putMany([["c", 1], ["d", 10n]]), () => n.put([{ key: "x", vector: [1, 2] }, { key: "y", vector: [1] }]),
          () => s.clear({ nope: 1 }), () => n.deleteWhere({}), () => tx.kv("n"), () => tx.collection("m"), () => tx.kv("a/b"),
          () => tx.batch().put(kv, "a", 1), () => tx.transaction(5), () => tx.transaction(() => {}, { retries: 1 }),
        ]) {
          codes.push((yield* caught(call))?.code);
        }
        assert.deepEqual(codes, codes.map((_, i) => i === 6 ? "WRONG_KIND" : "INVALID_ARGUMENT"));
        assert.equal(yield s.count(), 0);
        assert.equal(yield n.count(), 0);
        yield s.put("a", 1);
      });
      assert.deepEqual(await all(kv.entries()), [["a", 1]]);
    }));

    test("handles of a transaction and those outside do not mix in one batch", () => inMemory(face, async (db) => {
      const kv = await db.kv<number>("s");
      await transact(db, function* (tx) {
        const s = yield tx.kv("s");
        assert.match((yield* caught(() => db.batch().put(s, "a", 1))).message, /s was opened in a transaction/);
        assert.match((yield* caught(() => tx.batch().put(kv, "a", 1))).message, /outside of this transaction/);
        yield tx.batch().put(s, "b", 1).commit();
      });
      assert.deepEqual(await all(kv.keys()), ["b"]);
    }));

    for (const [options, about] of [
      [{ retry: 1 }, /retry/], [{ retries: -1 }, /retries/], [{ retries: 1.5 }, /retries/], [{ retries: "1" }, /retries/], [5, /object/], [[], /object/],
      ...(face.name.startsWith("sync") ? [[{ timeoutMs: 5 }, /timeoutMs/], [{ signal: AbortSignal.abort() }, /signal/]] as const
        : [[{ timeoutMs: -1 }, /timeoutMs/], [{ timeoutMs: "5" }, /timeoutMs/], [{ signal: {} }, /signal/]] as const),
    ] as const) {
      test(`the options ${JSON.stringify(options)} are refused`, () => inMemory(face, async (db) => {
        await refuses("INVALID_ARGUMENT", () => db.transaction(() => assert.fail("it ran"), options as never), about);
        await refuses("INVALID_ARGUMENT", () => db.transaction(options as never), /function/);
        await transact(db, function* () {});
      }));
    }

    test("an iterator sees the state of its first next(), whatever is written while it goes on", () => inMemory(face, async (db) => {
      const kv = await db.kv<number>("s");
      await kv.putMany(Array.from({ length: 3000 }, (_, i) => [`base ${String(i).padStart(5, "0")}`, i]));
      await transact(db, function* (tx) {
        const s = yield tx.kv("s");
        for (let i = 0; i < 3000; i++) yield s.put(`base ${String(i).padStart(5, "0")}+`, -i);
        const keys: string[] = [];
        const rows = s.entries();
        const from = rows[Symbol.asyncIterator]?.() ?? rows[Symbol.iterator]();
        for (let next = yield from.next(); !next.done; next = yield from.next()) {
          const [key] = next.value;
          keys.push(key);
          yield s.delete(key);
          yield s.put(`${key}!`, 0);
          if (keys.length % 500 === 0) {
            assert.ok((yield* caught(() => transact(tx, function* () {
              yield s.clear();
              assert.equal(yield s.count(), 0);
              throw new RangeError();
            }))) instanceof RangeError);
          }
        }
        assert.equal(keys.length, 6000);
        assert.equal(new Set(keys).size, 6000);
        assert.ok(keys.every((key) => !key.endsWith("!")));
        assert.equal(yield s.count(), 6000);
      });
      assert.equal(await kv.count(), 6000);
      assert.equal((await all(kv.keys())).every((key) => key.endsWith("!")), true);
    }));

    test("c09 many writes, large ones, and rows that are written again and again", () => inMemory(face, async (db) => {
      const kv = await db.kv<string>("s", { value: "text" });
      const rows = Array.from({ length: 40_000 }, (_, i): [string, string] => [`k${i * 7919 % 40_000}`, `${i}`.padEnd(60, ".")]);
      await transact(db, function* (tx) {
        const s = yield tx.kv("s");
        yield s.putMany(rows);
        assert.equal(yield s.count(), 40_000);
        yield s.put("large", "x".repeat(300_000));
        for (let i = 0; i < 2000; i++) yield s.put("same", `${i}`);
        assert.equal(yield s.clear({ gte: "k1", lt: "k2" }), 11_111);
        assert.ok((yield* caught(() => transact(tx, function* () {
          yield s.putMany(rows.map(([key]) => [key, "undone"]));
          yield s.put("large", "undone".repeat(60_000));
          throw new RangeError();
        }))) instanceof RangeError);
        assert.equal(yield s.get("same"), "1999");
      });
      assert.equal(await kv.count(), 40_002 - 11_111);
      assert.equal((await kv.get("large"))?.length, 300_000);
      for (const [key, value] of rows.slice(0, 500)) assert.equal(await kv.get(key), /^k1/.test(key) ? undefined : value);
    }));

    test("a transaction costs one commit and one sync; one that changed nothing costs none", () => inMemory(face, async (db) => {
      const kv = await db.kv<number>("s");
      const before = await db.stats();
      const empty = function* (tx: Tx): Step {
        const s = yield tx.kv("s");
        assert.equal(yield s.count(), 0);
        yield* caught(() => transact(tx, function* () {
          yield s.put("undone", 1);
          throw new RangeError();
        }));
      };
      await transact(db, empty);
      assert.ok(await thrown(() => transact(db, function* (tx) {
        yield (yield tx.kv("s")).put("a", 1);
        throw new RangeError();
      })) instanceof RangeError);
      let after = await db.stats();
      assert.deepEqual([after.sequence - before.sequence, after.syncs - before.syncs], [0n, 0]);
      await transact(db, function* (tx) {
        const s = yield tx.kv("s");
        for (let i = 0; i < 100; i++) yield s.put(`${i}`, i);
      });
      after = await db.stats();
      assert.deepEqual([after.sequence - before.sequence, after.syncs - before.syncs], [1n, 1]);
      assert.equal(await kv.count(), 100);
    }));

    test("readonly: READONLY, and a file has what was committed and nothing else", async () => {
      const name = freshName();
      const db = await face.open(name);
      const kv = await db.kv<number>("s");
      await kv.put("before", 1);
      const copy = (to: string): void => {
        for (const part of ["", "-wal0", "-wal1"]) if (existsSync(name + part)) copyFileSync(name + part, to + part);
      };
      const during = freshName(), after = freshName();
      await transact(db, function* (tx) {
        const s = yield tx.kv("s");
        for (let i = 0; i < 5000; i++) yield s.put(`${i}`, i);
        assert.equal(yield s.count(), 5001);
        copy(during);
      });
      copy(after);
      await db.close();
      for (const [path, rows] of [[during, 1], [after, 5001], [name, 5001]] as const) {
        const again = await face.open(path, { mode: path === name ? "readonly" : "existing" });
        assert.equal(await (await again.kv("s")).count(), rows);
        if (path === name) await refuses("READONLY", () => again.transaction(() => {}));
        assert.equal((await again.verify({ deep: true })).ok, true);
        await again.close();
      }
    });

    test("closing the database rolls back what is open", async () => {
      const name = freshName();
      const db = await face.open(name);
      await (await db.kv<number>("s")).put("a", 1);
      let s: any;
      await refuses("CLOSED", () => transact(db, function* (tx) {
        s = yield tx.kv("s");
        yield s.put("a", 2);
        yield tx.kv("made");
        yield db.close();
        assert.equal((yield* caught(() => s.get("a"))).code, "CLOSED");
        return "not done";
      }));
      await refuses("CLOSED", () => s.put("a", 3));
      await refuses("CLOSED", () => db.transaction(() => {}));
      const one = await face.open(name), two = await face.open(name); // two handles of one engine, which goes on
      await refuses("CLOSED", () => transact(one, function* (tx) {
        yield (yield tx.kv("s")).put("a", 4);
        yield transact(tx, function* () { yield one.close(); });
      }));
      await transact(two, function* (tx) { assert.equal(yield (yield tx.kv("s")).get("a"), 1); });
      await two.close();
      const again = await face.open(name);
      assert.equal(await (await again.kv("s")).get("a"), 1);
      assert.deepEqual((await again.membranes()).map(({ name: each }) => each), ["s"]);
      await again.close();
    });

    const histories = /SIMD/.test(face.name) && process.env.TEST_REMOTE === undefined ? 300 : 60; // the same core, in other instructions or another realm
    test(`c08 ${histories} random histories, as the model says (TEST_SEED=${seed})`, async () => {
      let conflicts = 0, kept = 0;
      for (let i = 0; i < histories; i++) {
        await inMemory(face, async (db) => {
          const history = new History(db, random(i));
          await history.open();
          for (let n = 0; n < 4; n++) (await history.transaction()) ? conflicts++ : kept++;
        });
      }
      assert.ok(conflicts > histories / 3 && kept > histories, `${conflicts} conflicts, ${kept} others`);
    });
  });
}

// ---- The model: what snapshot isolation with first committer wins means ----

type Row = { key: string; n: number; x: number };
interface State { kv: Map<string, number>; notes: Map<string, Row> }
const KEYS = Array.from({ length: 12 }, (_, i) => `k${i}`);

/** One state with changes over it; undefined: removed. */
class Own {
  readonly kv = new Map<string, number | undefined>();
  readonly notes = new Map<string, Row | undefined>();

  copy(): Own {
    const own = new Own();
    for (const [key, value] of this.kv) own.kv.set(key, value);
    for (const [key, value] of this.notes) own.notes.set(key, value);
    return own;
  }

  apply(to: State): State {
    const state = { kv: new Map(to.kv), notes: new Map(to.notes) };
    for (const kind of ["kv", "notes"] as const) {
      for (const [key, value] of this[kind]) {
        if (value === undefined) state[kind].delete(key);
        else state[kind].set(key, value as never);
      }
    }
    return state;
  }
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
const sorted = <T>(map: Map<string, T>): [string, T][] => [...map].toSorted(([a], [b]) => (a < b ? -1 : 1));

/** Transactions with plain writes between their steps; each answer is compared. */
class History {
  readonly db: any;
  readonly next: () => number;
  plain: State = { kv: new Map(), notes: new Map() };
  kv: any;
  notes: any;
  #value = 0;

  constructor(db: any, next: () => number) {
    this.db = db;
    this.next = next;
  }

  async open(): Promise<void> {
    this.kv = await this.db.kv("s");
    this.notes = await this.db.collection("n", { vector: { dimensions: 1, metric: "l2" }, fields: { n: "integer" } });
    await this.kv.putMany(KEYS.slice(0, 6).map((key) => [key, 0]));
    for (const key of KEYS.slice(0, 6)) this.plain.kv.set(key, 0);
  }

  /** Whether it ended in a conflict, as predicted. */
  async transaction(): Promise<boolean> {
    const base = new Own().apply(this.plain);
    let own = new Own(), fails = false;
    const body = function* (this: History, tx: Tx): Step {
      own = yield* this.steps(tx, base, own, 0);
      fails = this.next() < 0.15;
      if (fails) throw new RangeError();
    };
    let error: any;
    try {
      await transact(this.db, body.bind(this));
    } catch (thrownError) {
      error = thrownError;
    }
    const conflict = !fails && (["kv", "notes"] as const).some((kind) =>
      [...own[kind].keys()].some((key) => !same(base[kind].get(key), this.plain[kind].get(key))));
    if (fails) assert.ok(error instanceof RangeError, String(error));
    else if (conflict) assert.equal(error?.code, "CONFLICT", `${error ?? "no conflict"}`);
    else assert.equal(error, undefined);
    if (!fails && !conflict) this.plain = own.apply(this.plain);
    await walk(this.compare(this.kv, this.notes, this.plain));
    return conflict;
  }

  * steps(tx: Tx, base: State, before: Own, depth: number): Step {
    let own = before;
    const kv = yield tx.kv("s"), notes = yield tx.collection("n");
    for (let left = 1 + Math.floor(this.next() * 12); left > 0; left--) {
      const kind = this.next();
      if (kind < 0.5) yield* this.change(kv, notes, own.apply(base), own);
      else if (kind < 0.66) yield* this.plainly();
      else if (kind < 0.74 && depth < 4) own = yield* this.nested(tx, base, own, depth);
      else if (kind < 0.77) yield this.next() < 0.5 ? this.db.checkpoint() : this.db.compact();
      else if (kind < 0.9) yield* this.compare(kv, notes, own.apply(base));
      else yield* this.compare(this.kv, this.notes, this.plain);
    }
    return own;
  }

  * nested(tx: Tx, base: State, own: Own, depth: number): Step {
    let inner = own.copy();
    const fails = this.next() < 0.5;
    const self = this;
    const error = yield* caught(() => transact(tx, function* (given) {
      inner = yield* self.steps(given, base, inner, depth + 1);
      if (fails) throw new RangeError();
    }));
    if (fails ? !(error instanceof RangeError) : error !== undefined) throw error;
    return fails ? own : inner;
  }

  /** One write, through handles of a transaction or plain ones; `own` takes what changes in `state`. */
  * change(kv: any, notes: any, state: State, own: Own): Step {
    const key = pick(this.next, KEYS), other = pick(this.next, KEYS), value = ++this.#value;
    switch (Math.floor(this.next() * 9)) {
      case 0: case 1:
        yield kv.put(key, value);
        own.kv.set(key, value);
        break;
      case 2:
        yield kv.putMany([[key, value], [other, value]]);
        own.kv.set(key, value).set(other, value);
        break;
      case 3:
        assert.equal(yield kv.delete(key), state.kv.has(key));
        if (state.kv.has(key)) own.kv.set(key, undefined);
        break;
      case 4: {
        const gone = [...state.kv.keys()].filter((each) => each >= key && each < other);
        if (key <= other) assert.equal(yield kv.clear({ gte: key, lt: other }), gone.length);
        if (key <= other) for (const each of gone) own.kv.set(each, undefined);
        break;
      }
      case 5: case 6:
        yield notes.put({ key, vector: [value], n: value });
        own.notes.set(key, { key, n: value, x: value });
        break;
      case 7: {
        const row = state.notes.get(key);
        assert.equal(yield notes.update(key, { n: value }), row !== undefined);
        if (row !== undefined) own.notes.set(key, { ...row, n: value });
        break;
      }
      default: {
        const gone = [...state.notes.values()].filter(({ n }) => n > value - 10);
        assert.equal(yield notes.deleteWhere({ n: { gt: value - 10 } }), gone.length);
        for (const row of gone) own.notes.set(row.key, undefined);
      }
    }
  }

  * plainly(): Step {
    const own = new Own();
    yield* this.change(this.kv, this.notes, this.plain, own);
    this.plain = own.apply(this.plain);
  }

  * compare(kv: any, notes: any, { kv: values, notes: rows }: State): Step {
    const key = pick(this.next, KEYS);
    switch (Math.floor(this.next() * 6)) {
      case 0:
        assert.equal(yield kv.get(key), values.get(key));
        assert.equal(yield kv.has(key), values.has(key));
        break;
      case 1:
        assert.deepEqual(yield kv.getMany(KEYS), KEYS.map((each) => values.get(each)));
        break;
      case 2:
        assert.deepEqual(yield list(kv.entries({ reverse: true })), sorted(values).toReversed());
        assert.equal(yield kv.count({ gte: key }), [...values.keys()].filter((each) => each >= key).length);
        break;
      case 3: {
        const row = rows.get(key);
        assert.deepEqual(yield notes.get(key), row && { key, n: row.n, vector: new Float32Array([row.x]) });
        break;
      }
      case 4: {
        const at = this.next() * this.#value;
        const nearest = [...rows.values()].map((row) => ({ key: row.key, n: row.n, d: Math.abs(row.x - Math.fround(at)) }))
          .toSorted((a, b) => a.d - b.d || (a.key < b.key ? -1 : 1)).slice(0, 3);
        const hits = yield notes.search([at], { k: 3 });
        assert.deepEqual(hits.map((hit: Row) => hit.n), nearest.map(({ n }) => n));
        break;
      }
      default:
        assert.deepEqual(yield list(notes.records()), sorted(rows).map(([each, { n }]) => ({ key: each, n })));
        assert.equal(yield notes.count(), rows.size);
    }
  }
}

// ---- What only promises have: turns, waiting, being cut off ----

describe("transactions, one after the other", () => {
  const later = <T>(): { promise: Promise<T>; resolve: (value: T) => void } => {
    let resolve!: (value: T) => void;
    const promise = new Promise<T>((done) => { resolve = done; });
    return { promise, resolve };
  };

  test("a second one waits its turn, in the order of the calls, and sees what the first has done", async () => {
    const db = await open(":memory:");
    const kv = await db.kv<number>("s");
    await kv.put("n", 0);
    const order: string[] = [];
    await Promise.all(Array.from({ length: 20 }, (_, i) => db.transaction(async (tx) => {
      order.push(`begin ${i}`);
      const s = await tx.kv<number>("s");
      const n = await s.get("n") as number;
      await sleep(i % 3);
      await s.put("n", n + 1);
      order.push(`end ${i}`);
    })));
    assert.deepEqual(order, Array.from({ length: 20 }, (_, i) => [`begin ${i}`, `end ${i}`]).flat());
    assert.equal(await kv.get("n"), 20);
    await db.close();
  });

  test("it begins at the call when it need not wait: plain writes before it are in its state, those after it are not", async () => {
    const db = await open(":memory:");
    const kv = await db.kv<number>("s");
    const before = kv.put("before", 1);
    const seen = db.transaction(async (tx) => {
      await sleep(1);
      return all((await tx.kv("s")).keys());
    });
    const after = kv.put("after", 1);
    assert.deepEqual(await seen, ["before"]);
    await Promise.all([before, after]);
    await db.close();
  });

  test("plain writes go on while one is open, and are acknowledged", async () => {
    const db = await open(":memory:");
    const kv = await db.kv<number>("s");
    const gate = later<void>();
    const done = db.transaction(async (tx) => {
      await (await tx.kv("s")).put("mine", 1);
      await gate.promise;
    });
    for (let i = 0; i < 10; i++) await kv.put(`plain ${i}`, i);
    assert.equal(await kv.count(), 10);
    gate.resolve();
    await done;
    assert.equal(await kv.count(), 11);
    await db.close();
  });

  test("plain writes of the body's last tick count as earlier", async () => {
    const db = await open(":memory:");
    const kv = await db.kv<number>("s");
    let plain: Promise<void> | undefined;
    await refuses("CONFLICT", () => db.transaction(async (tx) => {
      await (await tx.kv("s")).put("a", 1);
      plain = kv.put("a", 2);
    }));
    await plain;
    assert.equal(await kv.get("a"), 2);
    await db.close();
  });

  test("writes that the body does not await belong to the transaction; one that is refused rejects its own promise", async () => {
    const db = await open(":memory:");
    const kv = await db.kv<unknown>("s");
    let done: Promise<unknown>[] = [];
    await db.transaction(async (tx) => {
      const s = await tx.kv("s");
      done = [s.put("a", 1), s.put("b", NaN), s.putMany([["c", 1], ["d", undefined]]), s.delete("a"), s.put("e", 5), s.clear({ gt: 5 } as never), s.count(), tx.transaction(async (inner) => {
        await sleep(5);
        await (await inner.kv("s")).put("late", 1);
      })];
      for (const each of done) each.catch(() => {});
    });
    assert.deepEqual((await Promise.allSettled(done)).map((each) => each.status === "fulfilled" ? each.value : each.reason.code),
      [undefined, "INVALID_ARGUMENT", "INVALID_ARGUMENT", true, undefined, "INVALID_ARGUMENT", 1, undefined]);
    assert.deepEqual(await all(kv.keys()), ["e", "late"]);
    await db.close();
  });

  test("nested ones are one at a time: MISUSE, not a deadlock", async () => {
    const db = await open(":memory:");
    await db.transaction(async (tx) => {
      const s = await tx.kv<number>("s");
      const first = tx.transaction(async () => {
        await sleep(1);
        await refuses("MISUSE", () => tx.transaction(async () => {}), /nested/);
        await s.put("a", 1);
      });
      await refuses("MISUSE", () => tx.transaction(async () => {}), /nested/);
      await first;
      await tx.transaction(async () => s.put("b", 1));
    });
    assert.equal(await (await db.kv("s")).count(), 2);
    await db.close();
  });

  test("waiting for the turn ends with a signal or a time limit, and takes nothing from those behind it", async () => {
    const db = await open(":memory:");
    const gate = later<void>();
    const first = db.transaction(() => gate.promise);
    const controller = new AbortController(), why = new Error("why");
    const never = (): void => assert.fail("it ran");
    const aborted = db.transaction(never, { signal: controller.signal });
    const late = db.transaction(never, { timeoutMs: 5 });
    let ran = 0;
    const behind = db.transaction(() => void ran++, { timeoutMs: 1e12, signal: new AbortController().signal });
    await refuses("TIMEOUT", () => late, /5 ms/);
    controller.abort(why);
    const error = await thrown(() => aborted);
    assert.equal(error.code, "ABORTED");
    assert.equal(error.cause, why);
    await refuses("ABORTED", () => db.transaction(never, { signal: AbortSignal.abort() }));
    assert.equal(ran, 0);
    gate.resolve();
    await Promise.all([first, behind]);
    assert.equal(ran, 1);
    await db.close();
  });

  test("a time limit that was not needed keeps no process alive", async () => {
    const db = await open(":memory:");
    const timers = (): number => process.getActiveResourcesInfo().filter((each) => each === "Timeout").length;
    const before = timers();
    await db.transaction(() => {}, { timeoutMs: 1e8 });
    assert.equal(timers(), before);
    await db.close();
  });

  test("c09 a transaction larger than the memory of its database", async () => {
    const name = freshName();
    const db = openSync(name, { memory: 8 << 20 });
    const count = 300_000, value = "x".repeat(100);
    const key = (i: number): number => Math.imul(i, 0x9e3779b1);
    db.transaction((tx) => {
      const kv = tx.kv<string>("s", { key: "integer", value: "text" });
      for (let i = 0; i < count; i++) kv.put(key(i), value);
      assert.throws(() => tx.transaction(() => {
        for (let i = 0; i < count; i += 3) kv.delete(key(i));
        assert.equal(kv.count(), count - count / 3);
        throw new RangeError();
      }), RangeError);
      for (let i = 0; i < count; i += 30) assert.equal(kv.delete(key(i)), true);
    });
    db.close();
    const again = openSync(name, { mode: "existing" }), kv = again.kv("s");
    assert.equal(kv.count(), count - count / 30);
    for (let i = 0; i < count; i += 1000) assert.equal(kv.get(key(i)), i % 30 === 0 ? undefined : value);
    assert.equal(again.verify({ deep: true }).ok, true);
    again.close();
  });

  test("one that waits for itself is freed by its time limit", async () => {
    const db = await open(":memory:");
    await refuses("TIMEOUT", () => db.transaction(async () => {
      await db.transaction(() => {}, { timeoutMs: 5 });
    }));
    await refuses("TIMEOUT", () => db.transaction(async () => {
      await db.transaction(() => {});
    }, { timeoutMs: 5 }));
    await db.transaction(() => {});
    await db.close();
  });

  test("a body that is cut off is rolled back at once, and what it does later is CLOSED", async () => {
    const db = await open(":memory:");
    const kv = await db.kv<number>("s");
    const controller = new AbortController();
    for (const [options, code] of [[{ timeoutMs: SOON }, "TIMEOUT"], [{ signal: controller.signal }, "ABORTED"]] as const) {
      if (code === "ABORTED") setTimeout(() => controller.abort(), SOON);
      const gate = later<void>(), ended = later<unknown>();
      await refuses(code, () => db.transaction(async (tx) => {
        const s = await tx.kv<number>("s");
        await s.put("a", 1);
        await tx.kv("made");
        await gate.promise;
        ended.resolve(await thrown(() => s.put("b", 1)));
        throw new Error("nobody hears it");
      }, options));
      assert.deepEqual((await db.membranes()).map(({ name }) => name), ["s"]);
      await db.transaction(async (tx) => assert.equal(await (await tx.kv("s")).count(), 0));
      gate.resolve();
      assert.equal((await ended.promise as { code: string }).code, "CLOSED");
    }
    assert.equal(await kv.count(), 0);
    await db.close();
  });

  test("a nested one whose transaction is cut off ends in CLOSED", async () => {
    const db = await open(":memory:");
    const gate = later<void>(), ended = later<unknown>();
    await refuses("TIMEOUT", () => db.transaction(async (tx) => {
      await (await tx.kv("s")).put("a", 1);
      ended.resolve(await thrown(() => tx.transaction(async (inner) => {
        const s = await inner.kv("s");
        await gate.promise;
        for (const call of [() => s.get("a"), () => all(s.keys()), () => s.put("c", 1), () => s.clear(), () => inner.batch()]) await refuses("CLOSED", call);
      })));
    }, { timeoutMs: SOON }));
    await db.transaction(async (tx) => (await tx.kv("s")).put("b", 1));
    gate.resolve();
    assert.equal((await ended.promise as { code: string }).code, "CLOSED");
    assert.deepEqual(await all((await db.kv("s")).keys()), ["b"]);
    await db.close();
  });

  test("handles of one database in one process take turns, synchronous ones get BUSY", async () => {
    const name = freshName();
    const a = await open(name), b = await open(name), c = openSync(name);
    const gate = later<void>(), order: string[] = [];
    const first = a.transaction(async (tx) => {
      await (await tx.kv("s")).put("a", 1);
      await gate.promise;
      order.push("first");
    });
    const second = b.transaction(async (tx) => {
      order.push("second");
      return (await tx.kv("s")).count();
    });
    await refuses("BUSY", () => c.transaction(() => {}), /open already/);
    c.kv("s").put("plain", 1);
    gate.resolve();
    await first;
    assert.equal(await second, 2);
    assert.deepEqual(order, ["first", "second"]);
    c.transaction((tx) => {
      assert.throws(() => c.transaction(() => {}), { code: "BUSY" });
      tx.kv("s").put("sync", 1);
    });
    await Promise.all([a.close(), b.close()]);
    assert.equal(c.kv("s").count(), 3);
    c.close();
  });

  test("a turn that comes in the moment of a signal goes on to the next", async () => {
    const name = freshName();
    const a = await open(name), b = openSync(name);
    const controller = new AbortController();
    let aborted: Promise<void> | undefined, behind: Promise<number> | undefined;
    b.transaction(() => {
      aborted = a.transaction(() => assert.fail("it ran"), { signal: controller.signal });
      behind = a.transaction(() => 1);
    });
    controller.abort();
    await refuses("ABORTED", () => aborted);
    assert.equal(await behind, 1);
    assert.equal(b.transaction(() => 2), 2);
    await a.close();
    b.close();
  });

  test("closing one handle ends its transactions, open or waiting, and those of others go on", async () => {
    const name = freshName();
    const a = await open(name), b = await open(name);
    const gate = later<void>();
    const hangs = a.transaction(async (tx) => {
      await (await tx.kv("s")).put("a", 1);
      await gate.promise;
    });
    const waits = a.transaction(() => assert.fail("it ran"));
    const others = b.transaction(async (tx) => (await tx.kv("s")).put("b", 1));
    const codes = Promise.allSettled([hangs, waits]);
    await a.close();
    assert.deepEqual((await codes).map((each) => (each as PromiseRejectedResult).reason.code), ["CLOSED", "CLOSED"]);
    await others;
    gate.resolve();
    assert.deepEqual(await all((await b.kv("s")).keys()), ["b"]);
    await b.close();
  });

  test("a synchronous body may not be async: it is refused and rolled back", async () => {
    const db = openSync(":memory:");
    const kv = db.kv<number>("s");
    await refuses("INVALID_ARGUMENT", () => db.transaction(async (tx) => {
      const s = tx.kv<number>("s");
      s.put("a", 1);
      await sleep(1);
      s.put("b", 1);
    }), /async/);
    await refuses("INVALID_ARGUMENT", () => db.transaction((tx) => tx.transaction(() => Promise.reject(new Error("nobody hears it")))), /async/);
    await sleep(5);
    assert.equal(kv.count(), 0);
    assert.equal(db.transaction((tx) => {
      tx.kv("s").put("a", 1);
      return 7;
    }), 7);
    db.close();
  });

  test("durability: a commit is synced before it resolves, as the level says", async () => {
    for (const [durability, syncs] of [["strict", 1], ["relaxed", 0], ["none", 0]] as const) {
      const db = await open(freshName(), { durability });
      await db.kv("s");
      const before = (await db.stats()).syncs;
      await db.transaction(async (tx) => (await tx.kv("s")).put("a", 1));
      assert.equal((await db.stats()).syncs - before, syncs, durability);
      await db.close();
    }
  });

  test("types", async () => {
    const db = await open(":memory:");
    const answer: number = await db.transaction(async (tx: Transaction) => {
      const ages = await tx.kv<number, string>("ages");
      await ages.put("ada", 36);
      return (await ages.get("ada") ?? 0) + 1;
    });
    assert.equal(answer, 37);
    await db.close();
  });
});
