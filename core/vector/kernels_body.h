/* kernels_body.h - the arithmetic of kernels.h, written once over compiler vectors.
 *
 * KERNELS_DEFINE makes the functions and the table of one instruction set. Why compiler vectors
 * (GCC's vector_size, which clang shares) and not intrinsics: + - * mean the same on all of them,
 * so there is one text to get right, and the test can build the 512-bit variant of it on a
 * machine that has no such registers. Why a macro and not a file included several times: the
 * amalgamation includes each file once. Vectors travel by pointer: passing them by value would
 * depend on the ABI of the instruction set (-Wpsabi); everything is inlined anyway. */
#ifndef NACRE_VECTOR_KERNELS_BODY_H
#define NACRE_VECTOR_KERNELS_BODY_H

#include "vector/code_format.h"
#include "vector/kernels.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef __FAST_MATH__
#error "results must not depend on the host: build without -ffast-math"
#endif
#if FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16
#error "floats must be computed as floats: on 32-bit x86 build with -msse2 -mfpmath=sse"
#endif

/* Rule 2 of kernels.h also where the caller's flags do not say -ffp-contract=off: by default
 * clang fuses within an expression, and gcc, outside -std=c11, wherever it can. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

extern const Kernels kernels_scalar;
void kernels_scalar_code_scan(const CodeScan *s, const uint8_t *blocks, size_t count, float *est,
                              float *bound, CodeLeast *least);

/* What a bound allows for floats being rounded, 16 half steps of the greatest number that its
 * estimate is made of, and for squares that were too small for a float: below 2^-100 they lose
 * bits, so a root may be 0 that is nearly 2^-50. */
#define KERNELS_ROUNDED   0x1p-20f
#define KERNELS_LOST      0x1p-90f
#define KERNELS_ROOT_LOST 0x1p-49f

/* What all lanes of a block share. */
typedef struct KernelsBlock {
    float add_min, add_step, res_min, res_step;
    float reach; /* per |res|, what chance may add to an estimate or take away */
    float slack; /* what else may, in every lane */
    bool fits;   /* nothing that follows of a lane leaves the range of float */
} KernelsBlock;

/* How large <v, q> can be: what sums of entries are multiplied by and moved by. */
static inline float kernels_most_t(const CodeScan *s) {
    const uint32_t sum = 63 * (uint32_t)s->nibbles * ((1u << s->bits) - 1);
    return fabsf(s->delta) * (float)(int32_t)sum + fabsf(s->bias);
}

static inline KernelsBlock kernels_block(const CodeScan *s, float most_t, const uint8_t *block) {
    float head[5]; /* little-endian, as all hosts are */
    memcpy(head, block, sizeof head);
    KernelsBlock b = {head[0], head[1], head[2], head[3], 0, 0, false};
    const float error = head[4] * (s->root + KERNELS_ROOT_LOST);
    b.reach = s->epsilon * sqrtf(error * error + s->rounding * s->rounding); /* independent */

    const float most_add = (fabsf(b.add_min) + 65535 * fabsf(b.add_step)) + fabsf(s->base);
    const float most_res = fabsf(b.res_min) + 65535 * fabsf(b.res_step);
    const float most = most_add + most_res * most_t;
    const float half_steps = 0.5f * fabsf(b.add_step) + 0.5f * fabsf(b.res_step) * (most_t + b.reach);
    b.slack = (half_steps + most * KERNELS_ROUNDED) + KERNELS_LOST;
    b.fits = (most + most_res * b.reach) + b.slack <= 0x1p126f;
    return b;
}

/* Rule 3 of codes.h: the lanes that are unknown, or `all`. */
void kernels_unknown(const uint8_t *block, bool all, float *est, float *bound);
/* The least of a block's lanes. */
CodeLeast kernels_least(const float *est, const float *bound);

static inline size_t kernels_block_size(const CodeScan *s) {
    return CODE_BLOCK_PLANES + 16 * s->nibbles * s->bits;
}

#ifdef __has_builtin                       /* clang, gcc 10 */
#if __has_builtin(__builtin_shufflevector) /* clang, gcc 12; others have "scalar" */
#define KERNELS_HAVE_VECTORS 1
#endif
#endif

#ifdef KERNELS_HAVE_VECTORS

