import { AbstractIterator, AbstractKeyIterator, AbstractValueIterator } from "abstract-level";
import { PAGE } from "./abi.gen.ts";
import { KvSync } from "./kv.ts";
import { RemoteSession } from "./link.ts";
import { RemoteKv } from "./remote-kv.ts";
import type { Page } from "./wire.ts";
import { LevelError, levelError } from "./level-error.ts";
import { compareBytes } from "./keys.ts";
import type { Bounds, KeyRange } from "./keys.ts";
import { PageRow, SHAPE } from "./membrane.ts";
import type { Membrane } from "./membrane.ts";
import { decodeValue } from "./rows.ts";
import { viewOf } from "./heap.ts";
import type { Cut } from "./heap.ts";
import type { Session } from "./store.ts";
import { isWellFormed } from "./text.ts";
import type { Writer } from "./writer.ts";

/** How abstract-level hands over keys and values, and wants them back. */
export type Format = "utf8" | "view";
export type Formatted = string | Uint8Array;

export interface Formats {
  readonly keyEncoding: Format;
  readonly valueEncoding: Format;
}

export interface Bounded {
  readonly gt?: Formatted;
  readonly gte?: Formatted;
  readonly lt?: Formatted;
  readonly lte?: Formatted;
}

export interface RowsOptions extends Formats, Bounded {
  readonly reverse: boolean;
  /** -1: none. */
  readonly limit: number;
  readonly values?: boolean;
  readonly signal?: AbortSignal | null;
}

/** UTF-8 has no lone surrogates: each becomes U+FFFD, as it does with TextEncoder. */
export function wellFormed<T extends Formatted>(text: T): T {
  return typeof text === "string" && !isWellFormed(text) ? text.replaceAll(/\p{Surrogate}/gu, "\ufffd") as T : text;
}

/** A range in abstract-level's sense, where the bound that includes more prevails: gte over gt. */
export function keyRange({ gt, gte, lt, lte }: Bounded): KeyRange<Formatted> {
  return {
    ...(gte !== undefined ? { gte: wellFormed(gte) } : gt !== undefined && { gt: wellFormed(gt) }),
    ...(lte !== undefined ? { lte: wellFormed(lte) } : lt !== undefined && { lt: wellFormed(lt) }),
  };
}

/** Of this realm, or of another one that answers later. */
type Face = KvSync<Formatted, Formatted> | RemoteKv<Formatted, Formatted>;

/** One state of the rows, in each pair of formats: text and bytes are stored alike. */
export class LevelState {
  readonly session: Session;
  readonly #membranes: Readonly<Record<Format, Membrane>>;
  readonly #faces: Readonly<Record<Format, Readonly<Record<Format, Face>>>>;

  /** `membrane` has bytes as keys and values. */
  constructor(session: Session, membrane: Membrane) {
    const face = (key: "text" | "bytes", value: "text" | "bytes"): Face => session instanceof RemoteSession
      ? new RemoteKv(session, membrane.as(key, value)) : new KvSync(session, membrane.as(key, value));
    this.session = session;
    this.#membranes = { utf8: membrane.as("text", "bytes"), view: membrane };
    this.#faces = {
      utf8: { utf8: face("text", "text"), view: face("text", "bytes") },
      view: { utf8: face("bytes", "text"), view: face("bytes", "bytes") },
    };
  }

  membrane(key: Format): Membrane {
    return this.#membranes[key];
  }

  face(key: Format, value: Format): Face {
    return this.#faces[key][value];
  }

  put(writer: Writer, key: Formatted, value: Formatted, { keyEncoding, valueEncoding }: Formats): void {
    this.face(keyEncoding, valueEncoding)[SHAPE].shape.put(writer, [wellFormed(key), wellFormed(value)]);
  }

  del(writer: Writer, key: Formatted, { keyEncoding }: { keyEncoding: Format }): void {
    this.membrane(keyEncoding).delete(writer, wellFormed(key));
  }
}

const NONE = new Uint8Array(0);
const FIRST_PAGE = 16 * 1024;
const ROWS_MAX = 0xffff_ffff;

/** The rows of a range as of its creation, page by page. To be closed. */
export interface LevelRows {
  /** Moves to the next row; false: there is none. */
  step(): boolean | Promise<boolean>;
  key(): Formatted;
  /** undefined when only keys are read. */
  value(): Formatted | undefined;
  /** The next row is the first with this key or one behind it; none if it lies outside of the range. */
  seek(target: Formatted, format: Format): void;
  close(): void;
}

