/* schema.c - schemas checked, encoded and compared. Numbers of schema_format.h's rules
 * stand beside what keeps them. */
#include "db/schema.h"

#include "base/codec.h"
#include "base/utf8.h"

#include <stdio.h>

_Static_assert(LIMIT_KEY_PARTS == NACRE_KEY_PARTS_MAX, "limits.h and nacre.h agree");
_Static_assert((int)ELEMENT_F16 == NACRE_F16 && (int)ELEMENT_I8 == NACRE_I8 && (int)ELEMENT_BIT == NACRE_BIT,
               "element.h and nacre.h agree");

const char *type_name(nacre_type type) {
    switch (type) {
    case NACRE_NULL: return "null";
    case NACRE_INTEGER: return "integer";
    case NACRE_REAL: return "real";
    case NACRE_BOOLEAN: return "boolean";
    case NACRE_TEXT: return "text";
    case NACRE_BYTES: return "bytes";
    case NACRE_TIMESTAMP: return "timestamp";
    case NACRE_JSON: return "json";
    case NACRE_BIGINT: return "bigint";
    }
    return "unknown";
}

const char *kind_name(nacre_kind kind) {
    switch (kind) {
    case NACRE_KV: return "kv";
    case NACRE_COLLECTION: return "collection";
    case NACRE_TABLE: return "table";
    }
    return "unknown";
}

const char *metric_name(nacre_metric metric) {
    switch (metric) {
    case NACRE_L2: return "l2";
    case NACRE_COSINE: return "cosine";
    case NACRE_IP: return "ip";
    case NACRE_HAMMING: return "hamming";
    }
    return "unknown";
}

const char *element_name(nacre_element element) {
    switch (element) {
    case NACRE_F32: return "f32";
    case NACRE_F16: return "f16";
    case NACRE_I8: return "i8";
    case NACRE_BIT: return "bit";
    }
    return "unknown";
}

static const char *schema_index_name(SchemaIndex index) {
    switch (index) {
    case SCHEMA_AUTO: return "auto";
    case SCHEMA_FLAT: return "flat";
    case SCHEMA_IVF: return "ivf";
    case SCHEMA_GRAPH: return "graph";
    }
    return "unknown";
}

static const char *schema_compression_name(SchemaCompression compression) {
    switch (compression) {
    case SCHEMA_PLAIN: return "none";
    case SCHEMA_LZ4: return "lz4";
    }
    return "unknown";
}

static bool schema_is_type(nacre_type type) {
    return (int)type >= NACRE_INTEGER && (int)type <= NACRE_BIGINT;
}

/* ---- checking ---- */

static bool schema_reserved(Span name) {
    static const char *const reserved[] = {"key", "vector", "distance", "and", "or", "not"};
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (span_eq(name, span_of(reserved[i], strlen(reserved[i])))) return true;
    return false;
}

static nacre_status schema_validate_fields(Env *env, const Schema *s, nacre_status code) {
    if (s->field_count > LIMIT_FIELDS)
        return env_fail(env, code, "schema: %u fields, at most %d are possible",
                        (unsigned)s->field_count, LIMIT_FIELDS);
    uint32_t indexed = 0;
    for (uint32_t i = 0; i < s->field_count; i++) {
        Span name = s->fields[i].name;
        const char *problem = utf8_name_problem(name);
        if (problem)
            return env_fail(env, code, "schema: the name of field %u %s", (unsigned)i, problem);
        if (schema_reserved(name)) /* rule 5 */
            return env_fail(env, code, "schema: a field may not be called \"%.*s\"", (int)name.size,
                            (const char *)name.data);
        if (!schema_is_type(s->fields[i].type))
            return env_fail(env, code, "schema: field \"%.*s\" has no known type", (int)name.size,
                            (const char *)name.data);
        if (s->fields[i].indexed && s->fields[i].type == NACRE_JSON) /* rule 10 */
            return env_fail(env, code, "schema: field \"%.*s\" is json, which has no order to be indexed by", (int)name.size,
                            (const char *)name.data);
        indexed += s->fields[i].indexed;
        for (uint32_t j = 0; j < i; j++)
            if (span_eq(name, s->fields[j].name))
                return env_fail(env, code, "schema: two fields are called \"%.*s\"", (int)name.size,
                                (const char *)name.data);
    }
    if (indexed > LIMIT_INDEXED)
        return env_fail(env, code, "schema: %u indexed fields, at most %d are possible", (unsigned)indexed, LIMIT_INDEXED);
    return NACRE_OK;
}

