/**
 * The package for programs that cannot serve files beside it: the same, but in a browser worker
 * and module come with the program, as a part of it that is loaded when a database is opened.
 */
import type { Database } from "./database.ts";
import { openHere } from "./open.ts";
import type { OpenOptions } from "./open.ts";

export * from "./index.ts";

/** @see index.ts */
export function open(name: string | URL, options?: OpenOptions): Promise<Database> {
  return openHere(name, options, true);
}
