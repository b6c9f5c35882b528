/* api_test.c - nacre.h as its comments promise it: typed rows in and out, ranges, batches,
 * snapshots, cursors, search; and every argument that is wrong is told, not trusted. */
#include "lib/check.h"
#include "lib/failing_allocator.h"
#include "nacre.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static nacre_db *api_open_memory(void) {
    nacre_db *db = NULL;
    nacre_error error = {NACRE_OK, ""};
    if (!CHECK(nacre_open(":memory:", NULL, &db, &error) == NACRE_OK))
        printf("    %s\n", error.text);
    return db;
}

static void api_close(nacre_db *db) {
    nacre_error error = {NACRE_OK, ""};
    if (!CHECK(nacre_close(db, &error) == NACRE_OK)) printf("    %s\n", error.text);
}

static nacre_membrane *api_kv(nacre_db *db, nacre_type key, nacre_type value) {
    nacre_schema schema = nacre_schema_kv(key, value);
    nacre_membrane *membrane = NULL;
    if (!CHECK(nacre_membrane_open(db, "kv", &schema, &membrane) == NACRE_OK))
        printf("    %s\n", nacre_message(db));
    return membrane;
}

static const nacre_field api_fields[] = {
    {"title", NACRE_TEXT, false}, {"year", NACRE_INTEGER, false}, {"score", NACRE_REAL, false}, {"good", NACRE_BOOLEAN, false},
    {"raw", NACRE_BYTES, false},  {"at", NACRE_TIMESTAMP, false}, {"tags", NACRE_JSON, false},  {"big", NACRE_BIGINT, false}};
enum { API_FIELDS = 8 };

static nacre_membrane *api_notes(nacre_db *db, uint32_t dimensions, nacre_metric metric) {
    nacre_schema schema =
        nacre_schema_collection(NACRE_TEXT, dimensions, metric, api_fields, API_FIELDS);
    nacre_membrane *membrane = NULL;
    if (!CHECK(nacre_membrane_open(db, "notes", &schema, &membrane) == NACRE_OK))
        printf("    %s\n", nacre_message(db));
    return membrane;
}

static bool api_text_is(const nacre_value *value, const char *text) {
    return value->bytes.size == strlen(text) &&
           memcmp(value->bytes.data, text, value->bytes.size) == 0;
}

/* ---- rows ---- */

static void the_example_of_the_header_works(void) {
    nacre_db *db = api_open_memory();
    nacre_membrane *kv = api_kv(db, NACRE_TEXT, NACRE_TEXT);
    REQUIRE(kv);
    nacre_value key = nacre_text("theme"), value = nacre_text("dark");
    nacre_row row;
    CHECK(nacre_get(kv, NULL, &key, &row) == NACRE_NOT_FOUND);
    CHECK(nacre_put(kv, &key, NULL, &value) == NACRE_OK);
    REQUIRE(nacre_get(kv, NULL, &key, &row) == NACRE_OK);
    CHECK(row.key_count == 1 && row.field_count == 1 && row.vector == NULL);
    CHECK(api_text_is(&row.key[0], "theme") && api_text_is(&row.fields[0], "dark"));
    CHECK(row.fields[0].type == NACRE_TEXT);
    CHECK(nacre_delete(kv, &key) == NACRE_OK);
    CHECK(nacre_delete(kv, &key) == NACRE_NOT_FOUND);
    api_close(db);
}

static void a_record_comes_back_bit_for_bit(void) {
    nacre_db *db = api_open_memory();
    nacre_membrane *notes = api_notes(db, 4, NACRE_COSINE);
    REQUIRE(notes);
    const float vector[4] = {1.0f, -0.0f, 1e-40f, 3.4028235e38f};
    nacre_value key = nacre_text("a1");
    nacre_value fields[API_FIELDS] = {
        nacre_text("Nacre"),      nacre_integer(-5),
        nacre_real(0.1),          nacre_boolean(true),
        nacre_bytes("\0\xff", 2), nacre_timestamp(-1),
        nacre_json("[1, 2]"),     {.type = NACRE_BIGINT, .integer = INT64_MAX}};
    nacre_row row;
    CHECK(nacre_put(notes, &key, vector, fields) == NACRE_OK);
    for (int after_checkpoint = 0; after_checkpoint < 2; after_checkpoint++) {
        REQUIRE(nacre_get(notes, NULL, &key, &row) == NACRE_OK);
        CHECK(row.field_count == API_FIELDS && row.vector &&
              memcmp(row.vector, vector, sizeof vector) == 0);
        for (int i = 0; i < API_FIELDS; i++) CHECK_EQ(row.fields[i].type, api_fields[i].type);
        CHECK(api_text_is(&row.fields[0], "Nacre") && row.fields[1].integer == -5 &&
              row.fields[2].real == 0.1);
        CHECK(row.fields[3].integer == 1 && row.fields[5].integer == -1 &&
              row.fields[7].integer == INT64_MAX);
        CHECK_BYTES(row.fields[4].bytes.data, row.fields[4].bytes.size, "\0\xff", 2);
        CHECK(api_text_is(&row.fields[6], "[1, 2]"));
        CHECK(nacre_checkpoint(db) == NACRE_OK);
    }
    CHECK(nacre_put(notes, &key, vector, NULL) == NACRE_OK); /* absent fields are null */
    REQUIRE(nacre_get(notes, NULL, &key, &row) == NACRE_OK);
    for (int i = 0; i < API_FIELDS; i++) CHECK_EQ(row.fields[i].type, NACRE_NULL);
    api_close(db);
}

