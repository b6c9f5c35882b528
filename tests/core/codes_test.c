/* codes_test.c - the laws of vector/codes.h, rotation.h and of the kernels behind them. What
 * chance decides is shown on real vectors, which have what random ones lack: means, clusters,
 * dimensions that are mostly 0, near duplicates. */
#include "lib/check.h"
#include "lib/real_vectors.h"

#include "host/env.h"
#include "vector/codes.h"
#include "vector/kernels_body.h"

#include <math.h>
#include <string.h>

enum {
    PADDED_MAX = 832,
    ROWS_MAX = 400,
    BLOCK_MAX = CODE_BLOCK_PLANES + 4 * PADDED_MAX * CODE_BITS_MAX,
    QUERIES = 40, /* the last of the rows of a set */
    BLOCKS_MAX = (ROWS_MAX + CODE_LANES - 1) / CODE_LANES,
};
#define EPSILON 1.9f

static Env env;

static Rotation *rotation_of(uint32_t dimensions, uint64_t seed) {
    Rotation *rotation = NULL;
    env_init(&env, NULL, NULL, 64 << 20);
    CHECK(rotation_create(&env, dimensions, seed, &rotation) == NACRE_OK);
    return rotation;
}

/* ---- real rows, coded ---- */

typedef struct Real {
    const char *name;
    const uint8_t *bytes;
    bool is_signed;
    uint32_t count, dimensions;
} Real;
static const Real reals[] = {
    {"packages", real_packages, true, REAL_PACKAGES, REAL_PACKAGES_DIMENSIONS},
    {"sift", real_sift, false, REAL_SIFT, REAL_SIFT_DIMENSIONS},
    {"digits", real_digits, false, REAL_DIGITS, REAL_DIGITS_DIMENSIONS},
};
enum { REALS = sizeof reals / sizeof *reals };

/* A set in its frame. Rows are blocks of 32, the last `QUERIES` ask. */
static struct {
    CodeShape shape;
    uint32_t rows, count, blocks;
    int16_t element[ROWS_MAX][REAL_DIGITS_DIMENSIONS];
    float frame[ROWS_MAX][PADDED_MAX];
    float mean[PADDED_MAX], centroid[BLOCKS_MAX][PADDED_MAX];
    float truth[QUERIES][ROWS_MAX]; /* in the unit of estimates */
    uint8_t code[CODE_LANES][PADDED_MAX], block[BLOCKS_MAX][BLOCK_MAX];
    CodeFactors factors[ROWS_MAX];
} lab;

/* Elements are integers, so the truth is exact. */
static void lab_truths(void) {
    const Metric metric = lab.shape.metric;
    for (uint32_t q = 0; q < QUERIES; q++)
        for (uint32_t i = 0; i < lab.rows; i++) {
            int32_t dot = 0, xx = 0, yy = 0;
            for (uint32_t j = 0; j < lab.shape.dimensions; j++) {
                const int32_t x = lab.element[i][j], y = lab.element[lab.rows + q][j];
                dot += x * y, xx += x * x, yy += y * y;
            }
            const double cosine = (double)dot / sqrt((double)xx * (double)yy);
            lab.truth[q][i] = (float)(metric == METRIC_L2   ? (double)(xx + yy - 2 * dot)
                                      : metric == METRIC_IP ? -2 * (double)dot
                                                            : 2 - 2 * cosine);
        }
}

