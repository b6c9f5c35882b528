/* restore_test.c - power fails while a backup is made a database again, and while one is being
 * made: what is found is refused, nothing, or all of it; and restoring again succeeds. */
#include "crash/history.h"
#include "lib/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined __wasm__ || defined __aarch64__ /* often emulated */
enum { STRIDE = 5 };
#else
enum { STRIDE = 1 };
#endif
enum { STREAM_MAX = 8 << 20, EARLIER = 1000000, LATER = 2000000 /* milliseconds: rows that end have ended */ };

typedef struct Stream {
    uint8_t *bytes;
    size_t size;
} Stream;

static nacre_status drain(nacre_backup *backup, Stream *stream, nacre_backup_info *info) {
    static uint8_t token[4096];
    size_t got = 1;
    nacre_status status = NACRE_OK;
    if (!stream->bytes && !(stream->bytes = malloc(STREAM_MAX))) abort();
    while (status == NACRE_OK && got > 0 && stream->size < STREAM_MAX) {
        status = nacre_backup_read(backup, stream->bytes + stream->size, STREAM_MAX - stream->size, &got);
        stream->size += got;
    }
    CHECK_EQ(nacre_backup_describe(backup, info), NACRE_OK);
    if (!CHECK(info->token.size <= sizeof token)) abort();
    if (info->token.size) memcpy(token, info->token.data, info->token.size);
    info->token.data = token; /* until the next one */
    nacre_backup_end(backup);
    return status;
}

static nacre_status restore(const nacre_options *options, const Stream *streams, size_t count, nacre_error *error) {
    nacre_restore *restoring = NULL;
    nacre_status status = nacre_restore_begin("db", options, NULL, &restoring, error);
    if (status != NACRE_OK) return status;
    for (size_t i = 0; i < count && status == NACRE_OK; i++)
        status = nacre_restore_write(restoring, streams[i].bytes, streams[i].size);
    if (status == NACRE_OK) return nacre_restore_finish(restoring, NULL, error);
    if (error) snprintf(error->text, sizeof error->text, "%s", nacre_restore_message(restoring));
    nacre_restore_abort(restoring);
    return status;
}

/* A full backup, an incremental one and a log, with transactions and loads among the rows. */
static bool restore_sources(Stream streams[3], Model *full, Model *last) {
    SimDisk *disk = sim_disk_new(3);
    nacre_options options = history_options(disk, NACRE_STRICT);
    nacre_db *db = NULL;
    nacre_backup *backup = NULL;
    nacre_archive *archive = NULL;
    uint64_t random = test_seed();
    Model next;
    bool spilled;
    nacre_backup_info info = {.kind = 0};
    options.changes_size = 16 << 20;
    sim_disk_set_clock(disk, EARLIER);
    if (!CHECK_EQ(nacre_open("db", &options, &db, NULL), NACRE_OK)) return false;
    memset(full, 0, sizeof *full);
    for (int part = 0; part < 3; part++) {
        for (int i = 0; i < 6; i++) {
            CHECK_EQ(history_batch(db, full, &next, &random), NACRE_OK);
            *full = next;
        }
        if (part > 0) {
            CHECK_EQ(history_load(db, full, &next, &random), NACRE_OK);
            *full = next;
            CHECK_EQ(history_transaction(db, full, &next, &random, &spilled), NACRE_OK);
            *full = next;
        }
        if (part == 2) break;
        nacre_span base = info.token;
        if (!CHECK_EQ(nacre_backup_begin(db, part ? &base : NULL, &backup), NACRE_OK)) return false;
        CHECK_EQ(drain(backup, &streams[part], &info), NACRE_OK);
        if (part == 1) CHECK_EQ(nacre_archive_open(db, info.sequence, &archive), NACRE_OK);
    }
    *last = *full;
    if (!CHECK_EQ(nacre_archive_begin(archive, &backup), NACRE_OK)) return false;
    CHECK_EQ(drain(backup, &streams[2], &info), NACRE_OK);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
    return true;
}

/* What may be found: all of it; or a place that says that it was being restored; or one where
 * nothing was ever finished. Never an empty database, never a part. */
static bool check_found(SimDisk *disk, const Model *model) {
    nacre_options options = history_options(disk, NACRE_STRICT);
    nacre_db *db = NULL;
    nacre_error error = {0};
    options.mode = NACRE_EXISTING;
    sim_disk_set_clock(disk, LATER);
    nacre_status status = nacre_open("db", &options, &db, &error);
    if (status == NACRE_OK) {
        CHECK_EQ(model_differences(db, NULL, model), 0);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        return true;
    }
    if (status == NACRE_NOT_FOUND) return false;
    CHECK_EQ(status, NACRE_CORRUPT);
    if (!CHECK(strstr(error.text, "restore it again"))) printf("# %s\n", error.text);
    options.mode = NACRE_READWRITE;
    CHECK_EQ(nacre_open("db", &options, &db, &error), NACRE_CORRUPT);
    return false;
}

static void b25_a_restore_survives_power_failures(void) {
    Stream streams[3] = {{0}};
    Model full, last;
    uint64_t random = test_seed(), states = 0, whole = 0;
    REQUIRE(restore_sources(streams, &full, &last));
    SimDisk *disk = sim_disk_new(5), *at = sim_disk_new(0), *after = sim_disk_new(0);
    nacre_options options = history_options(disk, NACRE_STRICT);
    nacre_error error = {0};
    if (!CHECK_EQ(restore(&options, streams, 3, &error), NACRE_OK)) printf("# %s\n", error.text);
    size_t operations = sim_disk_operations(disk), stride = history_key ? 6 * STRIDE : STRIDE;
    CHECK(check_found(disk, &last));
    for (size_t k = 0, next = 0; next <= operations; k = next) { /* to the last, which leaves all of it */
        next = k + (k + 60 < operations && k > 60 ? 3 * stride : stride);
        if (next > operations && k < operations) next = operations;
        sim_disk_replay(disk, k, at);
        for (int pick = 0; pick < 4; pick++, states++) {
            SimCrash policy = pick < 2 ? SIM_CRASH_PREFIX : (SimCrash)(1 + test_random(&random) % 6);
            uint64_t seeds = sim_disk_crash_states(at, policy);
            uint64_t seed = pick == 0 ? 0 : pick == 1 ? seeds - 1 : test_random(&random) % (seeds ? seeds : 1);
            sim_disk_copy(at, after);
            sim_disk_crash(after, policy, seed);
            bool found = check_found(after, &last);
            whole += found;
            options.vfs = sim_disk_vfs(after);
            if (pick % 2) continue;
            nacre_status status = restore(&options, streams, 3, &error);
            if (!CHECK_EQ(status, found ? NACRE_EXISTS : NACRE_OK))
                printf("# after %zu operations, policy %d seed %" PRIu64 ": %s\n", k, (int)policy, seed, error.text);
            CHECK(check_found(after, &last));
        }
    }
    printf("# %" PRIu64 " states after %zu operations, %" PRIu64 " of them whole\n", states, operations, whole);
    CHECK(whole > 0 && whole < states);
    for (int i = 0; i < 3; i++) free(streams[i].bytes);
    sim_disk_free(disk);
    sim_disk_free(at);
    sim_disk_free(after);
}

void restore_test(void) { RUN(b25_a_restore_survives_power_failures); }
