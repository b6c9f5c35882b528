// What the format tests and golden.ts share: folders, programs that are run, and rows as
// text in which equal rows are equal, wherever they were read.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { WASI } from "node:wasi";
import { gunzipSync, gzipSync } from "node:zlib";
import type { Value } from "./keycode.ts";
import type { Files, State, Vector } from "./database.ts";
import type { Schema, Type } from "./schema.ts";

export const ROOT = resolve(import.meta.dirname, "../..");
/** `make B=DIR` builds elsewhere. */
export const BUILD = resolve(ROOT, process.env.B ?? "build");
export const NACRE = join(BUILD, "nacre");
export const GOLDEN = join(import.meta.dirname, "golden");
/** The databases that make_golden.c makes. */
export const NAMES = ["small", "merged", "torn", "cut", "kept", "elements"] as const;
/** Of the encrypted one, "secret". */
export const GOLDEN_KEY = Buffer.from("the key of the golden database: ");
/** Those of a version. */
export const namesOfVersion = (version: string): readonly string[] => (version === "v1" ? NAMES.slice(0, 4) : NAMES);
const SUFFIXES = ["", "-wal0", "-wal1"] as const;

export async function inFolder(use: (folder: string) => void | Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "nacre-formats-"));
  try {
    await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Standard output of a program; throws when its exit code is not 0. */
export function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: "utf8", maxBuffer: 1 << 28 });
}

/** Runs a WASI command that sees `folder` as /tmp. */
export async function runWasi(program: string, folder: string, ...args: string[]): Promise<void> {
  const wasi = new WASI({ version: "preview1", args: [program, ...args], preopens: { "/tmp": folder }, returnOnExit: true });
  const module = await WebAssembly.compile(readFileSync(program));
  const instance = await WebAssembly.instantiate(module, wasi.getImportObject() as WebAssembly.Imports);
  const code = wasi.start(instance);
  if (code !== 0) throw new Error(`${program}: exit ${code}`);
}

// ---- golden files ----

export function goldenVersions(): string[] {
  return readdirSync(GOLDEN).sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
}

export function readGolden(version: string, name: string): Files {
  const [data, ...logs] = SUFFIXES.map((suffix) => gunzipSync(readFileSync(join(GOLDEN, version, `${name}${suffix}.gz`))));
  return { data: data!, logs };
}

export function writeGolden(version: string, name: string, files: Files): void {
  [files.data, ...files.logs].forEach((bytes, i) =>
    writeFileSync(join(GOLDEN, version, `${name}${SUFFIXES[i]}.gz`), gzipSync(bytes, { level: 9 })));
}

export function writeFiles(path: string, files: Files): void {
  [files.data, ...files.logs].forEach((bytes, i) => writeFileSync(path + SUFFIXES[i], bytes));
}

// ---- rows as text ----

/** A number of JSON as it was written, for JSON.parse would round it. */
class Numeral {
  readonly source: string;
  constructor(source: string) {
    this.source = source;
  }
}

export function parse(json: string): unknown {
  const keep = (_: string, value: unknown, context: { source: string }): unknown =>
    typeof value === "number" ? new Numeral(context.source) : value;
  return JSON.parse(json, keep as (this: unknown, key: string, value: unknown) => unknown);
}

function numberText(value: number): string {
  return Number.isInteger(value) && !Object.is(value, -0) ? String(BigInt(value)) : Object.is(value, -0) ? "-0" : String(value);
}

function numeralText(source: string, single: boolean): string {
  if (/^-?\d+$/.test(source) && source !== "-0" && !single) return String(BigInt(source));
  return numberText(single ? Math.fround(Number(source)) : Number(source));
}

/** Text of what `parse` gave; `single`: numbers are floats of 32 bits. */
function canonical(value: unknown, single = false): string {
  if (value instanceof Numeral) return numeralText(value.source, single);
  if (Array.isArray(value)) return `[${value.map((each) => canonical(each, single)).join()}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const members = Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}:${canonical(each, single || name === "vector")}`);
  return `{${members.join()}}`;
}

function valueText(value: Value, type: Type): string {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "number") return numberText(value);
  if (value instanceof Uint8Array) return JSON.stringify(Buffer.from(value).toString("base64"));
  if (typeof value === "bigint") return type === "timestamp" ? JSON.stringify(new Date(Number(value)).toISOString()) : String(value);
  return type === "json" ? canonical(parse(value)) : JSON.stringify(value);
}

const namesOf = (types: readonly Type[]): string => types.length === 1 ? JSON.stringify(types[0]) : JSON.stringify(types);

function numbersOf(vector: Vector, { element, dimensions }: Schema): number[] {
  if (element !== "bit") return [...vector];
  return Array.from({ length: dimensions }, (_, i) => (vector[i >> 3]! >> (i & 7)) & 1);
}

/** A state as `nacre dump` shows it, in canonical lines. */
export function dumpOf(state: State): string[] {
  return state.catalog.membranes.flatMap(({ name, schema }) => {
    const of = JSON.stringify(name);
    const fields = schema.fields.map((field) => `${JSON.stringify(field.name)}:"${field.type}"`);
    const vector = `"vector":{"dimensions":${schema.dimensions},"metric":"${schema.metric}","element":"${schema.element}"},`;
    const rest = schema.kind === "kv" ? `"value":"${schema.valueType}"`
      : `${schema.kind === "collection" ? vector : ""}"fields":{${fields.join()}}`;
    const kept = (schema.ttlMs ? `,"ttlMs":${schema.ttlMs}` : "") + (schema.blockSize ? `,"blockSize":${schema.blockSize}` : "") +
      (schema.compression ? `,"compression":"lz4"` : "");
    const head = `{"membrane":${of},"kind":"${schema.kind}","schema":{"key":${namesOf(schema.keyTypes)},${rest}${kept}}}`;
    return [head, ...(state.rows.get(name) ?? []).map((row) => {
      const parts = row.key.map((part, i) => valueText(part, schema.keyTypes[i]!));
      const members = [`"key":${parts.length === 1 ? parts[0] : `[${parts.join()}]`}`];
      if (row.vector) members.push(`"vector":[${numbersOf(row.vector, schema).map(numberText).join()}]`);
      row.fields.forEach((value, i) => {
        const field = schema.kind === "kv" ? { name: "value", type: schema.valueType } : schema.fields[i]!;
        members.push(`${JSON.stringify(field.name)}:${valueText(value, field.type)}`);
      });
      return `{"membrane":${of},"row":{${members.join()}}}`;
    })];
  });
}

/** The lines of a dump, canonical: how numbers and texts are spelled does not matter. */
export function canonicalDump(text: string): string[] {
  return text.split("\n").filter((line) => line !== "").map((line) => canonical(parse(line)));
}
