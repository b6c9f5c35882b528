// schema_format.h
import { Reader, expect, utf8 } from "./bytes.ts";

export const TYPES = ["null", "integer", "real", "boolean", "text", "bytes", "timestamp", "json", "bigint"] as const;
export type Type = (typeof TYPES)[number];
const KINDS = ["", "kv", "collection", "table"] as const;
const METRICS = ["", "l2", "cosine", "ip", "hamming"] as const;
const ELEMENTS = ["", "f32", "f16", "i8", "bit"] as const;

export interface Field {
  name: string;
  type: Type;
  indexed: boolean;
}

export interface Schema {
  kind: (typeof KINDS)[number];
  keyTypes: Type[];
  valueType: Type;
  dimensions: number;
  metric: (typeof METRICS)[number];
  element: (typeof ELEMENTS)[number];
  fields: Field[];
  ttlMs: number; // 0: rows live for ever
  blockSize: number; // 0: the database's
  compression: number; // 1: LZ4
}

function type(r: Reader): Type {
  const number = r.u8();
  const name = TYPES[number];
  expect(name !== undefined, () => `schema: type ${number}`);
  return name;
}

export function readSchema(bytes: Uint8Array): Schema {
  const r = new Reader(bytes);
  const version = r.u8();
  expect(version >= 1 && version <= 3, "schema: version");
  const kind = KINDS[r.u8()];
  const keyTypes = r.array(r.u8(), type);
  const valueType = type(r);
  const dimensions = r.u32();
  const metric = METRICS[r.u8()];
  const element = ELEMENTS[r.u8()];
  const [index, bits] = [r.u8(), r.u8()];
  const [ttlMs, blockSize, compression] = version === 1 ? [0, 0, 0] : [r.size(), r.u32(), r.u8()];
  const fields = r.array(r.u16(), (each) => {
    const number = each.u8();
    const indexed = version === 3 && number >= 0x80;
    const fieldType = TYPES[indexed ? number - 0x80 : number];
    if (fieldType === undefined || (indexed && fieldType === "json")) throw new Error(`schema: type ${number}`);
    return { type: fieldType, name: utf8(each.take(each.u8())), indexed };
  });
  r.end("schema");
  expect(kind !== undefined && kind !== "" && metric !== undefined && element !== undefined, "schema: kind, metric, element");
  expect(keyTypes.length >= 1 && keyTypes.length <= 16 && !keyTypes.includes("null") && !keyTypes.includes("json"), "schema: key");
  expect((kind === "kv") === ["json", "text", "bytes"].includes(valueType), "schema: type of the value");
  expect(kind === "collection" ? dimensions > 0 && metric !== "" && element !== "" && (element === "bit") === (metric === "hamming") && index <= 1 && bits === 1
    : dimensions === 0 && metric === "" && element === "" && index === 0 && bits === 0, "schema: vector");
  expect(kind !== "kv" || fields.length === 0, "schema: fields of a key-value membrane");
  expect(ttlMs <= 8.64e15 && [0, 4096, 8192, 16384, 32768, 65536].includes(blockSize) && compression <= 1, "schema: storage");
  const indexed = fields.filter((field) => field.indexed).length;
  expect(version === 3 ? indexed > 0 && indexed <= 16 : indexed === 0, "schema: indexed fields");
  expect(new Set(fields.map((field) => field.name)).size === fields.length, "schema: names of fields");
  return { kind, keyTypes, valueType, dimensions, metric, element, fields, ttlMs, blockSize, compression };
}
