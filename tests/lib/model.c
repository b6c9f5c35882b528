/* model.c - rows made from numbers, and comparing all of them. */
#include "lib/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t mix(uint64_t z) {
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint64_t row_seed(int membrane, uint32_t key, uint32_t version) {
    return mix(mix((uint64_t)membrane << 32 | key) ^ version);
}

/* 4 bytes of version, then a length and bytes that follow from it. Every 16th value of
 * membrane 1 is too long for a block. */
static size_t value_make(int membrane, uint32_t key, uint32_t version, uint8_t *out) {
    uint64_t random = row_seed(membrane, key, version);
    size_t size = 4 + (size_t)(random % 90);
    if (membrane == 1 && random % 16 == 3) size = 1200 + (size_t)(random >> 8) % 9000;
    memcpy(out, &(uint8_t[4]){(uint8_t)version, (uint8_t)(version >> 8), (uint8_t)(version >> 16), (uint8_t)(version >> 24)}, 4);
    for (size_t i = 4; i < size;) { /* one random number for each 8 bytes */
        uint64_t bits = mix(random + i / 8) >> i % 8 * 8;
        size_t part = 8 - i % 8 < size - i ? 8 - i % 8 : size - i;
        memcpy(out + i, &bits, part);
        i += part;
    }
    return size;
}
enum { VALUE_MAX = 12000 };

static void vector_make(uint32_t key, uint32_t version, float *out) {
    uint64_t random = row_seed(2, key, version);
    for (int i = 0; i < MODEL_DIMENSIONS; i++) out[i] = (float)(int32_t)(mix(random + (uint64_t)i) >> 40) / 1000.0f + 0.5f;
}

nacre_status model_open(nacre_db *db, nacre_membrane *membranes[MODEL_MEMBRANES]) {
    static const nacre_field fields[2] = {{"version", NACRE_INTEGER, true}, {"name", NACRE_TEXT, true}};
    nacre_schema schemas[MODEL_MEMBRANES] = {
        nacre_schema_kv(NACRE_TEXT, NACRE_BYTES), nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES),
        nacre_schema_collection(NACRE_INTEGER, MODEL_DIMENSIONS, NACRE_L2, fields, 2)};
    static const char *const names[MODEL_MEMBRANES] = {"texts", "numbers", "vectors"};
    for (int i = 0; i < MODEL_MEMBRANES; i++) {
        nacre_status status = nacre_membrane_open(db, names[i], &schemas[i], &membranes[i]);
        if (status != NACRE_OK) return status;
    }
    return NACRE_OK;
}

nacre_value model_key(int membrane, uint32_t key, char room[48]) {
    if (membrane != 0) return nacre_integer((int64_t)(mix(key) >> 1) * (key % 2 ? 1 : -1));
    size_t letters = key % 20;
    memcpy(room, (char[8]){'k', 'e', 'y', '-', (char)('0' + key / 100), (char)('0' + key / 10 % 10), (char)('0' + key % 10), '-'}, 8);
    memcpy(room + 8, "abcdefghijklmnopqrstuvwxyz", letters);
    return nacre_text_sized(room, 8 + letters);
}

typedef struct MadeRow {
    nacre_value key, fields[2];
    float vector[MODEL_DIMENSIONS];
    char room[48];
    uint8_t bytes[VALUE_MAX];
} MadeRow;

static void row_make(int membrane, uint32_t key, uint32_t version, MadeRow *row) {
    row->key = model_key(membrane, key, row->room);
    row->fields[0] = membrane < 2 ? nacre_bytes(row->bytes, value_make(membrane, key, version, row->bytes))
                                  : nacre_integer(version);
    row->fields[1] = version % 3 ? nacre_text("some name") : nacre_null();
    vector_make(key, version, row->vector);
}

static nacre_put_options put_options(uint32_t version) {
    nacre_put_options options = NACRE_PUT_INIT;
    options.ttl_ms = version & MODEL_ENDS ? 1 : version & MODEL_LASTS ? UINT64_C(1) << 40 : 0;
    return options;
}

nacre_status model_put(nacre_batch *batch, nacre_membrane *membranes[MODEL_MEMBRANES], int membrane, uint32_t key,
                       uint32_t version) {
    MadeRow row;
    nacre_put_options options = put_options(version);
    row_make(membrane, key, version, &row);
    return nacre_batch_put_with(batch, membranes[membrane], &row.key, membrane < 2 ? NULL : row.vector, row.fields, &options);
}

