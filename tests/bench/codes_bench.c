/* codes_bench.c - what codes cost: nanoseconds for each row scanned, and microseconds for what is
 * done once per row or query, for every set of kernels that runs here.
 *
 *   codes_bench [name of a set]      default: all of them
 *
 * 16 384 rows, which at 384 dimensions and one bit are a MiB. A figure is the best of many passes:
 * the machine is shared, and what disturbs a pass only makes it slower. */
#include "host/env.h"
#include "vector/codes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROWS = 16384, BLOCKS = ROWS / CODE_LANES, PADDED_MAX = 832 };

static float x[PADDED_MAX], y[PADDED_MAX], est[ROWS], bound[ROWS];
static _Alignas(64) uint8_t lut[4 * PADDED_MAX];
static uint8_t code[PADDED_MAX];
static volatile float sink;

static double now(void) {
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef enum Work { SCAN, ROTATE, ENCODE, PREPARE } Work;

typedef struct Bench {
    CodeShape shape;
    const Kernels *kernels;
    Rotation *rotation;
    uint8_t *blocks;
} Bench;

static void work(const Bench *b, Work what) {
    CodeQuery q;
    CodeFactors f;
    switch (what) {
    case SCAN:
        code_query_init(&q, &b->shape, b->kernels, y, lut, 1.9f);
        code_scan(&q, b->blocks, BLOCKS, 1, 1, est, bound, NULL);
        break;
    case ROTATE: (void)rotation_apply(b->rotation, b->kernels, x, y); break;
    case ENCODE: code_encode(&b->shape, b->kernels, y, x, NULL, code, &f); break;
    case PREPARE: code_query_init(&q, &b->shape, b->kernels, y, lut, 1.9f); break;
    }
    sink = est[0];
}

static double best_ns(const Bench *b, Work what) {
    const size_t repeat = what == SCAN ? 1 : 512; /* a clock may have 1 us steps */
    double best = 1e9;
    for (double start = now(); now() < start + 0.15;) {
        const double t = now();
        for (size_t i = 0; i < repeat; i++) work(b, what);
        const double took = (now() - t) / (double)repeat * 1e9;
        if (took < best) best = took;
    }
    return best;
}

static void measure(const Kernels *k, uint32_t dimensions) {
    static const uint32_t bits[] = {1, 2, 4, 8};
    Env env;
    Bench b = {{dimensions, code_padded(dimensions), 1, METRIC_L2}, k, NULL, NULL};
    env_init(&env, NULL, NULL, 1 << 20);
    if (rotation_create(&env, dimensions, 1, &b.rotation) != NACRE_OK) exit(1);
    b.blocks = calloc(BLOCKS, CODE_BLOCK_PLANES + (size_t)b.shape.padded * 4 * CODE_BITS_MAX);
    if (!b.blocks) exit(1);
    for (size_t i = 0; i < dimensions; i++) x[i] = (float)(i * 2654435761u % 2048) / 1024 - 1;
    (void)rotation_apply(b.rotation, k, x, y);
    const double rotate = best_ns(&b, ROTATE), prepare = best_ns(&b, PREPARE);
    printf("%-8s %5u", k->name, dimensions);
    for (size_t i = 0; i < 4; i++) {
        b.shape.bits = bits[i];
        printf(" %7.2f", best_ns(&b, SCAN) / (double)ROWS);
    }
    printf("  %7.2f", rotate / 1000);
    b.shape.bits = 1;
    printf(" %7.2f", best_ns(&b, ENCODE) / 1000);
    b.shape.bits = 4;
    printf(" %7.2f %7.2f\n", best_ns(&b, ENCODE) / 1000, prepare / 1000);
    free(b.blocks);
    rotation_free(b.rotation);
}

int main(int argc, char **argv) {
    static const uint32_t dimensions[] = {128, 384, 784};
    const Kernels *k;
    printf("%-8s %5s %31s  %s\n", "", "", "scan, ns per row, of bits", "us");
    printf("%-8s %5s %7d %7d %7d %7d  %7s %7s %7s %7s\n", "", "dims", 1, 2, 4, 8, "rotate",
           "encode1", "encode4", "query");
    for (size_t i = 0; (k = kernels_at(i)) != NULL; i++)
        for (size_t d = 0; d < 3; d++)
            if (argc < 2 || strcmp(argv[1], k->name) == 0) measure(k, dimensions[d]);
    return 0;
}
