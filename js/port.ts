import { NacreError } from "./errors.ts";
import type { RequestOptions, Route, Service } from "./route.ts";
import { packError, unpackError } from "./wire.ts";
import type { PackedError } from "./wire.ts";

/** What of a MessagePort, or of a worker, is needed here. */
export interface Port {
  postMessage(message: unknown, transfer: Transferable[]): void;
  onmessage: ((event: MessageEvent) => void) | null;
}

/** In Node: an open port alone does not keep the process alive. */
function keepAlive(port: Port, alive: boolean): void {
  const { ref, unref } = port as { ref?: () => void; unref?: () => void };
  if (alive) ref?.call(port);
  else unref?.call(port);
}

type Question =
  | { readonly id: number; readonly body: unknown; readonly writes: boolean }
  | { readonly cancel: number }
  | { readonly close: number };

type Answer =
  | { readonly id: number; readonly body?: unknown; readonly error?: PackedError }
  | { readonly event: unknown };

interface Waiting {
  resolve(body: unknown): void;
  reject(error: NacreError): void;
}

/** The way to a service at the other end of a port. */
export class PortRoute implements Route {
  onevent: ((body: unknown) => void) | undefined;
  readonly #port: Port;
  readonly #waiting = new Map<number, Waiting>();
  #last = 0;

  constructor(port: Port) {
    this.#port = port;
    port.onmessage = ({ data }: { data: Answer }) => this.#answered(data);
    keepAlive(port, false);
  }

  #answered(answer: Answer): void {
    if ("event" in answer) return this.onevent?.(answer.event);
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (this.#waiting.size === 0) keepAlive(this.#port, false);
    if (answer.error !== undefined) waiting?.reject(unpackError(answer.error));
    else waiting?.resolve(answer.body);
  }

  request(body: unknown, { writes = false, transfer = [], cancel }: RequestOptions = {}): Promise<unknown> {
    const id = ++this.#last;
    this.#send({ id, body, writes }, transfer);
    if (cancel !== undefined) cancel.addEventListener("abort", () => this.#port.postMessage({ cancel: id } satisfies Question, []), { once: true });
    return this.#answer(id);
  }

  #send(question: Question, transfer: readonly Transferable[]): void {
    this.#port.postMessage(question, [...transfer]);
  }

  #answer(id: number): Promise<unknown> {
    if (this.#waiting.size === 0) keepAlive(this.#port, true);
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  async close(): Promise<void> {
    const id = ++this.#last;
    this.#send({ close: id }, []);
    await this.#answer(id);
    this.#port.onmessage = null;
    (this.#port as { close?: () => void }).close?.();
  }
}

/** Answers what comes through a port. `closed` ends the database; its failure is the one of `close()`. */
export function serve(port: Port, service: Service, client: string, closed: () => Promise<void>): void {
  const cancels = new Map<number, AbortController>();
  const answer = (message: Answer, transfer: readonly Transferable[] = []): void => port.postMessage(message, [...transfer]);
  const refuse = (id: number, error: unknown): void => answer({ id, error: packError(error) });
  service.onevent = (_to, event) => answer({ event });
  port.onmessage = ({ data }: { data: Question }) => {
    if ("cancel" in data) return cancels.get(data.cancel)?.abort();
    if ("close" in data) {
      service.gone(client);
      return void closed().then(() => answer({ id: data.close }), (error: unknown) => refuse(data.close, error));
    }
    const { id, body } = data, cancel = new AbortController();
    cancels.set(id, cancel);
    service.serve(client, body, undefined, cancel.signal)
      .then((served) => answer({ id, body: served.body }, served.transfer), (error: unknown) => refuse(id, error))
      .finally(() => cancels.delete(id));
  };
  keepAlive(port, false);
}
