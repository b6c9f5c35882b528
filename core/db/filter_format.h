/* filter_format.h - a `where` of API.md as bytes: a tree of tests, each node in front of
 * its children.
 *
 *   program := version u8 = 1 | node
 *   node    := 01 and  | count u32 | node[count]              all of them; none: true
 *            | 02 or   | count u32 | node[count]              any of them; none: false
 *            | 03 not  | node
 *            | 10 eq   | column u16 | value
 *            | 11 ne   | column u16 | value
 *            | 12 gt   | column u16 | value
 *            | 13 gte  | column u16 | value
 *            | 14 lt   | column u16 | value
 *            | 15 lte  | column u16 | value
 *            | 16 in   | column u16 | count u32 | value[count]
 *            | 17 nin  | column u16 | count u32 | value[count]
 *            | 18 exists     | column u16 | u8                1: is not null, 0: is null
 *            | 19 contains   | column u16 | value
 *            | 1a startsWith | column u16 | value             numbers here are hexadecimal
 *   column  := index of the field in the schema, or ffff: the key
 *   value   := as a field of row_format.h (tag, payload); tag 0 is null
 *            | 20 | count u8 | value[count]                   a composite key's parts, all of them
 *
 * 1. Every test is true or false. A comparison (ne and nin too) with a field that is null
 *    is false; `not` turns false into true.
 * 2. Null as the value: eq asks for null, ne for anything else, in for null or one of the
 *    others; in nin it changes nothing. Elsewhere it is refused.
 * 3. Values that fit a column, else NACRE_INVALID_ARGUMENT naming it:
 *      integer, bigint, real   integer, bigint, real (not NaN), compared exactly
 *      timestamp               timestamp, integer (milliseconds)
 *      boolean                 boolean; false is less than true
 *      text                    text; by its UTF-8 bytes
 *      bytes                   bytes; as text, but no contains
 *      json                    json (one JSON value's text): eq, ne, in, nin by value
 *                              (order of members and spelling do not matter)
 *      the key                 as its type; composite: 20, all parts; eq ne gt gte lt lte
 *                              in nin exists only. A key is never null.
 * 4. contains: of a text column, a substring; of a json column, membership in a JSON array
 *    by value (no array: false). startsWith: of text and bytes.
 * 5. A json column that holds the JSON value null is null; so is such an operand of eq,
 *    ne, in and nin. To contains, null is a value like any other.
 * 6. At most LIMIT_WHERE_DEPTH levels of and, or, not; at most LIMIT_WHERE_NODES nodes and
 *    values. Nothing follows the program.
 *
 * Why indices and not names: whoever writes a program has the schema, and tells the user
 * about an unknown field in his own words. Why not SQL's three values: API.md. */
#ifndef DB_FILTER_FORMAT_H
#define DB_FILTER_FORMAT_H

enum {
    FILTER_VERSION = 1,
    FILTER_KEY = 0xffff, /* column */
    FILTER_PARTS = 0x20, /* tag of a composite key's value */
};

typedef enum FilterOp {
    FILTER_AND = 0x01,
    FILTER_OR = 0x02,
    FILTER_NOT = 0x03,
    FILTER_EQ = 0x10,
    FILTER_NE = 0x11,
    FILTER_GT = 0x12,
    FILTER_GTE = 0x13,
    FILTER_LT = 0x14,
    FILTER_LTE = 0x15,
    FILTER_IN = 0x16,
    FILTER_NIN = 0x17,
    FILTER_EXISTS = 0x18,
    FILTER_CONTAINS = 0x19,
    FILTER_STARTS_WITH = 0x1a,
} FilterOp;

#endif
