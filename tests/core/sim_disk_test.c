/* sim_disk_test.c - laws of the simulated disk: what a crash may do, and may not. */
#include "lib/check.h"
#include "lib/sim_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static VfsFile *opened(SimDisk *disk, const char *name, int how) {
    const Vfs *vfs = sim_disk_vfs(disk);
    VfsFile *file = NULL;
    CHECK(vfs->open(vfs->self, name, how, &file) == NACRE_OK);
    return file;
}

static void put(SimDisk *disk, VfsFile *file, uint64_t offset, const char *text) {
    CHECK(sim_disk_vfs(disk)->write(file, offset, text, strlen(text)) == NACRE_OK);
}

static void synced(SimDisk *disk, VfsFile *file) {
    CHECK(sim_disk_vfs(disk)->sync(file) == NACRE_OK);
}

static void closed(SimDisk *disk, VfsFile *file) { (void)sim_disk_vfs(disk)->close(file); }

/* A file as text; "-" where there is none. Zeros show as dots. */
static const char *shown(const SimDisk *disk, const char *name) {
    static char text[4][64];
    static int turn;
    char *into = text[turn++ % 4];
    uint64_t size = 0;
    const uint8_t *bytes = sim_disk_bytes(disk, name, &size);
    if (!bytes) return "-";
    if (size > 63) size = 63;
    for (uint64_t i = 0; i < size; i++) into[i] = bytes[i] ? (char)bytes[i] : '.';
    into[size] = 0;
    return into;
}

/* One synced file "ab", then four unsynced changes and another, new file. */
static SimDisk *recorded(void) {
    SimDisk *disk = sim_disk_new(1);
    VfsFile *a = opened(disk, "a", VFS_CREATE); /* 0 */
    put(disk, a, 0, "abcdef");                  /* 1 */
    synced(disk, a);                            /* 2 */
    put(disk, a, 2, "XY");                      /* 3: change 0 */
    VfsFile *b = opened(disk, "b", VFS_CREATE); /* 4: change 1 */
    put(disk, b, 0, "new");                     /* 5: change 2 */
    CHECK(sim_disk_vfs(disk)->truncate(a, 5) == NACRE_OK); /* 6: change 3 */
    put(disk, a, 7, "Z");                       /* 7: change 4 */
    closed(disk, a);
    closed(disk, b);
    return disk;
}

static void the_log_tells_what_was_done(void) {
    SimDisk *disk = recorded();
    static const SimOperation want[] = {
        {SIM_CREATE, "a", 0, 0, NACRE_OK}, {SIM_WRITE, "a", 0, 6, NACRE_OK},
        {SIM_SYNC, "a", 0, 0, NACRE_OK},   {SIM_WRITE, "a", 2, 2, NACRE_OK},
        {SIM_CREATE, "b", 0, 0, NACRE_OK}, {SIM_WRITE, "b", 0, 3, NACRE_OK},
        {SIM_TRUNCATE, "a", 5, 0, NACRE_OK}, {SIM_WRITE, "a", 7, 1, NACRE_OK},
        {SIM_CLOSE, "a", 0, 0, NACRE_OK},  {SIM_CLOSE, "b", 0, 0, NACRE_OK},
    };
    REQUIRE(CHECK_EQ(sim_disk_operations(disk), 10));
    for (size_t i = 0; i < 10; i++) {
        SimOperation got = sim_disk_operation(disk, i);
        CHECK_EQ(got.kind, want[i].kind);
        CHECK_STR(got.file, want[i].file);
        CHECK_EQ(got.offset, want[i].offset);
        CHECK_EQ(got.size, want[i].size);
        CHECK(got.status == want[i].status);
    }
    CHECK_EQ(sim_disk_syncs(disk, NULL), 1);
    CHECK_EQ(sim_disk_syncs(disk, "b"), 0);
    CHECK_EQ(sim_disk_bytes_written(disk), 12);
    CHECK_EQ(sim_disk_unsynced(disk), 5);
    CHECK_EQ(sim_disk_file_count(disk), 2);
    CHECK_STR(sim_disk_file_name(disk, 1), "b");
    sim_disk_free(disk);
}

