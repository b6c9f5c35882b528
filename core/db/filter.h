/* filter.h - tests of rows, compiled from a program (filter_format.h). */
#ifndef DB_FILTER_H
#define DB_FILTER_H

#include "db/filter_format.h"
#include "db/schema.h"

typedef struct Filter Filter;

/* `program` may be anything: NACRE_INVALID_ARGUMENT when it is malformed or does not fit
 * the schema. Program and schema are copied: nothing of them is kept. An empty program is
 * malformed; who has no filter has no Filter. *filter is the caller's, free with
 * filter_free. */
NACRE_CHECKED nacre_status filter_compile(Env *env, const Schema *schema, Span program,
                                          Filter **filter);
void filter_free(Filter *filter); /* NULL is fine */

/* `key` and `row` as in a RowView. A row that is malformed does not match anything but
 * what is true of null. Not const: it keeps the place of the row's fields meanwhile. */
bool filter_matches(Filter *filter, Span key, Span row);

/* Whether any test asks an indexed field. */
bool filter_is_indexed(const Filter *filter);

/* Whether any test needs the row, or the key alone decides. */
bool filter_needs_row(const Filter *filter);

/* A filter as JSON text (API.md) into a program. Timestamps are ISO 8601 text or
 * milliseconds, bytes are base64 text. NACRE_INVALID_ARGUMENT names what is not
 * understood. *program is the caller's, free with env_free(env, data, capacity). */
typedef struct FilterProgram {
    uint8_t *data;
    size_t size, capacity;
} FilterProgram;
NACRE_CHECKED nacre_status filter_from_json(Env *env, const Schema *schema, const char *text,
                                            size_t size, FilterProgram *program);

#endif
