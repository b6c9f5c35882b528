/* make_golden.c - makes the golden databases: one file each and its two logs, the same
 * bytes at each run and on each host. It knows nacre.h only, and files of which the clock
 * stands still.
 *
 *     make_golden small|merged|torn|cut|kept|elements|secret PATH
 *
 *   small   every kind of membrane and type of key, big and long things, deletions, a
 *           dropped and a renamed membrane, several segments, a tail in the log
 *   merged  blocks of 16 KiB, no key filters; merges, the last one cut off in its middle
 *   torn    as a power failure leaves it: never closed, the log ends in half a frame
 *   cut     the same, opened again (which cuts the log), written to and closed
 *   kept    rows that expire, in 2126 and long ago; compressed membranes, and blocks of
 *           several sizes
 *   elements  vectors of other elements than floats, in segments and in the log
 *   secret  encrypted, its key changed once; what the host would draw is counted here
 *
 * The stored copies in golden/vN/ are of format version N, and a release never changes
 * them. Before a release, a change of format makes formats.test.ts fail; if it was meant:
 *
 *     make golden         writes golden/v2/ anew; commit it with the change */
#include "host/vfs_posix.h"
#include "nacre.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_SIZE = 1024, LARGE = 150000 };

static char large[LARGE];

/* Every failure ends the program: there is nothing to clean up that matters. */
static void must(nacre_status status, const nacre_db *db, int line) {
    if (status == NACRE_OK) return;
    fprintf(stderr, "make_golden: line %d: %s: %s\n", line, nacre_status_name(status), db ? nacre_message(db) : "");
    exit(1);
}
#define MUST(call) must((call), db, __LINE__)

static uint32_t random_next(uint32_t *state) { /* xorshift32 */
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static nacre_db *open_with(const char *path, nacre_options options) {
    nacre_db *db = NULL;
    nacre_error error = {NACRE_OK, ""};
    options.memory = 16 << 20;
    options.memtable_size = 64 << 10;
    options.segment_size = 64 << 10;
    if (nacre_open(path, &options, &db, &error) != NACRE_OK) {
        fprintf(stderr, "make_golden: %s: %s\n", path, error.text);
        exit(1);
    }
    return db;
}

static nacre_db *open_seeded(const char *path, uint64_t seed) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.seed = seed;
    return open_with(path, options);
}

static void close_db(nacre_db *db) { must(nacre_close(db, NULL), NULL, __LINE__); }

static nacre_membrane *membrane(nacre_db *db, const char *name, nacre_schema schema) {
    nacre_membrane *opened = NULL;
    MUST(nacre_membrane_open(db, name, &schema, &opened));
    return opened;
}

/* ---- small: key-value ---- */

/* The `i`-th key of a type; `room` lends its bytes. The same i is the same key. */
static nacre_value key_of(nacre_type type, uint32_t i, char room[8192]) {
    static const int64_t integers[] = {0, -1, INT64_MIN, INT64_MAX, 1, 255, 256, -256, INT64_C(9007199254740993)};
    static const double reals[] = {0, -0.5, 1.0 / 3, -1e300, 1e300, 5e-324, -5e-324, 1e21, 123456789.125};
    int64_t number = i < 9 ? integers[i] : (int64_t)(i * 7919u) - 100000;
    int size = 0;
    switch (type) {
    case NACRE_INTEGER: return nacre_integer(number);
    case NACRE_BIGINT: {
        nacre_value value = nacre_integer(number);
        value.type = NACRE_BIGINT;
        return value;
    }
    case NACRE_REAL: return nacre_real(i < 9 ? reals[i] : (double)number / 64);
    case NACRE_BOOLEAN: return nacre_boolean(i % 2);
    case NACRE_TIMESTAMP:
        return nacre_timestamp(i == 0 ? INT64_C(8640000000000000) : i == 1 ? -INT64_C(8640000000000000) : (int64_t)i * 86399999 - 1);
    case NACRE_BYTES:
        for (uint32_t n = i; size < (int)(i % 7); n /= 3) room[size++] = (char)(n % 3 == 2 ? 255 : n % 3);
        return nacre_bytes(room, (size_t)size);
    default:
        if (i == 1) return nacre_text("");
        if (i == 2) return nacre_text_sized("a\0b\0\0", 5);
        if (i == 3) return nacre_text("a");
        if (i % 20 == 4) { /* of several pages, zeros in it */
            memset(room, 'k', 8000);
            for (size_t at = i; at < 8000; at += 500) room[at] = 0;
            return nacre_text_sized(room, 5000 + i);
        }
        snprintf(room, 8192, "%s/%05u", i % 3 ? "m\xc3\xbcnchen" : "\xf0\x9f\x90\x9a shells", (unsigned)(i * 37 % 1000));
        return nacre_text(room);
    }
}

