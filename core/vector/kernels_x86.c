/* kernels_x86.c - kernels.h for SSE2, SSSE3, AVX2 and AVX-512. Each function names its instruction set
 * itself, so the file needs no compiler flags and knows nothing of which one the processor has. */
#include "vector/kernels_body.h"

#ifdef KERNELS_HAVE_X86
#include <immintrin.h>

#define KERNELS_SSE2   __attribute__((target("sse2")))
#define KERNELS_SSSE3  __attribute__((target("ssse3")))
#define KERNELS_AVX2   __attribute__((target("avx2")))
#define KERNELS_AVX512 __attribute__((target("avx512f,avx512bw")))

#define kernels_sse2_part kernels_f4_part
#define kernels_sse2_fold kernels_f4_fold

KERNELS_AVX2 KERNELS_INLINE void kernels_avx2_part(kernels_f8 *to, const uint8_t *from,
                                                   size_t count) {
    const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i wanted = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), index);
    *to = (kernels_f8)_mm256_maskload_ps((const float *)(const void *)from, wanted);
}

KERNELS_AVX2 KERNELS_INLINE void kernels_avx2_fold(const kernels_f8 *lanes, kernels_f4 *sum) {
    *sum = __builtin_shufflevector(*lanes, *lanes, 0, 1, 2, 3) +
           __builtin_shufflevector(*lanes, *lanes, 4, 5, 6, 7);
}

KERNELS_AVX512 KERNELS_INLINE void kernels_avx512_part(kernels_f16 *to, const uint8_t *from,
                                                       size_t count) {
    const unsigned wanted = count >= 16 ? 0xffff : (1u << count) - 1;
    *to = (kernels_f16)_mm512_maskz_loadu_ps((__mmask16)wanted, from);
}

KERNELS_AVX512 KERNELS_INLINE void kernels_avx512_fold(const kernels_f16 *lanes, kernels_f4 *sum) {
    const kernels_f8 half = __builtin_shufflevector(*lanes, *lanes, 0, 1, 2, 3, 4, 5, 6, 7) +
                            __builtin_shufflevector(*lanes, *lanes, 8, 9, 10, 11, 12, 13, 14, 15);
    *sum = __builtin_shufflevector(half, half, 0, 1, 2, 3) +
           __builtin_shufflevector(half, half, 4, 5, 6, 7);
}

/* Saturation changes nothing: 0 to 255 fit. */
KERNELS_SSE2 KERNELS_INLINE void kernels_x86_narrow(const kernels_i4 whole[4], uint8_t *to) {
    const __m128i low = _mm_packs_epi32((__m128i)whole[0], (__m128i)whole[1]);
    const __m128i high = _mm_packs_epi32((__m128i)whole[2], (__m128i)whole[3]);
    *(kernels_b16_at *)to = (kernels_b16)_mm_packus_epi16(low, high);
}

KERNELS_SSSE3 KERNELS_INLINE void kernels_ssse3_look_up(const kernels_b16 *table,
                                                        const kernels_b16 *index,
                                                        kernels_b16 *out) {
    *out = (kernels_b16)_mm_shuffle_epi8((__m128i)*table, (__m128i)*index);
}

KERNELS_AVX2 KERNELS_INLINE void kernels_avx2_look_up(const kernels_b32 *table,
                                                      const kernels_b32 *index, kernels_b32 *out) {
    *out = (kernels_b32)_mm256_shuffle_epi8((__m256i)*table, (__m256i)*index);
}

KERNELS_AVX512 KERNELS_INLINE void
kernels_avx512_look_up(const kernels_b64 *table, const kernels_b64 *index, kernels_b64 *out) {
    *out = (kernels_b64)_mm512_shuffle_epi8((__m512i)*table, (__m512i)*index);
}

KERNELS_AVX2 KERNELS_INLINE void kernels_avx2_mix(kernels_f8 *v) { KERNELS_MIX8(v); }
KERNELS_AVX512 KERNELS_INLINE void kernels_avx512_mix(kernels_f16 *v) { KERNELS_MIX16(v); }
KERNELS_AVX2 KERNELS_INLINE void kernels_avx2_join(const kernels_h16 *shorts, kernels_h8 *sum) {
    KERNELS_JOIN16(shorts, sum);
}
KERNELS_AVX512 KERNELS_INLINE void kernels_avx512_join(const kernels_h32 *shorts,
                                                       kernels_h8 *sum) {
    KERNELS_JOIN32(shorts, sum);
}

#define kernels_sse2_mix      kernels_f4_mix
#define kernels_ssse3_join    kernels_h8_join
#define kernels_sse2_narrow   kernels_x86_narrow
#define kernels_avx2_narrow   kernels_x86_narrow
#define kernels_avx512_narrow kernels_x86_narrow

/* 16 registers for SSE2 and AVX2: eight at most hold sums. */
KERNELS_DEFINE(avx2, KERNELS_AVX2, 8, 4, 4, 32, 16)
KERNELS_DEFINE(avx512, KERNELS_AVX512, 16, 2, 2, 64, 32)

/* All that SSSE3 adds to SSE2 for us is a shuffle of bytes by a register. */
KERNELS_DEFINE_FLOATS(sse2, KERNELS_SSE2, kernels_f4, 4, 8, 4)
const Kernels kernels_sse2 = KERNELS_TABLE(sse2, scalar, "sse2");
KERNELS_DEFINE_SUMS(ssse3, KERNELS_SSSE3, 16, 8)
KERNELS_DEFINE_SCAN(ssse3, KERNELS_SSSE3, 4)
const Kernels kernels_ssse3 = KERNELS_TABLE(sse2, ssse3, "ssse3");

#endif
