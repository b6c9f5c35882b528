/* rows.c - put, get, del, scan, search, dump. */
#include "cli/cli.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A key argument of the verb, or wrong usage. */
static int rows_key(Cli *cli, const nacre_schema *schema, const char *text, CliPool *pool,
                    nacre_value *key) {
    CliProblem problem;
    uint32_t count = 0;
    if (cli_key_argument(schema, text, true, pool, key, &count, &problem)) return CLI_DONE;
    return cli_fail(cli, CLI_USAGE, "key %s: %s", text, problem.text);
}

static int rows_absent(Cli *cli, const char *key) {
    return cli_fail(cli, CLI_REFUSED,
                    "%s: there is no key %s; nacre scan lists those that there are",
                    cli->arguments[1], key);
}

static void rows_print(const nacre_schema *schema, const nacre_row *row, bool vector) {
    putchar('{');
    cli_print_row(schema, row, vector);
    fputs("}\n", stdout);
}

/* ---- put ---- */

static int rows_put_record(Cli *cli, nacre_membrane *membrane, JsonValue json,
                           const nacre_value *key, CliPool *pool, CliRecord *record) {
    const nacre_schema *schema = nacre_membrane_schema(membrane);
    CliProblem problem;
    CliRecordRules rules = {"key", false};
    if (schema->kind == NACRE_KV) {
        if (schema->value_type == NACRE_JSON)
            record->fields[0] =
                (nacre_value){.type = NACRE_JSON, .bytes = {json.text.data, json.text.size}};
        else if (!cli_value_json(schema->value_type, "value", json, pool, &record->fields[0],
                                 &problem))
            return cli_fail(cli, CLI_REFUSED, "%s", problem.text);
    } else {
        if (!cli_record_json(schema, json, &rules, pool, record, &problem))
            return cli_fail(cli, CLI_REFUSED, "record: %s", problem.text);
        if (record->has_key)
            return cli_fail(cli, CLI_USAGE,
                            "record: the key is an argument, leave it out of the JSON");
        if (schema->kind == NACRE_COLLECTION && !record->has_vector)
            return cli_fail(cli, CLI_REFUSED,
                            "record: it has no vector; give \"vector\" as an array of %u numbers",
                            (unsigned)schema->dimensions);
    }
    nacre_status status = nacre_put(
        membrane, key, schema->kind == NACRE_COLLECTION ? record->vector : NULL, record->fields);
    return status == NACRE_OK ? CLI_DONE : cli_fail_status(cli, status, cli->arguments[1]);
}

int cli_put(Cli *cli) {
    nacre_membrane *membrane = NULL;
    nacre_value key[NACRE_KEY_PARTS_MAX];
    CliPool pool = {0};
    CliRecord record;
    JsonValue json;
    const char *text = cli->arguments[3];
    if (!json_parse(span_of(text, strlen(text)), &json))
        return cli_fail(cli, CLI_USAGE, "%s is not JSON; text is written '\"text\"'", text);
    int code = cli_open_membrane(cli, NACRE_EXISTING, &membrane);
    if (code != CLI_DONE) return code;
    const nacre_schema *schema = nacre_membrane_schema(membrane);
    cli_record_init(&record, schema);
    code = rows_key(cli, schema, cli->arguments[2], &pool, key);
    if (code == CLI_DONE) code = rows_put_record(cli, membrane, json, key, &pool, &record);
    if (code == CLI_DONE && cli->json) fputs("{\"put\":1}\n", stdout);
    cli_record_clear(&record);
    cli_pool_clear(&pool);
    return code;
}

/* ---- get and del ---- */

