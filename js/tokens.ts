import type { Engine } from "./engine.ts";
import { NacreError } from "./errors.ts";
import { PageRow } from "./membrane.ts";
import type { Token, TokenMemory } from "./route.ts";
import type { Store } from "./store.ts";
import type { Writer } from "./writer.ts";

const TOKEN = 4; // catalog_format.h
const CLIENT_SIZE = 16;
const NUMBER_AT = 1 + CLIENT_SIZE;
const KEY_SIZE = NUMBER_AT + 8;
const CATALOG = 0;
const DELETED = 1; // flag of a record
const CLIENTS_MAX = 500;
const KEEP_MS = 60 * 60 * 1000; // after a client's death
const FORGET_MAX = 64; // deletions that one batch takes along
const NONE = new Uint8Array(0);
const EPOCH = "0".repeat(2 * CLIENT_SIZE); // nobody's: its number 0 says who owns the database

interface Known {
  /** Highest request that may be noted. */
  last: number;
  /** Rows that may be in the database, in order of their numbers. */
  readonly rows: { seq: number; part: number }[];
  /** Of its last note, or of its death. */
  ms: number;
  alive: boolean;
}

/**
 * Which requests of which clients were carried out, and with what result: rows of the
 * catalog, in the very batches that carry them out (rule 3 of catalog_format.h).
 *
 * 1. `recall` asks the database, so it tells what was committed and nothing else.
 * 2. Rows go with a later batch of their client once its page has all the answers before them;
 *    an hour after the client's death; or when 500 others have come.
 */
export class Tokens implements TokenMemory {
  readonly #store: Store;
  readonly #pointer: number;
  readonly #now: () => number;
  readonly #clients = new Map<string, Known>();
  /** Keys of clients that are forgotten. */
  readonly #gone: Uint8Array[] = [];
  /** Rises with every owner of the database. */
  readonly epoch: number;

  /** Of a store that was just opened; commits the new epoch. */
  constructor(store: Store, now: () => number) {
    const { engine } = store;
    const catalog = engine.membraneById(CATALOG);
    if (catalog === undefined) throw new Error("the catalog is always there");
    this.#store = store;
    this.#pointer = catalog.pointer;
    this.#now = now;
    let epoch = 0;
    for (const row of scan(engine, catalog.pointer, Uint8Array.of(TOKEN), Uint8Array.of(TOKEN + 1))) {
      if (row.client === EPOCH) epoch = Number(row.result);
      else this.#learn(row.client, row.seq, row.part, row.ms);
    }
    this.epoch = epoch + 1;
    this.#commit((writer) => this.#put(writer, EPOCH, 0, 0, this.epoch));
  }

