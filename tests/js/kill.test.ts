// B11 through the package: Node processes that write are killed at any moment, again and
// again; what they had acknowledged is there, whole, and nothing else. KILL_ROUNDS=n kills more often.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { openSync } from "../../build/js/index.js";
import { BUILD, freshName, random, seed } from "./lib.ts";

const LANES = 4;
const ROUNDS = Number(process.env.KILL_ROUNDS ?? 60);

// Batch number i puts row i into both membranes, and deletes row i - 40 from the first one.
const writer = `
  import { writeSync } from "node:fs";
  import { openSync } from ${JSON.stringify(new URL("index.js", BUILD).href)};
  const db = openSync(process.argv[1], { memory: 8 << 20 });
  const rows = db.kv("rows"), notes = db.collection("notes", { vector: { dimensions: 4 }, fields: { n: "integer" } });
  for (let i = notes.count();; i++) {
    const batch = db.batch();
    batch.put(rows, "k" + i, { i, text: "x".repeat((i * 97) % 3000) });
    batch.put(notes, { key: "k" + i, vector: [i, 1, 2, 3], n: i });
    if (i >= 40) batch.delete(rows, "k" + (i - 40));
    batch.commit();
    writeSync(1, i + "\\n");
    if (i % 50 === 49) db.checkpoint();
    if (i % 170 === 169) db.compact();
  }
`;

/** Runs a writer until it has said something (or, now and then, only a moment), then kills it. */
async function killed(name: string, next: () => number): Promise<number | undefined> {
  const child = spawn(process.execPath, ["--input-type=module", "--no-warnings", "-e", writer, name], { stdio: ["ignore", "pipe", "inherit"] });
  let out = "";
  const early = next() < 0.15;
  const kill = (ms: number): void => void setTimeout(() => child.kill("SIGKILL"), ms);
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    if (out === "" && !early) kill(next() * 60);
    out += text;
  });
  if (early) kill(40 + next() * 120);
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => child.on("close", (c, s) => resolve([c, s])));
  assert.equal(signal, "SIGKILL", `the writer ended by itself: ${code}`);
  const whole = out.slice(0, out.lastIndexOf("\n") + 1).trimEnd();
  return whole === "" ? undefined : Number(whole.slice(whole.lastIndexOf("\n") + 1));
}

/** Opens what a killed writer left and checks every row; answers how many batches there are. */
function check(name: string, least: number, most: number): number {
  const db = openSync(name);
  try {
    const rows = db.kv<{ i: number; text: string }>("rows");
    const notes = db.collection<{ n: number }>("notes", { vector: { dimensions: 4 }, fields: { n: "integer" } });
    const count = notes.count();
    assert.ok(count >= least && count <= most, `${count} batches; acknowledged ${least}`);
    const first = Math.max(0, count - 40);
    assert.equal(rows.count(), count - first);
    for (let i = first; i < count; i++) assert.deepEqual(rows.get(`k${i}`), { i, text: "x".repeat((i * 97) % 3000) });
    for (let i = 0; i < count; i += 1 + Math.floor(count / 20)) assert.equal(notes.get(`k${i}`)?.n, i);
    assert.deepEqual(db.verify({ deep: true }).problems, []);
    return count;
  } finally {
    db.close();
  }
}

test(`what was acknowledged survives ${ROUNDS} kills`, async (t) => {
  let acknowledged = 0, underWay = 0;
  await Promise.all(Array.from({ length: LANES }, async (_, lane) => {
    const name = freshName(), next = random(900 + lane);
    let count = 0;
    for (let round = 0; round < ROUNDS / LANES; round++) {
      const last = await killed(name, next);
      const least = last === undefined ? count : last + 1;
      const before = count;
      count = check(name, least, least + 1); // at most the one under way besides
      acknowledged += count - before;
      underWay += count - least;
    }
  }));
  t.diagnostic(`seed ${seed}: ${acknowledged} batches, ${underWay} of them under way when killed`);
  assert.ok(acknowledged > ROUNDS / 2);
});
