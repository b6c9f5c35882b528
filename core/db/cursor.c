/* cursor.c - rows of one membrane in order, both ways, as of one state. */
#include "db/picks.h"

enum { NARROW_BLOCKS = 8 }; /* of a run */

typedef enum CursorPlace { CURSOR_OUTSIDE, CURSOR_ON, CURSOR_BEFORE, CURSOR_AFTER } CursorPlace;

struct Cursor {
    Db *db;
    Membrane *membrane;
    Memtable *tables[2];
    Version *version, *own_runs;
    Merge merge;
    CursorPlace place;
    nacre_status failed; /* what stopped it: a cursor never goes on behind a failure */
    bool keys_only;
    bool bounded; /* the range is not the whole membrane */
    bool plain; /* rows have a key and a value, and all are shown */
    Filter *filter;
    Snapshot view;   /* what the merge is over; holds no references of its own */
    size_t *places;  /* rows are picked by indexes (picks.h); NULL: all are looked at */
    size_t place_count;
    uint8_t *low, *high; /* with the membrane's id; high is never empty */
    size_t low_size, high_size;
    KeyHead low_head, high_head;
    uint8_t *blob, *vector, *seek;
    size_t blob_capacity, vector_capacity, seek_capacity;
    Cursor *next, *previous;
};

static nacre_status cursor_bound(Cursor *cursor, Span key, uint32_t membrane, uint8_t **out, size_t *size) {
    if (!(*out = env_alloc(&cursor->db->env, key.size + 4))) return NACRE_RESOURCE_EXHAUSTED;
    *size = full_key(membrane, key, *out).size;
    return NACRE_OK;
}

nacre_status cursor_open(Membrane *membrane, const Snapshot *snapshot, KeyRange range, Cursor **out) {
    Db *db = membrane->db;
    TRY(membrane_check(membrane));
    if (snapshot && snapshot->db != db) return env_fail(&db->env, NACRE_MISUSE, "a snapshot of another database");
    const Snapshot *view = state_view(db, snapshot);
    Cursor *cursor = env_alloc_zeroed(&db->env, sizeof *cursor);
    if (!cursor) return NACRE_RESOURCE_EXHAUSTED;
    cursor->db = db;
    cursor->membrane = membrane;
    cursor->view = *view;
    cursor->bounded = range.low.size || range.high.size;
    cursor->plain = membrane->schema.dimensions == 0;
    for (int i = 0; i < 2; i++)
        if ((cursor->tables[i] = view->tables[i]) != NULL) memtable_retain(view->tables[i]);
    cursor->version = view->version;
    version_retain(view->version);
    if ((cursor->own_runs = view->own_runs) != NULL) version_retain(view->own_runs); /* the merge keeps the memtable */
    cursor->next = db->cursors;
    if (db->cursors) db->cursors->previous = cursor;
    db->cursors = cursor;

    nacre_status status = NACRE_OK;
    TRY_OUT(cursor_bound(cursor, range.low, membrane->id, &cursor->low, &cursor->low_size));
    /* No bound: up to the next membrane. Ids end far below the largest number. */
    if (range.high.size) TRY_OUT(cursor_bound(cursor, range.high, membrane->id, &cursor->high, &cursor->high_size));
    else TRY_OUT(cursor_bound(cursor, range.high, membrane->id + 1, &cursor->high, &cursor->high_size));
    cursor->low_head = key_head(span_of(cursor->low, cursor->low_size));
    cursor->high_head = key_head(span_of(cursor->high, cursor->high_size));
    TRY_OUT(view_merge(db, view, &cursor->merge));
    *out = cursor;
    return NACRE_OK;
out:
    cursor_close(cursor);
    return status;
}

void cursor_close(Cursor *cursor) {
    if (!cursor) return;
    Db *db = cursor->db;
    Env *env = &db->env;
    merge_clear(&cursor->merge);
    for (int i = 0; i < 2; i++) memtable_release(cursor->tables[i]);
    version_release(cursor->version);
    version_release(cursor->own_runs);
    filter_free(cursor->filter);
    env_free(env, cursor->places, cursor->place_count * sizeof *cursor->places);
    env_free(env, cursor->low, cursor->low_size);
    env_free(env, cursor->high, cursor->high_size);
    env_free(env, cursor->blob, cursor->blob_capacity);
    env_free(env, cursor->vector, cursor->vector_capacity);
    env_free(env, cursor->seek, cursor->seek_capacity);
    if (cursor->next) cursor->next->previous = cursor->previous;
    if (cursor->previous) cursor->previous->next = cursor->next;
    else db->cursors = cursor->next;
    env_free(env, cursor, sizeof *cursor);
}

void cursors_close(Db *db) {
    while (db->cursors) cursor_close(db->cursors);
}

void cursor_keys_only(Cursor *cursor) {
    cursor->keys_only = true;
    cursor->plain = false;
}
Db *cursor_db(const Cursor *cursor) { return cursor->db; }
Membrane *cursor_membrane(const Cursor *cursor) { return cursor->membrane; }

