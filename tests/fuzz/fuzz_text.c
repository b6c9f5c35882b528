/* fuzz_text.c - the readers of text, each against another way of knowing the answer.
 *
 *   input := 0 u8 | JSON    1 u8 | a timestamp    2 u8 | base64    3 u8 | a number
 *          | 4 u8 | UTF-8   5 u8 | the text of a lock              */
#define _POSIX_C_SOURCE 200809L
#include "fuzz/fuzz.h"

#include "base/decimal.h"
#include "base/json.h"
#include "base/textform.h"
#include "base/utf8.h"
#include "host/holder.h"
#include "host/lock_format.h"

#include <math.h>
#include <string.h>

static void walk_json(JsonValue value, int depth) {
    static uint8_t room[1 << 16];
    switch (value.kind) {
    case JSON_STRING: {
        size_t size = json_string_size(value);
        MUST(size <= value.text.size);
        if (size <= sizeof room) {
            json_string_copy(value, room);
            MUST(json_string_equal(value, span_of(room, size)));
        }
        break;
    }
    case JSON_INTEGER: (void)json_integer(value); (void)json_real(value); break;
    case JSON_REAL: (void)json_real(value); break;
    case JSON_ARRAY:
    case JSON_OBJECT: {
        if (depth > 20) return;
        JsonIterator it = json_iterate(value);
        int seen = 0;
        for (JsonValue name, item; seen < 50 && json_next(&it, &name, &item); seen++) {
            walk_json(item, depth + 1);
            JsonValue found;
            if (value.kind == JSON_OBJECT && json_string_size(name) < sizeof room) {
                json_string_copy(name, room);
                MUST(json_member(value, span_of(room, json_string_size(name)), &found));
            } else if (value.kind == JSON_ARRAY && item.kind != JSON_OBJECT && item.text.size < 200) {
                MUST(json_array_contains(value, item));
            }
        }
        break;
    }
    default: break;
    }
}

static void json(Span text) {
    JsonValue value;
    bool good = json_check(text);
    MUST(json_parse(text, &value) == good);
    if (!good) return;
    MUST(utf8_valid(text));
    walk_json(value, 0);
    MUST(json_value(value.text).kind == value.kind);
}

static void timestamp(Span text) {
    int64_t milliseconds = 0, again = 0;
    char printed[TIMESTAMP_TEXT_SIZE];
    if (!timestamp_parse(text, &milliseconds)) return;
    MUST(milliseconds >= -LIMIT_TIMESTAMP_MS && milliseconds <= LIMIT_TIMESTAMP_MS);
    size_t size = timestamp_print(milliseconds, printed);
    MUST(size < sizeof printed && printed[size] == 0);
    MUST(timestamp_parse(span_of(printed, size), &again) && again == milliseconds);
}

static void base64(Span text) {
    uint8_t *bytes = malloc(text.size / 4 * 3 + 3);
    char *back = malloc(base64_size(text.size) + 4);
    size_t size = 0, again_size = 0;
    MUST(bytes && back);
    MUST(base64_print(text, back) == back + base64_size(text.size));
    MUST(base64_parse(span_of(back, base64_size(text.size)), (uint8_t *)back, &size) && size == text.size &&
         (size == 0 || memcmp(back, text.data, size) == 0));
    if (base64_parse(text, bytes, &size)) {
        char *printed = malloc(base64_size(size) + 1);
        MUST(printed);
        char *end = base64_print(span_of(bytes, size), printed);
        MUST(base64_parse(span_of(printed, (size_t)(end - printed)), (uint8_t *)printed, &again_size) && again_size == size);
        free(printed);
    }
    free(bytes), free(back);
}

/* What JSON calls a number is what strtod makes of it. */
static void number(Span text) {
    JsonValue value;
    char copy[1200], *end = NULL;
    if (text.size >= sizeof copy || !json_parse(text, &value)) return;
    if (value.kind != JSON_REAL && value.kind != JSON_INTEGER) return;
    memcpy(copy, value.text.data, value.text.size);
    copy[value.text.size] = 0;
    double want = strtod(copy, &end), got = decimal_to_double(value.text);
    MUST(*end == 0);
    MUST(memcmp(&want, &got, sizeof want) == 0);
    if (value.kind == JSON_INTEGER) {
        int64_t integer = json_integer(value);
        MUST(integer == strtoll(copy, NULL, 10));
        MUST(number_compare(integer, got) == 0 || fabs(got) >= 9007199254740992.0);
    }
}

static bool plain_utf8(Span s) { /* the table of the standard, straight */
    for (size_t i = 0; i < s.size;) {
        uint32_t c = s.data[i], n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
        if (n == 0 || n > s.size - i) return false;
        uint32_t point = n == 1 ? c : c & (0xffu >> (n + 1));
        for (uint32_t k = 1; k < n; k++) {
            if ((s.data[i + k] & 0xc0) != 0x80) return false;
            point = point << 6 | (s.data[i + k] & 0x3f);
        }
        if ((n == 3 && point < 0x800) || (n == 4 && (point < 0x10000 || point > 0x10ffff)) || (point >= 0xd800 && point < 0xe000)) return false;
        i += n;
    }
    return true;
}

static void utf8(Span text) {
    MUST(utf8_valid(text) == plain_utf8(text));
    if (!utf8_name_problem(text)) MUST(utf8_valid(text) && text.size > 0 && text.size <= LIMIT_NAME_SIZE && !memchr(text.data, '/', text.size));
    char *quoted = malloc(6 * text.size + 2);
    MUST(quoted);
    size_t size = json_quote(text, quoted);
    MUST(size <= 6 * text.size + 2);
    JsonValue value;
    if (utf8_valid(text)) MUST(json_parse(span_of(quoted, size), &value) && json_string_equal(value, text));
    free(quoted);
}

static void lock(Span text) {
    char printed[LOCK_TEXT_MAX];
    uint8_t token[HOLDER_TOKEN_SIZE] = {1};
    Holder self;
    holder_self(&self, token);
    for (int reader = 0; reader < 2; reader++) {
        Holder holder = holder_parse((const char *)text.data, text.size, reader);
        (void)holder_is_alive(&holder, &self);
        if (holder.state != HOLDER_WHOLE) continue;
        size_t size = holder_print(&holder, printed);
        MUST(size <= sizeof printed && size == text.size && memcmp(printed, text.data, size) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Input in = input_over(data, size);
    uint32_t kind = br_u8(&in) % 6;
    Span rest = input_rest(&in);
    size_t zero = kind >= 5; /* the text of a lock has one behind it */
    uint8_t *exact = calloc(1, rest.size + zero ? rest.size + zero : 1);
    MUST(exact);
    bytes_copy(exact, rest.data, rest.size);
    Span text = span_of(exact, rest.size);
    switch (kind) {
    case 0: json(text); break;
    case 1: timestamp(text); break;
    case 2: base64(text); break;
    case 3: number(text); break;
    case 4: utf8(text); break;
    default: lock(text); break;
    }
    free(exact);
    return 0;
}
