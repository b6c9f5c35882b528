/* bulk.c - rows of one membrane in the order of their keys, checked and handed to an ingest.
 * Knows nothing of how they become visible. */
#include "db/ingest.h"
#include "db/keycode.h"
#include "db/state.h"
#include "memtable/mem_iter.h"

#include <inttypes.h>
#include <stdio.h>

struct Bulk {
    Membrane *membrane;
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
    *out = bulk;
    return NACRE_OK;
}

/* One part of a key, cut to a length that fits into a message. */
static int bulk_name_part(const nacre_value *value, char *at, size_t size) {
    const uint8_t *bytes = value->bytes.data;
    int shown = value->bytes.size < 40 ? (int)value->bytes.size : 40, used = 0;
    switch (value->type) {
    case NACRE_TEXT: return snprintf(at, size, "\"%.*s\"%s", shown, (const char *)bytes, shown == 40 ? "..." : "");
    case NACRE_REAL: return snprintf(at, size, "%.17g", value->real);
    case NACRE_BYTES:
        used = snprintf(at, size, "0x");
        for (int i = 0; i < shown && i < 20 && (size_t)used + 3 < size; i++)
            used += snprintf(at + used, size - (size_t)used, "%02x", bytes[i]);
        return used;
    default: return snprintf(at, size, "%" PRId64, value->integer);
    }
}

static nacre_status bulk_refuse_order(const Bulk *bulk, Span key) {
    const Membrane *membrane = bulk->membrane;
    Env *env = &membrane->db->env;
    nacre_value values[NACRE_KEY_PARTS_MAX];
    char text[160];
    size_t used = 0;
    uint8_t *room = env_alloc(env, key.size);
    if (!room) return NACRE_RESOURCE_EXHAUSTED;
    if (key_decode(&membrane->schema, span_of(key.data + 4, key.size - 4), values, room))
        for (uint32_t i = 0; i < membrane->schema.key_count && used + 1 < sizeof text; i++) {
            if (i > 0) used += (size_t)snprintf(text + used, sizeof text - used, ", ");
            if (used < sizeof text) used += (size_t)bulk_name_part(&values[i], text + used, sizeof text - used);
        }
    nacre_status status = env_fail(env, NACRE_INVALID_ARGUMENT, "%s: bulk load: key %.*s of row %" PRIu64
                                   " is not above the one before it", membrane->name,
                                   (int)(used < sizeof text ? used : sizeof text - 1), text, bulk->rows);
    env_free(env, room, key.size);
    return status;
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
    Env *env = &bulk->membrane->db->env;
    ingest_free(bulk->ingest);
    env_free(env, bulk, sizeof *bulk);
}

Membrane *bulk_membrane(const Bulk *bulk) { return bulk->membrane; }
