// Databases in files: opening, reopening, second handles, durability, and what is refused.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import fs, { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, mock, test } from "node:test";
import { pathToFileURL } from "node:url";
import { open, openSync } from "../../build/js/index.js";
import { all, BUILD, faces, freshName, refuses } from "./lib.ts";

for (const face of faces) {
  describe(`files, ${face.name}`, () => {
    test("what was written is there after reopening, from the log and from segments", async () => {
      const name = freshName();
      for (let round = 0; round < 4; round++) {
        const db = await face.open(name);
        const kv = await db.kv<number>("s"), notes = await db.collection<{ n: number }>("n", { vector: { dimensions: 2 }, fields: { n: "integer" } });
        assert.equal(await kv.count(), 100 * round);
        assert.equal(await notes.count(), round);
        await kv.putMany(Array.from({ length: 100 }, (_, i) => [`${round}.${i}`, i] as const));
        await notes.put({ key: `r${round}`, vector: [round, 1], n: round });
        if (round % 2 === 1) await db.checkpoint();
        await db.close();
      }
      const db = await face.open(name, { mode: "existing" });
      assert.equal((await db.stats()).recovery.fallback, false);
      assert.deepEqual((await (await db.collection("n")).search([3, 1], { k: 1 })), [{ key: "r3", distance: 0, n: 3 }]);
      assert.deepEqual((await db.verify({ deep: true })).problems, []);
      await db.close();
      assert.deepEqual(readdirSync(dirname(name)).sort(), ["db", "db-wal0", "db-wal1"]);
    });

    test("c22: what the file holds is told, in all and of each membrane", async () => {
      const name = freshName(), db = await face.open(name, { durability: "none" });
      const small = await db.kv<string>("small", { key: "integer", value: "text" }), large = await db.kv<Uint8Array>("large", { key: "integer", value: "bytes" });
      for (let round = 0; round < 3; round++) {
        await small.putMany(Array.from({ length: 20000 }, (_, i) => [i, `${round} ${i}`.repeat(5)] as const));
        for (let i = 0; i < 20; i++) await large.put(i, new Uint8Array(200_000).fill(round));
      }
      const before = await db.stats();
      await db.compact();
      const { file } = await db.stats();
      assert.equal(file.size, statSync(name).size);
      assert.equal(file.used + file.free, file.size);
      assert.ok(Math.abs(file.live - before.file.live) < 0.05 * file.live, `live: ${before.file.live}, and after compaction ${file.live}`);
      const bytes = Object.fromEntries((await db.membranes()).map((membrane) => [membrane.name, membrane.bytes]));
      const sum = (bytes["small"] ?? 0) + (bytes["large"] ?? 0);
      assert.ok(Math.abs(sum - file.live) < 0.05 * file.live, `membranes: ${sum}, live: ${file.live}`);
      assert.ok((bytes["large"] ?? 0) > 20 * 200_000 && (bytes["large"] ?? 0) < 1.05 * 20 * 200_000, `large: ${bytes["large"]}`);
      await db.close();
    });

    test("modes", async () => {
      const name = freshName();
      await refuses("NOT_FOUND", () => face.open(name, { mode: "existing" }), /no such database/);
      await refuses("NOT_FOUND", () => face.open(name, { mode: "readonly" }), /no such database/);
      await refuses("NOT_FOUND", () => face.open(join(name, "deeper")));
      assert.deepEqual(readdirSync(dirname(name)), []);
      const db = await face.open(name, { mode: "create" });
      await (await db.kv<number>("s")).put("a", 1);
      await refuses("EXISTS", () => face.open(name, { mode: "create" }));
      await db.close();
      await refuses("EXISTS", () => face.open(name, { mode: "create" }));
      const reader = await face.open(name, { mode: "readonly" });
      const kv = await reader.kv<number>("s");
      assert.equal(await kv.get("a"), 1);
      for (const write of [() => kv.put("a", 2), () => kv.delete("a"), () => kv.clear(), () => reader.drop("s"), () => reader.rename("s", "t"), () => reader.batch(), () => reader.checkpoint(), () => reader.compact()]) {
        await refuses("READONLY", write);
      }
      await refuses("NOT_FOUND", () => reader.kv("nope"), /nope/);
      await refuses("NOT_FOUND", () => reader.collection("nope", { vector: { dimensions: 2 } }), /nope/);
      await refuses("BUSY", () => face.open(name), /reading only/);
      assert.equal(existsSync(`${name}-lock`), false);
      await reader.close();
      const again = await face.open(name);
      assert.deepEqual(await all((await again.kv("s")).entries()), [["a", 1]]);
      await again.close();
    });

    test("a second handle is on the same database; the last close closes it", async () => {
      const name = freshName();
      const one = await face.open(name), two = await face.open(pathToFileURL(name).href);
      symlinkSync(name, `${name}.link`);
      const three = await face.open(`${name}.link`, { mode: "existing" });
      const reader = await face.open(name, { mode: "readonly" });
      const kv = await one.kv<number>("s");
      await kv.put("a", 1);
      assert.equal(await (await two.kv("s")).get("a"), 1);
      assert.equal(await (await three.kv("s")).get("a"), 1);
      const read = await reader.kv<number>("s");
      assert.equal(await read.get("a"), 1);
      await refuses("READONLY", () => read.put("a", 2));
      await refuses("MISUSE", () => face.open(name, { durability: "none" }), /strict/);
      await refuses("MISUSE", () => face.open(name, { memory: 1 << 20 }), /memory 67108864/);
      await one.close();
      await refuses("CLOSED", () => kv.get("a"));
      await (await two.kv<number>("s")).put("b", 2);
      assert.equal(existsSync(`${name}-lock`), true);
      for (const each of [two, three, reader]) await each.close();
      assert.equal(existsSync(`${name}-lock`), false);
    });

    test("a file that is not ours is CORRUPT, a folder is refused; neither is touched", async () => {
      const name = freshName();
      writeFileSync(name, "no database ".repeat(5000));
      await refuses("CORRUPT", () => face.open(name));
      assert.equal(readFileSync(name, "utf8"), "no database ".repeat(5000));
      assert.deepEqual(readdirSync(dirname(name)), ["db"]);
      const folder = freshName();
      mkdirSync(folder);
      await refuses("IO", () => face.open(folder), /directory/);
      assert.deepEqual(readdirSync(dirname(folder)), ["db"]);
    });

    test("a database whose file is cut or gone is CORRUPT, never an empty one", async () => {
      const name = freshName();
      const db = await face.open(name);
      await (await db.kv("s")).put("a", "x".repeat(100_000));
      await db.checkpoint();
      await db.close();
      truncateSync(name, 4096);
      await refuses("CORRUPT", () => face.open(name));
      truncateSync(name, 0);
      await refuses("CORRUPT", () => face.open(name));
    });
  });
}

