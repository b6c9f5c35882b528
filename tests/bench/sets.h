/* sets.h - the vector sets that indexes are measured on: those of a directory of .npy files, and
 * made ones of any size. Rows and queries are floats; neighbours are found by comparing all. */
#ifndef BENCH_SETS_H
#define BENCH_SETS_H

#include <stdbool.h>

#include "data.h"
#include "vector/metric.h"

#include <math.h>

enum { SET_HITS = 10 };

typedef struct Set {
    const char *name;
    Metric metric;
    uint32_t dimensions, count, query_count;
    float *rows, *queries;
    float *far; /* of each query: the distances of its SET_HITS nearest rows */
    uint32_t *near_rows;
} Set;

static inline float set_half(uint16_t h) {
    const int exponent = h >> 10 & 31;
    const float fraction = (float)(h & 1023), sign = h & 0x8000 ? -1.0f : 1.0f;
    return sign * (exponent ? ldexpf(1024 + fraction, exponent - 25) : ldexpf(fraction, -24));
}

/* A matrix of |u1, |i1, <f2 or <f4 as floats. */
static inline float *set_npy(const char *directory, const char *file, uint32_t *count,
                             uint32_t *dimensions) {
    char path[1024], head[4096] = {0};
    snprintf(path, sizeof path, "%s/%s", directory, file);
    FILE *in = fopen(path, "rb");
    if (!in || fread(head, 1, 10, in) != 10) die(path, "cannot be read");
    const size_t head_size = (size_t)(uint8_t)head[8] + 256 * (size_t)(uint8_t)head[9];
    if (head_size >= sizeof head || fread(head, 1, head_size, in) != head_size)
        die(path, "no head");
    head[head_size] = 0;
    const char *type = strstr(head, "'descr': '"), *shape = strstr(head, "'shape': (");
    if (!type || !shape || sscanf(shape + 10, "%u, %u", count, dimensions) != 2)
        die(path, "another head");
    const char kind = type[11];
    const size_t width = (size_t)(type[12] - '0'), values = (size_t)*count * *dimensions;
    uint8_t *bytes = malloc(values * width);
    float *floats = malloc(values * 4);
    if (!bytes || !floats || fread(bytes, width, values, in) != values) die(path, "too short");
    for (size_t i = 0; i < values; i++) {
        uint16_t half;
        if (width == 4)
            memcpy(floats + i, bytes + 4 * i, 4);
        else if (width == 2)
            memcpy(&half, bytes + 2 * i, 2), floats[i] = set_half(half);
        else
            floats[i] = kind == 'i' ? (float)(int8_t)bytes[i] : (float)bytes[i];
    }
    free(bytes);
    fclose(in);
    return floats;
}

static inline double set_uniform(uint64_t *state) {
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return ((double)((x ^ x >> 31) >> 11) + .5) * 0x1p-53;
}

static inline float set_normal(uint64_t *state) {
    const double radius = sqrt(-2 * log(set_uniform(state)));
    return (float)(radius * cos(6.283185307179586 * set_uniform(state)));
}

/* Rows and queries behind each other. clusters > 0: so many normal ones, each row being at about
 * `spread` of its centre's length from it; else elements whose deviation falls as (i + 4)^-0.6. */
static inline void set_make(Set *s, uint32_t clusters, float spread) {
    const uint32_t all = s->count + s->query_count, dimensions = s->dimensions;
    uint64_t state = 7;
    float *centres = malloc(4 * (size_t)(clusters + 1) * dimensions),
          *deviation = malloc(4 * (size_t)dimensions);
    s->rows = malloc(4 * (size_t)all * dimensions);
    if (!centres || !deviation || !s->rows) die(s->name, "no memory");
    for (size_t i = 0; i < (size_t)clusters * dimensions; i++) centres[i] = set_normal(&state);
    for (uint32_t i = 0; i < dimensions; i++)
        deviation[i] = clusters ? spread : (float)pow((double)i + 4, -.6);
    for (size_t r = 0; r < all; r++) {
        const size_t cluster = clusters ? (size_t)(set_uniform(&state) * clusters) : 0;
        float *row = s->rows + r * dimensions;
        double square = 0;
        for (uint32_t i = 0; i < dimensions; i++) {
            row[i] = deviation[i] * set_normal(&state) +
                     (clusters ? centres[cluster * dimensions + i] : 0);
            square += (double)row[i] * (double)row[i];
        }
        if (s->metric == METRIC_COSINE)
            for (uint32_t i = 0; i < dimensions; i++) row[i] = (float)(row[i] / sqrt(square));
    }
    s->queries = s->rows + (size_t)s->count * dimensions;
    free(centres), free(deviation);
}

