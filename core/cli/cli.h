/* cli.h - what the verbs of the command share. The command is a guest of nacre.h like any
 * other program; besides it uses only base/ (JSON, decimals, times).
 *
 * 1. A verb answers its exit code: 0 done, 1 not found or refused, 2 wrong usage. Whoever
 *    finds out prints, with cli_fail, the one line on standard error: the thing, and what
 *    to do about it.
 * 2. Results go to standard output, as one JSON object per line, or as plain lines that
 *    --json turns into such objects.
 * 3. Memory is malloc's; where there is none left, cli_alloc ends the program (exit 1).
 *    The database's own memory is the library's affair. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/json.h"
#include "nacre.h"

#include <stdio.h>

enum { CLI_DONE = 0, CLI_REFUSED = 1, CLI_USAGE = 2, CLI_ARGUMENTS_MAX = 512 };

typedef struct CliOption {
    const char *name;  /* without the dashes */
    const char *value; /* what its value is called in the help; NULL: it has none */
    const char *help;
} CliOption;

typedef struct CliGiven {
    const CliOption *option;
    const char *value;
} CliGiven;

struct CliVerb;

typedef struct Cli {
    const struct CliVerb *verb;
    const char *arguments[CLI_ARGUMENTS_MAX]; /* behind the verb, without options */
    int argument_count;
    CliGiven given[CLI_ARGUMENTS_MAX];
    int given_count;
    bool json;
    nacre_db *db;
    nacre_error open_error; /* why cli_open_quietly failed */
} Cli;

typedef struct CliVerb {
    const char *name, *usage, *summary, *help;
    const CliOption *options; /* ends with a NULL name */
    int arguments_min, arguments_max;
    int (*run)(Cli *cli);
} CliVerb;

/* The table, in the order of the help; ends with a NULL name. */
extern const CliVerb cli_verbs[];

/* ---- main.c ---- */
#if defined(__GNUC__) || defined(__clang__)
__attribute__((format(printf, 3, 4)))
#endif
int cli_fail(Cli *cli, int exit_code, const char *format, ...); /* returns exit_code */
/* After a failed call on cli->db; prints its message, and what to do. */
int cli_fail_status(Cli *cli, nacre_status status, const char *thing);
void *cli_alloc(size_t size);
void *cli_realloc(void *memory, size_t size);

/* NULL: not given. The last one counts. */
const char *cli_option(const Cli *cli, const char *name);
/* *number stays when the option is not given. */
int cli_option_number(Cli *cli, const char *name, uint64_t low, uint64_t high, uint64_t *number);

/* Opens the database named first, and the membrane named second. Quietly: prints nothing. */
nacre_status cli_open_quietly(Cli *cli, nacre_mode mode);
int cli_open(Cli *cli, nacre_mode mode);
int cli_open_membrane(Cli *cli, nacre_mode mode, nacre_membrane **membrane);

/* ---- key.c: the encryption key ---- */

enum { CLI_KEY = 32 };

/* What --key-file or else NACRE_KEY says; *given: one of them does. False: neither is a key, and
 * open_error says why. */
bool cli_key(Cli *cli, uint8_t key[CLI_KEY], bool *given);
/* The same as an answer, with the line that says why not. `options` gets the key, which stays here. */
int cli_take_key(Cli *cli, nacre_options *options, uint8_t key[CLI_KEY]);
bool cli_key_from_file(Cli *cli, const char *name, uint8_t key[CLI_KEY]);
void cli_wipe(void *secret, size_t size);

/* ---- values.c: from text and JSON to values ---- */

/* Memory for the strings of one key or record, given back at once. Zero is empty. */
typedef struct CliPool {
    void *blocks;
} CliPool;
void *cli_pool_alloc(CliPool *pool, size_t size);
void cli_pool_clear(CliPool *pool);

/* What was wrong, for a message. */
typedef struct CliProblem {
    char text[400];
} CliProblem;

/* A key as it is written on a command line: one part as it stands, several as a JSON
 * array. At most key_count parts, `*count` of them; `whole`: all. */
bool cli_key_argument(const nacre_schema *schema, const char *text, bool whole, CliPool *pool,
                      nacre_value *key, uint32_t *count, CliProblem *problem);
/* A key as JSON: a value, or an array of parts. */
bool cli_key_json(const nacre_schema *schema, JsonValue json, CliPool *pool, nacre_value *key,
                  CliProblem *problem);
/* A value of `type` as JSON; `name` is for the message. */
bool cli_value_json(nacre_type type, const char *name, JsonValue json, CliPool *pool,
                    nacre_value *value, CliProblem *problem);
