/* spill.c - what of a transaction did not fit into memory: private runs (ingest.h), and the
 * merging of them where they are many. Knows nothing of records and conflicts.
 *
 * A run has the writes between two positions. Where savepoints are open, each stretch
 * between two of them is a run of its own, so that rolling back to one forgets whole runs. */
#include "db/transaction.h"

#include "memtable/mem_iter.h"
#include "segment/run_iter.h"

/* The newest record of each key of those written between two positions. */
static nacre_status spill_stretch(Transaction *tx, uint64_t low, uint64_t high) {
    const Memtable *own = tx->view->own;
    uint32_t stamp_low = (uint32_t)(low - own->base_lsn);
    MemCursor cursor;
    mem_cursor_init(&cursor, own, (uint32_t)(high - own->base_lsn));
    TRY(ingest_new_run(tx->spilled));
    for (bool on = mem_cursor_first(&cursor); on; on = mem_cursor_next(&cursor)) {
        if (record_stamp(cursor.record) <= stamp_low) continue;
        Entry entry;
        mem_entry(cursor.record, &entry);
        TRY(ingest_add(tx->spilled, &entry));
    }
    TRY(ingest_end_run(tx->spilled));
    if (ingest_version(tx->spilled)->count > tx->run_count) /* it has rows */
        tx->runs[tx->run_count++] = (SpilledRun){.low = low};
    return NACRE_OK;
}

static nacre_status spill_stretches(Transaction *tx) {
    uint64_t low = tx->view->own->base_lsn, end = tx->view->own_position;
    for (size_t i = 0; i < tx->savepoint_count; i++) {
        uint64_t position = tx->savepoints[i].position;
        if (position <= low || position >= end) continue;
        TRY(spill_stretch(tx, low, position));
        low = position;
    }
    return spill_stretch(tx, low, end);
}

nacre_status spill(Transaction *tx) {
    Env *env = &tx->db->env;
    size_t before = tx->run_count;
    void *runs = tx->runs;
    if (!tx->view->own) return NACRE_OK;
    TRY(env_grow(env, &runs, &tx->runs_capacity, before + tx->savepoint_count + 1, sizeof *tx->runs));
    tx->runs = runs;
    if (!tx->spilled) TRY(ingest_begin(tx->db, &tx->spilled));
    nacre_status status = spill_stretches(tx);
    if (status != NACRE_OK) {
        nacre_error error = env->error;
        size_t unfinished = ingest_version(tx->spilled)->count - before;
        /* New runs are in a version that nobody else reads: forgetting them takes no memory. */
        nacre_status dropped = ingest_drop_runs(tx->spilled, unfinished);
        ASSERT(dropped == NACRE_OK);
        env->error = error;
        tx->run_count = before;
    } else {
        memtable_release(tx->view->own);
        tx->view->own = NULL;
        for (size_t i = 0; i < tx->savepoint_count; i++) tx->savepoints[i].used = 0;
    }
    tx->view->own_runs = ingest_version(tx->spilled);
    return status;
}

static void fold_clear(Transaction *tx) {
    if (!tx->fold.into) return;
    merge_clear(&tx->fold.merge);
    ingest_free(tx->fold.into);
    tx->fold = (Fold){.failed = tx->fold.failed};
}

nacre_status spill_undo(Transaction *tx, uint64_t position) {
    size_t left = tx->run_count;
    while (left > 0 && tx->runs[left - 1].low >= position) left--;
    if (left == tx->run_count) return NACRE_OK;
    if (left < tx->fold.first + tx->fold.count) fold_clear(tx);
    TRY(ingest_drop_runs(tx->spilled, tx->run_count - left));
    tx->run_count = left;
    tx->view->own_runs = ingest_version(tx->spilled);
    return NACRE_OK;
}

void spill_clear(Transaction *tx) {
    Env *env = &tx->db->env;
    fold_clear(tx);
    ingest_free(tx->spilled);
    env_free(env, tx->runs, tx->runs_capacity * sizeof *tx->runs);
    tx->spilled = NULL;
    tx->runs = NULL;
    tx->run_count = tx->runs_capacity = 0;
    tx->view->own_runs = NULL;
}

