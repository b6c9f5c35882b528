import type { Cutoff } from "./cutoff.ts";

/** One at a time, in the order in which they came. */
export class Turns {
  #taken = false;
  readonly #waiting: (() => void)[] = [];

  /** Whether it is the caller's turn now. Who has taken it gives it back. */
  take(): boolean {
    if (this.#taken) return false;
    this.#taken = true;
    return true;
  }

  /** Waits behind those that came before. Rejects when it is cut off, and has taken nothing then. */
  async wait(cutoff: Cutoff): Promise<void> {
    let mine = (): void => {};
    try {
      await cutoff.race(new Promise<void>((resolve) => this.#waiting.push(mine = resolve)));
    } catch (error) {
      const at = this.#waiting.indexOf(mine);
      if (at >= 0) this.#waiting.splice(at, 1);
      else this.give(); // it came when it was not wanted any more
      throw error;
    }
  }

  give(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#taken = false;
    else next();
  }
}
