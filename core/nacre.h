/* nacre.h - one embedded database for vectors, keys and tables.
 *
 * A database is one file NAME and its two logs NAME-wal0 and NAME-wal1 (and, where
 * there are processes, NAME-lock). It holds *membranes*: named, typed tables
 * ordered by their key. Three kinds: key-value, vector collection, table.
 *
 *     nacre_db *db = NULL;
 *     nacre_error error;
 *     if (nacre_open("notes", NULL, &db, &error) != NACRE_OK) puts(error.text);
 *     nacre_membrane *kv = NULL;
 *     nacre_schema schema = nacre_schema_kv(NACRE_TEXT, NACRE_TEXT);
 *     nacre_membrane_open(db, "settings", &schema, &kv);
 *     nacre_value key = nacre_text("theme"), value = nacre_text("dark");
 *     nacre_put(kv, &key, NULL, &value);
 *     nacre_close(db);
 *
 * Rules that hold everywhere:
 *
 * 1. What can fail returns nacre_status. Results go through out pointers, which
 *    are untouched on failure. nacre_message(db) tells the last failure in words.
 * 2. A write that returned NACRE_OK is as durable as the database's level says.
 *    A write that failed changed nothing.
 * 3. "Borrowed" bytes are good until the next call on the same database, unless
 *    said otherwise. What you pass in is copied before the call returns.
 * 4. A handle belongs to one thread at a time. Two databases never share state.
 * 5. A membrane handle belongs to its database: it is freed by nacre_close.
 *    Snapshots, cursors, batches and transactions are yours: release each of them.
 *    nacre_close releases what is left.
 * 6. Every struct that you pass begins with struct_size: set it by the given
 *    initialiser, so that later versions can grow the struct.
 */
#ifndef NACRE_H
#define NACRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) || defined(__clang__)
#define NACRE_CHECKED __attribute__((warn_unused_result))
#else
#define NACRE_CHECKED
#endif

/* ---- Statuses. Written out, never reused; the same names in JavaScript. ---- */

typedef enum nacre_status {
    NACRE_OK = 0,
    /* answers */
    NACRE_NOT_FOUND = 1,
    NACRE_EXISTS = 2,
    /* the caller's */
    NACRE_INVALID_ARGUMENT = 10,
    NACRE_WRONG_KIND = 11,
    NACRE_SCHEMA_MISMATCH = 12,
    NACRE_CONFLICT = 13,
    NACRE_CONSTRAINT = 14,
    NACRE_CLOSED = 15,
    NACRE_READONLY = 16,
    NACRE_MISUSE = 17,
    NACRE_UNSUPPORTED = 18,
    /* resources */
    NACRE_BUSY = 30,
    NACRE_RESOURCE_EXHAUSTED = 31, /* the memory budget, or a limit of nacre_limits */
    NACRE_QUOTA = 32,              /* the disk is full */
    NACRE_TIMEOUT = 33,
    NACRE_ABORTED = 34,
    /* the world */
    NACRE_IO = 50,
    NACRE_CORRUPT = 51,
    NACRE_VERSION = 52,
    NACRE_PERMISSION = 53,
    NACRE_EVICTED = 54,
    /* ours: a bug of Nacre */
    NACRE_INTERNAL = 70,
} nacre_status;

/* "NOT_FOUND" and so on, without the prefix; "UNKNOWN" for other numbers. */
const char *nacre_status_name(nacre_status status);

#define NACRE_ERROR_TEXT_SIZE 320

/* What failed: the thing is named (membrane, key, file, offset). */
typedef struct nacre_error {
    nacre_status code;
    char text[NACRE_ERROR_TEXT_SIZE];
} nacre_error;

/* ---- Values ---- */

typedef enum nacre_type {
    NACRE_NULL = 0,
    NACRE_INTEGER = 1,   /* int64_t */
    NACRE_REAL = 2,      /* double */
    NACRE_BOOLEAN = 3,   /* integer 0 or 1 */
    NACRE_TEXT = 4,      /* UTF-8 */
    NACRE_BYTES = 5,
    NACRE_TIMESTAMP = 6, /* int64_t, milliseconds since 1970 UTC */
    NACRE_JSON = 7,      /* UTF-8 text of one JSON value */
    NACRE_BIGINT = 8,    /* int64_t; JavaScript always gives it back as a bigint */
} nacre_type;

typedef struct nacre_span {
    const void *data;
    size_t size; /* bytes */
} nacre_span;

typedef struct nacre_value {
    nacre_type type;
    int64_t integer;  /* INTEGER, BIGINT, BOOLEAN, TIMESTAMP */
    double real;      /* REAL */
    nacre_span bytes; /* TEXT, BYTES, JSON */
} nacre_value;

nacre_value nacre_null(void);
nacre_value nacre_integer(int64_t integer);
nacre_value nacre_real(double real);
nacre_value nacre_boolean(bool boolean);
nacre_value nacre_text(const char *text);             /* borrows a C string */
nacre_value nacre_text_sized(const char *text, size_t size);
nacre_value nacre_bytes(const void *data, size_t size);
nacre_value nacre_json(const char *text);
nacre_value nacre_timestamp(int64_t milliseconds);

/* ---- Opening ---- */

typedef struct nacre_db nacre_db;
typedef struct nacre_membrane nacre_membrane;
typedef struct nacre_snapshot nacre_snapshot;
typedef struct nacre_cursor nacre_cursor;
typedef struct nacre_batch nacre_batch;
typedef struct nacre_transaction nacre_transaction;
typedef struct nacre_hits nacre_hits;
typedef struct nacre_bulk nacre_bulk;
typedef struct nacre_value_writer nacre_value_writer;
typedef struct nacre_value_reader nacre_value_reader;
typedef struct nacre_view nacre_view;
typedef struct nacre_changes nacre_changes;
struct Vfs; /* core/base/vfs.h, for those who bring their own files */

