// An abstract-level database in a Nacre file: what is written against Level runs on it.
import { NacreLevel } from "nacre/level";

const db = new NacreLevel("library");
const books = db.sublevel("books");
await books.batch([
  { type: "put", key: "shells", value: "How a shell grows" },
  { type: "put", key: "tides", value: "A table of tides" },
]);
await db.put("opened", "today");

const before = db.snapshot();
await books.del("tides");
for await (const [key, title] of books.iterator({ snapshot: before, reverse: true })) console.log(key, title);
await before.close();

console.log(await books.has("tides"), await db.get("opened"), db.getSync("closed"));
await db.close();

// Prints:
// tides A table of tides
// shells How a shell grows
// false today undefined
