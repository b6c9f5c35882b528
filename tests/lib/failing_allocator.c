/* failing_allocator.c - blocks in a list, each with a header that knows its size. */
#include "lib/failing_allocator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAILING_MAGIC UINT64_C(0x6e616372656d656d)

typedef struct FailingBlock {
    struct FailingBlock *next, *previous;
    size_t size;
    uint64_t magic;
} FailingBlock;

static void *failing_alloc(void *self, size_t size) {
    FailingAllocator *a = self;
    a->count++;
    if (a->fail_at && (a->count == a->fail_at || (a->forever && a->count > a->fail_at))) {
        a->failed++;
        return NULL;
    }
    if (size > SIZE_MAX - sizeof(FailingBlock)) return NULL;
    FailingBlock *block = malloc(sizeof *block + size);
    if (!block) return NULL;
    *block = (FailingBlock){a->blocks, NULL, size, FAILING_MAGIC};
    if (a->blocks) a->blocks->previous = block;
    a->blocks = block;
    a->live_count++;
    a->live_bytes += size;
    if (a->live_bytes > a->peak_bytes) a->peak_bytes = a->live_bytes;
    return memset(block + 1, 0xA5, size);
}

static void failing_drop(FailingAllocator *a, FailingBlock *block) {
    if (block->previous) block->previous->next = block->next;
    else a->blocks = block->next;
    if (block->next) block->next->previous = block->previous;
    a->live_count--;
    a->live_bytes -= block->size;
    memset(block + 1, 0xDD, block->size);
    block->magic = 0;
    free(block);
}

static void failing_free(void *self, void *memory, size_t size) {
    FailingAllocator *a = self;
    if (!memory) return;
    FailingBlock *block = (FailingBlock *)memory - 1;
    if (block->magic != FAILING_MAGIC) {
        a->bad_frees++;
        fprintf(stderr, "failing_allocator: free of %zu bytes that are no block\n", size);
        return;
    }
    if (block->size != size) {
        a->bad_frees++;
        fprintf(stderr, "failing_allocator: free with size %zu of a block of %zu\n", size,
                block->size);
    }
    failing_drop(a, block);
}

void failing_allocator_init(FailingAllocator *a) {
    *a = (FailingAllocator){.allocator = {a, failing_alloc, failing_free}};
}

void failing_allocator_fail_at(FailingAllocator *a, uint64_t nth, bool forever) {
    a->count = a->failed = 0;
    a->fail_at = nth;
    a->forever = forever;
}

bool failing_allocator_clean(const FailingAllocator *a) {
    if (a->live_count)
        fprintf(stderr, "failing_allocator: %llu blocks leaked, %llu bytes; the newest has %zu\n",
                (unsigned long long)a->live_count, (unsigned long long)a->live_bytes,
                a->blocks->size);
    return a->live_count == 0 && a->bad_frees == 0;
}

void failing_allocator_clear(FailingAllocator *a) {
    while (a->blocks) failing_drop(a, a->blocks);
    failing_allocator_init(a);
}
