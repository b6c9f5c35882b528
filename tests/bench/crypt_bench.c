/* crypt_bench.c - what encryption costs: the same work on a plain and on an encrypted database, turn
 * about in one run, every row checked. CPU time of the process, the least of all rounds: neighbours
 * and devices are not in it. Prints one JSON object per line.
 *
 *   clang -O2 -Icore tests/bench/crypt_bench.c build/libnacre.a -lm -o build/crypt_bench
 *   build/crypt_bench PATH [rows] [rounds] */
#define _POSIX_C_SOURCE 200809L
#include "nacre.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { VALUE = 100, BATCH = 100, SAMPLE = 100000 };
enum { PUT, PUT_BATCH, COMPACT, GET_WARM, GET_FILE, SCAN_FILE, OPEN, WORKS };

static const char *const names[WORKS] = {"put, one by one", "put, in batches of 100", "compact", "get, cached",
                                         "get, from the file", "scan, from the file", "open, 20 000 rows in the log"};
static double least[2][WORKS];

static double cpu_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void must(nacre_status status, const nacre_db *db, const char *what) {
    if (status == NACRE_OK) return;
    fprintf(stderr, "%s: %s %s\n", what, nacre_status_name(status), db ? nacre_message(db) : "");
    exit(1);
}

static uint64_t mix(uint64_t z) {
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void value_of(uint64_t i, uint8_t value[VALUE]) {
    for (uint64_t at = 0; at < VALUE; at += 4) memcpy(value + at, &(uint32_t){(uint32_t)mix(i * 31 + at)}, 4);
}

static nacre_db *open_db(const char *path, bool encrypted, uint64_t memory, nacre_membrane **rows) {
    static const uint8_t key[32] = "the key of a measured database.";
    nacre_options options = NACRE_OPTIONS_INIT;
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    nacre_db *db = NULL;
    nacre_error error;
    options.durability = NACRE_NONE;
    options.memory = memory;
    options.encryption_key = encrypted ? key : NULL;
    if (nacre_open(path, &options, &db, &error) != NACRE_OK) fprintf(stderr, "%s\n", error.text), exit(1);
    must(nacre_membrane_open(db, "rows", &schema, rows), db, "membrane");
    return db;
}

static void note(bool encrypted, int work, double from, uint64_t count) {
    double each = (cpu_now() - from) / (double)count;
    if (least[encrypted][work] == 0 || each < least[encrypted][work]) least[encrypted][work] = each;
}

static void put_rows(nacre_db *db, nacre_membrane *rows, uint64_t from, uint64_t to, bool batches) {
    uint8_t bytes[VALUE];
    for (uint64_t i = from; i < to;) {
        nacre_batch *batch = NULL;
        if (batches) must(nacre_batch_begin(db, &batch), db, "batch");
        for (uint64_t end = i + (batches ? BATCH : 1); i < end && i < to; i++) {
            nacre_value key = nacre_integer((int64_t)(mix(i) >> 1)), value = nacre_bytes(bytes, VALUE);
            value_of(i, bytes);
            if (batches) must(nacre_batch_put(batch, rows, &key, NULL, &value), db, "put");
            else must(nacre_put(rows, &key, NULL, &value), db, "put");
        }
        if (batches) must(nacre_batch_commit(batch), db, "commit");
    }
}

static void get_rows(nacre_db *db, nacre_membrane *rows, uint64_t count, uint64_t below, uint64_t seed) {
    uint8_t bytes[VALUE];
    for (uint64_t n = 0; n < count; n++) {
        uint64_t i = mix(seed + n) % below;
        nacre_value key = nacre_integer((int64_t)(mix(i) >> 1));
        nacre_row row;
        must(nacre_get(rows, NULL, &key, &row), db, "get");
        value_of(i, bytes);
        if (row.fields[0].bytes.size != VALUE || memcmp(row.fields[0].bytes.data, bytes, VALUE) != 0) must(NACRE_CORRUPT, NULL, "get");
    }
}

static void scan_rows(nacre_db *db, nacre_membrane *rows, uint64_t count) {
    nacre_cursor *cursor = NULL;
    nacre_row row;
    uint64_t seen = 0;
    nacre_status status;
    must(nacre_cursor_open(rows, NULL, NULL, &cursor), db, "cursor");
    while ((status = nacre_cursor_next(cursor, &row)) == NACRE_OK) seen++;
    if (status != NACRE_NOT_FOUND || seen != count) must(NACRE_CORRUPT, db, "scan");
    nacre_cursor_close(cursor);
}

static void measure(const char *path, bool encrypted, uint64_t rows, uint64_t round) {
    static const char *const suffixes[] = {"", "-wal0", "-wal1", "-lock"};
    nacre_membrane *all = NULL;
    char name[1100];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        (void)!unlink(name);
    }
    nacre_db *db = open_db(path, encrypted, 512 << 20, &all);
    double from = cpu_now();
    put_rows(db, all, 0, rows / 2, false);
    note(encrypted, PUT, from, rows / 2);
    from = cpu_now();
    put_rows(db, all, rows / 2, rows, true);
    note(encrypted, PUT_BATCH, from, rows / 2);
    from = cpu_now();
    must(nacre_compact(db, NULL), db, "compact");
    note(encrypted, COMPACT, from, rows);
    get_rows(db, all, SAMPLE, rows, 1);
    from = cpu_now();
    get_rows(db, all, SAMPLE, rows, 1);
    note(encrypted, GET_WARM, from, SAMPLE);
    must(nacre_close(db, NULL), NULL, "close");
    db = open_db(path, encrypted, 4 << 20, &all);
    from = cpu_now();
    get_rows(db, all, SAMPLE, rows, 7 + round);
    note(encrypted, GET_FILE, from, SAMPLE);
    from = cpu_now();
    scan_rows(db, all, rows);
    note(encrypted, SCAN_FILE, from, rows);
    put_rows(db, all, 0, 20000, true);
    must(nacre_close(db, NULL), NULL, "close");
    from = cpu_now();
    for (int i = 0; i < 5; i++) must(nacre_close(open_db(path, encrypted, 64 << 20, &all), NULL), NULL, "close");
    note(encrypted, OPEN, from, 5);
}

int main(int argc, char **argv) {
    uint64_t rows = argc > 2 ? strtoull(argv[2], NULL, 10) : 300000, rounds = argc > 3 ? strtoull(argv[3], NULL, 10) : 5;
    if (argc < 2) return fprintf(stderr, "usage: crypt_bench PATH [rows] [rounds]\n"), 2;
    for (uint64_t round = 0; round < rounds; round++)
        for (int encrypted = 0; encrypted < 2; encrypted++) measure(argv[1], encrypted, rows, round);
    for (int work = 0; work < WORKS; work++)
        printf("{\"work\":\"%s\",\"plainNs\":%.0f,\"encryptedNs\":%.0f,\"overheadPercent\":%.1f}\n", names[work], least[0][work],
               least[1][work], (least[1][work] / least[0][work] - 1) * 100);
    return 0;
}
