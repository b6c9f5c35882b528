/* backup_read.c - streams of backup_format.h as they come in: every piece is checked before
 * anybody sees it, and that pieces and streams follow each other as they must. Knows nothing
 * of databases: what is right here may still not fit one. */
#include "db/backup.h"

#include "base/checksum.h"
#include "host/crypt_stream.h"

/* An encrypted stream: its head, then chunk by chunk. */
typedef struct SealedReader {
    CryptStream stream;
    bool opened; /* the head is whole */
    size_t used; /* of the head, or of the chunk under way */
    uint8_t chunk[SEALED_ROOM];
} SealedReader;

static nacre_status reader_corrupt(BackupReader *r, const char *what) {
    return env_fail(r->env, NACRE_CORRUPT, "backup: byte %llu of stream %u: %s", (unsigned long long)r->bytes,
                    r->streams + 1, what);
}

/* ---- END ---- */

static nacre_status token_decode_segments(Env *env, ByteReader *r, uint64_t count, BackupSegments *list) {
    nacre_status status = NACRE_OK;
    for (uint64_t i = 0; i < count && status == NACRE_OK && br_ok(r); i++) {
        uint64_t id = br_u64(r);
        status = backup_segments_add(env, list, (BackupSegment){id, br_u64(r)});
    }
    return status;
}

nacre_status backup_token_decode(Env *env, Span bytes, BackupToken *token) {
    static const char what[] = "backup: what is given as base does not end with the end of a backup";
    *token = (BackupToken){0};
    size_t least = BACKUP_PIECE_HEAD + BACKUP_END_HEAD + BACKUP_END_TAIL;
    if (bytes.size < least || get_u32(bytes.data + bytes.size - 4) != BACKUP_END_MAGIC)
        return env_fail(env, NACRE_INVALID_ARGUMENT, "%s", what);
    size_t size = get_u32(bytes.data + bytes.size - 8);
    if (size < least || size > bytes.size) return env_fail(env, NACRE_INVALID_ARGUMENT, "%s", what);
    const uint8_t *piece = bytes.data + bytes.size - size;
    if (get_u32(piece + 8) != PIECE_END || get_u32(piece + 12) != size)
        return env_fail(env, NACRE_INVALID_ARGUMENT, "%s", what);
    ByteReader r = br_over(span_of(piece + BACKUP_PIECE_HEAD, size - BACKUP_PIECE_HEAD - BACKUP_END_TAIL));
    memcpy(token->header.database_id, br_bytes(&r, 16).data, 16);
    token->header.kind = br_u32(&r);
    (void)br_u32(&r);
    token->header.lsn = br_u64(&r);
    (void)br_bytes(&r, 16);
    uint64_t before = br_u64(&r), count = br_u64(&r);
    token->checksum = get_u64(piece);
    if (checksum64(before, piece + 8, size - 8) != token->checksum || br_left(&r) / 16 != count || br_left(&r) % 16)
        return env_fail(env, NACRE_CORRUPT, "backup: the end of the base is damaged");
    nacre_status status = token_decode_segments(env, &r, count, &token->segments);
    if (status != NACRE_OK) backup_segments_clear(env, &token->segments);
    else backup_segments_sort(&token->segments);
    return status;
}

/* ---- pieces ---- */

static bool reader_is_log(const BackupReader *r) { return r->header.kind == BACKUP_LOG; }

/* Does the stream go on from those before it? */
static nacre_status reader_check_follows(BackupReader *r) {
    const BackupHeader *h = &r->header;
    if (r->streams == 0) {
        if (r->from_start && h->kind != BACKUP_FULL)
            return env_fail(r->env, NACRE_INVALID_ARGUMENT, "backup: the first stream must be a full backup, this is %s",
                            h->kind == BACKUP_LOG ? "a log" : "an incremental one");
        return NACRE_OK;
    }
    if (h->kind == BACKUP_FULL)
        return env_fail(r->env, NACRE_INVALID_ARGUMENT, "backup: stream %u is another full backup", r->streams + 1);
    if (memcmp(h->database_id, r->ended.database_id, sizeof h->database_id) != 0)
        return env_fail(r->env, NACRE_INVALID_ARGUMENT, "backup: stream %u is of another database", r->streams + 1);
    if (h->kind == BACKUP_INCREMENTAL && (r->ended.kind == BACKUP_LOG || h->base_checksum != r->ended_checksum))
        return env_fail(r->env, NACRE_INVALID_ARGUMENT,
                        "backup: stream %u is based on a backup at LSN %llu that is not the one before it",
                        r->streams + 1, (unsigned long long)h->base_lsn);
    if (h->kind == BACKUP_LOG && h->base_lsn > r->reached)
        return env_fail(r->env, NACRE_INVALID_ARGUMENT,
                        "backup: stream %u, a log, begins after LSN %llu, those before it end with %llu: one is missing",
                        r->streams + 1, (unsigned long long)h->base_lsn, (unsigned long long)r->reached);
    return NACRE_OK;
}

