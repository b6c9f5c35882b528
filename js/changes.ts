import { ABI, CHANGE, PAGE } from "./abi.gen.ts";
import { Cutoff, longCall } from "./cutoff.ts";
import { checkOptions, invalid, NacreError, shown } from "./errors.ts";
import { decodeText, viewOf } from "./heap.ts";
import type { Key } from "./keys.ts";
import type { Membrane } from "./membrane.ts";
import { decodeFields, decodeValue, readU32 } from "./rows.ts";
import { decodeSchema } from "./schema.ts";
import type { Follower, Session, Store } from "./store.ts";

/** Where a change stands: all changes of one batch have the same sequence. */
export interface ChangeBase {
  /** Of the commit. To go on after a restart give the last one that was dealt with whole as `since`. */
  sequence: bigint;
  /** Rises within the batch. */
  index: number;
  /** The membrane's present name. */
  name: string;
}

/** Something that was committed. */
export type Change = ChangeBase & (
  | { type: "put"; kind: "kv"; key: Key; value: any; expiresMs?: number }
  | { type: "put"; kind: "collection" | "table"; key: Key; record: Record<string, any>; expiresMs?: number }
  | { type: "delete"; kind: "kv" | "collection" | "table"; key: Key }
  /** Rows came in bulk, or in a transaction larger than memory: read the membrane to know them. */
  | { type: "load"; kind: "kv" | "collection" | "table" }
  /** A membrane was made, dropped or given another name; `name` is what it was called then. */
  | { type: "create"; kind: "kv" | "collection" | "table" }
  | { type: "drop" }
  | { type: "rename"; from: string });

export interface ChangesSyncOptions {
  /** Changes of later sequences than this; all that are kept when absent. */
  since?: bigint | undefined;
}

export interface ChangesOptions extends ChangesSyncOptions {
  /** Goes on with each commit, and without `since` begins with the next one. */
  live?: boolean | undefined;
  /** When it fires, the iterator rejects with ABORTED; the signal's reason is the `cause`. */
  signal?: AbortSignal | undefined;
}


const NUMBERS = new DataView(new ArrayBuffer(8));

function readU64(bytes: Uint8Array, at: number): bigint {
  for (let i = 0; i < 8; i++) NUMBERS.setUint8(i, bytes[at + i] as number);
  return NUMBERS.getBigUint64(0, true);
}

function checkSince(since: unknown): number | undefined {
  if (since === undefined) return undefined;
  if (typeof since !== "bigint" || since < 0n) throw invalid(`changes: since must be a bigint, 0n or more, not ${shown(since)}`);
  return Number(since < 2n ** 53n ? since : 2n ** 53n - 1n); // the engine says that it is in the future
}

/** Pages of changes, from the engine. */
class Reader {
  readonly #store: Store;
  readonly #pointer: number;

  constructor(store: Store, since: number) {
    this.#store = store;
    this.#pointer = store.engine.changesOpen(since);
  }

