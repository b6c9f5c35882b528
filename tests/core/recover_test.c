/* recover_test.c - logs whose frames are right by their checksums and wrong in what they say
 * (B20, H19): who can write to the file can make them. Each is refused as damage with its
 * place, in every mode, and nothing is written to a database that is refused. */
#include "base/checksum.h"
#include "base/codec.h"
#include "lib/check.h"
#include "lib/failing_allocator.h"
#include "lib/sim_disk.h"
#include "log/wal_format.h"
#include "memtable/record_format.h"
#include "nacre.h"
#include "store/extents.h"
#include "store/superblock_format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG "db-wal1"

static nacre_status open_db(SimDisk *disk, nacre_mode mode, nacre_db **db, nacre_error *error) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.vfs = sim_disk_vfs(disk);
    options.mode = mode;
    options.seed = 3;
    *error = (nacre_error){NACRE_OK, ""};
    return nacre_open("db", &options, db, error);
}

/* A database whose log ends with two frames: the row "a" = "12345678", and again, with "b", as
 * one batch. It was never closed, or closing would have emptied the log. */
static SimDisk *database(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_db *db = NULL;
    nacre_error error;
    nacre_membrane *kv = NULL;
    nacre_batch *batch = NULL;
    nacre_schema schema = nacre_schema_kv(NACRE_TEXT, NACRE_TEXT);
    nacre_value a = nacre_text("a"), b = nacre_text("b"), value = nacre_text("12345678");
    CHECK_EQ(open_db(disk, NACRE_READWRITE, &db, &error), NACRE_OK);
    CHECK_EQ(nacre_membrane_open(db, "kv", &schema, &kv), NACRE_OK);
    CHECK_EQ(nacre_put(kv, &a, NULL, &value), NACRE_OK);
    CHECK_EQ(nacre_batch_begin(db, &batch), NACRE_OK);
    CHECK_EQ(nacre_batch_put(batch, kv, &a, NULL, &value), NACRE_OK);
    CHECK_EQ(nacre_batch_put(batch, kv, &b, NULL, &value), NACRE_OK);
    CHECK_EQ(nacre_batch_commit(batch), NACRE_OK);
    SimDisk *killed = sim_disk_clone(disk);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
    return killed;
}

/* The log as it lies in the file, to be changed. */
typedef struct Log {
    uint8_t *bytes;
    size_t size;
    uint64_t salt;
    uint8_t *frame, *batch, *record, *second; /* of the last frame */
    size_t frame_size;
} Log;

static Log log_of(const SimDisk *disk) {
    uint64_t size = 0;
    const uint8_t *bytes = sim_disk_bytes(disk, LOG, &size);
    Log log = {.bytes = malloc((size_t)size + 65536), .size = (size_t)size};
    memcpy(log.bytes, bytes, log.size);
    memset(log.bytes + log.size, 0, 65536);
    log.salt = get_u64(bytes + 40);
    for (size_t at = WAL_HEAD; at < log.size; at += get_u32(log.bytes + at + 12)) log.frame = log.bytes + at;
    log.frame_size = get_u32(log.frame + 12);
    log.batch = log.frame + FRAME_HEAD;
    log.record = log.batch + BATCH_HEAD;
    log.second = log.record + record_size(record_key_size(log.record), record_value_size(log.record));
    return log;
}

static void seal(const Log *log, uint8_t *frame) {
    put_u64(frame, checksum64(log->salt, frame + 8, get_u32(frame + 12) - 8));
}

/* Opens a copy of the database with this log in it. Twice, for reading and for writing. */
static void expect(const SimDisk *base, const Log *log, nacre_status want, const char *words) {
    for (int mode = 0; mode < 2; mode++) {
        SimDisk *disk = sim_disk_clone(base);
        sim_disk_put(disk, LOG, log->bytes, log->size);
        uint64_t before = sim_disk_hash(disk);
        nacre_db *db = NULL;
        nacre_error error;
        nacre_status status = open_db(disk, mode ? NACRE_READWRITE : NACRE_READ, &db, &error);
        CHECK_EQ(status, want);
        if (want != NACRE_OK && !CHECK(strstr(error.text, words))) printf("  %s\n", error.text);
        if (want != NACRE_OK) CHECK_EQ(sim_disk_hash(disk), before);
        (void)nacre_close(db, NULL);
        CHECK_EQ(sim_disk_open_handles(disk), 0);
        sim_disk_free(disk);
    }
}

