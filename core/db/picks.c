/* picks.c - a filter asked of indexes instead of rows. Each part of it gives the rows that may match:
 * a bit each, in the segment's order; what is not indexed gives all. `not` is moved down to the tests,
 * where it turns a set of rows that surely match into those that may not. Knows nothing of which rows
 * are still there. */
#include "db/picks.h"

#include "db/filter_tree.h"
#include "db/index_format.h"
#include "db/keycode.h"
#include "db/row.h"
#include "memtable/mem_iter.h"

enum {
    PICKED_SHARE = 4,         /* picking pays where this part of the rows is left, at most */
    FIELDS_MEMORY_SHARE = 32, /* of the budget: values that one segment gathers */
    FIELDS_MEMORY = 4 << 20,  /* and at most */
};

/* ---- values ---- */

uint32_t picks_columns(const Schema *schema, uint16_t *columns) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < schema->field_count && count < LIMIT_INDEXED; i++)
        if (schema->fields[i].indexed) columns[count++] = (uint16_t)i;
    return count;
}

static bool picks_is_text(nacre_type type) { return type == NACRE_TEXT || type == NACRE_BYTES; }

static Span picks_cut(nacre_span text) {
    return span_of(text.data, text.size > INDEX_VALUE_SIZE ? INDEX_VALUE_SIZE + 1 : text.size);
}

bool picks_values(const Schema *schema, Span row, FieldValue *values) {
    ByteReader r = br_over(row);
    for (uint32_t i = 0, at = 0; i < schema->field_count; i++) {
        nacre_value value;
        nacre_type type = schema->fields[i].type;
        if (!row_value(&r, &value) || (value.type != NACRE_NULL && value.type != type)) return false;
        if (!schema->fields[i].indexed) continue;
        FieldValue *v = &values[at++];
        v->null = value.type == NACRE_NULL;
        v->bytes = (Span){NULL, 0};
        if (v->null) continue;
        if (picks_is_text(type)) v->bytes = picks_cut(value.bytes);
        else v->bytes = span_of(v->room, (size_t)(key_encode_part(type, &value, false, v->room) - v->room));
        if (at == LIMIT_INDEXED) return true;
    }
    return true;
}

static uint32_t picks_host_columns(void *self, uint32_t membrane, uint16_t *columns) {
    const Membrane *m = catalog_by_id(self, membrane);
    return m ? picks_columns(&m->schema, columns) : 0;
}

static bool picks_host_values(void *self, uint32_t membrane, Span row, FieldValue *values) {
    const Membrane *m = catalog_by_id(self, membrane);
    return m && picks_values(&m->schema, row, values);
}

void picks_init(Db *db) {
    uint64_t memory = db->options.memory / FIELDS_MEMORY_SHARE;
    db->field_host = (FieldHost){picks_host_columns, picks_host_values, db,
                                 memory < FIELDS_MEMORY ? (size_t)memory : FIELDS_MEMORY};
    db->io.field_host = &db->field_host;
}

/* A number as it is in an index; false: it has not the size. */
static bool picks_number(nacre_type type, Span bytes, nacre_value *value) {
    *value = (nacre_value){.type = type};
    if (bytes.size != (type == NACRE_BOOLEAN ? 1 : KEYCODE_NUMBER_SIZE)) return false;
    if (type == NACRE_REAL) value->real = key_part_real(bytes);
    else value->integer = type == NACRE_BOOLEAN ? bytes.data[0] : key_part_integer(bytes);
    return true;
}

/* ---- tests ---- */

typedef enum PicksVerdict { PICKS_NO, PICKS_MAYBE, PICKS_YES } PicksVerdict;
/* Where a group stands to those that a test is about, which follow each other. */
typedef enum PicksPlace { PICKS_BEFORE, PICKS_IN, PICKS_BEHIND } PicksPlace;

/* One test: of null, or of an operand. */
typedef struct PicksTest {
    uint8_t op; /* FILTER_EXISTS: is it null? */
    nacre_type type;
    const nacre_value *operand;
} PicksTest;

