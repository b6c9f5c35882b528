/* rotation.h - a random rotation, made of a seed: it spreads what a vector has over all of its
 * dimensions, which is what makes the error of a code a matter of chance and not of the data.
 *
 * D is the number of dimensions, padded with zeros to a multiple of 64; W the greatest power of
 * two in D. Three times: multiply [0, W) by random signs over sqrt(W) and take its Walsh-Hadamard
 * transform; where W < D, do the same to [D - W, D), which overlaps it.
 *
 * 1. It is orthonormal: lengths and distances stay (to rounding).
 * 2. The same seed is the same rotation, and gives the same bits on every host. */
#ifndef NACRE_VECTOR_ROTATION_H
#define NACRE_VECTOR_ROTATION_H

#include "host/env.h"
#include "vector/kernels.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Rotation Rotation;

/* Dimensions with padding: the next multiple of 64. */
uint32_t code_padded(uint32_t dimensions);

/* Takes 24 bytes per dimension at most. Free with rotation_free. */
NACRE_CHECKED nacre_status rotation_create(Env *env, uint32_t dimensions, uint64_t seed,
                                           Rotation **out);
void rotation_free(Rotation *rotation); /* NULL is fine */

/* x: dimensions floats at any address; y: padded floats. False: the squares of this vector leave
 * the range of float, so it has no place among codes; then y is infinite throughout, which
 * code_encode makes a row of that is always looked at, and code_query_init a query that looks at
 * all rows. A mean should be made without it. */
bool rotation_apply(const Rotation *r, const Kernels *k, const float *x, float *y);

/* The same of x / |x|, for cosine: true for every finite x. The zero vector stays zero. */
bool rotation_apply_unit(const Rotation *r, const Kernels *k, const float *x, float *y);

#endif
