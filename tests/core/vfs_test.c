/* vfs_test.c - one suite over all implementations of the Vfs: memory, POSIX (or
 * WASI), simulated disk; then what only files of the system can do wrong. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "host/vfs_memory.h"
#include "host/vfs_posix.h"
#include "lib/check.h"
#include "lib/failing_allocator.h"
#include "lib/sim_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct VfsWorld {
    const char *kind;
    FailingAllocator memory;
    Vfs *made;     /* memory, POSIX */
    SimDisk *disk; /* simulated */
    const Vfs *vfs;
    char prefix[300]; /* of names */
    char name[400];
} VfsWorld;

static VfsWorld world; /* of the suite under way */
static int world_count; /* each has names of its own */

static const char *named(const char *name) {
    snprintf(world.name, sizeof world.name, "%s%s", world.prefix, name);
    return world.name;
}

/* False: this host has no files. */
static bool world_open(const char *kind) {
    memset(&world, 0, sizeof world);
    world.kind = kind;
    failing_allocator_init(&world.memory);
    if (strcmp(kind, "memory") == 0) {
        if (!CHECK(vfs_memory_create(&world.memory.allocator, &world.made) == NACRE_OK))
            return false;
    } else if (strcmp(kind, "posix") == 0) {
        if (!test_dir()) return false;
        if (!CHECK(vfs_posix_create(&world.memory.allocator, &world.made) == NACRE_OK))
            return false;
        snprintf(world.prefix, sizeof world.prefix, "%s/vfs%d-", test_dir(), world_count++);
    } else {
        world.disk = sim_disk_new(1);
    }
    world.vfs = world.disk ? sim_disk_vfs(world.disk) : world.made;
    return true;
}

static void world_close(void) {
    if (world.made) world.made->destroy(world.made->self);
    if (world.disk) {
        CHECK_EQ(sim_disk_open_handles(world.disk), 0);
        sim_disk_free(world.disk);
    }
    CHECK(failing_allocator_clean(&world.memory));
    failing_allocator_clear(&world.memory);
}

static void each_world(void (*law)(const Vfs *vfs)) {
    static const char *const kinds[] = {"memory", "posix", "simulated"};
    for (size_t i = 0; i < 3; i++) {
        if (!world_open(kinds[i])) continue;
        law(world.vfs);
        world_close();
    }
}

static VfsFile *opened(const Vfs *vfs, const char *name, int how) {
    VfsFile *file = NULL;
    if (!CHECK(vfs->open(vfs->self, named(name), how, &file) == NACRE_OK))
        printf("    %s: %s\n", world.kind, vfs->message(vfs->self));
    return file;
}

static uint64_t size_of(const Vfs *vfs, VfsFile *file) {
    uint64_t size = 12345678;
    CHECK(vfs->size(file, &size) == NACRE_OK);
    return size;
}

/* ---- Laws ---- */

static void law_missing(const Vfs *vfs) {
    VfsFile *file = NULL;
    CHECK(vfs->open(vfs->self, named("missing"), VFS_READ, &file) == NACRE_NOT_FOUND);
    CHECK(strstr(vfs->message(vfs->self), "missing") != NULL);
    CHECK(vfs->open(vfs->self, named("missing"), VFS_WRITE, &file) == NACRE_NOT_FOUND);
    CHECK(file == NULL);
    CHECK(vfs->open(vfs->self, named("missing"), VFS_READ, &file) == NACRE_NOT_FOUND);
}
static void a_missing_file_is_not_found_and_not_made(void) { each_world(law_missing); }

