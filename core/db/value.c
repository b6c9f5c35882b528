/* value.c - large values in pieces, so that neither side ever holds one whole. Small ones are
 * gathered and put like any other. Knows nothing of how pieces lie in a segment. */
#include "db/ingest.h"
#include "db/keycode.h"
#include "db/state.h"

struct nacre_value_writer {
    Membrane *membrane;
    ValueWriter *next, *previous;
    uint8_t *key; /* with the membrane's id */
    size_t key_size;
    uint64_t expiry, size;
    uint8_t *gathered; /* while it may be small */
    size_t gathered_capacity;
    Ingest *ingest; /* NULL: it may be small */
    bool failed;
};

struct nacre_value_reader {
    Db *db;
    ValueReader *next, *previous;
    Memtable *tables[3]; /* where `bytes` may lie */
    Version *versions[2]; /* which keep the extents of `segment` */
    Segment *segment;    /* NULL: all of it is in `bytes` */
    BlobRef blob;
    uint64_t size;
    const uint8_t *bytes;
    uint8_t *copy, *table, *piece;
    size_t copy_size, table_capacity;
    uint64_t piece_index; /* of what `piece` holds; UINT64_MAX: nothing */
};

/* ---- writing ---- */

nacre_status value_writer_open(Membrane *membrane, Span key, uint64_t expiry, ValueWriter **out) {
    Db *db = membrane->db;
    Env *env = &db->env;
    TRY(membrane_check(membrane));
    TRY(state_writable(db));
    if (membrane->schema.kind != NACRE_KV || membrane->schema.value_type != NACRE_BYTES)
        return env_fail(env, NACRE_UNSUPPORTED, "%s: only key-value membranes of bytes have values as streams",
                        membrane->name);
    if (!key_check(&membrane->schema, key))
        return env_fail(env, NACRE_INVALID_ARGUMENT, "%s: a malformed key", membrane->name);
    ValueWriter *writer = env_alloc_zeroed(env, sizeof *writer);
    if (!writer) return NACRE_RESOURCE_EXHAUSTED;
    if (!(writer->key = env_alloc(env, key.size + 4))) {
        env_free(env, writer, sizeof *writer);
        return NACRE_RESOURCE_EXHAUSTED;
    }
    writer->membrane = membrane;
    writer->key_size = full_key(membrane->id, key, writer->key).size;
    writer->expiry = expiry;
    writer->next = db->value_writers;
    if (db->value_writers) db->value_writers->previous = writer;
    db->value_writers = writer;
    *out = writer;
    return NACRE_OK;
}

/* It is large: what was gathered is the beginning of a stream. */
static nacre_status value_begin_stream(ValueWriter *writer) {
    Env *env = &writer->membrane->db->env;
    TRY(ingest_begin(writer->membrane->db, &writer->ingest));
    TRY(ingest_new_run(writer->ingest));
    TRY(ingest_stream(writer->ingest, span_of(writer->gathered, (size_t)writer->size)));
    env_free(env, writer->gathered, writer->gathered_capacity);
    writer->gathered = NULL;
    writer->gathered_capacity = 0;
    return NACRE_OK;
}

static nacre_status value_append(ValueWriter *writer, Span bytes) {
    Env *env = &writer->membrane->db->env;
    if (!writer->ingest && writer->size + bytes.size >= SOLO_BYTES) TRY(value_begin_stream(writer));
    if (writer->ingest) return ingest_stream(writer->ingest, bytes);
    void *gathered = writer->gathered;
    TRY(env_grow(env, &gathered, &writer->gathered_capacity, (size_t)writer->size + bytes.size, 1));
    writer->gathered = gathered;
    memcpy(writer->gathered + writer->size, bytes.data, bytes.size);
    return NACRE_OK;
}

nacre_status value_writer_append(ValueWriter *writer, Span bytes) {
    Membrane *membrane = writer->membrane;
    Env *env = &membrane->db->env;
    TRY(membrane_check(membrane));
    TRY(state_writable(membrane->db));
    if (writer->failed)
        return env_fail(env, NACRE_MISUSE, "%s: an earlier failure stopped this value; abort", membrane->name);
    if (bytes.size == 0) return NACRE_OK;
    writer->failed = true; /* until all of it is there */
    if (bytes.size > (uint64_t)LIMIT_STREAM_SIZE - writer->size)
        return env_fail(env, NACRE_INVALID_ARGUMENT, "%s: a value of more than %llu bytes", membrane->name,
                        (unsigned long long)LIMIT_STREAM_SIZE);
    TRY(value_append(writer, bytes));
    writer->size += bytes.size;
    writer->failed = false;
    return NACRE_OK;
}

