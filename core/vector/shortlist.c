/* shortlist.c - a threshold from the minima of groups, then one pass that takes what is below. */
#include "vector/shortlist.h"

#include <math.h>
#include <string.h>

/* The bits of a float sort as those of a number once negative ones are turned over. -0 becomes
 * +0, so that both tie. */
uint64_t shortlist_key(float value, uint32_t index) {
    uint32_t bits;
    value += 0.0f;
    memcpy(&bits, &value, 4);
    bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return (uint64_t)bits << 32 | index;
}

float shortlist_value(uint64_t key) {
    uint32_t bits = (uint32_t)(key >> 32);
    bits = bits & 0x80000000u ? bits & 0x7fffffffu : ~bits;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

/* At least `want` values are as small as the want-th smallest of the minima of groups: each group
 * has one. With twice as many groups as wanted not many more are. Groups are the columns of the
 * values laid out in rows, so that compilers make vectors of the loop. */
static float shortlist_limit(const float *values, uint32_t count, uint32_t want, float *minima,
                             uint64_t *keys) {
    const uint32_t groups = shortlist_minima(want);
    if (groups >= count) return INFINITY;
    for (uint32_t g = 0; g < groups; g++) minima[g] = INFINITY;
    for (uint32_t row = 0; row < count; row += groups) {
        const uint32_t columns = count - row < groups ? count - row : groups;
        for (uint32_t g = 0; g < columns; g++)
            minima[g] = values[row + g] < minima[g] ? values[row + g] : minima[g];
    }
    for (uint32_t g = 0; g < groups; g++) keys[g] = shortlist_key(minima[g], 0);
    shortlist_sort(keys, groups);
    return shortlist_value(keys[want - 1]);
}

uint32_t shortlist_pick(const float *values, uint32_t count, uint32_t want, float *minima,
                        uint64_t *keys) {
    const float limit = shortlist_limit(values, count, want, minima, keys);
    uint32_t taken = 0;
    for (uint32_t i = 0; i < count; i++)
        if (values[i] <= limit) keys[taken++] = shortlist_key(values[i], i);
    if (taken == 0) keys[taken++] = shortlist_key(INFINITY, 0);
    return taken;
}

/* Shell's sort with Ciura's gaps: short, without recursion, never quadratic in practice. */
void shortlist_sort(uint64_t *keys, uint32_t count) {
    static const uint32_t gaps[] = {3548, 1577, 701, 301, 132, 57, 23, 10, 4, 1};
    for (uint32_t g = 0; g < sizeof gaps / sizeof *gaps; g++)
        for (uint32_t i = gaps[g]; i < count; i++) {
            const uint64_t key = keys[i];
            uint32_t at = i;
            for (; at >= gaps[g] && keys[at - gaps[g]] > key; at -= gaps[g])
                keys[at] = keys[at - gaps[g]];
            keys[at] = key;
        }
}