/* `with_lists`: the centroid of each block is the mean of its rows, else 0. */
static void lab_make(const Real *real, Metric metric, uint64_t seed, bool with_lists) {
    const Kernels *k = kernels_choose();
    const uint32_t d = real->dimensions, padded = code_padded(d);
    Rotation *rotation = rotation_of(d, seed);
    lab.shape = (CodeShape){d, padded, 1, metric};
    lab.count = real->count, lab.rows = real->count - QUERIES;
    lab.blocks = (lab.rows + CODE_LANES - 1) / CODE_LANES;
    memset(lab.mean, 0, sizeof lab.mean);
    memset(lab.centroid, 0, sizeof lab.centroid);
    for (uint32_t i = 0; i < lab.count; i++) {
        const uint8_t *from = real->bytes + i * 7 % lab.count * d; /* queries are like the rows */
        float x[REAL_DIGITS_DIMENSIONS];
        for (uint32_t j = 0; j < d; j++) {
            lab.element[i][j] = real->is_signed ? (int8_t)from[j] : from[j];
            x[j] = (float)lab.element[i][j];
        }
        CHECK(metric == METRIC_COSINE ? rotation_apply_unit(rotation, k, x, lab.frame[i])
                                      : rotation_apply(rotation, k, x, lab.frame[i]));
    }
    for (uint32_t i = 0; i < lab.rows; i++)
        for (uint32_t j = 0; j < padded; j++) lab.mean[j] += lab.frame[i][j] / (float)lab.rows;
    for (uint32_t i = 0; i < lab.count; i++)
        for (uint32_t j = 0; j < padded; j++) lab.frame[i][j] -= lab.mean[j];
    for (uint32_t i = 0; with_lists && i < lab.rows; i++) {
        const uint32_t left = lab.rows - i / CODE_LANES * CODE_LANES;
        const float n = (float)(left < CODE_LANES ? left : CODE_LANES);
        for (uint32_t j = 0; j < padded; j++)
            lab.centroid[i / CODE_LANES][j] += lab.frame[i][j] / n;
    }
    lab_truths();
    rotation_free(rotation);
    CHECK_EQ(env.memory_used, 0);
}

/* ---- estimates ---- */

typedef struct Errors {
    double count, sum, squares, far, below;
} Errors;

static float lab_base(const Kernels *k, const float *y, const float *c, float square) {
    const uint32_t n = lab.shape.padded;
    if (lab.shape.metric != METRIC_IP) return square;
    return -2 * k->dot(y, c, n) - 2 * k->dot(y, lab.mean, n) - 2 * k->dot(lab.mean, lab.mean, n);
}

static uint32_t lab_lanes(uint32_t block) {
    const uint32_t left = lab.rows - block * CODE_LANES;
    return left < CODE_LANES ? left : CODE_LANES;
}

/* Codes all rows. */
static void lab_encode(void) {
    const Kernels *k = kernels_choose();
    for (uint32_t b = 0; b < lab.blocks; b++) {
        const uint32_t first = b * CODE_LANES, n = lab_lanes(b);
        for (uint32_t i = first; i < first + n; i++)
            code_encode(&lab.shape, k, lab.frame[i], lab.centroid[b], lab.mean,
                        lab.code[i % CODE_LANES], &lab.factors[i]);
        code_block_pack(&lab.shape, lab.code[0], sizeof lab.code[0], &lab.factors[first], n,
                        lab.block[b]);
    }
}

/* How far estimates of all rows are from the truth, in what codes.h says is their deviation. */
static Errors lab_errors(void) {
    static _Alignas(64) uint8_t lut[4 * PADDED_MAX];
    const Kernels *k = kernels_choose();
    Errors e = {0};
    lab_encode();
    for (uint32_t query = 0; query < QUERIES; query++) {
        const float *y = lab.frame[lab.rows + query];
        CodeQuery q;
        code_query_init(&q, &lab.shape, k, y, lut, EPSILON);
        for (uint32_t b = 0; b < lab.blocks; b++) {
            const float square = k->l2(y, lab.centroid[b], lab.shape.padded);
            const float base = lab_base(k, y, lab.centroid[b], square);
            float est[CODE_LANES], bound[CODE_LANES];
            code_scan(&q, lab.block[b], 1, base, sqrtf(square), est, bound, NULL);
            for (uint32_t i = 0; i < lab_lanes(b); i++) {
                const CodeFactors *f = &lab.factors[b * CODE_LANES + i];
                const double truth = (double)lab.truth[query][b * CODE_LANES + i];
                const double code = (double)(f->err * sqrtf(square));
                const double entries = (double)(f->res * q.rounding);
                const double z = ((double)est[i] - truth) / sqrt(code * code + entries * entries);
                e.count++, e.sum += z, e.squares += z * z, e.far += fabs(z) > 1.9;
                e.below += truth < (double)bound[i];
            }
        }
    }
    return e;
}

