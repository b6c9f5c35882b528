/* spare.h - what repair reads of a segment whose meta is damaged. */
#ifndef SEGMENT_SPARE_H
#define SEGMENT_SPARE_H

#include "segment/segment.h"

/* Makes sections and the checksums of vectors readable from the spare (segment_format.h,
 * rule 13) until the pin is given back: segment->meta then has no blocks. NACRE_CORRUPT:
 * there is none, or it is damaged as well. */
NACRE_CHECKED nacre_status segment_pin_spare(Segment *segment, CacheEntry **pin);

/* Is the spare, where there must be one, what the meta says? Meta must be pinned. NULL: it
 * is; else what is wrong with it. */
NACRE_CHECKED nacre_status segment_check_spare(Segment *segment, const char **wrong);

/* The block that begins at `page` of the rows, if it proves itself; looked for without the
 * meta. *count: pages that it has; 0: none begins there. `bytes` grows as needed, and
 * *block borrows from it. */
NACRE_CHECKED nacre_status segment_block_at_page(Segment *segment, uint64_t page, uint8_t **bytes, size_t *capacity,
                                                 Block *block, uint64_t *count);
/* Are there but zeros on the page? Damage that cannot be read counts as something. */
NACRE_CHECKED nacre_status segment_page_is_empty(Segment *segment, uint64_t page, bool *empty);

/* Offset in the file of a place in a stream; 0: it is not in it. */
uint64_t segment_place(const Segment *segment, uint32_t stream, uint64_t offset);

#endif
