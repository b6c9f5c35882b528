/* search_test.c - exact search (F01, E06, E24) against a scan in double: whatever lies in
 * memtables and runs, overwritten or deleted, the hits are the k nearest living rows. */
#include "lib/check.h"
#include "lib/sim_disk.h"

#include "db/state.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- a collection and what it should hold ---- */

typedef struct Space {
    nacre_membrane *membrane;
    nacre_metric metric;
    uint32_t dimensions, rows;
    uint32_t *version; /* 0: no such row */
    float *vectors;    /* of the versions that are there */
} Space;

static const nacre_field space_fields[5] = {
    {"i", NACRE_INTEGER, false}, {"t", NACRE_TEXT, false}, {"r", NACRE_REAL, false}, {"b", NACRE_BOOLEAN, false}, {"j", NACRE_JSON, false}};
static const char *const words[6] = {"apple", "apricot", "banana", "", "\xc3\xbcn\xc3\xaf", NULL};
static const char *const tags[4] = {"[\"a\",\"b\"]", "[1,{\"x\":2}]", "{\"a\":1}", "null"};

/* The fields of a row, from its key and version. */
typedef struct Facts {
    int64_t key, i;
    bool i_null, b;
    const char *t; /* NULL: null */
    double r;
    int j;
} Facts;

static Facts facts_of(uint32_t key, uint32_t version) {
    uint32_t n = key * 7 + version * 13;
    return (Facts){.key = key, .i = n % 20, .i_null = n % 20 == 19, .b = n % 3 == 0,
                   .t = words[n % 6], .r = (double)(n % 9) / 4, .j = (int)(n % 4)};
}

static void vector_of(const Space *space, uint32_t key, uint32_t version, float *out) {
    bool twin = key % 8 == 3; /* the same vector many times */
    uint64_t random = twin ? version % 2 : (uint64_t)key << 32 | version;
    for (uint32_t d = 0; d < space->dimensions; d++)
        out[d] = (float)((double)(test_random(&random) >> 11) / 9007199254740992.0 * 4 - 2) + 0.001f;
}

static Space space_make(nacre_db *db, nacre_metric metric, uint32_t dimensions, uint32_t rows) {
    char name[32];
    Space space = {.metric = metric, .dimensions = dimensions, .rows = rows};
    nacre_schema schema = nacre_schema_collection(NACRE_INTEGER, dimensions, metric, space_fields, 5);
    snprintf(name, sizeof name, "space-%u-%d", dimensions, (int)metric);
    CHECK_EQ(nacre_membrane_open(db, name, &schema, &space.membrane), NACRE_OK);
    space.version = calloc(rows, sizeof *space.version);
    space.vectors = calloc((size_t)rows * dimensions, sizeof *space.vectors);
    return space;
}

static void space_free(Space *space) {
    free(space->version);
    free(space->vectors);
}

static Space space_copy(const Space *from) {
    Space space = *from;
    size_t size = (size_t)from->rows * from->dimensions * sizeof *from->vectors;
    space.version = malloc(from->rows * sizeof *space.version);
    space.vectors = malloc(size);
    memcpy(space.version, from->version, from->rows * sizeof *space.version);
    memcpy(space.vectors, from->vectors, size);
    return space;
}

static void space_put(Space *space, uint32_t key, uint32_t version) {
    float *vector = space->vectors + (size_t)key * space->dimensions;
    Facts facts = facts_of(key, version);
    vector_of(space, key, version, vector);
    nacre_value name = nacre_integer(key);
    nacre_value fields[5] = {facts.i_null ? nacre_null() : nacre_integer(facts.i),
                             facts.t ? nacre_text(facts.t) : nacre_null(), nacre_real(facts.r),
                             nacre_boolean(facts.b), nacre_json(tags[facts.j])};
    CHECK_EQ(nacre_put(space->membrane, &name, vector, fields), NACRE_OK);
    space->version[key] = version;
}

static void space_delete(Space *space, uint32_t key) {
    nacre_value name = nacre_integer(key);
    nacre_status want = space->version[key] ? NACRE_OK : NACRE_NOT_FOUND;
    CHECK_EQ(nacre_delete(space->membrane, &name), want);
    space->version[key] = 0;
}

