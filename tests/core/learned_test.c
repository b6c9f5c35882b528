/* The learned index: where a key is, within epsilon, whatever the keys. */
#include "lib/check.h"
#include "segment/learned.h"

#include <stdlib.h>
#include <string.h>

enum { KEYS = 20000, SHAPES = 14 };

static const char *const shape_names[SHAPES] = {
    "sequential", "bursty", "interleaved", "zipfian", "random", "powers of two", "saw teeth", "steps", "two ends", "decimal text",
    "equal runs", "all equal", "highest", "squares",
};

static int compare_u64(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t digits(uint64_t n) {
    uint64_t text = 0;
    for (int i = 0; i < 8; i++, n /= 10) text |= (uint64_t)('0' + n % 10) << 8 * i;
    return text;
}

static uint64_t shape_key(int shape, uint64_t i, uint64_t *state) {
    uint64_t random = test_random(state);
    switch (shape) {
    case 0: return 1000 + i;
    case 1: return (i / 100) * 1000000007u + i % 100 * (1 + i / 100 % 7);         /* bursts of 100 */
    case 2: return (i % 8) << 56 | i / 8 * 3;                                     /* eight counters */
    case 3: return ((uint64_t)1 << (random % 40)) + (random >> 40) % ((uint64_t)1 << (random % 40)); /* log-uniform */
    case 4: return random;
    case 5: return i < 64 ? (uint64_t)1 << i : UINT64_MAX - ((uint64_t)1 << (i % 63));
    case 6: return i * 1000 + (i % 2 ? 900 : 0) + (i % 34 < 17 ? 20000 : 0);      /* just too far off */
    case 7: return i / 64 * ((uint64_t)1 << 40) + i % 64;                         /* flat, then a jump */
    case 8: return i % 2 ? i : UINT64_MAX - i;
    case 9: return digits(i * 37);
    case 10: return i / (1 + i % 300);
    case 11: return 42;
    case 12: return UINT64_MAX;
    default: return i * i * i;
    }
}

typedef struct Lines {
    Env env;
    uint64_t *keys;
    uint32_t count;
    uint8_t *bytes;
    size_t size;
    Learned model;
} Lines;

static void lines_of(Lines *lines, uint64_t *keys, uint32_t count, uint32_t epsilon) {
    *lines = (Lines){.keys = keys, .count = count};
    env_init(&lines->env, NULL, NULL, (uint64_t)64 << 20);
    LearnedBuilder builder = learned_begin(&lines->env, epsilon);
    for (uint32_t i = 0; i < count; i++) CHECK_EQ(learned_add(&builder, keys[i]), NACRE_OK);
    CHECK_EQ(learned_end(&builder), NACRE_OK);
    lines->size = learned_size(&builder);
    lines->bytes = malloc(lines->size);
    ByteWriter writer = {lines->bytes, lines->bytes + lines->size};
    learned_write(&builder, &writer);
    CHECK(writer.at == writer.end);
    learned_clear(&builder);
    CHECK_EQ(lines->env.memory_used, 0);
    CHECK(learned_open(&lines->model, span_of(lines->bytes, lines->size)));
}

static uint64_t *shape_keys(int shape, uint32_t count) {
    uint64_t *keys = malloc(count * sizeof *keys), state = test_seed() + (uint64_t)shape;
    for (uint32_t i = 0; i < count; i++) keys[i] = shape_key(shape, i, &state);
    qsort(keys, count, sizeof *keys, compare_u64);
    return keys;
}

static uint32_t place_of(const uint64_t *keys, uint32_t count, uint64_t key) {
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (keys[middle] < key) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* 1 if the key's place lies outside of the window, or the window is wider than it may be. */
static uint32_t misses(const Lines *lines, uint64_t key) {
    LearnedWindow window = learned_find(&lines->model, key);
    uint32_t place = place_of(lines->keys, lines->count, key);
    return place < window.low || place > window.high || window.high - window.low > 2 * lines->model.epsilon + LEARNED_SLACK;
}

/* Those that are there, their neighbours, and what lies between. */
static void g20_every_key_is_found(void) {
    static const uint32_t epsilons[] = {0, 1, 4, 16, 64, 1000};
    for (int shape = 0; shape < SHAPES; shape++) {
        uint64_t *keys = shape_keys(shape, KEYS);
        for (size_t e = 0; e < sizeof epsilons / sizeof *epsilons; e++) {
            Lines lines;
            lines_of(&lines, keys, KEYS, epsilons[e]);
            uint32_t lost = 0;
            for (uint32_t i = 0; i < KEYS; i++) {
                uint64_t key = keys[i], next = i + 1 < KEYS ? keys[i + 1] : UINT64_MAX;
                lost += misses(&lines, key) + misses(&lines, key + 1) + misses(&lines, key - 1) + misses(&lines, key + (next - key) / 2);
            }
            for (int bit = 0; bit < 64; bit++) lost += misses(&lines, (uint64_t)1 << bit) + misses(&lines, ((uint64_t)1 << bit) - 1);
            lost += misses(&lines, UINT64_MAX);
            if (!CHECK_EQ(lost, 0)) CHECK_STR(shape_names[shape], "(the shape)");
            free(lines.bytes);
        }
        free(keys);
    }
}

/* Few keys, of all small distances: nothing is left to chance. */
static void g20_every_key_of_every_small_sequence_is_found(void) {
    enum { COUNT = 7, STEPS = 4, SEQUENCES = 4096 /* STEPS to the power of COUNT - 1 */ };
    static const uint64_t steps[STEPS] = {0, 1, 3, (uint64_t)1 << 34};
    uint32_t lost = 0;
    for (uint32_t code = 0; code < SEQUENCES; code++) {
        uint64_t keys[COUNT] = {5};
        for (uint32_t i = 1, rest = code; i < COUNT; i++, rest /= STEPS) keys[i] = keys[i - 1] + steps[rest % STEPS];
        for (uint32_t epsilon = 0; epsilon < 2; epsilon++) {
            Lines lines;
            lines_of(&lines, keys, COUNT, epsilon);
            for (uint32_t i = 0; i < COUNT; i++)
                for (uint64_t off = 0; off < 5; off++) lost += misses(&lines, keys[i] + off - 2);
            free(lines.bytes);
        }
    }
    CHECK_EQ(lost, 0);
}

static void g20_sequential_keys_take_a_tenth_of_a_byte_at_most(void) {
    static const uint32_t counts[] = {1000, KEYS};
    for (int i = 0; i < 2; i++)
        for (uint32_t stride = 1; stride < 1000; stride += 333) {
            uint64_t *keys = malloc(KEYS * sizeof *keys);
            for (uint32_t k = 0; k < KEYS; k++) keys[k] = ((uint64_t)1 << 63) + (uint64_t)k * stride;
            Lines lines;
            lines_of(&lines, keys, counts[i], 1);
            CHECK_EQ(lines.model.piece_count, 1);
            CHECK(lines.size * 10 <= counts[i]);
            free(lines.bytes);
            free(keys);
        }
}

/* FNV-1a of the bytes of all shapes that are not random: the same here as on every host. */
static void g20_models_are_the_same_bytes_on_every_host(void) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (int shape = 0; shape < SHAPES; shape++) {
        if (shape == 3 || shape == 4) continue;
        uint64_t *keys = shape_keys(shape, KEYS);
        Lines lines;
        lines_of(&lines, keys, KEYS, 8);
        for (size_t i = 0; i < lines.size; i++) hash = (hash ^ lines.bytes[i]) * 0x100000001b3u;
        free(lines.bytes);
        free(keys);
    }
    CHECK_EQ(hash >> 1, 6211112261324566130);
}

/* Any byte changed, any length: refused, or windows within the sequence. */
static void g20_a_hostile_model_never_leads_outside(void) {
    uint64_t *keys = shape_keys(9, KEYS);
    Lines lines;
    lines_of(&lines, keys, KEYS, 8);
    CHECK(lines.model.piece_count > 3 && lines.model.piece_count < 2000);
    uint32_t believed = 0, outside = 0;
    for (size_t at = 0; at < lines.size; at++) {
        uint8_t right = lines.bytes[at];
        for (int way = 0; way < 4; way++) {
            Learned model;
            lines.bytes[at] = way == 0 ? 0 : way == 1 ? 0xff : (uint8_t)(right ^ (way == 2 ? 1 : 0x80));
            if (!learned_open(&model, span_of(lines.bytes, lines.size))) continue;
            believed++;
            for (uint32_t i = 0; i < KEYS; i += 997) {
                LearnedWindow window = learned_find(&model, keys[i]);
                outside += window.low > window.high || window.high > model.key_count;
            }
        }
        lines.bytes[at] = right;
    }
    CHECK(believed > 0);
    CHECK_EQ(outside, 0);
    Learned model;
    for (size_t size = 0; size < lines.size; size++) CHECK(!learned_open(&model, span_of(lines.bytes, size)));
    free(lines.bytes);
    free(keys);
}

static void no_keys_make_no_model(void) {
    Env env;
    env_init(&env, NULL, NULL, 1 << 20);
    LearnedBuilder builder = learned_begin(&env, 4);
    CHECK_EQ(learned_end(&builder), NACRE_OK);
    CHECK_EQ(learned_pieces(&builder), 0);
    uint8_t bytes[LEARNED_HEAD];
    ByteWriter writer = {bytes, bytes + sizeof bytes};
    learned_write(&builder, &writer);
    Learned model;
    CHECK(!learned_open(&model, span_of(bytes, learned_size(&builder))));
    learned_clear(&builder);
}

void learned_test(void) {
    RUN(g20_every_key_is_found);
    RUN(g20_every_key_of_every_small_sequence_is_found);
    RUN(g20_sequential_keys_take_a_tenth_of_a_byte_at_most);
    RUN(g20_models_are_the_same_bytes_on_every_host);
    RUN(g20_a_hostile_model_never_leads_outside);
    RUN(no_keys_make_no_model);
}
