/* space_test.c - how large the file is beside what lives in it (C06, C20), what is told of it
 * (C22), and what the cache keeps when everything is read once. */
#include "lib/check.h"
#include "lib/count_disk.h"

#include "db/state.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { VALUE = 1000, KEY = 8 };
#define SMALL_FILE (2.0 * 1024 * 1024)

typedef struct World {
    CountDisk *disk;
    nacre_options options;
    nacre_db *db;
    nacre_membrane *kv;
} World;

static bool world_open(World *w, uint64_t memory) {
    *w = (World){.disk = count_disk_new(NULL)};
    w->options = (nacre_options)NACRE_OPTIONS_INIT;
    w->options.memory = memory;
    w->options.memtable_size = 256 << 10;
    w->options.durability = NACRE_NONE;
    w->options.lock = NACRE_LOCK_BREAK;
    w->options.vfs = count_disk_vfs(w->disk);
    w->options.seed = 5;
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    return CHECK_EQ(nacre_open("db", &w->options, &w->db, NULL), NACRE_OK) &&
           CHECK_EQ(nacre_membrane_open(w->db, "kv", &schema, &w->kv), NACRE_OK);
}

static void world_close(World *w) {
    CHECK_EQ(nacre_close(w->db, NULL), NACRE_OK);
    count_disk_free(w->disk);
}

static uint64_t file_size(const World *w) { return count_disk_size(w->disk, "db"); }

static int64_t scattered(uint32_t i) { return (int64_t)((uint64_t)i * 0x9e3779b97f4a7c15u); }

static nacre_status put_sized(nacre_membrane *membrane, uint32_t i, uint32_t version, size_t size) {
    static uint8_t bytes[1 << 17];
    uint64_t noise = i * 0x9e3779b97f4a7c15u ^ version;
    for (size_t b = 0; b + 8 <= size; b += 8) { /* what no compression makes smaller */
        uint64_t word = test_random(&noise);
        memcpy(bytes + b, &word, 8);
    }
    nacre_value key = nacre_integer(scattered(i)), value = nacre_bytes(bytes, size);
    return nacre_put(membrane, &key, NULL, &value);
}

static bool fill(World *w, uint32_t rows) {
    for (uint32_t i = 0; i < rows; i++)
        if (!CHECK_EQ(put_sized(w->kv, i, 1, VALUE), NACRE_OK)) return false;
    return true;
}

/* A figure of stats, by its path of names. */
static double figure(nacre_db *db, const char *group, const char *name) {
    const char *json = NULL;
    char quoted[64];
    if (!CHECK_EQ(nacre_stats_json(db, &json), NACRE_OK)) return -1;
    snprintf(quoted, sizeof quoted, "\"%s\":", group);
    const char *at = strstr(json, quoted);
    snprintf(quoted, sizeof quoted, "\"%s\":", name);
    at = at ? strstr(at, quoted) : NULL;
    return CHECK(at != NULL) ? strtod(at + strlen(quoted), NULL) : -1;
}

static void within(const char *what, double found, double least, double most) {
    if (!CHECK(found >= least && found <= most))
        printf("    %s: %.0f, and %.0f to %.0f are right\n", what, found, least, most);
}

/* ---- C06, C20: churn ---- */

/* Zipf's distribution with exponent .99 over `ids`, scattered. */
typedef struct Zipf {
    double *sums;
    uint32_t count;
} Zipf;

static uint32_t zipf_next(const Zipf *zipf, uint64_t *random) {
    double at = (double)(test_random(random) >> 11) / 9007199254740992.0 * zipf->sums[zipf->count - 1];
    uint32_t low = 0, high = zipf->count - 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (zipf->sums[middle] < at) low = middle + 1;
        else high = middle;
    }
    return (uint32_t)((uint64_t)low * 7919u % zipf->count);
}

/* Overwrites in random order: at every moment, and after compaction. */
static void churn(bool uniform) {
    enum { IDS = 16000, ROUNDS = 4 };
    World w;
    if (!world_open(&w, 16 << 20)) return;
    uint64_t random = test_seed() + 500, most = 0, late = 0, live = (uint64_t)IDS * (VALUE + KEY);
    Zipf zipf = {calloc(IDS, sizeof(double)), IDS};
    for (uint32_t i = 0; i < IDS; i++) zipf.sums[i] = (i ? zipf.sums[i - 1] : 0) + 1 / pow(i + 1, .99);
    if (fill(&w, IDS))
        for (uint32_t n = 0; n < IDS * ROUNDS; n++) {
            uint32_t i = uniform ? (uint32_t)(test_random(&random) % IDS) : zipf_next(&zipf, &random);
            if (!CHECK_EQ(put_sized(w.kv, i, n + 2, VALUE), NACRE_OK)) break;
            if (n % 16) continue;
            uint64_t size = file_size(&w);
            if (size > most) most = size;
            if (n > IDS * ROUNDS / 2 && size > late) late = size;
        }
    within("file in churn", (double)most, (double)live, 2.2 * (double)live);
    CHECK(late <= most); /* it is steady: the second half grows no further than all of it */
    nacre_compact_report report;
    CHECK_EQ(nacre_compact(w.db, &report), NACRE_OK);
    within("file after compaction", (double)file_size(&w), (double)live, 1.1 * (double)live + SMALL_FILE);
    CHECK_EQ(report.rows, IDS);
    free(zipf.sums);
    world_close(&w);
}

