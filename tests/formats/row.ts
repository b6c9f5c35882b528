// row_format.h
import { Reader, expect, utf8 } from "./bytes.ts";
import type { Value } from "./keycode.ts";
import { TYPES } from "./schema.ts";
import type { Schema, Type } from "./schema.ts";

function readValue(r: Reader, type: Type): Value {
  switch (type) {
    case "real": {
      const real = r.f64();
      expect(!Number.isNaN(real), "row: NaN");
      return real;
    }
    case "boolean": {
      const byte = r.u8();
      expect(byte <= 1, "row: boolean");
      return byte === 1;
    }
    case "text":
    case "json": return utf8(r.take(r.u32()));
    case "bytes": return r.take(r.u32());
    default: return r.i64();
  }
}

/** The fields of a row; of a key-value membrane, its value alone. JSON stays text. */
export function readRow(bytes: Uint8Array, schema: Schema): Value[] {
  if (schema.kind === "kv") return [schema.valueType === "bytes" ? bytes : utf8(bytes)];
  const r = new Reader(bytes);
  const values = schema.fields.map((field) => {
    const tag = r.u8();
    if (tag === 0) return null;
    expect(TYPES[tag] === field.type, () => `row: field ${field.name} has tag ${tag}`);
    return readValue(r, field.type);
  });
  r.end("row");
  return values;
}
