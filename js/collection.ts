import { ABI, LIMIT, RECORD } from "./abi.gen.ts";
import { bulkLoad, bulkLoadSync } from "./bulk.ts";
import type { PutRow } from "./bulk.ts";
import { checkOptions, invalid, NacreError, shown } from "./errors.ts";
import { EXPIRY_ROOM, expiryOf, writeExpiry } from "./expiry.ts";
import type { Expiry, PutOptions } from "./expiry.ts";
import { viewOf } from "./heap.ts";
import type { Cut } from "./heap.ts";
import type { Key } from "./keys.ts";
import { AsyncRows, Rows } from "./iterate.ts";
import { iterable, order } from "./kv.ts";
import { PageRow, SHAPE } from "./membrane.ts";
import type { Membrane, Shape, Shaped } from "./membrane.ts";
import { decodeFields, plainField, plainFieldRoom, readU32, writeField, writeU32 } from "./rows.ts";
import type { PlainField } from "./rows.ts";
import { FIELD_TYPES } from "./schema.ts";
import type { Field } from "./schema.ts";
import type { Session } from "./store.ts";
import { pathName, searchRequest } from "./search.ts";
import type { Explanation, Include, SearchOptions, SearchRequest } from "./search.ts";
import type { VectorCodec, VectorIn, VectorOut } from "./vectors.ts";
import { encodeWhere } from "./where.ts";
import type { Where } from "./where.ts";
import type { Writer } from "./writer.ts";

/** What a record's fields may be given as: absent ones are null. */
export type FieldsIn<F> = { readonly [Name in keyof F]?: F[Name] | null | undefined };

/** A record as it is put. */
export type RecordIn<F = Record<string, unknown>, K extends Key = Key> =
  { readonly key: K; readonly vector: VectorIn } & FieldsIn<F>;

/** A record as it is given back. */
export type RecordOut<F = Record<string, unknown>, K extends Key = Key, V extends VectorOut = Float32Array> =
  { key: K; vector: V } & { [Name in keyof F]: F[Name] | null };

/** A record, or the parts of it that `include` names. */
export type RecordPart<F = Record<string, unknown>, K extends Key = Key, V extends VectorOut = Float32Array> =
  { key: K; vector?: V } & { [Name in keyof F]?: F[Name] | null };

/** A record found by a search. */
export type Hit<F = Record<string, unknown>, K extends Key = Key, V extends VectorOut = Float32Array> =
  { key: K; distance: number } & RecordPart<F, K, V>;

/** Records by columns. */
export interface Columns<F = Record<string, unknown>, K extends Key = Key> {
  readonly keys: readonly K[];
  /** n × dimensions numbers; of bits n × the bytes of one. */
  readonly vectors: Float32Array | Int8Array | Uint8Array;
  readonly fields?: { readonly [Name in keyof F]?: ArrayLike<F[Name] | null | undefined> } | undefined;
}

export interface RecordsOptions<F = Record<string, unknown>> {
  where?: Where<F> | undefined;
  /** All fields and no vector when absent; [] for neither. */
  include?: Include<F> | undefined;
  reverse?: boolean | undefined;
  limit?: number | undefined;
}

const NONE = new Uint8Array(0);
const QUERIES_INPUT = 4 << 20; // bytes of queries that go to the engine at once
const EVERYTHING = { low: NONE, high: NONE, empty: false };

/** How records of a collection are written and read. */
export class CollectionShape implements Shape {
  readonly membrane: Membrane;
  readonly vectors: VectorCodec;
  readonly #index = new Map<string, number>();
  #key: unknown;
  readonly #what = (): string => `${this.membrane.name}: put ${shown(this.#key)}`;

