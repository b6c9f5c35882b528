/* ttl_test.c - rows that expire (C33): never seen from their time on, whatever lies between:
 * flushes, merges, reopening, snapshots. The clock is the simulated disk's. */
#include "lib/check.h"
#include "lib/sim_disk.h"

#include "db/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 200, DIMENSIONS = 4, START = 1700000000 };

typedef struct Row {
    uint32_t version; /* 0: absent */
    uint64_t expires; /* 0: never */
} Row;

typedef struct World {
    SimDisk *disk;
    nacre_db *db;
    nacre_membrane *kv, *points; /* rows of kv live 1000 ms, those of points for ever */
    uint64_t now, random;
    Row rows[2][KEYS];
} World;

static uint64_t roll(World *w, uint64_t below) { return test_random(&w->random) % below; }

static void set_now(World *w, uint64_t now) { sim_disk_set_clock(w->disk, w->now = now); }

static void open_world(World *w) {
    nacre_options options = NACRE_OPTIONS_INIT;
    nacre_error error = {0};
    options.vfs = sim_disk_vfs(w->disk);
    options.memory = 8 << 20;
    options.memtable_size = 64 << 10;
    options.segment_size = 64 << 10;
    options.durability = NACRE_NONE;
    options.seed = 3;
    if (!CHECK_EQ(nacre_open("db", &options, &w->db, &error), NACRE_OK)) abort();
    nacre_schema kv = nacre_schema_kv(NACRE_INTEGER, NACRE_TEXT);
    nacre_field field = {"version", NACRE_INTEGER, false};
    nacre_schema points = nacre_schema_collection(NACRE_INTEGER, DIMENSIONS, NACRE_L2, &field, 1);
    kv.ttl_ms = 1000;
    CHECK_EQ(nacre_membrane_open(w->db, "kv", &kv, &w->kv), NACRE_OK);
    CHECK_EQ(nacre_membrane_open(w->db, "points", &points, &w->points), NACRE_OK);
}

static void begin(World *w, uint64_t seed) {
    *w = (World){.disk = sim_disk_new(seed), .random = seed};
    set_now(w, START);
    open_world(w);
}

static void end(World *w) {
    CHECK_EQ(nacre_close(w->db, NULL), NACRE_OK);
    sim_disk_free(w->disk);
}

static nacre_membrane *membrane_of(World *w, int m) { return m ? w->points : w->kv; }

/* ttl 0: as the schema says. */
static void put(World *w, int m, uint32_t key, uint32_t version, uint64_t ttl, nacre_batch *batch) {
    char text[400];
    memset(text, 'a' + (int)(version % 26), sizeof text);
    int size = snprintf(text, sizeof text, "%u", (unsigned)version);
    text[size] = ' ';
    float vector[DIMENSIONS] = {(float)key, (float)(version % 7), 0, 1};
    nacre_value k = nacre_integer(key), number = nacre_integer(version), value = nacre_text_sized(text, 20 + version % 300);
    nacre_put_options options = NACRE_PUT_INIT;
    options.ttl_ms = ttl;
    const nacre_put_options *given = ttl || version % 2 ? &options : NULL;
    nacre_status status = batch ? nacre_batch_put_with(batch, membrane_of(w, m), &k, m ? vector : NULL, m ? &number : &value, given)
                                : nacre_put_with(membrane_of(w, m), &k, m ? vector : NULL, m ? &number : &value, given);
    CHECK_EQ(status, NACRE_OK);
    uint64_t lives = ttl == NACRE_TTL_NEVER ? 0 : ttl ? ttl : m ? 0 : 1000;
    w->rows[m][key] = (Row){version, lives ? w->now + lives : 0};
}

static bool lives(const World *w, const Row *row) {
    return row->version && (row->expires == 0 || row->expires > w->now);
}

static bool row_is(int m, uint32_t key, const Row *want, const nacre_row *row) {
    if (row->key[0].integer != key || row->expires_ms != want->expires) return false;
    if (m) return row->fields[0].integer == want->version && row->vector && row->vector[0] == (float)key;
    return strtoul((const char *)row->fields[0].bytes.data, NULL, 10) == want->version &&
           row->fields[0].bytes.size == 20 + want->version % 300;
}

