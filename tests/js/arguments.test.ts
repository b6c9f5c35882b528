// Every method of every class of the package, and every function it exports, with every kind
// of wrong argument in every place (C29). They are enumerated from the built package: a new
// one is called too. Whatever is given, the answer is a result, a NacreError, or what the
// given object itself threw; and the database works as before.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import * as nacre from "../../build/js/index.js";
import { BUILD, faces } from "./lib.ts";

class Sentinel extends Error {}

const throwing = new Proxy({}, {
  get(_, name) {
    if (name === "then") return undefined; // awaited, it is no promise
    throw new Sentinel(String(name));
  },
  has() { throw new Sentinel("has"); },
  ownKeys() { throw new Sentinel("ownKeys"); },
  getOwnPropertyDescriptor() { throw new Sentinel("descriptor"); },
});
const revoked = () => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
};
const detached = () => {
  const bytes = new Uint8Array(16);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  return bytes;
};
const shrunk = () => {
  const buffer = new ArrayBuffer(16, { maxByteLength: 32 });
  const bytes = new Uint8Array(buffer, 8, 8);
  buffer.resize(4); // the view is out of bounds now
  return bytes;
};
const cyclic = () => {
  const value: Record<string, unknown> = {};
  value["self"] = value;
  return value;
};

const wrong: readonly [name: string, make: () => unknown][] = [
  ["undefined", () => undefined], ["null", () => null], ["NaN", () => NaN], ["-1", () => -1], ["1.5", () => 1.5],
  ["2^53", () => 2 ** 53], ["Infinity", () => Infinity], ["-0", () => -0], ["2n^64", () => 2n ** 64n], ["true", () => true],
  ["''", () => ""], ["a long string", () => "x".repeat(70_000)], ["half a surrogate pair", () => "\ud800"], ["zero", () => "\0"],
  ["a path", () => "../../etc/passwd"], ["a symbol", () => Symbol("s")], ["a function", () => () => undefined],
  ["a throwing function", () => () => { throw new Sentinel("called"); }],
  ["{}", () => ({})], ["null prototype", () => Object.create(null)], ["[]", () => []], ["[undefined]", () => [undefined]],
  ["[[]]", () => [[]]], ["a sparse array", () => [, 1]], ["throwing getters", () => throwing], ["a revoked proxy", revoked],
  ["a proxy", () => new Proxy({}, {})], ["a cycle", cyclic], ["a Date", () => new Date(NaN)], ["a RegExp", () => /x/], ["a Map", () => new Map([[1, 2]])],
  ["bytes", () => Uint8Array.of(1, 2)], ["shared bytes", () => new Uint8Array(new SharedArrayBuffer(4))],
  ["detached bytes", detached], ["bytes out of bounds", shrunk], ["a buffer", () => new ArrayBuffer(3)], ["floats", () => Float32Array.of(NaN, 1)],
  ["a throwing iterable", () => ({ [Symbol.iterator]() { throw new Sentinel("iterator"); } })],
  ["an iterable of the wrong", () => new Set([Symbol("s")])],
  ["an aborted signal", () => ({ signal: AbortSignal.abort() })], ["options of the wrong types", () => ({ limit: "x", k: -1, ttl: NaN, signal: 5, where: 3 })],
  ["numbers that are objects", () => ({ valueOf() { throw new Sentinel("valueOf"); }, toString() { throw new Sentinel("toString"); } })],
];

/** Own errors of the package, or what the argument threw; anything else is a bug. */
function rightFailure(error: unknown): boolean {
  return error instanceof nacre.NacreError || error instanceof Sentinel || error instanceof Error && error.name === "AbortError" ||
    error instanceof TypeError && /revoked|detached|out.of.bounds/.test(error.message);
}

const isAsync = (value: unknown): value is AsyncIterator<unknown> => typeof (value as AsyncIterator<unknown> | null)?.next === "function";

/** Takes a result as far as a wrong argument may come: awaited, and stepped once. */
async function use(result: unknown): Promise<void> {
  const value = await result;
  if (typeof value === "object" && value !== null && !(value instanceof ReadableStream) && isAsync(value)) {
    try {
      // What waits for something new would wait for ever.
      await Promise.race([value.next(), new Promise((resolve) => setImmediate(() => setImmediate(resolve)))]);
    } finally {
      void Promise.resolve(value.return?.()).catch(() => undefined);
    }
  }
  if (value instanceof ReadableStream) await value.cancel();
}

