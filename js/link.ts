import { LIMIT } from "./abi.gen.ts";
import { Cutoff } from "./cutoff.ts";
import type { LongCall } from "./cutoff.ts";
import { invalid, NacreError } from "./errors.ts";
import type { Place } from "./estimate.ts";
import { Membrane } from "./membrane.ts";
import type { RequestOptions, Route } from "./route.ts";
import type { Schema } from "./schema.ts";
import { atEndOfTick, Session } from "./store.ts";
import type { Store } from "./store.ts";
import { nameBytes } from "./text.ts";
import { unpackError } from "./wire.ts";
import type { Bytes, PackedError, Request, Told } from "./wire.ts";
import { Writer, Writers } from "./writer.ts";

const QUEUE_MAX = 1 << 20; // bytes that wait for the end of the tick

interface Settled {
  resolve(): void;
  reject(error: unknown): void;
}

/**
 * What all handles of a database that another realm serves share.
 *
 * 1. Writes wait in a queue, each as a batch of its own. They go as one request before anything
 *    else is asked, and at the end of the tick at the latest: everything is done in the order of
 *    the calls, and the writes of a tick share a sync.
 * 2. Arguments are copied by the call that gives them to the route.
 */
export class Link {
  readonly name: string;
  readonly readonly: boolean;
  readonly writers = new Writers();
  /** Where the files are, as a page can tell. */
  place: (() => Promise<Place>) | undefined;
  readonly #route: Route;
  readonly #membranes = new Map<number, Membrane>();
  readonly #listeners = new Map<number, (what: unknown) => void>();
  #queue = new Writer();
  #where = 0;
  #waiting: Settled[] = [];
  #soon = false;
  #handle = 0;
  #handles = 1;
  #last: Promise<unknown> = Promise.resolve();

  constructor(route: Route, name: string, readonly: boolean) {
    this.#route = route;
    this.name = name;
    this.readonly = readonly;
    route.onevent = (body) => {
      const [handle, what] = body as [number, unknown];
      this.#listeners.get(handle)?.(what);
    };
  }

  // ---- As a store: what sessions and batches ask of one ----

  get closed(): boolean {
    return this.#handles === 0;
  }

  settled(): undefined {}

