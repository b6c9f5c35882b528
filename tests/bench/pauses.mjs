// pauses.mjs - how long single write calls take while many rows are put through JavaScript:
// one JSON object on stdout, as pause_bench.c prints it. With "top": true the longest calls
// on stderr.
//
//   node pauses.mjs '{ "nacre", "folder", "rows", "top" }'
//
// A pause is the wall time of a call less the time inside of syncs: node:fs is given a clock.

import fs from "node:fs";
import { join } from "node:path";
import { check, keyAt, makeKeys, quantile, randomRow, valueOf } from "./data.mjs";

const BATCH = 1000, MEMORY = 64 * 2 ** 20, CHUNK = 1_000_000;
const options = JSON.parse(process.argv[2]);
const { rows } = options;
const inside = { sync: 0, other: 0, written: 0 };

function clocked(name, into) {
  const call = fs[name];
  fs[name] = (...values) => {
    const began = performance.now();
    try {
      return call(...values);
    } finally {
      inside[into] += performance.now() - began;
      if (name === "writeSync") inside.written += values[3];
    }
  };
}
for (const name of ["fdatasyncSync", "fsyncSync"]) clocked(name, "sync");
for (const name of ["writeSync", "readSync", "ftruncateSync"]) clocked(name, "other");

const { openSync } = await import(options.nacre);
const db = openSync(join(options.folder, "pauses"), { durability: "none", memory: MEMORY });
const kv = db.kv("kv", { key: "bytes", value: "bytes" });
const count = Math.ceil(rows / BATCH);
const call = new Float64Array(count), pause = new Float64Array(count), sync = new Float64Array(count), cpu = new Float64Array(count);
const files = new Float64Array(count), written = new Float64Array(count);
let keys, took = 0;
const used = process.cpuUsage();
for (let i = 0; i < count; i++) {
  const from = i * BATCH, size = Math.min(BATCH, rows - from);
  if (from % CHUNK === 0) keys = makeKeys(Math.min(CHUNK, rows - from), false, from); // the making of keys is no part of a call
  const pairs = new Array(size);
  for (let j = 0; j < size; j++) pairs[j] = [keyAt(keys, from % CHUNK + j), valueOf(from + j)];
  const before = { ...inside }, cpuBefore = process.cpuUsage(), began = performance.now();
  kv.putMany(pairs);
  call[i] = performance.now() - began;
  const worked = process.cpuUsage(cpuBefore);
  cpu[i] = (worked.user + worked.system) / 1e3;
  sync[i] = inside.sync - before.sync;
  pause[i] = call[i] - sync[i];
  files[i] = inside.other - before.other;
  written[i] = inside.written - before.written;
  took += call[i];
}
const worked = process.cpuUsage(used);
for (let j = 0; j < 1000; j++) {
  const row = randomRow(j, rows);
  check(row, kv.get(makeKeys(1, false, row)), "get");
}

function summary(milliseconds) {
  return { p99Ms: quantile(milliseconds, 0.99), p999Ms: quantile(milliseconds, 0.999), longestMs: Math.max(...milliseconds) };
}

/** Calls of the slowest whole second over those of the mean one. */
function slowestSecond(milliseconds) {
  let at = 0, slowest = Infinity, inThis = 0;
  for (const time of milliseconds) {
    at += time;
    inThis++;
    if (at < 1000) continue;
    slowest = Math.min(slowest, inThis);
    at -= 1000;
    inThis = 0;
  }
  const total = milliseconds.reduce((sum, time) => sum + time, 0) / 1e3;
  return slowest === Infinity ? 1 : slowest / (milliseconds.length / total);
}

if (options.top) {
  const order = Array.from(pause.keys()).sort((a, b) => pause[b] - pause[a]).slice(0, 12);
  for (const i of order) {
    console.error(`${i}: pause ${pause[i].toFixed(1)} cpu ${cpu[i].toFixed(1)} sync ${sync[i].toFixed(1)} files ${files[i].toFixed(1)} ms, ${written[i]} bytes written`);
  }
}
console.log(JSON.stringify({
  rows, batch: BATCH, perSecond: rows * 1e3 / took, perCpuSecond: rows * 1e6 / (worked.user + worked.system),
  slowestSecond: slowestSecond(call), slowestSecondWithoutSyncs: slowestSecond(pause),
  call: summary(call), pause: summary(pause), cpu: summary(cpu), sync: summary(sync), stats: db.stats(),
}, (_, value) => typeof value === "bigint" ? String(value) : value));
db.close();
