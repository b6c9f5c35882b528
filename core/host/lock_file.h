/* lock_file.h - the writer's lock: NAME-lock as lock_format.h describes it, and
 * natively an advisory lock on it. */
#ifndef HOST_LOCK_FILE_H
#define HOST_LOCK_FILE_H

#include "nacre.h"

typedef struct LockFile LockFile;

/* Takes the lock file `name`, or answers within 100 ms. `token`: 16 random bytes.
 * NACRE_BUSY: someone has it, or may have. On failure `message` says who or what. */
NACRE_CHECKED nacre_status lock_file_take(const nacre_allocator *allocator, const char *name,
                                          const uint8_t *token, bool break_it, LockFile **lock,
                                          char *message, size_t message_size);

/* Removes the lock file if it is still ours, and frees `lock`. NULL is fine. */
void lock_file_release(const nacre_allocator *allocator, LockFile *lock);

#endif
