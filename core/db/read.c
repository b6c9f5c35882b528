/* read.c - views (what a reader sees) and single rows. */
#include "db/lookup.h"

#include "memtable/mem_iter.h"
#include "segment/run_iter.h"

const Snapshot *state_view(Db *db, const Snapshot *snapshot) {
    if (snapshot) return snapshot;
    db->newest = (Snapshot){.db = db, .lsn = db->last_lsn, .version = db->version};
    db->newest.tables[0] = db->active;
    db->newest.tables[1] = db->frozen;
    return &db->newest;
}

size_t view_source_count(const Snapshot *view) {
    size_t own = view->transaction ? 1 + (view->own_runs ? view->own_runs->count : 0) : 0;
    return own + 2 + view->version->count;
}

ViewSource view_source(const Snapshot *view, size_t index) {
    if (view->transaction) {
        size_t runs = view->own_runs ? view->own_runs->count : 0;
        if (index == 0)
            return (ViewSource){.table = view->own, .stamp = view->own ? memtable_stamp(view->own, view->own_position) : 0};
        if (index <= runs) return (ViewSource){.run = &view->own_runs->runs[index - 1]};
        index -= 1 + runs;
    }
    if (index >= 2) return (ViewSource){.run = &view->version->runs[index - 2]};
    Memtable *table = view->tables[index];
    return (ViewSource){.table = table, .stamp = table ? memtable_stamp(table, view->lsn) : 0};
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

static nacre_status row_too_large(Db *db, uint32_t membrane, uint64_t size) {
    const Membrane *handle = catalog_by_id(db, membrane);
    return env_fail(&db->env, NACRE_RESOURCE_EXHAUSTED,
                    "\"%s\": a value of %llu bytes, at most %d are read at once: read it as a stream",
                    handle ? handle->name : db->name, (unsigned long long)size, LIMIT_VALUE_SIZE);
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
        if (entry->blob.size > LIMIT_VALUE_SIZE) return row_too_large(db, membrane, entry->blob.size);
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
    if (handle && row->vector.size != schema_vector_size(&handle->schema))
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

/* GET_GROUP keys at most, each of FULL_KEY_INLINE bytes at most with its membrane's id. */
static nacre_status get_group(Membrane *membrane, const Snapshot *view, const Span *keys, size_t count, GetEach *each,
                              void *self, size_t first) {
    Db *db = membrane->db;
    uint8_t full[GET_GROUP][FULL_KEY_INLINE];
    KeyLookup lookups[GET_GROUP];
    for (size_t i = 0; i < count; i++) lookup_begin(view, full_key(membrane->id, keys[i], full[i]), &lookups[i]);
    for (size_t i = 0; i < count; i++) lookup_near(view, &lookups[i]);
    for (size_t i = 0; i < count; i++) {
        Entry entry = {0};
        CacheEntry *pin = NULL;
        RowView row = {0};
        nacre_status status = lookup_end(db, view, &lookups[i], &entry, &pin);
        db->counters.gets++;
        bool found = status == NACRE_OK;
        if (found)
            status = row_load(db, membrane->id, &entry, true, &db->blob, &db->blob_capacity, &db->vector,
                              &db->vector_capacity, &row);
        row.key = keys[i];
        if (status == NACRE_OK || status == NACRE_NOT_FOUND) status = each(self, first + i, found ? &row : NULL);
        cache_unpin(&db->cache, pin);
        TRY(status);
    }
    return NACRE_OK;
}

static nacre_status get_alone(Membrane *membrane, const Snapshot *view, Span key, GetEach *each, void *self,
                              size_t index) {
    RowView row;
    nacre_status status = db_get(membrane, view, key, &row);
    if (status != NACRE_OK && status != NACRE_NOT_FOUND) return status;
    return each(self, index, status == NACRE_OK ? &row : NULL);
}

nacre_status db_get_many(Membrane *membrane, const Snapshot *snapshot, const Span *keys, size_t count, GetEach *each,
                         void *self) {
    Db *db = membrane->db;
    TRY(membrane_check(membrane));
    if (snapshot && snapshot->db != db) return env_fail(&db->env, NACRE_MISUSE, "a snapshot of another database");
    const Snapshot *view = state_view(db, snapshot);
    for (size_t done = 0; done < count;) {
        size_t group = 0;
        while (group < GET_GROUP && done + group < count && keys[done + group].size + 4 <= FULL_KEY_INLINE) group++;
        if (group > 0) TRY(get_group(membrane, view, keys + done, group, each, self, done));
        else TRY(get_alone(membrane, snapshot, keys[done], each, self, done));
        done += group ? group : 1;
    }
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
