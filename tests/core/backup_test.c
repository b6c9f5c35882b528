/* backup_test.c - backups (B24), restores (B25), going back to any commit (B26) and a database
 * as one file (B27): what comes out of a stream is the state that went into it, or nothing. */
#include "lib/check.h"
#include "lib/failing_allocator.h"
#include "lib/model.h"
#include "lib/sim_disk.h"

#include "base/checksum.h"
#include "db/backup_format.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MEMTABLE = 64 << 10, KEYS = 200 };

typedef struct Stream {
    uint8_t *bytes;
    size_t size, capacity;
} Stream;

static nacre_options small(SimDisk *disk) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.vfs = sim_disk_vfs(disk);
    options.memory = 8 << 20;
    options.memtable_size = MEMTABLE;
    options.segment_size = MEMTABLE;
    options.seed = 5;
    return options;
}

static nacre_db *open_db(const nacre_options *options) {
    nacre_db *db = NULL;
    nacre_error error = {0};
    if (!CHECK_EQ(nacre_open("db", options, &db, &error), NACRE_OK)) printf("# %s\n", error.text);
    return db;
}

static void write_batch(nacre_db *db, Model *model, uint64_t *random, unsigned most) {
    nacre_membrane *membranes[MODEL_MEMBRANES];
    nacre_batch *batch = NULL;
    REQUIRE(model_open(db, membranes) == NACRE_OK && nacre_batch_begin(db, &batch) == NACRE_OK);
    for (uint64_t i = 1 + test_random(random) % most; i > 0; i--) {
        int m = (int)(test_random(random) % MODEL_MEMBRANES);
        uint32_t key = (uint32_t)(test_random(random) % KEYS), version = 1 + (uint32_t)(test_random(random) % 100000);
        if (test_random(random) % 4 == 0) version = 0;
        CHECK_EQ(version ? model_put(batch, membranes, m, key, version) : model_delete(batch, membranes, m, key), NACRE_OK);
        model->version[m][key] = version;
    }
    CHECK_EQ(nacre_batch_commit(batch), NACRE_OK);
}

static void write_some(nacre_db *db, Model *model, uint64_t *random, unsigned batches) {
    while (batches-- > 0) write_batch(db, model, random, 30);
}

static uint64_t newest(nacre_db *db) {
    uint64_t oldest = 0, last = 0;
    CHECK_EQ(nacre_changes_bounds(db, &oldest, &last), NACRE_OK);
    return last;
}

static void stream_add(Stream *stream, const void *bytes, size_t size) {
    if (stream->size + size > stream->capacity) {
        stream->capacity = 2 * (stream->size + size);
        stream->bytes = realloc(stream->bytes, stream->capacity);
        if (!stream->bytes) abort();
    }
    memcpy(stream->bytes + stream->size, bytes, size);
    stream->size += size;
}

static void stream_free(Stream *stream) {
    free(stream->bytes);
    *stream = (Stream){0};
}

/* Reads a backup to its end, `chunk` bytes at a time. */
static nacre_status drain(nacre_backup *backup, size_t chunk, Stream *stream) {
    uint8_t *buffer = malloc(chunk);
    size_t got = 1;
    nacre_status status = buffer ? NACRE_OK : NACRE_RESOURCE_EXHAUSTED;
    while (status == NACRE_OK && got > 0) {
        status = nacre_backup_read(backup, buffer, chunk, &got);
        if (status == NACRE_OK) stream_add(stream, buffer, got);
    }
    free(buffer);
    return status;
}

static Stream back_up_from(nacre_db *db, const Stream *base, size_t chunk) {
    Stream stream = {0};
    nacre_backup *backup = NULL;
    nacre_span token = {base ? base->bytes : NULL, base ? base->size : 0};
    nacre_backup_info info = {0};
    if (!CHECK_EQ(nacre_backup_begin(db, base ? &token : NULL, &backup), NACRE_OK)) return stream;
    CHECK_EQ(drain(backup, chunk, &stream), NACRE_OK);
    CHECK_EQ(nacre_backup_describe(backup, &info), NACRE_OK);
    CHECK_EQ(info.bytes, stream.size);
    CHECK_BYTES(info.token.data, info.token.size, stream.bytes + stream.size - info.token.size, info.token.size);
    nacre_backup_end(backup);
    return stream;
}

static Stream back_up(nacre_db *db) { return back_up_from(db, NULL, 70000); }

/* Makes a database of the streams; NULL options: only checks them. */
static nacre_status restore(const nacre_options *options, const Stream *const *streams, size_t count,
                            const nacre_restore_options *until, size_t chunk, nacre_db **db, nacre_error *error) {
    nacre_restore *restore = NULL;
    nacre_status status = nacre_restore_begin(options ? "db" : NULL, options, until, &restore, error);
    if (status != NACRE_OK) return status;
    for (size_t i = 0; i < count && status == NACRE_OK; i++)
        for (size_t at = 0; at < streams[i]->size && status == NACRE_OK; at += chunk) {
            size_t part = streams[i]->size - at < chunk ? streams[i]->size - at : chunk;
            status = nacre_restore_write(restore, streams[i]->bytes + at, part);
        }
    if (status == NACRE_OK) return nacre_restore_finish(restore, db, error);
    if (error) {
        *error = (nacre_error){.code = status};
        snprintf(error->text, sizeof error->text, "%s", nacre_restore_message(restore));
    }
    nacre_restore_abort(restore);
    return status;
}

