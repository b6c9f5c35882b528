import { INPUT, PAGE } from "./abi.gen.ts";
import { ArchiveHandle, Out } from "./backup.ts";
import { writingPastTheLog } from "./bulk.ts";
import { changes, onCommit } from "./changes.ts";
import type { Changed } from "./collection.ts";
import { updating } from "./collection.ts";
import { Cutoff } from "./cutoff.ts";
import { Database } from "./database.ts";
import type { Engine } from "./engine.ts";
import { NacreError } from "./errors.ts";
import type { Membrane } from "./membrane.ts";
import { pathName } from "./search.ts";
import type { SearchRequest } from "./search.ts";
import { readU32 } from "./rows.ts";
import type { Served, Service, Token, TokenMemory } from "./route.ts";
import { KV_DEFAULT } from "./schema.ts";
import type { Schema } from "./schema.ts";
import { SnapshotSync } from "./snapshot.ts";
import { atEndOfTick, Session } from "./store.ts";
import type { Store } from "./store.ts";
import { ValueIn, ValueOut } from "./stream.ts";
import { TransactionSession, Work } from "./transaction.ts";
import { packError, PIECE } from "./wire.ts";
import type { Bytes, Page, Request, Told } from "./wire.ts";
import type { Writer } from "./writer.ts";

const FIRST_PAGE = 16 * 1024;
const SLICE_MS = 5; // of work, after which others have their turn
const QUERIES = 32; // that go to the engine together
const CHANGES_PIECE = 256; // changes that are told at once

/** What a client has open under a handle. */
interface Held {
  /** Of a snapshot or a transaction. */
  session?: Session;
  /** What is read from it piece by piece; undefined: it is at its end. */
  pull?(call: Call, size?: number): unknown;
  seek?(call: Call, key: Uint8Array, limit: number): unknown;
  /** Of a bulk load or a value on its way. */
  push?(bytes: Uint8Array): void;
  /** Ends it well; gives what it has to say. */
  finish?(call: Call): unknown;
  /** Of an archive. */
  begin?(encryption: Uint8Array | false | undefined): Out;
  /** It ends by itself with the client's session, and tells what it has until then. */
  readonly last?: boolean;
  /** Gives back what it holds; may come after `finish`, and twice. */
  close(): void;
}

interface Client {
  readonly session: Session;
  readonly held: Map<number, Held>;
}

/**
 * Serves an open store to other realms: what they ask for in bytes is done with the same
 * sessions that handles of this realm have.
 *
 * 1. A request takes effect when it comes: what it needs of the engine it does before it waits.
 * 2. What a client has opened is its own, and is given back when the client is gone.
 * 3. Work that lasts is cut into slices, and others are served in between.
 */
export class StoreService implements Service {
  onevent: ((client: string, body: unknown) => void) | undefined;
  readonly store: Store;
  readonly memory: TokenMemory | undefined;
  readonly #clients = new Map<string, Client>();
  readonly #membranes = new Map<number, Membrane>();

  constructor(store: Store, memory?: TokenMemory) {
    this.store = store;
    this.memory = memory;
  }

  async serve(name: string, body: unknown, token?: Token, cancel?: AbortSignal): Promise<Served> {
    const [op, where, handle, ...args] = body as Request;
    const done = token && this.memory?.recall(token);
    if (done !== undefined && op !== "write" && done.has(0) && !REPEATED.has(op)) return { body: done.get(0) };
    const run = OPS[op];
    if (run === undefined) throw new NacreError("INTERNAL", `no such request: ${op}`);
    const call = new Call(this, name, this.#client(name), where, handle, { token, done, cancel });
    const answer = await run(call, ...args as never[]);
    if (SETTLED.has(op)) await this.store.settled();
    return { body: answer, transfer: buffers(answer) };
  }

  #client(name: string): Client {
    let client = this.#clients.get(name);
    if (client === undefined) {
      client = { session: new Session(this.store, this.store.readonly), held: new Map() };
      this.#clients.set(name, client);
    }
    return client;
  }

  /** The membrane of this number; NOT_FOUND when it was dropped. */
  membrane(id: number): Membrane {
    let membrane = this.#membranes.get(id);
    if (membrane === undefined || membrane.dropped) {
      const found = this.store.membraneById(id);
      if (found === undefined) throw membrane?.gone() ?? new NacreError("NOT_FOUND", `membrane ${id} was dropped`);
      this.#membranes.set(id, membrane = found);
    }
    return membrane;
  }

