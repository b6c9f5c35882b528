/* state.h - what one open database consists of. Only files of db/ include this; the
 * face is db.h.
 *
 * 1. Two memtables at most: `active`, whose log is logs[active->log], and `frozen`,
 *    which a flush turns into segments. Both are replayed from their logs at open.
 * 2. A row's newest version is in the first of: active, frozen, version's runs from
 *    first to last. Reads never look at anything else.
 * 3. last_lsn >= synced_lsn >= durable[0].flushed_lsn.
 * 4. A log is free for a new use when both superblocks cover what it held.
 * 5. `poisoned`: a sync or a superblock failed, so what is on the disk is unknown.
 *    Reads go on; nothing is written until the database is reopened. */
#ifndef DB_STATE_H
#define DB_STATE_H

#include "db/db.h"
#include "db/lanes.h"
#include "db/options.h"
#include "log/wal.h"
#include "memtable/mem_log.h"
#include "memtable/memtable.h"
#include "merge/merge.h"
#include "segment/writer.h"
#include "store/superblock.h"
#include "store/version.h"
#include "vector/kernels.h"

struct nacre_membrane {
    Db *db;
    uint32_t id;
    bool dropped;
    Schema schema;
    char *name; /* zero-terminated */
    size_t name_size;
    nacre_schema public_schema; /* what nacre_membrane_schema shows */
    nacre_field *public_fields;
    nacre_membrane *next_dropped;
};

struct nacre_snapshot {
    Db *db;
    uint64_t lsn;
    Memtable *tables[2]; /* newest first; NULL: none */
    Version *version;
    uint64_t opened_ms;
    Snapshot *next, *previous;
    /* A transaction's own writes, newer than all of the above (transaction.h). */
    Transaction *transaction; /* NULL: a plain snapshot, and what follows is zero */
    Memtable *own;            /* NULL: none */
    uint64_t own_position;    /* what `lsn` is to the tables: own's records up to here */
    Version *own_runs;        /* older than `own`; NULL: none */
};

/* What a superblock refers to. */
typedef struct Durable {
    Superblock superblock;
    Version *version;
} Durable;

/* What a flush does behind its rows: the archive of changes (feed.c). */
typedef struct FeedWriter {
    MemLog log;
    MemBatch batch;
    size_t at;      /* of the next record of `batch`; its end: none is left */
    uint32_t index; /* of that record */
    uint64_t last;  /* LSN of the last batch that is written whole */
    size_t first;   /* of the job's finished segments, the feed's first */
    bool begun, done;
} FeedWriter;

typedef struct FeedLoad {
    uint64_t lsn;
    uint32_t membrane;
} FeedLoad;

typedef struct FeedTold {
    uint64_t lsn, puts, deletes;
} FeedTold;

typedef enum JobKind { JOB_NONE = 0, JOB_FLUSH, JOB_MERGE } JobKind;

/* An earlier state that somebody reads: in a reader one of its own, with its pin; in a
 * writer one that a reader elsewhere pins. */
typedef struct Held {
    Durable state;
    VfsFile *pin; /* NULL in a writer */
    bool wanted;  /* seen in the last list of pins */
} Held;

/* What can be seen of the files without reading them whole: has a writer been at work? */
typedef struct Sight {
    bool valid[2];          /* superblocks */
    uint64_t generation[2];
    uint64_t sequence[2], salt[2], log_size[2], file_size;
} Sight;

/* Work under way, done in steps (maintain.c). All state is here, none on a stack. */
typedef struct Job {
    JobKind kind;
    double rate;      /* bytes of work per byte written */
    double credit;    /* bytes it may work now */
    Merge merge;
    bool merging;     /* merge is open */
    SegmentWriter writer;
    bool writing;
    bool bottom;      /* takes the oldest run: deletions end here */
    bool done;        /* rows are all read */
    uint32_t tier;    /* of the output */
    uint64_t output;  /* run id */
    uint64_t inputs[MERGE_INPUTS_MAX];
    size_t input_count;
    Segment **finished; /* closed, not committed */
    size_t finished_count, finished_capacity;
    FeedWriter feed;    /* of a flush */
    uint8_t *last_key;  /* last row read by the merge, for trimming inputs */
    size_t last_key_size, last_key_capacity;
    struct Training *training; /* goes before its rows; NULL: none */
} Job;

