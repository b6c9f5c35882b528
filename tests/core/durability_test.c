/* durability_test.c - when bytes reach the device (B01, B03, B04, B34-B36), and who may
 * touch the files (B31, B32). Counted on the simulated disk. */
#ifndef __wasi__
#define _POSIX_C_SOURCE 200809L
#endif
#include "lib/between.h"
#include "lib/check.h"
#include "lib/sim_disk.h"

#include "db/state.h"
#include "log/wal_format.h"

#include <stdio.h>
#include <stdlib.h>
#ifndef __wasi__
#include <sys/stat.h>
#endif

static nacre_status try_open(SimDisk *disk, nacre_durability durability, nacre_mode mode, nacre_db **db) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.vfs = sim_disk_vfs(disk);
    options.durability = durability;
    options.mode = mode;
    options.memory = 16 << 20;
    options.memtable_size = 1 << 20;
    options.seed = 4;
    return nacre_open("db", &options, db, NULL);
}

static nacre_db *open_on(SimDisk *disk, nacre_durability durability) {
    nacre_db *db = NULL;
    CHECK_EQ(try_open(disk, durability, NACRE_READWRITE, &db), NACRE_OK);
    return db;
}

static nacre_membrane *open_kv(nacre_db *db) {
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_TEXT);
    nacre_membrane *kv = NULL;
    CHECK_EQ(nacre_membrane_open(db, "kv", &schema, &kv), NACRE_OK);
    return kv;
}

static nacre_status put(nacre_membrane *kv, int64_t i) {
    nacre_value key = nacre_integer(i), value = nacre_text("value");
    return nacre_put(kv, &key, NULL, &value);
}

static bool has(nacre_membrane *kv, int64_t i) {
    nacre_value key = nacre_integer(i);
    nacre_row row;
    return nacre_get(kv, NULL, &key, &row) == NACRE_OK;
}

/* What a database finds on this disk after the power failed with nothing more arriving. */
static int64_t rows_after_crash(const SimDisk *disk) {
    SimDisk *after = sim_disk_clone(disk);
    uint64_t count = 0;
    sim_disk_crash(after, SIM_CRASH_PREFIX, 0);
    nacre_db *db = open_on(after, NACRE_STRICT);
    if (!db) return -1;
    nacre_membrane *kv = NULL;
    if (nacre_membrane_open(db, "kv", NULL, &kv) == NACRE_OK) CHECK_EQ(nacre_count(kv, NULL, NULL, &count), NACRE_OK);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(after);
    return (int64_t)count;
}

