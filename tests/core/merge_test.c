/* merge_test.c - many iterators as one: a sorted map in which the newest row wins (C04),
 * turned around at any point. */
#include "lib/check.h"
#include "merge/merge.h"

#include <stdlib.h>

/* An iterator over an array of keys. Its key lies in a buffer that each move spoils, and
 * it can be told to fail. */
typedef struct ArrayIter {
    Iter base;
    const uint16_t *keys; /* rising */
    size_t count, at;
    uint32_t source;
    uint8_t *key;
    int *fail_in; /* moves left; NULL: never */
    bool liar;    /* seeks do not find what it stands on */
    int *open;
} ArrayIter;

/* Keys of different lengths, in the order of their numbers; the first one is empty. */
static size_t key_bytes(uint16_t number, uint8_t out[4]) {
    if (number == 0) return 0;
    out[0] = (uint8_t)(number >> 8), out[1] = (uint8_t)number, out[2] = (uint8_t)(number * 7), out[3] = 1;
    return 2 + number % 3;
}

static nacre_status array_stand(ArrayIter *it) {
    memset(it->key, 0xee, 4);
    it->base.valid = false;
    if (it->fail_in && --*it->fail_in < 0) return NACRE_IO;
    if (it->at < it->count) iter_set_key(&it->base, span_of(it->key, key_bytes(it->keys[it->at], it->key)));
    return NACRE_OK;
}

static nacre_status array_seek(Iter *iter, Span key) {
    ArrayIter *it = (ArrayIter *)iter;
    uint8_t bytes[4];
    for (it->at = 0; it->at < it->count; it->at++)
        if (span_compare(span_of(bytes, key_bytes(it->keys[it->at], bytes)), key) >= 0) break;
    if (it->liar) it->at++;
    return array_stand(it);
}

static nacre_status array_seek_before(Iter *iter, Span key) {
    ArrayIter *it = (ArrayIter *)iter;
    uint8_t bytes[4];
    size_t at = 0;
    while (at < it->count && span_compare(span_of(bytes, key_bytes(it->keys[at], bytes)), key) < 0) at++;
    it->at = at ? at - 1 : it->count;
    return array_stand(it);
}

static nacre_status array_next(Iter *iter) {
    ((ArrayIter *)iter)->at++;
    return array_stand((ArrayIter *)iter);
}

static nacre_status array_prev(Iter *iter) {
    ArrayIter *it = (ArrayIter *)iter;
    it->at = it->at ? it->at - 1 : it->count;
    return array_stand(it);
}

static void array_entry(Iter *iter, Entry *entry) {
    *entry = (Entry){.key = iter->key, .slot = ((ArrayIter *)iter)->source};
}

static void array_close(Iter *iter) {
    ArrayIter *it = (ArrayIter *)iter;
    --*it->open;
    free(it->key);
    free(it);
}

static const IterVerbs array_verbs = {array_seek, array_seek_before, array_next, array_prev, array_entry, array_close};

enum { NUMBERS = 300, SOURCES_MAX = 70 };

typedef struct World {
    Env env;
    uint16_t keys[SOURCES_MAX][NUMBERS];
    size_t counts[SOURCES_MAX];
    int newest[NUMBERS]; /* which source a number comes from; -1: none */
    uint32_t sources;
    int open, fail_in;
    Merge merge;
} World;

static void world_open(World *w, uint32_t sources, uint64_t density, bool failing, uint64_t *random) {
    Iter *iters[SOURCES_MAX];
    w->open = 0;
    w->sources = sources;
    env_init(&w->env, NULL, NULL, 1 << 20);
    for (int n = 0; n < NUMBERS; n++) w->newest[n] = -1;
    for (uint32_t s = 0; s < sources; s++) {
        w->counts[s] = 0;
        for (uint16_t n = 0; n < NUMBERS; n++) {
            if (test_random(random) % 100 >= density) continue;
            w->keys[s][w->counts[s]++] = n;
            if (w->newest[n] < 0) w->newest[n] = (int)s;
        }
        ArrayIter *it = calloc(1, sizeof *it);
        *it = (ArrayIter){.base = {.verbs = &array_verbs}, .keys = w->keys[s], .count = w->counts[s], .source = s,
                          .key = malloc(4), .fail_in = failing ? &w->fail_in : NULL, .open = &w->open};
        iters[s] = &it->base;
        w->open++;
    }
    CHECK_EQ(merge_init(&w->merge, &w->env, iters, sources), NACRE_OK);
}

