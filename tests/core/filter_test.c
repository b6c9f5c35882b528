/* filter_test.c - filters, against a second evaluator that reads the JSON as API.md says
 * and knows nothing of programs; and what is refused. */
#include "base/decimal.h"
#include "base/json.h"
#include "base/textform.h"
#include "db/filter.h"
#include "db/keycode.h"
#include "db/row.h"
#include "lib/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static SchemaField filter_fields[] = {
    {{(const uint8_t *)"i", 1}, NACRE_INTEGER, false}, {{(const uint8_t *)"r", 1}, NACRE_REAL, false},
    {{(const uint8_t *)"b", 1}, NACRE_BOOLEAN, false}, {{(const uint8_t *)"t", 1}, NACRE_TEXT, false},
    {{(const uint8_t *)"y", 1}, NACRE_BYTES, false},   {{(const uint8_t *)"w", 1}, NACRE_TIMESTAMP, false},
    {{(const uint8_t *)"j", 1}, NACRE_JSON, false},
};
enum { FILTER_FIELDS = 7 };

static Schema filter_schema(nacre_type key) {
    return (Schema){.kind = NACRE_TABLE,
                    .key_count = 1,
                    .key_types = {key},
                    .field_count = FILTER_FIELDS,
                    .fields = filter_fields};
}

static Env filter_env(void) {
    Env env;
    env_init(&env, NULL, NULL, 16 << 20);
    return env;
}

typedef struct FilterRow {
    nacre_value key[3], fields[FILTER_FIELDS];
    uint8_t key_bytes[64], row_bytes[256];
    size_t key_size, row_size;
} FilterRow;

static bool filter_row_encode(Env *env, const Schema *s, FilterRow *row) {
    uint64_t size = 0;
    if (key_measure(env, s, row->key, s->key_count, KEY_WHOLE, &row->key_size) != NACRE_OK)
        return false;
    if (row_measure(env, s, row->fields, &size) != NACRE_OK || size > sizeof row->row_bytes)
        return false;
    row->row_size = (size_t)size;
    (void)key_encode(s, row->key, s->key_count, KEY_WHOLE, row->key_bytes);
    (void)row_encode(s, row->fields, row->row_bytes);
    return true;
}

/* 1: matches; 0: does not; -1: refused. */
static int filter_ask(Env *env, const Schema *s, const char *where, size_t size,
                      const FilterRow *row) {
    FilterProgram program = {0};
    Filter *filter = NULL;
    env_clear(env);
    if (filter_from_json(env, s, where, size, &program) != NACRE_OK) return -1;
    int answer = -1;
    if (filter_compile(env, s, span_of(program.data, program.size), &filter) == NACRE_OK)
        answer = filter_matches(filter, span_of(row->key_bytes, row->key_size),
                                span_of(row->row_bytes, row->row_size));
    filter_free(filter);
    env_free(env, program.data, program.capacity);
    return answer;
}

static nacre_value filter_v(nacre_type type, int64_t integer, double real, const char *text) {
    return (nacre_value){type, integer, real, {text, text ? strlen(text) : 0}};
}

/* ---- a table of questions about one row ---- */

static void filter_row_known(FilterRow *row) {
    *row = (FilterRow){.key = {filter_v(NACRE_TEXT, 0, 0, "pearl")}};
    row->fields[0] = filter_v(NACRE_INTEGER, 2026, 0, NULL);
    row->fields[1] = filter_v(NACRE_REAL, 0, 2.5, NULL);
    row->fields[2] = filter_v(NACRE_BOOLEAN, 1, 0, NULL);
    row->fields[3] = filter_v(NACRE_TEXT, 0, 0,
                              "N\xc3\xa4"
                              "cre");
    row->fields[4] = filter_v(NACRE_BYTES, 0, 0, "\x01\x02\xff");
    row->fields[5] = filter_v(NACRE_TIMESTAMP, 1767225600000, 0, NULL); /* 2026-01-01 */
    row->fields[6] = filter_v(NACRE_JSON, 0, 0, "[\"wasm\",7,true,null,{\"a\":1}]");
}

