/* files.c - reading what is imported: lines, CSV records, rows of numbers. Nothing is
 * known of the bytes; a file that is not what its name says ends in a problem. */
#include "cli/cli.h"

#include "base/codec.h"

#include <stdlib.h>

static bool cli_bad(CliProblem *problem, const char *text) {
    snprintf(problem->text, sizeof problem->text, "%s", text);
    return false;
}

/* ---- lines ---- */

bool cli_file_open(CliFile *file, const char *name) {
    memset(file, 0, sizeof *file);
    file->name = name;
    file->file = fopen(name, "rb");
    if (!file->file) return false;
    if (fseek(file->file, 0, SEEK_END) == 0) {
        long size = ftell(file->file);
        file->size = size > 0 ? (uint64_t)size : 0;
        rewind(file->file);
    }
    return true;
}

void cli_file_close(CliFile *file) {
    if (file->file) fclose(file->file);
    free(file->line);
    memset(file, 0, sizeof *file);
}

static void cli_line_add(CliFile *file, int c) {
    if (file->line_size + 1 >= file->line_capacity) {
        file->line_capacity = file->line_capacity ? file->line_capacity * 2 : 4096;
        file->line = cli_realloc(file->line, file->line_capacity);
    }
    file->line[file->line_size++] = (char)c;
}

bool cli_file_line(CliFile *file) {
    int c = 0;
    file->line_size = 0;
    while ((c = getc(file->file)) != EOF && c != '\n') cli_line_add(file, c);
    if (c == EOF && file->line_size == 0) return false;
    file->line_number = ++file->lines_read;
    if (file->line_size > 0 && file->line[file->line_size - 1] == '\r') file->line_size--;
    if (file->line_number == 1 && file->line_size >= 3 &&
        memcmp(file->line, "\xef\xbb\xbf", 3) == 0) { /* byte order mark */
        file->line_size -= 3;
        memmove(file->line, file->line + 3, file->line_size);
    }
    cli_line_add(file, 0);
    file->line_size--;
    return true;
}

/* ---- CSV ---- */

static void cli_cell_add(CliCells *cells, char c) {
    if (cells->text_size == cells->text_capacity) {
        cells->text_capacity = cells->text_capacity ? cells->text_capacity * 2 : 4096;
        cells->text = cli_realloc(cells->text, cells->text_capacity);
    }
    cells->text[cells->text_size++] = c;
}

static void cli_cell_begin(CliCells *cells) {
    if (cells->count == cells->capacity) {
        cells->capacity = cells->capacity ? cells->capacity * 2 : 32;
        cells->cells = cli_realloc(cells->cells, cells->capacity * sizeof *cells->cells);
    }
    cells->cells[cells->count++] = (struct CliCell){cells->text_size, 0, false};
}

static void cli_cell_end(CliCells *cells) {
    struct CliCell *cell = &cells->cells[cells->count - 1];
    cell->size = cells->text_size - cell->offset;
    cli_cell_add(cells, 0);
}

/* Behind the opening quote, up to and with the closing one. */
static bool cli_cell_quoted(CliFile *file, CliCells *cells, size_t *at, CliProblem *problem) {
    uint64_t first = file->line_number;
    for (;;) {
        if (*at == file->line_size) { /* the cell goes on in the next line */
            cli_cell_add(cells, '\n');
            if (!cli_file_line(file)) return cli_bad(problem, "a quote is never closed");
            file->line_number = first;
            *at = 0;
        } else if (file->line[*at] != '"') {
            cli_cell_add(cells, file->line[(*at)++]);
        } else if (*at + 1 < file->line_size && file->line[*at + 1] == '"') {
            cli_cell_add(cells, '"');
            *at += 2;
        } else {
            ++*at;
            return true;
        }
    }
}

bool cli_csv_record(CliFile *file, CliCells *cells, CliProblem *problem) {
    problem->text[0] = 0;
    cells->count = cells->text_size = 0;
    do
        if (!cli_file_line(file)) return false;
    while (file->line_size == 0);
    for (size_t at = 0;;) {
        cli_cell_begin(cells);
        if (at < file->line_size && file->line[at] == '"') {
            cells->cells[cells->count - 1].quoted = true;
            at++;
            if (!cli_cell_quoted(file, cells, &at, problem)) return false;
        }
        while (at < file->line_size && file->line[at] != ',') cli_cell_add(cells, file->line[at++]);
        cli_cell_end(cells);
        if (at == file->line_size) return true;
        at++; /* over the comma */
    }
}

void cli_cells_clear(CliCells *cells) {
    free(cells->text);
    free(cells->cells);
    memset(cells, 0, sizeof *cells);
}

/* ---- matrices ---- */

static size_t cli_element_size(CliElement element) {
    return element == CLI_F32 ? 4 : element == CLI_F16 ? 2 : 1;
}

