/* lock_test.c - who may write: the rules of lock_format.h, shown with real processes. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "host/lock_file.h"
#include "host/lock_format.h"
#include "host/vfs_posix.h"
#include "lib/check.h"
#include "lib/failing_allocator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The same code on a file system without hard links. */
#define lock_file_take unlinked_take
#define lock_file_release unlinked_release
#define linkat(a, b, c, d, e) (errno = EPERM, -1)
#include "../../core/host/lock_file.c"
#undef lock_file_take
#undef lock_file_release
#undef linkat

static FailingAllocator memory;
static char path[500], message[300];
static bool linkless; /* which of the two codes the laws run over */

static nacre_status take(bool break_it, LockFile **lock) {
    uint8_t token[16];
    vfs_posix_random(NULL, token, sizeof token);
    return (linkless ? unlinked_take : lock_file_take)(&memory.allocator, path, token, break_it,
                                                       lock, message, sizeof message);
}

static void release(LockFile *lock) {
    (linkless ? unlinked_release : lock_file_release)(&memory.allocator, lock);
}

/* Runs a law over both, each time with a lock that nobody ever had. */
static void each_kind(void (*law)(void)) {
    static int number;
    if (!test_dir()) return;
    for (int i = 0; i < 2; i++) {
        linkless = i == 1;
        failing_allocator_init(&memory);
        snprintf(path, sizeof path, "%s/lock%d-lock", test_dir(), number++);
        law();
        CHECK(failing_allocator_clean(&memory));
        failing_allocator_clear(&memory);
    }
}

static void put_file(const char *name, const void *bytes, size_t size) {
    FILE *file = fopen(name, "wb");
    if (!CHECK(file != NULL)) return;
    CHECK_EQ(fwrite(bytes, 1, size, file), size);
    CHECK_EQ(fclose(file), 0);
}

static void put_lock(const char *text) { put_file(path, text, strlen(text)); }

static const char *text_of(uint64_t pid, uint64_t start, const char *boot, const char *host) {
    static char text[600];
    snprintf(text, sizeof text,
             "nacre-lock 1\npid %llu\nstart %llu\nboot %s\n"
             "token 00112233445566778899aabbccddeeff\nhost %s\nend\n",
             (unsigned long long)pid, (unsigned long long)start, boot, host);
    return text;
}

/* Files in the folder whose name begins with that of the lock. */
static int lock_files(void) {
    int count = 0;
    const char *name = strrchr(path, '/') + 1;
    DIR *folder = opendir(test_dir());
    if (!CHECK(folder != NULL)) return -1;
    for (struct dirent *entry; (entry = readdir(folder));)
        count += strncmp(entry->d_name, name, strlen(name)) == 0;
    closedir(folder);
    return count;
}

/* ---- Laws that hold everywhere ---- */

static void law_free_lock(void) {
    LockFile *lock = NULL;
    for (int i = 0; i < 3; i++) {
        REQUIRE(take(false, &lock) == NACRE_OK);
        CHECK_EQ(lock_files(), 1);
        release(lock);
        CHECK_EQ(lock_files(), 0);
    }
    release(NULL);
}
static void a_lock_given_back_leaves_nothing(void) { each_kind(law_free_lock); }

static void law_written_as_said(void) {
    LockFile *lock = NULL;
    REQUIRE(take(false, &lock) == NACRE_OK);
    char text[600] = {0};
    FILE *file = fopen(path, "rb");
    REQUIRE(file != NULL);
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    Holder holder = holder_parse(text, size, false);
    CHECK(holder.state == HOLDER_WHOLE);
    CHECK(strncmp(text, "nacre-lock 1\npid ", 17) == 0);
    CHECK(strcmp(text + size - 5, "\nend\n") == 0);
#if defined(__wasi__)
    CHECK_STR(holder.host, "wasi");
    CHECK_EQ(holder.pid, 0);
#else
    CHECK_STR(holder.host, "native");
    CHECK_EQ(holder.pid, getpid());
    struct stat about = {0};
    CHECK_EQ(stat(path, &about), 0);
    CHECK_EQ(about.st_mode & 0777, 0600);
#endif
#if defined(__linux__)
    CHECK(holder.start > 0);
    CHECK_EQ(strlen(holder.boot), 36);
#endif
    release(lock);
}
static void the_lock_file_is_as_its_format_says(void) { each_kind(law_written_as_said); }

