/* crypt_log.c - a log: its headers are pages, what is appended behind them are records, and
 * what lies between records that are whole reads as poison. Knows nothing of frames. Rules are
 * those of crypt_format.h. */
#include "base/checksum.h"
#include "host/crypt.h"

/* Where a walk over the records is. */
typedef struct LogWalk {
    CryptFile *f;
    uint64_t under_size;
    uint64_t end, at;               /* of the next piece: of text, in the file */
    uint64_t window_at, window_end; /* of the file: what is in the buffer */
} LogWalk;

typedef struct LogPiece {
    uint64_t offset, size;      /* of text */
    uint64_t at;                /* of the record, or of the bytes that are none */
    bool record;
    uint8_t head[CRYPT_RECORD]; /* of a record */
} LogPiece;

static nacre_status log_io(Crypt *c, uint64_t offset, void *into, size_t size, VfsFile *file) {
    return crypt_below(c, c->under->read(file, offset, into, size));
}

/* *bytes: those at `at`, at least `least` of them (which the file has); *size: how many. */
static nacre_status walk_peek(LogWalk *w, uint64_t at, size_t least, const uint8_t **bytes, size_t *size) {
    Crypt *c = w->f->owner;
    if (at < w->window_at || at + least > w->window_end) {
        uint64_t left = w->under_size - at;
        size_t part = left < CRYPT_BUFFER ? (size_t)left : (size_t)CRYPT_BUFFER;
        w->window_at = w->window_end = at;
        TRY(log_io(c, at, c->buffer, part, w->f->under));
        w->window_end = at + part;
    }
    *bytes = c->buffer + (at - w->window_at);
    *size = (size_t)(w->window_end - at);
    return NACRE_OK;
}

/* Rule 6: may a record begin with these bytes, at `at`? */
static bool walk_is_record(const LogWalk *w, uint64_t at, const uint8_t *head) {
    uint64_t offset = get_u64(head + CRYPT_SEAL), size = get_u64(head + CRYPT_SEAL + 8);
    if (offset < w->end || offset - w->end > at - w->at) return false;
    if (size == 0 || size > w->under_size - at - CRYPT_RECORD) return false;
    return get_u64(head + CRYPT_SEAL + 16) == checksum64(0, head, CRYPT_SEAL + 16);
}

/* The next place from `at` on where a record begins; the end of the file: nowhere. */
static nacre_status walk_find(LogWalk *w, uint64_t *at) {
    while (w->under_size - *at > CRYPT_RECORD) {
        const uint8_t *bytes;
        size_t size;
        TRY(walk_peek(w, *at, CRYPT_RECORD, &bytes, &size));
        for (size_t i = 0; i + CRYPT_RECORD <= size; i++, ++*at)
            if (w->under_size - *at > CRYPT_RECORD && walk_is_record(w, *at, bytes + i)) return NACRE_OK;
    }
    *at = w->under_size;
    return NACRE_OK;
}

/* NACRE_NOT_FOUND: the end of the file. */
static nacre_status walk_next(LogWalk *w, LogPiece *piece) {
    if (w->at >= w->under_size) return NACRE_NOT_FOUND;
    uint64_t found = w->at;
    TRY(walk_find(w, &found));
    *piece = (LogPiece){.offset = w->end, .at = w->at};
    if (found == w->under_size) {
        piece->size = w->under_size - w->at;
        w->at = w->under_size;
        w->end += piece->size;
        return NACRE_OK;
    }
    const uint8_t *head;
    size_t size;
    TRY(walk_peek(w, found, CRYPT_RECORD, &head, &size));
    uint64_t offset = get_u64(head + CRYPT_SEAL);
    if (offset > w->end) { /* what is lost first; the record the next time */
        piece->size = offset - w->end;
        w->at = found;
        w->end = offset;
        return NACRE_OK;
    }
    piece->record = true;
    piece->at = found;
    piece->size = get_u64(head + CRYPT_SEAL + 8);
    memcpy(piece->head, head, CRYPT_RECORD);
    w->at = found + CRYPT_RECORD + piece->size;
    w->end += piece->size;
    return NACRE_OK;
}

/* ---- places ---- */

static CryptMark *log_marks(CryptFile *f) { return f->owner->marks[f->file - 1]; }

/* Is what a mark stands behind still there? */
static bool mark_holds(CryptFile *f, const CryptMark *mark, uint64_t under_size) {
    uint8_t head[CRYPT_RECORD];
    if (mark->record_at == 0 || mark->at > under_size) return false;
    if (f->owner->under->read(f->under, mark->record_at, head, sizeof head) != NACRE_OK) return false;
    return memcmp(head, mark->head, sizeof head) == 0;
}

