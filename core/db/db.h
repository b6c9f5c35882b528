/* db.h - the face of the database towards nacre.h, SQL and the WASM boundary: keys,
 * rows, schemas and filters as encoded bytes (keycode_format.h, row_format.h,
 * schema_format.h, filter_format.h).
 *
 * 1. Every function writes its failure down in the database's Env (nacre_message).
 * 2. Bytes in a RowView are borrowed until the next call on the same database; from
 *    a cursor, until that cursor moves or closes.
 * 3. A snapshot of NULL means the newest state.
 * 4. A row whose time is over is not there, in snapshots and cursors either: the clock is
 *    that of the call that reads, and is asked once in it (db_call forgets it). */
#ifndef DB_DB_H
#define DB_DB_H

#include "base/span.h"
#include "db/schema.h"
#include "host/env.h"

typedef struct nacre_db Db;
typedef struct nacre_membrane Membrane;
typedef struct nacre_snapshot Snapshot;
typedef struct nacre_transaction Transaction;
typedef struct Cursor Cursor;
typedef struct Hits Hits;
typedef struct Bulk Bulk;
typedef struct nacre_value_writer ValueWriter;
typedef struct nacre_value_reader ValueReader;
typedef struct PinnedRow PinnedRow;
typedef struct Changes Changes;
typedef struct Backup Backup;
typedef struct Archive Archive;
typedef struct nacre_restore Restore;

/* ---- open, close ---- */
NACRE_CHECKED nacre_status db_open(const char *path, const nacre_options *options, Db **db, nacre_error *error);
nacre_status db_close(Db *db, nacre_error *error);
/* As nacre_rekey. */
NACRE_CHECKED nacre_status db_rekey(Db *db, const uint8_t *key);
Env *db_env(Db *db);
/* Begins a public call: forgets the last failure, gives back what was borrowed. A
 * poisoned handle (a failed sync) refuses writes with NACRE_IO. */
void db_call(Db *db);

/* ---- membranes ---- */
/* `schema`: empty (zero kind), or what it must be; created when missing. */
NACRE_CHECKED nacre_status db_membrane_open(Db *db, Span name, const Schema *schema, Membrane **membrane);
NACRE_CHECKED nacre_status db_membrane_drop(Db *db, Span name);
NACRE_CHECKED nacre_status db_membrane_rename(Db *db, Span from, Span to);
NACRE_CHECKED nacre_status db_membrane_at(Db *db, uint32_t index, Membrane **membrane); /* in order of names */
NACRE_CHECKED nacre_status db_membrane_by_id(Db *db, uint32_t id, Membrane **membrane); /* NACRE_NOT_FOUND: dropped; 0: the catalog */
Db *membrane_db(const Membrane *membrane);
const Schema *membrane_schema(const Membrane *membrane);
Span membrane_name(const Membrane *membrane);      /* followed by a zero byte */
uint32_t membrane_id(const Membrane *membrane);
/* NACRE_NOT_FOUND, naming it, when it was dropped. */
NACRE_CHECKED nacre_status membrane_check(const Membrane *membrane);
NACRE_CHECKED nacre_status membrane_bytes(Membrane *membrane, uint64_t *bytes);

/* ---- writing: batches encoded in place, as record_format.h says ----
 *
 *     uint8_t *at;
 *     TRY(db_reserve(db, bytes, records, &at));   one frame's batches go here
 *     ... encode batch heads (lsn 0) and records at `at` ...
 *     TRY(db_commit(db, used, sync));             checked, logged, indexed
 *
 * db_commit checks every record against its membrane's schema before anything
 * changes; NACRE_INVALID_ARGUMENT and nothing is written. (What it leaves to callers: that
 * key-value text and JSON are such, and that vectors are finite.) With `sync` false the
 * caller owes a db_sync before it acknowledges. */
NACRE_CHECKED nacre_status db_reserve(Db *db, uint64_t bytes, uint64_t records, uint8_t **at);
NACRE_CHECKED nacre_status db_commit(Db *db, size_t bytes, bool sync);
/* Makes everything committed durable, as the level asks. */
NACRE_CHECKED nacre_status db_sync(Db *db);
uint64_t db_sequence(const Db *db); /* LSN of the last batch */

/* ---- bulk loads: rows in the order of their keys, past the log ---- */
NACRE_CHECKED nacre_status bulk_begin(Membrane *membrane, Bulk **bulk);
/* Whole records of record_format.h, checked (and given times to end) as db_commit does, each key above the one before
 * it; or NACRE_INVALID_ARGUMENT, and the records before that one are added. After another
 * failure only bulk_abort may follow. */
NACRE_CHECKED nacre_status bulk_add(Bulk *bulk, uint8_t *records, size_t size);
/* All rows at once, durable, newer than whatever was there. The bulk is gone whatever is
 * returned; a failure has changed nothing. */
