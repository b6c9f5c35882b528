/* mem_log.c - walks frames and batches. All of them are right: they were checked before
 * they were written, or when they were read back (db/write.c, db/recover.c). */
#include "memtable/mem_log.h"

#include "log/wal_format.h"

void mem_log_init(MemLog *log, const Memtable *memtable, size_t at) {
    *log = (MemLog){.memtable = memtable, .at = at};
}

/* The next frame with batches above `after`; the frames before it are passed over. */
static bool mem_log_frame(MemLog *log, uint64_t after, uint64_t limit) {
    const Memtable *memtable = log->memtable;
    while (memtable->used - log->at >= FRAME_HEAD) {
        const uint8_t *frame = memtable->arena + log->at;
        uint32_t kind = get_u32(frame + 8);
        uint64_t lsn = get_u64(frame + 16);
        if (kind == 0 || lsn > limit) return false; /* 0: an arena that a cut has filled up */
        size_t end = log->at + get_u32(frame + 12);
        if (kind == FRAME_BATCHES && lsn > after) {
            log->at += FRAME_HEAD;
            log->frame_end = end;
            return true;
        }
        log->at = end;
    }
    return false;
}

bool mem_log_next(MemLog *log, uint64_t after, uint64_t limit, MemBatch *batch) {
    const uint8_t *arena = log->memtable->arena;
    if (after < log->memtable->base_lsn) after = log->memtable->base_lsn; /* older ones are not indexed */
    for (;;) {
        if (log->frame_end == 0 && !mem_log_frame(log, after, limit)) return false;
        if (log->at < log->frame_end) {
            const uint8_t *head = arena + log->at;
            size_t end = log->at + get_u32(head);
            *batch = (MemBatch){get_u64(head + 8), get_u32(head + 4), log->at + BATCH_HEAD, end};
            log->at = end;
            if (batch->lsn > after) return true;
        } else {
            log->frame_end = 0;
        }
    }
}