/* Each way of lying within a frame. */
typedef enum Lie {
    LIE_NONE,
    LIE_BATCH_SMALL, LIE_BATCH_LARGE, LIE_BATCH_ODD, LIE_BATCH_ENDS_EARLY,
    LIE_LSN_OLD, LIE_LSN_AHEAD, LIE_FRAME_LSN, LIE_LSN_FAR,
    LIE_COUNT_LARGE, LIE_COUNT_SMALL,
    LIE_LINK, LIE_STAMP, LIE_FLAGS, LIE_KEY_PREFIX, LIE_KEY_HUGE,
} Lie;

static void tell(Log *log, Lie lie) {
    size_t batch_size = get_u32(log->batch), record = (size_t)(log->second - log->record);
    uint64_t lsn = get_u64(log->batch + 8);
    switch (lie) {
        case LIE_NONE: break;
        case LIE_BATCH_SMALL: put_u32(log->batch, BATCH_HEAD - 4); break;
        case LIE_BATCH_LARGE: put_u32(log->batch, (uint32_t)batch_size + 4); break;
        case LIE_BATCH_ODD: put_u32(log->batch, (uint32_t)batch_size - 2); break;
        case LIE_BATCH_ENDS_EARLY: /* the last record is as much shorter: 8 bytes are no batch */
            put_u32(log->batch, (uint32_t)batch_size - 8);
            put_u32(log->second + 4, record_value_size(log->second) - 8);
            break;
        case LIE_LSN_OLD: put_u64(log->batch + 8, 1); break;
        case LIE_LSN_AHEAD: put_u64(log->batch + 8, lsn + 1); break;
        case LIE_FRAME_LSN: put_u64(log->frame + 16, lsn + 1); break;
        case LIE_LSN_FAR:
            put_u64(log->frame + 16, lsn + (UINT64_C(1) << 32));
            put_u64(log->batch + 8, lsn + (UINT64_C(1) << 32));
            break;
        case LIE_COUNT_LARGE: put_u32(log->batch + 4, UINT32_MAX); break;
        case LIE_COUNT_SMALL: put_u32(log->batch + 4, 1); break;
        case LIE_LINK: put_u32(log->record + 8, 1); break;
        case LIE_STAMP: put_u32(log->record + 12, 1); break;
        case LIE_FLAGS: put_u32(log->record, record_key_size(log->record) | 4u << 24); break;
        case LIE_KEY_PREFIX: /* of the row that is there already */
            put_u32(log->record, record_key_size(log->record) - 1);
            put_u32(log->record + 4, record_value_size(log->record) + 1);
            break;
        case LIE_KEY_HUGE: put_u32(log->record, (uint32_t)record * 100); break;
    }
    seal(log, log->frame);
}

static void b20_a_frame_that_lies_is_damage(void) {
    static const struct {
        Lie lie;
        const char *words;
    } rows[] = {
        {LIE_BATCH_SMALL, "batch: size"},     {LIE_BATCH_LARGE, "batch: size"},
        {LIE_BATCH_ODD, "batch: size"},       {LIE_BATCH_ENDS_EARLY, "batch: cut short"},
        {LIE_LSN_OLD, "batch: LSN"},          {LIE_LSN_AHEAD, "batch: LSN"},
        {LIE_FRAME_LSN, "frame: LSN"},        {LIE_LSN_FAR, "record: key"},
        {LIE_COUNT_LARGE, "batch: count"},    {LIE_COUNT_SMALL, "bytes left over"},
        {LIE_LINK, "record: malformed"},      {LIE_STAMP, "record: malformed"},
        {LIE_FLAGS, "record: of a later"},    {LIE_KEY_PREFIX, "record: key"},
        {LIE_KEY_HUGE, "record: malformed"},
    };
    SimDisk *disk = database();
    Log log = log_of(disk);
    tell(&log, LIE_NONE);
    expect(disk, &log, NACRE_OK, "");
    free(log.bytes);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        log = log_of(disk);
        tell(&log, rows[i].lie);
        expect(disk, &log, NACRE_CORRUPT, rows[i].words);
        free(log.bytes);
    }
    sim_disk_free(disk);
}

