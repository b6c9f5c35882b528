/* search.c - the k nearest rows. What has no codes is scored whole, in memtables and segments alike;
 * what has goes another way (search_codes.c). Either way only a row that beats the k-th so far is
 * looked at more closely: is it the newest of its key, does it match the filter?
 *
 * Why a row's liveness is asked so late, and not kept up by every write: a look-up per
 * write costs more than all else a put does, while a search asks about k ln(n / k) rows.
 * What was found shadowed is remembered, a bit per slot (Segment.dead), so that a row is
 * asked about once. */
#include "db/search.h"

#include "memtable/mem_iter.h"

#include <math.h>

enum {
    SCORES_AT_ONCE = VECTOR_UNIT / 4,
    RECORDS_AT_ONCE = 256, /* of a memtable, between looks at the clock */
};

struct Hits {
    Db *db;
    Hit *items;
    uint32_t count;
    size_t capacity;
    uint8_t *bytes; /* what items borrow */
    size_t bytes_size;
};

/* ---- the k nearest so far ---- */

static bool candidate_after(float distance_a, Span key_a, float distance_b, Span key_b) {
    if (distance_a != distance_b) return distance_a > distance_b;
    return span_compare(key_a, key_b) > 0;
}

static bool heap_after(const Search *s, uint32_t a, uint32_t b) {
    const Candidate *x = &s->heap[a], *y = &s->heap[b];
    return candidate_after(x->distance, span_of(x->key, x->key_size), y->distance, span_of(y->key, y->key_size));
}

static void heap_swap(Search *s, uint32_t a, uint32_t b) {
    Candidate kept = s->heap[a];
    s->heap[a] = s->heap[b];
    s->heap[b] = kept;
}

static void heap_down(Search *s, uint32_t at, uint32_t count) {
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= count) return;
        if (child + 1 < count && heap_after(s, child + 1, child)) child++;
        if (!heap_after(s, child, at)) return;
        heap_swap(s, child, at);
        at = child;
    }
}