nacre_status model_bulk_put(nacre_bulk *bulk, int membrane, uint32_t key, uint32_t version) {
    MadeRow row;
    nacre_put_options options = put_options(version);
    row_make(membrane, key, version, &row);
    return nacre_bulk_put_with(bulk, &row.key, membrane < 2 ? NULL : row.vector, row.fields, &options);
}

nacre_status model_transaction_put(nacre_transaction *tx, nacre_membrane *membranes[MODEL_MEMBRANES], int membrane,
                                   uint32_t key, uint32_t version) {
    MadeRow row;
    nacre_put_options options = put_options(version);
    row_make(membrane, key, version, &row);
    return nacre_transaction_put_with(tx, membranes[membrane], &row.key, membrane < 2 ? NULL : row.vector, row.fields,
                                      &options);
}

nacre_status model_transaction_delete(nacre_transaction *tx, nacre_membrane *membranes[MODEL_MEMBRANES], int membrane,
                                      uint32_t key) {
    char room[48];
    nacre_value name = model_key(membrane, key, room);
    return nacre_transaction_delete(tx, membranes[membrane], &name);
}

static int key_order(const void *a, const void *b) {
    char room[48];
    int64_t x = model_key(1, *(const uint32_t *)a, room).integer, y = model_key(1, *(const uint32_t *)b, room).integer;
    return x < y ? -1 : x > y;
}

void model_sort(int membrane, uint32_t *keys, size_t count) {
    if (membrane != 0) qsort(keys, count, sizeof *keys, key_order); /* text keys sort by their number */
}

nacre_status model_delete(nacre_batch *batch, nacre_membrane *membranes[MODEL_MEMBRANES], int membrane, uint32_t key) {
    char room[48];
    nacre_value name = model_key(membrane, key, room);
    return nacre_batch_delete(batch, membranes[membrane], &name);
}

static bool expires_as_put(uint32_t version, const nacre_row *row) {
    return (row->expires_ms != 0) == ((version & (MODEL_LASTS | MODEL_ENDS)) != 0);
}

uint32_t model_row_version(int membrane, uint32_t key, const nacre_row *row) {
    if (membrane < 2) {
        uint8_t bytes[VALUE_MAX];
        if (row->field_count != 1 || row->fields[0].bytes.size < 4) return 0;
        const uint8_t *got = row->fields[0].bytes.data;
        uint32_t version = (uint32_t)got[0] | (uint32_t)got[1] << 8 | (uint32_t)got[2] << 16 | (uint32_t)got[3] << 24;
        if (!expires_as_put(version, row)) return 0;
        size_t size = value_make(membrane, key, version, bytes);
        return size == row->fields[0].bytes.size && memcmp(bytes, got, size) == 0 ? version : 0;
    }
    float vector[MODEL_DIMENSIONS];
    if (row->field_count != 2 || row->fields[0].type != NACRE_INTEGER || !row->vector) return 0;
    uint32_t version = (uint32_t)row->fields[0].integer;
    vector_make(key, version, vector);
    bool named = row->fields[1].type == NACRE_TEXT;
    if (named != (version % 3 != 0) || !expires_as_put(version, row)) return 0;
    return memcmp(vector, row->vector, sizeof vector) == 0 ? version : 0;
}

/* ---- the large value ---- */

enum { LARGE_SIZE = (1 << 20) + 70000, LARGE_PIECE = 16000 };

/* A multiple of 8 bytes: version, and what follows from it and the place. */
static void large_make(uint32_t version, size_t at, uint8_t *out, size_t size) {
    uint64_t seed = mix(version);
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = at + i == 0 ? version : seed + (at + i) * 0x9e3779b97f4a7c15u;
        memcpy(out + i, &word, 8);
    }
}

nacre_status model_stream(nacre_db *db, uint32_t version) {
    uint8_t piece[LARGE_PIECE];
    nacre_schema schema = nacre_schema_kv(NACRE_TEXT, NACRE_BYTES);
    nacre_membrane *files = NULL;
    nacre_value_writer *writer = NULL;
    nacre_value key = nacre_text("large");
    nacre_status status = nacre_membrane_open(db, "files", &schema, &files);
    if (status == NACRE_OK) status = nacre_value_begin(files, &key, NULL, &writer);
    for (size_t at = 0; at < LARGE_SIZE && status == NACRE_OK; at += LARGE_PIECE) {
        size_t part = LARGE_SIZE - at < LARGE_PIECE ? LARGE_SIZE - at : LARGE_PIECE;
        large_make(version, at, piece, part);
        status = nacre_value_append(writer, piece, part);
    }
    if (status == NACRE_OK) return nacre_value_finish(writer);
    nacre_value_abort(writer);
    return status;
}