  /** Whether anybody has something open that would not survive another owner. */
  busy(): boolean {
    for (const { held } of this.#clients.values()) if (held.size > 0) return true;
    return false;
  }

  gone(name: string): void {
    const client = this.#clients.get(name);
    if (client === undefined) return;
    this.#clients.delete(name);
    const all = [...client.held.values()].reverse();
    for (const held of all) if (held.last !== true) held.close();
    client.session.close();
    for (const held of all) held.close();
    client.held.clear();
  }

  async close(): Promise<void> {
    this.store.settle();
    for (const name of [...this.#clients.keys()]) this.gone(name);
    await this.store.settled();
  }
}

/** What was noted of these is no answer. */
const REPEATED: ReadonlySet<string> = new Set(["call"]);
/** What writes without the store's queue. */
const SETTLED: ReadonlySet<string> = new Set(["call", "open", "finish"]);

/** What of an answer may change hands: it is in no other one. */
function buffers(answer: unknown): readonly Transferable[] {
  const bytes = (answer as { bytes?: unknown } | undefined)?.bytes ?? answer;
  const first = (bytes as { first?: unknown } | undefined)?.first ?? bytes;
  return first instanceof Uint8Array && first.byteLength === first.buffer.byteLength ? [first.buffer as ArrayBuffer] : [];
}

interface Circumstances {
  readonly token: Token | undefined;
  readonly done: ReadonlyMap<number, unknown> | undefined;
  readonly cancel: AbortSignal | undefined;
}

/** One request. */
class Call {
  readonly service: StoreService;
  readonly clientName: string;
  readonly client: Client;
  readonly where: number;
  readonly handle: number;
  readonly #circumstances: Circumstances;

  constructor(service: StoreService, clientName: string, client: Client, where: number, handle: number, circumstances: Circumstances) {
    this.service = service;
    this.clientName = clientName;
    this.client = client;
    this.where = where;
    this.handle = handle;
    this.#circumstances = circumstances;
  }

  get store(): Store {
    return this.service.store;
  }

  /** Where it is to be done. */
  get session(): Session {
    return this.where === 0 ? this.client.session : this.held.session ?? this.client.session;
  }

  /** What `where` names. CONFLICT: it was open in a service that is gone. */
  get held(): Held {
    const held = this.client.held.get(this.where);
    if (held !== undefined) return held;
    throw new NacreError("CONFLICT", `${this.store.name}: the tab that held the files went away, and with it what was open there`, { details: { gone: true } });
  }

  hold<T extends Held>(held: T, handle = this.handle): T {
    this.client.held.set(handle, held);
    return held;
  }

  /** Bytes that are the answer's own; what is more than a piece is pulled. */
  bytes(bytes: Uint8Array): Bytes {
    if (bytes.length <= PIECE) return bytes;
    let at = PIECE;
    const rest = -this.handle, { held } = this.client;
    this.hold({
      pull: () => {
        const piece = bytes.slice(at, at += PIECE);
        if (at >= bytes.length) held.delete(rest);
        return piece;
      },
      close: () => {},
    }, rest);
    return { first: bytes.slice(0, PIECE), size: bytes.length };
  }

  reading(id: number): { membrane: Membrane; engine: Engine; session: Session } {
    const membrane = this.service.membrane(id), { session } = this;
    return { membrane, session, engine: session.reading(membrane).engine };
  }

  // ---- Writing ----

  /** What was done of it before, by another owner. */
  wasDone(part: number): boolean {
    return this.#circumstances.done?.has(part) === true;
  }

  /** What it has given then. */
  get result(): unknown {
    return this.#circumstances.done?.get(0);
  }

  /** Adds to the batch in hand that this part of the request is done. */
  note(writer: Writer, part: number, result: unknown): void {
    const { token } = this.#circumstances;
    if (token !== undefined) this.service.memory?.note(writer, token, part, result);
  }

  /** Whether it is to be remembered. */
  get noted(): boolean {
    return this.#circumstances.token !== undefined && this.service.memory !== undefined;
  }

  write<T>(membrane: Membrane, value: T, fill: (writer: Writer) => void): Promise<T> {
    return this.session.enqueue(membrane, value, (writer) => {
      fill(writer);
      this.note(writer, 0, value);
    });
  }

  // ---- Slices ----

  /** Gives others their turn when this one has lasted; ABORTED when nobody waits for it. */
  async turn(since: number): Promise<number> {
    if (performance.now() - since < SLICE_MS) return since;
    await new Promise<void>(atEndOfTick);
    if (this.#circumstances.cancel?.aborted === true) throw new NacreError("ABORTED", `${this.store.name}: nobody waits for it`);
    this.session.check();
    return performance.now();
  }
}

function putInput(engine: Engine, bytes: Uint8Array): number {
  engine.reserveInput(bytes.length);
  engine.heap.u8.set(bytes, engine.input);
  return bytes.length;
}

function hasRow(call: Call, id: number, key: Uint8Array): boolean {
  const { membrane, engine, session } = call.reading(id);
  return engine.has(membrane.pointer, session.snapshot, putInput(engine, key));
}

function deleteRow(writer: Writer, id: number, key: Uint8Array): void {
  const start = writer.recordBegin(key.length, id), end = writer.at + key.length;
  writer.bytes.set(key, writer.at);
  writer.recordEnd(start, end, end, 1);
}

/** `keys`: each its size u32, its bytes, and zeros up to a multiple of four. */
function getRows(call: Call, id: number, keys: Uint8Array, count: number): Bytes {
  const { membrane, engine, session } = call.reading(id);
  const pages: Uint8Array[] = [];
  for (let at = 0, left = count; left > 0;) {
    let end = at, some = 0; // as many keys as go in at once, but one at least
    for (; some < left; some++) {
      const next = end + 4 + ((readU32(keys, end) + 3) & ~3);
      if (some > 0 && next - at > INPUT.SIZE) break;
      end = next;
    }
    engine.getMany(membrane.pointer, session.snapshot, some, putInput(engine, keys.subarray(at, end)));
    const found = engine.answerCount;
    pages.push(engine.answerCopy());
    for (let i = 0; i < found; i++) at += 4 + ((readU32(keys, at) + 3) & ~3);
    left -= found;
  }
  return call.bytes(joined(pages));
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  if (pieces.length === 1) return pieces[0] as Uint8Array;
  const whole = new Uint8Array(pieces.reduce((size, piece) => size + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** A cursor, and its first page. */
function scan(call: Call, id: number, low: Uint8Array, high: Uint8Array, filter: Uint8Array, keysOnly: boolean, reverse: boolean, limit: number): Page {
  const { membrane, engine, session } = call.reading(id);
  const cursor = engine.cursorOpen(membrane.pointer, session.snapshot, low, high, filter, keysOnly);
  const { held } = call.client, { handle, store } = call;
  let size = FIRST_PAGE;
  const turned = (now: Call): Page => {
    const more = engine.answerMore, count = engine.answerCount;
    size = Math.min(4 * size, PAGE.SIZE);
    limit -= count;
    const page = { bytes: now.bytes(engine.answerCopy()), count, more };
    return page;
  };
  const pull = (now: Call): Page => {
    session.check();
    engine.cursorPage(cursor, reverse, Math.min(limit, 0xffff_ffff), size);
    return turned(now);
  };
  call.hold({
    pull,
    seek: (now, key, anew) => {
      session.check();
      limit = anew;
      size = FIRST_PAGE;
      engine.cursorSeek(cursor, reverse, key, Math.min(limit, 0xffff_ffff), size);
      return turned(now);
    },
    close: () => {
      if (held.delete(handle) && !store.closed) engine.cursorClose(cursor);
    },
  });
  return pull(call);
}

/** Counts page by page where all of it would last too long. */
async function count(call: Call, id: number, low: Uint8Array, high: Uint8Array, filter: Uint8Array): Promise<number> {
  const { membrane, engine, session } = call.reading(id);
  const cursor = engine.cursorOpen(membrane.pointer, session.snapshot, low, high, filter, filter.length === 0);
  let rows = 0;
  try {
    for (let more = true, since = performance.now(); more; since = await call.turn(since)) {
      engine.cursorPage(cursor, false, 0xffff_ffff, 4 * FIRST_PAGE);
      rows += engine.answerCount;
      more = engine.answerMore;
    }
  } finally {
    if (!call.store.closed) engine.cursorClose(cursor);
  }
  return rows;
}

/** Rows of a range, or all that match a filter, removed by one batch that can be remembered. */
function remove(call: Call, id: number, low: Uint8Array, high: Uint8Array, filter: Uint8Array): Promise<number> {
  const { membrane, session } = call.reading(id);
  session.writing(membrane);
  if (!call.noted || session.scope !== undefined) return session.removeSoon(membrane, low, high, filter);
  const own = new TransactionSession(new Work(call.store), session);
  try {
    const removed = own.remove(membrane, low, high, filter);
    if (removed > 0) own.commit(membrane, (writer) => call.note(writer, 0, removed));
    const conflict = own.keep();
    if (conflict !== undefined) throw conflict;
    return Promise.resolve(removed);
  } finally {
    own.rollback();
    own.end();
  }
}

/** The number of hits of each query, u32, and the hits. */
async function search(call: Call, id: number, request: SearchRequest, vectors: Uint8Array, queries: number): Promise<Bytes> {
  const { membrane, engine, session } = call.reading(id);
  const size = vectors.length / queries;
  const frozen = queries > QUERIES && session.snapshot === 0 ? engine.snapshotOpen().pointer : session.snapshot;
  const counts: Uint8Array[] = [], hits: Uint8Array[] = [];
  try {
    for (let at = 0, since = performance.now(); at < queries; at += QUERIES) {
      if (at > 0) since = await call.turn(since);
      const some = Math.min(QUERIES, queries - at);
      engine.search(membrane.pointer, frozen, some, request, vectors.subarray(at * size, (at + some) * size));
      const answer = engine.answerCopy();
      counts.push(answer.subarray(0, 4 * some));
      hits.push(answer.subarray(4 * some));
      if (queries <= QUERIES) return call.bytes(answer);
    }
  } finally {
    if (frozen !== session.snapshot && !call.store.closed) engine.snapshotRelease(frozen);
  }
  return call.bytes(joined([...counts, ...hits]));
}

/** Batches, one behind the other: each done or refused by itself. Undefined: all are done. */
async function write(call: Call, batches: Uint8Array): Promise<unknown> {
  const { session } = call, { writers } = session.writing();
  const parts: Promise<unknown>[] = [];
  for (let at = 0; at < batches.length; at += readU32(batches, at)) {
    const part = parts.length;
    if (call.wasDone(part)) {
      parts.push(Promise.resolve());
      continue;
    }
    const writer = writers.take();
    try {
      writer.load(batches.subarray(at, at + readU32(batches, at)));
      call.note(writer, part, undefined);
      writer.batchEnd();
      parts.push(session.submitSoon(writer, undefined));
    } catch (error) {
      parts.push(Promise.reject(error));
    } finally {
      writers.give(writer);
    }
  }
  const refused = await Promise.all(parts.map((part) => part.then(() => undefined, packError)));
  return refused.some((each) => each !== undefined) ? refused : undefined;
}

/** A transaction in its turn, or one nested in `where`. */
async function begin(call: Call): Promise<void> {
  const { session, store } = call;
  if (session instanceof TransactionSession) return transaction(call, session.nest(), () => {});
  const { turns } = session.writing();
  const cutoff = new Cutoff({}, `${store.name}: transaction`);
  const gone = new NacreError("ABORTED", `${store.name}: nobody waits for the transaction`);
  call.hold({ close: () => cutoff.cut(gone) });
  let taken = turns.take();
  try {
    if (!taken) await turns.wait(cutoff);
    taken = true;
    cutoff.check(); // whoever is gone by now gets no turn
    transaction(call, new TransactionSession(new Work(store), session), () => turns.give());
  } catch (error) {
    if (taken) turns.give();
    call.client.held.delete(call.handle);
    throw error;
  }
}

function transaction(call: Call, own: TransactionSession, ended: () => void): void {
  const { held } = call.client, { handle } = call;
  const close = (): void => {
    if (!held.delete(handle)) return;
    own.rollback(); // does nothing when it was kept
    own.end();
    ended();
  };
  call.hold({
    session: own,
    close,
    finish: (now) => {
      try {
        const { writers } = own.writing();
        if (now.noted) {
          const writer = writers.take();
          writer.batchBegin();
          now.note(writer, 0, undefined);
          writer.batchEnd();
          own.submit(writer);
          writers.give(writer);
        }
        const conflict = own.keep();
        if (conflict !== undefined) throw conflict;
      } finally {
        close();
      }
    },
  });
}

function value(call: Call, id: number, key: Uint8Array, ttl: number): void {
  const { membrane, session, engine } = call.reading(id);
  const { held } = call.client, { handle } = call;
  const value = new ValueIn(session, membrane, ttl, () => putInput(engine, key));
  call.hold({
    push: (bytes) => value.append(bytes),
    finish: () => value.finish(),
    close: () => {
      if (held.delete(handle)) value.close();
    },
  });
}

function bulk(call: Call, id: number): void {
  const { membrane, session } = call.reading(id);
  const { engine } = writingPastTheLog(session, membrane, "bulkLoad");
  const { held } = call.client, { handle, store } = call;
  const pointer = engine.bulkBegin(membrane.pointer);
  let open = true;
  call.hold({
    push: (bytes) => engine.bulkPut(pointer, bytes),
    finish: () => {
      session.writing(membrane);
      store.apply(); // what was put before is older
      open = false;
      const rows = engine.bulkCommit(pointer);
      store.acknowledged();
      return rows;
    },
    close: () => {
      if (!held.delete(handle) || !open || store.closed) return;
      open = false;
      engine.bulkAbort(pointer);
    },
  });
}

/** A stream of bytes out. */
function outgoing(call: Call, out: { next(): Uint8Array | undefined; close(): void; report?(): unknown }): void {
  const { held } = call.client, { handle } = call;
  call.hold({
    pull: () => out.next(),
    finish: () => out.report?.(),
    close: () => {
      if (held.delete(handle)) out.close();
    },
  });
}

/** Changes, as many as there are now; none: it has ended. */
function follow(call: Call, options: { since: bigint | undefined; live: boolean }): void {
  const from = changes(call.session, options);
  const { held } = call.client, { handle } = call;
  let next: Promise<IteratorResult<unknown, undefined>> | undefined;
  call.hold({
    last: true,
    pull: async () => {
      const some: unknown[] = [];
      while (some.length < CHANGES_PIECE) {
        next ??= from.next();
        const late = some.length === 0 ? undefined : new Promise<undefined>((resolve) => atEndOfTick(() => resolve(undefined)));
        const result = await (late === undefined ? next : Promise.race([next, late]));
        if (result === undefined) break;
        next = undefined;
        if (result.done === true) break;
        some.push(result.value);
      }
      return some.length === 0 ? undefined : some;
    },
    close: () => {
      if (held.delete(handle)) void from.return?.();
    },
  });
}

/** Methods of a database that take and give what a structured clone does. */
const METHODS: ReadonlySet<string> = new Set([
  "membranes", "drop", "rename", "flush", "checkpoint", "rekey", "compact", "verify", "refresh", "stats", "storage", "persist"]);

/**
 * Whether a drop or a rename is done already. What the catalog commits cannot carry a token, so the
 * one in front of it says which membrane is meant: what still has the old name waits for it.
 */
function wasChanged(call: Call, name: unknown): boolean {
  const { store, session } = call, id = call.result;
  if (typeof id === "number") return store.membraneById(id)?.name !== name;
  const membrane = typeof name === "string" && call.noted ? session.writing().openMembrane(name, undefined) : undefined;
  if (membrane === undefined) return false;
  session.enqueue(membrane, undefined, (writer) => call.note(writer, 0, membrane.id)).catch(() => {}); // the change itself fails then, too
  store.apply();
  return false;
}

function method(call: Call, name: string, ...args: unknown[]): unknown {
  if (!METHODS.has(name)) throw new NacreError("INTERNAL", `no such method: ${name}`);
  if ((name === "drop" || name === "rename") && wasChanged(call, args[0])) return undefined;
  const database = new Database(call.session, call.store.name, false) as unknown as Record<string, (...args: unknown[]) => unknown>;
  return (database[name] as (...args: unknown[]) => unknown)(...args);
}

/** What can be asked for: `where` and the new handle stand in the call. */
const OPS: Readonly<Record<string, (call: Call, ...args: never[]) => unknown>> = {
  // Of membranes
  open: ({ session }: Call, kind: Schema["kind"], name: string, schema: Schema | undefined): Told<Schema> => {
    const membrane = session.open(kind, name, schema, kind === "kv" ? KV_DEFAULT : undefined);
    return { id: membrane.id, name: membrane.name, schema: membrane.schema };
  },
  find: ({ session }: Call, names: readonly string[]): (Told<Schema> | undefined)[] => names.map((name) => {
    const membrane = session.writing().openMembrane(name, undefined, session.scope);
    return membrane && { id: membrane.id, name: membrane.name, schema: membrane.schema };
  }),
  rows: getRows,
  has: hasRow,
  scan,
  count,
  search,
  explain: (call: Call, id: number, request: SearchRequest, vector: Uint8Array): unknown => {
    const { membrane, engine, session } = call.reading(id);
    engine.search(membrane.pointer, session.snapshot, 1, request, vector);
    const { path, ...counted } = engine.searchReport();
    return { path: pathName(path), ...counted };
  },
  write,
  delete: (call: Call, id: number, key: Uint8Array): boolean | Promise<boolean> => {
    const membrane = call.service.membrane(id);
    call.session.writing(membrane);
    return hasRow(call, id, key) && call.write(membrane, true, (writer) => deleteRow(writer, membrane.id, key));
  },
  update: (call: Call, id: number, changed: Changed): boolean | Promise<boolean> => {
    const membrane = call.service.membrane(id);
    call.session.writing(membrane);
    const fill = updating(call.session, membrane, changed);
    return fill !== undefined && call.write(membrane, true, fill);
  },
  remove,
  bulk,
  putValue: value,
  getValue: (call: Call, id: number, key: Uint8Array, range: { start: number; end: number }): boolean => {
    const { membrane, engine, session } = call.reading(id);
    const out = ValueOut.open(session, membrane, putInput(engine, key), range);
    if (out !== undefined) outgoing(call, out);
    return out !== undefined;
  },

  // Of the database
  call: method,
  begin,
  snapshot: (call: Call): bigint => {
    const snapshot = new SnapshotSync(call.session);
    const { held } = call.client, { handle } = call;
    call.hold({ session: snapshot.session, close: () => held.delete(handle) && snapshot.release() } as Held);
    return snapshot.sequence;
  },
  changes: follow,
  listen: (call: Call): void => {
    const { service, clientName, handle, client: { held } } = call;
    const end = onCommit(call.session, (commit: unknown) => service.onevent?.(clientName, [handle, commit]));
    call.hold({ close: () => held.delete(handle) && end() } as Held);
  },
  backup: (call: Call, base: Uint8Array | undefined, encryption: Uint8Array | false | undefined): void =>
    outgoing(call, new Out(call.session, encryption, (engine) => engine.backupBegin(base))),
  archive: (call: Call, since: number): void => {
    const archive = new ArchiveHandle(call.session, { since: BigInt(since) });
    const { held } = call.client, { handle } = call;
    call.hold({ begin: (encryption) => archive.begin(encryption), close: () => held.delete(handle) && archive.close() } as Held);
  },
  archived: (call: Call, encryption: Uint8Array | false | undefined): void => {
    const { begin: start } = call.held;
    if (start !== undefined) outgoing(call, start(encryption));
  },
  durability: ({ store }: Call): string => store.durability,
  settle: ({ store }: Call): void => store.settle(),
  leave: async (call: Call): Promise<void> => {
    call.store.settle();
    call.service.gone(call.clientName);
    await new Promise<void>(atEndOfTick); // what had to end has answered
  },

  // Of what is open under a handle
  pull: (call: Call): unknown => call.held.pull?.(call),
  seek: (call: Call, key: Uint8Array, limit: number): unknown => call.held.seek?.(call, key, limit),
  push: (call: Call, bytes: Uint8Array): void => call.held.push?.(bytes),
  finish: async (call: Call): Promise<unknown> => {
    const { held } = call;
    try {
      return await held.finish?.(call);
    } finally {
      held.close();
    }
  },
  close: (call: Call): void => call.client.held.get(call.where)?.close(),
};
