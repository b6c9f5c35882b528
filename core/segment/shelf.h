/* shelf.h - the codebooks in use, by membrane: so that what is written is coded like what is
 * there, and segments coded alike share one codebook. */
#ifndef SEGMENT_SHELF_H
#define SEGMENT_SHELF_H

#include "host/env.h"
#include "vector/codebook.h"

typedef struct ShelfPlace {
    uint32_t membrane;
    bool looked;     /* all segments were asked for theirs */
    Codebook *flat;  /* of one list; NULL: none known */
    Codebook *lists; /* of several: the newest */
} ShelfPlace;

typedef struct Shelf {
    Env *env;
    ShelfPlace *places; /* by membrane */
    size_t count, capacity;
} Shelf;

/* The membrane's place, made when missing; NULL: no memory. Good until the next call. */
ShelfPlace *shelf_place(Shelf *shelf, uint32_t membrane);
/* The one of that id, borrowed; NULL: none. */
Codebook *shelf_known(const Shelf *shelf, uint64_t id);
/* Remembers a codebook, unless a better one of its kind is there: one with more lists. */
void shelf_learn(Shelf *shelf, uint32_t membrane, Codebook *book);
/* A membrane is gone. */
void shelf_forget(Shelf *shelf, uint32_t membrane);
void shelf_clear(Shelf *shelf);

#endif
