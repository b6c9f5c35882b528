import { AbstractLevel, AbstractSnapshot } from "abstract-level";
import type {
  AbstractBatchOperation, AbstractBatchOptions, AbstractChainedBatch, AbstractDatabaseOptions, AbstractDelOptions, AbstractOpenOptions,
  AbstractPutOptions,
} from "abstract-level";
import type { Database } from "./database.ts";
import { invalid, NacreError, shown } from "./errors.ts";
import { Kv } from "./kv.ts";
import { LevelError, levelError } from "./level-error.ts";
import { RemoteSession } from "./link.ts";
import { keyRange, LevelIterator, LevelKeys, levelRows, LevelState, LevelValues, wellFormed } from "./level-rows.ts";
import type { Formats, Formatted, RowsOptions } from "./level-rows.ts";
import { SHAPE } from "./membrane.ts";
import { open } from "./open.ts";
import type { OpenOptions } from "./open.ts";
import { RemoteKv } from "./remote-kv.ts";
import { SnapshotSync } from "./snapshot.ts";
import type { Session } from "./store.ts";
import type { Writer } from "./writer.ts";

/** abstract-level's options and those of `open`; a `mode` takes the place of createIfMissing and errorIfExists. */
export interface NacreLevelOpenOptions extends AbstractOpenOptions, OpenOptions {}

export interface NacreLevelOptions<K, V> extends AbstractDatabaseOptions<K, V>, OpenOptions {}

/** For writes. */
export interface NacreLevelSync {
  /** Resolves when the write is on disk, also where `durability` asks for less. */
  sync?: boolean | undefined;
}

interface ReadOptions extends Formats {
  readonly snapshot?: unknown;
}

interface WriteOptions extends Formats, NacreLevelSync {}

interface Operation extends Formats {
  readonly type: "put" | "del";
  readonly key: Formatted;
  readonly value: Formatted;
}

/** Begun at once, as abstract-level wants it. */
function remoteSnapshot(session: RemoteSession): { readonly session: Session; release(): void } {
  const { link } = session, handle = link.handle();
  session.check();
  session.ask("snapshot", [], undefined, handle).catch(() => {}); // told by what is read of it
  const own = new RemoteSession(link, handle, true, "the snapshot is released", session, handle);
  return {
    session: own,
    release: () => {
      if (own.close()) link.drop(handle);
    },
  };
}

/** The membrane that the rows are in. */
const MEMBRANE = "level";
const OPEN_OPTIONS: readonly string[] = ["durability", "memory", "storage", "marker", "from", "shards", "wasm", "signal", "timeoutMs"];
const CLEAR_BATCH = 1 << 20; // bytes of a batch, where rows are removed one by one

/** What is there. Its type does not know all of its members. */
function manifest(inFile: boolean): object {
  return {
    encodings: { utf8: true, view: true },
    seek: true,
    has: true,
    getSync: true,
    explicitSnapshots: true,
    permanence: inFile,
    createIfMissing: inFile,
    errorIfExists: inFile,
    signals: { iterators: true },
  };
}

class LevelSnapshot extends (AbstractSnapshot as new (options: object) => AbstractSnapshot) {
  /** Of the database it was taken of. */
  readonly origin: LevelState;
  readonly state: LevelState;
  readonly #snapshot: { readonly session: Session; release(): void };

  constructor(origin: LevelState, options: object) {
    super(options);
    const { session } = origin;
    this.origin = origin;
    this.#snapshot = session instanceof RemoteSession ? remoteSnapshot(session) : new SnapshotSync(session);
    this.state = new LevelState(this.#snapshot.session, origin.membrane("view"));
  }

  async _close(): Promise<void> {
    this.#snapshot.release();
  }
}

/**
 * An [abstract-level](https://github.com/Level/abstract-level) database in a Nacre file.
 *
 * 1. Its rows are those of the key-value membrane "level", with bytes as keys and values.
 *    `open` of this package gives a second handle on the same file, for all else.
 * 2. A promise of a write resolves when it is as durable as `durability` says. Writes that
 *    are not awaited stay in order and share one sync. A batch is atomic.
 * 3. Iterators see the state of their creation, or that of the snapshot they are given.
 */
export class NacreLevel<KDefault = string, VDefault = string> extends AbstractLevel<string | Uint8Array, KDefault, VDefault> {
  readonly #location: string | URL;
  #database: Database | undefined;
  #state: LevelState | undefined;

