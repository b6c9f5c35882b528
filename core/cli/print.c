/* print.c - values as JSON on standard output. Numbers are printed so that they read back
 * the same: integers exactly, others with the fewest digits that do. */
#include "cli/cli.h"

#include "base/decimal.h"
#include "base/textform.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void cli_print_text(Span text) {
    char small[512], *room = text.size > 80 ? cli_alloc(6 * text.size + 2) : small;
    fwrite(room, 1, json_quote(text, room), stdout);
    if (room != small) free(room);
}

void cli_print_string(const char *text) { cli_print_text(span_of(text, strlen(text))); }

void cli_print_json(Span json) {
    bool string = false;
    for (size_t i = 0; i < json.size; i++) {
        char c = (char)json.data[i];
        if (!string && (c == ' ' || c == '\t' || c == '\n' || c == '\r')) continue;
        putchar(c);
        if (c == '"') string = !string;
        if (c == '\\' && string) putchar((char)json.data[++i]); /* valid: something follows */
    }
}

static double cli_reread(const char *text) {
    return decimal_to_double(span_of(text, strlen(text)));
}

static bool cli_print_infinite(double real) { /* JSON has no infinity; this reads as one */
    if (!isinf(real)) return false;
    fputs(real < 0 ? "-1e999" : "1e999", stdout);
    return true;
}

void cli_print_real(double real) {
    char text[40];
    if (cli_print_infinite(real)) return;
    /* 15 digits are always kept, but by the smallest numbers, which have fewer bits. */
    for (int digits = fabs(real) < 3e-308 ? 1 : 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, real);
        double back = cli_reread(text);
        if (memcmp(&back, &real, sizeof real) == 0) break;
    }
    fputs(text, stdout);
}

/* `digits` x 10^-places, which is at least 1e-5, without trailing zeros; returns the size. */
static int cli_print_decimal(uint32_t digits, int places, char *text) {
    char reversed[24];
    int size = 0, count = 0;
    for (; places > 0 && digits % 10 == 0; places--) digits /= 10;
    for (; digits > 0 || count <= places; digits /= 10) {
        if (count == places && count > 0) reversed[size++] = '.';
        reversed[size++] = (char)('0' + digits % 10);
        count++;
    }
    for (int i = 0; i < size; i++) text[i] = reversed[size - 1 - i];
    return size;
}

/* Vectors are most of a dump: what has few digits is found by one multiplication and
 * checked by one division, the very one that decimal_to_double does. 0: not found. */
static int cli_print_float_fast(float real, char *text) {
    static const double powers[] = {1,   1e1, 1e2, 1e3,  1e4,  1e5,  1e6,
                                    1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13};
    double size = fabs((double)real);
    if (!(size >= 1e-5 && size < 1e6)) return 0;
    int whole = 0; /* digits before the point; below 0: zeros behind it */
    while (whole < 6 && size >= powers[whole]) whole++;
    if (whole == 0)
        while (size * powers[-whole + 1] < 1) whole--;
    for (int digits = 6; digits <= 9; digits++) {
        int places = digits - whole;
        if (places < 0 || places > 13) continue;
        uint32_t decimal = (uint32_t)(size * powers[places] + 0.5);
        if ((float)((double)decimal / powers[places]) != (float)size) continue;
        bool negative = real < 0;
        text[0] = '-';
        return negative + cli_print_decimal(decimal, places, text + negative);
    }
    return 0;
}

void cli_print_float(float real) {
    char text[40];
    int fast = cli_print_float_fast(real, text);
    if (fast > 0) {
        fwrite(text, 1, (size_t)fast, stdout);
        return;
    }
    if (cli_print_infinite((double)real)) return;
    for (int digits = fabs((double)real) < 2e-38 ? 1 : 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)real);
        float back = (float)cli_reread(text);
        if (memcmp(&back, &real, sizeof real) == 0) break;
    }
    fputs(text, stdout);
}

static void cli_print_base64(Span bytes) {
    size_t size = base64_size(bytes.size);
    char *text = cli_alloc(size);
    (void)base64_print(bytes, text);
    putchar('"');
    fwrite(text, 1, size, stdout);
    putchar('"');
    free(text);
}

