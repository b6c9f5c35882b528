// search.mjs - make bench-vectors: p50 and recall@10 of searches with Nacre and its peers, one thread, in
// one run. Prints Markdown, leaves the raw figures in build/bench and a plot in tests/bench/recall.svg.
// tests/bench/README.md says what is compared and how.
//
//   search.mjs [--quick] [--large] [--rows N] [--most N] [--sets DIRECTORY] [--only clust,spec]
//              [--engines native,nacre,hnswlib] [--seconds S] [--plot FILE] [--readme]
//   search.mjs --from build/bench/search-DATE.json [--readme]    measures nothing: the table of that run

import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { pathToFileURL } from "node:url";
import { PACKAGES } from "./search-engines.mjs";
import { plot } from "./search-plot.mjs";
import { NAMES, prepare } from "./search-sets.mjs";
import { freeze, installPeers, js, keep, load, machine, out, peers, root, run, version, writeTable } from "./setup.mjs";

const here = import.meta.dirname, data = join(out, "search-data");
const ENGINES = {
  native: { label: "Nacre, C", colour: "#b30000" },
  nacre: { label: "Nacre, WASM", colour: "#ff6b4a" },
  hnswlib: { label: "hnswlib", colour: "#1f5fb4" },
  usearch: { label: "usearch", colour: "#1a9850" },
  zvec: { label: "zvec", colour: "#7b3fb5" },
  hnswlibWasm: { label: "hnswlib-wasm", colour: "#6baed6" },
  pgvector: { label: "pgvector", colour: "#8c6d31" },
  sqliteVec: { label: "sqlite-vec", colour: "#777777" },
};

const { values: given } = parseArgs({
  args: [...process.argv.slice(2), ...(process.env.BENCH_ARGS ?? "").split(" ").filter(Boolean)],
  options: {
    quick: { type: "boolean", default: false },
    large: { type: "boolean", default: false },
    rows: { type: "string" },
    most: { type: "string" },
    sets: { type: "string", multiple: true, default: [] },
    only: { type: "string" },
    engines: { type: "string", default: Object.keys(ENGINES).join(",") },
    seconds: { type: "string", default: "0.3" },
    plot: { type: "string", default: join(here, "recall.svg") },
    readme: { type: "boolean", default: false },
    from: { type: "string" },
  },
});

function chosen(text, known, what) {
  const names = text.split(",");
  for (const name of names) if (!known.includes(name)) throw new Error(`no such ${what}: ${name}; there are ${known.join(", ")}`);
  return names;
}

const settings = {
  quick: given.quick,
  rows: Number(given.rows ?? (given.large ? 100_000 : 20_000)),
  most: Number(given.most ?? (given.quick ? 20_000 : 1e9)),
  seconds: Number(given.seconds),
  sets: chosen(given.only ?? (given.quick ? "packages,bigann10k,mnist10k" : NAMES.join(",")), NAMES, "set"),
  engines: chosen(given.engines, Object.keys(ENGINES), "engine"),
};

// ---- Measuring ----

function fresh() {
  rmSync(data, { recursive: true, force: true });
  mkdirSync(data, { recursive: true });
}

function native(set) {
  const text = run(join(out, "search_bench"), [set.folder, `rows-${set.metric}`, "0", data, "1024", "curve"]), said = JSON.parse(text);
  const curve = Object.entries(said).filter(([name]) => /^(recall|probes) /.test(name)).map(([setting, figures]) => ({ setting, ...figures }));
  return { buildSeconds: set.rows / said.ingest.rowsPerSecond + said.indexSeconds, curve };
}

/** A peer that does not run here is named as such; a wrong answer, or Nacre not running, ends all. */
function measured(engine, set) {
  fresh();
  if (engine === "native") return native(set);
  if (PACKAGES[engine] && !version(PACKAGES[engine])) return { unavailable: "not installed" };
  const result = join(data, "result.json"), nacre = pathToFileURL(join(js, "index.js")).href;
  const options = JSON.stringify({ engine, set, peers, nacre, data, seconds: settings.seconds, result });
  const done = spawnSync(process.execPath, ["--no-warnings", join(here, "search-one.mjs"), options], { encoding: "utf8", maxBuffer: 2 ** 26, timeout: 30 * 60e3 });
  const failed = done.status === 0 ? undefined : `${done.error?.message ?? done.signal ?? `exit ${done.status}`}: ${done.stderr.trim().split("\n").slice(-12).join("\n")}`;
  if (failed && (done.status === 3 || engine === "nacre")) throw new Error(failed);
  if (failed) return { unavailable: failed.split("\n")[0] };
  const figures = JSON.parse(readFileSync(result, "utf8"));
  if (engine === "nacre" && figures.unavailable) throw new Error(figures.unavailable);
  return figures;
}

