/* decimal.h - decimal numbers as doubles, and exact order among integers and doubles.
 *
 * Why our own and not strtod: that one reads the host's locale, wants a zero byte at the
 * end, and brings 128-bit arithmetic into the WASM build. */
#ifndef BASE_DECIMAL_H
#define BASE_DECIMAL_H

#include "base/span.h"

/* The double nearest to `text`, ties to even; infinity when it is too large. `text` is a
 * number as JSON writes it: -? digits (. digits)? ([eE] [+-]? digits)? */
double decimal_to_double(Span text);

/* A finite double as the shortest text that decimal_to_double makes the same of, as JavaScript has it
 * but for its exponent ("1e21", "1e-7" without a +). Returns `text`, with a zero byte at its end. */
enum { DECIMAL_TEXT_SIZE = 40 };
const char *decimal_print(double value, char text[DECIMAL_TEXT_SIZE]);

/* Exact order of an integer and a double that is not NaN: below zero, zero, above. */
int number_compare(int64_t integer, double real);

#endif