static void each_operator_answers_as_api_md_says(void) {
    static const struct {
        const char *where;
        int want;
    } rows[] = {
        {"{}", 1},
        {"{\"i\":2026}", 1},
        {"{\"i\":2026.0}", 1},
        {"{\"i\":2026.5}", 0},
        {"{\"i\":{\"gt\":2025.9}}", 1},
        {"{\"i\":{\"gte\":2020,\"lt\":2026}}", 0},
        {"{\"i\":{\"gte\":2020,\"lte\":2026}}", 1},
        {"{\"i\":{\"lt\":1e300}}", 1},
        {"{\"i\":{\"ne\":2026}}", 0},
        {"{\"i\":{\"in\":[1,2026,3]}}", 1},
        {"{\"i\":{\"in\":[]}}", 0},
        {"{\"i\":{\"nin\":[]}}", 1},
        {"{\"i\":{\"nin\":[1,2.5]}}", 1},
        {"{\"i\":{\"in\":[2026.0,9]}}", 1},
        {"{\"i\":{\"exists\":true}}", 1},
        {"{\"i\":{\"exists\":false}}", 0},
        {"{\"i\":null}", 0},
        {"{\"i\":{\"ne\":null}}", 1},
        {"{\"i\":{\"in\":[null]}}", 0},
        {"{\"r\":2.5}", 1},
        {"{\"r\":{\"gt\":2}}", 1},
        {"{\"r\":{\"lt\":3}}", 1},
        {"{\"r\":2}", 0},
        {"{\"b\":true}", 1},
        {"{\"b\":false}", 0},
        {"{\"b\":{\"gt\":false}}", 1},
        {"{\"t\":\"N\\u00e4cre\"}", 1},
        {"{\"t\":{\"startsWith\":\"N\"}}", 1},
        {"{\"t\":{\"startsWith\":\"\"}}", 1},
        {"{\"t\":{\"startsWith\":\"n\"}}", 0},
        {"{\"t\":{\"contains\":\"cr\"}}", 1},
        {"{\"t\":{\"contains\":\"\"}}", 1},
        {"{\"t\":{\"contains\":\"crx\"}}", 0},
        {"{\"t\":{\"lt\":\"O\"}}", 1},
        {"{\"t\":{\"in\":[\"a\",\"N\xc3\xa4"
         "cre\"]}}",
         1},
        {"{\"y\":\"AQL/\"}", 1},
        {"{\"y\":{\"startsWith\":\"AQ==\"}}", 1},
        {"{\"y\":{\"gt\":\"AQI=\"}}", 1},
        {"{\"w\":\"2026-01-01\"}", 1},
        {"{\"w\":1767225600000}", 1},
        {"{\"w\":{\"gt\":\"2025-12-31T23:59:59.999Z\"}}", 1},
        {"{\"w\":{\"lt\":\"2026-01-01T01:00+01:00\"}}", 0},
        {"{\"j\":{\"contains\":\"wasm\"}}", 1},
        {"{\"j\":{\"contains\":\"was\"}}", 0},
        {"{\"j\":{\"contains\":7.0}}", 1},
        {"{\"j\":{\"contains\":true}}", 1},
        {"{\"j\":{\"contains\":false}}", 0},
        {"{\"j\":{\"contains\":null}}", 1},
        {"{\"j\":{\"contains\":{\"a\":1.0}}}", 1},
        {"{\"j\":[\"wasm\",7,true,null,{\"a\":1}]}", 1},
        {"{\"j\":{\"eq\":[\"wasm\"]}}", 0},
        {"{\"j\":{\"ne\":[\"wasm\"]}}", 1},
        {"{\"j\":{\"in\":[1,[\"wasm\",7,true,null,{\"a\":1}]]}}", 1},
        {"{\"j\":null}", 0},
        {"{\"key\":\"pearl\"}", 1},
        {"{\"key\":{\"gt\":\"pear\"}}", 1},
        {"{\"key\":{\"startsWith\":\"pe\"}}", 1},
        {"{\"key\":{\"contains\":\"ear\"}}", 1},
        {"{\"key\":{\"contains\":\"\\u0001\"}}", 0},
        {"{\"key\":{\"in\":[\"a\",\"pearl\"]}}", 1},
        {"{\"key\":null}", 0},
        {"{\"key\":{\"ne\":null}}", 1},
        {"{\"key\":{\"exists\":true}}", 1},
        {"{\"key\":{\"nin\":[null]}}", 1},
        {"{\"and\":[]}", 1},
        {"{\"or\":[]}", 0},
        {"{\"not\":{}}", 0},
        {"{\"not\":{\"i\":1}}", 1},
        {"{\"or\":[{\"i\":1},{\"t\":{\"startsWith\":\"N\"}}],\"i\":2026}", 1},
        {"{\"and\":[{\"i\":2026},{\"b\":false}]}", 0},
        /* refused */
        {"", -1},
        {"[]", -1},
        {"{", -1},
        {"{\"x\":1}", -1},
        {"{\"i\":{\"gtt\":1}}", -1},
        {"{\"i\":{}}", -1},
        {"{\"i\":\"1\"}", -1},
        {"{\"i\":true}", -1},
        {"{\"i\":[1]}", -1},
        {"{\"i\":{\"gt\":null}}", -1},
        {"{\"i\":{\"contains\":1}}", -1},
        {"{\"i\":{\"startsWith\":1}}", -1},
        {"{\"i\":{\"in\":1}}", -1},
        {"{\"i\":{\"exists\":1}}", -1},
        {"{\"t\":1}", -1},
        {"{\"t\":{\"contains\":null}}", -1},
        {"{\"t\":\"\\ud800\"}", -1},
        {"{\"y\":\"#\"}", -1},
        {"{\"y\":{\"contains\":\"AQ==\"}}", -1},
        {"{\"w\":\"yesterday\"}", -1},
        {"{\"w\":1.5}", -1},
        {"{\"w\":true}", -1},
        {"{\"j\":{\"gt\":1}}", -1},
        {"{\"j\":{\"startsWith\":\"a\"}}", -1},
        {"{\"and\":{}}", -1},
        {"{\"not\":[]}", -1},
        {"{\"or\":[1]}", -1},
        {"{\"key\":1}", -1},
        {"{\"key\":[\"pearl\"]}", -1},
        {"{\"b\":1}", -1},
        {"{\"b\":{\"startsWith\":true}}", -1},
    };
    Env env = filter_env();
    Schema s = filter_schema(NACRE_TEXT);
    FilterRow row;
    filter_row_known(&row);
    REQUIRE(filter_row_encode(&env, &s, &row));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int got = filter_ask(&env, &s, rows[i].where, strlen(rows[i].where), &row);
        if (!CHECK_EQ(got, rows[i].want)) printf("    %s: %s\n", rows[i].where, env.error.text);
        if (got < 0) CHECK(env.error.code == NACRE_INVALID_ARGUMENT && env.error.text[0]);
    }
    CHECK_EQ(env.memory_used, 0);
}

