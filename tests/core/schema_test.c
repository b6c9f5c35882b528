/* schema_test.c - schemas to bytes and back, and what is refused. */
#include "base/codec.h"
#include "db/schema.h"
#include "lib/check.h"

#include <stdlib.h>
#include <string.h>

static Env schema_env(void) {
    Env env;
    env_init(&env, NULL, NULL, 64 << 20);
    return env;
}

static const nacre_field schema_fields[] = {
    {"title", NACRE_TEXT, false}, {"year", NACRE_INTEGER, false}, {"tags", NACRE_JSON, false}};

static nacre_schema schema_notes(void) {
    return (nacre_schema){.struct_size = sizeof(nacre_schema),
                          .kind = NACRE_COLLECTION,
                          .key_count = 2,
                          .key_types = {NACRE_TEXT, NACRE_INTEGER},
                          .dimensions = 384,
                          .metric = NACRE_COSINE,
                          .element = NACRE_F32,
                          .field_count = 3,
                          .fields = schema_fields};
}

static nacre_schema schema_settings(void) {
    return (nacre_schema){.struct_size = sizeof(nacre_schema),
                          .kind = NACRE_KV,
                          .key_count = 1,
                          .key_types = {NACRE_TEXT},
                          .value_type = NACRE_JSON};
}

static void a_schema_survives_encoding(void) {
    Env env = schema_env();
    nacre_schema given[] = {schema_notes(), schema_settings()};
    for (int i = 0; i < 2; i++) {
        Schema s = {0}, back = {0};
        uint8_t bytes[256];
        REQUIRE(schema_from_public(&env, &given[i], &s) == NACRE_OK);
        size_t size = schema_encoded_size(&s);
        REQUIRE(size <= sizeof bytes);
        CHECK(schema_encode(&s, bytes) == bytes + size);
        REQUIRE(schema_decode(&env, span_of(bytes, size), NACRE_CORRUPT, &back) == NACRE_OK);
        CHECK(schema_equal(&s, &back));
        for (uint32_t f = 0; f < back.field_count; f++)
            CHECK(back.fields[f].name.data[back.fields[f].name.size] == 0);
        CHECK_EQ(schema_field_index(&s, span_of("year", 4)), i == 0 ? 1 : -1);
        schema_clear(&env, &s);
        schema_clear(&env, &back);
    }
    CHECK_EQ(env.memory_used, 0);
}

static void the_encoding_is_as_pictured(void) {
    Env env = schema_env();
    Schema s = {0};
    nacre_field field = {"ab", NACRE_REAL, false};
    nacre_schema given = {.struct_size = sizeof given,
                          .kind = NACRE_COLLECTION,
                          .key_count = 1,
                          .key_types = {NACRE_TEXT},
                          .dimensions = 3,
                          .metric = NACRE_L2,
                          .element = NACRE_F32,
                          .field_count = 1,
                          .fields = &field};
    static const uint8_t want[] = {2, 2, 1, 4, 0, 3, 0, 0, 0, 1, 1, 0, 1,
                                   0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 2, 'a', 'b'};
    uint8_t bytes[64];
    REQUIRE(schema_from_public(&env, &given, &s) == NACRE_OK);
    CHECK_BYTES(bytes, (size_t)(schema_encode(&s, bytes) - bytes), want, sizeof want);
    schema_clear(&env, &s);
}

/* Rule 8: what version 1 wrote means no time to live, the default block, no compression. */
static void schemas_of_version_1_are_read(void) {
    Env env = schema_env();
    Schema s = {0};
    static const uint8_t old[] = {1, 2, 1, 4, 0, 3, 0, 0, 0, 1, 1, 0, 1, 1, 0, 2, 2, 'a', 'b'};
    REQUIRE(schema_decode(&env, span_of(old, sizeof old), NACRE_CORRUPT, &s) == NACRE_OK);
    CHECK(s.kind == NACRE_COLLECTION && s.dimensions == 3 && s.field_count == 1);
    CHECK(s.ttl_ms == 0 && s.block_size == 0 && s.compression == SCHEMA_PLAIN);
    schema_clear(&env, &s);
    CHECK_EQ(schema_decode(&env, span_of("\4\1\1\4\7", 5), NACRE_CORRUPT, &s), NACRE_CORRUPT);
}