/* Every `step`-th row becomes a query. */
static inline void set_split(Set *s, uint32_t step) {
    const size_t row = 4 * (size_t)s->dimensions;
    uint32_t kept = 0;
    s->query_count = 0;
    s->queries = malloc(row * (s->count / step + 1));
    if (!s->queries) die(s->name, "no memory");
    for (uint32_t i = 0; i < s->count; i++)
        if (i % step == step / 2)
            memcpy(s->queries + (size_t)s->query_count++ * s->dimensions,
                   s->rows + (size_t)i * s->dimensions, row);
        else
            memmove(s->rows + (size_t)kept++ * s->dimensions, s->rows + (size_t)i * s->dimensions,
                    row);
    s->count = kept;
}

static inline void set_truth(Set *s) {
    const Kernels *k = kernels_choose();
    float *distances = malloc(4 * (size_t)s->count);
    s->far = malloc(4 * SET_HITS * (size_t)s->query_count);
    s->near_rows = malloc(4 * SET_HITS * (size_t)s->query_count);
    if (!distances || !s->far || !s->near_rows) die(s->name, "no memory");
    for (uint32_t q = 0; q < s->query_count; q++) {
        MetricQuery query;
        float *far = s->far + q * SET_HITS;
        uint32_t *near_rows = s->near_rows + q * SET_HITS, found = 0;
        metric_query_init(&query, k, s->metric, s->queries + (size_t)q * s->dimensions,
                          s->dimensions);
        metric_many(&query, s->rows, 4 * (size_t)s->dimensions, s->count, distances);
        for (uint32_t i = 0; i < s->count; i++) {
            if (found == SET_HITS && distances[i] >= far[SET_HITS - 1]) continue;
            uint32_t at = found < SET_HITS ? found++ : SET_HITS - 1;
            for (; at > 0 && far[at - 1] > distances[i]; at--)
                far[at] = far[at - 1], near_rows[at] = near_rows[at - 1];
            far[at] = distances[i], near_rows[at] = i;
        }
    }
    free(distances);
}

/* directory: of the .npy files. False: there is no set of that name. */
static inline bool set_load(Set *s, const char *name, const char *directory, uint32_t count) {
    *s = (Set){.name = name,
               .metric = METRIC_COSINE,
               .dimensions = 384,
               .count = count,
               .query_count = 500};
    uint32_t d;
    if (strncmp(name, "packages", 8) == 0) {
        const char *queries = strstr(name, "questions") ? "queries.f32.npy" : "titles.f32.npy";
        s->rows = set_npy(directory, "packages.f16.npy", &s->count, &s->dimensions);
        if (strstr(name, "rows"))
            set_split(s, 60);
        else
            s->queries = set_npy(directory, queries, &s->query_count, &d);
    } else if (strncmp(name, "bigann", 6) == 0 || strncmp(name, "mnist", 5) == 0) {
        const bool bigann = name[0] == 'b';
        s->metric = METRIC_L2;
        s->rows = set_npy(directory, bigann ? "bigann10k.u8.npy" : "mnist10k.u8.npy", &s->count,
                          &s->dimensions);
        if (strstr(name, "rows"))
            set_split(s, 10);
        else
            s->queries =
                set_npy(directory, bigann ? "bigann10k.queries.u8.npy" : "mnist10k.queries.u8.npy",
                        &s->query_count, &d);
    } else if (strncmp(name, "rows-", 5) == 0) { /* of search-sets.mjs */
        s->metric = strcmp(name, "rows-l2") == 0 ? METRIC_L2 : METRIC_COSINE;
        s->rows = set_npy(directory, "rows.npy", &s->count, &s->dimensions);
        s->queries = set_npy(directory, "queries.npy", &s->query_count, &d);
    } else if (strcmp(name, "clust") == 0) {
        set_make(s, count / 100, .6f);
    } else if (strcmp(name, "tight") == 0) {
        set_make(s, count / 100, .05f);
    } else if (strcmp(name, "spec") == 0) {
        set_make(s, 0, 0);
    } else if (strcmp(name, "spec128") == 0) {
        s->dimensions = 128, s->metric = METRIC_L2;
        set_make(s, 0, 0);
    } else if (strcmp(name, "product") == 0) {
        s->dimensions = 128, s->metric = METRIC_IP;
        set_make(s, count / 100, 1);
    } else {
        return false;
    }
    set_truth(s);
    return true;
}

#endif
