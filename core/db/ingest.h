/* ingest.h - rows that become part of the database without going through the log: bulk
 * loads, large values, transactions that outgrew memory. They are written as private
 * segments, and made the newest rows of the database by one commit.
 *
 * 1. Private segments are known to nobody: no log, no superblock, no reader of the
 *    database. A crash leaves nothing of them but free extents.
 * 2. ingest_publish is atomic. It takes the LSN after the last one, and no frame of a log
 *    tells of it: what is in memtables becomes segments first, and both superblocks know
 *    the rows before anything else is logged.
 * 3. The private runs lie in a Version of their own, newest first. Whoever reads them
 *    retains it; a change makes another one, and extents stay taken while one lives.
 * 4. Several may be under way. nacre_close frees what is left. */
#ifndef DB_INGEST_H
#define DB_INGEST_H

#include "db/db.h"
#include "segment/writer.h"
#include "store/version.h"

typedef struct Ingest {
    Db *db;
    Version *version;     /* private; NULL once published */
    SegmentWriter writer; /* of the newest run */
    bool writing;
    bool failed;          /* the run under way is unfinished */
    uint64_t bytes;       /* of rows added */
    struct Ingest *next, *previous;
} Ingest;

NACRE_CHECKED nacre_status ingest_begin(Db *db, Ingest **ingest);
/* What is added from now on is a run of its own, newer than those before. */
NACRE_CHECKED nacre_status ingest_new_run(Ingest *ingest);
/* Keys rise within a run. A failure leaves the run unfinished: only ingest_drop_runs and
 * ingest_free may follow. */
NACRE_CHECKED nacre_status ingest_add(Ingest *ingest, const Entry *entry);
/* The next bytes of a large value. The row that has it is added after all of them: with
 * ENTRY_BLOB | ENTRY_PIECES, the value's size in blob, and no segment. */
NACRE_CHECKED nacre_status ingest_stream(Ingest *ingest, Span bytes);
/* Closes the segment under way, so that the version shows all that was added. A run of no
 * rows is taken out again. */
NACRE_CHECKED nacre_status ingest_end_run(Ingest *ingest);
/* Forgets the newest `count` runs, unfinished or not. */
NACRE_CHECKED nacre_status ingest_drop_runs(Ingest *ingest, size_t count);
/* Runs [first, first + count) give way to the one run of `with`, which has the newest of
 * their rows, deletions included. Only ingest_free(with) may follow. */
NACRE_CHECKED nacre_status ingest_replace(Ingest *ingest, size_t first, size_t count, Ingest *with);
/* Of the last row added to the run under way; empty: none was. Borrowed until the next. */
Span ingest_last_key(const Ingest *ingest);
/* Borrowed until the next change; retain it to keep it. */
static inline Version *ingest_version(const Ingest *ingest) { return ingest->version; }

/* Rule 2. NACRE_OK: it is empty now, and only ingest_free may follow. Else nothing has
 * changed, and it may be tried again. */
NACRE_CHECKED nacre_status ingest_publish(Ingest *ingest);
/* Gives back memory and, of what was not published, extents. NULL is fine. */
void ingest_free(Ingest *ingest);

/* Between the files of db/: what commit_recount asks, what db_reserve and
 * db_step try again while db->half_covered, and closing. */
void ingests_mark(Db *db);
NACRE_CHECKED nacre_status ingest_cover(Db *db);
void ingests_free(Db *db);

#endif