static void heap_up(Search *s, uint32_t at) {
    while (at > 0 && heap_after(s, at, (at - 1) / 2)) {
        heap_swap(s, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

nacre_status search_in_time(const Search *s) {
    Env *env = &s->db->env;
    if (!s->deadline_ms || env->vfs->now_ms(env->vfs->self) < s->deadline_ms) return NACRE_OK;
    return env_fail(env, NACRE_TIMEOUT, "search of \"%s\": not done in the time that it was given", s->membrane->name);
}

static nacre_status search_keep(Search *s, Candidate found, Span key) {
    Env *env = &s->db->env;
    bool full = s->count == s->k;
    if (full && !candidate_after(s->heap[0].distance, span_of(s->heap[0].key, s->heap[0].key_size), found.distance, key))
        return NACRE_OK;
    if (!full) {
        void *heap = s->heap;
        TRY(env_grow(env, &heap, &s->capacity, s->count + 1u, sizeof(Candidate)));
        s->heap = heap;
        s->heap[s->count] = (Candidate){0};
    }
    Candidate *place = &s->heap[full ? 0 : s->count];
    void *bytes = place->key;
    size_t capacity = place->key_capacity;
    TRY(env_grow(env, &bytes, &capacity, key.size, 1));
    memcpy(bytes, key.data, key.size);
    *place = found;
    place->key = bytes;
    place->key_capacity = capacity;
    place->key_size = key.size;
    if (full) heap_down(s, 0, s->count);
    else heap_up(s, s->count++);
    return NACRE_OK;
}

static nacre_status search_matches(Search *s, const Entry *entry, bool *matches) {
    RowView row;
    *matches = true;
    if (!s->filter || s->masked) return NACRE_OK;
    s->db->counters.rows_checked++;
    TRY(row_load(s->db, s->membrane->id, entry, false, &s->blob, &s->blob_capacity, NULL, NULL, &row));
    *matches = filter_matches(s->filter, row.key, row.value);
    s->filter_asked++;
    s->filter_matched += *matches;
    return NACRE_OK;
}

/* ---- memtables ---- */

static nacre_status search_memtable(Search *s) {
    uint8_t bound[4];
    MemCursor cursor;
    put_u32_be(bound, s->membrane->id);
    mem_cursor_init(&cursor, s->source.table, s->source.stamp);
    size_t size = schema_vector_size(&s->membrane->schema);
    uint32_t seen = 0;
    for (bool on = mem_cursor_seek(&cursor, span_of(bound, 4)); on; on = mem_cursor_next(&cursor)) {
        Entry entry;
        float distance;
        if (++seen % RECORDS_AT_ONCE == 0) TRY(search_in_time(s));
        mem_entry(cursor.record, &entry);
        if (memcmp(entry.key.data, bound, 4) != 0) break;
        if (entry.vector.size != size) continue; /* a deletion */
        metric_many(&s->metric, entry.vector.data, size, 1, &distance);
        s->db->counters.vectors_scored++;
        if (!search_wants(s, distance) || state_gone(s->db, &entry)) continue;
        bool shadowed = false, matches = false;
        if (s->place > 0) TRY(view_shadowed(s->db, s->view, entry.key, s->place, &shadowed));
        if (!shadowed) TRY(search_matches(s, &entry, &matches));
        if (matches) TRY(search_keep(s, (Candidate){.distance = distance, .record = cursor.record}, entry.key));
    }
    s->scored_memory += (uint64_t)seen * size;
    return NACRE_OK;
}

/* ---- segments ---- */

void search_leave_block(Search *s) {
    cache_unpin(&s->db->cache, s->block_pin);
    s->block_pin = NULL;
}

/* Stands on the row of a slot. */
static nacre_status search_find_row(Search *s, uint32_t slot, uint32_t *row) {
    uint32_t index = segment_block_of_slot(s->segment, slot);
    if (!s->block_pin || index != s->block_index) {
        search_leave_block(s);
        TRY(segment_block(s->segment, index, &s->block, &s->block_pin));
        s->block_index = index;
    }
    uint32_t guess = slot < s->block.first_slot ? 0 : slot - s->block.first_slot;
    for (uint32_t i = guess < s->block.count ? guess : 0, looked = 0; looked < s->block.count; looked++) {
        if ((block_flags(&s->block, i) & ENTRY_VECTOR) && block_slot(&s->block, i) == slot) {
            *row = i;
            return NACRE_OK;
        }
        i = i + 1 < s->block.count ? i + 1 : 0;
    }
    return env_fail(&s->db->env, NACRE_CORRUPT, "%s: segment %llu: slot %u has no row", s->db->name,
                    (unsigned long long)s->segment->id, slot);
}

bool search_known_dead(const Search *s, const Segment *segment, uint32_t slot) {
    /* A section may lie about its first slot. */
    if (!segment->dead || slot / 8 >= segment->dead_size) return false;
    return s->view->lsn >= segment->dead_lsn && (segment->dead[slot / 8] >> slot % 8 & 1);
}

/* A row that is shadowed now stays so in every later state. */
static void search_note_dead(Search *s, uint32_t slot) {
    Segment *segment = s->segment;
    Env *env = &s->db->env;
    if (!segment->dead) {
        size_t size = (size_t)(segment->rows / 8 + 1);
        if (slot / 8 >= size) return;
        nacre_error error = env->error;
        segment->dead = env_alloc_zeroed(env, size);
        if (!segment->dead) { /* only a help: without room it is asked again */
            env->error = error;
            return;
        }
        segment->dead_size = size;
    }
    if (slot / 8 >= segment->dead_size) return;
    segment->dead[slot / 8] |= (uint8_t)(1u << slot % 8);
    if (s->view->lsn > segment->dead_lsn) segment->dead_lsn = s->view->lsn;
}

nacre_status search_consider(Search *s, uint32_t slot, float distance) {
    Db *db = s->db;
    uint32_t row = 0;
    if (search_known_dead(s, s->segment, slot)) return NACRE_OK;
    TRY(search_find_row(s, slot, &row));
    Entry entry = {0};
    TRY(segment_row_key(&db->env, &s->block, row, &s->key, &s->key_capacity, &entry.key));
    const Run *run = s->source.run;
    if (entry.key.size < 4 || get_u32_be(entry.key.data) != s->membrane->id) return NACRE_OK; /* verify tells */
    bool shadowed = run->above_size && span_compare(entry.key, span_of(run->above, run->above_size)) <= 0;
    if (shadowed) return NACRE_OK; /* moved by a merge: it is found there */
    TRY(view_shadowed(db, s->view, entry.key, s->place, &shadowed));
    if (shadowed) {
        if (!s->view->transaction) search_note_dead(s, slot); /* what hides it may be rolled back */
        return NACRE_OK;
    }
    segment_entry(s->segment, &s->block, row, &entry);
    if (state_gone(db, &entry)) return NACRE_OK;
    bool matches = false;
    TRY(search_matches(s, &entry, &matches));
    if (!matches) return NACRE_OK;
    Candidate found = {.distance = distance, .segment = s->segment, .block = s->block_index, .row = row};
    return search_keep(s, found, entry.key);
}

static nacre_status search_scores(Search *s, uint32_t first_slot, size_t count) {
    const float *scores = s->scores;
    s->db->counters.vectors_scored += count;
    for (size_t i = 0; i < count; i++) {
        /* Once the k nearest are found, hardly any row is nearer: eight are asked at once. */
        float limit = search_limit(s);
        if (limit < INFINITY && i + 8 <= count) {
            int any = 0;
            for (size_t j = 0; j < 8; j++) any |= scores[i + j] <= limit;
            if (!any) {
                i += 7;
                continue;
            }
        }
        if (search_wants(s, scores[i])) TRY(search_consider(s, first_slot + (uint32_t)i, scores[i]));
    }
    return NACRE_OK;
}

/* A vector that goes on in the next extent is put together. `pin` is the one it begins in. */
static nacre_status search_straddler(Search *s, const CacheEntry *pin, uint64_t offset, size_t stride) {
    size_t within = (size_t)(offset % EXTENT_SIZE), first = EXTENT_SIZE - within, used = 0;
    CacheEntry *rest = NULL;
    void *memory = s->scratch;
    TRY(env_grow(&s->db->env, &memory, &s->scratch_capacity, stride, 1));
    s->scratch = memory;
    memcpy(s->scratch, pin->data + within, first);
    TRY(segment_vector_extent(s->segment, (uint32_t)(offset / EXTENT_SIZE) + 1, &rest, &used));
    bool whole = used >= stride - first;
    if (whole) memcpy(s->scratch + first, rest->data, stride - first);
    cache_unpin(&s->db->cache, rest);
    if (!whole) /* checked when the section was: it lies within the stream */
        return env_fail(&s->db->env, NACRE_CORRUPT, "%s: segment %llu: vectors are cut short", s->db->name,
                        (unsigned long long)s->segment->id);
    metric_many(&s->metric, s->scratch, stride, 1, s->scores);
    return NACRE_OK;
}

/* Whole vectors are scored where they lie in the cache. */
nacre_status search_section(Search *s) {
    const Section *section = &s->section;
    size_t stride = section->stride;
    if (!s->scores && !(s->scores = env_alloc(&s->db->env, SCORES_AT_ONCE * sizeof(float)))) return NACRE_RESOURCE_EXHAUSTED;
    for (uint32_t slot = 0; slot < section->slot_count;) {
        uint64_t offset = section->offset + (uint64_t)slot * stride;
        size_t within = (size_t)(offset % EXTENT_SIZE), used = 0;
        CacheEntry *pin = NULL;
        TRY(search_in_time(s));
        TRY(segment_vector_extent(s->segment, (uint32_t)(offset / EXTENT_SIZE), &pin, &used));
        size_t count = used > within ? (used - within) / stride : 0;
        if (count > section->slot_count - slot) count = section->slot_count - slot;
        if (count > SCORES_AT_ONCE) count = SCORES_AT_ONCE;
        nacre_status status = NACRE_OK;
        if (count > 0) metric_many(&s->metric, pin->data + within, stride, count, s->scores);
        else status = search_straddler(s, pin, offset, stride);
        cache_unpin(&s->db->cache, pin);
        TRY(status);
        if (count == 0) count = 1;
        TRY(search_scores(s, section->first_slot + slot, count));
        slot += (uint32_t)count;
    }
    return NACRE_OK;
}

static nacre_status search_segment(Search *s, Segment *segment) {
    if (!segment_spans(segment, s->membrane->id)) return NACRE_OK;
    CacheEntry *meta_pin = NULL;
    TRY(segment_pin_meta(segment, &meta_pin));
    s->segment = segment;
    nacre_status status = NACRE_OK;
    if (segment_find_section(segment, s->membrane->id, &s->section) && s->section.slot_count > 0) {
        s->segments++;
        bool taken = false;
        if (s->section.stride == schema_vector_size(&s->membrane->schema)) {
            status = coded_take(s, &taken);
            if (status == NACRE_OK && !taken) status = search_section(s);
        } else
            status = env_fail(&s->db->env, NACRE_CORRUPT, "%s: segment %llu: vectors of %u bytes", s->db->name,
                              (unsigned long long)segment->id, s->section.stride);
    }
    search_leave_block(s);
    cache_unpin(&s->db->cache, meta_pin);
    return status;
}

/* ---- hits ---- */

void hits_free(Hits *hits) {
    if (!hits) return;
    Env *env = &hits->db->env;
    env_free(env, hits->items, hits->capacity * sizeof(Hit));
    env_free(env, hits->bytes, hits->bytes_size);
    env_free(env, hits, sizeof *hits);
}

uint32_t hits_count(const Hits *hits) { return hits->count; }
const Hit *hits_at(const Hits *hits, uint32_t index) { return &hits->items[index]; }

/* The row of a candidate, and the block it borrows from. */
static nacre_status search_entry(Search *s, const Candidate *c, Entry *entry, CacheEntry **pin) {
    *pin = NULL;
    if (c->record) {
        mem_entry(c->record, entry);
        return NACRE_OK;
    }
    CacheEntry *meta_pin = NULL;
    Block block;
    TRY(segment_pin_meta(c->segment, &meta_pin));
    nacre_status status = segment_block(c->segment, c->block, &block, pin);
    cache_unpin(&s->db->cache, meta_pin);
    TRY(status);
    segment_entry(c->segment, &block, c->row, entry);
    entry->key = span_of(c->key, c->key_size);
    return NACRE_OK;
}

static uint8_t *hit_copy(uint8_t *at, Span from, Span *to) {
    if (from.size) memcpy(at, from.data, from.size);
    *to = span_of(at, from.size);
    return at + round_up(from.size, 4);
}

/* Appends one row's bytes. Offsets stand in the views until all are there. */
static nacre_status hits_add(Search *s, Hits *hits, size_t *used, const Candidate *c, bool want_vectors) {
    Env *env = &s->db->env;
    Entry entry;
    CacheEntry *pin = NULL;
    RowView row;
    TRY(search_entry(s, c, &entry, &pin));
    if (!want_vectors) entry.vector = (Span){NULL, 0};
    nacre_status status = row_load(s->db, s->membrane->id, &entry, want_vectors, &s->blob, &s->blob_capacity,
                                   &s->scratch, &s->scratch_capacity, &row);
    void *bytes = hits->bytes;
    size_t need = *used + row.key.size + row.value.size + row.vector.size + 12;
    if (status == NACRE_OK) status = env_grow(env, &bytes, &hits->bytes_size, need, 1);
    if (status == NACRE_OK) {
        hits->bytes = bytes;
        Hit *hit = &hits->items[hits->count++];
        uint8_t *at = hits->bytes + *used;
        hit->distance = c->distance;
        hit->row.expires = row.expires;
        at = hit_copy(at, row.vector, &hit->row.vector);
        at = hit_copy(at, row.key, &hit->row.key);
        at = hit_copy(at, row.value, &hit->row.value);
        *used = (size_t)(at - hits->bytes);
    }
    cache_unpin(&s->db->cache, pin);
    return status;
}

static nacre_status search_hits(Search *s, bool want_vectors, Hits **out) {
    Env *env = &s->db->env;
    for (uint32_t left = s->count; left > 1; left--) { /* heap sort: nearest first */
        heap_swap(s, 0, left - 1);
        heap_down(s, 0, left - 1);
    }
    Hits *hits = env_alloc_zeroed(env, sizeof *hits);
    if (!hits) return NACRE_RESOURCE_EXHAUSTED;
    hits->db = s->db;
    nacre_status status = NACRE_OK;
    size_t used = 0;
    hits->capacity = s->count ? s->count : 1;
    if (!(hits->items = env_alloc_zeroed(env, hits->capacity * sizeof(Hit)))) {
        hits->capacity = 0;
        status = NACRE_RESOURCE_EXHAUSTED;
    }
    for (uint32_t i = 0; i < s->count && status == NACRE_OK; i++)
        status = hits_add(s, hits, &used, &s->heap[i], want_vectors);
    if (status != NACRE_OK) {
        hits_free(hits);
        return status;
    }
    const uint8_t *at = hits->bytes; /* growing may have moved the bytes: lay the views anew */
    for (uint32_t i = 0; i < hits->count; i++) {
        RowView *row = &hits->items[i].row;
        row->vector.data = at, at += round_up(row->vector.size, 4);
        row->key.data = at, at += round_up(row->key.size, 4);
        row->value.data = at, at += round_up(row->value.size, 4);
    }
    *out = hits;
    return NACRE_OK;
}

/* ---- the whole ---- */

static nacre_status search_check_options(const Membrane *membrane, const SearchQuery *query) {
    Env *env = &membrane->db->env;
    if (!(query->recall >= 0 && query->recall <= 1))
        return env_fail(env, NACRE_INVALID_ARGUMENT, "search of \"%s\": recall must be above 0 and up to 1",
                        membrane->name);
    if (query->exact && (query->recall > 0 || query->probes))
        return env_fail(env, NACRE_INVALID_ARGUMENT, "search of \"%s\": an exact search has neither recall nor probes",
                        membrane->name);
    if (query->limited && query->max_distance != query->max_distance)
        return env_fail(env, NACRE_INVALID_ARGUMENT, "search of \"%s\": max_distance is not a number", membrane->name);
    return NACRE_OK;
}

static nacre_status search_check(Membrane *membrane, const Snapshot *snapshot, const SearchQuery *query) {
    Env *env = &membrane->db->env;
    const Schema *schema = &membrane->schema;
    TRY(membrane_check(membrane));
    if (schema->kind != NACRE_COLLECTION)
        return env_fail(env, NACRE_WRONG_KIND, "membrane \"%s\" is a %s: only a collection can be searched",
                        membrane->name, kind_name(schema->kind));
    if (snapshot && snapshot->db != membrane->db) return env_fail(env, NACRE_MISUSE, "a snapshot of another database");
    if (query->k == 0 || query->k > nacre_limits_get().k_max)
        return env_fail(env, NACRE_INVALID_ARGUMENT, "search of \"%s\": k is %u, not 1 to %u", membrane->name,
                        query->k, nacre_limits_get().k_max);
    return search_check_options(membrane, query);
}

/* What is asked for is a vector of the membrane, as one that is put. */
static nacre_status search_check_vector(const Search *s, const SearchQuery *query) {
    Env *env = &s->db->env;
    const Schema *schema = &s->membrane->schema;
    if (s->metric.bits && !element_bits_end(query->vector, schema->dimensions))
        return env_fail(env, NACRE_INVALID_ARGUMENT, "search of \"%s\": bits behind the last one are not 0", s->membrane->name);
    if (s->metric.bits) return NACRE_OK;
    bool zero;
    size_t wrong = element_check((Element)schema->element, s->metric.query, schema->dimensions, &zero);
    if (wrong < schema->dimensions)
        return env_fail(env, NACRE_INVALID_ARGUMENT, "search of \"%s\": element %zu of the query is not finite",
                        s->membrane->name, wrong);
    if (zero && schema->metric == NACRE_COSINE)
        return env_fail(env, NACRE_INVALID_ARGUMENT, "search of \"%s\": the zero vector has no direction",
                        s->membrane->name);
    return NACRE_OK;
}

static nacre_status search_prepare(Search *s, const SearchQuery *query) {
    const Schema *schema = &s->membrane->schema;
    Element element = (Element)schema->element;
    s->room_size = metric_room(element, schema->dimensions) * sizeof(float);
    if (s->room_size && !(s->room = env_alloc(&s->db->env, s->room_size))) return NACRE_RESOURCE_EXHAUSTED;
    metric_elements_init(&s->metric, s->db->kernels, (Metric)schema->metric, element, query->vector,
                         schema->dimensions, s->room);
    return search_check_vector(s, query);
}

nacre_status db_search(Membrane *membrane, const Snapshot *snapshot, const SearchQuery *query, Hits **out) {
    Db *db = membrane->db;
    Env *env = &db->env;
    TRY(search_check(membrane, snapshot, query));
    Search s = {.db = db, .membrane = membrane, .view = state_view(db, snapshot), .k = query->k, .query = query};
    nacre_status status = NACRE_OK;
    uint64_t scored_before = db->counters.vectors_scored, codes_before = db->counters.codes_scored;
    s.recall = query->recall > 0 ? query->recall : SEARCH_RECALL;
    s.path = NACRE_PATH_EXACT;
    s.limit = query->limited ? query->max_distance : INFINITY;
    s.deadline_ms = query->deadline_ms;
    TRY_OUT(search_prepare(&s, query));
    if (query->filter.size) TRY_OUT(filter_compile(env, &membrane->schema, query->filter, &s.filter));
    TRY_OUT(search_in_time(&s));
    for (s.place = 0; s.place < view_source_count(s.view); s.place++) {
        s.source = view_source(s.view, s.place);
        if (s.source.table) TRY_OUT(search_memtable(&s));
        for (size_t i = 0; s.source.run && i < s.source.run->count; i++)
            TRY_OUT(search_segment(&s, s.source.run->segments[i]));
    }
    TRY_OUT(coded_search(&s));
    TRY_OUT(search_hits(&s, query->want_vectors, out));
    tidy_after_search(db, s.scored_memory, s.scored_flat);
    db->counters.searches++;
    if (query->report) {
        query->report->path = s.path;
        query->report->codes_scored += db->counters.codes_scored - codes_before;
        query->report->reranked += db->counters.vectors_scored - scored_before;
        query->report->segments += s.segments;
    }
out:
    coded_free(&s);
    filter_free(s.filter);
    for (uint32_t i = 0; i < s.count; i++) env_free(env, s.heap[i].key, s.heap[i].key_capacity);
    env_free(env, s.heap, s.capacity * sizeof(Candidate));
    if (s.scores) env_free(env, s.scores, SCORES_AT_ONCE * sizeof(float));
    env_free(env, s.room, s.room_size);
    env_free(env, s.scratch, s.scratch_capacity);
    env_free(env, s.key, s.key_capacity);
    env_free(env, s.blob, s.blob_capacity);
    return status;
}
