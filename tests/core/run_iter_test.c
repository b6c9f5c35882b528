/* run_iter_test.c - the rows of a run as one sorted list: any sequence of moves, from any
 * place, over segments of any size, with what is hidden below `above` left out (C12). */
#include "segment_lab.h"

typedef struct Case {
    uint32_t page_size, rows, segments;
    bool cached;
    int above; /* 0: no bound; 1: a key that is there; 2: one that is not; 3: below all; 4: the last */
} Case;

static LabRows case_rows(const Case *c, uint64_t *random) {
    LabRows rows = {NULL, 0};
    for (uint32_t i = 0; i < c->rows; i++) {
        uint8_t tail[40];
        size_t size = 1 + (size_t)(test_random(random) % 14);
        memset(tail, 'a', sizeof tail);
        lab_bytes(test_random(random), tail + size / 2, size);
        LabRow *row = lab_add(&rows, 1 + (uint32_t)(test_random(random) % 3), tail, size);
        row->value_size = (uint32_t)(test_random(random) % (i % 30 ? 60 : 5000));
        row->deleted = test_random(random) % 5 == 0;
    }
    lab_sort(&rows);
    return rows;
}

/* The row the iterator should stand on: an index, or rows->count. `first`: rows before it
 * are hidden. */
static void check_place(Lab *lab, Iter *iter, const LabRows *rows, size_t first, size_t at) {
    bool inside = at >= first && at < rows->count;
    if (!CHECK_EQ(iter->valid, inside) || !inside) return;
    CHECK(lab_iter_is(lab, iter, &rows->items[at]));
}

static void random_key(const LabRows *rows, uint64_t *random, uint8_t *key, size_t *size) {
    const LabRow *row = &rows->items[test_random(random) % rows->count];
    memcpy(key, row->key, *size = row->key_size);
    switch (test_random(random) % 4) {
    case 0: key[(*size)++] = 0; break;
    case 1: key[*size - 1]--; break;
    case 2: *size = (size_t)(test_random(random) % (*size + 1)); break;
    default: break; /* a key that is there */
    }
}

static void walk(Lab *lab, Iter *iter, const LabRows *rows, size_t first, uint64_t *random) {
    uint8_t key[64];
    size_t size = 0, at = rows->count;
    for (int step = 0; step < 600; step++) {
        if (!iter->valid || test_random(random) % 12 == 0) {
            random_key(rows, random, key, &size);
            size_t lower = lab_lower(rows, span_of(key, size));
            if (test_random(random) % 2) {
                CHECK_EQ(iter->verbs->seek(iter, span_of(key, size)), NACRE_OK);
                at = lower > first ? lower : first;
            } else {
                CHECK_EQ(iter->verbs->seek_before(iter, span_of(key, size)), NACRE_OK);
                at = lower ? lower - 1 : rows->count; /* nothing is below: nowhere */
            }
        } else if (test_random(random) % 2) {
            CHECK_EQ(iter->verbs->next(iter), NACRE_OK);
            at++;
        } else {
            CHECK_EQ(iter->verbs->prev(iter), NACRE_OK);
            at = at ? at - 1 : rows->count;
        }
        check_place(lab, iter, rows, first, at);
    }
}

static void scan(Lab *lab, Iter *iter, const LabRows *rows, size_t first) {
    static const uint8_t highest[8] = {255, 255, 255, 255, 255, 255, 255, 255};
    size_t at = first;
    CHECK_EQ(iter->verbs->seek(iter, (Span){NULL, 0}), NACRE_OK);
    for (; iter->valid && at < rows->count; at++) {
        check_place(lab, iter, rows, first, at);
        CHECK_EQ(iter->verbs->next(iter), NACRE_OK);
    }
    CHECK(!iter->valid && at == rows->count);
    CHECK_EQ(iter->verbs->seek_before(iter, span_of(highest, 8)), NACRE_OK);
    for (; iter->valid && at > first; at--) {
        check_place(lab, iter, rows, first, at - 1);
        CHECK_EQ(iter->verbs->prev(iter), NACRE_OK);
    }
    CHECK(!iter->valid && at == first);
}