/* Everything that reads agrees with the rows as the clock stands. */
static int differences(World *w, const nacre_snapshot *snapshot, const Row (*rows)[KEYS]) {
    int wrong = 0;
    for (int m = 0; m < 2; m++) {
        uint64_t count = 0, want = 0;
        nacre_membrane *membrane = membrane_of(w, m);
        nacre_row row;
        for (uint32_t key = 0; key < KEYS; key++) {
            nacre_value k = nacre_integer(key);
            nacre_status status = nacre_get(membrane, snapshot, &k, &row);
            bool there = lives(w, &rows[m][key]);
            want += there;
            wrong += status != (there ? NACRE_OK : NACRE_NOT_FOUND) || (there && !row_is(m, key, &rows[m][key], &row));
        }
        wrong += nacre_count(membrane, snapshot, NULL, &count) != NACRE_OK || count != want;
        for (int backward = 0; backward < 2; backward++) {
            nacre_cursor *cursor = NULL;
            nacre_range range = NACRE_RANGE_INIT;
            range.reverse = backward;
            if (!CHECK_EQ(nacre_cursor_open(membrane, snapshot, &range, &cursor), NACRE_OK)) return 1;
            uint32_t shown = 0;
            int64_t last = backward ? KEYS : -1;
            while (nacre_cursor_next(cursor, &row) == NACRE_OK) {
                int64_t key = row.key[0].integer;
                wrong += backward ? key >= last : key <= last;
                wrong += !lives(w, &rows[m][key]) || !row_is(m, (uint32_t)key, &rows[m][key], &row);
                last = key;
                shown++;
            }
            wrong += shown != want;
            nacre_cursor_close(cursor);
        }
    }
    static const char *const filters[] = {NULL, "{\"version\":{\"gte\":1}}"};
    for (int f = 0; f < 2; f++) { /* as many as there are, nearest first */
        nacre_search_options options = NACRE_SEARCH_INIT;
        nacre_hits *hits = NULL;
        float query[DIMENSIONS] = {(float)roll(w, KEYS), 0, 0, 1};
        options.k = KEYS;
        options.where_json = filters[f];
        if (!CHECK_EQ(nacre_search(w->points, snapshot, query, &options, &hits), NACRE_OK)) return 1;
        uint32_t want = 0;
        for (uint32_t key = 0; key < KEYS; key++) want += lives(w, &rows[1][key]);
        wrong += nacre_hits_count(hits) != want;
        for (uint32_t i = 0; i < nacre_hits_count(hits); i++) {
            nacre_row row;
            wrong += nacre_hits_at(hits, i, NULL, &row) != NACRE_OK || !lives(w, &rows[1][row.key[0].integer]) ||
                     !row_is(1, (uint32_t)row.key[0].integer, &rows[1][row.key[0].integer], &row);
        }
        nacre_hits_free(hits);
    }
    return wrong;
}

static void change(World *w, uint32_t version) {
    static const uint64_t ttls[] = {0, 0, 1, 50, 700, 30000, NACRE_TTL_NEVER};
    int m = (int)roll(w, 2);
    nacre_batch *batch = NULL;
    if (roll(w, 3) == 0) CHECK_EQ(nacre_batch_begin(w->db, &batch), NACRE_OK);
    for (uint64_t i = batch ? roll(w, 20) : 1; i > 0; i--)
        put(w, m, (uint32_t)roll(w, KEYS), version + (uint32_t)i, ttls[roll(w, sizeof ttls / sizeof *ttls)], batch);
    if (batch) CHECK_EQ(nacre_batch_commit(batch), NACRE_OK);
    uint32_t key = (uint32_t)roll(w, KEYS);
    if (roll(w, 4)) return;
    nacre_value k = nacre_integer(key);
    CHECK_EQ(nacre_delete(membrane_of(w, m), &k), lives(w, &w->rows[m][key]) ? NACRE_OK : NACRE_NOT_FOUND);
    if (lives(w, &w->rows[m][key])) w->rows[m][key] = (Row){0};
}