static void what_does_not_fit_is_refused_and_changes_nothing(void) {
    nacre_db *db = api_open_memory();
    nacre_membrane *notes = api_notes(db, 2, NACRE_COSINE),
                   *kv = api_kv(db, NACRE_INTEGER, NACRE_JSON);
    REQUIRE(notes && kv);
    const float good[2] = {1, 2}, zero[2] = {0, -0.0f}, nan_[2] = {1, NAN},
                infinite[2] = {-INFINITY, 1};
    nacre_value key = nacre_text("k"), number = nacre_integer(1), json = nacre_json("{}"),
                bad_json = nacre_json("{");
    nacre_value bad_text = nacre_text("\xff"), null = nacre_null(),
                strange = {.type = (nacre_type)99};
    nacre_value no_bytes = {.type = NACRE_TEXT, .bytes = {NULL, 7}}, text_value = nacre_text("x");
    nacre_value fields[API_FIELDS] = {nacre_integer(1)};
    const struct {
        nacre_membrane *m;
        const nacre_value *key;
        const float *vector;
        const nacre_value *fields;
        const char *names;
    } rows[] = {
        {notes, NULL, good, NULL, "key"},
        {notes, &key, NULL, NULL, "vector"},
        {notes, &key, zero, NULL, "vector"},
        {notes, &key, nan_, NULL, "vector"},
        {notes, &key, infinite, NULL, "vector"},
        {notes, &number, good, NULL, "key"},
        {notes, &bad_text, good, NULL, "key"},
        {notes, &null, good, NULL, "key"},
        {notes, &strange, good, NULL, "key"},
        {notes, &no_bytes, good, NULL, "key"},
        {notes, &key, good, fields, "title"},
        {kv, &number, NULL, NULL, "value"},
        {kv, &number, NULL, &bad_json, "value"},
        {kv, &number, NULL, &null, "value"},
        {kv, &number, NULL, &text_value, "value"},
        {kv, &number, good, &json, "vector"},
        {kv, &key, NULL, &json, "key"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!CHECK(nacre_put(rows[i].m, rows[i].key, rows[i].vector, rows[i].fields) ==
                   NACRE_INVALID_ARGUMENT))
            printf("    row %zu\n", i);
        if (!CHECK(strstr(nacre_message(db), rows[i].names) != NULL))
            printf("    row %zu: %s\n", i, nacre_message(db));
    }
    uint64_t count = 9;
    CHECK(nacre_count(notes, NULL, NULL, &count) == NACRE_OK && count == 0);
    CHECK(nacre_count(kv, NULL, NULL, &count) == NACRE_OK && count == 0);
    CHECK_STR(nacre_message(db), "");
    api_close(db);
}

static void null_pointers_and_old_structs_are_refused(void) {
    nacre_db *db = api_open_memory(), *none = NULL;
    nacre_membrane *kv = api_kv(db, NACRE_TEXT, NACRE_TEXT), *membrane = NULL;
    REQUIRE(kv);
    nacre_value key = nacre_text("k");
    nacre_row row;
    nacre_batch *batch = NULL;
    nacre_cursor *cursor = NULL;
    nacre_range bad_range = {.struct_size = 1};
    nacre_search_options bad_search = {.struct_size = 1};
    nacre_schema bad_schema = {.struct_size = 1};
    nacre_options bad_options = {.struct_size = 1};
    nacre_hits *hits = NULL;
    uint64_t number = 0;
    bool more = false;
    float query[1] = {1};
#define REFUSED(call) CHECK((call) == NACRE_INVALID_ARGUMENT)
    REFUSED(nacre_open(NULL, NULL, &none, NULL));
    REFUSED(nacre_open(":memory:", NULL, NULL, NULL));
    REFUSED(nacre_open(":memory:", &bad_options, &none, NULL));
    CHECK(nacre_close(NULL, NULL) == NACRE_OK && none == NULL);
    CHECK(nacre_message(NULL) != NULL);
    REFUSED(nacre_membrane_open(NULL, "x", NULL, &membrane));
    REFUSED(nacre_membrane_open(db, NULL, NULL, &membrane));
    REFUSED(nacre_membrane_open(db, "x", NULL, NULL));
    REFUSED(nacre_membrane_open(db, "x", &bad_schema, &membrane));
    REFUSED(nacre_membrane_open(db, "", NULL, &membrane));
    REFUSED(nacre_membrane_open(db, "a/b", NULL, &membrane));
    REFUSED(nacre_membrane_drop(db, NULL));
    REFUSED(nacre_membrane_drop(NULL, "x"));
    REFUSED(nacre_membrane_rename(db, NULL, "x"));
    REFUSED(nacre_membrane_rename(db, "kv", NULL));
    REFUSED(nacre_membrane_at(db, 0, NULL));
    REFUSED(nacre_membrane_bytes(NULL, &number));
    REFUSED(nacre_membrane_bytes(kv, NULL));
    CHECK(nacre_membrane_name(NULL) == NULL && nacre_membrane_schema(NULL) == NULL);
    REFUSED(nacre_put(NULL, &key, NULL, &key));
    REFUSED(nacre_delete(kv, NULL));
    REFUSED(nacre_delete(NULL, &key));
    REFUSED(nacre_get(kv, NULL, NULL, &row));
    REFUSED(nacre_get(kv, NULL, &key, NULL));
    REFUSED(nacre_get(NULL, NULL, &key, &row));
    REFUSED(nacre_count(kv, NULL, NULL, NULL));
    REFUSED(nacre_count(kv, NULL, &bad_range, &number));
    REFUSED(nacre_clear(kv, &bad_range, &number));
    REFUSED(nacre_clear(NULL, NULL, NULL));
    REFUSED(nacre_batch_begin(NULL, &batch));
    REFUSED(nacre_batch_begin(db, NULL));
    REFUSED(nacre_batch_put(NULL, kv, &key, NULL, &key));
    REFUSED(nacre_batch_commit(NULL));
    REFUSED(nacre_snapshot_open(db, NULL));
    REFUSED(nacre_snapshot_open(NULL, NULL));
    REFUSED(nacre_cursor_open(kv, NULL, NULL, NULL));
    REFUSED(nacre_cursor_open(NULL, NULL, NULL, &cursor));
    REFUSED(nacre_cursor_next(NULL, &row));
    REFUSED(nacre_cursor_seek(NULL, &key, &row));
    CHECK(nacre_search(kv, NULL, query, NULL, &hits) == NACRE_WRONG_KIND);
    REFUSED(nacre_search(NULL, NULL, query, &bad_search, &hits));
    REFUSED(nacre_hits_at(NULL, 0, NULL, NULL));
    CHECK_EQ(nacre_hits_count(NULL), 0);
    REFUSED(nacre_step(db, 0, NULL));
    REFUSED(nacre_step(NULL, 0, &more));
    REFUSED(nacre_flush(NULL));
    REFUSED(nacre_checkpoint(NULL));
    REFUSED(nacre_compact(NULL, NULL));
    REFUSED(nacre_stats_json(db, NULL));
    REFUSED(nacre_verify(NULL, true, NULL, NULL, &number));
    nacre_batch_abort(NULL), nacre_cursor_close(NULL), nacre_hits_free(NULL),
        nacre_snapshot_release(NULL);
    REQUIRE(nacre_batch_begin(db, &batch) == NACRE_OK);
    REFUSED(nacre_batch_put(batch, NULL, &key, NULL, &key));
    REFUSED(nacre_batch_put(batch, kv, NULL, NULL, &key));
    REFUSED(nacre_batch_delete(batch, kv, NULL));
    nacre_batch_abort(batch);
    REQUIRE(nacre_cursor_open(kv, NULL, NULL, &cursor) == NACRE_OK);
    REFUSED(nacre_cursor_next(cursor, NULL));
    REFUSED(nacre_cursor_seek(cursor, NULL, &row));
    nacre_cursor_close(cursor);
#undef REFUSED
    api_close(db);
}

