/* import.c - nacre import: rows from a file, in batches. A row that is refused is named
 * and counted, and the others go on; a failure of the database ends it.
 *
 * Rows of numbers (.npy, .fvecs, .bvecs) take key and fields from the line of the same
 * place in a .jsonl beside them; without one, the key is the row's number from 0. */
#define _POSIX_C_SOURCE 200809L /* isatty */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { IMPORT_BATCH_ROWS = 1000, IMPORT_BATCH_BYTES = 4 << 20, IMPORT_SHOWN_MAX = 20 };

typedef struct Import {
    Cli *cli;
    nacre_membrane *membrane;
    const nacre_schema *schema;
    const char *name; /* of the file */
    CliFile file;
    CliRecordRules rules;
    CliRecord record;
    CliPool pool;
    nacre_batch *batch;
    uint64_t batch_rows, batch_bytes;
    uint64_t imported, refused;
    uint64_t first_refused; /* its number, for the last line */
    CliProblem first_problem;
    bool progress;
} Import;

/* ---- rows ---- */

static void import_refuse(Import *im, const char *unit, uint64_t number, const char *why) {
    if (im->refused++ == 0) {
        im->first_refused = number;
        snprintf(im->first_problem.text, sizeof im->first_problem.text, "%s", why);
    }
    if (im->cli->json) {
        printf("{\"refused\":%llu,\"problem\":", (unsigned long long)number);
        cli_print_string(why);
        fputs("}\n", stdout);
    } else if (im->refused <= IMPORT_SHOWN_MAX) {
        printf("refused: %s %llu: %s\n", unit, (unsigned long long)number, why);
    } else if (im->refused == IMPORT_SHOWN_MAX + 1) {
        printf("refused: more (--json names them all)\n");
    }
}

static void import_show_progress(Import *im) {
    if (!im->progress) return;
    long at = im->file.file ? ftell(im->file.file) : 0;
    int percent = im->file.size && at > 0 ? (int)((double)at * 100 / (double)im->file.size) : 0;
    fprintf(stderr, "\r%llu rows, %d %%", (unsigned long long)im->imported, percent);
    fflush(stderr);
}

static int import_commit(Import *im) {
    if (!im->batch) return CLI_DONE;
    nacre_status status = nacre_batch_commit(im->batch);
    im->batch = NULL;
    if (status != NACRE_OK) return cli_fail_status(im->cli, status, im->name);
    im->imported += im->batch_rows;
    im->batch_rows = im->batch_bytes = 0;
    import_show_progress(im);
    return CLI_DONE;
}

/* The record that im->record holds. */
static int import_add(Import *im, const char *unit, uint64_t number, uint64_t bytes) {
    const CliRecord *r = &im->record;
    bool vector = im->schema->kind == NACRE_COLLECTION;
    nacre_status status = NACRE_OK;
    if (!r->has_key) {
        import_refuse(im, unit, number, "it has no key");
        return CLI_DONE;
    }
    if (!im->batch) status = nacre_batch_begin(im->cli->db, &im->batch);
    if (status != NACRE_OK) return cli_fail_status(im->cli, status, im->name);
    status = nacre_batch_put(im->batch, im->membrane, r->key,
                             vector && r->has_vector ? r->vector : NULL, r->fields);
    if (status == NACRE_INVALID_ARGUMENT) {
        import_refuse(im, unit, number,
                      vector && !r->has_vector ? "it has no vector" : nacre_message(im->cli->db));
        return CLI_DONE;
    }
    if (status != NACRE_OK) return cli_fail_status(im->cli, status, im->name);
    im->batch_rows++;
    im->batch_bytes += bytes;
    bool full = im->batch_rows >= IMPORT_BATCH_ROWS || im->batch_bytes >= IMPORT_BATCH_BYTES;
    return full ? import_commit(im) : CLI_DONE;
}

/* ---- .jsonl ---- */