typedef enum nacre_mode {
    NACRE_READWRITE = 0, /* created when missing */
    NACRE_EXISTING = 1,  /* NACRE_NOT_FOUND when missing */
    NACRE_CREATE = 2,    /* NACRE_EXISTS when there */
    NACRE_READ = 3,      /* only reads, also beside a writer (nacre_refresh); NACRE_NOT_FOUND when missing */
} nacre_mode;

typedef enum nacre_durability {
    NACRE_STRICT = 0,  /* a write is synced before it is acknowledged */
    NACRE_RELAXED = 1, /* synced within relaxed_ms: at the next call after that, step or close */
    NACRE_NONE = 2,    /* synced when the host or a checkpoint does */
} nacre_durability;

typedef enum nacre_lock {
    NACRE_LOCK_OWN = 0,   /* take NAME-lock */
    NACRE_LOCK_HOST = 1,  /* the host that embeds this code holds it already */
    NACRE_LOCK_BREAK = 2, /* take it even if someone else seems to hold it: only when you know better */
} nacre_lock;

/* All memory comes from here. `size` of a free is what was asked for. */
typedef struct nacre_allocator {
    void *self;
    void *(*alloc)(void *self, size_t size); /* NULL: none left */
    void (*free)(void *self, void *memory, size_t size);
} nacre_allocator;

/* Zero means the default of every number. Ranges: nacre_options_describe(). */
typedef struct nacre_options {
    size_t struct_size;
    nacre_mode mode;
    nacre_durability durability;
    nacre_lock lock;
    uint64_t memory;        /* bytes of budget: caches, memtables and indexes together */
    uint64_t memtable_size; /* bytes of log before a memtable becomes segments */
    uint64_t segment_size;  /* bytes at which a segment is closed */
    uint64_t database_size; /* bytes of file beyond which writes are refused; 0: none */
    uint32_t block_size;    /* bytes: 4096, 8192 ... 65536; of membranes whose schema says nothing else */
    uint32_t filter_bits;   /* bits per key of the segments' key filters; UINT32_MAX: no filters */
    uint32_t relaxed_ms;
    uint32_t checkpoint_ms; /* a checkpoint begins when rows have been in the log for so long; 0: by size only */
    uint64_t seed;          /* of everything random; 0: from the host */
    bool mapped; /* blocks of rows are read where the file is mapped into memory, not copied into the cache,
                  * each checked once: twice as many gets where the page cache has the file. Native, 64 bits.
                  * For files that nobody else cuts or changes: that, and a device that fails to read, end
                  * the process (SIGBUS). NACRE_UNSUPPORTED: with NACRE_READ, or where files cannot be mapped */
    uint64_t changes_size;  /* bytes of changes to keep for nacre_changes; 0: those that the logs still hold */
    /* 32 bytes, borrowed during nacre_open; NULL: not encrypted. Everything in the three files is encrypted
     * and authenticated with a key of its own that this one wraps (host/crypt_format.h).
     * Whoever loses it has lost the database. Not with ":memory:" nor `mapped`. */
    const uint8_t *encryption_key;
    nacre_allocator allocator; /* alloc NULL: malloc */
    const struct Vfs *vfs;     /* NULL: the host's files; ":memory:" never touches them */
} nacre_options;

#define NACRE_OPTIONS_INIT {.struct_size = sizeof(nacre_options)}

/* Opens or creates. `path` is a path of UTF-8, or ":memory:" for a database that
 * is gone at close. `options` may be NULL. On failure *error says why (error may
 * be NULL). NACRE_BUSY: another has it open for writing. NACRE_CORRUPT: no Nacre
 * database, or a damaged one: never an empty one in its place. NACRE_VERSION: of
 * another format version. NACRE_PERMISSION: also for an encrypted database without its
 * key; NACRE_INVALID_ARGUMENT: also for one that is not encrypted, with a key. */
NACRE_CHECKED nacre_status nacre_open(const char *path, const nacre_options *options, nacre_db **db,
                                      nacre_error *error);

/* Makes `key` (32 bytes) the one that opens an encrypted database, from NACRE_OK on the only one. On
 * failure it is either of the two: keep both, reopen with the one that opens, try again.
 * Only the wrapping changes, at once; what is stored is not encrypted anew: whoever had the
 * old key and a copy of the file NAME from before reads the database still.
 * NACRE_UNSUPPORTED: it is not encrypted. */
NACRE_CHECKED nacre_status nacre_rekey(nacre_db *db, const uint8_t *key);

/* Syncs what was acknowledged, then frees everything; db is gone whatever is
 * returned. NULL is fine. */
nacre_status nacre_close(nacre_db *db, nacre_error *error);

/* The last failure on this database; borrowed until the next call. */
const char *nacre_message(const nacre_db *db);

/* One line per option: name, default, least, greatest, meaning. Static text. */
const char *nacre_options_describe(void);

typedef struct nacre_limits {
    size_t key_size_max;        /* bytes of key as given */
    size_t value_size_max;      /* bytes of one value through put */
    size_t name_size_max;       /* bytes of a membrane's or field's name */
    uint32_t dimensions_max;
    uint32_t fields_max;
    uint32_t key_parts_max;
    uint32_t k_max;
    uint32_t membranes_max;
} nacre_limits;

nacre_limits nacre_limits_get(void);
uint32_t nacre_abi_version(void);
uint32_t nacre_format_version(void);

/* ---- Membranes ---- */

typedef enum nacre_kind { NACRE_KV = 1, NACRE_COLLECTION = 2, NACRE_TABLE = 3 } nacre_kind;
typedef enum nacre_metric {
    NACRE_L2 = 1,
    NACRE_COSINE = 2,
    NACRE_IP = 3,
    NACRE_HAMMING = 4, /* of NACRE_BIT, and NACRE_BIT's only one */
} nacre_metric;
/* What a vector's numbers are stored as; vectors cross this page as floats all the same. What
 * cannot be stored so is NACRE_INVALID_ARGUMENT, in a query too. */
