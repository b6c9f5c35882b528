import { Archive, backup, exportStream } from "./backup.ts";
import type { ArchiveOptions, BackupOptions, BackupReport, BackupTarget, ExportOptions } from "./backup.ts";
import { Batch } from "./batch.ts";
import { changes, onCommit } from "./changes.ts";
import type { Change, ChangesOptions, Commit } from "./changes.ts";
import { Collection } from "./collection.ts";
import { disposes } from "./dispose.ts";
import { persist, storageReport } from "./estimate.ts";
import type { StorageReport } from "./estimate.ts";
import type { Key } from "./keys.ts";
import { Kv } from "./kv.ts";
import { openCollection, openKv } from "./membrane.ts";
import { readCompact, readMembranes, readStats, readVerify } from "./report.ts";
import type { CompactReport, MembraneInfo, Stats, VerifyReport } from "./report.ts";
import type { CollectionSchema, KvSchema } from "./schema.ts";
import { Snapshot } from "./snapshot.ts";
import { Session } from "./store.ts";
import type { Store } from "./store.ts";
import type { VectorOut } from "./vectors.ts";
import { checkCompact, checkVerify } from "./sync.ts";
import type { VerifyOptions } from "./sync.ts";
import { transact } from "./transaction.ts";
import type { Transaction, TransactionOptions } from "./transaction.ts";

/**
 * A database.
 *
 * 1. Calls take effect in the order in which they are made, awaited or not.
 * 2. A promise of a write resolves when it is as durable as the database's level says; a
 *    write that is refused has changed nothing.
 */
export class Database {
  /** As it was given to `open`. */
  readonly name: string;
  readonly #session: Session;

  /** @internal */
  constructor(of: Store | Session, name: string, readonly: boolean) {
    this.name = name;
    this.#session = of instanceof Session ? of : new Session(of, readonly);
  }

  /** @internal */
  get session(): Session {
    return this.#session;
  }

  /** Opens a key-value membrane; creates it when it is missing. */
  async kv<V = any, K extends Key = Key>(name: string, schema?: KvSchema): Promise<Kv<V, K>> {
    const kv = new Kv<V, K>(this.#session, openKv(this.#session, name, schema));
    await this.#session.store.settled();
    return kv;
  }

  /** Opens a vector collection; creates it when it is missing and its dimensions are given. */
  async collection<F = Record<string, unknown>, K extends Key = Key, V extends VectorOut = Float32Array>(name: string, schema?: CollectionSchema<F>): Promise<Collection<F, K, V>> {
    const collection = new Collection<F, K, V>(this.#session, openCollection(this.#session, name, schema));
    await this.#session.store.settled();
    return collection;
  }

  async membranes(): Promise<MembraneInfo[]> {
    return readMembranes(this.#session);
  }

  /** Removes a membrane with all its rows, at once and for good. */
  async drop(name: string): Promise<void> {
    const store = this.#session.writing();
    store.drop(name);
    return store.synced(undefined);
  }

  async rename(from: string, to: string): Promise<void> {
    const store = this.#session.writing();
    store.rename(from, to);
    return store.synced(undefined);
  }

  batch(): Batch {
    return new Batch(this.#session);
  }

  /**
   * Runs a body in a transaction: one state of the database and its own writes are what it
   * reads; committed together when it returns, undone when it throws, and what it throws is the
   * rejection. CONFLICT: somebody else has changed a row that it has written, and nothing is
   * applied. A second transaction waits its turn, so a body must not await one that it has begun
   * on the database: inside, there is `tx.transaction`.
   */
  async transaction<T>(body: (tx: Transaction) => Promise<T> | T, options?: TransactionOptions): Promise<T> {
    return transact(this.#session, body, options);
  }

  async snapshot(): Promise<Snapshot> {
    return new Snapshot(this.#session);
  }

  /**
   * What was committed, in its order: what is kept at the first `next()`, or with `live` from
   * now on without an end. Only what is acknowledged, batches whole. NOT_FOUND: changes after
   * `since` are not all kept any more (`details.oldest` is where one can begin).
   */
  changes(options?: ChangesOptions): AsyncIterableIterator<Change> {
    return changes(this.#session, options);
  }

  /**
   * Calls `listener` after each commit, when it is visible and as durable as the level says;
   * writes of one tick share one. The function that it gives ends that.
   */
  onCommit(listener: (commit: Commit) => void): () => void {
    return onCommit(this.#session, listener);
  }

  /**
   * The database as one file: the state of this call, checked as it is read, whatever is written
   * meanwhile. `open(name, { from })` makes a database of it, anywhere.
   */
  export(options?: ExportOptions): ReadableStream<Uint8Array> {
    return exportStream(this.#session, options);
  }

  /**
   * Writes a backup, the state of this call: full, or with `base` what is new since an earlier
   * one, to be given to `restore` behind it. A stream is not closed.
   */
  async backup(target: BackupTarget, options?: BackupOptions): Promise<BackupReport> {
    return backup(this.#session, target, options);
  }

  /** What is committed after a backup, to be able to go back to each commit. */
  async archive(options: ArchiveOptions): Promise<Archive> {
    return new Archive(this.#session, options);
  }

  /** Everything acknowledged is synced. */
  async flush(): Promise<void> {
    const store = this.#session.reading();
    store.settle();
    store.engine.flush();
    return store.settled();
  }

  /** Memtables become segments, the log is emptied. */
  async checkpoint(): Promise<void> {
    this.#session.writing();
    const store = this.#session.reading();
    store.engine.checkpoint();
    return store.settled();
  }

  /**
   * Makes `key` (32 bytes) the one that opens this encrypted database, from now on the only one.
   * What is stored is not encrypted anew: whoever had the old key and a copy of the file reads it still.
   */
  async rekey(key: Uint8Array): Promise<void> {
    const store = this.#session.writing();
    store.rekey(key);
    return store.settled();
  }

  /** Rewrites all that is live, of every membrane whatever `name` says, and gives the rest of the file back. */
  async compact(name?: string, options?: Record<string, never>): Promise<CompactReport> {
    const store = this.#session.writing();
    checkCompact(store, name, options);
    const report = readCompact(this.#session.reading().engine);
    await store.settled();
    return report;
  }

  async verify(options?: VerifyOptions): Promise<VerifyReport> {
    const deep = checkVerify(options);
    return readVerify(this.#session.reading().engine, deep);
  }

  /**
   * Opened with mode "readonly": moves to the newest state that a writer elsewhere has
   * committed. Snapshots and iterators keep what they see. A handle that writes is always there.
   */
  async refresh(): Promise<void> {
    this.#session.reading().refresh();
  }

  async stats(): Promise<Stats> {
    return readStats(this.#session.reading().engine);
  }

  /** Where it is, who serves it, and what the browser says of the room for it. */
  async storage(): Promise<StorageReport> {
    return storageReport(this.#session.reading());
  }

  /** Asks the browser never to evict this site's data. Whether it promises that. */
  async persist(): Promise<boolean> {
    return persist(this.#session.reading().place);
  }

  /** Syncs what was acknowledged, and closes. May be called twice; later calls are CLOSED. */
  async close(): Promise<void> {
    if (!this.#session.close()) return;
    this.#session.store.release();
    await this.#session.store.settled();
  }
}

export interface Database extends AsyncDisposable {}
disposes(Database.prototype, "asyncDispose", "close");
