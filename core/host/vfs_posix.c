/* vfs_posix.c - files of the operating system: POSIX, and WASI through wasi-libc.
 *
 * 1. Counts are compared and calls repeated until everything is done.
 * 2. Only regular files: a directory, pipe, socket or device is refused before
 *    anything could block on it or happen to it.
 * 3. The first sync of a handle that may write also syncs the folder: whoever
 *    created the file may have been killed before it did.
 *
 * The folder is opened together with the file, so that a later chdir is harmless.
 * Only this file, lock_file.c, pin_file.c and holder.c ask which platform it is. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#if defined(__APPLE__) && !defined(_DARWIN_C_SOURCE)
#define _DARWIN_C_SOURCE
#endif
#include "host/vfs_posix.h"

#include "base/span.h"
#include "base/status.h"
#include "host/lock_file.h"
#include "host/pin_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#if !defined(__wasi__)
#include <sys/mman.h>
#endif
#if defined(__APPLE__)
#include <sys/random.h>
#endif

#if defined(__wasi__)
enum { VFS_POSIX_CALM = 0 }; /* no pipes to block on, no terminals */
#else
enum { VFS_POSIX_CALM = O_NONBLOCK | O_NOCTTY };
#endif

enum {
    VFS_POSIX_MESSAGE = 512,
    VFS_POSIX_NAME_SHOWN = 200,   /* of a longer name the end is shown */
    VFS_POSIX_PIECE = 1 << 30,    /* bytes per call: some systems refuse 2^31 */
    VFS_POSIX_CREATE_TRIES = 4,
};

typedef struct VfsPosix {
    Vfs vfs;
    nacre_allocator allocator;
    char message[VFS_POSIX_MESSAGE];
} VfsPosix;

/* What the core holds as a VfsFile; its name follows the struct. */
typedef struct VfsPosixFile {
    VfsPosix *owner;
    int fd;
    int folder; /* to be synced with the first sync; -1: not needed (any more) */
    void *map;  /* NULL: none */
    size_t map_size;
    bool writable;
    size_t alloc_size;
    char name[];
} VfsPosixFile;

nacre_status vfs_posix_status(int error) {
    switch (error) {
    case 0: return NACRE_OK;
    case ENOENT:
    case ENOTDIR: return NACRE_NOT_FOUND;
    case EEXIST: return NACRE_EXISTS;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return NACRE_QUOTA;
    case EACCES:
    case EPERM:
    case EROFS: return NACRE_PERMISSION;
    case ENOMEM: return NACRE_RESOURCE_EXHAUSTED;
    default:
#if defined(ENOTCAPABLE)
        if (error == ENOTCAPABLE) return NACRE_PERMISSION; /* WASI */
#endif
        return NACRE_IO;
    }
}

/* The end of a long name tells more than its beginning. */
static const char *vfs_posix_shown(const char *name) {
    size_t size = strlen(name);
    return size <= VFS_POSIX_NAME_SHOWN ? name : name + size - VFS_POSIX_NAME_SHOWN;
}

static nacre_status vfs_posix_say(VfsPosix *p, nacre_status status, const char *verb,
                                  const char *name, const char *what) {
    snprintf(p->message, sizeof p->message, "%s %s: %s", verb, vfs_posix_shown(name), what);
    return status;
}

static nacre_status vfs_posix_fail(VfsPosix *p, const char *verb, const char *name, int error) {
    return vfs_posix_say(p, vfs_posix_status(error), verb, name, strerror(error));
}

static const char *vfs_posix_kind(mode_t mode) {
    if (S_ISDIR(mode)) return "is a directory, not a file";
    if (S_ISFIFO(mode)) return "is a pipe, not a regular file";
    if (S_ISSOCK(mode)) return "is a socket, not a regular file";
    return "is not a regular file";
}

/* Opens and, for VFS_CREATE, makes the file; -1 and errno on failure. */
static int vfs_posix_open_fd(const char *name, int how) {
    int flags = (how == VFS_READ ? O_RDONLY : O_RDWR) | O_CLOEXEC | VFS_POSIX_CALM;
    for (int i = 0; i < VFS_POSIX_CREATE_TRIES; i++) {
        int fd = open(name, flags);
        if (fd >= 0 || (errno != EINTR && (how != VFS_CREATE || errno != ENOENT))) return fd;
        if (how != VFS_CREATE || errno == EINTR) continue;
        fd = open(name, flags | O_CREAT | O_EXCL, 0600);
#if !defined(__wasi__)
        if (fd >= 0) (void)fchmod(fd, 0600); /* whatever the umask took away */
#endif
        if (fd >= 0 || (errno != EINTR && errno != EEXIST)) return fd; /* EEXIST: made meanwhile */
    }
    return -1;
}

