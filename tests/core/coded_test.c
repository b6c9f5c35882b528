/* coded_test.c - the search by codes and lists (F06, F12, F19-F24): recall against a scan of all
 * rows, whatever was flushed, merged, overwritten or deleted, with filters that follow the query
 * and that shun it; the same answers after reopening, on every host and whatever the slicing. */
#include "base/span.h"
#include "lib/check.h"
#include "lib/sim_disk.h"

#include "db/state.h"
#include "db/vectors.h"
#include "segment/codes.h"
#include "segment/spare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIMS = 48, CLUSTERS = 150, ROWS = 24000, QUERIES = 40, K = 10, MEMORY = 64 << 20 };

/* Rows around centres, and queries likewise: nobody's row is a query. */
typedef struct World {
    SimDisk *disk;
    nacre_db *db;
    nacre_membrane *membrane;
    nacre_metric metric;
    uint32_t rows;
    float *vectors;
    uint32_t *version; /* 0: no such row */
} World;

static const nacre_field world_fields[2] = {{"tenth", NACRE_INTEGER, false}, {"cluster", NACRE_INTEGER, false}};

static double gauss(uint64_t *random) {
    double sum = 0;
    for (int i = 0; i < 6; i++) sum += (double)(test_random(random) >> 11) / 9007199254740992.0 - .5;
    return sum;
}

static void world_vector(uint32_t cluster, uint64_t seed, float *out) {
    uint64_t centre = 77 + cluster, own = seed;
    for (uint32_t d = 0; d < DIMS; d++) out[d] = (float)(2 * gauss(&centre) + 3 + gauss(&own));
}

WRAPS static uint32_t cluster_of(uint32_t key) { return key * 2654435761u % CLUSTERS; }

static void world_put(World *world, uint32_t key, uint32_t version) {
    float *vector = world->vectors + (size_t)key * DIMS;
    world_vector(cluster_of(key), (uint64_t)key << 20 | version, vector);
    nacre_value name = nacre_integer(key);
    nacre_value fields[2] = {nacre_integer(key % 1000), nacre_integer(cluster_of(key))};
    CHECK_EQ(nacre_put(world->membrane, &name, vector, fields), NACRE_OK);
    world->version[key] = version;
}

static void world_delete(World *world, uint32_t key) {
    nacre_value name = nacre_integer(key);
    CHECK_EQ(nacre_delete(world->membrane, &name), world->version[key] ? NACRE_OK : NACRE_NOT_FOUND);
    world->version[key] = 0;
}

static bool world_open(World *world, uint64_t memory, const nacre_schema *schema) {
    nacre_options options = NACRE_OPTIONS_INIT;
    nacre_error error = {NACRE_OK, ""};
    options.vfs = sim_disk_vfs(world->disk);
    options.memory = memory;
    options.memtable_size = memory < MEMORY ? 64 << 10 : 2 << 20;
    options.durability = NACRE_NONE;
    options.seed = 9;
    world->db = NULL;
    if (!CHECK_EQ(nacre_open("db", &options, &world->db, &error), NACRE_OK))
        return check_that(__FILE__, __LINE__, error.text, false);
    return CHECK_EQ(nacre_membrane_open(world->db, "world", schema, &world->membrane), NACRE_OK);
}

/* A database with `rows` rows, of which the newest are in memory. */
static bool world_begin(World *world, uint64_t seed, nacre_metric metric, uint32_t rows, nacre_index index,
                        uint32_t bits) {
    nacre_schema schema = nacre_schema_collection(NACRE_INTEGER, DIMS, metric, world_fields, 2);
    schema.index = index;
    schema.bits = bits;
    *world = (World){.disk = sim_disk_new(seed), .metric = metric, .rows = rows};
    world->vectors = calloc((size_t)rows * DIMS, sizeof *world->vectors);
    world->version = calloc(rows, sizeof *world->version);
    if (!world_open(world, MEMORY, &schema)) return false;
    for (uint32_t key = 0; key < rows; key++) world_put(world, key, 1);
    return true;
}

static bool world_reopen(World *world, uint64_t memory) {
    CHECK_EQ(nacre_close(world->db, NULL), NACRE_OK);
    return world_open(world, memory, NULL);
}

