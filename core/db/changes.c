/* changes.c - what was committed, in its order: from the archive, from loads that are only
 * remembered, and from the memtables, whose arenas are the log. Costs writers nothing.
 *
 * A reader holds no version: what it has not come to may leave the archive, and it is told
 * so. It holds the memtable that it is in the middle of, so that a flush does not take the
 * rest of a batch away. */
#include "db/catalog_format.h"
#include "db/feed.h"
#include "memtable/mem_iter.h"
#include "segment/run_iter.h"

enum {
    PIECE_HEAD = 16,         /* of a row of the archive in `pieces`: lsn u64 | index u32 | size u32 */
    PIECES_SIZE = 256 << 10, /* read at once, about */
};

struct Changes {
    Db *db;
    uint64_t lsn; /* what is not above it was given, or passed over */
    /* The batch under way: its LSN (0: none), the records that are left of it here, and how
     * many came before them. */
    uint64_t batch;
    uint32_t index;
    const uint8_t *record, *end;
    bool renames;  /* the name `from` that was taken away comes back as another */
    Span from;
    bool loading;  /* what is left are ids of membranes */
    Memtable *table; /* that `log` walks, retained; NULL: none */
    MemLog log;
    uint64_t seen_base; /* where the walk ended, of the memtable with this base LSN */
    size_t seen_at;
    uint8_t *pieces; /* of the archive */
    size_t pieces_at, pieces_end, pieces_capacity;
    bool goes_on; /* more pieces of the last one's batch are in the archive */
    uint8_t *blob, *vector;
    size_t blob_capacity, vector_capacity;
    Changes *next, *previous;
};

nacre_status db_changes_bounds(Db *db, uint64_t *oldest, uint64_t *newest) {
    *oldest = feed_floor(db);
    *newest = feed_limit(db);
    return NACRE_OK;
}

static nacre_status changes_gone(Db *db, uint64_t since) {
    return env_fail(&db->env, NACRE_NOT_FOUND,
                    "changes: those after %llu are not all kept any more; the oldest that one can go on from is %llu",
                    (unsigned long long)since, (unsigned long long)feed_floor(db));
}

nacre_status db_changes_open(Db *db, uint64_t since, Changes **out) {
    if (since == NACRE_CHANGES_OLDEST) since = feed_floor(db);
    if (since == NACRE_CHANGES_NOW) since = feed_limit(db);
    if (since > db->last_lsn)
        return env_fail(&db->env, NACRE_INVALID_ARGUMENT, "changes: since %llu is in the future: the last one is %llu",
                        (unsigned long long)since, (unsigned long long)db->last_lsn);
    if (since < feed_floor(db)) return changes_gone(db, since);
    Changes *changes = env_alloc_zeroed(&db->env, sizeof *changes);
    if (!changes) return NACRE_RESOURCE_EXHAUSTED;
    changes->db = db;
    changes->lsn = since;
    changes->next = db->changes;
    if (db->changes) db->changes->previous = changes;
    db->changes = changes;
    *out = changes;
    return NACRE_OK;
}

void db_changes_close(Changes *c) {
    if (!c) return;
    Env *env = &c->db->env;
    if (c->next) c->next->previous = c->previous;
    if (c->previous) c->previous->next = c->next;
    else c->db->changes = c->next;
    memtable_release(c->table);
    env_free(env, c->pieces, c->pieces_capacity);
    env_free(env, c->blob, c->blob_capacity);
    env_free(env, c->vector, c->vector_capacity);
    env_free(env, c, sizeof *c);
}

Db *changes_db(const Changes *changes) { return changes->db; }

/* ---- finding the next batch, or piece of one ---- */

static void changes_stand(Changes *c, uint64_t lsn, uint32_t index, const uint8_t *at, const uint8_t *end) {
    if (index == 0) c->renames = false;
    c->batch = lsn;
    c->index = index;
    c->record = at;
    c->end = end;
    c->loading = false;
}

/* The batch under way is given whole. */
static void changes_end_batch(Changes *c) {
    if (c->batch > c->lsn) c->lsn = c->batch;
    c->batch = 0;
}

static bool changes_from_table(Changes *c) {
    MemBatch batch;
    uint64_t limit = feed_limit(c->db);
    if (mem_log_next(&c->log, c->lsn, limit, &batch)) {
        const uint8_t *arena = c->table->arena;
        changes_stand(c, batch.lsn, 0, arena + batch.at, arena + batch.end);
        return true;
    }
    uint64_t last = c->table->last_lsn < limit ? c->table->last_lsn : limit;
    if (last > c->lsn) c->lsn = last;
    c->seen_base = c->table->base_lsn;
    c->seen_at = c->log.at;
    memtable_release(c->table);
    c->table = NULL;
    return false;
}

