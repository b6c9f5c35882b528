/* bulk.c - rows of one membrane in the order of their keys, checked and handed to an ingest.
 * Knows nothing of how they become visible. */
#include "db/ingest.h"
#include "db/keytext.h"
#include "db/state.h"
#include "memtable/mem_iter.h"

#include <inttypes.h>

struct Bulk {
    Membrane *membrane;
    Bulk *next, *previous;
    Ingest *ingest;
    uint64_t rows;
};

nacre_status bulk_begin(Membrane *membrane, Bulk **out) {
    Db *db = membrane->db;
    Ingest *ingest = NULL;
    TRY(membrane_check(membrane));
    TRY(ingest_begin(db, &ingest));
    nacre_status status = ingest_new_run(ingest);
    Bulk *bulk = status == NACRE_OK ? env_alloc_zeroed(&db->env, sizeof *bulk) : NULL;
    if (!bulk) {
        ingest_free(ingest);
        return status == NACRE_OK ? NACRE_RESOURCE_EXHAUSTED : status;
    }
    bulk->membrane = membrane;
    bulk->ingest = ingest;
    bulk->next = db->bulks;
    if (db->bulks) db->bulks->previous = bulk;
    db->bulks = bulk;
    *out = bulk;
    return NACRE_OK;
}

static nacre_status bulk_refuse_order(const Bulk *bulk, Span key) {
    const Membrane *membrane = bulk->membrane;
    Env *env = &membrane->db->env;
    char text[KEY_TEXT_SIZE];
    key_text(env, &membrane->schema, span_of(key.data + 4, key.size - 4), text);
    return env_fail(env, NACRE_INVALID_ARGUMENT, "%s: bulk load: key %s of row %" PRIu64
                    " is not above the one before it", membrane->name, text, bulk->rows);
}

static nacre_status bulk_row(Bulk *bulk, const uint8_t *record) {
    Membrane *membrane = bulk->membrane;
    Env *env = &membrane->db->env;
    Entry entry;
    mem_entry(record, &entry);
    if (get_u32_be(entry.key.data) != membrane->id)
        return env_fail(env, NACRE_INVALID_ARGUMENT, "%s: bulk load: a row of another membrane", membrane->name);
    if (entry.flags & ENTRY_DELETE)
        return env_fail(env, NACRE_INVALID_ARGUMENT, "%s: bulk load: a deletion", membrane->name);
    if (bulk->rows > 0 && span_compare(ingest_last_key(bulk->ingest), entry.key) >= 0)
        return bulk_refuse_order(bulk, entry.key);
    TRY(ingest_add(bulk->ingest, &entry));
    bulk->rows++;
    return NACRE_OK;
}

nacre_status bulk_add(Bulk *bulk, uint8_t *records, size_t size) {
    Membrane *membrane = bulk->membrane, *found = membrane;
    Db *db = membrane->db;
    TRY(membrane_check(membrane));
    TRY(state_writable(db));
    for (size_t at = 0, record = 0; at < size; at += record) {
        TRY(write_check_record(db, records + at, size - at, &found, &record));
        TRY(bulk_row(bulk, records + at));
    }
    return NACRE_OK;
}

nacre_status bulk_commit(Bulk *bulk, uint64_t *rows) {
    Membrane *membrane = bulk->membrane;
    nacre_status status = membrane_check(membrane);
    if (status == NACRE_OK) status = ingest_publish(bulk->ingest);
    if (status == NACRE_OK) *rows = bulk->rows;
    bulk_abort(bulk);
    return status;
}

void bulk_abort(Bulk *bulk) {
    if (!bulk) return;
    Db *db = bulk->membrane->db;
    ingest_free(bulk->ingest);
    if (bulk->next) bulk->next->previous = bulk->previous;
    if (bulk->previous) bulk->previous->next = bulk->next;
    else db->bulks = bulk->next;
    env_free(&db->env, bulk, sizeof *bulk);
}

void bulks_abort(Db *db) {
    while (db->bulks) bulk_abort(db->bulks);
}

Membrane *bulk_membrane(const Bulk *bulk) { return bulk->membrane; }
