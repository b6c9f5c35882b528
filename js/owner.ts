import type { NacreError } from "./errors.ts";
import { packError } from "./wire.ts";
import type { Service, Token } from "./route.ts";
import { NAMES, TIMES } from "./tabs.ts";
import type { Answer, Ask, Job, OnBus, ToFollower, ToOwner } from "./tabs.ts";
import { atMost } from "./world.ts";
import type { Channel, World } from "./world.ts";

/** A database whose files this worker holds. */
export interface Opened {
  readonly service: Service;
  readonly epoch: number;
  /** Where the files are. */
  readonly backend: string;
  /** Why they are not in the OPFS. */
  readonly instead?: string | undefined;
  /** Resolves when the files are lost under it, if ever. */
  readonly lost?: Promise<NacreError> | undefined;
  /** What is remembered of clients; undefined: of none. */
  readonly clients?: Clients | undefined;
  /** Why the one that comes may not join; undefined: it may. */
  admit?(job: Job): unknown;
  /** Flushes, and gives the files back. */
  close(): Promise<void>;
}

export interface Clients {
  alive(client: string): void;
  dead(client: string): void;
  sweep(): void;
}

/** A worker that is served. */
interface Client {
  answer(answer: Answer): void;
  event(body: unknown): void;
  end(): void;
  joined: boolean;
}

/** A page: its requests outlive its workers. */
interface Page {
  life: number;
  oldest: number;
  readonly running: Map<number, { from: string; readonly abort: AbortController; readonly done: Promise<void> }>;
}

export function clientOf(from: string): { client: string; life: number } {
  const dot = from.lastIndexOf(".");
  return { client: from.slice(0, dot), life: Number(from.slice(dot + 1)) };
}

/**
 * What the owner does for its own page and for the followers.
 *
 * 1. Nothing is done for a worker that is known to be gone: what it would get could not be
 *    taken back from it.
 * 2. A request that is running is not begun twice; its answer goes to the page's newest worker.
 * 3. One whose answer the page has had is late, and ignored.
 */
export class Owner {
  readonly #world: World;
  readonly #name: string;
  readonly #from: string;
  readonly #opened: Opened;
  readonly #clients = new Map<string, Client>();
  readonly #gone = new Set<string>();
  readonly #pages = new Map<string, Page>();
  readonly #onyield: (from: string) => void;
  #sweep = (): void => {};
  #closing = false;
  hidden: boolean;

  constructor(world: World, name: string, from: string, opened: Opened, hidden: boolean, own: Omit<Client, "end" | "joined">, onyield: (from: string) => void) {
    this.#world = world;
    this.#name = name;
    this.#from = from;
    this.#opened = opened;
    this.hidden = hidden;
    this.#onyield = onyield;
    this.#clients.set(from, { ...own, end: () => {}, joined: true });
    opened.clients?.alive(clientOf(from).client);
    opened.service.onevent = (client, body) => this.#clients.get(client)?.event(body);
    this.#sweepLater();
  }

  get epoch(): number {
    return this.#opened.epoch;
  }

  /** Whether something is open that would end with this owner: it goes on then. */
  get busy(): boolean {
    return this.#opened.service.busy?.() ?? true;
  }

