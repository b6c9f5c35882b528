// The codes of vectors in files of collections that are large enough to have them: every byte by
// the second reader, of one list and of many, of each element.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { openSync } from "../../build/js/index.js";
import { readDatabase, readFiles } from "./database.ts";
import { inFolder } from "./lib.ts";

/** Numbers from -1 to 1 that look random; the same ones each time. */
function numbers(): () => number {
  let state = 12345;
  return () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return state / 0x40000000 - 1;
  };
}

for (const [element, rows, lists] of [["f32", 1500, 1], ["f16", 1500, 1], ["i8", 1500, 1], ["i8", 20500, 16]] as const) {
  test(`f12_b29_codes_of_${rows}_vectors_of_${element}_are_as_the_format_pages_say`, () => inFolder((folder) => {
    const path = join(folder, "db"), dimensions = 32, next = numbers();
    const db = openSync(path, { durability: "none", memory: 128 * 2 ** 20 });
    const collection = db.collection("vectors", { key: "integer", vector: { dimensions, metric: "l2", element } });
    for (let first = 0; first < rows; first += 500) {
      collection.put(Array.from({ length: 500 }, (_, i) => ({
        key: first + i, vector: Array.from({ length: dimensions }, () => element === "i8" ? Math.round(next() * 100) : next()),
      })));
    }
    db.compact();
    db.close();
    const { segments } = readDatabase(readFiles(path));
    const facts = segments.map(({ codes }) => codes);
    assert.equal(facts.reduce((sum, { slots }) => sum + slots, 0), rows);
    assert.ok(facts.some((each) => each.lists >= lists), `${facts.map((each) => each.lists)} lists`);
  }));
}