static void space_change(Space *space, uint32_t changes, uint64_t *random) {
    for (uint32_t i = 0; i < changes; i++) {
        uint32_t key = (uint32_t)(test_random(random) % space->rows);
        if (test_random(random) % 4 == 0) space_delete(space, key);
        else space_put(space, key, 1 + (uint32_t)(test_random(random) % 100000));
    }
}

/* ---- filters, twice ---- */

typedef struct Where {
    const char *json;
    bool (*matches)(const Facts *f);
} Where;

static bool w_eq(const Facts *f) { return !f->i_null && f->i == 5; }
static bool w_ne(const Facts *f) { return !f->i_null && f->i != 5; }
static bool w_gt(const Facts *f) { return f->r > 1.25; }
static bool w_gte(const Facts *f) { return f->r >= 1.25; }
static bool w_lt(const Facts *f) { return !f->i_null && f->i < 4; }
static bool w_lte(const Facts *f) { return !f->i_null && (double)f->i <= 3.5; }
static bool w_in(const Facts *f) { return f->i_null || f->i == 1 || f->i == 7; }
static bool w_nin(const Facts *f) { return !f->i_null && f->i != 1 && f->i != 7; }
static bool w_exists(const Facts *f) { return f->t != NULL; }
static bool w_missing(const Facts *f) { return f->i_null; }
static bool w_contains(const Facts *f) { return f->t && strstr(f->t, "an"); }
static bool w_member(const Facts *f) { return f->j == 0; }
static bool w_member_object(const Facts *f) { return f->j == 1; }
static bool w_starts(const Facts *f) { return f->t && strncmp(f->t, "ap", 2) == 0; }
static bool w_and(const Facts *f) { return f->b && !f->i_null && f->i >= 3; }
static bool w_or(const Facts *f) { return f->b || (f->t && strcmp(f->t, "banana") == 0); }
static bool w_not(const Facts *f) { return f->i_null || f->i <= 9; }
static bool w_key(const Facts *f) { return f->key >= 10 && f->key < 20; }
static bool w_null(const Facts *f) { return f->t == NULL; }
static bool w_all(const Facts *f) { return f != NULL; }
static bool w_none(const Facts *f) { return f == NULL; }

static const Where wheres[] = {
    {"{\"i\":5}", w_eq},
    {"{\"i\":{\"eq\":5.0}}", w_eq},
    {"{\"i\":{\"ne\":5}}", w_ne},
    {"{\"r\":{\"gt\":1.25}}", w_gt},
    {"{\"r\":{\"gte\":1.25}}", w_gte},
    {"{\"i\":{\"lt\":4}}", w_lt},
    {"{\"i\":{\"lte\":3.5}}", w_lte},
    {"{\"i\":{\"in\":[1,7,null]}}", w_in},
    {"{\"i\":{\"nin\":[1,7,null]}}", w_nin},
    {"{\"t\":{\"exists\":true}}", w_exists},
    {"{\"i\":{\"exists\":false}}", w_missing},
    {"{\"t\":{\"contains\":\"an\"}}", w_contains},
    {"{\"j\":{\"contains\":\"a\"}}", w_member},
    {"{\"j\":{\"contains\":{\"x\":2}}}", w_member_object},
    {"{\"t\":{\"startsWith\":\"ap\"}}", w_starts},
    {"{\"b\":true,\"i\":{\"gte\":3}}", w_and},
    {"{\"and\":[{\"b\":true},{\"i\":{\"gte\":3}}]}", w_and},
    {"{\"or\":[{\"b\":true},{\"t\":\"banana\"}]}", w_or},
    {"{\"not\":{\"i\":{\"gt\":9}}}", w_not},
    {"{\"key\":{\"gte\":10,\"lt\":20}}", w_key},
    {"{\"t\":null}", w_null},
    {"{}", w_all},
    {"{\"or\":[]}", w_none},
};
enum { WHERE_COUNT = sizeof wheres / sizeof *wheres };

/* ---- the oracle ---- */

static double norm_of(const float *v, uint32_t dimensions) {
    double sum = 0;
    for (uint32_t d = 0; d < dimensions; d++) sum += (double)v[d] * (double)v[d];
    return sqrt(sum);
}

