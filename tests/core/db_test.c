/* db_test.c - the database against its model: random work of every kind, small limits so
 * that flushes, merges and truncations happen all the time. */
#include "lib/check.h"
#include "lib/model.h"
#include "lib/sim_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static nacre_options small_options(SimDisk *disk) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.vfs = sim_disk_vfs(disk);
    options.memory = 8 << 20;
    options.memtable_size = 64 << 10;
    options.segment_size = 128 << 10;
    options.seed = 7;
    return options;
}

static nacre_db *open_on(SimDisk *disk) {
    nacre_options options = small_options(disk);
    nacre_db *db = NULL;
    nacre_error error;
    if (!CHECK(nacre_open("db", &options, &db, &error) == NACRE_OK)) check_that(__FILE__, __LINE__, error.text, false);
    return db;
}

/* One batch of 1 to 20 changes, applied to the model only when it was committed. */
static nacre_status random_batch(nacre_db *db, Model *model, uint64_t *random) {
    nacre_membrane *membranes[MODEL_MEMBRANES];
    nacre_batch *batch = NULL;
    Model next = *model;
    nacre_status status = model_open(db, membranes);
    if (status == NACRE_OK) status = nacre_batch_begin(db, &batch);
    uint64_t count = 1 + test_random(random) % 20;
    for (uint64_t i = 0; i < count && status == NACRE_OK; i++) {
        int m = (int)(test_random(random) % MODEL_MEMBRANES);
        uint32_t key = (uint32_t)(test_random(random) % MODEL_KEYS);
        bool delete = test_random(random) % 4 == 0;
        uint32_t version = 1 + (uint32_t)(test_random(random) % 1000000);
        status = delete ? model_delete(batch, membranes, m, key) : model_put(batch, membranes, m, key, version);
        next.version[m][key] = delete ? 0 : version;
    }
    if (status != NACRE_OK) {
        nacre_batch_abort(batch);
        return status;
    }
    status = nacre_batch_commit(batch);
    if (status == NACRE_OK) *model = next;
    return status;
}

