/* row.c - fields to bytes and back. Rules are those of row_format.h. Knows nothing of
 * keys, vectors or where rows are kept. */
#include "db/row.h"

#include "base/json.h"
#include "base/utf8.h"

uint32_t row_field_count(const Schema *schema) {
    return schema->kind == NACRE_KV ? 1 : schema->field_count;
}

static nacre_type row_type(const Schema *schema, uint32_t index) {
    return schema->kind == NACRE_KV ? schema->value_type : schema->fields[index].type;
}

/* The thing's name in a message: `field "year"` or `value`. */
static nacre_status row_fail(Env *env, const Schema *schema, uint32_t index, const char *problem) {
    if (schema->kind == NACRE_KV) return env_fail(env, NACRE_INVALID_ARGUMENT, "value %s", problem);
    Span name = schema->fields[index].name;
    return env_fail(env, NACRE_INVALID_ARGUMENT, "field \"%.*s\" %s", (int)name.size,
                    (const char *)name.data, problem);
}

static const char *row_bytes_problem(nacre_type type, Span bytes) { /* rule 2 */
    if (type == NACRE_TEXT && !utf8_valid(bytes)) return "is not valid UTF-8";
    if (type == NACRE_JSON && !json_check(bytes)) return "is not one valid JSON value";
    return NULL;
}

const char *row_value_problem(nacre_type type, const nacre_value *value) {
    if (value->type == NACRE_NULL) return NULL;
    bool integers = (type == NACRE_INTEGER || type == NACRE_BIGINT) &&
                    (value->type == NACRE_INTEGER || value->type == NACRE_BIGINT);
    if (value->type != type && !integers) return "has a value of another type";
    switch (type) {
    case NACRE_REAL: return value->real != value->real ? "is not a number (NaN)" : NULL;
    case NACRE_BOOLEAN:
        return value->integer != 0 && value->integer != 1 ? "is a boolean other than 0 and 1"
                                                          : NULL;
    case NACRE_TIMESTAMP:
        return value->integer > LIMIT_TIMESTAMP_MS || value->integer < -LIMIT_TIMESTAMP_MS
                   ? "is a timestamp further than 8.64e15 ms from 1970"
                   : NULL;
    case NACRE_TEXT:
    case NACRE_BYTES:
    case NACRE_JSON:
        if (!value->bytes.data && value->bytes.size > 0) return "has no bytes (NULL)";
        if (value->bytes.size > LIMIT_VALUE_SIZE) return "is larger than 256 MiB";
        return row_bytes_problem(type, span_of(value->bytes.data, value->bytes.size));
    default: return NULL;
    }
}

/* ---- one value ---- */

uint64_t row_value_size(const nacre_value *value) {
    switch (value->type) {
    case NACRE_NULL: return 1;
    case NACRE_BOOLEAN: return 2;
    case NACRE_TEXT:
    case NACRE_BYTES:
    case NACRE_JSON: return UINT64_C(5) + value->bytes.size;
    default: return 9;
    }
}

uint8_t *row_value_encode(const nacre_value *value, uint8_t *at) {
    *at++ = (uint8_t)value->type;
    switch (value->type) {
    case NACRE_NULL: return at;
    case NACRE_BOOLEAN: *at = value->integer != 0; return at + 1;
    case NACRE_REAL: {
        uint64_t bits;
        memcpy(&bits, &value->real, 8);
        put_u64(at, bits);
        return at + 8;
    }
    case NACRE_TEXT:
    case NACRE_BYTES:
    case NACRE_JSON:
        put_u32(at, (uint32_t)value->bytes.size);
        if (value->bytes.size) memcpy(at + 4, value->bytes.data, value->bytes.size);
        return at + 4 + value->bytes.size;
    default: put_u64(at, (uint64_t)value->integer); return at + 8;
    }
}

bool row_value(ByteReader *r, nacre_value *value) {
    nacre_value v = {.type = (nacre_type)br_u8(r)};
    switch (v.type) {
    case NACRE_NULL: break;
    case NACRE_BOOLEAN:
        v.integer = br_u8(r);
        if (v.integer > 1) return false;
        break;
    case NACRE_INTEGER:
    case NACRE_BIGINT:
    case NACRE_TIMESTAMP: v.integer = (int64_t)br_u64(r); break;
    case NACRE_REAL: {
        uint64_t bits = br_u64(r);
        memcpy(&v.real, &bits, 8);
        break;
    }
    case NACRE_TEXT:
    case NACRE_BYTES:
    case NACRE_JSON: {
        Span bytes = br_bytes(r, br_u32(r));
        v.bytes = (nacre_span){bytes.data, bytes.size};
        break;
    }
    default: return false;
    }
    if (!br_ok(r)) return false;
    *value = v;
    return true;
}

