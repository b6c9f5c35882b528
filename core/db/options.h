/* options.h - every number that a user may set, and those that one may not, in one
 * place: nothing else in the code is a magic number. */
#ifndef DB_OPTIONS_H
#define DB_OPTIONS_H

#include "host/env.h"

/* What is not for users to set. */
enum {
    TIER_RUNS = 8,              /* runs of a tier that are merged */
    MERGE_INPUTS_MAX = 64,      /* runs one merge takes at most */
    MERGE_INPUT_MEMORY = 64 << 10, /* bytes of memory that one input is given in the budget */
    SEGMENT_MEMORY_SHARE = 16,  /* a segment being written takes at most this part of the budget */
    BATCH_SPARE_SHARE = 64,     /* a batch leaves at most this part of the budget to the next one */
    CLOSE_LOG = 1 << 20,        /* bytes of log that closing leaves to be replayed at most */
    CHECKPOINT_SLICE = 64 << 10, /* bytes that each write flushes at least while a checkpoint by time goes on */
    STEP_CREDIT_MIN = 16 << 10, /* bytes of work below which a step is not worth its call */
    SYNC_BYTES = 2 << 20,       /* unsynced bytes of segments after which a write pays a sync */
    COMPRESSED_BLOCK = 16 << 10, /* bytes of a block that is compressed, where nothing says more */
    COMPACT_ROUNDS = 4,         /* of moving extents down: each frees room for the next */
    TRUNCATE_MIN = 1 << 20,     /* free bytes at the end of the file worth giving back */
    LSN_GAP = 1 << 20,          /* LSNs left out after an unclean end: none is used twice */
    FILTERS_SEEN = 32,          /* filters that are known again */
    VECTORS_SHARE = 16,         /* a segment may have so many times segment_size of vectors: codes pay by the number */
    OWN_SHARE = 2,              /* a transaction's memtable is at most this part of memtable_size */
    OWN_STEP = 8,               /* and grows by this factor, twice */
    FOLD_RATE = 4,              /* bytes of a transaction's private runs merged per byte that it writes */
    CLEAR_BYTES = 64 << 10,     /* of deletions that a clear inside a transaction writes at once */
    ID_GAP = 1 << 16,           /* segment ids left out at open: those of segments never committed */
};

#define LAST_LEVEL_RATIO 0.5   /* bytes in tiers over bytes in the last level that start a merge into it */
#define FLUSH_RATE 1.5         /* bytes flushed per byte written: done when two thirds of the next memtable are full */
#define TIER_RATE 1.5          /* bytes merged per byte written */
#define LAST_RATE 1.3
#define CATCH_UP 1.25          /* of its share, a job does this much at most when it was held up */

/* A copy of the caller's options with every default filled in. NACRE_INVALID_ARGUMENT
 * names the option that is out of range. */
NACRE_CHECKED nacre_status options_resolve(Env *env, const nacre_options *given, nacre_options *options);

/* That of options of which nothing is known yet; NULL: they have none, or are no options. */
const nacre_allocator *options_allocator(const nacre_options *given);

#endif