static nacre_status schema_validate_vector(Env *env, const Schema *s, nacre_status code) {
    if (s->dimensions < 1 || s->dimensions > LIMIT_DIMENSIONS)
        return env_fail(env, code, "schema: dimensions %u, must be 1 to %d",
                        (unsigned)s->dimensions, LIMIT_DIMENSIONS);
    if ((int)s->metric < NACRE_L2 || (int)s->metric > NACRE_HAMMING)
        return env_fail(env, code, "schema: metric %d is not known; l2, cosine, ip and hamming are",
                        (int)s->metric);
    if ((int)s->element < NACRE_F32 || (int)s->element > NACRE_BIT)
        return env_fail(
            env, NACRE_UNSUPPORTED,
            "schema: vectors have f32, f16, i8 or bit elements in this version; element %d is not supported",
            (int)s->element);
    if ((s->element == NACRE_BIT) != (s->metric == NACRE_HAMMING)) /* rule 9 */
        return env_fail(env, code, "schema: element %s with metric %s: bits have the metric hamming, and only they",
                        element_name(s->element), metric_name(s->metric));
    if (s->index == SCHEMA_GRAPH)
        return env_fail(env, NACRE_UNSUPPORTED,
                        "schema: index \"%s\" is not supported by this version; use \"auto\"",
                        schema_index_name(s->index));
    if (s->index != SCHEMA_AUTO && s->index != SCHEMA_FLAT && s->index != SCHEMA_IVF)
        return env_fail(env, code, "schema: index %d is not known", (int)s->index);
    if (s->bits < 1 || s->bits > 8)
        return env_fail(env, code, "schema: bits %u, must be 1 to 8", (unsigned)s->bits);
    return NACRE_OK;
}

/* Rule 7. */
static nacre_status schema_validate_storage(Env *env, const Schema *s, nacre_status code) {
    if (s->ttl_ms > (uint64_t)LIMIT_TIMESTAMP_MS)
        return env_fail(env, code, "schema: ttl_ms %llu, at most %lld are possible", (unsigned long long)s->ttl_ms,
                        (long long)LIMIT_TIMESTAMP_MS);
    uint32_t size = s->block_size;
    if (size && (size < SCHEMA_BLOCK_MIN || size > SCHEMA_BLOCK_MAX || (size & (size - 1))))
        return env_fail(env, code, "schema: block_size %u, must be a power of two from %d to %d", (unsigned)size,
                        SCHEMA_BLOCK_MIN, SCHEMA_BLOCK_MAX);
    if (s->compression != SCHEMA_PLAIN && s->compression != SCHEMA_LZ4)
        return env_fail(env, code, "schema: compression %d is not known; none and lz4 are", (int)s->compression);
    return NACRE_OK;
}

nacre_status schema_validate(Env *env, const Schema *s, nacre_status code) {
    if ((int)s->kind < NACRE_KV || (int)s->kind > NACRE_TABLE)
        return env_fail(env, code, "schema: kind %d is not known", (int)s->kind);
    if (s->key_count < 1 || s->key_count > LIMIT_KEY_PARTS)
        return env_fail(env, code, "schema: a key of %u parts, must be 1 to %d",
                        (unsigned)s->key_count, LIMIT_KEY_PARTS);
    for (uint32_t i = 0; i < s->key_count; i++)
        if (!schema_is_type(s->key_types[i]) || s->key_types[i] == NACRE_JSON)
            return env_fail(env, code, "schema: a key part cannot be of type %s",
                            type_name(s->key_types[i]));
    if (s->kind == NACRE_KV) {
        if (s->value_type != NACRE_JSON && s->value_type != NACRE_TEXT &&
            s->value_type != NACRE_BYTES)
            return env_fail(env, code, "schema: a value is json, text or bytes, not %s",
                            type_name(s->value_type));
        if (s->field_count > 0)
            return env_fail(env, code, "schema: a key-value membrane has no fields");
    } else if ((int)s->value_type != 0) {
        return env_fail(env, code, "schema: only a key-value membrane has a value type");
    }
    if (s->kind == NACRE_COLLECTION) {
        TRY(schema_validate_vector(env, s, code));
    } else if (s->dimensions || (int)s->metric || (int)s->element || (int)s->index || s->bits) {
        return env_fail(env, code,
                        "schema: only a collection has dimensions, metric, element, index or bits");
    }
    TRY(schema_validate_storage(env, s, code));
    return schema_validate_fields(env, s, code);
}

