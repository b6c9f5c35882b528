// kv.mjs - key-value measurements of one engine, every get checked: one JSON object on stdout.
// A process of its own for each engine and round, so that no heap is shared.
//
//   node kv.mjs '{ "engine", "nacre", "peers", "folder", "rows", "durable", "memory", "verbs" }'
//
// A rate has two figures: per second of wall clock, and per second of CPU time of the whole
// process, with its threads.

import { closeSync, fdatasyncSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { check, checkWhole, KEY, keyAt, makeKeys, quantile, randomRow, VALUE, valueOf } from "./data.mjs";
import { engine as load, folderSize } from "./engines.mjs";

const BATCH = 1000, MANY = 100, WHOLE = 20000;
const options = JSON.parse(process.argv[2]);
const { rows } = options;
const engine = await load(options.engine, options.nacre, options.peers, options.memory);
const results = {};

function fresh(name) {
  const folder = join(options.folder, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** Does `work` and notes how often it did something per second. */
async function rate(name, work) {
  const cpu = process.cpuUsage(), began = performance.now();
  const count = await work();
  const seconds = (performance.now() - began) / 1e3;
  const used = process.cpuUsage(cpu);
  results[name] = { perSecond: count / seconds, perCpuSecond: count * 1e6 / (used.user + used.system) };
}

function latencies(name, times) {
  results[name] = { perSecond: times.length * 1e3 / times.reduce((sum, time) => sum + time, 0), p50us: quantile(times, 0.5) * 1e3, p99us: quantile(times, 0.99) * 1e3 };
}

/** Bytes handed to write calls so far. */
function written() {
  return Number(/^wchar: (\d+)$/m.exec(readFileSync("/proc/self/io", "latin1"))[1]);
}

/** One sync per put, beside the machine's limit: before each put, a plain append of 140 bytes and a sync. */
async function durable() {
  const folder = fresh("durable"), count = options.durable, keys = makeKeys(count), times = [], floor = [];
  const file = openSync(join(fresh("floor"), "file"), "w"), bytes = Buffer.alloc(140, 1);
  await engine.open(folder, true);
  for (let i = 0; i < count; i++) {
    const began = performance.now();
    writeSync(file, bytes);
    fdatasyncSync(file);
    const at = performance.now();
    floor.push(at - began);
    const done = engine.putDurable(keyAt(keys, i), valueOf(i));
    if (done !== undefined && typeof done === "object") await done;
    times.push(performance.now() - at);
  }
  latencies("syncFloor", floor);
  latencies("durable", times);
  closeSync(file);
  await engine.close();
  await engine.open(folder, true);
  for (let i = 0; i < count; i++) checkWhole(i, engine.get(keyAt(keys, i)), "durable");
  await engine.close();
}

/** Un-awaited durable puts, a thousand in one tick. */
async function group() {
  if (engine.openGroup === undefined) return;
  const folder = fresh("group"), count = Math.max(5, Math.round(options.durable / 50)) * BATCH, keys = makeKeys(count);
  await engine.openGroup(folder);
  await rate("durableGroup", async () => {
    for (let from = 0; from < count; from += BATCH) {
      const puts = [];
      for (let i = from; i < from + BATCH; i++) puts.push(engine.putLater(keyAt(keys, i), valueOf(i)));
      await Promise.all(puts);
    }
    return count;
  });
  for (let i = 0; i < count; i++) checkWhole(i, await engine.getLater(keyAt(keys, i)), "group");
  await engine.closeGroup();
}

async function putAll(name, keys) {
  const before = written();
  await rate(name, async () => {
    for (let from = 0; from < rows; from += BATCH) {
      const done = engine.putBatch(keys, from, Math.min(BATCH, rows - from));
      if (done instanceof Promise) await done;
    }
    return rows;
  });
  results[name].bytesPerByte = (written() - before) / (rows * (KEY + VALUE));
}

function gets(keys, count) {
  for (let j = 0; j < count; j++) {
    const row = randomRow(j, rows);
    check(row, engine.get(keyAt(keys, row)), "get");
  }
  return count;
}

async function getMany(keys, count) {
  for (let j = 0; j < count; j += MANY) {
    const wanted = new Array(MANY);
    for (let i = 0; i < MANY; i++) wanted[i] = keyAt(keys, randomRow(j + i, rows));
    let values = engine.getMany(wanted);
    if (values instanceof Promise) values = await values;
    for (let i = 0; i < MANY; i++) check(randomRow(j + i, rows), values[i], "getMany");
  }
  return count;
}

async function scan() {
  let seen = 0, last = -1;
  const done = engine.scan((key, value) => {
    const first = key[0] * 2 ** 24 + (key[1] << 16 | key[2] << 8 | key[3]);
    if (first < last || value.length !== VALUE) throw new Error("scan: out of order, or a wrong value");
    last = first;
    seen++;
  });
  if (done instanceof Promise) await done;
  if (seen !== rows) throw new Error(`scan: ${seen} rows of ${rows}`);
  return seen;
}

async function shortScans(keys, scans) {
  let seen = 0;
  for (let j = 0; j < scans; j++) {
    const from = randomRow(j, rows);
    let count = 0;
    const done = engine.scanFrom(keyAt(keys, from), MANY, (key, value) => {
      if (count++ === 0) check(from, value, "scan of 100");
    });
    if (done instanceof Promise) await done;
    if (count === 0 || count > MANY) throw new Error(`scan of 100: ${count} rows`);
    seen += count;
  }
  return seen;
}

async function loaded() {
  const folder = fresh("random"), keys = makeKeys(rows);
  await engine.open(folder, false);
  await putAll("putRandom", keys);
  for (let i = 0; i < Math.min(rows, WHOLE); i++) checkWhole(i, engine.get(keyAt(keys, i)), "get");
  const count = Math.min(rows, 500000);
  gets(keys, count); // fills the caches
  await rate("get", () => gets(keys, count));
  if (engine.getMany !== undefined) {
    await getMany(keys, 50 * MANY);
    await rate("getMany", () => getMany(keys, count));
  }
  await rate("scan", scan);
  await rate("scan100", () => shortScans(keys, 2000));
  if (engine.details !== undefined) results.details = engine.details();
  await engine.compact();
  gets(keys, count);
  await rate("getCompacted", () => gets(keys, count));
  await engine.close();
  results.fileBytes = folderSize(folder);
  results.liveBytes = rows * (KEY + VALUE);
}

async function sequential() {
  const keys = makeKeys(rows, true);
  await engine.open(fresh("sequential"), false);
  await putAll("putSequential", keys);
  for (let i = 0; i < rows; i += 97) checkWhole(i, engine.get(keyAt(keys, i)), "sequential");
  await engine.close();
}

/** Of the database that an earlier process left: opening, and the first get. */
async function reopen() {
  const folder = join(options.folder, "random"), keys = makeKeys(1), began = performance.now();
  const done = engine.open(folder, false);
  if (done instanceof Promise) await done;
  results.openMs = performance.now() - began;
  checkWhole(0, engine.get(keys), "open");
  results.openAndGetMs = performance.now() - began;
  await engine.close();
}

/** All rows in one transaction. */
async function transaction() {
  const keys = makeKeys(rows), folder = fresh("transaction");
  await engine.open(folder, false);
  await rate("transaction", async () => {
    const done = engine.transaction(keys, rows);
    if (done instanceof Promise) await done;
    return rows;
  });
  for (let i = 0; i < rows; i += 97) checkWhole(i, engine.get(keyAt(keys, i)), "transaction");
  await engine.close();
}

/**
 * Many rows and little memory: puts by tenths, which shows a cliff; then gets of which hardly
 * one is in a cache of the engine's own. (The page cache of the system has them all.)
 */
async function large() {
  const folder = fresh("large"), tenth = rows / 10, tenths = [];
  await engine.open(folder, false);
  const before = written(), cpu = process.cpuUsage();
  let seconds = 0;
  for (let part = 0; part < 10; part++) {
    const keys = makeKeys(tenth, false, part * tenth), began = performance.now();
    for (let from = 0; from < tenth; from += BATCH) {
      const done = engine.putBatch(keys, from, BATCH, part * tenth);
      if (done instanceof Promise) await done;
    }
    tenths.push(tenth * 1e3 / (performance.now() - began));
    seconds += (performance.now() - began) / 1e3;
  }
  const used = process.cpuUsage(cpu);
  results.putLarge = { perSecond: rows / seconds, perCpuSecond: rows * 1e6 / (used.user + used.system), tenths, bytesPerByte: (written() - before) / (rows * (KEY + VALUE)) };
  const count = Math.min(rows, 300000);
  const gets = () => {
    for (let j = 0; j < count; j++) {
      const row = randomRow(j, rows);
      check(row, engine.get(makeKeys(1, false, row)), "get");
    }
    return count;
  };
  gets();
  const reads = engine.details?.().counters.blocksRead;
  await rate("getLarge", gets);
  if (reads !== undefined) results.getLarge.readsPerGet = (engine.details().counters.blocksRead - reads) / count;
  await engine.close();
}

/** Ten thousand membranes, opened by another process than made them. */
async function membranes() {
  const file = join(fresh("membranes"), "db"), { openSync } = await import(options.nacre);
  const db = openSync(file, { durability: "none" });
  for (let i = 0; i < 10000; i++) db.kv(`membrane ${i}`, { key: "integer", value: "bytes" });
  db.close();
}

async function membranesOpen() {
  const file = join(options.folder, "membranes", "db"), { openSync } = await import(options.nacre);
  const began = performance.now(), db = openSync(file);
  db.kv("membrane 9999").put(1, valueOf(1));
  results.membranesOpenMs = performance.now() - began;
  db.close();
}

const verbs = { durable, group, loaded, sequential, reopen, transaction, large, membranes, membranesOpen };
for (const verb of options.verbs) await verbs[verb]();
console.log(JSON.stringify(results));
