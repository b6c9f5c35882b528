/* restore.c - a database made of streams (backup_format.h): one full backup, incremental ones,
 * logs. Knows nothing of how pieces are checked.
 *
 * 1. From before the first piece until everything is durable the logs say LOG_RESTORING, so
 *    what a crash leaves is refused, and may be restored over.
 * 2. Segments go to their extents as they come. What a stream has besides (batches that were
 *    in logs) is spooled into extents, because an incremental stream may take its place.
 * 3. When a log comes, or the end, the newest STATE becomes the database's (restore_install),
 *    and from then on batches are applied as writes are, under the LSNs that they had.
 * 4. The database has a new id, for from now on its segments are others than those of the
 *    one that it was made of. */
#include "db/backup.h"
#include "db/feed.h"
#include "db/ingest.h"
#include "db/keycode.h"
#include "host/aead.h"

#include "memtable/mem_iter.h"
#include "memtable/record.h"

#include <stdio.h>

enum { SPOOL_HEAD = 8 }; /* kind u32 | size u32 */

struct nacre_restore {
    Env alone; /* where nothing is made */
    Env *env;
    Db *db;    /* NULL: only checks */
    BackupReader reader;
    nacre_restore_options until;
    uint8_t key[AEAD_KEY]; /* of encrypted streams, where reader.key points to it */
    bool failed;
    /* segments of the streams, by id */
    Segment **known;
    size_t known_count, known_capacity;
    Segment *segment; /* the one under way, among them */
    int stream;
    uint64_t offset;
    /* the newest STATE; NULL: none, or installed */
    Version *state;
    uint64_t flushed, lsn;
    ManifestIds ids;
    ExtentList spool;
    uint64_t spooled;
    bool live;        /* rule 3 */
    /* batches and loads */
    bool stopped;     /* what comes now is later than what is asked for */
    bool timed;       /* a time was told */
    uint64_t time_lsn, time_ms; /* of the last one not after the one asked for; of the last one */
    uint64_t at;      /* LSN of the batch or load under way; 0: none, or not wanted */
    uint8_t *batch;
    size_t batch_size, batch_capacity;
    Ingest *load;
    Entry value;      /* a large one of the load; `value_left` of it are to come */
    uint64_t value_left;
    uint8_t *value_record;
    size_t value_record_size;
};

static nacre_status restore_corrupt(Restore *r, const char *what) {
    return env_fail(r->env, NACRE_CORRUPT, "backup: stream %u: %s", r->reader.streams + 1, what);
}

/* ---- extents ---- */

/* Bytes to the end of a stream that lies in `extents`. */
static nacre_status restore_append(Restore *r, ExtentList *extents, uint64_t offset, Span bytes) {
    Db *db = r->db;
    while ((uint64_t)extents->count * EXTENT_SIZE < offset + bytes.size) {
        uint32_t extent = 0;
        TRY(extent_map_take(&db->map, &extent));
        TRY(extent_list_add(r->env, extents, extent));
    }
    TRY(data_write(&db->data, extents, offset, bytes.data, bytes.size));
    return db->data.unsynced < SYNC_BYTES ? NACRE_OK : data_sync(&db->data);
}

static void restore_drop_spool(Restore *r) {
    if (r->db) extent_map_give_back(&r->db->map, &r->spool);
    extent_list_clear(r->env, &r->spool);
    r->spooled = 0;
}

/* ---- segments ---- */

static size_t restore_place(const Restore *r, uint64_t id) {
    size_t low = 0, high = r->known_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (r->known[middle]->id < id) low = middle + 1;
        else high = middle;
    }
    return low;
}

