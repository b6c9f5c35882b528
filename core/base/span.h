/* span.h - bytes somewhere, borrowed. */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

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

static inline bool span_eq(Span a, Span b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool span_starts_with(Span a, Span prefix) {
    return a.size >= prefix.size && (prefix.size == 0 || memcmp(a.data, prefix.data, prefix.size) == 0);
}

/* Order of bytes, the shorter first where one begins with the other. */
static inline int span_compare(Span a, Span b) {
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size ? memcmp(a.data, b.data, size) : 0;
    if (order != 0) return order;
    return a.size < b.size ? -1 : a.size > b.size;
}

static inline size_t span_common_prefix(Span a, Span b) {
    size_t size = a.size < b.size ? a.size : b.size, i = 0;
    while (i < size && a.data[i] == b.data[i]) i++;
    return i;
}

#endif
