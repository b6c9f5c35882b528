/* shortlist.h - the few smallest of many floats, in order. Equal ones: the lower index first; a
 * NaN is never among them, unless nothing else is. Knows nothing of what the floats mean. */
#ifndef NACRE_VECTOR_SHORTLIST_H
#define NACRE_VECTOR_SHORTLIST_H

#include <stdint.h>

/* A float and its index as one number, of the same order: index in the low half. */
uint64_t shortlist_key(float value, uint32_t index);
float shortlist_value(uint64_t key);

/* Floats that shortlist_pick needs beside the keys. */
static inline uint32_t shortlist_minima(uint32_t want) { return (2 * want + 15) / 16 * 16; }

/* The keys of the `want` > 0 smallest of `count` > 0 values, and of a few more, in no order of
 * use: often half as many again, all where all are equal. Fewer only where values are NaN, never
 * none. minima: float[shortlist_minima(want)]; keys: uint64_t[count]. Returns how many. */
uint32_t shortlist_pick(const float *values, uint32_t count, uint32_t want, float *minima,
                        uint64_t *keys);

/* From the smallest. */
void shortlist_sort(uint64_t *keys, uint32_t count);

#endif