type Subject = { name: string; make: (db: nacre.Database) => unknown };
const subjects: readonly Subject[] = [
  { name: "database", make: (db) => db },
  { name: "kv", make: (db) => db.kv("kept") },
  { name: "bytes", make: (db) => db.kv("bytes", { value: "bytes" }) },
  { name: "collection", make: (db) => db.collection("notes", { vector: { dimensions: 2 }, fields: { t: "text", i: "integer" } }) },
  { name: "batch", make: (db) => db.batch() },
  { name: "snapshot", make: (db) => db.snapshot() },
];

/** What the declarations of the package show to users. */
const declared = readdirSync(BUILD).filter((name) => name.endsWith(".d.ts"))
  .map((name) => readFileSync(new URL(name, BUILD), "utf8").replace(/\/\*\* @internal[^]*?\*\/\s*\S+/g, "")).join("\n");
const shown = (name: string): boolean => new RegExp(`^ +${name}(<[^\n]*>)?\\(`, "m").test(declared);

function methodsOf(object: object): string[] {
  const found = new Set<string>();
  for (let at: object | null = object; at && at !== Object.prototype; at = Object.getPrototypeOf(at) as object | null)
    for (const name of Object.getOwnPropertyNames(at))
      if (name !== "constructor" && shown(name) && typeof Object.getOwnPropertyDescriptor(at, name)?.value === "function") found.add(name);
  return [...found].sort();
}

/** Good arguments in front of the wrong one, so that it is reached. */
const before: readonly (readonly unknown[])[] = [[], ["kept"], ["kept", { x: 1 }], [{ key: 1, vector: [1, 2] }]];

for (const face of faces.slice(0, 2)) {
  test(`c29_every_method_takes_every_wrong_argument, ${face.name}`, async () => {
    let calls = 0;
    const failures: string[] = [];
    for (const subject of subjects) {
      let db = await face.open(":memory:"), methods: string[] = [];
      const begin = async () => {
        await (await db.kv("kept")).put("kept", 1);
        await db.kv("bytes", { value: "bytes" });
        methods = methodsOf(await subject.make(db) as object);
      };
      await begin();
      assert.ok(methods.length > 0, subject.name);
      for (const method of methods.filter((name) => name !== "close")) {
        for (const good of before) {
          for (const [name, make] of wrong) {
            const object = await subject.make(db) as Record<string, (...given: unknown[]) => unknown>;
            const about = `${subject.name}.${method}(${good.map((value) => JSON.stringify(value) + ", ").join("")}${name})`;
            calls++;
            try {
              await use(object[method]!(...good, make()));
            } catch (error) {
              if (!rightFailure(error)) failures.push(`${about}: ${String((error as Error).stack ?? error)}`);
            }
            try {
              await (object as { release?: () => unknown; rollback?: () => unknown; abort?: () => unknown }).release?.();
            } catch { /* it may be gone */ }
            try { // it works, and says what it has
              const kept = await db.kv("kept");
              if (await kept.get("kept") === undefined) await kept.put("kept", 1); // it was deleted, renamed or cleared
              assert.equal(await kept.get("kept") !== undefined, true, about);
            } catch (error) {
              if ((error as { code?: string }).code !== "WRONG_KIND" && (error as { code?: string }).code !== "SCHEMA_MISMATCH") throw error;
              await db.drop("kept"); // it became another thing's name
              await (await db.kv("kept")).put("kept", 1);
            }
          }
        }
      }
      await db.close();
    }
    assert.deepEqual(failures.slice(0, 10), []);
    assert.ok(calls > 5000);
  });
}

test("c29_every_export_takes_every_wrong_argument", async () => {
  const opened: { close(): unknown }[] = [];
  const leaves = new Set(["a path", "a long string", "half a surrogate pair", "zero"]); // names of files: not made here
  for (const [name, exported] of Object.entries(nacre)) {
    if (typeof exported !== "function") continue;
    const made = /^class /.test(Function.prototype.toString.call(exported));
    for (const [what, make] of wrong) {
      if (!made && leaves.has(what)) continue;
      try {
        if (made) new (exported as new (value: unknown) => unknown)(make()); // not for users, but must not harm
        else for (const given of [[make()], [":memory:", make()]]) {
          const result = await (exported as (...given: unknown[]) => unknown)(...given) as { close?(): unknown } | undefined;
          if (typeof result?.close === "function") opened.push(result as { close(): unknown });
        }
      } catch (error) {
        if (!made && !rightFailure(error)) assert.fail(`${name}(${what}): ${String((error as Error).stack ?? error)}`);
      }
    }
  }
  for (const db of opened) await db.close();
});
