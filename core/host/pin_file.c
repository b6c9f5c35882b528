/* pin_file.c - puts, removes and lists the pins of readers by the rules of
 * lock_format.h, whose numbers stand here in parentheses. Knows nothing of what a
 * generation is.
 *
 * The folder is opened once, so that a later chdir changes nothing. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#if defined(__APPLE__) && !defined(_DARWIN_C_SOURCE)
#define _DARWIN_C_SOURCE
#endif
#include "host/pin_file.h"

#include "base/status.h"
#include "host/holder.h"
#include "host/vfs_posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__wasi__)
enum { PIN_CALM = 0 };
#else
enum { PIN_CALM = O_NONBLOCK | O_NOCTTY };
#endif

enum {
    PIN_SUFFIX = 2 + LOCK_SHORT_DIGITS, /* .rSHORT */
    PIN_NEW = 4,                        /* .new */
    PIN_TRIES = 8,
};

struct PinFolder {
    nacre_allocator allocator;
    char *message;
    size_t message_size;
    Holder self;
    int fd;
    size_t alloc_size, base_size;
    char base[]; /* NAME-lock without its folder */
};

struct PinFile {
    Holder self;
    size_t alloc_size, size; /* of name, without .new */
    char name[];             /* relative to the folder; with room for .new */
};

static nacre_status pin_fail(const PinFolder *folder, const char *verb, const char *name, int error) {
    snprintf(folder->message, folder->message_size, "%s %s: %s", verb, name, strerror(error));
    return vfs_posix_status(error);
}

/* ---- One pin ---- */

static void pin_unlink(const PinFolder *folder, const char *name) { (void)unlinkat(folder->fd, name, 0); }

static nacre_status pin_write(const PinFolder *folder, const char *name, const Holder *holder) {
    char text[LOCK_TEXT_MAX];
    size_t size = holder_print(holder, text);
    pin_unlink(folder, name); /* of an earlier try of ours */
    int file = openat(folder->fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0) return pin_fail(folder, "create", name, errno);
    nacre_status status = NACRE_OK;
    for (size_t done = 0; done < size && status == NACRE_OK;) {
        ssize_t put = pwrite(file, text + done, size - done, (off_t)done);
        if (put > 0) done += (size_t)put;
        else if (put == 0 || errno != EINTR) status = pin_fail(folder, "write", name, put < 0 ? errno : ENOSPC);
    }
    close(file);
    if (status != NACRE_OK) pin_unlink(folder, name);
    return status;
}

/* (16) NACRE_NOT_FOUND: a writer took the new file for one that nobody finishes. */
static nacre_status pin_put_once(const PinFolder *folder, PinFile *pin) {
    char *name = pin->name, fresh[PIN_NEW + 1] = ".new";
    memcpy(name + pin->size, fresh, sizeof fresh);
    nacre_status status = pin_write(folder, name, &pin->self);
    if (status == NACRE_OK) {
        char whole[1024];
        ASSERT(pin->size < sizeof whole);
        memcpy(whole, name, pin->size);
        whole[pin->size] = '\0';
        if (renameat(folder->fd, name, folder->fd, whole) != 0) {
            status = pin_fail(folder, "rename", name, errno);
            pin_unlink(folder, name);
        }
    }
    name[pin->size] = '\0';
    return status;
}

nacre_status pin_file_put(PinFolder *folder, uint64_t generation, PinFile **out) {
    PinFile *pin = *out;
    if (!pin) {
        size_t alloc_size = sizeof *pin + folder->base_size + PIN_SUFFIX + PIN_NEW + 1;
        if (!(pin = folder->allocator.alloc(folder->allocator.self, alloc_size)))
            return pin_fail(folder, "pin", folder->base, ENOMEM);
        *pin = (PinFile){.alloc_size = alloc_size, .size = folder->base_size + PIN_SUFFIX};
        uint8_t token[HOLDER_TOKEN_SIZE];
        vfs_posix_random(NULL, token, sizeof token);
        holder_self(&pin->self, token);
        pin->self.reader = true;
        snprintf(pin->name, pin->size + 1, "%s.r%.*s", folder->base, LOCK_SHORT_DIGITS, pin->self.token);
    }
    uint64_t before = pin->self.generation;
    pin->self.generation = generation;
    nacre_status status = NACRE_NOT_FOUND;
    for (int i = 0; i < PIN_TRIES && status == NACRE_NOT_FOUND; i++) status = pin_put_once(folder, pin);
    if (status == NACRE_OK) {
        *out = pin;
        return NACRE_OK;
    }
    pin->self.generation = before;
    if (!*out) folder->allocator.free(folder->allocator.self, pin, pin->alloc_size);
    return status;
}

void pin_file_remove(PinFolder *folder, PinFile *pin) {
    if (!pin) return;
    if (holder_process() == folder->self.pid || holder_process() == 0) /* not a forked child of the reader */
        pin_unlink(folder, pin->name);
    folder->allocator.free(folder->allocator.self, pin, pin->alloc_size);
}

/* ---- All of them ---- */

