import { Batch, BatchSync } from "./batch.ts";
import { Collection, CollectionSync } from "./collection.ts";
import { Cutoff, longCall } from "./cutoff.ts";
import type { LongCall } from "./cutoff.ts";
import type { Engine } from "./engine.ts";
import { checkOptions, invalid, NacreError, shown } from "./errors.ts";
import type { Key } from "./keys.ts";
import { Kv, KvSync } from "./kv.ts";
import { openCollection, openKv } from "./membrane.ts";
import type { Membrane } from "./membrane.ts";
import type { CollectionSchema, KvSchema } from "./schema.ts";
import { Session } from "./store.ts";
import type { Store } from "./store.ts";
import type { VectorOut } from "./vectors.ts";
import type { Writer } from "./writer.ts";

export interface TransactionSyncOptions {
  /** How often the body is run again when the commit was refused with CONFLICT; 0 when absent. */
  retries?: number | undefined;
}

/** `signal` and `timeoutMs` hold for the wait, the body and its repetitions: what is open then is rolled back. */
export interface TransactionOptions extends TransactionSyncOptions, LongCall {}

/** What is said of its handles afterwards. */
export const ENDED = "the transaction has ended";
const GROUP = 64 * 1024; // bytes of records that go to the engine together

/**
 * One transaction of the engine, and the writes on their way to it.
 *
 * 1. Records gather in a group. It goes to the engine before anything is read there, at
 *    savepoints, when it has GROUP bytes, and before the commit.
 * 2. The writes of a group have been answered when it goes. If the engine refuses it (for want
 *    of memory or disk), nothing of what is open can be kept: every call from then on throws
 *    that refusal, until a savepoint from before the group is rolled back to.
 * 3. A write larger than a group goes at once: it is done whole or refused whole.
 */
export class Work {
  readonly store: Store;
  readonly #pointer: number;
  /** What reads see: the address of a snapshot that has the transaction's writes. */
  readonly view: number;
  readonly #group: Writer;
  #refusal: { readonly error: unknown } | undefined;
  #open = true;

  /** The state of this moment is what it sees. */
  constructor(store: Store) {
    store.apply();
    const { pointer, view } = store.engine.transactionBegin();
    this.store = store;
    this.#pointer = pointer;
    this.view = view;
    this.#group = store.writers.take();
  }

  /** For calls about it: never after its end, when its address is another's. */
  get #engine(): Engine {
    if (!this.#open) throw new NacreError("CLOSED", `${this.store.name}: ${ENDED}`);
    return this.store.engine;
  }

  /** Takes one batch of records. */
  add(batch: Writer): void {
    if (this.#group.at + batch.at > GROUP) this.send();
    if (batch.at > GROUP) this.#sendAlone(batch);
    else this.#group.appendRecords(batch);
  }

  #sendAlone(batch: Writer): void {
    const savepoint = this.savepoint();
    try {
      for (const { start, end, count } of batch.slices(GROUP)) this.#write(batch, start, end, count);
    } catch (error) {
      this.rollbackTo(savepoint);
      throw error;
    }
    this.release(savepoint);
  }