/* A value of a key-value membrane; some are large, one is a blob of several extents. */
static nacre_value value_of(nacre_type type, uint32_t i, uint32_t round, char room[8192]) {
    nacre_value value = {.type = type};
    size_t size = 0;
    if (type == NACRE_JSON) {
        size = (size_t)snprintf(room, 8192, "{\"i\": %u,\"round\":%u, \"list\":[true,null,-1.5e-3,\"\\u00fc\"]}", (unsigned)i, (unsigned)round);
    } else if (i % 11 == 5) {
        value.bytes = (nacre_span){large, i == 16 ? (size_t)LARGE - round : 900 + 200 * (size_t)(i % 7)};
        return value;
    } else if (i % 11 != 6) { /* else empty */
        size = (size_t)snprintf(room, 8192, "value %u of round %u%s", (unsigned)i, (unsigned)round, i % 2 ? "" : ", a longer one");
    }
    value.bytes = (nacre_span){room, size};
    return value;
}

typedef struct KvPlan {
    const char *name;
    nacre_type key, value;
    uint32_t rows;
} KvPlan;

static const KvPlan kv_plans[] = {
    {"by text", NACRE_TEXT, NACRE_TEXT, 60},       {"by integer", NACRE_INTEGER, NACRE_JSON, 60},
    {"by bigint", NACRE_BIGINT, NACRE_BYTES, 40},  {"by real", NACRE_REAL, NACRE_TEXT, 40},
    {"by boolean", NACRE_BOOLEAN, NACRE_JSON, 2},  {"by timestamp", NACRE_TIMESTAMP, NACRE_BYTES, 40},
    {"by bytes", NACRE_BYTES, NACRE_TEXT, 40},
};
enum { KV_PLANS = sizeof kv_plans / sizeof *kv_plans };

/* Each round puts other rows, and deletes some of the round before. */
static void kv_round(nacre_db *db, const KvPlan *plan, uint32_t round) {
    char key_room[8192], value_room[8192];
    nacre_membrane *kv = membrane(db, plan->name, nacre_schema_kv(plan->key, plan->value));
    for (uint32_t i = 0; i < plan->rows; i++) {
        nacre_value key = key_of(plan->key, i, key_room);
        nacre_value value = value_of(plan->value, i, round, value_room);
        if (round == 0 || (i + round) % 3 == 0) MUST(nacre_put(kv, &key, NULL, &value));
        else if ((i + round) % 7 == 0 && nacre_delete(kv, &key) > NACRE_NOT_FOUND) exit(1);
    }
}

static void parts_round(nacre_db *db, uint32_t round) {
    nacre_schema schema = nacre_schema_kv(NACRE_TEXT, NACRE_JSON);
    schema.key_count = 3;
    schema.key_types[1] = NACRE_INTEGER;
    schema.key_types[2] = NACRE_BOOLEAN;
    nacre_membrane *kv = membrane(db, "by parts", schema);
    char key_room[8192], value_room[8192];
    for (uint32_t i = 0; i < 30; i++) {
        nacre_value key[3] = {key_of(NACRE_TEXT, i / 5 * 5 % 20, key_room), nacre_integer((int64_t)i % 5 - 2), nacre_boolean(i % 2)};
        nacre_value value = value_of(NACRE_JSON, i, round, value_room);
        MUST(nacre_put(kv, key, NULL, &value));
    }
}

/* ---- small: collections and tables ---- */

static void vector_of(float *vector, uint32_t dimensions, uint32_t i, uint32_t round) {
    static const float odd[] = {0.1f, -3.4028235e38f, 1e-45f, -0.0f, 1.5f};
    for (uint32_t d = 0; d < dimensions; d++) vector[d] = (float)((i * 31 + d * 7 + round) % 17) - 8;
    if (i < 5) vector[i % dimensions] = odd[i];
    vector[dimensions - 1] = 1; /* never zero */
}