typedef enum nacre_element {
    NACRE_F32 = 1,
    NACRE_F16 = 2, /* rounded to the nearest, to the even one of two; up to 65504 */
    NACRE_I8 = 3,  /* whole numbers from -128 to 127 */
    NACRE_BIT = 4, /* 0 or 1 */
} nacre_element;
typedef enum nacre_compression { NACRE_PLAIN = 0, NACRE_LZ4 = 1 } nacre_compression;

typedef struct nacre_field {
    const char *name; /* 1-255 bytes of UTF-8 */
    nacre_type type;
    bool indexed; /* rows are found by it, without asking each: by count, clear and scan with a filter, and
                   * search. It takes room, and costs a little with each write. Not of JSON; 16 at most */
} nacre_field;

#define NACRE_KEY_PARTS_MAX 16

/* How vectors are searched. Auto: by their codes, and once they are many by those of the lists that
 * are nearest to the query; flat: by all codes; ivf: in lists, also where they are fewer. */
typedef enum nacre_index { NACRE_INDEX_AUTO = 0, NACRE_INDEX_FLAT = 1, NACRE_INDEX_IVF = 2 } nacre_index;

/* What a membrane holds. Key-value: key_types and value_type. Collection:
 * key_types, dimensions, metric, element, index, bits and fields. Table: key_types and fields.
 * Each may have ttl_ms, block_size and compression: fixed when it is made, too. */
typedef struct nacre_schema {
    size_t struct_size;
    nacre_kind kind;
    uint32_t key_count;
    nacre_type key_types[NACRE_KEY_PARTS_MAX]; /* all but JSON and NULL */
    nacre_type value_type;                     /* key-value: JSON, TEXT or BYTES */
    uint32_t dimensions;
    nacre_metric metric;
    nacre_element element;
    nacre_index index;
    uint32_t bits; /* of a code's dimension, 1 to 8; 0: 1. More pay where vectors do not stay in memory */
    uint32_t field_count;
    const nacre_field *fields;
    uint64_t ttl_ms;     /* milliseconds that a row lives when it is put; 0: for ever */
    uint32_t block_size; /* bytes of a block of rows: 4096, 8192 ... 65536; 0: the option of the database */
    nacre_compression compression; /* of blocks and big values */
} nacre_schema;

nacre_schema nacre_schema_kv(nacre_type key, nacre_type value);
nacre_schema nacre_schema_collection(nacre_type key, uint32_t dimensions, nacre_metric metric,
                                     const nacre_field *fields, uint32_t field_count);
nacre_schema nacre_schema_table(nacre_type key, const nacre_field *fields, uint32_t field_count);

/* Opens a membrane. With a schema: created when missing, NACRE_SCHEMA_MISMATCH
 * when it differs from the stored one, NACRE_WRONG_KIND when it is of another
 * kind. Without: NACRE_NOT_FOUND when missing. */
NACRE_CHECKED nacre_status nacre_membrane_open(nacre_db *db, const char *name, const nacre_schema *schema,
                                               nacre_membrane **membrane);

/* Removes it with all its rows, at once and for good. Its handles answer
 * NACRE_NOT_FOUND from then on; its space comes back by compaction. */
NACRE_CHECKED nacre_status nacre_membrane_drop(nacre_db *db, const char *name);
NACRE_CHECKED nacre_status nacre_membrane_rename(nacre_db *db, const char *from, const char *to);

/* The `index`-th membrane by name. NACRE_NOT_FOUND past the last. */
NACRE_CHECKED nacre_status nacre_membrane_at(nacre_db *db, uint32_t index, nacre_membrane **membrane);
const char *nacre_membrane_name(const nacre_membrane *membrane);          /* borrowed until renamed or closed */
const nacre_schema *nacre_membrane_schema(const nacre_membrane *membrane); /* borrowed until nacre_close */
/* Bytes of the file that hold its rows (overwritten ones too, until they are merged away) and
 * of its records in memory. */
NACRE_CHECKED nacre_status nacre_membrane_bytes(nacre_membrane *membrane, uint64_t *bytes);

/* ---- Rows ----
 *
 * `key` points to key_count values. `fields` points to one value (key-value) or
 * to field_count values in the schema's order (NULL for none; absent is
 * nacre_null()). `vector` points to `dimensions` finite floats, NULL where the
 * membrane has no vector. */

NACRE_CHECKED nacre_status nacre_put(nacre_membrane *membrane, const nacre_value *key, const float *vector,
                                     const nacre_value *fields);

#define NACRE_TTL_NEVER UINT64_MAX

typedef struct nacre_put_options {
    size_t struct_size;
    /* Milliseconds that the row lives, counted from its commit, at most 8.64e15. 0: as the
     * schema says; NACRE_TTL_NEVER: for ever. The row keeps the time at which it ends: a
     * later put of the key says it anew, and one without takes it away.
     *
     * From then on no read finds it, in a snapshot or a cursor either: the clock that counts
     * is that of the read. Its space comes back by merges, at once by nacre_compact. Where
     * the clock is set back, a row may be there again that no merge has met. */
    uint64_t ttl_ms;
} nacre_put_options;

#define NACRE_PUT_INIT {.struct_size = sizeof(nacre_put_options)}

/* The same with options, which may be NULL. */
NACRE_CHECKED nacre_status nacre_put_with(nacre_membrane *membrane, const nacre_value *key, const float *vector,
                                          const nacre_value *fields, const nacre_put_options *options);

/* NACRE_NOT_FOUND when there was no such row. */
NACRE_CHECKED nacre_status nacre_delete(nacre_membrane *membrane, const nacre_value *key);

/* A row as it was put. Everything is borrowed until the next call on the
 * database or, from a cursor, until the cursor moves. */
typedef struct nacre_row {
    uint32_t key_count, field_count;
    const nacre_value *key;
    const nacre_value *fields; /* key-value: one */
    const float *vector;       /* NULL where there is none */
    uint64_t expires_ms;       /* milliseconds since 1970; 0: never */
} nacre_row;

