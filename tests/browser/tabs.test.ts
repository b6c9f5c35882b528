// Many tabs of real browsers over one database: accidents, kills, hot reloading, policies.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import type { Page } from "puppeteer-core";
import { KINDS, startBrowser } from "./lib.ts";
import type { Started } from "./lib.ts";
import { startTabsSite } from "./tabs-site.ts";
import type { TabsSite } from "./tabs-site.ts";

const TABS = 8;
const ACCIDENTS = Number(process.env.TAB_ACCIDENTS ?? 12);
const LONG = process.env.TAB_ACCIDENTS !== undefined;
const ROUNDS = Number(process.env.KILL_ROUNDS ?? 1);
const FIREFOX_AFTER_KILL = { "browser.sessionstore.resume_from_crash": false, "toolkit.startup.max_resumed_crashes": -1 };

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A browser's calls may never end, when a page dies in the middle. */
async function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    return await Promise.race([promise.catch(() => undefined), new Promise<undefined>((resolve) => timer = setTimeout(() => resolve(undefined), ms))]);
  } finally {
    clearTimeout(timer);
  }
}

interface Report {
  puts: string[];
  slots: [number, number | string][];
  verify: { ok: boolean; problems: unknown[] };
}

/** What was told against what is there. */
function compare(told: Map<string, string[]>, report: Report): void {
  const of = (kind: string): string[] => told.get(kind) ?? [];
  assert.deepEqual(of("wrong"), []);
  const puts = new Set(report.puts);
  assert.deepEqual(of("put").filter((token) => !puts.has(token)), [], "acknowledged, and lost");
  const [counter, ...claimed] = report.slots;
  const tokens = claimed.map(([, token]) => token as string), once = new Set(tokens);
  assert.equal(once.size, tokens.length, "claimed twice");
  assert.deepEqual(claimed.map(([slot]) => slot), claimed.map((_, i) => i + 1), "slots without a gap");
  assert.equal(counter?.[1] ?? 0, tokens.length);
  assert.deepEqual(of("slot").filter((token) => !once.has(token)), [], "transactions that were acknowledged, and lost");
  assert.deepEqual(of("conflict").filter((token) => once.has(token)), [], "transactions that were refused, and applied");
  assert.ok(report.verify.ok, JSON.stringify(report.verify));
}

/** Processes of content that a Firefox of ours has. */
function contentProcesses(browser: number): number[] {
  const lines = execFileSync("ps", ["-eo", "pid=,ppid=,args="], { encoding: "utf8" }).trim().split("\n");
  const children = lines.map((line) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line)).filter((match) => match !== null);
  const ours = new Set([browser]);
  for (let grown = true; grown;) {
    grown = false;
    for (const [, pid, parent] of children) if (ours.has(Number(parent)) && !ours.has(Number(pid))) grown = Boolean(ours.add(Number(pid)));
  }
  return children.filter(([, pid, , args]) => ours.has(Number(pid)) && /-isForBrowser/.test(args as string) && /\stab\s*$/.test(args as string)).map(([, pid]) => Number(pid));
}

function descendants(root: number): number[] {
  const all = execFileSync("ps", ["-eo", "pid=,ppid="], { encoding: "utf8" }).trim().split("\n").map((line) => line.trim().split(/\s+/).map(Number));
  const found = [root];
  for (const pid of found) for (const [child, parent] of all) if (parent === pid) found.push(child as number);
  return found;
}

class Tabs {
  readonly #started: Started;
  readonly #url: string;
  readonly pages: Page[] = [];

  constructor(started: Started, url: string) {
    this.#started = started;
    this.#url = url;
  }

