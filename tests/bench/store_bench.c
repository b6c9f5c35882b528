/* store_bench.c - the store by itself: random puts, gets, a scan, through core/db/db.h,
 * native or WASM, every get checked. Prints one JSON object per line.
 *
 *   store_bench PATH [rows] [durability: none|strict] */
#include "db/db.h"
#include "db/keycode.h"
#include "memtable/record_format.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { KEY = 16, VALUE = 100, BATCH = 1000 };

static double seconds(void) {
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint64_t mix(uint64_t z) {
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Bytes keys of 16 random bytes without zeros, so that the encoding is 18 bytes. */
static size_t make_key(uint64_t i, uint8_t *out) {
    for (int b = 0; b < KEY; b++) out[b] = (uint8_t)(mix(i * 2 + (uint64_t)b / 8) >> b % 8 * 8) | 1;
    out[KEY] = 0, out[KEY + 1] = 1;
    return KEY + 2;
}

static void make_value(uint64_t i, uint8_t *out) {
    for (int b = 0; b < VALUE; b += 4) put_u32(out + b, (uint32_t)mix(i * 31 + (uint64_t)b));
}

static void check(nacre_status status, Db *db, const char *what) {
    if (status == NACRE_OK) return;
    fprintf(stderr, "%s: %s %s\n", what, nacre_status_name(status), db ? nacre_message(db) : "");
    exit(1);
}

static void put_batch(Db *db, uint32_t membrane, uint64_t from, uint64_t count) {
    uint8_t key[32], *at;
    size_t record = (size_t)record_size(4 + KEY + 2, VALUE), size = BATCH_HEAD + count * record;
    check(db_reserve(db, size, count, &at), db, "reserve");
    put_u32(at, (uint32_t)size);
    put_u32(at + 4, (uint32_t)count);
    put_u64(at + 8, 0);
    at += BATCH_HEAD;
    for (uint64_t i = 0; i < count; i++, at += record) {
        size_t key_size = make_key(from + i, key);
        memset(at, 0, RECORD_HEAD);
        memset(at + record - 4, 0, 4);
        put_u32(at, (uint32_t)key_size + 4);
        put_u32(at + 4, VALUE);
        put_u32_be(at + RECORD_HEAD, membrane);
        memcpy(at + RECORD_HEAD + 4, key, key_size);
        make_value(from + i, at + RECORD_HEAD + 4 + key_size);
    }
    check(db_commit(db, size, true), db, "commit");
}

static void report(const char *what, uint64_t count, double wall, double cpu) {
    printf("{\"what\":\"%s\",\"count\":%llu,\"perSecond\":%.0f,\"perCpuSecond\":%.0f}\n", what,
           (unsigned long long)count, (double)count / wall, (double)count / cpu);
    fflush(stdout);
}

int main(int argc, char **argv) {
    uint64_t rows = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
    nacre_options options = NACRE_OPTIONS_INIT;
    options.durability = argc > 3 && strcmp(argv[3], "strict") == 0 ? NACRE_STRICT : NACRE_NONE;
    options.memory = (uint64_t)256 << 20;
    Db *db = NULL;
    nacre_error error;
    if (db_open(argc > 1 ? argv[1] : ":memory:", &options, &db, &error) != NACRE_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    Schema schema = {.kind = NACRE_KV, .key_count = 1, .key_types = {NACRE_BYTES}, .value_type = NACRE_BYTES};
    Membrane *kv = NULL;
    check(db_membrane_open(db, span_of("kv", 2), &schema, &kv), db, "membrane");

    double wall = seconds(), cpu = (double)clock() / CLOCKS_PER_SEC, slowest = 0, at = wall;
    for (uint64_t i = 0; i < rows; i += BATCH) {
        db_call(db);
        put_batch(db, membrane_id(kv), i, rows - i < BATCH ? rows - i : BATCH);
        double now = seconds();
        if (now - at > slowest) slowest = now - at;
        at = now;
    }
    report("put random", rows, at - wall, (double)clock() / CLOCKS_PER_SEC - cpu);
    printf("{\"what\":\"slowest batch\",\"ms\":%.1f}\n", slowest * 1e3);

    for (int round = 0; round < 2; round++) {
        wall = seconds(), cpu = (double)clock() / CLOCKS_PER_SEC;
        uint64_t gets = rows < 500000 ? rows : 500000;
        for (uint64_t i = 0; i < gets; i++) {
            uint8_t key[32], value[VALUE];
            uint64_t n = mix(i) % rows;
            RowView row;
            db_call(db);
            check(db_get(kv, NULL, span_of(key, make_key(n, key)), &row), db, "get");
            make_value(n, value);
            if (row.value.size != VALUE || memcmp(row.value.data, value, VALUE) != 0) check(NACRE_INTERNAL, db, "value");
        }
        report(round ? "get random, warm" : "get random", gets, seconds() - wall,
               (double)clock() / CLOCKS_PER_SEC - cpu);
    }
    wall = seconds(), cpu = (double)clock() / CLOCKS_PER_SEC;
    Cursor *cursor = NULL;
    RowView row;
    uint64_t seen = 0;
    check(cursor_open(kv, NULL, (KeyRange){{0}, {0}}, &cursor), db, "cursor");
    while (cursor_next(cursor, &row) == NACRE_OK) seen += row.value.size == VALUE;
    cursor_close(cursor);
    if (seen != rows) check(NACRE_INTERNAL, db, "scan");
    report("scan", seen, seconds() - wall, (double)clock() / CLOCKS_PER_SEC - cpu);
    Span json;
    check(db_stats(db, &json), db, "stats");
    printf("%.*s\n", (int)json.size, (const char *)json.data);
    check(db_close(db, NULL), NULL, "close");
    return 0;
}
