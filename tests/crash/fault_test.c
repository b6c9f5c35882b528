/* fault_test.c - one call of the world fails: each write, sync, truncation, open, read and
 * allocation, once and from then on, in each way; the disk is full; memory is short. After that:
 * a typed error, nothing acknowledged is missing, nothing refused is there, nothing leaks, and
 * the handle works, or after a failed sync answers NACRE_IO until reopened. */
#include "base/checksum.h"
#include "base/codec.h"
#include "crash/history.h"
#include "lib/check.h"
#include "lib/failing_allocator.h"
#include "store/superblock_format.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#if defined __wasm__ || defined __aarch64__ /* often emulated */
enum { ROUNDS = 30, TRIALS = 40 };
#elif defined CRASH_SANITIZED
enum { ROUNDS = 60, TRIALS = 60 };
#else
enum { ROUNDS = 60, TRIALS = 150 };
#endif

static uint64_t trial_step(uint64_t calls) { return crash_exhaustive() ? 1 : 1 + calls / (history_key ? TRIALS / 24 : TRIALS); }

typedef struct Trial {
    SimDisk *disk;
    FailingAllocator memory;
    nacre_options options;
    nacre_db *db;
    Model acknowledged;
    Model maybe;        /* what it would be with the write that poisoned the handle */
    bool poisoned, loose_end; /* the handle; maybe is possible at the next open */
    uint64_t seed;
    uint64_t failures;  /* calls that failed */
    nacre_status expected; /* besides OK, NOT_FOUND and, when poisoned, IO */
    bool right;
    char what[160];
} Trial;

static bool trial_wrong(Trial *t, const char *law, const char *text) {
    if (t->right) printf("# %s: %s (%s)\n", t->what, law, text);
    t->right = false;
    return check_that(CHECK_HERE, law, false);
}

static void trial_init(Trial *t, uint64_t seed) {
    *t = (Trial){.disk = sim_disk_new(seed), .seed = seed, .right = true, .expected = NACRE_IO};
    failing_allocator_init(&t->memory);
    t->options = history_options(t->disk, NACRE_STRICT);
    t->options.allocator = t->memory.allocator;
}

/* Says whether the call did it; anything but the expected failure is wrong. */
static bool trial_status(Trial *t, nacre_status status, const char *what) {
    if (status == NACRE_OK) return true;
    t->failures++;
    const char *json = NULL;
    if (t->db && nacre_stats_json(t->db, &json) == NACRE_OK && strstr(json, "\"poisoned\":1")) t->poisoned = true;
    if (status != t->expected && !(t->poisoned && status == NACRE_IO)) trial_wrong(t, what, nacre_status_name(status));
    return false;
}

static bool trial_open(Trial *t) {
    nacre_error error = {0};
    if (t->db) return true;
    nacre_status status = nacre_open("db", &t->options, &t->db, &error);
    t->poisoned = false;
    if (status != NACRE_OK && !error.text[0]) trial_wrong(t, "a failed open says why", "");
    if (status != NACRE_OK && status != t->expected) printf("# open: %s\n", error.text);
    return trial_status(t, status, "open");
}

/* Every row, by get, in a handle: wrong rows are wrong, failures to read may be. */
static void trial_read(Trial *t, const Model *model, bool may_fail) {
    sim_disk_wait(t->disk, 2);
    static const char *const names[MODEL_MEMBRANES] = {"texts", "numbers", "vectors"};
    for (int m = 0; m < MODEL_MEMBRANES; m++) {
        nacre_membrane *membrane = NULL;
        uint64_t want = 0, got = 0;
        for (uint32_t key = 0; key < HISTORY_KEYS; key++) want += model->version[m][key] != 0;
        nacre_status status = nacre_membrane_open(t->db, names[m], NULL, &membrane);
        if (status != NACRE_OK && want) trial_wrong(t, "the membrane is there", nacre_message(t->db));
        if (status != NACRE_OK) continue;
        for (uint32_t key = 0; key < HISTORY_KEYS; key++) {
            char room[48];
            nacre_value name = model_key(m, key, room);
            nacre_row row;
            uint32_t version = model->version[m][key];
            status = nacre_get(membrane, NULL, &name, &row);
            if (status == t->expected && may_fail) continue;
            if (status != (version ? NACRE_OK : NACRE_NOT_FOUND)) trial_wrong(t, "get", nacre_message(t->db));
            else if (version && model_row_version(m, key, &row) != version) trial_wrong(t, "get: the row", "");
        }
        status = nacre_count(membrane, NULL, NULL, &got);
        if (!(status == t->expected && may_fail) && (status != NACRE_OK || got != want))
            trial_wrong(t, "count", nacre_message(t->db));
        if (m < 2) continue;
        float query[MODEL_DIMENSIONS] = {1};
        nacre_hits *hits = NULL;
        status = nacre_search(membrane, NULL, query, NULL, &hits);
        if (!(status == t->expected && may_fail) && status != NACRE_OK) trial_wrong(t, "search", nacre_message(t->db));
        nacre_hits_free(hits);
    }
}

