// search-one.mjs - one engine and one set, in a process of its own, for search.mjs: builds, then asks
// every query with every setting until recall is as high as it matters, and checks every answer.
//
//   node search-one.mjs '{ "engine", "set", "peers", "nacre", "data", "seconds", "result" }'
//
// The figures go to the file `result`, since peers write to stdout. Exit code 3: a wrong answer.

import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { median, quantile } from "./data.mjs";
import { engine as make } from "./search-engines.mjs";
import { HITS, distance, load } from "./search-sets.mjs";

const { engine: name, set: described, peers, nacre, data, seconds, result } = JSON.parse(process.argv[2]);
const ENOUGH = 0.998;

class WrongAnswer extends Error {}

const loaded = load(described), { dimensions, metric, rows, queries, far } = loaded;
const set = { ...loaded, count: rows.length / dimensions, data }, asked = queries.length / dimensions;

/** Complete, no row twice, nearest first by the engine's own distances; the number of hits as near as the true ones. */
function judge(hits, q, where) {
  const wrong = (what) => new WrongAnswer(`${name}, ${described.name}, ${where}, query ${q}: ${what}`);
  if (hits.length !== HITS) throw wrong(`${hits.length} hits`);
  if (new Set(hits.map(({ key }) => key)).size !== HITS) throw wrong("a row twice");
  let found = 0;
  hits.forEach(({ key, distance: given }, i) => {
    if (!Number.isInteger(key) || key < 0 || key >= set.count) throw wrong(`no such row: ${key}`);
    if (!Number.isFinite(given) || (i > 0 && given < hits[i - 1].distance)) throw wrong(`hit ${i} is not in its place`);
    if (distance(metric, queries, q * dimensions, rows, key * dimensions, dimensions) <= far[q]) found++;
  });
  return found;
}

async function measure(searcher, setting, prepared) {
  const where = Object.entries(setting).map(([key, value]) => `${key} ${value}`).join(" ") || "exact", times = [];
  await searcher.use(setting);
  let found = 0;
  for (let q = 0; q < asked; q++) found += judge(searcher.hits(await searcher.search(prepared[q])), q, where); // warms, too
  for (let end = performance.now() + seconds * 1e3, pass = 0; pass === 0 || performance.now() < end; pass++) {
    for (let q = 0; q < asked; q++) {
      const began = performance.now();
      let answer = searcher.search(prepared[q]);
      if (answer instanceof Promise) answer = await answer;
      times.push((performance.now() - began) * 1e3);
      judge(searcher.hits(answer), q, where);
    }
  }
  return { setting: where, recall: found / (asked * HITS), p50: median(times), p99: quantile(times, 0.99), samples: times.length };
}

async function all() {
  const searcher = make(name, set);
  try {
    await searcher.load(createRequire(join(peers, "package.json")), peers, nacre);
  } catch (error) {
    return { unavailable: String(error.message ?? error).split("\n")[0] };
  }
  const began = performance.now();
  await searcher.build(set);
  const buildSeconds = (performance.now() - began) / 1e3;
  const prepared = Array.from({ length: asked }, (_, q) => searcher.query(queries.subarray(q * dimensions, (q + 1) * dimensions)));
  await searcher.use(searcher.settings[0]);
  for (let end = performance.now() + 500, q = 0; performance.now() < end; q++) await searcher.search(prepared[q % asked]); // V8's best code
  const curve = [];
  for (const setting of searcher.settings) {
    const kind = Object.keys(setting)[0];
    if (name !== "nacre" && curve.some((point) => point.setting.startsWith(`${kind} `) && point.recall >= ENOUGH)) continue; // more only costs more
    curve.push(await measure(searcher, setting, prepared));
  }
  return { buildSeconds, curve };
}

try {
  writeFileSync(result, JSON.stringify(await all()));
  process.exit(0); // some peers leave timers and threads
} catch (error) {
  console.error(error);
  process.exit(error instanceof WrongAnswer ? 3 : 1);
}
