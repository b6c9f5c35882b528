/* vfs.h - files, as the core sees them: a struct of verbs over a small fixed set
 * of names (NAME, NAME-wal0, NAME-wal1, NAME-lock and what lies beside it).
 *
 * 1. A read or write is whole, or it is a failure: counts are compared inside.
 * 2. Bytes written are on the device only after sync of that file returned
 *    NACRE_OK. A new file's name is, too: sync covers its directory entry.
 * 3. After a failed sync nothing is known of the bytes written since the last
 *    good one (rebuild from what is on the disk, never sync again and hope).
 * 4. Statuses: NACRE_NOT_FOUND, NACRE_EXISTS, NACRE_QUOTA (disk full),
 *    NACRE_PERMISSION, NACRE_BUSY, NACRE_IO. `message` tells more. */
#ifndef BASE_VFS_H
#define BASE_VFS_H

#include "nacre.h"

typedef struct VfsFile VfsFile; /* each implementation has its own */

enum {
    VFS_READ = 0,      /* must exist */
    VFS_WRITE = 1,     /* reading and writing; must exist */
    VFS_CREATE = 2,    /* reading and writing; made when missing */
};

/* Told of each generation that a reader pins; UINT64_MAX: of all there are. */
typedef void (*VfsPinVisit)(void *self, uint64_t generation);

/* Readers of the same database in other places (processes): what they read stays until
 * they give it back. `name` is NAME-lock; the rules are those of host/lock_format.h, 16 to 20. */
typedef struct VfsReaders {
    NACRE_CHECKED nacre_status (*open)(void *self, const char *name, bool break_it, VfsFile **readers);
    void (*close)(VfsFile *readers); /* every pin must be given back */
    /* *pin NULL: a new pin; else that one is moved to `generation`. */
    NACRE_CHECKED nacre_status (*pin)(VfsFile *readers, uint64_t generation, VfsFile **pin);
    void (*unpin)(VfsFile *readers, VfsFile *pin);
    NACRE_CHECKED nacre_status (*list)(VfsFile *readers, VfsPinVisit visit, void *self);
} VfsReaders;

typedef struct Vfs {
    void *self;
    NACRE_CHECKED nacre_status (*open)(void *self, const char *name, int how, VfsFile **file);
    NACRE_CHECKED nacre_status (*size)(VfsFile *file, uint64_t *size);
    NACRE_CHECKED nacre_status (*read)(VfsFile *file, uint64_t offset, void *into, size_t size);
    NACRE_CHECKED nacre_status (*write)(VfsFile *file, uint64_t offset, const void *from, size_t size);
    NACRE_CHECKED nacre_status (*truncate)(VfsFile *file, uint64_t size);
    NACRE_CHECKED nacre_status (*sync)(VfsFile *file);
    nacre_status (*close)(VfsFile *file); /* frees the file whatever is returned */
    /* The file as memory to be read, until it is closed: `size` bytes of addresses, or fewer
     * (*size says), of which those below the file's end may be touched, also after it has
     * grown. NULL: not here. */
    NACRE_CHECKED nacre_status (*map)(VfsFile *file, const uint8_t **bytes, uint64_t *size);
    /* Takes the writer's lock `name`. NACRE_BUSY: a living process has it. */
    NACRE_CHECKED nacre_status (*lock)(void *self, const char *name, bool break_it, VfsFile **lock);
    void (*unlock)(void *self, VfsFile *lock);
    const VfsReaders *readers; /* NULL: nobody else can read these files */
    uint64_t (*now_ms)(void *self); /* since 1970 */
    void (*random)(void *self, void *into, size_t size);
    /* Text of the last failure, naming file and cause; borrowed until the next call. */
    const char *(*message)(void *self);
    /* Frees `self`, where nacre_open made this VFS itself; else NULL. */
    void (*destroy)(void *self);
    /* Removes a file that nobody has open; NULL: files stay, and are empty. */
    NACRE_CHECKED nacre_status (*remove)(void *self, const char *name);
} Vfs;

#endif
