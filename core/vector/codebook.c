/* codebook.c - a codebook in memory and as bytes, and the two questions asked of it: where does a
 * row belong, where does a query look. Knows nothing of rows as a whole, files or recall: train.c
 * finds the centroids and calibrates. */
#include "vector/codebook.h"

#include "base/checksum.h"
#include "base/codec.h"
#include "base/limits.h"
#include "vector/kernels_body.h" /* FP_CONTRACT */
#include "vector/shortlist.h"

#include <math.h>

enum {
    CODEBOOK_ALIGN = 64,
    CODEBOOK_NEAR = 8,    /* lists compared exactly for a row: 2 lose recall, 32 gain none */
    CODEBOOK_SPARE = 24,  /* lists compared exactly for a query, beside twice those wanted */
    CODEBOOK_EXACT = 256, /* up to so many lists codes gain nothing */
};

static const float codebook_recalls[CODEBOOK_STEPS] = CODEBOOK_RECALLS;

static size_t codebook_up(size_t size) {
    return (size + CODEBOOK_ALIGN - 1) / CODEBOOK_ALIGN * CODEBOOK_ALIGN;
}

/* ---- memory ---- */

static CodeShape codebook_list_shape(const CodeShape *shape) {
    return (CodeShape){shape->dimensions, shape->padded, 1, METRIC_L2};
}

static size_t codebook_codes_size(const CodeShape *shape, uint32_t lists) {
    const CodeShape list_shape = codebook_list_shape(shape);
    if (lists <= CODEBOOK_EXACT) return 0;
    return (lists + CODE_LANES - 1) / CODE_LANES * code_block_size(&list_shape);
}

size_t codebook_memory(const CodeShape *shape, uint32_t lists) {
    return CODEBOOK_ALIGN + codebook_up(sizeof(Codebook)) +
           codebook_up(4 * (size_t)shape->padded * (lists + 1)) + codebook_up(4 * (size_t)lists) +
           codebook_codes_size(shape, lists);
}

nacre_status codebook_create(Env *env, const CodeShape *shape, uint64_t seed, uint32_t lists,
                             Codebook **out) {
    const size_t size = codebook_memory(shape, lists);
    Codebook *c = env_alloc_zeroed(env, size);
    if (!c) return NACRE_RESOURCE_EXHAUSTED;
    uint8_t *at = (uint8_t *)c + codebook_up(sizeof *c);
    at += (CODEBOOK_ALIGN - (uintptr_t)at % CODEBOOK_ALIGN) % CODEBOOK_ALIGN;
    *c = (Codebook){.env = env,
                    .references = 1,
                    .lists = lists,
                    .seed = seed,
                    .shape = *shape,
                    .list_shape = codebook_list_shape(shape),
                    .size = size};
    for (size_t r = 0; r < CODEBOOK_RANKS; r++)
        for (size_t i = 0; i < CODEBOOK_STEPS; i++) c->probes[r][i] = 1;
    c->mean = (float *)(void *)at;
    c->centroids = c->mean + shape->padded;
    at += codebook_up(4 * (size_t)shape->padded * (lists + 1));
    c->offsets = (float *)(void *)at;
    c->blocks = at + codebook_up(4 * (size_t)lists);
    const nacre_status status = rotation_create(env, shape->dimensions, seed, &c->rotation);
    if (status == NACRE_OK)
        *out = c;
    else
        env_free(env, c, size);
    return status;
}

void codebook_retain(Codebook *c) { c->references++; }

void codebook_release(Codebook *c) {
    if (!c || --c->references > 0) return;
    rotation_free(c->rotation);
    env_free(c->env, c, c->size);
}

/* ---- the frame ---- */

bool codebook_rotate(const Codebook *c, const Kernels *k, const float *row, float *y) {
    return c->shape.metric == METRIC_COSINE ? rotation_apply_unit(c->rotation, k, row, y)
                                            : rotation_apply(c->rotation, k, row, y);
}

void codebook_frame(const Codebook *c, const Kernels *k, const float *row, float *y) {
    (void)codebook_rotate(c, k, row, y); /* false: y says so itself */
    for (size_t i = 0; i < c->shape.padded; i++) y[i] -= c->mean[i];
}

