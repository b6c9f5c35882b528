import { DURABILITY, LIMIT } from "./abi.gen.ts";
import type { Engine, RawMembrane } from "./engine.ts";
import { invalid, NacreError } from "./errors.ts";
import type { Place } from "./estimate.ts";
import { Membrane } from "./membrane.ts";
import type { Schema } from "./schema.ts";
import { decodeSchema, encodeSchema } from "./schema.ts";
import { copyKey } from "./secret.ts";
import { nameBytes } from "./text.ts";
import { Turns } from "./turns.ts";
import { Writer, Writers } from "./writer.ts";

export type Durability = "strict" | "relaxed" | "none";

export const DURABILITIES: Readonly<Record<Durability, number>> = {
  strict: DURABILITY.STRICT, relaxed: DURABILITY.RELAXED, none: DURABILITY.NONE,
};

const RELAXED_MS = 150; // of the 200 that are promised
const CHECKPOINT_LATE_MS = 10; // behind the core's clock, which began first
const QUEUE_MAX = 1 << 20; // bytes that wait for the end of the tick
const IDLE_MS = 20; // without a write, before maintenance goes on by itself
const IDLE_BYTES = 1 << 20; // of maintenance at once: a few milliseconds

/** An un-awaited write: a batch of its own between `start` and `end` of the queue. */
interface Queued {
  readonly start: number;
  readonly end: number;
  readonly records: number;
  readonly settled: Settled;
}

interface Settled {
  resolve(): void;
  reject(error: unknown): void;
}

/** Who wants to know of commits. */
export interface Follower {
  /** Something may have been committed. Does not throw. */
  follow(): void;
}

/** setImmediate where there is one: the end of this turn of the event loop. */
export const atEndOfTick: (run: () => void) => void = (() => {
  if (typeof setImmediate === "function") return (run: () => void) => void setImmediate(run);
  if (typeof MessageChannel === "undefined") return (run: () => void) => void setTimeout(run, 0);
  let waiting: (() => void)[] = [];
  let channel: MessageChannel | undefined;
  return (run: () => void) => {
    if (channel === undefined) {
      channel = new MessageChannel();
      channel.port1.onmessage = () => {
        const runs = waiting;
        waiting = [];
        for (const each of runs) each();
      };
    }
    waiting.push(run);
    channel.port2.postMessage(0);
  };
})();

/** A timer that does not keep the process alive. */
function background(run: () => void, ms: number): ReturnType<typeof setTimeout> {
  const timer = setTimeout(run, ms);
  (timer as { unref?: () => void }).unref?.();
  return timer;
}

/**
 * One open database, shared by all handles of this realm, and the writes on their way to it.
 *
 * 1. Writes of the asynchronous API wait in a queue, each as a batch of its own. They go to
 *    the engine as one frame (`apply`) before anything else happens there, and at the end of
 *    the tick at the latest; so everything runs in the order of the calls.
 * 2. One sync at the end of the tick covers all of them; only then their promises resolve.
 * 3. Writes pay for maintenance as they go. What is left over goes on in small steps when no
 *    asynchronous write has come for a while, and never keeps the process alive.
 * 4. When the frame is refused, its batches go one by one: one that is refused does not
 *    refuse the others.
 */
export class Store {
  readonly engine: Engine;
  readonly name: string;
  readonly durability: Durability;
  /** Budget in bytes. */
  readonly memory: number;
  /** Bytes of changes that are kept. */
  readonly changes: number;
  /** Undefined: checkpoints by size only. */
  readonly checkpointMs: number | undefined;
  /** A copy of the encryption key, to compare with at another opening; wiped at close. */
  key: Uint8Array | undefined;
  readonly readonly: boolean;
  readonly writers = new Writers();
  /** Told right after commits are acknowledged. */
  readonly followers = new Set<Follower>();
  /** One transaction at a time. */
  readonly turns = new Turns();
  /** What is said of it in `storage()`. */
  place: Place;
  readonly #membranes = new Map<number, Membrane>();
  readonly #onClose: () => void;
  #queue = new Writer();
  #queued: Queued[] = [];
  #applied: Settled[] = [];
  #settling = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #idle: ReturnType<typeof setTimeout> | undefined;
  #checkpoint: ReturnType<typeof setTimeout> | undefined;
  /** Since the timer of the checkpoint was set. */
  #writtenMore = false;
  #handles = 1;

