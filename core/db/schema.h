/* schema.h - what a membrane holds: kind, types of its key, vector, fields.
 *
 * 1. A Schema whose `kind` is 0 is none at all.
 * 2. `fields` and their names lie in one block of the Env; schema_clear gives it back. */
#ifndef DB_SCHEMA_H
#define DB_SCHEMA_H

#include "db/schema_format.h"
#include "host/env.h"
#include "vector/element.h"

typedef struct SchemaField {
    Span name; /* followed by a zero byte */
    nacre_type type;
    bool indexed;
} SchemaField;

typedef struct Schema {
    nacre_kind kind; /* 0: none */
    uint32_t key_count;
    nacre_type key_types[NACRE_KEY_PARTS_MAX];
    nacre_type value_type;
    uint32_t dimensions;
    nacre_metric metric;
    nacre_element element;
    SchemaIndex index;
    uint32_t bits;
    uint64_t ttl_ms;     /* 0: rows live for ever */
    uint32_t block_size; /* 0: the database's */
    SchemaCompression compression;
    uint32_t field_count;
    SchemaField *fields;
    size_t memory_size; /* of the block at `fields` */
} Schema;

/* `type` as in API.md: "integer"; "unknown" for other numbers. */
const char *type_name(nacre_type type);
/* As in API.md: kv, collection, table; l2, cosine, ip, hamming; f32, f16, i8, bit. */
const char *kind_name(nacre_kind kind);
const char *metric_name(nacre_metric metric);
const char *element_name(nacre_element element);

/* Is any of its fields indexed? */
bool schema_is_indexed(const Schema *schema);

/* Bytes of the encoding; at most SCHEMA_ENCODED_SIZE_MAX. */
size_t schema_encoded_size(const Schema *schema);
/* Writes them at `at`; returns the end. */
uint8_t *schema_encode(const Schema *schema, uint8_t *at);

/* `bytes` may be anything. What is wrong with them is answered with `code`
 * (NACRE_CORRUPT from a file, NACRE_INVALID_ARGUMENT from a caller), or with
 * NACRE_UNSUPPORTED. *schema is the caller's, free with schema_clear. */
NACRE_CHECKED nacre_status schema_decode(Env *env, Span bytes, nacre_status code, Schema *schema);

/* From a caller's struct, of which nothing is known. *schema is the caller's. */
NACRE_CHECKED nacre_status schema_from_public(Env *env, const nacre_schema *given, Schema *schema);

/* NACRE_INVALID_ARGUMENT or NACRE_UNSUPPORTED when it breaks a rule of schema_format.h;
 * `code` stands in for the first. */
NACRE_CHECKED nacre_status schema_validate(Env *env, const Schema *schema, nacre_status code);

NACRE_CHECKED nacre_status schema_copy(Env *env, const Schema *from, Schema *to);
void schema_clear(Env *env, Schema *schema);

bool schema_equal(const Schema *a, const Schema *b);
/* Names the first difference: "dimensions: stored 384, given 768". Empty when equal. */
void schema_difference(const Schema *stored, const Schema *given, char *text, size_t size);

/* Bytes of a vector, as it is stored; 0: there is none. */
static inline size_t schema_vector_size(const Schema *schema) {
    return schema->dimensions ? element_size((Element)schema->element, schema->dimensions) : 0;
}

/* Index of a field, or -1. */
int schema_field_index(const Schema *schema, Span name);

#endif