/* ---- memory: the fields, then their names, each with a zero byte ---- */

static nacre_status schema_room(Env *env, Schema *s, size_t names_size) {
    s->fields = NULL, s->memory_size = 0;
    if (s->field_count == 0) return NACRE_OK;
    size_t size = s->field_count * sizeof(SchemaField) + names_size + s->field_count;
    s->fields = env_alloc(env, size);
    if (!s->fields) return NACRE_RESOURCE_EXHAUSTED;
    s->memory_size = size;
    return NACRE_OK;
}

static uint8_t *schema_name_copy(Span from, Span *to, uint8_t *at) {
    memcpy(at, from.data, from.size);
    at[from.size] = 0;
    *to = span_of(at, from.size);
    return at + from.size + 1;
}

nacre_status schema_copy(Env *env, const Schema *from, Schema *to) {
    Schema copy = *from;
    size_t names_size = 0;
    for (uint32_t i = 0; i < from->field_count; i++) names_size += from->fields[i].name.size;
    TRY(schema_room(env, &copy, names_size));
    uint8_t *at = (uint8_t *)(copy.fields + copy.field_count);
    for (uint32_t i = 0; i < from->field_count; i++) {
        copy.fields[i].type = from->fields[i].type;
        copy.fields[i].indexed = from->fields[i].indexed;
        at = schema_name_copy(from->fields[i].name, &copy.fields[i].name, at);
    }
    *to = copy;
    return NACRE_OK;
}

void schema_clear(Env *env, Schema *schema) {
    env_free(env, schema->fields, schema->memory_size);
    *schema = (Schema){0};
}

/* ---- bytes ---- */

size_t schema_encoded_size(const Schema *s) {
    size_t size = SCHEMA_FIXED_SIZE + s->key_count;
    for (uint32_t i = 0; i < s->field_count; i++) size += 2 + s->fields[i].name.size;
    return size;
}

bool schema_is_indexed(const Schema *s) {
    for (uint32_t i = 0; i < s->field_count; i++)
        if (s->fields[i].indexed) return true;
    return false;
}

uint8_t *schema_encode(const Schema *s, uint8_t *at) {
    ByteWriter w = {at, at + schema_encoded_size(s)};
    bw_u8(&w, schema_is_indexed(s) ? SCHEMA_VERSION : SCHEMA_PLAIN_VERSION);
    bw_u8(&w, (uint8_t)s->kind);
    bw_u8(&w, (uint8_t)s->key_count);
    for (uint32_t i = 0; i < s->key_count; i++) bw_u8(&w, (uint8_t)s->key_types[i]);
    bw_u8(&w, (uint8_t)s->value_type);
    bw_u32(&w, s->dimensions);
    bw_u8(&w, (uint8_t)s->metric);
    bw_u8(&w, (uint8_t)s->element);
    bw_u8(&w, (uint8_t)s->index);
    bw_u8(&w, (uint8_t)s->bits);
    bw_u64(&w, s->ttl_ms);
    bw_u32(&w, s->block_size);
    bw_u8(&w, (uint8_t)s->compression);
    bw_u16(&w, (uint16_t)s->field_count);
    for (uint32_t i = 0; i < s->field_count; i++) {
        bw_u8(&w, (uint8_t)((unsigned)s->fields[i].type | (s->fields[i].indexed ? SCHEMA_INDEXED : 0)));
        bw_u8(&w, (uint8_t)s->fields[i].name.size);
        bw_bytes(&w, s->fields[i].name);
    }
    ASSERT(w.at == w.end);
    return w.at;
}