nacre_status codebook_flat(Env *env, const Kernels *k, const CodeShape *shape, uint64_t seed,
                           const uint8_t *rows, size_t stride, size_t count, Codebook **out) {
    const size_t padded = shape->padded, size = 12 * padded;
    Codebook *c = NULL;
    TRY(codebook_create(env, shape, seed, 1, &c));
    double *sum = env_alloc_zeroed(env, size);
    if (!sum) {
        codebook_release(c);
        return NACRE_RESOURCE_EXHAUSTED;
    }
    float *y = (float *)(sum + padded);
    size_t used = 0;
    for (size_t r = 0; r < count; r++, rows += stride)
        if (codebook_rotate(c, k, (const void *)rows, y)) {
            for (size_t i = 0; i < padded; i++) sum[i] += (double)y[i];
            used++;
        }
    for (size_t i = 0; used && i < padded; i++) c->mean[i] = (float)(sum[i] / (double)used);
    env_free(env, sum, size);
    codebook_seal(c);
    *out = c;
    return NACRE_OK;
}

/* ---- bytes ---- */

static void codebook_put(const float *values, size_t count, uint8_t *into) {
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, values + i, 4);
        put_u32(into + 4 * i, bits);
    }
}

static void codebook_write_head(const Codebook *c, uint8_t *head) {
    ByteWriter w = {head, head + CODEBOOK_HEAD};
    bw_u64(&w, c->id);
    bw_u32(&w, CODEBOOK_MAGIC);
    bw_u32(&w, c->shape.dimensions);
    bw_u64(&w, c->seed);
    bw_u32(&w, c->lists);
    bw_u8(&w, (uint8_t)c->shape.bits);
    bw_u8(&w, (uint8_t)c->shape.metric);
    for (size_t r = 0; r < CODEBOOK_RANKS; r++)
        for (size_t i = 0; i < CODEBOOK_STEPS; i++) bw_u16(&w, c->probes[r][i]);
    for (size_t r = 0; r < CODEBOOK_RANKS; r++, w.at += 4 * CODEBOOK_STEPS)
        codebook_put(c->reach[r], CODEBOOK_STEPS, w.at);
    codebook_put(&c->least, 1, w.at);
}

/* Mean and centroids lie behind each other in memory as in bytes. */
static uint32_t codebook_rows(const Codebook *c) { return c->lists > 1 ? c->lists + 1 : 1; }

size_t codebook_bytes(const Codebook *c) {
    return CODEBOOK_HEAD + 4 * (size_t)c->shape.padded * codebook_rows(c);
}

/* Rule 1 of the format. */
static uint64_t codebook_checksum(const Codebook *c) {
    uint8_t piece[4 * CODEBOOK_PIECE];
    codebook_write_head(c, piece);
    uint64_t sum = checksum64(CODEBOOK_MAGIC, piece + 8, CODEBOOK_HEAD - 8);
    for (uint32_t row = 0; row < codebook_rows(c); row++)
        for (size_t i = 0, count; i < c->shape.padded; i += count) {
            count = c->shape.padded - i < CODEBOOK_PIECE ? c->shape.padded - i : CODEBOOK_PIECE;
            codebook_put(c->mean + (size_t)row * c->shape.padded + i, count, piece);
            sum = checksum64(sum, piece, 4 * count);
        }
    return sum;
}

void codebook_seal(Codebook *c) { c->id = codebook_checksum(c); }

void codebook_write(const Codebook *c, uint8_t *into) {
    codebook_write_head(c, into);
    codebook_put(c->mean, (size_t)c->shape.padded * codebook_rows(c), into + CODEBOOK_HEAD);
}

/* False: not finite. */
static bool codebook_get(uint32_t bits, float *value) {
    memcpy(value, &bits, 4);
    return (bits & 0x7f800000u) != 0x7f800000u;
}

