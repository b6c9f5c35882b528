/* vector_bench.c - exact search through nacre.h beside a plain read of as many bytes, every
 * answer checked: one JSON object on stdout. The same work as vectors.mjs.
 *
 *   vector_bench DIRECTORY ROWS DIMENSIONS SECONDS
 *
 * 1. Reads and searches alternate in groups: each finds the caches as its own kind left them.
 * 2. Wall time is the median of single reads or searches, CPU time that of a group's mean.
 * 3. The rows stand in segments and in the database's cache: a search that misses it fails
 *    the run. */
#define _GNU_SOURCE
#include "nacre.h"

#include "data.h"

#include <math.h>

enum { K = 10, QUERIES = 16, GROUPS = 15, SAMPLES_MAX = 1 << 16, QUERY_SEED = 0x40000000 };

typedef struct Samples {
    double cpu[GROUPS], wall[SAMPLES_MAX];
    size_t groups, count;
    double cpu_began;
    size_t count_began;
} Samples;

static nacre_db *db;
static float *vectors, queries[QUERIES][4096];
static uint32_t rows, dimensions;
static Samples reads, searches;
static volatile uint64_t sink;
static int64_t found[QUERIES][K];

static void check(nacre_status status, const char *what) {
    if (status != NACRE_OK) die(what, db ? nacre_message(db) : nacre_status_name(status));
}

static double thread_cpu(void) { return clock_of(CLOCK_THREAD_CPUTIME_ID); }

static void group_begin(Samples *s) {
    s->cpu_began = thread_cpu();
    s->count_began = s->count;
}

static void group_end(Samples *s) {
    if (s->count > s->count_began)
        s->cpu[s->groups++] = (thread_cpu() - s->cpu_began) / (double)(s->count - s->count_began);
}

static void sample(Samples *s, double wall_began) {
    if (s->count == SAMPLES_MAX) die("samples", "too many");
    s->wall[s->count++] = wall() - wall_began;
}

/* All bytes once, four sums, as wide as the compiler's vectors go. */
#if defined(__x86_64__)
#define BENCH_WIDE __attribute__((target("avx2"), noinline))
typedef uint64_t BenchWord __attribute__((vector_size(32), aligned(1), may_alias));
#else
#define BENCH_WIDE __attribute__((noinline))
typedef uint64_t BenchWord __attribute__((vector_size(16), aligned(1), may_alias));
#endif
BENCH_WIDE static void read_plain(const void *bytes, size_t size) {
    const BenchWord *at = bytes;
    BenchWord a = {0}, b = {0}, c = {0}, d = {0};
    for (size_t i = 0; i + 8 <= size / sizeof *at; i += 8) {
        a += at[i], b += at[i + 1], c += at[i + 2], d += at[i + 3];
        a += at[i + 4], b += at[i + 5], c += at[i + 6], d += at[i + 7];
    }
    a += b, c += d, a += c;
    sink = a[0] + a[1];
}

static double distance_of(nacre_metric metric, const float *a, const float *b) {
    double square = 0, dot = 0, aa = 0, bb = 0;
    for (uint32_t i = 0; i < dimensions; i++) {
        double x = (double)a[i], y = (double)b[i];
        square += (x - y) * (x - y), dot += x * y, aa += x * x, bb += y * y;
    }
    return metric == NACRE_L2 ? sqrt(square) : metric == NACRE_IP ? -dot : 1 - dot / sqrt(aa * bb);
}

/* No row that was left out is nearer than the last hit, and each distance is right. */
static void check_hits(nacre_metric metric, uint32_t q, nacre_hits *hits) {
    float last = 0;
    uint32_t nearer = 0;
    if (nacre_hits_count(hits) != K) die("search", "too few hits");
    for (uint32_t i = 0; i < K; i++) {
        nacre_row row;
        check(nacre_hits_at(hits, i, &last, &row), "hit");
        double right =
            distance_of(metric, queries[q], vectors + (size_t)row.key[0].integer * dimensions);
        if (fabs((double)last - right) > 1e-4 * (1 + fabs(right))) die("search", "wrong distance");
        found[q][i] = row.key[0].integer;
    }
    for (uint32_t i = 0; i < rows; i++)
        nearer +=
            distance_of(metric, queries[q], vectors + (size_t)i * dimensions) < (double)last - 1e-4;
    if (nearer >= K) die("search", "a nearer row was left out");
}

static void search(nacre_membrane *collection, uint32_t q, bool timed) {
    nacre_hits *hits = NULL;
    nacre_search_options options = NACRE_SEARCH_INIT;
    options.k = K;
    double w = wall();
    check(nacre_search(collection, NULL, queries[q], &options, &hits), "search");
    if (timed) sample(&searches, w);
    for (uint32_t i = 0; timed && i < K; i++) {
        nacre_row row;
        check(nacre_hits_at(hits, i, NULL, &row), "hit");
        if (row.key[0].integer != found[q][i]) die("search", "another answer to the same question");
    }
    nacre_hits_free(hits);
}

