/* indexed_test.c - indexed fields (F22, F30): whatever a filter asks, what indexes tell of a segment is
 * what its rows say; and what is counted, scanned, cleared and searched with them is what is without. */
#include "base/span.h"
#include "lib/check.h"
#include "lib/sim_disk.h"

#include "db/picks.h"
#include "segment/spare.h"
#include "segment/fields_format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLOCK UINT64_C(1760000000000)

enum { FIELDS = 8, DIMS = 4, ROWS = 400, TREES = 10000, WHERE = 1 << 14, MEMBRANES = 3 };

/* The same rows three times: nothing indexed, every other field, all that can be. */
typedef struct Triple {
    SimDisk *disk;
    nacre_db *db;
    nacre_membrane *membranes[MEMBRANES];
    uint64_t random;
} Triple;

static const nacre_field triple_fields[FIELDS] = {
    {"i", NACRE_INTEGER, true}, {"t", NACRE_TEXT, true},  {"r", NACRE_REAL, true},    {"x", NACRE_BYTES, true},
    {"b", NACRE_BOOLEAN, true}, {"j", NACRE_JSON, false}, {"at", NACRE_TIMESTAMP, true}, {"big", NACRE_BIGINT, true}};

/* ---- values ---- */

/* Words of which some begin alike beyond what is kept of them, and one has every size around that. */
static size_t word(uint64_t which, char *out) {
    static const char *const short_words[] = {"", "a", "ab", "abcdefgh", "abcdefghi", "m\xc3\xbcnchen", "b", "Z"};
    if (which % 16 < 8) return (size_t)snprintf(out, 80, "%s", short_words[which % 16]);
    size_t size = 60 + which / 16 % 10;
    memset(out, 'w', size);
    out[size - 1] = which % 16 < 12 ? 'w' : 'v';
    if (which % 16 == 15) out[5] = 'v';
    out[size] = 0;
    return size;
}

static const double reals[] = {-1e300, -2.5, -1, -0.0, 0, 0.5, 1, 2, 9007199254740993.0, 1e300};
static const int64_t integers[] = {INT64_MIN, -3, -1, 0, 1, 2, 3, 9007199254740992, 9007199254740993, INT64_MAX};
enum { NUMBERS = 10 };

static void row_of(uint64_t *random, nacre_value *fields, char room[2][80]) {
    uint64_t bits = test_random(random), more = test_random(random);
    nacre_value values[FIELDS] = {
        nacre_integer(integers[bits % NUMBERS]),
        nacre_text_sized(room[0], word(bits >> 8, room[0])),
        nacre_real(reals[(bits >> 20) % NUMBERS]),
        nacre_bytes(room[1], word(bits >> 28, room[1])),
        nacre_boolean(bits >> 40 & 1),
        nacre_json(bits >> 41 & 1 ? "[1,\"a\"]" : "null"),
        nacre_timestamp((int64_t)(bits >> 42) % 7 - 3),
        nacre_integer(integers[(bits >> 48) % NUMBERS]),
    };
    for (int f = 0; f < FIELDS; f++) fields[f] = (more >> 4 * f & 15) < 2 ? nacre_null() : values[f];
}

/* ---- databases ---- */

static bool triple_open(Triple *t, uint64_t memory) {
    nacre_options options = NACRE_OPTIONS_INIT;
    nacre_error error = {NACRE_OK, ""};
    options.vfs = sim_disk_vfs(t->disk);
    options.memory = memory;
    options.durability = NACRE_NONE;
    options.seed = 3;
    t->db = NULL;
    if (!CHECK_EQ(nacre_open("db", &options, &t->db, &error), NACRE_OK)) return check_that(__FILE__, __LINE__, error.text, false);
    static const char *const names[MEMBRANES] = {"none", "some", "all"};
    for (int m = 0; m < MEMBRANES; m++) {
        nacre_field fields[FIELDS];
        memcpy(fields, triple_fields, sizeof fields);
        for (int f = 0; f < FIELDS; f++) fields[f].indexed &= m == 2 || (m == 1 && f % 2 == 0);
        nacre_schema schema = nacre_schema_collection(NACRE_INTEGER, DIMS, NACRE_L2, fields, FIELDS);
        if (!CHECK_EQ(nacre_membrane_open(t->db, names[m], &schema, &t->membranes[m]), NACRE_OK)) return false;
    }
    return true;
}

static bool triple_begin(Triple *t, uint64_t seed) {
    *t = (Triple){.disk = sim_disk_new(seed), .random = test_seed() + seed};
    sim_disk_set_clock(t->disk, CLOCK);
    return triple_open(t, 32 << 20);
}

