/* own.c - where a transaction's own writes lie: a memtable that grows with them, up to a
 * share of the memory; then spill.c takes what is in it. Knows nothing of conflicts, nor of
 * what a record means. */
#include "db/transaction.h"

#include "memtable/mem_iter.h"
#include "segment/run_iter.h"

uint8_t *own_walk_next(OwnWalk *walk) {
    const Memtable *own = walk->own;
    while (walk->at == walk->batch_end) {
        if (walk->at >= own->used) return NULL;
        walk->batch_end = walk->at + get_u32(own->arena + walk->at);
        walk->at += BATCH_HEAD;
    }
    uint8_t *record = own->arena + walk->at;
    walk->at += (size_t)record_size(record_key_size(record), record_value_size(record));
    return record;
}

static bool own_fits(const Transaction *tx, const Memtable *own, size_t capacity, uint64_t bytes, uint64_t records) {
    if (own->used + bytes > capacity) return false;
    if (tx->view->own_position - own->base_lsn >= OWN_UNDONE - 2) return false; /* stamps are 32 bits */
    return own->record_count == 0 || memtable_node_bytes_max(own, records) <= capacity / 2 + (1u << 20);
}

/* The same records, at the same offsets, in an arena of `capacity` bytes. */
static nacre_status own_copy(const Memtable *own, size_t capacity, Memtable **out) {
    Memtable *copy = NULL;
    TRY(memtable_alloc(own->env, capacity, own->base_lsn, 0, &copy));
    nacre_status status = memtable_reserve(copy, own->record_count);
    if (status != NACRE_OK) {
        memtable_release(copy);
        return status;
    }
    memcpy(copy->arena, own->arena, own->used);
    copy->used = own->used;
    OwnWalk walk = {.own = copy};
    for (const uint8_t *record; (record = own_walk_next(&walk)) != NULL;) {
        uint32_t stamp = record_stamp(record);
        if (stamp == OWN_UNDONE) continue;
        bool inserted = memtable_insert(copy, (uint32_t)(record - copy->arena), stamp);
        ASSERT(inserted);
    }
    *out = copy;
    return NACRE_OK;
}

static void own_replace(Transaction *tx, Memtable *own) {
    memtable_release(tx->view->own);
    tx->view->own = own;
}

static size_t own_most(const Transaction *tx) { return (size_t)(tx->db->options.memtable_size / OWN_SHARE); }

/* Grows in steps, so that a small transaction costs little. */
static size_t own_step(const Transaction *tx, uint64_t bytes) {
    size_t most = own_most(tx), step = tx->run_count ? most : most / (OWN_STEP * OWN_STEP);
    while (step < bytes && step < most) step *= OWN_STEP;
    if (step > most) step = most;
    return step < bytes ? (size_t)bytes : step; /* a write of its own may be larger */
}

static nacre_status own_grow(Transaction *tx, uint64_t bytes, uint64_t records, bool *grown) {
    Memtable *own = tx->view->own, *larger = NULL;
    size_t capacity = own_step(tx, own->used + bytes);
    *grown = false;
    if (capacity == own->capacity || capacity > own_most(tx) || !own_fits(tx, own, capacity, bytes, records))
        return NACRE_OK;
    nacre_error error = tx->db->env.error;
    if (own_copy(own, capacity, &larger) == NACRE_OK) {
        own_replace(tx, larger);
        *grown = true;
    }
    tx->db->env.error = error; /* no memory for that: what is there is spilled */
    return NACRE_OK;
}

nacre_status own_reserve(Transaction *tx, uint64_t bytes, uint64_t records) {
    Memtable *own = tx->view->own;
    if (bytes > SIZE_MAX / 2)
        return env_fail(&tx->db->env, NACRE_RESOURCE_EXHAUSTED, "transaction: a write of %llu bytes",
                        (unsigned long long)bytes);
    if (own && !own_fits(tx, own, own->capacity, bytes, records)) {
        bool grown = false;
        TRY(own_grow(tx, bytes, records, &grown));
        if (!grown) TRY(spill(tx));
    }
    if (!tx->view->own)
        TRY(memtable_alloc(&tx->db->env, own_step(tx, bytes), tx->view->own_position, 0, &tx->view->own));
    return memtable_reserve(tx->view->own, records);
}

nacre_status own_undo(Transaction *tx, const Savepoint *to) {
    Memtable *own = tx->view->own;
    TRY(spill_undo(tx, to->position)); /* runs to forget: then all of the memtable is newer, and nothing below fails */
    if (own && to->used == 0) {
        own_replace(tx, NULL);
    } else if (own && to->used < own->used) {
        if (own->references > 1) { /* rule 3 */
            TRY(own_copy(own, own->capacity, &own));
            own_replace(tx, own);
        }
        OwnWalk walk = {own, to->used, to->used};
        for (uint8_t *record; (record = own_walk_next(&walk)) != NULL;) put_u32(record + 12, OWN_UNDONE);
    }
    return NACRE_OK;
}

nacre_status own_merge(const Transaction *tx, Merge *merge) {
    Env *env = &tx->db->env;
    size_t most = tx->run_count + 1, count = 0;
    Iter **iters = env_alloc(env, most * sizeof *iters);
    nacre_status status = iters ? NACRE_OK : NACRE_RESOURCE_EXHAUSTED;
    if (status == NACRE_OK && tx->view->own) {
        status = mem_iter_open(tx->view->own, OWN_UNDONE - 1, &iters[count]);
        count += status == NACRE_OK;
    }
    for (size_t i = 0; i < tx->run_count && status == NACRE_OK; i++) {
        const Run *run = &tx->view->own_runs->runs[i];
        status = run_iter_open(&tx->db->io, run->segments, run->count, (Span){NULL, 0}, false, &iters[count]);
        count += status == NACRE_OK;
    }
    if (status == NACRE_OK) status = merge_init(merge, env, iters, count);
    else
        for (size_t i = 0; i < count; i++) iters[i]->verbs->close(iters[i]);
    env_free(env, iters, most * sizeof *iters);
    return status;
}