/* A value of `type` as plain text, from a CSV cell or an argument. */
bool cli_value_text(nacre_type type, const char *name, Span text, CliPool *pool, nacre_value *value,
                    CliProblem *problem);
/* `vector` has room for `dimensions`. */
bool cli_vector_json(uint32_t dimensions, JsonValue json, float *vector, CliProblem *problem);

/* Where a record is put together: `fields` is as long as the schema says. */
typedef struct CliRecord {
    nacre_value key[NACRE_KEY_PARTS_MAX];
    nacre_value *fields;
    float *vector;
    bool has_key, has_vector;
} CliRecord;
void cli_record_init(CliRecord *record, const nacre_schema *schema);
void cli_record_clear(CliRecord *record);

/* How members of an object become a record. */
typedef struct CliRecordRules {
    const char *key_name; /* the member that is the key: "key" unless told otherwise */
    bool ignore_unknown;  /* members that are no field are left out, not refused */
} CliRecordRules;
/* {key, value} of a key-value membrane, {key, vector, fields ...} of others. */
bool cli_record_json(const nacre_schema *schema, JsonValue object, const CliRecordRules *rules,
                     CliPool *pool, CliRecord *record, CliProblem *problem);

/* ---- print.c: from values to JSON ---- */
void cli_print_text(Span text); /* as a JSON string */
void cli_print_string(const char *text);
void cli_print_json(Span json);   /* on one line: without whitespace between things */
void cli_print_real(double real); /* the shortest that reads back the same */
void cli_print_float(float real);
void cli_print_value(const nacre_value *value);
void cli_print_key(const nacre_row *row);
/* The members of a row, without braces: "key":...,"value":... or the fields. */
void cli_print_row(const nacre_schema *schema, const nacre_row *row, bool vector);
void cli_print_schema(const nacre_schema *schema); /* an object */

/* ---- files.c: lines and matrices from files ---- */

typedef struct CliFile {
    FILE *file;
    const char *name;
    uint64_t size; /* bytes; 0: not known */
    char *line;    /* of the last cli_file_line, zero-terminated, without its end */
    size_t line_size, line_capacity;
    uint64_t line_number; /* of the first line of what was read last */
    uint64_t lines_read;
} CliFile;

bool cli_file_open(CliFile *file, const char *name);
void cli_file_close(CliFile *file);
bool cli_file_line(CliFile *file);

/* Cells of one CSV record (RFC 4180; it may go over several lines). */
typedef struct CliCells {
    char *text; /* of all cells, each with a zero byte */
    size_t text_size, text_capacity;
    struct CliCell {
        size_t offset, size;
        bool quoted;
    } *cells;
    size_t count, capacity;
} CliCells;
/* False at the end, or with a text in problem when a quote stays open. */
bool cli_csv_record(CliFile *file, CliCells *cells, CliProblem *problem);
void cli_cells_clear(CliCells *cells);

/* Rows of numbers: .npy of two dimensions, .fvecs, .bvecs. */
typedef enum CliElement { CLI_F32, CLI_F16, CLI_I8, CLI_U8 } CliElement;
typedef struct CliMatrix {
    CliFile *file;
    CliElement element;
    bool counted;           /* .npy: rows and columns are told at the beginning */
    uint64_t rows, columns; /* .fvecs, .bvecs: columns of the row read last */
    uint8_t *bytes;         /* of one row */
    size_t capacity;
} CliMatrix;
bool cli_matrix_open(CliMatrix *matrix, CliFile *file, CliProblem *problem);
/* The next row as floats, of exactly `columns`; false at the end, or with a problem. */
bool cli_matrix_row(CliMatrix *matrix, uint32_t columns, float *vector, CliProblem *problem);
void cli_matrix_close(CliMatrix *matrix);

/* ---- the verbs ---- */
int cli_create(Cli *cli);
int cli_info(Cli *cli);
int cli_put(Cli *cli);
int cli_get(Cli *cli);
int cli_del(Cli *cli);
int cli_scan(Cli *cli);
int cli_search(Cli *cli);
int cli_import(Cli *cli);
int cli_dump(Cli *cli);
int cli_stats(Cli *cli);
int cli_verify(Cli *cli);
int cli_repair(Cli *cli);
int cli_wal(Cli *cli);
int cli_manifest(Cli *cli);
int cli_segments(Cli *cli);
int cli_compact(Cli *cli);
int cli_rekey(Cli *cli);
int cli_backup(Cli *cli);
int cli_restore(Cli *cli);
int cli_bench(Cli *cli);
int cli_help(Cli *cli);

#endif