static void a_new_database_is_empty_and_keeps_what_is_put(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_db *db = open_on(disk);
    REQUIRE(db);
    Model model = {0};
    uint64_t random = test_seed();
    CHECK_EQ(model_differences(db, NULL, &model), 0);
    for (int i = 0; i < 10; i++) CHECK_EQ(random_batch(db, &model, &random), NACRE_OK);
    CHECK_EQ(model_differences(db, NULL, &model), 0);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    db = open_on(disk);
    REQUIRE(db);
    CHECK_EQ(model_differences(db, NULL, &model), 0);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

static void count_problem(void *self, const char *where, uint64_t offset, const char *what) {
    (void)self, (void)offset;
    check_that(where, (int)offset, what, false);
}

static void check_verified(nacre_db *db) {
    uint64_t problems = 0;
    CHECK_EQ(nacre_verify(db, true, count_problem, NULL, &problems), NACRE_OK);
    CHECK_EQ(problems, 0);
}

/* The law of laws: whatever happens in between, the database equals its model. */
static void equals_its_model_through_flushes_merges_and_reopens(void) {
    SimDisk *disk = sim_disk_new(2);
    nacre_db *db = open_on(disk);
    REQUIRE(db);
    Model model = {0};
    uint64_t random = test_seed() + 1;
    for (int round = 0; round < 1500; round++) {
        if (!CHECK_EQ(random_batch(db, &model, &random), NACRE_OK)) {
            check_that(__FILE__, __LINE__, nacre_message(db), false);
            break;
        }
        switch (test_random(&random) % 60) {
        case 0: CHECK_EQ(nacre_checkpoint(db), NACRE_OK); break;
        case 1: {
            nacre_compact_report report;
            CHECK_EQ(nacre_compact(db, &report), NACRE_OK);
            CHECK_EQ(model_differences(db, NULL, &model), 0);
            break;
        }
        case 2:
            CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
            db = open_on(disk);
            REQUIRE(db);
            CHECK_EQ(model_differences(db, NULL, &model), 0);
            break;
        case 3: CHECK_EQ(model_search_differences(db, NULL, &model, 5), 0); break;
        case 4: check_verified(db); break;
        default: break;
        }
    }
    CHECK_EQ(model_differences(db, NULL, &model), 0);
    CHECK_EQ(model_search_differences(db, NULL, &model, 60), 0);
    check_verified(db);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* C07: a snapshot shows its state for as long as it lives, also across merges. */
static void a_snapshot_stays_what_it_was(void) {
    SimDisk *disk = sim_disk_new(3);
    nacre_db *db = open_on(disk);
    REQUIRE(db);
    Model model = {0}, kept[4];
    nacre_snapshot *snapshots[4] = {NULL};
    uint64_t random = test_seed() + 2;
    for (int round = 0; round < 400; round++) {
        CHECK_EQ(random_batch(db, &model, &random), NACRE_OK);
        if (round % 25 == 7) {
            int i = (int)(test_random(&random) % 4);
            if (snapshots[i]) {
                CHECK_EQ(model_differences(db, snapshots[i], &kept[i]), 0);
                CHECK_EQ(model_search_differences(db, snapshots[i], &kept[i], 5), 0);
            }
            nacre_snapshot_release(snapshots[i]);
            snapshots[i] = NULL;
            CHECK_EQ(nacre_snapshot_open(db, &snapshots[i]), NACRE_OK);
            kept[i] = model;
        }
        if (round % 97 == 0) CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    }
    for (int i = 0; i < 4; i++)
        if (snapshots[i]) {
            CHECK_EQ(model_differences(db, snapshots[i], &kept[i]), 0);
            CHECK_EQ(model_search_differences(db, snapshots[i], &kept[i], 20), 0);
        }
    CHECK_EQ(model_search_differences(db, NULL, &model, 20), 0);
    for (int i = 0; i < 4; i++) nacre_snapshot_release(snapshots[i]);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* C06, C20: after compaction the file holds little besides the rows. */
static void compaction_gives_space_back(void) {
    SimDisk *disk = sim_disk_new(4);
    nacre_options options = small_options(disk);
    options.memory = 64 << 20;
    options.memtable_size = 1 << 20;
    options.segment_size = 1 << 20;
    nacre_db *db = NULL;
    REQUIRE(nacre_open("db", &options, &db, NULL) == NACRE_OK);
    nacre_membrane *kv = NULL;
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    REQUIRE(nacre_membrane_open(db, "kv", &schema, &kv) == NACRE_OK);
    uint8_t value[1000];
    uint64_t random = test_seed();
    for (int i = 0; i < 12000; i++) {
        for (size_t b = 0; b < sizeof value; b++) value[b] = (uint8_t)test_random(&random);
        nacre_value key = nacre_integer(i * 7919 % 12000), bytes = nacre_bytes(value, sizeof value);
        CHECK_EQ(nacre_put(kv, &key, NULL, &bytes), NACRE_OK);
    }
    for (int i = 0; i < 12000; i++) {
        nacre_value key = nacre_integer(i);
        if (i % 10) CHECK_EQ(nacre_delete(kv, &key), NACRE_OK);
    }
    nacre_compact_report report;
    CHECK_EQ(nacre_compact(db, &report), NACRE_OK);
    CHECK_EQ(report.rows, 1200);

    CHECK(report.after <= 1200 * 1016 * 11 / 10 + (2 << 20));
    CHECK(report.after < report.before / 3);
    uint64_t size = 0, count = 0;
    (void)sim_disk_bytes(disk, "db", &size);
    CHECK_EQ(size, report.after);
    CHECK_EQ(nacre_count(kv, NULL, NULL, &count), NACRE_OK);
    CHECK_EQ(count, 1200);
    /* Dropping the membrane gives the rest back. */
    CHECK_EQ(nacre_membrane_drop(db, "kv"), NACRE_OK);
    CHECK_EQ(nacre_count(kv, NULL, NULL, &count), NACRE_NOT_FOUND);
    CHECK_EQ(nacre_compact(db, &report), NACRE_OK);
    CHECK(report.after <= 512 << 10);
    check_verified(db);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

void db_test(void) {
    RUN(a_new_database_is_empty_and_keeps_what_is_put);
    RUN(equals_its_model_through_flushes_merges_and_reopens);
    RUN(a_snapshot_stays_what_it_was);
    RUN(compaction_gives_space_back);
}
