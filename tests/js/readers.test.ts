// D10: readers beside a writer, in real processes: native and Node in all four pairings,
// with readers and writers that are killed.
//
// Batch n puts row n % 40, whose value is made of n, and n itself into row 1000: a reader
// can tell which state it sees, and whether that is what was written.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { open, openSync } from "../../build/js/index.js";
import type { Database } from "../../build/js/index.js";
import { BUILD, faces, freshName, refuses } from "./lib.ts";

const native = fileURLToPath(new URL("../../build/readers/beside", import.meta.url));
const children = new Set<ChildProcess>();
after(() => children.forEach((child) => child.kill("SIGKILL")));

const common = `
  import { openSync } from ${JSON.stringify(new URL("index.js", BUILD).href)};
  import { writeSync } from "node:fs";
  import { createInterface } from "node:readline";
  const say = (what) => writeSync(1, what + "\\n");
  const valueOf = (n) => {
    const bytes = new Uint8Array(8 + n * 7919 % 500).fill(n % 251);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(n), true);
    return bytes;
  };
  const number = (bytes) => bytes === undefined ? 0 : Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const schema = { key: "integer", value: "bytes" };
`;
const scripts = {
  write: `${common}
    const db = openSync(process.argv[1], { memory: 4 << 20, durability: "none" });
    const rows = db.kv("rows", schema);
    for (let n = number(rows.get(1000)) + 1;; n++) {
      db.batch().put(rows, n % 40, valueOf(n)).put(rows, 1000, valueOf(n).slice(0, 8)).commit();
      if (n % 50 === 0) db.checkpoint();
      if (n % 700 === 0) db.compact();
      say(n);
    }`,
  read: `${common}
    const db = openSync(process.argv[1], { mode: "readonly", memory: 4 << 20 });
    const state = (rows) => {
      const n = number(rows.get(1000));
      for (let k = 0; k < 40; k++) {
        const last = n >= k ? n - (n - k) % 40 : 0;
        const found = rows.get(k);
        if (last <= 0 ? found !== undefined : found === undefined || Buffer.compare(found, valueOf(last)) !== 0) return -1;
      }
      return n;
    };
    const rows = db.kv("rows");
    let held, heldRows;
    const verbs = {
      refresh: () => (db.refresh(), 0),
      state: () => state(rows),
      hold: () => (held?.release(), held = db.snapshot(), heldRows = held.kv("rows"), state(heldRows)),
      held: () => state(heldRows),
    };
    say("open");
    for await (const line of createInterface({ input: process.stdin })) {
      if (line === "close") break;
      try {
        say(verbs[line]());
      } catch (error) {
        say(error.code + " " + error.message);
      }
    }
    db.close();
    say("closed");`,
};

type Kind = "native" | "node";

function start(kind: Kind, what: "read" | "write", name: string): ChildProcess {
  const child = kind === "native"
    ? spawn(native, [what, name], { stdio: ["pipe", "pipe", "inherit"] })
    : spawn(process.execPath, ["--input-type=module", "--no-warnings", "-e", scripts[what], name], { stdio: ["pipe", "pipe", "inherit"] });
  children.add(child);
  return child;
}

/** A process that puts batches, and how far it says that it is. */
class Writer {
  readonly #child: ChildProcess;
  last = 0;
  said = "";

