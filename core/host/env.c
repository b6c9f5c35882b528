/* env.c - the only file that asks the allocator for memory. */
#include "host/env.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void *env_malloc(void *self, size_t size) {
    (void)self;
    return malloc(size);
}

static void env_malloc_free(void *self, void *memory, size_t size) {
    (void)self, (void)size;
    free(memory);
}

void env_init(Env *env, const Vfs *vfs, const nacre_allocator *allocator, uint64_t budget) {
    *env = (Env){.vfs = vfs, .memory_budget = budget};
    if (allocator && allocator->alloc)
        env->allocator = *allocator;
    else
        env->allocator = (nacre_allocator){NULL, env_malloc, env_malloc_free};
}

nacre_status env_fail(Env *env, nacre_status code, const char *format, ...) {
    ASSERT(code != NACRE_OK);
    if (env->error.code != NACRE_OK) return code; /* keep the first cause */
    env->error.code = code;
    va_list args;
    va_start(args, format);
    vsnprintf(env->error.text, sizeof env->error.text, format, args);
    va_end(args);
    return env->judge ? env->judge(env->judge_self, code) : code;
}

nacre_status env_fail_vfs(Env *env, nacre_status code, const char *what) {
    return env_fail(env, code, "%s: %s", what, env->vfs->message(env->vfs->self));
}

void *env_alloc(Env *env, size_t size) {
    if (size == 0) size = 1;
    if (env->memory_used + size > env->memory_budget && env->reclaim)
        env->reclaim(env->reclaim_self, env->memory_used + size - env->memory_budget);
    void *memory = NULL;
    if (size <= env->memory_budget && env->memory_used <= env->memory_budget - size) {
        memory = env->allocator.alloc(env->allocator.self, size);
        if (!memory && env->reclaim) { /* the host has none left: give back what can be read again */
            env->reclaim(env->reclaim_self, size);
            memory = env->allocator.alloc(env->allocator.self, size);
        }
    }
    if (!memory) {
        (void)env_fail(env, NACRE_RESOURCE_EXHAUSTED,
                       "memory: no room for %zu bytes (%llu of a budget of %llu bytes are in use)", size,
                       (unsigned long long)env->memory_used, (unsigned long long)env->memory_budget);
        return NULL;
    }
    env->memory_used += size;
    if (env->memory_used > env->memory_peak) env->memory_peak = env->memory_used;
    return memory;
}

void *env_alloc_zeroed(Env *env, size_t size) {
    void *memory = env_alloc(env, size);
    if (memory) memset(memory, 0, size);
    return memory;
}

void env_free(Env *env, void *memory, size_t size) {
    if (!memory) return;
    if (size == 0) size = 1;
    ASSERT(env->memory_used >= size);
    env->memory_used -= size;
    env->allocator.free(env->allocator.self, memory, size);
}

nacre_status env_grow_to(Env *env, void **memory, size_t *capacity, size_t count, size_t size) {
    size_t wanted = *capacity ? *capacity : 8;
    while (wanted < count) {
        if (wanted > SIZE_MAX / 2 / size)
            return env_fail(env, NACRE_RESOURCE_EXHAUSTED, "memory: %zu items of %zu bytes", count, size);
        wanted *= 2;
    }
    void *larger = env_alloc(env, wanted * size);
    if (!larger) return NACRE_RESOURCE_EXHAUSTED;
    if (*capacity) memcpy(larger, *memory, *capacity * size);
    env_free(env, *memory, *capacity * size);
    *memory = larger;
    *capacity = wanted;
    return NACRE_OK;
}
