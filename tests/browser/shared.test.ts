// open(name) wherever a program may call it: pages with strict policies, workers, twice in one
// realm, without the files beside the package.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Page } from "puppeteer-core";
import { KINDS, startBrowser } from "./lib.ts";
import type { Started } from "./lib.ts";
import { startTabsSite } from "./tabs-site.ts";
import type { TabsSite } from "./tabs-site.ts";

const plain = { body: "<!doctype html><title>plain</title>" };
const policy = (text: string): { body: string; headers: Record<string, string> } => ({ ...plain, headers: { "content-security-policy": text } });
const PAGES = {
  "/plain": plain,
  "/smallest": policy("default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; worker-src 'self'"),
  "/no-wasm": policy("default-src 'none'; script-src 'self'; connect-src 'self'; worker-src 'self'"),
  "/work.js": { headers: { "content-type": "text/javascript" }, body: `
    const work = async (port, name) => {
      try {
        const { open } = await import("/js/index.js");
        const db = await open(name);
        const kv = await db.kv("s");
        const was = await kv.get("a");
        await kv.put("a", "from the worker");
        await db.close();
        port.postMessage({ was });
      } catch (error) {
        port.postMessage({ failed: error.code + " " + error.message + " " + error.cause });
      }
    };
    globalThis.onconnect = ({ ports: [port] }) => port.onmessage = ({ data }) => work(port, data);
    globalThis.onmessage = ({ data }) => work(globalThis, data);` },
  "/no-worker": policy("default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; worker-src 'none'"),
};

interface Outcome {
  value?: unknown;
  code?: string;
  message?: string;
}

