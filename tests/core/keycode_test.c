/* keycode_test.c - the bytes of keys: their order is the keys' order, and they come back. */
#include "db/keycode.h"
#include "lib/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYCODE_ROOM = 256 };

static Env keycode_env(void) {
    Env env;
    env_init(&env, NULL, NULL, 1 << 20);
    return env;
}

static Schema keycode_schema(uint32_t count, const nacre_type *types) {
    Schema s = {.kind = NACRE_KV, .key_count = count, .value_type = NACRE_BYTES};
    memcpy(s.key_types, types, count * sizeof *types);
    return s;
}

static nacre_value keycode_value(nacre_type type, int64_t integer, double real, const char *bytes,
                                 size_t size) {
    return (nacre_value){type, integer, real, {bytes, size}};
}

static void keys_are_encoded_as_pictured(void) {
    static const struct {
        nacre_type type;
        int64_t integer;
        double real;
        const char *bytes;
        size_t size;
        const char *want;
        size_t want_size;
    } rows[] = {
        {NACRE_INTEGER, 0, 0, NULL, 0, "\x80\0\0\0\0\0\0\0", 8},
        {NACRE_INTEGER, -1, 0, NULL, 0, "\x7f\xff\xff\xff\xff\xff\xff\xff", 8},
        {NACRE_BIGINT, INT64_MAX, 0, NULL, 0, "\xff\xff\xff\xff\xff\xff\xff\xff", 8},
        {NACRE_BIGINT, INT64_MIN, 0, NULL, 0, "\0\0\0\0\0\0\0\0", 8},
        {NACRE_TIMESTAMP, 1, 0, NULL, 0, "\x80\0\0\0\0\0\0\x01", 8},
        {NACRE_REAL, 0, 1.0, NULL, 0, "\xbf\xf0\0\0\0\0\0\0", 8},
        {NACRE_REAL, 0, -1.0, NULL, 0, "\x40\x0f\xff\xff\xff\xff\xff\xff", 8},
        {NACRE_REAL, 0, -0.0, NULL, 0, "\x80\0\0\0\0\0\0\0", 8},
        {NACRE_BOOLEAN, 1, 0, NULL, 0, "\x01", 1},
        {NACRE_TEXT, 0, 0, "", 0, "\0\x01", 2},
        {NACRE_TEXT, 0, 0, "ab", 2, "ab\0\x01", 4},
        {NACRE_TEXT, 0, 0, "a\0b", 3,
         "a\0\xff"
         "b\0\x01",
         6},
        {NACRE_BYTES, 0, 0, "\0\xff", 2, "\0\xff\xff\0\x01", 5},
    };
    Env env = keycode_env();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Schema s = keycode_schema(1, &rows[i].type);
        nacre_value v =
            keycode_value(rows[i].type, rows[i].integer, rows[i].real, rows[i].bytes, rows[i].size);
        uint8_t at[KEYCODE_ROOM];
        size_t size = 0;
        if (!CHECK(key_measure(&env, &s, &v, 1, KEY_WHOLE, &size) == NACRE_OK)) continue;
        CHECK(key_encode(&s, &v, 1, KEY_WHOLE, at) == at + size);
        CHECK_BYTES(at, size, rows[i].want, rows[i].want_size);
        CHECK(key_check(&s, span_of(at, size)));
    }
}