/* Another frame behind the last one: its LSN, and what it says was before it. */
static uint8_t *add_frame(Log *log, uint32_t kind, uint32_t size, uint64_t lsn) {
    uint8_t *frame = log->bytes + log->size;
    memset(frame, 0, size);
    put_u32(frame + 8, kind);
    put_u32(frame + 12, size);
    put_u64(frame + 16, lsn);
    put_u64(frame + 24, get_u64(log->frame + 16));
    put_u64(frame + 32, get_u64(log->frame + 32));
    seal(log, frame);
    log->size += size;
    return frame;
}

static void b20_a_cut_that_lies_is_damage(void) {
    SimDisk *disk = database();
    Log log = log_of(disk);
    uint64_t lsn = get_u64(log.frame + 16);
    add_frame(&log, FRAME_CUT, FRAME_HEAD + 8, lsn + 5);
    expect(disk, &log, NACRE_OK, "");
    log.size -= FRAME_HEAD + 8;
    add_frame(&log, FRAME_CUT, FRAME_HEAD + 12, lsn + 5);
    expect(disk, &log, NACRE_CORRUPT, "a cut of 12 bytes");
    free(log.bytes);
    /* So near the end of all LSNs that no gap fits behind it: only a writer needs one. */
    log = log_of(disk);
    add_frame(&log, FRAME_CUT, FRAME_HEAD + 8, UINT64_MAX - 9);
    SimDisk *copy = sim_disk_clone(disk);
    sim_disk_put(copy, LOG, log.bytes, log.size);
    uint64_t before = sim_disk_hash(copy);
    nacre_db *db = NULL;
    nacre_error error;
    CHECK_EQ(open_db(copy, NACRE_READWRITE, &db, &error), NACRE_CORRUPT);
    CHECK(strstr(error.text, "LSN"));
    CHECK_EQ(sim_disk_hash(copy), before);
    sim_disk_free(copy);
    free(log.bytes);
    sim_disk_free(disk);
}

/* Torn bytes full of heads that each claim all that follows: the search for a frame among
 * them ends, and it is not for long. */
static void h19_frames_within_frames_are_damage_soon(void) {
    enum { TAIL = 32768 };
    SimDisk *disk = database();
    Log log = log_of(disk);
    uint8_t *tail = log.bytes + log.size;
    for (size_t at = 0; at < TAIL; at += 16) {
        put_u32(tail + at + 8, FRAME_BATCHES);
        put_u32(tail + at + 12, (uint32_t)(TAIL - at));
    }
    log.size += TAIL;
    expect(disk, &log, NACRE_CORRUPT, "frames within frames");
    free(log.bytes);
    sim_disk_free(disk);
}

/* A header that says another version is no header while the other one is good; and two are a
 * database of another version. */
static void a_header_of_another_version_counts_when_there_is_no_other(void) {
    static const uint32_t versions[2] = {0, WAL_VERSION + 1};
    SimDisk *disk = database();
    for (int i = 0; i < 4; i++) {
        Log log = log_of(disk);
        for (int copy = 0; copy < 1 + i % 2; copy++) {
            uint8_t *header = log.bytes + (copy ? WAL_HEADER_COPY : 0);
            put_u32(header + 8, versions[i / 2]);
            put_u64(header + WAL_HEADER_SIZE - 8, checksum64(0, header, WAL_HEADER_SIZE - 8));
        }
        expect(disk, &log, i % 2 ? NACRE_VERSION : NACRE_OK, "another format version");
        free(log.bytes);
    }
    sim_disk_free(disk);
}

/* ---- superblocks that lie ---- */

/* Fields of a superblock (superblock_format.h). */
enum { AT_GENERATION = 32, AT_EPOCH = 40, AT_FLUSHED = 48, AT_SIZE = 64, AT_CHECKSUM = 72, AT_FIRST = 84 };

