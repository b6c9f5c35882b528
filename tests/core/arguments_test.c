/* arguments_test.c - every function of nacre.h with every kind of bad argument (C29). The
 * functions come from the header (lib/functions.h): a new one is called with what its
 * parameters' types say, and one with a type that is not known here fails the test.
 *
 * Each call has good arguments but for one. It must answer INVALID_ARGUMENT or what the table
 * `exceptions` says, tell why, leave out pointers alone, and the database must still work. */
#include "lib/check.h"
#include "lib/functions.h"

#include "base/limits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OUT_SIZE = 512, BADS_MAX = 96, KEYS = 7, FIELDS = 8, DIMENSIONS = 4 };
#define ANY_FAILURE ((nacre_status)-1)

static const nacre_field fields[FIELDS] = {{"i", NACRE_INTEGER, false}, {"r", NACRE_REAL, false},       {"b", NACRE_BOOLEAN, false}, {"t", NACRE_TEXT, false},
                                           {"x", NACRE_BYTES, false},   {"at", NACRE_TIMESTAMP, false}, {"j", NACRE_JSON, false},    {"big", NACRE_BIGINT, false}};
static const nacre_type key_types[KEYS] = {NACRE_TEXT,  NACRE_INTEGER,   NACRE_REAL,  NACRE_BOOLEAN,
                                           NACRE_BYTES, NACRE_TIMESTAMP, NACRE_BIGINT};

typedef struct World {
    nacre_db *db, *other;
    nacre_membrane *kv, *rows, *foreign; /* text to bytes; a collection with all types; another database's */
    nacre_snapshot *snapshot, *foreign_snapshot;
    nacre_cursor *cursor;
    nacre_batch *batch;
    nacre_transaction *tx;
    nacre_hits *hits;
    nacre_bulk *bulk;
    nacre_value_writer *writer;
    nacre_value_reader *reader;
    nacre_view *view;
    nacre_changes *changes;
    nacre_backup *backup;
    nacre_archive *archive;
    nacre_restore *restore; /* that checks, and makes nothing */
    uint64_t serial;
    nacre_value kv_key, kv_value, key[KEYS], row[FIELDS];
    float vector[DIMENSIONS];
    uint8_t out[OUT_SIZE];
    nacre_error error;
    bool collection; /* the good arguments are of `rows`, else of `kv` */
} World;

static nacre_value of_type(nacre_type type, int64_t integer) {
    nacre_value value = nacre_integer(integer);
    value.type = type;
    return value;
}

static void good_values(World *w) {
    w->kv_key = nacre_text("key"), w->kv_value = nacre_bytes("value", 5);
    const nacre_value key[KEYS] = {nacre_text("k"), nacre_integer(1), nacre_real(0.5), nacre_boolean(true),
                                   nacre_bytes("\0", 1), nacre_timestamp(5), of_type(NACRE_BIGINT, 9)};
    const nacre_value row[FIELDS] = {nacre_integer(1), nacre_real(1), nacre_boolean(false), nacre_text("t"),
                                     nacre_bytes("x", 1), nacre_timestamp(1), nacre_json("[1]"), of_type(NACRE_BIGINT, 1)};
    memcpy(w->key, key, sizeof key);
    memcpy(w->row, row, sizeof row);
    for (int i = 0; i < DIMENSIONS; i++) w->vector[i] = 1;
}

static nacre_schema rows_schema(void) {
    nacre_schema schema = nacre_schema_collection(NACRE_TEXT, DIMENSIONS, NACRE_COSINE, fields, FIELDS);
    schema.key_count = KEYS;
    memcpy(schema.key_types, key_types, sizeof key_types);
    return schema;
}

/* Opens whatever is not there. */
static bool world_open(World *w) {
    good_values(w);
    nacre_options options = NACRE_OPTIONS_INIT;
    options.seed = 1, options.memory = 16 << 20;
    nacre_schema kv = nacre_schema_kv(NACRE_TEXT, NACRE_BYTES), rows = rows_schema();
    if (!w->other) {
        nacre_status status = nacre_open(":memory:", &options, &w->other, NULL);
        if (status == NACRE_OK) status = nacre_membrane_open(w->other, "kv", &kv, &w->foreign);
        if (status == NACRE_OK) status = nacre_snapshot_open(w->other, &w->foreign_snapshot);
        if (!CHECK_EQ(status, NACRE_OK)) return false;
    }
    nacre_status status = NACRE_OK;
    if (!w->db) {
        status = nacre_open(":memory:", &options, &w->db, NULL);
        if (status == NACRE_OK) status = nacre_membrane_open(w->db, "kv", &kv, &w->kv);
        if (status == NACRE_OK) status = nacre_membrane_open(w->db, "rows", &rows, &w->rows);
        if (status == NACRE_OK) status = nacre_put(w->kv, &w->kv_key, NULL, &w->kv_value);
        if (status == NACRE_OK) status = nacre_put(w->rows, w->key, w->vector, w->row);
    }
    if (status == NACRE_OK && !w->snapshot) status = nacre_snapshot_open(w->db, &w->snapshot);
    if (status == NACRE_OK && !w->cursor) status = nacre_cursor_open(w->collection ? w->rows : w->kv, NULL, NULL, &w->cursor);
    if (status == NACRE_OK && !w->batch) status = nacre_batch_begin(w->db, &w->batch);
    if (status == NACRE_OK && !w->hits) status = nacre_search(w->rows, NULL, w->vector, NULL, &w->hits);
    if (status == NACRE_OK && !w->bulk) status = nacre_bulk_begin(w->collection ? w->rows : w->kv, &w->bulk);
    if (status == NACRE_OK && !w->writer) status = nacre_value_begin(w->kv, &w->kv_key, NULL, &w->writer);
    if (status == NACRE_OK && !w->reader) status = nacre_value_open(w->kv, NULL, &w->kv_key, &w->reader);
    if (status == NACRE_OK && !w->view) status = nacre_get_pinned(w->kv, NULL, &w->kv_key, &w->view);
    if (status == NACRE_OK && !w->changes) status = nacre_changes_open(w->db, NACRE_CHANGES_NOW, &w->changes);
    if (status == NACRE_OK && !w->backup) status = nacre_backup_begin(w->db, NULL, &w->backup);
    if (status == NACRE_OK && !w->archive) {
        uint64_t oldest = 0, newest = 0;
        status = nacre_changes_bounds(w->db, &oldest, &newest);
        if (status == NACRE_OK) status = nacre_archive_open(w->db, newest, &w->archive);
    }
    if (status == NACRE_OK && !w->restore) status = nacre_restore_begin(NULL, NULL, NULL, &w->restore, NULL);
    if (status == NACRE_OK && !w->tx) {
        status = nacre_begin(w->db, &w->tx);
        if (status == NACRE_OK) status = nacre_savepoint(w->tx, &w->serial);
    }
    return CHECK_EQ(status, NACRE_OK);
}