/* `snapshot` may be NULL: the newest state. NACRE_NOT_FOUND: no such row. */
NACRE_CHECKED nacre_status nacre_get(nacre_membrane *membrane, const nacre_snapshot *snapshot,
                                     const nacre_value *key, nacre_row *row);

/* Told of the row of each key in turn; NULL: there is none. The row is borrowed until it
 * returns. Anything but NACRE_OK ends nacre_get_many, which returns it. What it asks of the
 * database is NACRE_MISUSE. */
typedef nacre_status nacre_each_row(void *self, size_t index, const nacre_row *row);

/* The rows of `count` keys of key_count values each, one after the other; quicker than as many
 * calls of nacre_get. */
NACRE_CHECKED nacre_status nacre_get_many(nacre_membrane *membrane, const nacre_snapshot *snapshot,
                                          const nacre_value *keys, size_t count, nacre_each_row *each, void *self);

/* As nacre_get, but the row stays readable until nacre_view_release, whatever is written,
 * compacted or dropped meanwhile (nacre_close releases what is left). Bytes of a row in
 * memory are not copied. What views hold counts in the budget: stats tell how many there
 * are. */
NACRE_CHECKED nacre_status nacre_get_pinned(nacre_membrane *membrane, const nacre_snapshot *snapshot,
                                            const nacre_value *key, nacre_view **view);
const nacre_row *nacre_view_row(const nacre_view *view); /* borrowed until the release */
void nacre_view_release(nacre_view *view);               /* NULL is fine */

/* Rows in a range: any bounds, a prefix of a text or bytes key, and a filter; all of them hold. */
typedef struct nacre_range {
    size_t struct_size;
    const nacre_value *gt, *gte, *lt, *lte; /* each key_count values or fewer leading ones */
    const nacre_value *prefix;              /* key_count values, the last one a prefix of text or bytes */
    uint32_t bound_count;                   /* values in each bound; 0: key_count */
    bool reverse;
    uint64_t limit;                         /* rows shown or counted in all; 0: no limit */
    const char *where_json;                 /* the filter of API.md as JSON text, or NULL */
    size_t where_size;                      /* bytes; 0: up to the terminating zero */
} nacre_range;

#define NACRE_RANGE_INIT {.struct_size = sizeof(nacre_range)}

NACRE_CHECKED nacre_status nacre_count(nacre_membrane *membrane, const nacre_snapshot *snapshot,
                                       const nacre_range *range, uint64_t *count);
/* One atomic batch. A range with limit or reverse is refused. `removed` may be NULL. */
NACRE_CHECKED nacre_status nacre_clear(nacre_membrane *membrane, const nacre_range *range, uint64_t *removed);

/* ---- Batches: all or nothing, over any number of membranes ---- */

NACRE_CHECKED nacre_status nacre_batch_begin(nacre_db *db, nacre_batch **batch);
NACRE_CHECKED nacre_status nacre_batch_put(nacre_batch *batch, nacre_membrane *membrane, const nacre_value *key,
                                           const float *vector, const nacre_value *fields);
NACRE_CHECKED nacre_status nacre_batch_put_with(nacre_batch *batch, nacre_membrane *membrane, const nacre_value *key,
                                                const float *vector, const nacre_value *fields,
                                                const nacre_put_options *options);
/* Blind: also fine when there is no such row. */
NACRE_CHECKED nacre_status nacre_batch_delete(nacre_batch *batch, nacre_membrane *membrane,
                                              const nacre_value *key);
NACRE_CHECKED nacre_status nacre_batch_commit(nacre_batch *batch); /* the batch is gone whatever is returned */
void nacre_batch_abort(nacre_batch *batch);                        /* rolls back; NULL is fine */

/* ---- Large values: up to 4 GiB, in pieces ----
 *
 * Of key-value membranes of NACRE_BYTES (else NACRE_UNSUPPORTED). Neither side holds more
 * than a MiB of the value. nacre_get of one beyond value_size_max answers
 * NACRE_RESOURCE_EXHAUSTED; counting and keys do not touch values. */

/* `options` may be NULL. Nobody sees the value before nacre_value_finish. */
NACRE_CHECKED nacre_status nacre_value_begin(nacre_membrane *membrane, const nacre_value *key,
                                             const nacre_put_options *options, nacre_value_writer **writer);
/* The next bytes of it. Beyond 4 GiB in all: NACRE_INVALID_ARGUMENT. After a failure only an
 * abort does anything. */
NACRE_CHECKED nacre_status nacre_value_append(nacre_value_writer *writer, const void *data, size_t size);
/* Puts it. The writer is gone whatever is returned; a failure has changed nothing. */
NACRE_CHECKED nacre_status nacre_value_finish(nacre_value_writer *writer);
void nacre_value_abort(nacre_value_writer *writer); /* NULL is fine */

/* The value of the snapshot's state (NULL: the newest), readable until it is closed, whatever
 * happens to the row meanwhile. NACRE_NOT_FOUND: no such row. */
NACRE_CHECKED nacre_status nacre_value_open(nacre_membrane *membrane, const nacre_snapshot *snapshot,
                                            const nacre_value *key, nacre_value_reader **reader);
uint64_t nacre_value_size(const nacre_value_reader *reader);
/* Bytes [offset, offset + size) into the caller's memory, checked; all of them or a failure. */
NACRE_CHECKED nacre_status nacre_value_read(nacre_value_reader *reader, uint64_t offset, void *into, size_t size);
void nacre_value_close(nacre_value_reader *reader); /* NULL is fine */

/* ---- Bulk loads ----
 *
 * Many rows in the order of their keys, several times as fast as putting them: they are
 * written where they stay, past the log, and become visible all at once, durable, at
 * commit. Until then nobody sees them, and a crash leaves nothing of them. They are newer
 * than what was there at commit, also than what was put meanwhile. Memory is bounded,
 * however many rows there are. */

