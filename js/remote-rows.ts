import { BATCH } from "./abi.gen.ts";
import { GATHER } from "./bulk.ts";
import type { Load } from "./bulk.ts";
import type { Bounds } from "./keys.ts";
import { AsyncIteratorPrototype } from "./iterate.ts";
import type { RowsOptions } from "./iterate.ts";
import type { RemoteSession } from "./link.ts";
import { PageRow } from "./membrane.ts";
import type { Membrane } from "./membrane.ts";
import { writeU32 } from "./rows.ts";
import { PIECE } from "./wire.ts";
import type { Bytes, Page } from "./wire.ts";
import type { Incoming } from "./stream.ts";
import { Writer } from "./writer.ts";

/** One thing after the other, whoever waits for them. */
class Line {
  #last: Promise<unknown> | undefined;

  /** At once when nothing is under way. */
  add<T>(run: () => Promise<T>): Promise<T> {
    const mine = this.#last === undefined ? run() : this.#last.then(run, run);
    this.#last = mine;
    const done = (): void => {
      if (this.#last === mine) this.#last = undefined;
    };
    mine.then(done, done);
    return mine;
  }
}

/** An iterator over what comes in portions from another realm: `T` each. */
export abstract class Portions<T> implements AsyncIterableIterator<T, undefined> {
  readonly #line = new Line();
  #state: "new" | "open" | "done" = "new";

  next(): Promise<IteratorResult<T, undefined>> {
    return this.#line.add(() => this.#next());
  }

