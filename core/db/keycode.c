/* keycode.c - keys to bytes and back. Rules are those of keycode_format.h. */
#include "db/keycode.h"

#include "base/codec.h"
#include "base/utf8.h"

static const uint64_t KEYCODE_SIGN = UINT64_C(1) << 63;

/* ---- numbers ---- */

static uint64_t keycode_of_real(double real) {
    if (real == 0) real = 0; /* rule 3: -0 is +0 */
    uint64_t bits;
    memcpy(&bits, &real, 8);
    return bits & KEYCODE_SIGN ? ~bits : bits | KEYCODE_SIGN;
}

static double keycode_to_real(uint64_t code) {
    uint64_t bits = code & KEYCODE_SIGN ? code ^ KEYCODE_SIGN : ~code;
    double real;
    memcpy(&real, &bits, 8);
    return real;
}

static int64_t keycode_to_integer(uint64_t code) {
    code ^= KEYCODE_SIGN;
    int64_t integer;
    memcpy(&integer, &code, 8);
    return integer;
}

int64_t key_part_integer(Span part) { return keycode_to_integer(get_u64_be(part.data)); }
double key_part_real(Span part) { return keycode_to_real(get_u64_be(part.data)); }

static bool keycode_is_text(nacre_type type) { return type == NACRE_TEXT || type == NACRE_BYTES; }

/* ---- measuring ---- */

static bool keycode_type_fits(nacre_type type, nacre_type given) {
    if (type == given) return true;
    bool integer = type == NACRE_INTEGER || type == NACRE_BIGINT;
    return integer && (given == NACRE_INTEGER || given == NACRE_BIGINT);
}

/* NULL when the value may stand in a key part of `type`. */
static const char *keycode_problem(nacre_type type, const nacre_value *value) {
    Span bytes = span_of(value->bytes.data, value->bytes.size);
    switch (type) {
    case NACRE_REAL:
        return value->real != value->real ? "is not a number (NaN)" : NULL; /* rule 3 */
    case NACRE_BOOLEAN:
        return value->integer != 0 && value->integer != 1 ? "is a boolean other than 0 and 1"
                                                          : NULL;
    case NACRE_TIMESTAMP:
        return value->integer > LIMIT_TIMESTAMP_MS || value->integer < -LIMIT_TIMESTAMP_MS
                   ? "is a timestamp further than 8.64e15 ms from 1970"
                   : NULL;
    case NACRE_TEXT:
    case NACRE_BYTES:
        if (!bytes.data && bytes.size > 0) return "has no bytes (NULL)";
        if (bytes.size > LIMIT_KEY_SIZE) return "is longer than 65536 bytes";
        return type == NACRE_TEXT && !utf8_valid(bytes) ? "is not valid UTF-8" : NULL; /* rule 4 */
    default: return NULL;
    }
}

static size_t keycode_zeros(Span raw) {
    size_t zeros = 0;
    const uint8_t *at = raw.data, *end = raw.data + raw.size;
    while (raw.size && at < end && (at = memchr(at, 0, (size_t)(end - at))) != NULL) zeros++, at++;
    return zeros;
}

static nacre_status keycode_count_check(Env *env, const Schema *schema, uint32_t count,
                                        KeyPartial partial) {
    bool good = partial == KEY_WHOLE ? count == schema->key_count
                                     : count >= 1 && count <= schema->key_count;
    if (good) return NACRE_OK;
    return env_fail(env, NACRE_INVALID_ARGUMENT, "key: %u parts given, the membrane's keys have %u",
                    (unsigned)count, (unsigned)schema->key_count);
}

nacre_status key_measure(Env *env, const Schema *schema, const nacre_value *values, uint32_t count,
                         KeyPartial partial, size_t *size) {
    size_t raw = 0, encoded = 0;
    TRY(keycode_count_check(env, schema, count, partial));
    if (!values) return env_fail(env, NACRE_INVALID_ARGUMENT, "key: NULL");
    for (uint32_t i = 0; i < count; i++) {
        nacre_type type = schema->key_types[i];
        if (!keycode_type_fits(type, values[i].type))
            return env_fail(env, NACRE_INVALID_ARGUMENT, "key: part %u is %s, must be %s",
                            (unsigned)i + 1, type_name(values[i].type), type_name(type));
        const char *problem = keycode_problem(type, &values[i]);
        if (problem)
            return env_fail(env, NACRE_INVALID_ARGUMENT, "key: part %u %s", (unsigned)i + 1,
                            problem);
        bool text = keycode_is_text(type), open = partial == KEY_PREFIX && i + 1 == count;
        if (open && !text)
            return env_fail(env, NACRE_INVALID_ARGUMENT,
                            "prefix: the key is %s; a prefix is for text and bytes",
                            type_name(type));
        if (text) {
            Span bytes = span_of(values[i].bytes.data, values[i].bytes.size);
            raw += bytes.size;
            encoded += bytes.size + keycode_zeros(bytes) + (open ? 0 : 2);
        } else {
            size_t width = type == NACRE_BOOLEAN ? 1 : KEYCODE_NUMBER_SIZE;
            raw += width, encoded += width;
        }
        if (raw > LIMIT_KEY_SIZE) /* rule 5 */
            return env_fail(env, NACRE_INVALID_ARGUMENT, "key: longer than %d bytes",
                            LIMIT_KEY_SIZE);
    }
    *size = encoded;
    return NACRE_OK;
}

/* ---- writing ---- */

