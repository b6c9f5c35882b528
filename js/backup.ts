import { BACKUP, INPUT } from "./abi.gen.ts";
import { Cutoff, longCall } from "./cutoff.ts";
import type { LongCall } from "./cutoff.ts";
import { disposes } from "./dispose.ts";
import type { Engine, RawBackup, Until } from "./engine.ts";
import { checkOptions, invalid, NacreError, shown } from "./errors.ts";
import { copyKey } from "./secret.ts";
import { atEndOfTick } from "./store.ts";
import type { Session } from "./store.ts";
import { readAll, streamOf } from "./stream.ts";

const CHUNK = 256 * 1024; // bytes that a backup gives at once
const TURN = 1024 * 1024; // bytes after which others have their turn
const TAIL = 8; // behind a token: its size u32 | "BEND"

/** What a backup is, and what is in it. */
export interface BackupReport {
  kind: "full" | "incremental" | "log";
  /** Of the last commit in it. */
  sequence: bigint;
  /** It goes on from there; 0n: it is a full one. */
  base: bigint;
  bytes: number;
  /** What a later incremental backup takes as its `base`; empty for a log. */
  token: Uint8Array;
}

/** Where a backup comes from: one stream, or several one after the other. */
export type BackupSource = Uint8Array | ArrayBuffer | Blob | Response | ReadableStream<Uint8Array> |
  AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** The same where nothing can be waited for. */
export type BackupSourceSync = Uint8Array | ArrayBuffer | Iterable<Uint8Array>;

/** Where a backup goes: a stream (which is not closed), or whatever takes chunks. */
export type BackupTarget = WritableStream<Uint8Array> | { write(chunk: Uint8Array): unknown } | ((chunk: Uint8Array) => unknown);

export interface ExportOptions {
  /**
   * Encrypts the stream with a key of 32 bytes; false: not at all. When absent it is as the database:
   * encrypted with the same key, or not.
   */
  encryption?: { key: Uint8Array } | false | undefined;
}

export interface BackupOptions extends LongCall, ExportOptions {
  /**
   * The token of an earlier backup of this database, or the whole of it if it is not encrypted: only
   * what is new since.
   */
  base?: Uint8Array | undefined;
}

export type BackupSyncOptions = Omit<BackupOptions, keyof LongCall>;

export interface ArchiveOptions {
  /** The `sequence` of a backup: what was committed after it. */
  since: bigint;
}

const KINDS = new Map<number, BackupReport["kind"]>([
  [BACKUP.FULL, "full"], [BACKUP.INCREMENTAL, "incremental"], [BACKUP.LOG, "log"]]);

export function report({ kind, sequence, base, bytes, token }: RawBackup): BackupReport {
  return { kind: KINDS.get(kind) ?? "full", sequence: BigInt(sequence), base: BigInt(base), bytes, token };
}

// ---- Making ----

/** Bytes of a backup, from this realm or another. */
export interface Outgoing {
  /** The next bytes; undefined: it is whole. */
  next(): Uint8Array | undefined | Promise<Uint8Array | undefined>;
  report(): BackupReport | Promise<BackupReport>;
  close(): void;
}

/** A backup on its way: the state of when it began. */
export class Out implements Outgoing {
  readonly #session: Session;
  readonly #pointer: number;
  readonly #unlisten: () => void;
  #open = true;

