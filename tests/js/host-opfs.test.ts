// The host over access handles of the OPFS, on a shim of them: what browsers answer at the edge.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { openSync } from "../../build/js/index.js";
import { Database } from "../../build/js/database.js";
import { openFolder } from "../../build/js/host-opfs.js";
import { openIn } from "../../build/js/open.js";
import { all, freshName, refuses } from "./lib.ts";
import { domError, ShimFolder } from "./shim-opfs.ts";

async function openOn(folder: ShimFolder, options?: Parameters<typeof openIn>[2]): Promise<Database> {
  return new Database(await openIn(await openFolder(folder, "db", 50, options?.memory), "db", options), "db", false);
}

test("J24 a database has three handles, and gives them back", async () => {
  const folder = new ShimFolder();
  const db = await openOn(folder);
  const kv = await db.kv("s");
  await kv.put("a", 1);
  await db.checkpoint();
  assert.equal(folder.handles, 3);
  assert.deepEqual([...folder.files.keys()], ["db", "db-wal0", "db-wal1"]);
  await db.close();
  assert.equal(folder.handles, 0);
  const again = await openOn(folder, { mode: "existing" });
  assert.deepEqual(await all((await again.kv("s")).entries()), [["a", 1]]);
  await again.close();
});

test("J24 whoever cannot have all handles has none, and is told BUSY in the end", async () => {
  const folder = new ShimFolder();
  const other = await (await folder.getFileHandle("db-wal1", { create: true })).createSyncAccessHandle();
  await refuses("BUSY", () => openOn(folder), /db-wal1/);
  assert.equal(folder.handles, 1);
  const opening = openFolder(folder, "db", 5000);
  await new Promise((resolve) => setTimeout(resolve, 10));
  other.close();
  (await opening).close();
  assert.equal(folder.handles, 0);
});

test("a tick's writes are one write and one flush", async () => {
  const folder = new ShimFolder(), db = await openOn(folder), kv = await db.kv("s");
  await kv.put("warm", 0);
  const done: string[] = [];
  folder.step = (file, verb) => void done.push(`${verb} ${file}`);
  await Promise.all(Array.from({ length: 100 }, (_, i) => kv.put(`k${i}`, i)));
  assert.equal(done.length, 2);
  assert.match(done.join(), /^write db-wal(.),flush db-wal\1$/);
  await db.close();
});

const EDGES: [name: string, answer: (size: number) => number][] = [
  ["0", () => 0],
  ["a short count", (size) => Math.floor(size / 2)],
  ["4294967288", () => 4294967288],
  ["QuotaExceededError", () => { throw domError("QuotaExceededError"); }],
  ["NS_ERROR_FILE_NO_DEVICE_SPACE", () => { throw domError("NS_ERROR_FILE_NO_DEVICE_SPACE"); }],
  ["an error without a name for it", () => { throw domError("UnknownError"); }],
];

for (const [name, answer] of EDGES) {
  test(`J03 a write that answers ${name} is QUOTA, and what was acknowledged stays`, async () => {
    const folder = new ShimFolder(), db = await openOn(folder), kv = await db.kv("s");
    await kv.put("before", 1);
    folder.fault = (_file, verb, size) => verb === "write" ? answer(size) : undefined;
    const refused = await kv.put("refused", "x".repeat(1000)).then(() => undefined, (error) => error);
    assert.equal(refused?.code, "QUOTA", String(refused));
    assert.ok(refused.details.needed >= 1000 && refused.details.needed < 2000);
    assert.match(refused.message, /db-wal/);
    folder.fault = undefined;
    await kv.put("after", 2);
    const want = [["after", 2], ["before", 1]];
    assert.deepEqual(await all(kv.entries()), want);
    await db.close();
    for (const power of [false, true]) {
      const again = await openOn(folder.after(power));
      assert.deepEqual(await all((await again.kv("s")).entries()), want);
      assert.deepEqual((await again.verify({ deep: true })).problems, []);
      await again.close();
    }
  });
}

test("J03 a file that cannot grow is QUOTA for a load and a checkpoint, too", async () => {
  const folder = new ShimFolder(), db = await openOn(folder), kv = await db.kv("s", { value: "bytes" });
  await kv.put("before", new Uint8Array(10));
  folder.fault = (file, _verb, size) => {
    if (file === "db" && size > 100) throw domError("QuotaExceededError");
    return undefined;
  };
  await refuses("QUOTA", () => kv.bulkLoad([["b", new Uint8Array(1 << 20)]]));
  folder.fault = undefined;
  assert.deepEqual(await all(kv.keys()), ["before"]);
  await db.close();
});

test("J02 handles that the browser has closed are EVICTED from then on", async () => {
  const folder = new ShimFolder(), db = await openOn(folder), kv = await db.kv("s");
  await kv.put("a", 1);
  folder.clear();
  await refuses("EVICTED", () => kv.put("b", 2), /removed/);
  await refuses("EVICTED", () => kv.put("c", 3));
  await refuses("EVICTED", () => kv.get("a"));
  await refuses("EVICTED", () => db.stats());
  await db.close().catch(() => undefined);
});

test("a read that lies is IO", async () => {
  const folder = new ShimFolder(), first = await openOn(folder);
  await (await first.kv("s", { value: "bytes" })).put("a", new Uint8Array(100_000).fill(7));
  await first.checkpoint();
  await first.close();
  const db = await openOn(folder), kv = await db.kv("s");
  folder.fault = (_file, verb) => verb === "read" ? 4294967288 : undefined;
  await refuses("IO", () => kv.get("a"), /4294967288/);
  folder.fault = undefined;
  await db.close();
});

