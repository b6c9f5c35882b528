/* api.h - what the files api*.c share: nacre.h's typed functions over db.h.
 *
 * 1. Nothing is known of what a caller passes: every pointer, number, size and text is
 *    asked for before anything below sees it. No input reaches an ASSERT.
 * 2. What callers hold (cursors, batches, hits) hangs in one list, so that nacre_close
 *    can release what is left.
 * 3. A row is shown as values that borrow from the row's bytes, and from an ApiRow. */
#ifndef DB_API_H
#define DB_API_H

#include "db/filter.h"
#include "db/keycode.h"
#include "db/row.h"
#include "db/state.h"

/* Where the values of one row that is shown lie. Zero is empty. */
typedef struct ApiRow {
    nacre_value *values; /* the key's parts, then the fields */
    uint8_t *room;       /* of the key's text without escapes */
    float *vector;
    size_t values_capacity, room_capacity, vector_capacity;
} ApiRow;

typedef enum ApiKind { API_CURSOR, API_BATCH, API_HITS, API_BULK, API_VIEW, API_CHANGES, API_BACKUP, API_ARCHIVE } ApiKind;

typedef struct ApiHandle {
    ApiKind kind;
    struct ApiHandle *next, *previous;
} ApiHandle;

typedef struct ApiState {
    ApiRow row;   /* what nacre_get showed */
    uint8_t *key; /* and its key, encoded */
    size_t key_capacity;
    ApiHandle *handles;
    uint8_t *spare; /* of the last batch, for the next one */
    size_t spare_capacity;
} ApiState;

void api_handle_add(Db *db, ApiHandle *handle, ApiKind kind);
void api_handle_remove(Db *db, ApiHandle *handle);

/* What was opened through db.h (taken, also on failure) becomes a handle of nacre.h. */
nacre_status api_adopt(Db *opened, nacre_db **db, nacre_error *error);
/* Begins a call: NACRE_MISUSE from within a callback. */
NACRE_CHECKED nacre_status api_enter(Db *db);
/* Begins a call on a membrane: NACRE_INVALID_ARGUMENT when it is NULL, NACRE_NOT_FOUND
 * when it was dropped. */
NACRE_CHECKED nacre_status api_call(const nacre_membrane *membrane);
/* NACRE_INVALID_ARGUMENT, "`what`: NULL". */
nacre_status api_null(Db *db, const char *what);

/* Decodes `view` into `store` and *row. NACRE_CORRUPT when it is malformed. */
NACRE_CHECKED nacre_status api_show(const Membrane *membrane, const RowView *view, ApiRow *store,
                                    nacre_row *row);
/* The same of a row of which only the key is known. */
NACRE_CHECKED nacre_status api_show_key(const Membrane *membrane, Span key, ApiRow *store, nacre_row *row);
void api_row_clear(Env *env, ApiRow *store);

/* Encodes a whole key into *memory, which grows as needed. */
NACRE_CHECKED nacre_status api_key(const Membrane *membrane, const nacre_value *key,
                                   uint8_t **memory, size_t *capacity, Span *encoded);

/* Finite, and not zero under cosine; "`what`: ..." says which. */
NACRE_CHECKED nacre_status api_check_vector(const Membrane *membrane, const char *what,
                                            const float *vector);

/* A caller's range as encoded bounds and filter; `range` may be NULL: everything. They
 * borrow from memory, which api_range_clear gives back. */
typedef struct ApiRange {
    KeyRange bounds;
    bool reverse;
    uint64_t limit; /* 0: none */
    uint8_t *memory;
    size_t size;
    FilterProgram program;
} ApiRange;
static inline Span api_range_filter(const ApiRange *range) { return span_of(range->program.data, range->program.size); }
NACRE_CHECKED nacre_status api_range(const Membrane *membrane, const nacre_range *range,
                                     ApiRange *out);
void api_range_clear(Env *env, ApiRange *range);

/* One record of record_format.h, measured and then written. */
typedef struct ApiRecord {
    const Membrane *membrane;
    const nacre_value *key, *fields; /* borrowed */
    const float *vector;
    size_t key_size, value_size;
    uint64_t size;
    bool delete;
    uint64_t expiry; /* as record_format.h has it; 0: none */
} ApiRecord;
NACRE_CHECKED nacre_status api_measure_put(const Membrane *membrane, const nacre_value *key,
                                           const float *vector, const nacre_value *fields,
                                           const nacre_put_options *options, ApiRecord *record);
/* The time at which a row put so ends, as record_format.h has it; 0: never. */
NACRE_CHECKED nacre_status api_expiry(const Membrane *membrane, const nacre_put_options *options,
                                      uint64_t *expiry);
NACRE_CHECKED nacre_status api_measure_delete(const Membrane *membrane, const nacre_value *key,
                                              ApiRecord *record);
void api_write_record(const ApiRecord *record, uint8_t *at);

/* Frees a handle of each kind; the list is the caller's affair. */
void api_cursor_free(nacre_cursor *cursor);
void api_batch_free(nacre_batch *batch);
void api_hits_free(nacre_hits *hits);
void api_bulk_free(nacre_bulk *bulk);
void api_view_free(nacre_view *view);
void api_changes_free(nacre_changes *changes);
void api_backup_free(nacre_backup *backup);
void api_archive_free(nacre_archive *archive);

#endif
