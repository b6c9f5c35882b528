/* house.c - create, info, stats, verify, compact: the verbs about a whole database. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- create ---- */

static bool house_type(const char *name, size_t size, nacre_type *type) {
    static const struct {
        const char *name;
        nacre_type type;
    } types[] = {
        {"text", NACRE_TEXT},           {"integer", NACRE_INTEGER}, {"bigint", NACRE_BIGINT},
        {"real", NACRE_REAL},           {"boolean", NACRE_BOOLEAN}, {"bytes", NACRE_BYTES},
        {"timestamp", NACRE_TIMESTAMP}, {"json", NACRE_JSON},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strlen(types[i].name) == size && memcmp(types[i].name, name, size) == 0) {
            *type = types[i].type;
            return true;
        }
    return false;
}

static int house_no_type(Cli *cli, const char *option, const char *text) {
    return cli_fail(cli, CLI_USAGE,
                    "--%s %s: types are text integer bigint real boolean bytes timestamp json",
                    option, text);
}

static int house_key(Cli *cli, nacre_schema *schema) {
    const char *text = cli_option(cli, "key"), *at = text ? text : "text";
    for (;;) {
        size_t size = strcspn(at, ",");
        if (schema->key_count == NACRE_KEY_PARTS_MAX)
            return cli_fail(cli, CLI_USAGE, "--key %s: at most %d parts", text,
                            NACRE_KEY_PARTS_MAX);
        if (!house_type(at, size, &schema->key_types[schema->key_count++]))
            return house_no_type(cli, "key", text);
        if (at[size] == 0) return CLI_DONE;
        at += size + 1;
    }
}

/* NAME:TYPE or NAME:TYPE:indexed; the names are cut in `names`. */
static int house_fields(Cli *cli, nacre_schema *schema, nacre_field *fields, CliPool *names) {
    for (int i = 0; i < cli->given_count; i++) {
        static const char word[] = ":indexed";
        const char *text = cli->given[i].value;
        if (strcmp(cli->given[i].option->name, "field") != 0) continue;
        size_t whole = strlen(text), ending = sizeof word - 1;
        bool indexed = whole > ending && memcmp(text + whole - ending, word, ending) == 0;
        if (indexed) whole -= ending;
        size_t type = whole;
        while (type > 0 && text[type - 1] != ':') type--;
        if (type == 0) return cli_fail(cli, CLI_USAGE, "--field %s: write it as name:type", text);
        size_t size = type - 1;
        char *name = cli_pool_alloc(names, size + 1);
        memcpy(name, text, size);
        name[size] = 0;
        fields[schema->field_count].name = name;
        fields[schema->field_count].indexed = indexed;
        if (!house_type(text + type, whole - type, &fields[schema->field_count].type))
            return house_no_type(cli, "field", text);
        schema->field_count++;
    }
    schema->fields = fields;
    return CLI_DONE;
}

/* The index of a name among those of an option, from 1; 0: it is none of them. */
static int house_index(const char *name, const char *const *names) {
    for (int i = 1; names[i]; i++)
        if (strcmp(name, names[i]) == 0) return i;
    return 0;
}

static int house_vector(Cli *cli, nacre_schema *schema) {
    static const char *const metrics[] = {"", "l2", "cosine", "ip", "hamming", NULL};
    static const char *const elements[] = {"", "f32", "f16", "i8", "bit", NULL};
    const char *metric = cli_option(cli, "metric"), *element = cli_option(cli, "element");
    schema->element = element ? (nacre_element)house_index(element, elements) : NACRE_F32;
    if (schema->element == 0)
        return cli_fail(cli, CLI_USAGE, "--element %s: elements are f32, f16, i8 and bit", element);
    if (!metric && schema->element != NACRE_BIT)
        return cli_fail(cli, CLI_USAGE, "a collection wants --metric: l2, cosine or ip");
    schema->metric = metric ? (nacre_metric)house_index(metric, metrics) : NACRE_HAMMING;
    if (schema->metric == 0)
        return cli_fail(cli, CLI_USAGE, "--metric %s: metrics are l2, cosine, ip and, of bits, hamming", metric);
    return CLI_DONE;
}

