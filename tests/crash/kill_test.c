/* kill_test.c - B11: a process that writes is killed (SIGKILL) at any moment, again and again,
 * on real files. It tells of each commit through a pipe: before, and when it was acknowledged.
 * The next to open finds what was acknowledged last, or the commit that was under way. Under
 * WebAssembly there are no processes: there this is the writer, or who looks at what it left, of
 * kill_wasmtime.py, and without its NACRE_KILL nothing. */
#ifndef __wasm__
#define _POSIX_C_SOURCE 200809L
#endif
#include "crash/history.h"
#include "lib/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static nacre_options kill_options(void) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.memory = 4 << 20;
    options.memtable_size = 64 << 10;
    options.segment_size = 64 << 10;
#ifdef __wasm__
    options.lock = NACRE_LOCK_BREAK; /* of a process that the one who starts us has killed */
#endif
    return options;
}

/* What goes through the pipe: the hash of the state to come, then the same with `done`. */
typedef struct Note {
    uint64_t hash, sequence, done;
} Note;

static void tell(int pipe, Note note) {
    if (write(pipe, &note, sizeof note) != (ssize_t)sizeof note) _Exit(3);
}

static void write_until_killed(const char *path, int pipe, uint64_t random) {
    nacre_options options = kill_options();
    nacre_db *db = NULL;
    nacre_error error;
    Model model, next;
    nacre_membrane *membranes[MODEL_MEMBRANES];
    if (nacre_open(path, &options, &db, &error) != NACRE_OK || !model_read(db, NULL, &model)) {
        printf("# the writer cannot open: %s\n", error.text);
        exit(2);
    }
    if (model_open(db, membranes) != NACRE_OK) exit(2);
    for (;;) {
        uint64_t again = random;
        /* Told before it begins: what it will be. The batch is made twice from the same numbers. */
        Note note = {.done = 0};
        next = model;
        history_plan(&next, &again);
        note.hash = history_hash(&next);
        tell(pipe, note);
        nacre_status status = history_batch(db, &model, &next, &random);
        if (status != NACRE_OK || history_hash(&next) != note.hash) exit(4);
        model = next;
        note.sequence = history_sequence(db);
        note.done = 1;
        tell(pipe, note);
        switch (test_random(&random) % 60) {
        case 0: status = nacre_checkpoint(db); break;
        case 1: status = nacre_compact(db, NULL); break;
        case 2:
            status = nacre_close(db, NULL);
            if (status == NACRE_OK) status = nacre_open(path, &options, &db, &error);
            break;
        default: break;
        }
        if (status != NACRE_OK) exit(5);
    }
}

#ifdef __wasm__
static void writes_until_killed(void) { write_until_killed("/tmp/killed", 1, strtoull(getenv("NACRE_SEED"), NULL, 10)); }

/* Prints what there is: hash, sequence, problems. */
static void looks_at_what_is_left(void) {
    nacre_options options = kill_options();
    nacre_db *db = NULL;
    nacre_error error = {0};
    Model model;
    uint64_t problems = 0;
    nacre_status status = nacre_open("/tmp/killed", &options, &db, &error);
    if (status != NACRE_OK) check_that(CHECK_HERE, error.text, false);
    REQUIRE(status == NACRE_OK && model_read(db, NULL, &model));
    CHECK_EQ(nacre_verify(db, true, NULL, NULL, &problems), NACRE_OK);
    printf("left %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", history_hash(&model), history_sequence(db), problems);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

void kill_test(void) {
    if (!getenv("NACRE_KILL")) return;
    RUN(writes_until_killed);
    RUN(looks_at_what_is_left);
}
#else

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

static void nap(uint64_t microseconds) {
    struct timespec t = {.tv_nsec = (long)(microseconds * 1000)};
    nanosleep(&t, NULL);
}

/* Reads what the killed writer told; the last whole notes count. */
static uint64_t hear(int pipe, Note *done, Note *begun) {
    uint64_t count = 0;
    Note note;
    while (read(pipe, &note, sizeof note) == (ssize_t)sizeof note) {
        if (note.done) *done = note, count++;
        *begun = note;
    }
    return count;
}

enum { ROUNDS = 50 };

static void acknowledged_commits_survive_sigkill(void) {
    char path[512];
    if (!test_dir()) return;
    snprintf(path, sizeof path, "%s/killed", test_dir());
    uint64_t random = test_seed(), commits = 0, in_flight = 0;
    Note done = {0}, begun = {0};
    const char *wanted = getenv("KILL_ROUNDS"); /* make kill-long: many */
    int round = 0, rounds = wanted ? atoi(wanted) : ROUNDS;
    for (; round < rounds; round++) {
        int pipes[2];
        REQUIRE(pipe(pipes) == 0);
        fflush(stdout);
        pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            close(pipes[0]);
            write_until_killed(path, pipes[1], test_seed() * 1000 + (uint64_t)round);
        }
        close(pipes[1]);
        struct pollfd first = {.fd = pipes[0], .events = POLLIN};
        if (round % 4) (void)poll(&first, 1, 2000); /* most often it is writing already, else opening */
        nap(500 + test_random(&random) % 30000);
        int status = 0;
        kill(child, SIGKILL);
        REQUIRE(waitpid(child, &status, 0) == child);
        begun = done;
        uint64_t last = done.sequence;
        commits += hear(pipes[0], &done, &begun);
        close(pipes[0]);
        if (!CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)) break;

        nap(2000); /* rows that live for a millisecond are gone */
        nacre_options options = kill_options();
        nacre_db *db = NULL;
        nacre_error error = {0};
        Model model;
        uint64_t problems = 0;
        if (!CHECK(nacre_open(path, &options, &db, &error) == NACRE_OK)) {
            printf("# round %d: %s\n", round, error.text);
            break;
        }
        bool right = CHECK(model_read(db, NULL, &model));
        uint64_t hash = history_hash(&model);
        if (right && hash != done.hash) {
            if (!CHECK(hash == begun.hash)) printf("# round %d: neither what was acknowledged nor what was under way\n", round);
            done.hash = hash;
            in_flight++;
        }
        CHECK(history_sequence(db) >= done.sequence && done.sequence >= last);
        CHECK(nacre_verify(db, true, NULL, NULL, &problems) == NACRE_OK && problems == 0);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    }
    printf("# %d kills, %" PRIu64 " commits acknowledged, %" PRIu64 " times the one under way was there\n", round, commits,
           in_flight);
    CHECK(commits > (uint64_t)round);
}

void kill_test(void) { RUN(acknowledged_commits_survive_sigkill); }
#endif
