/* schema_format.h - what a membrane holds, as bytes: in the catalog and at the WASM
 * boundary.
 *
 *   schema := version u8 = 3 | kind u8 | key_count u8 | key_type u8[key_count]
 *             | value_type u8 | dimensions u32 | metric u8 | element u8 | index u8
 *             | bits u8 | ttl_ms u64 | block_size u32 | compression u8
 *             | field_count u16 | field[field_count]                   little-endian
 *   field  := type u8 (80: indexed) | name_size u8 | name u8[name_size]
 *
 * 1. Numbers of kinds, types, metrics and elements are those of nacre.h (1 key-value,
 *    2 collection, 3 table).
 * 2. What a kind does not have is zero: value_type only of a key-value membrane;
 *    dimensions, metric, element, index and bits only of a collection; fields not of a
 *    key-value membrane.
 * 3. key_type: any type but NULL and JSON; 1 to 16 of them. value_type: JSON, TEXT or
 *    BYTES. A field's type: any but NULL.
 * 4. index: SCHEMA_AUTO, SCHEMA_FLAT, SCHEMA_IVF; SCHEMA_GRAPH is reserved and
 *    NACRE_UNSUPPORTED. bits: of a code's dimension, 1 to 8.
 * 5. Field names are names as limits.h says, all different, and not key, vector,
 *    distance, and, or, not: those mean something else in a record or a filter.
 * 6. Nothing follows the last field. No bytes at all stand for "no schema" at the WASM
 *    boundary only; schema_decode refuses them.
 * 7. ttl_ms: how long a row lives that was put without a time of its own, 1 to
 *    LIMIT_TIMESTAMP_MS; 0: for ever. block_size: bytes of a block, a power of two from
 *    SCHEMA_BLOCK_MIN to SCHEMA_BLOCK_MAX; 0: as the database's option says when the block
 *    is written. compression: SCHEMA_PLAIN or SCHEMA_LZ4.
 * 8. Version 1 has none of rule 7's three, and means zeros.
 * 9. element: what vectors are in records and segments, element.h's rule 1. NACRE_BIT has the
 *    metric NACRE_HAMMING, and nothing else has.
 * 10. 80 is added to the type of a field that is indexed, in hexadecimal: at most LIMIT_INDEXED
 *    of them, and none of JSON. Where none is, version 2 is written: it knows no indexed fields.
 *
 * Why not JSON: it is read at every open and checked by C; and why not sections by kind:
 * ten zero bytes cost less than three layouts. */
#ifndef DB_SCHEMA_FORMAT_H
#define DB_SCHEMA_FORMAT_H

#include "base/limits.h"
#include "nacre.h"

enum {
    SCHEMA_VERSION = 3,
    SCHEMA_PLAIN_VERSION = 2, /* where nothing is indexed */
    SCHEMA_INDEXED = 0x80,
    SCHEMA_OLDEST = 1,
    SCHEMA_FIXED_SIZE = 27, /* without key types and fields */
    SCHEMA_BLOCK_MIN = 4096,
    SCHEMA_BLOCK_MAX = 65536,
    SCHEMA_ENCODED_SIZE_MAX = SCHEMA_FIXED_SIZE + LIMIT_KEY_PARTS + LIMIT_FIELDS * (2 + LIMIT_NAME_SIZE),
};

typedef enum SchemaIndex {
    SCHEMA_AUTO = 0,
    SCHEMA_FLAT = 1,
    SCHEMA_IVF = 2,
    SCHEMA_GRAPH = 3,
} SchemaIndex;

typedef enum SchemaCompression {
    SCHEMA_PLAIN = 0,
    SCHEMA_LZ4 = 1,
} SchemaCompression;

#endif
