import { ArchiveSync, backupSync, exportSync } from "./backup.ts";
import type { ArchiveOptions, BackupReport, BackupSyncOptions, ExportOptions } from "./backup.ts";
import { BatchSync } from "./batch.ts";
import { changesSync, onCommit } from "./changes.ts";
import type { Change, ChangesSyncOptions, Commit } from "./changes.ts";
import { CollectionSync, notYet } from "./collection.ts";
import { disposes } from "./dispose.ts";
import { checkOptions, invalid, NacreError, shown } from "./errors.ts";
import type { Key } from "./keys.ts";
import { KvSync } from "./kv.ts";
import { openCollection, openKv } from "./membrane.ts";
import { readCompact, readMembranes, readStats, readVerify } from "./report.ts";
import type { CompactReport, MembraneInfo, Stats, VerifyReport } from "./report.ts";
import type { CollectionSchema, KvSchema } from "./schema.ts";
import { SnapshotSync } from "./snapshot.ts";
import { Session } from "./store.ts";
import type { Store } from "./store.ts";
import type { VectorOut } from "./vectors.ts";
import { transactSync } from "./transaction.ts";
import type { TransactionSync, TransactionSyncOptions } from "./transaction.ts";

export interface VerifyOptions {
  /** Reads every byte. */
  deep?: boolean | undefined;
}

/** The options of verify(), checked. */
export function checkVerify(options: unknown): boolean {
  const given = checkOptions(options, "verify", ["deep", "signal", "timeoutMs"]);
  for (const option of ["signal", "timeoutMs"]) notYet(given, option, "verify");
  const { deep = false } = given;
  if (typeof deep !== "boolean") throw invalid(`verify: deep must be true or false, not ${shown(deep)}`);
  return deep;
}

/** The arguments of compact(), checked. It always compacts all membranes. */
export function checkCompact(store: Store, name: unknown, options: unknown): void {
  const given = checkOptions(options, "compact", ["signal", "timeoutMs"]);
  for (const option of ["signal", "timeoutMs"]) notYet(given, option, "compact");
  if (name === undefined) return;
  if (typeof name !== "string") throw invalid(`compact: a name must be a string, not ${shown(name)}`);
  if (store.openMembrane(name, undefined) === undefined) {
    throw new NacreError("NOT_FOUND", `compact: there is no membrane ${JSON.stringify(name)}`);
  }
}

/** A database, synchronously: each call is done when it returns. */
export class DatabaseSync {
  /** As it was given to `openSync`. */
  readonly name: string;
  readonly #session: Session;

  /** @internal */
  constructor(store: Store, name: string, readonly: boolean) {
    this.name = name;
    this.#session = new Session(store, readonly);
  }

  /** Opens a key-value membrane; creates it when it is missing. */
  kv<V = any, K extends Key = Key>(name: string, schema?: KvSchema): KvSync<V, K> {
    return new KvSync<V, K>(this.#session, openKv(this.#session, name, schema));
  }

  /** Opens a vector collection; creates it when it is missing and its dimensions are given. */
  collection<F = Record<string, unknown>, K extends Key = Key, V extends VectorOut = Float32Array>(name: string, schema?: CollectionSchema<F>): CollectionSync<F, K, V> {
    return new CollectionSync<F, K, V>(this.#session, openCollection(this.#session, name, schema));
  }

  membranes(): MembraneInfo[] {
    return readMembranes(this.#session);
  }

  /** Removes a membrane with all its rows, at once and for good. */
  drop(name: string): void {
    this.#session.writing().drop(name);
  }

  rename(from: string, to: string): void {
    this.#session.writing().rename(from, to);
  }

  batch(): BatchSync {
    return new BatchSync(this.#session);
  }

  /**
   * Runs a body in a transaction: one state of the database and its own writes are what it
   * reads; committed together when it returns, undone when it throws. CONFLICT: somebody else
   * has changed a row that it has written. BUSY: another transaction is open.
   */
  transaction<T>(body: (tx: TransactionSync) => T, options?: TransactionSyncOptions): T {
    return transactSync(this.#session, body, options);
  }

  snapshot(): SnapshotSync {
    return new SnapshotSync(this.#session);
  }

  /**
   * What was committed, in its order: what is kept at the first `next()`. NOT_FOUND: changes
   * after `since` are not all kept any more (`details.oldest` is where one can begin).
   */
  changes(options?: ChangesSyncOptions): IterableIterator<Change> {
    return changesSync(this.#session, options);
  }

  /** Calls `listener` after each commit. The function that it gives ends that. */
  onCommit(listener: (commit: Commit) => void): () => void {
    return onCommit(this.#session, listener);
  }

  /** The database as one file, in chunks: the state of this call, whatever is written meanwhile. */
  export(options?: ExportOptions): IterableIterator<Uint8Array> {
    return exportSync(this.#session, options);
  }

  /** Writes a backup: full, or with `base` what is new since an earlier one. */
  backup(target: { write(chunk: Uint8Array): unknown } | ((chunk: Uint8Array) => unknown), options?: BackupSyncOptions): BackupReport {
    return backupSync(this.#session, target, options);
  }

  /** What is committed after a backup, to be able to go back to each commit. */
  archive(options: ArchiveOptions): ArchiveSync {
    return new ArchiveSync(this.#session, options);
  }

  /** Everything acknowledged is synced. */
  flush(): void {
    this.#session.reading().engine.flush();
  }

  /** Memtables become segments, the log is emptied. */
  checkpoint(): void {
    this.#session.writing();
    this.#session.reading().engine.checkpoint();
  }

  /**
   * Makes `key` (32 bytes) the one that opens this encrypted database, from now on the only one.
   * What is stored is not encrypted anew: whoever had the old key and a copy of the file reads it still.
   */
  rekey(key: Uint8Array): void {
    this.#session.writing().rekey(key);
  }

  /** Rewrites all that is live, of every membrane whatever `name` says, and gives the rest of the file back. */
  compact(name?: string, options?: Record<string, never>): CompactReport {
    const store = this.#session.writing();
    checkCompact(store, name, options);
    return readCompact(this.#session.reading().engine);
  }

  verify(options?: VerifyOptions): VerifyReport {
    const deep = checkVerify(options);
    return readVerify(this.#session.reading().engine, deep);
  }

  /**
   * Opened with mode "readonly": moves to the newest state that a writer elsewhere has
   * committed. Snapshots and iterators keep what they see. A handle that writes is always there.
   */
  refresh(): void {
    this.#session.reading().refresh();
  }

  stats(): Stats {
    return readStats(this.#session.reading().engine);
  }

  /** Syncs what was acknowledged, and closes. May be called twice; later calls are CLOSED. */
  close(): void {
    if (this.#session.close()) this.#session.store.release();
  }
}

export interface DatabaseSync extends Disposable {}
disposes(DatabaseSync.prototype, "dispose", "close");