int cli_get(Cli *cli) {
    nacre_membrane *membrane = NULL;
    nacre_value key[NACRE_KEY_PARTS_MAX];
    nacre_row row;
    CliPool pool = {0};
    int code = cli_open_membrane(cli, NACRE_READ, &membrane);
    if (code != CLI_DONE) return code;
    const nacre_schema *schema = nacre_membrane_schema(membrane);
    code = rows_key(cli, schema, cli->arguments[2], &pool, key);
    if (code == CLI_DONE) {
        nacre_status status = nacre_get(membrane, NULL, key, &row);
        if (status == NACRE_NOT_FOUND) {
            code = rows_absent(cli, cli->arguments[2]);
        } else if (status != NACRE_OK) {
            code = cli_fail_status(cli, status, cli->arguments[1]);
        } else if (schema->kind == NACRE_KV && !cli->json) {
            cli_print_value(&row.fields[0]);
            putchar('\n');
        } else {
            rows_print(schema, &row, true);
        }
    }
    cli_pool_clear(&pool);
    return code;
}

int cli_del(Cli *cli) {
    nacre_membrane *membrane = NULL;
    nacre_value key[NACRE_KEY_PARTS_MAX];
    CliPool pool = {0};
    int code = cli_open_membrane(cli, NACRE_EXISTING, &membrane);
    if (code != CLI_DONE) return code;
    code = rows_key(cli, nacre_membrane_schema(membrane), cli->arguments[2], &pool, key);
    if (code == CLI_DONE) {
        nacre_status status = nacre_delete(membrane, key);
        if (status == NACRE_NOT_FOUND)
            code = rows_absent(cli, cli->arguments[2]);
        else if (status != NACRE_OK)
            code = cli_fail_status(cli, status, cli->arguments[1]);
        else if (cli->json)
            fputs("{\"deleted\":1}\n", stdout);
    }
    cli_pool_clear(&pool);
    return code;
}

/* ---- scan and dump ---- */

typedef struct RowsBounds {
    nacre_value values[5][NACRE_KEY_PARTS_MAX];
    CliPool pool;
} RowsBounds;

static int rows_range(Cli *cli, const nacre_schema *schema, RowsBounds *bounds,
                      nacre_range *range) {
    static const char *const names[5] = {"gt", "gte", "lt", "lte", "prefix"};
    const nacre_value **places[5] = {&range->gt, &range->gte, &range->lt, &range->lte,
                                     &range->prefix};
    CliProblem problem;
    for (int i = 0; i < 5; i++) {
        const char *text = cli_option(cli, names[i]);
        uint32_t count = 0;
        if (!text) continue;
        if (!cli_key_argument(schema, text, false, &bounds->pool, bounds->values[i], &count,
                              &problem))
            return cli_fail(cli, CLI_USAGE, "--%s %s: %s", names[i], text, problem.text);
        if (range->bound_count && range->bound_count != count)
            return cli_fail(cli, CLI_USAGE, "--%s %s: give as many parts of the key in each bound",
                            names[i], text);
        range->bound_count = count;
        *places[i] = bounds->values[i];
    }
    range->reverse = cli_option(cli, "reverse") != NULL;
    range->where_json = cli_option(cli, "where");
    if (range->where_json && !json_check(span_of(range->where_json, strlen(range->where_json))))
        return cli_fail(cli, CLI_USAGE, "--where %s: this is not JSON", range->where_json);
    return cli_option_number(cli, "limit", 1, UINT64_MAX / 100, &range->limit);
}

static int rows_print_range(Cli *cli, nacre_membrane *membrane, const nacre_range *range,
                            const char *begin, bool vector, const char *end) {
    const nacre_schema *schema = nacre_membrane_schema(membrane);
    nacre_cursor *cursor = NULL;
    nacre_row row;
    nacre_status status = nacre_cursor_open(membrane, NULL, range, &cursor);
    while (status == NACRE_OK && (status = nacre_cursor_next(cursor, &row)) == NACRE_OK) {
        fputs(begin, stdout);
        cli_print_row(schema, &row, vector);
        fputs(end, stdout);
    }
    int code = status == NACRE_NOT_FOUND
                   ? CLI_DONE
                   : cli_fail_status(cli, status, nacre_membrane_name(membrane));
    nacre_cursor_close(cursor);
    return code;
}

