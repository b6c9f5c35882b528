/* write.c - batches: a place for them in the memtable's arena, and then checked,
 * logged, indexed, in that order. What is refused has changed nothing. */
#include "base/limits.h"
#include "db/catalog_format.h"
#include "db/keycode.h"
#include "db/row.h"
#include "db/feed.h"
#include "db/ingest.h"

nacre_status state_writable(Db *db) {
    if (db->readonly) return env_fail(&db->env, NACRE_READONLY, "%s: opened for reading only", db->name);
    if (db->poisoned)
        return env_fail(&db->env, NACRE_IO, "%s: an earlier write could not be made durable; close and open it again",
                        db->name);
    return NACRE_OK;
}

/* Room for `total` bytes of log and `records` more entries, without a freeze? */
static bool write_fits(const Db *db, uint64_t total, uint64_t records) {
    const Memtable *active = db->active;
    if (active->used + total > active->capacity) return false;
    if (active->last_lsn - active->base_lsn > UINT32_MAX - LSN_GAP) return false; /* stamps are 32 bits */
    if (active->record_count == 0) return true;
    uint64_t nodes_max = active->capacity / 2 + (1u << 20);
    return memtable_node_bytes_max(active, records) <= nodes_max;
}

/* A larger arena for a batch that no usual one would hold. */
static nacre_status write_enlarge(Db *db, uint64_t total) {
    uint64_t usual = db->options.memtable_size;
    uint32_t log = db->active->log;
    uint64_t base = db->active->last_lsn;
    ASSERT(db->active->used == 0 && total > db->active->capacity);
    Memtable *larger = NULL;
    if (total > SIZE_MAX / 2)
        return env_fail(&db->env, NACRE_RESOURCE_EXHAUSTED, "batch: %llu bytes", (unsigned long long)total);
    snapshots_settle(db, total);
    nacre_status status = memtable_alloc(&db->env, (size_t)(total > usual ? total : usual), base, log, &larger);
    TRY(status);
    memtable_release(db->active);
    db->active = larger;
    return NACRE_OK;
}

/* Would the file pass its limit, once all that is in memory is in segments? Deletions are
 * let through all the same: they are how it becomes smaller. */
static bool write_full(const Db *db, uint64_t bytes) {
    if (!db->options.database_size) return false;
    uint64_t memory = db->active->used + (db->frozen ? db->frozen->used : 0) + bytes;
    uint64_t extents = extent_map_used(&db->map) + 4 + memory / EXTENT_SIZE; /* 4: manifests, ends of streams */
    return extents > db->map.limit - db->reserve;
}

nacre_status db_reserve(Db *db, uint64_t bytes, uint64_t records, uint8_t **at) {
    TRY(state_writable(db));
    if (db->half_covered) TRY(ingest_cover(db));
    uint64_t total = FRAME_HEAD + round_up(bytes, 4);
    if (bytes > UINT32_MAX - FRAME_HEAD - 4 || records > UINT32_MAX)
        return env_fail(&db->env, NACRE_RESOURCE_EXHAUSTED, "batch: %llu bytes in %llu records are too many",
                        (unsigned long long)bytes, (unsigned long long)records);
    if (write_full(db, bytes)) TRY(maintain_make_room(db));
    if (!write_fits(db, total, records)) {
        if (db->active->used > 0) TRY(maintain_freeze(db));
        if (total > db->active->capacity) TRY(write_enlarge(db, total));
    }
    TRY(memtable_reserve(db->active, records));
    db->reserved = bytes;
    db->reserved_records = records;
    *at = db->active->arena + db->active->used + FRAME_HEAD;
    return NACRE_OK;
}

/* ---- checking ---- */

static nacre_status write_refuse(Db *db, const char *what) {
    return env_fail(&db->env, NACRE_INVALID_ARGUMENT, "batch: %s", what);
}

/* The expiry in front of a value, made a time where it was a lifetime. */
WRAPS static nacre_status write_check_expiry(Db *db, uint8_t *value, size_t size) {
    uint64_t expiry = size < 8 ? 0 : get_u64(value), lifetime = expiry - RECORD_LIFETIME;
    if (expiry == 0) return write_refuse(db, "a malformed expiry");
    if (expiry < RECORD_LIFETIME) return NACRE_OK;
    if (lifetime == 0 || lifetime > (uint64_t)LIMIT_TIMESTAMP_MS)
        return write_refuse(db, "a time to live that is out of range");
    put_u64(value, state_now(db) + lifetime);
    return NACRE_OK;
}

