/* api_transaction.c - transactions of nacre.h: values measured and encoded as in
 * api_write.c, then transaction.c's affair. */
#include "db/api.h"

static void api_tx_head(uint8_t *at, uint64_t size) {
    put_u32(at, (uint32_t)size);
    put_u32(at + 4, 1);
    put_u64(at + 8, 0);
}

nacre_status nacre_begin(nacre_db *db, nacre_transaction **transaction) {
    if (!db) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(db));
    if (!transaction) return api_null(db, "transaction");
    return transaction_begin(db, transaction);
}

const nacre_snapshot *nacre_transaction_snapshot(const nacre_transaction *transaction) {
    return transaction ? transaction_view(transaction) : NULL;
}

static nacre_status api_tx_call(nacre_transaction *tx, const nacre_membrane *membrane) {
    if (!tx) return NACRE_INVALID_ARGUMENT;
    Db *db = transaction_db(tx);
    TRY(api_enter(db));
    if (!membrane) return api_null(db, "membrane");
    if (membrane->db != db)
        return env_fail(&db->env, NACRE_MISUSE, "transaction: %s is a membrane of another database", membrane->name);
    return membrane_check(membrane);
}

static nacre_status api_tx_add(nacre_transaction *tx, const ApiRecord *record) {
    uint8_t *at = NULL;
    uint64_t size = BATCH_HEAD + record->size;
    TRY(transaction_reserve(tx, size, 1, &at));
    api_tx_head(at, size);
    api_write_record(record, at + BATCH_HEAD);
    return transaction_write(tx, (size_t)size);
}

nacre_status nacre_transaction_put(nacre_transaction *tx, nacre_membrane *membrane, const nacre_value *key,
                                   const float *vector, const nacre_value *fields) {
    return nacre_transaction_put_with(tx, membrane, key, vector, fields, NULL);
}

nacre_status nacre_transaction_put_with(nacre_transaction *tx, nacre_membrane *membrane, const nacre_value *key,
                                        const float *vector, const nacre_value *fields,
                                        const nacre_put_options *options) {
    ApiRecord record;
    TRY(api_tx_call(tx, membrane));
    TRY(api_measure_put(membrane, key, vector, fields, options, &record));
    return api_tx_add(tx, &record);
}

nacre_status nacre_transaction_delete(nacre_transaction *tx, nacre_membrane *membrane, const nacre_value *key) {
    ApiRecord record;
    Span encoded;
    TRY(api_tx_call(tx, membrane));
    ApiState *api = membrane->db->api;
    TRY(api_measure_delete(membrane, key, &record));
    TRY(api_key(membrane, key, &api->key, &api->key_capacity, &encoded));
    TRY(db_has(membrane, transaction_view(tx), encoded));
    return api_tx_add(tx, &record);
}

nacre_status nacre_transaction_clear(nacre_transaction *tx, nacre_membrane *membrane, const nacre_range *range,
                                     uint64_t *removed) {
    ApiRange bounds;
    uint64_t count = 0;
    TRY(api_tx_call(tx, membrane));
    Env *env = &membrane->db->env;
    if (range && range->struct_size == sizeof *range && (range->limit || range->reverse))
        return env_fail(env, NACRE_INVALID_ARGUMENT, "range: limit and reverse are for cursors, not for clear");
    TRY(api_range(membrane, range, &bounds));
    nacre_status status = transaction_clear(tx, membrane, bounds.bounds, api_range_filter(&bounds), &count);
    api_range_clear(env, &bounds);
    if (status == NACRE_OK && removed) *removed = count;
    return status;
}

nacre_status nacre_savepoint(nacre_transaction *tx, uint64_t *serial) {
    if (!tx) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(transaction_db(tx)));
    if (!serial) return api_null(transaction_db(tx), "serial");
    return transaction_savepoint(tx, serial);
}

nacre_status nacre_rollback_to(nacre_transaction *tx, uint64_t serial) {
    if (!tx) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(transaction_db(tx)));
    return transaction_rollback_to(tx, serial);
}

nacre_status nacre_savepoint_release(nacre_transaction *tx, uint64_t serial) {
    if (!tx) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(transaction_db(tx)));
    return transaction_release(tx, serial);
}

nacre_status nacre_commit(nacre_transaction *tx) {
    if (!tx) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(transaction_db(tx)));
    return transaction_commit(tx, true);
}

void nacre_rollback(nacre_transaction *tx) {
    if (!tx || transaction_db(tx)->in_hook) return; /* it may be this one that is being committed */
    db_call(transaction_db(tx));
    transaction_rollback(tx);
}
