// Databases in the files of a browser, in a worker: as in a folder of Node, and after a page
// was killed in the middle.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import type { Page } from "puppeteer-core";
import { openSync } from "../../build/js/index.js";
import { freshName } from "../js/lib.ts";
import { inWorker, KINDS, startBrowser, startSite } from "./lib.ts";
import type { Site, Started } from "./lib.ts";

/** Opens the database in the worker, and leaves it there as `db`. */
async function openThere(backend: string, name: string, options: Record<string, unknown>): Promise<string> {
  const [{ openOpfs }, { openIdb }, { openIn }, { Database }] = await Promise.all([
    import("/js/host-opfs.js" as string), import("/js/host-idb.js" as string), import("/js/open.js" as string), import("/js/database.js" as string)]);
  const host = backend === "OPFS" ? await openOpfs(name, { create: true, untilMs: 2000 }) : await openIdb(name, { create: true });
  const store = await openIn(host, name, options);
  (globalThis as never as { db: unknown }).db = new Database(store, name, false);
  return "open";
}

declare const db: import("../../build/js/index.js").Database;

for (const kind of KINDS) {
  describe(kind.name, { skip: kind.skip }, () => {
    let site: Site, started: Started, page: Page;
    before(async () => {
      site = await startSite();
      started = await startBrowser(kind);
      page = await started.browser.newPage();
      await page.goto(site.origin);
    }, { timeout: 90_000 });
    after(async () => {
      await started?.end();
      site?.close();
    });

    test("J24 OPFS: written, closed, opened again, and the same bytes as a file of Node", async () => {
      await inWorker(page, "a", openThere, "OPFS", "notes", {});
      await inWorker(page, "a", async () => {
        const kv = await db.kv("s");
        await kv.putMany(Array.from({ length: 1000 }, (_, i) => [`k${i}`, { i }] as [string, unknown]));
        await db.checkpoint();
        await kv.put("last", "in the log");
        await db.close();
      });
      const pieces = await inWorker(page, "a", async () => {
        const root = await navigator.storage.getDirectory();
        const folder = await (await root.getDirectoryHandle("nacre")).getDirectoryHandle("notes");
        const all: [string, number[]][] = [];
        for await (const [name, handle] of folder as never as AsyncIterable<[string, FileSystemFileHandle]>) {
          all.push([name, [...new Uint8Array(await (await handle.getFile()).arrayBuffer())]]);
        }
        return all;
      });
      assert.deepEqual(pieces.map(([name]) => name).sort(), ["notes", "notes-wal0", "notes-wal1"]);
      const copy = freshName();
      for (const [name, bytes] of pieces) writeFileSync(copy + name.slice(5), Uint8Array.from(bytes));
      const node = openSync(copy, { mode: "existing" });
      assert.equal(node.kv("s").count(), 1001);
      assert.equal(node.kv("s").get("last"), "in the log");
      assert.deepEqual(node.verify({ deep: true }).problems, []);
      node.close();
      await inWorker(page, "b", openThere, "OPFS", "notes", { mode: "existing" });
      assert.deepEqual(await inWorker(page, "b", async () => {
        const kv = await db.kv("s"), found = [await kv.count(), await kv.get("last"), await kv.get("k999")];
        await db.close();
        return found;
      }), [1001, "in the log", { i: 999 }]);
    });

    test("J24 OPFS: a second worker is told BUSY while the first has the files, and has them when it is gone", async () => {
      await inWorker(page, "a", openThere, "OPFS", "shared", {});
      await inWorker(page, "a", async () => (await db.kv("s")).put("a", 1));
      await assert.rejects(inWorker(page, "b", openThere, "OPFS", "shared", {}), { code: "BUSY" });
      await page.evaluate(() => (globalThis as never as { kill(name: string): void }).kill("a"));
      await inWorker(page, "b", openThere, "OPFS", "shared", { mode: "existing" });
      assert.equal(await inWorker(page, "b", async () => {
        const value = await (await db.kv("s")).get("a");
        await db.close();
        return value;
      }), 1);
    });

    for (const backend of ["OPFS", "IndexedDB"]) {
      test(`B11 J22 ${backend}: what was acknowledged is there after its page was closed in the middle of writes`, async () => {
        const victim = await started.browser.newPage();
        await victim.goto(site.origin);
        site.told.length = 0;
        await inWorker(victim, "a", openThere, backend, "killed", { memory: 4 << 20 });
        void inWorker(victim, "a", async () => {
          const kv = await db.kv("s");
          for (let i = 0; ; i++) {
            await kv.put(`k${i % 50}`, { i, filler: "x".repeat(5000) });
            if (i % 5 === 0) void fetch(`/told?${i}`);
          }
        }).catch(() => undefined);
        while (site.told.length < 60) await new Promise((resolve) => setTimeout(resolve, 5));
        await victim.close();
        const told = Math.max(...site.told.map(Number));
        await inWorker(page, "c", openThere, backend, "killed", { mode: "existing" });
        const { values, problems } = await inWorker(page, "c", async () => {
          const kv = await db.kv("s"), values: number[] = [];
          for await (const value of kv.values()) values.push((value as { i: number }).i);
          const { problems } = await db.verify({ deep: true });
          await db.close();
          return { values, problems };
        });
        assert.deepEqual(problems, []);
        const newest = Math.max(...values);
        assert.ok(newest >= told, `acknowledged ${told}, found ${newest}`);
        assert.deepEqual(values.sort((a, b) => a - b), Array.from({ length: 50 }, (_, i) => newest - 49 + i));
      });
    }

    test("J22 IndexedDB: written, closed, opened again; J21 who was the owner cannot commit after the next one", async () => {
      await inWorker(page, "d", openThere, "IndexedDB", "rows", {});
      await inWorker(page, "d", async () => {
        await (await db.kv("s")).putMany(Array.from({ length: 1000 }, (_, i) => [`k${i}`, "x".repeat(500)] as [string, unknown]));
        await db.checkpoint();
      });
      await inWorker(page, "e", openThere, "IndexedDB", "rows", { mode: "existing" });
      assert.deepEqual(await inWorker(page, "e", async () => {
        const kv = await db.kv("s");
        await kv.put("k0", "of the second");
        return [await kv.count(), (await db.verify({ deep: true })).problems.length];
      }), [1000, 0]);
      await assert.rejects(inWorker(page, "d", async () => (await db.kv("s")).put("k0", "of the first")), { code: "BUSY" });
      await inWorker(page, "e", () => db.close());
      await inWorker(page, "f", openThere, "IndexedDB", "rows", { mode: "existing" });
      assert.equal(await inWorker(page, "f", async () => {
        const value = await (await db.kv("s")).get("k0");
        await db.close();
        return value;
      }), "of the second");
    });
  });
}
