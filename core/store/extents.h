/* extents.h - the data file in pieces of 64 KiB, and which of them are free.
 *
 * 1. Extent 0 holds the superblocks. An extent is free when no mark is on it. Marks
 *    are recomputed from what references extents, not maintained beside it, so that
 *    nothing can disagree with the truth.
 * 2. EXTENT_CURRENT: the newest superblock's state references it. EXTENT_PREVIOUS:
 *    the one before does. EXTENT_WRITING: taken by what is not yet committed.
 *    EXTENT_PINNED: a snapshot or cursor still reads it.
 * 3. Where the file has a limit, ordinary merges leave the last EXTENT_RESERVE extents
 *    below it for flushes, commits and merges that turn garbage into room; else a full
 *    database could never become smaller.
 * 4. Allocation is lowest first, so that the end of the file becomes free. */
#ifndef STORE_EXTENTS_H
#define STORE_EXTENTS_H

#include "host/env.h"

enum { EXTENT_SIZE = 65536, EXTENT_COUNT_MAX = 0x7fffffff, EXTENT_RESERVE = 16 };

enum { EXTENT_CURRENT = 1, EXTENT_PREVIOUS = 2, EXTENT_WRITING = 4, EXTENT_PINNED = 8 };

/* Extents in the order of the bytes they hold. */
typedef struct ExtentList {
    uint32_t *items;
    size_t count, capacity;
} ExtentList;

NACRE_CHECKED nacre_status extent_list_add(Env *env, ExtentList *list, uint32_t extent);
void extent_list_clear(Env *env, ExtentList *list);
/* Runs of neighbours: count u32, then (first u32, length u32) each. */
size_t extent_list_encoded_size(const ExtentList *list);

typedef struct ExtentMap {
    Env *env;
    uint8_t *marks;       /* one byte per extent */
    size_t count, capacity;
    uint64_t rounds;      /* how often marks were taken off: what was marked since need not be again */
    size_t lowest;        /* no free extent is below */
    uint64_t limit;       /* extents the file may have at most */
    uint64_t reserve;     /* of these, not for whoever takes now */
} ExtentMap;

void extent_map_init(ExtentMap *map, Env *env, uint64_t database_size_max);
void extent_map_clear(ExtentMap *map);
/* Marks a free extent EXTENT_WRITING. NACRE_QUOTA: the file may not grow further. */
NACRE_CHECKED nacre_status extent_map_take(ExtentMap *map, uint32_t *extent);
/* The same for `count` neighbours. */
NACRE_CHECKED nacre_status extent_map_take_run(ExtentMap *map, size_t count, uint32_t *first);
/* Makes room for marks up to `extent`. */
NACRE_CHECKED nacre_status extent_map_reach(ExtentMap *map, uint32_t extent);
void extent_map_unmark(ExtentMap *map, uint8_t marks);              /* everywhere */
void extent_map_mark(ExtentMap *map, const ExtentList *list, uint8_t mark); /* all within reach */
void extent_map_give_back(ExtentMap *map, const ExtentList *list);  /* EXTENT_WRITING off */
void extent_map_recount(ExtentMap *map);                            /* after marks changed */
/* Extents up to the last that is not free. */
size_t extent_map_end(const ExtentMap *map);
size_t extent_map_used(const ExtentMap *map);

#endif
