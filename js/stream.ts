import { ABI, INPUT } from "./abi.gen.ts";
import { writingPastTheLog } from "./bulk.ts";
import { checkOptions, invalid, shown } from "./errors.ts";
import { expiryOf } from "./expiry.ts";
import type { PutOptions } from "./expiry.ts";
import type { Membrane } from "./membrane.ts";
import type { Session } from "./store.ts";

/** Which part of a value: from byte `start` up to, not including, byte `end`. */
export interface StreamRange {
  start?: number | undefined;
  end?: number | undefined;
}

export type PutStreamOptions = PutOptions;

/** What a value may be streamed from. */
export type ByteSource = ReadableStream<Uint8Array> | AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

// ---- Putting ----

/** Where the bytes of a value go, in this realm or another. */
export interface Incoming {
  append(chunk: Uint8Array): void | Promise<void>;
  finish(): void | Promise<void>;
  /** Nothing of it stays, unless it is finished. */
  close(): void;
}

/** A value on its way: nobody sees it before `finish`. */
export class ValueIn implements Incoming {
  readonly #session: Session;
  readonly #membrane: Membrane;
  readonly #writer: number;
  #open = true;

  /** `key`: writes it into the input buffer, and gives its size. */
  constructor(session: Session, membrane: Membrane, ttl: number, key: () => number) {
    const { engine } = writingPastTheLog(session, membrane, "putStream");
    this.#session = session;
    this.#membrane = membrane;
    this.#writer = engine.valueBegin(membrane.pointer, ttl, key());
  }

