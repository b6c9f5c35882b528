import type { PackedError } from "./wire.ts";


/**
 * How the tabs of one origin share a database.
 *
 * Each page that has it open starts a worker. The worker that holds the lock `owner` holds the
 * files, too, and is the owner; those of the other tabs are followers, and forward. A pending
 * lock request is the whole election: it is granted when the owner is gone, however it went.
 *
 *     worker:  start - takes c:FROM - queues for owner - "who" -+- welcome, join, joined -> FOLLOWER
 *                                                               '- lock granted -> OPENING -> OWNER
 *     FOLLOWER - lock granted -> OPENING          FOLLOWER - an owner of a higher epoch -> all that is
 *                                                 pending is sent again, in its order
 *     any - freeze, pagehide -> the page ends its worker; resume, pageshow -> a new one, the same client
 *
 * 1. A page is a client (128 random bits); FROM is CLIENT.LIFE, where a life is that of one
 *    worker. Who queues for the lock `c:FROM` and gets it knows that this worker is gone.
 * 2. Numbers of requests, and the oldest one that is waited for, belong to the page: an answer
 *    may reach its worker and die with it there.
 * 3. A request that writes carries a token (client, number), committed with what it does. It
 *    is sent until it is answered, and carried out once.
 * 4. Epochs rise with each owner (tokens.ts). What is of a lower one than the newest known is
 *    ignored on both sides.
 * 5. Requests go over a channel of their own for each pair of owner, in one epoch, and follower,
 *    which both have tried (join, joined) before anything else is sent on it. Only what one
 *    channel carries has an order: what is late on that of an earlier epoch is not heard.
 */
export const NAMES = {
  owner: (name: string) => `nacre:${name}:owner`,
  client: (name: string, from: string) => `nacre:${name}:c:${from}`,
  bus: (name: string) => `nacre:${name}:bus`,
  toOwner: (name: string, owner: string, epoch: number, from: string) => `nacre:${name}:${owner}@${epoch}<${from}`,
  toFollower: (name: string, from: string) => `nacre:${name}:>${from}`,
};

/** Milliseconds. */
export const TIMES = {
  open: 10_000,
  /** For a worker to have its lock. */
  start: 5000,
  /** Between two calls of "who". */
  who: 500,
  /** Without an answer, before "who" is called. */
  silence: 1000,
  /** Files that somebody still holds: the first, the longest wait between two tries, and all. */
  busyFirst: 2, busyMost: 200, busy: 5000,
  sweep: 600_000,
  /** For requests under way when the files are handed over. */
  handOver: 2000,
};

/** What a page gives its worker. */
export interface Job {
  readonly name: string;
  readonly client: string;
  readonly life: number;
  /** Of open(), checked: what a structured clone takes. */
  readonly options: unknown;
  /** The page had it open before: it exists, and is not to be made anew. */
  readonly again: boolean;
  readonly visible: boolean;
}

export interface Ask {
  readonly kind: "ask";
  readonly seq: number;
  readonly oldest: number;
  readonly writes: boolean;
  readonly body: unknown;
}

export interface Cancel {
  readonly kind: "cancel";
  readonly seq: number;
}

/** From a page to its worker. */
export type ToWorker = Ask | Cancel | { readonly kind: "visible"; readonly visible: boolean } | { readonly kind: "close" };


export type Answer = { readonly kind: "answer"; readonly seq: number; readonly body?: unknown; readonly error?: PackedError };

/** From a worker to its page. */
export type ToPage =
  | Answer
  | { readonly kind: "locked" } // the lock c:FROM is held
  | { readonly kind: "opening" } // it holds the lock `owner`
  | { readonly kind: "role"; readonly role: Role; readonly epoch: number; readonly backend: string }
  | { readonly kind: "busy" | "refused"; readonly error: PackedError }
  | { readonly kind: "event"; readonly body: unknown }
  | { readonly kind: "closed" };

export type Role = "owner" | "follower";

export type OnBus =
  | { readonly kind: "who"; readonly from: string }
  | { readonly kind: "owner"; readonly id: string; readonly epoch: number }
  | { readonly kind: "hidden"; readonly epoch: number; readonly hidden: boolean }
  | { readonly kind: "yield"; readonly to: string };

export type ToOwner = Ask | Cancel | { readonly kind: "join"; readonly job: Job } | { readonly kind: "yield" } | { readonly kind: "bye" };

export type ToFollower = { readonly epoch: number } & (
  | Answer
  | { readonly kind: "welcome"; readonly id: string }
  | { readonly kind: "joined"; readonly backend: string; readonly hidden: boolean }
  | { readonly kind: "refused"; readonly error: PackedError }
  | { readonly kind: "event"; readonly body: unknown });
