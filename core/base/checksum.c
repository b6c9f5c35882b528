/* checksum.c - the one place that compiles xxHash. */
#include "base/checksum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t checksum64(uint64_t seed, const void *data, size_t size) {
    return XXH3_64bits_withSeed(data, size, seed);
}