/* Rule 4 of the format: what is calibrated rises from recall to recall and from rank to rank. */
static bool codebook_read_rules(Codebook *head, ByteReader *r) {
    bool rises = true;
    for (size_t rank = 0; rank < CODEBOOK_RANKS; rank++)
        for (size_t i = 0; i < CODEBOOK_STEPS; i++) {
            const uint16_t probes = head->probes[rank][i] = br_u16(r);
            rises &= probes >= (i ? head->probes[rank][i - 1] : 1) && probes <= head->lists;
            rises &= rank == 0 || probes >= head->probes[rank - 1][i];
        }
    for (size_t rank = 0; rank < CODEBOOK_RANKS; rank++)
        for (size_t i = 0; i < CODEBOOK_STEPS; i++) {
            float *reach = &head->reach[rank][i];
            rises &= codebook_get(br_u32(r), reach) && *reach >= (i ? reach[-1] : 0);
            rises &= rank == 0 || *reach >= head->reach[rank - 1][i];
        }
    return rises;
}

/* The head as a codebook without memory; what it says decides how much is asked for. */
static bool codebook_read_head(Codebook *head, Span bytes) {
    ByteReader r = br_over(bytes);
    head->id = br_u64(&r);
    const uint32_t magic = br_u32(&r);
    head->shape.dimensions = br_u32(&r);
    head->seed = br_u64(&r);
    head->lists = br_u32(&r);
    head->shape.bits = br_u8(&r);
    const uint8_t metric = br_u8(&r);
    if (!br_ok(&r) || magic != CODEBOOK_MAGIC) return false;
    if (head->shape.dimensions < 1 || head->shape.dimensions > LIMIT_DIMENSIONS) return false;
    if (head->lists < 1 || head->lists > CODEBOOK_LISTS_MAX) return false;
    if (head->shape.bits < 1 || head->shape.bits > CODE_BITS_MAX) return false;
    if (metric < METRIC_L2 || metric > METRIC_IP) return false;
    head->shape.metric = (Metric)metric;
    head->shape.padded = code_padded(head->shape.dimensions);
    if (!codebook_read_rules(head, &r)) return false;
    if (!codebook_get(br_u32(&r), &head->least) || !(head->least >= 0)) return false;
    return br_ok(&r) && bytes.size == codebook_bytes(head);
}

static bool codebook_read_floats(Codebook *c, const uint8_t *from) {
    bool finite = true;
    for (size_t i = 0; i < (size_t)c->shape.padded * codebook_rows(c); i++)
        finite &= codebook_get(get_u32(from + 4 * i), c->mean + i);
    return finite;
}

nacre_status codebook_read(Env *env, const Kernels *k, Span bytes, Codebook **out) {
    nacre_status status = NACRE_OK;
    Codebook head = {0}, *c = NULL;
    void *scratch = NULL;
    size_t scratch_size = 0;

    if (!codebook_read_head(&head, bytes))
        return env_fail(env, NACRE_CORRUPT, "codebook: its head is damaged (%zu bytes)",
                        bytes.size);
    TRY(codebook_create(env, &head.shape, head.seed, head.lists, &c));
    c->id = head.id;
    memcpy(c->probes, head.probes, sizeof c->probes);
    memcpy(c->reach, head.reach, sizeof c->reach);
    c->least = head.least;
    if (!codebook_read_floats(c, bytes.data + CODEBOOK_HEAD) || codebook_checksum(c) != c->id)
        TRY_OUT(
            env_fail(env, NACRE_CORRUPT, "codebook: %u lists are damaged", (unsigned)head.lists));
    scratch_size = codebook_scratch(c) + CODEBOOK_ALIGN;
    scratch = env_alloc(env, scratch_size);
    if (!scratch) TRY_OUT(NACRE_RESOURCE_EXHAUSTED);
    for (uint32_t i = 0; i < codebook_blocks(c); i++)
        codebook_derive(c, k, i, codebook_align(scratch));
    *out = c;
    c = NULL;
out:
    env_free(env, scratch, scratch_size);
    codebook_release(c);
    return status;
}

/* ---- lists ---- */

/* What lies in the scratch memory of a call. */
typedef struct CodebookRoom {
    float *values, *bounds, *minima;
    uint64_t *keys;
    uint8_t *lut;
    size_t size;
} CodebookRoom;

