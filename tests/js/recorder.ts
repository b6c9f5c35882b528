// Drives one database as several readers and writers in random turns, and writes down what each
// of them did and saw (history.ts). Turns are a step of one of them, so a seed repeats them.
import assert from "node:assert/strict";
import { open } from "../../build/js/index.js";
import type { Database, Kv, Snapshot, Transaction as Tx } from "../../build/js/index.js";
import { ABSENT } from "./history.ts";
import type { Op, Transaction } from "./history.ts";
import { pick, random } from "./lib.ts";

const NAMES = ["a", "b"] as const;
const KEYS = ["k0", "k1", "k2", "k3", "k4", "k5"] as const;
const MIB = 1 << 20;

interface Value {
  id: number;
  pad: string;
}
type Rows = Kv<Value, string>;
type Membranes = readonly Rows[];
type Log = { -readonly [K in keyof Transaction]: Transaction[K] } & { readonly ops: Op[] };

interface Client {
  step(): Promise<void>;
  /** What it holds at the end of the history. */
  stop(): Promise<void>;
}

/** What `steps` turns with a database in memory looked like to everybody. */
export async function record(salt: number, steps: number): Promise<Transaction[]> {
  const db = await open(":memory:", { memory: MIB, durability: "none" });
  try {
    const stage = new Stage(db, await membranes(db), random(salt));
    const writers = [new Writer(stage), new Writer(stage), new Writer(stage)];
    const others = [new Plain(stage), new Plain(stage), new Frozen(stage), new Walker(stage), new Loader(stage), new Keeper(stage)];
    for (let i = 0; i < steps; i++) await pick(stage.next, [...writers, ...others]).step();
    for (const client of others) await client.stop();
    await Promise.all(writers.map((writer) => writer.stop())); // some wait for the turn of another
    await stage.settle();
    const last = stage.begin("the end");
    for (const kv of stage.plain) await stage.scan(last, kv, "k0", "k5", false);
    stage.end(last);
    return stage.history;
  } finally {
    await db.close();
  }
}

const membranes = (of: Database | Tx | Snapshot): Promise<Rows[]> =>
  Promise.all(NAMES.map((name) => of.kv<Value, string>(name)));

/** What the clients share: the database, the clock, and the book that is kept. */
class Stage {
  readonly db: Database;
  /** The membranes as those see them who are in no transaction. */
  readonly plain: Membranes;
  readonly next: () => number;
  readonly history: Log[] = [];
  /** Every fifth history writes more than fits into memory tables. */
  readonly #large: boolean;
  readonly #pending: Promise<unknown>[] = [];
  #now = 0;
  #writes = 0;

  constructor(db: Database, plain: Membranes, next: () => number) {
    this.db = db;
    this.plain = plain;
    this.next = next;
    this.#large = this.chance(0.2);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  some(): string[] {
    return KEYS.filter(() => this.chance(0.5));
  }

