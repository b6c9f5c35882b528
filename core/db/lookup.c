/* lookup.c - one key in a view: where it may be, asked for early, and then newest first. */
#include "db/lookup.h"

#include "memtable/mem_iter.h"

/* The segment of a run that may hold the key; NULL: none does. */
static Segment *run_segment_of(const Run *run, Span key, KeyHead head) {
    if (run->above_size && span_compare(key, span_of(run->above, run->above_size)) <= 0) return NULL;
    size_t low = 0, high = run->count;
    while (low < high) { /* first segment that does not end before the key */
        size_t middle = low + (high - low) / 2;
        if (segment_is_before(run->segments[middle], key, head)) low = middle + 1;
        else high = middle;
    }
    if (low == run->count || segment_is_after(run->segments[low], key, head)) return NULL;
    return run->segments[low];
}

void lookup_begin(const Snapshot *view, Span key, KeyLookup *lookup) {
    const Version *version = view->version;
    lookup->key = key;
    lookup->head = key_head(key);
    lookup->hash = key_hash(key.data, key.size);
    for (int i = 0; i < 2; i++)
        if (view->tables[i]) memtable_expect(view->tables[i], key, false);
    for (size_t i = 0; i < version->count && i < RUNS_EXPECTED; i++) {
        lookup->segments[i] = run_segment_of(&version->runs[i], key, lookup->head);
        if (lookup->segments[i]) segment_expect(lookup->segments[i], lookup->hash);
    }
    for (int i = 0; i < 2; i++)
        if (view->tables[i]) memtable_expect(view->tables[i], key, true);
}

static Segment *lookup_segment(const Snapshot *view, const KeyLookup *lookup, size_t run) {
    return run < RUNS_EXPECTED ? lookup->segments[run]
                               : run_segment_of(&view->version->runs[run], lookup->key, lookup->head);
}

void lookup_near(const Snapshot *view, const KeyLookup *lookup) {
    for (size_t i = 0; i < view->version->count && i < RUNS_EXPECTED; i++)
        if (lookup->segments[i] && segment_expect_block(lookup->segments[i], lookup->key, lookup->hash)) return;
}

/* Among a transaction's own writes, where a deletion is found as such. */
static nacre_status lookup_own(const Snapshot *view, const KeyLookup *lookup, Entry *entry, CacheEntry **pin) {
    const Memtable *own = view->own;
    const uint8_t *record = own ? memtable_get(own, lookup->key, view_source(view, 0).stamp) : NULL;
    if (record) {
        mem_entry(record, entry);
        return NACRE_OK;
    }
    for (size_t i = 0; view->own_runs && i < view->own_runs->count; i++) {
        Segment *segment = run_segment_of(&view->own_runs->runs[i], lookup->key, lookup->head);
        if (!segment) continue;
        nacre_status status = segment_get(segment, lookup->key, lookup->hash, entry, pin);
        if (status != NACRE_NOT_FOUND) return status;
    }
    return NACRE_NOT_FOUND;
}

/* The newest entry of the key, a deletion found as such. */
static nacre_status lookup_newest(const Snapshot *view, const KeyLookup *lookup, Entry *entry, CacheEntry **pin) {
    if (view->transaction) {
        nacre_status status = lookup_own(view, lookup, entry, pin);
        if (status != NACRE_NOT_FOUND) return status;
    }
    for (int i = 0; i < 2; i++) {
        if (!view->tables[i]) continue;
        const uint8_t *record = memtable_get(view->tables[i], lookup->key, memtable_stamp(view->tables[i], view->lsn));
        if (!record) continue;
        mem_entry(record, entry);
        return NACRE_OK;
    }
    for (size_t i = 0; i < view->version->count; i++) {
        Segment *segment = lookup_segment(view, lookup, i);
        if (!segment) continue;
        nacre_status status = segment_get(segment, lookup->key, lookup->hash, entry, pin);
        if (status != NACRE_NOT_FOUND) return status;
    }
    return NACRE_NOT_FOUND;
}

nacre_status lookup_end(Db *db, const Snapshot *view, const KeyLookup *lookup, Entry *entry, CacheEntry **pin) {
    *pin = NULL;
    TRY(lookup_newest(view, lookup, entry, pin));
    if (!state_gone(db, entry)) return NACRE_OK;
    cache_unpin(&db->cache, *pin);
    *pin = NULL;
    return NACRE_NOT_FOUND;
}

nacre_status view_get(Db *db, const Snapshot *view, Span key, Entry *entry, CacheEntry **pin) {
    KeyLookup lookup;
    lookup_begin(view, key, &lookup);
    return lookup_end(db, view, &lookup, entry, pin);
}

nacre_status view_shadowed(Db *db, const Snapshot *view, Span key, size_t sources, bool *shadowed) {
    *shadowed = true;
    uint64_t hash = 0;
    KeyHead head = key_head(key);
    for (size_t i = 0; i < sources; i++) {
        ViewSource source = view_source(view, i);
        if (source.table && memtable_get(source.table, key, source.stamp)) return NACRE_OK;
        if (!source.run) continue;
        Segment *segment = run_segment_of(source.run, key, head);
        if (!segment) continue;
        if (hash == 0) hash = key_hash(key.data, key.size);
        Entry entry;
        CacheEntry *pin = NULL;
        nacre_status status = segment_get(segment, key, hash, &entry, &pin);
        cache_unpin(&db->cache, pin);
        if (status != NACRE_NOT_FOUND) return status;
    }
    *shadowed = false;
    return NACRE_OK;
}

