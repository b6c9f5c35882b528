/* catalog_test.c - membranes by name (C14, E01): made, listed, renamed, dropped, there
 * again after a reopen as they were, and none ever sees a row of another. */
#include "lib/check.h"
#include "lib/sim_disk.h"

#include "nacre.h"

#include "db/catalog_format.h"
#include "db/db.h"
#include "memtable/record_format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static nacre_db *open_on(SimDisk *disk) {
    nacre_options options = NACRE_OPTIONS_INIT;
    nacre_error error = {NACRE_OK, ""};
    nacre_db *db = NULL;
    options.vfs = sim_disk_vfs(disk);
    options.seed = 5;
    options.durability = NACRE_NONE;
    if (!CHECK_EQ(nacre_open("db", &options, &db, &error), NACRE_OK)) check_that(__FILE__, __LINE__, error.text, false);
    return db;
}

static nacre_db *reopen(nacre_db *db, SimDisk *disk) {
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    return open_on(disk);
}

static double seconds(void) {
    struct timespec now;
    (void)timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* C14: ten thousand, in the order of names, and open stays quick. */
static void ten_thousand_membranes(void) {
    enum { COUNT = 10000 };
    SimDisk *disk = sim_disk_new(1);
    nacre_db *db = open_on(disk);
    REQUIRE(db);
    nacre_schema schema = nacre_schema_kv(NACRE_TEXT, NACRE_TEXT);
    for (uint32_t i = 0; i < COUNT; i++) {
        nacre_membrane *membrane = NULL;
        char name[32];
        snprintf(name, sizeof name, "m%05u", i * 7919u % COUNT);
        if (!CHECK_EQ(nacre_membrane_open(db, name, &schema, &membrane), NACRE_OK)) break;
        nacre_value key = nacre_text("who"), value = nacre_text(name);
        CHECK_EQ(nacre_put(membrane, &key, NULL, &value), NACRE_OK);
    }
    for (int round = 0; round < 2; round++) {
        if (round) CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        double from = seconds();
        db = open_on(disk);
        REQUIRE(db);
        CHECK(seconds() - from < 2.0); /* under sanitizers; the bound of C14 is 50 ms */
        for (uint32_t i = 0; i < COUNT; i++) {
            nacre_membrane *membrane = NULL;
            nacre_row row;
            char name[32];
            snprintf(name, sizeof name, "m%05u", i);
            if (!CHECK_EQ(nacre_membrane_at(db, i, &membrane), NACRE_OK)) break;
            CHECK_STR(nacre_membrane_name(membrane), name);
            nacre_value key = nacre_text("who");
            CHECK_EQ(nacre_get(membrane, NULL, &key, &row), NACRE_OK);
            CHECK_BYTES(row.fields[0].bytes.data, row.fields[0].bytes.size, name, strlen(name));
        }
        nacre_membrane *none = NULL;
        CHECK_EQ(nacre_membrane_at(db, COUNT, &none), NACRE_NOT_FOUND);
    }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* C14, C21, H19: names are refused that are none, or that look like a path. */
static void names_are_validated(void) {
    static char long_255[256], long_256[257], long_two[256];
    memset(long_255, 'n', 255), memset(long_256, 'n', 256);
    for (int i = 0; i < 254; i += 2) memcpy(long_two + i, "\xc3\xa9", 2);
    const char *const bad[] = {"",         ".",        "..",          "/",        "a/b",       "../db",    "..\\db",     "a\\b",
                               "/etc/x",   "a\nb",     "\x01",        "a\x7f",    "\xc2\x80x", "x\xc2\x9f", "\xff",      "\xc3",
                               "\xed\xa0\x80", "\xc0\xaf", "\xf5\x80\x80\x80", "a\xc3\x28", long_256};
    const char *const good[] = {" ", "...", ".a", "a.b", "-", "\xc3\xa9", "\xf0\x9f\x90\x9a", "CON", "db-wal0", "%2e%2e", long_255, long_two, "\xc2\xa0"};
    SimDisk *disk = sim_disk_new(2);
    nacre_db *db = open_on(disk);
    REQUIRE(db);
    nacre_schema schema = nacre_schema_kv(NACRE_TEXT, NACRE_TEXT);
    nacre_membrane *membrane = NULL, *found = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_EQ(nacre_membrane_open(db, bad[i], &schema, &membrane), NACRE_INVALID_ARGUMENT);
        CHECK(strstr(nacre_message(db), "name"));
        CHECK_EQ(nacre_membrane_open(db, bad[i], NULL, &membrane), NACRE_INVALID_ARGUMENT);
        CHECK_EQ(nacre_membrane_drop(db, bad[i]), NACRE_INVALID_ARGUMENT);
        CHECK_EQ(nacre_membrane_rename(db, bad[i], "x"), NACRE_INVALID_ARGUMENT);
    }
    CHECK(membrane == NULL);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK_EQ(nacre_membrane_open(db, good[i], &schema, &membrane), NACRE_OK);
        CHECK_STR(nacre_membrane_name(membrane), good[i]);
        for (size_t b = 0; b < sizeof bad / sizeof *bad; b++)
            CHECK_EQ(nacre_membrane_rename(db, good[i], bad[b]), NACRE_INVALID_ARGUMENT);
    }
    db = reopen(db, disk);
    REQUIRE(db);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK_EQ(nacre_membrane_open(db, good[i], NULL, &found), NACRE_OK);
    CHECK_EQ(nacre_membrane_at(db, sizeof good / sizeof *good, &found), NACRE_NOT_FOUND);
    CHECK_EQ(sim_disk_file_count(disk), 3); /* NAME and its logs, nothing else */
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* ---- schemas ---- */

static bool schemas_equal(const nacre_schema *a, const nacre_schema *b) {
    if (a->kind != b->kind || a->key_count != b->key_count || a->field_count != b->field_count) return false;
    for (uint32_t i = 0; i < a->key_count; i++)
        if (a->key_types[i] != b->key_types[i]) return false;
    for (uint32_t i = 0; i < a->field_count; i++)
        if (a->fields[i].type != b->fields[i].type || strcmp(a->fields[i].name, b->fields[i].name) != 0) return false;
    if (a->kind == NACRE_KV) return a->value_type == b->value_type;
    return a->kind == NACRE_TABLE || (a->dimensions == b->dimensions && a->metric == b->metric && a->element == b->element);
}

static const nacre_field all_fields[8] = {
    {"an integer", NACRE_INTEGER, false}, {"real", NACRE_REAL, false},           {"b", NACRE_BOOLEAN, false}, {"\xc3\xa9", NACRE_TEXT, false},
    {"bytes", NACRE_BYTES, false},        {"timestamp", NACRE_TIMESTAMP, false}, {"j", NACRE_JSON, false},    {"bigint", NACRE_BIGINT, false}};
static const nacre_type key_types[7] = {NACRE_INTEGER, NACRE_REAL, NACRE_BOOLEAN, NACRE_TEXT, NACRE_BYTES, NACRE_TIMESTAMP, NACRE_BIGINT};

static size_t all_schemas(nacre_schema *out) {
    size_t count = 0;
    for (int k = 0; k < 7; k++) {
        static const nacre_type values[3] = {NACRE_JSON, NACRE_TEXT, NACRE_BYTES};
        for (int v = 0; v < 3; v++) out[count++] = nacre_schema_kv(key_types[k], values[v]);
        for (nacre_metric m = NACRE_L2; m <= NACRE_IP; m++) {
            uint32_t dimensions = k == 0 ? 1 : k == 1 ? 16384 : (uint32_t)(100 * k);
            out[count++] = nacre_schema_collection(key_types[k], dimensions, m, all_fields, (uint32_t)k + 1);
        }
        out[count++] = nacre_schema_table(key_types[k], all_fields + k, 8 - (uint32_t)k);
    }
    for (uint32_t parts = 2; parts <= NACRE_KEY_PARTS_MAX; parts++) {
        nacre_schema *schema = &out[count++];
        *schema = parts % 2 ? nacre_schema_kv(NACRE_TEXT, NACRE_JSON) : nacre_schema_table(NACRE_TEXT, all_fields, 8);
        schema->key_count = parts;
        for (uint32_t i = 0; i < parts; i++) schema->key_types[i] = key_types[(i + parts) % 7];
    }
    return count;
}

/* E01: the configuration of each kind comes back unchanged. */
static void every_schema_comes_back_unchanged(void) {
    SimDisk *disk = sim_disk_new(3);
    nacre_db *db = open_on(disk);
    REQUIRE(db);
    static nacre_schema schemas[80];
    size_t count = all_schemas(schemas);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < count; i++) {
            nacre_membrane *membrane = NULL;
            char name[32];
            snprintf(name, sizeof name, "s%zu", i);
            CHECK_EQ(nacre_membrane_open(db, name, round ? NULL : &schemas[i], &membrane), NACRE_OK);
            CHECK(schemas_equal(nacre_membrane_schema(membrane), &schemas[i]));
            CHECK_EQ(nacre_membrane_open(db, name, &schemas[i], &membrane), NACRE_OK); /* the same: fine */
            CHECK_EQ(nacre_membrane_open(db, name, nacre_membrane_schema(membrane), &membrane), NACRE_OK);
        }
        if (round == 1) CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
        db = reopen(db, disk);
        REQUIRE(db);
    }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* E01, C30: a schema that differs is refused, and the message says where. */