/* VECTORS 6.4: any sign or factor that is wrong shows here at once. Queries share a rotation and
 * rows, so the figures of one seed have noise of their own: two seeds, with and without lists. */
static void f12_estimates_are_unbiased_and_bounds_hold_on_real_vectors(void) {
    for (size_t set = 0; set < REALS; set++)
        for (Metric metric = METRIC_L2; metric <= METRIC_IP; metric++) {
            if (metric != METRIC_L2 && set > 0) continue;
            Errors sum[CODE_BITS_MAX + 1] = {{0}};
            for (uint64_t seed = 1; seed <= 2; seed++) {
                lab_make(&reals[set], metric, seed, seed == 2);
                for (uint32_t bits = 1; bits <= CODE_BITS_MAX; bits++) {
                    lab.shape.bits = bits;
                    const Errors e = lab_errors();
                    sum[bits].count += e.count, sum[bits].sum += e.sum;
                    sum[bits].squares += e.squares, sum[bits].far += e.far;
                    sum[bits].below += e.below;
                }
            }
            for (uint32_t bits = 1; bits <= CODE_BITS_MAX; bits++) {
                const Errors *e = &sum[bits];
                const double mean = e->sum / e->count;
                const double deviation = sqrt(e->squares / e->count - mean * mean);
                const double far = 100 * e->far / e->count, below = 100 * e->below / e->count;
                if (!CHECK_NEAR(mean, 0, .05) || !CHECK_NEAR(deviation, .985, .035) ||
                    !CHECK_NEAR(far, 5.5, bits == 1 ? 1 : 2) || !CHECK_NEAR(below, 1.7, 1.4)) {
                    CHECK_STR(reals[set].name, "one whose errors are as predicted");
                    CHECK_EQ(bits + 10 * (uint32_t)metric, 0);
                }
            }
        }
}

/* ---- rotation ---- */

static double length_of(const float *x, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

static void random_vector(uint64_t *state, float scale, float *to, size_t count) {
    for (size_t i = 0; i < count; i++)
        to[i] = scale * ((float)(test_random(state) >> 40) * 0x1p-23f - 1);
}

static void f12_a_rotation_keeps_lengths_and_angles(void) {
    static const uint32_t sizes[] = {1, 63, 64, 65, 128, 200, 384, 768, 784, 1536, 4096, 16384};
    static float x[2][16384], y[2][16384];
    const Kernels *k = kernels_choose();
    uint64_t state = test_seed();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const uint32_t n = sizes[i], padded = code_padded(n);
        Rotation *rotation = rotation_of(n, i);
        for (size_t which = 0; which < 2; which++) {
            random_vector(&state, 1, x[which], n);
            CHECK(rotation_apply(rotation, k, x[which], y[which]));
            CHECK_NEAR(length_of(y[which], padded) / length_of(x[which], n), 1, 1e-6);
        }
        for (size_t j = 0; j < n; j++) x[0][j] -= x[1][j];
        for (size_t j = 0; j < padded; j++) y[0][j] -= y[1][j];
        CHECK_NEAR(length_of(y[0], padded) / length_of(x[0], n), 1, 1e-6);
        rotation_free(rotation);
        CHECK_EQ(env.memory_used, 0);
    }
}

static void f12_a_rotation_spreads_what_stands_in_one_dimension(void) {
    static float x[784], y[PADDED_MAX];
    const Kernels *k = kernels_choose();
    for (size_t set = 0; set < REALS; set++) {
        const uint32_t n = reals[set].dimensions, padded = code_padded(n);
        Rotation *rotation = rotation_of(n, 7);
        for (uint32_t i = 0; i < n; i += 61) {
            double fourth = 0;
            memset(x, 0, sizeof x);
            x[i] = 1;
            CHECK(rotation_apply(rotation, k, x, y));
            for (size_t j = 0; j < padded; j++) fourth += pow((double)y[j], 4);
            CHECK(fourth * padded < 6); /* a normal distribution: 3; all in one place: padded */
        }
        rotation_free(rotation);
    }
}

