/* limits_test.c - each limit of core/LIMITS.md that a caller can meet: at it things work, one
 * beyond it they are refused with a message, and nothing has changed. */
#include "base/limits.h"
#include "lib/check.h"
#include "nacre.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static nacre_db *limits_open(void) {
    nacre_options options = NACRE_OPTIONS_INIT;
    nacre_db *db = NULL;
    nacre_error error;
    options.seed = 1;
    if (!CHECK(nacre_open(":memory:", &options, &db, &error) == NACRE_OK)) printf("# %s\n", error.text);
    return db;
}

static bool refused(nacre_db *db, nacre_status status) {
    return CHECK_EQ(status, NACRE_INVALID_ARGUMENT) && CHECK(nacre_message(db)[0] != 0);
}

static void a_key_has_64_kib(void) {
    nacre_db *db = limits_open();
    nacre_membrane *kv = NULL;
    nacre_schema schema = nacre_schema_kv(NACRE_BYTES, NACRE_TEXT);
    char *bytes = calloc(1, LIMIT_KEY_SIZE + 1); /* zeros: each becomes two bytes */
    nacre_row row;
    REQUIRE(db && bytes && nacre_membrane_open(db, "kv", &schema, &kv) == NACRE_OK);
    nacre_value key = nacre_bytes(bytes, LIMIT_KEY_SIZE), longer = nacre_bytes(bytes, LIMIT_KEY_SIZE + 1);
    nacre_value value = nacre_text("v");
    CHECK_EQ(nacre_put(kv, &key, NULL, &value), NACRE_OK);
    CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    if (CHECK_EQ(nacre_get(kv, NULL, &key, &row), NACRE_OK)) CHECK_EQ(row.key[0].bytes.size, LIMIT_KEY_SIZE);
    refused(db, nacre_put(kv, &longer, NULL, &value));
    CHECK_EQ(nacre_limits_get().key_size_max, LIMIT_KEY_SIZE);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    free(bytes);
}

/* The value itself is not there: its size is refused before a byte of it is read. That 256 MiB
 * go in is the affair of the budget, and would take a gigabyte here. */
