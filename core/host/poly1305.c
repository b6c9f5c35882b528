/* poly1305.c - the sum of blocks times powers of r, four blocks at a time: one carry for all of
 * them, and multiplications that do not wait for each other. No branch and no index depends on a
 * secret. Limbs as in poly1305-donna-64 (Andrew Moon, public domain). */
#include "host/poly1305.h"

#ifdef POLY1305_WIDE

#include "base/codec.h"
#include "base/status.h"

__extension__ typedef unsigned __int128 PolyWide;

#define POLY_44 ((UINT64_C(1) << 44) - 1)
#define POLY_42 ((UINT64_C(1) << 42) - 1)

enum { POLY_BLOCK = 16 };

/* 1. Limbs of a number are below 2^44, 2^45 and 2^42: carried. Twelve products of such with
 *    limbs of r times 20 are below 2^98. */

static PolyNumber poly_block(const uint8_t bytes[POLY_BLOCK]) {
    uint64_t low = get_u64(bytes), high = get_u64(bytes + 8);
    return (PolyNumber){{low & POLY_44, (low >> 44 | high << 20) & POLY_44, high >> 24 | UINT64_C(1) << 40}};
}

static inline void poly_multiply_add(PolyWide sum[3], const PolyNumber *a, const PolyNumber *r) {
    const uint64_t *x = a->limb, *y = r->limb;
    uint64_t y1 = y[1] * 20, y2 = y[2] * 20; /* 5 * 2^(132 - 130) */
    sum[0] += (PolyWide)x[0] * y[0] + (PolyWide)x[1] * y2 + (PolyWide)x[2] * y1;
    sum[1] += (PolyWide)x[0] * y[1] + (PolyWide)x[1] * y[0] + (PolyWide)x[2] * y2;
    sum[2] += (PolyWide)x[0] * y[2] + (PolyWide)x[1] * y[1] + (PolyWide)x[2] * y[0];
}

static inline PolyNumber poly_carry(PolyWide sum[3]) {
    PolyNumber out;
    sum[1] += (uint64_t)(sum[0] >> 44);
    sum[2] += (uint64_t)(sum[1] >> 44);
    out.limb[0] = ((uint64_t)sum[0] & POLY_44) + (uint64_t)(sum[2] >> 42) * 5;
    out.limb[1] = ((uint64_t)sum[1] & POLY_44) + (out.limb[0] >> 44);
    out.limb[0] &= POLY_44;
    out.limb[2] = (uint64_t)sum[2] & POLY_42;
    return out;
}

static PolyNumber poly_multiply(const PolyNumber *a, const PolyNumber *b) {
    PolyWide sum[3] = {0};
    poly_multiply_add(sum, a, b);
    return poly_carry(sum);
}

static void poly_plus(PolyNumber *to, const PolyNumber *block) {
    for (int i = 0; i < 3; i++) to->limb[i] += block->limb[i];
}

void poly1305_init(Poly1305 *poly, const uint8_t key[32]) {
    uint64_t low = get_u64(key), high = get_u64(key + 8);
    *poly = (Poly1305){.known = 1};
    poly->powers[0] = (PolyNumber){{low & 0xffc0fffffff, (low >> 44 | high << 20) & 0xfffffc0ffff, high >> 24 & 0x00ffffffc0f}};
    for (int i = 0; i < 2; i++) poly->pad[i] = get_u64(key + 16 + 8 * i);
}

static void poly_know_powers(Poly1305 *poly) {
    for (; poly->known < 4; poly->known++)
        poly->powers[poly->known] = poly_multiply(&poly->powers[poly->known - 1], &poly->powers[0]);
}

void poly1305_add(Poly1305 *poly, const uint8_t *bytes, size_t size) {
    PolyNumber sum = poly->sum;
    if (size >= 8 * POLY_BLOCK) poly_know_powers(poly);
    for (; poly->known == 4 && size >= 4 * POLY_BLOCK; bytes += 4 * POLY_BLOCK, size -= 4 * POLY_BLOCK) {
        PolyWide wide[3] = {0};
        PolyNumber block[4];
        for (int i = 0; i < 4; i++) block[i] = poly_block(bytes + POLY_BLOCK * i);
        poly_plus(&sum, &block[0]);
        poly_multiply_add(wide, &block[1], &poly->powers[2]);
        poly_multiply_add(wide, &block[2], &poly->powers[1]);
        poly_multiply_add(wide, &block[3], &poly->powers[0]);
        poly_multiply_add(wide, &sum, &poly->powers[3]);
        sum = poly_carry(wide);
    }
    while (size > 0) {
        uint8_t last[POLY_BLOCK] = {0};
        size_t part = size < POLY_BLOCK ? size : POLY_BLOCK;
        memcpy(last, bytes, part);
        PolyNumber block = poly_block(last);
        poly_plus(&sum, &block);
        sum = poly_multiply(&sum, &poly->powers[0]);
        bytes += part, size -= part;
    }
    poly->sum = sum;
}

/* The number below 2^130 - 5, plus the pad, modulo 2^128. */
WRAPS void poly1305_end(const Poly1305 *poly, uint8_t tag[16]) {
    uint64_t h0 = poly->sum.limb[0], h1 = poly->sum.limb[1], h2 = poly->sum.limb[2];
    for (int i = 0; i < 2; i++) { /* every carry there may be, twice around */
        h1 += h0 >> 44, h0 &= POLY_44;
        h2 += h1 >> 44, h1 &= POLY_44;
        h0 += (h2 >> 42) * 5, h2 &= POLY_42;
    }
    h1 += h0 >> 44, h0 &= POLY_44;
    uint64_t g0 = h0 + 5, g1 = h1 + (g0 >> 44), g2 = h2 + (g1 >> 44) - (UINT64_C(1) << 42);
    uint64_t less = (g2 >> 63) - 1; /* all ones: it was 2^130 - 5 or more */
    h0 = (h0 & ~less) | (g0 & POLY_44 & less);
    h1 = (h1 & ~less) | (g1 & POLY_44 & less);
    h2 = (h2 & ~less) | (g2 & POLY_42 & less);
    h0 += poly->pad[0] & POLY_44;
    h1 += ((poly->pad[0] >> 44 | poly->pad[1] << 20) & POLY_44) + (h0 >> 44);
    h2 += (poly->pad[1] >> 24) + (h1 >> 44);
    put_u64(tag, (h0 & POLY_44) | h1 << 44);
    put_u64(tag + 8, (h1 & POLY_44) >> 20 | h2 << 24);
}

#else

typedef int poly_nothing_here;

#endif