  constructor(membrane: Membrane) {
    this.membrane = membrane;
    this.vectors = membrane.vectors as VectorCodec;
    membrane.schema.fields.forEach(({ name }, i) => this.#index.set(name, i));
  }

  get fields(): readonly Field[] {
    return this.membrane.schema.fields;
  }

  put(writer: Writer, values: readonly unknown[]): void {
    if (values.length !== 1 && values.length !== 2) throw invalid(`${this.membrane.name}: put takes a record, or an array of records, and options`);
    this.putRecords(writer, values[0], values[1]);
  }

  expiry(options: unknown, verb: string): Expiry {
    return expiryOf(options, this.membrane.schema.storage, () => `${this.membrane.name}: ${verb}`);
  }

  putRecords(writer: Writer, given: unknown, options: unknown): void {
    const expiry = this.expiry(options, "put");
    if (Array.isArray(given)) for (const record of given) this.#putRecord(writer, record, expiry);
    else this.#putRecord(writer, given, expiry);
  }

  /** What writes the records of a bulk load. */
  loading(options: unknown): PutRow {
    const expiry = this.expiry(options, "bulkLoad");
    return (writer, record) => this.#putRecord(writer, record, expiry);
  }

  #putRecord(writer: Writer, given: unknown, expiry: Expiry): void {
    if (typeof given !== "object" || given === null || Array.isArray(given)) {
      throw invalid(`${this.membrane.name}: a record must be an object { key, vector, ... }, not ${shown(given)}`);
    }
    const { key, vector, ...rest } = given as Record<string, unknown>;
    this.#key = key;
    if (key === undefined) throw invalid(`${this.membrane.name}: put: a record needs its key`);
    if (vector === undefined) throw invalid(`${this.#what()}: a record needs its vector`);
    // Fields first: reading JSON may run the caller's code, and nothing may change a vector
    // after it was checked.
    const plain = this.plainFields(rest, this.#what, new Array<PlainField>(this.fields.length).fill(null));
    const bytes = this.vectors.plain(vector, this.#what);
    this.#write(writer, key, bytes, plain as PlainField[], expiry, this.#what);
  }

  /** Checks the named fields and puts them into `into` by index. */
  plainFields<Slot>(given: Record<string, unknown>, what: () => string, into: (PlainField | Slot)[]): (PlainField | Slot)[] {
    for (const [name, value] of Object.entries(given)) {
      const index = this.#index.get(name);
      if (index === undefined) throw this.unknownField(name, what());
      into[index] = plainField(this.fields[index] as Field, value, what);
    }
    return into;
  }

  unknownField(name: string, what: string): NacreError {
    const known = this.fields.map((field) => field.name).join(", ");
    return invalid(`${what}: unknown field ${JSON.stringify(name)}${known === "" ? " (there are none)" : ` (there are ${known})`}`);
  }

  putColumns(writer: Writer, given: unknown, options: unknown): void {
    const what = `${this.membrane.name}: putMany`;
    const expiry = this.expiry(options, "putMany");
    if (typeof given !== "object" || given === null || Symbol.iterator in given) {
      throw invalid(`${what} takes { keys, vectors, fields }, not ${shown(given)}; put takes an array of records`);
    }
    const { keys, vectors, fields = {} } = checkOptions(given, what, ["keys", "vectors", "fields"]);
    const all: unknown[] = [...iterable(keys, `${what}: keys must be an array`)];
    const { dimensions, length } = this.vectors;
    const column = this.vectors.column(vectors, what);
    if (column.length !== all.length * length) {
      throw invalid(`${what}: vectors has ${column.length} ${length === dimensions ? "numbers" : "bytes"}, ${all.length} keys of ${dimensions} dimensions need ${all.length * length}`);
    }
    const columns = this.#columns(fields, all.length, what);
    for (let row = 0; row < all.length; row++) {
      this.#key = all[row];
      if (this.#key === undefined) throw invalid(`${what}: keys[${row}] is undefined`);
      const plain = columns.map((column, i) =>
        column === undefined ? null : plainField(this.fields[i] as Field, column[row], this.#what));
      this.#write(writer, all[row], this.vectors.plainAt(column, row * length, this.#what), plain, expiry, this.#what);
    }
  }

  #columns(given: unknown, rows: number, what: string): (ArrayLike<unknown> | undefined)[] {
    const columns = new Array<ArrayLike<unknown> | undefined>(this.fields.length).fill(undefined);
    if (typeof given !== "object" || given === null || Array.isArray(given)) throw invalid(`${what}: fields must be an object of arrays`);
    for (const [name, column] of Object.entries(given as Record<string, unknown>)) {
      const index = this.#index.get(name);
      if (index === undefined) throw this.unknownField(name, what);
      if (column === undefined) continue;
      if (!Array.isArray(column) && !(ArrayBuffer.isView(column) && !(column instanceof DataView))) {
        throw invalid(`${what}: fields.${name} must be an array, not ${shown(column)}`);
      }
      const list = column as unknown as ArrayLike<unknown>;
      if (list.length !== rows) throw invalid(`${what}: fields.${name} has ${list.length} values, there are ${rows} keys`);
      columns[index] = list;
    }
    return columns;
  }

  #write(writer: Writer, key: unknown, vector: Uint8Array, plain: readonly PlainField[],
         expiry: Expiry, what: () => string): void {
    const { keys, id } = this.membrane;
    const vectorSize = vector.length;
    let room = keys.room(key) + EXPIRY_ROOM + 4 + vectorSize;
    for (const value of plain) room += plainFieldRoom(value, what);
    const start = writer.recordBegin(room, id);
    const { bytes } = writer;
    const keyEnd = keys.encode(key, bytes, writer.at);
    let at = writeExpiry(expiry, bytes, keyEnd);
    writeU32(vectorSize, bytes, at);
    bytes.set(vector, at + 4);
    at += 4 + vectorSize;
    for (let i = 0; i < plain.length; i++) {
      at = writeField(FIELD_TYPES[(this.fields[i] as Field).type], plain[i] as PlainField, bytes, at, what);
    }
    if (at - keyEnd > LIMIT.VALUE_SIZE) throw invalid(`${what()}: a record of ${at - keyEnd} bytes, at most ${LIMIT.VALUE_SIZE} are allowed`);
    writer.recordEnd(start, keyEnd, at, expiry === 0 ? RECORD.VECTOR : RECORD.VECTOR | RECORD.EXPIRES);
  }

  /** Which fields, by index, and whether the vector is wanted. */
  include(include: unknown, what: string): { wanted: boolean[] | undefined; vector: boolean } {
    if (include === undefined) return { wanted: undefined, vector: false };
    if (!Array.isArray(include)) throw invalid(`${what}: include must be an array of names, not ${shown(include)}`);
    const wanted = new Array<boolean>(this.fields.length).fill(false);
    let vector = false;
    for (const name of include as unknown[]) {
      const index = typeof name === "string" ? this.#index.get(name) : undefined;
      if (name === "vector") vector = true;
      else if (index === undefined) throw this.unknownField(String(name), `${what}: include`);
      else wanted[index] = true;
    }
    return { wanted, vector };
  }

  /** What `records` asks for. */
  listing(options: unknown, what: string): Listing {
    const given = checkOptions(options, what, ["where", "include", "reverse", "limit"]);
    const { wanted, vector } = this.include(given.include, what);
    const filter = this.where(given.where, what);
    const keysOnly = wanted !== undefined && !vector && !wanted.includes(true) && filter.length === 0;
    return { ...order(options, what), keysOnly, filter, wanted, vector };
  }

  /** A row of that. */
  listed(row: PageRow, { wanted, vector, keysOnly }: Listing): Record<string, unknown> {
    const record: Record<string, unknown> = { key: this.membrane.keys.decode(row.bytes, row.key, row.keyEnd, viewOf) };
    if (vector) record.vector = this.vectors.read(row.bytes, row.vector);
    if (!keysOnly) decodeFields(this.fields, wanted, row.bytes, row.value, record, viewOf);
    return record;
  }

  /** A whole record, of a vector and fields that lie in `bytes`. */
  record(key: Key, bytes: Uint8Array, vector: number, fields: number, cut: Cut): Record<string, unknown> {
    const record: Record<string, unknown> = { key, vector: this.vectors.read(bytes, vector) };
    decodeFields(this.fields, undefined, bytes, fields, record, cut);
    return record;
  }

  /** `count` hits that lie at `at`; `row.next` is where they end. */
  hits(bytes: Uint8Array, at: number, count: number, row: PageRow, request: SearchRequest, cut: Cut): Record<string, unknown>[] {
    const vector = (request.flags & ABI.SEARCH_VECTORS) !== 0;
    const hits: Record<string, unknown>[] = [];
    for (let i = 0; i < count; i++, at = row.next) {
      row.read(bytes, at);
      const hit: Record<string, unknown> = {
        key: this.membrane.keys.decode(bytes, row.key, row.keyEnd),
        distance: row.readDistance(at),
      };
      if (vector) hit.vector = this.vectors.read(bytes, row.vector);
      decodeFields(this.fields, request.wanted, bytes, row.value, hit, cut);
      hits.push(hit);
    }
    return hits;
  }

  /** What an update changes, checked and encoded. */
  changed(key: unknown, given: unknown, options: unknown): Changed {
    const { membrane, fields } = this;
    const what = (): string => `${membrane.name}: update ${shown(key)}`;
    if (typeof given !== "object" || given === null || Array.isArray(given)) {
      throw invalid(`${what()}: the changes must be an object of fields, not ${shown(given)}`);
    }
    const { vector, ...rest } = given as Record<string, unknown>;
    const named = Object.fromEntries(Object.entries(rest).filter(([name, value]) => value !== undefined || !fields.some((f) => f.name === name)));
    const plain = this.plainFields<undefined>(named, what, new Array<undefined>(fields.length).fill(undefined));
    const { ttlMs } = checkOptions(options, what(), ["ttlMs"]);
    return {
      key: membrane.keys.encoded(key).slice(),
      vector: vector === undefined ? undefined : this.vectors.plain(vector, what).slice(),
      fields: plain.map((value, i) => {
        if (value === undefined) return undefined;
        const bytes = new Uint8Array(plainFieldRoom(value, what));
        return bytes.slice(0, writeField(FIELD_TYPES[(fields[i] as Field).type], value, bytes, 0, what));
      }),
      expiry: ttlMs === undefined ? undefined : expiryOf(options, membrane.schema.storage, what),
    };
  }

  clearsAll(given: readonly unknown[]): void {
    if (given.some((value) => value !== undefined)) throw invalid(`${this.membrane.name}: clear takes nothing and removes all; deleteWhere takes a filter`);
  }

  filterRequired(where: unknown): Uint8Array {
    const what = `${this.membrane.name}: deleteWhere`;
    if (where === undefined || where === null) throw invalid(`${what} needs a filter; clear() removes all`);
    const filter = this.where(where, what);
    if (Object.keys(where).length === 0) throw invalid(`${what} needs a filter with a test; clear() removes all`);
    return filter;
  }

  /** A filter's bytes; none where there is no filter. */
  where(where: unknown, what: string): Uint8Array {
    return where === undefined ? NONE : encodeWhere(where, this.membrane.schema, what);
  }
}

/** What `records` asks for: `wanted` are fields by index, all when undefined. */
export interface Listing {
  readonly reverse: boolean;
  readonly limit: number;
  readonly keysOnly: boolean;
  readonly filter: Uint8Array;
  readonly wanted: readonly boolean[] | undefined;
  readonly vector: boolean;
}

/** What an update changes, encoded: what is undefined stays as it is. */
export interface Changed {
  readonly key: Uint8Array;
  readonly vector: Uint8Array | undefined;
  readonly fields: readonly (Uint8Array | undefined)[];
  readonly expiry: Expiry | undefined;
}

/** What writes the changed record; undefined: there is none. */
export function updating(session: Session, membrane: Membrane, changed: Changed): ((writer: Writer) => void) | undefined {
  const { engine } = session.reading(membrane);
  const { heap } = engine;
  engine.reserveInput(changed.key.length);
  heap.u8.set(changed.key, engine.input);
  if (!engine.get(membrane.pointer, session.snapshot, changed.key.length)) return undefined;
  const row = engine.answerCopy(), expiry = changed.expiry ?? engine.answerExpires;
  const spans = fieldSpans(row, changed.fields.length);
  const fields = changed.fields.map((field, i) => field ?? row.subarray(spans[i], spans[i + 1]));
  const vector = changed.vector ?? heap.copy(engine.answerVector, engine.answerVectorSize);
  return (writer) => writeUpdated(writer, membrane, changed.key, vector, fields, expiry);
}

/** A vector collection, synchronously. `V` is what its vectors are given back as. */
export class CollectionSync<F = Record<string, unknown>, K extends Key = Key, V extends VectorOut = Float32Array> implements Shaped {
  readonly [SHAPE]: { readonly session: Session; readonly shape: CollectionShape };
  readonly #session: Session;
  readonly #membrane: Membrane;
  readonly #shape: CollectionShape;
  readonly #cut: Cut;

  /** @internal */
  constructor(session: Session, membrane: Membrane) {
    this.#session = session;
    this.#membrane = membrane;
    this.#shape = new CollectionShape(membrane);
    this[SHAPE] = { session, shape: this.#shape };
    const { heap } = session.store.engine;
    this.#cut = (_bytes, at, size) => heap.cut(at, size);
  }

  get name(): string {
    return this.#membrane.name;
  }

  /** Inserts or replaces whole records; an array of them is one batch. */
  put(record: RecordIn<F, K> | readonly RecordIn<F, K>[], options?: PutOptions): void {
    this.#session.commit(this.#membrane, (writer) => this.#shape.putRecords(writer, record, options));
  }

  /** Records by columns, as one batch. */
  putMany(columns: Columns<F, K>, options?: PutOptions): void {
    this.#session.commit(this.#membrane, (writer) => this.#shape.putColumns(writer, columns, options));
  }

  /** Changes only the fields that are named, and the vector if it is; false when there is no such record. */
  update(key: K, changes: FieldsIn<F> & { readonly vector?: VectorIn }, options?: PutOptions): boolean {
    this.#session.writing(this.#membrane);
    const write = updating(this.#session, this.#membrane, this.#shape.changed(key, changes, options));
    if (write === undefined) return false;
    this.#session.commit(this.#membrane, write);
    return true;
  }

  get(key: K): RecordOut<F, K, V> | undefined {
    const membrane = this.#membrane, session = this.#session;
    const { engine } = session.reading(membrane);
    const keySize = membrane.putKey(session, key);
    if (!engine.get(membrane.pointer, session.snapshot, keySize)) return undefined;
    const { u8 } = engine.heap;
    const found = membrane.keys.decode(u8, engine.input, engine.input + keySize);
    return this.#shape.record(found, u8, engine.answerVector, engine.answerData, this.#cut) as RecordOut<F, K, V>;
  }

  /** The records in the order of the keys; undefined where there is none. */
  getMany(keys: Iterable<K>): (RecordOut<F, K, V> | undefined)[] {
    return [...iterable(keys, `${this.name}: getMany takes an iterable of keys`)].map((key) => this.get(key as K));
  }

  has(key: K): boolean {
    const membrane = this.#membrane, session = this.#session;
    const { engine } = session.reading(membrane);
    return engine.has(membrane.pointer, session.snapshot, membrane.putKey(session, key));
  }

  /** Whether it was there. */
  delete(key: K): boolean {
    this.#session.writing(this.#membrane);
    if (!this.has(key)) return false;
    this.#session.commit(this.#membrane, (writer) => this.#membrane.delete(writer, key));
    return true;
  }

  /** The number of records removed; a filter is required. */
  deleteWhere(where: Where<F>): number {
    return this.#session.remove(this.#membrane, NONE, NONE, this.#shape.filterRequired(where));
  }

  /** The number of records removed: all. */
  clear(...none: never[]): number {
    this.#shape.clearsAll(none);
    return this.#session.remove(this.#membrane, NONE, NONE, NONE);
  }

  count(where?: Where<F>): number {
    const filter = this.#shape.where(where, `${this.name}: count`);
    const { engine } = this.#session.reading(this.#membrane);
    return engine.count(this.#membrane.pointer, this.#session.snapshot, NONE, NONE, filter);
  }

  /** Records in the order of their keys, all at once, past the log: see `KvSync.bulkLoad`. */
  bulkLoad(records: Iterable<RecordIn<F, K>>, options?: PutOptions): number {
    return bulkLoadSync(this.#session, this.#membrane, records, this.#shape.loading(options));
  }

  /** Records in order of their keys, over the state of the first `next()`. */
  records(options?: RecordsOptions<F>): IterableIterator<RecordPart<F, K, V>> {
    const listing = this.#shape.listing(options, `${this.name}: records`);
    this.#session.check();
    return new Rows(this.#session, this.#membrane, EVERYTHING, listing, (row) => this.#shape.listed(row, listing) as RecordPart<F, K, V>);
  }

  /** The nearest records, nearest first, ties by key; exactly `k` when `k` match. */
  search(query: VectorIn, options?: SearchOptions<F>): Hit<F, K, V>[] {
    const { request, at } = this.#ask(query, options, `${this.name}: search`);
    return this.#hits(request, at + 4, this.#session.store.engine.answerCount, new PageRow());
  }

  /** Several searches in one go: what `search` finds for each query. */
  searchMany(queries: Float32Array | Int8Array | Uint8Array | readonly VectorIn[], options?: SearchOptions<F>): Hit<F, K, V>[][] {
    const shape = this.#shape, what = `${this.name}: searchMany`;
    const request = searchRequest(shape, options, what);
    const vectors = shape.vectors.plainMany(queries, what);
    const { size } = shape.vectors, count = vectors.length / size;
    const all: Hit<F, K, V>[][] = [];
    const row = new PageRow();
    while (all.length < count) { // all in one go, but for input beyond all measure
      const some = Math.min(count - all.length, Math.max(1, Math.floor(QUERIES_INPUT / size)));
      const { engine } = this.#session.reading(this.#membrane);
      engine.search(this.#membrane.pointer, this.#session.snapshot, some, request,
        vectors.subarray(all.length * size, (all.length + some) * size));
      const counts = engine.answerData;
      for (let i = 0, at = counts + 4 * some; i < some; i++, at = row.next) {
        row.next = at;
        all.push(this.#hits(request, at, readU32(engine.heap.u8, counts + 4 * i), row));
      }
    }
    return all;
  }

  /** Searches, and tells only how. */
  explain(query: VectorIn, options?: SearchOptions<F>): Explanation {
    const begun = performance.now();
    this.#ask(query, options, `${this.name}: explain`);
    const { path, ...counted } = this.#session.store.engine.searchReport();
    return { path: pathName(path), ...counted, ms: performance.now() - begun };
  }

  /** Searches; where the answer begins. */
  #ask(query: unknown, options: unknown, what: string): { request: SearchRequest; at: number } {
    const shape = this.#shape, membrane = this.#membrane;
    const request = searchRequest(shape, options, what);
    const vector = shape.vectors.plain(query, () => what);
    const { engine } = this.#session.reading(membrane);
    engine.search(membrane.pointer, this.#session.snapshot, 1, request, vector);
    return { request, at: engine.answerData };
  }

  #hits(request: SearchRequest, at: number, count: number, row: PageRow): Hit<F, K, V>[] {
    return this.#shape.hits(this.#session.store.engine.heap.u8, at, count, row, request, this.#cut) as Hit<F, K, V>[];
  }
}

/** What API.md promises and is not there yet. */
export function notYet(given: Record<string, unknown>, option: string, what: string): void {
  if (given[option] !== undefined) throw new NacreError("UNSUPPORTED", `${what}: the option ${option} is not supported yet`);
}

/** Where each field of an encoded row begins, and where the last one ends. */
function fieldSpans(row: Uint8Array, count: number): number[] {
  const spans = [0];
  for (let i = 0, at = 0; i < count; i++) {
    const tag = row[at++];
    if (tag === FIELD_TYPES.text || tag === FIELD_TYPES.bytes || tag === FIELD_TYPES.json) at += 4 + readU32(row, at);
    else if (tag !== 0) at += tag === FIELD_TYPES.boolean ? 1 : 8;
    spans.push(at);
  }
  return spans;
}

function writeUpdated(writer: Writer, { id }: Membrane, key: Uint8Array, vector: Uint8Array, fields: readonly Uint8Array[], expiry: Expiry): void {
  let room = key.length + EXPIRY_ROOM + 4 + vector.length;
  for (const field of fields) room += field.length;
  const start = writer.recordBegin(room, id);
  const { bytes } = writer;
  bytes.set(key, writer.at);
  const keyEnd = writer.at + key.length;
  let at = writeExpiry(expiry, bytes, keyEnd);
  writeU32(vector.length, bytes, at);
  bytes.set(vector, at + 4);
  at += 4 + vector.length;
  for (const field of fields) {
    bytes.set(field, at);
    at += field.length;
  }
  writer.recordEnd(start, keyEnd, at, expiry === 0 ? RECORD.VECTOR : RECORD.VECTOR | RECORD.EXPIRES);
}

/**
 * A vector collection.
 *
 * 1. A promise of a write resolves when it is as durable as the database's level says.
 * 2. Vectors are kept bit for bit; of f16 rounded to the nearest, to the even one of two. `V` is
 *    what they are given back as.
 * 3. A record has all its fields; those that are absent are null.
 */
export class Collection<F = Record<string, unknown>, K extends Key = Key, V extends VectorOut = Float32Array> implements Shaped {
  readonly [SHAPE]: { readonly session: Session; readonly shape: CollectionShape };
  readonly #session: Session;
  readonly #membrane: Membrane;
  readonly #shape: CollectionShape;
  readonly #sync: CollectionSync<F, K, V>;

  /** @internal */
  constructor(session: Session, membrane: Membrane, sync = new CollectionSync<F, K, V>(session, membrane)) {
    this.#session = session;
    this.#membrane = membrane;
    this.#sync = sync;
    this[SHAPE] = sync[SHAPE];
    this.#shape = this[SHAPE].shape;
  }

  get name(): string {
    return this.#membrane.name;
  }

  /** Inserts or replaces whole records; an array of them is one batch. */
  async put(record: RecordIn<F, K> | readonly RecordIn<F, K>[], options?: PutOptions): Promise<void> {
    return this.#session.enqueue(this.#membrane, undefined, (writer) => this.#shape.putRecords(writer, record, options));
  }

  /** Records by columns, as one batch. */
  async putMany(columns: Columns<F, K>, options?: PutOptions): Promise<void> {
    return this.#session.enqueue(this.#membrane, undefined, (writer) => this.#shape.putColumns(writer, columns, options));
  }

  /** Changes only the fields that are named, and the vector if it is; false when there is no such record. */
  async update(key: K, changes: FieldsIn<F> & { readonly vector?: VectorIn }, options?: PutOptions): Promise<boolean> {
    this.#session.writing(this.#membrane);
    const write = updating(this.#session, this.#membrane, this.#shape.changed(key, changes, options));
    if (write === undefined) return false;
    return this.#session.enqueue(this.#membrane, true, write);
  }

  async get(key: K): Promise<RecordOut<F, K, V> | undefined> {
    return this.#sync.get(key);
  }

  /** The records in the order of the keys; undefined where there is none. */
  async getMany(keys: Iterable<K>): Promise<(RecordOut<F, K, V> | undefined)[]> {
    return this.#sync.getMany(keys);
  }

  async has(key: K): Promise<boolean> {
    return this.#sync.has(key);
  }

  /** Whether it was there. */
  async delete(key: K): Promise<boolean> {
    this.#session.writing(this.#membrane);
    if (!this.#sync.has(key)) return false;
    return this.#session.enqueue(this.#membrane, true, (writer) => this.#membrane.delete(writer, key));
  }

  /** The number of records removed; a filter is required. */
  async deleteWhere(where: Where<F>): Promise<number> {
    return this.#session.removeSoon(this.#membrane, NONE, NONE, this.#shape.filterRequired(where));
  }

  /** The number of records removed: all. */
  async clear(...none: never[]): Promise<number> {
    this.#shape.clearsAll(none);
    return this.#session.removeSoon(this.#membrane, NONE, NONE, NONE);
  }

  async count(where?: Where<F>): Promise<number> {
    return this.#sync.count(where);
  }

  /** Records in the order of their keys, from any iterable or async iterable: see `Kv.bulkLoad`. */
  async bulkLoad(records: Iterable<RecordIn<F, K>> | AsyncIterable<RecordIn<F, K>>, options?: PutOptions): Promise<number> {
    return bulkLoad(this.#session, this.#membrane, records, this.#shape.loading(options));
  }

  /** Records in order of their keys, over the state of the first `next()`. */
  records(options?: RecordsOptions<F>): AsyncIterableIterator<RecordPart<F, K, V>> {
    return new AsyncRows(this.#sync.records(options));
  }

  /** The nearest records, nearest first, ties by key; exactly `k` when `k` match. */
  async search(query: VectorIn, options?: SearchOptions<F>): Promise<Hit<F, K, V>[]> {
    return this.#sync.search(query, options);
  }

  /** Several searches in one go, n × dimensions numbers or n vectors: what `search` finds for each query. */
  async searchMany(queries: Float32Array | Int8Array | Uint8Array | readonly VectorIn[], options?: SearchOptions<F>): Promise<Hit<F, K, V>[][]> {
    return this.#sync.searchMany(queries, options);
  }

  /** Searches, and tells only how. */
  async explain(query: VectorIn, options?: SearchOptions<F>): Promise<Explanation> {
    return this.#sync.explain(query, options);
  }
}
