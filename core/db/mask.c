/* mask.c - makes a mask by asking indexed fields, and the filter about every row of a section that they
 * leave, once. */
#include "db/mask.h"

#include "db/picks.h"

enum { MASK_PLACES = 4, MASK_PLACE_ROWS = 16 };

#define PLACE_MASK(hash) ((uint64_t)253 << 56 | ((hash) & 0xffffffffffffff))

/* The entry: section's slots u32 | count u32 | program size u32 | 0 u32 | bits, padded to 16 | program */
enum { MASK_HEAD = 16 };

static size_t mask_bits_size(uint32_t slots) { return run_pick_size(slots); }

typedef struct MaskWalk {
    Db *db;
    uint32_t membrane;
    Iter *rows;
    uint8_t *blob;
    size_t blob_capacity;
} MaskWalk;

static void mask_walk_end(MaskWalk *walk) {
    if (walk->rows) walk->rows->verbs->close(walk->rows);
    env_free(&walk->db->env, walk->blob, walk->blob_capacity);
}

/* `pick`: the rows to look at; taken. */
static nacre_status mask_walk_begin(MaskWalk *walk, Db *db, Segment *segment, uint32_t membrane, RunPick *pick) {
    *walk = (MaskWalk){.db = db, .membrane = membrane};
    return run_iter_open_picked(&db->io, &segment, 1, (Span){NULL, 0}, pick, &walk->rows);
}

/* Does the row match where the walk stands? *slot: its vector's. *here false: it is none of the membrane's. */
static nacre_status mask_walk_row(MaskWalk *walk, Filter *filter, bool *here, uint32_t *slot, bool *matches) {
    Entry entry = {0};
    RowView row;
    *here = walk->rows->valid && get_u32_be(walk->rows->key.data) == walk->membrane;
    *matches = false;
    if (!*here) return NACRE_OK;
    walk->rows->verbs->entry(walk->rows, &entry);
    *slot = entry.slot;
    if (!(entry.flags & ENTRY_VECTOR) || (entry.flags & ENTRY_DELETE)) return NACRE_OK;
    TRY(row_load(walk->db, walk->membrane, &entry, false, &walk->blob, &walk->blob_capacity, NULL, NULL, &row));
    walk->db->counters.rows_checked++;
    *matches = filter_matches(filter, row.key, row.value);
    return NACRE_OK;
}

static nacre_status mask_fill(MaskWalk *walk, const Section *section, Filter *filter, uint8_t *bits, uint32_t *count) {
    uint8_t low[4];
    put_u32_be(low, walk->membrane);
    TRY(walk->rows->verbs->seek(walk->rows, span_of(low, 4)));
    for (bool here = true; here;) {
        uint32_t slot = 0;
        bool matches;
        TRY(mask_walk_row(walk, filter, &here, &slot, &matches));
        if (!here) break;
        if (matches && slot >= section->first_slot && slot - section->first_slot < section->slot_count) {
            slot -= section->first_slot;
            *count += !(bits[slot / 8] >> slot % 8 & 1);
            bits[slot / 8] |= (uint8_t)(1u << slot % 8);
        }
        TRY(walk->rows->verbs->next(walk->rows));
    }
    return NACRE_OK;
}

/* Does the index alone tell? Each row that is no deletion has a vector, so that slots are numbers. */
static bool mask_is_known(const Section *section, const Picks *picks) {
    return picks->exact && picks->pick.rows == section->slot_count;
}

