// IndexedDB as far as it is used, in memory: versions, transactions one after the other that are
// done whole or not at all, values that are copied, connections that break, commits that hang.
import { domError } from "./shim-opfs.ts";

type Key = string | number;
type Rows = Map<Key, unknown>;

class Data {
  version = 0;
  stores = new Map<string, Rows>();
  readonly connections = new Set<ShimDatabase>();
  /** The end of the last transaction. */
  last: Promise<void> = Promise.resolve();
}

class ShimRange {
  readonly low: number;
  readonly high: number;

  constructor(low: number, high: number) {
    this.low = low;
    this.high = high;
  }

  static bound(low: number, high: number, lowOpen: boolean, highOpen: boolean): ShimRange {
    if (lowOpen || !highOpen) throw new TypeError("not in this shim");
    return new ShimRange(low, high);
  }
}

class ShimRequest {
  result: unknown;
  error: DOMException | null = null;
  transaction: ShimTransaction | null = null;
  onsuccess: (() => void) | null = null;
  onerror: (() => void) | null = null;
  onupgradeneeded: (() => void) | null = null;
}

class ShimStore {
  readonly #transaction: ShimTransaction;
  readonly #name: string;

  constructor(transaction: ShimTransaction, name: string) {
    this.#transaction = transaction;
    this.#name = name;
  }

  #ask(run: (rows: Rows) => unknown): ShimRequest {
    return this.#transaction.ask(() => run(this.#transaction.rows(this.#name)));
  }

  get(key: Key): ShimRequest {
    return this.#ask((rows) => structuredClone(rows.get(key)));
  }

  put(value: unknown, key: Key): ShimRequest {
    const copy: unknown = structuredClone(value);
    return this.#ask((rows) => void rows.set(key, copy));
  }

  delete(key: Key): ShimRequest {
    return this.#ask((rows) => void rows.delete(key));
  }

  #range(rows: Rows, { low, high }: ShimRange): [number, unknown][] {
    return ([...rows] as [number, unknown][]).filter(([key]) => key >= low && key < high).sort(([a], [b]) => a - b);
  }

  getAll(range: ShimRange): ShimRequest {
    return this.#ask((rows) => this.#range(rows, range).map(([, value]) => structuredClone(value)));
  }

  getAllKeys(range: ShimRange): ShimRequest {
    return this.#ask((rows) => this.#range(rows, range).map(([key]) => key));
  }
}

class ShimTransaction {
  error: DOMException | null = null;
  oncomplete: (() => void) | null = null;
  onabort: (() => void) | null = null;
  readonly #shim: ShimIdb;
  readonly #database: ShimDatabase;
  readonly #stores: Map<string, Rows>;
  readonly #waiting: { request: ShimRequest; run: () => unknown }[] = [];
  readonly #writes: boolean;
  #over = false;
  #end!: () => void;

