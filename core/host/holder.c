/* holder.c - prints and reads the text of lock_format.h, and asks the system whether a
 * process lives. Rules are those of lock_format.h. Knows nothing of how locks and pins
 * are put. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#if defined(__APPLE__) && !defined(_DARWIN_C_SOURCE)
#define _DARWIN_C_SOURCE
#endif
#include "host/holder.h"

#include "base/status.h"

#include <stdio.h>
#include <stdlib.h>
#if !defined(__wasi__)
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>
#endif

#define HOLDER_NUMBER_MAX ((UINT64_C(1) << 53) - 1)

enum { HOLDER_STAT_MAX = 1024 };

/* ---- The text ---- */

size_t holder_print(const Holder *h, char *text) {
    char pin[40] = "";
    if (h->reader) snprintf(pin, sizeof pin, "generation %llu\n", (unsigned long long)h->generation);
    int size = snprintf(text, LOCK_TEXT_MAX, "%s" LOCK_VERSION "\npid %llu\nstart %llu\nboot %s\ntoken %s\nhost %s\n%send\n",
                        h->reader ? LOCK_READER_MAGIC : LOCK_MAGIC, (unsigned long long)h->pid,
                        (unsigned long long)h->start, h->boot, h->token, h->host, pin);
    ASSERT(size > 0 && size < LOCK_TEXT_MAX);
    return (size_t)size;
}

