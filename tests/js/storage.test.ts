// Where a database of a browser is, and what is done when it is not there any more: over the
// shims of the OPFS and of IndexedDB.
import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "../../build/js/index.js";
import type { OpenOptions } from "../../build/js/index.js";
import { Database } from "../../build/js/database.js";
import { openStored } from "../../build/js/storage.js";
import type { Stored } from "../../build/js/storage.js";
import { all, freshName, refuses } from "./lib.ts";
import { ShimIdb } from "./shim-idb.ts";
import { domError, installOpfs, ShimFolder } from "./shim-opfs.ts";

/** One site of one browser. */
class Site {
  opfs: ShimFolder | string = new ShimFolder();
  idb: ShimIdb | undefined = new ShimIdb();

  async open(options: OpenOptions = {}, marked = false): Promise<Stored & { db: Database }> {
    installOpfs(this.opfs);
    if (this.idb === undefined) Object.assign(globalThis, { indexedDB: undefined });
    else this.idb.install();
    const stored = await openStored("db", options, marked);
    return { ...stored, db: new Database(stored.store, "db", options.mode === "readonly") };
  }

  /** Whether there is something in both places. */
  get kept(): [opfs: boolean, idb: boolean] {
    const folder = typeof this.opfs === "string" ? undefined : this.opfs.folders.get("nacre")?.folders.get("db");
    return [[...folder?.files.values() ?? []].some(({ bytes }) => bytes.length > 0), this.idb?.databases.has("nacre:db") ?? false];
  }
}

async function put(db: Database, key: string): Promise<void> {
  await (await db.kv("s")).put(key, 1);
}

async function keys(db: Database): Promise<unknown[]> {
  return all((await db.kv("s")).keys());
}

test("J04 auto is the OPFS, and where there is none IndexedDB, which says so", async () => {
  const site = new Site(), first = await site.open();
  assert.deepEqual([first.backend, first.instead, site.kept], ["opfs", undefined, [true, false]]);
  await first.db.close();
  for (const error of ["SecurityError", "TypeError"]) {
    const other = new Site();
    other.opfs = error;
    const { db, backend, instead } = await other.open();
    assert.equal(backend, "indexeddb");
    assert.match(instead ?? "", new RegExp(error));
    assert.equal((await db.storage()).backend, "indexeddb");
    await db.close();
  }
});

test("J04 auto looks in both places before it makes a database", async () => {
  const site = new Site(), opfs = site.opfs;
  site.opfs = "SecurityError";
  const first = await site.open();
  await put(first.db, "made in IndexedDB");
  await first.db.close();
  site.opfs = opfs;
  const again = await site.open();
  assert.equal(again.backend, "indexeddb");
  assert.deepEqual(await keys(again.db), ["made in IndexedDB"]);
  await again.db.close();
  assert.deepEqual(site.kept, [false, true]);
});

test("J04 it is never in memory unless that was asked for", async () => {
  const site = new Site();
  site.opfs = "SecurityError";
  site.idb = undefined;
  await refuses("UNSUPPORTED", () => site.open(), /memory/);
  const { db, backend } = await site.open({ storage: "memory" });
  await put(db, "a");
  assert.equal(backend, "memory");
  assert.deepEqual(await db.storage(), { backend: "memory", role: "owner", tabs: 1, persisted: false, quota: null, usage: null, durability: "strict" });
  await db.close();
});

test("J04 a place that was asked for is the one, or UNSUPPORTED", async () => {
  for (const storage of ["opfs", "indexeddb"] as const) {
    const site = new Site(), { db, backend } = await site.open({ storage });
    assert.equal(backend, storage);
    assert.deepEqual(site.kept, [storage === "opfs", storage === "indexeddb"]);
    await db.close();
  }
  const site = new Site();
  site.opfs = "SecurityError";
  await refuses("UNSUPPORTED", () => site.open({ storage: "opfs" }), /SecurityError/);
  site.idb = undefined;
  await refuses("UNSUPPORTED", () => site.open({ storage: "indexeddb" }));
});

test("J04 modes: what is missing is NOT_FOUND and makes nothing, what is there EXISTS", async () => {
  for (const storage of ["opfs", "indexeddb"] as const) {
    const site = new Site();
    for (const mode of ["existing", "readonly"] as const) await refuses("NOT_FOUND", () => site.open({ storage, mode }));
    assert.deepEqual(site.kept, [false, false]);
    const { db } = await site.open({ storage, mode: "create" });
    await put(db, "a");
    await db.close();
    await refuses("EXISTS", () => site.open({ storage, mode: "create" }));
    const reader = await site.open({ storage, mode: "readonly" });
    assert.deepEqual(await keys(reader.db), ["a"]);
    await refuses("READONLY", () => put(reader.db, "b"));
    await reader.db.close();
  }
});

test("J04 names that could not be files are refused", async () => {
  for (const name of ["a/b", "a\\b", ".", "..", "a\nb", "x".repeat(181)]) {
    await refuses("INVALID_ARGUMENT", () => openStored(name, {}, false));
  }
});

