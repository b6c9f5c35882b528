/* work_test.c - how much single calls do, counted in bytes and syncs (D12, B36, C05, C14): the
 * twins of figures that a clock would tell only on a quiet machine. */
#include "lib/check.h"
#include "lib/count_disk.h"

#include "db/state.h"

#include <stdio.h>
#include <stdlib.h>

enum { VALUE = 100, BATCH = 500 };

static nacre_options work_options(const CountDisk *disk, uint64_t memory) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.memory = memory;
    options.durability = NACRE_NONE;
    options.lock = NACRE_LOCK_BREAK;
    options.vfs = count_disk_vfs(disk);
    options.seed = 3;
    return options;
}

static nacre_db *work_open(const nacre_options *options, nacre_membrane **kv) {
    nacre_db *db = NULL;
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    if (!CHECK_EQ(nacre_open("db", options, &db, NULL), NACRE_OK)) return NULL;
    CHECK_EQ(nacre_membrane_open(db, "kv", &schema, kv), NACRE_OK);
    return db;
}

static int64_t work_key(uint32_t i) { return (int64_t)((uint64_t)i * 0x9e3779b97f4a7c15u); }

static bool work_put(nacre_db *db, nacre_membrane *kv, const uint32_t *rows, uint32_t count, uint32_t version) {
    nacre_batch *batch = NULL;
    uint8_t bytes[VALUE] = {0};
    if (!CHECK_EQ(nacre_batch_begin(db, &batch), NACRE_OK)) return false;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t noise = rows[i] * 0x9e3779b97f4a7c15u ^ version;
        for (int b = 0; b < VALUE; b++) bytes[b] = (uint8_t)(test_random(&noise) >> 11);
        memcpy(bytes, &version, 4);
        nacre_value key = nacre_integer(work_key(rows[i])), value = nacre_bytes(bytes, VALUE);
        if (!CHECK_EQ(nacre_batch_put(batch, kv, &key, NULL, &value), NACRE_OK)) break;
    }
    return CHECK_EQ(nacre_batch_commit(batch), NACRE_OK);
}

static void work_at_most(const char *what, uint64_t found, uint64_t limit) {
    if (!CHECK(found <= limit))
        printf("    %s: %llu, at most %llu are right\n", what, (unsigned long long)found, (unsigned long long)limit);
}

/* D12: besides syncs, what a write call does follows from what is written, not from what the
 * database holds. The sum of all rates is 7: so much is read of inputs and written of outputs
 * for each byte; an extent of each job may be full just now, a segment may end (its index and a
 * manifest), and inputs are read 64 KiB at a time. One commit, with its own two syncs and one
 * of each log; one log that is reset, with two; one that is full. */
static void d12_a_write_call_does_a_bounded_amount_of_work(void) {
    enum { ROWS = 200000 };
    CountDisk *disk = count_disk_new(NULL);
    nacre_options options = work_options(disk, 4 << 20);
    nacre_membrane *kv = NULL;
    nacre_db *db = work_open(&options, &kv);
    REQUIRE(db);
    DiskCounts most = {0}, late = {0};
    uint64_t commits_most = 0;
    for (uint32_t from = 0; from < ROWS; from += BATCH) {
        uint32_t rows[BATCH];
        for (uint32_t i = 0; i < BATCH; i++) rows[i] = from + i;
        DiskCounts before = count_disk_counts(disk);
        uint64_t commits = db->counters.commits;
        if (!work_put(db, kv, rows, BATCH, 1)) break;
        DiskCounts done = count_disk_since(disk, before);
        commits = db->counters.commits - commits;
        if (commits > commits_most) commits_most = commits;
        if (done.bytes_written > most.bytes_written) most.bytes_written = done.bytes_written;
        if (done.bytes_read > most.bytes_read) most.bytes_read = done.bytes_read;
        if (done.syncs > most.syncs) most.syncs = done.syncs;
        if (from >= ROWS / 2 && done.bytes_written > late.bytes_written) late = done;
    }
    const uint64_t logged = BATCH * (VALUE + 12 + RECORD_HEAD);
    work_at_most("bytes written", most.bytes_written, 7 * logged + (256 << 10));
    work_at_most("bytes read", most.bytes_read, 7 * logged + (256 << 10));
    work_at_most("syncs", most.syncs, 7);
    work_at_most("commits", commits_most, 1);
    CHECK_EQ(db->counters.stalls, 0);
    CHECK(db->counters.merges >= 4 && late.bytes_written > 0); /* there was work to spread */
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    count_disk_free(disk);
}