int cli_scan(Cli *cli) {
    nacre_membrane *membrane = NULL;
    nacre_range range = NACRE_RANGE_INIT;
    RowsBounds bounds = {0};
    int code = cli_open_membrane(cli, NACRE_READ, &membrane);
    if (code == CLI_DONE) code = rows_range(cli, nacre_membrane_schema(membrane), &bounds, &range);
    if (code == CLI_DONE)
        code =
            rows_print_range(cli, membrane, &range, "{", cli_option(cli, "vector") != NULL, "}\n");
    cli_pool_clear(&bounds.pool);
    return code;
}

static int rows_dump_all(Cli *cli) {
    static const char *const kinds[] = {"", "kv", "collection", "table"};
    nacre_membrane *membrane = NULL;
    int code = CLI_DONE;
    for (uint32_t i = 0; code == CLI_DONE && nacre_membrane_at(cli->db, i, &membrane) == NACRE_OK;
         i++) {
        const nacre_schema *schema = nacre_membrane_schema(membrane);
        const char *name = nacre_membrane_name(membrane);
        char begin[6 * 255 + 40], *at = begin;
        memcpy(at, "{\"membrane\":", 12);
        at += 12;
        at += json_quote(span_of(name, strlen(name)), at);
        *at = 0;
        printf("%s,\"kind\":\"%s\",\"schema\":", begin,
               kinds[(unsigned)schema->kind < 4 ? (unsigned)schema->kind : 0]);
        cli_print_schema(schema);
        fputs("}\n", stdout);
        strcpy(at, ",\"row\":{");
        code = rows_print_range(cli, membrane, NULL, begin, true, "}}\n");
    }
    return code;
}

int cli_dump(Cli *cli) {
    nacre_membrane *membrane = NULL;
    int code;
    if (cli->argument_count == 1) {
        code = cli_open(cli, NACRE_READ);
        return code == CLI_DONE ? rows_dump_all(cli) : code;
    }
    code = cli_open_membrane(cli, NACRE_READ, &membrane);
    return code == CLI_DONE ? rows_print_range(cli, membrane, NULL, "{", true, "}\n") : code;
}

/* ---- search ---- */

static int rows_query(Cli *cli, nacre_membrane *membrane, float *query) {
    const nacre_schema *schema = nacre_membrane_schema(membrane);
    const char *text = cli_option(cli, "vector"), *like = cli_option(cli, "like");
    nacre_value key[NACRE_KEY_PARTS_MAX];
    CliPool pool = {0};
    CliProblem problem;
    JsonValue json;
    nacre_row row;
    if (text) {
        if (!json_parse(span_of(text, strlen(text)), &json))
            return cli_fail(cli, CLI_USAGE, "--vector is not JSON; give an array of numbers");
        return cli_vector_json(schema->dimensions, json, query, &problem)
                   ? CLI_DONE
                   : cli_fail(cli, CLI_USAGE, "--vector: %s", problem.text);
    }
    int code = rows_key(cli, schema, like, &pool, key);
    if (code == CLI_DONE) {
        nacre_status status = nacre_get(membrane, NULL, key, &row);
        if (status == NACRE_OK)
            memcpy(query, row.vector, schema->dimensions * sizeof *query);
        else
            code = status == NACRE_NOT_FOUND ? rows_absent(cli, like)
                                             : cli_fail_status(cli, status, cli->arguments[1]);
    }
    cli_pool_clear(&pool);
    return code;
}

static bool rows_real(const char *text, double *value) {
    JsonValue json;
    if (!json_parse(span_of(text, strlen(text)), &json) || (json.kind != JSON_INTEGER && json.kind != JSON_REAL))
        return false;
    *value = json_real(json);
    return true;
}

