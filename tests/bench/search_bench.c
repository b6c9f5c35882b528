/* search_bench.c - the search of a whole database: durable ingest, the index as it comes to be,
 * reopening, and recall and time of searches, with and without filters. What ivf_bench.c measures
 * without a database.
 *
 *   search_bench SETS SET ROWS DIRECTORY [MEMORY_MIB [curve | indexed]]
 *
 * SETS has the .npy files; ROWS counts for made sets only (sets.h). One JSON object on stdout: times
 * in microseconds, the median of all queries; recall at 10 as the share of rows not farther than the
 * 10th true neighbour. `curve`: no filters, but many settings of recall and probes (search.mjs); `indexed`:
 * the filters' field is. Counts by the filter of one row in a thousand are timed, too. */
#define _GNU_SOURCE
#include "sets.h"

#include "db/db.h"

enum { ROUNDS = 5, BATCH = 1000 };

static Set set;
static nacre_db *db;
static nacre_membrane *membrane;
static char path[1024];
static uint64_t memory_mib = 1024;
static bool indexed;

static void must(nacre_status status, const char *what) {
    if (status != NACRE_OK) die(what, db ? nacre_message(db) : nacre_status_name(status));
}

static void open_db(void) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.memory = memory_mib << 20;
    must(nacre_open(path, &options, &db, NULL), "open");
}

static void put_all(void) {
    nacre_field field = {"bucket", NACRE_INTEGER, indexed};
    nacre_schema schema = nacre_schema_collection(NACRE_INTEGER, set.dimensions, (nacre_metric)set.metric, &field, 1);
    must(nacre_membrane_open(db, "set", &schema, &membrane), "membrane");
    double began = wall(), slowest = 0, second = began;
    uint32_t in_second = 0, least = UINT32_MAX;
    for (uint32_t row = 0; row < set.count; row += BATCH) {
        nacre_batch *batch;
        double from = wall();
        must(nacre_batch_begin(db, &batch), "batch");
        uint32_t end = row + BATCH < set.count ? row + BATCH : set.count;
        for (uint32_t i = row; i < end; i++) {
            nacre_value key = nacre_integer(i), bucket = nacre_integer(i % 1000);
            must(nacre_batch_put(batch, membrane, &key, set.rows + (size_t)i * set.dimensions, &bucket), "put");
        }
        must(nacre_batch_commit(batch), "commit");
        double now = wall();
        if (now - from > slowest) slowest = now - from;
        in_second += end - row;
        if (now - second >= 1) {
            if (in_second < least) least = in_second;
            in_second = 0, second = now;
        }
    }
    printf("\"ingest\": {\"rowsPerSecond\": %.0f, \"slowestCallMs\": %.1f, \"slowestSecond\": %u},\n", set.count / (wall() - began),
           slowest * 1e3, least == UINT32_MAX ? 0 : least);
}

static uint64_t stat_of(const char *name) {
    const char *text = NULL, *at;
    must(nacre_stats_json(db, &text), "stats");
    at = strstr(text, name);
    return at ? strtoull(at + strlen(name) + 2, NULL, 10) : 0;
}

/* Median time of a search, and the share of hits that are as near as the 10th true neighbour: with a
 * filter, of those rows that match (rows i with i % 1000 < below). */
