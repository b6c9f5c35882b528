import { COMPRESSION, ELEMENT, INDEX, KIND, LIMIT, METRIC, SCHEMA, TYPE } from "./abi.gen.ts";
import { checkOptions, invalid, NacreError, shown } from "./errors.ts";
import { decodeText } from "./heap.ts";
import { KEY_TYPES } from "./keys.ts";
import type { KeySchema, KeyType } from "./keys.ts";
import { nameBytes } from "./text.ts";

/** What a key-value membrane's values are. */
export type ValueType = "json" | "text" | "bytes";

/** The type of a record's field. */
export type FieldType = "text" | "integer" | "bigint" | "real" | "boolean" | "bytes" | "timestamp" | "json";

/**
 * A field: its type, or that and whether it is indexed. Rows are found by an indexed field without looking at
 * each: in `search`, `count`, `records` and `deleteWhere`. It takes room, and costs a little with each write; not
 * of json.
 */
export type FieldSchema = FieldType | { readonly type: FieldType; readonly indexed?: boolean | undefined };

/** How rows are kept: the same for every kind of membrane, and fixed when it is made. */
export interface StorageSchema {
  /** Milliseconds that a row lives when it is put; for ever when absent. */
  ttlMs?: number | undefined;
  /** Bytes of a block of rows, 4096, 8192 ... 65536; the database's when absent. */
  blockSize?: number | undefined;
  /** Of blocks and big values; "none" when absent. */
  compression?: Compression | undefined;
}

export type Compression = "none" | "lz4";

export interface KvSchema extends StorageSchema {
  /** "text" when absent. */
  key?: KeySchema | undefined;
  /** "json" when absent. */
  value?: ValueType | undefined;
}

export interface VectorSchema {
  dimensions: number;
  /** "l2" when absent; of bits "hamming", the only one of theirs. */
  metric?: Metric | undefined;
  /** What numbers are kept as; "f32" when absent. */
  element?: Element | undefined;
  /** "auto" when absent: by codes, and once vectors are many by those of the nearest lists. "flat": by all codes; "ivf": in lists, also where they are fewer. */
  index?: "auto" | "flat" | "ivf" | undefined;
  /** Bits of a code per dimension, 1 to 8: 1 when absent. More pay where vectors do not stay in memory. */
  bits?: number | undefined;
}

export type Metric = "l2" | "cosine" | "ip" | "hamming";
export type Element = "f32" | "f16" | "i8" | "bit";

/** `F` names the fields of a record, and what JavaScript sees of them. */
export interface CollectionSchema<F = Record<string, unknown>> extends StorageSchema {
  /** "text" when absent. */
  key?: KeySchema | undefined;
  vector: VectorSchema;
  fields?: { readonly [Name in keyof F]: FieldSchema } | undefined;
}

export interface Field {
  readonly name: string;
  readonly type: FieldType;
  readonly indexed: boolean;
}

/** A schema, checked and complete. */
export interface Schema {
  readonly kind: "kv" | "collection" | "table";
  readonly key: KeySchema;
  readonly value: ValueType;
  readonly vector: Required<{ [Name in keyof VectorSchema]: NonNullable<VectorSchema[Name]> }> | undefined;
  readonly fields: readonly Field[];
  readonly storage: Storage;
}

/** Zeros stand for what is absent. */
export interface Storage {
  readonly ttlMs: number;
  readonly blockSize: number;
  readonly compression: Compression;
}

