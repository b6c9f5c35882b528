/* lock_file.c - taking and giving back NAME-lock by the rules of lock_format.h,
 * whose numbers stand here in parentheses.
 *
 * All files are named relative to the folder as it was opened first, so that a
 * later chdir neither loses the lock nor removes another one. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#if defined(__APPLE__) && !defined(_DARWIN_C_SOURCE)
#define _DARWIN_C_SOURCE
#endif
#include "host/lock_file.h"

#include "base/span.h"
#include "base/status.h"
#include "host/holder.h"
#include "host/vfs_posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#if !defined(__wasi__)
#include <sys/file.h>
#endif

#if defined(__wasi__)
enum { LOCK_CALM = 0 };
#else
enum { LOCK_CALM = O_NONBLOCK | O_NOCTTY };
#endif

enum {
    LOCK_SUFFIX_MAX = 1 + LOCK_SHORT_DIGITS + 1 + 2 + 1,
    LOCK_NAME_SHOWN = 160, /* of a longer name the end is shown */
};

struct LockFile {
    int folder; /* AT_FDCWD where it cannot be opened */
    int fd;     /* natively with the advisory lock; -1 */
    Holder self;
    size_t alloc_size;
    char *name, *temporary, *claim; /* relative to the folder; they follow the struct */
    const char *full_name;          /* the caller's: good while the lock is being taken */
    bool break_it;
    char *message;
    size_t message_size;
    char names[];
};

/* ---- Advisory locks, where there are any ---- */

#if defined(__wasi__)
static bool lock_advise(int fd) {
    (void)fd;
    return true;
}
static void lock_private(int fd) { (void)fd; }
#else
/* False: another process has the advisory lock. Where there are none: true. */
static bool lock_advise(int fd) {
    while (flock(fd, LOCK_EX | LOCK_NB) != 0)
        if (errno != EINTR) return errno != EWOULDBLOCK;
    return true;
}

static void lock_private(int fd) { (void)fchmod(fd, 0600); }
#endif


/* ---- Failing in words ---- */

static nacre_status lock_fail(LockFile *lock, const char *verb, const char *name, int error) {
    snprintf(lock->message, lock->message_size, "lock: %s %s: %s", verb, name, strerror(error));
    return vfs_posix_status(error);
}

static nacre_status lock_busy(LockFile *lock, const char *why) {
    size_t size = strlen(lock->full_name);
    const char *shown = lock->full_name + (size > LOCK_NAME_SHOWN ? size - LOCK_NAME_SHOWN : 0);
    snprintf(lock->message, lock->message_size, "%s: %s", shown, why);
    return NACRE_BUSY;
}

static nacre_status lock_busy_by(LockFile *lock, const Holder *by) {
    if (by->state == HOLDER_OTHER_VERSION)
        return lock_busy(lock, "held, says a lock of another version; break it if nobody has it");
    if (by->pid == 0)
        return lock_busy(lock, "held by a program without a process id; break the lock if it is "
                               "gone");
    char why[96];
    bool own = by->pid == lock->self.pid && strcmp(by->boot, lock->self.boot) == 0;
    snprintf(why, sizeof why, "%s %llu (%s) has it open for writing",
             own ? "this process" : "process", (unsigned long long)by->pid, by->host);
    return lock_busy(lock, why);
}

/* ---- Reading, putting ---- */

/* Reads lock file `name` as it is now. Its descriptor goes to *fd where asked for. */
static nacre_status lock_read_once(LockFile *lock, const char *name, Holder *holder, int *fd) {
    char text[LOCK_TEXT_MAX + 2];
    int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | LOCK_CALM;
    int file = openat(lock->folder, name, flags);
    if (file < 0) return lock_fail(lock, "open", name, errno);
    struct stat about;
    nacre_status status = NACRE_OK;
    size_t size = 0;
    ssize_t got = 1;
    if (fstat(file, &about) != 0 || !S_ISREG(about.st_mode)) {
        snprintf(lock->message, lock->message_size, "lock: %s is not a regular file", name);
        status = NACRE_IO;
    }
    while (status == NACRE_OK && got != 0 && size <= LOCK_TEXT_MAX) {
        got = pread(file, text + size, LOCK_TEXT_MAX + 1 - size, (off_t)size);
        if (got > 0) size += (size_t)got;
        else if (got < 0 && errno != EINTR) status = lock_fail(lock, "read", name, errno);
    }
    if (status == NACRE_OK) {
        text[size] = '\0';
        *holder = holder_parse(text, size, false);
    }
    if (fd && status == NACRE_OK) *fd = file;
    else close(file);
    return status;
}

/* "Read" of lock_format.h: a file that is not whole is given time to become so. */
static nacre_status lock_read(LockFile *lock, const char *name, Holder *holder, int *fd) {
    for (int waited = 0;; waited += LOCK_WAIT_STEP_MS) {
        TRY(lock_read_once(lock, name, holder, fd));
        if (holder->state != HOLDER_NOT_WHOLE || waited >= LOCK_WAIT_MS) return NACRE_OK;
        if (fd) close(*fd), *fd = -1;
        struct timespec step = {0, LOCK_WAIT_STEP_MS * 1000000L};
        (void)nanosleep(&step, NULL);
    }
}