#if defined(__x86_64__) || defined(__SSE2__)
#define KERNELS_HAVE_X86 1
extern const Kernels kernels_sse2, kernels_ssse3, kernels_avx2, kernels_avx512;
#elif defined(__wasm_simd128__)
#define KERNELS_HAVE_WASM 1
extern const Kernels kernels_simd128;
#elif defined(__aarch64__) && defined(__ARM_NEON)
#define KERNELS_HAVE_NEON 1
extern const Kernels kernels_neon;
#endif

#define KERNELS_INLINE static inline __attribute__((always_inline))
#define KERNELS_UNROLL _Pragma("GCC unroll 32")

typedef float kernels_f4 __attribute__((vector_size(16)));
typedef float kernels_f8 __attribute__((vector_size(32)));
typedef float kernels_f16 __attribute__((vector_size(64)));

/* The same in memory, at any address. */
typedef float kernels_f4_at __attribute__((vector_size(16), aligned(1), may_alias));
typedef float kernels_f8_at __attribute__((vector_size(32), aligned(1), may_alias));
typedef float kernels_f16_at __attribute__((vector_size(64), aligned(1), may_alias));
typedef float kernels_f1_at __attribute__((aligned(1), may_alias));

/* The last two steps of the tree, on the four lanes left of one row. */
KERNELS_INLINE float kernels_sum1(const kernels_f4 *lanes) {
    const kernels_f4 v = *lanes;
    return (v[0] + v[2]) + (v[1] + v[3]);
}

/* The same for four rows at once: in half the instructions, as no lane is wasted. */
KERNELS_INLINE void kernels_sum4(const kernels_f4 *a, const kernels_f4 *b, const kernels_f4 *c,
                                 const kernels_f4 *d, float *out) {
    const kernels_f4 ab = __builtin_shufflevector(*a, *b, 0, 4, 1, 5) +
                          __builtin_shufflevector(*a, *b, 2, 6, 3, 7); /* a02 b02 a13 b13 */
    const kernels_f4 cd =
        __builtin_shufflevector(*c, *d, 0, 4, 1, 5) + __builtin_shufflevector(*c, *d, 2, 6, 3, 7);
    *(kernels_f4_at *)out =
        __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
}

/* For sets of four lanes: the first `count` > 0 floats, +0 behind them (rule 3)... */
KERNELS_INLINE void kernels_f4_part(kernels_f4 *to, const uint8_t *from, size_t count) {
    const kernels_f1_at *at = (const kernels_f1_at *)from;
    if (count >= 4)
        *to = *(const kernels_f4_at *)from;
    else
        *to = (kernels_f4){at[0], count > 1 ? at[1] : 0, count > 2 ? at[2] : 0, 0};
}

/* ...and the step of the tree from one vector to four lanes, which is no step. */
KERNELS_INLINE void kernels_f4_fold(const kernels_f4 *lanes, kernels_f4 *sum) { *sum = *lanes; }

/* Rule 1: what the elements x, y add. */
#define KERNELS_TERM_l2(sum, x, y)       (sum)[0] += ((x) - (y)) * ((x) - (y))
#define KERNELS_TERM_dot(sum, x, y)      (sum)[0] += (x) * (y)
#define KERNELS_TERM_dot_norm(sum, x, y) ((sum)[0] += (x) * (y), (sum)[1] += (y) * (y))

/* How far ahead of a row to ask for memory: about what arrives while the answer is on its way.
 * Measured on a Zen 3, 512 to 4096 bytes: 1024 gave the most, 15-30 % more than none within the
 * caches. Asking beyond the last row is harmless, and WebAssembly ignores it. */
#define KERNELS_PREFETCH_SIZE 1024
#define KERNELS_PREFETCH(at)                                                                       \
    __builtin_prefetch((const void *)((uintptr_t)(at) + KERNELS_PREFETCH_SIZE))

/* LLVM would otherwise rewrite the loop to index from one base, for which V8 computes an
 * address per load; measured 6-7 % in the kernels. */
#ifdef __wasm__
#define KERNELS_KEEP_POINTERS(q, p) __asm__("" : "+r"(q), "+r"(p))
#else
#define KERNELS_KEEP_POINTERS(q, p) ((void)0)
#endif

/* One operation of one set.
 *
 *   Vec   the set's vector of `width` floats; Vec_at the same in memory
 *   sums  results per row: 1, for dot_norm 2
 *   span  vectors of a row summed at a time: 32 / width / span passes over the row. So sums * span
 *         registers hold sums; more passes leave room for the rest where registers are few.
 *
 * kernels_SET_OP_pass: rules 1 to 3 for the lanes of `span` vectors, the first being `first`.
 * kernels_SET_OP_row: all lanes of a row, and rule 4 down to four.
 *
 * One row at a time: two would share the loads of the query, but reading two streams costs a
 * third of the bandwidth of memory (11.6 instead of 17.5 GB/s) and gains nothing in a cache. */