  append(chunk: Uint8Array): void {
    const { engine } = this.#session.writing(this.#membrane);
    for (let at = 0; at < chunk.length; at += INPUT.SIZE) engine.valueAppend(this.#writer, chunk.subarray(at, at + INPUT.SIZE));
  }

  finish(): void {
    const store = this.#session.writing(this.#membrane);
    store.apply(); // what was put before is older
    this.#open = false;
    store.engine.valueFinish(this.#writer);
    store.written();
    store.acknowledged();
  }

  /** Nothing of it stays, unless it is finished. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    const { store } = this.#session;
    if (!store.closed) store.engine.valueAbort(this.#writer);
  }
}

/** Milliseconds that a streamed value lives; 0: for ever. */
export function streamTtl(membrane: Membrane, options: unknown): number {
  return Math.max(0, -expiryOf(options, membrane.schema.storage, () => `${membrane.name}: putStream`));
}

function bytesOnly(membrane: Membrane, chunk: unknown): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk;
  throw invalid(`${membrane.name}: putStream: a chunk must be a Uint8Array, not ${shown(chunk)}`);
}

function valueIn(session: Session, membrane: Membrane, key: unknown, options: unknown): ValueIn {
  return new ValueIn(session, membrane, streamTtl(membrane, options), () => membrane.putKey(session, key));
}

export function putStreamSync(session: Session, membrane: Membrane, key: unknown, source: unknown, options: unknown): void {
  if (!has(source, Symbol.iterator)) throw refused(membrane, source, "an iterable of Uint8Array");
  const value = valueIn(session, membrane, key, options);
  try {
    for (const chunk of source as Iterable<unknown>) value.append(bytesOnly(membrane, chunk));
    value.finish();
  } finally {
    value.close();
  }
}

export async function putStream(session: Session, membrane: Membrane, key: unknown, source: unknown, options: unknown): Promise<void> {
  await fill(valueIn(session, membrane, key, options), membrane, source);
  await session.store.settled();
}

/** Gives a value all of a source. */
export async function fill(value: Incoming, membrane: Membrane, source: unknown): Promise<void> {
  try {
    for await (const chunk of chunks(membrane, source)) await value.append(bytesOnly(membrane, chunk));
    await value.finish();
  } finally {
    value.close();
  }
}

function chunks(membrane: Membrane, source: unknown): AsyncIterable<unknown> | Iterable<unknown> {
  const stream = typeof ReadableStream !== "undefined" && source instanceof ReadableStream ? source : undefined;
  if (stream?.locked === true) throw invalid(`${membrane.name}: putStream: the stream is locked: somebody else reads it`);
  if (has(source, Symbol.asyncIterator)) return source as AsyncIterable<unknown>;
  if (stream !== undefined) return readAll(stream);
  if (has(source, Symbol.iterator)) return source as Iterable<unknown>;
  throw refused(membrane, source, "a ReadableStream or an iterable of Uint8Array");
}

/** A stream's chunks: in some browsers it cannot be iterated. What ends early cancels it. */
export async function* readAll(stream: ReadableStream<unknown>): AsyncGenerator<unknown, void, undefined> {
  const reader = stream.getReader();
  let done = false;
  try {
    for (;;) {
      const read = await reader.read();
      done = read.done;
      if (read.done) return;
      yield read.value;
    }
  } finally {
    if (!done) await reader.cancel().catch(() => undefined);
    reader.releaseLock();
  }
}

/** Bytes and text can be iterated, too, but they are no chunks. */
function has(source: unknown, symbol: symbol): boolean {
  return typeof source === "object" && source !== null && !ArrayBuffer.isView(source) && symbol in source;
}

function refused(membrane: Membrane, source: unknown, wanted: string): Error {
  return invalid(`${membrane.name}: putStream takes ${wanted}, not ${shown(source)}${source instanceof Uint8Array ? "; put takes bytes" : ""}`);
}

// ---- Getting ----

/** An open value; each read is of one state, whatever is written meanwhile. */
export class ValueOut {
  readonly #session: Session;
  readonly #reader: number;
  readonly #end: number;
  #at: number;
  #open = true;

  constructor(session: Session, reader: number, start: number, end: number) {
    this.#session = session;
    this.#reader = reader;
    this.#at = start;
    this.#end = end;
  }

  /** Of the key that stands in the input buffer; undefined: there is no such row. */
  static open(session: Session, membrane: Membrane, keySize: number, { start, end }: { start: number; end: number }): ValueOut | undefined {
    const opened = session.store.engine.valueOpen(membrane.pointer, session.snapshot, keySize);
    return opened === undefined ? undefined : new ValueOut(session, opened.reader, start, Math.min(end, opened.size));
  }

  /** The next bytes, up to the end of a piece; undefined at the end. */
  next(): Uint8Array | undefined {
    this.#session.check();
    if (this.#at >= this.#end) return undefined;
    const size = Math.min(ABI.PIECE - (this.#at % ABI.PIECE), this.#end - this.#at);
    const bytes = this.#session.store.engine.valueRead(this.#reader, this.#at, size);
    this.#at += size;
    return bytes;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    const { store } = this.#session;
    if (!store.closed) store.engine.valueClose(this.#reader);
  }
}

export function streamRange(membrane: Membrane, range: unknown): { start: number; end: number } {
  const what = `${membrane.name}: getStream`;
  const { start = 0, end = Infinity } = checkOptions(range, what, ["start", "end"]);
  for (const [name, offset] of Object.entries({ start, end })) {
    if (typeof offset !== "number" || !(offset >= 0) || (offset !== Infinity && !Number.isSafeInteger(offset))) {
      throw invalid(`${what}: ${name} must be a whole number of bytes, 0 or more, not ${shown(offset)}`);
    }
  }
  return { start: start as number, end: end as number };
}

function openValue(session: Session, membrane: Membrane, key: unknown, range: unknown): ValueOut | undefined {
  const wanted = streamRange(membrane, range);
  session.reading(membrane);
  return ValueOut.open(session, membrane, membrane.putKey(session, key), wanted);
}

export function getStreamSync(session: Session, membrane: Membrane, key: unknown, range: unknown): IterableIterator<Uint8Array> | undefined {
  const value = openValue(session, membrane, key, range);
  return value === undefined ? undefined : read(value);
}

function* read(value: ValueOut): Generator<Uint8Array, void, undefined> {
  try {
    for (let bytes = value.next(); bytes !== undefined; bytes = value.next()) yield bytes;
  } finally {
    value.close();
  }
}

export function getStream(session: Session, membrane: Membrane, key: unknown, range: unknown): ReadableStream<Uint8Array> | undefined {
  const value = openValue(session, membrane, key, range);
  if (value === undefined) return undefined;
  return streamOf(value);
}

/** What gives bytes, of this realm or another, as a stream: read when asked, so that what nobody reads is not held. */
export function streamOf(from: { next(): Uint8Array | undefined | Promise<Uint8Array | undefined>; close(): void }): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      let bytes: Uint8Array | undefined;
      try {
        bytes = await from.next();
      } catch (error) {
        from.close();
        throw error;
      }
      if (bytes !== undefined) return controller.enqueue(bytes);
      from.close();
      controller.close();
    },
    cancel: () => from.close(),
  }, { highWaterMark: 0 });
}