export const FIELD_TYPES: Readonly<Record<FieldType, number>> = {
  text: TYPE.TEXT, integer: TYPE.INTEGER, bigint: TYPE.BIGINT, real: TYPE.REAL, boolean: TYPE.BOOLEAN,
  bytes: TYPE.BYTES, timestamp: TYPE.TIMESTAMP, json: TYPE.JSON,
};
const VALUE_TYPES: Readonly<Record<ValueType, number>> = { json: TYPE.JSON, text: TYPE.TEXT, bytes: TYPE.BYTES };
const METRICS: Readonly<Record<Metric, number>> = { l2: METRIC.L2, cosine: METRIC.COSINE, ip: METRIC.IP, hamming: METRIC.HAMMING };
const ELEMENTS: Readonly<Record<Element, number>> = { f32: ELEMENT.F32, f16: ELEMENT.F16, i8: ELEMENT.I8, bit: ELEMENT.BIT };
const INDEXES = { auto: INDEX.AUTO, flat: INDEX.FLAT, ivf: INDEX.IVF } as const;
const KINDS = { kv: KIND.KV, collection: KIND.COLLECTION, table: KIND.TABLE } as const;
const COMPRESSIONS: Readonly<Record<Compression, number>> = { none: COMPRESSION.PLAIN, lz4: COMPRESSION.LZ4 };
const STORAGE_OPTIONS = ["ttlMs", "blockSize", "compression"];
const RESERVED = ["key", "vector", "distance", "and", "or", "not"];

const STORAGE_DEFAULT: Storage = { ttlMs: 0, blockSize: 0, compression: "none" };
export const KV_DEFAULT: Schema = { kind: "kv", key: "text", value: "json", vector: undefined, fields: [], storage: STORAGE_DEFAULT };

/** Checks what the caller gave as a key-value schema. */
export function kvSchema(given: unknown, what: string): Schema {
  const schema = checkOptions(given, `${what}: schema`, ["key", "value", ...STORAGE_OPTIONS]);
  const value = schema.value ?? "json";
  if (!isNameOf(VALUE_TYPES, value)) throw invalid(`${what}: schema: value must be json, text or bytes, not ${shown(value)}`);
  return { ...KV_DEFAULT, key: keySchema(schema.key, what), value, storage: storageSchema(schema, what) };
}

/** Checks what the caller gave as a collection's schema. */
export function collectionSchema(given: unknown, what: string): Schema {
  const schema = checkOptions(given, `${what}: schema`, ["key", "vector", "fields", ...STORAGE_OPTIONS]);
  if (schema.vector === undefined) throw invalid(`${what}: schema: a collection needs vector: { dimensions }`);
  return {
    kind: "collection",
    key: keySchema(schema.key, what),
    value: "json",
    vector: vectorSchema(schema.vector, what),
    fields: fieldSchemas(schema.fields, what),
    storage: storageSchema(schema, what),
  };
}

function storageSchema(given: Readonly<Record<string, unknown>>, what: string): Storage {
  const { ttlMs, blockSize, compression = "none" } = given;
  if (blockSize !== undefined && ![4096, 8192, 16384, 32768, 65536].includes(blockSize as number)) {
    throw invalid(`${what}: schema: blockSize must be 4096, 8192, 16384, 32768 or 65536, not ${shown(blockSize)}`);
  }
  if (!isNameOf(COMPRESSIONS, compression)) throw invalid(`${what}: schema: compression must be none or lz4, not ${shown(compression)}`);
  return {
    ttlMs: ttlMs === undefined ? 0 : checkTtl(ttlMs, `${what}: schema`),
    blockSize: (blockSize as number | undefined) ?? 0,
    compression,
  };
}

/** A time to live in milliseconds, as a schema or a put takes it. */
export function checkTtl(ttlMs: unknown, what: string): number {
  if (typeof ttlMs === "number" && Number.isInteger(ttlMs) && ttlMs >= 1 && ttlMs <= LIMIT.TIMESTAMP_MS) return ttlMs;
  throw invalid(`${what}: ttlMs must be a whole number of milliseconds from 1 to ${LIMIT.TIMESTAMP_MS}, not ${shown(ttlMs)}`);
}

function keySchema(key: unknown, what: string): KeySchema {
  const checked = (type: unknown): KeyType => {
    if (!isNameOf(KEY_TYPES, type)) {
      throw invalid(`${what}: schema: key must be one of ${Object.keys(KEY_TYPES).join(", ")}, or an array of these, not ${shown(type)}`);
    }
    return type;
  };
  if (key === undefined) return "text";
  if (!Array.isArray(key)) return checked(key);
  if (key.length === 0 || key.length > LIMIT.KEY_PARTS) {
    throw invalid(`${what}: schema: a composite key has 1 to ${LIMIT.KEY_PARTS} parts, not ${key.length}`);
  }
  return key.map(checked);
}

