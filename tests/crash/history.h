/* history.h - a recorded life of a database on the simulated disk: random batches, some of whose rows
 * expire, transactions, bulk loads, streamed values, drops, flushes, merges, reopenings, readers beside
 * it, and the model after each commit, so that of any state found after a crash it can be told which
 * prefix of commits it is. */
#ifndef TESTS_CRASH_HISTORY_H
#define TESTS_CRASH_HISTORY_H

#include "lib/model.h"
#include "lib/sim_disk.h"

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define CRASH_SANITIZED /* several times slower: fewer states */
#endif
#endif

/* From states[i] to states[i + 1]. Operations are counted on the disk. */
typedef struct HistoryCommit {
    size_t written;      /* operations after which its frame was written whole */
    size_t durable;      /* after which a sync of its log had succeeded; SIZE_MAX: never */
    size_t acknowledged; /* when the call returned NACRE_OK */
    uint64_t sequence;   /* the database's after that */
} HistoryCommit;

typedef struct History {
    SimDisk *disk;
    nacre_durability durability;
    Model *states;   /* count + 1; states[0] is empty */
    uint64_t *hashes;
    HistoryCommit *commits;
    size_t count, capacity;
    uint64_t random;
    nacre_db *db;    /* NULL between close and open */
    uint64_t clock;
    nacre_db *reader; /* beside it, now and then */
    size_t transactions[2]; /* through the log, past it */
    size_t streams, reads;
    bool lazy;       /* fewer checkpoints: tiers of runs are merged by themselves */
    bool large;      /* a value of more than a MiB is streamed now and then */
} History;

enum { HISTORY_KEYS = 256 }; /* of each membrane */

/* CRASH_STATES, or `usual` when it is not set. */
uint64_t crash_states(uint64_t usual);
bool crash_exhaustive(void); /* CRASH_ALL is set: leave no fault and no bit out */
/* States that a test has recovered: printed, and added up by `make crash-states`. */
void crash_count(uint64_t states);

/* Of every database from now on; NULL: not encrypted (tests/crash/crypt_test.c). */
extern const uint8_t *history_key;

/* Small limits, so that flushes, merges and resets happen all the time. */
nacre_options history_options(SimDisk *disk, nacre_durability durability);

/* An empty disk and no database yet. */
void history_init(History *history, uint64_t seed, nacre_durability durability);
/* Opens when closed, then `rounds` random things; every call must succeed (CHECKed). */
bool history_go_on(History *history, unsigned rounds);
bool history_close(History *history);
/* Finds out for each commit when it was durable, and lets what expires expire. */
void history_seal(History *history);
void history_free(History *history);

/* One random batch of 1 to 60 changes; some rows live for a millisecond, so let one pass before
 * reading. *next is what the model is if it is committed. */
nacre_status history_batch(nacre_db *db, const Model *model, Model *next, uint64_t *random);

/* One bulk load of some keys of one membrane, at least one. */
nacre_status history_load(nacre_db *db, const Model *model, Model *next, uint64_t *random);

/* One transaction, often one that outgrows its memory, with a savepoint that is rolled back to;
 * *spilled: it went past the log. */
nacre_status history_transaction(nacre_db *db, const Model *model, Model *next, uint64_t *random, bool *spilled);

/* Changes *model as history_batch would, from the same numbers. */
void history_plan(Model *model, uint64_t *random);

uint64_t history_hash(const Model *model);
/* The commits that a crash before operation `operations` may not lose, and the most that can
 * be there. */
size_t history_least(const History *history, size_t operations);
size_t history_most(const History *history, size_t operations);
/* The number of commits, least <= it <= most, after which the model is this; SIZE_MAX: none. */
size_t history_find(const History *history, const Model *model, size_t least, size_t most);
/* The database's, from its stats. */
uint64_t history_sequence(nacre_db *db);

#endif
