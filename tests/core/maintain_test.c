/* maintain_test.c - flushes and merges, paid by writes in small steps (C02-C04, C06, D07):
 * the newest row wins however many segments there are, no put does much, and the file
 * stays near what lives in it. */
#include "lib/check.h"
#include "lib/sim_disk.h"

#include "db/state.h"

#include <stdlib.h>

static nacre_options sized(uint64_t memtable, uint64_t segment) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.memory = 32 << 20;
    options.memtable_size = memtable;
    options.segment_size = segment;
    options.durability = NACRE_NONE;
    options.seed = 11;
    return options;
}

static nacre_db *open_with(const char *path, const nacre_options *options) {
    nacre_db *db = NULL;
    CHECK_EQ(nacre_open(path, options, &db, NULL), NACRE_OK);
    return db;
}

static nacre_membrane *open_kv(nacre_db *db) {
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    nacre_membrane *kv = NULL;
    CHECK_EQ(nacre_membrane_open(db, "kv", &schema, &kv), NACRE_OK);
    return kv;
}

/* Ids far apart and in no order, so that neighbours never share a block by accident. */
static int64_t id_of(uint32_t i) { return (int64_t)((uint64_t)i * 0x9e3779b97f4a7c15u); }

static nacre_status put(nacre_membrane *kv, uint32_t i, uint32_t version, size_t size) {
    static uint8_t bytes[8192];
    memset(bytes, (int)(version & 0xff), size);
    memcpy(bytes, &version, 4);
    nacre_value key = nacre_integer(id_of(i)), value = nacre_bytes(bytes, size);
    return nacre_put(kv, &key, NULL, &value);
}

static uint32_t version_in(const nacre_row *row) {
    uint32_t version = 0;
    if (row->fields[0].bytes.size >= 4) memcpy(&version, row->fields[0].bytes.data, 4);
    return version;
}

/* ---- C04 ---- */

typedef struct Ids {
    uint32_t count;
    uint32_t *version; /* 0: absent */
} Ids;

static void check_ids(nacre_membrane *kv, const Ids *ids, bool all) {
    uint64_t present = 0, seen = 0, count = 0;
    for (uint32_t i = 0; i < ids->count; i++) {
        present += ids->version[i] != 0;
        if (!all && i % 17) continue;
        nacre_value key = nacre_integer(id_of(i));
        nacre_row row;
        nacre_status status = nacre_get(kv, NULL, &key, &row);
        if (CHECK_EQ(status, ids->version[i] ? NACRE_OK : NACRE_NOT_FOUND) && status == NACRE_OK)
            CHECK_EQ(version_in(&row), ids->version[i]);
    }
    nacre_cursor *cursor = NULL;
    nacre_row row;
    CHECK_EQ(nacre_cursor_open(kv, NULL, NULL, &cursor), NACRE_OK);
    int64_t last = INT64_MIN;
    while (nacre_cursor_next(cursor, &row) == NACRE_OK) {
        uint32_t i = (uint32_t)((uint64_t)row.key[0].integer * 0xf1de83e19937733du); /* the inverse */
        if (!CHECK(i < ids->count && id_of(i) == row.key[0].integer)) break;
        CHECK_EQ(version_in(&row), ids->version[i]); /* a deleted id is 0, and no row is */
        CHECK(seen == 0 || row.key[0].integer > last);
        last = row.key[0].integer;
        seen++;
    }
    nacre_cursor_close(cursor);
    CHECK_EQ(seen, present);
    CHECK_EQ(nacre_count(kv, NULL, NULL, &count), NACRE_OK);
    CHECK_EQ(count, present);
}