static void law_pid_zero(void) {
    LockFile *lock = NULL;
    put_lock(text_of(0, 0, "-", "wasi"));
    CHECK(take(false, &lock) == NACRE_BUSY);
    CHECK(strstr(message, "without a process id") != NULL);
    REQUIRE(take(true, &lock) == NACRE_OK);
    CHECK_EQ(lock_files(), 1);
    release(lock);
    CHECK_EQ(lock_files(), 0);
}
static void a_holder_without_process_id_is_only_broken(void) { each_kind(law_pid_zero); }

static void law_version(void) {
    LockFile *lock = NULL;
    put_lock("nacre-lock 2\nwhatever comes then\n");
    CHECK(take(false, &lock) == NACRE_BUSY);
    CHECK(strstr(message, "another version") != NULL);
    REQUIRE(take(true, &lock) == NACRE_OK);
    release(lock);
}
static void another_version_is_busy(void) { each_kind(law_version); }

static void law_not_whole(void) {
    char whole[600];
    snprintf(whole, sizeof whole, "%s", text_of((uint64_t)1, 0, "-", "native")); /* alive */
    size_t size = strlen(whole);
    char longer[700], zeros[100] = {0}, big[2000];
    memset(big, 'x', sizeof big);
    snprintf(longer, sizeof longer, "%s\n", whole);
    struct {
        const void *bytes;
        size_t size;
    } rows[] = {
        {"", 0},       {"garbage\n", 8}, {zeros, sizeof zeros}, {whole, size - 1},
        {whole, 40},   {whole, 12},      {longer, size + 1},    {big, sizeof big},
        {"nacre-lock 1\npid 01\n", 20},
        {"nacre-lock 1\r\npid 1\r\n", 21},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        LockFile *lock = NULL;
        put_file(path, rows[i].bytes, rows[i].size);
        if (!CHECK(take(false, &lock) == NACRE_OK)) printf("    row %zu: %s\n", i, message);
        CHECK_EQ(lock_files(), 1);
        release(lock);
        CHECK_EQ(lock_files(), 0);
    }
}
static void a_lock_that_is_not_whole_is_taken_over(void) { each_kind(law_not_whole); }

static void law_foreign(void) {
    LockFile *lock = NULL;
    REQUIRE(take(false, &lock) == NACRE_OK);
    put_lock(text_of(1, 0, "-", "node"));
    release(lock);
    CHECK_EQ(lock_files(), 1); /* not ours any more: left alone */
    remove(path);
    REQUIRE(take(false, &lock) == NACRE_OK);
    remove(path);
    release(lock);
}
static void only_our_own_lock_is_removed(void) { each_kind(law_foreign); }

static void law_no_folder(void) {
    LockFile *lock = NULL;
    strcat(path, "/none/x-lock");
    CHECK(take(false, &lock) == NACRE_NOT_FOUND);
    CHECK(lock == NULL);
    snprintf(path, sizeof path, "%s/folder-lock", test_dir());
    mkdir(path, 0700);
    CHECK(take(false, &lock) == NACRE_IO);
    CHECK(lock == NULL && lock_files() == 1);
    CHECK_EQ(rmdir(path), 0);
}
static void what_cannot_be_a_lock_is_said(void) { each_kind(law_no_folder); }

