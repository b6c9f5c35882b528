/* catalog.c - membranes: all of them in memory, by name and by id, and their rows in
 * membrane 0 (catalog_format.h). */
#include "db/catalog_format.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "db/state.h"

enum { CATALOG_KEY_MAX = 2 + LIMIT_NAME_SIZE };

static size_t catalog_place(const Db *db, Span name, bool *found) {
    size_t low = 0, high = db->membrane_count;
    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = span_compare(membrane_name(db->membranes[middle]), name);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

Membrane *catalog_by_id(const Db *db, uint32_t id) {
    if (id == 0) return (Membrane *)&db->catalog;
    return id < db->by_id_count ? db->by_id[id] : NULL;
}

/* While the catalog is not loaded yet, nothing is written. */
BlockLayout catalog_layout(const void *self, uint32_t id) {
    const Db *db = self;
    const Membrane *membrane = catalog_by_id(db, id);
    uint32_t size = membrane ? membrane->schema.block_size : 0;
    bool compress = membrane && membrane->schema.compression == SCHEMA_LZ4;
    if (size == 0) size = db->options.block_size;
    if (compress && membrane->schema.block_size == 0 && size < COMPRESSED_BLOCK) size = COMPRESSED_BLOCK;
    return (BlockLayout){size, compress};
}

static void membrane_free(Db *db, Membrane *membrane) {
    env_free(&db->env, membrane->public_fields, membrane->schema.field_count * sizeof(nacre_field));
    schema_clear(&db->env, &membrane->schema);
    env_free(&db->env, membrane->name, membrane->name_size + 1);
    env_free(&db->env, membrane, sizeof *membrane);
}

static nacre_status membrane_show_schema(Db *db, Membrane *membrane) {
    const Schema *schema = &membrane->schema;
    nacre_schema *shown = &membrane->public_schema;
    *shown = (nacre_schema){.struct_size = sizeof *shown,
                            .kind = schema->kind,
                            .key_count = schema->key_count,
                            .value_type = schema->value_type,
                            .dimensions = schema->dimensions,
                            .metric = schema->metric,
                            .element = schema->element,
                            .index = (nacre_index)schema->index,
                            .bits = schema->bits,
                            .ttl_ms = schema->ttl_ms,
                            .block_size = schema->block_size,
                            .compression = (nacre_compression)schema->compression,
                            .field_count = schema->field_count};
    memcpy(shown->key_types, schema->key_types, sizeof shown->key_types);
    if (schema->field_count == 0) return NACRE_OK;
    membrane->public_fields = env_alloc(&db->env, schema->field_count * sizeof(nacre_field));
    if (!membrane->public_fields) return NACRE_RESOURCE_EXHAUSTED;
    for (uint32_t i = 0; i < schema->field_count; i++)
        membrane->public_fields[i] = (nacre_field){(const char *)schema->fields[i].name.data, schema->fields[i].type, schema->fields[i].indexed};
    shown->fields = membrane->public_fields;
    return NACRE_OK;
}

/* Makes the handle and room for it in the tables; nothing is changed on failure. */
static nacre_status membrane_alloc(Db *db, Span name, const Schema *schema, uint32_t id, Membrane **out) {
    Env *env = &db->env;
    void *by_name = db->membranes, *by_id = db->by_id;
    TRY(env_grow(env, &by_name, &db->membranes_capacity, db->membrane_count + 1, sizeof(Membrane *)));
    db->membranes = by_name;
    TRY(env_grow(env, &by_id, &db->by_id_capacity, (size_t)id + 1, sizeof(Membrane *)));
    db->by_id = by_id;
    Membrane *membrane = env_alloc_zeroed(env, sizeof *membrane);
    if (!membrane) return NACRE_RESOURCE_EXHAUSTED;
    membrane->db = db;
    membrane->id = id;
    membrane->name_size = name.size;
    nacre_status status = NACRE_RESOURCE_EXHAUSTED;
    if ((membrane->name = env_alloc(env, name.size + 1)) != NULL) {
        memcpy(membrane->name, name.data, name.size);
        membrane->name[name.size] = 0;
        status = schema_copy(env, schema, &membrane->schema);
    }
    if (status == NACRE_OK) status = membrane_show_schema(db, membrane);
    if (status != NACRE_OK) {
        membrane_free(db, membrane);
        return status;
    }
    *out = membrane;
    return NACRE_OK;
}

static void membrane_enter(Db *db, Membrane *membrane) {
    bool found;
    size_t at = catalog_place(db, membrane_name(membrane), &found);
    memmove(&db->membranes[at + 1], &db->membranes[at], (db->membrane_count - at) * sizeof(Membrane *));
    db->membranes[at] = membrane;
    db->membrane_count++;
    while (db->by_id_count <= membrane->id) db->by_id[db->by_id_count++] = NULL;
    db->by_id[membrane->id] = membrane;
}

static void membrane_leave(Db *db, Membrane *membrane) {
    bool found;
    size_t at = catalog_place(db, membrane_name(membrane), &found);
    ASSERT(found);
    db->membrane_count--;
    memmove(&db->membranes[at], &db->membranes[at + 1], (db->membrane_count - at) * sizeof(Membrane *));
}

static nacre_status catalog_note_dropped(Db *db, uint32_t id) {
    void *ids = db->dropped_ids;
    TRY(env_grow(&db->env, &ids, &db->dropped_capacity, db->dropped_count + 1, sizeof(uint32_t)));
    db->dropped_ids = ids;
    size_t at = db->dropped_count++;
    for (; at > 0 && db->dropped_ids[at - 1] > id; at--) db->dropped_ids[at] = db->dropped_ids[at - 1];
    db->dropped_ids[at] = id;
    return NACRE_OK;
}

/* ---- loading ---- */

static nacre_status catalog_corrupt(Db *db, const char *what) {
    return env_fail(&db->env, NACRE_CORRUPT, "%s: catalog: %s", db->name, what);
}

static nacre_status catalog_load_row(Db *db, const RowView *row) {
    Span key = row->key;
    if (key.size == 1 && key.data[0] == CATALOG_NEXT && row->value.size == 4) {
        db->next_membrane = get_u32(row->value.data);
    } else if (key.size > 2 && key.data[0] == CATALOG_NAME && key.data[key.size - 1] == 0 && row->value.size > 4) {
        uint32_t id = get_u32(row->value.data);
        Schema schema = {0};
        Membrane *membrane = NULL;
        if (id == 0 || id >= db->next_membrane || catalog_by_id(db, id)) return catalog_corrupt(db, "membrane id");
        TRY(schema_decode(&db->env, span_of(row->value.data + 4, row->value.size - 4), NACRE_CORRUPT, &schema));
        nacre_status status = membrane_alloc(db, span_of(key.data + 1, key.size - 2), &schema, id, &membrane);
        schema_clear(&db->env, &schema);
        TRY(status);
        membrane_enter(db, membrane);
    } else if (key.size == 5 && key.data[0] == CATALOG_DROPPED) {
        TRY(catalog_note_dropped(db, get_u32_be(key.data + 1)));
    } else if (!catalog_is_token(key)) {
        return env_fail(&db->env, NACRE_VERSION, "%s: catalog: a row of a later version", db->name);
    }
    return NACRE_OK;
}

/* The tables of the catalog, while they are read anew. */
typedef struct CatalogTables {
    Membrane **membranes, **by_id;
    size_t membrane_count, membranes_capacity, by_id_count, by_id_capacity, dropped_count, dropped_capacity;
    uint32_t *dropped_ids, next_membrane;
} CatalogTables;

static CatalogTables catalog_take(Db *db) {
    CatalogTables t = {db->membranes,      db->by_id,         db->membrane_count, db->membranes_capacity,
                       db->by_id_count,    db->by_id_capacity, db->dropped_count, db->dropped_capacity,
                       db->dropped_ids,    db->next_membrane};
    db->membranes = db->by_id = NULL;
    db->membrane_count = db->membranes_capacity = db->by_id_count = db->by_id_capacity = 0;
    db->dropped_count = db->dropped_capacity = 0;
    db->dropped_ids = NULL;
    return t;
}

static void catalog_give(Db *db, const CatalogTables *t) {
    db->membranes = t->membranes, db->by_id = t->by_id, db->dropped_ids = t->dropped_ids;
    db->membrane_count = t->membrane_count, db->membranes_capacity = t->membranes_capacity;
    db->by_id_count = t->by_id_count, db->by_id_capacity = t->by_id_capacity;
    db->dropped_count = t->dropped_count, db->dropped_capacity = t->dropped_capacity;
    db->next_membrane = t->next_membrane;
}

static void catalog_free_tables(Db *db, CatalogTables *t) {
    env_free(&db->env, t->membranes, t->membranes_capacity * sizeof(Membrane *));
    env_free(&db->env, t->by_id, t->by_id_capacity * sizeof(Membrane *));
    env_free(&db->env, t->dropped_ids, t->dropped_capacity * sizeof(uint32_t));
}

/* Handles that callers hold go on to stand for their membrane, under its name of now; those
 * of membranes that are gone say so. */
static void catalog_keep_handles(Db *db, const CatalogTables *before) {
    for (size_t i = 0; i < before->membrane_count; i++) {
        Membrane *known = before->membranes[i], *read = catalog_by_id(db, known->id);
        if (!read) {
            known->dropped = true;
            known->next_dropped = db->dropped;
            db->dropped = known;
            continue;
        }
        bool found;
        db->membranes[catalog_place(db, membrane_name(read), &found)] = known;
        db->by_id[known->id] = known;
        char *name = known->name;
        size_t size = known->name_size;
        known->name = read->name, known->name_size = read->name_size;
        read->name = name, read->name_size = size;
        membrane_free(db, read);
    }
}

nacre_status catalog_load(Db *db) {
    Cursor *cursor = NULL;
    RowView row;
    CatalogTables before = catalog_take(db);
    db->catalog = (Membrane){.db = db, .name = "catalog", .name_size = 7};
    db->catalog.schema.kind = NACRE_KV;
    db->next_membrane = 1;
    nacre_status status = cursor_open(&db->catalog, NULL, (KeyRange){{NULL, 0}, {NULL, 0}}, &cursor);
    while (status == NACRE_OK && (status = cursor_next(cursor, &row)) == NACRE_OK) status = catalog_load_row(db, &row);
    cursor_close(cursor);
    if (status != NACRE_NOT_FOUND) {
        CatalogTables failed = catalog_take(db);
        for (size_t i = 0; i < failed.membrane_count; i++) membrane_free(db, failed.membranes[i]);
        catalog_free_tables(db, &failed);
        catalog_give(db, &before);
        return status;
    }
    catalog_keep_handles(db, &before);
    db->catalog_loads++;
    catalog_free_tables(db, &before);
    return NACRE_OK;
}

void catalog_clear(Db *db) {
    for (size_t i = 0; i < db->membrane_count; i++) membrane_free(db, db->membranes[i]);
    while (db->dropped) {
        Membrane *next = db->dropped->next_dropped;
        membrane_free(db, db->dropped);
        db->dropped = next;
    }
    env_free(&db->env, db->membranes, db->membranes_capacity * sizeof(Membrane *));
    env_free(&db->env, db->by_id, db->by_id_capacity * sizeof(Membrane *));
    env_free(&db->env, db->dropped_ids, db->dropped_capacity * sizeof(uint32_t));
}

/* ---- the manifest's copy ---- */

size_t catalog_copy_size(const Db *db) {
    size_t size = 0;
    for (size_t i = 0; i < db->membrane_count; i++)
        size += 12 + db->membranes[i]->name_size + schema_encoded_size(&db->membranes[i]->schema);
    return size;
}

void catalog_copy(const Db *db, uint8_t *into) {
    for (size_t i = 0; i < db->membrane_count; i++) {
        const Membrane *membrane = db->membranes[i];
        put_u32(into, membrane->id);
        put_u32(into + 4, (uint32_t)membrane->name_size);
        put_u32(into + 8, (uint32_t)schema_encoded_size(&membrane->schema));
        memcpy(into + 12, membrane->name, membrane->name_size);
        into = schema_encode(&membrane->schema, into + 12 + membrane->name_size);
    }
}

/* ---- changing: one batch each, always synced ---- */

typedef struct CatalogBatch {
    uint8_t *bytes;
    size_t size, capacity;
    uint32_t count;
} CatalogBatch;

static nacre_status catalog_add(Db *db, CatalogBatch *batch, Span key, bool delete, Span value) {
    size_t size = batch->size ? batch->size : BATCH_HEAD;
    size_t record = (size_t)record_size(key.size + 4, value.size);
    void *bytes = batch->bytes;
    TRY(env_grow(&db->env, &bytes, &batch->capacity, size + record, 1));
    batch->bytes = bytes;
    uint8_t *at = batch->bytes + size;
    memset(at, 0, record);
    put_u32(at, (uint32_t)(key.size + 4) | (delete ? RECORD_DELETE : 0) << 24);
    put_u32(at + 4, (uint32_t)value.size);
    (void)full_key(0, key, at + RECORD_HEAD);
    if (value.size) memcpy(at + RECORD_HEAD + 4 + key.size, value.data, value.size);
    batch->size = size + record;
    batch->count++;
    return NACRE_OK;
}

static nacre_status catalog_commit(Db *db, CatalogBatch *batch) {
    uint8_t *at = NULL;
    put_u32(batch->bytes, (uint32_t)batch->size);
    put_u32(batch->bytes + 4, batch->count);
    put_u64(batch->bytes + 8, 0);
    TRY(db_reserve(db, batch->size, batch->count, &at));
    memcpy(at, batch->bytes, batch->size);
    db->in_catalog = true;
    nacre_status status = db_commit(db, batch->size, true);
    db->in_catalog = false;
    TRY(status);
    return log_sync(db); /* whatever the level: a change of catalog is never lost */
}

static void catalog_batch_clear(Db *db, CatalogBatch *batch) { env_free(&db->env, batch->bytes, batch->capacity); }

static Span catalog_name_key(Span name, uint8_t out[CATALOG_KEY_MAX]) {
    out[0] = CATALOG_NAME;
    memcpy(out + 1, name.data, name.size);
    out[1 + name.size] = 0;
    return span_of(out, name.size + 2);
}

static nacre_status catalog_check_name(Db *db, Span name) {
    const char *wrong = utf8_name_problem(name);
    if (!wrong) return NACRE_OK;
    int shown = !utf8_valid(name) ? 0 : name.size > 60 ? 60 : (int)name.size;
    return env_fail(&db->env, NACRE_INVALID_ARGUMENT, "membrane name \"%.*s\": %s", shown, (const char *)name.data,
                    wrong);
}

static nacre_status catalog_create(Db *db, Span name, const Schema *schema, Membrane **out) {
    Env *env = &db->env;
    TRY(state_writable(db));
    TRY(schema_validate(env, schema, NACRE_INVALID_ARGUMENT));
    if (db->membrane_count >= LIMIT_MEMBRANES)
        return env_fail(env, NACRE_RESOURCE_EXHAUSTED, "membranes: %d are the limit", LIMIT_MEMBRANES);
    uint32_t id = db->next_membrane;
    Membrane *membrane = NULL;
    TRY(membrane_alloc(db, name, schema, id, &membrane));
    CatalogBatch batch = {0};
    uint8_t key[CATALOG_KEY_MAX], number[4], next_key = CATALOG_NEXT, *row = NULL;
    size_t row_size = 4 + schema_encoded_size(schema);
    nacre_status status = NACRE_OK;
    put_u32(number, id + 1);
    TRY_OUT(catalog_add(db, &batch, span_of(&next_key, 1), false, span_of(number, 4)));
    if (!(row = env_alloc(env, row_size))) TRY_OUT(NACRE_RESOURCE_EXHAUSTED);
    put_u32(row, id);
    (void)schema_encode(schema, row + 4);
    TRY_OUT(catalog_add(db, &batch, catalog_name_key(name, key), false, span_of(row, row_size)));
    TRY_OUT(catalog_commit(db, &batch));
    db->next_membrane = id + 1;
    membrane_enter(db, membrane);
    *out = membrane;
    membrane = NULL;
out:
    if (membrane) membrane_free(db, membrane);
    env_free(env, row, row_size);
    catalog_batch_clear(db, &batch);
    return status;
}

/* ---- faces ---- */

nacre_status db_membrane_open(Db *db, Span name, const Schema *schema, Membrane **out) {
    TRY(catalog_check_name(db, name));
    bool found, given = schema && schema->kind != 0;
    size_t at = catalog_place(db, name, &found);
    if (!found) {
        if (!given || db->readonly)
            return env_fail(&db->env, NACRE_NOT_FOUND, "membrane \"%.*s\": there is none of that name",
                            (int)name.size, (const char *)name.data);
        return catalog_create(db, name, schema, out);
    }
    Membrane *membrane = db->membranes[at];
    if (given && schema->kind != membrane->schema.kind)
        return env_fail(&db->env, NACRE_WRONG_KIND, "membrane \"%s\" is a %s, not a %s", membrane->name,
                        kind_name(membrane->schema.kind), kind_name(schema->kind));
    if (given && !schema_equal(&membrane->schema, schema)) {
        char difference[160];
        schema_difference(&membrane->schema, schema, difference, sizeof difference);
        return env_fail(&db->env, NACRE_SCHEMA_MISMATCH, "membrane \"%s\": %s", membrane->name, difference);
    }
    *out = membrane;
    return NACRE_OK;
}

static nacre_status catalog_find(Db *db, Span name, Membrane **out) {
    TRY(catalog_check_name(db, name));
    return db_membrane_open(db, name, NULL, out);
}

nacre_status db_membrane_drop(Db *db, Span name) {
    Membrane *membrane = NULL;
    TRY(state_writable(db));
    TRY(catalog_find(db, name, &membrane));
    CatalogBatch batch = {0};
    uint8_t key[CATALOG_KEY_MAX], gone[5] = {CATALOG_DROPPED};
    put_u32_be(gone + 1, membrane->id);
    void *ids = db->dropped_ids; /* room first, so that nothing fails behind the commit */
    TRY(env_grow(&db->env, &ids, &db->dropped_capacity, db->dropped_count + 1, sizeof(uint32_t)));
    db->dropped_ids = ids;
    nacre_status status = catalog_add(db, &batch, catalog_name_key(name, key), true, (Span){NULL, 0});
    if (status == NACRE_OK) status = catalog_add(db, &batch, span_of(gone, sizeof gone), false, (Span){NULL, 0});
    if (status == NACRE_OK) status = catalog_commit(db, &batch);
    if (status == NACRE_OK) {
        status = catalog_note_dropped(db, membrane->id);
        db->dropped_clean = false;
        membrane_leave(db, membrane);
        shelf_forget(&db->shelf, membrane->id);
        db->by_id[membrane->id] = NULL;
        membrane->dropped = true;
        membrane->next_dropped = db->dropped;
        db->dropped = membrane;
    }
    catalog_batch_clear(db, &batch);
    return status;
}

nacre_status db_membrane_rename(Db *db, Span from, Span to) {
    Membrane *membrane = NULL;
    bool taken;
    Env *env = &db->env;
    TRY(state_writable(db));
    TRY(catalog_find(db, from, &membrane));
    TRY(catalog_check_name(db, to));
    (void)catalog_place(db, to, &taken);
    if (span_eq(from, to)) return NACRE_OK;
    if (taken)
        return env_fail(env, NACRE_EXISTS, "membrane \"%.*s\": there is one of that name already", (int)to.size,
                        (const char *)to.data);
    CatalogBatch batch = {0};
    uint8_t key[CATALOG_KEY_MAX], *row = NULL;
    size_t row_size = 4 + schema_encoded_size(&membrane->schema);
    char *name = NULL;
    nacre_status status = NACRE_OK;
    if (!(name = env_alloc(env, to.size + 1))) TRY_OUT(NACRE_RESOURCE_EXHAUSTED);
    memcpy(name, to.data, to.size);
    name[to.size] = 0;
    if (!(row = env_alloc(env, row_size))) TRY_OUT(NACRE_RESOURCE_EXHAUSTED);
    put_u32(row, membrane->id);
    (void)schema_encode(&membrane->schema, row + 4);
    TRY_OUT(catalog_add(db, &batch, catalog_name_key(from, key), true, (Span){NULL, 0}));
    TRY_OUT(catalog_add(db, &batch, catalog_name_key(to, key), false, span_of(row, row_size)));
    TRY_OUT(catalog_commit(db, &batch));
    membrane_leave(db, membrane);
    env_free(env, membrane->name, membrane->name_size + 1);
    membrane->name = name;
    membrane->name_size = to.size;
    name = NULL;
    membrane_enter(db, membrane);
out:
    env_free(env, name, to.size + 1);
    env_free(env, row, row_size);
    catalog_batch_clear(db, &batch);
    return status;
}

nacre_status db_membrane_at(Db *db, uint32_t index, Membrane **membrane) {
    if (index >= db->membrane_count) return NACRE_NOT_FOUND;
    *membrane = db->membranes[index];
    return NACRE_OK;
}

nacre_status db_membrane_by_id(Db *db, uint32_t id, Membrane **membrane) {
    Membrane *found = catalog_by_id(db, id);
    if (!found) return NACRE_NOT_FOUND;
    *membrane = found;
    return NACRE_OK;
}

Db *membrane_db(const Membrane *membrane) { return membrane->db; }
const Schema *membrane_schema(const Membrane *membrane) { return &membrane->schema; }
Span membrane_name(const Membrane *membrane) { return span_of(membrane->name, membrane->name_size); }
uint32_t membrane_id(const Membrane *membrane) { return membrane->id; }
const char *nacre_membrane_name(const nacre_membrane *membrane) { return membrane ? membrane->name : NULL; }
const nacre_schema *nacre_membrane_schema(const nacre_membrane *membrane) {
    return membrane ? &membrane->public_schema : NULL;
}

nacre_status membrane_check(const Membrane *membrane) {
    if (!membrane->dropped) return NACRE_OK;
    return env_fail(&membrane->db->env, NACRE_NOT_FOUND, "membrane \"%s\" was dropped", membrane->name);
}