static nacre_status write_check_value(Db *db, const Membrane *membrane, uint32_t flags, Span value) {
    const Schema *schema = &membrane->schema;
    if (flags & RECORD_DELETE)
        return flags == RECORD_DELETE && value.size == 0 ? NACRE_OK : write_refuse(db, "a deletion with a value");
    if (flags & RECORD_EXPIRES) value = span_of(value.data + 8, value.size - 8);
    bool has_vector = schema->kind == NACRE_COLLECTION;
    if (has_vector != ((flags & RECORD_VECTOR) != 0)) return write_refuse(db, "a vector that is missing or not wanted");
    if (has_vector) {
        size_t size = schema_vector_size(schema);
        if (value.size < 4 + size || get_u32(value.data) != size)
            return env_fail(&db->env, NACRE_INVALID_ARGUMENT, "%s: a vector that has not %u dimensions",
                            membrane->name, schema->dimensions);
        value = span_of(value.data + 4 + size, value.size - 4 - size);
    }
    if (schema->kind == NACRE_KV) return NACRE_OK;
    return row_check(&db->env, schema, value);
}

/* Rule 3 of catalog_format.h. */
static bool write_is_token(const uint8_t *record) {
    Span key = record_key(record);
    size_t most = record_flags(record) == RECORD_DELETE ? 0 : CATALOG_TOKEN_VALUE_MAX;
    return catalog_is_token(span_of(key.data + 4, key.size - 4)) && !(record_flags(record) & ~RECORD_DELETE) &&
           record_value_size(record) <= most;
}

nacre_status write_check_record(Db *db, uint8_t *at, size_t left, Membrane **membrane, size_t *size) {
    if (left < RECORD_HEAD) return write_refuse(db, "cut short");
    uint64_t whole = record_size(record_key_size(at), record_value_size(at));
    if (whole > left) return write_refuse(db, "cut short");
    if (record_key_size(at) < 4 || (record_flags(at) & ~RECORD_FLAGS_KNOWN) || record_link(at) || record_stamp(at))
        return write_refuse(db, "a malformed record");
    Span key = record_key(at);
    uint32_t id = get_u32_be(key.data);
    if (!*membrane || (*membrane)->id != id) *membrane = catalog_by_id(db, id);
    if (!*membrane) return env_fail(&db->env, NACRE_NOT_FOUND, "batch: membrane %u was dropped", id);
    if (*membrane == &db->catalog && !db->in_catalog && !write_is_token(at))
        return write_refuse(db, "membrane 0 is the database's own");
    if (record_flags(at) & RECORD_EXPIRES)
        TRY(write_check_expiry(db, at + RECORD_HEAD + record_key_size(at), record_value_size(at)));
    if (*membrane != &db->catalog) {
        if (!key_check(&(*membrane)->schema, span_of(key.data + 4, key.size - 4)))
            return env_fail(&db->env, NACRE_INVALID_ARGUMENT, "%s: a malformed key", (*membrane)->name);
        TRY(write_check_value(db, *membrane, record_flags(at), record_value(at)));
    }
    *size = (size_t)whole;
    return NACRE_OK;
}

nacre_status write_check_read_key(const Membrane *membrane, Span key) {
    if (key_check(&membrane->schema, key)) return NACRE_OK;
    return env_fail(&membrane->db->env, NACRE_CORRUPT, "%s: a malformed key", membrane->name);
}

nacre_status write_check_batches(Db *db, uint8_t *bytes, size_t size, uint64_t *lsn, uint64_t *records, bool *puts) {
    Membrane *membrane = NULL;
    *records = 0;
    *puts = false;
    for (size_t at = 0; at < size;) {
        if (size - at < BATCH_HEAD) return write_refuse(db, "cut short");
        size_t batch_size = get_u32(bytes + at), left = batch_size - BATCH_HEAD, record = 0;
        uint32_t count = get_u32(bytes + at + 4);
        if (batch_size < BATCH_HEAD || batch_size > size - at || batch_size % 4) return write_refuse(db, "a size");
        put_u64(bytes + at + 8, ++*lsn);
        at += BATCH_HEAD;
        for (uint32_t i = 0; i < count; i++, at += record, left -= record) {
            TRY(write_check_record(db, bytes + at, left, &membrane, &record));
            *puts |= !(record_flags(bytes + at) & RECORD_DELETE) && membrane != &db->catalog;
        }
        if (left != 0) return write_refuse(db, "bytes left over");
        *records += count;
    }
    return NACRE_OK;
}

