/* bulk_test.c - bulk loads: atomic, newest, in order, bounded; and the private segments
 * behind them (db/ingest.h). Crashes and faults: tests/crash (history_load). */
#include "lib/check.h"
#include "lib/model.h"
#include "lib/sim_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static nacre_options bulk_options(SimDisk *disk) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.vfs = sim_disk_vfs(disk);
    options.memory = 4 << 20;
    options.memtable_size = 64 << 10;
    options.segment_size = 64 << 10;
    options.seed = 7;
    return options;
}

static nacre_db *bulk_open(const nacre_options *options) {
    nacre_db *db = NULL;
    nacre_error error;
    if (nacre_open("db", options, &db, &error) != NACRE_OK) check_that(CHECK_HERE, error.text, false);
    return db;
}

static nacre_membrane *numbers_of(nacre_db *db, const char *name) {
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    nacre_membrane *membrane = NULL;
    CHECK_EQ(nacre_membrane_open(db, name, &schema, &membrane), NACRE_OK);
    return membrane;
}

static uint64_t stat_of(nacre_db *db, const char *name) {
    const char *json = NULL;
    char wanted[40];
    snprintf(wanted, sizeof wanted, "\"%s\":", name);
    if (!CHECK_EQ(nacre_stats_json(db, &json), NACRE_OK)) return 0;
    const char *at = strstr(json, wanted);
    if (!check_that(CHECK_HERE, name, at != NULL)) return 0;
    at += strlen(wanted);
    return strtoull(*at == '"' ? at + 1 : at, NULL, 10);
}

/* Rows from <= key < to, of `size` bytes that begin with the key plus `add`. */
static nacre_status load_range(nacre_bulk *bulk, int64_t from, int64_t to, int64_t add, size_t size) {
    uint8_t bytes[1000] = {0};
    nacre_status status = NACRE_OK;
    for (int64_t i = from; i < to && status == NACRE_OK; i++) {
        nacre_value key = nacre_integer(i);
        int64_t number = i + add;
        memcpy(bytes, &number, sizeof number);
        nacre_value value = nacre_bytes(bytes, size);
        status = nacre_bulk_put(bulk, &key, NULL, &value);
    }
    return status;
}

static nacre_status load(nacre_membrane *membrane, int64_t from, int64_t to, int64_t add, size_t size) {
    nacre_bulk *bulk = NULL;
    uint64_t rows = 0;
    nacre_status status = nacre_bulk_begin(membrane, &bulk);
    if (status != NACRE_OK) return status;
    status = load_range(bulk, from, to, add, size);
    if (status != NACRE_OK) {
        nacre_bulk_abort(bulk);
        return status;
    }
    status = nacre_bulk_commit(bulk, &rows);
    if (status == NACRE_OK) CHECK_EQ(rows, to - from);
    return status;
}

static nacre_status put_one(nacre_membrane *membrane, int64_t number, int64_t value) {
    nacre_value key = nacre_integer(number), bytes = nacre_bytes(&value, sizeof value);
    return nacre_put(membrane, &key, NULL, &bytes);
}

/* What a row says; INT64_MIN: there is none. */
static int64_t number_of(nacre_membrane *membrane, const nacre_snapshot *snapshot, int64_t number) {
    nacre_value key = nacre_integer(number);
    nacre_row row;
    int64_t value = INT64_MIN;
    nacre_status status = nacre_get(membrane, snapshot, &key, &row);
    if (status == NACRE_NOT_FOUND) return value;
    if (CHECK_EQ(status, NACRE_OK)) memcpy(&value, row.fields[0].bytes.data, sizeof value);
    return value;
}

static uint64_t rows_of(nacre_membrane *membrane, const nacre_snapshot *snapshot) {
    uint64_t count = 0;
    CHECK_EQ(nacre_count(membrane, snapshot, NULL, &count), NACRE_OK);
    return count;
}

static void no_problem(nacre_db *db) {
    uint64_t problems = 0;
    CHECK_EQ(nacre_verify(db, true, NULL, NULL, &problems), NACRE_OK);
    CHECK_EQ(problems, 0);
}

/* Nobody sees a row before the commit; then everybody all of them, but for snapshots that
 * were open; and again after reopening. */
