/* api_row.c - between a caller's values and encoded bytes: rows shown, keys, vectors,
 * ranges, records. */
#include "db/api.h"

/* ---- showing ---- */

static nacre_status api_show_room(const Membrane *membrane, const RowView *view, ApiRow *store) {
    Env *env = &membrane->db->env;
    const Schema *schema = &membrane->schema;
    void *values = store->values, *room = store->room, *vector = store->vector;
    nacre_status status =
        env_grow(env, &values, &store->values_capacity, schema->key_count + row_field_count(schema),
                 sizeof(nacre_value));
    store->values = values;
    if (status == NACRE_OK)
        status = env_grow(env, &room, &store->room_capacity, view->key.size + 1, 1);
    store->room = room;
    if (status == NACRE_OK)
        status = env_grow(env, &vector, &store->vector_capacity, view->vector.size ? schema->dimensions : 0,
                          sizeof(float));
    store->vector = vector;
    return status;
}

void api_row_clear(Env *env, ApiRow *store) {
    env_free(env, store->values, store->values_capacity * sizeof(nacre_value));
    env_free(env, store->room, store->room_capacity);
    env_free(env, store->vector, store->vector_capacity * sizeof(float));
    *store = (ApiRow){0};
}

nacre_status api_show(const Membrane *membrane, const RowView *view, ApiRow *store,
                      nacre_row *row) {
    const Schema *schema = &membrane->schema;
    if (view->vector.size && view->vector.size != schema_vector_size(schema))
        return env_fail(&membrane->db->env, NACRE_CORRUPT, "%s: a vector of %zu bytes", membrane->name, view->vector.size);
    TRY(api_show_room(membrane, view, store));
    nacre_value *fields = store->values + schema->key_count;
    if (!key_decode(schema, view->key, store->values, store->room) ||
        !row_decode(schema, view->value, fields))
        return env_fail(&membrane->db->env, NACRE_CORRUPT, "%s: a malformed row", membrane->name);
    if (view->vector.size) element_decode((Element)schema->element, view->vector.data, schema->dimensions, store->vector);
    *row = (nacre_row){
        .key_count = schema->key_count,
        .field_count = row_field_count(schema),
        .key = store->values,
        .fields = fields,
        .vector = view->vector.size ? store->vector : NULL,
        .expires_ms = view->expires,
    };
    return NACRE_OK;
}

nacre_status api_show_key(const Membrane *membrane, Span key, ApiRow *store, nacre_row *row) {
    const Schema *schema = &membrane->schema;
    TRY(api_show_room(membrane, &(RowView){.key = key}, store));
    if (!key_decode(schema, key, store->values, store->room))
        return env_fail(&membrane->db->env, NACRE_CORRUPT, "%s: a malformed key", membrane->name);
    *row = (nacre_row){.key_count = schema->key_count, .key = store->values};
    return NACRE_OK;
}

/* ---- keys and vectors ---- */

nacre_status api_key(const Membrane *membrane, const nacre_value *key, uint8_t **memory,
                     size_t *capacity, Span *encoded) {
    Env *env = &membrane->db->env;
    const Schema *schema = &membrane->schema;
    size_t size = 0;
    void *room = *memory;
    if (!key) return api_null(membrane->db, "key");
    TRY(key_measure(env, schema, key, schema->key_count, KEY_WHOLE, &size));
    TRY(env_grow(env, &room, capacity, size, 1));
    *memory = room;
    (void)key_encode(schema, key, schema->key_count, KEY_WHOLE, *memory);
    *encoded = span_of(*memory, size);
    return NACRE_OK;
}

nacre_status api_check_vector(const Membrane *membrane, const char *what, const float *vector) {
    static const char *const wants[] = {"", "a finite number", "a number up to 65504", "a whole number from -128 to 127", "0 or 1"};
    Env *env = &membrane->db->env;
    const Schema *schema = &membrane->schema;
    Element element = (Element)schema->element;
    bool zero;
    if (!vector) return api_null(membrane->db, what);
    size_t wrong = element_check(element, vector, schema->dimensions, &zero);
    if (wrong < schema->dimensions)
        return env_fail(env, NACRE_INVALID_ARGUMENT, "%s: element %zu is not %s", what, wrong, wants[element]);
    if (zero && schema->metric == NACRE_COSINE)
        return env_fail(env, NACRE_INVALID_ARGUMENT,
                        "%s: the zero vector has no direction, which the metric cosine wants",
                        what);
    return NACRE_OK;
}

