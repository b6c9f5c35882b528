/* json_test.c - JSON read in place; decimal numbers against the C library's. */
#include "base/decimal.h"
#include "base/json.h"
#include "base/utf8.h"
#include "lib/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static Span json_t(const char *text) { return span_of(text, strlen(text)); }

static void what_rfc_8259_allows_is_accepted_and_nothing_else(void) {
    static const char *good[] = {
        "0",
        "-0",
        "1",
        "-1",
        "10",
        "1.5",
        "1e5",
        "1E+5",
        "1e-5",
        "0.0",
        "null",
        "true",
        "false",
        "\"\"",
        "[]",
        "{}",
        " [ 1 , 2 ] ",
        "{\"a\":1}",
        "{\"a\":{\"b\":[{},[],\"\"]},\"c\":null}",
        "\"\\u00e4\\n\\\"\"",
        "\"\\ud83d\\ude00\"",
        "\"\\ud800\"",
        "\"\xc3\xa4\"",
        "\t\r\n1 ",
        "[[],[[]]]",
        "123456789012345678901234567890",
        "{\"\":0}",
        "\"\x7f\"",
        "-0.0e-0",
    };
    static const char *bad[] = {
        "",
        " ",
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "nul",
        "nulll",
        "True",
        "\"",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{",
        "}",
        "{1:2}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\" 1}",
        "[1}",
        "{\"a\":1]",
        "1 2",
        "\"\n\"",
        "\"\t\"",
        "\"\xff\"",
        "\"\xc3\"",
        "\"\xed\xa0\x80\"",
        "'a'",
        "NaN",
        "Infinity",
        "[1]]",
        "{}{}",
        "//",
        "\xef\xbb\xbf[]",
        "\"\\",
        "[\"a\":1]",
        "--1",
        "0x1",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!CHECK(json_check(json_t(good[i])))) printf("    %s\n", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (!CHECK(!json_check(json_t(bad[i])))) printf("    %s\n", bad[i]);
}

static void depth_is_bounded(void) {
    static char text[4 * LIMIT_JSON_DEPTH];
    for (int extra = 0; extra < 2; extra++) {
        size_t depth = LIMIT_JSON_DEPTH + (size_t)extra;
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        CHECK(json_check(span_of(text, 2 * depth)) == (extra == 0));
    }
    memset(text, '[', sizeof text);
    CHECK(!json_check(span_of(text, sizeof text)));
    JsonValue v;
    size_t depth = LIMIT_JSON_DEPTH;
    memset(text + depth, ']', depth);
    REQUIRE(json_parse(span_of(text, 2 * depth), &v));
    CHECK(json_equal(v, v));
}

static void kinds_and_values_are_told(void) {
    static const struct {
        const char *text;
        JsonKind kind;
        double number;
    } rows[] = {
        {"null", JSON_NULL, 0},
        {" true ", JSON_TRUE, 0},
        {"false", JSON_FALSE, 0},
        {"7", JSON_INTEGER, 7},
        {"-7", JSON_INTEGER, -7},
        {"9223372036854775807", JSON_INTEGER, 9223372036854775807.0},
        {"9223372036854775808", JSON_REAL, 9223372036854775808.0},
        {"-9223372036854775808", JSON_INTEGER, -9223372036854775808.0},
        {"-9223372036854775809", JSON_REAL, -9223372036854775808.0},
        {"-0", JSON_REAL, 0},
        {"0", JSON_INTEGER, 0},
        {"1.0", JSON_REAL, 1},
        {"1e3", JSON_REAL, 1000},
        {"\"a\"", JSON_STRING, 0},
        {"[1]", JSON_ARRAY, 0},
        {"{}", JSON_OBJECT, 0},
        {"1e999", JSON_REAL, INFINITY},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        JsonValue v;
        if (!CHECK(json_parse(json_t(rows[i].text), &v))) continue;
        CHECK_EQ(v.kind, rows[i].kind);
        if (v.kind == JSON_INTEGER || v.kind == JSON_REAL) CHECK(json_real(v) == rows[i].number);
        JsonValue again = json_value(json_t(rows[i].text));
        CHECK(again.kind == v.kind && span_eq(again.text, v.text));
    }
    JsonValue v;
    REQUIRE(json_parse(json_t("-9223372036854775808"), &v));
    CHECK(json_integer(v) == INT64_MIN);
    REQUIRE(json_parse(json_t("-0"), &v));
    CHECK(signbit(json_real(v)) != 0);
}

static void members_come_in_order(void) {
    JsonValue v, name, item;
    REQUIRE(json_parse(json_t(" { \"a\" : 1 , \"\\u0062\":[2,{\"x\":3}],\"c\":\"d\" , \"a\":4 } "),
                       &v));
    JsonIterator it = json_iterate(v);
    static const char *names[] = {"a", "b", "c", "a"},
                      *items[] = {"1", "[2,{\"x\":3}]", "\"d\"", "4"};
    for (int i = 0; i < 4; i++) {
        REQUIRE(json_next(&it, &name, &item));
        CHECK(json_string_equal(name, json_t(names[i])));
        CHECK(span_eq(item.text, json_t(items[i])));
    }
    CHECK(!json_next(&it, &name, &item));
    REQUIRE(json_member(v, json_t("a"), &item));
    CHECK_EQ(json_integer(item), 4); /* the last one */
    CHECK(!json_member(v, json_t("d"), &item));
}

static void strings_are_decoded(void) {
    static const struct {
        const char *text, *want;
        size_t size;
    } rows[] = {
        {"\"\"", "", 0},
        {"\"abc\"", "abc", 3},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8},
        {"\"\\u00E4\\u20ac\"", "\xc3\xa4\xe2\x82\xac", 5},
        {"\"\\ud83d\\ude00!\"", "\xf0\x9f\x98\x80!", 5},
        {"\"a\\u0000b\"", "a\0b", 3},
        {"\"\\ud800x\"", "\xed\xa0\x80x", 4},
        {"\"\\ud800\\u0041\"",
         "\xed\xa0\x80"
         "A",
         4},
        {"\"\\udc00\"", "\xed\xb0\x80", 3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        JsonValue v;
        uint8_t room[16];
        if (!CHECK(json_parse(json_t(rows[i].text), &v))) continue;
        if (!CHECK_EQ(json_string_size(v), rows[i].size)) continue;
        json_string_copy(v, room);
        CHECK_BYTES(room, rows[i].size, rows[i].want, rows[i].size);
        CHECK(json_string_equal(v, span_of(rows[i].want, rows[i].size)));
        CHECK(!json_string_equal(v, json_t("other")));
    }
}

static void equality_is_by_value(void) {
    static const struct {
        const char *a, *b;
        bool equal;
    } rows[] = {
        {"1", "1.0", true},
        {"1", "1e0", true},
        {"100", "1E2", true},
        {"0", "-0", true},
        {"1", "2", false},
        {"9007199254740993", "9007199254740992.0", false},
        {"9007199254740993", "9007199254740993", true},
        {"\"a\"", "\"\\u0061\"", true},
        {"\"a\"", "\"b\"", false},
        {"\"1\"", "1", false},
        {"null", "false", false},
        {"[1,2]", "[ 1, 2 ]", true},
        {"[1,2]", "[2,1]", false},
        {"[1]", "[1,1]", false},
        {"[]", "{}", false},
        {"{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", true},
        {"{\"a\":1}", "{\"a\":1,\"b\":2}", false},
        {"{\"a\":1,\"b\":2}", "{\"a\":1}", false},
        {"{\"a\":1}", "{\"b\":1}", false},
        {"{}", "{ }", true},
        {"{\"a\":[{\"x\":null,\"y\":[]}]}", "{\"a\":[{\"y\":[],\"x\":null}]}", true},
        {"{\"a\":[{\"x\":null,\"y\":[]}]}", "{\"a\":[{\"y\":[],\"x\":0}]}", false},
        {"[[[]],[]]", "[[],[[]]]", false},
        {"{\"\\u0061\":1,\"z\":0}", "{\"z\":0,\"a\":1}", true},
        {"0.1", "1e-1", true},
        {"1e400", "2e400", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        JsonValue a, b;
        if (!CHECK(json_parse(json_t(rows[i].a), &a) && json_parse(json_t(rows[i].b), &b)))
            continue;
        if (!CHECK(json_equal(a, b) == rows[i].equal)) printf("    %s %s\n", rows[i].a, rows[i].b);
        CHECK(json_equal(b, a) == rows[i].equal);
        CHECK(json_equal(a, a) && json_equal(b, b));
    }
}

static void what_is_quoted_reads_the_same(void) {
    char all[128 + 6], quoted[6 * sizeof all + 2];
    for (int i = 0; i < 128; i++) all[i] = (char)i;
    memcpy(all + 128, "\xf0\x9f\x98\x80\xc3\xa4", 6);
    size_t size = json_quote(span_of(all, sizeof all), quoted);
    JsonValue v;
    REQUIRE(json_parse(span_of(quoted, size), &v));
    CHECK(json_string_equal(v, span_of(all, sizeof all)));
}

static void decimal_one(const char *text) {
    double got = decimal_to_double(json_t(text)), want = strtod(text, NULL);
    if (!CHECK(memcmp(&got, &want, 8) == 0))
        printf("    %s: got %.17g, want %.17g\n", text, got, want);
}

static void decimals_become_the_nearest_double(void) {
    static const char *rows[] = {
        "0",
        "-0",
        "0.0",
        "1",
        "0.1",
        "1e22",
        "1e23",
        "123456789012345678",
        "9007199254740993",
        "9007199254740992.5",
        "9007199254740991.5",
        "4.9406564584124654e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "5e-324",
        "2.2250738585072011e-308",
        "2.2250738585072014e-308",
        "2.2250738585072012e-308",
        "1.7976931348623157e308",
        "1.7976931348623158e308",
        "1.7976931348623159e308",
        "1e309",
        "1e-400",
        "1e999999999999",
        "1e-999999999999",
        "0e999999999999",
        "8.41e21",
        "9.5e-323",
        "1.00000000000000011102230246251565404236316680908203125",
        "1.00000000000000011102230246251565404236316680908203124",
        "1.00000000000000011102230246251565404236316680908203126",
        "0.000000000000000000000000000000000000001",
        "100000000000000000000000000000000000000000",
        "6.02214076e23",
        "18446744073709551616",
        "3.4028236e38",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) decimal_one(rows[i]);
    /* halfway, but for a digit far behind */
    static char longest[1200];
    memset(longest, '0', sizeof longest);
    memcpy(longest, "1.00000000000000011102230246251565404236316680908203125", 55);
    longest[sizeof longest - 2] = '1';
    longest[sizeof longest - 1] = 0;
    decimal_one(longest);
}

/* The shortest of all texts that read as the same: as the C library finds it by trying. */
static void doubles_are_printed_shortly(void) {
    static const struct {
        double value;
        const char *text;
    } rows[] = {{0, "0"}, {-0.0, "-0"}, {1, "1"}, {-2.5, "-2.5"}, {0.1, "0.1"}, {1e21, "1e21"}, {1e20, "100000000000000000000"},
                {123456.789, "123456.789"}, {0.000001, "0.000001"}, {1e-7, "1e-7"}, {5e-324, "5e-324"}, {9.999e22, "9.999e22"},
                {1.7976931348623157e308, "1.7976931348623157e308"}, {0.30000000000000004, "0.30000000000000004"}, {9007199254740993.0, "9007199254740992"}};
    char text[DECIMAL_TEXT_SIZE], other[64];
    uint64_t state = test_seed();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) CHECK_STR(decimal_print(rows[i].value, text), rows[i].text);
    for (int i = 0; i < 3000; i++) {
        uint64_t bits = test_random(&state);
        double value;
        memcpy(&value, &bits, 8);
        if (isnan(value) || isinf(value)) continue;
        int least = 0;
        do snprintf(other, sizeof other, "%.*e", least++, value);
        while (strtod(other, NULL) != value);
        double back = strtod(decimal_print(value, text), NULL);
        size_t digits = 0;
        for (const char *at = text; *at && *at != 'e'; at++) digits += *at >= '0' && *at <= '9';
        CHECK(memcmp(&back, &value, 8) == 0);
        if (strchr(text, 'e')) CHECK_EQ(digits, least);
    }
}

static void doubles_survive_printing(void) {
    uint64_t state = test_seed();
    char text[64];
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = test_random(&state);
        double value;
        memcpy(&value, &bits, 8);
        if (isnan(value) || isinf(value)) continue;
        snprintf(text, sizeof text, "%.*e", (int)(test_random(&state) % 20), value);
        decimal_one(text);
        snprintf(text, sizeof text, "%.17g", value);
        double got = decimal_to_double(json_t(text));
        CHECK(memcmp(&got, &value, 8) == 0);
    }
}

static void integers_and_doubles_are_ordered_exactly(void) {
    static const struct {
        int64_t i;
        double r;
        int order;
    } rows[] = {
        {0, 0, 0},
        {0, -0.0, 0},
        {1, 0.5, 1},
        {0, 0.5, -1},
        {-1, -0.5, -1},
        {0, -0.5, 1},
        {INT64_MAX, 9223372036854775808.0, -1},
        {INT64_MIN, -9223372036854775808.0, 0},
        {9007199254740993, 9007199254740992.0, 1},
        {9007199254740993, 9007199254740994.0, -1},
        {INT64_MAX, INFINITY, -1},
        {INT64_MIN, -INFINITY, 1},
        {INT64_MIN, -9223372036854777856.0, 1},
        {-3, -3.5, 1},
        {-4, -3.5, -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        CHECK_EQ(number_compare(rows[i].i, rows[i].r), rows[i].order);
}

static void broken_texts_never_read_outside(void) {
    static const char seed_text[] =
        "{\"a\":[1,-2.5e3,true,null,\"x\\u00e4\\ud83d\\ude00\"],\"b\":{\"c\":{}},\"d\":\"\\\\\"}";
    uint64_t state = test_seed();
    for (int i = 0; i < 20000; i++) {
        size_t size = test_random(&state) % sizeof seed_text;
        char *text = malloc(size ? size : 1); /* exactly: the sanitizer sees one byte too many */
        if (!text) return;
        memcpy(text, seed_text, size);
        for (uint64_t n = test_random(&state) % 3; n > 0 && size > 0; n--)
            text[test_random(&state) % size] =
                (char)(test_random(&state) & 1 ? "{}[],:\"\\u10e-"[test_random(&state) % 13]
                                               : (char)test_random(&state));
        JsonValue v;
        if (json_parse(span_of(text, size), &v)) {
            CHECK(json_equal(v, v));
            if (v.kind == JSON_STRING) (void)json_string_size(v);
        }
        free(text);
    }
}

static void utf8_is_checked_to_the_letter(void) {
    static const struct {
        const char *text;
        bool valid;
    } rows[] = {
        {"", true},
        {"abc", true},
        {"\xc2\x80", true},
        {"\xc1\xbf", false},
        {"\xdf\xbf", true},
        {"\xe0\xa0\x80", true},
        {"\xe0\x9f\xbf", false},
        {"\xed\x9f\xbf", true},
        {"\xed\xa0\x80", false},
        {"\xef\xbf\xbf", true},
        {"\xf0\x90\x80\x80", true},
        {"\xf0\x8f\xbf\xbf", false},
        {"\xf4\x8f\xbf\xbf", true},
        {"\xf4\x90\x80\x80", false},
        {"\xf5\x80\x80\x80", false},
        {"\x80", false},
        {"a\xc3", false},
        {"12345678\xe2\x82", false},
        {"1234567\xc3\xa4", true},
        {"12345678"
         "12345678\xff",
         false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        CHECK(utf8_valid(json_t(rows[i].text)) == rows[i].valid);
}

static void names_are_checked(void) {
    static const struct {
        const char *name;
        bool good;
    } rows[] = {
        {"a", true},          {"", false},         {".", false},       {"..", false},
        {"...", true},        {"a/b", false},      {"a\\b", false},    {"a\n", false},
        {"\x7f", false},      {"\xc2\x85", false}, {"\xc3\x85", true}, {"\xff", false},
        {"with space", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        CHECK((utf8_name_problem(json_t(rows[i].name)) == NULL) == rows[i].good);
    char name[256];
    memset(name, 'n', sizeof name);
    CHECK(utf8_name_problem(span_of(name, 255)) == NULL);
    CHECK(utf8_name_problem(span_of(name, 256)) != NULL);
}

void json_test(void) {
    RUN(what_rfc_8259_allows_is_accepted_and_nothing_else);
    RUN(depth_is_bounded);
    RUN(kinds_and_values_are_told);
    RUN(members_come_in_order);
    RUN(strings_are_decoded);
    RUN(equality_is_by_value);
    RUN(what_is_quoted_reads_the_same);
    RUN(decimals_become_the_nearest_double);
    RUN(doubles_are_printed_shortly);
    RUN(doubles_survive_printing);
    RUN(integers_and_doubles_are_ordered_exactly);
    RUN(broken_texts_never_read_outside);
    RUN(utf8_is_checked_to_the_letter);
    RUN(names_are_checked);
}
