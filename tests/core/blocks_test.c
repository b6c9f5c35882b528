/* blocks_test.c - how membranes' rows are put into blocks: every size (C19), plain and
 * compressed (C35), for every kind and values of every length, side by side in one database. */
#include "lib/check.h"
#include "lib/sim_disk.h"

#include "db/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t sizes[] = {0, 4096, 8192, 16384, 32768, 65536};
enum { SIZES = 6, KINDS = 3, PLAIN = SIZES * KINDS, MEMBRANES = 2 * PLAIN, ROWS = 70, DIMENSIONS = 3 };

/* Up to and beyond a quarter of each size of block, and of an extent. */
static const uint32_t lengths[] = {0, 1, 30, 200, 1000, 1023, 1024, 1025, 2048, 2049, 4097, 8193, 16384, 16385, 70000, 140001};
enum { LENGTHS = sizeof lengths / sizeof *lengths };

static char room[140001];

static nacre_options options_on(SimDisk *disk, uint32_t block_size) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.vfs = sim_disk_vfs(disk);
    options.memory = 32 << 20;
    options.memtable_size = 256 << 10;
    options.segment_size = 1 << 20;
    options.durability = NACRE_NONE;
    options.block_size = block_size;
    options.seed = 3;
    return options;
}

static nacre_db *open_on(SimDisk *disk, uint32_t block_size) {
    nacre_options options = options_on(disk, block_size);
    nacre_db *db = NULL;
    if (!CHECK_EQ(nacre_open("db", &options, &db, NULL), NACRE_OK)) abort();
    return db;
}

static nacre_schema schema_of(int m) {
    static const nacre_field field = {"value", NACRE_BYTES, false};
    nacre_schema schemas[KINDS] = {nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES),
                                   nacre_schema_collection(NACRE_INTEGER, DIMENSIONS, NACRE_L2, &field, 1),
                                   nacre_schema_table(NACRE_INTEGER, &field, 1)};
    nacre_schema schema = schemas[m % KINDS];
    schema.block_size = sizes[m % PLAIN / KINDS];
    schema.compression = m < PLAIN ? NACRE_PLAIN : NACRE_LZ4;
    return schema;
}

static nacre_membrane *membrane_at(nacre_db *db, int m) {
    char name[20];
    nacre_schema schema = schema_of(m);
    nacre_membrane *membrane = NULL;
    snprintf(name, sizeof name, "m%02d", m);
    if (!CHECK_EQ(nacre_membrane_open(db, name, &schema, &membrane), NACRE_OK)) abort();
    return membrane;
}

/* The value of a row: half of it the same everywhere, half random. */
static nacre_value value_of(int m, uint32_t key) {
    uint32_t size = lengths[(key + (uint32_t)m) % LENGTHS];
    uint64_t state = key * 131 + (uint64_t)m;
    for (uint32_t at = 0; at < size; at += 64) {
        uint64_t bytes[8];
        for (int i = 0; i < 8; i++) bytes[i] = at / 64 % 2 ? test_random(&state) : 0x6362616362616362u;
        memcpy(room + at, bytes, size - at < 64 ? size - at : 64);
    }
    return nacre_bytes(room, size);
}

static void fill(nacre_db *db) {
    for (uint32_t key = 0; key < ROWS; key++)
        for (int m = 0; m < MEMBRANES; m++) { /* interleaved: they share memtables and segments */
            float vector[DIMENSIONS] = {(float)key, 1, (float)m};
            nacre_value k = nacre_integer(key), value = value_of(m, key);
            CHECK_EQ(nacre_put(membrane_at(db, m), &k, m % KINDS == 1 ? vector : NULL, &value), NACRE_OK);
        }
}

static bool row_is(int m, uint32_t key, const nacre_row *row) {
    nacre_value want = value_of(m, key);
    return row->key[0].integer == key && row->fields[0].bytes.size == want.bytes.size &&
           (want.bytes.size == 0 || memcmp(row->fields[0].bytes.data, want.bytes.data, want.bytes.size) == 0) &&
           (m % KINDS != 1 || (row->vector && row->vector[0] == (float)key && row->vector[2] == (float)m));
}

/* Rows that are wrong; *refused counts those that were answered with CORRUPT. */
static int differences(nacre_db *db, int *refused) {
    int wrong = 0;
    nacre_row row;
    for (int m = 0; m < MEMBRANES; m++) {
        nacre_membrane *membrane = membrane_at(db, m);
        for (uint32_t key = 0; key < ROWS; key++) {
            nacre_value k = nacre_integer(key);
            nacre_status status = nacre_get(membrane, NULL, &k, &row);
            if (status == NACRE_CORRUPT) ++*refused;
            else wrong += status != NACRE_OK || !row_is(m, key, &row);
        }
        nacre_cursor *cursor = NULL;
        uint32_t shown = 0;
        if (!CHECK_EQ(nacre_cursor_open(membrane, NULL, NULL, &cursor), NACRE_OK)) return 1;
        nacre_status status;
        while ((status = nacre_cursor_next(cursor, &row)) == NACRE_OK) wrong += !row_is(m, shown++, &row);
        if (status == NACRE_CORRUPT) ++*refused;
        else wrong += shown != ROWS;
        nacre_cursor_close(cursor);
    }
    return wrong;
}

