import { NacreError } from "./errors.ts";
import type { RequestOptions, Route } from "./route.ts";
import { NAMES, TIMES } from "./tabs.ts";
import type { Ask, Job, Role, ToPage, ToWorker } from "./tabs.ts";
import { unpackError } from "./wire.ts";
import { atMost } from "./world.ts";
import type { Line, World } from "./world.ts";

/** A worker that runs a Member. */
export interface Started extends Line {
  /** At once, whatever it does. */
  terminate(): void;
}

export interface TabOptions {
  readonly name: string;
  readonly world: World;
  /** Starts a worker with a job. Rejects with what is said to the user. */
  readonly start: (job: Job) => Promise<Started>;
  readonly options: unknown;
  readonly visible: boolean;
  readonly client: string;
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface Pending {
  readonly settled: Promise<void>;
  readonly ask: Omit<Ask, "oldest">;
  resolve(body: unknown): void;
  reject(error: NacreError): void;
}

/**
 * A page's way to the owner of a database: it has the requests, their numbers and those that
 * wait for an answer, and starts a worker, and another one when that is gone.
 *
 * 1. What was sent is sent again by each new worker, until it is answered. Whether it was
 *    carried out is the database's to know (tokens.ts), so nothing is refused on a guess.
 * 2. A page that is frozen or put aside ends its worker at once, from here: a worker that is
 *    asked to let go may be frozen before it has.
 */
export class Tab implements Route {
  onevent: ((body: unknown) => void) | undefined;
  /** Another owner serves from now on. */
  onowner: (() => void) | undefined;
  role: Role = "follower";
  epoch = 0;
  backend = "";
  readonly #options: TabOptions;
  readonly #pending = new Map<number, Pending>();
  #seq = 0;
  #life = 0;
  #worker: Started | undefined;
  /** Of the lock that tells when the worker is gone. */
  #watch: AbortController | undefined;
  #asleep = false;
  #closed: Promise<void> | undefined;
  #visible: boolean;
  #again = false;
  /** What open() waits for. */
  #opened = { resolve: (): void => {}, reject: (_error: NacreError): void => {} };
  #step: "starting" | "waiting" | "opening" = "starting";
  #busy: NacreError | undefined;
  #workerClosed = (): void => {};

  private constructor(options: TabOptions) {
    this.#options = options;
    this.#visible = options.visible;
  }

  /** A tab that has a role. */
  static async open(options: TabOptions): Promise<Tab> {
    const tab = new Tab(options);
    const { world, signal, timeoutMs = TIMES.open } = options;
    const opened = new Promise<void>((resolve, reject) => tab.#opened = { resolve, reject });
    const abort = (): void => tab.#opened.reject(new NacreError("ABORTED", `open: ${options.name}: aborted`, { cause: signal?.reason }));
    const over = timeoutMs === Infinity ? (): void => {} : world.after(timeoutMs, () => tab.#opened.reject(tab.#late(timeoutMs)));
    if (signal?.aborted === true) abort();
    signal?.addEventListener("abort", abort);
    tab.#start();
    try {
      await opened;
      tab.#again = true;
      return tab;
    } catch (error) {
      tab.#end();
      tab.#closed = Promise.resolve();
      throw error;
    } finally {
      over();
      signal?.removeEventListener("abort", abort);
    }
  }

  #late(ms: number): NacreError {
    const { name } = this.#options;
    if (this.#busy !== undefined) return this.#busy;
    switch (this.#step) {
      case "waiting": return new NacreError("BUSY", `open: ${name}: another tab or window of this site holds the files and has not answered for ${ms} ms; it may be suspended: look at it or close it`);
      case "opening": return new NacreError("TIMEOUT", `open: ${name}: the files were not open after ${ms} ms; give it more with timeoutMs`);
      default: return new NacreError("TIMEOUT", `open: ${name}: the worker has not started after ${ms} ms`);
    }
  }

  // ---- The worker ----

  #start(): void {
    const life = ++this.#life;
    const { name, client, options } = this.#options;
    this.#step = "starting";
    this.#options.start({ name, client, life, options, again: this.#again, visible: this.#visible }).then((worker) => {
      if (life !== this.#life || this.#asleep || this.#closed !== undefined) return worker.terminate();
      this.#worker = worker;
      this.#options.world.after(TIMES.start * Math.min(life, 12), () => {
        if (life === this.#life && this.#step === "starting") this.#startAnew(); // it died before it had its lock
      });
      worker.onmessage = (message) => {
        if (this.#worker === worker) this.#hear(life, message as ToPage);
      };
      for (const { ask } of this.#pending.values()) this.#send(ask);
    }, (error: unknown) => {
      if (life === this.#life && !this.#asleep) this.#fail(error instanceof NacreError ? error : new NacreError("INTERNAL", `open: ${name}: ${String(error)}`, { cause: error }));
    });
  }

  #startAnew(): void {
    if (this.#closed !== undefined || this.#asleep) return;
    this.#end();
    this.#start();
  }

  /** Without a word to it. */
  #end(): void {
    this.#life++;
    this.#watch?.abort();
    this.#worker?.terminate();
    this.#worker = undefined;
  }

  #post(message: ToWorker): void {
    this.#worker?.post(message);
  }

