import { NacreError } from "./errors.ts";
import { FilesHost } from "./host-files.ts";
import type { HostFile } from "./host-files.ts";
import { evicted, fileNames } from "./host-opfs.ts";

/**
 * The files of a database in IndexedDB, for places without an OPFS.
 *
 *   database := "nacre:NAME", version 1
 *   meta     := "owner" -> text | "sizes" -> bytes of each file, in the order of their names
 *   blocks   := file * 2^32 + number -> 16 KiB of it
 *
 * 1. All blocks are in memory, too: reads and writes are answered from there. A sync asks for a
 *    commit, and `settled` says when there has been one: only then is anything acknowledged.
 * 2. A commit is one strict transaction: the owner is asked for, then everything that changed
 *    until then is put. The module is at rest then, so the blocks are always the files of one
 *    moment, and the last of them that was committed is what the next one finds.
 * 3. The owner is whoever opened it last. Everybody else's commits are aborted by rule 2, so
 *    that one who slept cannot write over what came after it.
 * 4. A connection that breaks, or says nothing for 2 s, is an accident: opened again, and what is
 *    not committed is put again. The owner is gone: so is the data, and it is EVICTED.
 * 5. After a commit that failed for good the memory is ahead of the blocks: this host is lost,
 *    and another one begins from the blocks.
 */
const BLOCK = 16384;
const STRIDE = 2 ** 32;
const LOAD = 1024; // blocks at once: a message between processes may not be of any size
const STEP_MS = 2000;
const TRIES = 5;
const TRY_FIRST_MS = 20;

class IdbFile implements HostFile {
  size = 0;
  readonly blocks: Uint8Array<ArrayBuffer>[] = [];
  readonly dirty = new Set<number>();
  readonly #wanted: () => void;

  constructor(wanted: () => void) {
    this.#wanted = wanted;
  }

  /** The pieces of blocks between two offsets. */
  #each(from: number, to: number, visit: (block: number, from: number, to: number) => void): void {
    for (let at = from; at < to;) {
      const block = Math.floor(at / BLOCK), start = at - block * BLOCK, end = Math.min(BLOCK, start + to - at);
      visit(block, start, end);
      at += end - start;
    }
  }

  read(into: Uint8Array, at: number): number {
    const end = Math.min(this.size, at + into.length);
    let done = 0;
    this.#each(at, end, (block, from, to) => {
      into.set((this.blocks[block] as Uint8Array).subarray(from, to), done);
      done += to - from;
    });
    return done;
  }

  write(from: Uint8Array, at: number): void {
    if (at + from.length > this.size) this.truncate(at + from.length);
    let done = 0;
    this.#each(at, at + from.length, (block, start, end) => {
      (this.blocks[block] as Uint8Array).set(from.subarray(done, done + end - start), start);
      this.dirty.add(block);
      done += end - start;
    });
  }

  truncate(size: number): void {
    const { blocks, dirty } = this, before = blocks.length, count = Math.ceil(size / BLOCK);
    if (size < this.size && size % BLOCK > 0) {
      (blocks[count - 1] as Uint8Array).fill(0, size % BLOCK);
      dirty.add(count - 1);
    }
    for (let block = before; block < count; block++) blocks.push(new Uint8Array(BLOCK)), dirty.add(block);
    for (let block = count; block < before; block++) dirty.add(block);
    blocks.length = count;
    this.size = size;
  }

  sync(): void {
    this.#wanted();
  }

  close(): void {}
}

interface Waiter {
  /** The sync that is waited for. */
  readonly sync: number;
  resolve(): void;
  reject(why: NacreError): void;
}

function nameOf(error: unknown): string {
  return typeof error === "object" && error !== null && "name" in error ? String(error.name) : "";
}

