import { PAGE } from "./abi.gen.ts";
import type { Bounds } from "./keys.ts";
import { PageRow } from "./membrane.ts";
import type { Membrane } from "./membrane.ts";
import type { Session } from "./store.ts";

const FIRST_PAGE = 16 * 1024;
const NONE = new Uint8Array(0);

/** What every iterator of the language can do: `map`, `filter` and so on, where it has them. */
const IteratorPrototype = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]())) as object;
export const AsyncIteratorPrototype = Object.getPrototypeOf(Object.getPrototypeOf((async function* () {}).prototype)) as object;

export interface RowsOptions {
  reverse: boolean;
  limit: number;
  keysOnly: boolean;
  filter?: Uint8Array;
}

/**
 * The rows of a range, page by page, each made into something else, over the state of the
 * first `next()`. By hand and not as a generator: a scan is a step per row.
 */
export class Rows<T> implements IterableIterator<T, undefined> {
  readonly #session: Session;
  readonly #membrane: Membrane;
  readonly #bounds: Bounds;
  readonly #options: RowsOptions;
  readonly #decode: (row: PageRow) => T;
  readonly #row = new PageRow();
  #state: "new" | "open" | "done" = "new";
  #cursor = 0;
  #page: Uint8Array = NONE;
  #at = 0;
  /** Rows of the page not shown yet. */
  #left = 0;
  #more = true;
  /** Rows that may still be read. */
  #limit: number;
  #size = FIRST_PAGE;

  constructor(session: Session, membrane: Membrane, bounds: Bounds, options: RowsOptions, decode: (row: PageRow) => T) {
    this.#session = session;
    this.#membrane = membrane;
    this.#bounds = bounds;
    this.#options = options;
    this.#limit = options.limit;
    this.#decode = decode;
  }

  next(): IteratorResult<T, undefined> {
    if (this.#state === "done") return { done: true, value: undefined };
    try {
      if (this.#state === "new") this.#open();
      else this.#session.check();
      while (this.#left === 0) {
        if (!this.#more || this.#limit <= 0) return this.return();
        this.#turn();
      }
      const row = this.#row;
      row.read(this.#page, this.#at);
      this.#at = row.next;
      this.#left--;
      return { done: false, value: this.#decode(row) };
    } catch (error) {
      this.return();
      throw error;
    }
  }

  #open(): void {
    const { engine } = this.#session.reading(this.#membrane);
    const { low, high, empty } = this.#bounds;
    if (empty || this.#limit === 0) {
      this.#more = false;
      return;
    }
    const { filter, keysOnly } = this.#options;
    this.#cursor = engine.cursorOpen(this.#membrane.pointer, this.#session.snapshot, low, high, filter ?? NONE, keysOnly);
    this.#state = "open";
  }

  #turn(): void {
    const { engine } = this.#session.store;
    engine.cursorPage(this.#cursor, this.#options.reverse, Math.min(this.#limit, 0xffff_ffff), this.#size);
    this.#size = Math.min(4 * this.#size, PAGE.SIZE);
    this.#left = engine.answerCount;
    this.#more = engine.answerMore;
    this.#limit -= this.#left;
    this.#page = engine.answerCopy();
    this.#at = 0;
  }

  /** Ends it early. */
  return(): IteratorResult<T, undefined> {
    const { store } = this.#session;
    if (this.#state === "open" && !store.closed) store.engine.cursorClose(this.#cursor);
    this.#state = "done";
    this.#page = NONE;
    return { done: true, value: undefined };
  }

  [Symbol.iterator](): this {
    return this;
  }
}

Object.setPrototypeOf(Rows.prototype, IteratorPrototype);

/** A synchronous iterator for `for await`. */
export class AsyncRows<T> implements AsyncIterableIterator<T, undefined> {
  readonly #rows: Iterator<T, undefined>;

  constructor(rows: Iterator<T, undefined>) {
    this.#rows = rows;
  }

  next(): Promise<IteratorResult<T, undefined>> {
    try {
      return Promise.resolve(this.#rows.next());
    } catch (error) {
      return Promise.reject(error);
    }
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.#rows.return?.();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

Object.setPrototypeOf(AsyncRows.prototype, AsyncIteratorPrototype);