static void world_close(World *w) {
    merge_clear(&w->merge);
    CHECK_EQ(w->open, 0);
    CHECK_EQ(w->env.memory_used, 0);
}

/* The merge stands on number `n` (outside 0 ... NUMBERS - 1: nowhere). */
static void check_stands(const World *w, int n) {
    bool inside = n >= 0 && n < NUMBERS;
    uint8_t bytes[4];
    if (!CHECK_EQ(merge_valid(&w->merge), inside) || !inside) return;
    Entry entry;
    merge_entry(&w->merge, &entry);
    CHECK(span_eq(merge_key(&w->merge), span_of(bytes, key_bytes((uint16_t)n, bytes))));
    CHECK(span_eq(entry.key, merge_key(&w->merge)));
    CHECK_EQ(entry.slot, w->newest[n]);
}

static int up_from(const World *w, int n) {
    while (n < NUMBERS && w->newest[n] < 0) n++;
    return n;
}
static int down_from(const World *w, int n) {
    while (n >= 0 && w->newest[n] < 0) n--;
    return n;
}

static void a_scan_is_the_sorted_union(void) {
    static World w;
    uint64_t random = test_seed() + 30;
    for (uint32_t sources = 0; sources <= SOURCES_MAX; sources = sources < 4 ? sources + 1 : sources * 2 - 1) {
        world_open(&w, sources, 1 + test_random(&random) % 60, false, &random);
        int n = up_from(&w, 0);
        CHECK_EQ(merge_seek(&w.merge, (Span){NULL, 0}), NACRE_OK);
        for (; merge_valid(&w.merge); n = up_from(&w, n + 1)) {
            check_stands(&w, n);
            CHECK_EQ(merge_next(&w.merge), NACRE_OK);
        }
        CHECK_EQ(n, NUMBERS);
        static const uint8_t above[2] = {0xff, 0xff};
        CHECK_EQ(merge_seek_before(&w.merge, span_of(above, 2)), NACRE_OK);
        for (n = down_from(&w, NUMBERS - 1); merge_valid(&w.merge); n = down_from(&w, n - 1)) {
            check_stands(&w, n);
            CHECK_EQ(merge_prev(&w.merge), NACRE_OK);
        }
        CHECK_EQ(n, -1);
        world_close(&w);
    }
}

/* C12: any sequence of seeks and steps, turning at any point. */
static void every_walk_is_a_walk_in_the_sorted_map(void) {
    static World w;
    uint64_t random = test_seed() + 31;
    for (int round = 0; round < 300; round++) {
        world_open(&w, 1 + (uint32_t)(test_random(&random) % 20), 1 + test_random(&random) % 70, false, &random);
        int at = NUMBERS;
        for (int step = 0; step < 200; step++) {
            uint8_t bytes[5] = {0};
            if (!merge_valid(&w.merge) || test_random(&random) % 16 == 0) {
                int n = (int)(test_random(&random) % NUMBERS);
                bool behind = test_random(&random) % 2; /* between this key and the next */
                Span key = span_of(bytes, key_bytes((uint16_t)n, bytes) + behind);
                if (behind) bytes[key.size - 1] = 0;
                if (test_random(&random) % 2) {
                    CHECK_EQ(merge_seek(&w.merge, key), NACRE_OK);
                    at = up_from(&w, n + behind);
                } else {
                    CHECK_EQ(merge_seek_before(&w.merge, key), NACRE_OK);
                    at = down_from(&w, n - !behind);
                }
            } else if (test_random(&random) % 2) {
                CHECK_EQ(merge_next(&w.merge), NACRE_OK);
                at = up_from(&w, at + 1);
            } else {
                CHECK_EQ(merge_prev(&w.merge), NACRE_OK);
                at = down_from(&w, at - 1);
            }
            check_stands(&w, at);
        }
        world_close(&w);
    }
}