static void collection_round(nacre_db *db, const char *name, nacre_metric metric, uint32_t dimensions, uint32_t rows, uint32_t round) {
    static const nacre_field fields[] = {{"title", NACRE_TEXT, false}, {"year", NACRE_INTEGER, false}, {"tags", NACRE_JSON, false}};
    nacre_membrane *collection = membrane(db, name, nacre_schema_collection(NACRE_TEXT, dimensions, metric, fields, 3));
    float *vector = malloc(dimensions * sizeof *vector);
    if (!vector) exit(1);
    for (uint32_t i = 0; i < rows; i++) {
        char key_text[32], title[64];
        snprintf(key_text, sizeof key_text, "point %04u", (unsigned)(i * 7 % rows));
        snprintf(title, sizeof title, "Title %u, round %u", (unsigned)i, (unsigned)round);
        nacre_value key = nacre_text(key_text);
        nacre_value values[3] = {i % 4 ? nacre_text(title) : nacre_null(), nacre_integer(1990 + i % 30),
                                 i % 5 ? nacre_json("[\"sea\",\"shell\"]") : nacre_null()};
        if (i % 13 == 7) values[0] = nacre_text_sized(large, 2000);
        vector_of(vector, dimensions, i, round);
        if (round == 0 || (i + round) % 3 == 0) MUST(nacre_put(collection, &key, vector, values));
        else if ((i + round) % 5 == 0 && nacre_delete(collection, &key) > NACRE_NOT_FOUND) exit(1);
    }
    free(vector);
}

static void table_round(nacre_db *db, uint32_t round) {
    static const nacre_field fields[] = {
        {"integer", NACRE_INTEGER, false}, {"real", NACRE_REAL, false}, {"boolean", NACRE_BOOLEAN, false}, {"text", NACRE_TEXT, false},
        {"bytes", NACRE_BYTES, false}, {"timestamp", NACRE_TIMESTAMP, false}, {"json", NACRE_JSON, false}, {"bigint", NACRE_BIGINT, false},
    };
    nacre_membrane *table = membrane(db, "every type", nacre_schema_table(NACRE_INTEGER, fields, 8));
    char room[8192], json_room[8192];
    for (uint32_t i = 0; i < 50; i++) {
        nacre_value key = nacre_integer(i);
        nacre_value values[8];
        for (int f = 0; f < 8; f++) {
            bool json = fields[f].type == NACRE_JSON;
            values[f] = json ? value_of(NACRE_JSON, i, round, json_room) : key_of(fields[f].type, i % 20, room);
            if (fields[f].type == NACRE_TEXT || fields[f].type == NACRE_BYTES)
                values[f] = (nacre_value){.type = fields[f].type, .bytes = {large, i * 3}};
            if ((i >> f & 1) && i > 9) values[f] = nacre_null();
        }
        if (i == 0) values[1] = nacre_real(-0.0);
        if (i == 1) values[1] = nacre_real(-(double)INFINITY);
        if (round == 0 || i % 4 == round) MUST(nacre_put(table, &key, NULL, values));
    }
    nacre_batch *batch = NULL; /* over two membranes */
    nacre_membrane *other = membrane(db, "by boolean", nacre_schema_kv(NACRE_BOOLEAN, NACRE_JSON));
    nacre_value key = nacre_integer(40 + round), truth = nacre_boolean(true);
    nacre_value value = value_of(NACRE_JSON, 1000, round, json_room);
    MUST(nacre_batch_begin(db, &batch));
    MUST(nacre_batch_delete(batch, table, &key));
    MUST(nacre_batch_put(batch, other, &truth, NULL, &value));
    MUST(nacre_batch_commit(batch));
}

static void small_round(nacre_db *db, uint32_t round) {
    for (int p = 0; p < KV_PLANS; p++) kv_round(db, &kv_plans[p], round);
    parts_round(db, round);
    collection_round(db, "points", NACRE_L2, 12, 70, round);
    collection_round(db, "directions", NACRE_COSINE, 5, 30, round);
    collection_round(db, "products", NACRE_IP, 33, 20, round);
    table_round(db, round);
}