/* A write that failed changed nothing, unless a sync did: then the next open tells. */
static void trial_wrote(Trial *t, nacre_status status, const Model *next, const char *what) {
    bool before = t->poisoned;
    if (trial_status(t, status, what)) {
        t->acknowledged = *next;
        if (before) trial_wrong(t, "nothing is acknowledged after a failed sync", what);
    } else if (t->poisoned && !before) {
        t->maybe = *next;
        t->loose_end = true;
    }
}

static void trial_write(Trial *t, unsigned round) {
    uint64_t random = t->seed + round;
    Model next;
    trial_wrote(t, history_batch(t->db, &t->acknowledged, &next, &random), &next, "batch");
}

static void trial_load(Trial *t, unsigned round) {
    uint64_t random = t->seed + round;
    Model next;
    trial_wrote(t, history_load(t->db, &t->acknowledged, &next, &random), &next, "bulk load");
}

static void trial_transaction(Trial *t, unsigned round) {
    uint64_t random = t->seed + round;
    Model next;
    bool spilled;
    nacre_status status = history_transaction(t->db, &t->acknowledged, &next, &random, &spilled);
    trial_wrote(t, status, &next, "transaction");
}

static void trial_drop(Trial *t, unsigned round) {
    Model next = t->acknowledged;
    memset(next.version[round % 3], 0, sizeof next.version[0]);
    nacre_status status = nacre_membrane_drop(t->db, round % 3 == 0 ? "texts" : round % 3 == 1 ? "numbers" : "vectors");
    if (status == NACRE_NOT_FOUND) return; /* it was never made, for want of something */
    trial_wrote(t, status, &next, "drop");
}

static void trial_close(Trial *t) {
    nacre_db *db = t->db;
    t->db = NULL;
    if (db) (void)trial_status(t, nacre_close(db, NULL), "close"); /* db is gone whatever is returned */
    if (!failing_allocator_clean(&t->memory)) trial_wrong(t, "nothing leaks", "");
    if (sim_disk_open_handles(t->disk)) trial_wrong(t, "files are closed", "");
}

/* After an open: is it what was acknowledged, or also what was under way when a sync failed? */
static void trial_settle(Trial *t) {
    Model found;
    sim_disk_wait(t->disk, 2);
    if (!model_read(t->db, NULL, &found)) {
        trial_wrong(t, "every row was put", nacre_message(t->db));
        return;
    }
    bool same = memcmp(&found, &t->acknowledged, sizeof found) == 0;
    if (!same && t->loose_end && memcmp(&found, &t->maybe, sizeof found) == 0) t->acknowledged = t->maybe;
    else if (!same) trial_wrong(t, "what was acknowledged is there, what was refused is not", "");
    t->loose_end = false;
}