  constructor(shim: ShimIdb, database: ShimDatabase, writes: boolean) {
    this.#shim = shim;
    this.#database = database;
    this.#writes = writes;
    this.#stores = new Map();
    const { data } = database, before = data.last;
    data.last = new Promise((resolve) => this.#end = resolve);
    void before.then(() => setImmediate(() => void this.#run()));
  }

  objectStore(name: string): ShimStore {
    return new ShimStore(this, name);
  }

  /** A copy: what is aborted has changed nothing. */
  rows(name: string): Rows {
    let rows = this.#stores.get(name);
    if (rows === undefined) this.#stores.set(name, rows = new Map(this.#database.data.stores.get(name)));
    return rows;
  }

  ask(run: () => unknown): ShimRequest {
    if (this.#over) throw domError("TransactionInactiveError");
    const request = new ShimRequest();
    this.#waiting.push({ request, run });
    return request;
  }

  abort(): void {
    if (this.#over) throw domError("InvalidStateError");
    this.#finish(null);
  }

  #finish(error: DOMException | null): void {
    this.#over = true;
    this.error = error;
    this.#end();
    setImmediate(() => this.onabort?.());
  }

  async #run(): Promise<void> {
    for (let next = this.#waiting.shift(); next !== undefined && !this.#over; next = this.#waiting.shift()) {
      next.request.result = next.run();
      next.request.onsuccess?.();
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (this.#over) return;
    if (!this.#database.open) return this.#shim.hangs ? this.#end() : this.#finish(domError("AbortError"));
    const failure = this.#writes ? this.#shim.commit?.() : undefined;
    if (failure === "hang") return this.#end();
    if (failure !== undefined) return this.#finish(failure);
    for (const [name, rows] of this.#stores) this.#database.data.stores.set(name, rows);
    this.#over = true;
    if (this.#writes) this.#shim.commits++;
    this.#end();
    if (!this.#shim.mute) this.oncomplete?.();
  }
}

class ShimDatabase {
  open = true;
  onclose: (() => void) | null = null;
  onversionchange: (() => void) | null = null;
  readonly data: Data;
  readonly #shim: ShimIdb;

  constructor(shim: ShimIdb, data: Data) {
    this.#shim = shim;
    this.data = data;
    data.connections.add(this);
  }

  createObjectStore(name: string): void {
    this.data.stores.set(name, new Map());
  }

  transaction(_stores: string | string[], mode: "readonly" | "readwrite" = "readonly", options?: { durability?: string }): ShimTransaction {
    if (!this.open) throw domError("InvalidStateError");
    if (mode === "readwrite" && options?.durability !== "strict") throw new Error("a commit that is not strict");
    return new ShimTransaction(this.#shim, this, mode === "readwrite");
  }

  close(): void {
    this.open = false;
    this.data.connections.delete(this);
  }
}

/** All databases of an origin. `install` makes it the one of this realm. */
export class ShimIdb {
  readonly databases = new Map<string, Data>();
  /** What happens to the next commit: undefined, it is done. */
  commit: (() => DOMException | "hang" | undefined) | undefined;
  /** Transactions of broken connections do not end. */
  hangs = false;
  /** Commits are done, and nobody is told. */
  mute = false;
  commits = 0;

  install(): void {
    Object.assign(globalThis, { indexedDB: this, IDBKeyRange: ShimRange });
  }

  open(name: string, version: number): ShimRequest {
    const request = new ShimRequest();
    setImmediate(() => {
      const there = this.databases.get(name), data = there ?? new Data();
      const database = new ShimDatabase(this, data);
      request.result = database;
      if (data.version < version) {
        let aborted = false;
        request.transaction = { abort: () => aborted = true } as never;
        request.onupgradeneeded?.();
        if (aborted) {
          database.close();
          request.error = domError("AbortError");
          return void request.onerror?.();
        }
        data.version = version;
        this.databases.set(name, data);
      }
      request.onsuccess?.();
    });
    return request;
  }

  deleteDatabase(name: string): ShimRequest {
    const request = new ShimRequest();
    setImmediate(() => {
      for (const each of this.databases.get(name)?.connections ?? []) each.onversionchange?.();
      this.databases.delete(name);
      request.onsuccess?.();
    });
    return request;
  }

  /** Connections break; the data stays. */
  forceClose(): void {
    for (const data of this.databases.values()) {
      for (const each of [...data.connections]) {
        each.close();
        setImmediate(() => each.onclose?.());
      }
    }
  }

  /** The user clears the site. */
  clear(): void {
    this.forceClose();
    this.databases.clear();
  }

  /** What another page finds when this one is gone. */
  after(): ShimIdb {
    const shim = new ShimIdb();
    for (const [name, { version, stores }] of this.databases) {
      const data = new Data();
      data.version = version;
      data.stores = structuredClone(stores);
      shim.databases.set(name, data);
    }
    return shim;
  }
}
