// The package in real browsers: the compiled files as they are, served from 127.0.0.1.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { launch } from "puppeteer-core";
import type { Browser, Page } from "puppeteer-core";

const files = fileURLToPath(new URL("../../build/js/", import.meta.url));
const TYPES: Record<string, string> = { ".js": "text/javascript", ".wasm": "application/wasm", ".html": "text/html" };

// /plain/ serves the module as a server does that does not know .wasm.
const server = createServer((request, response) => {
  const path = normalize(new URL(request.url ?? "/", "http://x").pathname).replace(/^\/(js|plain)\//, "");
  if (path === "/") return void response.setHeader("content-type", "text/html").end("<!doctype html><title>Nacre</title>");
  const file = join(files, path);
  if (!existsSync(file)) return void response.writeHead(404).end();
  const plain = request.url?.startsWith("/plain/") === true && file.endsWith(".wasm");
  response.setHeader("content-type", plain ? "application/octet-stream" : TYPES[extname(file)] ?? "application/octet-stream");
  response.end(readFileSync(file));
});
let origin = "";
before(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => server.close());

for (const { name, executablePath, browser: kind, args } of [
  { name: "Chromium", executablePath: "/usr/bin/chromium", browser: "chrome", args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"] },
  { name: "Firefox", executablePath: "/usr/bin/firefox-esr", browser: "firefox", args: [] },
] as const) {
  describe(name, { skip: !existsSync(executablePath) && `no ${executablePath}` }, () => {
    let browser: Browser, page: Page;
    const profile = mkdtempSync(join(tmpdir(), "nacre-browser-"));
    before(async () => {
      browser = await launch({ browser: kind, executablePath, args: [...args], headless: true, userDataDir: profile, timeout: 60_000 });
      page = await browser.newPage();
      await page.goto(origin);
    }, { timeout: 90_000 });
    after(async () => {
      await browser?.close();
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    });

    for (const path of ["js", "plain"]) {
      test(`vectors in memory, with the module as ${path === "js" ? "application/wasm" : "plain bytes"}`, async () => {
        const result = await page.evaluate(async (url) => {
          const { open } = await import(url);
          const db = await open(":memory:");
          const notes = await db.collection("notes", { vector: { dimensions: 16, metric: "cosine" }, fields: { n: "integer" } });
          const vector = (i: number): Float32Array => Float32Array.from({ length: 16 }, (_, d) => Math.sin(i * 16 + d));
          await notes.putMany({ keys: Array.from({ length: 1000 }, (_, i) => `v${i}`), vectors: Float32Array.from(Array.from({ length: 1000 }, (_, i) => [...vector(i)]).flat()), fields: { n: Array.from({ length: 1000 }, (_, i) => i) } });
          const distance = (a: Float32Array, b: Float32Array): number => {
            let dot = 0, aa = 0, bb = 0;
            a.forEach((x, d) => { const y = b[d] as number; dot += x * y, aa += x * x, bb += y * y; });
            return 1 - dot / Math.sqrt(aa * bb);
          };
          const query = vector(77.5);
          const hits = await notes.search(query, { k: 10, where: { n: { gte: 100 } } });
          const want = Array.from({ length: 900 }, (_, i) => ({ key: `v${i + 100}`, distance: distance(query, vector(i + 100)) })).sort((a, b) => a.distance - b.distance).slice(0, 10);
          const stats = await db.stats();
          await db.close();
          return { found: hits.map((hit: { key: string }) => hit.key), want: want.map((each) => each.key), off: Math.max(...hits.map((hit: { distance: number }, i: number) => Math.abs(hit.distance - (want[i]?.distance ?? 9)))), kernels: stats.kernels };
        }, `${origin}/${path}/index.js`);
        assert.deepEqual(result.found, result.want);
        assert.ok(result.off < 1e-5);
        assert.equal(result.kernels, "simd128");
      });
    }

    test("key-value, order, one sync for the writes of a tick", async () => {
      const result = await page.evaluate(async (url) => {
        const { open } = await import(url);
        const db = await open(":memory:");
        const kv = await db.kv("s");
        const before = (await db.stats()).syncs;
        await Promise.all(Array.from({ length: 500 }, (_, i) => kv.put(`k${String(i).padStart(3, "0")}`, { i })));
        const syncs = (await db.stats()).syncs - before;
        const keys: string[] = [];
        for await (const key of kv.keys({ gte: "k100", lt: "k103" })) keys.push(key);
        const value = await kv.get("k499");
        await db.close();
        return { syncs, keys, value };
      }, `${origin}/js/index.js`);
      assert.deepEqual(result, { syncs: 1, keys: ["k100", "k101", "k102"], value: { i: 499 } });
    });

    test("the scalar module gives the same", async () => {
      const result = await page.evaluate(async (url, wasm) => {
        const { open } = await import(url);
        const db = await open(":memory:", { wasm: new URL(wasm) });
        const notes = await db.collection("n", { vector: { dimensions: 2 } });
        await notes.put([{ key: "a", vector: [0, 1] }, { key: "b", vector: [3, 4] }]);
        const hits = await notes.search([0, 0]);
        const { kernels } = await db.stats();
        await db.close();
        return { hits, kernels };
      }, `${origin}/js/index.js`, `${origin}/js/nacre-scalar.wasm`);
      assert.deepEqual(result, { hits: [{ key: "a", distance: 1 }, { key: "b", distance: 5 }], kernels: "scalar" });
    });

    test("openSync in a worker", async () => {
      const result = await page.evaluate(async (url) => {
        const source = `import { openSync } from ${JSON.stringify(url)};
          const db = openSync(":memory:");
          const kv = db.kv("s");
          kv.put("a", [1]);
          postMessage(kv.get("a"));
          db.close();`;
        const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })), { type: "module" });
        return new Promise((resolve, reject) => {
          worker.onmessage = ({ data }) => resolve(data);
          worker.onerror = (event) => reject(new Error(event.message));
        });
      }, `${origin}/js/index.js`);
      assert.deepEqual(result, [1]);
    });

    test("what is not there yet is refused, and says so", async () => {
      const codes = await page.evaluate(async (url) => {
        const { open, openSync } = await import(url);
        const codeOf = async (call: () => unknown): Promise<unknown> => {
          try {
            await call();
            return "no error";
          } catch (error) {
            return (error as { code?: unknown }).code;
          }
        };
        return [await codeOf(() => openSync("notes")), await codeOf(() => open(":memory:", { storage: "opfs" })), await codeOf(() => open(":memory:", { nope: 1 }))];
      }, `${origin}/js/index.js`);
      assert.deepEqual(codes, ["UNSUPPORTED", "UNSUPPORTED", "INVALID_ARGUMENT"]);
    });
  });
}
