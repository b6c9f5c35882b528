// Made by wasm/abi-gen.mjs from wasm/abi.h and the core's headers. Do not edit.

export const STATUS = {
  OK: 0,
  NOT_FOUND: 1,
  EXISTS: 2,
  INVALID_ARGUMENT: 10,
  WRONG_KIND: 11,
  SCHEMA_MISMATCH: 12,
  CONFLICT: 13,
  CONSTRAINT: 14,
  CLOSED: 15,
  READONLY: 16,
  MISUSE: 17,
  UNSUPPORTED: 18,
  BUSY: 30,
  RESOURCE_EXHAUSTED: 31,
  QUOTA: 32,
  TIMEOUT: 33,
  ABORTED: 34,
  IO: 50,
  CORRUPT: 51,
  VERSION: 52,
  PERMISSION: 53,
  EVICTED: 54,
  INTERNAL: 70,
} as const;

export const TYPE = {
  NULL: 0,
  INTEGER: 1,
  REAL: 2,
  BOOLEAN: 3,
  TEXT: 4,
  BYTES: 5,
  TIMESTAMP: 6,
  JSON: 7,
  BIGINT: 8,
} as const;

export const MODE = {
  READWRITE: 0,
  EXISTING: 1,
  CREATE: 2,
  READ: 3,
} as const;

export const DURABILITY = {
  STRICT: 0,
  RELAXED: 1,
  NONE: 2,
} as const;

export const LOCK = {
  OWN: 0,
  HOST: 1,
  BREAK: 2,
} as const;

export const KIND = {
  KV: 1,
  COLLECTION: 2,
  TABLE: 3,
} as const;

export const METRIC = {
  L2: 1,
  COSINE: 2,
  IP: 3,
  HAMMING: 4,
} as const;

export const ELEMENT = {
  F32: 1,
  F16: 2,
  I8: 3,
  BIT: 4,
} as const;

export const COMPRESSION = {
  PLAIN: 0,
  LZ4: 1,
} as const;

export const CHANGE = {
  NONE: 0,
  PUT: 1,
  DELETE: 2,
  LOAD: 3,
  CREATE: 4,
  DROP: 5,
  RENAME: 6,
} as const;

export const BACKUP = {
  FULL: 1,
  INCREMENTAL: 2,
  LOG: 3,
} as const;

export const PATH = {
  EXACT: 1,
  FLAT: 2,
  IVF: 3,
  MATCHES: 4,
} as const;

export const INDEX = {
  AUTO: 0,
  FLAT: 1,
  IVF: 2,
  GRAPH: 3,
} as const;

export const ANSWER = {
  DATA: 0,
  SIZE: 4,
  KEY: 8,
  KEY_SIZE: 12,
  VECTOR: 16,
  VECTOR_SIZE: 20,
  COUNT: 24,
  POINTER: 28,
  MORE: 32,
  NUMBER: 40,
  SECOND: 48,
  THIRD: 56,
  TEXT: 64,
  TEXT_SIZE: 320,
} as const;

export const PAGE = {
  HEAD: 16,
  ABSENT: 4294967295,
  CHANGE_HEAD: 40,
  SIZE: 262144,
} as const;

export const INPUT = {
  SIZE: 262144,
} as const;

export const ABI = {
  VERSION: 1,
  SEARCH_VECTORS: 1,
  SEARCH_EXACT: 2,
  SEARCH_LIMITED: 4,
  CHANGES_OLDEST: -1,
  PIECE: 262144,
  PROBLEMS_MAX: 1000,
} as const;

export const BATCH = {
  HEAD: 16,
} as const;

export const RECORD = {
  DELETE: 1,
  VECTOR: 2,
  EXPIRES: 8,
  FLAGS_KNOWN: 11,
  LIFETIME: 9223372036854776000,
  HEAD: 16,
  KEY_SIZE_MAX: 16777215,
} as const;

export const KEYCODE = {
  ESCAPE: 0,
  ESCAPED_ZERO: 255,
  END: 1,
  NUMBER_SIZE: 8,
} as const;

export const FILTER = {
  VERSION: 1,
  KEY: 65535,
  PARTS: 32,
  AND: 1,
  OR: 2,
  NOT: 3,
  EQ: 16,
  NE: 17,
  GT: 18,
  GTE: 19,
  LT: 20,
  LTE: 21,
  IN: 22,
  NIN: 23,
  EXISTS: 24,
  CONTAINS: 25,
  STARTS_WITH: 26,
} as const;

export const SCHEMA = {
  VERSION: 3,
  PLAIN_VERSION: 2,
  INDEXED: 128,
  OLDEST: 1,
  FIXED_SIZE: 27,
  BLOCK_MIN: 4096,
  BLOCK_MAX: 65536,
  ENCODED_SIZE_MAX: 65835,
} as const;

export const LIMIT = {
  STREAM_SIZE: 4294967296,
  TIMESTAMP_MS: 8640000000000000,
  KEY_SIZE: 65536,
  KEY_ENCODED_SIZE: 131104,
  VALUE_SIZE: 268435456,
  NAME_SIZE: 255,
  DIMENSIONS: 16384,
  FIELDS: 256,
  INDEXED: 16,
  KEY_PARTS: 16,
  K: 10000,
  MEMBRANES: 100000,
  WHERE_DEPTH: 64,
  WHERE_NODES: 10000,
  JSON_DEPTH: 1000,
} as const;

