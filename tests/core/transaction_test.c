/* transaction_test.c - transactions (C08, C09): what they see, what nobody else sees,
 * savepoints, conflicts, an end in every way; and random histories against a model that
 * knows what snapshot isolation with the first to commit winning allows. */
#include "lib/check.h"
#include "lib/failing_allocator.h"
#include "lib/model.h"
#include "lib/sim_disk.h"

#include "db/transaction.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- one key-value membrane of integers to text, for laws told in a few lines ---- */

typedef struct Lab {
    SimDisk *disk;
    nacre_db *db;
    nacre_membrane *kv;
    nacre_transaction *tx;
} Lab;

static nacre_options lab_options(SimDisk *disk) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.vfs = sim_disk_vfs(disk);
    options.memory = 8 << 20;
    options.memtable_size = 64 << 10;
    options.segment_size = 64 << 10;
    options.seed = 7;
    return options;
}

static bool lab_reopen(Lab *lab) {
    nacre_options options = lab_options(lab->disk);
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_TEXT);
    nacre_error error = {0};
    nacre_db *db = lab->db;
    lab->db = NULL;
    if (!CHECK_EQ(nacre_close(db, NULL), NACRE_OK)) return false;
    if (nacre_open("db", &options, &lab->db, &error) != NACRE_OK) return check_that(CHECK_HERE, error.text, false);
    return CHECK_EQ(nacre_membrane_open(lab->db, "kv", &schema, &lab->kv), NACRE_OK);
}

static bool lab_open(Lab *lab) {
    *lab = (Lab){.disk = sim_disk_new(1)};
    return lab_reopen(lab);
}

static void lab_close(Lab *lab) {
    CHECK_EQ(nacre_close(lab->db, NULL), NACRE_OK);
    sim_disk_free(lab->disk);
}

static nacre_status put(Lab *lab, int64_t key, const char *text) {
    nacre_value k = nacre_integer(key), v = nacre_text(text);
    return nacre_put(lab->kv, &k, NULL, &v);
}
static nacre_status tx_put(Lab *lab, int64_t key, const char *text) {
    nacre_value k = nacre_integer(key), v = nacre_text(text);
    return nacre_transaction_put(lab->tx, lab->kv, &k, NULL, &v);
}
static nacre_status delete(Lab *lab, int64_t key) {
    nacre_value k = nacre_integer(key);
    return nacre_delete(lab->kv, &k);
}
static nacre_status tx_delete(Lab *lab, int64_t key) {
    nacre_value k = nacre_integer(key);
    return nacre_transaction_delete(lab->tx, lab->kv, &k);
}

/* "" where there is no such row. */
static const char *seen(Lab *lab, const nacre_snapshot *snapshot, int64_t key) {
    static char text[64];
    nacre_value k = nacre_integer(key);
    nacre_row row;
    nacre_status status = nacre_get(lab->kv, snapshot, &k, &row);
    if (status != NACRE_OK) return status == NACRE_NOT_FOUND ? "" : "?";
    size_t size = row.fields[0].bytes.size < sizeof text - 1 ? row.fields[0].bytes.size : sizeof text - 1;
    memcpy(text, row.fields[0].bytes.data, size);
    text[size] = '\0';
    return text;
}
static const char *now(Lab *lab, int64_t key) { return seen(lab, NULL, key); }
static const char *inside(Lab *lab, int64_t key) { return seen(lab, nacre_transaction_snapshot(lab->tx), key); }

/* Keys and values in order, "1a 2b". */
static const char *all(Lab *lab, const nacre_snapshot *snapshot, bool reverse) {
    static char text[256];
    nacre_range range = NACRE_RANGE_INIT;
    nacre_cursor *cursor = NULL;
    nacre_row row;
    size_t used = 0;
    range.reverse = reverse;
    text[0] = '\0';
    if (nacre_cursor_open(lab->kv, snapshot, &range, &cursor) != NACRE_OK) return "?";
    while (nacre_cursor_next(cursor, &row) == NACRE_OK && used + 40 < sizeof text)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%d%.*s", used ? " " : "", (int)row.key[0].integer,
                                 (int)row.fields[0].bytes.size, (const char *)row.fields[0].bytes.data);
    nacre_cursor_close(cursor);
    return text;
}
static const char *all_inside(Lab *lab) { return all(lab, nacre_transaction_snapshot(lab->tx), false); }

static nacre_status begin(Lab *lab) { return nacre_begin(lab->db, &lab->tx); }

static void c08_own_writes_are_seen_inside_and_by_nobody_else_until_commit(void) {
    Lab lab;
    REQUIRE(lab_open(&lab));
    CHECK_EQ(put(&lab, 1, "a"), NACRE_OK);
    CHECK_EQ(put(&lab, 2, "b"), NACRE_OK);
    REQUIRE(begin(&lab) == NACRE_OK);
    CHECK_EQ(tx_put(&lab, 2, "B"), NACRE_OK);
    CHECK_EQ(tx_put(&lab, 3, "C"), NACRE_OK);
    CHECK_EQ(tx_delete(&lab, 1), NACRE_OK);
    CHECK_EQ(tx_delete(&lab, 1), NACRE_NOT_FOUND);
    CHECK_STR(inside(&lab, 1), "");
    CHECK_STR(inside(&lab, 2), "B");
    CHECK_STR(all_inside(&lab), "2B 3C");
    CHECK_STR(all(&lab, nacre_transaction_snapshot(lab.tx), true), "3C 2B");
    CHECK_STR(all(&lab, NULL, false), "1a 2b");
    uint64_t count = 0;
    CHECK_EQ(nacre_count(lab.kv, nacre_transaction_snapshot(lab.tx), NULL, &count), NACRE_OK);
    CHECK_EQ(count, 2);
    CHECK_EQ(put(&lab, 9, "later"), NACRE_OK); /* plain writes go on, and are not seen */
    CHECK_STR(inside(&lab, 9), "");
    CHECK_EQ(nacre_commit(lab.tx), NACRE_OK);
    CHECK_STR(all(&lab, NULL, false), "2B 3C 9later");
    REQUIRE(lab_reopen(&lab));
    CHECK_STR(all(&lab, NULL, false), "2B 3C 9later");
    lab_close(&lab);
}

static void c08_a_rollback_and_a_close_leave_nothing(void) {
    Lab lab;
    REQUIRE(lab_open(&lab));
    CHECK_EQ(put(&lab, 1, "a"), NACRE_OK);
    for (int way = 0; way < 2; way++) {
        REQUIRE(begin(&lab) == NACRE_OK);
        CHECK_EQ(tx_put(&lab, 1, "A"), NACRE_OK);
        CHECK_EQ(tx_put(&lab, 2, "B"), NACRE_OK);
        if (way == 0) nacre_rollback(lab.tx);
        else REQUIRE(lab_reopen(&lab)); /* nacre_close rolls back */
        CHECK_STR(all(&lab, NULL, false), "1a");
    }
    nacre_rollback(NULL);
    lab_close(&lab);
}

