// A view of a key-value membrane that keeps itself up to date, and goes on after a restart.
import { open } from "nacre";

const db = await open("orders", { changes: { retain: 16 * 2 ** 20 } });
const orders = await db.kv("orders");
await orders.putMany([["a", { state: "new" }], ["b", { state: "new" }]]);

// What is there, and then each change from that state on.
const view = new Map();
let since;
{
  const snapshot = await db.snapshot();
  for await (const [key, value] of (await snapshot.kv("orders")).entries()) view.set(key, value);
  since = snapshot.sequence;
  await snapshot.release();
}

function apply(change) {
  if (change.name === "orders" && change.type === "put") view.set(change.key, change.value);
  if (change.name === "orders" && change.type === "delete") view.delete(change.key);
  since = change.sequence;
}

const stop = new AbortController();
const following = (async () => {
  for await (const change of db.changes({ since, live: true, signal: stop.signal })) {
    apply(change);
    if ("key" in change) console.log(change.type, change.key, view.size);
  }
})();

await orders.put("a", { state: "sent" });
await db.batch().put(orders, "c", { state: "new" }).delete(orders, "b").commit();

await new Promise((resolve) => setTimeout(resolve, 20));
stop.abort();
await following.catch((error) => console.log(error.code));

// While nobody looks, more happens. What is kept tells it: `since` is all one has to remember.
await orders.delete("c");
await db.checkpoint();
await db.close();

const again = await open("orders", { changes: { retain: 16 * 2 ** 20 } });
for await (const change of again.changes({ since })) apply(change);
console.log(Object.fromEntries(view));
await again.close();

// Prints:
// put a 2
// put c 3
// delete b 2
// ABORTED
// { a: { state: 'sent' } }