/* Everything goes with its database. */
static void world_close(World *w) {
    nacre_restore_abort(w->restore); /* but for this */
    CHECK_EQ(nacre_close(w->db, NULL), NACRE_OK);
    CHECK_EQ(nacre_close(w->other, NULL), NACRE_OK);
}

/* The database is as it was, and works. */
static bool world_works(World *w) {
    nacre_row row;
    bool works = nacre_get(w->kv, NULL, &w->kv_key, &row) == NACRE_OK && row.fields[0].bytes.size == 5 &&
                 nacre_get(w->rows, NULL, w->key, &row) == NACRE_OK && row.fields[0].integer == 1;
    return works;
}

/* ---- good arguments ---- */

static bool is(const char *a, const char *b) { return strcmp(a, b) == 0; }
static bool begins(const char *a, const char *b) { return strncmp(a, b, strlen(b)) == 0; }

static nacre_status each_nothing(void *self, size_t index, const nacre_row *row) {
    (void)self, (void)index, (void)row;
    return NACRE_OK;
}
static void on_nothing(void *self, const nacre_commit_info *commit) { (void)self, (void)commit; }
static void no_problem(void *self, const char *where, uint64_t offset, const char *what) {
    (void)self, (void)where, (void)offset, (void)what;
}

static void found_nothing(void *self, const nacre_finding *finding) { (void)self, (void)finding; }
static void no_line(void *self, const char *json) { (void)self, (void)json; }

static const nacre_range all_rows = NACRE_RANGE_INIT;
static const nacre_put_options plain_put = NACRE_PUT_INIT;
static const nacre_search_options plain_search = NACRE_SEARCH_INIT;
static const nacre_restore_options plain_restore = NACRE_RESTORE_INIT;
static nacre_options plain_options;
static nacre_schema plain_schema;

static bool is_out(const char *type) {
    size_t size = strlen(type);
    return (size > 2 && is(type + size - 2, "**")) || is(type, "uint64_t *") || is(type, "bool *") || is(type, "float *") ||
           is(type, "nacre_row *") || is(type, "nacre_change *") || is(type, "nacre_compact_report *") || is(type, "nacre_error *") ||
           is(type, "void *") || is(type, "size_t *") || is(type, "nacre_backup_info *") || is(type, "nacre_repair_report *") ||
           is(type, "nacre_search_report *");
}

/* By type, and by name where one type means several things; false: it is not known here. */
static bool good_argument(World *w, const ApiFunction *f, int index, ApiArgument *a) {
    const char *type = f->parameters[index].type, *name = f->parameters[index].name;
    const struct {
        const char *type;
        const void *good;
    } pointers[] = {
        {"nacre_db *", w->db},
        {"const nacre_db *", w->db},
        {"nacre_membrane *", w->collection ? w->rows : w->kv},
        {"const nacre_membrane *", w->rows},
        {"nacre_snapshot *", w->snapshot},
        {"const nacre_snapshot *", w->snapshot},
        {"nacre_cursor *", w->cursor},
        {"nacre_batch *", w->batch},
        {"nacre_transaction *", w->tx},
        {"const nacre_transaction *", w->tx},
        {"nacre_hits *", w->hits},
        {"const nacre_hits *", w->hits},
        {"nacre_bulk *", w->bulk},
        {"nacre_value_writer *", w->writer},
        {"nacre_value_reader *", w->reader},
        {"const nacre_value_reader *", w->reader},
        {"nacre_view *", w->view},
        {"const nacre_view *", w->view},
        {"nacre_changes *", w->changes},
        {"nacre_backup *", w->backup},
        {"nacre_archive *", w->archive},
        {"nacre_restore *", w->restore},
        {"const nacre_restore *", w->restore},
        {"const nacre_restore_options *", &plain_restore},
        {"const nacre_span *", NULL}, /* a full backup */
        {"const nacre_range *", &all_rows},
        {"const nacre_put_options *", &plain_put},
        {"const nacre_search_options *", &plain_search},
        {"const nacre_options *", &plain_options},
        {"const nacre_schema *", &plain_schema},
        {"const nacre_field *", fields},
        {"const float *", w->collection ? w->vector : NULL},
        {"const void *", "some bytes"},
        {"const uint8_t *", "a key, which has thirty-two bytes"},
    };
    a->number = 0;
    if (is(type, "const nacre_value *")) {
        if (is(name, "fields")) a->pointer = w->collection ? w->row : &w->kv_value;
        else a->pointer = w->collection ? w->key : &w->kv_key;
        return true;
    }
    if (is(type, "const char *")) {
        a->pointer = is(f->name, "nacre_restore_begin") ? NULL : is(name, "path") ? ":memory:" : is(name, "text") ? "1" : is(name, "to") ? "renamed" : "kv";
        return true;
    }
    for (size_t i = 0; i < sizeof pointers / sizeof *pointers; i++)
        if (is(type, pointers[i].type)) return a->pointer = pointers[i].good, true;
    if (is(type, "nacre_error *")) return a->pointer = &w->error, true;
    if (is_out(type)) return a->pointer = w->out, true;
    if (is(type, "nacre_each_row *")) return a->function = (void (*)(void))each_nothing, true;
    if (is(type, "nacre_commit_hook *")) return a->function = (void (*)(void))on_nothing, true;
    if (is(type, "nacre_problem *")) return a->function = (void (*)(void))no_problem, true;
    if (is(type, "nacre_found *")) return a->function = (void (*)(void))found_nothing, true;
    if (is(type, "nacre_line *")) return a->function = (void (*)(void))no_line, true;
    if (is(type, "double")) return a->real = 1, true;
    if (is(type, "nacre_status")) return true;
    if (begins(type, "nacre_") && !strchr(type, '*')) return a->number = 1, true; /* an enum */
    if (is(name, "size") || is(name, "count") || is(name, "dimensions")) return a->number = 1, true;
    if (is(name, "serial")) return a->number = w->serial, true;
    if (is(name, "since") && is(f->name, "nacre_archive_open")) {
        uint64_t oldest = 0, newest = 0;
        CHECK_EQ(nacre_changes_bounds(w->db, &oldest, &newest), NACRE_OK);
        return a->number = newest, true;
    }
    if (is(name, "since")) return a->number = NACRE_CHANGES_NOW, true;
    return is(type, "uint64_t") || is(type, "uint32_t") || is(type, "int64_t") || is(type, "size_t") || is(type, "bool");
}

