/* train_test.c - training: the same bytes whatever the slices, recalls that are kept, and samples
 * that would mislead it. */
#include "lib/failing_allocator.h"
#include "lib/vector_lab.h"

#include <math.h>

#define GOLDEN_L2     UINT64_C(0x5f31c85443882552)
#define GOLDEN_COSINE UINT64_C(0xb2638365c7d80b15)
#define GOLDEN_IP     UINT64_C(0xca098192e9d2c94)

enum { ROWS = 4000, DIMENSIONS = 32, PADDED = 64, LISTS = 20, QUERIES = 200, HITS = 100 };

static Env env;
static float made[(ROWS + QUERIES) * DIMENSIONS];
static uint8_t scratch_memory[1 << 18];

static void begin(uint32_t clusters) {
    env_init(&env, NULL, NULL, 256 << 20);
    lab_fill(made, ROWS + QUERIES, DIMENSIONS, clusters, 3);
}

static CodeShape shape_of(Metric metric) { return (CodeShape){DIMENSIONS, PADDED, 1, metric}; }

/* The same sample and seed is the same codebook: however it is sliced, with any kernels, on every
 * host; so the id is a constant. */
static void f31_the_same_sample_is_the_same_codebook_everywhere(void) {
    const size_t works[] = {1, 7, 1000, SIZE_MAX};
    const uint64_t ids[] = {0, GOLDEN_L2, GOLDEN_COSINE, GOLDEN_IP};
    begin(0);
    for (int metric = METRIC_L2; metric <= METRIC_IP; metric++) {
        const CodeShape shape = shape_of((Metric)metric);
        const Kernels *k;
        for (size_t i = 0; (k = kernels_at(i)) != NULL; i++) {
            Codebook *c =
                lab_train(&env, k, &shape, 11, made, ROWS, LISTS, works[(i + (size_t)metric) % 4]);
            REQUIRE(c);
            if (c->id != ids[metric])
                printf("# id of metric %d: 0x%llx\n", metric, (unsigned long long)c->id);
            CHECK(c->id == ids[metric]);
            codebook_release(c);
        }
    }
    const CodeShape shape = shape_of(METRIC_L2);
    for (size_t w = 0; w < 4; w++) {
        Codebook *c = lab_train(&env, kernels_choose(), &shape, 11, made, ROWS, LISTS, works[w]);
        CHECK(c->id == GOLDEN_L2);
        codebook_release(c);
    }
    Codebook *other = lab_train(&env, kernels_choose(), &shape, 12, made, ROWS, LISTS, 100);
    CHECK(other->id != GOLDEN_L2);
    codebook_release(other);
    CHECK_EQ(env.memory_used, 0);
}

/* ---- recall ---- */

/* Smaller is nearer. */
static float far_of(const Codebook *c, const Kernels *k, const float *query, const float *row) {
    const size_t n = c->shape.dimensions;
    if (c->shape.metric == METRIC_L2) return k->l2(query, row, n);
    const float dot = k->dot(query, row, n);
    return c->shape.metric == METRIC_IP ? -dot : -dot / sqrtf(k->dot(row, row, n));
}

static void near_rows_of(const Codebook *c, const Kernels *k, const float *query, const float *rows,
                         uint32_t count, uint32_t near_rows[HITS]) {
    float far[HITS];
    uint32_t hits = 0;
    for (uint32_t i = 0; i < count; i++) {
        const float distance = far_of(c, k, query, rows + (size_t)i * c->shape.dimensions);
        if (hits == HITS && distance >= far[HITS - 1]) continue;
        uint32_t at = hits < HITS ? hits++ : HITS - 1;
        for (; at > 0 && far[at - 1] > distance; at--)
            far[at] = far[at - 1], near_rows[at] = near_rows[at - 1];
        far[at] = distance, near_rows[at] = i;
    }
}

/* Recall here is the share of the true neighbours that lie in the lists a query reads. It is kept,
 * for 10 neighbours and for 100, and not by reading everything. */
