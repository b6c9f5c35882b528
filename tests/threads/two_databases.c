/* two_databases.c - two threads, each with databases of its own: one in memory and one in files,
 * beside each other in one directory. Built with ThreadSanitizer, which sees whatever they share
 * (rule 4 of nacre.h: nothing).
 *
 *     two_databases DIRECTORY [ROUNDS]
 *
 * Each thread does everything that a database can do, and holds what it reads against an array
 * of what it has written. Knows nacre.h only. */
#define _POSIX_C_SOURCE 200809L
#include "nacre.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 2, KEYS = 400, DIMENSIONS = 8, PATH_SIZE = 1024, FILES = 2 };

typedef struct Store {
    nacre_db *db;
    nacre_membrane *kv, *points;
    char path[PATH_SIZE];
    uint32_t stored[KEYS]; /* number of the last write; 0: absent */
} Store;

typedef struct Worker {
    Store stores[FILES];
    uint32_t random, number, rounds;
    pthread_barrier_t *start;
} Worker;

static void must_that(bool held, const char *what, int line, const nacre_db *db) {
    if (held) return;
    fprintf(stderr, "two_databases: line %d: %s: %s\n", line, what, db ? nacre_message(db) : "");
    exit(1);
}
#define MUST(condition) must_that((condition), #condition, __LINE__, s->db)

static uint32_t next_random(Worker *w) { /* xorshift32 */
    w->random ^= w->random << 13;
    w->random ^= w->random >> 17;
    w->random ^= w->random << 5;
    return w->random;
}

/* ---- rows: a key-value pair and a vector of the same number ---- */

static nacre_value value_of(uint32_t number, char room[3000]) {
    size_t size = number % 9 ? 4 + number % 60 : 4 + number % 2990;
    memset(room, (int)('a' + number % 26), size);
    memcpy(room, &number, sizeof number);
    return nacre_bytes(room, size);
}

static void check_row(const Store *s, uint32_t key, const nacre_row *row) {
    char room[3000];
    nacre_value want = value_of(s->stored[key], room);
    MUST(row->fields[0].bytes.size == want.bytes.size);
    MUST(memcmp(row->fields[0].bytes.data, room, want.bytes.size) == 0);
}

static void vector_of(uint32_t number, float out[DIMENSIONS]) {
    for (uint32_t i = 0; i < DIMENSIONS; i++) out[i] = (float)((number * 2654435761u >> (4 * i)) % 100);
}

static void put_both(Worker *w, Store *s, uint32_t key) {
    char room[3000];
    float vector[DIMENSIONS];
    nacre_value k = nacre_integer(key), v = value_of(++w->number, room);
    vector_of(w->number, vector);
    nacre_batch *batch = NULL;
    MUST(nacre_batch_begin(s->db, &batch) == NACRE_OK);
    MUST(nacre_batch_put(batch, s->kv, &k, NULL, &v) == NACRE_OK);
    MUST(nacre_batch_put(batch, s->points, &k, vector, NULL) == NACRE_OK);
    MUST(nacre_batch_commit(batch) == NACRE_OK);
    s->stored[key] = w->number;
}

static void delete_both(Store *s, uint32_t key) {
    nacre_value k = nacre_integer(key);
    MUST(nacre_delete(s->kv, &k) == (s->stored[key] ? NACRE_OK : NACRE_NOT_FOUND));
    nacre_status status = nacre_delete(s->points, &k); /* not all rows have one */
    MUST(status == NACRE_OK || status == NACRE_NOT_FOUND);
    s->stored[key] = 0;
}

static void get_one(const Store *s, uint32_t key) {
    nacre_value k = nacre_integer(key);
    nacre_row row;
    nacre_status status = nacre_get(s->kv, NULL, &k, &row);
    MUST(status == (s->stored[key] ? NACRE_OK : NACRE_NOT_FOUND));
    if (status == NACRE_OK) check_row(s, key, &row);
}

/* Ten rows at once, of which the second half is undone; then kept or rolled back. */
static void transact(Worker *w, Store *s) {
    nacre_transaction *tx = NULL;
    uint32_t numbers[5], keys[5], key = next_random(w) % (KEYS - 5);
    uint64_t savepoint = 0;
    char room[3000];
    MUST(nacre_begin(s->db, &tx) == NACRE_OK);
    for (uint32_t i = 0; i < 10; i++) {
        if (i == 5) MUST(nacre_savepoint(tx, &savepoint) == NACRE_OK);
        nacre_value k = nacre_integer(key + i % 5), v = value_of(++w->number, room);
        MUST(nacre_transaction_put(tx, s->kv, &k, NULL, &v) == NACRE_OK);
        if (i < 5) keys[i] = key + i, numbers[i] = w->number;
    }
    MUST(nacre_rollback_to(tx, savepoint) == NACRE_OK);
    if (next_random(w) % 4 == 0) {
        nacre_rollback(tx);
        return;
    }
    MUST(nacre_commit(tx) == NACRE_OK);
    for (uint32_t i = 0; i < 5; i++) s->stored[keys[i]] = numbers[i];
}

/* Every row, in a snapshot that what is written meanwhile does not change. */
static void scan(Worker *w, Store *s) {
    uint32_t stored[KEYS];
    nacre_snapshot *snapshot = NULL;
    nacre_cursor *cursor = NULL;
    nacre_row row;
    memcpy(stored, s->stored, sizeof stored);
    MUST(nacre_snapshot_open(s->db, &snapshot) == NACRE_OK);
    MUST(nacre_cursor_open(s->kv, snapshot, NULL, &cursor) == NACRE_OK);
    for (uint32_t key = 0; key < KEYS; key++) {
        if (key % 64 == 0) put_both(w, s, next_random(w) % KEYS);
        if (!stored[key]) continue;
        MUST(nacre_cursor_next(cursor, &row) == NACRE_OK);
        MUST(row.key[0].integer == (int64_t)key);
    }
    MUST(nacre_cursor_next(cursor, &row) == NACRE_NOT_FOUND);
    nacre_cursor_close(cursor);
    nacre_snapshot_release(snapshot);
}

