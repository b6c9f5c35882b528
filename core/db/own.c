/* own.c - where a transaction's own writes lie: a memtable that grows with them. Knows
 * nothing of conflicts, nor of what a record means. */
#include "db/transaction.h"

#include "memtable/mem_iter.h"

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

static bool own_fits(const Memtable *own, uint64_t bytes) { return own->used + bytes <= own->capacity; }

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

/* Grows in steps, so that a small transaction costs little. */
static size_t own_step(const Transaction *tx, uint64_t bytes) {
    uint64_t most = tx->db->options.memtable_size / OWN_SHARE, step = most / (OWN_STEP * OWN_STEP);
    while (step < bytes && step < most) step *= OWN_STEP;
    if (step > most) step = most;
    return (size_t)(step < bytes ? bytes : step); /* a write of its own may be larger */
}

nacre_status own_reserve(Transaction *tx, uint64_t bytes, uint64_t records) {
    Memtable *own = tx->view->own, *larger = NULL;
    if (bytes > SIZE_MAX / 2)
        return env_fail(&tx->db->env, NACRE_RESOURCE_EXHAUSTED, "transaction: a write of %llu bytes",
                        (unsigned long long)bytes);
    if (own && !own_fits(own, bytes)) {
        size_t capacity = own_step(tx, own->used + bytes);
        if (capacity > tx->db->options.memtable_size / OWN_SHARE) capacity *= 2;
        TRY(own_copy(own, capacity, &larger));
        own_replace(tx, larger);
    }
    if (!tx->view->own)
        TRY(memtable_alloc(&tx->db->env, own_step(tx, bytes), tx->view->own_position, 0, &tx->view->own));
    return memtable_reserve(tx->view->own, records);
}

nacre_status own_undo(Transaction *tx, const Savepoint *to) {
    Memtable *own = tx->view->own;
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
    Iter *iter = NULL;
    if (tx->view->own) TRY(mem_iter_open(tx->view->own, OWN_UNDONE - 1, &iter));
    return merge_init(merge, &tx->db->env, &iter, iter != NULL);
}