static void parsing_takes_only_the_format(void) {
    static const struct {
        const char *text;
        HolderState state;
    } rows[] = {
        {"nacre-lock 1\npid 1\nstart 0\nboot -\ntoken 00112233445566778899aabbccddeeff\nhost x\nend\n", HOLDER_WHOLE},
        {"nacre-lock 1\npid 9007199254740991\nstart 0\nboot -\ntoken 00112233445566778899aabbccddeeff\nhost x\nend\n", HOLDER_WHOLE},
        {"nacre-lock 1\npid 9007199254740992\nstart 0\nboot -\ntoken 00112233445566778899aabbccddeeff\nhost x\nend\n", HOLDER_NOT_WHOLE},
        {"nacre-lock 1\npid 1\nstart 0\nboot -\ntoken 00112233445566778899AABBCCDDEEFF\nhost x\nend\n", HOLDER_NOT_WHOLE},
        {"nacre-lock 1\npid 1\nstart 0\nboot -\ntoken 00112233445566778899aabbccddeef\nhost x\nend\n", HOLDER_NOT_WHOLE},
        {"nacre-lock 1\npid -1\nstart 0\nboot -\ntoken 00112233445566778899aabbccddeeff\nhost x\nend\n", HOLDER_NOT_WHOLE},
        {"nacre-lock 1\npid 1\nstart 00\nboot -\ntoken 00112233445566778899aabbccddeeff\nhost x\nend\n", HOLDER_NOT_WHOLE},
        {"nacre-lock 1\npid 1\nstart 0\nboot \ntoken 00112233445566778899aabbccddeeff\nhost x\nend\n", HOLDER_NOT_WHOLE},
        {"nacre-lock 1\npid 1\nstart 0\nboot -\ntoken 00112233445566778899aabbccddeeff\nhost X\nend\n", HOLDER_NOT_WHOLE},
        {"nacre-lock 1\npid 1\nstart 0\nboot -\ntoken 00112233445566778899aabbccddeeff\nhost x\nend", HOLDER_NOT_WHOLE},
        {"nacre-lock 1\nstart 0\npid 1\nboot -\ntoken 00112233445566778899aabbccddeeff\nhost x\nend\n", HOLDER_NOT_WHOLE},
        {"nacre-lock 12\n", HOLDER_OTHER_VERSION},
        {"nacre-lock 12", HOLDER_NOT_WHOLE},
        {"nacre-lock \n", HOLDER_NOT_WHOLE},
        {"", HOLDER_NOT_WHOLE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Holder h = holder_parse(rows[i].text, strlen(rows[i].text), false);
        if (!CHECK(h.state == rows[i].state)) printf("    row %zu\n", i);
        CHECK_EQ(strlen(h.token), LOCK_TOKEN_DIGITS);
    }
}

/* ---- With processes ---- */

#if !defined(__wasi__)
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* A child that takes the lock, says so, and holds it until killed. */
static pid_t hold_in_child(void) {
    int said[2];
    if (pipe(said) != 0) return -1;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        LockFile *lock = NULL;
        char answer = take(false, &lock) == NACRE_OK ? 'y' : 'n';
        if (write(said[1], &answer, 1) != 1) _exit(1);
        for (;;) pause();
    }
    char answer = 0;
    CHECK(read(said[0], &answer, 1) == 1 && answer == 'y');
    close(said[0]), close(said[1]);
    return child;
}

static void law_dead(void) {
    for (int reaped = 0; reaped < 2; reaped++) {
        pid_t child = hold_in_child();
        LockFile *lock = NULL;
        CHECK(take(false, &lock) == NACRE_BUSY);
        kill(child, SIGKILL);
        siginfo_t info;
        if (reaped) waitpid(child, NULL, 0);
        else waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT); /* a zombie */
        if (!CHECK(take(false, &lock) == NACRE_OK)) printf("    reaped %d: %s\n", reaped, message);
        CHECK_EQ(lock_files(), 1);
        release(lock);
        if (!reaped) waitpid(child, NULL, 0);
    }
}
static void a_killed_holder_is_taken_over_at_once(void) { each_kind(law_dead); }

static void law_alive(void) {
    pid_t child = hold_in_child();
    LockFile *lock = NULL;
    uint64_t fastest = UINT64_MAX; /* one of them may meet a busy machine */
    for (int i = 0; i < 20; i++) {
        uint64_t before = vfs_posix_now_ms(NULL);
        CHECK(take(false, &lock) == NACRE_BUSY);
        uint64_t took = vfs_posix_now_ms(NULL) - before;
        if (took < fastest) fastest = took;
    }
    CHECK(fastest < 100);
    char pid[32];
    snprintf(pid, sizeof pid, "process %d (native)", (int)child);
    CHECK(strstr(message, pid) != NULL);
    CHECK_EQ(lock_files(), 1); /* nobody left anything behind */
    kill(child, SIGSTOP); /* standing still is not being dead */
    CHECK(take(false, &lock) == NACRE_BUSY);
    REQUIRE(take(true, &lock) == NACRE_OK); /* unless we know better */
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    release(lock);
    CHECK_EQ(lock_files(), 0);
}
static void a_living_holder_is_never_robbed(void) { each_kind(law_alive); }

static void law_same_process(void) {
    LockFile *lock = NULL, *second = NULL;
    REQUIRE(take(false, &lock) == NACRE_OK);
    CHECK(take(false, &second) == NACRE_BUSY);
    CHECK(strstr(message, "this process") != NULL);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        release(lock); /* a forked child has no lock to give back */
        _exit(0);
    }
    waitpid(child, NULL, 0);
    CHECK_EQ(lock_files(), 1);
    CHECK(take(false, &second) == NACRE_BUSY);
    release(lock);
}
static void opening_twice_in_one_process_is_busy(void) { each_kind(law_same_process); }