static int house_kind(Cli *cli, nacre_schema *schema) {
    const char *kind = cli_option(cli, "kind"), *value = cli_option(cli, "value");
    uint64_t dimensions = 0;
    int code =
        cli_option_number(cli, "dimensions", 1, nacre_limits_get().dimensions_max, &dimensions);
    if (code != CLI_DONE) return code;
    if (!kind || strcmp(kind, "kv") == 0)
        schema->kind = NACRE_KV;
    else if (strcmp(kind, "collection") == 0)
        schema->kind = NACRE_COLLECTION;
    else if (strcmp(kind, "table") == 0)
        schema->kind = NACRE_TABLE;
    else
        return cli_fail(cli, CLI_USAGE, "--kind %s: kinds are kv, collection and table", kind);
    bool kv = schema->kind == NACRE_KV, collection = schema->kind == NACRE_COLLECTION;
    if (value && !kv)
        return cli_fail(cli, CLI_USAGE, "--value is for --kind kv; a %s has fields", kind);
    if ((dimensions || cli_option(cli, "metric") || cli_option(cli, "element")) && !collection)
        return cli_fail(cli, CLI_USAGE, "--dimensions, --metric and --element are for --kind collection");
    if (kv && schema->field_count)
        return cli_fail(cli, CLI_USAGE, "--field is for --kind collection and table");
    if (kv) schema->value_type = NACRE_JSON;
    if (value && !house_type(value, strlen(value), &schema->value_type))
        return house_no_type(cli, "value", value);
    if (!collection) return CLI_DONE;
    if (!dimensions)
        return cli_fail(cli, CLI_USAGE,
                        "a collection wants --dimensions N: how many numbers a vector has");
    schema->dimensions = (uint32_t)dimensions;
    return house_vector(cli, schema);
}

static int house_storage(Cli *cli, nacre_schema *schema) {
    const char *compression = cli_option(cli, "compression");
    uint64_t block_size = 0;
    int code = cli_option_number(cli, "ttl", 1, UINT64_C(8640000000000000), &schema->ttl_ms);
    if (code == CLI_DONE) code = cli_option_number(cli, "block-size", 4096, 65536, &block_size);
    if (code != CLI_DONE) return code;
    schema->block_size = (uint32_t)block_size;
    if (!compression || strcmp(compression, "none") == 0) return CLI_DONE;
    schema->compression = NACRE_LZ4;
    if (strcmp(compression, "lz4") == 0) return CLI_DONE;
    return cli_fail(cli, CLI_USAGE, "--compression %s: none or lz4", compression);
}

int cli_create(Cli *cli) {
    nacre_schema schema = {.struct_size = sizeof schema};
    nacre_membrane *membrane = NULL;
    CliPool names = {0};
    nacre_field *fields = cli_alloc(CLI_ARGUMENTS_MAX * sizeof *fields);
    int code = house_key(cli, &schema);
    if (code == CLI_DONE) code = house_fields(cli, &schema, fields, &names);
    if (code == CLI_DONE) code = house_kind(cli, &schema);
    if (code == CLI_DONE) code = house_storage(cli, &schema);
    if (code == CLI_DONE) code = cli_open(cli, NACRE_READWRITE);
    if (code == CLI_DONE) {
        nacre_status status = nacre_membrane_open(cli->db, cli->arguments[1], &schema, &membrane);
        if (status != NACRE_OK) code = cli_fail_status(cli, status, cli->arguments[0]);
    }
    if (code == CLI_DONE && cli->json) {
        fputs("{\"created\":", stdout);
        cli_print_string(cli->arguments[1]);
        fputs("}\n", stdout);
    }
    free(fields);
    cli_pool_clear(&names);
    return code;
}

/* ---- info ---- */

static const char *house_kind_name(nacre_kind kind) {
    return kind == NACRE_KV ? "kv" : kind == NACRE_COLLECTION ? "collection" : "table";
}

int cli_info(Cli *cli) {
    nacre_membrane *membrane = NULL;
    int code = cli_open(cli, NACRE_READ);
    if (code != CLI_DONE) return code;
    for (uint32_t i = 0; nacre_membrane_at(cli->db, i, &membrane) == NACRE_OK; i++) {
        const nacre_schema *schema = nacre_membrane_schema(membrane);
        const char *name = nacre_membrane_name(membrane);
        uint64_t rows = 0, bytes = 0;
        nacre_status status = nacre_count(membrane, NULL, NULL, &rows);
        if (status == NACRE_OK) status = nacre_membrane_bytes(membrane, &bytes);
        if (status != NACRE_OK) return cli_fail_status(cli, status, name);
        if (cli->json) {
            fputs("{\"name\":", stdout);
            cli_print_string(name);
            printf(",\"kind\":\"%s\",\"rows\":%llu,\"bytes\":%llu,\"schema\":",
                   house_kind_name(schema->kind), (unsigned long long)rows,
                   (unsigned long long)bytes);
        } else {
            printf("%s: %s, %llu rows, %llu bytes, ", name, house_kind_name(schema->kind),
                   (unsigned long long)rows, (unsigned long long)bytes);
        }
        cli_print_schema(schema);
        fputs(cli->json ? "}\n" : "\n", stdout);
    }
    return CLI_DONE;
}

/* ---- stats ---- */

enum { STATS_DEPTH_MAX = 8, STATS_NAME_MAX = 200 };