static bool changes_take_table(Changes *c) {
    Db *db = c->db;
    uint64_t limit = feed_limit(db);
    Memtable *tables[2] = {db->frozen, db->active};
    for (int i = 0; i < 2; i++) {
        Memtable *table = tables[i];
        if (!table || table->last_lsn <= c->lsn || limit <= c->lsn) continue;
        bool seen = c->seen_at > 0 && c->seen_base == table->base_lsn && c->seen_at <= table->used;
        mem_log_init(&c->log, table, seen ? c->seen_at : 0);
        memtable_retain(c->table = table);
        return true;
    }
    return false;
}

static void changes_from_piece(Changes *c) {
    const uint8_t *head = c->pieces + c->pieces_at, *bytes = head + PIECE_HEAD;
    uint32_t index = get_u32(head + 8);
    bool load = index == FEED_LOAD;
    changes_stand(c, get_u64(head), load ? 0 : index, bytes, bytes + get_u32(head + 12));
    c->loading = load;
    c->pieces_at += PIECE_HEAD + get_u32(head + 12);
}

/* One row of the archive to the others; marks are only checked. */
static nacre_status changes_add_piece(Changes *c, Iter *iter, FeedPlace *place) {
    Db *db = c->db;
    Entry entry;
    RowView row;
    iter->verbs->entry(iter, &entry);
    TRY(row_load(db, FEED_MEMBRANE, &entry, false, &c->blob, &c->blob_capacity, &c->vector, &c->vector_capacity, &row));
    TRY(feed_row(db, entry.key, row.value, place));
    uint32_t index = feed_key_index(entry.key);
    if (index == FEED_MARK) return NACRE_OK;
    void *pieces = c->pieces;
    TRY(env_grow(&db->env, &pieces, &c->pieces_capacity, c->pieces_end + PIECE_HEAD + row.value.size, 1));
    uint8_t *at = (c->pieces = pieces) + c->pieces_end;
    put_u64(at, feed_key_lsn(entry.key));
    put_u32(at + 8, index);
    put_u32(at + 12, (uint32_t)row.value.size);
    memcpy(at + PIECE_HEAD, row.value.data, row.value.size);
    c->pieces_end += PIECE_HEAD + row.value.size;
    return NACRE_OK;
}

/* Reads on in the archive from where this reader stands. */
static nacre_status changes_read_archive(Changes *c) {
    Db *db = c->db;
    const Run *feed = &db->version->feed;
    uint8_t key[FEED_KEY];
    FeedPlace place = {c->batch ? c->batch : c->lsn, c->batch ? c->index : UINT64_MAX};
    Iter *iter = NULL;
    c->pieces_at = c->pieces_end = 0;
    c->goes_on = false;
    TRY(run_iter_open(&db->io, feed->segments, feed->count, (Span){NULL, 0}, false, &iter));
    Span from = c->batch ? feed_key(c->batch, c->index, key) : feed_key(c->lsn + 1, 0, key);
    nacre_status status = iter->verbs->seek(iter, from);
    while (status == NACRE_OK && iter->valid && c->pieces_end < PIECES_SIZE) {
        status = changes_add_piece(c, iter, &place);
        if (status == NACRE_OK) status = iter->verbs->next(iter);
    }
    if (status == NACRE_OK && iter->valid && feed_key_ok(iter->key))
        c->goes_on = feed_key_lsn(iter->key) == place.lsn && feed_key_index(iter->key) < FEED_LOAD;
    iter->verbs->close(iter);
    if (status != NACRE_OK) c->pieces_end = 0; /* read again at the next call */
    return status;
}

/* Without an archive loads stand before all that the memtables hold: they empty them. */
static nacre_status changes_read_load(Changes *c) {
    Db *db = c->db;
    size_t first = 0, end;
    while (first < db->load_count && db->loads[first].lsn <= c->lsn) first++;
    c->pieces_at = c->pieces_end = 0;
    if (first == db->load_count) return NACRE_OK;
    for (end = first; end < db->load_count && db->loads[end].lsn == db->loads[first].lsn;) end++;
    size_t size = 4 * (end - first);
    void *pieces = c->pieces;
    TRY(env_grow(&db->env, &pieces, &c->pieces_capacity, PIECE_HEAD + size, 1));
    c->pieces = pieces;
    put_u64(c->pieces, db->loads[first].lsn);
    put_u32(c->pieces + 8, FEED_LOAD);
    put_u32(c->pieces + 12, (uint32_t)size);
    for (size_t i = first; i < end; i++) put_u32(c->pieces + PIECE_HEAD + 4 * (i - first), db->loads[i].membrane);
    c->pieces_end = PIECE_HEAD + size;
    return NACRE_OK;
}

/* Reads pieces if there are any where this reader stands. */
static nacre_status changes_read(Changes *c) {
    Db *db = c->db;
    bool archived = c->goes_on || feed_last(db->version) > c->lsn;
    if ((c->batch ? c->batch - 1 : c->lsn) < feed_floor(db)) return changes_gone(db, c->lsn);
    if (!archived) return changes_read_load(c);
    TRY(changes_read_archive(c));
    if (c->pieces_end == 0)
        return env_fail(&db->env, NACRE_CORRUPT, "%s: archive of changes: it ends before LSN %llu", db->name,
                        (unsigned long long)feed_last(db->version));
    return NACRE_OK;
}