static void make_small(const char *path) {
    nacre_db *db = open_seeded(path, 1);
    for (uint32_t round = 0; round < 3; round++) {
        small_round(db, round);
        if (round == 0) {
            nacre_value key = nacre_text("k"), value = nacre_text("v");
            MUST(nacre_put(membrane(db, "gone", nacre_schema_kv(NACRE_TEXT, NACRE_TEXT)), &key, NULL, &value));
            MUST(nacre_put(membrane(db, "old name", nacre_schema_kv(NACRE_TEXT, NACRE_TEXT)), &key, NULL, &value));
        }
        if (round == 1) {
            MUST(nacre_membrane_drop(db, "gone"));
            MUST(nacre_membrane_rename(db, "old name", "n\xc3\xa1" "cre"));
        }
        MUST(nacre_checkpoint(db));
    }
    nacre_membrane *empty = membrane(db, "empty", nacre_schema_table(NACRE_TEXT, NULL, 0));
    nacre_value nothing = nacre_text("a row without fields");
    MUST(nacre_put(empty, &nothing, NULL, NULL));
    small_round(db, 3);
    close_db(db);
}

/* ---- merged ---- */

static void make_merged(const char *path) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.seed = 2;
    options.block_size = 16384;
    options.filter_bits = UINT32_MAX;
    options.durability = NACRE_NONE;
    nacre_db *db = open_with(path, options);
    nacre_membrane *kv = membrane(db, "numbers", nacre_schema_kv(NACRE_INTEGER, NACRE_TEXT));
    uint32_t random = 20260101;
    for (uint32_t i = 0; i < 1450; i++) {
        uint32_t which = random_next(&random) % 700;
        nacre_value key = nacre_integer(which);
        nacre_value value = nacre_text_sized(large + which % 26, 500 + which % 300);
        if (i % 6 == 5) {
            nacre_status status = nacre_delete(kv, &key);
            if (status != NACRE_NOT_FOUND) MUST(status);
        } else {
            MUST(nacre_put(kv, &key, NULL, &value));
        }
        if (i % 90 == 60) collection_round(db, "vectors", NACRE_COSINE, 100, 60, i / 90);
    }
    close_db(db);
}

/* ---- torn and cut ---- */

static void copy_file(const char *from, const char *to, const char *suffix, size_t junk) {
    char name[PATH_SIZE];
    char bytes[4096];
    snprintf(name, sizeof name, "%s%s", from, suffix);
    FILE *in = fopen(name, "rb");
    snprintf(name, sizeof name, "%s%s", to, suffix);
    FILE *out = in ? fopen(name, "wb") : NULL;
    if (!out) exit(1);
    for (size_t got; (got = fread(bytes, 1, sizeof bytes, in)) > 0;)
        if (fwrite(bytes, 1, got, out) != got) exit(1);
    for (size_t i = 0; i < junk; i++) fputc(i == 8 ? 1 : i == 9 ? 0x4e : i == 10 ? 0x57 : i == 11 ? 0x42 : (int)(i % 251), out);
    fclose(in);
    if (fclose(out) != 0) exit(1);
}

/* Small rows until the first log is full and the second is being written. */
static void tail_round(nacre_db *db, uint32_t rows) {
    nacre_membrane *kv = membrane(db, "tail", nacre_schema_kv(NACRE_INTEGER, NACRE_TEXT));
    for (uint32_t i = 0; i < rows; i++) {
        nacre_value key = nacre_integer(i * 7 % 300), value = nacre_text_sized(large + i % 26, 180 + i % 40);
        MUST(nacre_put(kv, &key, NULL, &value));
    }
}

static void make_torn(const char *path) {
    static const char *const suffixes[] = {"", "-wal0", "-wal1"};
    char live[PATH_SIZE], name[2 * PATH_SIZE];
    snprintf(live, sizeof live, "%s-live", path);
    nacre_db *db = open_seeded(live, 3);
    collection_round(db, "points", NACRE_L2, 12, 20, 0);
    MUST(nacre_checkpoint(db));
    tail_round(db, 300);
    collection_round(db, "points", NACRE_L2, 12, 20, 1);
    /* Copied under its hands: what is synced, and half a frame, is all that a power failure
     * leaves. */
    for (int i = 0; i < 3; i++) copy_file(live, path, suffixes[i], i == 2 ? 333 : 0);
    close_db(db);
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s%s", live, suffixes[i]);
        remove(name);
    }
}

static void make_cut(const char *path) {
    make_torn(path);
    nacre_db *db = open_seeded(path, 4);
    tail_round(db, 30);
    collection_round(db, "points", NACRE_L2, 12, 20, 2);
    close_db(db);
}

