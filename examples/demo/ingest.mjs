// The child process: puts the packages into the database in batches, and prints how many
// records are acknowledged. It is killed somewhere on the way.
import { writeSync } from "node:fs";
import { open } from "nacre";
import { BATCH, COLLECTION, readRecords, SCHEMA } from "./packages.mjs";

const records = readRecords();
const db = await open(process.argv[2], { durability: "strict" });
const packages = await db.collection(COLLECTION, SCHEMA);
for (let at = 0; at < records.length; at += BATCH) {
  await packages.put(records.slice(at, at + BATCH)); // resolves when the batch is synced
  writeSync(1, `${at + BATCH}\n`);
}
await db.close();
