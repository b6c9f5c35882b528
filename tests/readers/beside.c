/* beside.c - a native process that writes or reads beside others; tests/js/readers.test.ts
 * has the same in Node, and describes what is written.
 *
 *     beside write PATH       puts batches until it is killed; says the number of each
 *     beside sync PATH LEVEL  puts, flushes, puts a batch, with marks between them for
 *                             tests/js/strace.test.ts
 *     beside read PATH        answers each line of its input with one line:
 *                             refresh, state, hold, held, close */
#include "base/codec.h"
#include "nacre.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 40, COUNTER = 1000, VALUE_MAX = 600 };

static nacre_error error;

static int fail(nacre_status status, const char *text) {
    printf("%s %s\n", nacre_status_name(status), text);
    fflush(stdout);
    return 1;
}

static size_t value_of(int64_t n, uint8_t *into) {
    size_t size = 8 + (size_t)(n * 7919 % 500);
    memset(into, (int)(n % 251), size);
    put_u64(into, (uint64_t)n);
    return size;
}

static nacre_status put_batch(nacre_db *db, nacre_membrane *rows, int64_t n) {
    uint8_t bytes[VALUE_MAX], number[8];
    nacre_value key = nacre_integer(n % ROWS), value = nacre_bytes(bytes, value_of(n, bytes));
    nacre_value counter = nacre_integer(COUNTER), count = nacre_bytes(number, 8);
    nacre_batch *batch = NULL;
    nacre_status status = nacre_batch_begin(db, &batch);
    put_u64(number, (uint64_t)n);
    if (status == NACRE_OK) status = nacre_batch_put(batch, rows, &key, NULL, &value);
    if (status == NACRE_OK) status = nacre_batch_put(batch, rows, &counter, NULL, &count);
    return status == NACRE_OK ? nacre_batch_commit(batch) : status;
}

static nacre_status counter_of(nacre_membrane *rows, const nacre_snapshot *snapshot, int64_t *n) {
    nacre_value key = nacre_integer(COUNTER);
    nacre_row row;
    *n = 0;
    nacre_status status = nacre_get(rows, snapshot, &key, &row);
    if (status == NACRE_OK) *n = (int64_t)get_u64(row.fields[0].bytes.data);
    return status == NACRE_NOT_FOUND ? NACRE_OK : status;
}

/* The number of the state, every row of it checked; -1: none that was ever written. */
static nacre_status state_of(nacre_membrane *rows, const nacre_snapshot *snapshot, int64_t *n) {
    nacre_status status = counter_of(rows, snapshot, n);
    for (int64_t k = 0; k < ROWS && status == NACRE_OK; k++) {
        int64_t last = *n >= k ? *n - (*n - k) % ROWS : 0;
        uint8_t want[VALUE_MAX];
        size_t size = value_of(last, want);
        nacre_value key = nacre_integer(k);
        nacre_row row;
        status = nacre_get(rows, snapshot, &key, &row);
        bool right = last <= 0 ? status == NACRE_NOT_FOUND
                               : status == NACRE_OK && row.fields[0].bytes.size == size &&
                                     memcmp(row.fields[0].bytes.data, want, size) == 0;
        if (status == NACRE_NOT_FOUND) status = NACRE_OK;
        if (!right && status == NACRE_OK) return *n = -1, NACRE_OK;
    }
    return status;
}

static int write_rows(const char *path) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.memory = 4 << 20;
    options.memtable_size = 64 << 10;
    options.durability = NACRE_NONE;
    nacre_db *db = NULL;
    nacre_membrane *rows = NULL;
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    nacre_status status = nacre_open(path, &options, &db, &error);
    if (status != NACRE_OK) return fail(status, error.text);
    int64_t n = 0;
    status = nacre_membrane_open(db, "rows", &schema, &rows);
    if (status == NACRE_OK) status = counter_of(rows, NULL, &n);
    while (status == NACRE_OK) {
        status = put_batch(db, rows, ++n);
        if (status == NACRE_OK && n % 50 == 0) status = nacre_checkpoint(db);
        if (status == NACRE_OK && n % 700 == 0) status = nacre_compact(db, NULL);
        if (status == NACRE_OK) printf("%lld\n", (long long)n);
        fflush(stdout);
    }
    return fail(status, nacre_message(db));
}