static void trial_rounds(Trial *t, unsigned from, unsigned rounds) {
    for (unsigned i = from; i < from + rounds && t->right; i++) {
        bool more;
        if (!trial_open(t)) continue;
        trial_write(t, i);
        if (i % 8 == 6) trial_load(t, i);
        if (i % 15 == 2) trial_transaction(t, i);
        if (i % 10 == 3) (void)trial_status(t, nacre_checkpoint(t->db), "checkpoint");
        if (i % 20 == 11) (void)trial_status(t, nacre_compact(t->db, NULL), "compact");
        if (i % 13 == 5) trial_drop(t, i);
        if (i % 9 == 1) (void)trial_status(t, nacre_step(t->db, 50000, &more), "step");
        if (i % 9 == 2) (void)trial_status(t, nacre_flush(t->db), "flush");
        if (i % 16 == 14) trial_read(t, &t->acknowledged, true);
        if (i % 15 == 7 || t->poisoned) {
            if (t->poisoned) trial_write(t, 1000 + i); /* refused */
            trial_close(t);
        }
        if (!t->db && trial_open(t) && t->loose_end) trial_settle(t);
    }
}

/* The fault is gone: all is well, here, after reopening, and when the power fails after a write. */
static void trial_end(Trial *t, bool may_be_poisoned) {
    bool was_open = t->db != NULL;
    if (t->db) trial_read(t, &t->acknowledged, false);
    if (was_open && t->poisoned) {
        if (!may_be_poisoned) trial_wrong(t, "the handle stays usable", nacre_message(t->db));
        trial_close(t);
    }
    t->expected = NACRE_OK;
    for (int again = 0; again < 2 && t->right; again++) {
        if (!trial_open(t)) return;
        if (again || !was_open || t->loose_end) trial_settle(t);
        trial_write(t, 2000 + (unsigned)again);
        trial_read(t, &t->acknowledged, false);
        if (again == 0) trial_close(t);
    }
    sim_disk_crash(t->disk, SIM_CRASH_PREFIX, 0);
    nacre_db *gone = t->db;
    t->db = NULL;
    (void)nacre_close(gone, NULL);
    if (!t->right || !trial_open(t)) return;
    trial_settle(t);
    uint64_t problems = 0;
    if (nacre_verify(t->db, true, NULL, NULL, &problems) != NACRE_OK || problems) trial_wrong(t, "verify finds nothing", "");
    trial_close(t);
}

static void trial_clear(Trial *t) {
    if (t->db) (void)nacre_close(t->db, NULL);
    failing_allocator_clear(&t->memory);
    sim_disk_free(t->disk);
}

/* ---- files ---- */

static uint64_t calls_of(int kinds) {
    Trial t;
    trial_init(&t, test_seed());
    sim_disk_fault(t.disk, (SimFault){.kinds = kinds, .nth = UINT64_MAX});
    trial_rounds(&t, 0, ROUNDS);
    CHECK_EQ(t.failures, 0);
    trial_close(&t);
    uint64_t count = sim_disk_fault_calls(t.disk);
    CHECK(t.right);
    trial_clear(&t);
    return count;
}

static void each_call_fails(int kinds, SimFaultWay way, nacre_status status, const char *name) {
    uint64_t calls = calls_of(kinds), step = trial_step(calls), trials = 0, hits = 0;
    CHECK(calls > 0);
    for (int forever = 0; forever < 2; forever++)
        for (uint64_t nth = 1; nth <= calls; nth += step) {
            Trial t;
            trial_init(&t, test_seed());
            t.expected = status;
            snprintf(t.what, sizeof t.what, "%s number %" PRIu64 " fails%s, seed %" PRIu64, name, nth,
                     forever ? " and all later ones" : "", t.seed);
            sim_disk_fault(t.disk, (SimFault){.kinds = kinds, .nth = nth, .forever = forever, .way = way, .status = status});
            trial_rounds(&t, 0, ROUNDS);
            hits += sim_disk_fault_hits(t.disk) > 0;
            sim_disk_fault(t.disk, (SimFault){.nth = 0});
            if (t.right) trial_end(&t, true);
            trials++;
            bool right = t.right;
            trial_clear(&t);
            if (!right) return;
        }
    printf("# %s: %" PRIu64 " trials, %" PRIu64 " met the fault\n", name, trials, hits);
    CHECK(hits > trials / 2);
}

