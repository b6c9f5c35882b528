/* pinned_test.c - rows that stay readable, whatever happens to the database (C17). Under ASan
 * a byte that went away is found when it is read. */
#include "lib/check.h"
#include "lib/model.h"
#include "lib/sim_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static nacre_options pinned_options(SimDisk *disk) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.vfs = sim_disk_vfs(disk);
    options.memory = 8 << 20;
    options.memtable_size = 64 << 10;
    options.segment_size = 64 << 10;
    options.seed = 7;
    return options;
}

static nacre_db *pinned_db(const nacre_options *options) {
    nacre_db *db = NULL;
    nacre_error error;
    if (nacre_open("db", options, &db, &error) != NACRE_OK) check_that(CHECK_HERE, error.text, false);
    return db;
}

static uint64_t views_of(nacre_db *db) {
    const char *json = NULL;
    if (!CHECK_EQ(nacre_stats_json(db, &json), NACRE_OK)) return 0;
    const char *at = strstr(json, "\"views\":");
    return CHECK(at != NULL) ? strtoull(at + 8, NULL, 10) : 0;
}

/* A view, and what its row was when it was taken. */
typedef struct HeldView {
    nacre_view *view;
    int membrane;
    uint32_t key, version;
} HeldView;

enum { HELD = 300 };

static void held_release(HeldView *held) {
    if (!held->view) return;
    CHECK_EQ(model_row_version(held->membrane, held->key, nacre_view_row(held->view)), held->version);
    nacre_view_release(held->view);
    held->view = NULL;
}

static void held_take(nacre_membrane *membranes[], HeldView *held, const Model *model, const nacre_snapshot *snapshot,
                      uint64_t *random) {
    char room[48];
    held->membrane = (int)(test_random(random) % MODEL_MEMBRANES);
    held->key = (uint32_t)(test_random(random) % MODEL_KEYS);
    held->version = model->version[held->membrane][held->key];
    nacre_value key = model_key(held->membrane, held->key, room);
    CHECK_EQ(nacre_get_pinned(membranes[held->membrane], snapshot, &key, &held->view),
             held->version ? NACRE_OK : NACRE_NOT_FOUND);
}

static nacre_status held_write(nacre_db *db, nacre_membrane *membranes[], Model *model, uint64_t *random) {
    nacre_batch *batch = NULL;
    nacre_status status = nacre_batch_begin(db, &batch);
    for (uint64_t i = 1 + test_random(random) % 20; i > 0 && status == NACRE_OK; i--) {
        int m = (int)(test_random(random) % MODEL_MEMBRANES);
        uint32_t key = (uint32_t)(test_random(random) % MODEL_KEYS);
        uint32_t version = test_random(random) % 5 ? 1 + (uint32_t)(test_random(random) % 1000000) : 0;
        status = version ? model_put(batch, membranes, m, key, version) : model_delete(batch, membranes, m, key);
        model->version[m][key] = version;
    }
    if (status == NACRE_OK) return nacre_batch_commit(batch);
    nacre_batch_abort(batch);
    return status;
}

