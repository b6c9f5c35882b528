/* cache_test.c - the block cache: what is pinned stays, what is kept stays within its
 * limit, and a scan does not push out what is used all the time (SIEVE). */
#include "lib/check.h"
#include "lib/sim_disk.h"
#include "store/cache.h"

#include <stdlib.h>

typedef struct World {
    Env env;
    Cache cache;
} World;

static void world_open(World *w, uint64_t limit, uint64_t budget) {
    env_init(&w->env, NULL, NULL, budget);
    CHECK_EQ(cache_init(&w->cache, &w->env, limit), NACRE_OK);
}

static void world_close(World *w) {
    cache_clear(&w->cache);
    CHECK_EQ(w->env.memory_used, 0);
}

/* The bytes of an entry follow from its place. */
static bool entry_is(const CacheEntry *entry, uint64_t place) {
    for (size_t i = 0; i < entry->size; i += 1 + entry->size / 16)
        if (entry->data[i] != (uint8_t)(place * 31 + i)) return false;
    return entry->place == place;
}

static CacheEntry *load(World *w, uint64_t place, size_t size) {
    CacheEntry *entry = cache_get(&w->cache, place % 3, place);
    if (entry) return entry;
    if (cache_add(&w->cache, place % 3, place, size, &entry) != NACRE_OK) return NULL;
    for (size_t i = 0; i < size; i++) entry->data[i] = (uint8_t)(place * 31 + i);
    CHECK(((uintptr_t)entry->data & 15) == 0);
    cache_publish(&w->cache, entry, NULL);
    return entry;
}

/* Random work: what is found is right, what is pinned is found, and the limit is kept
 * whenever pins allow. */
static void what_is_found_is_right_and_pins_stay(void) {
    enum { PLACES = 400, PINS = 12 };
    World w;
    CacheEntry *pinned[PINS] = {NULL};
    uint64_t random = test_seed() + 100;
    world_open(&w, 64 << 10, 1 << 20);
    for (int step = 0; step < 60000; step++) {
        int slot = (int)(test_random(&random) % PINS);
        if (pinned[slot]) {
            CHECK(entry_is(pinned[slot], pinned[slot]->place));
            CacheEntry *again = cache_get(&w.cache, pinned[slot]->segment, pinned[slot]->place);
            CHECK(again == pinned[slot]);
            cache_unpin(&w.cache, again);
            if (test_random(&random) % 2) {
                cache_unpin(&w.cache, pinned[slot]);
                pinned[slot] = NULL;
            }
        }
        uint64_t place = test_random(&random) % PLACES;
        CacheEntry *entry = load(&w, place, 1 + (size_t)(place * 37 % 3000));
        if (!CHECK(entry != NULL)) break;
        CHECK(entry_is(entry, place));
        CHECK(w.cache.bytes <= w.cache.limit); /* twelve pins of 3000 bytes leave room */
        if (!pinned[slot] && test_random(&random) % 4 == 0) pinned[slot] = entry;
        else cache_unpin(&w.cache, entry);
        if (test_random(&random) % 5000 == 0) cache_shrink(&w.cache, test_random(&random) % (64 << 10));
    }
    CHECK(w.cache.hits > 1000 && w.cache.misses > 1000);
    for (int i = 0; i < PINS; i++) cache_unpin(&w.cache, pinned[i]);
    cache_shrink(&w.cache, UINT64_MAX);
    CHECK_EQ(w.cache.bytes, 0);
    CHECK_EQ(w.cache.count, 0);
    world_close(&w);
}

/* When everything is pinned the limit gives way, not the pins; then it is kept again. */
static void pins_outweigh_the_limit(void) {
    World w;
    CacheEntry *entries[20];
    world_open(&w, 10000, 1 << 20);
    for (uint64_t i = 0; i < 20; i++) entries[i] = load(&w, i, 1000);
    CHECK_EQ(w.cache.bytes, 20000);
    cache_shrink(&w.cache, UINT64_MAX);
    for (uint64_t i = 0; i < 20; i++) CHECK(entry_is(entries[i], i));
    for (uint64_t i = 0; i < 20; i++) cache_unpin(&w.cache, entries[i]);
    cache_unpin(&w.cache, load(&w, 20, 1000));
    CHECK(w.cache.bytes <= 10000);
    world_close(&w);
}

