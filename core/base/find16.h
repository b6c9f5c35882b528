/* find16.h - where a byte stands among many, 16 at a time. */
#ifndef BASE_FIND16_H
#define BASE_FIND16_H

#include "base/codec.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

/* The lowest index at which `byte` stands in 16 bytes; 16: nowhere. */
static inline uint32_t find16(const uint8_t bytes[16], uint8_t byte) {
#if defined(__SSE2__)
    __m128i all = _mm_loadu_si128((const __m128i *)(const void *)bytes);
    __m128i equal = _mm_cmpeq_epi8(all, _mm_set1_epi8((char)byte));
    return (uint32_t)__builtin_ctz((uint32_t)_mm_movemask_epi8(equal) | 1u << 16);
#elif defined(__wasm_simd128__)
    v128_t equal = wasm_i8x16_eq(wasm_v128_load(bytes), wasm_i8x16_splat((int8_t)byte));
    return (uint32_t)__builtin_ctz((uint32_t)wasm_i8x16_bitmask(equal) | 1u << 16);
#elif defined(__ARM_NEON)
    uint8x16_t equal = vceqq_u8(vld1q_u8(bytes), vdupq_n_u8(byte));
    uint8x8_t nibbles = vshrn_n_u16(vreinterpretq_u16_u8(equal), 4);
    uint64_t found = vget_lane_u64(vreinterpret_u64_u8(nibbles), 0);
    return found ? (uint32_t)__builtin_ctzll(found) >> 2 : 16;
#else
    for (uint32_t half = 0; half < 16; half += 8) {
        const uint64_t ones = 0x0101010101010101u;
        uint64_t zero_where_equal = get_u64(bytes + half) ^ ones * byte;
        uint64_t found = (zero_where_equal - ones) & ~zero_where_equal & ones << 7;
        found &= 0 - found; /* the lowest is exact; those above it may be borrows */
        if (found) return half + (uint32_t)((found >> 7) * 0x0001020304050607u >> 56);
    }
    return 16;
#endif
}

/* The first index from `at` on; count: nowhere. */
static inline uint32_t find_byte(const uint8_t *bytes, uint32_t count, uint32_t at, uint8_t byte) {
    for (; at + 16 <= count; at += 16) {
        uint32_t found = find16(bytes + at, byte);
        if (found < 16) return at + found;
    }
    while (at < count && bytes[at] != byte) at++;
    return at;
}

#endif
