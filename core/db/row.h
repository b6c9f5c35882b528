/* row.h - fields to bytes and back (row_format.h). A key-value membrane counts as one
 * field here, of its value_type. */
#ifndef DB_ROW_H
#define DB_ROW_H

#include "base/codec.h"
#include "db/row_format.h"
#include "db/schema.h"

/* field_count, or 1 for a key-value membrane. */
uint32_t row_field_count(const Schema *schema);

/* Checks values of which nothing is known (NULL: all null), and tells how many bytes
 * they take. NACRE_INVALID_ARGUMENT, naming the field, when they do not fit. */
NACRE_CHECKED nacre_status row_measure(Env *env, const Schema *schema, const nacre_value *values,
                                       uint64_t *size);
/* Writes what row_measure has accepted; returns the end. */
uint8_t *row_encode(const Schema *schema, const nacre_value *values, uint8_t *at);

/* Bytes of which nothing is known, as they are to be stored: rules 1 to 4.
 * NACRE_INVALID_ARGUMENT, naming the field, when they break one. */
NACRE_CHECKED nacre_status row_check(Env *env, const Schema *schema, Span row);

/* All fields, borrowed from `row`; false when it is malformed (rules 1 and 3). */
bool row_decode(const Schema *schema, Span row, nacre_value *values);
/* One field. */
bool row_field(const Schema *schema, Span row, uint32_t index, nacre_value *value);

/* The next value, tag and payload, of any type; false when it is malformed. */
bool row_value(ByteReader *reader, nacre_value *value);

/* Bytes of one tagged value, and writing it; returns the end. */
uint64_t row_value_size(const nacre_value *value);
uint8_t *row_value_encode(const nacre_value *value, uint8_t *at);

/* NULL when `value` may stand in a field of `type`, else what is wrong with it. */
const char *row_value_problem(nacre_type type, const nacre_value *value);

#endif