NACRE_CHECKED nacre_status bulk_commit(Bulk *bulk, uint64_t *rows);
void bulk_abort(Bulk *bulk); /* NULL is fine */
Membrane *bulk_membrane(const Bulk *bulk);

/* ---- large values: written and read in pieces, of key-value membranes of bytes ---- */

/* `expiry` as in a record (record_format.h); 0: none. NACRE_UNSUPPORTED: not of bytes. Values
 * up to SOLO_BYTES are gathered and put; others go past the log, as a bulk load does. */
NACRE_CHECKED nacre_status value_writer_open(Membrane *membrane, Span key, uint64_t expiry, ValueWriter **writer);
/* Beyond LIMIT_STREAM_SIZE: NACRE_INVALID_ARGUMENT. After a failure only an abort may follow. */
NACRE_CHECKED nacre_status value_writer_append(ValueWriter *writer, Span bytes);
/* The value is there, durable as the level says; the writer is gone whatever is returned. A
 * failure has changed nothing. */
NACRE_CHECKED nacre_status value_writer_finish(ValueWriter *writer);
void value_writer_abort(ValueWriter *writer); /* NULL is fine */

/* A value of the snapshot's state, readable until it is closed, whatever is written or
 * compacted meanwhile. */
NACRE_CHECKED nacre_status value_reader_open(Membrane *membrane, const Snapshot *snapshot, Span key,
                                             ValueReader **reader);
uint64_t value_reader_size(const ValueReader *reader);
/* Bytes [offset, offset + size) of it, all of them checked. NACRE_INVALID_ARGUMENT: not inside. */
NACRE_CHECKED nacre_status value_reader_read(ValueReader *reader, uint64_t offset, uint8_t *into, size_t size);
void value_reader_close(ValueReader *reader); /* NULL is fine */
Db *value_writer_db(const ValueWriter *writer);
Db *value_reader_db(const ValueReader *reader);

/* ---- reading ---- */
typedef struct RowView {
    Span key;    /* encoded, without the membrane's id */
    Span value;  /* key-value: the value; else the row of row_format.h */
    Span vector; /* as it is stored (element.h), any alignment; empty where there is none */
    uint64_t expires; /* milliseconds since 1970; 0: never */
} RowView;

NACRE_CHECKED nacre_status db_get(Membrane *membrane, const Snapshot *snapshot, Span key, RowView *row);
/* Many keys at once: `each` is told of one after the other, in their order; row NULL: not
 * there. What it is shown is good until it returns; what it returns ends the call, unless it
 * is NACRE_OK. Quicker than one by one: memory is waited for by GET_GROUP keys together. */
enum { GET_GROUP = 8 };
typedef nacre_status GetEach(void *self, size_t index, const RowView *row);
NACRE_CHECKED nacre_status db_get_many(Membrane *membrane, const Snapshot *snapshot, const Span *keys, size_t count,
                                       GetEach *each, void *self);
/* As db_get, but only says whether the row is there. */
NACRE_CHECKED nacre_status db_has(Membrane *membrane, const Snapshot *snapshot, Span key);

/* As db_get, but what *row shows stays until pinned_release, whatever happens to the database
 * meanwhile; only closing it ends all of them. Nothing is copied of a row that lies in a
 * memtable or a block, but its key. */
NACRE_CHECKED nacre_status pinned_get(Membrane *membrane, const Snapshot *snapshot, Span key, PinnedRow **pinned);
const RowView *pinned_row(const PinnedRow *pinned);
void pinned_release(PinnedRow *pinned); /* NULL is fine */

NACRE_CHECKED nacre_status snapshot_open(Db *db, Snapshot **snapshot);
void snapshot_release(Snapshot *snapshot);
Db *snapshot_db(const Snapshot *snapshot);
uint64_t snapshot_sequence(const Snapshot *snapshot);

/* Encoded keys low <= key < high; an empty `high` is no bound. To end after a key
 * or a prefix p, take the successor of p's bytes (key_successor of keycode.h). */
typedef struct KeyRange {
    Span low, high;
} KeyRange;

/* Stands before the first and after the last row until moved. Copies the range. */
NACRE_CHECKED nacre_status cursor_open(Membrane *membrane, const Snapshot *snapshot, KeyRange range, Cursor **cursor);
NACRE_CHECKED nacre_status cursor_next(Cursor *cursor, RowView *row); /* NACRE_NOT_FOUND: no more */
NACRE_CHECKED nacre_status cursor_prev(Cursor *cursor, RowView *row);
NACRE_CHECKED nacre_status cursor_seek(Cursor *cursor, Span key, RowView *row);      /* first >= key */
NACRE_CHECKED nacre_status cursor_seek_back(Cursor *cursor, Span key, RowView *row); /* last <= key */
/* Without vectors and big values: for counting and for keys alone. */
void cursor_keys_only(Cursor *cursor);
/* Only rows that match (filter_format.h); set before the first move. */
NACRE_CHECKED nacre_status cursor_filter(Cursor *cursor, Span filter);
void cursor_close(Cursor *cursor); /* NULL is fine */
Db *cursor_db(const Cursor *cursor);
Membrane *cursor_membrane(const Cursor *cursor);

