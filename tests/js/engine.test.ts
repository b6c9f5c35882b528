// The engine and its hosts when the world is not kind: short writes, failing syncs, a
// module that stops.
import assert from "node:assert/strict";
import fs from "node:fs";
import { mock, test } from "node:test";
import { open, openSync } from "../../build/js/index.js";
import { Engine, loadModule } from "../../build/js/engine.js";
import { MemoryHost } from "../../build/js/host-memory.js";
import { NodeHost } from "../../build/js/host-node.js";
import { freshName, refuses } from "./lib.ts";

function failing(code: string): () => never {
  return () => {
    throw Object.assign(new Error(`${code}: made for this test`), { code });
  };
}

test("short reads and writes are counted truthfully: nothing is lost", () => {
  const name = freshName();
  const { readSync, writeSync } = fs;
  mock.method(fs, "writeSync", (fd: number, bytes: Uint8Array, at: number, size: number, position: number) =>
    writeSync(fd, bytes, at, Math.ceil(size / 3), position));
  mock.method(fs, "readSync", (fd: number, bytes: Uint8Array, at: number, size: number, position: number) =>
    readSync(fd, bytes, at, Math.ceil(size / 2), position));
  try {
    const db = openSync(name);
    const kv = db.kv<string>("s", { value: "text" });
    for (let i = 0; i < 200; i++) kv.put(`k${i}`, "x".repeat(i * 10));
    db.checkpoint();
    db.close();
    const again = openSync(name);
    assert.deepEqual([...again.kv<string>("s").values()].reduce((sum, value) => sum + value.length, 0), 199_000);
    assert.equal(again.verify({ deep: true }).ok, true);
    again.close();
  } finally {
    mock.restoreAll();
  }
});

for (const { call, code, status } of [
  { call: "writeSync", code: "ENOSPC", status: "QUOTA" }, { call: "writeSync", code: "EDQUOT", status: "QUOTA" },
  { call: "writeSync", code: "EIO", status: "IO" }, { call: "fdatasyncSync", code: "EIO", status: "IO" },
  { call: "writeSync", code: "EROFS", status: "PERMISSION" }, { call: "writeSync", code: "ENOMADE", status: "IO" },
] as const) {
  test(`${call} failing with ${code} is ${status}; what was acknowledged is there`, async () => {
    const name = freshName();
    const db = await open(name);
    const kv = await db.kv<number>("s");
    await kv.put("kept", 1);
    mock.method(fs, call, failing(code));
    const lost = [kv.put("lost", 2), kv.put("lost too", 3)];
    for (const each of lost) await refuses(status, () => each);
    mock.restoreAll();
    assert.equal(await kv.get("kept"), 1);
    assert.equal(await kv.get("lost"), undefined);
    await db.close();
    const again = await open(name);
    assert.equal(await (await again.kv("s")).get("kept"), 1);
    await again.close();
  });
}

test("a failed sync poisons the handle: reads go on, writes do not, and reopening heals", async () => {
  const name = freshName();
  const db = await open(name);
  const kv = await db.kv<number>("s");
  await kv.put("a", 1);
  mock.method(fs, "fdatasyncSync", failing("EIO"));
  await refuses("IO", () => kv.put("b", 2));
  mock.restoreAll();
  await refuses("IO", () => kv.put("c", 3), /reopen|open it again/);
  assert.equal(await kv.get("a"), 1);
  await db.close();
  const again = await open(name);
  await (await again.kv<number>("s")).put("d", 4);
  await again.close();
});

test("a lock that cannot be made is PERMISSION", async () => {
  mock.method(fs, "openSync", failing("EACCES"));
  await refuses("PERMISSION", () => open(freshName()), /lock/);
  mock.restoreAll();
});

test("the host opens nothing outside its folder", async () => {
  const name = freshName();
  const module = await loadModule(undefined);
  for (const path of ["/guest/../../etc/passwd", "/elsewhere/x", "../x"]) {
    const engine = Engine.createSync(module, new NodeHost(name, "/guest"));
    assert.throws(() => engine.open(path, { mode: 1, durability: 0, lock: 1, memory: 0, changes: 0 }), (error: { code?: string }) =>
      error.code === "NOT_FOUND" || error.code === "PERMISSION");
    engine.close();
  }
});

test("a module that stops is INTERNAL from then on, and closing gives everything back", async () => {
  class Failing extends MemoryHost {
    override calls(memory: Parameters<MemoryHost["calls"]>[0]): ReturnType<MemoryHost["calls"]> {
      return { ...super.calls(memory), random_get: () => { throw new Error("no entropy"); } };
    }
  }
  const engine = await Engine.create(await loadModule(undefined), new Failing());
  const open = (): void => engine.open(":memory:", { mode: 0, durability: 0, lock: 1, memory: 0, changes: 0 });
  assert.throws(open, { code: "INTERNAL", message: /no entropy/ });
  assert.throws(open, { code: "INTERNAL" });
  assert.throws(() => engine.stats(), { code: "INTERNAL" });
  engine.close();
});

test("a flush that writes have begun goes on by itself when nothing is written", async () => {
  const db = await open(":memory:", { memory: 8 << 20, durability: "none" }); // a memtable of 1 MiB
  const kv = await db.kv<string>("s", { value: "text" });
  for (const rows of [900, 200]) await kv.putMany(Array.from({ length: rows }, (_, i) => [`${rows}.${i}`, "x".repeat(1000)] as const));
  for (let tries = 0; ; tries++) {
    const { counters, maintenance } = await db.stats();
    assert.equal(maintenance, "");
    if (tries === 0) assert.equal(counters.flushes, 0);
    if (counters.flushes === 1) break;
    assert.ok(tries < 100, JSON.stringify(counters));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.equal(await kv.count(), 1100);
  await db.close();
});
