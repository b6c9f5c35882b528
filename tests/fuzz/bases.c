/* bases.c - small databases that have a bit of everything. */
#include "fuzz/fuzz.h"

#include <string.h>

FuzzDisk bases[BASES];

#define DONE(call) MUST((call) == NACRE_OK)

nacre_options base_options(const FuzzDisk *disk) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.vfs = &disk->vfs;
    options.seed = 7;
    options.memory = 8 << 20;
    options.memtable_size = 64 << 10;
    options.segment_size = 64 << 10;
    options.changes_size = 256 << 10;
    return options;
}

static nacre_db *base_open(FuzzDisk *disk) {
    nacre_options options = base_options(disk);
    nacre_db *db = NULL;
    DONE(nacre_open("db", &options, &db, NULL));
    return db;
}

static nacre_membrane *base_membrane(nacre_db *db, const char *name, nacre_schema schema) {
    nacre_membrane *membrane = NULL;
    DONE(nacre_membrane_open(db, name, &schema, &membrane));
    return membrane;
}

static const char *base_text(uint32_t i, char room[64]) {
    snprintf(room, 64, "%s %u of many", i % 3 ? "shell" : "m\xc3\xbcnchen", (unsigned)(i * 2654435761u % 10000));
    return room;
}

static void put_values(nacre_db *db, uint32_t from, uint32_t to) {
    static char large[9000];
    nacre_schema packed = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    packed.compression = NACRE_LZ4, packed.block_size = 16384;
    nacre_membrane *texts = base_membrane(db, "texts", nacre_schema_kv(NACRE_TEXT, NACRE_JSON));
    nacre_membrane *numbers = base_membrane(db, "numbers", packed);
    for (uint32_t i = from; i < to; i++) {
        char room[64], json[64];
        nacre_value key = nacre_text(base_text(i, room));
        snprintf(json, sizeof json, "{\"i\":%u,\"list\":[true,null,-1.5e-3]}", (unsigned)i);
        nacre_value value = nacre_json(json), number = nacre_integer((int64_t)i * 1001 - 50000);
        DONE(nacre_put(texts, &key, NULL, &value));
        memset(large, (int)('a' + i % 20), sizeof large);
        value = nacre_bytes(large, i % 16 == 3 ? sizeof large : i % 90);
        nacre_put_options options = NACRE_PUT_INIT;
        options.ttl_ms = i % 5 ? 0 : i % 10 ? 1 : 1000000000;
        DONE(nacre_put_with(numbers, &number, NULL, &value, &options));
    }
}

static const nacre_field base_fields[] = {
    {"i", NACRE_INTEGER, false}, {"r", NACRE_REAL, false},      {"b", NACRE_BOOLEAN, false}, {"t", NACRE_TEXT, false},
    {"x", NACRE_BYTES, false},   {"at", NACRE_TIMESTAMP, false}, {"j", NACRE_JSON, false},    {"big", NACRE_BIGINT, false},
};

static void put_rows(nacre_db *db, uint32_t from, uint32_t to) {
    nacre_schema table = nacre_schema_table(NACRE_TEXT, base_fields, 8);
    table.key_count = 3, table.key_types[1] = NACRE_REAL, table.key_types[2] = NACRE_BYTES;
    nacre_membrane *rows = base_membrane(db, "rows", table);
    nacre_membrane *vectors = base_membrane(db, "vectors", nacre_schema_collection(NACRE_INTEGER, 8, NACRE_COSINE, base_fields, 8));
    for (uint32_t i = from; i < to; i++) {
        char room[64];
        float vector[8];
        for (int d = 0; d < 8; d++) vector[d] = (float)(int)(i * 7 + (uint32_t)d * 13) / 17.0f - 3;
        nacre_value key[3] = {nacre_text(base_text(i, room)), nacre_real(i / 7.0), nacre_bytes("\0\1\0", i % 4)};
        nacre_value fields[8] = {nacre_integer(i), nacre_real(-1.5 * i), nacre_boolean(i % 2), key[0],
                                 key[2], nacre_timestamp((int64_t)i * 86400000), nacre_json("{\"a\":[1,2]}"), nacre_integer(-9)};
        fields[7].type = NACRE_BIGINT;
        if (i % 3 == 0) fields[i % 8] = nacre_null();
        DONE(nacre_put(rows, key, NULL, fields));
        nacre_value number = nacre_integer(i);
        DONE(nacre_put(vectors, &number, vector, fields));
    }
    nacre_value number = nacre_integer(from);
    DONE(nacre_delete(vectors, &number));
}

