// What is in a database, how large it is, and how space comes back.
import { open } from "nacre";

const db = await open("db");
const lines = await db.kv("lines", { key: "integer", value: "text" });
await lines.putMany(Array.from({ length: 20000 }, (_, i) => [i, `line ${i} `.repeat(20)]));
await db.checkpoint(); // from the log into the file
await lines.clear({ gte: 1000 });

console.log((await db.membranes()).map(({ name, kind, rows }) => ({ name, kind, rows })));

const { before, after } = await db.compact(); // rewrites what is live, gives the rest back
console.log("smaller:", after < before / 4);

const { sequence, file, memory } = await db.stats();
console.log(typeof sequence, file.size === after, memory.total <= memory.budget);

await db.rename("lines", "verses");
await db.drop("verses");
console.log(await db.membranes());
await db.close();

// Prints:
// [ { name: 'lines', kind: 'kv', rows: 1000 } ]
// smaller: true
// bigint true true
// []