static bool import_blank(const CliFile *file) {
    for (size_t i = 0; i < file->line_size; i++)
        if (file->line[i] != ' ' && file->line[i] != '\t') return false;
    return true;
}

static int import_jsonl(Import *im) {
    int code = CLI_DONE;
    while (code == CLI_DONE && cli_file_line(&im->file)) {
        CliProblem problem;
        JsonValue object;
        if (import_blank(&im->file)) continue;
        if (!json_parse(span_of(im->file.line, im->file.line_size), &object))
            import_refuse(im, "line", im->file.line_number, "it is not JSON");
        else if (!cli_record_json(im->schema, object, &im->rules, &im->pool, &im->record, &problem))
            import_refuse(im, "line", im->file.line_number, problem.text);
        else
            code = import_add(im, "line", im->file.line_number, im->file.line_size);
        cli_pool_clear(&im->pool);
    }
    return code;
}

/* ---- .csv ---- */

enum { COLUMN_IGNORED = -1, COLUMN_KEY = -2, COLUMN_VECTOR = -3 }; /* else: a field */

static int import_csv_column(Import *im, const char *name) {
    if (strcmp(name, im->rules.key_name) == 0) return COLUMN_KEY;
    if (im->schema->kind == NACRE_KV && strcmp(name, "value") == 0) return 0;
    if (im->schema->kind == NACRE_COLLECTION && strcmp(name, "vector") == 0) return COLUMN_VECTOR;
    for (uint32_t i = 0; im->schema->kind != NACRE_KV && i < im->schema->field_count; i++)
        if (strcmp(name, im->schema->fields[i].name) == 0) return (int)i;
    return COLUMN_IGNORED;
}

static bool import_csv_cell(Import *im, int column, const char *text, struct CliCell cell,
                            CliProblem *problem) {
    CliRecord *r = &im->record;
    Span bytes = span_of(text, cell.size);
    uint32_t count = 0;
    JsonValue json;
    if (column == COLUMN_KEY) {
        r->has_key = true;
        return cli_key_argument(im->schema, text, true, &im->pool, r->key, &count, problem);
    }
    if (column == COLUMN_VECTOR) {
        r->has_vector = true;
        if (json_parse(bytes, &json))
            return cli_vector_json(im->schema->dimensions, json, r->vector, problem);
        snprintf(problem->text, sizeof problem->text, "the vector is a JSON array of numbers");
        return false;
    }
    bool kv = im->schema->kind == NACRE_KV;
    const char *name = kv ? "value" : im->schema->fields[column].name;
    nacre_type type = kv ? im->schema->value_type : im->schema->fields[column].type;
    if (cell.size == 0 && !cell.quoted && !kv) return true; /* nothing is null, "" is empty text */
    return cli_value_text(type, name, bytes, &im->pool, &r->fields[column], problem);
}

static bool import_csv_row(Import *im, const int *columns, size_t column_count,
                           const CliCells *cells, CliProblem *problem) {
    CliRecord *r = &im->record;
    uint32_t fields = im->schema->kind == NACRE_KV ? 1 : im->schema->field_count;
    for (uint32_t i = 0; i < fields; i++) r->fields[i] = nacre_null();
    r->has_key = r->has_vector = false;
    if (cells->count != column_count) {
        snprintf(problem->text, sizeof problem->text, "it has %zu cells, the header has %zu",
                 cells->count, column_count);
        return false;
    }
    for (size_t i = 0; i < column_count; i++)
        if (columns[i] != COLUMN_IGNORED &&
            !import_csv_cell(im, columns[i], cells->text + cells->cells[i].offset, cells->cells[i],
                             problem))
            return false;
    return true;
}

