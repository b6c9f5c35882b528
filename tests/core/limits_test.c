/* limits_test.c - each limit of limits.h and options.c at one less, exactly, one more
 * (C21, A18, C29), and memory budgets smaller than the work (A12, C27). */
#include "lib/check.h"
#include "lib/count_disk.h"
#include "lib/sim_disk.h"

#include "db/state.h"
#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>

static nacre_db *open_memory(void) {
    nacre_options options = NACRE_OPTIONS_INIT;
    nacre_db *db = NULL;
    options.memory = 32 << 20;
    options.seed = 2;
    CHECK_EQ(nacre_open(":memory:", &options, &db, NULL), NACRE_OK);
    return db;
}

static void limits_are_told(void) {
    nacre_limits limits = nacre_limits_get();
    CHECK_EQ(limits.key_size_max, 64 << 10);
    CHECK_EQ(limits.value_size_max, 256 << 20);
    CHECK_EQ(limits.name_size_max, 255);
    CHECK_EQ(limits.dimensions_max, 16384);
    CHECK_EQ(limits.fields_max, 256);
    CHECK_EQ(limits.key_parts_max, 16);
    CHECK_EQ(limits.k_max, 10000);
    CHECK_EQ(limits.membranes_max, 100000);
}

/* Keys of 64 KiB go through memtable, segment, cursor and search for them; also those whose
 * encoding is twice as long. */
