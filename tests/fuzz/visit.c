/* visit.c - asks a database, of which nothing is believed, for everything. */
#include "fuzz/fuzz.h"

#include <string.h>

enum { ROWS_MAX = 3000, CHANGES_MAX = 3000 };

bool status_is_an_answer(nacre_status status) {
    return status == NACRE_OK || status == NACRE_NOT_FOUND || status == NACRE_CORRUPT || status == NACRE_VERSION ||
           status == NACRE_RESOURCE_EXHAUSTED || status == NACRE_QUOTA || status == NACRE_UNSUPPORTED;
}

nacre_status answered(const nacre_db *db, nacre_status status, const char *file, int line, const char *what) {
    if (status_is_an_answer(status)) return status;
    fprintf(stderr, "%s:%d: %s: %s: %s\n", file, line, what, nacre_status_name(status), nacre_message(db));
    abort();
}

/* What was shown is read, where it is large in steps smaller than a redzone. */
static uint32_t touch_value(const nacre_value *value) {
    uint32_t sum = (uint32_t)value->integer ^ (uint32_t)value->type;
    if (value->type == NACRE_TEXT || value->type == NACRE_BYTES || value->type == NACRE_JSON)
        for (size_t i = 0; i < value->bytes.size; i += value->bytes.size > 10000 ? 15 : 1) sum ^= ((const uint8_t *)value->bytes.data)[i];
    return sum;
}

static volatile uint32_t touched;

static void touch_row(const nacre_schema *schema, const nacre_row *row) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < row->key_count; i++) sum += touch_value(&row->key[i]);
    for (uint32_t i = 0; i < row->field_count; i++) sum += touch_value(&row->fields[i]);
    for (uint32_t i = 0; row->vector && i < schema->dimensions; i++) sum += row->vector[i] > 0;
    touched += sum;
}

/* A key that outlives the row. */
typedef struct KeptKey {
    nacre_value parts[NACRE_KEY_PARTS_MAX];
    uint8_t bytes[4096];
    bool whole;
} KeptKey;

static void keep_key(const nacre_row *row, KeptKey *kept) {
    size_t used = 0;
    kept->whole = true;
    for (uint32_t i = 0; i < row->key_count; i++) {
        nacre_value value = row->key[i];
        if (value.type == NACRE_TEXT || value.type == NACRE_BYTES) {
            if (value.bytes.size > sizeof kept->bytes - used) {
                kept->whole = false;
                return;
            }
            bytes_copy(kept->bytes + used, value.bytes.data, value.bytes.size);
            value.bytes.data = kept->bytes + used;
            used += value.bytes.size;
        }
        kept->parts[i] = value;
    }
}

static void visit_scan(nacre_db *db, nacre_membrane *membrane, bool reverse, KeptKey *kept) {
    nacre_range range = NACRE_RANGE_INIT;
    nacre_cursor *cursor = NULL;
    nacre_row row;
    range.reverse = reverse;
    nacre_status status = nacre_cursor_open(membrane, NULL, &range, &cursor);
    ANSWERED(db, status);
    if (status != NACRE_OK) return;
    for (uint32_t i = 0; i < ROWS_MAX; i++) {
        status = nacre_cursor_next(cursor, &row);
        ANSWERED(db, status);
        if (status != NACRE_OK) break;
        touch_row(nacre_membrane_schema(membrane), &row);
        if (i == 0 || i == 7) keep_key(&row, &kept[i == 7]);
    }
    if (kept[1].whole) ANSWERED(db, nacre_cursor_seek(cursor, kept[1].parts, &row));
    ANSWERED(db, nacre_cursor_prev(cursor, &row));
    nacre_cursor_close(cursor);
}

static nacre_status touch_one(void *self, size_t index, const nacre_row *row) {
    (void)index;
    if (row) touch_row(self, row);
    return NACRE_OK;
}

static void visit_key(nacre_db *db, nacre_membrane *membrane, const KeptKey *kept) {
    nacre_row row;
    nacre_view *view = NULL;
    nacre_value_reader *reader = NULL;
    const nacre_schema *schema = nacre_membrane_schema(membrane);
    if (!kept->whole) return;
    nacre_status status = nacre_get(membrane, NULL, kept->parts, &row);
    ANSWERED(db, status);
    if (status == NACRE_OK) touch_row(schema, &row);
    status = nacre_get_pinned(membrane, NULL, kept->parts, &view);
    ANSWERED(db, status);
    if (status == NACRE_OK) touch_row(schema, nacre_view_row(view));
    nacre_view_release(view);
    ANSWERED(db, nacre_get_many(membrane, NULL, kept->parts, 1, touch_one, (void *)(uintptr_t)schema));
    if (schema->kind != NACRE_KV || schema->value_type != NACRE_BYTES) return;
    status = nacre_value_open(membrane, NULL, kept->parts, &reader);
    ANSWERED(db, status);
    uint8_t piece[1000];
    for (uint64_t at = 0; status == NACRE_OK && at < nacre_value_size(reader) && at < (4 << 20); at += sizeof piece) {
        uint64_t left = nacre_value_size(reader) - at;
        status = nacre_value_read(reader, at, piece, left < sizeof piece ? (size_t)left : sizeof piece);
        ANSWERED(db, status);
    }
    nacre_value_close(reader);
}

