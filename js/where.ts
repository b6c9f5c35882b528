import { FILTER, LIMIT, TYPE } from "./abi.gen.ts";
import { invalid, isPlainObject, shown } from "./errors.ts";
import type { Key, KeyType } from "./keys.ts";

import { jsonText } from "./json.ts";
import { plainFieldRoom, writeField, writeU32 } from "./rows.ts";
import type { PlainField } from "./rows.ts";
import { FIELD_TYPES } from "./schema.ts";
import type { Schema } from "./schema.ts";

/** Tests of one field; all of them must hold. */
export interface Test<T> {
  eq?: T | null;
  ne?: T | null;
  gt?: T;
  gte?: T;
  lt?: T;
  lte?: T;
  in?: readonly (T | null)[];
  nin?: readonly (T | null)[];
  /** true: is not null. */
  exists?: boolean;
  /** A member of a JSON array, or a substring of text. */
  contains?: unknown;
  startsWith?: T;
}

/** A filter: each member must hold. A plain value means `eq`. */
export type Where<F = Record<string, unknown>> = { readonly [Name in keyof F]?: F[Name] | Test<F[Name]> | null } & {
  readonly key?: Key | Test<Key>;
  readonly and?: readonly Where<F>[];
  readonly or?: readonly Where<F>[];
  readonly not?: Where<F>;
};

const OPERATORS: Readonly<Record<string, number>> = {
  eq: FILTER.EQ, ne: FILTER.NE, gt: FILTER.GT, gte: FILTER.GTE, lt: FILTER.LT, lte: FILTER.LTE, in: FILTER.IN,
  nin: FILTER.NIN, exists: FILTER.EXISTS, contains: FILTER.CONTAINS, startsWith: FILTER.STARTS_WITH,
};
const I64_MIN = -(2n ** 63n), I64_MAX = 2n ** 63n - 1n;

/** The bytes of filter_format.h; INVALID_ARGUMENT for what is not understood. */
export function encodeWhere(where: unknown, schema: Schema, what: string): Uint8Array {
  return new Encoder(schema, what).program(where);
}

interface Column {
  readonly name: string;
  readonly index: number;
  readonly type: keyof typeof FIELD_TYPES;
  /** Of a composite key. */
  readonly parts: readonly KeyType[] | undefined;
}

class Encoder {
  readonly #schema: Schema;
  readonly #what: string;
  readonly #columns = new Map<string, Column>();
  #bytes = new Uint8Array(256);
  #at = 0;

