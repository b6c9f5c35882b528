/* value_test.c - large values in pieces: every size comes back, any part of it, whatever
 * happens to the row meanwhile; merges do not copy them; damage is found where it is. */
#include "lib/check.h"
#include "lib/sim_disk.h"
#include "nacre.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MIB = 1 << 20, PIECE = 256 << 10 };

static nacre_options value_options(SimDisk *disk) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.vfs = sim_disk_vfs(disk);
    options.memory = 4 << 20;
    options.memtable_size = 64 << 10;
    options.segment_size = 64 << 10;
    options.seed = 7;
    return options;
}

static nacre_db *value_db(const nacre_options *options, nacre_membrane **files) {
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    nacre_db *db = NULL;
    nacre_error error;
    if (nacre_open("db", options, &db, &error) != NACRE_OK) {
        check_that(CHECK_HERE, error.text, false);
        return NULL;
    }
    CHECK_EQ(nacre_membrane_open(db, "files", options->mode == NACRE_READ ? NULL : &schema, files), NACRE_OK);
    return db;
}

/* Bytes of a value, any part of it by itself. */
static void value_bytes(uint64_t seed, uint64_t offset, uint8_t *into, size_t size) {
    for (size_t i = 0; i < size; i++) {
        uint64_t at = offset + i, z = (at / 8 + seed * 1000003) * 0x9e3779b97f4a7c15u;
        z ^= z >> 29;
        into[i] = (uint8_t)(z * 0xbf58476d1ce4e5b9u >> at % 8 * 8);
    }
}

static nacre_status stream_in(nacre_membrane *files, int64_t number, uint64_t seed, uint64_t size, uint64_t *random,
                              const nacre_put_options *options) {
    static uint8_t chunk[100000];
    nacre_value key = nacre_integer(number);
    nacre_value_writer *writer = NULL;
    nacre_status status = nacre_value_begin(files, &key, options, &writer);
    if (status != NACRE_OK) return status;
    for (uint64_t at = 0; at < size && status == NACRE_OK;) {
        size_t part = (size_t)(test_random(random) % sizeof chunk) + 1;
        if (part > size - at) part = (size_t)(size - at);
        value_bytes(seed, at, chunk, part);
        status = nacre_value_append(writer, chunk, part);
        at += part;
    }
    if (status == NACRE_OK) return nacre_value_finish(writer);
    nacre_value_abort(writer);
    return status;
}

static bool reads_as(nacre_value_reader *reader, uint64_t seed, uint64_t size, uint64_t *random) {
    static uint8_t got[300000], want[300000];
    if (!CHECK_EQ(nacre_value_size(reader), size)) return false;
    for (uint64_t at = 0; at < size;) { /* all of it in order */
        size_t part = size - at < sizeof got ? (size_t)(size - at) : sizeof got;
        if (!CHECK_EQ(nacre_value_read(reader, at, got, part), NACRE_OK)) return false;
        value_bytes(seed, at, want, part);
        if (!CHECK(memcmp(got, want, part) == 0)) return false;
        at += part;
    }
    for (int i = 0; i < 10 && size > 0; i++) { /* and parts of it anywhere */
        uint64_t at = test_random(random) % size;
        size_t part = (size_t)(test_random(random) % 1000);
        if (part > size - at) part = (size_t)(size - at);
        if (!CHECK_EQ(nacre_value_read(reader, at, got, part), NACRE_OK)) return false;
        value_bytes(seed, at, want, part);
        if (!CHECK(memcmp(got, want, part) == 0)) return false;
    }
    CHECK_EQ(nacre_value_read(reader, size, got, 0), NACRE_OK);
    CHECK_EQ(nacre_value_read(reader, size, got, 1), NACRE_INVALID_ARGUMENT);
    return CHECK_EQ(nacre_value_read(reader, UINT64_MAX, got, 2), NACRE_INVALID_ARGUMENT);
}

static bool streams_out(nacre_membrane *files, int64_t number, uint64_t seed, uint64_t size, uint64_t *random) {
    nacre_value key = nacre_integer(number);
    nacre_value_reader *reader = NULL;
    if (!CHECK_EQ(nacre_value_open(files, NULL, &key, &reader), NACRE_OK)) return false;
    bool right = reads_as(reader, seed, size, random);
    nacre_value_close(reader);
    return right;
}

static uint64_t value_stat(nacre_db *db, const char *name) {
    const char *json = NULL;
    char wanted[40];
    snprintf(wanted, sizeof wanted, "\"%s\":", name);
    if (!CHECK_EQ(nacre_stats_json(db, &json), NACRE_OK)) return 0;
    const char *at = strstr(json, wanted);
    if (!check_that(CHECK_HERE, name, at != NULL)) return 0;
    return strtoull(at + strlen(wanted), NULL, 10);
}