static void triple_end(Triple *t) {
    CHECK_EQ(nacre_close(t->db, NULL), NACRE_OK);
    sim_disk_free(t->disk);
}

static void triple_put(Triple *t, int64_t key) {
    nacre_value name = nacre_integer(key), fields[FIELDS];
    char room[2][80];
    float vector[DIMS];
    nacre_put_options options = NACRE_PUT_INIT;
    row_of(&t->random, fields, room);
    for (int d = 0; d < DIMS; d++) vector[d] = (float)(test_random(&t->random) % 1000);
    if (test_random(&t->random) % 40 == 0) options.ttl_ms = 1; /* gone, as good as at once */
    for (int m = 0; m < MEMBRANES; m++) CHECK_EQ(nacre_put_with(t->membranes[m], &name, vector, fields, &options), NACRE_OK);
}

static void triple_delete(Triple *t, int64_t key) {
    nacre_value name = nacre_integer(key);
    nacre_status status = nacre_delete(t->membranes[0], &name);
    for (int m = 1; m < MEMBRANES; m++) CHECK_EQ(nacre_delete(t->membranes[m], &name), status);
}

/* Puts, updates and deletes in several runs, and some in memory. */
static void triple_fill(Triple *t) {
    for (int64_t key = 0; key < ROWS; key++) {
        triple_put(t, key);
        if (key == ROWS / 2) CHECK_EQ(nacre_checkpoint(t->db), NACRE_OK);
    }
    for (int round = 0; round < 4; round++) {
        if (round != 1) CHECK_EQ(nacre_checkpoint(t->db), NACRE_OK);
        for (int i = 0; i < ROWS / 8; i++) {
            int64_t key = (int64_t)(test_random(&t->random) % ROWS);
            if (i % 3) triple_put(t, key);
            else triple_delete(t, key);
        }
    }
    sim_disk_set_clock(t->disk, CLOCK + 5);
}

/* ---- filters ---- */

typedef struct Where {
    char *text;
    size_t size;
    uint64_t *random;
} Where;

static void say(Where *w, const char *text) {
    size_t size = strlen(text);
    if (w->size + size >= WHERE) return; /* and is refused, perhaps, like any other text */
    memcpy(w->text + w->size, text, size + 1);
    w->size += size;
}

static uint64_t roll(Where *w, uint64_t below) { return test_random(w->random) % below; }

static void say_base64(Where *w, const char *bytes, size_t size) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    say(w, "\"");
    for (size_t i = 0; i < size; i += 3) {
        uint32_t three = 0;
        char four[5] = {0};
        for (size_t k = 0; k < 3; k++) three = three << 8 | (i + k < size ? (uint8_t)bytes[i + k] : 0);
        for (size_t k = 0; k < 4; k++) four[k] = i + k > size ? '=' : digits[three >> (18 - 6 * k) & 63];
        say(w, four);
    }
    say(w, "\"");
}

static void say_value(Where *w, int field) {
    char text[96];
    switch (field) {
    case 1:
    case 3: {
        char letters[80];
        size_t size = word(test_random(w->random), letters);
        if (size && roll(w, 3) == 0) size = (size_t)roll(w, size), letters[size] = 0;
        if (field == 3) {
            say_base64(w, letters, size);
            return;
        }
        if (size && (uint8_t)letters[size - 1] == 0xc3) letters[size - 1] = 'x'; /* not half a letter */
        snprintf(text, sizeof text, "\"%s\"", letters);
        break;
    }
    case 4: snprintf(text, sizeof text, "%s", roll(w, 2) ? "true" : "false"); break;
    case 5: snprintf(text, sizeof text, "%s", roll(w, 2) ? "[1,\"a\"]" : "1"); break;
    case 6: snprintf(text, sizeof text, "%d", (int)roll(w, 9) - 4); break;
    default:
        if (roll(w, 2)) snprintf(text, sizeof text, "%lld", (long long)integers[roll(w, NUMBERS)]);
        else snprintf(text, sizeof text, "%.17g", reals[roll(w, NUMBERS)]);
    }
    say(w, text);
}