static void f12_a_unit_vector_is_made_of_any_length(void) {
    static float x[384], y[384], want[384];
    const Kernels *k = kernels_choose();
    Rotation *rotation = rotation_of(384, 3);
    uint64_t state = test_seed();
    random_vector(&state, 1, x, 384);
    CHECK(rotation_apply_unit(rotation, k, x, want));
    CHECK_NEAR(length_of(want, 384), 1, 1e-6);
    static const int exponents[] = {-120, -70, 60, 126};
    for (size_t e = 0; e < 4; e++) {
        float scaled[384];
        for (size_t i = 0; i < 384; i++) scaled[i] = ldexpf(x[i], exponents[e]);
        CHECK(rotation_apply_unit(rotation, k, scaled, y));
        for (size_t i = 0; i < 384; i++) CHECK_NEAR(y[i], want[i], 1e-6);
    }
    memset(x, 0, sizeof x);
    CHECK(rotation_apply_unit(rotation, k, x, y));
    CHECK(length_of(y, 384) == 0);
    rotation_free(rotation);
}

/* ---- where floats do not suffice (codes.h rule 3) ---- */

enum { EDGE = 128 };

/* Rows and queries whose elements are of the order of two powers of two. */
static void f12_a_bound_is_one_for_rows_of_any_magnitude(void) {
    static float row[CODE_LANES][EDGE], y[CODE_LANES][EDGE], query[EDGE], yq[EDGE];
    static uint8_t code[CODE_LANES][EDGE], block[BLOCK_MAX];
    static _Alignas(64) uint8_t lut[4 * EDGE];
    const Kernels *k = kernels_choose();
    Rotation *rotation = rotation_of(EDGE, 5);
    uint64_t state = test_seed();
    size_t unknown = 0, known = 0;
    for (int rows = -140; rows <= 126; rows += 13)
        for (int asks = -140; asks <= 126; asks += 17)
            for (Metric metric = METRIC_L2; metric <= METRIC_IP; metric += 2) {
                const CodeShape s = {EDGE, EDGE, 1 + (uint32_t)(rows & 3), metric};
                CodeFactors f[CODE_LANES];
                for (size_t i = 0; i < CODE_LANES; i++) {
                    random_vector(&state, ldexpf(1, rows), row[i], EDGE);
                    rotation_apply(rotation, k, row[i], y[i]);
                    code_encode(&s, k, y[i], NULL, NULL, code[i], &f[i]);
                }
                code_block_pack(&s, code[0], EDGE, f, CODE_LANES, block);
                random_vector(&state, ldexpf(1, asks), query, EDGE);
                rotation_apply(rotation, k, query, yq);
                CodeQuery q;
                float est[CODE_LANES], bound[CODE_LANES];
                code_query_init(&q, &s, k, yq, lut, 6); /* chance has no part in this */
                const float square = k->dot(yq, yq, EDGE);
                code_scan(&q, block, 1, metric == METRIC_IP ? 0 : square, sqrtf(square), est,
                          bound, NULL);
                for (size_t i = 0; i < CODE_LANES; i++) {
                    double l2 = 0, dot = 0;
                    for (size_t j = 0; j < EDGE; j++) {
                        const double a = (double)row[i][j], b = (double)query[j];
                        l2 += (a - b) * (a - b), dot += a * b;
                    }
                    CHECK((double)bound[i] <= (metric == METRIC_IP ? -2 * dot : l2));
                    CHECK(est[i] == est[i] && (bound[i] == -INFINITY) == (est[i] == INFINITY));
                    if (est[i] == INFINITY) unknown++;
                    else known++;
                }
            }
    CHECK(unknown > 1000 && known > 2000);
    rotation_free(rotation);
}

