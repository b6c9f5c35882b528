/* fields_writer.c - rows by value: pieces of them are sorted as they fill, and merged at the end. */
#include "segment/fields_writer.h"

#include "base/codec.h"

enum { PIECE_ROWS = 2048 }; /* sorted at once, so that no single row waits long */

#define FIELD_IS_NULL 9u
#define FIELD_REST 16u

void fields_writer_clear(FieldsWriter *w) {
    if (!w->env) return;
    for (uint32_t i = 0; i < w->column_count; i++) {
        env_free(w->env, w->columns[i].rows, w->columns[i].capacity * sizeof(FieldRow));
        env_free(w->env, w->columns[i].bytes, w->columns[i].bytes_capacity);
    }
    env_free(w->env, w->scratch, w->scratch_capacity * sizeof(FieldRow));
    memset(w, 0, sizeof *w);
}

void fields_writer_begin(FieldsWriter *w, Env *env, const FieldHost *host, uint32_t membrane, uint32_t first) {
    uint16_t columns[LIMIT_INDEXED];
    fields_writer_clear(w);
    if (!host) return;
    w->env = env;
    w->host = host;
    w->membrane = membrane;
    w->first = first;
    w->column_count = host->columns(host->self, membrane, columns);
    for (uint32_t i = 0; i < w->column_count; i++) w->columns[i].column = columns[i];
}

bool fields_writer_is_full(const FieldsWriter *w) { return w->column_count && w->memory >= w->host->memory; }

/* ---- values ---- */

/* All of a value behind its first 8 bytes. */
static Span field_rest(const FieldColumn *c, const FieldRow *row) {
    if (row->rest < FIELD_REST) return (Span){NULL, 0};
    const uint8_t *at = c->bytes + (row->rest - FIELD_REST);
    return span_of(at + 1, at[0]);
}

static int field_compare(const FieldColumn *c, const FieldRow *a, const FieldRow *b) {
    bool null_a = a->rest == FIELD_IS_NULL, null_b = b->rest == FIELD_IS_NULL;
    if (null_a || null_b) return (int)null_b - (int)null_a;
    if (a->head != b->head) return a->head < b->head ? -1 : 1;
    if (a->rest < FIELD_REST || b->rest < FIELD_REST) { /* one of them has 8 bytes at most: the other begins with it */
        uint32_t x = a->rest < FIELD_REST ? a->rest : FIELD_REST, y = b->rest < FIELD_REST ? b->rest : FIELD_REST;
        return (x > y) - (x < y);
    }
    return span_compare(field_rest(c, a), field_rest(c, b));
}

/* Merges of neighbours, from sorted pieces of `width` rows on. Rows of a value stay in their order. */
static void field_sort(const FieldColumn *c, FieldRow *rows, size_t count, size_t width, FieldRow *scratch) {
    for (; width < count; width *= 2)
        for (size_t low = 0; low + width < count; low += 2 * width) {
            size_t middle = low + width, high = middle + width < count ? middle + width : count;
            if (field_compare(c, &rows[middle - 1], &rows[middle]) <= 0) continue;
            memcpy(scratch, rows + low, width * sizeof *rows);
            size_t a = 0, b = middle, to = low;
            while (a < width)
                rows[to++] = b < high && field_compare(c, &rows[b], &scratch[a]) < 0 ? rows[b++] : scratch[a++];
        }
}

static nacre_status field_add(FieldsWriter *w, FieldColumn *c, const FieldValue *value) {
    void *rows = c->rows, *bytes = c->bytes;
    FieldRow row = {.number = w->count};
    size_t size = value->bytes.size;
    TRY(env_grow(w->env, &rows, &c->capacity, (size_t)w->count + 1, sizeof *c->rows));
    c->rows = rows;
    for (size_t i = 0; i < 8 && !value->null; i++) row.head = row.head << 8 | (i < size ? value->bytes.data[i] : 0);
    row.rest = value->null ? FIELD_IS_NULL : (uint32_t)size;
    if (!value->null && size > 8) {
        TRY(env_grow(w->env, &bytes, &c->bytes_capacity, c->bytes_size + size - 7, 1));
        c->bytes = bytes;
        row.rest = FIELD_REST + (uint32_t)c->bytes_size;
        c->bytes[c->bytes_size] = (uint8_t)(size - 8);
        memcpy(c->bytes + c->bytes_size + 1, value->bytes.data + 8, size - 8);
        c->bytes_size += size - 7;
        w->memory += size - 7;
    }
    c->rows[w->count] = row;
    w->memory += sizeof row;
    return NACRE_OK;
}

