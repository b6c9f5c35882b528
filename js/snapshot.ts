import { disposes } from "./dispose.ts";
import { Collection, CollectionSync } from "./collection.ts";
import type { Key } from "./keys.ts";
import { Kv, KvSync } from "./kv.ts";
import { openCollection, openKv } from "./membrane.ts";
import { readMembranes } from "./report.ts";
import type { MembraneInfo } from "./report.ts";
import type { CollectionSchema, KvSchema } from "./schema.ts";
import { Session } from "./store.ts";
import type { VectorOut } from "./vectors.ts";

/** One state of the database: its readers are frozen, its writers answer READONLY. */
export class SnapshotSync {
  readonly #session: Session;
  /** The database's sequence at this state. */
  readonly sequence: bigint;

  /** @internal */
  constructor(parent: Session) {
    const { engine } = parent.reading();
    const { pointer, sequence } = engine.snapshotOpen();
    this.#session = new Session(parent.store, true, "the snapshot is released", parent, pointer);
    this.sequence = BigInt(sequence);
  }

  kv<V = any, K extends Key = Key>(name: string, schema?: KvSchema): KvSync<V, K> {
    return new KvSync<V, K>(this.#session, openKv(this.#session, name, schema));
  }

  collection<F = Record<string, unknown>, K extends Key = Key, V extends VectorOut = Float32Array>(name: string, schema?: CollectionSchema<F>): CollectionSync<F, K, V> {
    return new CollectionSync<F, K, V>(this.#session, openCollection(this.#session, name, schema));
  }

  membranes(): MembraneInfo[] {
    return readMembranes(this.#session);
  }

  /** May be called twice. Afterwards its readers are CLOSED. */
  release(): void {
    if (this.#session.close()) this.#session.store.engine.snapshotRelease(this.#session.snapshot);
  }

  /** @internal */
  get session(): Session {
    return this.#session;
  }
}

/** One state of the database: its readers are frozen, its writers answer READONLY. */
export class Snapshot {
  readonly #sync: SnapshotSync;
  /** The database's sequence at this state. */
  readonly sequence: bigint;

  /** @internal */
  constructor(parent: Session, sync = new SnapshotSync(parent)) {
    this.#sync = sync;
    this.sequence = this.#sync.sequence;
  }

  async kv<V = any, K extends Key = Key>(name: string, schema?: KvSchema): Promise<Kv<V, K>> {
    return new Kv<V, K>(this.#sync.session, openKv(this.#sync.session, name, schema));
  }

  async collection<F = Record<string, unknown>, K extends Key = Key, V extends VectorOut = Float32Array>(name: string, schema?: CollectionSchema<F>): Promise<Collection<F, K, V>> {
    return new Collection<F, K, V>(this.#sync.session, openCollection(this.#sync.session, name, schema));
  }

  async membranes(): Promise<MembraneInfo[]> {
    return this.#sync.membranes();
  }

  /** May be called twice. Afterwards its readers are CLOSED. */
  async release(): Promise<void> {
    this.#sync.release();
  }
}

export interface SnapshotSync extends Disposable {}
export interface Snapshot extends AsyncDisposable, Disposable {}

disposes(SnapshotSync.prototype, "dispose", "release");
disposes(Snapshot.prototype, "dispose", "release");
disposes(Snapshot.prototype, "asyncDispose", "release");
