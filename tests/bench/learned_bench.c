/* learned_bench.c - the learned index against a plain search: bytes, and nanoseconds per key.
 *
 * clang-22 -std=c11 -O2 -ffp-contract=off -Icore tests/bench/learned_bench.c core/segment/learned.c \
 *     core/host/env.c core/base/status.c -o build/learned_bench
 * or for WASM: --target=wasm32-wasi -Wno-deprecated --no-wasm-opt -msimd128, run by
 * tests/lib/wasm-run.mjs. Arguments: count, epsilon, shape, way (plain, learned): only that, a
 * million look-ups, for a counter of instructions.
 *
 * Keys are u64. 64 to 4096 of them are a segment's fences, those of every 36th row; more are the
 * keys of a column. "plain" is a binary search without branches over them, which take 8 bytes each; "learned"
 * finds a window and searches that. Both look at the keys themselves, since a fence must be
 * compared; `bytes` are the model's own, per key. The best of 15 rounds; answers are checked. */
#include "segment/learned.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 15, LOOKUPS = 1 << 15, SHAPES = 6, ROWS_PER_BLOCK = 36, FENCES_MAX = 4096 };
static const char *const shape_names[SHAPES] = {"sequential", "decimal", "jittered", "bursty", "zipfian", "random"};

static double now(void) {
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint64_t splitmix(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int compare_u64(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t shape_key(int shape, uint64_t row, uint64_t *state) {
    uint64_t random = splitmix(state), text = 0;
    switch (shape) {
    case 0: return row;
    case 1:
        for (int digit = 0; digit < 8; digit++, row /= 10) text |= (uint64_t)('0' + row % 10) << 8 * digit;
        return text;
    case 2: return row * 16 + random % 16;
    case 3: return row / 7200 * 100000007u + row % 7200;
    case 4: return ((uint64_t)1 << (random % 48)) + (random >> 16) % ((uint64_t)1 << (random % 48));
    default: return random;
    }
}

static uint64_t *sorted_keys(int shape, uint32_t count) {
    uint32_t each = count > FENCES_MAX ? 1 : ROWS_PER_BLOCK, rows = count * each;
    uint64_t *keys = malloc(rows * sizeof *keys), state = 7;
    if (!keys) exit(1);
    for (uint32_t i = 0; i < rows; i++) keys[i] = shape_key(shape, i, &state);
    qsort(keys, rows, sizeof *keys, compare_u64);
    /* Blocks are not all of the same number of rows. */
    for (uint32_t i = 0; each > 1 && i < count; i++) keys[i] = keys[i * each + splitmix(&state) % 4];
    return keys;
}

/* Places of keys below `key` in from[0 .. left). */
static inline uint32_t search(const uint8_t *from, uint32_t left, uint64_t key) {
    const uint8_t *at = from;
    while (left > 1) {
        uint32_t half = left / 2;
        at += (0 - (size_t)(get_u64(at + 8 * (size_t)(half - 1)) < key)) & 8 * (size_t)half;
        left -= half;
    }
    return (uint32_t)((size_t)(at - from) / 8) + (left == 1 && get_u64(at) < key);
}

static inline uint32_t plain(const uint8_t *keys, uint32_t count, uint64_t key) { return search(keys, count, key); }

static inline uint32_t learned(const Learned *model, const uint8_t *keys, uint64_t key) {
    LearnedWindow window = learned_find(model, key);
    return window.low + search(keys + 8 * (size_t)window.low, window.high - window.low, key);
}

typedef struct Trial {
    uint64_t *keys, *asked;
    uint8_t *bytes, *model_bytes;
    uint32_t count;
    size_t model_size;
    double build;
    Learned model;
} Trial;

static void trial_open(Trial *t, int shape, uint32_t count, uint32_t epsilon) {
    Env env;
    env_init(&env, NULL, NULL, (uint64_t)1 << 30);
    *t = (Trial){.keys = sorted_keys(shape, count), .count = count, .asked = malloc(LOOKUPS * sizeof *t->asked),
                 .bytes = malloc(8 * (size_t)count)};
    if (!t->asked || !t->bytes) exit(1);
    for (uint32_t i = 0; i < count; i++) put_u64(t->bytes + 8 * (size_t)i, t->keys[i]);
    uint64_t state = 9;
    for (int i = 0; i < LOOKUPS; i++) t->asked[i] = t->keys[splitmix(&state) % count];
    LearnedBuilder builder = learned_begin(&env, epsilon);
    double start = now();
    for (uint32_t i = 0; i < count; i++)
        if (learned_add(&builder, t->keys[i]) != NACRE_OK) exit(1);
    if (learned_end(&builder) != NACRE_OK) exit(1);
    t->build = (now() - start) / count;
    t->model_size = learned_size(&builder);
    if (!(t->model_bytes = malloc(t->model_size))) exit(1);
    ByteWriter writer = {t->model_bytes, t->model_bytes + t->model_size};
    learned_write(&builder, &writer);
    learned_clear(&builder);
    if (!learned_open(&t->model, span_of(t->model_bytes, t->model_size))) exit(1);
    for (int i = 0; i < LOOKUPS; i++)
        if (plain(t->bytes, count, t->asked[i]) != learned(&t->model, t->bytes, t->asked[i])) {
            printf("WRONG: %s\n", shape_names[shape]);
            exit(1);
        }
}

static void trial_close(Trial *t) {
    free(t->keys);
    free(t->asked);
    free(t->bytes);
    free(t->model_bytes);
}

static uint64_t pass(const Trial *t, bool with_model) {
    uint64_t sum = 0;
    /* Each look-up waits for the one before, as a get waits for its block. */
    if (with_model)
        for (int i = 0; i < LOOKUPS; i++) sum += learned(&t->model, t->bytes, t->asked[i] + (sum >> 63));
    else
        for (int i = 0; i < LOOKUPS; i++) sum += plain(t->bytes, t->count, t->asked[i] + (sum >> 63));
    return sum;
}

static void measure(int shape, uint32_t count, uint32_t epsilon) {
    Trial t;
    double ways[2] = {1e9, 1e9};
    uint64_t sums[2] = {0};
    trial_open(&t, shape, count, epsilon);
    for (int round = 0; round < ROUNDS; round++)
        for (int way = 0; way < 2; way++) {
            double start = now();
            sums[way] += pass(&t, way == 1);
            double took = (now() - start) / (double)LOOKUPS;
            if (took < ways[way]) ways[way] = took;
        }
    if (sums[0] != sums[1]) exit(1);
    printf("%-10s %8u keys, epsilon %3u: %6u pieces, %8.4f bytes per key, built in %5.1f ns; plain %6.1f ns, learned %6.1f ns\n",
           shape_names[shape], count, epsilon, t.model.piece_count, (double)t.model_size / count, t.build, ways[0], ways[1]);
    trial_close(&t);
}

int main(int argc, char **argv) {
    static const uint32_t counts[] = {64, 512, 4096, 65536, 1000000}, epsilons[] = {1, 4, 16, 64};
    if (argc == 5) {
        Trial t;
        uint64_t sum = 0;
        trial_open(&t, atoi(argv[3]) % SHAPES, (uint32_t)strtoul(argv[1], NULL, 10), (uint32_t)strtoul(argv[2], NULL, 10));
        for (int i = 0; i < 32; i++) sum += argv[4][0] == 'n' ? 0 : pass(&t, argv[4][0] == 'l');
        printf("%llu\n", (unsigned long long)sum);
        trial_close(&t);
        return 0;
    }
    for (int shape = 0; shape < SHAPES; shape++)
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
            for (size_t e = 0; e < sizeof epsilons / sizeof *epsilons; e++) measure(shape, counts[c], epsilons[e]);
    return 0;
}