NACRE_CHECKED nacre_status nacre_bulk_begin(nacre_membrane *membrane, nacre_bulk **bulk);
/* NACRE_INVALID_ARGUMENT names the key when it is not above the one before it: that row is
 * left out. After another failure only an abort does anything. */
NACRE_CHECKED nacre_status nacre_bulk_put(nacre_bulk *bulk, const nacre_value *key, const float *vector,
                                          const nacre_value *fields);
/* A time to live is counted from this call. */
NACRE_CHECKED nacre_status nacre_bulk_put_with(nacre_bulk *bulk, const nacre_value *key, const float *vector,
                                               const nacre_value *fields, const nacre_put_options *options);
/* `rows` may be NULL. The bulk is gone whatever is returned; a failure has changed nothing. */
NACRE_CHECKED nacre_status nacre_bulk_commit(nacre_bulk *bulk, uint64_t *rows);
void nacre_bulk_abort(nacre_bulk *bulk); /* NULL is fine */

/* ---- Snapshots and cursors ---- */

/* One state of the database, kept until released; writers go on meanwhile. */
NACRE_CHECKED nacre_status nacre_snapshot_open(nacre_db *db, nacre_snapshot **snapshot);
void nacre_snapshot_release(nacre_snapshot *snapshot);

/* A cursor sees the state of its snapshot, or with NULL the state at its opening,
 * however long it lives. */
NACRE_CHECKED nacre_status nacre_cursor_open(nacre_membrane *membrane, const nacre_snapshot *snapshot,
                                             const nacre_range *range, nacre_cursor **cursor);
/* Moves to the next (or previous) row of the range; before the first call it
 * stands outside, at both ends. NACRE_NOT_FOUND: no more that way. */
NACRE_CHECKED nacre_status nacre_cursor_next(nacre_cursor *cursor, nacre_row *row);
NACRE_CHECKED nacre_status nacre_cursor_prev(nacre_cursor *cursor, nacre_row *row);
/* Moves to the first row at or after `key` (at or before, when reversed). */
NACRE_CHECKED nacre_status nacre_cursor_seek(nacre_cursor *cursor, const nacre_value *key, nacre_row *row);
void nacre_cursor_close(nacre_cursor *cursor);

/* ---- Transactions ----
 *
 *     nacre_transaction *tx = NULL;
 *     nacre_begin(db, &tx);
 *     nacre_get(kv, nacre_transaction_snapshot(tx), &key, &row);
 *     nacre_transaction_put(tx, kv, &key, NULL, &value);
 *     if (nacre_commit(tx) == NACRE_CONFLICT) begin again;
 *
 * Isolation is that of a snapshot, and the first to commit wins:
 *
 * 1. Reads with the transaction's snapshot see the state at its beginning and its own
 *    writes; all else sees none of these before nacre_commit, and then all of them at once.
 * 2. Plain writes and batches go on meanwhile. nacre_commit answers NACRE_CONFLICT, and
 *    applies nothing, when a row that the transaction wrote or deleted is in the newest
 *    state not what it was at the beginning. (One that was changed and changed back, or
 *    written again as it was, is no conflict. What was only read is not looked at.)
 * 3. It may be larger than memory: what does not fit goes into the file, as private
 *    pieces that nacre_commit makes part of the database at once, or that vanish; such a
 *    commit is synced whatever the level. A membrane that it wrote to and that was dropped
 *    meanwhile makes nacre_commit answer NACRE_NOT_FOUND.
 * 4. One transaction is open at a time: nacre_begin answers NACRE_BUSY when there is one. */

NACRE_CHECKED nacre_status nacre_begin(nacre_db *db, nacre_transaction **transaction);
/* For every function that takes a snapshot; good until the transaction ends. It counts no
 * further reference: nacre_snapshot_release leaves it alone. A cursor sees the state at its
 * opening, whatever is written or rolled back afterwards, and may outlive the transaction. */
const nacre_snapshot *nacre_transaction_snapshot(const nacre_transaction *transaction);
NACRE_CHECKED nacre_status nacre_transaction_put(nacre_transaction *transaction, nacre_membrane *membrane,
                                                 const nacre_value *key, const float *vector,
                                                 const nacre_value *fields);
NACRE_CHECKED nacre_status nacre_transaction_put_with(nacre_transaction *transaction, nacre_membrane *membrane,
                                                      const nacre_value *key, const float *vector,
                                                      const nacre_value *fields, const nacre_put_options *options);
/* NACRE_NOT_FOUND when the transaction sees no such row. */
NACRE_CHECKED nacre_status nacre_transaction_delete(nacre_transaction *transaction, nacre_membrane *membrane,
                                                    const nacre_value *key);
/* As nacre_clear, of the rows that the transaction sees. `removed` may be NULL. */
NACRE_CHECKED nacre_status nacre_transaction_clear(nacre_transaction *transaction, nacre_membrane *membrane,
                                                   const nacre_range *range, uint64_t *removed);

/* Savepoints nest. Rolling back to one undoes what was written since, and forgets those
 * made since; it stays itself. Releasing one forgets it and those made since, and keeps
 * what was written. NACRE_NOT_FOUND: it is forgotten, or never was. */
NACRE_CHECKED nacre_status nacre_savepoint(nacre_transaction *transaction, uint64_t *serial);
NACRE_CHECKED nacre_status nacre_rollback_to(nacre_transaction *transaction, uint64_t serial);
NACRE_CHECKED nacre_status nacre_savepoint_release(nacre_transaction *transaction, uint64_t serial);

/* The transaction is gone whatever is returned; unless it is NACRE_OK, nothing was applied. */
NACRE_CHECKED nacre_status nacre_commit(nacre_transaction *transaction);
void nacre_rollback(nacre_transaction *transaction); /* NULL is fine; nacre_close does it too */

/* ---- Vector search ---- */