#define KERNELS_DEFINE_OP(set, target, Vec, width, op, sums, span)                                 \
    target KERNELS_INLINE void kernels_##set##_##op##_pass(                                        \
        const uint8_t *query, const uint8_t *row, size_t dimensions, size_t first,                 \
        Vec lane[32 / (width)][sums]) {                                                            \
        const size_t whole = dimensions / 32 * 32;                                                 \
        const uint8_t *q = query + 4 * first, *p = row + 4 * first;                                \
        Vec sum[span][sums];                                                                       \
        KERNELS_UNROLL for (size_t v = 0; v < (span); v++)                                         \
            KERNELS_UNROLL for (size_t s = 0; s < (sums); s++) sum[v][s] = (Vec){0};               \
        for (size_t i = 0; i < whole; i += 32, q += 128, p += 128) {                               \
            KERNELS_KEEP_POINTERS(q, p);                                                           \
            KERNELS_UNROLL for (size_t v = 0; v < (span); v++) {                                   \
                const Vec x = *(const Vec##_at *)(q + 4 * (width) * v);                            \
                const Vec y = *(const Vec##_at *)(p + 4 * (width) * v);                            \
                if (v % (16 / (width)) == 0) KERNELS_PREFETCH(p + 4 * (width) * v);                \
                KERNELS_TERM_##op(sum[v], x, y);                                                   \
            }                                                                                      \
        }                                                                                          \
        KERNELS_UNROLL for (size_t v = 0; v < (span); v++) {                                       \
            const size_t i = whole + first + (width) * v;                                          \
            if (i >= dimensions) break;                                                            \
            Vec x, y;                                                                              \
            kernels_##set##_part(&x, query + 4 * i, dimensions - i);                               \
            kernels_##set##_part(&y, row + 4 * i, dimensions - i);                                 \
            KERNELS_TERM_##op(sum[v], x, y);                                                       \
        }                                                                                          \
        KERNELS_UNROLL for (size_t v = 0; v < (span); v++)                                         \
            KERNELS_UNROLL for (size_t s = 0; s < (sums); s++) lane[first / (width) + v][s] =      \
                sum[v][s];                                                                         \
    }                                                                                              \
    target KERNELS_INLINE void kernels_##set##_##op##_row(const void *query, const void *row,      \
                                                          size_t dimensions, kernels_f4 *out) {    \
        Vec lane[32 / (width)][sums];                                                              \
        KERNELS_UNROLL for (size_t first = 0; first < 32; first += (span) * (width))               \
            kernels_##set##_##op##_pass(query, row, dimensions, first, lane);                      \
        KERNELS_UNROLL for (size_t s = 0; s < (sums); s++) {                                       \
            KERNELS_UNROLL for (size_t half = 16 / (width); half > 0; half /= 2)                   \
                KERNELS_UNROLL for (size_t v = 0; v < half; v++) lane[v][s] += lane[v + half][s];  \
            kernels_##set##_fold(&lane[0][s], &out[s]);                                            \
        }                                                                                          \
    }

/* The functions of one operation with one result per row. */
#define KERNELS_DEFINE_ONE_RESULT(set, target, op)                                                 \
    target static void kernels_##set##_##op##_many(const float *query, const void *rows,           \
                                                   size_t stride, size_t count, size_t dimensions, \
                                                   float *out) {                                   \
        const uint8_t *row = rows;                                                                 \
        kernels_f4 sum[4];                                                                         \
        size_t i = 0;                                                                              \
        for (; i < count; row += stride) {                                                         \
            kernels_##set##_##op##_row(query, row, dimensions, &sum[i % 4]);                       \
            if (++i % 4 == 0) kernels_sum4(&sum[0], &sum[1], &sum[2], &sum[3], out + i - 4);       \
        }                                                                                          \
        for (size_t j = i & ~(size_t)3; j < i; j++) out[j] = kernels_sum1(&sum[j % 4]);            \
    }                                                                                              \
    target static float kernels_##set##_##op(const float *a, const float *b, size_t dimensions) {  \
        float out;                                                                                 \
        kernels_##set##_##op##_many(a, b, 0, 1, dimensions, &out);                                 \
        return out;                                                                                \
    }

