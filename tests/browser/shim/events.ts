// node:events, as far as abstract-level needs it.
type Listener = (...values: unknown[]) => void;

export class EventEmitter {
  readonly #listeners = new Map<string, Listener[]>();

  on(name: string, listener: Listener): this {
    this.#listeners.set(name, [...this.#listeners.get(name) ?? [], listener]);
    return this;
  }
  addListener(name: string, listener: Listener): this {
    return this.on(name, listener);
  }
  once(name: string, listener: Listener): this {
    const run = (...values: unknown[]): void => {
      this.off(name, run);
      listener.apply(this, values);
    };
    return this.on(name, Object.assign(run, { listener }));
  }
  off(name: string, listener: Listener): this {
    this.#listeners.set(name, (this.#listeners.get(name) ?? []).filter((each) => each !== listener && (each as { listener?: Listener }).listener !== listener));
    return this;
  }
  removeListener(name: string, listener: Listener): this {
    return this.off(name, listener);
  }
  emit(name: string, ...values: unknown[]): boolean {
    const listeners = this.#listeners.get(name) ?? [];
    for (const each of listeners) each.apply(this, values);
    return listeners.length > 0;
  }
  listenerCount(name: string): number {
    return (this.#listeners.get(name) ?? []).length;
  }
  setMaxListeners(): this {
    return this;
  }
}
