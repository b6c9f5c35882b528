/* lanes.c - lanes with bounds, and the nearest of them. */
#include "db/lanes.h"

#include <string.h>

enum { LANES_LEAST = 64 /* blocks that there is room for at least */ };

static size_t lanes_bytes(size_t blocks) { return blocks * (CODE_LANES * sizeof(float) + sizeof(CodeLeast)); }

/* Bounds, and behind them the least of each block. */
static void lanes_lay(Lanes *lanes) {
    size_t blocks = lanes->room.size / lanes_bytes(1);
    lanes->capacity = blocks * CODE_LANES;
    lanes->bounds = (float *)(void *)lanes->room.memory;
    lanes->least = (CodeLeast *)(void *)(lanes->room.memory + lanes->capacity * sizeof(float));
}

void lanes_begin(Lanes *lanes, Env *env, LaneRoom *room) {
    *lanes = (Lanes){.env = env, .room = *room};
    *room = (LaneRoom){0};
    if (lanes->room.memory) lanes_lay(lanes);
}

void lanes_leave(Env *env, LaneRoom *room) {
    env_free(env, room->memory, room->size);
    *room = (LaneRoom){0};
}

void lanes_end(Lanes *lanes, LaneRoom *room, size_t keep) {
    env_free(lanes->env, lanes->stretches, lanes->stretch_capacity * sizeof *lanes->stretches);
    if (lanes->room.size > keep || room->memory) lanes_leave(lanes->env, &lanes->room);
    else *room = lanes->room;
}

nacre_status lanes_reserve(Lanes *lanes, size_t blocks) {
    size_t used = lanes->count / CODE_LANES, want = used + blocks, most = UINT32_MAX / CODE_LANES;
    if (want * CODE_LANES <= lanes->capacity) return NACRE_OK;
    if (want > most) return env_fail(lanes->env, NACRE_RESOURCE_EXHAUSTED, "search: too many codes");
    if (want < 2 * used) want = 2 * used < most ? 2 * used : most;
    if (want < LANES_LEAST) want = LANES_LEAST;
    Lanes before = *lanes;
    LaneRoom room = {env_alloc(lanes->env, lanes_bytes(want)), lanes_bytes(want)};
    if (!room.memory) return NACRE_RESOURCE_EXHAUSTED;
    lanes->room = room;
    lanes_lay(lanes);
    if (used) {
        memcpy(lanes->bounds, before.bounds, lanes->count * sizeof *lanes->bounds);
        memcpy(lanes->least, before.least, used * sizeof *lanes->least);
    }
    lanes_leave(lanes->env, &before.room);
    return NACRE_OK;
}

nacre_status lanes_add(Lanes *lanes, size_t part, uint32_t block, uint32_t blocks) {
    void *stretches = lanes->stretches;
    TRY(lanes_reserve(lanes, blocks));
    TRY(env_grow(lanes->env, &stretches, &lanes->stretch_capacity, lanes->stretch_count + 1, sizeof *lanes->stretches));
    lanes->stretches = stretches;
    lanes->stretches[lanes->stretch_count++] = (LaneStretch){part, block, lanes->count};
    lanes->count += (size_t)blocks * CODE_LANES;
    return NACRE_OK;
}

const LaneStretch *lanes_find(const Lanes *lanes, size_t lane) {
    size_t low = 0, high = lanes->stretch_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (lanes->stretches[middle].lane <= lane) low = middle;
        else high = middle;
    }
    return &lanes->stretches[low];
}

/* ---- the nearest ---- */

nacre_status best_begin(BestLanes *best, Env *env, uint32_t most) {
    void *heap = best->heap;
    TRY(env_grow(env, &heap, &best->capacity, most, sizeof *best->heap));
    best->heap = heap;
    best->most = most;
    best->count = 0;
    return NACRE_OK;
}

void best_end(BestLanes *best, Env *env) { env_free(env, best->heap, best->capacity * sizeof *best->heap); }

static bool best_after(const BestLane *a, const BestLane *b) {
    return a->estimate > b->estimate || (a->estimate == b->estimate && a->lane > b->lane);
}

/* Sets what was found from `at` on downwards. */
static void best_down(BestLane *heap, uint32_t count, uint32_t at, BestLane found) {
    for (uint32_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && best_after(&heap[child + 1], &heap[child])) child++;
        if (!best_after(&heap[child], &found)) break;
        heap[at] = heap[child];
    }
    heap[at] = found;
}

void best_keep(BestLanes *best, BestLane found) {
    BestLane *heap = best->heap;
    if (best->count == best->most) {
        if (best_after(&heap[0], &found)) best_down(heap, best->count, 0, found);
        return;
    }
    uint32_t at = best->count++;
    for (; at > 0 && best_after(&found, &heap[(at - 1) / 2]); at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
    heap[at] = found;
}

void best_sort(BestLanes *best) {
    for (uint32_t left = best->count; left > 1; left--) {
        BestLane far = best->heap[0];
        best_down(best->heap, left - 1, 0, best->heap[left - 1]);
        best->heap[left - 1] = far;
    }
}