static void c20_uniform_churn_keeps_the_file_small(void) { churn(true); }
static void c20_zipf_churn_keeps_the_file_small(void) { churn(false); }

/* C20: what is deleted comes back, and the file is cut. */
static void c20_deleting_most_and_compacting_gives_the_space_back(void) {
    enum { IDS = 20000, LEFT = IDS / 10 };
    World w;
    if (!world_open(&w, 16 << 20) || !fill(&w, IDS)) return;
    uint64_t before = file_size(&w), live = (uint64_t)LEFT * (VALUE + KEY);
    for (uint32_t i = 0; i < IDS; i++) {
        nacre_value key = nacre_integer(scattered(i));
        if (i % 10 && !CHECK_EQ(nacre_delete(w.kv, &key), NACRE_OK)) break;
    }
    CHECK_EQ(nacre_compact(w.db, NULL), NACRE_OK);
    CHECK(before > 9 * live);
    within("file", (double)file_size(&w), (double)live, 1.1 * (double)live + SMALL_FILE);
    for (uint32_t i = 0; i < IDS; i += 7) {
        nacre_value key = nacre_integer(scattered(i));
        nacre_row row;
        CHECK_EQ(nacre_get(w.kv, NULL, &key, &row), i % 10 ? NACRE_NOT_FOUND : NACRE_OK);
    }
    world_close(&w);
}

/* ---- C22: what is told ---- */

/* Size, used and free are those of the file; live is what a compaction leaves; the membrane's
 * are those of all segments and records. With ever more garbage. */
static void c22_space_figures_are_within_five_percent(void) {
    enum { IDS = 24000, SIZE = 300 };
    World w;
    if (!world_open(&w, 16 << 20)) return;
    uint64_t random = test_seed() + 501;
    for (uint32_t i = 0; i < IDS; i++) CHECK_EQ(put_sized(w.kv, i, 1, SIZE), NACRE_OK);
    for (uint32_t round = 0; round < 4; round++) {
        for (uint32_t n = 0; n < IDS / 3 * round; n++) {
            uint32_t i = (uint32_t)(test_random(&random) % IDS);
            nacre_value key = nacre_integer(scattered(i));
            nacre_status status = n % 8 ? put_sized(w.kv, i, round + 2, SIZE) : nacre_delete(w.kv, &key);
            CHECK(status == NACRE_OK || (status == NACRE_NOT_FOUND && n % 8 == 0));
        }
        uint64_t bytes = 0, size = file_size(&w);
        double used = (double)extent_map_used(&w.db->map) * (double)EXTENT_SIZE, live = figure(w.db, "file", "live");
        double holds = (double)version_bytes(w.db->version) + (double)w.db->active->used +
                       (w.db->frozen ? (double)w.db->frozen->used : 0);
        CHECK_NEAR(figure(w.db, "file", "size"), size, 0);
        within("used", figure(w.db, "file", "used"), used - (double)EXTENT_SIZE, used);
        CHECK_NEAR(figure(w.db, "file", "used") + figure(w.db, "file", "free"), size, 0);
        CHECK_EQ(nacre_membrane_bytes(w.kv, &bytes), NACRE_OK);
        within("the membrane", (double)bytes, .95 * holds, 1.05 * holds);
        CHECK_EQ(nacre_compact(w.db, NULL), NACRE_OK);
        double left = (double)version_bytes(w.db->version);
        within("live", live, .95 * left, 1.05 * left);
        within("live after compaction", figure(w.db, "file", "live"), .95 * left, left);
        within("size after compaction", (double)file_size(&w), left, left + SMALL_FILE);
    }
    world_close(&w);
}

enum { MEMBRANES = 7, DIMENSIONS = 256 };