static bool good_arguments(World *w, const ApiFunction *f, ApiArgument *a) {
    plain_options = (nacre_options)NACRE_OPTIONS_INIT;
    plain_schema = nacre_schema_kv(NACRE_TEXT, NACRE_BYTES);
    memset(w->out, 0x5a, sizeof w->out);
    for (int i = 0; i < f->parameter_count; i++)
        if (!good_argument(w, f, i, &a[i])) {
            printf("  %s: no good argument is known for %s %s\n", f->name, f->parameters[i].type, f->parameters[i].name);
            return CHECK(false);
        }
    return true;
}

/* Handles that a call has taken are forgotten, those it has made are closed. */
static void settle(World *w, const ApiFunction *f, const ApiArgument *a, nacre_status status) {
    static const struct {
        const char *name;
        size_t handle;
    } takers[] = {{"nacre_close", offsetof(World, db)},
                  {"nacre_batch_commit", offsetof(World, batch)},
                  {"nacre_batch_abort", offsetof(World, batch)},
                  {"nacre_value_finish", offsetof(World, writer)},
                  {"nacre_value_abort", offsetof(World, writer)},
                  {"nacre_value_close", offsetof(World, reader)},
                  {"nacre_bulk_commit", offsetof(World, bulk)},
                  {"nacre_bulk_abort", offsetof(World, bulk)},
                  {"nacre_snapshot_release", offsetof(World, snapshot)},
                  {"nacre_cursor_close", offsetof(World, cursor)},
                  {"nacre_commit", offsetof(World, tx)},
                  {"nacre_rollback", offsetof(World, tx)},
                  {"nacre_hits_free", offsetof(World, hits)},
                  {"nacre_view_release", offsetof(World, view)},
                  {"nacre_changes_close", offsetof(World, changes)},
                  {"nacre_backup_end", offsetof(World, backup)},
                  {"nacre_archive_close", offsetof(World, archive)},
                  {"nacre_restore_finish", offsetof(World, restore)},
                  {"nacre_restore_abort", offsetof(World, restore)}};
    void *made = NULL;
    memcpy(&made, w->out, sizeof made);
    for (size_t i = 0; i < sizeof takers / sizeof *takers; i++)
        if (is(f->name, takers[i].name) && a[0].pointer) memset((char *)w + takers[i].handle, 0, sizeof(void *));
    if (is(f->name, "nacre_close") && a[0].pointer) { /* all handles went with it */
        nacre_db *other = w->other;
        nacre_membrane *foreign = w->foreign;
        nacre_snapshot *foreign_snapshot = w->foreign_snapshot;
        bool collection = w->collection;
        nacre_restore *restore = w->restore;
        memset(w, 0, sizeof *w);
        w->other = other, w->foreign = foreign, w->foreign_snapshot = foreign_snapshot, w->collection = collection;
        w->restore = restore;
    }
    if (is(f->name, "nacre_savepoint_release") || is(f->name, "nacre_rollback_to") || begins(f->name, "nacre_transaction_") ||
        begins(f->name, "nacre_bulk_put") || is(f->name, "nacre_value_append") || is(f->name, "nacre_membrane_drop") ||
        is(f->name, "nacre_membrane_rename") || is(f->name, "nacre_clear") || is(f->name, "nacre_delete")) {
        if (status == NACRE_OK) { /* another state than the good arguments are made for */
            CHECK_EQ(nacre_close(w->db, NULL), NACRE_OK);
            settle(w, &(ApiFunction){.name = "nacre_close"}, &(ApiArgument){.pointer = w}, NACRE_OK);
        }
    }
    if (status != NACRE_OK) return;
    if (w->db && strstr(f->name, "put")) CHECK_EQ(nacre_put(w->rows, w->key, w->vector, w->row), NACRE_OK); /* as it was */
    if (is(f->name, "nacre_open")) CHECK_EQ(nacre_close(made, NULL), NACRE_OK);
    else if (is(f->name, "nacre_batch_begin")) nacre_batch_abort(made);
    else if (is(f->name, "nacre_snapshot_open")) nacre_snapshot_release(made);
    else if (is(f->name, "nacre_cursor_open")) nacre_cursor_close(made);
    else if (is(f->name, "nacre_value_begin")) nacre_value_abort(made);
    else if (is(f->name, "nacre_value_open")) nacre_value_close(made);
    else if (is(f->name, "nacre_bulk_begin")) nacre_bulk_abort(made);
    else if (is(f->name, "nacre_begin")) nacre_rollback(made);
    else if (is(f->name, "nacre_search") || is(f->name, "nacre_search_many")) nacre_hits_free(made);
    else if (is(f->name, "nacre_get_pinned")) nacre_view_release(made);
    else if (is(f->name, "nacre_changes_open")) nacre_changes_close(made);
    else if (is(f->name, "nacre_backup_begin") || is(f->name, "nacre_archive_begin")) nacre_backup_end(made);
    else if (is(f->name, "nacre_archive_open")) nacre_archive_close(made);
    else if (is(f->name, "nacre_restore_begin")) nacre_restore_abort(made);
}

