/* cache.h - what was read from the data file and checked, kept within a number of
 * bytes. Eviction is SIEVE (Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024):
 * a hit sets one bit, a hand looks for an entry without it. Entries are of any size:
 * a block, a unit of vectors, a value, a segment's index.
 *
 * 1. The key is (segment id, place); ids are never reused, so an entry is never stale.
 * 2. A pinned entry stays where it is. Every pin is given back.
 * 3. An entry whose owner has a place for a pointer to it (`home`) is found there, and not
 *    by its key: eviction sets the pointer to NULL. */
#ifndef STORE_CACHE_H
#define STORE_CACHE_H

#include "host/env.h"

typedef struct CacheEntry {
    uint64_t segment, place;
    struct CacheEntry *chain;        /* of the hash table */
    struct CacheEntry *newer, *older;
    struct CacheEntry **home;        /* NULL: found by its key */
    void (*evicted)(void *self);     /* told when it goes; may drop others. NULL: nobody */
    void *evicted_self;
    size_t size;                     /* bytes of data */
    uint32_t pins;
    bool visited, hashed;
    _Alignas(16) uint8_t data[];
} CacheEntry;

typedef struct Cache {
    Env *env;
    CacheEntry **table;
    size_t table_size; /* a power of two */
    CacheEntry *newest, *oldest, *hand;
    size_t count;
    uint64_t bytes, limit;
    uint64_t hits, misses;
} Cache;

NACRE_CHECKED nacre_status cache_init(Cache *cache, Env *env, uint64_t limit);
void cache_clear(Cache *cache); /* all pins must be given back */

/* May be filled by what nobody needs soon, without a loss. */
static inline bool cache_has_room(const Cache *cache) { return cache->bytes < cache->limit - cache->limit / 4; }

/* Pinned; NULL: not there. */
CacheEntry *cache_get(Cache *cache, uint64_t segment, uint64_t place);
/* A pinned entry of `size` bytes to be filled, and not found by cache_get until
 * cache_publish. cache_abandon instead when filling failed. */
NACRE_CHECKED nacre_status cache_add(Cache *cache, uint64_t segment, uint64_t place, size_t size,
                                     CacheEntry **entry);
/* `home` (may be NULL) points to the entry from now on, while it is in the cache. */
void cache_publish(Cache *cache, CacheEntry *entry, CacheEntry **home);
void cache_abandon(Cache *cache, CacheEntry *entry);
void cache_unpin(Cache *cache, CacheEntry *entry); /* NULL is fine */
/* Drops an entry that is not pinned. */
void cache_drop(Cache *cache, CacheEntry *entry);
/* A pin on an entry that was found at its home. */
static inline void cache_pin(Cache *cache, CacheEntry *entry) {
    entry->visited = true;
    entry->pins++;
    cache->hits++;
}
/* What stood at `home` is no longer wanted there: dropped, or left to whoever has it pinned. */
void cache_leave(Cache *cache, CacheEntry **home);
/* Drops what is found by the key of a segment that is gone: SIEVE would keep what was used
 * often. */
void cache_forget(Cache *cache, uint64_t segment);
/* Evicts until `bytes` are given back or nothing is left to evict. */
void cache_shrink(Cache *cache, uint64_t bytes);

#endif
