/* cursor_test.c - cursors and ranges (C12) against a sorted list: every bound, both ways,
 * seeking and turning anywhere, over memtables, segments and snapshots, while writes go on. */
#include "lib/check.h"
#include "lib/sim_disk.h"

#include "nacre.h"

#include <stdlib.h>
#include <string.h>

/* ---- every key of 0 to 4 bytes out of four, in order: prefixes of each other, zeros, FFs ---- */

enum { KEYS = 1 + 4 + 16 + 64 + 256, KEY_MAX = 4 };

typedef struct Key {
    uint8_t bytes[KEY_MAX];
    size_t size;
} Key;
static Key keys[KEYS];

static int key_compare(const void *a, const void *b) {
    const Key *x = a, *y = b;
    int order = memcmp(x->bytes, y->bytes, x->size < y->size ? x->size : y->size);
    return order ? order : (int)x->size - (int)y->size;
}

static void keys_make(void) {
    static const uint8_t letters[4] = {0x00, 0x01, 'a', 0xff};
    size_t count = 0;
    keys[count++].size = 0;
    for (size_t from = 0, size = 1; size <= KEY_MAX; size++) {
        size_t to = count;
        for (; from < to; from++)
            for (int l = 0; l < 4; l++) {
                Key key = keys[from];
                key.bytes[key.size++] = letters[l];
                keys[count++] = key;
            }
    }
    qsort(keys, KEYS, sizeof *keys, key_compare);
}

static nacre_value key_value(const Key *key) { return nacre_bytes(key->bytes, key->size); }

/* ---- the model: a version for each key, 0 when it is absent ---- */

typedef struct Model {
    uint32_t version[KEYS];
} Model;

static nacre_db *open_on(SimDisk *disk) {
    nacre_options options = NACRE_OPTIONS_INIT;
    nacre_db *db = NULL;
    options.vfs = sim_disk_vfs(disk);
    options.memory = 8 << 20;
    options.memtable_size = 64 << 10;
    options.segment_size = 64 << 10;
    options.durability = NACRE_NONE;
    options.seed = 3;
    CHECK_EQ(nacre_open("db", &options, &db, NULL), NACRE_OK);
    return db;
}

static nacre_membrane *open_kv(nacre_db *db) {
    nacre_schema schema = nacre_schema_kv(NACRE_BYTES, NACRE_BYTES);
    nacre_membrane *membrane = NULL, *around = NULL;
    CHECK_EQ(nacre_membrane_open(db, "before", &schema, &around), NACRE_OK); /* ids below and above */
    nacre_value key = nacre_bytes("\xff\xff", 2), value = nacre_bytes("x", 1);
    CHECK_EQ(nacre_put(around, &key, NULL, &value), NACRE_OK);
    CHECK_EQ(nacre_membrane_open(db, "keys", &schema, &membrane), NACRE_OK);
    CHECK_EQ(nacre_membrane_open(db, "after", &schema, &around), NACRE_OK);
    key = nacre_bytes("", 0);
    CHECK_EQ(nacre_put(around, &key, NULL, &value), NACRE_OK);
    return membrane;
}

/* One put or delete. Some values are long, so that memtables fill up. */
static void change(nacre_membrane *membrane, Model *model, uint64_t *random) {
    static uint8_t bytes[900];
    uint32_t i = (uint32_t)(test_random(random) % KEYS), version = 1 + (uint32_t)(test_random(random) % 1000000);
    nacre_value key = key_value(&keys[i]);
    if (test_random(random) % 3 == 0) {
        CHECK_EQ(nacre_delete(membrane, &key), model->version[i] ? NACRE_OK : NACRE_NOT_FOUND);
        model->version[i] = 0;
        return;
    }
    memcpy(bytes, &version, 4);
    nacre_value value = nacre_bytes(bytes, version % 9 == 0 ? sizeof bytes : 4 + version % 50);
    CHECK_EQ(nacre_put(membrane, &key, NULL, &value), NACRE_OK);
    model->version[i] = version;
}

