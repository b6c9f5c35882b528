/* row_format.h - the fields of one row.
 *
 *   row   := field[field_count of the schema], in its order
 *   field := 0 u8                                  null
 *          | 1 u8 (integer)   | i64 little-endian
 *          | 2 u8 (real)      | f64 little-endian
 *          | 3 u8 (boolean)   | u8, 0 or 1
 *          | 4 u8 (text)      | size u32 | bytes
 *          | 5 u8 (bytes)     | size u32 | bytes
 *          | 6 u8 (timestamp) | i64
 *          | 7 u8 (json)      | size u32 | bytes
 *          | 8 u8 (bigint)    | i64
 *
 * 1. A tag is 0, or the type that the schema gives the field (numbers of nacre_type).
 * 2. Text and JSON are valid UTF-8, JSON is one valid JSON value (RFC 8259, at most
 *    LIMIT_JSON_DEPTH deep). A real is not NaN. A timestamp is within LIMIT_TIMESTAMP_MS.
 * 3. Nothing follows the last field. A row is at most LIMIT_VALUE_SIZE bytes.
 * 4. The value of a key-value membrane has no row: it is the bytes of its text, bytes or
 *    JSON alone, under rule 2.
 * 5. The vector is not part of the row (RECORD_VECTOR of record_format.h).
 *
 * Why tags, when the schema knows the types: a row can be read, and found damaged, field
 * by field; and null needs a place anyway. */
#ifndef DB_ROW_FORMAT_H
#define DB_ROW_FORMAT_H

enum { ROW_NULL = 0 }; /* the other tags are nacre_type */

#endif
