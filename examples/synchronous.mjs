// The same names, returned instead of promised: in Node, for scripts and tools.
import { openSync } from "nacre";

const db = openSync("counters");
const counters = db.kv("counters");
for (const word of "to be or not to be".split(" ")) counters.put(word, (counters.get(word) ?? 0) + 1);
console.log(Object.fromEntries(counters.entries()));
db.close();

// Prints:
// { be: 2, not: 1, or: 1, to: 2 }