static nacre_status restore_segment_decode(Restore *r, Span body, Segment *segment) {
    ByteReader b = br_over(body);
    (void)br_u64(&b);
    segment->page_size = br_u32(&b);
    uint32_t streams = br_u32(&b);
    segment->rows = br_u64(&b);
    segment->deletes = br_u64(&b);
    segment->first_expiry = br_u64(&b);
    segment->meta_offset = br_u64(&b);
    segment->meta_size = br_u64(&b);
    segment->meta_checksum = br_u64(&b);
    Span first = br_bytes(&b, br_u32(&b)), last = br_bytes(&b, br_u32(&b));
    if (!br_ok(&b) || first.size < 4 || last.size < 4) return restore_corrupt(r, "segment");
    TRY(segment_set_keys(segment, first, last));
    for (uint32_t i = 0; i < streams; i++) {
        uint32_t kind = br_u32(&b);
        (void)br_u32(&b);
        uint64_t size = br_u64(&b);
        if (kind >= STREAM_COUNT) return env_fail(r->env, NACRE_VERSION, "backup: a segment of a later version");
        if (size == 0 || segment->streams[kind].size) return restore_corrupt(r, "segment: streams");
        segment->streams[kind].size = size;
        if (i && kind <= (uint32_t)r->stream) return restore_corrupt(r, "segment: streams");
        r->stream = (int)kind;
    }
    return NACRE_OK;
}

static nacre_status restore_segment(Restore *r, Span body) {
    uint64_t id = get_u64(body.data);
    size_t at = restore_place(r, id);
    void *known = r->known;
    Segment *segment = NULL;
    if (at < r->known_count && r->known[at]->id == id) return restore_corrupt(r, "a segment comes twice");
    TRY(env_grow(r->env, &known, &r->known_capacity, r->known_count + 1, sizeof *r->known));
    r->known = known;
    TRY(segment_alloc(&r->db->io, id, &segment));
    nacre_status status = restore_segment_decode(r, body, segment);
    if (status != NACRE_OK) {
        segment_release(segment);
        return status;
    }
    memmove(&r->known[at + 1], &r->known[at], (r->known_count - at) * sizeof *r->known);
    r->known[at] = r->segment = segment;
    r->known_count++;
    r->stream = 0;
    r->offset = 0;
    return NACRE_OK;
}

static nacre_status restore_segment_bytes(Restore *r, Span body) {
    while (body.size > 0) {
        ASSERT(r->stream < STREAM_COUNT); /* the reader has counted */
        Stream *stream = &r->segment->streams[r->stream];
        uint64_t left = stream->size - r->offset;
        size_t part = left < body.size ? (size_t)left : body.size;
        if (part) TRY(restore_append(r, &stream->extents, r->offset, span_of(body.data, part)));
        r->offset += part;
        body = span_of(body.data + part, body.size - part);
        if (r->offset == stream->size) r->stream++, r->offset = 0;
    }
    return NACRE_OK;
}

/* Segments that the state does not have go. */
static void restore_forget(Restore *r, size_t from, size_t kept) {
    for (size_t i = from; i < r->known_count; i++) {
        for (int k = 0; k < STREAM_COUNT && r->db; k++)
            extent_map_give_back(&r->db->map, &r->known[i]->streams[k].extents);
        segment_release(r->known[i]);
    }
    r->known_count = kept;
}

static void restore_keep_used(Restore *r) {
    size_t used = 0;
    for (size_t i = 0; i < r->known_count; i++) { /* a reference of ours, one for each place in the state */
        Segment *segment = r->known[i];
        if (segment->references > 1) {
            r->known[i] = r->known[used];
            r->known[used++] = segment;
        }
    }
    restore_forget(r, used, used);
}

static nacre_status restore_run(Restore *r, ByteReader *b, Version *version, uint32_t index) {
    uint64_t id = br_u64(b);
    uint32_t tier = br_u32(b), count = br_u32(b);
    Span above = br_bytes(b, br_u32(b));
    bool feed = tier == TIER_FEED;
    bool twice = version_find_run(version, id) < version->count;
    if (!br_ok(b) || count == 0 || version->feed.count || (feed && above.size) || id == 0 || id >= UINT64_MAX - 1 || twice)
        return restore_corrupt(r, "state: run");
    if (!feed) TRY(version_insert_run(version, index, id, tier));
    Run *run = feed ? &version->feed : &version->runs[index];
    run->id = id;
    if (id >= r->ids.next_run) r->ids.next_run = id + 1;
    TRY(run_set_above(r->env, run, above));
    for (uint32_t i = 0; i < count; i++) {
        uint64_t segment = br_u64(b);
        size_t at = restore_place(r, segment);
        if (at == r->known_count || r->known[at]->id != segment || segment == 0 || segment >= UINT64_MAX - 1)
            return restore_corrupt(r, "state: a segment is missing");
        if (r->known[at]->references > 1) return restore_corrupt(r, "state: a segment stands twice");
        if (segment >= r->ids.next_segment) r->ids.next_segment = segment + 1;
        TRY(run_append_checked(&r->db->io, run, r->known[at]));
    }
    return NACRE_OK;
}

