/* backup.c - writes streams of backup_format.h, piece by piece as they are asked for, from a
 * state that it holds: one Version, and the memtables as of one LSN. Writers go on meanwhile.
 * Knows nothing of where the bytes go. */
#include "db/backup.h"

#include "base/checksum.h"
#include "db/feed.h"
#include "host/crypt_stream.h"
#include "host/vfs_crypt.h"

enum {
    BACKUP_VERIFY = 32 << 20, /* bytes of a segment up to which it is verified before it is sent */
    BACKUP_MEMORY_PARTS = 4,  /* memtables are held while at least one of so many parts of memory stays free */
};

typedef enum BackupStage { STAGE_HEADER, STAGE_SEGMENTS, STAGE_STATE, STAGE_BATCHES, STAGE_LOG, STAGE_END, STAGE_DONE } BackupStage;

/* What encrypts the stream: the head first, then chunk after chunk. */
typedef struct BackupSealer {
    CryptStream stream;
    bool begun, ended;
    const uint8_t *out; /* the head, or the chunk */
    size_t size, taken; /* of it */
    uint64_t bytes;
    uint8_t chunk[SEALED_ROOM];
} BackupSealer;

struct Backup {
    Db *db;
    Backup *next, *previous;
    BackupHeader header;
    BackupStage stage;
    nacre_status failed;
    Version *version;    /* NULL: a log's stream */
    Memtable *tables[2]; /* oldest first; NULL: none */
    BackupToken base;
    /* the segment under way */
    size_t run, at;
    Segment *segment;    /* NULL: its SEGMENT comes next */
    int stream;
    uint64_t offset;
    BlobRef blob;        /* of a value that is verified as it is sent; size 0: none */
    uint8_t *table;
    size_t table_capacity;
    /* the batch under way */
    int log_table;
    bool log_begun;
    MemLog log;
    RecordBytes records;
    LogStream *log_stream;
    /* what comes out */
    uint8_t *piece;
    size_t capacity, size, taken;
    uint64_t chain, pieces, bytes, segments;
    uint8_t *token;
    size_t token_size;
    bool reading;
    BackupSealer *sealer; /* NULL: not encrypted */
};

/* ---- lists of segments ---- */

nacre_status backup_segments_add(Env *env, BackupSegments *list, BackupSegment segment) {
    void *items = list->items;
    TRY(env_grow(env, &items, &list->capacity, list->count + 1, sizeof segment));
    list->items = items;
    list->items[list->count++] = segment;
    return NACRE_OK;
}

static void backup_segments_sift(BackupSegment *items, size_t at, size_t count) {
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && items[child + 1].id > items[child].id) child++;
        if (items[child].id <= items[at].id) return;
        BackupSegment swap = items[at];
        items[at] = items[child];
        items[child] = swap;
    }
}

WRAPS void backup_segments_sort(BackupSegments *list) {
    for (size_t i = list->count / 2; i-- > 0;) backup_segments_sift(list->items, i, list->count);
    for (size_t end = list->count; end-- > 1;) {
        BackupSegment first = list->items[0];
        list->items[0] = list->items[end];
        list->items[end] = first;
        backup_segments_sift(list->items, 0, end);
    }
}

const BackupSegment *backup_segments_find(const BackupSegments *sorted, uint64_t id) {
    size_t low = 0, high = sorted->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (sorted->items[middle].id < id) low = middle + 1;
        else high = middle;
    }
    return low < sorted->count && sorted->items[low].id == id ? &sorted->items[low] : NULL;
}

void backup_segments_clear(Env *env, BackupSegments *list) {
    env_free(env, list->items, list->capacity * sizeof *list->items);
    *list = (BackupSegments){0};
}

/* ---- beginning ---- */

static void backup_drop_sealer(Backup *b) {
    if (!b->sealer) return;
    aead_wipe(b->sealer, sizeof *b->sealer);
    env_free(&b->db->env, b->sealer, sizeof *b->sealer);
    b->sealer = NULL;
}

nacre_status backup_encrypt(Backup *b, const uint8_t *key) {
    Env *env = &b->db->env;
    if (b->reading) return env_fail(env, NACRE_MISUSE, "backup: its encryption is said before it is read");
    if (!key) {
        backup_drop_sealer(b);
        return NACRE_OK;
    }
    if (!b->sealer && !(b->sealer = env_alloc_zeroed(env, sizeof *b->sealer))) return NACRE_RESOURCE_EXHAUSTED;
    crypt_stream_begin(&b->sealer->stream, env->vfs, key);
    return NACRE_OK;
}