static void law_contents(const Vfs *vfs) {
    VfsFile *file = opened(vfs, "f", VFS_CREATE);
    REQUIRE(file);
    CHECK_EQ(size_of(vfs, file), 0);
    CHECK(vfs->write(file, 0, "hello world", 11) == NACRE_OK);
    CHECK(vfs->write(file, 6, "there", 5) == NACRE_OK);
    CHECK(vfs->sync(file) == NACRE_OK);
    CHECK(vfs->close(file) == NACRE_OK);

    file = opened(vfs, "f", VFS_CREATE); /* creating keeps what is there */
    REQUIRE(file);
    char got[11];
    CHECK_EQ(size_of(vfs, file), 11);
    CHECK(vfs->read(file, 0, got, 11) == NACRE_OK);
    CHECK_BYTES(got, 11, "hello there", 11);
    CHECK(vfs->read(file, 11, got, 0) == NACRE_OK);
    CHECK(vfs->close(file) == NACRE_OK);
}
static void written_bytes_are_there_when_opened_again(void) { each_world(law_contents); }

static void law_short_read(const Vfs *vfs) {
    VfsFile *file = opened(vfs, "f", VFS_CREATE);
    REQUIRE(file);
    char got[8] = {0};
    CHECK(vfs->write(file, 0, "12345", 5) == NACRE_OK);
    CHECK(vfs->read(file, 0, got, 6) == NACRE_IO);
    CHECK(strstr(vfs->message(vfs->self), "short read") != NULL);
    CHECK(strstr(vfs->message(vfs->self), "has 5 bytes, wanted 6 at 0") != NULL);
    CHECK(vfs->read(file, 5, got, 1) == NACRE_IO);
    CHECK(vfs->read(file, UINT64_MAX, got, 1) == NACRE_IO);
    CHECK(vfs->read(file, UINT64_MAX - 3, got, 8) == NACRE_IO);
    CHECK(vfs->read(file, 4, got, 1) == NACRE_OK);
    CHECK(vfs->close(file) == NACRE_OK);
}
static void a_read_is_whole_or_a_failure(void) { each_world(law_short_read); }

static void law_truncate(const Vfs *vfs) {
    VfsFile *file = opened(vfs, "f", VFS_CREATE);
    REQUIRE(file);
    char got[10];
    CHECK(vfs->write(file, 0, "abcdefghij", 10) == NACRE_OK);
    CHECK(vfs->truncate(file, 4) == NACRE_OK);
    CHECK_EQ(size_of(vfs, file), 4);
    CHECK(vfs->truncate(file, 8) == NACRE_OK);
    CHECK(vfs->read(file, 0, got, 8) == NACRE_OK);
    CHECK_BYTES(got, 8, "abcd\0\0\0\0", 8);
    CHECK(vfs->write(file, 200000, "z", 1) == NACRE_OK);
    CHECK_EQ(size_of(vfs, file), 200001);
    CHECK(vfs->read(file, 131000, got, 10) == NACRE_OK);
    CHECK_BYTES(got, 10, "\0\0\0\0\0\0\0\0\0\0", 10);
    CHECK(vfs->truncate(file, 0) == NACRE_OK);
    CHECK_EQ(size_of(vfs, file), 0);
    CHECK(vfs->close(file) == NACRE_OK);
}
static void truncation_cuts_and_gaps_read_as_zeros(void) { each_world(law_truncate); }

static void law_reading_only(const Vfs *vfs) {
    VfsFile *file = opened(vfs, "f", VFS_CREATE);
    REQUIRE(file);
    CHECK(vfs->write(file, 0, "abc", 3) == NACRE_OK);
    VfsFile *reader = opened(vfs, "f", VFS_READ);
    REQUIRE(reader);
    char got[3];
    CHECK(vfs->read(reader, 0, got, 3) == NACRE_OK);
    CHECK(vfs->write(reader, 0, "x", 1) == NACRE_PERMISSION);
    CHECK(vfs->truncate(reader, 0) == NACRE_PERMISSION);
    CHECK(vfs->write(file, 1, "X", 1) == NACRE_OK); /* seen through the other handle */
    CHECK(vfs->read(reader, 0, got, 3) == NACRE_OK);
    CHECK_BYTES(got, 3, "aXc", 3);
    CHECK(vfs->close(reader) == NACRE_OK);
    CHECK(vfs->close(file) == NACRE_OK);
}
static void handles_share_the_file_and_readers_do_not_write(void) { each_world(law_reading_only); }

