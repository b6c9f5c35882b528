// NAME-lock: Node against Node, and against the native command.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { open, openSync } from "../../build/js/index.js";
import { NodeLock } from "../../js/lock-node.ts";
import { BUILD, freshName, refuses } from "./lib.ts";

const native = fileURLToPath(new URL("../../build/nacre", import.meta.url));
const children = new Set<ChildProcess>();
after(() => children.forEach((child) => child.kill("SIGKILL")));

/** Another Node process that has `name` open until it is killed or its input ends. */
async function holder(name: string): Promise<ChildProcess> {
  const script = `
    import { openSync } from ${JSON.stringify(new URL("index.js", BUILD).href)};
    const db = openSync(${JSON.stringify(name)});
    db.kv("s").put("a", 1);
    console.log("open");
    process.stdin.on("end", () => db.close()).resume();
  `;
  const child = spawn(process.execPath, ["--input-type=module", "--no-warnings", "-e", script], { stdio: ["pipe", "pipe", "inherit"] });
  children.add(child);
  await new Promise((resolve, reject) => {
    child.stdout?.on("data", resolve);
    child.on("exit", reject);
  });
  return child;
}

const text = (fields: Partial<Record<"pid" | "start" | "boot" | "token" | "host" | "version" | "end", string>>): string =>
  `nacre-lock ${fields.version ?? "1"}\npid ${fields.pid ?? "0"}\nstart ${fields.start ?? "0"}\nboot ${fields.boot ?? "-"}\n` +
  `token ${fields.token ?? "ab".repeat(16)}\nhost ${fields.host ?? "node"}\n${fields.end ?? "end\n"}`;

test("a second process gets BUSY at once, naming the holder; its end gives the lock back", async () => {
  const name = freshName();
  const child = await holder(name);
  const began = performance.now();
  await refuses("BUSY", () => open(name), new RegExp(`process ${child.pid} \\(node\\) has it open for writing`));
  assert.ok(performance.now() - began < 3000); // no waiting for it to end: that would take for ever
  const reader = await open(name, { mode: "readonly" }); // but it may be read
  assert.equal(await (await reader.kv("s")).get("a"), 1);
  await reader.close();
  child.stdin?.end();
  await new Promise((resolve) => child.on("exit", resolve));
  assert.equal(existsSync(`${name}-lock`), false);
  const db = await open(name);
  assert.equal(await (await db.kv("s")).get("a"), 1);
  await db.close();
});

test("the lock of a killed process is taken over without waiting", async () => {
  const name = freshName();
  const child = await holder(name);
  child.kill("SIGKILL");
  await new Promise((resolve) => child.on("exit", resolve));
  assert.ok(existsSync(`${name}-lock`));
  const db = openSync(name);
  assert.match(readFileSync(`${name}-lock`, "latin1"), new RegExp(`^nacre-lock 1\\npid ${process.pid}\\n`));
  assert.equal(db.kv("s").get("a"), 1);
  db.close();
  assert.deepEqual(readdirSync(dirname(name)).filter((file) => file.includes("lock")), []);
});

test("the lock is whole, and nothing else is left beside it", () => {
  const name = freshName();
  const lock = NodeLock.take(`${name}-lock`);
  assert.deepEqual(readdirSync(dirname(name)), ["db-lock"]);
  assert.match(readFileSync(`${name}-lock`, "latin1"), /^nacre-lock 1\npid \d+\nstart \d+\nboot [0-9a-f-]+\ntoken [0-9a-f]{32}\nhost node\nend\n$/);
  lock.release();
  lock.release();
  assert.deepEqual(readdirSync(dirname(name)), []);
});