  #hear(life: number, message: ToPage): void {
    switch (message.kind) {
      case "locked":
        this.#step = "waiting";
        return this.#look(life);
      case "opening":
        this.#step = "opening";
        return;
      case "busy":
        this.#busy = unpackError(message.error);
        return;
      case "role": {
        const another = message.epoch !== this.epoch;
        [this.role, this.epoch, this.backend, this.#busy] = [message.role, message.epoch, message.backend, undefined];
        this.#opened.resolve();
        if (another) this.onowner?.();
        return;
      }
      case "refused": return this.#opened.reject(unpackError(message.error));
      case "answer": return this.#answered(message);
      case "event": return this.onevent?.(message.body);
      case "closed": this.#workerClosed();
    }
  }

  /** A worker that dies gives no event: its lock tells. */
  #look(life: number): void {
    const watch = this.#watch = new AbortController();
    this.#options.world.lock(NAMES.client(this.#options.name, `${this.#options.client}.${life}`), async () => {
      if (life === this.#life) this.#startAnew();
    }, watch.signal).catch(() => {});
  }

  /** No worker can be started: nobody will answer. */
  #fail(error: NacreError): void {
    this.#opened.reject(error);
    for (const pending of this.#pending.values()) pending.reject(error);
    this.#pending.clear();
  }

  // ---- The page's life ----

  /** The page is frozen or goes away: nothing of it may hold the files. */
  sleep(): void {
    if (this.#asleep) return;
    this.#asleep = true;
    this.#end();
  }

  wake(): void {
    if (!this.#asleep || this.#closed !== undefined) return;
    this.#asleep = false;
    this.#start();
  }

  see(visible: boolean): void {
    this.#visible = visible;
    this.#post({ kind: "visible", visible });
  }

  // ---- Requests ----

  request(body: unknown, options: RequestOptions = {}): Promise<unknown> {
    if (this.#closed !== undefined) return Promise.reject(new NacreError("CLOSED", `${this.#options.name}: closed`));
    const { writes = false, cancel } = options;
    const ask = { kind: "ask", seq: this.#seq + 1, writes, body: structuredClone(body) } as const; // as it is now, however often it is sent
    const seq = ++this.#seq;
    let settle = (): void => {};
    const settled = new Promise<void>((resolve) => settle = resolve);
    return new Promise((resolve, reject) => {
      const onCancel = (): void => this.#post({ kind: "cancel", seq });
      const done = (): void => {
        cancel?.removeEventListener("abort", onCancel);
        settle();
      };
      this.#pending.set(seq, {
        ask,
        settled,
        resolve: (value) => (done(), resolve(value)),
        reject: (error) => (done(), reject(error)),
      });
      this.#send(ask);
      cancel?.addEventListener("abort", onCancel);
    });
  }

  #send(ask: Omit<Ask, "oldest">): void {
    const [oldest = ask.seq] = this.#pending.keys();
    this.#post({ ...ask, oldest });
  }

  #answered(message: ToPage & { kind: "answer" }): void {
    const pending = this.#pending.get(message.seq);
    if (pending === undefined) return;
    this.#pending.delete(message.seq);
    if (message.error !== undefined) pending.reject(unpackError(message.error));
    else pending.resolve(message.body);
  }

  /** The worker gives back what it holds, and ends. */
  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  async #close(): Promise<void> {
    const { world } = this.#options;
    const pending = [...this.#pending.values()].map((each) => each.settled);
    if (pending.length > 0) await atMost(world, TIMES.handOver, Promise.all(pending));
    const worker = this.#worker;
    if (worker !== undefined) {
      const closed = new Promise<void>((resolve) => this.#workerClosed = resolve);
      this.#watch?.abort();
      worker.post({ kind: "close" } satisfies ToWorker);
      await atMost(world, 2 * TIMES.handOver, closed);
    }
    this.#end();
    const error = new NacreError("CLOSED", `${this.#options.name}: closed`);
    for (const each of this.#pending.values()) each.reject(error);
    this.#pending.clear();
  }
}
