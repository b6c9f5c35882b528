/* sessions_test.c - what only shows over several openings: merges interrupted by a close or
 * a fault, logs that end in a cut, files and budgets that are full. */
#include "lib/check.h"
#include "lib/sim_disk.h"
#include "nacre.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static nacre_options sessions_options(SimDisk *disk) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.vfs = sim_disk_vfs(disk);
    options.lock = NACRE_LOCK_BREAK;
    options.memory = 32 << 20;
    options.memtable_size = 64 << 10;
    options.seed = 7;
    return options;
}

static nacre_db *sessions_open(const nacre_options *options, nacre_membrane **kv) {
    nacre_db *db = NULL;
    nacre_error error;
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    if (!CHECK(nacre_open("db", options, &db, &error) == NACRE_OK)) {
        check_that(__FILE__, __LINE__, error.text, false);
        return NULL;
    }
    if (CHECK_EQ(nacre_membrane_open(db, "kv", &schema, kv), NACRE_OK)) return db;
    nacre_close(db, NULL);
    return NULL;
}

static nacre_status sessions_put(nacre_membrane *kv, int64_t key, size_t size) {
    uint8_t *bytes = calloc(1, size);
    if (!bytes) abort();
    nacre_value name = nacre_integer(key), value = nacre_bytes(bytes, size);
    nacre_status status = nacre_put(kv, &name, NULL, &value);
    free(bytes);
    return status;
}

static nacre_status sessions_delete(nacre_membrane *kv, int64_t key) {
    nacre_value name = nacre_integer(key);
    return nacre_delete(kv, &name);
}

static bool sessions_has(nacre_membrane *kv, int64_t key) {
    nacre_value name = nacre_integer(key);
    nacre_row row;
    return nacre_get(kv, NULL, &name, &row) == NACRE_OK;
}

enum { ROWS = 6000, GONE_FROM = 960, GONE_TO = 1140 };

static int sessions_wrong(nacre_membrane *kv) {
    int wrong = 0;
    for (int i = 0; i < ROWS; i++) wrong += sessions_has(kv, i) == (i >= GONE_FROM && i < GONE_TO);
    return wrong;
}

/* A merge into the last level that was interrupted has dropped deletions; what it has moved
 * stays hidden in its inputs, whatever merges come later and however they end. */
static void deleted_rows_stay_deleted_through_interrupted_merges(void) {
    for (uint64_t writes = 2; writes < 40; writes += 4) {
        SimDisk *disk = sim_disk_new(1);
        nacre_options options = sessions_options(disk);
        options.memtable_size = 1 << 20;
        options.segment_size = 256 << 10;
        nacre_membrane *kv = NULL;
        nacre_db *db = sessions_open(&options, &kv);
        REQUIRE(db);
        for (int i = 0; i < ROWS; i++) CHECK_EQ(sessions_put(kv, i, 400), NACRE_OK);
        CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
        for (int round = 0; round < 8; round++) {
            for (int i = 0; i < ROWS; i++) {
                if (round < 7 && i % 7 == round) CHECK_EQ(sessions_put(kv, i, 400), NACRE_OK);
                if (round == 7 && i >= GONE_FROM && i < GONE_TO) CHECK_EQ(sessions_delete(kv, i), NACRE_OK);
            }
            CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
        }
        bool more;
        for (int step = 0; step < 16; step++) CHECK_EQ(nacre_step(db, 64 << 10, &more), NACRE_OK);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        REQUIRE((db = sessions_open(&options, &kv)) != NULL);
        CHECK_EQ(sessions_wrong(kv), 0);
        sim_disk_fault(disk, (SimFault){.kinds = SIM_WRITE, .nth = writes, .forever = true, .way = SIM_FAULT_FAIL,
                                        .status = NACRE_QUOTA});
        nacre_status status = nacre_compact(db, NULL);
        CHECK(status == NACRE_OK || status == NACRE_QUOTA || status == NACRE_IO);
        CHECK_EQ(sessions_wrong(kv), 0);
        sim_disk_fault(disk, (SimFault){0});
        nacre_close(db, NULL);
        REQUIRE((db = sessions_open(&options, &kv)) != NULL);
        CHECK_EQ(sessions_wrong(kv), 0);
        CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
        CHECK_EQ(sessions_wrong(kv), 0);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        sim_disk_free(disk);
    }
}

