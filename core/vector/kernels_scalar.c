/* kernels_scalar.c - kernels.h in plain C: the definition to hold the others against, and the
 * fallback. Eight lanes at a time, a column of the vectors: their sums fit the registers of any
 * processor, and a compiler may make vectors of them without changing a bit. It reads through
 * memcpy, as rows may lie at any address. */
#include "vector/kernels_body.h"

#include "base/codec.h"

#include <math.h>
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

static void kernels_scalar_hadamard(float *y, const float *signs, size_t count) {
    for (size_t i = 0; i < count; i++) y[i] *= signs[i];
    for (size_t distance = 1; distance < count; distance *= 2)
        for (size_t from = 0; from < count; from += 2 * distance)
            for (size_t i = from; i < from + distance; i++) {
                const float a = y[i], b = y[i + distance];
                y[i] = a + b;
                y[i + distance] = a - b;
            }
}

static void kernels_scalar_quantise(const float *r, size_t count, float inverse, uint32_t bits,
                                    uint8_t *u, float *v) {
    const float half = (float)(1u << (bits - 1)), most = (float)((1u << bits) - 1);
    for (size_t i = 0; i < count; i++) {
        const float scaled = r[i] * inverse;
        float x = scaled + half;
        x = x > 0 ? x : 0; /* also for NaN: what is converted is in range */
        x = x < most ? x : most;
        u[i] = (uint8_t)x;
        v[i] = (float)u[i] - 0.5f * most;
    }
}

static uint32_t kernels_scalar_code_table(const float *y, size_t nibbles, float scale,
                                          uint8_t *lut) {
    uint32_t sum = 0;
    for (size_t m = 0; m < nibbles; m++, y += 4, lut += 16) {
        float negative[4];
        for (size_t j = 0; j < 4; j++) negative[j] = y[j] < 0 ? y[j] : 0;
        const float n = ((negative[0] + negative[1]) + negative[2]) + negative[3];
        for (size_t k = 0; k < 16; k++) {
            float t = k & 1 ? y[0] : 0;
            t += k & 2 ? y[1] : 0;
            t += k & 4 ? y[2] : 0;
            t += k & 8 ? y[3] : 0;
            t = (t - n) * scale;
            lut[k] = (uint8_t)(t + 0.5f);
            sum += lut[k];
        }
    }
    return sum;
}

/* What a block's planes add up to, per lane. The most significant plane comes first. */
static void kernels_scalar_code_sums(const CodeScan *s, const uint8_t *codes,
                                     uint32_t sums[CODE_LANES]) {
    memset(sums, 0, CODE_LANES * sizeof *sums);
    for (uint32_t plane = 0; plane < s->bits; plane++) {
        for (size_t i = 0; i < CODE_LANES; i++) sums[i] *= 2;
        for (size_t m = 0; m < s->nibbles; m++, codes += 16)
            for (size_t i = 0; i < 16; i++) {
                sums[i] += s->lut[16 * m + (codes[i] & 15)];
                sums[16 + i] += s->lut[16 * m + (codes[i] >> 4)];
            }
    }
}

void kernels_unknown(const uint8_t *block, bool all, float *est, float *bound) {
    for (size_t i = 0; i < CODE_LANES; i++)
        if (all || get_u16(block + CODE_BLOCK_ADD + 2 * i) == CODE_ADD_UNKNOWN)
            est[i] = INFINITY, bound[i] = -INFINITY;
}

CodeLeast kernels_least(const float *est, const float *bound) {
    CodeLeast least = {est[0], bound[0]};
    for (size_t i = 1; i < CODE_LANES; i++) {
        least.est = est[i] < least.est ? est[i] : least.est;
        least.bound = bound[i] < least.bound ? bound[i] : least.bound;
    }
    return least;
}

void kernels_scalar_code_scan(const CodeScan *s, const uint8_t *blocks, size_t count, float *est,
                              float *bound, CodeLeast *least) {
    const size_t size = kernels_block_size(s);
    const float most_t = kernels_most_t(s);
    for (size_t b = 0; b < count; b++, blocks += size, est += CODE_LANES, bound += CODE_LANES) {
        const KernelsBlock k = kernels_block(s, most_t, blocks);
        uint32_t sums[CODE_LANES];
        kernels_scalar_code_sums(s, blocks + CODE_BLOCK_PLANES, sums);
        for (size_t i = 0; i < CODE_LANES; i++) {
            const float a_steps = k.add_step * (float)get_u16(blocks + CODE_BLOCK_ADD + 2 * i);
            const float r_steps = k.res_step * (float)get_u16(blocks + CODE_BLOCK_RES + 2 * i);
            const float scaled = s->delta * (float)(int32_t)sums[i], t = scaled - s->bias;
            const float add = k.add_min + a_steps, res = k.res_min + r_steps;
            const float product = res * t, here = add + s->base, spread = fabsf(res) * k.reach;
            est[i] = here + product;
            bound[i] = est[i] - (spread + k.slack);
        }
        kernels_unknown(blocks, !k.fits, est, bound);
        least[b] = kernels_least(est, bound);
    }
}

const Kernels kernels_scalar = {
    .name = "scalar",
    .l2 = kernels_scalar_l2,
    .dot = kernels_scalar_dot,
    .dot_norm = kernels_scalar_dot_norm,
    .l2_many = kernels_scalar_l2_many,
    .dot_many = kernels_scalar_dot_many,
    .dot_norm_many = kernels_scalar_dot_norm_many,
    .hadamard = kernels_scalar_hadamard,
    .quantise = kernels_scalar_quantise,
    .code_table = kernels_scalar_code_table,
    .code_scan = kernels_scalar_code_scan,
};
