// A world of tabs: locks, channels and a clock of its own, all of it told by one seed. Processes
// die, freeze and wake; each channel keeps its order, and none the order of another.
import { Member } from "../../build/js/member.js";
import { Tab } from "../../build/js/tab.js";

export interface Channel {
  post(message: unknown): void;
  close(): void;
}

/** One realm: a page, or its worker. What happens to it waits while it is frozen. */
export class Realm {
  dead = false;
  frozen = false;
  readonly waiting: (() => void)[] = [];
  readonly children: Realm[] = [];
  readonly ends: (() => void)[] = [];
}

interface Event {
  at: number;
  order: number;
  run: () => void;
}

interface Request {
  realm: Realm;
  grant: () => void;
}

export class SimWorld {
  time = 0;
  events = 0;
  #order = 0;
  #random: number;
  readonly #queue: Event[] = [];
  readonly #locks = new Map<string, { holder: Request | undefined; waiting: Request[] }>();
  readonly #channels = new Map<string, Set<{ realm: Realm; deliver: (message: unknown) => void }>>();

  constructor(seed: number) {
    this.#random = seed >>> 0;
  }

  random(): number {
    let x = this.#random = (this.#random + 0x6d2b79f5) >>> 0;
    x = Math.imul(x ^ x >>> 15, x | 1);
    x ^= x + Math.imul(x ^ x >>> 7, x | 61);
    return ((x ^ x >>> 14) >>> 0) / 2 ** 32;
  }

  pick(count: number): number {
    return Math.floor(this.random() * count);
  }

  at(delay: number, run: () => void): () => void {
    return this.#atTime(this.time + delay, run);
  }

  #atTime(at: number, run: () => void): () => void {
    const event = { at, order: this.#order++, run };
    const queue = this.#queue;
    let low = 0, high = queue.length;
    while (low < high) { // the next one stands last
      const middle = low + high >> 1, other = queue[middle] as Event;
      if (other.at > event.at || (other.at === event.at && other.order > event.order)) low = middle + 1;
      else high = middle;
    }
    queue.splice(low, 0, event);
    return () => { event.run = () => {}; };
  }

  /** Something happens to a realm: now, when it thaws, or never. */
  happen(realm: Realm, run: () => void): void {
    if (realm.dead) return;
    if (realm.frozen) realm.waiting.push(run);
    else run();
  }

  later(realm: Realm, delay: number, run: () => void): () => void {
    return this.at(delay, () => this.happen(realm, run));
  }

  /** Lets virtual time pass. */
  async run(until: () => boolean, most: number): Promise<boolean> {
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve)); // promises settle
      if (until()) return true;
      const event = this.#queue.pop();
      if (event === undefined || event.at > most) {
        if (event !== undefined) this.#queue.push(event);
        this.time = most;
        return until();
      }
      this.time = event.at;
      this.events++;
      event.run();
    }
  }

  kill(realm: Realm): void {
    if (realm.dead) return;
    realm.dead = true;
    for (const end of realm.ends) end();
    for (const child of realm.children) this.kill(child);
    for (const [name, lock] of this.#locks) {
      lock.waiting = lock.waiting.filter((each) => each.realm !== realm);
      if (lock.holder?.realm === realm) this.#pass(name);
    }
  }

  freeze(realm: Realm): void {
    realm.frozen = true;
    for (const child of realm.children) this.freeze(child);
  }

  thaw(realm: Realm): void {
    realm.frozen = false;
    const waiting = realm.waiting.splice(0);
    for (const run of waiting) this.later(realm, 0, run);
    for (const child of realm.children) this.thaw(child);
  }

  #pass(name: string): void {
    const lock = this.#locks.get(name);
    if (lock === undefined) return;
    lock.holder = lock.waiting.shift();
    if (lock.holder === undefined) this.#locks.delete(name);
    else lock.holder.grant();
  }

  /** What a realm sees of the world. */
  seenBy(realm: Realm): object {
    return {
      lock: (name: string, held: () => Promise<void>, signal?: AbortSignal) => this.#lock(realm, name, held, signal),
      channel: (name: string, listener: (message: unknown) => void) => this.#channel(realm, name, listener),
      now: () => this.time,
      after: (ms: number, run: () => void) => this.later(realm, ms, run),
      random: () => this.random(),
    };
  }

  #lock(realm: Realm, name: string, held: () => Promise<void>, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const aborted = (): void => {
        const lock = this.#locks.get(name);
        const at = lock?.waiting.indexOf(request) ?? -1;
        if (at < 0) return;
        lock?.waiting.splice(at, 1);
        reject(new Error("aborted"));
      };
      const release = (): void => {
        if (this.#locks.get(name)?.holder === request) this.#pass(name);
      };
      const request: Request = {
        realm,
        grant: () => void this.later(realm, this.random(), () => {
          held().then(() => (release(), resolve()), (error: unknown) => (release(), reject(error as Error)));
        }),
      };
      if (signal?.aborted === true) return reject(new Error("aborted"));
      signal?.addEventListener("abort", aborted);
      const lock = this.#locks.get(name);
      if (lock === undefined) {
        this.#locks.set(name, { holder: request, waiting: [] });
        request.grant();
      } else {
        lock.waiting.push(request);
      }
    });
  }

  #channel(realm: Realm, name: string, listener: (message: unknown) => void): Channel {
    const listeners = this.#channels.get(name) ?? new Set();
    this.#channels.set(name, listeners);
    const me = { realm, deliver: listener };
    listeners.add(me);
    const close = (): void => void listeners.delete(me);
    realm.ends.push(close);
    const last = new Map<object, number>();
    return {
      post: (message) => {
        if (realm.dead) return;
        const copy = structuredClone(message);
        for (const other of listeners) {
          if (other === me) continue;
          const at = Math.max(last.get(other) ?? 0, this.time + this.#delay());
          last.set(other, at);
          this.#atTime(at, () => this.happen(other.realm, () => {
            if (listeners.has(other)) other.deliver(structuredClone(copy));
          }));
        }
      },
      close,
    };
  }

  #delay(): number {
    return this.random() < 0.02 ? this.random() * 300 : this.random() * 2;
  }

  /** A line between two realms, in both directions. What comes before somebody listens waits. */
  line(a: Realm, b: Realm): [object, object] {
    const ends = [new LineEnd(), new LineEnd()] as const;
    const connect = (from: Realm, end: LineEnd, to: Realm, other: LineEnd): void => {
      let last = 0;
      end.post = (message) => {
        if (from.dead) return;
        const copy = structuredClone(message);
        last = Math.max(last, this.time + this.random() * 0.2);
        this.#atTime(last, () => this.happen(to, () => other.hear(copy)));
      };
    };
    connect(a, ends[0], b, ends[1]);
    connect(b, ends[1], a, ends[0]);
    return [...ends];
  }
}