export const LOCK_FILE = {
  TEXT_MAX: 512,
  TOKEN_DIGITS: 32,
  SHORT_DIGITS: 16,
  BOOT_MAX: 64,
  HOST_MAX: 16,
  CLAIM_MAX: 99,
  TRIES: 8,
  WAIT_MS: 40,
  WAIT_STEP_MS: 4,
} as const;

/** What the module exports. Addresses come back signed: use `>>> 0`. */
export interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  _initialize(): void;
  abi_version(): number;
  abi_host_new(): number;
  abi_input(host: number, size: number): number;
  abi_open(host: number, pathSize: number, keySize: number, mode: number, durability: number, lock: number, memory: number, changes: number, checkpointMs: number): number;
  abi_rekey(host: number, keySize: number): number;
  abi_close(host: number): number;
  abi_membrane_open(host: number, nameSize: number, schemaSize: number): number;
  abi_membrane_at(host: number, index: number): number;
  abi_membrane_by_id(host: number, id: number): number;
  abi_membrane_drop(host: number, nameSize: number): number;
  abi_membrane_rename(host: number, fromSize: number, toSize: number): number;
  abi_membrane_bytes(host: number, membrane: number): number;
  abi_reserve(host: number, bytes: number, records: number): number;
  abi_commit(host: number, bytes: number, sync: number): number;
  abi_sync(host: number): number;
  abi_flush(host: number): number;
  abi_sequence(host: number): number;
  abi_get(host: number, membrane: number, snapshot: number, keySize: number): number;
  abi_has(host: number, membrane: number, snapshot: number, keySize: number): number;
  abi_get_many(host: number, membrane: number, snapshot: number, count: number, keysSize: number): number;
  abi_snapshot_open(host: number): number;
  abi_snapshot_release(host: number, snapshot: number): void;
  abi_cursor_open(host: number, membrane: number, snapshot: number, lowSize: number, highSize: number, filterSize: number, keysOnly: number): number;
  abi_cursor_page(host: number, cursor: number, reverse: number, rows: number, bytes: number): number;
  abi_cursor_seek(host: number, cursor: number, reverse: number, keySize: number, rows: number, bytes: number): number;
  abi_cursor_close(host: number, cursor: number): void;
  abi_count(host: number, membrane: number, snapshot: number, lowSize: number, highSize: number, filterSize: number): number;
  abi_clear(host: number, membrane: number, lowSize: number, highSize: number, filterSize: number, sync: number): number;
  abi_tx_begin(host: number): number;
  abi_tx_view(host: number, tx: number): number;
  abi_tx_reserve(host: number, tx: number, bytes: number, records: number): number;
  abi_tx_write(host: number, tx: number, bytes: number): number;
  abi_tx_clear(host: number, tx: number, membrane: number, lowSize: number, highSize: number, filterSize: number): number;
  abi_tx_savepoint(host: number, tx: number): number;
  abi_tx_rollback_to(host: number, tx: number, serial: number): number;
  abi_tx_release(host: number, tx: number, serial: number): number;
  abi_tx_commit(host: number, tx: number, sync: number): number;
  abi_tx_rollback(host: number, tx: number): void;
  abi_search(host: number, membrane: number, snapshot: number, queries: number, k: number, flags: number, recall: number, probes: number, maxDistance: number, timeoutMs: number, vectorsSize: number, filterSize: number): number;
  abi_changes_open(host: number, since: number): number;
  abi_changes_page(host: number, changes: number, bytes: number): number;
  abi_changes_close(host: number, changes: number): void;
  abi_acknowledged(host: number): number;
  abi_bulk_begin(host: number, membrane: number): number;
  abi_bulk_put(host: number, bulk: number, recordsSize: number): number;
  abi_bulk_commit(host: number, bulk: number): number;
  abi_bulk_abort(host: number, bulk: number): void;
  abi_value_begin(host: number, membrane: number, ttlMs: number, keySize: number): number;
  abi_value_append(host: number, writer: number, bytesSize: number): number;
  abi_value_finish(host: number, writer: number): number;
  abi_value_abort(host: number, writer: number): void;
  abi_value_open(host: number, membrane: number, snapshot: number, keySize: number): number;
  abi_value_read(host: number, reader: number, offset: number, size: number): number;
  abi_value_close(host: number, reader: number): void;
  abi_backup_begin(host: number, baseSize: number): number;
  abi_backup_encrypt(host: number, backup: number, keySize: number): number;
  abi_backup_read(host: number, backup: number, size: number): number;
  abi_backup_describe(host: number, backup: number): number;
  abi_backup_end(host: number, backup: number): void;
  abi_archive_open(host: number, since: number): number;
  abi_archive_begin(host: number, archive: number): number;
  abi_archive_close(host: number, archive: number): void;
  abi_restore_begin(host: number, pathSize: number, keySize: number, streamKeySize: number, durability: number, lock: number, memory: number, changes: number, checkpointMs: number, sequence: number, timeMs: number): number;
  abi_restore_write(host: number, size: number): number;
  abi_restore_describe(host: number): number;
  abi_restore_finish(host: number): number;
  abi_restore_abort(host: number): void;
  abi_checkpoint(host: number): number;
  abi_refresh(host: number): number;
  abi_step(host: number, bytes: number): number;
  abi_compact(host: number): number;
  abi_verify(host: number, deep: number): number;
  abi_repair(host: number, fromSize: number, toSize: number, keySize: number, memory: number): number;
  abi_stats(host: number): number;
}