static void a_prefix_of_the_unsynced_changes_arrives(void) {
    static const char *const want[][2] = {{"abcdef", "-"},  {"abXYef", "-"},    {"abXYef", ""},
                                          {"abXYef", "new"}, {"abXYe", "new"}, {"abXYe..Z", "new"}};
    SimDisk *disk = recorded(), *after = sim_disk_new(0);
    CHECK_EQ(sim_disk_crash_states(disk, SIM_CRASH_PREFIX), 6);
    for (uint64_t seed = 0; seed < 6; seed++) {
        sim_disk_copy(disk, after);
        CHECK_STR(shown(after, "a"), "abXYe..Z");
        sim_disk_crash(after, SIM_CRASH_PREFIX, seed);
        CHECK_STR(shown(after, "a"), want[seed][0]);
        CHECK_STR(shown(after, "b"), want[seed][1]);
        CHECK_EQ(sim_disk_unsynced(after), 0);
    }
    sim_disk_free(disk), sim_disk_free(after);
}

static void any_subset_arrives_and_no_file_without_its_name(void) {
    SimDisk *disk = recorded(), *after = sim_disk_new(0);
    CHECK_EQ(sim_disk_crash_states(disk, SIM_CRASH_SUBSET), 32);
    for (uint64_t seed = 0; seed < 32; seed++) {
        sim_disk_copy(disk, after);
        sim_disk_crash(after, SIM_CRASH_SUBSET, seed);
        char want[16] = "abcdef";
        if (seed & 1) memcpy(want + 2, "XY", 2);
        if (seed & 8) want[5] = 0;
        if (seed & 16) strcpy(want + strlen(want), strlen(want) == 5 ? "..Z" : ".Z");
        CHECK_STR(shown(after, "a"), want);
        CHECK_STR(shown(after, "b"), !(seed & 2) ? "-" : seed & 4 ? "new" : "");
    }
    sim_disk_free(disk), sim_disk_free(after);
}

static void writes_tear_at_any_byte_and_at_sectors(void) {
    SimDisk *disk = sim_disk_new(1), *after = sim_disk_new(0);
    VfsFile *f = opened(disk, "f", VFS_CREATE);
    synced(disk, f);
    static uint8_t ones[3000];
    memset(ones, 1, sizeof ones);
    CHECK(sim_disk_vfs(disk)->write(f, 500, ones, 3000) == NACRE_OK);
    static const struct {
        SimCrash policy;
        uint64_t states, unit;
    } rows[] = {{SIM_CRASH_TORN_BYTE, 3001, 1},
                {SIM_CRASH_TORN_512, 8, 512}, /* 500-512, ..., 3072-3500 */
                {SIM_CRASH_TORN_4096, 2, 4096}};
    for (size_t r = 0; r < 3; r++) {
        CHECK_EQ(sim_disk_crash_states(disk, rows[r].policy), rows[r].states);
        for (uint64_t seed = 0; seed < rows[r].states; seed++) {
            sim_disk_copy(disk, after);
            sim_disk_crash(after, rows[r].policy, seed);
            uint64_t size = 0, end = seed ? 500 / rows[r].unit * rows[r].unit + seed * rows[r].unit : 0;
            if (end > 3500) end = 3500;
            const uint8_t *bytes = sim_disk_bytes(after, "f", &size);
            CHECK_EQ(size, end);
            bool right = true;
            for (uint64_t i = 0; i < size; i++) right &= bytes[i] == (i >= 500);
            if (!CHECK(right)) break;
        }
    }
    closed(disk, f);
    sim_disk_free(disk), sim_disk_free(after);
}

/* Random crashes: synced bytes stay, other bytes are old or new (junk: anything, but
 * only where something was being written); both really happen. */