void cli_print_value(const nacre_value *value) {
    Span bytes = {value->bytes.data, value->bytes.size};
    char text[TIMESTAMP_TEXT_SIZE];
    switch (value->type) {
    case NACRE_NULL: fputs("null", stdout); break;
    case NACRE_INTEGER:
    case NACRE_BIGINT: printf("%lld", (long long)value->integer); break;
    case NACRE_REAL: cli_print_real(value->real); break;
    case NACRE_BOOLEAN: fputs(value->integer ? "true" : "false", stdout); break;
    case NACRE_TEXT: cli_print_text(bytes); break;
    case NACRE_BYTES: cli_print_base64(bytes); break;
    case NACRE_TIMESTAMP:
        cli_print_text(span_of(text, timestamp_print(value->integer, text)));
        break;
    case NACRE_JSON: cli_print_json(bytes); break;
    }
}

void cli_print_key(const nacre_row *row) {
    if (row->key_count > 1) putchar('[');
    for (uint32_t i = 0; i < row->key_count; i++) {
        if (i) putchar(',');
        cli_print_value(&row->key[i]);
    }
    if (row->key_count > 1) putchar(']');
}

static void cli_print_vector(const float *vector, uint32_t dimensions) {
    fputs(",\"vector\":[", stdout);
    for (uint32_t i = 0; i < dimensions; i++) {
        if (i) putchar(',');
        cli_print_float(vector[i]);
    }
    putchar(']');
}

void cli_print_row(const nacre_schema *schema, const nacre_row *row, bool vector) {
    fputs("\"key\":", stdout);
    cli_print_key(row);
    if (schema->kind == NACRE_KV) {
        fputs(",\"value\":", stdout);
        cli_print_value(&row->fields[0]);
        return;
    }
    if (vector && row->vector) cli_print_vector(row->vector, schema->dimensions);
    for (uint32_t i = 0; i < row->field_count; i++) {
        putchar(',');
        cli_print_string(schema->fields[i].name);
        putchar(':');
        cli_print_value(&row->fields[i]);
    }
}

/* ---- schemas ---- */

static const char *cli_type_name(nacre_type type) {
    static const char *const names[] = {"null",  "integer",   "real", "boolean", "text",
                                        "bytes", "timestamp", "json", "bigint"};
    return (size_t)type < sizeof names / sizeof *names ? names[type] : "unknown";
}

static void cli_print_key_types(const nacre_schema *schema) {
    if (schema->key_count > 1) putchar('[');
    for (uint32_t i = 0; i < schema->key_count; i++) {
        if (i) putchar(',');
        cli_print_string(cli_type_name(schema->key_types[i]));
    }
    if (schema->key_count > 1) putchar(']');
}

void cli_print_schema(const nacre_schema *schema) {
    static const char *const metrics[] = {"", "l2", "cosine", "ip", "hamming"};
    static const char *const elements[] = {"", "f32", "f16", "i8", "bit"};
    fputs("{\"key\":", stdout);
    cli_print_key_types(schema);
    if (schema->kind == NACRE_KV) {
        fputs(",\"value\":", stdout);
        cli_print_string(cli_type_name(schema->value_type));
    }
    if (schema->kind == NACRE_COLLECTION)
        printf(",\"vector\":{\"dimensions\":%u,\"metric\":\"%s\",\"element\":\"%s\"}",
               (unsigned)schema->dimensions,
               metrics[(unsigned)schema->metric < 5 ? (unsigned)schema->metric : 0],
               elements[(unsigned)schema->element < 5 ? (unsigned)schema->element : 0]);
    if (schema->kind != NACRE_KV) {
        fputs(",\"fields\":{", stdout);
        for (uint32_t i = 0; i < schema->field_count; i++) {
            if (i) putchar(',');
            cli_print_string(schema->fields[i].name);
            putchar(':');
            if (schema->fields[i].indexed) fputs("{\"type\":", stdout);
            cli_print_string(cli_type_name(schema->fields[i].type));
            if (schema->fields[i].indexed) fputs(",\"indexed\":true}", stdout);
        }
        putchar('}');
    }
    if (schema->ttl_ms) printf(",\"ttlMs\":%llu", (unsigned long long)schema->ttl_ms);
    if (schema->block_size) printf(",\"blockSize\":%u", (unsigned)schema->block_size);
    if (schema->compression == NACRE_LZ4) fputs(",\"compression\":\"lz4\"", stdout);
    putchar('}');
}