  /** Only one that was opened here can be named at once. */
  openMembrane(name: string): Membrane | undefined {
    for (const membrane of this.#membranes.values()) if (membrane.name === name && !membrane.dropped) return membrane;
    return undefined;
  }

  retain(): this {
    this.#handles++;
    return this;
  }

  /** One handle less; the last one ends the connection. */
  async release(): Promise<void> {
    const last = --this.#handles === 0;
    try {
      await this.ask(last ? "leave" : "settle", 0, this.handle());
      await this.#last;
    } finally {
      if (last) await this.#route.close();
    }
  }

  // ---- Asking ----

  /** A handle for what a request opens. */
  handle(): number {
    return ++this.#handle;
  }

  ask(op: string, where: number, handle: number, args: readonly unknown[] = [], options?: RequestOptions): Promise<any> {
    this.flush();
    const body: Request = [op, where, handle, ...args];
    try {
      return this.#route.request(body, options);
    } catch (error) {
      if (error instanceof NacreError) throw error;
      throw invalid(`${this.name}: ${String(args[0])}: ${error instanceof Error ? error.message : String(error)}`); // it cannot be cloned
    }
  }

  /** The same with a time limit and a signal: nobody waits for it any longer. */
  async long(limits: LongCall, what: string, op: string, where: number, args: readonly unknown[], handle = this.handle()): Promise<any> {
    if (limits.signal === undefined && limits.timeoutMs === undefined) return this.ask(op, where, handle, args);
    const cutoff = new Cutoff(limits, what), cancel = new AbortController();
    cutoff.listen(() => cancel.abort());
    try {
      cutoff.check();
      return await cutoff.race(this.ask(op, where, handle, args, { cancel: cancel.signal }));
    } finally {
      cutoff.end();
    }
  }

  /** Bytes of an answer to the request that had this handle, whole. */
  async whole(bytes: Bytes, handle: number): Promise<Uint8Array> {
    if (bytes instanceof Uint8Array) return bytes;
    const all = new Uint8Array(bytes.size);
    all.set(bytes.first);
    for (let at = bytes.first.length; at < all.length;) {
      const piece = await this.ask("pull", -handle, this.handle()) as Uint8Array;
      all.set(piece, at);
      at += piece.length;
    }
    return all;
  }

  /** Gives up what is open under a handle; nobody waits for that. */
  drop(handle: number): void {
    if (this.closed) return;
    this.ask("close", handle, this.handle()).catch(() => {});
  }

  listen(handle: number, listener: (what: unknown) => void): void {
    this.#listeners.set(handle, listener);
  }

  deaf(handle: number): void {
    this.#listeners.delete(handle);
  }

  // ---- Writing ----

  write<T>(where: number, writer: Writer, value: T): Promise<T> {
    if (writer.count === 0) return Promise.resolve(value);
    if (where !== this.#where) this.flush();
    this.#where = where;
    this.#queue.append(writer);
    const promise = new Promise<T>((resolve, reject) => this.#waiting.push({ resolve: () => resolve(value), reject }));
    if (this.#queue.at > QUEUE_MAX) this.flush();
    else if (!this.#soon) {
      this.#soon = true;
      atEndOfTick(() => {
        this.#soon = false;
        this.flush();
      });
    }
    return promise;
  }

  /** Sends what is queued. Never throws: each write has its own promise. */
  flush(): void {
    const waiting = this.#waiting, queue = this.#queue;
    if (waiting.length === 0) return;
    this.#waiting = [];
    const bytes = queue.bytes.slice(0, queue.at);
    if (queue.bytes.length > 2 * QUEUE_MAX) this.#queue = new Writer();
    else queue.clear();
    const body: Request = ["write", this.#where, this.handle(), bytes];
    this.#last = this.#route.request(body, { writes: true, transfer: [bytes.buffer] }).then(
      (refused) => waiting.forEach((each, i) => {
        const error = (refused as (PackedError | undefined)[] | undefined)?.[i];
        if (error === undefined) each.resolve();
        else each.reject(unpackError(error));
      }),
      (error: unknown) => waiting.forEach((each) => each.reject(error)));
  }

  // ---- Membranes ----

  /** The membrane as one object, whoever opens it. */
  membrane({ id, name, schema }: Told<Schema>): Membrane {
    let membrane = this.#membranes.get(id);
    if (membrane === undefined) this.#membranes.set(id, membrane = new Membrane(0, id, name, schema));
    membrane.name = name;
    return membrane;
  }

  dropped(name: string): void {
    const membrane = this.openMembrane(name);
    if (membrane !== undefined) membrane.dropped = true;
  }

  renamed(from: string, to: string): void {
    const membrane = this.openMembrane(from);
    if (membrane !== undefined) membrane.name = to;
  }
}

/** A session of another realm: its handle there, and here what can be said without asking. */
export class RemoteSession extends Session {
  readonly link: Link;
  readonly handle: number;

  constructor(link: Link, handle: number, readonly: boolean, ended?: string, parent?: RemoteSession, snapshot = 0) {
    super(link as unknown as Store, readonly, ended, parent, snapshot);
    this.link = link;
    this.handle = handle;
  }

  /** Requests are done in the order of the calls. */
  override flush(): void {}

  override get local(): boolean {
    return false;
  }

  override async know(names: readonly string[]): Promise<void> {
    const found = await this.ask("find", [names]) as (Told<Schema> | undefined)[];
    for (const told of found) if (told !== undefined) this.link.membrane(told);
  }

  override submitSoon<T>(writer: Writer, value: T): Promise<T> {
    return this.link.write(this.handle, writer, value);
  }

  ask(op: string, args?: readonly unknown[], options?: RequestOptions, handle = this.link.handle()): Promise<any> {
    return this.link.ask(op, this.handle, handle, args, options);
  }

  /** A method of the database, with arguments that a structured clone takes. */
  async call(method: string, ...args: readonly unknown[]): Promise<any> {
    this.check();
    return this.ask("call", [method, ...args]);
  }

  async membrane(kind: Schema["kind"], name: unknown, schema: Schema | undefined): Promise<Membrane> {
    this.check();
    nameBytes(name, kind, LIMIT.NAME_SIZE);
    return this.link.membrane(await this.ask("open", [kind, name, schema]) as Told<Schema>);
  }
}