static void mark(const char *text) {
    printf("mark %s\n", text);
    fflush(stdout);
}

static int sync_rows(const char *path, const char *level) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.durability = level[0] == 's' ? NACRE_STRICT : level[0] == 'r' ? NACRE_RELAXED : NACRE_NONE;
    nacre_db *db = NULL;
    nacre_membrane *rows = NULL;
    nacre_batch *batch = NULL;
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    nacre_status status = nacre_open(path, &options, &db, &error);
    if (status != NACRE_OK) return fail(status, error.text);
    status = nacre_membrane_open(db, "rows", &schema, &rows);
    nacre_value value = nacre_bytes("value", 5);
    mark("begin");
    for (int64_t i = 0; i < 50 && status == NACRE_OK; i++) {
        nacre_value key = nacre_integer(i);
        status = nacre_put(rows, &key, NULL, &value);
    }
    mark("put");
    if (status == NACRE_OK) status = nacre_flush(db);
    mark("flushed");
    if (status == NACRE_OK) status = nacre_batch_begin(db, &batch);
    for (int64_t i = 0; i < 1000 && status == NACRE_OK; i++) {
        nacre_value key = nacre_integer(i);
        status = nacre_batch_put(batch, rows, &key, NULL, &value);
    }
    if (status == NACRE_OK) status = nacre_batch_commit(batch);
    mark("batch");
    if (status != NACRE_OK) return fail(status, nacre_message(db));
    return nacre_close(db, &error) == NACRE_OK ? 0 : fail(NACRE_IO, error.text);
}

static int read_rows(const char *path) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.memory = 4 << 20;
    options.mode = NACRE_READ;
    nacre_db *db = NULL;
    nacre_membrane *rows = NULL;
    nacre_snapshot *held = NULL;
    nacre_status status = nacre_open(path, &options, &db, &error);
    if (status != NACRE_OK) return fail(status, error.text);
    status = nacre_membrane_open(db, "rows", NULL, &rows);
    if (status != NACRE_OK) return fail(status, nacre_message(db));
    puts("open");
    fflush(stdout);
    for (char line[80]; fgets(line, sizeof line, stdin);) {
        int64_t n = 0;
        if (strcmp(line, "refresh\n") == 0) status = nacre_refresh(db);
        if (strcmp(line, "state\n") == 0) status = state_of(rows, NULL, &n);
        if (strcmp(line, "held\n") == 0) status = state_of(rows, held, &n);
        if (strcmp(line, "hold\n") == 0) {
            nacre_snapshot_release(held);
            status = nacre_snapshot_open(db, &held);
            if (status == NACRE_OK) status = state_of(rows, held, &n);
        }
        if (strcmp(line, "close\n") == 0) break;
        if (status != NACRE_OK) (void)fail(status, nacre_message(db));
        else printf("%lld\n", (long long)n);
        fflush(stdout);
    }
    status = nacre_close(db, &error);
    return status == NACRE_OK ? (puts("closed"), 0) : fail(status, error.text);
}

int main(int count, char **arguments) {
    if (count == 3 && strcmp(arguments[1], "write") == 0) return write_rows(arguments[2]);
    if (count == 3 && strcmp(arguments[1], "read") == 0) return read_rows(arguments[2]);
    if (count == 4 && strcmp(arguments[1], "sync") == 0) return sync_rows(arguments[2], arguments[3]);
    fputs("beside write|read PATH, or sync PATH LEVEL\n", stderr);
    return 2;
}
