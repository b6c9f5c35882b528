/* changes_test.c - the feed of changes (J13) and the hook of commits (E22): replayed into a
 * model it gives the database, from wherever one begins, in whatever shape the rows lie. */
#include "lib/check.h"
#include "lib/model.h"
#include "lib/sim_disk.h"

#include "db/feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const ModelPast no_past = {NULL, NULL}; /* nothing is loaded here */

enum { MEMTABLE = 64 << 10, RETAIN = 512 << 10 };

static nacre_options small(SimDisk *disk, uint64_t retain) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.vfs = disk ? sim_disk_vfs(disk) : NULL;
    options.memory = 8 << 20;
    options.memtable_size = MEMTABLE;
    options.segment_size = MEMTABLE;
    options.changes_size = retain;
    options.seed = 5;
    return options;
}

static nacre_db *open_db(const nacre_options *options, const char *path) {
    nacre_db *db = NULL;
    nacre_error error = {0};
    if (!CHECK_EQ(nacre_open(path, options, &db, &error), NACRE_OK)) printf("# %s\n", error.text);
    return db;
}

static uint64_t newest(nacre_db *db) {
    uint64_t oldest = 0, last = 0;
    CHECK_EQ(nacre_changes_bounds(db, &oldest, &last), NACRE_OK);
    return last;
}

static uint64_t oldest(nacre_db *db) {
    uint64_t first = 0, last = 0;
    CHECK_EQ(nacre_changes_bounds(db, &first, &last), NACRE_OK);
    return first;
}

static void write_batch(nacre_db *db, Model *model, uint64_t *random, unsigned most) {
    nacre_membrane *membranes[MODEL_MEMBRANES];
    nacre_batch *batch = NULL;
    REQUIRE(model_open(db, membranes) == NACRE_OK && nacre_batch_begin(db, &batch) == NACRE_OK);
    for (uint64_t i = 1 + test_random(random) % most; i > 0; i--) {
        int m = (int)(test_random(random) % MODEL_MEMBRANES);
        uint32_t key = (uint32_t)(test_random(random) % 200), version = 1 + (uint32_t)(test_random(random) % 100000);
        if (test_random(random) % 4 == 0) version = 0;
        CHECK_EQ(version ? model_put(batch, membranes, m, key, version) : model_delete(batch, membranes, m, key), NACRE_OK);
        model->version[m][key] = version;
    }
    CHECK_EQ(nacre_batch_commit(batch), NACRE_OK);
}

static bool same(const Model *a, const Model *b) { return memcmp(a, b, sizeof *a) == 0; }

/* ---- J13: the feed is the database ---- */

enum { STATES = 400 };
typedef struct Past {
    uint64_t sequence[STATES];
    Model *model;
} Past;

/* From each of some sequences that are still kept, the changes lead to the present. */
static void check_from_everywhere(nacre_db *db, const Past *past, unsigned states, uint64_t *random) {
    uint64_t floor = oldest(db);
    unsigned first = 0;
    while (first < states - 1 && past->sequence[first] < floor) first++;
    for (int i = 0; i < 4; i++) {
        unsigned from = i == 0 ? first : first + (unsigned)(test_random(random) % (states - first));
        Model model = past->model[from];
        CHECK_EQ(model_replay_since(db, past->sequence[from], no_past, &model), newest(db));
        if (!CHECK(same(&model, &past->model[states - 1]))) return;
    }
}

static void live_a_life(uint64_t seed, uint64_t retain) {
    static const char *const names[MODEL_MEMBRANES] = {"texts", "numbers", "vectors"};
    SimDisk *disk = sim_disk_new(seed);
    nacre_options options = small(disk, retain);
    Past past = {.model = calloc(STATES, sizeof(Model))};
    Model follower = {0};
    nacre_changes *live = NULL;
    nacre_db *db = open_db(&options, "db");
    uint64_t random = seed, at = 0;
    bool more;
    REQUIRE(db && past.model);
    CHECK_EQ(nacre_changes_open(db, 0, &live), NACRE_OK);
    past.sequence[0] = 0;
    for (unsigned i = 1; i < STATES; i++) {
        past.model[i] = past.model[i - 1];
        write_batch(db, &past.model[i], &random, test_random(&random) % 30 ? 12 : 400);
        unsigned what = (unsigned)(test_random(&random) % 60);
        if (what < 2) CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
        if (what == 2) CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
        if (what == 3) CHECK_EQ(nacre_step(db, 30000, &more), NACRE_OK);
        if (what == 4) {
            int m = (int)(test_random(&random) % MODEL_MEMBRANES);
            CHECK_EQ(nacre_membrane_drop(db, names[m]), NACRE_OK);
            memset(past.model[i].version[m], 0, sizeof past.model[i].version[m]);
        }
        past.sequence[i] = newest(db);
        if (what % 4 == 0) { /* the follower catches up, unless it is too slow */
            if (at < oldest(db)) {
                nacre_change change;
                nacre_status status = NACRE_OK;
                while (status == NACRE_OK) status = nacre_changes_next(live, &change);
                CHECK_EQ(status, NACRE_NOT_FOUND);
                nacre_changes_close(live);
                live = NULL;
                follower = past.model[i];
                CHECK_EQ(nacre_changes_open(db, past.sequence[i], &live), NACRE_OK);
            }
            at = model_replay(db, live, no_past, &follower);
            CHECK_EQ(at, past.sequence[i]);
            if (!CHECK(same(&follower, &past.model[i]))) break;
        }
        if (what == 5) {
            nacre_changes_close(live);
            live = NULL;
            CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
            if (!CHECK((db = open_db(&options, "db")) != NULL)) break;
            if (at < oldest(db)) at = past.sequence[i], follower = past.model[i];
            CHECK_EQ(nacre_changes_open(db, at, &live), NACRE_OK);
        }
        if (what % 8 == 1) check_from_everywhere(db, &past, i + 1, &random);
    }
    check_from_everywhere(db, &past, STATES, &random);
    CHECK_EQ(model_differences(db, NULL, &past.model[STATES - 1]), 0);
    nacre_changes_close(live);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
    free(past.model);
}

