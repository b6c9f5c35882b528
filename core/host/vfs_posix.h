/* vfs_posix.h - files of the operating system: POSIX, and WASI through wasi-libc. */
#ifndef HOST_VFS_POSIX_H
#define HOST_VFS_POSIX_H

#include "base/vfs.h"

/* `allocator` is copied. Free with (*vfs)->destroy((*vfs)->self), when every file is
 * closed and every lock given back. NACRE_RESOURCE_EXHAUSTED: no memory. */
NACRE_CHECKED nacre_status vfs_posix_create(const nacre_allocator *allocator, Vfs **vfs);

/* The clock and the entropy of the host, fit to be verbs of other Vfs; `self` is unused. */
uint64_t vfs_posix_now_ms(void *self);
void vfs_posix_random(void *self, void *into, size_t size);

/* The status that an errno means. */
nacre_status vfs_posix_status(int error);

#endif
