// What npm publishes, installed without a network by somebody who has nothing else.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { freshName } from "./lib.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

function run(folder: string, command: string, ...args: string[]): string {
  const done = spawnSync(command, args, { cwd: folder, encoding: "utf8", env: { ...process.env, npm_config_offline: "true" } });
  assert.equal(done.status, 0, `${command} ${args.join(" ")}\n${done.stdout}${done.stderr}`);
  return done.stdout;
}

/** The first example of the README that is a program. */
function firstExample(): string | undefined {
  if (!existsSync(join(root, "README.md"))) return undefined;
  return [...readFileSync(join(root, "README.md"), "utf8").matchAll(/```(?:js|ts|javascript|typescript)\n([\s\S]*?)```/g)]
    .map(([, text]) => text as string).find((text) => text.includes('from "nacre"'));
}

test("the package installs offline, and the README's first example runs", () => {
  const folder = dirname(freshName());
  const packed = run(root, "npm", "pack", "--silent", "--pack-destination", folder).trim().split("\n").pop() as string;
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "consumer", private: true, type: "module" }));
  run(folder, "npm", "install", "--offline", "--no-audit", "--no-fund", "--ignore-scripts", `./${packed}`);
  const installed = join(folder, "node_modules/nacre");
  for (const file of ["build/js/index.js", "build/js/index.d.ts", "build/js/nacre.wasm", "build/js/nacre-scalar.wasm", "LICENSE"]) {
    assert.ok(existsSync(join(installed, file)), file);
  }
  const licence = readFileSync(join(installed, "LICENSE"), "utf8"); // of what is compiled in, too
  for (const part of ["LZ4", "xxHash", "Yann Collet", "Monocypher", "Loup Vaillant", "Redistributions in binary form"]) assert.ok(licence.includes(part), part);
  assert.equal(existsSync(join(installed, "core")), false);
  writeFileSync(join(folder, "main.mjs"), firstExample() ?? 'import { open } from "nacre";\nconst db = await open("notes");\nawait db.close();\n');
  run(folder, process.execPath, "--no-warnings", "main.mjs");
});

/** Copies a development dependency, with what it depends on, for a consumer who has no network. */
function give(name: string, folder: string): void {
  const from = join(root, "node_modules", name), to = join(folder, "node_modules", name);
  if (existsSync(to)) return;
  cpSync(from, to, { recursive: true });
  const { dependencies = {} } = JSON.parse(readFileSync(join(from, "package.json"), "utf8")) as { dependencies?: Record<string, string> };
  for (const each of Object.keys(dependencies)) give(each, folder);
}

test("nacre/level needs abstract-level and nothing else, and its types check strictly", () => {
  const folder = dirname(freshName());
  const packed = run(root, "npm", "pack", "--silent", "--pack-destination", folder).trim().split("\n").pop() as string;
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "consumer", private: true, type: "module" }));
  run(folder, "npm", "install", "--offline", "--no-audit", "--no-fund", "--ignore-scripts", `./${packed}`);
  assert.equal(existsSync(join(folder, "node_modules/abstract-level")), false, "it is optional");
  give("abstract-level", folder);
  give("@types/node", folder);
  const program = readFileSync(join(root, "examples/level.mjs"), "utf8");
  writeFileSync(join(folder, "main.mjs"), program);
  assert.match(run(folder, process.execPath, "--no-warnings", "main.mjs"), /^tides A table of tides\n/);
  writeFileSync(join(folder, "types.mts"), `
    import { NacreLevel } from "nacre/level";
    import type { AbstractLevel } from "abstract-level";
    const level = new NacreLevel<string, { n: number }>("types", { valueEncoding: "json", durability: "relaxed", createIfMissing: true });
    await level.put("a", { n: 1 }, { sync: true });
    // @ts-expect-error a value of another type
    await level.put("a", "1");
    // @ts-expect-error an unknown level of durability
    new NacreLevel("types", { durability: "nearly" });
    const n: number | undefined = (await level.get("a"))?.n;
    await level.batch([{ type: "put", key: "b", value: { n: 2 } }], { sync: true });
    await level.batch().del("b").write();
    for await (const [key, value] of level.iterator({ gt: "a", reverse: true, limit: 5 })) { key.length; value.n.toFixed(); }
    const keys: string[] = await level.sublevel("s").keys().all();
    const any: AbstractLevel<string | Uint8Array, string, { n: number }> = level;
    await using snapshot = any.snapshot();
    export { n, keys, snapshot };
  `);
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({
    compilerOptions: {
      target: "ES2022", lib: ["ES2022", "ESNext.Disposable", "DOM"], module: "NodeNext", strict: true, noEmit: true, types: ["node"],
      exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, skipLibCheck: false,
    },
    include: ["types.mts"],
  }));
  run(folder, join(root, "node_modules/.bin/tsc"), "-p", "tsconfig.json");
});

