/* limits.h - the one table of limits. Beyond one is NACRE_INVALID_ARGUMENT, naming the
 * thing (of membranes, NACRE_RESOURCE_EXHAUSTED: one fewer would do); nacre_limits_get()
 * tells those that a user meets.
 *
 *   name                     value         what, and why
 *   LIMIT_KEY_SIZE           64 KiB        raw bytes of a key: the sum of its parts (8 for a
 *                                          number, 1 for a boolean), before escapes
 *   LIMIT_KEY_ENCODED_SIZE   128 KiB + 32  what keycode_format.h makes of such a key at most
 *   LIMIT_VALUE_SIZE         256 MiB       a value, or a whole encoded row, through put
 *   LIMIT_STREAM_SIZE        4 GiB         a value written as a stream
 *   LIMIT_NAME_SIZE          255           bytes of a name; UTF-8, no control characters, no
 *                                          "/" or "\", not "." or ".."
 *   LIMIT_DIMENSIONS         16 384        a vector is at most 64 KiB
 *   LIMIT_FIELDS             256           fields of a membrane
 *   LIMIT_INDEXED            16            of them that are indexed: each is kept twice
 *   LIMIT_KEY_PARTS          16            parts of a composite key
 *   LIMIT_K                  10 000        hits of one search
 *   LIMIT_MEMBRANES          100 000       membranes of a database
 *   LIMIT_WHERE_DEPTH        64            levels of and, or, not in a filter: it is walked
 *                                          by recursion
 *   LIMIT_WHERE_NODES        10 000        tests and operands of a filter
 *   LIMIT_JSON_DEPTH         1 000         levels of arrays and objects (SQLite's limit)
 *   LIMIT_TIMESTAMP_MS       8.64e15       a Date of JavaScript can be no further from 1970 */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#include <stdint.h>

enum {
    LIMIT_KEY_SIZE = 64 << 10,
    LIMIT_KEY_ENCODED_SIZE = (128 << 10) + 32,
    LIMIT_VALUE_SIZE = 256 << 20,
    LIMIT_NAME_SIZE = 255,
    LIMIT_DIMENSIONS = 16384,
    LIMIT_FIELDS = 256,
    LIMIT_INDEXED = 16,
    LIMIT_KEY_PARTS = 16, /* NACRE_KEY_PARTS_MAX */
    LIMIT_K = 10000,
    LIMIT_MEMBRANES = 100000,
    LIMIT_WHERE_DEPTH = 64,
    LIMIT_WHERE_NODES = 10000,
    LIMIT_JSON_DEPTH = 1000,
};

#define LIMIT_STREAM_SIZE (INT64_C(4) << 30)
#define LIMIT_TIMESTAMP_MS INT64_C(8640000000000000)

#endif
