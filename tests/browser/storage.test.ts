// What browsers do to a site's storage: cleared, evicted, full.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Page } from "puppeteer-core";
import { inWorker, KINDS, startBrowser, startSite } from "./lib.ts";
import type { Site, Started } from "./lib.ts";

declare const db: import("../../build/js/index.js").Database;

/** Opens the database in the worker, and leaves it there as `db`. */
async function openThere(name: string, options: Record<string, unknown>, marked: boolean): Promise<{ backend: string; instead: string | undefined }> {
  const [{ openStored }, { Database }] = await Promise.all([import("/js/storage.js" as string), import("/js/database.js" as string)]);
  const { store, backend, instead } = await openStored(name, options, marked);
  (globalThis as never as { db: unknown }).db = new Database(store, name, false);
  return { backend, instead };
}

/** As a page does it: its marks are asked for before, and made after. */
async function openAs(page: Page, worker: string, name: string, options: { storage?: string; mode?: string; marker?: string } = {}): Promise<string> {
  const marked = await page.evaluate(async (name) => (await import("/js/marker.js" as string)).isMarked(name), name);
  const { backend } = await inWorker(page, worker, openThere, name, options, marked);
  await page.evaluate(async (name, marker) => (await import("/js/marker.js" as string)).mark(name, marker), name, options.marker ?? "cookie");
  return backend;
}

async function removeFiles(): Promise<void> {
  const root = await navigator.storage.getDirectory();
  for await (const name of (root as never as { keys(): AsyncIterable<string> }).keys()) await root.removeEntry(name, { recursive: true });
}

async function removeIndexedDb(): Promise<void> {
  for (const { name } of await indexedDB.databases()) {
    await new Promise<void>((resolve, reject) => {
      const request = indexedDB.deleteDatabase(name ?? "");
      request.onsuccess = () => resolve();
      request.onerror = () => reject(request.error);
    });
  }
}

async function putAndClose(key: string): Promise<void> {
  await (await db.kv("s")).put(key, 1);
  await db.close();
}