static void mark_set(CryptMark *mark, const LogPiece *piece) {
    if (!piece->record) return;
    *mark = (CryptMark){.end = piece->offset + piece->size,
                        .at = piece->at + CRYPT_RECORD + piece->size,
                        .record_at = piece->at};
    memcpy(mark->head, piece->head, sizeof mark->head);
}

/* A walk from the last place known at or below `offset`. */
static LogWalk walk_from(CryptFile *f, uint64_t offset, uint64_t under_size) {
    LogWalk w = {.f = f, .under_size = under_size, .end = CRYPT_LOG_PAGES, .at = CRYPT_LOG_HEAD};
    for (int i = 0; i < 2; i++) {
        const CryptMark *mark = &log_marks(f)[i];
        if (mark->end > offset || mark->end <= w.end || !mark_holds(f, mark, under_size)) continue;
        w.end = mark->end;
        w.at = mark->at;
    }
    return w;
}

/* Where the records end; *end is below CRYPT_LOG_PAGES when not even the pages are all there. */
static nacre_status log_end(CryptFile *f, uint64_t *end) {
    uint64_t under_size = 0;
    if (f->settled) {
        *end = f->end;
        return NACRE_OK;
    }
    TRY(crypt_under_size(f, &under_size));
    if (under_size < CRYPT_LOG_HEAD) {
        *end = crypt_pages_size(under_size);
        return NACRE_OK;
    }
    LogWalk w = walk_from(f, UINT64_MAX, under_size);
    LogPiece piece;
    nacre_status status;
    while ((status = walk_next(&w, &piece)) == NACRE_OK) mark_set(&log_marks(f)[0], &piece);
    if (status != NACRE_NOT_FOUND) return status;
    *end = f->end = w.end;
    f->at = w.at;
    f->settled = f->writable;
    return NACRE_OK;
}

/* ---- verbs ---- */

nacre_status crypt_log_size(CryptFile *f, uint64_t *size) { return log_end(f, size); }

static void record_extra(const CryptFile *f, uint64_t offset, uint64_t size, uint8_t extra[24]) {
    put_u32(extra, (uint32_t)f->file);
    put_u32(extra + 4, 1);
    put_u64(extra + 8, offset);
    put_u64(extra + 16, size);
}

/* Bytes [from, to) of a record's text. */
static nacre_status log_read_record(LogWalk *w, const LogPiece *piece, uint64_t from, uint64_t to, uint8_t *into) {
    CryptFile *f = w->f;
    Crypt *c = f->owner;
    uint8_t extra[24];
    size_t size = (size_t)piece->size;
    if (piece->size > SIZE_MAX) return crypt_fail(c, NACRE_RESOURCE_EXHAUSTED, "read %s: a record too large", c->names[f->file]);
    bool whole = from == piece->offset && to == piece->offset + piece->size;
    uint64_t text_at = piece->at + CRYPT_RECORD;
    uint8_t *text = whole ? into : c->allocator.alloc(c->allocator.self, size);
    if (!text) return crypt_fail(c, NACRE_RESOURCE_EXHAUSTED, "read %s: no memory", c->names[f->file]);
    nacre_status status = NACRE_OK;
    if (text_at >= w->window_at && text_at + size <= w->window_end)
        memcpy(text, c->buffer + (text_at - w->window_at), size);
    else
        status = log_io(c, text_at, text, size, f->under);
    if (status == NACRE_OK) {
        record_extra(f, piece->offset, piece->size, extra);
        (void)crypt_open(c, extra, sizeof extra, piece->head, text, size, text);
        if (!whole) memcpy(into, text + (from - piece->offset), (size_t)(to - from));
    }
    if (!whole) {
        aead_wipe(text, size);
        c->allocator.free(c->allocator.self, text, size);
    }
    return status;
}

static nacre_status log_read_records(CryptFile *f, uint64_t offset, uint8_t *into, size_t size) {
    Crypt *c = f->owner;
    uint64_t under_size = 0, end = offset + size;
    TRY(crypt_under_size(f, &under_size));
    LogWalk w = walk_from(f, offset, under_size);
    LogPiece piece = {.size = 0};
    while (w.end < end) {
        nacre_status status = walk_next(&w, &piece);
        if (status == NACRE_NOT_FOUND)
            return crypt_fail(c, NACRE_IO, "short read: log %s has %llu bytes of text, wanted %zu at %llu",
                              c->names[f->file], (unsigned long long)w.end, size, (unsigned long long)offset);
        TRY(status);
        uint64_t from = piece.offset > offset ? piece.offset : offset, to = w.end < end ? w.end : end;
        if (from >= to) continue;
        if (piece.record) TRY(log_read_record(&w, &piece, from, to, into + (from - offset)));
        else memset(into + (from - offset), CRYPT_POISON, (size_t)(to - from));
    }
    mark_set(&log_marks(f)[1], &piece);
    return NACRE_OK;
}

