/* memtable_bench.c - nanoseconds per operation of the memtable (best of several rounds).
 *
 * clang-22 -std=c11 -O2 -Icore tests/bench/memtable_bench.c core/memtable/[a-z]*.c \
 *     core/host/env.c core/base/status.c -o build/memtable_bench
 * or for WASM: --target=wasm32-wasi -Wno-deprecated --no-wasm-opt -msimd128, run by
 * tests/lib/wasm-run.mjs. Arguments: entries (65536), size of values (8). */
#include "memtable/memtable.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 7, MEMBRANE = 4 };

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

enum { RANDOM, ASCENDING, SHARED };
static const char *const shapes[] = {"random", "ascending", "sharing 8"};

/* Keys of a membrane id and `key_size` bytes; the second half are never inserted. */
static uint8_t *make_keys(size_t count, size_t key_size, int shape) {
    uint8_t *keys = calloc(count, MEMBRANE + key_size);
    uint64_t state = 7;
    for (size_t i = 0; keys && i < count; i++) {
        uint8_t *key = keys + i * (MEMBRANE + key_size);
        put_u32_be(key, 5);
        for (size_t j = 0; j < key_size; j++) key[MEMBRANE + j] = (uint8_t)splitmix(&state);
        if (shape == SHARED) memset(key + MEMBRANE, 's', 8);
        if (shape == ASCENDING) put_u64_be(key + MEMBRANE, i);
    }
    return keys;
}

static void best(double *into, double from, size_t count) {
    double each = (now() - from) / (double)count;
    if (*into == 0 || each < *into) *into = each;
}

static void measure(size_t count, size_t key_size, size_t value_size, int shape) {
    Env env;
    env_init(&env, NULL, NULL, 4000u << 20);
    size_t size = (size_t)record_size(MEMBRANE + key_size, value_size),
           key_bytes = MEMBRANE + key_size;
    uint8_t *keys = make_keys(count * 2, key_size, shape);
    uint32_t *order = malloc(count * sizeof *order);
    if (!keys || !order) exit(1);
    uint64_t state = 9;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = (uint32_t)(splitmix(&state) % (i + 1));
        order[i] = order[at];
        order[at] = i;
    }
    double put = 0, get = 0, miss = 0, iterate = 0, bytes = 0;
    for (int round = 0; round < ROUNDS; round++) {
        Memtable *m;
        if (memtable_alloc(&env, BATCH_HEAD + count * size, 0, 0, &m) != NACRE_OK) exit(1);
        for (size_t i = 0; i < count; i++) {
            uint8_t *record = m->arena + BATCH_HEAD + i * size;
            memset(record, 0, size);
            put_u32(record, (uint32_t)key_bytes);
            put_u32(record + 4, (uint32_t)value_size);
            memcpy(record + RECORD_HEAD, keys + i * key_bytes, key_bytes);
        }
        if (memtable_reserve(m, count) != NACRE_OK) exit(1);
        bytes = (double)memtable_node_bytes(m) / (double)count;
        size_t found = 0;
        double start = now();
        for (size_t i = 0; i < count; i++)
            found += memtable_insert(m, (uint32_t)(BATCH_HEAD + i * size), 1);
        best(&put, start, count);
        start = now();
        for (size_t i = 0; i < count; i++)
            found += memtable_get(m, span_of(keys + order[i] * key_bytes, key_bytes), 1) != NULL;
        best(&get, start, count);
        start = now();
        for (size_t i = 0; i < count; i++)
            found += memtable_get(m, span_of(keys + (count + i) * key_bytes, key_bytes), 1) != NULL;
        best(&miss, start, count);
        MemCursor cursor;
        mem_cursor_init(&cursor, m, 1);
        start = now();
        for (bool on = mem_cursor_first(&cursor); on; on = mem_cursor_next(&cursor)) found++;
        best(&iterate, start, count);
        if (found != 3 * count) printf("WRONG: %zu of %zu\n", found, 3 * count);
        memtable_release(m);
    }
    printf("%7zu entries, %2zu B keys %-10s put %6.1f  get %6.1f  miss %6.1f  iterate %5.1f ns, "
           "reserved %.1f B each\n",
           count, key_size, shapes[shape], put, get, miss, iterate, bytes);
    free(keys);
    free(order);
}

int main(int argc, char **argv) {
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 65536;
    size_t value_size = argc > 2 ? strtoul(argv[2], NULL, 10) : 8;
    measure(count, 8, value_size, RANDOM);
    measure(count, 16, value_size, RANDOM);
    measure(count, 32, value_size, RANDOM);
    measure(count, 16, value_size, ASCENDING);
    measure(count, 16, value_size, SHARED);
}