static void random_crashes_touch_only_what_was_being_written(void) {
    enum { SIZE = 20000 };
    static uint8_t old[SIZE], new[SIZE], wrote[SIZE];
    uint64_t random = test_seed();
    SimDisk *disk = sim_disk_new(1), *after = sim_disk_new(0);
    VfsFile *f = opened(disk, "f", VFS_CREATE);
    for (size_t i = 0; i < SIZE; i++) old[i] = (uint8_t)test_random(&random) & 127;
    CHECK(sim_disk_vfs(disk)->write(f, 0, old, SIZE) == NACRE_OK);
    synced(disk, f);
    memcpy(new, old, SIZE);
    memset(wrote, 0, SIZE);
    for (int i = 0; i < 6; i++) { /* disjoint: each byte has one new value */
        size_t offset = (size_t)i * 3000 + (size_t)(test_random(&random) % 500), size = 2400;
        for (size_t j = offset; j < offset + size; j++) new[j] = (uint8_t)(old[j] | 128), wrote[j] = 1;
        CHECK(sim_disk_vfs(disk)->write(f, offset, new + offset, size) == NACRE_OK);
    }
    closed(disk, f);
    int whole = 0, none = 0, part = 0, junk = 0;
    for (uint64_t seed = 0; seed < 2000; seed++) {
        SimCrash policy = seed % 2 ? SIM_CRASH_JUNK : SIM_CRASH_RANDOM;
        sim_disk_copy(disk, after);
        sim_disk_crash(after, policy, seed);
        uint64_t size = 0;
        const uint8_t *bytes = sim_disk_bytes(after, "f", &size);
        REQUIRE(CHECK_EQ(size, SIZE));
        size_t arrived = 0, strange = 0, wanted = 0;
        for (size_t i = 0; i < SIZE; i++) {
            wanted += wrote[i];
            if (wrote[i] && bytes[i] == new[i]) arrived++;
            else if (bytes[i] != old[i]) strange += 1 + (wrote[i] ? 0u : 1000000u);
        }
        whole += arrived == wanted, none += arrived == 0, part += arrived && arrived < wanted;
        junk += strange != 0;
        CHECK(strange < 1000000); /* outside the written ranges nothing changes */
        if (policy == SIM_CRASH_RANDOM && !CHECK_EQ(strange, 0)) break;
        if (seed % 100 == 0) { /* the same seed, the same state */
            static uint8_t first[SIZE];
            memcpy(first, bytes, SIZE);
            sim_disk_copy(disk, after);
            sim_disk_crash(after, policy, seed);
            CHECK(memcmp(first, sim_disk_bytes(after, "f", NULL), SIZE) == 0);
        }
    }
    CHECK(whole > 50 && none > 50 && part > 500 && junk > 100);
    sim_disk_free(disk), sim_disk_free(after);
}

static void overlapping_writes_arrive_in_any_order(void) {
    SimDisk *disk = sim_disk_new(1), *after = sim_disk_new(0);
    VfsFile *f = opened(disk, "f", VFS_CREATE);
    synced(disk, f);
    put(disk, f, 0, "11");
    put(disk, f, 0, "22");
    closed(disk, f);
    int first = 0, second = 0;
    for (uint64_t seed = 0; seed < 300; seed++) {
        sim_disk_copy(disk, after);
        sim_disk_crash(after, SIM_CRASH_RANDOM, seed);
        first += strcmp(shown(after, "f"), "11") == 0;
        second += strcmp(shown(after, "f"), "22") == 0;
    }
    CHECK(first > 20 && second > 20);
    sim_disk_free(disk), sim_disk_free(after);
}

