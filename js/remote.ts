import { Archive, checkArchive, checkBase, checkEncryption, drain } from "./backup.ts";
import type { ArchiveOptions, BackupOptions, BackupReport, BackupTarget, ExportOptions } from "./backup.ts";
import { Batch } from "./batch.ts";
import { checkChanges } from "./changes.ts";
import type { Change, ChangesOptions, Commit } from "./changes.ts";
import type { Collection } from "./collection.ts";
import { Cutoff, longCall } from "./cutoff.ts";
import { Database } from "./database.ts";
import { disposes } from "./dispose.ts";
import { persist, storageReport } from "./estimate.ts";
import type { StorageReport } from "./estimate.ts";
import { checkOptions, invalid, NacreError, shown } from "./errors.ts";
import type { Key } from "./keys.ts";
import type { Kv } from "./kv.ts";
import { Link, RemoteSession } from "./link.ts";
import { RemoteCollection } from "./remote-collection.ts";
import { RemoteKv } from "./remote-kv.ts";
import { Outflow, RemoteChanges } from "./remote-stream.ts";
import type { CompactReport, MembraneInfo, Stats, VerifyReport } from "./report.ts";
import type { Route } from "./route.ts";
import { collectionSchema, kvSchema } from "./schema.ts";
import type { CollectionSchema, KvSchema } from "./schema.ts";
import { copyKey } from "./secret.ts";
import { Snapshot } from "./snapshot.ts";
import type { SnapshotSync } from "./snapshot.ts";
import type { Durability } from "./store.ts";
import { streamOf } from "./stream.ts";
import { checkVerify } from "./sync.ts";
import type { VerifyOptions } from "./sync.ts";
import { checkBody, checkRetries, ENDED, Transaction } from "./transaction.ts";
import type { TransactionOptions, TransactionSession } from "./transaction.ts";
import type { VectorOut } from "./vectors.ts";

/** A database that is served by another realm: the same class, and the same promises. */
export function remoteDatabase(route: Route, name: string, readonly: boolean): Database {
  return databaseOn(new Link(route, name, readonly), name);
}

/** A handle on a connection. */
export function databaseOn(link: Link, name: string): Database {
  return new RemoteDatabase(link, name);
}

async function openKv<V, K extends Key>(session: RemoteSession, name: unknown, schema: unknown): Promise<Kv<V, K>> {
  session.check();
  const checked = schema === undefined ? undefined : kvSchema(schema, `kv ${shown(name)}`);
  return new RemoteKv<V, K>(session, await session.membrane("kv", name, checked));
}

async function openCollection<F, K extends Key, V extends VectorOut>(session: RemoteSession, name: unknown, schema: unknown): Promise<Collection<F, K, V>> {
  session.check();
  const checked = schema === undefined ? undefined : collectionSchema(schema, `collection ${shown(name)}`);
  return new RemoteCollection<F, K, V>(session, await session.membrane("collection", name, checked));
}

class RemoteDatabase extends Database {
  readonly #session: RemoteSession;
  readonly #link: Link;

  constructor(link: Link, name: string) {
    const session = new RemoteSession(link, 0, link.readonly);
    super(session, name, link.readonly);
    this.#session = session;
    this.#link = link;
  }