static nacre_status check_streams(const Stream *const *streams, size_t count) {
    return restore(NULL, streams, count, NULL, 1000, NULL, NULL);
}

/* Makes a database of the streams on a disk of its own, and compares it with the model, open
 * and opened again; then it takes writes. */
static void check_restored(const Stream *const *streams, size_t count, const nacre_restore_options *until,
                           const Model *model, uint64_t sequence) {
    SimDisk *disk = sim_disk_new(9);
    nacre_options options = small(disk);
    nacre_db *db = NULL;
    nacre_error error = {0};
    uint64_t problems = 0, random = 3;
    Model after = *model;
    if (!CHECK_EQ(restore(&options, streams, count, until, 100000, &db, &error), NACRE_OK)) printf("# %s\n", error.text);
    if (!db) return sim_disk_free(disk);
    CHECK_EQ(newest(db), sequence);
    CHECK_EQ(model_differences(db, NULL, model), 0); /* may make membranes */
    sequence = newest(db);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    REQUIRE((db = open_db(&options)) != NULL);
    CHECK_EQ(newest(db), sequence); /* it had ended cleanly */
    CHECK_EQ(model_differences(db, NULL, model), 0);
    CHECK_EQ(model_search_differences(db, NULL, model, 20), 0);
    CHECK_EQ(nacre_verify(db, true, NULL, NULL, &problems), NACRE_OK);
    CHECK_EQ(problems, 0);
    write_some(db, &after, &random, 40);
    CHECK(newest(db) > sequence);
    CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    CHECK_EQ(model_differences(db, NULL, &after), 0);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

static void check_restores(const Stream *stream, const Model *model, uint64_t sequence) {
    const Stream *streams[1] = {stream};
    CHECK_EQ(check_streams(streams, 1), NACRE_OK);
    check_restored(streams, 1, NULL, model, sequence);
}

/* ---- B24: online ---- */

/* A backup that is read a little at a time, with flushes, merges and compaction between the
 * reads, is the state at which it began. */
static void b24_a_backup_is_the_state_at_its_lsn_while_writes_go_on(void) {
    for (uint64_t seed = 1; seed <= 6; seed++) {
        SimDisk *disk = sim_disk_new(seed);
        nacre_options options = small(disk);
        options.durability = (nacre_durability)(seed % 3);
        options.changes_size = seed % 2 ? 0 : 256 << 10;
        Model model = {0}, then;
        nacre_db *db = open_db(&options);
        nacre_backup *backup = NULL;
        Stream stream = {0};
        uint8_t buffer[9000];
        size_t got = 1;
        uint64_t random = seed + test_seed();
        REQUIRE(db);
        write_some(db, &model, &random, (unsigned)(20 * seed * seed));
        REQUIRE(nacre_backup_begin(db, NULL, &backup) == NACRE_OK);
        uint64_t sequence = newest(db);
        then = model;
        for (unsigned i = 0; got > 0; i++) {
            REQUIRE(nacre_backup_read(backup, buffer, sizeof buffer, &got) == NACRE_OK);
            stream_add(&stream, buffer, got);
            write_some(db, &model, &random, 6);
            if (i % 7 == 3) CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
            if (i % 11 == 5) CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
        }
        nacre_backup_end(backup);
        CHECK_EQ(model_differences(db, NULL, &model), 0);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        check_restores(&stream, &then, sequence);
        stream_free(&stream);
        sim_disk_free(disk);
    }
}

/* Memtables that take a quarter of the memory each, and a backup that nobody reads: writing
 * goes on, and the backup is still the state of its beginning. */
static void b24_a_backup_that_waits_holds_up_no_writer(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = small(disk);
    options.memory = 4 << 20;
    options.memtable_size = 1 << 20;
    Model model = {0}, then;
    nacre_db *db = open_db(&options);
    nacre_backup *backup = NULL;
    nacre_transaction *tx = NULL;
    nacre_membrane *membranes[MODEL_MEMBRANES];
    Stream stream = {0};
    uint64_t random = test_seed();
    REQUIRE(db);
    write_some(db, &model, &random, 60);
    REQUIRE(model_open(db, membranes) == NACRE_OK && nacre_begin(db, &tx) == NACRE_OK);
    CHECK_EQ(model_transaction_put(tx, membranes, 0, 3, 77), NACRE_OK); /* not committed: not in it */
    REQUIRE(nacre_backup_begin(db, NULL, &backup) == NACRE_OK);
    uint64_t sequence = newest(db);
    then = model;
    nacre_rollback(tx);
    write_some(db, &model, &random, 600);
    CHECK_EQ(drain(backup, 30000, &stream), NACRE_OK);
    nacre_backup_end(backup);
    CHECK_EQ(model_differences(db, NULL, &model), 0);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    check_restores(&stream, &then, sequence);
    stream_free(&stream);
    sim_disk_free(disk);
}

/* After a failed sync a handle only reads; what it shows can be saved. */
static void b24_what_a_poisoned_handle_shows_can_be_backed_up(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = small(disk);
    Model model = {0}, refused;
    uint64_t random = test_seed();
    nacre_db *db = open_db(&options);
    nacre_membrane *membranes[MODEL_MEMBRANES];
    nacre_batch *batch = NULL;
    REQUIRE(db);
    write_some(db, &model, &random, 20);
    uint64_t sequence = newest(db);
    refused = model;
    REQUIRE(model_open(db, membranes) == NACRE_OK && nacre_batch_begin(db, &batch) == NACRE_OK);
    CHECK_EQ(model_put(batch, membranes, 0, 1, 99), NACRE_OK);
    sim_disk_fault(disk, (SimFault){.kinds = SIM_SYNC, .nth = 1, .status = NACRE_IO});
    CHECK_EQ(nacre_batch_commit(batch), NACRE_IO);
    CHECK_EQ(model_differences(db, NULL, &refused), 0);
    Stream stream = back_up(db);
    (void)nacre_close(db, NULL);
    check_restores(&stream, &refused, sequence);
    stream_free(&stream);
    sim_disk_free(disk);
}

static void b24_an_incremental_backup_has_what_is_new(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = small(disk);
    Model model[4] = {0};
    Stream stream[4] = {0};
    uint64_t sequence[4], random = test_seed();
    nacre_db *db = open_db(&options);
    REQUIRE(db);
    write_some(db, &model[0], &random, 300);
    for (int i = 0; i < 4; i++) {
        if (i > 0) model[i] = model[i - 1];
        write_some(db, &model[i], &random, i == 3 ? 1 : 12);
        if (i == 1) CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
        if (i == 2) {
            CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
            REQUIRE((db = open_db(&options)) != NULL);
            CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
            write_some(db, &model[i], &random, 3);
        }
        sequence[i] = newest(db);
        stream[i] = back_up_from(db, i ? &stream[i - 1] : NULL, 50000);
        const Stream *chain[4] = {&stream[0], &stream[1], &stream[2], &stream[3]};
        CHECK_EQ(check_streams(chain, (size_t)i + 1), NACRE_OK);
        check_restored(chain, (size_t)i + 1, NULL, &model[i], sequence[i]);
    }
    CHECK(stream[1].size < stream[0].size / 2); /* a memtable or two of many */
    CHECK(stream[3].size < stream[0].size / 4); /* no segment at all */
    const Stream *from_two[2] = {&stream[0], NULL};
    Stream direct = back_up_from(db, &stream[0], 50000); /* it may skip those between */
    from_two[1] = &direct;
    check_restored(from_two, 2, NULL, &model[3], sequence[3]);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    for (int i = 0; i < 4; i++) stream_free(&stream[i]);
    stream_free(&direct);
    sim_disk_free(disk);
}

/* What is damaged is found when it is backed up, not when it is needed. */
static void b24_damage_is_not_backed_up(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = small(disk);
    Model model = {0};
    uint64_t random = test_seed(), size = 0;
    nacre_db *db = open_db(&options);
    REQUIRE(db);
    write_some(db, &model, &random, 100);
    CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    REQUIRE(sim_disk_bytes(disk, "db", &size) != NULL);
    unsigned found = 0, whole = 0;
    for (uint64_t at = 65536; at < size; at += 4099) {
        SimDisk *hurt = sim_disk_clone(disk);
        nacre_backup *backup = NULL;
        Stream stream = {0};
        options.vfs = sim_disk_vfs(hurt);
        sim_disk_flip(hurt, "db", 8 * at + at % 8);
        if (nacre_open("db", &options, &db, NULL) == NACRE_OK) {
            REQUIRE(nacre_backup_begin(db, NULL, &backup) == NACRE_OK);
            nacre_status status = drain(backup, 50000, &stream);
            if (status == NACRE_OK) {
                nacre_db *made = NULL; /* it hit nothing of this state */
                SimDisk *place = sim_disk_new(4);
                nacre_options making = small(place);
                const Stream *streams[1] = {&stream};
                if (CHECK_EQ(restore(&making, streams, 1, NULL, 1 << 20, &made, NULL), NACRE_OK))
                    whole += CHECK_EQ(model_differences(made, NULL, &model), 0);
                (void)nacre_close(made, NULL);
                sim_disk_free(place);
            } else {
                CHECK_EQ(status, NACRE_CORRUPT);
                size_t got = 0;
                uint8_t byte;
                CHECK_EQ(nacre_backup_read(backup, &byte, 1, &got), NACRE_CORRUPT);
                found++;
            }
            nacre_backup_end(backup);
            (void)nacre_close(db, NULL);
        }
        stream_free(&stream);
        sim_disk_free(hurt);
    }
    CHECK(found > 10);
    printf("# %u damaged segments found, %u harmless\n", found, whole);
    sim_disk_free(disk);
}

static void b24_wrong_bases_are_refused(void) {
    SimDisk *disk = sim_disk_new(1), *other = sim_disk_new(2);
    nacre_options options = small(disk), other_options = small(other);
    other_options.seed = 6;
    Model model = {0}, foreign = {0};
    uint64_t random = test_seed();
    nacre_db *db = open_db(&options), *stranger = open_db(&other_options);
    nacre_backup *backup = NULL;
    REQUIRE(db && stranger);
    write_some(db, &model, &random, 10);
    write_some(stranger, &foreign, &random, 10);
    Stream full = back_up(stranger);
    nacre_span base = {full.bytes, full.size};
    CHECK_EQ(nacre_backup_begin(db, &base, &backup), NACRE_INVALID_ARGUMENT);
    CHECK(strstr(nacre_message(db), "another database"));
    base.size--;
    CHECK_EQ(nacre_backup_begin(stranger, &base, &backup), NACRE_INVALID_ARGUMENT);
    base = (nacre_span){"no backup", 9};
    CHECK_EQ(nacre_backup_begin(stranger, &base, &backup), NACRE_INVALID_ARGUMENT);
    base = (nacre_span){full.bytes, full.size};
    full.bytes[full.size - 30] ^= 1;
    CHECK_EQ(nacre_backup_begin(stranger, &base, &backup), NACRE_CORRUPT);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    CHECK_EQ(nacre_close(stranger, NULL), NACRE_OK);
    stream_free(&full);
    sim_disk_free(disk);
    sim_disk_free(other);
}

/* ---- B27: one file ---- */

static void b27_one_state_gives_one_stream(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = small(disk);
    Model model = {0};
    uint64_t random = test_seed();
    nacre_db *db = open_db(&options);
    REQUIRE(db);
    write_some(db, &model, &random, 120);
    Stream first = back_up_from(db, NULL, 1 << 20), second = back_up_from(db, NULL, 7);
    CHECK_BYTES(first.bytes, first.size, second.bytes, second.size);
    stream_free(&second);
    nacre_options reading = options;
    reading.mode = NACRE_READ;
    nacre_db *reader = open_db(&reading); /* beside the writer, which goes on */
    REQUIRE(reader);
    write_some(db, &model, &random, 60);
    second = back_up_from(reader, NULL, 4096);
    CHECK_BYTES(first.bytes, first.size, second.bytes, second.size);
    CHECK_EQ(nacre_close(reader, NULL), NACRE_OK);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    stream_free(&first);
    stream_free(&second);
    sim_disk_free(disk);
}

/* An empty database is one, too, and so is one in memory. */
static void b27_a_database_in_memory_travels(void) {
    nacre_db *db = NULL, *made = NULL;
    nacre_restore *restoring = NULL;
    Model model = {0}, empty = {0};
    uint64_t random = test_seed();
    REQUIRE(nacre_open(":memory:", NULL, &db, NULL) == NACRE_OK);
    Stream nothing = back_up(db);
    check_restores(&nothing, &empty, newest(db));
    write_some(db, &model, &random, 50);
    Stream stream = back_up(db);
    REQUIRE(nacre_restore_begin(":memory:", NULL, NULL, &restoring, NULL) == NACRE_OK);
    CHECK_EQ(nacre_restore_write(restoring, stream.bytes, stream.size), NACRE_OK);
    REQUIRE(nacre_restore_finish(restoring, &made, NULL) == NACRE_OK);
    CHECK_EQ(model_differences(made, NULL, &model), 0);
    CHECK_EQ(nacre_close(made, NULL), NACRE_OK);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    stream_free(&nothing);
    stream_free(&stream);
}

/* ---- B25: restores ---- */

/* No file has a byte, and nothing is found there. */
static void check_nothing_there(SimDisk *disk) {
    nacre_options options = small(disk);
    nacre_db *db = NULL;
    options.mode = NACRE_EXISTING;
    CHECK_EQ(nacre_open("db", &options, &db, NULL), NACRE_NOT_FOUND);
    for (size_t i = 0; i < sim_disk_file_count(disk); i++) {
        uint64_t size = 1;
        if (sim_disk_bytes(disk, sim_disk_file_name(disk, i), &size)) CHECK_EQ(size, 0);
    }
    CHECK_EQ(sim_disk_open_handles(disk), 0);
}

static void check_refused(const Stream *const *streams, size_t count, nacre_status want, const char *words) {
    SimDisk *disk = sim_disk_new(4);
    nacre_options options = small(disk);
    nacre_db *db = NULL;
    nacre_error error = {0};
    CHECK_EQ(restore(&options, streams, count, NULL, 30000, &db, &error), want);
    if (!CHECK(strstr(error.text, words))) printf("# %s\n", error.text);
    check_nothing_there(disk);
    sim_disk_free(disk);
}

static void b25_streams_that_do_not_follow_each_other_are_refused(void) {
    SimDisk *disk = sim_disk_new(1), *other = sim_disk_new(2);
    nacre_options options = small(disk), other_options = small(other);
    Model model = {0}, foreign = {0};
    uint64_t random = test_seed();
    other_options.seed = 6;
    nacre_db *db = open_db(&options), *stranger = open_db(&other_options);
    REQUIRE(db && stranger);
    Stream s[4] = {0};
    for (int i = 0; i < 3; i++) {
        write_some(db, &model, &random, 20);
        s[i] = back_up_from(db, i ? &s[i - 1] : NULL, 10000);
    }
    write_some(stranger, &foreign, &random, 5);
    Stream strange = back_up(stranger);
    s[3] = back_up_from(stranger, &strange, 10000);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    CHECK_EQ(nacre_close(stranger, NULL), NACRE_OK);
    Stream cut = {s[1].bytes, s[1].size - 1, 0};
    check_refused((const Stream *[]){&s[1]}, 1, NACRE_INVALID_ARGUMENT, "first stream must be a full backup");
    check_refused((const Stream *[]){&s[0], &s[2]}, 2, NACRE_INVALID_ARGUMENT, "not the one before it");
    check_refused((const Stream *[]){&s[0], &s[2], &s[1]}, 3, NACRE_INVALID_ARGUMENT, "not the one before it");
    check_refused((const Stream *[]){&s[0], &s[1], &s[1]}, 3, NACRE_INVALID_ARGUMENT, "not the one before it");
    check_refused((const Stream *[]){&s[0], &s[0]}, 2, NACRE_INVALID_ARGUMENT, "another full backup");
    check_refused((const Stream *[]){&s[0], &s[3]}, 2, NACRE_INVALID_ARGUMENT, "another database");
    check_refused((const Stream *[]){&s[0], &cut}, 2, NACRE_CORRUPT, "not whole");
    check_refused((const Stream *[]){&cut}, 0, NACRE_CORRUPT, "empty");
    Stream text = {(uint8_t *)"this is a text, and no backup at all", 36, 0};
    check_refused((const Stream *[]){&text}, 1, NACRE_CORRUPT, "no backup");
    for (int i = 0; i < 4; i++) stream_free(&s[i]);
    stream_free(&strange);
    sim_disk_free(disk);
    sim_disk_free(other);
}

static void b25_a_database_that_is_there_is_never_overwritten(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = small(disk);
    Model model = {0};
    uint64_t random = test_seed();
    nacre_db *db = open_db(&options), *made = NULL;
    nacre_error error = {0};
    REQUIRE(db);
    write_some(db, &model, &random, 20);
    Stream stream = back_up(db);
    const Stream *streams[1] = {&stream};
    CHECK_EQ(restore(&options, streams, 1, NULL, 1000, &made, &error), NACRE_BUSY);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    CHECK_EQ(restore(&options, streams, 1, NULL, 1000, &made, &error), NACRE_EXISTS);
    sim_disk_resize(disk, "db-wal0", 100); /* nor is a damaged one */
    CHECK_EQ(restore(&options, streams, 1, NULL, 1000, &made, &error), NACRE_EXISTS);
    sim_disk_resize(disk, "db", 0);
    CHECK_EQ(restore(&options, streams, 1, NULL, 1000, &made, &error), NACRE_CORRUPT);
    stream_free(&stream);
    sim_disk_free(disk);
}

/* A backup small enough to try everything with. */
static Stream tiny_backup(Model *model) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = small(disk);
    uint64_t random = 11;
    Stream stream = {0};
    nacre_db *db = open_db(&options);
    if (!db) return stream;
    write_batch(db, model, &random, 10);
    CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    write_batch(db, model, &random, 4);
    stream = back_up(db);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
    return stream;
}

