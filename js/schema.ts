import { ELEMENT, INDEX, KIND, LIMIT, METRIC, SCHEMA, TYPE } from "./abi.gen.ts";
import { checkOptions, invalid, NacreError, shown } from "./errors.ts";
import { decodeText } from "./heap.ts";
import { KEY_TYPES } from "./keys.ts";
import type { KeySchema, KeyType } from "./keys.ts";
import { nameBytes } from "./text.ts";

/** What a key-value membrane's values are. */
export type ValueType = "json" | "text" | "bytes";

/** The type of a record's field. */
export type FieldType = "text" | "integer" | "bigint" | "real" | "boolean" | "bytes" | "timestamp" | "json";

export interface KvSchema {
  /** "text" when absent. */
  key?: KeySchema | undefined;
  /** "json" when absent. */
  value?: ValueType | undefined;
}

export interface VectorSchema {
  dimensions: number;
  /** "l2" when absent. */
  metric?: Metric | undefined;
  /** "f32" when absent; the only one so far. */
  element?: "f32" | undefined;
  /** "auto" when absent. */
  index?: "auto" | "flat" | undefined;
  /** Bits of a code per dimension: 1 when absent; the only number so far. */
  bits?: 1 | undefined;
}

export type Metric = "l2" | "cosine" | "ip";

/** `F` names the fields of a record, and what JavaScript sees of them. */
export interface CollectionSchema<F = Record<string, unknown>> {
  /** "text" when absent. */
  key?: KeySchema | undefined;
  vector: VectorSchema;
  fields?: { readonly [Name in keyof F]: FieldType } | undefined;
}

export interface Field {
  readonly name: string;
  readonly type: FieldType;
}

/** A schema, checked and complete. */
export interface Schema {
  readonly kind: "kv" | "collection" | "table";
  readonly key: KeySchema;
  readonly value: ValueType;
  readonly vector: Required<{ [Name in keyof VectorSchema]: NonNullable<VectorSchema[Name]> }> | undefined;
  readonly fields: readonly Field[];
}

export const FIELD_TYPES: Readonly<Record<FieldType, number>> = {
  text: TYPE.TEXT, integer: TYPE.INTEGER, bigint: TYPE.BIGINT, real: TYPE.REAL, boolean: TYPE.BOOLEAN,
  bytes: TYPE.BYTES, timestamp: TYPE.TIMESTAMP, json: TYPE.JSON,
};
const VALUE_TYPES: Readonly<Record<ValueType, number>> = { json: TYPE.JSON, text: TYPE.TEXT, bytes: TYPE.BYTES };
const METRICS: Readonly<Record<Metric, number>> = { l2: METRIC.L2, cosine: METRIC.COSINE, ip: METRIC.IP };
const INDEXES = { auto: INDEX.AUTO, flat: INDEX.FLAT } as const;
const KINDS = { kv: KIND.KV, collection: KIND.COLLECTION, table: KIND.TABLE } as const;
const RESERVED = ["key", "vector", "distance", "and", "or", "not"];

export const KV_DEFAULT: Schema = { kind: "kv", key: "text", value: "json", vector: undefined, fields: [] };

/** Checks what the caller gave as a key-value schema. */
export function kvSchema(given: unknown, what: string): Schema {
  const schema = checkOptions(given, `${what}: schema`, ["key", "value"]);
  const value = schema.value ?? "json";
  if (!isNameOf(VALUE_TYPES, value)) throw invalid(`${what}: schema: value must be json, text or bytes, not ${shown(value)}`);
  return { ...KV_DEFAULT, key: keySchema(schema.key, what), value };
}