nacre_status crypt_log_read(CryptFile *f, uint64_t offset, uint8_t *into, size_t size) {
    if (offset < CRYPT_LOG_PAGES) {
        size_t part = size < CRYPT_LOG_PAGES - offset ? size : (size_t)(CRYPT_LOG_PAGES - offset);
        TRY(crypt_pages_read(f, offset, into, part));
        into += part, offset += part, size -= part;
    }
    return size == 0 ? NACRE_OK : log_read_records(f, offset, into, size);
}

static nacre_status log_append(CryptFile *f, const uint8_t *from, size_t size) {
    Crypt *c = f->owner;
    uint8_t extra[24];
    size_t room = CRYPT_RECORD + size;
    uint8_t *record = room <= CRYPT_BUFFER ? c->buffer : c->allocator.alloc(c->allocator.self, room);
    if (!record) return crypt_fail(c, NACRE_RESOURCE_EXHAUSTED, "write %s: no memory", c->names[f->file]);
    record_extra(f, f->end, size, extra);
    crypt_seal(c, extra, sizeof extra, from, size, record, record + CRYPT_RECORD);
    put_u64(record + CRYPT_SEAL, f->end);
    put_u64(record + CRYPT_SEAL + 8, size);
    put_u64(record + CRYPT_SEAL + 16, checksum64(0, record, CRYPT_SEAL + 16));
    nacre_status status = crypt_below(c, c->under->write(f->under, f->at, record, room));
    if (status == NACRE_OK) {
        LogPiece piece = {.offset = f->end, .size = size, .at = f->at, .record = true};
        memcpy(piece.head, record, CRYPT_RECORD);
        mark_set(&log_marks(f)[0], &piece);
        f->end += size;
        f->at += room;
    }
    if (record != c->buffer) c->allocator.free(c->allocator.self, record, room);
    return status;
}

nacre_status crypt_log_write(CryptFile *f, uint64_t offset, const uint8_t *from, size_t size) {
    Crypt *c = f->owner;
    uint64_t end = 0;
    if (!f->settled) TRY(crypt_mark_log(f));
    if (offset < CRYPT_LOG_PAGES) {
        size_t part = size < CRYPT_LOG_PAGES - offset ? size : (size_t)(CRYPT_LOG_PAGES - offset);
        TRY(crypt_pages_write(f, offset, from, part));
        from += part, offset += part, size -= part;
        if (size == 0) return NACRE_OK;
    }
    TRY(log_end(f, &end));
    if (offset != end || !f->settled)
        return crypt_fail(c, NACRE_IO, "write %s: at %llu, but an encrypted log of %llu bytes is only appended to",
                          c->names[f->file], (unsigned long long)offset, (unsigned long long)end);
    return log_append(f, from, size);
}

/* To within the records, or their beginning. */
static nacre_status log_truncate_records(CryptFile *f, uint64_t size) {
    Crypt *c = f->owner;
    uint64_t under_size = 0;
    TRY(crypt_under_size(f, &under_size));
    LogWalk w = walk_from(f, size, under_size);
    while (w.end < size) {
        LogPiece piece;
        nacre_status status = walk_next(&w, &piece);
        if (status == NACRE_NOT_FOUND || (status == NACRE_OK && w.end > size && piece.record))
            return crypt_fail(c, NACRE_IO, "truncate %s: to %llu, where no record of the encrypted log ends",
                              c->names[f->file], (unsigned long long)size);
        TRY(status);
        if (w.end > size) { /* poison is as long as what it stands for, or is cut first */
            w.at = piece.at + (size - piece.offset);
            w.end = size;
        }
    }
    TRY(crypt_below(c, c->under->truncate(f->under, w.at)));
    f->end = w.end;
    f->at = w.at;
    f->settled = true;
    return NACRE_OK;
}

nacre_status crypt_log_truncate(CryptFile *f, uint64_t size) {
    Crypt *c = f->owner;
    uint64_t under_size = 0;
    f->settled = false;
    TRY(crypt_mark_log(f));
    TRY(crypt_under_size(f, &under_size));
    bool records = under_size > CRYPT_LOG_HEAD;
    if (size > CRYPT_LOG_PAGES && records) return log_truncate_records(f, size);
    if (size > CRYPT_LOG_PAGES)
        return crypt_fail(c, NACRE_IO, "truncate %s: an encrypted log is not made longer", c->names[f->file]);
    if (records) TRY(crypt_below(c, c->under->truncate(f->under, CRYPT_LOG_HEAD)));
    return records && size == CRYPT_LOG_PAGES ? NACRE_OK : crypt_pages_truncate(f, size);
}
