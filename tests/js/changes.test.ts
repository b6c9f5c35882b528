// The feed of changes (J13) and the listeners of commits (E22).
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { open, openSync } from "../../build/js/index.js";
import type { Change, Database } from "../../build/js/index.js";
import { all, faces, freshName, inMemory, pick, random, refuses } from "./lib.ts";

const RETAIN = { changes: { retain: 1 << 20 } };

/** What a change says, without its place. */
function said({ sequence, index, ...rest }: Change): object {
  assert.equal(typeof sequence, "bigint");
  assert.equal(typeof index, "number");
  return rest;
}

async function take(from: AsyncIterator<Change>, count: number): Promise<object[]> {
  const taken: object[] = [];
  while (taken.length < count) {
    const { done, value } = await from.next();
    if (done === true) break;
    taken.push(said(value));
  }
  return taken;
}

const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

for (const face of faces) {
  describe(`changes, ${face.name}`, () => {
    test("j13: rows, records and membranes, in their order", () => inMemory(face, async (db) => {
      const kv = await db.kv<unknown>("s");
      const bytes = await db.kv<Uint8Array, [string, number]>("b", { key: ["text", "integer"], value: "bytes" });
      const notes = await db.collection<{ title: string; tags: unknown }>("n", {
        key: "bigint", vector: { dimensions: 2 }, fields: { title: "text", tags: "json" },
      });
      await kv.put("a", { deep: [1, null] });
      await db.batch().put(kv, "b", 1).delete(kv, "a").put(bytes, ["x", 7], Uint8Array.of(1, 2)).put(notes, { key: 5n, vector: [1, 2.5], title: "T" }).commit();
      await notes.delete(5n);
      await db.rename("s", "t");
      await db.drop("b");
      const changes = await all(db.changes());
      assert.deepEqual(changes.map(said), [
        { type: "create", name: "s", kind: "kv" },
        { type: "create", name: "b", kind: "kv" },
        { type: "create", name: "n", kind: "collection" },
        { type: "put", name: "t", kind: "kv", key: "a", value: { deep: [1, null] } },
        { type: "put", name: "t", kind: "kv", key: "b", value: 1 },
        { type: "delete", name: "t", kind: "kv", key: "a" },
        { type: "put", name: "n", kind: "collection", key: 5n, record: { key: 5n, vector: Float32Array.of(1, 2.5), title: "T", tags: null } },
        { type: "delete", name: "n", kind: "collection", key: 5n },
        { type: "rename", name: "t", from: "s" },
        { type: "drop", name: "b" },
      ]);
      for (let i = 1; i < changes.length; i++) {
        const a = changes[i - 1] as Change, b = changes[i] as Change;
        assert.ok(a.sequence < b.sequence || (a.sequence === b.sequence && a.index < b.index));
      }
      assert.equal(changes[4]?.sequence, changes[6]?.sequence); // a batch
      assert.equal(changes.at(-1)?.sequence, (await db.stats()).sequence);
      const from = changes[3]?.sequence as bigint;
      assert.deepEqual((await all(db.changes({ since: from }))).map(said), changes.slice(4).map(said));
      assert.deepEqual(await all(db.changes({ since: (await db.stats()).sequence })), []);
    }));

    test("j13: since is checked, and what is gone is said to be gone", () => inMemory(face, async (db) => {
      const kv = await db.kv<number>("s");
      await kv.put("a", 1);
      const { sequence } = await db.stats();
      for (const since of [1, "1", -1n, null, {}] as never[]) await refuses("INVALID_ARGUMENT", () => all(db.changes({ since })), /since/);
      await refuses("INVALID_ARGUMENT", () => all(db.changes({ since: sequence + 1n })), /future/);
      await refuses("INVALID_ARGUMENT", () => all(db.changes({ since: 2n ** 70n })), /future/);
      await refuses("INVALID_ARGUMENT", () => all(db.changes({ until: 5 } as never)), /until/);
      await refuses("INVALID_ARGUMENT", () => all(db.changes(5 as never)));
      await db.checkpoint();
      assert.deepEqual(await all(db.changes({ since: sequence })), []);
      await assert.rejects(async () => await all(db.changes({ since: 0n })), (error: { code?: string; details?: unknown; message: string }) => {
        assert.equal(error.code, "NOT_FOUND");
        assert.deepEqual(error.details, { oldest: sequence });
        assert.match(error.message, new RegExp(`${sequence}$`));
        return true;
      });
      assert.deepEqual(await all(db.changes()), []); // all that is kept
    }));

    test("j13: a closed database gives none", async () => {
      const db = await face.open(":memory:");
      const kv = await db.kv<number>("s");
      await kv.put("a", 1), await kv.put("b", 2);
      const begun = db.changes()[Symbol.asyncIterator]?.() ?? (db.changes() as unknown as Iterable<Change>)[Symbol.iterator]();
      await begun.next();
      await db.close();
      await refuses("CLOSED", () => begun.next());
      await refuses("CLOSED", () => all(db.changes()));
      await refuses("CLOSED", () => db.onCommit(() => {}));
    });

    test("j13: kept over restarts, within the bytes that are asked for", async () => {
      const name = freshName();
      let db = await face.open(name, RETAIN);
      const kv = await db.kv<string>("s", { value: "text" });
      const mirror = new Map<string, string>();
      let since = 0n;
      const follow = async (): Promise<void> => {
        for await (const change of db.changes({ since })) {
          if (change.type === "put" && change.kind === "kv") mirror.set(change.key as string, change.value);
          since = change.sequence;
        }
      };
      for (let round = 0; round < 6; round++) {
        const kv = await db.kv<string>("s");
        for (let i = 0; i < 50; i++) await kv.put(`k${i * round % 70}`, `${round} ${i}`.repeat(20));
        await db.checkpoint();
        if (round % 2 === 0) {
          await db.close();
          db = await face.open(name, RETAIN);
        } else {
          await follow();
          assert.deepEqual([...mirror].sort(), (await all((await db.kv<string>("s")).entries())).sort());
        }
      }
      assert.equal((await db.verify({ deep: true })).ok, true);
      assert.deepEqual((await db.membranes()).map(({ name }) => name), ["s"]);
      await refuses("INVALID_ARGUMENT", () => face.open(":memory:", { changes: {} as never }), /retain/);
      await refuses("INVALID_ARGUMENT", () => face.open(":memory:", { changes: { retain: 2 ** 41 } }), /changes\.retain/);
      for (const changes of [5, null, { retain: -1 }, { retain: 1.5 }, { retain: 1, more: 2 }] as never[]) {
        await refuses("INVALID_ARGUMENT", () => face.open(":memory:", { changes }), /changes/);
      }
      await refuses("MISUSE", () => face.open(name, { changes: { retain: 5 } }), /changes/);
      await db.close();
      await refuses("CLOSED", () => kv.get("a"));
    });

    test("e22: listeners are told after commits, and of nothing else", () => inMemory(face, async (db) => {
      const kv = await db.kv<number>("s");
      const told: object[] = [];
      await refuses("INVALID_ARGUMENT", () => db.onCommit(5 as never), /function/);
      const end = db.onCommit((commit) => told.push(commit));
      await kv.put("a", 1);
      assert.deepEqual(told, [{ sequence: (await db.stats()).sequence, puts: 1, deletes: 0 }]);
      await refuses("INVALID_ARGUMENT", () => kv.put(5 as never, 1));
      await refuses("INVALID_ARGUMENT", () => kv.putMany([["x", 1], ["y", NaN]]));
      db.batch().put(kv, "b", 1); // never committed
      await refuses("ABORTED", () => db.transaction(() => {
        throw Object.assign(new Error("no"), { name: "NacreError", code: "ABORTED" });
      }));
      await db.checkpoint();
      await kv.get("a");
      assert.equal(told.length, 1);
      await db.batch().put(kv, "b", 1).put(kv, "c", 2).delete(kv, "a").commit();
      assert.deepEqual(told[1], { sequence: (await db.stats()).sequence, puts: 2, deletes: 1 });
      await kv.clear();
      assert.deepEqual(told[2], { sequence: (await db.stats()).sequence, puts: 0, deletes: 2 });
      end();
      end();
      await kv.put("z", 1);
      assert.equal(told.length, 3);
    }));
  });
}