/* A source that fails stops the merge where it is, says so, and leaks nothing. */
static void a_failing_source_stops_the_merge(void) {
    static World w;
    uint64_t random = test_seed() + 32;
    for (int fail_in = 0; fail_in < 200; fail_in++) {
        w.fail_in = fail_in;
        world_open(&w, 5, 30, true, &random);
        nacre_status status = merge_seek(&w.merge, (Span){NULL, 0});
        for (int step = 0; status == NACRE_OK && merge_valid(&w.merge); step++)
            status = step % 3 == 2 ? merge_prev(&w.merge) : merge_next(&w.merge);
        CHECK(status == NACRE_IO || w.fail_in >= 0);
        CHECK(status == NACRE_OK || !merge_valid(&w.merge));
        world_close(&w);
    }
}

static Iter *array_open(const uint16_t *keys, size_t count, int *open) {
    ArrayIter *it = calloc(1, sizeof *it);
    *it = (ArrayIter){.base = {.verbs = &array_verbs}, .keys = keys, .count = count, .key = malloc(4), .open = open};
    ++*open;
    return &it->base;
}

static void without_memory_the_sources_are_closed(void) {
    for (uint64_t budget = 0; budget <= sizeof(Iter *); budget += sizeof(Iter *)) /* none, or for the first thing only */
        for (size_t count = 0; count < 2; count++) {
            Env env;
            int open = 0;
            Merge merge;
            Iter *it = count ? array_open(NULL, 0, &open) : NULL;
            env_init(&env, NULL, NULL, budget);
            CHECK_EQ(merge_init(&merge, &env, &it, count), NACRE_RESOURCE_EXHAUSTED);
            CHECK_EQ(open, 0);
            CHECK_EQ(env.memory_used, 0);
            merge_clear(&merge); /* does nothing */
        }
}

/* Turning round takes memory for the key: without it the merge stays where it is. */
static void without_memory_a_merge_stays_where_it_stands(void) {
    static World w;
    uint64_t random = test_seed() + 33;
    for (int backward = 0; backward < 2; backward++) {
        world_open(&w, 3, 100, false, &random); /* all have all keys */
        uint8_t bytes[4];
        Span key = span_of(bytes, key_bytes(100, bytes));
        CHECK_EQ(backward ? merge_seek_before(&w.merge, key) : merge_seek(&w.merge, key), NACRE_OK);
        int at = backward ? 99 : 100;
        w.env.memory_budget = w.env.memory_used;
        CHECK_EQ(merge_next(&w.merge), NACRE_RESOURCE_EXHAUSTED);
        check_stands(&w, at);
        CHECK_EQ(merge_prev(&w.merge), NACRE_RESOURCE_EXHAUSTED);
        check_stands(&w, at);
        w.env.memory_budget = 1 << 20;
        CHECK_EQ(backward ? merge_next(&w.merge) : merge_prev(&w.merge), NACRE_OK);
        check_stands(&w, backward ? at + 1 : at - 1);
        world_close(&w);
    }
}

/* A damaged segment may not find again what it has shown: the merge goes on above it. */
static void a_source_that_contradicts_itself_is_passed_over(void) {
    static const uint16_t keys[3] = {10, 20, 30};
    for (size_t from = 1; from <= 3; from++) {
        Env env;
        int open = 0;
        Merge merge;
        uint8_t bytes[4];
        env_init(&env, NULL, NULL, 1 << 20);
        Iter *it = array_open(keys, 3, &open);
        CHECK_EQ(merge_init(&merge, &env, &it, 1), NACRE_OK);
        CHECK_EQ(merge_seek_before(&merge, span_of(bytes, key_bytes((uint16_t)(10 * from + 1), bytes))), NACRE_OK);
        CHECK(span_eq(merge_key(&merge), span_of(bytes, key_bytes((uint16_t)(10 * from), bytes))));
        ((ArrayIter *)it)->liar = true;
        CHECK_EQ(merge_next(&merge), NACRE_OK);
        if (CHECK_EQ(merge_valid(&merge), from < 3) && from < 3)
            CHECK(span_eq(merge_key(&merge), span_of(bytes, key_bytes((uint16_t)(10 * (from + 1)), bytes))));
        merge_clear(&merge);
        CHECK_EQ(open, 0);
    }
}

void merge_test(void) {
    RUN(a_scan_is_the_sorted_union);
    RUN(every_walk_is_a_walk_in_the_sorted_map);
    RUN(a_failing_source_stops_the_merge);
    RUN(without_memory_the_sources_are_closed);
    RUN(without_memory_a_merge_stays_where_it_stands);
    RUN(a_source_that_contradicts_itself_is_passed_over);
}