static void a_comparison_with_null_is_false_and_only_asking_finds_it(void) {
    static const struct {
        const char *where;
        int want;
    } rows[] = {
        {"{\"%\":null}", 1},
        {"{\"%\":{\"eq\":null}}", 1},
        {"{\"%\":{\"ne\":null}}", 0},
        {"{\"%\":{\"exists\":false}}", 1},
        {"{\"%\":{\"exists\":true}}", 0},
        {"{\"%\":{\"in\":[null]}}", 1},
        {"{\"%\":{\"nin\":[]}}", 0},
        {"{\"%\":{\"nin\":[null]}}", 0},
        {"{\"%\":{\"in\":[]}}", 0},
        {"{\"not\":{\"%\":{\"nin\":[]}}}", 1},
    };
    Env env = filter_env();
    Schema s = filter_schema(NACRE_TEXT);
    FilterRow row = {.key = {filter_v(NACRE_TEXT, 0, 0, "k")}};
    for (int json_null = 0; json_null < 2; json_null++) {
        if (json_null) row.fields[6] = filter_v(NACRE_JSON, 0, 0, " null "); /* rule 5 */
        REQUIRE(filter_row_encode(&env, &s, &row));
        for (size_t f = 0; f < FILTER_FIELDS; f++)
            for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                char where[64];
                strcpy(where, rows[i].where);
                *strchr(where, '%') = (char)filter_fields[f].name.data[0];
                if (!CHECK_EQ(filter_ask(&env, &s, where, strlen(where), &row), rows[i].want))
                    printf("    %s\n", where);
            }
        CHECK_EQ(filter_ask(&env, &s, "{\"i\":{\"ne\":1}}", 14, &row), 0);
        CHECK_EQ(filter_ask(&env, &s, "{\"t\":{\"ne\":\"a\"}}", 16, &row), 0);
        CHECK_EQ(filter_ask(&env, &s, "{\"j\":{\"ne\":1}}", 14, &row), 0);
    }
    CHECK_EQ(env.memory_used, 0);
}