test("the same bytes as in a file of Node, read by the other", async () => {
  const folder = new ShimFolder(), db = await openOn(folder);
  const rows = Array.from({ length: 500 }, (_, i) => [`k${i}`, { i }] as [string, unknown]);
  await (await db.kv("s")).putMany(rows);
  await db.checkpoint();
  await (await db.kv("s")).put("last", true);
  await db.close();
  const name = freshName(), { writeFileSync } = await import("node:fs");
  for (const [file, { bytes }] of folder.files) writeFileSync(name + file.slice(2), bytes);
  const node = openSync(name, { mode: "existing" });
  assert.equal(node.kv("s").count(), 501);
  node.kv("s").put("from", "Node");
  node.close();
  const back = new ShimFolder();
  for (const file of ["db", "db-wal0", "db-wal1"]) {
    const handle = await (await back.getFileHandle(file, { create: true })).createSyncAccessHandle();
    handle.write(readFileSync(name + file.slice(2)), { at: 0 });
    handle.close();
  }
  const again = await openOn(back, { mode: "existing" });
  assert.equal(await (await again.kv("s")).get("from"), "Node");
  assert.equal(await (await again.kv("s")).count(), 502);
  await again.close();
});

for (const [kind, cases] of [["Chromium", [[6, 300, 16], [24, 20_000, 64]]], ["Firefox", [[8, 3000, 16], [16, 50_000, 32]]]] as const) {
  for (const [mib, size, memory] of cases) {
    test(`J03 a site of ${mib} MiB in ${kind}, rows of ${size} bytes: when it is full all is there, can be deleted and compacted, and then there is room`, async () => {
      const folder = new ShimFolder();
      folder.quota = { bytes: mib << 20, kind };
      let db = await openOn(folder, { memory: memory << 20 });
      let kv = await db.kv<Uint8Array>("s", { value: "bytes" });
      const value = (i: number): Uint8Array => new Uint8Array(size).map((_, at) => i * 31 + at * (i % 7));
      const fill = async (from: number): Promise<number> => {
        for (let i = from, batch = 20; ; i += batch) {
          const refused = await kv.putMany(Array.from({ length: batch }, (_, j) => [`k${String(i + j).padStart(6, "0")}`, value(i + j)] as [string, Uint8Array])).then(() => undefined, (error) => error);
          if (refused === undefined) continue;
          assert.equal(refused.code, "QUOTA", refused.message);
          assert.ok(refused.details.needed > 0);
          if (batch === 1) return i;
          batch = 1;
          i--;
        }
      };
      const count = await fill(0);
      assert.ok(count * size > (mib << 20) / 30, `${count} rows`);
      const large = new Uint8Array(3 << 20);
      for (let i = 0; i < 5; i++) await refuses("QUOTA", () => kv.put("one more", large));
      await refuses("QUOTA", () => db.transaction(async (tx) => (await tx.kv("s")).put("one more", large)));
      await refuses("QUOTA", () => kv.bulkLoad([["one more", large]]));
      await refuses("QUOTA", () => kv.putStream("one more", [large]));
      const check = async (from: number, to: number): Promise<void> => {
        assert.equal(await kv.count(), to - from);
        for (let i = from; i < to; i += 17) assert.deepEqual(await kv.get(`k${String(i).padStart(6, "0")}`), value(i));
        assert.deepEqual((await db.verify({ deep: true })).problems, []);
      };
      await check(0, count);
      // Killed, and opened again: as full as before.
      const killed = folder.after(true);
      await db.close();
      db = await openOn(killed, { memory: memory << 20 });
      kv = await db.kv("s");
      await check(0, count);
      const half = count >> 1;
      // Every second row of the first half: each segment is full of what lives.
      const gone = (i: number): boolean => i < half && i % 2 === 0;
      for (let i = 2; i < half; i += 2) assert.equal(await kv.delete(`k${String(i).padStart(6, "0")}`), true);
      await db.transaction(async (tx) => (await tx.kv("s")).delete("k000000"));
      await db.compact();
      assert.deepEqual(await all(kv.keys()), Array.from({ length: count }, (_, i) => i).filter((i) => !gone(i)).map((i) => `k${String(i).padStart(6, "0")}`));
      for (let i = 0; i < count; i += 17) assert.deepEqual(await kv.get(`k${String(i).padStart(6, "0")}`), gone(i) ? undefined : value(i));
      assert.deepEqual((await db.verify({ deep: true })).problems, []);
      assert.ok(await fill(count) > count, "no room after deletions and a compaction");
      await db.close();
    });
  }
}

test("J03 room that was made ahead goes at close, and does not grow from kill to kill", async () => {
  let folder = new ShimFolder();
  const sizes: number[] = [];
  for (let i = 0; i < 20; i++) {
    const db = await openOn(folder);
    await (await db.kv("s")).put(`k${i}`, i);
    assert.equal((await db.stats()).recovery.tornBytes, 0);
    folder = folder.after(false);
    sizes.push([...folder.files.values()].reduce((sum, { bytes }) => sum + bytes.length, 0));
  }
  assert.ok(sizes.every((size) => size < 4 << 20) && sizes[19] === sizes[10], String(sizes));
  const db = await openOn(folder);
  assert.equal(await (await db.kv("s")).count(), 20);
  await db.compact();
  await db.close();
  assert.ok([...folder.files.values()].reduce((sum, { bytes }) => sum + bytes.length, 0) < 600_000);
});