  constructor(schema: Schema, what: string) {
    this.#schema = schema;
    this.#what = what;
    schema.fields.forEach(({ name, type }, index) => this.#columns.set(name, { name, index, type, parts: undefined }));
    const { key } = schema;
    this.#columns.set("key", {
      name: "key", index: FILTER.KEY, type: typeof key === "string" ? key : "json", parts: typeof key === "string" ? undefined : key,
    });
  }

  program(where: unknown): Uint8Array {
    this.#u8(FILTER.VERSION);
    this.#where(where, 0);
    return this.#bytes.subarray(0, this.#at);
  }

  #where(where: unknown, depth: number): void {
    if (!isPlainObject(where)) throw this.#refuse(`a filter must be an object, not ${shown(where)}`);
    if (depth > LIMIT.WHERE_DEPTH) throw this.#refuse(`more than ${LIMIT.WHERE_DEPTH} levels`);
    const tests: (() => void)[] = [];
    for (const [name, value] of Object.entries(where)) {
      if (name === "and" || name === "or") tests.push(() => this.#list(name, value, depth + 1));
      else if (name === "not") tests.push(() => (this.#u8(FILTER.NOT), this.#where(value, depth + 1)));
      else this.#field(name, value, tests);
    }
    if (tests.length !== 1) {
      this.#u8(FILTER.AND);
      this.#u32(tests.length);
    }
    for (const test of tests) test();
  }

  #list(name: "and" | "or", list: unknown, depth: number): void {
    if (!Array.isArray(list)) throw this.#refuse(`${name} must be an array of filters, not ${shown(list)}`);
    this.#u8(name === "and" ? FILTER.AND : FILTER.OR);
    this.#u32(list.length);
    for (const where of list) this.#where(where, depth);
  }

  #field(name: string, value: unknown, tests: (() => void)[]): void {
    const column = this.#columns.get(name);
    if (column === undefined) {
      const known = this.#schema.fields.map((field) => field.name).concat("key", "and", "or", "not").join(", ");
      throw this.#refuse(`unknown field ${shown(name)} (there are ${known})`);
    }
    if (!isPlainObject(value)) {
      tests.push(() => this.#test(column, "eq", value));
      return;
    }
    const operators = Object.entries(value);
    if (operators.length === 0) throw this.#refuse(`${name}: no operator; { eq: {} } asks for an empty object`);
    for (const [operator, operand] of operators) {
      if (!Object.hasOwn(OPERATORS, operator)) {
        throw this.#refuse(`${name}: unknown operator ${shown(operator)} (there are ${Object.keys(OPERATORS).join(", ")})`);
      }
      tests.push(() => this.#test(column, operator, operand));
    }
  }

  #test(column: Column, operator: string, operand: unknown): void {
    const code = OPERATORS[operator] as number;
    const name = `${column.name}: ${operator}`;
    if (operand === undefined) throw this.#refuse(`${name}: undefined is no value; null asks for what is absent`);
    this.#checkFits(column, code, name);
    this.#u8(code);
    this.#u8(column.index & 255);
    this.#u8(column.index >>> 8);
    if (code === FILTER.EXISTS) {
      if (typeof operand !== "boolean") throw this.#refuse(`${name}: must be true or false, not ${shown(operand)}`);
      this.#u8(operand ? 1 : 0);
    } else if (code === FILTER.IN || code === FILTER.NIN) {
      if (!Array.isArray(operand)) throw this.#refuse(`${name}: must be an array of values, not ${shown(operand)}`);
      this.#u32(operand.length);
      for (const item of operand as unknown[]) this.#value(column, item, true, name);
    } else {
      this.#value(column, operand, code === FILTER.EQ || code === FILTER.NE, name);
    }
  }

  #checkFits(column: Column, code: number, name: string): void {
    const { type } = column;
    const ordered = code >= FILTER.GT && code <= FILTER.LTE;
    if (ordered && type === "json" && column.parts === undefined) throw this.#refuse(`${name}: JSON has no order`);
    if (code === FILTER.CONTAINS && !(type === "text" || (type === "json" && column.parts === undefined))) {
      throw this.#refuse(`${name}: is for text and JSON arrays, not for ${column.parts ? "a composite key" : type}`);
    }
    if (code === FILTER.STARTS_WITH && !(type === "text" || type === "bytes")) {
      throw this.#refuse(`${name}: is for text and bytes, not for ${column.parts ? "a composite key" : type}`);
    }
  }

  #value(column: Column, value: unknown, nullable: boolean, name: string): void {
    if (value === null && column.index === FILTER.KEY) throw this.#refuse(`${name}: a key is never null`);
    if (value === null && !(column.type === "json" && column.parts === undefined)) {
      if (!nullable) throw this.#refuse(`${name}: null has no order and no parts; { ${column.name}: null } asks for it`);
      this.#u8(TYPE.NULL);
      return;
    }
    if (column.parts === undefined) {
      this.#scalar(column.type, value, name);
      return;
    }
    if (!Array.isArray(value) || value.length !== column.parts.length) {
      throw this.#refuse(`${name}: a composite key is an array of its ${column.parts.length} parts, not ${shown(value)}`);
    }
    this.#u8(FILTER.PARTS);
    this.#u8(value.length);
    column.parts.forEach((type, i) => this.#scalar(type, (value as unknown[])[i], name));
  }

  #scalar(type: Column["type"], value: unknown, name: string): void {
    const mistyped = (wants: string): Error => this.#refuse(`${name}: must be ${wants} (${type}), not ${shown(value)}`);
    switch (type) {
      case "text":
        if (typeof value !== "string") throw mistyped("a string");
        return this.#put(TYPE.TEXT, value, name);
      case "bytes":
        if (!(value instanceof Uint8Array)) throw mistyped("a Uint8Array");
        return this.#put(TYPE.BYTES, value, name);
      case "boolean":
        if (typeof value !== "boolean") throw mistyped("a boolean");
        return this.#put(TYPE.BOOLEAN, value, name);
      case "timestamp": {
        const ms = value instanceof Date ? value.getTime() : value;
        if (typeof ms !== "number" || !Number.isSafeInteger(ms)) throw mistyped("a valid Date, or its milliseconds");
        return this.#put(value instanceof Date ? TYPE.TIMESTAMP : TYPE.INTEGER, ms, name);
      }
      case "integer":
      case "bigint":
      case "real":
        if (typeof value === "bigint") {
          if (value < I64_MIN || value > I64_MAX) throw this.#refuse(`${name}: ${value}n does not fit in 64 bits`);
          return this.#put(TYPE.INTEGER, value, name);
        }
        if (typeof value !== "number" || Number.isNaN(value)) throw mistyped("a number or bigint");
        return Number.isSafeInteger(value) ? this.#put(TYPE.INTEGER, value, name) : this.#put(TYPE.REAL, value, name);
      case "json":
        return this.#put(TYPE.JSON, jsonText(value, () => `${this.#what}: where: ${name}`), name);
    }
  }

  #put(tag: number, value: PlainField, name: string): void {
    const what = (): string => `${this.#what}: where: ${name}`;
    this.#room(1 + plainFieldRoom(value, what));
    this.#at = writeField(tag, value, this.#bytes, this.#at, what);
  }

  #u8(value: number): void {
    this.#room(1);
    this.#bytes[this.#at++] = value;
  }

  #u32(value: number): void {
    this.#room(4);
    writeU32(value, this.#bytes, this.#at);
    this.#at += 4;
  }

  #room(size: number): void {
    if (this.#at + size <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(2 * this.#bytes.length, this.#at + size));
    grown.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = grown;
  }

  #refuse(why: string): Error {
    return invalid(`${this.#what}: where: ${why}`);
  }
}