static void searches(const char *name, float recall, uint32_t probes, uint32_t below) {
    char where[64];
    double *times = malloc(sizeof *times * set.query_count * ROUNDS);
    uint64_t found = 0, all = 0;
    size_t count = 0;
    nacre_search_options options = NACRE_SEARCH_INIT;
    snprintf(where, sizeof where, "{\"bucket\":{\"lt\":%u}}", below);
    options.k = SET_HITS;
    options.recall = recall;
    options.probes = probes;
    if (below < 1000) options.where_json = where;
    for (int round = 0; round < ROUNDS; round++)
        for (uint32_t q = 0; q < set.query_count; q++) {
            const float *query = set.queries + (size_t)q * set.dimensions;
            nacre_hits *hits;
            double began = wall();
            must(nacre_search(membrane, NULL, query, &options, &hits), "search");
            times[count++] = wall() - began;
            if (round == 0) {
                float far = set.far[(size_t)q * SET_HITS + SET_HITS - 1], before = -INFINITY;
                uint32_t want = SET_HITS;
                if (below < 1000) { /* its own truth */
                    float best[SET_HITS], distance;
                    uint32_t have = 0;
                    MetricQuery metric;
                    metric_query_init(&metric, kernels_choose(), set.metric, query, set.dimensions);
                    for (uint32_t i = 0; i < set.count; i++) {
                        if (i % 1000 >= below) continue;
                        metric_many(&metric, set.rows + (size_t)i * set.dimensions, 0, 1, &distance);
                        if (have == SET_HITS && distance >= best[SET_HITS - 1]) continue;
                        uint32_t at = have < SET_HITS ? have++ : SET_HITS - 1;
                        for (; at > 0 && best[at - 1] > distance; at--) best[at] = best[at - 1];
                        best[at] = distance;
                    }
                    far = have ? best[have - 1] : 0, want = have;
                }
                if (nacre_hits_count(hits) != want) die(name, "another number of hits");
                for (uint32_t i = 0; i < want; i++) {
                    float distance;
                    must(nacre_hits_at(hits, i, &distance, NULL), "hit");
                    if (distance < before) die(name, "hits that are not in their order");
                    before = distance;
                    found += distance <= far;
                }
                all += want;
            }
            nacre_hits_free(hits);
        }
    qsort(times, count, sizeof *times, compare_doubles);
    printf("\"%s\": {\"recall\": %.4f, \"p50\": %.1f, \"p99\": %.1f},\n", name, (double)found / (double)all, times[count / 2] * 1e6,
           times[count * 99 / 100] * 1e6);
    free(times);
}

/* Recall against time, for a plot. */
static void curve(void) {
    static const float recalls[] = {.5f, .7f, .8f, .9f, .95f, .97f, .99f, .995f, .999f};
    char name[32];
    for (size_t i = 0; i < sizeof recalls / sizeof *recalls; i++) {
        snprintf(name, sizeof name, "recall %.3g", (double)recalls[i]);
        searches(name, recalls[i], 0, 1000);
    }
    for (uint32_t probes = 1; probes <= 128; probes *= 2) {
        snprintf(name, sizeof name, "probes %u", probes);
        searches(name, 0, probes, 1000);
    }
}

static void counts(void) {
    nacre_range range = NACRE_RANGE_INIT;
    uint64_t found = 0;
    range.where_json = "{\"bucket\":7}";
    double best = 1e300;
    for (int round = 0; round < ROUNDS; round++) {
        double began = wall();
        must(nacre_count(membrane, NULL, &range, &found), "count");
        if (wall() - began < best) best = wall() - began;
    }
    printf("\"count\": {\"rows\": %llu, \"us\": %.1f},\n", (unsigned long long)found, best * 1e6);
}

int main(int argc, char **argv) {
    if (argc < 5) die("usage", "search_bench SETS SET ROWS DIRECTORY [MEMORY_MIB]");
    if (argc > 5) memory_mib = strtoull(argv[5], NULL, 10);
    if (!set_load(&set, argv[2], argv[1], (uint32_t)strtoul(argv[3], NULL, 10))) die(argv[2], "no such set");
    indexed = argc > 6 && strcmp(argv[6], "indexed") == 0;
    snprintf(path, sizeof path, "%s/search-bench", argv[4]);
    open_db();
    printf("{\"set\": \"%s\", \"rows\": %u, \"dimensions\": %u,\n", set.name, set.count, set.dimensions);
    put_all();
    searches("fresh95", .95f, 0, 1000);
    double began = wall();
    must(nacre_compact(db, NULL), "compact");
    printf("\"indexSeconds\": %.2f,\n", wall() - began);
    must(nacre_close(db, NULL), "close");
    began = wall();
    open_db();
    must(nacre_membrane_open(db, "set", NULL, &membrane), "membrane");
    nacre_hits *hits;
    must(nacre_search(membrane, NULL, set.queries, NULL, &hits), "search");
    nacre_hits_free(hits);
    printf("\"reopenMs\": %.2f,\n", (wall() - began) * 1e3);
    searches("warm", .99f, 0, 1000);
    if (argc > 6 && !indexed) {
        curve();
        printf("\"peakMemory\": %llu}\n", (unsigned long long)stat_of("peakMemory"));
        must(nacre_close(db, NULL), "close");
        return 0;
    }
    counts();
    searches("recall95", .95f, 0, 1000);
    searches("recall99", .99f, 0, 1000);
    searches("half", .95f, 0, 500);
    searches("tenth", .95f, 0, 100);
    searches("hundredth", .95f, 0, 10);
    searches("thousandth", .95f, 0, 1);
    printf("\"peakMemory\": %llu}\n", (unsigned long long)stat_of("peakMemory"));
    must(nacre_close(db, NULL), "close");
    return 0;
}