/* ---- folding ---- */

/* May runs [first, first + TIER_RUNS) become one: are they of one tier, and on one side of
 * each savepoint? */
static bool fold_fits(const Transaction *tx, size_t first) {
    uint64_t low = tx->runs[first].low, last_low = tx->runs[first + TIER_RUNS - 1].low;
    for (size_t i = first; i < first + TIER_RUNS; i++)
        if (tx->runs[i].tier != tx->runs[first].tier) return false;
    for (size_t i = 0; i < tx->savepoint_count; i++)
        if (low < tx->savepoints[i].position && tx->savepoints[i].position <= last_low) return false;
    return true;
}

static nacre_status fold_begin(Transaction *tx, size_t first) {
    Db *db = tx->db;
    Iter *iters[TIER_RUNS];
    size_t opened = 0;
    Fold *fold = &tx->fold;
    TRY(ingest_begin(db, &fold->into));
    fold->first = first;
    fold->count = TIER_RUNS;
    nacre_status status = ingest_new_run(fold->into);
    for (size_t i = 0; i < TIER_RUNS && status == NACRE_OK; i++) { /* the newest first */
        const Run *run = &tx->view->own_runs->runs[tx->run_count - first - TIER_RUNS + i];
        status = run_iter_open(&db->io, run->segments, run->count, (Span){NULL, 0}, false, &iters[opened]);
        opened += status == NACRE_OK;
    }
    if (status != NACRE_OK) {
        for (size_t i = 0; i < opened; i++) iters[i]->verbs->close(iters[i]);
        return status;
    }
    TRY(merge_init(&fold->merge, &db->env, iters, opened));
    return merge_seek(&fold->merge, (Span){NULL, 0});
}

static nacre_status fold_end(Transaction *tx) {
    Fold *fold = &tx->fold;
    size_t first = fold->first;
    TRY(ingest_end_run(fold->into));
    TRY(ingest_replace(tx->spilled, tx->run_count - first - TIER_RUNS, TIER_RUNS, fold->into));
    tx->view->own_runs = ingest_version(tx->spilled);
    tx->runs[first].tier++;
    tx->run_count -= TIER_RUNS - 1;
    memmove(&tx->runs[first + 1], &tx->runs[first + TIER_RUNS], (tx->run_count - first - 1) * sizeof *tx->runs);
    fold_clear(tx);
    return NACRE_OK;
}

static nacre_status fold_step(Transaction *tx, uint64_t budget) {
    Fold *fold = &tx->fold;
    for (size_t first = 0; !fold->into && first + TIER_RUNS <= tx->run_count; first++)
        if (fold_fits(tx, first)) TRY(fold_begin(tx, first));
    if (!fold->into) return NACRE_OK;
    for (uint64_t work = 0; work < budget && merge_valid(&fold->merge);) {
        Entry entry;
        merge_entry(&fold->merge, &entry);
        work += entry.key.size + entry.value.size + 16;
        if (entry.flags & ENTRY_BLOB) work += entry.blob.size;
        if ((entry.flags & ENTRY_VECTOR) && catalog_by_id(tx->db, get_u32_be(entry.key.data)))
            work += schema_vector_size(&catalog_by_id(tx->db, get_u32_be(entry.key.data))->schema);
        TRY(ingest_add(fold->into, &entry));
        TRY(merge_next(&fold->merge));
    }
    return merge_valid(&fold->merge) ? NACRE_OK : fold_end(tx);
}

void spill_fold(Transaction *tx, uint64_t bytes) {
    if (tx->fold.failed || tx->run_count == 0) return;
    nacre_error error = tx->db->env.error;
    if (fold_step(tx, bytes * FOLD_RATE) != NACRE_OK) {
        tx->fold.failed = true;
        fold_clear(tx);
    }
    tx->db->env.error = error; /* it only makes reading faster: the write is done all the same */
}