/* Random work with hundreds of views held: each shows to its end what it showed at first. */
static void c17_views_stay_through_everything(void) {
    SimDisk *disk = sim_disk_new(3);
    nacre_options options = pinned_options(disk);
    nacre_db *db = pinned_db(&options);
    REQUIRE(db);
    static HeldView held[HELD];
    static Model model, frozen;
    nacre_membrane *membranes[MODEL_MEMBRANES];
    nacre_snapshot *snapshot = NULL;
    uint64_t random = test_seed();
    memset(held, 0, sizeof held);
    model = (Model){0};
    REQUIRE(model_open(db, membranes) == NACRE_OK);
    for (int round = 0; round < 4000; round++) {
        HeldView *one = &held[test_random(&random) % HELD];
        held_release(one);
        bool past = snapshot && test_random(&random) % 4 == 0;
        held_take(membranes, one, past ? &frozen : &model, past ? snapshot : NULL, &random);
        if (!CHECK_EQ(held_write(db, membranes, &model, &random), NACRE_OK)) break;
        switch (test_random(&random) % 400) {
        case 0: CHECK_EQ(nacre_checkpoint(db), NACRE_OK); break;
        case 1: CHECK_EQ(nacre_compact(db, NULL), NACRE_OK); break;
        case 2:
            nacre_snapshot_release(snapshot);
            snapshot = NULL;
            CHECK_EQ(nacre_snapshot_open(db, &snapshot), NACRE_OK);
            frozen = model;
            break;
        case 3: {
            static const char *const names[MODEL_MEMBRANES] = {"texts", "numbers", "vectors"};
            int m = (int)(test_random(&random) % MODEL_MEMBRANES);
            for (int i = 0; i < HELD; i++) /* a name in its handle goes with the membrane: look now */
                if (held[i].view && held[i].membrane == m && i % 2) held_release(&held[i]);
            nacre_snapshot_release(snapshot);
            snapshot = NULL;
            CHECK_EQ(nacre_membrane_drop(db, names[m]), NACRE_OK);
            memset(model.version[m], 0, sizeof model.version[m]);
            REQUIRE(model_open(db, membranes) == NACRE_OK);
            break;
        }
        default: break;
        }
    }
    uint64_t count = 0;
    for (int i = 0; i < HELD; i++) count += held[i].view != NULL;
    CHECK_EQ(views_of(db), count);
    CHECK(count > HELD / 4);
    for (int i = 0; i < HELD; i += 2) held_release(&held[i]);
    CHECK_EQ(model_differences(db, NULL, &model), 0);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK); /* releases the others */
    sim_disk_free(disk);
}

/* Nothing is copied: two views of a row in a memtable, or in a block, show the same bytes. */
static void c17_rows_in_memory_are_not_copied(void) {
    SimDisk *disk = sim_disk_new(3);
    nacre_options options = pinned_options(disk);
    nacre_db *db = pinned_db(&options);
    REQUIRE(db);
    nacre_membrane *membranes[MODEL_MEMBRANES];
    REQUIRE(model_open(db, membranes) == NACRE_OK);
    nacre_value key = nacre_text("one"), value = nacre_bytes("some bytes of it", 16);
    CHECK_EQ(nacre_put(membranes[0], &key, NULL, &value), NACRE_OK);
    for (int place = 0; place < 2; place++) {
        nacre_view *a = NULL, *b = NULL;
        CHECK_EQ(nacre_get_pinned(membranes[0], NULL, &key, &a), NACRE_OK);
        CHECK_EQ(nacre_get_pinned(membranes[0], NULL, &key, &b), NACRE_OK);
        REQUIRE(a && b);
        CHECK(nacre_view_row(a)->fields[0].bytes.data == nacre_view_row(b)->fields[0].bytes.data);
        CHECK_BYTES(nacre_view_row(a)->fields[0].bytes.data, 16, "some bytes of it", 16);
        CHECK_EQ(views_of(db), 2);
        nacre_view_release(a);
        nacre_view_release(b);
        CHECK_EQ(views_of(db), 0);
        CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* Of a transaction's own rows, too, after its end. */
static void c17_views_of_a_transaction_outlive_it(void) {
    for (int commit = 0; commit < 2; commit++) {
        SimDisk *disk = sim_disk_new(3);
        nacre_options options = pinned_options(disk);
        nacre_db *db = pinned_db(&options);
        REQUIRE(db);
        nacre_membrane *membranes[MODEL_MEMBRANES];
        nacre_transaction *tx = NULL;
        nacre_view *view = NULL;
        REQUIRE(model_open(db, membranes) == NACRE_OK);
        nacre_value key = nacre_text("one"), value = nacre_bytes("own", 3);
        CHECK_EQ(nacre_begin(db, &tx), NACRE_OK);
        CHECK_EQ(nacre_transaction_put(tx, membranes[0], &key, NULL, &value), NACRE_OK);
        CHECK_EQ(nacre_get_pinned(membranes[0], nacre_transaction_snapshot(tx), &key, &view), NACRE_OK);
        if (commit) CHECK_EQ(nacre_commit(tx), NACRE_OK);
        else nacre_rollback(tx);
        CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
        REQUIRE(view);
        CHECK_BYTES(nacre_view_row(view)->fields[0].bytes.data, 3, "own", 3);
        nacre_view_release(view);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        sim_disk_free(disk);
    }
}

void pinned_test(void) {
    RUN(c17_views_stay_through_everything);
    RUN(c17_rows_in_memory_are_not_copied);
    RUN(c17_views_of_a_transaction_outlive_it);
}
