/* api_values.c - making values and schemas. */
#include "nacre.h"

#include <string.h>

nacre_value nacre_null(void) { return (nacre_value){.type = NACRE_NULL}; }

nacre_value nacre_integer(int64_t integer) {
    return (nacre_value){.type = NACRE_INTEGER, .integer = integer};
}

nacre_value nacre_real(double real) { return (nacre_value){.type = NACRE_REAL, .real = real}; }

nacre_value nacre_boolean(bool boolean) {
    return (nacre_value){.type = NACRE_BOOLEAN, .integer = boolean};
}

nacre_value nacre_text_sized(const char *text, size_t size) {
    return (nacre_value){.type = NACRE_TEXT, .bytes = {text, size}};
}

nacre_value nacre_text(const char *text) {
    return text ? nacre_text_sized(text, strlen(text)) : nacre_null();
}

nacre_value nacre_bytes(const void *data, size_t size) {
    return (nacre_value){.type = NACRE_BYTES, .bytes = {data, size}};
}

nacre_value nacre_json(const char *text) {
    if (!text) return nacre_null();
    return (nacre_value){.type = NACRE_JSON, .bytes = {text, strlen(text)}};
}

nacre_value nacre_timestamp(int64_t milliseconds) {
    return (nacre_value){.type = NACRE_TIMESTAMP, .integer = milliseconds};
}

nacre_schema nacre_schema_kv(nacre_type key, nacre_type value) {
    return (nacre_schema){.struct_size = sizeof(nacre_schema),
                          .kind = NACRE_KV,
                          .key_count = 1,
                          .key_types = {key},
                          .value_type = value};
}

nacre_schema nacre_schema_collection(nacre_type key, uint32_t dimensions, nacre_metric metric,
                                     const nacre_field *fields, uint32_t field_count) {
    return (nacre_schema){.struct_size = sizeof(nacre_schema),
                          .kind = NACRE_COLLECTION,
                          .key_count = 1,
                          .key_types = {key},
                          .dimensions = dimensions,
                          .metric = metric,
                          .element = NACRE_F32,
                          .field_count = field_count,
                          .fields = fields};
}

nacre_schema nacre_schema_table(nacre_type key, const nacre_field *fields, uint32_t field_count) {
    return (nacre_schema){.struct_size = sizeof(nacre_schema),
                          .kind = NACRE_TABLE,
                          .key_count = 1,
                          .key_types = {key},
                          .field_count = field_count,
                          .fields = fields};
}
