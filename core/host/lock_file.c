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
#include "host/lock_format.h"
#include "host/vfs_posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#if !defined(__wasi__)
#include <signal.h>
#include <sys/file.h>
#endif

#if defined(__wasi__)
enum { LOCK_CALM = 0 };
#else
enum { LOCK_CALM = O_NONBLOCK | O_NOCTTY };
#endif

#define LOCK_NUMBER_MAX ((UINT64_C(1) << 53) - 1)

enum {
    LOCK_STAT_MAX = 1024,
    LOCK_SUFFIX_MAX = 1 + LOCK_SHORT_DIGITS + 1 + 2 + 1,
    LOCK_NAME_SHOWN = 160, /* of a longer name the end is shown */
};

typedef enum LockState { LOCK_WHOLE, LOCK_NOT_WHOLE, LOCK_OTHER_VERSION } LockState;

/* What a lock file says. */
typedef struct LockHolder {
    LockState state;
    uint64_t pid, start;
    char boot[LOCK_BOOT_MAX + 1];
    char token[LOCK_TOKEN_DIGITS + 1]; /* zeros where it is not whole */
    char host[LOCK_HOST_MAX + 1];
} LockHolder;

struct LockFile {
    int folder; /* AT_FDCWD where it cannot be opened */
    int fd;     /* natively with the advisory lock; -1 */
    LockHolder self;
    size_t alloc_size;
    char *name, *temporary, *claim; /* relative to the folder; they follow the struct */
    const char *full_name;          /* the caller's: good while the lock is being taken */
    bool break_it;
    char *message;
    size_t message_size;
    char names[];
};

/* ---- What the operating system knows of processes ---- */

#if defined(__wasi__)
static void lock_self(LockHolder *self) { strcpy(self->host, "wasi"); /* (4) */ }
static bool lock_process_is_dead(const LockHolder *holder, const LockHolder *self) {
    (void)holder, (void)self;
    return false; /* (5b) */
}
static bool lock_advise(int fd) {
    (void)fd;
    return true;
}
static void lock_private(int fd) { (void)fd; }
static uint64_t lock_process(void) { return 0; }
#else

static size_t lock_read_text(const char *path, char *into, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t got = read(fd, into, size - 1);
    close(fd);
    into[got > 0 ? got : 0] = '\0';
    return got > 0 ? (size_t)got : 0;
}

/* The fields that (3) and (5d) speak of. False: cannot be read. */
static bool lock_process_fields(const char *path, uint64_t *pid, char *state, uint64_t *threads,
                                uint64_t *start) {
    char text[LOCK_STAT_MAX];
    if (!lock_read_text(path, text, sizeof text)) return false;
    unsigned long long first = 0, count = 0, began = 0;
    const char *at = strrchr(text, ')');
    if (!at || sscanf(text, "%llu", &first) != 1) return false;
    if (sscanf(at + 1,
               " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %*s %llu",
               state, &count, &began) != 3)
        return false;
    *pid = first, *threads = count, *start = began;
    return true;
}

