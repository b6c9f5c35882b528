/* kernels_scalar.c - kernels.h in plain C: the definition to hold the others against, and the
 * fallback. Eight lanes at a time, a column of the vectors: their sums fit the registers of any
 * processor, and a compiler may make vectors of them without changing a bit. It reads through
 * memcpy, as rows may lie at any address. */
#include "vector/kernels_body.h"

#include <string.h>

enum { KERNELS_LANES = 32, KERNELS_COLUMN = 8 };

static float kernels_scalar_float(const uint8_t *from, size_t index) {
    float value;
    memcpy(&value, from + 4 * index, 4);
    return value;
}

/* Rule 4. */
static float kernels_scalar_sum(float lane[KERNELS_LANES]) {
    for (size_t half = KERNELS_LANES / 2; half > 0; half /= 2)
        for (size_t i = 0; i < half; i++) lane[i] += lane[i + half];
    return lane[0];
}

/* Rule 3 needs no zeros here: what is missing is not added, and adding +0 changes no lane, as no
 * lane is -0. */
static float kernels_scalar_l2(const float *a, const float *b, size_t dimensions) {
    const uint8_t *at = (const void *)a, *bt = (const void *)b;
    float lane[KERNELS_LANES];
    for (size_t column = 0; column < KERNELS_LANES; column += KERNELS_COLUMN) {
        float sum[KERNELS_COLUMN] = {0};
        size_t i = column;
        for (; i + KERNELS_COLUMN <= dimensions; i += KERNELS_LANES)
            for (size_t j = 0; j < KERNELS_COLUMN; j++) {
                const float difference =
                    kernels_scalar_float(at, i + j) - kernels_scalar_float(bt, i + j);
                const float square = difference * difference;
                sum[j] += square;
            }
        for (size_t j = 0; i + j < dimensions && j < KERNELS_COLUMN; j++) {
            const float difference =
                kernels_scalar_float(at, i + j) - kernels_scalar_float(bt, i + j);
            const float square = difference * difference;
            sum[j] += square;
        }
        memcpy(lane + column, sum, sizeof sum);
    }
    return kernels_scalar_sum(lane);
}

static float kernels_scalar_dot(const float *a, const float *b, size_t dimensions) {
    const uint8_t *at = (const void *)a, *bt = (const void *)b;
    float lane[KERNELS_LANES];
    for (size_t column = 0; column < KERNELS_LANES; column += KERNELS_COLUMN) {
        float sum[KERNELS_COLUMN] = {0};
        size_t i = column;
        for (; i + KERNELS_COLUMN <= dimensions; i += KERNELS_LANES)
            for (size_t j = 0; j < KERNELS_COLUMN; j++) {
                const float product =
                    kernels_scalar_float(at, i + j) * kernels_scalar_float(bt, i + j);
                sum[j] += product;
            }
        for (size_t j = 0; i + j < dimensions && j < KERNELS_COLUMN; j++) {
            const float product = kernels_scalar_float(at, i + j) * kernels_scalar_float(bt, i + j);
            sum[j] += product;
        }
        memcpy(lane + column, sum, sizeof sum);
    }
    return kernels_scalar_sum(lane);
}

/* Two passes: b is in the nearest cache for the second. */
static void kernels_scalar_dot_norm(const float *a, const float *b, size_t dimensions, float *dot,
                                    float *norm) {
    *dot = kernels_scalar_dot(a, b, dimensions);
    *norm = kernels_scalar_dot(b, b, dimensions);
}

static void kernels_scalar_l2_many(const float *query, const void *rows, size_t stride,
                                   size_t count, size_t dimensions, float *out) {
    const uint8_t *row = rows;
    for (size_t i = 0; i < count; i++, row += stride)
        out[i] = kernels_scalar_l2(query, (const void *)row, dimensions);
}

static void kernels_scalar_dot_many(const float *query, const void *rows, size_t stride,
                                    size_t count, size_t dimensions, float *out) {
    const uint8_t *row = rows;
    for (size_t i = 0; i < count; i++, row += stride)
        out[i] = kernels_scalar_dot(query, (const void *)row, dimensions);
}

static void kernels_scalar_dot_norm_many(const float *query, const void *rows, size_t stride,
                                         size_t count, size_t dimensions, float *dots,
                                         float *norms) {
    const uint8_t *row = rows;
    for (size_t i = 0; i < count; i++, row += stride)
        kernels_scalar_dot_norm(query, (const void *)row, dimensions, &dots[i], &norms[i]);
}

const Kernels kernels_scalar = {
    .name = "scalar",
    .l2 = kernels_scalar_l2,
    .dot = kernels_scalar_dot,
    .dot_norm = kernels_scalar_dot_norm,
    .l2_many = kernels_scalar_l2_many,
    .dot_many = kernels_scalar_dot_many,
    .dot_norm_many = kernels_scalar_dot_norm_many,
};
