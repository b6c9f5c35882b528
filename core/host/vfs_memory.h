/* vfs_memory.h - files that live in memory, for ":memory:" databases and tests. */
#ifndef HOST_VFS_MEMORY_H
#define HOST_VFS_MEMORY_H

#include "base/vfs.h"

/* `allocator` is copied. Free with (*vfs)->destroy((*vfs)->self), when every file is
 * closed. NACRE_RESOURCE_EXHAUSTED: no memory; so answers a write that finds none,
 * and has changed nothing. */
NACRE_CHECKED nacre_status vfs_memory_create(const nacre_allocator *allocator, Vfs **vfs);

/* Bytes asked of the allocator and not given back: contents and bookkeeping. */
uint64_t vfs_memory_bytes(const Vfs *vfs);

#endif