/* The same for dot_norm, with two. */
#define KERNELS_DEFINE_TWO_RESULTS(set, target, op)                                                \
    target static void kernels_##set##_##op##_many(const float *query, const void *rows,           \
                                                   size_t stride, size_t count, size_t dimensions, \
                                                   float *dots, float *norms) {                    \
        const uint8_t *row = rows;                                                                 \
        kernels_f4 sum[4][2];                                                                      \
        size_t i = 0;                                                                              \
        for (; i < count; row += stride) {                                                         \
            kernels_##set##_##op##_row(query, row, dimensions, sum[i % 4]);                        \
            if (++i % 4 != 0) continue;                                                            \
            kernels_sum4(&sum[0][0], &sum[1][0], &sum[2][0], &sum[3][0], dots + i - 4);            \
            kernels_sum4(&sum[0][1], &sum[1][1], &sum[2][1], &sum[3][1], norms + i - 4);           \
        }                                                                                          \
        for (size_t j = i & ~(size_t)3; j < i; j++) {                                              \
            dots[j] = kernels_sum1(&sum[j % 4][0]);                                                \
            norms[j] = kernels_sum1(&sum[j % 4][1]);                                               \
        }                                                                                          \
    }                                                                                              \
    target static void kernels_##set##_##op(const float *a, const float *b, size_t dimensions,     \
                                            float *dot, float *norm) {                             \
        kernels_##set##_##op##_many(a, b, 0, 1, dimensions, dot, norm);                            \
    }

/* ---- what codes need ----
 *
 * Integers of the widths of the floats above, and bytes and shorts of a register. */
typedef int32_t kernels_i4 __attribute__((vector_size(16)));
typedef uint32_t kernels_u4 __attribute__((vector_size(16)));
typedef int32_t kernels_i8 __attribute__((vector_size(32)));
typedef int32_t kernels_i16 __attribute__((vector_size(64)));
typedef uint8_t kernels_b16 __attribute__((vector_size(16)));
typedef uint8_t kernels_b32 __attribute__((vector_size(32)));
typedef uint8_t kernels_b64 __attribute__((vector_size(64)));
typedef uint16_t kernels_h4 __attribute__((vector_size(8)));
typedef uint16_t kernels_h8 __attribute__((vector_size(16)));
typedef uint16_t kernels_h16 __attribute__((vector_size(32)));
typedef uint16_t kernels_h32 __attribute__((vector_size(64)));

typedef int32_t kernels_i4_at __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint8_t kernels_b16_at __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint8_t kernels_b32_at __attribute__((vector_size(32), aligned(1), may_alias));
typedef uint8_t kernels_b64_at __attribute__((vector_size(64), aligned(1), may_alias));
typedef uint16_t kernels_h4_at __attribute__((vector_size(8), aligned(1), may_alias));
typedef uint16_t kernels_h8_at __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint16_t kernels_h16_at __attribute__((vector_size(32), aligned(1), may_alias));

/* The stages of a transform within one vector: with its neighbour, then 2, 4, 8 elements away.
 * a - b is computed as b * -1 + a, which is the same number. */
#define KERNELS_STAGE(v, Vec, signs, ...)                                                          \
    (*(v) = __builtin_shufflevector(*(v), *(v), __VA_ARGS__) + *(v) * (Vec)signs)
#define KERNELS_SIGNS(...) {__VA_ARGS__}

KERNELS_INLINE void kernels_f4_mix(kernels_f4 *v) {
    KERNELS_STAGE(v, kernels_f4, KERNELS_SIGNS(1, -1, 1, -1), 1, 0, 3, 2);
    KERNELS_STAGE(v, kernels_f4, KERNELS_SIGNS(1, 1, -1, -1), 2, 3, 0, 1);
}
#define KERNELS_MIX8(v)                                                                            \
    do {                                                                                           \
        KERNELS_STAGE(v, kernels_f8, KERNELS_SIGNS(1, -1, 1, -1, 1, -1, 1, -1), 1, 0, 3, 2, 5, 4,  \
                      7, 6);                                                                       \
        KERNELS_STAGE(v, kernels_f8, KERNELS_SIGNS(1, 1, -1, -1, 1, 1, -1, -1), 2, 3, 0, 1, 6, 7,  \
                      4, 5);                                                                       \
        KERNELS_STAGE(v, kernels_f8, KERNELS_SIGNS(1, 1, 1, 1, -1, -1, -1, -1), 4, 5, 6, 7, 0, 1,  \
                      2, 3);                                                                       \
    } while (0)