  /** `location` is what `open` takes: a path or file: URL, or ":memory:". */
  constructor(location: string | URL, options?: NacreLevelOptions<KDefault, VDefault>) {
    if (!(location instanceof URL) && (typeof location !== "string" || location === "")) {
      throw invalid(`NacreLevel: the location must be a string that is not empty, or a file: URL, not ${shown(location)}`);
    }
    super(manifest(location !== ":memory:"), options);
    this.#location = location;
  }

  /** As it was given to the constructor. */
  get location(): string | URL {
    return this.#location;
  }

  // ---- What abstract-level calls, when the database is open, with keys and values in their format ----

  /** @internal */
  async _open(options: Record<string, unknown>): Promise<void> {
    const { createIfMissing, errorIfExists } = options;
    const mode = createIfMissing !== true ? "existing" : errorIfExists === true ? "create" : "readwrite";
    const given: Record<string, unknown> = { mode: options.mode ?? mode };
    for (const name of OPEN_OPTIONS) if (options[name] !== undefined) given[name] = options[name];
    try {
      const database = await open(this.#location, given as OpenOptions);
      try {
        if (options.mode === undefined && mode === "existing" && errorIfExists === true) {
          throw new NacreError("EXISTS", `${String(this.#location)} exists`);
        }
        const { session, shape } = (await database.kv(MEMBRANE, { key: "bytes", value: "bytes" }))[SHAPE];
        this.#state = new LevelState(session, shape.membrane);
        this.#database = database;
      } catch (error) {
        await database.close();
        throw error;
      }
    } catch (error) {
      throw levelError(error);
    }
  }

  /** @internal */
  async _close(): Promise<void> {
    const database = this.#database;
    this.#database = this.#state = undefined;
    await database?.close();
  }

  #now(): LevelState {
    if (this.#state === undefined) throw new LevelError("LEVEL_DATABASE_NOT_OPEN", "Database is not open");
    return this.#state;
  }

  /** The state that a read sees. */
  #at(snapshot: unknown): LevelState {
    const now = this.#now();
    if (snapshot === undefined || snapshot === null) return now;
    if (snapshot instanceof LevelSnapshot && snapshot.origin === now) return snapshot.state;
    throw invalid("the snapshot is of another database");
  }

  /** @internal */
  _getSync(key: Formatted, { keyEncoding, valueEncoding, snapshot }: ReadOptions): Formatted | undefined {
    try {
      const face = this.#at(snapshot).face(keyEncoding, valueEncoding);
      if (face instanceof Kv) throw new NacreError("UNSUPPORTED", "getSync: another realm has the files, and answers later");
      return face.get(wellFormed(key));
    } catch (error) {
      throw levelError(error);
    }
  }

  /** @internal */
  async _get(key: Formatted, { keyEncoding, valueEncoding, snapshot }: ReadOptions): Promise<Formatted | undefined> {
    try {
      return await this.#at(snapshot).face(keyEncoding, valueEncoding).get(wellFormed(key));
    } catch (error) {
      throw levelError(error);
    }
  }

  /** @internal */
  async _getMany(keys: readonly Formatted[], { keyEncoding, valueEncoding, snapshot }: ReadOptions): Promise<(Formatted | undefined)[]> {
    try {
      return await this.#at(snapshot).face(keyEncoding, valueEncoding).getMany(keys.map(wellFormed));
    } catch (error) {
      throw levelError(error);
    }
  }

  /** @internal */
  async _has(key: Formatted, options: ReadOptions): Promise<boolean> {
    return (await this._hasMany([key], options))[0] === true;
  }