static Span cursor_low(const Cursor *cursor) { return span_of(cursor->low, cursor->low_size); }
static Span cursor_high(const Cursor *cursor) { return span_of(cursor->high, cursor->high_size); }

/* The range has so few blocks of each run that going over them is less work than asking indexes. */
static nacre_status cursor_is_narrow(Cursor *cursor, bool *narrow) {
    const Version *version = cursor->version;
    *narrow = false;
    for (size_t i = 0; i < version->count; i++) {
        const Run *run = &version->runs[i];
        uint32_t blocks = 0;
        for (size_t s = 0; s < run->count; s++) {
            Segment *segment = run->segments[s];
            CacheEntry *pin = NULL;
            if (segment_is_before(segment, cursor_low(cursor), cursor->low_head)) continue;
            if (segment_is_after(segment, cursor_high(cursor), cursor->high_head)) break;
            TRY(segment_pin_meta(segment, &pin));
            blocks += segment_block_of(segment, cursor_high(cursor)) - segment_block_of(segment, cursor_low(cursor)) + 1;
            cache_unpin(&cursor->db->cache, pin);
            if (blocks > NARROW_BLOCKS) return NACRE_OK;
        }
    }
    *narrow = true;
    return NACRE_OK;
}

nacre_status cursor_filter(Cursor *cursor, Span filter) {
    bool narrow = false;
    if (filter.size == 0) return NACRE_OK;
    cursor->plain = false;
    TRY(filter_compile(&cursor->db->env, &cursor->membrane->schema, filter, &cursor->filter));
    if (!filter_is_indexed(cursor->filter)) return NACRE_OK;
    if (cursor->bounded) TRY(cursor_is_narrow(cursor, &narrow));
    if (narrow) return NACRE_OK;
    return picks_merge(cursor->db, &cursor->view, cursor->membrane->id, cursor->filter, &cursor->merge, &cursor->places,
                       &cursor->place_count);
}

/* Moving one way, only the bound ahead is asked. */
static bool cursor_inside(const Cursor *cursor, bool backward) {
    if (!merge_valid(&cursor->merge)) return false;
    Span key = merge_key(&cursor->merge);
    KeyHead head = merge_head(&cursor->merge);
    return backward ? key_compare(key, head, cursor_low(cursor), cursor->low_head) >= 0
                    : key_compare(key, head, cursor_high(cursor), cursor->high_head) < 0;
}

/* Is the row the merge stands on one that is shown? Fills it if so. */
static nacre_status cursor_show(Cursor *cursor, RowView *row, bool *shown) {
    Db *db = cursor->db;
    Entry entry;
    merge_entry(&cursor->merge, &entry);
    if (entry.flags == 0 && cursor->plain) { /* most scans are this */
        *row = (RowView){.key = span_of(entry.key.data + 4, entry.key.size - 4), .value = entry.value};
        *shown = true;
        return NACRE_OK;
    }
    *shown = false;
    if (state_gone(db, &entry)) return NACRE_OK;
    if (cursor->places) {
        bool shadowed = false;
        TRY(view_shadowed(db, &cursor->view, entry.key, cursor->places[cursor->merge.heap[0].index], &shadowed));
        if (shadowed) return NACRE_OK;
    }
    bool row_needed = !cursor->keys_only || (cursor->filter && filter_needs_row(cursor->filter));
    if (!row_needed) {
        *row = (RowView){.key = span_of(entry.key.data + 4, entry.key.size - 4)};
    } else {
        TRY(row_load(db, cursor->membrane->id, &entry, !cursor->keys_only && !cursor->filter, &cursor->blob,
                     &cursor->blob_capacity, &cursor->vector, &cursor->vector_capacity, row));
    }
    if (cursor->filter) {
        db->counters.rows_checked++;
        if (!filter_matches(cursor->filter, row->key, row->value)) return NACRE_OK;
        if (!cursor->keys_only)
            TRY(row_load(db, cursor->membrane->id, &entry, true, &cursor->blob, &cursor->blob_capacity,
                         &cursor->vector, &cursor->vector_capacity, row));
    }
    *shown = true;
    return NACRE_OK;
}

/* From where the merge stands, on to the first row that is shown. */
static nacre_status cursor_settle(Cursor *cursor, bool backward, RowView *row) {
    while (cursor_inside(cursor, backward)) {
        RowView found;
        bool shown = false;
        cursor->failed = cursor_show(cursor, &found, &shown);
        if (cursor->failed) return cursor->failed;
        if (shown) {
            cursor->place = CURSOR_ON;
            *row = found;
            return NACRE_OK;
        }
        cursor->failed = backward ? merge_prev(&cursor->merge) : merge_next(&cursor->merge);
        if (cursor->failed) return cursor->failed;
    }
    cursor->place = backward ? CURSOR_BEFORE : CURSOR_AFTER;
    return NACRE_NOT_FOUND;
}

