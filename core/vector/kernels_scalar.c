/* kernels_scalar.c - kernels.h in plain C: the definition to hold the others against, and the
 * fallback. The loops over 32 lanes are such that a compiler may make vectors of them without
 * changing a bit. It reads through memcpy, as rows may lie at any address. */
#include "vector/kernels_body.h"

#include <string.h>

enum { KERNELS_LANES = 32 };

typedef struct KernelsGroup {
    float lane[KERNELS_LANES];
} KernelsGroup;

/* Rule 3: up to 32 floats, +0 for what is missing. */
static void kernels_scalar_read(KernelsGroup *group, const uint8_t *from, size_t floats) {
    if (floats < KERNELS_LANES) memset(group, 0, sizeof *group);
    memcpy(group->lane, from, 4 * (floats < KERNELS_LANES ? floats : KERNELS_LANES));
}

/* Rule 4. */
static float kernels_scalar_sum(KernelsGroup *sum) {
    for (size_t half = KERNELS_LANES / 2; half > 0; half /= 2)
        for (size_t i = 0; i < half; i++) sum->lane[i] += sum->lane[i + half];
    return sum->lane[0];
}

static float kernels_scalar_l2(const float *a, const float *b, size_t dimensions) {
    const uint8_t *at = (const void *)a, *bt = (const void *)b;
    KernelsGroup x, y, sum = {{0}};
    for (size_t i = 0; i < dimensions; i += KERNELS_LANES) {
        kernels_scalar_read(&x, at + 4 * i, dimensions - i);
        kernels_scalar_read(&y, bt + 4 * i, dimensions - i);
        for (size_t j = 0; j < KERNELS_LANES; j++) {
            const float difference = x.lane[j] - y.lane[j];
            const float square = difference * difference;
            sum.lane[j] += square;
        }
    }
    return kernels_scalar_sum(&sum);
}

static float kernels_scalar_dot(const float *a, const float *b, size_t dimensions) {
    const uint8_t *at = (const void *)a, *bt = (const void *)b;
    KernelsGroup x, y, sum = {{0}};
    for (size_t i = 0; i < dimensions; i += KERNELS_LANES) {
        kernels_scalar_read(&x, at + 4 * i, dimensions - i);
        kernels_scalar_read(&y, bt + 4 * i, dimensions - i);
        for (size_t j = 0; j < KERNELS_LANES; j++) {
            const float product = x.lane[j] * y.lane[j];
            sum.lane[j] += product;
        }
    }
    return kernels_scalar_sum(&sum);
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
