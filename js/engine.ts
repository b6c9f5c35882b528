import { ABI, ANSWER, BATCH, INPUT, RECORD, STATUS } from "./abi.gen.ts";
import type { Exports } from "./abi.gen.ts";
import { invalid, NacreError, shown, statusError } from "./errors.ts";
import { Heap } from "./heap.ts";
import { ERRNO, ROOM } from "./host.ts";
import type { Host, WasiCalls } from "./host.ts";
import { builtin, isNode } from "./node.ts";
import type { SearchRequest } from "./search.ts";
import type { Writer } from "./writer.ts";

/** WebAssembly.Module, said so that programs compiled without the library "DOM" can be checked, too. */
export type WasmModule =
  typeof globalThis extends { WebAssembly: { Module: new (...values: never[]) => infer Module } } ? Module : never;

/** Where the module comes from, when not from beside this file. */
export type WasmSource = URL | Response | ArrayBuffer | ArrayBufferView<ArrayBuffer> | WasmModule;

// ---- Finding the module: once per source, and shared by all databases ----

/** A module with one SIMD instruction: v128.const, i8x16.popcnt, drop. */
const SIMD_PROBE = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11);

const loading = new Map<string, Promise<WasmModule>>();
const loaded = new Map<string, WasmModule>();

function defaultUrl(): URL {
  return WebAssembly.validate(SIMD_PROBE)
    ? new URL("./nacre.wasm", import.meta.url)
    : new URL("./nacre-scalar.wasm", import.meta.url);
}

function isBufferSource(source: unknown): source is ArrayBuffer | ArrayBufferView<ArrayBuffer> {
  return source instanceof ArrayBuffer || ArrayBuffer.isView(source);
}

/** INVALID_ARGUMENT unless it may be given as the option `wasm`. */
export function checkWasmSource(source: unknown): WasmSource | undefined {
  if (source === undefined || source instanceof URL || source instanceof WebAssembly.Module || isBufferSource(source) ||
      (typeof Response !== "undefined" && source instanceof Response)) {
    return source;
  }
  throw invalid(`open: wasm must be a URL, Response, BufferSource or WebAssembly.Module, not ${shown(source)}`);
}