uint8_t *key_escape(Span raw, uint8_t *at) {
    if (raw.size == 0) return at;
    if (!memchr(raw.data, 0, raw.size)) { /* nearly always */
        memcpy(at, raw.data, raw.size);
        return at + raw.size;
    }
    for (size_t i = 0; i < raw.size; i++) {
        *at++ = raw.data[i];
        if (raw.data[i] == KEYCODE_ESCAPE) *at++ = KEYCODE_ESCAPED_ZERO;
    }
    return at;
}

uint8_t *key_encode_part(nacre_type type, const nacre_value *value, bool open, uint8_t *at) {
    switch (type) {
    case NACRE_BOOLEAN: *at = value->integer != 0; return at + 1;
    case NACRE_REAL: put_u64_be(at, keycode_of_real(value->real)); return at + KEYCODE_NUMBER_SIZE;
    case NACRE_TEXT:
    case NACRE_BYTES:
        at = key_escape(span_of(value->bytes.data, value->bytes.size), at);
        if (open) return at;
        at[0] = KEYCODE_ESCAPE, at[1] = KEYCODE_END;
        return at + 2;
    default:
        put_u64_be(at, (uint64_t)value->integer ^ KEYCODE_SIGN);
        return at + KEYCODE_NUMBER_SIZE;
    }
}

uint8_t *key_encode(const Schema *schema, const nacre_value *values, uint32_t count,
                    KeyPartial partial, uint8_t *at) {
    for (uint32_t i = 0; i < count; i++)
        at = key_encode_part(schema->key_types[i], &values[i], partial == KEY_PREFIX && i + 1 == count, at);
    return at;
}

/* ---- reading ---- */

/* Takes an escaped part with its end from *rest. *raw_size: bytes without escapes. */
static bool keycode_text_part(bool text, Span *rest, Span *part, size_t *raw_size) {
    const uint8_t *from = rest->data, *end = from + rest->size, *at = from;
    size_t escapes = 0;
    for (;;) {
        const uint8_t *zero = at < end ? memchr(at, KEYCODE_ESCAPE, (size_t)(end - at)) : NULL;
        if (!zero || end - zero < 2) return false;
        if (text && !utf8_valid(span_of(at, (size_t)(zero - at)))) return false; /* rule 4 */
        at = zero + 2;
        if (zero[1] == KEYCODE_END) break;
        if (zero[1] != KEYCODE_ESCAPED_ZERO) return false;
        escapes++;
    }
    size_t size = (size_t)(at - from);
    *part = span_of(from, size);
    *rest = span_of(at, rest->size - size);
    *raw_size = size - 2 - escapes;
    return true;
}

static bool keycode_number_good(nacre_type type, Span part) { /* rule 3 */
    if (type == NACRE_REAL) {
        double real = key_part_real(part);
        /* the code of -0 alone decodes to a zero that is not encoded back */
        return real == real && keycode_of_real(real) == get_u64_be(part.data);
    }
    if (type != NACRE_TIMESTAMP) return true;
    int64_t ms = key_part_integer(part);
    return ms <= LIMIT_TIMESTAMP_MS && ms >= -LIMIT_TIMESTAMP_MS;
}

static bool keycode_part(nacre_type type, Span *rest, Span *part, size_t *raw_size) {
    if (keycode_is_text(type)) return keycode_text_part(type == NACRE_TEXT, rest, part, raw_size);
    size_t width = type == NACRE_BOOLEAN ? 1 : KEYCODE_NUMBER_SIZE;
    if (rest->size < width) return false;
    *part = span_of(rest->data, width);
    *rest = span_of(rest->data + width, rest->size - width);
    *raw_size = width;
    return type == NACRE_BOOLEAN ? part->data[0] <= 1 : keycode_number_good(type, *part);
}

bool key_part(nacre_type type, Span *rest, Span *part) {
    size_t raw_size;
    return keycode_part(type, rest, part, &raw_size);
}

bool key_check(const Schema *schema, Span key) {
    size_t raw = 0, raw_size = 0;
    if (key.size > LIMIT_KEY_ENCODED_SIZE) return false;
    for (uint32_t i = 0; i < schema->key_count; i++) {
        Span part;
        if (!keycode_part(schema->key_types[i], &key, &part, &raw_size)) return false;
        raw += raw_size;
    }
    return key.size == 0 && raw <= LIMIT_KEY_SIZE;
}

static nacre_span keycode_unescape(Span part, size_t raw_size, uint8_t **room) {
    Span inside = span_of(part.data, part.size - 2);
    if (raw_size == inside.size) return (nacre_span){inside.data, inside.size};
    uint8_t *from = *room, *at = from;
    for (size_t i = 0; i < inside.size; i++) {
        *at++ = inside.data[i];
        if (inside.data[i] == KEYCODE_ESCAPE) i++;
    }
    *room = at;
    return (nacre_span){from, (size_t)(at - from)};
}

bool key_decode(const Schema *schema, Span key, nacre_value *values, uint8_t *room) {
    for (uint32_t i = 0; i < schema->key_count; i++) {
        nacre_type type = schema->key_types[i];
        Span part;
        size_t raw_size = 0;
        if (!keycode_part(type, &key, &part, &raw_size)) return false;
        values[i] = (nacre_value){.type = type};
        if (keycode_is_text(type))
            values[i].bytes = keycode_unescape(part, raw_size, &room);
        else if (type == NACRE_REAL)
            values[i].real = key_part_real(part);
        else
            values[i].integer = type == NACRE_BOOLEAN ? part.data[0] : key_part_integer(part);
    }
    return key.size == 0;
}

size_t key_successor(uint8_t *bytes, size_t size) {
    while (size > 0 && bytes[size - 1] == 0xff) size--;
    if (size > 0) bytes[size - 1]++;
    return size;
}
