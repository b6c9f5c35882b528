// Several readers and writers in random turns, judged by the checker of snapshot isolation; and
// the checker judged by histories that are wrong on purpose.
//
//   HISTORIES=n TEST_SEED=n    how many, and other ones
import assert from "node:assert/strict";
import { test } from "node:test";
import { ABSENT, violations } from "./history.ts";
import type { Op, Rule, Transaction } from "./history.ts";
import { seed } from "./lib.ts";
import { record } from "./recorder.ts";

const COUNT = Number(process.env.HISTORIES ?? 200);
const STEPS = 160;

test(`i05 ${COUNT} histories of transactions, plain writes, loads and readers are snapshot isolation (TEST_SEED=${seed})`, async () => {
  const seen = { committed: 0, conflict: 0, "rolled back": 0, open: 0 };
  for (let salt = 0; salt < COUNT; salt++) {
    const history = await record(salt, STEPS);
    const [first] = violations(history);
    assert.equal(first, undefined, `history ${salt}: ${first?.rule}: ${first?.text}\n${printed(history)}`);
    for (const t of history) if (t.name.startsWith("transaction")) seen[t.outcome]++;
  }
  // A history without these would say nothing.
  assert.ok(seen.committed > COUNT && seen.conflict > COUNT / 4 && seen["rolled back"] > COUNT / 4, JSON.stringify(seen));
});

test("i05 the checker refuses every history in which one read or one outcome is another", async () => {
  let changes = 0;
  for (let salt = 0; salt < 10; salt++) {
    const history = await record(salt, STEPS);
    for (const other of changed(history)) {
      assert.notEqual(violations(other.history).length, 0, `history ${salt}: ${other.what} goes unnoticed\n${printed(other.history)}`);
      changes++;
    }
  }
  assert.ok(changes > 1000, `${changes}`);
});

/** Everything that one lie can make of a history: reads of a value before or after, outcomes. */
function* changed(history: readonly Transaction[]): Generator<{ what: string; history: Transaction[] }> {
  const ids = new Map<string, Set<number>>();
  for (const t of history) {
    for (const op of t.ops) {
      if (!("write" in op)) continue;
      if (!ids.has(op.write)) ids.set(op.write, new Set([ABSENT, 1_000_000]));
      ids.get(op.write)?.add(op.id);
    }
  }
  const replaced = (t: Transaction, by: Partial<Transaction>): Transaction[] => history.map((each) => each === t ? { ...t, ...by } : each);
  for (const [index, t] of history.entries()) {
    const writes = t.ops.some((op) => "write" in op) && !t.ops.some((op) => "savepoint" in op);
    if (writes && t.outcome === "committed") yield { what: `${t.name} refused`, history: replaced(t, { outcome: "conflict" }) };
    if (writes && t.outcome === "conflict") yield { what: `${t.name} kept`, history: replaced(t, { outcome: "committed" }) };
    for (const [i, op] of t.ops.entries()) {
      if (!("read" in op) || (index + i) % 7 !== 0) continue; // a seventh of them is many
      for (const saw of ids.get(op.read) ?? []) {
        if (saw !== op.saw) yield { what: `${t.name} reading ${op.read} = ${saw}`, history: replaced(t, { ops: t.ops.with(i, { ...op, saw }) }) };
      }
    }
  }
}

/** T("T1", 1, 4, "r x 0, w x 1"): committed, unless the last argument says otherwise. */
function T(name: string, begin: number, end: number, ops: string, outcome: Transaction["outcome"] = "committed"): Transaction {
  return { name, begin, end, outcome, ops: ops === "" ? [] : ops.split(", ").map(parsed) };
}

function parsed(text: string): Op {
  const [verb, key = "", id] = text.split(" ");
  if (verb === "r") return { read: key, saw: Number(id) };
  if (verb === "w") return { write: key, id: Number(id) };
  return { savepoint: verb as "begin" | "keep" | "undo" };
}

const printed = (history: readonly Transaction[]): string => history.map((t) =>
  `${t.name} [${t.begin}, ${t.end}] ${t.outcome}: ${t.ops.map((op) => Object.values(op).join(" ")).join(", ")}`).join("\n");

const both = T("T0", 1, 2, "w x 1, w y 2");

