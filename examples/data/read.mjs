// Reads the example data beside this file.
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

const file = (name) => readFileSync(new URL(name, import.meta.url));

/** The 5 000 packages: { name, title, text, section, installed_kib, tags, ... }. */
export function readPackages() {
  const text = gunzipSync(file("packages.jsonl.gz")).toString();
  return text.trimEnd().split("\n").map((line) => JSON.parse(line));
}

/** Their embeddings: row i belongs to package i. */
export const readVectors = () => readNpy("packages.i8.npy");

/** The questions: { text, vector, nearest }, where `nearest` are the ten true rows. */
export function readQueries() {
  const vectors = readNpy("queries.i8.npy"), nearest = readNpy("queries.gt10.npy");
  return file("queries.txt").toString().trimEnd().split("\n")
    .map((text, i) => ({ text, vector: vectors[i], nearest: Array.from(nearest[i]) }));
}

const TYPES = { "|i1": Int8Array, "<i4": Int32Array };

/** The rows of a NumPy file: vectors as Float32Array, row numbers as Int32Array. */
function readNpy(name) {
  const bytes = file(name);
  const start = 10 + bytes.readUInt16LE(8);
  const header = bytes.toString("latin1", 10, start);
  const [, type, ...shape] = header.match(/'descr': '([^']+)'.*'shape': \((\d+), (\d+)\)/);
  const [rows, width] = shape.map(Number);
  const Type = TYPES[type];
  const numbers = new Type(new Uint8Array(bytes.subarray(start)).buffer);
  return Array.from({ length: rows }, (_, i) => {
    const row = numbers.subarray(i * width, (i + 1) * width);
    return Type === Int8Array ? Float32Array.from(row) : row;
  });
}