static void world_end(World *world) {
    CHECK_EQ(nacre_close(world->db, NULL), NACRE_OK);
    sim_disk_free(world->disk);
    free(world->vectors);
    free(world->version);
}

static double distance_of(const World *world, const float *a, const float *b) {
    double dot = 0, square = 0, na = 0, nb = 0;
    for (uint32_t d = 0; d < DIMS; d++) {
        double x = (double)a[d], y = (double)b[d];
        dot += x * y, square += (x - y) * (x - y), na += x * x, nb += y * y;
    }
    return world->metric == NACRE_L2 ? square : world->metric == NACRE_IP ? -dot : 1 - dot / sqrt(na * nb);
}

typedef bool Matches(uint32_t key);
static bool all_match(uint32_t key) { return key + 1 > 0; }

/* The k nearest living rows that match: the k-th distance, and how many there are. */
static uint32_t truth(const World *world, const float *query, Matches *matches, double *kth) {
    double best[K];
    uint32_t count = 0;
    for (uint32_t key = 0; key < world->rows; key++) {
        if (!world->version[key] || !matches(key)) continue;
        double distance = distance_of(world, query, world->vectors + (size_t)key * DIMS);
        if (count == K && distance >= best[K - 1]) continue;
        uint32_t at = count < K ? count++ : K - 1;
        for (; at > 0 && best[at - 1] > distance; at--) best[at] = best[at - 1];
        best[at] = distance;
    }
    *kth = count ? best[count - 1] : 0;
    return count;
}

/* One search: hits that are as near as the k-th true neighbour. Every hit is checked. */
static uint32_t coded_found(const World *world, const float *query, const char *where, Matches *matches, uint32_t *want) {
    nacre_search_options options = NACRE_SEARCH_INIT;
    nacre_hits *hits = NULL;
    double kth;
    uint32_t right = 0;
    options.k = K;
    options.where_json = where;
    *want = truth(world, query, matches, &kth);
    if (!CHECK_EQ(nacre_search(world->membrane, NULL, query, &options, &hits), NACRE_OK)) return 0;
    CHECK_EQ(nacre_hits_count(hits), *want);
    float before = -INFINITY;
    for (uint32_t i = 0; i < nacre_hits_count(hits); i++) {
        float distance;
        nacre_row row;
        CHECK_EQ(nacre_hits_at(hits, i, &distance, &row), NACRE_OK);
        uint32_t key = (uint32_t)row.key[0].integer;
        if (!CHECK(key < world->rows && world->version[key] && matches(key))) break;
        const float *vector = world->vectors + (size_t)key * DIMS;
        CHECK(memcmp(row.vector, vector, DIMS * sizeof *vector) == 0);
        CHECK(distance >= before);
        before = distance;
        double own = distance_of(world, query, vector);
        right += own <= kth + 1e-9 * fabs(kth);
    }
    nacre_hits_free(hits);
    return right;
}

static double recall_of(const World *world, const char *where, Matches *matches) {
    uint32_t found = 0, all = 0, want;
    for (uint32_t q = 0; q < QUERIES; q++) {
        float query[DIMS];
        world_vector(q * 7 % CLUSTERS, 0xffff0000u + q, query);
        found += coded_found(world, query, where, matches, &want);
        all += want;
    }
    return all ? (double)found / all : 1;
}

/* Lists of all segments with codes. */
static uint32_t lists_of(nacre_db *db) {
    uint32_t lists = 0;
    for (size_t r = 0; r < db->version->count; r++)
        for (size_t s = 0; s < db->version->runs[r].count; s++) {
            Codebook *book = NULL;
            CHECK_EQ(segment_codebook(db->version->runs[r].segments[s], 1, &book), NACRE_OK);
            if (book) lists += book->lists;
        }
    return lists;
}

