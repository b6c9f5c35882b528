import { loadModule } from "./engine.ts";
import type { WasmModule, WasmSource } from "./engine.ts";
import { NacreError } from "./errors.ts";
import { Member } from "./member.ts";
import type { Started } from "./tab.ts";
import type { Job } from "./tabs.ts";
import { browser, gather } from "./world.ts";
import type { Line } from "./world.ts";

/**
 * Starts the worker and finds the module, from files beside this one, or, where a bundler has
 * lost these, from a module of text (inline.js) that it keeps.
 */
const SILENCE_MS = 4000; // of a worker that is starting: then the other way is tried as well

/** What the page's policy has forbidden while something was started. */
class Policy {
  readonly #blocked = new Set<string>();
  readonly #listener = (event: { effectiveDirective?: string }): void => void this.#blocked.add(event.effectiveDirective ?? "");

  constructor() {
    this.#target.addEventListener("securitypolicyviolation", this.#listener as EventListener);
  }

  get #target(): EventTarget {
    return typeof document === "undefined" ? globalThis as unknown as EventTarget : document;
  }

  end(): void {
    this.#target.removeEventListener("securitypolicyviolation", this.#listener as EventListener);
  }

  get blocked(): boolean {
    return this.#blocked.size > 0;
  }
}

async function fromUrl(): Promise<Worker> {
  return alive(new Worker(new URL("./worker.js", import.meta.url), { type: "module" }));
}

async function fromText(): Promise<Worker> {
  const { worker } = await import("./inline.js");
  const url = URL.createObjectURL(new Blob([worker], { type: "text/javascript" }));
  try {
    return await alive(new Worker(url, { type: "module" }));
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** A worker says so when it runs; else there is an error, or silence. */
function alive(worker: Worker): Promise<Worker> {
  return new Promise((resolve, reject) => {
    worker.onmessage = () => resolve(worker);
    worker.onerror = (event) => {
      worker.terminate();
      reject(new Error(event.message || "it could not be loaded"));
    };
  });
}

let found: "url" | "text" | undefined;

async function either(): Promise<Worker> {
  if (found !== undefined) return found === "url" ? fromUrl() : fromText();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const byUrl = fromUrl();
  try {
    await Promise.race([byUrl, new Promise((resolve) => timer = setTimeout(resolve, SILENCE_MS))]);
  } catch { /* the other way */ } finally {
    clearTimeout(timer);
  }
  const silent = Symbol();
  const now = await Promise.race([byUrl.catch((error: unknown) => error), Promise.resolve(silent)]);
  if (now instanceof Worker) {
    found = "url";
    return now;
  }
  try {
    const worker = await Promise.any(now === silent ? [byUrl, fromText()] : [fromText()]);
    found = "text";
    return worker;
  } catch (error) {
    throw now === silent ? error : new AggregateError([now, ...(error as AggregateError).errors], "neither way");
  }
}

/** As bytes, whatever the server says that they are. */
async function moduleByUrl(): Promise<WasmModule> {
  return loadModule(undefined);
}

async function moduleFromText(): Promise<WasmModule> {
  const { wasm } = await import("./inline.js");
  const text = atob(wasm), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return WebAssembly.compile(bytes);
}

/** `inline`: the files are not looked for. */
export async function findModule(source: WasmSource | undefined, inline: boolean): Promise<WasmModule> {
  try {
    if (source !== undefined) return await loadModule(source);
    if (inline) return await moduleFromText();
    return await moduleByUrl().catch((error: unknown) => forbidden(error) ? Promise.reject(error) : moduleFromText());
  } catch (error) {
    if (!forbidden(error)) throw error;
    throw new NacreError("UNSUPPORTED", "open: this page's Content-Security-Policy forbids WebAssembly: its script-src needs 'wasm-unsafe-eval'", { cause: error });
  }
}

function forbidden(error: unknown): boolean {
  const cause = error instanceof NacreError ? error.cause : error;
  return cause instanceof WebAssembly.CompileError && /content security policy|unsafe-eval|\bCSP\b/i.test(cause.message);
}

/** A worker with a job. */
export async function startWorker(job: Job, module: WasmModule, inline: boolean): Promise<Started> {
  if (typeof Worker === "undefined") return startHere(job);
  const policy = new Policy();
  try {
    const worker = await (inline ? fromText() : either());
    const line: Started = { post: gather((messages) => worker.postMessage(messages)).post, onmessage: () => {}, terminate: () => worker.terminate() };
    worker.onerror = null;
    worker.onmessage = ({ data: messages }: { data: unknown[] }) => {
      for (const message of messages) line.onmessage(message);
    };
    worker.postMessage({ job, wasm: module });
    return line;
  } catch (error) {
    if (policy.blocked) throw new NacreError("UNSUPPORTED", `open: ${job.name}: this page's Content-Security-Policy forbids the worker: it needs worker-src 'self' (or blob:, where the worker's file is not served)`, { cause: error });
    throw new NacreError("UNSUPPORTED", `open: ${job.name}: no worker could be started: serve worker.js beside the package, or import "nacre/inline"`, { cause: error });
  } finally {
    policy.end();
  }
}

/**
 * Where no worker can be started, as in the shared workers of most browsers, files cannot be
 * opened either: what is here is served by a tab.
 */
function startHere(job: Job): Started {
  let page = (_message: unknown): void => {}, ended = false;
  const inside: Line = { post: (message) => queueMicrotask(() => { if (!ended) page(message); }), onmessage: () => {} };
  const early: unknown[] = [];
  const started: Started = {
    post: (message) => {
      const copy: unknown = structuredClone(message);
      queueMicrotask(() => inside.onmessage(copy));
    },
    set onmessage(listener: (message: unknown) => void) {
      page = listener;
      for (const message of early.splice(0)) listener(message);
    },
    terminate: () => {
      ended = true;
      inside.onmessage({ kind: "close" });
    },
  };
  page = (message) => void early.push(message);
  new Member(browser, inside, job, undefined);
  return started;
}
