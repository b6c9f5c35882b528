/* mem_log.h - a memtable's batches in the order in which they were committed: its arena
 * holds the log's frames (wal_format.h), so nothing is written down for it. */
#ifndef MEMTABLE_MEM_LOG_H
#define MEMTABLE_MEM_LOG_H

#include "memtable/memtable.h"

/* A place between two batches. Holds no memory and no reference. */
typedef struct MemLog {
    const Memtable *memtable;
    size_t at;        /* offset in the arena: of the next batch, or of a frame */
    size_t frame_end; /* of the frame that `at` lies in; 0: `at` is that of a frame */
} MemLog;

typedef struct MemBatch {
    uint64_t lsn;
    uint32_t count;
    size_t at, end; /* of its records in the arena */
} MemBatch;

/* Stands before the frame at `at`, 0 or a place where one has stood before. */
void mem_log_init(MemLog *log, const Memtable *memtable, size_t at);

/* The next batch whose LSN is above `after`, in frames that end with an LSN of `limit` or
 * less. false: there is none, and it stands before what may follow later. */
bool mem_log_next(MemLog *log, uint64_t after, uint64_t limit, MemBatch *batch);

#endif
