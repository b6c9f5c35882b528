/* fields_verify.c - do the indexed fields of a segment tell what its rows do? Sums over all rows are
 * compared, of numbers and values together, so that neither side has to be kept in memory. */
#include "segment/fields.h"

#include "segment/fields_format.h"
#include "segment/spare.h"

typedef struct FieldsCheck {
    Segment *segment;
    SegmentFields fields;
    uint64_t *sums;  /* of each entry, by its rows */
    bool *told;      /* of each entry: sums are known */
    uint32_t number; /* of the next row */
    bool strange;    /* an entry is of a field that is not indexed */
    bool shifted;    /* it is not what a block begins with */
    BlocksAhead ahead;
    uint8_t *key, *blob;
    size_t key_capacity, blob_capacity;
} FieldsCheck;

static nacre_status fields_wrong(const FieldsCheck *c, uint64_t offset, const char *what) {
    const Segment *segment = c->segment;
    return env_fail(segment->io->env, NACRE_CORRUPT, "%s: offset %llu: segment %llu: indexed fields: %s",
                    segment->io->data->name, (unsigned long long)segment_place(segment, STREAM_FIELDS, offset),
                    (unsigned long long)segment->id, what);
}

static uint64_t fields_sum(uint32_t number, bool null, Span value) {
    return checksum64(2 * (uint64_t)number + null, value.data, value.size);
}

/* ---- what the rows say ---- */

WRAPS static void fields_add_row(FieldsCheck *c, uint32_t membrane, Span row) {
    const FieldHost *host = c->segment->io->field_host;
    uint16_t columns[LIMIT_INDEXED];
    FieldValue values[LIMIT_INDEXED];
    uint32_t count = host ? host->columns(host->self, membrane, columns) : 0;
    bool known = count && host->values(host->self, membrane, row, values);
    for (uint32_t i = 0; i < c->fields.entry_count; i++) {
        FieldIndex e = fields_entry(&c->fields, i);
        uint32_t at = 0;
        if (e.membrane != membrane) continue;
        while (at < count && columns[at] != e.column) at++;
        if (!known) c->told[i] = false;
        else if (at == count) c->strange = true;
        else c->sums[i] += fields_sum(c->number - e.first, values[at].null, values[at].bytes);
    }
}

static nacre_status fields_check_row(FieldsCheck *c, const Block *block, uint32_t row) {
    Segment *segment = c->segment;
    Entry entry = {0};
    TRY(segment_row_key(segment->io->env, block, row, &c->key, &c->key_capacity, &entry.key));
    segment_entry(segment, block, row, &entry);
    Span value = entry.value;
    if (entry.key.size < 4) return NACRE_OK; /* told of elsewhere */
    if (entry.flags & ENTRY_BLOB) {
        void *blob = c->blob;
        TRY(segment_check_blob(segment, &entry.blob));
        if (entry.blob.size > LIMIT_VALUE_SIZE) return NACRE_OK;
        TRY(env_grow(segment->io->env, &blob, &c->blob_capacity, (size_t)entry.blob.size, 1));
        c->blob = blob;
        TRY(segment_read_blob(segment, entry.blob, c->blob));
        value = span_of(c->blob, (size_t)entry.blob.size);
    }
    fields_add_row(c, get_u32_be(entry.key.data), value);
    return NACRE_OK;
}

static nacre_status fields_check_rows(FieldsCheck *c) {
    for (uint32_t i = 0; i < c->fields.block_count; i++) {
        Block block;
        TRY(segment_block_ahead(c->segment, i, 0, &c->ahead, &block));
        c->shifted |= fields_before(&c->fields, i) != c->number;
        for (uint32_t row = 0; row < block.count; row++) {
            if (block_flags(&block, row) & ENTRY_DELETE) continue;
            TRY(fields_check_row(c, &block, row));
            c->number++;
        }
    }
    return NACRE_OK;
}

/* ---- what the index says ---- */

typedef struct FieldsWalk {
    FieldIndex entry;
    uint8_t *seen;
    uint64_t rows, sum;
    uint8_t last[FIELDS_VALUE_MAX]; /* of the page before */
    FieldGroup last_group;
    bool right;
} FieldsWalk;