static nacre_status reader_header(BackupReader *r, Span body) {
    BackupHeader *h = &r->header;
    ByteReader b = br_over(body);
    if (body.size != BACKUP_HEADER_SIZE) return reader_corrupt(r, "header");
    h->kind = br_u32(&b);
    (void)br_u32(&b);
    memcpy(h->database_id, br_bytes(&b, 16).data, 16);
    h->lsn = br_u64(&b);
    h->flushed_lsn = br_u64(&b);
    h->base_lsn = br_u64(&b);
    h->base_checksum = br_u64(&b);
    if (h->kind < BACKUP_FULL || h->kind > BACKUP_LOG)
        return env_fail(r->env, NACRE_VERSION, "backup: a stream of a later version");
    if (h->flushed_lsn > h->lsn || h->base_lsn > h->lsn) return reader_corrupt(r, "header");
    r->last_lsn = reader_is_log(r) ? h->base_lsn : h->flushed_lsn;
    r->mark_lsn = r->mark_ms = r->left = 0;
    r->state_seen = false;
    return reader_check_follows(r);
}

static nacre_status reader_segment(BackupReader *r, Span body) {
    ByteReader b = br_over(body);
    uint64_t id = br_u64(&b);
    (void)br_u32(&b);
    uint32_t streams = br_u32(&b);
    (void)br_bytes(&b, 40);
    uint64_t meta_checksum = br_u64(&b);
    (void)br_bytes(&b, br_u32(&b));
    (void)br_bytes(&b, br_u32(&b));
    uint64_t total = 0;
    if (streams > STREAM_COUNT) return env_fail(r->env, NACRE_VERSION, "backup: a segment of a later version");
    for (uint32_t i = 0; i < streams; i++) {
        (void)br_u64(&b);
        uint64_t size = br_u64(&b);
        if (size > INT64_MAX / STREAM_COUNT) return reader_corrupt(r, "segment");
        total += size;
    }
    if (!br_ok(&b) || br_left(&b) || total == 0 || r->state_seen) return reader_corrupt(r, "segment");
    r->left = total;
    return backup_segments_add(r->env, &r->shipped, (BackupSegment){id, meta_checksum});
}

static nacre_status reader_state(BackupReader *r, Span body) {
    ByteReader b = br_over(body);
    uint32_t runs = br_u32(&b);
    (void)br_u32(&b);
    if (r->state_seen) return reader_corrupt(r, "two states");
    r->state_seen = true;
    for (uint32_t i = 0; i < runs && br_ok(&b); i++) {
        (void)br_bytes(&b, 12);
        uint32_t count = br_u32(&b);
        (void)br_bytes(&b, br_u32(&b));
        for (uint32_t s = 0; s < count && br_ok(&b); s++)
            TRY(backup_segments_add(r->env, &r->state, (BackupSegment){br_u64(&b), 0}));
    }
    return br_ok(&b) && !br_left(&b) ? NACRE_OK : reader_corrupt(r, "state");
}

/* A batch or a load: LSNs rise, and in a log a time was told. */
static nacre_status reader_commit(BackupReader *r, Span body) {
    if (body.size != 8 || (!reader_is_log(r) && !r->state_seen)) return reader_corrupt(r, "batch");
    uint64_t lsn = get_u64(body.data);
    if (lsn <= r->last_lsn || lsn > r->header.lsn) return reader_corrupt(r, "batch: LSN");
    if (reader_is_log(r) && lsn > r->mark_lsn) return reader_corrupt(r, "batch: no time was told");
    r->last_lsn = lsn;
    return NACRE_OK;
}

static nacre_status reader_mark(BackupReader *r, Span body) {
    if (body.size != 16) return reader_corrupt(r, "mark");
    uint64_t lsn = get_u64(body.data), ms = get_u64(body.data + 8);
    if (lsn < r->mark_lsn || ms < r->mark_ms || lsn > r->header.lsn) return reader_corrupt(r, "mark");
    r->mark_lsn = lsn;
    r->mark_ms = ms;
    return NACRE_OK;
}

