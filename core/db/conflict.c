/* conflict.c - is every row that a transaction wrote still what it was at its beginning?
 * Knows nothing of how it was written, nor of what comes of the answer.
 *
 * The first to commit wins. It is asked at commit, row by row, and only about rows that may
 * have been written since; two states of a row are compared, so nothing is kept for it while
 * others write, and a row that was changed back is no conflict. */
#include "base/checksum.h"
#include "base/limits.h"
#include "db/keytext.h"
#include "db/transaction.h"

/* A row as one of two states has it. */
typedef struct RowThen {
    Entry entry;
    CacheEntry *pin;
    bool present;
    uint8_t *vector;
    size_t vector_capacity;
    RowView row;
} RowThen;

static nacre_status row_then(Db *db, const Snapshot *view, Span key, RowThen *then) {
    nacre_status status = view_get(db, view, key, &then->entry, &then->pin);
    then->present = status == NACRE_OK;
    if (!then->present) return status == NACRE_NOT_FOUND ? NACRE_OK : status;
    then->entry.key = key;
    if (!(then->entry.flags & ENTRY_VECTOR)) return NACRE_OK;
    Entry vector = then->entry;
    vector.flags &= ~(ENTRY_BLOB | ENTRY_PIECES); /* its value is compared by checksum, and not loaded */
    return row_load(db, get_u32_be(key.data), &vector, true, NULL, NULL, &then->vector, &then->vector_capacity,
                    &then->row);
}

/* The checksum that a reference to these bytes has (rule 10 of segment_format.h). */
static uint64_t blob_checksum(Span bytes, bool pieces) {
    uint8_t table[8 * ((LIMIT_VALUE_SIZE + PIECE_SIZE - 1) / PIECE_SIZE)];
    if (!pieces) return checksum64(bytes.size, bytes.data, bytes.size);
    size_t count = (size_t)piece_count_of(bytes.size);
    ASSERT(8 * count <= sizeof table);
    for (size_t i = 0; i < count; i++) {
        size_t left = bytes.size - i * PIECE_SIZE;
        put_u64(table + 8 * i, checksum64(i, bytes.data + i * PIECE_SIZE, left < PIECE_SIZE ? left : PIECE_SIZE));
    }
    return checksum64(bytes.size, table, 8 * count);
}

static uint64_t value_size_of(const RowThen *then) {
    return then->entry.flags & ENTRY_BLOB ? then->entry.blob.size : then->entry.value.size;
}

/* What identifies a large value, with pieces or without, wherever it lies. */
static nacre_status value_checksum_of(Db *db, const RowThen *then, bool pieces, uint64_t *checksum) {
    if (!(then->entry.flags & ENTRY_BLOB)) {
        *checksum = blob_checksum(then->entry.value, pieces);
        return NACRE_OK;
    }
    BlobRef blob = then->entry.blob;
    *checksum = blob.checksum;
    if (blob.pieces == pieces) return NACRE_OK;
    /* Without pieces, of a file of version 1: no value there is larger than a put may be. */
    TRY(segment_check_blob(then->entry.segment, &blob));
    if (blob.size > LIMIT_VALUE_SIZE)
        return env_fail(&db->env, NACRE_CORRUPT, "%s: segment %llu: a value of %llu bytes without pieces", db->name,
                        (unsigned long long)then->entry.segment->id, (unsigned long long)blob.size);
    uint8_t *bytes = env_alloc(&db->env, (size_t)blob.size);
    if (!bytes) return NACRE_RESOURCE_EXHAUSTED;
    nacre_status status = segment_read_blob(then->entry.segment, blob, bytes);
    if (status == NACRE_OK) *checksum = blob_checksum(span_of(bytes, (size_t)blob.size), pieces);
    env_free(&db->env, bytes, (size_t)blob.size);
    return status;
}

static nacre_status values_differ(Db *db, const RowThen *a, const RowThen *b, bool *differ) {
    uint64_t x = 0, y = 0;
    *differ = value_size_of(a) != value_size_of(b);
    if (*differ) return NACRE_OK;
    if (!((a->entry.flags | b->entry.flags) & ENTRY_BLOB)) {
        *differ = !span_eq(a->entry.value, b->entry.value);
        return NACRE_OK;
    }
    bool pieces = ((a->entry.flags & ENTRY_BLOB) && a->entry.blob.pieces) ||
                  ((b->entry.flags & ENTRY_BLOB) && b->entry.blob.pieces);
    TRY(value_checksum_of(db, a, pieces, &x));
    TRY(value_checksum_of(db, b, pieces, &y));
    *differ = x != y;
    return NACRE_OK;
}

static nacre_status rows_then_differ(Db *db, const RowThen *a, const RowThen *b, bool *differ) {
    const uint32_t seen = ENTRY_DELETE | ENTRY_VECTOR | ENTRY_EXPIRES;
    *differ = a->present != b->present;
    if (*differ || !a->present) return NACRE_OK;
    *differ = ((a->entry.flags ^ b->entry.flags) & seen) || !span_eq(a->row.vector, b->row.vector) ||
              ((a->entry.flags & ENTRY_EXPIRES) && a->entry.expires != b->entry.expires);
    return *differ ? NACRE_OK : values_differ(db, a, b, differ);
}

static nacre_status conflict_compare(const Transaction *tx, const Snapshot *base, Span key) {
    Db *db = tx->db;
    RowThen then = {0}, now = {0};
    nacre_status status = row_then(db, base, key, &then);
    if (status == NACRE_OK) status = row_then(db, state_view(db, NULL), key, &now);
    bool differs = false;
    if (status == NACRE_OK) status = rows_then_differ(db, &then, &now, &differs);
    cache_unpin(&db->cache, then.pin);
    cache_unpin(&db->cache, now.pin);
    env_free(&db->env, then.vector, then.vector_capacity);
    env_free(&db->env, now.vector, now.vector_capacity);
    const Membrane *membrane = catalog_by_id(db, get_u32_be(key.data));
    if (!differs || !membrane) return status; /* dropped meanwhile: told as such */
    char text[KEY_TEXT_SIZE];
    key_text(&db->env, &membrane->schema, span_of(key.data + 4, key.size - 4), text);
    return env_fail(&db->env, NACRE_CONFLICT, "membrane \"%s\": key %s was changed since the transaction began",
                    membrane->name, text);
}

/* May the row of `key` have been written since? */
static bool conflict_possible(const Db *db, uint64_t since, Span key) {
    if (db->durable[0].superblock.flushed_lsn > since) return true;
    const Memtable *tables[2] = {db->active, db->frozen};
    for (int i = 0; i < 2; i++) {
        const uint8_t *record = tables[i] ? memtable_get(tables[i], key, UINT32_MAX) : NULL;
        if (record && tables[i]->base_lsn + record_stamp(record) > since) return true;
    }
    return false;
}

nacre_status conflict_check(const Transaction *tx) {
    Snapshot base = *tx->view;
    Merge merge = {0};
    if (tx->db->last_lsn == base.lsn) return NACRE_OK; /* nobody wrote */
    base.transaction = NULL;
    TRY(own_merge(tx, &merge));
    nacre_status status = merge_seek(&merge, (Span){NULL, 0});
    while (status == NACRE_OK && merge_valid(&merge)) {
        if (conflict_possible(tx->db, base.lsn, merge_key(&merge)))
            status = conflict_compare(tx, &base, merge_key(&merge));
        if (status == NACRE_OK) status = merge_next(&merge);
    }
    merge_clear(&merge);
    return status;
}
