/* salvage_test.c - what a caller meets when a file is damaged: reads name file and offset (B30),
 * verify and repair work where opening does not, and the files can be looked into (H06). The
 * thousand faults are in tests/crash/repair_test.c. */
#include "lib/check.h"
#include "lib/sim_disk.h"
#include "nacre.h"
#include "store/superblock_format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 3000, EXTENT = 65536 };

static nacre_options options_on(SimDisk *disk) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.vfs = sim_disk_vfs(disk);
    options.memory = 4 << 20;
    options.segment_size = 64 << 10;
    return options;
}

static nacre_value row_key(int i, char text[16]) {
    snprintf(text, 16, "key-%05d", i);
    return nacre_text(text);
}

/* A database of several segments, and one row in the log. */
static SimDisk *made(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_options options = options_on(disk);
    nacre_db *db = NULL;
    nacre_membrane *kv = NULL;
    nacre_schema schema = nacre_schema_kv(NACRE_TEXT, NACRE_BYTES);
    char text[16], bytes[100];
    CHECK_EQ(nacre_open("db", &options, &db, NULL), NACRE_OK);
    CHECK_EQ(nacre_membrane_open(db, "rows", &schema, &kv), NACRE_OK);
    memset(bytes, 'x', sizeof bytes);
    for (int i = 0; i < ROWS; i++) {
        nacre_value key = row_key(i, text), value = nacre_bytes(bytes, sizeof bytes);
        CHECK_EQ(nacre_put(kv, &key, NULL, &value), NACRE_OK);
    }
    CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    nacre_value key = nacre_text("late"), value = nacre_bytes("late", 4);
    CHECK_EQ(nacre_put(kv, &key, NULL, &value), NACRE_OK);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    return disk;
}

typedef struct Lines {
    int count, segments, frames, wrong;
    unsigned long long offsets[64], indexes[64];
} Lines;

static void take_line(void *self, const char *json) {
    Lines *lines = self;
    lines->count++;
    CHECK(json[0] == '{' && json[strlen(json) - 1] == '}');
    lines->frames += strstr(json, "{\"what\":\"frame\"") != NULL;
    lines->wrong += strstr(json, "\"wrong\":") != NULL;
    const char *offset = strstr(json, "\"offset\":"), *index = strstr(json, "\"indexOffset\":");
    if (!strstr(json, "{\"what\":\"segment\"") || !offset || !index || lines->segments == 64) return;
    lines->offsets[lines->segments] = strtoull(offset + 9, NULL, 10);
    lines->indexes[lines->segments++] = strtoull(index + 14, NULL, 10);
}

static Lines look(SimDisk *disk, nacre_inspection what) {
    Lines lines = {0};
    nacre_options options = options_on(disk);
    CHECK_EQ(nacre_inspect("db", &options, what, take_line, &lines, NULL), NACRE_OK);
    return lines;
}

static void h06_files_can_be_looked_into(void) {
    SimDisk *disk = made();
    Lines segments = look(disk, NACRE_INSPECT_SEGMENTS), log = look(disk, NACRE_INSPECT_LOG),
          manifest = look(disk, NACRE_INSPECT_MANIFEST);
    CHECK(segments.segments > 3 && segments.count == segments.segments);
    CHECK_EQ(log.frames, 1);
    CHECK(manifest.count >= 4);
    CHECK_EQ(segments.wrong + log.wrong + manifest.wrong, 0);
    /* Damaged: said of the thing that is, and of no other. */
    sim_disk_flip(disk, "db", 8 * segments.indexes[1]);
    sim_disk_flip(disk, "db", 8 * (SUPERBLOCK_SLOT + 20));
    sim_disk_flip(disk, "db-wal0", 8 * 20);
    CHECK_EQ(look(disk, NACRE_INSPECT_SEGMENTS).wrong, 1);
    CHECK_EQ(look(disk, NACRE_INSPECT_MANIFEST).wrong, 1);
    CHECK_EQ(look(disk, NACRE_INSPECT_LOG).wrong, 1);
    nacre_options options = options_on(disk);
    nacre_error error;
    CHECK_EQ(nacre_inspect("none", &options, NACRE_INSPECT_LOG, take_line, &log, &error), NACRE_NOT_FOUND);
    sim_disk_free(disk);
}

/* Reads every row: how many are refused, and is each refusal a CORRUPT that names `place`? */
static int refused_rows(SimDisk *disk, const char *place, bool *named) {
    nacre_options options = options_on(disk);
    nacre_db *db = NULL;
    nacre_membrane *kv = NULL;
    int refused = 0;
    char text[16];
    *named = true;
    if (!CHECK_EQ(nacre_open("db", &options, &db, NULL), NACRE_OK)) return -1;
    if (!CHECK_EQ(nacre_membrane_open(db, "rows", NULL, &kv), NACRE_OK)) return -1;
    for (int i = 0; i < ROWS; i++) {
        nacre_value key = row_key(i, text);
        nacre_row row;
        nacre_status status = nacre_get(kv, NULL, &key, &row);
        if (status == NACRE_OK) continue;
        refused++;
        if (status != NACRE_CORRUPT || !strstr(nacre_message(db), place)) *named = false;
    }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    return refused;
}

/* B30: each segment in turn has a block, or its index, damaged: rows of it are refused with
 * file and offset, others are read; repair saves all others. */
