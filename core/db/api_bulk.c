/* api_bulk.c - bulk loads of typed rows. */
#include "db/api.h"

struct nacre_bulk {
    ApiHandle handle;
    Db *db;
    Bulk *bulk;
    uint8_t *record;
    size_t capacity;
};

nacre_status nacre_bulk_begin(nacre_membrane *membrane, nacre_bulk **out) {
    TRY(api_call(membrane));
    Db *db = membrane->db;
    if (!out) return api_null(db, "bulk");
    nacre_bulk *bulk = env_alloc_zeroed(&db->env, sizeof *bulk);
    if (!bulk) return NACRE_RESOURCE_EXHAUSTED;
    nacre_status status = bulk_begin(membrane, &bulk->bulk);
    if (status != NACRE_OK) {
        env_free(&db->env, bulk, sizeof *bulk);
        return status;
    }
    bulk->db = db;
    api_handle_add(db, &bulk->handle, API_BULK);
    *out = bulk;
    return NACRE_OK;
}

nacre_status nacre_bulk_put(nacre_bulk *bulk, const nacre_value *key, const float *vector, const nacre_value *fields) {
    return nacre_bulk_put_with(bulk, key, vector, fields, NULL);
}

nacre_status nacre_bulk_put_with(nacre_bulk *bulk, const nacre_value *key, const float *vector,
                                 const nacre_value *fields, const nacre_put_options *options) {
    ApiRecord record;
    if (!bulk) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(bulk->db));
    TRY(membrane_check(bulk_membrane(bulk->bulk)));
    TRY(api_measure_put(bulk_membrane(bulk->bulk), key, vector, fields, options, &record));
    if (record.size > SIZE_MAX / 2)
        return env_fail(&bulk->db->env, NACRE_RESOURCE_EXHAUSTED, "bulk load: a row of %llu bytes",
                        (unsigned long long)record.size);
    void *memory = bulk->record;
    TRY(env_grow(&bulk->db->env, &memory, &bulk->capacity, (size_t)record.size, 1));
    bulk->record = memory;
    api_write_record(&record, bulk->record);
    return bulk_add(bulk->bulk, bulk->record, (size_t)record.size);
}

/* What is left of the handle when its bulk is gone. */
static void api_bulk_clear(nacre_bulk *bulk) {
    Env *env = &bulk->db->env;
    env_free(env, bulk->record, bulk->capacity);
    env_free(env, bulk, sizeof *bulk);
}

nacre_status nacre_bulk_commit(nacre_bulk *bulk, uint64_t *rows) {
    uint64_t count = 0;
    if (!bulk) return NACRE_INVALID_ARGUMENT;
    Db *db = bulk->db;
    TRY(api_enter(db));
    nacre_status status = bulk_commit(bulk->bulk, &count);
    if (status == NACRE_OK && rows) *rows = count;
    api_handle_remove(db, &bulk->handle);
    api_bulk_clear(bulk);
    return status;
}

void api_bulk_free(nacre_bulk *bulk) {
    bulk_abort(bulk->bulk);
    api_bulk_clear(bulk);
}

void nacre_bulk_abort(nacre_bulk *bulk) {
    if (!bulk || bulk->db->in_hook) return;
    db_call(bulk->db);
    api_handle_remove(bulk->db, &bulk->handle);
    api_bulk_free(bulk);
}