/* Makes file `name` with our text. *fd is left open; on failure nothing is left. */
static nacre_status lock_write(LockFile *lock, const char *name, int *fd) {
    char text[LOCK_TEXT_MAX];
    size_t size = holder_print(&lock->self, text);
    int file = openat(lock->folder, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0) return lock_fail(lock, "create", name, errno);
    lock_private(file);
    (void)lock_advise(file); /* nobody else can have it: the file is new */
    for (size_t done = 0; done < size;) {
        ssize_t put = pwrite(file, text + done, size - done, (off_t)done);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) {
            nacre_status status = lock_fail(lock, "write", name, put < 0 ? errno : ENOSPC);
            (void)unlinkat(lock->folder, name, 0);
            close(file);
            return status;
        }
        done += (size_t)put;
    }
    *fd = file;
    return NACRE_OK;
}

/* "Put" of lock_format.h. NACRE_EXISTS: it is there. *fd, where asked for, becomes
 * the descriptor of what was put, when that is another file than our temporary. */
static nacre_status lock_put(LockFile *lock, const char *name, int *fd) {
    if (linkat(lock->folder, lock->temporary, lock->folder, name, 0) == 0) return NACRE_OK;
    if (errno == EEXIST) return NACRE_EXISTS;
    int file = -1; /* no links here, or they took our temporary away */
    TRY(lock_write(lock, name, &file));
    if (fd) {
        if (*fd >= 0) close(*fd);
        *fd = file;
    } else {
        close(file);
    }
    return NACRE_OK;
}

static bool lock_is_ours(const LockFile *lock, const Holder *holder) {
    return holder->state == HOLDER_WHOLE && strcmp(holder->token, lock->self.token) == 0;
}

/* After putting or replacing: our token must stand there (7), (11). */
static nacre_status lock_confirm(LockFile *lock) {
    Holder now;
    nacre_status status = lock_read(lock, lock->name, &now, NULL);
    if (status == NACRE_OK && lock_is_ours(lock, &now)) return NACRE_OK;
    if (status == NACRE_OK || status == NACRE_NOT_FOUND)
        return lock_busy(lock, "another process took it at the same moment");
    return status;
}

/* ---- Taking over ---- */

static void lock_claim_name(LockFile *lock, const char *token, int number) {
    snprintf(lock->claim, strlen(lock->name) + LOCK_SUFFIX_MAX, "%s.%.*s.%d", lock->name,
             LOCK_SHORT_DIGITS, token, number);
}

/* True for NAME-lock.SHORT and NAME-lock.SHORT.K. */
static bool lock_is_leftover(const LockFile *lock, const char *entry) {
    size_t size = strlen(lock->name);
    if (strncmp(entry, lock->name, size) != 0 || entry[size] != '.') return false;
    entry += size + 1;
    if (strspn(entry, "0123456789abcdef") != LOCK_SHORT_DIGITS) return false;
    entry += LOCK_SHORT_DIGITS;
    if (*entry == '\0') return true;
    size_t digits = strspn(entry + 1, "0123456789");
    return *entry == '.' && digits >= 1 && digits <= 2 && entry[1 + digits] == '\0';
}