#define KERNELS_MIX16(v)                                                                           \
    do {                                                                                           \
        KERNELS_STAGE(v, kernels_f16,                                                              \
                      KERNELS_SIGNS(1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1), 1, 0, \
                      3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);                             \
        KERNELS_STAGE(v, kernels_f16,                                                              \
                      KERNELS_SIGNS(1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1), 2, 3, \
                      0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);                             \
        KERNELS_STAGE(v, kernels_f16,                                                              \
                      KERNELS_SIGNS(1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1), 4, 5, \
                      6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);                             \
        KERNELS_STAGE(v, kernels_f16,                                                              \
                      KERNELS_SIGNS(1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1), 8, 9, \
                      10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);                             \
    } while (0)

/* For sets of 16 bytes: one nibble in a register, and nothing to add. */
KERNELS_INLINE void kernels_h8_join(const kernels_h8 *shorts, kernels_h8 *sum) { *sum = *shorts; }
#define KERNELS_JOIN16(shorts, sum)                                                                \
    (*(sum) = __builtin_shufflevector(*(shorts), *(shorts), 0, 1, 2, 3, 4, 5, 6, 7) +              \
              __builtin_shufflevector(*(shorts), *(shorts), 8, 9, 10, 11, 12, 13, 14, 15))
#define KERNELS_JOIN32(shorts, sum)                                                                \
    do {                                                                                           \
        const kernels_h16 half =                                                                   \
            __builtin_shufflevector(*(shorts), *(shorts), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,    \
                                    12, 13, 14, 15) +                                              \
            __builtin_shufflevector(*(shorts), *(shorts), 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,  \
                                    26, 27, 28, 29, 30, 31);                                       \
        KERNELS_JOIN16(&half, sum);                                                                \
    } while (0)

/* Two stages of the transform at a time, as each reads and writes all of y. */
#define KERNELS_DEFINE_HADAMARD(set, target, width)                                                \
    target static void kernels_##set##_hadamard(float *y, const float *signs, size_t count) {      \
        for (size_t i = 0; i < count; i += (width)) {                                              \
            kernels_f##width v = *(kernels_f##width##_at *)(y + i) *                               \
                                 *(const kernels_f##width##_at *)(signs + i);                      \
            kernels_##set##_mix(&v);                                                               \
            *(kernels_f##width##_at *)(y + i) = v;                                                 \
        }                                                                                          \
        size_t h = (width);                                                                        \
        for (; 4 * h <= count; h *= 4)                                                             \
            for (size_t from = 0; from < count; from += 4 * h)                                     \
                for (size_t i = from; i < from + h; i += (width)) {                                \
                    kernels_f##width##_at *at[4];                                                  \
                    KERNELS_UNROLL for (size_t j = 0; j < 4; j++) at[j] = (void *)(y + i + j * h); \
                    const kernels_f##width a = *at[0], b = *at[1], c = *at[2], d = *at[3];         \
                    const kernels_f##width ab = a + b, cd = c + d, a_b = a - b, c_d = c - d;       \
                    *at[0] = ab + cd, *at[1] = a_b + c_d, *at[2] = ab - cd, *at[3] = a_b - c_d;    \
                }                                                                                  \
        if (2 * h <= count)                                                                        \
            for (size_t i = 0; i < h; i += (width)) {                                              \
                kernels_f##width##_at *at = (void *)(y + i), *bt = (void *)(y + i + h);            \
                const kernels_f##width a = *at, b = *bt;                                           \
                *at = a + b, *bt = a - b;                                                          \
            }                                                                                      \
    }

/* 16 elements at a time, which is a vector of bytes. */
#define KERNELS_DEFINE_QUANTISE(set, target)                                                       \
    target static void kernels_##set##_quantise(const float *r, size_t count, float inverse,       \
                                                uint32_t bits, uint8_t *u, float *v) {             \
        const kernels_f4 zero = {0}, half = zero + (float)(1u << (bits - 1));                      \
        const kernels_f4 most = zero + (float)((1u << bits) - 1), middle = most * 0.5f;            \
        for (size_t i = 0; i < count; i += 16) {                                                   \
            kernels_i4 whole[4];                                                                   \
            KERNELS_UNROLL for (size_t j = 0; j < 4; j++) {                                        \
                kernels_f4 x = *(const kernels_f4_at *)(r + i + 4 * j) * inverse + half;           \
                x = (kernels_f4)((kernels_i4)x & (x > zero));                                      \
                const kernels_i4 below = x < most;                                                 \
                x = (kernels_f4)((below & (kernels_i4)x) | (~below & (kernels_i4)most));           \
                whole[j] = __builtin_convertvector(x, kernels_i4);                                 \
                *(kernels_f4_at *)(v + i + 4 * j) =                                                \
                    __builtin_convertvector(whole[j], kernels_f4) - middle;                        \
            }                                                                                      \
            kernels_##set##_narrow(whole, u + i);                                                  \
        }                                                                                          \
    }