static void what_breaks_a_rule_is_refused(void) {
    static const nacre_field reserved[] = {{"vector", NACRE_TEXT, false}},
                             twice[] = {{"a", NACRE_TEXT, false}, {"a", NACRE_REAL, false}},
                             untyped[] = {{"a", NACRE_NULL, false}}, unnamed[] = {{NULL, NACRE_TEXT, false}},
                             slash[] = {{"a/b", NACRE_TEXT, false}}, ordered[] = {{"tags", NACRE_JSON, true}};
    Env env = schema_env();
    nacre_schema rows[26];
    nacre_status want[26];
    int count = 0;
#define SCHEMA_ROW(status, from, change)                                                           \
    do {                                                                                           \
        rows[count] = from(), want[count] = NACRE_##status;                                        \
        nacre_schema *s = &rows[count++];                                                          \
        change;                                                                                    \
    } while (0)
    SCHEMA_ROW(INVALID_ARGUMENT, schema_notes, s->struct_size = 3);
    SCHEMA_ROW(INVALID_ARGUMENT, schema_notes, s->kind = (nacre_kind)9);
    SCHEMA_ROW(INVALID_ARGUMENT, schema_notes, s->key_count = 0);
    SCHEMA_ROW(INVALID_ARGUMENT, schema_notes, s->key_count = 17);
    SCHEMA_ROW(INVALID_ARGUMENT, schema_notes, s->key_types[1] = NACRE_JSON);
    SCHEMA_ROW(INVALID_ARGUMENT, schema_notes, s->dimensions = 0);
    SCHEMA_ROW(INVALID_ARGUMENT, schema_notes, s->dimensions = 16385);
    SCHEMA_ROW(INVALID_ARGUMENT, schema_notes, s->metric = (nacre_metric)0);
    SCHEMA_ROW(UNSUPPORTED, schema_notes, s->element = (nacre_element)5);
    SCHEMA_ROW(INVALID_ARGUMENT, schema_notes, s->element = NACRE_BIT);
    SCHEMA_ROW(UNSUPPORTED, schema_notes, s->index = (nacre_index)3);
    SCHEMA_ROW(INVALID_ARGUMENT, schema_notes, s->index = (nacre_index)4);
    SCHEMA_ROW(INVALID_ARGUMENT, schema_notes, s->bits = 9);
    SCHEMA_ROW(INVALID_ARGUMENT, schema_notes, s->metric = NACRE_HAMMING);
    SCHEMA_ROW(INVALID_ARGUMENT, schema_notes, s->field_count = 257);
    SCHEMA_ROW(INVALID_ARGUMENT, schema_notes, s->fields = NULL);
    SCHEMA_ROW(INVALID_ARGUMENT, schema_notes, (s->fields = reserved, s->field_count = 1));
    SCHEMA_ROW(INVALID_ARGUMENT, schema_notes, (s->fields = twice, s->field_count = 2));
    SCHEMA_ROW(INVALID_ARGUMENT, schema_notes, (s->fields = untyped, s->field_count = 1));
    SCHEMA_ROW(INVALID_ARGUMENT, schema_notes, (s->fields = unnamed, s->field_count = 1));
    SCHEMA_ROW(INVALID_ARGUMENT, schema_notes, (s->fields = slash, s->field_count = 1));
    SCHEMA_ROW(INVALID_ARGUMENT, schema_notes, (s->fields = ordered, s->field_count = 1));
    SCHEMA_ROW(INVALID_ARGUMENT, schema_settings, s->value_type = NACRE_REAL);
    SCHEMA_ROW(INVALID_ARGUMENT, schema_settings, s->dimensions = 3);
    SCHEMA_ROW(INVALID_ARGUMENT, schema_settings, (s->fields = schema_fields, s->field_count = 1));
    SCHEMA_ROW(INVALID_ARGUMENT, schema_notes, s->value_type = NACRE_TEXT);
#undef SCHEMA_ROW
    for (int i = 0; i < count; i++) {
        Schema s = {0};
        env_clear(&env);
        CHECK_EQ(schema_from_public(&env, &rows[i], &s), want[i]);
        CHECK(s.fields == NULL && env.error.text[0] != 0);
    }
    CHECK_EQ(env.memory_used, 0);
}

