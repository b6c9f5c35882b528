/* kernels_x86.c - kernels.h for SSE2, AVX2 and AVX-512. Each function names its instruction set
 * itself, so the file needs no compiler flags and knows nothing of which one the processor has. */
#include "vector/kernels_body.h"

#ifdef KERNELS_HAVE_X86
#include <immintrin.h>

#define KERNELS_SSE2   __attribute__((target("sse2")))
#define KERNELS_AVX2   __attribute__((target("avx2")))
#define KERNELS_AVX512 __attribute__((target("avx512f")))

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

/* 16 registers for SSE2 and AVX2: eight at most hold sums. */
KERNELS_DEFINE(sse2, KERNELS_SSE2, kernels_f4, 4, 8, 4)
KERNELS_DEFINE(avx2, KERNELS_AVX2, kernels_f8, 8, 4, 4)
KERNELS_DEFINE(avx512, KERNELS_AVX512, kernels_f16, 16, 2, 2)

#endif
