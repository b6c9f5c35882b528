/* keycode.h - keys to bytes and back (keycode_format.h). */
#ifndef DB_KEYCODE_H
#define DB_KEYCODE_H

#include "db/keycode_format.h"
#include "db/schema.h"

/* What of a key is to be written. */
typedef enum KeyPartial {
    KEY_WHOLE = 0, /* `count` is key_count */
    KEY_LEADING,   /* 1 to key_count leading parts */
    KEY_PREFIX,    /* as KEY_LEADING, but the last one is the beginning of a text or bytes */
} KeyPartial;

/* Checks values of which nothing is known, and tells how many bytes they take.
 * NACRE_INVALID_ARGUMENT, naming the part, when they do not fit the schema. */
NACRE_CHECKED nacre_status key_measure(Env *env, const Schema *schema, const nacre_value *values,
                                       uint32_t count, KeyPartial partial, size_t *size);
/* Writes what key_measure has accepted; returns the end. */
uint8_t *key_encode(const Schema *schema, const nacre_value *values, uint32_t count,
                    KeyPartial partial, uint8_t *at);

/* True when `key` is a whole, well-formed key: rules 2 to 5 hold. Cheap: it runs for
 * every record that is written. */
bool key_check(const Schema *schema, Span key);

/* key_count values; text and bytes without escapes are borrowed from `key`, others are
 * written to `room` (key.size bytes are enough). False when it is malformed. */
bool key_decode(const Schema *schema, Span key, nacre_value *values, uint8_t *room);

/* Rule 6: makes `bytes` the smallest string greater than all that begin with them, in
 * place; returns its size. 0: there is none. */
size_t key_successor(uint8_t *bytes, size_t size);

/* The part at the reader's beginning, encoded; false when it is malformed. Advances. */
bool key_part(nacre_type type, Span *rest, Span *part);

int64_t key_part_integer(Span part); /* integer, bigint, timestamp */
double key_part_real(Span part);

/* Writes one part that was found right; `open`: without its end. Returns the end. */
uint8_t *key_encode_part(nacre_type type, const nacre_value *value, bool open, uint8_t *at);

/* Escapes `raw` at `at` without the end; returns the end. Up to 2 x raw.size bytes. */
uint8_t *key_escape(Span raw, uint8_t *at);

#endif
