/* snapshot_test.c - snapshots held for long and in any number (C07, C25): each shows its own
 * state, writing goes on within the memory budget, and what they kept comes back. */
#include "lib/check.h"
#include "lib/failing_allocator.h"
#include "lib/model.h"
#include "lib/sim_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MIB = 1 << 20, VALUE = 1000, ROWS = 4096, HELD = 30, WRITES = 60000 };

static uint64_t stat_of(nacre_db *db, const char *name) {
    const char *json = NULL;
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\"%s\":", name);
    if (!CHECK_EQ(nacre_stats_json(db, &json), NACRE_OK)) return UINT64_MAX;
    const char *at = strstr(json, wanted);
    return at ? strtoull(at + strlen(wanted), NULL, 10) : UINT64_MAX;
}

/* Each state has written one more row than the one before: row i % 100 is i. */
static void c25_ten_thousand_snapshots_are_open_at_once(void) {
    enum { COUNT = 10000, KEYS = 100 };
    FailingAllocator memory;
    failing_allocator_init(&memory);
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = NACRE_OPTIONS_INIT;
    options.vfs = sim_disk_vfs(disk);
    options.allocator = memory.allocator;
    options.memory = 16 * MIB;
    options.memtable_size = 64 << 10;
    options.segment_size = 64 << 10;
    nacre_db *db = NULL;
    nacre_membrane *kv = NULL;
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    REQUIRE(nacre_open("db", &options, &db, NULL) == NACRE_OK);
    REQUIRE(nacre_membrane_open(db, "kv", &schema, &kv) == NACRE_OK);
    static nacre_snapshot *snapshots[COUNT];
    uint64_t random = test_seed() + 25;
    for (int i = 0; i < COUNT; i++) {
        nacre_value key = nacre_integer(i % KEYS), value = nacre_bytes(&i, sizeof i);
        sim_disk_set_clock(disk, 1000000 + (uint64_t)i);
        REQUIRE(nacre_put(kv, &key, NULL, &value) == NACRE_OK);
        REQUIRE(nacre_snapshot_open(db, &snapshots[i]) == NACRE_OK);
    }
    CHECK_EQ(stat_of(db, "snapshots"), COUNT);
    CHECK_EQ(stat_of(db, "oldestSnapshotMs"), COUNT - 1);
    CHECK(stat_of(db, "flushes") > 4);
    uint64_t left = COUNT;
    for (int round = 0; round < 2 * COUNT; round++) { /* the rest at the end */
        int i = (int)(test_random(&random) % COUNT), k = (int)(test_random(&random) % KEYS);
        if (!snapshots[i]) continue;
        nacre_value key = nacre_integer(k);
        nacre_row row;
        int want = i - (i - k + KEYS) % KEYS; /* the newest before i of this key */
        nacre_status status = nacre_get(kv, snapshots[i], &key, &row);
        if (!CHECK_EQ(status, want >= 0 ? NACRE_OK : NACRE_NOT_FOUND)) break;
        if (status == NACRE_OK && !CHECK_BYTES(row.fields[0].bytes.data, row.fields[0].bytes.size, &want, sizeof want)) break;
        if (round % 2) continue;
        nacre_snapshot_release(snapshots[i]);
        snapshots[i] = NULL;
        left--;
    }
    CHECK_EQ(stat_of(db, "snapshots"), left);
    for (int i = 0; i < COUNT; i++) nacre_snapshot_release(snapshots[i]);
    CHECK_EQ(stat_of(db, "snapshots"), 0);
    nacre_compact_report report;
    CHECK_EQ(nacre_compact(db, &report), NACRE_OK);
    CHECK(report.after <= 512 << 10); /* of 100 rows */
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    CHECK(failing_allocator_clean(&memory));
    failing_allocator_clear(&memory);
    sim_disk_free(disk);
}

/* ---- ingest goes on ---- */

typedef struct Rows {
    uint16_t version[ROWS]; /* 0: absent */
} Rows;

