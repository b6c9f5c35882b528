// Bulk loads and large values, over all four faces.
import assert from "node:assert/strict";
import { createReadStream, statSync, writeFileSync } from "node:fs";
import { join, dirname } from "node:path";
import { describe, test } from "node:test";
import { open } from "../../build/js/index.js";
import type { Collection, Kv } from "../../build/js/index.js";
import { all, faces, freshName, inMemory, refuses } from "./lib.ts";

const PIECE = 256 * 1024;

/** Bytes that follow from where they are. */
function bytesAt(seed: number, from: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i++) bytes[i] = Math.imul((from + i) >>> 2 ^ seed, 0x9e3779b1) >>> ((from + i & 3) * 8);
  return bytes;
}

function* chunks(seed: number, size: number, chunk: number): Generator<Uint8Array> {
  for (let at = 0; at < size; at += chunk) yield bytesAt(seed, at, Math.min(chunk, size - at));
}

/** All that a stream or iterator of either face gives. */
async function gather(stream: ReadableStream<Uint8Array> | Iterable<Uint8Array> | undefined): Promise<Uint8Array | undefined> {
  if (stream === undefined) return undefined;
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return Uint8Array.from(Buffer.concat(parts));
}

for (const face of faces) {
  describe(`bulkLoad, ${face.name}`, () => {
    test("c18: rows in order come in all at once, and are newer than what was there", () => inMemory(face, async (db) => {
      const kv: Kv<number, number> = await db.kv("numbers", { key: "integer" });
      await kv.put(3, -3);
      await kv.put(900_000, 1);
      const before = await db.snapshot();
      const { sequence } = await db.stats();
      const count = await kv.bulkLoad(function* () {
        for (let i = 0; i < 30_000; i++) yield [i, i * 2] as const;
      }());
      assert.equal(count, 30_000);
      assert.equal((await db.stats()).sequence, sequence + 1n);
      assert.equal(await kv.count(), 30_001);
      assert.equal(await kv.get(3), 6);
      assert.equal(await kv.get(29_999), 59_998);
      assert.deepEqual(await all(kv.keys({ gte: 29_998 })), [29_998, 29_999, 900_000]);
      assert.equal(await (await before.kv<number, number>("numbers")).get(3), -3);
      assert.equal(await (await before.kv<number, number>("numbers")).count(), 2);
      await before.release();
      await kv.put(3, 7);
      assert.equal(await kv.get(3), 7);
      assert.equal(await kv.bulkLoad([]), 0);
      assert.equal(await kv.bulkLoad(new Map([[1, 0], [2, 0]])), 2);
    }));

    test("c18: what fails leaves nothing", () => inMemory(face, async (db) => {
      const kv: Kv<string> = await db.kv("texts", { value: "text" });
      await kv.put("k", "old");
      const { sequence } = await db.stats();
      await refuses("INVALID_ARGUMENT", () => kv.bulkLoad([["a", "1"], ["k", "2"], ["c", "3"]]), /texts: bulk load: key "c" of row 2/);
      await refuses("INVALID_ARGUMENT", () => kv.bulkLoad([["a", "1"], ["a", "2"]]), /"a"/);
      await refuses("INVALID_ARGUMENT", () => kv.bulkLoad([["a", "1"], ["b", 2 as never]]), /put "b"/);
      await refuses("INVALID_ARGUMENT", () => kv.bulkLoad([["a"] as never]), /pairs/);
      for (const rows of ["ab", 5, null, {}, undefined]) await refuses("INVALID_ARGUMENT", () => kv.bulkLoad(rows as never), /bulkLoad takes/);
      for (const options of [{ ttlMs: 0 }, { ttl: 1 }, 5, null]) {
        await refuses("INVALID_ARGUMENT", () => kv.bulkLoad([["a", "1"]], options as never), /texts: bulkLoad/);
      }
      await assert.rejects(async () => await kv.bulkLoad(function* () {
        for (let i = 10; i < 99; i++) yield [`a${i}`, "x".repeat(9000)] as const;
        throw new Error("the source failed");
      }()), /the source failed/);
      assert.equal((await db.stats()).sequence, sequence);
      assert.deepEqual(await all(kv.entries()), [["k", "old"]]);
      const snapshot = await db.snapshot();
      await refuses("READONLY", async () => (await snapshot.kv("texts")).bulkLoad([["a", "b"]]));
      await snapshot.release();
    }));

    test("c18: a collection's records can be searched", () => inMemory(face, async (db) => {
      const places: Collection<{ name: string }, string> =
        await db.collection("places", { vector: { dimensions: 2, metric: "l2" }, fields: { name: "text" } });
      await places.put({ key: "00005", vector: [0, 0], name: "old" });
      const count = await places.bulkLoad(Array.from({ length: 5000 }, (_, i) =>
        ({ key: String(i).padStart(5, "0"), vector: [i + 1, 1], name: `n${i}` })));
      assert.equal(count, 5000);
      const hits = await places.search([0, 0], { k: 2 });
      assert.deepEqual(hits.map(({ key, name }) => [key, name]), [["00000", "n0"], ["00001", "n1"]]);
      assert.deepEqual((await places.get("00005"))?.name, "n5");
      await refuses("INVALID_ARGUMENT", () => places.bulkLoad([{ key: "b", vector: [1, 1] }, { key: "a", vector: [1, 1] }]), /"a"/);
      await refuses("INVALID_ARGUMENT", () => places.bulkLoad([{ key: "b", vector: [1] }]), /dimensions/);
    }));
  });

  describe(`streams of bytes, ${face.name}`, () => {
    test("c16: values of every size, whole and in part", () => inMemory(face, async (db) => {
      const files: Kv<Uint8Array> = await db.kv("files", { value: "bytes" });
      for (const size of [0, 1, 5000, PIECE * 4 - 1, PIECE * 4, PIECE * 5 + 77]) {
        await files.putStream("f", chunks(size, size, 70_001));
        assert.deepEqual(await gather(await files.getStream("f")), bytesAt(size, 0, size));
        assert.deepEqual(await files.get("f"), bytesAt(size, 0, size));
        for (const [start, end] of [[0, 10], [size >> 1, undefined], [PIECE - 3, PIECE + 3], [size, size + 5], [size + 5, undefined], [7, 3]] as const) {
          const want = bytesAt(size, 0, size).subarray(start, end ?? Infinity);
          assert.deepEqual(await gather(await files.getStream("f", { start, end })), start > (end ?? size) ? new Uint8Array() : Uint8Array.from(want));
        }
      }
      assert.equal(await files.getStream("absent"), undefined);
      assert.deepEqual(await all(files.keys()), ["f"]);
      assert.equal(await files.count(), 1);
    }));

    test("c16: a stream stays what it was", () => inMemory(face, async (db) => {
      const files: Kv<Uint8Array> = await db.kv("files", { value: "bytes" });
      const size = PIECE * 5 + 3;
      await files.putStream("f", chunks(1, size, PIECE));
      const stream = await files.getStream("f");
      const snapshot = await db.snapshot();
      await files.putStream("f", chunks(2, size, PIECE));
      const second = await files.getStream("f");
      await files.delete("f");
      await db.compact();
      assert.deepEqual(await gather(stream), bytesAt(1, 0, size));
      assert.deepEqual(await gather(second), bytesAt(2, 0, size));
      assert.deepEqual(await gather(await (await snapshot.kv<Uint8Array>("files")).getStream("f")), bytesAt(1, 0, size));
      assert.equal(await files.getStream("f"), undefined);
      await snapshot.release();
      await db.compact();
      assert.ok((await db.stats()).file.size < 2 ** 20);
    }));

    test("c16: what cannot be streamed is refused", () => inMemory(face, async (db) => {
      const files: Kv<Uint8Array> = await db.kv("files", { value: "bytes" });
      const texts = await db.kv("texts", { value: "text" });
      await files.put("f", Uint8Array.of(1));
      await refuses("UNSUPPORTED", () => texts.putStream("f", [Uint8Array.of(1)]), /texts/);
      await refuses("UNSUPPORTED", () => texts.getStream("f"), /texts/);
      for (const source of [Uint8Array.of(1), "text", 5, null, undefined, {}]) {
        await refuses("INVALID_ARGUMENT", () => files.putStream("f", source as never), /putStream takes/);
      }
      await refuses("INVALID_ARGUMENT", () => files.putStream("f", [Uint8Array.of(2), "text" as never]), /chunk/);
      const locked = new ReadableStream<Uint8Array>();
      locked.getReader();
      await refuses("INVALID_ARGUMENT", () => files.putStream("f", locked as never), /files: putStream/);
      await refuses("INVALID_ARGUMENT", () => files.putStream("f", [], { ttl: 5 } as never), /unknown option "ttl"/);
      await refuses("INVALID_ARGUMENT", () => files.putStream("f", [], { ttlMs: 0 }), /ttlMs/);
      await refuses("INVALID_ARGUMENT", () => files.putStream(5 as never, []), /files/);
      for (const range of [{ start: -1 }, { end: 1.5 }, { start: "0" }, { from: 1 }]) {
        await refuses("INVALID_ARGUMENT", () => files.getStream("f", range as never), /getStream/);
      }
      await assert.rejects(async () => await files.putStream("f", function* () {
        yield* chunks(1, PIECE * 6, PIECE);
        throw new Error("the source failed");
      }()), /the source failed/);
      assert.deepEqual(await files.get("f"), Uint8Array.of(1));
      assert.deepEqual(await gather(await files.getStream("f")), Uint8Array.of(1));
    }));
  });
}

