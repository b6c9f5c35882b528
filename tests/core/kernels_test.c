/* kernels_test.c - the laws of vector/kernels.h and vector/metric.h. */
#include "lib/check.h"

#include "vector/kernels.h"
#include "vector/kernels_body.h"
#include "vector/metric.h"

#include <math.h>
#include <string.h>

enum { DIMENSIONS_MAX = 4100, ROWS_MAX = 11, SLACK = 64 };

#ifdef KERNELS_HAVE_VECTORS
/* The 512-bit variant of the text, in whatever registers there are: so what AVX-512 computes is
 * tested on processors without it, all but the functions below. */
KERNELS_INLINE void kernels_wide_part(kernels_f16 *to, const uint8_t *from, size_t count) {
    float lanes[16] = {0};
    memcpy(lanes, from, 4 * (count < 16 ? count : 16));
    memcpy(to, lanes, sizeof lanes);
}
KERNELS_INLINE void kernels_wide_fold(const kernels_f16 *lanes, kernels_f4 *sum) {
    float lane[16];
    memcpy(lane, lanes, sizeof lane);
    for (size_t half = 8; half >= 4; half /= 2)
        for (size_t i = 0; i < half; i++) lane[i] += lane[i + half];
    memcpy(sum, lane, sizeof *sum);
}
KERNELS_INLINE void kernels_wide_mix(kernels_f16 *v) { KERNELS_MIX16(v); }
KERNELS_INLINE void kernels_wide_join(const kernels_h32 *shorts, kernels_h8 *sum) {
    KERNELS_JOIN32(shorts, sum);
}
KERNELS_INLINE void kernels_wide_narrow(const kernels_i4 whole[4], uint8_t *to) {
    for (size_t i = 0; i < 16; i++) to[i] = (uint8_t)whole[i / 4][i % 4];
}
KERNELS_INLINE void kernels_wide_look_up(const kernels_b64 *table, const kernels_b64 *index,
                                         kernels_b64 *out) {
    for (size_t i = 0; i < 64; i++) (*out)[i] = (*table)[i / 16 * 16 + (*index)[i]];
}
extern const Kernels kernels_wide;
KERNELS_DEFINE(wide, , 16, 2, 2, 64, 32)
#endif

/* Those that run here, and the wide one. */
static const Kernels *tested(size_t index) {
    const Kernels *k = kernels_at(index);
#ifdef KERNELS_HAVE_VECTORS
    if (!k && kernels_at(index - 1)) k = &kernels_wide;
#endif
    return k;
}

/* kernels.h rules 1 to 4, as slowly as one can. */
static float by_definition(const float *a, const float *b, size_t dimensions, bool l2) {
    volatile float lane[32] = {0};
    for (size_t i = 0; i < (dimensions + 31) / 32 * 32; i++) {
        volatile float x = i < dimensions ? a[i] : 0, y = i < dimensions ? b[i] : 0, term;
        if (l2) {
            x = x - y;
            term = x * x;
        } else {
            term = x * y;
        }
        lane[i % 32] = lane[i % 32] + term;
    }
    for (size_t half = 16; half > 0; half /= 2)
        for (size_t i = 0; i < half; i++) lane[i] = lane[i] + lane[i + half];
    return lane[0];
}

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return value != value ? 0x7fc00000 : bits; /* a NaN is a NaN (kernels.h) */
}

static float random_finite(uint64_t *state, int least, int most) {
    const uint64_t r = test_random(state);
    const float mantissa = 1 + (float)(r >> 40) * 0x1p-24f;
    const int exponent = least + (int)((r & 0xffff) % (uint64_t)(most - least + 1));
    return ldexpf(r & 0x10000 ? mantissa : -mantissa, exponent);
}

