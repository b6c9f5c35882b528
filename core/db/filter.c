/* filter.c - a program of tests, checked once and then run over rows. Rules are those of
 * filter_format.h. Knows nothing of where rows come from. */
#include "db/filter_tree.h"

#include "base/decimal.h"
#include "base/json.h"
#include "db/keycode.h"
#include "db/row.h"

#include <stdlib.h>

/* ---- order of values ---- */

static bool filter_is_bytes(nacre_type type) {
    return type == NACRE_TEXT || type == NACRE_BYTES || type == NACRE_JSON;
}

static Span filter_span(const nacre_value *v) { return span_of(v->bytes.data, v->bytes.size); }

int filter_order(const nacre_value *a, const nacre_value *b) {
    if (filter_is_bytes(a->type)) return span_compare(filter_span(a), filter_span(b));
    if (a->type == NACRE_REAL && b->type == NACRE_REAL)
        return (a->real > b->real) - (a->real < b->real);
    if (a->type == NACRE_REAL) return -number_compare(b->integer, a->real);
    if (b->type == NACRE_REAL) return number_compare(a->integer, b->real);
    return (a->integer > b->integer) - (a->integer < b->integer);
}

/* Rule 5. */
static bool filter_is_null(const nacre_value *v) {
    return v->type == NACRE_NULL ||
           (v->type == NACRE_JSON && json_value(filter_span(v)).kind == JSON_NULL);
}

static int filter_operand_order(const void *a, const void *b) {
    return filter_order(&((const FilterOperand *)a)->value, &((const FilterOperand *)b)->value);
}

/* ---- compiling ---- */

typedef struct FilterCompile {
    Filter *filter;
    const Schema *schema;
    ByteReader reader;
    size_t things; /* nodes and operands, rule 6 */
} FilterCompile;

static nacre_status filter_malformed(const FilterCompile *c) {
    return env_fail(c->filter->env, NACRE_INVALID_ARGUMENT, "where: the program is malformed");
}

static nacre_status filter_refuse(const FilterCompile *c, const FilterNode *node,
                                  const char *problem) {
    Env *env = c->filter->env;
    if (node->column == FILTER_KEY)
        return env_fail(env, NACRE_INVALID_ARGUMENT, "where: key %s", problem);
    Span name = c->schema->fields[node->column].name;
    return env_fail(env, NACRE_INVALID_ARGUMENT, "where: field \"%.*s\" %s", (int)name.size,
                    (const char *)name.data, problem);
}

static nacre_status filter_count_thing(FilterCompile *c) {
    if (++c->things <= LIMIT_WHERE_NODES) return NACRE_OK;
    return env_fail(c->filter->env, NACRE_INVALID_ARGUMENT, "where: more than %d tests and values",
                    LIMIT_WHERE_NODES);
}

/* Rule 3, but for null. NULL when the value fits. */
static const char *filter_value_problem(nacre_type type, const nacre_value *v) {
    bool integer = v->type == NACRE_INTEGER || v->type == NACRE_BIGINT;
    switch (type) {
    case NACRE_INTEGER:
    case NACRE_BIGINT:
    case NACRE_REAL:
        if (v->type == NACRE_REAL && v->real != v->real) return "is compared with NaN";
        return integer || v->type == NACRE_REAL ? NULL
                                                : "is a number, and compared with something else";
    case NACRE_TIMESTAMP:
        return integer || v->type == type ? NULL
                                          : "is a timestamp, and compared with something else";
    case NACRE_BOOLEAN:
        return v->type == type ? NULL : "is a boolean, and compared with something else";
    case NACRE_TEXT:
        return v->type == type ? row_value_problem(type, v)
                               : "is text, and compared with something else";
    case NACRE_BYTES: return v->type == type ? NULL : "is bytes, and compared with something else";
    case NACRE_JSON:
        return v->type == type ? row_value_problem(type, v)
                               : "is json, and compared with something else";
    default: return "cannot be compared";
    }
}

