// The package as the suites see it in a page: each database lies where the page was told.
// @ts-expect-error served by the site
import * as real from "/js/index.js";
// @ts-expect-error served by the site
export * from "/js/index.js";

const storage = new URLSearchParams(location.search).get("storage");
const opened: { close(): Promise<void> }[] = [];
let last = 0;

export const freshName = (): string => `db-${storage}-${Date.now().toString(36)}-${++last}`;

export async function open(name: unknown, options?: object | null): Promise<unknown> {
  const here = storage === "memory" || options === null || (options !== undefined && (typeof options !== "object" || "storage" in options));
  const memory = name === ":memory:" && storage !== "memory";
  const db = await real.open(memory ? freshName() : name, here ? options : { storage, ...options });
  opened.push(db);
  return db;
}

/** Closes what a test has left open: others of its tab wait for nothing. */
export async function closeAll(): Promise<void> {
  for (const db of opened.splice(0)) await db.close().catch(() => {});
}
