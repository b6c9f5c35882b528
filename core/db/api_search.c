/* api_search.c - nacre_search and its kin: the caller's options checked, hits kept until they
 * are freed. */
#include "db/api.h"

struct nacre_hits {
    ApiHandle handle;
    Db *db;
    const Membrane *membrane;
    Hits *hits;
    ApiRow *rows; /* one for each hit, filled when it is asked for */
    uint32_t count;
};

static nacre_status api_search_numbers(Membrane *membrane, const nacre_search_options *options, SearchQuery *search) {
    Db *db = membrane->db;
    if (options->struct_size != sizeof *options)
        return env_fail(&db->env, NACRE_INVALID_ARGUMENT,
                        "search: struct_size is %zu, not %zu; use NACRE_SEARCH_INIT",
                        options->struct_size, sizeof *options);
    if (options->k) search->k = options->k;
    if (search->k > LIMIT_K)
        return env_fail(&db->env, NACRE_INVALID_ARGUMENT, "search: k is %u, at most %d are possible",
                        (unsigned)search->k, LIMIT_K);
    search->recall = options->recall;
    search->exact = options->exact;
    search->probes = options->probes;
    search->limited = options->limited;
    search->max_distance = options->max_distance;
    if (options->timeout_ms) search->deadline_ms = db->env.vfs->now_ms(db->env.vfs->self) + options->timeout_ms;
    return NACRE_OK;
}

/* What a search borrows until it is done. */
typedef struct ApiSearch {
    FilterProgram program;
    uint8_t *vectors; /* as they would be stored; NULL: floats are taken as they are */
    size_t vectors_size;
} ApiSearch;

static void api_search_clear(Env *env, ApiSearch *kept) {
    env_free(env, kept->program.data, kept->program.capacity);
    env_free(env, kept->vectors, kept->vectors_size);
}

static nacre_status api_search_vectors(const Membrane *membrane, const float *queries, uint32_t count,
                                       SearchQuery *search, ApiSearch *kept) {
    const Schema *schema = &membrane->schema;
    search->vector = queries;
    for (uint32_t i = 0; i < count; i++)
        TRY(api_check_vector(membrane, "query", queries + (size_t)i * schema->dimensions));
    if (schema->element == NACRE_F32) return NACRE_OK;
    kept->vectors_size = count * schema_vector_size(schema);
    uint8_t *at = kept->vectors = env_alloc(&membrane->db->env, kept->vectors_size);
    if (!at) return NACRE_RESOURCE_EXHAUSTED;
    for (uint32_t i = 0; i < count; i++)
        at = element_encode((Element)schema->element, queries + (size_t)i * schema->dimensions, schema->dimensions, at);
    search->vector = kept->vectors;
    return NACRE_OK;
}

/* Of `count` vectors at `queries`. */
static nacre_status api_search_query(Membrane *membrane, const float *queries, uint32_t count,
                                     const nacre_search_options *options, SearchQuery *search,
                                     ApiSearch *kept) {
    Env *env = &membrane->db->env;
    *search = (SearchQuery){.k = 10, .want_vectors = true};
    if (membrane->schema.kind != NACRE_COLLECTION)
        return env_fail(env, NACRE_WRONG_KIND, "search: %s is a %s and has no vectors",
                        membrane->name, kind_name(membrane->schema.kind));
    if (!queries) return api_null(membrane->db, "query");
    TRY(api_search_vectors(membrane, queries, count, search, kept));
    if (!options) return NACRE_OK;
    TRY(api_search_numbers(membrane, options, search));
    if (!options->where_json) {
        if (options->where_size) return api_null(membrane->db, "where_json");
        return NACRE_OK;
    }
    size_t size = options->where_size ? options->where_size : strlen(options->where_json);
    TRY(filter_from_json(env, &membrane->schema, options->where_json, size, &kept->program));
    search->filter = span_of(kept->program.data, kept->program.size);
    return NACRE_OK;
}

static nacre_status api_hits_new(Membrane *membrane, Hits *found, nacre_hits **out) {
    Db *db = membrane->db;
    uint32_t count = hits_count(found);
    nacre_hits *hits = env_alloc_zeroed(&db->env, sizeof *hits);
    ApiRow *rows = env_alloc_zeroed(&db->env, count * sizeof *rows);
    if (!hits || !rows) {
        env_free(&db->env, hits, sizeof *hits);
        env_free(&db->env, rows, count * sizeof *rows);
        return NACRE_RESOURCE_EXHAUSTED;
    }
    hits->db = db, hits->membrane = membrane, hits->hits = found, hits->rows = rows,
    hits->count = count;
    api_handle_add(db, &hits->handle, API_HITS);
    *out = hits;
    return NACRE_OK;
}

