/* textform.h - values that JSON has no form for, as text: timestamps in ISO 8601, bytes in
 * base64 (RFC 4648, with padding). */
#ifndef BASE_TEXTFORM_H
#define BASE_TEXTFORM_H

#include "base/span.h"

enum { TIMESTAMP_TEXT_SIZE = 32 };

/* "2026-01-31", "2026-01-31T12:30", "...:15", "...:15.250", then nothing, "Z" or
 * "+01:00"; without an offset it is UTC. Years before 0 or after 9999 have a sign and six
 * digits, as in JavaScript. False when it is anything else. */
bool timestamp_parse(Span text, int64_t *milliseconds);
/* As Date.toISOString writes it; `milliseconds` within LIMIT_TIMESTAMP_MS. Returns the
 * size; a zero byte follows. */
size_t timestamp_print(int64_t milliseconds, char text[TIMESTAMP_TEXT_SIZE]);

static inline size_t base64_size(size_t bytes) { return (bytes + 2) / 3 * 4; }
/* Writes base64_size(bytes.size) characters; returns their end. */
char *base64_print(Span bytes, char *at);
/* At most text.size / 4 * 3 bytes to `at`; false when it is not base64. Padding may be
 * left out. `at` may be text.data itself. */
bool base64_parse(Span text, uint8_t *at, size_t *size);

#endif
