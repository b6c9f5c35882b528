/* read.c - views (what a reader sees) and single rows. */
#include "db/state.h"

#include "memtable/mem_iter.h"
#include "segment/run_iter.h"

const Snapshot *state_view(Db *db, const Snapshot *snapshot) {
    if (snapshot) return snapshot;
    db->newest = (Snapshot){.db = db, .lsn = db->last_lsn, .version = db->version};
    db->newest.tables[0] = db->active;
    db->newest.tables[1] = db->frozen;
    return &db->newest;
}

static uint32_t view_stamp_of(uint64_t lsn, const Memtable *table) {
    uint64_t stamp = lsn - table->base_lsn;
    return lsn < table->base_lsn ? 0 : stamp > UINT32_MAX ? UINT32_MAX : (uint32_t)stamp;
}

static uint32_t view_stamp(const Snapshot *view, const Memtable *table) { return view_stamp_of(view->lsn, table); }

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

enum { RUNS_EXPECTED = 24 }; /* runs whose filters are asked for in advance */

/* Where to look for one key, begun before it is needed: the filters of many runs are as many
 * lines of memory, and are fetched while the memtables are asked. */
typedef struct KeyLookup {
    Span key; /* with the membrane's id */
    KeyHead head;
    uint64_t hash;
    Segment *segments[RUNS_EXPECTED];
} KeyLookup;