static PicksPlace picks_place_of_text(const PicksTest *t, Span value, PicksVerdict *verdict) {
    Span wanted = span_of(t->operand->bytes.data, t->operand->bytes.size), beginning = picks_cut(t->operand->bytes);
    bool cut = value.size > INDEX_VALUE_SIZE;
    *verdict = PICKS_YES;
    if (t->op == FILTER_CONTAINS) {
        if (!filter_has(value, wanted)) *verdict = cut ? PICKS_MAYBE : PICKS_NO;
        return PICKS_IN;
    }
    if (!span_starts_with(value, beginning)) return span_compare(value, beginning) < 0 ? PICKS_BEFORE : PICKS_BEHIND;
    if (wanted.size > beginning.size) *verdict = PICKS_MAYBE; /* both begin alike, and go on unseen */
    return PICKS_IN;
}

static PicksPlace picks_place(const PicksTest *t, const FieldGroup *g, PicksVerdict *verdict) {
    nacre_value value;
    int order;
    bool cut = false;
    *verdict = PICKS_YES;
    if (t->op == FILTER_EXISTS) return g->null ? PICKS_IN : PICKS_BEHIND;
    if (g->null) return PICKS_BEFORE;
    if (t->op == FILTER_CONTAINS || t->op == FILTER_STARTS_WITH) return picks_place_of_text(t, g->value, verdict);
    if (picks_is_text(t->type)) {
        order = span_compare(g->value, picks_cut(t->operand->bytes));
        cut = order == 0 && g->value.size > INDEX_VALUE_SIZE;
    } else if (picks_number(t->type, g->value, &value)) {
        order = filter_order(&value, t->operand);
    } else {
        *verdict = PICKS_MAYBE; /* no value of this type: rows tell */
        return PICKS_IN;
    }
    if (cut) *verdict = PICKS_MAYBE;
    switch (t->op) {
    case FILTER_GT: return order > 0 || cut ? PICKS_IN : PICKS_BEFORE;
    case FILTER_GTE: return order >= 0 ? PICKS_IN : PICKS_BEFORE;
    case FILTER_LT: return order < 0 || cut ? PICKS_IN : PICKS_BEHIND;
    case FILTER_LTE: return order <= 0 ? PICKS_IN : PICKS_BEHIND;
    default: return order < 0 ? PICKS_BEFORE : order > 0 ? PICKS_BEHIND : PICKS_IN;
    }
}

/* ---- an index ---- */

typedef struct PicksMaker {
    Db *db;
    Segment *segment;
    uint32_t membrane;
    const Filter *filter;
    const SegmentFields *fields;
    uint32_t rows;
    bool exact;
} PicksMaker;

/* The last page whose first group is before those of the test, or the first one. */
static nacre_status picks_first_page(const PicksMaker *m, const FieldIndex *index, const PicksTest *t, uint32_t *page) {
    uint32_t low = 0, high = index->page_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        CacheEntry *pin;
        const uint8_t *at, *end;
        PicksVerdict verdict;
        TRY(segment_field_page(m->segment, index, middle, &pin, &at, &end));
        FieldGroup group = fields_group(&at);
        if (picks_place(t, &group, &verdict) == PICKS_BEFORE) low = middle;
        else high = middle;
        cache_unpin(&m->db->cache, pin);
    }
    *page = low;
    return NACRE_OK;
}

/* Sets the bits of rows that the test holds for; `surely`: and not of those that it may hold for. */
static nacre_status picks_test(PicksMaker *m, const FieldIndex *index, const PicksTest *t, bool surely, uint8_t *bits) {
    uint32_t page;
    PicksPlace place = PICKS_BEFORE;
    TRY(picks_first_page(m, index, t, &page));
    for (; page < index->page_count && place != PICKS_BEHIND; page++) {
        CacheEntry *pin;
        const uint8_t *at, *end;
        TRY(segment_field_page(m->segment, index, page, &pin, &at, &end));
        while (at < end && place != PICKS_BEHIND) {
            FieldGroup group = fields_group(&at);
            PicksVerdict verdict;
            place = picks_place(t, &group, &verdict);
            if (place != PICKS_IN || verdict == PICKS_NO) continue;
            m->exact &= verdict == PICKS_YES;
            if (verdict == PICKS_YES || !surely) fields_mark(&group, bits);
        }
        cache_unpin(&m->db->cache, pin);
    }
    return NACRE_OK;
}

static void picks_turn(const PicksMaker *m, uint8_t *bits) {
    for (uint32_t i = 0; i < m->rows / 8; i++) bits[i] = (uint8_t)~bits[i];
    if (m->rows % 8) bits[m->rows / 8] ^= (uint8_t)((1u << m->rows % 8) - 1);
}