typedef struct nacre_search_options {
    size_t struct_size;
    uint32_t k;             /* 0: 10 */
    const char *where_json; /* the filter of API.md as JSON text, or NULL */
    size_t where_size;      /* bytes; 0: up to the terminating zero */
    /* The share of true neighbours to aim for, above 0 and up to 1; 0: 0.95. Small collections
     * are searched exactly whatever it is. */
    float recall;
    bool exact;             /* every vector is scored; with neither recall nor probes */
    uint32_t probes;        /* lists of the index to read, whatever recall would want; 0: not said */
    bool limited;           /* only rows at max_distance or nearer: fewer than k if there are fewer */
    float max_distance;
    uint32_t timeout_ms;    /* NACRE_TIMEOUT when it takes longer; 0: no limit */
} nacre_search_options;

#define NACRE_SEARCH_INIT {.struct_size = sizeof(nacre_search_options)}

/* The k nearest rows that match, nearest first, ties by key, exactly. Smaller is
 * nearer: Euclidean distance, 1 - cosine, negative inner product, or differing bits. Rows that
 * searches find slowly, as they are new, move on to where that is quick: a search may write, as
 * nacre_step does, and what fails then is told by nacre_stats_json alone. */
NACRE_CHECKED nacre_status nacre_search(nacre_membrane *membrane, const nacre_snapshot *snapshot,
                                        const float *query, const nacre_search_options *options,
                                        nacre_hits **hits);
uint32_t nacre_hits_count(const nacre_hits *hits);
/* `row` (fields and key; vector too) is borrowed until nacre_hits_free. */
NACRE_CHECKED nacre_status nacre_hits_at(nacre_hits *hits, uint32_t index, float *distance, nacre_row *row);
void nacre_hits_free(nacre_hits *hits);

/* `count` searches in one call: `queries` are `count` vectors one behind the other, and hits[i]
 * becomes what nacre_search would find for the i-th; free each of them. timeout_ms is for all. */
NACRE_CHECKED nacre_status nacre_search_many(nacre_membrane *membrane, const nacre_snapshot *snapshot,
                                             const float *queries, uint32_t count,
                                             const nacre_search_options *options, nacre_hits **hits);

typedef enum nacre_search_path {
    NACRE_PATH_EXACT = 1,   /* every vector was scored */
    NACRE_PATH_FLAT = 2,    /* the codes of all, then vectors that may be among the nearest */
    NACRE_PATH_IVF = 3,     /* the same with the codes of the lists that are nearest to the query */
    NACRE_PATH_MATCHES = 4, /* the vectors of all rows that match the filter, which are few */
} nacre_search_path;

/* "exact" and so on, as in JavaScript; "unknown" for other numbers. */
const char *nacre_search_path_name(nacre_search_path path);

/* How a search was done. */
typedef struct nacre_search_report {
    nacre_search_path path;
    uint64_t codes_scored; /* codes of vectors that were compared */
    uint64_t reranked;     /* vectors themselves */
    uint64_t segments;     /* with vectors, that were searched; the newest rows are in none */
} nacre_search_report;

/* Searches, and tells only how. */
NACRE_CHECKED nacre_status nacre_search_explain(nacre_membrane *membrane, const nacre_snapshot *snapshot,
                                                const float *query, const nacre_search_options *options,
                                                nacre_search_report *report);

/* ---- Changes: what was committed, in its order ----
 *
 *     nacre_changes *changes = NULL;
 *     nacre_change change;
 *     nacre_changes_open(db, since, &changes);
 *     while (nacre_changes_next(changes, &change) == NACRE_OK && change.kind != NACRE_CHANGE_NONE)
 *         since = ...change...;
 *
 * Each commit has a sequence, which rises for ever; all changes of one batch share it, and
 * are in the order of the batch. `since` gives those of later sequences: keep the sequence
 * of the last batch that you have dealt with whole, and go on from there after a restart.
 * Only what is acknowledged is shown: nothing that was refused or rolled back.
 *
 * How far back one can go: without the option changes_size as far as the two logs hold it,
 * which a checkpoint empties. With it a flush puts what it takes out of the logs into an
 * archive of at least so many bytes, once there are so many, and one log more at most. A
 * session without the option drops the archive at its first flush.
 *
 * Left out: rows of a membrane that was dropped since (the drop is a change), and rows
 * whose time to live has ended (nobody wrote anything then). Names are the present ones. */

typedef enum nacre_change_kind {
    NACRE_CHANGE_NONE = 0,   /* nothing newer for now; ask again later */
    NACRE_CHANGE_PUT = 1,
    NACRE_CHANGE_DELETE = 2,
    NACRE_CHANGE_LOAD = 3,   /* rows of `membrane` came in bulk: read it to know them */
    NACRE_CHANGE_CREATE = 4, /* of a membrane */
    NACRE_CHANGE_DROP = 5,
    NACRE_CHANGE_RENAME = 6,
} nacre_change_kind;

typedef struct nacre_change {
    nacre_change_kind kind;
    uint32_t index;           /* rises within the batch */
    uint64_t sequence;        /* of the batch. NONE: all up to it was given */
    nacre_membrane *membrane; /* NULL for a drop, and for one that was dropped since */
    const char *name, *from;  /* of the membrane; `from`: before a rename */
    nacre_row row;            /* PUT; DELETE: the key alone, field_count 0 */
} nacre_change;

#define NACRE_CHANGES_OLDEST UINT64_MAX    /* as far back as is kept */
#define NACRE_CHANGES_NOW (UINT64_MAX - 1) /* what is committed from now on */

/* The least `since` that can be given, and the sequence of the last acknowledged commit. */
NACRE_CHECKED nacre_status nacre_changes_bounds(nacre_db *db, uint64_t *oldest, uint64_t *newest);

/* NACRE_NOT_FOUND: changes after `since` are not all kept any more (nacre_changes_bounds
 * tells from where on they are). NACRE_INVALID_ARGUMENT: `since` is in the future. */
NACRE_CHECKED nacre_status nacre_changes_open(nacre_db *db, uint64_t since, nacre_changes **changes);

