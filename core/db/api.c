/* api.c - opening, closing, membranes and keeping house: the part of nacre.h that knows
 * no rows. */
#include "db/api.h"

#include "store/superblock_format.h"

uint32_t nacre_abi_version(void) { return 1; }
uint32_t nacre_format_version(void) { return FORMAT_VERSION; }

/* ---- handles ---- */

void api_handle_add(Db *db, ApiHandle *handle, ApiKind kind) {
    *handle = (ApiHandle){kind, db->api->handles, NULL};
    if (handle->next) handle->next->previous = handle;
    db->api->handles = handle;
}

void api_handle_remove(Db *db, ApiHandle *handle) {
    if (handle->next) handle->next->previous = handle->previous;
    if (handle->previous)
        handle->previous->next = handle->next;
    else
        db->api->handles = handle->next;
}

static void api_state_free(Db *db) {
    ApiState *api = db->api;
    Env *env = &db->env;
    if (!api) return;
    while (api->handles) {
        ApiHandle *handle = api->handles;
        api_handle_remove(db, handle);
        switch (handle->kind) { /* each handle begins with its ApiHandle */
        case API_CURSOR: api_cursor_free((nacre_cursor *)handle); break;
        case API_BATCH: api_batch_free((nacre_batch *)handle); break;
        case API_HITS: api_hits_free((nacre_hits *)handle); break;
        case API_BULK: api_bulk_free((nacre_bulk *)handle); break;
        case API_VIEW: api_view_free((nacre_view *)handle); break;
        case API_CHANGES: api_changes_free((nacre_changes *)handle); break;
        case API_BACKUP: api_backup_free((nacre_backup *)handle); break;
        case API_ARCHIVE: api_archive_free((nacre_archive *)handle); break;
        }
    }
    api_row_clear(env, &api->row);
    env_free(env, api->key, api->key_capacity);
    env_free(env, api->spare, api->spare_capacity);
    env_free(env, api, sizeof *api);
    db->api = NULL;
}

nacre_status api_null(Db *db, const char *what) {
    return env_fail(&db->env, NACRE_INVALID_ARGUMENT, "%s: NULL", what);
}

nacre_status api_enter(Db *db) {
    if (db->in_hook) return env_fail(&db->env, NACRE_MISUSE, "a callback (of nacre_on_commit or nacre_get_many) may not use the database");
    db_call(db);
    return NACRE_OK;
}

nacre_status api_call(const nacre_membrane *membrane) {
    if (!membrane) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(membrane->db));
    return membrane_check(membrane);
}

/* ---- opening ---- */

static nacre_status api_open_refuse(nacre_error *error, const char *text) {
    if (error) {
        *error = (nacre_error){.code = NACRE_INVALID_ARGUMENT};
        strncpy(error->text, text, sizeof error->text - 1);
    }
    return NACRE_INVALID_ARGUMENT;
}

nacre_status api_adopt(Db *opened, nacre_db **db, nacre_error *error) {
    opened->api = env_alloc_zeroed(&opened->env, sizeof *opened->api);
    if (!opened->api) {
        if (error) *error = opened->env.error;
        (void)db_close(opened, NULL);
        return NACRE_RESOURCE_EXHAUSTED;
    }
    *db = opened;
    return NACRE_OK;
}

nacre_status nacre_open(const char *path, const nacre_options *options, nacre_db **db,
                        nacre_error *error) {
    Db *opened = NULL;
    if (!path) return api_open_refuse(error, "path: NULL");
    if (!db) return api_open_refuse(error, "db: NULL");
    TRY(db_open(path, options, &opened, error));
    return api_adopt(opened, db, error);
}

nacre_status nacre_close(nacre_db *db, nacre_error *error) {
    if (!db) return NACRE_OK;
    if (db->in_hook) return api_enter(db);
    api_state_free(db);
    return db_close(db, error);
}

nacre_status nacre_rekey(nacre_db *db, const uint8_t *key) {
    if (!db) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(db));
    return key ? db_rekey(db, key) : api_null(db, "key");
}

const char *nacre_message(const nacre_db *db) {
    if (!db) return "db: NULL";
    return db->env.error.code == NACRE_OK ? "" : db->env.error.text;
}

/* ---- membranes ---- */

/* A caller's string: no further than one byte past the limit, for db.h to refuse. */
static Span api_name(const char *name) {
    size_t size = 0;
    while (size <= LIMIT_NAME_SIZE && name[size]) size++;
    return span_of(name, size);
}