static void law_locks(const Vfs *vfs) {
    VfsFile *first = NULL, *second = NULL, *other = NULL;
    CHECK(vfs->lock(vfs->self, named("db-lock"), false, &first) == NACRE_OK);
    CHECK(vfs->lock(vfs->self, named("db-lock"), false, &second) == NACRE_BUSY);
    CHECK(strstr(vfs->message(vfs->self), "db-lock") != NULL);
    CHECK(second == NULL);
    CHECK(vfs->lock(vfs->self, named("other-lock"), false, &other) == NACRE_OK);
    vfs->unlock(vfs->self, other);
    REQUIRE(vfs->lock(vfs->self, named("db-lock"), true, &second) == NACRE_OK);
    vfs->unlock(vfs->self, first); /* was broken: gives nothing back */
    CHECK(vfs->lock(vfs->self, named("db-lock"), false, &other) == NACRE_BUSY);
    vfs->unlock(vfs->self, second);
    REQUIRE(vfs->lock(vfs->self, named("db-lock"), false, &first) == NACRE_OK);
    vfs->unlock(vfs->self, first);
    vfs->unlock(vfs->self, NULL);
}
static void a_lock_excludes_until_given_back_or_broken(void) { each_world(law_locks); }

/* Random writes and truncations against one flat array. */
static void law_model(const Vfs *vfs) {
    enum { MODEL_MAX = 300000 };
    uint64_t random = test_seed(), size = 0;
    uint8_t *model = calloc(1, MODEL_MAX), *got = malloc(MODEL_MAX), *data = malloc(MODEL_MAX);
    VfsFile *file = opened(vfs, "f", VFS_CREATE);
    for (int i = 0; file && i < 300; i++) {
        uint64_t offset = test_random(&random) % MODEL_MAX;
        uint64_t count = test_random(&random) % (i % 3 ? 300 : 100000);
        if (offset + count > MODEL_MAX) count = MODEL_MAX - offset;
        if (test_random(&random) % 8 == 0) {
            CHECK(vfs->truncate(file, offset) == NACRE_OK);
            if (offset < size) memset(model + offset, 0, (size_t)(size - offset));
            size = offset;
        } else {
            for (uint64_t j = 0; j < count; j++) data[j] = (uint8_t)test_random(&random);
            CHECK(vfs->write(file, offset, data, (size_t)count) == NACRE_OK);
            memcpy(model + offset, data, (size_t)count);
            if (count && offset + count > size) size = offset + count;
        }
        CHECK_EQ(size_of(vfs, file), size);
        uint64_t from = size ? test_random(&random) % size : 0;
        CHECK(vfs->read(file, from, got, (size_t)(size - from)) == NACRE_OK);
        if (!CHECK(memcmp(got, model + from, (size_t)(size - from)) == 0)) break;
    }
    if (file) CHECK(vfs->close(file) == NACRE_OK);
    free(model), free(got), free(data);
}
static void a_file_is_an_array_of_bytes(void) { each_world(law_model); }

static void law_clock_random(const Vfs *vfs) {
    uint8_t a[600] = {0}, b[600] = {0};
    vfs->random(vfs->self, a, sizeof a);
    vfs->random(vfs->self, b, sizeof b);
    CHECK(memcmp(a, b, sizeof a) != 0);
    CHECK(memcmp(a + 584, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16) != 0);
    CHECK(vfs->now_ms(vfs->self) >= UINT64_C(1000000000000)); /* 2001 */
    CHECK(vfs->now_ms(vfs->self) < UINT64_C(10000000000000)); /* 2286 */
}
static void clock_and_random_give_sane_answers(void) { each_world(law_clock_random); }

