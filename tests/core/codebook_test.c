/* codebook_test.c - a codebook in memory and as bytes, and the lists it tells rows and queries. */
#include "lib/failing_allocator.h"
#include "lib/vector_lab.h"

#include "base/checksum.h"
#include "base/codec.h"
#include "vector/shortlist.h"

#include <math.h>

enum { ROWS = 3000, DIMENSIONS = 40, PADDED = 64, LISTS = 300, QUERIES = 200 };

static Env env;
static const Kernels *kernels;
static float rows[(ROWS + QUERIES) * DIMENSIONS];
static uint8_t scratch_memory[1 << 16];

static CodeShape shape_of(Metric metric) { return (CodeShape){DIMENSIONS, PADDED, 1, metric}; }

static Codebook *codebook_of(Metric metric, uint32_t lists) {
    const CodeShape shape = shape_of(metric);
    env_init(&env, NULL, NULL, 64 << 20);
    kernels = kernels_choose();
    lab_fill(rows, ROWS + QUERIES, DIMENSIONS, 30, 1);
    return lab_train(&env, kernels, &shape, 5, rows, ROWS, lists, 100);
}

static void *scratch_of(const Codebook *c) {
    CHECK(codebook_scratch(c) + 64 <= sizeof scratch_memory);
    return codebook_align(scratch_memory);
}

/* ---- bytes ---- */

static void f06_a_codebook_comes_back_from_its_bytes(void) {
    const uint32_t lists[] = {1, 20, LISTS};
    for (int metric = METRIC_L2; metric <= METRIC_IP; metric++)
        for (size_t l = 0; l < 3; l++) {
            Codebook *c = codebook_of((Metric)metric, lists[l]), *again = NULL;
            const size_t size = codebook_bytes(c);
            uint8_t *bytes = malloc(2 * size);
            codebook_write(c, bytes);
            CHECK(codebook_read(&env, kernels, span_of(bytes, size), &again) == NACRE_OK);
            codebook_write(again, bytes + size);
            CHECK_BYTES(bytes, size, bytes + size, size);
            CHECK_EQ(again->id, c->id);
            CHECK_EQ(again->lists, lists[l]);

            static float y[PADDED], z[PADDED], squares[2][LISTS];
            static uint32_t found[2][LISTS];
            for (uint32_t q = 0; q < 20; q++) {
                const float *query = rows + (ROWS + q) * DIMENSIONS;
                codebook_frame(c, kernels, query, y), codebook_frame(again, kernels, query, z);
                CHECK_BYTES(y, sizeof y, z, sizeof z);
                const uint32_t count =
                    codebook_ask(c, kernels, y, .9f, 10, found[0], squares[0], scratch_of(c));
                CHECK_EQ(
                    codebook_ask(again, kernels, y, .9f, 10, found[1], squares[1], scratch_of(c)),
                    count);
                CHECK_BYTES(found[0], 4 * count, found[1], 4 * count);
                CHECK_BYTES(squares[0], 4 * count, squares[1], 4 * count);
            }
            free(bytes);
            codebook_release(c), codebook_release(again);
            CHECK_EQ(env.memory_used, 0);
        }
}

static void check_corrupt(const uint8_t *bytes, size_t size) {
    Codebook *c = NULL;
    env_clear(&env);
    env.memory_peak = env.memory_used;
    CHECK(codebook_read(&env, kernels, span_of(bytes, size), &c) == NACRE_CORRUPT);
    CHECK(c == NULL);
    CHECK_EQ(env.memory_used, 0);
    CHECK(env.memory_peak < 2 * size + (64 << 10));
}

static void every_cut_and_every_flipped_byte_is_refused(void) {
    Codebook *c = codebook_of(METRIC_L2, 20);
    const size_t size = codebook_bytes(c);
    uint8_t *bytes = malloc(size + 1);
    codebook_write(c, bytes);
    codebook_release(c);
    bytes[size] = 0;
    check_corrupt(bytes, size + 1);
    for (size_t cut = 0; cut < size; cut++) check_corrupt(bytes, cut);
    for (size_t i = 0; i < size; i++) {
        const uint8_t was = bytes[i];
        bytes[i] = (uint8_t)(was ^ 1 << i % 8);
        check_corrupt(bytes, size);
        bytes[i] = was;
    }
    free(bytes);
}