static void c08_savepoints_nest(void) {
    Lab lab;
    uint64_t outer = 0, inner = 0, third = 0;
    REQUIRE(lab_open(&lab));
    REQUIRE(begin(&lab) == NACRE_OK);
    CHECK_EQ(nacre_savepoint(lab.tx, &outer), NACRE_OK); /* before anything is written */
    CHECK_EQ(tx_put(&lab, 1, "a"), NACRE_OK);
    CHECK_EQ(nacre_rollback_to(lab.tx, outer), NACRE_OK);
    CHECK_STR(all_inside(&lab), "");
    CHECK_EQ(tx_put(&lab, 1, "a"), NACRE_OK);
    CHECK_EQ(tx_put(&lab, 2, "b"), NACRE_OK);
    CHECK_EQ(nacre_savepoint(lab.tx, &outer), NACRE_OK);
    CHECK_EQ(tx_put(&lab, 2, "B"), NACRE_OK);
    CHECK_EQ(nacre_savepoint(lab.tx, &inner), NACRE_OK);
    CHECK_EQ(tx_delete(&lab, 1), NACRE_OK);
    CHECK_EQ(tx_put(&lab, 3, "c"), NACRE_OK);
    CHECK_STR(all_inside(&lab), "2B 3c");
    CHECK_EQ(nacre_rollback_to(lab.tx, inner), NACRE_OK);
    CHECK_STR(all_inside(&lab), "1a 2B");
    CHECK_EQ(nacre_rollback_to(lab.tx, inner), NACRE_OK); /* it stays */
    CHECK_EQ(tx_put(&lab, 4, "d"), NACRE_OK);
    CHECK_EQ(nacre_savepoint_release(lab.tx, inner), NACRE_OK);
    CHECK_EQ(nacre_rollback_to(lab.tx, inner), NACRE_NOT_FOUND);
    CHECK_STR(all_inside(&lab), "1a 2B 4d");
    CHECK_EQ(nacre_savepoint(lab.tx, &inner), NACRE_OK);
    CHECK_EQ(nacre_savepoint(lab.tx, &third), NACRE_OK);
    CHECK_EQ(nacre_rollback_to(lab.tx, outer), NACRE_OK); /* with what was released into it */
    CHECK_STR(all_inside(&lab), "1a 2b");
    CHECK_EQ(nacre_savepoint_release(lab.tx, third), NACRE_NOT_FOUND); /* those made since are forgotten */
    CHECK_EQ(nacre_savepoint_release(lab.tx, inner), NACRE_NOT_FOUND);
    CHECK_EQ(nacre_savepoint_release(lab.tx, outer), NACRE_OK);
    CHECK_EQ(tx_put(&lab, 5, "e"), NACRE_OK);
    CHECK_EQ(nacre_commit(lab.tx), NACRE_OK);
    CHECK_STR(all(&lab, NULL, false), "1a 2b 5e");
    lab_close(&lab);
}

/* Where the others' rows are when it is asked: in the memtable, a frozen one, a segment, a merged one. */
static bool settle(Lab *lab, int how) {
    if (how == 1) return CHECK_EQ(nacre_checkpoint(lab->db), NACRE_OK);
    if (how == 2) return CHECK_EQ(nacre_compact(lab->db, NULL), NACRE_OK);
    return true;
}

static void c08_a_row_that_someone_else_changed_is_a_conflict(void) {
    for (int before = 0; before < 3; before++)
        for (int after = 0; after < 3; after++) {
            Lab lab;
            REQUIRE(lab_open(&lab));
            CHECK_EQ(put(&lab, 1, "a"), NACRE_OK);
            CHECK_EQ(put(&lab, 2, "b"), NACRE_OK);
            if (!settle(&lab, before)) return;
            for (int change = 0; change < 3; change++) {
                REQUIRE(begin(&lab) == NACRE_OK);
                CHECK_EQ(tx_put(&lab, 5, "mine"), NACRE_OK);
                int64_t key = change == 0 ? 1 : change == 1 ? 2 : 3;
                if (change == 0) CHECK_EQ(put(&lab, 1, "other"), NACRE_OK);
                if (change == 1) CHECK_EQ(delete(&lab, 2), NACRE_OK);
                if (change == 2) CHECK_EQ(put(&lab, 3, "new"), NACRE_OK);
                CHECK_EQ(tx_put(&lab, key, "mine"), NACRE_OK);
                if (!settle(&lab, after)) return;
                CHECK_EQ(nacre_commit(lab.tx), NACRE_CONFLICT);
                CHECK(strstr(nacre_message(lab.db), "\"kv\"") != NULL);
                CHECK(strchr(nacre_message(lab.db), (char)('0' + key)) != NULL);
                CHECK_STR(now(&lab, key), change == 0 ? "other" : change == 1 ? "" : "new");
                CHECK_STR(now(&lab, 5), ""); /* nothing was applied */
            }
            lab_close(&lab);
        }
}

static void c08_a_row_that_is_as_it_was_is_no_conflict(void) {
    for (int after = 0; after < 3; after++) {
        Lab lab;
        REQUIRE(lab_open(&lab));
        CHECK_EQ(put(&lab, 1, "a"), NACRE_OK);
        CHECK_EQ(put(&lab, 2, "b"), NACRE_OK);
        REQUIRE(begin(&lab) == NACRE_OK);
        CHECK_EQ(put(&lab, 2, "x"), NACRE_OK); /* read, and not written */
        CHECK_EQ(put(&lab, 1, "x"), NACRE_OK);
        CHECK_EQ(put(&lab, 1, "a"), NACRE_OK); /* changed back */
        CHECK_EQ(put(&lab, 3, "x"), NACRE_OK);
        CHECK_EQ(delete(&lab, 3), NACRE_OK);
        CHECK_STR(inside(&lab, 2), "b");
        CHECK_EQ(tx_put(&lab, 1, "A"), NACRE_OK);
        CHECK_EQ(tx_put(&lab, 3, "C"), NACRE_OK);
        uint64_t savepoint = 0;
        CHECK_EQ(nacre_savepoint(lab.tx, &savepoint), NACRE_OK);
        CHECK_EQ(tx_put(&lab, 2, "undone"), NACRE_OK);
        CHECK_EQ(nacre_rollback_to(lab.tx, savepoint), NACRE_OK);
        if (!settle(&lab, after)) return;
        CHECK_EQ(nacre_commit(lab.tx), NACRE_OK);
        CHECK_STR(all(&lab, NULL, false), "1A 2x 3C");
        lab_close(&lab);
    }
}