static void lists_keep_their_recall(nacre_metric metric) {
    World world;
    REQUIRE(world_begin(&world, metric, metric, ROWS, NACRE_INDEX_AUTO, 0));
    CHECK(recall_of(&world, NULL, all_match) >= .945); /* flat, and the memtables */
    CHECK(world.db->counters.codes_scored > 0);
    CHECK_EQ(nacre_compact(world.db, NULL), NACRE_OK);
    CHECK(lists_of(world.db) > 16);
    uint64_t before = world.db->counters.codes_scored;
    double recall = recall_of(&world, NULL, all_match);
    CHECK(recall >= .945);
    CHECK((world.db->counters.codes_scored - before) / QUERIES < ROWS / 2);
    REQUIRE(world_reopen(&world, MEMORY));
    CHECK_NEAR(recall_of(&world, NULL, all_match), recall, 0); /* F19 */
    uint64_t problems = 0;
    CHECK_EQ(nacre_verify(world.db, true, NULL, NULL, &problems), NACRE_OK);
    CHECK_EQ(problems, 0);
    world_end(&world);
}

static void f06_lists_keep_their_recall_l2(void) { lists_keep_their_recall(NACRE_L2); }
static void f06_lists_keep_their_recall_cosine(void) { lists_keep_their_recall(NACRE_COSINE); }
static void f06_lists_keep_their_recall_ip(void) { lists_keep_their_recall(NACRE_IP); }

/* F12: codes of more bits; lists where they are asked for, and none where they are not wanted. */
static void f12_f23_codes_are_as_the_schema_says(void) {
    static const struct {
        nacre_index index;
        uint32_t bits, rows;
    } cases[] = {{NACRE_INDEX_IVF, 2, 3700}, {NACRE_INDEX_IVF, 1, 3400}, {NACRE_INDEX_FLAT, 4, 5000},
                 {NACRE_INDEX_AUTO, 8, 2500}, {NACRE_INDEX_AUTO, 1, 4250} /* no multiple of four is trained on */};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        World world;
        REQUIRE(world_begin(&world, i, NACRE_COSINE, cases[i].rows, cases[i].index, cases[i].bits));
        CHECK_EQ(nacre_compact(world.db, NULL), NACRE_OK);
        uint32_t lists = lists_of(world.db);
        bool listed = cases[i].index == NACRE_INDEX_IVF || (cases[i].index == NACRE_INDEX_AUTO && cases[i].rows >= LISTS_ROWS);
        CHECK(listed ? lists >= 16 : lists == 1);
        uint64_t before = world.db->counters.vectors_scored;
        CHECK(recall_of(&world, NULL, all_match) >= .92); /* of 400 neighbours */
        if (cases[i].bits > 1) CHECK((world.db->counters.vectors_scored - before) / QUERIES < 60);
        CHECK_EQ(nacre_membrane_schema(world.membrane)->bits, cases[i].bits);
        world_end(&world);
    }
}

/* F16: rows that are in memory are found at once, and searched again and again they come to have codes,
 * then lists, without a word from the caller; a snapshot sees what it saw; a row written meanwhile is found. */
static void f16_searches_move_what_they_score_slowly(void) {
    World world;
    nacre_snapshot *snapshot = NULL;
    nacre_search_report report = {0};
    uint32_t searches = 0;
    REQUIRE(world_begin(&world, 5, NACRE_L2, 4200, NACRE_INDEX_AUTO, 1));
    REQUIRE(CHECK_EQ(nacre_snapshot_open(world.db, &snapshot), NACRE_OK));
    float query[DIMS];
    world_vector(3, 77, query);
    CHECK_EQ(nacre_search_explain(world.membrane, NULL, query, NULL, &report), NACRE_OK);
    CHECK_EQ(report.path, NACRE_PATH_EXACT);
    CHECK_EQ(report.reranked, 4200);
    while (report.path != NACRE_PATH_IVF && ++searches < 4000) {
        if (searches % 50 == 0) world_put(&world, searches % 4200, 2 + searches);
        if (searches % 100 == 0) CHECK(recall_of(&world, NULL, all_match) >= .9);
        CHECK_EQ(nacre_search_explain(world.membrane, NULL, query, NULL, &report), NACRE_OK);
    }
    CHECK_EQ(report.path, NACRE_PATH_IVF);
    CHECK(report.reranked < 400);
    CHECK(lists_of(world.db) >= 16);
    CHECK(recall_of(&world, NULL, all_match) >= .9);
    CHECK_EQ(nacre_search_explain(world.membrane, snapshot, query, NULL, &report), NACRE_OK);
    nacre_snapshot_release(snapshot);
    REQUIRE(world_reopen(&world, MEMORY));
    CHECK(recall_of(&world, NULL, all_match) >= .9);
    world_end(&world);
}