const boot = existsSync("/proc/sys/kernel/random/boot_id") ? readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim() : "-";
for (const { what, bytes, busy } of [
  { what: "a process of an earlier boot", bytes: text({ pid: "1", boot: "00000000-0000-0000-0000-000000000000" }), busy: false },
  { what: "a process that is no more", bytes: text({ pid: "2147483647", boot }), busy: false },
  { what: "a process id given anew", bytes: text({ pid: "1", start: "999999999999", boot }), busy: false },
  { what: "a living process", bytes: text({ pid: "1", boot }), busy: true },
  { what: "this process", bytes: text({ pid: String(process.pid), boot }), busy: true },
  { what: "a program without a process id", bytes: text({ host: "wasi" }), busy: true },
  { what: "another version", bytes: text({ version: "2" }), busy: true },
  { what: "a file that is not whole", bytes: text({ end: "" }), busy: false },
  { what: "an empty file", bytes: "", busy: false },
  { what: "something else", bytes: "hello\n".repeat(200), busy: false },
  { what: "leading zeros", bytes: text({ pid: "01", boot }), busy: false },
]) {
  test(`a lock of ${what} is ${busy ? "BUSY" : "taken over"}`, { skip: boot === "-" && "needs /proc" }, async () => {
    const lockName = `${freshName()}-lock`;
    writeFileSync(lockName, bytes);
    // What dead takers left goes, and what is not a taker's stays.
    writeFileSync(`${lockName}.0123456789abcdef`, "");
    writeFileSync(`${lockName}.0123456789abcdef.12`, "");
    writeFileSync(`${lockName}.old`, "");
    if (busy) {
      await refuses("BUSY", () => NodeLock.take(lockName));
      assert.equal(readFileSync(lockName, "latin1"), bytes);
      } else {
      const lock = NodeLock.take(lockName);
      assert.deepEqual(readdirSync(dirname(lockName)).sort(), [basename(lockName), `${basename(lockName)}.old`]);
      lock.release();
      assert.equal(existsSync(lockName), false);
    }
  });
}

test("a claim by a living process is BUSY, one by a dead process is passed over", async () => {
  const lockName = `${freshName()}-lock`;
  const dead = text({ pid: "2147483647", boot, token: "cd".repeat(16) });
  writeFileSync(lockName, dead);
  writeFileSync(`${lockName}.${"cd".repeat(8)}.1`, text({ pid: "2147483647", boot }));
  writeFileSync(`${lockName}.${"cd".repeat(8)}.2`, text({ pid: "1", boot }));
  await refuses("BUSY", () => NodeLock.take(lockName), /process 1 /);
  writeFileSync(`${lockName}.${"cd".repeat(8)}.2`, text({ pid: "2147483646", boot }));
  NodeLock.take(lockName).release();
  assert.deepEqual(readdirSync(dirname(lockName)), []);
});

test("a lock that is a folder is refused", async () => {
  const lockName = `${freshName()}-lock`;
  mkdirSync(lockName);
  await refuses("IO", () => NodeLock.take(lockName), /not a regular file/);
});

test("many processes at once over a dead lock: exactly one wins", async () => {
  const name = freshName();
  writeFileSync(`${name}-lock`, text({ pid: "2147483647", boot }));
  const script = `
    import { openSync } from ${JSON.stringify(new URL("index.js", BUILD).href)};
    try { openSync(${JSON.stringify(name)}); console.log("won"); } catch (error) { console.log(error.code); }
    process.stdin.on("end", () => process.exit()).resume();
  `;
  const takers = Array.from({ length: 6 }, () => spawn(process.execPath, ["--input-type=module", "--no-warnings", "-e", script], { stdio: ["pipe", "pipe", "inherit"] }));
  takers.forEach((taker) => children.add(taker));
  const said = await Promise.all(takers.map((taker) => new Promise<string>((resolve) => taker.stdout.on("data", (data) => resolve(String(data).trim())))));
  takers.forEach((taker) => taker.stdin.end());
  assert.deepEqual(said.sort(), [...Array<string>(5).fill("BUSY"), "won"]);
});

test("the native command and Node exclude each other, and read each other's files", { skip: !existsSync(native) && "no build/nacre" }, async () => {
  const name = freshName();
  const run = (...args: string[]) => spawnSync(native, args, { encoding: "utf8" });
  const db = await open(name);
  const kv = await db.kv<{ n: number }>("s");
  await kv.put("a", { n: 1 });
  const busy = run("put", name, "s", "b", "2");
  assert.notEqual(busy.status, 0);
  assert.match(busy.stderr, new RegExp(`${process.pid}`));
  await db.close();
  assert.deepEqual(JSON.parse(run("get", name, "s", "a").stdout), { n: 1 });
  assert.equal(run("put", name, "s", "b", "[2]").status, 0);
  const again = await open(name, { mode: "existing" });
  assert.deepEqual(await (await again.kv("s")).get("b"), [2]);
  await again.close();
});