/* ---- membranes ---- */

static void membranes_have_one_schema_and_one_kind(void) {
    nacre_db *db = api_open_memory();
    nacre_membrane *kv = api_kv(db, NACRE_TEXT, NACRE_JSON), *other = NULL;
    REQUIRE(kv);
    nacre_schema same = nacre_schema_kv(NACRE_TEXT, NACRE_JSON),
                 text = nacre_schema_kv(NACRE_TEXT, NACRE_TEXT);
    nacre_schema table = nacre_schema_table(NACRE_TEXT, api_fields, API_FIELDS);
    CHECK(nacre_membrane_open(db, "kv", &same, &other) == NACRE_OK && other == kv);
    CHECK(nacre_membrane_open(db, "kv", NULL, &other) == NACRE_OK && other == kv);
    CHECK(nacre_membrane_open(db, "kv", &text, &other) == NACRE_SCHEMA_MISMATCH &&
          strstr(nacre_message(db), "value") != NULL);
    CHECK(nacre_membrane_open(db, "kv", &table, &other) == NACRE_WRONG_KIND);
    CHECK(nacre_membrane_open(db, "none", NULL, &other) == NACRE_NOT_FOUND);
    CHECK_STR(nacre_membrane_name(kv), "kv");
    REQUIRE(nacre_membrane_open(db, "a table", &table, &other) == NACRE_OK);
    const nacre_schema *shown = nacre_membrane_schema(other);
    CHECK(shown->kind == NACRE_TABLE && shown->field_count == API_FIELDS);
    for (int i = 0; i < API_FIELDS; i++) CHECK_STR(shown->fields[i].name, api_fields[i].name);
    nacre_membrane *again = NULL;
    CHECK(nacre_membrane_open(db, "a table", shown, &again) == NACRE_OK &&
          again == other); /* what is shown can be given */
    CHECK(nacre_membrane_at(db, 0, &again) == NACRE_OK && again == other);
    CHECK(nacre_membrane_at(db, 1, &again) == NACRE_OK && again == kv);
    CHECK(nacre_membrane_at(db, 2, &again) == NACRE_NOT_FOUND);
    CHECK(nacre_membrane_rename(db, "kv", "settings") == NACRE_OK);
    CHECK_STR(nacre_membrane_name(kv), "settings");
    CHECK(nacre_membrane_rename(db, "settings", "a table") == NACRE_EXISTS);
    CHECK(nacre_membrane_drop(db, "settings") == NACRE_OK &&
          nacre_membrane_drop(db, "settings") == NACRE_NOT_FOUND);
    nacre_value key = nacre_text("k"), value = nacre_json("1");
    nacre_row row;
    CHECK(nacre_put(kv, &key, NULL, &value) == NACRE_NOT_FOUND &&
          nacre_get(kv, NULL, &key, &row) == NACRE_NOT_FOUND);
    CHECK(strstr(nacre_message(db), "dropped") != NULL);
    api_close(db);
}

/* ---- ranges and cursors, against an array ---- */

enum { API_ROWS = 40 };

static const char *api_row_name(int i, char text[16]) { /* a00 a01 ... d09 */
    text[0] = (char)('a' + i / 10), text[1] = '0', text[2] = (char)('0' + i % 10), text[3] = 0;
    return text;
}

static nacre_membrane *api_forty(nacre_db *db) {
    nacre_membrane *kv = api_kv(db, NACRE_TEXT, NACRE_TEXT);
    for (int i = 0; kv && i < API_ROWS; i++) {
        char text[16];
        nacre_value key = nacre_text(api_row_name((i * 7) % API_ROWS, text));
        CHECK(nacre_put(kv, &key, NULL, &key) == NACRE_OK);
    }
    return kv;
}