static void say_test(Where *w) {
    static const char *const names[FIELDS + 1] = {"i", "t", "r", "x", "b", "j", "at", "big", "key"};
    static const char *const ops[] = {"eq", "ne", "gt", "gte", "lt", "lte"};
    int field = (int)roll(w, FIELDS + 1);
    uint64_t kind = roll(w, 10);
    bool text = field == 1 || field == 3;
    say(w, "{\""), say(w, names[field]), say(w, "\":");
    if (field == FIELDS) {
        char number[40];
        snprintf(number, sizeof number, "{\"%s\":%d}", ops[roll(w, 6)], (int)roll(w, ROWS));
        say(w, number);
    } else if (kind == 0) {
        say(w, roll(w, 2) ? "{\"exists\":true}" : "{\"exists\":false}");
    } else if (kind == 1) {
        say(w, roll(w, 2) ? "null" : "{\"ne\":null}");
    } else if (kind < 4) {
        say(w, roll(w, 2) ? "{\"in\":[" : "{\"nin\":[");
        for (uint64_t i = 0, n = roll(w, 4); i < n; i++) {
            if (i) say(w, ",");
            if (roll(w, 5) == 0) say(w, "null");
            else say_value(w, field);
        }
        say(w, "]}");
    } else if (text && kind < 7) {
        say(w, kind == 4 && field == 1 ? "{\"contains\":" : "{\"startsWith\":");
        say_value(w, field);
        say(w, "}");
    } else {
        say(w, "{\""), say(w, ops[roll(w, field == 5 ? 2 : 6)]), say(w, "\":");
        say_value(w, field);
        say(w, "}");
    }
    say(w, "}");
}

static void say_tree(Where *w, int depth) {
    uint64_t kind = depth ? roll(w, 6) : 5;
    if (kind > 2) {
        say_test(w);
    } else if (kind == 2) {
        say(w, "{\"not\":"), say_tree(w, depth - 1), say(w, "}");
    } else {
        say(w, kind ? "{\"and\":[" : "{\"or\":[");
        for (uint64_t i = 0, n = roll(w, 4); i < n; i++) {
            if (i) say(w, ",");
            say_tree(w, depth - 1);
        }
        say(w, "]}");
    }
}

static void where_make(Where *w) {
    w->size = 0;
    w->text[0] = 0;
    say_tree(w, 4);
}

/* ---- what must be equal ---- */

static uint64_t count_of(nacre_membrane *membrane, const nacre_snapshot *snapshot, const char *where) {
    nacre_range range = NACRE_RANGE_INIT;
    uint64_t count = 0;
    range.where_json = where;
    if (nacre_count(membrane, snapshot, &range, &count) != NACRE_OK) {
        printf("# %s: %s\n", where, nacre_message(membrane->db));
        return UINT64_MAX;
    }
    return count;
}

/* A number that keys, in their order, and fields give. */
WRAPS static uint64_t scan_of(nacre_membrane *membrane, const nacre_snapshot *snapshot, const nacre_range *range) {
    nacre_cursor *cursor = NULL;
    nacre_row row;
    nacre_status status;
    uint64_t sum = 0;
    if (!CHECK_EQ(nacre_cursor_open(membrane, snapshot, range, &cursor), NACRE_OK)) return UINT64_MAX;
    while ((status = nacre_cursor_next(cursor, &row)) == NACRE_OK)
        sum = sum * 31 + (uint64_t)row.key->integer + (row.fields[0].type ? (uint64_t)row.fields[0].integer : 7) * 13;
    CHECK_EQ(status, NACRE_NOT_FOUND);
    while ((status = nacre_cursor_prev(cursor, &row)) == NACRE_OK) sum = sum * 37 + (uint64_t)row.key->integer;
    CHECK_EQ(status, NACRE_NOT_FOUND);
    nacre_cursor_close(cursor);
    return sum;
}

WRAPS static uint64_t hits_of(nacre_membrane *membrane, const nacre_snapshot *snapshot, const char *where) {
    nacre_search_options options = NACRE_SEARCH_INIT;
    nacre_hits *hits = NULL;
    uint64_t sum = 0;
    options.where_json = where;
    options.k = 7;
    if (!CHECK_EQ(nacre_search(membrane, snapshot, (float[DIMS]){500, 400, 300, 600}, &options, &hits), NACRE_OK)) return UINT64_MAX;
    for (uint32_t i = 0; i < nacre_hits_count(hits); i++) {
        nacre_row row;
        float distance;
        CHECK_EQ(nacre_hits_at(hits, i, &distance, &row), NACRE_OK);
        sum = sum * 31 + (uint64_t)row.key->integer;
    }
    nacre_hits_free(hits);
    return sum;
}