for (const { name, history } of [
  { name: "nothing", history: [] },
  { name: "own writes, and the last of them", history: [both, T("T1", 3, 4, "r x 1, w x 3, r x 3, w x 4, r x 4, w x 0, r x 0"), T("T2", 5, 6, "r x 0")] },
  { name: "a state that is older than what was committed since", history: [both, T("T1", 3, 8, "r x 1, r y 2, r x 1"), T("T2", 4, 5, "w x 3, w y 4"), T("T3", 6, 7, "r x 3")] },
  { name: "write skew", history: [both, T("T1", 3, 6, "r x 1, r y 2, w x 3"), T("T2", 4, 5, "r x 1, r y 2, w y 4"), T("T3", 7, 8, "r x 3, r y 4")] },
  { name: "a conflict, and what came of it", history: [both, T("T1", 3, 6, "r x 1, w x 3", "conflict"), T("T2", 4, 5, "r x 1, w x 4"), T("T3", 7, 8, "r x 4")] },
  { name: "what was rolled back, or is open still, is seen by itself only", history: [both, T("T1", 3, 4, "w x 3, r x 3", "rolled back"), T("T2", 5, Infinity, "w y 4, r y 4", "open"), T("T3", 6, 7, "r x 1, r y 2")] },
  { name: "savepoints", history: [both, T("T1", 3, 4, "w x 3, begin, w x 4, w y 5, r x 4, undo, r x 3, r y 2, begin, w y 6, keep, r y 6"), T("T2", 5, 6, "r x 3, r y 6")] },
  { name: "an undone write is no conflict", history: [both, T("T1", 3, 6, "begin, w x 3, undo, w y 4"), T("T2", 4, 5, "w x 5")] },
  { name: "a row that was put and deleted again meanwhile", history: [both, T("T1", 3, 8, "r x 1, r z 0, w z 3"), T("T2", 4, 5, "w x 4, w z 5"), T("T3", 6, 7, "w z 0")] },
  { name: "two that delete what was absent", history: [T("T1", 1, 4, "w x 0"), T("T2", 2, 3, "w x 0")] },
  { name: "readers beside a writer", history: [both, T("S", 3, 10, "r x 1, r y 2"), T("T1", 4, 5, "w x 3"), T("T2", 6, 9, "r x 3, r y 2"), T("T3", 7, 8, "w y 4")] },
]) {
  test(`i05 the checker takes: ${name}`, () => assert.deepEqual(violations(history), []));
}