/* ---- kept ---- */

static uint64_t new_year_2026(void *self) {
    (void)self;
    return UINT64_C(1767225600000);
}

static void kept_round(nacre_db *db, uint32_t round) {
    static const nacre_field fields[] = {{"title", NACRE_TEXT, false}, {"tags", NACRE_JSON, false}};
    static const uint64_t century = UINT64_C(3155760000000);
    nacre_schema sessions = nacre_schema_kv(NACRE_TEXT, NACRE_JSON), texts = nacre_schema_kv(NACRE_INTEGER, NACRE_TEXT);
    nacre_schema wide = texts, points = nacre_schema_collection(NACRE_INTEGER, 6, NACRE_L2, fields, 2);
    sessions.ttl_ms = century;
    texts.compression = NACRE_LZ4;
    wide.block_size = 32768;
    points.block_size = 8192, points.compression = NACRE_LZ4, points.ttl_ms = 1000;
    nacre_membrane *kv[2] = {membrane(db, "texts", texts), membrane(db, "wide", wide)};
    nacre_membrane *sessions_kv = membrane(db, "sessions", sessions), *points_all = membrane(db, "points", points);
    nacre_put_options options = NACRE_PUT_INIT;
    char room[8192];
    for (uint32_t i = 0; i < 160; i++) {
        if (round && i % 3 != round) continue;
        nacre_value number = nacre_integer(i);
        int size = 0;
        for (uint32_t w = 0; w < 3 + i * 5 % 400; w++)
            size += snprintf(room + size, sizeof room - (size_t)size, "%s %u ", w % 3 ? "grows" : "slowly", (unsigned)(w * i % 50));
        nacre_value text = nacre_text_sized(room, (size_t)size);
        if (i % 40 == 7) text = nacre_text_sized(large, 5000 + 700 * i);
        for (int k = 0; k < 2; k++) MUST(nacre_put(kv[k], &number, NULL, &text));
        char key_text[32];
        snprintf(key_text, sizeof key_text, "session %u", (unsigned)i);
        nacre_value key = nacre_text(key_text), value = value_of(NACRE_JSON, i, round, room);
        options.ttl_ms = i % 5 == 0 ? 1 : i % 5 == 1 ? NACRE_TTL_NEVER : 0; /* over, for ever, a century */
        MUST(nacre_put_with(sessions_kv, &key, NULL, &value, &options));
        float vector[6];
        nacre_value values[2] = {nacre_text("A title, again and again"), nacre_json("[\"sea\",\"shell\"]")};
        vector_of(vector, 6, i, round);
        options.ttl_ms = i % 2 ? century : 0;
        MUST(nacre_put_with(points_all, &number, vector, values, &options));
    }
}

static void *plain_alloc(void *self, size_t size) {
    (void)self;
    return malloc(size);
}

static void plain_free(void *self, void *memory, size_t size) {
    (void)self, (void)size;
    free(memory);
}

static void make_kept(const char *path) {
    Vfs *files = NULL;
    must(vfs_posix_create(&(nacre_allocator){NULL, plain_alloc, plain_free}, &files), NULL, __LINE__);
    Vfs vfs = *files;
    vfs.now_ms = new_year_2026;
    vfs.destroy = NULL;
    nacre_options options = NACRE_OPTIONS_INIT;
    options.seed = 5;
    options.vfs = &vfs;
    nacre_db *db = open_with(path, options);
    for (uint32_t round = 0; round < 3; round++) {
        kept_round(db, round);
        if (round < 2) MUST(nacre_checkpoint(db));
    }
    close_db(db);
    files->destroy(files->self);
}

/* ---- elements ---- */

static float number_of(nacre_element element, uint32_t n) {
    static const float odd[] = {65504, -6.1035e-05f, 5.9604645e-08f, -0.0f, 0.333333f, 1e-6f};
    if (element == NACRE_BIT) return (float)(n >> 3 & 1);
    if (element == NACRE_I8) return (float)(n % 256) - 128;
    return n % 9 ? (float)(n % 1000) / 7 - 70 : odd[n % 6];
}

