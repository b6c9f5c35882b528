import type { Writer } from "./writer.ts";

/**
 * The way from a page to the engine that serves its database: another realm, or another tab's.
 *
 * 1. Requests take effect in the order in which they are made, and each is answered once.
 * 2. Bodies and answers are what a structured clone takes; what is in `transfer` is the route's.
 * 3. What the other side throws is the rejection, a NacreError with all its parts (wire.ts).
 */
export interface Route {
  /** Rejects with NacreError. */
  request(body: unknown, options?: RequestOptions): Promise<unknown>;
  /** What the service says by itself. */
  onevent?: ((body: unknown) => void) | undefined;
  close(): Promise<void>;
}

export interface RequestOptions {
  /** It changes the database, and must not be applied twice: it gets a token. */
  writes?: boolean | undefined;
  transfer?: readonly Transferable[] | undefined;
  /** When it fires nobody waits any more; the other side may leave the work undone. */
  cancel?: AbortSignal | undefined;
}

/** What answers in the worker that holds the files: one per open database and owner. */
export interface Service {
  /** `token`: of a request that writes, where one may come twice (another owner may know it). */
  serve(client: string, body: unknown, token?: Token, cancel?: AbortSignal): Promise<Served>;
  /** Who carries what the service says by itself to its client. */
  onevent?: ((client: string, body: unknown) => void) | undefined;
  /** The client is gone: its snapshots, iterators and transactions are released. */
  gone(client: string): void;
  /** Whether anything is open that would end with this service. */
  busy?(): boolean;
  /** Answers what is open, gives everything back, and leaves the store open. */
  close(): Promise<void>;
}

/** An answer, and which of its buffers may be transferred. */
export interface Served {
  readonly body: unknown;
  readonly transfer?: readonly Transferable[] | undefined;
}

/** Names a request that writes, for ever. */
export interface Token {
  readonly client: string;
  readonly seq: number;
  /** The lowest `seq` whose answer the client's page still waits for. */
  readonly oldest: number;
}

/**
 * What remembers the requests that were applied, in the database itself.
 *
 * 1. A request may consist of parts (the un-awaited writes of one tick), each a batch of its own.
 * 2. `note` adds a record to the batch that applies a part, so that both are there or neither.
 */
export interface TokenMemory {
  /** What was noted of this request: results by part. Undefined: nothing. */
  recall(token: Token): ReadonlyMap<number, unknown> | undefined;
  /** Between `batchBegin` and `batchEnd` of the writer: adds the record that says this part is done. */
  note(writer: Writer, token: Token, part: number, result: unknown): void;
}
