// The package, with databases served over a MessageChannel as another realm would serve them.
import * as real from "../../build/js/index.js";
import { PortRoute, serve } from "../../build/js/port.js";
import { remoteDatabase } from "../../build/js/remote.js";
import { StoreService } from "../../build/js/service.js";

export * from "../../build/js/index.js";

/** The database, served at the other end of a channel. */
function served(database, options) {
  const service = new StoreService(database.session.store);
  const { port1, port2 } = new MessageChannel();
  serve(port2, service, "page", async () => {
    await service.close();
    await database.close();
  });
  return remoteDatabase(new PortRoute(port1), database.name, options?.mode === "readonly");
}

/** Nobody pulls the plug here: what does not say how durable it is need not wait for the disk. */
function quick(name, options) {
  const plain = options === undefined || (typeof options === "object" && options !== null && !("durability" in options) && options.mode !== "readonly");
  return name !== ":memory:" && plain ? { durability: "none", ...options } : options;
}

export async function open(name, options) {
  return served(await real.open(name, quick(name, options)), options);
}

export async function restore(name, from, options) {
  return served(await real.restore(name, from, options), options);
}
