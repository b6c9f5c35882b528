import type { Engine } from "./engine.ts";
import type { Durability } from "./store.ts";

export type Backend = "file" | "opfs" | "indexeddb" | "memory";

/** Where a database is, and who serves it. */
export interface Place {
  readonly backend: Backend;
  /** Whether the files are open in this tab, or asked for in another one. */
  readonly role: "owner" | "follower";
  /** Tabs and workers that have it open; 1 outside of browsers. */
  readonly tabs: number;
}

export interface StorageReport extends Place {
  /** Whether the browser promises never to evict it; files of a system are never evicted. */
  persisted: boolean;
  /** Bytes that the whole site may have, and has; null where nobody tells. In files: of this database. */
  quota: number | null;
  usage: number | null;
  durability: Durability;
}

/** Only pages are asked; in a worker it may be absent. */
function manager(): Partial<StorageManager> | undefined {
  return typeof navigator === "undefined" ? undefined : (navigator as { storage?: StorageManager }).storage;
}

export async function storageReport({ place, durability, engine }: { place: Place; durability: Durability; engine: Engine | undefined }): Promise<StorageReport> {
  if (place.backend === "file" || place.backend === "memory") {
    const usage = place.backend === "file" && engine !== undefined ? readUsage(engine) : null;
    return { ...place, persisted: place.backend === "file", quota: null, usage, durability };
  }
  const storage = manager();
  const [estimate, persisted] = await Promise.all([
    storage?.estimate?.().catch(() => undefined), storage?.persisted?.().catch(() => false)]);
  return { ...place, persisted: persisted === true, quota: estimate?.quota ?? null, usage: estimate?.usage ?? null, durability };
}

function readUsage(engine: Engine): number {
  const { file } = JSON.parse(engine.stats()) as { file: { size: number; log: number } };
  return file.size + file.log;
}

/** Asks the browser never to evict this site's data; false: it may. */
export async function persist({ backend }: Place): Promise<boolean> {
  if (backend === "file" || backend === "memory") return backend === "file";
  const storage = manager();
  return await storage?.persisted?.() === true || await storage?.persist?.() === true;
}
