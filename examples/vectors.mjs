// A vector collection: records of a key, a vector and fields; filters are data.
import { open } from "nacre";

const db = await open(":memory:"); // gone at close

const photos = await db.collection("photos", {
  key: "integer",
  vector: { dimensions: 2, metric: "l2" },
  fields: { place: { type: "text", indexed: true }, taken: "timestamp", tags: "json" },
});
await photos.putMany({ // by columns: the fastest way in
  keys: [1, 2, 3, 4],
  vectors: new Float32Array([0, 0, 1, 0, 0, 2, 3, 3]),
  fields: {
    place: ["beach", "reef", "beach", null],
    taken: ["2024-05-01", "2025-06-01", "2026-07-01", "2026-08-01"].map((day) => new Date(day)),
    tags: [["sea"], ["sea", "dive"], ["sun"], []],
  },
});

const near = async (where) => (await photos.search([0, 0], { k: 2, where, include: [] })).map(({ key, distance }) => `${key} at ${distance}`);
console.log(await near());
console.log(await near({ place: "beach", taken: { gte: new Date("2025-01-01") } }));
console.log(await near({ or: [{ tags: { contains: "dive" } }, { place: null }] }));
console.log(await near({ not: { key: { in: [1, 2] } } }));

await photos.update(4, { place: "harbour" }); // only what is named
console.log((await photos.get(4)).place, await photos.count({ place: "beach" }));
console.log("removed", await photos.deleteWhere({ taken: { lt: new Date("2025-01-01") } }));
for await (const { key, place } of photos.records({ include: ["place"] })) console.log(key, place);

await db.close();

// Prints:
// [ '1 at 0', '2 at 1' ]
// [ '3 at 2' ]
// [ '2 at 1', '4 at 4.242640495300293' ]
// [ '3 at 2', '4 at 4.242640495300293' ]
// harbour 2
// removed 1
// 2 reef
// 3 beach
// 4 harbour