function vectorSchema(given: unknown, what: string): NonNullable<Schema["vector"]> {
  const where = `${what}: schema: vector`;
  const vector = checkOptions(given, where, ["dimensions", "metric", "element", "index", "bits"]);
  const { dimensions, element = "f32", metric = element === "bit" ? "hamming" : "l2", index = "auto", bits = 1 } = vector;
  if (typeof dimensions !== "number" || !Number.isInteger(dimensions) || dimensions < 1 || dimensions > LIMIT.DIMENSIONS) {
    throw invalid(`${where}: dimensions must be an integer from 1 to ${LIMIT.DIMENSIONS}, not ${shown(dimensions)}`);
  }
  if (!isNameOf(ELEMENTS, element)) throw invalid(`${where}: element must be f32, f16, i8 or bit, not ${shown(element)}`);
  if (!isNameOf(METRICS, metric)) throw invalid(`${where}: metric must be l2, cosine, ip or hamming, not ${shown(metric)}`);
  if ((element === "bit") !== (metric === "hamming")) {
    throw invalid(`${where}: element ${element} with metric ${metric}: bits have the metric hamming, and only they`);
  }
  if (!isNameOf(INDEXES, index)) throw notYet(where, "index", index, ["graph"], "auto, flat and ivf");
  if (typeof bits !== "number" || !Number.isInteger(bits) || bits < 1 || bits > 8) throw invalid(`${where}: bits must be an integer from 1 to 8, not ${shown(bits)}`);
  return { dimensions, metric, element, index, bits };
}

function notYet(where: string, option: string, value: unknown, known: readonly unknown[], there: string): NacreError {
  return known.includes(value)
    ? new NacreError("UNSUPPORTED", `${where}: ${option} ${shown(value)} is not supported yet, only ${there}`)
    : invalid(`${where}: ${option} cannot be ${shown(value)}`);
}

function fieldSchemas(given: unknown, what: string): Field[] {
  if (given === undefined) return [];
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw invalid(`${what}: schema: fields must be an object of types, not ${shown(given)}`);
  }
  const fields = Object.entries(given as Record<string, unknown>).map(([name, field]) => {
    const { type, indexed = false } = typeof field === "object" && field !== null
      ? checkOptions(field, `${what}: schema: field ${name}`, ["type", "indexed"]) : { type: field, indexed: undefined };
    nameBytes(name, `${what}: schema: field`, LIMIT.NAME_SIZE);
    if (RESERVED.includes(name)) throw invalid(`${what}: schema: a field may not be called ${name}`);
    if (!isNameOf(FIELD_TYPES, type)) {
      throw invalid(`${what}: schema: field ${name} must be one of ${Object.keys(FIELD_TYPES).join(", ")}, not ${shown(type)}`);
    }
    if (typeof indexed !== "boolean") throw invalid(`${what}: schema: field ${name}: indexed must be true or false, not ${shown(indexed)}`);
    if (indexed && type === "json") throw invalid(`${what}: schema: field ${name} is json, which has no order to be indexed by`);
    return { name, type, indexed };
  });
  const count = fields.filter(({ indexed }) => indexed).length;
  if (count > LIMIT.INDEXED) throw invalid(`${what}: schema: ${count} indexed fields, at most ${LIMIT.INDEXED} are allowed`);
  if (fields.length > LIMIT.FIELDS) throw invalid(`${what}: schema: ${fields.length} fields, at most ${LIMIT.FIELDS} are allowed`);
  return fields;
}

function isNameOf<Names extends object>(names: Names, name: unknown): name is keyof Names & string {
  return typeof name === "string" && Object.hasOwn(names, name);
}

