/* values.c - keys, values and records from JSON, arguments and CSV cells. What they mean
 * is decided by the membrane's schema; bytes are base64 text, timestamps ISO 8601 text or
 * milliseconds, as nacre prints them. */
#include "cli/cli.h"

#include "base/textform.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__) || defined(__clang__)
__attribute__((format(printf, 2, 3)))
#endif
static bool cli_problem(CliProblem *problem, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(problem->text, sizeof problem->text, format, args);
    va_end(args);
    return false;
}

/* ---- memory ---- */

typedef struct CliBlock {
    struct CliBlock *next;
} CliBlock;

void *cli_pool_alloc(CliPool *pool, size_t size) {
    CliBlock *block = cli_alloc(sizeof *block + size);
    block->next = pool->blocks;
    pool->blocks = block;
    return block + 1;
}

void cli_pool_clear(CliPool *pool) {
    CliBlock *block = pool->blocks;
    while (block) {
        CliBlock *next = block->next;
        free(block);
        block = next;
    }
    pool->blocks = NULL;
}

/* ---- values ---- */

static Span cli_decode_string(JsonValue json, CliPool *pool) {
    size_t size = json_string_size(json);
    uint8_t *text = cli_pool_alloc(pool, size);
    json_string_copy(json, text);
    return span_of(text, size);
}

static bool cli_integer_json(JsonValue json, int64_t *integer) {
    if (json.kind == JSON_INTEGER) {
        *integer = json_integer(json);
        return true;
    }
    if (json.kind != JSON_REAL) return false;
    double real = json_real(json);
    if (!(real >= -9223372036854775808.0 && real < 9223372036854775808.0) || floor(real) < real)
        return false;
    *integer = (int64_t)real;
    return true;
}

static bool cli_wrong(const char *name, const char *wanted, JsonValue json, CliProblem *problem) {
    int size = json.text.size > 80 ? 80 : (int)json.text.size;
    return cli_problem(problem, "\"%s\" is %s, not %.*s", name, wanted, size,
                       (const char *)json.text.data);
}

static bool cli_bytes_of(const char *name, Span text, CliPool *pool, nacre_value *value,
                         CliProblem *problem) {
    uint8_t *bytes = cli_pool_alloc(pool, text.size);
    size_t size = 0;
    if (!base64_parse(text, bytes, &size))
        return cli_problem(problem, "\"%s\" is bytes, to be given as base64 text", name);
    *value = nacre_bytes(bytes, size);
    return true;
}

static bool cli_time_of(const char *name, Span text, nacre_value *value, CliProblem *problem) {
    int64_t ms = 0;
    if (!timestamp_parse(text, &ms))
        return cli_problem(problem, "\"%s\" is a timestamp: 2026-01-31T12:00:00Z, or milliseconds",
                           name);
    *value = nacre_timestamp(ms);
    return true;
}

bool cli_value_json(nacre_type type, const char *name, JsonValue json, CliPool *pool,
                    nacre_value *value, CliProblem *problem) {
    int64_t integer = 0;
    if (json.kind == JSON_NULL) {
        *value = nacre_null();
        return true;
    }
    switch (type) {
    case NACRE_INTEGER:
    case NACRE_BIGINT:
        if (!cli_integer_json(json, &integer))
            return cli_wrong(name, "a whole number of 64 bits", json, problem);
        *value = nacre_integer(integer);
        value->type = type;
        return true;
    case NACRE_REAL:
        if (json.kind != JSON_INTEGER && json.kind != JSON_REAL)
            return cli_wrong(name, "a number", json, problem);
        *value = nacre_real(json_real(json));
        return true;
    case NACRE_BOOLEAN:
        if (json.kind != JSON_TRUE && json.kind != JSON_FALSE)
            return cli_wrong(name, "true or false", json, problem);
        *value = nacre_boolean(json.kind == JSON_TRUE);
        return true;
    case NACRE_TIMESTAMP:
        if (json.kind == JSON_STRING)
            return cli_time_of(name, cli_decode_string(json, pool), value, problem);
        if (!cli_integer_json(json, &integer)) return cli_wrong(name, "a timestamp", json, problem);
        *value = nacre_timestamp(integer);
        return true;
    case NACRE_JSON:
        *value = (nacre_value){.type = NACRE_JSON, .bytes = {json.text.data, json.text.size}};
        return true;
    default: break;
    }
    if (json.kind != JSON_STRING)
        return cli_wrong(name, type == NACRE_TEXT ? "text" : "bytes, as base64 text", json,
                         problem);
    Span text = cli_decode_string(json, pool);
    if (type == NACRE_BYTES) return cli_bytes_of(name, text, pool, value, problem);
    *value = nacre_text_sized((const char *)text.data, text.size);
    return true;
}

bool cli_value_text(nacre_type type, const char *name, Span text, CliPool *pool, nacre_value *value,
                    CliProblem *problem) {
    JsonValue json;
    switch (type) {
    case NACRE_TEXT: *value = nacre_text_sized((const char *)text.data, text.size); return true;
    case NACRE_BYTES: return cli_bytes_of(name, text, pool, value, problem);
    default: break;
    }
    if (!json_parse(text, &json)) {
        if (type == NACRE_TIMESTAMP) return cli_time_of(name, text, value, problem);
        int size = text.size > 80 ? 80 : (int)text.size;
        return cli_problem(problem, "\"%s\": %.*s is not %s", name, size, (const char *)text.data,
                           type == NACRE_BOOLEAN ? "true or false"
                           : type == NACRE_JSON  ? "JSON"
                                                 : "a number");
    }
    return cli_value_json(type, name, json, pool, value, problem);
}

/* ---- keys ---- */

