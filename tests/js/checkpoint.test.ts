// B17: checkpoints by time, made by the following calls or by the host's own timer.
import assert from "node:assert/strict";
import { test } from "node:test";
import { openSync } from "../../build/js/index.js";
import { faces, freshName, refuses } from "./lib.ts";

for (const face of faces) {
  test(`b17: checkpointMs empties the log by itself, ${face.name}`, async () => {
    const name = freshName();
    const db = await face.open(name, { checkpointMs: 30, durability: "none" });
    const kv = await db.kv("a");
    for (let i = 0; i < 300; i++) await kv.put(`k${i}`, "x".repeat(500));
    // However long it takes here: nothing but the timer works on it.
    for (let i = 0; (await db.stats()).file.log > 0 && i < 2000; i++) await new Promise((resolve) => setTimeout(resolve, 10));
    const { file, counters } = await db.stats();
    assert.equal(file.log, 0);
    assert.ok((counters.checkpoints ?? 0) >= 1);
    assert.equal(await kv.count(), 300);
    await db.close();
    const again = openSync(name);
    assert.equal(again.kv("a").count(), 300);
    again.close();
  });
}

test("b17: without checkpointMs rows stay in the log until there are enough of them", async () => {
  const db = openSync(freshName());
  db.kv("a").put("k", 1);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.ok(db.stats().file.log > 0);
  assert.equal(db.stats().counters.checkpoints, 0);
  db.close();
});

for (const checkpointMs of [0, -1, 1.5, 86_400_001, "1", null, NaN]) {
  test(`b17: checkpointMs ${String(checkpointMs)} is refused`, async () => {
    await refuses("INVALID_ARGUMENT", () => openSync(freshName(), { checkpointMs: checkpointMs as never }), /checkpointMs/);
  });
}