/* One node that asks an indexed field. `bits` are zeros. */
static nacre_status picks_leaf(PicksMaker *m, const FilterNode *node, const FieldIndex *index, bool negated, uint8_t *bits) {
    PicksTest t = {.op = node->op, .type = node->type};
    bool turned = node->op == FILTER_NE || node->op == FILTER_NIN || (node->op == FILTER_EXISTS && node->exists);
    bool asks_null = node->null || turned || node->op == FILTER_EXISTS; /* `ne` and `nin` do not hold for null */
    bool flipped = turned != negated;
    if (node->op == FILTER_NE) t.op = FILTER_EQ;
    if (asks_null) TRY(picks_test(m, index, &(PicksTest){.op = FILTER_EXISTS}, flipped, bits));
    uint32_t count = node->op == FILTER_EXISTS || (node->null && node->op <= FILTER_NE) ? 0 : node->count;
    for (uint32_t i = 0; i < count; i++) {
        t.operand = &m->filter->operands[node->first + i].value;
        TRY(picks_test(m, index, &t, flipped, bits));
    }
    if (flipped) picks_turn(m, bits);
    return NACRE_OK;
}

/* ---- the tree ---- */

static nacre_status picks_node(PicksMaker *m, uint32_t at, bool negated, uint8_t *bits, bool *known);

/* The children of `and` and `or`; of an `or` that is negated all must not hold, as of an `and`. */
static nacre_status picks_children(PicksMaker *m, uint32_t at, bool negated, uint8_t *bits, bool *known) {
    const FilterNode *nodes = m->filter->nodes;
    const FilterNode *node = &nodes[at];
    bool both = (node->op == FILTER_AND) != negated;
    size_t size = run_pick_size(m->rows);
    uint8_t *part = env_alloc(&m->db->env, size);
    nacre_status status = part ? NACRE_OK : NACRE_RESOURCE_EXHAUSTED;
    *known = !both; /* none: true of and, false of or */
    for (uint32_t child = at + 1; child < node->end && status == NACRE_OK; child = nodes[child].end) {
        bool told = false;
        memset(part, 0, size);
        status = picks_node(m, child, negated, part, &told);
        if (!told) m->exact = false;
        if (!told && both) continue;
        if (!told) *known = false;
        if (!told) break;
        for (size_t i = 0; i < size; i++) bits[i] = (uint8_t)(both && *known ? bits[i] & part[i] : bits[i] | part[i]);
        *known = true;
    }
    env_free(&m->db->env, part, size);
    return status;
}

/* Rows for which node `at` may hold, or, negated, not hold: in `bits`, which are zeros. *known false: all. */
static nacre_status picks_node(PicksMaker *m, uint32_t at, bool negated, uint8_t *bits, bool *known) {
    const FilterNode *node = &m->filter->nodes[at];
    FieldIndex index;
    if (node->op == FILTER_NOT) return picks_node(m, at + 1, !negated, bits, known);
    if (node->op == FILTER_AND || node->op == FILTER_OR) return picks_children(m, at, negated, bits, known);
    *known = node->column != FILTER_KEY && fields_find(m->fields, m->membrane, node->column, &index) && index.rows == m->rows;
    return *known ? picks_leaf(m, node, &index, negated, bits) : NACRE_OK;
}

/* Any entry of the membrane tells of its rows. */
static bool picks_section(const SegmentFields *fields, uint32_t membrane, RunPick *pick) {
    for (uint32_t i = 0; i < fields->entry_count; i++) {
        FieldIndex index = fields_entry(fields, i);
        if (index.membrane != membrane) continue;
        pick->first = index.first;
        pick->rows = index.rows;
        return true;
    }
    return false;
}