static void triple_is_equal(const Triple *t, const nacre_snapshot *snapshot, const char *where) {
    uint64_t want = count_of(t->membranes[0], snapshot, where);
    nacre_range range = NACRE_RANGE_INIT, part = NACRE_RANGE_INIT;
    nacre_value low = nacre_integer(50), high = nacre_integer(300);
    range.where_json = part.where_json = where;
    part.gt = &low, part.lte = &high;
    uint64_t rows = scan_of(t->membranes[0], snapshot, &range), part_rows = scan_of(t->membranes[0], snapshot, &part);
    uint64_t hits = hits_of(t->membranes[0], snapshot, where);
    bool right = want != UINT64_MAX;
    for (int m = 1; m < MEMBRANES; m++) {
        right &= CHECK_EQ(count_of(t->membranes[m], snapshot, where), want);
        right &= CHECK(scan_of(t->membranes[m], snapshot, &range) == rows);
        right &= CHECK(scan_of(t->membranes[m], snapshot, &part) == part_rows);
        right &= CHECK(hits_of(t->membranes[m], snapshot, where) == hits);
    }
    if (!right) printf("# %s\n", where);
}

/* ---- a segment ---- */

/* No row that matches is left out; and where picks say that they are exact, none is in besides. */
static bool picks_are_right(Db *db, Segment *segment, Membrane *membrane, Filter *filter, bool *used, bool *exact) {
    Picks picks;
    Iter *iter = NULL;
    bool right = true;
    uint8_t low[4], *blob = NULL;
    size_t capacity = 0;
    uint32_t number = 0;
    if (!CHECK_EQ(picks_find(db, segment, membrane->id, filter, &picks), NACRE_OK)) return false;
    *used = picks.pick.bits != NULL;
    *exact = picks.exact;
    if (!*used) return true;
    put_u32_be(low, membrane->id);
    CHECK_EQ(run_iter_open(&db->io, &segment, 1, (Span){NULL, 0}, true, &iter), NACRE_OK);
    CHECK_EQ(iter->verbs->seek(iter, span_of(low, 4)), NACRE_OK);
    while (iter->valid && get_u32_be(iter->key.data) == membrane->id) {
        Entry entry = {0};
        RowView row;
        iter->verbs->entry(iter, &entry);
        if (!(entry.flags & ENTRY_DELETE)) {
            CHECK_EQ(row_load(db, membrane->id, &entry, false, &blob, &capacity, NULL, NULL, &row), NACRE_OK);
            bool matches = filter_matches(filter, row.key, row.value);
            bool picked = picks.pick.bits[number / 8] >> number % 8 & 1;
            right &= picked || !matches;
            right &= !picks.exact || picked == matches;
            number++;
        }
        CHECK_EQ(iter->verbs->next(iter), NACRE_OK);
    }
    right &= number == picks.pick.rows;
    iter->verbs->close(iter);
    env_free(&db->env, blob, capacity);
    run_pick_clear(&db->io, &picks.pick);
    return right;
}

static uint64_t tree_count(void) {
    const char *more = getenv("NACRE_TREES");
    return more ? strtoull(more, NULL, 10) : TREES;
}

/* F22: random trees of tests, of every segment: with all fields indexed, and with some. */
static void f22_what_indexes_tell_is_what_rows_say(void) {
    Triple t;
    REQUIRE(triple_begin(&t, 1));
    triple_fill(&t);
    CHECK_EQ(nacre_checkpoint(t.db), NACRE_OK);
    Where w = {.text = malloc(WHERE), .random = &t.random};
    uint64_t used_count = 0, exact_count = 0;
    Db *db = t.db;
    for (uint64_t tree = 0; tree < tree_count(); tree++) {
        FilterProgram program = {0};
        Filter *filter = NULL;
        Membrane *membrane = t.membranes[1 + tree % 2];
        where_make(&w);
        if (!CHECK_EQ(filter_from_json(&db->env, &membrane->schema, w.text, w.size, &program), NACRE_OK)) printf("# %s\n", w.text);
        else CHECK_EQ(filter_compile(&db->env, &membrane->schema, span_of(program.data, program.size), &filter), NACRE_OK);
        for (size_t r = 0; r < db->version->count && filter; r++) {
            if (r != tree / 2 % db->version->count) continue;
            for (size_t s = 0; s < db->version->runs[r].count; s++) {
                bool used = false, exact = false;
                if (!CHECK(picks_are_right(db, db->version->runs[r].segments[s], membrane, filter, &used, &exact))) printf("# %s\n", w.text);
                used_count += used;
                exact_count += exact;
            }
        }
        filter_free(filter);
        env_free(&db->env, program.data, program.capacity);
    }
    CHECK(db->version->count > 3);
    CHECK(used_count > tree_count() / 3);
    CHECK(exact_count > tree_count() / 6);
    free(w.text);
    triple_end(&t);
}

