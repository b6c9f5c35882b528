/* xxh3_vectors.c - prints XXH3-64 of pseudo-random bytes of many sizes under many seeds,
 * as xxHash itself computes it: "size seed hash" in each line. Byte i of the input is
 * i * 2654435761 >> 24, in 32 bits. */
#include <stdint.h>
#include <stdio.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

int main(void) {
    static uint8_t bytes[70000];
    static const uint64_t seeds[] = {0, 1, 0x9e3779b97f4a7c15u, UINT64_MAX, UINT64_C(1) << 63, 0x80000000u};
    for (uint32_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 2654435761u >> 24);
    for (size_t size = 0; size <= sizeof bytes; size = size < 1100 ? size + 1 : size * 2 - 7)
        for (size_t s = 0; s < sizeof seeds / sizeof *seeds; s++)
            printf("%zu %llu %llu\n", size, (unsigned long long)seeds[s],
                   (unsigned long long)XXH3_64bits_withSeed(bytes, size, seeds[s]));
    return 0;
}