static void power_fails_at_every_operation_as_replay_says(void) {
    SimDisk *whole = recorded(), *at = sim_disk_new(0);
    size_t count = sim_disk_operations(whole);
    for (size_t k = 0; k <= count; k++) {
        SimDisk *disk = sim_disk_new(1);
        const Vfs *vfs = sim_disk_vfs(disk);
        sim_disk_power_off_at(disk, k);
        VfsFile *a = NULL, *b = NULL;
        size_t done = 0; /* the steps of recorded(), until one fails */
        nacre_status s = vfs->open(vfs->self, "a", VFS_CREATE, &a);
        if (s == NACRE_OK) done++, s = vfs->write(a, 0, "abcdef", 6);
        if (s == NACRE_OK) done++, s = vfs->sync(a);
        if (s == NACRE_OK) done++, s = vfs->write(a, 2, "XY", 2);
        if (s == NACRE_OK) done++, s = vfs->open(vfs->self, "b", VFS_CREATE, &b);
        if (s == NACRE_OK) done++, s = vfs->write(b, 0, "new", 3);
        if (s == NACRE_OK) done++, s = vfs->truncate(a, 5);
        if (s == NACRE_OK) done++, s = vfs->write(a, 7, "Z", 1);
        if (s == NACRE_OK) done++;
        CHECK_EQ(done, k < 8 ? k : 8);
        CHECK(s == (k < 8 ? NACRE_IO : NACRE_OK));
        CHECK(sim_disk_is_off(disk) == (k < 8));
        if (k < 8) {
            VfsFile *again = NULL;
            char got;
            CHECK(vfs->open(vfs->self, "a", VFS_READ, &again) == NACRE_IO);
            if (a) CHECK(vfs->read(a, 0, &got, 1) == NACRE_IO);
        }
        sim_disk_replay(whole, k, at);
        /* What was in flight may arrive too: the replay has everything before it. */
        SimDisk *one = sim_disk_clone(disk), *two = sim_disk_clone(at);
        sim_disk_crash(one, SIM_CRASH_PREFIX, 0);
        sim_disk_crash(two, SIM_CRASH_PREFIX, 0);
        CHECK_STR(shown(one, "a"), shown(two, "a"));
        sim_disk_copy(disk, one);
        sim_disk_replay(whole, k < 8 ? k + 1 : k, two);
        if (k != 2) { /* a sync in flight brings nothing for sure */
            sim_disk_crash(one, SIM_CRASH_PREFIX, 99);
            sim_disk_crash(two, SIM_CRASH_PREFIX, 99);
        }
        CHECK_STR(shown(one, "a"), shown(two, "a"));
        CHECK_STR(shown(one, "b"), shown(two, "b"));
        sim_disk_crash(disk, SIM_CRASH_PREFIX, 99); /* power is back */
        CHECK(!sim_disk_is_off(disk));
        if (a) CHECK(vfs->sync(a) == NACRE_IO); /* rule 5 */
        if (a) closed(disk, a);
        if (b) closed(disk, b);
        CHECK_EQ(sim_disk_open_handles(disk), 0);
        a = opened(disk, "a", VFS_CREATE);
        if (a) closed(disk, a);
        sim_disk_free(disk), sim_disk_free(one), sim_disk_free(two);
    }
    sim_disk_free(whole), sim_disk_free(at);
}