/* B36: what random updates write, by the disk's own count; and stats tell the same. */
static void b36_random_updates_write_at_most_six_times_their_bytes(void) {
    enum { IDS = 30000, ROUNDS = 4 };
    CountDisk *disk = count_disk_new(NULL);
    nacre_options options = work_options(disk, 4 << 20);
    nacre_membrane *kv = NULL;
    nacre_db *db = work_open(&options, &kv);
    REQUIRE(db);
    uint64_t random = test_seed() + 400;
    for (uint32_t n = 0; n < IDS * ROUNDS; n += BATCH) {
        uint32_t rows[BATCH];
        for (uint32_t i = 0; i < BATCH; i++)
            rows[i] = n < IDS ? n + i : (uint32_t)(test_random(&random) % IDS);
        if (!work_put(db, kv, rows, BATCH, n)) break;
    }
    uint64_t written = count_disk_counts(disk).bytes_written, user = db->counters.user_bytes;
    CHECK_NEAR((double)written / (double)user, 4, 2);
    const char *json = NULL, *at = NULL;
    CHECK_EQ(nacre_stats_json(db, &json), NACRE_OK);
    at = strstr(json, "\"writeAmplification\":");
    if (CHECK(at != NULL)) {
        double told = strtod(at + strlen("\"writeAmplification\":"), NULL), true_one = (double)written / (double)user;
        CHECK_NEAR(told / true_one, 1, 0.02);
    }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    count_disk_free(disk);
}

/* C05: a get reads one block of the file, and one that is not there hardly ever any; of a
 * database whose cache holds the indexes and little else. */
static void c05_a_get_reads_one_block(void) {
    enum { ROWS = 100000, GETS = 4000 };
    CountDisk *disk = count_disk_new(NULL);
    nacre_options options = work_options(disk, 2 << 20);
    nacre_membrane *kv = NULL;
    nacre_db *db = work_open(&options, &kv);
    REQUIRE(db);
    for (uint32_t from = 0; from < ROWS; from += BATCH) {
        uint32_t rows[BATCH];
        for (uint32_t i = 0; i < BATCH; i++) rows[i] = 2 * (from + i);
        if (!work_put(db, kv, rows, BATCH, 1)) break;
    }
    CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    CHECK(db->version->count > 1);
    uint64_t random = test_seed() + 401;
    DiskCounts found = {0}, absent = {0};
    for (int round = 0; round < 3; round++) { /* the first one reads the indexes */
        DiskCounts before = count_disk_counts(disk);
        for (int i = 0; i < GETS; i++) {
            nacre_value key = nacre_integer(work_key(2 * (uint32_t)(test_random(&random) % ROWS) + (round == 2)));
            nacre_row row;
            CHECK_EQ(nacre_get(kv, NULL, &key, &row), round == 2 ? NACRE_NOT_FOUND : NACRE_OK);
        }
        *(round == 2 ? &absent : &found) = count_disk_since(disk, before);
    }
    work_at_most("reads of gets", found.reads, GETS + GETS / 8); /* false positives of the other runs' filters */
    work_at_most("reads of absent keys", absent.reads, GETS / 4);
    CHECK(found.reads > GETS / 2); /* the cache does not hold it all: it was measured */
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    count_disk_free(disk);
}

/* C14: opening ten thousand membranes reads each row of the catalog once, and nothing else. */
static void c14_opening_many_membranes_reads_little(void) {
    enum { COUNT = 10000 };
    CountDisk *disk = count_disk_new(NULL);
    nacre_options options = work_options(disk, 64 << 20);
    nacre_db *db = NULL;
    nacre_schema schema = nacre_schema_kv(NACRE_TEXT, NACRE_TEXT);
    REQUIRE(nacre_open("db", &options, &db, NULL) == NACRE_OK);
    for (uint32_t i = 0; i < COUNT; i++) {
        nacre_membrane *membrane = NULL;
        char name[32];
        snprintf(name, sizeof name, "m%05u", i * 7919u % COUNT);
        if (!CHECK_EQ(nacre_membrane_open(db, name, &schema, &membrane), NACRE_OK)) break;
    }
    for (int round = 0; round < 2; round++) { /* from the log; then from segments */
        if (round) CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        uint64_t size = count_disk_size(disk, "db") + count_disk_size(disk, "db-wal0") + count_disk_size(disk, "db-wal1");
        DiskCounts before = count_disk_counts(disk);
        REQUIRE(nacre_open("db", &options, &db, NULL) == NACRE_OK);
        DiskCounts opened = count_disk_since(disk, before);
        work_at_most("bytes read at open", opened.bytes_read, 2 * size);
        work_at_most("reads at open", opened.reads, 64 + size / 4096);
        nacre_membrane *last = NULL;
        CHECK_EQ(nacre_membrane_at(db, COUNT - 1, &last), NACRE_OK);
    }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    count_disk_free(disk);
}

void work_test(void) {
    RUN(d12_a_write_call_does_a_bounded_amount_of_work);
    RUN(b36_random_updates_write_at_most_six_times_their_bytes);
    RUN(c05_a_get_reads_one_block);
    RUN(c14_opening_many_membranes_reads_little);
}
