/* kernels_wasm.c - kernels.h for WebAssembly's SIMD128. A module either uses it everywhere or
 * does not validate without it, so there is nothing to detect: the build decides. */
#include "vector/kernels_body.h"

#ifdef KERNELS_HAVE_WASM
#include <wasm_simd128.h>

#define kernels_simd128_part kernels_f4_part
#define kernels_simd128_fold kernels_f4_fold

#define kernels_simd128_mix  kernels_f4_mix
#define kernels_simd128_join kernels_h8_join

/* Saturation changes nothing: 0 to 255 fit. */
KERNELS_INLINE void kernels_simd128_narrow(const kernels_i4 whole[4], uint8_t *to) {
    const v128_t low = wasm_i16x8_narrow_i32x4((v128_t)whole[0], (v128_t)whole[1]);
    const v128_t high = wasm_i16x8_narrow_i32x4((v128_t)whole[2], (v128_t)whole[3]);
    *(kernels_b16_at *)to = (kernels_b16)wasm_u8x16_narrow_i16x8(low, high);
}

KERNELS_INLINE void kernels_simd128_look_up(const kernels_b16 *table, const kernels_b16 *index,
                                            kernels_b16 *out) {
    *out = (kernels_b16)wasm_i8x16_swizzle((v128_t)*table, (v128_t)*index);
}

/* V8 and others map it to x86's 16 registers or ARM's 32: as for SSE2. */
KERNELS_DEFINE(simd128, , 4, 8, 4, 16, 8)

#endif
