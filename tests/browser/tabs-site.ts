// Pages that write all the while, and tell the server what they were told.
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const files = fileURLToPath(new URL("../../build/js/", import.meta.url));
const TYPES: Record<string, string> = { ".js": "text/javascript", ".wasm": "application/wasm" };

/** A tab: each of its writes is told after it was acknowledged. */
const TAB = `<!doctype html><title>opening</title><script type="module">
  import { open } from "/js/index.js";
  const me = crypto.randomUUID().slice(0, 8), asked = new URLSearchParams(location.search), database = asked.get("db");
  const tell = (what, value) => fetch("/told?" + what + "," + value).catch(() => {}); // the page may be going
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const started = performance.now();
  const opening = open(database, { storage: asked.get("storage") ?? "auto" });
  opening.catch((error) => tell("failed", me + " " + error.code + " " + error.message));
  const db = await opening;
  await tell("opened", Math.round(performance.now() - started));
  const [puts, slots, burst] = await Promise.all([db.kv("puts"), db.kv("slots", { key: "integer" }), db.kv("burst")]);
  let stop = false, stopped = () => {};
  const ended = new Promise((resolve) => stopped = resolve);
  globalThis.probe = async () => { await puts.put("probe-" + me, 1); return await puts.get("probe-" + me); };
  globalThis.end = () => (stop = true, ended);
  globalThis.report = async () => {
    const rows = [];
    for await (const row of slots.entries()) rows.push(row);
    const keys = [];
    for await (const key of puts.keys()) keys.push(key);
    return { puts: keys, slots: rows, verify: await db.verify({ deep: true }) };
  };
  globalThis.db = db;
  document.title = "open";
  for (let n = 0; !stop; n++) {
    const token = me + "-" + n;
    try {
      const written = puts.put(token, n);
      const keys = Array.from({ length: 8 }, (_, i) => token + "/" + i);
      const put = Promise.all(keys.map((key) => burst.put(key, 1))), removed = Promise.all(keys.map((key) => burst.delete(key)));
      await written;
      await tell("put", token);
      await put;
      if ((await removed).some((was) => was !== true)) await tell("wrong", "a deletion of " + token + " was told it was not there");
    } catch (error) {
      await tell("wrong", token + " " + error.code + " " + error.message);
    }
    try {
      await db.transaction(async (tx) => {
        const own = await tx.kv("slots", { key: "integer" });
        const last = (await own.get(0)) ?? 0;
        await own.put(0, last + 1);
        await own.put(last + 1, token);
      });
      await tell("slot", token);
    } catch (error) {
      await tell(error.code === "CONFLICT" ? "conflict" : "wrong", token + (error.code === "CONFLICT" ? "" : " transaction: " + error.code + " " + error.message));
    }
    await pause(Math.random() * 40);
  }
  stopped();
</script>`;

export interface TabsSite {
  readonly origin: string;
  /** What pages have told, by kind. */
  readonly told: Map<string, string[]>;
  close(): void;
}

/** `pages`: others by path. Files that `lost` matches are not there. */
export async function startTabsSite(pages: Record<string, { body: string; headers?: Record<string, string> }> = {}, lost: RegExp = /^$/): Promise<TabsSite> {
  const told = new Map<string, string[]>();
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://x"), path = normalize(url.pathname).replace(/^\/again\//, "/"); // the same, as another program
    response.setHeader("cache-control", "no-store");
    if (path === "/told") {
      const [kind = "", ...value] = decodeURIComponent(url.search.slice(1)).split(",");
      told.set(kind, [...told.get(kind) ?? [], value.join(",")]);
      return void response.end();
    }
    if (path === "/clear") return void response.setHeader("clear-site-data", '"storage"').end();
    const page = path === "/tab" ? { body: TAB } : path === "/away" ? { body: "<!doctype html><title>away</title>" } : pages[path];
    if (page !== undefined) {
      response.setHeader("content-type", "text/html");
      for (const [name, value] of Object.entries("headers" in page ? page.headers ?? {} : {})) response.setHeader(name, value as string);
      return void response.end(page.body);
    }
    const file = join(files, path.replace(/^\/js\//, ""));
    if (lost.test(path) || !existsSync(file) || !path.startsWith("/js/")) return void response.writeHead(404).end();
    response.setHeader("content-type", TYPES[extname(file)] ?? "application/octet-stream").end(readFileSync(file));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, told,
    close: () => void (server.closeAllConnections(), server.close()),
  };
}
