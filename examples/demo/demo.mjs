// `make demo`: 5 000 real texts with their embeddings go into one file through WebAssembly.
// The process that writes them is killed, the file is opened again, nothing acknowledged is
// missing. Then questions are asked in natural language, of the package and of the native
// command. Anything that is not as it should be ends the demo with exit code 1.
//
//     node examples/demo/demo.mjs [FOLDER]      the database is FOLDER/packages
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, rmSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { createInterface } from "node:readline";
import { isDeepStrictEqual } from "node:util";
import { NacreError, open } from "nacre";
import { readQueries } from "../data/read.mjs";
import { BATCH, COLLECTION, readRecords, SCHEMA } from "./packages.mjs";
import { bold, cyan, dim, expect, hit, line, mebibytes, number, progress, progressEnd, proved, red, seconds, step, title, Wrong } from "./say.mjs";

const root = join(import.meta.dirname, "../..");
const command = join(root, "build", "nacre");
const folder = process.argv[2] ?? join(root, "build", "demo");
const path = join(folder, "packages");
const shown = relative(process.cwd(), path) || path;

const QUESTIONS = [
  { ask: "edit sound recordings" },
  { ask: "a lightweight text editor for the terminal" },
  { ask: "synchronise two folders over the network" },
  { ask: "play chess against the computer" },
  { ask: "play chess against the computer", where: { tags: { contains: "interface::text-mode" } } },
  { ask: "edit sound recordings", where: { section: "sound", installed_kib: { lt: 1000 } } },
  { ask: "find memory leaks", where: { section: { in: ["devel", "utils"] } } },
];
const NEAREST = 4;

const began = performance.now();
const parts = []; // [what, milliseconds] for the summary
async function timed(what, run) {
  const start = performance.now();
  const result = await run();
  parts.push([what, performance.now() - start]);
  return result;
}

async function main() {
  const records = readRecords(), queries = readQueries();
  mkdirSync(folder, { recursive: true });
  removeDatabase();

  title(`Nacre: ${number(records.length)} descriptions of Debian packages, searched by meaning`);
  line(dim(`WebAssembly in Node ${process.versions.node}; the database is ${shown}`));

  step(1, "Write, and be killed on the way");
  const acknowledged = await timed("ingest until the kill", () => ingestAndKill(records.length));

  step(2, "Open it again");
  const start = performance.now();
  const db = await open(path, { mode: "existing" });
  const packages = await db.collection(COLLECTION, SCHEMA);
  const openMs = performance.now() - start;
  const { recovery } = await db.stats();
  line(`opened in ${seconds(openMs)}: ${number(recovery.replayedFrames)} commits from the log, ${number(recovery.tornBytes)} bytes of a torn one cut off`);
  await timed("recovery and proof", () => proveAcknowledged(db, packages, records, acknowledged));

  step(3, "Write the rest");
  await timed("rest of the ingest", () => finish(db, packages, records));

  step(4, "Compare every search with the true answers");
  await timed("comparison with the truth", () => compareWithTruth(packages, records, queries));

  step(5, "Ask");
  const answers = await timed("questions", () => answer(packages, records, queries));
  await db.close();

  step(6, "Open the same file with the native command");
  await timed("native command", () => compareWithNative(answers));

  step(7, "Done");
  parts.push(["altogether", performance.now() - began]);
  for (const [what, ms] of parts) line(`${what.padEnd(28)} ${(ms / 1000).toFixed(2).padStart(6)} s`);
  line(`${shown}: ${mebibytes(statSync(path).size)} for ${number(records.length)} records with their texts and vectors`);
  line();
  line(`It is still there. Try:  ${cyan(`build/nacre search ${shown} ${COLLECTION} --like gnuchess --k 5`)}`);
}

function removeDatabase() {
  for (const ending of ["", "-wal0", "-wal1"]) rmSync(path + ending, { force: true }); // a lock stays: of a killed process, it is taken over
}

// ---- 1. A child process writes; it is killed with SIGKILL between a fifth and three fifths ----

