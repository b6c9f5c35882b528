/* memtable.h - the newest rows, ordered by key: an adaptive radix tree (Leis et al.,
 * "The Adaptive Radix Tree", ICDE 2013) whose leaves are records of the log, which
 * lie in the memtable's arena.
 *
 * 1. The arena is one piece; its offset 0 is the log's first frame. The memtable
 *    never moves it.
 * 2. Inserting cannot fail once memtable_reserve returned NACRE_OK.
 * 3. A key that is there already gets its new record in front of the chain of
 *    versions, so that a snapshot finds the newest one not after its stamp.
 * 4. Memtables are counted: the database, snapshots and cursors each hold one
 *    reference; the last memtable_release frees. */
#ifndef MEMTABLE_MEMTABLE_H
#define MEMTABLE_MEMTABLE_H

#include "host/env.h"
#include "memtable/record_format.h"

typedef struct Memtable {
    Env *env;
    uint32_t references;
    uint8_t *arena;       /* capacity bytes; `used` of them are the log's frames */
    size_t capacity, used;
    uint64_t base_lsn;    /* stamps count from here */
    uint64_t last_lsn;    /* of the last batch indexed; base_lsn when there is none */
    uint32_t log;         /* which of the two logs holds these records */
    uint64_t record_count;/* inserted, older versions included */
    uint64_t key_count;   /* different keys */
    uint64_t changes;     /* rises with each insertion: cursors notice */
    struct MemNodes *nodes; /* the tree */
} Memtable;

/* An empty memtable with one reference and an arena of `capacity` bytes. */
NACRE_CHECKED nacre_status memtable_alloc(Env *env, size_t capacity, uint64_t base_lsn, uint32_t log,
                                          Memtable **memtable);
void memtable_retain(Memtable *memtable);
void memtable_release(Memtable *memtable); /* NULL is fine */

/* The highest stamp that a reader of the state `lsn` sees. */
static inline uint32_t memtable_stamp(const Memtable *memtable, uint64_t lsn) {
    if (lsn < memtable->base_lsn) return 0;
    return lsn - memtable->base_lsn > UINT32_MAX ? UINT32_MAX : (uint32_t)(lsn - memtable->base_lsn);
}

/* Bytes held besides the arena. */
uint64_t memtable_node_bytes(const Memtable *memtable);

/* The most bytes of nodes that `count` more records can need, the present ones included. */
uint64_t memtable_node_bytes_max(const Memtable *memtable, uint64_t count);

/* Makes sure that `count` more insertions cannot fail. */
NACRE_CHECKED nacre_status memtable_reserve(Memtable *memtable, uint64_t count);

/* Indexes the record at `offset` of the arena (a whole, checked record; a multiple
 * of 4) under `stamp`. false, and nothing changed: its key is a prefix of another
 * key, or another key is a prefix of it (rule 2 of record_format.h). */
bool memtable_insert(Memtable *memtable, uint32_t offset, uint32_t stamp);
/* Asks for memory that inserting `key` will want, first some time before and then nearer
 * to it; changes nothing. */
void memtable_expect(const Memtable *memtable, Span key, bool nearer);

/* The newest record of `key` with a stamp <= `stamp`, deletions included; NULL: none.
 * Borrowed until the memtable is released. */
const uint8_t *memtable_get(const Memtable *memtable, Span key, uint32_t stamp);

/* A place in the order of keys. It stays right while records are inserted. It sees,
 * of each key, the newest record with a stamp <= its own, deletions included; keys
 * with none are passed over. Holds no memory and no reference. */
typedef struct MemCursor {
    const Memtable *memtable;
    uint32_t stamp;
    const uint8_t *record; /* where it stands; NULL: nowhere */
    uint64_t changes;      /* of the memtable when `depth` and `path` were made */
    uint32_t depth;        /* implementation's own from here: a stack to step without a search */
    struct {
        uint32_t node;
        uint32_t child;
    } path[24];
} MemCursor;

void mem_cursor_init(MemCursor *cursor, const Memtable *memtable, uint32_t stamp);
/* Each moves and says whether it stands on a record now. */
bool mem_cursor_seek(MemCursor *cursor, Span key);      /* first key >= key */
bool mem_cursor_seek_back(MemCursor *cursor, Span key); /* last key <= key */
bool mem_cursor_first(MemCursor *cursor);
bool mem_cursor_last(MemCursor *cursor);
bool mem_cursor_next(MemCursor *cursor);
bool mem_cursor_prev(MemCursor *cursor);

/* From where it stands, the next records in order, `room` of them at most, as many moves of
 * mem_cursor_next would show them; 0: no more. What they take from memory is fetched for
 * all of them at once: a walk over records is a walk over places in no order. The cursor
 * stands on the last one. */
size_t mem_cursor_ahead(MemCursor *cursor, const uint8_t **records, size_t room);

#endif
