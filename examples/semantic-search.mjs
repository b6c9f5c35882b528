// Search by meaning: 5 000 real descriptions with their embeddings (data/README.md).
import { open } from "nacre";
import { readPackages, readQueries, readVectors } from "./data/read.mjs";

const packages = readPackages(), vectors = readVectors();
const db = await open("packages");
const collection = await db.collection("packages", {
  vector: { dimensions: 384, metric: "cosine" },
  fields: { title: "text", section: "text", installed_kib: "integer", tags: "json" },
});
await collection.put(packages.map(({ name, title, section, installed_kib, tags }, i) => (
  { key: name, vector: vectors[i], title, section, installed_kib, tags })));

async function ask(question, where) {
  const { vector } = readQueries().find(({ text }) => text === question); // elsewhere: from your model
  const hits = await collection.search(vector, { k: 3, where, include: ["title"] });
  for (const { key, title } of hits) console.log(`${key}: ${title}`);
}

await ask("edit sound recordings");
await ask("edit sound recordings", { tags: { contains: "interface::x11" }, installed_kib: { lt: 1000 } });

await db.close();

// Prints:
// auto-editor: Effort free video editing
// kwave: sound editor for KDE
// mhwaveedit: Simple and fast GTK2 sound editor
// jack-capture: program for recording soundfiles with jack
// timemachine: JACK audio recorder for spontaneous and conservatory use
// wavesurfer: Sound Manipulation Program