/* The found of each query, as handles in place of them: all or none. */
static nacre_status api_hits_adopt(Membrane *membrane, Hits **found, uint32_t count, nacre_hits **hits) {
    nacre_status status = NACRE_OK;
    uint32_t made = 0;
    while (made < count && (status = api_hits_new(membrane, found[made], &hits[made])) == NACRE_OK) made++;
    if (status == NACRE_OK) return NACRE_OK;
    for (uint32_t i = made; i < count; i++) hits_free(found[i]);
    while (made > 0) {
        nacre_hits_free(hits[--made]);
        hits[made] = NULL;
    }
    return status;
}

nacre_status nacre_search(nacre_membrane *membrane, const nacre_snapshot *snapshot,
                          const float *query, const nacre_search_options *options,
                          nacre_hits **hits) {
    ApiSearch kept = {0};
    SearchQuery search;
    Hits *found = NULL;
    TRY(api_call(membrane));
    if (!hits) return api_null(membrane->db, "hits");
    nacre_status status = api_search_query(membrane, query, 1, options, &search, &kept);
    if (status == NACRE_OK) status = db_search(membrane, snapshot, &search, &found);
    api_search_clear(&membrane->db->env, &kept);
    TRY(status);
    status = api_hits_new(membrane, found, hits);
    if (status != NACRE_OK) hits_free(found);
    return status;
}

nacre_status nacre_search_many(nacre_membrane *membrane, const nacre_snapshot *snapshot, const float *queries,
                               uint32_t count, const nacre_search_options *options, nacre_hits **hits) {
    ApiSearch kept = {0};
    SearchQuery search;
    Hits **found = NULL;
    nacre_hits **made = NULL;
    nacre_status status = NACRE_OK;
    TRY(api_call(membrane));
    Env *env = &membrane->db->env;
    size_t size = (size_t)count * sizeof(void *);
    if (!hits) return api_null(membrane->db, "hits");
    TRY_OUT(api_search_query(membrane, queries, count, options, &search, &kept));
    found = env_alloc(env, size);
    made = env_alloc(env, size);
    if (!found || !made) TRY_OUT(NACRE_RESOURCE_EXHAUSTED);
    TRY_OUT(db_search_many(membrane, snapshot, &search, count, found));
    TRY_OUT(api_hits_adopt(membrane, found, count, made));
    if (size) memcpy(hits, made, size);
out:
    api_search_clear(env, &kept);
    env_free(env, found, size);
    env_free(env, made, size);
    return status;
}

const char *nacre_search_path_name(nacre_search_path path) {
    switch (path) {
    case NACRE_PATH_EXACT: return "exact";
    case NACRE_PATH_FLAT: return "flat";
    case NACRE_PATH_IVF: return "ivf";
    case NACRE_PATH_MATCHES: return "matches";
    }
    return "unknown";
}

nacre_status nacre_search_explain(nacre_membrane *membrane, const nacre_snapshot *snapshot, const float *query,
                                  const nacre_search_options *options, nacre_search_report *report) {
    ApiSearch kept = {0};
    SearchQuery search;
    nacre_search_report done = {0};
    Hits *found = NULL;
    TRY(api_call(membrane));
    if (!report) return api_null(membrane->db, "report");
    nacre_status status = api_search_query(membrane, query, 1, options, &search, &kept);
    search.report = &done;
    search.want_vectors = false;
    if (status == NACRE_OK) status = db_search(membrane, snapshot, &search, &found);
    api_search_clear(&membrane->db->env, &kept);
    TRY(status);
    hits_free(found);
    *report = done;
    return NACRE_OK;
}

uint32_t nacre_hits_count(const nacre_hits *hits) { return hits ? hits->count : 0; }

nacre_status nacre_hits_at(nacre_hits *hits, uint32_t index, float *distance, nacre_row *row) {
    if (!hits) return NACRE_INVALID_ARGUMENT;
    env_clear(&hits->db->env);
    if (index >= hits->count)
        return env_fail(&hits->db->env, NACRE_NOT_FOUND, "hits: there is no hit %u of %u",
                        (unsigned)index, (unsigned)hits->count);
    const Hit *hit = hits_at(hits->hits, index);
    if (row) TRY(api_show(hits->membrane, &hit->row, &hits->rows[index], row));
    if (distance) *distance = hit->distance;
    return NACRE_OK;
}

void api_hits_free(nacre_hits *hits) {
    Env *env = &hits->db->env;
    for (uint32_t i = 0; i < hits->count; i++) api_row_clear(env, &hits->rows[i]);
    env_free(env, hits->rows, hits->count * sizeof *hits->rows);
    hits_free(hits->hits);
    env_free(env, hits, sizeof *hits);
}

void nacre_hits_free(nacre_hits *hits) {
    if (!hits) return;
    db_call(hits->db);
    api_handle_remove(hits->db, &hits->handle);
    api_hits_free(hits);
}
