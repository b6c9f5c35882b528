// The package's own suites in pages of real browsers: bundled with a small node:test, and each
// database in the OPFS, in IndexedDB, or in the page's memory.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { build } from "esbuild";
import { KINDS, startBrowser } from "./lib.ts";
import type { Started } from "./lib.ts";
import type { Outcome } from "./shim/test.ts";
import { startTabsSite } from "./tabs-site.ts";
import type { TabsSite } from "./tabs-site.ts";

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** One script of these suites; what they import of Node is in shim/. */
async function bundled(suites: readonly string[]): Promise<string> {
  const contents = `import ${JSON.stringify(at("shim/node.ts"))};
    ${suites.map((name) => `import ${JSON.stringify(at(name === "level" ? "shim/level.ts" : `../js/${name}.test.ts`))};`).join("\n")}
    import { run } from ${JSON.stringify(at("shim/test.ts"))};
    import { closeAll } from ${JSON.stringify(at("shim/index.ts"))};
    export const outcomes = (skip) => run(new RegExp(skip), closeAll);`;
  const { outputFiles: [file] } = await build({
    stdin: { contents, resolveDir: at("."), loader: "ts" }, bundle: true, write: false, format: "esm", target: "es2022", ignoreAnnotations: true, // what is imported for its tests
    define: { "process.env.TEST_REMOTE": '"1"', "process.env": "{}", global: "globalThis" },
    plugins: [{
      name: "page",
      setup(on) {
        const to = (filter: RegExp, path: string): void => on.onResolve({ filter }, () => ({ path: at(path) }));
        to(/^node:test$/, "shim/test.ts");
        to(/^node:assert\/strict$/, "shim/assert.ts");
        to(/^node:/, "shim/node.ts");
        to(/^events$/, "shim/events.ts");
        to(/build\/js\/index\.js$/, "shim/index.ts");
        // The adapter shares abstract-level with its suite, and the package with the page.
        on.onResolve({ filter: /^\.\/[a-z-]+\.js$/ }, ({ path, importer }) =>
          importer.includes("/build/js/") && !path.startsWith("./level") ? { path: `/js/${path.slice(2)}`, external: true } : undefined);
        on.onResolve({ filter: /^\/js\// }, ({ path }) => ({ path, external: true }));
        on.onResolve({ filter: /^\.\/lib\.ts$/ }, ({ importer }) => ({ path: importer.includes("/tests/js/") ? at("shim/lib.ts") : at("lib.ts") }));
      },
    }],
  });
  return file?.text ?? "";
}

/** Why a test cannot be in a page. */
const SKIPPED: Record<string, string> = {
  "synchronous|two faces of one database|moment of a signal": "openSync is for workers",
  "never before": "it counts turns of the event loop",
};
const SKIP = Object.keys(SKIPPED).join("|");
/** The suite of abstract-level opens 700 databases: minutes, so it has a make target of its own. */
const LEVEL = process.env.LEVEL_SUITE !== undefined;
const LONG = ["kv", "collection", "search", "batch", "elements"], SHORT = ["kv", "collection", "batch"];

for (const kind of KINDS) {
  describe(kind.name, { skip: kind.skip }, () => {
    let site: TabsSite, started: Started;
    before(async () => {
      const script = async (names: readonly string[]): Promise<{ headers: Record<string, string>; body: string }> =>
        ({ headers: { "content-type": "text/javascript" }, body: await bundled(names) });
      site = await startTabsSite({ "/suite": { body: "<!doctype html><title>suite</title>" }, "/long.js": await script(LONG), "/short.js": await script(SHORT), ...(LEVEL && { "/level.js": await script(["level"]) }) });
      started = await startBrowser(kind);
    }, { timeout: 120_000 });
    after(async () => {
      await started?.end();
      site?.close();
    });

    for (const { what, storage, script, least } of LEVEL ? [
      { what: "suite of abstract-level passes", storage: "opfs", script: "/level.js", least: 700 },
      { what: "suite of abstract-level passes", storage: "indexeddb", script: "/level.js", least: 700 },
    ] : [
      { what: "suites pass", storage: "memory", script: "/long.js", least: 65 },
      { what: "suites pass", storage: "opfs", script: "/long.js", least: 65 },
      { what: "suites pass", storage: "indexeddb", script: "/short.js", least: 45 },
    ]) {
      test(`i09: the ${what}, databases in ${storage}`, { timeout: LEVEL ? 1_800_000 : 400_000 }, async (t) => {
        const page = await started.browser.newPage();
        try {
          await page.goto(`${site.origin}/suite?storage=${storage}`);
          // Asked for again and again: no single call lasts as long as a suite.
          await page.evaluate((path, skip) => {
            const here = globalThis as { outcomes?: unknown };
            (import(path) as Promise<{ outcomes(skip: string): Promise<unknown> }>).then((suite) => suite.outcomes(skip))
              .then((all) => { here.outcomes = all; }, (error: Error) => { here.outcomes = [{ name: path, ms: 0, failure: `${error} ${error.stack}` }]; });
          }, script, SKIP);
          let outcomes: Outcome[] | undefined;
          while (outcomes === undefined) {
            await sleep(200);
            outcomes = await page.evaluate(() => (globalThis as { outcomes?: Outcome[] }).outcomes);
          }
          const failed = outcomes.filter(({ failure }) => failure !== undefined);
          t.diagnostic(`${outcomes.length} tests, ${outcomes.reduce((sum, { ms }) => sum + ms, 0)} ms`);
          assert.ok(outcomes.length >= least, `only ${outcomes.length} tests`);
          assert.deepEqual(failed.slice(0, 20), []);
        } finally {
          await page.close();
        }
      });
    }
  });
}