static void c18_bulk_load_is_atomic(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = bulk_options(disk);
    nacre_db *db = bulk_open(&options);
    REQUIRE(db);
    nacre_membrane *numbers = numbers_of(db, "numbers");
    nacre_snapshot *before = NULL;
    nacre_bulk *bulk = NULL;
    uint64_t rows = 0, sequence = stat_of(db, "sequence");
    CHECK_EQ(nacre_bulk_begin(numbers, &bulk), NACRE_OK);
    CHECK_EQ(load_range(bulk, 0, 3000, 0, 100), NACRE_OK);
    CHECK_EQ(rows_of(numbers, NULL), 0);
    CHECK(number_of(numbers, NULL, 17) == INT64_MIN);
    CHECK_EQ(nacre_snapshot_open(db, &before), NACRE_OK);
    CHECK_EQ(stat_of(db, "sequence"), sequence);
    CHECK_EQ(nacre_bulk_commit(bulk, &rows), NACRE_OK);
    CHECK_EQ(rows, 3000);
    CHECK_EQ(stat_of(db, "sequence"), sequence + 1);
    CHECK(stat_of(db, "segments") > 4); /* of 64 KiB each */
    for (int again = 0; again < 2; again++) {
        CHECK_EQ(rows_of(numbers, NULL), 3000);
        CHECK_EQ(number_of(numbers, NULL, 0), 0);
        CHECK_EQ(number_of(numbers, NULL, 2999), 2999);
        CHECK(number_of(numbers, NULL, 3000) == INT64_MIN);
        if (again) break;
        CHECK_EQ(rows_of(numbers, before), 0);
        CHECK(number_of(numbers, before, 17) == INT64_MIN);
        nacre_snapshot_release(before);
        no_problem(db);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        db = bulk_open(&options);
        REQUIRE(db);
        numbers = numbers_of(db, "numbers");
    }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* Newer than what was there at the commit, also than what was put while it went on; older
 * than what is put afterwards. */
static void c18_loaded_rows_are_newer_than_what_was_there(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = bulk_options(disk);
    nacre_db *db = bulk_open(&options);
    REQUIRE(db);
    nacre_membrane *numbers = numbers_of(db, "numbers");
    nacre_bulk *bulk = NULL;
    nacre_value five = nacre_integer(5);
    for (int64_t i = 0; i < 100; i++) CHECK_EQ(put_one(numbers, i, -1), NACRE_OK);
    CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    CHECK_EQ(put_one(numbers, 40, -2), NACRE_OK);
    CHECK_EQ(nacre_bulk_begin(numbers, &bulk), NACRE_OK);
    CHECK_EQ(load_range(bulk, 30, 60, 1000, 50), NACRE_OK);
    CHECK_EQ(put_one(numbers, 41, -3), NACRE_OK);
    CHECK_EQ(put_one(numbers, 70, -3), NACRE_OK);
    CHECK_EQ(nacre_delete(numbers, &five), NACRE_OK);
    CHECK_EQ(nacre_bulk_commit(bulk, NULL), NACRE_OK);
    CHECK_EQ(put_one(numbers, 42, -4), NACRE_OK);
    for (int round = 0; round < 3; round++) {
        CHECK_EQ(number_of(numbers, NULL, 29), -1);
        CHECK_EQ(number_of(numbers, NULL, 30), 1030);
        CHECK_EQ(number_of(numbers, NULL, 40), 1040);
        CHECK_EQ(number_of(numbers, NULL, 41), 1041);
        CHECK_EQ(number_of(numbers, NULL, 42), -4);
        CHECK_EQ(number_of(numbers, NULL, 70), -3);
        CHECK(number_of(numbers, NULL, 5) == INT64_MIN);
        CHECK_EQ(rows_of(numbers, NULL), 99);
        if (round == 0) CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
        if (round != 1) continue;
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        db = bulk_open(&options);
        REQUIRE(db);
        numbers = numbers_of(db, "numbers");
    }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

static void c18_keys_that_do_not_rise_are_refused_by_name(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = bulk_options(disk);
    nacre_db *db = bulk_open(&options);
    REQUIRE(db);
    nacre_type parts[2] = {NACRE_TEXT, NACRE_INTEGER};
    nacre_schema schema = nacre_schema_kv(NACRE_TEXT, NACRE_TEXT);
    schema.key_count = 2;
    memcpy(schema.key_types, parts, sizeof parts);
    nacre_membrane *pairs = NULL;
    nacre_bulk *bulk = NULL;
    CHECK_EQ(nacre_membrane_open(db, "pairs", &schema, &pairs), NACRE_OK);
    nacre_value value = nacre_text("v");
    nacre_value keys[4][2] = {{nacre_text("a"), nacre_integer(1)}, {nacre_text("pear"), nacre_integer(7)},
                              {nacre_text("pear"), nacre_integer(7)}, {nacre_text("fig"), nacre_integer(9)}};
    CHECK_EQ(nacre_bulk_begin(pairs, &bulk), NACRE_OK);
    for (int i = 0; i < 2; i++) CHECK_EQ(nacre_bulk_put(bulk, keys[i], NULL, &value), NACRE_OK);
    CHECK_EQ(nacre_bulk_put(bulk, keys[2], NULL, &value), NACRE_INVALID_ARGUMENT);
    CHECK_STR(nacre_message(db), "pairs: bulk load: key \"pear\", 7 of row 2 is not above the one before it");
    CHECK_EQ(nacre_bulk_put(bulk, keys[3], NULL, &value), NACRE_INVALID_ARGUMENT);
    CHECK(strstr(nacre_message(db), "\"fig\", 9") != NULL);
    uint64_t rows = 0;
    CHECK_EQ(nacre_bulk_commit(bulk, &rows), NACRE_OK); /* without those */
    CHECK_EQ(rows, 2);
    CHECK_EQ(rows_of(pairs, NULL), 2);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* Nothing is left of one that is given up, be it by abort, by the file's limit, by a drop of
 * its membrane or by close; what it took is free again. */
static void c18_what_is_given_up_leaves_nothing(void) {
    for (int way = 0; way < 4; way++) {
        SimDisk *disk = sim_disk_new(1);
        nacre_options options = bulk_options(disk);
        if (way == 1) options.database_size = 2 << 20;
        nacre_db *db = bulk_open(&options);
        REQUIRE(db);
        nacre_membrane *numbers = numbers_of(db, "numbers"), *other = numbers_of(db, "other");
        nacre_bulk *bulk = NULL;
        uint64_t sequence = stat_of(db, "sequence") + (way == 2);
        CHECK_EQ(nacre_bulk_begin(numbers, &bulk), NACRE_OK);
        nacre_status status = load_range(bulk, 0, 5000, 0, 900);
        CHECK_EQ(status, way == 1 ? NACRE_QUOTA : NACRE_OK);
        if (way == 1) CHECK(strstr(nacre_message(db), "2097152") != NULL);
        uint64_t held = stat_of(db, "size") - stat_of(db, "free");
        CHECK(held > 1 << 20);
        if (way == 0) nacre_bulk_abort(bulk);
        if (way == 1) {
            CHECK_EQ(nacre_bulk_put(bulk, &(nacre_value){.type = NACRE_INTEGER, .integer = 9000}, NULL,
                                    &(nacre_value){.type = NACRE_BYTES}), NACRE_MISUSE);
            CHECK_EQ(nacre_bulk_commit(bulk, NULL), NACRE_MISUSE);
        }
        if (way == 2) {
            CHECK_EQ(nacre_membrane_drop(db, "numbers"), NACRE_OK);
            CHECK_EQ(nacre_bulk_commit(bulk, NULL), NACRE_NOT_FOUND);
        }
        if (way == 3) { /* close gives back what is left */
            CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
            db = bulk_open(&options);
            REQUIRE(db);
            numbers = numbers_of(db, "numbers"), other = numbers_of(db, "other");
        }
        if (way != 2) CHECK_EQ(rows_of(numbers, NULL), 0);
        if (way != 3) CHECK_EQ(stat_of(db, "sequence"), sequence);
        CHECK_EQ(put_one(other, 1, 1), NACRE_OK);
        CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
        CHECK(stat_of(db, "size") - stat_of(db, "free") <= 5 * 65536); /* superblocks, rows, manifests */
        no_problem(db);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        sim_disk_free(disk);
    }
}

/* Ascending loads, and loads into gaps, stand in the last level at once: one run, and no
 * merge has anything to do. What overlaps is a run of its own. */
static void c18_what_overlaps_nothing_joins_the_last_level(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = bulk_options(disk);
    nacre_db *db = bulk_open(&options);
    REQUIRE(db);
    nacre_membrane *numbers = numbers_of(db, "numbers");
    CHECK_EQ(nacre_checkpoint(db), NACRE_OK); /* the catalog's row */
    uint64_t runs = stat_of(db, "runs");
    static const int64_t ranges[4][2] = {{0, 2000}, {10000, 12000}, {20000, 22000}, {5000, 7000}};
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(load(numbers, ranges[i][0], ranges[i][1], 0, 100), NACRE_OK);
        CHECK_EQ(stat_of(db, "runs"), runs + 1);
        CHECK_EQ(stat_of(db, "tierRuns"), runs);
    }
    uint64_t segments = stat_of(db, "segments");
    CHECK_EQ(load(numbers, 1990, 5010, 1, 100), NACRE_OK);
    CHECK_EQ(stat_of(db, "runs"), runs + 2);
    for (int round = 0; round < 2; round++) {
        CHECK_EQ(number_of(numbers, NULL, 1989), 1989);
        CHECK_EQ(number_of(numbers, NULL, 1990), 1991);
        CHECK_EQ(number_of(numbers, NULL, 5009), 5010);
        CHECK_EQ(number_of(numbers, NULL, 5010), 5010);
        CHECK_EQ(rows_of(numbers, NULL), 8000 + 3000);
        no_problem(db);
        if (round == 0) CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    }
    CHECK(segments > 10);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* Many loads, none of them followed by a write: runs are merged all the same. */
static void c18_loads_pay_for_their_merges(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = bulk_options(disk);
    nacre_db *db = bulk_open(&options);
    REQUIRE(db);
    nacre_membrane *numbers = numbers_of(db, "numbers");
    uint64_t most = 0;
    for (int64_t i = 0; i < 100; i++) {
        CHECK_EQ(load(numbers, i % 10, 3000 - i, i, 20), NACRE_OK);
        uint64_t runs = stat_of(db, "runs");
        if (runs > most) most = runs;
    }
    CHECK(most < 32);
    CHECK_EQ(number_of(numbers, NULL, 5), 5 + 95);
    CHECK_EQ(number_of(numbers, NULL, 2950), 2950 + 49);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* Memory is bounded by the budget however large the load, and segments by segment_size. */
static void c18_a_load_larger_than_memory(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = bulk_options(disk);
    options.memory = 1 << 20;
    nacre_db *db = bulk_open(&options);
    REQUIRE(db);
    nacre_membrane *numbers = numbers_of(db, "numbers");
    CHECK_EQ(load(numbers, 0, 60000, 0, 100), NACRE_OK); /* 6 MB */
    CHECK(stat_of(db, "peakMemory") <= 1 << 20);
    CHECK(stat_of(db, "segments") > 80);
    CHECK_EQ(rows_of(numbers, NULL), 60000);
    CHECK_EQ(number_of(numbers, NULL, 59999), 59999);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* The law of laws, with loads among the batches. */
static nacre_status random_load(nacre_db *db, nacre_membrane *membranes[], Model *model, uint64_t *random) {
    uint32_t keys[MODEL_KEYS];
    size_t count = 0;
    int m = (int)(test_random(random) % MODEL_MEMBRANES);
    uint32_t from = (uint32_t)(test_random(random) % MODEL_KEYS), step = 1 + (uint32_t)(test_random(random) % 5);
    uint32_t to = from + (uint32_t)(test_random(random) % MODEL_KEYS);
    uint32_t version = 1 + (uint32_t)(test_random(random) % 1000000);
    nacre_bulk *bulk = NULL;
    for (uint32_t key = from; key <= to && key < MODEL_KEYS; key += step) keys[count++] = key;
    model_sort(m, keys, count);
    nacre_status status = nacre_bulk_begin(membranes[m], &bulk);
    for (size_t i = 0; i < count && status == NACRE_OK; i++) status = model_bulk_put(bulk, m, keys[i], version);
    if (status == NACRE_OK && test_random(random) % 4 == 0) {
        nacre_bulk_abort(bulk);
        return NACRE_OK;
    }
    if (status == NACRE_OK) status = nacre_bulk_commit(bulk, NULL);
    else nacre_bulk_abort(bulk);
    for (size_t i = 0; i < count && status == NACRE_OK; i++) model->version[m][keys[i]] = version;
    (void)db;
    return status;
}

static nacre_status random_writes(nacre_db *db, nacre_membrane *membranes[], Model *model, uint64_t *random) {
    nacre_batch *batch = NULL;
    nacre_status status = nacre_batch_begin(db, &batch);
    for (uint64_t i = 1 + test_random(random) % 30; i > 0 && status == NACRE_OK; i--) {
        int m = (int)(test_random(random) % MODEL_MEMBRANES);
        uint32_t key = (uint32_t)(test_random(random) % MODEL_KEYS);
        uint32_t version = test_random(random) % 4 ? 1 + (uint32_t)(test_random(random) % 1000000) : 0;
        status = version ? model_put(batch, membranes, m, key, version) : model_delete(batch, membranes, m, key);
        model->version[m][key] = version;
    }
    if (status == NACRE_OK) return nacre_batch_commit(batch);
    nacre_batch_abort(batch);
    return status;
}

static void c18_equals_its_model_with_loads_among_the_writes(void) {
    SimDisk *disk = sim_disk_new(2);
    nacre_options options = bulk_options(disk);
    nacre_db *db = bulk_open(&options);
    REQUIRE(db);
    static Model model, frozen;
    nacre_membrane *membranes[MODEL_MEMBRANES];
    nacre_snapshot *snapshot = NULL;
    uint64_t random = test_seed();
    model = (Model){0};
    REQUIRE(model_open(db, membranes) == NACRE_OK);
    for (int round = 0; round < 500; round++) {
        bool bulk = test_random(&random) % 4 == 0;
        nacre_status status = bulk ? random_load(db, membranes, &model, &random)
                                   : random_writes(db, membranes, &model, &random);
        if (!check_eq(CHECK_HERE, nacre_message(db), status, NACRE_OK)) break;
        switch (test_random(&random) % 40) {
        case 0: CHECK_EQ(nacre_checkpoint(db), NACRE_OK); break;
        case 1: CHECK_EQ(nacre_compact(db, NULL), NACRE_OK); break;
        case 2:
            if (snapshot) CHECK_EQ(model_differences(db, snapshot, &frozen), 0);
            nacre_snapshot_release(snapshot);
            snapshot = NULL;
            CHECK_EQ(nacre_snapshot_open(db, &snapshot), NACRE_OK);
            frozen = model;
            break;
        case 3:
            nacre_snapshot_release(snapshot);
            snapshot = NULL;
            CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
            db = bulk_open(&options);
            REQUIRE(db);
            REQUIRE(model_open(db, membranes) == NACRE_OK);
            break;
        case 4: CHECK_EQ(model_differences(db, NULL, &model), 0); break;
        case 5: CHECK_EQ(model_search_differences(db, NULL, &model, 5), 0); break;
        default: break;
        }
    }
    CHECK_EQ(model_differences(db, NULL, &model), 0);
    CHECK_EQ(model_search_differences(db, NULL, &model, 60), 0);
    no_problem(db);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

static void c18_misuse_is_refused(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = bulk_options(disk);
    nacre_db *db = bulk_open(&options);
    REQUIRE(db);
    nacre_membrane *numbers = numbers_of(db, "numbers");
    nacre_bulk *bulk = NULL;
    uint64_t rows = 9, sequence = stat_of(db, "sequence");
    CHECK_EQ(nacre_bulk_begin(NULL, &bulk), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_bulk_begin(numbers, NULL), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_bulk_put(NULL, NULL, NULL, NULL), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_bulk_commit(NULL, NULL), NACRE_INVALID_ARGUMENT);
    nacre_bulk_abort(NULL);
    CHECK_EQ(nacre_bulk_begin(numbers, &bulk), NACRE_OK);
    nacre_value wrong = nacre_text("no number"), value = nacre_bytes("", 0), right = nacre_integer(1);
    CHECK_EQ(nacre_bulk_put(bulk, &wrong, NULL, &value), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_bulk_put(bulk, NULL, NULL, &value), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_bulk_put(bulk, &right, NULL, &wrong), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_bulk_commit(bulk, &rows), NACRE_OK); /* nothing at all: no commit, either */
    CHECK_EQ(rows, 0);
    CHECK_EQ(stat_of(db, "sequence"), sequence);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    options.mode = NACRE_READ;
    db = bulk_open(&options);
    REQUIRE(db);
    CHECK_EQ(nacre_membrane_open(db, "numbers", NULL, &numbers), NACRE_OK);
    CHECK_EQ(nacre_bulk_begin(numbers, &bulk), NACRE_READONLY);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

void bulk_test(void) {
    RUN(c18_bulk_load_is_atomic);
    RUN(c18_loaded_rows_are_newer_than_what_was_there);
    RUN(c18_keys_that_do_not_rise_are_refused_by_name);
    RUN(c18_what_is_given_up_leaves_nothing);
    RUN(c18_what_overlaps_nothing_joins_the_last_level);
    RUN(c18_loads_pay_for_their_merges);
    RUN(c18_a_load_larger_than_memory);
    RUN(c18_equals_its_model_with_loads_among_the_writes);
    RUN(c18_misuse_is_refused);
}