static void a_mismatch_names_the_difference(void) {
    SimDisk *disk = sim_disk_new(4);
    nacre_db *db = open_on(disk);
    REQUIRE(db);
    nacre_field fields[2] = {{"title", NACRE_TEXT, false}, {"year", NACRE_INTEGER, false}}, retyped[2], renamed[2], indexed[2];
    nacre_schema kv = nacre_schema_kv(NACRE_TEXT, NACRE_JSON), collection = nacre_schema_collection(NACRE_TEXT, 384, NACRE_L2, fields, 2);
    nacre_membrane *membrane = NULL;
    memcpy(retyped, fields, sizeof fields), memcpy(renamed, fields, sizeof fields), memcpy(indexed, fields, sizeof fields);
    indexed[1].indexed = true;
    retyped[1].type = NACRE_REAL, renamed[1].name = "jahr";
    CHECK_EQ(nacre_membrane_open(db, "kv", &kv, &membrane), NACRE_OK);
    CHECK_EQ(nacre_membrane_open(db, "collection", &collection, &membrane), NACRE_OK);
    nacre_schema two_keys = kv;
    two_keys.key_count = 2, two_keys.key_types[1] = NACRE_INTEGER;
    struct { const char *name; nacre_schema schema; nacre_status status; const char *text; } rows[] = {
        {"kv", nacre_schema_kv(NACRE_TEXT, NACRE_TEXT), NACRE_SCHEMA_MISMATCH, "json"},
        {"kv", nacre_schema_kv(NACRE_INTEGER, NACRE_JSON), NACRE_SCHEMA_MISMATCH, "integer"},
        {"kv", two_keys, NACRE_SCHEMA_MISMATCH, "key"},
        {"collection", nacre_schema_collection(NACRE_TEXT, 768, NACRE_L2, fields, 2), NACRE_SCHEMA_MISMATCH, "768"},
        {"collection", nacre_schema_collection(NACRE_TEXT, 384, NACRE_IP, fields, 2), NACRE_SCHEMA_MISMATCH, "ip"},
        {"collection", nacre_schema_collection(NACRE_TEXT, 384, NACRE_L2, fields, 1), NACRE_SCHEMA_MISMATCH, "fields"},
        {"collection", nacre_schema_collection(NACRE_TEXT, 384, NACRE_L2, retyped, 2), NACRE_SCHEMA_MISMATCH, "year"},
        {"collection", nacre_schema_collection(NACRE_TEXT, 384, NACRE_L2, renamed, 2), NACRE_SCHEMA_MISMATCH, "jahr"},
        {"collection", nacre_schema_collection(NACRE_TEXT, 384, NACRE_L2, indexed, 2), NACRE_SCHEMA_MISMATCH, "year"},
        {"kv", collection, NACRE_WRONG_KIND, "collection"},
        {"kv", nacre_schema_table(NACRE_TEXT, fields, 2), NACRE_WRONG_KIND, "table"},
        {"collection", kv, NACRE_WRONG_KIND, "kv"},
        {"collection", nacre_schema_table(NACRE_TEXT, fields, 2), NACRE_WRONG_KIND, "table"},
    };
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            CHECK_EQ(nacre_membrane_open(db, rows[i].name, &rows[i].schema, &membrane), rows[i].status);
            if (!CHECK(strstr(nacre_message(db), rows[i].text) && strstr(nacre_message(db), rows[i].name)))
                check_that(__FILE__, __LINE__, nacre_message(db), false);
        }
        CHECK_EQ(nacre_membrane_open(db, "nowhere", NULL, &membrane), NACRE_NOT_FOUND);
        CHECK(strstr(nacre_message(db), "nowhere"));
        db = reopen(db, disk);
        REQUIRE(db);
    }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* ---- dropping ---- */