typedef struct File {
    uint8_t *bytes;
    size_t size;
} File;

static File file_of(const SimDisk *disk) {
    uint64_t size = 0;
    const uint8_t *bytes = sim_disk_bytes(disk, "db", &size);
    File file = {malloc((size_t)size), (size_t)size};
    memcpy(file.bytes, bytes, file.size);
    return file;
}

/* Writes a number into both superblocks, or one, and makes their checksums right. */
static void lie(File *file, int first, int last, size_t at, uint64_t value, size_t size) {
    for (int i = first; i <= last; i++) {
        uint8_t *slot = file->bytes + (i ? SUPERBLOCK_SLOT : 0);
        if (size == 8) put_u64(slot + at, value);
        else put_u32(slot + at, (uint32_t)value);
        put_u64(slot + SUPERBLOCK_SIZE - 8, checksum64(0, slot, SUPERBLOCK_SIZE - 8));
    }
}

/* *epoch: of the newest superblock afterwards. */
static nacre_status open_file(const SimDisk *base, File *file, nacre_error *error, uint64_t *epoch) {
    SimDisk *disk = sim_disk_clone(base);
    nacre_db *db = NULL;
    sim_disk_put(disk, "db", file->bytes, file->size);
    uint64_t before = sim_disk_hash(disk);
    nacre_status status = open_db(disk, NACRE_READWRITE, &db, error);
    if (status != NACRE_OK) CHECK_EQ(sim_disk_hash(disk), before);
    (void)nacre_close(db, NULL);
    uint64_t size = 0;
    const uint8_t *slots = sim_disk_bytes(disk, "db", &size);
    *epoch = get_u64(slots + (get_u64(slots + SUPERBLOCK_SLOT + AT_GENERATION) > get_u64(slots + AT_GENERATION) ? SUPERBLOCK_SLOT : 0) + AT_EPOCH);
    CHECK_EQ(sim_disk_open_handles(disk), 0);
    sim_disk_free(disk);
    return status;
}

/* Rows in segments, both superblocks know them, logs that begin behind them. */
static SimDisk *settled(void) {
    SimDisk *disk = database();
    nacre_db *db = NULL;
    nacre_error error;
    CHECK_EQ(open_db(disk, NACRE_READWRITE, &db, &error), NACRE_OK);
    CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    return disk;
}

static void b20_superblocks_that_lie_are_damage(void) {
    SimDisk *disk = settled();
    File file = file_of(disk), right = file_of(disk);
    nacre_error error;
    uint64_t epoch = 0, usual = 0;
    const uint64_t sizes[3] = {UINT64_MAX, right.size + 1, (uint64_t)EXTENT_SIZE + 1};
    CHECK_EQ(open_file(disk, &file, &error, &usual), NACRE_OK);
    for (int i = 0; i < 3; i++) { /* larger than the file, or than its extents */
        memcpy(file.bytes, right.bytes, right.size);
        lie(&file, 0, 1, AT_SIZE, sizes[i], 8);
        CHECK_EQ(open_file(disk, &file, &error, &epoch), NACRE_CORRUPT);
        CHECK(strstr(error.text, "manifest"));
    }
    /* Each manifest is where a segment lies already, for which there is room in the extent. */
    memcpy(file.bytes, right.bytes, right.size);
    for (int i = 0; i < 2; i++) {
        uint8_t *slot = file.bytes + (i ? SUPERBLOCK_SLOT : 0), *manifest = file.bytes + (size_t)get_u32(slot + AT_FIRST) * EXTENT_SIZE;
        uint32_t used = 0;
        size_t size = (size_t)get_u64(slot + AT_SIZE);
        for (size_t at = 0; at + 28 <= size && !used; at += 4) /* a stream: kind 0, 0, size, one run of extents */
            if (get_u64(manifest + at) == 0 && get_u64(manifest + at + 8) > 0 && get_u64(manifest + at + 8) <= EXTENT_SIZE &&
                get_u32(manifest + at + 16) == 1 && get_u32(manifest + at + 24) == 1)
                used = get_u32(manifest + at + 20);
        if (!CHECK(used > 0 && used < right.size / EXTENT_SIZE)) break;
        memmove(file.bytes + (size_t)used * EXTENT_SIZE, right.bytes + (manifest - file.bytes), size);
        lie(&file, i, i, AT_FIRST, used, 4);
    }
    CHECK_EQ(open_file(disk, &file, &error, &epoch), NACRE_CORRUPT);
    if (!CHECK(strstr(error.text, "used twice"))) printf("  %s\n", error.text);
    /* They know less than the logs say that they knew. */
    memcpy(file.bytes, right.bytes, right.size);
    lie(&file, 0, 1, AT_FLUSHED, 0, 8);
    CHECK_EQ(open_file(disk, &file, &error, &epoch), NACRE_CORRUPT);
    /* A writer that was ours before a fallback: the epoch goes on above it. */
    for (int i = 0; i < 2; i++) {
        memcpy(file.bytes, right.bytes, right.size);
        lie(&file, i, i, AT_EPOCH, 1000, 8);
        lie(&file, i, i, AT_CHECKSUM, 1, 8);
        CHECK_EQ(open_file(disk, &file, &error, &epoch), NACRE_OK);
        CHECK_EQ(epoch, 1001);
    }
    CHECK(usual < 1000);
    free(file.bytes);
    free(right.bytes);
    sim_disk_free(disk);
}