/* A12: codes that do not fit into the budget are done without. */
static void a12_codes_larger_than_the_budget_are_left_out(void) {
    World world;
    REQUIRE(world_begin(&world, 12, NACRE_L2, ROWS, NACRE_INDEX_AUTO, 8));
    CHECK_EQ(nacre_compact(world.db, NULL), NACRE_OK);
    REQUIRE(world_reopen(&world, 1 << 20));
    for (uint32_t q = 0; q < 4; q++) {
        float query[DIMS];
        uint32_t want;
        world_vector(q * 7 % CLUSTERS, 0xffff0000u + q, query);
        CHECK_EQ(coded_found(&world, query, NULL, all_match, &want), K);
    }
    CHECK_EQ(world.db->counters.codes_scored, 0);
    CHECK(world.db->env.memory_peak <= world.db->options.memory);
    world_end(&world);
}

/* Half of the rows go, others are written again, nothing is trained anew; then all is merged. */
static void f21_recall_lasts_through_deletes_and_updates(void) {
    World world;
    REQUIRE(world_begin(&world, 21, NACRE_L2, ROWS, NACRE_INDEX_AUTO, 0));
    CHECK_EQ(nacre_compact(world.db, NULL), NACRE_OK);
    uint64_t random = test_seed() + 3;
    for (uint32_t i = 0; i < ROWS; i++) {
        uint32_t key = (uint32_t)(test_random(&random) % ROWS);
        if (i % 2) world_delete(&world, key);
        else world_put(&world, key, 2 + i);
    }
    CHECK(recall_of(&world, NULL, all_match) >= .95);
    CHECK_EQ(nacre_compact(world.db, NULL), NACRE_OK);
    CHECK(recall_of(&world, NULL, all_match) >= .95);
    world_end(&world);
}

static bool half_match(uint32_t key) { return key % 1000 < 500; }
static bool tenth_match(uint32_t key) { return key % 1000 < 100; }
static bool hundredth_match(uint32_t key) { return key % 1000 < 10; }
static bool thousandth_match(uint32_t key) { return key % 1000 < 1; }
static bool far_match(uint32_t key) { return cluster_of(key) >= CLUSTERS - 40; }
static bool near_match(uint32_t key) { return cluster_of(key) < 20; }

/* F22: exactly k hits when k match, and as near as without a filter, wherever they lie. */
static void f22_filters_find_as_much_as_no_filter(void) {
    static const struct {
        const char *where;
        Matches *matches;
    } filters[] = {
        {"{\"tenth\":{\"lt\":500}}", half_match},       {"{\"tenth\":{\"lt\":100}}", tenth_match},
        {"{\"tenth\":{\"lt\":10}}", hundredth_match},   {"{\"tenth\":{\"lt\":1}}", thousandth_match},
        {"{\"cluster\":{\"gte\":110}}", far_match},     {"{\"cluster\":{\"lt\":20}}", near_match},
    };
    World world;
    REQUIRE(world_begin(&world, 22, NACRE_L2, ROWS, NACRE_INDEX_AUTO, 0));
    CHECK_EQ(nacre_compact(world.db, NULL), NACRE_OK);
    for (int twice = 0; twice < 2; twice++) /* without masks, where that may be; then with them */
        for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
            if (!CHECK(recall_of(&world, filters[i].where, filters[i].matches) >= .95)) printf("%s\n", filters[i].where);
    world_end(&world);
}

/* Where the codes of the first segment that has any lie in the file, and how many bytes. */
static uint64_t codes_place(nacre_db *db, uint64_t *size) {
    for (size_t r = 0; r < db->version->count; r++)
        for (size_t s = 0; s < db->version->runs[r].count; s++) {
            Segment *segment = db->version->runs[r].segments[s];
            *size = segment->streams[STREAM_CODES].size;
            if (*size) return segment_place(segment, STREAM_CODES, 0);
        }
    *size = 0;
    return 0;
}