describe("live changes", () => {
  test("j13: each commit as it comes, none before it is acknowledged", async () => {
    const db = await open(":memory:");
    const kv = await db.kv<number>("s");
    await kv.put("before", 0);
    void kv.put("on its way", 0);
    const live = db.changes({ live: true });
    const first = live.next();
    let there = false;
    void first.then(() => { there = true; });
    const put = kv.put("a", 1);
    await kv.get("a"); // it is applied, but not yet synced
    await Promise.resolve();
    assert.equal(there, false);
    await put;
    assert.deepEqual(said((await first).value), { type: "put", name: "s", kind: "kv", key: "a", value: 1 });
    void kv.put("b", 2), void kv.delete("b");
    await kv.putMany([["c", 3], ["d", 4]]);
    assert.deepEqual((await take(live, 4)).map((change) => [(change as { type: string }).type, (change as { key: string }).key]),
      [["put", "b"], ["delete", "b"], ["put", "c"], ["put", "d"]]);
    const waiting = live.next();
    await db.transaction(async (tx) => (await tx.kv<number>("s")).put("t", 1));
    assert.equal(((await waiting).value as { key: string }).key, "t");
    await live.return?.();
    assert.deepEqual(await live.next(), { done: true, value: undefined });
    await db.close();
  });

  test("j13: rolled-back and refused writes are never shown", async () => {
    const db = await open(":memory:", { memory: 4 << 20 });
    const kv = await db.kv<string>("s", { value: "text" });
    const live = db.changes({ live: true });
    const next = live.next();
    await assert.rejects(db.transaction(async (tx) => {
      await (await tx.kv<string>("s")).put("no", "");
      throw new Error("rolled back");
    }));
    await refuses("RESOURCE_EXHAUSTED", () => kv.put("no", "x".repeat(64 << 20)));
    await refuses("INVALID_ARGUMENT", () => kv.putMany([["no", ""], ["no", 5 as never]]));
    await kv.put("yes", "");
    assert.equal(((await next).value as { key: string }).key, "yes");
    await db.close();
  });

  test("j13: who keeps up loses nothing, whatever happens to the log", async () => {
    const db = await open(":memory:");
    const kv = await db.kv<number>("s");
    const seen: number[] = [];
    const follow = (async () => {
      for await (const change of db.changes({ live: true })) if (change.type === "put" && change.kind === "kv") seen.push(change.value as number);
    })();
    await soon();
    for (let i = 0; i < 50; i++) {
      await kv.put("k", i);
      if (i % 3 === 0) await db.checkpoint();
      if (i % 20 === 7) await db.compact();
    }
    await db.close(); // ends it
    await follow;
    assert.deepEqual(seen, Array.from({ length: 50 }, (_, i) => i));
  });

  test("j13: who is too slow is told", async () => {
    const db = await open(":memory:");
    const kv = await db.kv<string>("s", { value: "text" });
    const live = db.changes({ live: true });
    const first = live.next();
    for (let i = 0; i < 400; i++) await kv.put(`k${i}`, "x".repeat(2000));
    await db.checkpoint();
    await first;
    await assert.rejects(async () => { for await (const _ of live); }, (error: { code?: string; details?: { oldest?: unknown } }) =>
      error.code === "NOT_FOUND" && typeof error.details?.oldest === "bigint");
    assert.deepEqual(await live.next(), { done: true, value: undefined });
    await db.close();
  });

  test("j13: a signal ends it with ABORTED, and its reason is the cause", async () => {
    const db = await open(":memory:");
    const kv = await db.kv<number>("s");
    for (const wait of [true, false]) {
      const controller = new AbortController();
      const live = db.changes({ live: true, signal: controller.signal });
      if (wait) {
        const next = live.next();
        setTimeout(() => controller.abort("enough"), 1);
        await assert.rejects(next, (error: { code?: string; cause?: unknown }) => error.code === "ABORTED" && error.cause === "enough");
      } else {
        controller.abort("enough");
        await refuses("ABORTED", () => live.next());
      }
      assert.deepEqual(await live.next(), { done: true, value: undefined });
    }
    await kv.putMany([["a", 1], ["b", 2]]);
    const controller = new AbortController();
    await refuses("ABORTED", async () => {
      for await (const _ of db.changes({ since: 0n, signal: controller.signal })) controller.abort();
    });
    await refuses("INVALID_ARGUMENT", () => db.changes({ signal: 5 as never }), /signal/);
    await refuses("INVALID_ARGUMENT", () => db.changes({ live: 1 as never }), /live/);
    const sync = openSync(":memory:");
    assert.throws(() => [...sync.changes({ live: true } as never)], { code: "INVALID_ARGUMENT" });
    sync.close();
    await db.close();
  });

  test("j13: return ends one that waits; it holds nothing then", async () => {
    const db = await open(":memory:");
    await db.kv("s");
    const live = db.changes({ live: true });
    const one = live.next(), two = live.next();
    await live.return?.();
    assert.deepEqual(await Promise.all([one, two]), [{ done: true, value: undefined }, { done: true, value: undefined }]);
    const never = db.changes({ live: true });
    await never.return?.();
    await db.close();
    await refuses("CLOSED", () => db.changes({ live: true }));
  });

  test("j13: the two faces of one database see each other's commits", async () => {
    const name = freshName();
    const db = await open(name), other = openSync(name);
    const live = db.changes({ live: true });
    const made = live.next();
    const kv = other.kv<number>("s");
    assert.equal((await made).value?.type, "create");
    const next = live.next();
    kv.put("a", 1);
    assert.deepEqual(said((await next).value), { type: "put", name: "s", kind: "kv", key: "a", value: 1 });
    other.close();
    await db.close();
  });

  test("e22: a listener may use the database, and one that throws harms nobody", async () => {
    const db = await open(":memory:");
    const kv = await db.kv<number>("s"), log = await db.kv<string>("log", { key: "text", value: "text" });
    let calls = 0;
    db.onCommit(({ sequence }) => {
      if (calls++ === 0) void log.put("last", String(sequence));
    });
    const { sequence } = await db.stats();
    await kv.put("a", 1);
    await soon();
    assert.equal(await log.get("last"), String(sequence + 1n));
    assert.equal(calls, 2);
    const thrown: (() => void)[] = [], queue = globalThis.queueMicrotask;
    const end = db.onCommit(() => { throw new Error("a listener's own"); });
    globalThis.queueMicrotask = (run) => void thrown.push(run);
    try {
      await kv.put("b", 1);
    } finally {
      globalThis.queueMicrotask = queue;
      end();
    }
    assert.equal(thrown.length, 1); // it is thrown where uncaught errors go
    assert.throws(thrown[0] as () => void, /a listener's own/);
    assert.equal(await kv.get("b"), 1);
    await db.close();
  });
});

describe("changes of random lives", () => {
  for (let life = 0; life < 6; life++) {
    test(`j13: life ${life}, replayed into a Map, is the database`, async () => {
      const next = random(900 + life), name = freshName();
      const options = { memory: 2 << 20, durability: "none", changes: { retain: life % 2 === 0 ? 64 << 20 : 200_000 } } as const;
      let db: Database = await open(name, options);
      const mirror = new Map<string, unknown>();
      let since = 0n, live: AsyncIterableIterator<Change> | undefined, behind = false;
      const apply = (change: Change): void => {
        if (change.type === "put") mirror.set(`${change.name}/${String(change.key)}`, change.kind === "kv" ? change.value : change.record);
        if (change.type === "delete") mirror.delete(`${change.name}/${String(change.key)}`);
        if (change.type === "drop") for (const key of [...mirror.keys()]) if (key.startsWith(`${change.name}/`)) mirror.delete(key);
        since = change.sequence;
      };
      const state = async (): Promise<[string, unknown][]> => {
        const rows: [string, unknown][] = [];
        for (const { name, kind } of await db.membranes()) {
          if (kind === "kv") for await (const [key, value] of (await db.kv(name)).entries()) rows.push([`${name}/${String(key)}`, value]);
          else for await (const record of (await db.collection(name)).records({ include: ["vector", "n"] })) rows.push([`${name}/${String(record.key)}`, record]);
        }
        return rows;
      };
      const sorted = (rows: Iterable<[string, unknown]>): [string, unknown][] => [...rows].sort(([a], [b]) => a < b ? -1 : 1);
      for (let round = 0; round < 300; round++) {
        const kv = await db.kv<unknown>("kv"), notes = await db.collection<{ n: number }>("notes", { vector: { dimensions: 2 }, fields: { n: "integer" } });
        const batch = db.batch();
        for (let i = 1 + Math.floor(next() * 8); i > 0; i--) {
          const key = `k${Math.floor(next() * 40)}`;
          if (next() < 0.3) batch.delete(pick(next, [kv, notes]), key);
          else if (next() < 0.5) batch.put(kv, key, { round, text: "x".repeat(Math.floor(next() * 3000)) });
          else batch.put(notes, { key, vector: [round, i], n: i });
        }
        await batch.commit();
        const what = Math.floor(next() * 30);
        if (what === 0) await db.checkpoint();
        if (what === 1) await db.compact();
        if (what === 2) await db.drop(pick(next, ["kv", "notes"]));
        if (what === 3) {
          await live?.return?.();
          live = undefined;
          await db.close();
          db = await open(name, options);
        }
        if (what > 24) {
          try {
            for await (const change of db.changes({ since })) apply(change);
          } catch (error) {
            assert.equal((error as { code?: string }).code, "NOT_FOUND");
            behind = true;
            since = (await db.stats()).sequence; // begins anew from what is there
            mirror.clear();
            for (const [key, value] of await state()) mirror.set(key, value);
          }
          assert.deepEqual(sorted(mirror), sorted(await state()), `round ${round}`);
        }
      }
      assert.equal(behind && life % 2 === 0, false); // with enough retained nobody is
      await db.close();
    });
  }
});
