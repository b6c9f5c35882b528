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

#include "vector/kernels.h"

#include <float.h>
#include <stdint.h>

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

#ifdef __has_builtin                       /* clang, gcc 10 */
#if __has_builtin(__builtin_shufflevector) /* clang, gcc 12; others have "scalar" */
#define KERNELS_HAVE_VECTORS 1
#endif
#endif

#ifdef KERNELS_HAVE_VECTORS

#if defined(__x86_64__) || defined(__SSE2__)
#define KERNELS_HAVE_X86 1
extern const Kernels kernels_sse2, kernels_avx2, kernels_avx512;
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
    target static float kernels_##set##_##op(const float *a, const float *b, size_t dimensions) {  \
        kernels_f4 sum;                                                                            \
        kernels_##set##_##op##_row(a, b, dimensions, &sum);                                        \
        return kernels_sum1(&sum);                                                                 \
    }                                                                                              \
    target static void kernels_##set##_##op##_many(const float *query, const void *rows,           \
                                                   size_t stride, size_t count, size_t dimensions, \
                                                   float *out) {                                   \
        const uint8_t *row = rows;                                                                 \
        kernels_f4 sum[4];                                                                         \
        size_t i = 0;                                                                              \
        for (; count - i >= 4; i += 4) {                                                           \
            for (size_t r = 0; r < 4; r++, row += stride)                                          \
                kernels_##set##_##op##_row(query, row, dimensions, &sum[r]);                       \
            kernels_sum4(&sum[0], &sum[1], &sum[2], &sum[3], out + i);                             \
        }                                                                                          \
        for (; i < count; i++, row += stride) {                                                    \
            kernels_##set##_##op##_row(query, row, dimensions, sum);                               \
            out[i] = kernels_sum1(sum);                                                            \
        }                                                                                          \
    }

/* The same for dot_norm, with two. */
#define KERNELS_DEFINE_TWO_RESULTS(set, target, op)                                                \
    target static void kernels_##set##_##op(const float *a, const float *b, size_t dimensions,     \
                                            float *dot, float *norm) {                             \
        kernels_f4 sum[2];                                                                         \
        kernels_##set##_##op##_row(a, b, dimensions, sum);                                         \
        *dot = kernels_sum1(&sum[0]);                                                              \
        *norm = kernels_sum1(&sum[1]);                                                             \
    }                                                                                              \
    target static void kernels_##set##_##op##_many(const float *query, const void *rows,           \
                                                   size_t stride, size_t count, size_t dimensions, \
                                                   float *dots, float *norms) {                    \
        const uint8_t *row = rows;                                                                 \
        kernels_f4 sum[4][2];                                                                      \
        size_t i = 0;                                                                              \
        for (; count - i >= 4; i += 4) {                                                           \
            for (size_t r = 0; r < 4; r++, row += stride)                                          \
                kernels_##set##_##op##_row(query, row, dimensions, sum[r]);                        \
            kernels_sum4(&sum[0][0], &sum[1][0], &sum[2][0], &sum[3][0], dots + i);                \
            kernels_sum4(&sum[0][1], &sum[1][1], &sum[2][1], &sum[3][1], norms + i);               \
        }                                                                                          \
        for (; i < count; i++, row += stride) {                                                    \
            kernels_##set##_##op##_row(query, row, dimensions, sum[0]);                            \
            dots[i] = kernels_sum1(&sum[0][0]);                                                    \
            norms[i] = kernels_sum1(&sum[0][1]);                                                   \
        }                                                                                          \
    }

/* A whole set, as `const Kernels kernels_SET`. It needs kernels_SET_part and kernels_SET_fold,
 * which are what instruction sets really differ in. span is for l2 and dot, span2 for dot_norm. */
#define KERNELS_DEFINE(set, target, Vec, width, span, span2)                                       \
    KERNELS_DEFINE_OP(set, target, Vec, width, l2, 1, span)                                        \
    KERNELS_DEFINE_OP(set, target, Vec, width, dot, 1, span)                                       \
    KERNELS_DEFINE_OP(set, target, Vec, width, dot_norm, 2, span2)                                 \
    KERNELS_DEFINE_ONE_RESULT(set, target, l2)                                                     \
    KERNELS_DEFINE_ONE_RESULT(set, target, dot)                                                    \
    KERNELS_DEFINE_TWO_RESULTS(set, target, dot_norm)                                              \
    const Kernels kernels_##set = {                                                                \
        .name = #set,                                                                              \
        .l2 = kernels_##set##_l2,                                                                  \
        .dot = kernels_##set##_dot,                                                                \
        .dot_norm = kernels_##set##_dot_norm,                                                      \
        .l2_many = kernels_##set##_l2_many,                                                        \
        .dot_many = kernels_##set##_dot_many,                                                      \
        .dot_norm_many = kernels_##set##_dot_norm_many,                                            \
    };

#endif /* KERNELS_HAVE_VECTORS */
#endif
