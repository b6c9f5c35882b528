// One suite for every place where files can be: what the module asks of a host, and whole
// databases over it, against models; and what is left of them after a death at any moment.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { Database } from "../../build/js/database.js";
import { ERRNO } from "../../build/js/host.js";
import type { Host } from "../../build/js/host.js";
import { openIdb } from "../../build/js/host-idb.js";
import { MemoryHost } from "../../build/js/host-memory.js";
import { NodeHost } from "../../build/js/host-node.js";
import { openFolder } from "../../build/js/host-opfs.js";
import { openIn } from "../../build/js/open.js";
import { all, pick, random } from "./lib.ts";
import { ShimIdb } from "./shim-idb.ts";
import { ShimFolder } from "./shim-opfs.ts";

interface Disk {
  /** The files as another session finds them. */
  host(): Promise<Host>;
  /** What a database is opened as; a file's name begins with it. */
  readonly name: string;
}

const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

const DISKS: Record<string, () => Disk> = {
  Node() {
    const folder = mkdtempSync(join(tmpdir(), "nacre-hosts-"));
    folders.push(folder);
    return { name: "db", host: async () => new NodeHost(folder, ".") };
  },
  OPFS() {
    const folder = new ShimFolder();
    return { name: "db", host: () => openFolder(folder, "db", 0) };
  },
  IndexedDB() {
    const shim = new ShimIdb();
    return { name: "db", host: () => (shim.install(), openIdb("db", { create: true })) };
  },
};

// ---- What the module asks ----

const READ = 1n << 1n, WRITE = 1n << 6n;
const CREATE = 1, EXCLUSIVE = 4;

/** The calls as wasi-libc makes them, with a memory of their own. */
class Caller {
  readonly #calls: Record<string, (...values: never[]) => number | void>;
  readonly #host: Host;
  readonly #u8 = new Uint8Array(1 << 20);
  readonly #view = new DataView(this.#u8.buffer);

  constructor(host: Host) {
    this.#host = host;
    this.#calls = host.calls({ u8: this.#u8, view: this.#view, fresh: () => {} });
  }