/* A value of a segment to itself is told by checksums of its pieces, one in memory by its bytes. */
static void c08_large_values_are_compared_wherever_they_lie(void) {
    enum { LARGE = (1 << 20) + 300000 };
    static char text[LARGE + 1];
    memset(text, 'x', LARGE);
    for (int before = 0; before < 3; before++)
        for (int after = 0; after < 3; after++)
            for (int change = 0; change < 3; change++) { /* not, to the same, by one byte */
                Lab lab;
                REQUIRE(lab_open(&lab));
                text[LARGE - 7] = 'x';
                CHECK_EQ(put(&lab, 1, text), NACRE_OK);
                if (!settle(&lab, before)) return;
                REQUIRE(begin(&lab) == NACRE_OK);
                text[LARGE - 7] = change == 2 ? 'y' : 'x';
                CHECK_EQ(put(&lab, 2, "b"), NACRE_OK);
                if (change) CHECK_EQ(put(&lab, 1, text), NACRE_OK);
                CHECK_EQ(tx_put(&lab, 1, "mine"), NACRE_OK);
                if (!settle(&lab, after)) return;
                CHECK_EQ(nacre_commit(lab.tx), change == 2 ? NACRE_CONFLICT : NACRE_OK);
                lab_close(&lab);
            }
}

static void c08_misuse_is_refused(void) {
    Lab lab;
    nacre_transaction *second = NULL;
    nacre_value key = nacre_integer(1), value = nacre_text("a"), wrong = nacre_real(1.5);
    REQUIRE(lab_open(&lab));
    CHECK_EQ(put(&lab, 1, "a"), NACRE_OK);
    CHECK_EQ(nacre_begin(NULL, &second), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_begin(lab.db, NULL), NACRE_INVALID_ARGUMENT);
    REQUIRE(begin(&lab) == NACRE_OK);
    CHECK_EQ(nacre_begin(lab.db, &second), NACRE_BUSY);
    CHECK(second == NULL);
    CHECK_EQ(nacre_transaction_put(NULL, lab.kv, &key, NULL, &value), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_transaction_put(lab.tx, NULL, &key, NULL, &value), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_transaction_put(lab.tx, lab.kv, NULL, NULL, &value), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_transaction_put(lab.tx, lab.kv, &wrong, NULL, &value), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_transaction_put(lab.tx, lab.kv, &key, NULL, &wrong), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_transaction_delete(lab.tx, lab.kv, NULL), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_savepoint(lab.tx, NULL), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_rollback_to(lab.tx, 77), NACRE_NOT_FOUND);
    CHECK_EQ(nacre_commit(NULL), NACRE_INVALID_ARGUMENT);
    CHECK(nacre_transaction_snapshot(NULL) == NULL);
    nacre_range range = NACRE_RANGE_INIT;
    range.limit = 3;
    CHECK_EQ(nacre_transaction_clear(lab.tx, lab.kv, &range, NULL), NACRE_INVALID_ARGUMENT);
    nacre_snapshot_release((nacre_snapshot *)(uintptr_t)nacre_transaction_snapshot(lab.tx)); /* left alone */
    CHECK_STR(all_inside(&lab), "1a"); /* and nothing of this did anything */
    nacre_options options = NACRE_OPTIONS_INIT;
    nacre_db *other = NULL;
    nacre_membrane *foreign = NULL;
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_TEXT);
    REQUIRE(nacre_open(":memory:", &options, &other, NULL) == NACRE_OK);
    CHECK_EQ(nacre_membrane_open(other, "kv", &schema, &foreign), NACRE_OK);
    CHECK_EQ(nacre_transaction_put(lab.tx, foreign, &key, NULL, &value), NACRE_MISUSE);
    CHECK_EQ(nacre_close(other, NULL), NACRE_OK);
    nacre_rollback(lab.tx);
    CHECK_EQ(nacre_begin(lab.db, &second), NACRE_OK); /* one after the other */
    CHECK_EQ(nacre_commit(second), NACRE_OK);         /* of nothing */
    CHECK_EQ(nacre_close(lab.db, NULL), NACRE_OK);
    options = lab_options(lab.disk);
    options.mode = NACRE_READ;
    REQUIRE(nacre_open("db", &options, &lab.db, NULL) == NACRE_OK);
    CHECK_EQ(nacre_begin(lab.db, &second), NACRE_READONLY);
    lab_close(&lab);
}

static void c08_a_dropped_membrane_refuses_the_commit(void) {
    Lab lab;
    nacre_membrane *other = NULL;
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_TEXT);
    nacre_value key = nacre_integer(1), value = nacre_text("a");
    REQUIRE(lab_open(&lab));
    CHECK_EQ(nacre_membrane_open(lab.db, "other", &schema, &other), NACRE_OK);
    for (int undone = 0; undone < 2; undone++) {
        uint64_t savepoint = 0;
        REQUIRE(begin(&lab) == NACRE_OK);
        CHECK_EQ(tx_put(&lab, 7, "mine"), NACRE_OK);
        CHECK_EQ(nacre_savepoint(lab.tx, &savepoint), NACRE_OK);
        CHECK_EQ(nacre_transaction_put(lab.tx, other, &key, NULL, &value), NACRE_OK);
        CHECK_EQ(nacre_membrane_drop(lab.db, "other"), NACRE_OK);
        CHECK_EQ(nacre_transaction_put(lab.tx, other, &key, NULL, &value), NACRE_NOT_FOUND);
        if (undone) CHECK_EQ(nacre_rollback_to(lab.tx, savepoint), NACRE_OK); /* then it does not matter */
        CHECK_EQ(nacre_commit(lab.tx), undone ? NACRE_OK : NACRE_NOT_FOUND);
        CHECK_STR(now(&lab, 7), undone ? "mine" : "");
        CHECK_EQ(nacre_membrane_open(lab.db, "other", &schema, &other), NACRE_OK);
        uint64_t count = 1;
        CHECK_EQ(nacre_count(other, NULL, NULL, &count), NACRE_OK);
        CHECK_EQ(count, 0);
    }
    lab_close(&lab);
}

/* The same of one that has outgrown memory. */
static void c09_a_dropped_membrane_refuses_a_large_commit(void) {
    Lab lab;
    nacre_membrane *other = NULL;
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_TEXT);
    static char text[1000];
    memset(text, 'x', sizeof text - 1);
    REQUIRE(lab_open(&lab));
    CHECK_EQ(nacre_membrane_open(lab.db, "other", &schema, &other), NACRE_OK);
    REQUIRE(begin(&lab) == NACRE_OK);
    for (int i = 0; i < 400; i++) {
        nacre_value key = nacre_integer(i), value = nacre_text(text);
        CHECK_EQ(nacre_transaction_put(lab.tx, i % 2 ? other : lab.kv, &key, NULL, &value), NACRE_OK);
    }
    CHECK_EQ(nacre_membrane_drop(lab.db, "other"), NACRE_OK);
    CHECK_EQ(nacre_commit(lab.tx), NACRE_NOT_FOUND);
    CHECK(strstr(nacre_message(lab.db), "dropped"));
    CHECK_STR(all(&lab, NULL, false), "");
    lab_close(&lab);
}