/* Distance in double, and what an error of it is measured by. */
static double oracle(const Space *space, const float *query, const float *v, double *scale) {
    double dot = 0, square = 0;
    for (uint32_t d = 0; d < space->dimensions; d++) {
        double difference = (double)query[d] - (double)v[d];
        dot += (double)query[d] * (double)v[d];
        square += difference * difference;
    }
    double norms = norm_of(query, space->dimensions) * norm_of(v, space->dimensions);
    switch (space->metric) {
    case NACRE_L2: return *scale = sqrt(square);
    case NACRE_COSINE: return *scale = 1, 1 - dot / norms;
    default: return *scale = norms, -dot;
    }
}

static bool same_vector(const Space *space, uint32_t a, uint32_t b) {
    const float *x = space->vectors + (size_t)a * space->dimensions;
    const float *y = space->vectors + (size_t)b * space->dimensions;
    return memcmp(x, y, space->dimensions * sizeof *x) == 0;
}

static bool row_is(const Space *space, uint32_t key, const nacre_row *row) {
    Facts facts = facts_of(key, space->version[key]);
    const float *vector = space->vectors + (size_t)key * space->dimensions;
    if (row->key_count != 1 || row->field_count != 5 || !row->vector) return false;
    if (memcmp(row->vector, vector, space->dimensions * sizeof *vector) != 0) return false;
    if ((row->fields[0].type == NACRE_NULL) != facts.i_null) return false;
    return row->fields[3].integer == facts.b && fabs(row->fields[2].real - facts.r) < 1e-12;
}

/* Every hit is a living row that matches, shown as it was put, at its distance, in order;
 * and no row that is not a hit is nearer than the last one. */
static void check_hits(const Space *space, const nacre_snapshot *snapshot, const float *query, uint32_t k,
                       const Where *where) {
    nacre_search_options options = NACRE_SEARCH_INIT;
    nacre_hits *hits = NULL;
    options.k = k;
    options.where_json = where ? where->json : NULL;
    if (!CHECK_EQ(nacre_search(space->membrane, snapshot, query, &options, &hits), NACRE_OK)) return;
    uint32_t count = nacre_hits_count(hits), want = 0;
    bool *is_hit = calloc(space->rows, sizeof *is_hit);
    double last = 0, scale = 0;
    float before = 0;
    int64_t before_key = -1;
    for (uint32_t i = 0; i < count; i++) {
        float distance = 0;
        nacre_row row = {0};
        if (!CHECK_EQ(nacre_hits_at(hits, i, &distance, &row), NACRE_OK)) break;
        uint32_t key = (uint32_t)row.key[0].integer;
        if (!CHECK(key < space->rows && space->version[key] && !is_hit[key])) break;
        Facts facts = facts_of(key, space->version[key]);
        CHECK(!where || where->matches(&facts));
        CHECK(row_is(space, key, &row));
        last = oracle(space, query, space->vectors + (size_t)key * space->dimensions, &scale);
        CHECK_NEAR(distance, last, 1e-5 * scale);
        CHECK(i == 0 || distance > before || (distance <= before && distance >= before && key > before_key));
        before = distance, before_key = key;
        is_hit[key] = true;
    }
    for (uint32_t key = 0; key < space->rows; key++) {
        Facts facts = facts_of(key, space->version[key]);
        if (space->version[key] == 0 || (where && !where->matches(&facts))) continue;
        want++;
        if (is_hit[key]) continue;
        double distance = oracle(space, query, space->vectors + (size_t)key * space->dimensions, &scale);
        CHECK(distance >= last - 2e-5 * scale);
        for (uint32_t other = key + 1; other < space->rows; other++) /* ties by key */
            if (is_hit[other] && same_vector(space, key, other)) CHECK(key > other);
    }
    CHECK_EQ(count, want < (k ? k : 10) ? want : (k ? k : 10));
    CHECK_EQ(nacre_hits_at(hits, count, NULL, NULL), NACRE_NOT_FOUND);
    free(is_hit);
    nacre_hits_free(hits);
}

