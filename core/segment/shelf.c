/* shelf.c - an array sorted by membrane. Two codebooks to a membrane at most. */
#include "segment/shelf.h"

static size_t shelf_at(const Shelf *shelf, uint32_t membrane) {
    size_t low = 0, high = shelf->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (shelf->places[middle].membrane < membrane) low = middle + 1;
        else high = middle;
    }
    return low;
}

ShelfPlace *shelf_place(Shelf *shelf, uint32_t membrane) {
    size_t at = shelf_at(shelf, membrane);
    if (at < shelf->count && shelf->places[at].membrane == membrane) return &shelf->places[at];
    void *places = shelf->places;
    if (env_grow(shelf->env, &places, &shelf->capacity, shelf->count + 1, sizeof *shelf->places) != NACRE_OK) return NULL;
    shelf->places = places;
    memmove(&shelf->places[at + 1], &shelf->places[at], (shelf->count - at) * sizeof *shelf->places);
    shelf->places[at] = (ShelfPlace){.membrane = membrane};
    shelf->count++;
    return &shelf->places[at];
}

Codebook *shelf_known(const Shelf *shelf, uint64_t id) {
    for (size_t i = 0; i < shelf->count; i++) {
        Codebook *const books[] = {shelf->places[i].flat, shelf->places[i].lists};
        for (int k = 0; k < 2; k++)
            if (books[k] && books[k]->id == id) return books[k];
    }
    return NULL;
}

void shelf_learn(Shelf *shelf, uint32_t membrane, Codebook *book) {
    ShelfPlace *place = shelf_place(shelf, membrane);
    if (!place) { /* only a help */
        env_clear(shelf->env);
        return;
    }
    Codebook **kept = book->lists > 1 ? &place->lists : &place->flat;
    if (*kept && (*kept == book || (*kept)->lists >= book->lists)) return;
    codebook_retain(book);
    codebook_release(*kept);
    *kept = book;
}

void shelf_forget(Shelf *shelf, uint32_t membrane) {
    size_t at = shelf_at(shelf, membrane);
    if (at == shelf->count || shelf->places[at].membrane != membrane) return;
    codebook_release(shelf->places[at].flat);
    codebook_release(shelf->places[at].lists);
    shelf->count--;
    memmove(&shelf->places[at], &shelf->places[at + 1], (shelf->count - at) * sizeof *shelf->places);
}

void shelf_clear(Shelf *shelf) {
    for (size_t i = 0; i < shelf->count; i++) {
        codebook_release(shelf->places[i].flat);
        codebook_release(shelf->places[i].lists);
    }
    env_free(shelf->env, shelf->places, shelf->capacity * sizeof *shelf->places);
    *shelf = (Shelf){0};
}