static void a_replay_is_what_the_recorded_disk_was(void) {
    uint64_t random = test_seed();
    SimDisk *disk = sim_disk_new(1), *at = sim_disk_new(0);
    SimDisk *was[101];
    VfsFile *files[3] = {opened(disk, "x", VFS_CREATE), opened(disk, "y", VFS_CREATE),
                         opened(disk, "z", VFS_CREATE)};
    const Vfs *vfs = sim_disk_vfs(disk);
    size_t begin = sim_disk_operations(disk);
    for (size_t i = 0; i <= 100; i++) {
        was[i] = sim_disk_clone(disk);
        VfsFile *f = files[test_random(&random) % 3];
        uint8_t data[700];
        memset(data, (int)i, sizeof data);
        uint64_t offset = test_random(&random) % 5000, choice = test_random(&random) % 10;
        nacre_status want = NACRE_OK, got;
        if (choice == 9) { /* failed operations are replayed as what they left */
            static const SimFaultWay ways[] = {SIM_FAULT_FAIL, SIM_FAULT_SHORT, SIM_FAULT_LOSE};
            sim_disk_fault(disk, (SimFault){.kinds = SIM_ANY, .nth = 1, .forever = false, .way = ways[i % 3], .status = NACRE_IO});
            want = NACRE_IO;
        }
        if (choice < 2 || (choice == 9 && i % 3 == 2)) got = vfs->sync(f);
        else if (choice < 4) got = vfs->truncate(f, offset);
        else got = vfs->write(f, offset, data, test_random(&random) % 699 + 1);
        CHECK(got == want);
    }
    for (int round = 0; round < 2; round++) /* forward, and again from the beginning */
        for (size_t i = 0; i <= 100; i++) {
            sim_disk_replay(disk, begin + i, at);
            SimDisk *a = sim_disk_clone(at), *b = sim_disk_clone(was[i]);
            for (int crashed = 0; crashed < 2; crashed++) {
                for (size_t n = 0; n < 3; n++) {
                    static const char *const names[] = {"x", "y", "z"};
                    uint64_t a_size = 0, b_size = 0;
                    const uint8_t *a_bytes = sim_disk_bytes(a, names[n], &a_size);
                    const uint8_t *b_bytes = sim_disk_bytes(b, names[n], &b_size);
                    CHECK((a_bytes == NULL) == (b_bytes == NULL));
                    if (a_bytes && b_bytes) CHECK_BYTES(a_bytes, (size_t)a_size, b_bytes, (size_t)b_size);
                }
                sim_disk_crash(a, SIM_CRASH_RANDOM, i);
                sim_disk_crash(b, SIM_CRASH_RANDOM, i);
            }
            sim_disk_free(a), sim_disk_free(b);
        }
    for (size_t i = 0; i <= 100; i++) sim_disk_free(was[i]);
    for (size_t i = 0; i < 3; i++) closed(disk, files[i]);
    sim_disk_free(disk), sim_disk_free(at);
}

static void a_fault_meets_the_nth_of_its_kind(void) {
    for (int forever = 0; forever < 2; forever++) {
        SimDisk *disk = sim_disk_new(1);
        const Vfs *vfs = sim_disk_vfs(disk);
        VfsFile *f = opened(disk, "f", VFS_CREATE);
        sim_disk_fault(disk, (SimFault){.kinds = SIM_WRITE | SIM_TRUNCATE, .nth = 2, .forever = forever, .way = SIM_FAULT_FAIL, .status = NACRE_QUOTA});
        CHECK(vfs->write(f, 0, "1", 1) == NACRE_OK);
        CHECK(vfs->sync(f) == NACRE_OK);
        CHECK(vfs->truncate(f, 0) == NACRE_QUOTA);
        CHECK(strstr(vfs->message(vfs->self), "f: truncate") != NULL);
        CHECK_STR(shown(disk, "f"), "1");
        CHECK(vfs->write(f, 0, "2", 1) == (forever ? NACRE_QUOTA : NACRE_OK));
        CHECK_EQ(sim_disk_fault_hits(disk), forever ? 2 : 1);
        sim_disk_fault(disk, (SimFault){.kinds = SIM_READ, .nth = 1, .forever = false, .way = SIM_FAULT_FAIL, .status = NACRE_IO});
        char got;
        CHECK(vfs->read(f, 0, &got, 1) == NACRE_IO);
        CHECK(vfs->read(f, 0, &got, 1) == NACRE_OK);
        sim_disk_fault(disk, (SimFault){.kinds = SIM_OPEN | SIM_CREATE, .nth = 1, .forever = true, .way = SIM_FAULT_FAIL, .status = NACRE_PERMISSION});
        VfsFile *other = NULL;
        CHECK(vfs->open(vfs->self, "f", VFS_WRITE, &other) == NACRE_PERMISSION);
        CHECK(vfs->open(vfs->self, "g", VFS_CREATE, &other) == NACRE_PERMISSION);
        CHECK_EQ(sim_disk_file_count(disk), 1);
        sim_disk_fault(disk, (SimFault){.kinds = SIM_CLOSE, .nth = 1, .forever = true, .way = SIM_FAULT_FAIL, .status = NACRE_IO});
        CHECK(vfs->close(f) == NACRE_IO);
        CHECK_EQ(sim_disk_open_handles(disk), 0);
        sim_disk_free(disk);
    }
}