/* ---- rows ---- */

nacre_status row_measure(Env *env, const Schema *schema, const nacre_value *values,
                         uint64_t *size) {
    uint64_t total = 0;
    uint32_t count = row_field_count(schema);
    if (schema->kind == NACRE_KV && (!values || values[0].type == NACRE_NULL))
        return env_fail(env, NACRE_INVALID_ARGUMENT, "value is missing (null)");
    for (uint32_t i = 0; i < count; i++) {
        nacre_value null = {.type = NACRE_NULL};
        const nacre_value *value = values ? &values[i] : &null;
        const char *problem = row_value_problem(row_type(schema, i), value);
        if (problem) return row_fail(env, schema, i, problem);
        total += schema->kind == NACRE_KV ? value->bytes.size : row_value_size(value);
    }
    if (total > LIMIT_VALUE_SIZE)
        return env_fail(env, NACRE_INVALID_ARGUMENT, "row: larger than 256 MiB");
    *size = total;
    return NACRE_OK;
}

uint8_t *row_encode(const Schema *schema, const nacre_value *values, uint8_t *at) {
    if (schema->kind == NACRE_KV) { /* rule 4 */
        if (values[0].bytes.size) memcpy(at, values[0].bytes.data, values[0].bytes.size);
        return at + values[0].bytes.size;
    }
    for (uint32_t i = 0; i < schema->field_count; i++) {
        nacre_value value = {.type = NACRE_NULL};
        if (values) value = values[i];
        if (value.type != NACRE_NULL) value.type = schema->fields[i].type; /* integer or bigint */
        at = row_value_encode(&value, at);
    }
    return at;
}

nacre_status row_check(Env *env, const Schema *schema, Span row) {
    if (row.size > LIMIT_VALUE_SIZE)
        return env_fail(env, NACRE_INVALID_ARGUMENT, "row: larger than 256 MiB");
    if (schema->kind == NACRE_KV) {
        const char *problem = row_bytes_problem(schema->value_type, row);
        return problem ? row_fail(env, schema, 0, problem) : NACRE_OK;
    }
    ByteReader r = br_over(row);
    for (uint32_t i = 0; i < schema->field_count; i++) {
        nacre_value value;
        nacre_type type = schema->fields[i].type;
        if (!row_value(&r, &value)) return row_fail(env, schema, i, "is malformed");
        if (value.type != NACRE_NULL && value.type != type)
            return row_fail(env, schema, i, "has a value of another type");
        const char *problem = row_value_problem(type, &value);
        if (problem) return row_fail(env, schema, i, problem);
    }
    if (br_left(&r) != 0)
        return env_fail(env, NACRE_INVALID_ARGUMENT, "row: bytes follow the last field");
    return NACRE_OK;
}

/* Steps through a row; `stop` is how many fields are wanted. */
static bool row_read(const Schema *schema, Span row, uint32_t stop, nacre_value *values,
                     bool keep_all) {
    ByteReader r = br_over(row);
    for (uint32_t i = 0; i < stop; i++) {
        nacre_value *value = keep_all ? &values[i] : values;
        if (!row_value(&r, value)) return false;
        if (value->type != NACRE_NULL && value->type != schema->fields[i].type)
            return false; /* rule 1 */
    }
    return !keep_all || br_left(&r) == 0; /* rule 3 */
}

bool row_decode(const Schema *schema, Span row, nacre_value *values) {
    if (schema->kind != NACRE_KV) return row_read(schema, row, schema->field_count, values, true);
    values[0] = (nacre_value){.type = schema->value_type, .bytes = {row.data, row.size}};
    return true;
}

bool row_field(const Schema *schema, Span row, uint32_t index, nacre_value *value) {
    if (schema->kind == NACRE_KV) return index == 0 && row_decode(schema, row, value);
    return index < schema->field_count && row_read(schema, row, index + 1, value, false);
}
