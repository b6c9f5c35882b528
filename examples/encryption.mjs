// An encrypted database, and another key for it.
import { randomBytes } from "node:crypto";
import { open } from "nacre";

// 32 random bytes, kept somewhere else than the files. Whoever loses them has lost the database.
const key = randomBytes(32);
const db = await open("diary", { encryption: { key } });
await (await db.kv("entries")).put("today", "Nobody reads this.");

// Another key from now on. What is stored is not encrypted anew: only the key to it is.
const next = randomBytes(32);
await db.rekey(next);
await db.close();

for (const tried of [undefined, { key }, { key: next }]) {
  try {
    const again = await open("diary", { encryption: tried });
    console.log(await (await again.kv("entries")).get("today"));
    await again.close();
  } catch (error) {
    console.log(error.code);
  }
}
// Prints:
// PERMISSION
// PERMISSION
// Nobody reads this.
