/* kernels_wasm.c - kernels.h for WebAssembly's SIMD128. A module either uses it everywhere or
 * does not validate without it, so there is nothing to detect: the build decides. */
#include "vector/kernels_body.h"

#ifdef KERNELS_HAVE_WASM

#define kernels_simd128_part kernels_f4_part
#define kernels_simd128_fold kernels_f4_fold

/* V8 and others map it to x86's 16 registers or ARM's 32: as for SSE2. */
KERNELS_DEFINE(simd128, , kernels_f4, 4, 8, 4)

#endif
