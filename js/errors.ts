import { STATUS } from "./abi.gen.ts";

/** What can go wrong; the same names as the statuses of nacre.h. */
export type ErrorCode = Exclude<keyof typeof STATUS, "OK">;

export interface NacreErrorOptions {
  cause?: unknown;
  details?: Record<string, unknown>;
}

/** Every failure of Nacre: a stable `code`, and a message that names the thing. */
export class NacreError extends Error {
  override readonly name = "NacreError";
  readonly code: ErrorCode;
  declare readonly details?: Record<string, unknown>;

  constructor(code: ErrorCode, message: string, options: NacreErrorOptions = {}) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    if (options.details !== undefined) this.details = options.details;
  }
}

const CODES = new Map<number, ErrorCode>();
for (const [name, status] of Object.entries(STATUS)) {
  if (name !== "OK") CODES.set(status, name as ErrorCode);
}

/** The failure that a status of the module means. */
export function statusError(status: number, text: string): NacreError {
  const code = CODES.get(status) ?? "INTERNAL";
  return new NacreError(code, text === "" ? code : text);
}

/** INVALID_ARGUMENT, to be thrown. */
export function invalid(message: string): NacreError {
  return new NacreError("INVALID_ARGUMENT", message);
}

/** A value, shortly, for messages. */
export function shown(value: unknown): string {
  switch (typeof value) {
    case "string": return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
    case "bigint": return `${value}n`;
    case "function": return "a function";
    case "symbol": return "a symbol";
    case "object": break;
    default: return String(value);
  }
  if (value === null) return "null";
  if (Array.isArray(value)) return `an array of ${value.length}`;
  const maker: unknown = (value as { constructor?: unknown }).constructor;
  const name = typeof maker === "function" ? maker.name : "";
  return name === "" || name === "Object" ? "an object" : `${/^[AEIOU]/.test(name) ? "an" : "a"} ${name}`;
}

/** Refuses what is no plain object, or has another member than `known`; undefined is no options. */
export function checkOptions(value: unknown, what: string, known: readonly string[]): Record<string, unknown> {
  if (value === undefined) return {};
  if (!isPlainObject(value)) throw invalid(`${what}: options must be an object, not ${shown(value)}`);
  for (const name of Object.keys(value)) {
    if (!known.includes(name)) {
      throw invalid(`${what}: unknown option ${JSON.stringify(name)}${known.length > 0 ? ` (${known.join(", ")})` : ""}`);
    }
  }
  return value;
}

/** An object of `{}`, `Object.create(null)` or another realm's `{}`: no array, no instance of a class. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const proto: unknown = Object.getPrototypeOf(value);
  return proto === null || proto === Object.prototype ||
    (Object.getPrototypeOf(proto) === null && Object.prototype.toString.call(value) === "[object Object]");
}
