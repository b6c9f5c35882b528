/* extents_test.c - pieces of the data file: none is given twice, the lowest first, and a
 * list of them comes back as it was written (C22). */
#include "lib/check.h"
#include "store/superblock.h"

#include <stdlib.h>
#include <string.h>

enum { MOST = 400 };

/* Takes and gives back at random, against an array of owners. */
static void no_extent_is_given_twice(void) {
    enum { HOLDERS = 12 };
    Env env;
    ExtentMap map;
    ExtentList lists[HOLDERS];
    bool taken[MOST] = {true}; /* 0 is never free */
    uint64_t random = test_seed() + 110;
    memset(lists, 0, sizeof lists);
    env_init(&env, NULL, NULL, 1 << 20);
    extent_map_init(&map, &env, (uint64_t)MOST * EXTENT_SIZE);
    for (int step = 0; step < 20000; step++) {
        ExtentList *list = &lists[test_random(&random) % HOLDERS];
        uint64_t what = test_random(&random) % 10;
        if (what == 0) {
            extent_map_give_back(&map, list);
            for (size_t i = 0; i < list->count; i++) taken[list->items[i]] = false;
            extent_list_clear(&env, list);
            continue;
        }
        size_t count = what < 8 ? 1 : 1 + (size_t)(test_random(&random) % 9), at = 0, length = 0;
        while (at + length < MOST && length < count) { /* the lowest place where they fit */
            if (taken[at + length]) at += length + 1, length = 0;
            else length++;
        }
        uint32_t first = 0;
        nacre_status status = count == 1 ? extent_map_take(&map, &first) : extent_map_take_run(&map, count, &first);
        if (!CHECK_EQ(status, length == count ? NACRE_OK : NACRE_QUOTA)) break;
        env_clear(&env);
        if (status != NACRE_OK) continue;
        if (!CHECK_EQ(first, at)) break;
        for (size_t i = 0; i < count; i++) {
            taken[first + i] = true;
            CHECK_EQ(extent_list_add(&env, list, first + (uint32_t)i), NACRE_OK);
        }
        size_t used = 0, end = 1;
        for (size_t i = 0; i < MOST; i++)
            if (taken[i]) used++, end = i + 1;
        CHECK_EQ(extent_map_used(&map), used);
        CHECK_EQ(extent_map_end(&map), end);
    }
    for (int i = 0; i < HOLDERS; i++) extent_list_clear(&env, &lists[i]);
    extent_map_clear(&map);
    CHECK_EQ(env.memory_used, 0);
}

/* Rule 2: an extent is free when its last mark is gone, whoever's it was. */
static void an_extent_is_free_when_no_mark_is_left(void) {
    static const uint8_t marks[4] = {EXTENT_CURRENT, EXTENT_PREVIOUS, EXTENT_WRITING, EXTENT_PINNED};
    Env env;
    ExtentMap map;
    uint32_t items[3] = {2, 3, 7}, first = 0;
    ExtentList list = {items, 3, 3};
    env_init(&env, NULL, NULL, 1 << 20);
    extent_map_init(&map, &env, 0);
    CHECK_EQ(extent_map_reach(&map, 9), NACRE_OK);
    for (int i = 0; i < 4; i++) extent_map_mark(&map, &list, marks[i]);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(extent_map_end(&map), 8);
        extent_map_unmark(&map, marks[i]);
        extent_map_recount(&map);
        CHECK_EQ(map.marks[0], EXTENT_CURRENT); /* rule 1: the superblocks' */
    }
    CHECK_EQ(extent_map_end(&map), 1);
    CHECK_EQ(extent_map_used(&map), 1);
    CHECK_EQ(extent_map_take_run(&map, 9, &first), NACRE_OK);
    CHECK_EQ(first, 1);
    extent_map_clear(&map);
}

static void lists_come_back_as_they_were(void) {
    Env env;
    uint64_t random = test_seed() + 111;
    env_init(&env, NULL, NULL, 1 << 20);
    for (int round = 0; round < 500; round++) {
        ExtentList list = {NULL, 0, 0}, back = {NULL, 0, 0};
        uint32_t next = 1;
        for (uint64_t i = 0; i < test_random(&random) % 100; i++) {
            next = test_random(&random) % 3 ? next + 1 : 1 + (uint32_t)(test_random(&random) % 998);
            CHECK_EQ(extent_list_add(&env, &list, next > 999 ? 5 : next), NACRE_OK);
            next = next > 999 ? 5 : next;
        }
        size_t size = extent_list_encoded_size(&list);
        uint8_t *bytes = malloc(size);
        ByteWriter w = {bytes, bytes + size};
        extent_list_encode(&w, &list);
        CHECK(w.at == w.end);
        ByteReader r = br_over(span_of(bytes, size));
        CHECK_EQ(extent_list_decode(&env, "db", &r, 1000, &back), NACRE_OK);
        CHECK_BYTES(back.items, back.count * 4, list.items, list.count * 4);
        for (size_t cut = 0; cut < size; cut++) { /* cut short anywhere: CORRUPT */
            ExtentList part = {NULL, 0, 0};
            ByteReader short_one = br_over(span_of(bytes, cut));
            CHECK_EQ(extent_list_decode(&env, "db", &short_one, 1000, &part), NACRE_CORRUPT);
            extent_list_clear(&env, &part);
            env_clear(&env);
        }
        free(bytes);
        extent_list_clear(&env, &list);
        extent_list_clear(&env, &back);
    }
    CHECK_EQ(env.memory_used, 0);
}

/* B20, H19: lists that lie: zero, outside, longer than a file can be. */
static void lists_that_lie_are_corrupt(void) {
    static const uint32_t rows[][3] = { /* runs, first, length */
        {1, 0, 1}, {1, 1, 0}, {1, 9, 2}, {1, 10, 1}, {1, UINT32_MAX, 1}, {1, 1, UINT32_MAX}, {1, UINT32_MAX, UINT32_MAX}, {2, 1, 5}, {UINT32_MAX, 1, 1}};
    Env env;
    env_init(&env, NULL, NULL, 1 << 20);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t bytes[12];
        ExtentList list = {NULL, 0, 0};
        for (int f = 0; f < 3; f++) put_u32(bytes + 4 * f, rows[i][f]);
        ByteReader r = br_over(span_of(bytes, sizeof bytes));
        CHECK_EQ(extent_list_decode(&env, "db", &r, 10, &list), NACRE_CORRUPT);
        extent_list_clear(&env, &list);
        env_clear(&env);
    }
    CHECK_EQ(env.memory_used, 0);
}

void extents_test(void) {
    RUN(no_extent_is_given_twice);
    RUN(an_extent_is_free_when_no_mark_is_left);
    RUN(lists_come_back_as_they_were);
    RUN(lists_that_lie_are_corrupt);
}