/* As a batch of one record. */
static nacre_status value_put(const ValueWriter *writer) {
    Db *db = writer->membrane->db;
    uint64_t value_size = writer->size + (writer->expiry ? 8 : 0);
    uint64_t size = BATCH_HEAD + record_size(writer->key_size, value_size);
    uint8_t *at = NULL;
    TRY(db_reserve(db, size, 1, &at));
    memset(at, 0, (size_t)size);
    put_u32(at, (uint32_t)size);
    put_u32(at + 4, 1);
    at += BATCH_HEAD;
    put_u32(at, (uint32_t)writer->key_size | (writer->expiry ? RECORD_EXPIRES : 0) << 24);
    put_u32(at + 4, (uint32_t)value_size);
    at += RECORD_HEAD;
    memcpy(at, writer->key, writer->key_size);
    at += writer->key_size;
    if (writer->expiry) put_u64(at, writer->expiry), at += 8;
    if (writer->size) memcpy(at, writer->gathered, (size_t)writer->size);
    return db_commit(db, (size_t)size, true);
}

/* The row behind the stream, and the commit of both. */
static nacre_status value_publish(const ValueWriter *writer) {
    Entry entry = {.key = span_of(writer->key, writer->key_size),
                   .flags = ENTRY_BLOB | ENTRY_PIECES,
                   .blob = {.size = writer->size, .pieces = true}};
    if (writer->expiry) {
        bool lifetime = writer->expiry >= RECORD_LIFETIME;
        entry.flags |= ENTRY_EXPIRES;
        entry.expires = lifetime ? state_now(writer->membrane->db) + (writer->expiry - RECORD_LIFETIME) : writer->expiry;
    }
    TRY(ingest_add(writer->ingest, &entry));
    return ingest_publish(writer->ingest);
}

nacre_status value_writer_finish(ValueWriter *writer) {
    Membrane *membrane = writer->membrane;
    nacre_status status = membrane_check(membrane);
    if (status == NACRE_OK && writer->failed)
        status = env_fail(&membrane->db->env, NACRE_MISUSE, "%s: an earlier failure stopped this value", membrane->name);
    if (status == NACRE_OK) status = writer->ingest ? value_publish(writer) : value_put(writer);
    value_writer_abort(writer);
    return status;
}

void value_writer_abort(ValueWriter *writer) {
    if (!writer) return;
    Db *db = writer->membrane->db;
    ingest_free(writer->ingest);
    env_free(&db->env, writer->key, writer->key_size);
    env_free(&db->env, writer->gathered, writer->gathered_capacity);
    if (writer->next) writer->next->previous = writer->previous;
    if (writer->previous) writer->previous->next = writer->next;
    else db->value_writers = writer->next;
    env_free(&db->env, writer, sizeof *writer);
}

Db *value_writer_db(const ValueWriter *writer) { return writer->membrane->db; }

/* ---- reading ---- */

static nacre_status value_copy(ValueReader *reader, const Entry *entry) {
    Env *env = &reader->db->env;
    bool apart = entry->flags & ENTRY_BLOB;
    if (apart) TRY(segment_check_blob(entry->segment, &entry->blob));
    if (apart && entry->blob.size > LIMIT_VALUE_SIZE)
        return env_fail(env, NACRE_CORRUPT, "%s: a value of %llu bytes without pieces", reader->db->name,
                        (unsigned long long)entry->blob.size);
    reader->copy_size = apart ? (size_t)entry->blob.size : entry->value.size;
    if (!(reader->copy = env_alloc(env, reader->copy_size))) return NACRE_RESOURCE_EXHAUSTED;
    reader->bytes = reader->copy;
    reader->size = reader->copy_size;
    if (apart) return segment_read_blob(entry->segment, entry->blob, reader->copy);
    if (entry->value.size) memcpy(reader->copy, entry->value.data, entry->value.size);
    return NACRE_OK;
}

