import { BATCH } from "./abi.gen.ts";
import { invalid, NacreError, shown } from "./errors.ts";
import type { Membrane } from "./membrane.ts";
import { atEndOfTick } from "./store.ts";
import type { Session } from "./store.ts";
import type { Writer } from "./writer.ts";

/** Bytes of records that go on together. */
export const GATHER = 128 * 1024; 
const TURN = 1024 * 1024; // bytes of them after which others have their turn

/** Where the rows of a bulk load go, in this realm or another. */
export interface Load {
  /** The records that `fill` writes. True: it is time to let others have their turn; a promise: to wait for it. */
  add(fill: (writer: Writer) => void): boolean | Promise<void>;
  /** The number of rows: all of them are there now, and durable. */
  commit(): number | Promise<number>;
  /** Nothing of it stays, unless it is committed. */
  close(): void;
}

/** Rows on their way past the log: nobody sees them before `commit`. */
class BulkLoad implements Load {
  readonly #session: Session;
  readonly #membrane: Membrane;
  readonly #bulk: number;
  readonly #writer: Writer;
  #open = true;
  #sent = 0;

  constructor(session: Session, membrane: Membrane) {
    const store = writingPastTheLog(session, membrane, "bulkLoad");
    this.#session = session;
    this.#membrane = membrane;
    this.#bulk = store.engine.bulkBegin(membrane.pointer);
    this.#writer = store.writers.take();
    this.#writer.batchBegin();
  }

  /** The records that `fill` writes. Whether it is time to let others have their turn. */
  add(fill: (writer: Writer) => void): boolean {
    fill(this.#writer);
    return this.#writer.at >= GATHER && this.#send();
  }

  #send(): boolean {
    const writer = this.#writer, { engine } = this.#session.writing(this.#membrane);
    engine.bulkPut(this.#bulk, writer.bytes.subarray(BATCH.HEAD, writer.at));
    this.#sent += writer.at;
    writer.clear();
    writer.batchBegin();
    if (this.#sent < TURN) return false;
    this.#sent = 0;
    return true;
  }

  /** The number of rows: all of them are there now, and durable. */
  commit(): number {
    if (this.#writer.count > 0) this.#send();
    const store = this.#session.writing(this.#membrane);
    store.apply(); // what was put before is older
    this.#end();
    const rows = store.engine.bulkCommit(this.#bulk);
    store.acknowledged();
    return rows;
  }

  /** Nothing of it stays, unless it is committed. */
  close(): void {
    if (!this.#open) return;
    this.#end();
    const { store } = this.#session;
    if (!store.closed) store.engine.bulkAbort(this.#bulk);
  }

  #end(): void {
    this.#open = false;
    this.#session.store.writers.give(this.#writer);
  }
}

/** Before what is a commit of its own and cannot be part of a transaction. */
export function writingPastTheLog(session: Session, membrane: Membrane, verb: string): Session["store"] {
  if ((session as { scope?: unknown }).scope !== undefined) {
    throw new NacreError("UNSUPPORTED", `${membrane.name}: ${verb} is a commit of its own, and cannot be part of a transaction`);
  }
  return session.writing(membrane);
}

/** One row of an iterable, written as a record. */
export type PutRow = (writer: Writer, row: unknown) => void;

export function bulkLoadSync(session: Session, membrane: Membrane, rows: unknown, put: PutRow): number {
  if (!isIterable(rows, Symbol.iterator)) throw invalid(`${membrane.name}: bulkLoad takes an iterable in the order of the keys, not ${shown(rows)}`);
  const load = new BulkLoad(session, membrane);
  try {
    for (const row of rows) load.add((writer) => put(writer, row));
    return load.commit();
  } finally {
    load.close();
  }
}

export async function bulkLoad(session: Session, membrane: Membrane, rows: unknown, put: PutRow, begin = (): Load => new BulkLoad(session, membrane)): Promise<number> {
  const later = isIterable(rows, Symbol.asyncIterator);
  if (!later && !isIterable(rows, Symbol.iterator)) {
    throw invalid(`${membrane.name}: bulkLoad takes an iterable, or an async one, in the order of the keys, not ${shown(rows)}`);
  }
  const load = begin();
  try {
    if (later) {
      for await (const row of rows) {
        const turn = load.add((writer) => put(writer, row));
        if (typeof turn === "object") await turn;
      }
    } else {
      for (const row of rows as Iterable<unknown>) {
        const turn = load.add((writer) => put(writer, row));
        if (turn !== false) await (turn === true ? new Promise<void>(atEndOfTick) : turn);
      }
    }
    const loaded = await load.commit();
    await session.store.settled();
    return loaded;
  } finally {
    load.close();
  }
}

/** Text can be iterated, but nobody means its letters. */
function isIterable<S extends typeof Symbol.iterator | typeof Symbol.asyncIterator>(
  given: unknown, symbol: S): given is S extends typeof Symbol.iterator ? Iterable<unknown> : AsyncIterable<unknown> {
  return typeof given === "object" && given !== null && symbol in given;
}
