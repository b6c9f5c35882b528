/* fields_writer.h - gathers the values of one section's indexed fields while it is written, and
 * lays them out as fields_format.h says. Knows no files. */
#ifndef SEGMENT_FIELDS_WRITER_H
#define SEGMENT_FIELDS_WRITER_H

#include "host/env.h"
#include "segment/fields_format.h"

/* A row's value of an indexed field. */
typedef struct FieldValue {
    bool null;
    Span bytes; /* of the row, or of `room` */
    uint8_t room[8];
} FieldValue;

/* What is indexed. */
typedef struct FieldHost {
    /* The indexed fields of a membrane, rising; returns how many: LIMIT_INDEXED at most. */
    uint32_t (*columns)(void *self, uint32_t membrane, uint16_t *columns);
    /* Their values in a row; false: it has none that could be told. */
    bool (*values)(void *self, uint32_t membrane, Span row, FieldValue *values);
    void *self;
    size_t memory; /* what is gathered at most: then a segment is full */
} FieldHost;

typedef struct FieldRow {
    uint64_t head;   /* the value's first 8 bytes */
    uint32_t number; /* of the row, less the section's first */
    uint32_t rest;   /* a size up to 8, FIELD_IS_NULL, or FIELD_REST and where the other bytes are */
} FieldRow;

typedef struct FieldColumn {
    uint16_t column;
    FieldRow *rows;
    size_t capacity;
    uint8_t *bytes; /* sizes, and values behind their first 8 bytes */
    size_t bytes_size, bytes_capacity;
} FieldColumn;

typedef struct FieldsWriter {
    Env *env;
    const FieldHost *host;
    uint32_t membrane, first, count;
    uint32_t column_count; /* 0: this section is not indexed */
    size_t memory;         /* gathered */
    FieldColumn columns[LIMIT_INDEXED];
    FieldRow *scratch;
    size_t scratch_capacity;
} FieldsWriter;

/* A section begins; its first row has the number `first`. Without a host nothing is indexed. */
void fields_writer_begin(FieldsWriter *w, Env *env, const FieldHost *host, uint32_t membrane, uint32_t first);
/* The next row that is no deletion. Indexes are a help: where there is no memory, there is none. */
NACRE_CHECKED nacre_status fields_writer_add(FieldsWriter *w, Span row);
/* The section is not indexed: the values of a row are not known. */
void fields_writer_clear(FieldsWriter *w);
bool fields_writer_is_full(const FieldsWriter *w);

/* At the section's end: puts all in order. Columns: column_count, 0 where there is nothing. */
void fields_writer_end(FieldsWriter *w);
/* Fills a page from row *at of a column on, and moves *at. */
void fields_writer_page(const FieldsWriter *w, const FieldColumn *column, uint32_t *at, uint8_t *page);

#endif