class LineEnd {
  post: (message: unknown) => void = () => {};
  #listener: ((message: unknown) => void) | undefined;
  readonly #early: unknown[] = [];

  set onmessage(listener: (message: unknown) => void) {
    this.#listener = listener;
    for (const message of this.#early.splice(0)) listener(message);
  }

  hear(message: unknown): void {
    if (this.#listener === undefined) this.#early.push(message);
    else this.#listener(message);
  }
}

// ---- A database: what is on the disk outlives everybody; exclusive handles are the fence ----

export class Disk {
  holder: Realm | undefined;
  epoch = 0;
  readonly list: string[] = [];
  readonly keys = new Set<string>();
  readonly tokens = new Map<string, unknown>();
  opens = 0;
}

interface Token {
  client: string;
  seq: number;
  oldest: number;
}

export interface Body {
  op: "append" | "remove" | "put" | "read";
  value: string;
}

/** Without tokens a request that comes twice is carried out twice. */
export function opener(world: SimWorld, realm: Realm, disk: Disk, tokens: boolean) {
  return async (): Promise<object> => {
    const pause = (most: number): Promise<void> => new Promise((resolve) => void world.later(realm, world.random() * most, resolve));
    await pause(5);
    if (disk.holder !== undefined && !disk.holder.dead) {
      const { NacreError } = await import("../../build/js/errors.js");
      throw new NacreError("BUSY", "handles are held");
    }
    disk.holder = realm;
    disk.opens++;
    await pause(20);
    if (disk.holder !== realm) throw new Error("two have the handles");
    const epoch = ++disk.epoch;
    const forget = new Map<string, number>();
    const apply = ({ op, value }: Body): unknown => {
      if (disk.holder !== realm) throw new Error("written without handles");
      switch (op) {
        case "append": return disk.list.push(value);
        case "remove": return disk.keys.delete(value);
        case "put": return void disk.keys.add(value);
        case "read": return disk.list.length;
      }
    };
    const serve = async (_from: string, body: unknown, token?: Token): Promise<{ body: unknown }> => { // takes effect in the order of the calls
      const key = token && `${token.client}/${token.seq}`;
      if (tokens && key !== undefined && disk.tokens.has(key)) return { body: disk.tokens.get(key) };
      const result = apply(body as Body);
      if (token && key !== undefined) {
        disk.tokens.set(key, result);
        const first = forget.get(token.client) ?? 0;
        for (let seq = first; seq < token.oldest; seq++) disk.tokens.delete(`${token.client}/${seq}`);
        forget.set(token.client, token.oldest);
      }
      await pause(1); // the sync
      return { body: result };
    };
    return {
      epoch,
      backend: "sim",
      service: { serve, gone: () => {}, busy: () => false, close: async () => {} },
      close: async () => {
        if (disk.holder === realm) disk.holder = undefined;
      },
    };
  };
}

/** A page with a database open. */
export class SimTab {
  readonly realm = new Realm();
  readonly world: SimWorld;
  readonly opened: Promise<Tab>;
  tab: Tab | undefined;
  failed: unknown;
  worker: Realm | undefined;

  constructor(world: SimWorld, disk: Disk, { tokens = true, visible = true, timeoutMs = Infinity, owns = true }: { tokens?: boolean; visible?: boolean; timeoutMs?: number; owns?: boolean } = {}) {
    this.world = world;
    const client = Array.from({ length: 32 }, () => world.pick(16).toString(16)).join("");
    this.opened = Tab.open({
      name: "db", world: world.seenBy(this.realm) as never, options: {}, visible, client, timeoutMs,
      start: async (job) => {
        const worker = this.worker = new Realm();
        worker.frozen = this.realm.frozen;
        this.realm.children.push(worker);
        const [page, inside] = world.line(this.realm, worker);
        world.later(worker, world.random() * 10, () => void new Member(world.seenBy(worker) as never, inside as never, job, owns ? opener(world, worker, disk, tokens) as never : undefined));
        return Object.assign(page, { terminate: () => world.kill(worker) }) as never;
      },
    });
    this.opened.then((tab) => this.tab = tab, (error: unknown) => this.failed = error);
  }

  request(body: Body): Promise<unknown> {
    return (this.tab as Tab).request(body, { writes: body.op !== "read" });
  }
}