/* ---- ranges ---- */

typedef struct ApiBound {
    const nacre_value *values;
    KeyPartial partial;
    bool low, high; /* which bound it makes */
    bool successor; /* the bound is behind everything that begins with it */
} ApiBound;

static nacre_status api_range_check(const Membrane *membrane, const nacre_range *range,
                                    uint32_t *count) {
    Env *env = &membrane->db->env;
    if (range->struct_size != sizeof *range)
        return env_fail(env, NACRE_INVALID_ARGUMENT,
                        "range: struct_size is %zu, not %zu; use NACRE_RANGE_INIT",
                        range->struct_size, sizeof *range);
    *count = range->bound_count ? range->bound_count : membrane->schema.key_count;
    if (*count > membrane->schema.key_count)
        return env_fail(env, NACRE_INVALID_ARGUMENT,
                        "range: bound_count is %u, the membrane's keys have %u parts",
                        (unsigned)range->bound_count, (unsigned)membrane->schema.key_count);
    return NACRE_OK;
}

/* No encoded key is as small as one zero byte alone but false, and that one is not below
 * it: [nothing, 00) is empty under every schema. */
static void api_range_nothing(ApiRange *out) {
    static const uint8_t zero[1];
    out->bounds = (KeyRange){{NULL, 0}, span_of(zero, 1)};
}

static void api_range_narrow(ApiRange *out, const ApiBound *bound, Span low, Span high) {
    KeyRange *b = &out->bounds;
    if (bound->low && span_compare(low, b->low) > 0) b->low = low;
    if (bound->high && high.size > 0 && (b->high.size == 0 || span_compare(high, b->high) < 0))
        b->high = high;
}

static nacre_status api_range_bounds(const Membrane *membrane, const nacre_range *range, uint32_t count, ApiRange *out) {
    Env *env = &membrane->db->env;
    size_t sizes[5] = {0}, total = 0;
    const ApiBound bounds[5] = {
        {range->gte, KEY_LEADING, true, false, false},
        {range->gt, KEY_LEADING, true, false, true},
        {range->lt, KEY_LEADING, false, true, false},
        {range->lte, KEY_LEADING, false, true, true},
        {range->prefix, KEY_PREFIX, true, true, false},
    };
    for (int i = 0; i < 5; i++) {
        if (!bounds[i].values) continue;
        TRY(key_measure(env, &membrane->schema, bounds[i].values, count, bounds[i].partial,
                        &sizes[i]));
        total += 2 * sizes[i]; /* the prefix makes two bounds */
    }
    if (!(out->memory = env_alloc(env, total))) return NACRE_RESOURCE_EXHAUSTED;
    out->size = total;
    uint8_t *at = out->memory;
    for (int i = 0; i < 5; i++) {
        if (!bounds[i].values) continue;
        uint8_t *low = at, *high = at + sizes[i];
        size_t low_size = sizes[i], high_size = sizes[i];
        at += 2 * sizes[i];
        (void)key_encode(&membrane->schema, bounds[i].values, count, bounds[i].partial, low);
        memcpy(high, low, low_size);
        if (bounds[i].successor && bounds[i].low) {
            low_size = key_successor(low, low_size);
            if (low_size == 0) { /* nothing is greater than the greatest */
                api_range_nothing(out);
                return NACRE_OK;
            }
        }
        bool behind = bounds[i].high && (bounds[i].successor || bounds[i].low);
        if (behind) high_size = key_successor(high, high_size);
        api_range_narrow(out, &bounds[i], span_of(low, low_size), span_of(high, high_size));
    }
    return NACRE_OK;
}

static nacre_status api_range_where(const Membrane *membrane, const nacre_range *range, ApiRange *out) {
    if (!range->where_json) return range->where_size ? api_null(membrane->db, "where_json") : NACRE_OK;
    size_t size = range->where_size ? range->where_size : strlen(range->where_json);
    return filter_from_json(&membrane->db->env, &membrane->schema, range->where_json, size, &out->program);
}

nacre_status api_range(const Membrane *membrane, const nacre_range *range, ApiRange *out) {
    uint32_t count = 0;
    *out = (ApiRange){0};
    if (!range) return NACRE_OK;
    TRY(api_range_check(membrane, range, &count));
    out->reverse = range->reverse;
    out->limit = range->limit;
    nacre_status status = api_range_where(membrane, range, out);
    if (status == NACRE_OK) status = api_range_bounds(membrane, range, count, out);
    if (status != NACRE_OK) api_range_clear(&membrane->db->env, out);
    return status;
}

