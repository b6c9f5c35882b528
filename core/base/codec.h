/* codec.h - numbers as bytes: little-endian with explicit widths, big-endian where
 * bytes must sort; and ByteReader, for bytes that nobody has checked. */
#ifndef BASE_CODEC_H
#define BASE_CODEC_H

#include "base/span.h"

/* Compilers turn each of these into one load or store. */
static inline uint16_t get_u16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static inline uint32_t get_u32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t get_u64(const uint8_t *p) { return (uint64_t)get_u32(p) | (uint64_t)get_u32(p + 4) << 32; }
static inline void put_u16(uint8_t *p, uint16_t v) {
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}
static inline void put_u32(uint8_t *p, uint32_t v) {
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}
static inline void put_u64(uint8_t *p, uint64_t v) {
    put_u32(p, (uint32_t)v);
    put_u32(p + 4, (uint32_t)(v >> 32));
}
static inline uint32_t get_u32_be(const uint8_t *p) {
    return (uint32_t)p[3] | (uint32_t)p[2] << 8 | (uint32_t)p[1] << 16 | (uint32_t)p[0] << 24;
}
static inline uint64_t get_u64_be(const uint8_t *p) {
    return (uint64_t)get_u32_be(p + 4) | (uint64_t)get_u32_be(p) << 32;
}
static inline void put_u32_be(uint8_t *p, uint32_t v) {
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}
static inline void put_u64_be(uint8_t *p, uint64_t v) {
    put_u32_be(p, (uint32_t)(v >> 32));
    put_u32_be(p + 4, (uint32_t)v);
}

static inline uint64_t round_up(uint64_t n, uint64_t unit) { return (n + unit - 1) / unit * unit; }

/* Straight lines of reads, then one question: br_ok. After a read past the end
 * everything reads as zeros. */
typedef struct ByteReader {
    const uint8_t *at, *end;
    bool ran_short;
} ByteReader;

static inline ByteReader br_over(Span bytes) {
    return (ByteReader){bytes.data, bytes.data ? bytes.data + bytes.size : NULL, false};
}
static inline bool br_ok(const ByteReader *r) { return !r->ran_short; }
static inline size_t br_left(const ByteReader *r) { return (size_t)(r->end - r->at); }

static inline Span br_bytes(ByteReader *r, uint64_t size) {
    if (r->ran_short || size > br_left(r)) {
        r->ran_short = true;
        return (Span){NULL, 0};
    }
    Span s = {r->at, (size_t)size};
    if (size) r->at += size;
    return s;
}
static inline uint8_t br_u8(ByteReader *r) {
    Span s = br_bytes(r, 1);
    return s.data ? s.data[0] : 0;
}
static inline uint16_t br_u16(ByteReader *r) {
    Span s = br_bytes(r, 2);
    return s.data ? get_u16(s.data) : 0;
}
static inline uint32_t br_u32(ByteReader *r) {
    Span s = br_bytes(r, 4);
    return s.data ? get_u32(s.data) : 0;
}
static inline uint64_t br_u64(ByteReader *r) {
    Span s = br_bytes(r, 8);
    return s.data ? get_u64(s.data) : 0;
}

/* Bytes to be written one after the other into a buffer known to be large enough. */
typedef struct ByteWriter {
    uint8_t *at, *end;
} ByteWriter;

static inline void bw_u8(ByteWriter *w, uint8_t v) { *w->at++ = v; }
static inline void bw_u16(ByteWriter *w, uint16_t v) { put_u16(w->at, v), w->at += 2; }
static inline void bw_u32(ByteWriter *w, uint32_t v) { put_u32(w->at, v), w->at += 4; }
static inline void bw_u64(ByteWriter *w, uint64_t v) { put_u64(w->at, v), w->at += 8; }
static inline void bw_bytes(ByteWriter *w, Span s) {
    bytes_copy(w->at, s.data, s.size);
    w->at += s.size;
}

#endif
