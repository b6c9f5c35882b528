/* rotation.c - rotation.h. Knows signs and windows; the transform itself is a kernel. */
#include "vector/rotation.h"

#include "vector/code_format.h"
#include "vector/kernels_body.h" /* FP_CONTRACT */

#include "base/codec.h"

#include <math.h>

enum { ROTATION_ROUNDS = 3, ROTATION_SIGNS = 64 };

struct Rotation {
    Env *env;
    uint32_t dimensions, padded;
    uint32_t window;  /* W */
    uint32_t windows; /* of a round: 1, or 2 where W < D */
    size_t size;      /* bytes of this */
    float signs[];    /* of each round, of each window: W */
};

uint32_t code_padded(uint32_t dimensions) {
    return (dimensions + CODE_PADDING - 1) / CODE_PADDING * CODE_PADDING;
}

/* splitmix64: sequences of different seeds have nothing in common. */
WRAPS static uint64_t rotation_random(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

nacre_status rotation_create(Env *env, uint32_t dimensions, uint64_t seed, Rotation **out) {
    ASSERT(dimensions > 0);
    const uint32_t padded = code_padded(dimensions);
    uint32_t window = CODE_PADDING;
    while (2 * window <= padded) window *= 2;
    const uint32_t windows = window < padded ? 2 : 1;
    const size_t count = (size_t)ROTATION_ROUNDS * windows * window;
    const size_t size = sizeof(Rotation) + count * sizeof(float);
    Rotation *r = env_alloc(env, size);
    if (!r) return NACRE_RESOURCE_EXHAUSTED;
    *r = (Rotation){env, dimensions, padded, window, windows, size};
    const float length = 1 / sqrtf((float)window);
    for (size_t i = 0; i < count; i += ROTATION_SIGNS) {
        const uint64_t bits = rotation_random(&seed);
        for (size_t j = 0; j < ROTATION_SIGNS; j++)
            r->signs[i + j] = bits >> j & 1 ? length : -length;
    }
    *out = r;
    return NACRE_OK;
}

void rotation_free(Rotation *rotation) {
    if (rotation) env_free(rotation->env, rotation, rotation->size);
}

/* y has the vector, and zeros behind it. */
static bool rotation_turn(const Rotation *r, const Kernels *k, float *y) {
    const float *signs = r->signs;
    for (size_t round = 0; round < ROTATION_ROUNDS; round++) {
        k->hadamard(y, signs, r->window);
        signs += r->window;
        if (r->windows == 1) continue;
        k->hadamard(y + r->padded - r->window, signs, r->window);
        signs += r->window;
    }
    if (k->dot(y, y, r->padded) <= FLT_MAX) return true;
    for (size_t i = 0; i < r->padded; i++) y[i] = INFINITY;
    return false;
}

bool rotation_apply(const Rotation *r, const Kernels *k, const float *x, float *y) {
    memcpy(y, x, r->dimensions * sizeof *y);
    memset(y + r->dimensions, 0, (r->padded - r->dimensions) * sizeof *y);
    return rotation_turn(r, k, y);
}

bool rotation_apply_unit(const Rotation *r, const Kernels *k, const float *x, float *y) {
    memcpy(y, x, r->dimensions * sizeof *y);
    memset(y + r->dimensions, 0, (r->padded - r->dimensions) * sizeof *y);
    const float square = k->dot(y, y, r->dimensions);
    if (square >= 0x1p-100f && square <= FLT_MAX) { /* as metric.c: no term lost what shows */
        const float inverse = 1 / sqrtf(square);
        for (size_t i = 0; i < r->dimensions; i++) y[i] *= inverse;
    } else {
        double sum = 0;
        for (size_t i = 0; i < r->dimensions; i++) sum += (double)y[i] * (double)y[i];
        const double length = sum > 0 ? sqrt(sum) : 1;
        for (size_t i = 0; i < r->dimensions; i++) y[i] = (float)((double)y[i] / length);
    }
    return rotation_turn(r, k, y);
}