static void f12_a_row_at_its_centroid_is_exact(void) {
    static float y[EDGE], yq[EDGE];
    static uint8_t code[EDGE], block[BLOCK_MAX];
    static _Alignas(64) uint8_t lut[4 * EDGE];
    const Kernels *k = kernels_choose();
    const CodeShape s = {EDGE, EDGE, 2, METRIC_L2};
    uint64_t state = test_seed();
    CodeFactors f;
    CodeQuery q;
    float est[CODE_LANES], bound[CODE_LANES];
    random_vector(&state, 1, y, EDGE);
    random_vector(&state, 1, yq, EDGE);
    code_encode(&s, k, y, y, NULL, code, &f);
    CHECK(f.add == 0 && f.res == 0 && f.err == 0);
    code_block_pack(&s, code, EDGE, &f, 1, block);
    for (size_t same = 0; same < 2; same++) {
        const float *ask = same ? y : yq;
        const float square = k->l2(ask, y, EDGE);
        code_query_init(&q, &s, k, ask, lut, EPSILON);
        code_scan(&q, block, 1, square, sqrtf(square), est, bound, NULL);
        CHECK(est[0] == square && bound[0] <= square && bound[0] >= 0.99999f * square - 1e-20f);
    }
    memset(yq, 0, sizeof yq); /* a query at the mean has tables of zeros */
    const float square = k->dot(y, y, EDGE);
    code_query_init(&q, &s, k, yq, lut, EPSILON);
    code_scan(&q, block, 1, square, sqrtf(square), est, bound, NULL);
    CHECK(est[0] == square);
}

/* ---- blocks ---- */

static uint8_t nibble_bit(const uint8_t *code, size_t padded, uint32_t plane, size_t j) {
    return code[plane * padded / 8 + j / 8] >> j % 8 & 1;
}

/* code_format.h, read as it is written: where the bits of a lane are, and what a factor is. */
static void f12_lanes_come_back_out_of_a_block(void) {
    static uint8_t code[CODE_LANES][PADDED_MAX], back[PADDED_MAX], block[BLOCK_MAX];
    uint64_t state = test_seed();
    for (size_t round = 0; round < 200; round++) {
        const uint32_t padded = 64 * (1 + (uint32_t)(test_random(&state) % 13));
        const CodeShape s = {padded, padded, 1 + (uint32_t)(round % CODE_BITS_MAX), METRIC_L2};
        const uint32_t count = 1 + (uint32_t)(test_random(&state) % CODE_LANES);
        CodeFactors f[CODE_LANES];
        float most_add = 0, most_res = 0;
        for (uint32_t i = 0; i < count; i++) {
            for (size_t j = 0; j < code_size(&s); j++) code[i][j] = (uint8_t)test_random(&state);
            random_vector(&state, 1, &f[i].add, 1);
            random_vector(&state, 1, &f[i].res, 1);
            f[i].add = ldexpf(f[i].add + (round % 3 ? 0 : 1000), (int)(round % 100) - 50);
            f[i].res = -fabsf(f[i].res);
            f[i].err = 0.3f * -f[i].res;
            if (test_random(&state) % 16 == 0) {
                f[i] = (CodeFactors){INFINITY, 0, 0};
                memset(code[i], 0, code_size(&s));
                continue;
            }
            most_add = fmaxf(most_add, fabsf(f[i].add)), most_res = fmaxf(most_res, -f[i].res);
        }
        code_block_pack(&s, code[0], PADDED_MAX, f, count, block);
        const uint8_t *plane = block + CODE_BLOCK_PLANES;
        for (uint32_t b = 0; b < s.bits; b++)
            for (size_t j = 0; j < padded; j++) {
                const uint32_t lane = (uint32_t)(test_random(&state) % CODE_LANES);
                const uint8_t byte = plane[(b * padded / 4 + j / 4) * 16 + lane % 16];
                CHECK_EQ(byte >> (lane / 16 * 4 + j % 4) & 1,
                         lane < count ? nibble_bit(code[lane], padded, b, j) : 0);
            }
        CodeFactors got[CODE_LANES];
        for (uint32_t i = 0; i < count; i++) {
            code_block_lane(&s, block, i, back, &got[i]);
            CHECK_BYTES(back, code_size(&s), code[i], code_size(&s));
            if (f[i].add == INFINITY) {
                CHECK(got[i].add == INFINITY && got[i].res == 0 && got[i].err == 0);
                continue;
            }
            CHECK_NEAR(got[i].add, f[i].add, most_add * 0x1p-15f);
            CHECK_NEAR(got[i].res, f[i].res, most_res * 0x1p-15f);
            CHECK(got[i].err >= 0.299f * -got[i].res && got[i].err <= 0.301f * -got[i].res);
        }
        static uint8_t again[BLOCK_MAX];
        code_block_pack(&s, code[0], PADDED_MAX, got, count, again); /* rule 1 */
        for (uint32_t i = 0; i < count; i++) {
            CodeFactors same;
            code_block_lane(&s, again, i, back, &same);
            CHECK(same.add == got[i].add && same.res == got[i].res);
        }
    }
}