static void what_is_no_key_is_refused(void) {
    static const char large[LIMIT_KEY_SIZE + 1] = {0};
    const nacre_type tr[] = {NACRE_TEXT, NACRE_REAL}, ii[] = {NACRE_INTEGER},
                     bo[] = {NACRE_BOOLEAN}, ti[] = {NACRE_TIMESTAMP};
    const struct {
        Schema schema;
        uint32_t count;
        KeyPartial partial;
        nacre_value values[2];
    } rows[] = {
        {keycode_schema(2, tr), 1, KEY_WHOLE, {keycode_value(NACRE_TEXT, 0, 0, "a", 1)}},
        {keycode_schema(2, tr), 3, KEY_LEADING, {keycode_value(NACRE_TEXT, 0, 0, "a", 1)}},
        {keycode_schema(2, tr), 0, KEY_LEADING, {keycode_value(NACRE_TEXT, 0, 0, "a", 1)}},
        {keycode_schema(2, tr), 1, KEY_LEADING, {keycode_value(NACRE_BYTES, 0, 0, "a", 1)}},
        {keycode_schema(2, tr), 1, KEY_LEADING, {keycode_value(NACRE_NULL, 0, 0, NULL, 0)}},
        {keycode_schema(2, tr), 1, KEY_LEADING, {keycode_value((nacre_type)77, 0, 0, NULL, 0)}},
        {keycode_schema(2, tr),
         1,
         KEY_LEADING,
         {keycode_value(NACRE_TEXT, 0, 0, "\xed\xa0\x80", 3)}},
        {keycode_schema(2, tr), 1, KEY_LEADING, {keycode_value(NACRE_TEXT, 0, 0, NULL, 3)}},
        {keycode_schema(2, tr),
         1,
         KEY_LEADING,
         {keycode_value(NACRE_TEXT, 0, 0, large, sizeof large)}},
        {keycode_schema(2, tr),
         2,
         KEY_WHOLE,
         {keycode_value(NACRE_TEXT, 0, 0, large, LIMIT_KEY_SIZE),
          keycode_value(NACRE_REAL, 0, 0, NULL, 0)}},
        {keycode_schema(2, tr),
         2,
         KEY_WHOLE,
         {keycode_value(NACRE_TEXT, 0, 0, "a", 1), keycode_value(NACRE_REAL, 0, NAN, NULL, 0)}},
        {keycode_schema(2, tr),
         2,
         KEY_PREFIX,
         {keycode_value(NACRE_TEXT, 0, 0, "a", 1), keycode_value(NACRE_REAL, 0, 0, NULL, 0)}},
        {keycode_schema(1, ii), 1, KEY_WHOLE, {keycode_value(NACRE_REAL, 0, 1, NULL, 0)}},
        {keycode_schema(1, bo), 1, KEY_WHOLE, {keycode_value(NACRE_BOOLEAN, 2, 1, NULL, 0)}},
        {keycode_schema(1, ti),
         1,
         KEY_WHOLE,
         {keycode_value(NACRE_TIMESTAMP, LIMIT_TIMESTAMP_MS + 1, 1, NULL, 0)}},
    };
    Env env = keycode_env();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t size = 12345;
        env_clear(&env);
        if (!CHECK(key_measure(&env, &rows[i].schema, rows[i].values, rows[i].count,
                               rows[i].partial, &size) == NACRE_INVALID_ARGUMENT))
            printf("    row %zu\n", i);
        CHECK(size == 12345 && env.error.text[0]);
    }
}

static void bytes_that_are_no_key_are_told(void) {
    static const struct {
        nacre_type type;
        const char *bytes;
        size_t size;
    } rows[] = {
        {NACRE_INTEGER, "1234567", 7},
        {NACRE_INTEGER, "123456789", 9},
        {NACRE_INTEGER, "", 0},
        {NACRE_BOOLEAN, "\x02", 1},
        {NACRE_TEXT, "a", 1},
        {NACRE_TEXT, "a\0", 2},
        {NACRE_TEXT, "a\0\x02", 3},
        {NACRE_TEXT,
         "a\0\x01"
         "b",
         4},
        {NACRE_TEXT, "\xc3\0\x01", 3},
        {NACRE_TEXT, "\xc3\0\xff\xa4\0\x01", 6},
        {NACRE_TEXT, "", 0},
        {NACRE_REAL, "\x7f\xff\xff\xff\xff\xff\xff\xff", 8} /* -0 */,
        {NACRE_REAL, "\xff\xff\xff\xff\xff\xff\xff\xff", 8},
        {NACRE_REAL, "\0\0\0\0\0\0\0\0", 8},
        {NACRE_TIMESTAMP, "\xff\xff\xff\xff\xff\xff\xff\xff", 8},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Schema s = keycode_schema(1, &rows[i].type);
        if (!CHECK(!key_check(&s, span_of(rows[i].bytes, rows[i].size))))
            printf("    row %zu\n", i);
    }
}

/* ---- random keys of every shape ---- */

static const nacre_type keycode_types[] = {NACRE_INTEGER,  NACRE_BIGINT, NACRE_REAL,
                                           NACRE_BOOLEAN,  NACRE_TEXT,   NACRE_BYTES,
                                           NACRE_TIMESTAMP};

typedef struct KeycodeKey {
    nacre_value values[4];
    char room[4][12];
} KeycodeKey;

