/* run_iter.h - the rows of a run (segments that do not overlap, in order) as one
 * sequence, forward and backward. */
#ifndef SEGMENT_RUN_ITER_H
#define SEGMENT_RUN_ITER_H

#include "segment/fields.h"

/* Keeps a reference on each segment, and copies `above`: keys <= above are not there
 * (what a merge under way has already moved; empty: no bound). `cached`: read through
 * the cache (readers); else past it with a buffer of its own (merges). */
NACRE_CHECKED nacre_status run_iter_open(SegmentIo *io, Segment *const *segments, size_t count, Span above,
                                         bool cached, Iter **iter);

/* Rows of a segment that are wanted, by their numbers (fields_format.h). */
typedef struct RunPick {
    SegmentFields fields; /* pinned */
    uint8_t *bits;        /* from number `first` on, rows of them; NULL: all rows of the segment are */
    uint32_t first, rows;
} RunPick;

static inline size_t run_pick_size(uint32_t rows) { return (size_t)round_up(((uint64_t)rows + 7) / 8, 16); }
void run_pick_clear(SegmentIo *io, RunPick *pick);

/* The same, but rows that are not picked are stepped over; of those that have no bits deletions are
 * yielded, too. `picks`, one for each segment, are taken, but not the array; on failure as well. */
NACRE_CHECKED nacre_status run_iter_open_picked(SegmentIo *io, Segment *const *segments, size_t count, Span above,
                                                RunPick *picks, Iter **iter);

#endif
