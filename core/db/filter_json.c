/* filter_json.c - a filter as API.md writes it, in JSON, into a program. Only the form is
 * judged here, and what a JSON value means for a column's type; whether an operator fits
 * a column is filter_compile's. */
#include "base/json.h"
#include "base/textform.h"
#include "base/utf8.h"
#include "db/filter.h"
#include "db/row.h"

typedef struct FilterJson {
    Env *env;
    const Schema *schema;
    uint8_t *data;
    size_t size, capacity;
    uint16_t column; /* of the test under way */
    nacre_type type;
} FilterJson;

/* ---- writing ---- */

static nacre_status filter_json_room(FilterJson *j, size_t size) {
    void *data = j->data;
    nacre_status status = env_grow(j->env, &data, &j->capacity, j->size + size, 1);
    j->data = data;
    return status;
}

static nacre_status filter_json_byte(FilterJson *j, uint8_t byte) {
    TRY(filter_json_room(j, 1));
    j->data[j->size++] = byte;
    return NACRE_OK;
}

static nacre_status filter_json_count(FilterJson *j, uint32_t count) {
    TRY(filter_json_room(j, 4));
    put_u32(j->data + j->size, count);
    j->size += 4;
    return NACRE_OK;
}

static nacre_status filter_json_head(FilterJson *j, FilterOp op) {
    TRY(filter_json_byte(j, (uint8_t)op));
    TRY(filter_json_room(j, 2));
    put_u16(j->data + j->size, j->column);
    j->size += 2;
    return NACRE_OK;
}

static nacre_status filter_json_put(FilterJson *j, nacre_value value) {
    uint64_t size = row_value_size(&value);
    TRY(filter_json_room(j, (size_t)size));
    (void)row_value_encode(&value, j->data + j->size);
    j->size += (size_t)size;
    return NACRE_OK;
}

/* ---- failing ---- */

static nacre_status filter_json_fail(FilterJson *j, const char *what, JsonValue thing) {
    int size = thing.text.size > 100 ? 100 : (int)thing.text.size;
    return env_fail(j->env, NACRE_INVALID_ARGUMENT, "where: %s: %.*s", what, size,
                    (const char *)thing.text.data);
}

static Span filter_json_column(const FilterJson *j) {
    return j->column == FILTER_KEY ? span_of("key", 3) : j->schema->fields[j->column].name;
}

static nacre_status filter_json_refuse(FilterJson *j, const char *wanted, JsonValue given) {
    Span name = filter_json_column(j);
    int size = given.text.size > 100 ? 100 : (int)given.text.size;
    return env_fail(j->env, NACRE_INVALID_ARGUMENT,
                    "where: \"%.*s\" is compared with %s, not with %.*s", (int)name.size,
                    (const char *)name.data, wanted, size, (const char *)given.text.data);
}

/* ---- values ---- */

static uint64_t filter_json_count_items(JsonValue value) {
    uint64_t count = 0;
    JsonIterator it = json_iterate(value);
    for (JsonValue name, item; json_next(&it, &name, &item);) count++;
    return count;
}

/* Text and bytes: decoded straight into the program. */
static nacre_status filter_json_text(FilterJson *j, nacre_type type, JsonValue value) {
    size_t size = json_string_size(value);
    if (size > LIMIT_VALUE_SIZE) return filter_json_refuse(j, "less than 256 MiB", value);
    TRY(filter_json_room(j, 5 + size));
    uint8_t *at = j->data + j->size;
    json_string_copy(value, at + 5);
    if (type == NACRE_BYTES && !base64_parse(span_of(at + 5, size), at + 5, &size))
        return filter_json_refuse(j, "bytes as base64 text", value);
    if (type == NACRE_TEXT && !utf8_valid(span_of(at + 5, size)))
        return filter_json_refuse(j, "text that is UTF-8", value);
    at[0] = (uint8_t)type;
    put_u32(at + 1, (uint32_t)size);
    j->size += 5 + size;
    return NACRE_OK;
}

static nacre_status filter_json_timestamp(FilterJson *j, JsonValue value) {
    uint8_t text[40];
    nacre_value v = {.type = NACRE_TIMESTAMP};
    if (value.kind == JSON_INTEGER) {
        v.integer = json_integer(value);
        return filter_json_put(j, v);
    }
    size_t size = value.kind == JSON_STRING ? json_string_size(value) : sizeof text + 1;
    if (size <= sizeof text) {
        json_string_copy(value, text);
        if (timestamp_parse(span_of(text, size), &v.integer)) return filter_json_put(j, v);
    }
    return filter_json_refuse(j, "an ISO 8601 time or milliseconds", value);
}