test("types: a program checks strictly, and nothing of ours is any but values of a Kv", () => {
  const folder = dirname(freshName());
  mkdirSync(join(folder, "node_modules"));
  const text = `
    import { open, openSync, NacreError } from "nacre";
    import type { Collection, Hit, Kv, Stats, Transaction, Where } from "nacre";
    await using db = await open(":memory:", { durability: "relaxed", memory: 64 * 2 ** 20 });
    const kv: Kv<{ n: number }> = await db.kv<{ n: number }>("s", { key: ["text", "integer"], value: "json" });
    await kv.put(["a", 1], { n: 1 });
    // @ts-expect-error a value of another type
    await kv.put(["a", 1], { n: "1" });
    for await (const [key, value] of kv.entries({ gte: ["a"], reverse: true, limit: 5 })) { key; value.n.toFixed(); }
    interface Note { title: string; year: number }
    const notes: Collection<Note> = await db.collection<Note>("n", { vector: { dimensions: 3, metric: "cosine" }, fields: { title: "text", year: "integer" } });
    await notes.put({ key: "a", vector: [1, 2, 3], title: "T" });
    // @ts-expect-error an unknown field
    await notes.put({ key: "a", vector: [1, 2, 3], nope: 1 });
    const where: Where<Note> = { year: { gte: 2020 }, or: [{ title: { startsWith: "N" } }, { not: { title: null } }], key: { lt: "z" } };
    const hits: Hit<Note>[] = await notes.search(new Float32Array(3).fill(1), { k: 3, where, recall: "exact", include: ["title", "vector"] });
    const title: string | null | undefined = hits[0]?.title;
    // @ts-expect-error no such field
    await notes.search([1, 2, 3], { include: ["nope"] });
    const stats: Stats = await db.stats();
    const sync = openSync(":memory:");
    const got: number | undefined = sync.kv<number>("x").get("a");
    sync.batch().put("x", "a", 1).put(sync.kv<number>("x"), "b", 2).delete("x", "a").commit();
    const n: number = await db.transaction(async (tx: Transaction) => {
      const s: Kv<{ n: number }> = await tx.kv<{ n: number }>("s");
      await tx.transaction(async (inner) => (await inner.collection<Note>("n")).deleteWhere({ year: { lt: 1 } }));
      return (await s.get(["a", 1]))?.n ?? 0;
    }, { retries: 3, signal: AbortSignal.timeout(1000), timeoutMs: 1000 });
    // @ts-expect-error an unknown option
    await db.transaction(() => n, { retry: 3 });
    const total: number = sync.transaction((tx) => (tx.kv<number>("x").get("a") ?? 0) + 1, { retries: 1 });
    try { sync.close(); } catch (error) { if (error instanceof NacreError && error.code === "CLOSED") console.log(error.details); }
    export { title, stats, got, n, total };
  `;
  writeFileSync(join(folder, "main.mts"), text);
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({
    compilerOptions: {
      target: "ES2022", lib: ["ES2022", "ESNext.Disposable", "DOM"], module: "NodeNext", moduleResolution: "NodeNext", strict: true, noEmit: true, types: [],
      exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, skipLibCheck: false, paths: { nacre: [join(root, "build/js/index.d.ts")] },
    },
    include: ["main.mts"],
  }));
  run(folder, join(root, "node_modules/.bin/tsc"), "-p", "tsconfig.json");
});
