/* salvage_iter.h - the rows of a run that can still be read, from the first on. */
#ifndef SEGMENT_SALVAGE_ITER_H
#define SEGMENT_SALVAGE_ITER_H

#include "segment/segment.h"

/* Rows that could not be read: some whose keys lie from `from` to `to`, the ends included
 * where they are not rows themselves. */
typedef struct SalvageGap {
    const Segment *segment;
    uint64_t offset;  /* in the file: of the first damage */
    uint64_t count;   /* damaged blocks; without an index, pages */
    const char *what; /* what was wrong with the first */
    Span from, to;    /* borrowed until the hook returns */
} SalvageGap;

/* NACRE_OK, or what ends the walk. */
typedef nacre_status SalvageTold(void *self, const SalvageGap *gap);

/* As run_iter_open, but damaged blocks are stepped over and told of, with the next row (or the
 * end) behind them, and a segment whose index is damaged is read page by page. Only for a walk
 * from the first key to the last: seek wants the empty key, and there is no way back. What the disk refuses to read counts as damage. */
NACRE_CHECKED nacre_status salvage_iter_open(SegmentIo *io, Segment *const *segments, size_t count, Span above,
                                             SalvageTold *told, void *self, Iter **iter);

#endif
