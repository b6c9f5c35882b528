// run.mjs - make bench: measures Nacre beside its peers, prints Markdown, leaves the raw
// figures in build/bench. tests/bench/README.md says what is compared and how.
//
//   run.mjs [--quick] [--readme] [--rounds N] [--large] [--only kv,vectors,sizes,large,pauses] [--engines nacre,lmdb]
//   run.mjs --from build/bench/DATE.json [--readme]    measures nothing: the table of that run

import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import { delimiter, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { pathToFileURL } from "node:url";
import { brotliCompressSync } from "node:zlib";
import { median } from "./data.mjs";
import { PACKAGES } from "./engines.mjs";
import { markdown } from "./table.mjs";

const here = import.meta.dirname, root = resolve(here, "../.."), build = join(root, "build"), out = join(build, "bench");
const peers = join(out, "peers"), data = join(out, "data"), js = join(out, "js");
const env = { ...process.env, PATH: join(root, "node_modules/.bin") + delimiter + process.env.PATH };

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

function run(command, args, options = {}) {
  return execFileSync(command, args, { cwd: root, env, encoding: "utf8", maxBuffer: 2 ** 26, stdio: ["ignore", "pipe", "inherit"], ...options });
}

/** In build, so that the peers are no part of the package's own tree. */
function installPeers() {
  mkdirSync(peers, { recursive: true });
  const lock = readFileSync(join(here, "package-lock.json"), "utf8"), mark = join(peers, ".installed");
  if (existsSync(mark) && readFileSync(mark, "utf8") === lock) return;
  for (const file of ["package.json", "package-lock.json", ".npmrc"]) cpSync(join(here, file), join(peers, file));
  console.error("bench: npm install of the peers, in build/bench/peers");
  // They bring prebuilt binaries for the common platforms; elsewhere their install scripts compile, which needs g++.
  // Not npm ci: it refuses the lock where a registry lacks an optional package of another platform.
  run("npm", ["install", "--loglevel=error"], { cwd: peers });
  writeFileSync(mark, lock);
}

/** What is measured does not change while it is measured. */
function freeze() {
  rmSync(js, { recursive: true, force: true });
  cpSync(join(build, "js"), js, { recursive: true });
  for (const name of ["kv_bench", "vector_bench", "pause_bench"]) {
    run(process.env.CC ?? "clang-22", ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-I", join(root, "core"),
      join(here, `${name}.c`), join(build, "libnacre.a"), "-lm", "-o", join(out, name)]);
  }
}

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

function load() {
  return os.loadavg()[0].toFixed(1);
}

function machine() {
  const version = (name) => JSON.parse(readFileSync(join(peers, "node_modules", name, "package.json"), "utf8")).version;
  const l3 = "/sys/devices/system/cpu/cpu0/cache/index3/size";
  return {
    date: new Date().toISOString(),
    cpu: os.cpus()[0].model, cores: os.cpus().length, memory: os.totalmem(), kernel: os.release(),
    cache: existsSync(l3) ? `${parseInt(readFileSync(l3, "utf8")) / 1024} MiB` : "unknown",
    files: run("df", ["--output=fstype", out]).trim().split("\n")[1],
    node: process.version, compiler: run(process.env.CC ?? "clang-22", ["--version"]).split("\n")[0].replace(/.*(clang|gcc)[^0-9]*([0-9.]+).*/, "$1 $2"),
    commit: run("git", ["describe", "--always", "--dirty"]).trim(),
    peers: Object.fromEntries(Object.values(PACKAGES).map((name) => [name, version(name)])),
    load: [load()],
  };
}

function writeTable(text) {
  const marked = /(<!-- bench:begin -->\n)[\s\S]*?(<!-- bench:end -->)/;
  const readme = join(root, "README.md");
  if (!marked.test(readFileSync(readme, "utf8"))) throw new Error("README.md lacks the lines <!-- bench:begin --> and <!-- bench:end -->");
  writeFileSync(readme, readFileSync(readme, "utf8").replace(marked, (_, begin, end) => `${begin}\n${text}\n${end}`));
  console.error(`bench: table written to ${readme}`);
}

// ---- All of it ----

function measure() {
  mkdirSync(out, { recursive: true });
  installPeers();
  freeze();
  const result = { machine: machine(), settings, raw: {} };
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
  const name = join(out, `${result.machine.date.replaceAll(":", "-").slice(0, 19)}.json`);
  writeFileSync(name, JSON.stringify(result, null, 1));
  console.error(`bench: raw figures in ${name}`);
  return result;
}

const text = markdown(given.from ? JSON.parse(readFileSync(given.from, "utf8")) : measure());
console.log(text);
if (given.readme) writeTable(text);