static void a_failed_write_is_refused_and_nothing_more(void) {
    each_call_fails(SIM_WRITE, SIM_FAULT_FAIL, NACRE_IO, "write");
    each_call_fails(SIM_WRITE, SIM_FAULT_FAIL, NACRE_QUOTA, "write (no room)");
}
static void a_short_write_is_refused_and_nothing_more(void) {
    each_call_fails(SIM_WRITE, SIM_FAULT_SHORT, NACRE_IO, "half a write");
    each_call_fails(SIM_WRITE, SIM_FAULT_SHORT, NACRE_QUOTA, "half a write (no room)");
}
static void after_a_failed_sync_nothing_is_acknowledged_until_reopened(void) {
    each_call_fails(SIM_SYNC, SIM_FAULT_FAIL, NACRE_IO, "sync");
}
static void a_sync_that_loses_what_was_written_loses_no_acknowledged_row(void) {
    each_call_fails(SIM_SYNC, SIM_FAULT_LOSE, NACRE_IO, "sync that loses");
}
static void a_failed_truncation_loses_nothing(void) {
    each_call_fails(SIM_TRUNCATE, SIM_FAULT_FAIL, NACRE_IO, "truncate");
}
static void a_failed_read_is_an_error_and_never_an_absence(void) {
    each_call_fails(SIM_READ, SIM_FAULT_FAIL, NACRE_IO, "read");
    each_call_fails(SIM_READ, SIM_FAULT_SHORT, NACRE_IO, "half a read");
}
static void a_file_that_does_not_tell_its_size_is_an_error(void) {
    each_call_fails(SIM_SIZE, SIM_FAULT_FAIL, NACRE_IO, "size");
}
static void a_failed_open_is_an_error_and_never_an_empty_database(void) {
    each_call_fails(SIM_OPEN | SIM_CREATE, SIM_FAULT_FAIL, NACRE_PERMISSION, "open");
}

/* B13: what fits fits; then NACRE_QUOTA; reading goes on, reopening too; with space again, all. */
static void a_full_disk_refuses_writes_until_there_is_room(void) {
    uint64_t refused = 0, trials = 0;
    for (uint64_t size = 20 << 10; size < 700 << 10; size += 7 << 10) {
        Trial t;
        trial_init(&t, test_seed());
        t.expected = NACRE_QUOTA;
        snprintf(t.what, sizeof t.what, "disk of %" PRIu64 " bytes, seed %" PRIu64, size, t.seed);
        sim_disk_capacity(t.disk, size);
        trial_rounds(&t, 0, ROUNDS);
        refused += t.failures > 0;
        trials++;
        if (t.db) {
            trial_read(&t, &t.acknowledged, false);
            trial_close(&t);
            if (t.right && !trial_open(&t)) trial_wrong(&t, "a full disk opens", "");
            if (t.db) trial_read(&t, &t.acknowledged, false);
        }
        sim_disk_capacity(t.disk, UINT64_MAX);
        if (t.right) trial_end(&t, false);
        bool right = t.right;
        trial_clear(&t);
        if (!right) break;
    }
    printf("# full disk: %" PRIu64 " sizes, %" PRIu64 " refused\n", trials, refused);
    CHECK(refused > 10);
}

#if defined __wasm__ || defined __aarch64__ || defined CRASH_SANITIZED
enum { FULL_STRIDE = 9001 };
#else
enum { FULL_STRIDE = 907 };
#endif
enum { FULL_ROUNDS = 8 }; /* batches, a transaction, a load, a checkpoint, a drop, a close */

/* The disk has `size` bytes; then it has room again. */
static bool full_trial(uint64_t size) {
    Trial t;
    trial_init(&t, test_seed());
    t.expected = NACRE_QUOTA;
    snprintf(t.what, sizeof t.what, "disk of %" PRIu64 " bytes, seed %" PRIu64, size, t.seed);
    sim_disk_capacity(t.disk, size);
    trial_rounds(&t, 0, FULL_ROUNDS);
    if (t.db && t.right) trial_read(&t, &t.acknowledged, false);
    sim_disk_capacity(t.disk, UINT64_MAX);
    if (t.right) trial_end(&t, false);
    bool right = t.right;
    trial_clear(&t);
    return right;
}