test("c18: an async source; other calls go on meanwhile", async () => {
  const db = await open(":memory:");
  const kv: Kv<number, number> = await db.kv("numbers", { key: "integer" });
  const counts: number[] = [];
  const count = await kv.bulkLoad(async function* () {
    for (let i = 0; i < 100; i++) {
      if (i % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      if (i === 50) {
        await kv.put(7, -1);
        await kv.put(200, -1);
        counts.push(await kv.count());
      }
      yield [i, i] as const;
    }
  }());
  assert.deepEqual([count, counts, await kv.count(), await kv.get(7)], [100, [2], 101, 7]);
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  await kv.bulkLoad(function* () { for (let i = 0; i < 200_000; i++) yield [i, i] as const; }());
  clearInterval(timer);
  assert.ok(turns > 2, `${turns} turns of others`);
  const closed = kv.bulkLoad(async function* () {
    yield [1, 1] as const;
    await db.close();
    yield [2, 2] as const;
  }());
  await refuses("CLOSED", () => closed);
});

test("c16: streams of the platform, cancelled, and closed under", async () => {
  const name = freshName();
  const db = await open(name);
  const files: Kv<Uint8Array> = await db.kv("files", { value: "bytes" });
  const size = PIECE * 6 + 1;
  await files.putStream("f", new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of chunks(3, size, 100_000)) controller.enqueue(chunk);
      controller.close();
    },
  }));
  const path = join(dirname(name), "file");
  writeFileSync(path, bytesAt(4, 0, size));
  await files.putStream("g", createReadStream(path));
  const response = new Response(await files.getStream("g") as ReadableStream<Uint8Array>);
  assert.deepEqual(new Uint8Array(await response.arrayBuffer()), bytesAt(4, 0, size));
  const stream = await files.getStream("f") as ReadableStream<Uint8Array>;
  const reader = stream.getReader();
  assert.deepEqual((await reader.read()).value, bytesAt(3, 0, PIECE));
  await reader.cancel();
  await files.delete("f");
  await files.delete("g");
  await db.compact();
  assert.ok(statSync(name).size < 2 ** 20);
  await files.putStream("f", chunks(5, size, PIECE));
  const left = (await files.getStream("f") as ReadableStream<Uint8Array>).getReader();
  await left.read();
  await db.close();
  await refuses("CLOSED", () => left.read());
  const again = await open(name);
  assert.deepEqual(await gather(await (await again.kv<Uint8Array>("files")).getStream("f")), bytesAt(5, 0, size));
  await again.close();
});

test("c16: a value larger than the memory that there is", async () => {
  const name = freshName();
  const db = await open(name, { memory: 16 * 2 ** 20, durability: "relaxed" });
  const files: Kv<Uint8Array> = await db.kv("files", { value: "bytes" });
  const size = 300 * 2 ** 20, chunk = bytesAt(6, 0, 2 ** 20);
  await files.putStream("f", function* () { for (let at = 0; at < size; at += chunk.length) yield chunk; }());
  let at = 0;
  for await (const part of await files.getStream("f") as ReadableStream<Uint8Array>) {
    const from = at % chunk.length;
    assert.ok(Buffer.compare(part, chunk.subarray(from, from + part.length)) === 0);
    at += part.length;
  }
  assert.equal(at, size);
  await refuses("RESOURCE_EXHAUSTED", () => files.get("f"), /"files": a value .*stream/);
  assert.deepEqual(await gather(await files.getStream("f", { start: size - 5 })), chunk.slice(-5));
  assert.ok((await db.stats()).memory.total < 40 * 2 ** 20);
  await db.compact();
  assert.deepEqual(await all(files.keys()), ["f"]);
  assert.deepEqual(await db.verify({ deep: true }), { ok: true, problems: [] });
  await db.close();
});
