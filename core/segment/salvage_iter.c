/* salvage_iter.c - walks a run as run_iter.c does, with damage in it. Nothing but what the
 * checksums prove is shown. Knows nothing of other runs. */
#include "segment/salvage_iter.h"

#include "segment/spare.h"

typedef struct SalvageIter {
    Iter base;
    SegmentIo *io;
    Segment **segments;
    size_t count;
    Span above;
    uint8_t *above_bytes;
    SalvageTold *told;
    void *self;
    size_t segment;      /* where it stands */
    CacheEntry *pin;     /* its meta; NULL: page by page */
    uint32_t block_index; /* the next block */
    uint64_t page;       /* the next page */
    bool in_block;
    Block block;
    uint32_t row;
    BlocksAhead ahead;
    uint8_t *bytes, *key, *last; /* a block read by page; the row's key; the last key shown */
    size_t capacity, key_capacity, last_size, last_capacity;
    bool last_here;      /* `last` is of this segment */
    uint64_t rows;       /* of this segment, in blocks that could be read */
    bool gaps;           /* there was one in this segment */
    SalvageGap gap;      /* count 0: none is open */
    char gap_text[160];
} SalvageIter;

/* Damage, and not a failure of ours? Forgets it then. */
static bool salvage_is_damage(SalvageIter *it, nacre_status status, char text[160]) {
    Env *env = it->io->env;
    if (status != NACRE_CORRUPT && status != NACRE_IO && status != NACRE_VERSION) return false;
    size_t size = strlen(env->error.text);
    if (size > 159) size = 159;
    memcpy(text, env->error.text, size);
    text[size] = 0;
    env_clear(env);
    return true;
}

static void salvage_open_gap(SalvageIter *it, uint64_t stream_offset, const char *what) {
    Segment *segment = it->segments[it->segment];
    it->gaps = true;
    if (it->gap.count++ > 0) return;
    it->gap.segment = segment;
    it->gap.offset = segment_place(segment, STREAM_ROWS, stream_offset);
    if (what != it->gap_text) {
        strncpy(it->gap_text, what, sizeof it->gap_text - 1);
        it->gap_text[sizeof it->gap_text - 1] = 0;
    }
    it->gap.what = it->gap_text;
}

/* The gap, if one is open, ends before `next`; empty: with the segment. */
static nacre_status salvage_close_gap(SalvageIter *it, Span next) {
    if (it->gap.count == 0) return NACRE_OK;
    const Segment *segment = it->gap.segment;
    SalvageGap gap = it->gap;
    gap.from = it->last_here ? span_of(it->last, it->last_size) : segment_first_key(segment);
    gap.to = next.size ? next : segment_last_key(segment);
    it->gap.count = 0;
    bool hidden = it->above.size && span_compare(gap.to, it->above) <= 0;
    return hidden ? NACRE_OK : it->told(it->self, &gap);
}

static void salvage_leave(SalvageIter *it) {
    cache_unpin(it->io->cache, it->pin);
    it->pin = NULL;
    it->in_block = false;
}

/* Begins with a segment: by its index, or without. */
static nacre_status salvage_enter(SalvageIter *it, size_t index) {
    salvage_leave(it);
    it->segment = index;
    it->block_index = 0;
    it->page = 0;
    it->last_here = it->gaps = false;
    it->rows = 0;
    Segment *segment = it->segments[index];
    nacre_status status = segment_pin_meta(segment, &it->pin);
    if (status == NACRE_OK && segment->meta.block_count == 0) { /* a spare that somebody has pinned */
        cache_unpin(it->io->cache, it->pin);
        it->pin = NULL;
        return NACRE_OK;
    }
    if (status == NACRE_OK || salvage_is_damage(it, status, it->gap_text)) return NACRE_OK;
    return status;
}

/* ---- the next block that can be read; in_block false: the segment has no more ---- */

static nacre_status salvage_next_indexed(SalvageIter *it) {
    Segment *segment = it->segments[it->segment];
    while (it->block_index < segment->meta.block_count) {
        uint32_t index = it->block_index++;
        nacre_status status = segment_block_ahead(segment, index, BLOCKS_AHEAD_BYTES, &it->ahead, &it->block);
        if (status != NACRE_OK && salvage_is_damage(it, status, it->gap_text)) {
            it->ahead.segment = NULL; /* it may be a neighbour that cannot be read */
            status = segment_block_ahead(segment, index, 0, &it->ahead, &it->block);
        }
        if (status == NACRE_OK) {
            it->in_block = true;
            return NACRE_OK;
        }
        char text[160];
        if (!salvage_is_damage(it, status, text)) return status;
        uint32_t page = get_u32(segment->meta.pages + 4 * (size_t)index);
        salvage_open_gap(it, (uint64_t)page * segment->page_size, text);
    }
    return NACRE_OK;
}

static nacre_status salvage_next_paged(SalvageIter *it) {
    Segment *segment = it->segments[it->segment];
    uint64_t end = segment->meta_offset / segment->page_size;
    while (it->page < end) {
        uint64_t count = 0;
        bool empty = false;
        char text[160] = "no block that proves itself, and the index is damaged";
        nacre_status status = segment_block_at_page(segment, it->page, &it->bytes, &it->capacity, &it->block, &count);
        if (status == NACRE_OK && count == 0) status = segment_page_is_empty(segment, it->page, &empty);
        if (status != NACRE_OK && !salvage_is_damage(it, status, text)) return status;
        if (count > 0 && count <= end - it->page) {
            it->page += count;
            it->in_block = true;
            return NACRE_OK;
        }
        if (!empty) salvage_open_gap(it, it->page * segment->page_size, text);
        it->page++;
    }
    return NACRE_OK;
}