/* Rule 4: which operators a column's type has. */
static const char *filter_op_problem(const FilterCompile *c, const FilterNode *node) {
    bool composite = node->column == FILTER_KEY && c->schema->key_count > 1;
    switch (node->op) {
    case FILTER_CONTAINS:
        if (composite || (node->type != NACRE_TEXT && node->type != NACRE_JSON))
            return "has no contains: that is for text and json";
        return NULL;
    case FILTER_STARTS_WITH:
        if (composite || (node->type != NACRE_TEXT && node->type != NACRE_BYTES))
            return "has no startsWith: that is for text and bytes";
        return NULL;
    case FILTER_GT:
    case FILTER_GTE:
    case FILTER_LT:
    case FILTER_LTE: return node->type == NACRE_JSON ? "is json, and has no order" : NULL;
    default: return NULL;
    }
}

/* Text that is compared with a key is kept as a key has it. */
static void filter_encode_operand(Filter *f, const FilterNode *node, FilterOperand *operand) {
    if (!filter_is_bytes(operand->value.type)) return;
    uint8_t *from = f->bytes + f->bytes_used, *at = key_escape(filter_span(&operand->value), from);
    if (node->op != FILTER_CONTAINS && node->op != FILTER_STARTS_WITH) {
        at[0] = KEYCODE_ESCAPE, at[1] = KEYCODE_END;
        at += 2;
    }
    operand->encoded = span_of(from, (size_t)(at - from));
    f->bytes_used += operand->encoded.size;
    ASSERT(f->bytes_used <= f->bytes_size);
}

static nacre_status filter_add_operand(FilterCompile *c, const FilterNode *node, nacre_type type,
                                       const nacre_value *value) {
    Filter *f = c->filter;
    const char *problem = filter_value_problem(type, value);
    if (problem) return filter_refuse(c, node, problem);
    void *operands = f->operands;
    nacre_status status = env_grow(f->env, &operands, &f->operand_capacity, f->operand_count + 1,
                                   sizeof(FilterOperand));
    f->operands = operands;
    TRY(status);
    FilterOperand *operand = &f->operands[f->operand_count++];
    *operand = (FilterOperand){.value = *value};
    if (node->column == FILTER_KEY) filter_encode_operand(f, node, operand);
    return NACRE_OK;
}

/* One value of the program: one operand, key_count operands, or null. */
static nacre_status filter_value(FilterCompile *c, FilterNode *node, bool *null) {
    uint32_t parts = node->column == FILTER_KEY ? c->schema->key_count : 1;
    nacre_value value;
    TRY(filter_count_thing(c));
    if (br_left(&c->reader) > 0 && c->reader.at[0] == FILTER_PARTS) {
        (void)br_u8(&c->reader);
        if (parts == 1 || br_u8(&c->reader) != parts)
            return filter_refuse(c, node, "is compared with a wrong number of parts");
        for (uint32_t i = 0; i < parts; i++) {
            if (!row_value(&c->reader, &value)) return filter_malformed(c);
            TRY(filter_add_operand(c, node, c->schema->key_types[i], &value));
        }
        return NACRE_OK;
    }
    if (!row_value(&c->reader, &value)) return filter_malformed(c);
    if (value.type == NACRE_JSON && !json_check(filter_span(&value)))
        return filter_refuse(c, node, "is compared with text that is not JSON");
    *null = value.type == NACRE_NULL || (node->op != FILTER_CONTAINS && filter_is_null(&value));
    if (*null) {
        bool asks = node->op == FILTER_EQ || node->op == FILTER_NE || node->op == FILTER_IN ||
                    node->op == FILTER_NIN;
        return asks ? NACRE_OK
                    : filter_refuse(
                          c, node,
                          "is compared with null, which only eq, ne, in and nin can"); /* rule 2 */
    }
    if (parts > 1)
        return filter_refuse(c, node, "is composite: compare it with an array of its parts");
    return filter_add_operand(c, node, node->type, &value);
}

static nacre_status filter_values(FilterCompile *c, FilterNode *node) { /* of in and nin */
    uint32_t given = br_u32(&c->reader);
    if (!br_ok(&c->reader)) return filter_malformed(c);
    for (uint32_t i = 0; i < given; i++) {
        bool null = false;
        TRY(filter_value(c, node, &null));
        if (null)
            node->null = true;
        else
            node->count++;
    }
    bool composite = node->column == FILTER_KEY && c->schema->key_count > 1;
    if (node->type != NACRE_JSON && !composite && node->count > 1)
        qsort(c->filter->operands + node->first, node->count, sizeof(FilterOperand),
              filter_operand_order);
    return NACRE_OK;
}