/* A row is its vector and its end, too: who changes these only is in the way as well. */
static void c08_a_vector_or_an_expiry_that_changed_is_a_conflict(void) {
    Lab lab;
    nacre_membrane *points = NULL;
    nacre_schema schema = nacre_schema_collection(NACRE_INTEGER, 2, NACRE_L2, NULL, 0);
    const float mine[2] = {9, 9};
    nacre_put_options hour = NACRE_PUT_INIT, day = NACRE_PUT_INIT;
    nacre_value key = nacre_integer(1), value = nacre_text("same");
    hour.ttl_ms = 3600000, day.ttl_ms = 86400000;
    REQUIRE(lab_open(&lab));
    CHECK_EQ(nacre_membrane_open(lab.db, "points", &schema, &points), NACRE_OK);
    for (int changed = 0; changed < 2; changed++)
        for (int flushed = 0; flushed < 2; flushed++) {
            const float before[2] = {1, 2}, after[2] = {1, changed ? 3 : 2};
            nacre_status want = changed ? NACRE_CONFLICT : NACRE_OK;
            CHECK_EQ(nacre_put(points, &key, before, NULL), NACRE_OK);
            CHECK_EQ(nacre_put_with(lab.kv, &key, NULL, &value, &hour), NACRE_OK);
            REQUIRE(begin(&lab) == NACRE_OK);
            CHECK_EQ(nacre_transaction_put(lab.tx, points, &key, mine, NULL), NACRE_OK);
            CHECK_EQ(nacre_put(points, &key, after, NULL), NACRE_OK);
            if (flushed) CHECK_EQ(nacre_checkpoint(lab.db), NACRE_OK);
            CHECK_EQ(nacre_commit(lab.tx), want);
            REQUIRE(begin(&lab) == NACRE_OK);
            CHECK_EQ(tx_put(&lab, 1, "mine"), NACRE_OK);
            CHECK_EQ(nacre_put_with(lab.kv, &key, NULL, &value, changed ? &day : &hour), NACRE_OK);
            if (flushed) CHECK_EQ(nacre_checkpoint(lab.db), NACRE_OK);
            CHECK_EQ(nacre_commit(lab.tx), want);
        }
    lab_close(&lab);
}

/* What was written meanwhile may be in the memtable that waits to be flushed. */
static void c08_a_row_in_the_frozen_memtable_is_a_conflict(void) {
    Lab lab;
    static char text[4000];
    memset(text, 'x', sizeof text - 1);
    REQUIRE(lab_open(&lab));
    CHECK_EQ(put(&lab, 1, "a"), NACRE_OK);
    REQUIRE(begin(&lab) == NACRE_OK);
    CHECK_EQ(tx_put(&lab, 1, "mine"), NACRE_OK);
    CHECK_EQ(put(&lab, 1, "b"), NACRE_OK);
    uint64_t flushes = lab.db->counters.flushes;
    for (int i = 10; i < 100 && !lab.db->frozen; i++) CHECK_EQ(put(&lab, i, text), NACRE_OK);
    CHECK(lab.db->frozen != NULL);
    CHECK_EQ(lab.db->counters.flushes, flushes); /* it is nowhere else */
    CHECK_EQ(nacre_commit(lab.tx), NACRE_CONFLICT);
    CHECK_STR(now(&lab, 1), "b");
    lab_close(&lab);
}

/* A clear that fails in its middle has removed nothing. */
static void c08_a_clear_that_fails_is_undone(void) {
    enum { ROWS = 6000 };
    FailingAllocator memory;
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = lab_options(disk);
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_TEXT);
    nacre_db *db = NULL;
    nacre_membrane *kv = NULL;
    uint64_t refused = 0;
    failing_allocator_init(&memory);
    options.allocator = memory.allocator;
    options.memory = 32 << 20;
    options.memtable_size = 2 << 20;
    options.durability = NACRE_NONE;
    CHECK_EQ(nacre_open("db", &options, &db, NULL), NACRE_OK);
    CHECK_EQ(nacre_membrane_open(db, "kv", &schema, &kv), NACRE_OK);
    for (int i = 0; i < ROWS; i++) {
        nacre_value key = nacre_integer(i), value = nacre_text("v");
        CHECK_EQ(nacre_put(kv, &key, NULL, &value), NACRE_OK);
    }
    nacre_status status = NACRE_RESOURCE_EXHAUSTED;
    for (uint64_t nth = 1; status != NACRE_OK && nth < 1000; nth++) {
        nacre_transaction *tx = NULL;
        uint64_t removed = 77, inside_count = 0, count = 0;
        REQUIRE(nacre_begin(db, &tx) == NACRE_OK);
        failing_allocator_fail_at(&memory, nth, true);
        status = nacre_transaction_clear(tx, kv, NULL, &removed);
        failing_allocator_fail_at(&memory, 0, false);
        CHECK(status == NACRE_OK || status == NACRE_RESOURCE_EXHAUSTED);
        CHECK_EQ(removed, status == NACRE_OK ? ROWS : 77);
        CHECK_EQ(nacre_count(kv, nacre_transaction_snapshot(tx), NULL, &inside_count), NACRE_OK);
        CHECK_EQ(inside_count, status == NACRE_OK ? 0 : ROWS);
        CHECK_EQ(nacre_commit(tx), NACRE_OK);
        CHECK_EQ(nacre_count(kv, NULL, NULL, &count), NACRE_OK);
        CHECK_EQ(count, inside_count);
        refused += status != NACRE_OK;
    }
    CHECK_EQ(status, NACRE_OK);
    CHECK(refused > 3);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    CHECK(failing_allocator_clean(&memory));
    failing_allocator_clear(&memory);
    sim_disk_free(disk);
}

/* Moves on by one row and tells it. */
static const char *step(nacre_cursor *cursor) {
    static char text[48];
    nacre_row row;
    if (nacre_cursor_next(cursor, &row) != NACRE_OK) return "";
    (void)snprintf(text, sizeof text, "%d%.*s", (int)row.key[0].integer, (int)row.fields[0].bytes.size,
                   (const char *)row.fields[0].bytes.data);
    return text;
}

