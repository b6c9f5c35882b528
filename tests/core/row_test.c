/* row_test.c - fields to bytes and back, and what is refused on either side. */
#include "db/row.h"
#include "lib/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static SchemaField row_fields[] = {
    {{(const uint8_t *)"i", 1}, NACRE_INTEGER, false}, {{(const uint8_t *)"r", 1}, NACRE_REAL, false},
    {{(const uint8_t *)"b", 1}, NACRE_BOOLEAN, false}, {{(const uint8_t *)"t", 1}, NACRE_TEXT, false},
    {{(const uint8_t *)"y", 1}, NACRE_BYTES, false},   {{(const uint8_t *)"w", 1}, NACRE_TIMESTAMP, false},
    {{(const uint8_t *)"j", 1}, NACRE_JSON, false},    {{(const uint8_t *)"n", 1}, NACRE_BIGINT, false},
};
enum { ROW_FIELDS = 8 };

static Schema row_schema(void) {
    return (Schema){.kind = NACRE_TABLE,
                    .key_count = 1,
                    .key_types = {NACRE_TEXT},
                    .field_count = ROW_FIELDS,
                    .fields = row_fields};
}

static Env row_env(void) {
    Env env;
    env_init(&env, NULL, NULL, 1 << 20);
    return env;
}

static nacre_value row_v(nacre_type type, int64_t integer, double real, const char *text) {
    return (nacre_value){type, integer, real, {text, text ? strlen(text) : 0}};
}

static void row_random(uint64_t *state, nacre_value *values) {
    static const char *texts[] = {"", "a", "\xc3\xa4", "0123456789"},
                      *jsons[] = {"null", "[1,2]", "{\"a\":\"b\"}", "\"x\""};
    for (int i = 0; i < ROW_FIELDS; i++) {
        nacre_type type = row_fields[i].type;
        int64_t integer = (int64_t)test_random(state);
        if (type == NACRE_BOOLEAN) integer &= 1;
        if (type == NACRE_TIMESTAMP) integer %= LIMIT_TIMESTAMP_MS;
        double real = (double)integer / 3;
        const char *text =
            type == NACRE_JSON ? jsons[test_random(state) % 4] : texts[test_random(state) % 4];
        values[i] = row_v(test_random(state) % 4 == 0 ? NACRE_NULL : type, integer, real, text);
    }
}

static bool row_same(const nacre_value *a, const nacre_value *b) {
    if (a->type != b->type) return false;
    switch (a->type) {
    case NACRE_NULL: return true;
    case NACRE_REAL: return memcmp(&a->real, &b->real, 8) == 0;
    case NACRE_TEXT:
    case NACRE_BYTES:
    case NACRE_JSON:
        return span_eq(span_of(a->bytes.data, a->bytes.size),
                       span_of(b->bytes.data, b->bytes.size));
    default: return a->integer == b->integer;
    }
}

static void a_row_comes_back_as_it_was(void) {
    Env env = row_env();
    Schema s = row_schema();
    uint64_t state = test_seed();
    for (int i = 0; i < 5000; i++) {
        nacre_value values[ROW_FIELDS], back[ROW_FIELDS], one;
        uint8_t bytes[256];
        uint64_t size = 0;
        row_random(&state, values);
        REQUIRE(row_measure(&env, &s, values, &size) == NACRE_OK && size <= sizeof bytes);
        REQUIRE(row_encode(&s, values, bytes) == bytes + size);
        CHECK(row_check(&env, &s, span_of(bytes, (size_t)size)) == NACRE_OK);
        REQUIRE(row_decode(&s, span_of(bytes, (size_t)size), back));
        for (uint32_t f = 0; f < ROW_FIELDS; f++) {
            CHECK(row_same(&values[f], &back[f]));
            CHECK(row_field(&s, span_of(bytes, (size_t)size), f, &one) && row_same(&one, &back[f]));
        }
        CHECK(!row_field(&s, span_of(bytes, (size_t)size), ROW_FIELDS, &one));
    }
}

static void absent_fields_are_null(void) {
    Env env = row_env();
    Schema s = row_schema();
    uint8_t bytes[16];
    uint64_t size = 0;
    REQUIRE(row_measure(&env, &s, NULL, &size) == NACRE_OK);
    CHECK_EQ(size, ROW_FIELDS);
    CHECK(row_encode(&s, NULL, bytes) == bytes + size);
    CHECK_BYTES(bytes, (size_t)size, "\0\0\0\0\0\0\0\0", 8);
}