static void each_allocation_may_fail(void) {
    static const char *const kinds[] = {"memory", "posix"};
    for (size_t i = 0; i < 2; i++) {
        bool failed = true;
        for (uint64_t nth = 1; failed && nth < 50; nth++) {
            if (!world_open(kinds[i])) break;
            const Vfs *vfs = world.vfs;
            failing_allocator_fail_at(&world.memory, nth, false);
            VfsFile *file = NULL, *lock = NULL;
            nacre_status status = vfs->open(vfs->self, named("f"), VFS_CREATE, &file);
            if (status == NACRE_OK) status = vfs->write(file, 70000, "x", 1);
            if (status == NACRE_OK) status = vfs->lock(vfs->self, named("l"), false, &lock);
            failed = world.memory.failed != 0;
            CHECK(status == (failed ? NACRE_RESOURCE_EXHAUSTED : NACRE_OK));
            if (file && failed && !lock) { /* it stays usable, and nothing was half done */
                CHECK(size_of(vfs, file) == 0 || size_of(vfs, file) == 70001);
                CHECK(vfs->write(file, 70000, "x", 1) == NACRE_OK);
            }
            if (lock) vfs->unlock(vfs->self, lock);
            if (file) CHECK(vfs->close(file) == NACRE_OK);
            world_close();
        }
        CHECK(!failed || !test_dir());
    }
}

static void memory_counts_its_bytes(void) {
    REQUIRE(world_open("memory"));
    const Vfs *vfs = world.vfs;
    uint64_t empty = vfs_memory_bytes(vfs);
    CHECK_EQ(empty, world.memory.live_bytes);
    VfsFile *file = opened(vfs, "f", VFS_CREATE);
    REQUIRE(file);
    CHECK(vfs->write(file, 0, "x", 1) == NACRE_OK);
    CHECK(vfs->truncate(file, 1 << 20) == NACRE_OK);
    CHECK(vfs_memory_bytes(vfs) < 100000); /* what was never written takes nothing */
    CHECK(vfs->write(file, 1 << 20, "x", 1) == NACRE_OK);
    CHECK(vfs_memory_bytes(vfs) > 2 * 65536);
    CHECK_EQ(vfs_memory_bytes(vfs), world.memory.live_bytes);
    CHECK(vfs->truncate(file, 0) == NACRE_OK);
    CHECK(vfs_memory_bytes(vfs) < 65536);
    CHECK(vfs->close(file) == NACRE_OK);
    world_close();
}

/* ---- Files of the system ---- */

static void only_regular_files_are_opened(void) {
    if (!world_open("posix")) return;
    const Vfs *vfs = world.vfs;
    VfsFile *file = NULL;
    for (int how = VFS_READ; how <= VFS_CREATE; how++) {
        CHECK(vfs->open(vfs->self, test_dir(), how, &file) == NACRE_IO);
        CHECK(strstr(vfs->message(vfs->self), "is a directory") != NULL);
    }
    CHECK(vfs->open(vfs->self, named("no/such/folder"), VFS_CREATE, &file) == NACRE_NOT_FOUND);
    VfsFile *plain = opened(vfs, "plain", VFS_CREATE);
    CHECK(vfs->open(vfs->self, named("plain/below"), VFS_CREATE, &file) == NACRE_NOT_FOUND);
#if !defined(__wasi__)
    CHECK_EQ(mkfifo(named("pipe"), 0600), 0);
    for (int how = VFS_READ; how <= VFS_CREATE; how++) {
        CHECK(vfs->open(vfs->self, named("pipe"), how, &file) == NACRE_IO); /* at once */
        CHECK(strstr(vfs->message(vfs->self), "is a pipe") != NULL);
    }
    CHECK(vfs->open(vfs->self, "/dev/null", VFS_WRITE, &file) == NACRE_IO);
    CHECK_EQ(symlink("nowhere", named("dangling")), 0);
    CHECK(vfs->open(vfs->self, named("dangling"), VFS_CREATE, &file) != NACRE_OK);
#endif
    CHECK(file == NULL);
    if (plain) CHECK(vfs->close(plain) == NACRE_OK);
    world_close();
}