/* Rule 1 of the format, from the page. */
static void seal(uint8_t *bytes, size_t size, size_t row) {
    uint64_t sum = checksum64(CODEBOOK_MAGIC, bytes + 8, CODEBOOK_HEAD - 8);
    for (size_t at = CODEBOOK_HEAD; at < size; at += row)
        for (size_t i = 0, piece; i < row; i += piece) {
            piece = row - i < 4 * CODEBOOK_PIECE ? row - i : 4 * CODEBOOK_PIECE;
            sum = checksum64(sum, bytes + at + i, piece);
        }
    put_u64(bytes, sum);
}

enum {
    AT_DIMENSIONS = 12,
    AT_LISTS = 24,
    AT_BITS = 28,
    AT_METRIC = 29,
    AT_PROBES = 30,
    AT_REACH = 74,
    AT_LEAST = 162,
    AT_MEAN = 166
};

static void what_a_liar_sealed_is_refused(void) {
    const struct {
        size_t at, width;
        uint32_t value;
    } lies[] = {
        {8, 4, 1}, /* another magic */
        {AT_DIMENSIONS, 4, 0},
        {AT_DIMENSIONS, 4, 65}, /* other sizes than there are bytes */
        {AT_DIMENSIONS, 4, 16385},
        {AT_DIMENSIONS, 4, UINT32_MAX},
        {AT_LISTS, 4, 0},
        {AT_LISTS, 4, 21},
        {AT_LISTS, 4, 4097},
        {AT_LISTS, 4, UINT32_MAX},
        {AT_BITS, 1, 0},
        {AT_BITS, 1, 9},
        {AT_METRIC, 1, 0},
        {AT_METRIC, 1, 4},
        {AT_PROBES, 2, 0},
        {AT_PROBES, 2, 20}, /* the next ones are lower */
        {AT_PROBES + 20, 2, 21},
        {AT_PROBES + 20, 2, 0},
        {AT_PROBES + 42, 2, 21},
        {AT_PROBES + 22, 2, 0}, /* fewer for 100 than for 10 */
        {AT_REACH + 44, 4, 0},
        {AT_REACH, 4, 0x7f800000},
        {AT_REACH, 4, 0x7fc00000}, /* infinite, not a number */
        {AT_REACH, 4, 0xbf800000},
        {AT_REACH + 40, 4, 0}, /* -1, falling */
        {AT_LEAST, 4, 0xbf800000},
        {AT_LEAST, 4, 0x7fc00000},
        {AT_MEAN, 4, 0x7f800000},
        {AT_MEAN + 4 * PADDED * 20, 4, 0xffc00000},
        {AT_MEAN + 4 * PADDED * 21 - 4, 4, 0xff800000},
    };
    Codebook *c = codebook_of(METRIC_L2, 20), *again = NULL;
    const size_t size = codebook_bytes(c);
    CHECK_EQ(size, AT_MEAN + 4 * PADDED * 21);
    CHECK_EQ(CODEBOOK_HEAD, AT_MEAN);
    uint8_t *bytes = malloc(size), *lie = malloc(size);
    codebook_write(c, bytes);
    codebook_release(c);
    memcpy(lie, bytes, size);
    seal(lie, size, 4 * PADDED);
    CHECK_BYTES(lie, size, bytes, size);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        memcpy(lie, bytes, size);
        for (size_t b = 0; b < lies[i].width; b++)
            lie[lies[i].at + b] = (uint8_t)(lies[i].value >> 8 * b);
        seal(lie, size, 4 * PADDED);
        check_corrupt(lie, size);
    }
    /* A lie that breaks no rule is taken: it is somebody's codebook. */
    memcpy(lie, bytes, size);
    put_u32(lie + AT_MEAN, 0x7f7fffff);
    put_u32(lie + AT_MEAN + 4 * PADDED, 0xff7fffff);
    seal(lie, size, 4 * PADDED);
    env_clear(&env);
    CHECK(codebook_read(&env, kernels, span_of(lie, size), &again) == NACRE_OK);
    static float y[PADDED], squares[20];
    static uint32_t found[20];
    codebook_frame(again, kernels, rows, y);
    CHECK(codebook_assign(again, kernels, y, scratch_of(again)) < 20);
    const uint32_t count =
        codebook_ask(again, kernels, y, .9f, 10, found, squares, scratch_of(again));
    for (uint32_t i = 0; i < count; i++) CHECK(found[i] < 20);
    codebook_release(again);
    free(bytes), free(lie);
}

