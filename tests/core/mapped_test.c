/* mapped_test.c - reading in a mapping of the file (option `mapped`, C17): the same answers,
 * each block checked once, damage and a cut file told and never touched. */
#include "lib/check.h"
#include "lib/model.h"
#include "lib/sim_disk.h"

#include "db/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static nacre_options mapped_options(void) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.memory = 8 << 20;
    options.memtable_size = 64 << 10;
    options.segment_size = 64 << 10;
    options.durability = NACRE_NONE;
    options.mapped = true;
    options.seed = 7;
    return options;
}

static void where_files_cannot_be_mapped_it_is_refused(void) {
    SimDisk *disk = sim_disk_new(3);
    nacre_options options = mapped_options();
    nacre_db *db = NULL;
    options.vfs = sim_disk_vfs(disk);
    CHECK_EQ(nacre_open("db", &options, &db, NULL), NACRE_UNSUPPORTED);
    options.mapped = false;
    REQUIRE(nacre_open("db", &options, &db, NULL) == NACRE_OK); /* nothing is in the way */
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    options.mapped = true, options.mode = NACRE_READ;
    CHECK_EQ(nacre_open("db", &options, &db, NULL), NACRE_UNSUPPORTED);
    sim_disk_free(disk);
}

#if !defined(__wasi__)

static char path[512];

static nacre_db *open_mapped(const char *name) {
    nacre_options options = mapped_options();
    nacre_error error;
    nacre_db *db = NULL;
    snprintf(path, sizeof path, "%s/%s", test_dir(), name);
    if (nacre_open(path, &options, &db, &error) != NACRE_OK) check_that(CHECK_HERE, error.text, false);
    return db;
}

static nacre_status write_some(nacre_db *db, nacre_membrane *membranes[], Model *model, uint64_t *random) {
    nacre_batch *batch = NULL;
    TRY(nacre_batch_begin(db, &batch));
    for (int i = 0; i < 20; i++) {
        int m = (int)(test_random(random) % MODEL_MEMBRANES);
        uint32_t key = (uint32_t)(test_random(random) % MODEL_KEYS);
        model->version[m][key] = test_random(random) % 4 ? 1 + (uint32_t)(test_random(random) % 1000000) : 0;
        nacre_status status = model->version[m][key]
                                  ? model_put(batch, membranes, m, key, model->version[m][key])
                                  : model_delete(batch, membranes, m, key);
        if (status == NACRE_OK) continue;
        nacre_batch_abort(batch);
        return status;
    }
    return nacre_batch_commit(batch);
}

enum { VIEWS = 40 };

typedef struct MappedView {
    nacre_view *view;
    int membrane;
    uint32_t key, version;
} MappedView;

static void view_check(MappedView *held) {
    if (held->view) CHECK_EQ(model_row_version(held->membrane, held->key, nacre_view_row(held->view)), held->version);
    nacre_view_release(held->view);
    held->view = NULL;
}

static void view_take(nacre_membrane *membranes[], const Model *model, MappedView *held, uint64_t *random) {
    char room[48];
    held->membrane = (int)(test_random(random) % MODEL_MEMBRANES);
    held->key = (uint32_t)(test_random(random) % MODEL_KEYS);
    held->version = model->version[held->membrane][held->key];
    nacre_value key = model_key(held->membrane, held->key, room);
    CHECK_EQ(nacre_get_pinned(membranes[held->membrane], NULL, &key, &held->view),
             held->version ? NACRE_OK : NACRE_NOT_FOUND);
}