  constructor(session: Session, encryption: Uint8Array | false | undefined, begin: (engine: Engine) => number) {
    const store = session.reading();
    store.settle(); // all that was written before is in it
    this.#session = session;
    this.#pointer = begin(store.engine);
    try {
      if (encryption !== undefined) store.engine.backupEncrypt(this.#pointer, encryption === false ? undefined : encryption);
    } catch (error) {
      store.engine.backupEnd(this.#pointer);
      throw error;
    } finally {
      if (encryption) encryption.fill(0);
    }
    this.#unlisten = session.atClose(() => this.close());
  }

  /** The next bytes; undefined: it is whole. */
  next(): Uint8Array | undefined {
    this.#session.check();
    const bytes = this.#session.store.engine.backupRead(this.#pointer, CHUNK);
    return bytes.length === 0 ? undefined : bytes;
  }

  report(): BackupReport {
    return report(this.#session.store.engine.backupDescribe(this.#pointer));
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#unlisten();
    const { store } = this.#session;
    if (!store.closed) store.engine.backupEnd(this.#pointer);
  }
}

/** The end of a backup is all of it that is needed. */
export function checkBase(base: unknown): Uint8Array | undefined {
  if (base === undefined) return undefined;
  if (!(base instanceof Uint8Array)) throw invalid(`backup: base must be the token of a backup, a Uint8Array, not ${shown(base)}`);
  if (base.length < TAIL) throw invalid("backup: what is given as base does not end with the end of a backup");
  const size = new DataView(base.buffer, base.byteOffset, base.length).getUint32(base.length - TAIL, true);
  return size <= base.length ? base.slice(base.length - size) : base.slice(base.length - TAIL);
}

/** A copy of the key; false: not encrypted; undefined: as the database. */
export function checkEncryption(encryption: unknown, what: string): Uint8Array | false | undefined {
  if (encryption === undefined || encryption === false) return encryption;
  return copyKey(checkOptions(encryption, `${what}: encryption`, ["key"]).key, `${what}: encryption.key`);
}

export async function drain(out: Outgoing, target: unknown, call: LongCall, what: string): Promise<BackupReport> {
  const cutoff = new Cutoff(call, what);
  let end: () => void = () => {};
  try {
    const put = sink(target, what, (done) => { end = done; });
    for (let bytes = await out.next(), sent = 0; bytes !== undefined; bytes = await out.next()) {
      cutoff.check();
      sent += bytes.length;
      await cutoff.race(Promise.resolve(put(bytes)));
      if (sent < TURN) continue;
      sent = 0;
      await new Promise<void>(atEndOfTick);
    }
    return await out.report();
  } finally {
    end();
    cutoff.end();
    out.close();
  }
}

function sink(target: unknown, what: string, atEnd: (end: () => void) => void): (chunk: Uint8Array) => unknown {
  if (typeof WritableStream !== "undefined" && target instanceof WritableStream) {
    if (target.locked) throw invalid(`${what}: the stream is locked: somebody else writes to it`);
    const writer = target.getWriter() as WritableStreamDefaultWriter<Uint8Array>;
    atEnd(() => writer.releaseLock());
    return (chunk) => writer.write(chunk);
  }
  const put = sinkSync(target);
  if (put === undefined) throw invalid(`${what} takes a WritableStream, a function, or what has a method write, not ${shown(target)}`);
  return put;
}

function sinkSync(target: unknown): ((chunk: Uint8Array) => unknown) | undefined {
  if (typeof target === "function") return target as (chunk: Uint8Array) => unknown;
  const writer = target as { write?: unknown } | null | undefined;
  if (typeof target !== "object" || typeof writer?.write !== "function") return undefined;
  return (chunk) => (writer.write as (chunk: Uint8Array) => unknown).call(writer, chunk);
}

function drainSync(out: Out, target: unknown, what: string): BackupReport {
  try {
    const put = sinkSync(target);
    if (put === undefined) throw invalid(`${what} takes a function, or what has a method write, not ${shown(target)}`);
    for (let bytes = out.next(); bytes !== undefined; bytes = out.next()) put(bytes);
    return out.report();
  } finally {
    out.close();
  }
}

export function backup(session: Session, target: unknown, options: unknown): Promise<BackupReport> {
  const given = checkOptions(options, "backup", ["base", "encryption", "signal", "timeoutMs"]);
  const base = checkBase(given.base), call = longCall(given, "backup");
  return drain(new Out(session, checkEncryption(given.encryption, "backup"), (engine) => engine.backupBegin(base)), target, call, "backup");
}

export function backupSync(session: Session, target: unknown, options: unknown): BackupReport {
  const given = checkOptions(options, "backup", ["base", "encryption"]), base = checkBase(given.base);
  return drainSync(new Out(session, checkEncryption(given.encryption, "backup"), (engine) => engine.backupBegin(base)), target, "backup");
}

function exporting(session: Session, options: unknown): Out {
  const { encryption } = checkOptions(options, "export", ["encryption"]);
  return new Out(session, checkEncryption(encryption, "export"), (engine) => engine.backupBegin(undefined));
}

export function exportStream(session: Session, options: unknown): ReadableStream<Uint8Array> {
  return streamOf(exporting(session, options));
}

export function exportSync(session: Session, options: unknown): IterableIterator<Uint8Array> {
  return chunksOf(exporting(session, options));
}

function* chunksOf(out: Out): Generator<Uint8Array, void, undefined> {
  try {
    for (let bytes = out.next(); bytes !== undefined; bytes = out.next()) yield bytes;
  } finally {
    out.close();
  }
}

// ---- Archives ----

export function checkArchive(options: unknown): number {
  const { since } = checkOptions(options, "archive", ["since"]);
  if (typeof since === "bigint" && since >= 0n && since <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(since);
  throw invalid(`archive: since must be the sequence of a backup, a bigint, not ${shown(since)}`);
}

export class ArchiveHandle {
  readonly #session: Session;
  readonly #pointer: number;
  readonly #unlisten: () => void;
  #open = true;

  constructor(session: Session, options: unknown) {
    const since = checkArchive(options);
    const store = session.reading();
    store.settle();
    this.#session = session;
    this.#pointer = store.engine.archiveOpen(since);
    this.#unlisten = session.atClose(() => this.close());
  }

  begin(encryption: Uint8Array | false | undefined): Out {
    this.#session.check();
    if (!this.#open) throw new NacreError("CLOSED", "archive: closed");
    return new Out(this.#session, encryption, (engine) => engine.archiveBegin(this.#pointer));
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#unlisten();
    const { store } = this.#session;
    if (!store.closed) store.engine.archiveClose(this.#pointer);
  }
}

/**
 * Every commit since a backup, stream by stream: with that backup one can go back to each of
 * them. While it is open it notes when they were made, and keeps rows that come in bulk.
 */
export class Archive {
  readonly #handle: { begin(encryption: Uint8Array | false | undefined): Outgoing; close(): void };

  /** @internal */
  constructor(session: Session, options: unknown, handle: { begin(encryption: Uint8Array | false | undefined): Outgoing; close(): void } = new ArchiveHandle(session, options)) {
    this.#handle = handle;
  }

  /**
   * Writes what was committed since the last one that was written whole. NOT_FOUND: not all of
   * it is kept any more (the option `changes` of open says how much is).
   */
  async write(target: BackupTarget, options?: LongCall & ExportOptions): Promise<BackupReport> {
    const given = checkOptions(options, "archive", ["encryption", "signal", "timeoutMs"]), call = longCall(given, "archive");
    return drain(this.#handle.begin(checkEncryption(given.encryption, "archive")), target, call, "archive");
  }

  async close(): Promise<void> {
    this.#handle.close();
  }
}

export interface Archive extends AsyncDisposable {}
disposes(Archive.prototype, "asyncDispose", "close");

/** An archive, synchronously. */
export class ArchiveSync {
  readonly #handle: ArchiveHandle;

  /** @internal */
  constructor(session: Session, options: unknown) {
    this.#handle = new ArchiveHandle(session, options);
  }

  /** Writes what was committed since the last one that was written whole. */
  write(target: { write(chunk: Uint8Array): unknown } | ((chunk: Uint8Array) => unknown), options?: ExportOptions): BackupReport {
    const { encryption } = checkOptions(options, "archive", ["encryption"]);
    return drainSync(this.#handle.begin(checkEncryption(encryption, "archive")), target, "archive");
  }

  close(): void {
    this.#handle.close();
  }
}

export interface ArchiveSync extends Disposable {}
disposes(ArchiveSync.prototype, "dispose", "close");

// ---- Reading ----

/** A source as chunks. What is an array may hold chunks, or sources. */
type Chunks = AsyncIterable<unknown> | Iterable<unknown>;

function isBytes(value: unknown): value is Uint8Array | ArrayBuffer {
  return value instanceof Uint8Array || value instanceof ArrayBuffer;
}

/** Checks the source, and copies bytes: what the caller does with them afterwards changes nothing. */
export function sources(source: unknown, what: string): Chunks {
  if (isBytes(source)) return [source instanceof Uint8Array ? source.slice() : new Uint8Array(source.slice(0))];
  if (typeof Blob !== "undefined" && source instanceof Blob) return readAll(source.stream());
  if (typeof Response !== "undefined" && source instanceof Response) {
    if (!source.ok) throw new NacreError("IO", `${what}: ${source.url}: HTTP status ${source.status}`);
    if (source.bodyUsed || source.body === null) throw invalid(`${what}: the response has no body, or it was read already`);
    return readAll(source.body);
  }
  if (typeof ReadableStream !== "undefined" && source instanceof ReadableStream) {
    if (source.locked) throw invalid(`${what}: the stream is locked: somebody else reads it`);
    return readAll(source);
  }
  if (Array.isArray(source)) return joined(source.map((each) => sources(each, what)));
  if (typeof source === "object" && source !== null && !ArrayBuffer.isView(source)) {
    if (Symbol.asyncIterator in source) return source as AsyncIterable<unknown>;
    if (Symbol.iterator in source) return source as Iterable<unknown>;
  }
  throw invalid(`${what} takes a Uint8Array, Blob, Response, ReadableStream or an iterable of Uint8Array, not ${shown(source)}`);
}

async function* joined(parts: readonly Chunks[]): AsyncGenerator<unknown, void, undefined> {
  for (const part of parts) yield* part;
}

function chunk(bytes: unknown, what: string): Uint8Array {
  if (bytes instanceof Uint8Array) return bytes;
  throw invalid(`${what}: a chunk must be a Uint8Array, not ${shown(bytes)}`);
}

function give(engine: Engine, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; at += INPUT.SIZE) engine.restoreWrite(bytes.subarray(at, at + INPUT.SIZE));
}

/** Gives an engine that restores all of a source. */
export async function feed(engine: Engine, source: Chunks, call: LongCall, what: string): Promise<void> {
  const cutoff = new Cutoff(call, what);
  const chunks = (Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()) as AsyncIterator<unknown> | Iterator<unknown>;
  let done = false;
  try {
    for (let given = 0; ;) {
      const next = await cutoff.race(Promise.resolve(chunks.next()));
      if (next.done === true) break;
      const bytes = chunk(next.value, what);
      give(engine, bytes);
      given += bytes.length;
      if (given < TURN) continue;
      given = 0;
      await new Promise<void>(atEndOfTick);
    }
    done = true;
    cutoff.check();
  } finally {
    cutoff.end();
    if (!done) void Promise.resolve(chunks.return?.()).catch(() => undefined);
  }
}

export function feedSync(engine: Engine, source: unknown, what: string): void {
  if (isBytes(source)) return give(engine, source instanceof Uint8Array ? source : new Uint8Array(source));
  if (Array.isArray(source)) {
    for (const each of source) feedSync(engine, each, what);
    return;
  }
  if (typeof source === "object" && source !== null && Symbol.iterator in source) {
    for (const each of source as Iterable<unknown>) give(engine, chunk(each, what));
    return;
  }
  throw invalid(`${what} takes a Uint8Array or an iterable of Uint8Array, not ${shown(source)}`);
}

/** A copy of the key that streams are encrypted with. */
export function checkDecryption(decryption: unknown, what: string): Uint8Array | undefined {
  return decryption === undefined ? undefined : copyKey(checkOptions(decryption, `${what}: decryption`, ["key"]).key, `${what}: decryption.key`);
}

/** `sequence`, `time` and `decryption` of options, as the engine takes them. */
export function checkUntil({ sequence, time, decryption }: Record<string, unknown>, what: string): Until {
  if (sequence !== undefined && time !== undefined) throw invalid(`${what}: sequence or time, not both`);
  if (sequence !== undefined && (typeof sequence !== "bigint" || sequence < 1n || sequence > BigInt(Number.MAX_SAFE_INTEGER))) {
    throw invalid(`${what}: sequence must be a bigint, 1n or more, not ${shown(sequence)}`);
  }
  const timeMs = time instanceof Date ? time.getTime() : time ?? 0;
  if (typeof timeMs !== "number" || (time !== undefined && !(Number.isSafeInteger(timeMs) && timeMs > 0))) {
    throw invalid(`${what}: time must be a Date, or milliseconds since 1970, not ${shown(time)}`);
  }
  return { sequence: Number(sequence ?? 0n), timeMs, key: checkDecryption(decryption, what) };
}