/* What vectors may be made of: the exponents of 2 of their elements. */
static const struct {
    int least, most;
} kinds[] = {
    {-3, 0},      /* ordinary */
    {-20, 20},    /* uneven: where an order of summation shows */
    {-149, -120}, /* denormal */
    {-80, -60},   /* squares are denormal or nothing */
    {100, 126},   /* squares overflow */
    {-149, 126},  /* all there is */
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void fill(uint64_t *state, size_t kind, float *to, size_t count) {
    for (size_t i = 0; i < count; i++) {
        to[i] = random_finite(state, kinds[kind].least, kinds[kind].most);
        if (test_random(state) % 16 == 0) to[i] = test_random(state) % 2 ? 0.0f : -0.0f;
    }
}

/* A copy at any address. It ends where its array ends, for AddressSanitizer to see. */
static uint8_t place_a[4 * DIMENSIONS_MAX + SLACK], place_b[4 * DIMENSIONS_MAX + SLACK];
static const float *placed(uint8_t *place, const float *from, size_t dimensions, size_t shift) {
    uint8_t *at = place + sizeof place_a - shift - 4 * dimensions;
    memcpy(at, from, 4 * dimensions);
    return (const void *)at;
}

static float a[DIMENSIONS_MAX], b[DIMENSIONS_MAX];

static void every_set_gives_the_bits_of_the_definition(void) {
    uint64_t state = test_seed();
    for (size_t kind = 0; kind < KINDS; kind++) {
        for (size_t dimensions = 0; dimensions <= 140; dimensions++) {
            static const size_t large[] = {200, 384, 768, 1000, 1023, 1536, 3072, 4096, 4097, 4100};
            const size_t n = dimensions <= 130 ? dimensions : large[dimensions - 131];
            fill(&state, kind, a, n);
            fill(&state, kind, b, n);
            const uint32_t l2 = bits_of(by_definition(a, b, n, true));
            const uint32_t dot = bits_of(by_definition(a, b, n, false));
            const uint32_t norm = bits_of(by_definition(b, b, n, false));
            const uint64_t shifts = test_random(&state);
            const float *x = placed(place_a, a, n, shifts % SLACK);
            const float *y = placed(place_b, b, n, (shifts >> 8) % SLACK);
            const Kernels *k;
            for (size_t i = 0; (k = tested(i)) != NULL; i++) {
                float got_dot, got_norm;
                k->dot_norm(x, y, n, &got_dot, &got_norm);
                if (!CHECK_EQ(bits_of(k->l2(x, y, n)), l2) ||
                    !CHECK_EQ(bits_of(k->dot(x, y, n)), dot) ||
                    !CHECK_EQ(bits_of(k->dot(y, y, n)), norm) || !CHECK_EQ(bits_of(got_dot), dot) ||
                    !CHECK_EQ(bits_of(got_norm), norm))
                    CHECK_STR(k->name, "one that follows the definition");
            }
        }
    }
}

static void many_rows_give_what_each_gives_alone(void) {
    static uint8_t rows[SLACK + ROWS_MAX * (4 * 400 + SLACK)];
    uint64_t state = test_seed();
    for (size_t round = 0; round < 400; round++) {
        const size_t n = 1 + (size_t)(test_random(&state) % 400);
        const size_t count = round % (ROWS_MAX + 1);
        const size_t stride = 4 * n + (size_t)(test_random(&state) % SLACK);
        uint8_t *first = rows + sizeof rows - (count ? (count - 1) * stride + 4 * n : 0);
        fill(&state, round % KINDS, a, n);
        for (size_t r = 0; r < count; r++) {
            fill(&state, round % KINDS, b, n);
            memcpy(first + r * stride, b, 4 * n);
        }
        const Kernels *k;
        for (size_t i = 0; (k = tested(i)) != NULL; i++) {
            float l2[ROWS_MAX + 1], dot[ROWS_MAX + 1], dot2[ROWS_MAX + 1], norm[ROWS_MAX + 1];
            l2[count] = dot[count] = dot2[count] = norm[count] = 77;
            k->l2_many(a, first, stride, count, n, l2);
            k->dot_many(a, first, stride, count, n, dot);
            k->dot_norm_many(a, first, stride, count, n, dot2, norm);
            for (size_t r = 0; r < count; r++) {
                memcpy(b, first + r * stride, 4 * n);
                CHECK_EQ(bits_of(l2[r]), bits_of(k->l2(a, b, n)));
                CHECK_EQ(bits_of(dot[r]), bits_of(k->dot(a, b, n)));
                CHECK_EQ(bits_of(dot2[r]), bits_of(dot[r]));
                CHECK_EQ(bits_of(norm[r]), bits_of(k->dot(b, b, n)));
            }
            CHECK(l2[count] == 77 && dot[count] == 77 && dot2[count] == 77 && norm[count] == 77);
        }
    }
}

/* One number for all hosts: whoever computes otherwise fails here, not at a user's. */
static void results_are_those_of_every_other_host(void) {
    const Kernels *k;
    for (size_t i = 0; (k = tested(i)) != NULL; i++) {
        uint64_t state = 1, hash = 14695981039346656037u; /* FNV-1a, by words */
        for (size_t n = 1; n <= 300; n++) {
            float results[6];
            fill(&state, n % KINDS, a, n);
            fill(&state, n % KINDS, b, n);
            results[0] = k->l2(a, b, n);
            k->dot_norm(a, b, n, &results[1], &results[2]);
            for (Metric metric = METRIC_L2; metric <= METRIC_IP; metric++) {
                MetricQuery q;
                metric_query_init(&q, k, metric, a, n);
                metric_many(&q, b, 4 * n, 1, &results[2 + metric]);
            }
            for (size_t j = 0; j < 6; j++) hash = (hash ^ bits_of(results[j])) * 1099511628211u;
        }
        CHECK_EQ(hash, 0xae7fcb2f30b98693);
    }
}

static void the_first_set_is_chosen_and_the_last_is_scalar(void) {
    const Kernels *k, *last = NULL;
    CHECK(kernels_choose() == kernels_at(0));
    for (size_t i = 0; (k = kernels_at(i)) != NULL; last = k, i++)
        CHECK(kernels_by_name(k->name) == k);
    CHECK_STR(last->name, "scalar");
    CHECK(kernels_by_name("abacus") == NULL);
    CHECK(kernels_by_name("") == NULL);
}

/* The same in double, which holds every square; long sums lose nothing that shows in a float. */
static double oracle(Metric metric, const float *x, const float *y, size_t dimensions) {
    double square = 0, dot = 0, xx = 0, yy = 0;
    for (size_t i = 0; i < dimensions; i++) {
        const double p = (double)x[i], q = (double)y[i];
        square += (p - q) * (p - q), dot += p * q, xx += p * p, yy += q * q;
    }
    if (metric == METRIC_L2) return sqrt(square);
    if (metric == METRIC_IP) return -dot;
    return 1 - dot / (sqrt(xx) * sqrt(yy));
}

static float distance(Metric metric, const float *x, const float *y, size_t dimensions) {
    MetricQuery q;
    float result;
    metric_query_init(&q, kernels_choose(), metric, x, dimensions);
    metric_many(&q, y, 4 * dimensions, 1, &result);
    return result;
}

static void distances_are_within_1e5th_of_the_truth(void) {
    static const size_t sizes[] = {100, 128, 384, 768, 1536, 4096};
    uint64_t state = test_seed();
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (size_t round = 0; round < 40; round++) {
            const size_t n = sizes[s];
            fill(&state, 0, a, n);
            fill(&state, 0, b, n);
            /* somewhat alike: an inner product that is all cancellation has no digits to compare */
            for (size_t i = 0; i < n; i++) b[i] = 0.5f * a[i] + b[i];
            for (Metric metric = METRIC_L2; metric <= METRIC_IP; metric++) {
                const double want = oracle(metric, a, b, n);
                CHECK_NEAR(distance(metric, a, b, n), want, 1e-5 * fabs(want));
            }
        }
}

/* Lengths of 2^-149 to 2^127 in all pairs: no NaN, and infinite only what is too large. */
static void no_finite_vectors_overflow_on_the_way(void) {
    uint64_t state = test_seed();
    for (int x = -149; x <= 126; x += 5)
        for (int y = -149; y <= 126; y += 5) {
            const size_t n = 1 + (size_t)(test_random(&state) % 40);
            for (size_t i = 0; i < n; i++) {
                a[i] = random_finite(&state, x, x + 1);
                b[i] = random_finite(&state, y, y + 1);
            }
            for (Metric metric = METRIC_L2; metric <= METRIC_IP; metric++) {
                const double want = oracle(metric, a, b, n);
                const float got = distance(metric, a, b, n);
                if (fabs(want) >= 0x1.ffffffp+127)
                    CHECK(got == (want > 0 ? INFINITY : -INFINITY));
                else if (metric == METRIC_L2)
                    CHECK_NEAR(got, want, 1e-5 * want + 0x1p-149);
                else if (metric == METRIC_COSINE)
                    CHECK_NEAR(got, want, 1e-5);
                else /* relative to its terms: they cancel */
                    CHECK_NEAR(got, want, 1e-5 * (double)n * ldexp(1, x + y + 4) + 1e-43);
            }
        }
}

static void a_distance_does_not_depend_on_its_batch(void) {
    enum { ROWS = 150, DIMENSIONS = 21, STRIDE = 4 * DIMENSIONS + 3 };
    static uint8_t rows[ROWS * STRIDE];
    uint64_t state = test_seed();
    for (size_t r = 0; r < ROWS; r++) {
        fill(&state, r % KINDS, b, DIMENSIONS);
        memcpy(rows + r * STRIDE, b, 4 * DIMENSIONS);
    }
    for (size_t kind = 0; kind < KINDS; kind++) {
        fill(&state, kind, a, DIMENSIONS);
        for (Metric metric = METRIC_L2; metric <= METRIC_IP; metric++) {
            MetricQuery q;
            float all[ROWS], one;
            metric_query_init(&q, kernels_choose(), metric, a, DIMENSIONS);
            metric_many(&q, rows, STRIDE, ROWS, all);
            for (size_t r = 0; r < ROWS; r++) {
                metric_many(&q, rows + r * STRIDE, STRIDE, 1, &one);
                CHECK_EQ(bits_of(all[r]), bits_of(one));
                CHECK(one == one);
            }
        }
    }
}

static void zero_is_a_plain_zero(void) {
    static const float zero[5] = {0}, minus[5] = {-0.0f, -0.0f}, one[5] = {1}, other[5] = {0, 1};
    static const float tiny[5] = {0x1p-149f, -0x1p-149f};
    CHECK_EQ(bits_of(distance(METRIC_IP, one, other, 5)), 0); /* not -0 */
    CHECK_EQ(bits_of(distance(METRIC_L2, zero, minus, 5)), 0);
    CHECK_EQ(bits_of(distance(METRIC_L2, one, one, 5)), 0);
    CHECK_EQ(bits_of(distance(METRIC_COSINE, one, one, 5)), 0);
    CHECK_NEAR(distance(METRIC_COSINE, tiny, tiny, 5), 0, 1e-15); /* by way of double */
    CHECK(distance(METRIC_COSINE, zero, one, 5) == 1);
    CHECK(distance(METRIC_COSINE, one, zero, 5) == 1);
    CHECK(distance(METRIC_COSINE, zero, minus, 5) == 1);
}

static void cosine_stays_between_0_and_2(void) {
    uint64_t state = test_seed();
    for (size_t round = 0; round < 3000; round++) {
        const size_t n = 1 + (size_t)(test_random(&state) % 70);
        fill(&state, round % KINDS, a, n);
        for (size_t i = 0; i < n; i++) b[i] = round % 2 ? 0.7f * a[i] : -0.7f * a[i];
        const float got = distance(METRIC_COSINE, a, b, n);
        CHECK(got >= 0 && got <= 2);
    }
}

/* ---- what codes need ---- */

/* Hardly any of it in order; NaN and infinities among it. */
static float random_bits(uint64_t *state) {
    const uint32_t bits = (uint32_t)test_random(state);
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static void a08_a09_every_set_transforms_quantises_and_makes_tables_as_scalar_does(void) {
    static float y[2][4096], signs[4096], v[2][4096];
    static uint8_t u[2][4096], lut[2][4 * 4096];
    uint64_t state = test_seed();
    const Kernels *k;
    for (size_t i = 0; (k = tested(i)) != NULL; i++)
        for (size_t round = 0; round < 60; round++) {
            const size_t n = (size_t)64 << round % 7;
            const uint32_t bits = 1 + (uint32_t)(round % 8);
            fill(&state, round % KINDS, a, n);
            for (size_t j = 0; j < n; j++) signs[j] = test_random(&state) % 2 ? 0.125f : -0.125f;
            for (size_t which = 0; which < 2; which++) {
                const Kernels *set = which ? k : &kernels_scalar;
                memcpy(y[which], a, n * sizeof *a);
                set->hadamard(y[which], signs, n);
            }
            for (size_t j = 0; j < n; j++) CHECK_EQ(bits_of(y[1][j]), bits_of(y[0][j]));

            fill(&state, 1, a, n);
            const float inverse = random_finite(&state, -8, 8);
            if (round % 5 == 0) /* anything at all must be clamped, not converted */
                for (size_t j = 0; j < n; j++) a[j] = random_bits(&state);
            kernels_scalar.quantise(a, n, inverse, bits, u[0], v[0]);
            k->quantise(a, n, inverse, bits, u[1], v[1]);
            CHECK_BYTES(u[1], n, u[0], n);
            CHECK_BYTES(v[1], 4 * n, v[0], 4 * n);

            fill(&state, round % 2, a, n);
            float greatest = 0;
            for (size_t j = 0; j < n; j += 4)
                greatest = fmaxf(greatest,
                                 fabsf(a[j]) + fabsf(a[j + 1]) + fabsf(a[j + 2]) + fabsf(a[j + 3]));
            const float scale = 63 / greatest;
            const uint32_t sum = kernels_scalar.code_table(a, n / 4, scale, lut[0]);
            CHECK_EQ(k->code_table(a, n / 4, scale, lut[1]), sum);
            CHECK_BYTES(lut[1], 4 * n, lut[0], 4 * n);
            uint32_t sum_by_hand = 0;
            uint8_t most = 0;
            for (size_t j = 0; j < 4 * n; j++) {
                sum_by_hand += lut[0][j];
                if (lut[0][j] > most) most = lut[0][j];
            }
            CHECK_EQ(sum, sum_by_hand);
            CHECK_EQ(most, 63);
        }
}

enum { SCAN_DIMENSIONS_MAX = 16384, SCAN_BLOCKS_MAX = 3 };
static uint8_t scan_lut[4 * SCAN_DIMENSIONS_MAX];
static uint8_t scan_blocks[CODE_BLOCK_PLANES + 4 * SCAN_DIMENSIONS_MAX * CODE_BITS_MAX + SLACK];

/* All bits that a block may have, at any address, up to the last byte of an array. */
static void a08_a09_f12_every_set_scans_any_bits_as_scalar_does(void) {
    uint64_t state = test_seed();
    const Kernels *k;
    for (size_t round = 0; round < 240; round++) {
        const size_t padded = round % 40 == 0   ? SCAN_DIMENSIONS_MAX
                              : round % 40 == 1 ? 4224 /* more nibbles than 16 bits hold */
                                                : 64 * (1 + (size_t)(test_random(&state) % 10));
        const uint32_t bits =
            round % 80 == 0 ? CODE_BITS_MAX : 1 + (uint32_t)(round % CODE_BITS_MAX);
        CodeScan s = {scan_lut, padded / 4, bits, random_finite(&state, -8, 8),
                      random_finite(&state, -8, 8), random_finite(&state, -8, 8),
                      random_finite(&state, 0, 1), random_finite(&state, -4, 4),
                      random_finite(&state, -4, 4)};
        if (round % 9 == 0) s.delta = random_bits(&state), s.base = random_bits(&state);
        const size_t size = CODE_BLOCK_PLANES + 4 * padded * bits;
        const size_t count = round % 40 == 0 ? 1 : 1 + round % SCAN_BLOCKS_MAX;
        uint8_t *blocks = scan_blocks + sizeof scan_blocks - count * size - round % SLACK;
        for (size_t i = 0; i < 4 * padded; i++)
            scan_lut[i] = round % 40 == 0 ? 63 : (uint8_t)(test_random(&state) % 64);
        for (size_t i = 0; i < count * size; i++) blocks[i] = (uint8_t)test_random(&state);
        for (size_t i = 0; i < count && round % 3; i++) { /* heads that make numbers */
            for (size_t j = 0; j < 5; j++) {
                const float value = random_finite(&state, -10, 0);
                memcpy(blocks + i * size + 4 * j, &value, 4);
            }
            memset(blocks + i * size + CODE_BLOCK_ADD, 0xff, 4); /* two unknown lanes */
        }
        float est[2][SCAN_BLOCKS_MAX * CODE_LANES], bound[2][SCAN_BLOCKS_MAX * CODE_LANES];
        CodeLeast least[2][SCAN_BLOCKS_MAX];
        kernels_scalar.code_scan(&s, blocks, count, est[0], bound[0], least[0]);
        for (size_t i = 0; i < count * CODE_LANES; i++)
            CHECK(est[0][i] == est[0][i] && bound[0][i] == bound[0][i]);
        if (round % 3) CHECK(est[0][1] == INFINITY && bound[0][1] == -INFINITY);
        for (size_t i = 0; (k = tested(i)) != NULL; i++) {
            k->code_scan(&s, blocks, count, est[1], bound[1], least[1]);
            const size_t bytes = count * CODE_LANES * sizeof(float);
            if (!CHECK_BYTES(est[1], bytes, est[0], bytes) ||
                !CHECK_BYTES(bound[1], bytes, bound[0], bytes))
                CHECK_STR(k->name, "one that scans as scalar does");
            for (size_t at = 0; at < count; at++) { /* -0 is 0 */
                CHECK(least[1][at].est == least[0][at].est && least[1][at].bound == least[0][at].bound);
                for (size_t lane = 0; lane < CODE_LANES; lane++)
                    CHECK(least[1][at].est <= est[0][CODE_LANES * at + lane] &&
                          least[1][at].bound <= bound[0][CODE_LANES * at + lane]);
            }
        }
    }
}

void kernels_test(void);
void kernels_test(void) {
    RUN(a08_a09_every_set_transforms_quantises_and_makes_tables_as_scalar_does);
    RUN(a08_a09_f12_every_set_scans_any_bits_as_scalar_does);
    RUN(every_set_gives_the_bits_of_the_definition);
    RUN(many_rows_give_what_each_gives_alone);
    RUN(results_are_those_of_every_other_host);
    RUN(the_first_set_is_chosen_and_the_last_is_scalar);
    RUN(distances_are_within_1e5th_of_the_truth);
    RUN(no_finite_vectors_overflow_on_the_way);
    RUN(a_distance_does_not_depend_on_its_batch);
    RUN(zero_is_a_plain_zero);
    RUN(cosine_stays_between_0_and_2);
}