/* `filter` may be empty. */
NACRE_CHECKED nacre_status db_count(Membrane *membrane, const Snapshot *snapshot, KeyRange range, Span filter,
                                    uint64_t *count);
/* Deletes the rows of a range that match, as one batch; *removed counts them. */
NACRE_CHECKED nacre_status db_clear(Membrane *membrane, KeyRange range, Span filter, bool sync, uint64_t *removed);

/* ---- transactions (nacre.h tells what they promise) ---- */
/* NACRE_BUSY: another one is open. */
NACRE_CHECKED nacre_status transaction_begin(Db *db, Transaction **tx);
/* Its state, own writes included; for wherever a snapshot goes, until the transaction ends. */
const Snapshot *transaction_view(const Transaction *tx);
Db *transaction_db(const Transaction *tx);
/* As db_reserve and db_commit, but seen by the transaction only. */
NACRE_CHECKED nacre_status transaction_reserve(Transaction *tx, uint64_t bytes, uint64_t records, uint8_t **at);
NACRE_CHECKED nacre_status transaction_write(Transaction *tx, size_t bytes);
/* Deletes the rows of a range that match: all of them or none. */
NACRE_CHECKED nacre_status transaction_clear(Transaction *tx, Membrane *membrane, KeyRange range, Span filter,
                                             uint64_t *removed);
NACRE_CHECKED nacre_status transaction_savepoint(Transaction *tx, uint64_t *serial);
/* NACRE_NOT_FOUND: there is no such savepoint (any more). */
NACRE_CHECKED nacre_status transaction_rollback_to(Transaction *tx, uint64_t serial);
NACRE_CHECKED nacre_status transaction_release(Transaction *tx, uint64_t serial);
/* Both end it, whatever is returned. NACRE_CONFLICT: nothing was applied. */
NACRE_CHECKED nacre_status transaction_commit(Transaction *tx, bool sync);
void transaction_rollback(Transaction *tx); /* NULL is fine */

/* ---- search ---- */
typedef struct SearchQuery {
    const void *vector;   /* as the membrane stores them (element.h); checked here. f32: floats, aligned */
    uint32_t k;           /* 1 or more */
    Span filter;          /* filter_format.h; empty: none */
    bool want_vectors;
    bool exact;           /* every vector is scored; recall and probes are 0 then */
    float recall;         /* the share of true neighbours to aim for, up to 1; 0: SEARCH_RECALL */
    uint32_t probes;      /* lists to read, whatever recall would want; 0: not said */
    bool limited;         /* only rows at max_distance or nearer, and so fewer than k if there are fewer */
    float max_distance;
    uint64_t deadline_ms; /* of Vfs.now_ms; from then on NACRE_TIMEOUT; 0: none */
    nacre_search_report *report; /* gets what was done, added to what it holds; may be NULL */
} SearchQuery;

#define SEARCH_RECALL 0.95f

typedef struct Hit {
    float distance;
    RowView row; /* vector empty unless wanted */
} Hit;

/* Nearest first, ties by key. The hits are the caller's, free with hits_free. */
NACRE_CHECKED nacre_status db_search(Membrane *membrane, const Snapshot *snapshot, const SearchQuery *query, Hits **hits);
/* The same for `count` queries, whose vectors lie at query->vector one behind the other; what is
 * found is what db_search would find. hits[0 .. count) are the caller's; untouched on failure. */
NACRE_CHECKED nacre_status db_search_many(Membrane *membrane, const Snapshot *snapshot, const SearchQuery *query,
                                          uint32_t count, Hits **hits);
uint32_t hits_count(const Hits *hits);
const Hit *hits_at(const Hits *hits, uint32_t index);
void hits_free(Hits *hits);

/* ---- what was committed, in its order (nacre_changes of nacre.h) ---- */
typedef struct ChangeView {
    nacre_change_kind kind;
    uint32_t index;       /* within the batch: rises, but not by one each time */
    uint64_t sequence;    /* the batch's LSN; kind NONE: all up to there was given */
    Membrane *membrane;   /* of rows and loads; of a membrane created or renamed: NULL when dropped since */
    Span name, from;      /* followed by a zero byte; from: of a rename */
    RowView row;          /* PUT; DELETE: the key alone */
    Span schema;          /* CREATE and RENAME: encoded */
} ChangeView;