static nacre_status cursor_stopped(Cursor *cursor) {
    if (cursor->failed == NACRE_OK) return NACRE_OK;
    return env_fail(&cursor->db->env, cursor->failed, "%s: the cursor was stopped by an earlier failure",
                    cursor->membrane->name);
}

/* The merge has moved (`status`): to the first row that is shown from there. */
static nacre_status cursor_moved(Cursor *cursor, nacre_status status, bool backward, RowView *row) {
    cursor->failed = status;
    return status == NACRE_OK ? cursor_settle(cursor, backward, row) : status;
}

nacre_status cursor_next(Cursor *cursor, RowView *row) {
    TRY(cursor_stopped(cursor));
    if (cursor->place == CURSOR_AFTER) return NACRE_NOT_FOUND;
    bool on = cursor->place == CURSOR_ON;
    return cursor_moved(cursor, on ? merge_next(&cursor->merge) : merge_seek(&cursor->merge, cursor_low(cursor)),
                        false, row);
}

nacre_status cursor_prev(Cursor *cursor, RowView *row) {
    TRY(cursor_stopped(cursor));
    if (cursor->place == CURSOR_BEFORE) return NACRE_NOT_FOUND;
    bool on = cursor->place == CURSOR_ON;
    return cursor_moved(
        cursor, on ? merge_prev(&cursor->merge) : merge_seek_before(&cursor->merge, cursor_high(cursor)), true, row);
}

static nacre_status cursor_full_key(Cursor *cursor, Span key, Span *full) {
    void *seek = cursor->seek;
    TRY(env_grow(&cursor->db->env, &seek, &cursor->seek_capacity, key.size + 5, 1));
    cursor->seek = seek;
    *full = full_key(cursor->membrane->id, key, cursor->seek);
    return NACRE_OK;
}

nacre_status cursor_seek(Cursor *cursor, Span key, RowView *row) {
    Span full;
    TRY(cursor_stopped(cursor));
    TRY(cursor_full_key(cursor, key, &full));
    if (span_compare(full, cursor_low(cursor)) < 0) full = cursor_low(cursor);
    return cursor_moved(cursor, merge_seek(&cursor->merge, full), false, row);
}

nacre_status cursor_seek_back(Cursor *cursor, Span key, RowView *row) {
    Span full;
    TRY(cursor_stopped(cursor));
    TRY(cursor_full_key(cursor, key, &full));
    /* Nothing lies between a key and itself with a zero byte: the last row before that. */
    cursor->seek[full.size] = 0;
    full.size++;
    if (span_compare(full, cursor_high(cursor)) > 0) full = cursor_high(cursor);
    return cursor_moved(cursor, merge_seek_before(&cursor->merge, full), true, row);
}

nacre_status db_count(Membrane *membrane, const Snapshot *snapshot, KeyRange range, Span filter, uint64_t *count) {
    Cursor *cursor = NULL;
    RowView row;
    uint64_t found = 0;
    TRY(cursor_open(membrane, snapshot, range, &cursor));
    cursor_keys_only(cursor);
    nacre_status status = cursor_filter(cursor, filter);
    while (status == NACRE_OK && (status = cursor_next(cursor, &row)) == NACRE_OK) found++;
    cursor_close(cursor);
    if (status != NACRE_NOT_FOUND) return status;
    *count = found;
    return NACRE_OK;
}

nacre_status db_clear(Membrane *membrane, KeyRange range, Span filter, bool sync, uint64_t *removed) {
    Db *db = membrane->db;
    Cursor *cursor = NULL;
    RowView row;
    uint8_t *records = NULL;
    size_t capacity = 0, size = BATCH_HEAD;
    uint64_t count = 0;
    TRY(state_writable(db));
    TRY(cursor_open(membrane, NULL, range, &cursor));
    cursor_keys_only(cursor);
    nacre_status status = cursor_filter(cursor, filter);
    while (status == NACRE_OK && (status = cursor_next(cursor, &row)) == NACRE_OK) {
        void *grown = records;
        size_t record = (size_t)record_size(row.key.size + 4, 0);
        status = write_check_read_key(membrane, row.key);
        if (status == NACRE_OK) status = env_grow(&db->env, &grown, &capacity, size + record, 1);
        if (status != NACRE_OK) break;
        records = grown;
        memset(records + size, 0, record);
        put_u32(records + size, (uint32_t)(row.key.size + 4) | RECORD_DELETE << 24);
        (void)full_key(membrane->id, row.key, records + size + RECORD_HEAD);
        size += record;
        count++;
    }
    cursor_close(cursor);
    if (status == NACRE_NOT_FOUND) {
        status = NACRE_OK;
        uint8_t *at = NULL;
        if (count > 0) status = db_reserve(db, size, count, &at);
        if (status == NACRE_OK && count > 0) {
            put_u32(records, (uint32_t)size);
            put_u32(records + 4, (uint32_t)count);
            put_u64(records + 8, 0);
            memcpy(at, records, size);
            status = db_commit(db, size, sync);
        }
        if (status == NACRE_OK) *removed = count;
    }
    env_free(&db->env, records, capacity);
    return status;
}
