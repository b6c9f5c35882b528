// B03 and B04 as the system sees them: which data syncs the durability levels ask for, and
// when, counted by strace in Node and natively. What is said stands between marks that the
// traced process writes to its standard output.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { BUILD, freshName } from "./lib.ts";

const native = fileURLToPath(new URL("../../build/readers/beside", import.meta.url));

/** Why there is nothing to see here; undefined: there is. */
const skip = ((): string | undefined => {
  const tried = spawnSync("strace", ["-f", "-o", "/dev/null", process.execPath, "-e", "0"], { encoding: "utf8" });
  if (tried.error !== undefined) return `strace cannot be run: ${tried.error.message}`;
  return tried.status === 0 ? undefined : `strace may not trace here: ${tried.stderr.trim()}`;
})();

interface Call {
  /** Milliseconds. */
  at: number;
  /** "sync", "write" to a log, or "mark". */
  what: "sync" | "write" | "mark";
  /** The file's ending: wal0, wal1 or db; or what the mark says. */
  of: string;
}

/** Runs a program on a fresh database, and gives what it asked of the system, in order. */
function trace(program: string, args: (name: string) => string[]): Call[] {
  const name = freshName(), out = `${dirname(name)}/strace`;
  const run = spawnSync("strace", [
    "-f", "-y", "-ttt", "-s", "40", "-e", "signal=none", "-e", "trace=fdatasync,fsync,pwrite64,write", "-o", out, program, ...args(name),
  ], { encoding: "utf8" });
  assert.equal(run.status, 0, run.stderr);
  const calls: Call[] = [];
  for (const line of readFileSync(out, "latin1").split("\n")) {
    const found = /^\d+ +([\d.]+) (fdatasync|fsync|pwrite64|write)\((\d+)<([^>]*)>(?:, "mark ([^"\\]*)\\n")?/.exec(line);
    if (found === null) continue;
    const [, at, call, , file = "", mark] = found;
    if (mark !== undefined) calls.push({ at: Number(at) * 1000, what: "mark", of: mark });
    else if (file.startsWith(name)) calls.push({ at: Number(at) * 1000, what: call === "pwrite64" ? "write" : "sync", of: file.slice(name.length + 1) || "db" });
  }
  return calls;
}

function node(body: string): Call[] {
  const script = `
    import { open, openSync } from ${JSON.stringify(new URL("index.js", BUILD).href)};
    import { writeSync } from "node:fs";
    const mark = (text) => writeSync(1, "mark " + text + "\\n");
    const name = process.argv[1];
    ${body}`;
  return trace(process.execPath, (name) => ["--input-type=module", "--no-warnings", "-e", script, name]);
}

/** What happened between two marks. */
function between(calls: Call[], from: string, to: string): Call[] {
  const begin = calls.findIndex((call) => call.of === from), end = calls.findIndex((call) => call.of === to);
  assert.ok(begin >= 0 && end > begin, `${from} .. ${to}`);
  return calls.slice(begin + 1, end);
}

const syncs = (calls: Call[]): string[] => calls.filter((call) => call.what === "sync").map((call) => call.of);
const LOG = /^wal[01]$/;

test("b03: strict: each awaited put is one write and one sync of the log", { skip }, () => {
  const calls = between(node(`
    const kv = await (await open(name)).kv("a");
    mark("begin");
    for (let i = 0; i < 50; i++) { await kv.put("k" + i, i); mark(String(i)); }
    mark("end");`), "begin", "end");
  // Never acknowledged before: write, sync, mark; write, sync, mark; ...
  assert.equal(calls.length, 150);
  for (const [i, call] of calls.entries()) {
    assert.equal(call.what, (["write", "sync", "mark"] as const)[i % 3]);
    assert.match(call.of, i % 3 === 2 ? /^\d+$/ : LOG);
  }
});

test("b03: strict, synchronously: the same", { skip }, () => {
  const calls = between(node(`
    const kv = openSync(name).kv("a");
    mark("begin");
    for (let i = 0; i < 50; i++) kv.put("k" + i, i);
    mark("end");`), "begin", "end");
  assert.deepEqual(calls.map((call) => call.what), Array.from({ length: 100 }, (_, i) => i % 2 ? "sync" : "write"));
});

