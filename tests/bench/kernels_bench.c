/* kernels_bench.c - how fast the kernels read, against a plain read of the same bytes.
 *
 *   kernels_bench [name of a set]      default: the one kernels_choose takes
 *
 * Columns: GB/s of row bytes over 1 MiB (in a cache) and over 64 MiB (in memory), and the share
 * of the plain read. A figure is the best of many passes: the machine is shared, and what
 * disturbs a pass only makes it slower. */
#include "vector/kernels.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SIZE_CACHED = 1 << 20, SIZE_MEMORY = 64 << 20, ROWS_AT_ONCE = 64 };

static float bench_query[4096], bench_out[ROWS_AT_ONCE], bench_out2[ROWS_AT_ONCE];
static volatile float bench_sink;

static double now(void) {
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The yardstick: all bytes once, four sums, as wide as the compiler's vectors go. */
#if defined(__x86_64__)
#define BENCH_WIDE __attribute__((target("avx2")))
typedef uint64_t BenchWord __attribute__((vector_size(32), aligned(1), may_alias));
#else
#define BENCH_WIDE
typedef uint64_t BenchWord __attribute__((vector_size(16), aligned(1), may_alias));
#endif
BENCH_WIDE static void read_plain(const uint8_t *bytes, size_t size) {
    const BenchWord *at = (const void *)bytes;
    BenchWord a = {0}, b = {0}, c = {0}, d = {0};
    for (size_t i = 0; i + 8 <= size / sizeof *at; i += 8) {
        a += at[i], b += at[i + 1], c += at[i + 2], d += at[i + 3];
        a += at[i + 4], b += at[i + 5], c += at[i + 6], d += at[i + 7];
    }
    a += b, c += d, a += c;
    bench_sink = (float)(a[0] + a[1]);
}

typedef enum Work { PLAIN, L2, DOT, DOT_NORM, WORKS } Work;
static const char *const work_names[WORKS] = {"plain read", "l2", "dot", "dot_norm"};

/* In batches, as a scan would call it: and V8 replaces a function's first, slow code only when
 * it is called again. */
static void pass(const Kernels *k, Work work, const uint8_t *rows, size_t size, size_t dimensions) {
    const size_t stride = dimensions * sizeof(float);
    const size_t batch = ROWS_AT_ONCE * stride;
    if (work == PLAIN) {
        for (size_t at = 0; at + batch <= size; at += batch) read_plain(rows + at, batch);
        return;
    }
    for (size_t at = 0; at + batch <= size; at += batch) {
        if (work == L2)
            k->l2_many(bench_query, rows + at, stride, ROWS_AT_ONCE, dimensions, bench_out);
        else if (work == DOT)
            k->dot_many(bench_query, rows + at, stride, ROWS_AT_ONCE, dimensions, bench_out);
        else
            k->dot_norm_many(bench_query, rows + at, stride, ROWS_AT_ONCE, dimensions, bench_out,
                             bench_out2);
        bench_sink = bench_out[0] + bench_out[ROWS_AT_ONCE - 1];
    }
}

static double best_gb_per_s(const Kernels *k, Work work, const uint8_t *rows, size_t size,
                            size_t dimensions) {
    const size_t repeat = size < SIZE_MEMORY ? 32 : 1; /* a clock may have 1 us steps */
    double best = 1e9;
    for (double start = now(); now() < start + 0.4;) {
        const double t = now();
        for (size_t i = 0; i < repeat; i++) pass(k, work, rows, size, dimensions);
        const double took = (now() - t) / (double)repeat;
        if (took < best) best = took;
    }
    return (double)size / best * 1e-9;
}

int main(int argc, char **argv) {
    const Kernels *k = argc > 1 ? kernels_by_name(argv[1]) : kernels_choose();
    uint8_t *rows = malloc(SIZE_MEMORY);
    static const size_t dimensions[] = {128, 384, 100};

    if (!k || !rows) return fprintf(stderr, "no such kernels here\n"), 1;
    for (size_t i = 0; i < SIZE_MEMORY / 4; i++) {
        const float value = (float)(i * 2654435761u % 2048) / 1024 - 1;
        memcpy(rows + 4 * i, &value, 4);
    }
    for (size_t i = 0; i < 4096; i++) bench_query[i] = (float)(i % 7) - 3;

    printf("%-9s %-10s %5s  %7s %5s  %7s %5s\n", k->name, "GB/s", "dims", "1 MiB", "", "64 MiB",
           "");
    for (size_t d = 0; d < sizeof dimensions / sizeof *dimensions; d++) {
        double plain_cached = 0, plain_memory = 0;
        for (Work work = PLAIN; work < WORKS; work++) {
            const double cached = best_gb_per_s(k, work, rows, SIZE_CACHED, dimensions[d]);
            const double memory = best_gb_per_s(k, work, rows, SIZE_MEMORY, dimensions[d]);
            if (work == PLAIN) plain_cached = cached, plain_memory = memory;
            printf("%-9s %-10s %5zu  %7.2f %4.0f%%  %7.2f %4.0f%%\n", k->name, work_names[work],
                   dimensions[d], cached, 100 * cached / plain_cached, memory,
                   100 * memory / plain_memory);
        }
    }
    free(rows);
    return 0;
}