static nacre_membrane *load(const char *path, nacre_metric metric) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.durability = NACRE_NONE;
    options.memory = (uint64_t)rows * dimensions * 16 +
                     (64u << 20); /* half is cache; after compaction half of that may be old */
    nacre_error error;
    nacre_membrane *collection = NULL;
    nacre_schema schema = nacre_schema_collection(NACRE_INTEGER, dimensions, metric, NULL, 0);
    if (nacre_open(path, &options, &db, &error) != NACRE_OK) die(path, error.text);
    check(nacre_membrane_open(db, "vectors", &schema, &collection), "membrane");
    for (uint32_t from = 0; from < rows; from += 500) {
        nacre_batch *batch = NULL;
        check(nacre_batch_begin(db, &batch), "batch");
        for (uint32_t i = from; i < rows && i < from + 500; i++) {
            nacre_value key = nacre_integer(i);
            check(nacre_batch_put(batch, collection, &key, vectors + (size_t)i * dimensions, NULL),
                  "put");
        }
        check(nacre_batch_commit(batch), "commit");
    }
    nacre_compact_report report;
    check(nacre_compact(db, &report), "compact");
    return collection;
}

static unsigned long long misses(void) {
    const char *json = NULL, *at;
    check(nacre_stats_json(db, &json), "stats");
    at = strstr(json, "\"cacheMisses\":");
    return at ? strtoull(at + strlen("\"cacheMisses\":"), NULL, 10) : 0;
}

static void print(const char *name, Samples *s) {
    printf("\"%s\":{\"cpuUs\":%.2f,\"wallUs\":%.2f,\"samples\":%zu}", name,
           quantile(s->cpu, s->groups, 0.5) * 1e6, quantile(s->wall, s->count, 0.5) * 1e6,
           s->count);
}

static void measure(const char *directory, const char *name, nacre_metric metric, double seconds) {
    char path[4096];
    snprintf(path, sizeof path, "%s/vectors-%s", directory, name);
    nacre_membrane *collection = load(path, metric);
    for (uint32_t q = 0; q < QUERIES; q++) {
        nacre_hits *hits = NULL;
        check(nacre_search(collection, NULL, queries[q], NULL, &hits), "search");
        check_hits(metric, q, hits);
        nacre_hits_free(hits);
    }
    reads = searches = (Samples){0};
    unsigned long long before = misses();
    const double turn = seconds / (double)GROUPS;
    for (int group = 0; group < GROUPS; group++) {
        const size_t size = (size_t)rows * dimensions * sizeof *vectors;
        read_plain(vectors, size);
        group_begin(&reads);
        for (double end = wall() + turn / 3; wall() < end;) {
            double w = wall();
            read_plain(vectors, size);
            sample(&reads, w);
        }
        group_end(&reads);
        search(collection, 0, false);
        group_begin(&searches);
        uint32_t q = 0;
        for (double end = wall() + turn; wall() < end;)
            search(collection, q++ % QUERIES, true);
        group_end(&searches);
    }
    if (misses() != before) die("search", "vectors were not in the database's cache");
    uint32_t hash = 0;
    for (uint32_t q = 0; q < QUERIES; q++)
        for (uint32_t i = 0; i < K; i++) hash = mix(hash ^ (uint32_t)found[q][i]);
    printf("\"%s\":{", name);
    print("read", &reads);
    printf(",");
    print("search", &searches);
    printf(",\"hash\":%u},", hash);
    fflush(stdout);
    nacre_error error;
    if (nacre_close(db, &error) != NACRE_OK) die("close", error.text);
    db = NULL;
}

int main(int argc, char **argv) {
    if (argc != 5) die(argv[0], "usage: vector_bench DIRECTORY ROWS DIMENSIONS SECONDS");
    rows = (uint32_t)strtoul(argv[2], NULL, 10);
    dimensions = (uint32_t)strtoul(argv[3], NULL, 10);
    vectors = malloc((size_t)rows * dimensions * sizeof *vectors);
    if (!vectors) die("memory", "none left");
    fill_floats(vectors, (size_t)rows * dimensions, 0);
    for (uint32_t q = 0; q < QUERIES; q++)
        fill_floats(queries[q], dimensions, QUERY_SEED + q * 4096);
    printf("{");
    measure(argv[1], "l2", NACRE_L2, strtod(argv[4], NULL));
    measure(argv[1], "ip", NACRE_IP, strtod(argv[4], NULL));
    measure(argv[1], "cosine", NACRE_COSINE, strtod(argv[4], NULL));
    printf("\"ok\":true}\n");
    free(vectors);
    return 0;
}
