// node:test, as far as the suites need it: in a page, one test after the other.
type Body = (context: Context) => unknown;

interface Suite {
  readonly parent: Suite | undefined;
  readonly before: (() => unknown)[];
  readonly beforeEach: (() => unknown)[];
  readonly afterEach: (() => unknown)[];
  readonly after: (() => unknown)[];
}

interface Registered {
  readonly name: string;
  readonly body: Body;
  readonly suite: Suite;
}

export interface Outcome {
  name: string;
  ms: number;
  failure?: string;
}

const fresh = (parent?: Suite): Suite => ({ parent, before: [], beforeEach: [], afterEach: [], after: [] });
const tests: Registered[] = [];
let suite = fresh();

class Context {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
  diagnostic(): void {}
}

const bodyOf = (rest: readonly unknown[]): Body => rest.find((each) => typeof each === "function") as Body;

export function test(name: string, ...rest: readonly unknown[]): void {
  tests.push({ name, body: bodyOf(rest), suite });
}
export const it = test;

export function describe(_name: string, ...rest: readonly unknown[]): void {
  const outer = suite;
  suite = fresh(outer);
  bodyOf(rest)(new Context(_name));
  suite = outer;
}

export const before = (run: () => unknown): void => void suite.before.push(run);
export const after = (run: () => unknown): void => void suite.after.push(run);
export const beforeEach = (run: () => unknown): void => void suite.beforeEach.push(run);
export const afterEach = (run: () => unknown): void => void suite.afterEach.push(run);

function chain(of: Suite): Suite[] {
  return of.parent === undefined ? [of] : [...chain(of.parent), of];
}

async function one({ name, body, suite: of }: Registered, ended: () => Promise<void>): Promise<Outcome> {
  const began = performance.now(), all = chain(of);
  const outcome = (failure?: unknown): Outcome => ({
    name, ms: Math.round(performance.now() - began),
    ...(failure !== undefined && { failure: failure instanceof Error ? `${failure.name} ${(failure as { code?: string }).code ?? ""}: ${failure.message}\n${failure.stack}` : String(failure) }),
  });
  try {
    for (const { before: run } of all) while (run.length > 0) await run.shift()?.();
    for (const { beforeEach: run } of all) for (const each of run) await each();
    try {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error("no end in 30 s")), 30_000); });
      await Promise.race([body(new Context(name)), late]).finally(() => clearTimeout(timer));
    } finally {
      for (const { afterEach: run } of all) for (const each of run) await each();
      await ended();
    }
    return outcome();
  } catch (error) {
    return outcome(error ?? "undefined was thrown");
  }
}

/** Runs what was declared, but for what `skip` matches. `ended` comes after each. */
export async function run(skip: RegExp, ended: () => Promise<void>): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const each of tests) if (!skip.test(each.name)) outcomes.push(await one(each, ended));
  return outcomes;
}