/* Rows in memory and in runs, shadowed and gone ones, an older snapshot, a transaction with rows of its own. */
static void f22_f30_with_and_without_indexes_answers_are_the_same(void) {
    Triple t;
    REQUIRE(triple_begin(&t, 2));
    triple_fill(&t);
    Where w = {.text = malloc(WHERE), .random = &t.random};
    nacre_snapshot *snapshot = NULL;
    nacre_transaction *tx = NULL;
    CHECK_EQ(nacre_snapshot_open(t.db, &snapshot), NACRE_OK);
    for (int64_t key = 0; key < 40; key++) triple_put(&t, key * 7);
    CHECK_EQ(nacre_begin(t.db, &tx), NACRE_OK);
    for (int64_t key = 0; key < 30; key++) {
        nacre_value name = nacre_integer(key * 11), fields[FIELDS];
        char room[2][80];
        row_of(&t.random, fields, room);
        for (int m = 0; m < MEMBRANES; m++)
            CHECK_EQ(nacre_transaction_put(tx, t.membranes[m], &name, (float[DIMS]){1, 2, 3, (float)key}, fields), NACRE_OK);
    }
    for (int round = 0; round < 4; round++) {
        for (uint64_t i = 0; i < tree_count() / 100; i++) {
            where_make(&w);
            triple_is_equal(&t, NULL, w.text);
            if (round == 0) triple_is_equal(&t, snapshot, w.text);
            if (round == 0) triple_is_equal(&t, nacre_transaction_snapshot(tx), w.text);
        }
        if (round == 0) {
            nacre_snapshot_release(snapshot);
            CHECK_EQ(nacre_commit(tx), NACRE_OK);
        } else if (round == 1) {
            CHECK_EQ(nacre_compact(t.db, NULL), NACRE_OK);
        } else if (round == 2) {
            CHECK_EQ(nacre_close(t.db, NULL), NACRE_OK);
            REQUIRE(triple_open(&t, 2 << 20)); /* and hardly any memory */
        }
    }
    free(w.text);
    triple_end(&t);
}

/* F30: what is cleared by a filter is the same, too, and atomically gone. */
static void f30_clearing_by_a_filter_takes_the_same_rows(void) {
    Triple t;
    REQUIRE(triple_begin(&t, 3));
    triple_fill(&t);
    Where w = {.text = malloc(WHERE), .random = &t.random};
    for (int i = 0; i < 200; i++) {
        uint64_t removed[MEMBRANES] = {0};
        nacre_range range = NACRE_RANGE_INIT;
        where_make(&w);
        range.where_json = w.text;
        if (count_of(t.membranes[0], NULL, w.text) > ROWS / 20) continue;
        for (int m = 0; m < MEMBRANES; m++) CHECK_EQ(nacre_clear(t.membranes[m], &range, &removed[m]), NACRE_OK);
        CHECK_EQ(removed[1], removed[0]);
        CHECK_EQ(removed[2], removed[0]);
        CHECK_EQ(count_of(t.membranes[2], NULL, w.text), 0);
        if (i % 20 == 0) CHECK_EQ(nacre_checkpoint(t.db), NACRE_OK);
    }
    {
        nacre_range range = NACRE_RANGE_INIT;
        uint64_t rows = scan_of(t.membranes[0], NULL, &range);
        CHECK(scan_of(t.membranes[1], NULL, &range) == rows && scan_of(t.membranes[2], NULL, &range) == rows);
    }
    free(w.text);
    triple_end(&t);
}

/* ---- one large table ---- */

enum { MANY = 20000, THOUSANDTH = 1000, CODED_DIMS = 32 };

typedef struct Table {
    SimDisk *disk;
    nacre_db *db;
    nacre_membrane *membrane;
} Table;

static bool table_open(Table *t, const nacre_schema *schema) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.vfs = sim_disk_vfs(t->disk);
    options.memory = 32 << 20;
    options.durability = NACRE_NONE;
    options.seed = 4;
    t->db = NULL;
    return CHECK_EQ(nacre_open("db", &options, &t->db, NULL), NACRE_OK) &&
           CHECK_EQ(nacre_membrane_open(t->db, "table", schema, &t->membrane), NACRE_OK);
}

