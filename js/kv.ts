
import { RECORD } from "./abi.gen.ts";
import { bulkLoad, bulkLoadSync } from "./bulk.ts";
import type { PutRow } from "./bulk.ts";
import { invalid, shown } from "./errors.ts";
import { EXPIRY_ROOM, expiryOf, writeExpiry } from "./expiry.ts";
import type { Expiry, PutOptions } from "./expiry.ts";
import type { Bounds, Key, KeyRange, Range } from "./keys.ts";
import { PageRow, SHAPE } from "./membrane.ts";
import type { Membrane, Shape, Shaped } from "./membrane.ts";
import { AsyncRows, Rows } from "./iterate.ts";
import { viewOf } from "./heap.ts";
import type { Cut } from "./heap.ts";
import { decodeValue, plainRoom, plainValue, writePlain, writeU32 } from "./rows.ts";
import type { Session } from "./store.ts";
import { getStream, getStreamSync, putStream, putStreamSync } from "./stream.ts";
import type { ByteSource, PutStreamOptions, StreamRange } from "./stream.ts";
import type { Writer } from "./writer.ts";

const NONE = new Uint8Array(0);
const GET_MANY_INPUT = 64 * 1024;

/** How rows of a key-value membrane are written. */
export class KvShape implements Shape {
  readonly membrane: Membrane;
  #key: unknown;
  readonly #what = (): string => `${this.membrane.name}: put ${shown(this.#key)}`;

  constructor(membrane: Membrane) {
    this.membrane = membrane;
  }

  put(writer: Writer, values: readonly unknown[]): void {
    if (values.length !== 2 && values.length !== 3) throw invalid(`${this.membrane.name}: put takes a key, a value, and options`);
    this.putRow(writer, values[0], values[1], values[2]);
  }

  putRow(writer: Writer, key: unknown, value: unknown, options: unknown): void {
    this.#key = key;
    this.#write(writer, key, value, expiryOf(options, this.membrane.schema.storage, this.#what));
  }