for (const storage of ["opfs", "indexeddb"] as const) {
  test(`J02 ${storage}: a database that is missing is EVICTED when the page or the worker remembers it, and a new one when nobody does`, async () => {
    const site = new Site();
    await (await site.open({ storage })).db.close();
    const evict = (): void => {
      if (storage === "opfs") (site.opfs as ShimFolder).clear();
      else site.idb?.databases.delete("nacre:db");
    };
    evict(); // the worker's mark stays
    for (const mode of ["readwrite", "existing", "readonly"] as const) await refuses("EVICTED", () => site.open({ storage, mode }), /create/);
    assert.deepEqual(site.kept, [false, false]);
    const anew = await site.open({ storage, mode: "create" });
    await put(anew.db, "new");
    await anew.db.close();
    const again = await site.open({ storage });
    assert.deepEqual(await keys(again.db), ["new"]);
    await again.db.close();
    evict();
    site.idb?.databases.clear(); // only the page's is left
    await refuses("EVICTED", () => site.open({ storage }, true));
    const fresh = await site.open({ storage });
    assert.deepEqual(await keys(fresh.db), []);
    await fresh.db.close();
  });
}

test("J02 cleared under its owner: a write in flight is not acknowledged, and everything after it is EVICTED", async () => {
  const site = new Site(), { db, lost } = await site.open();
  await put(db, "a");
  const kv = await db.kv("s");
  // As Chromium does it: the files go on without their names, and all connections are closed.
  (site.opfs as ShimFolder).vanish();
  site.idb?.clear();
  await new Promise((resolve) => setImmediate(resolve)); // the event
  await refuses("EVICTED", () => kv.put("b", 2), /removed/);
  assert.equal((await lost).code, "EVICTED");
  await refuses("EVICTED", () => kv.get("a"));
  await db.close().catch(() => undefined);
  await refuses("EVICTED", () => site.open({}, true));
});

test("J02 the OPFS alone cleared under its owner is found within a second of writing", async () => {
  const site = new Site(), { db } = await site.open(), kv = await db.kv("s");
  await kv.put("a", 1);
  (site.opfs as ShimFolder).vanish();
  await new Promise((resolve) => setTimeout(resolve, 1050));
  await refuses("EVICTED", () => kv.put("b", 2));
  await db.close().catch(() => undefined);
});

test("J02 a connection that is closed for a fault of the browser is no eviction, but what is written waits until that is known", async () => {
  const site = new Site(), { db } = await site.open(), kv = await db.kv("s");
  await kv.put("a", 1);
  for (let i = 0; i < 3; i++) {
    site.idb?.forceClose();
    await new Promise((resolve) => setImmediate(resolve));
    await kv.put("b", i);
  }
  assert.deepEqual(await all(kv.entries()), [["a", 1], ["b", 2]]);
  site.idb?.clear();
  (site.opfs as ShimFolder).vanish();
  await new Promise((resolve) => setImmediate(resolve));
  await refuses("EVICTED", () => kv.put("c", 1)); // the new connection watches, too
  await db.close().catch(() => undefined);
});

test("J02 without IndexedDB the page's mark and the files' names have to do", async () => {
  const site = new Site();
  site.idb = undefined;
  const { db } = await site.open();
  await put(db, "a");
  await db.close();
  (site.opfs as ShimFolder).clear();
  await refuses("EVICTED", () => site.open({}, true));
  const fresh = await site.open();
  assert.deepEqual(await keys(fresh.db), []);
  await fresh.db.close();
});

test("J02 a place that fails when it is looked at is never taken for an empty one", async () => {
  const site = new Site(), { db } = await site.open();
  await put(db, "a");
  await db.close();
  const folder = (site.opfs as ShimFolder).folders.get("nacre")?.folders.get("db") as ShimFolder, real = folder.getFileHandle;
  folder.getFileHandle = async () => { throw domError("UnknownError"); };
  await refuses("IO", () => site.open(), /UnknownError/);
  folder.getFileHandle = real;
  const again = await site.open();
  assert.deepEqual(await keys(again.db), ["a"]);
  await again.db.close();
});

test("J04 a database of the OPFS that cannot be reached now is neither evicted nor made again elsewhere", async () => {
  const site = new Site(), { db } = await site.open(), opfs = site.opfs;
  await put(db, "a");
  await db.close();
  site.opfs = "UnknownError";
  await refuses("IO", () => site.open({}, true), /UnknownError.*made/);
  assert.deepEqual(site.kept, [false, false]);
  site.opfs = opfs;
  const again = await site.open({}, true);
  assert.deepEqual(await keys(again.db), ["a"]);
  await again.db.close();
});

test("J02 storage() in Node: files of the system", async () => {
  const db = await open(freshName());
  const { usage, ...rest } = await db.storage();
  assert.deepEqual(rest, { backend: "file", role: "owner", tabs: 1, persisted: true, quota: null, durability: "strict" });
  const { file } = await db.stats();
  assert.equal(usage, file.size + file.log);
  assert.equal(await db.persist(), true);
  await db.close();
  await refuses("CLOSED", () => db.storage());
});