/* One line "label value\n": moves *at behind it. False: it is not there so. */
static bool holder_parse_line(const char **at, const char *label, const char *alphabet, char *value,
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

static bool holder_parse_number(const char **at, const char *label, uint64_t *number) {
    char digits[17];
    if (!holder_parse_line(at, label, "0123456789", digits, 16)) return false;
    if (digits[0] == '0' && digits[1]) return false;
    uint64_t n = 0;
    for (const char *d = digits; *d; d++) n = n * 10 + (uint64_t)(*d - '0');
    *number = n;
    return n <= HOLDER_NUMBER_MAX;
}

static bool holder_parse_lines(const char *text, Holder *h) {
    const char *at = text;
    char version[8];
    return holder_parse_line(&at, h->reader ? LOCK_READER_MAGIC : LOCK_MAGIC, "0123456789", version, sizeof version - 1) &&
           strcmp(version, LOCK_VERSION) == 0 && holder_parse_number(&at, "pid ", &h->pid) &&
           holder_parse_number(&at, "start ", &h->start) &&
           holder_parse_line(&at, "boot ", "0123456789abcdef-", h->boot, LOCK_BOOT_MAX) &&
           holder_parse_line(&at, "token ", "0123456789abcdef", h->token, LOCK_TOKEN_DIGITS) &&
           strlen(h->token) == LOCK_TOKEN_DIGITS &&
           holder_parse_line(&at, "host ", "abcdefghijklmnopqrstuvwxyz", h->host, LOCK_HOST_MAX) &&
           (!h->reader || holder_parse_number(&at, "generation ", &h->generation)) && strcmp(at, "end\n") == 0;
}

/* (1), (2). `text` ends with a zero that is not of the file. */
Holder holder_parse(const char *text, size_t size, bool reader) {
    Holder h = {.state = HOLDER_WHOLE, .reader = reader};
    if (size <= LOCK_TEXT_MAX && strlen(text) == size && holder_parse_lines(text, &h)) return h;
    h = (Holder){.state = HOLDER_NOT_WHOLE, .boot = "-", .reader = reader};
    memset(h.token, '0', LOCK_TOKEN_DIGITS);
    const char *at = text;
    char version[8];
    if (holder_parse_line(&at, reader ? LOCK_READER_MAGIC : LOCK_MAGIC, "0123456789", version, sizeof version - 1) &&
        strcmp(version, LOCK_VERSION) != 0)
        h.state = HOLDER_OTHER_VERSION;
    return h;
}

/* ---- What the operating system knows of processes ---- */

#if defined(__wasi__)
/* (4) */
static void holder_learn(Holder *self) {
    const char *given = getenv(LOCK_PROCESS);
    Holder told = {.boot = "-"};
    if (given && holder_parse_number(&given, "pid ", &told.pid) && holder_parse_number(&given, "start ", &told.start) &&
        holder_parse_line(&given, "boot ", "0123456789abcdef-", told.boot, LOCK_BOOT_MAX) &&
        holder_parse_line(&given, "host ", "abcdefghijklmnopqrstuvwxyz", told.host, LOCK_HOST_MAX) && !*given)
        *self = told;
    else
        strcpy(self->host, "wasi");
}
static bool holder_process_is_dead(const Holder *holder, const Holder *self) {
    (void)holder, (void)self;
    return false; /* (5b) */
}
uint64_t holder_process(void) { return 0; }
#else

static size_t holder_read_text(const char *path, char *into, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t got = read(fd, into, size - 1);
    close(fd);
    into[got > 0 ? got : 0] = '\0';
    return got > 0 ? (size_t)got : 0;
}

/* The fields that (3) and (5d) speak of. False: cannot be read. */
static bool holder_process_fields(const char *path, uint64_t *pid, char *state, uint64_t *threads,
                                uint64_t *start) {
    char text[HOLDER_STAT_MAX];
    if (!holder_read_text(path, text, sizeof text)) return false;
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

static void holder_learn(Holder *self) {
    strcpy(self->host, "native");
    self->pid = (uint64_t)getpid();
    uint64_t pid = 0, threads = 0, start = 0;
    char state = 0;
    if (holder_process_fields("/proc//self/stat", &pid, &state, &threads, &start) && pid == self->pid)
        self->start = start; /* (3) */
    char boot[LOCK_BOOT_MAX + 2];
    size_t size = holder_read_text("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
    if (size && boot[size - 1] == '\n') boot[--size] = '\0';
    if (size && size <= LOCK_BOOT_MAX && strspn(boot, "0123456789abcdef-") == size)
        memcpy(self->boot, boot, size + 1);
}

/* (5c), (5d) */
static bool holder_process_is_dead(const Holder *holder, const Holder *self) {
    if (holder->pid > INT32_MAX) return true;
    if (kill((pid_t)holder->pid, 0) != 0 && errno == ESRCH) return true;
    if (self->start == 0) return false; /* /proc is not ours */
    char path[48];
    snprintf(path, sizeof path, "/proc//%llu/stat", (unsigned long long)holder->pid);
    uint64_t pid = 0, threads = 0, start = 0;
    char state = 0;
    if (!holder_process_fields(path, &pid, &state, &threads, &start)) return false;
    if ((state == 'Z' || state == 'X') && threads <= 1) return true;
    return holder->start != 0 && holder->start != start;
}

uint64_t holder_process(void) { return (uint64_t)getpid(); }
#endif

void holder_self(Holder *self, const uint8_t token[HOLDER_TOKEN_SIZE]) {
    *self = (Holder){.state = HOLDER_WHOLE, .boot = "-"};
    holder_learn(self);
    for (int i = 0; i < LOCK_TOKEN_DIGITS; i++)
        self->token[i] = "0123456789abcdef"[token[i / 2] >> (i % 2 ? 0 : 4) & 15];
    self->token[LOCK_TOKEN_DIGITS] = '\0';
}

static bool holder_known(const char *boot) { return strcmp(boot, "-") != 0; }

/* (5) */
bool holder_is_alive(const Holder *holder, const Holder *self) {
    if (holder->state == HOLDER_NOT_WHOLE) return false;
    if (holder->state == HOLDER_OTHER_VERSION) return true; /* (2) */
    if (holder_known(holder->boot) && holder_known(self->boot) &&
        strcmp(holder->boot, self->boot) != 0)
        return false;
    return holder->pid == 0 || !holder_process_is_dead(holder, self);
}