static void keycode_random(uint64_t *state, const Schema *s, KeycodeKey *key) {
    static const int64_t integers[] = {0, 1, -1, 255, 256, -256, INT64_MAX, INT64_MIN, 1000};
    static const double reals[] = {0,      -0.0,   1,       -1,       0.5,      1e300,
                                   -1e300, 5e-324, -5e-324, INFINITY, -INFINITY};
    static const char text[] = {0, 0, 1, 'a', 'b', 0x7f},
                      bytes[] = {0, 0, 1, 2, 'a', (char)0xff, (char)0xfe};
    for (uint32_t i = 0; i < s->key_count; i++) {
        nacre_type type = s->key_types[i];
        int64_t integer = integers[test_random(state) % 9];
        if (test_random(state) % 2) integer = (int64_t)(test_random(state) >> test_random(state) % 64);
        double real = reals[test_random(state) % 11];
        if (test_random(state) % 2) {
            uint64_t bits = test_random(state);
            memcpy(&real, &bits, 8);
            if (real != real) real = 0;
        }
        if (type == NACRE_BOOLEAN) integer &= 1;
        if (type == NACRE_TIMESTAMP) integer %= LIMIT_TIMESTAMP_MS;
        size_t size = test_random(state) % 5;
        for (size_t j = 0; j < size; j++)
            key->room[i][j] = type == NACRE_TEXT ? text[test_random(state) % sizeof text]
                                                 : bytes[test_random(state) % sizeof bytes];
        if (type == NACRE_TEXT && test_random(state) % 4 == 0)
            memcpy(key->room[i] + size, "\xc3\xa4", 2), size += 2;
        key->values[i] =
            keycode_value(type, integer, real, key->room[i], size);
    }
}

static int keycode_order(const Schema *s, const nacre_value *a, const nacre_value *b) {
    for (uint32_t i = 0; i < s->key_count; i++) {
        int order = 0;
        if (s->key_types[i] == NACRE_REAL)
            order = (a[i].real > b[i].real) - (a[i].real < b[i].real);
        else if (s->key_types[i] == NACRE_TEXT || s->key_types[i] == NACRE_BYTES)
            order = span_compare(span_of(a[i].bytes.data, a[i].bytes.size),
                                 span_of(b[i].bytes.data, b[i].bytes.size));
        else
            order = (a[i].integer > b[i].integer) - (a[i].integer < b[i].integer);
        if (order != 0) return order;
    }
    return 0;
}

static int keycode_sign(int n) { return (n > 0) - (n < 0); }

/* C15. NACRE_KEYS asks for another number of pairs (make keys-long: ten million). */
static void order_of_bytes_is_order_of_keys_and_none_is_a_prefix(void) {
    const char *wanted = getenv("NACRE_KEYS");
    const unsigned long pairs = wanted ? strtoul(wanted, NULL, 10) : 100000;
    Env env = keycode_env();
    uint64_t state = test_seed();
    for (unsigned long i = 0; i < pairs; i++) {
        Schema s = {.kind = NACRE_KV,
                    .key_count = 1 + (uint32_t)(test_random(&state) % 3),
                    .value_type = NACRE_BYTES};
        for (uint32_t p = 0; p < s.key_count; p++)
            s.key_types[p] = keycode_types[test_random(&state) % 7];
        KeycodeKey a, b;
        keycode_random(&state, &s, &a);
        keycode_random(&state, &s, &b);
        uint8_t at_a[KEYCODE_ROOM], at_b[KEYCODE_ROOM], room[KEYCODE_ROOM];
        size_t size_a = 0, size_b = 0;
        REQUIRE(key_measure(&env, &s, a.values, s.key_count, KEY_WHOLE, &size_a) == NACRE_OK);
        REQUIRE(key_measure(&env, &s, b.values, s.key_count, KEY_WHOLE, &size_b) == NACRE_OK);
        REQUIRE(key_encode(&s, a.values, s.key_count, KEY_WHOLE, at_a) == at_a + size_a);
        REQUIRE(key_encode(&s, b.values, s.key_count, KEY_WHOLE, at_b) == at_b + size_b);
        Span ka = span_of(at_a, size_a), kb = span_of(at_b, size_b);
        int order = keycode_order(&s, a.values, b.values);
        CHECK(key_check(&s, ka));
        CHECK_EQ(keycode_sign(span_compare(ka, kb)), keycode_sign(order));
        if (order != 0) CHECK(!span_starts_with(ka, kb) && !span_starts_with(kb, ka));
        nacre_value back[4];
        REQUIRE(key_decode(&s, ka, back, room));
        CHECK_EQ(keycode_order(&s, a.values, back), 0);
        /* a cut key is never a key */
        CHECK(!key_check(&s, span_of(at_a, test_random(&state) % size_a)));
    }
}

