/* failing_allocator.h - an allocator that fails when told to, and counts.
 *
 *     FailingAllocator memory;
 *     failing_allocator_init(&memory);
 *     failing_allocator_fail_at(&memory, 17, false);
 *     options.allocator = memory.allocator;
 *     ...
 *     CHECK(failing_allocator_clean(&memory));
 *
 * Fresh memory is filled with 0xA5 and freed memory with 0xDD. The struct must not
 * move while the allocator is in use. */
#ifndef TESTS_FAILING_ALLOCATOR_H
#define TESTS_FAILING_ALLOCATOR_H

#include "nacre.h"

typedef struct FailingAllocator {
    nacre_allocator allocator;
    uint64_t count;      /* allocations asked for since init or fail_at */
    uint64_t fail_at;    /* the first one to fail, from 1; 0: none */
    bool forever;        /* all later ones fail too */
    uint64_t failed;     /* allocations refused since init or fail_at */
    uint64_t live_count; /* blocks not freed yet */
    uint64_t live_bytes;
    uint64_t peak_bytes;
    uint64_t bad_frees;  /* frees with a size other than asked for, of unknown or broken blocks */
    struct FailingBlock *blocks;
} FailingAllocator;

void failing_allocator_init(FailingAllocator *a);

/* Counts anew from 0; the `nth` allocation from now (from 1) fails; 0: none. */
void failing_allocator_fail_at(FailingAllocator *a, uint64_t nth, bool forever);

/* True when nothing is live and no free was bad; else says on stderr what is. */
bool failing_allocator_clean(const FailingAllocator *a);

/* Frees what leaked, so that the next round starts clean. */
void failing_allocator_clear(FailingAllocator *a);

#endif
