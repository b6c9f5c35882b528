/* lies_test.c - the disk says that all went well, and it did not: a write that lands elsewhere, a
 * write that never lands, a sync that makes nothing durable, names of files that are gone. What
 * is found later is right, refused as damage, or, where nothing on the disk can tell, an earlier
 * state: then it is that after some commit. Rows that never were: never. core/FAILURES.md has
 * the table. */
#include "crash/history.h"
#include "lib/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#if defined __wasm__ || defined __aarch64__ || defined CRASH_SANITIZED /* emulated, or slow */
enum { ROUNDS = 40, STRIDE = 7 };
#else
enum { ROUNDS = 72, STRIDE = 5 };
#endif
enum { STATES = 2 * ROUNDS + 2 };

typedef struct Life {
    SimDisk *disk;
    nacre_db *db;
    Model states[STATES]; /* after each call that was acknowledged; then that of the one that failed */
    size_t count;         /* acknowledged */
    bool failed;          /* the call after them */
    uint64_t random;
} Life;

typedef struct Verdicts {
    uint64_t right, earlier, refused, wrong;
} Verdicts;

static Life life;

/* What is damaged may be noticed by the one who writes: a typed failure. */
static bool life_status(nacre_status status) {
    if (status == NACRE_OK) return true;
    CHECK(status == NACRE_CORRUPT || status == NACRE_IO || status == NACRE_VERSION);
    life.failed = true;
    return false;
}

static bool life_open(void) {
    nacre_options options = history_options(life.disk, NACRE_STRICT);
    return life.db || life_status(nacre_open("db", &options, &life.db, NULL));
}

static void life_close(void) {
    if (life.db && !life.failed) (void)life_status(nacre_close(life.db, NULL));
    else (void)nacre_close(life.db, NULL);
    life.db = NULL;
}

static bool life_change(int kind) {
    const Model *now = &life.states[life.count];
    Model *next = &life.states[life.count + 1];
    bool spilled;
    nacre_status status = kind == 0   ? history_batch(life.db, now, next, &life.random)
                          : kind == 1 ? history_load(life.db, now, next, &life.random)
                                      : history_transaction(life.db, now, next, &life.random, &spilled);
    if (life_status(status)) life.count++;
    return !life.failed;
}

/* Until all is done, or a call fails. */
static void life_go(uint64_t seed, SimFault lie) {
    memset(&life, 0, sizeof life);
    life.disk = sim_disk_new(seed);
    life.random = seed;
    sim_disk_fault(life.disk, lie);
    for (unsigned i = 0; i < ROUNDS && !life.failed; i++) {
        if (!life_open() || !life_change(0)) break;
        if (i % 9 == 6 && !life_change(1)) break;
        if (i % 17 == 12 && !life_change(2)) break;
        if (i % 11 == 3) (void)life_status(nacre_checkpoint(life.db));
        if (i % 23 == 19) (void)life_status(nacre_compact(life.db, NULL));
        if (i % 16 == 15) life_close();
    }
    sim_disk_wait(life.disk, 10);
}

/* Is it the state after some call? Which one? SIZE_MAX: none. */
static size_t life_find(const Model *model) {
    for (size_t s = life.count + 1 + life.failed; s-- > 0;)
        if (memcmp(model, &life.states[s], sizeof *model) == 0) return s;
    return SIZE_MAX;
}

static bool lie_wrong(const char *what, uint64_t nth, const char *law, const char *text) {
    printf("# %s, number %" PRIu64 ": %s (%s)\n", what, nth, law, text);
    return check_that(CHECK_HERE, law, false);
}

/* What does the handle, or the next one, find? `may_be_earlier`: nothing on the disk can tell. */
static void life_judge(nacre_db *db, const char *what, uint64_t nth, bool may_be_earlier, Verdicts *v) {
    Model model;
    nacre_status status = NACRE_OK;
    nacre_membrane *membrane = NULL;
    static const char *const names[MODEL_MEMBRANES] = {"texts", "numbers", "vectors"};
    memset(&model, 0, sizeof model);
    for (int m = 0; m < MODEL_MEMBRANES && status == NACRE_OK; m++) {
        nacre_cursor *cursor = NULL;
        nacre_row row;
        status = nacre_membrane_open(db, names[m], NULL, &membrane);
        if (status == NACRE_OK) status = nacre_cursor_open(membrane, NULL, NULL, &cursor);
        while (status == NACRE_OK) status = nacre_cursor_next(cursor, &row); /* all of it can be read */
        nacre_cursor_close(cursor);
        if (status == NACRE_NOT_FOUND) status = NACRE_OK;
    }
    if (status == NACRE_CORRUPT || status == NACRE_IO || status == NACRE_VERSION) {
        uint64_t problems = 0;
        nacre_status verified = nacre_verify(db, true, NULL, NULL, &problems);
        if (verified == NACRE_OK && problems == 0) lie_wrong(what, nth, "verify finds what a read finds", nacre_message(db));
        v->refused++;
        return;
    }
    size_t found = status == NACRE_OK && model_read(db, NULL, &model) ? life_find(&model) : SIZE_MAX;
    v->right += found != SIZE_MAX && found >= life.count;
    v->earlier += found < life.count;
    v->wrong += found == SIZE_MAX;
    if (found == SIZE_MAX) lie_wrong(what, nth, "it is the state after some call", nacre_message(db));
    else if (found < life.count && !may_be_earlier) lie_wrong(what, nth, "nothing acknowledged is missing", "");
}

