import { Collection, CollectionSync } from "./collection.ts";
import { invalid, NacreError, shown } from "./errors.ts";
import type { PutOptions } from "./expiry.ts";
import type { Key } from "./keys.ts";
import { Kv, KvSync } from "./kv.ts";
import { SHAPE } from "./membrane.ts";
import type { Shape, Shaped } from "./membrane.ts";
import type { Session } from "./store.ts";
import type { Writer } from "./writer.ts";

/** A membrane: a handle of it, or its name. */
export type Target = string | Shaped;

/** What all kinds of batch share. */
export class Puts {
  readonly session: Session;
  readonly writer: Writer;
  readonly #named = new Map<string, Shape>();
  #done = false;

  constructor(session: Session) {
    this.session = session;
    this.writer = session.writing().writers.take();
    this.writer.batchBegin();
  }

  #shape(target: unknown): Shape {
    this.#check();
    if (typeof target === "string") return this.#byName(target);
    if (!(target instanceof Kv || target instanceof KvSync || target instanceof Collection || target instanceof CollectionSync)) {
      throw invalid(`batch: a membrane must be a handle or a name, not ${shown(target)}`);
    }
    const { session, shape } = (target as Shaped)[SHAPE];
    if (session.store !== this.session.store) throw invalid(`batch: ${target.name} belongs to another database`);
    session.writing(shape.membrane);
    if (session.scope !== this.session.scope) {
      throw invalid(`batch: ${target.name} was opened ${session.scope === undefined ? "outside of this transaction" : "in a transaction, and this batch is outside of it"}`);
    }
    return shape;
  }

  #byName(name: string): Shape {
    let shape = this.#named.get(name);
    if (shape === undefined || shape.membrane.dropped || shape.membrane.name !== name) {
      const membrane = this.session.store.openMembrane(name, undefined, this.session.scope);
      if (membrane === undefined) throw new NacreError("NOT_FOUND", `batch: there is no membrane ${JSON.stringify(name)}`);
      if (membrane.schema.kind === "table") throw new NacreError("UNSUPPORTED", `batch: ${JSON.stringify(name)} is a table, and these are not supported yet`);
      const handle = membrane.schema.kind === "kv" ? new KvSync(this.session, membrane) : new CollectionSync(this.session, membrane);
      shape = handle[SHAPE].shape;
      this.#named.set(name, shape);
    }
    return shape;
  }

  #check(): void {
    this.session.writing();
    if (this.#done) throw new NacreError("MISUSE", "batch: it is committed already; begin another one");
  }

  /** What is refused leaves the batch as it was. */
  #add(write: () => void): void {
    const mark = this.writer.mark();
    try {
      write();
    } catch (error) {
      this.writer.reset(mark);
      throw error;
    }
  }

  put(target: unknown, values: readonly unknown[]): void {
    const shape = this.#shape(target);
    this.#add(() => shape.put(this.writer, values));
  }

  delete(target: unknown, key: unknown): void {
    const { membrane } = this.#shape(target);
    this.#add(() => membrane.delete(this.writer, key));
  }

  /** Ends the batch and hands it to `submit`, which keeps nothing of it. */
  end<T>(submit: (writer: Writer) => T): T {
    this.#check();
    this.#done = true;
    this.writer.batchEnd();
    try {
      return submit(this.writer);
    } finally {
      this.session.store.writers.give(this.writer);
    }
  }
}

/** Writes to any number of membranes that are committed together, or not at all. */
export class BatchSync {
  readonly #puts: Puts;

  /** @internal */
  constructor(session: Session) {
    this.#puts = new Puts(session);
  }

  put<V, K extends Key>(membrane: KvSync<V, K>, key: K, value: V, options?: PutOptions): this;
  put<F, K extends Key>(membrane: CollectionSync<F, K>, record: Parameters<CollectionSync<F, K>["put"]>[0], options?: PutOptions): this;
  put(membrane: string, ...values: readonly unknown[]): this;
  put(membrane: Target, ...values: readonly unknown[]): this {
    this.#puts.put(membrane, values);
    return this;
  }

  /** Also fine when there is no such row. */
  delete(membrane: Target, key: Key): this {
    this.#puts.delete(membrane, key);
    return this;
  }

  /** Once. What is refused here has changed nothing. */
  commit(): void {
    const { session } = this.#puts;
    this.#puts.end((writer) => session.submit(writer));
  }
}

/** Writes to any number of membranes that are committed together, or not at all. */
export class Batch {
  readonly #puts: Puts;

  /** @internal */
  constructor(session: Session) {
    this.#puts = new Puts(session);
  }

  put<V, K extends Key>(membrane: Kv<V, K>, key: K, value: V, options?: PutOptions): this;
  put<F, K extends Key>(membrane: Collection<F, K>, record: Parameters<Collection<F, K>["put"]>[0], options?: PutOptions): this;
  put(membrane: string, ...values: readonly unknown[]): this;
  put(membrane: Target, ...values: readonly unknown[]): this {
    this.#puts.put(membrane, values);
    return this;
  }

  /** Also fine when there is no such row. */
  delete(membrane: Target, key: Key): this {
    this.#puts.delete(membrane, key);
    return this;
  }

  /** Once. What is refused here has changed nothing. */
  async commit(): Promise<void> {
    const { session } = this.#puts;
    return this.#puts.end((writer) => session.submitSoon(writer, undefined));
  }
}