#if !defined(__wasi__)
static void files_are_private_whatever_the_umask(void) {
    if (!world_open("posix")) return;
    const Vfs *vfs = world.vfs;
    static const mode_t masks[] = {0, 022, 0777};
    for (size_t i = 0; i < 3; i++) {
        char name[8] = {'m', (char)('0' + i), 0};
        mode_t before = umask(masks[i]);
        VfsFile *file = opened(vfs, name, VFS_CREATE);
        umask(before);
        struct stat about = {0};
        CHECK_EQ(stat(named(name), &about), 0);
        CHECK_EQ(about.st_mode & 0777, 0600);
        if (file) CHECK(vfs->close(file) == NACRE_OK);
    }
    world_close();
}

static void relative_names_survive_a_change_of_folder(void) {
    if (!world_open("posix")) return;
    const Vfs *vfs = world.vfs;
    char before[1000];
    REQUIRE(getcwd(before, sizeof before) != NULL);
    REQUIRE(chdir(test_dir()) == 0);
    VfsFile *file = NULL, *lock = NULL;
    CHECK(vfs->open(vfs->self, "relative", VFS_CREATE, &file) == NACRE_OK);
    CHECK(vfs->lock(vfs->self, "relative-lock", false, &lock) == NACRE_OK);
    CHECK(access("relative-lock", F_OK) == 0);
    CHECK(chdir("/") == 0);
    if (file) CHECK(vfs->write(file, 0, "x", 1) == NACRE_OK);
    if (file) CHECK(vfs->sync(file) == NACRE_OK);
    if (lock) vfs->unlock(vfs->self, lock);
    CHECK(chdir(test_dir()) == 0);
    CHECK(access("relative-lock", F_OK) != 0);
    CHECK(access("relative", F_OK) == 0);
    CHECK(chdir(before) == 0);
    if (file) CHECK(vfs->close(file) == NACRE_OK);
    world_close();
}
#endif

#if defined(__linux__)
static void a_full_device_is_quota(void) {
    if (!world_open("posix")) return;
    const Vfs *vfs = world.vfs;
    VfsFile *file = opened(vfs, "f", VFS_CREATE);
    REQUIRE(file);
    CHECK(vfs->write(file, INT64_MAX - 10, "x", 1) == NACRE_QUOTA); /* EFBIG */
    CHECK(vfs->write(file, UINT64_MAX - 10, "x", 1) == NACRE_QUOTA);
    CHECK(vfs->truncate(file, UINT64_MAX) == NACRE_QUOTA);
    CHECK_EQ(size_of(vfs, file), 0);
    CHECK(vfs->close(file) == NACRE_OK);
    world_close();
}
#endif

void vfs_test(void) {
    RUN(a_missing_file_is_not_found_and_not_made);
    RUN(written_bytes_are_there_when_opened_again);
    RUN(a_read_is_whole_or_a_failure);
    RUN(truncation_cuts_and_gaps_read_as_zeros);
    RUN(handles_share_the_file_and_readers_do_not_write);
    RUN(a_lock_excludes_until_given_back_or_broken);
    RUN(a_file_is_an_array_of_bytes);
    RUN(clock_and_random_give_sane_answers);
    RUN(each_allocation_may_fail);
    RUN(memory_counts_its_bytes);
    RUN(only_regular_files_are_opened);
#if !defined(__wasi__)
    RUN(files_are_private_whatever_the_umask);
    RUN(relative_names_survive_a_change_of_folder);
#endif
#if defined(__linux__)
    RUN(a_full_device_is_quota);
#endif
}
