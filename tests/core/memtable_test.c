/* memtable_test.c - the memtable against a sorted array, its room, and its cursors. */
#include "lib/check.h"
#include "memtable/mem_iter.h"
#include "memtable/memtable.h"

#include <stdlib.h>

enum { ARENA = 1 << 20, MODEL_KEYS_MAX = 3000, VERSIONS_MAX = 64, CURSORS = 4 };

/* An allocator that refuses from its fail_at-th call on (0: never). */
typedef struct TestHeap {
    uint64_t calls, fail_at;
    int64_t living;
} TestHeap;

static void *heap_alloc(void *self, size_t size) {
    TestHeap *heap = self;
    if (heap->fail_at && ++heap->calls >= heap->fail_at) return NULL;
    void *memory = malloc(size);
    if (!memory) return NULL;
    heap->living++;
    memset(memory, 0xa5, size); /* nothing may count on zeros */
    return memory;
}

static void heap_free(void *self, void *memory, size_t size) {
    (void)size;
    ((TestHeap *)self)->living--;
    free(memory);
}

typedef struct Rig {
    TestHeap heap;
    Env env;
    Memtable *m;
    size_t used; /* of the arena */
    uint64_t reserved;
} Rig;

static bool rig_open(Rig *rig, size_t capacity) {
    *rig = (Rig){.used = BATCH_HEAD};
    nacre_allocator allocator = {&rig->heap, heap_alloc, heap_free};
    env_init(&rig->env, NULL, &allocator, 256u << 20);
    return CHECK(memtable_alloc(&rig->env, capacity, 100, 1, &rig->m) == NACRE_OK);
}

static void rig_close(Rig *rig) {
    memtable_release(rig->m);
    CHECK_EQ(rig->env.memory_used, 0);
    CHECK_EQ(rig->heap.living, 0);
}

/* Writes a record for `key` into the arena; 0: it is full. */
static uint32_t rig_write(Rig *rig, Span key) {
    size_t size = (size_t)record_size(key.size, 4);
    if (size > rig->m->capacity - rig->used) return 0;
    uint32_t offset = (uint32_t)rig->used;
    uint8_t *record = rig->m->arena + offset;
    memset(record, 0, size);
    put_u32(record, (uint32_t)key.size);
    put_u32(record + 4, 4);
    if (key.size) memcpy(record + RECORD_HEAD, key.data, key.size);
    rig->used += size;
    return offset;
}

/* Inserts and watches the promises: the reservation is enough, refusal changes nothing. */
static bool rig_insert(Rig *rig, Span key, uint32_t stamp) {
    uint32_t offset = rig_write(rig, key);
    if (!CHECK(offset != 0)) return false;
    if (rig->reserved == 0) {
        CHECK(memtable_reserve(rig->m, 1) == NACRE_OK);
        rig->reserved = 1;
    }
    uint64_t held = memtable_node_bytes(rig->m), count = rig->m->record_count;
    bool done = memtable_insert(rig->m, offset, stamp);
    rig->reserved--;
    CHECK(memtable_node_bytes(rig->m) == held);
    CHECK(rig->m->record_count == count + done);
    return done;
}

static Span text(const char *s) { return span_of(s, strlen(s)); }

/* ---- the model: sorted keys, each with its versions, the oldest first ---- */

typedef struct ModelKey {
    uint8_t *key;
    size_t size;
    uint32_t count;
    uint32_t offsets[VERSIONS_MAX], stamps[VERSIONS_MAX];
} ModelKey;

typedef struct Model {
    size_t count;
    ModelKey keys[MODEL_KEYS_MAX];
} Model;

static Span model_key(const Model *model, size_t i) {
    return span_of(model->keys[i].key, model->keys[i].size);
}