static nacre_status reader_value(BackupReader *r, Span body) {
    if (body.size < 8 || get_u64(body.data) == 0 || get_u64(body.data) > LIMIT_STREAM_SIZE)
        return reader_corrupt(r, "value");
    r->left = get_u64(body.data);
    return NACRE_OK;
}

/* Every segment of the state is there, or (of an incremental one) in its base. */
static nacre_status reader_check_segments(BackupReader *r, const BackupToken *token) {
    backup_segments_sort(&r->shipped);
    backup_segments_sort(&r->state);
    if (token->segments.count != r->state.count) return reader_corrupt(r, "end: segments");
    size_t used = 0;
    for (size_t i = 0; i < r->state.count; i++) {
        uint64_t id = r->state.items[i].id;
        const BackupSegment *here = backup_segments_find(&r->shipped, id);
        if (token->segments.items[i].id != id || (i && r->state.items[i - 1].id == id) ||
            (here ? here->meta_checksum != token->segments.items[i].meta_checksum : r->header.kind == BACKUP_FULL))
            return reader_corrupt(r, "end: segments");
        used += here != NULL;
    }
    return used == r->shipped.count ? NACRE_OK : reader_corrupt(r, "end: segments");
}

static nacre_status reader_check_end(BackupReader *r, Span piece, const BackupToken *token) {
    const BackupHeader *h = &r->header;
    const uint8_t *body = piece.data + BACKUP_PIECE_HEAD;
    if (token->header.kind != h->kind || token->header.lsn != h->lsn ||
        memcmp(token->header.database_id, h->database_id, sizeof h->database_id) != 0)
        return reader_corrupt(r, "end: of another stream");
    if (get_u64(body + 32) != r->pieces || get_u64(body + 40) != r->bytes) return reader_corrupt(r, "end: counts");
    if (reader_is_log(r)) return r->mark_lsn == h->lsn ? NACRE_OK : reader_corrupt(r, "end: no time was told");
    return r->state_seen ? reader_check_segments(r, token) : reader_corrupt(r, "end: no state");
}

static nacre_status reader_keep_token(BackupReader *r, Span piece) {
    uint8_t *copy = env_alloc(r->env, piece.size);
    if (!copy) return NACRE_RESOURCE_EXHAUSTED;
    memcpy(copy, piece.data, piece.size);
    env_free(r->env, r->token, r->token_size);
    r->token = copy;
    r->token_size = piece.size;
    return NACRE_OK;
}

static nacre_status reader_end(BackupReader *r, Span piece) {
    BackupToken token = {0};
    nacre_status status = NACRE_OK;
    TRY_OUT(backup_token_decode(r->env, piece, &token));
    TRY_OUT(reader_check_end(r, piece, &token));
    if (!reader_is_log(r)) {
        TRY_OUT(reader_keep_token(r, piece));
        r->ended_checksum = token.checksum;
    }
    r->ended = r->header;
    if (r->header.lsn > r->reached) r->reached = r->header.lsn;
    r->segments += r->shipped.count;
    r->in_stream = false;
    r->streams++;
    r->shipped.count = r->state.count = 0;
out:
    backup_segments_clear(r->env, &token.segments);
    return status;
}

/* May a piece of this kind stand here? */
static bool reader_expects(const BackupReader *r, uint32_t kind) {
    if (r->last == 0) return kind == PIECE_HEADER;
    if (r->left > 0) return kind == PIECE_BYTES;
    bool log = reader_is_log(r);
    switch (kind) {
    case PIECE_SEGMENT:
    case PIECE_STATE: return !log;
    case PIECE_BATCH:
    case PIECE_END: return true;
    case PIECE_LOAD:
    case PIECE_MARK: return log;
    case PIECE_VALUE: return r->last == PIECE_LOAD || r->last == PIECE_VALUE;
    case PIECE_BYTES: return r->last == PIECE_BATCH || r->last == PIECE_LOAD || r->last == PIECE_VALUE;
    default: return false;
    }
}

static nacre_status reader_bytes(BackupReader *r, Span body) {
    if (body.size == 0 || body.size > BACKUP_PIECE) return reader_corrupt(r, "bytes");
    if (r->last == PIECE_SEGMENT || r->left > 0) {
        if (body.size > r->left) return reader_corrupt(r, "bytes");
        r->left -= body.size;
    }
    return NACRE_OK;
}

