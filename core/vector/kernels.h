/* kernels.h - distances between vectors of floats, and what their codes need, the same bits
 * everywhere.
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
 * What codes need (codes.h) has no sums of floats: each float is made of the elements by the
 * operations that its comment names, in that order, each rounded by itself (rule 2), and all
 * sums are of integers, which are exact.
 *
 * Why 32 lanes: two cache lines; as many independent sums as an adder's latency of 4
 * needs with two 256-bit adders; two vectors of AVX-512, eight of SSE2, SIMD128, NEON.
 *
 * Any address will do, aligned or not. */
#ifndef NACRE_VECTOR_KERNELS_H
#define NACRE_VECTOR_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* What code_scan is told of a query and a list: the names are those of codes.h. */
typedef struct CodeScan {
    const uint8_t *lut;
    size_t nibbles; /* padded / 4 */
    uint32_t bits;
    float delta, bias, rounding, epsilon, base, root;
} CodeScan;

/* The least of a block's 32 estimates and of its bounds: which blocks need a look at all. */
typedef struct CodeLeast {
    float est, bound;
} CodeLeast;

typedef struct Kernels {
    const char *name; /* "scalar", "simd128", "sse2", "ssse3", "avx2", "avx512", "neon" */

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

    /* y[i] * signs[i], and of that the Walsh-Hadamard transform, in place: for a distance of
     * 1, 2, 4 ... count / 2, of each two elements a, b at that distance a + b and a - b. `count`
     * is a power of two, 64 at least. */
    void (*hadamard)(float *y, const float *signs, size_t count);

    /* u = the whole part of r * inverse + 2^(bits - 1), at least 0 and at most 2^bits - 1, and
     * v = u - (2^bits - 1) / 2, for `count` elements, a multiple of 64. A NaN counts as 0. */
    void (*quantise)(const float *r, size_t count, float inverse, uint32_t bits, uint8_t *u,
                     float *v);

    /* The tables of a query: for each four elements of y, a nibble, 16 entries. Entry k is the
     * whole part of T * scale + 1/2, T being b0 y0 + b1 y1 + b2 y2 + b3 y3 - n, where bj is bit
     * j of k, and n = ((y0' + y1') + y2') + y3' of what is negative, yj' = yj < 0 ? yj : 0. It
     * must be 0 to 63. Answers the sum of all entries. */
    uint32_t (*code_table)(const float *y, size_t nibbles, float scale, uint8_t *lut);

    /* Estimates and bounds of all lanes of `count` blocks (README.md, "The scan"), and the least
     * of each block: its number is that of all kernels, save for the sign of a 0. */
    void (*code_scan)(const CodeScan *scan, const uint8_t *blocks, size_t count, float *est,
                      float *bound, CodeLeast *least);
} Kernels;

/* The fastest for this processor. The table is constant and lives forever. */
const Kernels *kernels_choose(void);

/* The table of that name. NULL: it is not built in, or this processor cannot run it. */
const Kernels *kernels_by_name(const char *name);

/* The tables that run here, from the fastest (0) to "scalar". NULL: past the end. */
const Kernels *kernels_at(size_t index);

#endif