static void a_prefix_bounds_what_begins_with_it(void) {
    Env env = keycode_env();
    uint64_t state = test_seed() + 1;
    for (int i = 0; i < 40000; i++) {
        const nacre_type types[] = {keycode_types[test_random(&state) % 7],
                                    i & 1 ? NACRE_TEXT : NACRE_BYTES, NACRE_INTEGER};
        Schema s = keycode_schema(3, types);
        KeycodeKey a, p;
        keycode_random(&state, &s, &a);
        keycode_random(&state, &s, &p);
        bool same_first = test_random(&state) & 1;
        if (same_first) p.values[0] = a.values[0];
        uint8_t at[KEYCODE_ROOM], low[KEYCODE_ROOM], high[KEYCODE_ROOM];
        size_t size = 0, low_size = 0;
        REQUIRE(key_measure(&env, &s, a.values, 3, KEY_WHOLE, &size) == NACRE_OK);
        (void)key_encode(&s, a.values, 3, KEY_WHOLE, at);
        KeyPartial partial = i & 2 ? KEY_PREFIX : KEY_LEADING;
        uint32_t count = partial == KEY_PREFIX ? 2 : 1 + (uint32_t)(test_random(&state) % 3);
        REQUIRE(key_measure(&env, &s, p.values, count, partial, &low_size) == NACRE_OK);
        REQUIRE(key_encode(&s, p.values, count, partial, low) == low + low_size);
        memcpy(high, low, low_size);
        size_t high_size = key_successor(high, low_size);
        Span key = span_of(at, size);
        bool inside = span_compare(key, span_of(low, low_size)) >= 0 &&
                      (high_size == 0 || span_compare(key, span_of(high, high_size)) < 0);
        Schema leading = s;
        leading.key_count = partial == KEY_PREFIX ? 1 : count;
        bool want = keycode_order(&leading, a.values, p.values) == 0;
        if (partial == KEY_PREFIX)
            want =
                want && span_starts_with(span_of(a.values[1].bytes.data, a.values[1].bytes.size),
                                         span_of(p.values[1].bytes.data, p.values[1].bytes.size));
        CHECK(inside == want);
    }
}

static void a_successor_of_nothing_but_ff_is_none(void) {
    uint8_t bytes[] = {0x61, 0xff, 0xff}, all[] = {0xff, 0xff};
    CHECK_EQ(key_successor(bytes, 3), 1);
    CHECK_EQ(bytes[0], 0x62);
    CHECK_EQ(key_successor(all, 2), 0);
    CHECK_EQ(key_successor(all, 0), 0);
}

static void broken_keys_never_read_outside(void) {
    uint64_t state = test_seed() + 2;
    for (int i = 0; i < 40000; i++) {
        Schema s = {.kind = NACRE_KV,
                    .key_count = 1 + (uint32_t)(test_random(&state) % 3),
                    .value_type = NACRE_BYTES};
        for (uint32_t p = 0; p < s.key_count; p++)
            s.key_types[p] = keycode_types[test_random(&state) % 7];
        static const uint8_t likely[] = {0, 0, 0, 1, 1, 0xff, 0xff, 'a', 0xc3, 0xa4};
        size_t size = test_random(&state) % 30;
        uint8_t *key = malloc(size ? size : 1), room[32];
        nacre_value values[4];
        if (!key) return;
        for (size_t j = 0; j < size; j++) key[j] = likely[test_random(&state) % sizeof likely];
        bool good = key_check(&s, span_of(key, size));
        bool decoded = key_decode(&s, span_of(key, size), values, room);
        CHECK(good == decoded);
        free(key);
    }
}

void keycode_test(void) {
    RUN(keys_are_encoded_as_pictured);
    RUN(what_is_no_key_is_refused);
    RUN(bytes_that_are_no_key_are_told);
    RUN(order_of_bytes_is_order_of_keys_and_none_is_a_prefix);
    RUN(a_prefix_bounds_what_begins_with_it);
    RUN(a_successor_of_nothing_but_ff_is_none);
    RUN(broken_keys_never_read_outside);
}
