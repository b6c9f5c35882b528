/* archive.c - streams of what was committed (BACKUP_LOG of backup_format.h): the batches that
 * changes.c finds, when they were committed, and rows that came past the log. Knows nothing
 * of pieces, or of where streams are kept.
 *
 * 1. An archive is a position: all up to it was taken by somebody, in whole streams. A stream
 *    that was not taken to its end is made again.
 * 2. While it is open it notes when commits were acknowledged, a time for each millisecond at
 *    most; when the list is full, every other one goes. Before that only the time is known at
 *    which it was opened.
 * 3. Rows that came past the log are in segments, and merges take these apart. An archive
 *    that is open holds the private Version of each load (ingest.h) until it is taken; of
 *    loads before, it says that they are not kept. */
#include "db/backup.h"
#include "db/feed.h"

#include "memtable/record.h"

enum { MARKS_MAX = 4096 };

typedef struct ArchiveMark {
    uint64_t lsn, ms;
} ArchiveMark;

typedef struct ArchiveLoad {
    uint64_t lsn;
    Version *version; /* a reference */
} ArchiveLoad;

struct Archive {
    Db *db;
    Archive *next, *previous;
    uint64_t position;
    ArchiveMark *marks; /* both rise */
    size_t mark_count, marks_capacity;
    ArchiveLoad *loads; /* rising */
    size_t load_count, loads_capacity;
    LogStream *stream; /* under way; NULL: none */
};

struct LogStream {
    Db *db;
    Archive *archive; /* NULL: it was closed */
    Changes *changes;
    uint64_t limit, marked;
    bool begun, ended; /* the first mark, and the last one, are told */
    ArchiveMark *marks;
    size_t mark_at, mark_count;
    RecordsView view; /* lsn 0: none */
    RecordBytes records;
    /* the load under way */
    Version *load;
    Merge merge;
    bool merging, moved;
    Entry value; /* a large one; `offset` of it was taken */
    uint64_t offset;
    uint8_t *row, *blob, *vector, *table;
    size_t row_capacity, blob_capacity, vector_capacity, table_capacity;
};

/* ---- the archive ---- */

/* Rule 2. Where there is no memory for it, times are coarser. */
static void archive_mark(Archive *a, uint64_t lsn, uint64_t ms) {
    ArchiveMark *last = a->mark_count ? &a->marks[a->mark_count - 1] : NULL;
    if (last && ms < last->ms) ms = last->ms; /* the clock was set back */
    if (last && (last->ms == ms || last->lsn == lsn)) {
        last->lsn = lsn;
        return;
    }
    if (a->mark_count == MARKS_MAX) {
        for (size_t i = 0; i < MARKS_MAX / 2; i++) a->marks[i] = a->marks[2 * i + 1];
        a->mark_count = MARKS_MAX / 2;
    }
    void *marks = a->marks;
    if (env_grow(&a->db->env, &marks, &a->marks_capacity, a->mark_count + 1, sizeof *a->marks) != NACRE_OK) {
        env_clear(&a->db->env);
        return;
    }
    a->marks = marks;
    a->marks[a->mark_count++] = (ArchiveMark){lsn, ms};
}

nacre_status archive_open(Db *db, uint64_t since, Archive **out) {
    Changes *changes = NULL;
    TRY(db_changes_open(db, since, &changes)); /* are they kept? */
    db_changes_close(changes);
    Archive *a = env_alloc_zeroed(&db->env, sizeof *a);
    if (!a) return NACRE_RESOURCE_EXHAUSTED;
    a->db = db;
    a->position = since == NACRE_CHANGES_OLDEST ? feed_floor(db) : since == NACRE_CHANGES_NOW ? feed_limit(db) : since;
    archive_mark(a, feed_limit(db), state_now(db));
    a->next = db->archives;
    if (db->archives) db->archives->previous = a;
    db->archives = a;
    *out = a;
    return NACRE_OK;
}

