// What is remembered of clients' requests: in the batches that carry them out, and bounded.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openIn } from "../../build/js/open.js";
import { NodeHost } from "../../build/js/host-node.js";
import { Tokens } from "../../build/js/tokens.js";

type Store = Awaited<ReturnType<typeof openIn>>;

const client = (n: number): string => n.toString(16).padStart(32, "0");

async function withFolder(run: (open: () => Promise<Store>) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "nacre-tokens-"));
  try {
    await run(() => openIn(new NodeHost(folder, "/db", {}) as never, "/db/d"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function note(store: Store, tokens: Tokens, token: { client: string; seq: number; oldest: number }, part: number, result: unknown): void {
  const writer = store.writers.take();
  writer.batchBegin();
  tokens.note(writer, token, part, result);
  writer.batchEnd();
  store.commit(writer);
  store.writers.give(writer);
}

function count(store: Store): number {
  const { pointer } = store.engine.membraneById(0)!;
  return store.engine.count(pointer, 0, Uint8Array.of(4), Uint8Array.of(5), new Uint8Array(0)) - 1; // the epoch's
}

test("J01 tokens come back with their results by part, from the log and from segments; epochs rise", async () => {
  await withFolder(async (open) => {
    let store = await open();
    let tokens = new Tokens(store, () => 1000);
    assert.equal(tokens.epoch, 1);
    note(store, tokens, { client: client(7), seq: 300, oldest: 300 }, 0, true);
    note(store, tokens, { client: client(7), seq: 300, oldest: 300 }, 70_000, 12.5);
    note(store, tokens, { client: client(7), seq: 301, oldest: 300 }, 0, undefined);
    for (const round of [2, 3, 4]) {
      assert.deepEqual([...tokens.recall({ client: client(7), seq: 300, oldest: 300 })!], [[0, true], [70_000, 12.5]]);
      assert.deepEqual([...tokens.recall({ client: client(7), seq: 301, oldest: 300 })!], [[0, undefined]]);
      assert.equal(tokens.recall({ client: client(7), seq: 302, oldest: 300 }), undefined);
      assert.equal(tokens.recall({ client: client(8), seq: 300, oldest: 300 }), undefined);
      if (round === 3) store.engine.checkpoint();
      assert.deepEqual(store.membraneNames(), []);
      store.release();
      store = await open();
      tokens = new Tokens(store, () => 1000);
      assert.equal(tokens.epoch, round);
    }
    store.release();
  });
});

test("J01 a batch that is refused leaves no token, whatever was noted", async () => {
  await withFolder(async (open) => {
    const store = await open(), tokens = new Tokens(store, () => 1000), token = { client: client(1), seq: 1, oldest: 1 };
    const writer = store.writers.take();
    writer.batchBegin();
    tokens.note(writer, token, 0, true);
    const start = writer.recordBegin(4, 99); // no such membrane
    writer.recordEnd(start, writer.at, writer.at, 1);
    writer.batchEnd();
    assert.throws(() => store.commit(writer), { code: "NOT_FOUND" });
    assert.equal(tokens.recall(token), undefined);
    store.release();
  });
});

test("J01 tokens go with the page's answers, an hour after a client's death, and beyond 500 clients", async () => {
  await withFolder(async (open) => {
    let store = await open(), now = 1_000_000;
    let tokens = new Tokens(store, () => now);
    for (let seq = 1; seq <= 200; seq++) note(store, tokens, { client: client(1), seq, oldest: Math.max(1, seq - 10) }, 0, true);
    assert.equal(count(store), 11);
    assert.equal(tokens.recall({ client: client(1), seq: 189, oldest: 189 }), undefined);
    assert.ok(tokens.recall({ client: client(1), seq: 190, oldest: 190 }));
    for (let n = 2; n <= 500; n++) note(store, tokens, { client: client(n), seq: 1, oldest: 1 }, 0, n);
    assert.equal(count(store), 510);
    tokens.dead(client(300));
    note(store, tokens, { client: client(501), seq: 1, oldest: 1 }, 0, true);
    note(store, tokens, { client: client(501), seq: 2, oldest: 1 }, 0, true);
    assert.equal(tokens.recall({ client: client(300), seq: 1, oldest: 1 }), undefined, "the dead one first");
    assert.equal(count(store), 511);
    tokens.dead(client(2));
    now += 60 * 60 * 1000 + 1;
    tokens.sweep();
    assert.equal(tokens.recall({ client: client(2), seq: 1, oldest: 1 }), undefined);
    assert.deepEqual([...tokens.recall({ client: client(3), seq: 1, oldest: 1 })!], [[0, 3]]);
    assert.equal(count(store), 510);
    store.release();
    // A new owner does not know who is alive: those who have said so when it sweeps.
    store = await open();
    now += 60 * 60 * 1000 + 1;
    tokens = new Tokens(store, () => now);
    assert.equal(count(store), 510);
    tokens.alive(client(3));
    tokens.sweep();
    assert.deepEqual([...tokens.recall({ client: client(3), seq: 1, oldest: 1 })!], [[0, 3]]);
    assert.equal(count(store), 1);
    store.release();
  });
});