static void row_value(uint32_t key, uint32_t version, uint8_t value[VALUE]) {
    uint64_t noise = (uint64_t)key << 32 | version;
    for (int b = 0; b < VALUE; b += 8) {
        uint64_t word = test_random(&noise);
        memcpy(value + b, &word, 8);
    }
}

static void rows_equal(nacre_membrane *kv, const nacre_snapshot *snapshot, const Rows *rows) {
    nacre_cursor *cursor = NULL;
    nacre_row row;
    uint64_t wrong = 0;
    if (!CHECK_EQ(nacre_cursor_open(kv, snapshot, NULL, &cursor), NACRE_OK)) return;
    for (uint32_t key = 0; key < ROWS; key++) {
        uint8_t value[VALUE];
        if (!rows->version[key]) continue;
        row_value(key, rows->version[key], value);
        wrong += nacre_cursor_next(cursor, &row) != NACRE_OK || row.key[0].integer != key ||
                 row.fields[0].bytes.size != VALUE || memcmp(row.fields[0].bytes.data, value, VALUE) != 0;
    }
    CHECK_EQ(nacre_cursor_next(cursor, &row), NACRE_NOT_FOUND);
    nacre_cursor_close(cursor);
    CHECK_EQ(wrong, 0);
}

static nacre_status rows_write(nacre_membrane *kv, Rows *rows, uint64_t *random) {
    uint32_t key = (uint32_t)(test_random(random) % ROWS);
    nacre_value name = nacre_integer(key);
    if (rows->version[key] && test_random(random) % 16 == 0) {
        rows->version[key] = 0;
        return nacre_delete(kv, &name);
    }
    uint8_t value[VALUE];
    rows->version[key] = (uint16_t)(1 + test_random(random) % 60000);
    row_value(key, rows->version[key], value);
    nacre_value bytes = nacre_bytes(value, VALUE);
    return nacre_put(kv, &name, NULL, &bytes);
}

/* Half of them far from each other, each with memtables of its own; half in bursts, many in one. */
static bool snapshot_due(int i) { return i % 4000 == 3990 || (i >= 30000 && i < 30750 && i % 50 == 0); }

static void c07_held_snapshots_never_stop_ingest(void) {
    FailingAllocator memory;
    failing_allocator_init(&memory);
    SimDisk *disk = sim_disk_new(2);
    nacre_options options = NACRE_OPTIONS_INIT;
    options.vfs = sim_disk_vfs(disk);
    options.allocator = memory.allocator;
    options.memory = 4 * MIB;
    options.durability = NACRE_NONE;
    nacre_db *db = NULL;
    nacre_membrane *kv = NULL;
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    REQUIRE(nacre_open("db", &options, &db, NULL) == NACRE_OK);
    REQUIRE(nacre_membrane_open(db, "kv", &schema, &kv) == NACRE_OK);
    static Rows rows, held[HELD];
    nacre_snapshot *snapshots[HELD] = {NULL};
    uint64_t random = test_seed() + 7;
    int count = 0;
    memset(&rows, 0, sizeof rows);
    for (int i = 0; i < WRITES; i++) {
        if (!CHECK_EQ(rows_write(kv, &rows, &random), NACRE_OK)) {
            check_that(CHECK_HERE, nacre_message(db), false);
            break;
        }
        if (!snapshot_due(i)) continue;
        REQUIRE(count < HELD && nacre_snapshot_open(db, &snapshots[count]) == NACRE_OK);
        held[count++] = rows;
    }
    CHECK_EQ(count, HELD);
    CHECK(stat_of(db, "settles") >= 10);
    CHECK(stat_of(db, "peakMemory") <= options.memory);
    for (int i = 0; i < HELD; i++) rows_equal(kv, snapshots[i], &held[i]);
    rows_equal(kv, NULL, &rows);
    for (int i = 0; i < HELD; i++) nacre_snapshot_release(snapshots[i]);
    nacre_compact_report report;
    CHECK_EQ(nacre_compact(db, &report), NACRE_OK);
    CHECK(report.after <= ROWS * 1100 + MIB && report.before > 2 * report.after);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    uint64_t problems = 1;
    REQUIRE(nacre_open("db", &options, &db, NULL) == NACRE_OK);
    REQUIRE(nacre_membrane_open(db, "kv", &schema, &kv) == NACRE_OK);
    rows_equal(kv, NULL, &rows);
    CHECK_EQ(nacre_verify(db, true, NULL, NULL, &problems), NACRE_OK);
    CHECK_EQ(problems, 0);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    CHECK(failing_allocator_clean(&memory));
    failing_allocator_clear(&memory);
    sim_disk_free(disk);
}