/* The bits of 0 ... 15, four numbers to a vector. */
#define KERNELS_BITS_0 {0, 1, 0, 1}
#define KERNELS_BITS_1 {0, 0, 1, 1}

#define KERNELS_DEFINE_TABLE(set, target)                                                          \
    target static uint32_t kernels_##set##_code_table(const float *y, size_t nibbles, float scale, \
                                                      uint8_t *lut) {                              \
        const kernels_f4 bits0 = KERNELS_BITS_0, bits1 = KERNELS_BITS_1;                           \
        kernels_i4 sum = {0};                                                                      \
        for (size_t m = 0; m < nibbles; m++, y += 4, lut += 16) {                                  \
            kernels_i4 whole[4];                                                                   \
            float negative[4];                                                                     \
            KERNELS_UNROLL for (size_t j = 0; j < 4; j++) negative[j] = y[j] < 0 ? y[j] : 0;       \
            const float n = ((negative[0] + negative[1]) + negative[2]) + negative[3];             \
            const kernels_f4 first = bits0 * y[0] + bits1 * y[1];                                  \
            KERNELS_UNROLL for (size_t j = 0; j < 4; j++) {                                        \
                const kernels_f4 third = j & 1 ? first + y[2] : first;                             \
                const kernels_f4 t = j & 2 ? third + y[3] : third;                                 \
                whole[j] = __builtin_convertvector((t - n) * scale + 0.5f, kernels_i4);            \
                sum += whole[j];                                                                   \
            }                                                                                      \
            kernels_##set##_narrow(whole, lut);                                                    \
        }                                                                                          \
        return (uint32_t)(sum[0] + sum[1] + sum[2] + sum[3]);                                      \
    }

/* Sums of a plane, or of a part of at most 1024 nibbles: four entries of at most 63 fit a byte,
 * 256 such bytes a short. `even` gathers pairs of bytes as shorts: what the upper bytes bring into
 * it (it may wrap) is `odd`, shifted, and is taken off at the end. A register holds `bytes` / 16
 * nibbles, which are added last. */