static nacre_status backup_alloc(Db *db, Backup **out) {
    Backup *b = env_alloc_zeroed(&db->env, sizeof *b);
    if (!b) return NACRE_RESOURCE_EXHAUSTED;
    b->db = db;
    nacre_status status = db->crypt ? backup_encrypt(b, vfs_crypt_key(db->crypt)) : NACRE_OK;
    if (status != NACRE_OK) {
        env_free(&db->env, b, sizeof *b);
        return status;
    }
    b->next = db->backups;
    if (db->backups) db->backups->previous = b;
    db->backups = b;
    *out = b;
    return NACRE_OK;
}

/* The two memtables stay until they are sent. Where that would leave writers too little
 * memory, they go to segments first. */
static nacre_status backup_spare_memory(Db *db) {
    if (db->readonly || db->poisoned) return NACRE_OK;
    TRY(log_sync(db));
    uint64_t held = db->active->capacity + (db->frozen ? db->frozen->capacity : 0), budget = db->env.memory_budget;
    uint64_t wanted = held + 2 * db->options.memtable_size;
    return wanted > budget - budget / BACKUP_MEMORY_PARTS ? db_checkpoint(db) : NACRE_OK;
}

static void backup_hold(Backup *b) {
    Db *db = b->db;
    Memtable *tables[2] = {db->frozen, db->active};
    b->version = db->version;
    version_retain(b->version);
    b->header.flushed_lsn = db->durable[0].superblock.flushed_lsn;
    /* After a failed sync: what reads show. */
    b->header.lsn = db->poisoned && db->active->last_lsn > b->header.flushed_lsn ? db->active->last_lsn : db->last_lsn;
    for (int i = 0; i < 2; i++) {
        if (!tables[i] || tables[i]->record_count == 0) continue;
        memtable_retain(b->tables[i] = tables[i]);
    }
}

static nacre_status backup_take_base(Backup *b, Span base) {
    Env *env = &b->db->env;
    TRY(backup_token_decode(env, base, &b->base));
    const BackupHeader *of = &b->base.header;
    if (of->kind == BACKUP_LOG)
        return env_fail(env, NACRE_INVALID_ARGUMENT, "backup: the base is a log; give the last full or incremental backup");
    if (memcmp(of->database_id, b->header.database_id, sizeof of->database_id) != 0)
        return env_fail(env, NACRE_INVALID_ARGUMENT, "backup: the base is of another database than %s", b->db->name);
    if (of->lsn > b->header.lsn)
        return env_fail(env, NACRE_INVALID_ARGUMENT, "backup: the base has LSN %llu, %s is only at %llu",
                        (unsigned long long)of->lsn, b->db->name, (unsigned long long)b->header.lsn);
    b->header.kind = BACKUP_INCREMENTAL;
    b->header.base_lsn = of->lsn;
    b->header.base_checksum = b->base.checksum;
    return NACRE_OK;
}

nacre_status backup_begin(Db *db, Span base, Backup **out) {
    Backup *b = NULL;
    TRY(backup_spare_memory(db));
    TRY(backup_alloc(db, &b));
    b->header.kind = BACKUP_FULL;
    memcpy(b->header.database_id, db->database_id, sizeof db->database_id);
    backup_hold(b);
    nacre_status status = base.size ? backup_take_base(b, base) : NACRE_OK;
    if (status != NACRE_OK) backup_end(b);
    else *out = b;
    return status;
}

nacre_status backup_begin_log(Db *db, LogStream *stream, const BackupHeader *header, Backup **out) {
    Backup *b = NULL;
    nacre_status status = backup_alloc(db, &b);
    if (status != NACRE_OK) {
        log_stream_free(stream, false);
        return status;
    }
    b->log_stream = stream;
    b->header = *header;
    *out = b;
    return NACRE_OK;
}

