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

/**
 * Sends what is posted in one turn of the event loop as one message: a message costs more than
 * what is in it. `flush` sends it at once.
 */
export function gather(send: (messages: unknown[]) => void): { post(message: unknown): void; flush(): void } {
  let gathered: unknown[] = [];
  const flush = (): void => {
    const messages = gathered;
    gathered = [];
    if (messages.length > 0) send(messages);
  };
  // Answers that are ready come in different microtasks: a few of these pass, and no time.
  const flushWhenQuiet = async (): Promise<void> => {
    for (let last = 0, quiet = 0; quiet < 4 && gathered.length > 0; last = gathered.length) {
      await undefined;
      quiet = gathered.length === last ? quiet + 1 : 0;
    }
    flush();
  };
  return {
    post(message) {
      if (gathered.push(message) === 1) void flushWhenQuiet();
    },
    flush,
  };
}

/** The browser's own. */
export const browser: World = {
  async lock(name, held, signal) {
    await navigator.locks.request(name, signal === undefined ? {} : { signal }, held);
  },
  channel(name, listener) {
    const channel = new BroadcastChannel(name);
    channel.onmessage = ({ data }: { data: unknown[] }) => data.forEach(listener);
    const { post, flush } = gather((messages) => channel.postMessage(messages));
    return {
      post,
      close() {
        flush();
        channel.close();
      },
    };
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