#define KERNELS_DEFINE_SUMS(set, target, bytes, shorts)                                            \
    target KERNELS_INLINE void kernels_##set##_zip(                                                \
        const kernels_h##shorts *even, const kernels_h##shorts *odd, uint16_t *sums) {             \
        kernels_h8 e, o;                                                                           \
        kernels_##set##_join(even, &e);                                                            \
        kernels_##set##_join(odd, &o);                                                             \
        e -= o << 8;                                                                               \
        *(kernels_h8_at *)sums = __builtin_shufflevector(e, o, 0, 8, 1, 9, 2, 10, 3, 11);          \
        *(kernels_h8_at *)(sums + 8) = __builtin_shufflevector(e, o, 4, 12, 5, 13, 6, 14, 7, 15);  \
    }                                                                                              \
    target KERNELS_INLINE void kernels_##set##_code_sums(                                          \
        const uint8_t *lut, const uint8_t *codes, size_t nibbles, uint16_t *sums) {                \
        kernels_h##shorts even[2] = {{0}, {0}}, odd[2] = {{0}, {0}};                               \
        for (size_t m = 0; m < nibbles; m += (bytes) / 4, lut += 4 * (bytes),                      \
                    codes += 4 * (bytes)) {                                                        \
            KERNELS_KEEP_POINTERS(lut, codes);                                                     \
            kernels_b##bytes found[2] = {{0}, {0}};                                                \
            KERNELS_UNROLL for (size_t v = 0; v < 4; v++) {                                        \
                const kernels_b##bytes table = *(const kernels_b##bytes##_at *)(lut + (bytes) * v); \
                const kernels_b##bytes both = *(const kernels_b##bytes##_at *)(codes + (bytes) * v); \
                const kernels_b##bytes low = both & 15;                                            \
                const kernels_b##bytes high =                                                      \
                    (kernels_b##bytes)((kernels_h##shorts)both >> 4) & 15;                         \
                kernels_b##bytes entry[2];                                                         \
                kernels_##set##_look_up(&table, &low, &entry[0]);                                  \
                kernels_##set##_look_up(&table, &high, &entry[1]);                                 \
                found[0] += entry[0], found[1] += entry[1];                                        \
            }                                                                                      \
            KERNELS_UNROLL for (size_t i = 0; i < 2; i++) {                                        \
                even[i] += (kernels_h##shorts)found[i];                                            \
                odd[i] += (kernels_h##shorts)found[i] >> 8;                                        \
            }                                                                                      \
        }                                                                                          \
        kernels_##set##_zip(&even[0], &odd[0], sums);                                              \
        kernels_##set##_zip(&even[1], &odd[1], sums + 16);                                         \
    }

enum { KERNELS_SPAN = 1024 }; /* nibbles whose entries add up within 16 bits */

/* Whether any bit is set in `size` bytes, 8 or a multiple of it. */
KERNELS_INLINE bool kernels_any(const void *bits, size_t size) {
    uint64_t words[4] = {0};
    memcpy(words, bits, size);
    return (words[0] | words[1] | words[2] | words[3]) != 0;
}

/* The lesser of each two floats that are numbers. */
#define KERNELS_LESS(Vec, Int, a, b)                                                               \
    ((Vec)(((Int)(a) & (Int)((a) < (b))) | ((Int)(b) & ~(Int)((a) < (b)))))

/* A block: the sums of its planes, the most significant first, and what follows for each lane. */
#define KERNELS_DEFINE_SCAN(set, target, width)                                                    \
    target KERNELS_INLINE void kernels_##set##_code_planes(                                        \
        const CodeScan *s, const uint8_t *codes, kernels_i##width total[32 / (width)]) {           \
        uint16_t sums[CODE_LANES];                                                                 \
        KERNELS_UNROLL for (size_t v = 0; v < 32 / (width); v++) total[v] = (kernels_i##width){0}; \
        for (uint32_t plane = 0; plane < s->bits; plane++) {                                       \
            KERNELS_UNROLL for (size_t v = 0; v < 32 / (width); v++) total[v] += total[v];         \
            for (size_t m = 0, span; m < s->nibbles; m += span, codes += 16 * span) {              \
                span = s->nibbles - m < KERNELS_SPAN ? s->nibbles - m : KERNELS_SPAN;              \
                kernels_##set##_code_sums(s->lut + 16 * m, codes, span, sums);                     \
                KERNELS_UNROLL for (size_t v = 0; v < 32 / (width); v++) total[v] +=               \
                    __builtin_convertvector(*(kernels_h##width##_at *)(sums + (width) * v),        \
                                            kernels_i##width);                                     \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
    target static void kernels_##set##_code_scan(const CodeScan *s, const uint8_t *blocks,         \
                                                 size_t count, float *est, float *bound,           \
                                                 CodeLeast *least) {                               \
        typedef kernels_f##width Vec;                                                              \
        typedef kernels_i##width Int;                                                              \
        const size_t size = kernels_block_size(s);                                                 \
        const float delta = s->delta, bias = s->bias, base = s->base;                              \
        const float most_t = kernels_most_t(s);                                                    \
        for (size_t b = 0; b < count; b++, blocks += size) {                                       \
            const KernelsBlock k = kernels_block(s, most_t, blocks);                               \
            kernels_h##width unknown = {0};                                                        \
            Int total[32 / (width)];                                                               \
            Vec low[2];                                                                            \
            float lows[2][width];                                                                  \
            kernels_##set##_code_planes(s, blocks + CODE_BLOCK_PLANES, total);                     \
            KERNELS_UNROLL for (size_t v = 0; v < 32 / (width); v++) {                             \
                const uint8_t *at = blocks + 2 * (width) * v;                                      \
                const kernels_h##width a = *(const kernels_h##width##_at *)(at + CODE_BLOCK_ADD);  \
                const kernels_h##width r = *(const kernels_h##width##_at *)(at + CODE_BLOCK_RES);  \
                const Vec a_steps = __builtin_convertvector(__builtin_convertvector(a, Int), Vec); \
                const Vec r_steps = __builtin_convertvector(__builtin_convertvector(r, Int), Vec); \
                const Vec t = __builtin_convertvector(total[v], Vec) * delta - bias;               \
                const Vec add = a_steps * k.add_step + k.add_min;                                  \
                const Vec res = r_steps * k.res_step + k.res_min;                                  \
                const Vec e = (add + base) + res * t;                                              \
                const Vec magnitude = (Vec)((Int)res & 0x7fffffff);                                \
                unknown |= (kernels_h##width)(a == CODE_ADD_UNKNOWN);                              \
                const Vec limit = e - (magnitude * k.reach + k.slack);                             \
                *(kernels_f##width##_at *)(est + (width) * v) = e;                                 \
                *(kernels_f##width##_at *)(bound + (width) * v) = limit;                           \
                low[0] = v == 0 ? e : KERNELS_LESS(Vec, Int, e, low[0]);                           \
                low[1] = v == 0 ? limit : KERNELS_LESS(Vec, Int, limit, low[1]);                   \
            }                                                                                      \
            memcpy(lows, low, sizeof lows);                                                        \
            least[b] = (CodeLeast){lows[0][0], lows[1][0]};                                        \
            KERNELS_UNROLL for (size_t i = 1; i < (width); i++) {                                  \
                least[b].est = lows[0][i] < least[b].est ? lows[0][i] : least[b].est;              \
                least[b].bound = lows[1][i] < least[b].bound ? lows[1][i] : least[b].bound;        \
            }                                                                                      \
            if (!k.fits || kernels_any(&unknown, sizeof unknown)) {                                \
                kernels_unknown(blocks, !k.fits, est, bound);                                      \
                least[b] = kernels_least(est, bound);                                              \
            }                                                                                      \
            est += CODE_LANES, bound += CODE_LANES;                                                \
        }                                                                                          \
    }

/* A whole set, as `const Kernels kernels_SET`. It needs what instruction sets really differ in:
 *
 *   kernels_SET_part     the first floats of a row that is not whole
 *   kernels_SET_fold     one vector of floats to four lanes
 *   kernels_SET_mix      the stages of a transform within a vector
 *   kernels_SET_narrow   16 integers of 0 to 255 to bytes
 *   kernels_SET_look_up  out[i] = table[16 * (i / 16) + index[i]] for each byte, index < 16
 *   kernels_SET_join     a register of shorts to eight, adding those that stand 8 apart
 *
 * span is for l2 and dot, span2 for dot_norm; bytes are those of a register, shorts half of it. */
#define KERNELS_DEFINE(set, target, width, span, span2, bytes, shorts)                             \
    KERNELS_DEFINE_FLOATS(set, target, kernels_f##width, width, span, span2)                       \
    KERNELS_DEFINE_SUMS(set, target, bytes, shorts)                                                \
    KERNELS_DEFINE_SCAN(set, target, width)                                                        \
    const Kernels kernels_##set = KERNELS_TABLE(set, set, #set);

/* All but the scan. */
#define KERNELS_DEFINE_FLOATS(set, target, Vec, width, span, span2)                                \
    KERNELS_DEFINE_OP(set, target, Vec, width, l2, 1, span)                                        \
    KERNELS_DEFINE_OP(set, target, Vec, width, dot, 1, span)                                       \
    KERNELS_DEFINE_OP(set, target, Vec, width, dot_norm, 2, span2)                                 \
    KERNELS_DEFINE_ONE_RESULT(set, target, l2)                                                     \
    KERNELS_DEFINE_ONE_RESULT(set, target, dot)                                                    \
    KERNELS_DEFINE_TWO_RESULTS(set, target, dot_norm)                                              \
    KERNELS_DEFINE_HADAMARD(set, target, width)                                                    \
    KERNELS_DEFINE_QUANTISE(set, target)                                                           \
    KERNELS_DEFINE_TABLE(set, target)

/* `scans`: the set whose scan it takes. */
#define KERNELS_TABLE(set, scans, set_name)                                                        \
    {                                                                                              \
        .name = set_name,                                                                          \
        .l2 = kernels_##set##_l2,                                                                  \
        .dot = kernels_##set##_dot,                                                                \
        .dot_norm = kernels_##set##_dot_norm,                                                      \
        .l2_many = kernels_##set##_l2_many,                                                        \
        .dot_many = kernels_##set##_dot_many,                                                      \
        .dot_norm_many = kernels_##set##_dot_norm_many,                                            \
        .hadamard = kernels_##set##_hadamard,                                                      \
        .quantise = kernels_##set##_quantise,                                                      \
        .code_table = kernels_##set##_code_table,                                                  \
        .code_scan = kernels_##scans##_code_scan,                                                  \
    }

#endif /* KERNELS_HAVE_VECTORS */
#endif