static void a_short_write_leaves_half(void) {
    SimDisk *disk = sim_disk_new(1);
    const Vfs *vfs = sim_disk_vfs(disk);
    VfsFile *f = opened(disk, "f", VFS_CREATE);
    sim_disk_fault(disk, (SimFault){.kinds = SIM_WRITE, .nth = 1, .forever = false, .way = SIM_FAULT_SHORT, .status = NACRE_IO});
    CHECK(vfs->write(f, 0, "abcdef", 6) == NACRE_IO);
    CHECK_STR(shown(disk, "f"), "abc");
    closed(disk, f);
    sim_disk_free(disk);
}

static void a_lying_sync_loses_what_reads_still_see(void) {
    SimDisk *disk = sim_disk_new(1);
    const Vfs *vfs = sim_disk_vfs(disk);
    VfsFile *f = opened(disk, "f", VFS_CREATE);
    put(disk, f, 0, "old");
    synced(disk, f);
    put(disk, f, 0, "new");
    sim_disk_fault(disk, (SimFault){.kinds = SIM_SYNC, .nth = 1, .forever = false, .way = SIM_FAULT_LOSE, .status = NACRE_IO});
    CHECK(vfs->sync(f) == NACRE_IO);
    CHECK_STR(shown(disk, "f"), "new");
    put(disk, f, 3, "!");
    synced(disk, f); /* says all is well */
    closed(disk, f);
    sim_disk_crash(disk, SIM_CRASH_PREFIX, 99);
    CHECK_STR(shown(disk, "f"), "old!");
    sim_disk_free(disk);
}

static void a_full_disk_refuses_growth_only(void) {
    SimDisk *disk = sim_disk_new(1);
    const Vfs *vfs = sim_disk_vfs(disk);
    VfsFile *a = opened(disk, "a", VFS_CREATE), *b = opened(disk, "b", VFS_CREATE);
    sim_disk_capacity(disk, 10);
    put(disk, a, 0, "123456");
    CHECK(vfs->write(b, 0, "123456", 6) == NACRE_QUOTA);
    CHECK_STR(shown(disk, "b"), "1234"); /* what fitted */
    CHECK(vfs->write(b, 4, "x", 1) == NACRE_QUOTA);
    CHECK(vfs->truncate(b, 5) == NACRE_QUOTA);
    put(disk, a, 0, "abcdef");
    CHECK(vfs->truncate(a, 3) == NACRE_OK);
    put(disk, b, 4, "567");
    CHECK(vfs->write(b, 7, "8", 1) == NACRE_QUOTA);
    CHECK_STR(shown(disk, "a"), "abc");
    CHECK_STR(shown(disk, "b"), "1234567");
    sim_disk_capacity(disk, UINT64_MAX);
    put(disk, b, 7, "8");
    closed(disk, a), closed(disk, b);
    sim_disk_free(disk);
}