static nacre_status salvage_stand(SalvageIter *it) {
    Span key;
    TRY(segment_row_key(it->io->env, &it->block, it->row, &it->key, &it->key_capacity, &key));
    iter_set_key(&it->base, key);
    return NACRE_OK;
}

static nacre_status salvage_remember(SalvageIter *it) {
    Span key = it->base.key;
    void *last = it->last;
    TRY(env_grow(it->io->env, &last, &it->last_capacity, key.size, 1));
    it->last = last;
    memcpy(it->last, key.data, key.size);
    it->last_size = key.size;
    it->last_here = true;
    return NACRE_OK;
}

/* Moves on, to the next row above those shown (a made-up file may have others) and above the
 * bound. */
static nacre_status salvage_next(Iter *iter) {
    SalvageIter *it = (SalvageIter *)iter;
    bool begun = iter->valid;
    if (begun) {
        TRY(salvage_remember(it));
        it->row++;
    }
    iter->valid = false;
    while (it->segment < it->count) {
        while (it->in_block && it->row < it->block.count) {
            TRY(salvage_stand(it));
            bool shown = it->last_size && span_compare(iter->key, span_of(it->last, it->last_size)) <= 0;
            bool hidden = it->above.size && span_compare(iter->key, it->above) <= 0;
            if (!shown && !hidden) return salvage_close_gap(it, iter->key);
            if (hidden) TRY(salvage_remember(it));
            iter->valid = false;
            it->row++;
        }
        it->in_block = false;
        it->row = 0;
        TRY(it->pin ? salvage_next_indexed(it) : salvage_next_paged(it));
        if (it->in_block) {
            it->rows += it->block.count;
            continue;
        }
        /* A lost block may look like the zeros between blocks, where there is no index. */
        if (!it->gaps && it->rows < it->segments[it->segment]->rows) {
            it->last_here = false;
            salvage_open_gap(it, 0, "there were more rows, and the index is damaged");
        }
        TRY(salvage_close_gap(it, (Span){NULL, 0}));
        if (it->segment + 1 >= it->count) break;
        TRY(salvage_enter(it, it->segment + 1));
    }
    salvage_leave(it);
    it->segment = it->count;
    iter->valid = false;
    return NACRE_OK;
}

static nacre_status salvage_seek(Iter *iter, Span key) {
    SalvageIter *it = (SalvageIter *)iter;
    ASSERT(key.size == 0);
    it->last_size = 0;
    it->row = 0;
    it->gap.count = 0;
    iter->valid = false;
    if (it->count == 0) return NACRE_OK;
    TRY(salvage_enter(it, 0));
    return salvage_next(iter);
}

static nacre_status salvage_refuse(Iter *iter) {
    return env_fail(((SalvageIter *)iter)->io->env, NACRE_INTERNAL, "a walk over damage goes forward only");
}

static nacre_status salvage_seek_before(Iter *iter, Span key) {
    (void)key;
    return salvage_refuse(iter);
}

static void salvage_entry(Iter *iter, Entry *entry) {
    SalvageIter *it = (SalvageIter *)iter;
    entry->key = iter->key;
    segment_entry(it->segments[it->segment], &it->block, it->row, entry);
}

static void salvage_close(Iter *iter) {
    SalvageIter *it = (SalvageIter *)iter;
    Env *env = it->io->env;
    salvage_leave(it);
    env_free(env, it->segments, it->count * sizeof *it->segments);
    env_free(env, it->above_bytes, it->above.size);
    env_free(env, it->ahead.bytes, it->ahead.capacity);
    env_free(env, it->bytes, it->capacity);
    env_free(env, it->key, it->key_capacity);
    env_free(env, it->last, it->last_capacity);
    env_free(env, it, sizeof *it);
}

static const IterVerbs salvage_verbs = {salvage_seek, salvage_seek_before, salvage_next,
                                        salvage_refuse, salvage_entry,     salvage_close};

nacre_status salvage_iter_open(SegmentIo *io, Segment *const *segments, size_t count, Span above, SalvageTold *told,
                               void *self, Iter **out) {
    SalvageIter *it = env_alloc_zeroed(io->env, sizeof *it);
    if (!it) return NACRE_RESOURCE_EXHAUSTED;
    it->base.verbs = &salvage_verbs;
    it->io = io;
    it->told = told;
    it->self = self;
    it->segments = env_alloc(io->env, count * sizeof *it->segments);
    if (above.size) it->above_bytes = env_alloc(io->env, above.size);
    if (!it->segments || (above.size && !it->above_bytes)) {
        env_free(io->env, it->segments, count * sizeof *it->segments);
        env_free(io->env, it->above_bytes, above.size);
        env_free(io->env, it, sizeof *it);
        return NACRE_RESOURCE_EXHAUSTED;
    }
    if (above.size) memcpy(it->above_bytes, above.data, above.size);
    it->above = span_of(it->above_bytes, above.size);
    if (count) memcpy(it->segments, segments, count * sizeof *it->segments);
    it->count = count;
    *out = &it->base;
    return NACRE_OK;
}
