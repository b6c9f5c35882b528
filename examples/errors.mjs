// Every failure is a NacreError with a code; its message names the thing.
import { writeFileSync } from "node:fs";
import { NacreError, open } from "nacre";

async function attempt(what) {
  try {
    await what();
  } catch (error) {
    if (!(error instanceof NacreError)) throw error;
    console.log(error.code);
  }
}

await attempt(() => open("nowhere", { mode: "existing" }));
writeFileSync("letter", "Dear reader, this is no database.".repeat(500));
await attempt(() => open("letter")); // and the file is left as it is

const db = await open("db");
const notes = await db.collection("notes", { vector: { dimensions: 2, metric: "l2" }, fields: { year: "integer" } });
await attempt(() => db.kv("notes"));
await attempt(() => db.collection("notes", { vector: { dimensions: 3, metric: "l2" } }));
await attempt(() => notes.put({ key: "a", vector: [1, 2, 3] }));
// @ts-expect-error: TypeScript sees it, too.
await attempt(() => notes.search([1, 2], { where: { yaer: 2026 } })); // never "no match"
await db.close();
await attempt(() => notes.get("a"));

// Prints:
// NOT_FOUND
// CORRUPT
// WRONG_KIND
// SCHEMA_MISMATCH
// INVALID_ARGUMENT
// INVALID_ARGUMENT
// CLOSED