static void b25_a_stream_cut_anywhere_is_noticed(void) {
    Model model = {0};
    Stream stream = tiny_backup(&model), cut = stream;
    const Stream *streams[1] = {&cut};
    for (cut.size = 0; cut.size < stream.size; cut.size++)
        if (!CHECK_EQ(check_streams(streams, 1), NACRE_CORRUPT)) break;
    CHECK_EQ(check_streams(streams, 1), NACRE_OK);
    for (size_t at = BACKUP_PREFACE; at < stream.size;) { /* at each border of pieces, into a place */
        cut.size = at;
        check_refused(streams, 1, NACRE_CORRUPT, "not whole");
        at += get_u32(stream.bytes + at + 12);
    }
    stream_free(&stream);
}

/* Every bit: refused. And where a database is made of it, nothing is left behind. */
static void b25_a_flipped_bit_is_refused(void) {
    Model model = {0};
    Stream stream = tiny_backup(&model);
    const Stream *streams[1] = {&stream};
    SimDisk *disk = sim_disk_new(4);
    nacre_options options = small(disk);
    uint64_t bits = 8 * stream.size, random = test_seed();
    for (uint64_t bit = 0; bit < bits; bit++) {
        stream.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        nacre_status status = check_streams(streams, 1);
        if (!CHECK(status == NACRE_CORRUPT || (status == NACRE_VERSION && bit < 8 * BACKUP_PREFACE)))
            printf("# bit %" PRIu64 " of %" PRIu64 ": %d\n", bit, bits, (int)status);
        stream.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (int i = 0; i < 60; i++) {
        uint64_t bit = test_random(&random) % bits;
        nacre_db *db = NULL;
        stream.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK(restore(&options, streams, 1, NULL, 1 + test_random(&random) % 5000, &db, NULL) != NACRE_OK);
        stream.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        check_nothing_there(disk);
    }
    nacre_db *db = NULL;
    CHECK_EQ(restore(&options, streams, 1, NULL, 999, &db, NULL), NACRE_OK); /* the place is as good as new */
    if (db) CHECK_EQ(model_differences(db, NULL, &model), 0);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    printf("# %" PRIu64 " bits\n", bits);
    stream_free(&stream);
    sim_disk_free(disk);
}

/* Made up with right checksums: bodies full of nonsense hurt nobody. */
static void b25_a_made_up_stream_is_harmless(void) {
    Model model = {0};
    Stream stream = tiny_backup(&model);
    uint64_t random = test_seed();
    unsigned refused = 0;
    for (int round = 0; round < 600; round++) {
        Stream made = {0};
        const Stream *streams[1] = {&made};
        stream_add(&made, stream.bytes, stream.size);
        uint64_t chain = 0, pieces = 0, pick = test_random(&random) % 12;
        for (size_t at = BACKUP_PREFACE; at < made.size;) {
            uint8_t *piece = made.bytes + at;
            size_t size = get_u32(piece + 12);
            if (pieces == pick && size > BACKUP_PIECE_HEAD) {
                for (int n = 1 + (int)(test_random(&random) % 3); n > 0; n--)
                    piece[BACKUP_PIECE_HEAD + test_random(&random) % (size - BACKUP_PIECE_HEAD)] =
                        (uint8_t)(test_random(&random) % 3 ? test_random(&random) : 255);
                if (test_random(&random) % 4 == 0) put_u32(piece + 8, 1 + (uint32_t)(test_random(&random) % 9));
            }
            if (at + size == made.size && pieces != pick) put_u64(piece + BACKUP_PIECE_HEAD + 48, chain);
            chain = checksum64(chain, piece + 8, size - 8);
            put_u64(piece, chain);
            pieces++;
            at += size;
        }
        SimDisk *disk = sim_disk_new(4);
        nacre_options options = small(disk);
        nacre_db *db = NULL;
        nacre_status status = restore(&options, streams, 1, NULL, 50000, &db, NULL);
        if (status == NACRE_OK) { /* bytes that only a segment's own checksums tell of */
            uint64_t problems = 0;
            CHECK_EQ(nacre_verify(db, true, NULL, NULL, &problems), NACRE_OK);
            (void)nacre_close(db, NULL);
        } else {
            refused++;
            check_nothing_there(disk);
        }
        sim_disk_free(disk);
        stream_free(&made);
    }
    CHECK(refused > 100);
    stream_free(&stream);
}

/* Each call of the world, and each allocation, fails once: nothing is left behind but a place
 * that says so, or that is empty, and the next restore succeeds. */
static void b25_a_restore_that_fails_can_be_repeated(void) {
    static const int kinds[3] = {SIM_WRITE | SIM_TRUNCATE, SIM_SYNC, 0};
    Model model = {0};
    Stream stream = tiny_backup(&model);
    const Stream *streams[1] = {&stream};
    for (int kind = 0; kind < 3; kind++) {
        bool hit = true;
        uint64_t nth = 1;
        for (; hit; nth++) {
            SimDisk *disk = sim_disk_new(4);
            FailingAllocator memory;
            failing_allocator_init(&memory);
            nacre_options options = small(disk);
            options.allocator = memory.allocator;
            nacre_db *db = NULL;
            if (kinds[kind]) sim_disk_fault(disk, (SimFault){.kinds = kinds[kind], .nth = nth, .status = NACRE_IO});
            else failing_allocator_fail_at(&memory, nth, false);
            nacre_status status = restore(&options, streams, 1, NULL, 4000, &db, NULL);
            hit = kinds[kind] ? sim_disk_fault_hits(disk) > 0 : memory.failed > 0;
            sim_disk_fault(disk, (SimFault){.nth = 0});
            failing_allocator_fail_at(&memory, 0, false);
            if (status == NACRE_OK) {
                CHECK_EQ(model_differences(db, NULL, &model), 0);
                CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
            } else {
                CHECK_EQ(status, kinds[kind] ? NACRE_IO : NACRE_RESOURCE_EXHAUSTED);
                nacre_options existing = options;
                existing.mode = NACRE_EXISTING;
                status = nacre_open("db", &existing, &db, NULL);
                CHECK(status == NACRE_NOT_FOUND || status == NACRE_CORRUPT);
                if (CHECK_EQ(restore(&options, streams, 1, NULL, 4000, &db, NULL), NACRE_OK)) {
                    CHECK_EQ(model_differences(db, NULL, &model), 0);
                    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
                }
            }
            CHECK(failing_allocator_clean(&memory));
            sim_disk_free(disk);
        }
        CHECK(nth > 10);
    }
    stream_free(&stream);
}

static void b25_files_of_a_refused_restore_are_gone(void) {
    if (!test_dir()) return;
    static const char *const suffixes[4] = {"", "-wal0", "-wal1", "-lock"};
    char path[512], name[600];
    nacre_restore *restoring = NULL;
    nacre_error error;
    snprintf(path, sizeof path, "%s/refused", test_dir());
    REQUIRE(nacre_restore_begin(path, NULL, NULL, &restoring, &error) == NACRE_OK);
    CHECK_EQ(nacre_restore_write(restoring, "0123456789012345", 16), NACRE_CORRUPT);
    CHECK_EQ(nacre_restore_write(restoring, "0123456789012345", 16), NACRE_MISUSE);
    nacre_restore_abort(restoring);
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        FILE *file = fopen(name, "rb");
        if (!CHECK(file == NULL)) printf("# %s is there\n", name);
        if (file) fclose(file);
    }
}

