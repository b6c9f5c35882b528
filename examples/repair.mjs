// A damaged database: what is wrong with it, and a new one of all that is whole.
import { readFileSync, writeFileSync } from "node:fs";
import { open, repair } from "nacre";

const db = await open("shop");
await (await db.kv("stock")).putMany(Array.from({ length: 1000 }, (_, i) => [`item ${i}`, { count: i }]));
await db.checkpoint(); // from the log into the file
await db.close();

const bytes = readFileSync("shop"); // a bad day: both superblocks are gone
writeFileSync("shop", bytes.fill(0, 0, 8192));
await open("shop").catch(({ code }) => console.log(code));

const report = await repair("shop", "shop.repaired"); // reads the one, writes the other
console.log(report.rows, "rows,", report.losses, "losses");
for (const { kind, where, offset, what } of report.findings) if (kind === "damage") console.log(where.split("/").at(-1), offset, what);

const repaired = await open("shop.repaired");
console.log(await (await repaired.kv("stock")).get("item 7"));
await repaired.close();

// Prints:
// CORRUPT
// 1000 rows, 0 losses
// shop 0 a superblock is missing
// shop 4096 a superblock is missing
// { count: 7 }