/* SIEVE: entries that are used again and again survive a scan of many times the cache. */
static void a_scan_leaves_the_hot_entries(void) {
    enum { HOT = 32, SIZE = 1000 };
    World w;
    uint64_t random = test_seed() + 101, hot_misses = 0, hot_uses = 0;
    world_open(&w, 100 * SIZE, 1 << 20);
    for (uint64_t scanned = 0; scanned < 20000; scanned++) {
        cache_unpin(&w.cache, load(&w, 1000 + scanned, SIZE)); /* each once */
        for (int i = 0; i < 2; i++) {
            uint64_t place = test_random(&random) % HOT, misses = w.cache.misses;
            cache_unpin(&w.cache, load(&w, place, SIZE));
            if (scanned < 1000) continue;
            hot_uses++;
            hot_misses += w.cache.misses - misses;
        }
    }
    CHECK(hot_misses * 20 < hot_uses); /* 95 of 100 found: least-recently-used finds 87 */
    world_close(&w);
}

/* Whoever asked is told, once, when an entry goes. */
/* An entry with a home is found there and nowhere else; a home never points to what is gone,
 * and what was pinned when its home was left lives until its turn comes. */
static void homes_are_told_of_evictions(void) {
    World w;
    CacheEntry *homes[50] = {0};
    world_open(&w, 10000, 1 << 20);
    for (uint64_t i = 0; i < 50; i++) {
        CacheEntry *entry = NULL;
        CHECK_EQ(cache_add(&w.cache, 1, i, 1000, &entry), NACRE_OK);
        cache_publish(&w.cache, entry, &homes[i]);
        CHECK(homes[i] == entry && cache_get(&w.cache, 1, i) == NULL);
        cache_unpin(&w.cache, entry);
    }
    size_t kept = 0;
    for (int i = 0; i < 50; i++) kept += homes[i] != NULL;
    CHECK_EQ(kept, w.cache.count);
    CHECK(kept > 0 && kept < 50);
    for (int i = 0; i < 50; i++) {
        CacheEntry *entry = homes[i];
        if (!entry) continue;
        cache_pin(&w.cache, entry);
        cache_leave(&w.cache, &homes[i]);
        CHECK(homes[i] == NULL);
        CHECK_EQ(w.cache.count, kept);
        cache_unpin(&w.cache, entry);
        cache_leave(&w.cache, &homes[i]); /* nothing there: nothing happens */
    }
    cache_shrink(&w.cache, UINT64_MAX);
    CHECK_EQ(w.cache.count, 0);
    cache_clear(&w.cache);
    CHECK_EQ(w.env.memory_used, 0);
}

/* What somebody still reads is not forgotten with its segment: it goes when it was given back. */
static void what_is_pinned_is_not_forgotten(void) {
    World w;
    world_open(&w, 64 << 10, 1 << 20);
    CacheEntry *held = load(&w, 5, 100), *free_one = load(&w, 8, 100); /* of one segment */
    uint64_t segment = held->segment;
    cache_unpin(&w.cache, free_one);
    cache_forget(&w.cache, segment);
    CHECK(entry_is(held, 5));
    CacheEntry *again = cache_get(&w.cache, segment, 5);
    CHECK(again == held);
    CHECK(!cache_get(&w.cache, segment, 8));
    cache_unpin(&w.cache, again);
    cache_unpin(&w.cache, held);
    cache_forget(&w.cache, segment);
    CHECK(!cache_get(&w.cache, segment, 5));
    world_close(&w);
}

/* An entry that could not be filled leaves no trace; without memory nothing changes. */
static void failures_leave_no_trace(void) {
    World w;
    CacheEntry *entry = NULL;
    world_open(&w, 10000, 20000);
    CHECK_EQ(cache_add(&w.cache, 1, 1, 500, &entry), NACRE_OK);
    cache_abandon(&w.cache, entry);
    CHECK(cache_get(&w.cache, 1, 1) == NULL);
    entry = NULL;
    CHECK_EQ(cache_add(&w.cache, 1, 2, 100000, &entry), NACRE_RESOURCE_EXHAUSTED);
    CHECK(entry == NULL);
    CHECK_EQ(w.cache.bytes, 0);
    cache_unpin(&w.cache, NULL);
    cache_unpin(&w.cache, load(&w, 3, 1000));
    cache_unpin(&w.cache, load(&w, 3, 1000));
    CHECK_EQ(w.cache.count, 1);
    world_close(&w);
    env_init(&w.env, NULL, NULL, 100);
    CHECK_EQ(cache_init(&w.cache, &w.env, 1 << 20), NACRE_RESOURCE_EXHAUSTED);
    CHECK_EQ(w.env.memory_used, 0);
}

void cache_test(void) {
    RUN(what_is_found_is_right_and_pins_stay);
    RUN(pins_outweigh_the_limit);
    RUN(a_scan_leaves_the_hot_entries);
    RUN(homes_are_told_of_evictions);
    RUN(what_is_pinned_is_not_forgotten);
    RUN(failures_leave_no_trace);
}