static void composite_keys_are_compared_as_arrays(void) {
    static const struct {
        const char *where;
        int want;
    } rows[] = {
        {"{\"key\":[\"a\",5,2.5]}", 1},
        {"{\"key\":[\"a\",5.0,2.5]}", 1},
        {"{\"key\":[\"a\",6,2.5]}", 0},
        {"{\"key\":{\"gt\":[\"a\",4.5,9]}}", 1},
        {"{\"key\":{\"lt\":[\"a\",5,2.5]}}", 0},
        {"{\"key\":{\"lte\":[\"a\",5,2.5]}}", 1},
        {"{\"key\":{\"in\":[[\"b\",5,2.5],[\"a\",5,2.5]]}}", 1},
        {"{\"key\":{\"nin\":[[\"b\",5,2.5],[\"a\",5,2]]}}", 1},
        {"{\"key\":\"a\"}", -1},
        {"{\"key\":[\"a\",5]}", -1},
        {"{\"key\":[5,\"a\",1]}", -1},
        {"{\"key\":[\"a\",5,null]}", -1},
        {"{\"key\":{\"startsWith\":\"a\"}}", -1},
        {"{\"key\":{\"contains\":[\"a\",5,2]}}", -1},
    };
    Env env = filter_env();
    Schema s = filter_schema(NACRE_TEXT);
    s.key_count = 3, s.key_types[1] = NACRE_INTEGER, s.key_types[2] = NACRE_REAL;
    FilterRow row = {.key = {filter_v(NACRE_TEXT, 0, 0, "a"), filter_v(NACRE_INTEGER, 5, 0, NULL),
                             filter_v(NACRE_REAL, 0, 2.5, NULL)}};
    REQUIRE(filter_row_encode(&env, &s, &row));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!CHECK_EQ(filter_ask(&env, &s, rows[i].where, strlen(rows[i].where), &row),
                      rows[i].want))
            printf("    %s\n", rows[i].where);
    CHECK_EQ(env.memory_used, 0);
}

static void limits_of_depth_and_number_hold(void) {
    Env env = filter_env();
    Schema s = filter_schema(NACRE_TEXT);
    FilterRow row;
    filter_row_known(&row);
    REQUIRE(filter_row_encode(&env, &s, &row));
    static char where[200000];
    for (int extra = 0; extra < 2; extra++) {
        size_t at = 0;
        int depth = LIMIT_WHERE_DEPTH + extra;
        for (int i = 0; i < depth; i++) at += (size_t)sprintf(where + at, "{\"not\":");
        at += (size_t)sprintf(where + at, "{\"i\":1}");
        for (int i = 0; i < depth; i++) where[at++] = '}';
        CHECK_EQ(filter_ask(&env, &s, where, at, &row), extra ? -1 : LIMIT_WHERE_DEPTH % 2);
        int values = LIMIT_WHERE_NODES - 2 + extra; /* one node, and 2026 */
        at = (size_t)sprintf(where, "{\"i\":{\"in\":[");
        for (int i = 0; i < values; i++) at += (size_t)sprintf(where + at, "%d,", 3 * i);
        at += (size_t)sprintf(where + at, "2026]}}");
        CHECK_EQ(filter_ask(&env, &s, where, at, &row), extra ? -1 : 1);
    }
    CHECK_EQ(env.memory_used, 0);
}

/* ---- random filters over random rows ---- */

static const char *const filter_numbers[] = {
    "0", "1", "2", "-1", "1.5", "2.0", "9007199254740993", "9007199254740992.0", "-0", "1e30"};
static const char *const filter_texts[] = {"", "a", "ab", "b", "ba", "\xc3\xa4", "a\xc3\xa4"};
static const char *const filter_jsons[] = {"1",
                                           "\"a\"",
                                           "[]",
                                           "[1,\"a\"]",
                                           "[\"a\", 1.0]",
                                           "{\"x\":1,\"y\":[]}",
                                           "{\"y\":[],\"x\":1.0}",
                                           "true",
                                           "[null]"};
static const char *const filter_bytes64[] = {"", "AA==", "AQ==", "AAE=", "//8="};
static const char *const filter_times[] = {"0", "1000", "\"1970-01-01T00:00:01Z\"", "-1000",
                                           "\"1970-01-01\""};

typedef struct FilterText {
    char text[8192];
    size_t size;
    uint64_t *state;
} FilterText;

static uint64_t filter_pick(FilterText *w, uint64_t below) { return test_random(w->state) % below; }

static void filter_say(FilterText *w, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int size = vsnprintf(w->text + w->size, sizeof w->text - w->size, format, args);
    va_end(args);
    if (size > 0 && w->size + (size_t)size < sizeof w->text) w->size += (size_t)size;
}

