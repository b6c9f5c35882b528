/* merge.h - many iterators as one: of each key, the row of the newest iterator. */
#ifndef MERGE_MERGE_H
#define MERGE_MERGE_H

#include "host/env.h"
#include "segment/entry.h"

/* A valid iterator's place in the heap. */
typedef struct MergeItem {
    KeyHead head; /* of its key */
    uint32_t index;
} MergeItem;

typedef struct Merge {
    Env *env;
    Iter **iters;    /* newest first; owned */
    MergeItem *heap; /* the next row's first */
    size_t count, heap_count;
    bool backward;
    uint8_t *at;     /* copy of the current key, to stand on while iterators with the same one move */
    size_t at_size, at_capacity;
} Merge;

/* Takes the iterators (closes them, also when it fails). */
NACRE_CHECKED nacre_status merge_init(Merge *merge, Env *env, Iter *const *iters, size_t count);
void merge_clear(Merge *merge);

NACRE_CHECKED nacre_status merge_seek(Merge *merge, Span key);        /* first >= key */
NACRE_CHECKED nacre_status merge_seek_before(Merge *merge, Span key); /* last < key */
NACRE_CHECKED nacre_status merge_next(Merge *merge);
NACRE_CHECKED nacre_status merge_prev(Merge *merge);
static inline bool merge_valid(const Merge *merge) { return merge->heap_count > 0; }
/* Of the current row: borrowed until the merge moves. */
static inline Iter *merge_top(const Merge *merge) { return merge->iters[merge->heap[0].index]; }
static inline Span merge_key(const Merge *merge) { return merge_top(merge)->key; }
static inline KeyHead merge_head(const Merge *merge) { return merge->heap[0].head; }
static inline void merge_entry(const Merge *merge, Entry *entry) {
    Iter *top = merge_top(merge);
    top->verbs->entry(top, entry);
}

#endif
