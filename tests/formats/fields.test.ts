// Indexed fields in files: every byte by the second reader, and against the rows.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { openSync } from "../../build/js/index.js";
import { readDatabase, readFiles } from "./database.ts";
import { inFolder } from "./lib.ts";

test("f22_b29_indexed_fields_are_as_the_format_pages_say", () => inFolder((folder) => {
  const path = join(folder, "db");
  const db = openSync(path, { durability: "none" });
  const indexed = <T extends string>(type: T) => ({ type, indexed: true } as const);
  const make = (name: string) => db.collection(name, {
    key: "integer", vector: { dimensions: 2 },
    fields: { i: indexed("integer"), t: indexed("text"), plain: "text", r: indexed("real"), b: indexed("boolean"), y: indexed("bytes"), w: indexed("timestamp"), g: indexed("bigint") },
  });
  const [one, two] = [make("one"), make("two")];
  for (let i = 0; i < 3000; i++) {
    (i % 3 ? one : two).put({
      key: i, vector: [i, 1], i: i % 5 ? i % 40 - 20 : null, t: i % 7 ? "w".repeat(i % 70) + i % 3 : "", plain: "x",
      r: [0, -0, 1.5, -1e300, null][i % 5]!, b: i % 11 === 0 ? null : i % 2 === 0, y: Uint8Array.of(i % 256, 0, 1), w: new Date(i), g: BigInt(i) << 40n,
    });
    if (i % 1000 === 500) db.checkpoint();
    if (i > 600 && i % 10 === 0) one.delete(i - 500);
  }
  for (const compacted of [false, true]) {
    if (compacted) db.compact();
    else db.checkpoint();
    const { segments } = readDatabase(readFiles(path));
    const entries = segments.flatMap(({ fields }) => fields);
    assert.ok(entries.length >= (compacted ? 14 : 28), `${entries.length} entries`);
    assert.ok(entries.some(({ pages }) => pages > 1), "pages");
    assert.ok(entries.some(({ values }) => values.some((value) => value?.length === 65)), "values that were cut");
    assert.equal(compacted ? new Set(entries.flatMap(({ rows }) => rows)).size : 1, compacted ? one.count() + two.count() : 1);
  }
  db.close();
}));