test("un-awaited puts make one frame and one sync of the file", async () => {
  const db = await open(freshName());
  const kv = await db.kv<number>("s");
  const before = await db.stats();
  await Promise.all(Array.from({ length: 1000 }, (_, i) => kv.put(`k${i}`, i)));
  const after = await db.stats();
  assert.equal(after.syncs - before.syncs, 1);
  assert.equal(await kv.count(), 1000);
  const single = (await db.stats()).syncs;
  for (let i = 0; i < 10; i++) await kv.put("x", i);
  assert.equal((await db.stats()).syncs - single, 10);
  await db.close();
});

test("relaxed syncs within 200 ms by itself, none never", async () => {
  const { fdatasyncSync } = fs;
  let syncs = 0;
  mock.method(fs, "fdatasyncSync", (fd: number) => (syncs++, fdatasyncSync(fd)));
  for (const durability of ["relaxed", "none"] as const) {
    const db = await open(freshName(), { durability });
    const kv = await db.kv<number>("s");
    await db.flush();
    const before = syncs, began = performance.now();
    for (let i = 0; i < 10; i++) await kv.put("a", i);
    if (performance.now() - began < 100) assert.equal(syncs, before, durability); // a loaded machine may take longer
    await new Promise((resolve) => setTimeout(resolve, 400)); // and nothing calls the database
    assert.equal(syncs > before, durability === "relaxed");
    const kept = syncs;
    await kv.put("b", 1);
    await db.flush();
    assert.equal(syncs - kept, 1, durability);
    await db.close();
  }
  mock.restoreAll();
});

