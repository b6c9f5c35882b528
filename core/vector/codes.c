/* codes.c - one row: its code and its factors (README.md, "A code"). Knows nothing of blocks. */
#include "vector/codes.h"

#include "vector/kernels_body.h" /* FP_CONTRACT */

#include "base/span.h"

#include <math.h>

/* A row is gone through in pieces, so that what is between the steps fits the nearest cache and
 * the stack. Sums are those of the kernels over each piece, added in order. */
enum { CODE_PIECE = 1024 };

/* Steps of the best uniform quantiser of a normal distribution with 2, 4 ... 256 values (J. Max,
 * 1960), over its standard deviation: what a rotated row looks like. One step for all rows:
 * trying seven of each row gave the same recall (README.md). */
static const float code_steps[CODE_BITS_MAX] = {1.596f,  0.9957f, 0.5860f, 0.3352f,
                                                0.1881f, 0.1041f, 0.0569f, 0.0308f};

/* r = y - centroid, or y itself. */
static const float *code_residual(const float *restrict y, const float *restrict centroid,
                                  size_t count, float *restrict r) {
    if (!centroid) return y;
    for (size_t i = 0; i < count; i += CODE_PADDING)
        for (size_t j = i; j < i + CODE_PADDING; j++) r[j] = y[j] - centroid[j];
    return r;
}

/* Bit `plane` of each of `count` numbers, eight to a byte: the multiplication brings bit 8 i of
 * a word to bit 56 + i, and no two of its terms meet. */
WRAPS static void code_gather(const uint8_t *u, size_t count, uint32_t plane, uint8_t *to) {
    for (size_t i = 0; i < count; i += 8) {
        const uint64_t bits = span_word(u + i) >> plane & 0x0101010101010101u;
        to[i / 8] = (uint8_t)(bits * 0x0102040810204080u >> 56);
    }
}

typedef struct CodeSums {
    float rr, vr, vv, vc, cr; /* the products of r, v and the centroid that are asked for */
} CodeSums;

/* What is known before the row is quantised... */
static void code_measure(const CodeShape *s, const Kernels *k, const float *y,
                         const float *centroid, CodeSums *sums) {
    float residual[CODE_PIECE];
    for (size_t i = 0, n; i < s->padded; i += n) {
        n = s->padded - i < CODE_PIECE ? s->padded - i : CODE_PIECE;
        const float *c = centroid ? centroid + i : NULL;
        const float *r = code_residual(y + i, c, n, residual);
        sums->rr += k->dot(r, r, n);
        if (c && s->metric == METRIC_IP) sums->cr += k->dot(c, r, n);
    }
}

/* ...and its code, and what follows of that. */
static void code_quantise(const CodeShape *s, const Kernels *k, const float *y,
                          const float *centroid, uint8_t *code, CodeSums *sums) {
    float residual[CODE_PIECE], v[CODE_PIECE];
    uint8_t u[CODE_PIECE];
    const size_t plane = s->padded / 8;
    const float deviation = sqrtf(sums->rr) / sqrtf((float)s->padded);
    const float inverse = 1 / (code_steps[s->bits - 1] * deviation);
    for (size_t i = 0, n; i < s->padded; i += n) {
        n = s->padded - i < CODE_PIECE ? s->padded - i : CODE_PIECE;
        const float *c = centroid ? centroid + i : NULL;
        const float *r = code_residual(y + i, c, n, residual);
        k->quantise(r, n, inverse, s->bits, u, v);
        sums->vr += k->dot(v, r, n);
        sums->vv += k->dot(v, v, n);
        if (c) sums->vc += k->dot(v, c, n);
        for (uint32_t b = 0; b < s->bits; b++)
            code_gather(u, n, s->bits - 1 - b, code + b * plane + i / 8);
    }
}

static bool code_is_zero(const float *y, const float *centroid, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (y[i] != (centroid ? centroid[i] : 0)) return false;
    return true;
}

/* Where squares overflow, or lose bits, nothing that follows of them is a bound: rule 3. The limits
 * are those of metric.c. */
void code_encode(const CodeShape *s, const Kernels *k, const float *y, const float *centroid,
                 const float *mean, uint8_t *code, CodeFactors *factors) {
    const CodeFactors unknown = {INFINITY, 0, 0};
    CodeSums sums = {0};
    float my = 0;
    memset(code, 0, code_size(s));
    *factors = unknown;
    code_measure(s, k, y, centroid, &sums);
    if (mean && s->metric == METRIC_IP) my = k->dot(mean, y, s->padded);

    CodeFactors f = {0 - 2 * my, 0, 0};
    if (!(sums.rr <= FLT_MAX)) return;
    if (sums.rr < 0x1p-100f) {
        if (!code_is_zero(y, centroid, s->padded)) return;
    } else {
        code_quantise(s, k, y, centroid, code, &sums);
        const float scale = sums.rr / sums.vr;                          /* s */
        const float square = (sums.vr / sums.vv) * (sums.vr / sums.rr); /* rho^2 */
        const float lost = square < 1 ? (1 - square) / square : 0;
        const float fold = 2 * scale * sums.vc;
        f.add = s->metric == METRIC_IP ? fold - 2 * sums.cr - 2 * my : sums.rr + fold;
        f.res = -2 * scale;
        f.err = 2 * sqrtf(sums.rr) * sqrtf(lost / (float)(s->padded - 1));
    }
    if (code_factors_known(&f))
        *factors = f;
    else
        memset(code, 0, code_size(s));
}
