// What is particular of databases that another realm serves: messages, pieces, errors, deaths.
// The suites of the package run over it as well: make test-remote.
import assert from "node:assert/strict";
import { test } from "node:test";
import { NacreError, open } from "../../build/js/index.js";
import type { Database } from "../../build/js/index.js";
import { remoteDatabase } from "../../build/js/remote.js";
import type { RequestOptions, Route, Token, TokenMemory } from "../../build/js/route.js";
import { StoreService } from "../../build/js/service.js";
import { packError, unpackError } from "../../build/js/wire.js";
import { all, refuses } from "./lib.ts";

/** What was asked, and how many bytes were answered. */
interface Asked {
  op: string;
  writes: boolean;
  answered: number;
}

/** A way that clones what goes along it, and counts. */
class CountingRoute implements Route {
  onevent: ((body: unknown) => void) | undefined;
  readonly asked: Asked[] = [];
  readonly #service: () => StoreService;
  readonly #client: string;
  token: ((options: RequestOptions) => Token | undefined) | undefined;

  constructor(service: () => StoreService, client: string) {
    this.#service = service;
    this.#client = client;
  }

  async request(given: unknown, options: RequestOptions = {}): Promise<unknown> {
    const body = structuredClone(given) as unknown[];
    const asked = { op: String(body[0]), writes: options.writes === true, answered: 0 };
    this.asked.push(asked);
    const service = this.#service(), token = this.token?.(options);
    try {
      const { body: answer } = await service.serve(this.#client, body, token, options.cancel);
      asked.answered = sizeOf(answer);
      return structuredClone(answer);
    } catch (error) {
      throw unpackError(structuredClone(packError(error)));
    }
  }

  async close(): Promise<void> {}
}

function sizeOf(value: unknown): number {
  if (ArrayBuffer.isView(value)) return value.byteLength;
  if (typeof value !== "object" || value === null) return 0;
  return Object.values(value).reduce((size: number, part) => size + sizeOf(part), 0);
}

/** A database in memory, and a client of its service. */
async function served(client = "one", memory?: TokenMemory): Promise<{ local: Database; service: StoreService; route: CountingRoute; db: Database; again(name: string): Database; restart(): void }> {
  const local = await open(":memory:");
  let service = new StoreService(local.session.store, memory);
  const route = new CountingRoute(() => service, client);
  return {
    local, route, db: remoteDatabase(route, "far", false),
    get service() { return service; },
    again: (name) => remoteDatabase(new CountingRoute(() => service, name), "far", false),
    restart: () => { void service.close(); service = new StoreService(local.session.store, memory); },
  };
}

const ops = (route: CountingRoute): string[] => route.asked.splice(0).map(({ op }) => op);

test("a05: a get is one message each way; the writes of a tick are one, with one sync", async () => {
  const { db, route } = await served();
  const kv = await db.kv<number>("s");
  await kv.put("a", 1);
  ops(route);
  assert.equal(await kv.get("a"), 1);
  assert.deepEqual(ops(route), ["rows"]);
  assert.deepEqual(await kv.getMany(["a", "b"]), [1, undefined]);
  assert.deepEqual(ops(route), ["rows"]);
  const before = (await db.stats()).syncs;
  ops(route);
  await Promise.all([kv.put("b", 2), db.batch().put(kv, "c", 3).put("s", "d", 4).commit(), kv.putMany([["e", 5]])]);
  assert.deepEqual(ops(route), ["write"]);
  assert.equal((await db.stats()).syncs - before, 1);
  ops(route);
  const done = [kv.put("f", 6), kv.get("f"), kv.put("f", 7), kv.get("f")];
  assert.deepEqual(await Promise.all(done), [undefined, 6, undefined, 7]);
  assert.deepEqual(ops(route), ["write", "rows", "write", "rows"]);
  await db.close();
});

test("a05: what is given is copied at the call", async () => {
  const { db } = await served();
  const kv = await db.kv<Uint8Array, Uint8Array>("b", { key: "bytes", value: "bytes" });
  const notes = await db.collection<{ n: number }>("n", { vector: { dimensions: 2 }, fields: { n: "integer" } });
  const key = Uint8Array.of(1), value = Uint8Array.of(2), vector = Float32Array.of(1, 2), query = Float32Array.of(1, 2);
  const put = kv.put(key, value), record = notes.put({ key: "a", vector, n: 1 });
  key[0] = value[0] = 9;
  vector[0] = 9;
  await Promise.all([put, record]);
  const one = Uint8Array.of(1), got = kv.get(one), found = notes.search(query);
  one[0] = 9;
  query.fill(9);
  assert.deepEqual(await got, Uint8Array.of(2));
  assert.equal((await found)[0]?.distance, 0);
  assert.deepEqual((await notes.get("a"))?.vector, Float32Array.of(1, 2));
  await db.close();
});

test("a05: no answer has more than 1 MiB of bytes, whatever is read", async () => {
  const { db, route } = await served();
  const kv = await db.kv<Uint8Array>("b", { value: "bytes" });
  const big = Uint8Array.from({ length: 5 << 20 }, (_, i) => i * 7 + (i >>> 9));
  await kv.put("big", big);
  await kv.putMany(Array.from({ length: 60 }, (_, i) => [`k${i}`, big.slice(i, i + 60_000)] as [string, Uint8Array]));
  ops(route);
  assert.deepEqual(await kv.get("big"), big);
  assert.equal(route.asked.length, 6); // its page has a head
  assert.equal((await kv.getMany(Array.from({ length: 60 }, (_, i) => `k${i}`))).length, 60);
  assert.equal((await all(kv.entries())).length, 61);
  const parts = await new Response((await kv.getStream("big")) as ReadableStream).arrayBuffer();
  assert.deepEqual(new Uint8Array(parts), big);
  let exported = 0;
  for await (const chunk of db.export()) exported += chunk.length;
  assert.ok(exported > big.length);
  assert.ok(route.asked.every(({ answered }) => answered <= 1 << 20), JSON.stringify(route.asked.filter(({ answered }) => answered > 1 << 20)));
  await db.close();
});

test("a05: an error crosses whole", async () => {
  const cause = new TypeError("because");
  const error = new NacreError("QUOTA", "no room", { details: { needed: 5, oldest: 7n }, cause });
  const crossed = unpackError(structuredClone(packError(error)));
  assert.ok(crossed instanceof NacreError);
  assert.deepEqual([crossed.code, crossed.message, crossed.details], ["QUOTA", "no room", { needed: 5, oldest: 7n }]);
  assert.ok(crossed.cause instanceof TypeError && crossed.cause.message === "because");
  assert.equal(unpackError(structuredClone(packError(new NacreError("IO", "x", { cause: error })))).cause instanceof NacreError, true);
  assert.equal(unpackError(structuredClone(packError(new NacreError("ABORTED", "x", { cause: () => {} })))).cause, "() => {}", "what cannot be cloned is said");
  assert.equal(unpackError(structuredClone(packError(new RangeError("bug")))).code, "INTERNAL");
  const { db } = await served();
  await (await db.kv("s")).put("a", 1);
  await refuses("WRONG_KIND", () => db.collection("s", { vector: { dimensions: 2 } }), /"s" is a kv/);
  const reason = { mine: true }, controller = new AbortController();
  controller.abort(reason);
  const notes = await db.collection("n", { vector: { dimensions: 2 } });
  await assert.rejects(notes.search([1, 2], { signal: controller.signal }), (thrown: NacreError) => thrown.code === "ABORTED" && thrown.cause === reason);
  await db.close();
});

test("c07: a client that is gone has released its snapshots, iterators and its turn", async () => {
  const { db, service, again, local } = await served("dies");
  const kv = await db.kv<number>("s");
  await kv.bulkLoad((function* () { for (let i = 0; i < 3000; i++) yield [String(i).padStart(6, "0"), i] as [string, number]; })());
  const snapshot = await db.snapshot();
  const rows = kv.entries()[Symbol.asyncIterator]();
  await rows.next();
  let begun = (): void => {};
  const inside = new Promise<void>((resolve) => { begun = resolve; });
  const open_ = db.transaction(async (tx) => {
    await (await tx.kv<number>("s")).put("x", 1);
    begun();
    await new Promise(() => {});
  });
  open_.catch(() => {});
  await inside;
  assert.equal(service.busy(), true);
  assert.equal((await local.stats()).snapshots > 0, true);
  const other = again("lives");
  const waiting = other.transaction(async (tx) => (await tx.kv<number>("s")).count());
  service.gone("dies");
  assert.equal(await waiting, 3000);
  assert.equal((await local.stats()).snapshots, 0);
  assert.equal(service.busy(), false);
  await refuses("CONFLICT", async () => (await snapshot.kv<number>("s")).count());
});

test("c07: what was open in a service that is gone answers CONFLICT, and transactions are repeated when asked", async () => {
  const { db, restart } = await served();
  const kv = await db.kv<number>("s");
  await kv.bulkLoad((function* () { for (let i = 0; i < 5000; i++) yield [String(i).padStart(6, "0"), i] as [string, number]; })());
  const snapshot = await db.snapshot(), frozen = await snapshot.kv<number>("s");
  const rows = kv.entries()[Symbol.asyncIterator]();
  await rows.next();
  restart();
  await refuses("CONFLICT", () => frozen.get("000001"), /went away/);
  await refuses("CONFLICT", async () => { while ((await rows.next()).done !== true); }, /went away/);
  assert.equal(await kv.get("000001"), 1, "handles of membranes live on");
  let runs = 0;
  const body = async (tx: { kv<V>(name: string): Promise<{ put(key: string, value: V): Promise<void> }> }): Promise<number> => {
    const s = await tx.kv<number>("s");
    await s.put("t", ++runs);
    if (runs === 1) restart();
    await s.put("u", runs);
    return runs;
  };
  await refuses("CONFLICT", () => db.transaction(body as never));
  assert.equal(await kv.get("t"), undefined, "nothing of it is applied");
  runs = 0;
  assert.equal(await db.transaction(body as never, { retries: 1 }), 2);
  assert.equal(await kv.get("u"), 2);
});

test("a05: a request that comes twice is applied once, part by part", async () => {
  const noted = new Map<number, Map<number, unknown>>();
  const memory: TokenMemory = {
    recall: ({ seq }) => noted.get(seq),
    note: (_writer, { seq }, part, result) => {
      if (!noted.has(seq)) noted.set(seq, new Map());
      noted.get(seq)?.set(part, result);
    },
  };
  const { db, route, local } = await served("one", memory);
  let seq = 0, again = false;
  route.token = ({ writes }) => writes === true ? { client: "one", seq: again ? seq : ++seq, oldest: 0 } : undefined;
  const kv = await db.kv<number>("s"), real = await local.kv<number>("s");
  await Promise.all([kv.put("a", 1), kv.put("b", 1)]);
  await real.putMany([["a", 5], ["b", 5]]);
  again = true; // as after a take-over: the same request, to an owner that has the row
  await Promise.all([kv.put("a", 1), kv.put("b", 1)]);
  assert.deepEqual(await real.getMany(["a", "b"]), [5, 5]);
  again = false;
  assert.equal(await kv.delete("a"), true);
  again = true;
  assert.equal(await kv.delete("a"), true, "the result of the first time");
  again = false;
  assert.equal(await kv.clear(), 1);
  await real.put("c", 1);
  again = true;
  assert.equal(await kv.clear(), 1);
  assert.equal(await real.get("c"), 1);
  again = false;
  await db.transaction(async (tx) => (await tx.kv<number>("s")).put("t", 1));
  assert.equal(noted.get(seq)?.has(0), true, "a commit is remembered");
  await db.rename("s", "r");
  again = true;
  await db.rename("s", "r");
  again = false;
  await db.drop("r");
  await local.kv("r"); // another one of that name
  again = true;
  await db.drop("r");
  assert.deepEqual((await local.membranes()).map(({ name }) => name), ["r"]);
  again = false;
  await refuses("NOT_FOUND", () => db.drop("s"));
});

test("j09: long work lets the requests of others through, and ends when nobody waits for it", async () => {
  const { db, again } = await served();
  const kv = await db.kv<number>("s");
  await kv.bulkLoad((function* () { for (let i = 0; i < 60_000; i++) yield [String(i).padStart(6, "0"), i] as [string, number]; })());
  const notes = await db.collection("n", { vector: { dimensions: 64 } });
  const vector = (i: number): Float32Array => Float32Array.from({ length: 64 }, (_, d) => Math.sin(i * 64 + d));
  await notes.bulkLoad((function* () { for (let i = 0; i < 4000; i++) yield { key: String(i).padStart(6, "0"), vector: vector(i) }; })());
  const other = await again("other").kv<number>("s");
  const order: string[] = [];
  const queries = Float32Array.from({ length: 1500 * 64 }, (_, i) => Math.cos(i));
  const many = notes.searchMany(queries, { k: 1, recall: "exact" }).then((hits) => (order.push("searchMany"), hits));
  const one = other.get("000100").then((value) => (order.push("get"), value));
  assert.equal((await many).length, 1500);
  assert.equal(await one, 100);
  assert.deepEqual(order, ["get", "searchMany"]);
  const controller = new AbortController(), reason = new Error("enough");
  const cut = notes.searchMany(queries, { k: 1, recall: "exact", signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(cut, (error: NacreError) => error.code === "ABORTED" && error.cause === reason);
  assert.equal(await kv.count(), 60_000);
  await refuses("TIMEOUT", () => notes.searchMany(queries, { k: 1, recall: "exact", timeoutMs: 1 }));
  assert.equal(await other.get("000007"), 7, "the database is in use still");
});

test("a05: changes and commits are told through another realm, and end", async () => {
  const { db, again } = await served();
  const kv = await db.kv<number>("s");
  const told: bigint[] = [];
  const end = db.onCommit(({ sequence }) => told.push(sequence));
  void end;
  const live = db.changes({ live: true }), first = live.next();
  const other = await again("other").kv<number>("s");
  await other.put("a", 1);
  const { value } = await first;
  assert.deepEqual([value?.type, value?.type === "put" && value.key], ["put", "a"]);
  const last = live.next();
  await db.close();
  assert.equal((await last).done, true);
  await refuses("CLOSED", () => kv.get("a"));
});
