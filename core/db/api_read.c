/* api_read.c - reading: single rows, counting, snapshots, cursors. */
#include "db/api.h"

nacre_status nacre_get(nacre_membrane *membrane, const nacre_snapshot *snapshot,
                       const nacre_value *key, nacre_row *row) {
    RowView view;
    Span encoded;
    TRY(api_call(membrane));
    ApiState *api = membrane->db->api;
    if (!row) return api_null(membrane->db, "row");
    TRY(api_key(membrane, key, &api->key, &api->key_capacity, &encoded));
    TRY(db_get(membrane, snapshot, encoded, &view));
    return api_show(membrane, &view, &api->row, row);
}

typedef struct ApiMany {
    nacre_membrane *membrane;
    nacre_each_row *each;
    void *self;
    size_t first; /* index of the group's first key */
} ApiMany;

static nacre_status api_many_row(void *self, size_t index, const RowView *view) {
    const ApiMany *many = self;
    Db *db = many->membrane->db;
    nacre_row row;
    if (view) TRY(api_show(many->membrane, view, &db->api->row, &row));
    db->in_hook = true;
    nacre_status status = many->each(many->self, many->first + index, view ? &row : NULL);
    db->in_hook = false;
    return status;
}

/* Encodes a group of keys one behind the other. */
static nacre_status api_many_keys(nacre_membrane *membrane, const nacre_value *keys, size_t count, Span *encoded) {
    ApiState *api = membrane->db->api;
    Env *env = &membrane->db->env;
    const Schema *schema = &membrane->schema;
    size_t total = 0, sizes[GET_GROUP];
    void *room = api->key;
    for (size_t i = 0; i < count; i++) {
        TRY(key_measure(env, schema, keys + i * schema->key_count, schema->key_count, KEY_WHOLE, &sizes[i]));
        total += sizes[i];
    }
    TRY(env_grow(env, &room, &api->key_capacity, total, 1));
    uint8_t *at = api->key = room;
    for (size_t i = 0; i < count; at += sizes[i], i++) {
        (void)key_encode(schema, keys + i * schema->key_count, schema->key_count, KEY_WHOLE, at);
        encoded[i] = span_of(at, sizes[i]);
    }
    return NACRE_OK;
}

nacre_status nacre_get_many(nacre_membrane *membrane, const nacre_snapshot *snapshot, const nacre_value *keys,
                            size_t count, nacre_each_row *each, void *self) {
    Span encoded[GET_GROUP];
    ApiMany many = {membrane, each, self, 0};
    TRY(api_call(membrane));
    if (!keys && count) return api_null(membrane->db, "keys");
    if (!each) return api_null(membrane->db, "each");
    for (size_t group; many.first < count; many.first += group) {
        group = count - many.first < GET_GROUP ? count - many.first : GET_GROUP;
        TRY(api_many_keys(membrane, keys + many.first * membrane->schema.key_count, group, encoded));
        TRY(db_get_many(membrane, snapshot, encoded, group, api_many_row, &many));
    }
    return NACRE_OK;
}

nacre_status nacre_count(nacre_membrane *membrane, const nacre_snapshot *snapshot,
                         const nacre_range *range, uint64_t *count) {
    ApiRange bounds;
    uint64_t found = 0;
    TRY(api_call(membrane));
    if (!count) return api_null(membrane->db, "count");
    TRY(api_range(membrane, range, &bounds));
    nacre_status status = db_count(membrane, snapshot, bounds.bounds, api_range_filter(&bounds), &found);
    if (status == NACRE_OK) *count = bounds.limit && found > bounds.limit ? bounds.limit : found;
    api_range_clear(&membrane->db->env, &bounds);
    return status;
}

/* ---- snapshots ---- */

nacre_status nacre_snapshot_open(nacre_db *db, nacre_snapshot **snapshot) {
    if (!db) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(db));
    if (!snapshot) return api_null(db, "snapshot");
    return snapshot_open(db, snapshot);
}