static void bytes_clock_and_random_are_in_our_hands(void) {
    SimDisk *disk = sim_disk_new(7), *same = sim_disk_new(7);
    const Vfs *vfs = sim_disk_vfs(disk), *twin = sim_disk_vfs(same);
    sim_disk_put(disk, "f", "abc", 3);
    sim_disk_flip(disk, "f", 8 + 5);
    CHECK_STR(shown(disk, "f"), "aBc");
    sim_disk_resize(disk, "f", 2);
    sim_disk_crash(disk, SIM_CRASH_PREFIX, 0); /* they are durable */
    CHECK_STR(shown(disk, "f"), "aB");
    sim_disk_remove(disk, "f");
    CHECK_STR(shown(disk, "f"), "-");
    CHECK_EQ(sim_disk_file_count(disk), 0);
    sim_disk_set_clock(disk, 12345);
    CHECK_EQ(vfs->now_ms(vfs->self), 12345);
    uint64_t a = 0, b = 0;
    vfs->random(vfs->self, &a, sizeof a);
    twin->random(twin->self, &b, sizeof b);
    CHECK(a == b && a != 0);
    sim_disk_free(disk), sim_disk_free(same);
}

static void a_crash_forgets_locks_and_a_copy_has_none(void) {
    SimDisk *disk = sim_disk_new(1);
    const Vfs *vfs = sim_disk_vfs(disk);
    VfsFile *lock = NULL, *again = NULL;
    CHECK(vfs->lock(vfs->self, "l", false, &lock) == NACRE_OK);
    CHECK(vfs->lock(vfs->self, "l", false, &again) == NACRE_BUSY);
    SimDisk *copy = sim_disk_clone(disk);
    const Vfs *copied = sim_disk_vfs(copy);
    CHECK(copied->lock(copied->self, "l", false, &again) == NACRE_OK);
    copied->unlock(copied->self, again);
    sim_disk_crash(disk, SIM_CRASH_PREFIX, 0);
    CHECK(vfs->lock(vfs->self, "l", false, &again) == NACRE_OK);
    vfs->unlock(vfs->self, lock);
    CHECK(vfs->lock(vfs->self, "l", false, &lock) == NACRE_BUSY);
    vfs->unlock(vfs->self, again);
    CHECK_EQ(sim_disk_operations(disk), 0);
    sim_disk_free(disk), sim_disk_free(copy);
}

/* Copying and crashing 300 KiB must be cheap enough for tens of thousands of states. */
static void thousands_of_states_are_quick(void) {
    SimDisk *disk = sim_disk_new(1), *at = sim_disk_new(0), *after = sim_disk_new(0);
    static uint8_t data[4096];
    VfsFile *f = opened(disk, "f", VFS_CREATE);
    for (int i = 0; i < 75; i++) {
        CHECK(sim_disk_vfs(disk)->write(f, (uint64_t)i * 4096, data, 4096) == NACRE_OK);
        synced(disk, f);
    }
    uint64_t states = 0;
    for (size_t k = 0; k <= sim_disk_operations(disk); k++) {
        sim_disk_replay(disk, k, at);
        for (uint64_t seed = 0; seed < 10; seed++, states++) {
            sim_disk_copy(at, after);
            sim_disk_crash(after, SIM_CRASH_RANDOM, seed);
        }
    }
    CHECK_EQ(states, 1520);
    closed(disk, f);
    sim_disk_free(disk), sim_disk_free(at), sim_disk_free(after);
}

void sim_disk_test(void) {
    RUN(the_log_tells_what_was_done);
    RUN(a_prefix_of_the_unsynced_changes_arrives);
    RUN(any_subset_arrives_and_no_file_without_its_name);
    RUN(writes_tear_at_any_byte_and_at_sectors);
    RUN(random_crashes_touch_only_what_was_being_written);
    RUN(overlapping_writes_arrive_in_any_order);
    RUN(power_fails_at_every_operation_as_replay_says);
    RUN(a_replay_is_what_the_recorded_disk_was);
    RUN(a_fault_meets_the_nth_of_its_kind);
    RUN(a_short_write_leaves_half);
    RUN(a_lying_sync_loses_what_reads_still_see);
    RUN(a_full_disk_refuses_growth_only);
    RUN(bytes_clock_and_random_are_in_our_hands);
    RUN(a_crash_forgets_locks_and_a_copy_has_none);
    RUN(thousands_of_states_are_quick);
}
