/* code_block.c - 32 codes as a block, and one of them back (code_format.h). Knows nothing of
 * vectors. */
#include "vector/codes.h"

#include "vector/kernels_body.h" /* FP_CONTRACT */

#include "base/codec.h"

#include <math.h>

static void code_put_float(uint8_t *to, float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    put_u32(to, bits);
}

static float code_get_float(const uint8_t *from) {
    const uint32_t bits = get_u32(from);
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

/* The least power of two that is not below x: 0 < x <= 2^101. */
static float code_power_above(float x) {
    uint32_t bits;
    if (x < FLT_MIN) return FLT_MIN;
    memcpy(&bits, &x, 4);
    bits = (bits + 0x7fffff) & 0xff800000;
    memcpy(&x, &bits, 4);
    return x;
}

/* fminf and fmaxf may answer either zero of two, which would show in bytes. */
static float code_least(float a, float b) { return b < a ? b : a; }
static float code_most(float a, float b) { return b > a ? b : a; }

/* How one of the factors is written. */
typedef struct CodeGrid {
    float min, step;
} CodeGrid;

/* Rule 1. Steps are coarse enough for a min of 24 bits, and such that what min is rounded down by
 * still leaves the greatest below 65535. */
static CodeGrid code_grid(float least, float greatest) {
    const float top = code_most(fabsf(least), fabsf(greatest));
    if (top == 0) return (CodeGrid){0, 0};
    const float fine = (greatest - least) / (CODE_ADD_UNKNOWN - 2);
    const float step = code_power_above(code_most(fine, top * 0x1p-23f));
    return (CodeGrid){floorf(least / step) * step, step};
}

static uint16_t code_grid_index(const CodeGrid *g, float value) {
    if (g->step == 0) return 0;
    const float index = floorf((value - g->min) / g->step + 0.5f);
    if (!(index > 0)) return 0;
    return index < CODE_ADD_UNKNOWN - 1 ? (uint16_t)index : CODE_ADD_UNKNOWN - 1;
}

/* The factors of the lanes, which are written to the block, and what all of them share. */
static void code_pack_factors(const CodeFactors *f, uint32_t count, uint8_t *block) {
    CodeFactors least = {INFINITY, INFINITY, 0}, greatest = {-INFINITY, -INFINITY, 0};
    float kappa = 0;
    uint32_t known = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!code_factors_known(&f[i])) continue;
        least.add = code_least(least.add, f[i].add), greatest.add = code_most(greatest.add, f[i].add);
        least.res = code_least(least.res, f[i].res), greatest.res = code_most(greatest.res, f[i].res);
        if (f[i].err > 0) kappa = code_most(kappa, f[i].err / fabsf(f[i].res));
        known++;
    }
    const CodeGrid add = known ? code_grid(least.add, greatest.add) : (CodeGrid){0, 0};
    const CodeGrid res = known ? code_grid(least.res, greatest.res) : (CodeGrid){0, 0};
    code_put_float(block, add.min);
    code_put_float(block + 4, add.step);
    code_put_float(block + 8, res.min);
    code_put_float(block + 12, res.step);
    code_put_float(block + 16, kappa);
    for (uint32_t i = 0; i < count; i++) {
        const bool is_known = code_factors_known(&f[i]);
        put_u16(block + CODE_BLOCK_ADD + 2 * i,
                is_known ? code_grid_index(&add, f[i].add) : CODE_ADD_UNKNOWN);
        put_u16(block + CODE_BLOCK_RES + 2 * i, is_known ? code_grid_index(&res, f[i].res) : 0);
    }
}

/* Rule 4, two nibbles at a time: a byte of each code. */
void code_block_pack(const CodeShape *s, const uint8_t *codes, size_t stride,
                     const CodeFactors *factors, uint32_t count, uint8_t *block) {
    ASSERT(count <= CODE_LANES);
    memset(block, 0, code_block_size(s));
    code_pack_factors(factors, count, block);
    uint8_t *planes = block + CODE_BLOCK_PLANES;
    const size_t size = code_size(s);
    for (size_t lane = 0; lane < count; lane++, codes += stride) {
        if (!code_factors_known(&factors[lane])) continue;
        const uint32_t shift = lane < 16 ? 0 : 4;
        uint8_t *to = planes + lane % 16;
        for (size_t j = 0; j < size; j++, to += 32) {
            to[0] = (uint8_t)(to[0] | (codes[j] & 15) << shift);
            to[16] = (uint8_t)(to[16] | codes[j] >> 4 << shift);
        }
    }
}

void code_block_lane(const CodeShape *s, const uint8_t *block, uint32_t lane, uint8_t *code,
                     CodeFactors *factors) {
    ASSERT(lane < CODE_LANES);
    const uint32_t shift = lane < 16 ? 0 : 4;
    const uint8_t *from = block + CODE_BLOCK_PLANES + lane % 16;
    const size_t size = code_size(s);
    for (size_t j = 0; j < size; j++, from += 32)
        code[j] = (uint8_t)((from[0] >> shift & 15) | (from[16] >> shift & 15) << 4);

    const uint16_t add = get_u16(block + CODE_BLOCK_ADD + 2 * lane);
    const uint16_t res = get_u16(block + CODE_BLOCK_RES + 2 * lane);
    CodeFactors f;
    f.add = code_get_float(block) + code_get_float(block + 4) * (float)add;
    f.res = code_get_float(block + 8) + code_get_float(block + 12) * (float)res;
    f.err = code_get_float(block + 16) * fabsf(f.res);
    if (add == CODE_ADD_UNKNOWN || !code_factors_known(&f)) f = (CodeFactors){INFINITY, 0, 0};
    *factors = f;
}