static void filter_say_value(FilterText *w, nacre_type type) {
    switch (type) {
    case NACRE_INTEGER:
    case NACRE_REAL: filter_say(w, "%s", filter_numbers[filter_pick(w, 10)]); break;
    case NACRE_BOOLEAN: filter_say(w, "%s", filter_pick(w, 2) ? "true" : "false"); break;
    case NACRE_TEXT: filter_say(w, "\"%s\"", filter_texts[filter_pick(w, 7)]); break;
    case NACRE_BYTES: filter_say(w, "\"%s\"", filter_bytes64[filter_pick(w, 5)]); break;
    case NACRE_TIMESTAMP: filter_say(w, "%s", filter_times[filter_pick(w, 5)]); break;
    default: filter_say(w, "%s", filter_jsons[filter_pick(w, 9)]); break;
    }
}

static void filter_say_test(FilterText *w, const Schema *s) {
    static const char *const order[] = {"gt", "gte", "lt", "lte"};
    uint64_t column = filter_pick(w, FILTER_FIELDS + 1);
    bool key = column == FILTER_FIELDS;
    nacre_type type = key ? s->key_types[0] : filter_fields[column].type;
    filter_say(w, "\"%s\":{\"", key ? "key" : (const char *)filter_fields[column].name.data);
    switch (filter_pick(w, 6)) {
    case 0: filter_say(w, "exists\":%s", filter_pick(w, 2) ? "true" : "false"); break;
    case 1:
        filter_say(w, "%s\":[", filter_pick(w, 2) ? "in" : "nin");
        for (uint64_t i = 0, n = filter_pick(w, 5); i < n; i++) {
            if (i) filter_say(w, ",");
            if (filter_pick(w, 8) == 0)
                filter_say(w, "null");
            else
                filter_say_value(w, type);
        }
        filter_say(w, "]");
        break;
    case 2:
        if (type != NACRE_JSON) {
            filter_say(w, "%s\":", order[filter_pick(w, 4)]);
            filter_say_value(w, type);
            break;
        } /* fall through */
    case 3:
        if (type == NACRE_TEXT || type == NACRE_JSON) {
            filter_say(w, "contains\":");
            filter_say_value(w, type);
            break;
        } /* fall through */
    case 4:
        if (type == NACRE_TEXT || type == NACRE_BYTES) {
            filter_say(w, "startsWith\":");
            filter_say_value(w, type);
            break;
        } /* fall through */
    default:
        filter_say(w, "%s\":", filter_pick(w, 2) ? "eq" : "ne");
        if (filter_pick(w, 8) == 0)
            filter_say(w, "null");
        else
            filter_say_value(w, type);
    }
    filter_say(w, "}");
}

static void filter_say_object(FilterText *w, const Schema *s, int depth) {
    filter_say(w, "{");
    for (uint64_t i = 0, n = depth > 3 ? 1 : filter_pick(w, 3); i < n; i++) {
        if (i) filter_say(w, ",");
        uint64_t what = depth > 3 ? 9 : filter_pick(w, 6);
        if (what == 0) {
            filter_say(w, "\"not\":");
            filter_say_object(w, s, depth + 1);
        } else if (what <= 2) {
            filter_say(w, "\"%s\":[", what == 1 ? "and" : "or");
            for (uint64_t j = 0, m = filter_pick(w, 3); j < m; j++) {
                if (j) filter_say(w, ",");
                filter_say_object(w, s, depth + 1);
            }
            filter_say(w, "]");
        } else {
            filter_say_test(w, s);
        }
    }
    filter_say(w, "}");
}

/* The second evaluator: JSON against values, by the words of API.md. */
static Span filter_decode(JsonValue value, bool base64, uint8_t *room) {
    size_t size = json_string_size(value);
    json_string_copy(value, room);
    if (base64) (void)base64_parse(span_of(room, size), room, &size);
    return span_of(room, size);
}

static int filter_brute_order(const nacre_value *field, JsonValue value) {
    uint8_t room[64];
    Span bytes = span_of(field->bytes.data, field->bytes.size);
    int64_t ms = 0;
    switch (field->type) {
    case NACRE_INTEGER:
        if (value.kind == JSON_INTEGER)
            return (field->integer > json_integer(value)) - (field->integer < json_integer(value));
        return number_compare(field->integer, json_real(value));
    case NACRE_REAL:
        if (value.kind == JSON_INTEGER) return -number_compare(json_integer(value), field->real);
        return (field->real > json_real(value)) - (field->real < json_real(value));
    case NACRE_BOOLEAN: return (int)field->integer - (value.kind == JSON_TRUE);
    case NACRE_TIMESTAMP:
        if (value.kind == JSON_INTEGER)
            ms = json_integer(value);
        else
            (void)timestamp_parse(filter_decode(value, false, room), &ms);
        return (field->integer > ms) - (field->integer < ms);
    case NACRE_TEXT: return span_compare(bytes, filter_decode(value, false, room));
    case NACRE_BYTES: return span_compare(bytes, filter_decode(value, true, room));
    default: {
        JsonValue whole = json_value(bytes);
        return json_equal(whole, value) ? 0 : 1;
    }
    }
}

