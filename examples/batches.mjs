// Batches: all or nothing, over any number of membranes. Snapshots: one frozen state.
import { open } from "nacre";

const db = await open("bank");
const accounts = await db.kv("accounts");
const journal = await db.kv("journal", { key: "integer" });
await accounts.putMany([["ada", 100], ["grace", 20]]);

const before = await db.snapshot();

const batch = db.batch();
batch.put(accounts, "ada", 70).put(accounts, "grace", 50);
batch.put(journal, 1, { from: "ada", to: "grace", amount: 30 });
await batch.commit(); // after a crash either all three are there or none

console.log("now", await accounts.getMany(["ada", "grace"]), await journal.count());
const then = await before.kv("accounts");
console.log("before", await then.getMany(["ada", "grace"]));
await before.release();

// What cannot be kept is refused at the call, and the rest of the batch stays as it was.
const another = db.batch();
another.put(accounts, "ada", 0);
try {
  another.put(accounts, "grace", NaN);
} catch (error) {
  console.log(error.code);
}
// `another` is never committed: nothing has changed.
console.log("now", await accounts.get("ada"));

await db.close();

// Prints:
// now [ 70, 50 ] 1
// before [ 100, 20 ]
// INVALID_ARGUMENT
// now 70