enum { JOB_COUNT = 6 }; /* job 0 is the flush */

typedef struct Counters {
    uint64_t puts, deletes, gets, searches, commits, flushes, merges, ingests, user_bytes, log_bytes, log_syncs;
    uint64_t vectors_scored, codes_scored, rows_checked, stalls, checkpoints, settles;
} Counters;

struct nacre_db {
    Env env;
    nacre_options options;
    Vfs *own_vfs;       /* made here: destroyed at close */
    Vfs *crypt;         /* over it, or over the caller's; NULL: not encrypted */
    char *names;        /* NAME, then the others, zero-terminated, in one piece */
    size_t names_size;
    char *name, *log_names[2], *lock_name;
    VfsFile *lock;
    bool in_memory, readonly, poisoned;
    bool damaged;       /* a merge met damage: none begins until reopened */
    bool reclaiming;    /* merging to make room in a file that may not grow */
    bool in_catalog;    /* the batch under way may write to membrane 0 */
    bool dropped_clean; /* no segment holds rows of a dropped membrane */
    uint64_t segment_size, segment_rows; /* at which a segment is closed: options and budget */
    uint64_t vectors_size; /* likewise, of its vectors, which do not count as segment_size */
    size_t merge_inputs_max;
    uint64_t reserve;      /* extents below the file's limit that ordinary merges leave */
    uint64_t reclaimed_at; /* log bytes when room was made last; 0: never */
    bool loose;         /* SUPERBLOCK_LOOSE goes into each superblock from now on */

    DataFile data;
    ExtentMap map;
    Cache cache;
    SegmentIo io;
    CodeHost code_host;
    Shelf shelf;
    FieldHost field_host;
    bool indexes_damaged; /* codes or indexed fields: compacting makes them anew */
    bool unlisted; /* the last level may have vectors that should be in lists, and are not (vectors.c) */
    const Kernels *kernels;
    Durable durable[2]; /* 0: newest superblock; 1: the one before */
    VfsFile *readers;   /* where readers pin what they read; NULL: there are none, or unseen */
    Held *held;
    size_t held_count, held_capacity;
    VfsFile *pin;       /* of a reader: holds durable[0]; NULL: nothing does */
    Sight sight;        /* of a reader: when it read what it shows */
    bool half_followed; /* of a reader: following a log failed within a frame, or before the catalog: read it anew */
    uint64_t catalog_loads;
    bool catalog_moved; /* of a reader: a batch with rows of membrane 0 was replayed */
    uint64_t epoch;
    uint8_t database_id[16];

    Wal logs[2];
    bool log_free[2];        /* reset and empty, or ready to be */
    uint64_t log_covered[2]; /* generation whose commit covered the log's rows; 0: not covered */
    uint64_t next_log_sequence;
    Memtable *active, *frozen;
    Version *versions;  /* all living ones */
    Version *version;
    ManifestIds ids;
    uint64_t last_lsn, synced_lsn;
    uint64_t unsynced_since_ms; /* 0: all synced */
    uint64_t logged_since_ms; /* with checkpoint_ms: the active memtable has rows since then; 0: not known, or none */
    bool checkpointing;       /* by time: frozen is flushed, and its log emptied, without waiting for more writes */
    uint64_t random_state;
    uint64_t filters_seen[FILTERS_SEEN]; /* hashes of searches' filters, a ring */
    uint32_t filters_at;
    LaneRoom lane_room; /* of the last search */
    uint64_t scored_memory, scored_flat; /* bytes that searches have scored since something was moved (tidy.c) */
    bool tidying;                        /* searches pay for such a move */
    uint64_t now_ms;     /* the clock as this call has asked it; 0: not yet */

