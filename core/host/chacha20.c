/* chacha20.c - one function for vectors of any width: rounds without a branch or an index that
 * depends on a secret, then the lanes turned into blocks. */
#include "host/chacha20.h"

#ifdef CHACHA20_LANES

#include "base/codec.h"
#include "base/status.h"

typedef uint32_t ChaLanes4 __attribute__((vector_size(16)));

#define CHA_SHIFTS(v, n) ((v) << (n) | (v) >> (32 - (n)))

#define CHA_QUARTER(v, a, b, c, d, R16, R8)         \
    v[a] += v[b], v[d] ^= v[a], v[d] = R16(v[d]);   \
    v[c] += v[d], v[b] ^= v[c], v[b] = CHA_SHIFTS(v[b], 12); \
    v[a] += v[b], v[d] ^= v[a], v[d] = R8(v[d]);    \
    v[c] += v[d], v[b] ^= v[c], v[b] = CHA_SHIFTS(v[b], 7)

#define CHA_DOUBLE_ROUND(v, R16, R8)              \
    CHA_QUARTER(v, 0, 4, 8, 12, R16, R8);         \
    CHA_QUARTER(v, 1, 5, 9, 13, R16, R8);         \
    CHA_QUARTER(v, 2, 6, 10, 14, R16, R8);        \
    CHA_QUARTER(v, 3, 7, 11, 15, R16, R8);        \
    CHA_QUARTER(v, 0, 5, 10, 15, R16, R8);        \
    CHA_QUARTER(v, 1, 6, 11, 12, R16, R8);        \
    CHA_QUARTER(v, 2, 7, 8, 13, R16, R8);         \
    CHA_QUARTER(v, 3, 4, 9, 14, R16, R8)

/* The first block's state: constants, key, counter, nonce. */
static void cha_state(const uint8_t key[32], const uint8_t nonce[8], uint64_t counter, uint32_t state[16]) {
    static const uint32_t expand[4] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
    for (int i = 0; i < 4; i++) state[i] = expand[i];
    for (int i = 0; i < 8; i++) state[4 + i] = get_u32(key + 4 * i);
    state[12] = (uint32_t)counter;
    state[13] = (uint32_t)(counter >> 32);
    for (int i = 0; i < 2; i++) state[14 + i] = get_u32(nonce + 4 * i);
}

#define CHA_16(v) CHA_SHIFTS(v, 16)
#define CHA_8(v) CHA_SHIFTS(v, 8)

/* Four blocks. The counter's lower half must not wrap among them. */
static void cha_four(const uint32_t state[16], uint8_t *stream) {
    ChaLanes4 v[16], first[16];
    for (int i = 0; i < 16; i++) first[i] = v[i] = (ChaLanes4){0} + state[i];
    v[12] = first[12] = first[12] + (ChaLanes4){0, 1, 2, 3};
    for (int round = 0; round < 10; round++) {
        CHA_DOUBLE_ROUND(v, CHA_16, CHA_8);
    }
    for (int k = 0; k < 16; k += 4) {
        ChaLanes4 a = v[k] + first[k], b = v[k + 1] + first[k + 1], c = v[k + 2] + first[k + 2], d = v[k + 3] + first[k + 3];
        ChaLanes4 ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
        ChaLanes4 ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7), cd2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
        ChaLanes4 block[4] = {__builtin_shufflevector(ab, cd, 0, 1, 4, 5), __builtin_shufflevector(ab, cd, 2, 3, 6, 7),
                              __builtin_shufflevector(ab2, cd2, 0, 1, 4, 5), __builtin_shufflevector(ab2, cd2, 2, 3, 6, 7)};
        for (int n = 0; n < 4; n++) memcpy(stream + CHACHA20_BLOCK * n + 4 * k, &block[n], 16);
    }
}

#ifdef __x86_64__

typedef uint32_t ChaLanes8 __attribute__((vector_size(32)));
typedef uint8_t ChaBytes32 __attribute__((vector_size(32)));