/* NACRE_NOT_FOUND: there is none; NACRE_CORRUPT: not what was ever streamed. */
static nacre_status large_read(nacre_db *db, const nacre_snapshot *snapshot, uint32_t *version) {
    uint8_t piece[LARGE_PIECE], want[LARGE_PIECE];
    nacre_membrane *files = NULL;
    nacre_value_reader *reader = NULL;
    nacre_value key = nacre_text("large");
    uint64_t word = 0;
    nacre_status status = nacre_membrane_open(db, "files", NULL, &files);
    if (status == NACRE_OK) status = nacre_value_open(files, snapshot, &key, &reader);
    if (status != NACRE_OK) return status;
    if (nacre_value_size(reader) != LARGE_SIZE) status = NACRE_CORRUPT;
    for (size_t at = 0; at < LARGE_SIZE && status == NACRE_OK; at += LARGE_PIECE) {
        size_t part = LARGE_SIZE - at < LARGE_PIECE ? LARGE_SIZE - at : LARGE_PIECE;
        if ((status = nacre_value_read(reader, at, piece, part)) != NACRE_OK) break;
        if (at == 0) memcpy(&word, piece, 8);
        large_make((uint32_t)word, at, want, part);
        if (memcmp(piece, want, part) != 0) status = NACRE_CORRUPT;
    }
    nacre_value_close(reader);
    if (status == NACRE_OK) *version = (uint32_t)word;
    return status;
}

/* Where to look for the number of an integer key: its low bits, then onwards. */
enum { PLACES = 4 * MODEL_KEYS };
static size_t key_place(int64_t integer) { return (size_t)(integer < 0 ? -integer : integer) % PLACES; }

static const uint16_t *key_places(void) {
    static uint16_t places[PLACES]; /* number + 1; 0: none. Filled once */
    if (places[key_place((int64_t)(mix(0) >> 1))]) return places;
    for (uint32_t i = 0; i < MODEL_KEYS; i++) {
        size_t at = key_place((int64_t)(mix(i) >> 1));
        while (places[at]) at = (at + 1) % PLACES;
        places[at] = (uint16_t)(i + 1);
    }
    return places;
}

/* The number of a key, from the key itself; MODEL_KEYS: it is none of ours. */
static uint32_t key_number(int membrane, const nacre_value *key) {
    char room[48];
    if (membrane != 0) {
        const uint16_t *places = key_places();
        for (size_t at = key_place(key->integer); places[at]; at = (at + 1) % PLACES)
            if (model_key(membrane, places[at] - 1u, room).integer == key->integer) return places[at] - 1u;
        return MODEL_KEYS;
    }
    const uint8_t *digits = (const uint8_t *)key->bytes.data + 4;
    if (key->bytes.size < 8) return MODEL_KEYS;
    uint32_t number = (digits[0] - 48u) * 100 + (digits[1] - 48u) * 10 + (digits[2] - 48u);
    if (number >= MODEL_KEYS) return MODEL_KEYS;
    nacre_value made = model_key(membrane, number, room);
    bool same = made.bytes.size == key->bytes.size && memcmp(made.bytes.data, key->bytes.data, made.bytes.size) == 0;
    return same ? number : MODEL_KEYS;
}

static int complain(nacre_db *db, int membrane, uint32_t key, const char *what) {
    printf("# membrane %d key %u: %s (%s)\n", membrane, key, what, nacre_message(db));
    return 1;
}

