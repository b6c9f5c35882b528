import { invalid, NacreError, shown } from "./errors.ts";

export interface LongCall {
  /** When it fires, the call rejects with ABORTED; the signal's reason is the `cause`. */
  signal?: AbortSignal | undefined;
  /** Milliseconds, after which the call rejects with TIMEOUT. */
  timeoutMs?: number | undefined;
}

const TIMER_MAX = 2 ** 31 - 1; // 24 days: a longer timer would fire at once

/** What may end a long call before it is done: a signal, a time limit, or whoever calls `cut`. */
export class Cutoff {
  /** Why it was cut off, when it was. */
  reason: NacreError | undefined;
  readonly #what: string;
  readonly #signal: AbortSignal | undefined;
  readonly #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #listeners = new Set<(reason: NacreError) => void>();
  readonly #aborted = (): void => this.cut(new NacreError("ABORTED", `${this.#what}: aborted`, { cause: this.#signal?.reason }));

  /** Begins to run; `end` stops it. */
  constructor({ signal, timeoutMs }: LongCall, what: string) {
    this.#what = what;
    this.#signal = signal;
    if (signal?.aborted === true) this.#aborted();
    else signal?.addEventListener("abort", this.#aborted, { once: true });
    if (timeoutMs !== undefined && timeoutMs <= TIMER_MAX) {
      this.#timer = setTimeout(() => this.cut(new NacreError("TIMEOUT", `${what}: not done within ${timeoutMs} ms`)), timeoutMs);
    }
  }

  cut(reason: NacreError): void {
    if (this.reason !== undefined) return;
    this.reason = reason;
    for (const listener of this.#listeners) listener(reason);
  }

  /** Throws when it was cut off. */
  check(): void {
    if (this.reason !== undefined) throw this.reason;
  }

  /** Calls `listener` when it is cut off, until the function that it gives is called. */
  listen(listener: (reason: NacreError) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** What `promise` gives, or the reason if that comes first. */
  race<T>(promise: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.reason !== undefined) reject(this.reason);
      const deaf = this.listen(reject);
      promise.then(resolve, reject).finally(deaf);
    });
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener("abort", this.#aborted);
    this.#listeners.clear();
  }
}

/** `signal` and `timeoutMs` of options, checked. */
export function longCall({ signal, timeoutMs }: Record<string, unknown>, what: string): LongCall {
  if (signal !== undefined && !isSignal(signal)) {
    throw invalid(`${what}: signal must be an AbortSignal, not ${shown(signal)}`);
  }
  if (timeoutMs !== undefined && !(typeof timeoutMs === "number" && timeoutMs >= 0)) {
    throw invalid(`${what}: timeoutMs must be a number of milliseconds, not ${shown(timeoutMs)}`);
  }
  return { signal, timeoutMs };
}

/** Of any realm. */
function isSignal(value: unknown): value is AbortSignal {
  return typeof value === "object" && value !== null && typeof (value as AbortSignal).aborted === "boolean" &&
    typeof (value as AbortSignal).addEventListener === "function";
}
