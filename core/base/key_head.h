/* key_head.h - the first 16 bytes of a key as numbers: most comparisons end there, without
 * a call and without a look at the key. */
#ifndef BASE_KEY_HEAD_H
#define BASE_KEY_HEAD_H

#include "base/codec.h"

typedef struct KeyHead {
    uint64_t high, low; /* bytes 0-7 and 8-15, big-endian, zeros where the key ends */
} KeyHead;

static inline uint64_t key_head_part(Span key, size_t from) {
    if (from + 8 <= key.size) return get_u64_be(key.data + from);
    uint64_t part = 0;
    for (size_t i = from; i < key.size; i++) part |= (uint64_t)key.data[i] << (56 - 8 * (i - from));
    return part;
}
static inline KeyHead key_head(Span key) { return (KeyHead){key_head_part(key, 0), key_head_part(key, 8)}; }

/* As the keys' own order, but for 0, which leaves it open. */
static inline int head_compare(KeyHead a, KeyHead b) {
    if (a.high != b.high) return a.high < b.high ? -1 : 1;
    if (a.low != b.low) return a.low < b.low ? -1 : 1;
    return 0;
}

static inline int key_compare(Span a, KeyHead head_a, Span b, KeyHead head_b) {
    int order = head_compare(head_a, head_b);
    return order ? order : span_compare(a, b);
}

#endif