  #write(records: Writer, start: number, end: number, count: number): void {
    this.#engine.transactionWrite(this.#pointer, records.bytes, start, end, count);
  }

  /** Gives the engine what has gathered. */
  send(): void {
    if (this.#refusal !== undefined) throw this.#refusal.error;
    const group = this.#group;
    if (group.at === 0) return void this.#engine;
    try {
      this.#write(group, 0, group.at, group.count);
    } catch (error) {
      this.#refusal = { error };
      throw error;
    } finally {
      group.clear();
    }
  }

  savepoint(): number {
    this.send();
    return this.#engine.transactionSavepoint(this.#pointer);
  }

  /** Keeps what was written since. */
  release(savepoint: number): void {
    this.send();
    this.#engine.transactionRelease(this.#pointer, savepoint);
  }

  /** Undoes what was written since. */
  rollbackTo(savepoint: number): void {
    if (!this.#open) return;
    this.#group.clear();
    this.#refusal = undefined; // before the savepoint there was none: it has sent the group
    try {
      this.#engine.transactionRollbackTo(this.#pointer, savepoint);
      this.#engine.transactionRelease(this.#pointer, savepoint);
    } catch (error) {
      this.#refusal = { error };
    }
  }

  /** Removes the rows of a range that match a filter; gives their number. */
  clear(membrane: Membrane, low: Uint8Array, high: Uint8Array, filter: Uint8Array): number {
    this.send();
    return this.#engine.transactionClear(this.#pointer, membrane.pointer, low, high, filter);
  }

  /** Gives the refusal when it is a CONFLICT; throws any other. It has ended in any case but for a throw of `send`. */
  commit(): NacreError | undefined {
    this.store.apply(); // plain writes before this one: it may be that they are in its way
    this.send();
    const engine = this.#engine;
    this.#open = false;
    try {
      engine.transactionCommit(this.#pointer);
    } catch (error) {
      if (error instanceof NacreError && error.code === "CONFLICT") return error;
      throw error;
    }
    this.store.committed();
    return undefined;
  }

  /** May be called at any time: what has ended stays as it is. */
  rollback(): void {
    if (!this.#open) return;
    this.#open = false;
    try {
      this.store.engine.transactionRollback(this.#pointer);
    } catch { /* the engine has stopped or is closed: nothing of it is kept there either */ }
  }

  /** No more calls. */
  end(): void {
    this.store.writers.give(this.#group);
  }
}

/** What the handles of a transaction, or of one nested in it, may do. */
export class TransactionSession extends Session {
  readonly #work: Work;
  /** The savepoint that a nested one began with. */
  readonly #savepoint: number | undefined;
  readonly #outer: TransactionSession | undefined;
  /** Membranes that it has created: they are dropped again when it is rolled back. */
  readonly #made: Membrane[] = [];
  /** The nested one that is open; it settles when that has ended. */
  #inner: Promise<void> | undefined;
  #kept = false;

  constructor(work: Work, parent: Session, savepoint?: number) {
    super(work.store, false, ENDED, parent, work.view);
    this.#work = work;
    this.#savepoint = savepoint;
    this.#outer = parent instanceof TransactionSession ? parent : undefined;
  }

  override get scope(): object {
    return this.#work;
  }

  override flush(): void {
    this.#work.send();
  }

  override submit(writer: Writer): void {
    this.#work.add(writer);
  }

  override submitSoon<T>(writer: Writer, value: T): Promise<T> {
    this.#work.add(writer);
    return Promise.resolve(value);
  }

  override remove(membrane: Membrane, low: Uint8Array, high: Uint8Array, filter: Uint8Array): number {
    this.writing(membrane);
    return this.#work.clear(membrane, low, high, filter);
  }

  override async removeSoon(membrane: Membrane, low: Uint8Array, high: Uint8Array, filter: Uint8Array): Promise<number> {
    return this.remove(membrane, low, high, filter);
  }

  override created(membrane: Membrane): void {
    membrane.maker = this.#work;
    this.#made.push(membrane);
  }

  // ---- Ending ----

  /** Keeps what it has written: for its outer one, or for good. Gives a CONFLICT; throws any other refusal. */
  keep(): NacreError | undefined {
    if (this.#savepoint === undefined) {
      const conflict = this.#work.commit();
      if (conflict !== undefined) return conflict;
    } else {
      this.#work.release(this.#savepoint);
      if (this.#outer !== undefined) this.#outer.#made.push(...this.#made);
    }
    this.#kept = true;
    return undefined;
  }

  /** Undoes all it has done, but for what was kept. */
  rollback(): void {
    if (this.#kept) return;
    if (this.#savepoint === undefined) this.#work.rollback();
    else this.#work.rollbackTo(this.#savepoint);
    for (const membrane of this.#made) {
      if (membrane.dropped || membrane.maker !== this.#work) continue; // somebody else has opened it
      try {
        this.store.drop(membrane.name);
      } catch { /* an empty membrane is left */ }
    }
    this.#made.length = 0;
    this.close();
  }

  /** Ends it for good. */
  end(): void {
    this.close();
    if (this.#savepoint === undefined) this.#work.end();
  }

  // ---- Nested ones ----

  nest(): TransactionSession {
    this.writing();
    if (this.#inner !== undefined) {
      throw new NacreError("MISUSE", `${this.store.name}: a nested transaction is open; begin another one inside of it, or after it`);
    }
    const inner = new TransactionSession(this.#work, this, this.#work.savepoint());
    let ended = (): void => {};
    this.#inner = new Promise<void>((resolve) => { ended = resolve; });
    inner.atClose(() => {
      this.#inner = undefined;
      ended();
    });
    return inner;
  }

  /** When no nested one is open any more. */
  async idle(): Promise<void> {
    while (this.#inner !== undefined) await this.#inner;
  }
}

type Body<T> = (tx: Transaction) => Promise<T> | T;
type BodySync<T> = (tx: TransactionSync) => T;

export function checkBody(body: unknown): void {
  if (typeof body !== "function") throw invalid(`transaction: it takes a function, not ${shown(body)}`);
}

export function checkRetries(retries: unknown): number {
  if (retries === undefined) return 0;
  if (typeof retries === "number" && Number.isInteger(retries) && retries >= 0) return retries;
  throw invalid(`transaction: retries must be a whole number, 0 or more, not ${shown(retries)}`);
}

/** Runs a body in a transaction: kept when it returns, undone when it throws. */
export async function transact<T>(session: Session, body: Body<T>, options: unknown): Promise<T> {
  const given = checkOptions(options, "transaction", ["retries", "signal", "timeoutMs"]);
  const retries = checkRetries(given.retries);
  const limits = longCall(given, "transaction");
  checkBody(body);
  const { name, turns } = session.writing();
  const cutoff = new Cutoff(limits, `${name}: transaction`);
  const stay = session.atClose(() => cutoff.cut(new NacreError("CLOSED", `${name}: closed, and the transaction is rolled back`)));
  try {
    if (!turns.take()) await turns.wait(cutoff);
    try {
      return await attempts(session, body, retries, cutoff);
    } finally {
      turns.give();
    }
  } finally {
    stay();
    cutoff.end();
  }
}

async function attempts<T>(session: Session, body: Body<T>, retries: number, cutoff: Cutoff): Promise<T> {
  for (let left = retries; ; left--) {
    cutoff.check();
    const own = new TransactionSession(new Work(session.store), session);
    const deaf = cutoff.listen(() => own.rollback());
    try {
      const value = await cutoff.race(run(own, body));
      const conflict = own.keep();
      if (conflict === undefined) {
        await session.store.settled();
        return value;
      }
      if (left === 0) throw conflict;
    } finally {
      own.rollback(); // does nothing when it was kept
      own.end();
      deaf();
    }
  }
}

/** The body, and the nested transactions that it has not awaited. */
async function run<T>(session: TransactionSession, body: Body<T>): Promise<T> {
  const value = await body(new Transaction(session));
  await session.idle();
  return value;
}

async function nested<T>(outer: TransactionSession, body: Body<T>, options: unknown): Promise<T> {
  checkOptions(options, "nested transaction", []);
  checkBody(body);
  const own = outer.nest();
  try {
    const value = await run(own, body);
    own.keep();
    return value;
  } finally {
    own.rollback();
    own.end();
  }
}

/** The same at once. */
export function transactSync<T>(session: Session, body: BodySync<T>, options: unknown): T {
  const retries = checkRetries(checkOptions(options, "transaction", ["retries"]).retries);
  checkBody(body);
  const { name, turns } = session.writing();
  if (!turns.take()) throw new NacreError("BUSY", `${name}: a transaction is open already; inside of it, use its own transaction()`);
  try {
    for (let left = retries; ; left--) {
      const own = new TransactionSession(new Work(session.store), session);
      const stay = session.atClose(() => own.rollback());
      try {
        const value = runSync(own, body);
        const conflict = own.keep();
        if (conflict === undefined) return value;
        if (left === 0) throw conflict;
      } finally {
        own.rollback();
        own.end();
        stay();
      }
    }
  } finally {
    turns.give();
  }
}

function runSync<T>(session: TransactionSession, body: BodySync<T>): T {
  const value: unknown = body(new TransactionSync(session));
  if (typeof (value as { then?: unknown } | null | undefined)?.then === "function") {
    Promise.resolve(value).catch(() => {}); // it ends in CLOSED, and this tells why
    throw invalid("transaction: the body of a synchronous transaction must not be async");
  }
  return value as T;
}

function nestedSync<T>(outer: TransactionSession, body: BodySync<T>, options: unknown): T {
  checkOptions(options, "nested transaction", []);
  checkBody(body);
  const own = outer.nest();
  try {
    const value = runSync(own, body);
    own.keep();
    return value;
  } finally {
    own.rollback();
    own.end();
  }
}

/**
 * The database as a transaction sees it: as it was when the body began, and with the
 * transaction's own writes. The handles of membranes that it gives are good until it ends.
 */
export class Transaction {
  readonly #session: TransactionSession;

  /** @internal */
  constructor(session: TransactionSession) {
    this.#session = session;
  }

  /** Opens a key-value membrane; creates it, at once and for all, when it is missing. It is dropped again if the transaction is rolled back and nobody else has opened it. */
  async kv<V = any, K extends Key = Key>(name: string, schema?: KvSchema): Promise<Kv<V, K>> {
    return new Kv<V, K>(this.#session, openKv(this.#session, name, schema));
  }

  /** Opens a vector collection; creates it as `kv` does. */
  async collection<F = Record<string, unknown>, K extends Key = Key, V extends VectorOut = Float32Array>(name: string, schema?: CollectionSchema<F>): Promise<Collection<F, K, V>> {
    return new Collection<F, K, V>(this.#session, openCollection(this.#session, name, schema));
  }

  /** Writes of this transaction that are made together, or not at all. */
  batch(): Batch {
    return new Batch(this.#session);
  }

  /**
   * Runs a body in a savepoint: what it throws is the rejection, and undoes what was written
   * since it began, through whatever handle. One at a time; MISUSE while one is open.
   */
  async transaction<T>(body: (tx: Transaction) => Promise<T> | T, options?: Record<string, never>): Promise<T> {
    return nested(this.#session, body, options);
  }
}

/** The same synchronously. */
export class TransactionSync {
  readonly #session: TransactionSession;

  /** @internal */
  constructor(session: TransactionSession) {
    this.#session = session;
  }

  kv<V = any, K extends Key = Key>(name: string, schema?: KvSchema): KvSync<V, K> {
    return new KvSync<V, K>(this.#session, openKv(this.#session, name, schema));
  }

  collection<F = Record<string, unknown>, K extends Key = Key, V extends VectorOut = Float32Array>(name: string, schema?: CollectionSchema<F>): CollectionSync<F, K, V> {
    return new CollectionSync<F, K, V>(this.#session, openCollection(this.#session, name, schema));
  }

  batch(): BatchSync {
    return new BatchSync(this.#session);
  }

  transaction<T>(body: (tx: TransactionSync) => T, options?: Record<string, never>): T {
    return nestedSync(this.#session, body, options);
  }
}