WRAPS static void fields_check_group(FieldsWalk *w, const FieldGroup *g) {
    const uint8_t *at = g->numbers.data;
    uint32_t number = 0;
    for (uint32_t i = 0; i < g->count; i++) {
        at = fields_next(at, &number);
        w->right &= !(w->seen[number / 8] >> number % 8 & 1);
        w->seen[number / 8] |= (uint8_t)(1u << number % 8);
        w->sum += fields_sum(number, g->null, g->value);
    }
    w->rows += g->count;
}

static nacre_status fields_check_pages(FieldsCheck *c, FieldsWalk *w) {
    for (uint32_t page = 0; page < w->entry.page_count; page++) {
        CacheEntry *pin;
        const uint8_t *at, *end;
        FieldGroup group = {0};
        segment_forget_field_page(c->segment, &w->entry, page); /* what the cache has was right once */
        TRY(segment_field_page(c->segment, &w->entry, page, &pin, &at, &end));
        for (bool first = true; at < end; first = false) {
            group = fields_group(&at);
            if (first && page) w->right &= fields_order(&w->last_group, &group) <= 0;
            fields_check_group(w, &group);
        }
        for (const uint8_t *rest = end; rest < pin->data + FIELDS_PAGE; rest++) w->right &= *rest == 0;
        memcpy(w->last, group.value.data, group.value.size);
        w->last_group = (FieldGroup){.null = group.null, .value = span_of(w->last, group.value.size)};
        cache_unpin(c->segment->io->cache, pin);
    }
    return NACRE_OK;
}

static nacre_status fields_check_entry(FieldsCheck *c, uint32_t index, bool rows_read) {
    Env *env = c->segment->io->env;
    FieldsWalk w = {.entry = fields_entry(&c->fields, index), .right = true};
    uint64_t offset = (uint64_t)w.entry.first_page * FIELDS_PAGE;
    Section section;
    size_t size = w.entry.rows / 8 + 1;
    if (!segment_find_section(c->segment, w.entry.membrane, &section) || section.rows < w.entry.rows)
        return fields_wrong(c, offset, "of no section");
    if (!(w.seen = env_alloc_zeroed(env, size))) return NACRE_RESOURCE_EXHAUSTED;
    nacre_status status = fields_check_pages(c, &w);
    env_free(env, w.seen, size);
    TRY(status);
    if (!w.right || w.rows != w.entry.rows) return fields_wrong(c, offset, "not each row once, in order");
    if (rows_read && c->told[index] && w.sum != c->sums[index]) return fields_wrong(c, offset, "not what rows say");
    return NACRE_OK;
}

static nacre_status fields_check_all(FieldsCheck *c) {
    Env *env = c->segment->io->env;
    nacre_error error = env->error;
    nacre_status status = fields_check_rows(c);
    bool rows_read = status == NACRE_OK;
    if (status == NACRE_CORRUPT) env->error = error; /* told of with the rows */
    else TRY(status);
    if (c->shifted) return fields_wrong(c, 0, "a block begins with another row");
    if (c->strange) return fields_wrong(c, 0, "of a field that is not indexed");
    for (uint32_t i = 0; i < c->fields.entry_count; i++) TRY(fields_check_entry(c, i, rows_read));
    return NACRE_OK;
}

nacre_status segment_verify_fields(Segment *segment) {
    const SegmentIo *io = segment->io;
    FieldsCheck c = {.segment = segment};
    if (segment->streams[STREAM_FIELDS].size == 0) return NACRE_OK;
    cache_leave(io->cache, &segment->fields);
    TRY(segment_fields(segment, &c.fields));
    size_t count = c.fields.entry_count;
    c.sums = env_alloc_zeroed(io->env, count * sizeof *c.sums);
    c.told = env_alloc(io->env, count * sizeof *c.told);
    if (c.told) memset(c.told, 1, count * sizeof *c.told);
    nacre_status status = c.sums && c.told ? fields_check_all(&c) : NACRE_RESOURCE_EXHAUSTED;
    env_free(io->env, c.sums, count * sizeof *c.sums);
    env_free(io->env, c.told, count * sizeof *c.told);
    env_free(io->env, c.ahead.bytes, c.ahead.capacity);
    env_free(io->env, c.key, c.key_capacity);
    env_free(io->env, c.blob, c.blob_capacity);
    cache_unpin(io->cache, c.fields.pin);
    return status;
}