static void values_that_do_not_fit_are_refused_naming_the_field(void) {
    static const struct {
        int field;
        nacre_type type;
        int64_t integer;
        double real;
        const char *text, *want;
    } rows[] = {
        {0, NACRE_REAL, 0, 1, NULL, "field \"i\" has a value of another type"},
        {0, NACRE_TEXT, 0, 1, "1", "field \"i\" has a value of another type"},
        {1, NACRE_INTEGER, 1, 0, NULL, "field \"r\" has a value of another type"},
        {1, NACRE_REAL, 0, NAN, NULL, "field \"r\" is not a number (NaN)"},
        {2, NACRE_BOOLEAN, 7, 0, NULL, "field \"b\" is a boolean other than 0 and 1"},
        {3, NACRE_TEXT, 0, 0, "\xff", "field \"t\" is not valid UTF-8"},
        {5, NACRE_TIMESTAMP, INT64_MAX, 0, NULL,
         "field \"w\" is a timestamp further than 8.64e15 ms from 1970"},
        {6, NACRE_JSON, 0, 0, "{", "field \"j\" is not one valid JSON value"},
        {6, NACRE_JSON, 0, 0, "", "field \"j\" is not one valid JSON value"},
        {3, (nacre_type)99, 0, 0, "", "field \"t\" has a value of another type"},
    };
    Env env = row_env();
    Schema s = row_schema();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        nacre_value values[ROW_FIELDS] = {0};
        uint64_t size = 77;
        values[rows[i].field] = row_v(rows[i].type, rows[i].integer, rows[i].real, rows[i].text);
        env_clear(&env);
        CHECK(row_measure(&env, &s, values, &size) == NACRE_INVALID_ARGUMENT && size == 77);
        CHECK_STR(env.error.text, rows[i].want);
    }
    nacre_value no_bytes[ROW_FIELDS] = {0};
    uint64_t size;
    no_bytes[4] = (nacre_value){.type = NACRE_BYTES, .bytes = {NULL, 3}};
    CHECK(row_measure(&env, &s, no_bytes, &size) == NACRE_INVALID_ARGUMENT);
}

static void integer_and_bigint_stand_for_each_other(void) {
    Env env = row_env();
    Schema s = row_schema();
    nacre_value values[ROW_FIELDS] = {0}, back[ROW_FIELDS];
    uint8_t bytes[64];
    uint64_t size = 0;
    values[0] = row_v(NACRE_BIGINT, 5, 0, NULL), values[7] = row_v(NACRE_INTEGER, 6, 0, NULL);
    REQUIRE(row_measure(&env, &s, values, &size) == NACRE_OK);
    (void)row_encode(&s, values, bytes);
    REQUIRE(row_decode(&s, span_of(bytes, (size_t)size), back));
    CHECK(back[0].type == NACRE_INTEGER && back[0].integer == 5);
    CHECK(back[7].type == NACRE_BIGINT && back[7].integer == 6);
}

static void the_value_of_a_pair_is_its_bytes(void) {
    static const struct {
        nacre_type type;
        const char *text;
        bool good;
    } rows[] = {
        {NACRE_TEXT, "", true},      {NACRE_TEXT, "abc", true}, {NACRE_TEXT, "\xff", false},
        {NACRE_BYTES, "\xff", true}, {NACRE_JSON, "{}", true},  {NACRE_JSON, "{", false},
        {NACRE_JSON, "", false},
    };
    Env env = row_env();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Schema s = {.kind = NACRE_KV,
                    .key_count = 1,
                    .key_types = {NACRE_TEXT},
                    .value_type = rows[i].type};
        nacre_value v = row_v(rows[i].type, 0, 0, rows[i].text), back;
        uint64_t size = 0;
        env_clear(&env);
        CHECK((row_measure(&env, &s, &v, &size) == NACRE_OK) == rows[i].good);
        CHECK((row_check(&env, &s, span_of(rows[i].text, strlen(rows[i].text))) == NACRE_OK) ==
              rows[i].good);
        if (!rows[i].good) continue;
        CHECK_EQ(size, strlen(rows[i].text));
        CHECK(row_decode(&s, span_of(rows[i].text, (size_t)size), &back) && row_same(&v, &back));
    }
    Schema s = {
        .kind = NACRE_KV, .key_count = 1, .key_types = {NACRE_TEXT}, .value_type = NACRE_TEXT};
    nacre_value null = {0};
    uint64_t size;
    CHECK(row_measure(&env, &s, &null, &size) == NACRE_INVALID_ARGUMENT);
    CHECK(row_measure(&env, &s, NULL, &size) == NACRE_INVALID_ARGUMENT);
}

static void broken_rows_are_refused_and_never_read_outside(void) {
    Env env = row_env();
    Schema s = row_schema();
    uint64_t state = test_seed();
    for (int i = 0; i < 20000; i++) {
        nacre_value values[ROW_FIELDS], one;
        uint64_t size = 0;
        uint8_t bytes[256];
        row_random(&state, values);
        REQUIRE(row_measure(&env, &s, values, &size) == NACRE_OK);
        (void)row_encode(&s, values, bytes);
        size_t cut = test_random(&state) & 1 ? (size_t)size : test_random(&state) % (size_t)size;
        uint8_t *broken = malloc(cut ? cut : 1);
        if (!broken) return;
        memcpy(broken, bytes, cut);
        for (uint64_t n = test_random(&state) % 3; n > 0 && cut > 0; n--)
            broken[test_random(&state) % cut] = (uint8_t)test_random(&state);
        env_clear(&env);
        nacre_status status = row_check(&env, &s, span_of(broken, cut));
        bool decoded = row_decode(&s, span_of(broken, cut), values);
        if (status == NACRE_OK) CHECK(decoded);
        for (uint32_t f = 0; f < ROW_FIELDS; f++)
            (void)row_field(&s, span_of(broken, cut), f, &one);
        free(broken);
    }
}

void row_test(void) {
    RUN(a_row_comes_back_as_it_was);
    RUN(absent_fields_are_null);
    RUN(values_that_do_not_fit_are_refused_naming_the_field);
    RUN(integer_and_bigint_stand_for_each_other);
    RUN(the_value_of_a_pair_is_its_bytes);
    RUN(broken_rows_are_refused_and_never_read_outside);
}