static void a_value_has_256_mib(void) {
    nacre_db *db = limits_open();
    nacre_membrane *kv = NULL;
    nacre_schema schema = nacre_schema_kv(NACRE_TEXT, NACRE_BYTES);
    REQUIRE(db && nacre_membrane_open(db, "kv", &schema, &kv) == NACRE_OK);
    nacre_value key = nacre_text("k"), value = nacre_bytes("", (size_t)LIMIT_VALUE_SIZE + 1);
    nacre_row row;
    refused(db, nacre_put(kv, &key, NULL, &value));
    CHECK_EQ(nacre_get(kv, NULL, &key, &row), NACRE_NOT_FOUND);
    CHECK_EQ(nacre_limits_get().value_size_max, LIMIT_VALUE_SIZE);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

static void names_have_255_bytes(void) {
    nacre_db *db = limits_open();
    nacre_membrane *membrane = NULL;
    char name[LIMIT_NAME_SIZE + 2];
    REQUIRE(db);
    for (int extra = 0; extra < 2; extra++) {
        memset(name, 'n', sizeof name);
        name[LIMIT_NAME_SIZE + extra] = 0;
        nacre_field field = {name, NACRE_TEXT};
        nacre_schema schema = nacre_schema_table(NACRE_TEXT, NULL, 0), with_field = nacre_schema_table(NACRE_TEXT, &field, 1);
        nacre_status named = nacre_membrane_open(db, name, &schema, &membrane);
        if (extra) refused(db, named);
        else CHECK_EQ(named, NACRE_OK);
        named = nacre_membrane_open(db, extra ? "b" : "a", &with_field, &membrane);
        if (extra) refused(db, named);
        else CHECK_EQ(named, NACRE_OK);
    }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

/* A schema one beyond the limit is refused, and no membrane was made. */
static void limits_schema(nacre_schema good, nacre_schema bad) {
    nacre_db *db = limits_open();
    nacre_membrane *membrane = NULL;
    REQUIRE(db);
    CHECK_EQ(nacre_membrane_open(db, "good", &good, &membrane), NACRE_OK);
    refused(db, nacre_membrane_open(db, "bad", &bad, &membrane));
    CHECK_EQ(nacre_membrane_open(db, "bad", NULL, &membrane), NACRE_NOT_FOUND);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

static void a_vector_has_16384_dimensions(void) {
    limits_schema(nacre_schema_collection(NACRE_TEXT, LIMIT_DIMENSIONS, NACRE_L2, NULL, 0),
                  nacre_schema_collection(NACRE_TEXT, LIMIT_DIMENSIONS + 1, NACRE_L2, NULL, 0));
    nacre_db *db = limits_open();
    nacre_membrane *collection = NULL;
    nacre_schema schema = nacre_schema_collection(NACRE_TEXT, LIMIT_DIMENSIONS, NACRE_L2, NULL, 0);
    float *vector = calloc(LIMIT_DIMENSIONS, sizeof *vector);
    REQUIRE(db && vector && nacre_membrane_open(db, "c", &schema, &collection) == NACRE_OK);
    nacre_value key = nacre_text("k");
    nacre_hits *hits = NULL;
    vector[LIMIT_DIMENSIONS - 1] = 1;
    CHECK_EQ(nacre_put(collection, &key, vector, NULL), NACRE_OK);
    CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    CHECK_EQ(nacre_search(collection, NULL, vector, NULL, &hits), NACRE_OK);
    CHECK_EQ(nacre_hits_count(hits), 1);
    nacre_hits_free(hits);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    free(vector);
}

static void a_membrane_has_256_fields(void) {
    static char names[LIMIT_FIELDS + 1][8];
    static nacre_field fields[LIMIT_FIELDS + 1];
    for (int i = 0; i <= LIMIT_FIELDS; i++) {
        snprintf(names[i], sizeof names[i], "f%d", i);
        fields[i] = (nacre_field){names[i], NACRE_INTEGER};
    }
    limits_schema(nacre_schema_table(NACRE_TEXT, fields, LIMIT_FIELDS),
                  nacre_schema_table(NACRE_TEXT, fields, LIMIT_FIELDS + 1));
}

static void a_key_has_16_parts(void) {
    nacre_schema good = nacre_schema_kv(NACRE_BOOLEAN, NACRE_TEXT);
    for (int i = 0; i < LIMIT_KEY_PARTS; i++) good.key_types[i] = NACRE_BOOLEAN;
    good.key_count = LIMIT_KEY_PARTS;
    nacre_schema bad = good;
    bad.key_count++;
    limits_schema(good, bad);
}

static void a_search_has_10000_hits(void) {
    nacre_db *db = limits_open();
    nacre_membrane *collection = NULL;
    nacre_schema schema = nacre_schema_collection(NACRE_INTEGER, 1, NACRE_L2, NULL, 0);
    REQUIRE(db && nacre_membrane_open(db, "c", &schema, &collection) == NACRE_OK);
    nacre_batch *batch = NULL;
    CHECK_EQ(nacre_batch_begin(db, &batch), NACRE_OK);
    for (int i = 0; i <= LIMIT_K; i++) {
        nacre_value key = nacre_integer(i);
        float vector = (float)i;
        CHECK_EQ(nacre_batch_put(batch, collection, &key, &vector, NULL), NACRE_OK);
    }
    CHECK_EQ(nacre_batch_commit(batch), NACRE_OK);
    nacre_search_options options = NACRE_SEARCH_INIT;
    nacre_hits *hits = NULL;
    float query = 0;
    options.k = LIMIT_K;
    CHECK_EQ(nacre_search(collection, NULL, &query, &options, &hits), NACRE_OK);
    CHECK_EQ(nacre_hits_count(hits), LIMIT_K);
    nacre_hits_free(hits);
    options.k++;
    refused(db, nacre_search(collection, NULL, &query, &options, &hits));
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

/* The table of options is the documentation: each of its numbers holds. */
static void options_have_the_range_they_say(void) {
    static const struct {
        const char *name;
        size_t offset;
        uint64_t low, high;
    } rows[] = {
        {"memory", offsetof(nacre_options, memory), 1 << 20, UINT64_C(1) << 40},
        {"memtable_size", offsetof(nacre_options, memtable_size), 64 << 10, 1 << 30},
        {"segment_size", offsetof(nacre_options, segment_size), 64 << 10, 1 << 30},
        {"database_size", offsetof(nacre_options, database_size), 256 << 10, UINT64_C(1) << 47},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int high = 0; high < 2; high++) {
            nacre_options options = NACRE_OPTIONS_INIT;
            nacre_db *db = NULL;
            nacre_error error;
            uint64_t number = high ? rows[i].high + 1 : rows[i].low - 1;
            memcpy((char *)&options + rows[i].offset, &number, sizeof number);
            CHECK_EQ(nacre_open(":memory:", &options, &db, &error), NACRE_INVALID_ARGUMENT);
            CHECK(strstr(error.text, rows[i].name) != NULL);
            CHECK(strstr(nacre_options_describe(), rows[i].name) != NULL);
        }
        nacre_options least = NACRE_OPTIONS_INIT;
        nacre_db *db = NULL;
        memcpy((char *)&least + rows[i].offset, &rows[i].low, sizeof rows[i].low);
        CHECK_EQ(nacre_open(":memory:", &least, &db, NULL), NACRE_OK);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    }
}

void limits_test(void) {
    RUN(a_key_has_64_kib);
    RUN(a_value_has_256_mib);
    RUN(names_have_255_bytes);
    RUN(a_vector_has_16384_dimensions);
    RUN(a_membrane_has_256_fields);
    RUN(a_key_has_16_parts);
    RUN(a_search_has_10000_hits);
    RUN(options_have_the_range_they_say);
}