static void schema_decode_head(ByteReader *r, uint8_t version, Schema *s) {
    s->kind = (nacre_kind)br_u8(r);
    s->key_count = br_u8(r);
    for (uint32_t i = 0; i < s->key_count && i < LIMIT_KEY_PARTS; i++)
        s->key_types[i] = (nacre_type)br_u8(r);
    s->value_type = (nacre_type)br_u8(r);
    s->dimensions = br_u32(r);
    s->metric = (nacre_metric)br_u8(r);
    s->element = (nacre_element)br_u8(r);
    s->index = (SchemaIndex)br_u8(r);
    s->bits = br_u8(r);
    if (version > 1) { /* rule 8 */
        s->ttl_ms = br_u64(r);
        s->block_size = br_u32(r);
        s->compression = (SchemaCompression)br_u8(r);
    }
    s->field_count = br_u16(r);
}

/* Borrows the names from the bytes; the fields' array is the caller's. */
static void schema_decode_fields(ByteReader *r, uint8_t version, Schema *s, SchemaField *fields) {
    for (uint32_t i = 0; i < s->field_count && br_ok(r); i++) {
        uint8_t type = br_u8(r);
        fields[i].indexed = version > SCHEMA_PLAIN_VERSION && (type & SCHEMA_INDEXED);
        fields[i].type = (nacre_type)(fields[i].indexed ? type - SCHEMA_INDEXED : type);
        fields[i].name = br_bytes(r, br_u8(r));
    }
    s->fields = fields;
}

nacre_status schema_decode(Env *env, Span bytes, nacre_status code, Schema *schema) {
    SchemaField fields[LIMIT_FIELDS];
    Schema s = {0};
    ByteReader r = br_over(bytes);
    uint8_t version = br_u8(&r);
    if (!br_ok(&r)) return env_fail(env, code, "schema: no bytes at all");
    if (version < SCHEMA_OLDEST || version > SCHEMA_VERSION)
        return env_fail(env, code, "schema: version %u is not known", (unsigned)version);
    schema_decode_head(&r, version, &s);
    if (!br_ok(&r) || s.key_count > LIMIT_KEY_PARTS || s.field_count > LIMIT_FIELDS)
        return env_fail(env, code, "schema: malformed head");
    schema_decode_fields(&r, version, &s, fields);
    if (!br_ok(&r) || br_left(&r) != 0) return env_fail(env, code, "schema: malformed fields");
    TRY(schema_validate(env, &s, code));
    return schema_copy(env, &s, schema);
}

/* A caller's string of which nothing is known but that it ends. */
static Span schema_given_name(const char *name) {
    size_t size = 0;
    while (size <= LIMIT_NAME_SIZE && name[size]) size++;
    return span_of(name, size);
}

nacre_status schema_from_public(Env *env, const nacre_schema *given, Schema *schema) {
    SchemaField fields[LIMIT_FIELDS];
    if (given->struct_size != sizeof(nacre_schema))
        return env_fail(env, NACRE_INVALID_ARGUMENT,
                        "schema: struct_size is %zu, not %zu; use nacre_schema_kv and its like",
                        given->struct_size, sizeof(nacre_schema));
    bool collection = given->kind == NACRE_COLLECTION;
    Schema s = {
        .kind = given->kind,
        .key_count = given->key_count,
        .value_type = given->value_type,
        .dimensions = given->dimensions,
        .metric = given->metric,
        .element = given->element,
        .index = (SchemaIndex)given->index,
        .bits = collection && given->bits == 0 ? 1 : given->bits,
        .ttl_ms = given->ttl_ms,
        .block_size = given->block_size,
        .compression = (SchemaCompression)given->compression,
        .field_count = given->field_count,
        .fields = fields,
    };
    if (collection && (int)given->element == 0) s.element = NACRE_F32;
    memcpy(s.key_types, given->key_types, sizeof s.key_types);
    if (given->field_count > LIMIT_FIELDS)
        return env_fail(env, NACRE_INVALID_ARGUMENT, "schema: %u fields, at most %d are possible",
                        (unsigned)given->field_count, LIMIT_FIELDS);
    if (given->field_count > 0 && !given->fields)
        return env_fail(env, NACRE_INVALID_ARGUMENT,
                        "schema: field_count is %u, but fields is NULL",
                        (unsigned)given->field_count);
    for (uint32_t i = 0; i < given->field_count; i++) {
        if (!given->fields[i].name)
            return env_fail(env, NACRE_INVALID_ARGUMENT, "schema: the name of field %u is NULL",
                            (unsigned)i);
        fields[i] = (SchemaField){schema_given_name(given->fields[i].name), given->fields[i].type, given->fields[i].indexed};
    }
    TRY(schema_validate(env, &s, NACRE_INVALID_ARGUMENT));
    return schema_copy(env, &s, schema);
}