  #write(writer: Writer, key: unknown, value: unknown, expiry: Expiry): void {
    const { keys, schema, id } = this.membrane;
    this.#key = key;
    const plain = plainValue(schema.value, value, this.#what);
    this.#key = key; // the value may have run the caller's code
    const start = writer.recordBegin(keys.room(key) + EXPIRY_ROOM + plainRoom(plain, this.#what), id);
    const { bytes } = writer;
    const keyEnd = keys.encode(key, bytes, writer.at);
    const at = writeExpiry(expiry, bytes, keyEnd);
    writer.recordEnd(start, keyEnd, writePlain(plain, bytes, at, this.#what), expiry === 0 ? 0 : RECORD.EXPIRES);
  }

  putRows(writer: Writer, rows: unknown, options: unknown): void {
    const expiry = expiryOf(options, this.membrane.schema.storage, () => `${this.membrane.name}: putMany`);
    for (const pair of iterable(rows, `${this.membrane.name}: putMany takes an iterable of [key, value] pairs`)) {
      this.#putPair(writer, pair, "putMany", expiry);
    }
  }

  /** What writes the rows of a bulk load. */
  loading(options: unknown): PutRow {
    const expiry = expiryOf(options, this.membrane.schema.storage, () => `${this.membrane.name}: bulkLoad`);
    return (writer, pair) => this.#putPair(writer, pair, "bulkLoad", expiry);
  }

  #putPair(writer: Writer, pair: unknown, verb: string, expiry: Expiry): void {
    if (!Array.isArray(pair) || pair.length !== 2) {
      throw invalid(`${this.membrane.name}: ${verb} takes [key, value] pairs, not ${shown(pair)}`);
    }
    this.#write(writer, pair[0], pair[1], expiry);
  }
}

/** Refuses what cannot be iterated; text can, but nobody means its letters. */
export function iterable(given: unknown, what: string): Iterable<unknown> {
  if (typeof given === "object" && given !== null && Symbol.iterator in given) return given as Iterable<unknown>;
  throw invalid(`${what}, not ${shown(given)}`);
}

/** Checks `reverse` and `limit` of options that `bounds` has accepted. */
export function order(options: unknown, what: string): { reverse: boolean; limit: number } {
  const { reverse = false, limit = Infinity } = (options ?? {}) as { reverse?: unknown; limit?: unknown };
  if (typeof reverse !== "boolean") throw invalid(`${what}: reverse must be true or false, not ${shown(reverse)}`);
  if (typeof limit !== "number" || !(limit >= 0) || (!Number.isInteger(limit) && limit !== Infinity)) {
    throw invalid(`${what}: limit must be a whole number, 0 or more, not ${shown(limit)}`);
  }
  return { reverse, limit };
}

/**
 * A key-value membrane, synchronously.
 *
 * 1. Values come back as they were given. Small bytes share one buffer, as Node's Buffer does.
 * 2. Iterators see the state of their first `next()`.
 */
export class KvSync<V = any, K extends Key = Key> implements Shaped {
  readonly [SHAPE]: { readonly session: Session; readonly shape: KvShape };
  readonly #session: Session;
  readonly #membrane: Membrane;
  readonly #shape: KvShape;
  readonly #cut: Cut;

  /** @internal */
  constructor(session: Session, membrane: Membrane) {
    this.#session = session;
    this.#membrane = membrane;
    this.#shape = new KvShape(membrane);
    this[SHAPE] = { session, shape: this.#shape };
    const { heap } = session.store.engine;
    this.#cut = (_bytes, at, size) => heap.cut(at, size);
  }

  get name(): string {
    return this.#membrane.name;
  }

  put(key: K, value: V, options?: PutOptions): void {
    this.#session.commit(this.#membrane, (writer) => this.#shape.putRow(writer, key, value, options));
  }

  /** Any iterable of pairs, as one atomic batch. */
  putMany(rows: Iterable<readonly [K, V]>, options?: PutOptions): void {
    this.#session.commit(this.#membrane, (writer) => this.#shape.putRows(writer, rows, options));
  }

  /** undefined when absent. */
  get(key: K): V | undefined {
    const membrane = this.#membrane, session = this.#session;
    const { engine } = session.reading(membrane);
    if (!engine.get(membrane.pointer, session.snapshot, membrane.putKey(session, key))) return undefined;
    return decodeValue(membrane.schema.value, engine.heap.u8, engine.answerData, engine.answerSize, this.#cut) as V;
  }

  /** The values in the order of the keys; undefined where there is none. */
  getMany(keys: Iterable<K>): (V | undefined)[] {
    const membrane = this.#membrane, session = this.#session;
    const all: unknown[] = [...iterable(keys, `${membrane.name}: getMany takes an iterable of keys`)];
    const { engine } = session.reading(membrane);
    const { heap } = engine;
    const values: (V | undefined)[] = [];
    const row = new PageRow();
    while (values.length < all.length) {
      let at = engine.input, count = 0;
      const end = at + GET_MANY_INPUT;
      for (let i = values.length; i < all.length && (count === 0 || at + membrane.keys.room(all[i]) + 8 <= end); i++, count++) {
        const keyEnd = membrane.keys.encode(all[i], heap.u8, at + 4);
        writeU32(keyEnd - at - 4, heap.u8, at);
        at = (keyEnd + 3) & ~3;
      }
      engine.getMany(membrane.pointer, session.snapshot, count, at - engine.input);
      const found = engine.answerCount;
      for (let i = 0, page = engine.answerData; i < found; i++, page = row.next) {
        row.read(heap.u8, page);
        values.push(row.absent ? undefined
          : decodeValue(membrane.schema.value, heap.u8, row.value, row.valueSize, this.#cut) as V);
      }
    }
    return values;
  }

  has(key: K): boolean {
    const membrane = this.#membrane, session = this.#session;
    const { engine } = session.reading(membrane);
    return engine.has(membrane.pointer, session.snapshot, membrane.putKey(session, key));
  }

  /** Whether it was there; this costs a look-up. */
  delete(key: K): boolean {
    this.#session.writing(this.#membrane);
    if (!this.has(key)) return false;
    this.#session.commit(this.#membrane, (writer) => this.#membrane.delete(writer, key));
    return true;
  }

  /** The number of rows removed; without a range, all. */
  clear(range?: KeyRange<K>): number {
    const bounds = this.#bounds(range, "clear");
    this.#session.writing(this.#membrane);
    return bounds.empty ? 0 : this.#session.remove(this.#membrane, bounds.low, bounds.high, NONE);
  }

  /** Counts by going through the keys: milliseconds per 10 000 rows. */
  count(range?: KeyRange<K>): number {
    const bounds = this.#bounds(range, "count");
    const { engine } = this.#session.reading(this.#membrane);
    if (bounds.empty) return 0;
    return engine.count(this.#membrane.pointer, this.#session.snapshot, bounds.low, bounds.high, NONE);
  }

  entries(range?: Range<K>): IterableIterator<[K, V]> {
    const { membrane } = this.#shape;
    const type = membrane.schema.value;
    return this.#iterate(range, "entries", false, (row): [K, V] => [
      membrane.keys.decode(row.bytes, row.key, row.keyEnd, viewOf) as K,
      decodeValue(type, row.bytes, row.value, row.valueSize, viewOf) as V,
    ]);
  }

  keys(range?: Range<K>): IterableIterator<K> {
    const { keys } = this.#membrane;
    return this.#iterate(range, "keys", true, (row) => keys.decode(row.bytes, row.key, row.keyEnd, viewOf) as K);
  }

  values(range?: Range<K>): IterableIterator<V> {
    const type = this.#membrane.schema.value;
    return this.#iterate(range, "values", false, (row) => decodeValue(type, row.bytes, row.value, row.valueSize, viewOf) as V);
  }

  /**
   * Pairs in the order of their keys, several times as fast as `putMany`; gives their number.
   *
   * 1. They become visible all at once, durable, when the last one was read; when anything
   *    fails, nothing has changed.
   * 2. They are newer than what was there then.
   */
  bulkLoad(rows: Iterable<readonly [K, V]>, options?: PutOptions): number {
    return bulkLoadSync(this.#session, this.#membrane, rows, this.#shape.loading(options));
  }

  /** Puts bytes that come in pieces, up to 4 GiB of them, without holding them all. */
  putStream(key: K, source: Iterable<Uint8Array>, options?: PutStreamOptions): void {
    putStreamSync(this.#session, this.#membrane, key, source, options);
  }

  /** The bytes of a value, or of a part of it, in pieces; undefined when absent. */
  getStream(key: K, range?: StreamRange): IterableIterator<Uint8Array> | undefined {
    return getStreamSync(this.#session, this.#membrane, key, range);
  }

  [Symbol.iterator](): IterableIterator<[K, V]> {
    return this.entries();
  }

  #iterate<T>(range: unknown, verb: string, keysOnly: boolean, decode: (row: PageRow) => T): IterableIterator<T> {
    const what = `${this.#membrane.name}: ${verb}`;
    const bounds = this.#membrane.keys.bounds(range, what, ["reverse", "limit"]);
    const rows = new Rows(this.#session, this.#membrane, bounds, { ...order(range, what), keysOnly }, decode);
    this.#session.check();
    return rows;
  }

  #bounds(range: unknown, verb: string): Bounds {
    return this.#membrane.keys.bounds(range, `${this.#membrane.name}: ${verb}`);
  }
}

/**
 * A key-value membrane.
 *
 * 1. A promise of a write resolves when it is as durable as the database's level says.
 *    Writes that are not awaited stay in order and share one sync.
 * 2. Values come back as they were given. Small bytes share one buffer, as Node's Buffer does.
 * 3. Iterators see the state of their first `next()`.
 */
export class Kv<V = any, K extends Key = Key> implements Shaped {
  readonly [SHAPE]: { readonly session: Session; readonly shape: KvShape };
  readonly #session: Session;
  readonly #membrane: Membrane;
  readonly #shape: KvShape;
  readonly #sync: KvSync<V, K>;

  /** @internal */
  constructor(session: Session, membrane: Membrane, sync = new KvSync<V, K>(session, membrane)) {
    this.#session = session;
    this.#membrane = membrane;
    this.#sync = sync;
    this[SHAPE] = sync[SHAPE];
    this.#shape = this[SHAPE].shape;
  }

  get name(): string {
    return this.#membrane.name;
  }

  async put(key: K, value: V, options?: PutOptions): Promise<void> {
    return this.#session.enqueue(this.#membrane, undefined, (writer) => this.#shape.putRow(writer, key, value, options));
  }

  /** Any iterable of pairs, as one atomic batch. */
  async putMany(rows: Iterable<readonly [K, V]>, options?: PutOptions): Promise<void> {
    return this.#session.enqueue(this.#membrane, undefined, (writer) => this.#shape.putRows(writer, rows, options));
  }

  /** undefined when absent. */
  async get(key: K): Promise<V | undefined> {
    return this.#sync.get(key);
  }

  /** The values in the order of the keys; undefined where there is none. */
  async getMany(keys: Iterable<K>): Promise<(V | undefined)[]> {
    return this.#sync.getMany(keys);
  }

  async has(key: K): Promise<boolean> {
    return this.#sync.has(key);
  }

  /** Whether it was there; this costs a look-up. */
  async delete(key: K): Promise<boolean> {
    this.#session.writing(this.#membrane);
    if (!this.#sync.has(key)) return false;
    return this.#session.enqueue(this.#membrane, true, (writer) => this.#membrane.delete(writer, key));
  }

  /** The number of rows removed; without a range, all. */
  async clear(range?: KeyRange<K>): Promise<number> {
    const bounds = this.#membrane.keys.bounds(range, `${this.#membrane.name}: clear`);
    this.#session.writing(this.#membrane);
    return bounds.empty ? 0 : this.#session.removeSoon(this.#membrane, bounds.low, bounds.high, NONE);
  }

  /** Counts by going through the keys: milliseconds per 10 000 rows. */
  async count(range?: KeyRange<K>): Promise<number> {
    return this.#sync.count(range);
  }

  entries(range?: Range<K>): AsyncIterableIterator<[K, V]> {
    return new AsyncRows(this.#sync.entries(range));
  }

  keys(range?: Range<K>): AsyncIterableIterator<K> {
    return new AsyncRows(this.#sync.keys(range));
  }

  values(range?: Range<K>): AsyncIterableIterator<V> {
    return new AsyncRows(this.#sync.values(range));
  }

  /**
   * Pairs in the order of their keys, from any iterable or async iterable, several times as
   * fast as `putMany`; gives their number.
   *
   * 1. They become visible all at once, durable, when the last one was read; when anything
   *    fails, nothing has changed. Other calls go on meanwhile.
   * 2. They are newer than what was there then, also than what was put meanwhile.
   */
  async bulkLoad(rows: Iterable<readonly [K, V]> | AsyncIterable<readonly [K, V]>, options?: PutOptions): Promise<number> {
    return bulkLoad(this.#session, this.#membrane, rows, this.#shape.loading(options));
  }

  /** Puts bytes that come in pieces, up to 4 GiB of them, without holding them all. */
  async putStream(key: K, source: ByteSource, options?: PutStreamOptions): Promise<void> {
    return putStream(this.#session, this.#membrane, key, source, options);
  }

  /** The bytes of a value, or of a part of it, as a stream of one state; undefined when absent. */
  async getStream(key: K, range?: StreamRange): Promise<ReadableStream<Uint8Array> | undefined> {
    return getStream(this.#session, this.#membrane, key, range);
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<[K, V]> {
    return this.entries();
  }
}