for (const { rule, name, history } of [
  { rule: "G1a", name: "a read of what was rolled back", history: [T("T1", 1, 4, "w x 1", "rolled back"), T("T2", 2, 3, "r x 1")] },
  { rule: "G1a", name: "a read of what was refused", history: [both, T("T1", 3, 6, "w x 3", "conflict"), T("T2", 4, 5, "w x 4"), T("T3", 7, 8, "r x 3")] },
  { rule: "G1a", name: "a read of what is open still", history: [T("T1", 1, Infinity, "w x 1", "open"), T("T2", 2, 3, "r x 1")] },
  { rule: "G1a", name: "a read of what nobody has written", history: [both, T("T1", 3, 4, "r x 7")] },
  { rule: "G1a", name: "a read of another key's value", history: [both, T("T1", 3, 4, "r x 2")] },
  { rule: "G1b", name: "a read of what was undone", history: [T("T1", 1, 2, "w x 1, begin, w x 2, undo"), T("T2", 3, 4, "r x 2")] },
  { rule: "G1b", name: "a read of what was overwritten before the commit", history: [T("T1", 1, 2, "w x 1, w x 2"), T("T2", 3, 4, "r x 1")] },
  { rule: "G1b", name: "a read of what was deleted before the commit", history: [T("T1", 1, 2, "w x 1, w x 0"), T("T2", 3, 4, "r x 1")] },
  { rule: "G1c", name: "two that read each other's writes", history: [T("T1", 1, 3, "w x 1, r y 2"), T("T2", 2, 4, "w y 2, r x 1")] },
  { rule: "G1c", name: "one that overwrites what has read it", history: [T("T1", 1, 3, "w x 1, r y 2"), T("T2", 2, 4, "r z 0, w x 3, w y 2")] },
  { rule: "own writes", name: "its own write missing", history: [both, T("T1", 3, 4, "w x 3, r x 1")] },
  { rule: "own writes", name: "its own deletion missing", history: [both, T("T1", 3, 4, "w x 0, r x 1")] },
  { rule: "own writes", name: "what was kept missing", history: [both, T("T1", 3, 4, "begin, w x 3, keep, r x 1")] },
  { rule: "snapshot", name: "its own write after it was undone", history: [both, T("T1", 3, 4, "begin, w x 3, undo, r x 3", "rolled back")] },
  { rule: "snapshot", name: "a read of the state before the last commit", history: [both, T("T1", 3, 4, "w x 3"), T("T2", 5, 6, "r x 1")] },
  { rule: "snapshot", name: "a read of what was committed after the beginning", history: [both, T("T1", 3, 6, "r x 3"), T("T2", 4, 5, "w x 3")] },
  { rule: "snapshot", name: "two states in one transaction", history: [both, T("T1", 3, 6, "r x 1, r x 3"), T("T2", 4, 5, "w x 3")] },
  { rule: "snapshot", name: "a row that is missing", history: [both, T("T1", 3, 4, "r y 2, r x 0")] },
  { rule: "snapshot", name: "a row that is back", history: [both, T("T1", 3, 4, "w x 0"), T("T2", 5, 6, "r x 1")] },
  { rule: "snapshot", name: "a reader in what is rolled back afterwards", history: [both, T("T1", 3, 6, "r x 3", "rolled back"), T("T2", 4, 5, "w x 3")] },
  { rule: "fractured read", name: "one row of two that were written together", history: [both, T("T1", 3, 6, "r x 3, r y 2"), T("T2", 4, 5, "w x 3, w y 4")] },
  { rule: "fractured read", name: "a row, and not the deletion beside it", history: [both, T("T1", 3, 4, "w x 3, w y 0"), T("T2", 5, 6, "r x 3, r y 2")] },
  { rule: "lost update", name: "two that add to one row", history: [both, T("T1", 3, 5, "r x 1, w x 3"), T("T2", 4, 6, "r x 1, w x 4")] },
  { rule: "lost update", name: "one that deletes what has changed", history: [both, T("T1", 3, 4, "w x 3"), T("T2", 5, 6, "r x 1, w x 0")] },
  { rule: "first committer wins", name: "two that write one row without reading it", history: [both, T("T1", 3, 5, "w x 3"), T("T2", 4, 6, "w x 4")] },
  { rule: "first committer wins", name: "a plain write in between", history: [both, T("T1", 3, 6, "w x 3"), T("plain", 4, 5, "w x 4")] },
  { rule: "first committer wins", name: "a row that was absent for both", history: [T("T1", 1, 3, "w x 3"), T("T2", 2, 4, "w x 4")] },
  { rule: "false conflict", name: "a conflict without a cause", history: [both, T("T1", 3, 6, "w x 3", "conflict"), T("T2", 4, 5, "w y 4")] },
  { rule: "false conflict", name: "a conflict over what was undone", history: [both, T("T1", 3, 6, "begin, w x 3, undo, w y 4", "conflict"), T("T2", 4, 5, "w x 5")] },
  { rule: "G-single", name: "read skew", history: [both, T("T1", 3, 6, "r x 1, r y 4"), T("T2", 4, 5, "w x 3, w y 4")] },
  { rule: "G-single", name: "a state that went backwards", history: [both, T("T1", 3, 4, "w x 3"), T("T2", 5, 6, "r x 3, w y 4"), T("T3", 7, 8, "r y 4, r x 1")] },
  { rule: "malformed", name: "a number that is written twice", history: [both, T("T1", 3, 4, "w x 1")] },
  { rule: "malformed", name: "stamps that two share", history: [both, T("T1", 2, 4, "")] },
  { rule: "malformed", name: "an end before the beginning", history: [T("T1", 2, 1, "")] },
  { rule: "malformed", name: "an end of a savepoint that has not begun", history: [T("T1", 1, 2, "undo")] },
] satisfies { rule: Rule; name: string; history: Transaction[] }[]) {
  test(`i05 the checker refuses: ${name} (${rule})`, () => {
    const found = violations(history);
    assert.ok(found.some((each) => each.rule === rule), `found: ${JSON.stringify(found)}`);
  });
}