static void ranges_hold_what_they_say(void) {
    nacre_db *db = api_open_memory();
    nacre_membrane *kv = api_forty(db);
    REQUIRE(kv);
    uint64_t state = test_seed();
    for (int round = 0; round < 600; round++) {
        static const char *const bounds[] = {
            "", "a", "a00", "a05", "a050", "b", "b09", "c", "d09", "e", "\xf4\x8f\xbf\xbf"};
        const char *given[5];
        nacre_value values[5];
        nacre_range range = NACRE_RANGE_INIT;
        const nacre_value **places[5] = {&range.gt, &range.gte, &range.lt, &range.lte,
                                         &range.prefix};
        for (int b = 0; b < 5; b++) {
            given[b] = test_random(&state) % 3 ? NULL : bounds[test_random(&state) % 11];
            if (!given[b]) continue;
            values[b] = nacre_text(given[b]);
            *places[b] = &values[b];
        }
        range.reverse = test_random(&state) & 1;
        range.limit = test_random(&state) % 3 ? 0 : 1 + test_random(&state) % 12;
        char wanted[API_ROWS][16], text[16];
        int want = 0;
        for (int i = 0; i < API_ROWS; i++) {
            const char *key = api_row_name(range.reverse ? API_ROWS - 1 - i : i, text);
            bool in = (!given[0] || strcmp(key, given[0]) > 0) &&
                      (!given[1] || strcmp(key, given[1]) >= 0) &&
                      (!given[2] || strcmp(key, given[2]) < 0) &&
                      (!given[3] || strcmp(key, given[3]) <= 0) &&
                      (!given[4] || strncmp(key, given[4], strlen(given[4])) == 0);
            if (in && (range.limit == 0 || (uint64_t)want < range.limit))
                strcpy(wanted[want++], key);
        }
        uint64_t count = 0;
        CHECK(nacre_count(kv, NULL, &range, &count) == NACRE_OK);
        CHECK_EQ(count, want);
        nacre_cursor *cursor = NULL;
        nacre_row row;
        REQUIRE(nacre_cursor_open(kv, NULL, &range, &cursor) == NACRE_OK);
        for (int i = 0; i < want; i++)
            CHECK(nacre_cursor_next(cursor, &row) == NACRE_OK &&
                  api_text_is(&row.key[0], wanted[i]));
        CHECK(nacre_cursor_next(cursor, &row) == NACRE_NOT_FOUND);
        nacre_cursor_close(cursor);
    }
    api_close(db);
}

static void a_cursor_goes_both_ways_and_seeks(void) {
    nacre_db *db = api_open_memory();
    nacre_membrane *kv = api_forty(db);
    nacre_cursor *cursor = NULL;
    nacre_row row;
    nacre_range range = NACRE_RANGE_INIT;
    nacre_value b05 = nacre_text("b05"), b055 = nacre_text("b055"), b = nacre_text("b"),
                c = nacre_text("c"), late = nacre_text("zz");
    REQUIRE(kv);
    range.gte = &b, range.lt = &c;
    for (int reverse = 0; reverse < 2; reverse++) {
        range.reverse = reverse;
        REQUIRE(nacre_cursor_open(kv, NULL, &range, &cursor) == NACRE_OK);
        CHECK(nacre_cursor_prev(cursor, &row) == NACRE_OK &&
              api_text_is(&row.key[0], reverse ? "b00" : "b09"));
        CHECK(nacre_cursor_seek(cursor, &b05, &row) == NACRE_OK && api_text_is(&row.key[0], "b05"));
        CHECK(nacre_cursor_next(cursor, &row) == NACRE_OK &&
              api_text_is(&row.key[0], reverse ? "b04" : "b06"));
        CHECK(nacre_cursor_prev(cursor, &row) == NACRE_OK && api_text_is(&row.key[0], "b05"));
        CHECK(nacre_cursor_seek(cursor, &b055, &row) == NACRE_OK &&
              api_text_is(&row.key[0], reverse ? "b05" : "b06"));
        if (reverse)
            CHECK(nacre_cursor_seek(cursor, &late, &row) == NACRE_OK &&
                  api_text_is(&row.key[0], "b09"));
        else
            CHECK(nacre_cursor_seek(cursor, &late, &row) == NACRE_NOT_FOUND);
        nacre_cursor_close(cursor);
    }
    api_close(db);
}

