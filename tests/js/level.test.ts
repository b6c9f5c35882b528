// The suite that abstract-level ships for its implementations, whole, and what it does not ask.
// tape runs it and judges; each of its tests becomes one of node:test.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { open } from "../../build/js/index.js";
import { NacreLevel } from "../../build/js/level.js";
import type { NacreLevelOptions } from "../../build/js/level.js";
import { all, BUILD, freshName, pick, random, seed } from "./lib.ts";

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const require = createRequire(import.meta.url);

/** A test of tape that has ended: what failed, in words. */
interface Ended {
  name: string;
  asserted: number;
  failures: string[];
}

interface Row {
  type: "test" | "assert" | "end";
  id: number;
  test: number;
  name?: string;
  ok?: boolean;
  operator?: string;
  actual?: unknown;
  expected?: unknown;
  error?: Error;
  skip?: unknown;
  todo?: unknown;
}

/** Runs the suite of abstract-level; resolves when tape has ended. */
async function suite(factory: (options?: object) => unknown): Promise<{ ended: Ended[]; skipped: string[] }> {
  const tape = require("tape");
  const harness = tape.createHarness({ autoclose: true });
  const tests = new Map<number, Ended>(), skipped: string[] = [];
  const stream = harness.createStream({ objectMode: true });
  const done = new Promise<void>((resolve, reject) => stream.on("end", resolve).on("error", reject));
  stream.on("data", (row: Row) => {
    if (row.type === "test") tests.set(row.id, { name: row.name ?? "", asserted: 0, failures: [] });
    if (row.type !== "assert") return;
    const of = tests.get(row.test);
    assert.ok(of, `an assertion of no test: ${row.name}`);
    of.asserted++;
    if (row.skip || row.todo) skipped.push(`${of.name}: ${row.name}`);
    if (row.ok !== true) of.failures.push(`${row.name} (${row.operator}): ${row.error?.stack ?? ""}`);
  });
  require("abstract-level/test")({ test: harness, factory });
  await done;
  return { ended: [...tests.values()], skipped };
}

const remote = process.env.TEST_REMOTE !== undefined;

/** The value, now where that can be. */
function got<V>(level: NacreLevel<string, V>, key: string): V | undefined | Promise<V | undefined> {
  return remote ? level.get(key) : (level as unknown as { getSync(key: string): V | undefined }).getSync(key);
}

/** Where another realm has the files there is no getSync. */
function made(options?: object): NacreLevel {
  const level = new NacreLevel(freshName(), options);
  if (remote) (level as { supports: { getSync: boolean } }).supports.getSync = false;
  return level;
}

const { ended, skipped } = await suite(made);

describe("the suite of abstract-level", () => {
  for (const { name, failures } of ended) {
    test(name, () => assert.deepEqual(failures, []));
  }

  test("j15_the_whole_suite_of_abstract_level_passes", (t) => {
    const asserted = ended.reduce((sum, each) => sum + each.asserted, 0);
    t.diagnostic(`${ended.length} tests, ${asserted} assertions`);
    assert.equal(ended.length, remote ? 1479 : 1509); // 30 are of getSync
    assert.deepEqual(skipped, []);
    assert.equal(ended.filter(({ failures }) => failures.length > 0).length, 0);
  });
});

/** The code of the failure, and of its cause. */
async function fails(call: () => unknown): Promise<{ code: unknown; cause: unknown; message: string }> {
  try {
    await call();
  } catch (error) {
    const { code, cause, message } = error as Error & { code?: unknown };
    return { code, cause: (cause as { code?: unknown } | undefined)?.code, message };
  }
  assert.fail("it did not fail");
}

/** Opens one in memory for `use`. */
async function withLevel<K = string, V = string>(
  options: NacreLevelOptions<K, V>, use: (level: NacreLevel<K, V>) => Promise<void>, location = ":memory:",
): Promise<void> {
  const level = new NacreLevel<K, V>(location, options);
  try {
    await level.open();
    await use(level);
  } finally {
    await level.close();
  }
}