static int sound(nacre_db *db) {
    int refused = 0;
    uint64_t problems = 0;
    int wrong = differences(db, &refused);
    CHECK_EQ(nacre_verify(db, true, NULL, NULL, &problems), NACRE_OK);
    return wrong + refused + (int)problems;
}

/* Most bytes of rows in a block of a membrane. */
static uint32_t largest_block(nacre_db *db, uint32_t id) {
    uint32_t most = 0;
    BlocksAhead ahead = {0};
    for (size_t r = 0; r < db->version->count; r++)
        for (size_t s = 0; s < db->version->runs[r].count; s++) {
            Segment *segment = db->version->runs[r].segments[s];
            CacheEntry *pin = NULL;
            if (!CHECK_EQ(segment_pin_meta(segment, &pin), NACRE_OK)) continue;
            for (uint32_t i = 0; i < segment->meta.block_count; i++) {
                Block block;
                CHECK_EQ(segment_block_ahead(segment, i, 0, &ahead, &block), NACRE_OK);
                Span first = block.prefix.size >= 4 ? block.prefix : block_suffix(&block, 0);
                if (first.size < 4 || get_u32_be(first.data) != id || block.is_long) continue;
                if (get_u32(block.data + 8) > most) most = get_u32(block.data + 8);
            }
            cache_unpin(&db->cache, pin);
        }
    env_free(&db->env, ahead.bytes, ahead.capacity);
    return most;
}

static void c19_each_membrane_has_its_size_of_block(void) {
    static const uint32_t defaults[] = {4096, 32768};
    for (int d = 0; d < 2; d++) {
        SimDisk *disk = sim_disk_new(1);
        nacre_db *db = open_on(disk, defaults[d]);
        fill(db);
        CHECK_EQ(sound(db), 0);
        CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
        CHECK_EQ(sound(db), 0);
        CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
        CHECK_EQ(sound(db), 0);
        for (int m = 0; m < MEMBRANES; m++) {
            uint32_t size = sizes[m % PLAIN / KINDS] ? sizes[m % PLAIN / KINDS] : defaults[d];
            if (m >= PLAIN && m < PLAIN + KINDS && size < COMPRESSED_BLOCK) size = COMPRESSED_BLOCK;
            uint32_t most = largest_block(db, membrane_at(db, m)->id);
            CHECK(most <= size);
            CHECK(most > size / 4);
        }
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        db = open_on(disk, 8192); /* what is written stays; a merge lays it out anew */
        CHECK_EQ(sound(db), 0);
        nacre_value key = nacre_integer(0), value = value_of(0, 0);
        CHECK_EQ(nacre_put(membrane_at(db, 0), &key, NULL, &value), NACRE_OK);
        CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
        CHECK_EQ(sound(db), 0);
        CHECK(largest_block(db, membrane_at(db, 0)->id) <= 8192);
        CHECK(largest_block(db, membrane_at(db, 3 * KINDS)->id) > 8192);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        sim_disk_free(disk);
    }
}

/* Texts as such: compressed they take a part of the space, in segments of any company. */
static uint64_t file_of_texts(nacre_compression compression, uint32_t rows, uint32_t words) {
    static const char *const vocabulary[] = {"shell", "nacre", "the", "of", "a", "sea", "pearl", "light", "under", "stone",
                                             "iridescent", "layer", "grows", "slowly", "and", "hard"};
    SimDisk *disk = sim_disk_new(1);
    nacre_db *db = open_on(disk, 4096);
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_TEXT), plain = schema;
    schema.compression = compression;
    nacre_membrane *texts = NULL, *before = NULL, *behind = NULL;
    CHECK_EQ(nacre_membrane_open(db, "before", &plain, &before), NACRE_OK);
    CHECK_EQ(nacre_membrane_open(db, "texts", &schema, &texts), NACRE_OK);
    CHECK_EQ(nacre_membrane_open(db, "behind", &plain, &behind), NACRE_OK);
    uint64_t state = 1;
    for (uint32_t i = 0; i < rows; i++) {
        size_t size = 0;
        for (uint32_t w = 0; w < words; w++)
            size += (size_t)sprintf(room + size, "%s ", vocabulary[test_random(&state) % 16]);
        nacre_value key = nacre_integer(i), value = nacre_text_sized(room, size), little = nacre_text("little");
        CHECK_EQ(nacre_put(texts, &key, NULL, &value), NACRE_OK);
        if (i % 50 == 0) CHECK_EQ(nacre_put(i % 100 ? before : behind, &key, NULL, &little), NACRE_OK);
    }
    nacre_compact_report report = {0};
    uint64_t problems = 0;
    CHECK_EQ(nacre_compact(db, &report), NACRE_OK);
    CHECK_EQ(nacre_verify(db, true, NULL, NULL, &problems), NACRE_OK);
    CHECK_EQ(problems, 0);
    state = 1;
    for (uint32_t i = 0; i < rows; i++) { /* all of them are what they were */
        size_t size = 0;
        nacre_row row;
        for (uint32_t w = 0; w < words; w++)
            size += (size_t)sprintf(room + size, "%s ", vocabulary[test_random(&state) % 16]);
        nacre_value key = nacre_integer(i);
        if (!CHECK_EQ(nacre_get(texts, NULL, &key, &row), NACRE_OK)) break;
        if (!CHECK_BYTES(row.fields[0].bytes.data, row.fields[0].bytes.size, room, size)) break;
    }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
    return report.after;
}