static void a_refused_allocation_leaks_nothing(void) {
    const CodeShape shape = shape_of(METRIC_COSINE);
    Codebook *c = codebook_of(METRIC_COSINE, LISTS);
    const size_t size = codebook_bytes(c);
    uint8_t *bytes = malloc(size);
    codebook_write(c, bytes);
    codebook_release(c);
    for (uint64_t nth = 1, failed = 1; failed; nth++) {
        FailingAllocator memory;
        failing_allocator_init(&memory);
        failing_allocator_fail_at(&memory, nth, false);
        env_init(&env, NULL, &memory.allocator, 64 << 20);
        Codebook *read = NULL, *flat = NULL;
        const nacre_status one = codebook_read(&env, kernels, span_of(bytes, size), &read);
        const nacre_status two =
            codebook_flat(&env, kernels, &shape, 1, (const void *)rows, 4 * DIMENSIONS, 100, &flat);
        failed = memory.failed;
        CHECK_EQ((one == NACRE_RESOURCE_EXHAUSTED) + (two == NACRE_RESOURCE_EXHAUSTED),
                 failed ? 1 : 0);
        CHECK((read == NULL) == (one != NACRE_OK) && (flat == NULL) == (two != NACRE_OK));
        codebook_release(read), codebook_release(flat);
        CHECK(failing_allocator_clean(&memory));
        failing_allocator_clear(&memory);
    }
    free(bytes);
}

/* ---- the frame ---- */

static void a_frame_keeps_distances_and_has_the_mean_at_zero(void) {
    static float y[PADDED], z[PADDED], sum[PADDED];
    const CodeShape shape = shape_of(METRIC_L2);
    Codebook *c = NULL;
    codebook_release(codebook_of(METRIC_L2, 1));
    REQUIRE(codebook_flat(&env, kernels, &shape, 9, (const void *)rows, 4 * DIMENSIONS, ROWS, &c) ==
            NACRE_OK);
    CHECK_EQ(c->lists, 1);
    CHECK_EQ(codebook_probes(c, .95f), 1);
    memset(sum, 0, sizeof sum);
    for (uint32_t i = 0; i < ROWS; i++) {
        codebook_frame(c, kernels, rows + i * DIMENSIONS, y);
        for (size_t j = 0; j < PADDED; j++) sum[j] += y[j] / (float)ROWS;
    }
    for (size_t j = 0; j < PADDED; j++) CHECK_NEAR(sum[j], 0, 1e-3);
    for (uint32_t i = 0; i < 100; i++) {
        const float *a = rows + i * DIMENSIONS, *b = rows + (i + 100) * DIMENSIONS;
        codebook_frame(c, kernels, a, y), codebook_frame(c, kernels, b, z);
        const float square = kernels->l2(a, b, DIMENSIONS);
        CHECK_NEAR(kernels->l2(y, z, PADDED), square, 1e-4 * (double)square);
    }
    uint32_t list = 7;
    float far = 0;
    CHECK_EQ(codebook_route(c, kernels, y, 5, &list, &far, scratch_of(c)), 1);
    CHECK_EQ(list, 0);
    CHECK_NEAR(far, kernels->dot(y, y, PADDED), 1e-3);
    codebook_release(c);
}