/* ---- B26: any commit ---- */

enum { POINTS = 220, STREAMS = 40 };

typedef struct Life {
    Model *models;
    uint64_t sequence[POINTS], ms[POINTS];
    Stream full[3], streams[STREAMS], increment;
    size_t full_point[3];
    unsigned stream_count;
} Life;

static void large_row(nacre_db *db, uint32_t n) {
    nacre_schema schema = nacre_schema_kv(NACRE_TEXT, NACRE_BYTES);
    nacre_membrane *files = NULL;
    nacre_value_writer *writer = NULL;
    nacre_value key = nacre_text("large");
    static uint8_t bytes[300000];
    memset(bytes, (int)n, sizeof bytes);
    REQUIRE(nacre_membrane_open(db, "files", &schema, &files) == NACRE_OK);
    REQUIRE(nacre_value_begin(files, &key, NULL, &writer) == NACRE_OK);
    for (int i = 0; i < 5; i++) CHECK_EQ(nacre_value_append(writer, bytes, sizeof bytes), NACRE_OK);
    CHECK_EQ(nacre_value_finish(writer), NACRE_OK);
}

static void load_rows(nacre_db *db, Model *model, uint64_t *random) {
    nacre_membrane *membranes[MODEL_MEMBRANES];
    nacre_bulk *bulk = NULL;
    uint32_t keys[40];
    size_t count = 0;
    int m = (int)(test_random(random) % MODEL_MEMBRANES);
    for (uint32_t key = 0; key < KEYS && count < 40; key++)
        if (test_random(random) % 5 == 0) keys[count++] = key;
    model_sort(m, keys, count);
    REQUIRE(model_open(db, membranes) == NACRE_OK && nacre_bulk_begin(membranes[m], &bulk) == NACRE_OK);
    for (size_t i = 0; i < count; i++) {
        uint32_t version = 1 + (uint32_t)(test_random(random) % 100000);
        CHECK_EQ(model_bulk_put(bulk, m, keys[i], version), NACRE_OK);
        model->version[m][keys[i]] = version;
    }
    CHECK_EQ(nacre_bulk_commit(bulk, NULL), NACRE_OK);
}