nacre_status nacre_membrane_open(nacre_db *db, const char *name, const nacre_schema *schema,
                                 nacre_membrane **membrane) {
    Schema wanted = {0};
    if (!db) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(db));
    if (!name) return api_null(db, "membrane name");
    if (!membrane) return api_null(db, "membrane");
    if (schema) TRY(schema_from_public(&db->env, schema, &wanted));
    nacre_status status = db_membrane_open(db, api_name(name), schema ? &wanted : NULL, membrane);
    schema_clear(&db->env, &wanted);
    return status;
}

nacre_status nacre_membrane_drop(nacre_db *db, const char *name) {
    if (!db) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(db));
    if (!name) return api_null(db, "membrane name");
    return db_membrane_drop(db, api_name(name));
}

nacre_status nacre_membrane_rename(nacre_db *db, const char *from, const char *to) {
    if (!db) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(db));
    if (!from || !to) return api_null(db, "membrane name");
    return db_membrane_rename(db, api_name(from), api_name(to));
}

nacre_status nacre_membrane_at(nacre_db *db, uint32_t index, nacre_membrane **membrane) {
    if (!db) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(db));
    if (!membrane) return api_null(db, "membrane");
    return db_membrane_at(db, index, membrane);
}

nacre_status nacre_membrane_bytes(nacre_membrane *membrane, uint64_t *bytes) {
    TRY(api_call(membrane));
    if (!bytes) return api_null(membrane->db, "bytes");
    return membrane_bytes(membrane, bytes);
}

/* ---- keeping house ---- */

nacre_status nacre_flush(nacre_db *db) {
    if (!db) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(db));
    if (db->readonly) return NACRE_OK;
    TRY(state_writable(db));
    return log_sync(db); /* whatever the level */
}

nacre_status nacre_refresh(nacre_db *db) {
    if (!db) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(db));
    return db_refresh(db, &(bool){false});
}

nacre_status nacre_checkpoint(nacre_db *db) {
    if (!db) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(db));
    return db_checkpoint(db);
}

nacre_status nacre_step(nacre_db *db, uint64_t bytes, bool *more) {
    if (!db) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(db));
    if (!more) return api_null(db, "more");
    return db_step(db, bytes, more);
}

nacre_status nacre_compact(nacre_db *db, nacre_compact_report *report) {
    nacre_compact_report done = {0};
    if (!db) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(db));
    TRY(db_compact(db, &done));
    if (report) *report = done;
    return NACRE_OK;
}

static void api_no_problem(void *self, const char *where, uint64_t offset, const char *what) {
    (void)self, (void)where, (void)offset, (void)what;
}

nacre_status nacre_verify(nacre_db *db, bool deep, nacre_problem *problem, void *self,
                          uint64_t *problems) {
    uint64_t count = 0;
    if (!db) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(db));
    TRY(db_verify(db, deep, problem ? problem : api_no_problem, self, &count));
    if (problems) *problems = count;
    return NACRE_OK;
}

/* ---- files that are not open ---- */

nacre_status nacre_verify_files(const char *path, const nacre_options *options, bool deep, nacre_problem *problem,
                                void *self, uint64_t *problems, nacre_error *error) {
    uint64_t count = 0;
    if (!path) return api_open_refuse(error, "path: NULL");
    TRY(verify_files(path, options, deep, problem ? problem : api_no_problem, self, &count, error));
    if (problems) *problems = count;
    return NACRE_OK;
}

nacre_status nacre_repair(const char *from, const char *to, const nacre_options *options, nacre_found *found, void *self,
                          nacre_repair_report *report, nacre_error *error) {
    if (!from) return api_open_refuse(error, "from: NULL");
    if (!to) return api_open_refuse(error, "to: NULL");
    return repair_files(from, to, options, found, self, report, error);
}

nacre_status nacre_inspect(const char *path, const nacre_options *options, nacre_inspection what, nacre_line *line,
                           void *self, nacre_error *error) {
    if (!path) return api_open_refuse(error, "path: NULL");
    if (!line) return api_open_refuse(error, "line: NULL");
    if (what < NACRE_INSPECT_LOG || what > NACRE_INSPECT_SEGMENTS)
        return api_open_refuse(error, "what: none of the inspections");
    return inspect_files(path, options, what, line, self, error);
}

nacre_status nacre_stats_json(nacre_db *db, const char **json) {
    Span text = {NULL, 0};
    if (!db) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(db));
    if (!json) return api_null(db, "json");
    TRY(db_stats(db, &text));
    *json = (const char *)text.data;
    return NACRE_OK;
}