static nacre_status reader_piece(BackupReader *r, Span piece) {
    uint32_t kind = get_u32(piece.data + 8);
    Span body = span_of(piece.data + BACKUP_PIECE_HEAD, piece.size - BACKUP_PIECE_HEAD);
    uint64_t checksum = checksum64(r->chain, piece.data + 8, piece.size - 8);
    if (checksum != get_u64(piece.data)) return reader_corrupt(r, "checksum");
    if (!reader_expects(r, kind)) return reader_corrupt(r, "a piece that does not belong here");
    switch (kind) {
    case PIECE_HEADER: TRY(reader_header(r, body)); break;
    case PIECE_SEGMENT: TRY(reader_segment(r, body)); break;
    case PIECE_STATE: TRY(reader_state(r, body)); break;
    case PIECE_BATCH:
    case PIECE_LOAD: TRY(reader_commit(r, body)); break;
    case PIECE_MARK: TRY(reader_mark(r, body)); break;
    case PIECE_VALUE: TRY(reader_value(r, body)); break;
    case PIECE_BYTES: TRY(reader_bytes(r, body)); break;
    case PIECE_END: TRY(reader_end(r, piece)); break;
    default: break;
    }
    if (r->piece) TRY(r->piece(r->self, &r->header, kind, body));
    if (kind != PIECE_BYTES) r->last = kind == PIECE_END ? 0 : kind;
    r->chain = checksum;
    r->pieces++;
    r->bytes += piece.size;
    return NACRE_OK;
}

/* ---- bytes ---- */

/* How many bytes make up what is under way, as far as is known. */
static nacre_status reader_wants(BackupReader *r, size_t *wants) {
    *wants = r->in_stream ? BACKUP_PIECE_HEAD : BACKUP_PREFACE;
    if (!r->in_stream || r->used < BACKUP_PIECE_HEAD) return NACRE_OK;
    uint32_t kind = get_u32(r->buffer + 8), size = get_u32(r->buffer + 12);
    uint32_t most = kind == PIECE_BYTES || kind == PIECE_VALUE ? BACKUP_PIECE : BACKUP_BODY_MAX;
    if (size < BACKUP_PIECE_HEAD || size - BACKUP_PIECE_HEAD > most) return reader_corrupt(r, "size of a piece");
    *wants = size;
    return NACRE_OK;
}

static nacre_status reader_begin_sealed(BackupReader *r) {
    if (r->sealed) return reader_corrupt(r, "an encrypted stream within another");
    if (!r->key) return env_fail(r->env, NACRE_PERMISSION, "backup: stream %u is encrypted, and no key was given", r->streams + 1);
    if (!(r->sealed = env_alloc_zeroed(r->env, sizeof *r->sealed))) return NACRE_RESOURCE_EXHAUSTED;
    memcpy(r->sealed->stream.head, r->buffer, SEALED_PREFACE);
    r->sealed->used = SEALED_PREFACE;
    return NACRE_OK;
}

static nacre_status reader_preface(BackupReader *r) {
    r->bytes = r->pieces = r->chain = 0;
    r->last = 0;
    if (memcmp(r->buffer, SEALED_MAGIC, 8) == 0) return reader_begin_sealed(r);
    if (memcmp(r->buffer, BACKUP_MAGIC, 8) != 0) return reader_corrupt(r, "this is no backup of Nacre");
    if (get_u32(r->buffer + 8) != BACKUP_VERSION || get_u32(r->buffer + 12) != 0)
        return env_fail(r->env, NACRE_VERSION, "backup: of format version %u, this program reads %d",
                        get_u32(r->buffer + 8), BACKUP_VERSION);
    if (r->sealed_only && !r->sealed)
        return env_fail(r->env, NACRE_INVALID_ARGUMENT, "backup: stream %u is not encrypted, but a key was given for it",
                        r->streams + 1);
    r->in_stream = true;
    r->bytes = BACKUP_PREFACE;
    return NACRE_OK;
}

