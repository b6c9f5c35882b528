// Repair in Node: what can be read of damaged files becomes a new database (B23).
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { NacreError, open, repair, repairSync } from "../../build/js/index.js";

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "nacre-repair-"));
  try {
    await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const names = (path: string): string[] => [path, `${path}-wal0`, `${path}-wal1`];
const hash = (path: string): string => createHash("sha256").update(Buffer.concat(names(path).map((name) => readFileSync(name)))).digest("hex");

/** Rows in segments, and one in the log. */
async function made(path: string): Promise<void> {
  const db = await open(path);
  const kv = await db.kv("settings");
  await kv.putMany(Array.from({ length: 2000 }, (_, i): [string, unknown] => [`key-${String(i).padStart(5, "0")}`, { i }]));
  const notes = await db.collection("notes", { key: "integer", vector: { dimensions: 3, metric: "l2" }, fields: { title: "text" } });
  await notes.put(Array.from({ length: 50 }, (_, i) => ({ key: i, vector: [i, 1, 2], title: `t${i}` })));
  await db.compact();
  await kv.put("late", 1);
  await db.close();
}

function damage(path: string, offset: number, size: number): void {
  const bytes = readFileSync(path);
  bytes.fill(0x5a, offset, offset + size);
  writeFileSync(path, bytes);
}

for (const [name, run] of [["repair", repair], ["repairSync", repairSync]] as const) {
  test(`b23: ${name} saves what is whole, and does not touch the damaged files`, () => inFolder(async (folder) => {
    const path = join(folder, "damaged");
    mkdirSync(join(folder, "other"));
    const to = join(folder, "other", "new");
    await made(path);
    damage(path, 0, 8192); // both superblocks
    const before = hash(path);
    await assert.rejects(open(path), { code: "CORRUPT" });
    const report = await run(path, to);
    assert.equal(report.rows, 2051);
    assert.equal(report.membranes, 2);
    assert.deepEqual([report.losses, report.damages > 0], [0, true]);
    assert.equal(report.findings.length, report.losses + report.doubts + report.damages);
    assert.equal(hash(path), before);
    const db = await open(to, { mode: "existing" });
    assert.deepEqual(await (await db.kv("settings")).get("key-00007"), { i: 7 });
    assert.equal(await (await db.kv("settings")).get("late"), 1);
    assert.equal((await (await db.collection("notes")).search([7, 1, 2], { k: 1 }))[0]?.key, 7);
    assert.deepEqual(await db.verify({ deep: true }), { ok: true, problems: [] });
    await db.close();
  }));
}

test("b23: what is lost is told by ranges of keys", () => inFolder(async (folder) => {
  const path = join(folder, "damaged");
  await made(path);
  const whole = readFileSync(path);
  const places: number[] = []; // one that lives, and perhaps others in free extents
  for (let at = -1; (at = whole.indexOf("{\"i\":1000}", at + 1)) >= 0;) places.push(at);
  assert.ok(places.length > 0);
  for (const at of places) damage(path, at, 4);
  const report = await repair(path, join(folder, "new"));
  assert.ok(report.rows < 2051 && report.rows > 1700 && !report.ok, JSON.stringify(report));
  const loss = report.findings.find((finding) => finding.kind === "loss");
  assert.equal(loss?.membrane, "settings");
  assert.ok(loss.from! <= "\"key-01000\"" && loss.to! >= "\"key-01000\"", `${loss.from} to ${loss.to}`);
  assert.equal(report.losses, 1);
}));

test("b23: repair refuses what it must", () => inFolder(async (folder) => {
  const path = join(folder, "db");
  await made(path);
  const code = (wanted: string) => (error: unknown): boolean => error instanceof NacreError && error.code === wanted;
  await assert.rejects(repair(path, path), code("INVALID_ARGUMENT"));
  await assert.rejects(repair(join(folder, "nothing"), join(folder, "new")), code("NOT_FOUND"));
  await assert.rejects(repair(path, join(folder, "new"), { memory: -1 }), code("INVALID_ARGUMENT"));
  await assert.rejects(repair(path, join(folder, "new"), { mode: "create" } as object), code("INVALID_ARGUMENT"));
  const db = await open(path);
  await assert.rejects(repair(path, join(folder, "new")), code("BUSY"));
  await db.close();
  assert.equal((await repair(path, join(folder, "new"))).ok, true);
  await assert.rejects(repair(path, join(folder, "new")), code("EXISTS"));
  assert.throws(() => repairSync(path, join(folder, "new")), code("EXISTS"));
}));