  /** The next changes; none: there is nothing newer for now. */
  page(): Change[] {
    const { engine } = this.#store;
    engine.changesPage(this.#pointer, PAGE.SIZE);
    const count = engine.answerCount;
    if (count === 0) return [];
    const bytes = engine.answerCopy(); // before the engine is asked for membranes
    const membranes = new Map<number, Membrane | undefined>();
    const changes: Change[] = [];
    for (let i = 0, at = 0; i < count; i++) {
      const keySize = readU32(bytes, at + 20), valueSize = readU32(bytes, at + 24), vectorSize = readU32(bytes, at + 28);
      const key = at + PAGE.CHANGE_HEAD, vector = key + ((keySize + 3) & ~3), value = vector + ((vectorSize + 3) & ~3);
      const id = readU32(bytes, at + 4);
      if (!membranes.has(id)) membranes.set(id, id === 0 ? undefined : this.#store.membraneById(id));
      changes.push(decodeChange(bytes, at, membranes.get(id), { key, keyEnd: key + keySize, vector, vectorSize, value, valueSize }));
      at = value + ((valueSize + 3) & ~3);
    }
    return changes;
  }

  close(): void {
    if (!this.#store.closed) this.#store.engine.changesClose(this.#pointer);
  }
}

interface Parts {
  key: number;
  keyEnd: number;
  vector: number;
  vectorSize: number;
  value: number;
  valueSize: number;
}

function decodeChange(bytes: Uint8Array, at: number, membrane: Membrane | undefined, parts: Parts): Change {
  const sequence = readU64(bytes, at + 8), index = readU32(bytes, at + 16);
  const text = (): string => decodeText(bytes, parts.key, parts.keyEnd - parts.key);
  const valueText = (): string => decodeText(bytes, parts.value, parts.valueSize);
  switch (readU32(bytes, at)) {
    case CHANGE.DROP:
      return { sequence, index, type: "drop", name: text() };
    case CHANGE.RENAME:
      return { sequence, index, type: "rename", name: text(), from: valueText() };
    case CHANGE.CREATE: {
      const { kind } = decodeSchema(bytes.slice(parts.value, parts.value + parts.valueSize));
      return { sequence, index, type: "create", name: text(), kind };
    }
  }
  if (membrane === undefined) throw new NacreError("INTERNAL", `changes: ${sequence}: a row of no membrane`);
  const { name, schema, keys } = membrane, { kind } = schema;
  if (readU32(bytes, at) === CHANGE.LOAD) return { sequence, index, type: "load", name, kind };
  const key = keys.decode(bytes, parts.key, parts.keyEnd);
  if (readU32(bytes, at) === CHANGE.DELETE) return { sequence, index, type: "delete", name, kind, key };
  const expires = readU64(bytes, at + 32), rest = expires === 0n ? {} : { expiresMs: Number(expires) };
  if (schema.kind === "kv") {
    const value = decodeValue(schema.value, bytes, parts.value, parts.valueSize, viewOf);
    return { sequence, index, type: "put", name, kind: "kv", key, value, ...rest };
  }
  const record: Record<string, unknown> = { key };
  if (parts.vectorSize > 0) record.vector = membrane.vectors?.read(bytes, parts.vector);
  decodeFields(schema.fields, undefined, bytes, parts.value, record, viewOf);
  return { sequence, index, type: "put", name, kind: schema.kind, key, record, ...rest };
}

/** What is kept and acknowledged at the first `next()`, from `since` on. */
export function* changesSync(session: Session, options?: ChangesSyncOptions): Generator<Change, void, undefined> {
  const since = checkSince(checkOptions(options, "changes", ["since"]).since);
  yield* retained(session, since);
}

function* retained(session: Session, since: number | undefined): Generator<Change, void, undefined> {
  const store = session.reading();
  store.settle();
  const end = BigInt(store.engine.acknowledged().sequence);
  const reader = new Reader(store, since ?? ABI.CHANGES_OLDEST);
  try {
    for (let page = reader.page(); page.length > 0; page = reader.page()) {
      for (const change of page) {
        if (change.sequence > end) return;
        yield change;
        session.check();
      }
    }
  } finally {
    reader.close();
  }
}

export function checkChanges(options: unknown): { since: number | undefined; live: boolean; signal: AbortSignal | undefined } {
  const given = checkOptions(options, "changes", ["since", "live", "signal"]);
  const since = checkSince(given.since);
  const { live = false } = given;
  if (typeof live !== "boolean") throw invalid(`changes: live must be true or false, not ${shown(live)}`);
  return { since, live, signal: longCall({ signal: given.signal }, "changes").signal };
}

/** Checks the options now; the rest begins with the first `next()`. */
export function changes(session: Session, options?: ChangesOptions): AsyncIterableIterator<Change> {
  const { since, live, signal } = checkChanges(options);
  session.check();
  if (!live) return once(session, since, signal);
  return new Live(session, since ?? session.reading().engine.sequence, signal);
}

async function* once(session: Session, since: number | undefined, signal: AbortSignal | undefined): AsyncGenerator<Change, void, undefined> {
  const cutoff = new Cutoff({ signal }, "changes");
  try {
    cutoff.check();
    for (const change of retained(session, since)) {
      yield change;
      cutoff.check();
    }
  } finally {
    cutoff.end();
  }
}

type Waiting = { resolve(result: IteratorResult<Change, undefined>): void; reject(error: unknown): void };

/**
 * Changes as they come.
 *
 * 1. It takes a page from the engine when its own is used up: at `next()`, and right after a
 *    commit, before anything else can happen to the log. So who keeps up never loses any.
 * 2. A page is all that it holds: who is slower than what is kept gets NOT_FOUND.
 * 3. It ends when the database is closed; what it holds is still given then.
 */
class Live implements AsyncIterableIterator<Change>, Follower {
  readonly #session: Session;
  readonly #since: number;
  readonly #cutoff: Cutoff;
  readonly #waiting: Waiting[] = [];
  #reader: Reader | undefined;
  #page: Change[] = [];
  #at = 0;
  #failure: { readonly error: unknown } | undefined;
  #ended = false;
  #unlisten: () => void = () => {};

  constructor(session: Session, since: number, signal: AbortSignal | undefined) {
    this.#session = session;
    this.#since = since;
    this.#cutoff = new Cutoff({ signal }, "changes");
    this.#cutoff.listen((reason) => this.#fail(reason));
    if (this.#cutoff.reason !== undefined) this.#fail(this.#cutoff.reason);
  }

  next(): Promise<IteratorResult<Change, undefined>> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.follow();
    });
  }

  async return(): Promise<IteratorResult<Change, undefined>> {
    this.#page = [];
    this.#at = 0;
    this.#failure = undefined;
    this.#end();
    this.#serve();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Something may have been committed. */
  follow(): void {
    this.#fill();
    this.#serve();
  }

  #fill(): void {
    if (this.#at < this.#page.length || this.#ended) return;
    try {
      if (this.#reader === undefined) this.#begin();
      this.#page = (this.#reader as Reader).page();
      this.#at = 0;
    } catch (error) {
      this.#fail(error);
    }
  }

  #begin(): void {
    const store = this.#session.reading();
    this.#reader = new Reader(store, this.#since);
    store.followers.add(this);
    this.#unlisten = this.#session.atClose(() => {
      store.settle();
      this.#fill();
      this.#end();
      this.#serve();
    });
  }

