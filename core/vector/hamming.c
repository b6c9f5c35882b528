/* hamming.c - hamming.h by the compiler's popcount: an instruction of WebAssembly and of 64-bit
 * ARM; of x86 only where the processor is asked first. */
#include "vector/hamming.h"

#include <string.h>

static inline uint64_t hamming_word(const uint8_t *at, size_t size) {
    uint64_t word = 0;
    memcpy(&word, at, size);
    return word;
}

#define HAMMING_BODY                                                                               \
    for (size_t row = 0; row < count; row++, rows += stride) {                                     \
        int differ = 0;                                                                            \
        size_t i = 0;                                                                              \
        for (; size - i >= 8; i += 8)                                                              \
            differ += __builtin_popcountll(hamming_word(query + i, 8) ^ hamming_word(rows + i, 8)); \
        if (i < size)                                                                              \
            differ += __builtin_popcountll(hamming_word(query + i, size - i) ^                     \
                                           hamming_word(rows + i, size - i));                      \
        distances[row] = (float)differ;                                                            \
    }

void hamming_many_plain(const uint8_t *query, const uint8_t *rows, size_t stride, size_t count, size_t size,
                        float *distances) {
    HAMMING_BODY
}

#if defined(__x86_64__)
__attribute__((target("popcnt"))) static void hamming_many_popcnt(const uint8_t *query, const uint8_t *rows,
                                                                  size_t stride, size_t count, size_t size,
                                                                  float *distances) {
    HAMMING_BODY
}

HammingMany *hamming_choose(void) {
    return __builtin_cpu_supports("popcnt") ? hamming_many_popcnt : hamming_many_plain;
}
#else
HammingMany *hamming_choose(void) { return hamming_many_plain; }
#endif