static nacre_status fields_room(FieldsWriter *w, size_t rows) {
    void *scratch = w->scratch;
    TRY(env_grow(w->env, &scratch, &w->scratch_capacity, rows, sizeof *w->scratch));
    w->scratch = scratch;
    return NACRE_OK;
}

static nacre_status fields_add_all(FieldsWriter *w, const FieldValue *values) {
    for (uint32_t i = 0; i < w->column_count; i++) TRY(field_add(w, &w->columns[i], &values[i]));
    if (++w->count % PIECE_ROWS) return NACRE_OK;
    TRY(fields_room(w, PIECE_ROWS));
    for (uint32_t i = 0; i < w->column_count; i++)
        field_sort(&w->columns[i], w->columns[i].rows + w->count - PIECE_ROWS, PIECE_ROWS, 1, w->scratch);
    return NACRE_OK;
}

nacre_status fields_writer_add(FieldsWriter *w, Span row) {
    FieldValue values[LIMIT_INDEXED];
    if (w->column_count == 0) return NACRE_OK;
    if (!w->host->values(w->host->self, w->membrane, row, values)) {
        fields_writer_clear(w);
        return NACRE_OK;
    }
    nacre_error error = w->env->error;
    nacre_status status = fields_add_all(w, values);
    if (status != NACRE_RESOURCE_EXHAUSTED) return status;
    w->env->error = error;
    fields_writer_clear(w);
    return NACRE_OK;
}

void fields_writer_end(FieldsWriter *w) {
    if (w->column_count == 0 || w->count == 0) {
        fields_writer_clear(w);
        return;
    }
    nacre_error error = w->env->error;
    size_t last = w->count % PIECE_ROWS, sorted = w->count - last;
    if (fields_room(w, w->count) != NACRE_OK) {
        w->env->error = error;
        fields_writer_clear(w);
        return;
    }
    for (uint32_t i = 0; i < w->column_count; i++) {
        field_sort(&w->columns[i], w->columns[i].rows + sorted, last, 1, w->scratch);
        field_sort(&w->columns[i], w->columns[i].rows, w->count, PIECE_ROWS, w->scratch);
    }
}

/* ---- pages ---- */

static uint8_t *field_put_value(const FieldColumn *c, const FieldRow *row, uint8_t *at) {
    uint8_t head[8];
    Span rest = field_rest(c, row);
    if (row->rest == FIELD_IS_NULL) {
        *at = FIELDS_NULL;
        return at + 1;
    }
    size_t first = row->rest < FIELD_REST ? row->rest : 8;
    put_u64_be(head, row->head);
    *at = (uint8_t)(first + rest.size);
    memcpy(at + 1, head, first);
    bytes_copy(at + 1 + first, rest.data, rest.size);
    return at + 1 + first + rest.size;
}

static uint8_t *field_put_number(uint8_t *at, uint32_t number) {
    for (; number >= 0x80; number >>= 7) *at++ = (uint8_t)(number | 0x80);
    *at++ = (uint8_t)number;
    return at;
}

void fields_writer_page(const FieldsWriter *w, const FieldColumn *c, uint32_t *row, uint8_t *page) {
    uint8_t *at = page + FIELDS_PAGE_HEAD, *end = page + FIELDS_PAGE;
    memset(page, 0, FIELDS_PAGE);
    while (*row < w->count && end - at >= FIELDS_GROUP_HEAD + FIELDS_VALUE_MAX + FIELDS_VARINT_MAX) {
        const FieldRow *first = &c->rows[*row];
        uint8_t *head = field_put_value(c, first, at), *numbers = head + 4;
        uint32_t count = 0, before = 0;
        for (at = numbers; end - at >= FIELDS_VARINT_MAX && count < UINT16_MAX && *row < w->count; count++) {
            const FieldRow *r = &c->rows[*row];
            if (count && field_compare(c, first, r) != 0) break;
            at = field_put_number(at, r->number - before);
            before = r->number;
            ++*row;
        }
        put_u16(head, (uint16_t)count);
        put_u16(head + 2, (uint16_t)(at - numbers));
    }
    put_u16(page + 8, (uint16_t)(at - page));
}
