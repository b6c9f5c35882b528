import { NacreError } from "./errors.ts";
import { Owner } from "./owner.ts";
import type { Opened } from "./owner.ts";
import { NAMES, TIMES } from "./tabs.ts";
import type { Ask, Job, OnBus, ToFollower, ToOwner, ToPage, ToWorker } from "./tabs.ts";
import { packError } from "./wire.ts";
import type { PackedError } from "./wire.ts";
import type { Channel, Line, World } from "./world.ts";

/** Opens the files. BUSY: somebody has them still, and it is tried again. */
export type Opener = (job: Job) => Promise<Opened>;

/**
 * One worker's part in sharing a database (tabs.ts): it stands for election, forwards what its
 * page asks to the owner, and is the owner once it is its turn.
 */
export class Member {
  readonly #world: World;
  readonly #line: Line;
  readonly #job: Job;
  readonly #from: string;
  /** Absent where files cannot be opened: it only follows. */
  readonly #open: Opener | undefined;
  readonly #pending = new Map<number, Ask>();
  readonly #end: Promise<void>;
  #ended = (): void => {};
  #closed = false;
  #visible: boolean;
  #bus: Channel | undefined;
  #inbox: Channel | undefined;
  /** Of the lock `owner`. */
  #queue: AbortController | undefined;
  #standing = false;
  #opening = false;
  #owner: Owner | undefined;
  #resign = (): void => {};
  /** The newest owner's. */
  #epoch = 0;
  #toOwner: Channel | undefined;
  #joined = false;
  #ownerHidden = false;
  #heardAt = 0;
  #calling: (() => void) | undefined;
  /** Why the files could not be opened, or why the owner refuses this one. */
  #refusal: PackedError | undefined;