static void elements_round(nacre_db *db, const char *name, nacre_element element, nacre_metric metric, uint32_t round) {
    nacre_schema schema = nacre_schema_collection(NACRE_INTEGER, 21, metric, NULL, 0);
    schema.element = element;
    nacre_membrane *collection = membrane(db, name, schema);
    uint32_t random = 7 + round;
    for (uint32_t i = 0; i < 40; i++) {
        nacre_value key = nacre_integer(i);
        float vector[21];
        for (int d = 0; d < 21; d++) vector[d] = number_of(element, random_next(&random) >> 7);
        vector[20] = 1;
        if (round == 0 || i % 3 == round) MUST(nacre_put(collection, &key, vector, NULL));
    }
}

static void make_elements(const char *path) {
    nacre_db *db = open_seeded(path, 7);
    for (uint32_t round = 0; round < 3; round++) {
        elements_round(db, "halves", NACRE_F16, NACRE_L2, round);
        elements_round(db, "directions", NACRE_F16, NACRE_COSINE, round);
        elements_round(db, "bytes", NACRE_I8, NACRE_IP, round);
        elements_round(db, "bits", NACRE_BIT, NACRE_HAMMING, round);
        if (round < 2) MUST(nacre_checkpoint(db));
    }
    close_db(db);
}

/* ---- secret ---- */

static const uint8_t first_key[33] = "a key that was changed afterward", last_key[33] = "the key of the golden database: ";

/* A Vfs of which the clock stands still, and what it draws are the numbers of xorshift32. */
typedef struct CountedVfs {
    Vfs vfs;
    Vfs *files;
    uint32_t state;
} CountedVfs;

static void counted_random(void *self, void *into, size_t size) {
    CountedVfs *c = self;
    for (size_t i = 0; i < size; i++) ((uint8_t *)into)[i] = (uint8_t)(random_next(&c->state) >> 9);
}

static nacre_status counted_open(void *self, const char *name, int how, VfsFile **file) {
    CountedVfs *c = self;
    return c->files->open(c->files->self, name, how, file);
}

static nacre_status counted_lock(void *self, const char *name, bool break_it, VfsFile **lock) {
    CountedVfs *c = self;
    return c->files->lock(c->files->self, name, break_it, lock);
}

static void counted_unlock(void *self, VfsFile *lock) {
    CountedVfs *c = self;
    c->files->unlock(c->files->self, lock);
}

static const char *counted_message(void *self) {
    CountedVfs *c = self;
    return c->files->message(c->files->self);
}

static void make_secret(const char *path) {
    CountedVfs c = {.files = NULL, .state = 20261121};
    must(vfs_posix_create(&(nacre_allocator){NULL, plain_alloc, plain_free}, &c.files), NULL, __LINE__);
    c.vfs = (Vfs){.self = &c,
                  .open = counted_open,
                  .size = c.files->size,
                  .read = c.files->read,
                  .write = c.files->write,
                  .truncate = c.files->truncate,
                  .sync = c.files->sync,
                  .close = c.files->close,
                  .lock = counted_lock,
                  .unlock = counted_unlock,
                  .now_ms = new_year_2026,
                  .random = counted_random,
                  .message = counted_message};
    nacre_options options = NACRE_OPTIONS_INIT;
    options.seed = 6;
    options.vfs = &c.vfs;
    options.encryption_key = first_key;
    nacre_db *db = open_with(path, options);
    collection_round(db, "points", NACRE_L2, 12, 40, 0);
    tail_round(db, 60);
    MUST(nacre_checkpoint(db));
    MUST(nacre_rekey(db, last_key));
    tail_round(db, 20);
    close_db(db);
    options.encryption_key = last_key;
    db = open_with(path, options);
    collection_round(db, "points", NACRE_L2, 12, 15, 1);
    close_db(db);
    c.files->destroy(c.files->self);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*make)(const char *path);
    } databases[] = {{"small", make_small}, {"merged", make_merged}, {"torn", make_torn}, {"cut", make_cut}, {"kept", make_kept},
                   {"elements", make_elements}, {"secret", make_secret}};
    for (size_t i = 0; i < LARGE; i++) large[i] = (char)((i % 1000 ? 'a' : 'A') + i % 26);
    for (int i = 0; i < 7 && argc == 3; i++)
        if (strcmp(databases[i].name, argv[1]) == 0) return databases[i].make(argv[2]), 0;
    fprintf(stderr, "usage: make_golden small|merged|torn|cut|kept|elements|secret PATH\n");
    return 2;
}