for (const kind of KINDS) {
  describe(kind.name, { skip: kind.skip }, () => {
    let site: Site, started: Started, page: Page;
    before(async () => {
      site = await startSite();
      started = await startBrowser(kind, { preferences: { "dom.quotaManager.temporaryStorage.fixedLimit": 51200, // KiB; one site gets a fifth
 "dom.storageManager.prompt.testing": true, "dom.storageManager.prompt.testing.allow": true } });
      page = await started.browser.newPage();
      await page.goto(site.origin);
    }, { timeout: 90_000 });
    after(async () => {
      await started?.end();
      site?.close();
    });

    test("J04 auto is the OPFS; storage() and persist()", async () => {
      assert.equal(await openAs(page, "a", "plain"), "opfs");
      const report = await inWorker(page, "a", () => db.storage());
      assert.deepEqual({ ...report, quota: report.quota! > 0, usage: report.usage! >= 0 }, {
        backend: "opfs", role: "owner", tabs: 1, persisted: false, quota: true, usage: true, durability: "strict" });
      await inWorker(page, "a", putAndClose, "a");
      const persist = await page.evaluate(async () => (await import("/js/estimate.js" as string)).persist({ backend: "opfs" }));
      assert.equal(persist, kind.name === "Firefox"); // Chromium without a window gives nobody that
    });

    test("J03 full: QUOTA, nothing acknowledged is lost, deleting and compacting work, and then there is room", async () => {
      const session = kind.name === "Chromium" ? await page.createCDPSession() : undefined;
      await session?.send("Storage.overrideQuotaForOrigin", { origin: site.origin, quotaSize: 24 << 20 });
      assert.equal(await openAs(page, "q", "full", { storage: "opfs" }), "opfs");
      const found = await inWorker(page, "q", async () => {
        const kv = await db.kv<Uint8Array>("s", { value: "bytes" });
        const fill = async (from: number): Promise<{ count: number; code: unknown; needed: unknown }> => {
          for (let i = from; ; i++) {
            try {
              await kv.put(`k${i}`, new Uint8Array(20_000).fill(i));
            } catch (error) {
              const { code, details } = error as { code?: unknown; details?: { needed?: unknown } };
              return { count: i, code, needed: details?.needed };
            }
          }
        };
        const full = await fill(0), kept = await kv.count();
        for (let i = 0; i < full.count; i += 2) await kv.delete(`k${i}`);
        await db.compact();
        const left = await kv.count(), { problems } = await db.verify({ deep: true });
        const again = await fill(full.count);
        for (let i = 1; i < full.count; i += 2) if ((await kv.get(`k${i}`))?.[777] !== i % 256) throw new Error(`k${i} is lost`);
        await db.close();
        return { full, kept, left, problems, again };
      });
      await session?.send("Storage.overrideQuotaForOrigin", { origin: site.origin });
      await session?.detach();
      const { full, again } = found;
      assert.equal(full.code, "QUOTA");
      assert.ok(Number(full.needed) >= 20_000, String(full.needed));
      assert.ok(full.count > 50, `${full.count} rows`);
      assert.deepEqual([found.kept, found.left, found.problems], [full.count, Math.floor(full.count / 2), []]);
      assert.equal(again.code, "QUOTA");
      assert.ok(again.count > full.count + 10, `${again.count} after ${full.count}`);
    });

    for (const storage of ["opfs", "indexeddb"]) {
      test(`J02 evicted as ${kind.name} evicts, it is EVICTED: ${storage}`, async () => {
        const name = `evicted-${storage}`;
        await openAs(page, "b", name, { storage });
        await inWorker(page, "b", putAndClose, "a");
        const evict = async (): Promise<void> => {
          if (kind.name === "Chromium") {
            const session = await page.createCDPSession();
            await session.send("Storage.clearDataForOrigin", { origin: site.origin, storageTypes: "file_systems,indexeddb,cache_storage,service_workers" });
            await session.detach();
          } else {
            await page.evaluate(removeFiles);
            await page.evaluate(removeIndexedDb);
            await page.evaluate(() => localStorage.clear());
          }
        };
        await evict();
        for (const mode of ["readwrite", "existing"]) await assert.rejects(openAs(page, "c", name, { storage, mode }), { code: "EVICTED" });
        await openAs(page, "c", name, { storage, mode: "create" });
        await inWorker(page, "c", putAndClose, "new");
        await openAs(page, "d", name, { storage, mode: "existing" });
        assert.deepEqual(await inWorker(page, "d", async () => {
          const keys: unknown[] = [];
          for await (const key of (await db.kv("s")).keys()) keys.push(key);
          await db.close();
          return keys;
        }), ["new"]);
        // Whoever wants no cookie cannot be told in Firefox; by what Chromium leaves they are.
        const other = `${name}-without-a-cookie`;
        await openAs(page, "e", other, { storage, marker: "storage" });
        await inWorker(page, "e", putAndClose, "a");
        assert.equal(await page.evaluate(() => document.cookie.includes("without")), false);
        await evict();
        if (kind.name === "Chromium") {
          await assert.rejects(openAs(page, "f", other, { storage, marker: "storage" }), { code: "EVICTED" });
        } else {
          await openAs(page, "f", other, { storage, marker: "storage" });
          await inWorker(page, "f", putAndClose, "a");
        }
      });

      for (const writing of [false, true]) {
        test(`J02 the site is cleared under a living owner that ${writing ? "writes" : "waits"}: nothing is acknowledged after it: ${storage}`, async () => {
          const name = `cleared-${storage}-${writing}`, worker = `g${storage}${writing}`;
          await openAs(page, worker, name, { storage, mode: "create" });
          const ended = inWorker(page, worker, async (writing: boolean) => {
            const kv = await db.kv("s");
            await kv.put("a", 1);
            (globalThis as never as { ready: boolean }).ready = true;
            let acknowledged = 0;
            try {
              for (;; acknowledged++) {
                if (writing) await kv.put("k", acknowledged);
                else await kv.get("a");
                await new Promise((resolve) => setTimeout(resolve, writing ? 0 : 20));
              }
            } catch (error) {
              const again = await kv.put("x", 1).then(() => "acknowledged", (error) => error.code);
              await db.close().catch(() => undefined);
              return [(error as { code?: string }).code, again];
            }
          }, writing);
          await new Promise((resolve) => setTimeout(resolve, 300));
          await page.evaluate(() => fetch("/clear").then(() => undefined));
          assert.deepEqual(await ended, ["EVICTED", "EVICTED"]);
          await page.evaluate((name) => (globalThis as never as { kill(name: string): void }).kill(name), worker);
          await assert.rejects(openAs(page, "h", name, { storage }), { code: "EVICTED" });
          await openAs(page, "h", name, { storage, mode: "create" });
          await inWorker(page, "h", putAndClose, "new");
        });
      }
    }
  });
}
