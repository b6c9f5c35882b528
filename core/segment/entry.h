/* entry.h - one row on its way from a source (memtable, segment) to a reader or a
 * writer, and the interface of what yields rows in order. */
#ifndef SEGMENT_ENTRY_H
#define SEGMENT_ENTRY_H

#include "base/key_head.h"
#include "base/status.h"
#include "segment/segment_format.h"

struct Segment;

typedef struct BlobRef {
    uint64_t offset, size, checksum;
    bool pieces; /* ENTRY_PIECES */
} BlobRef;

typedef struct Entry {
    Span key;       /* with the membrane's id in front */
    uint32_t flags; /* ENTRY_* */
    Span value;     /* without expiry and slot; empty when ENTRY_BLOB */
    Span vector;    /* where the source has it at hand; else empty, and: */
    uint32_t slot;  /* ENTRY_VECTOR from a segment */
    BlobRef blob;   /* ENTRY_BLOB */
    uint64_t expires; /* ENTRY_EXPIRES: milliseconds since 1970 */
    struct Segment *segment; /* which blob and slot belong to; NULL: a memtable */
} Entry;

/* Does its value make it a row that has a segment to itself (segment_format.h, rule 10)? */
static inline bool entry_is_solo(const Entry *entry) {
    return (entry->flags & ENTRY_BLOB ? entry->blob.size : entry->value.size) >= SOLO_BYTES;
}

/* Rows in the order of keys, deletions included. Bytes of the current row are
 * borrowed until the iterator moves. `valid` false: it stands nowhere. */
typedef struct Iter Iter;
typedef struct IterVerbs {
    NACRE_CHECKED nacre_status (*seek)(Iter *iter, Span key);        /* first >= key */
    NACRE_CHECKED nacre_status (*seek_before)(Iter *iter, Span key); /* last < key */
    NACRE_CHECKED nacre_status (*next)(Iter *iter);
    NACRE_CHECKED nacre_status (*prev)(Iter *iter);
    void (*entry)(Iter *iter, Entry *entry);
    void (*close)(Iter *iter); /* frees it */
} IterVerbs;

struct Iter {
    const IterVerbs *verbs;
    bool valid;
    Span key; /* when valid, as is head */
    KeyHead head;
};

static inline void iter_set_key(Iter *iter, Span key) {
    iter->key = key;
    iter->head = key_head(key);
    iter->valid = true;
}

#endif