/* B13: wherever in a write the room ends. Each write of a recorded life that made a file longer is
 * cut off at each of its bytes, or at some, and at its first and last ones. */
static void b13_a_disk_that_is_full_at_any_byte_loses_nothing(void) {
    Trial t;
    uint64_t data = 0, logs[2] = {0, 0}, trials = 0, stride = crash_exhaustive() ? 1 : FULL_STRIDE;
    trial_init(&t, test_seed());
    trial_rounds(&t, 0, FULL_ROUNDS);
    trial_close(&t);
    bool right = CHECK(t.right && t.failures == 0);
    for (size_t i = 0; i < sim_disk_operations(t.disk) && right; i++) {
        SimOperation op = sim_disk_operation(t.disk, i);
        const char *log = strstr(op.file, "-wal");
        uint64_t *size = log ? &logs[log[4] - '0'] : &data;
        if (op.kind == SIM_CREATE) *size = 0;
        if (op.kind == SIM_TRUNCATE) *size = op.offset;
        if (op.kind != SIM_WRITE || op.offset + op.size <= *size) continue;
        uint64_t used = data + logs[0] + logs[1], grown = op.offset + op.size - *size;
        for (uint64_t at = 0; at < grown && right; at += at == 0 ? 1 : stride, trials++) right = full_trial(used + at);
        if (right) right = full_trial(used + grown - 1);
        *size = op.offset + op.size;
    }
    trial_clear(&t);
    printf("# full disk: %" PRIu64 " sizes\n", trials);
    CHECK(trials > 50);
}

/* The option database_size does the same in the file. */
static void a_limited_database_refuses_rows_and_stays_whole(void) {
    for (uint64_t size = 256 << 10; size < 1024 << 10; size += 64 << 10) {
        Trial t;
        trial_init(&t, test_seed());
        t.expected = NACRE_QUOTA;
        t.options.database_size = size;
        snprintf(t.what, sizeof t.what, "database_size %" PRIu64 ", seed %" PRIu64, size, t.seed);
        trial_rounds(&t, 0, ROUNDS * 2);
        t.options.database_size = 0;
        if (t.right) {
            trial_close(&t);
            trial_end(&t, false);
        }
        trial_clear(&t);
    }
}

/* B35: with `relaxed` a failed sync takes acknowledged rows away; closing must say so. */
static void closing_tells_what_a_failed_sync_lost(void) {
    for (nacre_durability durability = NACRE_STRICT; durability <= NACRE_NONE; durability++) {
        SimDisk *disk = sim_disk_new(1);
        nacre_options options = history_options(disk, durability);
        nacre_db *db = NULL;
        nacre_error error = {0};
        Model model = {0}, next, found;
        uint64_t random = test_seed();
        REQUIRE(nacre_open("db", &options, &db, &error) == NACRE_OK);
        CHECK_EQ(history_batch(db, &model, &next, &random), NACRE_OK);
        CHECK_EQ(nacre_flush(db), NACRE_OK);
        model = next;
        sim_disk_wait(disk, 2);
        sim_disk_fault(disk, (SimFault){.kinds = SIM_SYNC, .nth = 1, .way = SIM_FAULT_LOSE, .status = NACRE_IO});
        nacre_status written = history_batch(db, &model, &next, &random);
        CHECK_EQ(written, durability == NACRE_STRICT ? NACRE_IO : NACRE_OK);
        if (durability != NACRE_STRICT) CHECK_EQ(nacre_flush(db), NACRE_IO);
        CHECK_EQ(nacre_close(db, &error), durability == NACRE_STRICT ? NACRE_OK : NACRE_IO);
        REQUIRE(nacre_open("db", &options, &db, &error) == NACRE_OK);
        CHECK(model_read(db, NULL, &found) && memcmp(&found, &model, sizeof found) == 0);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        sim_disk_free(disk);
    }
}

/* A writer that another one has replaced (a lock broken by mistake) may not commit: the epoch
 * on the disk is not its own. */
