/* picks.h - which rows of a segment may match a filter, as its indexed fields tell; and what fields of
 * rows are indexed. */
#ifndef DB_PICKS_H
#define DB_PICKS_H

#include "db/filter.h"
#include "db/state.h"
#include "segment/fields.h"
#include "segment/run_iter.h"

/* The field host of the database's segments; once, at open. */
void picks_init(Db *db);
/* Of a schema: the two calls of a FieldHost. */
uint32_t picks_columns(const Schema *schema, uint16_t *columns);
bool picks_values(const Schema *schema, Span row, FieldValue *values);

typedef struct Picks {
    RunPick pick;   /* without bits: nothing is known */
    uint32_t count; /* bits that are set */
    bool exact;     /* no other row matches, and each of these does */
} Picks;

/* Of the membrane's rows in a segment. *picks is the caller's, free with run_pick_clear. */
NACRE_CHECKED nacre_status picks_find(Db *db, Segment *segment, uint32_t membrane, const Filter *filter, Picks *picks);

/* A merge over a view that steps over rows of `membrane` that do not match as far as indexes tell. A row that
 * it yields may be shadowed by a newer one that was stepped over: (*places)[index of its iterator] is how many
 * sources of the view are newer. *places NULL: it is not worth it, and merge is left alone. *places is the
 * caller's, free with env_free(*place_count * sizeof). */
NACRE_CHECKED nacre_status picks_merge(Db *db, const Snapshot *view, uint32_t membrane, const Filter *filter, Merge *merge,
                                       size_t **places, size_t *place_count);

#endif