  constructor(kind: Kind, name: string) {
    this.#child = start(kind, "write", name);
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.said = (this.said + text).slice(-200);
      const whole = this.said.slice(0, this.said.lastIndexOf("\n"));
      const line = whole.slice(whole.lastIndexOf("\n") + 1);
      if (/^\d+$/.test(line)) this.last = Number(line);
    });
  }

  async reach(n: number): Promise<void> {
    while (this.last < n) {
      assert.equal(this.#child.exitCode, null, `the writer ended: ${this.said}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async kill(): Promise<void> {
    const closed = new Promise((resolve) => this.#child.on("close", resolve));
    this.#child.kill("SIGKILL");
    await closed;
  }
}

/** A process that reads, and answers line by line. */
class Reader {
  readonly #child: ChildProcess;
  readonly #answers: ((line: string) => void)[] = [];
  #said = "";
  readonly ready: Promise<string>;

  constructor(kind: Kind, name: string) {
    this.#child = start(kind, "read", name);
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      const lines = (this.#said + text).split("\n");
      this.#said = lines.pop() ?? "";
      for (const line of lines) this.#answers.shift()?.(line);
    });
    this.ready = new Promise((resolve) => this.#answers.push(resolve));
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  ask(line: string): Promise<string> {
    const answer = new Promise<string>((resolve) => this.#answers.push(resolve));
    this.#child.stdin?.write(`${line}\n`);
    return answer;
  }

  async kill(): Promise<void> {
    const closed = new Promise((resolve) => this.#child.on("close", resolve));
    this.#child.kill("SIGKILL");
    await closed;
  }
}

const pins = (name: string): string[] => readdirSync(dirname(name)).filter((file) => /-lock\.r[0-9a-f]{16}/.test(file));

/** Refreshes and checks that the reader sees at least what the writer had said before. */
async function follows(reader: Reader, writer: Writer): Promise<number> {
  const before = writer.last;
  const refreshed = await reader.ask("refresh");
  if (refreshed.startsWith("BUSY")) return -1; // the writer was faster, 64 times; asked again later
  assert.equal(refreshed, "0");
  const n = Number(await reader.ask("state"));
  assert.ok(n >= before, `saw ${n}, the writer had said ${before}`);
  await writer.reach(n - 1); // it may not have been said yet, but it was written
  return n;
}

for (const writing of ["native", "node"] as const) {
  for (const reading of ["native", "node"] as const) {
    test(`d10: a ${reading} reader beside a ${writing} writer`, async () => {
      const name = freshName();
      let writer = new Writer(writing, name);
      await writer.reach(120);
      const first = new Reader(reading, name), second = new Reader(reading, name);
      assert.equal(await first.ready, "open");
      assert.equal(await second.ready, "open");
      let seen = 0;
      for (let i = 0; i < 40; i++) seen += await follows(i % 2 ? first : second, writer) > 0 ? 1 : 0;
      assert.ok(seen >= 30, `${seen} of 40`);
      // A state that is held stays as it is, however much is compacted meanwhile.
      const held = await first.ask("hold");
      assert.match(held, /^[1-9]\d*$/);
      await writer.reach(writer.last + 1500);
      assert.equal(await first.ask("held"), held);
      await follows(first, writer);
      assert.equal(await first.ask("held"), held);
      assert.ok(pins(name).length >= 2);
      // The pins of a killed reader go at one of the next commits, those of a living one stay.
      await second.kill();
      await writer.reach(writer.last + 200);
      const texts = pins(name).map((file) => readFileSync(`${dirname(name)}/${file}`, "latin1"));
      assert.ok(texts.length > 0);
      for (const text of texts) assert.match(text, new RegExp(`^nacre-reader 1\npid ${first.pid}\n.*\ngeneration \\d+\nend\n$`, "s"));
      // A killed writer leaves what it had said; the next one leaves the reader its state.
      await writer.kill();
      const acknowledged = writer.last;
      assert.equal(await first.ask("refresh"), "0");
      const n = Number(await first.ask("state"));
      assert.ok(n >= acknowledged && n <= acknowledged + 1, `saw ${n} after ${acknowledged}`);
      writer = new Writer(writing, name);
      await writer.reach(acknowledged + 300);
      assert.equal(await first.ask("state"), String(n));
      assert.ok(await follows(first, writer) > n);
      assert.equal(await first.ask("close"), "closed");
      assert.deepEqual(pins(name), []);
      await writer.kill();
    });
  }
}

for (const face of faces) {
  test(`d10: refresh, ${face.name}`, async () => {
    const name = freshName();
    const child = new Writer("node", name);
    await child.reach(10);
    const db = await face.open(name, { mode: "readonly" });
    const rows = await db.kv("rows");
    const before = await rows.get(1000);
    const snapshot = await db.snapshot();
    await child.reach(Number(new DataView((before as Uint8Array<ArrayBuffer>).slice().buffer).getBigUint64(0, true)) + 20);
    assert.deepEqual(await rows.get(1000), before); // not by itself
    await db.refresh();
    assert.notDeepEqual(await rows.get(1000), before);
    assert.deepEqual(await (await snapshot.kv("rows")).get(1000), before);
    await refuses("READONLY", () => rows.put(1, new Uint8Array(1)));
    await refuses("NOT_FOUND", () => db.kv("other"));
    await snapshot.release();
    await child.kill();
    await db.close();
    await refuses("CLOSED", () => db.refresh());
  });
}

/** Runs a script that writes, in a process of its own. */
async function elsewhere(name: string, body: string): Promise<void> {
  const script = `import { openSync } from ${JSON.stringify(new URL("index.js", BUILD).href)}; const db = openSync(process.argv[1]); ${body}; db.close();`;
  const child = spawn(process.execPath, ["--input-type=module", "--no-warnings", "-e", script, name], { stdio: "inherit" });
  assert.equal(await new Promise((resolve) => child.on("close", resolve)), 0);
}

test("d10: membranes that were renamed, dropped and made are so after a refresh", async () => {
  const name = freshName();
  await elsewhere(name, `db.kv("a").put("x", 1); db.kv("b").put("x", 2)`);
  const db: Database = await open(name, { mode: "readonly" });
  const a = await db.kv("a"), b = await db.kv("b");
  await elsewhere(name, `db.rename("a", "c"); db.drop("b"); db.kv("a").put("x", 3); db.checkpoint()`);
  assert.equal(await b.get("x"), 2);
  await db.refresh();
  assert.equal(await a.get("x"), 1);
  assert.equal(await (await db.kv("c")).get("x"), 1);
  assert.equal(await (await db.kv("a")).get("x"), 3);
  await refuses("NOT_FOUND", () => b.get("x"), /dropped/);
  assert.deepEqual((await db.membranes()).map((membrane) => membrane.name), ["a", "c"]);
  await db.close();
});

test("d10: a reader leaves nothing behind, and changes no file of the database", async () => {
  const name = freshName();
  await elsewhere(name, `db.kv("a").put("x", 1)`);
  const files = readdirSync(dirname(name)).sort();
  const bytes = files.map((file) => readFileSync(`${dirname(name)}/${file}`));
  const db = openSync(name, { mode: "readonly" });
  assert.equal(pins(name).length, 1);
  db.refresh();
  assert.equal(db.kv("a").get("x"), 1);
  db.close();
  assert.deepEqual(readdirSync(dirname(name)).sort(), files);
  assert.deepEqual(files.map((file) => readFileSync(`${dirname(name)}/${file}`)), bytes);
});

test("d10: in a folder that may only be read, it reads without a pin", { skip: process.getuid?.() === 0 && "root may write anywhere" }, async () => {
  const name = freshName();
  await elsewhere(name, `db.kv("a").put("x", 1)`);
  chmodSync(dirname(name), 0o500);
  try {
    const db = openSync(name, { mode: "readonly" });
    assert.deepEqual(pins(name), []);
    assert.equal(db.kv("a").get("x"), 1);
    db.close();
  } finally {
    chmodSync(dirname(name), 0o700);
  }
});

const boot = readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
test("d10: a writer removes the pins of the dead and what is none, and nothing else", async () => {
  const name = freshName();
  const text = (pid: number, version = 1): string => `nacre-reader ${version}\npid ${pid}\nstart 0\nboot ${boot}\n` +
    `token ${"ab".repeat(16)}\nhost node\ngeneration 1\nend\n`;
  const put = (suffix: string, bytes: string): void => writeFileSync(`${name}-lock.${suffix}`, bytes);
  put("r0000000000000001", text(2147483647));
  put("r0000000000000002", text(1));
  put("r0000000000000003", "half of a p");
  put("r0000000000000004.new", "");
  put("r0000000000000005", text(1, 2));
  put("r5.old", text(2147483647));
  put("reader", "");
  const db = openSync(name);
  db.kv("a").put("x", 1);
  db.checkpoint();
  db.close();
  assert.deepEqual(readdirSync(dirname(name)).filter((file) => file.includes("-lock.")).sort(),
    ["db-lock.r0000000000000002", "db-lock.r0000000000000005", "db-lock.r5.old", "db-lock.reader"]);
});
