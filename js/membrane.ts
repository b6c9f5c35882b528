import { PAGE } from "./abi.gen.ts";
import { NacreError, shown } from "./errors.ts";
import { KeyCodec } from "./keys.ts";
import { readU32 } from "./rows.ts";
import { collectionSchema, kvSchema, KV_DEFAULT } from "./schema.ts";
import type { Schema } from "./schema.ts";
import type { Session } from "./store.ts";
import { VectorCodec } from "./vectors.ts";
import type { Writer } from "./writer.ts";

/** A membrane of one open database; all its handles share it. */
export class Membrane {
  readonly pointer: number;
  readonly id: number;
  readonly schema: Schema;
  readonly keys: KeyCodec;
  /** Of a collection. */
  readonly vectors: VectorCodec | undefined;
  name: string;
  /** The transaction that has created it, while nobody else has opened it. */
  maker: object | undefined;
  readonly #of: Membrane | undefined;
  #dropped = false;

  constructor(pointer: number, id: number, name: string, schema: Schema, of?: Membrane) {
    this.pointer = pointer;
    this.id = id;
    this.name = name;
    this.schema = schema;
    this.keys = new KeyCodec(schema.key, () => this.name);
    this.vectors = schema.vector === undefined ? undefined : new VectorCodec(schema.vector);
    this.#of = of;
  }

  get dropped(): boolean {
    return this.#of === undefined ? this.#dropped : this.#of.dropped;
  }

  set dropped(dropped: boolean) {
    this.#dropped = dropped;
  }

  /** The same rows, in other types of the same bytes: text and bytes are stored alike. */
  as(key: "text" | "bytes", value: "text" | "bytes"): Membrane {
    return new Membrane(this.pointer, this.id, this.name, { ...this.schema, key, value }, this);
  }

  gone(): NacreError {
    return new NacreError("NOT_FOUND", `${JSON.stringify(this.name)} was dropped`);
  }

  /** Writes a record that removes a row. */
  delete(writer: Writer, key: unknown): void {
    const start = writer.recordBegin(this.keys.room(key), this.id);
    const end = this.keys.encode(key, writer.bytes, writer.at);
    writer.recordEnd(start, end, end, 1);
  }

  /** Writes the key into the input buffer; gives its size. */
  putKey(session: Session, key: unknown): number {
    const { engine } = session.store;
    return this.keys.encode(key, engine.heap.u8, engine.input) - engine.input;
  }
}

/** Opens or creates a key-value membrane. */
export function openKv(session: Session, name: unknown, schema: unknown): Membrane {
  session.check();
  const checked = schema === undefined ? undefined : kvSchema(schema, `kv ${shown(name)}`);
  return session.open("kv", name, checked, KV_DEFAULT);
}

/** Opens or creates a vector collection. */
export function openCollection(session: Session, name: unknown, schema: unknown): Membrane {
  session.check();
  const checked = schema === undefined ? undefined : collectionSchema(schema, `collection ${shown(name)}`);
  return session.open("collection", name, checked, undefined);
}

/** How batches write to a membrane, whatever its kind. */
export interface Shape {
  readonly membrane: Membrane;
  /** Writes the records that the arguments of `put` ask for. */
  put(writer: Writer, values: readonly unknown[]): void;
}

/** The member under which a handle shows its session and shape to batches. */
export const SHAPE: unique symbol = Symbol("nacre.shape");

export interface Shaped {
  readonly [SHAPE]: { readonly session: Session; readonly shape: Shape };
}

/** One row of a page: where its parts lie in `bytes`. */
export class PageRow {
  bytes: Uint8Array = new Uint8Array(0);
  key = 0;
  keyEnd = 0;
  vector = 0;
  vectorSize = 0;
  value = 0;
  valueSize = 0;
  absent = false;
  distance = 0;
  next = 0;

  /** Moves to the row at `at`. */
  read(bytes: Uint8Array, at: number): void {
    this.bytes = bytes;
    let keySize = readU32(bytes, at);
    this.absent = keySize === PAGE.ABSENT;
    if (this.absent) keySize = 0;
    this.valueSize = readU32(bytes, at + 4);
    this.vectorSize = readU32(bytes, at + 8);
    this.key = at + PAGE.HEAD;
    this.keyEnd = this.key + keySize;
    this.vector = this.key + ((keySize + 3) & ~3);
    this.value = this.vector + ((this.vectorSize + 3) & ~3);
    this.next = this.value + ((this.valueSize + 3) & ~3);
    if (this.next === at) throw new NacreError("INTERNAL", "a page that does not end");
  }

  /** The distance of a hit at `at`. */
  readDistance(at: number): number {
    floats.setUint32(0, readU32(this.bytes, at + 12));
    return floats.getFloat32(0);
  }
}

const floats = new DataView(new ArrayBuffer(4));