/* Index of the first key >= key. */
static size_t model_find(const Model *model, Span key) {
    size_t low = 0, high = model->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (span_compare(model_key(model, middle), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool model_has(const Model *model, size_t i, Span key) {
    return i < model->count && span_eq(model_key(model, i), key);
}

/* Sorted and without prefixes, only the neighbours can break the condition. */
static bool model_allows(const Model *model, Span key) {
    size_t i = model_find(model, key);
    if (model_has(model, i, key)) return true;
    if (i < model->count && span_starts_with(model_key(model, i), key)) return false;
    return i == 0 || !span_starts_with(key, model_key(model, i - 1));
}

static void model_insert(Model *model, Span key, uint32_t offset, uint32_t stamp) {
    size_t i = model_find(model, key);
    if (!model_has(model, i, key)) {
        memmove(&model->keys[i + 1], &model->keys[i], (model->count - i) * sizeof model->keys[0]);
        model->count++;
        model->keys[i] = (ModelKey){.key = malloc(key.size + 1), .size = key.size};
        if (key.size) memcpy(model->keys[i].key, key.data, key.size);
    }
    ModelKey *k = &model->keys[i];
    k->offsets[k->count] = offset;
    k->stamps[k->count++] = stamp;
}

/* The offset of the version to see; 0: none. */
static uint32_t model_version(const ModelKey *key, uint32_t stamp) {
    for (uint32_t i = key->count; i > 0; i--)
        if (key->stamps[i - 1] <= stamp) return key->offsets[i - 1];
    return 0;
}

/* The first visible version at index `from` or behind it in one direction. */
static uint32_t model_visible(const Model *model, int64_t from, int step, uint32_t stamp) {
    for (int64_t i = from; i >= 0 && i < (int64_t)model->count; i += step) {
        uint32_t offset = model_version(&model->keys[i], stamp);
        if (offset) return offset;
    }
    return 0;
}

static void model_clear(Model *model) {
    for (size_t i = 0; i < model->count; i++) free(model->keys[i].key);
    model->count = 0;
}

/* ---- random histories ---- */

enum { SHAPES = 9, KEY_MAX = 160 };

static uint32_t below(uint64_t *random, uint32_t n) { return (uint32_t)(test_random(random) % n); }

static void random_bytes(uint64_t *random, uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)test_random(random);
}

static Span random_key(uint64_t *random, int shape, const Model *model, uint8_t key[KEY_MAX]) {
    size_t size = 8;
    memset(key, 0, KEY_MAX);
    switch (shape) {
    case 0: /* random bytes */ random_bytes(random, key, size = 16); break;
    case 1: /* two bytes of alphabet, any length: often a prefix of another */
        size = below(random, 14);
        for (size_t i = 0; i < size; i++) key[i] = (uint8_t)below(random, 2);
        break;
    case 2: /* a long common prefix */
        memset(key, 'p', 40);
        random_bytes(random, key + 40, 2);
        size = 42;
        break;
    case 3: /* ascending */
        put_u32_be(key, 7);
        put_u32_be(key + 4, (uint32_t)model->count);
        break;
    case 4: /* only the last byte differs */ key[size - 1] = (uint8_t)test_random(random); break;
    case 5: /* every byte a child, on two levels */ random_bytes(random, key, size = 2); break;
    case 6: /* a present key with another tail: prefixes of all lengths, splits everywhere */
    case 7:
        size = 2 + below(random, shape == 6 ? 24 : KEY_MAX - 2);
        if (model->count) {
            Span old = model_key(model, below(random, (uint32_t)model->count));
            size_t keep = below(random, (uint32_t)(old.size < size ? old.size : size) + 1);
            memcpy(key, old.data, keep);
            random_bytes(random, key + keep, size - keep);
        } else {
            random_bytes(random, key, size);
        }
        break;
    default: /* a stair, one level per key: deeper than a cursor's path */
        size = 1 + below(random, KEY_MAX - 2);
        memset(key, 'a', size);
        key[size++] = (uint8_t)(below(random, 2) ? 'b' : 0);
    }
    return span_of(key, size);
}

static bool stands_on(const Rig *rig, const MemCursor *cursor, bool answer, uint32_t offset) {
    const uint8_t *want = offset ? rig->m->arena + offset : NULL;
    return CHECK(cursor->record == want) && CHECK(answer == (offset != 0));
}

/* One move of a cursor, and the same in the model. */
static bool move_both(const Rig *rig, const Model *model, MemCursor *cursor, uint32_t how,
                      Span key) {
    if (how >= 6) how = how % 2 ? 4 : 5; /* mostly next and prev */
    const uint8_t *last = cursor->record;
    bool forward = how % 2 == 0;
    int64_t from = forward ? 0 : (int64_t)model->count - 1;
    bool answer;
    if (how <= 1) {
        answer = forward ? mem_cursor_first(cursor) : mem_cursor_last(cursor);
    } else if (how <= 3) {
        answer = forward ? mem_cursor_seek(cursor, key) : mem_cursor_seek_back(cursor, key);
        size_t i = model_find(model, key);
        from = (int64_t)i - (!forward && !model_has(model, i, key));
    } else {
        answer = forward ? mem_cursor_next(cursor) : mem_cursor_prev(cursor);
        if (!last) return stands_on(rig, cursor, answer, 0);
        from = (int64_t)model_find(model, record_key(last)) + (forward ? 1 : -1);
    }
    return stands_on(rig, cursor, answer,
                     model_visible(model, from, forward ? 1 : -1, cursor->stamp));
}

static bool insert_both(Rig *rig, Model *model, Span key, uint32_t stamp) {
    size_t i = model_find(model, key);
    if (model_has(model, i, key) && model->keys[i].count == VERSIONS_MAX) return true;
    uint32_t offset = (uint32_t)rig->used;
    bool allowed = model_allows(model, key);
    if (!CHECK(rig_insert(rig, key, stamp) == allowed)) return false;
    if (allowed) model_insert(model, key, offset, stamp);
    return CHECK(rig->m->key_count == model->count);
}

static bool same_from_end_to_end(const Rig *rig, const Model *model, uint32_t stamp) {
    MemCursor cursor;
    mem_cursor_init(&cursor, rig->m, stamp);
    bool on = mem_cursor_first(&cursor);
    for (size_t i = 0; i < model->count; i++) {
        uint32_t offset = model_version(&model->keys[i], stamp);
        if (offset == 0) continue;
        if (!stands_on(rig, &cursor, on, offset)) return false;
        on = mem_cursor_next(&cursor);
    }
    if (!stands_on(rig, &cursor, on, 0)) return false;
    on = mem_cursor_last(&cursor);
    for (size_t i = model->count; i > 0; i--) {
        uint32_t offset = model_version(&model->keys[i - 1], stamp);
        if (offset == 0) continue;
        if (!stands_on(rig, &cursor, on, offset)) return false;
        on = mem_cursor_prev(&cursor);
    }
    return stands_on(rig, &cursor, on, 0);
}

static void live_one_history(uint64_t *random, int shape, int steps, Model *model) {
    static Rig rig;
    MemCursor cursors[CURSORS];
    uint8_t bytes[KEY_MAX];
    uint32_t stamp = 5;
    REQUIRE(rig_open(&rig, ARENA));
    for (uint32_t i = 0; i < CURSORS; i++)
        mem_cursor_init(&cursors[i], rig.m, i == 0 ? 6 : i == 1 ? 40 : UINT32_MAX);
    bool fine = true;
    for (int step = 0; fine && step < steps && model->count < MODEL_KEYS_MAX; step++) {
        Span key = random_key(random, shape, model, bytes);
        if (below(random, 8) == 0 && model->count) /* one that is there already */
            key = model_key(model, below(random, (uint32_t)model->count));
        if (rig.reserved == 0 && below(random, 4) == 0) {
            rig.reserved = 1 + below(random, 50);
            uint64_t most = memtable_node_bytes_max(rig.m, rig.reserved);
            fine = CHECK(memtable_reserve(rig.m, rig.reserved) == NACRE_OK) &&
                   CHECK(memtable_node_bytes(rig.m) == most);
        }
        if (below(random, 3)) fine = fine && insert_both(&rig, model, key, stamp);
        stamp += below(random, 4) == 0;

        key = random_key(random, shape, model, bytes);
        if (below(random, 2) && model->count) {
            key = model_key(model, below(random, (uint32_t)model->count));
            memcpy(bytes, key.data, key.size);
            key.data = bytes;
            if (below(random, 4) == 0 && key.size) key.size = below(random, (uint32_t)key.size);
        }
        uint32_t as_of = below(random, stamp + 2);
        size_t i = model_find(model, key);
        uint32_t want = model_has(model, i, key) ? model_version(&model->keys[i], as_of) : 0;
        fine =
            fine && CHECK(memtable_get(rig.m, key, as_of) == (want ? rig.m->arena + want : NULL));
        for (uint32_t c = 0; fine && c < CURSORS; c++)
            for (uint32_t moves = below(random, 3); fine && moves > 0; moves--)
                fine = move_both(&rig, model, &cursors[c], below(random, 40), key);
    }
    if (fine)
        fine = same_from_end_to_end(&rig, model, UINT32_MAX) &&
               same_from_end_to_end(&rig, model, stamp / 2);
    CHECK(fine);
    rig_close(&rig);
    model_clear(model);
}

static void answers_are_those_of_a_sorted_array(void) {
    Model *model = calloc(1, sizeof *model);
    REQUIRE(model != NULL);
    uint64_t random = test_seed();
    for (int shape = 0; shape < SHAPES; shape++)
        for (int steps = 10; steps <= 2560; steps *= 4)
            for (int times = 0; times < (steps < 100 ? 30 : 3); times++)
                live_one_history(&random, shape, steps, model);
    free(model);
}

/* ---- laws one by one ---- */

static void an_empty_memtable_is_cheap_and_answers(void) {
    Rig rig;
    REQUIRE(rig_open(&rig, 8u << 20));
    MemCursor cursor;
    mem_cursor_init(&cursor, rig.m, UINT32_MAX);
    CHECK(memtable_node_bytes(rig.m) < 4096);
    CHECK(memtable_get(rig.m, text("a"), UINT32_MAX) == NULL);
    CHECK(memtable_get(rig.m, span_of(NULL, 0), UINT32_MAX) == NULL);
    CHECK(!mem_cursor_next(&cursor) && !mem_cursor_prev(&cursor));
    CHECK(!mem_cursor_first(&cursor) && !mem_cursor_last(&cursor));
    CHECK(!mem_cursor_seek(&cursor, text("a")) && !mem_cursor_seek_back(&cursor, text("a")));
    CHECK(cursor.record == NULL);
    rig_close(&rig);
}

static void the_last_reference_frees(void) {
    Rig rig;
    REQUIRE(rig_open(&rig, 4096));
    CHECK_EQ(rig.m->last_lsn, 100);
    memtable_retain(rig.m);
    memtable_release(rig.m);
    CHECK(rig_insert(&rig, text("still here"), 1));
    rig_close(&rig);
    memtable_release(NULL);
}

static void a_key_that_is_a_prefix_is_refused(void) {
    static const char *const present[] = {"ma", "mb", "longprefix-longprefix-1",
                                          "longprefix-longprefix-2"};
    static const char *const refused[] = {"",
                                          "m",
                                          "ma2",
                                          "mbx",
                                          "longprefix",
                                          "longprefix-",
                                          "longprefix-longprefix-",
                                          "longprefix-longpref",
                                          "longprefix-longprefix-11",
                                          "l"};
    Rig rig;
    REQUIRE(rig_open(&rig, 1 << 16));
    for (size_t i = 0; i < 4; i++) CHECK(rig_insert(&rig, text(present[i]), 1));
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        uint64_t changes = rig.m->changes;
        CHECK(!rig_insert(&rig, text(refused[i]), 2));
        CHECK(rig.m->changes == changes && rig.m->key_count == 4);
        CHECK(memtable_get(rig.m, text(refused[i]), UINT32_MAX) == NULL);
    }
    for (size_t i = 0; i < 4; i++) CHECK(memtable_get(rig.m, text(present[i]), 1) != NULL);
    rig_close(&rig);
}

static void the_empty_key_stands_alone(void) {
    Rig rig;
    REQUIRE(rig_open(&rig, 4096));
    CHECK(rig_insert(&rig, span_of(NULL, 0), 1));
    CHECK(!rig_insert(&rig, text("a"), 1));
    CHECK(rig_insert(&rig, span_of(NULL, 0), 2));
    CHECK(memtable_get(rig.m, span_of(NULL, 0), 1) == rig.m->arena + BATCH_HEAD);
    MemCursor cursor;
    mem_cursor_init(&cursor, rig.m, 1);
    CHECK(mem_cursor_seek(&cursor, span_of(NULL, 0)) && !mem_cursor_next(&cursor));
    CHECK(mem_cursor_seek_back(&cursor, text("z")) && !mem_cursor_prev(&cursor));
    rig_close(&rig);
}

static void each_stamp_sees_its_version(void) {
    Rig rig;
    REQUIRE(rig_open(&rig, 1 << 16));
    uint32_t offsets[3];
    static const uint32_t stamps[3] = {10, 20, 20}; /* twice in one batch: the later holds */
    for (int i = 0; i < 3; i++) {
        offsets[i] = (uint32_t)rig.used;
        CHECK(rig_insert(&rig, text("key"), stamps[i]));
    }
    CHECK(rig.m->record_count == 3 && rig.m->key_count == 1);
    CHECK(memtable_get(rig.m, text("key"), 9) == NULL);
    CHECK(memtable_get(rig.m, text("key"), 10) == rig.m->arena + offsets[0]);
    CHECK(memtable_get(rig.m, text("key"), 19) == rig.m->arena + offsets[0]);
    CHECK(memtable_get(rig.m, text("key"), 20) == rig.m->arena + offsets[2]);
    CHECK(record_stamp(rig.m->arena + offsets[2]) == 20);
    rig_close(&rig);
}

/* Grows `nodes` nodes in lockstep from 1 to 256 children; each reservation is for
 * one child more in every node, so that at a full size all of them are replaced. */
static void the_reserved_room_is_enough_when_all_nodes_grow_at_once(void) {
    enum { NODES = 300 };
    for (int each = 0; each < 2; each++) { /* reserved one by one, or a level at once */
        Rig rig;
        REQUIRE(rig_open(&rig, 4u << 20));
        uint64_t most_per_key = 0;
        for (uint32_t child = 0; child < 256; child++) {
            if (!each) {
                rig.reserved = NODES;
                uint64_t most = memtable_node_bytes_max(rig.m, NODES);
                CHECK(memtable_reserve(rig.m, NODES) == NACRE_OK);
                CHECK(memtable_node_bytes(rig.m) == most);
            }
            for (uint32_t node = 0; node < NODES; node++) {
                uint8_t key[4];
                put_u32_be(key, node << 16 | (child * 77 & 255) << 8 | 1);
                if (!CHECK(rig_insert(&rig, span_of(key, 4), 1))) break;
            }
            uint64_t per_key = memtable_node_bytes(rig.m) / rig.m->key_count;
            if (child > 2 && per_key > most_per_key) most_per_key = per_key;
        }
        CHECK(most_per_key <= 130); /* a chunk and the table weigh on the first few */
        uint64_t all = memtable_node_bytes_max(rig.m, UINT64_MAX / 2);
        CHECK(all <= 3 * (uint64_t)rig.m->capacity);
        rig_close(&rig);
    }
}

/* Forks and nothing else: each key costs a node of 4, the worst for the second bound. */
static void the_reserved_room_is_enough_for_forks_alone(void) {
    Rig rig;
    REQUIRE(rig_open(&rig, 1 << 20));
    rig.reserved = 1 << 14;
    uint64_t most = memtable_node_bytes_max(rig.m, rig.reserved);
    CHECK(memtable_reserve(rig.m, rig.reserved) == NACRE_OK);
    CHECK(memtable_node_bytes(rig.m) == most);
    CHECK(most < (40u << 14) + (64 + 64) * 1024);
    for (uint32_t i = 0; i < 1 << 14; i++) { /* two children at each of 14 levels */
        uint8_t key[14];
        for (uint32_t bit = 0; bit < 14; bit++) key[bit] = (uint8_t)(i >> (13 - bit) & 1);
        if (!CHECK(rig_insert(&rig, span_of(key, 14), 1))) break;
    }
    CHECK(rig.m->key_count == 1 << 14);
    rig_close(&rig);
}

/* A thousand nodes, one after the other outgrowing the smallest size. */
static void outgrown_places_are_used_again(void) {
    Rig rig;
    REQUIRE(rig_open(&rig, 1 << 20));
    for (uint32_t i = 0; i < 5000; i++) {
        uint8_t key[5] = {0};
        put_u32_be(key, i / 5);
        key[4] = (uint8_t)(i % 5);
        CHECK(rig_insert(&rig, span_of(key, 5), 1));
    }
    CHECK(memtable_node_bytes(rig.m) < 3 * 65536); /* 100 bytes per node, not 140 */
    rig_close(&rig);
}

/* Keys a..ab, one level each: no path fits, and moves search instead. */
static void cursors_walk_trees_deeper_than_their_path(void) {
    enum { LEVELS = 600 };
    Rig rig;
    REQUIRE(rig_open(&rig, 1 << 20));
    uint8_t key[LEVELS + 1];
    for (uint32_t i = 0; i < LEVELS; i++) {
        uint32_t size = (i * 7) % LEVELS; /* 7 and 600 share no factor */
        memset(key, 'a', sizeof key);
        key[size] = 'b';
        CHECK(rig_insert(&rig, span_of(key, size + 1), 1));
    }
    MemCursor cursor;
    mem_cursor_init(&cursor, rig.m, 1);
    size_t count = 0, size = LEVELS;
    for (bool on = mem_cursor_first(&cursor); on; on = mem_cursor_next(&cursor), count++, size--)
        if (!CHECK(record_key_size(cursor.record) == size)) break;
    for (bool on = mem_cursor_last(&cursor); on; on = mem_cursor_prev(&cursor), count++)
        if (!CHECK(record_key_size(cursor.record) == ++size)) break;
    CHECK_EQ(count, 2 * LEVELS);
    rig_close(&rig);
}

static void the_longest_keys_work(void) {
    Rig rig;
    size_t size = RECORD_KEY_SIZE_MAX;
    REQUIRE(rig_open(&rig, 3 * (size + 64)));
    uint8_t *key = calloc(1, size);
    REQUIRE(key != NULL);
    for (uint8_t last = 1; last <= 2; last++) {
        key[size - 1] = last;
        CHECK(rig_insert(&rig, span_of(key, size), 1));
    }
    CHECK(!rig_insert(&rig, span_of(key, size / 2), 1));
    key[size / 3] = 9;
    CHECK(memtable_get(rig.m, span_of(key, size), 1) == NULL);
    MemCursor cursor;
    mem_cursor_init(&cursor, rig.m, 1);
    CHECK(!mem_cursor_seek(&cursor, span_of(key, size)));
    CHECK(mem_cursor_seek_back(&cursor, span_of(key, size)));
    CHECK(cursor.record && cursor.record[RECORD_HEAD + size - 1] == 2);
    free(key);
    rig_close(&rig);
}

/* Whichever allocation is refused first: all that was inserted stays, later ones
 * work again, and nothing is lost. */
static void any_failing_allocation_leaves_it_whole(void) {
    bool failed = true;
    for (uint64_t fail_at = 1; failed; fail_at++) {
        Rig rig = {.used = BATCH_HEAD, .heap.fail_at = fail_at};
        nacre_allocator allocator = {&rig.heap, heap_alloc, heap_free};
        env_init(&rig.env, NULL, &allocator, 256u << 20);
        failed = memtable_alloc(&rig.env, 1 << 18, 0, 0, &rig.m) != NACRE_OK;
        if (failed) {
            CHECK(rig.m == NULL);
            CHECK(rig.env.error.code == NACRE_RESOURCE_EXHAUSTED);
            rig_close(&rig);
            continue;
        }
        uint64_t random = 3, inserted = 0;
        while (inserted < 4000) {
            if (memtable_reserve(rig.m, 100) != NACRE_OK) {
                failed = true;
                CHECK(rig.m->key_count == inserted);
                CHECK(memtable_node_bytes_max(rig.m, 0) == memtable_node_bytes(rig.m));
                rig.heap.fail_at = 0; /* memory is back */
                continue;
            }
            rig.reserved = 100;
            for (int i = 0; i < 100; i++) {
                uint8_t key[8];
                put_u64_be(key, test_random(&random));
                inserted += rig_insert(&rig, span_of(key, 8), 1);
            }
        }
        MemCursor cursor;
        mem_cursor_init(&cursor, rig.m, 1);
        uint64_t seen = 0;
        for (bool on = mem_cursor_first(&cursor); on; on = mem_cursor_next(&cursor)) seen++;
        CHECK(seen == inserted);
        rig_close(&rig);
    }
}

/* Forward, an iterator has records in hand that it has not come to: back is from where it stands. */
static void an_iterator_turns_anywhere(void) {
    enum { COUNT = 200 };
    Rig rig;
    Iter *it = NULL;
    uint8_t key[2];
    REQUIRE(rig_open(&rig, ARENA));
    for (uint32_t i = 0; i < COUNT; i++) {
        key[0] = (uint8_t)(i >> 8), key[1] = (uint8_t)i;
        CHECK(rig_insert(&rig, span_of(key, 2), 1));
    }
    REQUIRE(mem_iter_open(rig.m, 1, &it) == NACRE_OK);
    for (int from = 0; from < COUNT; from++) {
        CHECK_EQ(it->verbs->seek(it, (Span){NULL, 0}), NACRE_OK);
        for (int i = 0; i < from; i++) CHECK_EQ(it->verbs->next(it), NACRE_OK);
        CHECK_EQ(it->verbs->prev(it), NACRE_OK);
        if (CHECK_EQ(it->valid, from > 0) && from > 0) CHECK_EQ(it->key.data[1], from - 1);
    }
    it->verbs->close(it);
    rig_close(&rig);
}

static void records_ahead_are_as_many_as_there_is_room_for(void) {
    enum { COUNT = 100 };
    Rig rig;
    const uint8_t *records[COUNT];
    uint8_t key[1];
    REQUIRE(rig_open(&rig, ARENA));
    MemCursor cursor;
    mem_cursor_init(&cursor, rig.m, 1);
    CHECK_EQ(mem_cursor_ahead(&cursor, records, COUNT), 0); /* it stands nowhere */
    for (uint8_t i = 0; i < COUNT; i++) {
        key[0] = i;
        CHECK(rig_insert(&rig, span_of(key, 1), 1));
    }
    CHECK(mem_cursor_first(&cursor));
    for (size_t at = 1; at < COUNT;) {
        size_t found = mem_cursor_ahead(&cursor, records, COUNT);
        if (!CHECK(found > 0 && found < COUNT)) break;
        for (size_t i = 0; i < found; i++, at++) CHECK_EQ(records[i][RECORD_HEAD], at);
    }
    CHECK_EQ(mem_cursor_ahead(&cursor, records, COUNT), 0);
    rig_close(&rig);
}

static void readers_see_up_to_their_lsn(void) {
    Memtable m = {.base_lsn = 1000};
    CHECK_EQ(memtable_stamp(&m, 0), 0);
    CHECK_EQ(memtable_stamp(&m, 999), 0);
    CHECK_EQ(memtable_stamp(&m, 1000), 0);
    CHECK_EQ(memtable_stamp(&m, 1001), 1);
    CHECK_EQ(memtable_stamp(&m, UINT64_C(1000) + UINT32_MAX), UINT32_MAX);
    CHECK_EQ(memtable_stamp(&m, UINT64_C(1001) + UINT32_MAX), UINT32_MAX); /* not 0: stamps have 32 bits */
}

/* Gives little, whatever is asked for: nothing of an arena is touched before a record comes. */
static void *claims_alloc(void *self, size_t size) {
    (void)self;
    return calloc(1, size < 16 << 20 ? size : 1);
}

static void claims_free(void *self, void *memory, size_t size) {
    (void)self, (void)size;
    free(memory);
}

/* The largest arena could hold more keys than there are names for nodes: that is refused
 * when room is asked for, and never found out later. */
static void nodes_end_before_keys_in_the_largest_arena(void) {
    const nacre_allocator claims = {NULL, claims_alloc, claims_free};
    const size_t capacity = UINT32_MAX & ~(size_t)3;
    Env env;
    Memtable *m = NULL;
    env_init(&env, NULL, &claims, UINT64_MAX);
    REQUIRE(memtable_alloc(&env, capacity, 0, 0, &m) == NACRE_OK);
    CHECK_EQ(memtable_reserve(m, UINT64_MAX), NACRE_RESOURCE_EXHAUSTED);
    CHECK(strstr(env.error.text, "nodes"));
    CHECK_EQ(memtable_reserve(m, 1000), NACRE_OK);
    memtable_release(m);
    CHECK_EQ(env.memory_used, 0);
}

void memtable_test(void) {
    RUN(an_empty_memtable_is_cheap_and_answers);
    RUN(the_last_reference_frees);
    RUN(a_key_that_is_a_prefix_is_refused);
    RUN(the_empty_key_stands_alone);
    RUN(each_stamp_sees_its_version);
    RUN(answers_are_those_of_a_sorted_array);
    RUN(the_reserved_room_is_enough_when_all_nodes_grow_at_once);
    RUN(the_reserved_room_is_enough_for_forks_alone);
    RUN(outgrown_places_are_used_again);
    RUN(cursors_walk_trees_deeper_than_their_path);
    RUN(the_longest_keys_work);
    RUN(an_iterator_turns_anywhere);
    RUN(records_ahead_are_as_many_as_there_is_room_for);
    RUN(readers_see_up_to_their_lsn);
    RUN(nodes_end_before_keys_in_the_largest_arena);
    RUN(any_failing_allocation_leaves_it_whole);
}
