/* mem_iter.c - MemCursor behind the interface that segments share. Forward, it takes many
 * records at a time from the cursor: what is inserted meanwhile has a higher stamp. */
#include "memtable/mem_iter.h"

enum { MEM_ITER_FIRST = 4, MEM_ITER_AHEAD = 32 };

typedef struct MemIter {
    Iter base;
    Memtable *memtable;
    MemCursor cursor;      /* on the last of `ahead`, or where the iterator stands */
    const uint8_t *record; /* where the iterator stands */
    const uint8_t *ahead[MEM_ITER_AHEAD];
    size_t at, count, room; /* of ahead; room: taken at once, more each time */
} MemIter;

void mem_entry(const uint8_t *record, Entry *entry) {
    uint32_t flags = record_flags(record);
    Span value = record_value(record);
    *entry = (Entry){.key = record_key(record), .flags = flags};
    if (flags & RECORD_EXPIRES) {
        entry->expires = get_u64(value.data);
        value = span_of(value.data + 8, value.size - 8);
    }
    if (flags & RECORD_VECTOR) {
        uint32_t size = get_u32(value.data);
        entry->vector = span_of(value.data + 4, size);
        value = span_of(value.data + 4 + size, value.size - 4 - size);
    }
    entry->value = value;
}

static nacre_status mem_iter_stand(MemIter *it, const uint8_t *record) {
    it->record = record;
    it->base.valid = false;
    if (record) iter_set_key(&it->base, record_key(record));
    return NACRE_OK;
}

/* The cursor has moved by itself: nothing is ahead. */
static nacre_status mem_iter_settle(MemIter *it, bool valid) {
    it->at = it->count = 0;
    it->room = MEM_ITER_FIRST;
    return mem_iter_stand(it, valid ? it->cursor.record : NULL);
}

static nacre_status mem_iter_seek(Iter *iter, Span key) {
    MemIter *it = (MemIter *)iter;
    return mem_iter_settle(it, mem_cursor_seek(&it->cursor, key));
}

static nacre_status mem_iter_seek_before(Iter *iter, Span key) {
    MemIter *it = (MemIter *)iter;
    bool valid = mem_cursor_seek_back(&it->cursor, key);
    if (valid && span_eq(record_key(it->cursor.record), key)) valid = mem_cursor_prev(&it->cursor);
    return mem_iter_settle(it, valid);
}

static nacre_status mem_iter_next(Iter *iter) {
    MemIter *it = (MemIter *)iter;
    if (it->at == it->count) {
        it->at = 0;
        it->count = mem_cursor_ahead(&it->cursor, it->ahead, it->room);
        if (it->room < MEM_ITER_AHEAD) it->room *= 2;
    }
    return mem_iter_stand(it, it->at < it->count ? it->ahead[it->at++] : NULL);
}

static nacre_status mem_iter_prev(Iter *iter) {
    MemIter *it = (MemIter *)iter;
    if (it->count > 0) (void)!mem_cursor_seek(&it->cursor, it->base.key); /* back from ahead */
    return mem_iter_settle(it, mem_cursor_prev(&it->cursor));
}

static void mem_iter_entry(Iter *iter, Entry *entry) { mem_entry(((MemIter *)iter)->record, entry); }

static void mem_iter_close(Iter *iter) {
    MemIter *it = (MemIter *)iter;
    Env *env = it->memtable->env;
    memtable_release(it->memtable);
    env_free(env, it, sizeof *it);
}

static const IterVerbs mem_iter_verbs = {mem_iter_seek, mem_iter_seek_before, mem_iter_next,
                                         mem_iter_prev, mem_iter_entry,       mem_iter_close};

nacre_status mem_iter_open(Memtable *memtable, uint32_t stamp, Iter **out) {
    MemIter *it = env_alloc_zeroed(memtable->env, sizeof *it);
    if (!it) return NACRE_RESOURCE_EXHAUSTED;
    it->base.verbs = &mem_iter_verbs;
    it->memtable = memtable;
    memtable_retain(memtable);
    mem_cursor_init(&it->cursor, memtable, stamp);
    *out = &it->base;
    return NACRE_OK;
}
