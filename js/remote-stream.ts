import type { BackupReport, Outgoing } from "./backup.ts";
import { Cutoff } from "./cutoff.ts";
import type { Change } from "./changes.ts";
import type { RemoteSession } from "./link.ts";
import { Portions } from "./remote-rows.ts";

/** Bytes that come from another realm, piece by piece, of what `begun` opens there under a handle. */
export class Outflow implements Outgoing {
  readonly #session: RemoteSession;
  readonly #handle: number;
  readonly #begun: Promise<unknown> | undefined;
  #open = true;

  constructor(session: RemoteSession, handle: number, begun?: Promise<unknown>) {
    this.#session = session;
    this.#handle = handle;
    this.#begun = begun;
    begun?.catch(() => {}); // told at the first `next()`
  }

  async next(): Promise<Uint8Array | undefined> {
    await this.#begun;
    this.#session.check();
    return this.#ask("pull");
  }

  report(): Promise<BackupReport> {
    this.#open = false;
    return this.#ask("finish");
  }

  #ask(op: string): Promise<any> {
    const { link } = this.#session;
    return link.ask(op, this.#handle, link.handle());
  }

  close(): void {
    if (this.#open) this.#session.link.drop(this.#handle);
    this.#open = false;
  }
}

/** What was committed in another realm. */
export class RemoteChanges extends Portions<Change> {
  readonly #session: RemoteSession;
  readonly #options: { since: bigint | undefined; live: boolean };
  readonly #handle: number;
  readonly #cutoff: Cutoff;
  #begun: Promise<unknown> | undefined;
  #changes: Change[] = [];
  #at = 0;

  constructor(session: RemoteSession, options: { since: bigint | undefined; live: boolean }, signal: AbortSignal | undefined) {
    super();
    this.#session = session;
    this.#options = options;
    this.#handle = session.link.handle();
    this.#cutoff = new Cutoff({ signal }, "changes");
    if (options.live) this.#begin();
  }

  #begin(): void {
    this.#begun = this.#session.ask("changes", [this.#options], undefined, this.#handle);
    this.#begun.catch(() => {});
  }

  protected async first(): Promise<{ value: Change } | undefined> {
    this.#cutoff.check();
    if (!this.#options.live) this.#session.check();
    if (this.#begun === undefined) this.#begin();
    await this.#begun;
    return this.more();
  }

  protected item(): { value: Change } | undefined {
    this.#cutoff.check();
    if (!this.#options.live) this.#session.check();
    const value = this.#changes[this.#at++];
    return value === undefined ? undefined : { value };
  }

  protected async more(): Promise<{ value: Change } | undefined> {
    if (this.#session.closed) return undefined;
    const { link } = this.#session;
    const some = await this.#cutoff.race(link.ask("pull", this.#handle, link.handle())) as Change[] | undefined;
    if (some === undefined) return undefined;
    this.#changes = some;
    this.#at = 0;
    return this.item();
  }

  protected end(): void {
    this.#cutoff.end();
    this.#session.link.drop(this.#handle);
    this.#changes = [];
  }
}
