import { LIMIT } from "./abi.gen.ts";
import { invalid, isPlainObject, shown } from "./errors.ts";

/**
 * The JSON text of a value that JSON keeps as it is: null, booleans, finite numbers, text,
 * arrays and plain objects of these. Anything that JSON.stringify would drop or change is
 * refused: undefined, NaN, bigint, functions, symbols, Date, Map, bytes, instances of
 * classes, holes, cycles. -0 is kept.
 */
export function jsonText(value: unknown, what: () => string): string {
  const walk: Walk = { what, negativeZero: false };
  check(value, walk, 0);
  let text: string | undefined;
  try {
    text = walk.negativeZero ? withNegativeZero(value) : JSON.stringify(value);
  } catch (error) {
    throw invalid(`${what()}: ${error instanceof Error ? error.message : String(error)}`);
  }
  // Only what changes while it is read (getters, proxies) comes this far.
  if (typeof text !== "string") throw invalid(`${what()}: ${shown(value)} is not a JSON value`);
  return text;
}

interface Walk {
  readonly what: () => string;
  negativeZero: boolean;
}

function check(value: unknown, walk: Walk, depth: number): void {
  switch (typeof value) {
    case "string":
    case "boolean":
      return;
    case "number":
      if (!Number.isFinite(value)) throw refuse(value, walk);
      if (value === 0 && Object.is(value, -0)) walk.negativeZero = true;
      return;
    case "object":
      break;
    default:
      throw refuse(value, walk);
  }
  if (value === null) return;
  if (depth === LIMIT.JSON_DEPTH) throw invalid(`${walk.what()}: a JSON value more than ${LIMIT.JSON_DEPTH} levels deep, or a cycle`);
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) check((value as unknown[])[i], walk, depth + 1);
    return;
  }
  if (!isPlainObject(value)) throw refuse(value, walk);
  if (typeof value.toJSON === "function") throw refuse(value, walk);
  for (const name in value) {
    if (Object.hasOwn(value, name)) check(value[name], walk, depth + 1);
  }
  if (Object.getOwnPropertySymbols(value).length > 0) throw invalid(`${walk.what()}: JSON has no symbols as names`);
}

function refuse(value: unknown, walk: Walk): Error {
  return invalid(`${walk.what()}: JSON does not keep ${shown(value)}`);
}

/** JSON.stringify writes -0 as 0. */
function withNegativeZero(value: unknown): string {
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
  if (Array.isArray(value)) return `[${value.map(withNegativeZero).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}:${withNegativeZero(item)}`);
  return `{${members.join(",")}}`;
}
