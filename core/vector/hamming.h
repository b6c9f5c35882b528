/* hamming.h - how many bits of two vectors differ: exact, so the same on every host. */
#ifndef NACRE_VECTOR_HAMMING_H
#define NACRE_VECTOR_HAMMING_H

#include <stddef.h>
#include <stdint.h>

/* Of the query and `count` rows of `size` bytes, row i being at rows + i * stride. Any address
 * will do. */
typedef void HammingMany(const uint8_t *query, const uint8_t *rows, size_t stride, size_t count, size_t size,
                         float *distances);

/* The one for this processor. */
HammingMany *hamming_choose(void);
/* The one that any processor runs. */
void hamming_many_plain(const uint8_t *query, const uint8_t *rows, size_t stride, size_t count, size_t size,
                        float *distances);

#endif
