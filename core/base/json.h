/* json.h - reading JSON text (RFC 8259) where it lies.
 *
 * 1. Nothing is allocated and nothing recurses: depth is bounded by LIMIT_JSON_DEPTH and
 *    kept in small arrays on the stack.
 * 2. json_parse and json_check look at every byte. All other functions take values of
 *    text that was accepted; of any other text they make something of no meaning, but
 *    never read outside of it.
 * 3. A \u escape of half a surrogate pair is kept, for JSON.stringify writes it; decoded
 *    it gives three bytes that are not UTF-8, and are refused where text is wanted.
 *
 * Why our own: it runs in WASM on bytes that anybody may have written, inside a memory
 * budget; the usual readers allocate a tree, recurse on the input's depth, or take
 * numbers in the host's locale. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/limits.h"
#include "base/span.h"

typedef enum JsonKind {
    JSON_NULL = 0,
    JSON_FALSE,
    JSON_TRUE,
    JSON_INTEGER, /* written without fraction or exponent, fits in 64 bits, not -0 */
    JSON_REAL,    /* any other number, the nearest double; infinity when too large */
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
} JsonKind;

typedef struct JsonValue {
    JsonKind kind;
    Span text; /* as it stands, without whitespace around; a string with its quotes */
} JsonValue;

/* True when `text` is exactly one JSON value, valid UTF-8, maybe with whitespace around. */
bool json_check(Span text);
bool json_parse(Span text, JsonValue *value);
/* The same for text that was accepted before, without looking at what is inside. */
JsonValue json_value(Span text);

/* Members of an array or object, in order:
 *     JsonIterator it = json_iterate(value);
 *     for (JsonValue name, item; json_next(&it, &name, &item);) ...     */
typedef struct JsonIterator {
    const uint8_t *at, *end;
    bool object;
} JsonIterator;
JsonIterator json_iterate(JsonValue array_or_object);
bool json_next(JsonIterator *iterator, JsonValue *name,
               JsonValue *item); /* name: of objects only */

/* Finds a member of an object; the last of that name. */
bool json_member(JsonValue object, Span name, JsonValue *item);

/* Strings, decoded. */
size_t json_string_size(JsonValue string);
void json_string_copy(JsonValue string, uint8_t *into);
bool json_string_equal(JsonValue string, Span text);

/* Numbers. json_real takes integers, too. */
int64_t json_integer(JsonValue integer);
double json_real(JsonValue number);

/* By value: the order of members and the spelling of numbers and strings do not matter,
 * numbers are compared exactly. Objects with a name twice: the last one counts on the
 * right side, each one on the left. */
bool json_equal(JsonValue a, JsonValue b);
bool json_array_contains(JsonValue array, JsonValue element);

/* ---- writing ---- */

/* Text as a JSON string, with its quotes, at `at`; returns its size. At most
 * 6 x text.size + 2 bytes. Invalid UTF-8 is passed on as it is. */
size_t json_quote(Span text, char *at);
#endif