/* Writes, loads, a large value, a dropped membrane, with backups and the archive's streams
 * between them, and what the database was after each commit. */
static bool live(Life *life, uint64_t seed) {
    static const char *const names[MODEL_MEMBRANES] = {"texts", "numbers", "vectors"};
    SimDisk *disk = sim_disk_new(seed);
    nacre_options options = small(disk);
    options.changes_size = 8 << 20;
    nacre_db *db = open_db(&options);
    nacre_archive *archive = NULL;
    uint64_t random = seed, ms = 1700000000000;
    size_t fulls = 0;
    if (!db || !(life->models = calloc(POINTS, sizeof(Model)))) return false;
    for (unsigned i = 0; i < POINTS; i++) {
        Model *model = &life->models[i];
        if (i > 0) *model = life->models[i - 1];
        ms += 1 + test_random(&random) % 2000;
        sim_disk_set_clock(disk, ms);
        if (i == 60) large_row(db, 7);
        else if (i % 40 == 20) load_rows(db, model, &random);
        else if (i == 130) {
            CHECK_EQ(nacre_membrane_drop(db, names[1]), NACRE_OK);
            memset(model->version[1], 0, sizeof model->version[1]);
        } else {
            write_batch(db, model, &random, test_random(&random) % 20 ? 20 : 300);
        }
        if (test_random(&random) % 30 == 0) CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
        if (i == 90) CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
        life->sequence[i] = newest(db);
        life->ms[i] = ms;
        if (i == 5 || i == 100 || i == 170) {
            life->full[fulls] = back_up(db);
            life->full_point[fulls++] = i;
        }
        if (i == 5 && !CHECK_EQ(nacre_archive_open(db, life->sequence[i], &archive), NACRE_OK)) return false;
        if (i == 105) life->increment = back_up_from(db, &life->full[0], 10000);
        if (archive && (test_random(&random) % 10 == 0 || i == POINTS - 1) && life->stream_count < STREAMS - (i < POINTS - 1)) {
            nacre_backup *backup = NULL;
            if (!CHECK_EQ(nacre_archive_begin(archive, &backup), NACRE_OK)) return false;
            CHECK_EQ(nacre_archive_begin(archive, &backup), NACRE_BUSY);
            Stream *stream = &life->streams[life->stream_count];
            bool given_up = test_random(&random) % 4 == 0; /* then the next one has all of it */
            if (!given_up || i == POINTS - 1) {
                nacre_status status = drain(backup, 3000, stream);
                if (!CHECK_EQ(status, NACRE_OK)) printf("# %s\n", nacre_message(db));
                life->stream_count++;
            }
            nacre_backup_end(backup);
        }
    }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK); /* with an open archive */
    sim_disk_free(disk);
    return true;
}