static void check_recalls(const char *name, const CodeShape *shape, uint32_t lists,
                          const float *rows, uint32_t count, const float *queries,
                          uint32_t query_count) {
    enum { CASES = 4 };
    const struct {
        float recall;
        uint32_t rank;
    } cases[CASES] = {{.9f, 10}, {.95f, 10}, {.99f, 10}, {.95f, 100}};
    const Kernels *k = kernels_choose();
    const size_t n = shape->dimensions;
    uint32_t got[CASES] = {0}, read[CASES] = {0}, near_rows[HITS];
    Codebook *c = lab_train(&env, k, shape, 1, rows, count, lists, 500);
    float *y = malloc(4 * (size_t)shape->padded), *squares = malloc(4 * (size_t)c->lists);
    uint32_t *found = malloc(4 * (size_t)c->lists), *list_of = malloc(4 * (size_t)count);
    void *scratch = codebook_align(scratch_memory);
    CHECK(codebook_scratch(c) + 64 <= sizeof scratch_memory);

    for (uint32_t i = 0; i < count; i++) {
        codebook_frame(c, k, rows + i * n, y);
        list_of[i] = codebook_assign(c, k, y, scratch);
    }
    for (uint32_t q = 0; q < query_count; q++) {
        near_rows_of(c, k, queries + q * n, rows, count, near_rows);
        codebook_frame(c, k, queries + q * n, y);
        for (size_t i = 0; i < CASES; i++) {
            const uint32_t asked =
                codebook_ask(c, k, y, cases[i].recall, cases[i].rank, found, squares, scratch);
            read[i] += asked;
            for (uint32_t h = 0; h < cases[i].rank; h++)
                for (uint32_t l = 0; l < asked; l++) got[i] += list_of[near_rows[h]] == found[l];
        }
    }
    for (size_t i = 0; i < CASES; i++) {
        const double recall = (double)cases[i].recall,
                     share = (double)got[i] / (cases[i].rank * query_count);
        const double lists_read = (double)read[i] / query_count;
        printf("# %s: recall %.2f of %u asked for, %.4f got, %.1f of %u lists\n", name, recall,
               (unsigned)cases[i].rank, share, lists_read, (unsigned)c->lists);
        CHECK(share >= recall - (cases[i].rank > 10 ? .01 : .005));
        CHECK(lists_read <= .8 * c->lists);
    }
    free(y), free(squares), free(found), free(list_of);
    codebook_release(c);
}

static void f06_f34_recall_is_kept_on_made_sets(void) {
    const char *names[] = {"", "made, l2", "made, cosine", "made, ip"};
    for (int metric = METRIC_L2; metric <= METRIC_IP; metric++)
        for (uint32_t clusters = 0; clusters <= 100; clusters += 100) {
            const CodeShape shape = shape_of((Metric)metric);
            begin(clusters);
            check_recalls(names[metric], &shape, 40, made, ROWS, made + ROWS * DIMENSIONS, QUERIES);
        }
}

#ifndef __wasm__
/* Real queries are no rows: questions about the texts are farther from them than they are from each
 * other. The files are read where tests have a file system, which WebAssembly's have not. */
static void f06_f34_recall_is_kept_for_real_queries(void) {
    const struct {
        const char *name, *rows, *queries;
        bool is_signed;
        Metric metric;
        uint32_t dimensions, lists;
    } sets[] = {
        {"descriptors", "tests/data/bigann10k.u8.npy", "tests/data/bigann10k.queries.u8.npy", false,
         METRIC_L2, 128, 0},
        {"texts", "examples/data/packages.i8.npy", "examples/data/queries.i8.npy", true,
         METRIC_COSINE, 384, 100},
    };
    begin(0);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        const uint32_t dimensions = sets[i].dimensions;
        const CodeShape shape = {dimensions, code_padded(dimensions), 1, sets[i].metric};
        uint32_t count = 0, query_count = 0;
        float *rows = lab_npy(sets[i].rows, sets[i].is_signed, dimensions, &count);
        float *queries = lab_npy(sets[i].queries, sets[i].is_signed, dimensions, &query_count);
        REQUIRE(rows && queries && count >= 5000 && query_count >= 100);
        check_recalls(sets[i].name, &shape, sets[i].lists, rows, count, queries, query_count);
        free(rows), free(queries);
    }
}
#endif