static void c08_a_cursor_sees_the_state_at_its_opening(void) {
    Lab lab;
    nacre_cursor *first = NULL, *second = NULL;
    uint64_t savepoint = 0, removed = 0;
    REQUIRE(lab_open(&lab));
    CHECK_EQ(put(&lab, 1, "a"), NACRE_OK);
    CHECK_EQ(put(&lab, 9, "z"), NACRE_OK);
    REQUIRE(begin(&lab) == NACRE_OK);
    CHECK_EQ(tx_put(&lab, 3, "c"), NACRE_OK);
    CHECK_EQ(nacre_savepoint(lab.tx, &savepoint), NACRE_OK);
    CHECK_EQ(tx_put(&lab, 5, "e"), NACRE_OK);
    CHECK_EQ(nacre_cursor_open(lab.kv, nacre_transaction_snapshot(lab.tx), NULL, &first), NACRE_OK);
    CHECK_STR(step(first), "1a");
    CHECK_EQ(tx_put(&lab, 4, "new"), NACRE_OK);
    CHECK_EQ(tx_put(&lab, 5, "E"), NACRE_OK);
    CHECK_EQ(tx_delete(&lab, 3), NACRE_OK);
    CHECK_STR(step(first), "3c");
    CHECK_EQ(nacre_cursor_open(lab.kv, nacre_transaction_snapshot(lab.tx), NULL, &second), NACRE_OK);
    CHECK_EQ(nacre_rollback_to(lab.tx, savepoint), NACRE_OK);
    CHECK_STR(all_inside(&lab), "1a 3c 9z");
    CHECK_EQ(nacre_transaction_clear(lab.tx, lab.kv, NULL, &removed), NACRE_OK);
    CHECK_EQ(removed, 3);
    CHECK_STR(all_inside(&lab), "");
    CHECK_STR(step(first), "5e");
    CHECK_STR(step(second), "1a");
    CHECK_STR(step(second), "4new");
    CHECK_EQ(nacre_commit(lab.tx), NACRE_OK);
    CHECK_STR(all(&lab, NULL, false), "");
    CHECK_EQ(nacre_compact(lab.db, NULL), NACRE_OK);
    CHECK_STR(step(second), "5E"); /* they outlive it */
    CHECK_STR(step(second), "9z");
    CHECK_STR(step(second), "");
    CHECK_STR(step(first), "9z");
    CHECK_STR(step(first), "");
    nacre_cursor_close(first);
    nacre_cursor_close(second);
    lab_close(&lab);
}

/* ---- random histories ---- */

enum { KEYS = 40, DEPTH = 4 };

typedef bool Marks[MODEL_MEMBRANES][KEYS];

typedef struct Level {
    uint64_t serial;
    Model view;
    Marks written;
} Level;

typedef struct Play {
    SimDisk *disk;
    nacre_db *db;
    nacre_membrane *membranes[MODEL_MEMBRANES];
    nacre_transaction *tx; /* NULL: none is open */
    Model committed, base, view;
    Marks written;
    Level levels[DEPTH];
    int depth;
    nacre_cursor *cursor;  /* opened in the transaction on membrane 1, or NULL */
    Model cursor_model;
    bool large; /* outgrows memory again and again */
    uint64_t random, conflicts, commits, ingests;
} Play;

static nacre_options play_options(SimDisk *disk) {
    nacre_options options = lab_options(disk);
    options.memory = 4 << 20;
    return options;
}

static bool play_open(Play *p) {
    nacre_options options = play_options(p->disk);
    nacre_error error = {0};
    if (nacre_open("db", &options, &p->db, &error) != NACRE_OK) return check_that(CHECK_HERE, error.text, false);
    return CHECK_EQ(model_open(p->db, p->membranes), NACRE_OK);
}

static bool play_ok(Play *p, nacre_status status) {
    return status == NACRE_OK || check_that(CHECK_HERE, nacre_message(p->db), false);
}

/* A number of the stats. */
static uint64_t counted(nacre_db *db, const char *name) {
    const char *json = NULL, *at = NULL;
    if (!CHECK_EQ(nacre_stats_json(db, &json), NACRE_OK) || !CHECK((at = strstr(json, name)) != NULL)) return 0;
    return strtoull(at + strlen(name), NULL, 10);
}

/* All rows of one state, by get, both ways and count. */
static bool play_equal(Play *p, const nacre_snapshot *snapshot, const Model *model) {
    for (int m = 0; m < MODEL_MEMBRANES; m++) {
        uint64_t present = 0, count = 0;
        char room[48];
        nacre_row row;
        for (uint32_t key = 0; key < KEYS; key++) {
            nacre_value name = model_key(m, key, room);
            nacre_status status = nacre_get(p->membranes[m], snapshot, &name, &row);
            uint32_t want = model->version[m][key];
            present += want != 0;
            if (status != (want ? NACRE_OK : NACRE_NOT_FOUND)) return check_that(CHECK_HERE, "get: there or not", false);
            if (want && model_row_version(m, key, &row) != want) return check_that(CHECK_HERE, "get: version", false);
        }
        if (!play_ok(p, nacre_count(p->membranes[m], snapshot, NULL, &count)) || !CHECK_EQ(count, present)) return false;
    }
    Model read;
    return CHECK(model_read(p->db, snapshot, &read)) && CHECK(memcmp(&read, model, sizeof read) == 0) &&
           CHECK_EQ(model_search_differences(p->db, snapshot, model, 1), 0);
}

static uint64_t draw(Play *p, uint64_t below) { return test_random(&p->random) % below; }

static bool play_plain(Play *p) {
    nacre_batch *batch = NULL;
    Model next = p->committed;
    if (!play_ok(p, nacre_batch_begin(p->db, &batch))) return false;
    for (uint64_t i = 1 + draw(p, 4); i > 0; i--) {
        int m = (int)draw(p, MODEL_MEMBRANES);
        uint32_t key = (uint32_t)draw(p, KEYS), version = draw(p, 3) ? 1 + (uint32_t)draw(p, 1000000) : 0;
        if (p->tx && draw(p, 6) == 0) version = p->base.version[m][key]; /* back to what it was */
        if (!play_ok(p, version ? model_put(batch, p->membranes, m, key, version)
                                : model_delete(batch, p->membranes, m, key)))
            return false;
        next.version[m][key] = version;
    }
    if (!play_ok(p, nacre_batch_commit(batch))) return false;
    p->committed = next;
    return true;
}

static bool play_write(Play *p) {
    for (uint64_t i = 1 + draw(p, p->large && draw(p, 4) == 0 ? 1200 : draw(p, 8) ? 4 : 40); i > 0; i--) {
        int m = (int)draw(p, MODEL_MEMBRANES);
        uint32_t key = (uint32_t)draw(p, KEYS), version = draw(p, 3) ? 1 + (uint32_t)draw(p, 1000000) : 0;
        bool there = p->view.version[m][key] != 0;
        nacre_status status = version ? model_transaction_put(p->tx, p->membranes, m, key, version)
                                      : model_transaction_delete(p->tx, p->membranes, m, key);
        if (!version && !there) {
            if (!CHECK_EQ(status, NACRE_NOT_FOUND)) return false;
            continue;
        }
        if (!play_ok(p, status)) return false;
        p->view.version[m][key] = version;
        p->written[m][key] = true;
    }
    return true;
}