static nacre_status restore_state(Restore *r, const BackupHeader *header, Span body) {
    Db *db = r->db;
    Version *version = NULL;
    ByteReader b = br_over(body);
    uint32_t runs = br_u32(&b);
    (void)br_u32(&b);
    version_release(r->state); /* its segments are known */
    r->state = NULL;
    r->ids = (ManifestIds){1, 1};
    restore_drop_spool(r);
    r->segment = NULL;
    TRY(version_alloc(r->env, &db->versions, &version));
    nacre_status status = NACRE_OK;
    for (uint32_t i = 0; i < runs && status == NACRE_OK; i++) status = restore_run(r, &b, version, i);
    if (status == NACRE_OK) status = feed_check(db, version, header->flushed_lsn);
    if (status != NACRE_OK) {
        version_release(version);
        return status;
    }
    restore_keep_used(r);
    r->state = version;
    r->flushed = header->flushed_lsn;
    r->lsn = header->lsn;
    return NACRE_OK;
}

static nacre_status restore_spool(Restore *r, uint32_t kind, Span body) {
    uint8_t head[SPOOL_HEAD];
    put_u32(head, kind);
    put_u32(head + 4, (uint32_t)body.size);
    TRY(restore_append(r, &r->spool, r->spooled, span_of(head, sizeof head)));
    TRY(restore_append(r, &r->spool, r->spooled + SPOOL_HEAD, body));
    r->spooled += SPOOL_HEAD + body.size;
    return NACRE_OK;
}

/* ---- batches ---- */

/* The memtable, which is empty, counts from `lsn` on. */
static nacre_status restore_rebase(Restore *r, uint64_t lsn) {
    Db *db = r->db;
    Memtable *fresh = NULL;
    ASSERT(db->active->used == 0 && !db->frozen);
    TRY(memtable_alloc(r->env, (size_t)db->options.memtable_size, lsn, db->active->log, &fresh));
    memtable_release(db->active);
    db->active = fresh;
    db->last_lsn = db->synced_lsn = lsn;
    return NACRE_OK;
}

static nacre_status restore_count(Restore *r, uint64_t *count, bool *catalog) {
    *count = 0;
    *catalog = false;
    for (size_t at = 0; at < r->batch_size; ++*count) {
        uint64_t size = 0;
        const char *problem = record_problem(r->batch + at, r->batch_size - at, &size);
        if (problem) return restore_corrupt(r, problem);
        *catalog |= get_u32_be(record_key(r->batch + at).data) == 0;
        at += (size_t)size;
    }
    return NACRE_OK;
}

/* As a write is applied; what the catalog says is read again. */
static nacre_status restore_apply(Restore *r) {
    Db *db = r->db;
    uint64_t count = 0, size = BATCH_HEAD + (uint64_t)r->batch_size;
    bool catalog = false;
    uint8_t *at = NULL;
    TRY(restore_count(r, &count, &catalog));
    if (count == 0) return restore_corrupt(r, "a batch of no records");
    if (size > UINT32_MAX || count > UINT32_MAX) return restore_corrupt(r, "a batch of more than 4 GiB");
    if (r->at - db->active->base_lsn > UINT32_MAX / 2) { /* stamps are 32 bits */
        TRY(db_checkpoint(db));
        TRY(restore_rebase(r, r->at - 1));
    }
    TRY(db_reserve(db, size, count, &at));
    put_u32(at, (uint32_t)size);
    put_u32(at + 4, (uint32_t)count);
    put_u64(at + 8, 0);
    memcpy(at + BATCH_HEAD, r->batch, r->batch_size);
    db->last_lsn = r->at - 1; /* nobody will ever read this log */
    db->in_catalog = true;
    nacre_status status = db_commit(db, (size_t)size, false);
    db->in_catalog = false;
    if (status == NACRE_INVALID_ARGUMENT || status == NACRE_NOT_FOUND) { /* not the caller's, but the stream's */
        env_clear(r->env);
        return restore_corrupt(r, "a batch that does not fit the membranes");
    }
    if (status == NACRE_OK && catalog) status = catalog_load(db);
    return status;
}