NACRE_CHECKED nacre_status db_changes_bounds(Db *db, uint64_t *oldest, uint64_t *newest);
/* `since`: an LSN, NACRE_CHANGES_OLDEST or NACRE_CHANGES_NOW. */
NACRE_CHECKED nacre_status db_changes_open(Db *db, uint64_t since, Changes **changes);
NACRE_CHECKED nacre_status db_changes_next(Changes *changes, ChangeView *view);
void db_changes_close(Changes *changes); /* NULL is fine */
Db *changes_db(const Changes *changes);
/* The last acknowledged commit; rows put and deleted since the database was opened. */
NACRE_CHECKED nacre_status db_acknowledged(const Db *db, nacre_commit_info *totals);
NACRE_CHECKED nacre_status db_on_commit(Db *db, nacre_commit_hook *hook, void *self);

/* The records that db_changes_next would show, as they are in a batch. */
typedef struct RecordsView {
    uint64_t lsn;   /* of the batch; 0: there is nothing newer for now */
    uint32_t index; /* of the first record: 0 begins a batch */
    bool load;      /* no records: rows came another way */
    Span records;   /* borrowed until the next call; link and stamp are what they are */
} RecordsView;
NACRE_CHECKED nacre_status db_changes_records(Changes *changes, RecordsView *view);

/* ---- backups (backup_format.h) ---- */
/* The newest state. `base` ends with an END: what is new since it; empty: all. */
NACRE_CHECKED nacre_status backup_begin(Db *db, Span base, Backup **backup);
/* The next bytes of the stream; *got 0: it is whole. A failure ends it. */
/* Before it is read; `key` NULL: not at all. */
NACRE_CHECKED nacre_status backup_encrypt(Backup *backup, const uint8_t *key);
NACRE_CHECKED nacre_status backup_read(Backup *backup, uint8_t *into, size_t size, size_t *got);
void backup_describe(const Backup *backup, nacre_backup_info *info);
void backup_end(Backup *backup); /* NULL is fine */
Db *backup_db(const Backup *backup);

/* What is committed from above `since` on, for streams of BACKUP_LOG. */
NACRE_CHECKED nacre_status archive_open(Db *db, uint64_t since, Archive **archive);
/* What there is since the last stream that was taken whole. NACRE_BUSY: another is under way. */
NACRE_CHECKED nacre_status archive_begin(Archive *archive, Backup **backup);
uint64_t archive_position(const Archive *archive);
void archive_close(Archive *archive); /* NULL is fine */
Db *archive_db(const Archive *archive);

/* `path` NULL: only checks. Else a database is made there, which must not be there yet. */
NACRE_CHECKED nacre_status restore_begin(const char *path, const nacre_options *options,
                                         const nacre_restore_options *until, Restore **restore, nacre_error *error);
Env *restore_env(Restore *restore);
/* After a failure only restore_abort may follow. */
NACRE_CHECKED nacre_status restore_write(Restore *restore, Span bytes);
void restore_describe(const Restore *restore, nacre_backup_info *info);
/* The restore is gone whatever is returned; a failure leaves nothing behind. */
nacre_status restore_finish(Restore *restore, Db **db, nacre_error *error);
void restore_abort(Restore *restore); /* NULL is fine */

/* ---- keeping house ---- */
/* Opened for reading: moves to the newest committed state; snapshots and cursors keep
 * theirs. Else nothing is to be done. *membranes: some may have other names now, or be
 * gone. */
NACRE_CHECKED nacre_status db_refresh(Db *db, bool *membranes);
NACRE_CHECKED nacre_status db_checkpoint(Db *db);
NACRE_CHECKED nacre_status db_step(Db *db, uint64_t bytes, bool *more);
NACRE_CHECKED nacre_status db_compact(Db *db, nacre_compact_report *report);
NACRE_CHECKED nacre_status db_verify(Db *db, bool deep, nacre_problem *problem, void *self, uint64_t *problems);
/* Of files that are not open; the failure is written into *error. */
NACRE_CHECKED nacre_status verify_files(const char *path, const nacre_options *options, bool deep,
                                        nacre_problem *problem, void *self, uint64_t *problems, nacre_error *error);
NACRE_CHECKED nacre_status repair_files(const char *from, const char *to, const nacre_options *options,
                                        nacre_found *found, void *self, nacre_repair_report *report,
                                        nacre_error *error);
NACRE_CHECKED nacre_status inspect_files(const char *path, const nacre_options *options, nacre_inspection what,
                                         nacre_line *line, void *self, nacre_error *error);
/* JSON text; borrowed until the next call. Names as in API.md's Stats, and more. */
NACRE_CHECKED nacre_status db_stats(Db *db, Span *json);

#endif
