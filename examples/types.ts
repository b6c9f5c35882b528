// In TypeScript a membrane knows its values.
import { open } from "nacre";
import type { Where } from "nacre";

interface Note {
  title: string;
  year: number;
}

const db = await open(":memory:");
const notes = await db.collection<Note, string>("notes", {
  vector: { dimensions: 2, metric: "ip" },
  fields: { title: "text", year: "integer" },
});
await notes.put({ key: "a", vector: [1, 2], title: "Typed", year: 2026 });

const recent: Where<Note> = { year: { gte: 2020 } };
const [hit] = await notes.search([1, 1], { k: 1, where: recent });
const title: string | null | undefined = hit?.title;
console.log(title, hit?.distance);

const ages = await db.kv<number, string>("ages");
await ages.put("ada", 36);
console.log(((await ages.get("ada")) ?? 0) + 1);
await db.close();

// Prints:
// Typed -3
// 37
