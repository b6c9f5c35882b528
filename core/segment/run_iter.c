/* run_iter.c - steps through blocks of one segment after the other. The current key
 * is put together from its block's prefix and its suffix. */
#include "segment/run_iter.h"

enum {
    RUN_ITER_SHORT = 8, /* blocks that a short scan reads */
    AHEAD_SHARE = 128,  /* one run takes at most this part of the cache's bytes besides */
};

typedef struct RunIter {
    Iter base;
    SegmentIo *io;
    Segment **segments;
    size_t count;
    uint8_t *above;
    size_t above_size;
    bool cached;
    size_t segment;    /* where it stands */
    uint32_t block_index, row;
    Block block;
    CacheEntry *meta_pin, *block_pin;
    BlocksAhead ahead; /* blocks read past the cache */
    size_t room;       /* bytes of them */
    uint32_t entered;  /* blocks, since the last seek */
    uint8_t *key;
    size_t key_capacity;
    bool key_prefixed; /* key begins with the block's prefix */
    RunPick *picks;    /* of each segment; NULL: all rows are wanted */
} RunIter;

static void run_iter_leave_block(RunIter *it) {
    cache_unpin(it->io->cache, it->block_pin);
    it->block_pin = NULL;
    it->key_prefixed = false;
}

static void run_iter_leave(RunIter *it) {
    run_iter_leave_block(it);
    cache_unpin(it->io->cache, it->meta_pin);
    it->meta_pin = NULL;
    it->base.valid = false;
}

static nacre_status run_iter_enter(RunIter *it, size_t segment) {
    run_iter_leave(it);
    it->segment = segment;
    return segment_pin_meta(it->segments[segment], &it->meta_pin);
}

static nacre_status run_iter_enter_block(RunIter *it, uint32_t index) {
    run_iter_leave_block(it);
    it->block_index = index;
    Segment *segment = it->segments[it->segment];
    /* A long walk takes from a full cache what is there and leaves it as it is: it will not
     * come back soon to what it has read. */
    if (it->cached && (it->entered++ < RUN_ITER_SHORT || it->io->data->map ||
                       segment_block_is_cached(segment, index) || cache_has_room(it->io->cache)))
        return segment_block(segment, index, &it->block, &it->block_pin);
    return segment_block_ahead(segment, index, it->room, &it->ahead, &it->block);
}

static nacre_status run_iter_key_room(RunIter *it, size_t size) {
    void *key = it->key;
    if (size <= it->key_capacity) return NACRE_OK;
    TRY(env_grow(it->io->env, &key, &it->key_capacity, size, 1));
    it->key = key;
    it->key_prefixed = false;
    return NACRE_OK;
}

/* Stands on `row` of the current block. */
static nacre_status run_iter_stand(RunIter *it, uint32_t row) {
    it->row = row;
    Span prefix = it->block.prefix, suffix = block_suffix(&it->block, row);
    if (prefix.size == 0) {
        iter_set_key(&it->base, suffix);
        return NACRE_OK;
    }
    TRY(run_iter_key_room(it, prefix.size + suffix.size));
    if (!it->key_prefixed) memcpy(it->key, prefix.data, prefix.size);
    it->key_prefixed = true; /* until the block is left */
    bytes_copy(it->key + prefix.size, suffix.data, suffix.size);
    iter_set_key(&it->base, span_of(it->key, prefix.size + suffix.size));
    return NACRE_OK;
}

static bool run_iter_hidden(const RunIter *it, Span key) {
    return it->above_size && span_compare(key, span_of(it->above, it->above_size)) <= 0;
}

static nacre_status run_iter_next_plain(Iter *iter) {
    RunIter *it = (RunIter *)iter;
    ASSERT(iter->valid);
    iter->valid = false;
    if (it->row + 1 < it->block.count) return run_iter_stand(it, it->row + 1);
    if (it->block_index + 1 >= it->segments[it->segment]->meta.block_count) {
        if (it->segment + 1 >= it->count) {
            run_iter_leave(it);
            return NACRE_OK;
        }
        TRY(run_iter_enter(it, it->segment + 1));
        TRY(run_iter_enter_block(it, 0));
    } else {
        TRY(run_iter_enter_block(it, it->block_index + 1));
    }
    return run_iter_stand(it, 0);
}

static nacre_status run_iter_prev_plain(Iter *iter) {
    RunIter *it = (RunIter *)iter;
    ASSERT(iter->valid);
    iter->valid = false;
    if (it->row > 0) {
        TRY(run_iter_stand(it, it->row - 1));
    } else {
        if (it->block_index == 0) {
            if (it->segment == 0) {
                run_iter_leave(it);
                return NACRE_OK;
            }
            TRY(run_iter_enter(it, it->segment - 1));
            TRY(run_iter_enter_block(it, it->segments[it->segment]->meta.block_count - 1));
        } else {
            TRY(run_iter_enter_block(it, it->block_index - 1));
        }
        TRY(run_iter_stand(it, it->block.count - 1));
    }
    if (run_iter_hidden(it, iter->key)) run_iter_leave(it);
    return NACRE_OK;
}