static void archive_forget(Archive *a, uint64_t lsn) {
    size_t marks = 0, loads = 0;
    while (marks + 1 < a->mark_count && a->marks[marks + 1].lsn <= lsn) marks++; /* one says when it began */
    a->mark_count -= marks;
    if (marks) memmove(a->marks, a->marks + marks, a->mark_count * sizeof *a->marks);
    while (loads < a->load_count && a->loads[loads].lsn <= lsn) version_release(a->loads[loads++].version);
    if (loads == 0) return;
    a->load_count -= loads;
    memmove(a->loads, a->loads + loads, a->load_count * sizeof *a->loads);
    if (!a->db->poisoned) commit_recount(a->db);
}

void archive_close(Archive *a) {
    if (!a) return;
    Env *env = &a->db->env;
    if (a->stream) a->stream->archive = NULL;
    archive_forget(a, UINT64_MAX);
    if (a->next) a->next->previous = a->previous;
    if (a->previous) a->previous->next = a->next;
    else a->db->archives = a->next;
    env_free(env, a->marks, a->marks_capacity * sizeof *a->marks);
    env_free(env, a->loads, a->loads_capacity * sizeof *a->loads);
    env_free(env, a, sizeof *a);
}

void archives_free(Db *db) {
    while (db->archives) archive_close(db->archives);
}

uint64_t archive_position(const Archive *a) { return a->position; }
Db *archive_db(const Archive *a) { return a->db; }

void archives_commit(Db *db) {
    for (Archive *a = db->archives; a; a = a->next) archive_mark(a, feed_limit(db), state_now(db));
}

nacre_status archives_reserve(Db *db) {
    for (Archive *a = db->archives; a; a = a->next) {
        void *loads = a->loads;
        TRY(env_grow(&db->env, &loads, &a->loads_capacity, a->load_count + 1, sizeof *a->loads));
        a->loads = loads;
    }
    return NACRE_OK;
}

void archives_loaded(Db *db, uint64_t lsn, Version *version) {
    for (Archive *a = db->archives; a; a = a->next) {
        version_retain(version);
        a->loads[a->load_count++] = (ArchiveLoad){lsn, version};
    }
}

/* ---- a stream ---- */

nacre_status archive_begin(Archive *a, Backup **out) {
    Db *db = a->db;
    Env *env = &db->env;
    if (a->stream) return env_fail(env, NACRE_BUSY, "archive: a stream of it is under way");
    LogStream *s = env_alloc_zeroed(env, sizeof *s);
    if (!s) return NACRE_RESOURCE_EXHAUSTED;
    s->db = db;
    s->limit = feed_limit(db) > a->position ? feed_limit(db) : a->position;
    nacre_status status = db_changes_open(db, a->position, &s->changes);
    uint64_t now = state_now(db);
    archive_mark(a, s->limit, now);
    if (status == NACRE_OK && !(s->marks = env_alloc(env, (a->mark_count + 1) * sizeof *s->marks)))
        status = NACRE_RESOURCE_EXHAUSTED;
    s->mark_count = a->mark_count + 1;
    if (status != NACRE_OK) {
        log_stream_free(s, false);
        return status;
    }
    for (size_t i = 0; i < a->mark_count; i++) s->marks[i] = a->marks[i];
    if (a->mark_count && s->marks[a->mark_count - 1].ms > now) now = s->marks[a->mark_count - 1].ms;
    s->marks[a->mark_count] = (ArchiveMark){s->limit, now};
    s->archive = a;
    a->stream = s;
    BackupHeader header = {.kind = BACKUP_LOG, .lsn = s->limit, .flushed_lsn = 0, .base_lsn = a->position};
    memcpy(header.database_id, db->database_id, sizeof header.database_id);
    return backup_begin_log(db, s, &header, out);
}