static bool play_clear(Play *p) {
    int m = (int)draw(p, MODEL_MEMBRANES);
    uint64_t want = 0, removed = 0;
    for (uint32_t key = 0; key < KEYS; key++) {
        want += p->view.version[m][key] != 0;
        p->written[m][key] |= p->view.version[m][key] != 0;
        p->view.version[m][key] = 0;
    }
    return play_ok(p, nacre_transaction_clear(p->tx, p->membranes[m], NULL, &removed)) && CHECK_EQ(removed, want);
}

static bool play_savepoint(Play *p) {
    if (p->depth < DEPTH && draw(p, 2)) {
        Level *level = &p->levels[p->depth++];
        level->view = p->view;
        memcpy(level->written, p->written, sizeof p->written);
        return play_ok(p, nacre_savepoint(p->tx, &level->serial));
    }
    if (p->depth == 0) return true;
    int to = (int)draw(p, (uint64_t)p->depth);
    if (draw(p, 3) == 0) {
        p->depth = to;
        return play_ok(p, nacre_savepoint_release(p->tx, p->levels[to].serial));
    }
    p->depth = to + 1;
    p->view = p->levels[to].view;
    memcpy(p->written, p->levels[to].written, sizeof p->written);
    return play_ok(p, nacre_rollback_to(p->tx, p->levels[to].serial));
}

/* The cursor's rows are those of the state at its opening, whatever happened since. */
static bool play_cursor(Play *p) {
    if (!p->cursor) {
        if (!p->tx) return true;
        p->cursor_model = p->view;
        return play_ok(p, nacre_cursor_open(p->membranes[1], nacre_transaction_snapshot(p->tx), NULL, &p->cursor));
    }
    uint64_t rows = 0, want = 0;
    nacre_row row;
    nacre_status status;
    bool right = true;
    for (uint32_t key = 0; key < KEYS; key++) want += p->cursor_model.version[1][key] != 0;
    while ((status = nacre_cursor_next(p->cursor, &row)) == NACRE_OK && right) {
        uint32_t key = 0;
        char room[48];
        while (key < KEYS && model_key(1, key, room).integer != row.key[0].integer) key++;
        right = key < KEYS && model_row_version(1, key, &row) == p->cursor_model.version[1][key];
        rows++;
    }
    nacre_cursor_close(p->cursor);
    p->cursor = NULL;
    return CHECK(right) && CHECK_EQ(status, NACRE_NOT_FOUND) && CHECK_EQ(rows, want);
}

static bool play_begin(Play *p) {
    p->base = p->view = p->committed;
    memset(p->written, 0, sizeof p->written);
    p->depth = 0;
    return play_ok(p, nacre_begin(p->db, &p->tx));
}

static bool play_end(Play *p) {
    bool conflict = false;
    for (int m = 0; m < MODEL_MEMBRANES; m++)
        for (uint32_t key = 0; key < KEYS; key++)
            conflict |= p->written[m][key] && p->committed.version[m][key] != p->base.version[m][key];
    nacre_transaction *tx = p->tx;
    p->tx = NULL;
    if (draw(p, 5) == 0) {
        nacre_rollback(tx);
        return true;
    }
    nacre_status status = nacre_commit(tx);
    p->conflicts += conflict;
    p->commits += !conflict;
    if (status != (conflict ? NACRE_CONFLICT : NACRE_OK))
        return check_that(CHECK_HERE, status ? nacre_message(p->db) : "a conflict was missed", false);
    if (conflict) return true;
    for (int m = 0; m < MODEL_MEMBRANES; m++)
        for (uint32_t key = 0; key < KEYS; key++)
            if (p->written[m][key]) p->committed.version[m][key] = p->view.version[m][key];
    return true;
}

static bool play_house(Play *p) {
    bool more;
    switch (draw(p, 6)) {
    case 0: return play_ok(p, nacre_compact(p->db, NULL));
    case 1: return play_ok(p, nacre_step(p->db, 30000, &more));
    case 2:
        if (p->cursor) {
            nacre_cursor_close(p->cursor);
            p->cursor = NULL;
        }
        p->tx = NULL; /* closing rolls it back */
        p->ingests += counted(p->db, "\"ingests\":");
        return CHECK_EQ(nacre_close(p->db, NULL), NACRE_OK) && play_open(p);
    default: return play_ok(p, nacre_checkpoint(p->db));
    }
}

static bool play_round(Play *p) {
    uint64_t what = draw(p, 40);
    if (what < 8) return play_plain(p);
    if (what == 8) return play_house(p);
    if (what == 9) return play_equal(p, NULL, &p->committed);
    if (what < 12) return play_cursor(p);
    if (!p->tx) return play_begin(p);
    if (what < 26) return play_write(p);
    if (what < 33) return play_savepoint(p);
    if (what == 33) return play_clear(p);
    if (what < 36) return play_equal(p, nacre_transaction_snapshot(p->tx), &p->view);
    return play_end(p);
}

static void play_histories(uint64_t histories, unsigned rounds, bool large) {
    uint64_t conflicts = 0, commits = 0, ingests = 0, problems = 0;
    bool right = true;
    for (uint64_t h = 0; h < histories && right; h++) {
        Play *p = calloc(1, sizeof *p);
        if (!p) abort();
        p->random = test_seed() + h * 7919;
        p->disk = sim_disk_new(1);
        p->large = large;
        right = play_open(p);
        for (unsigned i = 0; i < rounds && right; i++) right = play_round(p);
        if (right) right = play_equal(p, NULL, &p->committed);
        if (p->db) p->ingests += counted(p->db, "\"ingests\":");
        if (right) right = CHECK_EQ(nacre_verify(p->db, true, NULL, NULL, &problems), NACRE_OK) && CHECK_EQ(problems, 0);
        if (p->cursor) nacre_cursor_close(p->cursor);
        CHECK_EQ(nacre_close(p->db, NULL), NACRE_OK);
        sim_disk_free(p->disk);
        if (!right) printf("# history %llu of seed %llu\n", (unsigned long long)h, (unsigned long long)test_seed());
        conflicts += p->conflicts;
        commits += p->commits;
        ingests += p->ingests;
        free(p);
    }
    if (large) CHECK(ingests > commits / 8); /* of commits; many more are rolled back */
    printf("# %llu commits, %llu of them spilled, %llu conflicts\n", (unsigned long long)commits,
           (unsigned long long)ingests, (unsigned long long)conflicts);
    CHECK(conflicts > histories / 8);
    CHECK(commits > histories / 2);
}

