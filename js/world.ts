/**
 * What the part with many tabs asks of the browser: locks, channels, a clock. Handed in, so
 * that tests run it in a world of their own, with deaths and delays at every step.
 */
export interface World {
  /**
   * Waits for the lock, then holds it until what `held` gives has settled. Resolves after
   * that; rejects when `signal` ended the wait, or when somebody stole it meanwhile.
   */
  lock(name: string, held: () => Promise<void>, signal?: AbortSignal): Promise<void>;
  channel(name: string, listener: (message: unknown) => void): Channel;
  /** Milliseconds. */
  now(): number;
  /** Runs once after `ms`; what it gives ends that. */
  after(ms: number, run: () => void): () => void;
  random(): number;
}

export interface Channel {
  post(message: unknown): void;
  close(): void;
}

/** Messages between a page and its worker, in order. */
export interface Line {
  post(message: unknown, transfer?: readonly Transferable[]): void;
  onmessage: (message: unknown) => void;
}

/** The browser's own. */
export const browser: World = {
  async lock(name, held, signal) {
    await navigator.locks.request(name, signal === undefined ? {} : { signal }, held);
  },
  channel(name, listener) {
    const channel = new BroadcastChannel(name);
    channel.onmessage = ({ data }) => listener(data);
    return { post: (message) => channel.postMessage(message), close: () => channel.close() };
  },
  now: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
  random: () => Math.random(),
};

/** Waits for a promise, but not longer than that. */
export async function atMost(world: World, ms: number, promise: Promise<unknown>): Promise<void> {
  let over = (): void => {};
  await Promise.race([promise, new Promise<void>((resolve) => over = world.after(ms, resolve))]);
  over();
}