static void clear_some(World *w) {
    int m = (int)roll(w, 2);
    uint32_t low = (uint32_t)roll(w, KEYS), high = low + (uint32_t)roll(w, 30);
    nacre_value gte = nacre_integer(low), lt = nacre_integer(high);
    nacre_range range = NACRE_RANGE_INIT;
    uint64_t removed = 0, want = 0;
    range.gte = &gte, range.lt = &lt;
    CHECK_EQ(nacre_clear(membrane_of(w, m), &range, &removed), NACRE_OK);
    for (uint32_t key = low; key < high && key < KEYS; key++) {
        if (!lives(w, &w->rows[m][key])) continue;
        want++;
        w->rows[m][key] = (Row){0};
    }
    CHECK_EQ(removed, want);
}

static void c33_expired_rows_are_seen_by_nothing(void) {
    for (uint64_t seed = test_seed(); seed < test_seed() + 4; seed++) {
        World w;
        begin(&w, seed);
        nacre_snapshot *snapshot = NULL;
        static Row then[2][KEYS];
        int wrong = 0;
        for (uint32_t round = 1; round < 700 && !wrong; round++) {
            bool more;
            change(&w, round * 100);
            switch (roll(&w, 60)) {
            case 0: CHECK_EQ(nacre_checkpoint(w.db), NACRE_OK); break;
            case 1: CHECK_EQ(nacre_compact(w.db, NULL), NACRE_OK); break;
            case 2: CHECK_EQ(nacre_step(w.db, 50000, &more), NACRE_OK); break;
            case 3: clear_some(&w); break;
            case 4:
                nacre_snapshot_release(snapshot);
                CHECK_EQ(nacre_snapshot_open(w.db, &snapshot), NACRE_OK);
                memcpy(then, w.rows, sizeof then);
                break;
            case 5:
                nacre_snapshot_release(snapshot);
                snapshot = NULL;
                CHECK_EQ(nacre_close(w.db, NULL), NACRE_OK);
                open_world(&w);
                break;
            default: break;
            }
            if (roll(&w, 3) == 0) set_now(&w, w.now + roll(&w, round % 50 ? 40 : 4000));
            if (round % 13 == 0) wrong = differences(&w, NULL, w.rows);
            if (round % 13 == 0 && snapshot && !wrong) wrong = differences(&w, snapshot, then);
        }
        CHECK_EQ(wrong, 0);
        nacre_snapshot_release(snapshot);
        end(&w);
    }
}

/* A row whose time is over hides what it replaced, in every merge that takes one and not the
 * other. */
static void c33_an_expired_row_keeps_hiding_older_ones(void) {
    World w;
    begin(&w, 5);
    for (uint32_t key = 0; key < KEYS; key++) put(&w, 0, key, 1, NACRE_TTL_NEVER, NULL);
    CHECK_EQ(nacre_checkpoint(w.db), NACRE_OK);
    for (uint32_t key = 0; key < KEYS; key += 2) put(&w, 0, key, 2, 10, NULL);
    set_now(&w, w.now + 10); /* the last millisecond is that before its expiry */
    CHECK_EQ(differences(&w, NULL, w.rows), 0);
    CHECK_EQ(nacre_checkpoint(w.db), NACRE_OK); /* flushed as deletions */
    CHECK_EQ(w.db->version->count, 2);
    CHECK_EQ(w.db->version->runs[0].segments[0]->deletes, KEYS / 2);
    CHECK_EQ(w.db->version->runs[0].segments[0]->first_expiry, 0);
    CHECK_EQ(differences(&w, NULL, w.rows), 0);
    CHECK_EQ(nacre_compact(w.db, NULL), NACRE_OK);
    CHECK_EQ(differences(&w, NULL, w.rows), 0);
    end(&w);
}

