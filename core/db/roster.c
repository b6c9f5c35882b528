/* roster.c - decodes the catalog's rows (catalog_format.h) and the manifest's copy of it
 * (manifest_format.h, rule 8). Knows nothing of where they were found. */
#include "db/roster.h"

#include "base/codec.h"
#include "base/utf8.h"
#include "db/catalog_format.h"

static void roster_free_entry(Env *env, RosterEntry *entry) {
    schema_clear(env, &entry->schema);
    if (entry->name) env_free(env, entry->name, entry->name_size + 1);
}

void roster_clear(Roster *roster) {
    if (!roster->env) return;
    for (size_t i = 0; i < roster->count; i++) roster_free_entry(roster->env, &roster->entries[i]);
    env_free(roster->env, roster->entries, roster->capacity * sizeof *roster->entries);
    *roster = (Roster){.env = roster->env};
}

static size_t roster_place(const Roster *roster, uint32_t id) {
    size_t low = 0, high = roster->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (roster->entries[middle].id < id) low = middle + 1;
        else high = middle;
    }
    return low;
}

const RosterEntry *roster_find(const Roster *roster, uint32_t id) {
    size_t at = roster_place(roster, id);
    return at < roster->count && roster->entries[at].id == id ? &roster->entries[at] : NULL;
}

/* Takes the entry; unless `replace`, what is known of its id already stays. */
static nacre_status roster_insert(Roster *roster, RosterEntry *entry, bool replace) {
    size_t at = roster_place(roster, entry->id);
    void *entries = roster->entries;
    if (at < roster->count && roster->entries[at].id == entry->id) {
        roster_free_entry(roster->env, replace ? &roster->entries[at] : entry);
        if (replace) roster->entries[at] = *entry;
        return NACRE_OK;
    }
    nacre_status status = env_grow(roster->env, &entries, &roster->capacity, roster->count + 1, sizeof *entry);
    if (status != NACRE_OK) {
        roster_free_entry(roster->env, entry);
        return status;
    }
    roster->entries = entries;
    memmove(&roster->entries[at + 1], &roster->entries[at], (roster->count - at) * sizeof *entry);
    roster->entries[at] = *entry;
    roster->count++;
    return NACRE_OK;
}

static nacre_status roster_add(Roster *roster, uint32_t id, Span name, Span schema, bool copied, bool replace) {
    Env *env = roster->env;
    RosterEntry entry = {.id = id, .copied = copied, .name_size = name.size};
    if (id == 0 || utf8_name_problem(name)) return env_fail(env, NACRE_CORRUPT, "catalog: a name or an id that cannot be");
    TRY(schema_decode(env, schema, NACRE_CORRUPT, &entry.schema));
    if (!(entry.name = env_alloc(env, name.size + 1))) {
        roster_free_entry(env, &entry);
        return NACRE_RESOURCE_EXHAUSTED;
    }
    memcpy(entry.name, name.data, name.size);
    entry.name[name.size] = 0;
    return roster_insert(roster, &entry, replace);
}

static nacre_status roster_take_row(Roster *roster, Span key, Span value, bool replace) {
    if ((key.size == 1 && key.data[0] == CATALOG_NEXT && value.size == 4) || catalog_is_token(key)) return NACRE_OK;
    if (key.size == 5 && key.data[0] == CATALOG_DROPPED)
        return roster_insert(roster, &(RosterEntry){.id = get_u32_be(key.data + 1), .dropped = true}, replace);
    if (key.size > 2 && key.data[0] == CATALOG_NAME && key.data[key.size - 1] == 0 && value.size > 4)
        return roster_add(roster, get_u32(value.data), span_of(key.data + 1, key.size - 2),
                          span_of(value.data + 4, value.size - 4), false, replace);
    return env_fail(roster->env, NACRE_CORRUPT, "catalog: a row of another kind");
}

nacre_status roster_add_row(Roster *roster, Span key, Span value) { return roster_take_row(roster, key, value, false); }
nacre_status roster_replace_row(Roster *roster, Span key, Span value) { return roster_take_row(roster, key, value, true); }

nacre_status roster_add_copy(Roster *roster, Span copy) {
    ByteReader r = br_over(copy);
    while (br_left(&r) > 0) {
        uint32_t id = br_u32(&r), name_size = br_u32(&r), schema_size = br_u32(&r);
        Span name = br_bytes(&r, name_size), schema = br_bytes(&r, schema_size);
        if (!br_ok(&r)) break;
        if (roster_find(roster, id)) continue;
        nacre_status status = roster_add(roster, id, name, schema, true, false);
        if (status == NACRE_RESOURCE_EXHAUSTED) return status;
        env_clear(roster->env);
    }
    return NACRE_OK;
}