#define CHA_BYTES(v, a, b, c, d)                                                                                       \
    (ChaLanes8) __builtin_shufflevector((ChaBytes32)(v), (ChaBytes32)(v), a, b, c, d, 4 + a, 4 + b, 4 + c, 4 + d,      \
                                        8 + a, 8 + b, 8 + c, 8 + d, 12 + a, 12 + b, 12 + c, 12 + d, 16 + a, 16 + b,    \
                                        16 + c, 16 + d, 20 + a, 20 + b, 20 + c, 20 + d, 24 + a, 24 + b, 24 + c, 24 + d, \
                                        28 + a, 28 + b, 28 + c, 28 + d)
#define CHA_BYTES_16(v) CHA_BYTES(v, 2, 3, 0, 1)
#define CHA_BYTES_8(v) CHA_BYTES(v, 3, 0, 1, 2)

/* Eight blocks, likewise. A vector has words of block n in its lower half, of n + 4 in its upper. */
__attribute__((target("avx2"))) static void cha_eight(const uint32_t state[16], uint8_t *stream) {
    ChaLanes8 v[16], first[16];
    for (int i = 0; i < 16; i++) first[i] = v[i] = (ChaLanes8){0} + state[i];
    v[12] = first[12] = first[12] + (ChaLanes8){0, 1, 2, 3, 4, 5, 6, 7};
    for (int round = 0; round < 10; round++) {
        CHA_DOUBLE_ROUND(v, CHA_BYTES_16, CHA_BYTES_8);
    }
    for (int k = 0; k < 16; k += 4) {
        ChaLanes8 a = v[k] + first[k], b = v[k + 1] + first[k + 1], c = v[k + 2] + first[k + 2], d = v[k + 3] + first[k + 3];
        ChaLanes8 ab = __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13);
        ChaLanes8 cd = __builtin_shufflevector(c, d, 0, 8, 1, 9, 4, 12, 5, 13);
        ChaLanes8 ab2 = __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15);
        ChaLanes8 cd2 = __builtin_shufflevector(c, d, 2, 10, 3, 11, 6, 14, 7, 15);
        ChaLanes8 block[4] = {__builtin_shufflevector(ab, cd, 0, 1, 8, 9, 4, 5, 12, 13),
                              __builtin_shufflevector(ab, cd, 2, 3, 10, 11, 6, 7, 14, 15),
                              __builtin_shufflevector(ab2, cd2, 0, 1, 8, 9, 4, 5, 12, 13),
                              __builtin_shufflevector(ab2, cd2, 2, 3, 10, 11, 6, 7, 14, 15)};
        for (int n = 0; n < 4; n++) {
            memcpy(stream + CHACHA20_BLOCK * n + 4 * k, &block[n], 16);
            memcpy(stream + CHACHA20_BLOCK * (n + 4) + 4 * k, (const uint8_t *)&block[n] + 16, 16);
        }
    }
}

static bool cha_has_eight(void) { return __builtin_cpu_supports("avx2") != 0; }

#else

static bool cha_has_eight(void) { return false; }
static void cha_eight(const uint32_t state[16], uint8_t *stream) { (void)state, (void)stream; }

#endif

void chacha20_stream(const uint8_t key[32], const uint8_t nonce[8], uint64_t counter, size_t size,
                     uint8_t stream[CHACHA20_GROUP]) {
    uint32_t state[16];
    ASSERT(counter + CHACHA20_GROUP / CHACHA20_BLOCK <= UINT32_MAX); /* no text is that long */
    cha_state(key, nonce, counter, state);
    if (cha_has_eight()) {
        cha_eight(state, stream);
        return;
    }
    cha_four(state, stream);
    if (size <= 4 * CHACHA20_BLOCK) return;
    state[12] += 4;
    cha_four(state, stream + 4 * CHACHA20_BLOCK);
}

#else

typedef int cha_nothing_here; /* a file of C has something in it */

#endif
