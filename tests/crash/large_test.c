/* large_test.c - power and faults while a large value is streamed: it is there whole, or what
 * was there before it is. */
#include "crash/history.h"
#include "lib/check.h"
#include "lib/failing_allocator.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#if defined __wasm__ || defined __aarch64__ /* often emulated */
enum { STRIDE = 7 };
#else
enum { STRIDE = 1 };
#endif
enum { LARGE = (1 << 20) + 70000, CHUNK = 50000 };

static uint8_t large_byte(uint32_t version, size_t at) { return (uint8_t)((at * 2654435761u >> 13) + version * 101); }

static nacre_status large_put(nacre_db *db, uint32_t version) {
    static uint8_t chunk[CHUNK];
    nacre_schema schema = nacre_schema_kv(NACRE_TEXT, NACRE_BYTES);
    nacre_membrane *files = NULL;
    nacre_value_writer *writer = NULL;
    nacre_value key = nacre_text("large");
    nacre_status status = nacre_membrane_open(db, "files", &schema, &files);
    if (status == NACRE_OK) status = nacre_value_begin(files, &key, NULL, &writer);
    for (size_t at = 0; at < LARGE && status == NACRE_OK; at += CHUNK) {
        size_t part = LARGE - at < CHUNK ? LARGE - at : CHUNK;
        for (size_t i = 0; i < part; i++) chunk[i] = large_byte(version, at + i);
        status = nacre_value_append(writer, chunk, part);
    }
    if (status == NACRE_OK) return nacre_value_finish(writer);
    nacre_value_abort(writer);
    return status;
}

/* The version that is there; 0: none; UINT32_MAX: neither. */
static uint32_t large_version(nacre_db *db, uint32_t least, uint32_t most) {
    static uint8_t got[LARGE];
    nacre_membrane *files = NULL;
    nacre_value_reader *reader = NULL;
    nacre_value key = nacre_text("large");
    nacre_status status = nacre_membrane_open(db, "files", NULL, &files);
    if (status == NACRE_OK) status = nacre_value_open(files, NULL, &key, &reader);
    if (status == NACRE_NOT_FOUND) return 0;
    if (status == NACRE_OK && nacre_value_size(reader) != LARGE) status = NACRE_CORRUPT;
    if (status == NACRE_OK) status = nacre_value_read(reader, 0, got, LARGE);
    nacre_value_close(reader);
    for (uint32_t version = least > 1 ? least : 1; version <= most && status == NACRE_OK; version++) {
        size_t at = 0;
        while (at < LARGE && got[at] == large_byte(version, at)) at++;
        if (at == LARGE) return version;
    }
    return UINT32_MAX;
}

/* Two values of one key, small writes before, between and after; the power fails at each
 * operation. What was acknowledged is there, whole; what was not, whole or not at all. */