void backup_end(Backup *b) {
    if (!b) return;
    Db *db = b->db;
    Env *env = &db->env;
    if (b->next) b->next->previous = b->previous;
    if (b->previous) b->previous->next = b->next;
    else db->backups = b->next;
    log_stream_free(b->log_stream, false);
    for (int i = 0; i < 2; i++) memtable_release(b->tables[i]);
    bool held = b->version != NULL;
    version_release(b->version);
    if (held && !db->readonly && !db->poisoned) commit_recount(db);
    backup_segments_clear(env, &b->base.segments);
    env_free(env, b->table, b->table_capacity);
    env_free(env, b->piece, b->capacity);
    env_free(env, b->token, b->token_size);
    backup_drop_sealer(b);
    env_free(env, b, sizeof *b);
}

void backups_free(Db *db) {
    while (db->backups) backup_end(db->backups);
}

Db *backup_db(const Backup *b) { return b->db; }

/* ---- pieces ---- */

/* Room for a piece with `size` bytes of body; *body is where it goes. */
static nacre_status backup_piece(Backup *b, size_t size, uint8_t **body) {
    void *piece = b->piece;
    size_t preface = b->stage == STAGE_HEADER ? BACKUP_PREFACE : 0;
    if (size > BACKUP_BODY_MAX)
        return env_fail(&b->db->env, NACRE_RESOURCE_EXHAUSTED, "backup: a list of %zu bytes", size);
    TRY(env_grow(&b->db->env, &piece, &b->capacity, preface + BACKUP_PIECE_HEAD + size, 1));
    b->piece = piece;
    *body = b->piece + preface + BACKUP_PIECE_HEAD;
    return NACRE_OK;
}

/* What was put there is the next piece. */
static void backup_piece_done(Backup *b, uint32_t kind, size_t size) {
    size_t preface = b->stage == STAGE_HEADER ? BACKUP_PREFACE : 0;
    uint8_t *piece = b->piece + preface;
    put_u32(piece + 8, kind);
    put_u32(piece + 12, (uint32_t)(BACKUP_PIECE_HEAD + size));
    b->chain = checksum64(b->chain, piece + 8, BACKUP_PIECE_HEAD - 8 + size);
    put_u64(piece, b->chain);
    b->size = preface + BACKUP_PIECE_HEAD + size;
    b->taken = 0;
    b->pieces++;
    b->bytes += b->size;
}

static nacre_status backup_header(Backup *b) {
    uint8_t *body = NULL;
    TRY(backup_piece(b, BACKUP_HEADER_SIZE, &body));
    ByteWriter preface = {b->piece, b->piece + BACKUP_PREFACE}, w = {body, body + BACKUP_HEADER_SIZE};
    bw_bytes(&preface, span_of(BACKUP_MAGIC, 8));
    bw_u32(&preface, BACKUP_VERSION);
    bw_u32(&preface, 0);
    bw_u32(&w, b->header.kind);
    bw_u32(&w, 0);
    bw_bytes(&w, span_of(b->header.database_id, 16));
    bw_u64(&w, b->header.lsn);
    bw_u64(&w, b->header.flushed_lsn);
    bw_u64(&w, b->header.base_lsn);
    bw_u64(&w, b->header.base_checksum);
    backup_piece_done(b, PIECE_HEADER, BACKUP_HEADER_SIZE);
    b->stage = b->log_stream ? STAGE_LOG : STAGE_SEGMENTS;
    return NACRE_OK;
}

/* ---- segments ---- */

static void backup_note_problem(void *self, const char *where, uint64_t offset, const char *what) {
    (void)env_fail(self, NACRE_CORRUPT, "backup: %s: offset %llu: %s", where, (unsigned long long)offset, what);
}

/* The value of a segment that has no other row. */
static nacre_status backup_find_blob(Backup *b, Segment *segment) {
    Db *db = b->db;
    CacheEntry *meta = NULL, *pin = NULL;
    Block block;
    Entry entry;
    TRY(segment_pin_meta(segment, &meta));
    nacre_status status = segment_block(segment, 0, &block, &pin);
    if (status == NACRE_OK) {
        entry = (Entry){.key = segment_first_key(segment)};
        segment_entry(segment, &block, 0, &entry);
        if ((entry.flags & ENTRY_PIECES) && entry.blob.offset == 0) {
            status = segment_blob_table(segment, &entry.blob, &b->table, &b->table_capacity);
            b->blob = entry.blob;
        }
        cache_unpin(&db->cache, pin);
    }
    cache_unpin(&db->cache, meta);
    return status;
}

