/* block.h - reading one block of rows (segment_format.h). */
#ifndef SEGMENT_BLOCK_H
#define SEGMENT_BLOCK_H

#include "segment/segment_format.h"

/* Borrowed from the block's bytes. */
typedef struct Block {
    const uint8_t *data;
    uint32_t count;
    uint32_t first_slot;
    bool is_long;
    uint16_t suffix_width; /* SUFFIXES_DIFFER */
    const uint8_t *fps, *flags, *value_offsets, *key_offsets, *suffixes;
    Span prefix;
} Block;

/* Looks into bytes that nobody has checked, checksum included. `size`: of the block's
 * pages. NULL: it is right; else what is wrong with it. */
const char *block_open(Block *block, const uint8_t *data, size_t size, uint64_t seed);
/* Bytes of the block that is compressed in these; 0: none is. */
size_t block_plain_size(const uint8_t *data, size_t size);
/* As block_open, of such a block: `plain` has room for it, and *block borrows from there. */
const char *block_unpack(Block *block, const uint8_t *data, size_t size, uint64_t seed, uint8_t *plain);
/* The same for bytes that block_open found right before. */
void block_reopen(Block *block, const uint8_t *data);

static inline uint32_t block_flags(const Block *block, uint32_t row) { return block->flags[row]; }
Span block_suffix(const Block *block, uint32_t row);  /* the key without block->prefix */
Span block_value(const Block *block, uint32_t row);   /* as stored */
uint32_t block_slot(const Block *block, uint32_t row); /* of a row with ENTRY_VECTOR */

/* First row whose key is >= key; count when there is none. *equal: its key is key. */
uint32_t block_seek(const Block *block, Span key, bool *equal);
/* The row of exactly this key; count: none. */
uint32_t block_find(const Block *block, Span key, uint64_t hash);

#endif