static void nothing_wrong(nacre_db *db) {
    uint64_t problems = 0;
    CHECK_EQ(nacre_verify(db, true, NULL, NULL, &problems), NACRE_OK);
    CHECK_EQ(problems, 0);
}

static const uint64_t sizes[] = {0,           1,           1000,          5000,          MIB - 1, MIB, MIB + 1,
                                 MIB + PIECE, 5 * PIECE - 1, 3 * MIB + 12345};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void c16_values_of_every_size_come_back(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = value_options(disk);
    nacre_membrane *files = NULL;
    nacre_db *db = value_db(&options, &files);
    uint64_t random = test_seed();
    REQUIRE(db);
    for (int64_t i = 0; i < SIZES; i++) CHECK_EQ(stream_in(files, i, (uint64_t)i + 1, sizes[i], &random, NULL), NACRE_OK);
    for (int round = 0; round < 4; round++) {
        nacre_row row;
        uint64_t count = 0;
        for (int64_t i = 0; i < SIZES; i++) {
            static uint8_t want[4 * MIB];
            nacre_value key = nacre_integer(i);
            CHECK(streams_out(files, i, (uint64_t)i + 1, sizes[i], &random));
            nacre_status status = nacre_get(files, NULL, &key, &row);
            if (sizes[i] > MIB + MIB / 2) continue; /* a budget of 4 MiB holds no copy of the larger ones */
            if (!CHECK_EQ(status, NACRE_OK)) continue;
            value_bytes((uint64_t)i + 1, 0, want, (size_t)sizes[i]);
            CHECK_EQ(row.fields[0].bytes.size, sizes[i]);
            CHECK(sizes[i] == 0 || memcmp(row.fields[0].bytes.data, want, (size_t)sizes[i]) == 0);
        }
        CHECK_EQ(nacre_count(files, NULL, NULL, &count), NACRE_OK);
        CHECK_EQ(count, SIZES);
        nothing_wrong(db);
        if (round == 0) CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
        if (round == 1) CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
        if (round != 2) continue;
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        db = value_db(&options, &files);
        REQUIRE(db);
    }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* A value many times the budget goes in and comes out. */
static void c16_a_value_larger_than_memory(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = value_options(disk);
    options.memory = 2 << 20;
    nacre_membrane *files = NULL;
    nacre_db *db = value_db(&options, &files);
    uint64_t random = test_seed(), size = 20 * MIB + 77;
    REQUIRE(db);
    CHECK_EQ(stream_in(files, 1, 9, size, &random, NULL), NACRE_OK);
    CHECK(streams_out(files, 1, 9, size, &random));
    CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    CHECK(streams_out(files, 1, 9, size, &random));
    nothing_wrong(db);
    CHECK(value_stat(db, "peakMemory") <= options.memory);
    nacre_value key = nacre_integer(1);
    nacre_row row;
    CHECK_EQ(nacre_get(files, NULL, &key, &row), NACRE_RESOURCE_EXHAUSTED);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* An open reader keeps what it reads: over overwriting, deleting, compacting, dropping. */
static void c16_a_reader_keeps_its_value(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = value_options(disk);
    nacre_membrane *files = NULL;
    nacre_db *db = value_db(&options, &files);
    uint64_t random = test_seed();
    REQUIRE(db);
    nacre_value_reader *readers[4] = {NULL};
    static const uint64_t kept[4] = {100, 2000, 200000, 2 * MIB + 5};
    nacre_value keys[4];
    for (int64_t i = 0; i < 4; i++) {
        keys[i] = nacre_integer(i);
        CHECK_EQ(stream_in(files, i, 50 + (uint64_t)i, kept[i], &random, NULL), NACRE_OK);
        CHECK_EQ(nacre_value_open(files, NULL, &keys[i], &readers[i]), NACRE_OK);
    }
    for (int step = 0; step < 5; step++) {
        for (int i = 0; i < 4; i++) CHECK(reads_as(readers[i], 50 + (uint64_t)i, kept[i], &random));
        for (int64_t i = 0; i < 4 && step == 0; i++)
            CHECK_EQ(stream_in(files, i, 90 + (uint64_t)i, kept[3 - i], &random, NULL), NACRE_OK);
        for (int i = 0; i < 4 && step == 1; i++) CHECK_EQ(nacre_delete(files, &keys[i]), NACRE_OK);
        if (step == 2) CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
        if (step == 3) CHECK_EQ(nacre_membrane_drop(db, "files"), NACRE_OK);
        if (step == 3) CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    }
    for (int i = 0; i < 3; i++) nacre_value_close(readers[i]); /* the last one: by closing */
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* Merging moves references; deleting and overwriting give the room back. */
static void c16_merges_take_large_values_over_uncopied(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = value_options(disk);
    nacre_membrane *files = NULL;
    nacre_db *db = value_db(&options, &files);
    uint64_t random = test_seed();
    REQUIRE(db);
    for (int64_t i = 0; i < 6; i++) CHECK_EQ(stream_in(files, 10 * i, 1, 2 * MIB, &random, NULL), NACRE_OK);
    for (int64_t i = 0; i < 60; i++) {
        nacre_value key = nacre_integer(i), value = nacre_bytes(sizes, 40);
        if (i % 10) CHECK_EQ(nacre_put(files, &key, NULL, &value), NACRE_OK);
    }
    uint64_t written = value_stat(db, "dataBytes");
    CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    CHECK(value_stat(db, "dataBytes") - written < MIB); /* of 12 */
    CHECK_EQ(value_stat(db, "runs"), 1);
    for (int64_t i = 0; i < 6; i++) CHECK(streams_out(files, 10 * i, 1, 2 * MIB, &random));
    uint64_t size = value_stat(db, "size");
    CHECK(size > 12 * MIB && size < 14 * MIB);
    for (int64_t i = 0; i < 3; i++) {
        nacre_value key = nacre_integer(10 * i);
        CHECK_EQ(nacre_delete(files, &key), NACRE_OK);
    }
    CHECK_EQ(stream_in(files, 30, 2, 1000, &random, NULL), NACRE_OK);
    CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    CHECK(value_stat(db, "size") < 6 * MIB);
    for (int64_t i = 4; i < 6; i++) CHECK(streams_out(files, 10 * i, 1, 2 * MIB, &random));
    CHECK(streams_out(files, 30, 2, 1000, &random));
    nothing_wrong(db);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* A large value through put is the same in the file as one that was streamed. */
static void c16_large_puts_have_pieces_too(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = value_options(disk);
    options.memory = 32 << 20;
    nacre_membrane *files = NULL;
    nacre_db *db = value_db(&options, &files);
    uint64_t random = test_seed(), size = 2 * MIB + 1;
    REQUIRE(db);
    uint8_t *bytes = malloc((size_t)size);
    REQUIRE(bytes);
    value_bytes(5, 0, bytes, (size_t)size);
    for (int64_t i = 0; i < 3; i++) {
        nacre_value key = nacre_integer(i), value = nacre_bytes(bytes, (size_t)size);
        CHECK_EQ(nacre_put(files, &key, NULL, &value), NACRE_OK);
        CHECK(streams_out(files, i, 5, size, &random)); /* from the memtable */
    }
    free(bytes);
    CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    uint64_t written = value_stat(db, "dataBytes");
    CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    CHECK(value_stat(db, "dataBytes") - written < MIB);
    for (int64_t i = 0; i < 3; i++) CHECK(streams_out(files, i, 5, size, &random));
    nothing_wrong(db);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

static void last_problem(void *self, const char *where, uint64_t offset, const char *what) {
    (void)where, (void)offset;
    snprintf(self, 200, "%s", what);
}

/* A bit that flipped spoils its piece and no other; verify names it. */
static void c16_damage_is_found_in_its_piece(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = value_options(disk);
    nacre_membrane *files = NULL;
    nacre_db *db = value_db(&options, &files);
    uint64_t random = test_seed(), size = 4 * PIECE + 100, file_size = 0, found = 0;
    REQUIRE(db);
    CHECK_EQ(stream_in(files, 1, 3, size, &random, NULL), NACRE_OK);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    uint8_t needle[16];
    value_bytes(3, 2 * PIECE + 5, needle, sizeof needle);
    const uint8_t *bytes = sim_disk_bytes(disk, "db", &file_size);
    for (uint64_t i = 0; i + sizeof needle < file_size && !found; i++)
        if (memcmp(bytes + i, needle, sizeof needle) == 0) found = i;
    REQUIRE(found > 0);
    sim_disk_flip(disk, "db", 8 * found);
    db = value_db(&options, &files);
    REQUIRE(db);
    nacre_value key = nacre_integer(1);
    nacre_value_reader *reader = NULL;
    nacre_row row;
    static uint8_t got[PIECE], want[PIECE];
    CHECK_EQ(nacre_value_open(files, NULL, &key, &reader), NACRE_OK);
    for (uint64_t piece = 0; piece < 4; piece++) {
        CHECK_EQ(nacre_value_read(reader, piece * PIECE, got, PIECE), piece == 2 ? NACRE_CORRUPT : NACRE_OK);
        value_bytes(3, piece * PIECE, want, PIECE);
        if (piece != 2) CHECK(memcmp(got, want, PIECE) == 0);
    }
    CHECK_EQ(nacre_value_read(reader, 2 * PIECE + 1, got, 10), NACRE_CORRUPT); /* nor a part of it */
    CHECK_EQ(nacre_value_read(reader, 3 * PIECE + 1, got, 10), NACRE_OK);
    nacre_value_close(reader);
    CHECK_EQ(nacre_get(files, NULL, &key, &row), NACRE_CORRUPT);
    char problem[200] = "";
    uint64_t problems = 0;
    CHECK_EQ(nacre_verify(db, true, last_problem, problem, &problems), NACRE_OK);
    CHECK_EQ(problems, 1);
    CHECK(strstr(problem, "checksum") != NULL);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

static void c16_streamed_values_expire(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = value_options(disk);
    nacre_membrane *files = NULL;
    sim_disk_set_clock(disk, 1000000);
    nacre_db *db = value_db(&options, &files);
    uint64_t random = test_seed();
    REQUIRE(db);
    nacre_put_options put = NACRE_PUT_INIT;
    put.ttl_ms = 5000;
    static const uint64_t both[2] = {300, 2 * MIB};
    for (int64_t i = 0; i < 2; i++) CHECK_EQ(stream_in(files, i, 1, both[i], &random, &put), NACRE_OK);
    sim_disk_set_clock(disk, 1004999);
    for (int64_t i = 0; i < 2; i++) CHECK(streams_out(files, i, 1, both[i], &random));
    sim_disk_set_clock(disk, 1005000);
    for (int64_t i = 0; i < 2; i++) {
        nacre_value key = nacre_integer(i);
        nacre_value_reader *reader = NULL;
        CHECK_EQ(nacre_value_open(files, NULL, &key, &reader), NACRE_NOT_FOUND);
    }
    CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    CHECK(value_stat(db, "size") < MIB);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

static void c16_what_cannot_be_streamed_is_refused(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = value_options(disk);
    options.database_size = 3 * MIB;
    nacre_membrane *files = NULL, *texts = NULL;
    nacre_db *db = value_db(&options, &files);
    uint64_t random = test_seed();
    REQUIRE(db);
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_TEXT);
    nacre_value key = nacre_integer(1), wrong = nacre_text("one");
    nacre_value_writer *writer = NULL;
    nacre_value_reader *reader = NULL;
    CHECK_EQ(nacre_membrane_open(db, "texts", &schema, &texts), NACRE_OK);
    CHECK_EQ(nacre_value_begin(texts, &key, NULL, &writer), NACRE_UNSUPPORTED);
    CHECK_EQ(nacre_value_open(texts, NULL, &key, &reader), NACRE_UNSUPPORTED);
    CHECK_EQ(nacre_value_open(files, NULL, &key, &reader), NACRE_NOT_FOUND);
    CHECK_EQ(nacre_value_begin(files, &wrong, NULL, &writer), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_value_begin(files, &key, NULL, NULL), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_value_begin(NULL, &key, NULL, &writer), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_value_append(NULL, "", 0), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_value_finish(NULL), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_value_read(NULL, 0, NULL, 0), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_value_size(NULL), 0);
    nacre_value_abort(NULL);
    nacre_value_close(NULL);
#if SIZE_MAX > UINT32_MAX
    CHECK_EQ(nacre_value_begin(files, &key, NULL, &writer), NACRE_OK);
    CHECK_EQ(nacre_value_append(writer, "x", ((size_t)4 << 30) + 1), NACRE_INVALID_ARGUMENT);
    CHECK(strstr(nacre_message(db), "4294967296") != NULL);
    CHECK_EQ(nacre_value_finish(writer), NACRE_MISUSE);
#endif
    /* A file that is full: nothing of it stays. */
    CHECK_EQ(stream_in(files, 1, 1, 4 * MIB, &random, NULL), NACRE_QUOTA);
    CHECK_EQ(nacre_value_open(files, NULL, &key, &reader), NACRE_NOT_FOUND);
    CHECK_EQ(stream_in(files, 1, 1, MIB + 1, &random, NULL), NACRE_OK);
    CHECK(streams_out(files, 1, 1, MIB + 1, &random));
    CHECK_EQ(nacre_value_begin(files, &key, NULL, &writer), NACRE_OK); /* left to close */
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* The same large value, in memory then and in pieces now, is no conflict; another one is. */
static void c16_transactions_compare_large_values(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = value_options(disk);
    options.memory = 64 << 20;
    nacre_membrane *files = NULL;
    nacre_db *db = value_db(&options, &files);
    uint8_t *bytes = malloc(2 * MIB);
    REQUIRE(db && bytes);
    value_bytes(5, 0, bytes, 2 * MIB);
    for (int changed = 0; changed < 2; changed++) {
        nacre_value key = nacre_integer(1), value = nacre_bytes(bytes, 2 * MIB), small = nacre_bytes("x", 1);
        nacre_transaction *tx = NULL;
        CHECK_EQ(nacre_put(files, &key, NULL, &value), NACRE_OK);
        CHECK_EQ(nacre_begin(db, &tx), NACRE_OK);
        CHECK_EQ(nacre_transaction_put(tx, files, &key, NULL, &small), NACRE_OK);
        bytes[MIB + 7] ^= (uint8_t)changed;
        if (changed) CHECK_EQ(nacre_put(files, &key, NULL, &value), NACRE_OK);
        CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
        CHECK_EQ(nacre_commit(tx), changed ? NACRE_CONFLICT : NACRE_OK);
    }
    free(bytes);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* NACRE_LONG=1: 4 GiB in and out within a budget of 64 MiB, and not one byte more. */
static void c16_four_gibibytes(void) {
    const char *dir = test_dir(), *wanted = getenv("NACRE_LONG");
    if (!dir || !wanted || !*wanted) return;
    nacre_options options = NACRE_OPTIONS_INIT;
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    nacre_membrane *files = NULL;
    nacre_db *db = NULL;
    nacre_error error;
    char path[500];
    uint64_t size = (uint64_t)4 << 30;
    snprintf(path, sizeof path, "%s/large", dir);
    options.memory = 64 << 20;
    REQUIRE(nacre_open(path, &options, &db, &error) == NACRE_OK);
    CHECK_EQ(nacre_membrane_open(db, "files", &schema, &files), NACRE_OK);
    static uint8_t chunk[MIB], want[MIB];
    nacre_value key = nacre_integer(1);
    nacre_value_writer *writer = NULL;
    nacre_value_reader *reader = NULL;
    nacre_row row;
    CHECK_EQ(nacre_value_begin(files, &key, NULL, &writer), NACRE_OK);
    for (uint64_t at = 0; at < size; at += MIB) {
        value_bytes(at / MIB, 0, chunk, 4096);
        if (!CHECK_EQ(nacre_value_append(writer, chunk, MIB), NACRE_OK)) break;
    }
    CHECK_EQ(nacre_value_append(writer, "", 0), NACRE_OK);
    CHECK_EQ(nacre_value_finish(writer), NACRE_OK);
    for (int round = 0; round < 2; round++) {
        CHECK_EQ(nacre_value_open(files, NULL, &key, &reader), NACRE_OK);
        CHECK(nacre_value_size(reader) == size);
        for (uint64_t at = 0; at < size; at += MIB) {
            value_bytes(at / MIB, 0, want, 4096);
            if (!CHECK_EQ(nacre_value_read(reader, at, chunk, MIB), NACRE_OK)) break;
            if (!CHECK(memcmp(chunk, want, MIB) == 0)) break;
        }
        nacre_value_close(reader);
        if (round == 0) CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    }
    CHECK_EQ(nacre_get(files, NULL, &key, &row), NACRE_RESOURCE_EXHAUSTED);
    CHECK(strstr(nacre_message(db), "stream") != NULL);
    CHECK(value_stat(db, "peakMemory") <= options.memory);
    CHECK_EQ(nacre_value_begin(files, &key, NULL, &writer), NACRE_OK);
    nacre_status status = NACRE_OK;
    for (uint64_t at = 0; at < size && status == NACRE_OK; at += MIB) status = nacre_value_append(writer, chunk, MIB);
    CHECK_EQ(status, NACRE_OK);
    CHECK_EQ(nacre_value_append(writer, "x", 1), NACRE_INVALID_ARGUMENT);
    nacre_value_abort(writer);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

void value_test(void) {
    RUN(c16_values_of_every_size_come_back);
    RUN(c16_a_value_larger_than_memory);
    RUN(c16_a_reader_keeps_its_value);
    RUN(c16_merges_take_large_values_over_uncopied);
    RUN(c16_large_puts_have_pieces_too);
    RUN(c16_damage_is_found_in_its_piece);
    RUN(c16_streamed_values_expire);
    RUN(c16_what_cannot_be_streamed_is_refused);
    RUN(c16_transactions_compare_large_values);
    RUN(c16_four_gibibytes);
}