test("b04: a thousand un-awaited puts of one tick are one write and one sync, and none resolves before", { skip }, () => {
  const calls = node(`
    const kv = await (await open(name)).kv("a");
    mark("begin");
    const all = [];
    for (let i = 0; i < 1000; i++) all.push(kv.put("k" + i, i).then(() => { if (i % 100 === 0) mark("resolved"); }));
    mark("queued");
    await Promise.all(all);
    mark("end");`);
  assert.deepEqual(between(calls, "begin", "queued"), []);
  const shown = between(calls, "queued", "end").map(({ what, of }) => (what === "mark" ? of : what));
  assert.deepEqual(shown, ["write", "sync", ...Array<string>(10).fill("resolved")]);
});

test("b03: relaxed: puts wait for nothing, and a sync follows by itself", { skip }, () => {
  const calls = node(`
    const db = await open(name, { durability: "relaxed" });
    const kv = await db.kv("a"), before = (await db.stats()).syncs;
    mark("begin");
    for (let i = 0; i < 50; i++) await kv.put("k" + i, i);
    mark("put");
    while ((await db.stats()).syncs === before) await new Promise((resolve) => setTimeout(resolve, 10));
    mark("synced");
    await new Promise((resolve) => setTimeout(resolve, 400));
    mark("end");`);
  const all = between(calls, "begin", "end"), first = all[0] as Call, sync = all.find((call) => call.what === "sync") as Call;
  assert.equal(first.what, "write");
  assert.match(sync.of, LOG);
  assert.ok(sync.at - first.at >= 140, "not at once"); // how late it may be depends on the machine
  assert.ok(syncs(between(calls, "begin", "synced")).length <= 1 + (sync.at - first.at) / 140);
  assert.deepEqual(syncs(between(calls, "synced", "end")), []); // nothing is owed
});

test("b03: none: nothing is synced until a flush, or the end", { skip }, () => {
  const calls = node(`
    const db = await open(name, { durability: "none" });
    const kv = await db.kv("a");
    mark("begin");
    for (let i = 0; i < 50; i++) await kv.put("k" + i, i);
    await new Promise((resolve) => setTimeout(resolve, 400));
    mark("put");
    await db.flush();
    mark("flushed");
    await db.flush();
    await kv.put("z", 1);
    mark("again");
    await db.close();
    mark("end");`);
  assert.deepEqual(syncs(between(calls, "begin", "put")), []);
  assert.equal(syncs(between(calls, "put", "flushed")).length, 1);
  assert.deepEqual(syncs(between(calls, "flushed", "again")), []);
  const last = between(calls, "again", "end").filter((call) => call.what === "sync");
  assert.match((last[0] as Call).of, LOG);
});

for (const { level, check } of [
  { level: "strict", check: (calls: Call[]): void => {
    assert.deepEqual(calls.map((call) => call.what), Array.from({ length: 100 }, (_, i) => i % 2 ? "sync" : "write"));
  } },
  { level: "relaxed", check: (calls: Call[]): void => {
    const took = (calls.at(-1) as Call).at - (calls[0] as Call).at;
    assert.ok(syncs(calls).length <= took / 200);
    assert.equal(calls.length - syncs(calls).length, 50);
  } },
  { level: "none", check: (calls: Call[]): void => {
    assert.deepEqual(calls.map((call) => call.what), Array<string>(50).fill("write"));
  } },
]) {
  test(`b03: natively, ${level}`, { skip }, () => {
    const calls = trace(native, (name) => ["sync", name, level]);
    check(between(calls, "begin", "put"));
    assert.equal(syncs(between(calls, "put", "flushed")).length, level === "strict" ? 0 : 1);
    const batch = between(calls, "flushed", "batch");
    assert.deepEqual(batch.map((call) => call.what), level === "strict" ? ["write", "sync"] : ["write"]);
  });
}