void api_range_clear(Env *env, ApiRange *range) {
    env_free(env, range->memory, range->size);
    env_free(env, range->program.data, range->program.capacity);
    *range = (ApiRange){0};
}

/* ---- records ---- */

nacre_status api_expiry(const Membrane *membrane, const nacre_put_options *options, uint64_t *expiry) {
    Env *env = &membrane->db->env;
    uint64_t ttl = membrane->schema.ttl_ms;
    if (options && options->struct_size != sizeof *options)
        return env_fail(env, NACRE_INVALID_ARGUMENT, "put: struct_size is %zu, not %zu; use NACRE_PUT_INIT",
                        options->struct_size, sizeof *options);
    if (options && options->ttl_ms) ttl = options->ttl_ms == NACRE_TTL_NEVER ? 0 : options->ttl_ms;
    if (ttl > (uint64_t)LIMIT_TIMESTAMP_MS)
        return env_fail(env, NACRE_INVALID_ARGUMENT, "%s: ttl_ms %llu, at most %lld are possible", membrane->name,
                        (unsigned long long)ttl, (long long)LIMIT_TIMESTAMP_MS);
    *expiry = ttl ? RECORD_LIFETIME + ttl : 0;
    return NACRE_OK;
}

nacre_status api_measure_put(const Membrane *membrane, const nacre_value *key, const float *vector,
                             const nacre_value *fields, const nacre_put_options *options,
                             ApiRecord *record) {
    Env *env = &membrane->db->env;
    const Schema *schema = &membrane->schema;
    uint64_t row_size = 0, expiry = 0;
    size_t key_size = 0;
    if (!key) return api_null(membrane->db, "key");
    TRY(key_measure(env, schema, key, schema->key_count, KEY_WHOLE, &key_size));
    TRY(row_measure(env, schema, fields, &row_size));
    if (schema->kind == NACRE_COLLECTION) {
        TRY(api_check_vector(membrane, "vector", vector));
        row_size += 4 + schema_vector_size(schema);
    } else if (vector) {
        return env_fail(env, NACRE_INVALID_ARGUMENT, "vector: %s is a %s and has none",
                        membrane->name, kind_name(schema->kind));
    }
    TRY(api_expiry(membrane, options, &expiry));
    if (expiry) row_size += 8;
    *record = (ApiRecord){membrane,
                          key,
                          fields,
                          vector,
                          key_size,
                          (size_t)row_size,
                          record_size(4 + key_size, row_size),
                          false,
                          expiry};
    return NACRE_OK;
}

nacre_status api_measure_delete(const Membrane *membrane, const nacre_value *key,
                                ApiRecord *record) {
    size_t key_size = 0;
    if (!key) return api_null(membrane->db, "key");
    TRY(key_measure(&membrane->db->env, &membrane->schema, key, membrane->schema.key_count,
                    KEY_WHOLE, &key_size));
    *record =
        (ApiRecord){membrane, key, NULL, NULL, key_size, 0, record_size(4 + key_size, 0), true, 0};
    return NACRE_OK;
}

void api_write_record(const ApiRecord *r, uint8_t *at) {
    const Schema *schema = &r->membrane->schema;
    uint32_t flags = r->delete ? RECORD_DELETE : r->vector ? RECORD_VECTOR : 0;
    uint8_t *end = at + r->size;
    if (r->expiry) flags |= RECORD_EXPIRES;
    put_u32(at, (uint32_t)(4 + r->key_size) | flags << 24);
    put_u32(at + 4, (uint32_t)r->value_size);
    put_u64(at + 8, 0); /* link and stamp */
    put_u32_be(at + RECORD_HEAD, r->membrane->id);
    at = key_encode(schema, r->key, schema->key_count, KEY_WHOLE, at + RECORD_HEAD + 4);
    if (!r->delete) {
        if (r->expiry) put_u64(at, r->expiry), at += 8;
        if (r->vector) {
            put_u32(at, (uint32_t)schema_vector_size(schema));
            at = element_encode((Element)schema->element, r->vector, schema->dimensions, at + 4);
        }
        at = row_encode(schema, r->fields, at);
    }
    while (at < end) *at++ = 0;
}
