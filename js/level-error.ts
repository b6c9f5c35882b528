import { NacreError } from "./errors.ts";
import type { ErrorCode } from "./errors.ts";

/** Codes of abstract-level that say what one of Nacre says. */
const CODES: Partial<Record<ErrorCode, string>> = {
  BUSY: "LEVEL_LOCKED", CLOSED: "LEVEL_DATABASE_NOT_OPEN", CORRUPT: "LEVEL_CORRUPTION", IO: "LEVEL_IO_ERROR", READONLY: "LEVEL_READONLY",
  UNSUPPORTED: "LEVEL_NOT_SUPPORTED",
};

/** A failure under the code that users of abstract-level know; its cause is Nacre's own. */
export class LevelError extends Error {
  readonly code: string;

  constructor(code: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    if (code === "LEVEL_ABORTED") this.name = "AbortError"; // as abstract-level's own is called
  }
}

/** What has failed, as users of abstract-level expect it. */
export function levelError(error: unknown): unknown {
  const code = error instanceof NacreError ? CODES[error.code] : undefined;
  return code === undefined ? error : new LevelError(code, (error as NacreError).message, error);
}