/* First segment whose last key is >= key; count: none. */
static size_t run_iter_segment_of(const RunIter *it, Span key) {
    size_t low = 0, high = it->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (span_compare(segment_last_key(it->segments[middle]), key) < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

static nacre_status run_iter_seek_plain(RunIter *it, Span key) {
    run_iter_leave(it);
    it->entered = 0;
    size_t segment = run_iter_segment_of(it, key);
    if (segment == it->count) return NACRE_OK;
    TRY(run_iter_enter(it, segment));
    TRY(run_iter_enter_block(it, segment_block_of(it->segments[segment], key)));
    bool equal;
    uint32_t row = block_seek(&it->block, key, &equal);
    if (row < it->block.count) return run_iter_stand(it, row);
    TRY(run_iter_stand(it, it->block.count - 1)); /* key is above this block: the next row is right */
    return run_iter_next_plain(&it->base);
}

/* ---- picked rows ---- */

void run_pick_clear(SegmentIo *io, RunPick *pick) {
    cache_unpin(io->cache, pick->fields.pin);
    env_free(io->env, pick->bits, run_pick_size(pick->rows));
    *pick = (RunPick){0};
}

/* The first picked number from `number` on, or, backward, the last one below it; false: there is none. */
static bool run_pick_find(const RunPick *p, uint32_t number, bool backward, uint32_t *found) {
    uint32_t at = number < p->first ? 0 : number - p->first;
    if (at > p->rows) at = p->rows;
    for (; backward ? at > 0 : at < p->rows;) {
        uint32_t bit = backward ? at - 1 : at, byte = p->bits[bit / 8];
        if (byte == 0) {
            at = backward ? bit / 8 * 8 : (bit / 8 + 1) * 8;
            continue;
        }
        if (byte >> bit % 8 & 1) {
            *found = p->first + bit;
            return true;
        }
        at = backward ? bit : bit + 1;
    }
    return false;
}

/* The number of row `row` of the block under way: of a deletion, that of the next row that is none. */
static uint32_t run_iter_number(const RunIter *it, const RunPick *p, uint32_t row) {
    uint32_t before = fields_before(&p->fields, it->block_index), living = 0;
    if (fields_before(&p->fields, it->block_index + 1) - before == it->block.count) return before + row;
    for (uint32_t i = 0; i < row; i++) living += !(block_flags(&it->block, i) & ENTRY_DELETE);
    return before + living;
}

static nacre_status run_iter_stand_on(RunIter *it, const RunPick *p, uint32_t number, bool backward) {
    uint32_t block = it->block_index, row = 0, from = block;
    if (number < fields_before(&p->fields, block) || number >= fields_before(&p->fields, block + 1)) {
        block = fields_block_of(&p->fields, number);
        TRY(run_iter_enter_block(it, block));
    }
    uint32_t left = number - fields_before(&p->fields, block);
    if (fields_before(&p->fields, block + 1) - fields_before(&p->fields, block) == it->block.count) row = left;
    else
        for (uint32_t living = 0; row < it->block.count; row++)
            if (!(block_flags(&it->block, row) & ENTRY_DELETE) && living++ == left) break;
    bool ahead = backward ? block <= from : block >= from; /* what the numbers of blocks say may be made up */
    if (ahead && row < it->block.count) return run_iter_stand(it, row);
    return env_fail(it->io->env, NACRE_CORRUPT, "%s: segment %llu: indexed fields: a row that is not there",
                    it->io->data->name, (unsigned long long)it->segments[it->segment]->id);
}

/* From the row it stands on, on to one that is picked. */
static nacre_status run_iter_pick(RunIter *it, bool backward) {
    while (it->picks && it->base.valid && it->picks[it->segment].bits) {
        const RunPick *p = &it->picks[it->segment];
        uint32_t number = run_iter_number(it, p, it->row), found;
        bool living = !(block_flags(&it->block, it->row) & ENTRY_DELETE);
        it->base.valid = false;
        if (run_pick_find(p, number + (backward && living), backward, &found)) {
            if (!living || found != number) return run_iter_stand_on(it, p, found, backward);
            it->base.valid = true;
            return NACRE_OK;
        }
        if (backward ? it->segment == 0 : it->segment + 1 >= it->count) {
            run_iter_leave(it);
            return NACRE_OK;
        }
        TRY(run_iter_enter(it, backward ? it->segment - 1 : it->segment + 1));
        TRY(run_iter_enter_block(it, backward ? it->segments[it->segment]->meta.block_count - 1 : 0));
        TRY(run_iter_stand(it, backward ? it->block.count - 1 : 0));
    }
    return NACRE_OK;
}

static nacre_status run_iter_pick_back(RunIter *it) {
    TRY(run_iter_pick(it, true));
    if (it->picks && it->base.valid && run_iter_hidden(it, it->base.key)) run_iter_leave(it);
    return NACRE_OK;
}

static nacre_status run_iter_next(Iter *iter) {
    TRY(run_iter_next_plain(iter));
    return run_iter_pick((RunIter *)iter, false);
}

static nacre_status run_iter_prev(Iter *iter) {
    TRY(run_iter_prev_plain(iter));
    return run_iter_pick_back((RunIter *)iter);
}

static nacre_status run_iter_seek(Iter *iter, Span key) {
    RunIter *it = (RunIter *)iter;
    bool bounded = run_iter_hidden(it, key);
    TRY(run_iter_seek_plain(it, bounded ? span_of(it->above, it->above_size) : key));
    if (iter->valid && run_iter_hidden(it, iter->key)) TRY(run_iter_next_plain(iter));
    return run_iter_pick(it, false);
}

static nacre_status run_iter_seek_before(Iter *iter, Span key) {
    RunIter *it = (RunIter *)iter;
    TRY(run_iter_seek_plain(it, key));
    if (iter->valid) return run_iter_prev(iter);
    if (it->count == 0) return NACRE_OK;
    TRY(run_iter_enter(it, it->count - 1)); /* every key is below */
    TRY(run_iter_enter_block(it, it->segments[it->segment]->meta.block_count - 1));
    TRY(run_iter_stand(it, it->block.count - 1));
    if (run_iter_hidden(it, iter->key)) run_iter_leave(it);
    return run_iter_pick_back(it);
}

static void run_iter_entry(Iter *iter, Entry *entry) {
    RunIter *it = (RunIter *)iter;
    entry->key = iter->key;
    segment_entry(it->segments[it->segment], &it->block, it->row, entry);
}

static void run_iter_close(Iter *iter) {
    RunIter *it = (RunIter *)iter;
    Env *env = it->io->env;
    run_iter_leave(it);
    for (size_t i = 0; i < it->count; i++) segment_release(it->segments[i]);
    for (size_t i = 0; it->picks && i < it->count; i++) run_pick_clear(it->io, &it->picks[i]);
    env_free(env, it->picks, it->count * sizeof *it->picks);
    env_free(env, it->segments, it->count * sizeof *it->segments);
    env_free(env, it->above, it->above_size);
    env_free(env, it->ahead.bytes, it->ahead.capacity);
    env_free(env, it->key, it->key_capacity);
    env_free(env, it, sizeof *it);
}

static const IterVerbs run_iter_verbs = {run_iter_seek, run_iter_seek_before, run_iter_next,
                                         run_iter_prev, run_iter_entry,       run_iter_close};

nacre_status run_iter_open(SegmentIo *io, Segment *const *segments, size_t count, Span above, bool cached,
                           Iter **out) {
    RunIter *it = env_alloc_zeroed(io->env, sizeof *it);
    if (!it) return NACRE_RESOURCE_EXHAUSTED;
    it->base.verbs = &run_iter_verbs;
    it->io = io;
    it->cached = cached;
    it->room = io->cache->limit / AHEAD_SHARE < BLOCKS_AHEAD_BYTES ? (size_t)(io->cache->limit / AHEAD_SHARE) : BLOCKS_AHEAD_BYTES;
    nacre_status status = NACRE_RESOURCE_EXHAUSTED;
    if (!(it->segments = env_alloc(io->env, count * sizeof *it->segments))) goto fail;
    if (above.size && !(it->above = env_alloc(io->env, above.size))) goto fail;
    if (above.size) memcpy(it->above, above.data, above.size);
    it->above_size = above.size;
    for (; it->count < count; it->count++) {
        it->segments[it->count] = segments[it->count];
        segment_retain(segments[it->count]);
    }
    *out = &it->base;
    return NACRE_OK;
fail:
    env_free(io->env, it->segments, count * sizeof *it->segments);
    env_free(io->env, it, sizeof *it);
    return status;
}

nacre_status run_iter_open_picked(SegmentIo *io, Segment *const *segments, size_t count, Span above, RunPick *picks,
                                  Iter **out) {
    RunPick *kept = env_alloc(io->env, count * sizeof *kept);
    nacre_status status = kept ? run_iter_open(io, segments, count, above, true, out) : NACRE_RESOURCE_EXHAUSTED;
    if (status != NACRE_OK) {
        env_free(io->env, kept, count * sizeof *kept);
        for (size_t i = 0; i < count; i++) run_pick_clear(io, &picks[i]);
        return status;
    }
    RunIter *it = (RunIter *)*out;
    memcpy(kept, picks, count * sizeof *kept);
    it->picks = kept;
    it->room = 0; /* what follows a block is not what comes next */
    return NACRE_OK;
}