/* One run without deletions is rewritten when something in it has expired, and only then. */
static void c33_compaction_gives_expired_space_back(void) {
    World w;
    nacre_compact_report report = {0};
    char text[1000];
    memset(text, 'x', sizeof text);
    begin(&w, 6);
    nacre_put_options options = NACRE_PUT_INIT;
    for (int64_t key = 0; key < 2000; key++) {
        nacre_value k = nacre_integer(key), value = nacre_text_sized(text, sizeof text);
        options.ttl_ms = key % 10 ? 5000 : NACRE_TTL_NEVER;
        CHECK_EQ(nacre_put_with(w.kv, &k, NULL, &value, &options), NACRE_OK);
    }
    CHECK_EQ(nacre_compact(w.db, &report), NACRE_OK);
    uint64_t full = report.after, merges = w.db->counters.merges;
    set_now(&w, w.now + 4999);
    CHECK_EQ(nacre_compact(w.db, &report), NACRE_OK);
    CHECK_EQ(w.db->counters.merges, merges);
    CHECK(report.after >= full);
    set_now(&w, w.now + 1);
    CHECK_EQ(nacre_compact(w.db, &report), NACRE_OK);
    CHECK_EQ(report.rows, 200);
    CHECK(report.after < full / 4);
    end(&w);
}

/* A put says the time anew, or takes it away; a schema's time is that of each put. */
static void c33_a_put_sets_the_time_anew(void) {
    World w;
    begin(&w, 7);
    put(&w, 0, 1, 1, 0, NULL);
    put(&w, 1, 1, 1, 500, NULL);
    set_now(&w, w.now + 400);
    put(&w, 0, 1, 3, 0, NULL);
    put(&w, 1, 1, 3, 0, NULL);
    CHECK_EQ(w.rows[0][1].expires, START + 1400);
    CHECK_EQ(w.rows[1][1].expires, 0);
    CHECK_EQ(differences(&w, NULL, w.rows), 0);
    set_now(&w, START + 1399);
    CHECK_EQ(differences(&w, NULL, w.rows), 0);
    CHECK(lives(&w, &w.rows[0][1]));
    set_now(&w, START + 1400);
    CHECK_EQ(differences(&w, NULL, w.rows), 0);
    CHECK(!lives(&w, &w.rows[0][1]) && lives(&w, &w.rows[1][1]));
    end(&w);
}

static void c33_rows_of_a_bulk_load_end_as_the_schema_or_the_put_says(void) {
    World w;
    begin(&w, 6);
    static const uint64_t ttl[3] = {0, 3000, NACRE_TTL_NEVER}, ends[3] = {START + 1000, START + 3000, 0};
    nacre_bulk *bulk = NULL;
    CHECK_EQ(nacre_bulk_begin(w.kv, &bulk), NACRE_OK);
    for (int i = 0; i < 3; i++) {
        nacre_value key = nacre_integer(i), value = nacre_text("loaded");
        nacre_put_options options = NACRE_PUT_INIT;
        options.ttl_ms = ttl[i];
        CHECK_EQ(nacre_bulk_put_with(bulk, &key, NULL, &value, i ? &options : NULL), NACRE_OK);
    }
    CHECK_EQ(nacre_bulk_commit(bulk, NULL), NACRE_OK);
    for (int i = 0; i < 3; i++) {
        nacre_value key = nacre_integer(i);
        nacre_row row;
        set_now(&w, START);
        CHECK_EQ(nacre_get(w.kv, NULL, &key, &row), NACRE_OK);
        CHECK(row.expires_ms == ends[i]);
        set_now(&w, START + 3000);
        CHECK_EQ(nacre_get(w.kv, NULL, &key, &row), ends[i] ? NACRE_NOT_FOUND : NACRE_OK);
    }
    end(&w);
}