/* The logs have seen a later writer than the superblocks, which were lost: the epoch is above. */
static void epochs_of_logs_count(void) {
    SimDisk *disk = database();
    Log log = log_of(disk);
    for (int copy = 0; copy < 2; copy++) {
        uint8_t *header = log.bytes + (copy ? WAL_HEADER_COPY : 0);
        put_u64(header + 56, 2000);
        put_u64(header + WAL_HEADER_SIZE - 8, checksum64(0, header, WAL_HEADER_SIZE - 8));
    }
    sim_disk_put(disk, LOG, log.bytes, log.size);
    File file = file_of(disk);
    nacre_error error;
    uint64_t epoch = 0;
    CHECK_EQ(open_file(disk, &file, &error, &epoch), NACRE_OK);
    CHECK_EQ(epoch, 2001);
    free(file.bytes);
    free(log.bytes);
    sim_disk_free(disk);
}

/* A log as large as its memtable: the cut that opening appends has no room there. */
static void a_log_that_fills_its_memtable_is_cut_and_written_to(void) {
    SimDisk *disk = sim_disk_new(1);
    static uint8_t bytes[200000];
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    for (int round = 0; round < 4; round++) {
        nacre_options options = NACRE_OPTIONS_INIT;
        nacre_db *db = NULL;
        nacre_membrane *kv = NULL;
        uint64_t count = 0;
        options.vfs = sim_disk_vfs(disk);
        options.memtable_size = 64 << 10;
        CHECK_EQ(nacre_open("db", &options, &db, NULL), NACRE_OK);
        CHECK_EQ(nacre_membrane_open(db, "kv", &schema, &kv), NACRE_OK);
        CHECK_EQ(nacre_count(kv, NULL, NULL, &count), NACRE_OK);
        CHECK_EQ(count, round);
        nacre_value key = nacre_integer(round), value = nacre_bytes(bytes, sizeof bytes);
        CHECK_EQ(nacre_put(kv, &key, NULL, &value), NACRE_OK);
        SimDisk *killed = sim_disk_clone(disk);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        sim_disk_free(disk);
        disk = killed;
    }
    sim_disk_free(disk);
}

/* ---- opening on a full disk ---- */

enum { ROWS = 60 };

/* Rows in segments and in the log of a database that was never closed. The file has no room left,
 * neither in it nor behind it, so opening writes a superblock that refers to the old manifest. */
static SimDisk *full_database(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_db *db = NULL;
    nacre_error error;
    nacre_membrane *kv = NULL;
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    static const uint8_t bytes[1000];
    CHECK_EQ(open_db(disk, NACRE_READWRITE, &db, &error), NACRE_OK);
    CHECK_EQ(nacre_membrane_open(db, "kv", &schema, &kv), NACRE_OK);
    for (int i = 0; i < ROWS; i++) {
        nacre_value key = nacre_integer(i), value = nacre_bytes(bytes, sizeof bytes);
        CHECK_EQ(nacre_put(kv, &key, NULL, &value), NACRE_OK);
        if (i == ROWS / 2) CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    }
    SimDisk *killed = sim_disk_clone(disk);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
    return killed;
}

