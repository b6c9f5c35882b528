// Batches, snapshots, membranes and the order of un-awaited calls.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { open } from "../../build/js/index.js";
import { all, faces, inMemory, refuses } from "./lib.ts";

const remote = process.env.TEST_REMOTE !== undefined;

for (const face of faces) {
  describe(`batches, ${face.name}`, () => {
    test("all or nothing, over several membranes, by handle or name", () => inMemory(face, async (db) => {
      const kv = await db.kv<number>("s");
      const notes = await db.collection<{ title: string }>("n", { vector: { dimensions: 2 }, fields: { title: "text" } });
      await kv.put("old", 1);
      const before = (await db.stats()).sequence;
      await db.batch()
        .put(kv, "a", 1).put("s", "b", 2).delete(kv, "old").delete("s", "never there")
        .put(notes, { key: "x", vector: [1, 2], title: "T" }).put("n", [{ key: "y", vector: [3, 4] }])
        .commit();
      assert.equal((await db.stats()).sequence, before + 1n);
      assert.deepEqual(await all(kv.entries()), [["a", 1], ["b", 2]]);
      assert.deepEqual(await all(notes.records()), [{ key: "x", title: "T" }, { key: "y", title: null }]);
      await db.batch().commit();
      assert.equal((await db.stats()).sequence, before + 1n);
    }));

    test("the last write of a key wins", () => inMemory(face, async (db) => {
      const kv = await db.kv<number>("s");
      await db.batch().put(kv, "a", 1).delete(kv, "a").put(kv, "a", 2).put(kv, "b", 1).delete(kv, "b").commit();
      assert.deepEqual(await all(kv.entries()), [["a", 2]]);
    }));

    test("what is refused at its call leaves the batch as it was", () => inMemory(face, async (db) => {
      const kv = await db.kv<unknown>("s");
      const notes = await db.collection("n", { vector: { dimensions: 2 } });
      const batch = db.batch().put(kv, "a", 1);
      await refuses("INVALID_ARGUMENT", () => batch.put(kv, 5 as never, 1), /must be a string/);
      await refuses("INVALID_ARGUMENT", () => batch.put(kv, "b", NaN), /"b"/);
      await refuses("INVALID_ARGUMENT", () => batch.put("s", "b"), /a key, a value/);
      await refuses("INVALID_ARGUMENT", () => batch.put(notes, { key: "x", vector: [1] } as never), /dimensions/);
      await refuses("INVALID_ARGUMENT", () => batch.put(notes, [{ key: "x", vector: [1, 2] }, { key: "y" }] as never), /vector/);
      await refuses("INVALID_ARGUMENT", () => batch.delete(kv, 1 as never), /must be a string/);
      await refuses("INVALID_ARGUMENT", () => batch.put({} as never, "a", 1), /handle or a name/);
      if (!remote) await refuses("NOT_FOUND", () => batch.put("nope", "a", 1), /nope/); // another realm is asked at the commit
      await batch.put(kv, "c", 3).commit();
      assert.deepEqual(await all(kv.entries()), [["a", 1], ["c", 3]]);
      assert.equal(await notes.count(), 0);
      await refuses("MISUSE", () => batch.put(kv, "d", 1), /committed/);
      await refuses("MISUSE", () => batch.commit(), /committed/);
    }));

    test("a membrane that was dropped before the commit refuses all of it", () => inMemory(face, async (db) => {
      const a = await db.kv<number>("a"), b = await db.kv<number>("b");
      const batch = db.batch().put(a, "k", 1).put(b, "k", 1);
      await db.drop("b");
      await refuses("NOT_FOUND", () => batch.commit());
      assert.equal(await a.count(), 0);
    }));

    test("membranes of another database are refused", () => inMemory(face, (db) => inMemory(face, async (other) => {
      const kv = await other.kv<number>("s");
      await refuses("INVALID_ARGUMENT", () => db.batch().put(kv, "a", 1), /another database/);
    })));
  });

  describe(`snapshots, ${face.name}`, () => {
    test("one state, however the database goes on", () => inMemory(face, async (db) => {
      const kv = await db.kv<number>("s");
      const notes = await db.collection<{ n: number }>("n", { vector: { dimensions: 1 }, fields: { n: "integer" } });
      await kv.putMany([["a", 1], ["b", 2]]);
      await notes.put({ key: "x", vector: [1], n: 1 });
      const snapshot = await db.snapshot();
      await kv.put("a", 100), await kv.delete("b"), await kv.put("c", 3);
      await notes.put({ key: "x", vector: [9], n: 9 });
      await db.checkpoint();
      await db.compact();
      const old = await snapshot.kv<number>("s"), oldNotes = await snapshot.collection<{ n: number }>("n");
      assert.equal(await old.get("a"), 1);
      assert.deepEqual(await old.getMany(["a", "b", "c"]), [1, 2, undefined]);
      assert.deepEqual(await all(old.entries()), [["a", 1], ["b", 2]]);
      assert.equal(await old.count(), 2);
      assert.equal(await old.has("c"), false);
      assert.deepEqual(await oldNotes.search([1]), [{ key: "x", distance: 0, n: 1 }]);
      assert.deepEqual(await all(oldNotes.records({ where: { n: 1 } })), [{ key: "x", n: 1 }]);
      assert.equal(snapshot.sequence < (await db.stats()).sequence, true);
      assert.equal((await db.stats()).snapshots, 1);
      for (const write of [() => old.put("a", 1), () => old.delete("a"), () => old.clear(), () => old.putMany([]), () => oldNotes.put({ key: "z", vector: [1] }),
        () => oldNotes.update("x", {}), () => oldNotes.deleteWhere({ n: 1 }), () => oldNotes.clear(), () => db.batch().put(old, "a", 1)]) {
        await refuses("READONLY", write);
      }
      await refuses("NOT_FOUND", () => snapshot.kv("nope"), /nope/);
      const rows = old.entries();
      await snapshot.release();
      await snapshot.release();
      for (const read of [() => old.get("a"), () => old.count(), () => all(rows), () => oldNotes.search([1]), () => snapshot.kv("s"), () => snapshot.membranes()]) {
        await refuses("CLOSED", read);
      }
      assert.equal((await db.stats()).snapshots, 0);
      assert.equal(await kv.get("a"), 100);
    }));
  });

  describe(`membranes, ${face.name}`, () => {
    test("opened again as it is stored; another schema or kind is refused", () => inMemory(face, async (db) => {
      await db.kv("a", { key: ["integer", "text"], value: "bytes" });
      await db.collection("b", { vector: { dimensions: 3, metric: "cosine" }, fields: { t: "text" } });
      const again = await db.kv<Uint8Array>("a");
      await again.put([1, "x"], Uint8Array.of(1));
      await db.kv("a", { key: ["integer", "text"], value: "bytes" });
      await refuses("SCHEMA_MISMATCH", () => db.kv("a", { key: "integer", value: "bytes" }), /key/);
      await refuses("SCHEMA_MISMATCH", () => db.collection("b", { vector: { dimensions: 4, metric: "cosine" }, fields: { t: "text" } }), /dimensions/);
      await refuses("SCHEMA_MISMATCH", () => db.collection("b", { vector: { dimensions: 3, metric: "cosine" }, fields: { t: "integer" } }), /t/);
      await refuses("WRONG_KIND", () => db.kv("b"), /"b"/);
      await refuses("WRONG_KIND", () => db.collection("a"), /"a"/);
      await refuses("WRONG_KIND", () => db.collection("a", { vector: { dimensions: 3 } }), /"a"/);
      await refuses("INVALID_ARGUMENT", () => db.collection("c"), /dimensions/);
      assert.deepEqual((await db.membranes()).map(({ bytes, ...rest }) => (assert.ok(bytes >= 0), rest)), [
        { name: "a", kind: "kv", schema: { key: ["integer", "text"], value: "bytes" }, rows: 1 },
        { name: "b", kind: "collection", rows: 0, schema: { key: "text", fields: { t: "text" }, vector: { dimensions: 3, metric: "cosine", element: "f32", index: "auto", bits: 1 } } },
      ]);
    }));

    test("drop and rename", () => inMemory(face, async (db) => {
      const a = await db.kv<number>("a");
      await a.put("k", 1);
      await db.rename("a", "b");
      assert.equal(await a.get("k"), 1);
      assert.equal(a.name, "b");
      assert.equal(await (await db.kv("b")).get("k"), 1);
      await db.kv("c");
      await refuses("EXISTS", () => db.rename("b", "c"), /c/);
      await refuses("NOT_FOUND", () => db.rename("nope", "d"), /nope/);
      await refuses("NOT_FOUND", () => db.drop("nope"), /nope/);
      await db.drop("b");
      for (const call of [() => a.get("k"), () => a.put("k", 1), () => a.count(), () => all(a.entries()), () => a.clear(), () => db.batch().put(a, "k", 1)]) {
        await refuses("NOT_FOUND", call, /dropped/);
      }
      const anew = await db.kv("b");
      assert.equal(await anew.count(), 0);
      assert.deepEqual((await db.membranes()).map(({ name }) => name), ["b", "c"]);
    }));

    for (const name of ["", ".", "..", "a/b", "a\\b", "a\nb", "x".repeat(256), "\ud800", 5, undefined, null, {}] as never[]) {
      test(`the name ${JSON.stringify(name)?.slice(0, 20)} is refused`, () => inMemory(face, async (db) => {
        for (const call of [() => db.kv(name), () => db.collection(name, { vector: { dimensions: 1 } }), () => db.drop(name), () => db.rename(name, "b"), () => db.rename("b", name)]) {
          await refuses("INVALID_ARGUMENT", call);
        }
      }));
    }
  });
}

