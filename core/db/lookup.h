/* lookup.h - looking for one key in a view, in up to three steps, so that many keys can be
 * looked for side by side: what each step reads of memory was asked for by the one before. */
#ifndef DB_LOOKUP_H
#define DB_LOOKUP_H

#include "db/state.h"

enum { RUNS_EXPECTED = 24 }; /* runs whose filters are asked for in advance */

typedef struct KeyLookup {
    Span key; /* with the membrane's id; the caller's until lookup_end */
    KeyHead head;
    uint64_t hash;
    Segment *segments[RUNS_EXPECTED]; /* of each run the one that may have it */
} KeyLookup;

void lookup_begin(const Snapshot *view, Span key, KeyLookup *lookup);
/* The filters are there: asks for the first block that one of them points to. May be left out. */
void lookup_near(const Snapshot *view, const KeyLookup *lookup);
/* As view_get. */
NACRE_CHECKED nacre_status lookup_end(Db *db, const Snapshot *view, const KeyLookup *lookup, Entry *entry,
                                      CacheEntry **pin);

#endif
