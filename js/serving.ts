import type { WasmModule } from "./engine.ts";
import { NacreError } from "./errors.ts";
import { mismatch } from "./open.ts";
import type { OpenOptions } from "./open.ts";
import type { Opened } from "./owner.ts";
import { StoreService } from "./service.ts";
import { openStored } from "./storage.ts";
import type { Store } from "./store.ts";
import type { Job } from "./tabs.ts";
import { Tokens } from "./tokens.ts";

/** What a page says of the database that it wants. */
export interface Wanted {
  /** Checked, and without what only a page can use. */
  readonly options: OpenOptions;
  /** The page has a mark of the database: it was there once. */
  readonly marked: boolean;
}

/** Opens the files for all tabs, whose handles say themselves what they may do. */
export async function openFiles({ name, options: wanted, again }: Job, wasm: WasmModule): Promise<Opened> {
  const { options, marked } = wanted as Wanted;
  const mode = again || options.mode === "readonly" ? "existing" : options.mode;
  const from = again ? undefined : options.from;
  const { store, backend, instead, lost } = await openStored(name, { ...options, from, mode, wasm }, marked || again);
  try {
    const tokens = new Tokens(store, () => Date.now());
    await store.settled();
    return {
      service: new StoreService(store, tokens), clients: tokens, epoch: tokens.epoch, backend, instead, lost,
      admit: (job) => admit(store, job),
      async close() {
        store.release();
        await store.settled();
      },
    };
  } catch (error) {
    try {
      store.release();
    } catch { /* the first failure is told */ }
    throw error;
  }
}

/** As for a second handle in one realm. */
function admit(store: Store, { name, options: wanted, again }: Job): NacreError | undefined {
  const { options } = wanted as Wanted;
  if ((options.mode === "create" || options.from !== undefined) && !again) return new NacreError("EXISTS", `${name} exists, and is open already`);
  return mismatch(store, `${name}: open in another tab already`, options);
}