  override kv<V = any, K extends Key = Key>(name: string, schema?: KvSchema): Promise<Kv<V, K>> {
    return openKv(this.#session, name, schema);
  }

  override collection<F = Record<string, unknown>, K extends Key = Key, V extends VectorOut = Float32Array>(name: string, schema?: CollectionSchema<F>): Promise<Collection<F, K, V>> {
    return openCollection(this.#session, name, schema);
  }

  override async membranes(): Promise<MembraneInfo[]> {
    return this.#session.call("membranes");
  }

  override async drop(name: string): Promise<void> {
    this.#session.writing();
    await this.#session.ask("call", ["drop", name], { writes: true });
    this.#link.dropped(name);
  }

  override async rename(from: string, to: string): Promise<void> {
    this.#session.writing();
    await this.#session.ask("call", ["rename", from, to], { writes: true });
    this.#link.renamed(from, to);
  }

  override async transaction<T>(body: (tx: Transaction) => Promise<T> | T, options?: TransactionOptions): Promise<T> {
    return transact(this.#session, body, options);
  }

  override async snapshot(): Promise<Snapshot> {
    this.#session.check();
    const handle = this.#link.handle();
    const sequence = await this.#session.ask("snapshot", [], undefined, handle);
    return new RemoteSnapshot(this.#session, handle, sequence as bigint);
  }

  override changes(options?: ChangesOptions): AsyncIterableIterator<Change> {
    const { since, live, signal } = checkChanges(options);
    this.#session.check();
    return new RemoteChanges(this.#session, { since: since === undefined ? undefined : BigInt(since), live }, signal);
  }

  override onCommit(listener: (commit: Commit) => void): () => void {
    if (typeof listener !== "function") throw invalid(`onCommit takes a function, not ${shown(listener)}`);
    this.#session.check();
    const link = this.#link, handle = link.handle();
    link.listen(handle, (commit) => {
      try {
        listener(commit as Commit);
      } catch (error) {
        queueMicrotask(() => { throw error; }); // the commit is done: nobody there to be told
      }
    });
    this.#session.ask("listen", [], undefined, handle).catch(() => {});
    const end = (): void => {
      link.deaf(handle);
      link.drop(handle);
    };
    const unlisten = this.#session.atClose(() => {});
    return () => {
      unlisten();
      end();
    };
  }

  override export(options?: ExportOptions): ReadableStream<Uint8Array> {
    const { encryption } = checkOptions(options, "export", ["encryption"]);
    return streamOf(this.#backup(undefined, checkEncryption(encryption, "export")));
  }

  override async backup(target: BackupTarget, options?: BackupOptions): Promise<BackupReport> {
    const given = checkOptions(options, "backup", ["base", "encryption", "signal", "timeoutMs"]);
    const base = checkBase(given.base), call = longCall(given, "backup");
    return drain(this.#backup(base, checkEncryption(given.encryption, "backup")), target, call, "backup");
  }

  #backup(base: Uint8Array | undefined, encryption: Uint8Array | false | undefined): Outflow {
    this.#session.check();
    const handle = this.#link.handle();
    return new Outflow(this.#session, handle, this.#session.ask("backup", [base, encryption], undefined, handle));
  }

  override async archive(options: ArchiveOptions): Promise<Archive> {
    this.#session.check();
    const session = this.#session, link = this.#link, since = checkArchive(options), handle = link.handle();
    await session.ask("archive", [since], undefined, handle);
    let open = true;
    return new Archive(session, options, {
      begin: (encryption) => {
        session.check();
        if (!open) throw new NacreError("CLOSED", "archive: closed");
        const out = link.handle();
        return new Outflow(session, out, link.ask("archived", handle, out, [encryption]));
      },
      close: () => {
        if (open) link.drop(handle);
        open = false;
      },
    });
  }

  override async flush(): Promise<void> {
    return this.#session.call("flush");
  }

  override async checkpoint(): Promise<void> {
    this.#session.writing();
    return this.#session.call("checkpoint");
  }

  override async rekey(key: Uint8Array): Promise<void> {
    this.#session.writing();
    return this.#session.call("rekey", copyKey(key, "rekey: the key"));
  }

  override async compact(name?: string, options?: Record<string, never>): Promise<CompactReport> {
    this.#session.writing();
    return this.#session.call("compact", name, options);
  }

  override async verify(options?: VerifyOptions): Promise<VerifyReport> {
    return this.#session.call("verify", { deep: checkVerify(options) });
  }

  override async refresh(): Promise<void> {
    return this.#session.call("refresh");
  }

  override async stats(): Promise<Stats> {
    return this.#session.call("stats");
  }

  override async storage(): Promise<StorageReport> {
    this.#session.check();
    const place = await this.#link.place?.();
    if (place === undefined) return this.#session.call("storage");
    const durability = await this.#session.ask("durability") as Durability;
    return storageReport({ place, durability, engine: undefined });
  }

  override async persist(): Promise<boolean> {
    this.#session.check();
    const place = await this.#link.place?.();
    return place === undefined ? this.#session.call("persist") : persist(place);
  }

  override async close(): Promise<void> {
    if (!this.#session.closed) {
      this.#session.close();
      await this.#link.release();
    }
  }
}

disposes(RemoteDatabase.prototype, "asyncDispose", "close");

class RemoteSnapshot extends Snapshot {
  readonly #session: RemoteSession;

  constructor(parent: RemoteSession, handle: number, sequence: bigint) {
    super(parent, { sequence } as SnapshotSync);
    this.#session = new RemoteSession(parent.link, handle, true, "the snapshot is released", parent, handle);
  }

  override kv<V = any, K extends Key = Key>(name: string, schema?: KvSchema): Promise<Kv<V, K>> {
    return openKv(this.#session, name, schema);
  }

  override collection<F = Record<string, unknown>, K extends Key = Key, V extends VectorOut = Float32Array>(name: string, schema?: CollectionSchema<F>): Promise<Collection<F, K, V>> {
    return openCollection(this.#session, name, schema);
  }

  override async membranes(): Promise<MembraneInfo[]> {
    return this.#session.call("membranes");
  }

  override async release(): Promise<void> {
    if (this.#session.close()) this.#session.link.drop(this.#session.handle);
  }
}

disposes(RemoteSnapshot.prototype, "dispose", "release");
disposes(RemoteSnapshot.prototype, "asyncDispose", "release");

// ---- Transactions ----

/** A transaction, or one nested in it. */
class Scope extends RemoteSession {
  readonly #root: Scope | undefined;
  #inner: Promise<void> | undefined;
  #open = true;

  constructor(parent: RemoteSession, handle: number) {
    super(parent.link, handle, false, ENDED, parent);
    this.#root = parent instanceof Scope ? parent.#root ?? parent : undefined;
  }

  override get scope(): object {
    return this.#root ?? this;
  }

  /**
   * Begins one inside of `parent`, and runs the body in it: kept when that returns, undone when it
   * throws. A CONFLICT of the commit is given, and what else fails thrown.
   */
  static async run<T>(parent: RemoteSession, body: (tx: Transaction) => Promise<T> | T, cutoff?: Cutoff): Promise<{ value: T } | NacreError> {
    const { link } = parent, own = new Scope(parent, link.handle());
    const deaf = cutoff?.listen(() => own.#end("close").catch(() => {}));
    try {
      const begun = parent.ask("begin", [], undefined, own.handle);
      await (cutoff === undefined ? begun : cutoff.race(begun));
      const done = own.#work(body);
      const value = await (cutoff === undefined ? done : cutoff.race(done));
      try {
        await own.#end("finish");
      } catch (error) {
        if (isConflict(error)) return error;
        throw error;
      }
      return { value };
    } catch (error) {
      if (isConflict(error) && error.details?.gone === true) return error;
      throw error;
    } finally {
      own.#end("close").catch(() => {});
      own.close();
      deaf?.();
    }
  }

  async #work<T>(body: (tx: Transaction) => Promise<T> | T): Promise<T> {
    const value = await body(new RemoteTransaction(this));
    while (this.#inner !== undefined) await this.#inner;
    return value;
  }

  async #end(op: "finish" | "close"): Promise<void> {
    if (!this.#open || this.link.closed) return;
    this.#open = false;
    await this.link.ask(op, this.handle, this.link.handle(), [], { writes: op === "finish" });
  }

  async nested<T>(body: (tx: Transaction) => Promise<T> | T): Promise<T> {
    this.writing();
    if (this.#inner !== undefined) {
      throw new NacreError("MISUSE", `${this.link.name}: a nested transaction is open; begin another one inside of it, or after it`);
    }
    const run = Scope.run(this, body).then(valueOf);
    const over = (): void => { this.#inner = undefined; };
    this.#inner = run.then(over, over);
    return run;
  }
}

async function transact<T>(session: RemoteSession, body: (tx: Transaction) => Promise<T> | T, options: unknown): Promise<T> {
  const given = checkOptions(options, "transaction", ["retries", "signal", "timeoutMs"]);
  const retries = checkRetries(given.retries);
  const limits = longCall(given, "transaction");
  checkBody(body);
  session.writing();
  const { name } = session.link;
  const cutoff = new Cutoff(limits, `${name}: transaction`);
  const stay = session.atClose(() => cutoff.cut(new NacreError("CLOSED", `${name}: closed, and the transaction is rolled back`)));
  try {
    for (let left = retries; ; left--) {
      cutoff.check();
      const done = await Scope.run(session, body, cutoff);
      if (left === 0 || !(done instanceof NacreError)) return valueOf(done);
    }
  } finally {
    stay();
    cutoff.end();
  }
}

function isConflict(error: unknown): error is NacreError {
  return error instanceof NacreError && error.code === "CONFLICT";
}

function valueOf<T>(done: { value: T } | NacreError): T {
  if (done instanceof NacreError) throw done;
  return done.value;
}

class RemoteTransaction extends Transaction {
  readonly #session: Scope;

  constructor(session: Scope) {
    super(session as unknown as TransactionSession);
    this.#session = session;
  }

  override kv<V = any, K extends Key = Key>(name: string, schema?: KvSchema): Promise<Kv<V, K>> {
    return openKv(this.#session, name, schema);
  }

  override collection<F = Record<string, unknown>, K extends Key = Key, V extends VectorOut = Float32Array>(name: string, schema?: CollectionSchema<F>): Promise<Collection<F, K, V>> {
    return openCollection(this.#session, name, schema);
  }

  override batch(): Batch {
    return new Batch(this.#session);
  }

  override async transaction<T>(body: (tx: Transaction) => Promise<T> | T, options?: Record<string, never>): Promise<T> {
    checkOptions(options, "nested transaction", []);
    checkBody(body);
    return this.#session.nested(body);
  }
}