test("permissions: files are the owner's alone, and a folder that refuses is PERMISSION", { skip: process.getuid?.() === 0 && "root may do anything" }, async () => {
  const name = freshName();
  chmodSync(dirname(name), 0o500);
  await refuses("PERMISSION", () => open(name));
  chmodSync(dirname(name), 0o700);
});

test("new files are readable by their owner alone", async () => {
  const name = freshName();
  const db = openSync(name);
  for (const file of [name, `${name}-wal0`, `${name}-lock`]) assert.equal(statSync(file).mode & 0o777, 0o600, file);
  db.close();
});

test("a disk without room is QUOTA, and what was acknowledged stays", { skip: !existsSync("/dev/full") && "no /dev/full" }, async () => {
  // A file size limit makes the system refuse growth in the middle of a write.
  const name = freshName();
  const script = `
    import { open } from ${JSON.stringify(new URL("index.js", BUILD).href)};
    const db = await open(${JSON.stringify(name)});
    const kv = await db.kv("s", { value: "text" });
    let kept = 0;
    try { for (;; kept++) await kv.put("k" + kept, "x".repeat(10000)); }
    catch (error) { console.log(JSON.stringify({ code: error.code, kept, read: (await kv.get("k0"))?.length })); }
    await db.close().catch(() => {});
  `;
  const run = spawnSync("sh", ["-c", `trap '' XFSZ; ulimit -f 600; exec "$0" --input-type=module --no-warnings -e "$1"`, process.execPath, script], { encoding: "utf8" });
  const { code, kept, read } = JSON.parse(run.stdout || JSON.stringify({ code: run.stderr })) as { code: string; kept: number; read: number };
  assert.equal(code, "QUOTA");
  assert.equal(read, 10000);
  const db = openSync(name);
  assert.equal(db.kv("s").count(), kept);
  assert.equal(db.verify({ deep: true }).ok, true);
  db.close();
});

test("what was acknowledged survives kill -9", async () => {
  const name = freshName();
  const script = `
    import { open } from ${JSON.stringify(new URL("index.js", BUILD).href)};
    const db = await open(${JSON.stringify(name)});
    const kv = await db.kv("s");
    for (let i = Number(process.argv[1]);; i++) { await kv.put("k" + i, i); process.stdout.write(i + "\\n"); if (i % 300 === 299) await db.checkpoint(); }
  `;
  let next = 0;
  for (let round = 0; round < 3; round++) {
    const child = spawn(process.execPath, ["--input-type=module", "--no-warnings", "-e", script, String(next)], { stdio: ["ignore", "pipe", "inherit"] });
    let out = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text;
      if (out.length > 2000) child.kill("SIGKILL");
    });
    await new Promise((resolve) => child.on("close", resolve));
    const acknowledged = Number(out.slice(0, out.lastIndexOf("\n")).split("\n").pop());
    assert.ok(existsSync(`${name}-lock`), "the killed process left its lock");
    const db = await open(name); // taken over at once
    const kv = await db.kv<number>("s");
    const count = await kv.count();
    assert.ok(count >= acknowledged + 1 && count <= acknowledged + 2, `${count} rows, ${acknowledged} acknowledged`);
    assert.equal((await db.verify({ deep: true })).ok, true);
    next = count;
    await db.close();
  }
});
