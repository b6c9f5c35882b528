/* fuzz_keys.c - keys and rows as bytes: what is encoded comes back, order of bytes is order of
 * values, bytes that are no key are refused, and every prefix ends before its successor.
 *
 *   input := part count u8 | type u8 * | 0 u8 | values of two keys
 *                                      | 1 u8 | bytes that may be a key
 *                                      | 2 u8 | bytes that may be a row
 *                                      | 3 u8 | values of a row               */
#include "fuzz/fuzz.h"

#include "base/key_head.h"
#include "base/limits.h"
#include "db/keycode.h"
#include "db/keytext.h"
#include "db/row.h"

#include <math.h>
#include <string.h>

enum { ROOM = 1 << 17 };
static uint8_t bytes_a[2 * ROOM + 64], bytes_b[2 * ROOM + 64], room[2 * ROOM + 64];

static const nacre_type key_kinds[] = {NACRE_INTEGER, NACRE_REAL,      NACRE_BOOLEAN, NACRE_TEXT,
                                       NACRE_BYTES,   NACRE_TIMESTAMP, NACRE_BIGINT};

static nacre_value some_value(Input *in, nacre_type type) {
    nacre_value value = {.type = type};
    if (br_u8(in) == 77) value.type = (nacre_type)br_u8(in); /* of another type */
    switch (type) {
    case NACRE_TEXT:
    case NACRE_BYTES:
    case NACRE_JSON: {
        Span span = input_bytes(in, 70000);
        value.bytes = (nacre_span){span.data, span.size};
        break;
    }
    case NACRE_REAL: {
        uint64_t bits = br_u64(in);
        memcpy(&value.real, &bits, 8);
        break;
    }
    default: value.integer = (int64_t)br_u64(in); break;
    }
    return value;
}

static int compare_values(const nacre_value *a, const nacre_value *b) {
    switch (a->type) {
    case NACRE_TEXT:
    case NACRE_BYTES: return span_compare(span_of(a->bytes.data, a->bytes.size), span_of(b->bytes.data, b->bytes.size));
    case NACRE_REAL: return a->real < b->real ? -1 : a->real > b->real;
    default: return a->integer < b->integer ? -1 : a->integer > b->integer;
    }
}

static int sign(int n) { return n < 0 ? -1 : n > 0; }

static size_t encode(Env *env, const Schema *schema, const nacre_value *values, uint8_t *into) {
    size_t size = 0;
    nacre_status status = key_measure(env, schema, values, schema->key_count, KEY_WHOLE, &size);
    MUST(status == NACRE_OK || status == NACRE_INVALID_ARGUMENT);
    if (status != NACRE_OK) return 0;
    MUST(size <= LIMIT_KEY_ENCODED_SIZE);
    MUST(key_encode(schema, values, schema->key_count, KEY_WHOLE, into) == into + size);
    MUST(key_check(schema, span_of(into, size)));
    return size;
}

static void check_decoded(Env *env, const Schema *schema, Span key, const nacre_value *want) {
    nacre_value values[NACRE_KEY_PARTS_MAX];
    MUST(key_decode(schema, key, values, room));
    for (uint32_t i = 0; i < schema->key_count && want; i++) MUST(compare_values(&values[i], &want[i]) == 0);
    size_t size = 0;
    MUST(key_measure(env, schema, values, schema->key_count, KEY_WHOLE, &size) == NACRE_OK && size == key.size);
    uint8_t *again = malloc(size + 1);
    MUST(again && key_encode(schema, values, schema->key_count, KEY_WHOLE, again) == again + size);
    MUST(memcmp(again, key.data, size) == 0);
    free(again);
    char text[KEY_TEXT_SIZE];
    key_text(env, schema, key, text);
    MUST(strlen(text) < sizeof text);
}

/* All that begin with a prefix are below its successor, and it is above the prefix. */
static void check_prefix(Env *env, const Schema *schema, const nacre_value *values, Span key) {
    static uint8_t low[2 * ROOM + 64], high[2 * ROOM + 64];
    for (uint32_t count = 1; count <= schema->key_count; count++) {
        bool textual = values[count - 1].type == NACRE_TEXT || values[count - 1].type == NACRE_BYTES;
        for (int partial = KEY_LEADING; partial <= (textual ? KEY_PREFIX : KEY_LEADING); partial++) {
            size_t size = 0;
            if (key_measure(env, schema, values, count, (KeyPartial)partial, &size) != NACRE_OK) continue;
            MUST(key_encode(schema, values, count, (KeyPartial)partial, low) == low + size);
            MUST(span_compare(span_of(low, size), key) <= 0);
            memcpy(high, low, size);
            size_t high_size = key_successor(high, size);
            if (high_size) MUST(span_compare(key, span_of(high, high_size)) < 0);
        }
    }
}