/** The bytes of schema_format.h. */
export function encodeSchema(schema: Schema): Uint8Array {
  const types = typeof schema.key === "string" ? [schema.key] : schema.key;
  const version = schema.fields.some(({ indexed }) => indexed) ? SCHEMA.VERSION : SCHEMA.PLAIN_VERSION;
  const bytes: number[] = [version, KINDS[schema.kind], types.length, ...types.map((type) => KEY_TYPES[type])];
  const { vector } = schema;
  const dimensions = vector?.dimensions ?? 0;
  bytes.push(schema.kind === "kv" ? VALUE_TYPES[schema.value] : 0);
  for (let shift = 0; shift < 32; shift += 8) bytes.push((dimensions >>> shift) & 255);
  bytes.push(vector ? METRICS[vector.metric] : 0, vector ? ELEMENTS[vector.element] : 0, vector ? INDEXES[vector.index] : 0, vector?.bits ?? 0);
  const { ttlMs, blockSize, compression } = schema.storage;
  for (let i = 0, rest = ttlMs; i < 8; i++, rest = Math.floor(rest / 256)) bytes.push(rest % 256);
  for (let shift = 0; shift < 32; shift += 8) bytes.push((blockSize >>> shift) & 255);
  bytes.push(COMPRESSIONS[compression]);
  bytes.push(schema.fields.length & 255, schema.fields.length >>> 8);
  for (const field of schema.fields) {
    const name = new TextEncoder().encode(field.name);
    bytes.push(FIELD_TYPES[field.type] | (field.indexed ? SCHEMA.INDEXED : 0), name.length, ...name);
  }
  return Uint8Array.from(bytes);
}

/** A schema as the database gives it. */
export function decodeSchema(bytes: Uint8Array): Schema {
  let at = 1;
  const u8 = (): number => bytes[at++] ?? 0;
  const nameOf = <Name extends string>(names: Readonly<Record<Name, number>>, number: number): Name => {
    for (const name in names) if (names[name] === number) return name;
    throw new NacreError("INTERNAL", `a schema with the number ${number}, which this package does not know`);
  };
  const kind = nameOf(KINDS, u8());
  const types = Array.from({ length: u8() }, () => nameOf(KEY_TYPES, u8()));
  const value = u8();
  const dimensions = u8() + u8() * 0x100 + u8() * 0x10000 + u8() * 0x1000000;
  const [metric, element, index, bits] = [u8(), u8(), u8(), u8()] as const;
  let ttlMs = 0;
  for (let i = 0; i < 8; i++) ttlMs += u8() * 256 ** i;
  const blockSize = u8() + u8() * 0x100 + u8() * 0x10000 + u8() * 0x1000000;
  const storage = { ttlMs, blockSize, compression: nameOf(COMPRESSIONS, u8()) };
  const count = u8() + u8() * 0x100;
  const fields: Field[] = [];
  for (let i = 0; i < count; i++) {
    const [type, size] = [u8(), u8()];
    const indexed = (type & SCHEMA.INDEXED) !== 0;
    fields.push({ name: decodeText(bytes, at, size), type: nameOf(FIELD_TYPES, type & ~SCHEMA.INDEXED), indexed });
    at += size;
  }
  return {
    kind,
    key: types.length === 1 ? (types[0] as KeyType) : types,
    value: kind === "kv" ? nameOf(VALUE_TYPES, value) : "json",
    vector: kind === "collection"
      ? { dimensions, metric: nameOf(METRICS, metric), element: nameOf(ELEMENTS, element), index: nameOf(INDEXES, index), bits }
      : undefined,
    fields,
    storage,
  };
}

/** A schema as API calls take it, and membranes() gives it. */
export function publicSchema(schema: Schema): KvSchema | CollectionSchema {
  const key = typeof schema.key === "string" ? schema.key : [...schema.key];
  const storage = publicStorage(schema.storage);
  if (schema.kind === "kv") return { key, value: schema.value, ...storage };
  const fields: Record<string, FieldSchema> = {};
  for (const { name, type, indexed } of schema.fields) {
    Object.defineProperty(fields, name, { value: indexed ? { type, indexed } : type, enumerable: true, writable: true, configurable: true });
  }
  return schema.vector === undefined ? ({ key, fields, ...storage } as unknown as CollectionSchema)
    : { key, vector: { ...schema.vector }, fields, ...storage };
}

/** Only what is not the default. */
function publicStorage({ ttlMs, blockSize, compression }: Storage): StorageSchema {
  return {
    ...(ttlMs === 0 ? {} : { ttlMs }),
    ...(blockSize === 0 ? {} : { blockSize }),
    ...(compression === "none" ? {} : { compression }),
  };
}