/* A backup of damage would only be found when it is needed. */
static nacre_status backup_check_segment(Backup *b, Segment *segment) {
    uint64_t problems = 0;
    b->blob.size = 0;
    if (segment_is_solo(segment) && segment_bytes(segment) > BACKUP_VERIFY) return backup_find_blob(b, segment);
    TRY(segment_verify(segment, backup_note_problem, &b->db->env, &problems));
    return problems ? NACRE_CORRUPT : NACRE_OK;
}

static size_t backup_segment_size(const Segment *segment) {
    size_t size = BACKUP_SEGMENT_HEAD + 8 + segment->first_key_size + segment->last_key_size;
    for (int k = 0; k < STREAM_COUNT; k++) size += segment->streams[k].size ? 16 : 0;
    return size;
}

static nacre_status backup_segment_head(Backup *b, Segment *segment) {
    uint8_t *body = NULL;
    size_t size = backup_segment_size(segment);
    uint32_t streams = 0;
    TRY(backup_check_segment(b, segment));
    TRY(backup_piece(b, size, &body));
    for (int k = 0; k < STREAM_COUNT; k++) streams += segment->streams[k].size > 0;
    ByteWriter w = {body, body + size};
    bw_u64(&w, segment->id);
    bw_u32(&w, segment->page_size);
    bw_u32(&w, streams);
    bw_u64(&w, segment->rows);
    bw_u64(&w, segment->deletes);
    bw_u64(&w, segment->first_expiry);
    bw_u64(&w, segment->meta_offset);
    bw_u64(&w, segment->meta_size);
    bw_u64(&w, segment->meta_checksum);
    bw_u32(&w, (uint32_t)segment->first_key_size);
    bw_bytes(&w, segment_first_key(segment));
    bw_u32(&w, (uint32_t)segment->last_key_size);
    bw_bytes(&w, segment_last_key(segment));
    for (uint32_t k = 0; k < STREAM_COUNT; k++) {
        if (segment->streams[k].size == 0) continue;
        bw_u32(&w, k);
        bw_u32(&w, 0);
        bw_u64(&w, segment->streams[k].size);
    }
    ASSERT(w.at == w.end);
    backup_piece_done(b, PIECE_SEGMENT, size);
    b->segment = segment;
    b->stream = 0;
    b->offset = 0;
    b->segments++;
    return NACRE_OK;
}

static nacre_status backup_segment_bytes(Backup *b) {
    Segment *segment = b->segment;
    const Stream *stream = &segment->streams[b->stream];
    uint64_t left = stream->size - b->offset, index = b->offset / BACKUP_PIECE;
    size_t size = left < BACKUP_PIECE ? (size_t)left : BACKUP_PIECE;
    uint8_t *body = NULL;
    TRY(backup_piece(b, BACKUP_PIECE, &body));
    TRY(data_read(&b->db->data, &stream->extents, b->offset, body, size));
    if (b->stream == STREAM_BLOBS && b->offset < b->blob.size) { /* pieces of both are of one size */
        uint64_t rest = b->blob.size - b->offset;
        if (checksum64(index, body, rest < size ? (size_t)rest : size) != get_u64(b->table + 8 * (size_t)index))
            return env_fail(&b->db->env, NACRE_CORRUPT, "backup: segment %llu: piece %llu of a value: checksum",
                            (unsigned long long)segment->id, (unsigned long long)index);
    }
    backup_piece_done(b, PIECE_BYTES, size);
    b->offset += size;
    return NACRE_OK;
}

static bool backup_base_has(const Backup *b, const Segment *segment) {
    const BackupSegment *found = backup_segments_find(&b->base.segments, segment->id);
    return found && found->meta_checksum == segment->meta_checksum;
}

/* The next segment of the version that is to be sent; NULL: there is none. */
static Segment *backup_next_segment(Backup *b) {
    for (; b->run < version_run_count(b->version); b->run++, b->at = 0) {
        const Run *run = version_run_at(b->version, b->run);
        while (b->at < run->count) {
            Segment *segment = run->segments[b->at++];
            if (!backup_base_has(b, segment)) return segment;
        }
    }
    return NULL;
}

static nacre_status backup_segments(Backup *b) {
    if (b->segment) {
        while (b->stream < STREAM_COUNT && b->offset == b->segment->streams[b->stream].size) b->stream++, b->offset = 0;
        if (b->stream < STREAM_COUNT) return backup_segment_bytes(b);
        b->segment = NULL;
    }
    Segment *next = backup_next_segment(b);
    if (next) return backup_segment_head(b, next);
    b->stage = STAGE_STATE;
    return NACRE_OK;
}