static nacre_status filter_test(FilterCompile *c, FilterNode *node) {
    Filter *f = c->filter;
    node->column = br_u16(&c->reader);
    if (!br_ok(&c->reader)) return filter_malformed(c);
    if (node->column != FILTER_KEY && node->column >= c->schema->field_count)
        return env_fail(f->env, NACRE_INVALID_ARGUMENT, "where: there is no field %u",
                        (unsigned)node->column);
    node->type =
        node->column == FILTER_KEY ? c->schema->key_types[0] : c->schema->fields[node->column].type;
    if (node->column != FILTER_KEY && node->column >= f->fields_needed)
        f->fields_needed = node->column + 1u;
    f->indexed |= node->column != FILTER_KEY && c->schema->fields[node->column].indexed;
    node->first = (uint32_t)f->operand_count;
    const char *problem = filter_op_problem(c, node);
    if (problem) return filter_refuse(c, node, problem);
    if (node->op == FILTER_IN || node->op == FILTER_NIN) return filter_values(c, node);
    if (node->op == FILTER_EXISTS) {
        uint8_t exists = br_u8(&c->reader);
        node->exists = exists == 1;
        return br_ok(&c->reader) && exists <= 1 ? NACRE_OK : filter_malformed(c);
    }
    node->count = 1;
    return filter_value(c, node, &node->null);
}

static nacre_status filter_node(FilterCompile *c, uint32_t depth) {
    Filter *f = c->filter;
    FilterNode node = {.op = br_u8(&c->reader)};
    size_t index = f->node_count;
    void *nodes = f->nodes;
    TRY(filter_count_thing(c));
    nacre_status status =
        env_grow(f->env, &nodes, &f->node_capacity, index + 1, sizeof(FilterNode));
    f->nodes = nodes;
    TRY(status);
    f->node_count++;
    if (node.op == FILTER_AND || node.op == FILTER_OR || node.op == FILTER_NOT) {
        if (depth == LIMIT_WHERE_DEPTH)
            return env_fail(f->env, NACRE_INVALID_ARGUMENT,
                            "where: more than %d levels of and, or, not", LIMIT_WHERE_DEPTH);
        node.count = node.op == FILTER_NOT ? 1 : br_u32(&c->reader);
        for (uint32_t i = 0; i < node.count; i++) {
            if (!br_ok(&c->reader)) return filter_malformed(c);
            TRY(filter_node(c, depth + 1));
        }
    } else if (node.op >= FILTER_EQ && node.op <= FILTER_STARTS_WITH) {
        TRY(filter_test(c, &node));
    } else {
        return filter_malformed(c);
    }
    node.end = (uint32_t)f->node_count;
    f->nodes[index] = node;
    return br_ok(&c->reader) ? NACRE_OK : filter_malformed(c);
}

/* Room for the bytes, and for the fields of the row under test. */
static nacre_status filter_room(Filter *f, const Schema *schema, Span program) {
    /* A value takes at least 5 bytes more than its text, and escapes at most double it
     * and add 2: the escaped forms together are at most twice the program. */
    f->bytes_size = program.size * 3;
    f->bytes = env_alloc(f->env, f->bytes_size);
    f->fields_capacity = schema->field_count;
    f->fields = env_alloc(f->env, f->fields_capacity * sizeof *f->fields);
    f->types = env_alloc(f->env, f->fields_capacity * sizeof *f->types);
    if (!f->bytes || !f->fields || !f->types) return NACRE_RESOURCE_EXHAUSTED;
    memcpy(f->bytes, program.data, program.size);
    f->bytes_used = program.size;
    for (uint32_t i = 0; i < schema->field_count; i++) f->types[i] = schema->fields[i].type;
    return NACRE_OK;
}

