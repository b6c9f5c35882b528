/* writer.h - writes one segment, row by row, into extents it takes as it goes. */
#ifndef SEGMENT_WRITER_H
#define SEGMENT_WRITER_H

#include "segment/segment.h"
#include "store/extents.h"

typedef struct StreamWriter {
    Stream stream;   /* extents taken; size so far */
    uint8_t *buffer; /* the last, unfinished extent; EXTENT_SIZE bytes, made at first use */
    size_t used;
} StreamWriter;

typedef struct SegmentWriter {
    SegmentIo *io;
    ExtentMap *map;
    uint64_t id;
    BlockLayout layout; /* of the membrane under way */
    StreamWriter streams[STREAM_COUNT];
    /* the block under way */
    uint32_t count, block_first_slot, block_before, keys_size, values_size, prefix_size;
    uint32_t *key_ends, *value_ends; /* of row i, in keys and values */
    uint8_t *row_flags, *row_fps, *keys, *values;
    size_t key_ends_capacity, value_ends_capacity, flags_capacity, fps_capacity, keys_capacity, values_capacity;
    /* of the whole segment */
    uint32_t block_count, slot_count, section_count;
    uint64_t rows, deletes, next_page, first_expiry;
    uint32_t *pages, *first_slots, *befores, *separator_ends;
    size_t pages_capacity, first_slots_capacity, befores_capacity, separator_ends_capacity;
    uint8_t *separators;
    size_t separators_size, separators_capacity;
    uint64_t *hashes;
    size_t hashes_capacity;
    uint64_t *unit_checksums;
    size_t unit_count, unit_checksums_capacity;
    CodesWriter codes; /* of the section under way */
    bool want_lists;   /* codes with lists, where there is a codebook that has them */
    uint8_t *codes_directory;
    size_t codes_directory_size, codes_directory_capacity;
    FieldsWriter fields; /* likewise */
    uint8_t *fields_entries;
    size_t fields_entries_size, fields_entries_capacity;
    Section *sections;
    size_t sections_capacity;
    uint8_t *first_key, *last_key;
    size_t first_key_size, first_key_capacity, last_key_size, last_key_capacity;
    uint8_t *packed;  /* BLOCK_SIZE_MAX bytes, and what compressing needs; made at first use */
    uint8_t *scratch; /* a vector on its way */
    size_t scratch_capacity;
    /* the value of pieces under way */
    uint8_t *piece; /* PIECE_SIZE bytes, made at first use */
    size_t piece_used, piece_count, checksums_capacity;
    uint64_t value_size;
    uint8_t *checksums; /* of its pieces, as they are stored */
} SegmentWriter;

void segment_writer_init(SegmentWriter *writer, SegmentIo *io, ExtentMap *map, uint64_t id);

/* The next bytes of a value of pieces. The row that has it is added after all of them: with
 * ENTRY_BLOB | ENTRY_PIECES and no segment. */
NACRE_CHECKED nacre_status segment_writer_stream(SegmentWriter *writer, Span bytes);
/* Keys rise. After a failure only segment_writer_clear may follow. */
NACRE_CHECKED nacre_status segment_writer_add(SegmentWriter *writer, const Entry *entry);
uint64_t segment_writer_size(const SegmentWriter *writer); /* bytes so far, about */
/* Vectors count by themselves: codes pay the more, the more vectors stand together. */
bool segment_writer_is_full(const SegmentWriter *writer, uint64_t size, uint64_t vectors_size, uint64_t rows);
Span segment_writer_last_key(const SegmentWriter *writer); /* of the last row; borrowed until the next */

/* Writes the rest. *segment has one reference; its extents stay EXTENT_WRITING until
 * a commit. The writer is left clear. */
NACRE_CHECKED nacre_status segment_writer_finish(SegmentWriter *writer, Segment **segment);
/* Gives back memory and, when unfinished, extents. */
void segment_writer_clear(SegmentWriter *writer);

#endif
