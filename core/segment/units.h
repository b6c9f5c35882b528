/* units.h - what segment.c, spare.c and units.c tell each other. */
#ifndef SEGMENT_UNITS_H
#define SEGMENT_UNITS_H

#include "segment/segment.h"

/* Reads whole units from `first` on, `size` bytes, and checks each. Meta must be pinned. */
NACRE_CHECKED nacre_status segment_read_units(Segment *segment, uint32_t first, uint8_t *into, size_t size);
/* Told (`evicted`) when the meta of a segment goes, which is `self`. */
void segment_leave_blocks(void *self);
/* What the cache has of the vectors is not found any more. */
void segment_leave_vectors(Segment *segment);

/* Where bytes of a stream are in the file, for messages. */
unsigned long long segment_place_shown(const Segment *segment, uint32_t stream, uint64_t offset);
NACRE_CHECKED nacre_status segment_corrupt(const Segment *segment, const char *what);

#endif