/* Of files that are not open: no database concerns them. */
static bool of_files(const ApiFunction *f) {
    return is(f->name, "nacre_verify_files") || is(f->name, "nacre_repair") || is(f->name, "nacre_inspect");
}

/* ---- bad ones ---- */

typedef struct Bad {
    const char *what;
    ApiArgument argument;
    nacre_status want; /* NACRE_OK: no failure, ANY_FAILURE: some */
} Bad;
typedef struct Bads {
    Bad items[BADS_MAX];
    int count;
} Bads;

static void bad_pointer(Bads *bads, const char *what, const void *pointer, nacre_status want) {
    CHECK(bads->count < BADS_MAX);
    if (bads->count < BADS_MAX) bads->items[bads->count++] = (Bad){what, {.pointer = pointer}, want};
}
static void bad_number(Bads *bads, const char *what, uint64_t number, nacre_status want) {
    CHECK(bads->count < BADS_MAX);
    if (bads->count < BADS_MAX) bads->items[bads->count++] = (Bad){what, {.number = number}, want};
}

/* Where NULL is fine, or something else is answered. */
static const struct {
    const char *function, *parameter;
    nacre_status want;
} exceptions[] = {
    {"nacre_close", "db", NACRE_OK},
    {"nacre_open", "options", NACRE_OK},
    {"nacre_backup_begin", "base", NACRE_OK},
    {"nacre_backup_encrypt", "key", NACRE_OK},
    {"nacre_restore_begin", "path", NACRE_OK},
    {"nacre_restore_begin", "options", NACRE_OK},
    {"nacre_restore_begin", "until", NACRE_OK},
    {"nacre_restore_finish", "db", ANY_FAILURE}, /* nothing was given to it */
    {"nacre_restore_finish", "error", ANY_FAILURE},
    {"nacre_membrane_open", "schema", NACRE_OK}, /* "kv" is there */
    {"nacre_put_with", "options", NACRE_OK},
    {"nacre_batch_put_with", "options", NACRE_OK},
    {"nacre_bulk_put_with", "options", NACRE_OK},
    {"nacre_transaction_put_with", "options", NACRE_OK},
    {"nacre_value_begin", "options", NACRE_OK},
    {"nacre_search", "options", NACRE_OK},
    {"nacre_search_many", "options", NACRE_OK},
    {"nacre_search_explain", "options", NACRE_OK},
    {"nacre_count", "range", NACRE_OK},
    {"nacre_clear", "range", NACRE_OK},
    {"nacre_clear", "removed", NACRE_OK},
    {"nacre_transaction_clear", "range", NACRE_OK},
    {"nacre_transaction_clear", "removed", NACRE_OK},
    {"nacre_cursor_open", "range", NACRE_OK},
    {"nacre_bulk_commit", "rows", NACRE_OK},
    {"nacre_hits_at", "distance", NACRE_OK},
    {"nacre_hits_at", "row", NACRE_OK},
    {"nacre_on_commit", "hook", NACRE_OK},
    {"nacre_verify", "problem", NACRE_OK},
    {"nacre_verify", "problems", NACRE_OK},
    {"nacre_compact", "report", NACRE_OK},
    {"nacre_get_many", "self", NACRE_OK},
    {"nacre_on_commit", "self", NACRE_OK},
    {"nacre_verify", "self", NACRE_OK},
    {"nacre_verify_files", "options", ANY_FAILURE}, /* there are no such files */
    {"nacre_verify_files", "problem", ANY_FAILURE},
    {"nacre_verify_files", "self", ANY_FAILURE},
    {"nacre_verify_files", "problems", ANY_FAILURE},
    {"nacre_verify_files", "error", ANY_FAILURE},
    {"nacre_repair", "options", ANY_FAILURE},
    {"nacre_repair", "found", ANY_FAILURE},
    {"nacre_repair", "self", ANY_FAILURE},
    {"nacre_repair", "report", ANY_FAILURE},
    {"nacre_repair", "error", ANY_FAILURE},
    {"nacre_inspect", "options", ANY_FAILURE},
    {"nacre_inspect", "self", ANY_FAILURE},
    {"nacre_inspect", "error", ANY_FAILURE},
};