static void lock_self(LockHolder *self) {
    strcpy(self->host, "native");
    self->pid = (uint64_t)getpid();
    uint64_t pid = 0, threads = 0, start = 0;
    char state = 0;
    if (lock_process_fields("/proc//self/stat", &pid, &state, &threads, &start) && pid == self->pid)
        self->start = start; /* (3) */
    char boot[LOCK_BOOT_MAX + 2];
    size_t size = lock_read_text("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
    if (size && boot[size - 1] == '\n') boot[--size] = '\0';
    if (size && size <= LOCK_BOOT_MAX && strspn(boot, "0123456789abcdef-") == size)
        memcpy(self->boot, boot, size + 1);
}

/* (5c), (5d) */
static bool lock_process_is_dead(const LockHolder *holder, const LockHolder *self) {
    if (holder->pid > INT32_MAX) return true;
    if (kill((pid_t)holder->pid, 0) != 0 && errno == ESRCH) return true;
    if (self->start == 0) return false; /* /proc is not ours */
    char path[48];
    snprintf(path, sizeof path, "/proc//%llu/stat", (unsigned long long)holder->pid);
    uint64_t pid = 0, threads = 0, start = 0;
    char state = 0;
    if (!lock_process_fields(path, &pid, &state, &threads, &start)) return false;
    if ((state == 'Z' || state == 'X') && threads <= 1) return true;
    return holder->start != 0 && holder->start != start;
}

/* False: another process has the advisory lock. Where there are none: true. */
static bool lock_advise(int fd) {
    while (flock(fd, LOCK_EX | LOCK_NB) != 0)
        if (errno != EINTR) return errno != EWOULDBLOCK;
    return true;
}

static void lock_private(int fd) { (void)fchmod(fd, 0600); }
static uint64_t lock_process(void) { return (uint64_t)getpid(); }
#endif

static bool lock_known(const char *boot) { return strcmp(boot, "-") != 0; }

/* (5) */
static bool lock_is_alive(const LockHolder *holder, const LockHolder *self) {
    if (holder->state == LOCK_NOT_WHOLE) return false;
    if (holder->state == LOCK_OTHER_VERSION) return true; /* (2) */
    if (lock_known(holder->boot) && lock_known(self->boot) &&
        strcmp(holder->boot, self->boot) != 0)
        return false;
    return holder->pid == 0 || !lock_process_is_dead(holder, self);
}

/* ---- The text ---- */

static size_t lock_print(const LockHolder *h, char *text) {
    int size = snprintf(text, LOCK_TEXT_MAX,
                        LOCK_MAGIC LOCK_VERSION
                        "\npid %llu\nstart %llu\nboot %s\ntoken %s\nhost %s\nend\n",
                        (unsigned long long)h->pid, (unsigned long long)h->start, h->boot,
                        h->token, h->host);
    ASSERT(size > 0 && size < LOCK_TEXT_MAX);
    return (size_t)size;
}

/* One line "label value\n": moves *at behind it. False: it is not there so. */
static bool lock_parse_line(const char **at, const char *label, const char *alphabet, char *value,
                            size_t size_max) {
    size_t label_size = strlen(label);
    if (strncmp(*at, label, label_size) != 0) return false;
    const char *from = *at + label_size;
    size_t size = strspn(from, alphabet);
    if (size == 0 || size > size_max || from[size] != '\n') return false;
    memcpy(value, from, size);
    value[size] = '\0';
    *at = from + size + 1;
    return true;
}

static bool lock_parse_number(const char **at, const char *label, uint64_t *number) {
    char digits[17];
    if (!lock_parse_line(at, label, "0123456789", digits, 16)) return false;
    if (digits[0] == '0' && digits[1]) return false;
    uint64_t n = 0;
    for (const char *d = digits; *d; d++) n = n * 10 + (uint64_t)(*d - '0');
    *number = n;
    return n <= LOCK_NUMBER_MAX;
}

static bool lock_parse_lines(const char *text, LockHolder *h) {
    const char *at = text;
    char version[8];
    return lock_parse_line(&at, LOCK_MAGIC, "0123456789", version, sizeof version - 1) &&
           strcmp(version, LOCK_VERSION) == 0 && lock_parse_number(&at, "pid ", &h->pid) &&
           lock_parse_number(&at, "start ", &h->start) &&
           lock_parse_line(&at, "boot ", "0123456789abcdef-", h->boot, LOCK_BOOT_MAX) &&
           lock_parse_line(&at, "token ", "0123456789abcdef", h->token, LOCK_TOKEN_DIGITS) &&
           strlen(h->token) == LOCK_TOKEN_DIGITS &&
           lock_parse_line(&at, "host ", "abcdefghijklmnopqrstuvwxyz", h->host, LOCK_HOST_MAX) &&
           strcmp(at, "end\n") == 0;
}

/* (1), (2). `text` ends with a zero that is not of the file. */
static LockHolder lock_parse(const char *text, size_t size) {
    LockHolder h = {.state = LOCK_WHOLE};
    if (size <= LOCK_TEXT_MAX && strlen(text) == size && lock_parse_lines(text, &h)) return h;
    h = (LockHolder){.state = LOCK_NOT_WHOLE, .boot = "-"};
    memset(h.token, '0', LOCK_TOKEN_DIGITS);
    const char *at = text;
    char version[8];
    if (lock_parse_line(&at, LOCK_MAGIC, "0123456789", version, sizeof version - 1) &&
        strcmp(version, LOCK_VERSION) != 0)
        h.state = LOCK_OTHER_VERSION;
    return h;
}

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

static nacre_status lock_busy_by(LockFile *lock, const LockHolder *by) {
    if (by->state == LOCK_OTHER_VERSION)
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
static nacre_status lock_read_once(LockFile *lock, const char *name, LockHolder *holder, int *fd) {
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
        *holder = lock_parse(text, size);
    }
    if (fd && status == NACRE_OK) *fd = file;
    else close(file);
    return status;
}

/* "Read" of lock_format.h: a file that is not whole is given time to become so. */
static nacre_status lock_read(LockFile *lock, const char *name, LockHolder *holder, int *fd) {
    for (int waited = 0;; waited += LOCK_WAIT_STEP_MS) {
        TRY(lock_read_once(lock, name, holder, fd));
        if (holder->state != LOCK_NOT_WHOLE || waited >= LOCK_WAIT_MS) return NACRE_OK;
        if (fd) close(*fd), *fd = -1;
        struct timespec step = {0, LOCK_WAIT_STEP_MS * 1000000L};
        (void)nanosleep(&step, NULL);
    }
}

/* Makes file `name` with our text. *fd is left open; on failure nothing is left. */
static nacre_status lock_write(LockFile *lock, const char *name, int *fd) {
    char text[LOCK_TEXT_MAX];
    size_t size = lock_print(&lock->self, text);
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

static bool lock_is_ours(const LockFile *lock, const LockHolder *holder) {
    return holder->state == LOCK_WHOLE && strcmp(holder->token, lock->self.token) == 0;
}

/* After putting or replacing: our token must stand there (7), (11). */
static nacre_status lock_confirm(LockFile *lock) {
    LockHolder now;
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
        LockHolder claimer;
        TRY(lock_read(lock, lock->claim, &claimer, NULL));
        if (!lock->break_it && lock_is_alive(&claimer, &lock->self))
            return lock_busy_by(lock, &claimer);
    }
    return lock_busy(lock, "too many dead claims on it");
}

/* (9)-(11): replaces the dead lock. NACRE_NOT_FOUND: it changed, look again. */
static nacre_status lock_replace(LockFile *lock, const LockHolder *dead) {
    int number = 0;
    TRY(lock_claim(lock, dead->token, &number));
    LockHolder now;
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
    LockHolder holder;
    int fd = -1;
    nacre_status status = NACRE_OK;
    TRY_OUT(lock_read(lock, lock->name, &holder, &fd));
    if (!lock->break_it && lock_is_alive(&holder, &lock->self))
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
    lock->self = (LockHolder){.state = LOCK_WHOLE, .boot = "-"};
    lock_self(&lock->self);
    for (int i = 0; i < LOCK_TOKEN_DIGITS; i++)
        lock->self.token[i] = "0123456789abcdef"[token[i / 2] >> (i % 2 ? 0 : 4) & 15];
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
    LockHolder now;
    if (lock_process() == lock->self.pid && /* not a forked child of the holder */
        lock_read_once(lock, lock->name, &now, NULL) == NACRE_OK && lock_is_ours(lock, &now))
        (void)unlinkat(lock->folder, lock->name, 0);
    lock_free(allocator, lock);
}