/* B01: the frame is written, then synced, then acknowledged; one write and one sync each. */
static void a_strict_put_costs_one_write_and_one_sync(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_db *db = open_on(disk, NACRE_STRICT);
    nacre_membrane *kv = open_kv(db);
    for (int64_t i = 0; i < 200; i++) {
        size_t from = sim_disk_operations(disk);
        CHECK_EQ(put(kv, i), NACRE_OK);
        CHECK_EQ(sim_disk_operations(disk) - from, 2);
        SimOperation write = sim_disk_operation(disk, from), sync = sim_disk_operation(disk, from + 1);
        CHECK_EQ(write.kind, SIM_WRITE);
        CHECK_EQ(sync.kind, SIM_SYNC);
        CHECK(strncmp(write.file, "db-wal", 6) == 0 && strcmp(write.file, sync.file) == 0);
        CHECK_EQ(sim_disk_unsynced(disk), 0);
        if (i % 40 == 0) CHECK_EQ(rows_after_crash(disk), i + 1);
    }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

static void a_strict_batch_costs_one_sync(void) {
    SimDisk *disk = sim_disk_new(2);
    nacre_db *db = open_on(disk, NACRE_STRICT);
    nacre_membrane *kv = open_kv(db);
    nacre_batch *batch = NULL;
    uint64_t syncs = sim_disk_syncs(disk, NULL);
    CHECK_EQ(nacre_batch_begin(db, &batch), NACRE_OK);
    for (int64_t i = 0; i < 1000; i++) {
        nacre_value key = nacre_integer(i), value = nacre_text("v");
        CHECK_EQ(nacre_batch_put(batch, kv, &key, NULL, &value), NACRE_OK);
    }
    CHECK_EQ(sim_disk_syncs(disk, NULL), syncs);
    CHECK(!has(kv, 5)); /* not before it is committed */
    CHECK_EQ(nacre_batch_commit(batch), NACRE_OK);
    CHECK_EQ(sim_disk_syncs(disk, NULL), syncs + 1);
    CHECK_EQ(rows_after_crash(disk), 1000);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* B03: relaxed writes are synced at the first call after relaxed_ms, and not before. */
static void relaxed_writes_are_synced_in_time(void) {
    SimDisk *disk = sim_disk_new(3);
    uint64_t now = 1000000;
    sim_disk_set_clock(disk, now);
    nacre_db *db = open_on(disk, NACRE_RELAXED);
    nacre_membrane *kv = open_kv(db);
    for (int round = 0; round < 10; round++) {
        uint64_t syncs = sim_disk_syncs(disk, NULL);
        for (uint64_t i = 0; i < 20; i++) {
            sim_disk_set_clock(disk, now + i * 9);
            CHECK_EQ(put(kv, round * 20 + (int64_t)i), NACRE_OK);
        }
        sim_disk_set_clock(disk, now + 199);
        CHECK(has(kv, round * 20));
        CHECK_EQ(sim_disk_syncs(disk, NULL), syncs);
        CHECK_EQ(rows_after_crash(disk), round * 20);
        sim_disk_set_clock(disk, now + 200); /* since the first of them */
        if (round % 2) CHECK(has(kv, 0)); /* any call will do */
        else CHECK_EQ(nacre_step(db, 0, &(bool){false}), NACRE_OK);
        CHECK_EQ(sim_disk_syncs(disk, NULL), syncs + 1);
        CHECK_EQ(rows_after_crash(disk), round * 20 + 20);
        now += 1000;
        sim_disk_set_clock(disk, now);
        CHECK(has(kv, 1)); /* nothing is owed: no sync */
        CHECK_EQ(sim_disk_syncs(disk, NULL), syncs + 1);
    }
    CHECK_EQ(put(kv, 1000), NACRE_OK);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK); /* close syncs at once (B35) */
    CHECK_EQ(rows_after_crash(disk), 201);
    sim_disk_free(disk);
}

/* B03, B35: without durability nothing is synced until somebody asks; then all of it is. */
static void unsynced_writes_wait_for_a_flush(void) {
    SimDisk *disk = sim_disk_new(4);
    nacre_db *db = open_on(disk, NACRE_NONE);
    nacre_membrane *kv = open_kv(db);
    CHECK_EQ(nacre_flush(db), NACRE_OK);
    uint64_t syncs = sim_disk_syncs(disk, NULL);
    for (int64_t i = 0; i < 100; i++) CHECK_EQ(put(kv, i), NACRE_OK);
    CHECK_EQ(sim_disk_syncs(disk, NULL), syncs);
    CHECK_EQ(rows_after_crash(disk), 0);
    CHECK_EQ(nacre_flush(db), NACRE_OK);
    CHECK_EQ(nacre_flush(db), NACRE_OK); /* nothing left to do */
    CHECK_EQ(sim_disk_syncs(disk, NULL), syncs + 1);
    CHECK_EQ(rows_after_crash(disk), 100); /* B35: as if killed, without a close */
    CHECK_EQ(put(kv, 100), NACRE_OK);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    CHECK_EQ(rows_after_crash(disk), 101);
    CHECK_EQ(nacre_close(NULL, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* B35: a close that cannot sync says so. */
static void a_close_that_fails_says_so(void) {
    SimDisk *disk = sim_disk_new(5);
    nacre_db *db = open_on(disk, NACRE_NONE);
    nacre_membrane *kv = open_kv(db);
    nacre_error error = {NACRE_OK, ""};
    CHECK_EQ(put(kv, 1), NACRE_OK);
    sim_disk_fault(disk, (SimFault){.kinds = SIM_SYNC, .nth = 1, .forever = true, .way = SIM_FAULT_FAIL, .status = NACRE_IO});
    CHECK_EQ(nacre_close(db, &error), NACRE_IO);
    CHECK_EQ(error.code, NACRE_IO);
    CHECK(error.text[0]);
    CHECK_EQ(sim_disk_open_handles(disk), 0);
    sim_disk_free(disk);
}

/* B13: after a failed sync nothing is acknowledged any more, reads go on, and what was
 * acknowledged before is there when it is opened again. */
static void after_a_failed_sync_nothing_is_acknowledged(void) {
    SimDisk *disk = sim_disk_new(6);
    nacre_db *db = open_on(disk, NACRE_STRICT);
    nacre_membrane *kv = open_kv(db);
    for (int64_t i = 0; i < 10; i++) CHECK_EQ(put(kv, i), NACRE_OK);
    sim_disk_fault(disk, (SimFault){.kinds = SIM_SYNC, .nth = 1, .forever = false, .way = SIM_FAULT_LOSE, .status = NACRE_IO});
    CHECK_EQ(put(kv, 10), NACRE_IO);
    CHECK(!has(kv, 10) && has(kv, 9));
    for (int64_t i = 11; i < 15; i++) CHECK_EQ(put(kv, i), NACRE_IO);
    CHECK_EQ(nacre_flush(db), NACRE_IO);
    CHECK_EQ(nacre_checkpoint(db), NACRE_IO);
    (void)nacre_close(db, NULL);
    CHECK_EQ(rows_after_crash(disk), 10);
    sim_disk_free(disk);
}

/* ---- checkpoints by time (B17), and what opening costs (B18) ---- */

static nacre_db *open_timed(SimDisk *disk, uint32_t checkpoint_ms) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.vfs = sim_disk_vfs(disk);
    options.durability = NACRE_NONE;
    options.memory = 16 << 20;
    options.memtable_size = 1 << 20;
    options.seed = 4;
    options.segment_size = 64 << 10; /* the index of one is read at open, for the catalog */
    options.checkpoint_ms = checkpoint_ms;
    nacre_db *db = NULL;
    CHECK_EQ(nacre_open("db", &options, &db, NULL), NACRE_OK);
    return db;
}

static uint64_t log_bytes(const nacre_db *db) { return db->logs[0].end + db->logs[1].end; }

/* Rows of half a megabyte wait for their time, not for more rows; then the following writes
 * make the checkpoint, each a bounded piece of it, and behind it the log has only what was
 * written since. */
static void b17_a_checkpoint_by_time_is_made_by_the_following_writes(void) {
    SimDisk *disk = sim_disk_new(7);
    uint64_t now = 1000000, most = 0, syncs_most = 0;
    sim_disk_set_clock(disk, now);
    nacre_db *db = open_timed(disk, 5000);
    nacre_membrane *kv = open_kv(db);
    int64_t i = 0;
    for (; i < 6000; i++) CHECK_EQ(put(kv, i), NACRE_OK);
    sim_disk_set_clock(disk, now + 4999);
    uint64_t flushes = db->counters.flushes, before = log_bytes(db);
    for (; i < 6100; i++) CHECK_EQ(put(kv, i), NACRE_OK);
    CHECK_EQ(db->counters.flushes, flushes);
    CHECK_EQ(db->counters.checkpoints, 0);
    sim_disk_set_clock(disk, now + 5000);
    int64_t due = i;
    for (; i < due + 40; i++) {
        uint64_t written = sim_disk_bytes_written(disk), syncs = sim_disk_syncs(disk, NULL);
        CHECK_EQ(put(kv, i), NACRE_OK);
        written = sim_disk_bytes_written(disk) - written, syncs = sim_disk_syncs(disk, NULL) - syncs;
        if (written > most) most = written;
        if (syncs > syncs_most) syncs_most = syncs;
    }
    CHECK_EQ(db->counters.checkpoints, 1);
    CHECK_EQ(db->counters.flushes, flushes + 1);
    CHECK(!db->frozen && !db->checkpointing);
    CHECK(log_bytes(db) < 40 * 100 && before > 300000);
    CHECK(most < 300000 && syncs_most <= 5); /* a commit and a reset of the log at most */
    /* Nothing new: nothing is due, however late it is. */
    sim_disk_set_clock(disk, now + 6000);
    CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    uint64_t commits = db->counters.commits;
    bool more = true;
    sim_disk_set_clock(disk, now + 600000);
    for (int k = 0; k < 20; k++) CHECK_EQ(nacre_step(db, 1 << 16, &more), NACRE_OK);
    CHECK(!more);
    CHECK_EQ(db->counters.commits, commits);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    CHECK_EQ(rows_after_crash(disk), i);
    sim_disk_free(disk);
}

/* A host that steps when nothing is written gets it, too. */
static void b17_a_checkpoint_by_time_is_made_by_steps(void) {
    SimDisk *disk = sim_disk_new(8);
    uint64_t now = 1000000;
    sim_disk_set_clock(disk, now);
    nacre_db *db = open_timed(disk, 100);
    nacre_membrane *kv = open_kv(db);
    bool more = true;
    for (int64_t i = 0; i < 3000; i++) CHECK_EQ(put(kv, i), NACRE_OK);
    sim_disk_set_clock(disk, now + 100);
    int steps = 0;
    for (; more && steps < 1000; steps++) CHECK_EQ(nacre_step(db, 16 << 10, &more), NACRE_OK);
    CHECK(steps > 5 && steps < 1000);
    CHECK_EQ(log_bytes(db), 0);
    CHECK_EQ(rows_after_crash(disk), 3000); /* though nothing was ever asked to be durable */
    /* Also for rows that an opening found in the log. */
    for (int64_t i = 3000; i < 3100; i++) CHECK_EQ(put(kv, i), NACRE_OK);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    db = open_timed(disk, 100);
    kv = open_kv(db);
    more = true;
    for (steps = 0; (more || log_bytes(db) > 100) && steps < 1000; steps++) {
        sim_disk_set_clock(disk, now += 60);
        CHECK_EQ(nacre_step(db, 16 << 10, &more), NACRE_OK);
    }
    CHECK(steps < 1000);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    CHECK_EQ(rows_after_crash(disk), 3100);
    sim_disk_free(disk);
}

/* B18: with the same tail of the log, a database of 30 times the size costs no more to open
 * than its longer manifest; with a longer tail, as much more as the tail is longer. */
static void b18_opening_reads_the_tail_of_the_log_and_not_the_database(void) {
    uint64_t read[3];
    for (int which = 0; which < 3; which++) {
        SimDisk *disk = sim_disk_new(9);
        nacre_db *db = open_timed(disk, 0);
        nacre_membrane *kv = open_kv(db);
        int64_t i = 0, rows = which == 1 ? 60000 : 2000, tail = which == 2 ? 4000 : 1000;
        for (; i < rows; i++) CHECK_EQ(put(kv, i), NACRE_OK);
        CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
        for (; i < rows + tail; i++) CHECK_EQ(put(kv, i), NACRE_OK);
        SimDisk *crashed = sim_disk_clone(disk);
        CHECK_EQ(nacre_flush(db), NACRE_OK);
        sim_disk_copy(disk, crashed); /* killed here */
        Between between;
        between_init(&between, crashed);
        nacre_options options = NACRE_OPTIONS_INIT;
        options.vfs = &between.vfs;
        options.memory = 16 << 20;
        options.memtable_size = 1 << 20;
        nacre_db *again = NULL;
        CHECK_EQ(nacre_open("db", &options, &again, NULL), NACRE_OK);
        read[which] = between.bytes_read;
        CHECK(has(open_kv(again), rows + tail - 1));
        CHECK_EQ(nacre_close(again, NULL), NACRE_OK);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        sim_disk_free(crashed);
        sim_disk_free(disk);
    }
    if (!CHECK(read[1] < read[0] + 16384)) printf("# %llu %llu\n", (unsigned long long)read[0], (unsigned long long)read[1]);
    CHECK(read[2] > 2 * read[0] && read[2] < 4 * read[0]);
}

/* B18: a clean end leaves little to replay; where there is no room for segments the rows stay in
 * the log, and closing does not fail for that. */
static void b18_closing_leaves_little_to_replay(void) {
    for (int full = 0; full < 2; full++) {
        SimDisk *disk = sim_disk_new(9);
        nacre_options options = NACRE_OPTIONS_INIT;
        nacre_db *db = NULL;
        uint64_t logs = 0, size = 0, count = 0;
        options.vfs = sim_disk_vfs(disk);
        options.memory = 64 << 20;
        REQUIRE(nacre_open("db", &options, &db, NULL) == NACRE_OK);
        nacre_membrane *kv = open_kv(db);
        for (int64_t i = 0; i < 60000; i++) CHECK_EQ(put(kv, i), NACRE_OK);
        for (size_t i = 0; full && i < sim_disk_file_count(disk); i++) {
            (void)sim_disk_bytes(disk, sim_disk_file_name(disk, i), &size);
            logs += size;
        }
        if (full) sim_disk_capacity(disk, logs);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        (void)sim_disk_bytes(disk, "db-wal0", &logs);
        (void)sim_disk_bytes(disk, "db-wal1", &size);
        CHECK(full ? logs + size > 2 * CLOSE_LOG : logs + size <= CLOSE_LOG);
        REQUIRE(nacre_open("db", &options, &db, NULL) == NACRE_OK);
        CHECK_EQ(nacre_count(open_kv(db), NULL, NULL, &count), NACRE_OK);
        CHECK_EQ(count, 60000);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        sim_disk_free(disk);
    }
}

/* ---- batches of one tick (B04) ---- */

static size_t encode_batch(uint8_t *at, nacre_membrane *kv, int64_t i) {
    size_t record = (size_t)record_size(12, 5);
    memset(at, 0, BATCH_HEAD + record);
    put_u32(at, (uint32_t)(BATCH_HEAD + record));
    put_u32(at + 4, 1);
    uint8_t *r = at + BATCH_HEAD;
    put_u32(r, 12);
    put_u32(r + 4, 5);
    put_u32_be(r + RECORD_HEAD, membrane_id(kv));
    put_u64_be(r + RECORD_HEAD + 4, (uint64_t)i ^ (uint64_t)1 << 63);
    memcpy(r + RECORD_HEAD + 12, "value", 5);
    return BATCH_HEAD + record;
}

static void batches_of_one_frame_share_a_write_and_a_sync(void) {
    enum { BATCHES = 50 };
    SimDisk *disk = sim_disk_new(7);
    nacre_db *db = open_on(disk, NACRE_STRICT);
    nacre_membrane *kv = open_kv(db);
    uint64_t before = db_sequence(db);
    size_t from = sim_disk_operations(disk), used = 0;
    uint8_t *at = NULL;
    db_call(db);
    CHECK_EQ(db_reserve(db, BATCHES * 64, BATCHES, &at), NACRE_OK);
    for (int64_t i = 0; i < BATCHES; i++) used += encode_batch(at + used, kv, i);
    CHECK_EQ(sim_disk_operations(disk), from);
    CHECK_EQ(db_commit(db, used, true), NACRE_OK);
    CHECK_EQ(sim_disk_operations(disk) - from, 2);
    CHECK_EQ(sim_disk_operation(disk, from).kind, SIM_WRITE);
    CHECK_EQ(sim_disk_operation(disk, from + 1).kind, SIM_SYNC);
    CHECK_EQ(db_sequence(db), before + BATCHES); /* an LSN each */
    CHECK_EQ(rows_after_crash(disk), BATCHES);
    /* Frames of one tick, not synced one by one, owe one sync together. */
    uint64_t syncs = sim_disk_syncs(disk, NULL);
    for (int64_t i = 0; i < 10; i++) {
        CHECK_EQ(db_reserve(db, 64, 1, &at), NACRE_OK);
        CHECK_EQ(db_commit(db, encode_batch(at, kv, BATCHES + i), false), NACRE_OK);
    }
    CHECK_EQ(sim_disk_syncs(disk, NULL), syncs);
    CHECK_EQ(rows_after_crash(disk), BATCHES);
    CHECK_EQ(db_sync(db), NACRE_OK);
    CHECK_EQ(sim_disk_syncs(disk, NULL), syncs + 1);
    CHECK_EQ(rows_after_crash(disk), BATCHES + 10);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* ---- sequences (B34) ---- */

/* Whoever has seen a sequence number never sees it again for other rows: over closes,
 * crashes that lose unsynced batches, resets of logs, compactions. */
static void sequences_rise_for_ever(void) {
    SimDisk *disk = sim_disk_new(8);
    uint64_t random = test_seed() + 70, highest = 0;
    int64_t next = 0;
    for (int round = 0; round < 60; round++) {
        nacre_db *db = open_on(disk, round % 2 ? NACRE_NONE : NACRE_STRICT);
        REQUIRE(db);
        nacre_membrane *kv = open_kv(db);
        CHECK(round < 2 || db_sequence(db) > 0);
        for (uint64_t i = 0; i < 1 + test_random(&random) % 30; i++) {
            CHECK_EQ(put(kv, next++), NACRE_OK);
            CHECK(db_sequence(db) > highest);
            highest = db_sequence(db);
        }
        if (round % 7 == 0) CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
        if (round % 11 == 0) CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
        if (round % 3 == 0) {
            CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
            continue;
        }
        sim_disk_power_off_at(disk, sim_disk_operations(disk));
        (void)nacre_close(db, NULL);
        sim_disk_power_off_at(disk, SIZE_MAX);
        sim_disk_crash(disk, round % 2 ? SIM_CRASH_TORN_512 : SIM_CRASH_PREFIX, test_random(&random) % 40);
    }
    sim_disk_free(disk);
}

/* ---- what is written where (B36) ---- */

/* Logs only grow between resets, and the data file's superblocks are all that is ever
 * written again while something refers to it. */
static void writes_only_append(void) {
    SimDisk *disk = sim_disk_new(9);
    nacre_db *db = open_on(disk, NACRE_STRICT);
    nacre_membrane *kv = open_kv(db);
    uint8_t *bytes = calloc(1, 5000);
    for (int64_t i = 0; i < 3000; i++) {
        nacre_value key = nacre_integer(i * 31 % 700), value = nacre_text_sized((char *)memset(bytes, 'x', 5000), 3000);
        CHECK_EQ(nacre_put(kv, &key, NULL, &value), NACRE_OK);
    }
    free(bytes);
    CHECK(db->counters.flushes > 3);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    uint64_t end[2] = {0, 0};
    for (size_t i = 0; i < sim_disk_operations(disk); i++) {
        SimOperation o = sim_disk_operation(disk, i);
        if (strncmp(o.file, "db-wal", 6) == 0) {
            uint64_t *log = &end[o.file[6] - '0'];
            if (o.kind == SIM_TRUNCATE) *log = o.offset;
            if (o.kind != SIM_WRITE || o.offset < WAL_HEAD) continue;
            CHECK_EQ(o.offset, *log);
            *log = o.offset + o.size;
        } else if (o.kind == SIM_WRITE && o.offset < EXTENT_SIZE) {
            CHECK((o.offset == 0 || o.offset == SUPERBLOCK_SLOT) && o.size == SUPERBLOCK_SIZE);
        }
    }
    sim_disk_free(disk);
}

/* A reader changes nothing: not of a clean database, not of one whose log is torn. */
static void opening_to_read_writes_nothing(void) {
    for (int torn = 0; torn < 2; torn++) {
        SimDisk *disk = sim_disk_new(10);
        nacre_db *db = open_on(disk, NACRE_STRICT), *reader = NULL;
        nacre_membrane *kv = open_kv(db);
        uint64_t count = 0, problems = 0;
        const char *json = NULL;
        for (int64_t i = 0; i < 50; i++) CHECK_EQ(put(kv, i), NACRE_OK);
        if (torn) sim_disk_power_off_at(disk, sim_disk_operations(disk));
        (void)nacre_close(db, NULL);
        sim_disk_power_off_at(disk, SIZE_MAX);
        if (torn) sim_disk_crash(disk, SIM_CRASH_PREFIX, 0);
        SimDisk *at = sim_disk_clone(disk);
        CHECK_EQ(try_open(at, NACRE_STRICT, NACRE_READ, &reader), NACRE_OK);
        CHECK_EQ(nacre_membrane_open(reader, "kv", NULL, &kv), NACRE_OK);
        CHECK_EQ(nacre_count(kv, NULL, NULL, &count), NACRE_OK);
        CHECK_EQ(count, 50);
        CHECK_EQ(put(kv, 50), NACRE_READONLY);
        CHECK_EQ(nacre_membrane_drop(reader, "kv"), NACRE_READONLY);
        CHECK_EQ(nacre_compact(reader, NULL), NACRE_READONLY);
        CHECK_EQ(nacre_flush(reader), NACRE_OK);
        CHECK_EQ(nacre_stats_json(reader, &json), NACRE_OK);
        CHECK_EQ(nacre_verify(reader, true, NULL, NULL, &problems), NACRE_OK);
        CHECK_EQ(problems, 0);
        CHECK_EQ(nacre_close(reader, NULL), NACRE_OK);
        for (size_t i = 0; i < sim_disk_operations(at); i++)
            CHECK(sim_disk_operation(at, i).kind & (SIM_OPEN | SIM_CLOSE));
        sim_disk_free(at);
        sim_disk_free(disk);
    }
    SimDisk *empty = sim_disk_new(11);
    nacre_db *none = NULL;
    CHECK_EQ(try_open(empty, NACRE_STRICT, NACRE_READ, &none), NACRE_NOT_FOUND);
    CHECK_EQ(try_open(empty, NACRE_STRICT, NACRE_EXISTING, &none), NACRE_NOT_FOUND);
    CHECK_EQ(sim_disk_file_count(empty), 0);
    sim_disk_free(empty);
}

/* ---- files of the host ---- */

/* B31: of two openers the second is told at once, in this process as in another; and after
 * the first is closed it may. */
static void a_second_writer_is_busy(void) {
    char path[512];
    if (!test_dir()) return;
    snprintf(path, sizeof path, "%s/durability-busy", test_dir());
    nacre_db *first = NULL, *second = NULL;
    nacre_error error;
    REQUIRE(nacre_open(path, NULL, &first, &error) == NACRE_OK);
    CHECK_EQ(nacre_open(path, NULL, &second, &error), NACRE_BUSY);
    CHECK(second == NULL && strstr(error.text, "durability-busy"));
    CHECK_EQ(put(open_kv(first), 1), NACRE_OK); /* the first is not disturbed */
    CHECK_EQ(nacre_close(first, NULL), NACRE_OK);
    CHECK_EQ(nacre_open(path, NULL, &second, &error), NACRE_OK);
    CHECK(has(open_kv(second), 1));
    CHECK_EQ(nacre_close(second, NULL), NACRE_OK);
}

/* B32: nobody but the owner may read them, whatever the umask. */
static void files_are_the_owners_alone(void) {
#ifndef __wasi__
    static const char *const suffixes[4] = {"", "-wal0", "-wal1", "-lock"};
    char path[512], name[520];
    if (!test_dir()) return;
    snprintf(path, sizeof path, "%s/durability-mode", test_dir());
    mode_t mask = umask(0);
    nacre_db *db = NULL;
    CHECK_EQ(nacre_open(path, NULL, &db, NULL), NACRE_OK);
    for (int i = 0; i < 4; i++) {
        struct stat found;
        snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        if (CHECK_EQ(stat(name, &found), 0)) CHECK_EQ(found.st_mode & 0777, 0600);
    }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    umask(mask);
#endif
}

void durability_test(void) {
    RUN(b17_a_checkpoint_by_time_is_made_by_the_following_writes);
    RUN(b17_a_checkpoint_by_time_is_made_by_steps);
    RUN(b18_opening_reads_the_tail_of_the_log_and_not_the_database);
    RUN(b18_closing_leaves_little_to_replay);
    RUN(a_strict_put_costs_one_write_and_one_sync);
    RUN(a_strict_batch_costs_one_sync);
    RUN(relaxed_writes_are_synced_in_time);
    RUN(unsynced_writes_wait_for_a_flush);
    RUN(a_close_that_fails_says_so);
    RUN(after_a_failed_sync_nothing_is_acknowledged);
    RUN(batches_of_one_frame_share_a_write_and_a_sync);
    RUN(sequences_rise_for_ever);
    RUN(writes_only_append);
    RUN(opening_to_read_writes_nothing);
    RUN(a_second_writer_is_busy);
    RUN(files_are_the_owners_alone);
}