static bool cli_key_parts(const nacre_schema *schema, JsonValue json, bool whole, CliPool *pool,
                          nacre_value *key, uint32_t *count, CliProblem *problem) {
    uint32_t parts = 0;
    if (json.kind != JSON_ARRAY)
        return cli_problem(problem, "the key has %u parts: give them as a JSON array",
                           (unsigned)schema->key_count);
    JsonIterator it = json_iterate(json);
    for (JsonValue name, item; json_next(&it, &name, &item); parts++) {
        if (parts == schema->key_count)
            return cli_problem(problem, "the key has %u parts, not more",
                               (unsigned)schema->key_count);
        if (!cli_value_json(schema->key_types[parts], "key", item, pool, &key[parts], problem))
            return false;
    }
    if (parts == 0 || (whole && parts != schema->key_count))
        return cli_problem(problem, "the key has %u parts, not %u", (unsigned)schema->key_count,
                           (unsigned)parts);
    *count = parts;
    return true;
}

bool cli_key_argument(const nacre_schema *schema, const char *text, bool whole, CliPool *pool,
                      nacre_value *key, uint32_t *count, CliProblem *problem) {
    Span bytes = span_of(text, strlen(text));
    JsonValue json;
    if (schema->key_count == 1) {
        *count = 1;
        return cli_value_text(schema->key_types[0], "key", bytes, pool, key, problem);
    }
    if (!json_parse(bytes, &json))
        return cli_problem(problem, "the key has %u parts: give them as a JSON array",
                           (unsigned)schema->key_count);
    return cli_key_parts(schema, json, whole, pool, key, count, problem);
}

bool cli_key_json(const nacre_schema *schema, JsonValue json, CliPool *pool, nacre_value *key,
                  CliProblem *problem) {
    uint32_t count = 0;
    if (schema->key_count > 1) return cli_key_parts(schema, json, true, pool, key, &count, problem);
    return cli_value_json(schema->key_types[0], "key", json, pool, key, problem);
}

/* ---- vectors and records ---- */

bool cli_vector_json(uint32_t dimensions, JsonValue json, float *vector, CliProblem *problem) {
    uint32_t count = 0;
    if (json.kind != JSON_ARRAY)
        return cli_problem(problem, "the vector is an array of %u numbers", (unsigned)dimensions);
    JsonIterator it = json_iterate(json);
    for (JsonValue name, item; json_next(&it, &name, &item); count++) {
        if (count == dimensions)
            return cli_problem(problem, "the vector has more than %u numbers",
                               (unsigned)dimensions);
        if (item.kind != JSON_INTEGER && item.kind != JSON_REAL)
            return cli_wrong("vector", "numbers", item, problem);
        vector[count] = (float)json_real(item);
    }
    if (count != dimensions)
        return cli_problem(problem, "the vector has %u numbers, not %u", (unsigned)count,
                           (unsigned)dimensions);
    return true;
}

void cli_record_init(CliRecord *record, const nacre_schema *schema) {
    uint32_t fields = schema->kind == NACRE_KV ? 1 : schema->field_count;
    memset(record, 0, sizeof *record);
    record->fields = cli_alloc(fields * sizeof *record->fields);
    for (uint32_t i = 0; i < fields; i++) record->fields[i] = nacre_null();
    if (schema->dimensions) record->vector = cli_alloc(schema->dimensions * sizeof(float));
}

void cli_record_clear(CliRecord *record) {
    free(record->fields);
    free(record->vector);
    memset(record, 0, sizeof *record);
}

static bool cli_record_member(const nacre_schema *schema, JsonValue name, JsonValue item,
                              const CliRecordRules *rules, CliPool *pool, CliRecord *record,
                              CliProblem *problem) {
    if (json_string_equal(name, span_of(rules->key_name, strlen(rules->key_name)))) {
        record->has_key = true;
        return cli_key_json(schema, item, pool, record->key, problem);
    }
    if (schema->kind == NACRE_KV && json_string_equal(name, span_of("value", 5))) {
        if (schema->value_type == NACRE_JSON) {
            record->fields[0] =
                (nacre_value){.type = NACRE_JSON, .bytes = {item.text.data, item.text.size}};
            return true;
        }
        return cli_value_json(schema->value_type, "value", item, pool, &record->fields[0], problem);
    }
    if (schema->kind == NACRE_COLLECTION && json_string_equal(name, span_of("vector", 6))) {
        record->has_vector = true;
        return cli_vector_json(schema->dimensions, item, record->vector, problem);
    }
    for (uint32_t i = 0; schema->kind != NACRE_KV && i < schema->field_count; i++) {
        const nacre_field *field = &schema->fields[i];
        if (json_string_equal(name, span_of(field->name, strlen(field->name))))
            return cli_value_json(field->type, field->name, item, pool, &record->fields[i],
                                  problem);
    }
    if (rules->ignore_unknown) return true;
    return cli_problem(problem, "%.*s is not known here",
                       name.text.size > 80 ? 80 : (int)name.text.size,
                       (const char *)name.text.data);
}

bool cli_record_json(const nacre_schema *schema, JsonValue object, const CliRecordRules *rules,
                     CliPool *pool, CliRecord *record, CliProblem *problem) {
    uint32_t fields = schema->kind == NACRE_KV ? 1 : schema->field_count;
    for (uint32_t i = 0; i < fields; i++) record->fields[i] = nacre_null();
    record->has_key = record->has_vector = false;
    if (object.kind != JSON_OBJECT) return cli_problem(problem, "a record is a JSON object");
    JsonIterator it = json_iterate(object);
    for (JsonValue name, item; json_next(&it, &name, &item);)
        if (!cli_record_member(schema, name, item, rules, pool, record, problem)) return false;
    return true;
}