async function ingestAndKill(total) {
  line(`a child process puts batches of ${BATCH} records; each is synced before it is acknowledged`);
  for (let part = 0.2 + 0.4 * Math.random(); ; part /= 4) {
    const { acknowledged, how } = await writeUntil(BATCH * Math.round((part * total) / BATCH), total);
    if (how === "SIGKILL") {
      line(`${bold("kill -9")} after ${number(acknowledged)} acknowledged records`);
      return acknowledged;
    }
    expect(how === 0 && part > 0.001, `the child process ended with ${how} after ${acknowledged} records`);
    line(dim("it was done before the kill reached it; once more, with an earlier kill"));
    removeDatabase();
  }
}

/** Runs the child and kills it once it has acknowledged `killAt` records. */
async function writeUntil(killAt, total) {
  const child = spawn(process.execPath, [join(import.meta.dirname, "ingest.mjs"), path], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.on("exit", (code, signal) => resolve(signal ?? code)));
  let acknowledged = 0;
  for await (const text of createInterface({ input: child.stdout })) { // also what the pipe still holds after the kill
    acknowledged = Number(text);
    if (acknowledged >= killAt) child.kill("SIGKILL");
    progress(acknowledged, total, "acknowledged");
  }
  progressEnd();
  return { acknowledged, how: await ended };
}

// ---- 2. What was acknowledged is there ----

const same = (stored, record) => stored !== undefined && isDeepStrictEqual(stored, record);

async function proveAcknowledged(db, packages, records, acknowledged) {
  const { ok, problems } = await db.verify({ deep: true });
  expect(ok, `verify found ${problems.length} problems, the first in ${problems[0]?.where}: ${problems[0]?.what}`);
  proved("verify, every byte: clean");
  for (const record of records.slice(0, acknowledged)) {
    expect(same(await packages.get(record.key), record), `${record.key} was acknowledged, but is missing or differs`);
  }
  proved(`${number(acknowledged)} of ${number(acknowledged)} acknowledged records are there, texts and vectors bit for bit`);
  // The batch that was under way may have reached the disk unacknowledged: whole, or not at all.
  const found = await packages.count(), more = found - acknowledged;
  expect(more === 0 || more === BATCH, `${found} records: ${more} more than were acknowledged is no whole batch`);
  for (const record of records.slice(acknowledged, found)) {
    expect(same(await packages.get(record.key), record), `${record.key} was written before the kill, but differs`);
  }
  proved(more === 0 ? "nothing else is: the batch under way left no trace"
    : `and the batch under way at the kill, whole: ${BATCH} more`);
}

// ---- 3. The rest ----

async function finish(db, packages, records) {
  const have = await packages.count(), start = performance.now();
  for (let at = have; at < records.length; at += BATCH) {
    await packages.put(records.slice(at, at + BATCH));
    progress(at + BATCH, records.length, "acknowledged");
  }
  progressEnd();
  const ms = performance.now() - start, rest = records.length - have;
  expect((await packages.count()) === records.length, `${await packages.count()} records instead of ${records.length}`);
  line(`${number(rest)} records in ${seconds(ms)}, ${number(Math.round(rest / (ms / 1000)))} a second, each batch synced`);
  await db.checkpoint(); // from the log into the file
  const { ok, problems } = await db.verify({ deep: true });
  expect(ok, `verify after the ingest: ${problems[0]?.where}: ${problems[0]?.what}`);
  proved(`${number(records.length)} records, verify: clean`);
}

// ---- 4. Search is exact ----

/** 1 - cosine, computed here in double precision. */
function cosineDistance(a, b) {
  let dot = 0, aa = 0, bb = 0;
  for (let i = 0; i < a.length; i++) dot += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
  return 1 - dot / Math.sqrt(aa * bb);
}

const TOLERANCE = 1e-6; // distances are given back as 32-bit floats