static bool table_begin(Table *t, bool vectors) {
    static const nacre_field fields[2] = {{"thousandth", NACRE_INTEGER, true}, {"text", NACRE_TEXT, false}};
    nacre_schema schema = vectors ? nacre_schema_collection(NACRE_INTEGER, CODED_DIMS, NACRE_L2, fields, 2)
                                  : nacre_schema_table(NACRE_INTEGER, fields, 2);
    *t = (Table){.disk = sim_disk_new(5)};
    return table_open(t, &schema);
}

static bool table_reopen(Table *t) {
    CHECK_EQ(nacre_close(t->db, NULL), NACRE_OK);
    return table_open(t, NULL);
}

static void table_end(Table *t) {
    CHECK_EQ(nacre_close(t->db, NULL), NACRE_OK);
    sim_disk_free(t->disk);
}

static void table_vector(int64_t key, float *vector) {
    uint64_t random = (uint64_t)key;
    for (int d = 0; d < CODED_DIMS; d++) vector[d] = (float)(test_random(&random) % 1024);
}

static void table_put(Table *t, int64_t key, int64_t number) {
    nacre_value name = nacre_integer(key), fields[2] = {nacre_integer(number), nacre_text("the same")};
    float vector[CODED_DIMS];
    table_vector(key, vector);
    bool vectors = nacre_membrane_schema(t->membrane)->kind == NACRE_COLLECTION;
    CHECK_EQ(nacre_put(t->membrane, &name, vectors ? vector : NULL, fields), NACRE_OK);
}

static uint64_t table_checked(Table *t, const char *where, uint64_t want) {
    uint64_t before = t->db->counters.rows_checked;
    CHECK_EQ(count_of(t->membrane, NULL, where), want);
    return t->db->counters.rows_checked - before;
}

/* F22, F30: of 20 000 rows in segments those are looked at that the index leaves, and what is in memory; after a
 * merge and in what is loaded in bulk, too. */
static void f22_f30_an_index_spares_looking_at_rows(void) {
    Table t;
    REQUIRE(table_begin(&t, false));
    nacre_bulk *bulk = NULL;
    CHECK_EQ(nacre_bulk_begin(t.membrane, &bulk), NACRE_OK);
    for (int64_t key = 0; key < MANY; key++) {
        nacre_value name = nacre_integer(key), fields[2] = {nacre_integer(key % THOUSANDTH), nacre_text("the same")};
        CHECK_EQ(nacre_bulk_put(bulk, &name, NULL, fields), NACRE_OK);
    }
    CHECK_EQ(nacre_bulk_commit(bulk, NULL), NACRE_OK);
    for (int round = 0; round < 3; round++) {
        if (round == 1) CHECK_EQ(nacre_compact(t.db, NULL), NACRE_OK);
        if (round == 2) REQUIRE(table_reopen(&t));
        CHECK(table_checked(&t, "{\"thousandth\":7}", 20) <= 20);
        CHECK(table_checked(&t, "{\"thousandth\":{\"gte\":990,\"lt\":993}}", 60) <= 60);
        CHECK(table_checked(&t, "{\"thousandth\":{\"in\":[1,5000,999]}}", 40) <= 40);
        CHECK(table_checked(&t, "{\"not\":{\"thousandth\":{\"gt\":1}}}", 40) <= 40);
        CHECK(table_checked(&t, "{\"thousandth\":8,\"text\":{\"contains\":\"same\"}}", 20) <= 20);
        CHECK(table_checked(&t, "{\"thousandth\":8,\"text\":\"another\"}", 0) <= 20);
        CHECK_EQ(table_checked(&t, "{\"thousandth\":{\"exists\":false}}", 0), 0);
        CHECK_EQ(table_checked(&t, "{\"text\":\"the same\"}", MANY), MANY); /* that is not indexed */
    }
    for (int64_t key = 7; key < 5 * THOUSANDTH; key += THOUSANDTH) table_put(&t, key, 8);
    CHECK(table_checked(&t, "{\"thousandth\":7}", 15) <= 20);
    CHECK_EQ(nacre_checkpoint(t.db), NACRE_OK);
    CHECK(table_checked(&t, "{\"thousandth\":7}", 15) <= 15); /* those that are shadowed are not looked at */
    CHECK(table_checked(&t, "{\"thousandth\":8}", 25) <= 25);
    table_end(&t);
}

