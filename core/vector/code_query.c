/* code_query.c - a query's tables, and scanning with them (README.md, "The scan"). */
#include "vector/codes.h"

#include "vector/kernels_body.h" /* FP_CONTRACT */

#include <math.h>

#define CODE_ENTRY_MAX 63.0f /* 6 bits: four entries add up within a byte */

enum { CODE_SCAN_BLOCKS = 16 }; /* per call of a kernel: V8 replaces slow code only between calls */

size_t code_query_size(const CodeShape *s) { return (size_t)s->padded / 4 * 16; }

/* The sum of all |y|, and the greatest of four: what a table must hold. */
static void code_query_extent(const float *y, size_t nibbles, float *total, float *greatest) {
    float sums[4] = {0}, most = 0;
    for (size_t m = 0; m < nibbles; m++, y += 4) {
        const float sum = ((fabsf(y[0]) + fabsf(y[1])) + fabsf(y[2])) + fabsf(y[3]);
        sums[m % 4] += sum;
        most = sum > most ? sum : most;
    }
    *total = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    *greatest = most;
}

/* The entries are centred on their own mean, instead of on that of what they were rounded from:
 * so rounding has no share that is the same for all rows (README.md). */
void code_query_init(CodeQuery *q, const CodeShape *s, const Kernels *k, const float *y,
                     uint8_t *lut, float epsilon) {
    const size_t nibbles = s->padded / 4;
    const float most = (float)((1u << s->bits) - 1); /* 2^B - 1 */
    float total, greatest;
    code_query_extent(y, nibbles, &total, &greatest);
    *q = (CodeQuery){s, k, y, lut, NAN, 0, 0, epsilon};
    if (!(total <= 0x1p100f) || (greatest > 0 && greatest < 0x1p-100f)) {
        memset(lut, 0, code_query_size(s)); /* no entry means anything: rule 3 */
        return;
    }
    const float scale = greatest > 0 ? CODE_ENTRY_MAX / greatest : 0;
    const uint32_t sum = k->code_table(y, nibbles, scale, lut);
    q->delta = greatest / CODE_ENTRY_MAX;
    q->bias = q->delta * (most * ((float)(int32_t)sum / 16));
    /* (4^B - 1) / 3 planes' worth of nibbles, 1/12 each; less 1/8, as one entry of 16 is exactly
     * 0, and as their mean was taken off. */
    q->rounding = q->delta * sqrtf(most * (most + 2) / 3 * ((float)nibbles * (7.0f / 96)));
}

#ifdef KERNELS_HAVE_VECTORS
/* Eight times four lanes, each with its bit. */
uint32_t code_below(const float *values, float limit) {
    const kernels_f4 limits = {limit, limit, limit, limit};
    kernels_i4 bit = {1, 2, 4, 8}, bits = {0};
    KERNELS_UNROLL for (size_t i = 0; i < CODE_LANES; i += 4) {
        bits |= (kernels_i4)(*(const kernels_f4_at *)(values + i) <= limits) & bit;
        bit = (kernels_i4)((kernels_u4)bit << 4);
    }
    return (uint32_t)((bits[0] | bits[1]) | (bits[2] | bits[3]));
}
#else
uint32_t code_below(const float *values, float limit) {
    uint32_t bits = 0;
    for (uint32_t lane = 0; lane < CODE_LANES; lane++) bits |= (uint32_t)(values[lane] <= limit) << lane;
    return bits;
}
#endif

void code_scan(const CodeQuery *q, const uint8_t *blocks, size_t count, float base, float root,
               float *est, float *bound, CodeLeast *least) {
    CodeLeast unasked[CODE_SCAN_BLOCKS];
    const CodeScan scan = {q->lut,      q->shape->padded / 4, q->shape->bits, q->delta, q->bias,
                           q->rounding, q->epsilon,           base,           root};
    const size_t size = code_block_size(q->shape);
    for (size_t i = 0, n; i < count; i += n) {
        n = count - i < CODE_SCAN_BLOCKS ? count - i : CODE_SCAN_BLOCKS;
        q->kernels->code_scan(&scan, blocks + i * size, n, est + CODE_LANES * i,
                              bound + CODE_LANES * i, least ? least + i : unasked);
    }
}