  #sweepLater(): void {
    this.#sweep = this.#world.after(TIMES.sweep, () => {
      try {
        this.#opened.clients?.sweep();
      } catch { /* a later batch takes it along */ }
      this.#sweepLater();
    });
  }

  announce(bus: Channel): void {
    bus.post({ kind: "owner", id: this.#from, epoch: this.epoch } satisfies OnBus);
  }

  /** Somebody asks who the owner is. */
  hello(from: string): void {
    if (this.#closing || from === this.#from || this.#gone.has(from)) return;
    let client = this.#clients.get(from);
    if (client === undefined) {
      client = this.#meet(from);
      this.#clients.set(from, client);
    }
    this.#post(client, { kind: "welcome", id: this.#from, epoch: this.epoch });
  }

  readonly #channels = new WeakMap<Client, Channel>();

  #post(client: Client, message: ToFollower): void {
    this.#channels.get(client)?.post(message);
  }

  #meet(from: string): Client {
    const { epoch } = this;
    const out = this.#world.channel(NAMES.toFollower(this.#name, from), () => {});
    const into = this.#world.channel(NAMES.toOwner(this.#name, this.#from, epoch, from), (message) => this.#heard(from, message as ToOwner));
    const watch = new AbortController();
    const client: Client = {
      joined: false,
      answer: (answer) => this.#post(client, { ...answer, epoch }),
      event: (body) => this.#post(client, { kind: "event", body, epoch }),
      end: () => {
        watch.abort();
        out.close();
        into.close();
      },
    };
    this.#channels.set(client, out);
    this.#world.lock(NAMES.client(this.#name, from), async () => this.#died(from), watch.signal).catch(() => {});
    return client;
  }

  #died(from: string): void {
    const client = this.#clients.get(from);
    if (client === undefined || this.#closing) return;
    this.#gone.add(from);
    this.#clients.delete(from);
    client.end();
    const { client: id, life } = clientOf(from);
    const page = this.#pages.get(id);
    for (const each of page?.running.values() ?? []) if (each.from === from) each.abort.abort();
    this.#opened.service.gone(from);
    if (page === undefined || page.life > life) return;
    this.#opened.clients?.dead(id);
    if (page.running.size === 0) this.#pages.delete(id);
  }

  #heard(from: string, message: ToOwner): void {
    const client = this.#clients.get(from);
    if (client === undefined || this.#closing) return;
    switch (message.kind) {
      case "join": return this.#join(client, message.job);
      case "bye": return this.#died(from);
      case "yield": return this.#onyield(from);
      case "cancel": return this.cancel(from, message.seq);
      case "ask": if (client.joined) this.take(from, message);
    }
  }

  #join(client: Client, job: Job): void {
    const { epoch } = this;
    const error = this.#opened.admit?.(job);
    if (error !== undefined) return this.#post(client, { kind: "refused", error: packError(error), epoch });
    client.joined = true;
    this.#opened.clients?.alive(job.client);
    this.#post(client, { kind: "joined", backend: this.#opened.backend, hidden: this.hidden, epoch });
  }

  cancel(from: string, seq: number): void {
    const running = this.#pages.get(clientOf(from).client)?.running.get(seq);
    if (running?.from === from) running.abort.abort();
  }

  /** A request. */
  take(from: string, { seq, oldest, writes, body }: Ask): void {
    if (this.#closing) return; // the next owner is asked again
    const { client, life } = clientOf(from);
    let page = this.#pages.get(client);
    if (page === undefined) this.#pages.set(client, page = { life, oldest: 0, running: new Map() });
    if (life < page.life) return;
    page.life = life;
    page.oldest = Math.max(page.oldest, oldest);
    if (seq < page.oldest) return;
    const running = page.running.get(seq);
    if (running !== undefined) {
      running.from = from;
      return;
    }
    const abort = new AbortController();
    const token: Token | undefined = writes ? { client, seq, oldest: page.oldest } : undefined;
    const done = this.#serve(page, seq, this.#opened.service.serve(from, body, token, abort.signal));
    page.running.set(seq, { from, abort, done });
  }

  async #serve(page: Page, seq: number, served: ReturnType<Service["serve"]>): Promise<void> {
    let answer: Answer;
    try {
      answer = { kind: "answer", seq, body: (await served).body };
    } catch (error) {
      answer = { kind: "answer", seq, error: packError(error) };
    }
    const running = page.running.get(seq);
    page.running.delete(seq);
    if (running !== undefined) this.#clients.get(running.from)?.answer(answer);
  }

  /** Gives the files back. What runs is finished, if it can be in a moment. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#sweep();
    const running = [...this.#pages.values()].flatMap((page) => [...page.running.values()].map((each) => each.done));
    if (running.length > 0) await atMost(this.#world, TIMES.handOver, Promise.all(running));
    try {
      await this.#opened.service.close();
    } finally {
      for (const client of this.#clients.values()) client.end();
      this.#clients.clear();
      await this.#opened.close();
    }
  }
}