static int import_csv_header(Import *im, CliCells *cells, int **columns) {
    CliProblem problem = {""};
    bool key = false;
    if (!cli_csv_record(&im->file, cells, &problem))
        return cli_fail(im->cli, CLI_REFUSED,
                        "%s: it has no header line; name the columns in the first line", im->name);
    *columns = cli_alloc(cells->count * sizeof **columns);
    for (size_t i = 0; i < cells->count; i++) {
        const char *name = cells->text + cells->cells[i].offset;
        (*columns)[i] = import_csv_column(im, name);
        key |= (*columns)[i] == COLUMN_KEY;
        if ((*columns)[i] == COLUMN_IGNORED && !im->rules.ignore_unknown)
            return cli_fail(im->cli, CLI_REFUSED,
                            "%s: column \"%s\" is no field; drop it, or say --ignore-unknown",
                            im->name, name);
    }
    if (!key)
        return cli_fail(im->cli, CLI_REFUSED,
                        "%s: there is no column \"%s\"; name the key's with --key-from", im->name,
                        im->rules.key_name);
    return CLI_DONE;
}

static int import_csv(Import *im) {
    CliCells cells = {0};
    CliProblem problem = {""};
    int *columns = NULL;
    int code = import_csv_header(im, &cells, &columns);
    size_t column_count = cells.count;
    while (code == CLI_DONE && cli_csv_record(&im->file, &cells, &problem)) {
        uint64_t line = im->file.line_number;
        if (!import_csv_row(im, columns, column_count, &cells, &problem))
            import_refuse(im, "line", line, problem.text);
        else
            code = import_add(im, "line", line, cells.text_size);
        cli_pool_clear(&im->pool);
    }
    if (code == CLI_DONE && problem.text[0] && cells.count && feof(im->file.file) &&
        strstr(problem.text, "quote"))
        import_refuse(im, "line", im->file.line_number, problem.text);
    free(columns);
    cli_cells_clear(&cells);
    return code;
}

/* ---- rows of numbers ---- */

/* FILE.jsonl for FILE.npy, or FILE.f16.npy. */
static bool import_open_beside(const char *name, CliFile *beside) {
    size_t size = strlen(name);
    char *other = cli_alloc(size + 8);
    bool found = false;
    memcpy(other, name, size + 1);
    for (int i = 0; i < 2 && !found; i++) {
        char *dot = strrchr(other, '.');
        if (!dot || strchr(dot, '/')) break;
        strcpy(dot, ".jsonl");
        found = cli_file_open(beside, other);
        *dot = 0;
    }
    free(other);
    return found;
}

static bool import_number_key(Import *im, uint64_t number, char text[24]) {
    nacre_type type = im->schema->key_types[0];
    int size = snprintf(text, 24, "%llu", (unsigned long long)number);
    if (im->schema->key_count != 1) return false;
    if (type == NACRE_INTEGER || type == NACRE_BIGINT)
        im->record.key[0] = nacre_integer((int64_t)number);
    else if (type == NACRE_TEXT)
        im->record.key[0] = nacre_text_sized(text, (size_t)size);
    else
        return false;
    im->record.key[0].type = type;
    im->record.has_key = true;
    return true;
}

/* The record that belongs to row `number`, but for its vector. */
static bool import_matrix_record(Import *im, CliFile *beside, uint64_t number, char key[24],
                                 CliProblem *problem) {
    JsonValue object;
    if (!beside->file) {
        if (import_number_key(im, number, key)) return true;
        snprintf(
            problem->text, sizeof problem->text,
            "row numbers are keys of type integer or text; put a .jsonl with keys beside the file");
        return false;
    }
    if (!cli_file_line(beside)) {
        snprintf(problem->text, sizeof problem->text, "the .jsonl beside the file has fewer lines");
        return false;
    }
    if (!json_parse(span_of(beside->line, beside->line_size), &object)) {
        snprintf(problem->text, sizeof problem->text, "its line in the .jsonl is not JSON");
        return false;
    }
    return cli_record_json(im->schema, object, &im->rules, &im->pool, &im->record, problem);
}