/* Queries that equal a row and queries that do not, for few rows and for more than all. */
static void check_space(const Space *space, const nacre_snapshot *snapshot, uint64_t *random, uint32_t filters) {
    float *query = malloc(space->dimensions * sizeof *query);
    static const uint32_t ks[4] = {1, 0, 37, 10000};
    for (uint32_t q = 0; q < 4; q++) {
        vector_of(space, (uint32_t)(test_random(random) % space->rows), q < 2 ? 1 : 777777, query);
        check_hits(space, snapshot, query, ks[q], NULL);
    }
    for (uint32_t f = 0; f < filters; f++)
        check_hits(space, snapshot, query, f % 2 ? 5 : 10000, &wheres[test_random(random) % WHERE_COUNT]);
    free(query);
}

/* ---- databases ---- */

static nacre_db *open_on(SimDisk *disk, uint64_t memtable) {
    nacre_options options = NACRE_OPTIONS_INIT;
    nacre_error error = {NACRE_OK, ""};
    nacre_db *db = NULL;
    options.vfs = sim_disk_vfs(disk);
    options.memory = 16 << 20;
    options.memtable_size = memtable;
    options.segment_size = 128 << 10;
    options.durability = NACRE_NONE;
    options.seed = 9;
    if (!CHECK_EQ(nacre_open("db", &options, &db, &error), NACRE_OK)) check_that(__FILE__, __LINE__, error.text, false);
    return db;
}

static const uint32_t sizes[6][2] = {{1, 240}, {3, 240}, {16, 240}, {100, 120}, {384, 60}, {5000, 24}};