    uint64_t reserved, reserved_records; /* by db_reserve */
    Job jobs[JOB_COUNT];
    Bulk *bulks;
    PinnedRow *pinned;
    uint32_t pinned_count;
    ValueReader *value_readers;
    ValueWriter *value_writers;
    struct Ingest *ingests; /* rows on their way past the log (ingest.h) */
    bool half_covered;      /* the older superblock does not know the last ingest */
    nacre_error maintenance_error; /* of work that no caller asked for; code 0: none */

    Membrane **membranes; /* by name */
    size_t membrane_count, membranes_capacity;
    Membrane **by_id;     /* NULL: dropped, or never there */
    size_t by_id_count, by_id_capacity;
    Membrane *dropped;    /* handles that callers may still hold */
    Membrane catalog;     /* membrane 0 */
    uint32_t *dropped_ids;/* rising: their rows go at the next merge */
    size_t dropped_count, dropped_capacity;
    uint32_t next_membrane;

    Transaction *transaction; /* the open one; NULL: none */
    Snapshot *snapshots;  /* newest first */
    uint32_t snapshot_count;
    Cursor *cursors;
    Snapshot newest;      /* stands for a snapshot of NULL; holds no references */

    Backup *backups;
    Archive *archives;
    const ExtentList *spool; /* of a restore: what it holds besides segments; NULL: nothing */
    bool restoring;          /* LOG_RESTORING stands in both logs */

    Changes *changes;
    uint64_t feed_floor;  /* without an archive: changes above it are in the memtables, or: */
    FeedLoad *loads;      /* what came in bulk since, rising; `pending` ones behind them */
    size_t load_count, load_pending, loads_capacity;
    nacre_commit_hook *hook;
    void *hook_self;
    FeedTold told;        /* to the hook, the last time */
    bool in_hook;

    CacheEntry *borrowed; /* what the last get showed */
    uint8_t *blob, *vector; /* likewise */
    size_t blob_capacity, vector_capacity;
    uint8_t *text;        /* of stats */
    size_t text_capacity;
    uint64_t pages_reported;

    uint64_t replayed_frames, torn_bytes;
    bool fallback;
    char recovery_message[200];
    Counters counters;
    struct ApiState *api; /* of api.c; NULL: opened through db.h alone */
};

/* ---- between the files of db/ ---- */

/* The newest state, as a snapshot: refreshed at each call. */
const Snapshot *state_view(Db *db, const Snapshot *snapshot);
/* NACRE_READONLY, or NACRE_IO when poisoned. */
NACRE_CHECKED nacre_status state_writable(Db *db);
nacre_status state_poison(Db *db, nacre_status status); /* returns status */
/* open.c: takes the lock and opens the files, as the mode says. */
NACRE_CHECKED nacre_status state_open_files(Db *db);
uint64_t state_random(Db *db);

/* One key in a view, newest first. NACRE_NOT_FOUND also for a deletion or an expired row. *pin holds what
 * entry borrows. */
NACRE_CHECKED nacre_status view_get(Db *db, const Snapshot *view, Span key, Entry *entry, CacheEntry **pin);
/* What a view consists of, newest first: a transaction's own memtable and runs, then the
 * memtables, then the version's runs. */
typedef struct ViewSource {
    Memtable *table; /* NULL: a run */
    uint32_t stamp;  /* records of the memtable up to here are seen */
    const Run *run;
} ViewSource;
size_t view_source_count(const Snapshot *view);
/* Both pointers NULL: a place for a memtable that is not there. */
ViewSource view_source(const Snapshot *view, size_t index);
/* Whether `key` stands in one of the first `sources` sources, deletions included. */
NACRE_CHECKED nacre_status view_shadowed(Db *db, const Snapshot *view, Span key, size_t sources, bool *shadowed);
/* A merge over everything in the view. */
NACRE_CHECKED nacre_status view_merge(Db *db, const Snapshot *view, Merge *merge);
/* Value and vector of an entry, loaded into the buffers given. */
NACRE_CHECKED nacre_status row_load(Db *db, uint32_t membrane, const Entry *entry, bool want_vector, uint8_t **blob,
                                    size_t *blob_capacity, uint8_t **vector, size_t *vector_capacity, RowView *row);