static bool cli_ends_with(const char *text, const char *end) {
    size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

static const char *cli_npy_after(const char *header, const char *name) { /* NULL: not there */
    const char *at = strstr(header, name);
    if (!at) return NULL;
    at += strlen(name);
    while (*at == ' ' || *at == ':') at++;
    return at;
}

static bool cli_npy_header(CliMatrix *m, const char *header, CliProblem *problem) {
    static const struct {
        const char *name;
        CliElement element;
    } kinds[] = {{"'<f4'", CLI_F32}, {"'<f2'", CLI_F16}, {"'|i1'", CLI_I8}, {"'|u1'", CLI_U8}};
    const char *descr = cli_npy_after(header, "'descr'"),
               *order = cli_npy_after(header, "'fortran_order'");
    const char *shape = cli_npy_after(header, "'shape'");
    bool known = false;
    unsigned long long rows = 0, columns = 0;
    if (!descr || !order || !shape) return cli_bad(problem, "this is no .npy file");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strncmp(descr, kinds[i].name, 5) == 0) m->element = kinds[i].element, known = true;
    if (!known)
        return cli_bad(
            problem,
            "numbers must be float32, float16, int8 or uint8; convert them with numpy's astype");
    if (strncmp(order, "False", 5) != 0)
        return cli_bad(problem, "it is in Fortran order; save it with numpy.ascontiguousarray");
    if (sscanf(shape, "(%llu, %llu)", &rows, &columns) != 2)
        return cli_bad(problem, "it must have two dimensions");
    m->rows = rows, m->columns = columns, m->counted = true;
    return true;
}

static bool cli_npy_open(CliMatrix *m, CliProblem *problem) {
    uint8_t head[12];
    FILE *file = m->file->file;
    if (fread(head, 1, 10, file) != 10 || memcmp(head, "\x93NUMPY", 6) != 0)
        return cli_bad(problem, "this is no .npy file");
    size_t size = get_u16(head + 8);
    if (head[6] >= 2) {
        if (fread(head + 10, 1, 2, file) != 2) return cli_bad(problem, "it is cut short");
        size = get_u32(head + 8);
    }
    if (size > 1 << 20) return cli_bad(problem, "its header is too long");
    char *header = cli_alloc(size + 1);
    header[size] = 0;
    bool good = fread(header, 1, size, file) == size ? cli_npy_header(m, header, problem)
                                                     : cli_bad(problem, "it is cut short");
    free(header);
    return good;
}

bool cli_matrix_open(CliMatrix *m, CliFile *file, CliProblem *problem) {
    memset(m, 0, sizeof *m);
    m->file = file;
    if (cli_ends_with(file->name, ".npy")) return cli_npy_open(m, problem);
    m->element = cli_ends_with(file->name, ".bvecs") ? CLI_U8 : CLI_F32;
    return true;
}

void cli_matrix_close(CliMatrix *m) {
    free(m->bytes);
    m->bytes = NULL;
}

static float cli_half(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = half >> 10 & 31,
             fraction = half & 1023, bits;
    float value;
    if (exponent == 31) {
        bits = sign | 0x7f800000u | fraction << 13;
    } else if (exponent > 0) {
        bits = sign | (exponent + 112) << 23 | fraction << 13;
    } else { /* subnormal: exact in float */
        value = (float)fraction / 16777216.0f;
        return sign ? -value : value;
    }
    memcpy(&value, &bits, 4);
    return value;
}

static float cli_element(CliElement element, const uint8_t *bytes, uint32_t index) {
    float value;
    switch (element) {
    case CLI_F16: return cli_half(get_u16(bytes + 2 * (size_t)index));
    case CLI_U8: return bytes[index];
    case CLI_I8: return (float)(bytes[index] < 128 ? bytes[index] : bytes[index] - 256);
    default: break;
    }
    uint32_t bits = get_u32(bytes + 4 * (size_t)index);
    memcpy(&value, &bits, 4);
    return value;
}

bool cli_matrix_row(CliMatrix *m, uint32_t columns, float *vector, CliProblem *problem) {
    FILE *file = m->file->file;
    problem->text[0] = 0;
    if (m->counted) {
        if (m->rows == 0) return false;
    } else {
        uint8_t count[4];
        size_t got = fread(count, 1, 4, file);
        if (got == 0 && feof(file)) return false;
        if (got != 4) return cli_bad(problem, "it is cut short");
        m->columns = get_u32(count);
    }
    if (m->columns != columns) {
        snprintf(problem->text, sizeof problem->text,
                 "its rows have %llu numbers, the collection has %u dimensions",
                 (unsigned long long)m->columns, (unsigned)columns);
        return false;
    }
    size_t size = columns * cli_element_size(m->element);
    if (m->capacity < size) m->bytes = cli_realloc(m->bytes, size), m->capacity = size;
    if (fread(m->bytes, 1, size, file) != size) return cli_bad(problem, "it is cut short");
    for (uint32_t i = 0; i < columns; i++) vector[i] = cli_element(m->element, m->bytes, i);
    if (m->counted) m->rows--;
    return true;
}
