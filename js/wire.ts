import { NacreError } from "./errors.ts";
import type { ErrorCode, NacreErrorOptions } from "./errors.ts";

/** An error on its way between realms. */
export interface PackedError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details?: Record<string, unknown>;
  /** Of another error of Nacre. */
  readonly packedCause?: PackedError;
  readonly cause?: unknown;
}

/** What a structured clone takes. An error that is not Nacre's becomes INTERNAL. */
export function packError(error: unknown): PackedError {
  if (!(error instanceof NacreError)) {
    const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return { code: "INTERNAL", message, ...cause(error) };
  }
  return {
    code: error.code, message: error.message,
    ...(error.details !== undefined && { details: error.details }),
    ...("cause" in error && cause(error.cause)),
  };
}

function cause(given: unknown): { packedCause: PackedError } | { cause: unknown } {
  if (given instanceof NacreError) return { packedCause: packError(given) };
  try {
    return { cause: structuredClone(given) };
  } catch {
    return { cause: String(given) };
  }
}

export function unpackError(packed: PackedError): NacreError {
  const { code, message, details, packedCause } = packed;
  const options: NacreErrorOptions = {};
  if (details !== undefined) options.details = details;
  if (packedCause !== undefined) options.cause = unpackError(packedCause);
  else if ("cause" in packed) options.cause = packed.cause;
  return new NacreError(code, message, options);
}

/**
 * A request: what to do, where (0: the database; else the handle of a snapshot, a transaction or
 * what is pulled from), under which handle what it opens is to be known, and arguments. The asking
 * side names handles, and no two of its requests the same.
 */
export type Request = readonly [op: string, where: number, handle: number, ...args: unknown[]];

/** Bytes of an answer at once: what is left is pulled from the request's handle, made negative. */
export const PIECE = 1 << 20;

/** Bytes of an answer, or the first of `size`. */
export type Bytes = Uint8Array | { readonly first: Uint8Array; readonly size: number };

/** Rows of a page. */
export interface Page {
  readonly bytes: Bytes;
  readonly count: number;
  /** The cursor is open: there may be others. */
  readonly more: boolean;
}

/** A membrane as it is told of. */
export interface Told<Schema> {
  readonly id: number;
  readonly name: string;
  readonly schema: Schema;
}