function failedToLoad(what: string, error: unknown): NacreError {
  if (error instanceof NacreError) return error;
  return new NacreError("IO", `wasm: ${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
}

async function fetchModule(url: URL): Promise<WasmModule> {
  if (isNode && url.protocol === "file:") return WebAssembly.compile(builtin("node:fs").readFileSync(url));
  return compileResponse(await fetch(url), url.href);
}

async function compileResponse(response: Response, what: string): Promise<WasmModule> {
  if (!response.ok) throw new NacreError("IO", `wasm: ${what}: HTTP status ${response.status}`);
  if (response.headers.get("content-type") === "application/wasm") return WebAssembly.compileStreaming(response);
  return WebAssembly.compile(await response.arrayBuffer()); // servers that do not know .wasm
}

/** The module, compiled: from the same URL only once. */
export async function loadModule(source: WasmSource | undefined): Promise<WasmModule> {
  const from = source ?? defaultUrl();
  if (from instanceof WebAssembly.Module) return from;
  if (!(from instanceof URL)) {
    try {
      return isBufferSource(from) ? await WebAssembly.compile(from) : await compileResponse(from, from.url);
    } catch (error) {
      throw failedToLoad("the option", error);
    }
  }
  const known = loaded.get(from.href);
  if (known !== undefined) return known;
  let module = loading.get(from.href);
  if (module === undefined) {
    module = fetchModule(from);
    loading.set(from.href, module);
  }
  try {
    loaded.set(from.href, await module);
    return await module;
  } catch (error) {
    throw failedToLoad(from.href, error);
  } finally {
    loading.delete(from.href);
  }
}

/** The bytes at a URL, at once: from a file in Node, by a request inside a browser's worker. */
function readSync(url: URL): BufferSource {
  if (isNode && url.protocol === "file:") return builtin("node:fs").readFileSync(url);
  if (typeof XMLHttpRequest === "undefined" || typeof document !== "undefined") {
    throw new NacreError("UNSUPPORTED", `openSync: ${url.href} cannot be loaded at once here; give wasm as bytes or a module, or use open`);
  }
  const request = new XMLHttpRequest();
  request.open("GET", url, false);
  request.responseType = "arraybuffer";
  request.send();
  if (request.status !== 200) throw new NacreError("IO", `wasm: ${url.href}: HTTP status ${request.status}`);
  return request.response as ArrayBuffer;
}

/** The same at once. */
export function loadModuleSync(source: WasmSource | undefined): WasmModule {
  const from = source ?? defaultUrl();
  if (from instanceof WebAssembly.Module) return from;
  try {
    if (isBufferSource(from)) return new WebAssembly.Module(from);
    if (!(from instanceof URL)) throw new NacreError("UNSUPPORTED", "openSync: wasm cannot be a Response; open takes one");
    let module = loaded.get(from.href);
    if (module === undefined) {
      module = new WebAssembly.Module(readSync(from));
      loaded.set(from.href, module);
    }
    return module;
  } catch (error) {
    throw failedToLoad(from instanceof URL ? from.href : "the option", error);
  }
}

// ---- The engine ----

/** What abi_open takes; numbers of nacre.h. */
export interface EngineOptions {
  mode: number;
  durability: number;
  lock: number;
  memory: number;
  changes: number;
  checkpointMs: number;
  /** 32 bytes; undefined: not encrypted. */
  key: Uint8Array | undefined;
}

/** How far a restore goes (0: all), and what the streams are encrypted with. */
export interface Until {
  sequence: number;
  timeMs: number;
  key: Uint8Array | undefined;
}

/** `kind` is a number of nacre.h. */
export interface RawBackup {
  kind: number;
  sequence: number;
  base: number;
  bytes: number;
  token: Uint8Array;
}

export interface RawMembrane {
  pointer: number;
  id: number;
  name: string;
  schema: Uint8Array;
}

// Statuses that are answers.
const OK: number = STATUS.OK;
const NOT_FOUND: number = STATUS.NOT_FOUND;

/** Whether records put anything but rows of the catalog (membrane 0). */
function recordsPut(bytes: Uint8Array, start: number, end: number): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  for (let at = start; at < end;) {
    const head = view.getUint32(at, true);
    if ((head >>> 24 & RECORD.DELETE) === 0 && view.getUint32(at + RECORD.HEAD) !== 0) return true;
    at += (RECORD.HEAD + (head & RECORD.KEY_SIZE_MAX) + view.getUint32(at + 4, true) + 3) & ~3;
  }
  return false;
}

function batchesPut(bytes: Uint8Array, start: number, end: number): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  for (let at = start, size = 0; at < end; at += size) {
    size = view.getUint32(at, true);
    if (recordsPut(bytes, at + BATCH.HEAD, at + size)) return true;
  }
  return false;
}

/**
 * One instance of the module, holding one database: the only file that calls it.
 *
 * Its methods take and give bytes and addresses. Bytes go in through the input buffer at
 * `input`; what a call answers stands in the `answer...` members until the next call.
 */
export class Engine {
  readonly heap: Heap;
  /** Address of the input buffer: at least INPUT.SIZE bytes, more after `reserveInput`. */
  input: number;
  #inputSize: number = INPUT.SIZE;
  readonly #exports: Exports;
  readonly #host: Host;
  readonly #self: number;
  readonly #ownSize: number;
  #broken: NacreError | undefined;
  /** Bytes since the logs were emptied for want of room. */
  #admitted = 0;

  private constructor(exports: Exports, heap: Heap, host: Host) {
    this.#exports = exports;
    this.heap = heap;
    this.#host = host;
    exports._initialize();
    if (exports.abi_version() !== ABI.VERSION) {
      throw invalid(`wasm: a module of boundary version ${exports.abi_version()}, this package needs ${ABI.VERSION}`);
    }
    host.onlost = (why) => void (this.#broken ??= why);
    this.#ownSize = heap.size;
    this.#self = exports.abi_host_new() >>> 0;
    heap.fresh();
    if (this.#self === 0) throw new NacreError("RESOURCE_EXHAUSTED", "memory: no room for the engine");
    this.input = this.answerData;
  }

  static async create(module: WasmModule, host: Host): Promise<Engine> {
    const late = new LateMemory();
    return Engine.#begin(await WebAssembly.instantiate(module, imports(module, host, late)), host, late);
  }

  static createSync(module: WasmModule, host: Host): Engine {
    const late = new LateMemory();
    return Engine.#begin(new WebAssembly.Instance(module, imports(module, host, late)), host, late);
  }

  static #begin(instance: WebAssembly.Instance, host: Host, late: LateMemory): Engine {
    const exports = instance.exports as unknown as Exports;
    const heap = new Heap(exports.memory);
    late.heap = heap;
    return new Engine(exports, heap, host);
  }

  /** Bytes of linear memory beyond the module's own. */
  get memorySize(): number {
    return this.heap.size - this.#ownSize;
  }

  // ---- Answers ----

  #word(offset: number): number {
    return this.heap.u32[(this.#self + offset) >>> 2] as number;
  }

  get answerData(): number {
    return this.#word(ANSWER.DATA);
  }

  get answerSize(): number {
    return this.#word(ANSWER.SIZE);
  }

  get answerVector(): number {
    return this.#word(ANSWER.VECTOR);
  }

  get answerVectorSize(): number {
    return this.#word(ANSWER.VECTOR_SIZE);
  }

  /** When the row that `get` has found ends: milliseconds since 1970; 0 never. */
  get answerExpires(): number {
    return this.#number(ANSWER.NUMBER);
  }

  get answerCount(): number {
    return this.#word(ANSWER.COUNT);
  }

  get answerMore(): boolean {
    return this.#word(ANSWER.MORE) !== 0;
  }

  get answerPointer(): number {
    return this.#word(ANSWER.POINTER);
  }

  #number(offset: number): number {
    return this.heap.f64[(this.#self + offset) >>> 3] as number;
  }

  /** A page, or whatever DATA and SIZE tell of, in a buffer of its own. */
  answerCopy(): Uint8Array {
    return this.heap.copy(this.answerData, this.answerSize);
  }

  // ---- Calling ----

  #failure(status: number): NacreError {
    if (this.#broken !== undefined) return this.#broken; // the host was lost meanwhile
    const failure = statusError(status, this.heap.failure(this.#self)), reason = this.#host.reason?.();
    if (reason === undefined) return failure;
    // The module knows these two: what a host tells more of is one of them.
    return failure.code === reason.code || failure.code === "IO" ? reason : failure;
  }

  /** Resolves when what was synced is safe; undefined: it is. */
  settled(): Promise<void> | undefined {
    return this.#host.settled?.();
  }

  #trapped(error: unknown): NacreError {
    if (error instanceof NacreError) return error;
    this.#broken = new NacreError("INTERNAL",
      `the engine has stopped: ${error instanceof Error ? error.message : String(error)}; what was acknowledged is safe, open the database again`,
      { cause: error });
    return this.#broken;
  }

  /** Runs a call that must succeed. */
  #call(call: (exports: Exports, self: number) => number): void {
    const status = this.#ask(call);
    if (status !== OK) throw this.#failure(status);
  }

  /** Runs a call; gives its status. */
  #ask(call: (exports: Exports, self: number) => number): number {
    if (this.#broken !== undefined) throw this.#broken;
    try {
      return call(this.#exports, this.#self);
    } catch (error) {
      throw this.#trapped(error);
    } finally {
      this.heap.fresh();
    }
  }

  /** Makes room for `size` bytes of input. */
  reserveInput(size: number): void {
    if (size <= this.#inputSize) return;
    const at = this.#ask((exports, self) => exports.abi_input(self, size)) >>> 0;
    if (at === 0) throw new NacreError("RESOURCE_EXHAUSTED", `memory: no room for ${size} bytes of input`);
    this.input = at;
    this.#inputSize = size;
  }

  /** Writes pieces of input one after the other. */
  #put(...pieces: readonly Uint8Array[]): void {
    let size = 0;
    for (const piece of pieces) size += piece.length;
    this.reserveInput(size);
    let at = this.input;
    for (const piece of pieces) {
      this.heap.u8.set(piece, at);
      at += piece.length;
    }
  }

  // ---- The database ----

  open(path: string, options: EngineOptions): void {
    const bytes = new TextEncoder().encode(path);
    const { key } = options;
    this.#put(bytes, key ?? new Uint8Array(0)); // the module wipes the key there
    this.#call((exports, self) =>
      exports.abi_open(self, bytes.length, key?.length ?? 0, options.mode, options.durability, options.lock, options.memory, options.changes, options.checkpointMs));
    // The path may have moved the input buffer.
    this.input = this.#ask((exports, self) => exports.abi_input(self, this.#inputSize)) >>> 0;
  }

  // ---- Backups ----

  /** The backup, and the sequence that it is of; without a base a full one. */
  backupBegin(base: Uint8Array | undefined): number {
    this.#put(base ?? new Uint8Array(0));
    this.#call((exports, self) => exports.abi_backup_begin(self, base?.length ?? 0));
    return this.answerPointer;
  }

  /** Before it is read; without a key the stream is not encrypted. */
  backupEncrypt(backup: number, key: Uint8Array | undefined): void {
    this.#put(key ?? new Uint8Array(0)); // the module wipes it there
    this.#call((exports, self) => exports.abi_backup_encrypt(self, backup, key?.length ?? 0));
  }

  /** A copy of the next bytes; none: it is whole. */
  backupRead(backup: number, size: number): Uint8Array {
    this.#call((exports, self) => exports.abi_backup_read(self, backup, size));
    return this.answerCopy();
  }

  backupDescribe(backup: number): RawBackup {
    this.#call((exports, self) => exports.abi_backup_describe(self, backup));
    return this.#backup();
  }

  #backup(): RawBackup {
    return {
      kind: this.answerCount, sequence: this.#number(ANSWER.NUMBER), base: this.#number(ANSWER.SECOND),
      bytes: this.#number(ANSWER.THIRD), token: this.answerCopy(),
    };
  }

  backupEnd(backup: number): void {
    this.#ask((exports, self) => (exports.abi_backup_end(self, backup), OK));
  }

  archiveOpen(since: number): number {
    this.#call((exports, self) => exports.abi_archive_open(self, since));
    return this.answerPointer;
  }

  /** A backup of what was committed since the last one that was taken whole. */
  archiveBegin(archive: number): number {
    this.#call((exports, self) => exports.abi_archive_begin(self, archive));
    return this.answerPointer;
  }

  archiveClose(archive: number): void {
    this.#ask((exports, self) => (exports.abi_archive_close(self, archive), OK));
  }

  /** In place of `open`; without a path nothing is made, and backups are only checked. */
  restoreBegin(path: string, options: EngineOptions, { sequence, timeMs, key: streams }: Until): void {
    const bytes = new TextEncoder().encode(path);
    const { key } = options;
    this.#put(bytes, key ?? new Uint8Array(0), streams ?? new Uint8Array(0));
    this.#call((exports, self) => exports.abi_restore_begin(self, bytes.length, key?.length ?? 0, streams?.length ?? 0, options.durability, options.lock,
      options.memory, options.changes, options.checkpointMs, sequence, timeMs));
    this.input = this.#ask((exports, self) => exports.abi_input(self, this.#inputSize)) >>> 0;
  }

  restoreWrite(bytes: Uint8Array): void {
    this.#put(bytes);
    this.#call((exports, self) => exports.abi_restore_write(self, bytes.length));
  }

  restoreDescribe(): RawBackup {
    this.#call((exports, self) => exports.abi_restore_describe(self));
    return this.#backup();
  }

  /** The database is open now, if one was to be made. */
  restoreFinish(): void {
    this.#call((exports, self) => exports.abi_restore_finish(self));
  }

  /** Closes the database and gives back what the host holds, whatever happens. */
  close(): void {
    try {
      if (this.#broken === undefined) this.#call((exports, self) => exports.abi_close(self));
    } finally {
      this.#broken ??= new NacreError("CLOSED", "the engine is closed");
      this.#host.close();
    }
  }

  membraneOpen(name: Uint8Array, schema: Uint8Array | undefined): RawMembrane | undefined {
    this.#put(name, schema ?? new Uint8Array(0));
    const status = this.#ask((exports, self) => exports.abi_membrane_open(self, name.length, schema?.length ?? 0));
    if (status === NOT_FOUND) return undefined;
    if (status !== OK) throw this.#failure(status);
    return this.#membrane();
  }

  /** The membranes in order of their names: undefined past the last. */
  membraneAt(index: number): RawMembrane | undefined {
    const status = this.#ask((exports, self) => exports.abi_membrane_at(self, index));
    if (status === NOT_FOUND) return undefined;
    if (status !== OK) throw this.#failure(status);
    return this.#membrane();
  }

  /** undefined: it was dropped. */
  membraneById(id: number): RawMembrane | undefined {
    const status = this.#ask((exports, self) => exports.abi_membrane_by_id(self, id));
    if (status === NOT_FOUND) return undefined;
    if (status !== OK) throw this.#failure(status);
    return this.#membrane();
  }

  #membrane(): RawMembrane {
    return {
      pointer: this.answerPointer,
      id: this.answerCount,
      name: this.heap.text(this.#word(ANSWER.KEY), this.#word(ANSWER.KEY_SIZE)),
      schema: this.answerCopy(),
    };
  }

  membraneDrop(name: Uint8Array): void {
    this.#put(name);
    this.#call((exports, self) => exports.abi_membrane_drop(self, name.length));
  }

  membraneRename(from: Uint8Array, to: Uint8Array): void {
    this.#put(from, to);
    this.#call((exports, self) => exports.abi_membrane_rename(self, from.length, to.length));
  }

  membraneBytes(membrane: number): number {
    this.#call((exports, self) => exports.abi_membrane_bytes(self, membrane));
    return this.#number(ANSWER.NUMBER);
  }

  // ---- Writing ----

  /** Commits the whole batches that lie in `writer` from `start` to `end`, as one frame. */
  commit(writer: Writer, start: number, end: number, records: number, sync: boolean): void {
    if (this.#host.room !== undefined) this.#admit(end - start, () => batchesPut(writer.bytes, start, end));
    const status = this.#commit(writer, start, end, records, sync);
    if (status !== OK) throw this.#failure(status);
  }

  #commit(writer: Writer, start: number, end: number, records: number, sync: boolean): number {
    if (this.#broken !== undefined) throw this.#broken;
    const exports = this.#exports, self = this.#self, heap = this.heap;
    try {
      const status = exports.abi_reserve(self, end - start, records);
      heap.fresh();
      if (status !== OK) return status;
      heap.u8.set(start === 0 && end === writer.bytes.length ? writer.bytes : writer.bytes.subarray(start, end), this.answerPointer);
      return exports.abi_commit(self, end - start, sync ? 1 : 0);
    } catch (error) {
      throw this.#trapped(error);
    } finally {
      heap.fresh();
    }
  }

  /** Where a host has little room, deletions have it: QUOTA for all else. */
  #admit(bytes: number, puts: () => boolean): void {
    let room = this.#room(bytes);
    if (room !== ROOM.PLENTY && (room === ROOM.NONE || puts())) {
      if (this.#admitted > 0) {
        this.#admitted = 0;
        this.checkpoint(); // the logs are empty then
        room = this.#room(bytes);
      }
      if (room !== ROOM.PLENTY && (room === ROOM.NONE || puts())) {
        throw new NacreError("QUOTA", `no room for ${bytes} bytes: delete something and compact, or ask the browser for more with persist()`,
          { details: { needed: bytes, available: 0 } });
      }
    }
    this.#admitted += bytes;
  }

  #room(bytes: number): number {
    return this.#host.room?.(bytes) ?? ROOM.PLENTY;
  }

  // ---- Transactions: one at a time ----

  /** The address of the transaction, and that of a snapshot with its writes, for reads. */
  transactionBegin(): { pointer: number; view: number } {
    this.#call((exports, self) => exports.abi_tx_begin(self));
    const pointer = this.answerPointer;
    return { pointer, view: this.#ask((exports, self) => exports.abi_tx_view(self, pointer)) >>> 0 };
  }

  /** Writes the records that stand in `records` from `start` to `end`: all of them, or none. */
  transactionWrite(transaction: number, records: Uint8Array, start: number, end: number, count: number): void {
    const size = BATCH.HEAD + end - start;
    this.#admit(size, () => recordsPut(records, start, end));
    this.#call((exports, self) => exports.abi_tx_reserve(self, transaction, size, count));
    const at = this.answerPointer;
    this.heap.view.setUint32(at, size, true);
    this.heap.view.setUint32(at + 4, count, true);
    this.heap.view.setFloat64(at + 8, 0);
    this.heap.u8.set(records.subarray(start, end), at + BATCH.HEAD);
    this.#call((exports, self) => exports.abi_tx_write(self, transaction, size));
  }

  /** NUMBER: rows removed. */
  transactionClear(transaction: number, membrane: number, low: Uint8Array, high: Uint8Array, filter: Uint8Array): number {
    this.#put(low, high, filter);
    this.#call((exports, self) => exports.abi_tx_clear(self, transaction, membrane, low.length, high.length, filter.length));
    return this.#number(ANSWER.NUMBER);
  }

  transactionSavepoint(transaction: number): number {
    this.#call((exports, self) => exports.abi_tx_savepoint(self, transaction));
    return this.#number(ANSWER.NUMBER);
  }

  /** Undoes what was written since; the savepoint stays. */
  transactionRollbackTo(transaction: number, savepoint: number): void {
    this.#call((exports, self) => exports.abi_tx_rollback_to(self, transaction, savepoint));
  }

  /** Forgets the savepoint. */
  transactionRelease(transaction: number, savepoint: number): void {
    this.#call((exports, self) => exports.abi_tx_release(self, transaction, savepoint));
  }

  /** It is gone then, committed and as durable as the level says, or refused. */
  transactionCommit(transaction: number): void {
    this.#call((exports, self) => exports.abi_tx_commit(self, transaction, 1));
  }

  transactionRollback(transaction: number): void {
    this.#ask((exports, self) => (exports.abi_tx_rollback(self, transaction), OK));
  }

  /** Makes durable what is committed, as the level asks. */
  sync(): void {
    this.#call((exports, self) => exports.abi_sync(self));
  }

  /** Makes it durable whatever the level. */
  rekey(key: Uint8Array): void {
    this.#put(key);
    this.#call((exports, self) => exports.abi_rekey(self, key.length));
  }

  flush(): void {
    this.#call((exports, self) => exports.abi_flush(self));
  }

  get sequence(): number {
    if (this.#broken !== undefined) throw this.#broken;
    return this.#exports.abi_sequence(this.#self);
  }

  // ---- Changes ----

  /** Of NOT_FOUND, the details say from where on there are changes. */
  #changes(call: (exports: Exports, self: number) => number): void {
    const status = this.#ask(call);
    if (status === OK) return;
    const { code, message } = this.#failure(status);
    throw status === NOT_FOUND
      ? new NacreError(code, message, { details: { oldest: BigInt(this.#number(ANSWER.NUMBER)) } })
      : new NacreError(code, message);
  }

  changesOpen(since: number): number {
    this.#changes((exports, self) => exports.abi_changes_open(self, since));
    return this.answerPointer;
  }

  changesPage(changes: number, bytes: number): void {
    this.#changes((exports, self) => exports.abi_changes_page(self, changes, bytes));
  }

  changesClose(changes: number): void {
    if (this.#broken === undefined) this.#exports.abi_changes_close(this.#self, changes);
    this.heap.fresh();
  }

  /** The sequence of the last acknowledged commit, and how many rows were put and deleted in all. */
  acknowledged(): { sequence: number; puts: number; deletes: number } {
    this.#call((exports, self) => exports.abi_acknowledged(self));
    return { sequence: this.#number(ANSWER.NUMBER), puts: this.#number(ANSWER.SECOND), deletes: this.#number(ANSWER.THIRD) };
  }

  // ---- Reading ----

  /** Whether there is a row with the key that stands in the input buffer; DATA its value. */
  get(membrane: number, snapshot: number, keySize: number): boolean {
    if (this.#broken !== undefined) throw this.#broken;
    let status: number;
    try {
      status = this.#exports.abi_get(this.#self, membrane, snapshot, keySize);
    } catch (error) {
      throw this.#trapped(error);
    }
    this.heap.fresh();
    if (status === OK) return true;
    if (status === NOT_FOUND) return false;
    throw this.#failure(status);
  }

  has(membrane: number, snapshot: number, keySize: number): boolean {
    if (this.#broken !== undefined) throw this.#broken;
    let status: number;
    try {
      status = this.#exports.abi_has(this.#self, membrane, snapshot, keySize);
    } catch (error) {
      throw this.#trapped(error);
    }
    this.heap.fresh();
    if (status === OK) return true;
    if (status === NOT_FOUND) return false;
    throw this.#failure(status);
  }

  /** Rows of the keys that stand in the input buffer: DATA a page of the first COUNT. */
  getMany(membrane: number, snapshot: number, count: number, keysSize: number): void {
    this.#call((exports, self) => exports.abi_get_many(self, membrane, snapshot, count, keysSize));
  }

  /** POINTER of a new snapshot. */
  snapshotOpen(): { pointer: number; sequence: number } {
    this.#call((exports, self) => exports.abi_snapshot_open(self));
    return { pointer: this.answerPointer, sequence: this.#number(ANSWER.NUMBER) };
  }

  snapshotRelease(snapshot: number): void {
    this.#ask((exports, self) => (exports.abi_snapshot_release(self, snapshot), OK));
  }

  cursorOpen(membrane: number, snapshot: number, low: Uint8Array, high: Uint8Array, filter: Uint8Array, keysOnly: boolean): number {
    this.#put(low, high, filter);
    this.#call((exports, self) =>
      exports.abi_cursor_open(self, membrane, snapshot, low.length, high.length, filter.length, keysOnly ? 1 : 0));
    return this.answerPointer;
  }

  /** DATA a page of the next COUNT rows; MORE says whether there may be others. */
  cursorPage(cursor: number, reverse: boolean, rows: number, bytes: number): void {
    this.#call((exports, self) => exports.abi_cursor_page(self, cursor, reverse ? 1 : 0, rows, bytes));
  }

  /** The same, from the first row with `key` or a greater one on (in reverse: a smaller one). */
  cursorSeek(cursor: number, reverse: boolean, key: Uint8Array, rows: number, bytes: number): void {
    this.#put(key);
    this.#call((exports, self) => exports.abi_cursor_seek(self, cursor, reverse ? 1 : 0, key.length, rows, bytes));
  }

  cursorClose(cursor: number): void {
    this.#ask((exports, self) => (exports.abi_cursor_close(self, cursor), OK));
  }

  count(membrane: number, snapshot: number, low: Uint8Array, high: Uint8Array, filter: Uint8Array): number {
    this.#put(low, high, filter);
    this.#call((exports, self) => exports.abi_count(self, membrane, snapshot, low.length, high.length, filter.length));
    return this.#number(ANSWER.NUMBER);
  }

  clear(membrane: number, low: Uint8Array, high: Uint8Array, filter: Uint8Array, sync: boolean): number {
    this.#put(low, high, filter);
    this.#call((exports, self) => exports.abi_clear(self, membrane, low.length, high.length, filter.length, sync ? 1 : 0));
    return this.#number(ANSWER.NUMBER);
  }

  /** DATA the number of hits of each query, u32, and a page of all of them. */
  search(membrane: number, snapshot: number, queries: number, request: SearchRequest, vectors: Uint8Array): void {
    const { k, flags, recall, probes, maxDistance, timeoutMs, filter } = request;
    this.#put(vectors, filter);
    this.#call((exports, self) => exports.abi_search(
      self, membrane, snapshot, queries, k, flags, recall, probes, maxDistance, timeoutMs, vectors.length, filter.length));
  }

  /** What the last search did: the path's number. */
  searchReport(): { path: number; codesScored: number; reranked: number; segments: number } {
    return {
      path: this.#word(ANSWER.MORE), codesScored: this.#number(ANSWER.NUMBER),
      reranked: this.#number(ANSWER.SECOND), segments: this.#number(ANSWER.THIRD),
    };
  }

  // ---- Bulk loads and large values ----

  bulkBegin(membrane: number): number {
    this.#call((exports, self) => exports.abi_bulk_begin(self, membrane));
    return this.answerPointer;
  }

  /** Whole records, without the head of a batch. */
  bulkPut(bulk: number, records: Uint8Array): void {
    this.#admit(records.length, () => true);
    this.#put(records);
    this.#call((exports, self) => exports.abi_bulk_put(self, bulk, records.length));
  }

  /** The number of rows; the bulk is gone, whatever happens. */
  bulkCommit(bulk: number): number {
    this.#call((exports, self) => exports.abi_bulk_commit(self, bulk));
    return this.#number(ANSWER.NUMBER);
  }

  bulkAbort(bulk: number): void {
    this.#ask((exports, self) => (exports.abi_bulk_abort(self, bulk), OK));
  }

  /** The writer of a value; its key stands in the input buffer. */
  valueBegin(membrane: number, ttlMs: number, keySize: number): number {
    this.#call((exports, self) => exports.abi_value_begin(self, membrane, ttlMs, keySize));
    return this.answerPointer;
  }

  valueAppend(writer: number, bytes: Uint8Array): void {
    this.#admit(bytes.length, () => true);
    this.#put(bytes);
    this.#call((exports, self) => exports.abi_value_append(self, writer, bytes.length));
  }

  /** The writer is gone, whatever happens. */
  valueFinish(writer: number): void {
    this.#call((exports, self) => exports.abi_value_finish(self, writer));
  }

  valueAbort(writer: number): void {
    this.#ask((exports, self) => (exports.abi_value_abort(self, writer), OK));
  }

  /** The reader of a value whose key stands in the input buffer, and its size; undefined: there is none. */
  valueOpen(membrane: number, snapshot: number, keySize: number): { reader: number; size: number } | undefined {
    const status = this.#ask((exports, self) => exports.abi_value_open(self, membrane, snapshot, keySize));
    if (status === NOT_FOUND) return undefined;
    if (status !== OK) throw this.#failure(status);
    return { reader: this.answerPointer, size: this.#number(ANSWER.NUMBER) };
  }

  /** A copy of a part of it. */
  valueRead(reader: number, offset: number, size: number): Uint8Array {
    this.#call((exports, self) => exports.abi_value_read(self, reader, offset, size));
    return this.answerCopy();
  }

  valueClose(reader: number): void {
    this.#ask((exports, self) => (exports.abi_value_close(self, reader), OK));
  }

  // ---- Keeping house ----

  /** Whether membranes may have other names now, or be gone. */
  refresh(): boolean {
    this.#call((exports, self) => exports.abi_refresh(self));
    return this.answerMore;
  }

  checkpoint(): void {
    this.#call((exports, self) => exports.abi_checkpoint(self));
  }

  /** Whether work is left. */
  step(bytes: number): boolean {
    this.#call((exports, self) => exports.abi_step(self, bytes));
    return this.answerMore;
  }

  compact(): { before: number; after: number; rows: number } {
    this.#call((exports, self) => exports.abi_compact(self));
    return { before: this.#number(ANSWER.NUMBER), after: this.#number(ANSWER.SECOND), rows: this.#number(ANSWER.THIRD) };
  }

  /** JSON of the problems, and how many there are. */
  verify(deep: boolean): { json: string; count: number } {
    this.#call((exports, self) => exports.abi_verify(self, deep ? 1 : 0));
    return { json: this.heap.text(this.answerData, this.answerSize), count: this.#number(ANSWER.NUMBER) };
  }

  /** Opens nothing: a new database at `to` from the files at `from`. JSON of the report. */
  repair(from: string, to: string, key: Uint8Array | undefined, memory: number): string {
    const encoder = new TextEncoder(), source = encoder.encode(from), target = encoder.encode(to);
    this.#put(source, target, key ?? new Uint8Array(0));
    this.#call((exports, self) => exports.abi_repair(self, source.length, target.length, key?.length ?? 0, memory));
    return this.heap.text(this.answerData, this.answerSize);
  }

  stats(): string {
    this.#call((exports, self) => exports.abi_stats(self));
    return this.heap.text(this.answerData, this.answerSize);
  }
}

/** The heap exists only after the instance, which wants the host's calls first. */
class LateMemory {
  heap: Heap | undefined;

  get u8(): Uint8Array {
    return this.#now().u8;
  }

  get view(): DataView {
    return this.#now().view;
  }

  fresh(): void {
    this.#now().fresh();
  }

  #now(): Heap {
    if (this.heap === undefined) throw new NacreError("INTERNAL", "the module called its host before it was there");
    return this.heap;
  }
}

function imports(module: WasmModule, host: Host, memory: LateMemory): WebAssembly.Imports {
  const calls: WasiCalls = host.calls(memory);
  const wasi: Record<string, WebAssembly.ImportValue> = {};
  for (const wanted of WebAssembly.Module.imports(module)) {
    if (wanted.module !== "wasi_snapshot_preview1" || wanted.kind !== "function") {
      throw invalid(`wasm: the module wants ${wanted.module}.${wanted.name}: it is not Nacre's`);
    }
    wasi[wanted.name] = (calls[wanted.name] ?? (() => ERRNO.NOSYS)) as WebAssembly.ImportValue;
  }
  return { wasi_snapshot_preview1: wasi };
}
