// tests/js/lib.ts for a page: one face, and names instead of files.
import assert from "./assert.ts";
import { freshName, open } from "./index.ts";

export { freshName };
export const faces = [{ name: "in a page", open }];
export const seed = 1;

export async function inMemory(face: typeof faces[0], use: (db: unknown) => Promise<void>): Promise<void> {
  const db = await face!.open(":memory:") as { close(): Promise<void> };
  try {
    await use(db);
  } finally {
    await db.close();
  }
}

export async function refuses(code: string, call: () => unknown, about?: RegExp): Promise<void> {
  await assert.rejects(async () => await call(), (error: Error & { code?: unknown }) => {
    assert.equal(error.name, "NacreError", `${error.stack}`);
    assert.equal(error.code, code, `${String(error.code)}, not ${code}: ${error.message}`);
    assert.notEqual(error.message, "");
    if (about !== undefined) assert.match(error.message, about);
    return true;
  });
}

export async function all<T>(from: AsyncIterable<T> | Iterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of from) items.push(item);
  return items;
}

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
