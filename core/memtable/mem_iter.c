/* mem_iter.c - MemCursor behind the interface that segments share. */
#include "memtable/mem_iter.h"

typedef struct MemIter {
    Iter base;
    Memtable *memtable;
    MemCursor cursor;
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

static nacre_status mem_iter_stand(MemIter *it, bool valid) {
    it->base.valid = valid;
    if (valid) it->base.key = record_key(it->cursor.record);
    return NACRE_OK;
}

static nacre_status mem_iter_seek(Iter *iter, Span key) {
    MemIter *it = (MemIter *)iter;
    return mem_iter_stand(it, mem_cursor_seek(&it->cursor, key));
}

static nacre_status mem_iter_seek_before(Iter *iter, Span key) {
    MemIter *it = (MemIter *)iter;
    bool valid = mem_cursor_seek_back(&it->cursor, key);
    if (valid && span_eq(record_key(it->cursor.record), key)) valid = mem_cursor_prev(&it->cursor);
    return mem_iter_stand(it, valid);
}

static nacre_status mem_iter_next(Iter *iter) {
    MemIter *it = (MemIter *)iter;
    return mem_iter_stand(it, mem_cursor_next(&it->cursor));
}

static nacre_status mem_iter_prev(Iter *iter) {
    MemIter *it = (MemIter *)iter;
    return mem_iter_stand(it, mem_cursor_prev(&it->cursor));
}

static void mem_iter_entry(Iter *iter, Entry *entry) { mem_entry(((MemIter *)iter)->cursor.record, entry); }

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
