/* vector_lab.h - vectors for the tests of indexes: made ones without the library of mathematics,
 * so that they have the same bits everywhere, and those of .npy files. */
#ifndef TESTS_VECTOR_LAB_H
#define TESTS_VECTOR_LAB_H

#include "lib/check.h"

#include "vector/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Elements that are smaller and smaller; `clusters` > 0: about as many centres. */
static inline void lab_fill(float *rows, size_t count, uint32_t dimensions, uint32_t clusters,
                            uint64_t seed) {
    for (size_t r = 0; r < count; r++) {
        uint64_t state = seed * 1000003 + r, centre = clusters ? test_random(&state) % clusters : 0;
        for (uint32_t i = 0; i < dimensions; i++) {
            const uint64_t x = test_random(&state), c = test_random(&centre);
            const int noise =
                (int)(x & 255) + (int)(x >> 8 & 255) - (int)(x >> 16 & 255) - (int)(x >> 24 & 255);
            const int place = clusters ? (int)(c & 1023) - 512 : 0;
            rows[r * dimensions + i] = (float)(noise + place) / (float)(i + 8);
        }
    }
}

static inline Codebook *lab_train(Env *env, const Kernels *k, const CodeShape *shape, uint64_t seed,
                                  const float *rows, uint32_t count, uint32_t lists, size_t work) {
    Trainer *t = NULL;
    Codebook *c = NULL;
    if (!CHECK(trainer_create(env, k, shape, seed, count, lists, (size_t)64 << 20, &t) == NACRE_OK))
        return NULL;
    const uint32_t wants = trainer_wants(t) < count ? trainer_wants(t) : count;
    for (uint32_t i = 0; i < wants; i++)
        CHECK(trainer_add(t, rows + (size_t)((uint64_t)i * count / wants) * shape->dimensions) ==
              NACRE_OK);
    for (bool done = false; !done;) CHECK(trainer_step(t, work, &done) == NACRE_OK);
    CHECK(trainer_take(t, &c) == NACRE_OK);
    trainer_free(t);
    return c;
}

/* The rows of a file of u1 or i1, as floats; free() them. NULL: it cannot be read. */
static inline float *lab_npy(const char *path, bool is_signed, uint32_t dimensions,
                             uint32_t *count) {
    uint8_t head[10];
    float *rows = NULL;
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    fseek(file, 0, SEEK_END);
    const long size = ftell(file);
    fseek(file, 0, SEEK_SET);
    if (fread(head, 1, 10, file) == 10) {
        const long begin = 10 + head[8] + 256 * head[9];
        *count = (uint32_t)(size - begin) / dimensions;
        fseek(file, begin, SEEK_SET);
        rows = malloc(4 * (size_t)*count * dimensions);
        for (size_t i = 0; rows && i < (size_t)*count * dimensions; i++) {
            const int byte = fgetc(file);
            rows[i] = (float)(is_signed && byte > 127 ? byte - 256 : byte);
        }
    }
    fclose(file);
    return rows;
}

#endif
