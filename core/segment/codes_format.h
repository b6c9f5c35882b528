/* codes_format.h - the bytes of STREAM_CODES: what a search reads of a segment's vectors
 * before it reads any of them (vector/codes.h, vector/codebook.h).
 *
 *   CODES     := part* | directory
 *   part      := codebook, padded with zeros to 64 (codebook_format.h) | body, padded likewise
 *   body      := slot_count u32 | block_count u32 | lists u32 | 0 u32 | end u32[lists] | count u32[lists]
 *                | slot u32[32 * block_count] if lists > 1 | zeros to 64 | block[block_count]
 *   directory := (membrane u32 | 0 u32 | offset u64 | book_size u32 | body_size u32 | book_checksum u64
 *                | body_checksum u64)* | count u32 | 0 u32 | checksum u64
 *
 * 1. A part has the codes of one section: of each of its slots one. Sections of fewer than
 *    CODES_MIN vectors have none: they are scored by their vectors.
 * 2. The blocks of list i are those from end[i - 1] (0 for the first) to end[i]; count[i] of
 *    their lanes are used, from the first on, so that only the last block is not full.
 * 3. slot: of each lane the vector's, from the section's first one on; of an unused lane 0.
 *    With one list, the lane is the slot.
 * 4. The order within a list is that of slots.
 * 5. directory ends with the stream. Its checksum is over all before it in it, seeded as number
 *    2^40 of STREAM_CODES (place_seed); those of a part with 2 n
 *    and 2 n + 1, n being the number of its entry.
 *    book_size is that of the codebook without the zeros behind it, body_size with those of the body.
 * 6. The codebook is in each segment that is coded with it, so that a segment can be read by
 *    itself, moved, kept in a backup and forgotten like any other. Its id says which are equal. */
#ifndef SEGMENT_CODES_FORMAT_H
#define SEGMENT_CODES_FORMAT_H

#include "segment/segment_format.h"

enum {
    CODES_MIN = 1024,
    CODES_ALIGN = 64,
    CODES_BODY_HEAD = 16,
    CODES_ENTRY_SIZE = 40,
    CODES_TAIL_SIZE = 16,
};

/* Rule 5. */
static inline uint64_t codes_book_number(size_t entry) { return 2 * (uint64_t)entry; }
static inline uint64_t codes_body_number(size_t entry) { return 2 * (uint64_t)entry + 1; }
#define CODES_DIRECTORY_NUMBER ((uint64_t)1 << 40)

#endif
