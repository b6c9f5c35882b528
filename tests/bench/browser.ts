// What tabs cost each other, in real browsers: make bench-browser. Prints; asserts nothing.
import type { Page } from "puppeteer-core";
import { KINDS, startBrowser } from "../browser/lib.ts";
import { startTabsSite } from "../browser/tabs-site.ts";

const TIMES = Number(process.env.BENCH_TIMES ?? 20);

type Kv = { get(key: string): Promise<unknown>; put(key: string, value: unknown): Promise<void> };
declare global {
  var kv: Kv;
}

/** Milliseconds that open took. */
async function open(page: Page): Promise<number> {
  return page.evaluate(async () => {
    const { open } = await import("/js/index.js" as string);
    const started = performance.now();
    const db = await open("bench");
    const ms = performance.now() - started;
    globalThis.kv = await db.kv("s");
    return ms;
  });
}

function costs(page: Page): Promise<Record<string, string>> {
  return page.evaluate(async () => {
    const { kv } = globalThis;
    const times: number[] = [];
    await kv.put("a", { text: "of some length", n: 1 });
    for (let i = 0; i < 1000; i++) {
      const from = performance.now();
      await kv.get("a");
      times.push(performance.now() - from);
    }
    times.sort((a, b) => a - b);
    const each = async (count: number, run: (i: number) => Promise<unknown>): Promise<string> => {
      const from = performance.now();
      await Promise.all(Array.from({ length: count }, (_, i) => run(i)));
      return `${(1000 * (performance.now() - from) / count).toFixed(0)} µs`;
    };
    const mean = times.reduce((sum, ms) => sum + ms, 0) / times.length;
    return {
      "get, p50": `${(1000 * (times[500] as number)).toFixed(0)} µs`, "get, mean": `${(1000 * mean).toFixed(0)} µs`,
      "get, pipelined": await each(5000, () => kv.get("a")), "put, pipelined": await each(5000, (i) => kv.put(`k${i}`, i)),
    };
  });
}

/** The longest that a write of the follower waits while something happens to the owner. */
async function takeOver(follower: Page, happen: () => Promise<unknown>): Promise<number> {
  const longest = follower.evaluate(async () => {
    let worst = 0;
    for (let n = 0, until = performance.now() + 1200; performance.now() < until; n++) {
      const from = performance.now();
      await globalThis.kv.put("x", n);
      worst = Math.max(worst, performance.now() - from);
    }
    return worst;
  });
  await new Promise((resolve) => setTimeout(resolve, 200));
  void happen().catch(() => {});
  return longest;
}

const median = (all: number[]): number => all.sort((a, b) => a - b)[all.length >> 1] as number;
const show = (all: number[]): string => `p50 ${median(all).toFixed(0)} ms, longest ${Math.max(...all).toFixed(0)} ms, of ${all.length}`;

for (const kind of KINDS) {
  if (kind.skip !== false) continue;
  const site = await startTabsSite({ "/plain": { body: "<!doctype html><title>bench</title>" } });
  const started = await startBrowser(kind);
  const page = async (): Promise<Page> => {
    const page = await started.browser.newPage();
    await page.goto(`${site.origin}/plain`);
    return page;
  };
  try {
    let owner = await page();
    const first = await open(owner), ownerCosts = await costs(owner);
    let follower = await page();
    const second = await open(follower), followerCosts = await costs(follower);
    console.log(`\n${kind.name}: open ${first.toFixed(0)} ms, as a follower ${second.toFixed(0)} ms`);
    console.table({ owner: ownerCosts, follower: followerCosts });
    const accidents: Record<string, (page: Page) => Promise<unknown>> = {
      reloaded: (page) => page.reload(), closed: (page) => page.close(), "navigated away": (page) => page.goto(`${site.origin}/away`),
    };
    if (kind.name === "Chromium") {
      accidents.crashed = async (page) => (await page.createCDPSession()).send("Page.crash");
      accidents.frozen = async (page) => (await page.createCDPSession()).send("Page.setWebLifecycleState", { state: "frozen" });
    }
    for (const [name, happen] of Object.entries(accidents)) {
      const times: number[] = [];
      for (let i = 0; i < TIMES; i++) {
        times.push(await takeOver(follower, () => happen(owner)));
        await Promise.race([owner.close().catch(() => {}), new Promise((resolve) => setTimeout(resolve, 1000))]);
        [owner, follower] = [follower, await page()];
        await open(follower);
      }
      console.log(`owner's tab ${name}: a write waits ${show(times)}`);
    }
  } finally {
    await started.end();
    site.close();
  }
}