static bool filter_brute_contains(const nacre_value *field, JsonValue value) {
    uint8_t room[64];
    Span bytes = span_of(field->bytes.data, field->bytes.size);
    if (field->type == NACRE_JSON) {
        JsonValue array = json_value(bytes), name, item;
        if (array.kind != JSON_ARRAY) return false;
        for (JsonIterator it = json_iterate(array); json_next(&it, &name, &item);)
            if (json_equal(item, value)) return true;
        return false;
    }
    Span wanted = filter_decode(value, false, room);
    for (size_t i = 0; i + wanted.size <= bytes.size; i++)
        if (memcmp(bytes.data + i, wanted.data, wanted.size) == 0) return true;
    return false;
}

static bool filter_brute_test(const nacre_value *field, JsonValue op, JsonValue value) {
    uint8_t room[64];
    bool null = field->type == NACRE_NULL;
#define FILTER_IS(word) json_string_equal(op, span_of(word, sizeof word - 1))
    if (FILTER_IS("exists")) return null != (value.kind == JSON_TRUE);
    if (FILTER_IS("eq") && value.kind == JSON_NULL) return null;
    if (FILTER_IS("in") || FILTER_IS("nin")) {
        bool found = false;
        JsonValue name, item;
        for (JsonIterator it = json_iterate(value); json_next(&it, &name, &item);)
            if (item.kind == JSON_NULL ? null : !null && filter_brute_order(field, item) == 0)
                found = true;
        return FILTER_IS("in") ? found : !null && !found;
    }
    if (null) return false;
    if (FILTER_IS("ne") && value.kind == JSON_NULL) return true;
    if (FILTER_IS("contains")) return filter_brute_contains(field, value);
    if (FILTER_IS("startsWith"))
        return span_starts_with(span_of(field->bytes.data, field->bytes.size),
                                filter_decode(value, field->type == NACRE_BYTES, room));
    int order = filter_brute_order(field, value);
    if (FILTER_IS("eq")) return order == 0;
    if (FILTER_IS("ne")) return order != 0;
    if (FILTER_IS("gt")) return order > 0;
    if (FILTER_IS("gte")) return order >= 0;
    if (FILTER_IS("lt")) return order < 0;
    return order <= 0;
#undef FILTER_IS
}

static bool filter_brute(const FilterRow *row, JsonValue where) {
    JsonValue name, item, inner, op;
    bool all = true;
    for (JsonIterator it = json_iterate(where); json_next(&it, &name, &item);) {
        bool and = json_string_equal(name, span_of("and", 3)),
             or = json_string_equal(name, span_of("or", 2));
        if (json_string_equal(name, span_of("not", 3))) {
            all = all && !filter_brute(row, item);
        } else if (and || or) {
            bool answer = and;
            for (JsonIterator each = json_iterate(item); json_next(&each, &op, &inner);)
                answer =
                    and ? answer && filter_brute(row, inner) : answer || filter_brute(row, inner);
            all = all && answer;
        } else {
            const nacre_value *field = &row->key[0];
            for (int f = 0; f < FILTER_FIELDS; f++)
                if (json_string_equal(name, filter_fields[f].name)) field = &row->fields[f];
            for (JsonIterator each = json_iterate(item); json_next(&each, &op, &inner);)
                all = all && filter_brute_test(field, op, inner);
        }
    }
    return all;
}

static nacre_value filter_random_value(uint64_t *state, nacre_type type) {
    static const int64_t integers[] = {0, 1, 2, -1, INT64_C(9007199254740993), 3};
    static const double reals[] = {0, 1, 1.5, 2, -1, 9007199254740992.0, 1e30};
    static const int64_t times[] = {0, 1000, -1000};
    static const nacre_span bytes[] = {{"", 0}, {"\0", 1}, {"\1", 1}, {"\0\1", 2}, {"\xff\xff", 2}};
    uint64_t pick = test_random(state);
    switch (type) {
    case NACRE_INTEGER: return filter_v(type, integers[pick % 6], 0, NULL);
    case NACRE_REAL: return filter_v(type, 0, reals[pick % 7], NULL);
    case NACRE_BOOLEAN: return filter_v(type, (int64_t)(pick % 2), 0, NULL);
    case NACRE_TIMESTAMP: return filter_v(type, times[pick % 3], 0, NULL);
    case NACRE_TEXT: return filter_v(type, 0, 0, filter_texts[pick % 7]);
    case NACRE_BYTES: return (nacre_value){.type = type, .bytes = bytes[pick % 5]};
    default: return filter_v(type, 0, 0, filter_jsons[pick % 9]);
    }
}