static nacre_status picks_make(Db *db, Segment *segment, uint32_t membrane, const Filter *filter, Picks *picks) {
    RunPick *pick = &picks->pick;
    if (!filter->indexed || segment->streams[STREAM_FIELDS].size == 0) return NACRE_OK;
    TRY(segment_fields(segment, &pick->fields));
    if (!picks_section(&pick->fields, membrane, pick)) return NACRE_OK;
    PicksMaker m = {.db = db, .segment = segment, .membrane = membrane, .filter = filter, .fields = &pick->fields,
                    .rows = pick->rows, .exact = true};
    size_t size = run_pick_size(pick->rows);
    bool known = false;
    if (!(pick->bits = env_alloc_zeroed(&db->env, size))) return NACRE_RESOURCE_EXHAUSTED;
    TRY(picks_node(&m, 0, false, pick->bits, &known));
    if (!known) {
        env_free(&db->env, pick->bits, size);
        pick->bits = NULL;
        return NACRE_OK;
    }
    picks->exact = m.exact;
    for (size_t i = 0; i < size; i += 4) picks->count += (uint32_t)__builtin_popcount(get_u32(pick->bits + i));
    return NACRE_OK;
}

nacre_status picks_find(Db *db, Segment *segment, uint32_t membrane, const Filter *filter, Picks *picks) {
    *picks = (Picks){0};
    nacre_error error = db->env.error;
    nacre_status status = picks_make(db, segment, membrane, filter, picks);
    if (status == NACRE_OK && picks->pick.bits) return NACRE_OK;
    run_pick_clear(&db->io, &picks->pick);
    db->indexes_damaged |= status == NACRE_CORRUPT;
    if (status != NACRE_RESOURCE_EXHAUSTED) return status;
    db->env.error = error; /* no room for bits: rows are asked one by one */
    return NACRE_OK;
}

/* ---- a view ---- */

typedef struct PicksView {
    Db *db;
    uint32_t membrane;
    const Filter *filter;
    uint64_t rows, left; /* of segments: all, and those that are picked */
} PicksView;

static nacre_status picks_open_run(PicksView *v, const Run *run, Iter **iter) {
    Env *env = &v->db->env;
    size_t first = 0, count = 0;
    while (first < run->count && !segment_spans(run->segments[first], v->membrane)) first++;
    while (first + count < run->count && segment_spans(run->segments[first + count], v->membrane)) count++;
    *iter = NULL;
    if (count == 0) return NACRE_OK;
    RunPick *picks = env_alloc_zeroed(env, count * sizeof *picks);
    if (!picks) return NACRE_RESOURCE_EXHAUSTED;
    nacre_status status = NACRE_OK;
    for (size_t i = 0; i < count && status == NACRE_OK; i++) {
        Picks found;
        Segment *segment = run->segments[first + i];
        status = picks_find(v->db, segment, v->membrane, v->filter, &found);
        picks[i] = found.pick;
        v->rows += segment->rows;
        v->left += found.pick.bits ? found.count : segment->rows;
    }
    if (status == NACRE_OK)
        status = run_iter_open_picked(&v->db->io, run->segments + first, count, span_of(run->above, run->above_size), picks, iter);
    else
        for (size_t i = 0; i < count; i++) run_pick_clear(&v->db->io, &picks[i]);
    env_free(env, picks, count * sizeof *picks);
    return status;
}

nacre_status picks_merge(Db *db, const Snapshot *view, uint32_t membrane, const Filter *filter, Merge *merge,
                         size_t **places, size_t *place_count) {
    PicksView v = {.db = db, .membrane = membrane, .filter = filter};
    size_t most = view_source_count(view), count = 0;
    Iter **iters = env_alloc(&db->env, most * sizeof *iters);
    size_t *at = env_alloc(&db->env, most * sizeof *at);
    nacre_status status = iters && at ? NACRE_OK : NACRE_RESOURCE_EXHAUSTED;
    *places = NULL;
    for (size_t i = 0; i < most && status == NACRE_OK; i++) {
        ViewSource source = view_source(view, i);
        Iter *iter = NULL;
        if (source.table) status = mem_iter_open(source.table, source.stamp, &iter);
        else if (source.run) status = picks_open_run(&v, source.run, &iter);
        if (status != NACRE_OK || !iter) continue;
        at[count] = i;
        iters[count++] = iter;
    }
    bool pays = status == NACRE_OK && v.left <= v.rows / PICKED_SHARE && v.rows > 0;
    if (pays) {
        merge_clear(merge);
        status = merge_init(merge, &db->env, iters, count);
    } else {
        for (size_t i = 0; i < count; i++) iters[i]->verbs->close(iters[i]);
    }
    env_free(&db->env, iters, most * sizeof *iters);
    if (pays && status == NACRE_OK) {
        *places = at;
        *place_count = most;
    } else {
        env_free(&db->env, at, most * sizeof *at);
    }
    return status;
}