static CodebookRoom codebook_room(const Codebook *c, void *scratch) {
    const size_t values = codebook_up(4 * (size_t)c->lists + 4 * CODE_LANES);
    const size_t keys = codebook_up(8 * (size_t)c->lists);
    const size_t minima = codebook_up(4 * (size_t)c->lists);
    const size_t codes =
        codebook_up(CODE_LANES * code_size(&c->list_shape) + code_query_size(&c->list_shape));
    uint8_t *at = scratch;
    CodebookRoom room = {.size = 2 * values + keys + minima + codes};
    if (!at) return room;
    room.values = (float *)(void *)at;
    room.bounds = (float *)(void *)(at + values);
    room.keys = (uint64_t *)(void *)(at + 2 * values);
    room.minima = (float *)(void *)(at + 2 * values + keys);
    room.lut = at + 2 * values + keys + minima;
    return room;
}

size_t codebook_scratch(const Codebook *c) { return codebook_room(c, NULL).size; }

/* Under inner product |y - c|^2 less this is -2 <q, c>, up to what is the same for all lists. */
static float codebook_offset(const Codebook *c, const Kernels *k, const float *centroid) {
    const size_t padded = c->shape.padded;
    if (c->shape.metric != METRIC_IP) return 0;
    return k->dot(centroid, centroid, padded) + 2 * k->dot(c->mean, centroid, padded);
}

uint32_t codebook_blocks(const Codebook *c) { return (c->lists + CODE_LANES - 1) / CODE_LANES; }

void codebook_derive(Codebook *c, const Kernels *k, uint32_t block, void *scratch) {
    const size_t padded = c->shape.padded, stride = code_size(&c->list_shape);
    const CodebookRoom room = codebook_room(c, scratch);
    const uint32_t first = block * CODE_LANES;
    const uint32_t count = c->lists - first < CODE_LANES ? c->lists - first : CODE_LANES;
    CodeFactors factors[CODE_LANES];

    for (uint32_t i = 0; i < count; i++) {
        const float *centroid = c->centroids + (first + i) * padded;
        c->offsets[first + i] = codebook_offset(c, k, centroid);
        if (c->lists > CODEBOOK_EXACT)
            code_encode(&c->list_shape, k, centroid, NULL, NULL, room.lut + i * stride,
                        &factors[i]);
    }
    if (c->lists > CODEBOOK_EXACT)
        code_block_pack(&c->list_shape, room.lut, stride, factors, count,
                        c->blocks + block * code_block_size(&c->list_shape));
}

static void codebook_lower(const Codebook *c, float *values) {
    if (c->shape.metric == METRIC_IP)
        for (uint32_t i = 0; i < c->lists; i++) values[i] -= c->offsets[i];
}

void codebook_scores(const Codebook *c, const Kernels *k, const float *y, float *scores) {
    const size_t padded = c->shape.padded;
    k->l2_many(y, c->centroids, 4 * padded, c->lists, padded, scores);
    codebook_lower(c, scores);
}

float codebook_score(const Codebook *c, const Kernels *k, const float *y, const float *centroid) {
    return k->l2(y, centroid, c->shape.padded) - codebook_offset(c, k, centroid);
}

/* The keys of the `want` lists nearest to y, and of a few more, by their exact distance, or score.
 * With codes it is those nearest by estimate; where that would leave out few, all are compared. */
static uint32_t codebook_near(const Codebook *c, const Kernels *k, const float *y, uint32_t want,
                              uint32_t spare, bool score, const CodebookRoom *room) {
    const size_t padded = c->shape.padded;
    const bool estimate = c->lists > CODEBOOK_EXACT && 2 * (want + spare) <= c->lists;
    if (estimate) {
        CodeQuery query;
        code_query_init(&query, &c->list_shape, k, y, room->lut, 0);
        code_scan(&query, c->blocks, codebook_blocks(c), 0, 0, room->values, room->bounds, NULL);
    } else {
        k->l2_many(y, c->centroids, 4 * padded, c->lists, padded, room->values);
    }
    if (score) codebook_lower(c, room->values);
    const uint32_t count = shortlist_pick(room->values, c->lists, estimate ? want + spare : want,
                                          room->minima, room->keys);
    for (uint32_t i = 0; estimate && i < count; i++) {
        const uint32_t list = (uint32_t)room->keys[i];
        const float square = k->l2(y, c->centroids + list * padded, padded);
        room->keys[i] = shortlist_key(score ? square - c->offsets[list] : square, list);
    }
    return count;
}