static void a_difference_is_named(void) {
    Env env = schema_env();
    static const nacre_field other[] = {
        {"title", NACRE_TEXT, false}, {"year", NACRE_REAL, false}, {"tags", NACRE_JSON, false}};
    static const nacre_field indexed[] = {
        {"title", NACRE_TEXT, false}, {"year", NACRE_INTEGER, true}, {"tags", NACRE_JSON, false}};
    nacre_schema changed[7];
    static const char *want[7] = {
        "kind: stored collection, given kv",
        "a part of the key: stored integer, given bigint",
        "dimensions: stored 384, given 768",
        "metric: stored cosine, given l2",
        "field \"year\": stored integer, given real",
        "number of fields: stored 3, given 2",
        "field \"year\": stored not indexed, given indexed",
    };
    for (int i = 0; i < 7; i++) changed[i] = schema_notes();
    changed[0] = schema_settings();
    changed[1].key_types[1] = NACRE_BIGINT;
    changed[2].dimensions = 768;
    changed[3].metric = NACRE_L2;
    changed[4].fields = other;
    changed[5].field_count = 2;
    changed[6].fields = indexed;
    for (int i = 0; i < 7; i++) {
        Schema a = {0}, b = {0}, copy = {0};
        nacre_schema stored = schema_notes();
        char text[128];
        REQUIRE(schema_from_public(&env, &stored, &a) == NACRE_OK &&
                schema_from_public(&env, &changed[i], &b) == NACRE_OK);
        CHECK(!schema_equal(&a, &b));
        schema_difference(&a, &b, text, sizeof text);
        CHECK_STR(text, want[i]);
        REQUIRE(schema_copy(&env, &a, &copy) == NACRE_OK);
        schema_difference(&a, &copy, text, sizeof text);
        CHECK_STR(text, "");
        schema_clear(&env, &a), schema_clear(&env, &b), schema_clear(&env, &copy);
    }
    CHECK_EQ(env.memory_used, 0);
}

static void broken_bytes_are_refused_and_never_read_outside(void) {
    Env env = schema_env();
    nacre_schema given = schema_notes();
    Schema s = {0};
    uint8_t bytes[256];
    REQUIRE(schema_from_public(&env, &given, &s) == NACRE_OK);
    size_t whole = (size_t)(schema_encode(&s, bytes) - bytes);
    uint64_t state = test_seed();
    for (int i = 0; i < 20000; i++) {
        size_t size = i < (int)whole ? (size_t)i : test_random(&state) % (whole + 2);
        uint8_t *broken = malloc(size ? size : 1);
        if (!broken) return;
        memset(broken, 7, size);
        memcpy(broken, bytes, size < whole ? size : whole);
        for (uint64_t n = i < (int)whole ? 0 : test_random(&state) % 3; n > 0 && size > 0; n--)
            broken[test_random(&state) % size] = (uint8_t)test_random(&state);
        Schema back = {0};
        env_clear(&env);
        nacre_status status = schema_decode(&env, span_of(broken, size), NACRE_CORRUPT, &back);
        CHECK(status == NACRE_OK || status == NACRE_CORRUPT || status == NACRE_UNSUPPORTED);
        if (size != whole) CHECK(status != NACRE_OK);
        if (status == NACRE_OK) CHECK(schema_encoded_size(&back) == size);
        schema_clear(&env, &back);
        free(broken);
    }
    schema_clear(&env, &s);
    CHECK_EQ(env.memory_used, 0);
}

void schema_test(void) {
    RUN(a_schema_survives_encoding);
    RUN(the_encoding_is_as_pictured);
    RUN(schemas_of_version_1_are_read);
    RUN(what_breaks_a_rule_is_refused);
    RUN(a_difference_is_named);
    RUN(broken_bytes_are_refused_and_never_read_outside);
}