  constructor(engine: Engine, name: string, options: { durability: Durability; memory: number; changes: number; checkpointMs: number | undefined; key: Uint8Array | undefined; readonly: boolean }, onClose: () => void) {
    this.engine = engine;
    this.name = name;
    this.durability = options.durability;
    this.key = options.key;
    this.memory = options.memory;
    this.changes = options.changes;
    this.checkpointMs = options.checkpointMs;
    this.readonly = options.readonly;
    this.place = { backend: name === ":memory:" ? "memory" : "file", role: "owner", tabs: 1 };
    this.#onClose = onClose;
  }

  get closed(): boolean {
    return this.#handles === 0;
  }

  /** Another handle. */
  retain(): this {
    this.#handles++;
    return this;
  }

  /** One handle less; the last one closes the database. */
  release(): void {
    this.settle();
    if (--this.#handles > 0) return;
    clearTimeout(this.#timer);
    clearTimeout(this.#idle);
    clearTimeout(this.#checkpoint);
    try {
      this.engine.close();
    } finally {
      this.key?.fill(0);
      this.#onClose();
    }
  }

  /** Makes another key the one that opens the database. */
  rekey(given: unknown): void {
    const key = copyKey(given, "rekey: the key");
    this.settle();
    try {
      this.engine.rekey(key);
      this.key?.fill(0);
      this.key = key.slice();
    } finally {
      key.fill(0);
    }
  }

  // ---- Writing ----

  /** Commits a batch now, and makes it as durable as the level says. */
  commit(writer: Writer): void {
    if (writer.count === 0) return;
    this.apply();
    this.engine.commit(writer, 0, writer.at, writer.count, true);
    this.written();
    this.acknowledged();
  }

  /** Commits were acknowledged: at the end of each call that may do that. */
  acknowledged(): void {
    const tell = (): void => {
      for (const follower of this.followers) follower.follow();
    };
    const safe = this.settled();
    if (safe === undefined) tell();
    else void safe.then(tell, tell);
  }

  /** Queues a batch; resolves with `value` when it is as durable as the level says. */
  enqueue<T>(writer: Writer, value: T): Promise<T> {
    if (writer.count === 0) return Promise.resolve(value);
    const start = this.#queue.at;
    this.#queue.append(writer);
    const promise = new Promise<T>((resolve, reject) => {
      this.#queued.push({
        start, end: this.#queue.at, records: writer.count, settled: { resolve: () => resolve(value), reject },
      });
    });
    this.#settleSoon();
    if (this.#queue.at > QUEUE_MAX) this.apply();
    return promise;
  }

  /** What was just done without a sync: resolves with `value` after one. */
  synced<T>(value: T): Promise<T> {
    this.written();
    const promise = new Promise<T>((resolve, reject) => this.#applied.push({ resolve: () => resolve(value), reject }));
    this.#settleSoon();
    return promise;
  }

  /** Gives the engine what is queued. Never throws: each write has its own promise. */
  apply(): void {
    this.#apply(false);
  }

  /** With `sync`, all that is applied is synced when this says true. */
  #apply(sync: boolean): boolean {
    if (this.#queued.length === 0) return false;
    const queued = this.#queued, queue = this.#queue;
    this.#queued = [];
    let records = 0, synced = sync;
    for (const each of queued) records += each.records;
    try {
      this.engine.commit(queue, 0, queue.at, records, sync);
      for (const each of queued) this.#applied.push(each.settled);
    } catch (error) {
      synced = false;
      if (queued.length === 1) queued[0]?.settled.reject(error);
      else for (const each of queued) this.#applyOne(queue, each, error);
    }
    this.written();
    if (queue.bytes.length > 2 * QUEUE_MAX) this.#queue = new Writer();
    else queue.clear();
    return synced;
  }

  #applyOne(queue: Writer, { start, end, records, settled }: Queued, first: unknown): void {
    try {
      this.engine.commit(queue, start, end, records, false);
      this.#applied.push(settled);
    } catch (error) {
      // Once a sync has failed, every later write only says that one has.
      const poisoned = first instanceof NacreError && first.code === "IO";
      settled.reject(poisoned ? first : error);
    }
  }

  #settleSoon(): void {
    if (this.#settling) return;
    this.#settling = true;
    atEndOfTick(() => {
      this.#settling = false;
      if (!this.closed) this.settle();
    });
  }

  /** Applies what is queued, syncs, and resolves. Never throws. */
  settle(): void {
    // Committed together with its sync, a frame whose sync fails is not shown to readers.
    const synced = this.#apply(true);
    if (this.#applied.length === 0) return;
    const applied = this.#applied;
    this.#applied = [];
    try {
      if (!synced) this.engine.sync();
    } catch (error) {
      for (const each of applied) each.reject(error);
      return;
    }
    const resolve = (): void => {
      for (const each of applied) each.resolve();
      if (this.closed) return;
      this.acknowledged();
      this.#stepWhenIdle();
    };
    const safe = this.settled();
    if (safe === undefined) return resolve();
    void safe.then(resolve, (error) => {
      for (const each of applied) each.reject(error);
    });
  }

  /**
   * Before anything else is acknowledged: resolves when what was synced is safe, wherever the
   * place of the files says so later than it takes them. undefined: it is.
   */
  settled(): Promise<void> | undefined {
    return this.engine.settled();
  }

  #stepWhenIdle(ms = IDLE_MS): void {
    clearTimeout(this.#idle);
    this.#idle = background(() => {
      try {
        if (!this.closed && this.engine.step(IDLE_BYTES)) this.#stepWhenIdle();
      } catch { /* stats().maintenance tells, or the next write does */ }
    }, ms);
  }

  /** A transaction was committed, as durable as the level says. */
  committed(): void {
    this.written();
    this.acknowledged();
    this.#stepWhenIdle();
  }

  /** A step begins a checkpoint that is due; what was written meanwhile has its own time. */
  #checkpointLater(): void {
    if (this.checkpointMs === undefined) return;
    this.#writtenMore = false;
    this.#checkpoint = background(() => {
      this.#checkpoint = undefined;
      if (this.closed) return;
      this.#stepWhenIdle(0);
      if (this.#writtenMore) this.#checkpointLater();
    }, this.checkpointMs + CHECKPOINT_LATE_MS);
  }