/* ---- comparing ---- */

static bool schema_number_differs(const char *what, uint64_t stored, uint64_t given, char *text,
                                  size_t size) {
    if (stored == given) return false;
    snprintf(text, size, "%s: stored %llu, given %llu", what, (unsigned long long)stored, (unsigned long long)given);
    return true;
}

static bool schema_word_differs(const char *what, const char *stored, const char *given, char *text,
                                size_t size) {
    if (strcmp(stored, given) == 0) return false;
    snprintf(text, size, "%s: stored %s, given %s", what, stored, given);
    return true;
}

static bool schema_key_differs(const Schema *a, const Schema *b, char *text, size_t size) {
    if (schema_number_differs("parts of the key", a->key_count, b->key_count, text, size))
        return true;
    for (uint32_t i = 0; i < a->key_count; i++)
        if (schema_word_differs(a->key_count > 1 ? "a part of the key" : "key",
                                type_name(a->key_types[i]), type_name(b->key_types[i]), text, size))
            return true;
    return false;
}

static bool schema_fields_differ(const Schema *a, const Schema *b, char *text, size_t size) {
    for (uint32_t i = 0; i < a->field_count && i < b->field_count; i++) {
        Span left = a->fields[i].name, right = b->fields[i].name;
        if (!span_eq(left, right)) {
            snprintf(text, size, "field %u: stored \"%.*s\", given \"%.*s\"", (unsigned)i,
                     (int)left.size, (const char *)left.data, (int)right.size,
                     (const char *)right.data);
            return true;
        }
        if (a->fields[i].type != b->fields[i].type) {
            snprintf(text, size, "field \"%.*s\": stored %s, given %s", (int)left.size,
                     (const char *)left.data, type_name(a->fields[i].type),
                     type_name(b->fields[i].type));
            return true;
        }
        if (a->fields[i].indexed != b->fields[i].indexed) {
            static const char *const words[] = {"not indexed", "indexed"};
            snprintf(text, size, "field \"%.*s\": stored %s, given %s", (int)left.size, (const char *)left.data,
                     words[a->fields[i].indexed], words[b->fields[i].indexed]);
            return true;
        }
    }
    return schema_number_differs("number of fields", a->field_count, b->field_count, text, size);
}

static bool schema_differs(const Schema *a, const Schema *b, char *text, size_t size) {
    if (a->kind != b->kind)
        return schema_word_differs("kind", kind_name(a->kind), kind_name(b->kind), text, size);
    if (schema_key_differs(a, b, text, size)) return true;
    if (schema_word_differs("value", type_name(a->value_type), type_name(b->value_type), text,
                            size))
        return true;
    if (schema_number_differs("dimensions", a->dimensions, b->dimensions, text, size)) return true;
    if (schema_word_differs("metric", metric_name(a->metric), metric_name(b->metric), text, size))
        return true;
    if (schema_word_differs("element", element_name(a->element), element_name(b->element), text, size)) return true;
    if (schema_word_differs("index", schema_index_name(a->index), schema_index_name(b->index), text,
                            size))
        return true;
    if (schema_number_differs("bits", a->bits, b->bits, text, size)) return true;
    if (schema_number_differs("ttl_ms", a->ttl_ms, b->ttl_ms, text, size)) return true;
    if (schema_number_differs("block_size", a->block_size, b->block_size, text, size)) return true;
    if (schema_word_differs("compression", schema_compression_name(a->compression),
                            schema_compression_name(b->compression), text, size))
        return true;
    return schema_fields_differ(a, b, text, size);
}

bool schema_equal(const Schema *a, const Schema *b) {
    char text[2];
    return !schema_differs(a, b, text, sizeof text);
}

void schema_difference(const Schema *stored, const Schema *given, char *text, size_t size) {
    if (size > 0) text[0] = 0;
    (void)schema_differs(stored, given, text, size);
}

int schema_field_index(const Schema *schema, Span name) {
    for (uint32_t i = 0; i < schema->field_count; i++)
        if (span_eq(schema->fields[i].name, name)) return (int)i;
    return -1;
}