static nacre_status restore_load_end(Restore *r) {
    Db *db = r->db;
    if (r->batch_size || r->value_left) return restore_corrupt(r, "a load that is cut short");
    if (db->last_lsn < r->at - 1) db->last_lsn = r->at - 1;
    TRY(ingest_publish(r->load));
    ingest_free(r->load);
    r->load = NULL;
    return catalog_load(db);
}

/* The batch or load under way is whole. */
static nacre_status restore_end_batch(Restore *r) {
    if (r->at == 0) return NACRE_OK;
    TRY(r->load ? restore_load_end(r) : restore_apply(r));
    r->at = 0;
    r->batch_size = 0;
    return NACRE_OK;
}

static nacre_status restore_begin_batch(Restore *r, uint32_t kind, uint64_t lsn) {
    TRY(restore_end_batch(r));
    if (r->until.sequence && lsn > r->until.sequence) r->stopped = true;
    if (r->stopped || lsn <= r->db->last_lsn) return NACRE_OK; /* of a log that overlaps */
    r->at = lsn;
    if (kind != PIECE_LOAD) return NACRE_OK;
    TRY(ingest_begin(r->db, &r->load));
    return ingest_new_run(r->load);
}

static nacre_status restore_gather(Restore *r, Span body) {
    void *batch = r->batch;
    TRY(env_grow(r->env, &batch, &r->batch_capacity, r->batch_size + body.size, 1));
    r->batch = batch;
    memcpy(r->batch + r->batch_size, body.data, body.size);
    r->batch_size += body.size;
    return NACRE_OK;
}

/* ---- loads ---- */

static nacre_status restore_check_row(Restore *r, uint8_t *record, size_t size, Entry *entry) {
    Membrane *membrane = NULL;
    uint64_t known = 0;
    size_t whole = 0;
    const char *problem = record_problem(record, size, &known);
    if (problem) return restore_corrupt(r, problem);
    mem_entry(record, entry);
    if (ingest_last_key(r->load).size && span_compare(ingest_last_key(r->load), entry->key) >= 0)
        return restore_corrupt(r, "a load whose keys do not rise");
    if (r->value_left) return NACRE_OK; /* without its value it fits no schema */
    r->db->in_catalog = true;
    nacre_status status = write_check_record(r->db, record, size, &membrane, &whole);
    r->db->in_catalog = false;
    if (status == NACRE_OK) return NACRE_OK;
    env_clear(r->env);
    return restore_corrupt(r, "a load that does not fit the membranes");
}

/* Whole records of what was gathered. */
static nacre_status restore_load_rows(Restore *r) {
    size_t at = 0;
    while (r->batch_size - at >= RECORD_HEAD) {
        uint8_t *record = r->batch + at;
        uint64_t size = record_size(record_key_size(record), record_value_size(record));
        Entry entry;
        if (size > r->batch_size - at) break;
        TRY(restore_check_row(r, record, (size_t)size, &entry));
        TRY(ingest_add(r->load, &entry));
        at += (size_t)size;
    }
    memmove(r->batch, r->batch + at, r->batch_size - at);
    r->batch_size -= at;
    return NACRE_OK;
}