uint32_t codebook_assign(const Codebook *c, const Kernels *k, const float *y, void *scratch) {
    if (c->lists == 1) return 0;
    const CodebookRoom room = codebook_room(c, scratch);
    const uint32_t count = codebook_near(c, k, y, 1, CODEBOOK_NEAR - 1, false, &room);
    uint64_t least = room.keys[0];
    for (uint32_t i = 1; i < count; i++) least = room.keys[i] < least ? room.keys[i] : least;
    return (uint32_t)least; /* the key's lower half */
}

/* The nearest `want` lists and a few more, sorted. */
static uint32_t codebook_sorted(const Codebook *c, const Kernels *k, const float *y, uint32_t want,
                                const CodebookRoom *room) {
    const uint32_t count =
        codebook_near(c, k, y, want, want + CODEBOOK_SPARE, c->shape.metric == METRIC_IP, room);
    shortlist_sort(room->keys, count);
    return count;
}

static uint32_t codebook_give(const Codebook *c, const Kernels *k, const float *y, uint32_t count,
                              const CodebookRoom *room, uint32_t *lists, float *squares) {
    const size_t padded = c->shape.padded;
    for (uint32_t i = 0; i < count; i++) {
        lists[i] = (uint32_t)room->keys[i];
        squares[i] = c->shape.metric == METRIC_IP
                         ? k->l2(y, c->centroids + lists[i] * padded, padded)
                         : shortlist_value(room->keys[i]);
    }
    return count;
}

uint32_t codebook_route(const Codebook *c, const Kernels *k, const float *y, uint32_t probes,
                        uint32_t *lists, float *squares, void *scratch) {
    const CodebookRoom room = codebook_room(c, scratch);
    if (probes > c->lists) probes = c->lists;
    if (probes == 0) return 0;
    const uint32_t count = codebook_sorted(c, k, y, probes, &room);
    return codebook_give(c, k, y, count < probes ? count : probes, &room, lists, squares);
}

static size_t codebook_step(float recall) {
    size_t step = 0;
    while (step < CODEBOOK_STEPS && !(recall <= codebook_recalls[step])) step++;
    return step;
}

/* Under inner product all scores grow with the length of the query, whose mean was taken off. */
float codebook_unit(const Codebook *c, const Kernels *k, const float *y, float score) {
    const size_t padded = c->shape.padded;
    if (c->shape.metric != METRIC_IP) return sqrtf(score > c->least ? score : c->least);
    return sqrtf(k->dot(y, y, padded) + 2 * k->dot(y, c->mean, padded) +
                 k->dot(c->mean, c->mean, padded));
}

/* log10(rank / 10), nearly and the same everywhere: straight lines between powers of two. */
static float codebook_decades(uint64_t rank) {
    float doublings = 0, left = (float)(rank < 10 ? 10 : rank) / 10;
    for (; left >= 2; left /= 2) doublings++;
    return (doublings + (left - 1)) * 0.30103f;
}

/* First among a few more lists than rows need; where that is not the end of it, among all. */
uint32_t codebook_ask(const Codebook *c, const Kernels *k, const float *y, float recall,
                      uint64_t rank, uint32_t *lists, float *squares, void *scratch) {
    const CodebookRoom room = codebook_room(c, scratch);
    const size_t step = codebook_step(recall);
    if (step == CODEBOOK_STEPS) return codebook_route(c, k, y, c->lists, lists, squares, scratch);
    const float decades = codebook_decades(rank), near_reach = c->reach[0][step];
    const float reach = near_reach + (c->reach[1][step] - near_reach) * decades;
    uint32_t want = c->probes[decades > 0][step] + CODEBOOK_NEAR, within;
    for (;; want = c->lists) {
        if (want > c->lists) want = c->lists;
        const uint32_t count = codebook_sorted(c, k, y, want, &room);
        const float score = shortlist_value(room.keys[0]);
        const uint64_t last =
            shortlist_key(score + reach * codebook_unit(c, k, y, score), UINT32_MAX);
        within = 1;
        while (within < count && room.keys[within] <= last) within++;
        if (within < want || want == c->lists) break;
    }
    return codebook_give(c, k, y, within, &room, lists, squares);
}

uint32_t codebook_probes(const Codebook *c, float recall) {
    const size_t step = codebook_step(recall);
    return step < CODEBOOK_STEPS ? c->probes[0][step] : c->lists;
}
