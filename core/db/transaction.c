/* transaction.c - the life of a transaction: its beginning, writes, savepoints, clearing
 * and end. Where its writes lie is the business of own.c and spill.c, what a conflict is
 * that of conflict.c. */
#include "db/transaction.h"

nacre_status transaction_begin(Db *db, Transaction **out) {
    TRY(state_writable(db));
    if (db->transaction) return env_fail(&db->env, NACRE_BUSY, "%s: another transaction is open", db->name);
    Transaction *tx = env_alloc_zeroed(&db->env, sizeof *tx);
    if (!tx) return NACRE_RESOURCE_EXHAUSTED;
    tx->db = db;
    nacre_status status = snapshot_open(db, &tx->view);
    if (status != NACRE_OK) {
        env_free(&db->env, tx, sizeof *tx);
        return status;
    }
    tx->view->transaction = tx;
    tx->next_serial = 1;
    db->transaction = tx;
    *out = tx;
    return NACRE_OK;
}

void transaction_rollback(Transaction *tx) {
    if (!tx) return;
    Db *db = tx->db;
    spill_clear(tx);
    memtable_release(tx->view->own);
    tx->view->transaction = NULL;
    snapshot_release(tx->view);
    db->transaction = NULL;
    env_free(&db->env, tx->savepoints, tx->savepoints_capacity * sizeof *tx->savepoints);
    env_free(&db->env, tx, sizeof *tx);
}

const Snapshot *transaction_view(const Transaction *tx) { return tx->view; }
Db *transaction_db(const Transaction *tx) { return tx->db; }

/* ---- writing ---- */

static nacre_status transaction_writable(const Transaction *tx) {
    TRY(state_writable(tx->db));
    if (tx->broken)
        return env_fail(&tx->db->env, NACRE_MISUSE, "transaction: an earlier failure could not be undone; roll it back");
    return NACRE_OK;
}

nacre_status transaction_reserve(Transaction *tx, uint64_t bytes, uint64_t records, uint8_t **at) {
    Db *db = tx->db;
    TRY(transaction_writable(tx));
    if (bytes > UINT32_MAX - 4 || records > UINT32_MAX)
        return env_fail(&db->env, NACRE_RESOURCE_EXHAUSTED, "transaction: %llu bytes in %llu records are too many",
                        (unsigned long long)bytes, (unsigned long long)records);
    TRY(own_reserve(tx, round_up(bytes, 4), records));
    tx->reserved = bytes;
    tx->reserved_records = records;
    *at = tx->view->own->arena + tx->view->own->used;
    return NACRE_OK;
}

nacre_status transaction_write(Transaction *tx, size_t bytes) {
    Db *db = tx->db;
    Snapshot *view = tx->view;
    TRY(state_writable(db));
    if (bytes > tx->reserved)
        return env_fail(&db->env, NACRE_MISUSE, "transaction: a write of more bytes than were reserved");
    if (bytes == 0) return NACRE_OK;
    Memtable *own = view->own;
    uint64_t lsn = 0, records = 0;
    bool puts = false;
    TRY(write_check_batches(db, own->arena + own->used, bytes, &lsn, &records, &puts));
    if (records > tx->reserved_records)
        return env_fail(&db->env, NACRE_INVALID_ARGUMENT, "transaction: more records than reserved");
    tx->reserved = tx->reserved_records = 0;
    OwnWalk walk = {own, own->used, own->used};
    own->used += bytes;
    view->own_position++;
    uint32_t stamp = (uint32_t)(view->own_position - own->base_lsn);
    for (const uint8_t *record; (record = own_walk_next(&walk)) != NULL;) {
        bool inserted = memtable_insert(own, (uint32_t)(record - own->arena), stamp);
        ASSERT(inserted); /* key_check makes keys prefix-free */
    }
    tx->unpaid += bytes;
    if (tx->run_count > 0 && tx->unpaid >= STEP_CREDIT_MIN) { /* what is spilled is not paid for at commit */
        spill_fold(tx, tx->unpaid);
        maintain_after_write(db, tx->unpaid);
        tx->unpaid = 0;
    }
    return NACRE_OK;
}

/* ---- savepoints ---- */

nacre_status transaction_savepoint(Transaction *tx, uint64_t *serial) {
    void *savepoints = tx->savepoints;
    TRY(env_grow(&tx->db->env, &savepoints, &tx->savepoints_capacity, tx->savepoint_count + 1, sizeof(Savepoint)));
    tx->savepoints = savepoints;
    tx->savepoints[tx->savepoint_count++] = (Savepoint){
        .serial = tx->next_serial,
        .position = tx->view->own_position,
        .used = tx->view->own ? tx->view->own->used : 0,
    };
    *serial = tx->next_serial++;
    return NACRE_OK;
}

WRAPS static nacre_status savepoint_find(const Transaction *tx, uint64_t serial, size_t *index) {
    for (size_t i = tx->savepoint_count; i-- > 0;)
        if (tx->savepoints[i].serial == serial) {
            *index = i;
            return NACRE_OK;
        }
    return env_fail(&tx->db->env, NACRE_NOT_FOUND, "transaction: there is no savepoint %llu",
                    (unsigned long long)serial);
}

nacre_status transaction_rollback_to(Transaction *tx, uint64_t serial) {
    size_t index = 0;
    TRY(savepoint_find(tx, serial, &index));
    TRY(own_undo(tx, &tx->savepoints[index]));
    tx->savepoint_count = index + 1;
    return NACRE_OK;
}

nacre_status transaction_release(Transaction *tx, uint64_t serial) {
    size_t index = 0;
    TRY(savepoint_find(tx, serial, &index));
    tx->savepoint_count = index;
    return NACRE_OK;
}