static void c16_a_large_value_survives_power_failures_whole(void) {
    SimDisk *disk = sim_disk_new(5), *at = sim_disk_new(0), *after = sim_disk_new(0);
    nacre_options options = history_options(disk, NACRE_STRICT);
    size_t acknowledged[3] = {0}, begun[3] = {0};
    nacre_db *db = NULL;
    Model model = {0}, next;
    uint64_t random = test_seed();
    REQUIRE(nacre_open("db", &options, &db, NULL) == NACRE_OK);
    for (uint32_t version = 1; version <= 2; version++) {
        CHECK_EQ(history_batch(db, &model, &next, &random), NACRE_OK);
        begun[version] = sim_disk_operations(disk);
        CHECK_EQ(large_put(db, version), NACRE_OK);
        acknowledged[version] = sim_disk_operations(disk);
        CHECK_EQ(history_batch(db, &next, &model, &random), NACRE_OK);
        if (version == 1) CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    size_t operations = sim_disk_operations(disk), states = 0;
    for (size_t k = begun[1]; k <= operations; k += STRIDE) {
        uint32_t least = 0, most = 0;
        for (uint32_t version = 1; version <= 2; version++) {
            if (acknowledged[version] <= k) least = version;
            if (begun[version] <= k) most = version;
        }
        sim_disk_replay(disk, k, at);
        for (int pick = 0; pick < 4; pick++, states++) {
            SimCrash policy = pick < 2 ? SIM_CRASH_PREFIX : (SimCrash)(1 + test_random(&random) % 6);
            uint64_t seeds = sim_disk_crash_states(at, policy);
            uint64_t seed = pick == 0 ? 0 : pick == 1 ? seeds - 1 : test_random(&random) % (seeds ? seeds : 1);
            nacre_error error = {0};
            uint64_t problems = 0;
            sim_disk_copy(at, after);
            sim_disk_crash(after, policy, seed);
            options.vfs = sim_disk_vfs(after);
            if (!check_that(CHECK_HERE, error.text, nacre_open("db", &options, &db, &error) == NACRE_OK)) return;
            uint32_t version = large_version(db, least, most);
            if (!CHECK(version >= least && version <= most))
                printf("# after %zu operations, policy %d seed %" PRIu64 ": %u, not %u to %u\n", k, (int)policy, seed,
                       (unsigned)version, (unsigned)least, (unsigned)most);
            CHECK_EQ(nacre_verify(db, true, NULL, NULL, &problems), NACRE_OK);
            CHECK_EQ(problems, 0);
            if (pick == 3) CHECK_EQ(large_put(db, 3), NACRE_OK);
            CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        }
    }
    printf("# %zu states after %zu operations\n", states, operations);
    sim_disk_free(disk);
    sim_disk_free(at);
    sim_disk_free(after);
}

/* One call of the world fails: the value is whole or as before, and the next one works. */
static void c16_a_failed_stream_changes_nothing(void) {
    static const int kinds[4] = {SIM_WRITE, SIM_SYNC, SIM_TRUNCATE | SIM_READ, 0}; /* 0: an allocation */
    for (int kind = 0; kind < 4; kind++) {
        uint64_t hits = 0;
        bool hit = true;
        for (uint64_t nth = 1; hit; nth += kinds[kind] ? STRIDE : 4 * STRIDE) {
            SimDisk *disk = sim_disk_new(5);
            FailingAllocator memory;
            failing_allocator_init(&memory);
            nacre_options options = history_options(disk, NACRE_STRICT);
            options.allocator = memory.allocator;
            nacre_db *db = NULL;
            REQUIRE(nacre_open("db", &options, &db, NULL) == NACRE_OK);
            CHECK_EQ(large_put(db, 1), NACRE_OK);
            if (kinds[kind]) sim_disk_fault(disk, (SimFault){.kinds = kinds[kind], .nth = nth, .status = NACRE_IO});
            if (!kinds[kind]) failing_allocator_fail_at(&memory, nth, false);
            nacre_status status = large_put(db, 2);
            hit = kinds[kind] ? sim_disk_fault_hits(disk) > 0 : memory.failed > 0;
            sim_disk_fault(disk, (SimFault){.nth = 0});
            failing_allocator_fail_at(&memory, 0, false);
            hits += hit;
            if (status != NACRE_OK) CHECK_EQ(status, kinds[kind] ? NACRE_IO : NACRE_RESOURCE_EXHAUSTED);
            uint32_t version = large_version(db, 1, 2);
            if (!CHECK(version == (status == NACRE_OK ? 2 : 1)))
                printf("# kind %d number %" PRIu64 ": status %d, version %u\n", kind, nth, (int)status, (unsigned)version);
            (void)nacre_close(db, NULL);
            CHECK(failing_allocator_clean(&memory));
            REQUIRE(nacre_open("db", &options, &db, NULL) == NACRE_OK);
            version = large_version(db, 1, 2);
            /* A sync that failed leaves either. */
            CHECK(version == (status == NACRE_OK ? 2 : 1) || (kind == 1 && version == 2));
            CHECK_EQ(large_put(db, 3), NACRE_OK);
            CHECK_EQ(large_version(db, 3, 3), 3);
            CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
            failing_allocator_clear(&memory);
            sim_disk_free(disk);
            if (nth > 500) break;
        }
        CHECK(hits > 0);
    }
}

void large_test(void) {
    RUN(c16_a_large_value_survives_power_failures_whole);
    RUN(c16_a_failed_stream_changes_nothing);
}
