/* codes.h - reading the codes of a segment's vectors (codes_format.h), through the cache. */
#ifndef SEGMENT_CODES_H
#define SEGMENT_CODES_H

#include "segment/segment.h"
#include "vector/codebook.h"

/* The codes of one section, borrowed from the cache entry that was pinned with it. */
typedef struct SegmentCodes {
    const Codebook *book;  /* the segment's reference */
    uint32_t slots, blocks;
    const uint8_t *ends, *counts, *numbers; /* u32s; numbers NULL: a lane is a slot */
    const uint8_t *block;  /* the first one */
} SegmentCodes;

/* Those of the section of `membrane`, which has `slot_count` vectors of `dimensions` (0: of any). *pin NULL: it
 * has none. Whatever the bytes say, block i < blocks may be read, and a lane's slot is below slots. */
NACRE_CHECKED nacre_status segment_codes(Segment *segment, uint32_t membrane, uint32_t slot_count, uint32_t dimensions,
                                         SegmentCodes *codes, CacheEntry **pin);
/* The codebook alone, borrowed from the segment; NULL: none. */
NACRE_CHECKED nacre_status segment_codebook(Segment *segment, uint32_t membrane, Codebook **book);

static inline uint32_t codes_list_begin(const SegmentCodes *c, uint32_t list) {
    return list ? get_u32(c->ends + 4 * (size_t)(list - 1)) : 0;
}
static inline uint32_t codes_list_end(const SegmentCodes *c, uint32_t list) { return get_u32(c->ends + 4 * (size_t)list); }
static inline uint32_t codes_list_count(const SegmentCodes *c, uint32_t list) {
    return get_u32(c->counts + 4 * (size_t)list);
}
/* The slot, from the section's first one on, of a lane of a block. */
static inline uint32_t codes_slot(const SegmentCodes *c, uint32_t block, uint32_t lane) {
    uint32_t at = block * CODE_LANES + lane;
    return c->numbers ? get_u32(c->numbers + 4 * (size_t)at) : at;
}

/* The code of a slot (from the section's first one on), for a segment that is coded with the same
 * codebook: code_size bytes, and the slot's list. *copied false: it is coded otherwise, or cannot be read. */
void segment_copy_code(Segment *segment, const Section *section, uint32_t slot, const Codebook *book, uint8_t *code,
                       CodeFactors *factors, uint32_t *list, bool *copied);

/* What is wrong with any byte of the stream; `what` is told of each damage. NACRE_CORRUPT: something is. */
NACRE_CHECKED nacre_status segment_verify_codes(Segment *segment);

/* Of segment_release. */
void segment_leave_codes(Segment *segment);

#endif