static nacre_status want_of_null(const ApiFunction *f, int index) {
    const char *type = f->parameters[index].type, *name = f->parameters[index].name;
    for (size_t i = 0; i < sizeof exceptions / sizeof *exceptions; i++)
        if (is(exceptions[i].function, f->name) && is(exceptions[i].parameter, name)) return exceptions[i].want;
    if (!is(f->returns, "nacre_status")) return NACRE_OK;          /* nothing to answer: it must only survive */
    if (is(type, "const nacre_snapshot *")) return NACRE_OK;        /* the newest state */
    if (is(type, "nacre_error *")) return NACRE_OK;
    return NACRE_INVALID_ARGUMENT;
}

static const nacre_value *put_in(nacre_value *copy, const nacre_value *good, size_t count, size_t at, nacre_value bad) {
    memcpy(copy, good, count * sizeof *copy);
    copy[at] = bad;
    return copy;
}

enum { COPIES = 40 };
static nacre_value copies[COPIES][FIELDS];
static uint8_t zeros[LIMIT_KEY_SIZE + 1];

/* Values that do not fit `type`. */
static int misfits(nacre_type type, bool of_key, nacre_value *out) {
    int n = 0;
    static const uint8_t not_utf8[] = {0xed, 0xa0, 0x80};
    out[n++] = of_type((nacre_type)99, 1);
    if (of_key) out[n++] = nacre_null();
    out[n++] = type == NACRE_REAL ? nacre_text("1") : type == NACRE_BOOLEAN ? nacre_bytes("1", 1) : nacre_boolean(true);
    if (type == NACRE_BOOLEAN) out[n++] = of_type(NACRE_BOOLEAN, 2);
    if (type == NACRE_REAL) out[n++] = nacre_real((double)NAN);
    if (type == NACRE_TIMESTAMP) out[n++] = nacre_timestamp(LIMIT_TIMESTAMP_MS + 1), out[n++] = nacre_timestamp(INT64_MIN);
    if (type == NACRE_TEXT || type == NACRE_JSON) out[n] = nacre_text_sized((const char *)not_utf8, 3), out[n++].type = type;
    if (type == NACRE_JSON) out[n++] = nacre_json("{\"a\":1"), out[n++] = nacre_json(""), out[n++] = nacre_json("1 2");
    if (type == NACRE_TEXT || type == NACRE_BYTES || type == NACRE_JSON) {
        out[n] = nacre_bytes(NULL, 3), out[n++].type = type;
        out[n] = nacre_bytes(zeros, SIZE_MAX), out[n++].type = type; /* judged before a byte is read */
        if (of_key) out[n] = nacre_bytes(zeros, LIMIT_KEY_SIZE + 1), out[n++].type = type;
        else out[n] = nacre_bytes(zeros, (size_t)LIMIT_VALUE_SIZE + 1), out[n++].type = type;
    }
    return n;
}

static void bad_values(World *w, Bads *bads, const char *name, int round) {
    nacre_value some[16];
    bool of_key = !is(name, "fields");
    const nacre_value *good = of_key ? (w->collection ? w->key : &w->kv_key) : w->collection ? w->row : &w->kv_value;
    size_t count = !w->collection ? 1 : of_key ? KEYS : FIELDS, at = (size_t)round;
    if (at >= count) return;
    nacre_type type = !w->collection ? (of_key ? NACRE_TEXT : NACRE_BYTES) : of_key ? key_types[at] : fields[at].type;
    int n = misfits(type, of_key, some);
    for (int i = 0; i < n; i++) bad_pointer(bads, "a value that does not fit", put_in(copies[i], good, count, at, some[i]), NACRE_INVALID_ARGUMENT);
}

static void bad_names(Bads *bads, const ApiFunction *f, const char *name) {
    static char long_name[LIMIT_NAME_SIZE + 2], very_long[100000];
    static const char *const names[] = {"", ".", "..", "a/b", "a\\b", "a\nb", "\x7f", "\xff", "\xc0\x80", "\xed\xa0\x80", "caf\xc3"};
    if (is(name, "path")) {
        bad_pointer(bads, "an empty path", "", ANY_FAILURE);
        bad_pointer(bads, "a path below no folder", "/nowhere/at/all/db", ANY_FAILURE);
        return;
    }
    memset(long_name, 'n', sizeof long_name - 1);
    memset(very_long, 'n', sizeof very_long - 1);
    nacre_status too_long = is(f->name, "nacre_repair") ? ANY_FAILURE : NACRE_INVALID_ARGUMENT; /* names of files */
    bad_pointer(bads, "a name too long", long_name, too_long);
    bad_pointer(bads, "a name far too long", very_long, too_long);
    /* To drop or rename what cannot be there, NOT_FOUND says as much. */
    nacre_status want = is(f->name, "nacre_membrane_drop") || is(f->name, "nacre_repair") || is(name, "from") ? ANY_FAILURE : NACRE_INVALID_ARGUMENT;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) bad_pointer(bads, names[i], names[i], want);
}

static void bad_vectors(World *w, Bads *bads) {
    static float vectors[4][DIMENSIONS];
    if (!w->collection) {
        bad_pointer(bads, "a vector where there is none", w->vector, NACRE_INVALID_ARGUMENT);
        return;
    }
    for (int i = 0; i < 4; i++)
        for (int d = 0; d < DIMENSIONS; d++) vectors[i][d] = i == 3 ? 0 : 1;
    vectors[0][DIMENSIONS - 1] = NAN, vectors[1][0] = INFINITY, vectors[2][1] = -INFINITY;
    for (int i = 0; i < 4; i++) bad_pointer(bads, "a vector that is no direction", vectors[i], NACRE_INVALID_ARGUMENT);
}

static const size_t wrong_sizes[] = {0, 1, sizeof(size_t), SIZE_MAX};
/* A struct that says how small it is: nothing behind may be looked at. */
static size_t *tiny;

