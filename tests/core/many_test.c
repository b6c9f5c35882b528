/* many_test.c - nacre_get_many gives what as many calls of nacre_get do (C11). */
#include "lib/check.h"
#include "nacre.h"

#include <stdio.h>
#include <string.h>

enum { KEYS = 400, WANTED = 97 };

typedef struct Many {
    nacre_db *db;
    nacre_membrane *kv;
    const nacre_snapshot *snapshot;
    const nacre_value *keys;
    size_t told, stop_at;
    bool present[WANTED];
    size_t sizes[WANTED];
    uint8_t first[WANTED], last[WANTED];
} Many;

static size_t many_value_size(uint32_t number) {
    return number % 17 == 3 ? 5000 + number : number % 5 == 0 ? 0 : number % 200; /* some are kept apart */
}

/* A key of up to 700 bytes: longer ones are looked for alone. */
static nacre_value many_key(uint32_t number, char *room) {
    int size = snprintf(room, 32, "key %u ", number);
    size_t all = number % 13 == 0 ? 700 : (size_t)size;
    if (all > (size_t)size) memset(room + size, 'k', all - (size_t)size);
    return nacre_text_sized(room, all);
}

static nacre_status many_told(void *self, size_t index, const nacre_row *row) {
    Many *many = self;
    CHECK_EQ(index, many->told);
    if (many->told == many->stop_at) return NACRE_ABORTED;
    many->told++;
    nacre_row other;
    CHECK_EQ(nacre_get(many->kv, NULL, many->keys, &other), NACRE_MISUSE);
    many->present[index] = row != NULL;
    if (!row) return NACRE_OK;
    CHECK_EQ(row->key[0].bytes.size, many->keys[index].bytes.size);
    CHECK(memcmp(row->key[0].bytes.data, many->keys[index].bytes.data, row->key[0].bytes.size) == 0);
    const uint8_t *value = row->fields[0].bytes.data;
    many->sizes[index] = row->fields[0].bytes.size;
    if (many->sizes[index]) many->first[index] = value[0], many->last[index] = value[many->sizes[index] - 1];
    return NACRE_OK;
}

static void many_compare(Many *many, uint64_t *random) {
    static char rooms[WANTED][700];
    nacre_value keys[WANTED];
    for (int i = 0; i < WANTED; i++) keys[i] = many_key((uint32_t)(test_random(random) % (KEYS + 50)), rooms[i]);
    many->keys = keys;
    many->told = 0;
    many->stop_at = SIZE_MAX;
    CHECK_EQ(nacre_get_many(many->kv, many->snapshot, keys, WANTED, many_told, many), NACRE_OK);
    CHECK_EQ(many->told, WANTED);
    for (int i = 0; i < WANTED; i++) {
        nacre_row row;
        nacre_status status = nacre_get(many->kv, many->snapshot, &keys[i], &row);
        CHECK_EQ(many->present[i], status == NACRE_OK);
        if (status != NACRE_OK) continue;
        const uint8_t *value = row.fields[0].bytes.data;
        size_t size = row.fields[0].bytes.size;
        CHECK_EQ(many->sizes[i], size);
        if (size) CHECK(many->first[i] == value[0] && many->last[i] == value[size - 1]);
    }
    many->told = 0;
    many->stop_at = test_random(random) % WANTED;
    CHECK_EQ(nacre_get_many(many->kv, many->snapshot, keys, WANTED, many_told, many), NACRE_ABORTED);
    CHECK_EQ(many->told, many->stop_at);
}

static void c11_many_gets_are_as_many_gets(void) {
    uint64_t random = test_seed();
    static uint8_t value[8192];
    static char room[700];
    Many many = {0};
    nacre_options options = NACRE_OPTIONS_INIT;
    nacre_schema schema = nacre_schema_kv(NACRE_TEXT, NACRE_BYTES);
    nacre_snapshot *snapshot = NULL;
    nacre_transaction *tx = NULL;
    options.memtable_size = 64 << 10;
    CHECK_EQ(nacre_open(":memory:", &options, &many.db, NULL), NACRE_OK);
    CHECK_EQ(nacre_membrane_open(many.db, "kv", &schema, &many.kv), NACRE_OK);
    for (uint32_t i = 0; i < 3000; i++) {
        uint32_t number = (uint32_t)(test_random(&random) % KEYS);
        nacre_value key = many_key(number, room);
        if (i == 2500) CHECK_EQ(nacre_snapshot_open(many.db, &snapshot), NACRE_OK);
        if (test_random(&random) % 4 == 0) {
            nacre_status status = nacre_delete(many.kv, &key);
            CHECK(status == NACRE_OK || status == NACRE_NOT_FOUND);
            continue;
        }
        memset(value, (int)(i * 31 + number), sizeof value);
        nacre_value bytes = nacre_bytes(value, many_value_size(number + i % 3));
        CHECK_EQ(nacre_put(many.kv, &key, NULL, &bytes), NACRE_OK);
        if (i % 500 == 250) many_compare(&many, &random);
    }
    for (int i = 0; i < 4; i++) many_compare(&many, &random);
    CHECK_EQ(nacre_begin(many.db, &tx), NACRE_OK);
    for (uint32_t i = 0; i < 60; i++) {
        nacre_value key = many_key((uint32_t)(test_random(&random) % KEYS), room), bytes = nacre_bytes(value, i);
        CHECK_EQ(nacre_transaction_put(tx, many.kv, &key, NULL, &bytes), NACRE_OK);
    }
    many.snapshot = nacre_transaction_snapshot(tx);
    many_compare(&many, &random);
    nacre_rollback(tx);
    many.snapshot = snapshot;
    many_compare(&many, &random);
    CHECK_EQ(nacre_compact(many.db, NULL), NACRE_OK);
    many_compare(&many, &random);
    many.snapshot = NULL;
    many_compare(&many, &random);
    CHECK_EQ(nacre_get_many(many.kv, NULL, NULL, 0, many_told, &many), NACRE_OK);
    CHECK_EQ(nacre_get_many(many.kv, NULL, NULL, 1, many_told, &many), NACRE_INVALID_ARGUMENT);
    nacre_value key = many_key(1, room);
    CHECK_EQ(nacre_get_many(many.kv, NULL, &key, 1, NULL, &many), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_get_many(NULL, NULL, &key, 1, many_told, &many), NACRE_INVALID_ARGUMENT);
    nacre_snapshot_release(snapshot);
    CHECK_EQ(nacre_close(many.db, NULL), NACRE_OK);
}

void many_test(void) { RUN(c11_many_gets_are_as_many_gets); }