void log_stream_free(LogStream *s, bool whole) {
    if (!s) return;
    Env *env = &s->db->env;
    if (s->merging) merge_clear(&s->merge);
    if (s->archive) {
        s->archive->stream = NULL;
        if (whole) {
            s->archive->position = s->limit;
            archive_forget(s->archive, s->limit);
        }
    }
    db_changes_close(s->changes);
    version_release(s->load);
    env_free(env, s->marks, s->mark_count * sizeof *s->marks);
    env_free(env, s->row, s->row_capacity);
    env_free(env, s->blob, s->blob_capacity);
    env_free(env, s->vector, s->vector_capacity);
    env_free(env, s->table, s->table_capacity);
    env_free(env, s, sizeof *s);
}

/* ---- loads ---- */

static nacre_status load_begin(LogStream *s) {
    Db *db = s->db;
    Archive *a = s->archive;
    size_t at = 0;
    while (a && at < a->load_count && a->loads[at].lsn != s->view.lsn) at++;
    if (!a || at == a->load_count)
        return env_fail(&db->env, NACRE_NOT_FOUND,
                        "archive: rows came in bulk with LSN %llu while no archive was open, and are not kept as such; "
                        "make an incremental backup and go on from there", (unsigned long long)s->view.lsn);
    Snapshot view = {.db = db, .lsn = s->view.lsn, .version = a->loads[at].version};
    TRY(view_merge(db, &view, &s->merge));
    s->merging = true;
    s->moved = false;
    version_retain(s->load = view.version);
    return NACRE_OK;
}

static void load_end(LogStream *s) {
    merge_clear(&s->merge);
    version_release(s->load);
    s->load = NULL;
    s->merging = false;
}

/* The row as a record of record_format.h; of a value of pieces only what stands before it. */
static nacre_status load_record(LogStream *s, const Entry *entry, size_t *size) {
    Db *db = s->db;
    Entry whole = *entry;
    RowView row = {0};
    bool apart = entry->flags & ENTRY_PIECES, gone = entry->flags & ENTRY_DELETE;
    if (apart) whole.flags &= ~(ENTRY_BLOB | ENTRY_PIECES);
    if (!gone)
        TRY(row_load(db, get_u32_be(entry->key.data), &whole, (entry->flags & ENTRY_VECTOR) != 0, &s->blob,
                     &s->blob_capacity, &s->vector, &s->vector_capacity, &row));
    bool expires = entry->flags & ENTRY_EXPIRES, vector = entry->flags & ENTRY_VECTOR;
    size_t value = (expires ? 8 : 0) + (vector ? 4 + row.vector.size : 0) + row.value.size;
    *size = (size_t)record_size(entry->key.size, value);
    void *memory = s->row;
    TRY(env_grow(&db->env, &memory, &s->row_capacity, *size, 1));
    s->row = memory;
    memset(s->row, 0, *size);
    uint32_t flags = (gone ? RECORD_DELETE : 0) | (vector ? RECORD_VECTOR : 0) | (expires ? RECORD_EXPIRES : 0);
    ByteWriter w = {s->row, s->row + *size};
    bw_u32(&w, (uint32_t)entry->key.size | flags << 24);
    bw_u32(&w, (uint32_t)value);
    bw_u64(&w, 0);
    bw_bytes(&w, entry->key);
    if (expires) bw_u64(&w, entry->expires);
    if (vector) {
        bw_u32(&w, (uint32_t)row.vector.size);
        bw_bytes(&w, row.vector);
    }
    bw_bytes(&w, row.value);
    return NACRE_OK;
}

static nacre_status load_value(LogStream *s, const Entry *entry, size_t record, uint32_t *kind, uint8_t *body,
                               size_t *size) {
    if (record + 8 > BACKUP_PIECE) return env_fail(&s->db->env, NACRE_CORRUPT, "archive: a key of %zu bytes", record);
    TRY(segment_blob_table(entry->segment, &entry->blob, &s->table, &s->table_capacity));
    s->value = *entry;
    s->offset = 0;
    put_u64(body, entry->blob.size);
    memcpy(body + 8, s->row, record);
    *kind = PIECE_VALUE;
    *size = 8 + record;
    return NACRE_OK;
}