static void bad_tiny(Bads *bads) {
    if (!tiny) tiny = malloc(sizeof *tiny);
    if (tiny) *tiny = sizeof *tiny;
    bad_pointer(bads, "a struct that is too small", tiny, NACRE_INVALID_ARGUMENT);
}

static void bad_ranges(World *w, Bads *bads, const ApiFunction *f) {
    static nacre_range ranges[20];
    static nacre_value wrong;
    int n = 0;
    for (size_t i = 0; i < 4; i++) ranges[n] = all_rows, ranges[n++].struct_size = wrong_sizes[i];
    ranges[n] = all_rows, ranges[n++].bound_count = w->collection ? KEYS + 1 : 2;
    ranges[n] = all_rows, ranges[n++].bound_count = UINT32_MAX;
    wrong = nacre_real((double)NAN);
    for (int i = 0; i < 5; i++) {
        ranges[n] = all_rows, ranges[n].bound_count = 1;
        *(i == 0 ? &ranges[n].gt : i == 1 ? &ranges[n].gte : i == 2 ? &ranges[n].lt : i == 3 ? &ranges[n].lte : &ranges[n].prefix) = &wrong;
        n++;
    }
    ranges[n] = all_rows, ranges[n++].where_size = 5;
    ranges[n] = all_rows, ranges[n++].where_json = "{";
    ranges[n] = all_rows, ranges[n++].where_json = "{\"nobody\":1}";
    ranges[n] = all_rows, ranges[n].gte = &wrong, ranges[n].bound_count = 1, ranges[n++].where_json = "{}";
    if (w->collection) ranges[n] = all_rows, ranges[n].bound_count = 2, ranges[n++].prefix = w->key; /* ends with an integer */
    if (strstr(f->name, "clear")) {
        ranges[n] = all_rows, ranges[n++].limit = 1;
        ranges[n] = all_rows, ranges[n++].reverse = true;
    }
    for (int i = 0; i < n; i++) bad_pointer(bads, "a range that cannot be", &ranges[i], NACRE_INVALID_ARGUMENT);
}

static void bad_put_options(Bads *bads) {
    static nacre_put_options options[8];
    int n = 0;
    for (size_t i = 0; i < 4; i++) options[n] = plain_put, options[n++].struct_size = wrong_sizes[i];
    options[n] = plain_put, options[n++].ttl_ms = (uint64_t)LIMIT_TIMESTAMP_MS + 1;
    options[n] = plain_put, options[n++].ttl_ms = UINT64_MAX - 1;
    for (int i = 0; i < n; i++) bad_pointer(bads, "options of a put that cannot be", &options[i], NACRE_INVALID_ARGUMENT);
}

static void bad_search_options(Bads *bads) {
    static nacre_search_options options[32];
    static const char *const filters[] = {"", "{", "[]", "{\"nobody\":1}", "{\"i\":{\"like\":1}}", "{\"i\":\"one\"}",
                                          "{\"t\":{\"gt\":null}}", "{\"r\":NaN}", "\xff", "{\"and\":{}}"};
    int n = 0;
    for (size_t i = 0; i < 4; i++) options[n] = plain_search, options[n++].struct_size = wrong_sizes[i];
    options[n] = plain_search, options[n++].k = LIMIT_K + 1;
    options[n] = plain_search, options[n++].k = UINT32_MAX;
    options[n] = plain_search, options[n++].where_size = 5;
    options[n] = plain_search, options[n++].recall = 1.5f;
    options[n] = plain_search, options[n++].recall = -0.1f;
    options[n] = plain_search, options[n++].recall = NAN;
    options[n] = plain_search, options[n].exact = true, options[n++].recall = 0.5f;
    options[n] = plain_search, options[n].exact = true, options[n++].probes = 1;
    options[n] = plain_search, options[n].limited = true, options[n++].max_distance = NAN;
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) options[n] = plain_search, options[n++].where_json = filters[i];
    for (int i = 0; i < n; i++) bad_pointer(bads, "options of a search that cannot be", &options[i], NACRE_INVALID_ARGUMENT);
}

static void *one_alloc(void *self, size_t size) {
    (void)self;
    return malloc(size);
}

static void bad_options(Bads *bads) {
    static nacre_options options[40];
    int n = 0;
#define WITH(change) options[n] = (nacre_options)NACRE_OPTIONS_INIT, options[n].change, n++
    for (size_t i = 0; i < 4; i++) WITH(struct_size = wrong_sizes[i]);
    WITH(mode = (nacre_mode)9);
    WITH(durability = (nacre_durability)9);
    WITH(lock = (nacre_lock)9);
    WITH(memory = 1);
    WITH(memory = UINT64_MAX);
    WITH(memtable_size = 1);
    WITH(memtable_size = UINT64_MAX);
    WITH(segment_size = 1);
    WITH(segment_size = UINT64_MAX);
    WITH(database_size = 1);
    WITH(database_size = UINT64_MAX);
    WITH(block_size = 1);
    WITH(block_size = 4097);
    WITH(block_size = UINT32_MAX);
    WITH(filter_bits = 33);
    WITH(relaxed_ms = UINT32_MAX);
    WITH(checkpoint_ms = UINT32_MAX);
    WITH(changes_size = UINT64_MAX);
    WITH(mapped = true), options[n - 1].mode = NACRE_READ;
    WITH(allocator.alloc = one_alloc); /* without a free */
#undef WITH
    for (int i = 0; i < n; i++)
        bad_pointer(bads, "options that cannot be", &options[i], options[i].mapped ? NACRE_UNSUPPORTED : NACRE_INVALID_ARGUMENT);
}

