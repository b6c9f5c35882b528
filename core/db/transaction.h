/* transaction.h - what an open transaction consists of: a snapshot of its beginning, and
 * its own writes, which nobody else sees before commit.
 *
 *     own memtable        batches as they were written; newest
 *     own runs            what did not fit into memory (an Ingest: private segments)
 *     base memtables, base version        the snapshot
 *
 * 1. Writes are counted: a write's number is its position. `base_lsn` of the own memtable
 *    is the position before its first write, so a record's position is base_lsn + stamp.
 * 2. A savepoint is a position. What is undone by rolling back to it gets the stamp UNDONE,
 *    which no view sees; runs whose writes are all newer are dropped. No run has writes
 *    from both sides of an open savepoint.
 * 3. A cursor keeps the memtable and the runs that it reads; before records in a memtable
 *    that a cursor keeps are marked, the memtable is copied. So a cursor sees the state at
 *    its opening, whatever is written or undone.
 * 4. Nothing of it is logged before commit: a crash leaves nothing. */
#ifndef DB_TRANSACTION_H
#define DB_TRANSACTION_H

#include "db/ingest.h"
#include "db/state.h"

#define OWN_UNDONE UINT32_MAX

typedef struct Savepoint {
    uint64_t serial;
    uint64_t position; /* of the last write that stays */
    size_t used;       /* of the own memtable's arena, then; 0 when that one is spilled */
} Savepoint;

/* What is known of a private run besides its rows. */
typedef struct SpilledRun {
    uint64_t low; /* the position before its first write */
    uint32_t tier;
} SpilledRun;

/* Several private runs on their way to become one, step by step. */
typedef struct Fold {
    Ingest *into; /* NULL: none under way */
    Merge merge;
    size_t first, count; /* of SpilledRun */
    bool failed;         /* none is begun any more */
} Fold;

struct nacre_transaction {
    Db *db;
    Snapshot *view;
    uint64_t reserved, reserved_records; /* by transaction_reserve */
    uint64_t next_serial;
    Savepoint *savepoints; /* outermost first */
    size_t savepoint_count, savepoints_capacity;
    bool broken;           /* what failed halfway could not be undone: only rollback is left */
    Ingest *spilled;       /* NULL: never needed */
    uint64_t unpaid;       /* bytes written since maintenance was last paid for */
    SpilledRun *runs;      /* oldest first: runs[i] is spilled's run number run_count - 1 - i */
    size_t run_count, runs_capacity;
    Fold fold;
};

/* The records of a memtable's arena in the order of writing, from the batch at `at` on. */
typedef struct OwnWalk {
    const Memtable *own;
    size_t at, batch_end; /* both: where a batch begins */
} OwnWalk;
/* NULL: no more. */
uint8_t *own_walk_next(OwnWalk *walk);

/* own.c: room for `bytes` of batches and `records` more entries. */
NACRE_CHECKED nacre_status own_reserve(Transaction *tx, uint64_t bytes, uint64_t records);
/* Rule 2. */
NACRE_CHECKED nacre_status own_undo(Transaction *tx, const Savepoint *to);
/* A merge over all own writes, deletions included. */
NACRE_CHECKED nacre_status own_merge(const Transaction *tx, Merge *merge);

/* conflict.c: NACRE_CONFLICT names a row that is not what it was at the beginning. */
NACRE_CHECKED nacre_status conflict_check(const Transaction *tx);

/* spill.c: what is in the own memtable becomes private runs, and it is gone. */
NACRE_CHECKED nacre_status spill(Transaction *tx);
/* Forgets the runs whose writes are all newer than `position`. */
NACRE_CHECKED nacre_status spill_undo(Transaction *tx, uint64_t position);
/* Merges private runs where there are many: `bytes` were written. What fails is given up. */
void spill_fold(Transaction *tx, uint64_t bytes);
void spill_clear(Transaction *tx);

#endif