/* To the next records; *any false: nothing newer for now. */
static nacre_status changes_advance(Changes *c, bool *any) {
    *any = true;
    if (c->pieces_at == c->pieces_end) {
        if (!c->goes_on) changes_end_batch(c);
        if (c->table && changes_from_table(c)) return NACRE_OK;
        TRY(changes_read(c));
    }
    if (c->pieces_at < c->pieces_end) {
        if (c->batch && get_u64(c->pieces + c->pieces_at) != c->batch) changes_end_batch(c);
        changes_from_piece(c);
        return NACRE_OK;
    }
    while (changes_take_table(c))
        if (changes_from_table(c)) return NACRE_OK;
    *any = false;
    return NACRE_OK;
}

/* ---- what a record means ---- */

static Span changes_name(Span key) { return span_of(key.data + 5, key.size - 6); }

static bool changes_is_name(Span key) {
    return get_u32_be(key.data) == 0 && key.size > 6 && key.data[4] == CATALOG_NAME && key.data[key.size - 1] == 0;
}

/* A row of the catalog: of each batch the names tell what was done (catalog.c). */
static void changes_catalog(Changes *c, const uint8_t *record, ChangeView *view) {
    Span key = record_key(record), value = record_value(record);
    if (!changes_is_name(key)) return;
    view->name = changes_name(key);
    if (record_flags(record) & RECORD_DELETE) {
        bool renamed = c->record < c->end && changes_is_name(record_key(c->record)) &&
                       !(record_flags(c->record) & RECORD_DELETE);
        c->renames = renamed;
        view->kind = renamed ? NACRE_CHANGE_NONE : NACRE_CHANGE_DROP;
        if (renamed) c->from = view->name;
        return;
    }
    if (value.size <= 4) return;
    view->membrane = catalog_by_id(c->db, get_u32(value.data));
    view->schema = span_of(value.data + 4, value.size - 4);
    view->kind = c->renames ? NACRE_CHANGE_RENAME : NACRE_CHANGE_CREATE;
    if (c->renames) view->from = c->from;
    c->renames = false;
}

static nacre_status changes_row(Changes *c, const uint8_t *record, ChangeView *view) {
    Db *db = c->db;
    Entry entry;
    mem_entry(record, &entry);
    Membrane *membrane = catalog_by_id(db, get_u32_be(entry.key.data));
    if (!membrane) return NACRE_OK; /* dropped since */
    view->membrane = membrane;
    view->name = membrane_name(membrane);
    view->kind = entry.flags & ENTRY_DELETE ? NACRE_CHANGE_DELETE : NACRE_CHANGE_PUT;
    return row_load(db, membrane->id, &entry, !(entry.flags & ENTRY_DELETE), &c->blob, &c->blob_capacity, &c->vector,
                    &c->vector_capacity, &view->row);
}

/* The record under way, and one further. kind NACRE_CHANGE_NONE: it is nobody's. */
static nacre_status changes_record(Changes *c, ChangeView *view) {
    const uint8_t *record = c->record;
    *view = (ChangeView){.sequence = c->batch, .index = c->index};
    if (c->loading) {
        view->membrane = catalog_by_id(c->db, get_u32(record));
        c->record += 4;
        c->index++;
        if (!view->membrane) return NACRE_OK;
        view->kind = NACRE_CHANGE_LOAD;
        view->name = membrane_name(view->membrane);
        return NACRE_OK;
    }
    c->record += (size_t)record_size(record_key_size(record), record_value_size(record));
    c->index++;
    if (get_u32_be(record_key(record).data) != 0) return changes_row(c, record, view);
    changes_catalog(c, record, view);
    return NACRE_OK;
}

nacre_status db_changes_records(Changes *c, RecordsView *view) {
    bool any = true;
    if (c->record == c->end) TRY(changes_advance(c, &any));
    *view = (RecordsView){0};
    if (!any) return NACRE_OK;
    *view = (RecordsView){c->batch, c->index, c->loading, span_of(c->record, (size_t)(c->end - c->record))};
    if (c->loading) c->record = c->end;
    for (; c->record < c->end; c->index++)
        c->record += (size_t)record_size(record_key_size(c->record), record_value_size(c->record));
    return NACRE_OK;
}

nacre_status db_changes_next(Changes *c, ChangeView *view) {
    for (;;) {
        if (c->record == c->end) {
            bool any = false;
            TRY(changes_advance(c, &any));
            *view = (ChangeView){.sequence = c->lsn};
            if (!any) return NACRE_OK;
        }
        while (c->record < c->end) {
            TRY(changes_record(c, view));
            if (view->kind != NACRE_CHANGE_NONE) return NACRE_OK;
        }
    }
}
