// What the JavaScript tests share: fresh folders, the four faces of the package, and
// repeatable randomness.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { open, openSync } from "../../build/js/index.js";
import type { Database, DatabaseSync, ErrorCode, OpenOptions, OpenSyncOptions } from "../../build/js/index.js";

export const BUILD = new URL("../../build/js/", import.meta.url);
const scalar = new URL("nacre-scalar.wasm", BUILD);

/**
 * The same suite runs over all of these: what is `await`ed may be a promise or not, and
 * `for await` takes both kinds of iterator.
 */
export interface Face {
  name: string;
  open(name: string, options?: OpenOptions): Promise<Database>;
}

/** What is no object is passed on: it is to be refused. */
const withScalar = (options?: OpenOptions | null): OpenOptions =>
  options === null ? options as never : { ...options, wasm: scalar };
const sync = async (name: string, options?: OpenOptions): Promise<Database> =>
  openSync(name, options as OpenSyncOptions) as DatabaseSync as unknown as Database;

/** The lane test-remote (remote-hooks.mjs) has one face, and `open` goes through another realm's service. */
const everyFace: readonly Face[] = [
  { name: "async, SIMD", open },
  { name: "sync, SIMD", open: sync },
  { name: "async, scalar", open: (name, options) => open(name, withScalar(options)) },
  { name: "sync, scalar", open: (name, options) => sync(name, withScalar(options)) },
];
export const faces = process.env.TEST_REMOTE === undefined ? everyFace : everyFace.slice(0, 1);

const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A name in a folder of its own, where nothing is yet. */
export function freshName(): string {
  const folder = mkdtempSync(join(tmpdir(), "nacre-test-"));
  folders.push(folder);
  return join(folder, "db");
}

/** Runs `use` with a new database in memory. */
export async function inMemory(face: Face, use: (db: Database) => Promise<void>): Promise<void> {
  const db = await face.open(":memory:");
  try {
    await use(db);
  } finally {
    await db.close();
  }
}

/** Expects a NacreError of this code; its message must name what `about` matches. */
export async function refuses(code: ErrorCode, call: () => unknown, about?: RegExp): Promise<void> {
  await assert.rejects(async () => await call(), (error: Error & { code?: unknown }) => {
    assert.equal(error.name, "NacreError", `${error.stack}`);
    assert.equal(error.code, code, error.message);
    assert.notEqual(error.message, "");
    if (about !== undefined) assert.match(error.message, about);
    return true;
  });
}

/** Everything an iterator gives, of either kind. */
export async function all<T>(from: AsyncIterable<T> | Iterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of from) items.push(item);
  return items;
}

/** Mulberry32: numbers in [0, 1) that a seed repeats. TEST_SEED chooses it. */
export const seed = Number(process.env.TEST_SEED ?? 1);
export function random(salt: number): () => number {
  let state = (seed * 0x9e3779b1 + salt) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function pick<T>(next: () => number, from: readonly T[]): T {
  return from[Math.floor(next() * from.length)] as T;
}