/* ---- lists ---- */

static void f06_nearly_every_row_is_in_its_nearest_list(void) {
    static float y[PADDED];
    Codebook *c = codebook_of(METRIC_L2, LISTS);
    CHECK(LISTS > 256); /* beyond it, codes tell */
    uint32_t same = 0;
    for (uint32_t i = 0; i < ROWS; i++) {
        codebook_frame(c, kernels, rows + i * DIMENSIONS, y);
        uint32_t best = 0;
        float least = INFINITY;
        for (uint32_t l = 0; l < LISTS; l++) {
            const float square = kernels->l2(y, c->centroids + l * PADDED, PADDED);
            if (square < least) least = square, best = l;
        }
        same += codebook_assign(c, kernels, y, scratch_of(c)) == best;
    }
    CHECK(same >= ROWS * 97 / 100);
    codebook_release(c);
}

static void f24_routing_is_exact_up_to_the_estimates(void) {
    static float y[PADDED], scores[LISTS], squares[LISTS];
    static uint32_t found[LISTS];
    static uint64_t keys[LISTS];
    for (int metric = METRIC_L2; metric <= METRIC_IP; metric++) {
        Codebook *c = codebook_of((Metric)metric, LISTS);
        uint32_t wanted = 0, got = 0;
        for (uint32_t q = 0; q < QUERIES; q++) {
            const uint32_t probes[] = {1, 10, 60, 150, LISTS, LISTS + 5}, want = probes[q % 6];
            codebook_frame(c, kernels, rows + (ROWS + q) * DIMENSIONS, y);
            codebook_scores(c, kernels, y, scores);
            for (uint32_t l = 0; l < LISTS; l++) keys[l] = shortlist_key(scores[l], l);
            shortlist_sort(keys, LISTS);
            const uint32_t count =
                codebook_route(c, kernels, y, want, found, squares, scratch_of(c));
            CHECK_EQ(count, want < LISTS ? want : LISTS);
            for (uint32_t i = 0; i < count; i++) {
                CHECK_NEAR(squares[i], kernels->l2(y, c->centroids + found[i] * PADDED, PADDED), 0);
                CHECK(i == 0 || shortlist_key(scores[found[i - 1]], found[i - 1]) <
                                    shortlist_key(scores[found[i]], found[i]));
                got += shortlist_key(scores[found[i]], found[i]) <= keys[count - 1];
            }
            wanted += count;
        }
        CHECK(got >= wanted - wanted / 200);
        codebook_release(c);
    }
}

/* More recall or more rows are never fewer lists, and recall 1 is all of them. */
static void f23_more_recall_or_rows_ask_more_lists(void) {
    static float y[PADDED], squares[LISTS];
    static uint32_t found[LISTS];
    const float recalls[] = {.01f, .8f, .9f, .93f, .95f, .97f, .99f, .999f, 1};
    for (int metric = METRIC_L2; metric <= METRIC_IP; metric++) {
        Codebook *c = codebook_of((Metric)metric, LISTS);
        uint32_t total[9] = {0};
        for (size_t r = 0; r < 9; r++) {
            for (uint32_t q = 0; q < QUERIES; q++) {
                codebook_frame(c, kernels, rows + (ROWS + q) * DIMENSIONS, y);
                const uint32_t count =
                    codebook_ask(c, kernels, y, recalls[r], 10, found, squares, scratch_of(c));
                CHECK(count >= 1 && count <= LISTS);
                total[r] += count;
            }
            CHECK(r == 0 || total[r] >= total[r - 1]);
            CHECK(r == 0 || codebook_probes(c, recalls[r]) >= codebook_probes(c, recalls[r - 1]));
        }
        for (uint64_t rank = 10, last = 0; rank < UINT64_MAX / 8; rank *= 3) {
            const uint32_t count =
                codebook_ask(c, kernels, y, .95f, rank, found, squares, scratch_of(c));
            CHECK(count >= last && count <= LISTS);
            last = count;
        }
        CHECK(total[1] < total[6]);
        CHECK_EQ(total[8], QUERIES * LISTS);
        CHECK_EQ(codebook_probes(c, 1), LISTS);
        codebook_release(c);
    }
}

