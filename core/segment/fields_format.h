/* fields_format.h - the bytes of STREAM_FIELDS: of each indexed field its values in order, and
 * behind each the rows that have it.
 *
 *   FIELDS    := page* | directory
 *   page      := checksum u64 | used u16 | 0 u8[6] | group* | zeros                FIELDS_PAGE bytes
 *   group     := size u8 | value u8[size] | count u16 | numbers_size u16 | number varint[count]
 *                size ff: null, and no value
 *   directory := entry* | before u32[block_count] | entry_count u32 | block_count u32 | checksum u64
 *   entry     := membrane u32 | column u16 | 0 u16 | first_page u32 | page_count u32 | first u32 | rows u32
 *
 * 1. An entry is an indexed field of a section: entries rise by membrane and column, their pages
 *    follow each other in that order, and the directory follows the last one. A section that has
 *    no entries is not indexed here: its rows are asked one by one. It has one for each indexed
 *    field, or none.
 * 2. Rows are numbered by the segment: number of a row is how many before it are no deletions.
 *    before: the number that a block begins with. Deletions have none and stand in no group.
 *    first, rows: a section's own.
 * 3. Groups rise by value, null first; bytes are compared as memcmp does, the shorter one is less.
 *    A value may go on in the next page, with a group of its own. Each of the section's rows is in
 *    one group of each entry.
 * 4. number: the first one of a group less `first`; of the others what they are above the one
 *    before, at least 1. varint: seven bits in a byte, the lowest first; all bytes but the last
 *    have bit 7; the last is not 0 but alone.
 * 5. What values are is told by db/index_format.h. They have at most FIELDS_VALUE_MAX bytes.
 * 6. used: bytes of the page up to the end of its last group; a page has one at least.
 * 7. A page's checksum is over all behind it, seeded as its number of STREAM_FIELDS (place_seed);
 *    the directory's over all before it in it, as number 2^40.
 *
 * Why not the entries of rows, field by field: a value that many rows share is there once, and a
 * row takes a byte or two. Why no index over pages: a binary search asks their first groups. Why
 * no minimum and maximum of each block besides: of an indexed field this tells which rows match,
 * not only which blocks may have some; and of others blocks of rows in the order of keys would
 * rarely be left out. */
#ifndef SEGMENT_FIELDS_FORMAT_H
#define SEGMENT_FIELDS_FORMAT_H

#include "base/limits.h"
#include "segment/segment_format.h"

enum {
    FIELDS_PAGE = 8192,
    FIELDS_PAGE_HEAD = 16,
    FIELDS_GROUP_HEAD = 5, /* without its value */
    FIELDS_NULL = 0xff,
    FIELDS_VALUE_MAX = 65,
    FIELDS_VARINT_MAX = 5,
    FIELDS_ENTRY_SIZE = 24,
    FIELDS_TAIL_SIZE = 16,
};

#define FIELDS_DIRECTORY_NUMBER ((uint64_t)1 << 40)

#endif