/* F22: a search asks the index for its mask. */
static void f22_a_filtered_search_reads_no_row_that_does_not_match(void) {
    Table t;
    REQUIRE(table_begin(&t, true));
    for (int64_t key = 0; key < MANY / 4; key++) table_put(&t, key, key % THOUSANDTH);
    CHECK_EQ(nacre_compact(t.db, NULL), NACRE_OK);
    uint64_t before = t.db->counters.rows_checked;
    nacre_search_options options = NACRE_SEARCH_INIT;
    nacre_hits *hits = NULL;
    float query[CODED_DIMS];
    table_vector(1234567, query);
    options.where_json = "{\"thousandth\":77}";
    CHECK_EQ(nacre_search(t.membrane, NULL, query, &options, &hits), NACRE_OK);
    CHECK_EQ(nacre_hits_count(hits), 5);
    for (uint32_t i = 0; i < nacre_hits_count(hits); i++) {
        nacre_row row;
        float distance;
        CHECK_EQ(nacre_hits_at(hits, i, &distance, &row), NACRE_OK);
        CHECK_EQ(row.key->integer % THOUSANDTH, 77);
    }
    nacre_hits_free(hits);
    CHECK_EQ(t.db->counters.rows_checked, before);
    table_end(&t);
}

/* ---- damage ---- */

static uint64_t fields_place(nacre_db *db, uint64_t *size) {
    for (size_t r = 0; r < db->version->count; r++)
        for (size_t s = 0; s < db->version->runs[r].count; s++) {
            Segment *segment = db->version->runs[r].segments[s];
            *size = segment->streams[STREAM_FIELDS].size;
            if (*size) return segment_place(segment, STREAM_FIELDS, 0);
        }
    *size = 0;
    return 0;
}

static void count_problem(void *self, const char *where, uint64_t offset, const char *what) {
    (void)where, (void)offset, (void)what;
    ++*(uint64_t *)self;
}

/* B20: each flipped bit of the stream is found by verify, and answered or without effect, never wrong. */
static void b20_damaged_indexes_are_found_and_made_anew(void) {
    Table t;
    REQUIRE(table_begin(&t, false));
    for (int64_t key = 0; key < MANY / 8; key++) table_put(&t, key, key % THOUSANDTH);
    CHECK_EQ(nacre_compact(t.db, NULL), NACRE_OK);
    uint64_t size = 0, place = fields_place(t.db, &size), random = test_seed() + 6, refused = 0;
    REQUIRE(size > 8192 && size < EXTENT_SIZE);
    for (int round = 0; round < 60; round++) {
        uint64_t bit = test_random(&random) % (8 * size), problems = 0, told = 0, count = 0;
        nacre_range range = NACRE_RANGE_INIT;
        CHECK_EQ(nacre_close(t.db, NULL), NACRE_OK);
        sim_disk_flip(t.disk, "db", 8 * place + bit);
        REQUIRE(table_open(&t, NULL));
        range.where_json = "{\"thousandth\":{\"lt\":100}}";
        nacre_status status = nacre_count(t.membrane, NULL, &range, &count);
        CHECK(status == NACRE_CORRUPT || (status == NACRE_OK && count == 300));
        refused += status == NACRE_CORRUPT;
        nacre_status verified = nacre_verify(t.db, true, count_problem, &told, &problems);
        CHECK((verified == NACRE_OK || verified == NACRE_CORRUPT) && problems > 0 && told == problems);
        CHECK_EQ(count_of(t.membrane, NULL, "{\"text\":\"the same\"}"), MANY / 8); /* what does not ask goes on */
        if (round % 20 == 19) { /* merges do not read it */
            if (status == NACRE_CORRUPT) CHECK_EQ(nacre_compact(t.db, NULL), NACRE_OK);
            if (status == NACRE_CORRUPT) place = fields_place(t.db, &size);
            problems = 0;
            if (status == NACRE_CORRUPT) CHECK_EQ(nacre_verify(t.db, true, NULL, NULL, &problems), NACRE_OK);
            if (status == NACRE_CORRUPT) CHECK_EQ(count_of(t.membrane, NULL, range.where_json), 300);
            if (status == NACRE_CORRUPT) continue;
        }
        CHECK_EQ(nacre_close(t.db, NULL), NACRE_OK);
        sim_disk_flip(t.disk, "db", 8 * place + bit);
        REQUIRE(table_open(&t, NULL));
    }
    CHECK(refused > 5);
    table_end(&t);
}

/* Pages and a directory of bytes that nobody wrote so, with right checksums: no harm, and rows that are
 * shown match. Verify tells, but for what makes no difference. */