static void try_case(const Case *c, uint64_t *random) {
    Lab lab;
    LabRows rows = case_rows(c, random);
    Segment *segments[16];
    lab_open(&lab, c->page_size, 10, c->cached ? 64 << 10 : 1 << 20);
    for (uint32_t s = 0; s < c->segments; s++)
        segments[s] = lab_write(&lab, &rows, rows.count * s / c->segments, rows.count * (s + 1) / c->segments);
    uint8_t bound[64] = {0};
    size_t bound_size = 0, first = 0;
    if (c->above) {
        size_t at = c->above == 4 ? rows.count - 1 : (size_t)(test_random(random) % rows.count);
        memcpy(bound, rows.items[at].key, bound_size = rows.items[at].key_size);
        first = at + 1;
        if (c->above == 2) { /* just behind it */
            bound[bound_size++] = 0;
            first = lab_lower(&rows, span_of(bound, bound_size));
            if (first < rows.count && span_eq(lab_key(&rows.items[first]), span_of(bound, bound_size))) first++;
        }
        if (c->above == 3) bound_size = 4, memset(bound, 0, 4), first = 0;
    }
    Iter *iter = NULL;
    CHECK_EQ(run_iter_open(&lab.io, segments, c->segments, span_of(bound, bound_size), c->cached, &iter), NACRE_OK);
    for (uint32_t s = 0; s < c->segments; s++) segment_release(segments[s]); /* the iterator has its own */
    memset(bound, 0xee, sizeof bound); /* and a copy of the bound */
    scan(&lab, iter, &rows, first);
    walk(&lab, iter, &rows, first, random);
    iter->verbs->close(iter);
    lab_rows_free(&rows);
    lab_close(&lab);
}

static void walks_like_a_sorted_list(void) {
    uint64_t random = test_seed() + 20;
    static const uint32_t pages[3] = {4096, 16384, 65536};
    for (int page = 0; page < 3; page++)
        for (uint32_t segments = 1; segments <= 16; segments *= 4)
            for (int cached = 0; cached < 2; cached++)
                for (int above = 0; above < 5; above++)
                    try_case(&(Case){pages[page], 400, segments, cached, above}, &random);
}

static void the_smallest_runs_work_too(void) {
    uint64_t random = test_seed() + 21;
    for (uint32_t rows = 1; rows < 5; rows++)
        for (int above = 0; above < 5; above++) try_case(&(Case){4096, rows, 1, rows % 2, above}, &random);
    Lab lab;
    Iter *iter = NULL;
    lab_open(&lab, 4096, 10, 1 << 20);
    CHECK_EQ(run_iter_open(&lab.io, NULL, 0, (Span){NULL, 0}, true, &iter), NACRE_OK);
    CHECK_EQ(iter->verbs->seek(iter, (Span){NULL, 0}), NACRE_OK);
    CHECK(!iter->valid);
    CHECK_EQ(iter->verbs->seek_before(iter, span_of("zzzz", 4)), NACRE_OK);
    CHECK(!iter->valid);
    iter->verbs->close(iter);
    lab_close(&lab);
}

/* A failed read is reported, and the iterator still closes with everything given back. */
static void a_failed_read_is_reported(void) {
    uint64_t random = test_seed() + 22;
    Case c = {4096, 600, 4, true, 0};
    LabRows rows = case_rows(&c, &random);
    for (uint64_t nth = 1; nth < 40; nth++) {
        Lab lab;
        Segment *segment;
        Iter *iter = NULL;
        lab_open(&lab, 4096, 10, 32 << 10);
        segment = lab_write(&lab, &rows, 0, rows.count);
        CHECK_EQ(run_iter_open(&lab.io, &segment, 1, (Span){NULL, 0}, nth % 2, &iter), NACRE_OK);
        segment_release(segment);
        sim_disk_fault(lab.disk, (SimFault){.kinds = SIM_READ, .nth = nth, .forever = true, .way = SIM_FAULT_FAIL, .status = NACRE_IO});
        nacre_status status = iter->verbs->seek(iter, (Span){NULL, 0});
        while (status == NACRE_OK && iter->valid) status = iter->verbs->next(iter);
        CHECK_EQ(status, sim_disk_fault_hits(lab.disk) ? NACRE_IO : NACRE_OK);
        CHECK(status == NACRE_OK || !iter->valid);
        iter->verbs->close(iter);
        lab_close(&lab);
    }
    lab_rows_free(&rows);
}

void run_iter_test(void) {
    RUN(walks_like_a_sorted_list);
    RUN(the_smallest_runs_work_too);
    RUN(a_failed_read_is_reported);
}