/* The next change; everything in it is borrowed until the next call on the database.
 * NACRE_NOT_FOUND: this reader was too slow, and what it would show is not kept any more. */
NACRE_CHECKED nacre_status nacre_changes_next(nacre_changes *changes, nacre_change *change);
void nacre_changes_close(nacre_changes *changes);

/* What has been acknowledged since the hook was called last: usually one commit. Rows of the
 * catalog (a membrane made, dropped, renamed) count as well. */
typedef struct nacre_commit_info {
    uint64_t sequence; /* of the last one */
    uint64_t puts, deletes;
} nacre_commit_info;

typedef void nacre_commit_hook(void *self, const nacre_commit_info *commit);

/* Calls `hook` at the end of each call that commits, when the commit is visible and as
 * durable as the level says: never for what was refused or rolled back. One hook at a time;
 * NULL: none. It may not use the database: calls answer NACRE_MISUSE and do nothing. */
NACRE_CHECKED nacre_status nacre_on_commit(nacre_db *db, nacre_commit_hook *hook, void *self);

/* ---- Backups ----
 *
 *     nacre_backup *backup = NULL;
 *     nacre_backup_begin(db, NULL, &backup);
 *     while (nacre_backup_read(backup, buffer, sizeof buffer, &got) == NACRE_OK && got > 0)
 *         fwrite(buffer, 1, got, file);
 *     nacre_backup_end(backup);
 *
 * A backup is one stream of bytes: checked from end to end, the same on every host unless it is
 * encrypted (host/crypt_stream.h). It is the
 * state of the moment at which it began, whatever is written meanwhile; writers never wait
 * for it. It is also how a database travels as one file. An incremental one has what is new
 * since an earlier one. An archive has, stream by stream, every commit since a backup, so
 * that one can go back to each of them. */

typedef struct nacre_backup nacre_backup;
typedef struct nacre_archive nacre_archive;
typedef struct nacre_restore nacre_restore;

typedef enum nacre_backup_kind {
    NACRE_BACKUP_FULL = 1,
    NACRE_BACKUP_INCREMENTAL = 2,
    NACRE_BACKUP_LOG = 3,
} nacre_backup_kind;

typedef struct nacre_backup_info {
    nacre_backup_kind kind;
    uint64_t sequence;      /* of the last commit in it */
    uint64_t base_sequence; /* it goes on from there; 0: full */
    uint64_t segments;      /* that it brings */
    uint64_t bytes;         /* of stream, so far */
    /* Of a full or incremental backup, when it is whole: what it ends with, all that an
     * incremental one on top of it must know. */
    nacre_span token;
} nacre_backup_info;

/* Begins a backup of the newest state. `base`: NULL for a full one; else the token of an
 * earlier one of this database, or any bytes that end with it, such as the whole backup unless that
 * is encrypted. The token is not: it has ids, no rows.
 * NACRE_INVALID_ARGUMENT: it is none, or of another database. */
NACRE_CHECKED nacre_status nacre_backup_begin(nacre_db *db, const nacre_span *base, nacre_backup **backup);
/* Before the first read: the stream will be encrypted with `key` (32 bytes, borrowed during this
 * call), with NULL it is not. Without this call that of an encrypted database is, with its key, and
 * others are not. NACRE_MISUSE: some of it was read. */
NACRE_CHECKED nacre_status nacre_backup_encrypt(nacre_backup *backup, const uint8_t *key);
/* The next bytes of it; *got 0: it is whole. Damage that is met is NACRE_CORRUPT: what is
 * damaged is not backed up. After a failure only nacre_backup_end may follow. */
NACRE_CHECKED nacre_status nacre_backup_read(nacre_backup *backup, void *into, size_t size, size_t *got);
/* Bytes of the token are borrowed until nacre_backup_end. */
NACRE_CHECKED nacre_status nacre_backup_describe(nacre_backup *backup, nacre_backup_info *info);
void nacre_backup_end(nacre_backup *backup); /* NULL is fine */

/* Everything that is committed after `since`, the sequence of a backup. NACRE_NOT_FOUND: not
 * all of it is kept any more. The option changes_size says how much is kept; without it, what
 * the logs hold. Keep the archive open: while it is, it notes the time of each commit, and
 * keeps rows that come in bulk. */
NACRE_CHECKED nacre_status nacre_archive_open(nacre_db *db, uint64_t since, nacre_archive **archive);
/* A stream of what there is since the last one that was read to its end. One at a time:
 * NACRE_BUSY. */
NACRE_CHECKED nacre_status nacre_archive_begin(nacre_archive *archive, nacre_backup **backup);
void nacre_archive_close(nacre_archive *archive); /* NULL is fine */

typedef struct nacre_restore_options {
    size_t struct_size;
    uint64_t sequence; /* restore up to this commit; 0: all */
    uint64_t time_ms;  /* or up to this time, in milliseconds since 1970; 0: all */
    /* 32 bytes, borrowed during nacre_restore_begin: what the streams were encrypted with; one that is
     * not encrypted is refused then. NULL: for encrypted ones the encryption_key of the options. */
    const uint8_t *key;
} nacre_restore_options;

#define NACRE_RESTORE_INIT {.struct_size = sizeof(nacre_restore_options)}

/* Makes a database at `path` of a full backup, incremental ones and logs, given one after the
 * other. It must not exist: NACRE_EXISTS. `path` NULL: checks the streams, which may then
 * begin with any kind, and makes nothing. `until` may be NULL. The encryption_key of the options
 * is that of the new database, and of the streams (see `key`). */
NACRE_CHECKED nacre_status nacre_restore_begin(const char *path, const nacre_options *options,
                                               const nacre_restore_options *until, nacre_restore **restore,
                                               nacre_error *error);
/* The next bytes, in pieces of any size. NACRE_CORRUPT: they are damaged; NACRE_PERMISSION: they
 * are encrypted with another key, or none was given; NACRE_INVALID_ARGUMENT: the streams do not
 * follow each other. After a failure only nacre_restore_abort may follow. */