/* Takes what picks have. */
static nacre_status mask_make(Db *db, Segment *segment, const Section *section, Span program, Filter *filter,
                              uint64_t place, Picks *picks, CacheEntry **made) {
    size_t bits_size = mask_bits_size(section->slot_count);
    CacheEntry *entry;
    uint32_t count = picks->count;
    nacre_status status = cache_add(&db->cache, segment->id, place, MASK_HEAD + bits_size + program.size, &entry);
    if (status != NACRE_OK) {
        run_pick_clear(&db->io, &picks->pick);
        return status;
    }
    if (mask_is_known(section, picks)) {
        memcpy(entry->data + MASK_HEAD, picks->pick.bits, bits_size);
        run_pick_clear(&db->io, &picks->pick);
    } else {
        MaskWalk walk;
        count = 0;
        memset(entry->data, 0, MASK_HEAD + bits_size);
        status = mask_walk_begin(&walk, db, segment, section->membrane, &picks->pick);
        if (status == NACRE_OK) status = mask_fill(&walk, section, filter, entry->data + MASK_HEAD, &count);
        mask_walk_end(&walk);
    }
    if (status != NACRE_OK) {
        cache_abandon(&db->cache, entry);
        return status;
    }
    put_u32(entry->data, section->slot_count);
    put_u32(entry->data + 4, count);
    put_u32(entry->data + 8, (uint32_t)program.size);
    memcpy(entry->data + MASK_HEAD + bits_size, program.data, program.size);
    cache_publish(&db->cache, entry, NULL);
    *made = entry;
    return NACRE_OK;
}

static bool mask_is_of(const CacheEntry *entry, const Section *section, Span program) {
    size_t bits_size = mask_bits_size(section->slot_count);
    return get_u32(entry->data) == section->slot_count && get_u32(entry->data + 8) == program.size &&
           memcmp(entry->data + MASK_HEAD + bits_size, program.data, program.size) == 0;
}

nacre_status mask_get(Db *db, Segment *segment, const Section *section, Span program, Filter *filter, bool make,
                      Mask *mask) {
    uint64_t place = PLACE_MASK(checksum64(section->membrane, program.data, program.size));
    CacheEntry *entry = cache_get(&db->cache, segment->id, place);
    *mask = (Mask){0};
    if (entry && !mask_is_of(entry, section, program)) { /* two programs of one hash: the later one stays */
        cache_unpin(&db->cache, entry);
        if (entry->pins) return env_fail(&db->env, NACRE_CORRUPT, "%s: two segments %llu", db->name, (unsigned long long)segment->id);
        cache_drop(&db->cache, entry);
        entry = NULL;
    }
    if (!entry) {
        Picks picks;
        TRY(picks_find(db, segment, section->membrane, filter, &picks));
        if (!make && !mask_is_known(section, &picks)) {
            run_pick_clear(&db->io, &picks.pick);
            return NACRE_OK;
        }
        TRY(mask_make(db, segment, section, program, filter, place, &picks, &entry));
    }
    *mask = (Mask){entry->data + MASK_HEAD, get_u32(entry->data + 4), entry};
    return NACRE_OK;
}

nacre_status mask_sample(Db *db, Segment *segment, const Section *section, Filter *filter, uint32_t *looked,
                         uint32_t *matched) {
    MaskWalk walk;
    nacre_status status = mask_walk_begin(&walk, db, segment, section->membrane, &(RunPick){0});
    uint32_t first = segment_block_of_slot(segment, section->first_slot);
    uint32_t last = segment_block_of_slot(segment, section->first_slot + section->slot_count - 1);
    for (uint32_t place = 0; place < MASK_PLACES && status == NACRE_OK; place++) {
        uint32_t block = first + (uint32_t)((uint64_t)(last - first) * place / (MASK_PLACES - 1));
        Span separator = segment_separator(segment, block);
        uint8_t low[4];
        put_u32_be(low, section->membrane);
        bool here = true, matches;
        uint32_t slot;
        status = walk.rows->verbs->seek(walk.rows, block == first ? span_of(low, 4) : separator);
        for (uint32_t i = 0; i < MASK_PLACE_ROWS && here && status == NACRE_OK; i++) {
            status = mask_walk_row(&walk, filter, &here, &slot, &matches);
            if (!here || status != NACRE_OK) break;
            ++*looked;
            *matched += matches;
            status = walk.rows->verbs->next(walk.rows);
        }
    }
    mask_walk_end(&walk);
    return status;
}
