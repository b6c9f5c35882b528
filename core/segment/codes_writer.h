/* codes_writer.h - gathers the codes of one section's vectors while they are written, and lays
 * them out as codes_format.h says. Knows no files. */
#ifndef SEGMENT_CODES_WRITER_H
#define SEGMENT_CODES_WRITER_H

#include "host/env.h"
#include "vector/codebook.h"

/* Where the codebooks of a database are found, and what becomes of new ones. */
typedef struct CodeHost {
    /* Are the vectors of this membrane coded, and how? */
    bool (*shape)(void *self, uint32_t membrane, CodeShape *shape, Element *element);
    /* The codebook to use; `lists`: rather one with lists. *book is borrowed; NULL: there is none yet. */
    NACRE_CHECKED nacre_status (*find)(void *self, uint32_t membrane, bool lists, Codebook **book);
    /* One was made, or read: for the next ones to use. Takes a reference of its own, if it wants it. */
    void (*learn)(void *self, uint32_t membrane, Codebook *book);
    void *self;
} CodeHost;

typedef struct CodesWriter {
    Env *env;
    const Kernels *kernels;
    const CodeHost *host;
    uint32_t membrane;
    CodeShape shape;
    Element element;
    bool coded;      /* this section's vectors are */
    bool want_lists;
    Codebook *book;  /* NULL until `first` is full */
    float *first;    /* vectors as they came, until there is a codebook */
    float *row;      /* one as floats, where it is not stored so */
    uint32_t first_count, first_room;
    uint32_t count;  /* coded */
    uint8_t *codes;
    CodeFactors *factors;
    uint32_t *lists;
    size_t codes_capacity, factors_capacity, lists_capacity;
    float *frame;    /* of a row */
    uint8_t *scratch; /* for finding a row's list, of any alignment */
} CodesWriter;

/* A section begins. Without a host nothing is coded. */
void codes_writer_begin(CodesWriter *w, Env *env, const Kernels *kernels, const CodeHost *host, uint32_t membrane, bool want_lists);
/* The next vector, as it is stored. */
NACRE_CHECKED nacre_status codes_writer_add(CodesWriter *w, Span vector);
/* Where the next code goes, that the caller has from elsewhere: of the same codebook. NULL: the vector is
 * wanted. codes_writer_took says that it is there. */
uint8_t *codes_writer_place(CodesWriter *w);
void codes_writer_took(CodesWriter *w, const CodeFactors *factors, uint32_t list);
/* The section's end: its two parts, in memory of their own, to be freed with env_free(codes_part_size).
 * *part NULL: it has no codes. */
typedef struct CodesPart {
    uint8_t *bytes; /* codebook and body, each padded to CODES_ALIGN */
    size_t size, book_size, body_size; /* of all; of the codebook alone; of the padded body, which ends with `bytes` */
} CodesPart;
NACRE_CHECKED nacre_status codes_writer_end(CodesWriter *w, CodesPart *part);
void codes_part_clear(Env *env, CodesPart *part);
void codes_writer_clear(CodesWriter *w);

#endif
