/* run_iter.h - the rows of a run (segments that do not overlap, in order) as one
 * sequence, forward and backward. */
#ifndef SEGMENT_RUN_ITER_H
#define SEGMENT_RUN_ITER_H

#include "segment/segment.h"

/* Keeps a reference on each segment, and copies `above`: keys <= above are not there
 * (what a merge under way has already moved; empty: no bound). `cached`: read through
 * the cache (readers); else past it with a buffer of its own (merges). */
NACRE_CHECKED nacre_status run_iter_open(SegmentIo *io, Segment *const *segments, size_t count, Span above,
                                         bool cached, Iter **iter);

#endif