  constructor(world: World, line: Line, job: Job, open: Opener | undefined) {
    this.#world = world;
    this.#line = line;
    this.#job = job;
    this.#from = `${job.client}.${job.life}`;
    this.#open = open;
    this.#visible = job.visible;
    this.#end = new Promise((resolve) => this.#ended = resolve);
    line.onmessage = (message) => this.#onPage(message as ToWorker);
    world.lock(NAMES.client(job.name, this.#from), () => this.#begin()).catch(() => {});
  }

  #post(message: ToPage): void {
    this.#line.post(message);
  }

  /** The lock `c:FROM` is held as long as this runs. */
  #begin(): Promise<void> {
    this.#post({ kind: "locked" });
    if (this.#open === undefined) this.#post({ kind: "busy", error: packError(new NacreError("UNSUPPORTED", `open: ${this.#job.name}: no tab has it open, and a shared worker cannot open files in this browser`)) });
    if (this.#closed) return this.#end;
    this.#bus = this.#world.channel(NAMES.bus(this.#job.name), (message) => this.#onBus(message as OnBus));
    this.#inbox = this.#world.channel(NAMES.toFollower(this.#job.name, this.#from), (message) => this.#onOwner(message as ToFollower));
    this.#stand();
    this.#call();
    return this.#end;
  }

  // ---- The page ----

  #onPage(message: ToWorker): void {
    switch (message.kind) {
      case "ask":
        if (this.#refusal !== undefined) return this.#post({ kind: "answer", seq: message.seq, error: this.#refusal });
        this.#pending.set(message.seq, message);
        if (this.#owner !== undefined) this.#owner.take(this.#from, message);
        else if (this.#joined) this.#toOwner?.post(message);
        this.#callLater();
        return;
      case "cancel":
        if (this.#owner !== undefined) this.#owner.cancel(this.#from, message.seq);
        else if (this.#joined) this.#toOwner?.post(message);
        return;
      case "visible": return this.#see(message.visible);
      case "close": void this.#close();
    }
  }

  #settle(message: ToPage & { kind: "answer" }): void {
    this.#heardAt = this.#world.now();
    if (this.#pending.delete(message.seq)) this.#post(message);
  }

  async #close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#calling?.();
    this.#queue?.abort();
    if (this.#joined) this.#toOwner?.post({ kind: "bye" } satisfies ToOwner);
    this.#resign();
    await this.#lastOwned;
    this.#toOwner?.close();
    this.#inbox?.close();
    this.#bus?.close();
    this.#post({ kind: "closed" });
    this.#ended();
  }

  // ---- Following ----

  #call(): void {
    this.#calling?.();
    this.#calling = undefined;
    if (this.#closed || this.#owner !== undefined || this.#opening) return;
    this.#bus?.post({ kind: "who", from: this.#from } satisfies OnBus);
    this.#callLater();
  }

  /** Who has no answer asks whether there is another owner. */
  #callLater(): void {
    if (this.#calling !== undefined || this.#closed || (this.#joined && this.#pending.size === 0)) return;
    const called = this.#world.now();
    this.#calling = this.#world.after(TIMES.who, () => {
      this.#calling = undefined;
      const silent = this.#world.now() - Math.max(this.#heardAt, called - TIMES.who) >= TIMES.silence;
      if (!this.#joined || silent) this.#call();
      else this.#callLater();
    });
  }

  #onBus(message: OnBus): void {
    if (this.#closed) return;
    switch (message.kind) {
      case "who": return this.#owner?.hello(message.from);
      case "owner":
        if (message.epoch > this.#epoch) this.#call();
        return;
      case "hidden":
        if (message.epoch !== this.#epoch || this.#owner !== undefined) return;
        this.#ownerHidden = message.hidden;
        return this.#want();
      case "yield": // those that nobody looks at stand behind
        if (message.to !== this.#from && !this.#visible && this.#owner === undefined && !this.#opening) this.#standAnew();
    }
  }

  #onOwner(message: ToFollower): void {
    if (this.#closed || this.#owner !== undefined || this.#opening || message.epoch < this.#epoch) return;
    if (message.kind === "welcome") {
      if (message.epoch > this.#epoch || !this.#joined) this.#join(message.id, message.epoch);
      return;
    }
    if (message.epoch !== this.#epoch) return;
    switch (message.kind) {
      case "joined":
        if (this.#joined) return;
        this.#joined = true;
        this.#refusal = undefined;
        if (!this.#standing) this.#stand();
        this.#ownerHidden = message.hidden;
        this.#post({ kind: "role", role: "follower", epoch: this.#epoch, backend: message.backend });
        for (const ask of this.#pending.values()) this.#toOwner?.post(ask);
        this.#heardAt = this.#world.now();
        return this.#want();
      case "refused": return this.#refuse(message.error);
      case "answer": return this.#settle({ kind: "answer", seq: message.seq, ...("error" in message ? { error: message.error } : { body: message.body }) });
      case "event": this.#post({ kind: "event", body: message.body });
    }
  }

  #join(owner: string, epoch: number): void {
    this.#leave();
    this.#epoch = epoch;
    this.#toOwner = this.#world.channel(NAMES.toOwner(this.#job.name, owner, epoch, this.#from), () => {});
    this.#toOwner.post({ kind: "join", job: { ...this.#job, again: this.#job.again || this.#epoch > 0 } } satisfies ToOwner);
    this.#callLater();
  }

  #leave(): void {
    this.#joined = false;
    this.#toOwner?.close();
    this.#toOwner = undefined;
  }

  #refuse(error: PackedError): void {
    this.#refusal = error;
    this.#post({ kind: "refused", error });
    for (const seq of this.#pending.keys()) this.#post({ kind: "answer", seq, error });
    this.#pending.clear();
  }

  // ---- Owning ----

  #lastOwned: Promise<void> = Promise.resolve();

  /** Queues for the lock `owner`. */
  #stand(): void {
    if (this.#closed || this.#open === undefined) return;
    const queue = this.#queue = new AbortController();
    this.#standing = true;
    let elected = false;
    const own = (): Promise<void> => {
      elected = true;
      return this.#lastOwned = this.#own();
    };
    const again = (): void => {
      if (elected) this.#drop();
      if (this.#queue !== queue) return;
      this.#standing = false;
      // After a refusal another one has its turn; this one follows it, if it succeeds.
      if (this.#refusal === undefined) this.#stand();
    };
    this.#world.lock(NAMES.owner(this.#job.name), own, queue.signal).then(again, again);
  }

  /** A request that was granted already, unheard yet, counts all the same: then two queue. */
  #standAnew(): void {
    this.#queue?.abort();
    this.#stand();
  }

  /** The lock is gone, given or stolen: so are the files. */
  #drop(): void {
    this.#resign();
    this.#owner = undefined;
    this.#opening = false;
    this.#call();
  }

  async #own(): Promise<void> {
    if (this.#closed) return;
    this.#opening = true;
    this.#leave();
    this.#calling?.();
    this.#calling = undefined;
    this.#post({ kind: "opening" });
    const opened = await this.#openFiles();
    if (opened === undefined) {
      this.#opening = false;
      return;
    }
    const resigned = new Promise<void>((resolve) => this.#resign = resolve);
    this.#epoch = opened.epoch;
    const owner = this.#owner = new Owner(this.#world, this.#job.name, this.#from, opened, !this.#visible, {
      answer: (answer) => this.#settle(answer),
      event: (body) => this.#post({ kind: "event", body }),
    }, (from) => this.#yield(from));
    this.#opening = false;
    if (this.#closed) return owner.close();
    this.#post({ kind: "role", role: "owner", epoch: opened.epoch, backend: opened.backend });
    for (const ask of this.#pending.values()) owner.take(this.#from, ask);
    if (this.#bus !== undefined) owner.announce(this.#bus);
    void opened.lost?.then((why) => {
      if (this.#owner !== owner) return;
      if (why.code === "EVICTED") this.#refuse(packError(why));
      this.#resign(); // whoever opens the files next finds what was acknowledged, or why not
    });
    await resigned;
    try {
      await owner.close();
    } catch { /* what was acknowledged is there; the next owner finds the rest out */ }
  }

  async #openFiles(): Promise<Opened | undefined> {
    const open = this.#open as Opener;
    const job = { ...this.#job, again: this.#job.again || this.#epoch > 0 };
    const from = this.#world.now();
    for (let wait = TIMES.busyFirst; ; wait = Math.min(TIMES.busyMost, 2 * wait)) {
      try {
        const opened = await open(job);
        if (!this.#closed) return opened;
        await opened.service.close();
        await opened.close();
        return undefined;
      } catch (error) {
        if (this.#closed) return undefined;
        if (!(error instanceof NacreError && error.code === "BUSY")) {
          this.#refuse(packError(error));
          return undefined;
        }
        if (this.#world.now() - from > TIMES.busy) this.#post({ kind: "busy", error: packError(error) });
      }
      await new Promise<void>((resolve) => this.#world.after(wait * (0.5 + this.#world.random()), resolve));
      if (this.#closed) return undefined;
    }
  }

  // ---- Ownership follows the eye ----

  #see(visible: boolean): void {
    this.#visible = visible;
    if (this.#owner !== undefined) {
      this.#owner.hidden = !visible;
      this.#bus?.post({ kind: "hidden", epoch: this.#epoch, hidden: !visible } satisfies OnBus);
    }
    this.#want();
  }

  /** A page that is looked at asks one that is not for the files. */
  #want(): void {
    if (this.#joined && this.#visible && this.#ownerHidden && this.#open !== undefined) this.#toOwner?.post({ kind: "yield" } satisfies ToOwner);
  }

  #yield(to: string): void {
    if (!this.#owner?.hidden || this.#owner.busy) return;
    this.#bus?.post({ kind: "yield", to } satisfies OnBus);
    this.#resign();
  }
}