describe("nacre/level", () => {
  test("a second handle of the package sees the rows, and what it writes is seen", async () => {
    const name = freshName();
    await withLevel({}, async (level) => {
      await level.put("shell", "pearl");
      const db = await open(name);
      const rows = await db.kv<Uint8Array, Uint8Array>("level");
      assert.deepEqual(await all(rows.entries()), [[utf8("shell"), utf8("pearl")]]);
      await rows.put(utf8("reef"), utf8("coral"));
      assert.equal(await got(level, "reef"), "coral");
      await db.close();
    }, name);
  });

  test("text and bytes are the same rows, zero bytes and lone surrogates too", async () => {
    await withLevel({}, async (level) => {
      const view = { keyEncoding: "view", valueEncoding: "view" };
      for (const text of ["", "\0", "a\0b", "é", "\u{1f41a}", "\ufeffmark", "x".repeat(500), "é".repeat(500)]) {
        await level.put(`k${text}`, text);
        assert.equal(await level.get(`k${text}`), text);
        assert.deepEqual(await level.get(utf8(`k${text}`), view), utf8(text));
        assert.deepEqual(await level.get(utf8(`k${text}`), { keyEncoding: "buffer", valueEncoding: "buffer" }), Buffer.from(text));
        assert.deepEqual(await level.iterator({ gte: `k${text}`, limit: 1 }).all(), [[`k${text}`, text]]);
        assert.deepEqual(await level.iterator({ ...view, gte: utf8(`k${text}`), limit: 1 }).all(), [[utf8(`k${text}`), utf8(text)]]);
      }
      await level.put("lone\ud83d", "\udc1a");
      assert.equal(await level.get("lone\ufffd"), "\ufffd");
      assert.equal(await level.has("lone\ud83d"), true);
      await level.del("lone\udc1a");
      assert.equal(await level.has("lone\ufffd"), false);
    });
  });

  test("un-awaited writes of a tick share one sync, each atomic by itself", async () => {
    const name = freshName();
    await withLevel<string, unknown>({ valueEncoding: "json", durability: "strict" }, async (level) => {
      await level.put("0", 0);
      const db = await open(name, { durability: "strict" });
      const before = (await db.stats()).syncs;
      const done: Promise<unknown>[] = [];
      for (let i = 0; i < 500; i++) done.push(level.put(`${i}`, { i }));
      done.push(level.del("7"), level.batch([{ type: "put", key: "a", value: 1 }, { type: "del", key: "8" }]), level.batch().put("b", 2).write());
      const refused = fails(() => level.put("x".repeat(100_000), 1));
      assert.deepEqual(await got(level, "499"), { i: 499 }, "reads see what was written before");
      await Promise.all(done);
      assert.equal((await refused).code, "INVALID_ARGUMENT");
      assert.equal((await db.stats()).syncs, before + 1);
      assert.deepEqual(await level.getMany(["6", "7", "8", "a", "b"]), [{ i: 6 }, undefined, undefined, 1, 2]);
      await db.close();
    }, name);
  });

  test("sync: true syncs where the level asks for less", async () => {
    const name = freshName();
    await withLevel({ durability: "none" }, async (level) => {
      const db = await open(name);
      const syncs = async (): Promise<number> => (await db.stats()).syncs;
      const before = await syncs();
      await level.put("a", "1");
      await level.batch([{ type: "put", key: "b", value: "2" }]);
      assert.equal(await syncs(), before);
      await level.put("c", "3", { sync: true });
      assert.equal(await syncs(), before + 1);
      await level.batch([{ type: "del", key: "a" }], { sync: true });
      await level.batch().del("b").write({ sync: true } as object);
      await level.del("c", { sync: true });
      assert.equal(await syncs(), before + 4);
      await db.close();
    }, name);
  });

  // abstract-level's own test of this builds its cases but never runs them.
  for (const reverse of [false, true]) {
    test(`seek stays within the range (reverse: ${reverse})`, async () => {
      await withLevel({}, async (level) => {
        await level.batch([..."0123456789"].map((key) => ({ type: "put", key, value: key })));
        for (const [range, inside] of [
          [{}, "0123456789"], [{ gt: "5" }, "6789"], [{ gte: "5" }, "56789"], [{ gte: "5", gt: "7" }, "56789"], [{ lt: "5" }, "01234"],
          [{ lte: "5", lt: "3" }, "012345"], [{ gt: "7", lt: "8" }, ""], [{ gte: "7", lt: "8" }, "7"], [{ gt: "7", lte: "8" }, "8"],
          [{ gt: "9" }, ""], [{ lt: "0" }, ""], [{ gt: "3", lt: "3" }, ""],
        ] as const) {
          for (const target of "0123456789") {
            for (const mode of ["iterator", "keys", "values"] as const) {
              const iterator = level[mode]({ ...range, reverse });
              if (target > "4") await iterator.next();
              iterator.seek(target);
              const item = await iterator.next();
              assert.equal(mode === "iterator" ? item?.[0] : item, inside.includes(target) ? target : undefined, JSON.stringify({ range, target, mode }));
              await iterator.close();
            }
          }
        }
      });
    });
  }

  test("seek goes on from page to page, both ways, in the iterator's own state", async () => {
    await withLevel({}, async (level) => {
      const keys = Array.from({ length: 20_000 }, (_, i) => `key-${String(i).padStart(6, "0")}`);
      await level.batch(keys.map((key) => ({ type: "put", key, value: key })));
      for (const reverse of [false, true]) {
        const iterator = level.keys({ reverse });
        await level.clear({ lt: "key-000100" });
        iterator.seek("key-010000");
        const [first, ...rest] = await iterator.nextv(15_000);
        assert.equal(first, "key-010000");
        assert.equal(rest.length, reverse ? 10_000 : 9_999);
        iterator.seek(`key-000050${reverse ? "x" : ""}`);
        assert.deepEqual(await iterator.nextv(2), ["key-000050", reverse ? "key-000049" : "key-000051"], "as of before the clear");
        await iterator.close();
        await level.batch(keys.slice(0, 100).map((key) => ({ type: "put", key, value: key })));
      }
    });
  });

  test("snapshots: reads, iterators and clear see theirs; one of another database is refused", async () => {
    await withLevel({}, async (level) => {
      await level.batch(["a", "b", "c"].map((key) => ({ type: "put", key, value: `${key}1` })));
      await using snapshot = level.snapshot();
      await level.put("a", "a2");
      await level.put("d", "d2");
      assert.equal(await level.get("a", { snapshot }), "a1");
      assert.deepEqual(await level.getMany(["a", "d"], { snapshot }), ["a1", undefined]);
      assert.deepEqual(await level.keys({ snapshot, reverse: true }).all(), ["c", "b", "a"]);
      assert.equal(await level.has("d", { snapshot }), false);
      await level.clear({ snapshot, limit: 2, reverse: true });
      assert.deepEqual(await level.iterator().all(), [["a", "a2"], ["d", "d2"]]);
      await level.clear({ snapshot });
      assert.deepEqual(await level.keys().all(), ["d"], "what the snapshot does not have stays");
      assert.equal(await level.get("b", { snapshot }), "b1");
      await withLevel({}, async (other) => {
        assert.equal((await fails(() => other.get("a", { snapshot }))).code, "INVALID_ARGUMENT");
        assert.equal((await fails(() => other.keys({ snapshot }))).code, "INVALID_ARGUMENT");
      });
    });
  });

  test("clear of more than a batch holds, from a snapshot", async () => {
    await withLevel({}, async (level) => {
      for (let from = 0; from < 60_000; from += 20_000) {
        await level.batch(Array.from({ length: 20_000 }, (_, i) => ({ type: "put", key: `a key of some length ${from + i}`, value: "" })));
      }
      await using snapshot = level.snapshot();
      await level.clear({ snapshot, limit: 59_999 });
      assert.equal((await level.keys().all()).length, 1);
      await level.clear({ snapshot });
      assert.deepEqual(await level.keys().all(), []);
    });
  });

  test("options of opening", async () => {
    const name = freshName();
    const opening = (options: object): Promise<{ code: unknown; cause: unknown; message: string }> => fails(() => new NacreLevel(name, options).open());
    assert.deepEqual((await opening({ createIfMissing: false })).cause, "NOT_FOUND");
    assert.deepEqual((await opening({ createIfMissing: false, errorIfExists: true })).cause, "NOT_FOUND");
    assert.deepEqual((await opening({ mode: "existing" })).cause, "NOT_FOUND");
    assert.deepEqual((await opening({ durability: "nearly" })).cause, "INVALID_ARGUMENT");
    await withLevel({ errorIfExists: true, memory: 16 << 20 }, async (level) => {
      await level.put("a", "1");
    }, name);
    assert.deepEqual((await opening({ errorIfExists: true })).cause, "EXISTS");
    assert.deepEqual((await opening({ createIfMissing: false, errorIfExists: true })).cause, "EXISTS");
    await withLevel({ createIfMissing: false }, async (level) => assert.equal(await got(level, "a"), "1"), name);
    await withLevel({ mode: "readonly" }, async (level) => {
      assert.equal(await got(level, "a"), "1");
      assert.equal((await fails(() => level.put("a", "2"))).code, "LEVEL_READONLY");
    }, name);
    for (const location of ["", undefined, 7, {}]) {
      assert.equal((await fails(() => new NacreLevel(location as string))).code, "INVALID_ARGUMENT");
    }
    const url = pathToFileURL(name);
    await using level = new NacreLevel(url);
    assert.equal(level.location, url);
    assert.equal(await level.get("a"), "1", "opens by itself");
  });

  test("another process has it: LEVEL_LOCKED; damage: LEVEL_CORRUPTION", async () => {
    const name = freshName();
    const child = spawn(process.execPath, ["--input-type=module", "-e", `
      import { NacreLevel } from ${JSON.stringify(new URL("level.js", BUILD).href)};
      await new NacreLevel(${JSON.stringify(name)}).open();
      console.log("open");
      setInterval(() => {}, 1000);`], { stdio: ["ignore", "pipe", "inherit"] });
    try {
      await once(child.stdout, "data");
      const { code, cause } = await fails(() => new NacreLevel(name).open());
      assert.deepEqual([code, cause], ["LEVEL_DATABASE_NOT_OPEN", "LEVEL_LOCKED"]);
    } finally {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
    const other = freshName();
    writeFileSync(other, "Dear reader, this is no database.".repeat(500));
    assert.equal((await fails(() => new NacreLevel(other).open())).cause, "LEVEL_CORRUPTION");
  });

  test("in memory: gone at close, and its manifest says so", async () => {
    const level = new NacreLevel(":memory:");
    await level.put("a", "1");
    await level.close();
    await level.open();
    assert.equal(await level.get("a"), undefined);
    assert.equal(level.supports.permanence, false);
    assert.equal(new NacreLevel(freshName()).supports.permanence, true);
    await level.close();
    assert.equal((await fails(() => level.get("a"))).code, "LEVEL_DATABASE_NOT_OPEN");
  });

  test("a membrane that is dropped beneath it is told, not read", async () => {
    const name = freshName();
    await withLevel({}, async (level) => {
      await level.put("a", "1");
      const db = await open(name);
      await db.drop("level");
      for (const call of [() => level.get("a"), () => level.put("a", "2"), () => level.keys().next(), () => level.clear()]) {
        assert.equal((await fails(call)).code, "NOT_FOUND");
      }
      await db.close();
    }, name);
  });

  test(`random histories equal a sorted array (seed ${seed})`, async () => {
    const next = random(1509), below = (n: number): number => Math.floor(next() * n);
    const bytes = (): Uint8Array => Uint8Array.from({ length: below(4) }, () => pick(next, [0, 1, 97, 254, 255]));
    for (let history = 0; history < 30; history++) {
      await withLevel<Uint8Array, Uint8Array>({ keyEncoding: "view", valueEncoding: "view" }, async (root) => {
        // What lies beside a sublevel is not its business.
        const level = history % 2 === 0 ? root : root.sublevel<Uint8Array, Uint8Array>("sub", { keyEncoding: "view", valueEncoding: "view" });
        await root.put(Uint8Array.of(255, 255, 255, 255, 255), Uint8Array.of(9));
        const model = new Map<string, Uint8Array>();
        const hex = (key: Uint8Array): string => Buffer.from(key).toString("hex");
        const rows = (range: { gt?: Uint8Array; gte?: Uint8Array; lt?: Uint8Array; lte?: Uint8Array; reverse?: boolean; limit?: number } = {}): [string, Uint8Array][] => {
          const { gt, gte, lt, lte, reverse, limit = Infinity } = range;
          const found = [...model].filter(([key]) => (gte !== undefined ? key >= hex(gte) : gt === undefined || key > hex(gt)) &&
            (lte !== undefined ? key <= hex(lte) : lt === undefined || key < hex(lt)));
          found.sort(([a], [b]) => (a < b ? -1 : 1));
          return (reverse ? found.reverse() : found).slice(0, limit);
        };
        const range = (): { reverse: boolean; limit: number } => ({
          reverse: below(2) === 0, limit: below(2) === 0 ? -1 : below(5),
          ...(below(3) === 0 && { gt: bytes() }), ...(below(3) === 0 && { gte: bytes() }),
          ...(below(3) === 0 && { lt: bytes() }), ...(below(3) === 0 && { lte: bytes() }),
        });
        if (level === root) model.set("ffffffffff", Uint8Array.of(9));
        for (let step = 0; step < 60; step++) {
          const key = bytes(), value = bytes();
          switch (below(7)) {
            case 0: case 1:
              void level.put(key, value);
              model.set(hex(key), value);
              break;
            case 2:
              await level.del(key);
              model.delete(hex(key));
              break;
            case 3: {
              const more = Array.from({ length: below(6) }, () => ({ put: below(3) > 0, key: bytes(), value: bytes() }));
              await level.batch(more.map(({ put, key, value }) => put ? { type: "put", key, value } : { type: "del", key }));
              for (const { put, key, value } of more) put ? model.set(hex(key), value) : model.delete(hex(key));
              break;
            }
            case 4: {
              const { limit, ...options } = range();
              await level.clear({ ...options, limit });
              for (const [key] of rows({ ...options, limit: limit < 0 ? Infinity : limit })) model.delete(key);
              break;
            }
            case 5:
              assert.deepEqual(await level.get(key), model.get(hex(key)));
              assert.equal(await got(level, key) === undefined, !await level.has(key));
              break;
            default: {
              const { limit, ...options } = range();
              const entries = await level.iterator({ ...options, limit }).all();
              assert.deepEqual(entries.map(([key, value]) => [hex(key), value]), rows({ ...options, limit: limit < 0 ? Infinity : limit }));
            }
          }
        }
        assert.deepEqual((await level.keys().all()).map(hex), rows().map(([key]) => key));
      });
    }
  });
});