static void c35_compressed_membranes_take_less_space(void) {
    CHECK(file_of_texts(NACRE_LZ4, 4000, 40) < file_of_texts(NACRE_PLAIN, 4000, 40) * 6 / 10); /* small rows */
}

static void c19_sizes_that_are_none_are_refused(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_db *db = open_on(disk, 4096);
    static const uint32_t bad[] = {1, 512, 2048, 4095, 4097, 5000, 12288, 131072, UINT32_MAX};
    nacre_membrane *membrane = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
        schema.block_size = bad[i];
        CHECK_EQ(nacre_membrane_open(db, "bad", &schema, &membrane), NACRE_INVALID_ARGUMENT);
    }
    (void)membrane_at(db, 2 * KINDS);
    nacre_schema other = schema_of(3 * KINDS);
    CHECK_EQ(nacre_membrane_open(db, "m06", &other, &membrane), NACRE_SCHEMA_MISMATCH);
    CHECK(strstr(nacre_message(db), "block_size: stored 8192, given 16384") != NULL);
    other = schema_of(2 * KINDS);
    other.compression = NACRE_LZ4;
    CHECK_EQ(nacre_membrane_open(db, "m06", &other, &membrane), NACRE_SCHEMA_MISMATCH);
    CHECK(strstr(nacre_message(db), "compression: stored none, given lz4") != NULL);
    other.compression = (nacre_compression)2;
    CHECK_EQ(nacre_membrane_open(db, "m06", &other, &membrane), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* B20: a flipped bit anywhere is never shown as a value, and verify finds it. */
static void c19_a_flipped_bit_in_any_block_is_found(void) {
    SimDisk *disk = sim_disk_new(1);
    nacre_db *db = open_on(disk, 4096);
    fill(db);
    CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    struct { uint64_t offset, size; } pieces[256];
    size_t count = 0;
    for (size_t r = 0; r < db->version->count; r++)
        for (size_t s = 0; s < db->version->runs[r].count; s++)
            for (int k = 0; k < STREAM_COUNT; k++) {
                const Stream *stream = &db->version->runs[r].segments[s]->streams[k];
                for (size_t e = 0; e < stream->extents.count && count < 256; e++, count++) {
                    uint64_t left = stream->size - e * EXTENT_SIZE;
                    pieces[count].offset = (uint64_t)stream->extents.items[e] * EXTENT_SIZE;
                    pieces[count].size = left < EXTENT_SIZE ? left : EXTENT_SIZE;
                }
            }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    uint64_t state = test_seed();
    int harmless = 0;
    for (int i = 0; i < 16; i++) {
        size_t p = test_random(&state) % count;
        uint64_t bit = 8 * (pieces[p].offset + test_random(&state) % pieces[p].size) + test_random(&state) % 8;
        sim_disk_flip(disk, "db", bit);
        SimDisk *copy = sim_disk_clone(disk);
        nacre_options options = options_on(copy, 4096);
        nacre_error error = {0};
        nacre_status status = nacre_open("db", &options, &db, &error);
        if (status == NACRE_OK) {
            uint64_t problems = 0;
            int refused = 0;
            CHECK_EQ(nacre_verify(db, true, NULL, NULL, &problems), NACRE_OK);
            CHECK_EQ(differences(db, &refused), 0);
            harmless += problems == 0;
            CHECK(problems > 0 || refused == 0);
            (void)nacre_close(db, NULL);
        } else {
            CHECK_EQ(status, NACRE_CORRUPT);
        }
        sim_disk_free(copy);
        sim_disk_flip(disk, "db", bit);
    }
    CHECK(harmless < 8); /* zeros between blocks are nobody's */
    sim_disk_free(disk);
}

void blocks_test(void) {
    RUN(c19_each_membrane_has_its_size_of_block);
    RUN(c35_compressed_membranes_take_less_space);
    RUN(c19_sizes_that_are_none_are_refused);
    RUN(c19_a_flipped_bit_in_any_block_is_found);
}