/* ---- clear ---- */

/* Deletions gathered for one write. */
typedef struct Deletions {
    uint8_t *bytes; /* a batch */
    size_t size, capacity;
    uint32_t count;
} Deletions;

static nacre_status deletions_add(Env *env, Deletions *d, uint32_t membrane, Span key) {
    void *bytes = d->bytes;
    size_t record = (size_t)record_size(key.size + 4, 0), at = d->size ? d->size : BATCH_HEAD;
    TRY(env_grow(env, &bytes, &d->capacity, at + record, 1));
    d->bytes = bytes;
    memset(d->bytes + at, 0, record);
    put_u32(d->bytes + at, (uint32_t)(key.size + 4) | RECORD_DELETE << 24);
    (void)full_key(membrane, key, d->bytes + at + RECORD_HEAD);
    d->size = at + record;
    d->count++;
    return NACRE_OK;
}

static nacre_status deletions_write(Transaction *tx, Deletions *d) {
    uint8_t *at = NULL;
    if (d->count == 0) return NACRE_OK;
    TRY(transaction_reserve(tx, d->size, d->count, &at));
    put_u32(d->bytes, (uint32_t)d->size);
    put_u32(d->bytes + 4, d->count);
    put_u64(d->bytes + 8, 0);
    memcpy(at, d->bytes, d->size);
    TRY(transaction_write(tx, d->size));
    d->size = d->count = 0;
    return NACRE_OK;
}

nacre_status transaction_clear(Transaction *tx, Membrane *membrane, KeyRange range, Span filter, uint64_t *removed) {
    Db *db = tx->db;
    Cursor *cursor = NULL;
    Deletions deletions = {0};
    RowView row;
    uint64_t serial = 0, count = 0;
    TRY(transaction_writable(tx));
    TRY(transaction_savepoint(tx, &serial));
    nacre_status status = cursor_open(membrane, tx->view, range, &cursor);
    if (status == NACRE_OK) {
        cursor_keys_only(cursor);
        status = cursor_filter(cursor, filter);
    }
    while (status == NACRE_OK && (status = cursor_next(cursor, &row)) == NACRE_OK) {
        status = write_check_read_key(membrane, row.key);
        if (status == NACRE_OK) status = deletions_add(&db->env, &deletions, membrane->id, row.key);
        count++;
        if (status == NACRE_OK && deletions.size >= CLEAR_BYTES) status = deletions_write(tx, &deletions);
    }
    cursor_close(cursor);
    if (status == NACRE_NOT_FOUND && cursor) status = deletions_write(tx, &deletions);
    env_free(&db->env, deletions.bytes, deletions.capacity);
    if (status != NACRE_OK) tx->broken = own_undo(tx, &tx->savepoints[tx->savepoint_count - 1]) != NACRE_OK;
    tx->savepoint_count--;
    if (status == NACRE_OK) *removed = count;
    return status;
}

/* ---- commit ---- */

/* What is left of the writes goes through the log as one batch, each key once. */
static nacre_status commit_logged(Transaction *tx, bool sync) {
    Db *db = tx->db;
    MemCursor cursor;
    uint8_t *at = NULL;
    uint64_t size = BATCH_HEAD, count = 0;
    mem_cursor_init(&cursor, tx->view->own, OWN_UNDONE - 1);
    for (bool on = mem_cursor_first(&cursor); on; on = mem_cursor_next(&cursor), count++)
        size += record_size(record_key_size(cursor.record), record_value_size(cursor.record));
    if (count == 0) return NACRE_OK;
    TRY(db_reserve(db, size, count, &at));
    put_u32(at, (uint32_t)size);
    put_u32(at + 4, (uint32_t)count);
    put_u64(at + 8, 0); /* db_commit sets the LSN */
    at += BATCH_HEAD;
    for (bool on = mem_cursor_first(&cursor); on; on = mem_cursor_next(&cursor)) {
        size_t record = (size_t)record_size(record_key_size(cursor.record), record_value_size(cursor.record));
        memcpy(at, cursor.record, record);
        put_u64(at + 8, 0); /* link and stamp */
        at += record;
    }
    return db_commit(db, (size_t)size, sync);
}

/* Are all membranes still there that something is written to? */
static nacre_status commit_check_membranes(const Transaction *tx) {
    Merge merge = {0};
    uint8_t bound[4] = {0};
    TRY(own_merge(tx, &merge));
    nacre_status status = merge_seek(&merge, span_of(bound, 4));
    while (status == NACRE_OK && merge_valid(&merge)) {
        uint32_t id = get_u32_be(merge_key(&merge).data);
        if (!catalog_by_id(tx->db, id))
            status = env_fail(&tx->db->env, NACRE_NOT_FOUND, "transaction: membrane %u was dropped", id);
        put_u32_be(bound, id + 1); /* ids end far below the largest number */
        if (status == NACRE_OK) status = merge_seek(&merge, span_of(bound, 4));
    }
    merge_clear(&merge);
    return status;
}

/* The runs, and what is in memory still, become part of the database by one commit. */
static nacre_status commit_spilled(Transaction *tx) {
    TRY(commit_check_membranes(tx));
    TRY(spill(tx));
    return ingest_publish(tx->spilled);
}

nacre_status transaction_commit(Transaction *tx, bool sync) {
    nacre_status status = transaction_writable(tx);
    if (status == NACRE_OK) status = conflict_check(tx);
    if (status == NACRE_OK && tx->run_count > 0) status = commit_spilled(tx);
    else if (status == NACRE_OK && tx->view->own) status = commit_logged(tx, sync);
    transaction_rollback(tx); /* what is left of it */
    return status;
}
