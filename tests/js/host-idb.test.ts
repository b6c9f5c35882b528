// The host over IndexedDB, on a shim of it: what is acknowledged is committed, and connections
// that break, commits that hang and other owners cost nothing of it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Database } from "../../build/js/database.js";
import { isInIdb, openIdb, removeFromIdb } from "../../build/js/host-idb.js";
import { openIn } from "../../build/js/open.js";
import { all, refuses } from "./lib.ts";
import { ShimIdb } from "./shim-idb.ts";
import { domError } from "./shim-opfs.ts";

async function openOn(shim: ShimIdb, options?: Parameters<typeof openIn>[2], create = true): Promise<Database> {
  shim.install();
  return new Database(await openIn(await openIdb("db", { create }), "db", options), "db", false);
}

async function rows(db: Database): Promise<unknown[]> {
  return all((await db.kv("s")).entries());
}

test("J22 written, closed and opened again; removed, it is gone", async () => {
  const shim = new ShimIdb(), db = await openOn(shim);
  const big = new Uint8Array(200_000).map((_, i) => i * 7);
  await (await db.kv("s")).put("a", 1);
  await (await db.kv("big", { value: "bytes" })).put("b", big);
  await db.checkpoint();
  await db.compact();
  await db.close();
  const again = await openOn(shim, { mode: "existing" }, false);
  assert.deepEqual(await rows(again), [["a", 1]]);
  assert.deepEqual(await (await again.kv("big")).get("b"), big);
  assert.deepEqual((await again.verify({ deep: true })).problems, []);
  await again.close();
  assert.equal(await isInIdb("db"), true);
  await removeFromIdb("db");
  assert.equal(await isInIdb("db"), false);
  await refuses("NOT_FOUND", () => openOn(shim, { mode: "existing" }, false), /db/);
  assert.equal(shim.databases.size, 0);
});

test("J22 nothing is acknowledged before its commit, and a tick's writes have one", async () => {
  const shim = new ShimIdb(), db = await openOn(shim), kv = await db.kv("s");
  const before = shim.commits;
  let acknowledged = false;
  const writes = Promise.all(Array.from({ length: 100 }, (_, i) => kv.put(`k${i}`, i))).then(() => acknowledged = true);
  shim.commit = () => {
    assert.equal(acknowledged, false);
    return undefined;
  };
  await writes;
  shim.commit = undefined;
  assert.equal(shim.commits, before + 1);
  const after = await openOn(shim.after(), { mode: "existing" });
  assert.equal((await rows(after)).length, 100);
  await after.close();
  await db.close();
});

for (const hangs of [false, true]) {
  test(`J22 connections that break ${hangs ? "without an end of their transactions" : ""} are opened again, and what was not committed is put again`, async () => {
    const shim = new ShimIdb(), db = await openOn(shim), kv = await db.kv("s");
    await kv.put("a", 1);
    shim.hangs = hangs;
    const write = kv.put("b", 2);
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    shim.forceClose();
    await write;
    await kv.put("c", 3);
    const want = [["a", 1], ["b", 2], ["c", 3]];
    assert.deepEqual(await rows(db), want);
    const after = await openOn(shim.after(), { mode: "existing" });
    assert.deepEqual(await rows(after), want);
    await after.close();
    shim.install();
    await db.close();
  });
}

test("J22 a commit that was done without a word is done again, and changes nothing", async () => {
  const shim = new ShimIdb(), db = await openOn(shim), kv = await db.kv("s");
  await kv.put("a", 1);
  shim.mute = true;
  const write = kv.put("b", 2), before = shim.commits;
  while (shim.commits === before) await new Promise((resolve) => setTimeout(resolve, 5));
  shim.mute = false;
  await write;
  assert.equal(shim.commits, before + 2);
  const after = await openOn(shim.after());
  assert.deepEqual(await rows(after), [["a", 1], ["b", 2]]);
  await after.close();
  await db.close();
});

test("J22 commits that fail for good lose the host, and what was acknowledged is in the blocks", async () => {
  const shim = new ShimIdb(), db = await openOn(shim), kv = await db.kv("s");
  await kv.put("a", 1);
  shim.commit = () => domError("UnknownError");
  await refuses("IO", () => kv.put("b", 2), /UnknownError/);
  await refuses("IO", () => kv.get("a"));
  await db.close().catch(() => undefined);
  shim.commit = undefined;
  const again = await openOn(shim, { mode: "existing" });
  assert.deepEqual(await rows(again), [["a", 1]]);
  await again.close();
});

test("J03 a commit without room is QUOTA, and opened again everything acknowledged is there", async () => {
  const shim = new ShimIdb(), db = await openOn(shim), kv = await db.kv("s");
  await kv.put("a", 1);
  shim.commit = () => domError("QuotaExceededError");
  const refused = await kv.put("b", "x".repeat(50_000)).then(() => undefined, (error) => error);
  assert.equal(refused?.code, "QUOTA");
  assert.ok(refused.details.needed > 50_000);
  await db.close().catch(() => undefined);
  shim.commit = undefined;
  const again = await openOn(shim);
  assert.deepEqual(await rows(again), [["a", 1]]);
  await again.close();
});

test("J21 who was the owner and slept cannot commit over the next one", async () => {
  const shim = new ShimIdb(), stale = await openOn(shim), kv = await stale.kv("s");
  await kv.put("a", "of the first");
  const next = await openOn(shim), other = await next.kv("s");
  await other.put("a", "of the second");
  await refuses("BUSY", () => kv.put("a", "of the first again"), /another tab/);
  await refuses("BUSY", () => kv.get("a"));
  await stale.close().catch(() => undefined);
  await other.put("b", 1);
  await next.close();
  const again = await openOn(shim, { mode: "existing" });
  assert.deepEqual(await rows(again), [["a", "of the second"], ["b", 1]]);
  await again.close();
});

test("J02 data that was cleared under an owner is EVICTED without a write, and a write in flight is not acknowledged", async () => {
  for (const writing of [false, true]) {
    const shim = new ShimIdb(), db = await openOn(shim), kv = await db.kv("s");
    await kv.put("a", 1);
    const write = writing ? kv.put("b", 2).then(() => "acknowledged", (error) => error.code) : undefined;
    shim.clear();
    if (write !== undefined) assert.equal(await write, "EVICTED");
    else await new Promise((resolve) => setTimeout(resolve, 20));
    await refuses("EVICTED", () => kv.get("a"));
    await refuses("EVICTED", () => kv.put("c", 3));
    assert.equal(shim.databases.size, 0);
    await db.close().catch(() => undefined);
  }
});

test("J22 blocks that are missing are CORRUPT, never another state", async () => {
  const shim = new ShimIdb(), db = await openOn(shim);
  await (await db.kv("s", { value: "bytes" })).put("a", new Uint8Array(100_000));
  await db.close();
  const blocks = shim.databases.get("nacre:db")?.stores.get("blocks");
  const keys = [...blocks?.keys() ?? []] as number[];
  blocks?.delete(Math.max(...keys));
  await refuses("CORRUPT", () => openOn(shim), /missing/);
});