/* Any bits at all: through a lane, another block and a scan. */
static void f12_hostile_blocks_do_no_harm(void) {
    static uint8_t code[CODE_LANES][PADDED_MAX], block[BLOCK_MAX], again[BLOCK_MAX];
    static _Alignas(64) uint8_t lut[4 * PADDED_MAX];
    static float y[PADDED_MAX];
    const Kernels *k = kernels_choose();
    uint64_t state = test_seed();
    for (size_t round = 0; round < 300; round++) {
        const uint32_t padded = 64 * (1 + (uint32_t)(test_random(&state) % 13));
        const CodeShape s = {padded, padded, 1 + (uint32_t)(round % CODE_BITS_MAX), METRIC_L2};
        for (size_t i = 0; i < code_block_size(&s); i++) block[i] = (uint8_t)test_random(&state);
        static const uint32_t specials[] = {0x7fc00000, 0x7f800000, 0xff800000, 0x7f7fffff,
                                            0xff7fffff, 0x00000001, 0x80000000, 0x3f800000};
        for (size_t i = 0; i < 20 && round % 2; i += 4)
            memcpy(block + i, &specials[test_random(&state) % 8], 4);
        CodeFactors f[CODE_LANES];
        for (uint32_t i = 0; i < CODE_LANES; i++) {
            code_block_lane(&s, block, i, code[i], &f[i]);
            CHECK(f[i].add == INFINITY || code_factors_known(&f[i]));
        }
        code_block_pack(&s, code[0], PADDED_MAX, f, CODE_LANES, again);
        random_vector(&state, 1, y, padded);
        CodeQuery q;
        code_query_init(&q, &s, k, y, lut, EPSILON);
        for (size_t which = 0; which < 2; which++) {
            float est[CODE_LANES], bound[CODE_LANES];
            code_scan(&q, which ? again : block, 1, 1, 1, est, bound, NULL);
            for (size_t i = 0; i < CODE_LANES; i++)
                CHECK(est[i] == est[i] && bound[i] == bound[i] && bound[i] < INFINITY);
        }
    }
}

/* VECTORS 6.5: a query near the centroid of a tight cluster far from the mean. Its table spans all
 * of the query, so what its entries are rounded by is more than what the codes leave open. */
static void f12_bounds_hold_in_clusters_tighter_than_the_tables(void) {
    enum { CLUSTERS = 40, ASKS = 20, N = 128 };
    static float centre[N], rows[CODE_LANES][N], ask[N];
    static uint8_t code[CODE_LANES][N], block[BLOCK_MAX];
    static _Alignas(64) uint8_t lut[4 * N];
    const Kernels *k = kernels_choose();
    const CodeShape s = {N, N, 1, METRIC_L2};
    uint64_t state = test_seed();
    double count = 0, below = 0, below_without = 0;
    for (size_t cluster = 0; cluster < CLUSTERS; cluster++) {
        CodeFactors f[CODE_LANES];
        random_vector(&state, 1, centre, N);
        for (size_t i = 0; i < CODE_LANES; i++) {
            random_vector(&state, 0.01f, rows[i], N);
            for (size_t j = 0; j < N; j++) rows[i][j] += centre[j];
            code_encode(&s, k, rows[i], centre, NULL, code[i], &f[i]);
        }
        code_block_pack(&s, code[0], N, f, CODE_LANES, block);
        for (size_t a = 0; a < ASKS; a++) {
            random_vector(&state, 0.01f, ask, N);
            for (size_t j = 0; j < N; j++) ask[j] += centre[j];
            CodeQuery q;
            float est[CODE_LANES], bound[CODE_LANES], without[CODE_LANES];
            code_query_init(&q, &s, k, ask, lut, EPSILON);
            const float square = k->l2(ask, centre, N);
            code_scan(&q, block, 1, square, sqrtf(square), est, bound, NULL);
            q.rounding = 0;
            code_scan(&q, block, 1, square, sqrtf(square), est, without, NULL);
            for (size_t i = 0; i < CODE_LANES; i++) {
                const float truth = k->l2(ask, rows[i], N);
                count++, below += truth < bound[i], below_without += truth < without[i];
            }
        }
    }
    CHECK(below / count < 0.032);
    CHECK(below_without / count > 0.1); /* it is the rounding that holds them */
}

