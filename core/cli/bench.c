/* bench.c - nacre bench: a short measurement on membranes of its own, every answer
 * checked. It says what this machine does, not how nacre compares to others. */
#include "cli/cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    BENCH_PAIRS = 50000,
    BENCH_BATCH = 500,
    BENCH_VECTORS = 5000,
    BENCH_DIMENSIONS = 128,
    BENCH_SEARCHES = 50
};

static const char *const bench_names[2] = {"nacre bench pairs", "nacre bench vectors"};

typedef struct Bench {
    Cli *cli;
    nacre_membrane *pairs, *vectors;
    uint64_t random; /* state of splitmix64: the same numbers each time */
    float *data;
} Bench;

static uint64_t bench_random(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double bench_now(void) {
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void bench_report(const Bench *b, const char *what, uint64_t count, double seconds) {
    double rate = seconds > 0 ? (double)count / seconds : 0;
    if (b->cli->json)
        printf("{\"what\":\"%s\",\"count\":%llu,\"seconds\":%.6f,\"per_second\":%.0f}\n", what,
               (unsigned long long)count, seconds, rate);
    else
        printf("%-22s %8llu in %8.1f ms, %10.0f per second\n", what, (unsigned long long)count,
               seconds * 1e3, rate);
    fflush(stdout);
}

/* A value that tells which key it belongs to. */
static nacre_value bench_value(uint64_t key, char text[100]) {
    int size = snprintf(
        text, 100,
        "{\"key\":%llu,\"padding\":\"0123456789012345678901234567890123456789012345678901234567\"}",
        (unsigned long long)key);
    return (nacre_value){.type = NACRE_JSON, .bytes = {text, (size_t)size}};
}

static uint64_t bench_key(uint64_t index) {
    return index * 0x9e3779b97f4a7c15u >> 1;
} /* scattered, all different */

static nacre_status bench_put(Bench *b) {
    nacre_status status = NACRE_OK;
    double start = bench_now();
    for (uint64_t i = 0; status == NACRE_OK && i < BENCH_PAIRS; i += BENCH_BATCH) {
        nacre_batch *batch = NULL;
        status = nacre_batch_begin(b->cli->db, &batch);
        for (uint64_t j = i; status == NACRE_OK && j < i + BENCH_BATCH; j++) {
            char text[100];
            nacre_value key = nacre_integer((int64_t)bench_key(j)),
                        value = bench_value(bench_key(j), text);
            status = nacre_batch_put(batch, b->pairs, &key, NULL, &value);
        }
        if (status == NACRE_OK) {
            status = nacre_batch_commit(batch);
        } else {
            nacre_batch_abort(batch);
        }
    }
    if (status == NACRE_OK) bench_report(b, "puts, 500 a batch", BENCH_PAIRS, bench_now() - start);
    return status;
}

static nacre_status bench_get(Bench *b, bool *right) {
    nacre_status status = NACRE_OK;
    double start = bench_now();
    for (uint64_t i = 0; status == NACRE_OK && i < BENCH_PAIRS; i++) {
        char text[100];
        uint64_t at = bench_key(bench_random(&b->random) % BENCH_PAIRS);
        nacre_value key = nacre_integer((int64_t)at), want = bench_value(at, text);
        nacre_row row;
        status = nacre_get(b->pairs, NULL, &key, &row);
        if (status == NACRE_OK)
            *right &= row.fields[0].bytes.size == want.bytes.size &&
                      memcmp(row.fields[0].bytes.data, want.bytes.data, want.bytes.size) == 0;
    }
    if (status == NACRE_OK) bench_report(b, "gets, random", BENCH_PAIRS, bench_now() - start);
    return status;
}

static nacre_status bench_scan(Bench *b, bool *right) {
    nacre_cursor *cursor = NULL;
    nacre_row row;
    uint64_t count = 0;
    int64_t last = INT64_MIN;
    double start = bench_now();
    nacre_status status = nacre_cursor_open(b->pairs, NULL, NULL, &cursor);
    while (status == NACRE_OK && (status = nacre_cursor_next(cursor, &row)) == NACRE_OK) {
        *right &= row.key[0].integer > last;
        last = row.key[0].integer;
        count++;
    }
    nacre_cursor_close(cursor);
    if (status != NACRE_NOT_FOUND) return status;
    *right &= count == BENCH_PAIRS;
    bench_report(b, "rows scanned", count, bench_now() - start);
    return NACRE_OK;
}

static nacre_status bench_put_vectors(Bench *b) {
    nacre_status status = NACRE_OK;
    for (size_t i = 0; i < (size_t)BENCH_VECTORS * BENCH_DIMENSIONS; i++)
        b->data[i] = (float)(bench_random(&b->random) >> 40) / 16777216.0f - 0.5f;
    double start = bench_now();
    for (uint64_t i = 0; status == NACRE_OK && i < BENCH_VECTORS; i += BENCH_BATCH) {
        nacre_batch *batch = NULL;
        status = nacre_batch_begin(b->cli->db, &batch);
        for (uint64_t j = i; status == NACRE_OK && j < i + BENCH_BATCH; j++) {
            nacre_value key = nacre_integer((int64_t)j);
            status = nacre_batch_put(batch, b->vectors, &key, b->data + j * BENCH_DIMENSIONS, NULL);
        }
        if (status == NACRE_OK) {
            status = nacre_batch_commit(batch);
        } else {
            nacre_batch_abort(batch);
        }
    }
    if (status == NACRE_OK)
        bench_report(b, "vectors put, 128-d", BENCH_VECTORS, bench_now() - start);
    return status;
}

static double bench_distance(const float *a, const float *c) {
    double sum = 0;
    for (int i = 0; i < BENCH_DIMENSIONS; i++)
        sum += ((double)a[i] - (double)c[i]) * ((double)a[i] - (double)c[i]);
    return sqrt(sum);
}

/* The k-th hit is as near as the k-th vector. */
static bool bench_check_hits(const Bench *b, const float *query, nacre_hits *hits) {
    float farthest = 0;
    uint32_t nearer = 0, count = nacre_hits_count(hits);
    if (count != 10 || nacre_hits_at(hits, count - 1, &farthest, NULL) != NACRE_OK) return false;
    for (size_t i = 0; i < BENCH_VECTORS; i++)
        nearer +=
            bench_distance(query, b->data + i * BENCH_DIMENSIONS) < (double)farthest * (1 - 1e-5);
    return nearer < count;
}

static nacre_status bench_search(Bench *b, bool *right) {
    nacre_status status = NACRE_OK;
    double seconds = 0;
    for (int i = 0; status == NACRE_OK && i < BENCH_SEARCHES; i++) {
        float query[BENCH_DIMENSIONS];
        nacre_hits *hits = NULL;
        for (int d = 0; d < BENCH_DIMENSIONS; d++)
            query[d] = (float)(bench_random(&b->random) >> 40) / 16777216.0f - 0.5f;
        double start = bench_now();
        status = nacre_search(b->vectors, NULL, query, NULL, &hits);
        seconds += bench_now() - start;
        if (status == NACRE_OK) *right &= bench_check_hits(b, query, hits);
        nacre_hits_free(hits);
    }
    if (status == NACRE_OK) bench_report(b, "searches, 10 of 5000", BENCH_SEARCHES, seconds);
    return status;
}

static nacre_status bench_run(Bench *b, bool *right) {
    nacre_schema pairs = nacre_schema_kv(NACRE_INTEGER, NACRE_JSON);
    nacre_schema vectors =
        nacre_schema_collection(NACRE_INTEGER, BENCH_DIMENSIONS, NACRE_L2, NULL, 0);
    nacre_status status = nacre_membrane_open(b->cli->db, bench_names[0], &pairs, &b->pairs);
    if (status == NACRE_OK)
        status = nacre_membrane_open(b->cli->db, bench_names[1], &vectors, &b->vectors);
    if (status == NACRE_OK) status = bench_put(b);
    if (status == NACRE_OK) status = bench_get(b, right);
    if (status == NACRE_OK) status = bench_scan(b, right);
    if (status == NACRE_OK) status = bench_put_vectors(b);
    if (status == NACRE_OK) status = bench_search(b, right);
    return status;
}

/* What an earlier run left behind when it was stopped, and what this one made. */
static nacre_status bench_clean(Cli *cli) {
    for (int i = 0; i < 2; i++) {
        nacre_status status = nacre_membrane_drop(cli->db, bench_names[i]);
        if (status != NACRE_OK && status != NACRE_NOT_FOUND) return status;
    }
    return NACRE_OK;
}

int cli_bench(Cli *cli) {
    Bench bench = {.cli = cli, .random = 20261121};
    bool right = true;
    int code = cli_open(cli, NACRE_READWRITE);
    if (code != CLI_DONE) return code;
    bench.data = cli_alloc((size_t)BENCH_VECTORS * BENCH_DIMENSIONS * sizeof *bench.data);
    nacre_status status = bench_clean(cli);
    if (status == NACRE_OK) status = bench_run(&bench, &right);
    if (status != NACRE_OK)
        code = cli_fail_status(cli, status, cli->arguments[0]);
    else if (!right)
        code = cli_fail(cli, CLI_REFUSED,
                        "%s: an answer was wrong; this is a bug of nacre, please report it",
                        cli->arguments[0]);
    if (bench_clean(cli) != NACRE_OK && code == CLI_DONE)
        code = cli_fail(cli, CLI_REFUSED, "%s: %s", cli->arguments[0], nacre_message(cli->db));
    free(bench.data);
    return code;
}