#if defined __wasm__ || defined __aarch64__ /* often emulated */
enum { HISTORIES = 100, LARGE_HISTORIES = 20 };
#else
enum { HISTORIES = 1000, LARGE_HISTORIES = 100 };
#endif
static void c08_random_histories_are_snapshot_isolation(void) { play_histories(HISTORIES, 60, false); }
static void c08_random_histories_that_outgrow_memory_are_too(void) { play_histories(LARGE_HISTORIES, 100, true); }

/* ---- larger than memory ---- */

enum { MANY = 40000 };

static nacre_value many_key(uint32_t i) { return nacre_integer((int64_t)(i * 2654435761u)); }

/* C09: random puts, deletions and puts again of MANY rows in one transaction, of a database
 * with 1 MiB of memory: some 5 MB, which fold and are published. */
static void c09_a_transaction_may_be_many_times_larger_than_memory(void) {
    for (int commit = 0; commit < 2; commit++) {
        SimDisk *disk = sim_disk_new(1);
        nacre_options options = NACRE_OPTIONS_INIT;
        options.vfs = sim_disk_vfs(disk);
        options.memory = 1 << 20;
        nacre_db *db = NULL;
        nacre_membrane *kv = NULL;
        nacre_transaction *tx = NULL;
        nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
        REQUIRE(nacre_open("db", &options, &db, NULL) == NACRE_OK);
        REQUIRE(nacre_membrane_open(db, "kv", &schema, &kv) == NACRE_OK);
        nacre_value zero = nacre_integer(-1), value = nacre_bytes("before", 6);
        CHECK_EQ(nacre_put(kv, &zero, NULL, &value), NACRE_OK);
        REQUIRE(nacre_begin(db, &tx) == NACRE_OK);
        uint8_t bytes[100];
        bool right = true;
        for (uint32_t i = 0; i < MANY && right; i++) {
            memset(bytes, (int)(i % 251), sizeof bytes);
            nacre_value key = many_key(i);
            value = nacre_bytes(bytes, sizeof bytes);
            right = CHECK_EQ(nacre_transaction_put(tx, kv, &key, NULL, &value), NACRE_OK);
            if (i % 4 == 3) { /* an earlier one goes, spilled or not */
                key = many_key(i / 2);
                nacre_status status = nacre_transaction_delete(tx, kv, &key);
                right = right && CHECK(status == NACRE_OK || status == NACRE_NOT_FOUND);
            }
        }
        uint64_t inside_count = 0, outside = 0, want = MANY + 1 - MANY / 4;
        CHECK_EQ(nacre_count(kv, nacre_transaction_snapshot(tx), NULL, &inside_count), NACRE_OK);
        CHECK_EQ(inside_count, want);
        CHECK_EQ(nacre_count(kv, NULL, NULL, &outside), NACRE_OK);
        CHECK_EQ(outside, 1);
        CHECK(counted(db, "\"peakMemory\":") <= 1 << 20);
        if (commit) CHECK_EQ(nacre_commit(tx), NACRE_OK);
        else nacre_rollback(tx);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        REQUIRE(nacre_open("db", &options, &db, NULL) == NACRE_OK);
        REQUIRE(nacre_membrane_open(db, "kv", &schema, &kv) == NACRE_OK);
        CHECK_EQ(nacre_count(kv, NULL, NULL, &outside), NACRE_OK);
        CHECK_EQ(outside, commit ? want : 1);
        for (uint32_t i = 0; i < MANY && commit && right; i += 7) {
            nacre_row row;
            nacre_value key = many_key(i);
            bool gone = i < MANY / 2 && i % 2 == 1; /* i = j / 2 of a j = 3 modulo 4 */
            memset(bytes, (int)(i % 251), sizeof bytes);
            right = CHECK_EQ(nacre_get(kv, NULL, &key, &row), gone ? NACRE_NOT_FOUND : NACRE_OK);
            if (right && !gone)
                right = CHECK_BYTES(row.fields[0].bytes.data, row.fields[0].bytes.size, bytes, sizeof bytes);
        }
        if (!commit) { /* what was written in vain is given back */
            CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
            uint64_t size = 0;
            (void)sim_disk_bytes(disk, "db", &size);
            CHECK(size < 1 << 20);
        }
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        sim_disk_free(disk);
    }
}

/* A file that may not grow refuses what does not fit, and takes back what was tried. */
static void c09_a_full_file_refuses_a_transaction_and_stays_whole(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = lab_options(disk);
    options.database_size = 4 << 20;
    Lab lab = {.disk = disk};
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_TEXT);
    REQUIRE(nacre_open("db", &options, &lab.db, NULL) == NACRE_OK);
    REQUIRE(nacre_membrane_open(lab.db, "kv", &schema, &lab.kv) == NACRE_OK);
    CHECK_EQ(put(&lab, -1, "a"), NACRE_OK);
    static char text[1000];
    memset(text, 'x', sizeof text - 1);
    for (int round = 0; round < 6; round++) {
        nacre_status status = NACRE_OK;
        REQUIRE(begin(&lab) == NACRE_OK);
        for (int64_t i = 0; i < 8000 && status == NACRE_OK; i++) status = tx_put(&lab, i, text);
        CHECK_EQ(status, NACRE_QUOTA);
        CHECK_STR(inside(&lab, -1), "a"); /* it can still be read */
        CHECK(strlen(inside(&lab, 5)) > 0);
        if (round % 2) CHECK_EQ(nacre_checkpoint(lab.db), NACRE_OK);
        nacre_rollback(lab.tx);
        CHECK_STR(all(&lab, NULL, false), "-1a");
        CHECK_EQ(put(&lab, -2, "b"), NACRE_OK); /* there is room again */
        CHECK_EQ(delete(&lab, -2), NACRE_OK);
    }
    REQUIRE(begin(&lab) == NACRE_OK); /* one that fits */
    for (int64_t i = 0; i < 500; i++) CHECK_EQ(tx_put(&lab, i, "fits"), NACRE_OK);
    CHECK_EQ(nacre_commit(lab.tx), NACRE_OK);
    uint64_t problems = 0;
    CHECK_EQ(nacre_verify(lab.db, true, NULL, NULL, &problems), NACRE_OK);
    CHECK_EQ(problems, 0);
    lab_close(&lab);
}