nacre_status filter_compile(Env *env, const Schema *schema, Span program, Filter **filter) {
    nacre_status status = NACRE_OK;
    if (program.size < 2)
        return env_fail(env, NACRE_INVALID_ARGUMENT, "where: the program is empty");
    if (program.size > LIMIT_VALUE_SIZE)
        return env_fail(env, NACRE_INVALID_ARGUMENT, "where: larger than 256 MiB");
    Filter *f = env_alloc_zeroed(env, sizeof *f);
    if (!f) return NACRE_RESOURCE_EXHAUSTED;
    f->env = env;
    f->key_count = schema->key_count;
    memcpy(f->key_types, schema->key_types, sizeof f->key_types);
    TRY_OUT(filter_room(f, schema, program));
    FilterCompile c = {
        .filter = f, .schema = schema, .reader = br_over(span_of(f->bytes, program.size))};
    if (br_u8(&c.reader) != FILTER_VERSION) TRY_OUT(filter_malformed(&c));
    TRY_OUT(filter_node(&c, 0));
    if (br_left(&c.reader) != 0) TRY_OUT(filter_malformed(&c));
    *filter = f;
    f = NULL;
out:
    filter_free(f);
    return status;
}

void filter_free(Filter *f) {
    if (!f) return;
    Env *env = f->env;
    env_free(env, f->nodes, f->node_capacity * sizeof *f->nodes);
    env_free(env, f->operands, f->operand_capacity * sizeof *f->operands);
    env_free(env, f->bytes, f->bytes_size);
    env_free(env, f->fields, f->fields_capacity * sizeof *f->fields);
    env_free(env, f->types, f->fields_capacity * sizeof *f->types);
    env_free(env, f, sizeof *f);
}

bool filter_is_indexed(const Filter *f) { return f->indexed; }
bool filter_needs_row(const Filter *f) { return f->fields_needed > 0; }

/* ---- testing ---- */

static const nacre_value *filter_field(Filter *f, uint32_t column) {
    if (!f->row_read) {
        ByteReader r = br_over(f->row);
        bool good = true;
        for (uint32_t i = 0; i < f->fields_needed; i++) {
            good = good && row_value(&r, &f->fields[i]) &&
                   (f->fields[i].type == NACRE_NULL || f->fields[i].type == f->types[i]);
            if (!good) f->fields[i] = (nacre_value){.type = NACRE_NULL};
        }
        f->row_read = true;
    }
    return &f->fields[column];
}

/* The order of the row's key and an operand of key_count parts. */
static int filter_key_order(const Filter *f, const FilterOperand *operands) {
    Span rest = f->key, part;
    for (uint32_t i = 0; i < f->key_count; i++) {
        nacre_type type = f->key_types[i];
        nacre_value value = {.type = type};
        int order;
        if (!key_part(type, &rest, &part)) return -1;
        if (filter_is_bytes(type)) {
            order = span_compare(part, operands[i].encoded);
        } else {
            if (type == NACRE_REAL)
                value.real = key_part_real(part);
            else
                value.integer = type == NACRE_BOOLEAN ? part.data[0] : key_part_integer(part);
            order = filter_order(&value, &operands[i].value);
        }
        if (order != 0) return order;
    }
    return 0;
}

bool filter_has(Span hay, Span needle) {
    if (needle.size == 0) return true;
    for (const uint8_t *at = hay.data, *end = hay.data + hay.size;
         (size_t)(end - at) >= needle.size; at++) {
        at = memchr(at, needle.data[0], (size_t)(end - at) - needle.size + 1);
        if (!at) return false;
        if (memcmp(at, needle.data, needle.size) == 0) return true;
    }
    return false;
}

static bool filter_order_holds(uint8_t op, int order) {
    switch (op) {
    case FILTER_EQ: return order == 0;
    case FILTER_NE: return order != 0;
    case FILTER_GT: return order > 0;
    case FILTER_GTE: return order >= 0;
    case FILTER_LT: return order < 0;
    default: return order <= 0;
    }
}