  #learn(client: string, seq: number, part: number, ms: number): Known {
    let known = this.#clients.get(client);
    if (known === undefined) {
      known = { last: 0, rows: [], ms, alive: false };
      this.#clients.set(client, known);
      this.#limit();
    }
    known.last = Math.max(known.last, seq);
    known.ms = Math.max(known.ms, ms);
    known.rows.push({ seq, part });
    return known;
  }

  /** One client too many: the dead one that was last heard of longest ago goes, else the one alive. */
  #limit(): void {
    if (this.#clients.size <= CLIENTS_MAX) return;
    let oldest: string | undefined, least = { alive: true, ms: Infinity };
    for (const [client, known] of this.#clients) {
      if (known.rows.length === 0 && known.last === 0) continue; // the new one
      if (known.alive === least.alive ? known.ms < least.ms : !known.alive) [oldest, least] = [client, known];
    }
    if (oldest !== undefined) this.#forget(oldest);
  }

  #forget(client: string): void {
    for (const { seq, part } of this.#clients.get(client)?.rows ?? []) this.#gone.push(keyOf(client, seq, part));
    this.#clients.delete(client);
  }

  /** It is there: what is kept of it is kept while it is. */
  alive(client: string): void {
    const known = this.#clients.get(client);
    if (known !== undefined) known.alive = true;
  }

  dead(client: string): void {
    const known = this.#clients.get(client);
    if (known === undefined) return;
    known.alive = false;
    known.ms = this.#now();
  }

  recall(token: Token): ReadonlyMap<number, unknown> | undefined {
    const known = this.#clients.get(token.client);
    if (known === undefined || token.seq > known.last) return undefined;
    this.#store.apply();
    const parts = new Map<number, unknown>();
    const low = keyOf(token.client, token.seq, 0), high = keyOf(token.client, token.seq + 1, 0);
    for (const { part, result } of scan(this.#store.engine, this.#pointer, low, high)) parts.set(part, result);
    return parts.size === 0 ? undefined : parts;
  }

  note(writer: Writer, token: Token, part: number, result: unknown): void {
    const known = this.#learn(token.client, token.seq, part, this.#now());
    known.alive = true;
    this.#put(writer, token.client, token.seq, part, result);
    let count = 0;
    while (count < FORGET_MAX && known.rows.length > 0 && (known.rows[0] as { seq: number }).seq < token.oldest) {
      const { seq, part: each } = known.rows.shift() as { seq: number; part: number };
      remove(writer, keyOf(token.client, seq, each));
      count++;
    }
    while (count++ < FORGET_MAX && this.#gone.length > 0) remove(writer, this.#gone.pop() as Uint8Array);
  }

  /**
   * Forgets who is dead for an hour. Not before those that are alive have had the time to say so:
   * after a night's sleep all that is noted is old.
   */
  sweep(): void {
    const before = this.#now() - KEEP_MS;
    for (const [client, known] of this.#clients) if (!known.alive && known.ms < before) this.#forget(client);
    while (this.#gone.length > 0) {
      const keys = this.#gone.splice(0, 1000);
      this.#commit((writer) => {
        for (const key of keys) remove(writer, key);
      });
    }
  }

  #put(writer: Writer, client: string, seq: number, part: number, result: unknown): void {
    const value = new TextEncoder().encode(JSON.stringify({ ms: this.#now(), result }));
    const start = writer.recordBegin(KEY_SIZE + value.length, CATALOG);
    writer.bytes.set(keyOf(client, seq, part), writer.at);
    const keyEnd = writer.at + KEY_SIZE;
    writer.bytes.set(value, keyEnd);
    writer.recordEnd(start, keyEnd, keyEnd + value.length, 0);
  }

  #commit(fill: (writer: Writer) => void): void {
    const writer = this.#store.writers.take();
    try {
      writer.batchBegin();
      fill(writer);
      writer.batchEnd();
      this.#store.commit(writer);
    } finally {
      this.#store.writers.give(writer);
    }
  }
}

function remove(writer: Writer, key: Uint8Array): void {
  const start = writer.recordBegin(KEY_SIZE, CATALOG);
  writer.bytes.set(key, writer.at);
  const end = writer.at + KEY_SIZE;
  writer.recordEnd(start, end, end, DELETED);
}

// The number is the request's, 40 bits, and the part's, 24.
function keyOf(client: string, seq: number, part: number): Uint8Array {
  const key = new Uint8Array(KEY_SIZE);
  key[0] = TOKEN;
  for (let i = 0; i < CLIENT_SIZE; i++) key[1 + i] = Number.parseInt(client.slice(2 * i, 2 * i + 2), 16);
  const view = new DataView(key.buffer);
  view.setUint32(NUMBER_AT, Math.floor(seq / 2 ** 8));
  view.setUint32(NUMBER_AT + 4, ((seq % 2 ** 8) << 24 | part) >>> 0);
  return key;
}

interface TokenRow {
  client: string;
  seq: number;
  part: number;
  ms: number;
  result: unknown;
}

function scan(engine: Engine, pointer: number, low: Uint8Array, high: Uint8Array): TokenRow[] {
  const rows: TokenRow[] = [], row = new PageRow();
  const cursor = engine.cursorOpen(pointer, 0, low, high, NONE, false);
  try {
    do {
      engine.cursorPage(cursor, false, 1000, 64 * 1024);
      const page = engine.answerCopy();
      for (let i = 0, at = 0, count = engine.answerCount; i < count; i++, at = row.next) {
        row.read(page, at);
        rows.push(decode(page.subarray(row.key, row.keyEnd), page.subarray(row.value, row.value + row.valueSize)));
      }
    } while (engine.answerMore);
  } finally {
    engine.cursorClose(cursor);
  }
  return rows;
}

function decodeValue(value: Uint8Array): { ms: number; result: unknown } {
  try {
    const { ms, result } = JSON.parse(new TextDecoder().decode(value)) as { ms: number; result?: unknown };
    return { ms: Number(ms), result };
  } catch (error) {
    throw new NacreError("CORRUPT", "catalog: the token of a client is not what was written", { cause: error });
  }
}

function decode(key: Uint8Array, value: Uint8Array): TokenRow {
  let client = "";
  for (let i = 1; i < NUMBER_AT; i++) client += (key[i] as number).toString(16).padStart(2, "0");
  const view = new DataView(key.buffer, key.byteOffset);
  const low = view.getUint32(NUMBER_AT + 4);
  return { client, seq: view.getUint32(NUMBER_AT) * 2 ** 8 + (low >>> 24), part: low & 0xffffff, ...decodeValue(value) };
}
