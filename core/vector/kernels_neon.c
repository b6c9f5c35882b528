/* kernels_neon.c - kernels.h for 64-bit ARM, where NEON is always there. */
#include "vector/kernels_body.h"

#ifdef KERNELS_HAVE_NEON
#include <arm_neon.h>

#define kernels_neon_part kernels_f4_part
#define kernels_neon_fold kernels_f4_fold

#define kernels_neon_mix  kernels_f4_mix
#define kernels_neon_join kernels_h8_join

KERNELS_INLINE void kernels_neon_narrow(const kernels_i4 whole[4], uint8_t *to) {
    const int16x8_t low = vcombine_s16(vmovn_s32((int32x4_t)whole[0]), vmovn_s32((int32x4_t)whole[1]));
    const int16x8_t high = vcombine_s16(vmovn_s32((int32x4_t)whole[2]), vmovn_s32((int32x4_t)whole[3]));
    *(kernels_b16_at *)to = (kernels_b16)vcombine_s8(vmovn_s16(low), vmovn_s16(high));
}

KERNELS_INLINE void kernels_neon_look_up(const kernels_b16 *table, const kernels_b16 *index,
                                         kernels_b16 *out) {
    *out = (kernels_b16)vqtbl1q_u8((uint8x16_t)*table, (uint8x16_t)*index);
}

/* 32 registers: 16 at most hold sums, in one pass. */
KERNELS_DEFINE(neon, , 4, 8, 8, 16, 8)

#endif
