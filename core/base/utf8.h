/* utf8.h - text is UTF-8 without surrogates, overlong forms or anything past U+10FFFF. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/span.h"

bool utf8_valid(Span text);

/* Writes one code point, not a surrogate, at most U+10FFFF; returns its size, 1 to 4. */
size_t utf8_put(uint8_t *at, uint32_t code_point);

/* What a membrane's or a field's name must be (LIMIT_NAME_SIZE of limits.h). NULL when
 * it is fine, else what is wrong with it, for a message. */
const char *utf8_name_problem(Span name);

#endif
