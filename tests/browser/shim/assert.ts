// node:assert/strict, as far as the suites need it.
class AssertionError extends Error {
  override readonly name = "AssertionError";
}

function shown(value: unknown): string {
  try {
    return JSON.stringify(value, (_, each: unknown) => typeof each === "bigint" ? `${each}n` : ArrayBuffer.isView(each) ? `${each.constructor.name} ${String(each)}` : each)?.slice(0, 400) ?? String(value);
  } catch {
    return String(value);
  }
}

function fail(message: unknown): never {
  if (message instanceof Error) throw message;
  throw new AssertionError(String(message ?? "failed"));
}

/** The same type, prototype and members, all the way down. */
function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  if (a instanceof Date) return Object.is(a.getTime(), (b as Date).getTime());
  if (ArrayBuffer.isView(a) && !(a instanceof DataView)) {
    const left = a as unknown as ArrayLike<number>, right = b as ArrayLike<number>;
    if (left.length !== right.length) return false;
    for (let i = 0; i < left.length; i++) if (!Object.is(left[i], right[i])) return false;
    return true;
  }
  if (a instanceof Map) return a.size === (b as Map<unknown, unknown>).size && [...a].every(([key, value]) => (b as Map<unknown, unknown>).has(key) && same(value, (b as Map<unknown, unknown>).get(key)));
  if (a instanceof Set) return a.size === (b as Set<unknown>).size && [...a].every((each) => (b as Set<unknown>).has(each));
  if (Array.isArray(a) && a.length !== (b as unknown[]).length) return false;
  if (a instanceof Error && (a.message !== (b as Error).message || a.name !== (b as Error).name)) return false;
  const names = Object.keys(a);
  return names.length === Object.keys(b).length &&
    names.every((name) => Object.hasOwn(b, name) && same((a as Record<string, unknown>)[name], (b as Record<string, unknown>)[name]));
}

/** What a thrown value is to be: a class, a test, an expression, or members. */
function matches(error: unknown, wanted: unknown, message?: unknown): void {
  if (wanted === undefined || typeof wanted === "string") return;
  if (wanted instanceof RegExp) {
    if (!wanted.test(String(error))) fail(message ?? `${String(error)} does not match ${wanted}`);
  } else if (typeof wanted === "function") {
    if (wanted.prototype !== undefined && error instanceof wanted) return;
    if (Error.isPrototypeOf(wanted)) throw error;
    if ((wanted as (error: unknown) => unknown)(error) !== true) fail(message ?? `the test of ${String(error)} does not give true`);
  } else {
    for (const [name, value] of Object.entries(wanted as object)) {
      const found = (error as Record<string, unknown>)[name];
      if (value instanceof RegExp ? !value.test(String(found)) : !same(found, value)) fail(message ?? `${name}: ${shown(found)}, not ${shown(value)}: ${String(error)}`);
    }
  }
}

const ok = (value: unknown, message?: unknown): void => {
  if (!value) fail(message ?? `${shown(value)} is not true`);
};

const assert = Object.assign(ok, {
  ok, fail,
  equal(a: unknown, b: unknown, message?: unknown): void {
    if (!Object.is(a, b)) fail(message ?? `${shown(a)} is not ${shown(b)}`);
  },
  notEqual(a: unknown, b: unknown, message?: unknown): void {
    if (Object.is(a, b)) fail(message ?? `both are ${shown(a)}`);
  },
  deepEqual(a: unknown, b: unknown, message?: unknown): void {
    if (!same(a, b)) fail(message ?? `${shown(a)} is not equal to ${shown(b)}`);
  },
  deepStrictEqual(a: unknown, b: unknown, message?: unknown): void {
    assert.deepEqual(a, b, message);
  },
  match(text: string, expression: RegExp, message?: unknown): void {
    if (!expression.test(text)) fail(message ?? `${shown(text)} does not match ${expression}`);
  },
  throws(call: () => unknown, wanted?: unknown, message?: unknown): void {
    let thrown: { error: unknown } | undefined;
    try {
      call();
    } catch (error) {
      thrown = { error };
    }
    if (thrown === undefined) fail(message ?? "nothing was thrown");
    matches((thrown as { error: unknown }).error, wanted, message);
  },
  async rejects(from: Promise<unknown> | (() => Promise<unknown>), wanted?: unknown, message?: unknown): Promise<void> {
    let thrown: { error: unknown } | undefined;
    try {
      await (typeof from === "function" ? from() : from);
    } catch (error) {
      thrown = { error };
    }
    if (thrown === undefined) fail(message ?? "nothing was rejected");
    matches((thrown as { error: unknown }).error, wanted, message);
  },
});
export default assert;