NACRE_CHECKED nacre_status nacre_restore_write(nacre_restore *restore, const void *data, size_t size);
/* What was given so far: `kind` is that of the last stream that is whole. */
NACRE_CHECKED nacre_status nacre_restore_describe(nacre_restore *restore, nacre_backup_info *info);
const char *nacre_restore_message(const nacre_restore *restore);
/* Now, and only now, there is a database. The restore is gone whatever is returned; a failure
 * leaves no database behind. `db`: gets it, open; NULL: it is closed. NACRE_CORRUPT: the last
 * stream is cut short. NACRE_NOT_FOUND: the streams do not reach what `until` asks for. */
NACRE_CHECKED nacre_status nacre_restore_finish(nacre_restore *restore, nacre_db **db, nacre_error *error);
void nacre_restore_abort(nacre_restore *restore); /* leaves nothing behind; NULL is fine */

/* ---- Keeping house ---- */

NACRE_CHECKED nacre_status nacre_flush(nacre_db *db);      /* everything acknowledged is synced */
NACRE_CHECKED nacre_status nacre_checkpoint(nacre_db *db); /* memtables become segments, logs are emptied */

/* Opened with NACRE_READ: moves to the newest committed state. What a writer committed
 * before this call is seen by the calls after it; snapshots and cursors keep what they
 * see. On failure the handle stays where it was. NACRE_BUSY: a writer changes the
 * database faster than it can be read; try again. A handle that writes is always at the
 * newest state: NACRE_OK, and nothing is done. */
NACRE_CHECKED nacre_status nacre_refresh(nacre_db *db);

/* Does at most about `bytes` of maintenance; *more says whether any is left. */
NACRE_CHECKED nacre_status nacre_step(nacre_db *db, uint64_t bytes, bool *more);

typedef struct nacre_compact_report {
    uint64_t before, after; /* bytes of the file and the records of its logs */
    uint64_t rows;          /* live rows */
} nacre_compact_report;

NACRE_CHECKED nacre_status nacre_compact(nacre_db *db, nacre_compact_report *report);

/* Called for each problem: file, offset in bytes, what. */
typedef void nacre_problem(void *self, const char *where, uint64_t offset, const char *what);

/* Checks the database; *problems counts what was found. `deep` reads every byte. */
NACRE_CHECKED nacre_status nacre_verify(nacre_db *db, bool deep, nacre_problem *problem, void *self,
                                        uint64_t *problems);

/* The same of files that may be too damaged to be opened, or damaged in what opening does not
 * look at. Of an encrypted database with its key in the options; NACRE_CORRUPT: both copies of
 * what the key opens are lost. Nothing is written, and nobody may have the database open for writing. `problem`,
 * `options` and `error` may be NULL. NACRE_NOT_FOUND: there is no such database. */
NACRE_CHECKED nacre_status nacre_verify_files(const char *path, const nacre_options *options, bool deep,
                                              nacre_problem *problem, void *self, uint64_t *problems,
                                              nacre_error *error);

/* ---- Repair ---- */

typedef enum nacre_finding_kind {
    NACRE_FOUND_DAMAGE = 1, /* what is damaged or missing; whether rows went with it is told apart */
    NACRE_FOUND_LOSS = 2,   /* rows that are not in the new database */
    NACRE_FOUND_DOUBT = 3,  /* rows that are in it, and may be older than they were, or deleted since */
} nacre_finding_kind;

typedef struct nacre_finding {
    nacre_finding_kind kind;
    const char *where;     /* file, or segment of it */
    uint64_t offset;       /* bytes */
    const char *what;
    const char *membrane;  /* NULL: none, or several */
    const char *from, *to; /* keys in words: some from here to there, both included. NULL: not known */
} nacre_finding;

/* Called for each finding; all of it is borrowed until it returns. */
typedef void nacre_found(void *self, const nacre_finding *finding);

typedef struct nacre_repair_report {
    uint64_t membranes, rows; /* in the new database */
    uint64_t frames;          /* of the logs, replayed */
    uint64_t damages, losses, doubts;
} nacre_repair_report;

/* Makes the new database `to` from all that can be read in the files of `from`, which are not
 * written to. Nobody may have `from` open for writing. A row is saved when the checksums of its
 * own bytes are right, whatever else is damaged; a deletion that can be read holds. Rows have
 * the times at which they expire; sequences begin anew.
 *
 * Memory is bounded, besides the logs. `found`, `report`, `options` and `error` may be NULL; of the
 * options, allocator, memory and vfs count for both, and so does encryption_key: what was
 * encrypted is so again, under the same key. NACRE_OK also when rows are lost: the
 * findings say which. NACRE_NOT_FOUND: there is nothing at `from`; NACRE_EXISTS: there is
 * something at `to`. After another failure `to` is unfinished: remove it. */
NACRE_CHECKED nacre_status nacre_repair(const char *from, const char *to, const nacre_options *options,
                                        nacre_found *found, void *self, nacre_repair_report *report,
                                        nacre_error *error);

/* ---- Looking into the files, damaged ones too ---- */

typedef enum nacre_inspection {
    NACRE_INSPECT_LOG = 1,      /* headers and frames of both logs, in the order of their use */
    NACRE_INSPECT_MANIFEST = 2, /* both superblocks, and the runs of both manifests */
    NACRE_INSPECT_SEGMENTS = 3, /* of the newest state that can be read */
} nacre_inspection;

/* One JSON object; borrowed until it returns. */
typedef void nacre_line(void *self, const char *json);

/* Reads only. What is damaged is in a line with a member "wrong". */
NACRE_CHECKED nacre_status nacre_inspect(const char *path, const nacre_options *options, nacre_inspection what,
                                         nacre_line *line, void *self, nacre_error *error);

/* JSON text of everything that is counted; borrowed until the next call. */
NACRE_CHECKED nacre_status nacre_stats_json(nacre_db *db, const char **json);

#ifdef __cplusplus
}
#endif
#endif