/* Membrane `m` of very different ones. */
static void fill_membrane(World *w, uint32_t m, nacre_membrane **membrane) {
    static const uint32_t rows[MEMBRANES] = {60000, 1000, 40, 12000, 3, 1500, 3000};
    static const size_t sizes[MEMBRANES] = {24, 900, 100000, 104, 8, 3000, 0};
    static float vector[DIMENSIONS] = {1};
    char name[8];
    nacre_schema kv = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    nacre_schema collection = nacre_schema_collection(NACRE_INTEGER, DIMENSIONS, NACRE_L2, NULL, 0);
    snprintf(name, sizeof name, "m%u", m);
    CHECK_EQ(nacre_membrane_open(w->db, name, sizes[m] ? &kv : &collection, membrane), NACRE_OK);
    for (uint32_t i = 0; i < rows[m]; i++) {
        nacre_value key = nacre_integer(i);
        if (sizes[m]) CHECK_EQ(put_sized(*membrane, i, 1, sizes[m]), NACRE_OK);
        else CHECK_EQ(nacre_put(*membrane, &key, vector, NULL), NACRE_OK);
    }
}

/* Side by side in the same segments, each is told what it takes alone in a database, but for
 * the ends of streams: an extent for each. */
static void c22_each_membrane_is_told_its_own_bytes(void) {
    World all;
    nacre_membrane *membranes[MEMBRANES];
    double sum = 0;
    if (!world_open(&all, 64 << 20)) return;
    for (uint32_t m = 0; m < MEMBRANES; m++) fill_membrane(&all, m, &membranes[m]);
    CHECK_EQ(nacre_compact(all.db, NULL), NACRE_OK);
    for (uint32_t m = 0; m < MEMBRANES; m++) {
        World alone;
        nacre_membrane *membrane = NULL;
        uint64_t bytes = 0;
        if (!world_open(&alone, 64 << 20)) break;
        fill_membrane(&alone, m, &membrane);
        CHECK_EQ(nacre_compact(alone.db, NULL), NACRE_OK);
        double right = (double)version_bytes(alone.db->version);
        CHECK_EQ(nacre_membrane_bytes(membranes[m], &bytes), NACRE_OK);
        within("a membrane", (double)bytes, .95 * right - 3 * EXTENT_SIZE, 1.05 * right + 3 * EXTENT_SIZE);
        sum += (double)bytes;
        world_close(&alone);
    }
    double whole = (double)version_bytes(all.db->version); /* the catalog has a row for each */
    within("all of them", sum, .95 * whole, 1.01 * whole);
    world_close(&all);
}

/* ---- what is read once does not push out what is read often ---- */

static void read_hot(World *w, uint32_t hot) {
    for (uint32_t i = 0; i < hot; i++) {
        nacre_value key = nacre_integer(scattered(i * 16));
        nacre_row row;
        CHECK_EQ(nacre_get(w->kv, NULL, &key, &row), NACRE_OK);
    }
}

/* The hot rows fill a third of the cache. A cursor, verification and a compaction read
 * everything, which is many times the cache; of the hot rows nine in ten are still there. (What a
 * compaction rewrites is new: there only what it read past the cache counts.) */
static void the_cache_resists_scans(void) {
    enum { IDS = 24000, HOT = 96 };
    World w;
    if (!world_open(&w, 2 << 20) || !fill(&w, IDS)) return;
    CHECK_EQ(nacre_compact(w.db, NULL), NACRE_OK);
    for (int round = 0; round < 3; round++) read_hot(&w, HOT);
    for (int way = 0; way < 3; way++) {
        uint64_t seen = 0, problems = 1;
        nacre_cursor *cursor = NULL;
        nacre_row row;
        if (way == 0) {
            CHECK_EQ(nacre_cursor_open(w.kv, NULL, NULL, &cursor), NACRE_OK);
            while (nacre_cursor_next(cursor, &row) == NACRE_OK) seen++;
            nacre_cursor_close(cursor);
        } else if (way == 1) {
            CHECK_EQ(nacre_count(w.kv, NULL, NULL, &seen), NACRE_OK);
        } else {
            CHECK_EQ(nacre_verify(w.db, true, NULL, NULL, &problems), NACRE_OK);
            CHECK_EQ(problems, 0);
            seen = IDS;
        }
        CHECK_EQ(seen, IDS);
        DiskCounts before = count_disk_counts(w.disk);
        read_hot(&w, HOT);
        within("reads of hot rows", (double)count_disk_since(w.disk, before).reads, 0, HOT / 10);
    }
    world_close(&w);
}

void space_test(void) {
    RUN(c20_uniform_churn_keeps_the_file_small);
    RUN(c20_zipf_churn_keeps_the_file_small);
    RUN(c20_deleting_most_and_compacting_gives_the_space_back);
    RUN(c22_space_figures_are_within_five_percent);
    RUN(c22_each_membrane_is_told_its_own_bytes);
    RUN(the_cache_resists_scans);
}
