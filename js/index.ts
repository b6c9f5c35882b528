export { Archive, ArchiveSync } from "./backup.ts";
export type {
  ArchiveOptions, BackupOptions, BackupReport, BackupSource, BackupSourceSync, BackupSyncOptions, BackupTarget,
  ExportOptions,
} from "./backup.ts";
export { Batch, BatchSync } from "./batch.ts";
export type { Target } from "./batch.ts";
export type { Change, ChangesOptions, ChangesSyncOptions, Commit } from "./changes.ts";
export { Collection, CollectionSync } from "./collection.ts";
export type {
  Columns, FieldsIn, Hit, RecordIn, RecordOut, RecordPart, RecordsOptions,
} from "./collection.ts";
export type { LongCall } from "./cutoff.ts";
export { Database } from "./database.ts";
export type { WasmModule, WasmSource } from "./engine.ts";
export { NacreError } from "./errors.ts";
export type { ErrorCode } from "./errors.ts";
export type { Backend, StorageReport } from "./estimate.ts";
export type { Key, KeyPart, KeyRange, KeySchema, KeyType, Range } from "./keys.ts";
export { Kv, KvSync } from "./kv.ts";
export { open, openSync, repair, repairSync, restore, restoreSync, verifyBackup, verifyBackupSync } from "./open.ts";
export type {
  Decryption, Mode, OpenOptions, OpenSyncOptions, RepairOptions, RestoreOptions, RestoreSyncOptions, Until, VerifyBackupOptions,
  VerifyBackupSyncOptions,
} from "./open.ts";
export type { CompactReport, Finding, MembraneInfo, Problem, RepairReport, Stats, VerifyReport } from "./report.ts";
export type { PutOptions } from "./expiry.ts";
export type { CollectionSchema, Compression, Element, FieldSchema, FieldType, KvSchema, Metric, StorageSchema, ValueType, VectorSchema } from "./schema.ts";
export type { Explanation, Include, SearchOptions } from "./search.ts";
export { Snapshot, SnapshotSync } from "./snapshot.ts";
export type { Durability } from "./store.ts";
export type { ByteSource, PutStreamOptions, StreamRange } from "./stream.ts";
export { DatabaseSync } from "./sync.ts";
export type { VerifyOptions } from "./sync.ts";
export { Transaction, TransactionSync } from "./transaction.ts";
export type { TransactionOptions, TransactionSyncOptions } from "./transaction.ts";
export type { VectorIn, VectorOut } from "./vectors.ts";
export type { Test, Where } from "./where.ts";