static void bad_schemas(Bads *bads) {
    static nacre_schema schemas[64];
    static nacre_field wrong[8][2];
    static char long_name[LIMIT_NAME_SIZE + 2];
    static const char *const names[8] = {NULL, "", "i", "key", "\xff", "a\nb", long_name, "vector"};
    nacre_schema kv = nacre_schema_kv(NACRE_TEXT, NACRE_BYTES), rows = rows_schema();
    int n = 0;
    memset(long_name, 'n', sizeof long_name - 1);
#define KV(change) schemas[n] = kv, schemas[n].change, n++
#define ROWS(change) schemas[n] = rows, schemas[n].change, n++
    for (size_t i = 0; i < 4; i++) KV(struct_size = wrong_sizes[i]);
    KV(kind = (nacre_kind)0);
    KV(kind = (nacre_kind)9);
    KV(key_count = 0);
    KV(key_count = NACRE_KEY_PARTS_MAX + 1);
    KV(key_count = UINT32_MAX);
    KV(key_types[0] = NACRE_NULL);
    KV(key_types[0] = NACRE_JSON);
    KV(key_types[0] = (nacre_type)99);
    KV(value_type = NACRE_INTEGER);
    KV(value_type = (nacre_type)-1);
    KV(dimensions = 3);
    KV(metric = NACRE_L2);
    KV(ttl_ms = (uint64_t)LIMIT_TIMESTAMP_MS + 1);
    KV(block_size = 4095);
    KV(block_size = 1u << 31);
    KV(compression = (nacre_compression)9);
    ROWS(dimensions = 0);
    ROWS(dimensions = LIMIT_DIMENSIONS + 1);
    ROWS(dimensions = UINT32_MAX);
    ROWS(metric = (nacre_metric)0);
    ROWS(metric = (nacre_metric)9);
    int unsupported = n;
    ROWS(element = (nacre_element)9);
    ROWS(fields = NULL);
    ROWS(field_count = LIMIT_FIELDS + 1);
    ROWS(field_count = UINT32_MAX);
    ROWS(value_type = NACRE_TEXT);
    for (int i = 0; i < 8; i++) {
        wrong[i][0] = (nacre_field){"i", NACRE_INTEGER, false};
        wrong[i][1] = (nacre_field){names[i], NACRE_TEXT, false};
        ROWS(fields = wrong[i]);
        schemas[n - 1].field_count = 2;
    }
    static nacre_field untyped[2] = {{"a", NACRE_NULL, false}, {"a", (nacre_type)99, false}};
    for (int i = 0; i < 2; i++) {
        ROWS(fields = &untyped[i]);
        schemas[n - 1].field_count = 1;
    }
#undef KV
#undef ROWS
    for (int i = 0; i < n; i++) bad_pointer(bads, "a schema that cannot be", &schemas[i], i == unsupported ? NACRE_UNSUPPORTED : NACRE_INVALID_ARGUMENT);
}

static void bad_restore_options(Bads *bads) {
    static nacre_restore_options options[4];
    for (size_t i = 0; i < 4; i++) {
        options[i] = plain_restore, options[i].struct_size = wrong_sizes[i];
        bad_pointer(bads, "options of a restore that cannot be", &options[i], NACRE_INVALID_ARGUMENT);
    }
}

static void bad_tokens(Bads *bads) {
    static const nacre_span tokens[] = {{NULL, 0}, {NULL, 9}, {"no token", 8}, {zeros, sizeof zeros}};
    for (size_t i = 0; i < 4; i++) bad_pointer(bads, "no token of a backup", &tokens[i], NACRE_INVALID_ARGUMENT);
}

/* Everything that is bad in the place of one parameter. */
static void bad_arguments(World *w, const ApiFunction *f, int index, int round, Bads *bads) {
    const char *type = f->parameters[index].type, *name = f->parameters[index].name;
    bool answers = is(f->returns, "nacre_status");
    bads->count = 0;
    if (round == 0 && strchr(type, '*')) {
        nacre_status want = want_of_null(f, index);
        bool vector = is(type, "const float *");
        if (vector && !w->collection) want = NACRE_OK;
        if (is(name, "fields") && w->collection) want = NACRE_OK; /* all are null */
        bad_pointer(bads, "NULL", NULL, want);
    }
    if (!answers) return; /* makers of values check nothing, and go nowhere */
    if (is(type, "const nacre_value *")) bad_values(w, bads, name, round);
    if (round > 0) return;
    if (is(type, "const char *")) bad_names(bads, f, name);
    if (is(type, "const float *")) bad_vectors(w, bads);
    if (is(type, "const nacre_range *") || strstr(type, "_options *") || is(type, "const nacre_schema *")) bad_tiny(bads);
    if (is(type, "const nacre_range *")) bad_ranges(w, bads, f);
    if (is(type, "const nacre_put_options *")) bad_put_options(bads);
    if (is(type, "const nacre_search_options *")) bad_search_options(bads);
    if (is(type, "const nacre_options *")) bad_options(bads);
    if (is(type, "const nacre_schema *")) bad_schemas(bads);
    if (is(type, "const nacre_restore_options *")) bad_restore_options(bads);
    if (is(type, "const nacre_span *")) bad_tokens(bads);
    if (is(type, "const nacre_snapshot *")) bad_pointer(bads, "another database's snapshot", w->foreign_snapshot, NACRE_MISUSE);
    if (is(type, "nacre_membrane *") && index > 0) bad_pointer(bads, "another database's membrane", w->foreign, NACRE_MISUSE);
    if (is(name, "index")) bad_number(bads, "an index past the end", UINT32_MAX, NACRE_NOT_FOUND);
    if (is(name, "serial") && is(type, "uint64_t")) bad_number(bads, "a savepoint that never was", UINT64_MAX, NACRE_NOT_FOUND);
    if (is(name, "since")) bad_number(bads, "the future", UINT64_MAX - 5, NACRE_INVALID_ARGUMENT);
    if (is(name, "offset")) {
        bad_number(bads, "an offset past the end", 5, NACRE_INVALID_ARGUMENT);
        bad_number(bads, "an offset far past the end", UINT64_MAX, NACRE_INVALID_ARGUMENT);
    }
    if (is(name, "size") && is(f->name, "nacre_value_read")) {
        bad_number(bads, "more than there is", 6, NACRE_INVALID_ARGUMENT);
        bad_number(bads, "far more than there is", SIZE_MAX, NACRE_INVALID_ARGUMENT);
    }
    if (is(name, "size") && is(f->name, "nacre_value_append") && sizeof(size_t) > 4)
        bad_number(bads, "more than a value may have", (uint64_t)LIMIT_STREAM_SIZE + 1, NACRE_INVALID_ARGUMENT);
}