/* One write that is larger than a whole memtable, and one that is larger than all before. */
static void c09_a_single_write_may_be_larger_than_a_memtable(void) {
    Lab lab;
    REQUIRE(lab_open(&lab));
    REQUIRE(begin(&lab) == NACRE_OK);
    char *text = malloc((1 << 20) + 1);
    if (!text) abort();
    CHECK_EQ(tx_put(&lab, 1, "small"), NACRE_OK);
    for (int64_t i = 2; i < 5; i++) {
        memset(text, 'a' + (int)i, 1 << 20);
        text[(1 << 20) >> (i - 2)] = '\0';
        CHECK_EQ(tx_put(&lab, i, text), NACRE_OK);
    }
    CHECK_EQ(tx_put(&lab, 5, "small"), NACRE_OK);
    CHECK_EQ(nacre_commit(lab.tx), NACRE_OK);
    CHECK_STR(now(&lab, 1), "small");
    CHECK_STR(now(&lab, 5), "small");
    for (int64_t i = 2; i < 5; i++) {
        nacre_value key = nacre_integer(i);
        nacre_row row;
        if (!CHECK_EQ(nacre_get(lab.kv, NULL, &key, &row), NACRE_OK)) break;
        CHECK_EQ(row.fields[0].bytes.size, (1 << 20) >> (i - 2));
        CHECK(((const char *)row.fields[0].bytes.data)[1000] == 'a' + (char)i);
    }
    free(text);
    lab_close(&lab);
}

/* Savepoints and cursors of what is long spilled. */
static void c09_savepoints_hold_beyond_memory(void) {
    Lab lab;
    uint64_t outer = 0, inner = 0, count = 0;
    static char text[400];
    memset(text, 'x', sizeof text - 1);
    REQUIRE(lab_open(&lab));
    CHECK_EQ(put(&lab, 0, "zero"), NACRE_OK);
    for (int way = 0; way < 3; way++) { /* back to the inner one, to the outer one, not at all */
        nacre_cursor *cursor = NULL;
        REQUIRE(begin(&lab) == NACRE_OK);
        for (int64_t i = 1; i <= 500; i++) CHECK_EQ(tx_put(&lab, i, text), NACRE_OK);
        CHECK_EQ(tx_put(&lab, 7, "first"), NACRE_OK);
        CHECK_EQ(nacre_savepoint(lab.tx, &outer), NACRE_OK);
        for (int64_t i = 1; i <= 500; i++) CHECK_EQ(tx_put(&lab, 1000 + i, text), NACRE_OK);
        CHECK_EQ(tx_put(&lab, 7, "second"), NACRE_OK);
        CHECK_EQ(nacre_savepoint(lab.tx, &inner), NACRE_OK);
        for (int64_t i = 1; i <= 500; i++) CHECK_EQ(tx_put(&lab, 2000 + i, text), NACRE_OK);
        CHECK_EQ(tx_put(&lab, 7, "third"), NACRE_OK);
        CHECK_EQ(nacre_cursor_open(lab.kv, nacre_transaction_snapshot(lab.tx), NULL, &cursor), NACRE_OK);
        CHECK_STR(inside(&lab, 7), "third");
        if (way == 0) CHECK_EQ(nacre_rollback_to(lab.tx, inner), NACRE_OK);
        if (way == 1) CHECK_EQ(nacre_rollback_to(lab.tx, outer), NACRE_OK);
        CHECK_EQ(nacre_count(lab.kv, nacre_transaction_snapshot(lab.tx), NULL, &count), NACRE_OK);
        CHECK_EQ(count, way == 0 ? 1001 : way == 1 ? 501 : 1501);
        CHECK_STR(inside(&lab, 7), way == 0 ? "second" : way == 1 ? "first" : "third");
        if (way < 2) nacre_rollback(lab.tx);
        else CHECK_EQ(nacre_commit(lab.tx), NACRE_OK);
        nacre_row row;
        for (count = 0; nacre_cursor_next(cursor, &row) == NACRE_OK; count++) {}
        CHECK_EQ(count, 1501);
        nacre_cursor_close(cursor);
        CHECK_EQ(nacre_count(lab.kv, NULL, NULL, &count), NACRE_OK);
        CHECK_EQ(count, way < 2 ? 1 : 1501);
    }
    lab_close(&lab);
}

/* Rolling back to a savepoint while runs from behind it are being folded: they are forgotten, and
 * what is written then is folded anew. */
static void c09_a_rollback_ends_the_fold_of_what_it_undoes(void) {
    Lab lab;
    static char text[2000];
    uint64_t savepoint = 0, count = 0;
    memset(text, 'x', sizeof text - 1);
    REQUIRE(lab_open(&lab));
    REQUIRE(begin(&lab) == NACRE_OK);
    CHECK_EQ(tx_put(&lab, -1, "first"), NACRE_OK);
    CHECK_EQ(nacre_savepoint(lab.tx, &savepoint), NACRE_OK);
    for (int round = 0; round < 2; round++) {
        int i = 0;
        for (; i < 2000 && !lab.tx->fold.into; i++) CHECK_EQ(tx_put(&lab, i, text), NACRE_OK);
        CHECK(lab.tx->fold.into != NULL);
        CHECK_EQ(nacre_rollback_to(lab.tx, savepoint), NACRE_OK);
        CHECK(lab.tx->fold.into == NULL);
        CHECK_STR(all_inside(&lab), "-1first");
    }
    for (int i = 0; i < 700; i++) CHECK_EQ(tx_put(&lab, i, text), NACRE_OK);
    CHECK_EQ(nacre_commit(lab.tx), NACRE_OK);
    REQUIRE(lab_reopen(&lab));
    CHECK_EQ(nacre_count(lab.kv, NULL, NULL, &count), NACRE_OK);
    CHECK_EQ(count, 701);
    CHECK_STR(now(&lab, -1), "first");
    lab_close(&lab);
}

void transaction_test(void) {
    RUN(c08_own_writes_are_seen_inside_and_by_nobody_else_until_commit);
    RUN(c08_a_rollback_and_a_close_leave_nothing);
    RUN(c08_savepoints_nest);
    RUN(c08_a_row_that_someone_else_changed_is_a_conflict);
    RUN(c08_a_row_that_is_as_it_was_is_no_conflict);
    RUN(c08_large_values_are_compared_wherever_they_lie);
    RUN(c08_misuse_is_refused);
    RUN(c08_a_dropped_membrane_refuses_the_commit);
    RUN(c09_a_dropped_membrane_refuses_a_large_commit);
    RUN(c08_a_vector_or_an_expiry_that_changed_is_a_conflict);
    RUN(c08_a_row_in_the_frozen_memtable_is_a_conflict);
    RUN(c08_a_clear_that_fails_is_undone);
    RUN(c08_a_cursor_sees_the_state_at_its_opening);
    RUN(c08_random_histories_are_snapshot_isolation);
    RUN(c08_random_histories_that_outgrow_memory_are_too);
    RUN(c09_a_transaction_may_be_many_times_larger_than_memory);
    RUN(c09_a_full_file_refuses_a_transaction_and_stays_whole);
    RUN(c09_a_single_write_may_be_larger_than_a_memtable);
    RUN(c09_savepoints_hold_beyond_memory);
    RUN(c09_a_rollback_ends_the_fold_of_what_it_undoes);
}
