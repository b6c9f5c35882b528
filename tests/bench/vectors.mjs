// vectors.mjs - exact search through JavaScript: the same rows and questions as vector_bench.c,
// whose answers are checked against their definition; run.mjs asks that these are the same.
//
//   node vectors.mjs '{ "nacre", "folder", "rows", "dimensions", "seconds" }'

import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fillFloats, median, mix } from "./data.mjs";

const K = 10, QUERIES = 16, GROUPS = 15, QUERY_SEED = 0x40000000, CHUNK = 500;
const { nacre, folder, rows, dimensions, seconds } = JSON.parse(process.argv[2]);
const { openSync } = await import(nacre);
const queries = Array.from({ length: QUERIES }, (_, q) => {
  const query = new Float32Array(dimensions);
  fillFloats(query, QUERY_SEED + q * 4096);
  return query;
});

/** Nanoseconds that this thread ran: getrusage counts in ticks of 4 ms. */
function threadCpu() {
  return Number(readFileSync("/proc/thread-self/schedstat", "latin1").split(" ")[0]);
}

function load(metric) {
  mkdirSync(join(folder, metric), { recursive: true });
  const db = openSync(join(folder, metric, "db"), { durability: "none", memory: rows * dimensions * 16 + 64 * 2 ** 20 });
  const collection = db.collection("vectors", { key: "integer", vector: { dimensions, metric } });
  const vectors = new Float32Array(CHUNK * dimensions);
  for (let from = 0; from < rows; from += CHUNK) {
    fillFloats(vectors, from * dimensions);
    collection.putMany({ keys: Array.from({ length: CHUNK }, (_, i) => from + i), vectors });
  }
  db.compact();
  return { db, collection };
}

function measure(metric) {
  const { db, collection } = load(metric);
  const answers = queries.map((query) => collection.search(query, { k: K, recall: "exact" }));
  let hash = 0;
  for (const hits of answers) for (const { key } of hits) hash = mix(hash ^ key);
  const misses = db.stats().counters.cacheMisses;
  const wall = [], cpu = [];
  for (let end = performance.now() + 300; performance.now() < end;) collection.search(queries[0], { k: K }); // V8's best code
  for (let group = 0, q = 0; group < GROUPS; group++) {
    const used = threadCpu(), first = q;
    for (let end = performance.now() + seconds * 1e3 / GROUPS; performance.now() < end; q++) {
      const began = performance.now();
      const hits = collection.search(queries[q % QUERIES], { k: K });
      wall.push((performance.now() - began) * 1e3);
      const right = answers[q % QUERIES];
      for (let i = 0; i < K; i++) if (hits[i].key !== right[i].key) throw new Error("search: another answer to the same question");
    }
    cpu.push((threadCpu() - used) / 1e3 / (q - first));
  }
  if (db.stats().counters.cacheMisses !== misses) throw new Error("search: vectors were not in the database's cache");
  db.close();
  rmSync(join(folder, metric), { recursive: true });
  return { search: { cpuUs: median(cpu), wallUs: median(wall), samples: wall.length }, hash };
}

console.log(JSON.stringify({ l2: measure("l2"), ip: measure("ip"), cosine: measure("cosine") }));