static int rows_search_options(Cli *cli, nacre_search_options *options) {
    const char *recall = cli_option(cli, "recall"), *far = cli_option(cli, "max-distance");
    uint64_t k = 10, probes = 0;
    double number = 0;
    options->exact = recall && strcmp(recall, "exact") == 0;
    if (recall && !options->exact && !(rows_real(recall, &number) && number > 0 && number <= 1))
        return cli_fail(cli, CLI_USAGE, "--recall %s: give a number up to 1, or exact", recall);
    options->recall = (float)number;
    if (far && !rows_real(far, &number))
        return cli_fail(cli, CLI_USAGE, "--max-distance %s: give a number", far);
    options->limited = far != NULL;
    options->max_distance = number > FLT_MAX ? FLT_MAX : number < -FLT_MAX ? -FLT_MAX : (float)number;
    if ((double)options->max_distance > number) options->max_distance = nextafterf(options->max_distance, -FLT_MAX);
    int code = cli_option_number(cli, "k", 1, nacre_limits_get().k_max, &k);
    if (code == CLI_DONE) code = cli_option_number(cli, "probes", 1, UINT32_MAX, &probes);
    options->k = (uint32_t)k;
    options->probes = (uint32_t)probes;
    options->where_json = cli_option(cli, "where");
    if (code == CLI_DONE && options->where_json && !json_check(span_of(options->where_json, strlen(options->where_json))))
        return cli_fail(cli, CLI_USAGE, "--where %s: this is not JSON", options->where_json);
    return code;
}

static int rows_explain(Cli *cli, nacre_membrane *membrane, const float *query, const nacre_search_options *options) {
    nacre_search_report report;
    nacre_status status = nacre_search_explain(membrane, NULL, query, options, &report);
    if (status != NACRE_OK) return cli_fail_status(cli, status, NULL);
    printf("{\"path\":\"%s\",\"codesScored\":%llu,\"reranked\":%llu,\"segments\":%llu}\n",
           nacre_search_path_name(report.path), (unsigned long long)report.codes_scored,
           (unsigned long long)report.reranked, (unsigned long long)report.segments);
    return CLI_DONE;
}

static int rows_print_hits(Cli *cli, nacre_membrane *membrane, nacre_hits *hits) {
    const nacre_schema *schema = nacre_membrane_schema(membrane);
    for (uint32_t i = 0; i < nacre_hits_count(hits); i++) {
        float distance = 0;
        nacre_row row;
        nacre_status status = nacre_hits_at(hits, i, &distance, &row);
        if (status != NACRE_OK) return cli_fail_status(cli, status, cli->arguments[1]);
        fputs("{\"key\":", stdout);
        cli_print_key(&row);
        fputs(",\"distance\":", stdout);
        cli_print_float(distance);
        for (uint32_t f = 0; f < row.field_count; f++) {
            putchar(',');
            cli_print_string(schema->fields[f].name);
            putchar(':');
            cli_print_value(&row.fields[f]);
        }
        fputs("}\n", stdout);
    }
    return CLI_DONE;
}

int cli_search(Cli *cli) {
    nacre_membrane *membrane = NULL;
    nacre_search_options options = NACRE_SEARCH_INIT;
    nacre_hits *hits = NULL;
    if (!cli_option(cli, "vector") == !cli_option(cli, "like"))
        return cli_fail(cli, CLI_USAGE,
                        "say what to look for: --vector JSON or --like KEY, one of them");
    int code = rows_search_options(cli, &options);
    if (code == CLI_DONE) code = cli_open_membrane(cli, NACRE_READ, &membrane);
    if (code != CLI_DONE) return code;
    const nacre_schema *schema = nacre_membrane_schema(membrane);
    if (schema->kind != NACRE_COLLECTION)
        return cli_fail(cli, CLI_REFUSED, "%s: it has no vectors to search; name a collection",
                        cli->arguments[1]);
    float *query = cli_alloc(schema->dimensions * sizeof *query);
    code = rows_query(cli, membrane, query);
    if (code == CLI_DONE && cli_option(cli, "explain")) {
        code = rows_explain(cli, membrane, query, &options);
    } else if (code == CLI_DONE) {
        nacre_status status = nacre_search(membrane, NULL, query, &options, &hits);
        code = status == NACRE_OK ? rows_print_hits(cli, membrane, hits)
                                  : cli_fail_status(cli, status, NULL);
    }
    nacre_hits_free(hits);
    free(query);
    return code;
}