/* Gets, scans, snapshots and held rows while the file grows, is rewritten, packed and cut. */
static void answers_are_those_of_the_model(void) {
    static Model model, frozen;
    static MappedView held[VIEWS];
    nacre_membrane *membranes[MODEL_MEMBRANES];
    nacre_snapshot *snapshot = NULL;
    uint64_t random = test_seed();
    nacre_db *db = open_mapped("model");
    REQUIRE(db);
    model = (Model){0};
    memset(held, 0, sizeof held);
    REQUIRE(model_open(db, membranes) == NACRE_OK);
    for (int round = 0; round < 600; round++) {
        if (!CHECK_EQ(write_some(db, membranes, &model, &random), NACRE_OK)) break;
        MappedView *one = &held[test_random(&random) % VIEWS];
        view_check(one);
        view_take(membranes, &model, one, &random);
        switch (test_random(&random) % 60) {
        case 0: CHECK_EQ(nacre_compact(db, NULL), NACRE_OK); break;
        case 1: CHECK_EQ(model_differences(db, NULL, &model), 0); break;
        case 2:
            if (snapshot) CHECK_EQ(model_differences(db, snapshot, &frozen), 0);
            nacre_snapshot_release(snapshot);
            snapshot = NULL;
            CHECK_EQ(nacre_snapshot_open(db, &snapshot), NACRE_OK);
            frozen = model;
            break;
        default: break;
        }
    }
    for (int i = 0; i < VIEWS; i++) view_check(&held[i]);
    CHECK_EQ(model_differences(db, NULL, &model), 0);
    nacre_snapshot_release(snapshot);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    db = open_mapped("model");
    REQUIRE(db && model_open(db, membranes) == NACRE_OK);
    CHECK_EQ(model_differences(db, NULL, &model), 0);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

enum { ROWS = 2000 };

/* One segment or more of rows; the database is closed. */
static void fill(const char *name) {
    nacre_db *db = open_mapped(name);
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    nacre_membrane *kv = NULL;
    uint8_t bytes[100] = {7};
    REQUIRE(db && nacre_membrane_open(db, "kv", &schema, &kv) == NACRE_OK);
    for (int64_t i = 0; i < ROWS; i++) {
        nacre_value key = nacre_integer(i), value = nacre_bytes(bytes, sizeof bytes);
        CHECK_EQ(nacre_put(kv, &key, NULL, &value), NACRE_OK);
    }
    CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

/* How many rows are right, damaged (CORRUPT), or answered in another way. */
static void look_at_all(nacre_db *db, int *right, int *damaged, int *other) {
    nacre_membrane *kv = NULL;
    *right = *damaged = *other = 0;
    REQUIRE(nacre_membrane_open(db, "kv", NULL, &kv) == NACRE_OK);
    for (int64_t i = 0; i < ROWS; i++) {
        nacre_row row;
        nacre_value key = nacre_integer(i);
        nacre_status status = nacre_get(kv, NULL, &key, &row);
        const uint8_t *bytes = status == NACRE_OK ? row.fields[0].bytes.data : NULL;
        bool whole = bytes && row.fields[0].bytes.size == 100 && bytes[0] == 7;
        ++*(whole ? right : status == NACRE_CORRUPT ? damaged : other);
    }
}

static void each_block_is_checked_once(void) {
    int right, damaged, other;
    fill("once");
    nacre_db *db = open_mapped("once");
    REQUIRE(db);
    uint64_t before = db->io.blocks_read;
    look_at_all(db, &right, &damaged, &other);
    uint64_t first = db->io.blocks_read - before;
    CHECK_EQ(right, ROWS);
    CHECK(first > 20 && first < ROWS / 10);
    look_at_all(db, &right, &damaged, &other);
    CHECK_EQ(db->io.blocks_read - before, first);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

static size_t file_bytes(uint8_t **bytes) {
    FILE *file = fopen(path, "rb");
    if (!CHECK(file != NULL)) return 0;
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    rewind(file);
    *bytes = malloc(size);
    if (!*bytes || fread(*bytes, 1, size, file) != size) size = 0;
    fclose(file);
    return size;
}

static void file_becomes(const uint8_t *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    CHECK(file && fwrite(bytes, 1, size, file) == size);
    if (file) fclose(file);
}

static void damage_is_told_and_a_cut_file_is_not_touched(void) {
    uint8_t *bytes = NULL;
    int right, damaged, other, flipped = 0, cut = 0;
    fill("damage");
    size_t size = file_bytes(&bytes);
    REQUIRE(size > 4 * 65536);
    for (size_t at = 70000; at < size; at += 4099) {
        nacre_db *db = NULL;
        nacre_options options = mapped_options();
        bytes[at] ^= 16;
        file_becomes(bytes, size);
        bytes[at] ^= 16;
        if (nacre_open(path, &options, &db, NULL) != NACRE_OK) continue;
        look_at_all(db, &right, &damaged, &other);
        CHECK_EQ(other, 0);
        flipped += damaged > 0;
        (void)nacre_close(db, NULL);
    }
    for (size_t end = size - 4096; end > 70000; end -= 3 * 4096) {
        nacre_db *db = NULL;
        nacre_options options = mapped_options();
        file_becomes(bytes, end);
        nacre_status status = nacre_open(path, &options, &db, NULL);
        if (status != NACRE_OK) {
            cut += CHECK_EQ(status, NACRE_CORRUPT);
            continue;
        }
        look_at_all(db, &right, &damaged, &other);
        CHECK_EQ(other, 0);
        cut += damaged > 0;
        (void)nacre_close(db, NULL);
    }
    CHECK(flipped > 10);
    CHECK(cut > 2);
    free(bytes);
}
#endif

void mapped_test(void) {
    RUN(where_files_cannot_be_mapped_it_is_refused);
#if !defined(__wasi__)
    RUN(answers_are_those_of_the_model);
    RUN(each_block_is_checked_once);
    RUN(damage_is_told_and_a_cut_file_is_not_touched);
#endif
}