/* E01: whoever still holds a handle is told, whatever he asks, and nothing breaks. */
static void a_dropped_handle_answers_not_found(void) {
    SimDisk *disk = sim_disk_new(5);
    nacre_db *db = open_on(disk);
    REQUIRE(db);
    nacre_schema schema = nacre_schema_collection(NACRE_INTEGER, 2, NACRE_L2, NULL, 0);
    nacre_membrane *gone = NULL, *other = NULL;
    nacre_value key = nacre_integer(1);
    float vector[2] = {1, 2};
    nacre_batch *batch = NULL;
    nacre_cursor *cursor = NULL, *late = NULL;
    nacre_snapshot *snapshot = NULL;
    nacre_hits *hits = NULL;
    nacre_row row;
    uint64_t number = 0;
    CHECK_EQ(nacre_membrane_open(db, "gone", &schema, &gone), NACRE_OK);
    CHECK_EQ(nacre_membrane_open(db, "other", &schema, &other), NACRE_OK);
    for (int i = 0; i < 10; i++) {
        key = nacre_integer(i);
        CHECK_EQ(nacre_put(gone, &key, vector, NULL), NACRE_OK);
    }
    CHECK_EQ(nacre_snapshot_open(db, &snapshot), NACRE_OK);
    CHECK_EQ(nacre_cursor_open(gone, NULL, NULL, &cursor), NACRE_OK);
    CHECK_EQ(nacre_batch_begin(db, &batch), NACRE_OK);
    CHECK_EQ(nacre_batch_put(batch, other, &key, vector, NULL), NACRE_OK);
    CHECK_EQ(nacre_batch_put(batch, gone, &key, vector, NULL), NACRE_OK);
    CHECK_EQ(nacre_membrane_drop(db, "gone"), NACRE_OK);
    CHECK_EQ(nacre_membrane_drop(db, "gone"), NACRE_NOT_FOUND);
    CHECK_EQ(nacre_put(gone, &key, vector, NULL), NACRE_NOT_FOUND);
    CHECK(strstr(nacre_message(db), "gone"));
    CHECK_EQ(nacre_delete(gone, &key), NACRE_NOT_FOUND);
    CHECK_EQ(nacre_get(gone, NULL, &key, &row), NACRE_NOT_FOUND);
    CHECK_EQ(nacre_get(gone, snapshot, &key, &row), NACRE_NOT_FOUND);
    CHECK_EQ(nacre_count(gone, NULL, NULL, &number), NACRE_NOT_FOUND);
    CHECK_EQ(nacre_clear(gone, NULL, &number), NACRE_NOT_FOUND);
    CHECK_EQ(nacre_search(gone, NULL, vector, NULL, &hits), NACRE_NOT_FOUND);
    CHECK_EQ(nacre_cursor_open(gone, NULL, NULL, &late), NACRE_NOT_FOUND);
    CHECK_EQ(nacre_membrane_bytes(gone, &number), NACRE_NOT_FOUND);
    CHECK_STR(nacre_membrane_name(gone), "gone");
    /* A batch with it is refused as a whole. */
    CHECK_EQ(nacre_batch_put(batch, gone, &key, vector, NULL), NACRE_NOT_FOUND);
    CHECK_EQ(nacre_batch_commit(batch), NACRE_NOT_FOUND);
    CHECK_EQ(nacre_get(other, NULL, &key, &row), NACRE_NOT_FOUND);
    /* An open cursor goes on over its state, or ends; a merge meanwhile is no matter. */
    CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    nacre_status status = nacre_cursor_next(cursor, &row);
    CHECK(status == NACRE_OK || status == NACRE_NOT_FOUND);
    nacre_cursor_close(cursor);
    nacre_snapshot_release(snapshot);
    CHECK_EQ(nacre_put(other, &key, vector, NULL), NACRE_OK);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

static uint64_t file_size(SimDisk *disk) {
    uint64_t size = 0;
    (void)sim_disk_bytes(disk, "db", &size);
    return size;
}

/* E01, C20: the space comes back, and the name made anew has none of the old rows. */
static void dropping_gives_space_back_and_a_new_name_is_empty(void) {
    SimDisk *disk = sim_disk_new(6);
    nacre_db *db = open_on(disk);
    REQUIRE(db);
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    uint8_t *value = calloc(1, 2000);
    for (int round = 0; round < 4; round++) {
        nacre_membrane *membrane = NULL;
        uint64_t count = 1, removed = 0;
        nacre_row row;
        CHECK_EQ(nacre_membrane_open(db, "name", &schema, &membrane), NACRE_OK);
        CHECK_EQ(nacre_count(membrane, NULL, NULL, &count), NACRE_OK);
        CHECK_EQ(count, 0);
        for (int i = 0; i < 2000; i++) {
            nacre_value key = nacre_integer(i * 4 + round), bytes = nacre_bytes(value, 2000);
            value[0] = (uint8_t)round;
            CHECK_EQ(nacre_get(membrane, NULL, &key, &row), NACRE_NOT_FOUND);
            CHECK_EQ(nacre_put(membrane, &key, NULL, &bytes), NACRE_OK);
        }
        if (round % 2) CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
        CHECK_EQ(nacre_count(membrane, NULL, NULL, &count), NACRE_OK);
        CHECK_EQ(count, 2000);
        if (round == 2) CHECK_EQ(nacre_clear(membrane, NULL, &removed), NACRE_OK);
        CHECK_EQ(nacre_membrane_drop(db, "name"), NACRE_OK);
        if (round == 1) db = reopen(db, disk);
        REQUIRE(db);
        if (round < 3) continue;
        CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
        CHECK(file_size(disk) <= 512 << 10);
    }
    free(value);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* E01: random creation, renaming, dropping and reopening, against a list. Each membrane
 * has one row, of its own; the same key is in all of them. */
static void equals_a_list_of_names(void) {
    enum { NAMES = 40 };
    SimDisk *disk = sim_disk_new(7);
    nacre_db *db = open_on(disk);
    REQUIRE(db);
    uint64_t random = test_seed() + 50, next = 1, owner[NAMES] = {0}; /* 0: no such membrane */
    nacre_schema schema = nacre_schema_kv(NACRE_TEXT, NACRE_TEXT);
    nacre_value key = nacre_text("k");
    for (int step = 0; step < 3000; step++) {
        char name[16], to[16], mark[24];
        uint32_t a = (uint32_t)(test_random(&random) % NAMES), b = (uint32_t)(test_random(&random) % NAMES);
        nacre_membrane *membrane = NULL;
        snprintf(name, sizeof name, "n%02u", a);
        snprintf(to, sizeof to, "n%02u", b);
        switch (test_random(&random) % 40) {
        default:
            CHECK_EQ(nacre_membrane_open(db, name, &schema, &membrane), NACRE_OK);
            if (owner[a]) break;
            owner[a] = next++;
            snprintf(mark, sizeof mark, "%llu", (unsigned long long)owner[a]);
            nacre_value value = nacre_text(mark);
            CHECK_EQ(nacre_put(membrane, &key, NULL, &value), NACRE_OK);
            break;
        case 0: case 1: case 2: case 3: case 4: case 5: case 6: case 7: case 8: case 9: case 10:
            CHECK_EQ(nacre_membrane_drop(db, name), owner[a] ? NACRE_OK : NACRE_NOT_FOUND);
            owner[a] = 0;
            break;
        case 11: case 12: case 13: case 14: case 15: case 16: case 17: case 18: case 19: case 20: {
            nacre_status want = !owner[a] ? NACRE_NOT_FOUND : a != b && owner[b] ? NACRE_EXISTS : NACRE_OK;
            CHECK_EQ(nacre_membrane_rename(db, name, to), want);
            if (want != NACRE_OK || a == b) break;
            owner[b] = owner[a], owner[a] = 0;
            break;
        }
        case 21: CHECK_EQ(nacre_checkpoint(db), NACRE_OK); break;
        case 22:
            if (step % 3 == 0) CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
            db = reopen(db, disk);
            REQUIRE(db);
            break;
        }
        if (step % 10) continue;
        uint32_t index = 0;
        for (uint32_t i = 0; i < NAMES; i++) { /* all of them, in order, with their row */
            nacre_row row;
            if (!owner[i]) continue;
            snprintf(name, sizeof name, "n%02u", i);
            snprintf(mark, sizeof mark, "%llu", (unsigned long long)owner[i]);
            if (!CHECK_EQ(nacre_membrane_at(db, index++, &membrane), NACRE_OK)) break;
            CHECK_STR(nacre_membrane_name(membrane), name);
            CHECK_EQ(nacre_get(membrane, NULL, &key, &row), NACRE_OK);
            CHECK_BYTES(row.fields[0].bytes.data, row.fields[0].bytes.size, mark, strlen(mark));
        }
        CHECK_EQ(nacre_membrane_at(db, index, &membrane), NACRE_NOT_FOUND);
    }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* One record of membrane 0 at `into`; gives what follows it. */
static uint8_t *put_record(uint8_t *into, Span key, uint32_t flags, Span value) {
    size_t size = (size_t)record_size(4 + key.size, value.size);
    memset(into, 0, size);
    put_u32(into, (uint32_t)(4 + key.size) | flags << 24);
    put_u32(into + 4, (uint32_t)value.size);
    memcpy(into + RECORD_HEAD + 4, key.data, key.size);
    if (value.size) memcpy(into + RECORD_HEAD + 4 + key.size, value.data, value.size);
    return into + size;
}

static nacre_status commit_record(nacre_db *db, Span key, uint32_t flags, Span value) {
    uint8_t *at = NULL;
    size_t size = BATCH_HEAD + (size_t)record_size(4 + key.size, value.size);
    db_call(db);
    nacre_status status = db_reserve(db, size, 1, &at);
    if (status != NACRE_OK) return status;
    memset(at, 0, BATCH_HEAD);
    put_u32(at, (uint32_t)size);
    put_u32(at + 4, 1);
    (void)put_record(at + BATCH_HEAD, key, flags, value);
    return db_commit(db, size, true);
}

/* J01: a client's token is there after any reopen, and in no list of membranes or changes;
 * nothing else is written to membrane 0. */
static void j01_tokens_are_kept_and_are_no_rows_of_users(void) {
    SimDisk *disk = sim_disk_new(9);
    nacre_db *db = open_on(disk);
    REQUIRE(db);
    nacre_schema schema = nacre_schema_kv(NACRE_TEXT, NACRE_TEXT);
    nacre_membrane *users = NULL, *none = NULL;
    nacre_changes *changes = NULL;
    nacre_change change;
    CHECK_EQ(nacre_membrane_open(db, "a", &schema, &users), NACRE_OK);
    CHECK_EQ(nacre_changes_open(db, NACRE_CHANGES_NOW, &changes), NACRE_OK);
    static uint8_t large[CATALOG_TOKEN_VALUE_MAX + 1];
    uint8_t key[CATALOG_TOKEN_SIZE + 1] = {CATALOG_TOKEN, 7};
    Span token = span_of(key, CATALOG_TOKEN_SIZE), said = span_of("true", 4);
    CHECK_EQ(commit_record(db, token, 0, said), NACRE_OK);
    CHECK_EQ(nacre_changes_next(changes, &change), NACRE_OK);
    CHECK_EQ(change.kind, NACRE_CHANGE_NONE);
    nacre_changes_close(changes);

    uint8_t later[CATALOG_TOKEN_SIZE] = {CATALOG_TOKEN + 1}, next[1] = {CATALOG_NEXT};
    const struct { Span key; uint32_t flags; Span value; } refused[] = {
        {span_of(key, CATALOG_TOKEN_SIZE + 1), 0, said}, {span_of(key, CATALOG_TOKEN_SIZE - 1), 0, said},
        {span_of(later, sizeof later), 0, said},         {span_of(next, 1), 0, said},
        {token, 0, span_of(large, sizeof large)},        {token, RECORD_DELETE, said},
        {token, RECORD_EXPIRES, span_of("12345678", 8)}, {token, RECORD_VECTOR, span_of("12345678", 8)},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        CHECK_EQ(commit_record(db, refused[i].key, refused[i].flags, refused[i].value), NACRE_INVALID_ARGUMENT);

    for (int round = 0; round < 4; round++) {
        Membrane *catalog = NULL;
        RowView row;
        if (round == 1) CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
        if (round == 2) CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
        db = reopen(db, disk);
        REQUIRE(db);
        CHECK_EQ(nacre_membrane_at(db, 0, &none), NACRE_OK);
        CHECK_STR(nacre_membrane_name(none), "a");
        CHECK_EQ(nacre_membrane_at(db, 1, &none), NACRE_NOT_FOUND);
        CHECK_EQ(db_membrane_by_id(db, 0, &catalog), NACRE_OK);
        CHECK_EQ(db_get(catalog, NULL, token, &row), NACRE_OK);
        CHECK_BYTES(row.value.data, row.value.size, "true", 4);
        uint64_t problems = 1;
        CHECK_EQ(nacre_verify(db, true, NULL, NULL, &problems), NACRE_OK);
        CHECK_EQ(problems, 0);
        if (round < 3) continue;
        CHECK_EQ(commit_record(db, token, RECORD_DELETE, (Span){0}), NACRE_OK);
        CHECK_EQ(db_get(catalog, NULL, token, &row), NACRE_NOT_FOUND);
    }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

void catalog_test(void) {
    RUN(ten_thousand_membranes);
    RUN(names_are_validated);
    RUN(every_schema_comes_back_unchanged);
    RUN(a_mismatch_names_the_difference);
    RUN(a_dropped_handle_answers_not_found);
    RUN(dropping_gives_space_back_and_a_new_name_is_empty);
    RUN(equals_a_list_of_names);
    RUN(j01_tokens_are_kept_and_are_no_rows_of_users);
}