/* ---- ranges ---- */

typedef struct Bounds {
    int gt, gte, lt, lte, prefix; /* index of a key; -1: none */
    bool reverse;
} Bounds;

static Bounds random_bounds(uint64_t *random) {
    Bounds b = {-1, -1, -1, -1, -1, test_random(random) % 2};
    int *all[5] = {&b.gt, &b.gte, &b.lt, &b.lte, &b.prefix};
    for (int i = 0; i < 5; i++)
        if (test_random(random) % 4 == 0) *all[i] = (int)(test_random(random) % KEYS);
    return b;
}

static bool bounds_have(const Bounds *b, int i) {
    if (b->gt >= 0 && i <= b->gt) return false;
    if (b->gte >= 0 && i < b->gte) return false;
    if (b->lt >= 0 && i >= b->lt) return false;
    if (b->lte >= 0 && i > b->lte) return false;
    if (b->prefix < 0) return true;
    const Key *prefix = &keys[b->prefix];
    return keys[i].size >= prefix->size && memcmp(keys[i].bytes, prefix->bytes, prefix->size) == 0;
}

static nacre_range range_of(const Bounds *b, nacre_value values[5]) {
    nacre_range range = NACRE_RANGE_INIT;
    const int indexes[5] = {b->gt, b->gte, b->lt, b->lte, b->prefix};
    const nacre_value **places[5] = {&range.gt, &range.gte, &range.lt, &range.lte, &range.prefix};
    for (int i = 0; i < 5; i++) {
        if (indexes[i] < 0) continue;
        values[i] = key_value(&keys[indexes[i]]);
        *places[i] = &values[i];
    }
    range.reverse = b->reverse;
    return range;
}

/* Keys that are in the model and the bounds, rising. */
static int listed(const Model *model, const Bounds *b, int list[KEYS]) {
    int count = 0;
    for (int i = 0; i < KEYS; i++)
        if (model->version[i] && bounds_have(b, i)) list[count++] = i;
    return count;
}

static void check_row(const Model *model, int i, const nacre_row *row) {
    uint32_t version = 0;
    CHECK_BYTES(row->key[0].bytes.data, row->key[0].bytes.size, keys[i].bytes, keys[i].size);
    if (!CHECK(row->fields[0].bytes.size >= 4)) return;
    memcpy(&version, row->fields[0].bytes.data, 4);
    CHECK_EQ(version, model->version[i]);
}

/* ---- one cursor and where it should stand ---- */

typedef struct Walk {
    nacre_cursor *cursor;
    Bounds bounds;
    Model model; /* of its state */
    int list[KEYS], count, at; /* -1: before the first; count: behind the last */
    bool outside;
} Walk;

static void walk_open(Walk *w, nacre_membrane *membrane, const nacre_snapshot *snapshot, const Model *model, uint64_t *random) {
    nacre_value values[5];
    w->bounds = random_bounds(random);
    w->model = *model;
    w->count = listed(model, &w->bounds, w->list);
    w->outside = true;
    nacre_range range = range_of(&w->bounds, values);
    uint64_t count = 0;
    CHECK_EQ(nacre_count(membrane, snapshot, &range, &count), NACRE_OK);
    CHECK_EQ(count, w->count);
    CHECK_EQ(nacre_cursor_open(membrane, snapshot, &range, &w->cursor), NACRE_OK);
}

static void walk_check(Walk *w, nacre_status status, const nacre_row *row) {
    bool on = w->at >= 0 && w->at < w->count;
    w->outside = false;
    if (CHECK_EQ(status, on ? NACRE_OK : NACRE_NOT_FOUND) && on) check_row(&w->model, w->list[w->at], row);
}