static void check_point(const Life *life, size_t point, nacre_restore_options until, int full) {
    const Stream *streams[STREAMS + 2];
    size_t count = 0;
    nacre_db *db = NULL;
    nacre_error error = {0};
    SimDisk *disk = sim_disk_new(7);
    nacre_options options = small(disk);
    streams[count++] = &life->full[full];
    if (full == 0 && point > 110) streams[count++] = &life->increment;
    for (unsigned i = 0; i < life->stream_count; i++) streams[count++] = &life->streams[i];
    sim_disk_set_clock(disk, 1700000000000);
    if (!CHECK_EQ(restore(&options, streams, count, &until, 1 << 20, &db, &error), NACRE_OK)) {
        printf("# point %zu: %s\n", point, error.text);
    } else {
        CHECK_EQ(newest(db), life->sequence[point]);
        int differences = model_differences(db, NULL, &life->models[point]); /* may make membranes */
        if (!CHECK_EQ(differences, 0)) printf("# point %zu\n", point);
        nacre_membrane *files = NULL;
        nacre_value_reader *reader = NULL;
        nacre_value key = nacre_text("large");
        nacre_status status = nacre_membrane_open(db, "files", NULL, &files);
        if (status == NACRE_OK) status = nacre_value_open(files, NULL, &key, &reader);
        CHECK_EQ(status, point >= 60 ? NACRE_OK : NACRE_NOT_FOUND);
        uint8_t byte = 0;
        if (reader) CHECK_EQ(nacre_value_read(reader, 1499999, &byte, 1), NACRE_OK);
        CHECK_EQ(byte, point >= 60 ? 7 : 0);
        nacre_value_close(reader);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    }
    sim_disk_free(disk);
}