/* Whether the key is among sorted operands, or unsorted groups of them. */
static bool filter_key_in(const Filter *f, const FilterNode *node) {
    const FilterOperand *operands = f->operands + node->first;
    uint32_t low = 0, high = node->count;
    if (f->key_count > 1) {
        for (uint32_t i = 0; i < node->count; i++)
            if (filter_key_order(f, operands + (size_t)i * f->key_count) == 0) return true;
        return false;
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = filter_key_order(f, operands + middle);
        if (order == 0) return true;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

static bool filter_key_text(const Filter *f, const FilterNode *node) {
    Span rest = f->key, part;
    if (!key_part(f->key_types[0], &rest, &part)) return false;
    Span inside = span_of(part.data, part.size - 2), wanted = f->operands[node->first].encoded;
    return node->op == FILTER_CONTAINS ? filter_has(inside, wanted)
                                       : span_starts_with(inside, wanted);
}

static bool filter_key_holds(const Filter *f, const FilterNode *node) {
    switch (node->op) {
    case FILTER_EXISTS: return node->exists;
    case FILTER_IN: return filter_key_in(f, node);
    case FILTER_NIN: return !filter_key_in(f, node);
    case FILTER_CONTAINS:
    case FILTER_STARTS_WITH: return filter_key_text(f, node);
    default: break;
    }
    if (node->null) return node->op == FILTER_NE; /* a key is never null */
    return filter_order_holds(node->op, filter_key_order(f, f->operands + node->first));
}

static bool filter_in(const Filter *f, const FilterNode *node, const nacre_value *value) {
    const FilterOperand *operands = f->operands + node->first;
    uint32_t low = 0, high = node->count;
    if (node->type == NACRE_JSON) {
        for (uint32_t i = 0; i < node->count; i++)
            if (json_equal(json_value(filter_span(value)),
                           json_value(filter_span(&operands[i].value))))
                return true;
        return false;
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = filter_order(value, &operands[middle].value);
        if (order == 0) return true;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

static bool filter_contains(const FilterNode *node, const nacre_value *value,
                            const nacre_value *wanted) {
    if (node->type == NACRE_TEXT) return filter_has(filter_span(value), filter_span(wanted));
    JsonValue array = json_value(filter_span(value));
    return array.kind == JSON_ARRAY && json_array_contains(array, json_value(filter_span(wanted)));
}

static bool filter_field_holds(Filter *f, const FilterNode *node) {
    const nacre_value *value = filter_field(f, node->column);
    bool null = filter_is_null(value);
    switch (node->op) { /* what asks for null */
    case FILTER_EXISTS: return node->exists != null;
    case FILTER_EQ:
        if (node->null) return null;
        break;
    case FILTER_NE:
        if (node->null) return !null;
        break;
    case FILTER_IN:
        if (null) return node->null;
        break;
    default: break;
    }
    if (null) return false; /* rule 1 */
    const nacre_value *wanted = node->count > 0 ? &f->operands[node->first].value : NULL;
    switch (node->op) {
    case FILTER_IN: return filter_in(f, node, value);
    case FILTER_NIN: return !filter_in(f, node, value);
    case FILTER_CONTAINS: return filter_contains(node, value, wanted);
    case FILTER_STARTS_WITH: return span_starts_with(filter_span(value), filter_span(wanted));
    default: break;
    }
    if (node->type == NACRE_JSON)
        return json_equal(json_value(filter_span(value)), json_value(filter_span(wanted))) ==
               (node->op == FILTER_EQ);
    return filter_order_holds(node->op, filter_order(value, wanted));
}

/* Recursion is bounded by LIMIT_WHERE_DEPTH. */
static bool filter_holds(Filter *f, uint32_t index) {
    const FilterNode *node = &f->nodes[index];
    switch (node->op) {
    case FILTER_NOT: return !filter_holds(f, index + 1);
    case FILTER_AND:
    case FILTER_OR:
        for (uint32_t child = index + 1; child < node->end; child = f->nodes[child].end)
            if (filter_holds(f, child) == (node->op == FILTER_OR)) return node->op == FILTER_OR;
        return node->op == FILTER_AND;
    default:
        return node->column == FILTER_KEY ? filter_key_holds(f, node) : filter_field_holds(f, node);
    }
}

bool filter_matches(Filter *f, Span key, Span row) {
    f->key = key, f->row = row, f->row_read = false;
    return filter_holds(f, 0);
}