static void law_identity(void) {
    Holder us;
    holder_self(&us, (const uint8_t[HOLDER_TOKEN_SIZE]){0});
    bool proc = us.start != 0;
    const char *other = "00000000-1111-2222-3333-444444444444";
    const struct {
        uint64_t pid, start;
        const char *boot, *host;
        bool alive;
    } rows[] = {
        {us.pid, us.start, us.boot, "node", true},
        {us.pid, us.start + 1, us.boot, "node", !proc}, /* the number was given anew */
        {us.pid, 0, us.boot, "node", true},
        {us.pid, us.start, other, "node", strcmp(us.boot, "-") == 0}, /* before the last boot */
        {us.pid, us.start, "-", "native", true},
        {us.pid, us.start + 1, "-", "native", !proc},
        {1, 0, us.boot, "native", true},
        {UINT64_C(4000000000), 0, us.boot, "node", false},
        {2000000000, 5, "-", "node", false}, /* no such process */
        {0, 0, "-", "wasi", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        LockFile *lock = NULL;
        put_lock(text_of(rows[i].pid, rows[i].start, rows[i].boot, rows[i].host));
        if (!CHECK(take(false, &lock) == (rows[i].alive ? NACRE_BUSY : NACRE_OK)))
            printf("    row %zu: %s\n", i, message);
        release(lock);
        remove(path);
    }
}
static void a_holder_is_its_boot_and_process_and_start(void) { each_kind(law_identity); }

static void law_advisory(void) {
    put_lock(text_of(2000000000, 5, "-", "native")); /* as from another pid namespace */
    fflush(stdout);
    int said[2];
    REQUIRE(pipe(said) == 0);
    pid_t child = fork();
    if (child == 0) {
        int fd = open(path, O_RDWR);
        char answer = flock(fd, LOCK_EX | LOCK_NB) == 0 ? 'y' : 'n';
        if (write(said[1], &answer, 1) != 1) _exit(1);
        for (;;) pause();
    }
    char answer = 0;
    CHECK(read(said[0], &answer, 1) == 1 && answer == 'y');
    close(said[0]), close(said[1]);
    LockFile *lock = NULL;
    CHECK(take(false, &lock) == NACRE_BUSY);
    CHECK(strstr(message, "advisory") != NULL);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    CHECK(take(false, &lock) == NACRE_OK);
    release(lock);
}
static void an_advisory_lock_counts_though_its_process_is_unseen(void) { each_kind(law_advisory); }

static void law_leftovers(void) {
    char name[600];
    static const char *const dead[] = {".0011223344556677", ".0011223344556677.1",
                                       ".0011223344556677.2", ".aaaaaaaaaaaaaaaa",
                                       ".aaaaaaaaaaaaaaaa.17"};
    static const char *const others[] = {".0011223344556677x", ".001122334455667", ".txt",
                                         ".0011223344556677.", ".0011223344556677.123"};
    put_lock(text_of(2000000000, 5, "-", "native"));
    for (size_t i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "%s%s", path, dead[i]);
        put_file(name, text_of(2000000000, 5, "-", "native"), i == 1 ? 3 : strlen(text_of(2000000000, 5, "-", "native")));
        snprintf(name, sizeof name, "%s%s", path, others[i]);
        put_file(name, "", 0);
    }
    LockFile *lock = NULL;
    REQUIRE(take(false, &lock) == NACRE_OK);
    CHECK_EQ(lock_files(), 1 + 5);
    release(lock);
    for (size_t i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "%s%s", path, others[i]);
        CHECK_EQ(remove(name), 0);
    }
}
static void what_killed_takers_left_is_tidied(void) { each_kind(law_leftovers); }

/* A taker without links that has created the file and not yet written it. On a busy machine it may
 * write too late, and loses the lock by right: the law is asked of one that was in time. */
static bool waits_for_writer(const char *text) {
    fflush(stdout);
    put_file(path, "", 0);
    pid_t child = fork();
    if (child == 0) {
        usleep(10000);
        int fd = open(path, O_WRONLY);
        if (write(fd, text, 50) != 50) _exit(1);
        usleep(5000);
        if (write(fd, text + 50, strlen(text) - 50) < 0) _exit(1);
        _exit(0);
    }
    LockFile *lock = NULL;
    nacre_status status = take(false, &lock);
    waitpid(child, NULL, 0);
    if (status != NACRE_OK) return CHECK(status == NACRE_BUSY) && CHECK_EQ(lock_files(), 1);
    release(lock);
    return false;
}

static void law_being_written(void) {
    char text[600];
    snprintf(text, sizeof text, "%s", text_of(1, 0, "-", "node"));
    bool waited = false;
    for (int i = 0; i < 20 && !waited; i++) waited = waits_for_writer(text);
    CHECK(waited);
}
static void a_lock_being_written_is_waited_for(void) { each_kind(law_being_written); }

