/* data.h - the rows that all engines get, as in data.mjs, and clocks. */
#ifndef BENCH_DATA_H
#define BENCH_DATA_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { KEY = 16, VALUE = 100, POOL = 1 << 20 };

/* A bijection of 32-bit numbers that scatters them (murmur3's finaliser). */
static inline uint32_t mix(uint32_t h) {
    h = (h ^ h >> 16) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;
    return h ^ h >> 16;
}

static inline void make_key(uint32_t row, bool ascending, uint8_t key[KEY]) {
    for (uint32_t word = 0; word < 4; word++) {
        uint32_t x = ascending ? (word == 3 ? row : 0) : mix(4 * row + word);
        for (uint32_t b = 0; b < 4; b++) key[4 * word + b] = (uint8_t)(x >> (24 - 8 * b));
    }
}

static uint8_t bench_pool[POOL + 128];

static inline void pool_init(void) {
    for (uint32_t i = 0; i < sizeof bench_pool; i += 4) {
        uint32_t x = mix(i + 0x1234567u);
        for (uint32_t b = 0; b < 4; b++) bench_pool[i + b] = (uint8_t)(x >> 8 * b);
    }
}

static inline const uint8_t *value_of(uint32_t row) {
    return bench_pool + (mix(row ^ 0x5bd1e995u) & (POOL - 1));
}

static inline uint32_t random_row(uint32_t j, uint32_t rows) { return mix(j + 0x7777777u) % rows; }

static inline void fill_floats(float *into, size_t count, uint32_t seed) {
    for (size_t i = 0; i < count; i++)
        into[i] = (float)(mix(seed + (uint32_t)i) >> 8) / 8388608.0f - 1;
}

static inline double clock_of(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
static inline double wall(void) { return clock_of(CLOCK_MONOTONIC); }
static inline double cpu(void) { return clock_of(CLOCK_PROCESS_CPUTIME_ID); }

static inline int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
/* Sorts them. */
static inline double quantile(double *values, size_t count, double q) {
    qsort(values, count, sizeof *values, compare_doubles);
    size_t at = (size_t)(q * (double)count);
    return values[at < count ? at : count - 1];
}

static inline _Noreturn void die(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

#endif
