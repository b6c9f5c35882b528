// run.mjs - make bench: measures Nacre beside its peers, prints Markdown, leaves the raw
// figures in build/bench. tests/bench/README.md says what is compared and how.
//
//   run.mjs [--quick] [--readme] [--rounds N] [--large] [--only kv,vectors,sizes,large,pauses] [--engines nacre,lmdb]
//   run.mjs --from build/bench/DATE.json [--readme]    measures nothing: the table of that run

import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { pathToFileURL } from "node:url";
import { brotliCompressSync } from "node:zlib";
import { median } from "./data.mjs";
import { PACKAGES } from "./engines.mjs";
import { freeze, installPeers, js, keep, load, machine, out, peers, run, writeTable } from "./setup.mjs";
import { markdown } from "./table.mjs";

const here = import.meta.dirname, data = join(out, "data");

const { values: given } = parseArgs({
  args: [...process.argv.slice(2), ...(process.env.BENCH_ARGS ?? "").split(" ").filter(Boolean)],
  options: {
    quick: { type: "boolean", default: false },
    readme: { type: "boolean", default: false },
    large: { type: "boolean", default: false },
    engines: { type: "string", default: "native,nacre,lmdb,level,rocks,sqlite" },
    rounds: { type: "string" },
    from: { type: "string" },
    only: { type: "string", default: "kv,vectors,sizes" },
  },
});
const settings = {
  quick: given.quick,
  rounds: Number(given.rounds ?? (given.quick ? 1 : 3)),
  rows: given.quick ? 200_000 : 1_000_000,
  large: given.quick ? 1_000_000 : 10_000_000,
  durable: given.quick ? 100 : 500,
  seconds: given.quick ? 0.5 : 1.5,
  vectors: given.quick ? [[10_000, 128], [10_000, 384], [100_000, 128]] : [[10_000, 128], [10_000, 384], [100_000, 128], [100_000, 384]],
};
const only = [...given.only.split(","), ...(given.large ? ["large", "pauses"] : [])], engines = given.engines.split(",");

// ---- Setting up ----

function fresh() {
  rmSync(data, { recursive: true, force: true });
  mkdirSync(data, { recursive: true });
  return data;
}

const shared = { nacre: pathToFileURL(join(js, "index.js")).href, peers, folder: data };

function node(script, options) {
  return JSON.parse(run(process.execPath, ["--no-warnings", join(here, script), JSON.stringify({ ...shared, ...options })]));
}

// ---- Measuring ----

function kvRound(engine) {
  fresh();
  const { rows, durable } = settings;
  if (engine === "native") return native(rows, ["durable", "loaded", "sequential", "transaction", "membranes"]);
  // Each in a process of its own.
  const lanes = [["durable", "group", "loaded"], ["reopen"], ["sequential"], ["transaction"], ...(engine === "nacre" ? [["membranes"], ["membranesOpen"]] : [])];
  return Object.assign({}, ...lanes.map((verbs) => node("kv.mjs", { engine, rows, durable, verbs })));
}

function native(rows, verbs) {
  return JSON.parse(run(join(out, "kv_bench"), [data, String(rows), String(settings.durable), ...verbs]));
}

/** Many rows in 64 MiB of memory. */
function largeRound(engine) {
  fresh();
  if (engine === "native") return native(settings.large, ["large"]);
  return node("kv.mjs", { engine, rows: settings.large, memory: 64 * 2 ** 20, verbs: ["large"] });
}

function pauseRound(engine) {
  fresh();
  if (engine === "native") return JSON.parse(run(join(out, "pause_bench"), [data, String(settings.large)], { stdio: ["ignore", "pipe", "ignore"] }));
  return node("pauses.mjs", { rows: settings.large });
}

function vectorRound(rows, dimensions, where) {
  fresh();
  const { seconds } = settings;
  if (where === "native") return JSON.parse(run(join(out, "vector_bench"), [data, ...[rows, dimensions, seconds].map(String)]));
  return node("vectors.mjs", { rows, dimensions, seconds });
}

/** In turn, every second round backwards. */
function rounds(names, measure, what, count = settings.rounds) {
  const results = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < count; round++) {
    for (const name of round % 2 ? names.toReversed() : names) {
      console.error(`bench: ${what}, ${name}, round ${round + 1} of ${count}`);
      results[name].push(measure(name));
    }
  }
  return results;
}

/** Of objects of the same shape: the median of each number. */
function medians(values) {
  const [first] = values;
  if (typeof first === "number") return median(values);
  if (typeof first !== "object" || first === null) return first;
  return Object.fromEntries(Object.keys(first).map((key) => [key, medians(values.map((value) => value[key]))]));
}

function mediansOf(results) {
  return Object.fromEntries(Object.entries(results).map(([name, values]) => [name, medians(values)]));
}

/** JavaScript and C found the same neighbours, in every round. */
function sameAnswers({ native, wasm }, what) {
  for (const metric of ["l2", "ip", "cosine"]) {
    const hashes = new Set([...native, ...wasm].map((result) => result[metric].hash));
    if (hashes.size !== 1) throw new Error(`${what}, ${metric}: C and JavaScript found different neighbours`);
  }
}

function sizes() {
  const compressed = (name) => {
    const bytes = readFileSync(join(js, name));
    return { bytes: bytes.length, brotli: brotliCompressSync(bytes).length };
  };
  const listed = JSON.parse(run("npm", ["pack", "--dry-run", "--json", "--ignore-scripts", "--loglevel=error"]));
  const [pack] = Array.isArray(listed) ? listed : Object.values(listed);
  return { wasm: compressed("nacre.wasm"), scalar: compressed("nacre-scalar.wasm"), packed: pack.size, unpacked: pack.unpackedSize };
}

// ---- All of it ----

function measure() {
  mkdirSync(out, { recursive: true });
  installPeers();
  freeze(["kv_bench", "vector_bench", "pause_bench"]);
  const result = { machine: machine(Object.values(PACKAGES)), settings, raw: {} };
  if (only.includes("vectors")) {
    result.raw.vectors = settings.vectors.map(([rows, dimensions]) => {
      const what = `${rows} vectors of ${dimensions}`;
      const measured = rounds(["native", "wasm"], (where) => vectorRound(rows, dimensions, where), what);
      sameAnswers(measured, what);
      return { rows, dimensions, ...measured };
    });
    result.vectors = result.raw.vectors.map(({ rows, dimensions, ...measured }) => ({ rows, dimensions, ...mediansOf(measured) }));
  }
  if (only.includes("kv")) {
    result.raw.kv = rounds(engines, kvRound, "key-value");
    result.kv = mediansOf(result.raw.kv);
  }
  // Once: each takes minutes. SQLite would take most of an hour.
  if (only.includes("large")) {
    result.raw.large = rounds(engines.filter((name) => name !== "sqlite"), largeRound, `${settings.large} rows`, 1);
    result.large = mediansOf(result.raw.large);
  }
  if (only.includes("pauses")) {
    result.raw.pauses = rounds(engines.filter((name) => name === "native" || name === "nacre"), pauseRound, "pauses", 1);
    result.pauses = mediansOf(result.raw.pauses);
  }
  if (only.includes("sizes")) result.sizes = sizes();
  result.machine.load.push(load());
  rmSync(data, { recursive: true, force: true });
  keep(result);
  return result;
}

const text = markdown(given.from ? JSON.parse(readFileSync(given.from, "utf8")) : measure());
console.log(text);
if (given.readme) writeTable("bench", text);