function measure() {
  mkdirSync(out, { recursive: true });
  installPeers();
  freeze(["search_bench"]);
  const result = { machine: machine([...Object.values(PACKAGES), "better-sqlite3", "@electric-sql/pglite"]), settings, sets: [], missing: [] };
  for (const name of settings.sets) {
    console.error(`bench: ${name}, its true neighbours`);
    const set = prepare(name, { folders: given.sets.map((folder) => resolve(folder)), most: settings.most, made: settings.rows, dimensions: 384, into: join(out, "search-sets", name) });
    if (!set) {
      result.missing.push(name);
      continue;
    }
    const engines = {};
    for (const engine of settings.engines) {
      console.error(`bench: ${name}, ${set.rows} x ${set.dimensions}, ${engine}`);
      engines[engine] = measured(engine, set);
    }
    const { folder, ...told } = set;
    rmSync(folder, { recursive: true, force: true });
    result.sets.push({ ...told, engines });
  }
  rmSync(data, { recursive: true, force: true });
  result.machine.load.push(load());
  keep(result, "search-");
  return result;
}

// ---- Printing ----

function short(us) {
  return us >= 1000 ? `${(us / 1000).toFixed(us >= 1e4 ? 1 : 2)} ms` : `${us.toFixed(us >= 100 ? 0 : 1)} µs`;
}

/** The first setting that reaches the recall: they stand in order of cost. The least p50 would favour who has more settings. */
function cheapest({ curve = [] }, recall) {
  return curve.find((point) => point.recall >= recall);
}

function cell(of, recall) {
  if (of.unavailable) return "does not run here";
  const best = cheapest(of, recall);
  return best ? `${short(best.p50)} (${best.recall.toFixed(3)}; ${best.setting})` : `not reached (${Math.max(...of.curve.map((point) => point.recall)).toFixed(3)})`;
}

function table(head, rows) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, i) => (i === 0 ? "---" : "---:"))), ...rows.map(line)].join("\n");
}

function setTable(set) {
  const rows = Object.entries(set.engines).map(([name, of]) => {
    const { curve, buildSeconds } = of, asked = (recall) => curve?.find(({ setting }) => setting === `recall ${recall}`);
    const said = [0.95, 0.99].map(asked), own = said.every(Boolean) ? said.map(({ recall, p50 }) => `${short(p50)} (${recall.toFixed(3)})`).join(", ") : "";
    return [ENGINES[name].label, cell(of, 0.95), cell(of, 0.99), own, buildSeconds === undefined ? "–" : `${buildSeconds.toFixed(1)} s`];
  });
  return `**${set.name}**, ${set.rows} × ${set.dimensions}, ${set.metric}, ${set.queries} queries (${set.origin})\n\n` +
    table(["p50 (recall; setting)", "recall ≥ .95", "recall ≥ .99", "asked for .95, .99", "put and index"], rows);
}

/** Beside the better of native hnswlib and usearch, at the same recall. */
function targets(sets) {
  const rows = [];
  for (const set of sets) {
    for (const recall of [0.95, 0.99]) {
      const best = ["hnswlib", "usearch"].map((name) => set.engines[name] && cheapest(set.engines[name], recall)).filter(Boolean).sort((a, b) => a.p50 - b.p50)[0];
      if (!best) continue;
      for (const [name, most] of [["nacre", 0.5], ["native", 0.25]]) {
        const mine = set.engines[name] && cheapest(set.engines[name], recall), times = mine && mine.p50 / best.p50;
        if (set.engines[name]) rows.push([`${set.name}, recall ≥ ${recall}, ${ENGINES[name].label} ≤ ${most} × the better of hnswlib and usearch`, mine ? `${times.toFixed(2)} ×` : "not reached", times <= most ? "met" : "**missed**"]);
      }
    }
  }
  return rows.length > 0 && table(["target", "measured", ""], rows);
}

function markdown({ machine: on, settings: how, sets, missing }) {
  const versions = Object.entries(on.peers).map(([name, found]) => `${name} ${found}`).join(", ");
  const absent = sets.flatMap((set) => Object.entries(set.engines).filter(([, of]) => of.unavailable).map(([name, of]) => `${ENGINES[name].label} on ${set.name}: ${of.unavailable}`));
  return [
    `Measured ${on.date.slice(0, 10)} on ${on.cpu} (${on.cores} cores, L3 ${on.cache}; load ${on.load.join(" and ")} before and after), Linux ${on.kernel}; ` +
    `Node ${on.node}, ${on.compiler}; ${versions}. Commit ${on.commit}. One thread, k = 10, graphs of M 16 and efConstruction 200; ` +
    `the cheapest setting that reaches the recall. ${how.quick ? "**Quick mode.**" : ""}`,
    ...sets.map(setTable),
    absent.length > 0 && `Did not run here: ${absent.join("; ")}.`,
    missing.length > 0 && `No files of ${missing.join(", ")}: \`--sets\` names a folder that has them.`,
    targets(sets),
  ].filter(Boolean).join("\n\n") + "\n";
}

const result = given.from ? JSON.parse(readFileSync(given.from, "utf8")) : measure(), text = markdown(result);
console.log(text);
if (result.sets.length > 0) {
  writeFileSync(given.plot, plot(result.sets, Object.fromEntries(Object.entries(ENGINES).filter(([name]) => result.sets.some((set) => set.engines[name]?.curve)))));
  console.error(`bench: plot in ${given.plot}`);
}
if (given.readme) writeTable("bench-vectors", `${text}\n![recall against latency](${relative(root, resolve(given.plot))})\n`);
