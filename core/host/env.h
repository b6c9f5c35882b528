/* env.h - the world of one database: memory within a budget, files, and the one
 * place where a failure is written down. The only thing every layer shares. */
#ifndef HOST_ENV_H
#define HOST_ENV_H

#include "base/span.h"
#include "base/status.h"
#include "base/vfs.h"

typedef struct Env {
    const Vfs *vfs;
    nacre_allocator allocator;
    uint64_t memory_used;   /* bytes asked for and not given back */
    uint64_t memory_peak;
    uint64_t memory_budget; /* beyond it: NACRE_RESOURCE_EXHAUSTED, and all stays usable */
    /* Asked to give back at least `size` bytes before an allocation is refused
     * (the block cache does); NULL: none. */
    void (*reclaim)(void *self, uint64_t size);
    void *reclaim_self;
    nacre_error error;      /* of the call under way; the first cause wins */
    /* Asked about each failure that was written down; may write it anew, and answers its
     * status. NULL: it is as it is. */
    nacre_status (*judge)(void *self, nacre_status code);
    void *judge_self;
} Env;

void env_init(Env *env, const Vfs *vfs, const nacre_allocator *allocator, uint64_t budget);

/* Writes down what failed, unless an earlier cause stands; returns `code`. */
#if defined(__GNUC__) || defined(__clang__)
__attribute__((format(printf, 3, 4)))
#endif
nacre_status env_fail(Env *env, nacre_status code, const char *format, ...);

/* A failure of the VFS: adds its message to `what`, keeps its status. */
nacre_status env_fail_vfs(Env *env, nacre_status code, const char *what);

/* Forgets the last failure; every public call begins with it. */
static inline void env_clear(Env *env) { env->error.code = NACRE_OK; }

/* NULL: over the budget, or none left; the failure is written down. Size 0 is 1. */
void *env_alloc(Env *env, size_t size);
void *env_alloc_zeroed(Env *env, size_t size);
void env_free(Env *env, void *memory, size_t size); /* NULL is fine; size as asked for */

NACRE_CHECKED nacre_status env_grow_to(Env *env, void **memory, size_t *capacity, size_t count, size_t size);
/* Makes *memory hold at least `count` items of `size` bytes (doubling); *capacity
 * is in items. On failure nothing has changed. */
NACRE_CHECKED static inline nacre_status env_grow(Env *env, void **memory, size_t *capacity, size_t count,
                                                  size_t size) {
    return count <= *capacity ? NACRE_OK : env_grow_to(env, memory, capacity, count, size);
}

#endif
