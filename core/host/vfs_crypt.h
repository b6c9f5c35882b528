/* vfs_crypt.h - a Vfs over another one: the three files of one database, encrypted as
 * crypt_format.h says. The lock and readers' pins go through as they are. */
#ifndef HOST_VFS_CRYPT_H
#define HOST_VFS_CRYPT_H

#include <stdbool.h>

#include "base/vfs.h"
#include "host/crypt_format.h"

/* For the database at `name`; nothing is read or written before the first open. That may also
 * answer NACRE_PERMISSION: the wrong key; NACRE_INVALID_ARGUMENT: not encrypted;
 * NACRE_VERSION; NACRE_CORRUPT: no slot that holds the data key is whole.
 * Other files than the database's three are refused. `under` must live longer. */
NACRE_CHECKED nacre_status vfs_crypt_create(const nacre_allocator *allocator, const Vfs *under, const char *name,
                                            const uint8_t key[CRYPT_KEY], Vfs **vfs);

/* What is there of the three files NAME, NAME-wal0, NAME-wal1, looked at without a key: does
 * one exist, is one encrypted? `encrypted` may be NULL. */
NACRE_CHECKED nacre_status vfs_crypt_look(const Vfs *vfs, char *const names[3], bool *exists, bool *encrypted);

/* NULL, or what is wrong with the two copies of the key (rule 7), once a file was opened. */
const char *vfs_crypt_problem(const Vfs *vfs);

/* The user's key; borrowed while `vfs` lives. */
const uint8_t *vfs_crypt_key(const Vfs *vfs);

/* Wraps the data key in another key: from NACRE_OK on, only this one opens the database. On
 * failure one of the two does (rule 7). The database must be open for writing. */
NACRE_CHECKED nacre_status vfs_crypt_rekey(Vfs *vfs, const uint8_t key[CRYPT_KEY]);

#endif