  #call(name: string, ...values: (number | bigint)[]): number {
    return this.#calls[name]!(...values as never[]) as number;
  }

  #path(path: string): [number, number] {
    const bytes = new TextEncoder().encode(path);
    this.#u8.set(bytes, 1024);
    return [1024, bytes.length];
  }

  /** A descriptor, or minus an errno. */
  open(path: string, oflags = 0, rights = READ | WRITE): number {
    const errno = this.#call("path_open", 3, 1, ...this.#path(path), oflags, rights, 0n, 0, 512);
    return errno === 0 ? this.#view.getUint32(512, true) : -errno;
  }

  size(of: number | string): number {
    const errno = typeof of === "number" ? this.#call("fd_filestat_get", of, 512) : this.#call("path_filestat_get", 3, 1, ...this.#path(of), 512);
    return errno === 0 ? Number(this.#view.getBigUint64(512 + 32, true)) : -errno;
  }

  /** As many bytes as it gives, through two pieces. */
  read(fd: number, at: number, size: number): Uint8Array | number {
    const first = Math.floor(size / 3);
    for (const [i, value] of [4096, first, 4096 + first, size - first].entries()) this.#view.setUint32(512 + 4 * i, value, true);
    const errno = this.#call("fd_pread", fd, 512, 2, BigInt(at), 768);
    return errno === 0 ? this.#u8.slice(4096, 4096 + this.#view.getUint32(768, true)) : -errno;
  }

  write(fd: number, at: number, bytes: Uint8Array): number {
    const first = Math.floor(bytes.length / 4);
    this.#u8.set(bytes, 4096);
    for (const [i, value] of [4096, first, 4096 + first, bytes.length - first].entries()) this.#view.setUint32(512 + 4 * i, value, true);
    const errno = this.#call("fd_pwrite", fd, 512, 2, BigInt(at), 768);
    return errno === 0 ? this.#view.getUint32(768, true) : -errno;
  }

  resize(fd: number, size: number): number { return this.#call("fd_filestat_set_size", fd, BigInt(size)); }
  sync(fd: number): number { return this.#call("fd_datasync", fd); }
  closeFile(fd: number): number { return this.#call("fd_close", fd); }
  remove(path: string): number { return this.#call("path_unlink_file", 3, ...this.#path(path)); }

  async settled(): Promise<void> { await this.#host.settled?.(); }
  /** The session ends; what is under way in the background is done. */
  async close(): Promise<void> {
    await this.settled();
    this.#host.close();
  }
}

for (const [name, disk] of Object.entries(DISKS)) {
  describe(`J24 host conformance: ${name}`, () => {
    const begin = async (of: Disk): Promise<Caller> => new Caller(await of.host());

    test("a file is missing, made, there, and gone again", async () => {
      const where = disk(), calls = await begin(where);
      assert.deepEqual([calls.open("db"), calls.size("db"), calls.remove("db")], [-ERRNO.NOENT, -ERRNO.NOENT, ERRNO.NOENT]);
      const fd = calls.open("db", CREATE | EXCLUSIVE);
      assert.ok(fd > 3);
      assert.equal(calls.open("db", CREATE | EXCLUSIVE), -ERRNO.EXIST);
      assert.deepEqual([calls.size(fd), calls.size("db"), calls.size("./db")], [0, 0, 0]);
      const other = calls.open("db");
      assert.notEqual(other, fd);
      assert.equal(calls.write(fd, 0, Uint8Array.of(1, 2, 3)), 3);
      assert.deepEqual(calls.read(other, 0, 9), Uint8Array.of(1, 2, 3));
      for (const each of [fd, other]) assert.equal(calls.closeFile(each), 0);
      assert.equal(calls.remove("db"), 0);
      assert.equal(calls.open("db"), -ERRNO.NOENT);
      await calls.close();
      const again = await begin(where);
      assert.equal(again.size("db"), -ERRNO.NOENT);
      await again.close();
    });

    test("descriptors that are none are refused, and those for reading do not write", async () => {
      const calls = await begin(disk()), fd = calls.open("db-wal0", CREATE);
      assert.equal(calls.write(fd, 0, new Uint8Array(10)), 10);
      const reader = calls.open("db-wal0", 0, READ);
      assert.equal(calls.write(reader, 0, new Uint8Array(1)), -ERRNO.BADF);
      assert.equal(calls.closeFile(fd), 0);
      assert.deepEqual([calls.closeFile(fd), calls.sync(fd), calls.size(fd), calls.read(fd, 0, 1), calls.write(fd, 0, new Uint8Array(1))],
        [ERRNO.BADF, ERRNO.BADF, -ERRNO.BADF, -ERRNO.BADF, -ERRNO.BADF]);
      assert.equal((calls.read(reader, 0, 20) as Uint8Array).length, 10);
      await calls.close();
    });

    test("reads end with the file, and what lies between what was written is zeros", async () => {
      const calls = await begin(disk()), fd = calls.open("db", CREATE);
      calls.write(fd, 40_000, Uint8Array.of(7));
      assert.equal(calls.size(fd), 40_001);
      assert.deepEqual(calls.read(fd, 39_998, 10), Uint8Array.of(0, 0, 7));
      for (const at of [40_001, 50_000, 2 ** 33]) assert.deepEqual(calls.read(fd, at, 10), new Uint8Array(0));
      calls.resize(fd, 16_384);
      calls.resize(fd, 50_000);
      assert.deepEqual(calls.read(fd, 39_998, 20_000), new Uint8Array(10_002));
      await calls.close();
    });

    test("any writes, truncations and sessions are those of three arrays of bytes", async () => {
      const next = random(91), where = disk(), names = ["db", "db-wal0", "db-wal1"];
      const model = new Map(names.map((each) => [each, new Uint8Array(0)]));
      let calls = await begin(where);
      let open = new Map(names.map((each) => [each, calls.open(each, CREATE)]));
      const upTo = (size: number): number => Math.floor(next() * (size + 1));
      for (let i = 0; i < 600; i++) {
        const file = pick(next, names), fd = open.get(file) as number, bytes = model.get(file) as Uint8Array<ArrayBuffer>;
        const kind = next();
        if (kind < 0.45) {
          const at = upTo(Math.min(bytes.length + 5000, 200_000)), data = Uint8Array.from({ length: upTo(next() < 0.1 ? 60_000 : 3000) }, () => upTo(255));
          assert.equal(calls.write(fd, at, data), data.length);
          const grown = new Uint8Array(data.length === 0 ? bytes.length : Math.max(bytes.length, at + data.length));
          grown.set(bytes);
          grown.set(data, data.length === 0 ? 0 : at);
          model.set(file, grown);
        } else if (kind < 0.75) {
          const at = upTo(bytes.length + 100), size = upTo(70_000);
          assert.deepEqual(calls.read(fd, at, size), bytes.slice(at, at + size));
        } else if (kind < 0.87) {
          const size = upTo(bytes.length + 20_000), cut = new Uint8Array(size);
          assert.equal(calls.resize(fd, size), 0);
          cut.set(bytes.subarray(0, size));
          model.set(file, cut);
        } else if (kind < 0.97) {
          assert.equal(calls.sync(fd), 0);
          await calls.settled();
        } else {
          for (const each of open.values()) assert.equal(calls.sync(each), 0);
          await calls.close();
          calls = await begin(where);
          open = new Map(names.map((each) => [each, calls.open(each, CREATE)]));
        }
        assert.equal(calls.size(file), (model.get(file) as Uint8Array).length);
      }
      for (const [file, fd] of open) assert.deepEqual(calls.read(fd, 0, 400_000), model.get(file));
      await calls.close();
    });
  });
}

// ---- Whole databases ----

const MEMORY: Disk = { name: ":memory:", host: async () => new MemoryHost() };

for (const [name, disk] of [...Object.entries(DISKS), ["memory", () => MEMORY] as const]) {
  test(`J24 a database on ${name} is a map, through sessions`, async () => {
    const next = random(17), where = disk(), lasts = where !== MEMORY;
    const begin = async (): Promise<Database> => new Database(await openIn(await where.host(), where.name, { memory: 2 << 20 }), "db", false);
    let db = await begin();
    const model = new Map<string, unknown>();
    for (let round = 0; round < 60; round++) {
      const kv = await db.kv("s");
      const key = (): string => `k${Math.floor(next() * 40)}`;
      const kind = next();
      if (kind < 0.5) {
        const writes = Array.from({ length: 1 + Math.floor(next() * 8) }, () => [key(), "x".repeat(Math.floor(next() * 9000))] as const);
        await Promise.all(writes.map(([key, value]) => kv.put(key, value)));
        for (const [key, value] of writes) model.set(key, value);
      } else if (kind < 0.65) {
        const gone = key();
        assert.equal(await kv.delete(gone), model.delete(gone));
      } else if (kind < 0.8) {
        const changed = key();
        await db.transaction(async (tx) => (await tx.kv("s")).put(changed, round));
        model.set(changed, round);
      } else if (kind < 0.87) {
        await db.checkpoint();
      } else if (kind < 0.9) {
        await db.compact();
      } else if (lasts) {
        await db.close();
        db = await begin();
      }
      if (round % 10 === 9) assert.deepEqual(new Map(await all((await db.kv("s")).entries()) as [string, unknown][]), model);
    }
    assert.deepEqual((await db.verify({ deep: true })).problems, []);
    await db.close();
  });
}

// ---- Deaths ----

interface State {
  readonly host: () => Promise<Host>;
  /** Steps that were acknowledged, and those that had begun. */
  readonly acknowledged: number;
  readonly begun: number;
}

type Rows = Record<string, unknown>;

/** What is done, and what is there after each step of it. */
const STEPS: { run(db: Database): Promise<unknown>; change(rows: Rows): void }[] = [];
for (let i = 0; i < 6; i++) {
  STEPS.push({
    run: async (db) => (await db.kv("s")).putMany([[`a${i}`, "x".repeat(100 * i)], ["counter", i], [`b${i}`, i]]),
    change: (rows) => Object.assign(rows, { [`a${i}`]: "x".repeat(100 * i), counter: i, [`b${i}`]: i }),
  });
  if (i === 1 || i === 4) STEPS.push({ run: (db) => db.checkpoint(), change: () => {} });
  if (i === 2) STEPS.push({ run: async (db) => (await db.kv("s")).delete("a1"), change: (rows) => delete rows.a1 });
  if (i === 3) {
    STEPS.push({
      run: (db) => db.transaction(async (tx) => {
        const kv = await tx.kv("s");
        await kv.put("t", "y".repeat(30_000));
        await kv.delete("b0");
      }),
      change: (rows) => (rows.t = "y".repeat(30_000), delete rows.b0),
    });
    STEPS.push({ run: (db) => db.compact(), change: () => {} });
  }
}
STEPS.push({ run: async (db) => (await db.kv("s", { value: "json" })).bulkLoad([["l1", 1], ["l2", 2]]), change: (rows) => Object.assign(rows, { l1: 1, l2: 2 }) });

const WANTED: Rows[] = [{}];
for (const { change } of STEPS) {
  const rows = { ...WANTED.at(-1) };
  change(rows);
  WANTED.push(rows);
}

/** Runs the steps; `told` is what a death now would find acknowledged and begun. */
async function live(host: Host, told: { acknowledged: number; begun: number }, states: [string, State][]): Promise<number> {
  let count = 0;
  const look = async (): Promise<void> => {
    for (const [what, state] of states.splice(0)) count++, await survives(state, what);
  };
  const db = new Database(await openIn(host, "db"), "db", false);
  for (const { run } of STEPS) {
    told.begun++;
    await run(db);
    told.acknowledged++;
    await look();
  }
  await db.close();
  await look();
  return count;
}

async function survives({ host, acknowledged, begun }: State, what: string): Promise<void> {
  const db = new Database(await openIn(await host(), "db"), "db", false);
  const rows = Object.fromEntries(await all((await db.kv("s")).entries()) as [string, unknown][]);
  const found = WANTED.slice(acknowledged, begun + 1).some((wanted) => {
    try {
      assert.deepEqual(rows, wanted);
      return true;
    } catch {
      return false;
    }
  });
  assert.ok(found, `${what}: after ${acknowledged} steps of ${begun}: ${Object.keys(rows)}`);
  assert.deepEqual((await db.verify({ deep: true })).problems, [], what);
  await (await db.kv("s")).put("after", 1);
  await db.close();
}

test("B11 B12 OPFS: a death before any call, in the middle of any write, and a power failure keep what was acknowledged", async () => {
  const folder = new ShimFolder(), told = { acknowledged: 0, begun: 0 }, states: [string, State][] = [];
  const keep = (what: string, left: ShimFolder): void => void states.push([what, { ...told, host: () => openFolder(left, "db", 0) }]);
  let calls = 0;
  folder.step = (file, verb, from, at) => {
    const what = `call ${++calls}, ${verb} of ${file}`;
    keep(`${what}, killed`, folder.after(false));
    keep(`${what}, no power`, folder.after(true));
    if (from === undefined || at === undefined) return;
    const torn = folder.after(false);
    torn.files.get(file)?.put(from.subarray(0, from.length >> 1), at);
    keep(`${what}, torn`, torn);
  };
  const count = await live(await openFolder(folder, "db", 0), told, states);
  assert.ok(count > 200, `${count} states`);
  folder.step = undefined;
  keep("at the end", folder.after(true));
  for (const [what, state] of states) await survives(state, what);
});

test("B11 B12 J22 IndexedDB: a death before or after any commit keeps what was acknowledged", async () => {
  const shim = new ShimIdb(), told = { acknowledged: 0, begun: 0 }, states: [string, State][] = [];
  const keep = (what: string): void => {
    const left = shim.after();
    states.push([what, { ...told, host: () => (left.install(), openIdb("db", { create: true })) }]);
  };
  shim.install();
  shim.commit = () => {
    keep(`before commit ${shim.commits}`);
    return undefined;
  };
  const count = await live(await openIdb("db", { create: true }), told, states);
  assert.ok(count >= STEPS.length, `${count} states`);
  keep("at the end");
  for (const [what, state] of states) await survives(state, what);
});