  async #next(): Promise<IteratorResult<T, undefined>> {
    if (this.#state === "done") return { done: true, value: undefined };
    try {
      const first = this.#state === "new";
      this.#state = "open";
      const item = first ? await this.first() : this.item() ?? await this.more();
      if (item !== undefined && !this.#over()) return { done: false, value: item.value };
    } catch (error) {
      if (this.#over()) return { done: true, value: undefined };
      void this.return();
      throw error;
    }
    return this.return();
  }

  /** It may have been ended while it waited. */
  #over(): boolean {
    return this.#state === "done";
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    if (this.#state === "open") this.end();
    this.#state = "done";
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The first one. Undefined here and below: there is none. */
  protected abstract first(): Promise<{ value: T } | undefined>;
  /** The next one of the portion that is here. May throw. */
  protected abstract item(): { value: T } | undefined;
  /** The first one of the next portion. */
  protected abstract more(): Promise<{ value: T } | undefined>;
  protected abstract end(): void;
}

Object.setPrototypeOf(Portions.prototype, AsyncIteratorPrototype);

/** The rows of a range, page by page, over the state of the first `next()`. */
export class RemoteRows<T> extends Portions<T> {
  readonly #session: RemoteSession;
  readonly #membrane: Membrane;
  readonly #bounds: Bounds;
  readonly #options: RowsOptions;
  readonly #decode: (row: PageRow) => T;
  readonly #handle: number;
  readonly #row = new PageRow();
  #page: Uint8Array = new Uint8Array(0);
  #left = 0;
  #more = false;
  #limit: number;

  constructor(session: RemoteSession, membrane: Membrane, bounds: Bounds, options: RowsOptions, decode: (row: PageRow) => T) {
    super();
    session.check();
    this.#session = session;
    this.#membrane = membrane;
    this.#bounds = bounds;
    this.#options = options;
    this.#decode = decode;
    this.#limit = options.limit;
    this.#handle = session.link.handle();
  }

  protected async first(): Promise<{ value: T } | undefined> {
    this.#session.reading(this.#membrane);
    const { low, high, empty } = this.#bounds, { filter, keysOnly, reverse, limit } = this.#options;
    if (empty || limit === 0) return undefined;
    const args = [this.#membrane.id, low, high, filter ?? low.subarray(0, 0), keysOnly, reverse, limit];
    return this.#turn(this.#session.ask("scan", args, undefined, this.#handle), this.#handle);
  }

  protected item(): { value: T } | undefined {
    this.#session.check();
    if (this.#left === 0) return undefined;
    const row = this.#row;
    row.read(this.#page, row.next);
    this.#left--;
    return { value: this.#decode(row) };
  }

  protected async more(): Promise<{ value: T } | undefined> {
    if (!this.#more || this.#limit <= 0) return undefined;
    const { link } = this.#session, handle = link.handle();
    return this.#turn(link.ask("pull", this.#handle, handle), handle);
  }

  async #turn(page: Promise<Page>, handle: number): Promise<{ value: T } | undefined> {
    const { bytes, count, more } = await page;
    this.#page = await this.#session.link.whole(bytes, handle);
    this.#left = count;
    this.#limit -= count;
    this.#more = more;
    this.#row.next = 0;
    return this.item() ?? this.more();
  }

  protected end(): void {
    this.#session.link.drop(this.#handle);
    this.#page = new Uint8Array(0);
  }
}

/** What is asked of a membrane, in bytes. */
export class RemoteMembrane {
  readonly session: RemoteSession;
  readonly membrane: Membrane;

  constructor(session: RemoteSession, membrane: Membrane) {
    this.session = session;
    this.membrane = membrane;
  }

  #reading(): RemoteSession {
    this.session.reading(this.membrane);
    return this.session;
  }

  #writing(): RemoteSession {
    this.session.writing(this.membrane);
    return this.session;
  }

  /** What `decode` makes of the rows of these keys; undefined where there is none. */
  async rows<T>(keys: readonly unknown[], decode: (row: PageRow, i: number) => T): Promise<(T | undefined)[]> {
    const session = this.#reading(), { link } = session;
    const encoded = new Writer();
    for (const key of keys) {
      encoded.ensure(this.membrane.keys.room(key) + 8);
      const end = this.membrane.keys.encode(key, encoded.bytes, encoded.at + 4);
      writeU32(end - encoded.at - 4, encoded.bytes, encoded.at);
      encoded.at = (end + 3) & ~3;
    }
    if (keys.length === 0) return [];
    const handle = link.handle();
    const answer = await session.ask("rows", [this.membrane.id, encoded.bytes.slice(0, encoded.at), keys.length], undefined, handle) as Bytes;
    const bytes = answer instanceof Uint8Array ? answer : await link.whole(answer, handle);
    const row = new PageRow();
    return keys.map((_, i) => {
      row.read(bytes, row.next);
      return row.absent ? undefined : decode(row, i);
    });
  }

  async has(key: unknown): Promise<boolean> {
    return this.#reading().ask("has", [this.membrane.id, this.membrane.keys.encoded(key).slice()]);
  }

  async delete(key: unknown): Promise<boolean> {
    return this.#writing().ask("delete", [this.membrane.id, this.membrane.keys.encoded(key).slice()], { writes: true });
  }

  async remove({ low, high, empty }: Bounds, filter: Uint8Array): Promise<number> {
    return empty ? (this.#writing(), 0) : this.#writing().ask("remove", [this.membrane.id, low, high, filter], { writes: true });
  }

  async count({ low, high, empty }: Bounds, filter: Uint8Array): Promise<number> {
    return empty ? (this.#reading(), 0) : this.#reading().ask("count", [this.membrane.id, low, high, filter]);
  }

  load(): Load {
    return new RemoteLoad(this.#writing(), this.membrane);
  }

  value(key: unknown, ttl: number): Incoming {
    return new RemoteValue(this.#writing(), this.membrane, key, ttl);
  }
}

/** What is pushed to another realm piece by piece. */
class Pushed {
  readonly #session: RemoteSession;
  readonly #membrane: Membrane;
  readonly #handle: number;
  readonly #begun: Promise<unknown>;
  #open = true;

  constructor(session: RemoteSession, membrane: Membrane, op: string, args: readonly unknown[]) {
    this.#session = session;
    this.#membrane = membrane;
    this.#handle = session.link.handle();
    this.#begun = session.ask(op, [membrane.id, ...args], undefined, this.#handle);
    this.#begun.catch(() => {});
  }

  async push(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    this.#session.writing(this.#membrane);
    await this.#begun;
    await this.#session.link.ask("push", this.#handle, this.#session.link.handle(), [bytes], { transfer: [bytes.buffer] });
  }

  async finish(): Promise<any> {
    this.#session.writing(this.#membrane);
    await this.#begun;
    this.#open = false;
    return this.#session.link.ask("finish", this.#handle, this.#session.link.handle(), [], { writes: true });
  }

  close(): void {
    if (this.#open) this.#session.link.drop(this.#handle);
    this.#open = false;
  }
}

class RemoteLoad implements Load {
  readonly #pushed: Pushed;
  readonly #writer = new Writer();

  constructor(session: RemoteSession, membrane: Membrane) {
    this.#pushed = new Pushed(session, membrane, "bulk", []);
    this.#writer.batchBegin();
  }

  add(fill: (writer: Writer) => void): boolean | Promise<void> {
    fill(this.#writer);
    return this.#writer.at >= GATHER && this.#send();
  }

  #send(): Promise<void> {
    const bytes = this.#writer.bytes.slice(BATCH.HEAD, this.#writer.at);
    this.#writer.clear();
    this.#writer.batchBegin();
    return this.#pushed.push(bytes);
  }

  async commit(): Promise<number> {
    if (this.#writer.count > 0) await this.#send();
    return this.#pushed.finish();
  }

  close(): void {
    this.#pushed.close();
  }
}

class RemoteValue implements Incoming {
  readonly #pushed: Pushed;

  constructor(session: RemoteSession, membrane: Membrane, key: unknown, ttl: number) {
    this.#pushed = new Pushed(session, membrane, "putValue", [membrane.keys.encoded(key).slice(), ttl]);
  }

  async append(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length; at += PIECE) await this.#pushed.push(chunk.slice(at, at + PIECE));
  }

  async finish(): Promise<void> {
    await this.#pushed.finish();
  }

  close(): void {
    this.#pushed.close();
  }
}