static void sessions_crash(SimDisk *disk, nacre_db *db, uint64_t state) {
    if (!sim_disk_is_off(disk)) sim_disk_power_off_at(disk, sim_disk_operations(disk));
    nacre_close(db, NULL);
    sim_disk_crash(disk, SIM_CRASH_PREFIX, state);
    sim_disk_power_off_at(disk, SIZE_MAX);
}

/* A log that holds nothing but a cut still stands between the segments and the other log. */
static void a_log_that_only_has_a_cut_is_not_forgotten(void) {
    bool off = true;
    for (size_t operation = 0; off && operation < 40; operation++) {
        SimDisk *disk = sim_disk_new(1);
        nacre_options options = sessions_options(disk);
        options.durability = NACRE_RELAXED;
        nacre_membrane *kv = NULL;
        nacre_db *db = sessions_open(&options, &kv);
        REQUIRE(db);
        CHECK_EQ(sessions_put(kv, 1, 100), NACRE_OK);
        CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
        for (int i = 0; i < 2; i++) {
            sessions_crash(disk, db, 0);
            REQUIRE((db = sessions_open(&options, &kv)) != NULL);
        }
        sim_disk_power_off_at(disk, sim_disk_operations(disk) + operation);
        nacre_status status = sessions_put(kv, 3, 200000);
        off = sim_disk_is_off(disk);
        CHECK(status == NACRE_OK || off);
        sessions_crash(disk, db, UINT64_MAX);
        REQUIRE((db = sessions_open(&options, &kv)) != NULL);
        for (int i = 0; i < 300; i++) CHECK_EQ(sessions_put(kv, 10 + i, 500), NACRE_OK);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        REQUIRE((db = sessions_open(&options, &kv)) != NULL);
        for (int i = 0; i < 300; i++) CHECK(sessions_has(kv, 10 + i));
        CHECK(sessions_has(kv, 1));
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        sim_disk_free(disk);
    }
    CHECK(!off); /* every operation of the put was tried */
}

