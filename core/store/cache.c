/* cache.c - SIEVE over entries of any size. Knows nothing of what it keeps. */
#include "store/cache.h"

WRAPS static size_t cache_slot(const Cache *cache, uint64_t segment, uint64_t place) {
    uint64_t h = segment * 0x9e3779b97f4a7c15u ^ place;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    h ^= h >> 29;
    return (size_t)h & (cache->table_size - 1);
}

nacre_status cache_init(Cache *cache, Env *env, uint64_t limit) {
    *cache = (Cache){.env = env, .limit = limit, .table_size = 1024};
    while (cache->table_size < limit / 2048 && cache->table_size < ((size_t)1 << 22)) cache->table_size *= 2;
    cache->table = env_alloc_zeroed(env, cache->table_size * sizeof *cache->table);
    return cache->table ? NACRE_OK : NACRE_RESOURCE_EXHAUSTED;
}

static void cache_unlink(Cache *cache, CacheEntry *entry) {
    if (entry->home) {
        *entry->home = NULL;
    } else if (entry->hashed) {
        CacheEntry **at = &cache->table[cache_slot(cache, entry->segment, entry->place)];
        while (*at != entry) at = &(*at)->chain;
        *at = entry->chain;
    }
    if (cache->hand == entry) cache->hand = entry->newer;
    if (entry->newer) entry->newer->older = entry->older;
    else cache->newest = entry->older;
    if (entry->older) entry->older->newer = entry->newer;
    else cache->oldest = entry->newer;
    cache->bytes -= entry->size;
    cache->count--;
}

static void cache_free_entry(Cache *cache, CacheEntry *entry) {
    env_free(cache->env, entry, sizeof *entry + entry->size);
}

void cache_drop(Cache *cache, CacheEntry *entry) {
    ASSERT(entry->pins == 0);
    cache_unlink(cache, entry);
    if (entry->evicted) entry->evicted(entry->evicted_self);
    cache_free_entry(cache, entry);
}

void cache_leave(Cache *cache, CacheEntry **home) {
    CacheEntry *entry = *home;
    if (!entry) return;
    if (entry->pins == 0) {
        cache_drop(cache, entry);
        return;
    }
    *home = NULL;
    entry->home = NULL; /* nobody finds it any more: it goes when its turn comes */
    entry->visited = false;
}

void cache_forget(Cache *cache, uint64_t segment) {
    for (CacheEntry *entry = cache->newest, *older; entry; entry = older) {
        older = entry->older;
        if (entry->segment == segment && entry->hashed && entry->pins == 0) cache_drop(cache, entry);
    }
}

void cache_clear(Cache *cache) {
    while (cache->newest) {
        ASSERT(cache->newest->pins == 0);
        cache_drop(cache, cache->newest);
    }
    env_free(cache->env, cache->table, cache->table_size * sizeof *cache->table);
    cache->table = NULL;
}

/* Moves the hand to an entry that may go and drops it; false: all are pinned. */
static bool cache_evict_one(Cache *cache) {
    /* Two rounds are enough: the first clears the bits. */
    for (size_t looked = 0; looked < 2 * cache->count + 1; looked++) {
        CacheEntry *entry = cache->hand ? cache->hand : cache->oldest;
        if (!entry) return false;
        cache->hand = entry->newer;
        if (entry->pins > 0) continue;
        if (entry->visited) {
            entry->visited = false;
            continue;
        }
        cache_drop(cache, entry);
        return true;
    }
    return false;
}

void cache_shrink(Cache *cache, uint64_t bytes) {
    uint64_t target = cache->bytes > bytes ? cache->bytes - bytes : 0;
    while (cache->bytes > target && cache_evict_one(cache)) {}
}

CacheEntry *cache_get(Cache *cache, uint64_t segment, uint64_t place) {
    for (CacheEntry *entry = cache->table[cache_slot(cache, segment, place)]; entry; entry = entry->chain) {
        if (entry->place == place && entry->segment == segment) {
            entry->visited = true;
            entry->pins++;
            cache->hits++;
            return entry;
        }
    }
    cache->misses++;
    return NULL;
}

nacre_status cache_add(Cache *cache, uint64_t segment, uint64_t place, size_t size, CacheEntry **out) {
    while (cache->bytes + size > cache->limit && cache_evict_one(cache)) {}
    CacheEntry *entry = env_alloc(cache->env, sizeof *entry + size);
    if (!entry) return NACRE_RESOURCE_EXHAUSTED;
    *entry = (CacheEntry){.segment = segment, .place = place, .size = size, .pins = 1};
    *out = entry;
    return NACRE_OK;
}

void cache_publish(Cache *cache, CacheEntry *entry, CacheEntry **home) {
    entry->home = home;
    entry->hashed = !home;
    if (home) {
        *home = entry;
    } else {
        CacheEntry **slot = &cache->table[cache_slot(cache, entry->segment, entry->place)];
        entry->chain = *slot;
        *slot = entry;
    }
    entry->older = cache->newest;
    if (cache->newest) cache->newest->newer = entry;
    else cache->oldest = entry;
    cache->newest = entry;
    cache->bytes += entry->size;
    cache->count++;
}

void cache_abandon(Cache *cache, CacheEntry *entry) { cache_free_entry(cache, entry); }

void cache_unpin(Cache *cache, CacheEntry *entry) {
    (void)cache;
    if (!entry) return;
    ASSERT(entry->pins > 0);
    entry->pins--;
}
