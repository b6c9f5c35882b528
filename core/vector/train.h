/* train.h - makes the codebook of an IVF index from a sample of its rows: k-means, then a look at
 * how many lists must be read for a recall. In steps, each of which may end after any unit of work;
 * all memory is taken at the beginning. Same sample, same seed: the same codebook, however it is
 * sliced, on every host. README.md has the method and its sources. */
#ifndef NACRE_VECTOR_TRAIN_H
#define NACRE_VECTOR_TRAIN_H

#include "vector/codebook.h"

typedef struct Trainer Trainer;

/* total: rows that the index will have. lists: 0: chosen from it; at most CODEBOOK_LISTS_MAX.
 * memory: bytes it may take; where they are few the sample is smaller, then the lists are fewer.
 * NACRE_RESOURCE_EXHAUSTED. The caller's, free with trainer_free. */
NACRE_CHECKED nacre_status trainer_create(Env *env, const Kernels *k, const CodeShape *shape,
                                          uint64_t seed, uint64_t total, uint32_t lists,
                                          size_t memory, Trainer **out);

/* How many rows, chosen at random or evenly from all, make a good sample; fewer will do. */
uint32_t trainer_wants(const Trainer *t);

/* Copies a row, f32[dimensions] at any address. No more than it wants, none after a step. */
NACRE_CHECKED nacre_status trainer_add(Trainer *t, const float *row);

/* `work` units: one is a row compared with all centroids, or what takes about as long. */
NACRE_CHECKED nacre_status trainer_step(Trainer *t, size_t work, bool *done);

/* Once done: the codebook, the caller's, free with codebook_release. */
NACRE_CHECKED nacre_status trainer_take(Trainer *t, Codebook **out);

void trainer_free(Trainer *t); /* NULL is fine */

#endif