static uint64_t sessions_number(nacre_db *db, const char *name) {
    const char *json = NULL;
    if (!CHECK_EQ(nacre_stats_json(db, &json), NACRE_OK)) return 0;
    const char *at = strstr(json, name);
    return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

/* Sessions that each write a little still come to the end of their merges. */
static void short_sessions_keep_the_file_small(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = sessions_options(disk);
    uint64_t random = test_seed(), runs = 0, size = 0;
    for (int session = 0; session < 160; session++) {
        nacre_membrane *kv = NULL;
        nacre_db *db = sessions_open(&options, &kv);
        REQUIRE(db);
        for (int i = 0; i < 400; i++)
            CHECK_EQ(sessions_put(kv, (int64_t)(test_random(&random) % 4000), 400), NACRE_OK);
        uint64_t now = sessions_number(db, "\"runs\":");
        if (now > runs) runs = now;
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    }
    (void)sim_disk_bytes(disk, "db", &size);
    CHECK(runs < 80);
    CHECK(size < 4000u * 416 * 4);
    sim_disk_free(disk);
}

/* C21: at its limit the database refuses rows, takes deletions, and becomes usable by them. */
static void a_full_database_can_be_emptied_and_filled_again(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = sessions_options(disk);
    options.database_size = 4 << 20;
    nacre_membrane *kv = NULL;
    nacre_db *db = sessions_open(&options, &kv);
    REQUIRE(db);
    for (int round = 0; round < 3; round++) {
        int64_t rows = 0;
        nacre_status status = NACRE_OK;
        uint64_t size = 0, removed = 0;
        while (rows < 10000 && (status = sessions_put(kv, rows, 1000)) == NACRE_OK) rows++;
        CHECK_EQ(status, NACRE_QUOTA);
        CHECK(rows > 1200);
        (void)sim_disk_bytes(disk, "db", &size);
        CHECK(size <= options.database_size);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        REQUIRE((db = sessions_open(&options, &kv)) != NULL);
        for (int64_t i = 0; i < rows; i += 2) CHECK_EQ(sessions_delete(kv, i), NACRE_OK);
        CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
        for (int64_t i = 0; i < rows; i++) CHECK(sessions_has(kv, i) == (i % 2 != 0));
        CHECK_EQ(sessions_put(kv, 0, 1000), NACRE_OK);
        CHECK_EQ(nacre_clear(kv, NULL, &removed), NACRE_OK);
        CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* Loads that overlap nothing stand in the last level, but beside a merge of all of it only a few:
 * nothing else would ever merge them. */
static void many_loads_beside_a_merge_keep_the_runs_few(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = sessions_options(disk);
    options.segment_size = 64 << 10;
    nacre_membrane *kv = NULL;
    nacre_db *db = sessions_open(&options, &kv);
    uint64_t most = 0, rows = 0;
    REQUIRE(db);
    for (int i = 0; i < 3000; i++) CHECK_EQ(sessions_put(kv, i, 400), NACRE_OK);
    CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    for (int i = 0; i < 8 * 330; i++) { /* eight runs: they and the last level are due to be merged */
        CHECK_EQ(sessions_put(kv, i * 7 % 3000, 400), NACRE_OK);
        if (i % 330 == 329) CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    }
    for (int64_t i = 0; i < 200; i++) {
        nacre_bulk *bulk = NULL;
        nacre_value key = nacre_integer(100000 + i), value = nacre_bytes("loaded", 6);
        CHECK_EQ(nacre_bulk_begin(kv, &bulk), NACRE_OK);
        CHECK_EQ(nacre_bulk_put(bulk, &key, NULL, &value), NACRE_OK);
        CHECK_EQ(nacre_bulk_commit(bulk, NULL), NACRE_OK);
        uint64_t now = sessions_number(db, "\"runs\":");
        if (now > most) most = now;
    }
    printf("# %d runs at most\n", (int)most);
    CHECK(most > 10 && most < 64);
    CHECK_EQ(nacre_count(kv, NULL, NULL, &rows), NACRE_OK);
    CHECK_EQ(rows, 3200);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* A12: the least budget holds any number of small rows, and a log longer than a memtable. */
static void the_least_budget_is_enough(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = sessions_options(disk);
    options.memory = 1 << 20;
    options.memtable_size = 0;
    nacre_membrane *kv = NULL;
    nacre_db *db = sessions_open(&options, &kv);
    uint64_t count = 0;
    REQUIRE(db);
    for (int64_t i = 0; i < 120000; i++)
        if (!CHECK_EQ(sessions_put(kv, i * 7919 % 120011, 1), NACRE_OK)) break;
    CHECK_EQ(nacre_count(kv, NULL, NULL, &count), NACRE_OK);
    CHECK_EQ(count, 120000);
    CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    CHECK(sessions_number(db, "\"peakMemory\":") <= options.memory);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

void sessions_test(void) {
    RUN(deleted_rows_stay_deleted_through_interrupted_merges);
    RUN(a_log_that_only_has_a_cut_is_not_forgotten);
    RUN(short_sessions_keep_the_file_small);
    RUN(a_full_database_can_be_emptied_and_filled_again);
    RUN(many_loads_beside_a_merge_keep_the_runs_few);
    RUN(the_least_budget_is_enough);
}