static nacre_status open_full(SimDisk *disk, FailingAllocator *memory, nacre_db **db, nacre_error *error) {
    nacre_options options = NACRE_OPTIONS_INIT;
    uint64_t size = 0;
    (void)sim_disk_bytes(disk, "db", &size);
    options.vfs = sim_disk_vfs(disk);
    options.database_size = size;
    options.memory = 4 << 20;
    options.allocator = memory->allocator;
    options.seed = 3;
    *error = (nacre_error){NACRE_OK, ""};
    return nacre_open("db", &options, db, error);
}

static void expect_rows(nacre_db *db) {
    nacre_membrane *kv = NULL;
    uint64_t count = 0;
    CHECK_EQ(nacre_membrane_open(db, "kv", NULL, &kv), NACRE_OK);
    CHECK_EQ(nacre_count(kv, NULL, NULL, &count), NACRE_OK);
    CHECK_EQ(count, ROWS);
}

/* B13: one thing fails while a full database is opened: an error or none, and no row is lost. */
static void b13_opening_a_full_database_fails_or_loses_nothing(void) {
    /* 0: an allocation, and -1 all later ones, too. */
    static const int kinds[] = {0, -1, SIM_READ, SIM_WRITE, SIM_SYNC, SIM_SIZE, SIM_TRUNCATE};
    SimDisk *base = full_database();
    uint64_t refused = 0, met = 0;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (uint64_t nth = 1;; nth++) {
            SimDisk *disk = sim_disk_clone(base);
            FailingAllocator memory;
            nacre_db *db = NULL;
            nacre_error error;
            failing_allocator_init(&memory);
            if (kinds[k] > 0) sim_disk_fault(disk, (SimFault){.kinds = kinds[k], .nth = nth, .status = NACRE_IO});
            else failing_allocator_fail_at(&memory, nth, kinds[k] < 0);
            nacre_status status = open_full(disk, &memory, &db, &error);
            bool hit = kinds[k] > 0 ? sim_disk_fault_hits(disk) > 0 : memory.failed > 0;
            if (status != NACRE_OK) CHECK_EQ(status, kinds[k] > 0 ? NACRE_IO : NACRE_RESOURCE_EXHAUSTED);
            if (status != NACRE_OK) CHECK(error.text[0]);
            refused += status != NACRE_OK;
            met += hit;
            sim_disk_fault(disk, (SimFault){.nth = 0});
            failing_allocator_fail_at(&memory, 0, false);
            if (db) expect_rows(db);
            (void)nacre_close(db, NULL);
            CHECK(failing_allocator_clean(&memory));
            CHECK_EQ(sim_disk_open_handles(disk), 0);
            sim_disk_crash(disk, SIM_CRASH_PREFIX, 0);
            db = NULL;
            if (!CHECK_EQ(open_full(disk, &memory, &db, &error), NACRE_OK)) printf("  kind %d, call %d: %s\n", kinds[k], (int)nth, error.text);
            if (db) expect_rows(db);
            (void)nacre_close(db, NULL);
            failing_allocator_clear(&memory);
            sim_disk_free(disk);
            if (!hit) break;
        }
    CHECK(refused > 20 && met > refused / 2);
    sim_disk_free(base);
}

void recover_test(void) {
    RUN(b20_a_frame_that_lies_is_damage);
    RUN(b20_a_cut_that_lies_is_damage);
    RUN(h19_frames_within_frames_are_damage_soon);
    RUN(b20_superblocks_that_lie_are_damage);
    RUN(epochs_of_logs_count);
    RUN(a_log_that_fills_its_memtable_is_cut_and_written_to);
    RUN(b13_opening_a_full_database_fails_or_loses_nothing);
    RUN(a_header_of_another_version_counts_when_there_is_no_other);
}