static void random_filters_answer_as_brute_force_does(void) {
    static const nacre_type keys[] = {NACRE_TEXT, NACRE_INTEGER,   NACRE_BYTES,
                                      NACRE_REAL, NACRE_TIMESTAMP, NACRE_BOOLEAN};
    Env env = filter_env();
    uint64_t state = test_seed();
    static FilterText w;
    int matched = 0;
    for (int i = 0; i < 20000; i++) {
        Schema s = filter_schema(keys[i % 6]);
        FilterRow row = {.key = {filter_random_value(&state, s.key_types[0])}};
        for (int f = 0; f < FILTER_FIELDS; f++)
            if (test_random(&state) % 4)
                row.fields[f] = filter_random_value(&state, filter_fields[f].type);
        REQUIRE(filter_row_encode(&env, &s, &row));
        w.size = 0, w.state = &state;
        filter_say_object(&w, &s, 0);
        JsonValue where;
        REQUIRE(json_parse(span_of(w.text, w.size), &where));
        int want = filter_brute(&row, where), got = filter_ask(&env, &s, w.text, w.size, &row);
        if (!CHECK_EQ(got, want))
            printf("    %.*s %s\n", (int)w.size, w.text, got < 0 ? env.error.text : "");
        matched += want;
    }
    CHECK(matched > 1000 && matched < 19000);
    CHECK_EQ(env.memory_used, 0);
}

static void broken_programs_are_refused_and_never_read_outside(void) {
    Env env = filter_env();
    uint64_t state = test_seed();
    static FilterText w;
    Schema s = filter_schema(NACRE_TEXT);
    FilterRow row;
    filter_row_known(&row);
    REQUIRE(filter_row_encode(&env, &s, &row));
    for (int i = 0; i < 20000; i++) {
        FilterProgram program = {0};
        w.size = 0, w.state = &state;
        filter_say_object(&w, &s, 1);
        REQUIRE(filter_from_json(&env, &s, w.text, w.size, &program) == NACRE_OK);
        size_t size = test_random(&state) & 1 ? program.size : test_random(&state) % program.size;
        uint8_t *broken = malloc(size ? size : 1);
        if (!broken) return;
        memcpy(broken, program.data, size);
        for (uint64_t n = test_random(&state) % 4; n > 0 && size > 0; n--)
            broken[test_random(&state) % size] =
                (uint8_t)(test_random(&state) & 1 ? test_random(&state) : test_random(&state) % 32);
        Filter *filter = NULL;
        env_clear(&env);
        if (filter_compile(&env, &s, span_of(broken, size), &filter) == NACRE_OK) {
            (void)filter_matches(filter, span_of(row.key_bytes, row.key_size),
                                 span_of(row.row_bytes, row.row_size));
            /* rows and keys that are cut are no danger either */
            uint8_t *cut = malloc(row.row_size);
            size_t cut_size = test_random(&state) % row.row_size;
            if (!cut) return;
            memcpy(cut, row.row_bytes, cut_size);
            for (size_t k = 0; k < cut_size && (i & 1); k += 7)
                cut[test_random(&state) % cut_size] ^= (uint8_t)test_random(&state);
            (void)filter_matches(filter, span_of(row.key_bytes, test_random(&state) % row.key_size),
                                 span_of(cut, cut_size));
            free(cut);
        } else {
            CHECK(filter == NULL && env.error.code == NACRE_INVALID_ARGUMENT);
        }
        filter_free(filter);
        free(broken);
        env_free(&env, program.data, program.capacity);
    }
    CHECK_EQ(env.memory_used, 0);
}

