/* metric.c - makes the user's distance of what the kernels give, and knows when it must not.
 *
 * When a float result is right: the sum of squares was neither so large that it overflowed nor so
 * small that its terms lost bits below FLT_MIN. A term loses at most 2^-150 there, so 2^16
 * elements lose 2^-134 in all: nothing beside a sum of 2^-100. What is outside goes to double,
 * where floats' squares (2^-298 to 2^256) are far from both ends. That is slow, but rare; equal
 * vectors under L2 are the common case, so they are told apart first. */
#include "vector/metric.h"

#include "vector/kernels_body.h" /* FP_CONTRACT: the doubles too are rounded one by one */

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define METRIC_SQUARE_MIN 0x1p-100f

enum {
    METRIC_BATCH = 64,
    METRIC_ROOM_ROWS = 8, /* that are made floats at once: they stay in the nearest cache */
};

static bool metric_trusts(float square) { return square >= METRIC_SQUARE_MIN && square <= FLT_MAX; }

/* The three sums in double, in order. */
typedef struct MetricSums {
    double square, dot, query_norm, row_norm;
} MetricSums;

static MetricSums metric_sums(const MetricQuery *q, const uint8_t *row) {
    const uint8_t *query = (const void *)q->query;
    MetricSums sums = {0};
    for (size_t i = 0; i < q->dimensions; i++) {
        float a, b;
        memcpy(&a, query + 4 * i, 4);
        memcpy(&b, row + 4 * i, 4);
        const double x = (double)a, y = (double)b, difference = x - y;
        sums.square += difference * difference;
        sums.dot += x * y;
        sums.query_norm += x * x;
        sums.row_norm += y * y;
    }
    return sums;
}

/* Rule 3 spelled out: C leaves the conversion of too large a double undefined. The limit is where
 * rounding to nearest leaves FLT_MAX, half a step beyond it. */
static float metric_to_float(double value) {
    const double limit = 0x1.ffffffp+127;
    if (value >= limit) return INFINITY;
    if (value <= -limit) return -INFINITY;
    return (float)value;
}

static float metric_l2(const MetricQuery *q, const uint8_t *row, float square) {
    if (metric_trusts(square)) return sqrtf(square);
    if (square == 0 && memcmp(q->query, row, 4 * q->dimensions) == 0) return 0;
    return metric_to_float(sqrt(metric_sums(q, row).square));
}

/* 0.0f - dot, for -dot would turn 0 into -0. */
static float metric_ip(const MetricQuery *q, const uint8_t *row, float dot) {
    if (dot >= -FLT_MAX && dot <= FLT_MAX) return 0.0f - dot;
    return metric_to_float(0.0 - metric_sums(q, row).dot);
}

/* Rounding may lead a little out of the range. */
static float metric_clamp(float cosine_distance) {
    if (cosine_distance < 0) return 0;
    return cosine_distance > 2 ? 2 : cosine_distance;
}

/* |dot| <= |a| |b|, so when both norms are trusted it does not overflow either, save by rounding
 * at the very end of the range, where it is asked again. */
static float metric_cosine(const MetricQuery *q, const uint8_t *row, float dot, float norm) {
    if (q->norm > 0 && metric_trusts(norm) && dot >= -FLT_MAX && dot <= FLT_MAX)
        return metric_clamp(1 - dot / (q->norm * sqrtf(norm)));

    const MetricSums sums = metric_sums(q, row);
    if (sums.query_norm == 0 || sums.row_norm == 0) return 1; /* rule 4 */
    return metric_clamp((float)(1 - sums.dot / (sqrt(sums.query_norm) * sqrt(sums.row_norm))));
}

void metric_query_init(MetricQuery *q, const Kernels *kernels, Metric metric, const float *query,
                       size_t dimensions) {
    *q = (MetricQuery){.kernels = kernels, .query = query, .dimensions = dimensions, .metric = metric,
                       .element = ELEMENT_F32};
    if (metric == METRIC_COSINE) {
        const float norm = kernels->dot(query, query, dimensions);
        if (metric_trusts(norm)) q->norm = sqrtf(norm);
    }
}

size_t metric_room(Element element, size_t dimensions) {
    return element == ELEMENT_F16 || element == ELEMENT_I8 ? (METRIC_ROOM_ROWS + 1) * dimensions : 0;
}

/* The query is the last of the room. */
void metric_elements_init(MetricQuery *q, const Kernels *kernels, Metric metric, Element element,
                          const void *vector, size_t dimensions, float *room) {
    if (element == ELEMENT_BIT) {
        *q = (MetricQuery){.kernels = kernels, .dimensions = dimensions, .metric = METRIC_HAMMING, .element = element,
                           .bits = vector, .hamming = hamming_choose()};
        return;
    }
    const float *query = vector;
    if (element != ELEMENT_F32) {
        query = room + METRIC_ROOM_ROWS * dimensions;
        element_decode(element, vector, dimensions, room + METRIC_ROOM_ROWS * dimensions);
    }
    metric_query_init(q, kernels, metric, query, dimensions);
    q->element = element;
    q->room = room;
}

/* The kernels leave their result in `distances`, each is then replaced. */
static void metric_floats(const MetricQuery *q, const void *rows, size_t stride, size_t count,
                          float *distances) {
    const Kernels *k = q->kernels;
    const uint8_t *row = rows;
    float norms[METRIC_BATCH];

    for (size_t done = 0, batch; done < count; done += batch, distances += batch) {
        batch = count - done < METRIC_BATCH ? count - done : METRIC_BATCH;
        switch (q->metric) {
        case METRIC_L2:
            k->l2_many(q->query, row, stride, batch, q->dimensions, distances);
            for (size_t i = 0; i < batch; i++, row += stride)
                distances[i] = metric_l2(q, row, distances[i]);
            break;
        case METRIC_IP:
            k->dot_many(q->query, row, stride, batch, q->dimensions, distances);
            for (size_t i = 0; i < batch; i++, row += stride)
                distances[i] = metric_ip(q, row, distances[i]);
            break;
        case METRIC_HAMMING: break; /* not of floats */
        case METRIC_COSINE:
            k->dot_norm_many(q->query, row, stride, batch, q->dimensions, distances, norms);
            for (size_t i = 0; i < batch; i++, row += stride)
                distances[i] = metric_cosine(q, row, distances[i], norms[i]);
            break;
        }
    }
}

void metric_many(const MetricQuery *q, const void *rows, size_t stride, size_t count, float *distances) {
    const uint8_t *row = rows;
    if (q->element == ELEMENT_F32) {
        metric_floats(q, rows, stride, count, distances);
        return;
    }
    if (q->element == ELEMENT_BIT) {
        q->hamming(q->bits, rows, stride, count, element_size(ELEMENT_BIT, q->dimensions), distances);
        return;
    }
    for (size_t done = 0, some; done < count; done += some) {
        some = count - done < METRIC_ROOM_ROWS ? count - done : METRIC_ROOM_ROWS;
        for (size_t i = 0; i < some; i++, row += stride)
            element_decode(q->element, row, q->dimensions, q->room + i * q->dimensions);
        metric_floats(q, q->room, 4 * q->dimensions, some, distances + done);
    }
}
