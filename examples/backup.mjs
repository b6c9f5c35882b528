// Backups beside writes, going back to a moment, and a database as one file.
import { createReadStream, createWriteStream, readFileSync } from "node:fs";
import { Writable } from "node:stream";
import { open, restore, verifyBackup } from "nacre";

const db = await open("shop", { changes: { retain: 64 * 2 ** 20 } }); // how much of what is committed an archive can still find
const stock = await db.kv("stock");
await stock.putMany(Array.from({ length: 20_000 }, (_, i) => [`part ${i}`, { left: i % 100 }]));

await db.checkpoint(); // from the log into the file, so that backups have it in common

// A backup is the state of the call that makes it. Writes go on meanwhile.
const file = (name) => Writable.toWeb(createWriteStream(name));
const backingUp = db.backup(file("shop.full"));
await stock.put("part 7", { left: 0 });
const full = await backingUp;

// An incremental backup has only what is new since its base.
const later = await db.backup(file("shop.later"), { base: full.token });
console.log(full.kind, later.kind, later.bytes < full.bytes / 10);

// Everything that is committed from there on, in as many files as you like.
const archive = await db.archive({ since: full.sequence });
await stock.put("part 8", { left: 0 });
const good = Date.now();
while (Date.now() === good); // the next millisecond
await stock.clear(); // oh no
await archive.write(file("shop.log"));
console.log(await stock.count());
await archive.close();
await db.close();

// A new database, as it was at that moment.
const read = (name) => createReadStream(name);
const back = await restore("shop-again", [read("shop.full"), read("shop.later"), read("shop.log")], { time: good });
const again = await back.kv("stock");
console.log(await again.count(), await again.get("part 7"), await again.get("part 8"));

// One file: to be sent, kept, and opened anywhere, in memory too.
const sent = new Response(back.export());
const copy = await open(":memory:", { from: sent });
console.log((await copy.membranes()).map(({ name, rows }) => ({ name, rows })));
await copy.close();
await back.close();

const damaged = readFileSync("shop.full");
damaged[1000] ^= 1;
console.log((await verifyBackup(read("shop.full"))).kind, await verifyBackup(damaged).catch(({ code }) => code));

// Prints:
// full incremental true
// 0
// 20000 { left: 0 } { left: 0 }
// [ { name: 'stock', rows: 20000 } ]
// full CORRUPT