static void lookup_begin(const Snapshot *view, Span key, KeyLookup *lookup) {
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

/* The same among a transaction's own writes, where a deletion is found as such. */
static nacre_status view_get_own(const Snapshot *view, const KeyLookup *lookup, Entry *entry, CacheEntry **pin) {
    const Memtable *own = view->own;
    const uint8_t *record = own ? memtable_get(own, lookup->key, view_stamp_of(view->own_position, own)) : NULL;
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

static nacre_status lookup_end(Db *db, const Snapshot *view, const KeyLookup *lookup, Entry *entry, CacheEntry **pin) {
    *pin = NULL;
    if (view->transaction) {
        nacre_status status = view_get_own(view, lookup, entry, pin);
        if (status == NACRE_OK && state_gone(db, entry)) {
            cache_unpin(&db->cache, *pin);
            *pin = NULL;
            return NACRE_NOT_FOUND;
        }
        if (status != NACRE_NOT_FOUND) return status;
    }
    for (int i = 0; i < 2; i++) {
        if (!view->tables[i]) continue;
        const uint8_t *record = memtable_get(view->tables[i], lookup->key, view_stamp(view, view->tables[i]));
        if (!record) continue;
        mem_entry(record, entry);
        return state_gone(db, entry) ? NACRE_NOT_FOUND : NACRE_OK;
    }
    for (size_t i = 0; i < view->version->count; i++) {
        Segment *segment = lookup_segment(view, lookup, i);
        if (!segment) continue;
        nacre_status status = segment_get(segment, lookup->key, lookup->hash, entry, pin);
        if (status == NACRE_NOT_FOUND) continue;
        if (status != NACRE_OK) return status;
        if (!state_gone(db, entry)) return NACRE_OK;
        cache_unpin(&db->cache, *pin);
        *pin = NULL;
        return NACRE_NOT_FOUND;
    }
    return NACRE_NOT_FOUND;
}

nacre_status view_get(Db *db, const Snapshot *view, Span key, Entry *entry, CacheEntry **pin) {
    KeyLookup lookup;
    lookup_begin(view, key, &lookup);
    return lookup_end(db, view, &lookup, entry, pin);
}

size_t view_source_count(const Snapshot *view) {
    size_t own = view->transaction ? 1 + (view->own_runs ? view->own_runs->count : 0) : 0;
    return own + 2 + view->version->count;
}

ViewSource view_source(const Snapshot *view, size_t index) {
    if (view->transaction) {
        size_t runs = view->own_runs ? view->own_runs->count : 0;
        if (index == 0)
            return (ViewSource){.table = view->own, .stamp = view->own ? view_stamp_of(view->own_position, view->own) : 0};
        if (index <= runs) return (ViewSource){.run = &view->own_runs->runs[index - 1]};
        index -= 1 + runs;
    }
    if (index >= 2) return (ViewSource){.run = &view->version->runs[index - 2]};
    Memtable *table = view->tables[index];
    return (ViewSource){.table = table, .stamp = table ? view_stamp(view, table) : 0};
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

nacre_status view_merge(Db *db, const Snapshot *view, Merge *merge) {
    size_t most = view_source_count(view), count = 0;
    Iter **iters = env_alloc(&db->env, most * sizeof *iters);
    if (!iters) return NACRE_RESOURCE_EXHAUSTED;
    nacre_status status = NACRE_OK;
    for (size_t i = 0; i < most && status == NACRE_OK; i++) {
        ViewSource source = view_source(view, i);
        const Run *run = source.run;
        if (source.table) status = mem_iter_open(source.table, source.stamp, &iters[count]);
        else if (run)
            status = run_iter_open(&db->io, run->segments, run->count, span_of(run->above, run->above_size), true,
                                   &iters[count]);
        else continue;
        count += status == NACRE_OK;
    }
    if (status == NACRE_OK) status = merge_init(merge, &db->env, iters, count);
    else
        for (size_t i = 0; i < count; i++) iters[i]->verbs->close(iters[i]);
    env_free(&db->env, iters, most * sizeof *iters);
    return status;
}

static nacre_status row_load_vector(Db *db, uint32_t membrane, const Entry *entry, uint8_t **buffer,
                                    size_t *capacity, RowView *row) {
    CacheEntry *meta_pin = NULL;
    TRY(segment_pin_meta(entry->segment, &meta_pin));
    Section section;
    nacre_status status = NACRE_OK;
    if (!segment_find_section(entry->segment, membrane, &section))
        status = env_fail(&db->env, NACRE_CORRUPT, "%s: segment %llu: a vector without a section", db->name,
                          (unsigned long long)entry->segment->id);
    void *memory = *buffer;
    if (status == NACRE_OK) status = env_grow(&db->env, &memory, capacity, section.stride, 1);
    *buffer = memory;
    if (status == NACRE_OK) status = segment_read_vector(entry->segment, &section, entry->slot, *buffer);
    if (status == NACRE_OK) row->vector = span_of(*buffer, section.stride);
    cache_unpin(&db->cache, meta_pin);
    return status;
}

nacre_status row_load(Db *db, uint32_t membrane, const Entry *entry, bool want_vector, uint8_t **blob,
                      size_t *blob_capacity, uint8_t **vector, size_t *vector_capacity, RowView *row) {
    row->key = span_of(entry->key.data + 4, entry->key.size - 4);
    row->value = entry->value;
    row->vector = entry->vector;
    row->expires = entry->flags & ENTRY_EXPIRES ? entry->expires : 0;
    if (entry->flags & ENTRY_BLOB) {
        void *memory = *blob;
        TRY(segment_check_blob(entry->segment, &entry->blob));
        if (entry->blob.size > LIMIT_VALUE_SIZE)
            return env_fail(&db->env, NACRE_RESOURCE_EXHAUSTED,
                            "a value of %llu bytes, at most %d are read at once: read it as a stream",
                            (unsigned long long)entry->blob.size, LIMIT_VALUE_SIZE);
        TRY(env_grow(&db->env, &memory, blob_capacity, (size_t)entry->blob.size, 1));
        *blob = memory;
        TRY(segment_read_blob(entry->segment, entry->blob, *blob));
        row->value = span_of(*blob, (size_t)entry->blob.size);
    }
    if (!want_vector) return NACRE_OK;
    if ((entry->flags & ENTRY_VECTOR) && entry->segment)
        TRY(row_load_vector(db, membrane, entry, vector, vector_capacity, row));
    /* What is shown has the dimensions that the schema says, whatever the file held. */
    const Membrane *handle = catalog_by_id(db, membrane);
    if (handle && row->vector.size != (size_t)handle->schema.dimensions * 4)
        return env_fail(&db->env, NACRE_CORRUPT, "%s: membrane \"%s\": a vector of %zu bytes, not %u dimensions",
                        db->name, handle->name, row->vector.size, handle->schema.dimensions);
    return NACRE_OK;
}

/* A key of up to 128 KiB with its membrane: on the stack when small. */
nacre_status read_entry(Membrane *membrane, const Snapshot *snapshot, Span key, Entry *entry,
                               CacheEntry **pin) {
    Db *db = membrane->db;
    TRY(membrane_check(membrane));
    if (snapshot && snapshot->db != db) return env_fail(&db->env, NACRE_MISUSE, "a snapshot of another database");
    uint8_t inlined[FULL_KEY_INLINE], *memory = inlined;
    if (key.size + 4 > sizeof inlined && !(memory = env_alloc(&db->env, key.size + 4)))
        return NACRE_RESOURCE_EXHAUSTED;
    nacre_status status = view_get(db, state_view(db, snapshot), full_key(membrane->id, key, memory), entry, pin);
    /* The entry borrows the key as given, not the copy. */
    if (memory != inlined) env_free(&db->env, memory, key.size + 4);
    db->counters.gets++;
    return status;
}

nacre_status db_get(Membrane *membrane, const Snapshot *snapshot, Span key, RowView *row) {
    Db *db = membrane->db;
    Entry entry = {0};
    CacheEntry *pin = NULL;
    TRY(read_entry(membrane, snapshot, key, &entry, &pin));
    RowView found = {0};
    cache_unpin(&db->cache, db->borrowed);
    db->borrowed = pin;
    static const uint8_t no_key[4];
    entry.key = span_of(no_key, sizeof no_key); /* the copy that it was found with is gone */
    TRY(row_load(db, membrane->id, &entry, true, &db->blob, &db->blob_capacity, &db->vector, &db->vector_capacity,
                 &found));
    found.key = key;
    *row = found;
    return NACRE_OK;
}

nacre_status db_has(Membrane *membrane, const Snapshot *snapshot, Span key) {
    Entry entry;
    CacheEntry *pin = NULL;
    nacre_status status = read_entry(membrane, snapshot, key, &entry, &pin);
    cache_unpin(&membrane->db->cache, pin);
    return status;
}

/* ---- snapshots ---- */

nacre_status snapshot_open(Db *db, Snapshot **out) {
    Snapshot *snapshot = env_alloc(&db->env, sizeof *snapshot);
    if (!snapshot) return NACRE_RESOURCE_EXHAUSTED;
    *snapshot = *state_view(db, NULL);
    for (int i = 0; i < 2; i++)
        if (snapshot->tables[i]) memtable_retain(snapshot->tables[i]);
    version_retain(snapshot->version);
    snapshot->opened_ms = db->env.vfs->now_ms(db->env.vfs->self);
    snapshot->next = db->snapshots;
    if (db->snapshots) db->snapshots->previous = snapshot;
    db->snapshots = snapshot;
    db->snapshot_count++;
    *out = snapshot;
    return NACRE_OK;
}

void snapshot_release(Snapshot *snapshot) {
    if (!snapshot || snapshot->transaction) return; /* a transaction's goes with it */
    Db *db = snapshot->db;
    for (int i = 0; i < 2; i++) memtable_release(snapshot->tables[i]);
    version_release(snapshot->version);
    if (snapshot->next) snapshot->next->previous = snapshot->previous;
    if (snapshot->previous) snapshot->previous->next = snapshot->next;
    else db->snapshots = snapshot->next;
    db->snapshot_count--;
    env_free(&db->env, snapshot, sizeof *snapshot);
}

void snapshots_release(Db *db) {
    while (db->snapshots) snapshot_release(db->snapshots);
}

Db *snapshot_db(const Snapshot *snapshot) { return snapshot->db; }
uint64_t snapshot_sequence(const Snapshot *snapshot) { return snapshot->lsn; }