static void b26_a_hundred_points_are_what_was_there_then(void) {
    Life *life = calloc(1, sizeof *life);
    uint64_t random = test_seed();
    REQUIRE(life && live(life, test_seed()));
    for (int i = 0; i < 100; i++) {
        int full = (int)(test_random(&random) % 3);
        size_t from = life->full_point[full], point = from + test_random(&random) % (POINTS - from);
        nacre_restore_options until = NACRE_RESTORE_INIT;
        if (full == 0 && point > 110) from = 105;
        if (i % 2) {
            until.sequence = life->sequence[point];
        } else { /* any moment up to the next commit */
            uint64_t next = point + 1 < POINTS ? life->ms[point + 1] : life->ms[point] + 1;
            until.time_ms = life->ms[point] + test_random(&random) % (next - life->ms[point]);
        }
        check_point(life, point, until, full);
    }
    printf("# %u streams\n", life->stream_count);

    const Stream *streams[3] = {&life->full[1], &life->streams[0], &life->streams[1]};
    nacre_restore_options until = NACRE_RESTORE_INIT;
    nacre_error error = {0};
    nacre_db *db = NULL;
    SimDisk *disk = sim_disk_new(7);
    nacre_options options = small(disk);
    until.sequence = life->sequence[50];
    CHECK_EQ(restore(&options, streams, 1, &until, 1 << 20, &db, &error), NACRE_NOT_FOUND);
    CHECK(strstr(error.text, "later than"));
    until.sequence = life->sequence[POINTS - 1];
    CHECK_EQ(restore(&options, streams, 3, &until, 1 << 20, &db, &error), NACRE_NOT_FOUND);
    CHECK(strstr(error.text, "end with"));
    until = (nacre_restore_options)NACRE_RESTORE_INIT;
    until.time_ms = life->ms[POINTS - 1] + 1;
    CHECK_EQ(restore(&options, streams, 3, &until, 1 << 20, &db, &error), NACRE_NOT_FOUND);
    CHECK(strstr(error.text, "no time as late"));
    until.time_ms = life->ms[0];
    CHECK_EQ(restore(&options, streams, 3, &until, 1 << 20, &db, &error), NACRE_NOT_FOUND);
    CHECK(strstr(error.text, "only from"));
    streams[0] = &life->full[0];
    streams[1] = &life->streams[life->stream_count - 1];
    CHECK_EQ(restore(&options, streams, 2, NULL, 1 << 20, &db, &error), NACRE_INVALID_ARGUMENT);
    CHECK(strstr(error.text, "one is missing"));
    check_nothing_there(disk);
    sim_disk_free(disk);

    for (int i = 0; i < 3; i++) stream_free(&life->full[i]);
    for (int i = 0; i < STREAMS; i++) stream_free(&life->streams[i]);
    stream_free(&life->increment);
    free(life->models);
    free(life);
}