static nacre_status restore_value(Restore *r, Span body) {
    uint64_t size = 0;
    if (r->batch_size || r->value_left) return restore_corrupt(r, "a row that is cut short");
    const char *problem = body.size < 8 ? "a value" : record_problem(body.data + 8, body.size - 8, &size);
    if (problem || size != body.size - 8) return restore_corrupt(r, problem ? problem : "a value");
    env_free(r->env, r->value_record, r->value_record_size);
    r->value_record_size = body.size - 8;
    if (!(r->value_record = env_alloc(r->env, r->value_record_size))) return NACRE_RESOURCE_EXHAUSTED;
    memcpy(r->value_record, body.data + 8, r->value_record_size);
    r->value_left = get_u64(body.data);
    TRY(restore_check_row(r, r->value_record, r->value_record_size, &r->value));
    const Entry *value = &r->value;
    const Membrane *membrane = catalog_by_id(r->db, get_u32_be(value->key.data));
    if (!membrane || membrane == &r->db->catalog || r->value_left < SOLO_BYTES || value->value.size ||
        value->flags & ~(ENTRY_EXPIRES | ENTRY_VECTOR) || value->vector.size != schema_vector_size(&membrane->schema) ||
        !key_check(&membrane->schema, span_of(value->key.data + 4, value->key.size - 4)))
        return restore_corrupt(r, "a large value that cannot be");
    r->value.flags |= ENTRY_BLOB | ENTRY_PIECES;
    r->value.blob = (BlobRef){.size = r->value_left, .pieces = true};
    return NACRE_OK;
}

static nacre_status restore_load_bytes(Restore *r, Span body) {
    if (r->value_left == 0) {
        TRY(restore_gather(r, body));
        return restore_load_rows(r);
    }
    if (body.size > r->value_left) return restore_corrupt(r, "a value");
    TRY(ingest_stream(r->load, body));
    r->value_left -= body.size;
    return r->value_left ? NACRE_OK : ingest_add(r->load, &r->value);
}

/* ---- time ---- */

static nacre_status restore_mark(Restore *r, uint64_t lsn, uint64_t ms) {
    TRY(restore_end_batch(r));
    r->time_ms = ms;
    if (!r->until.time_ms) return NACRE_OK;
    if (ms > r->until.time_ms) {
        if (!r->timed)
            return env_fail(r->env, NACRE_NOT_FOUND, "restore: what was committed at %llu is not known, only from %llu on",
                            (unsigned long long)r->until.time_ms, (unsigned long long)ms);
        r->stopped = true;
    }
    if (r->stopped) return NACRE_OK;
    r->timed = true;
    r->time_lsn = lsn;
    return NACRE_OK;
}

/* ---- the state ---- */

static nacre_status restore_live_piece(Restore *r, uint32_t kind, Span body) {
    switch (kind) {
    case PIECE_MARK: return restore_mark(r, get_u64(body.data), get_u64(body.data + 8));
    case PIECE_BATCH:
    case PIECE_LOAD: return restore_begin_batch(r, kind, get_u64(body.data));
    case PIECE_VALUE: return r->at ? restore_value(r, body) : NACRE_OK;
    case PIECE_BYTES:
        if (r->at == 0) return NACRE_OK;
        return r->load ? restore_load_bytes(r, body) : restore_gather(r, body);
    default: return restore_end_batch(r);
    }
}

static nacre_status restore_replay_spool(Restore *r) {
    uint8_t *body = env_alloc(r->env, BACKUP_PIECE), head[SPOOL_HEAD];
    nacre_status status = body ? NACRE_OK : NACRE_RESOURCE_EXHAUSTED;
    for (uint64_t at = 0; at < r->spooled && status == NACRE_OK;) {
        TRY_OUT(data_read(&r->db->data, &r->spool, at, head, SPOOL_HEAD));
        size_t size = get_u32(head + 4);
        ASSERT(size <= BACKUP_PIECE);
        TRY_OUT(data_read(&r->db->data, &r->spool, at + SPOOL_HEAD, body, size));
        TRY_OUT(restore_live_piece(r, get_u32(head), span_of(body, size)));
        at += SPOOL_HEAD + size;
    }
    TRY_OUT(restore_end_batch(r));
out:
    env_free(r->env, body, BACKUP_PIECE);
    return status;
}