bool model_read(nacre_db *db, const nacre_snapshot *snapshot, Model *model) {
    nacre_membrane *membranes[MODEL_MEMBRANES];
    static const char *const names[MODEL_MEMBRANES] = {"texts", "numbers", "vectors"};
    memset(model, 0, sizeof *model);
    for (int m = 0; m < MODEL_MEMBRANES; m++) {
        nacre_status status = nacre_membrane_open(db, names[m], NULL, &membranes[m]);
        if (status == NACRE_NOT_FOUND) continue; /* a crash before it was made */
        if (status != NACRE_OK) return complain(db, m, 0, "open") == 0;
        nacre_cursor *cursor = NULL;
        nacre_row row;
        if (nacre_cursor_open(membranes[m], snapshot, NULL, &cursor) != NACRE_OK) return complain(db, m, 0, "cursor") == 0;
        while ((status = nacre_cursor_next(cursor, &row)) == NACRE_OK) {
            uint32_t key = key_number(m, row.key);
            uint32_t version = key < MODEL_KEYS ? model_row_version(m, key, &row) : 0;
            if (version == 0 || (version & MODEL_ENDS) || model->version[m][key]) {
                nacre_cursor_close(cursor);
                return complain(db, m, key, "a row that was never put") == 0;
            }
            model->version[m][key] = version;
        }
        nacre_cursor_close(cursor);
        if (status != NACRE_NOT_FOUND) return complain(db, m, 0, "scan") == 0;
    }
    nacre_status status = large_read(db, snapshot, &model->large);
    return status == NACRE_OK || status == NACRE_NOT_FOUND || complain(db, MODEL_MEMBRANES, 0, "the large value") == 0;
}

static bool replay_one(ModelPast past, Model *model, const nacre_change *change) {
    static const char *const names[MODEL_MEMBRANES] = {"texts", "numbers", "vectors"};
    int m = 0;
    if (strcmp(change->name, "files") == 0) { /* made, or its value was streamed */
        const Model *after = past.at && change->kind == NACRE_CHANGE_LOAD ? past.at(past.self, change->sequence) : NULL;
        if (after) model->large = after->large;
        return after || change->kind == NACRE_CHANGE_CREATE;
    }
    while (m < MODEL_MEMBRANES && strcmp(names[m], change->name) != 0) m++;
    if (m == MODEL_MEMBRANES) return false;
    if (change->kind == NACRE_CHANGE_DROP) memset(model->version[m], 0, sizeof model->version[m]);
    if (change->kind == NACRE_CHANGE_LOAD) {
        const Model *loaded = past.at ? past.at(past.self, change->sequence) : NULL;
        if (loaded) memcpy(model->version[m], loaded->version[m], sizeof model->version[m]);
        return loaded != NULL;
    }
    if (change->kind != NACRE_CHANGE_PUT && change->kind != NACRE_CHANGE_DELETE)
        return change->kind == NACRE_CHANGE_DROP || change->kind == NACRE_CHANGE_CREATE;
    uint32_t key = key_number(m, change->row.key), version = 0;
    if (key == MODEL_KEYS) return false;
    if (change->kind == NACRE_CHANGE_PUT && (version = model_row_version(m, key, &change->row)) == 0) return false;
    model->version[m][key] = version & MODEL_ENDS ? 0 : version;
    return true;
}

uint64_t model_replay(nacre_db *db, nacre_changes *changes, ModelPast past, Model *model) {
    nacre_change change;
    nacre_status status;
    uint64_t sequence = 0;
    uint32_t index = 0;
    while ((status = nacre_changes_next(changes, &change)) == NACRE_OK && change.kind != NACRE_CHANGE_NONE) {
        bool rises = change.sequence > sequence || (change.sequence == sequence && change.index > index);
        if (!rises || !replay_one(past, model, &change)) {
            printf("# change %u of %llu, kind %d, name %s\n", change.index, (unsigned long long)change.sequence,
                   (int)change.kind, change.name);
            return 0;
        }
        sequence = change.sequence;
        index = change.index;
    }
    if (status == NACRE_OK && change.sequence >= sequence) return change.sequence;
    printf("# changes: %s\n", nacre_message(db));
    return 0;
}

uint64_t model_replay_since(nacre_db *db, uint64_t since, ModelPast past, Model *model) {
    nacre_changes *changes = NULL;
    if (nacre_changes_open(db, since, &changes) != NACRE_OK) {
        printf("# changes since %llu: %s\n", (unsigned long long)since, nacre_message(db));
        return 0;
    }
    uint64_t sequence = model_replay(db, changes, past, model);
    nacre_changes_close(changes);
    return sequence;
}

/* Indexed fields tell how many rows have a version, and a name or none. */
static int version_differences(nacre_db *db, nacre_membrane *membrane, const nacre_snapshot *snapshot, const Model *model,
                               uint32_t version) {
    char where[80];
    uint64_t count = 0, want = 0;
    nacre_range range = NACRE_RANGE_INIT;
    for (uint32_t key = 0; key < MODEL_KEYS; key++) want += model->version[2][key] && model->version[2][key] == version;
    snprintf(where, sizeof where, "{\"version\":%u,\"name\":{\"exists\":%s}}", version, version % 3 ? "true" : "false");
    range.where_json = where;
    if (nacre_count(membrane, snapshot, &range, &count) == NACRE_OK && count == want) return 0;
    return complain(db, 2, version, "count of a version");
}

