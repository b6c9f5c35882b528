/* api_write.c - writing: single rows go straight into the log's frame; a batch keeps its
 * records until it is committed, for several may be open. */
#include "db/api.h"

static void api_batch_head(uint8_t *at, uint64_t size, uint32_t count) {
    put_u32(at, (uint32_t)size);
    put_u32(at + 4, count);
    put_u64(at + 8, 0); /* db_commit sets the LSN */
}

static nacre_status api_write_one(Db *db, const ApiRecord *record) {
    uint8_t *at = NULL;
    uint64_t size = BATCH_HEAD + record->size;
    TRY(db_reserve(db, size, 1, &at));
    api_batch_head(at, size, 1);
    api_write_record(record, at + BATCH_HEAD);
    return db_commit(db, (size_t)size, true);
}

nacre_status nacre_put(nacre_membrane *membrane, const nacre_value *key, const float *vector,
                       const nacre_value *fields) {
    return nacre_put_with(membrane, key, vector, fields, NULL);
}

nacre_status nacre_put_with(nacre_membrane *membrane, const nacre_value *key, const float *vector,
                            const nacre_value *fields, const nacre_put_options *options) {
    ApiRecord record;
    TRY(api_call(membrane));
    TRY(api_measure_put(membrane, key, vector, fields, options, &record));
    return api_write_one(membrane->db, &record);
}

nacre_status nacre_delete(nacre_membrane *membrane, const nacre_value *key) {
    ApiRecord record;
    TRY(api_call(membrane));
    Db *db = membrane->db;
    Span encoded;
    TRY(state_writable(db));
    TRY(api_measure_delete(membrane, key, &record));
    TRY(api_key(membrane, key, &db->api->key, &db->api->key_capacity, &encoded));
    TRY(db_has(membrane, NULL, encoded));
    return api_write_one(db, &record);
}

nacre_status nacre_clear(nacre_membrane *membrane, const nacre_range *range, uint64_t *removed) {
    ApiRange bounds;
    uint64_t count = 0;
    TRY(api_call(membrane));
    Env *env = &membrane->db->env;
    if (range && range->struct_size == sizeof *range && (range->limit || range->reverse))
        return env_fail(env, NACRE_INVALID_ARGUMENT,
                        "range: limit and reverse are for cursors, not for clear");
    TRY(api_range(membrane, range, &bounds));
    nacre_status status = db_clear(membrane, bounds.bounds, api_range_filter(&bounds), true, &count);
    api_range_clear(env, &bounds);
    if (status == NACRE_OK && removed) *removed = count;
    return status;
}

/* ---- batches ---- */

struct nacre_batch {
    ApiHandle handle;
    Db *db;
    uint8_t *bytes; /* the head, then records */
    size_t size, capacity;
    uint32_t count;
};

nacre_status nacre_batch_begin(nacre_db *db, nacre_batch **out) {
    if (!db) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(db));
    if (!out) return api_null(db, "batch");
    TRY(state_writable(db));
    nacre_batch *batch = env_alloc_zeroed(&db->env, sizeof *batch);
    if (!batch) return NACRE_RESOURCE_EXHAUSTED;
    batch->db = db;
    batch->size = BATCH_HEAD;
    batch->bytes = db->api->spare; /* what an earlier batch has grown */
    batch->capacity = db->api->spare_capacity;
    db->api->spare = NULL;
    db->api->spare_capacity = 0;
    api_handle_add(db, &batch->handle, API_BATCH);
    *out = batch;
    return NACRE_OK;
}

void api_batch_free(nacre_batch *batch) {
    Env *env = &batch->db->env;
    ApiState *api = batch->db->api;
    if (batch->capacity <= batch->db->options.memory / BATCH_SPARE_SHARE && batch->capacity > api->spare_capacity) {
        env_free(env, api->spare, api->spare_capacity);
        api->spare = batch->bytes;
        api->spare_capacity = batch->capacity;
    } else {
        env_free(env, batch->bytes, batch->capacity);
    }
    env_free(env, batch, sizeof *batch);
}

void nacre_batch_abort(nacre_batch *batch) {
    if (!batch || batch->db->in_hook) return; /* it may be this one that is being committed */
    db_call(batch->db);
    api_handle_remove(batch->db, &batch->handle);
    api_batch_free(batch);
}

static nacre_status api_batch_call(nacre_batch *batch, const nacre_membrane *membrane) {
    if (!batch) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(batch->db));
    if (!membrane) return api_null(batch->db, "membrane");
    if (membrane->db != batch->db)
        return env_fail(&batch->db->env, NACRE_MISUSE,
                        "batch: %s is a membrane of another database", membrane->name);
    return membrane_check(membrane);
}

static nacre_status api_batch_add(nacre_batch *batch, const ApiRecord *record) {
    Env *env = &batch->db->env;
    void *bytes = batch->bytes;
    uint64_t size = batch->size + record->size;
    if (size > UINT32_MAX || size > SIZE_MAX / 2 || batch->count == UINT32_MAX)
        return env_fail(env, NACRE_RESOURCE_EXHAUSTED, "batch: more than 4 GiB");
    TRY(env_grow(env, &bytes, &batch->capacity, (size_t)size, 1));
    batch->bytes = bytes;
    api_write_record(record, batch->bytes + batch->size);
    batch->size = (size_t)size;
    batch->count++;
    return NACRE_OK;
}

nacre_status nacre_batch_put(nacre_batch *batch, nacre_membrane *membrane, const nacre_value *key,
                             const float *vector, const nacre_value *fields) {
    return nacre_batch_put_with(batch, membrane, key, vector, fields, NULL);
}

nacre_status nacre_batch_put_with(nacre_batch *batch, nacre_membrane *membrane,
                                  const nacre_value *key, const float *vector,
                                  const nacre_value *fields, const nacre_put_options *options) {
    ApiRecord record;
    TRY(api_batch_call(batch, membrane));
    TRY(api_measure_put(membrane, key, vector, fields, options, &record));
    return api_batch_add(batch, &record);
}

nacre_status nacre_batch_delete(nacre_batch *batch, nacre_membrane *membrane,
                                const nacre_value *key) {
    ApiRecord record;
    TRY(api_batch_call(batch, membrane));
    TRY(api_measure_delete(membrane, key, &record));
    return api_batch_add(batch, &record);
}

nacre_status nacre_batch_commit(nacre_batch *batch) {
    if (!batch) return NACRE_INVALID_ARGUMENT;
    Db *db = batch->db;
    uint8_t *at = NULL;
    TRY(api_enter(db));
    nacre_status status = NACRE_OK;
    if (batch->count > 0) {
        api_batch_head(batch->bytes, batch->size, batch->count);
        status = db_reserve(db, batch->size, batch->count, &at);
        if (status == NACRE_OK) {
            memcpy(at, batch->bytes, batch->size);
            status = db_commit(db, batch->size, true);
        }
    }
    api_handle_remove(db, &batch->handle);
    api_batch_free(batch);
    return status;
}