static nacre_status restore_install(Restore *r) {
    Db *db = r->db;
    Version *state = r->state;
    if (r->live) return NACRE_OK;
    if (!state) return restore_corrupt(r, "a log without a backup before it");
    if (r->until.sequence && r->until.sequence < r->lsn)
        return env_fail(r->env, NACRE_NOT_FOUND, "restore: the backup has LSN %llu, which is later than %llu",
                        (unsigned long long)r->lsn, (unsigned long long)r->until.sequence);
    for (size_t i = 0; i < r->known_count; i++) segment_release(r->known[i]);
    r->known_count = 0;
    r->state = NULL;
    r->live = true;
    db->ids = r->ids;
    db->spool = &r->spool;
    TRY(restore_rebase(r, r->flushed));
    TRY(commit_version(db, state, r->flushed));
    feed_flushed(db, r->flushed);
    TRY(catalog_load(db));
    TRY(restore_replay_spool(r));
    db->spool = NULL;
    restore_drop_spool(r);
    return NACRE_OK;
}

/* ---- pieces ---- */

static nacre_status restore_piece(void *self, const BackupHeader *header, uint32_t kind, Span body) {
    Restore *r = self;
    if (header->kind == BACKUP_LOG) {
        if (kind == PIECE_HEADER) return restore_install(r);
        return restore_live_piece(r, kind, body);
    }
    switch (kind) {
    case PIECE_SEGMENT: return restore_segment(r, body);
    case PIECE_STATE: return restore_state(r, header, body);
    case PIECE_BATCH: return restore_spool(r, kind, body);
    case PIECE_BYTES: return r->segment ? restore_segment_bytes(r, body) : restore_spool(r, kind, body);
    default: return NACRE_OK;
    }
}

/* ---- beginning and end ---- */

static nacre_status restore_refuse(nacre_error *error, nacre_status status, const char *text) {
    if (error) {
        *error = (nacre_error){.code = status};
        snprintf(error->text, sizeof error->text, "%s", text);
    }
    return status;
}

static nacre_status restore_open(Restore *r, const char *path, const nacre_options *options, nacre_error *error) {
    Env *env = &r->alone;
    r->env = env;
    if (!path) return NACRE_OK;
    TRY(db_open_restoring(path, options, &r->db, error));
    r->env = &r->db->env;
    r->reader.from_start = true;
    r->reader.piece = restore_piece;
    r->reader.self = r;
    return NACRE_OK;
}

nacre_status restore_begin(const char *path, const nacre_options *options, const nacre_restore_options *until,
                           Restore **out, nacre_error *error) {
    Env env;
    nacre_options resolved;
    env_init(&env, NULL, options_allocator(options), UINT64_MAX);
    if (options_resolve(&env, options, &resolved) != NACRE_OK)
        return restore_refuse(error, env.error.code, env.error.text);
    if (until && until->struct_size != sizeof *until)
        return restore_refuse(error, NACRE_INVALID_ARGUMENT, "restore: struct_size of the options");
    if (until && until->sequence && until->time_ms)
        return restore_refuse(error, NACRE_INVALID_ARGUMENT, "restore: a sequence or a time, not both");
    Restore *r = env_alloc_zeroed(&env, sizeof *r);
    if (!r) return restore_refuse(error, NACRE_RESOURCE_EXHAUSTED, "restore: no memory");
    r->alone = env;
    if (until) r->until = *until;
    r->until.key = NULL; /* borrowed, as the other one is */
    const uint8_t *key = until && until->key ? until->key : resolved.encryption_key;
    if (key) memcpy(r->key, key, sizeof r->key);
    r->reader.key = key ? r->key : NULL;
    r->reader.sealed_only = until && until->key;
    nacre_status status = restore_open(r, path, options, error);
    if (status != NACRE_OK) {
        aead_wipe(r->key, sizeof r->key);
        env_free(&r->alone, r, sizeof *r);
        return status;
    }
    r->reader.env = r->env;
    *out = r;
    return NACRE_OK;
}

Env *restore_env(Restore *r) { return r->env; }

nacre_status restore_write(Restore *r, Span bytes) {
    if (r->failed) return env_fail(r->env, NACRE_MISUSE, "restore: an earlier failure ended it; abort");
    if (r->db) db_call(r->db);
    else env_clear(r->env);
    nacre_status status = backup_reader_write(&r->reader, bytes);
    r->failed = status != NACRE_OK;
    return status;
}