static void two_keys(Env *env, const Schema *schema, Input *in) {
    nacre_value a[NACRE_KEY_PARTS_MAX], b[NACRE_KEY_PARTS_MAX];
    for (uint32_t i = 0; i < schema->key_count; i++) a[i] = some_value(in, schema->key_types[i]);
    for (uint32_t i = 0; i < schema->key_count; i++) b[i] = input_ended(in) ? a[i] : some_value(in, schema->key_types[i]);
    size_t size_a = encode(env, schema, a, bytes_a), size_b = encode(env, schema, b, bytes_b);
    if (!size_a || !size_b) return;
    int order = 0;
    for (uint32_t i = 0; i < schema->key_count && !order; i++) order = compare_values(&a[i], &b[i]);
    Span key_a = span_of(bytes_a, size_a), key_b = span_of(bytes_b, size_b);
    MUST(sign(span_compare(key_a, key_b)) == sign(order));
    MUST(sign(key_compare(key_a, key_head(key_a), key_b, key_head(key_b))) == sign(order));
    if (order) MUST(size_a >= size_b ? memcmp(bytes_a, bytes_b, size_b) != 0 : memcmp(bytes_a, bytes_b, size_a) != 0);
    check_decoded(env, schema, key_a, a);
    check_prefix(env, schema, a, key_a);
}

static void maybe_a_key(Env *env, const Schema *schema, Span bytes) {
    nacre_value values[NACRE_KEY_PARTS_MAX];
    uint8_t *exact = malloc(bytes.size ? bytes.size : 1), *room_exact = malloc(bytes.size ? bytes.size : 1);
    MUST(exact && room_exact);
    bytes_copy(exact, bytes.data, bytes.size);
    Span key = span_of(exact, bytes.size);
    bool good = key_check(schema, key), decoded = key_decode(schema, key, values, room_exact);
    MUST(!good || decoded);
    if (good) check_decoded(env, schema, key, NULL);
    char text[KEY_TEXT_SIZE];
    key_text(env, schema, key, text);
    Span rest = key, part;
    for (uint32_t i = 0; i < schema->key_count && key_part(schema->key_types[i], &rest, &part); i++)
        if (schema->key_types[i] == NACRE_REAL) (void)key_part_real(part);
        else if (part.size == 8) (void)key_part_integer(part);
    size_t size = key_successor(exact, bytes.size);
    MUST(size <= bytes.size);
    free(exact), free(room_exact);
}

static void maybe_a_row(Env *env, const Schema *schema, Span bytes) {
    nacre_value values[NACRE_KEY_PARTS_MAX], one;
    nacre_status status = row_check(env, schema, bytes);
    MUST(status == NACRE_OK || status == NACRE_INVALID_ARGUMENT);
    bool decoded = row_decode(schema, bytes, values);
    MUST(status != NACRE_OK || decoded);
    for (uint32_t i = 0; i < schema->field_count; i++) (void)row_field(schema, bytes, i, &one);
    if (status != NACRE_OK) return;
    uint64_t size = 0;
    MUST(row_measure(env, schema, values, &size) == NACRE_OK && size == bytes.size);
    uint8_t *again = malloc((size_t)size + 1);
    MUST(again && row_encode(schema, values, again) == again + size && memcmp(again, bytes.data, (size_t)size) == 0);
    free(again);
}

static void a_row(Env *env, const Schema *schema, Input *in) {
    nacre_value values[NACRE_KEY_PARTS_MAX];
    for (uint32_t i = 0; i < schema->field_count; i++) values[i] = some_value(in, schema->fields[i].type);
    uint64_t size = 0;
    nacre_status status = row_measure(env, schema, values, &size);
    MUST(status == NACRE_OK || status == NACRE_INVALID_ARGUMENT);
    if (status != NACRE_OK) return;
    uint8_t *encoded = malloc((size_t)size + 1);
    MUST(encoded && row_encode(schema, values, encoded) == encoded + size);
    MUST(row_check(env, schema, span_of(encoded, (size_t)size)) == NACRE_OK);
    maybe_a_row(env, schema, span_of(encoded, (size_t)size));
    free(encoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const nacre_type field_kinds[] = {NACRE_INTEGER, NACRE_REAL, NACRE_BOOLEAN, NACRE_TEXT, NACRE_BYTES, NACRE_TIMESTAMP, NACRE_JSON, NACRE_BIGINT};
    Input in = input_over(data, size);
    SchemaField fields[8];
    Env env;
    env_init(&env, NULL, NULL, 1 << 22);
    Schema schema = {.kind = NACRE_TABLE, .key_count = 1 + br_u8(&in) % NACRE_KEY_PARTS_MAX, .field_count = 8, .fields = fields};
    for (uint32_t i = 0; i < schema.key_count; i++) schema.key_types[i] = key_kinds[br_u8(&in) % 7];
    for (uint32_t i = 0; i < 8; i++) fields[i] = (SchemaField){span_of("field", 5), field_kinds[i], false};
    switch (br_u8(&in) % 4) {
    case 0: two_keys(&env, &schema, &in); break;
    case 1: maybe_a_key(&env, &schema, input_rest(&in)); break;
    case 2: maybe_a_row(&env, &schema, input_rest(&in)); break;
    default: a_row(&env, &schema, &in); break;
    }
    MUST(env.memory_used == 0);
    return 0;
}