static nacre_status value_fill(ValueReader *reader, const Snapshot *view, const Entry *entry) {
    Env *env = &reader->db->env;
    if (!entry->segment) { /* records stay where they are while their memtable lives */
        Memtable *tables[3] = {view->tables[0], view->tables[1], view->own};
        for (int i = 0; i < 3; i++)
            if ((reader->tables[i] = tables[i]) != NULL) memtable_retain(tables[i]);
        reader->bytes = entry->value.data;
        reader->size = entry->value.size;
        return NACRE_OK;
    }
    if (!(entry->flags & ENTRY_PIECES)) return value_copy(reader, entry);
    TRY(segment_blob_table(entry->segment, &entry->blob, &reader->table, &reader->table_capacity));
    if (!(reader->piece = env_alloc(env, PIECE_SIZE))) return NACRE_RESOURCE_EXHAUSTED;
    Version *versions[2] = {view->version, view->own_runs};
    for (int i = 0; i < 2; i++)
        if ((reader->versions[i] = versions[i]) != NULL) version_retain(versions[i]);
    segment_retain(entry->segment);
    reader->segment = entry->segment;
    reader->blob = entry->blob;
    reader->size = entry->blob.size;
    reader->piece_index = UINT64_MAX;
    return NACRE_OK;
}

nacre_status value_reader_open(Membrane *membrane, const Snapshot *snapshot, Span key, ValueReader **out) {
    Db *db = membrane->db;
    Entry entry = {0};
    CacheEntry *pin = NULL;
    TRY(membrane_check(membrane));
    if (membrane->schema.kind != NACRE_KV || membrane->schema.value_type != NACRE_BYTES)
        return env_fail(&db->env, NACRE_UNSUPPORTED, "%s: only key-value membranes of bytes have values as streams",
                        membrane->name);
    TRY(read_entry(membrane, snapshot, key, &entry, &pin));
    ValueReader *reader = env_alloc_zeroed(&db->env, sizeof *reader);
    nacre_status status = NACRE_RESOURCE_EXHAUSTED;
    if (reader) {
        reader->db = db;
        reader->next = db->value_readers;
        if (db->value_readers) db->value_readers->previous = reader;
        db->value_readers = reader;
        status = value_fill(reader, state_view(db, snapshot), &entry);
    }
    cache_unpin(&db->cache, pin);
    if (status == NACRE_OK) *out = reader;
    else value_reader_close(reader);
    return status;
}

uint64_t value_reader_size(const ValueReader *reader) { return reader->size; }
Db *value_reader_db(const ValueReader *reader) { return reader->db; }

nacre_status value_reader_read(ValueReader *reader, uint64_t offset, uint8_t *into, size_t size) {
    if (offset > reader->size || size > reader->size - offset)
        return env_fail(&reader->db->env, NACRE_INVALID_ARGUMENT, "value: %zu bytes at %llu of %llu", size,
                        (unsigned long long)offset, (unsigned long long)reader->size);
    if (!reader->segment) {
        if (size) memcpy(into, reader->bytes + offset, size);
        return NACRE_OK;
    }
    while (size > 0) {
        uint64_t index = offset / PIECE_SIZE, left = reader->size - index * PIECE_SIZE;
        size_t within = (size_t)(offset % PIECE_SIZE), whole = left < PIECE_SIZE ? (size_t)left : PIECE_SIZE;
        size_t part = whole - within < size ? whole - within : size;
        bool direct = part == whole && index != reader->piece_index;
        if (direct) {
            TRY(segment_blob_piece(reader->segment, &reader->blob, reader->table, index, into));
        } else {
            if (index != reader->piece_index) {
                reader->piece_index = UINT64_MAX;
                TRY(segment_blob_piece(reader->segment, &reader->blob, reader->table, index, reader->piece));
                reader->piece_index = index;
            }
            memcpy(into, reader->piece + within, part);
        }
        into += part, offset += part, size -= part;
    }
    return NACRE_OK;
}

void value_reader_close(ValueReader *reader) {
    if (!reader) return;
    Db *db = reader->db;
    for (int i = 0; i < 3; i++) memtable_release(reader->tables[i]);
    segment_release(reader->segment);
    for (int i = 0; i < 2; i++) version_release(reader->versions[i]);
    env_free(&db->env, reader->copy, reader->copy_size);
    env_free(&db->env, reader->table, reader->table_capacity);
    env_free(&db->env, reader->piece, PIECE_SIZE);
    if (reader->next) reader->next->previous = reader->previous;
    if (reader->previous) reader->previous->next = reader->next;
    else db->value_readers = reader->next;
    env_free(&db->env, reader, sizeof *reader);
}

void values_close(Db *db) {
    while (db->value_readers) value_reader_close(db->value_readers);
    while (db->value_writers) value_writer_abort(db->value_writers);
}