void restore_describe(const Restore *r, nacre_backup_info *info) {
    const BackupReader *reader = &r->reader;
    *info = (nacre_backup_info){.kind = (nacre_backup_kind)reader->ended.kind,
                                .sequence = reader->reached,
                                .base_sequence = reader->ended.base_lsn,
                                .segments = reader->segments,
                                .bytes = reader->total,
                                .token = {reader->token, reader->token_size}};
}

/* Was what was asked for reached? *lsn: with which the database goes on. */
static nacre_status restore_check_until(Restore *r, uint64_t *lsn) {
    const nacre_restore_options *until = &r->until;
    *lsn = r->reader.reached;
    if (until->sequence) {
        if (until->sequence > r->reader.reached)
            return env_fail(r->env, NACRE_NOT_FOUND, "restore: the streams end with LSN %llu, before %llu",
                            (unsigned long long)r->reader.reached, (unsigned long long)until->sequence);
        *lsn = until->sequence;
    }
    if (until->time_ms) {
        if (!r->timed || r->time_ms < until->time_ms)
            return env_fail(r->env, NACRE_NOT_FOUND, "restore: the streams tell no time as late as %llu; the last is %llu",
                            (unsigned long long)until->time_ms, (unsigned long long)r->time_ms);
        if (r->time_lsn < r->lsn)
            return env_fail(r->env, NACRE_NOT_FOUND, "restore: the backup has LSN %llu, at %llu it was %llu",
                            (unsigned long long)r->lsn, (unsigned long long)until->time_ms,
                            (unsigned long long)r->time_lsn);
        *lsn = r->time_lsn;
    }
    return NACRE_OK;
}

/* Everything into segments, both superblocks and both logs; the last header that is written
 * makes it a database (rule 1). */
static nacre_status restore_seal(Restore *r, uint64_t lsn) {
    Db *db = r->db;
    TRY(db_checkpoint(db));
    if (lsn < db->last_lsn) lsn = db->last_lsn;
    TRY(restore_rebase(r, lsn));
    for (int i = 0; i < 2; i++) {
        version_retain(db->version);
        TRY(commit_version(db, db->version, lsn));
    }
    if (db->version->feed.count == 0) feed_flushed(db, lsn);
    db->restoring = false;
    int active = (int)db->active->log;
    TRY(recover_reset_log(db, 1 - active, 0));
    TRY(recover_reset_log(db, active, 0));
    db->log_free[active] = false;
    return NACRE_OK;
}

static nacre_status restore_end(Restore *r) {
    uint64_t lsn = 0;
    if (r->failed) return env_fail(r->env, NACRE_MISUSE, "restore: an earlier failure ended it");
    TRY(backup_reader_end(&r->reader));
    if (!r->db) return NACRE_OK;
    TRY(restore_install(r));
    TRY(restore_check_until(r, &lsn));
    return restore_seal(r, lsn);
}

static void restore_clear(Restore *r) {
    ingest_free(r->load);
    version_release(r->state);
    restore_forget(r, 0, 0);
    if (r->db) r->db->spool = NULL;
    restore_drop_spool(r);
    backup_reader_clear(&r->reader);
    env_free(r->env, r->known, r->known_capacity * sizeof *r->known);
    env_free(r->env, r->batch, r->batch_capacity);
    env_free(r->env, r->value_record, r->value_record_size);
    Env alone = r->alone;
    aead_wipe(r->key, sizeof r->key);
    env_free(&alone, r, sizeof *r);
}

nacre_status restore_finish(Restore *r, Db **out, nacre_error *error) {
    Db *db = r->db;
    if (db) db_call(db);
    else env_clear(r->env);
    nacre_status status = restore_end(r);
    if (error) *error = status == NACRE_OK ? (nacre_error){NACRE_OK, ""} : r->env->error;
    restore_clear(r);
    if (!db) return status;
    if (status != NACRE_OK) db_discard(db);
    else if (out) *out = db;
    else status = db_close(db, error);
    return status;
}

void restore_abort(Restore *r) {
    if (!r) return;
    Db *db = r->db;
    restore_clear(r);
    if (db) db_discard(db);
}
