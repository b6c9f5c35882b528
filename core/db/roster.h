/* roster.h - the membranes of a database that is not open: from the rows of its catalog, as
 * far as they can be read, and from the manifest's copy. */
#ifndef DB_ROSTER_H
#define DB_ROSTER_H

#include "db/schema.h"

typedef struct RosterEntry {
    uint32_t id;
    bool dropped;  /* name and schema are empty then */
    bool copied;   /* only the manifest's copy tells */
    char *name;    /* zero-terminated */
    size_t name_size;
    Schema schema;
} RosterEntry;

typedef struct Roster {
    Env *env;
    RosterEntry *entries; /* by id */
    size_t count, capacity;
} Roster;

void roster_clear(Roster *roster);
/* NULL: nothing is known of it. */
const RosterEntry *roster_find(const Roster *roster, uint32_t id);
/* A row of membrane 0: `key` without the membrane's id. A row that makes no sense is
 * NACRE_CORRUPT, and changes nothing. */
NACRE_CHECKED nacre_status roster_add_row(Roster *roster, Span key, Span value);
/* The same of a row that is newer than all that is known. */
NACRE_CHECKED nacre_status roster_replace_row(Roster *roster, Span key, Span value);
/* Those of the manifest's copy that the rows do not tell of; it may be damaged from some place on. */
NACRE_CHECKED nacre_status roster_add_copy(Roster *roster, Span copy);

#endif
