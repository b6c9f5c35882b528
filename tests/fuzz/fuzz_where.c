/* fuzz_where.c - filters as JSON text and as programs, against rows that are right and rows
 * that are not. Laws: `not` turns every answer round; what is
 * answered does not depend on being asked before.
 *
 *   input := rows u8 | 0 u8 | JSON           1 u8 | a program
 *          (rows 1: bytes of a row follow first) */
#include "fuzz/fuzz.h"

#include "db/filter.h"
#include "db/keycode.h"
#include "db/row.h"

#include <string.h>

enum { FIELDS = 8, ROWS = 6 };

static SchemaField fields[FIELDS];
static Schema schemas[3];
static uint8_t rows[ROWS][400], keys[3][100];
static size_t row_sizes[ROWS], key_sizes[3];

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    static const char *const names[FIELDS] = {"i", "r", "b", "t", "x", "at", "j", "big"};
    static const nacre_type types[FIELDS] = {NACRE_INTEGER, NACRE_REAL, NACRE_BOOLEAN, NACRE_TEXT, NACRE_BYTES, NACRE_TIMESTAMP, NACRE_JSON, NACRE_BIGINT};
    (void)count, (void)arguments;
    Env env;
    env_init(&env, NULL, NULL, 1 << 20);
    for (int i = 0; i < FIELDS; i++) fields[i] = (SchemaField){span_of(names[i], strlen(names[i])), types[i], false};
    schemas[0] = (Schema){.kind = NACRE_COLLECTION, .key_count = 1, .key_types = {NACRE_INTEGER}, .dimensions = 4, .metric = NACRE_L2, .element = NACRE_F32, .field_count = FIELDS, .fields = fields};
    schemas[1] = schemas[0], schemas[1].key_types[0] = NACRE_TEXT;
    schemas[2] = schemas[0], schemas[2].key_count = 3, schemas[2].key_types[0] = NACRE_TEXT, schemas[2].key_types[1] = NACRE_REAL, schemas[2].key_types[2] = NACRE_BYTES;
    for (int s = 0; s < 3; s++) {
        nacre_value parts[3] = {s ? nacre_text("k") : nacre_integer(5), nacre_real(-0.5), nacre_bytes("\0\1", 2)};
        MUST(key_measure(&env, &schemas[s], parts, schemas[s].key_count, KEY_WHOLE, &key_sizes[s]) == NACRE_OK);
        (void)key_encode(&schemas[s], parts, schemas[s].key_count, KEY_WHOLE, keys[s]);
    }
    for (int i = 0; i < ROWS; i++) {
        nacre_value big = nacre_integer(INT64_MAX - i);
        big.type = NACRE_BIGINT;
        nacre_value values[FIELDS] = {nacre_integer(i - 2), nacre_real(i * 1.5 - 3), nacre_boolean(i % 2), nacre_text(i % 2 ? "abc" : "m\xc3\xbcnchen"),
                                      nacre_bytes("\0\1\2", 3), nacre_timestamp(1700000000000 + i), nacre_json(i % 2 ? "[1,\"a\",null,{\"b\":2}]" : "null"), big};
        if (i == 3) for (int f = 0; f < FIELDS; f++) values[f] = nacre_null();
        uint64_t size = 0;
        MUST(row_measure(&env, &schemas[0], values, &size) == NACRE_OK && size < sizeof rows[0]);
        row_sizes[i] = (size_t)(row_encode(&schemas[0], values, rows[i]) - rows[i]);
    }
    return 0;
}

static nacre_status compile(Env *env, const Schema *schema, Span program, Filter **filter) {
    nacre_status status = filter_compile(env, schema, program, filter);
    MUST(status == NACRE_OK || status == NACRE_INVALID_ARGUMENT || status == NACRE_RESOURCE_EXHAUSTED);
    MUST(status == NACRE_OK || env->error.text[0]);
    return status;
}

/* The same program behind a `not`; NULL where that is one level or node too many. */
static Filter *turned(Env *env, const Schema *schema, Span program) {
    Filter *filter = NULL;
    uint8_t *more = malloc(program.size + 1);
    MUST(more);
    more[0] = program.data[0], more[1] = FILTER_NOT;
    bytes_copy(more + 2, program.data + 1, program.size - 1);
    nacre_status status = filter_compile(env, schema, span_of(more, program.size + 1), &filter);
    free(more);
    return status == NACRE_OK ? filter : NULL;
}

static void ask(Env *env, int s, Span program, Span row_given) {
    Filter *filter = NULL, *not = NULL;
    if (compile(env, &schemas[s], program, &filter) != NACRE_OK) return;
    not = turned(env, &schemas[s], program);
    (void)filter_needs_row(filter);
    bool answers[ROWS + 1];
    for (int round = 0; round < 2; round++)
        for (int i = 0; i <= ROWS; i++) {
            Span row = i < ROWS ? span_of(rows[i], row_sizes[i]) : row_given;
            bool answer = filter_matches(filter, span_of(keys[s], key_sizes[s]), row);
            if (round) MUST(answer == answers[i]);
            if (not && i < ROWS) MUST(filter_matches(not, span_of(keys[s], key_sizes[s]), row) != answer);
            answers[i] = answer;
        }
    filter_free(filter), filter_free(not);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Input in = input_over(data, size);
    Env env;
    env_init(&env, NULL, NULL, 8 << 20);
    uint32_t head = br_u8(&in);
    int s = (int)(head >> 1) % 3;
    Span given = head & 1 ? input_bytes(&in, 300) : span_of(rows[0], row_sizes[0] - 1);
    uint32_t kind = br_u8(&in) % 2;
    Span rest = input_rest(&in);
    if (kind == 0) {
        FilterProgram program = {0};
        char *text = malloc(rest.size ? rest.size : 1); /* nothing behind it */
        MUST(text);
        bytes_copy((uint8_t *)text, rest.data, rest.size);
        nacre_status status = filter_from_json(&env, &schemas[s], text, rest.size, &program);
        MUST(status == NACRE_OK || status == NACRE_INVALID_ARGUMENT || status == NACRE_RESOURCE_EXHAUSTED);
        if (status == NACRE_OK) {
            Filter *filter = NULL;
            if (compile(&env, &schemas[s], span_of(program.data, program.size), &filter) == NACRE_OK) filter_free(filter);
            env_clear(&env);
            ask(&env, s, span_of(program.data, program.size), given);
        }
        env_free(&env, program.data, program.capacity);
        free(text);
    } else {
        ask(&env, s, rest, given);
    }
    MUST(env.memory_used == 0);
    return 0;
}