/* One life with one lie; then what those find who still have it open, and who come after a power
 * failure that takes what is unsynced. */
static bool lie_once(SimFault lie, const char *what, Verdicts *v, bool may_be_earlier) {
    uint64_t wrong = v->wrong;
    life_go(test_seed(), lie);
    bool met = sim_disk_fault_hits(life.disk) > 0;
    sim_disk_fault(life.disk, (SimFault){.nth = 0});
    if (life.db) life_judge(life.db, what, lie.nth, false, v);
    sim_disk_crash(life.disk, SIM_CRASH_PREFIX, 0);
    (void)nacre_close(life.db, NULL);
    nacre_options options = history_options(life.disk, NACRE_STRICT);
    nacre_error error = {0};
    nacre_status status = nacre_open("db", &options, &life.db, &error);
    if (status == NACRE_OK) {
        life_judge(life.db, what, lie.nth, may_be_earlier, v);
        (void)nacre_close(life.db, NULL);
    } else {
        v->refused++;
        if (status != NACRE_CORRUPT && status != NACRE_VERSION) lie_wrong(what, lie.nth, "damage is CORRUPT", error.text);
    }
    sim_disk_free(life.disk);
    return met && v->wrong - wrong == 0;
}

static uint64_t lie_stride(void) { return crash_exhaustive() ? 1 : STRIDE; }

static void each_lie(SimFault lie, const char *what, bool may_be_earlier, Verdicts *v) {
    uint64_t nth = 1;
    for (lie.nth = 1; lie_once(lie, what, v, may_be_earlier) && v->wrong == 0; lie.nth += lie_stride()) nth = lie.nth;
    printf("# %s, up to number %" PRIu64 ": %" PRIu64 " right, %" PRIu64 " earlier, %" PRIu64 " refused\n", what, nth,
           v->right, v->earlier, v->refused);
    CHECK(nth > 20 && v->wrong == 0 && v->right > 0);
}

/* The bytes of a write stay away although everything was synced. Of the log's very last frames
 * nothing else tells: an earlier state. */
static void b12_a_write_that_never_landed_is_noticed(void) {
    Verdicts v = {0};
    each_lie((SimFault){.kinds = SIM_WRITE, .way = SIM_FAULT_STALE}, "lost write", true, &v);
    CHECK(v.refused > 0);
    CHECK(v.earlier * 20 < v.right + v.refused);
}

/* The same, and what stood elsewhere is overwritten. */
static void b12_a_misdirected_write_is_noticed(void) {
    static const uint64_t distances[4] = {512, 4096, 65536, 65536 * 3 + 8192};
    for (int i = 0; i < 4; i++) {
        Verdicts v = {0};
        each_lie((SimFault){.kinds = SIM_WRITE, .way = SIM_FAULT_ASTRAY, .distance = distances[i]}, "misdirected write", true, &v);
        CHECK(v.refused > 0);
    }
}

/* A sync that does nothing, and then the power fails: what it should have kept is lost, but
 * what is left is a state that was, or is refused. */
static void b12_a_sync_that_lies_leaves_a_state_that_was(void) {
    Verdicts v = {0};
    each_lie((SimFault){.kinds = SIM_SYNC, .way = SIM_FAULT_IDLE}, "idle sync", true, &v);
    Verdicts all = {0};
    SimFault lie = {.kinds = SIM_SYNC, .way = SIM_FAULT_IDLE, .forever = true};
    for (lie.nth = 1; lie_once(lie, "idle syncs from", &all, true) && all.wrong == 0; lie.nth += lie_stride()) {}
    printf("# idle syncs from any one on: %" PRIu64 " right, %" PRIu64 " earlier, %" PRIu64 " refused\n", all.right,
           all.earlier, all.refused);
    CHECK(all.wrong == 0 && all.earlier > 0);
}

/* A file that was synced, in a folder that was not, has lost its name. All three: there is nothing
 * that could tell; the real Vfs syncs the folder. */
static void b09_a_lost_name_is_never_an_empty_database(void) {
    static const char *const files[3] = {"db", "db-wal0", "db-wal1"};
    for (int set = 1; set < 7; set++) {
        life_go(test_seed(), (SimFault){.nth = 0});
        CHECK(!life.failed);
        sim_disk_crash(life.disk, SIM_CRASH_PREFIX, 0);
        (void)nacre_close(life.db, NULL);
        life.db = NULL;
        for (int file = 0; file < 3; file++)
            if (set >> file & 1) sim_disk_remove(life.disk, files[file]);
        nacre_options options = history_options(life.disk, NACRE_STRICT);
        uint64_t before = sim_disk_hash(life.disk);
        CHECK_EQ(nacre_open("db", &options, &life.db, NULL), NACRE_CORRUPT);
        CHECK(sim_disk_hash(life.disk) == before);
        sim_disk_free(life.disk);
    }
}

void lies_test(void) {
    RUN(b12_a_write_that_never_landed_is_noticed);
    RUN(b12_a_misdirected_write_is_noticed);
    RUN(b12_a_sync_that_lies_leaves_a_state_that_was);
    RUN(b09_a_lost_name_is_never_an_empty_database);
}
