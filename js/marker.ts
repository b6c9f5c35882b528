/**
 * Marks of databases that were made here, by which an eviction is told from a first visit.
 *
 * 1. There are three: one that workers keep (IndexedDB "nacre"), and two that only pages can
 *    (localStorage, a cookie). Browsers evict these together or apart, and in Firefox only the
 *    cookie stays.
 * 2. They are made when there is a whole database, and removed with it. A database that is
 *    missing while any of them is there was evicted.
 * 3. The connection to the worker's mark stays open: a browser that clears the site closes it at
 *    once, while files that are open may go on taking writes that nobody will ever find.
 */
export type Marker = "cookie" | "storage";

const DATABASE = "nacre";
const STORE = "made";
const STEP_MS = 2000;
const TRIES = 5;
const TRY_FIRST_MS = 20;
const COOKIE_S = 400 * 24 * 60 * 60;

// ---- Of the page ----

/** A cookie is the host's, whatever the port: its name says whose it is. */
function cookieName(name: string): string {
  const { protocol, port } = location;
  return `nacre_${protocol.slice(0, -1)}${port}_${encodeURIComponent(name).replace(/[()]/g, (letter) => `%${letter.charCodeAt(0).toString(16)}`)}`;
}

const storageKey = (name: string): string => `nacre:${name}`;

/** Whether the page has a mark. */
export function isMarked(name: string): boolean {
  try {
    if (localStorage.getItem(storageKey(name)) !== null) return true;
  } catch { /* there is none here */ }
  try {
    return document.cookie.split("; ").some((each) => each.startsWith(`${cookieName(name)}=`));
  } catch {
    return false;
  }
}

/** Makes the page's marks, after the database was opened. */
export function mark(name: string, marker: Marker): void {
  try {
    localStorage.setItem(storageKey(name), "1");
  } catch { /* full, or not to be had: there are the others */ }
  if (marker === "cookie") cookie(name, COOKIE_S);
}

/** Removes the page's marks. */
export function unmark(name: string): void {
  try {
    localStorage.removeItem(storageKey(name));
  } catch { /* there is none here */ }
  cookie(name, 0);
}

function cookie(name: string, seconds: number): void {
  try {
    document.cookie = `${cookieName(name)}=1; path=/; max-age=${seconds}; samesite=strict${location.protocol === "https:" ? "; secure" : ""}`;
  } catch { /* a sandboxed frame */ }
}

// ---- Of the worker ----

function connect(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("IndexedDB: no answer")), STEP_MS);
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => void request.result.createObjectStore(STORE);
    request.onerror = () => (clearTimeout(timer), reject(request.error));
    request.onsuccess = () => (clearTimeout(timer), resolve(request.result));
  });
}

/** What a transaction gives; an answer after 2 s is none. */
async function within<T>(database: IDBDatabase, mode: IDBTransactionMode, ask: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("IndexedDB: no answer")), STEP_MS);
    const transaction = database.transaction(STORE, mode, { durability: "strict" });
    const request = ask(transaction.objectStore(STORE));
    transaction.oncomplete = () => (clearTimeout(timer), resolve(request.result));
    transaction.onabort = () => (clearTimeout(timer), reject(transaction.error ?? new Error("IndexedDB: aborted")));
  });
}

/** The worker's mark of one database. */
export class Canary {
  readonly #name: string;
  #connection: IDBDatabase | undefined;
  /** Called when the mark may be gone. */
  onsuspicion: (() => void) | undefined;

  constructor(name: string) {
    this.#name = name;
  }

  async #again<T>(attempt: () => Promise<T>): Promise<T> {
    for (let tries = 1, wait = TRY_FIRST_MS; ; tries++, wait *= 2) {
      try {
        return await attempt();
      } catch (error) {
        this.close();
        if (tries === TRIES) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  async #open(): Promise<IDBDatabase> {
    if (this.#connection !== undefined) return this.#connection;
    const connection = await connect();
    const drop = (): void => {
      if (this.#connection !== connection) return;
      this.#connection = undefined;
      this.onsuspicion?.();
    };
    connection.onclose = drop;
    connection.onversionchange = () => (connection.close(), drop());
    return this.#connection = connection;
  }

  /**
   * Where it says that the database was made; undefined: there is no mark. Read through a new
   * connection if the old one was closed. Throws when IndexedDB does not say.
   */
  async read(): Promise<string | undefined> {
    return this.#again(async () => within(await this.#open(), "readonly", (store) => store.get(this.#name) as IDBRequest<string | undefined>));
  }

  async make(backend: string): Promise<void> {
    await this.#again(async () => within(await this.#open(), "readwrite", (store) => store.put(backend, this.#name)));
  }

  close(): void {
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.close();
  }
}
