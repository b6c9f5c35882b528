/* fuzz_import.c - nacre import: .jsonl, .csv, .npy, .fvecs and .bvecs of which nothing is
 * known, into every kind of membrane. The verb's own code runs, but for the opening of the
 * database, which is in memory.
 *
 *   input := format u8 | membrane u8 | options u8 | size u16 of the .jsonl beside it
 *            | that file | the file */
#define _POSIX_C_SOURCE 200809L /* mkdtemp */
#include "fuzz/fuzz.h"

#include "cli/cli.h"

#include <setjmp.h>
#include <string.h>
#include <unistd.h>

static const char *const formats[] = {".jsonl", ".csv", ".npy", ".fvecs", ".bvecs"};
static const char *const names[] = {"kv", "json", "bytes", "vectors", "wide", "table"};
static char directory[64], file_name[96], beside_name[96];
static jmp_buf no_memory;

static void forget_files(void) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        char name[96];
        snprintf(name, sizeof name, "%s/in%s", directory, formats[i]);
        unlink(name);
    }
    rmdir(directory);
}

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    (void)count, (void)arguments;
    snprintf(directory, sizeof directory, "/tmp/nacre-fuzz-XXXXXX");
    MUST(mkdtemp(directory));
    atexit(forget_files);
    MUST(freopen("/dev/null", "w", stdout)); /* what the verb says */
    return 0;
}

/* ---- what main.c has ---- */

static const CliOption key_from = {"key-from", "FIELD", ""}, ignore = {"ignore-unknown", NULL, ""};
static nacre_db *database;

int cli_fail(Cli *cli, int exit_code, const char *format, ...) {
    (void)cli, (void)format;
    return exit_code;
}
int cli_fail_status(Cli *cli, nacre_status status, const char *thing) {
    (void)thing;
    MUST(status_is_an_answer(status) && nacre_message(cli->db)[0]);
    return CLI_REFUSED;
}
void *cli_realloc(void *memory, size_t size) {
    void *larger = realloc(memory, size ? size : 1);
    if (!larger) longjmp(no_memory, 1); /* leaks: the command would end here */
    return larger;
}
void *cli_alloc(size_t size) { return cli_realloc(NULL, size); }
const char *cli_option(const Cli *cli, const char *name) {
    for (int i = cli->given_count; i-- > 0;)
        if (strcmp(cli->given[i].option->name, name) == 0) return cli->given[i].value;
    return NULL;
}
int cli_open_membrane(Cli *cli, nacre_mode mode, nacre_membrane **membrane) {
    (void)mode;
    cli->db = database;
    return nacre_membrane_open(database, cli->arguments[1], NULL, membrane) == NACRE_OK ? CLI_DONE : CLI_REFUSED;
}

/* ---- */

static nacre_db *make_database(void) {
    static const nacre_field fields[] = {{"i", NACRE_INTEGER, false}, {"r", NACRE_REAL, false}, {"b", NACRE_BOOLEAN, false}, {"t", NACRE_TEXT, false},
                                         {"x", NACRE_BYTES, false}, {"at", NACRE_TIMESTAMP, false}, {"j", NACRE_JSON, false}, {"big", NACRE_BIGINT, false}};
    nacre_schema schemas[] = {
        nacre_schema_kv(NACRE_TEXT, NACRE_TEXT), nacre_schema_kv(NACRE_INTEGER, NACRE_JSON), nacre_schema_kv(NACRE_BYTES, NACRE_BYTES),
        nacre_schema_collection(NACRE_INTEGER, 3, NACRE_L2, fields, 8), nacre_schema_collection(NACRE_TEXT, 300, NACRE_COSINE, NULL, 0),
        nacre_schema_table(NACRE_TIMESTAMP, fields, 8)};
    schemas[5].key_count = 2, schemas[5].key_types[1] = NACRE_REAL;
    nacre_options options = NACRE_OPTIONS_INIT;
    options.memory = 4 << 20, options.memtable_size = 256 << 10, options.seed = 1;
    nacre_db *db = NULL;
    nacre_membrane *membrane = NULL;
    MUST(nacre_open(":memory:", &options, &db, NULL) == NACRE_OK);
    for (int i = 0; i < 6; i++) MUST(nacre_membrane_open(db, names[i], &schemas[i], &membrane) == NACRE_OK);
    return db;
}

static void write_file(const char *name, Span bytes) {
    FILE *file = fopen(name, "wb");
    MUST(file && fwrite(bytes.data ? bytes.data : (const uint8_t *)"", 1, bytes.size, file) == bytes.size);
    fclose(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Input in = input_over(data, size);
    Cli cli = {.argument_count = 3};
    uint32_t format = br_u8(&in) % 5, membrane = br_u8(&in) % 6, options = br_u8(&in);
    size_t beside_size = format >= 2 ? br_u16(&in) : 0;
    Span beside = br_bytes(&in, beside_size < br_left(&in) ? beside_size : br_left(&in));
    snprintf(file_name, sizeof file_name, "%s/in%s", directory, formats[format]);
    snprintf(beside_name, sizeof beside_name, "%s/in.jsonl", directory);
    unlink(beside_name);
    if (beside.size) write_file(beside_name, beside);
    write_file(file_name, input_rest(&in));
    cli.arguments[0] = "db", cli.arguments[1] = names[membrane], cli.arguments[2] = file_name;
    if (options & 1) cli.given[cli.given_count++] = (CliGiven){&ignore, ""};
    if (options & 2) cli.given[cli.given_count++] = (CliGiven){&key_from, "t"};
    cli.json = options & 4;
    database = make_database();
    if (setjmp(no_memory) == 0) (void)cli_import(&cli);
    visit_database(database);
    MUST(nacre_close(database, NULL) == NACRE_OK);
    return 0;
}
