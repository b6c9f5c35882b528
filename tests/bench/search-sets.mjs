// search-sets.mjs - the vector sets of search.mjs: what the repository has copies of, .npy files of
// a folder, and made ones of any size. Each is written as rows.npy and queries.npy, so that C and
// JavaScript read the same floats; the true neighbours are found here, in double precision.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

export const HITS = 10;
const QUERIES = 200, root = resolve(import.meta.dirname, "../..");

/** Files of a set, the first that is there: packages' titles in full, else the sample's questions. */
const FILES = {
  packages: { metric: "cosine", files: [["packages.f16.npy", "titles.f32.npy"], ["packages.i8.npy", "queries.i8.npy"]] },
  bigann10k: { metric: "l2", files: [["bigann10k.u8.npy", "bigann10k.queries.u8.npy"]] },
  mnist10k: { metric: "l2", files: [["mnist10k.u8.npy", "mnist10k.queries.u8.npy"]] },
};
const MADE = { clust: true, spec: false };
export const NAMES = [...Object.keys(FILES), ...Object.keys(MADE)];

// ---- Matrices ----

/** A matrix of |u1, |i1, <f2 or <f4 as floats, at most `most` rows of it. */
function readNpy(path, most) {
  const bytes = readFileSync(path), start = 10 + bytes.readUInt16LE(8);
  const head = /'descr': '([^']+)'.*'fortran_order': False.*'shape': \((\d+), (\d+)\)/.exec(bytes.toString("latin1", 10, start));
  if (!head) throw new Error(`${path}: not a matrix in rows`);
  const [, type, count, dimensions] = head, values = Math.min(Number(count), most) * Number(dimensions), of = bytes.subarray(start);
  const read = { "|u1": (i) => of[i], "|i1": (i) => of.readInt8(i), "<f2": (i) => half(of.readUInt16LE(2 * i)), "<f4": (i) => of.readFloatLE(4 * i) }[type];
  if (!read) throw new Error(`${path}: elements of another type, ${type}`);
  return { dimensions: Number(dimensions), values: Float32Array.from({ length: values }, (_, i) => read(i)) };
}

function half(bits) {
  const exponent = bits >> 10 & 31, fraction = bits & 1023, sign = bits & 0x8000 ? -1 : 1;
  return sign * (exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24);
}

function writeNpy(path, values, dimensions) {
  const shape = `{'descr': '<f4', 'fortran_order': False, 'shape': (${values.length / dimensions}, ${dimensions}), }`;
  const head = Buffer.from(shape.padEnd(128 - 10 - 1) + "\n");
  writeFileSync(path, Buffer.concat([Buffer.from("\x93NUMPY\x01\x00", "latin1"), Buffer.from([head.length & 255, head.length >> 8]), head, Buffer.from(values.buffer, values.byteOffset, values.byteLength)]));
}

// ---- Made sets ----

/** Normal numbers, the same in every run. */
function normals(seed) {
  let state = seed;
  const uniform = () => {
    state = (state + 0x9e3779b9) >>> 0;
    let h = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    h = Math.imul(h ^ (h >>> 15), 0x735a2d97);
    return (((h ^ (h >>> 15)) >>> 0) + 0.5) / 2 ** 32;
  };
  return { uniform, normal: () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()) };
}

/** Like set_make of sets.h: rows near one of count / 100 centres, or elements that matter less and less. */
function make(clustered, count, dimensions) {
  const { uniform, normal } = normals(7), clusters = clustered ? Math.max(1, Math.floor(count / 100)) : 0;
  const centres = Float32Array.from({ length: clusters * dimensions }, normal), values = new Float32Array((count + QUERIES) * dimensions);
  for (let row = 0; row < count + QUERIES; row++) {
    const centre = clusters && Math.floor(uniform() * clusters) * dimensions;
    for (let i = 0; i < dimensions; i++) values[row * dimensions + i] = clusters ? centres[centre + i] + 0.6 * normal() : (i + 4) ** -0.6 * normal();
  }
  return { dimensions, metric: "cosine", rows: values.slice(0, count * dimensions), queries: values.slice(count * dimensions), origin: "made" };
}

// ---- Sets ----

/** To unit length: peers then need no division, and inner products rank as cosines do. */
function scale(values, dimensions) {
  for (let at = 0; at < values.length; at += dimensions) {
    let square = 0;
    for (let i = at; i < at + dimensions; i++) square += values[i] ** 2;
    for (let i = at; i < at + dimensions; i++) values[i] /= Math.sqrt(square);
  }
}

function find(name, folders, most) {
  const { metric, files } = FILES[name];
  for (const [rowsFile, queriesFile] of files) {
    const folder = folders.find((one) => existsSync(join(one, rowsFile)) && existsSync(join(one, queriesFile)));
    if (!folder) continue;
    const rows = readNpy(join(folder, rowsFile), most), queries = readNpy(join(folder, queriesFile), QUERIES);
    return { dimensions: rows.dimensions, metric, rows: rows.values, queries: queries.values, origin: rowsFile };
  }
  return undefined;
}

/** Of two rows: what grows with the metric's distance. Both engines' hits and the truth are judged by it. */
export function distance(metric, a, atA, b, atB, dimensions) {
  let sum = 0;
  if (metric === "l2") for (let i = 0; i < dimensions; i++) sum += (a[atA + i] - b[atB + i]) ** 2;
  else for (let i = 0; i < dimensions; i++) sum -= a[atA + i] * b[atB + i];
  return sum;
}

/** Of each query: the distance of its HITS-th nearest row. */
function truth({ metric, dimensions, rows, queries }) {
  return Float64Array.from({ length: queries.length / dimensions }, (_, q) => {
    const best = new Array(HITS).fill(Infinity);
    for (let at = 0; at < rows.length; at += dimensions) {
      const far = distance(metric, queries, q * dimensions, rows, at, dimensions);
      if (far >= best[HITS - 1]) continue;
      let i = HITS - 1;
      for (; i > 0 && best[i - 1] > far; i--) best[i] = best[i - 1];
      best[i] = far;
    }
    return best[HITS - 1];
  });
}

/** Writes the set into `into`; undefined: there are no files of it. `most`: rows of files, `made`: of made ones. */
export function prepare(name, { folders, most, made, dimensions, into }) {
  const inRepository = [join(root, "examples/data"), join(root, "tests/data")];
  const set = name in MADE ? make(MADE[name], made, dimensions) : find(name, [...folders, ...inRepository], most);
  if (!set) return undefined;
  if (set.metric === "cosine") for (const values of [set.rows, set.queries]) scale(values, set.dimensions);
  mkdirSync(into, { recursive: true });
  writeNpy(join(into, "rows.npy"), set.rows, set.dimensions);
  writeNpy(join(into, "queries.npy"), set.queries, set.dimensions);
  writeFileSync(join(into, "far.f64"), Buffer.from(truth(set).buffer));
  return { name, metric: set.metric, origin: set.origin, dimensions: set.dimensions, rows: set.rows.length / set.dimensions, queries: set.queries.length / set.dimensions, folder: into };
}

/** What `prepare` wrote. */
export function load({ folder, ...set }) {
  const floats = (file) => readNpy(join(folder, file), Infinity).values, far = readFileSync(join(folder, "far.f64"));
  return { ...set, rows: floats("rows.npy"), queries: floats("queries.npy"), far: new Float64Array(new Uint8Array(far).buffer) };
}
