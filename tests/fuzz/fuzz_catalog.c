/* fuzz_catalog.c - hostile schemas, and hostile rows of the catalog in a log that is right.
 *
 *   input := 0 u8 | a schema, decoded, encoded, compared
 *          | 1 u8 | row*            row := kind u8 | name | id u16 | schema */
#include "fuzz/fuzz.h"

#include "base/limits.h"
#include "db/catalog_format.h"
#include "db/schema.h"
#include "log/wal_format.h"
#include "memtable/record_format.h"

#include <string.h>

enum { ROWS_MAX = 32, LOG_MAX = 1 << 20 };

static FuzzDisk base;
static uint64_t base_lsn;

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    (void)count, (void)arguments;
    fuzz_disk_init(&base);
    nacre_options options = base_options(&base);
    nacre_db *db = NULL;
    uint64_t oldest = 0;
    MUST(nacre_open("db", &options, &db, NULL) == NACRE_OK);
    nacre_schema schema = nacre_schema_kv(NACRE_TEXT, NACRE_TEXT);
    nacre_membrane *membrane = NULL;
    MUST(nacre_membrane_open(db, "first", &schema, &membrane) == NACRE_OK);
    MUST(nacre_checkpoint(db) == NACRE_OK);
    MUST(nacre_changes_bounds(db, &oldest, &base_lsn) == NACRE_OK);
    MUST(nacre_close(db, NULL) == NACRE_OK);
    return 0;
}

static void schema_round_trip(Span bytes) {
    Env env;
    Schema schema = {0}, again = {0}, copy = {0};
    env_init(&env, NULL, NULL, 1 << 20);
    nacre_status status = schema_decode(&env, bytes, NACRE_CORRUPT, &schema);
    MUST(status == NACRE_OK || status == NACRE_CORRUPT || status == NACRE_UNSUPPORTED || status == NACRE_VERSION);
    if (status == NACRE_OK) {
        MUST(schema_validate(&env, &schema, NACRE_CORRUPT) == NACRE_OK);
        size_t size = schema_encoded_size(&schema);
        MUST(size <= SCHEMA_ENCODED_SIZE_MAX);
        uint8_t *encoded = malloc(size);
        MUST(encoded && schema_encode(&schema, encoded) == encoded + size);
        MUST(schema_decode(&env, span_of(encoded, size), NACRE_CORRUPT, &again) == NACRE_OK);
        MUST(schema_copy(&env, &again, &copy) == NACRE_OK);
        MUST(schema_equal(&schema, &again) && schema_equal(&schema, &copy));
        char text[200];
        schema_difference(&schema, &again, text, sizeof text);
        MUST(text[0] == 0);
        if (bytes.data[0] == SCHEMA_VERSION) MUST(span_eq(bytes, span_of(encoded, size)));
        free(encoded);
    }
    schema_clear(&env, &schema), schema_clear(&env, &again), schema_clear(&env, &copy);
    MUST(env.memory_used == 0);
}

static uint8_t *put_record(uint8_t *at, Span key, Span value, bool delete) {
    uint64_t size = record_size(4 + key.size, value.size);
    memset(at, 0, (size_t)size);
    put_u32(at, (uint32_t)(4 + key.size) | (delete ? RECORD_DELETE << 24 : 0));
    put_u32(at + 4, (uint32_t)value.size);
    bytes_copy(at + RECORD_HEAD + 4, key.data, key.size);
    bytes_copy(at + RECORD_HEAD + 4 + key.size, value.data, value.size);
    return at + size;
}

static uint8_t *put_row(uint8_t *at, Input *in) {
    uint8_t key[300], value[70000];
    uint32_t kind = br_u8(in);
    Span name = input_bytes(in, 256);
    uint32_t id = br_u16(in);
    Span schema = input_bytes(in, 66000);
    size_t key_size = 1;
    key[0] = (uint8_t)(kind & 0x3f);
    if (key[0] == CATALOG_NEXT) { /* as it is */
    } else if (key[0] == CATALOG_DROPPED) {
        put_u32_be(key + 1, id), key_size = 5;
    } else {
        bytes_copy(key + 1, name.data, name.size);
        key[1 + name.size] = 0;
        key_size = 2 + name.size;
    }
    put_u32(value, id);
    bytes_copy(value + 4, schema.data, schema.size);
    size_t value_size = key[0] == CATALOG_DROPPED ? 0 : key[0] == CATALOG_NEXT ? 4 : 4 + schema.size;
    if (kind & 0x80) value_size = schema.size; /* without the id's place */
    bool delete = kind & 0x40;
    return put_record(at, span_of(key, key_size), span_of(value, delete ? 0 : value_size), delete);
}

static void open_with_rows(Input *in) {
    FuzzDisk disk;
    fuzz_disk_init(&disk);
    fuzz_disk_copy(&base, &disk);
    FuzzFile *logs[2] = {fuzz_disk_find(&disk, "db-wal0"), fuzz_disk_find(&disk, "db-wal1")};
    FuzzFile *newer = logs[get_u64(logs[1]->bytes + 32) > get_u64(logs[0]->bytes + 32)];
    uint8_t *log = calloc(1, LOG_MAX), *frame = log + WAL_HEAD, *at = frame + FRAME_HEAD + BATCH_HEAD;
    MUST(log);
    memcpy(log, newer->bytes, WAL_HEAD);
    uint32_t rows = 0;
    for (; rows < ROWS_MAX && !input_ended(in) && at - log < LOG_MAX - 80000; rows++) at = put_row(at, in);
    put_u32(frame + 8, FRAME_BATCHES);
    put_u32(frame + 12, (uint32_t)(at - frame));
    put_u64(frame + 16, base_lsn + 1);
    put_u64(frame + 24, base_lsn);
    put_u32(frame + FRAME_HEAD, (uint32_t)(at - frame - FRAME_HEAD));
    put_u32(frame + FRAME_HEAD + 4, rows);
    put_u64(frame + FRAME_HEAD + 8, base_lsn + 1);
    seal_log(log, (size_t)(at - log), false);
    fuzz_disk_put(&disk, newer->name, span_of(log, (size_t)(at - log)));
    free(log);
    open_and_visit(&disk, false, 2);
    fuzz_disk_clear(&disk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Input in = input_over(data, size);
    if (br_u8(&in) % 2 == 0) schema_round_trip(input_rest(&in));
    else open_with_rows(&in);
    return 0;
}