  /** Something was written: "relaxed" promises a sync soon, `checkpointMs` a checkpoint. */
  written(): void {
    if (this.#checkpoint === undefined) this.#checkpointLater();
    else this.#writtenMore = true;
    if (this.durability !== "relaxed" || this.#timer !== undefined) return;
    this.#timer = background(() => {
      this.#timer = undefined;
      if (this.closed) return;
      this.apply();
      try {
        this.engine.flush();
      } catch { /* the handle is poisoned: the next write says so */ }
    }, RELAXED_MS);
  }

  // ---- Membranes ----

  /** The membrane as one object, whoever opens it. */
  #membrane(raw: RawMembrane): Membrane {
    let membrane = this.#membranes.get(raw.pointer);
    if (membrane === undefined) {
      membrane = new Membrane(raw.pointer, raw.id, raw.name, decodeSchema(raw.schema));
      this.#membranes.set(raw.pointer, membrane);
    }
    return membrane;
  }

  /** With a schema it is created when missing; without one, undefined says that it is. */
  openMembrane(name: string, schema: Schema | undefined, scope?: object): Membrane | undefined {
    this.apply();
    const bytes = nameBytes(name, "membrane", LIMIT.NAME_SIZE);
    const raw = this.engine.membraneOpen(bytes, schema === undefined ? undefined : encodeSchema(schema));
    if (raw === undefined) return undefined;
    const membrane = this.#membrane(raw);
    if (membrane.maker !== scope) membrane.maker = undefined;
    if (schema !== undefined) this.acknowledged();
    return membrane;
  }

  membraneById(id: number): Membrane | undefined {
    const raw = this.engine.membraneById(id);
    return raw === undefined ? undefined : this.#membrane(raw);
  }

  membraneNames(): Membrane[] {
    const membranes: Membrane[] = [];
    for (let raw = this.engine.membraneAt(0); raw !== undefined; raw = this.engine.membraneAt(membranes.length)) {
      membranes.push(this.#membrane(raw));
    }
    return membranes;
  }

  /** Opened for reading: the newest committed state is what is read from now on. */
  refresh(): void {
    this.apply();
    if (this.engine.refresh()) this.#refreshMembranes();
    this.acknowledged();
  }

  #refreshMembranes(): void {
    const gone = new Map(this.#membranes);
    for (let i = 0, raw = this.engine.membraneAt(0); raw !== undefined; raw = this.engine.membraneAt(++i)) {
      const membrane = gone.get(raw.pointer);
      if (membrane !== undefined) membrane.name = raw.name;
      gone.delete(raw.pointer);
    }
    for (const [pointer, membrane] of gone) {
      membrane.dropped = true;
      this.#membranes.delete(pointer);
    }
  }

  drop(name: string): void {
    const membrane = this.openMembrane(name, undefined);
    if (membrane === undefined) throw new NacreError("NOT_FOUND", `drop: there is no membrane ${JSON.stringify(name)}`);
    this.engine.membraneDrop(nameBytes(name, "drop", LIMIT.NAME_SIZE));
    membrane.dropped = true;
    this.#membranes.delete(membrane.pointer);
    this.written();
    this.acknowledged();
  }

  rename(from: string, to: string): void {
    const fromBytes = nameBytes(from, "rename", LIMIT.NAME_SIZE), toBytes = nameBytes(to, "rename", LIMIT.NAME_SIZE);
    const membrane = this.openMembrane(from, undefined);
    if (membrane === undefined) throw new NacreError("NOT_FOUND", `rename: there is no membrane ${JSON.stringify(from)}`);
    this.engine.membraneRename(fromBytes, toBytes);
    membrane.name = to;
    this.written();
    this.acknowledged();
  }
}