/* Takes of *bytes what the piece under way still wants. */
static nacre_status reader_take_plain(BackupReader *r, Span *bytes) {
    size_t wants = 0;
    void *buffer = r->buffer;
    TRY(reader_wants(r, &wants));
    size_t part = wants - r->used < bytes->size ? wants - r->used : bytes->size;
    /* A size that lies takes no memory: the buffer grows with what comes. */
    TRY(env_grow(r->env, &buffer, &r->capacity, r->used + part, 1));
    r->buffer = buffer;
    memcpy(r->buffer + r->used, bytes->data, part);
    r->used += part;
    *bytes = span_of(bytes->data + part, bytes->size - part);
    TRY(reader_wants(r, &wants));
    if (r->used < wants) return NACRE_OK;
    bool preface = !r->in_stream;
    TRY(preface ? reader_preface(r) : reader_piece(r, span_of(r->buffer, r->used)));
    r->used = 0;
    return NACRE_OK;
}

/* ---- encrypted streams ---- */

static void reader_end_sealed(BackupReader *r) {
    if (!r->sealed) return;
    aead_wipe(r->sealed, sizeof *r->sealed);
    env_free(r->env, r->sealed, sizeof *r->sealed);
    r->sealed = NULL;
}

static nacre_status reader_open_sealed(BackupReader *r) {
    nacre_status status = crypt_stream_open(&r->sealed->stream, r->key);
    r->sealed->opened = true;
    r->sealed->used = 0;
    if (status == NACRE_OK) return NACRE_OK;
    return env_fail(r->env, status, "backup: stream %u: %s", r->streams + 1,
                    status == NACRE_PERMISSION ? "the key is not the one it was encrypted with"
                    : status == NACRE_VERSION  ? "encrypted by a later version"
                                               : "its encrypted head is damaged");
}

/* A chunk is whole: its text is what a stream without encryption has. */
static nacre_status reader_chunk(BackupReader *r, size_t size, bool last) {
    SealedReader *s = r->sealed;
    uint32_t before = r->streams;
    if (!crypt_stream_unseal(&s->stream, s->chunk, size))
        return reader_corrupt(r, "what is encrypted there is damaged, or in another place than it was");
    s->used = 0;
    for (Span text = span_of(s->chunk + SEALED_CHUNK, size); text.size > 0;) {
        if (!r->in_stream && r->streams > before) return reader_corrupt(r, "an encrypted stream goes on behind its end");
        TRY(reader_take_plain(r, &text));
    }
    if (!last) return NACRE_OK;
    if (r->in_stream || r->used > 0) return reader_corrupt(r, "the encrypted stream ends here, but it is not whole");
    reader_end_sealed(r);
    return NACRE_OK;
}

static nacre_status reader_take_sealed(BackupReader *r, Span *bytes) {
    SealedReader *s = r->sealed;
    size_t wants = s->opened ? SEALED_CHUNK : SEALED_HEAD, size = 0;
    bool last = false;
    if (s->opened && s->used >= SEALED_CHUNK) {
        if (!crypt_stream_size(s->chunk, &size, &last)) return reader_corrupt(r, "size of an encrypted chunk");
        wants += size;
    }
    size_t part = wants - s->used < bytes->size ? wants - s->used : bytes->size;
    memcpy((s->opened ? s->chunk : s->stream.head) + s->used, bytes->data, part);
    s->used += part;
    *bytes = span_of(bytes->data + part, bytes->size - part);
    if (s->used < wants) return NACRE_OK;
    if (!s->opened) return reader_open_sealed(r);
    if (wants == SEALED_CHUNK && !crypt_stream_size(s->chunk, &size, &last)) return reader_corrupt(r, "size of an encrypted chunk");
    return s->used == SEALED_CHUNK + size ? reader_chunk(r, size, last) : NACRE_OK;
}

nacre_status backup_reader_write(BackupReader *r, Span bytes) {
    while (bytes.size > 0) {
        size_t before = bytes.size;
        TRY(r->sealed ? reader_take_sealed(r, &bytes) : reader_take_plain(r, &bytes));
        r->total += before - bytes.size;
    }
    return NACRE_OK;
}

nacre_status backup_reader_end(BackupReader *r) {
    if (r->sealed || r->in_stream || r->used > 0) return reader_corrupt(r, "the stream ends here, but it is not whole");
    return r->streams ? NACRE_OK : env_fail(r->env, NACRE_CORRUPT, "backup: it is empty");
}

void backup_reader_clear(BackupReader *r) {
    reader_end_sealed(r);
    env_free(r->env, r->buffer, r->capacity);
    env_free(r->env, r->token, r->token_size);
    backup_segments_clear(r->env, &r->shipped);
    backup_segments_clear(r->env, &r->state);
    r->buffer = r->token = NULL;
    r->capacity = r->token_size = r->used = 0;
}
