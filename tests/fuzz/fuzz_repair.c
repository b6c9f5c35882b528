/* fuzz_repair.c - hostile files given to what works on damaged ones: looked into, verified, repaired.
 * What is repaired is a database without a fault, and what it was made of has not changed.
 *
 *   input := base u8 | flags u8 | patch*         patch: patch.c */
#include "fuzz/fuzz.h"

#include <string.h>

enum { FLAG_LITTLE_MEMORY = 1, FLAG_LOST = 8 };

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    (void)count, (void)arguments;
    patches_begin();
    return 0;
}

static volatile uint64_t letters;

static void see_line(void *self, const char *json) {
    (void)self;
    size_t size = strlen(json);
    MUST(size > 2 && json[0] == '{' && json[size - 1] == '}');
    letters += size;
}

static void see_problem(void *self, const char *where, uint64_t offset, const char *what) {
    (void)offset;
    ++*(uint64_t *)self;
    MUST(where[0] && what[0]);
}

static void see_finding(void *self, const nacre_finding *finding) {
    nacre_repair_report *seen = self;
    seen->damages += finding->kind == NACRE_FOUND_DAMAGE;
    seen->losses += finding->kind == NACRE_FOUND_LOSS;
    seen->doubts += finding->kind == NACRE_FOUND_DOUBT;
    MUST(finding->where && finding->what && finding->what[0]);
    letters += strlen(finding->where) + strlen(finding->what) + (finding->membrane ? strlen(finding->membrane) : 0) +
               (finding->from ? strlen(finding->from) : 0) + (finding->to ? strlen(finding->to) : 0);
}

/* Every row that the report counts is there, and nothing is wrong with them. */
static void visit_repaired(const FuzzDisk *disk, const nacre_repair_report *report) {
    nacre_options options = base_options(disk);
    nacre_db *db = NULL;
    nacre_membrane *membrane = NULL;
    uint64_t rows = 0, problems = 0;
    uint32_t i = 0;
    MUST(nacre_open("new", &options, &db, NULL) == NACRE_OK);
    for (; nacre_membrane_at(db, i, &membrane) == NACRE_OK; i++) {
        uint64_t count = 0;
        MUST(nacre_count(membrane, NULL, NULL, &count) == NACRE_OK);
        rows += count;
    }
    MUST(i == report->membranes && rows <= report->rows); /* some may have expired meanwhile */
    visit_database(db);
    MUST(nacre_verify(db, true, see_problem, &problems, &problems) == NACRE_OK && problems == 0);
    MUST(nacre_close(db, NULL) == NACRE_OK);
}

static void repair(FuzzDisk *disk, uint32_t flags) {
    static const char *const names[] = {"db", "db-wal0", "db-wal1"};
    nacre_options options = base_options(disk);
    nacre_repair_report report = {0}, seen = {0};
    nacre_error error = {.code = NACRE_OK};
    FuzzDisk before;
    fuzz_disk_init(&before);
    fuzz_disk_copy(disk, &before);
    if (flags & FLAG_LITTLE_MEMORY) options.memory = 1 << 20;
    nacre_status status = nacre_repair("db", "new", &options, see_finding, &seen, &report, &error);
    MUST(status_is_an_answer(status) && status != NACRE_CORRUPT); /* damage is what it is for */
    MUST(status == NACRE_OK || error.text[0]);
    for (int i = 0; i < 3; i++) {
        const FuzzFile *was = fuzz_disk_find(&before, names[i]), *is = fuzz_disk_find(disk, names[i]);
        MUST((was != NULL) == (is != NULL));
        if (was) MUST(span_eq(span_of(was->bytes, was->size), span_of(is->bytes, is->size)));
    }
    fuzz_disk_clear(&before);
    if (status != NACRE_OK) return;
    MUST(seen.damages == report.damages && seen.losses == report.losses && seen.doubts == report.doubts);
    visit_repaired(disk, &report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Input in = input_over(data, size);
    FuzzDisk disk;
    uint32_t flags = patches_disk(&disk, &in);
    if (flags & FLAG_LOST) { /* one of the three is not there */
        static const char *const names[] = {"db", "db-wal0", "db-wal1"};
        FuzzFile *file = fuzz_disk_find(&disk, names[br_u8(&in) % 3]);
        if (file) file->name[0] = 0;
    }
    nacre_options options = base_options(&disk);
    nacre_error error = {.code = NACRE_OK};
    for (nacre_inspection what = NACRE_INSPECT_LOG; what <= NACRE_INSPECT_SEGMENTS; what++)
        MUST(status_is_an_answer(nacre_inspect("db", &options, what, see_line, NULL, &error)));
    for (int deep = 0; deep < 2; deep++) {
        uint64_t seen = 0, problems = 0;
        nacre_status status = nacre_verify_files("db", &options, deep, see_problem, &seen, &problems, &error);
        MUST(status_is_an_answer(status));
        if (status == NACRE_OK) MUST(seen == problems);
    }
    repair(&disk, flags);
    fuzz_disk_clear(&disk);
    return 0;
}