/* Rule 3: what floats cannot square has no place, and asks for lists all the same. */
static void rows_beyond_floats_have_some_list(void) {
    static float y[PADDED], squares[LISTS], row[DIMENSIONS];
    static uint32_t found[LISTS];
    for (int metric = METRIC_L2; metric <= METRIC_IP; metric++)
        for (uint32_t lists = 20; lists <= LISTS; lists += LISTS - 20) {
            Codebook *c = codebook_of((Metric)metric, lists);
            for (size_t i = 0; i < DIMENSIONS; i++) row[i] = i % 2 ? 3e38f : -3e38f;
            codebook_frame(c, kernels, row, y);
            CHECK(metric == METRIC_COSINE ? y[0] < 2 && y[0] > -2 : y[0] == INFINITY);
            CHECK(codebook_assign(c, kernels, y, scratch_of(c)) < lists);
            const uint32_t count =
                codebook_ask(c, kernels, y, .99f, 10, found, squares, scratch_of(c));
            CHECK(count >= 1 && count <= lists);
            for (uint32_t i = 0; i < count; i++) CHECK(found[i] < lists);
            codebook_release(c);
        }
}

/* ---- shortlists ---- */

static void a_shortlist_has_the_smallest_and_few_more(void) {
    static float values[1000], minima[1008];
    static uint64_t keys[1000], sorted[1000];
    uint64_t state = test_seed();
    for (uint32_t round = 0; round < 300; round++) {
        const uint32_t count = 1 + (uint32_t)(test_random(&state) % 1000),
                       want = 1 + (uint32_t)(test_random(&state) % 100);
        const uint64_t range = round % 3 ? 1 << 20 : 5; /* many ties */
        for (uint32_t i = 0; i < count; i++) {
            values[i] = (float)(int64_t)(test_random(&state) % range) - 2;
            sorted[i] = shortlist_key(values[i], i);
            CHECK(shortlist_value(sorted[i]) == values[i]);
        }
        shortlist_sort(sorted, count);
        for (uint32_t i = 1; i < count; i++)
            CHECK(sorted[i - 1] < sorted[i] &&
                  values[(uint32_t)sorted[i - 1]] <= values[(uint32_t)sorted[i]]);
        const uint32_t taken = shortlist_pick(values, count, want, minima, keys);
        shortlist_sort(keys, taken);
        CHECK(taken >= (want < count ? want : count));
        CHECK_BYTES(keys, 8 * (size_t)taken, sorted, 8 * (size_t)taken);
        CHECK(round % 3 == 0 || taken <= 4 * want + 32);
    }
    for (uint32_t i = 0; i < 1000; i++) values[i] = i % 100 == 7 ? -1 : NAN;
    CHECK_EQ(shortlist_pick(values, 1000, 5, minima, keys), 10);
    for (uint32_t i = 0; i < 1000; i++) values[i] = NAN;
    CHECK_EQ(shortlist_pick(values, 1000, 5, minima, keys), 1);
    CHECK_EQ((uint32_t)keys[0], 0);
}

void codebook_test(void) {
    RUN(f06_a_codebook_comes_back_from_its_bytes);
    RUN(every_cut_and_every_flipped_byte_is_refused);
    RUN(what_a_liar_sealed_is_refused);
    RUN(a_refused_allocation_leaks_nothing);
    RUN(a_frame_keeps_distances_and_has_the_mean_at_zero);
    RUN_FAST(f06_nearly_every_row_is_in_its_nearest_list);
    RUN_FAST(f24_routing_is_exact_up_to_the_estimates);
    RUN_FAST(f23_more_recall_or_rows_ask_more_lists);
    RUN_FAST(rows_beyond_floats_have_some_list);
    RUN(a_shortlist_has_the_smallest_and_few_more);
}
