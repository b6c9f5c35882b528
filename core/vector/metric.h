/* metric.h - distances as the user means them. Smaller is nearer, under every metric.
 *
 * 1. L2 is the Euclidean distance, cosine is 1 - cosine in [0, 2], IP is minus the inner product.
 * 2. A distance has the same bits on every host, and does not depend on the other rows of a call.
 * 3. Finite vectors give no NaN. Where the squares of large or small elements leave the range of
 *    float, the row is computed again in double, whose range holds the square of every float; an
 *    infinity is answered only when the distance itself is too large for a float.
 * 4. The zero vector, which has no direction, is at cosine distance 1 from everything. (The
 *    database refuses to store one under cosine; this keeps rule 3 without knowing that.)
 *
 * 5. Rows of other elements than floats have the distances of the floats that they are. Hamming
 *    is the number of bits that differ.
 *
 * Whether elements are finite is asked where vectors enter the database, not here. */
#ifndef NACRE_VECTOR_METRIC_H
#define NACRE_VECTOR_METRIC_H

#include "vector/element.h"
#include "vector/hamming.h"
#include "vector/kernels.h"

typedef enum Metric { METRIC_L2 = 1, METRIC_COSINE = 2, METRIC_IP = 3, METRIC_HAMMING = 4 } Metric;

typedef struct MetricQuery {
    const Kernels *kernels;
    const float *query; /* borrowed */
    size_t dimensions;
    Metric metric;
    float norm; /* cosine: the length of the query; 0 when only double can hold its square */
    Element element; /* of the rows */
    float *room;     /* rows as floats, where they are f16 or i8; borrowed */
    const uint8_t *bits; /* hamming: the query; borrowed. There is no `query` then */
    HammingMany *hamming;
} MetricQuery;

/* Prepares a query. `query` is borrowed as long as *q is used. */
void metric_query_init(MetricQuery *q, const Kernels *kernels, Metric metric, const float *query,
                       size_t dimensions);

/* The same for rows of any elements. `vector`, of these elements, and `room`, metric_room floats,
 * are borrowed as long as *q is used. Hamming is for bits, and bits are for hamming. */
void metric_elements_init(MetricQuery *q, const Kernels *kernels, Metric metric, Element element,
                          const void *vector, size_t dimensions, float *room);
size_t metric_room(Element element, size_t dimensions);

/* The distances from the query to `count` rows, row i being at rows + i * stride bytes, which may
 * be any address. */
void metric_many(const MetricQuery *q, const void *rows, size_t stride, size_t count,
                 float *distances);

/* Asks memory for a row that is scored soon. WebAssembly cannot ask: a byte of each line is read, and
 * the answer is of no use, but the reads of several rows wait side by side. */
static inline void metric_prefetch(const uint8_t *row, size_t size) {
    enum { LINE = 64 };
#ifdef __wasm__
    uint32_t read = 0;
    for (size_t at = 0; at < size; at += LINE) read += row[at];
    __asm__ volatile("" : : "r"(read));
#else
    for (size_t at = 0; at < size; at += LINE) __builtin_prefetch(row + at);
#endif
}

#endif