/* `racers` processes take at the same moment; answers how many got it, and leaves
 * the winner's lock behind, its holder dead. */
static int race(int racers) {
    int go[2], said[2], end[2], won = 0;
    if (pipe(go) != 0 || pipe(said) != 0 || pipe(end) != 0) return -1;
    fflush(stdout);
    for (int i = 0; i < racers; i++) {
        if (fork() != 0) continue;
        close(go[1]), close(end[1]);
        char byte, answer;
        LockFile *lock = NULL;
        if (read(go[0], &byte, 1) != 0) _exit(1);
        nacre_status status = take(false, &lock);
        answer = status == NACRE_OK ? 'y' : status == NACRE_BUSY ? 'n' : 'e';
        if (answer == 'e') printf("    %s\n", message), fflush(stdout);
        if (write(said[1], &answer, 1) != 1) _exit(1);
        if (read(end[0], &byte, 1) != 0) _exit(1);
        _exit(0);
    }
    close(go[1]); /* now */
    for (int i = 0; i < racers; i++) {
        char answer = 'e';
        CHECK_EQ(read(said[0], &answer, 1), 1);
        CHECK(answer != 'e');
        won += answer == 'y';
    }
    close(end[1]);
    close(go[0]), close(said[0]), close(said[1]), close(end[0]);
    while (wait(NULL) > 0) {}
    return won;
}

static void law_race(void) {
    int rounds = linkless ? 12 : 30;
    for (int round = 0; round < rounds; round++) CHECK_EQ(race(8), 1); /* first free, then dead */
    for (int round = 0; round < 4; round++) {
        put_lock(round % 2 ? "" : "nacre-lo");
        CHECK_EQ(race(8), 1);
    }
    CHECK_EQ(lock_files(), 1);
}
static void of_racing_takers_exactly_one_wins(void) { each_kind(law_race); }

/* Processes take, look around, give back or die, as fast as they can: for .7 s, and on a slow
 * machine until locks have been taken often enough to say something. */
static void law_exclusion(void) {
    atomic_int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(shared != MAP_FAILED);
    uint64_t until = vfs_posix_now_ms(NULL) + 700, last = until + 60000;
    uint64_t random = test_seed();
    int running = 0;
    fflush(stdout);
    for (;;) {
        uint64_t now = vfs_posix_now_ms(NULL);
        bool more = now < until || (now < last && atomic_load(&shared[1]) <= 50);
        if (!more && running == 0) break;
        if (running == 6 || !more) {
            int how = 0;
            wait(&how);
            CHECK_EQ(how, 0);
            running--;
            continue;
        }
        uint64_t seed = test_random(&random);
        running++;
        if (fork() != 0) continue;
        for (int i = 0; i < 100; i++) {
            LockFile *lock = NULL;
            nacre_status status = take(false, &lock);
            if (status == NACRE_BUSY) continue;
            if (status != NACRE_OK) {
                printf("    %s\n", message), fflush(stdout);
                _exit(2);
            }
            if (atomic_fetch_add(&shared[0], 1) != 0) _exit(3); /* two at once */
            atomic_fetch_add(&shared[1], 1);
            usleep((useconds_t)(test_random(&seed) % 50));
            atomic_fetch_sub(&shared[0], 1);
            if (test_random(&seed) % 8 == 0) _exit(0); /* dies with the lock */
            release(lock);
        }
        _exit(0);
    }
    CHECK_EQ(shared[0], 0);
    CHECK(shared[1] > 50);
    munmap(shared, 4096);
    remove(path);
}
static void never_two_hold_it(void) { each_kind(law_exclusion); }
#endif

void lock_test(void) {
    RUN(parsing_takes_only_the_format);
    RUN(a_lock_given_back_leaves_nothing);
    RUN(the_lock_file_is_as_its_format_says);
    RUN(a_holder_without_process_id_is_only_broken);
    RUN(another_version_is_busy);
    RUN(a_lock_that_is_not_whole_is_taken_over);
    RUN(only_our_own_lock_is_removed);
    RUN(what_cannot_be_a_lock_is_said);
#if !defined(__wasi__)
    RUN(a_killed_holder_is_taken_over_at_once);
    RUN(a_living_holder_is_never_robbed);
    RUN(opening_twice_in_one_process_is_busy);
    RUN(a_holder_is_its_boot_and_process_and_start);
    RUN(an_advisory_lock_counts_though_its_process_is_unseen);
    RUN(what_killed_takers_left_is_tidied);
    RUN(a_lock_being_written_is_waited_for);
    RUN(of_racing_takers_exactly_one_wins);
    RUN(never_two_hold_it);
#endif
}
