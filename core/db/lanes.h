/* lanes.h - the lanes that a search has estimated, and below which distance none of them lies.
 * Stretches of blocks (vector/codes.h) stand behind each other, so that a block's lanes begin at
 * a multiple of 32. Knows nothing of what a lane's row is. */
#ifndef DB_LANES_H
#define DB_LANES_H

#include "host/env.h"
#include "vector/codes.h"

#include <math.h>

/* Memory that one search leaves to the next. */
typedef struct LaneRoom {
    uint8_t *memory;
    size_t size;
} LaneRoom;

/* Blocks behind each other of one part of what is searched. */
typedef struct LaneStretch {
    size_t part;
    uint32_t block;
    size_t lane; /* of its first block */
} LaneStretch;

typedef struct Lanes {
    Env *env;
    LaneRoom room;
    float *bounds;    /* of each lane; INFINITY: no row, or looked at */
    CodeLeast *least; /* of each block, not more than that of its lanes */
    size_t count, capacity;
    LaneStretch *stretches;
    size_t stretch_count, stretch_capacity;
} Lanes;

/* Nearest first: what is kept of many lanes. */
typedef struct BestLane {
    float estimate;
    uint32_t lane;
} BestLane;

/* The lanes with the least estimates, ties by lane: a heap, the farthest first. */
typedef struct BestLanes {
    BestLane *heap;
    uint32_t count, most;
    size_t capacity;
} BestLanes;

/* Takes the room over, which is empty then. */
void lanes_begin(Lanes *lanes, Env *env, LaneRoom *room);
/* Gives it back, unless it is larger than `keep` bytes. */
void lanes_end(Lanes *lanes, LaneRoom *room, size_t keep);
void lanes_leave(Env *env, LaneRoom *room);

/* Room for so many blocks more. */
NACRE_CHECKED nacre_status lanes_reserve(Lanes *lanes, size_t blocks);
/* Blocks that follow, whose bounds the caller fills in: from lanes->count on, as it was before. */
NACRE_CHECKED nacre_status lanes_add(Lanes *lanes, size_t part, uint32_t block, uint32_t blocks);
/* Where a lane is. */
const LaneStretch *lanes_find(const Lanes *lanes, size_t lane);

NACRE_CHECKED nacre_status best_begin(BestLanes *best, Env *env, uint32_t most);
void best_end(BestLanes *best, Env *env);
void best_keep(BestLanes *best, BestLane found);
/* Nearest first; no heap any more. */
void best_sort(BestLanes *best);
/* What is farther is not kept. */
static inline float best_limit(const BestLanes *best) {
    return best->count < best->most ? INFINITY : best->heap[0].estimate;
}

#endif
