/* kernels_neon.c - kernels.h for 64-bit ARM, where NEON is always there. */
#include "vector/kernels_body.h"

#ifdef KERNELS_HAVE_NEON

#define kernels_neon_part kernels_f4_part
#define kernels_neon_fold kernels_f4_fold

/* 32 registers: 16 at most hold sums, in one pass. */
KERNELS_DEFINE(neon, , kernels_f4, 4, 8, 8)

#endif