static void an_exhausted_budget_is_told_and_nothing_leaks(void) {
    Env env = filter_env();
    Schema s = filter_schema(NACRE_TEXT);
    static const char where[] =
        "{\"or\":[{\"i\":{\"in\":[1,2,3,4,5,6,7,8,9]}},{\"t\":\"abc\"},{\"key\":{\"gt\":\"b\"}}]}";
    FilterRow row;
    filter_row_known(&row);
    REQUIRE(filter_row_encode(&env, &s, &row));
    int failed = 0;
    for (uint64_t budget = 0; budget < 8192; budget += 16) {
        env.memory_budget = budget;
        int got = filter_ask(&env, &s, where, sizeof where - 1, &row);
        CHECK(got == 1 || (got == -1 && env.error.code == NACRE_RESOURCE_EXHAUSTED));
        failed += got < 0;
        CHECK_EQ(env.memory_used, 0);
    }
    CHECK(failed > 5 && failed < 500);
}

static void timestamps_and_base64_come_back(void) {
    static const struct {
        const char *text;
        bool good;
        int64_t ms;
        const char *printed;
    } rows[] = {
        {"1970-01-01", true, 0, "1970-01-01T00:00:00.000Z"},
        {"2026-01-01T00:00Z", true, 1767225600000, "2026-01-01T00:00:00.000Z"},
        {"2000-02-29T23:59:59.999Z", true, 951868799999, "2000-02-29T23:59:59.999Z"},
        {"1900-02-29", false, 0, ""},
        {"1969-12-31T23:59:59.9999", true, -1, "1969-12-31T23:59:59.999Z"},
        {"0000-01-01", true, -62167219200000, "0000-01-01T00:00:00.000Z"},
        {"-000001-12-31", true, -62167305600000, "-000001-12-31T00:00:00.000Z"},
        {"+275760-09-13", true, 8640000000000000, "+275760-09-13T00:00:00.000Z"},
        {"+275760-09-14", false, 0, ""},
        {"-271821-04-20", true, -8640000000000000, "-271821-04-20T00:00:00.000Z"},
        {"2026-01-01T24:00", true, 1767312000000, "2026-01-02T00:00:00.000Z"},
        {"2026-01-01T24:01", false, 0, ""},
        {"2026-01-01T10:00+02:30", true, 1767252600000, "2026-01-01T07:30:00.000Z"},
        {"2026-13-01", false, 0, ""},
        {"2026-01-01T", false, 0, ""},
        {"2026-01-01x", false, 0, ""},
        {"2026-1-1", false, 0, ""},
        {"", false, 0, ""},
        {"2026-01-01T10:00+2:30", false, 0, ""},
        {"2026-01-01T10:00:00.", false, 0, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t ms = 1;
        char text[TIMESTAMP_TEXT_SIZE];
        if (!CHECK(timestamp_parse(span_of(rows[i].text, strlen(rows[i].text)), &ms) ==
                   rows[i].good))
            printf("    %s\n", rows[i].text);
        if (!rows[i].good) continue;
        CHECK_EQ(ms, rows[i].ms);
        CHECK_EQ(timestamp_print(ms, text), strlen(rows[i].printed));
        CHECK_STR(text, rows[i].printed);
    }
    uint64_t state = test_seed();
    for (int i = 0; i < 20000; i++) {
        int64_t ms = (int64_t)test_random(&state) % LIMIT_TIMESTAMP_MS, back = 0;
        char text[TIMESTAMP_TEXT_SIZE];
        size_t size = timestamp_print(ms, text);
        CHECK(timestamp_parse(span_of(text, size), &back) && back == ms);
        uint8_t bytes[20], decoded[24];
        char encoded[32];
        size_t count = test_random(&state) % sizeof bytes, decoded_size = 0;
        for (size_t k = 0; k < count; k++) bytes[k] = (uint8_t)test_random(&state);
        CHECK(base64_print(span_of(bytes, count), encoded) == encoded + base64_size(count));
        CHECK(base64_parse(span_of(encoded, base64_size(count)), decoded, &decoded_size));
        CHECK_BYTES(decoded, decoded_size, bytes, count);
    }
    uint8_t room[8];
    size_t size;
    CHECK(!base64_parse(span_of("A", 1), room, &size) &&
          !base64_parse(span_of("A===", 4), room, &size));
    CHECK(!base64_parse(span_of("AB==", 4), room, &size) &&
          !base64_parse(span_of("A#==", 4), room, &size));
}

void filter_test(void) {
    RUN(each_operator_answers_as_api_md_says);
    RUN(a_comparison_with_null_is_false_and_only_asking_finds_it);
    RUN(composite_keys_are_compared_as_arrays);
    RUN(limits_of_depth_and_number_hold);
    RUN(random_filters_answer_as_brute_force_does);
    RUN(broken_programs_are_refused_and_never_read_outside);
    RUN(an_exhausted_budget_is_told_and_nothing_leaks);
    RUN(timestamps_and_base64_come_back);
}