/** What `begin` makes of its two callbacks, or a throw after 2 s. */
function within<T>(what: string, begin: (resolve: (value: T) => void, reject: (error: unknown) => void) => void): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what}: no answer for ${STEP_MS} ms`)), STEP_MS);
    begin((value) => (clearTimeout(timer), resolve(value)), (error) => (clearTimeout(timer), reject(error)));
  });
}

const ABSENT = new Error("there is no such database");

/** A connection. Without `create` ABSENT is thrown when there is nothing to connect to. */
function connect(name: string, create: boolean): Promise<IDBDatabase> {
  let late = false, absent = false;
  const connection = within<IDBDatabase>("IndexedDB: open", (resolve, reject) => {
    const request = indexedDB.open(`nacre:${name}`, 1);
    request.onupgradeneeded = () => {
      if (!create || late) {
        absent = true;
        request.transaction?.abort(); // so that none is made
        return;
      }
      request.result.createObjectStore("meta");
      request.result.createObjectStore("blocks");
    };
    request.onerror = () => reject(absent ? ABSENT : request.error);
    request.onsuccess = () => {
      if (late) request.result.close();
      else resolve(request.result);
    };
  });
  connection.catch(() => late = true);
  return connection;
}

function answer<T>(request: IDBRequest<T>): Promise<T> {
  return within<T>("IndexedDB: read", (resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function ended(transaction: IDBTransaction): Promise<void> {
  return within<void>("IndexedDB: commit", (resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new Error("the transaction was aborted"));
  });
}

const strict = (database: IDBDatabase): IDBTransaction => database.transaction(["meta", "blocks"], "readwrite", { durability: "strict" });

class IdbHost extends FilesHost {
  readonly #name: string;
  readonly #files: readonly IdbFile[];
  readonly #owner: string;
  #database: IDBDatabase | undefined;
  #waiters: Waiter[] = [];
  /** Syncs that were asked for, and those that a commit has covered. */
  #asked = 0;
  #done = 0;
  #running = false;
  #closed = false;

  constructor(name: string, files: ReadonlyMap<string, IdbFile>, owner: string, database: IDBDatabase) {
    super(files);
    this.#name = name;
    this.#files = [...files.values()];
    this.#owner = owner;
    this.#listen(database);
  }

  #listen(database: IDBDatabase): void {
    this.#database = database;
    const drop = (): void => {
      if (this.#database === database) this.#database = undefined;
    };
    database.onversionchange = () => (database.close(), drop());
    database.onclose = () => {
      drop();
      this.sync(); // is it gone, or only the connection?
    };
  }

  /** Asks for a commit, if only to see that there still is something to commit to. */
  sync(): void {
    if (this.lost !== undefined || this.#closed) return;
    this.#asked++;
    if (this.#running) return;
    this.#running = true;
    queueMicrotask(() => void this.#run()); // the syncs of one call of the engine have one commit
  }

  override settled(): Promise<void> | undefined {
    if (this.lost !== undefined || this.#done >= this.#asked) return super.settled();
    const doubt = super.settled();
    const committed = new Promise<void>((resolve, reject) => this.#waiters.push({ sync: this.#asked, resolve, reject }));
    return doubt === undefined ? committed : committed.then(() => doubt);
  }

  override lose(why: NacreError): void {
    super.lose(why);
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const each of waiters) each.reject(why);
  }

  override close(): void {
    super.close();
    this.#closed = true;
    if (!this.#running) this.#database?.close();
  }

  async #run(): Promise<void> {
    while (this.#done < this.#asked && this.lost === undefined) {
      try {
        this.#done = await this.#commitPatiently();
      } catch (error) {
        this.lose(error as NacreError);
      }
      const waiters = this.#waiters;
      this.#waiters = waiters.filter(({ sync }) => sync > this.#done);
      for (const each of waiters) if (each.sync <= this.#done) each.resolve();
    }
    this.#running = false;
    if (this.#closed || this.lost !== undefined) this.#database?.close();
  }

  /** Rule 4. The number of syncs that are covered now. */
  async #commitPatiently(): Promise<number> {
    for (let tries = 1, wait = TRY_FIRST_MS; ; tries++, wait *= 2) {
      try {
        return await this.#commit();
      } catch (error) {
        if (error instanceof NacreError) throw error;
        if (error === ABSENT) throw evicted(this.#name);
        if (nameOf(error) === "QuotaExceededError") throw this.#full(error);
        this.#database?.close();
        this.#database = undefined;
        if (tries === TRIES) throw new NacreError("IO", `${this.#name}: IndexedDB: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
      }
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  #full(cause: unknown): NacreError {
    let needed = 0;
    for (const { dirty } of this.#files) needed += dirty.size * BLOCK;
    return new NacreError("QUOTA", `${this.#name}: the browser gives no room for ${needed} bytes; delete something, or ask for more with persist()`, { cause, details: { needed } });
  }

  /** Rule 2. */
  async #commit(): Promise<number> {
    if (this.#database === undefined) this.#listen(await connect(this.#name, false));
    const transaction = strict(this.#database as IDBDatabase), taken: [IdbFile, number[]][] = [];
    let covered = 0, over = false, refusal: NacreError | undefined;
    const owner = transaction.objectStore("meta").get("owner");
    owner.onsuccess = () => {
      if (owner.result === undefined) refusal = evicted(this.#name);
      else if (owner.result !== this.#owner) refusal = new NacreError("BUSY", `${this.#name}: another tab has taken it over`);
      if (refusal !== undefined || over) return transaction.abort();
      covered = this.#asked;
      this.#put(transaction, taken);
    };
    try {
      await ended(transaction);
      return covered;
    } catch (error) {
      over = true;
      for (const [file, blocks] of taken) for (const block of blocks) file.dirty.add(block);
      try {
        transaction.abort();
      } catch { /* it has ended */ }
      throw refusal ?? error;
    }
  }

  #put(transaction: IDBTransaction, taken: [IdbFile, number[]][]): void {
    const blocks = transaction.objectStore("blocks");
    for (const [i, file] of this.#files.entries()) {
      if (file.dirty.size === 0) continue;
      taken.push([file, [...file.dirty]]);
      for (const block of file.dirty) {
        const bytes = file.blocks[block];
        if (bytes === undefined) blocks.delete(i * STRIDE + block);
        else blocks.put(bytes, i * STRIDE + block);
      }
      file.dirty.clear();
    }
    transaction.objectStore("meta").put(this.#files.map(({ size }) => size), "sizes");
  }
}

/** Makes us the owner, and gives the sizes of the files: undefined, nothing was ever committed. */
async function takeOver(database: IDBDatabase, owner: string): Promise<number[] | undefined> {
  const transaction = strict(database), meta = transaction.objectStore("meta");
  meta.put(owner, "owner");
  const sizes = answer<number[] | undefined>(meta.get("sizes"));
  await Promise.all([sizes, ended(transaction)]);
  return sizes;
}

async function load(database: IDBDatabase, name: string, index: number, file: IdbFile, size: number): Promise<void> {
  const count = Math.ceil(size / BLOCK);
  const damaged = (what: string): NacreError => new NacreError("CORRUPT", `${name}: IndexedDB: ${what}`);
  for (let at = 0; at < count; at += LOAD) {
    const blocks = database.transaction("blocks").objectStore("blocks");
    const range = IDBKeyRange.bound(index * STRIDE + at, index * STRIDE + Math.min(at + LOAD, count), false, true);
    const [keys, values] = await Promise.all([answer(blocks.getAllKeys(range)), answer<unknown[]>(blocks.getAll(range))]);
    for (const [i, bytes] of values.entries()) {
      if (keys[i] !== index * STRIDE + at + i) throw damaged(`block ${at + i} is missing`);
      if (!(bytes instanceof Uint8Array) || bytes.length !== BLOCK) throw damaged(`block ${at + i} is none`);
      file.blocks.push(bytes as Uint8Array<ArrayBuffer>);
    }
  }
  if (file.blocks.length !== count) throw damaged(`blocks from ${file.blocks.length} on are missing`);
  file.size = size;
}

function explained(name: string, error: unknown): NacreError {
  if (error instanceof NacreError) return error;
  if (error === ABSENT) return new NacreError("NOT_FOUND", `${name}: there is no such database`);
  const message = `${name}: IndexedDB: ${error instanceof Error ? error.message : String(error)}`, options = { cause: error };
  switch (nameOf(error)) {
    case "QuotaExceededError": return new NacreError("QUOTA", message, { ...options, details: { needed: BLOCK } });
    case "VersionError": return new NacreError("VERSION", message, options);
    case "SecurityError":
    case "InvalidStateError": return new NacreError("UNSUPPORTED", message, options);
    default: return new NacreError("IO", message, options);
  }
}

async function patiently<T>(attempt: () => Promise<T>): Promise<T> {
  for (let tries = 1, wait = TRY_FIRST_MS; ; tries++, wait *= 2) {
    try {
      return await attempt();
    } catch (error) {
      if (tries === TRIES || error instanceof NacreError || error === ABSENT || ["QuotaExceededError", "VersionError", "SecurityError"].includes(nameOf(error))) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

/** Whether there are files of a database. */
export async function isInIdb(name: string): Promise<boolean> {
  if (typeof indexedDB === "undefined") return false;
  try {
    return await patiently(async () => {
      const database = await connect(name, false);
      try {
        const sizes = await answer<number[] | undefined>(database.transaction("meta").objectStore("meta").get("sizes"));
        return sizes !== undefined && sizes.some((size) => size > 0);
      } finally {
        database.close();
      }
    });
  } catch (error) {
    if (error === ABSENT) return false;
    throw explained(name, error);
  }
}

/** Removes a database that nobody has open. */
export async function removeFromIdb(name: string): Promise<void> {
  if (typeof indexedDB === "undefined") return;
  await within<void>("IndexedDB: delete", (resolve, reject) => {
    const request = indexedDB.deleteDatabase(`nacre:${name}`);
    request.onsuccess = () => resolve();
    request.onerror = () => reject(request.error);
  });
}

export interface IdbOptions {
  /** Makes the database when it is missing. */
  create: boolean;
}

/**
 * The files of a database as a host: the module opens it under its name. Whoever had it before
 * cannot commit from now on.
 *
 * @throws NacreError NOT_FOUND (without `create`), UNSUPPORTED (no IndexedDB here), QUOTA, IO
 */
export async function openIdb(name: string, { create }: IdbOptions): Promise<FilesHost & { settled(): Promise<void> | undefined }> {
  if (typeof indexedDB === "undefined") throw new NacreError("UNSUPPORTED", `${name}: there is no IndexedDB here`);
  try {
    return await patiently(async () => {
      const database = await connect(name, create);
      try {
        const owner = crypto.randomUUID(), sizes = await takeOver(database, owner);
        if (sizes === undefined && !create) throw ABSENT;
        let host: IdbHost | undefined;
        const files = new Map(fileNames(name).map((file) => [file, new IdbFile(() => host?.sync())]));
        for (const [i, [file, blocks]] of [...files].entries()) await load(database, file, i, blocks, sizes?.[i] ?? 0);
        return host = new IdbHost(name, files, owner, database);
      } catch (error) {
        database.close();
        throw error;
      }
    });
  } catch (error) {
    throw explained(name, error);
  }
}