static void b30_a_damaged_segment_fails_reads_with_its_place(void) {
    SimDisk *whole = made(), *disk = sim_disk_new(2);
    Lines segments = look(whole, NACRE_INSPECT_SEGMENTS);
    nacre_options options = options_on(disk);
    for (int s = 0; s < segments.segments; s++)
        for (int index = 0; index < 2; index++) {
            char place[60];
            bool named;
            unsigned long long at = index ? segments.indexes[s] : segments.offsets[s];
            if (s == 0 && index == 0) continue; /* the catalog's block: opening refuses */
            sim_disk_copy(whole, disk);
            sim_disk_flip(disk, "db", 8 * (at + 30));
            snprintf(place, sizeof place, "db: offset %llu: segment", at);
            if (s > 0) {
                int refused = refused_rows(disk, place, &named);
                CHECK(refused > 0 && refused < ROWS && named);
            }
            nacre_repair_report report;
            nacre_error error;
            CHECK_EQ(nacre_repair("db", "new", &options, NULL, NULL, &report, &error), NACRE_OK);
            CHECK(index ? report.rows == ROWS + 1 && report.losses == 0 : report.rows < ROWS && report.losses == 1);
        }
    /* The file ends before the last segment: opening says so. */
    nacre_db *db = NULL;
    nacre_error error = {.code = NACRE_OK};
    unsigned long long last = 0;
    for (int s = 0; s < segments.segments; s++)
        if (segments.offsets[s] > last) last = segments.offsets[s];
    sim_disk_copy(whole, disk);
    sim_disk_resize(disk, "db", last);
    nacre_status status = nacre_open("db", &options, &db, &error);
    CHECK(status == NACRE_OK || (status == NACRE_CORRUPT && strstr(error.text, "db")));
    (void)nacre_close(db, NULL);
    uint64_t problems = 0;
    CHECK_EQ(nacre_verify_files("db", &options, true, NULL, NULL, &problems, &error), NACRE_OK);
    CHECK(problems > 0);
    sim_disk_free(disk);
    sim_disk_free(whole);
}

typedef struct Found {
    int problems;
    bool superblock;
} Found;

static void note(void *self, const char *where, uint64_t offset, const char *what) {
    Found *found = self;
    found->problems++;
    found->superblock |= strcmp(where, "db") == 0 && (offset == 0 || offset == SUPERBLOCK_SLOT) && strstr(what, "superblock");
}

/* B22: what cannot be opened is verified all the same, with places; B23: and repaired. */
static void b22_what_cannot_be_opened_is_verified(void) {
    SimDisk *disk = made();
    nacre_options options = options_on(disk);
    nacre_db *db = NULL;
    Found found = {0};
    uint64_t problems = 0;
    CHECK_EQ(nacre_verify_files("db", &options, true, note, &found, &problems, NULL), NACRE_OK);
    CHECK_EQ(problems, 0);
    sim_disk_flip(disk, "db", 8 * 30);
    sim_disk_flip(disk, "db", 8 * (SUPERBLOCK_SLOT + 30));
    CHECK_EQ(nacre_open("db", &options, &db, NULL), NACRE_CORRUPT);
    CHECK_EQ(nacre_verify_files("db", &options, false, note, &found, &problems, NULL), NACRE_OK);
    CHECK_EQ((int)problems, found.problems);
    CHECK(problems >= 2 && found.superblock);
    nacre_repair_report report;
    CHECK_EQ(nacre_repair("db", "new", &options, NULL, NULL, &report, NULL), NACRE_OK);
    CHECK_EQ(report.rows, ROWS + 1);
    CHECK_EQ(report.losses, 0);
    CHECK_EQ(nacre_verify_files("none", &options, true, note, &found, &problems, NULL), NACRE_NOT_FOUND);
    sim_disk_free(disk);
}

/* A disk that fails while the new database is written: an error, and nothing stays open. */
static void b23_a_failing_disk_ends_a_repair_with_an_error(void) {
    SimDisk *disk = made(), *work = sim_disk_new(3);
    uint64_t refused = 0;
    for (uint64_t nth = 1; nth < 4000; nth += 97) { /* the nth call of the disk fails */
        sim_disk_copy(disk, work);
        nacre_options options = options_on(work);
        nacre_error error = {.code = NACRE_OK};
        sim_disk_fault(work, (SimFault){.kinds = SIM_WRITE | SIM_SYNC, .nth = nth, .forever = true, .way = SIM_FAULT_FAIL, .status = NACRE_QUOTA});
        nacre_status status = nacre_repair("db", "new", &options, NULL, NULL, NULL, &error);
        CHECK(status == NACRE_OK || status == NACRE_QUOTA || status == NACRE_IO);
        CHECK(status == NACRE_OK || error.text[0]);
        refused += status != NACRE_OK;
        CHECK_EQ(sim_disk_open_handles(work), 0);
    }
    CHECK(refused > 0);
    sim_disk_free(disk);
    sim_disk_free(work);
}

void salvage_test(void) {
    RUN(h06_files_can_be_looked_into);
    RUN(b30_a_damaged_segment_fails_reads_with_its_place);
    RUN(b22_what_cannot_be_opened_is_verified);
    RUN(b23_a_failing_disk_ends_a_repair_with_an_error);
}
