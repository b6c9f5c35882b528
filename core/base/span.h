/* span.h - bytes somewhere, borrowed. */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Before a function in which unsigned numbers wrap on purpose: hashes, bits set without a
 * branch, counting down past 0. In all others -fsanitize=integer finds a wrap to be a mistake. */
#if defined(__clang__)
#define WRAPS __attribute__((no_sanitize("unsigned-integer-overflow")))
#else
#define WRAPS
#endif

typedef struct Span {
    const uint8_t *data;
    size_t size; /* bytes */
} Span;

static inline Span span_of(const void *data, size_t size) {
    return (Span){(const uint8_t *)data, size};
}

/* A hint: this line of memory will be read soon. */
static inline void memory_expect(const void *at) {
#if (defined(__GNUC__) || defined(__clang__)) && !defined(__wasm__)
    __builtin_prefetch(at);
#else
    (void)at;
#endif
}

/* 8 bytes of any alignment, as the host reads them. */
static inline uint64_t span_word(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* What memcmp and memcpy do, without a call: keys and values are short, and in WASM a call
 * into the library is a loop over bytes, one of memory.copy a call out of the module. */
static inline bool bytes_equal(const uint8_t *a, const uint8_t *b, size_t size) {
    if (size < 8) {
        for (size_t i = 0; i < size; i++)
            if (a[i] != b[i]) return false;
        return true;
    }
    for (size_t i = 0; i + 8 < size; i += 8)
        if (span_word(a + i) != span_word(b + i)) return false;
    return span_word(a + size - 8) == span_word(b + size - 8);
}

/* To a place that does not overlap. */
static inline void bytes_copy(uint8_t *to, const uint8_t *from, size_t size) {
    if (size > 256) {
        memcpy(to, from, size);
    } else if (size >= 16) {
        for (size_t i = 0; i + 16 < size; i += 16) memcpy(to + i, from + i, 16);
        memcpy(to + size - 16, from + size - 16, 16);
    } else if (size >= 8) {
        memcpy(to, from, 8);
        memcpy(to + size - 8, from + size - 8, 8);
    } else {
        for (size_t i = 0; i < size; i++) to[i] = from[i];
    }
}

static inline bool span_eq(Span a, Span b) { return a.size == b.size && bytes_equal(a.data, b.data, a.size); }

static inline bool span_starts_with(Span a, Span prefix) {
    return a.size >= prefix.size && bytes_equal(a.data, prefix.data, prefix.size);
}

/* The number of equal bytes both begin with. */
static inline size_t bytes_common(const uint8_t *a, const uint8_t *b, size_t size) {
    size_t i = 0;
    while (i + 8 <= size && span_word(a + i) == span_word(b + i)) i += 8;
    while (i < size && a[i] == b[i]) i++;
    return i;
}
static inline size_t span_common_prefix(Span a, Span b) {
    return bytes_common(a.data, b.data, a.size < b.size ? a.size : b.size);
}

/* Order of bytes, the shorter first where one begins with the other. */
static inline int span_compare(Span a, Span b) {
    size_t common = span_common_prefix(a, b);
    if (common < a.size && common < b.size) return a.data[common] < b.data[common] ? -1 : 1;
    return a.size < b.size ? -1 : a.size > b.size;
}

#endif