  async open(): Promise<void> {
    const page = await within(20_000, this.#started.browser.newPage());
    assert.ok(page, "the browser gives no new page");
    await within(20_000, page.goto(this.#url));
    this.pages.push(page);
  }

  async replace(page: Page): Promise<void> {
    this.pages.splice(this.pages.indexOf(page), 1);
    await within(2000, page.close());
    await this.open();
  }

  async replaceDead(): Promise<void> {
    for (const page of [...this.pages]) if (await within(5000, page.evaluate(() => 1)) !== 1) await this.replace(page);
  }
}

/** What can happen to a tab, and what it is called. */
const ACCIDENT: Record<string, (tabs: Tabs, page: Page, kind: string, started: Started) => Promise<void>> = {
  async reload(_tabs, page) {
    await within(5000, page.reload());
  },
  async "reload during open"(_tabs, page) {
    void within(5000, page.reload());
    await pause(30 + Math.random() * 200);
    await within(5000, page.reload());
  },
  async close(tabs, page) {
    await tabs.replace(page);
  },
  async "away and back"(_tabs, page) {
    await within(5000, page.goto(page.url().replace(/\/tab.*/, "/away")));
    await pause(Math.random() * 200);
    await within(3000, page.goBack());
  },
  async crash(tabs, page, kind, started) {
    if (kind === "Chromium") {
      const session = await within(2000, page.createCDPSession());
      void session?.send("Page.crash").catch(() => {});
      await pause(100);
      await tabs.replace(page);
      return;
    }
    const content = contentProcesses(started.browser.process()?.pid ?? 0);
    const victim = content[Math.floor(Math.random() * content.length)];
    if (victim !== undefined) process.kill(victim, "SIGKILL");
    await pause(300);
    await tabs.replaceDead();
  },
  async freeze(_tabs, page, kind) {
    if (kind !== "Chromium") return ACCIDENT.reload?.(_tabs, page, kind, undefined as never);
    const session = await within(2000, page.createCDPSession());
    if (session === undefined) return;
    await within(2000, session.send("Page.setWebLifecycleState", { state: "frozen" }));
    await pause(Math.random() * 600);
    await within(2000, session.send("Page.setWebLifecycleState", { state: "active" }));
    await within(2000, session.detach());
  },
};

for (const kind of KINDS) {
  describe(kind.name, { skip: kind.skip }, () => {
    let site: TabsSite, started: Started;
    before(async () => {
      site = await startTabsSite();
      started = await startBrowser(kind, { preferences: FIREFOX_AFTER_KILL });
    }, { timeout: 120_000 });
    after(async () => {
      await started?.end();
      site?.close();
    });

    for (const storage of LONG ? ["opfs", "indexeddb"] : ["opfs"]) test(`J01 J21 eight tabs over ${storage} and ${ACCIDENTS} accidents: nothing lost, nothing doubled, nobody stuck`, { timeout: 60_000 + ACCIDENTS * 20_000 }, async (t) => {
      const tabs = new Tabs(started, `${site.origin}/tab?db=accidents-${storage}&storage=${storage}`);
      site.told.clear();
      for (let i = 0; i < TABS; i++) await tabs.open();
      const names = Object.keys(ACCIDENT);
      const until = Date.now() + 30_000;
      while ((site.told.get("opened")?.length ?? 0) < TABS && Date.now() < until) await pause(50);
      for (let i = 0; i < ACCIDENTS; i++) {
        const name = names[i % names.length] as string;
        const page = tabs.pages[i % 2 === 0 ? 0 : Math.floor(Math.random() * tabs.pages.length)] as Page; // the oldest one likely owns
        await ACCIDENT[name]?.(tabs, page, kind.name, started);
        await pause(Math.random() * 250);
      }
      await tabs.replaceDead();
      for (const [i, page] of tabs.pages.entries()) {
        const opened = await within(60_000, page.waitForFunction(() => document.title === "open", { timeout: 60_000 }));
        assert.ok(opened, `tab ${i} is stuck in open: ${site.told.get("failed")}`);
        assert.equal(await within(30_000, page.evaluate(() => (globalThis as never as { probe(): Promise<number> }).probe())), 1, `tab ${i} is stuck`);
      }
      for (const page of tabs.pages) await within(30_000, page.evaluate(() => (globalThis as never as { end(): Promise<void> }).end()));
      const report = await within(60_000, (tabs.pages[0] as Page).evaluate(() => (globalThis as never as { report(): Promise<Report> }).report()));
      assert.ok(report, "no report");
      compare(site.told, report);
      const count = (what: string): number => site.told.get(what)?.length ?? 0;
      t.diagnostic(`${count("opened")} opens (slowest ${Math.max(...site.told.get("opened")?.map(Number) ?? [])} ms), ${count("put")} puts, ${count("slot")} transactions, ${count("conflict")} conflicts, failed: ${site.told.get("failed") ?? "none"}`);
      assert.deepEqual(site.told.get("failed") ?? [], []);
      assert.ok(count("put") > 20 && count("slot") > 10);
      for (const page of tabs.pages) await within(5000, page.close());
    });
  });

  describe(`${kind.name}, killed`, { skip: kind.skip }, () => {
    test(`J01 the whole browser is killed while tabs write, ${ROUNDS} times: all that was acknowledged is there`, { timeout: 120_000 + ROUNDS * 60_000 }, async () => {
      const site = await startTabsSite();
      let profile: string | undefined;
      try {
        for (let round = 0; round <= ROUNDS; round++) {
          const started: Started = await startBrowser(kind, { ...(profile !== undefined && { profile }), preferences: FIREFOX_AFTER_KILL });
          profile = started.profile;
          const tabs = new Tabs(started, `${site.origin}/tab?db=killed`);
          await tabs.open();
          const first = tabs.pages[0] as Page;
          assert.ok(await within(60_000, first.waitForFunction(() => document.title === "open", { timeout: 60_000 })), `round ${round}: stuck: ${site.told.get("failed")}`);
          if (round === ROUNDS) {
            await within(30_000, first.evaluate(() => (globalThis as never as { end(): Promise<void> }).end()));
            const report = await within(60_000, first.evaluate(() => (globalThis as never as { report(): Promise<Report> }).report()));
            assert.ok(report, "no report");
            compare(site.told, report);
            await started.end();
            profile = undefined;
            break;
          }
          await tabs.open();
          await pause(300 + Math.random() * 1200);
          const pid = started.browser.process()?.pid as number;
          for (const each of descendants(pid)) {
            try {
              process.kill(each, "SIGKILL");
            } catch { /* it was quicker */ }
          }
          await within(10_000, started.browser.disconnect());
          await pause(200);
        }
        assert.ok((site.told.get("put")?.length ?? 0) > ROUNDS);
      } finally {
        site.close();
        if (profile !== undefined) rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
      }
    });
  });
}
