import { open } from "nacre";

const db = await open("notes"); // a file, created when it is missing

const notes = await db.collection("notes", {
  vector: { dimensions: 3, metric: "cosine" }, // as many dimensions as your embeddings have
  fields: { title: "text", year: "integer" },
});

await notes.put([ // one atomic batch, synced to disk when it resolves
  { key: "shell", vector: [0.9, 0.1, 0.0], title: "How a shell grows", year: 2024 },
  { key: "pearl", vector: [0.8, 0.3, 0.1], title: "Pearls and their colours", year: 2026 },
  { key: "tides", vector: [0.1, 0.2, 0.9], title: "A table of tides", year: 2026 },
]);

const hits = await notes.search([1, 0, 0], { k: 2, where: { year: { gte: 2025 } } });
for (const { key, distance, title } of hits) console.log(key, distance.toFixed(3), title);

await db.close();

// Prints:
// pearl 0.070 Pearls and their colours
// tides 0.892 A table of tides