static void search(Worker *w, Store *s) {
    float query[DIMENSIONS], last = -1, distance = 0;
    nacre_search_options options = NACRE_SEARCH_INIT;
    nacre_hits *hits = NULL;
    nacre_row row;
    vector_of(next_random(w), query);
    MUST(nacre_search(s->points, NULL, query, &options, &hits) == NACRE_OK);
    for (uint32_t i = 0; i < nacre_hits_count(hits); i++, last = distance) {
        MUST(nacre_hits_at(hits, i, &distance, &row) == NACRE_OK);
        MUST(distance >= last);
    }
    nacre_hits_free(hits);
}

/* All rows come anew, past the log. */
static void load(Worker *w, Store *s) {
    nacre_bulk *bulk = NULL;
    char room[3000];
    MUST(nacre_bulk_begin(s->kv, &bulk) == NACRE_OK);
    for (uint32_t key = 0; key < KEYS; key++) {
        nacre_value k = nacre_integer(key), v = value_of(++w->number, room);
        MUST(nacre_bulk_put(bulk, &k, NULL, &v) == NACRE_OK);
        s->stored[key] = w->number;
    }
    MUST(nacre_bulk_commit(bulk, NULL) == NACRE_OK);
}

/* ---- one database ---- */

static void open_store(Store *s) {
    nacre_options options = NACRE_OPTIONS_INIT;
    nacre_error error = {NACRE_OK, ""};
    nacre_schema kv = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    nacre_schema points = nacre_schema_collection(NACRE_INTEGER, DIMENSIONS, NACRE_L2, NULL, 0);
    kv.compression = NACRE_LZ4;
    options.memory = 8 << 20;
    options.memtable_size = options.segment_size = 64 << 10;
    options.durability = NACRE_RELAXED;
    must_that(nacre_open(s->path, &options, &s->db, &error) == NACRE_OK, error.text, __LINE__, NULL);
    MUST(nacre_membrane_open(s->db, "kv", &kv, &s->kv) == NACRE_OK);
    MUST(nacre_membrane_open(s->db, "points", &points, &s->points) == NACRE_OK);
}

static void close_store(Store *s) {
    MUST(nacre_close(s->db, NULL) == NACRE_OK);
    s->db = NULL;
}

static void keep_house(Worker *w, Store *s) {
    uint64_t problems = 0;
    const char *json = NULL;
    bool more = false;
    MUST(nacre_step(s->db, 64 << 10, &more) == NACRE_OK);
    MUST(nacre_stats_json(s->db, &json) == NACRE_OK);
    switch (next_random(w) % 8) {
        case 0: MUST(nacre_compact(s->db, NULL) == NACRE_OK); break;
        case 1: MUST(nacre_checkpoint(s->db) == NACRE_OK); break;
        case 2: MUST(nacre_verify(s->db, true, NULL, NULL, &problems) == NACRE_OK && problems == 0); break;
        case 3: load(w, s); break;
        default: break;
    }
}

static void work_on(Worker *w, Store *s) {
    for (int i = 0; i < 40; i++) {
        uint32_t key = next_random(w) % KEYS;
        switch (next_random(w) % 16) {
            case 0: delete_both(s, key); break;
            case 1: transact(w, s); break;
            case 2: scan(w, s); break;
            case 3: search(w, s); break;
            case 4: case 5: case 6: get_one(s, key); break;
            default: put_both(w, s, key); break;
        }
    }
    keep_house(w, s);
}

static void *work(void *self) {
    Worker *w = self;
    pthread_barrier_wait(w->start);
    for (int i = 0; i < FILES; i++) open_store(&w->stores[i]);
    for (uint32_t round = 0; round < w->rounds; round++) {
        for (int i = 0; i < FILES; i++) work_on(w, &w->stores[i]);
        Store *file = &w->stores[1];
        if (round % 16 == 15) {
            close_store(file);
            open_store(file);
            for (uint32_t key = 0; key < KEYS; key++) get_one(file, key);
        }
    }
    for (int i = 0; i < FILES; i++) close_store(&w->stores[i]);
    return NULL;
}

int main(int argc, char **argv) {
    static Worker workers[THREADS];
    pthread_t threads[THREADS];
    pthread_barrier_t start;
    if (argc < 2) return 2;
    pthread_barrier_init(&start, NULL, THREADS);
    for (uint32_t t = 0; t < THREADS; t++) {
        Worker *w = &workers[t];
        w->random = 88172645u + t;
        w->rounds = argc > 2 ? (uint32_t)atoi(argv[2]) : 48;
        w->start = &start;
        snprintf(w->stores[0].path, PATH_SIZE, ":memory:");
        snprintf(w->stores[1].path, PATH_SIZE, "%s/db%u", argv[1], t);
        if (pthread_create(&threads[t], NULL, work, w) != 0) return 1;
    }
    for (int t = 0; t < THREADS; t++) pthread_join(threads[t], NULL);
    uint32_t writes = 0;
    for (int t = 0; t < THREADS; t++) writes += workers[t].number;
    printf("two_databases: %u writes in %d threads, and nothing shared\n", writes, THREADS);
    return 0;
}