static nacre_status write_check(Db *db, uint8_t *bytes, size_t size, uint64_t *lsn) {
    uint64_t records = 0;
    bool puts = false;
    *lsn = db->last_lsn;
    TRY(write_check_batches(db, bytes, size, lsn, &records, &puts));
    if (records > db->reserved_records) return write_refuse(db, "more records than reserved");
    if (puts && write_full(db, size))
        return env_fail(&db->env, NACRE_QUOTA,
                        "%s: the file may have %llu bytes and is full; delete or compact to make room", db->name,
                        (unsigned long long)db->options.database_size);
    return NACRE_OK;
}

/* ---- applying ---- */

enum { WRITE_FAR = 12, WRITE_NEAR = 6 };

static size_t write_expect(const Memtable *active, size_t at, bool nearer) {
    const uint8_t *record = active->arena + at;
    memtable_expect(active, record_key(record), nearer);
    return at + (size_t)record_size(record_key_size(record), record_value_size(record));
}

/* Hangs the records of one batch into the tree; their places in it are asked for early. */
static void write_index_batch(Db *db, size_t at, uint32_t count, uint32_t stamp) {
    Memtable *active = db->active;
    size_t far = at, near = at;
    for (uint32_t i = 0; i < count + WRITE_FAR; i++) {
        if (i < count) far = write_expect(active, far, false);
        if (i >= WRITE_FAR - WRITE_NEAR && i < count + WRITE_FAR - WRITE_NEAR) near = write_expect(active, near, true);
        if (i < WRITE_FAR) continue;
        const uint8_t *record = active->arena + at;
        bool inserted = memtable_insert(active, (uint32_t)at, stamp);
        ASSERT(inserted); /* key_check makes keys prefix-free */
        if (record_flags(record) & RECORD_DELETE) db->counters.deletes++;
        else db->counters.puts++;
        db->counters.user_bytes += record_key_size(record) - 4 + record_value_size(record);
        at += (size_t)record_size(record_key_size(record), record_value_size(record));
    }
}

static void write_index(Db *db, size_t body, size_t size) {
    const Memtable *active = db->active;
    for (size_t at = body, end = body + size; at < end;) {
        const uint8_t *batch = active->arena + at;
        write_index_batch(db, at + BATCH_HEAD, get_u32(batch + 4), (uint32_t)(get_u64(batch + 8) - active->base_lsn));
        at += get_u32(batch);
    }
}

static nacre_status write_sync(Db *db) {
    if (db->options.durability == NACRE_STRICT) return log_sync(db);
    if (db->options.durability == NACRE_RELAXED && db->unsynced_since_ms == 0) {
        db->unsynced_since_ms = db->env.vfs->now_ms(db->env.vfs->self);
        if (db->unsynced_since_ms == 0) db->unsynced_since_ms = 1;
    }
    return NACRE_OK;
}

nacre_status db_commit(Db *db, size_t bytes, bool sync) {
    TRY(state_writable(db));
    if (bytes > db->reserved) return env_fail(&db->env, NACRE_MISUSE, "commit of more bytes than were reserved");
    if (bytes == 0) return NACRE_OK;
    Memtable *active = db->active;
    Wal *log = &db->logs[active->log];
    uint8_t *frame = active->arena + active->used;
    uint64_t lsn = 0;
    TRY(write_check(db, frame + FRAME_HEAD, bytes, &lsn));
    nacre_status status = wal_append(log, frame, FRAME_HEAD + bytes, FRAME_BATCHES, lsn, db->last_lsn, db->synced_lsn);
    if (status != NACRE_OK) return log->broken ? state_poison(db, status) : status;
    db->log_free[active->log] = false;
    db->reserved = db->reserved_records = 0;
    size_t body = active->used + FRAME_HEAD;
    active->used += FRAME_HEAD + bytes;
    db->last_lsn = lsn;
    if (sync || db->options.durability == NACRE_RELAXED) status = write_sync(db);
    if (status != NACRE_OK) return status; /* poisoned, and not acknowledged: not shown */
    write_index(db, body, bytes);
    active->last_lsn = lsn;
    db->counters.log_bytes += FRAME_HEAD + bytes;
    maintain_after_write(db, FRAME_HEAD + bytes);
    feed_acknowledged(db);
    return NACRE_OK;
}

nacre_status db_sync(Db *db) {
    if (db->readonly) return NACRE_OK;
    TRY(state_writable(db));
    TRY(write_sync(db));
    feed_acknowledged(db);
    return NACRE_OK;
}

uint64_t db_sequence(const Db *db) { return db->last_lsn; }