/* The folder of `name`, or -1: syncing it is best effort (rule 3). */
static int vfs_posix_open_folder(VfsPosixFile *file) {
    char *slash = strrchr(file->name, '/');
    if (!slash) return open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char after = slash[1];
    slash[slash == file->name ? 1 : 0] = '\0'; /* "/file": keep the slash */
    int fd = open(file->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    slash[0] = '/';
    slash[1] = after;
    return fd;
}

static void vfs_posix_free(VfsPosixFile *file) {
#if !defined(__wasi__)
    if (file->map) munmap(file->map, file->map_size);
#endif
    if (file->fd >= 0) close(file->fd);
    if (file->folder >= 0) close(file->folder);
    nacre_allocator *a = &file->owner->allocator;
    a->free(a->self, file, file->alloc_size);
}

static nacre_status vfs_posix_open(void *self, const char *name, int how, VfsFile **file) {
    VfsPosix *p = self;
    struct stat about;
    if (stat(name, &about) == 0 && !S_ISREG(about.st_mode)) /* rule 2 */
        return vfs_posix_say(p, NACRE_IO, "open", name, vfs_posix_kind(about.st_mode));

    size_t name_size = strlen(name) + 1;
    size_t alloc_size = sizeof(VfsPosixFile) + name_size;
    VfsPosixFile *f = p->allocator.alloc(p->allocator.self, alloc_size);
    if (!f) return vfs_posix_fail(p, "open", name, ENOMEM);
    *f = (VfsPosixFile){.owner = p, .fd = -1, .folder = -1, .alloc_size = alloc_size};
    memcpy(f->name, name, name_size);
    f->writable = how != VFS_READ;

    nacre_status status = NACRE_OK;
    f->fd = vfs_posix_open_fd(name, how);
    if (f->fd < 0 || fstat(f->fd, &about) != 0)
        status = vfs_posix_fail(p, how == VFS_CREATE ? "create" : "open", name, errno);
    else if (!S_ISREG(about.st_mode)) /* it was put there since we looked */
        status = vfs_posix_say(p, NACRE_IO, "open", name, vfs_posix_kind(about.st_mode));
    if (status != NACRE_OK) {
        vfs_posix_free(f);
        return status;
    }
    if (f->writable) f->folder = vfs_posix_open_folder(f);
    *file = (VfsFile *)f;
    return NACRE_OK;
}

static nacre_status vfs_posix_size(VfsFile *file, uint64_t *size) {
    VfsPosixFile *f = (VfsPosixFile *)file;
    struct stat about;
    if (fstat(f->fd, &about) != 0) return vfs_posix_fail(f->owner, "size of", f->name, errno);
    *size = (uint64_t)about.st_size;
    return NACRE_OK;
}

/* True when offsets up to offset + size are such that the system can express them. */
static bool vfs_posix_expressible(uint64_t offset, uint64_t size) {
    return offset <= INT64_MAX && size <= (uint64_t)INT64_MAX - offset;
}

static nacre_status vfs_posix_short(VfsPosixFile *f, uint64_t offset, size_t size) {
    uint64_t has = 0;
    TRY(vfs_posix_size((VfsFile *)f, &has));
    snprintf(f->owner->message, sizeof f->owner->message,
             "short read: file %s has %llu bytes, wanted %llu at %llu", vfs_posix_shown(f->name),
             (unsigned long long)has, (unsigned long long)size, (unsigned long long)offset);
    return NACRE_IO;
}

static nacre_status vfs_posix_read(VfsFile *file, uint64_t offset, void *into, size_t size) {
    VfsPosixFile *f = (VfsPosixFile *)file;
    if (!vfs_posix_expressible(offset, size)) return vfs_posix_short(f, offset, size);
    for (size_t done = 0; done < size;) {
        size_t piece = size - done < VFS_POSIX_PIECE ? size - done : VFS_POSIX_PIECE;
        ssize_t got = pread(f->fd, (uint8_t *)into + done, piece, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return vfs_posix_fail(f->owner, "read", f->name, errno);
        if (got == 0) return vfs_posix_short(f, offset, size);
        done += (size_t)got;
    }
    return NACRE_OK;
}

static nacre_status vfs_posix_write(VfsFile *file, uint64_t offset, const void *from, size_t size) {
    VfsPosixFile *f = (VfsPosixFile *)file;
    if (!f->writable)
        return vfs_posix_say(f->owner, NACRE_PERMISSION, "write", f->name, "opened for reading");
    if (!vfs_posix_expressible(offset, size))
        return vfs_posix_fail(f->owner, "write", f->name, EFBIG);
    for (size_t done = 0; done < size;) {
        size_t piece = size - done < VFS_POSIX_PIECE ? size - done : VFS_POSIX_PIECE;
        ssize_t put = pwrite(f->fd, (const uint8_t *)from + done, piece, (off_t)(offset + done));
        if (put < 0 && errno == EINTR) continue;
        /* None written and no reason given: the next call would not do better. */
        if (put <= 0) return vfs_posix_fail(f->owner, "write", f->name, put < 0 ? errno : ENOSPC);
        done += (size_t)put;
    }
    return NACRE_OK;
}

static nacre_status vfs_posix_truncate(VfsFile *file, uint64_t size) {
    VfsPosixFile *f = (VfsPosixFile *)file;
    if (!f->writable)
        return vfs_posix_say(f->owner, NACRE_PERMISSION, "truncate", f->name, "opened for reading");
    if (!vfs_posix_expressible(size, 0))
        return vfs_posix_fail(f->owner, "truncate", f->name, EFBIG);
    while (ftruncate(f->fd, (off_t)size) != 0)
        if (errno != EINTR) return vfs_posix_fail(f->owner, "truncate", f->name, errno);
    return NACRE_OK;
}

static int vfs_posix_sync_fd(int fd) {
#if defined(__APPLE__)
    if (fcntl(fd, F_FULLFSYNC) == 0) return 0; /* fsync there leaves it in the drive's cache */
    if (errno != ENOTSUP && errno != ENOTTY && errno != EINVAL) return -1;
    return fsync(fd);
#else
    return fdatasync(fd);
#endif
}

static nacre_status vfs_posix_sync(VfsFile *file) {
    VfsPosixFile *f = (VfsPosixFile *)file;
    struct stat about;
    while (vfs_posix_sync_fd(f->fd) != 0)
        if (errno != EINTR) return vfs_posix_fail(f->owner, "sync", f->name, errno);
    /* A file that somebody removed takes writes without a word, and is gone at close. */
    if (fstat(f->fd, &about) == 0 && about.st_nlink == 0)
        return vfs_posix_say(f->owner, NACRE_IO, "sync", f->name, "the file was removed while it was open");
    if (f->folder < 0) return NACRE_OK;
    while (fsync(f->folder) != 0) { /* rule 3 */
        if (errno == EINTR) continue;
        if (errno == EIO || errno == ENOSPC || errno == EDQUOT)
            return vfs_posix_fail(f->owner, "sync the folder of", f->name, errno);
        break; /* not for folders, says this system */
    }
    close(f->folder);
    f->folder = -1;
    return NACRE_OK;
}

static nacre_status vfs_posix_close(VfsFile *file) {
    VfsPosixFile *f = (VfsPosixFile *)file;
    nacre_status status = NACRE_OK;
    if (close(f->fd) != 0 && errno != EINTR) /* closed even so, never again */
        status = vfs_posix_fail(f->owner, "close", f->name, errno);
    f->fd = -1;
    vfs_posix_free(f);
    return status;
}

#if defined(__wasi__)
#define VFS_POSIX_MAP NULL
#else
/* As much of the addresses as the system gives. Pages behind the file's end come alive when it
 * grows; a system that does otherwise has no business with this option. */
static nacre_status vfs_posix_map(VfsFile *file, const uint8_t **bytes, uint64_t *size) {
    VfsPosixFile *f = (VfsPosixFile *)file;
    uint64_t has = 0;
    TRY(vfs_posix_size(file, &has));
    ASSERT(!f->map);
    for (uint64_t wanted = *size; wanted >= has && wanted >= 1 << 20; wanted /= 2) {
        if (wanted > SIZE_MAX / 2) continue;
        void *map = mmap(NULL, (size_t)wanted, PROT_READ, MAP_SHARED, f->fd, 0);
        if (map == MAP_FAILED) continue;
        (void)madvise(map, (size_t)wanted, MADV_RANDOM); /* a block is what is wanted */
        f->map = map, f->map_size = (size_t)wanted;
        *bytes = map, *size = wanted;
        return NACRE_OK;
    }
    return vfs_posix_fail(f->owner, "map", f->name, ENOMEM);
}
#define VFS_POSIX_MAP vfs_posix_map
#endif

static nacre_status vfs_posix_remove(void *self, const char *name) {
    return unlink(name) == 0 ? NACRE_OK : vfs_posix_fail(self, "remove", name, errno);
}

static nacre_status vfs_posix_lock(void *self, const char *name, bool break_it, VfsFile **lock) {
    VfsPosix *p = self;
    uint8_t token[16];
    LockFile *taken = NULL;
    vfs_posix_random(NULL, token, sizeof token);
    TRY(lock_file_take(&p->allocator, name, token, break_it, &taken, p->message,
                       sizeof p->message));
    *lock = (VfsFile *)taken;
    return NACRE_OK;
}

static void vfs_posix_unlock(void *self, VfsFile *lock) {
    lock_file_release(&((VfsPosix *)self)->allocator, (LockFile *)lock);
}

static nacre_status vfs_posix_readers_open(void *self, const char *name, bool break_it, VfsFile **readers) {
    VfsPosix *p = self;
    PinFolder *folder = NULL;
    TRY(pin_folder_open(&p->allocator, name, break_it, p->message, sizeof p->message, &folder));
    *readers = (VfsFile *)folder;
    return NACRE_OK;
}

static void vfs_posix_readers_close(VfsFile *readers) { pin_folder_close((PinFolder *)readers); }

static nacre_status vfs_posix_pin(VfsFile *readers, uint64_t generation, VfsFile **pin) {
    PinFile *file = (PinFile *)*pin;
    TRY(pin_file_put((PinFolder *)readers, generation, &file));
    *pin = (VfsFile *)file;
    return NACRE_OK;
}

static void vfs_posix_unpin(VfsFile *readers, VfsFile *pin) { pin_file_remove((PinFolder *)readers, (PinFile *)pin); }

static nacre_status vfs_posix_pins(VfsFile *readers, VfsPinVisit visit, void *self) {
    return pin_folder_list((PinFolder *)readers, visit, self);
}

static const VfsReaders vfs_posix_readers = {vfs_posix_readers_open, vfs_posix_readers_close, vfs_posix_pin,
                                             vfs_posix_unpin, vfs_posix_pins};

uint64_t vfs_posix_now_ms(void *self) {
    struct timespec now = {0};
    (void)self;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0 || now.tv_sec < 0) return 0;
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* For systems whose getentropy is missing at run time. */
static bool vfs_posix_urandom(uint8_t *into, size_t size) {
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t got = 1;
    while (size > 0 && got > 0) {
        got = read(fd, into, size);
        if (got < 0 && errno == EINTR) got = 1;
        else if (got > 0) into += got, size -= (size_t)got;
    }
    close(fd);
    return size == 0;
}

void vfs_posix_random(void *self, void *into, size_t size) {
    uint8_t *at = into;
    (void)self;
    while (size > 0) {
        size_t piece = size < 256 ? size : 256; /* as much as getentropy gives at once */
        if (getentropy(at, piece) != 0) ASSERT(vfs_posix_urandom(at, piece));
        at += piece, size -= piece;
    }
}

static const char *vfs_posix_message(void *self) { return ((VfsPosix *)self)->message; }

static void vfs_posix_destroy(void *self) {
    VfsPosix *p = self;
    nacre_allocator allocator = p->allocator;
    allocator.free(allocator.self, p, sizeof *p);
}

nacre_status vfs_posix_create(const nacre_allocator *allocator, Vfs **vfs) {
    VfsPosix *p = allocator->alloc(allocator->self, sizeof *p);
    if (!p) return NACRE_RESOURCE_EXHAUSTED;
    *p = (VfsPosix){
        .vfs = {.self = p,
                .open = vfs_posix_open,
                .size = vfs_posix_size,
                .read = vfs_posix_read,
                .write = vfs_posix_write,
                .truncate = vfs_posix_truncate,
                .sync = vfs_posix_sync,
                .close = vfs_posix_close,
                .map = VFS_POSIX_MAP,
                .lock = vfs_posix_lock,
                .unlock = vfs_posix_unlock,
                .readers = &vfs_posix_readers,
                .now_ms = vfs_posix_now_ms,
                .random = vfs_posix_random,
                .message = vfs_posix_message,
                .destroy = vfs_posix_destroy,
                .remove = vfs_posix_remove},
        .allocator = *allocator,
    };
    *vfs = &p->vfs;
    return NACRE_OK;
}