static int import_matrix(Import *im) {
    CliMatrix matrix;
    CliFile beside = {0};
    CliProblem problem = {""};
    char key[24];
    int code = CLI_DONE;
    uint64_t number = 0;
    if (im->schema->kind != NACRE_COLLECTION)
        return cli_fail(im->cli, CLI_REFUSED, "%s: it holds vectors; import it into a collection",
                        im->name);
    const char *rows = cli_option(im->cli, "rows");
    if (rows && !cli_file_open(&beside, rows))
        return cli_fail(im->cli, CLI_REFUSED, "%s: it cannot be read; check its name", rows);
    if (!rows) (void)import_open_beside(im->name, &beside);
    bool good = cli_matrix_open(&matrix, &im->file, &problem);
    float *vector = cli_alloc(im->schema->dimensions * sizeof *vector);
    while (good && code == CLI_DONE &&
           cli_matrix_row(&matrix, im->schema->dimensions, vector, &problem)) {
        if (import_matrix_record(im, &beside, number, key, &problem)) {
            memcpy(im->record.vector, vector, im->schema->dimensions * sizeof *vector);
            im->record.has_vector = true;
            code = import_add(im, "row", number, im->schema->dimensions * sizeof *vector);
        } else {
            import_refuse(im, "row", number, problem.text);
        }
        problem.text[0] = 0;
        cli_pool_clear(&im->pool);
        number++;
    }
    if (code == CLI_DONE && problem.text[0]) {
        code = import_commit(im); /* what was good so far is kept */
        if (code == CLI_DONE)
            code = cli_fail(im->cli, CLI_REFUSED, "%s: row %llu: %s", im->name,
                            (unsigned long long)number, problem.text);
    }
    free(vector);
    cli_matrix_close(&matrix);
    cli_file_close(&beside);
    return code;
}

/* ---- the verb ---- */

static int import_report(Import *im) {
    if (im->progress) fputs("\r\033[K", stderr);
    if (im->cli->json)
        printf("{\"imported\":%llu,\"refused\":%llu}\n", (unsigned long long)im->imported,
               (unsigned long long)im->refused);
    else
        printf("imported %llu, refused %llu\n", (unsigned long long)im->imported,
               (unsigned long long)im->refused);
    if (im->refused == 0) return CLI_DONE;
    return cli_fail(im->cli, CLI_REFUSED,
                    "%s: %llu refused, the first is number %llu: %s; correct and import them again",
                    im->name, (unsigned long long)im->refused,
                    (unsigned long long)im->first_refused, im->first_problem.text);
}

int cli_import(Cli *cli) {
    static const struct {
        const char *end;
        int (*run)(Import *);
    } kinds[] = {
        {".jsonl", import_jsonl}, {".ndjson", import_jsonl}, {".csv", import_csv},
        {".npy", import_matrix},  {".fvecs", import_matrix}, {".bvecs", import_matrix},
    };
    Import im = {.cli = cli,
                 .name = cli->arguments[2],
                 .rules = {"key", cli_option(cli, "ignore-unknown") != NULL}};
    const char *end = strrchr(im.name, '.');
    int (*run)(Import *) = NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (end && strcmp(end, kinds[i].end) == 0) run = kinds[i].run;
    if (!run)
        return cli_fail(cli, CLI_USAGE,
                        "%s: give a file ending in .jsonl, .csv, .npy, .fvecs or .bvecs", im.name);
    if (cli_option(cli, "key-from")) im.rules.key_name = cli_option(cli, "key-from");
    int code = cli_open_membrane(cli, NACRE_EXISTING, &im.membrane);
    if (code != CLI_DONE) return code;
    if (!cli_file_open(&im.file, im.name))
        return cli_fail(cli, CLI_REFUSED, "%s: it cannot be read; check its name", im.name);
    im.schema = nacre_membrane_schema(im.membrane);
    im.progress = isatty(2) != 0;
    cli_record_init(&im.record, im.schema);
    code = run(&im);
    if (code == CLI_DONE) code = import_commit(&im);
    if (code == CLI_DONE) code = import_report(&im);
    nacre_batch_abort(im.batch);
    cli_record_clear(&im.record);
    cli_pool_clear(&im.pool);
    cli_file_close(&im.file);
    return code;
}
