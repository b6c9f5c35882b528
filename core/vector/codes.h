/* codes.h - RaBitQ codes of 1 to 8 bits per dimension: estimates of distances with bounds, 32
 * rows at a time. README.md has the formulas and where they are from, code_format.h the bytes.
 * Knows vectors in the frame of an index and bytes; nothing of files, lists or keys.
 *
 * The frame: rows and queries are rotated (rotation.h), then the rotated mean is taken off. The
 * unit of estimates is squared L2; under cosine that of unit vectors, which is twice the distance;
 * under ip -2 <q, x>.
 *
 * 1. An estimate is unbiased. The distance is above its bound with the probability that epsilon
 *    says: 1.9 is 97 % (errors are close to normal).
 * 2. Estimates and bounds have the same bits on every host, are never NaN, and do not depend on
 *    what else is scanned in the same call.
 * 3. Where floats do not suffice (squares that overflow, or underflow), the bound is -INFINITY and
 *    the estimate INFINITY: look at the row itself. */
#ifndef NACRE_VECTOR_CODES_H
#define NACRE_VECTOR_CODES_H

#include "vector/code_format.h"
#include "vector/kernels.h"
#include "vector/metric.h"
#include "vector/rotation.h"

#include <stdint.h>

/* What all codes of an index share. */
typedef struct CodeShape {
    uint32_t dimensions; /* as stored */
    uint32_t padded;     /* code_padded(dimensions) */
    uint32_t bits;       /* 1 ... CODE_BITS_MAX */
    Metric metric;
} CodeShape;

/* Bytes of a loose code, and of a block. */
static inline size_t code_size(const CodeShape *s) { return (size_t)s->padded / 8 * s->bits; }
static inline size_t code_block_size(const CodeShape *s) {
    return CODE_BLOCK_PLANES + (size_t)s->padded * 4 * s->bits;
}

/* ---- one row ---- */

/* What a row has beside its code. Unknown (rule 3): {INFINITY, 0, 0}. */
typedef struct CodeFactors {
    float add, res; /* the estimate is add + base + res * <v, q> */
    float err;      /* its standard deviation, for a query at distance 1 of the centroid */
} CodeFactors;

static inline bool code_factors_known(const CodeFactors *f) {
    const float most = 0x1p100f;
    return f->add >= -most && f->add <= most && f->res >= -most && f->res <= most && f->err >= 0 &&
           f->err <= (f->res < 0 ? -f->res : f->res) * most;
}

/* y: the row in the frame, padded floats. centroid: of its list, in the frame; NULL: 0, the mean.
 * mean: the rotated mean, NULL: 0; only ip asks for it. */
void code_encode(const CodeShape *s, const Kernels *k, const float *y, const float *centroid,
                 const float *mean, uint8_t *code, CodeFactors *factors);

/* ---- blocks ---- */

/* Packs `count` <= 32 loose codes, code i being at codes + i * stride bytes. */
void code_block_pack(const CodeShape *s, const uint8_t *codes, size_t stride,
                     const CodeFactors *factors, uint32_t count, uint8_t *block);

/* One lane back out: its code, and its factors as the block has them. */
void code_block_lane(const CodeShape *s, const uint8_t *block, uint32_t lane, uint8_t *code,
                     CodeFactors *factors);

/* ---- queries ---- */

/* Everything about a query that does not depend on a list. */
typedef struct CodeQuery {
    const CodeShape *shape; /* borrowed */
    const Kernels *kernels;
    const float *y; /* borrowed */
    uint8_t *lut;   /* borrowed: 16 entries of 6 bits for each nibble */
    float delta;    /* what 1 in an entry stands for; NAN: rule 3 */
    float bias;     /* what entries of a code of no bits would add up to: their mean */
    float rounding; /* the standard deviation of <v, q> for the entries being rounded */
    float epsilon;
} CodeQuery;

/* Bytes that a query's tables take. */
size_t code_query_size(const CodeShape *s);

/* y: the query in the frame. lut: code_query_size bytes, at a multiple of 64. Shape, y and lut are
 * borrowed as long as *q is used. */
void code_query_init(CodeQuery *q, const CodeShape *s, const Kernels *k, const float *y,
                     uint8_t *lut, float epsilon);

/* Estimates and bounds for all lanes of `count` blocks that lie behind each other at any address:
 * est[32 * i + lane], bound[32 * i + lane]. Lanes that are not used get some numbers, too.
 * base: what the list of the blocks adds, c being its centroid:
 *       L2, cosine |y - c|^2; ip -2 <y, c> - 2 <y, mean> - 2 <mean, mean>
 * root: |y - c|
 * least[i]: of block i, those lanes included; NULL: not asked for */
void code_scan(const CodeQuery *q, const uint8_t *blocks, size_t count, float base, float root,
               float *est, float *bound, CodeLeast *least);

/* Which of a block's 32 values are at most `limit`: a bit of each. */
uint32_t code_below(const float *values, float limit);

#endif
