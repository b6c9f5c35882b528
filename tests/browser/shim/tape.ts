// tape, as far as the suite of abstract-level needs it: tests in a row, each with its own plan.
import assert from "./assert.ts";
import { test as register } from "./test.ts";

type Body = (t: T) => unknown;

class T {
  readonly #end = new EndOf();
  #asserted = 0;
  #planned: number | undefined;
  readonly #inner: Promise<void>[] = [];

  #count(check: () => void): void {
    check();
    this.#asserted++;
    if (this.#asserted === this.#planned) this.#end.resolve();
  }
  plan(count: number): void { this.#planned = count; }
  end(): void { this.#end.resolve(); }
  is(a: unknown, b: unknown, message?: string): void { this.#try(() => assert.equal(a, b, message)); }
  isNot(a: unknown, b: unknown, message?: string): void { this.#try(() => assert.notEqual(a, b, message)); }
  same(a: unknown, b: unknown, message?: string): void { this.#try(() => assert.deepEqual(a, b, message)); }
  ok(value: unknown, message?: string): void { this.#try(() => assert.ok(value, message)); }
  pass(): void { this.#try(() => {}); }
  fail(message?: string): void { this.#try(() => assert.fail(message)); }
  throws(call: () => unknown, wanted?: unknown): void { this.#try(() => assert.throws(call, wanted)); }
  doesNotThrow(call: () => unknown): void { this.#try(() => { call(); }); }
  test(name: string, body: Body): void { this.#inner.push(runOne(name, body)); }

  #try(check: () => void): void {
    try {
      this.#count(check);
    } catch (error) {
      this.#end.reject(error);
      throw error;
    }
  }

  /** Its end: that of its promise, and all that it has planned. */
  async run(body: Body): Promise<void> {
    const given = body(this);
    if (given instanceof Promise) {
      await Promise.race([given, this.#end.failed]);
      if (this.#planned === undefined || this.#asserted >= this.#planned) this.#end.resolve();
    }
    await Promise.all(this.#inner);
    if (this.#inner.length === 0) await this.#end.promise;
    if (this.#planned !== undefined) assert.equal(this.#asserted, this.#planned, `${this.#asserted} assertions, ${this.#planned} were planned`);
  }
}

class EndOf {
  resolve!: () => void;
  reject!: (error: unknown) => void;
  readonly promise = new Promise<void>((resolve, reject) => Object.assign(this, { resolve, reject }));
  readonly failed = this.promise.then(() => new Promise<never>(() => {}));
  constructor() {
    this.promise.catch(() => {});
    this.failed.catch(() => {});
  }
}

const runOne = (_name: string, body: Body): Promise<void> => new T().run(body);

export const tape = Object.assign((name: string, ...rest: readonly unknown[]): void => {
  const body = rest.find((each) => typeof each === "function") as Body;
  register(name, () => runOne(name, body));
}, { skip(): void {}, only(): void { throw new Error("only"); } });
