/* feed.h - the archive of changes as the rest of db/ meets it: written by flushes, cut to
 * the bytes that the option changes_size gives it, checked at open; and the hook that is
 * told of each commit. Reading it is changes.c. */
#ifndef DB_FEED_H
#define DB_FEED_H

#include "db/feed_format.h"
#include "db/state.h"

/* Changes above this LSN are all there: in the archive, in a memtable, or as a load. */
uint64_t feed_floor(const Db *db);
/* Changes up to this LSN are acknowledged: what is logged but not yet synced is not, where
 * the level asks for a sync. */
uint64_t feed_limit(const Db *db);
/* LSN that the archive ends with, 0: there is none. */
uint64_t feed_last(const Version *version);

/* ---- a flush writes it, behind its rows ---- */
void feed_flush_begin(const Db *db, Job *job);
/* Works until *work is `budget`; job->feed.done: all is written. */
NACRE_CHECKED nacre_status feed_flush_step(Db *db, Job *job, double budget, uint64_t *work);
/* What is written becomes part of `next`, and what is too old leaves it. */
NACRE_CHECKED nacre_status feed_flush_commit(Db *db, Job *job, Version *next);
/* The commit succeeded. */
void feed_flushed(Db *db, uint64_t lsn);

/* ---- rows that come by another way than the log ---- */
/* `next` is to become the newest state with `lsn`, at which `runs` join it. */
NACRE_CHECKED nacre_status feed_add_load(Db *db, Version *next, uint64_t lsn, const Version *runs);
/* It has. */
void feed_loaded(Db *db);

/* ---- reading it back ---- */
/* The row of the archive that is expected next. */
typedef struct FeedPlace {
    uint64_t lsn;
    uint64_t index; /* of batch `lsn`; above 32 bits: another batch must follow */
} FeedPlace;

/* NACRE_CORRUPT unless the row may stand there; moves on. */
NACRE_CHECKED nacre_status feed_row(Db *db, Span key, Span value, FeedPlace *place);
/* Do the segments' keys make an archive (rules 3 and 4)? */
NACRE_CHECKED nacre_status feed_check(Db *db, const Version *version, uint64_t flushed_lsn);
/* Every row of it. */
NACRE_CHECKED nacre_status feed_verify(Db *db);

/* Tells the hook what has become acknowledged since it was told last. */
void feed_acknowledged(Db *db);
void feed_clear(Db *db);

#endif