/* A value of one type, not null. */
static nacre_status filter_json_typed(FilterJson *j, nacre_type type, JsonValue value) {
    switch (type) {
    case NACRE_INTEGER:
    case NACRE_BIGINT:
    case NACRE_REAL:
        if (value.kind == JSON_INTEGER)
            return filter_json_put(
                j, (nacre_value){.type = NACRE_INTEGER, .integer = json_integer(value)});
        if (value.kind == JSON_REAL)
            return filter_json_put(j, (nacre_value){.type = NACRE_REAL, .real = json_real(value)});
        return filter_json_refuse(j, "a number", value);
    case NACRE_BOOLEAN:
        if (value.kind != JSON_TRUE && value.kind != JSON_FALSE)
            return filter_json_refuse(j, "true or false", value);
        return filter_json_put(
            j, (nacre_value){.type = NACRE_BOOLEAN, .integer = value.kind == JSON_TRUE});
    case NACRE_TIMESTAMP: return filter_json_timestamp(j, value);
    case NACRE_JSON:
        return filter_json_put(
            j, (nacre_value){.type = NACRE_JSON, .bytes = {value.text.data, value.text.size}});
    default:
        if (value.kind != JSON_STRING)
            return filter_json_refuse(j, type == NACRE_BYTES ? "base64 text" : "text", value);
        return filter_json_text(j, type, value);
    }
}

static nacre_status filter_json_value(FilterJson *j, JsonValue value) {
    if (value.kind == JSON_NULL && j->type != NACRE_JSON) return filter_json_byte(j, NACRE_NULL);
    if (j->column != FILTER_KEY || j->schema->key_count == 1)
        return filter_json_typed(j, j->type, value);
    if (value.kind != JSON_ARRAY || filter_json_count_items(value) != j->schema->key_count)
        return filter_json_refuse(j, "an array of the key's parts", value);
    TRY(filter_json_byte(j, FILTER_PARTS));
    TRY(filter_json_byte(j, (uint8_t)j->schema->key_count));
    JsonIterator it = json_iterate(value);
    uint32_t part = 0;
    for (JsonValue name, item; json_next(&it, &name, &item); part++)
        TRY(filter_json_typed(j, j->schema->key_types[part], item));
    return NACRE_OK;
}

/* ---- tests ---- */

static const struct {
    const char *name;
    FilterOp op;
} filter_json_ops[] = {
    {"eq", FILTER_EQ},
    {"ne", FILTER_NE},
    {"gt", FILTER_GT},
    {"gte", FILTER_GTE},
    {"lt", FILTER_LT},
    {"lte", FILTER_LTE},
    {"in", FILTER_IN},
    {"nin", FILTER_NIN},
    {"exists", FILTER_EXISTS},
    {"contains", FILTER_CONTAINS},
    {"startsWith", FILTER_STARTS_WITH},
};

static nacre_status filter_json_test(FilterJson *j, JsonValue name, JsonValue value) {
    FilterOp op = (FilterOp)0;
    for (size_t i = 0; i < sizeof filter_json_ops / sizeof *filter_json_ops; i++)
        if (json_string_equal(name,
                              span_of(filter_json_ops[i].name, strlen(filter_json_ops[i].name))))
            op = filter_json_ops[i].op;
    if ((int)op == 0)
        return filter_json_fail(
            j, "unknown operator (there are eq ne gt gte lt lte in nin exists contains startsWith)",
            name);
    TRY(filter_json_head(j, op));
    if (op == FILTER_EXISTS) {
        if (value.kind != JSON_TRUE && value.kind != JSON_FALSE)
            return filter_json_fail(j, "exists is true or false, not", value);
        return filter_json_byte(j, value.kind == JSON_TRUE);
    }
    if (op != FILTER_IN && op != FILTER_NIN) return filter_json_value(j, value);
    if (value.kind != JSON_ARRAY)
        return filter_json_fail(j, "in and nin want an array, not", value);
    uint64_t count = filter_json_count_items(value);
    if (count > LIMIT_WHERE_NODES)
        return env_fail(j->env, NACRE_INVALID_ARGUMENT, "where: more than %d tests and values",
                        LIMIT_WHERE_NODES);
    TRY(filter_json_count(j, (uint32_t)count));
    JsonIterator it = json_iterate(value);
    for (JsonValue none, item; json_next(&it, &none, &item);) TRY(filter_json_value(j, item));
    return NACRE_OK;
}

