/* poly1305.h - Poly1305 (RFC 8439) of whole blocks, for hosts that multiply 64 bits by 64. */
#ifndef HOST_POLY1305_H
#define HOST_POLY1305_H

#include <stddef.h>
#include <stdint.h>

#if defined(__SIZEOF_INT128__) && UINTPTR_MAX == UINT64_MAX
#define POLY1305_WIDE 1

/* A number modulo 2^130 - 5 in limbs of 44, 44 and 42 bits. */
typedef struct PolyNumber {
    uint64_t limb[3];
} PolyNumber;

typedef struct Poly1305 {
    PolyNumber sum, powers[4]; /* of r: r, r^2, r^3, r^4; but for the first when they are needed */
    uint64_t pad[2];
    int known; /* powers */
} Poly1305;

void poly1305_init(Poly1305 *poly, const uint8_t key[32]);
/* Then the bytes, filled up with zeros to whole blocks of 16. */
void poly1305_add(Poly1305 *poly, const uint8_t *bytes, size_t size);
void poly1305_end(const Poly1305 *poly, uint8_t tag[16]);
#endif

#endif