/** Checks what the caller gave as a collection's schema. */
export function collectionSchema(given: unknown, what: string): Schema {
  const schema = checkOptions(given, `${what}: schema`, ["key", "vector", "fields"]);
  if (schema.vector === undefined) throw invalid(`${what}: schema: a collection needs vector: { dimensions }`);
  return {
    kind: "collection",
    key: keySchema(schema.key, what),
    value: "json",
    vector: vectorSchema(schema.vector, what),
    fields: fieldSchemas(schema.fields, what),
  };
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
  const { dimensions, metric = "l2", element = "f32", index = "auto", bits = 1 } = vector;
  if (typeof dimensions !== "number" || !Number.isInteger(dimensions) || dimensions < 1 || dimensions > LIMIT.DIMENSIONS) {
    throw invalid(`${where}: dimensions must be an integer from 1 to ${LIMIT.DIMENSIONS}, not ${shown(dimensions)}`);
  }
  if (element !== "f32") throw notYet(where, "element", element, ["f16", "i8", "bit"], "f32");
  if (!isNameOf(METRICS, metric)) throw notYet(where, "metric", metric, ["hamming"], "l2, cosine and ip");
  if (!isNameOf(INDEXES, index)) throw notYet(where, "index", index, ["ivf", "graph"], "auto and flat");
  if (bits !== 1) throw notYet(where, "bits", bits, [2, 3, 4, 5, 6, 7, 8], "1");
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
  const fields = Object.entries(given as Record<string, unknown>).map(([name, type]) => {
    nameBytes(name, `${what}: schema: field`, LIMIT.NAME_SIZE);
    if (RESERVED.includes(name)) throw invalid(`${what}: schema: a field may not be called ${name}`);
    if (!isNameOf(FIELD_TYPES, type)) {
      throw invalid(`${what}: schema: field ${name} must be one of ${Object.keys(FIELD_TYPES).join(", ")}, not ${shown(type)}`);
    }
    return { name, type };
  });
  if (fields.length > LIMIT.FIELDS) throw invalid(`${what}: schema: ${fields.length} fields, at most ${LIMIT.FIELDS} are allowed`);
  return fields;
}

function isNameOf<Names extends object>(names: Names, name: unknown): name is keyof Names & string {
  return typeof name === "string" && Object.hasOwn(names, name);
}

/** The bytes of schema_format.h. */
export function encodeSchema(schema: Schema): Uint8Array {
  const types = typeof schema.key === "string" ? [schema.key] : schema.key;
  const bytes: number[] = [SCHEMA.VERSION, KINDS[schema.kind], types.length, ...types.map((type) => KEY_TYPES[type])];
  const { vector } = schema;
  const dimensions = vector?.dimensions ?? 0;
  bytes.push(schema.kind === "kv" ? VALUE_TYPES[schema.value] : 0);
  for (let shift = 0; shift < 32; shift += 8) bytes.push((dimensions >>> shift) & 255);
  bytes.push(vector ? METRICS[vector.metric] : 0, vector ? ELEMENT.F32 : 0, vector ? INDEXES[vector.index] : 0, vector?.bits ?? 0);
  bytes.push(schema.fields.length & 255, schema.fields.length >>> 8);
  for (const field of schema.fields) {
    const name = new TextEncoder().encode(field.name);
    bytes.push(FIELD_TYPES[field.type], name.length, ...name);
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
  const [metric, , index] = [u8(), u8(), u8(), u8()] as const;
  const count = u8() + u8() * 0x100;
  const fields: Field[] = [];
  for (let i = 0; i < count; i++) {
    const type = nameOf(FIELD_TYPES, u8());
    const size = u8();
    fields.push({ name: decodeText(bytes, at, size), type });
    at += size;
  }
  return {
    kind,
    key: types.length === 1 ? (types[0] as KeyType) : types,
    value: kind === "kv" ? nameOf(VALUE_TYPES, value) : "json",
    vector: kind === "collection"
      ? { dimensions, metric: nameOf(METRICS, metric), element: "f32", index: nameOf(INDEXES, index), bits: 1 }
      : undefined,
    fields,
  };
}

/** A schema as API calls take it, and membranes() gives it. */
export function publicSchema(schema: Schema): KvSchema | CollectionSchema {
  const key = typeof schema.key === "string" ? schema.key : [...schema.key];
  if (schema.kind === "kv") return { key, value: schema.value };
  const fields: Record<string, FieldType> = {};
  for (const { name, type } of schema.fields) {
    Object.defineProperty(fields, name, { value: type, enumerable: true, writable: true, configurable: true });
  }
  return schema.vector === undefined ? ({ key, fields } as unknown as CollectionSchema) : { key, vector: { ...schema.vector }, fields };
}