/* (11): we hold the lock; what killed takers left goes. Best effort. */
static void lock_tidy(LockFile *lock, const char *token, int claims) {
    for (int k = 1; k <= claims; k++) {
        lock_claim_name(lock, token, k);
        (void)unlinkat(lock->folder, lock->claim, 0);
    }
    if (lock->folder < 0) return; /* AT_FDCWD: names are paths there */
    int folder = openat(lock->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = folder >= 0 ? fdopendir(folder) : NULL;
    if (!listing) {
        if (folder >= 0) close(folder);
        return;
    }
    for (struct dirent *entry; (entry = readdir(listing));)
        if (lock_is_leftover(lock, entry->d_name)) (void)unlinkat(lock->folder, entry->d_name, 0);
    closedir(listing);
}

/* (9): the first claim that is free becomes ours. NACRE_NOT_FOUND: look again. */
static nacre_status lock_claim(LockFile *lock, const char *token, int *number) {
    for (int k = 1; k <= LOCK_CLAIM_MAX; k++) {
        lock_claim_name(lock, token, k);
        nacre_status status = lock_put(lock, lock->claim, NULL);
        if (status == NACRE_OK) {
            *number = k;
            return NACRE_OK;
        }
        if (status != NACRE_EXISTS) return status;
        Holder claimer;
        TRY(lock_read(lock, lock->claim, &claimer, NULL));
        if (!lock->break_it && holder_is_alive(&claimer, &lock->self))
            return lock_busy_by(lock, &claimer);
    }
    return lock_busy(lock, "too many dead claims on it");
}

/* (9)-(11): replaces the dead lock. NACRE_NOT_FOUND: it changed, look again. */
static nacre_status lock_replace(LockFile *lock, const Holder *dead) {
    int number = 0;
    TRY(lock_claim(lock, dead->token, &number));
    Holder now;
    nacre_status status = lock_read(lock, lock->name, &now, NULL);
    if (status == NACRE_OK && strcmp(now.token, dead->token) != 0) status = NACRE_NOT_FOUND;
    if (status == NACRE_OK &&
        renameat(lock->folder, lock->temporary, lock->folder, lock->name) != 0)
        status = lock_fail(lock, "replace", lock->name, errno);
    if (status == NACRE_OK) status = lock_confirm(lock);
    if (status == NACRE_OK) lock_tidy(lock, dead->token, number);
    else {
        lock_claim_name(lock, dead->token, number);
        (void)unlinkat(lock->folder, lock->claim, 0); /* (13) */
    }
    return status;
}

/* (8): there is a lock. NACRE_NOT_FOUND: gone or changed, try again. */
static nacre_status lock_take_over(LockFile *lock) {
    Holder holder;
    int fd = -1;
    nacre_status status = NACRE_OK;
    TRY_OUT(lock_read(lock, lock->name, &holder, &fd));
    if (!lock->break_it && holder_is_alive(&holder, &lock->self))
        TRY_OUT(lock_busy_by(lock, &holder));
    if (!lock->break_it && !lock_advise(fd))
        TRY_OUT(lock_busy(lock, "another process holds the advisory lock on it"));
    status = lock_replace(lock, &holder);
out:
    if (fd >= 0) close(fd);
    return status;
}

/* (7), (8) */
static nacre_status lock_try(LockFile *lock) {
    for (int i = 0; i < LOCK_TRIES; i++) {
        nacre_status status = lock_put(lock, lock->name, &lock->fd);
        if (status == NACRE_OK) return lock_confirm(lock);
        if (status != NACRE_EXISTS) return status;
        status = lock_take_over(lock);
        if (status != NACRE_NOT_FOUND) return status;
    }
    return lock_busy(lock, "it changes hands all the time");
}

/* ---- The two verbs ---- */

static int lock_open_folder(const char *name, const char *slash) {
    if (!slash) return open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char folder[4096];
    size_t size = slash == name ? 1 : (size_t)(slash - name);
    if (size >= sizeof folder) return -1;
    memcpy(folder, name, size);
    folder[size] = '\0';
    return open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static LockFile *lock_alloc(const nacre_allocator *allocator, const char *full_name) {
    const char *slash = strrchr(full_name, '/');
    int folder = lock_open_folder(full_name, slash);
    const char *name = slash && folder >= 0 ? slash + 1 : full_name;
    size_t size = strlen(name) + LOCK_SUFFIX_MAX;
    size_t alloc_size = sizeof(LockFile) + 3 * size;
    LockFile *lock = allocator->alloc(allocator->self, alloc_size);
    if (!lock) {
        if (folder >= 0) close(folder);
        return NULL;
    }
    *lock = (LockFile){.folder = folder >= 0 ? folder : AT_FDCWD, .fd = -1,
                       .alloc_size = alloc_size, .full_name = full_name};
    lock->name = lock->names;
    lock->temporary = lock->names + size;
    lock->claim = lock->names + 2 * size;
    strcpy(lock->name, name);
    return lock;
}

static void lock_free(const nacre_allocator *allocator, LockFile *lock) {
    if (lock->fd >= 0) close(lock->fd);
    if (lock->folder >= 0) close(lock->folder);
    allocator->free(allocator->self, lock, lock->alloc_size);
}

nacre_status lock_file_take(const nacre_allocator *allocator, const char *name,
                            const uint8_t *token, bool break_it, LockFile **taken, char *message,
                            size_t message_size) {
    LockFile *lock = lock_alloc(allocator, name);
    if (!lock) {
        snprintf(message, message_size, "lock %s: no memory", name);
        return NACRE_RESOURCE_EXHAUSTED;
    }
    lock->break_it = break_it;
    lock->message = message, lock->message_size = message_size;
    holder_self(&lock->self, token);
    snprintf(lock->temporary, strlen(lock->name) + LOCK_SUFFIX_MAX, "%s.%.*s", lock->name,
             LOCK_SHORT_DIGITS, lock->self.token);

    nacre_status status = lock_write(lock, lock->temporary, &lock->fd); /* (6) */
    if (status == NACRE_OK) {
        status = lock_try(lock);
        (void)unlinkat(lock->folder, lock->temporary, 0); /* (12), (13) */
    }
    if (status != NACRE_OK) {
        lock_free(allocator, lock);
        return status == NACRE_EXISTS ? NACRE_IO : status; /* a token that is not random */
    }
    *taken = lock;
    return NACRE_OK;
}

/* (15) */
void lock_file_release(const nacre_allocator *allocator, LockFile *lock) {
    if (!lock) return;
    char nobody[1];
    lock->message = nobody, lock->message_size = sizeof nobody;
    Holder now;
    if (holder_process() == lock->self.pid && /* not a forked child of the holder */
        lock_read_once(lock, lock->name, &now, NULL) == NACRE_OK && lock_is_ours(lock, &now))
        (void)unlinkat(lock->folder, lock->name, 0);
    lock_free(allocator, lock);
}