static void walk_step(Walk *w, uint64_t *random) {
    nacre_row row;
    uint64_t what = test_random(random) % 10;
    if (what == 0) {
        int i = (int)(test_random(random) % KEYS);
        nacre_value key = key_value(&keys[i]);
        nacre_status status = nacre_cursor_seek(w->cursor, &key, &row);
        if (w->bounds.reverse)
            for (w->at = w->count - 1; w->at >= 0 && w->list[w->at] > i;) w->at--;
        else
            for (w->at = 0; w->at < w->count && w->list[w->at] < i;) w->at++;
        walk_check(w, status, &row);
        return;
    }
    bool next = what % 2, up = next != w->bounds.reverse;
    nacre_status status = next ? nacre_cursor_next(w->cursor, &row) : nacre_cursor_prev(w->cursor, &row);
    if (w->outside) w->at = up ? 0 : w->count - 1;
    else if (up) w->at += w->at < w->count;
    else w->at -= w->at >= 0;
    walk_check(w, status, &row);
}

/* The law: many cursors at once, opened at different states, each in its own sorted list,
 * while rows change, memtables become segments, segments merge. */
static void every_cursor_walks_its_own_sorted_list(void) {
    enum { WALKS = 12 };
    static Walk walks[WALKS];
    static Model model, kept;
    SimDisk *disk = sim_disk_new(1);
    nacre_db *db = open_on(disk);
    nacre_membrane *membrane = open_kv(db);
    nacre_snapshot *snapshot = NULL;
    uint64_t random = test_seed() + 60;
    keys_make();
    memset(&model, 0, sizeof model);
    for (int i = 0; i < 300; i++) change(membrane, &model, &random);
    CHECK_EQ(nacre_snapshot_open(db, &snapshot), NACRE_OK);
    kept = model;
    for (int w = 0; w < WALKS; w++) walk_open(&walks[w], membrane, NULL, &model, &random);
    for (int step = 0; step < 12000; step++) {
        Walk *w = &walks[test_random(&random) % WALKS];
        if (test_random(&random) % 30 == 0) {
            bool of_snapshot = test_random(&random) % 3 == 0;
            nacre_cursor_close(w->cursor);
            walk_open(w, membrane, of_snapshot ? snapshot : NULL, of_snapshot ? &kept : &model, &random);
        }
        walk_step(w, &random);
        if (step % 2) change(membrane, &model, &random);
        if (step % 1500 == 700) CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
        if (step % 5000 == 4000) CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
        if (step % 4000 == 3000) {
            nacre_snapshot_release(snapshot); /* cursors opened in it live on */
            CHECK_EQ(nacre_snapshot_open(db, &snapshot), NACRE_OK);
            kept = model;
        }
    }
    for (int w = 0; w < WALKS; w++) nacre_cursor_close(walks[w].cursor);
    nacre_snapshot_release(snapshot);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* Each single bound at each key, forward and backward, and as a count. */
static void every_bound_at_every_key(void) {
    static Model model;
    static int list[KEYS];
    SimDisk *disk = sim_disk_new(2);
    nacre_db *db = open_on(disk);
    nacre_membrane *membrane = open_kv(db);
    uint64_t random = test_seed() + 61;
    keys_make();
    memset(&model, 0, sizeof model);
    for (int i = 0; i < 500; i++) {
        change(membrane, &model, &random);
        if (i == 250) CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    }
    for (int which = 0; which < 5; which++)
        for (int i = 0; i < KEYS; i++)
            for (int reverse = 0; reverse < 2; reverse++) {
                Bounds b = {-1, -1, -1, -1, -1, reverse};
                *(int *[5]){&b.gt, &b.gte, &b.lt, &b.lte, &b.prefix}[which] = i;
                nacre_value values[5];
                nacre_range range = range_of(&b, values);
                nacre_cursor *cursor = NULL;
                nacre_row row;
                int count = listed(&model, &b, list), at = 0;
                CHECK_EQ(nacre_cursor_open(membrane, NULL, &range, &cursor), NACRE_OK);
                for (; at < count && CHECK_EQ(nacre_cursor_next(cursor, &row), NACRE_OK); at++)
                    check_row(&model, list[reverse ? count - 1 - at : at], &row);
                CHECK_EQ(nacre_cursor_next(cursor, &row), NACRE_NOT_FOUND);
                nacre_cursor_close(cursor);
            }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* A range clears what it lists, at once, and nothing else. */
static void a_range_clears_what_it_lists(void) {
    static Model model;
    static int list[KEYS];
    SimDisk *disk = sim_disk_new(3);
    nacre_db *db = open_on(disk);
    nacre_membrane *membrane = open_kv(db);
    uint64_t random = test_seed() + 62;
    keys_make();
    memset(&model, 0, sizeof model);
    for (int round = 0; round < 60; round++) {
        nacre_value values[5];
        uint64_t removed = 0, count = 0;
        Bounds b = random_bounds(&random);
        for (int i = 0; i < 60; i++) change(membrane, &model, &random);
        b.reverse = false;
        nacre_range range = range_of(&b, values);
        int want = listed(&model, &b, list);
        CHECK_EQ(nacre_clear(membrane, &range, &removed), NACRE_OK);
        CHECK_EQ(removed, want);
        for (int i = 0; i < want; i++) model.version[list[i]] = 0;
        CHECK_EQ(nacre_count(membrane, NULL, NULL, &count), NACRE_OK);
        Bounds all = {-1, -1, -1, -1, -1, false};
        CHECK_EQ(count, listed(&model, &all, list));
        if (round % 20 == 10) CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

static void a_limit_counts_the_rows_shown(void) {
    SimDisk *disk = sim_disk_new(4);
    nacre_db *db = open_on(disk);
    nacre_membrane *membrane = open_kv(db);
    nacre_value value = nacre_bytes("v", 1);
    for (uint8_t i = 0; i < 10; i++) {
        nacre_value key = nacre_bytes(&i, 1);
        CHECK_EQ(nacre_put(membrane, &key, NULL, &value), NACRE_OK);
    }
    for (uint64_t limit = 1; limit < 12; limit++) {
        nacre_range range = NACRE_RANGE_INIT;
        nacre_cursor *cursor = NULL;
        nacre_row row;
        uint64_t shown = 0, count = 0, want = limit < 10 ? limit : 10;
        range.limit = limit;
        range.reverse = limit % 2;
        CHECK_EQ(nacre_count(membrane, NULL, &range, &count), NACRE_OK);
        CHECK_EQ(count, want);
        CHECK_EQ(nacre_cursor_open(membrane, NULL, &range, &cursor), NACRE_OK);
        while (nacre_cursor_next(cursor, &row) == NACRE_OK) shown++;
        CHECK_EQ(shown, want);
        nacre_cursor_close(cursor);
    }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* ---- composite keys: bounds of one or two parts ---- */

enum { TEXTS = 5, NUMBERS = 5 };
static const char *const texts[TEXTS] = {"", "a", "ab", "b", "\xc3\xa9"};
static int64_t number_of(int i) { return i == 0 ? INT64_MIN : i == NUMBERS - 1 ? INT64_MAX : i - 2; }

/* Order of (t, n) against a bound of `parts` parts. */
static int order(int t, int n, int bt, int bn, uint32_t parts) {
    if (t != bt || parts == 1) return t - bt;
    return n - bn;
}

static void composite_bounds_take_leading_parts(void) {
    SimDisk *disk = sim_disk_new(5);
    nacre_db *db = open_on(disk);
    nacre_schema schema = nacre_schema_kv(NACRE_TEXT, NACRE_TEXT);
    nacre_membrane *membrane = NULL;
    schema.key_count = 2, schema.key_types[1] = NACRE_INTEGER;
    CHECK_EQ(nacre_membrane_open(db, "m", &schema, &membrane), NACRE_OK);
    for (int i = 0; i < TEXTS * NUMBERS; i++) {
        int at = i * 7 % (TEXTS * NUMBERS);
        nacre_value key[2] = {nacre_text(texts[at / NUMBERS]), nacre_integer(number_of(at % NUMBERS))}, value = nacre_text("v");
        CHECK_EQ(nacre_put(membrane, key, NULL, &value), NACRE_OK);
        if (i == 12) CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    }
    for (int which = 0; which < 4; which++)
        for (uint32_t parts = 1; parts <= 2; parts++)
            for (int b = 0; b < TEXTS * NUMBERS; b++)
                for (int reverse = 0; reverse < 2; reverse++) {
                    nacre_value bound[2] = {nacre_text(texts[b / NUMBERS]), nacre_integer(number_of(b % NUMBERS))};
                    nacre_range range = NACRE_RANGE_INIT;
                    nacre_cursor *cursor = NULL;
                    nacre_row row;
                    *(const nacre_value **[4]){&range.gt, &range.gte, &range.lt, &range.lte}[which] = bound;
                    range.bound_count = parts, range.reverse = reverse;
                    CHECK_EQ(nacre_cursor_open(membrane, NULL, &range, &cursor), NACRE_OK);
                    for (int k = 0; k < TEXTS * NUMBERS; k++) {
                        int i = reverse ? TEXTS * NUMBERS - 1 - k : k;
                        int o = order(i / NUMBERS, i % NUMBERS, b / NUMBERS, b % NUMBERS, parts);
                        bool in = which == 0 ? o > 0 : which == 1 ? o >= 0 : which == 2 ? o < 0 : o <= 0;
                        if (!in) continue;
                        if (!CHECK_EQ(nacre_cursor_next(cursor, &row), NACRE_OK)) break;
                        CHECK_BYTES(row.key[0].bytes.data, row.key[0].bytes.size, texts[i / NUMBERS], strlen(texts[i / NUMBERS]));
                        CHECK_EQ(row.key[1].integer, number_of(i % NUMBERS));
                    }
                    CHECK_EQ(nacre_cursor_next(cursor, &row), NACRE_NOT_FOUND);
                    nacre_cursor_close(cursor);
                }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* B13: what a cursor cannot read it reports, and it never goes on behind the failure. */
static void a_cursor_stops_at_a_failure(void) {
    SimDisk *disk = sim_disk_new(6);
    nacre_db *db = open_on(disk);
    nacre_membrane *membrane = open_kv(db);
    static Model model;
    uint64_t random = test_seed() + 63;
    keys_make();
    memset(&model, 0, sizeof model);
    for (int i = 0; i < 400; i++) change(membrane, &model, &random);
    CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    for (uint64_t nth = 1; nth < 12; nth++) {
        nacre_cursor *cursor = NULL;
        nacre_row row;
        nacre_status status;
        db = open_on(disk);
        CHECK_EQ(nacre_membrane_open(db, "keys", NULL, &membrane), NACRE_OK);
        CHECK_EQ(nacre_cursor_open(membrane, NULL, NULL, &cursor), NACRE_OK);
        sim_disk_fault(disk, (SimFault){.kinds = SIM_READ, .nth = nth, .status = NACRE_IO});
        do status = nacre_cursor_next(cursor, &row);
        while (status == NACRE_OK);
        if (sim_disk_fault_hits(disk)) {
            CHECK_EQ(status, NACRE_IO);
            CHECK_EQ(nacre_cursor_next(cursor, &row), NACRE_IO);
            CHECK_EQ(nacre_cursor_prev(cursor, &row), NACRE_IO);
        }
        sim_disk_fault(disk, (SimFault){.nth = 0});
        nacre_cursor_close(cursor);
        uint64_t count = 0, want = 0;
        for (int i = 0; i < KEYS; i++) want += model.version[i] != 0;
        CHECK_EQ(nacre_count(membrane, NULL, NULL, &count), NACRE_OK);
        CHECK_EQ(count, want);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    }
    sim_disk_free(disk);
}

void cursor_test(void) {
    RUN(every_cursor_walks_its_own_sorted_list);
    RUN(every_bound_at_every_key);
    RUN(a_range_clears_what_it_lists);
    RUN(a_limit_counts_the_rows_shown);
    RUN(composite_bounds_take_leading_parts);
    RUN(a_cursor_stops_at_a_failure);
}