static void c33_times_out_of_range_are_refused(void) {
    World w;
    begin(&w, 8);
    nacre_value key = nacre_integer(1), value = nacre_text("v");
    nacre_put_options options = NACRE_PUT_INIT;
    options.ttl_ms = UINT64_C(8640000000000001);
    CHECK_EQ(nacre_put_with(w.kv, &key, NULL, &value, &options), NACRE_INVALID_ARGUMENT);
    options.struct_size--;
    options.ttl_ms = 1;
    CHECK_EQ(nacre_put_with(w.kv, &key, NULL, &value, &options), NACRE_INVALID_ARGUMENT);
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_TEXT);
    nacre_membrane *other = NULL;
    CHECK_EQ(nacre_membrane_open(w.db, "kv", &schema, &other), NACRE_SCHEMA_MISMATCH);
    CHECK(strstr(nacre_message(w.db), "ttl_ms: stored 1000, given 0") != NULL);
    schema.ttl_ms = UINT64_C(8640000000000001);
    CHECK_EQ(nacre_membrane_open(w.db, "other", &schema, &other), NACRE_INVALID_ARGUMENT);
    options = (nacre_put_options)NACRE_PUT_INIT;
    options.ttl_ms = UINT64_C(8640000000000000);
    CHECK_EQ(nacre_put_with(w.kv, &key, NULL, &value, &options), NACRE_OK);
    nacre_row row;
    CHECK_EQ(nacre_get(w.kv, NULL, &key, &row), NACRE_OK);
    CHECK_EQ(row.expires_ms, START + options.ttl_ms);
    /* At the boundary of batches: neither a time of nothing nor no room for one. */
    for (int i = 0; i < 4; i++) {
        uint8_t *at = NULL, key_bytes[12] = {0};
        put_u32_be(key_bytes, w.kv->id);
        size_t value_size = i == 3 ? 4 : 9, size = BATCH_HEAD + (size_t)record_size(12, value_size);
        REQUIRE(db_reserve(w.db, size, 1, &at) == NACRE_OK);
        memset(at, 0, size);
        put_u32(at, (uint32_t)size);
        put_u32(at + 4, 1);
        at += BATCH_HEAD;
        put_u32(at, 12 | RECORD_EXPIRES << 24);
        put_u32(at + 4, (uint32_t)value_size);
        memcpy(at + RECORD_HEAD, key_bytes, 12);
        static const uint64_t times[] = {0, RECORD_LIFETIME, RECORD_LIFETIME + UINT64_C(8640000000000001)};
        if (i < 3) put_u64(at + RECORD_HEAD + 12, times[i]);
        CHECK_EQ(db_commit(w.db, size, true), NACRE_INVALID_ARGUMENT);
        db_call(w.db);
    }
    end(&w);
}

/* The clock is asked at most once in a call, and not at all where nothing expires. */
static uint64_t clock_asked;
static uint64_t counting_clock(void *self) {
    (void)self;
    clock_asked++;
    return START;
}

static void c33_the_clock_is_asked_only_for_rows_that_expire(void) {
    World w;
    begin(&w, 9);
    for (uint32_t key = 0; key < KEYS; key++) put(&w, 0, key, 1, NACRE_TTL_NEVER, NULL);
    for (uint32_t key = 0; key < KEYS; key++) put(&w, 1, key, 1, key < 100 ? 0 : 5000, NULL);
    CHECK_EQ(nacre_checkpoint(w.db), NACRE_OK);
    Vfs counting = *w.db->env.vfs;
    const Vfs *kept = w.db->env.vfs;
    counting.now_ms = counting_clock;
    w.db->env.vfs = &counting;
    uint64_t count = 0;
    nacre_value key = nacre_integer(3);
    nacre_row row;
    CHECK_EQ(nacre_count(w.kv, NULL, NULL, &count), NACRE_OK);
    CHECK_EQ(nacre_get(w.kv, NULL, &key, &row), NACRE_OK);
    CHECK_EQ(nacre_get(w.points, NULL, &key, &row), NACRE_OK);
    CHECK_EQ(clock_asked, 0);
    CHECK_EQ(nacre_count(w.points, NULL, NULL, &count), NACRE_OK);
    CHECK_EQ(count, KEYS);
    CHECK_EQ(clock_asked, 1);
    w.db->env.vfs = kept;
    end(&w);
}

void ttl_test(void) {
    RUN(c33_expired_rows_are_seen_by_nothing);
    RUN(c33_an_expired_row_keeps_hiding_older_ones);
    RUN(c33_compaction_gives_expired_space_back);
    RUN(c33_a_put_sets_the_time_anew);
    RUN(c33_rows_of_a_bulk_load_end_as_the_schema_or_the_put_says);
    RUN(c33_times_out_of_range_are_refused);
    RUN(c33_the_clock_is_asked_only_for_rows_that_expire);
}