static void b21_a_made_up_index_is_harmless(void) {
    Table t;
    REQUIRE(table_begin(&t, false));
    for (int64_t key = 0; key < MANY / 8; key++) table_put(&t, key, key % THOUSANDTH);
    for (int64_t key = 0; key < MANY / 8; key += 9) {
        nacre_value name = nacre_integer(key);
        CHECK_EQ(nacre_delete(t.membrane, &name), NACRE_OK);
    }
    CHECK_EQ(nacre_checkpoint(t.db), NACRE_OK);
    uint64_t size = 0, place = fields_place(t.db, &size), random = test_seed() + 8, told = 0, id = t.db->version->runs[0].segments[0]->id;
    uint8_t *right = malloc((size_t)size), *bytes = malloc((size_t)size);
    const Vfs *vfs = sim_disk_vfs(t.disk);
    VfsFile *file = NULL;
    REQUIRE(size > 2 * FIELDS_PAGE && size < EXTENT_SIZE);
    uint64_t pages = size / FIELDS_PAGE;
    for (int round = 0; round < 400; round++) {
        CHECK_EQ(nacre_close(t.db, NULL), NACRE_OK);
        CHECK_EQ(vfs->open(vfs->self, "db", VFS_WRITE, &file), NACRE_OK);
        if (round == 0) CHECK_EQ(vfs->read(file, place, right, (size_t)size), NACRE_OK);
        memcpy(bytes, right, (size_t)size);
        for (uint64_t i = 0; i < 1 + test_random(&random) % 3; i++) {
            uint64_t page = test_random(&random) % (pages + 1), from = page * FIELDS_PAGE;
            uint64_t end = page < pages ? from + FIELDS_PAGE : size - 8, at = from + (page < pages ? 8 : 0);
            uint64_t near = test_random(&random) % 2 ? (end - at) : (page < pages ? 60 : 24);
            if (page == pages && test_random(&random) % 4 == 0) at = end - 8, near = 8; /* the counts */
            bytes[at + test_random(&random) % near] = (uint8_t)(test_random(&random) % 3 ? test_random(&random) : 255);
            if (page < pages) put_u64(bytes + from, checksum64(place_seed(id, STREAM_FIELDS, page), bytes + from + 8, FIELDS_PAGE - 8));
        }
        uint64_t directory = pages * FIELDS_PAGE;
        put_u64(bytes + size - 8, checksum64(place_seed(id, STREAM_FIELDS, FIELDS_DIRECTORY_NUMBER), bytes + directory, (size_t)(size - directory - 8)));
        CHECK_EQ(vfs->write(file, place, bytes, (size_t)size), NACRE_OK);
        vfs->close(file);
        REQUIRE(table_open(&t, NULL));
        uint64_t problems = 0;
        for (int ask = 0; ask < 6; ask++) {
            char where[80];
            int64_t number = (int64_t)(test_random(&random) % THOUSANDTH);
            nacre_range range = NACRE_RANGE_INIT;
            nacre_cursor *cursor = NULL;
            nacre_row row;
            nacre_status status;
            snprintf(where, sizeof where, ask % 2 ? "{\"thousandth\":%d}" : "{\"not\":{\"thousandth\":{\"lt\":%d}}}", (int)number);
            range.where_json = where;
            range.reverse = ask % 3 == 0;
            status = nacre_cursor_open(t.membrane, NULL, &range, &cursor);
            while (status == NACRE_OK && (status = nacre_cursor_next(cursor, &row)) == NACRE_OK)
                CHECK(ask % 2 ? row.fields[0].integer == number : row.fields[0].integer >= number);
            CHECK(status == NACRE_NOT_FOUND || status == NACRE_CORRUPT);
            nacre_cursor_close(cursor);
        }
        nacre_status verified = nacre_verify(t.db, true, NULL, NULL, &problems);
        CHECK(verified == NACRE_OK || verified == NACRE_CORRUPT);
        told += problems > 0;
        if (!CHECK(problems > 0 || memcmp(bytes, right, (size_t)size) == 0))
            for (size_t i = 0; i < size; i++)
                if (bytes[i] != right[i] && i % FIELDS_PAGE >= 8) printf("# byte %zu of %zu: %u, not %u\n", i, (size_t)size, bytes[i], right[i]);
    }
    CHECK(told > 300);
    free(right), free(bytes);
    table_end(&t);
}

void indexed_test(void) {
    RUN(b21_a_made_up_index_is_harmless);
    RUN(f22_f30_an_index_spares_looking_at_rows);
    RUN(f22_a_filtered_search_reads_no_row_that_does_not_match);
    RUN(b20_damaged_indexes_are_found_and_made_anew);
    RUN_FAST(f22_what_indexes_tell_is_what_rows_say);
    RUN_FAST(f22_f30_with_and_without_indexes_answers_are_the_same);
    RUN(f30_clearing_by_a_filter_takes_the_same_rows);
}