  value(): Value {
    const most = this.chance(0.8) ? 20 : this.#large ? 60_000 : 3000;
    return { id: ++this.#writes, pad: "p".repeat(Math.floor(this.next() * most)) };
  }

  // ---- The book ----

  begin(who: string): Log {
    const log: Log = { name: `${who} ${this.history.length}`, begin: ++this.#now, end: Infinity, outcome: "open", ops: [] };
    this.history.push(log);
    return log;
  }

  end(log: Log, outcome: Log["outcome"] = "committed"): void {
    log.end = ++this.#now;
    log.outcome = outcome;
  }

  saw(log: Log, kv: Rows, key: string, value: Value | undefined): void {
    log.ops.push({ read: `${kv.name}/${key}`, saw: value === undefined ? ABSENT : value.id });
  }

  wrote(log: Log, kv: Rows, key: string, id: number): void {
    log.ops.push({ write: `${kv.name}/${key}`, id });
  }

  /** A write that somebody waits for later; it was made when it was called. */
  later(write: Promise<unknown>): void {
    write.catch(() => {}); // settle throws it
    this.#pending.push(write);
  }

  async settle(): Promise<void> {
    await Promise.all(this.#pending.splice(0));
  }

  // ---- What every client does, with whatever handles it has ----

  async read(log: Log, rows: Membranes): Promise<void> {
    const kv = pick(this.next, rows), kind = this.next();
    if (kind < 0.5) {
      const key = pick(this.next, KEYS);
      this.saw(log, kv, key, await kv.get(key));
    } else if (kind < 0.7) {
      const keys = this.some(), values = await kv.getMany(keys);
      keys.forEach((key, i) => this.saw(log, kv, key, values[i]));
    } else {
      await this.scan(log, kv, pick(this.next, KEYS), pick(this.next, KEYS), this.chance(0.3));
    }
  }

  async scan(log: Log, kv: Rows, low: string, high: string, reverse: boolean): Promise<Map<string, Value>> {
    const found = new Map<string, Value>();
    for await (const [key, value] of kv.entries({ gte: low, lte: high, reverse })) found.set(key, value);
    const within = KEYS.filter((key) => key >= low && key <= high);
    for (const key of within) this.saw(log, kv, key, found.get(key));
    const order = within.filter((key) => found.has(key));
    assert.deepEqual([...found.keys()], reverse ? order.reverse() : order);
    assert.equal(await kv.count({ gte: low, lte: high }), found.size);
    return found;
  }

  async write(log: Log, rows: Membranes, maker: Database | Tx): Promise<void> {
    const kv = pick(this.next, rows), key = pick(this.next, KEYS), kind = this.next();
    if (kind < 0.45) {
      const value = this.value();
      this.wrote(log, kv, key, value.id);
      this.later(kv.put(key, value));
    } else if (kind < 0.6) {
      const there = await kv.get(key);
      this.saw(log, kv, key, there);
      if (there !== undefined) this.wrote(log, kv, key, ABSENT);
      assert.equal(await kv.delete(key), there !== undefined);
    } else if (kind < 0.75) {
      const batch = maker.batch();
      for (const target of rows) {
        for (const each of this.some()) {
          const value = this.chance(0.2) ? undefined : this.value();
          this.wrote(log, target, each, value?.id ?? ABSENT);
          if (value === undefined) batch.delete(target, each);
          else batch.put(target, each, value);
        }
      }
      this.later(batch.commit());
    } else if (kind < 0.9) {
      const pairs = this.some().map((each) => [each, this.value()] as const);
      for (const [each, value] of pairs) this.wrote(log, kv, each, value.id);
      this.later(kv.putMany(pairs));
    } else {
      const low = pick(this.next, KEYS), found = await this.scan(log, kv, low, "k5", false);
      for (const each of found.keys()) this.wrote(log, kv, each, ABSENT);
      assert.equal(await kv.clear({ gte: low, lte: "k5" }), found.size);
    }
  }
}

const UNDO = new Error("undone by the test");

/** A transaction, or one nested in it, that is open until it is told how to end. */
class Held {
  /** Undefined while it waits for its turn. */
  tx: Tx | undefined;
  #end!: (keep: boolean) => void;
  readonly #ended: Promise<unknown>;

  constructor(of: Database | Tx, begun: () => void) {
    const ending = new Promise<boolean>((resolve) => { this.#end = resolve; });
    const body = async (tx: Tx): Promise<void> => {
      this.tx = tx;
      begun();
      if (!await ending) throw UNDO;
    };
    this.#ended = of.transaction(body).then(() => undefined, (error: unknown) => error);
  }

  /** Undefined when it was kept; else what it ended with. */
  end(keep: boolean): Promise<unknown> {
    this.#end(keep);
    return this.#ended;
  }
}

/** One transaction after another, with savepoints, open while others have their turns. */
class Writer implements Client {
  readonly #stage: Stage;
  #log: Log | undefined;
  /** The transaction, and those nested in it. */
  readonly #held: Held[] = [];

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  async step(): Promise<void> {
    const stage = this.#stage;
    if (this.#held.length === 0) {
      this.#held.push(new Held(stage.db, () => { this.#log = stage.begin("transaction"); }));
      return;
    }
    const log = this.#log, tx = this.#held.at(-1)?.tx;
    if (log === undefined || tx === undefined) return; // not yet its turn
    const kind = stage.next();
    if (kind < 0.36) {
      await stage.read(log, await membranes(tx));
    } else if (kind < 0.72) {
      await stage.write(log, await membranes(tx), tx);
    } else if (kind < 0.8) {
      this.#held.push(new Held(tx, () => log.ops.push({ savepoint: "begin" })));
    } else if (this.#held.length > 1) {
      await this.#endNested(log, stage.chance(0.5));
    } else {
      await this.#end(log, stage.chance(0.8));
    }
  }

  async #endNested(log: Log, keep: boolean): Promise<void> {
    await this.#stage.settle();
    const ended = await (this.#held.pop() as Held).end(keep);
    if (ended !== undefined && ended !== UNDO) throw ended;
    log.ops.push({ savepoint: keep ? "keep" : "undo" });
  }

  async #end(log: Log, keep: boolean): Promise<void> {
    const held = this.#held.pop() as Held;
    this.#log = undefined;
    this.#stage.end(log, "rolled back"); // the clock stands while it ends
    const ended = await held.end(keep) as { code?: string } | undefined;
    if (ended === undefined) log.outcome = "committed";
    else if (ended.code === "CONFLICT") log.outcome = "conflict";
    else if (ended !== UNDO) throw ended;
    await new Promise(setImmediate); // who waits for the turn begins now, and not in another's turn
  }

  async stop(): Promise<void> {
    while (this.#held.length > 0) {
      const log = this.#log;
      if (log === undefined) await new Promise(setImmediate);
      else if (this.#held.length > 1) await this.#endNested(log, true);
      else await this.#end(log, true);
    }
  }
}

/** Reads and writes by themselves, each a transaction of its own. */
class Plain implements Client {
  readonly #stage: Stage;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  async step(): Promise<void> {
    const stage = this.#stage, log = stage.begin("plain");
    if (stage.chance(0.4)) await stage.read(log, stage.plain);
    else await stage.write(log, stage.plain, stage.db);
    stage.end(log);
    if (stage.chance(0.5)) await stage.settle();
  }

  async stop(): Promise<void> {}
}

/** A snapshot that is read now and then. */
class Frozen implements Client {
  readonly #stage: Stage;
  #snapshot: Snapshot | undefined;
  #log: Log | undefined;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  async step(): Promise<void> {
    const stage = this.#stage;
    if (this.#log === undefined || this.#snapshot === undefined) {
      this.#log = stage.begin("snapshot");
      this.#snapshot = await stage.db.snapshot();
    } else if (stage.chance(0.85)) {
      await stage.read(this.#log, await membranes(this.#snapshot));
    } else {
      await this.stop();
    }
  }

  async stop(): Promise<void> {
    await this.#snapshot?.release();
    if (this.#log !== undefined) this.#stage.end(this.#log);
    this.#snapshot = this.#log = undefined;
  }
}

/** An iterator that others write beside: a row per turn, in one state. */
class Walker implements Client {
  readonly #stage: Stage;
  #rows: AsyncIterableIterator<[string, Value]> | undefined;
  #kv: Rows | undefined;
  #log: Log | undefined;
  /** Keys that it has not come to. */
  #left: string[] = [];

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  async step(): Promise<void> {
    const stage = this.#stage;
    if (this.#log === undefined) {
      const reverse = stage.chance(0.5);
      this.#log = stage.begin("iterator");
      this.#kv = pick(stage.next, stage.plain);
      this.#rows = this.#kv.entries({ reverse });
      this.#left = reverse ? [...KEYS].reverse() : [...KEYS];
    }
    const { done, value } = await (this.#rows as AsyncIterableIterator<[string, Value]>).next();
    const passed = this.#left.splice(0, done ? KEYS.length : this.#left.indexOf(value[0]) + 1);
    assert.ok(done || passed.length > 0, "an iterator goes back, or shows a key twice");
    for (const key of passed) {
      stage.saw(this.#log, this.#kv as Rows, key, !done && key === value[0] ? value[1] : undefined);
    }
    if (done || stage.chance(0.1)) await this.stop();
  }

  async stop(): Promise<void> {
    await this.#rows?.return?.();
    if (this.#log !== undefined) this.#stage.end(this.#log);
    this.#rows = this.#log = undefined;
  }
}

/** Bulk loads: rows that come while others write, and are there all at once, as the newest. */
class Loader implements Client {
  readonly #stage: Stage;
  #row: ((row: [string, Value] | undefined) => Promise<void>) | undefined;
  #writes: [string, Value][] = [];
  readonly #loaded: [string, Value][] = [];
  #kv: Rows | undefined;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  async step(): Promise<void> {
    const stage = this.#stage;
    if (this.#row === undefined) {
      if (stage.chance(0.5)) return;
      this.#kv = pick(stage.next, stage.plain);
      this.#writes = stage.some().map((key) => [key, stage.value()]);
      this.#row = feed(this.#kv);
    }
    for (const row of this.#writes.splice(0, 2)) {
      this.#loaded.push(row);
      await this.#row(row);
    }
    if (this.#writes.length === 0) await this.stop();
  }

  async stop(): Promise<void> {
    if (this.#row === undefined) return;
    const log = this.#stage.begin("load"); // it reads nothing, so it begins when it ends
    for (const [key, { id }] of this.#loaded.splice(0)) this.#stage.wrote(log, this.#kv as Rows, key, id);
    this.#stage.end(log);
    await this.#row(undefined);
    this.#row = undefined;
  }
}

/** Begins a bulk load; the function gives it a row and waits until it was taken, or ends it. */
function feed(kv: Rows): (row: [string, Value] | undefined) => Promise<void> {
  let give!: (row: [string, Value] | undefined) => void;
  let taken: (() => void) | undefined;
  const rows = async function* (): AsyncGenerator<[string, Value]> {
    for (;;) {
      const row = new Promise<[string, Value] | undefined>((resolve) => { give = resolve; });
      taken?.();
      const given = await row;
      if (given === undefined) return;
      yield given;
    }
  };
  const ready = new Promise<void>((resolve) => { taken = resolve; });
  const loaded = kv.bulkLoad(rows());
  return async (row) => {
    await ready;
    const next = new Promise<void>((resolve) => { taken = resolve; });
    give(row);
    await (row === undefined ? loaded : Promise.race([next, loaded]));
  };
}

/** Moves rows from memory to segments, and merges these. */
class Keeper implements Client {
  readonly #stage: Stage;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  async step(): Promise<void> {
    const kind = this.#stage.next();
    if (kind < 0.3) await this.#stage.db.checkpoint();
    else if (kind < 0.4) await this.#stage.db.compact();
  }

  async stop(): Promise<void> {}
}