static void visit_search(nacre_db *db, nacre_membrane *membrane) {
    const nacre_schema *schema = nacre_membrane_schema(membrane);
    nacre_search_options options = NACRE_SEARCH_INIT;
    nacre_hits *hits = NULL;
    if (schema->kind != NACRE_COLLECTION || schema->dimensions > 64) return;
    float query[64];
    for (uint32_t i = 0; i < 64; i++) query[i] = (float)i - 3;
    for (int filtered = 0; filtered < 2; filtered++) {
        options.k = 20;
        options.where_json = filtered ? "{\"or\":[{\"i\":{\"gt\":3}},{\"t\":{\"contains\":\"e\"}}]}" : NULL;
        nacre_status status = nacre_search(membrane, NULL, query, &options, &hits);
        if (status != NACRE_INVALID_ARGUMENT) ANSWERED(db, status); /* it may have other fields */
        nacre_row row;
        float distance = 0;
        for (uint32_t i = 0; status == NACRE_OK && i < nacre_hits_count(hits); i++)
            if (nacre_hits_at(hits, i, &distance, &row) == NACRE_OK) touch_row(schema, &row);
        if (status == NACRE_OK) nacre_hits_free(hits);
    }
}

static void visit_changes(nacre_db *db) {
    nacre_changes *changes = NULL;
    nacre_change change;
    uint64_t oldest = 0, newest = 0;
    ANSWERED(db, nacre_changes_bounds(db, &oldest, &newest));
    nacre_status status = nacre_changes_open(db, NACRE_CHANGES_OLDEST, &changes);
    ANSWERED(db, status);
    for (int i = 0; i < CHANGES_MAX && status == NACRE_OK; i++) {
        status = nacre_changes_next(changes, &change);
        ANSWERED(db, status);
        if (status != NACRE_OK || change.kind == NACRE_CHANGE_NONE) break;
        if (change.membrane && change.kind <= NACRE_CHANGE_DELETE) touch_row(nacre_membrane_schema(change.membrane), &change.row);
    }
    nacre_changes_close(changes);
}

static void no_problem(void *self, const char *where, uint64_t offset, const char *what) {
    (void)offset;
    *(uint64_t *)self += strlen(where) + strlen(what);
}

void visit_database(nacre_db *db) {
    nacre_membrane *membrane = NULL;
    static KeptKey kept[2];
    const char *json = NULL;
    uint64_t problems = 0, letters = 0, count = 0;
    for (uint32_t i = 0; i < 20 && nacre_membrane_at(db, i, &membrane) == NACRE_OK; i++) {
        kept[0].whole = kept[1].whole = false;
        visit_scan(db, membrane, false, kept);
        visit_key(db, membrane, &kept[0]);
        visit_scan(db, membrane, true, kept);
        visit_key(db, membrane, &kept[0]);
        visit_key(db, membrane, &kept[1]);
        ANSWERED(db, nacre_count(membrane, NULL, NULL, &count));
        ANSWERED(db, nacre_membrane_bytes(membrane, &count));
        visit_search(db, membrane);
    }
    visit_changes(db);
    ANSWERED(db, nacre_verify(db, false, no_problem, &letters, &problems));
    ANSWERED(db, nacre_verify(db, true, no_problem, &letters, &problems));
    MUST(problems == 0 || letters > 0);
    ANSWERED(db, nacre_stats_json(db, &json));
}

static void change_membrane(nacre_db *db, nacre_membrane *membrane) {
    const nacre_schema *schema = nacre_membrane_schema(membrane);
    nacre_value key[NACRE_KEY_PARTS_MAX], value = {.type = schema->value_type};
    static float vector[16384];
    static nacre_value nulls[256];
    if (schema->value_type == NACRE_JSON) value.bytes = (nacre_span){"1", 1};
    for (uint32_t i = 0; i < schema->key_count; i++) key[i] = (nacre_value){.type = schema->key_types[i], .integer = 1};
    vector[0] = 1;
    ANSWERED(db, nacre_put(membrane, key, schema->kind == NACRE_COLLECTION ? vector : NULL, schema->kind == NACRE_KV ? &value : nulls));
    ANSWERED(db, nacre_delete(membrane, key));
    nacre_transaction *tx = NULL;
    nacre_status status = nacre_begin(db, &tx);
    ANSWERED(db, status);
    if (status != NACRE_OK) return;
    ANSWERED(db, nacre_transaction_put(tx, membrane, key, schema->kind == NACRE_COLLECTION ? vector : NULL,
                                   schema->kind == NACRE_KV ? &value : nulls));
    ANSWERED(db, nacre_commit(tx));
}

void visit_and_change(nacre_db *db) {
    nacre_membrane *membrane = NULL;
    nacre_schema schema = nacre_schema_kv(NACRE_TEXT, NACRE_TEXT);
    bool more = true;
    ANSWERED(db, nacre_membrane_open(db, "of the fuzzer", &schema, &membrane));
    for (uint32_t i = 0; i < 20 && nacre_membrane_at(db, i, &membrane) == NACRE_OK; i++) change_membrane(db, membrane);
    ANSWERED(db, nacre_checkpoint(db));
    for (int i = 0; i < 20 && more; i++)
        if (nacre_step(db, 1 << 16, &more) != NACRE_OK) break;
    if (nacre_membrane_at(db, 0, &membrane) == NACRE_OK) ANSWERED(db, nacre_clear(membrane, NULL, NULL));
    ANSWERED(db, nacre_compact(db, NULL));
}

void open_and_visit(const FuzzDisk *disk, bool read, int rounds) {
    nacre_options options = base_options(disk);
    if (read) options.mode = NACRE_READ;
    for (int round = 0; round < rounds; round++) {
        nacre_db *db = NULL;
        nacre_error error;
        nacre_status status = nacre_open("db", &options, &db, &error);
        MUST(status_is_an_answer(status));
        MUST(status == NACRE_OK || error.text[0]);
        if (status != NACRE_OK) return;
        visit_database(db);
        if (!read) visit_and_change(db);
        (void)nacre_close(db, &error);
    }
}