static void composite_keys_are_bounded_by_leading_parts(void) {
    nacre_db *db = api_open_memory();
    nacre_schema schema = nacre_schema_kv(NACRE_TEXT, NACRE_BYTES);
    nacre_membrane *m = NULL;
    schema.key_count = 2, schema.key_types[1] = NACRE_INTEGER;
    REQUIRE(nacre_membrane_open(db, "pairs", &schema, &m) == NACRE_OK);
    static const int64_t numbers[] = {INT64_MIN, -1, 0, 1, INT64_MAX};
    nacre_value nothing = nacre_bytes(NULL, 0);
    for (int t = 0; t < 3; t++)
        for (int n = 0; n < 5; n++) {
            nacre_value key[2] = {nacre_text(t == 0   ? "a"
                                             : t == 1 ? "ab"
                                                      : "b"),
                                  nacre_integer(numbers[n])};
            CHECK(nacre_put(m, key, NULL, &nothing) == NACRE_OK);
        }
    nacre_value ab[1] = {nacre_text("ab")}, a0[2] = {nacre_text("a"), nacre_integer(0)},
                amax[2] = {nacre_text("a"), nacre_integer(INT64_MAX)};
    nacre_value bmax[2] = {nacre_text("b"), nacre_integer(INT64_MAX)},
                three[3] = {nacre_text("a"), nacre_integer(0), nacre_integer(0)};
    const struct {
        nacre_range range;
        uint64_t want;
    } rows[] = {
        {{.gte = ab, .lte = ab, .bound_count = 1}, 5},
        {{.gt = ab, .bound_count = 1}, 5},
        {{.lt = ab, .bound_count = 1}, 5},
        {{.prefix = ab, .bound_count = 1}, 5},
        {{.gt = a0}, 12},
        {{.lte = a0}, 3},
        {{.gt = amax}, 10},
        {{.gt = bmax}, 0},
        {{.gte = bmax}, 1},
        {{.lte = bmax}, 15},
        {{.gte = amax, .lt = a0}, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        nacre_range range = rows[i].range;
        uint64_t count = 99;
        range.struct_size = sizeof range;
        CHECK(nacre_count(m, NULL, &range, &count) == NACRE_OK);
        if (!CHECK_EQ(count, rows[i].want)) printf("    row %zu\n", i);
    }
    nacre_range bad = {.struct_size = sizeof bad, .gte = three, .bound_count = 3},
                prefix = {.struct_size = sizeof prefix, .prefix = a0};
    uint64_t count = 0;
    CHECK(nacre_count(m, NULL, &bad, &count) == NACRE_INVALID_ARGUMENT);
    CHECK(nacre_count(m, NULL, &prefix, &count) ==
          NACRE_INVALID_ARGUMENT); /* an integer has no prefix */
    api_close(db);
}

static void the_greatest_key_has_nothing_behind_it(void) {
    nacre_db *db = api_open_memory();
    nacre_membrane *m = api_kv(db, NACRE_INTEGER, NACRE_BYTES);
    REQUIRE(m);
    nacre_value least = nacre_integer(INT64_MIN), most = nacre_integer(INT64_MAX),
                value = nacre_bytes("v", 1);
    uint64_t count = 9;
    CHECK(nacre_put(m, &least, NULL, &value) == NACRE_OK &&
          nacre_put(m, &most, NULL, &value) == NACRE_OK);
    nacre_range above = {.struct_size = sizeof above, .gt = &most},
                upto = {.struct_size = sizeof upto, .lte = &most};
    nacre_range below = {.struct_size = sizeof below, .lt = &least};
    CHECK(nacre_count(m, NULL, &above, &count) == NACRE_OK && count == 0);
    CHECK(nacre_count(m, NULL, &upto, &count) == NACRE_OK && count == 2);
    CHECK(nacre_count(m, NULL, &below, &count) == NACRE_OK && count == 0);
    api_close(db);
}

static void clear_removes_a_range_and_counts_it(void) {
    nacre_db *db = api_open_memory();
    nacre_membrane *kv = api_forty(db);
    REQUIRE(kv);
    nacre_value b = nacre_text("b");
    nacre_range range = NACRE_RANGE_INIT;
    uint64_t removed = 0, left = 0;
    range.prefix = &b;
    CHECK(nacre_clear(kv, &range, &removed) == NACRE_OK && removed == 10);
    CHECK(nacre_count(kv, NULL, NULL, &left) == NACRE_OK && left == 30);
    CHECK(nacre_clear(kv, &range, &removed) == NACRE_OK && removed == 0);
    range.limit = 1;
    CHECK(nacre_clear(kv, &range, &removed) == NACRE_INVALID_ARGUMENT);
    CHECK(nacre_clear(kv, NULL, NULL) == NACRE_OK);
    CHECK(nacre_count(kv, NULL, NULL, &left) == NACRE_OK && left == 0);
    api_close(db);
}

/* ---- batches and snapshots ---- */

static void a_batch_is_all_or_nothing(void) {
    nacre_db *db = api_open_memory(), *other = api_open_memory();
    nacre_membrane *kv = api_kv(db, NACRE_TEXT, NACRE_TEXT), *notes = api_notes(db, 2, NACRE_L2),
                   *foreign = api_kv(other, NACRE_TEXT, NACRE_TEXT);
    nacre_batch *first = NULL, *second = NULL;
    nacre_value a = nacre_text("a"), b = nacre_text("b"), wrong = nacre_integer(1);
    float vector[2] = {1, 2};
    nacre_row row;
    REQUIRE(kv && notes && foreign && nacre_batch_begin(db, &first) == NACRE_OK &&
            nacre_batch_begin(db, &second) == NACRE_OK);
    CHECK(nacre_batch_put(first, kv, &a, NULL, &a) == NACRE_OK);
    CHECK(nacre_batch_put(second, kv, &b, NULL, &b) == NACRE_OK); /* several may be open */
    CHECK(nacre_batch_put(first, notes, &a, vector, NULL) == NACRE_OK);
    CHECK(nacre_batch_put(first, kv, &wrong, NULL, &a) ==
          NACRE_INVALID_ARGUMENT); /* refused at once, the rest stands */
    CHECK(nacre_batch_put(first, foreign, &a, NULL, &a) == NACRE_MISUSE);
    CHECK(nacre_batch_delete(first, kv, &b) == NACRE_OK); /* blind */
    vector[0] = 77;                                       /* what was passed in is copied */
    CHECK(nacre_get(kv, NULL, &a, &row) == NACRE_NOT_FOUND);
    CHECK(nacre_batch_commit(first) == NACRE_OK);
    CHECK(nacre_get(kv, NULL, &a, &row) == NACRE_OK);
    CHECK(nacre_get(notes, NULL, &a, &row) == NACRE_OK && row.vector[0] == 1);
    nacre_batch_abort(second);
    CHECK(nacre_get(kv, NULL, &b, &row) == NACRE_NOT_FOUND);
    REQUIRE(nacre_batch_begin(db, &first) == NACRE_OK);
    CHECK(nacre_batch_commit(first) == NACRE_OK); /* empty */
    REQUIRE(nacre_batch_begin(db, &first) == NACRE_OK);
    CHECK(nacre_batch_put(first, kv, &b, NULL, &b) == NACRE_OK &&
          nacre_batch_put(first, notes, &b, vector, NULL) == NACRE_OK);
    CHECK(nacre_membrane_drop(db, "notes") == NACRE_OK);
    CHECK(nacre_batch_commit(first) == NACRE_NOT_FOUND);
    CHECK(nacre_get(kv, NULL, &b, &row) == NACRE_NOT_FOUND);
    api_close(db);
    api_close(other);
}

static void a_snapshot_and_a_cursor_stay_as_they_were(void) {
    nacre_db *db = api_open_memory();
    nacre_membrane *kv = api_forty(db);
    nacre_snapshot *snapshot = NULL;
    nacre_cursor *cursor = NULL;
    nacre_value key = nacre_text("a00"), value = nacre_text("new");
    nacre_row row;
    uint64_t count = 0;
    REQUIRE(kv && nacre_snapshot_open(db, &snapshot) == NACRE_OK &&
            nacre_cursor_open(kv, NULL, NULL, &cursor) == NACRE_OK);
    CHECK(nacre_put(kv, &key, NULL, &value) == NACRE_OK);
    CHECK(nacre_get(kv, snapshot, &key, &row) == NACRE_OK && api_text_is(&row.fields[0], "a00"));
    CHECK(nacre_get(kv, NULL, &key, &row) == NACRE_OK && api_text_is(&row.fields[0], "new"));
    CHECK(nacre_clear(kv, NULL, &count) == NACRE_OK && count == API_ROWS);
    CHECK(nacre_checkpoint(db) == NACRE_OK);
    CHECK(nacre_count(kv, snapshot, NULL, &count) == NACRE_OK && count == API_ROWS);
    CHECK(nacre_cursor_next(cursor, &row) == NACRE_OK && api_text_is(&row.fields[0], "a00"));
    for (int i = 1; i < API_ROWS; i++) CHECK(nacre_cursor_next(cursor, &row) == NACRE_OK);
    CHECK(nacre_cursor_next(cursor, &row) == NACRE_NOT_FOUND);
    nacre_cursor_close(cursor);
    nacre_snapshot_release(snapshot);
    api_close(db);
}

static void close_releases_what_is_left(void) {
    nacre_db *db = api_open_memory();
    nacre_membrane *notes = api_notes(db, 2, NACRE_L2);
    const float vector[2] = {1, 2};
    nacre_value key = nacre_text("a");
    nacre_snapshot *snapshot = NULL;
    nacre_cursor *cursor = NULL;
    nacre_batch *batch = NULL;
    nacre_hits *hits = NULL;
    nacre_row row;
    REQUIRE(notes && nacre_put(notes, &key, vector, NULL) == NACRE_OK);
    CHECK(nacre_snapshot_open(db, &snapshot) == NACRE_OK &&
          nacre_cursor_open(notes, snapshot, NULL, &cursor) == NACRE_OK);
    CHECK(nacre_cursor_next(cursor, &row) == NACRE_OK && nacre_batch_begin(db, &batch) == NACRE_OK);
    CHECK(nacre_batch_put(batch, notes, &key, vector, NULL) == NACRE_OK);
    CHECK(nacre_search(notes, NULL, vector, NULL, &hits) == NACRE_OK &&
          nacre_hits_at(hits, 0, NULL, &row) == NACRE_OK);
    api_close(db); /* the sanitizer looks for leaks */
}

/* ---- search ---- */

typedef struct ApiNear {
    double distance;
    int index;
} ApiNear;

static int api_near_order(const void *a, const void *b) {
    const ApiNear *x = a, *y = b;
    if (x->distance < y->distance || x->distance > y->distance)
        return x->distance < y->distance ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

static double api_distance(nacre_metric metric, const float *a, const float *b, int n) {
    double dot = 0, aa = 0, bb = 0, sum = 0;
    for (int i = 0; i < n; i++) {
        double x = (double)a[i], y = (double)b[i];
        dot += x * y, aa += x * x, bb += y * y, sum += (x - y) * (x - y);
    }
    return metric == NACRE_L2 ? sqrt(sum) : metric == NACRE_IP ? -dot : 1 - dot / sqrt(aa * bb);
}

static void search_finds_the_nearest_that_match(void) {
    enum { N = 600, D = 24 };
    static float vectors[N][D];
    static ApiNear near[N];
    uint64_t state = test_seed();
    for (int metric = NACRE_L2; metric <= NACRE_IP; metric++) {
        nacre_db *db = api_open_memory();
        nacre_membrane *notes = api_notes(db, D, (nacre_metric)metric);
        REQUIRE(notes);
        for (int i = 0; i < N; i++) {
            char name[16];
            for (int d = 0; d < D; d++)
                vectors[i][d] = (float)((int)(test_random(&state) % 2001) - 1000) / 500.0f;
            snprintf(name, sizeof name, "k%04d", i);
            nacre_value key = nacre_text(name),
                        fields[API_FIELDS] = {nacre_null(), nacre_integer(i % 50)};
            CHECK(nacre_put(notes, &key, vectors[i], fields) == NACRE_OK);
            if (i == N / 2) CHECK(nacre_checkpoint(db) == NACRE_OK);
        }
        for (int q = 0; q < 12; q++) {
            float query[D];
            int below = q % 3 == 0 ? 50 : q % 3 == 1 ? 5 : 0, count = 0;
            char where[64];
            nacre_search_options options = NACRE_SEARCH_INIT;
            nacre_hits *hits = NULL;
            for (int d = 0; d < D; d++)
                query[d] = (float)((int)(test_random(&state) % 2001) - 1000) / 500.0f;
            snprintf(where, sizeof where, "{\"year\":{\"lt\":%d}}", below);
            if (below < 50) options.where_json = where;
            options.k = 7;
            for (int i = 0; i < N; i++)
                if (i % 50 < below)
                    near[count++] =
                        (ApiNear){api_distance((nacre_metric)metric, query, vectors[i], D), i};
            qsort(near, (size_t)count, sizeof *near, api_near_order);
            REQUIRE(nacre_search(notes, NULL, query, &options, &hits) == NACRE_OK);
            CHECK_EQ(nacre_hits_count(hits), count < 7 ? count : 7);
            for (uint32_t i = 0; i < nacre_hits_count(hits); i++) {
                float distance = 0;
                nacre_row row;
                char name[16];
                CHECK(nacre_hits_at(hits, i, &distance, &row) == NACRE_OK);
                snprintf(name, sizeof name, "k%04d", near[i].index);
                CHECK(api_text_is(&row.key[0], name));
                CHECK_NEAR(distance, near[i].distance, 1e-4);
                CHECK(row.vector &&
                      memcmp(row.vector, vectors[near[i].index], sizeof vectors[0]) == 0);
                CHECK(row.fields[1].integer == near[i].index % 50);
            }
            CHECK(nacre_hits_at(hits, 7, NULL, NULL) == NACRE_NOT_FOUND);
            nacre_hits_free(hits);
        }
        api_close(db);
    }
}

static void a_question_that_makes_no_sense_is_refused(void) {
    nacre_db *db = api_open_memory();
    nacre_membrane *notes = api_notes(db, 2, NACRE_COSINE);
    REQUIRE(notes);
    const float good[2] = {1, 0}, zero[2] = {0, 0}, nan_[2] = {NAN, 1};
    nacre_hits *hits = NULL;
    nacre_search_options many = NACRE_SEARCH_INIT, where = NACRE_SEARCH_INIT,
                         size = NACRE_SEARCH_INIT, old = {.struct_size = 3};
    many.k = 10001, where.where_json = "{\"nope\":1}", size.where_size = 3;
    CHECK(nacre_search(notes, NULL, NULL, NULL, &hits) == NACRE_INVALID_ARGUMENT);
    CHECK(nacre_search(notes, NULL, zero, NULL, &hits) == NACRE_INVALID_ARGUMENT);
    CHECK(nacre_search(notes, NULL, nan_, NULL, &hits) == NACRE_INVALID_ARGUMENT);
    CHECK(nacre_search(notes, NULL, good, &many, &hits) == NACRE_INVALID_ARGUMENT &&
          strstr(nacre_message(db), "k is 10001") != NULL);
    CHECK(nacre_search(notes, NULL, good, &where, &hits) == NACRE_INVALID_ARGUMENT &&
          strstr(nacre_message(db), "nope") != NULL);
    CHECK(nacre_search(notes, NULL, good, &size, &hits) == NACRE_INVALID_ARGUMENT);
    CHECK(nacre_search(notes, NULL, good, &old, &hits) == NACRE_INVALID_ARGUMENT);
    CHECK(nacre_search(notes, NULL, good, NULL, NULL) == NACRE_INVALID_ARGUMENT);
    CHECK(hits == NULL);
    CHECK(nacre_search(notes, NULL, good, NULL, &hits) == NACRE_OK && nacre_hits_count(hits) == 0);
    nacre_hits_free(hits);
    api_close(db);
}

/* ---- files ---- */

static const char *api_path(char path[512], const char *name) {
    if (!test_dir()) return NULL;
    snprintf(path, 512, "%s/%s", test_dir(), name);
    return path;
}

/* Two logs that are used in turn are replayed in turn, wherever the program ends. */
static void what_was_acknowledged_is_there_after_reopening(void) {
    char path[512];
    if (!api_path(path, "api-reopen")) return;
    nacre_options options = NACRE_OPTIONS_INIT;
    options.memtable_size = 64 << 10;
    static char large[1000];
    memset(large, 'x', sizeof large);
    uint64_t rows = 0;
    for (int round = 0; round < 12; round++) {
        nacre_db *db = NULL;
        nacre_error error = {NACRE_OK, ""};
        if (!CHECK(nacre_open(path, &options, &db, &error) == NACRE_OK)) {
            printf("    round %d: %s\n", round, error.text);
            return;
        }
        nacre_membrane *kv = api_kv(db, NACRE_INTEGER, NACRE_TEXT);
        uint64_t count = 0;
        CHECK(nacre_count(kv, NULL, NULL, &count) == NACRE_OK);
        CHECK_EQ(count, rows);
        for (int i = 0; i < 17 * round + 30; i++, rows++) {
            nacre_value key = nacre_integer((int64_t)rows),
                        value = nacre_text_sized(large, sizeof large);
            CHECK(nacre_put(kv, &key, NULL, &value) == NACRE_OK);
        }
        uint64_t problems = 1;
        CHECK(nacre_verify(db, true, NULL, NULL, &problems) == NACRE_OK && problems == 0);
        api_close(db);
    }
}

static void modes_say_what_may_be_there(void) {
    char path[512];
    if (!api_path(path, "api-modes")) return;
    nacre_options options = NACRE_OPTIONS_INIT;
    nacre_db *db = NULL;
    nacre_error error;
    options.mode = NACRE_EXISTING;
    CHECK(nacre_open(path, &options, &db, &error) == NACRE_NOT_FOUND && error.text[0]);
    options.mode = NACRE_READ;
    CHECK(nacre_open(path, &options, &db, &error) == NACRE_NOT_FOUND);
    options.mode = NACRE_CREATE;
    REQUIRE(nacre_open(path, &options, &db, &error) == NACRE_OK);
    nacre_membrane *kv = api_kv(db, NACRE_TEXT, NACRE_TEXT);
    nacre_value key = nacre_text("k");
    CHECK(kv && nacre_put(kv, &key, NULL, &key) == NACRE_OK && nacre_flush(db) == NACRE_OK);
    api_close(db);
    CHECK(nacre_open(path, &options, &db, &error) == NACRE_EXISTS);
    options.mode = NACRE_READ;
    REQUIRE(nacre_open(path, &options, &db, &error) == NACRE_OK);
    nacre_row row;
    nacre_batch *batch = NULL;
    REQUIRE(nacre_membrane_open(db, "kv", NULL, &kv) == NACRE_OK);
    CHECK(nacre_get(kv, NULL, &key, &row) == NACRE_OK);
    CHECK(nacre_put(kv, &key, NULL, &key) == NACRE_READONLY &&
          nacre_delete(kv, &key) == NACRE_READONLY);
    CHECK(nacre_clear(kv, NULL, NULL) == NACRE_READONLY &&
          nacre_batch_begin(db, &batch) == NACRE_READONLY);
    CHECK(nacre_membrane_drop(db, "kv") == NACRE_READONLY && nacre_flush(db) == NACRE_OK);
    api_close(db);
}

static void house_is_kept(void) {
    nacre_db *db = api_open_memory();
    nacre_membrane *kv = api_forty(db);
    REQUIRE(kv);
    nacre_compact_report report = {0};
    const char *json = NULL;
    uint64_t problems = 1, bytes = 0;
    bool more = true;
    CHECK(nacre_membrane_bytes(kv, &bytes) == NACRE_OK && bytes > 0);
    CHECK(nacre_flush(db) == NACRE_OK && nacre_checkpoint(db) == NACRE_OK);
    for (int i = 0; more && i < 100; i++) CHECK(nacre_step(db, 1 << 20, &more) == NACRE_OK);
    CHECK(!more);
    CHECK(nacre_compact(db, &report) == NACRE_OK && report.rows >= API_ROWS);
    CHECK(nacre_verify(db, true, NULL, NULL, &problems) == NACRE_OK && problems == 0);
    CHECK(nacre_stats_json(db, &json) == NACRE_OK && json && json[0] == '{' &&
          json[strlen(json) - 1] == '}');
    CHECK(nacre_abi_version() == 1 && nacre_format_version() >= 1);
    CHECK_EQ(nacre_limits_get().k_max, 10000);
    api_close(db);
}

/* ---- memory ---- */

static bool api_fine(nacre_status status) {
    if (status == NACRE_OK || status == NACRE_NOT_FOUND || status == NACRE_RESOURCE_EXHAUSTED)
        return true;
    printf("    %s\n", nacre_status_name(status));
    return false;
}

/* A bit of everything; whatever fails, the rest goes on. */
static void api_bit_of_everything(nacre_db *db) {
    const nacre_field fields[] = {{"title", NACRE_TEXT, false}, {"year", NACRE_INTEGER, false}};
    nacre_schema schema = nacre_schema_collection(NACRE_TEXT, 3, NACRE_L2, fields, 2);
    nacre_membrane *notes = NULL;
    nacre_batch *batch = NULL;
    nacre_cursor *cursor = NULL;
    nacre_snapshot *snapshot = NULL;
    nacre_hits *hits = NULL;
    nacre_row row;
    nacre_search_options options = NACRE_SEARCH_INIT;
    nacre_range range = NACRE_RANGE_INIT;
    const float vector[3] = {1, 2, 3};
    nacre_value key = nacre_text("a"), other = nacre_text("b\xc3\xa4"),
                values[2] = {nacre_text("t"), nacre_integer(5)};
    uint64_t count = 0;
    const char *json = NULL;
    range.gte = &key;
    options.where_json = "{\"or\":[{\"year\":{\"in\":[5,6]}},{\"key\":\"x\"}]}";
    if (!CHECK(api_fine(nacre_membrane_open(db, "notes", &schema, &notes))) || !notes) return;
    CHECK(api_fine(nacre_put(notes, &key, vector, values)));
    if (CHECK(api_fine(nacre_batch_begin(db, &batch))) && batch) {
        CHECK(api_fine(nacre_batch_put(batch, notes, &other, vector, values)));
        CHECK(api_fine(nacre_batch_delete(batch, notes, &key)));
        CHECK(api_fine(nacre_batch_commit(batch)));
    }
    CHECK(api_fine(nacre_get(notes, NULL, &other, &row)));
    CHECK(api_fine(nacre_snapshot_open(db, &snapshot)));
    CHECK(api_fine(nacre_checkpoint(db)));
    if (CHECK(api_fine(nacre_cursor_open(notes, snapshot, &range, &cursor))) && cursor) {
        CHECK(api_fine(nacre_cursor_next(cursor, &row)));
        CHECK(api_fine(nacre_cursor_seek(cursor, &key, &row)));
    }
    if (CHECK(api_fine(nacre_search(notes, NULL, vector, &options, &hits))) && hits &&
        nacre_hits_count(hits) > 0)
        CHECK(api_fine(nacre_hits_at(hits, 0, NULL, &row)));
    CHECK(api_fine(nacre_count(notes, snapshot, &range, &count)));
    CHECK(api_fine(nacre_delete(notes, &other)));
    CHECK(api_fine(nacre_clear(notes, &range, &count)));
    CHECK(api_fine(nacre_stats_json(db, &json)));
    nacre_hits_free(hits);
    nacre_cursor_close(cursor);
    nacre_snapshot_release(snapshot);
    CHECK(api_fine(nacre_membrane_rename(db, "notes", "more notes")));
    CHECK(api_fine(nacre_compact(db, NULL)));
    CHECK(api_fine(nacre_membrane_drop(db, "more notes")));
}

/* The nth allocation fails, alone or with all that follow: told as such, and nothing leaks. */
static void any_allocation_may_fail(void) {
    bool finished = false;
    for (uint64_t n = 1; !finished && n < 4000; n++) {
        for (int forever = 0; forever < 2; forever++) {
            FailingAllocator memory;
            nacre_options options = NACRE_OPTIONS_INIT;
            nacre_db *db = NULL;
            nacre_error error = {NACRE_OK, ""};
            failing_allocator_init(&memory);
            failing_allocator_fail_at(&memory, n, forever);
            options.allocator = memory.allocator;
            options.memtable_size = 64 << 10;
            nacre_status status = nacre_open(":memory:", &options, &db, &error);
            CHECK(api_fine(status));
            if (status == NACRE_OK) {
                api_bit_of_everything(db);
                CHECK(api_fine(nacre_close(db, &error)));
            }
            finished = memory.failed == 0; /* the last one was never reached */
            if (!CHECK(failing_allocator_clean(&memory)))
                printf("    allocation %llu\n", (unsigned long long)n);
            failing_allocator_clear(&memory);
        }
    }
    CHECK(finished);
}

void api_test(void) {
    RUN(the_example_of_the_header_works);
    RUN(a_record_comes_back_bit_for_bit);
    RUN(what_does_not_fit_is_refused_and_changes_nothing);
    RUN(null_pointers_and_old_structs_are_refused);
    RUN(membranes_have_one_schema_and_one_kind);
    RUN(ranges_hold_what_they_say);
    RUN(a_cursor_goes_both_ways_and_seeks);
    RUN(composite_keys_are_bounded_by_leading_parts);
    RUN(the_greatest_key_has_nothing_behind_it);
    RUN(clear_removes_a_range_and_counts_it);
    RUN(a_batch_is_all_or_nothing);
    RUN(a_snapshot_and_a_cursor_stay_as_they_were);
    RUN(close_releases_what_is_left);
    RUN(search_finds_the_nearest_that_match);
    RUN(a_question_that_makes_no_sense_is_refused);
    RUN(what_was_acknowledged_is_there_after_reopening);
    RUN(modes_say_what_may_be_there);
    RUN(house_is_kept);
    RUN(any_allocation_may_fail);
}
