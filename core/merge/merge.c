/* merge.c - a binary heap over iterators, ordered by key and then by age, so that of
 * equal keys the newest row comes first and the others are stepped over. Deletions
 * are rows here; who reads decides what they hide. */
#include "merge/merge.h"

static bool merge_before(const Merge *m, MergeItem a, MergeItem b) {
    int order = head_compare(a.head, b.head);
    if (order == 0) order = span_compare(m->iters[a.index]->key, m->iters[b.index]->key);
    if (order == 0) return a.index < b.index; /* lower index: newer */
    return m->backward ? order > 0 : order < 0;
}

static void merge_sift_down(Merge *m, size_t at) {
    MergeItem moving = m->heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= m->heap_count) break;
        if (child + 1 < m->heap_count && merge_before(m, m->heap[child + 1], m->heap[child])) child++;
        if (!merge_before(m, m->heap[child], moving)) break;
        m->heap[at] = m->heap[child];
        at = child;
    }
    m->heap[at] = moving;
}

WRAPS static void merge_build(Merge *m) {
    m->heap_count = 0;
    for (uint32_t i = 0; i < m->count; i++)
        if (m->iters[i]->valid) m->heap[m->heap_count++] = (MergeItem){m->iters[i]->head, i};
    for (size_t i = m->heap_count / 2; i-- > 0;) merge_sift_down(m, i);
}

nacre_status merge_init(Merge *m, Env *env, Iter *const *iters, size_t count) {
    *m = (Merge){.env = env};
    m->iters = env_alloc(env, (count ? count : 1) * sizeof *m->iters);
    m->heap = m->iters ? env_alloc(env, (count ? count : 1) * sizeof *m->heap) : NULL;
    if (!m->heap) {
        env_free(env, m->iters, (count ? count : 1) * sizeof *m->iters);
        for (size_t i = 0; i < count; i++) iters[i]->verbs->close(iters[i]);
        *m = (Merge){0};
        return NACRE_RESOURCE_EXHAUSTED;
    }
    m->count = count;
    for (size_t i = 0; i < count; i++) m->iters[i] = iters[i];
    return NACRE_OK;
}

void merge_clear(Merge *m) {
    if (!m->env) return;
    size_t room = m->count ? m->count : 1;
    for (size_t i = 0; i < m->count; i++) m->iters[i]->verbs->close(m->iters[i]);
    env_free(m->env, m->iters, room * sizeof *m->iters);
    env_free(m->env, m->heap, room * sizeof *m->heap);
    env_free(m->env, m->at, m->at_capacity);
    *m = (Merge){0};
}

nacre_status merge_seek(Merge *m, Span key) {
    m->backward = false;
    m->heap_count = 0;
    for (size_t i = 0; i < m->count; i++) TRY(m->iters[i]->verbs->seek(m->iters[i], key));
    merge_build(m);
    return NACRE_OK;
}

nacre_status merge_seek_before(Merge *m, Span key) {
    m->backward = true;
    m->heap_count = 0;
    for (size_t i = 0; i < m->count; i++) TRY(m->iters[i]->verbs->seek_before(m->iters[i], key));
    merge_build(m);
    return NACRE_OK;
}

static nacre_status merge_remember(Merge *m) {
    Span key = merge_key(m);
    void *at = m->at;
    TRY(env_grow(m->env, &at, &m->at_capacity, key.size ? key.size : 1, 1));
    m->at = at;
    if (key.size) memcpy(m->at, key.data, key.size);
    m->at_size = key.size;
    return NACRE_OK;
}

/* Moves the top by one row, and puts it where it belongs then, or takes it out. */
static nacre_status merge_move_top(Merge *m) {
    Iter *top = merge_top(m);
    nacre_status status = m->backward ? top->verbs->prev(top) : top->verbs->next(top);
    if (status != NACRE_OK) {
        m->heap_count = 0;
        return status;
    }
    if (top->valid) m->heap[0].head = top->head;
    else m->heap[0] = m->heap[--m->heap_count];
    if (m->heap_count > 1) merge_sift_down(m, 0);
    return NACRE_OK;
}

/* Might another iterator stand on the top's key? Then it stands right below the top. */
static bool merge_top_shared(const Merge *m) {
    for (size_t i = 1; i < m->heap_count && i < 3; i++)
        if (head_compare(m->heap[0].head, m->heap[i].head) == 0) return true;
    return false;
}

static nacre_status merge_step(Merge *m) {
    ASSERT(m->heap_count > 0);
    if (!merge_top_shared(m)) return merge_move_top(m);
    TRY(merge_remember(m));
    do TRY(merge_move_top(m));
    while (m->heap_count > 0 && span_eq(merge_key(m), span_of(m->at, m->at_size)));
    return NACRE_OK;
}

nacre_status merge_next(Merge *m) {
    if (!m->backward) return merge_step(m);
    TRY(merge_remember(m)); /* turn: the first above where it stands */
    TRY(merge_seek(m, span_of(m->at, m->at_size)));
    if (merge_valid(m) && span_eq(merge_key(m), span_of(m->at, m->at_size))) return merge_step(m);
    return NACRE_OK;
}

nacre_status merge_prev(Merge *m) {
    if (m->backward) return merge_step(m);
    TRY(merge_remember(m));
    return merge_seek_before(m, span_of(m->at, m->at_size));
}
