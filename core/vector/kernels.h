/* kernels.h - distances between vectors of floats, the same bits everywhere.
 *
 * There is one definition of the arithmetic; each instruction set gets a table of
 * functions that follow it, and which table is used never shows in a result:
 *
 * 1. Element i goes to lane i % 32. A lane starts at +0 and adds its terms in order:
 *    (a-b)*(a-b) for l2, a*b for dot, b*b for the norm.
 * 2. Each subtraction, product and sum is rounded to float by itself: no fused
 *    multiply-add, no wider intermediate.
 * 3. Elements missing from the last 32 count as +0 in both vectors.
 * 4. At the end lane i += lane i+16, then i+8, i+4, i+2, i+1; lane 0 is the result.
 *
 * It follows that a result is never -0 (a lane is never -0: +0 + -0 and x + -x are +0),
 * and that finite vectors give no NaN, except dot after an overflow (inf - inf). The
 * sign and payload of a NaN are the only bits that may differ between processors.
 * Overflow and underflow are left to metric.h, which knows what the result is for.
 *
 * Why 32 lanes: two cache lines; as many independent sums as an adder's latency of 4
 * needs with two 256-bit adders; two vectors of AVX-512, eight of SSE2, SIMD128, NEON.
 *
 * Any address will do, aligned or not. */
#ifndef NACRE_VECTOR_KERNELS_H
#define NACRE_VECTOR_KERNELS_H

#include <stddef.h>

typedef struct Kernels {
    const char *name; /* "scalar", "simd128", "sse2", "avx2", "avx512", "neon" */

    /* The squared Euclidean distance of a and b. */
    float (*l2)(const float *a, const float *b, size_t dimensions);

    /* The inner product of a and b. */
    float (*dot)(const float *a, const float *b, size_t dimensions);

    /* The inner product of a and b, and that of b with itself (the bits that dot(b, b) gives),
     * in one pass: what cosine needs. */
    void (*dot_norm)(const float *a, const float *b, size_t dimensions, float *dot, float *norm);

    /* The same for `count` rows, row i being at rows + i * stride bytes. A row's result does not
     * depend on its neighbours: it has the bits of the function for one row. */
    void (*l2_many)(const float *query, const void *rows, size_t stride, size_t count,
                    size_t dimensions, float *out);
    void (*dot_many)(const float *query, const void *rows, size_t stride, size_t count,
                     size_t dimensions, float *out);
    void (*dot_norm_many)(const float *query, const void *rows, size_t stride, size_t count,
                          size_t dimensions, float *dots, float *norms);
} Kernels;

/* The fastest for this processor. The table is constant and lives forever. */
const Kernels *kernels_choose(void);

/* The table of that name. NULL: it is not built in, or this processor cannot run it. */
const Kernels *kernels_by_name(const char *name);

/* The tables that run here, from the fastest (0) to "scalar". NULL: past the end. */
const Kernels *kernels_at(size_t index);

#endif