static void make_mixed(FuzzDisk *disk, bool closed) {
    nacre_db *db = base_open(disk);
    put_values(db, 0, 60), put_rows(db, 0, 60);
    (void)base_membrane(db, "gone", nacre_schema_kv(NACRE_BOOLEAN, NACRE_TEXT));
    DONE(nacre_checkpoint(db));
    put_values(db, 40, 80), put_rows(db, 50, 70);
    DONE(nacre_membrane_drop(db, "gone"));
    DONE(nacre_membrane_rename(db, "rows", "table"));
    DONE(nacre_checkpoint(db));
    DONE(nacre_membrane_rename(db, "table", "rows"));
    put_values(db, 78, 85), put_rows(db, 68, 75);
    if (closed) {
        DONE(nacre_close(db, NULL));
        return;
    }
    FuzzDisk now; /* as it is in the middle of things, its last frame torn */
    fuzz_disk_init(&now);
    fuzz_disk_copy(disk, &now);
    DONE(nacre_close(db, NULL));
    fuzz_disk_clear(disk);
    fuzz_disk_init(disk);
    fuzz_disk_copy(&now, disk);
    fuzz_disk_clear(&now);
    FuzzFile *log = fuzz_disk_find(disk, "db-wal0"), *other = fuzz_disk_find(disk, "db-wal1");
    if (log->size < other->size) log = other;
    log->size -= 21;
}

static void make_merged(FuzzDisk *disk) {
    nacre_db *db = base_open(disk);
    char bytes[600];
    nacre_membrane *numbers = base_membrane(db, "sorted", nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES));
    nacre_bulk *bulk = NULL;
    DONE(nacre_bulk_begin(numbers, &bulk));
    memset(bytes, 'v', sizeof bytes);
    for (uint32_t i = 0; i < 550; i++) { /* blocks enough for a model of the fences */
        nacre_value key = nacre_integer(i * 5), value = nacre_bytes(bytes, 540 + i % 60);
        DONE(nacre_bulk_put(bulk, &key, NULL, &value));
    }
    DONE(nacre_bulk_commit(bulk, NULL));
    for (uint32_t i = 0; i < 50; i++) {
        nacre_value key = nacre_integer(i * 10);
        DONE(nacre_delete(numbers, &key));
    }
    DONE(nacre_checkpoint(db));
    DONE(nacre_close(db, NULL));
}

static void make_large(FuzzDisk *disk) {
    nacre_db *db = base_open(disk);
    nacre_membrane *values = base_membrane(db, "values", nacre_schema_kv(NACRE_TEXT, NACRE_BYTES));
    nacre_value_writer *writer = NULL;
    nacre_value key = nacre_text("large");
    static char piece[10000];
    DONE(nacre_value_begin(values, &key, NULL, &writer));
    for (int i = 0; i < 110; i++) DONE(nacre_value_append(writer, piece, sizeof piece));
    DONE(nacre_value_finish(writer));
    put_values(db, 0, 5);
    DONE(nacre_close(db, NULL));
}

uint64_t base_small(FuzzDisk *disk) {
    uint64_t oldest = 0, newest = 0;
    fuzz_disk_init(disk);
    nacre_db *db = base_open(disk);
    put_values(db, 0, 4), put_rows(db, 0, 4);
    DONE(nacre_checkpoint(db));
    DONE(nacre_changes_bounds(db, &oldest, &newest));
    DONE(nacre_close(db, NULL));
    return newest;
}

void bases_make(void) {
    if (bases[0].files[0].name[0]) return;
    for (int i = 0; i < BASES; i++) fuzz_disk_init(&bases[i]);
    for (int i = 0; i < BASES; i++) {
        FuzzDisk disk;
        fuzz_disk_init(&disk);
        switch (i) {
        case 0: make_mixed(&disk, true); break;
        case 1: make_merged(&disk); break;
        case 2: make_mixed(&disk, false); break;
        default: make_large(&disk); break;
        }
        for (int f = 0; f < FUZZ_FILES; f++) bases[i].files[f] = disk.files[f];
    }
}