describe("un-awaited writes", () => {
  test("writes of one tick share one frame and one sync, and stay in order", async () => {
    const db = await open(":memory:");
    const kv = await db.kv<number>("s");
    const before = await db.stats();
    const done = Array.from({ length: 1000 }, (_, i) => kv.put(`k${i % 10}`, i));
    await Promise.all(done);
    const after = await db.stats();
    assert.equal(after.syncs - before.syncs, 1);
    assert.equal(after.sequence - before.sequence, 1000n);
    assert.deepEqual(await all(kv.values()), [990, 991, 992, 993, 994, 995, 996, 997, 998, 999]);
    await db.close();
  });

  test("calls take effect in their order, reads between writes too", async () => {
    const db = await open(":memory:");
    const kv = await db.kv<number>("s");
    const got = await Promise.all([
      kv.get("a"), kv.put("a", 1), kv.get("a"), kv.put("a", 2), kv.count(), kv.delete("a"), kv.has("a"), kv.delete("a"),
      kv.put("b", 1), kv.clear(), kv.count(), kv.put("c", 1), all(kv.keys()),
    ]);
    assert.deepEqual(got, [undefined, undefined, 1, undefined, 1, true, false, false, undefined, 1, 0, undefined, ["c"]]);
    const before = (await db.stats()).syncs;
    await Promise.all([kv.put("d", 1), kv.delete("c"), kv.clear({ gte: "x" }), kv.get("d"), db.batch().put(kv, "e", 1).commit()]);
    const syncs = (await db.stats()).syncs - before;
    assert.ok(syncs === 1 || (remote && syncs === 2), `${syncs} syncs`); // a read sends what was written before it
    await db.close();
  });

  test("one that is refused does not refuse the others", async () => {
    const db = await open(":memory:", { memory: 4 << 20 });
    const kv = await db.kv<string>("s", { value: "text" }), gone = await db.kv<string>("gone", { value: "text" });
    const done = await Promise.allSettled([
      kv.put("a", "1"), kv.put("b", 5 as never), gone.put("x", "1"), kv.put("c", "x".repeat(64 << 20)), kv.put("d", "2"), db.drop("gone"), gone.put("y", "1"), kv.put("e", "3"),
    ]);
    assert.deepEqual(done.map((each) => each.status === "fulfilled" ? "kept" : each.reason.code), [
      "kept", "INVALID_ARGUMENT", "kept", "RESOURCE_EXHAUSTED", "kept", "kept", "NOT_FOUND", "kept",
    ]);
    assert.deepEqual(await all(kv.keys()), ["a", "d", "e"]);
    await db.close();
  });

  test("a promise resolves after its sync, and never before", async () => {
    const db = await open(":memory:");
    const kv = await db.kv<number>("s");
    const before = (await db.stats()).syncs;
    let resolved = false;
    const done = kv.put("a", 1).then(() => { resolved = true; });
    await Promise.resolve();
    await kv.get("a");
    assert.equal(resolved, false);
    await done;
    assert.equal((await db.stats()).syncs, before + 1);
    await db.close();
  });

  test("close settles what was written before it", async () => {
    const db = await open(":memory:");
    const kv = await db.kv<number>("s");
    const done = Promise.all([kv.put("a", 1), kv.put("b", 2)]);
    await db.close();
    await done;
    await db.close();
    for (const call of [() => kv.get("a"), () => kv.put("a", 1), () => all(kv.entries()), () => db.kv("s"), () => db.stats(), () => db.flush(), () => db.batch(), () => db.snapshot(), () => db.membranes(), () => db.compact(), () => db.verify(), () => db.checkpoint(), () => db.drop("s"), () => db.rename("s", "t")]) {
      await refuses("CLOSED", call);
    }
  });
});