  /** @internal */
  async _hasMany(keys: readonly Formatted[], { keyEncoding, snapshot }: ReadOptions): Promise<boolean[]> {
    try {
      const face = this.#at(snapshot).face(keyEncoding, "view");
      return await Promise.all(keys.map((key) => face.has(wellFormed(key))));
    } catch (error) {
      throw levelError(error);
    }
  }

  /** @internal */
  _put(key: Formatted, value: Formatted, options: WriteOptions): Promise<void> {
    return this.#write(options, (writer, state) => state.put(writer, key, value, options));
  }

  /** @internal */
  _del(key: Formatted, options: WriteOptions): Promise<void> {
    return this.#write(options, (writer, state) => state.del(writer, key, options));
  }

  /** @internal */
  _batch(operations: readonly Operation[], options: NacreLevelSync): Promise<void> {
    return this.#write(options, (writer, state) => {
      for (const operation of operations) {
        if (operation.type === "put") state.put(writer, operation.key, operation.value, operation);
        else state.del(writer, operation.key, operation);
      }
    });
  }

  async #write({ sync }: NacreLevelSync, fill: (writer: Writer, state: LevelState) => void): Promise<void> {
    try {
      const state = this.#now(), { session } = state;
      await session.enqueue(state.membrane("view"), undefined, (writer) => fill(writer, state));
      if (sync !== true) return;
      if (session instanceof RemoteSession) await session.call("flush");
      else if (session.store.durability !== "strict") session.reading().engine.flush();
    } catch (error) {
      throw levelError(error);
    }
  }

  /** @internal */
  async _clear(options: RowsOptions & ReadOptions): Promise<void> {
    try {
      const now = this.#now(), state = this.#at(options.snapshot), membrane = now.membrane(options.keyEncoding);
      if (options.limit < 0 && state === now) {
        const { session } = now;
        await (session instanceof RemoteSession ? new RemoteKv(session, membrane) : new Kv(session, membrane)).clear(keyRange(options));
        return;
      }
      const rows = levelRows(state, options, true);
      try {
        for (let left = options.limit, more = left !== 0 && await rows.step(); more;) {
          const keys: Formatted[] = [];
          for (let size = 0; more && size < CLEAR_BATCH; size += 64 + (keys[keys.length - 1] as Formatted).length) {
            keys.push(rows.key());
            more = --left !== 0 && await rows.step();
          }
          await now.session.enqueue(membrane, undefined, (writer) => {
            for (const key of keys) membrane.delete(writer, key);
          });
        }
      } finally {
        rows.close();
      }
    } catch (error) {
      throw levelError(error);
    }
  }

  /** @internal */
  _iterator(options: RowsOptions & ReadOptions): object {
    return new LevelIterator(this, this.#at(options.snapshot), options);
  }

  /** @internal */
  _keys(options: RowsOptions & ReadOptions): object {
    return new LevelKeys(this, this.#at(options.snapshot), options);
  }

  /** @internal */
  _values(options: RowsOptions & ReadOptions): object {
    return new LevelValues(this, this.#at(options.snapshot), options);
  }

  /** @internal */
  _snapshot(options: object): AbstractSnapshot {
    return new LevelSnapshot(this.#now(), options);
  }
}

export interface NacreLevel<KDefault = string, VDefault = string> {
  open(): Promise<void>;
  open(options: NacreLevelOpenOptions): Promise<void>;
  put(key: KDefault, value: VDefault): Promise<void>;
  put<K = KDefault, V = VDefault>(key: K, value: V, options: AbstractPutOptions<K, V> & NacreLevelSync): Promise<void>;
  del(key: KDefault): Promise<void>;
  del<K = KDefault>(key: K, options: AbstractDelOptions<K> & NacreLevelSync): Promise<void>;
  batch(operations: AbstractBatchOperation<this, KDefault, VDefault>[]): Promise<void>;
  batch<K = KDefault, V = VDefault>(
    operations: AbstractBatchOperation<this, K, V>[], options: AbstractBatchOptions<K, V> & NacreLevelSync): Promise<void>;
  batch(): AbstractChainedBatch<this, KDefault, VDefault>;
}