/* ---- samples that would mislead ---- */

/* What is made of it can be written, read and asked. */
static void check_usable(Codebook *c, const float *row) {
    static float y[PADDED], squares[400];
    static uint32_t found[400];
    const Kernels *k = kernels_choose();
    Codebook *again = NULL;
    REQUIRE(c);
    uint8_t *bytes = malloc(codebook_bytes(c));
    codebook_write(c, bytes);
    CHECK(codebook_read(&env, k, span_of(bytes, codebook_bytes(c)), &again) == NACRE_OK);
    codebook_frame(c, k, row, y);
    const uint32_t list = codebook_assign(c, k, y, codebook_align(scratch_memory));
    const uint32_t count =
        codebook_ask(c, k, y, .95f, 10, found, squares, codebook_align(scratch_memory));
    CHECK(list < c->lists && count >= 1 && count <= c->lists);
    CHECK_EQ(found[0], list);
    free(bytes);
    codebook_release(again), codebook_release(c);
    CHECK_EQ(env.memory_used, 0);
}

static void samples_of_few_or_equal_rows_are_trained_on(void) {
    const uint32_t counts[] = {0, 1, 2, 5, 40, 500};
    begin(0);
    for (int metric = METRIC_L2; metric <= METRIC_COSINE; metric++)
        for (int kind = 0; kind < 4; kind++)
            for (size_t i = 0; i < 6; i++)
                for (uint32_t lists = 1; lists <= 300; lists += 299) {
                    const CodeShape shape = shape_of((Metric)metric);
                    static float rows[1000 * DIMENSIONS];
                    for (uint32_t r = 0; r < 1000; r++)
                        for (uint32_t j = 0; j < DIMENSIONS; j++)
                            rows[r * DIMENSIONS + j] =
                                kind == 0   ? 0                            /* no direction */
                                : kind == 1 ? 1                            /* all equal */
                                : kind == 2 ? made[r % 3 * DIMENSIONS + j] /* three of them */
                                            : made[r * DIMENSIONS + j] * 0x1p-120f; /* tiny */
                    check_usable(
                        lab_train(&env, kernels_choose(), &shape, 2, rows, counts[i], lists, 50),
                        rows);
                }
}

/* Rows that floats cannot square are left out, huge ones are rows like others. */
static void rows_without_a_place_are_left_out(void) {
    const CodeShape shape = shape_of(METRIC_L2);
    begin(0);
    Codebook *clean = lab_train(&env, kernels_choose(), &shape, 2, made, 1000, 10, 50);
    static float rows[2000 * DIMENSIONS];
    for (uint32_t r = 0; r < 2000; r++)
        for (uint32_t j = 0; j < DIMENSIONS; j++)
            rows[r * DIMENSIONS + j] = r % 2 ? 3e38f : made[r / 2 * DIMENSIONS + j];
    Trainer *t = NULL;
    REQUIRE(trainer_create(&env, kernels_choose(), &shape, 2, 1000, 10, (size_t)64 << 20, &t) ==
            NACRE_OK);
    for (uint32_t r = 0; r < 2000; r++) CHECK(trainer_add(t, rows + r * DIMENSIONS) == NACRE_OK);
    Codebook *c = NULL;
    for (bool done = false; !done;) CHECK(trainer_step(t, 1000, &done) == NACRE_OK);
    CHECK(trainer_take(t, &c) == NACRE_OK);
    trainer_free(t);
    CHECK(c->id == clean->id);
    codebook_release(clean);
    check_usable(c, made);

    for (uint32_t i = 0; i < 1000 * DIMENSIONS; i++) rows[i] = made[i] * 0x1p55f;
    check_usable(lab_train(&env, kernels_choose(), &shape, 2, rows, 1000, 10, 50), rows);
}

/* ---- memory and work ---- */