/* Collections of different dimensions in one database (E24), through flushes and merges. */
static void equals_the_scan(nacre_metric metric) {
    SimDisk *disk = sim_disk_new(metric);
    nacre_db *db = open_on(disk, 256 << 10);
    REQUIRE(db);
    Space spaces[6];
    uint64_t random = test_seed() + metric;
    for (int i = 0; i < 6; i++) spaces[i] = space_make(db, metric, sizes[i][0], sizes[i][1]);
    for (int round = 0; round < 7; round++) {
        for (int i = 0; i < 6; i++) space_change(&spaces[i], spaces[i].rows / 2, &random);
        if (round == 4) CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
        if (round == 1 || round == 2 || round == 5) CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
        if (round == 5) {
            CHECK(db->version->count > 1); /* several runs */
            CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
            db = open_on(disk, 256 << 10);
            REQUIRE(db);
            for (int i = 0; i < 6; i++) {
                char name[32];
                snprintf(name, sizeof name, "space-%u-%d", spaces[i].dimensions, (int)metric);
                CHECK_EQ(nacre_membrane_open(db, name, NULL, &spaces[i].membrane), NACRE_OK);
            }
        }
        for (int i = 0; i < 6; i++) check_space(&spaces[i], NULL, &random, 3);
    }
    for (int i = 0; i < 6; i++) space_free(&spaces[i]);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

static void l2_equals_the_scan(void) { equals_the_scan(NACRE_L2); }
static void cosine_equals_the_scan(void) { equals_the_scan(NACRE_COSINE); }
static void ip_equals_the_scan(void) { equals_the_scan(NACRE_IP); }

/* A row in the frozen memtable is found, unless the active one knows better (C04, D09). */
static void the_frozen_memtable_is_searched(void) {
    SimDisk *disk = sim_disk_new(21);
    nacre_db *db = open_on(disk, 64 << 10);
    REQUIRE(db);
    Space space = space_make(db, NACRE_L2, 16, 2000);
    uint64_t random = test_seed() + 21;
    int frozen = 0;
    for (uint32_t i = 0; i < 3000; i++) {
        space_change(&space, 1, &random);
        if (!db->frozen || frozen >= 12 || test_random(&random) % 8) continue;
        CHECK(db->frozen->record_count > 0);
        check_space(&space, NULL, &random, 1);
        frozen++;
    }
    CHECK(frozen >= 5);
    space_free(&space);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* F22, E02: every operator means what the C evaluator says, in memtables and in segments. */
static void filters_mean_what_they_say(void) {
    SimDisk *disk = sim_disk_new(22);
    nacre_db *db = open_on(disk, 256 << 10);
    REQUIRE(db);
    Space space = space_make(db, NACRE_COSINE, 8, 400);
    uint64_t random = test_seed() + 22;
    float query[8];
    for (int round = 0; round < 3; round++) {
        space_change(&space, 400, &random);
        vector_of(&space, 5, 99, query);
        for (int f = 0; f < WHERE_COUNT; f++)
            for (uint32_t k = 1; k <= 1000; k *= 10) check_hits(&space, NULL, query, k, &wheres[f]);
        CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    }
    space_free(&space);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

static uint32_t space_matching(const Space *space, const Where *where, uint32_t from, bool *matches) {
    uint32_t count = 0;
    for (uint32_t key = 0; key < space->rows; key++) {
        Facts facts = facts_of(key, space->version[key]);
        matches[key] = key >= from && space->version[key] && where->matches(&facts);
        count += matches[key];
    }
    return count;
}

/* Each matching row once, in its order, and no other. */
static void check_cursor(const Space *space, const nacre_snapshot *snapshot, const nacre_range *range, const bool *matches) {
    nacre_cursor *cursor = NULL;
    nacre_row row;
    nacre_status status = nacre_cursor_open(space->membrane, snapshot, range, &cursor);
    for (uint32_t i = 0; i < space->rows; i++) {
        uint32_t key = range->reverse ? space->rows - 1 - i : i;
        if (!matches[key]) continue;
        if (status == NACRE_OK) status = nacre_cursor_next(cursor, &row);
        if (!CHECK_EQ(status, NACRE_OK) || !CHECK_EQ(row.key[0].integer, key)) break;
    }
    if (status == NACRE_OK) CHECK_EQ(nacre_cursor_next(cursor, &row), NACRE_NOT_FOUND);
    nacre_cursor_close(cursor);
}

/* F30: rows are counted, shown and cleared by the same filters that searches take. */
static void f30_filters_count_show_and_clear(void) {
    SimDisk *disk = sim_disk_new(24);
    nacre_db *db = open_on(disk, 256 << 10);
    REQUIRE(db);
    Space space = space_make(db, NACRE_L2, 3, 300);
    bool *matches = calloc(space.rows, sizeof *matches);
    uint64_t random = test_seed() + 24, count = 0;
    for (int f = 0; f < WHERE_COUNT; f++) {
        nacre_range range = NACRE_RANGE_INIT;
        nacre_transaction *tx = NULL;
        nacre_value from = nacre_integer(60);
        space_change(&space, 300, &random);
        if (f % 3 == 0) CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
        range.where_json = wheres[f].json;
        if (f % 2) range.gte = &from;
        uint32_t want = space_matching(&space, &wheres[f], f % 2 ? 60 : 0, matches);
        CHECK_EQ(nacre_count(space.membrane, NULL, &range, &count), NACRE_OK);
        CHECK_EQ(count, want);
        for (int reverse = 0; reverse < 2; reverse++) {
            range.reverse = reverse == 1;
            check_cursor(&space, NULL, &range, matches);
        }
        range.reverse = false;
        CHECK_EQ(nacre_begin(db, &tx), NACRE_OK); /* cleared, and rolled back */
        CHECK_EQ(nacre_transaction_clear(tx, space.membrane, &range, &count), NACRE_OK);
        CHECK_EQ(count, want);
        CHECK_EQ(nacre_count(space.membrane, nacre_transaction_snapshot(tx), &range, &count), NACRE_OK);
        CHECK_EQ(count, 0);
        nacre_rollback(tx);
        check_cursor(&space, NULL, &range, matches);
        CHECK_EQ(nacre_clear(space.membrane, &range, &count), NACRE_OK);
        CHECK_EQ(count, want);
        for (uint32_t key = 0; key < space.rows; key++) {
            if (matches[key]) space.version[key] = 0;
            matches[key] = space.version[key] != 0;
        }
        range.where_json = NULL, range.gte = NULL;
        check_cursor(&space, NULL, &range, matches);
    }
    free(matches);
    space_free(&space);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* C07: a search in a snapshot answers from its state, whatever was written since, also
 * after later searches have learned which rows are dead. */
static void a_snapshot_is_searched_as_it_was(void) {
    SimDisk *disk = sim_disk_new(23);
    nacre_db *db = open_on(disk, 64 << 10);
    REQUIRE(db);
    Space space = space_make(db, NACRE_L2, 16, 300), kept[3];
    nacre_snapshot *snapshots[3];
    uint64_t random = test_seed() + 23;
    for (int i = 0; i < 3; i++) {
        space_change(&space, 250, &random);
        if (i == 1) CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
        CHECK_EQ(nacre_snapshot_open(db, &snapshots[i]), NACRE_OK);
        kept[i] = space_copy(&space);
    }
    for (int round = 0; round < 6; round++) {
        space_change(&space, 250, &random);
        if (round == 2) CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
        if (round == 4) CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
        check_space(&space, NULL, &random, 1);
        for (int i = 0; i < 3; i++) check_space(&kept[i], snapshots[i], &random, 1);
    }
    for (int i = 0; i < 3; i++) {
        nacre_snapshot_release(snapshots[i]);
        space_free(&kept[i]);
    }
    space_free(&space);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* Hits are the caller's: good while the database goes on. */
static void hits_outlive_writes(void) {
    SimDisk *disk = sim_disk_new(24);
    nacre_db *db = open_on(disk, 64 << 10);
    REQUIRE(db);
    Space space = space_make(db, NACRE_IP, 16, 100), kept;
    uint64_t random = test_seed() + 24;
    nacre_hits *hits = NULL;
    float query[16];
    for (uint32_t key = 0; key < 100; key++) space_put(&space, key, 1);
    CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    vector_of(&space, 1, 2, query);
    CHECK_EQ(nacre_search(space.membrane, NULL, query, NULL, &hits), NACRE_OK);
    kept = space_copy(&space);
    space_change(&space, 400, &random);
    CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    CHECK_EQ(nacre_hits_count(hits), 10);
    for (uint32_t i = 0; i < nacre_hits_count(hits); i++) {
        nacre_row row;
        CHECK_EQ(nacre_hits_at(hits, i, NULL, &row), NACRE_OK);
        CHECK(row_is(&kept, (uint32_t)row.key[0].integer, &row));
    }
    nacre_hits_free(hits);
    space_free(&space);
    space_free(&kept);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* E02, C29: what cannot be searched is refused, and the database goes on. */
static void wrong_searches_are_refused(void) {
    SimDisk *disk = sim_disk_new(25);
    nacre_db *db = open_on(disk, 64 << 10), *other = NULL;
    REQUIRE(db);
    Space space = space_make(db, NACRE_COSINE, 3, 10);
    nacre_membrane *kv = NULL, *table = NULL;
    nacre_schema kv_schema = nacre_schema_kv(NACRE_TEXT, NACRE_TEXT);
    nacre_schema table_schema = nacre_schema_table(NACRE_INTEGER, space_fields, 5);
    float query[3] = {1, 2, 3};
    nacre_hits *hits = NULL;
    CHECK_EQ(nacre_membrane_open(db, "kv", &kv_schema, &kv), NACRE_OK);
    CHECK_EQ(nacre_membrane_open(db, "table", &table_schema, &table), NACRE_OK);
    CHECK_EQ(nacre_search(kv, NULL, query, NULL, &hits), NACRE_WRONG_KIND);
    CHECK_EQ(nacre_search(table, NULL, query, NULL, &hits), NACRE_WRONG_KIND);
    CHECK(strstr(nacre_message(db), "table"));
    CHECK_EQ(nacre_search(space.membrane, NULL, NULL, NULL, &hits), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_search(space.membrane, NULL, query, NULL, NULL), NACRE_INVALID_ARGUMENT);
    static const float bad[3] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        float wrong[3] = {1, bad[i], 1};
        CHECK_EQ(nacre_search(space.membrane, NULL, wrong, NULL, &hits), NACRE_INVALID_ARGUMENT);
    }
    CHECK_EQ(nacre_search(space.membrane, NULL, (float[3]){0, -0.0f, 0}, NULL, &hits), NACRE_INVALID_ARGUMENT);
    static const char *const wrong[] = {
        "", "[]", "5", "{", "{\"i\":5}x", "{\"nope\":1}", "{\"i\":\"five\"}", "{\"i\":{\"like\":5}}", "{\"i\":{}}",
        "{\"t\":{\"gt\":null}}", "{\"i\":{\"contains\":5}}", "{\"r\":{\"startsWith\":\"1\"}}", "{\"and\":{}}",
        "{\"not\":[]}", "{\"i\":{\"in\":5}}", "{\"t\":{\"exists\":1}}", "{\"b\":1}", "{\"key\":\"a\"}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        nacre_search_options options = NACRE_SEARCH_INIT;
        options.where_json = wrong[i];
        if (!CHECK_EQ(nacre_search(space.membrane, NULL, query, &options, &hits), NACRE_INVALID_ARGUMENT))
            check_that(__FILE__, __LINE__, wrong[i], false);
        CHECK(nacre_message(db)[0]);
    }
    nacre_search_options options = NACRE_SEARCH_INIT;
    options.struct_size = 1;
    CHECK_EQ(nacre_search(space.membrane, NULL, query, &options, &hits), NACRE_INVALID_ARGUMENT);
    nacre_snapshot *foreign = NULL;
    CHECK_EQ(nacre_open(":memory:", NULL, &other, NULL), NACRE_OK);
    CHECK_EQ(nacre_snapshot_open(other, &foreign), NACRE_OK);
    CHECK_EQ(nacre_search(space.membrane, foreign, query, NULL, &hits), NACRE_MISUSE);
    nacre_snapshot_release(foreign);
    CHECK_EQ(nacre_close(other, NULL), NACRE_OK);
    CHECK(hits == NULL);
    /* Wrong vectors are refused when they are put, and nothing is there then. */
    nacre_value key = nacre_integer(1), none[5] = {{0}};
    CHECK_EQ(nacre_put(space.membrane, &key, NULL, none), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_put(space.membrane, &key, (float[3]){0, 0, 0}, none), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_put(space.membrane, &key, (float[3]){1, NAN, 0}, none), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_put(table, &key, query, none), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_search(space.membrane, NULL, query, NULL, &hits), NACRE_OK);
    CHECK_EQ(nacre_hits_count(hits), 0);
    nacre_hits_free(hits);
    space_put(&space, 1, 1);
    check_hits(&space, NULL, query, 10, NULL);
    space_free(&space);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* ---- options ---- */

static Space space_spread(nacre_db *db, nacre_metric metric) {
    uint64_t random = 11;
    Space space = space_make(db, metric, 6, 300);
    for (uint32_t i = 0; i < 200; i++) space_put(&space, i, 1);
    CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    space_change(&space, 150, &random);
    return space;
}

static bool hits_equal(nacre_hits *a, nacre_hits *b, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        float x = 0, y = 0;
        nacre_row row = {0};
        if (nacre_hits_at(a, i, &x, &row) != NACRE_OK) return false;
        int64_t key = row.key[0].integer;
        if (nacre_hits_at(b, i, &y, &row) != NACRE_OK || x != y || key != row.key[0].integer) return false;
    }
    return true;
}

static void f23_max_distance_leaves_out_what_is_farther(void) {
    static const float query[6] = {1, -1, 0.5f, 2, 0, -0.25f};
    nacre_db *db = NULL;
    CHECK_EQ(nacre_open(":memory:", NULL, &db, NULL), NACRE_OK);
    for (int metric = NACRE_L2; metric <= NACRE_IP; metric++) {
        Space space = space_spread(db, (nacre_metric)metric);
        nacre_search_options options = NACRE_SEARCH_INIT;
        nacre_hits *all = NULL, *near = NULL;
        options.k = 1000;
        CHECK_EQ(nacre_search(space.membrane, NULL, query, &options, &all), NACRE_OK);
        uint32_t count = nacre_hits_count(all);
        CHECK(count > 100);
        options.limited = true;
        for (uint32_t i = 0; i < count; i += 7) {
            uint32_t want = i + 1;
            float next = 0;
            CHECK_EQ(nacre_hits_at(all, i, &options.max_distance, NULL), NACRE_OK);
            while (want < count && nacre_hits_at(all, want, &next, NULL) == NACRE_OK && next == options.max_distance) want++;
            for (options.k = 5; options.k <= 1000; options.k += 995) {
                uint32_t some = want < options.k ? want : options.k;
                CHECK_EQ(nacre_search(space.membrane, NULL, query, &options, &near), NACRE_OK);
                CHECK_EQ(nacre_hits_count(near), some);
                CHECK(hits_equal(all, near, some));
                nacre_hits_free(near);
            }
        }
        nacre_hits_free(all);
        space_free(&space);
    }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

static void f18_many_searches_find_what_single_ones_find(void) {
    enum { MANY = 9 };
    nacre_db *db = NULL;
    float queries[MANY][6];
    nacre_hits *many[MANY] = {NULL}, *one = NULL;
    uint64_t random = 5;
    CHECK_EQ(nacre_open(":memory:", NULL, &db, NULL), NACRE_OK);
    Space space = space_spread(db, NACRE_COSINE);
    for (int q = 0; q < MANY; q++)
        for (int d = 0; d < 6; d++) queries[q][d] = (float)(test_random(&random) % 100) - 49.5f;
    nacre_search_options options = NACRE_SEARCH_INIT;
    options.k = 20;
    options.where_json = "{\"i\":{\"lt\":12}}";
    CHECK_EQ(nacre_search_many(space.membrane, NULL, queries[0], MANY, &options, many), NACRE_OK);
    for (int q = 0; q < MANY; q++) {
        CHECK_EQ(nacre_search(space.membrane, NULL, queries[q], &options, &one), NACRE_OK);
        CHECK_EQ(nacre_hits_count(many[q]), nacre_hits_count(one));
        CHECK(hits_equal(many[q], one, nacre_hits_count(one)));
        nacre_hits_free(one);
        nacre_hits_free(many[q]);
        many[q] = NULL;
    }
    queries[MANY - 1][2] = NAN; /* one that is refused refuses all */
    CHECK_EQ(nacre_search_many(space.membrane, NULL, queries[0], MANY, &options, many), NACRE_INVALID_ARGUMENT);
    for (int q = 0; q < MANY; q++) CHECK(many[q] == NULL);
    CHECK_EQ(nacre_search_many(space.membrane, NULL, queries[0], 0, &options, many), NACRE_OK);
    space_free(&space);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

static void f28_a_search_tells_what_it_did(void) {
    static const float query[6] = {1, -1, 0.5f, 2, 0, -0.25f};
    nacre_db *db = NULL;
    nacre_search_report report = {0};
    CHECK_EQ(nacre_open(":memory:", NULL, &db, NULL), NACRE_OK);
    Space space = space_make(db, NACRE_L2, 6, 300);
    for (uint32_t i = 0; i < 200; i++) space_put(&space, i, 1);
    CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    for (uint32_t i = 150; i < 300; i++) space_put(&space, i, 2);
    CHECK_EQ(nacre_search_explain(space.membrane, NULL, query, NULL, &report), NACRE_OK);
    CHECK_EQ(report.path, NACRE_PATH_EXACT);
    CHECK_EQ(report.codes_scored, 0);
    CHECK_EQ(report.reranked, 350);
    CHECK_EQ(report.segments, 1);
    CHECK(strcmp(nacre_search_path_name(report.path), "exact") == 0);
    CHECK(strcmp(nacre_search_path_name((nacre_search_path)99), "unknown") == 0);
    space_free(&space);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

static void f23_a_search_ends_when_its_time_is_over(void) {
    static const float query[6] = {1, 1, 1, 1, 1, 1};
    nacre_db *db = NULL;
    Hits *hits = NULL;
    CHECK_EQ(nacre_open(":memory:", NULL, &db, NULL), NACRE_OK);
    Space space = space_spread(db, NACRE_L2);
    SearchQuery late = {.vector = query, .k = 1, .deadline_ms = 1}; /* in 1970 */
    CHECK_EQ(db_search(space.membrane, NULL, &late, &hits), NACRE_TIMEOUT);
    CHECK(hits == NULL && strstr(nacre_message(db), "space-6") != NULL);
    late.deadline_ms = UINT64_MAX;
    CHECK_EQ(db_search(space.membrane, NULL, &late, &hits), NACRE_OK);
    hits_free(hits);
    space_free(&space);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

void search_test(void) {
    RUN(f23_max_distance_leaves_out_what_is_farther);
    RUN(f18_many_searches_find_what_single_ones_find);
    RUN(f28_a_search_tells_what_it_did);
    RUN(f23_a_search_ends_when_its_time_is_over);
    RUN(l2_equals_the_scan);
    RUN(cosine_equals_the_scan);
    RUN(ip_equals_the_scan);
    RUN(the_frozen_memtable_is_searched);
    RUN(filters_mean_what_they_say);
    RUN(f30_filters_count_show_and_clear);
    RUN(a_snapshot_is_searched_as_it_was);
    RUN(hits_outlive_writes);
    RUN(wrong_searches_are_refused);
}