/* One memtable is kept by snapshots of its every state; those after it settle all the same. */
static void c07_a_memtable_of_many_states_holds_up_no_other(void) {
    enum { MANY = 400, LATER = 20 };
    SimDisk *disk = sim_disk_new(5);
    nacre_options options = NACRE_OPTIONS_INIT;
    options.vfs = sim_disk_vfs(disk);
    options.memory = 4 * MIB;
    options.durability = NACRE_NONE;
    nacre_db *db = NULL;
    nacre_membrane *kv = NULL;
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    REQUIRE(nacre_open("db", &options, &db, NULL) == NACRE_OK);
    REQUIRE(nacre_membrane_open(db, "kv", &schema, &kv) == NACRE_OK);
    static Rows rows, held[MANY + LATER];
    static nacre_snapshot *snapshots[MANY + LATER];
    uint64_t random = test_seed() + 9;
    memset(&rows, 0, sizeof rows);
    for (int i = 0, count = 0; i < MANY + LATER * 300; i++) {
        if (!CHECK_EQ(rows_write(kv, &rows, &random), NACRE_OK)) break;
        if (i >= MANY && i % 300) continue;
        REQUIRE(count < MANY + LATER && nacre_snapshot_open(db, &snapshots[count]) == NACRE_OK);
        held[count++] = rows;
    }
    CHECK(stat_of(db, "settles") >= 8);
    for (int i = 0; i < MANY + LATER; i += i < MANY - 20 ? 19 : 1) rows_equal(kv, snapshots[i], &held[i]);
    for (int i = 0; i < MANY + LATER; i++) nacre_snapshot_release(snapshots[i]);
    rows_equal(kv, NULL, &rows);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* ---- rows of every kind, and what fails meanwhile ---- */

enum { PLAY_HELD = 24 };

typedef struct Play {
    FailingAllocator memory;
    SimDisk *disk;
    nacre_options options;
    nacre_db *db;
    Model model, held[PLAY_HELD];
    nacre_snapshot *snapshots[PLAY_HELD];
    uint64_t random;
} Play;

static bool play_begin(Play *p, uint64_t seed) {
    memset(p, 0, sizeof *p);
    failing_allocator_init(&p->memory);
    p->disk = sim_disk_new(seed);
    p->random = test_seed() + seed;
    p->options = (nacre_options)NACRE_OPTIONS_INIT;
    p->options.vfs = sim_disk_vfs(p->disk);
    p->options.allocator = p->memory.allocator;
    p->options.memory = 2 * MIB;
    p->options.memtable_size = 64 << 10;
    p->options.segment_size = 64 << 10;
    p->options.durability = NACRE_NONE;
    return CHECK_EQ(nacre_open("db", &p->options, &p->db, NULL), NACRE_OK);
}

static void play_end(Play *p) {
    CHECK_EQ(nacre_close(p->db, NULL), NACRE_OK);
    CHECK(failing_allocator_clean(&p->memory));
    failing_allocator_clear(&p->memory);
    sim_disk_free(p->disk);
}

static nacre_status play_batch(Play *p) {
    nacre_membrane *membranes[MODEL_MEMBRANES];
    nacre_batch *batch = NULL;
    Model next = p->model;
    nacre_status status = model_open(p->db, membranes);
    if (status == NACRE_OK) status = nacre_batch_begin(p->db, &batch);
    for (int i = 0; i < 12 && status == NACRE_OK; i++) {
        int m = (int)(test_random(&p->random) % MODEL_MEMBRANES);
        uint32_t key = (uint32_t)(test_random(&p->random) % MODEL_KEYS);
        uint32_t version = test_random(&p->random) % 4 ? 1 + (uint32_t)(test_random(&p->random) % 1000000) : 0;
        status = version ? model_put(batch, membranes, m, key, version) : model_delete(batch, membranes, m, key);
        next.version[m][key] = version;
    }
    if (status == NACRE_OK) status = nacre_batch_commit(batch);
    else nacre_batch_abort(batch);
    if (status == NACRE_OK) p->model = next;
    return status;
}

static void play_hold(Play *p, int i) {
    nacre_snapshot_release(p->snapshots[i]);
    p->snapshots[i] = NULL;
    CHECK_EQ(nacre_snapshot_open(p->db, &p->snapshots[i]), NACRE_OK);
    p->held[i] = p->model;
}

static void play_compare(Play *p, int i) {
    if (!p->snapshots[i]) return;
    CHECK_EQ(model_differences(p->db, p->snapshots[i], &p->held[i]), 0);
    CHECK_EQ(model_search_differences(p->db, p->snapshots[i], &p->held[i], 5), 0);
}

static void play_release(Play *p) {
    for (int i = 0; i < PLAY_HELD; i++) {
        nacre_snapshot_release(p->snapshots[i]);
        p->snapshots[i] = NULL;
    }
}

static void c07_settled_snapshots_equal_their_models(void) {
    static Play p;
    REQUIRE(play_begin(&p, 3));
    nacre_transaction *tx = NULL;
    nacre_membrane *membranes[MODEL_MEMBRANES];
    for (int i = 0; i < 30; i++) REQUIRE(play_batch(&p) == NACRE_OK);
    /* A transaction's own state settles, too; what it wrote is on top of it. */
    REQUIRE(nacre_begin(p.db, &tx) == NACRE_OK && model_open(p.db, membranes) == NACRE_OK);
    Model of_tx = p.model;
    of_tx.version[1][7] = 4711;
    CHECK_EQ(model_transaction_put(tx, membranes, 1, 7, 4711), NACRE_OK);
    for (int round = 0; round < 1500; round++) {
        if (!CHECK_EQ(play_batch(&p), NACRE_OK)) {
            check_that(CHECK_HERE, nacre_message(p.db), false);
            break;
        }
        uint64_t what = test_random(&p.random) % 200;
        int i = (int)(test_random(&p.random) % PLAY_HELD);
        if (what < 6 || round / 16 % 8 == 0) play_hold(&p, i);
        else if (what == 6) play_compare(&p, i);
        else if (what == 7) CHECK_EQ(nacre_compact(p.db, NULL), NACRE_OK);
    }
    CHECK(stat_of(p.db, "settles") > 0);
    for (int i = 0; i < PLAY_HELD; i++) play_compare(&p, i);
    CHECK_EQ(model_differences(p.db, nacre_transaction_snapshot(tx), &of_tx), 0);
    nacre_rollback(tx);
    CHECK_EQ(model_differences(p.db, NULL, &p.model), 0);
    play_release(&p);
    uint64_t problems = 1;
    CHECK_EQ(nacre_verify(p.db, true, NULL, NULL, &problems), NACRE_OK);
    CHECK_EQ(problems, 0);
    play_end(&p);
}

/* Snapshots that fill memory, and then writes while an allocation, or the room for a write to
 * the file, is refused: what fails says so, and no state changes. Where the refused write was
 * of a superblock, nothing more is written until it is reopened. */
typedef struct Trial {
    FailingAllocator memory;
    SimDisk *disk;
    nacre_db *db;
    nacre_membrane *kv;
    Rows rows, held[HELD];
    nacre_snapshot *snapshots[HELD];
    uint64_t random;
    uint64_t nth;     /* that was refused; 0: none was, there are fewer */
    uint64_t settled; /* memtables, in all trials */
} Trial;

static bool trial_begin(Trial *t) {
    nacre_options options = NACRE_OPTIONS_INIT;
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    failing_allocator_init(&t->memory);
    t->disk = sim_disk_new(4);
    options.vfs = sim_disk_vfs(t->disk);
    options.allocator = t->memory.allocator;
    options.memory = MIB + MIB / 2;
    options.memtable_size = options.segment_size = 64 << 10;
    options.durability = NACRE_NONE;
    memset(&t->rows, 0, sizeof t->rows);
    t->random = test_seed() + 4;
    return CHECK_EQ(nacre_open("db", &options, &t->db, NULL), NACRE_OK) &&
           CHECK_EQ(nacre_membrane_open(t->db, "kv", &schema, &t->kv), NACRE_OK);
}

static void trial_compare(Trial *t) {
    for (int i = 0; i < HELD; i++) rows_equal(t->kv, t->snapshots[i], &t->held[i]);
    rows_equal(t->kv, NULL, &t->rows);
}

/* A write that is refused has changed nothing. */
static nacre_status trial_write(Trial *t) {
    Rows before = t->rows;
    nacre_status status = rows_write(t->kv, &t->rows, &t->random);
    if (status != NACRE_OK) t->rows = before;
    return status;
}

static void trial(Trial *t, uint64_t nth, bool of_disk) {
    const SimFault fault = {.kinds = SIM_WRITE, .nth = nth, .way = SIM_FAULT_FAIL, .status = NACRE_QUOTA};
    if (!trial_begin(t)) return;
    for (int i = 0; i < 40 * HELD; i++) {
        if (!CHECK_EQ(trial_write(t), NACRE_OK)) break;
        if (i % 40 != 39) continue;
        CHECK_EQ(nacre_snapshot_open(t->db, &t->snapshots[i / 40]), NACRE_OK);
        t->held[i / 40] = t->rows;
    }
    const uint64_t settles = stat_of(t->db, "settles");
    if (of_disk) sim_disk_fault(t->disk, fault);
    else failing_allocator_fail_at(&t->memory, nth, false);
    nacre_status status = NACRE_OK;
    for (int i = 0; i < 200 && status == NACRE_OK; i++) status = trial_write(t);
    const bool poisoned = of_disk && stat_of(t->db, "poisoned") == 1;
    const bool told = status == NACRE_OK || status == (of_disk ? NACRE_QUOTA : NACRE_RESOURCE_EXHAUSTED);
    if (!poisoned && !CHECK(told)) printf("# number %llu: %s\n", (unsigned long long)nth, nacre_message(t->db));
    const bool met = of_disk ? sim_disk_fault_hits(t->disk) > 0 : t->memory.failed > 0;
    sim_disk_fault(t->disk, (SimFault){.nth = 0});
    failing_allocator_fail_at(&t->memory, 0, false);
    trial_compare(t);
    for (int i = 0; i < 200; i++)
        if (!CHECK_EQ(trial_write(t), poisoned ? NACRE_IO : NACRE_OK)) break;
    trial_compare(t);
    t->settled += stat_of(t->db, "settles") - settles;
    t->nth = met ? nth : 0;
    for (int i = 0; i < HELD; i++) nacre_snapshot_release(t->snapshots[i]);
    status = nacre_close(t->db, NULL);
    CHECK(status == NACRE_OK || (poisoned && status == NACRE_IO));
    CHECK(failing_allocator_clean(&t->memory));
    failing_allocator_clear(&t->memory);
    sim_disk_free(t->disk);
}

static void c07_a_failure_while_settling_changes_no_state(void) {
    static Trial t;
    uint64_t nth = 1;
    for (t.nth = 1; t.nth && nth < 100000; nth += 53) trial(&t, nth, false);
    CHECK(t.settled > 10);
    for (nth = 1, t.nth = 1; t.nth && nth < 100000; nth += 23) trial(&t, nth, true);
    CHECK(t.settled > 20);
}

void snapshot_test(void) {
    RUN(c25_ten_thousand_snapshots_are_open_at_once);
    RUN(c07_held_snapshots_never_stop_ingest);
    RUN(c07_a_memtable_of_many_states_holds_up_no_other);
    RUN(c07_settled_snapshots_equal_their_models);
    RUN(c07_a_failure_while_settling_changes_no_state);
}