static void little_memory_makes_small_samples_then_few_lists(void) {
    const CodeShape shape = shape_of(METRIC_L2);
    uint32_t wanted = UINT32_MAX, lists = 150;
    begin(0);
    for (size_t memory = (size_t)8 << 20; memory >= 64 << 10; memory /= 2) {
        Trainer *t = NULL;
        Codebook *c = NULL;
        env.memory_peak = 0;
        REQUIRE(trainer_create(&env, kernels_choose(), &shape, 1, 30000, 0, memory, &t) ==
                NACRE_OK);
        CHECK(trainer_wants(t) <= wanted);
        wanted = trainer_wants(t);
        const uint32_t count = wanted < ROWS ? wanted : ROWS;
        for (uint32_t i = 0; i < count; i++)
            CHECK(trainer_add(t, made + i * DIMENSIONS) == NACRE_OK);
        for (bool done = false; !done;) CHECK(trainer_step(t, 5000, &done) == NACRE_OK);
        CHECK(trainer_take(t, &c) == NACRE_OK);
        trainer_free(t);
        CHECK(env.memory_peak <= memory + memory / 4);
        CHECK(memory < (size_t)8 << 20 ? c->lists <= lists : c->lists == lists);
        lists = c->lists;
        codebook_release(c);
    }
    CHECK(wanted < 300 && lists < 20);
    CHECK_EQ(env.memory_used, 0);
}

/* Units follow from counts alone, and each is small: no data makes training long. */
static void a_unit_of_work_is_small_and_their_number_is_known(void) {
    const CodeShape shape = shape_of(METRIC_L2);
    uint64_t units[2] = {0, 0};
    begin(0);
    for (int equal = 0; equal < 2; equal++) {
        Trainer *t = NULL;
        REQUIRE(trainer_create(&env, kernels_choose(), &shape, 1, ROWS, LISTS, (size_t)64 << 20,
                               &t) == NACRE_OK);
        for (uint32_t i = 0; i < 1500; i++)
            CHECK(trainer_add(t, made + (equal ? 0 : i) * DIMENSIONS) == NACRE_OK);
        for (bool done = false; !done; units[equal]++) CHECK(trainer_step(t, 1, &done) == NACRE_OK);
        trainer_free(t); /* what was made goes with it */
    }
    CHECK_EQ(units[0], units[1]);
    CHECK(units[0] > 6 * 1125 && units[0] < 12 * 1500);
    CHECK_EQ(env.memory_used, 0);
}

static void a_refused_allocation_of_training_leaks_nothing(void) {
    const CodeShape shape = shape_of(METRIC_COSINE);
    begin(0);
    for (uint64_t nth = 1, failed = 1; failed; nth++) {
        FailingAllocator memory;
        failing_allocator_init(&memory);
        failing_allocator_fail_at(&memory, nth, false);
        env_init(&env, NULL, &memory.allocator, 64 << 20);
        Trainer *t = NULL;
        const nacre_status status =
            trainer_create(&env, kernels_choose(), &shape, 1, 2000, 0, (size_t)8 << 20, &t);
        failed = memory.failed;
        CHECK(status == (failed ? NACRE_RESOURCE_EXHAUSTED : NACRE_OK));
        CHECK((t == NULL) == (failed > 0));
        trainer_free(t);
        CHECK(failing_allocator_clean(&memory));
        failing_allocator_clear(&memory);
    }
}

void train_test(void) {
    RUN(f31_the_same_sample_is_the_same_codebook_everywhere);
    RUN_FAST(f06_f34_recall_is_kept_on_made_sets);
#ifndef __wasm__
    RUN_FAST(f06_f34_recall_is_kept_for_real_queries);
#endif
    RUN(samples_of_few_or_equal_rows_are_trained_on);
    RUN(rows_without_a_place_are_left_out);
    RUN(little_memory_makes_small_samples_then_few_lists);
    RUN(a_unit_of_work_is_small_and_their_number_is_known);
    RUN(a_refused_allocation_of_training_leaks_nothing);
}
