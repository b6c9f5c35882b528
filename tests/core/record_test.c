/* record_test.c - what a record may look like when it comes from a file (record_format.h), and
 * the batches of a memtable's arena one after the other (mem_log.h). */
#include "lib/check.h"
#include "log/wal_format.h"
#include "memtable/mem_log.h"
#include "memtable/record.h"

#include <stdio.h>

/* ---- records ---- */

static void put_record(uint8_t *record, uint32_t flags, size_t value_size) {
    memset(record, 0, 64);
    put_u32(record, 8 | flags << 24);
    put_u32(record + 4, (uint32_t)value_size);
}

/* Each way of being malformed is told, and what is next to it is taken. */
static void what_is_no_record_is_told(void) {
    static const struct {
        uint32_t flags;
        uint32_t value_size;
        uint64_t expires; /* the first 8 bytes of the value */
        uint32_t vector;  /* its size, behind the expiry if there is one */
        const char *problem;
    } rows[] = {
        {0, 0, 0, 0, NULL},
        {0, 12, 7, 0, NULL},
        {4, 0, 0, 0, "record: of a later version"},
        {0x80, 0, 0, 0, "record: of a later version"},
        {RECORD_DELETE, 0, 0, 0, NULL},
        {RECORD_DELETE, 4, 0, 0, "record: a deletion with a value"},
        {RECORD_DELETE | RECORD_EXPIRES, 8, 1, 0, "record: a deletion with a value"},
        {RECORD_DELETE | RECORD_VECTOR, 0, 0, 0, "record: a deletion with a value"},
        {RECORD_EXPIRES, 8, RECORD_LIFETIME - 1, 0, NULL},
        {RECORD_EXPIRES, 8, RECORD_LIFETIME, 0, "record: expiry"},
        {RECORD_EXPIRES, 7, 1, 0, "record: expiry"},
        {RECORD_VECTOR, 8, 4, 4, NULL},
        {RECORD_VECTOR, 3, 0, 0, "record: vector"},
        {RECORD_VECTOR, 8, 5, 5, "record: vector"},
        {RECORD_EXPIRES | RECORD_VECTOR, 16, 1, 4, NULL},
        {RECORD_EXPIRES | RECORD_VECTOR, 16, 1, 5, "record: vector"},
        {RECORD_EXPIRES | RECORD_VECTOR, 11, 1, 0, "record: vector"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t record[64];
        uint64_t size = 99;
        put_record(record, rows[i].flags, rows[i].value_size);
        put_u64(record + RECORD_HEAD + 8, rows[i].expires);
        if (rows[i].flags & RECORD_VECTOR) put_u32(record + RECORD_HEAD + 8 + (rows[i].flags & RECORD_EXPIRES ? 8 : 0), rows[i].vector);
        if (!CHECK_STR(record_problem(record, sizeof record, &size), rows[i].problem)) printf("  in row %zu\n", i);
        CHECK_EQ(size, rows[i].problem ? 99 : record_size(8, rows[i].value_size));
    }
}

static void a_record_that_is_cut_short_is_told(void) {
    uint8_t record[64];
    uint64_t size = 0;
    put_record(record, 0, 5); /* 29 bytes, 32 with its padding */
    for (uint64_t left = 0; left < 32; left++)
        CHECK_STR(record_problem(record, left, &size), left < RECORD_HEAD ? "record: cut short" : "record: malformed");
    CHECK_STR(record_problem(record, 32, &size), NULL);
    put_u32(record, 3); /* no room for the membrane */
    CHECK_STR(record_problem(record, 64, &size), "record: malformed");
    put_u32(record, 4);
    CHECK_STR(record_problem(record, 64, &size), NULL);
}

/* ---- batches ---- */

enum { BASE = 100 };

typedef struct Arena {
    Env env;
    Memtable *m;
} Arena;

/* A frame of `count` empty batches that end with `last`. */
static void add_frame(Arena *a, uint32_t kind, uint64_t last, uint32_t count) {
    uint8_t *frame = a->m->arena + a->m->used;
    size_t size = FRAME_HEAD + count * BATCH_HEAD;
    memset(frame, 0, size);
    put_u32(frame + 8, kind);
    put_u32(frame + 12, (uint32_t)size);
    put_u64(frame + 16, last);
    for (uint32_t i = 0; i < count; i++) {
        put_u32(frame + FRAME_HEAD + i * BATCH_HEAD, BATCH_HEAD);
        put_u64(frame + FRAME_HEAD + i * BATCH_HEAD + 8, last - count + 1 + i);
    }
    a->m->used += size;
}

static void expect_batches(const MemLog *from, uint64_t after, uint64_t limit, uint64_t first, uint64_t last) {
    MemLog log = *from;
    MemBatch batch;
    for (uint64_t lsn = first; lsn <= last; lsn++) {
        if (!CHECK(mem_log_next(&log, after, limit, &batch))) return;
        CHECK_EQ(batch.lsn, lsn);
    }
    CHECK(!mem_log_next(&log, after, limit, &batch));
}

/* Frames hold several batches, and one may ask for those from the middle of a frame on. */
static void batches_come_in_their_order_from_any_place(void) {
    Arena a = {.m = NULL};
    MemLog log;
    MemBatch batch;
    env_init(&a.env, NULL, NULL, 1 << 20);
    REQUIRE(memtable_alloc(&a.env, 4096, BASE, 0, &a.m) == NACRE_OK);
    mem_log_init(&log, a.m, 0);
    CHECK(!mem_log_next(&log, 0, UINT64_MAX, &batch));
    add_frame(&a, FRAME_BATCHES, BASE, 2); /* of before the base: not indexed, so not shown */
    add_frame(&a, FRAME_BATCHES, BASE + 3, 3);
    add_frame(&a, FRAME_CUT, BASE + 3, 0);
    add_frame(&a, FRAME_BATCHES, BASE + 4, 1);
    add_frame(&a, FRAME_BATCHES, BASE + 6, 2);
    expect_batches(&log, 0, UINT64_MAX, BASE + 1, BASE + 6);
    for (uint64_t after = BASE; after <= BASE + 6; after++) expect_batches(&log, after, UINT64_MAX, after + 1, BASE + 6);
    /* A frame whose last batch is above the limit is not begun. */
    expect_batches(&log, 0, BASE + 5, BASE + 1, BASE + 4);
    expect_batches(&log, 0, BASE + 2, BASE + 1, BASE);
    /* It goes on where it stopped, when there is more; zeros are no frame. */
    mem_log_init(&log, a.m, 0);
    for (uint64_t lsn = BASE + 1; lsn <= BASE + 6; lsn++) CHECK(mem_log_next(&log, 0, UINT64_MAX, &batch));
    size_t used = a.m->used;
    memset(a.m->arena + used, 0, FRAME_HEAD);
    a.m->used += FRAME_HEAD;
    CHECK(!mem_log_next(&log, 0, UINT64_MAX, &batch));
    a.m->used = used;
    add_frame(&a, FRAME_BATCHES, BASE + 7, 1);
    CHECK(mem_log_next(&log, 0, UINT64_MAX, &batch));
    CHECK_EQ(batch.lsn, BASE + 7);
    memtable_release(a.m);
    CHECK_EQ(a.env.memory_used, 0);
}

void record_test(void) {
    RUN(what_is_no_record_is_told);
    RUN(a_record_that_is_cut_short_is_told);
    RUN(batches_come_in_their_order_from_any_place);
}