async function compareWithTruth(packages, records, queries) {
  const times = [];
  let worst = 0;
  for (const { text, vector, nearest } of queries) {
    const start = performance.now();
    const hits = await packages.search(vector, { k: nearest.length, recall: "exact", include: [] });
    times.push(performance.now() - start);
    expect(hits.length === nearest.length, `"${text}": ${hits.length} hits instead of ${nearest.length}`);
    nearest.forEach((row, i) => { // distances, not rows: there are ties
      const off = Math.abs(hits[i].distance - cosineDistance(vector, records[row].vector));
      worst = Math.max(worst, off);
      expect(off < TOLERANCE, `"${text}": hit ${i + 1}, ${hits[i].key}, is off the truth (${records[row].key}) by ${off}`);
    });
  }
  times.sort((a, b) => a - b);
  proved(`${queries.length} questions, ${number(queries.length * 10)} nearest neighbours: all as in the stored truth`);
  line(`largest difference of a distance ${worst.toExponential(0)}; median time of a search ${seconds(times[times.length >> 1])}`);
}

// ---- 5. Questions ----

/** The filters of QUESTIONS, in plain JavaScript: what the answers are checked against. */
function matches(record, where = {}) {
  return Object.entries(where).every(([field, test]) => {
    const value = record[field];
    if (typeof test !== "object") return value === test;
    if (test.contains !== undefined) return value.includes(test.contains);
    if (test.in !== undefined) return test.in.includes(value);
    return value < test.lt;
  });
}

async function answer(packages, records, queries) {
  const answers = [];
  for (const { ask, where } of QUESTIONS) {
    const { vector } = queries.find(({ text }) => text === ask);
    const hits = await packages.search(vector, { k: NEAREST, where, include: ["title"] });
    line(`${cyan(`“${ask}”`)}${where === undefined ? "" : `  where ${JSON.stringify(where).replace(/"(\w+)":/g, "$1: ")}`}`);
    hits.forEach(hit);
    const truth = records.filter((record) => matches(record, where))
      .map((record) => cosineDistance(vector, record.vector)).sort((a, b) => a - b).slice(0, NEAREST);
    expect(hits.length === truth.length && hits.every(({ distance }, i) => Math.abs(distance - truth[i]) < TOLERANCE),
      `"${ask}" ${JSON.stringify(where)}: a scan in JavaScript finds other neighbours`);
    answers.push({ ask, where, vector, hits });
  }
  proved("with and without filters the same as a scan in plain JavaScript");
  return answers;
}

// ---- 6. The native command reads the same file ----

const native = (...args) => execFileSync(command, args, { encoding: "utf8", maxBuffer: 1 << 26 });

async function compareWithNative(answers) {
  expect(existsSync(command), `${command} is not there: make command builds it`);
  let hits = 0;
  for (const { ask, where, vector, hits: ours } of answers) {
    const filter = where === undefined ? [] : ["--where", JSON.stringify(where)];
    const theirs = native("search", path, COLLECTION, "--vector", JSON.stringify(Array.from(vector)), "--k", String(NEAREST), ...filter, "--json")
      .trimEnd().split("\n").map((text) => JSON.parse(text));
    expect(theirs.length === ours.length, `native, "${ask}": ${theirs.length} hits instead of ${ours.length}`);
    theirs.forEach(({ key, distance, title }, i) => {
      const mine = ours[i];
      expect(key === mine.key && Math.fround(distance) === mine.distance && title === mine.title,
        `native, "${ask}": hit ${i + 1} is ${key} at ${distance}, in WebAssembly ${mine.key} at ${mine.distance}`);
    });
    hits += theirs.length;
  }
  proved(`build/nacre search: ${answers.length} questions, ${hits} hits, the same keys and the same distances to the last bit`);
  native("verify", path, "--deep");
  proved("build/nacre verify --deep: clean");
}

try {
  await main();
} catch (error) {
  progressEnd();
  const expected = error instanceof Wrong || error instanceof NacreError;
  const what = error instanceof NacreError ? `${error.code}: ${error.message}` : expected ? error.message : error.stack;
  console.error(`\n${red("The demo failed:")} ${what}`);
  process.exitCode = 1;
}