int model_differences(nacre_db *db, const nacre_snapshot *snapshot, const Model *model) {
    nacre_membrane *membranes[MODEL_MEMBRANES];
    int differences = 0;
    if (model_open(db, membranes) != NACRE_OK) return complain(db, 0, 0, "membranes");
    for (int m = 0; m < MODEL_MEMBRANES; m++) {
        uint64_t present = 0, count = 0;
        for (uint32_t key = 0; key < MODEL_KEYS && differences < 5; key++) {
            char room[48];
            nacre_value name = model_key(m, key, room);
            nacre_row row;
            nacre_status status = nacre_get(membranes[m], snapshot, &name, &row);
            uint32_t want = model->version[m][key];
            present += want != 0;
            if (status != (want ? NACRE_OK : NACRE_NOT_FOUND)) differences += complain(db, m, key, "get: there or not");
            else if (want && model_row_version(m, key, &row) != want) differences += complain(db, m, key, "get: version");
        }
        for (int reverse = 0; reverse < 2 && differences < 5; reverse++) {
            nacre_range range = NACRE_RANGE_INIT;
            nacre_cursor *cursor = NULL;
            nacre_row row;
            nacre_status status;
            uint64_t seen = 0;
            range.reverse = reverse;
            if (nacre_cursor_open(membranes[m], snapshot, &range, &cursor) != NACRE_OK)
                return differences + complain(db, m, 0, "cursor");
            while ((status = nacre_cursor_next(cursor, &row)) == NACRE_OK) {
                uint32_t key = key_number(m, row.key);
                if (key == MODEL_KEYS || model_row_version(m, key, &row) != model->version[m][key])
                    differences += complain(db, m, key, "scan: version");
                seen++;
            }
            nacre_cursor_close(cursor);
            if (status != NACRE_NOT_FOUND) differences += complain(db, m, 0, "scan");
            if (seen != present) differences += complain(db, m, (uint32_t)seen, "scan: number of rows");
        }
        if (nacre_count(membranes[m], snapshot, NULL, &count) != NACRE_OK || count != present)
            differences += complain(db, m, (uint32_t)count, "count");
    }
    for (uint32_t key = 0; key < MODEL_KEYS && differences < 5; key += 73)
        differences += version_differences(db, membranes[2], snapshot, model, model->version[2][key]);
    return differences;
}

int model_search_differences(nacre_db *db, const nacre_snapshot *snapshot, const Model *model, uint32_t queries) {
    nacre_membrane *membrane;
    int differences = 0;
    if (nacre_membrane_open(db, "vectors", NULL, &membrane) != NACRE_OK) return complain(db, 2, 0, "membrane");
    for (uint32_t q = 0; q < queries; q++) {
        float query[MODEL_DIMENSIONS];
        uint32_t target = q * 37 % MODEL_KEYS, best = MODEL_KEYS;
        double best_distance = 1e300;
        vector_make(target, model->version[2][target] ? model->version[2][target] : 1, query);
        for (uint32_t key = 0; key < MODEL_KEYS; key++) {
            float vector[MODEL_DIMENSIONS];
            double sum = 0;
            if (!model->version[2][key]) continue;
            vector_make(key, model->version[2][key], vector);
            for (int i = 0; i < MODEL_DIMENSIONS; i++) sum += ((double)query[i] - (double)vector[i]) * ((double)query[i] - (double)vector[i]);
            if (sum < best_distance) best_distance = sum, best = key;
        }
        nacre_search_options options = NACRE_SEARCH_INIT;
        nacre_hits *hits = NULL;
        options.k = 3;
        if (nacre_search(membrane, snapshot, query, &options, &hits) != NACRE_OK) return complain(db, 2, target, "search");
        if ((best == MODEL_KEYS) != (nacre_hits_count(hits) == 0)) differences += complain(db, 2, target, "search: hits");
        if (best < MODEL_KEYS && nacre_hits_count(hits)) {
            float distance;
            nacre_row row;
            if (nacre_hits_at(hits, 0, &distance, &row) != NACRE_OK) differences += complain(db, 2, target, "hit");
            else if (key_number(2, row.key) != best) differences += complain(db, 2, target, "search: not the nearest");
        }
        nacre_hits_free(hits);
    }
    return differences;
}