/* What is not kept is said not to be kept, never left out. */
static void b26_what_is_not_kept_is_refused(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = small(disk);
    Model model = {0};
    uint64_t random = test_seed();
    nacre_db *db = open_db(&options);
    nacre_archive *archive = NULL;
    nacre_backup *backup = NULL;
    Stream stream = {0};
    REQUIRE(db);
    write_some(db, &model, &random, 5);
    REQUIRE(nacre_archive_open(db, newest(db), &archive) == NACRE_OK);
    uint64_t since = newest(db);
    write_some(db, &model, &random, 300);
    CHECK_EQ(nacre_archive_begin(archive, &backup), NACRE_NOT_FOUND);
    CHECK(strstr(nacre_message(db), "not all kept"));
    nacre_archive_close(archive);
    CHECK_EQ(nacre_archive_open(db, since, &archive), NACRE_NOT_FOUND);
    CHECK_EQ(nacre_archive_open(db, newest(db) + 1, &archive), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    /* A load that nobody archived. */
    options.changes_size = 1 << 20;
    REQUIRE((db = open_db(&options)) != NULL);
    write_some(db, &model, &random, 3);
    since = newest(db);
    CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    load_rows(db, &model, &random);
    REQUIRE(nacre_archive_open(db, since, &archive) == NACRE_OK);
    REQUIRE(nacre_archive_begin(archive, &backup) == NACRE_OK);
    CHECK_EQ(drain(backup, 1000, &stream), NACRE_NOT_FOUND);
    CHECK(strstr(nacre_message(db), "bulk"));
    nacre_backup_end(backup);
    nacre_archive_close(archive);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    stream_free(&stream);
    sim_disk_free(disk);
}

void backup_test(void) {
    RUN(b24_a_backup_is_the_state_at_its_lsn_while_writes_go_on);
    RUN(b24_a_backup_that_waits_holds_up_no_writer);
    RUN(b24_what_a_poisoned_handle_shows_can_be_backed_up);
    RUN(b24_an_incremental_backup_has_what_is_new);
    RUN(b24_damage_is_not_backed_up);
    RUN(b24_wrong_bases_are_refused);
    RUN(b27_one_state_gives_one_stream);
    RUN(b27_a_database_in_memory_travels);
    RUN(b25_streams_that_do_not_follow_each_other_are_refused);
    RUN(b25_a_database_that_is_there_is_never_overwritten);
    RUN(b25_a_stream_cut_anywhere_is_noticed);
    RUN(b25_a_flipped_bit_is_refused);
    RUN(b25_a_made_up_stream_is_harmless);
    RUN(b25_a_restore_that_fails_can_be_repeated);
    RUN(b25_files_of_a_refused_restore_are_gone);
    RUN(b26_a_hundred_points_are_what_was_there_then);
    RUN(b26_what_is_not_kept_is_refused);
}