static nacre_status load_value_bytes(LogStream *s, uint32_t *kind, uint8_t *body, size_t *size) {
    uint64_t left = s->value.blob.size - s->offset;
    TRY(segment_blob_piece(s->value.segment, &s->value.blob, s->table, s->offset / PIECE_SIZE, body));
    *kind = PIECE_BYTES;
    *size = left < PIECE_SIZE ? (size_t)left : PIECE_SIZE;
    s->offset += *size;
    return NACRE_OK;
}

/* *kind 0: no row is left. */
static nacre_status load_next(LogStream *s, uint32_t *kind, uint8_t *body, size_t *size) {
    Entry entry;
    size_t record = 0;
    TRY(s->moved ? merge_next(&s->merge) : merge_seek(&s->merge, (Span){NULL, 0}));
    s->moved = true;
    if (!merge_valid(&s->merge)) {
        load_end(s);
        return NACRE_OK;
    }
    merge_entry(&s->merge, &entry);
    TRY(load_record(s, &entry, &record));
    if (entry.flags & ENTRY_PIECES) return load_value(s, &entry, record, kind, body, size);
    s->records = (RecordBytes){s->row, s->row + record, 0};
    *kind = PIECE_BYTES;
    *size = record_bytes_copy(&s->records, body, BACKUP_PIECE);
    return NACRE_OK;
}

/* ---- pieces ---- */

static void stream_mark(LogStream *s, uint64_t lsn, uint32_t *kind, uint8_t *body, size_t *size) {
    while (s->mark_at + 1 < s->mark_count && s->marks[s->mark_at].lsn < lsn) s->mark_at++;
    const ArchiveMark *mark = &s->marks[s->mark_at];
    s->marked = mark->lsn < s->limit ? mark->lsn : s->limit;
    put_u64(body, s->marked);
    put_u64(body + 8, mark->ms);
    *kind = PIECE_MARK;
    *size = 16;
}

/* What the view shows begins: a batch, or a load. */
static nacre_status stream_enter(LogStream *s, uint32_t *kind, uint8_t *body, size_t *size) {
    *kind = s->view.load ? PIECE_LOAD : PIECE_BATCH;
    *size = 8;
    put_u64(body, s->view.lsn);
    if (s->view.load) TRY(load_begin(s));
    else s->records = (RecordBytes){s->view.records.data, s->view.records.data + s->view.records.size, 0};
    s->view.lsn = 0;
    return NACRE_OK;
}

nacre_status log_stream_next(LogStream *s, uint32_t *kind, uint8_t *body, size_t *size) {
    *kind = 0;
    if (s->records.at < s->records.end) {
        *kind = PIECE_BYTES;
        *size = record_bytes_copy(&s->records, body, BACKUP_PIECE);
        return NACRE_OK;
    }
    if (s->offset < s->value.blob.size) return load_value_bytes(s, kind, body, size);
    if (s->merging) TRY(load_next(s, kind, body, size));
    if (*kind) return NACRE_OK;
    if (!s->begun) {
        s->begun = true; /* when it was that nothing of this was committed yet */
        stream_mark(s, 0, kind, body, size);
        return NACRE_OK;
    }
    if (s->view.lsn == 0) {
        TRY(db_changes_records(s->changes, &s->view));
        if (s->view.lsn > s->limit || s->view.lsn == 0) {
            s->view.lsn = 0;
            if (s->ended) return NACRE_OK;
            s->ended = true;
            s->mark_at = s->mark_count - 1; /* until when nothing more was committed */
            stream_mark(s, s->limit, kind, body, size);
            return NACRE_OK;
        }
        if (s->view.index > 0) { /* the batch goes on */
            s->records = (RecordBytes){s->view.records.data, s->view.records.data + s->view.records.size, 0};
            s->view.lsn = 0;
            return log_stream_next(s, kind, body, size);
        }
    }
    if (s->view.lsn > s->marked) {
        stream_mark(s, s->view.lsn, kind, body, size);
        return NACRE_OK;
    }
    return stream_enter(s, kind, body, size);
}