/* The row of a key without its membrane; the key that *entry had is gone. *pin as view_get. */
NACRE_CHECKED nacre_status read_entry(Membrane *membrane, const Snapshot *snapshot, Span key, Entry *entry,
                                      CacheEntry **pin);

/* Milliseconds since 1970, asked once in a call: in WebAssembly it is one into the host. */
static inline uint64_t state_now(Db *db) {
    if (db->now_ms == 0) db->now_ms = db->env.vfs->now_ms(db->env.vfs->self);
    return db->now_ms;
}

/* Is there a row no more: deleted, or its time is over? */
static inline bool state_gone(Db *db, const Entry *entry) {
    if (!(entry->flags & (ENTRY_DELETE | ENTRY_EXPIRES))) return false;
    return (entry->flags & ENTRY_DELETE) || entry->expires <= state_now(db);
}

/* Prefixes an encoded key with its membrane's id; `out` has room for 4 + key.size. */
static inline Span full_key(uint32_t membrane, Span key, uint8_t *out) {
    put_u32_be(out, membrane);
    bytes_copy(out + 4, key.data, key.size);
    return span_of(out, key.size + 4);
}
enum { FULL_KEY_INLINE = 512 };

/* write.c: walks `size` bytes of batches as record_format.h says, and gives each an LSN
 * from *lsn + 1 on, and each row that expires its time. NACRE_INVALID_ARGUMENT, or NACRE_NOT_FOUND when a membrane was dropped.
 * *puts: one of the records is no deletion. */
NACRE_CHECKED nacre_status write_check_batches(Db *db, uint8_t *bytes, size_t size, uint64_t *lsn, uint64_t *records,
                                               bool *puts);

/* commit.c: publishes `version` (taken; released on failure) as the newest state. */
NACRE_CHECKED nacre_status commit_version(Db *db, Version *version, uint64_t flushed_lsn);
/* Commits the present state once more, so that both superblocks know it. */
NACRE_CHECKED nacre_status commit_again(Db *db);
/* The same where the disk has no room for another manifest: a superblock alone, over the
 * present one. Forgets the failure that led to it. */
NACRE_CHECKED nacre_status commit_in_place(Db *db);
void commit_recount(Db *db);
NACRE_CHECKED nacre_status commit_truncate(Db *db, bool all);
NACRE_CHECKED nacre_status log_sync(Db *db);
/* Makes the log that is not active ready for use: both superblocks cover it. */
NACRE_CHECKED nacre_status log_release(Db *db);

/* write.c: is the record at `at`, of at most `left` bytes, one that its membrane takes? *membrane
 * is the last one found, or NULL; *size becomes the record's. A lifetime in it becomes a time. */
NACRE_CHECKED nacre_status write_check_record(Db *db, uint8_t *at, size_t left, Membrane **membrane,
                                              size_t *size);
/* Of a row that was read: NACRE_CORRUPT where its key is none of the membrane's, so that what is
 * written about it does not look like the caller's mistake. */
NACRE_CHECKED nacre_status write_check_read_key(const Membrane *membrane, Span key);
/* held.c: states besides `durable` whose extents stay. */
/* Opens db->readers; where that cannot be, there are no other readers. */
void held_open(Db *db);
void held_close(Db *db);
/* Room for one more, so that held_add cannot fail. */
NACRE_CHECKED nacre_status held_reserve(Db *db);
/* Takes `state` (and `pin`). */
void held_add(Db *db, Durable *state, VfsFile *pin);
/* Of a writer, after a superblock was written: lets go what no reader pins. */
void held_ask(Db *db);
/* Of a reader: lets go what no snapshot or cursor of its own reads. */
void held_drop_unread(Db *db);

