import { Collection, CollectionShape, CollectionSync } from "./collection.ts";
import { invalid, NacreError, shown } from "./errors.ts";
import type { PutOptions } from "./expiry.ts";
import type { Key } from "./keys.ts";
import { Kv, KvShape, KvSync } from "./kv.ts";
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
  readonly #unknown = new Set<string>();
  readonly #later: (() => void)[] = [];
  #done = false;

  constructor(session: Session) {
    this.session = session;
    this.writer = session.writing().writers.take();
    this.writer.batchBegin();
  }

  /** Undefined: a name that is not known in this realm yet. */
  #shape(target: unknown): Shape | undefined {
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

  #byName(name: string): Shape | undefined {
    let shape = this.#named.get(name);
    if (shape === undefined || shape.membrane.dropped || shape.membrane.name !== name) {
      const membrane = this.session.store.openMembrane(name, undefined, this.session.scope);
      if (membrane === undefined) {
        if (!this.session.local) return undefined;
        throw new NacreError("NOT_FOUND", `batch: there is no membrane ${JSON.stringify(name)}`);
      }
      if (membrane.schema.kind === "table") throw new NacreError("UNSUPPORTED", `batch: ${JSON.stringify(name)} is a table, and these are not supported yet`);
      shape = membrane.schema.kind === "kv" ? new KvShape(membrane) : new CollectionShape(membrane);
      this.#named.set(name, shape);
    }
    return shape;
  }

  #check(): void {
    this.session.writing();
    if (this.#done) throw new NacreError("MISUSE", "batch: it is committed already; begin another one");
  }

  /** What is refused leaves the batch as it was; from a name on that is not known yet, all is written at the end. */
  #add(target: unknown, values: readonly unknown[], write: (shape: Shape, values: readonly unknown[]) => void): void {
    const shape = this.#shape(target), mark = this.writer.mark();
    const later = shape === undefined || this.#later.length > 0;
    try {
      if (shape !== undefined) write(shape, values);
    } catch (error) {
      this.writer.reset(mark);
      throw error;
    }
    if (!later) return;
    this.writer.reset(mark);
    const copies = cloned(values);
    if (shape === undefined) this.#unknown.add(target as string);
    this.#later.push(() => write(shape ?? this.#found(target as string), copies));
  }

  #found(name: string): Shape {
    const shape = this.#byName(name);
    if (shape === undefined) throw new NacreError("NOT_FOUND", `batch: there is no membrane ${JSON.stringify(name)}`);
    return shape;
  }

  put(target: unknown, values: readonly unknown[]): void {
    this.#add(target, values, (shape, given) => shape.put(this.writer, given));
  }

  delete(target: unknown, key: unknown): void {
    this.#add(target, [key], ({ membrane }, given) => membrane.delete(this.writer, given[0]));
  }

  /** Names that must be known before the end, and are not. */
  get unknown(): readonly string[] {
    return [...this.#unknown].filter((name) => this.#byName(name) === undefined);
  }

  /** Ends the batch and hands it to `submit`, which keeps nothing of it. */
  end<T>(submit: (writer: Writer) => T): T {
    this.#check();
    this.#done = true;
    try {
      for (const write of this.#later) write();
      this.writer.batchEnd();
      return submit(this.writer);
    } finally {
      this.session.store.writers.give(this.writer);
    }
  }
}

function cloned(values: readonly unknown[]): readonly unknown[] {
  try {
    return structuredClone(values);
  } catch (error) {
    throw invalid(`batch: ${error instanceof Error ? error.message : String(error)}`);
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
    const { session, unknown } = this.#puts;
    if (unknown.length > 0) await session.know(unknown);
    return this.#puts.end((writer) => session.submitSoon(writer, undefined));
  }
}
