/* filter_blocks.h - a split-block Bloom filter over key hashes (segment_format.h, rule 7). */
#ifndef SEGMENT_FILTER_BLOCKS_H
#define SEGMENT_FILTER_BLOCKS_H

#include "base/codec.h"

/* Bytes of a filter for `count` keys at `bits` per key, a multiple of 32. */
static inline uint64_t filter_blocks_size(uint64_t count, uint32_t bits) {
    if (count == 0 || bits == 0) return 0;
    return round_up((count * bits + 7) / 8, 32);
}

/* Parquet's salts: odd numbers that spread the low 32 bits over eight words. */
#define FILTER_SALTS                                                                                   \
    {0x47b6137bu, 0x44974d91u, 0x8824ad5bu, 0xa2b7289du, 0x705495c7u, 0x2df1424bu, 0x9efc4947u, 0x5c6bfb31u}

static inline size_t filter_blocks_place(uint64_t hash, size_t size) {
    return (size_t)(((hash >> 32) * (uint64_t)(size / 32)) >> 32) * 32;
}

WRAPS static inline void filter_blocks_add(uint8_t *filter, size_t size, uint64_t hash) {
    static const uint32_t salts[8] = FILTER_SALTS;
    uint8_t *block = filter + filter_blocks_place(hash, size);
    for (int i = 0; i < 8; i++) {
        uint32_t bit = ((uint32_t)hash * salts[i]) >> 27;
        put_u32(block + 4 * i, get_u32(block + 4 * i) | 1u << bit);
    }
}

/* false: the key is certainly not there. */
WRAPS static inline bool filter_blocks_may_have(const uint8_t *filter, size_t size, uint64_t hash) {
    static const uint32_t salts[8] = FILTER_SALTS;
    if (size == 0) return true;
    const uint8_t *block = filter + filter_blocks_place(hash, size);
    uint32_t missing = 0;
    for (int i = 0; i < 8; i++) {
        uint32_t bit = ((uint32_t)hash * salts[i]) >> 27;
        missing |= ~get_u32(block + 4 * i) & 1u << bit;
    }
    return missing == 0;
}

#endif