/* C04: every id overwritten and deleted many times over, spread over all segments. */
static void the_newest_row_wins_over_many_segments(void) {
    enum { IDS = 12000, ROUNDS = 5 };
    nacre_options options = sized(64 << 10, 64 << 10);
    nacre_db *db = open_with(":memory:", &options);
    nacre_membrane *kv = open_kv(db);
    Ids ids = {IDS, calloc(IDS, sizeof(uint32_t))};
    uint64_t random = test_seed() + 80, most = 0;
    for (uint32_t n = 0; n < IDS * ROUNDS; n++) {
        uint32_t i = (uint32_t)(test_random(&random) % IDS);
        if (test_random(&random) % 4 == 0) {
            nacre_value key = nacre_integer(id_of(i));
            CHECK_EQ(nacre_delete(kv, &key), ids.version[i] ? NACRE_OK : NACRE_NOT_FOUND);
            ids.version[i] = 0;
        } else {
            CHECK_EQ(put(kv, i, n + 1, 400), NACRE_OK);
            ids.version[i] = n + 1;
        }
        if (version_segments(db->version) > most) most = version_segments(db->version);
        if (n % 9000 == 8999) check_ids(kv, &ids, false);
    }
    CHECK(most >= 60);
    CHECK(db->counters.merges > 3);
    check_ids(kv, &ids, true);
    CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    CHECK_EQ(db->version->count, 1);
    CHECK_EQ(db->version->runs[0].segments[0]->deletes, 0); /* C06: nothing is left for a deletion to hide */
    check_ids(kv, &ids, true);
    free(ids.version);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

/* C02: memtable, frozen, segment: each state can be seen, and flush and checkpoint mean
 * what they say. */
static void rows_go_from_memtable_to_frozen_to_segment(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = sized(64 << 10, 64 << 10);
    options.vfs = sim_disk_vfs(disk);
    nacre_db *db = open_with("db", &options);
    nacre_membrane *kv = open_kv(db);
    bool frozen = false, segments = false;
    const char *json = NULL;
    for (uint32_t i = 0; i < 2000; i++) {
        CHECK_EQ(put(kv, i, i + 1, 300), NACRE_OK);
        frozen |= db->frozen != NULL;
        segments |= version_segments(db->version) > 0;
        if (db->frozen) CHECK(!segments || db->counters.flushes > 0);
    }
    CHECK(frozen && segments);
    CHECK_EQ(nacre_flush(db), NACRE_OK);
    CHECK(db->active->record_count > 0); /* flush is about the log, not about memtables */
    CHECK_EQ(sim_disk_unsynced(disk) > 0 && db->logs[0].unsynced + db->logs[1].unsynced > 0, false);
    CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    CHECK_EQ(db->active->record_count, 0);
    CHECK(db->frozen == NULL);
    uint64_t size = 0, log = 0;
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(wal_size(&db->logs[i], &size), NACRE_OK);
        if ((uint32_t)i != db->active->log) log += size;
    }
    CHECK_EQ(log, 0); /* what the segments hold is in no log */
    CHECK_EQ(nacre_stats_json(db, &json), NACRE_OK);
    CHECK(strstr(json, "\"segments\":") && strstr(json, "\"flushes\":"));
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* ---- D07: what a single put does ---- */

typedef struct Work {
    uint64_t bytes, reads;
} Work;

static Work work_since(SimDisk *disk, Work before) {
    return (Work){sim_disk_bytes_written(disk) - before.bytes, sim_disk_reads(disk) - before.reads};
}

/* A put writes its record, a slice of each job under way, and at times ends a segment (an
 * extent of each stream, the index) and commits (a manifest). Whatever the database holds:
 * 512 KiB, and nothing waits for a memtable (stalls). */
static void a_put_does_a_bounded_amount_of_work(void) {
    enum { PUTS = 60000 };
    SimDisk *disk = sim_disk_new(2);
    nacre_options options = sized(256 << 10, 1 << 20);
    options.vfs = sim_disk_vfs(disk);
    nacre_db *db = open_with("db", &options);
    nacre_membrane *kv = open_kv(db);
    uint64_t random = test_seed() + 81;
    Work most = {0, 0}, late = {0, 0};
    for (uint32_t n = 0; n < PUTS; n++) {
        Work before = {sim_disk_bytes_written(disk), sim_disk_reads(disk)};
        CHECK_EQ(put(kv, (uint32_t)(test_random(&random) % 30000), n, 200), NACRE_OK);
        Work done = work_since(disk, before);
        if (done.bytes > most.bytes) most.bytes = done.bytes;
        if (done.reads > most.reads) most.reads = done.reads;
        if (n > PUTS / 2 && done.bytes > late.bytes) late.bytes = done.bytes;
    }
    if (!CHECK(most.bytes <= 512 << 10)) CHECK_EQ(most.bytes, 0);
    if (!CHECK(most.reads <= 200)) CHECK_EQ(most.reads, 0);
    CHECK_EQ(db->counters.stalls, 0);
    CHECK(db->counters.merges > 5);
    CHECK(db->version->count < 40); /* merges keep up */
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* D07: a step does about what it was asked to, until nothing is left. */
static void steps_finish_what_is_left(void) {
    nacre_options options = sized(64 << 10, 256 << 10);
    nacre_db *db = open_with(":memory:", &options);
    nacre_membrane *kv = open_kv(db);
    uint64_t random = test_seed() + 82;
    bool more = true;
    for (uint32_t n = 0; n < 8000; n++) CHECK_EQ(put(kv, (uint32_t)(test_random(&random) % 3000), n, 200), NACRE_OK);
    int steps = 0;
    for (; more && steps < 100000; steps++) {
        uint64_t before = db->data.written;
        CHECK_EQ(nacre_step(db, 4096, &more), NACRE_OK);
        CHECK(db->data.written - before <= 512 << 10);
    }
    CHECK(!more);
    CHECK(db->frozen == NULL);
    CHECK(db->version->count < 2 * TIER_RUNS);
    CHECK_EQ(nacre_step(db, 1 << 20, &more), NACRE_OK);
    CHECK(!more);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

/* Runs one behind the other become one without being read; those that share so much as one key are
 * merged, and the newer row of it is right, also for the next opening. */
static void runs_are_joined_only_when_they_share_no_key(void) {
    for (int64_t shared = 0; shared < 2; shared++) {
        SimDisk *disk = sim_disk_new(1);
        nacre_options options = sized(1 << 20, 1 << 20);
        options.vfs = sim_disk_vfs(disk);
        nacre_db *db = open_with("db", &options);
        nacre_membrane *kv = open_kv(db);
        bool more = true;
        for (int64_t run = 0; run < TIER_RUNS; run++) {
            for (int64_t key = run * 100; key < run * 100 + 100 + shared; key++) {
                nacre_value k = nacre_integer(key), v = nacre_bytes(&run, sizeof run);
                CHECK_EQ(nacre_put(kv, &k, NULL, &v), NACRE_OK);
            }
            CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
        }
        while (more) CHECK_EQ(nacre_step(db, 1 << 20, &more), NACRE_OK);
        CHECK(db->version->count < TIER_RUNS);
        CHECK_EQ(db->counters.merges > 0, shared);
        for (int again = 0; again < 2; again++) {
            uint64_t count = 0;
            CHECK_EQ(nacre_count(kv, NULL, NULL, &count), NACRE_OK);
            CHECK_EQ(count, TIER_RUNS * 100 + shared);
            for (int64_t key = 0; key < TIER_RUNS * 100; key += 50) {
                nacre_value k = nacre_integer(key);
                nacre_row row;
                int64_t run = key / 100;
                CHECK_EQ(nacre_get(kv, NULL, &k, &row), NACRE_OK);
                CHECK_BYTES(row.fields[0].bytes.data, row.fields[0].bytes.size, &run, sizeof run);
            }
            CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
            db = NULL;
            if (again || !CHECK_EQ(nacre_open("db", &options, &db, NULL), NACRE_OK)) break;
            kv = open_kv(db);
        }
        sim_disk_free(disk);
    }
}

/* ---- churn ---- */

typedef struct Churn {
    double space, amplification; /* file over live bytes, at worst; written over given */
} Churn;

/* Fills with `ids` rows, then overwrites each `times` times in random order. */
static Churn churn(uint32_t ids, size_t size, uint32_t times, uint64_t memtable, uint64_t segment) {
    nacre_options options = sized(memtable, segment);
    nacre_db *db = open_with(":memory:", &options);
    nacre_membrane *kv = open_kv(db);
    uint64_t random = test_seed() + 83, most = 0;
    for (uint32_t i = 0; i < ids; i++) CHECK_EQ(put(kv, i, 1, size), NACRE_OK);
    uint64_t given = db->counters.user_bytes, written = db->data.written + db->counters.log_bytes;
    for (uint32_t n = 0; n < ids * times; n++) {
        CHECK_EQ(put(kv, (uint32_t)(test_random(&random) % ids), n, size), NACRE_OK);
        uint64_t file = 0;
        if (n < ids || n % 64) continue; /* steady after the first round */
        CHECK_EQ(db->env.vfs->size(db->data.file, &file), NACRE_OK);
        if (file > most) most = file;
    }
    Churn found = {(double)most / (double)((uint64_t)ids * (size + 8)),
                   (double)(db->data.written + db->counters.log_bytes - written) / (double)(db->counters.user_bytes - given)};
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    return found;
}

/* C06, C20, B36. */
static void steady_churn_keeps_file_and_writes_small(void) {
    Churn found = churn(20000, 1000, 4, 256 << 10, 1 << 20);
    CHECK_NEAR(found.space, 0, 2.2);
    CHECK_NEAR(found.amplification, 0, 6);
}

/* ---- C03: a disk that takes nothing ---- */

/* Writes are refused, not lost; memory stays within its budget; when there is room again
 * everything goes on. */
static void a_full_disk_refuses_and_recovers(void) {
    SimDisk *disk = sim_disk_new(3);
    nacre_options options = sized(64 << 10, 128 << 10);
    options.vfs = sim_disk_vfs(disk);
    options.memory = 2 << 20;
    nacre_db *db = open_with("db", &options);
    nacre_membrane *kv = open_kv(db);
    enum { IDS = 3000 };
    Ids ids = {IDS, calloc(IDS, sizeof(uint32_t))};
    uint64_t random = test_seed() + 84, refused = 0;
    for (uint32_t n = 1; n < 40000; n++) {
        if (n % 8000 == 100) sim_disk_capacity(disk, 1 << 20);
        if (n % 8000 == 6000) sim_disk_capacity(disk, UINT64_MAX);
        uint32_t i = (uint32_t)(test_random(&random) % IDS);
        nacre_status status = put(kv, i, n, 300);
        if (status == NACRE_OK) ids.version[i] = n;
        else refused++;
        CHECK(status == NACRE_OK || status == NACRE_QUOTA || status == NACRE_RESOURCE_EXHAUSTED);
        if (n % 8000 == 5999) check_ids(kv, &ids, true);
        if (n % 8000 == 7000) CHECK_EQ(status, NACRE_OK);
    }
    CHECK(refused > 1000);
    CHECK(db->env.memory_peak <= options.memory);
    sim_disk_capacity(disk, UINT64_MAX);
    CHECK_EQ(put(kv, 0, 7, 300), NACRE_OK);
    ids.version[0] = 7;
    check_ids(kv, &ids, true);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    db = open_with("db", &options);
    check_ids(open_kv(db), &ids, true);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    free(ids.version);
    sim_disk_free(disk);
}

void maintain_test(void) {
    RUN(the_newest_row_wins_over_many_segments);
    RUN(rows_go_from_memtable_to_frozen_to_segment);
    RUN(a_put_does_a_bounded_amount_of_work);
    RUN(steps_finish_what_is_left);
    RUN(runs_are_joined_only_when_they_share_no_key);
    RUN(steady_churn_keeps_file_and_writes_small);
    RUN(a_full_disk_refuses_and_recovers);
}