/* 0: not of ours. 1: a pin. 2: one on its way. */
static int pin_kind(const PinFolder *folder, const char *name) {
    if (strncmp(name, folder->base, folder->base_size) != 0) return 0;
    name += folder->base_size;
    if (name[0] != '.' || name[1] != 'r' || strspn(name + 2, "0123456789abcdef") != LOCK_SHORT_DIGITS) return 0;
    name += PIN_SUFFIX;
    return *name == '\0' ? 1 : strcmp(name, ".new") == 0 ? 2 : 0;
}

static nacre_status pin_read(const PinFolder *folder, const char *name, Holder *holder) {
    char text[LOCK_TEXT_MAX + 2];
    int file = openat(folder->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | PIN_CALM);
    if (file < 0) return pin_fail(folder, "open", name, errno);
    nacre_status status = NACRE_OK;
    size_t size = 0;
    struct stat about;
    if (fstat(file, &about) != 0) status = pin_fail(folder, "read", name, errno);
    else if (!S_ISREG(about.st_mode)) status = pin_fail(folder, "read", name, EISDIR);
    while (status == NACRE_OK && size <= LOCK_TEXT_MAX) {
        ssize_t got = pread(file, text + size, LOCK_TEXT_MAX + 1 - size, (off_t)size);
        if (got == 0) break;
        if (got > 0) size += (size_t)got;
        else if (errno != EINTR) status = pin_fail(folder, "read", name, errno);
    }
    close(file);
    if (status != NACRE_OK) return status;
    text[size] = '\0';
    *holder = holder_parse(text, size, true);
    return NACRE_OK;
}

/* (18) */
static nacre_status pin_visit(const PinFolder *folder, const char *name, bool pin, VfsPinVisit visit, void *self) {
    Holder holder;
    nacre_status status = pin_read(folder, name, &holder);
    if (status == NACRE_NOT_FOUND) return NACRE_OK; /* given back meanwhile */
    if (status != NACRE_OK) return status;
    if (!holder_is_alive(&holder, &folder->self)) pin_unlink(folder, name);
    else if (pin) visit(self, holder.state == HOLDER_OTHER_VERSION ? UINT64_MAX : holder.generation);
    return NACRE_OK;
}

nacre_status pin_folder_list(PinFolder *folder, VfsPinVisit visit, void *self) {
    int fd = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = fd >= 0 ? fdopendir(fd) : NULL;
    if (!listing) {
        nacre_status failed = pin_fail(folder, "list the folder of", folder->base, errno);
        if (fd >= 0) close(fd);
        return failed;
    }
    nacre_status status = NACRE_OK;
    for (struct dirent *entry; status == NACRE_OK;) {
        errno = 0;
        if (!(entry = readdir(listing))) {
            if (errno) status = pin_fail(folder, "list the folder of", folder->base, errno);
            break;
        }
        int kind = pin_kind(folder, entry->d_name);
        if (kind) status = pin_visit(folder, entry->d_name, kind == 1, visit, self);
    }
    closedir(listing);
    return status;
}

/* ---- The folder ---- */

/* (20) */
static void pin_break(PinFolder *folder) {
    int fd = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = fd >= 0 ? fdopendir(fd) : NULL;
    if (!listing) {
        if (fd >= 0) close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(listing));) {
        Holder holder;
        if (pin_kind(folder, entry->d_name) && pin_read(folder, entry->d_name, &holder) == NACRE_OK && holder.pid == 0)
            pin_unlink(folder, entry->d_name);
    }
    closedir(listing);
}

nacre_status pin_folder_open(const nacre_allocator *allocator, const char *lock_name, bool break_it, char *message,
                             size_t message_size, PinFolder **out) {
    const char *slash = strrchr(lock_name, '/'), *base = slash ? slash + 1 : lock_name;
    size_t path_size = slash == lock_name ? 1 : slash ? (size_t)(slash - lock_name) : 0, base_size = strlen(base);
    char path[4096] = ".";
    PinFolder refused = {.message = message, .message_size = message_size};
    if (path_size >= sizeof path || base_size > 900) return pin_fail(&refused, "open the folder of", base, ENAMETOOLONG);
    if (path_size) {
        memcpy(path, lock_name, path_size);
        path[path_size] = '\0';
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return pin_fail(&refused, "open the folder of", base, errno);
    size_t alloc_size = sizeof(PinFolder) + base_size + 1;
    PinFolder *folder = allocator->alloc(allocator->self, alloc_size);
    if (!folder) {
        close(fd);
        return pin_fail(&refused, "open the folder of", base, ENOMEM);
    }
    static const uint8_t nobody[HOLDER_TOKEN_SIZE];
    *folder = (PinFolder){.allocator = *allocator, .message = message, .message_size = message_size, .fd = fd,
                          .alloc_size = alloc_size, .base_size = base_size};
    memcpy(folder->base, base, base_size + 1);
    holder_self(&folder->self, nobody);
    if (break_it) pin_break(folder);
    *out = folder;
    return NACRE_OK;
}

void pin_folder_close(PinFolder *folder) {
    nacre_allocator allocator = folder->allocator;
    close(folder->fd);
    allocator.free(allocator.self, folder, folder->alloc_size);
}