/* One line for each number: "file.size: 4096". Recursion is bounded by STATS_DEPTH_MAX. */
static void stats_print(JsonValue value, char *name, size_t size, int depth) {
    if (value.kind != JSON_OBJECT || depth == STATS_DEPTH_MAX) {
        printf("%.*s: ", (int)size, name);
        cli_print_json(value.text);
        putchar('\n');
        return;
    }
    JsonIterator it = json_iterate(value);
    for (JsonValue member, item; json_next(&it, &member, &item);) {
        size_t at = size, length = json_string_size(member);
        if (at + length + 2 > STATS_NAME_MAX) continue;
        if (at) name[at++] = '.';
        json_string_copy(member, (uint8_t *)name + at);
        stats_print(item, name, at + length, depth + 1);
    }
}

int cli_stats(Cli *cli) {
    const char *text = NULL;
    char name[STATS_NAME_MAX];
    JsonValue json;
    int code = cli_open(cli, NACRE_READ);
    if (code != CLI_DONE) return code;
    nacre_status status = nacre_stats_json(cli->db, &text);
    if (status != NACRE_OK) return cli_fail_status(cli, status, cli->arguments[0]);
    if (cli->json) {
        cli_print_json(span_of(text, strlen(text)));
        putchar('\n');
    } else if (json_parse(span_of(text, strlen(text)), &json)) {
        stats_print(json, name, 0, 0);
    }
    return CLI_DONE;
}

/* ---- verify ---- */

typedef struct HouseVerify {
    bool json, any;
    char first[300];
} HouseVerify;

static void house_problem(void *self, const char *where, uint64_t offset, const char *what) {
    HouseVerify *v = self;
    if (!v->any)
        snprintf(v->first, sizeof v->first, "%s at %llu: %s", where, (unsigned long long)offset,
                 what);
    if (v->json) {
        printf("%s{\"where\":", v->any ? "," : "");
        cli_print_string(where);
        printf(",\"offset\":%llu,\"what\":", (unsigned long long)offset);
        cli_print_string(what);
        putchar('}');
    } else {
        printf("%s at %llu: %s\n", where, (unsigned long long)offset, what);
    }
    v->any = true;
}

int cli_verify(Cli *cli) {
    HouseVerify verify = {.json = cli->json};
    bool deep = cli_option(cli, "deep") != NULL;
    uint64_t problems = 0;
    nacre_status status = cli_open_quietly(cli, NACRE_READ);
    if (status != NACRE_OK && status != NACRE_CORRUPT && status != NACRE_VERSION)
        return cli_open(cli, NACRE_READ); /* says why */
    nacre_options options = NACRE_OPTIONS_INIT;
    uint8_t key[CLI_KEY];
    int code = cli_take_key(cli, &options, key);
    if (code != CLI_DONE) return code;
    if (cli->json) fputs("{\"problems\":[", stdout);
    if (cli->db) {
        status = nacre_verify(cli->db, deep, house_problem, &verify, &problems);
    } else { /* too damaged to be opened: why, and then all that the files show */
        nacre_error why = cli->open_error;
        status = nacre_verify_files(cli->arguments[0], &options, deep, house_problem, &verify, &problems,
                                    &cli->open_error);
        if (status == NACRE_OK && problems == 0) { /* the files' parts are whole, but do not fit together */
            house_problem(&verify, cli->arguments[0], 0, why.text);
            problems = 1;
        }
    }
    cli_wipe(key, sizeof key);
    if (cli->json) printf("],\"ok\":%s}\n", status == NACRE_OK && problems == 0 ? "true" : "false");
    if (status != NACRE_OK && !cli->db) return cli_fail(cli, CLI_REFUSED, "%s; restore a copy", cli->open_error.text);
    if (status != NACRE_OK) return cli_fail_status(cli, status, cli->arguments[0]);
    if (problems == 0) {
        if (!cli->json) puts("ok");
        return CLI_DONE;
    }
    return cli_fail(cli, CLI_REFUSED,
                    "%s: damaged in %llu places, the first: %s; restore a copy, or see nacre help repair",
                    cli->arguments[0], (unsigned long long)problems, verify.first);
}

/* ---- compact ---- */

static double house_ms(void) {
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

int cli_compact(Cli *cli) {
    nacre_compact_report report = {0};
    int code = cli_open(cli, NACRE_EXISTING);
    if (code != CLI_DONE) return code;
    double start = house_ms();
    nacre_status status = nacre_compact(cli->db, &report);
    if (status != NACRE_OK) return cli_fail_status(cli, status, cli->arguments[0]);
    double ms = house_ms() - start;
    printf(cli->json ? "{\"before\":%llu,\"after\":%llu,\"rows\":%llu,\"ms\":%.0f}\n"
                     : "%llu bytes before, %llu after, %llu rows, %.0f ms\n",
           (unsigned long long)report.before, (unsigned long long)report.after,
           (unsigned long long)report.rows, ms);
    return CLI_DONE;
}