export function levelRows(state: LevelState, options: RowsOptions, keysOnly: boolean): LevelRows {
  return state.session.local ? new LocalRows(state, options, keysOnly) : new FarRows(state, options, keysOnly);
}

abstract class Decoded implements LevelRows {
  protected readonly state: LevelState;
  protected readonly membrane: Membrane;
  protected readonly bounds: Bounds;
  protected readonly options: RowsOptions;
  protected readonly keysOnly: boolean;
  protected readonly row = new PageRow();

  constructor(state: LevelState, options: RowsOptions, keysOnly: boolean) {
    this.state = state;
    this.options = options;
    this.keysOnly = keysOnly;
    this.membrane = state.membrane(options.keyEncoding);
    this.bounds = this.membrane.keys.bounds(keyRange(options), "iterator");
  }

  protected get limit(): number {
    return this.options.limit < 0 ? ROWS_MAX : this.options.limit;
  }

  key(): Formatted {
    const { bytes, key, keyEnd } = this.row;
    return this.membrane.keys.decode(bytes, key, keyEnd) as Formatted;
  }

  value(): Formatted | undefined {
    if (this.keysOnly) return undefined;
    const { bytes, value, valueSize } = this.row;
    return decodeValue(this.options.valueEncoding === "utf8" ? "text" : "bytes", bytes, value, valueSize, viewOf) as Formatted;
  }

  seek(target: Formatted, format: Format): void {
    const key = this.state.membrane(format).keys.encoded(wellFormed(target));
    const { low, high } = this.bounds;
    const inside = compareBytes(key, low) >= 0 && (high.length === 0 || compareBytes(key, high) < 0);
    this.seekTo(inside ? key : undefined);
  }

  /** Undefined: to where no rows are. */
  protected abstract seekTo(key: Uint8Array | undefined): void;
  abstract step(): boolean | Promise<boolean>;
  abstract close(): void;
}

interface Asked {
  readonly page: Promise<Page>;
  readonly handle: number;
}

/** Of another realm: the first page is asked for at once. */
class FarRows extends Decoded {
  readonly #session: RemoteSession;
  readonly #handle: number;
  readonly #open: boolean;
  #page: Uint8Array = NONE;
  #left = 0;
  #more = false;
  #next: Asked | undefined;

  constructor(state: LevelState, options: RowsOptions, keysOnly: boolean) {
    super(state, options, keysOnly);
    const session = this.#session = state.session as RemoteSession, { low, high, empty } = this.bounds;
    this.#handle = session.link.handle();
    this.#open = !empty && !session.closed;
    if (!this.#open) return;
    session.reading(this.membrane);
    this.#ask(session.ask("scan", [this.membrane.id, low, high, NONE, keysOnly, options.reverse, this.limit], undefined, this.#handle), this.#handle);
  }

  #ask(page: Promise<Page>, handle: number): void {
    page.catch(() => {}); // told at the next step
    this.#next = { page, handle };
    this.#left = 0;
  }