static nacre_status backup_state(Backup *b) {
    const Version *version = b->version;
    size_t runs = version->count + (version->feed.count > 0), size = 8;
    uint8_t *body = NULL;
    for (size_t i = 0; i < runs; i++) {
        const Run *run = version_run_at(version, i);
        size += 20 + run->above_size + 8 * run->count;
    }
    TRY(backup_piece(b, size, &body));
    ByteWriter w = {body, body + size};
    bw_u32(&w, (uint32_t)runs);
    bw_u32(&w, 0);
    for (size_t i = 0; i < runs; i++) {
        const Run *run = version_run_at(version, i);
        bw_u64(&w, run->id);
        bw_u32(&w, run->tier);
        bw_u32(&w, (uint32_t)run->count);
        bw_u32(&w, (uint32_t)run->above_size);
        bw_bytes(&w, span_of(run->above, run->above_size));
        for (size_t s = 0; s < run->count; s++) bw_u64(&w, run->segments[s]->id);
    }
    backup_piece_done(b, PIECE_STATE, size);
    b->stage = STAGE_BATCHES;
    return NACRE_OK;
}

/* ---- batches ---- */

size_t record_bytes_copy(RecordBytes *records, uint8_t *out, size_t room) {
    size_t copied = 0;
    while (records->at < records->end && copied < room) {
        size_t whole = (size_t)record_size(record_key_size(records->at), record_value_size(records->at));
        size_t from = records->within, part = whole - from < room - copied ? whole - from : room - copied;
        memcpy(out + copied, records->at + from, part);
        for (size_t i = 8; i < RECORD_HEAD; i++) /* link and stamp */
            if (i >= from && i < from + part) out[copied + i - from] = 0;
        copied += part;
        records->within += part;
        if (records->within < whole) break;
        records->at += whole;
        records->within = 0;
    }
    return copied;
}

static nacre_status backup_record_bytes(Backup *b) {
    uint8_t *body = NULL;
    TRY(backup_piece(b, BACKUP_PIECE, &body));
    backup_piece_done(b, PIECE_BYTES, record_bytes_copy(&b->records, body, BACKUP_PIECE));
    return NACRE_OK;
}

static nacre_status backup_batches(Backup *b) {
    if (b->records.at < b->records.end) return backup_record_bytes(b);
    for (; b->log_table < 2; b->log_table++, b->log_begun = false) {
        Memtable *table = b->tables[b->log_table];
        MemBatch batch;
        if (!table) continue;
        if (!b->log_begun) mem_log_init(&b->log, table, 0);
        b->log_begun = true;
        if (mem_log_next(&b->log, b->header.flushed_lsn, b->header.lsn, &batch)) {
            uint8_t *body = NULL;
            TRY(backup_piece(b, 8, &body));
            put_u64(body, batch.lsn);
            backup_piece_done(b, PIECE_BATCH, 8);
            b->records = (RecordBytes){table->arena + batch.at, table->arena + batch.end, 0};
            return NACRE_OK;
        }
        memtable_release(table);
        b->tables[b->log_table] = NULL;
    }
    b->stage = STAGE_END;
    return NACRE_OK;
}

static nacre_status backup_log(Backup *b) {
    uint8_t *body = NULL;
    uint32_t kind = 0;
    size_t size = 0;
    TRY(backup_piece(b, BACKUP_PIECE, &body));
    TRY(log_stream_next(b->log_stream, &kind, body, &size));
    if (kind) backup_piece_done(b, kind, size);
    else b->stage = STAGE_END;
    return NACRE_OK;
}

/* ---- the end ---- */

