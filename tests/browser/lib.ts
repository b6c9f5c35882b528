// What the browser tests share: the compiled files served from 127.0.0.1, the browsers, and
// workers in which a test runs its code.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { launch } from "puppeteer-core";
import type { Browser, Page } from "puppeteer-core";

const files = fileURLToPath(new URL("../../build/js/", import.meta.url));
const TYPES: Record<string, string> = { ".js": "text/javascript", ".wasm": "application/wasm" };

/** A worker that runs what it is sent: the text of an async function, and its arguments. */
const RUNNER = `
  onmessage = async ({ data: { id, code, args } }) => {
    try {
      postMessage({ id, value: await (0, eval)("(" + code + ")")(...args) });
    } catch (error) {
      postMessage({ id, failed: { name: String(error?.name), code: error?.code, message: String(error?.message ?? error), details: error?.details, stack: error?.stack } });
    }
  };
`;
/** The page's side: \`run(worker, code, args)\`. */
const PAGE = `<!doctype html><title>Nacre</title><script>
  const workers = new Map(), waiting = new Map();
  let last = 0;
  function worker(name) {
    let found = workers.get(name);
    if (found === undefined) {
      workers.set(name, found = new Worker("/runner.js", { type: "module" }));
      found.onmessage = ({ data }) => { waiting.get(data.id)(data); waiting.delete(data.id); };
      found.onerror = (event) => { for (const each of waiting.values()) each({ failed: { message: "worker: " + event.message } }); };
    }
    return found;
  }
  function run(name, code, args) {
    const id = ++last;
    return new Promise((resolve) => { waiting.set(id, resolve); worker(name).postMessage({ id, code, args }); });
  }
  function kill(name) { workers.get(name)?.terminate(); workers.delete(name); }
</script>`;

export interface Site {
  readonly origin: string;
  /** What pages have told with fetch("/told?..."), in the order in which it came. */
  readonly told: string[];
  close(): void;
}

export async function startSite(): Promise<Site> {
  const told: string[] = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://x"), path = normalize(url.pathname);
    if (path === "/") return void response.setHeader("content-type", "text/html").end(PAGE);
    if (path === "/runner.js") return void response.setHeader("content-type", "text/javascript").end(RUNNER);
    if (path === "/told") return void (told.push(url.search.slice(1)), response.end());
    if (path === "/clear") return void response.setHeader("Clear-Site-Data", '"storage"').end();
    const file = join(files, path.replace(/^\/js\//, ""));
    if (!existsSync(file)) return void response.writeHead(404).end();
    response.setHeader("content-type", TYPES[extname(file)] ?? "application/octet-stream").end(readFileSync(file));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, told,
    close: () => void (server.closeAllConnections(), server.close()),
  };
}

export interface Kind {
  readonly name: "Chromium" | "Firefox";
  readonly executablePath: string;
  readonly skip: string | false;
}

const kind = (name: Kind["name"], executablePath: string): Kind => ({ name, executablePath, skip: !existsSync(executablePath) && `no ${executablePath}` });
export const KINDS: readonly Kind[] = [kind("Chromium", "/usr/bin/chromium"), kind("Firefox", "/usr/bin/firefox-esr")];

const CHROMIUM_ARGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

export interface Started {
  readonly browser: Browser;
  readonly profile: string;
  /** Ends the browser and removes its profile. */
  end(): Promise<void>;
}

/** A headless browser; with a profile that is there already, the same one again. */
export async function startBrowser({ name, executablePath }: Kind, options: { profile?: string; preferences?: Record<string, unknown> } = {}): Promise<Started> {
  const profile = options.profile ?? mkdtempSync(join(tmpdir(), "nacre-browser-"));
  const browser = await launch({
    browser: name === "Chromium" ? "chrome" : "firefox", executablePath, headless: true, userDataDir: profile, timeout: 60_000,
    args: name === "Chromium" ? CHROMIUM_ARGS : [],
    ...(options.preferences !== undefined ? { extraPrefsFirefox: options.preferences } : {}),
  });
  return {
    browser, profile,
    async end() {
      await browser.close();
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** Runs a function in a worker of the page, which is made at the first use of its name. It is sent as text. */
export async function inWorker<Args extends unknown[], T>(page: Page, name: string, code: (...args: Args) => Promise<T>, ...args: Args): Promise<T> {
  const { value, failed } = await page.evaluate(
    (name, code, args) => (globalThis as never as { run(...args: unknown[]): Promise<{ value?: unknown; failed?: { message: string; code?: string } }> }).run(name, code, args), name, String(code), args);
  if (failed !== undefined) throw Object.assign(new Error(failed.message), failed);
  return value as T;
}