  async step(): Promise<boolean> {
    while (this.#left === 0) {
      const { link } = this.#session;
      if (this.#next === undefined) {
        if (!this.#more) return false;
        const handle = link.handle();
        this.#ask(link.ask("pull", this.#handle, handle), handle);
      }
      const { page, handle } = this.#next as Asked;
      this.#next = undefined;
      const { bytes, count, more } = await page;
      this.#page = await link.whole(bytes, handle);
      this.row.next = 0;
      this.#left = count;
      this.#more = more;
    }
    this.row.read(this.#page, this.row.next);
    this.#left--;
    return true;
  }

  protected seekTo(key: Uint8Array | undefined): void {
    this.#left = 0;
    this.#more = false;
    this.#next = undefined;
    if (!this.#open || key === undefined) return;
    const { link } = this.#session, handle = link.handle();
    this.#ask(link.ask("seek", this.#handle, handle, [key.slice(), this.limit]), handle);
  }

  close(): void {
    if (this.#open) this.#session.link.drop(this.#handle);
  }
}

class LocalRows extends Decoded {
  readonly #cursor: number;
  #page: Uint8Array = NONE;
  #left = 0; // rows of the page
  #more = true;
  #size = FIRST_PAGE;

  constructor(state: LevelState, options: RowsOptions, keysOnly: boolean) {
    super(state, options, keysOnly);
    const { low, high, empty } = this.bounds, { session } = state;
    // Over a snapshot that is closed there is nothing to read, and abstract-level says why.
    this.#cursor = empty || session.closed ? 0
      : session.reading(this.membrane).engine.cursorOpen(this.membrane.pointer, session.snapshot, low, high, NONE, keysOnly);
    this.#more = this.#cursor !== 0;
  }

  step(): boolean {
    if (this.#left === 0) {
      if (!this.#more) return false;
      const { engine } = this.state.session.store;
      engine.cursorPage(this.#cursor, this.options.reverse, this.limit, this.#size);
      this.#turn();
      if (this.#left === 0) return false;
    }
    this.row.read(this.#page, this.row.next);
    this.#left--;
    return true;
  }

  /** To the page that the engine has answered. */
  #turn(): void {
    const { engine } = this.state.session.store;
    this.#left = engine.answerCount;
    this.#more = engine.answerMore;
    this.#page = engine.answerCopy();
    this.row.next = 0;
    this.#size = Math.min(4 * this.#size, PAGE.SIZE);
  }

  protected seekTo(key: Uint8Array | undefined): void {
    this.#left = 0;
    this.#more = false;
    if (this.#cursor === 0 || key === undefined) return;
    this.#size = FIRST_PAGE;
    this.state.session.store.engine.cursorSeek(this.#cursor, this.options.reverse, key, this.limit, this.#size);
    this.#turn();
  }

  close(): void {
    const { store } = this.state.session;
    if (this.#cursor !== 0 && !store.closed) store.engine.cursorClose(this.#cursor);
  }
}

type IteratorClass = new (db: object, options: object) => object;

/** Gives an iterator of abstract-level the methods that it calls. */
function reading<T>(
  base: unknown, keysOnly: (options: RowsOptions) => boolean, item: (rows: LevelRows) => T,
): new (db: object, state: LevelState, options: RowsOptions) => object {
  return class extends (base as IteratorClass) {
    readonly #rows: LevelRows;
    readonly #signal: AbortSignal | null | undefined;

    constructor(db: object, state: LevelState, options: RowsOptions) {
      const rows = levelRows(state, options, keysOnly(options));
      super(db, options);
      this.#rows = rows;
      this.#signal = options.signal;
    }

    _next(): T | undefined | Promise<T | undefined> {
      return this.#signal ? this.#abortable(() => this.#one()) : this.#one();
    }

    _nextv(size: number): T[] | Promise<T[]> {
      return this.#signal ? this.#abortable(() => this.#some(size)) : this.#some(size);
    }

    _seek(target: Formatted, { keyEncoding }: { keyEncoding: Format }): void {
      try {
        this.#rows.seek(target, keyEncoding);
      } catch (error) {
        throw levelError(error);
      }
    }

    async _close(): Promise<void> {
      this.#rows.close();
    }

    #one(): T | undefined | Promise<T | undefined> {
      try {
        const more = this.#rows.step();
        if (typeof more === "boolean") return more ? item(this.#rows) : undefined;
        return more.then((found) => found ? item(this.#rows) : undefined).catch((error: unknown) => { throw levelError(error); });
      } catch (error) {
        throw levelError(error);
      }
    }

    #some(size: number, items: T[] = []): T[] | Promise<T[]> {
      while (items.length < size) {
        const next = this.#one();
        if (next instanceof Promise) {
          return next.then((found) => found === undefined ? items : (items.push(found), this.#some(size, items)));
        }
        if (next === undefined) break;
        items.push(next);
      }
      return items;
    }

    /** A read is done at once; with a signal it begins later, so that there is something to abort. */
    async #abortable<R>(read: () => R | Promise<R>): Promise<R> {
      await undefined;
      if (this.#signal?.aborted) throw new LevelError("LEVEL_ABORTED", "Operation has been aborted", this.#signal.reason);
      return read();
    }
  };
}

export const LevelIterator = reading(AbstractIterator, ({ values }) => values === false, (rows) => [rows.key(), rows.value()]);
export const LevelKeys = reading(AbstractKeyIterator, () => true, (rows) => rows.key());
export const LevelValues = reading(AbstractValueIterator, () => false, (rows) => rows.value());