static void j13_the_feed_gives_the_database_from_wherever_one_begins(void) {
    for (uint64_t i = 0; i < 3; i++) live_a_life(test_seed() + i, RETAIN);
    live_a_life(test_seed() + 3, 1);
    live_a_life(test_seed() + 4, 64 << 20); /* all of it */
}

static void j13_without_the_option_the_logs_are_the_history(void) {
    for (uint64_t i = 0; i < 2; i++) live_a_life(test_seed() + i, 0);
}

/* ---- J13: how much is kept ---- */

static uint64_t archive_bytes(const nacre_db *db) { return run_bytes(&db->version->feed); }

static void j13_the_archive_keeps_what_is_asked_and_one_log_more(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = small(disk, RETAIN);
    nacre_db *db = open_db(&options, "db");
    Model model = {0};
    uint64_t random = test_seed(), slack = 4 * EXTENT_SIZE; /* a memtable, and extents that are not full */
    bool full = false;
    REQUIRE(db);
    for (int i = 0; i < 3000; i++) {
        write_batch(db, &model, &random, 12);
        full |= archive_bytes(db) >= RETAIN;
        CHECK(archive_bytes(db) <= RETAIN + slack);
        if (full) CHECK(archive_bytes(db) >= RETAIN);
        /* As many of the bytes that were logged are there. */
        if (i % 500 == 499) {
            nacre_changes *changes = NULL;
            nacre_change change;
            CHECK_EQ(nacre_changes_open(db, NACRE_CHANGES_OLDEST, &changes), NACRE_OK);
            uint64_t count = 0;
            while (nacre_changes_next(changes, &change) == NACRE_OK && change.kind != NACRE_CHANGE_NONE) count++;
            nacre_changes_close(changes);
            CHECK(count > 1000);
        }
    }
    CHECK(full);
    CHECK(oldest(db) > 0);
    /* Merges and compaction write none of it again. */
    uint64_t before = archive_bytes(db);
    CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    uint64_t after = archive_bytes(db);
    CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    CHECK_EQ(archive_bytes(db), after);
    CHECK(before <= RETAIN + slack && after <= RETAIN + slack);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

static void j13_a_session_without_the_option_drops_the_archive(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options with = small(disk, RETAIN), without = small(disk, 0);
    nacre_db *db = open_db(&with, "db");
    Model model = {0}, again = {0};
    uint64_t random = 1;
    REQUIRE(db);
    for (int i = 0; i < 20; i++) write_batch(db, &model, &random, 40);
    CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    CHECK(archive_bytes(db) > 0);
    CHECK_EQ(oldest(db), 0);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    REQUIRE((db = open_db(&without, "db")) != NULL);
    CHECK_EQ(model_replay_since(db, 0, no_past, &again), newest(db)); /* still there, until something is flushed */
    CHECK(same(&model, &again));
    write_batch(db, &model, &random, 40);
    CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    CHECK_EQ(archive_bytes(db), 0);
    CHECK_EQ(oldest(db), newest(db));
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

static void j13_nobody_sees_the_archive(void) {
    nacre_options options = small(NULL, RETAIN);
    nacre_db *db = open_db(&options, ":memory:");
    Model model = {0};
    uint64_t random = 1, problems = 1;
    nacre_compact_report report;
    nacre_membrane *membrane = NULL;
    REQUIRE(db);
    for (int i = 0; i < 30; i++) write_batch(db, &model, &random, 40);
    CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    CHECK_EQ(nacre_compact(db, &report), NACRE_OK);
    CHECK(archive_bytes(db) > 0);
    uint64_t rows = 0;
    for (int m = 0; m < MODEL_MEMBRANES; m++)
        for (int k = 0; k < MODEL_KEYS; k++) rows += model.version[m][k] != 0;
    CHECK_EQ(report.rows, rows);
    for (uint32_t i = 0; i < MODEL_MEMBRANES; i++) CHECK_EQ(nacre_membrane_at(db, i, &membrane), NACRE_OK);
    CHECK_EQ(nacre_membrane_at(db, MODEL_MEMBRANES, &membrane), NACRE_NOT_FOUND);
    CHECK_EQ(model_differences(db, NULL, &model), 0);
    CHECK_EQ(nacre_verify(db, true, NULL, NULL, &problems), NACRE_OK);
    CHECK_EQ(problems, 0);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

/* ---- J13: where one may begin ---- */

static void j13_since_is_within_what_is_kept(void) {
    nacre_options options = small(NULL, 0);
    nacre_db *db = open_db(&options, ":memory:");
    Model model = {0}, again = {0};
    uint64_t random = 1;
    nacre_changes *changes = NULL;
    nacre_change change;
    REQUIRE(db);
    write_batch(db, &model, &random, 10);
    CHECK_EQ(nacre_changes_open(db, newest(db) + 1, &changes), NACRE_INVALID_ARGUMENT);
    CHECK(strstr(nacre_message(db), "future"));
    CHECK_EQ(nacre_changes_open(db, NACRE_CHANGES_NOW, &changes), NACRE_OK);
    CHECK_EQ(nacre_changes_next(changes, &change), NACRE_OK);
    CHECK_EQ(change.kind, NACRE_CHANGE_NONE);
    CHECK_EQ(change.sequence, newest(db));
    CHECK_EQ(model_replay_since(db, NACRE_CHANGES_OLDEST, no_past, &again), newest(db));
    CHECK(same(&model, &again));
    CHECK_EQ(nacre_checkpoint(db), NACRE_OK); /* takes the history away; who has seen it all does not mind */
    CHECK_EQ(nacre_changes_next(changes, &change), NACRE_OK);
    CHECK_EQ(change.kind, NACRE_CHANGE_NONE);
    nacre_changes *late = NULL;
    char names_it[40];
    snprintf(names_it, sizeof names_it, "is %llu", (unsigned long long)oldest(db));
    CHECK_EQ(nacre_changes_open(db, 0, &late), NACRE_NOT_FOUND);
    CHECK(strstr(nacre_message(db), names_it));
    write_batch(db, &again, &random, 10);
    CHECK_EQ(model_replay(db, changes, no_past, &model), newest(db));
    CHECK(same(&model, &again));
    write_batch(db, &again, &random, 10);
    CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    CHECK_EQ(nacre_changes_next(changes, &change), NACRE_NOT_FOUND); /* too slow */
    CHECK_EQ(nacre_changes_next(changes, &change), NACRE_NOT_FOUND);
    CHECK_EQ(nacre_changes_open(NULL, 0, &late), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_changes_open(db, 0, NULL), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_changes_next(NULL, &change), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_changes_next(changes, NULL), NACRE_INVALID_ARGUMENT);
    nacre_changes_close(NULL);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK); /* and closes what is open */
}

/* Whoever is in the middle of a batch gets the rest of it, whatever happens to the memtable. */
static void j13_a_flush_takes_no_part_of_a_batch_away(void) {
    nacre_options options = small(NULL, 0);
    nacre_db *db = open_db(&options, ":memory:");
    Model model = {0}, again = {0};
    uint64_t random = 1;
    nacre_changes *changes = NULL;
    nacre_change change;
    REQUIRE(db);
    write_batch(db, &model, &random, 300);
    CHECK_EQ(nacre_changes_open(db, 0, &changes), NACRE_OK);
    for (int i = 0; i < 5; i++) CHECK_EQ(nacre_changes_next(changes, &change), NACRE_OK);
    for (int i = 0; i < 3; i++) CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    again = model; /* the first changes were taken; the others overwrite with the same */
    CHECK(model_replay(db, changes, no_past, &again) > 0);
    CHECK(same(&model, &again));
    nacre_changes_close(changes);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

/* ---- J13: large batches and values ---- */

static void j13_batches_and_values_of_any_size_come_whole(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = small(disk, 64 << 20);
    options.memory = 32 << 20;
    nacre_db *db = open_db(&options, "db");
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    nacre_membrane *kv = NULL;
    nacre_batch *batch = NULL;
    size_t size = 3 << 20;
    uint8_t *bytes = malloc(size);
    REQUIRE(db && bytes && nacre_membrane_open(db, "kv", &schema, &kv) == NACRE_OK);
    for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)(i * 31 >> 3);
    uint64_t since = newest(db);
    CHECK_EQ(nacre_batch_begin(db, &batch), NACRE_OK);
    for (int64_t i = 0; i < 4000; i++) { /* 1.6 MB in pieces, with one in the middle that has its own */
        nacre_value key = nacre_integer(i), value = nacre_bytes(bytes, i == 2000 ? size : (size_t)(i % 800));
        CHECK_EQ(nacre_batch_put(batch, kv, &key, NULL, &value), NACRE_OK);
    }
    CHECK_EQ(nacre_batch_commit(batch), NACRE_OK);
    for (int archived = 0; archived < 3; archived++) {
        nacre_changes *changes = NULL;
        nacre_change change;
        int64_t seen = 0;
        CHECK_EQ(nacre_changes_open(db, since, &changes), NACRE_OK);
        while (nacre_changes_next(changes, &change) == NACRE_OK && change.kind == NACRE_CHANGE_PUT) {
            CHECK_EQ(change.row.key[0].integer, seen);
            CHECK_EQ(change.index, seen);
            CHECK_EQ(change.sequence, since + 1);
            CHECK_EQ(change.row.fields[0].bytes.size, seen == 2000 ? size : (size_t)(seen % 800));
            CHECK(memcmp(change.row.fields[0].bytes.data, bytes, change.row.fields[0].bytes.size) == 0);
            seen++;
        }
        CHECK_EQ(change.kind, NACRE_CHANGE_NONE);
        CHECK_EQ(seen, 4000);
        nacre_changes_close(changes);
        if (archived == 0) CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
        if (archived == 1) {
            CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
            options.mode = NACRE_READ; /* one that only reads sees the same */
            REQUIRE((db = open_db(&options, "db")) != NULL);
        }
    }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
    free(bytes);
}

/* ---- J13: membranes ---- */

static void expect(nacre_changes *changes, nacre_change_kind kind, const char *name, const char *from) {
    nacre_change change;
    if (!CHECK_EQ(nacre_changes_next(changes, &change), NACRE_OK)) return;
    CHECK_EQ(change.kind, kind);
    if (name) CHECK_STR(change.name, name);
    if (from) CHECK_STR(change.from, from);
    if (kind == NACRE_CHANGE_CREATE || kind == NACRE_CHANGE_RENAME) CHECK(change.membrane != NULL);
    if (kind == NACRE_CHANGE_DROP) CHECK(change.membrane == NULL);
    if (kind == NACRE_CHANGE_DELETE) CHECK(change.row.key_count == 1 && change.row.field_count == 0);
}

static void j13_membranes_made_renamed_and_dropped_are_changes(void) {
    nacre_options options = small(NULL, RETAIN);
    nacre_db *db = open_db(&options, ":memory:");
    nacre_schema schema = nacre_schema_kv(NACRE_TEXT, NACRE_TEXT);
    nacre_membrane *a = NULL, *b = NULL;
    nacre_value key = nacre_text("k"), value = nacre_text("v");
    nacre_changes *live = NULL, *late = NULL;
    REQUIRE(db);
    CHECK_EQ(nacre_changes_open(db, 0, &live), NACRE_OK);
    CHECK_EQ(nacre_membrane_open(db, "a", &schema, &a), NACRE_OK);
    expect(live, NACRE_CHANGE_CREATE, "a", NULL);
    CHECK_EQ(nacre_put(a, &key, NULL, &value), NACRE_OK);
    expect(live, NACRE_CHANGE_PUT, "a", NULL);
    CHECK_EQ(nacre_membrane_rename(db, "a", "b"), NACRE_OK);
    expect(live, NACRE_CHANGE_RENAME, "b", "a");
    CHECK_EQ(nacre_delete(a, &key), NACRE_OK);
    expect(live, NACRE_CHANGE_DELETE, "b", NULL);
    CHECK_EQ(nacre_put(a, &key, NULL, &value), NACRE_OK);
    expect(live, NACRE_CHANGE_PUT, "b", NULL);
    for (int archived = 0; archived < 2; archived++) { /* rows under the present name */
        CHECK_EQ(nacre_changes_open(db, 0, &late), NACRE_OK);
        expect(late, NACRE_CHANGE_CREATE, "a", NULL);
        expect(late, NACRE_CHANGE_PUT, "b", NULL);
        expect(late, NACRE_CHANGE_RENAME, "b", "a");
        expect(late, NACRE_CHANGE_DELETE, "b", NULL);
        expect(late, NACRE_CHANGE_PUT, "b", NULL);
        expect(late, NACRE_CHANGE_NONE, NULL, NULL);
        nacre_changes_close(late);
        CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    }
    CHECK_EQ(nacre_membrane_open(db, "c", &schema, &b), NACRE_OK);
    CHECK_EQ(nacre_put(b, &key, NULL, &value), NACRE_OK);
    CHECK_EQ(nacre_membrane_drop(db, "b"), NACRE_OK);
    expect(live, NACRE_CHANGE_CREATE, "c", NULL);
    expect(live, NACRE_CHANGE_PUT, "c", NULL);
    expect(live, NACRE_CHANGE_DROP, "b", NULL);
    expect(live, NACRE_CHANGE_NONE, NULL, NULL);
    CHECK_EQ(nacre_changes_open(db, 0, &late), NACRE_OK); /* rows of what is gone are left out */
    nacre_change change;
    CHECK_EQ(nacre_changes_next(late, &change), NACRE_OK);
    CHECK(change.kind == NACRE_CHANGE_CREATE && change.membrane == NULL && strcmp(change.name, "a") == 0);
    CHECK_EQ(nacre_changes_next(late, &change), NACRE_OK);
    CHECK(change.kind == NACRE_CHANGE_RENAME && strcmp(change.name, "b") == 0);
    expect(late, NACRE_CHANGE_CREATE, "c", NULL);
    expect(late, NACRE_CHANGE_PUT, "c", NULL);
    expect(late, NACRE_CHANGE_DROP, "b", NULL);
    expect(late, NACRE_CHANGE_NONE, NULL, NULL);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

typedef struct Told {
    nacre_db *db;
    nacre_membrane *kv;
    uint64_t calls, sequence, puts, deletes;
    nacre_status status[8];
} Told;

static void note_commit(void *self, const nacre_commit_info *commit) {
    Told *told = self;
    CHECK(commit->sequence > told->sequence);
    told->calls++;
    told->sequence = commit->sequence;
    told->puts += commit->puts;
    told->deletes += commit->deletes;
}

/* ---- J13: rows that come by another way ---- */

static void load_rows(nacre_membrane *kv, int64_t from, int64_t count) {
    nacre_bulk *bulk = NULL;
    uint64_t rows = 0;
    REQUIRE(nacre_bulk_begin(kv, &bulk) == NACRE_OK);
    for (int64_t i = 0; i < count; i++) {
        nacre_value key = nacre_integer(from + i), value = nacre_text("loaded");
        CHECK_EQ(nacre_bulk_put(bulk, &key, NULL, &value), NACRE_OK);
    }
    CHECK_EQ(nacre_bulk_commit(bulk, &rows), NACRE_OK);
    CHECK_EQ(rows, count);
}

static void j13_a_bulk_load_is_one_change(void) {
    for (int archive = 0; archive < 2; archive++) {
        SimDisk *disk = sim_disk_new(1);
        nacre_options options = small(disk, archive ? RETAIN : 0);
        nacre_db *db = open_db(&options, "db");
        nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_TEXT);
        nacre_membrane *kv = NULL;
        nacre_changes *live = NULL, *late = NULL;
        nacre_value key = nacre_integer(-1), value = nacre_text("put");
        Told told = {0};
        REQUIRE(db && nacre_membrane_open(db, "kv", &schema, &kv) == NACRE_OK);
        CHECK_EQ(nacre_on_commit(db, note_commit, &told), NACRE_OK);
        CHECK_EQ(nacre_changes_open(db, NACRE_CHANGES_NOW, &live), NACRE_OK);
        CHECK_EQ(nacre_put(kv, &key, NULL, &value), NACRE_OK);
        expect(live, NACRE_CHANGE_PUT, "kv", NULL);
        uint64_t before = newest(db);
        load_rows(kv, 0, 1000);
        CHECK(told.calls == 2 && told.puts == 1001 && told.sequence == before + 1);
        load_rows(kv, 2000, 10);
        CHECK_EQ(nacre_put(kv, &key, NULL, &value), NACRE_OK);
        CHECK_EQ(newest(db), before + 3);
        for (int i = 0; i < 2; i++) expect(live, NACRE_CHANGE_LOAD, "kv", NULL);
        expect(live, NACRE_CHANGE_PUT, "kv", NULL);
        expect(live, NACRE_CHANGE_NONE, NULL, NULL);
        for (int i = 0; i < 2; i++) { /* who was up to date before has lost nothing, also without an archive */
            CHECK_EQ(nacre_changes_open(db, before, &late), NACRE_OK);
            for (int k = 0; k < 2; k++) expect(late, NACRE_CHANGE_LOAD, "kv", NULL);
            expect(late, NACRE_CHANGE_PUT, "kv", NULL);
            expect(late, NACRE_CHANGE_NONE, NULL, NULL);
            nacre_changes_close(late);
            if (!archive) break;
            nacre_changes_close(live); /* and with one it is there for ever */
            live = NULL;
            CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
            CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
            REQUIRE((db = open_db(&options, "db")) != NULL);
            uint64_t problems = 1;
            CHECK_EQ(nacre_verify(db, true, NULL, NULL, &problems), NACRE_OK);
            CHECK_EQ(problems, 0);
        }
        if (!archive) {
            CHECK_EQ(nacre_changes_open(db, before - 1, &late), NACRE_NOT_FOUND);
            for (int i = 0; i < 300; i++) load_rows(kv, 10000 + 10 * i, 1);
            CHECK(oldest(db) > before + 3); /* only so many are remembered */
            CHECK_EQ(nacre_changes_open(db, oldest(db), &late), NACRE_OK);
            for (uint64_t i = oldest(db); i < newest(db); i++) expect(late, NACRE_CHANGE_LOAD, "kv", NULL);
            expect(late, NACRE_CHANGE_NONE, NULL, NULL);
        }
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        sim_disk_free(disk);
    }
}

static void j13_a_transaction_is_one_batch_or_a_load(void) {
    nacre_options options = small(NULL, 64 << 20);
    nacre_db *db = open_db(&options, ":memory:");
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_TEXT);
    nacre_membrane *a = NULL, *b = NULL;
    nacre_changes *live = NULL;
    nacre_transaction *tx = NULL;
    nacre_value value = nacre_text("a value that makes a transaction of many of them large");
    REQUIRE(db && nacre_membrane_open(db, "a", &schema, &a) == NACRE_OK &&
            nacre_membrane_open(db, "b", &schema, &b) == NACRE_OK);
    CHECK_EQ(nacre_changes_open(db, NACRE_CHANGES_NOW, &live), NACRE_OK);
    for (int64_t large = 0; large < 2; large++) {
        CHECK_EQ(nacre_begin(db, &tx), NACRE_OK);
        for (int64_t i = 0; i < (large ? 20000 : 3); i++) {
            nacre_value key = nacre_integer(i);
            CHECK_EQ(nacre_transaction_put(tx, i % 2 ? b : a, &key, NULL, &value), NACRE_OK);
        }
        expect(live, NACRE_CHANGE_NONE, NULL, NULL); /* not committed */
        CHECK_EQ(nacre_commit(tx), NACRE_OK);
        uint64_t sequence = newest(db), puts = 0, loads = 0;
        nacre_change change;
        while (nacre_changes_next(live, &change) == NACRE_OK && change.kind != NACRE_CHANGE_NONE) {
            CHECK_EQ(change.sequence, sequence); /* one commit, and it is the last */
            puts += change.kind == NACRE_CHANGE_PUT;
            loads += change.kind == NACRE_CHANGE_LOAD;
        }
        CHECK_EQ(puts, large ? 0 : 3);
        CHECK_EQ(loads, large ? 2 : 0);
        expect(live, NACRE_CHANGE_NONE, NULL, NULL);
        CHECK_EQ(nacre_begin(db, &tx), NACRE_OK);
        nacre_value key = nacre_integer(1);
        CHECK_EQ(nacre_transaction_put(tx, a, &key, NULL, &value), NACRE_OK);
        nacre_rollback(tx);
        expect(live, NACRE_CHANGE_NONE, NULL, NULL);
    }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

/* ---- J13: in another process ---- */

static void j13_a_reader_beside_the_writer_follows_by_refreshing(void) {
    for (int archive = 0; archive < 2; archive++) {
        SimDisk *disk = sim_disk_new(1);
        nacre_options writing = small(disk, archive ? RETAIN : 0), reading = writing;
        reading.mode = NACRE_READ;
        nacre_db *writer = open_db(&writing, "db"), *reader = NULL;
        nacre_changes *live = NULL;
        Model model = {0}, mirror = {0};
        uint64_t random = test_seed();
        REQUIRE(writer);
        write_batch(writer, &model, &random, 10);
        REQUIRE((reader = open_db(&reading, "db")) != NULL);
        CHECK_EQ(nacre_changes_open(reader, 0, &live), NACRE_OK);
        CHECK_EQ(model_replay(reader, live, no_past, &mirror), newest(writer));
        CHECK(same(&model, &mirror));
        for (int i = 0; i < 40; i++) {
            write_batch(writer, &model, &random, 20);
            CHECK_EQ(model_replay(reader, live, no_past, &mirror), newest(reader)); /* nothing new without it */
            if (archive && i % 9 == 8) CHECK_EQ(nacre_checkpoint(writer), NACRE_OK);
            CHECK_EQ(nacre_refresh(reader), NACRE_OK);
            CHECK_EQ(model_replay(reader, live, no_past, &mirror), newest(writer));
            if (!CHECK(same(&model, &mirror))) break;
        }
        CHECK_EQ(nacre_close(reader, NULL), NACRE_OK);
        CHECK_EQ(nacre_close(writer, NULL), NACRE_OK);
        sim_disk_free(disk);
    }
}

/* ---- J13: only what is acknowledged ---- */

static void j13_what_is_not_synced_yet_is_not_shown(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = small(disk, 0);
    nacre_db *db = open_db(&options, "db");
    nacre_schema schema = nacre_schema_kv(NACRE_BYTES, NACRE_BYTES);
    nacre_membrane *kv = NULL;
    nacre_changes *changes = NULL;
    REQUIRE(db && nacre_membrane_open(db, "kv", &schema, &kv) == NACRE_OK);
    CHECK_EQ(nacre_changes_open(db, NACRE_CHANGES_NOW, &changes), NACRE_OK);
    for (int i = 0; i < 3; i++) {
        uint8_t *at = NULL;
        size_t record = (size_t)record_size(4 + 3, 0), size = BATCH_HEAD + record;
        db_call(db);
        REQUIRE(db_reserve(db, size, 1, &at) == NACRE_OK);
        memset(at, 0, size);
        put_u32(at, (uint32_t)size);
        put_u32(at + 4, 1);
        put_u32(at + BATCH_HEAD, 7);
        put_u32_be(at + BATCH_HEAD + RECORD_HEAD, membrane_id(kv));
        memcpy(at + BATCH_HEAD + RECORD_HEAD + 4, (uint8_t[3]){'k', 0, 1}, 3);
        nacre_status status = db_commit(db, size, false);
        if (!CHECK_EQ(status, NACRE_OK)) printf("# %s\n", nacre_message(db));
        expect(changes, NACRE_CHANGE_NONE, NULL, NULL);
    }
    CHECK_EQ(db_sync(db), NACRE_OK);
    for (int i = 0; i < 3; i++) expect(changes, NACRE_CHANGE_PUT, "kv", NULL);
    expect(changes, NACRE_CHANGE_NONE, NULL, NULL);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* ---- hostile archives ---- */

static void j13_a_row_of_the_archive_that_lies_is_refused(void) {
    nacre_options options = small(NULL, 0);
    nacre_db *db = open_db(&options, ":memory:");
    REQUIRE(db);
    uint8_t record[64] = {0};
    put_u32(record, 6);
    put_u32(record + 4, 3); /* 16 + 6 + 3: 28 bytes */
    const struct {
        uint64_t lsn;
        uint32_t index;
        size_t size;
        uint32_t word; /* instead of the record's first */
        nacre_status status;
    } rows[] = {
        {10, 0, 28, 6, NACRE_OK},
        {9, 3, 28, 6, NACRE_OK},             /* goes on */
        {9, 3, 56, 6, NACRE_CORRUPT},        /* the second record is zeros: no key */
        {10, 1, 28, 6, NACRE_CORRUPT},       /* its beginning is missing */
        {9, 2, 28, 6, NACRE_CORRUPT},        /* of the batch before, again */
        {8, 0, 28, 6, NACRE_CORRUPT},        /* backwards */
        {10, 0, 0, 6, NACRE_CORRUPT},        /* nothing */
        {10, 0, 27, 6, NACRE_CORRUPT},       /* cut short */
        {10, 0, 15, 6, NACRE_CORRUPT},
        {10, 0, 28, 3, NACRE_CORRUPT},       /* no membrane */
        {10, 0, 28, 0xffffff, NACRE_CORRUPT},
        {10, 0, 28, 6 | 0x80000000u, NACRE_CORRUPT}, /* of a later version */
        {10, 0, 28, 6 | 0x01000000u, NACRE_CORRUPT}, /* a deletion with a value */
        {10, 0, 28, 6 | 0x02000000u, NACRE_CORRUPT}, /* a vector in 3 bytes */
        {9, FEED_MARK, 0, 6, NACRE_OK},
        {8, FEED_MARK, 0, 6, NACRE_CORRUPT},
        {10, FEED_MARK, 4, 6, NACRE_CORRUPT},
        {10, FEED_LOAD, 8, 6, NACRE_OK},
        {10, FEED_LOAD, 0, 6, NACRE_CORRUPT},
        {10, FEED_LOAD, 7, 6, NACRE_CORRUPT},
        {9, FEED_LOAD, 8, 6, NACRE_CORRUPT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t key[FEED_KEY];
        FeedPlace place = {9, 3};
        put_u32(record, rows[i].word);
        db_call(db);
        if (!CHECK_EQ(feed_row(db, feed_key(rows[i].lsn, rows[i].index, key), span_of(record, rows[i].size), &place),
                      rows[i].status))
            printf("# row %zu: %s\n", i, nacre_message(db));
    }
    db_call(db);
    CHECK_EQ(feed_row(db, span_of(record, 16), span_of(record, 0), &(FeedPlace){0, 0}), NACRE_CORRUPT);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

/* ---- E22 ---- */

static void e22_the_hook_is_told_of_each_commit_and_of_nothing_else(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = small(disk, 0);
    nacre_db *db = open_db(&options, "db");
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_TEXT);
    nacre_membrane *kv = NULL;
    nacre_batch *batch = NULL;
    Told told = {0};
    REQUIRE(db && nacre_membrane_open(db, "kv", &schema, &kv) == NACRE_OK);
    CHECK_EQ(nacre_on_commit(NULL, note_commit, &told), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_on_commit(db, note_commit, &told), NACRE_OK);
    nacre_value key = nacre_integer(1), value = nacre_text("v"), wrong = nacre_integer(2);
    CHECK_EQ(nacre_put(kv, &key, NULL, &value), NACRE_OK);
    CHECK(told.calls == 1 && told.puts == 1 && told.deletes == 0 && told.sequence == newest(db));
    CHECK_EQ(nacre_put(kv, &key, NULL, &wrong), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_batch_begin(db, &batch), NACRE_OK);
    for (int i = 0; i < 3; i++) CHECK_EQ(nacre_batch_put(batch, kv, &key, NULL, &value), NACRE_OK);
    nacre_batch_abort(batch);
    CHECK_EQ(told.calls, 1); /* refused and rolled back */
    CHECK_EQ(nacre_batch_begin(db, &batch), NACRE_OK);
    for (int i = 0; i < 3; i++) CHECK_EQ(nacre_batch_put(batch, kv, &key, NULL, &value), NACRE_OK);
    CHECK_EQ(nacre_batch_delete(batch, kv, &key), NACRE_OK);
    CHECK_EQ(nacre_batch_commit(batch), NACRE_OK);
    CHECK(told.calls == 2 && told.puts == 4 && told.deletes == 1 && told.sequence == newest(db));
    CHECK_EQ(nacre_delete(kv, &key), NACRE_NOT_FOUND);
    CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    CHECK_EQ(told.calls, 2); /* nothing was written */
    sim_disk_fault(disk, (SimFault){.kinds = SIM_SYNC, .nth = 1, .status = NACRE_IO});
    CHECK_EQ(nacre_put(kv, &key, NULL, &value), NACRE_IO);
    CHECK_EQ(nacre_put(kv, &key, NULL, &value), NACRE_IO);
    CHECK_EQ(told.calls, 2); /* not acknowledged */
    (void)nacre_close(db, NULL);
    CHECK_EQ(told.calls, 2);
    sim_disk_free(disk);
}

static void call_back(void *self, const nacre_commit_info *commit) {
    Told *told = self;
    nacre_value key = nacre_integer(7), value = nacre_text("v");
    nacre_row row;
    uint64_t count = 0;
    nacre_snapshot *snapshot = NULL;
    (void)commit;
    told->calls++;
    told->status[0] = nacre_put(told->kv, &key, NULL, &value);
    told->status[1] = nacre_get(told->kv, NULL, &key, &row);
    told->status[2] = nacre_count(told->kv, NULL, NULL, &count);
    told->status[3] = nacre_checkpoint(told->db);
    told->status[4] = nacre_snapshot_open(told->db, &snapshot);
    told->status[5] = nacre_on_commit(told->db, NULL, NULL);
    told->status[6] = nacre_membrane_drop(told->db, "kv");
    told->status[7] = nacre_close(told->db, NULL);
}

static void e22_the_hook_may_not_use_the_database(void) {
    nacre_options options = small(NULL, 0);
    nacre_db *db = open_db(&options, ":memory:");
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_TEXT);
    Told told = {.db = db};
    REQUIRE(db && nacre_membrane_open(db, "kv", &schema, &told.kv) == NACRE_OK);
    CHECK_EQ(nacre_on_commit(db, call_back, &told), NACRE_OK);
    nacre_value key = nacre_integer(1), value = nacre_text("v");
    CHECK_EQ(nacre_put(told.kv, &key, NULL, &value), NACRE_OK);
    CHECK_STR(nacre_message(db), ""); /* the put's own verdict stands */
    CHECK_EQ(told.calls, 1);
    for (int i = 0; i < 8; i++) CHECK_EQ(told.status[i], NACRE_MISUSE);
    nacre_row row;
    CHECK_EQ(nacre_get(told.kv, NULL, &key, &row), NACRE_OK);
    CHECK_EQ(nacre_on_commit(db, NULL, NULL), NACRE_OK);
    CHECK_EQ(nacre_put(told.kv, &key, NULL, &value), NACRE_OK);
    CHECK_EQ(told.calls, 1);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

void changes_test(void) {
    RUN(j13_the_feed_gives_the_database_from_wherever_one_begins);
    RUN(j13_without_the_option_the_logs_are_the_history);
    RUN(j13_the_archive_keeps_what_is_asked_and_one_log_more);
    RUN(j13_a_session_without_the_option_drops_the_archive);
    RUN(j13_nobody_sees_the_archive);
    RUN(j13_since_is_within_what_is_kept);
    RUN(j13_a_flush_takes_no_part_of_a_batch_away);
    RUN(j13_batches_and_values_of_any_size_come_whole);
    RUN(j13_membranes_made_renamed_and_dropped_are_changes);
    RUN(j13_a_bulk_load_is_one_change);
    RUN(j13_a_transaction_is_one_batch_or_a_load);
    RUN(j13_a_reader_beside_the_writer_follows_by_refreshing);
    RUN(j13_what_is_not_synced_yet_is_not_shown);
    RUN(j13_a_row_of_the_archive_that_lies_is_refused);
    RUN(e22_the_hook_is_told_of_each_commit_and_of_nothing_else);
    RUN(e22_the_hook_may_not_use_the_database);
}