static void a_replaced_writer_may_not_commit(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = history_options(disk, NACRE_STRICT);
    options.lock = NACRE_LOCK_HOST;
    nacre_db *first = NULL, *second = NULL;
    Model model = {0}, next, found;
    uint64_t random = test_seed(), before, after, size = 0;
    REQUIRE(nacre_open("db", &options, &first, NULL) == NACRE_OK);
    CHECK_EQ(history_batch(first, &model, &next, &random), NACRE_OK);
    sim_disk_wait(disk, 2);
    REQUIRE(nacre_open("db", &options, &second, NULL) == NACRE_OK);
    const uint8_t *bytes = sim_disk_bytes(disk, "db", &size);
    before = checksum64(0, bytes, 8192);
    CHECK_EQ(nacre_checkpoint(first), NACRE_BUSY);
    CHECK_EQ(nacre_checkpoint(first), NACRE_IO);
    bytes = sim_disk_bytes(disk, "db", &size);
    after = checksum64(0, bytes, 8192);
    CHECK(before == after);
    (void)nacre_close(first, NULL);
    CHECK(model_read(second, NULL, &found) && memcmp(&found, &next, sizeof found) == 0);
    CHECK_EQ(nacre_checkpoint(second), NACRE_OK);
    CHECK_EQ(nacre_close(second, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* What opening finds when the newest superblock of what is on the disk is damaged. */
static nacre_status open_damaged(SimDisk *disk, Model *model, char text[NACRE_ERROR_TEXT_SIZE]) {
    nacre_options options = history_options(disk, NACRE_STRICT);
    nacre_db *db = NULL;
    nacre_error error = {0};
    uint8_t generations[2][8];
    for (int slot = 0; slot < 2; slot++) sim_disk_peek(disk, "db", (uint64_t)slot * SUPERBLOCK_SLOT + 32, generations[slot], 8);
    int newest = get_u64(generations[1]) > get_u64(generations[0]);
    sim_disk_flip(disk, "db", ((uint64_t)newest * SUPERBLOCK_SLOT + 100) * 8);
    nacre_status status = nacre_open("db", &options, &db, &error);
    snprintf(text, NACRE_ERROR_TEXT_SIZE, "%s", error.text);
    if (status == NACRE_OK && !model_read(db, NULL, model)) status = NACRE_INTERNAL;
    (void)nacre_close(db, NULL);
    return status;
}

/* B08: a load that only one superblock knows, for the other could not be written, is made known
 * to both before a row is logged behind it: at no moment is the older one no fallback. */
static void b08_a_load_known_to_one_superblock_is_made_known_before_rows_follow(void) {
    SimDisk *disk = sim_disk_new(1), *at = sim_disk_new(0), *after = sim_disk_new(0);
    nacre_options options = history_options(disk, NACRE_STRICT);
    nacre_db *db = NULL;
    Model states[4] = {0}, found;
    uint64_t random = test_seed();
    char text[NACRE_ERROR_TEXT_SIZE];
    size_t begun, written = 0, looked = 0;
    REQUIRE(nacre_open("db", &options, &db, NULL) == NACRE_OK);
    CHECK_EQ(history_batch(db, &states[0], &states[1], &random), NACRE_OK);
    CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    /* The same load on a copy of the disk tells which write comes after its superblock. */
    SimDisk *copy = sim_disk_clone(disk);
    nacre_options copy_options = history_options(copy, NACRE_STRICT);
    nacre_db *other = NULL;
    uint64_t again = random, nth = 0;
    copy_options.lock = NACRE_LOCK_BREAK;
    sim_disk_crash(copy, SIM_CRASH_PREFIX, UINT64_MAX);
    REQUIRE(nacre_open("db", &copy_options, &other, NULL) == NACRE_OK);
    begun = sim_disk_operations(copy);
    CHECK_EQ(history_load(other, &states[1], &states[2], &again), NACRE_OK);
    for (size_t i = begun; i < sim_disk_operations(copy) && !written; i++) {
        SimOperation op = sim_disk_operation(copy, i);
        if (op.kind != SIM_WRITE) continue;
        nth++;
        if (strcmp(op.file, "db") == 0 && op.offset < 65536) written = i;
    }
    CHECK_EQ(nacre_close(other, NULL), NACRE_OK);
    sim_disk_free(copy);
    REQUIRE(written > 0);

    sim_disk_fault(disk, (SimFault){.kinds = SIM_WRITE, .nth = nth + 1, .forever = true, .status = NACRE_IO});
    CHECK_EQ(history_load(db, &states[1], &states[2], &random), NACRE_OK);
    CHECK(sim_disk_fault_hits(disk) > 0);
    sim_disk_fault(disk, (SimFault){.nth = 0});
    begun = sim_disk_operations(disk);
    CHECK_EQ(history_batch(db, &states[2], &states[3], &random), NACRE_OK);
    size_t done = sim_disk_operations(disk);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_wait(disk, 10);
    for (size_t k = begun; k <= sim_disk_operations(disk); k++) {
        sim_disk_replay(disk, k, at);
        sim_disk_copy(at, after);
        sim_disk_crash(after, SIM_CRASH_PREFIX, sim_disk_crash_states(after, SIM_CRASH_PREFIX) - 1);
        if (!CHECK_EQ(open_damaged(after, &found, text), NACRE_OK)) printf("# after %zu operations: %s\n", k - begun, text);
        bool right = false;
        for (int s = k >= done ? 3 : 1; s < 4; s++) right |= memcmp(&found, &states[s], sizeof found) == 0;
        CHECK(right);
        looked++;
    }
    CHECK(looked > 5);
    sim_disk_free(at);
    sim_disk_free(after);
    sim_disk_free(disk);
}

/* ---- memory ---- */

static void each_allocation_fails(bool forever) {
    Trial t;
    trial_init(&t, test_seed());
    trial_rounds(&t, 0, ROUNDS);
    trial_close(&t);
    uint64_t count = t.memory.count, step = trial_step(count / 2), trials = 0;
    CHECK(t.right && t.failures == 0);
    trial_clear(&t);
    for (uint64_t nth = 1; nth <= count; nth += nth < TRIALS / 2 ? 1 : step) {
        trial_init(&t, test_seed());
        t.expected = NACRE_RESOURCE_EXHAUSTED;
        snprintf(t.what, sizeof t.what, "allocation %" PRIu64 " fails%s, seed %" PRIu64, nth,
                 forever ? " and all later ones" : "", t.seed);
        failing_allocator_fail_at(&t.memory, nth, forever);
        trial_rounds(&t, 0, ROUNDS);
        failing_allocator_fail_at(&t.memory, 0, false);
        if (t.right) trial_end(&t, false);
        trials++;
        bool right = t.right;
        trial_clear(&t);
        if (!right) return;
    }
    printf("# allocations: %" PRIu64 " trials of %" PRIu64 "\n", trials, count);
}
static void a_failed_allocation_is_an_error_and_nothing_more(void) { each_allocation_fails(false); }
static void without_memory_every_call_fails_and_nothing_is_lost(void) { each_allocation_fails(true); }

/* ---- one transaction that outgrew its memory ---- */

enum { TRANSACTION_ROUND = 2 }; /* with the seed, one that spills */

/* Rows in segments and in memtables, then the transaction with the nth call of a kind failing
 * (kinds 0: an allocation). False: there is no nth call, nothing failed. */
static bool transaction_trial(int kinds, SimFaultWay way, nacre_status status, uint64_t nth) {
    Trial t;
    trial_init(&t, 20261121);
    (void)snprintf(t.what, sizeof t.what, "call %" PRIu64 " of kinds %d of a transaction fails", nth, kinds);
    t.expected = status;
    (void)trial_open(&t);
    for (unsigned i = 0; i < 40; i++) trial_write(&t, i);
    (void)trial_status(&t, nacre_checkpoint(t.db), "checkpoint");
    for (unsigned i = 40; i < 50; i++) trial_write(&t, i);
    CHECK(t.failures == 0);
    if (kinds) sim_disk_fault(t.disk, (SimFault){.kinds = kinds, .nth = nth, .way = way, .status = status});
    else failing_allocator_fail_at(&t.memory, nth, false);
    trial_transaction(&t, TRANSACTION_ROUND);
    bool met = kinds ? sim_disk_fault_hits(t.disk) > 0 : t.memory.failed > 0;
    sim_disk_fault(t.disk, (SimFault){.nth = 0});
    failing_allocator_fail_at(&t.memory, 0, false);
    const char *stats = NULL;
    if (!met) CHECK(nacre_stats_json(t.db, &stats) == NACRE_OK && strstr(stats, "\"ingests\":1,") != NULL);
    if (t.right) trial_end(&t, kinds != 0);
    bool right = t.right;
    trial_clear(&t);
    return met && right;
}

/* C08: whatever fails, all of it is there, or nothing. */
static void c08_a_transaction_that_spills_is_whole_or_not_there(void) {
    static const struct {
        int kinds;
        SimFaultWay way;
        nacre_status status;
    } faults[] = {{0, SIM_FAULT_FAIL, NACRE_RESOURCE_EXHAUSTED}, {SIM_WRITE, SIM_FAULT_FAIL, NACRE_IO},
                  {SIM_WRITE, SIM_FAULT_SHORT, NACRE_QUOTA},     {SIM_SYNC, SIM_FAULT_FAIL, NACRE_IO},
                  {SIM_SYNC, SIM_FAULT_LOSE, NACRE_IO},          {SIM_READ, SIM_FAULT_FAIL, NACRE_IO}};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        uint64_t nth = 1;
        while (transaction_trial(faults[i].kinds, faults[i].way, faults[i].status, nth))
            nth += ROUNDS < 60 ? 5 : 1;
        printf("# kinds %d, way %d: each of %" PRIu64 " calls\n", faults[i].kinds, (int)faults[i].way, nth - 1);
        CHECK(nth > 3 || faults[i].kinds == SIM_READ);
    }
}

/* C27: whatever the budget is, work is done or refused. */
static void a_small_budget_refuses_and_stays_usable(void) {
    uint64_t refused = 0;
    for (uint64_t memtable = 64 << 10; memtable <= 1 << 20; memtable += 96 << 10) {
        Trial t;
        trial_init(&t, test_seed());
        t.expected = NACRE_RESOURCE_EXHAUSTED;
        t.options.memory = 1 << 20;
        t.options.memtable_size = memtable;
        snprintf(t.what, sizeof t.what, "memory of 1 MiB, memtable of %" PRIu64 ", seed %" PRIu64, memtable, t.seed);
        trial_rounds(&t, 0, ROUNDS * 2);
        refused += t.failures > 0;
        t.options.memory = 8 << 20;
        if (t.right) {
            trial_close(&t);
            trial_end(&t, false);
        }
        trial_clear(&t);
    }
    CHECK(refused > 0);
}

void fault_test(void) {
    RUN(a_failed_write_is_refused_and_nothing_more);
    RUN(a_short_write_is_refused_and_nothing_more);
    RUN(after_a_failed_sync_nothing_is_acknowledged_until_reopened);
    RUN(a_sync_that_loses_what_was_written_loses_no_acknowledged_row);
    RUN(closing_tells_what_a_failed_sync_lost);
    RUN(a_failed_truncation_loses_nothing);
    RUN(a_failed_read_is_an_error_and_never_an_absence);
    RUN(a_file_that_does_not_tell_its_size_is_an_error);
    RUN(a_failed_open_is_an_error_and_never_an_empty_database);
    RUN(a_full_disk_refuses_writes_until_there_is_room);
    RUN(b13_a_disk_that_is_full_at_any_byte_loses_nothing);
    RUN(a_limited_database_refuses_rows_and_stays_whole);
    RUN(a_replaced_writer_may_not_commit);
    RUN(b08_a_load_known_to_one_superblock_is_made_known_before_rows_follow);
    RUN(a_failed_allocation_is_an_error_and_nothing_more);
    RUN(without_memory_every_call_fails_and_nothing_is_lost);
    RUN(c08_a_transaction_that_spills_is_whole_or_not_there);
    RUN(a_small_budget_refuses_and_stays_usable);
}