  #serve(): void {
    for (;;) {
      const waiting = this.#waiting[0];
      if (waiting === undefined) return;
      if (this.#at < this.#page.length) {
        this.#waiting.shift();
        waiting.resolve({ done: false, value: this.#page[this.#at++] as Change });
        this.#fill();
      } else if (this.#failure !== undefined) {
        this.#waiting.shift();
        waiting.reject(this.#failure.error);
        this.#failure = undefined; // once; then it is over
      } else if (this.#ended) {
        this.#waiting.shift();
        waiting.resolve({ done: true, value: undefined });
      } else {
        return;
      }
    }
  }

  #fail(error: unknown): void {
    if (this.#ended) return;
    this.#failure = { error };
    this.#page = [];
    this.#at = 0;
    this.#end();
    this.#serve();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cutoff.end();
    this.#unlisten();
    this.#session.store.followers.delete(this);
    this.#reader?.close();
  }
}

/** What is told of commits: usually of one; of several that share a sync. */
export interface Commit {
  /** Of the last one. */
  sequence: bigint;
  /** Rows; those of the catalog (membranes made, dropped, renamed) count as well. */
  puts: number;
  deletes: number;
}

class Listening implements Follower {
  readonly #store: Store;
  readonly #listener: (commit: Commit) => void;
  #told: { sequence: number; puts: number; deletes: number };

  constructor(store: Store, listener: (commit: Commit) => void) {
    this.#store = store;
    this.#listener = listener;
    this.#told = store.engine.acknowledged();
  }

  follow(): void {
    const told = this.#told, now = this.#store.engine.acknowledged();
    if (now.sequence <= told.sequence) return;
    this.#told = now;
    try {
      this.#listener({ sequence: BigInt(now.sequence), puts: now.puts - told.puts, deletes: now.deletes - told.deletes });
    } catch (error) {
      queueMicrotask(() => { throw error; }); // the commit is done: nobody there to be told
    }
  }
}

/** Calls `listener` after commits, until the function that it gives is called or the database is closed. */
export function onCommit(session: Session, listener: unknown): () => void {
  if (typeof listener !== "function") throw invalid(`onCommit takes a function, not ${shown(listener)}`);
  const store = session.reading();
  store.settle(); // what was written before is not told
  const listening = new Listening(store, listener as (commit: Commit) => void);
  store.followers.add(listening);
  const end = (): void => void store.followers.delete(listening);
  const unlisten = session.atClose(() => {
    store.settle();
    end();
  });
  return () => {
    end();
    unlisten();
  };
}