static bool world_reopen_flipped(World *world, uint64_t bit) {
    CHECK_EQ(nacre_close(world->db, NULL), NACRE_OK);
    sim_disk_flip(world->disk, "db", bit);
    return world_open(world, MEMORY, NULL);
}

/* A flipped bit in the codes: searches say so, what does not read them goes on; compacting heals. */
static void b20_damaged_codes_are_found_and_made_anew(void) {
    World world;
    REQUIRE(world_begin(&world, 20, NACRE_L2, 2000, NACRE_INDEX_AUTO, 0));
    uint64_t random = test_seed() + 20, size = 0, place;
    CHECK_EQ(nacre_compact(world.db, NULL), NACRE_OK);
    place = codes_place(world.db, &size);
    REQUIRE(size > 2000);
    for (int round = 0; round < 30; round++) {
        uint64_t bit = test_random(&random) % (8 * (size < EXTENT_SIZE ? size : EXTENT_SIZE)), problems = 0;
        float query[DIMS];
        nacre_search_options options = NACRE_SEARCH_INIT;
        nacre_hits *hits = NULL;
        REQUIRE(world_reopen_flipped(&world, 8 * place + bit));
        world_vector(3, 0xffff0000u, query);
        nacre_status status = nacre_search(world.membrane, NULL, query, &options, &hits);
        CHECK(status == NACRE_CORRUPT || status == NACRE_OK); /* the bit lay between parts */
        nacre_hits_free(hits);
        nacre_status verified = nacre_verify(world.db, true, NULL, NULL, &problems);
        CHECK(verified == NACRE_OK || verified == NACRE_CORRUPT);
        CHECK(status == NACRE_OK || problems > 0);
        nacre_value key = nacre_integer(5);
        nacre_row row;
        CHECK_EQ(nacre_get(world.membrane, NULL, &key, &row), NACRE_OK);
        if (round % 10 != 9) {
            REQUIRE(world_reopen_flipped(&world, 8 * place + bit));
            continue;
        }
        CHECK_EQ(nacre_compact(world.db, NULL), NACRE_OK);
        CHECK(recall_of(&world, NULL, all_match) >= .95);
        place = codes_place(world.db, &size);
        REQUIRE(size > 2000);
    }
    world_end(&world);
}

/* Queries and rows whose squares are no floats are compared all the same. */
static void f12_what_floats_cannot_square_is_found(void) {
    World world;
    REQUIRE(world_begin(&world, 12, NACRE_L2, 1600, NACRE_INDEX_AUTO, 0));
    for (uint32_t key = 7; key < world.rows; key += 400) {
        float *vector = world.vectors + (size_t)key * DIMS; /* far out */
        for (uint32_t d = 0; d < DIMS; d++) vector[d] *= 1e25f;
        nacre_value name = nacre_integer(key), fields[2] = {nacre_integer(key % 1000), nacre_integer(cluster_of(key))};
        CHECK_EQ(nacre_put(world.membrane, &name, vector, fields), NACRE_OK);
    }
    CHECK_EQ(nacre_compact(world.db, NULL), NACRE_OK);
    for (uint32_t key = 7; key < world.rows; key += 400) {
        uint32_t want;
        CHECK_EQ(coded_found(&world, world.vectors + (size_t)key * DIMS, NULL, all_match, &want), K);
    }
    world_end(&world);
}

void coded_test(void);
void coded_test(void) {
    RUN_FAST(f06_lists_keep_their_recall_l2);
    RUN_FAST(f06_lists_keep_their_recall_cosine);
    RUN_FAST(f06_lists_keep_their_recall_ip);
    RUN(f12_f23_codes_are_as_the_schema_says);
    RUN(f16_searches_move_what_they_score_slowly);
    RUN_FAST(a12_codes_larger_than_the_budget_are_left_out);
    RUN_FAST(f21_recall_lasts_through_deletes_and_updates);
    RUN_FAST(f22_filters_find_as_much_as_no_filter);
    RUN(f12_what_floats_cannot_square_is_found);
    RUN(b20_damaged_codes_are_found_and_made_anew);
}
