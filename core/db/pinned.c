/* pinned.c - rows that stay readable whatever happens to the database: a reference on the
 * memtables, a pin on the block, or a copy of what lies in neither. */
#include "db/state.h"

struct PinnedRow {
    Db *db;
    PinnedRow *next, *previous;
    Memtable *tables[3]; /* where the row may lie */
    CacheEntry *pin;     /* or the block where it does */
    Version *versions[2]; /* or, where the file is mapped, in whose extents */
    RowView row;
    uint8_t *key, *blob, *vector;
    size_t key_size, blob_capacity, vector_capacity;
};

/* The entry's bytes stay: rule 2 of cache.h, records never move in their memtable, and extents
 * are not used again while a version has them. */
static nacre_status pinned_fill(PinnedRow *pinned, const Membrane *membrane, const Snapshot *view, Span key,
                                Entry *entry) {
    Env *env = &pinned->db->env;
    if (!(pinned->key = env_alloc(env, key.size + 4))) return NACRE_RESOURCE_EXHAUSTED;
    pinned->key_size = key.size + 4;
    entry->key = full_key(membrane->id, key, pinned->key);
    if (!entry->segment) {
        Memtable *tables[3] = {view->tables[0], view->tables[1], view->own};
        for (int i = 0; i < 3; i++)
            if ((pinned->tables[i] = tables[i]) != NULL) memtable_retain(tables[i]);
    } else if (!pinned->pin) {
        pinned->versions[0] = view->version, pinned->versions[1] = view->own_runs;
        for (int i = 0; i < 2; i++)
            if (pinned->versions[i]) version_retain(pinned->versions[i]);
    }
    return row_load(pinned->db, membrane->id, entry, true, &pinned->blob, &pinned->blob_capacity, &pinned->vector,
                    &pinned->vector_capacity, &pinned->row);
}

nacre_status pinned_get(Membrane *membrane, const Snapshot *snapshot, Span key, PinnedRow **out) {
    Db *db = membrane->db;
    Entry entry = {0};
    CacheEntry *pin = NULL;
    TRY(read_entry(membrane, snapshot, key, &entry, &pin));
    PinnedRow *pinned = env_alloc_zeroed(&db->env, sizeof *pinned);
    if (!pinned) {
        cache_unpin(&db->cache, pin);
        return NACRE_RESOURCE_EXHAUSTED;
    }
    pinned->db = db;
    pinned->pin = pin;
    pinned->next = db->pinned;
    if (db->pinned) db->pinned->previous = pinned;
    db->pinned = pinned;
    db->pinned_count++;
    nacre_status status = pinned_fill(pinned, membrane, state_view(db, snapshot), key, &entry);
    if (status == NACRE_OK) *out = pinned;
    else pinned_release(pinned);
    return status;
}

const RowView *pinned_row(const PinnedRow *pinned) { return &pinned->row; }

void pinned_release(PinnedRow *pinned) {
    if (!pinned) return;
    Db *db = pinned->db;
    Env *env = &db->env;
    cache_unpin(&db->cache, pinned->pin);
    for (int i = 0; i < 3; i++) memtable_release(pinned->tables[i]);
    for (int i = 0; i < 2; i++) version_release(pinned->versions[i]);
    env_free(env, pinned->key, pinned->key_size);
    env_free(env, pinned->blob, pinned->blob_capacity);
    env_free(env, pinned->vector, pinned->vector_capacity);
    if (pinned->next) pinned->next->previous = pinned->previous;
    if (pinned->previous) pinned->previous->next = pinned->next;
    else db->pinned = pinned->next;
    db->pinned_count--;
    env_free(env, pinned, sizeof *pinned);
}

void pinned_release_all(Db *db) {
    while (db->pinned) pinned_release(db->pinned);
}