/* reader.c: opening for reading, beside a writer or without one. */
NACRE_CHECKED nacre_status reader_open(Db *db);
void reader_close(Db *db);
/* Has no writer changed anything since this state was read? */
bool reader_is_current(Db *db);

/* tidy.c: at the end of a search that has scored so many bytes of vectors in memtables, and of codes
 * in flat lists above the last level. May write; what fails is kept for stats. */
void tidy_after_search(Db *db, uint64_t memory, uint64_t flat);

/* maintain.c */
NACRE_CHECKED nacre_status maintain_freeze(Db *db); /* active becomes frozen; its flush begins */
NACRE_CHECKED nacre_status maintain_flush(Db *db);  /* finishes the flush of frozen */
void maintain_after_write(Db *db, uint64_t bytes);
NACRE_CHECKED nacre_status maintain_step(Db *db, uint64_t bytes, bool *more);
/* No job is under way, and none waits. */
bool maintain_idle(const Db *db);
/* Begins to merge all runs into the last level, when there is anything above it, and when that copies
 * `most` bytes at most, those of the last level counting `dearer` times. */
NACRE_CHECKED nacre_status maintain_begin_last(Db *db, uint64_t most, uint64_t dearer, bool *begun);
NACRE_CHECKED nacre_status maintain_merge_all(Db *db);
NACRE_CHECKED nacre_status maintain_reclaim(Db *db);    /* the same within the file's limit, reserve included */
NACRE_CHECKED nacre_status maintain_park(Db *db);       /* at close */
NACRE_CHECKED nacre_status maintain_make_room(Db *db);  /* the file is at its limit */
void maintain_abort(Db *db);
bool maintain_dropped(const Db *db, uint32_t membrane);
bool maintain_busy(const Db *db, uint64_t run); /* has a merge this run? */
NACRE_CHECKED nacre_status maintain_close_segment(Db *db, Job *job); /* the one under way, if any */

/* catalog.c */
NACRE_CHECKED nacre_status catalog_load(Db *db);
void catalog_clear(Db *db);
Membrane *catalog_by_id(const Db *db, uint32_t id);
BlockLayout catalog_layout(const void *db, uint32_t membrane); /* of SegmentIo */
/* All membranes, as the manifest keeps them (manifest_format.h). */
size_t catalog_copy_size(const Db *db);
void catalog_copy(const Db *db, uint8_t *into);

/* recover.c */
NACRE_CHECKED nacre_status recover(Db *db);
/* Of a reader: indexes what was appended to the active log since. *done: all that there was. */
NACRE_CHECKED nacre_status recover_follow(Db *db, bool *done);
/* Empties a log; while db->restoring, it says so. */
NACRE_CHECKED nacre_status recover_reset_log(Db *db, int which, uint32_t flags);
/* Do the logs say that a restore did not come to its end? */
bool recover_half_restored(const Db *db);
/* open.c: makes a new database, which nobody can open before db->restoring is over; and gets
 * rid of it, of all its files. */
NACRE_CHECKED nacre_status db_open_restoring(const char *path, const nacre_options *options, Db **db,
                                             nacre_error *error);
void db_discard(Db *db);
/* Do the logs say no more than that a database was being made? */
NACRE_CHECKED nacre_status recover_unfinished(const Db *db, bool *unfinished);

/* bulk.c, value.c, pinned.c */
void bulks_abort(Db *db);
void values_close(Db *db);
void pinned_release_all(Db *db);

/* space.c: about how many bytes the newest state needs. */
NACRE_CHECKED nacre_status space_live(Db *db, uint64_t *live);

/* settle.c: where `bytes` more would leave less than a quarter of the memory, what snapshots
 * see of memtables that nobody else has goes to the file. What fails is left as it was. */
void snapshots_settle(Db *db, uint64_t bytes);

/* cursor.c */
void cursors_close(Db *db);
void snapshots_release(Db *db);

#endif
