/* codebook.h - the frame and the lists of an index: the rotation, the mean of the rows, the
 * centroids of the lists, and how many lists must be read for a recall. Immutable once made, and
 * shared by the segments that are coded with it. It is made of vectors given to it (train.h) or of
 * bytes (codebook_format.h), the same ones on every host; it does no I/O. Level: vector.
 *
 * 1. A row is looked at in the frame: rotated, made a unit vector under cosine, minus the mean.
 *    Distances in the frame are those of the rows (under cosine of the unit vectors, squared:
 *    twice the distance).
 * 2. A list holds the rows that are nearer to its centroid than to others (nearly all of them:
 *    beyond CODEBOOK_EXACT lists the nearest eight by estimate are compared). Under inner product
 *    too; but a query asks first the lists whose centroids have the largest product with it.
 * 3. A row or query whose square leaves the range of float has no place (rotation.h): it is
 *    infinite in the frame, its list is any, it asks lists in any order; its code says that it
 *    must be looked at. */
#ifndef NACRE_VECTOR_CODEBOOK_H
#define NACRE_VECTOR_CODEBOOK_H

#include "host/env.h"
#include "vector/codebook_format.h"
#include "vector/codes.h"
#include "vector/rotation.h"

typedef struct Codebook {
    Env *env;
    uint32_t references;
    uint32_t lists; /* 1: flat */
    uint64_t id; /* its checksum: equal ids are equal codebooks, so codes may be copied */
    uint64_t seed;
    CodeShape shape;
    Rotation *rotation;
    float *mean;      /* float[padded], rotated */
    float *centroids; /* float[lists * padded], minus the mean */
    uint16_t probes[CODEBOOK_RANKS][CODEBOOK_STEPS];
    float reach[CODEBOOK_RANKS][CODEBOOK_STEPS], least; /* rule 4 of the format */
    /* Derived: codes of the centroids, where comparing all of them is slower; under inner
     * product what turns |y - c|^2 into -2 <query, centroid>, up to a constant. */
    CodeShape list_shape;
    uint8_t *blocks;
    float *offsets;
    size_t size; /* of the allocation that all this is in */
} Codebook;

void codebook_retain(Codebook *c);
void codebook_release(Codebook *c); /* NULL is fine */

/* One list: the mean of `count` rows (f32 at any address, `stride` bytes apart), of those that rule
 * 3 does not speak of. NACRE_RESOURCE_EXHAUSTED. The caller's, free with codebook_release. */
NACRE_CHECKED nacre_status codebook_flat(Env *env, const Kernels *k, const CodeShape *shape,
                                         uint64_t seed, const uint8_t *rows, size_t stride,
                                         size_t count, Codebook **out);

size_t codebook_bytes(const Codebook *c);
void codebook_write(const Codebook *c, uint8_t *into);
/* Of bytes that nobody has checked: NACRE_CORRUPT. Also NACRE_RESOURCE_EXHAUSTED. */
NACRE_CHECKED nacre_status codebook_read(Env *env, const Kernels *k, Span bytes, Codebook **out);

/* row: float[dimensions] at any address -> y: float[padded], infinite throughout if rule 3 speaks
 * of the row. */
void codebook_frame(const Codebook *c, const Kernels *k, const float *row, float *y);

/* The bytes of scratch memory, aligned to 64, that the functions below need. */
size_t codebook_scratch(const Codebook *c);

static inline void *codebook_align(void *memory) {
    return (uint8_t *)memory + (64 - (uintptr_t)memory % 64) % 64;
}

/* The list of a row. */
uint32_t codebook_assign(const Codebook *c, const Kernels *k, const float *y, void *scratch);

/* The `probes` lists that a query asks first, in that order: lists[i], and |y - c|^2 in squares[i].
 * Returns how many: fewer only when there are fewer, or distances are no numbers. */
uint32_t codebook_route(const Codebook *c, const Kernels *k, const float *y, uint32_t probes,
                        uint32_t *lists, float *squares, void *scratch);

/* The lists that a query must read for a recall in (0, 1], as codebook_route has them; both arrays
 * have room for all lists. How many depends on the query: those far from all lists read more.
 * rank: how far down among all rows those wanted are. For k rows it is k; for the k nearest of those
 * that match a filter, k * rows / matches. Calibrated for 10 and 100, further on an extrapolation. */
uint32_t codebook_ask(const Codebook *c, const Kernels *k, const float *y, float recall,
                      uint64_t rank, uint32_t *lists, float *squares, void *scratch);

/* How many lists queries that are like the rows must read for a recall in (0, 1] of 10 rows. */
uint32_t codebook_probes(const Codebook *c, float recall);

/* ---- for who makes one (train.c) ---- */

/* All zero but for what is given; `lists` may be lowered before anything is derived. */
NACRE_CHECKED nacre_status codebook_create(Env *env, const CodeShape *shape, uint64_t seed,
                                           uint32_t lists, Codebook **out);
/* What codebook_create would take, without the rotation. */
size_t codebook_memory(const CodeShape *shape, uint32_t lists);
/* The frame without taking off the mean. False: rule 3 speaks of the row. */
bool codebook_rotate(const Codebook *c, const Kernels *k, const float *row, float *y);
/* Derives what follows from 32 centroids; `block` counts from 0 to codebook_blocks. */
uint32_t codebook_blocks(const Codebook *c);
void codebook_derive(Codebook *c, const Kernels *k, uint32_t block, void *scratch);
/* The score that a query goes by (rule 4 of the format), up to a constant: of each list, and of a
 * centroid. */
void codebook_scores(const Codebook *c, const Kernels *k, const float *y, float *scores);
float codebook_score(const Codebook *c, const Kernels *k, const float *y, const float *centroid);
/* What the reach is a multiple of (rule 4 of the format), for a query with that least score. */
float codebook_unit(const Codebook *c, const Kernels *k, const float *y, float score);
/* Sets the id. */
void codebook_seal(Codebook *c);

#endif