/* What stands beside a column: a value to be equal to, or operators. */
static nacre_status filter_json_tests(FilterJson *j, JsonValue value) {
    if (value.kind != JSON_OBJECT) {
        TRY(filter_json_head(j, FILTER_EQ));
        return filter_json_value(j, value);
    }
    uint64_t count = filter_json_count_items(value);
    if (count == 0) return filter_json_fail(j, "no operator in", value);
    if (count > 1) {
        TRY(filter_json_byte(j, FILTER_AND));
        TRY(filter_json_count(j, (uint32_t)count));
    }
    JsonIterator it = json_iterate(value);
    for (JsonValue name, item; json_next(&it, &name, &item);) TRY(filter_json_test(j, name, item));
    return NACRE_OK;
}

static bool filter_json_find(FilterJson *j, JsonValue name) {
    const Schema *schema = j->schema;
    if (json_string_equal(name, span_of("key", 3))) {
        j->column = FILTER_KEY, j->type = schema->key_types[0];
        return true;
    }
    for (uint32_t i = 0; i < schema->field_count; i++) {
        if (!json_string_equal(name, schema->fields[i].name)) continue;
        j->column = (uint16_t)i, j->type = schema->fields[i].type;
        return true;
    }
    return false;
}

static nacre_status filter_json_object(FilterJson *j, JsonValue object, uint32_t depth);

static nacre_status filter_json_member(FilterJson *j, JsonValue name, JsonValue item,
                                       uint32_t depth) {
    bool and = json_string_equal(name, span_of("and", 3)),
         or = json_string_equal(name, span_of("or", 2));
    if (json_string_equal(name, span_of("not", 3))) {
        TRY(filter_json_byte(j, FILTER_NOT));
        return filter_json_object(j, item, depth);
    }
    if (!and && !or) {
        if (!filter_json_find(j, name)) return filter_json_fail(j, "unknown field", name);
        return filter_json_tests(j, item);
    }
    if (item.kind != JSON_ARRAY)
        return filter_json_fail(j, "and and or want an array of filters, not", item);
    TRY(filter_json_byte(j, and ? FILTER_AND : FILTER_OR));
    TRY(filter_json_count(j, (uint32_t)filter_json_count_items(item)));
    JsonIterator it = json_iterate(item);
    for (JsonValue none, filter; json_next(&it, &none, &filter);)
        TRY(filter_json_object(j, filter, depth));
    return NACRE_OK;
}

/* Recursion is bounded by LIMIT_WHERE_DEPTH. */
static nacre_status filter_json_object(FilterJson *j, JsonValue object, uint32_t depth) {
    if (object.kind != JSON_OBJECT)
        return filter_json_fail(j, "a filter is an object, not", object);
    if (depth > LIMIT_WHERE_DEPTH)
        return env_fail(j->env, NACRE_INVALID_ARGUMENT,
                        "where: more than %d levels of and, or, not", LIMIT_WHERE_DEPTH);
    uint64_t count = filter_json_count_items(object);
    if (count != 1) { /* one member needs no and around it */
        TRY(filter_json_byte(j, FILTER_AND));
        TRY(filter_json_count(j, (uint32_t)count));
    }
    JsonIterator it = json_iterate(object);
    for (JsonValue name, item; json_next(&it, &name, &item);)
        TRY(filter_json_member(j, name, item, depth + 1));
    return NACRE_OK;
}

nacre_status filter_from_json(Env *env, const Schema *schema, const char *text, size_t size,
                              FilterProgram *program) {
    nacre_status status = NACRE_OK;
    JsonValue value;
    FilterJson j = {.env = env, .schema = schema};
    if (!json_parse(span_of(text, size), &value))
        return env_fail(env, NACRE_INVALID_ARGUMENT, "where: this is not JSON");
    TRY_OUT(filter_json_byte(&j, FILTER_VERSION));
    TRY_OUT(filter_json_object(&j, value, 0));
    *program = (FilterProgram){j.data, j.size, j.capacity};
    return NACRE_OK;
out:
    env_free(env, j.data, j.capacity);
    return status;
}
