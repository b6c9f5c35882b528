// Transactions: reads and writes that belong together, all or nothing.
import { open } from "nacre";

const db = await open("bank");
const accounts = await db.kv("accounts");
await accounts.putMany([["ada", 100], ["grace", 20], ["edsger", 0]]);

/** Moves money, and says who has how much then. What it throws undoes it. */
async function transfer(from, to, amount) {
  return db.transaction(async (tx) => {
    const accounts = await tx.kv("accounts"); // the same rows, as this transaction sees them
    const [paying = 0, paid = 0] = await accounts.getMany([from, to]);
    await accounts.putMany([[from, paying - amount], [to, paid + amount]]);
    if (await accounts.get(from) < 0) throw new Error(`${from} has only ${paying}`);
    const journal = await tx.kv("journal", { key: "integer" });
    await journal.put(await journal.count() + 1, { from, to, amount });
    return accounts.getMany([from, to]);
  });
}

console.log(await transfer("ada", "grace", 30));
try {
  await transfer("grace", "ada", 500);
} catch (error) {
  console.log(error.message, await accounts.getMany(["ada", "grace"]));
}

// Nested: a savepoint. What the inner body throws undoes only what was written in it.
await db.transaction(async (tx) => {
  const accounts = await tx.kv("accounts");
  await accounts.put("barbara", 5);
  const inner = tx.transaction(async () => {
    await accounts.clear();
    throw new Error("rather not");
  });
  await inner.catch((error) => console.log(error.message));
});
console.log(await accounts.count());

// Who commits first wins: the other gets CONFLICT, and may be run again.
let runs = 0;
await db.transaction(async (tx) => {
  const inside = await tx.kv("accounts");
  const money = await inside.get("edsger");
  if (runs++ === 0) await accounts.put("edsger", 7); // somebody else, meanwhile
  await inside.put("edsger", money + 1);
}, { retries: 3 });
console.log("runs", runs, "edsger", await accounts.get("edsger"));

await db.close();

// Prints:
// [ 70, 50 ]
// grace has only 50 [ 70, 50 ]
// rather not
// 4
// runs 2 edsger 8