/**
 * What a handle may do: a database handle's own, a snapshot's, or a transaction's. Handles
 * of membranes belong to the session that they were opened in.
 */
export class Session {
  readonly store: Store;
  /** Address of the snapshot that reads see; 0: the newest state. */
  readonly snapshot: number;
  readonly #parent: Session | undefined;
  readonly #readonly: boolean;
  readonly #ended: string;
  readonly #atClose = new Set<() => void>();
  #closed = false;

  /** @param ended What is said of calls after `close`. */
  constructor(store: Store, readonly: boolean, ended = "closed", parent?: Session, snapshot = 0) {
    this.store = store;
    this.snapshot = snapshot;
    this.#readonly = readonly;
    this.#ended = ended;
    this.#parent = parent;
  }

  get closed(): boolean {
    return this.#closed || (this.#parent?.closed ?? false);
  }

  /** Once: whether it was open. */
  close(): boolean {
    const open = !this.closed;
    this.#closed = true;
    for (const run of this.#atClose) run();
    this.#atClose.clear();
    return open;
  }

  /** Runs `run` when this is closed, until the function that it gives is called. */
  atClose(run: () => void): () => void {
    this.#atClose.add(run);
    return () => void this.#atClose.delete(run);
  }

  check(): void {
    if (!this.#closed && this.#parent === undefined) return;
    if (this.#parent !== undefined) this.#parent.check();
    if (this.#closed) throw new NacreError("CLOSED", `${this.store.name}: ${this.#ended}`);
  }

  get readonly(): boolean {
    return this.#readonly;
  }

  /** The store is of this realm, and knows all names. */
  get local(): boolean {
    return true;
  }

  /** Asks for names that are not known here. */
  async know(_names: readonly string[]): Promise<void> {}

  /** The transaction that it belongs to. */
  get scope(): object | undefined {
    return undefined;
  }

  /** Before a read: what was written before it is there. */
  reading(membrane?: Membrane): Store {
    this.check();
    if (membrane !== undefined && membrane.dropped) throw membrane.gone();
    this.flush();
    return this.store;
  }

  /** Before a write. */
  writing(membrane?: Membrane): Store {
    this.check();
    if (this.#readonly) {
      throw new NacreError("READONLY", this.snapshot !== 0
        ? `${this.store.name}: a snapshot cannot be written to`
        : `${this.store.name}: opened for reading only`);
    }
    if (membrane !== undefined && membrane.dropped) throw membrane.gone();
    return this.store;
  }

  /** Commits the records that `fill` writes, as one batch. */
  commit(membrane: Membrane, fill: (writer: Writer) => void): void {
    const { writers } = this.writing(membrane);
    const writer = writers.take();
    try {
      writer.batchBegin();
      fill(writer);
      writer.batchEnd();
      this.writing(membrane); // `fill` may have run the caller's code
      this.submit(writer);
    } finally {
      writers.give(writer);
    }
  }

  /** Queues the records that `fill` writes, as one batch. */
  enqueue<T>(membrane: Membrane, value: T, fill: (writer: Writer) => void): Promise<T> {
    const { writers } = this.writing(membrane);
    const writer = writers.take();
    try {
      writer.batchBegin();
      fill(writer);
      writer.batchEnd();
      this.writing(membrane);
      return this.submitSoon(writer, value);
    } finally {
      writers.give(writer);
    }
  }

  // ---- Where writes go: a transaction's session has its own way for these five ----

  /** What is written and on its way is there for the next read. */
  flush(): void {
    this.store.apply();
  }

  /** A batch is done when this returns. */
  submit(writer: Writer): void {
    this.store.commit(writer);
  }

  /** A batch is done when this resolves, with `value`. */
  submitSoon<T>(writer: Writer, value: T): Promise<T> {
    return this.store.enqueue(writer, value);
  }

  /** Removes the rows of a range that match a filter; gives their number. */
  remove(membrane: Membrane, low: Uint8Array, high: Uint8Array, filter: Uint8Array): number {
    return this.#remove(membrane, low, high, filter, true);
  }

  async removeSoon(membrane: Membrane, low: Uint8Array, high: Uint8Array, filter: Uint8Array): Promise<number> {
    return this.store.synced(this.#remove(membrane, low, high, filter, false));
  }

  #remove(membrane: Membrane, low: Uint8Array, high: Uint8Array, filter: Uint8Array, sync: boolean): number {
    const store = this.writing(membrane);
    this.flush();
    const removed = store.engine.clear(membrane.pointer, low, high, filter, sync);
    store.written();
    if (sync) store.acknowledged();
    return removed;
  }

  /** A membrane was missing, and is there now. */
  created(_membrane: Membrane): void {}

  /** Opens a membrane of a kind: with a schema as it says; without one as it is, or as `fallback` says. */
  open(kind: Schema["kind"], name: unknown, schema: Schema | undefined, fallback: Schema | undefined): Membrane {
    this.check();
    nameBytes(name, kind, LIMIT.NAME_SIZE);
    const label = name as string;
    const { store } = this;
    let membrane = store.openMembrane(label, undefined, this.scope);
    if (membrane === undefined) {
      const wanted = schema ?? fallback;
      if (this.#readonly) throw new NacreError("NOT_FOUND", `there is no membrane ${JSON.stringify(label)}`);
      if (wanted === undefined) throw invalid(`${kind} ${JSON.stringify(label)}: it is not there yet, and to create it needs vector: { dimensions }`);
      membrane = store.openMembrane(label, wanted, this.scope);
      if (membrane !== undefined) this.created(membrane);
    } else if (membrane.schema.kind !== kind) {
      throw new NacreError("WRONG_KIND", `${JSON.stringify(label)} is a ${membrane.schema.kind}, not a ${kind}`);
    } else if (schema !== undefined) {
      membrane = store.openMembrane(label, schema, this.scope); // SCHEMA_MISMATCH names the difference
    }
    if (membrane === undefined) throw new NacreError("INTERNAL", `${kind} ${JSON.stringify(label)} was not created`);
    return membrane;
  }
}
