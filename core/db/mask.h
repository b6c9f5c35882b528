/* mask.h - which vectors of a segment belong to rows that match a filter: a bit per slot, kept in
 * the cache, since a segment does not change. Whether a row is still there is another question. */
#ifndef DB_MASK_H
#define DB_MASK_H

#include "db/filter.h"
#include "db/state.h"

typedef struct Mask {
    const uint8_t *bits; /* of each slot of the section, and zeros up to a multiple of 32 */
    uint32_t count;      /* bits that are set */
    CacheEntry *pin;     /* what bits are borrowed from */
} Mask;

static inline bool mask_has(const Mask *mask, uint32_t slot) { return mask->bits[slot / 8] >> slot % 8 & 1; }

/* The mask of `program`, which `filter` was compiled from, over a section. mask->pin NULL: it is not
 * there, and `make` was false; what indexed fields alone tell is made anyway. */
NACRE_CHECKED nacre_status mask_get(Db *db, Segment *segment, const Section *section, Span program, Filter *filter,
                                    bool make, Mask *mask);
/* Rows of the section that match, of *looked ones here and there. Adds to both. */
NACRE_CHECKED nacre_status mask_sample(Db *db, Segment *segment, const Section *section, Filter *filter,
                                       uint32_t *looked, uint32_t *matched);

#endif