void nacre_snapshot_release(nacre_snapshot *snapshot) {
    if (!snapshot) return;
    db_call(snapshot->db);
    snapshot_release(snapshot);
}

/* ---- cursors ---- */

struct nacre_cursor {
    ApiHandle handle;
    Db *db;
    Membrane *membrane;
    Cursor *cursor;
    ApiRow row;
    bool reverse;
    uint64_t limit, shown; /* rows in all; 0: no limit */
    uint8_t *key;
    size_t key_capacity;
};

nacre_status nacre_cursor_open(nacre_membrane *membrane, const nacre_snapshot *snapshot,
                               const nacre_range *range, nacre_cursor **out) {
    ApiRange bounds;
    TRY(api_call(membrane));
    Db *db = membrane->db;
    if (!out) return api_null(db, "cursor");
    TRY(api_range(membrane, range, &bounds));
    nacre_cursor *cursor = env_alloc_zeroed(&db->env, sizeof *cursor);
    nacre_status status = cursor ? cursor_open(membrane, snapshot, bounds.bounds, &cursor->cursor)
                                 : NACRE_RESOURCE_EXHAUSTED;
    if (status == NACRE_OK && bounds.program.size) {
        status = cursor_filter(cursor->cursor, api_range_filter(&bounds));
        if (status != NACRE_OK) cursor_close(cursor->cursor);
    }
    if (status == NACRE_OK) {
        cursor->db = db;
        cursor->membrane = membrane;
        cursor->reverse = bounds.reverse;
        cursor->limit = bounds.limit;
        api_handle_add(db, &cursor->handle, API_CURSOR);
        *out = cursor;
    } else {
        env_free(&db->env, cursor, sizeof *cursor);
    }
    api_range_clear(&db->env, &bounds);
    return status;
}

void api_cursor_free(nacre_cursor *cursor) {
    Env *env = &cursor->db->env;
    cursor_close(cursor->cursor);
    api_row_clear(env, &cursor->row);
    env_free(env, cursor->key, cursor->key_capacity);
    env_free(env, cursor, sizeof *cursor);
}

void nacre_cursor_close(nacre_cursor *cursor) {
    if (!cursor) return;
    db_call(cursor->db);
    api_handle_remove(cursor->db, &cursor->handle);
    api_cursor_free(cursor);
}

static nacre_status api_cursor_call(nacre_cursor *cursor, const nacre_row *row) {
    if (!cursor) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(cursor->db));
    if (!row) return api_null(cursor->db, "row");
    return cursor->limit && cursor->shown >= cursor->limit ? NACRE_NOT_FOUND : NACRE_OK;
}

static nacre_status api_cursor_show(nacre_cursor *cursor, const RowView *view, nacre_row *row) {
    TRY(api_show(cursor->membrane, view, &cursor->row, row));
    cursor->shown++;
    return NACRE_OK;
}

static nacre_status api_cursor_move(nacre_cursor *cursor, bool backward, nacre_row *row) {
    RowView view;
    TRY(backward ? cursor_prev(cursor->cursor, &view) : cursor_next(cursor->cursor, &view));
    return api_cursor_show(cursor, &view, row);
}

nacre_status nacre_cursor_next(nacre_cursor *cursor, nacre_row *row) {
    TRY(api_cursor_call(cursor, row));
    return api_cursor_move(cursor, cursor->reverse, row);
}

nacre_status nacre_cursor_prev(nacre_cursor *cursor, nacre_row *row) {
    TRY(api_cursor_call(cursor, row));
    return api_cursor_move(cursor, !cursor->reverse, row);
}

nacre_status nacre_cursor_seek(nacre_cursor *cursor, const nacre_value *key, nacre_row *row) {
    RowView view;
    Span encoded;
    TRY(api_cursor_call(cursor, row));
    TRY(api_key(cursor->membrane, key, &cursor->key, &cursor->key_capacity, &encoded));
    TRY(cursor->reverse ? cursor_seek_back(cursor->cursor, encoded, &view)
                        : cursor_seek(cursor->cursor, encoded, &view));
    return api_cursor_show(cursor, &view, row);
}
