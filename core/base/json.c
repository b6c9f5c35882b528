/* json.c - JSON read where it lies (json.h). One scanner finds where a value ends and
 * whether it is well-formed; all else walks over text that it has accepted. */
#include "base/json.h"

#include "base/decimal.h"
#include "base/utf8.h"

/* ---- scanning: each json_scan_* moves *at past what it accepts ---- */

static const uint8_t *json_space(const uint8_t *at, const uint8_t *end) {
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) at++;
    return at;
}

static bool json_digit(const uint8_t *at, const uint8_t *end) {
    return at < end && *at >= '0' && *at <= '9';
}

static bool json_scan_number(const uint8_t **at, const uint8_t *end) {
    const uint8_t *p = *at;
    if (p < end && *p == '-') p++;
    if (!json_digit(p, end)) return false;
    if (*p == '0')
        p++;
    else
        while (json_digit(p, end)) p++;
    if (p < end && *p == '.') {
        p++;
        if (!json_digit(p, end)) return false;
        while (json_digit(p, end)) p++;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-')) p++;
        if (!json_digit(p, end)) return false;
        while (json_digit(p, end)) p++;
    }
    *at = p;
    return true;
}

static int json_hex(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static bool json_scan_escape(const uint8_t **at, const uint8_t *end) { /* behind the backslash */
    const uint8_t *p = *at;
    if (p >= end) return false;
    uint8_t c = *p++;
    if (c == 'u') {
        for (int i = 0; i < 4; i++, p++)
            if (p >= end || json_hex(*p) < 0) return false;
    } else if (!memchr("\"\\/bfnrt", c, 8)) {
        return false;
    }
    *at = p;
    return true;
}

static bool json_scan_string(const uint8_t **at, const uint8_t *end) {
    const uint8_t *p = *at;
    if (p >= end || *p != '"') return false;
    for (p++; p < end;) {
        uint8_t c = *p++;
        if (c == '"') {
            *at = p;
            return true;
        }
        if (c < 0x20) return false;
        if (c == '\\' && !json_scan_escape(&p, end)) return false;
    }
    return false;
}

static bool json_scan_word(const uint8_t **at, const uint8_t *end, const char *word, size_t size) {
    if ((size_t)(end - *at) < size || memcmp(*at, word, size) != 0) return false;
    *at += size;
    return true;
}

static bool json_scan_scalar(const uint8_t **at, const uint8_t *end) {
    switch (**at) {
    case '"': return json_scan_string(at, end);
    case 'n': return json_scan_word(at, end, "null", 4);
    case 't': return json_scan_word(at, end, "true", 4);
    case 'f': return json_scan_word(at, end, "false", 5);
    default: return json_scan_number(at, end);
    }
}

/* A member's name and its colon, and space on both sides. */
static bool json_scan_name(const uint8_t **at, const uint8_t *end) {
    const uint8_t *p = json_space(*at, end);
    if (!json_scan_string(&p, end)) return false;
    p = json_space(p, end);
    if (p >= end || *p != ':') return false;
    *at = json_space(p + 1, end);
    return true;
}

/* Which of the open levels are objects, a bit each. */
typedef struct JsonLevels {
    uint8_t bits[LIMIT_JSON_DEPTH / 8 + 1];
    uint32_t depth;
} JsonLevels;

static bool json_level_object(const JsonLevels *l) {
    uint32_t top = l->depth - 1;
    return l->bits[top / 8] >> top % 8 & 1;
}

static bool json_level_open(JsonLevels *l, bool object) {
    if (l->depth == LIMIT_JSON_DEPTH) return false;
    uint8_t bit = (uint8_t)(1u << l->depth % 8);
    if (object)
        l->bits[l->depth / 8] |= bit;
    else
        l->bits[l->depth / 8] &= (uint8_t)~bit;
    l->depth++;
    return true;
}

/* Behind a value: closes what ends here and steps over a comma to the next value.
 * *done: the outermost value has ended. */
static bool json_scan_after(const uint8_t **at, const uint8_t *end, JsonLevels *levels,
                            bool *done) {
    const uint8_t *p = *at;
    while (levels->depth > 0) {
        bool object = json_level_object(levels);
        p = json_space(p, end);
        if (p >= end) return false;
        uint8_t c = *p++;
        if (c == ',') {
            if (object && !json_scan_name(&p, end)) return false;
            *at = p;
            return true;
        }
        if (c != (object ? '}' : ']')) return false;
        levels->depth--;
    }
    *at = p;
    *done = true;
    return true;
}

static bool json_scan(const uint8_t **at, const uint8_t *end) {
    JsonLevels levels;
    levels.depth = 0;
    const uint8_t *p = *at;
    for (bool done = false; !done;) {
        p = json_space(p, end);
        if (p >= end) return false;
        if (*p == '{' || *p == '[') {
            bool object = *p++ == '{';
            if (!json_level_open(&levels, object)) return false;
            p = json_space(p, end);
            if (p >= end) return false;
            if (*p != (object ? '}' : ']')) {
                if (object && !json_scan_name(&p, end)) return false;
                continue;
            }
            /* empty: json_scan_after closes it */
        } else if (!json_scan_scalar(&p, end)) {
            return false;
        }
        if (!json_scan_after(&p, end, &levels, &done)) return false;
    }
    *at = p;
    return true;
}

/* ---- values ---- */

static bool json_is_integer(Span text) {
    uint64_t n = 0, most = UINT64_C(1) << 63;
    bool negative = text.data[0] == '-';
    size_t digits = text.size - negative;
    if (digits > 19 || (negative && text.data[1] == '0')) return false; /* -0 is a real */
    for (size_t i = negative; i < text.size; i++) {
        if (!json_digit(text.data + i, text.data + text.size)) return false;
        n = n * 10 + (uint64_t)(text.data[i] - '0'); /* 19 digits fit in 64 bits */
    }
    return n <= (negative ? most : most - 1);
}

static JsonValue json_of(const uint8_t *from, const uint8_t *to) {
    JsonValue value = {JSON_NULL, span_of(from, (size_t)(to - from))};
    switch (*from) {
    case 'n': value.kind = JSON_NULL; break;
    case 't': value.kind = JSON_TRUE; break;
    case 'f': value.kind = JSON_FALSE; break;
    case '"': value.kind = JSON_STRING; break;
    case '[': value.kind = JSON_ARRAY; break;
    case '{': value.kind = JSON_OBJECT; break;
    default: value.kind = json_is_integer(value.text) ? JSON_INTEGER : JSON_REAL;
    }
    return value;
}

bool json_parse(Span text, JsonValue *value) {
    if (text.size == 0 || !utf8_valid(text)) return false;
    const uint8_t *end = text.data + text.size, *from = json_space(text.data, end), *at = from;
    if (!json_scan(&at, end) || json_space(at, end) != end) return false;
    *value = json_of(from, at);
    return true;
}

bool json_check(Span text) {
    JsonValue value;
    return json_parse(text, &value);
}

JsonValue json_value(Span text) {
    const JsonValue none = {JSON_NULL, span_of("null", 4)};
    if (text.size == 0) return none;
    const uint8_t *end = text.data + text.size, *from = json_space(text.data, end), *at = from;
    while (end > from && json_space(end - 1, end) == end) end--;
    if (from == end) return none;
    bool container = *from == '{' || *from == '[';
    if (!container && (!json_scan_scalar(&at, end) || at != end)) return none;
    return json_of(from, end);
}

JsonIterator json_iterate(JsonValue v) {
    return (JsonIterator){v.text.data + 1, v.text.data + v.text.size, v.kind == JSON_OBJECT};
}

bool json_next(JsonIterator *it, JsonValue *name, JsonValue *item) {
    const uint8_t *p = json_space(it->at, it->end);
    if (p >= it->end) return false;
    if (*p == ',') p = json_space(p + 1, it->end);
    if (p >= it->end || *p == '}' || *p == ']') return false;
    if (it->object) {
        const uint8_t *start = p;
        if (!json_scan_string(&p, it->end)) return false;
        *name = (JsonValue){JSON_STRING, span_of(start, (size_t)(p - start))};
        p = json_space(p, it->end);
        if (p >= it->end || *p != ':') return false;
        p = json_space(p + 1, it->end);
    }
    const uint8_t *from = p;
    if (!json_scan(&p, it->end)) return false;
    *item = json_of(from, p);
    it->at = p;
    return true;
}

/* ---- strings ---- */

/* The decoded bytes of a string, one by one. */
typedef struct JsonBytes {
    const uint8_t *at, *end; /* between the quotes */
    uint8_t escaped[4];      /* of the escape under way */
    uint8_t next, count;
} JsonBytes;

static JsonBytes json_bytes(JsonValue s) {
    return (JsonBytes){s.text.data + 1, s.text.data + s.text.size - 1, {0}, 0, 0};
}

static uint32_t json_unit(const uint8_t *hex) { /* four digits */
    uint32_t unit = 0;
    for (int i = 0; i < 4; i++) unit = unit << 4 | (uint32_t)json_hex(hex[i]);
    return unit;
}

static uint32_t json_escape(JsonBytes *b) { /* behind the backslash; gives a code point */
    uint8_t c = *b->at++;
    switch (c) {
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'u': break;
    default: return c;
    }
    uint32_t unit = json_unit(b->at);
    b->at += 4;
    if (unit < 0xd800 || unit > 0xdbff || b->end - b->at < 6 || b->at[0] != '\\' || b->at[1] != 'u')
        return unit;
    uint32_t low = json_unit(b->at + 2);
    if (low < 0xdc00 || low > 0xdfff) return unit;
    b->at += 6;
    return 0x10000 + ((unit - 0xd800) << 10 | (low - 0xdc00));
}

static int json_byte(JsonBytes *b) { /* -1: no more */
    if (b->next < b->count) return b->escaped[b->next++];
    if (b->at >= b->end) return -1;
    if (*b->at != '\\') return *b->at++;
    b->at++;
    b->count = (uint8_t)utf8_put(b->escaped, json_escape(b));
    b->next = 1;
    return b->escaped[0];
}

static bool json_plain(JsonValue s) { return !memchr(s.text.data, '\\', s.text.size); }

static Span json_inside(JsonValue s) { return span_of(s.text.data + 1, s.text.size - 2); }

size_t json_string_size(JsonValue s) {
    if (json_plain(s)) return s.text.size - 2;
    size_t size = 0;
    JsonBytes b = json_bytes(s);
    while (json_byte(&b) >= 0) size++;
    return size;
}

void json_string_copy(JsonValue s, uint8_t *into) {
    if (json_plain(s)) {
        Span inside = json_inside(s);
        if (inside.size) memcpy(into, inside.data, inside.size);
        return;
    }
    JsonBytes b = json_bytes(s);
    for (int c; (c = json_byte(&b)) >= 0;) *into++ = (uint8_t)c;
}

bool json_string_equal(JsonValue s, Span text) {
    if (json_plain(s)) return span_eq(json_inside(s), text);
    JsonBytes b = json_bytes(s);
    for (size_t i = 0; i < text.size; i++)
        if (json_byte(&b) != text.data[i]) return false;
    return json_byte(&b) < 0;
}

static bool json_strings_equal(JsonValue a, JsonValue b) {
    if (json_plain(a)) return json_string_equal(b, json_inside(a));
    if (json_plain(b)) return json_string_equal(a, json_inside(b));
    JsonBytes left = json_bytes(a), right = json_bytes(b);
    for (;;) {
        int c = json_byte(&left);
        if (c != json_byte(&right)) return false;
        if (c < 0) return true;
    }
}

bool json_member(JsonValue object, Span name, JsonValue *item) {
    bool found = false;
    JsonIterator it = json_iterate(object);
    for (JsonValue n, v; json_next(&it, &n, &v);)
        if (json_string_equal(n, name)) *item = v, found = true;
    return found;
}

/* ---- numbers ---- */

WRAPS int64_t json_integer(JsonValue v) {
    bool negative = v.text.data[0] == '-';
    uint64_t n = 0;
    for (size_t i = negative; i < v.text.size; i++) n = n * 10 + (uint64_t)(v.text.data[i] - '0');
    if (negative) n = 0 - n;
    int64_t integer;
    memcpy(&integer, &n, sizeof integer);
    return integer;
}

double json_real(JsonValue v) {
    return v.kind == JSON_INTEGER ? (double)json_integer(v) : decimal_to_double(v.text);
}

static bool json_numbers_equal(JsonValue a, JsonValue b) {
    if (a.kind == JSON_INTEGER && b.kind == JSON_INTEGER) return json_integer(a) == json_integer(b);
    if (a.kind == JSON_INTEGER) return number_compare(json_integer(a), json_real(b)) == 0;
    if (b.kind == JSON_INTEGER) return number_compare(json_integer(b), json_real(a)) == 0;
    double left = json_real(a), right = json_real(b);
    return left <= right && left >= right;
}

/* ---- equality ---- */

static bool json_number_kind(JsonKind kind) { return kind == JSON_INTEGER || kind == JSON_REAL; }

static bool json_scalars_equal(JsonValue a, JsonValue b) {
    if (json_number_kind(a.kind) && json_number_kind(b.kind)) return json_numbers_equal(a, b);
    if (a.kind != b.kind) return false;
    return a.kind != JSON_STRING || json_strings_equal(a, b);
}

/* Two arrays or objects of which the members before the iterators are equal. */
typedef struct JsonPair {
    JsonIterator left, right;
    JsonValue whole_right;
} JsonPair;

static bool json_same_name(JsonIterator *right, JsonValue name, JsonValue *item) {
    JsonValue other;
    return json_next(right, &other, item) && json_strings_equal(name, other);
}

/* The next member on the left and its partner on the right. 1: found; 0: both sides have
 * ended; -1: not equal. Members mostly come in the same order, so the right side's next
 * is tried first; as both sides move one by one, they end together only if they have
 * equally many. */
static int json_pair_next(JsonPair *pair, JsonValue *a, JsonValue *b) {
    JsonValue name, other, item;
    bool left = json_next(&pair->left, &name, a);
    if (!pair->left.object) {
        bool right = json_next(&pair->right, &other, b);
        return left != right ? -1 : left;
    }
    JsonIterator right = pair->right;
    if (!left) return json_next(&right, &other, &item) ? -1 : 0;
    if (json_same_name(&pair->right, name, b)) return 1;
    pair->right = right;
    if (!json_next(&pair->right, &other, &item)) return -1;
    bool found = false;
    JsonIterator all = json_iterate(pair->whole_right);
    while (json_next(&all, &other, &item))
        if (json_strings_equal(name, other)) *b = item, found = true;
    return found ? 1 : -1;
}

bool json_equal(JsonValue a, JsonValue b) {
    JsonPair pairs[LIMIT_JSON_DEPTH];
    uint32_t depth = 0;
    for (;;) {
        if (a.kind == b.kind && (a.kind == JSON_ARRAY || a.kind == JSON_OBJECT)) {
            if (depth == LIMIT_JSON_DEPTH) return false; /* no accepted text is so deep */
            pairs[depth++] = (JsonPair){json_iterate(a), json_iterate(b), b};
        } else if (!json_scalars_equal(a, b)) {
            return false;
        }
        int next = 0;
        while (depth > 0 && (next = json_pair_next(&pairs[depth - 1], &a, &b)) == 0) depth--;
        if (next < 0) return false;
        if (depth == 0) return true;
    }
}

bool json_array_contains(JsonValue array, JsonValue element) {
    JsonIterator it = json_iterate(array);
    for (JsonValue name, item; json_next(&it, &name, &item);)
        if (json_equal(item, element)) return true;
    return false;
}

/* ---- writing ---- */

size_t json_quote(Span text, char *at) {
    static const char hex[] = "0123456789abcdef";
    static const char short_escapes[] = "btn\0fr"; /* 8 to 13 */
    char *p = at;
    *p++ = '"';
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c == '"' || c == '\\') {
            *p++ = '\\', *p++ = (char)c;
        } else if (c >= 0x20) {
            *p++ = (char)c;
        } else if (c >= 8 && c <= 13 && c != 11) {
            *p++ = '\\', *p++ = short_escapes[c - 8];
        } else {
            memcpy(p, "\\u00", 4);
            p[4] = hex[c >> 4], p[5] = hex[c & 15];
            p += 6;
        }
    }
    *p++ = '"';
    return (size_t)(p - at);
}
