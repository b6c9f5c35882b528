// Keys and values: ordered by key, read by range.
import { open } from "nacre";

const db = await open("settings");

const settings = await db.kv("settings"); // text keys, JSON values
await settings.put("theme", { dark: true });
await settings.putMany([["user:ada", 36], ["user:grace", 85], ["user:edsger", 72]]);

console.log(await settings.get("theme"), await settings.get("absent"));
console.log(await settings.getMany(["user:ada", "user:nobody"]));
console.log(await settings.count({ prefix: "user:" }), await settings.has("theme"));

for await (const [key, value] of settings.entries({ prefix: "user:", reverse: true, limit: 2 })) {
  console.log(key, value);
}
console.log("removed", await settings.clear({ gte: "user:", lt: "user;" }));

// Keys may have several parts: here events by day, then by number.
const events = await db.kv("events", { key: ["text", "integer"], value: "text" });
await events.putMany([[["monday", 2], "lunch"], [["monday", 10], "tea"], [["tuesday", 1], "rain"]]);
for await (const key of events.keys({ gte: ["monday"], lt: ["tuesday"] })) console.log(key);

await db.close();

// Prints:
// { dark: true } undefined
// [ 36, undefined ]
// 3 true
// user:grace 85
// user:edsger 72
// removed 3
// [ 'monday', 2 ]
// [ 'monday', 10 ]
