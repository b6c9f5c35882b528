/* learned.h - a learned index over sorted numbers (learned_format.h): built in one pass,
 * asked for a key's place within a few. Knows nothing of segments. */
#ifndef SEGMENT_LEARNED_H
#define SEGMENT_LEARNED_H

#include "host/env.h"
#include "segment/learned_format.h"

typedef struct LearnedPiece {
    uint64_t first;
    uint32_t start, slope;
    uint8_t in, out;
} LearnedPiece;

typedef struct LearnedBuilder {
    Env *env;
    uint32_t epsilon, keys;
    uint64_t last;    /* key */
    uint32_t last_at; /* its place */
    LearnedPiece piece; /* under way, if keys */
    uint64_t span;      /* of its keys */
    double low, high;   /* between these slopes lie those that suit all its keys */
    LearnedPiece *pieces; /* those before */
    size_t count, capacity;
} LearnedBuilder;

LearnedBuilder learned_begin(Env *env, uint32_t epsilon);
/* Not below the key before. NACRE_RESOURCE_EXHAUSTED: the builder is to be cleared. */
NACRE_CHECKED nacre_status learned_add(LearnedBuilder *builder, uint64_t key);
/* Behind the last key. */
NACRE_CHECKED nacre_status learned_end(LearnedBuilder *builder);
static inline size_t learned_pieces(const LearnedBuilder *builder) { return builder->count; } /* once ended */
size_t learned_size(const LearnedBuilder *builder);
void learned_write(const LearnedBuilder *builder, ByteWriter *into);
void learned_clear(LearnedBuilder *builder);

/* A model, over bytes that somebody else keeps. */
typedef struct Learned {
    uint32_t piece_count, key_count, epsilon;
    const uint8_t *firsts, *starts, *slopes, *shifts;
} Learned;

/* false: these bytes are no model. One that is believed never leads outside of 0 ... key_count. */
bool learned_open(Learned *model, Span bytes);

/* The place lies in low ... high, both included. */
typedef struct LearnedWindow {
    uint32_t low, high;
} LearnedWindow;

WRAPS static inline LearnedWindow learned_find(const Learned *model, uint64_t key) {
    uint32_t piece = 0; /* the last whose first key is <= key, without a branch for each step */
    for (uint32_t left = model->piece_count; left > 1;) {
        uint32_t half = left / 2;
        piece += (0 - (uint32_t)(get_u64(model->firsts + 8 * (size_t)(piece + half)) <= key)) & half;
        left -= half;
    }
    uint64_t first = get_u64(model->firsts + 8 * (size_t)piece);
    uint32_t start = get_u32(model->starts + 4 * (size_t)piece);
    if (key < first) return (LearnedWindow){0, 0};
    uint64_t end = piece + 1 < model->piece_count ? get_u32(model->starts + 4 * (size_t)(piece + 1)) : model->key_count;
    const uint8_t *shifts = model->shifts + 2 * (size_t)piece;
    uint64_t distance = (key - first) >> shifts[0];
    if (distance > UINT32_MAX) distance = UINT32_MAX;
    uint64_t guess = start + (distance * get_u32(model->slopes + 4 * (size_t)piece) >> shifts[1]);
    if (guess > end) guess = end;
    uint64_t low = guess > (uint64_t)start + model->epsilon ? guess - model->epsilon : start;
    uint64_t high = guess + model->epsilon + LEARNED_SLACK;
    return (LearnedWindow){(uint32_t)low, (uint32_t)(high < end ? high : end)};
}

#endif