/* ---- the laws ---- */

static bool wants_vectors(const ApiFunction *f) { return begins(f->name, "nacre_search"); }
static bool wants_values(const ApiFunction *f) { return begins(f->name, "nacre_value_"); }

static void c29_every_function_takes_good_arguments(void) {
    World w = {0};
    int functions = 0;
    for (const ApiFunction *f = api_functions; f->name; f++, functions++) {
        ApiArgument a[API_PARAMETERS_MAX];
        for (int collection = 0; collection < 2; collection++) {
            if (collection ? wants_values(f) : wants_vectors(f)) continue;
            if (w.collection != (collection == 1)) {
                world_close(&w);
                w = (World){.collection = collection == 1};
            }
            REQUIRE(world_open(&w));
            if (is(f->name, "nacre_begin")) nacre_rollback(w.tx), w.tx = NULL;
            if (!good_arguments(&w, f, a)) continue;
            nacre_status status = f->call(a);
            bool fine = status == NACRE_OK || (is(f->name, "nacre_cursor_prev") && status == NACRE_NOT_FOUND) ||
                        (of_files(f) && (status == NACRE_NOT_FOUND || status == NACRE_PERMISSION)) || /* no such files; in WASI, no such folder */
                        (is(f->name, "nacre_rekey") && status == NACRE_UNSUPPORTED) || /* in memory */
                        (begins(f->name, "nacre_restore_") && status == NACRE_CORRUPT); /* that is no backup */
            if (!CHECK(fine)) printf("    %s: %s: %s\n", f->name, nacre_status_name(status), w.db ? nacre_message(w.db) : "");
            settle(&w, f, a, status);
        }
    }
    CHECK(functions >= 90);
    world_close(&w);
}

static bool all_untouched(const World *w) {
    for (size_t i = 0; i < sizeof w->out; i++)
        if (w->out[i] != 0x5a) return false;
    return true;
}

static int try_bad(World *w, const ApiFunction *f, int index, const Bad *bad) {
    ApiArgument a[API_PARAMETERS_MAX];
    if (!world_open(w) || !good_arguments(w, f, a)) return 0;
    a[index] = bad->argument;
    if (is(f->name, "nacre_begin") && bad->argument.pointer) return 0;
    nacre_status status = f->call(a);
    bool right = bad->want == ANY_FAILURE ? status != NACRE_OK : status == bad->want;
    if (bad->want == NACRE_OK && status == NACRE_NOT_FOUND) right = true; /* an answer, too */
    if (!CHECK(right))
        printf("    %s, %s: %s: %s (%s)\n", f->name, f->parameters[index].name, bad->what, nacre_status_name(status), nacre_message(w->db));
    if (status != NACRE_OK && status != NACRE_NOT_FOUND) {
        if (!CHECK(all_untouched(w))) printf("    %s, %s: %s: an out pointer was written to\n", f->name, f->parameters[index].name, bad->what);
        bool known = a[0].pointer && !is(f->name, "nacre_open") && !of_files(f) && w->db && !begins(f->name, "nacre_restore_"); /* which database it concerns */
        if (known && !CHECK(nacre_message(w->db)[0])) printf("    %s, %s: %s: no message\n", f->name, f->parameters[index].name, bad->what);
    }
    settle(w, f, a, status);
    if (w->db && !CHECK(world_works(w))) printf("    %s, %s: %s: the database is not as it was\n", f->name, f->parameters[index].name, bad->what);
    return 1;
}

static void bad_arguments_of(bool collection, int *calls) {
    World w = {.collection = collection};
    static Bads bads;
    for (const ApiFunction *f = api_functions; f->name; f++) {
        if (collection ? wants_values(f) : wants_vectors(f)) continue;
        for (int index = 0; index < f->parameter_count; index++)
            for (int round = 0; round < FIELDS; round++) {
                if (!world_open(&w)) return;
                bad_arguments(&w, f, index, round, &bads);
                for (int i = 0; i < bads.count; i++) {
                    if (!world_open(&w)) return; /* pointers into the world are made anew */
                    bad_arguments(&w, f, index, round, &bads);
                    *calls += try_bad(&w, f, index, &bads.items[i]);
                }
            }
    }
    world_close(&w);
}

static void c29_every_bad_argument_is_told_and_harms_nothing(void) {
    int calls = 0;
    bad_arguments_of(false, &calls);
    bad_arguments_of(true, &calls);
    CHECK(calls > 1000);
    printf("  %d calls with a bad argument\n", calls);
    free(tiny);
    tiny = NULL;
}

void arguments_test(void) {
    RUN(c29_every_function_takes_good_arguments);
    RUN(c29_every_bad_argument_is_told_and_harms_nothing);
}