/* ---- the same everywhere ---- */

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t size) {
    const uint8_t *at = data;
    for (size_t i = 0; i < size; i++) hash = (hash ^ at[i]) * 1099511628211u; /* FNV-1a */
    return hash;
}

/* One number for all hosts and all sets of kernels: rotation, codes, blocks, estimates, bounds. */
static void f31_codes_and_estimates_have_the_same_bits_on_every_host(void) {
    static float x[784], y[PADDED_MAX], c[PADDED_MAX], m[PADDED_MAX];
    static uint8_t code[CODE_LANES][PADDED_MAX], block[BLOCK_MAX];
    static _Alignas(64) uint8_t lut[4 * PADDED_MAX];
    static const uint32_t sizes[] = {60, 128, 384, 784};
    const Kernels *k;
    for (size_t set = 0; (k = kernels_at(set)) != NULL; set++) {
        uint64_t state = 1, hash = 14695981039346656037u;
        for (uint32_t round = 0; round < 24; round++) {
            const uint32_t n = sizes[round % 4], padded = code_padded(n);
            const CodeShape s = {n, padded, 1 + round % CODE_BITS_MAX,
                                 (Metric)(1 + round % METRIC_IP)};
            Rotation *rotation = rotation_of(n, round);
            random_vector(&state, 0.5f, c, padded);
            random_vector(&state, 0.25f, m, padded);
            CodeFactors f[CODE_LANES];
            for (size_t i = 0; i < CODE_LANES; i++) {
                random_vector(&state, 1, x, n);
                CHECK(s.metric == METRIC_COSINE ? rotation_apply_unit(rotation, k, x, y)
                                                : rotation_apply(rotation, k, x, y));
                hash = hash_bytes(hash, y, padded * sizeof *y);
                code_encode(&s, k, y, round % 2 ? c : NULL, m, code[i], &f[i]);
            }
            code_block_pack(&s, code[0], PADDED_MAX, f, CODE_LANES, block);
            hash = hash_bytes(hash, block, code_block_size(&s));
            CodeQuery q;
            float est[CODE_LANES], bound[CODE_LANES];
            code_query_init(&q, &s, k, y, lut, EPSILON);
            code_scan(&q, block, 1, 1.5f, 1.25f, est, bound, NULL);
            hash = hash_bytes(hash, est, sizeof est);
            hash = hash_bytes(hash, bound, sizeof bound);
            rotation_free(rotation);
        }
        CHECK_EQ(hash, 0x80df936d3073b250);
    }
}

void codes_test(void);
void codes_test(void) {
    RUN(f12_a_rotation_keeps_lengths_and_angles);
    RUN(f12_a_rotation_spreads_what_stands_in_one_dimension);
    RUN(f12_a_unit_vector_is_made_of_any_length);
    RUN(f12_a_bound_is_one_for_rows_of_any_magnitude);
    RUN(f12_a_row_at_its_centroid_is_exact);
    RUN(f12_lanes_come_back_out_of_a_block);
    RUN(f12_hostile_blocks_do_no_harm);
    RUN(f12_bounds_hold_in_clusters_tighter_than_the_tables);
    RUN(f31_codes_and_estimates_have_the_same_bits_on_every_host);
    RUN(f12_estimates_are_unbiased_and_bounds_hold_on_real_vectors);
}