static void keys_up_to_the_limit(void) {
    static const uint8_t fills[3] = {'k', 0, 0xff};
    nacre_db *db = open_memory();
    nacre_schema schema = nacre_schema_kv(NACRE_BYTES, NACRE_TEXT), pair = nacre_schema_kv(NACRE_BYTES, NACRE_TEXT);
    nacre_membrane *kv = NULL, *pairs = NULL;
    uint8_t *bytes = malloc(LIMIT_KEY_SIZE + 1);
    pair.key_count = 2, pair.key_types[1] = NACRE_INTEGER;
    CHECK_EQ(nacre_membrane_open(db, "kv", &schema, &kv), NACRE_OK);
    CHECK_EQ(nacre_membrane_open(db, "pairs", &pair, &pairs), NACRE_OK);
    nacre_value value = nacre_text("value");
    for (int round = 0; round < 2; round++) {
        for (int f = 0; f < 3; f++)
            for (int over = -1; over <= 1; over++) {
                size_t size = (size_t)(LIMIT_KEY_SIZE + over);
                nacre_status want = over > 0 ? NACRE_INVALID_ARGUMENT : NACRE_OK;
                nacre_row row;
                memset(bytes, fills[f], size);
                nacre_value key = nacre_bytes(bytes, size), two[2] = {nacre_bytes(bytes, size - 8), nacre_integer(f)};
                if (round == 0) CHECK_EQ(nacre_put(kv, &key, NULL, &value), want);
                if (round == 0) CHECK_EQ(nacre_put(pairs, two, NULL, &value), want);
                if (round == 0 && want != NACRE_OK) CHECK(strstr(nacre_message(db), "key"));
                CHECK_EQ(nacre_get(kv, NULL, &key, &row), want);
                if (want == NACRE_OK) CHECK_BYTES(row.key[0].bytes.data, row.key[0].bytes.size, bytes, size);
                CHECK_EQ(nacre_get(pairs, NULL, two, &row), want);
                if (want == NACRE_OK) CHECK_BYTES(row.key[0].bytes.data, row.key[0].bytes.size, bytes, size - 8);
            }
        uint64_t count = 0;
        CHECK_EQ(nacre_count(kv, NULL, NULL, &count), NACRE_OK);
        CHECK_EQ(count, 6);
        nacre_range range = NACRE_RANGE_INIT;
        nacre_value bound = nacre_bytes(bytes, LIMIT_KEY_SIZE); /* FFs: the greatest key there can be */
        range.lte = &bound;
        CHECK_EQ(nacre_count(kv, NULL, &range, &count), NACRE_OK);
        CHECK_EQ(count, 6);
        range.gt = &bound;
        CHECK_EQ(nacre_count(kv, NULL, &range, &count), NACRE_OK);
        CHECK_EQ(count, 0);
        CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    }
    free(bytes);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

/* The size is judged before a byte of the value is read or a place for it made. */
static void values_up_to_the_limit(void) {
    nacre_db *db = open_memory();
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    nacre_field field = {"f", NACRE_BYTES, false};
    nacre_schema table_schema = nacre_schema_table(NACRE_INTEGER, &field, 1);
    nacre_membrane *kv = NULL, *table = NULL;
    nacre_batch *batch = NULL;
    uint8_t byte = 1;
    CHECK_EQ(nacre_membrane_open(db, "kv", &schema, &kv), NACRE_OK);
    CHECK_EQ(nacre_membrane_open(db, "table", &table_schema, &table), NACRE_OK);
    nacre_value key = nacre_integer(1), over = nacre_bytes(&byte, LIMIT_VALUE_SIZE + 1), at = nacre_bytes(&byte, LIMIT_VALUE_SIZE);
    CHECK_EQ(nacre_put(kv, &key, NULL, &over), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_put(table, &key, NULL, &over), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_put(table, &key, NULL, &at), NACRE_INVALID_ARGUMENT); /* the row is a little longer */
    CHECK_EQ(nacre_put(kv, &key, NULL, &at), NACRE_RESOURCE_EXHAUSTED); /* allowed, but not within 32 MiB */
    CHECK_EQ(nacre_batch_begin(db, &batch), NACRE_OK);
    CHECK_EQ(nacre_batch_put(batch, kv, &key, NULL, &over), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_batch_put(batch, kv, &key, NULL, &at), NACRE_RESOURCE_EXHAUSTED);
    nacre_value small = nacre_bytes(&byte, 1);
    CHECK_EQ(nacre_batch_put(batch, kv, &key, NULL, &small), NACRE_OK); /* the batch goes on */
    CHECK_EQ(nacre_batch_commit(batch), NACRE_OK);
    nacre_row row;
    CHECK_EQ(nacre_get(kv, NULL, &key, &row), NACRE_OK);
    CHECK_EQ(row.fields[0].bytes.size, 1);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

/* Larger than a memtable, an extent, a segment: each is there, before and after a merge. */
static void large_values_pass(void) {
    nacre_db *db = open_memory();
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    nacre_membrane *kv = NULL;
    static const size_t sizes[5] = {0, 1, 65536, 1 << 20, 5 << 20};
    uint8_t *bytes = malloc(5 << 20);
    CHECK_EQ(nacre_membrane_open(db, "kv", &schema, &kv), NACRE_OK);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 5; i++) {
            nacre_value key = nacre_integer(i), value = nacre_bytes(bytes, sizes[i]);
            nacre_row row;
            memset(bytes, i + 1, sizes[i]);
            if (round == 0) CHECK_EQ(nacre_put(kv, &key, NULL, &value), NACRE_OK);
            CHECK_EQ(nacre_get(kv, NULL, &key, &row), NACRE_OK);
            CHECK_BYTES(row.fields[0].bytes.data, row.fields[0].bytes.size, bytes, sizes[i]);
        }
        CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    }
    free(bytes);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

static void schemas_up_to_the_limits(void) {
    nacre_db *db = open_memory();
    static nacre_field fields[LIMIT_FIELDS + 1];
    static char names[LIMIT_FIELDS + 1][8], long_name[LIMIT_NAME_SIZE + 2];
    nacre_membrane *membrane = NULL;
    char name[16];
    for (int i = 0; i <= LIMIT_FIELDS; i++) {
        snprintf(names[i], sizeof names[i], "f%d", i);
        fields[i] = (nacre_field){names[i], NACRE_INTEGER, false};
    }
    static const uint32_t dimensions[5] = {0, 1, LIMIT_DIMENSIONS - 1, LIMIT_DIMENSIONS, LIMIT_DIMENSIONS + 1};
    for (int i = 0; i < 5; i++) {
        nacre_schema schema = nacre_schema_collection(NACRE_INTEGER, dimensions[i], NACRE_L2, NULL, 0);
        snprintf(name, sizeof name, "d%d", i);
        CHECK_EQ(nacre_membrane_open(db, name, &schema, &membrane), i % 4 ? NACRE_OK : NACRE_INVALID_ARGUMENT);
        if (i % 4 == 0) CHECK(strstr(nacre_message(db), "dimensions"));
    }
    for (uint32_t over = 0; over < 3; over++) { /* one less, exactly, one more */
        nacre_status want = over < 2 ? NACRE_OK : NACRE_INVALID_ARGUMENT;
        nacre_schema many = nacre_schema_table(NACRE_INTEGER, fields, LIMIT_FIELDS - 1 + over);
        nacre_schema parts = nacre_schema_kv(NACRE_INTEGER, NACRE_TEXT);
        parts.key_count = LIMIT_KEY_PARTS - 1 + over;
        for (uint32_t i = 0; i < NACRE_KEY_PARTS_MAX; i++) parts.key_types[i] = NACRE_INTEGER;
        snprintf(name, sizeof name, "m%u", over);
        CHECK_EQ(nacre_membrane_open(db, name, &many, &membrane), want);
        for (uint32_t i = 0; i < LIMIT_INDEXED - 1 + over; i++) fields[i].indexed = true;
        nacre_schema indexed = nacre_schema_table(NACRE_INTEGER, fields, LIMIT_INDEXED + 2);
        snprintf(name, sizeof name, "i%u", over);
        CHECK_EQ(nacre_membrane_open(db, name, &indexed, &membrane), want);
        for (uint32_t i = 0; i < LIMIT_INDEXED + 1; i++) fields[i].indexed = false;
        snprintf(name, sizeof name, "p%u", over);
        CHECK_EQ(nacre_membrane_open(db, name, &parts, &membrane), want);
        memset(long_name, 'x', sizeof long_name);
        long_name[LIMIT_NAME_SIZE - 1 + over] = 0;
        nacre_field field = {long_name, NACRE_TEXT, false};
        nacre_schema named = nacre_schema_table(NACRE_INTEGER, &field, 1), kv = nacre_schema_kv(NACRE_TEXT, NACRE_TEXT);
        snprintf(name, sizeof name, "n%u", over);
        CHECK_EQ(nacre_membrane_open(db, name, &named, &membrane), want);
        CHECK_EQ(nacre_membrane_open(db, long_name, &kv, &membrane), want);
    }
    nacre_schema none = nacre_schema_kv(NACRE_INTEGER, NACRE_TEXT);
    none.key_count = 0;
    CHECK_EQ(nacre_membrane_open(db, "none", &none, &membrane), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

static nacre_db *open_with_room(CountDisk *disk) {
    nacre_options options = NACRE_OPTIONS_INIT;
    nacre_db *db = NULL;
    options.vfs = count_disk_vfs(disk);
    options.memory = 256 << 20;
    options.seed = 2;
    options.durability = NACRE_NONE;
    CHECK_EQ(nacre_open("db", &options, &db, NULL), NACRE_OK);
    return db;
}

/* At the limit everything goes on but making another one, also after it was opened again. */
static void c21_membranes_up_to_the_limit(void) {
    CountDisk *disk = count_disk_new(NULL);
    nacre_db *db = open_with_room(disk);
    nacre_schema schema = nacre_schema_kv(NACRE_TEXT, NACRE_TEXT);
    nacre_membrane *membrane = NULL;
    char name[16];
    for (uint32_t i = 0; i < LIMIT_MEMBRANES; i++) {
        snprintf(name, sizeof name, "m%06u", i);
        if (!CHECK_EQ(nacre_membrane_open(db, name, &schema, &membrane), NACRE_OK)) break;
    }
    nacre_value key = nacre_text("key"), value = nacre_text("value");
    CHECK_EQ(nacre_put(membrane, &key, NULL, &value), NACRE_OK); /* into the last one */
    for (int round = 0; round < 2; round++) {
        nacre_membrane *over = NULL, *at = NULL;
        CHECK_EQ(nacre_membrane_open(db, "over", &schema, &over), NACRE_RESOURCE_EXHAUSTED);
        CHECK(strstr(nacre_message(db), "membranes"));
        CHECK_EQ(nacre_membrane_open(db, "over", NULL, &over), NACRE_NOT_FOUND);
        CHECK_EQ(nacre_membrane_at(db, LIMIT_MEMBRANES - 1, &at), NACRE_OK);
        CHECK_EQ(nacre_membrane_at(db, LIMIT_MEMBRANES, &over), NACRE_NOT_FOUND);
        CHECK_EQ(nacre_membrane_drop(db, "m000007"), NACRE_OK);
        CHECK_EQ(nacre_membrane_open(db, "m000007", &schema, &membrane), NACRE_OK); /* exactly one */
        CHECK_EQ(nacre_membrane_open(db, "over", &schema, &over), NACRE_RESOURCE_EXHAUSTED);
        CHECK(!over);
        if (round) break;
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        db = open_with_room(disk);
    }
    nacre_row row;
    CHECK_EQ(nacre_membrane_open(db, "m099999", NULL, &membrane), NACRE_OK);
    CHECK_EQ(nacre_get(membrane, NULL, &key, &row), NACRE_OK);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    count_disk_free(disk);
}

static void the_widest_vectors_are_kept_and_found(void) {
    nacre_db *db = open_memory();
    nacre_schema schema = nacre_schema_collection(NACRE_INTEGER, LIMIT_DIMENSIONS, NACRE_IP, NULL, 0);
    nacre_membrane *membrane = NULL;
    float *vector = calloc(LIMIT_DIMENSIONS, sizeof *vector);
    nacre_hits *hits = NULL;
    CHECK_EQ(nacre_membrane_open(db, "wide", &schema, &membrane), NACRE_OK);
    for (int i = 0; i < 5; i++) {
        nacre_value key = nacre_integer(i);
        vector[LIMIT_DIMENSIONS - 1] = (float)i;
        CHECK_EQ(nacre_put(membrane, &key, vector, NULL), NACRE_OK);
        if (i == 2) CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    }
    static const uint32_t ks[4] = {LIMIT_K - 1, LIMIT_K, LIMIT_K + 1, UINT32_MAX};
    for (int i = 0; i < 4; i++) {
        nacre_search_options options = NACRE_SEARCH_INIT;
        options.k = ks[i];
        CHECK_EQ(nacre_search(membrane, NULL, vector, &options, &hits), i < 2 ? NACRE_OK : NACRE_INVALID_ARGUMENT);
        if (i >= 2) continue;
        float distance = 0;
        nacre_row row;
        CHECK_EQ(nacre_hits_count(hits), 5);
        CHECK_EQ(nacre_hits_at(hits, 0, &distance, &row), NACRE_OK);
        CHECK_EQ(row.key[0].integer, 4);
        CHECK_NEAR(distance, -16, 1e-6);
        nacre_hits_free(hits);
    }
    free(vector);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

static void ten_thousand_hits_are_found(void) {
    nacre_db *db = open_memory();
    nacre_membrane *membrane = NULL;
    nacre_schema schema = nacre_schema_collection(NACRE_INTEGER, 1, NACRE_L2, NULL, 0);
    nacre_search_options options = NACRE_SEARCH_INIT;
    nacre_batch *batch = NULL;
    nacre_hits *hits = NULL;
    nacre_row row;
    float query = 0;
    CHECK_EQ(nacre_membrane_open(db, "m", &schema, &membrane), NACRE_OK);
    CHECK_EQ(nacre_batch_begin(db, &batch), NACRE_OK);
    for (int i = 0; i <= LIMIT_K; i++) {
        nacre_value key = nacre_integer(i);
        float vector = (float)i;
        CHECK_EQ(nacre_batch_put(batch, membrane, &key, &vector, NULL), NACRE_OK);
    }
    CHECK_EQ(nacre_batch_commit(batch), NACRE_OK);
    options.k = LIMIT_K;
    CHECK_EQ(nacre_search(membrane, NULL, &query, &options, &hits), NACRE_OK);
    CHECK_EQ(nacre_hits_count(hits), LIMIT_K);
    for (uint32_t i = 0; i < LIMIT_K; i++)
        if (CHECK_EQ(nacre_hits_at(hits, i, NULL, &row), NACRE_OK)) CHECK_EQ(row.key[0].integer, i);
    nacre_hits_free(hits);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

/* C21: recursion is bounded by construction. */
static void filters_up_to_the_limits(void) {
    nacre_db *db = open_memory();
    nacre_field field = {"f", NACRE_INTEGER, false};
    nacre_schema schema = nacre_schema_collection(NACRE_INTEGER, 1, NACRE_L2, &field, 1);
    nacre_membrane *membrane = NULL;
    float query = 1;
    char *json = malloc(400000);
    CHECK_EQ(nacre_membrane_open(db, "m", &schema, &membrane), NACRE_OK);
    for (int depth = LIMIT_WHERE_DEPTH - 2; depth <= 40000; depth = depth < LIMIT_WHERE_DEPTH + 3 ? depth + 1 : depth * 10) {
        char *at = json;
        for (int i = 0; i < depth; i++) at += sprintf(at, "{\"not\":");
        at += sprintf(at, "{\"f\":1}");
        memset(at, '}', (size_t)depth), at[depth] = 0;
        nacre_search_options options = NACRE_SEARCH_INIT;
        nacre_hits *hits = NULL;
        options.where_json = json;
        nacre_status status = nacre_search(membrane, NULL, &query, &options, &hits);
        CHECK_EQ(status, depth <= LIMIT_WHERE_DEPTH ? NACRE_OK : NACRE_INVALID_ARGUMENT);
        nacre_hits_free(hits);
    }
    for (int count = LIMIT_WHERE_NODES - 3; count <= LIMIT_WHERE_NODES + 3; count++) {
        char *at = json + sprintf(json, "{\"f\":{\"in\":[0");
        for (int i = 1; i < count; i++) at += sprintf(at, ",%d", i);
        at += sprintf(at, "]}}");
        nacre_search_options options = NACRE_SEARCH_INIT;
        nacre_hits *hits = NULL;
        options.where_json = json;
        nacre_status status = nacre_search(membrane, NULL, &query, &options, &hits); /* and one node for the test */
        CHECK_EQ(status, count + 1 <= LIMIT_WHERE_NODES ? NACRE_OK : NACRE_INVALID_ARGUMENT);
        nacre_hits_free(hits);
    }
    free(json);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

/* ---- options (A18) ---- */

static nacre_status open_option(size_t offset, size_t size, uint64_t value, nacre_error *error) {
    nacre_options options = NACRE_OPTIONS_INIT;
    nacre_db *db = NULL;
    if (size == 4) memcpy((char *)&options + offset, &(uint32_t){(uint32_t)value}, 4);
    else memcpy((char *)&options + offset, &value, 8);
    nacre_status status = nacre_open(":memory:", &options, &db, error);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    return status;
}

#define OPTION(name) #name, offsetof(nacre_options, name), sizeof(((nacre_options *)0)->name)

static void options_have_ranges(void) {
    static const struct { const char *name; size_t offset, size; uint64_t low, high; } rows[] = {
        {OPTION(memory), 1 << 20, (uint64_t)1 << 40},
        {OPTION(memtable_size), 64 << 10, (uint64_t)1 << 30},
        {OPTION(segment_size), 64 << 10, (uint64_t)1 << 30},
        {OPTION(database_size), 256 << 10, (uint64_t)1 << 47},
        {OPTION(block_size), 4096, 65536},
        {OPTION(filter_bits), 1, 32},
        {OPTION(relaxed_ms), 1, 60000},
        {OPTION(checkpoint_ms), 1, 86400000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        nacre_error error = {NACRE_OK, ""};
        const uint64_t values[4] = {rows[i].low - 1, rows[i].low, rows[i].high, rows[i].high + 1};
        for (int v = 0; v < 4; v++) {
            if (values[v] == 0) continue; /* the default */
            nacre_status status = open_option(rows[i].offset, rows[i].size, values[v], &error);
            bool outside = v == 0 || v == 3;
            CHECK_EQ(status == NACRE_INVALID_ARGUMENT, outside);
            if (outside) CHECK(strstr(error.text, rows[i].name));
            else CHECK(status == NACRE_OK || status == NACRE_RESOURCE_EXHAUSTED); /* 1 GiB of memtable in 64 MiB */
        }
        CHECK(strstr(nacre_options_describe(), rows[i].name));
        CHECK_EQ(open_option(rows[i].offset, rows[i].size, 0, &error), NACRE_OK);
    }
    nacre_error error;
    CHECK_EQ(open_option(offsetof(nacre_options, block_size), 4, 5000, &error), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(open_option(offsetof(nacre_options, filter_bits), 4, UINT32_MAX, &error), NACRE_OK);
    CHECK_EQ(open_option(offsetof(nacre_options, mode), sizeof(nacre_mode), 4, &error), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(open_option(offsetof(nacre_options, durability), sizeof(nacre_durability), 3, &error), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(open_option(offsetof(nacre_options, lock), sizeof(nacre_lock), 3, &error), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(open_option(offsetof(nacre_options, struct_size), sizeof(size_t), 8, &error), NACRE_INVALID_ARGUMENT);
    nacre_db *db = NULL;
    CHECK_EQ(nacre_open("", NULL, &db, &error), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_open(NULL, NULL, &db, &error), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_open(":memory:", NULL, NULL, &error), NACRE_INVALID_ARGUMENT);
}

/* C21: a database that may not grow refuses, and stays readable, also after a reopen.
 * Missed so far (J03): in that state nacre_clear and nacre_compact are QUOTA too, since the
 * frozen memtable finds no extent to be flushed to; nothing keeps a reserve for them. */
static void a_database_stays_within_its_size(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = NACRE_OPTIONS_INIT;
    nacre_db *db = NULL;
    nacre_membrane *kv = NULL;
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    uint8_t bytes[1000] = {0};
    options.vfs = sim_disk_vfs(disk);
    options.memtable_size = 64 << 10;
    options.database_size = 2 << 20;
    options.durability = NACRE_NONE;
    CHECK_EQ(nacre_open("db", &options, &db, NULL), NACRE_OK);
    CHECK_EQ(nacre_membrane_open(db, "kv", &schema, &kv), NACRE_OK);
    int64_t kept = 0;
    nacre_status status = NACRE_OK;
    for (; kept < 10000 && status == NACRE_OK; kept += status == NACRE_OK) {
        nacre_value key = nacre_integer(kept), value = nacre_bytes(bytes, sizeof bytes);
        status = nacre_put(kv, &key, NULL, &value);
    }
    uint64_t size = 0, count = 0;
    (void)sim_disk_bytes(disk, "db", &size);
    CHECK_EQ(status, NACRE_QUOTA);
    CHECK(kept > 500);
    CHECK(size <= options.database_size);
    CHECK_EQ(nacre_count(kv, NULL, NULL, &count), NACRE_OK);
    CHECK_EQ(count, kept);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    CHECK_EQ(nacre_open("db", &options, &db, NULL), NACRE_OK);
    CHECK_EQ(nacre_membrane_open(db, "kv", NULL, &kv), NACRE_OK);
    CHECK_EQ(nacre_count(kv, NULL, NULL, &count), NACRE_OK);
    CHECK_EQ(count, kept);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* ---- memory (A12) ---- */

typedef struct Heap {
    uint64_t used, peak;
} Heap;

static void *heap_alloc(void *self, size_t size) {
    Heap *heap = self;
    heap->used += size;
    if (heap->used > heap->peak) heap->peak = heap->used;
    return malloc(size);
}

static void heap_free(void *self, void *memory, size_t size) {
    ((Heap *)self)->used -= size;
    free(memory);
}

static uint64_t stat_of(nacre_db *db, const char *name) {
    const char *json = NULL;
    if (nacre_stats_json(db, &json) != NACRE_OK) return UINT64_MAX;
    const char *at = strstr(json, name);
    return at ? strtoull(at + strlen(name) + 2, NULL, 10) : UINT64_MAX;
}

enum { BUDGET_IDS = 4000, BUDGET_DIMENSIONS = 32 };

typedef struct Outcome {
    uint32_t version[BUDGET_IDS];
    uint64_t done, refused;
} Outcome;

static void budget_vector(uint32_t i, uint32_t version, float *out) {
    uint64_t random = (uint64_t)i << 32 | version;
    for (int d = 0; d < BUDGET_DIMENSIONS; d++) out[d] = (float)(int32_t)(test_random(&random) >> 40);
}

/* OK, or refused for want of memory: nothing else. */
static bool allowed(Outcome *o, nacre_status status) {
    o->refused += status == NACRE_RESOURCE_EXHAUSTED;
    o->done += status == NACRE_OK;
    return CHECK(status == NACRE_OK || status == NACRE_RESOURCE_EXHAUSTED) && status == NACRE_OK;
}

static void budget_work(nacre_db *db, nacre_membrane *membrane, Outcome *o, uint32_t operations, uint64_t *random) {
    static uint8_t text[3000];
    float vector[BUDGET_DIMENSIONS];
    memset(text, 'x', sizeof text);
    for (uint32_t n = 1; n <= operations; n++) {
        uint32_t i = (uint32_t)(test_random(random) % BUDGET_IDS);
        nacre_value key = nacre_integer(i), field = nacre_text_sized((char *)text, 200 + test_random(random) % 20 / 19 * 2500);
        nacre_row row;
        if (n % 1000 == 0) { /* a batch that alone may be too much */
            nacre_batch *batch = NULL;
            if (!allowed(o, nacre_batch_begin(db, &batch))) continue;
            bool whole = true;
            for (uint32_t b = 0; b < 600 && whole; b++) {
                budget_vector(b, n, vector);
                key = nacre_integer(b);
                whole = allowed(o, nacre_batch_put(batch, membrane, &key, vector, &field));
            }
            if (whole && allowed(o, nacre_batch_commit(batch)))
                for (uint32_t b = 0; b < 600; b++) o->version[b] = n;
            else if (!whole) nacre_batch_abort(batch);
        } else if (n % 500 == 1) {
            nacre_search_options options = NACRE_SEARCH_INIT;
            nacre_hits *hits = NULL;
            budget_vector(i, o->version[i] ? o->version[i] : 1, vector);
            options.k = n % 1000 == 1 ? 3 : 1000;
            if (allowed(o, nacre_search(membrane, NULL, vector, &options, &hits)) && o->version[i] &&
                allowed(o, nacre_hits_at(hits, 0, NULL, &row)))
                CHECK_EQ(row.key[0].integer, i);
            nacre_hits_free(hits);
        } else if (n % 5000 == 7) {
            (void)allowed(o, nacre_compact(db, NULL));
        } else if (n % 10 == 2) {
            nacre_status status = nacre_delete(membrane, &key);
            if (!o->version[i]) CHECK(status == NACRE_NOT_FOUND || status == NACRE_RESOURCE_EXHAUSTED);
            else if (allowed(o, status)) o->version[i] = 0;
        } else {
            budget_vector(i, n, vector);
            if (allowed(o, nacre_put(membrane, &key, vector, &field))) o->version[i] = n;
        }
    }
}

static void check_outcome(nacre_membrane *membrane, const Outcome *o) {
    float vector[BUDGET_DIMENSIONS];
    uint64_t present = 0, count = 0;
    for (uint32_t i = 0; i < BUDGET_IDS; i++) {
        nacre_value key = nacre_integer(i);
        nacre_row row;
        present += o->version[i] != 0;
        if (!CHECK_EQ(nacre_get(membrane, NULL, &key, &row), o->version[i] ? NACRE_OK : NACRE_NOT_FOUND)) continue;
        if (!o->version[i]) continue;
        budget_vector(i, o->version[i], vector);
        CHECK_BYTES(row.vector, sizeof vector, vector, sizeof vector);
    }
    CHECK_EQ(nacre_count(membrane, NULL, NULL, &count), NACRE_OK);
    CHECK_EQ(count, present);
}

/* A12: several times the budget of rows; each call works or is refused for want of memory,
 * the peak stays within the budget, and every row is right, there and after a reopen. */
static void work_larger_than_memory_fits_or_is_refused(void) {
    static Outcome outcome;
    for (uint64_t budget = 1; budget <= 4; budget *= 2) {
        SimDisk *disk = sim_disk_new(budget);
        Heap heap = {0, 0};
        nacre_options options = NACRE_OPTIONS_INIT;
        nacre_db *db = NULL;
        nacre_membrane *membrane = NULL;
        nacre_field field = {"text", NACRE_TEXT, false};
        nacre_schema schema = nacre_schema_collection(NACRE_INTEGER, BUDGET_DIMENSIONS, NACRE_L2, &field, 1);
        uint64_t random = test_seed() + 90 + budget;
        memset(&outcome, 0, sizeof outcome);
        options.vfs = sim_disk_vfs(disk);
        options.memory = budget << 20;
        options.durability = NACRE_NONE;
        options.seed = budget;
        options.allocator = (nacre_allocator){&heap, heap_alloc, heap_free};
        CHECK_EQ(nacre_open("db", &options, &db, NULL), NACRE_OK);
        CHECK_EQ(nacre_membrane_open(db, "m", &schema, &membrane), NACRE_OK);
        budget_work(db, membrane, &outcome, 25000, &random);
        CHECK(outcome.done > 20000); /* it is of use, small as it is */
        CHECK(stat_of(db, "peakMemory") <= options.memory);
        CHECK(heap.peak <= options.memory);
        check_outcome(membrane, &outcome);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        CHECK_EQ(heap.used, 0);
        CHECK_EQ(nacre_open("db", &options, &db, NULL), NACRE_OK); /* with the same budget */
        CHECK_EQ(nacre_membrane_open(db, "m", NULL, &membrane), NACRE_OK);
        check_outcome(membrane, &outcome);
        uint64_t problems = 0;
        CHECK_EQ(nacre_verify(db, true, NULL, NULL, &problems), NACRE_OK);
        CHECK_EQ(problems, 0);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        CHECK(heap.peak <= options.memory);
        sim_disk_free(disk);
    }
}

/* A12: a log that was filled under a large budget does not fit into a small one: refused,
 * untouched, and there for whoever has the room. */
static void a_log_too_large_for_the_budget_is_kept(void) {
    SimDisk *disk = sim_disk_new(8);
    nacre_options options = NACRE_OPTIONS_INIT;
    nacre_db *db = NULL;
    nacre_membrane *kv = NULL;
    nacre_error error;
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    uint8_t bytes[4000] = {0};
    options.vfs = sim_disk_vfs(disk);
    options.durability = NACRE_NONE;
    CHECK_EQ(nacre_open("db", &options, &db, NULL), NACRE_OK);
    CHECK_EQ(nacre_membrane_open(db, "kv", &schema, &kv), NACRE_OK);
    for (int i = 0; i < 1000; i++) {
        nacre_value key = nacre_integer(i), value = nacre_bytes(bytes, sizeof bytes);
        CHECK_EQ(nacre_put(kv, &key, NULL, &value), NACRE_OK);
    }
    SimDisk *killed = sim_disk_clone(disk); /* closing would empty the log */
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
    disk = killed;
    options.vfs = sim_disk_vfs(disk);
    options.memory = 1 << 20;
    nacre_status status = nacre_open("db", &options, &db, &error);
    CHECK(status == NACRE_RESOURCE_EXHAUSTED && strstr(error.text, "memory"));
    CHECK_EQ(sim_disk_open_handles(disk), 0);
    options.memory = 0;
    uint64_t count = 0;
    CHECK_EQ(nacre_open("db", &options, &db, NULL), NACRE_OK);
    CHECK_EQ(nacre_membrane_open(db, "kv", NULL, &kv), NACRE_OK);
    CHECK_EQ(nacre_count(kv, NULL, NULL, &count), NACRE_OK);
    CHECK_EQ(count, 1000);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

void limits_test(void) {
    RUN(limits_are_told);
    RUN(keys_up_to_the_limit);
    RUN(values_up_to_the_limit);
    RUN(large_values_pass);
    RUN(schemas_up_to_the_limits);
    RUN(c21_membranes_up_to_the_limit);
    RUN(the_widest_vectors_are_kept_and_found);
    RUN(ten_thousand_hits_are_found);
    RUN(filters_up_to_the_limits);
    RUN(options_have_ranges);
    RUN(a_database_stays_within_its_size);
    RUN(work_larger_than_memory_fits_or_is_refused);
    RUN(a_log_too_large_for_the_budget_is_kept);
}
