/* fields.h - reading the indexed fields of a segment (fields_format.h), through the cache. */
#ifndef SEGMENT_FIELDS_H
#define SEGMENT_FIELDS_H

#include "segment/segment.h"

/* The directory, borrowed from the cache entry that was pinned with it. */
typedef struct SegmentFields {
    CacheEntry *pin; /* NULL: the segment has no indexed fields */
    const uint8_t *entries, *before;
    uint32_t entry_count, block_count;
} SegmentFields;

/* One field of one section. */
typedef struct FieldIndex {
    uint32_t membrane, column, first_page, page_count, first, rows;
} FieldIndex;

typedef struct FieldGroup {
    bool null;
    Span value;
    uint32_t count;
    Span numbers;
} FieldGroup;

/* Pinned; blocks are as many as the segment has. */
NACRE_CHECKED nacre_status segment_fields(Segment *segment, SegmentFields *fields);
FieldIndex fields_entry(const SegmentFields *fields, uint32_t index);
/* False: it is not indexed here. */
bool fields_find(const SegmentFields *fields, uint32_t membrane, uint32_t column, FieldIndex *index);

/* The number that a block begins with; of block_count: none, the largest number. */
static inline uint32_t fields_before(const SegmentFields *fields, uint32_t block) {
    return block < fields->block_count ? get_u32(fields->before + 4 * (size_t)block) : UINT32_MAX;
}
/* The block with the row of a number. */
uint32_t fields_block_of(const SegmentFields *fields, uint32_t number);

/* Page `page` of page_count, pinned: groups lie between *at and *end, and whatever the bytes say, their
 * numbers are below index->rows. */
NACRE_CHECKED nacre_status segment_field_page(Segment *segment, const FieldIndex *index, uint32_t page, CacheEntry **pin,
                                              const uint8_t **at, const uint8_t **end);
/* It is read from the file when it is asked for again. */
void segment_forget_field_page(Segment *segment, const FieldIndex *index, uint32_t page);
/* The next group of a page; *at is below its end. */
FieldGroup fields_group(const uint8_t **at);
/* Sets the bits of a group's rows. */
void fields_mark(const FieldGroup *group, uint8_t *bits);
/* Less than 0: a's value is less. */
int fields_order(const FieldGroup *a, const FieldGroup *b);
/* Behind the number at `at`, one of a group's; adds it to *number. */
const uint8_t *fields_next(const uint8_t *at, uint32_t *number);

/* fields_verify.c: is anything wrong with any byte of the stream, or does it tell anything else than the
 * rows, as far as io->field_host knows them? Then NACRE_CORRUPT. */
NACRE_CHECKED nacre_status segment_verify_fields(Segment *segment);

#endif