static nacre_status backup_finish(Backup *b) {
    Env *env = &b->db->env;
    uint64_t count = b->version ? version_segments(b->version) : 0;
    uint64_t size = BACKUP_END_HEAD + 16 * count + BACKUP_END_TAIL;
    uint8_t *body = NULL;
    TRY(backup_piece(b, size > BACKUP_BODY_MAX ? SIZE_MAX : (size_t)size, &body));
    if (!(b->token = env_alloc(env, BACKUP_PIECE_HEAD + (size_t)size))) return NACRE_RESOURCE_EXHAUSTED;
    b->token_size = BACKUP_PIECE_HEAD + (size_t)size;
    ByteWriter w = {body, body + size};
    bw_bytes(&w, span_of(b->header.database_id, 16));
    bw_u32(&w, b->header.kind);
    bw_u32(&w, 0);
    bw_u64(&w, b->header.lsn);
    bw_u64(&w, b->pieces);
    bw_u64(&w, b->bytes);
    bw_u64(&w, b->chain);
    bw_u64(&w, count);
    for (size_t i = 0; b->version && i < version_run_count(b->version); i++) {
        const Run *run = version_run_at(b->version, i);
        for (size_t s = 0; s < run->count; s++) {
            bw_u64(&w, run->segments[s]->id);
            bw_u64(&w, run->segments[s]->meta_checksum);
        }
    }
    bw_u32(&w, (uint32_t)b->token_size);
    bw_u32(&w, BACKUP_END_MAGIC);
    ASSERT(w.at == w.end);
    backup_piece_done(b, PIECE_END, (size_t)size);
    memcpy(b->token, b->piece, b->token_size);
    b->stage = STAGE_DONE;
    return NACRE_OK;
}

static nacre_status backup_step(Backup *b) {
    switch (b->stage) {
    case STAGE_HEADER: return backup_header(b);
    case STAGE_SEGMENTS: return backup_segments(b);
    case STAGE_STATE: return backup_state(b);
    case STAGE_BATCHES: return backup_batches(b);
    case STAGE_LOG: return backup_log(b);
    case STAGE_END: return backup_finish(b);
    case STAGE_DONE: break;
    }
    return NACRE_OK;
}

/* Bytes of the stream as it is without encryption; fewer than `size`: it ends with them. */
static nacre_status backup_read_plain(Backup *b, uint8_t *into, size_t size, size_t *got) {
    size_t done = 0;
    while (done < size) {
        if (b->taken == b->size) {
            if (b->stage == STAGE_DONE) break;
            TRY(backup_step(b));
            continue;
        }
        size_t part = b->size - b->taken < size - done ? b->size - b->taken : size - done;
        memcpy(into + done, b->piece + b->taken, part);
        b->taken += part;
        done += part;
    }
    *got = done;
    return NACRE_OK;
}

/* The head, or the next chunk. */
static nacre_status backup_seal_next(Backup *b) {
    BackupSealer *s = b->sealer;
    size_t size = 0;
    s->taken = 0;
    if (!s->begun) {
        s->begun = true;
        s->out = s->stream.head;
        s->size = SEALED_HEAD;
        return NACRE_OK;
    }
    TRY(backup_read_plain(b, s->chunk + SEALED_CHUNK, SEALED_TEXT, &size));
    s->ended = size < SEALED_TEXT;
    crypt_stream_seal(&s->stream, s->chunk, size, s->ended);
    s->out = s->chunk;
    s->size = SEALED_CHUNK + size;
    return NACRE_OK;
}

static nacre_status backup_read_sealed(Backup *b, uint8_t *into, size_t size, size_t *got) {
    BackupSealer *s = b->sealer;
    size_t done = 0;
    while (done < size) {
        if (s->taken == s->size) {
            if (s->ended) break;
            TRY(backup_seal_next(b));
        }
        size_t part = s->size - s->taken < size - done ? s->size - s->taken : size - done;
        memcpy(into + done, s->out + s->taken, part);
        s->taken += part;
        done += part;
    }
    s->bytes += done;
    *got = done;
    return NACRE_OK;
}

nacre_status backup_read(Backup *b, uint8_t *into, size_t size, size_t *got) {
    if (b->failed != NACRE_OK)
        return env_fail(&b->db->env, b->failed, "backup: an earlier failure ended it; begin another one");
    b->reading = true;
    b->failed = b->sealer ? backup_read_sealed(b, into, size, got) : backup_read_plain(b, into, size, got);
    if (b->failed != NACRE_OK || *got == size) return b->failed;
    log_stream_free(b->log_stream, true); /* all of it was taken */
    b->log_stream = NULL;
    return NACRE_OK;
}

void backup_describe(const Backup *b, nacre_backup_info *info) {
    *info = (nacre_backup_info){.kind = (nacre_backup_kind)b->header.kind,
                                .sequence = b->header.lsn,
                                .base_sequence = b->header.base_lsn,
                                .segments = b->segments,
                                .bytes = b->sealer ? b->sealer->bytes : b->bytes,
                                .token = {b->token, b->token_size}};
}
