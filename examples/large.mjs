// Many rows at once, and values too large to hold: past the log, straight into the file.
import { createReadStream, writeFileSync } from "node:fs";
import { open } from "nacre";

const db = await open("archive");

// A bulk load takes rows in the order of their keys, from any iterable or async iterable.
// They appear all at once when the last one was read, or not at all.
const measurements = await db.kv("measurements", { key: "integer" });
const loaded = await measurements.bulkLoad(function* () {
  for (let hour = 0; hour < 100_000; hour++) yield [hour, { temperature: Math.round(15 + 10 * Math.sin(hour / 3820)) }];
}());
console.log(loaded, await measurements.get(77_777), await measurements.count());

try {
  await measurements.bulkLoad([[1, {}], [3, {}], [2, {}]]);
} catch (error) {
  console.log(error.code, error.message);
}

// A value as a stream: up to 4 GiB, in pieces of 256 KiB.
const files = await db.kv("files", { value: "bytes" });
writeFileSync("film", new Uint8Array(3_000_000).fill(7));
await files.putStream("film", createReadStream("film"));

let bytes = 0;
for await (const piece of await files.getStream("film")) bytes += piece.length;
const part = new Response(await files.getStream("film", { start: 1_000_000, end: 1_000_004 }));
console.log(bytes, new Uint8Array(await part.arrayBuffer()), await files.getStream("absent"));

await db.close();

// Prints:
// 100000 { temperature: 25 } 100000
// INVALID_ARGUMENT measurements: bulk load: key 2 of row 2 is not above the one before it
// 3000000 Uint8Array(4) [ 7, 7, 7, 7 ] undefined
