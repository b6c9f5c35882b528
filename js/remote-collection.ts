import { bulkLoad } from "./bulk.ts";
import { Collection, CollectionShape } from "./collection.ts";
import type { CollectionSync, FieldsIn, Hit, RecordIn, RecordOut, RecordPart, RecordsOptions } from "./collection.ts";
import type { PutOptions } from "./expiry.ts";
import { viewOf } from "./heap.ts";
import type { Key } from "./keys.ts";
import { iterable } from "./kv.ts";
import type { RemoteSession } from "./link.ts";
import { PageRow, SHAPE } from "./membrane.ts";
import type { Membrane } from "./membrane.ts";
import { RemoteMembrane, RemoteRows } from "./remote-rows.ts";
import { readU32 } from "./rows.ts";
import { searchRequest } from "./search.ts";
import type { Explanation, SearchOptions, SearchRequest } from "./search.ts";
import type { VectorIn, VectorOut } from "./vectors.ts";
import type { Bytes } from "./wire.ts";
import type { Where } from "./where.ts";

const NONE = new Uint8Array(0);
const EVERYTHING = { low: NONE, high: NONE, empty: false };

/** A vector collection of another realm. */
export class RemoteCollection<F = Record<string, unknown>, K extends Key = Key, V extends VectorOut = Float32Array> extends Collection<F, K, V> {
  readonly #far: RemoteMembrane;
  readonly #shape: CollectionShape;

  constructor(session: RemoteSession, membrane: Membrane) {
    const shape = new CollectionShape(membrane);
    super(session, membrane, { [SHAPE]: { session, shape } } as unknown as CollectionSync<F, K, V>);
    this.#far = new RemoteMembrane(session, membrane);
    this.#shape = shape;
  }

  override async update(key: K, changes: FieldsIn<F> & { readonly vector?: VectorIn }, options?: PutOptions): Promise<boolean> {
    const { session, membrane } = this.#far;
    session.writing(membrane);
    return session.ask("update", [membrane.id, this.#shape.changed(key, changes, options)], { writes: true });
  }

  override async get(key: K): Promise<RecordOut<F, K, V> | undefined> {
    return (await this.#records([key]))[0];
  }

  override async getMany(keys: Iterable<K>): Promise<(RecordOut<F, K, V> | undefined)[]> {
    return this.#records([...iterable(keys, `${this.name}: getMany takes an iterable of keys`)]);
  }

  #records(keys: readonly unknown[]): Promise<(RecordOut<F, K, V> | undefined)[]> {
    const codec = this.#far.membrane.keys;
    const own = keys.map((key) => codec.encoded(key));
    return this.#far.rows(keys, (row, i) => {
      const key = own[i] as Uint8Array;
      return this.#shape.record(codec.decode(key, 0, key.length), row.bytes, row.vector, row.value, viewOf) as RecordOut<F, K, V>;
    });
  }

  override async has(key: K): Promise<boolean> {
    return this.#far.has(key);
  }

  override async delete(key: K): Promise<boolean> {
    return this.#far.delete(key);
  }

  override async deleteWhere(where: Where<F>): Promise<number> {
    return this.#far.remove(EVERYTHING, this.#shape.filterRequired(where));
  }

  override async clear(...none: never[]): Promise<number> {
    this.#shape.clearsAll(none);
    return this.#far.remove(EVERYTHING, NONE);
  }

  override async count(where?: Where<F>): Promise<number> {
    return this.#far.count(EVERYTHING, this.#shape.where(where, `${this.name}: count`));
  }

  override async bulkLoad(records: Iterable<RecordIn<F, K>> | AsyncIterable<RecordIn<F, K>>, options?: PutOptions): Promise<number> {
    return bulkLoad(this.#far.session, this.#far.membrane, records, this.#shape.loading(options), () => this.#far.load());
  }

  override records(options?: RecordsOptions<F>): AsyncIterableIterator<RecordPart<F, K, V>> {
    const listing = this.#shape.listing(options, `${this.name}: records`);
    return new RemoteRows(this.#far.session, this.#far.membrane, EVERYTHING, listing, (row) => this.#shape.listed(row, listing) as RecordPart<F, K, V>);
  }

  override async search(query: VectorIn, options?: SearchOptions<F>): Promise<Hit<F, K, V>[]> {
    const what = `${this.name}: search`, request = searchRequest(this.#shape, options, what);
    return (await this.#search(what, request, this.#shape.vectors.plain(query, () => what).slice(), options))[0] as Hit<F, K, V>[];
  }

  override async searchMany(queries: Float32Array | Int8Array | Uint8Array | readonly VectorIn[], options?: SearchOptions<F>): Promise<Hit<F, K, V>[][]> {
    const what = `${this.name}: searchMany`, request = searchRequest(this.#shape, options, what);
    return this.#search(what, request, this.#shape.vectors.plainMany(queries, what), options);
  }

  async #search(what: string, request: SearchRequest, vectors: Uint8Array, options: SearchOptions<F> | undefined): Promise<Hit<F, K, V>[][]> {
    const { session, membrane } = this.#far, { link } = session;
    session.reading(membrane);
    const count = vectors.length / this.#shape.vectors.size, handle = link.handle();
    if (count === 0) return [];
    const answer = await link.long(options ?? {}, what, "search", session.handle, [membrane.id, asked(request), vectors, count], handle) as Bytes;
    const bytes = await link.whole(answer, handle);
    const row = new PageRow();
    row.next = 4 * count;
    return Array.from({ length: count }, (_, i) =>
      this.#shape.hits(bytes, row.next, readU32(bytes, 4 * i), row, request, viewOf) as Hit<F, K, V>[]);
  }

  override async explain(query: VectorIn, options?: SearchOptions<F>): Promise<Explanation> {
    const begun = performance.now();
    const what = `${this.name}: explain`, request = searchRequest(this.#shape, options, what);
    const { session, membrane } = this.#far;
    session.reading(membrane);
    const vector = this.#shape.vectors.plain(query, () => what).slice();
    const report = await session.link.long(options ?? {}, what, "explain", session.handle, [membrane.id, asked(request), vector]);
    return { ...report, ms: performance.now() - begun };
  }
}

/** The part of a request that the engine needs. */
function asked({ wanted: _, ...request }: SearchRequest): Omit<SearchRequest, "wanted"> {
  return request;
}