for (const kind of KINDS) {
  describe(kind.name, { skip: kind.skip }, () => {
    let site: TabsSite, lost: TabsSite, started: Started;
    before(async () => {
      site = await startTabsSite(PAGES);
      lost = await startTabsSite(PAGES, /worker\.js|\.wasm/);
      started = await startBrowser(kind);
    }, { timeout: 120_000 });
    after(async () => {
      await started?.end();
      site?.close();
      lost?.close();
    });

    async function on(path: string, run: (page: Page) => Promise<void>, from = site): Promise<void> {
      const page = await started.browser.newPage();
      try {
        await page.goto(`${from.origin}${path}`);
        await run(page);
      } finally {
        await page.close();
      }
    }

    /** Runs a module's text in the page; its `run` gets the package. */
    const call = (page: Page, code: (nacre: any, arg: any) => Promise<unknown>, { module = "/js/index.js", arg = undefined as unknown } = {}): Promise<Outcome> =>
      page.evaluate(async (text: string, module: string, arg: unknown) => {
        try {
          return { value: await (0, eval)(`(${text})`)(await import(module), arg) };
        } catch (error) {
          const { code, message } = error as { code?: string; message?: string };
          return { code: String(code), message: String(message) };
        }
      }, String(code), module, arg);

    const roundTrip = async ({ open }: any, name: string): Promise<unknown> => {
      const db = await open(name);
      const kv = await db.kv("s");
      await kv.put("a", [1]);
      const value = await kv.get("a");
      const { role, backend, tabs } = await db.storage();
      await db.close();
      return { value, role, backend, tabs };
    };

    test("J12 opened twice in one realm is one database, closed by the last close; StrictMode's open, close, open too", async () => {
      await on("/plain", async (page) => {
        const { value, ...failed } = await call(page, async ({ open }) => {
          const [a, b] = await Promise.all([open("twice"), open("twice")]);
          const c = await open("twice");
          const { tabs } = await a.storage();
          await (await a.kv("s")).put("k", 1);
          await a.close();
          await b.close();
          await b.close();
          const still = await (await c.kv("s")).get("k");
          await c.close();
          const after = await c.kv("s").then(() => "open", (error: { code: string }) => error.code);
          const first = open("twice").then((db: any) => db.close()), second = open("twice");
          await first;
          const db = await second;
          const strict = await (await db.kv("s")).get("k");
          const refused = await open("twice", { durability: "none" }).catch((error: { code: string }) => error.code);
          await db.close();
          return { tabs, still, after, strict, refused };
        });
        assert.deepEqual(failed, {});
        assert.deepEqual(value, { tabs: 1, still: 1, after: "CLOSED", strict: 1, refused: "MISUSE" });
      });
    });

    test("J12 a program that is loaded again has the same database", async () => {
      await on("/plain", async (page) => {
        const { value, ...failed } = await call(page, async ({ open }) => {
          const again = await import("/again/js/index.js" as string);
          if (again.open === open) throw new Error("not another copy");
          const a = await open("hot"), b = await again.open("hot");
          await (await a.kv("s")).put("k", 2);
          const { tabs } = await b.storage();
          await a.close();
          const value = await (await b.kv("s")).get("k");
          await b.close();
          return { tabs, value };
        });
        assert.deepEqual(failed, {});
        assert.deepEqual(value, { tabs: 1, value: 2 });
      });
    });

    test("J05 the smallest policy: script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'", async () => {
      await on("/smallest", async (page) => {
        // The policy forbids eval, and so what `call` does: a module is asked for instead.
        const value = await page.evaluate(async () => {
          const { open } = await import("/js/index.js" as string);
          const db = await open("policy");
          const kv = await db.kv("s");
          await kv.put("a", 3);
          const value = await kv.get("a");
          await db.close();
          return value;
        });
        assert.equal(value, 3);
      });
    });

    for (const [path, directive] of [["/no-wasm", /script-src needs 'wasm-unsafe-eval'/], ["/no-worker", /worker-src 'self'/]] as const) {
      test(`J05 a policy that forbids it is named: ${directive.source}`, async () => {
        await on(path, async (page) => {
          const outcome = await page.evaluate(async () => {
            try {
              const { open } = await import("/js/index.js" as string);
              await open("policy");
              return {};
            } catch (error) {
              const { code, message, cause } = error as { code: string; message: string; cause: unknown };
              return { code, message, cause: String(cause) };
            }
          }) as Outcome;
          assert.equal(outcome.code, "UNSUPPORTED", JSON.stringify(outcome));
          assert.match(String(outcome.message), directive);
        });
      });
    }

    test("J06 where worker and module are lost on the way, their text is loaded instead", async () => {
      await on("/plain", async (page) => {
        const { value, ...failed } = await call(page, roundTrip, { arg: "lost" });
        assert.deepEqual(failed, {});
        assert.deepEqual(value, { value: [1], role: "owner", backend: "opfs", tabs: 1 });
      }, lost);
    });

    test("J06 nacre/inline looks for no files, and the option wasm takes bytes", async () => {
      await on("/plain", async (page) => {
        const { value, ...failed } = await call(page, roundTrip, { arg: "inline", module: "/js/inlined.js" });
        assert.deepEqual(failed, {});
        assert.deepEqual(value, { value: [1], role: "owner", backend: "opfs", tabs: 1 });
        const looked = await page.evaluate(() => performance.getEntriesByType("resource").map(({ name }) => name).filter((name) => /worker\.js|\.wasm/.test(name)));
        assert.deepEqual(looked, []);
      }, lost);
      await on("/plain", async (page) => {
        const { value, ...failed } = await call(page, async ({ open }) => {
          const db = await open("bytes", { wasm: await (await fetch("/js/nacre.wasm")).arrayBuffer() });
          await (await db.kv("s")).put("a", 4);
          await db.close();
          return "fine";
        });
        assert.deepEqual(failed, {});
        assert.equal(value, "fine");
      });
    });

    for (const where of ["Worker", "SharedWorker"] as const) {
      test(`J01 open(name) in a ${where} while a page has it open`, async () => {
        await on("/plain", async (page) => {
          const outcome = await page.evaluate(async (where: "Worker" | "SharedWorker") => {
            const { open } = await import("/js/index.js" as string);
            const db = await open(`in-${where}`);
            const kv = await db.kv("s");
            await kv.put("a", "from the page");
            const answer = await new Promise<{ was?: string; failed?: string }>((resolve) => {
              const worker = where === "Worker" ? new Worker("/work.js", { type: "module" }) : new SharedWorker("/work.js", { type: "module" }).port;
              worker.onmessage = ({ data }: MessageEvent) => resolve(data as { was?: string });
              worker.postMessage(`in-${where}`);
            });
            const now = await kv.get("a");
            await db.close();
            return { ...answer, now };
          }, where);
          assert.deepEqual(outcome, { was: "from the page", now: "from the worker" });
        });
      });
    }

    test("J10 open(name, { from }) makes the database of a file; what is damaged is CORRUPT, and leaves nothing", async () => {
      await on("/plain", async (page) => {
        const { value, ...failed } = await call(page, async ({ open }) => {
          const source = await open("source");
          const rows = await source.kv("s");
          await rows.putMany(Array.from({ length: 3000 }, (_, i) => [`k${i}`, { i }]));
          const blob = await new Response(source.export()).blob();
          const codeOf = (promise: Promise<unknown>): Promise<unknown> => promise.then(() => "fine", (error: { code: string }) => error.code);
          const damaged = new Uint8Array(await blob.arrayBuffer());
          damaged[damaged.length >> 1] = (damaged[damaged.length >> 1] as number) ^ 1;
          const corrupt = await codeOf(open("copy", { from: damaged }));
          const missing = await codeOf(open("copy", { mode: "existing" }));
          const copy = await open("copy", { from: blob.stream() });
          const again = await codeOf(open("copy", { from: blob }));
          const kv = await copy.kv("s");
          const { ok } = await copy.verify({ deep: true });
          const found = [await kv.count(), await kv.get("k2999"), ok, (await copy.storage()).backend];
          await copy.close();
          const there = await codeOf(open("copy", { from: blob }));
          const reopened = await open("copy", { mode: "existing" });
          const kept = await (await reopened.kv("s")).count();
          await reopened.close();
          await source.close();
          return { corrupt, missing, again, found, there, kept };
        });
        assert.deepEqual(failed, {});
        assert.deepEqual(value, { corrupt: "CORRUPT", missing: "NOT_FOUND", again: "EXISTS", found: [3000, { i: 2999 }, true, "opfs"], there: "EXISTS", kept: 3000 });
      });
    });

    test(`J02 cleared under two tabs: both say EVICTED${kind.name === "Firefox" ? ", opening too, and only mode create begins anew" : ""}`, async () => {
      await on("/plain", async (first) => on("/plain", async (second) => {
        for (const page of [first, second]) {
          const { value, ...failed } = await call(page, async ({ open }) => {
            const db = (globalThis as any).db = await open("cleared");
            const kv = (globalThis as any).kv = await db.kv("s");
            await kv.put("a", 1);
            return (await db.storage()).tabs;
          });
          assert.deepEqual([value, failed], [page === first ? 1 : 2, {}]);
        }
        await call(first, async () => fetch("/clear"));
        const put = async (): Promise<unknown> => {
          for (let i = 0; i < 200; i++) { // acknowledgements may be true for a moment more
            await (globalThis as any).kv.put("b", i);
            await new Promise((resolve) => setTimeout(resolve, 20));
          }
          return "never noticed";
        };
        for (const page of [first, second]) assert.equal((await call(page, put)).code, "EVICTED");
        for (const page of [first, second]) await call(page, async () => (globalThis as any).db.close());
        if (kind.name !== "Firefox") return; // Chromium does not answer about the folder for up to a minute: open is TIMEOUT meanwhile
        assert.equal((await call(second, async ({ open }) => open("cleared"))).code, "EVICTED");
        const { value } = await call(second, async ({ open }) => {
          const db = await open("cleared", { mode: "create" });
          const value = await (await db.kv("s")).get("a");
          await db.close();
          return value === undefined;
        });
        assert.equal(value, true);
      }));
    });

    test("J01 openSync of a name says why it cannot be", async () => {
      await on("/plain", async (page) => {
        const { code, message } = await call(page, async ({ openSync }) => openSync("notes"));
        assert.equal(code, "UNSUPPORTED");
        assert.match(String(message), /not opened at once/);
      });
    });
  });
}
