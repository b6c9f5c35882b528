import { bulkLoad } from "./bulk.ts";
import type { PutOptions } from "./expiry.ts";
import { viewOf } from "./heap.ts";
import type { Key, KeyRange, Range } from "./keys.ts";
import { iterable, Kv, KvShape, order } from "./kv.ts";
import type { KvSync } from "./kv.ts";
import type { RemoteSession } from "./link.ts";
import { SHAPE } from "./membrane.ts";
import type { Membrane, PageRow } from "./membrane.ts";
import { RemoteMembrane, RemoteRows } from "./remote-rows.ts";
import { Outflow } from "./remote-stream.ts";
import { decodeValue } from "./rows.ts";
import { fill, streamOf, streamRange, streamTtl } from "./stream.ts";
import type { ByteSource, PutStreamOptions, StreamRange } from "./stream.ts";

const NONE = new Uint8Array(0);

/** A key-value membrane of another realm. */
export class RemoteKv<V = any, K extends Key = Key> extends Kv<V, K> {
  readonly #far: RemoteMembrane;
  readonly #shape: KvShape;

  constructor(session: RemoteSession, membrane: Membrane) {
    const shape = new KvShape(membrane);
    super(session, membrane, { [SHAPE]: { session, shape } } as unknown as KvSync<V, K>);
    this.#far = new RemoteMembrane(session, membrane);
    this.#shape = shape;
  }

  readonly #value = (row: PageRow): V =>
    decodeValue(this.#shape.membrane.schema.value, row.bytes, row.value, row.valueSize, viewOf) as V;
  readonly #key = (row: PageRow): K => this.#shape.membrane.keys.decode(row.bytes, row.key, row.keyEnd, viewOf) as K;

  override async get(key: K): Promise<V | undefined> {
    return (await this.#far.rows([key], this.#value))[0];
  }

  override async getMany(keys: Iterable<K>): Promise<(V | undefined)[]> {
    return this.#far.rows([...iterable(keys, `${this.name}: getMany takes an iterable of keys`)], this.#value);
  }

  override async has(key: K): Promise<boolean> {
    return this.#far.has(key);
  }

  override async delete(key: K): Promise<boolean> {
    return this.#far.delete(key);
  }

  override async clear(range?: KeyRange<K>): Promise<number> {
    return this.#far.remove(this.#shape.membrane.keys.bounds(range, `${this.name}: clear`), NONE);
  }

  override async count(range?: KeyRange<K>): Promise<number> {
    return this.#far.count(this.#shape.membrane.keys.bounds(range, `${this.name}: count`), NONE);
  }

  override entries(range?: Range<K>): AsyncIterableIterator<[K, V]> {
    return this.#iterate(range, "entries", false, (row): [K, V] => [this.#key(row), this.#value(row)]);
  }

  override keys(range?: Range<K>): AsyncIterableIterator<K> {
    return this.#iterate(range, "keys", true, this.#key);
  }

  override values(range?: Range<K>): AsyncIterableIterator<V> {
    return this.#iterate(range, "values", false, this.#value);
  }

  #iterate<T>(range: unknown, verb: string, keysOnly: boolean, decode: (row: PageRow) => T): AsyncIterableIterator<T> {
    const what = `${this.name}: ${verb}`, { session, membrane } = this.#far;
    const bounds = membrane.keys.bounds(range, what, ["reverse", "limit"]);
    return new RemoteRows(session, membrane, bounds, { ...order(range, what), keysOnly }, decode);
  }

  override async bulkLoad(rows: Iterable<readonly [K, V]> | AsyncIterable<readonly [K, V]>, options?: PutOptions): Promise<number> {
    return bulkLoad(this.#far.session, this.#far.membrane, rows, this.#shape.loading(options), () => this.#far.load());
  }

  override async putStream(key: K, source: ByteSource, options?: PutStreamOptions): Promise<void> {
    const { membrane } = this.#far;
    await fill(this.#far.value(key, streamTtl(membrane, options)), membrane, source);
  }

  override async getStream(key: K, range?: StreamRange): Promise<ReadableStream<Uint8Array> | undefined> {
    const { membrane, session } = this.#far, wanted = streamRange(membrane, range);
    session.reading(membrane);
    const handle = session.link.handle();
    const found = await session.ask("getValue", [membrane.id, membrane.keys.encoded(key).slice(), wanted], undefined, handle);
    return found === true ? streamOf(new Outflow(session, handle)) : undefined;
  }
}
