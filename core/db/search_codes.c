/* search_codes.c - the search among rows that have codes (vector/codes.h). The codes of the lists
 * that a query asks are estimated; the k best estimates are looked at exactly, which gives a
 * distance that the k-th nearest row does not exceed; then every row whose bound is below that
 * distance is, while it shrinks. So what is left out was out by its bound, or lay in a list that
 * was not asked. Where fewer than k are found, the other lists are asked, too.
 *
 * All segments are estimated before any row is looked at: the k best are those of all. With a
 * filter, masks (mask.h) say beforehand which rows match, where that pays: then lists are asked
 * until they are too far off for rows that match (coded_enough); and where few rows match, all of
 * them are looked at. */
#include "db/lanes.h"
#include "db/mask.h"
#include "db/search.h"
#include "segment/codes.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

enum {
    BLOCKS_AT_ONCE = 64,
    LOOKS_AT_ONCE = 16,    /* rows whose vectors are fetched side by side */
    LANES_KEPT_SHARE = 64, /* of the budget, for the next search */
    ROUTE_ALIGN = 64,
    MATCHES_EXACT = 1024,  /* so many matching rows are all looked at, */
    SHARE_EXACT = 64,      /* or this part of all */
    SHARE_UNMASKED = 3,    /* a filter that this part of the rows matches is asked row by row, the first time */
    RANKS_UNMASKED = 4,    /* its matches are taken to be so many times further down */
};

#define EPSILON 1.9f
#define EPSILON_FEWER 1.3f  /* where no row is missed for its list: enough for a recall of */
#define RECALL_FEWER 0.96f
#define SPREADS_LEAST 0.5   /* standard deviations of the distances in a list */
#define SPREADS_MOST 3.0
#define SLACK 1e-5f         /* of distances that were rounded on their way here */

/* A query in the frame of one codebook. */
typedef struct CodedFrame {
    const Codebook *book;
    CodeQuery query;
    uint8_t *memory; /* what follows */
    size_t memory_size;
    float *y;
    void *scratch;
    uint32_t *lists; /* nearest first */
    float *bases, *roots;
    uint8_t *asked;  /* of each list of the codebook a bit */
    uint32_t probes; /* lists to ask at first; 0: not known yet */
    uint32_t routed;
    bool scored; /* codes were of no use: the vectors were scored */
    double rest, square, root; /* sums over `counted` lanes: estimate - base, its square, |y - c| */
    uint64_t counted;
} CodedFrame;

/* A section with codes. */
typedef struct CodedPart {
    size_t place; /* of its source */
    ViewSource source;
    Segment *segment;
    Section section;
    SegmentCodes codes;
    CacheEntry *pin, *meta_pin;
    Mask mask;
    size_t frame;
} CodedPart;

/* A row that is to be looked at. */
typedef struct CodedLook {
    size_t part;
    uint32_t slot; /* of the segment */
    const uint8_t *vector; /* NULL: its distance is known */
    float distance;
    CacheEntry *pin;
} CodedLook;

typedef struct Coded {
    CodedPart *parts;
    size_t part_count, parts_capacity;
    CodedFrame *frames;
    size_t frame_count, frames_capacity;
    Lanes lanes;
    BestLanes best, near; /* near: of rows that match or not */
    CodedLook looks[LOOKS_AT_ONCE];
    uint32_t look_count;
    uint32_t *order; /* lanes by bound, a heap */
    size_t order_capacity;
    float *estimates; /* of the blocks under way */
    size_t current;   /* the part that the search stands on, from 1 on; 0: none yet */
    uint32_t sample_looked, sample_matched; /* of the filter */
    uint8_t *scratch;
    size_t scratch_capacity;
} Coded;

void coded_free(Search *s) {
    Coded *c = s->coded;
    Env *env = &s->db->env;
    if (!c) return;
    search_leave_block(s);
    for (size_t i = 0; i < c->part_count; i++) {
        cache_unpin(&s->db->cache, c->parts[i].pin);
        cache_unpin(&s->db->cache, c->parts[i].mask.pin);
        cache_unpin(&s->db->cache, c->parts[i].meta_pin);
    }
    for (size_t i = 0; i < c->frame_count; i++) env_free(env, c->frames[i].memory, c->frames[i].memory_size);
    env_free(env, c->parts, c->parts_capacity * sizeof *c->parts);
    env_free(env, c->frames, c->frames_capacity * sizeof *c->frames);
    lanes_end(&c->lanes, &s->db->lane_room, (size_t)(s->db->options.memory / LANES_KEPT_SHARE));
    best_end(&c->best, env);
    best_end(&c->near, env);
    env_free(env, c->order, c->order_capacity * sizeof *c->order);
    env_free(env, c->estimates, BLOCKS_AT_ONCE * CODE_LANES * sizeof *c->estimates);
    for (uint32_t i = 0; i < c->look_count; i++) cache_unpin(&s->db->cache, c->looks[i].pin);
    env_free(env, c->scratch, c->scratch_capacity);
    env_free(env, c, sizeof *c);
    s->coded = NULL;
}

nacre_status coded_take(Search *s, bool *taken) {
    Env *env = &s->db->env;
    CodedPart part = {.place = s->place, .source = s->source, .segment = s->segment, .section = s->section};
    *taken = false;
    if (s->query->exact || s->recall >= 1 || s->segment->streams[STREAM_CODES].size == 0) return NACRE_OK;
    if (!s->coded) {
        if (!(s->coded = env_alloc_zeroed(env, sizeof *s->coded))) return NACRE_RESOURCE_EXHAUSTED;
        lanes_begin(&s->coded->lanes, env, &s->db->lane_room);
    }
    Coded *c = s->coded;
    nacre_error error = env->error;
    void *parts = c->parts;
    TRY(env_grow(env, &parts, &c->parts_capacity, c->part_count + 1, sizeof *c->parts));
    c->parts = parts;
    nacre_status status = segment_codes(s->segment, s->membrane->id, s->section.slot_count,
                                        s->membrane->schema.dimensions, &part.codes, &part.pin);
    s->db->indexes_damaged |= status == NACRE_CORRUPT;
    if (status == NACRE_RESOURCE_EXHAUSTED) { /* too large for the budget: its vectors are scored, bit by bit */
        env->error = error;
        return NACRE_OK;
    }
    TRY(status);
    if (!part.pin) return NACRE_OK;
    status = segment_pin_meta(s->segment, &part.meta_pin);
    if (status != NACRE_OK) {
        cache_unpin(&s->db->cache, part.pin);
        return status;
    }
    c->parts[c->part_count++] = part;
    *taken = true;
    return NACRE_OK;
}

/* ---- the query in the frame of a codebook ---- */

/* What code_scan wants to know of each list: `bases` holds |y - c|^2. */
static void coded_bases(const Search *s, CodedFrame *f) {
    const Codebook *book = f->book;
    uint32_t padded = book->shape.padded;
    for (uint32_t i = 0; i < f->routed; i++) f->roots[i] = sqrtf(f->bases[i]);
    if (book->shape.metric != METRIC_IP) return;
    const Kernels *k = s->db->kernels;
    float shared = -2 * (k->dot(f->y, book->mean, padded) + k->dot(book->mean, book->mean, padded));
    for (uint32_t i = 0; i < f->routed; i++)
        f->bases[i] = shared - 2 * k->dot(f->y, book->centroids + (size_t)f->lists[i] * padded, padded);
}

/* The first lists that the query asks: as many as it says, or as its recall takes, which depends on
 * how far it is from all of them (codebook.h). */
static void coded_route(const Search *s, CodedFrame *f) {
    const Kernels *k = s->db->kernels;
    const uint64_t rank = (uint64_t)s->k * (s->filter && !s->masked ? RANKS_UNMASKED : 1);
    f->routed = s->query->probes
                    ? codebook_route(f->book, k, f->y, s->query->probes, f->lists, f->bases, f->scratch)
                    : codebook_ask(f->book, k, f->y, s->recall, rank, f->lists, f->bases, f->scratch);
    f->probes = f->routed;
    coded_bases(s, f);
}

static void coded_route_all(const Search *s, CodedFrame *f) {
    f->routed = codebook_route(f->book, s->db->kernels, f->y, f->book->lists, f->lists, f->bases, f->scratch);
    coded_bases(s, f);
}

static uint8_t *coded_cut(uint8_t **memory, size_t size) {
    uint8_t *at = *memory;
    *memory += round_up(size, ROUTE_ALIGN);
    return at;
}

static nacre_status coded_frame(Search *s, const Codebook *book, size_t *at) {
    Env *env = &s->db->env;
    Coded *c = s->coded;
    for (*at = 0; *at < c->frame_count; ++*at)
        if (c->frames[*at].book->id == book->id) return NACRE_OK;
    void *frames = c->frames;
    TRY(env_grow(env, &frames, &c->frames_capacity, c->frame_count + 1, sizeof *c->frames));
    c->frames = frames;
    const size_t lists = book->lists;
    const size_t sizes[] = {(size_t)book->shape.padded * 4, code_query_size(&book->shape), codebook_scratch(book),
                            4 * lists, 4 * lists, 4 * lists, lists / 8 + 1};
    CodedFrame f = {.book = book, .memory_size = ROUTE_ALIGN};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) f.memory_size += (size_t)round_up(sizes[i], ROUTE_ALIGN);
    if (!(f.memory = env_alloc(env, f.memory_size))) return NACRE_RESOURCE_EXHAUSTED;
    uint8_t *memory = codebook_align(f.memory);
    f.y = (float *)(void *)coded_cut(&memory, sizes[0]);
    uint8_t *lut = coded_cut(&memory, sizes[1]);
    f.scratch = coded_cut(&memory, sizes[2]);
    f.lists = (uint32_t *)(void *)coded_cut(&memory, sizes[3]);
    f.bases = (float *)(void *)coded_cut(&memory, sizes[4]);
    f.roots = (float *)(void *)coded_cut(&memory, sizes[5]);
    f.asked = coded_cut(&memory, sizes[6]);
    memset(f.asked, 0, sizes[6]);
    codebook_frame(book, s->db->kernels, s->metric.query, f.y);
    bool few = lists == 1 && s->recall <= RECALL_FEWER;
    code_query_init(&f.query, &book->shape, s->db->kernels, f.y, lut, few ? EPSILON_FEWER : EPSILON);
    c->frames[c->frame_count++] = f;
    return NACRE_OK;
}

static nacre_status coded_frames(Search *s) {
    Coded *c = s->coded;
    for (size_t p = 0; p < c->part_count; p++) {
        TRY(coded_frame(s, c->parts[p].codes.book, &c->parts[p].frame));
    }
    return NACRE_OK;
}

/* ---- estimates ---- */

/* What is nearer than the worst of the best goes among them: of blocks from the `first` lane on. */
static void coded_choose(Coded *c, size_t first, size_t blocks) {
    const float *estimates = c->estimates, *bounds = c->lanes.bounds + first;
    const CodeLeast *least = c->lanes.least + first / CODE_LANES;
    float limit = best_limit(&c->best);
    for (size_t b = 0; b < blocks; b++, estimates += CODE_LANES, bounds += CODE_LANES) {
        if (least[b].est > limit) continue;
        for (uint32_t near = code_below(estimates, limit); near; near &= near - 1) {
            uint32_t lane = (uint32_t)__builtin_ctz(near);
            if (!(bounds[lane] < INFINITY)) continue;
            best_keep(&c->best, (BestLane){estimates[lane], (uint32_t)(first + b * CODE_LANES) + lane});
            limit = best_limit(&c->best);
        }
    }
}

/* How the rows of a block lie around their centroid, as the query sees it, and which are near. */
static void coded_count(Search *s, CodedFrame *f, uint32_t at, const float *estimates, uint32_t used) {
    Coded *c = s->coded;
    for (uint32_t lane = 0; lane < used; lane++) {
        double rest = (double)estimates[lane] - (double)f->bases[at];
        if (!(estimates[lane] < INFINITY)) continue;
        f->rest += rest;
        f->square += rest * rest;
        f->root += (double)f->roots[at];
        f->counted++;
        best_keep(&c->near, (BestLane){estimates[lane], lane});
    }
}

/* Number `at` of the frame's lists, in one part: all its lanes. */
static nacre_status coded_scan(Search *s, CodedFrame *f, size_t index, uint32_t at) {
    Coded *c = s->coded;
    const CodedPart *part = &c->parts[index];
    uint32_t begin = codes_list_begin(&part->codes, f->lists[at]), used = codes_list_count(&part->codes, f->lists[at]);
    uint32_t blocks = codes_list_end(&part->codes, f->lists[at]) - begin;
    size_t block_size = code_block_size(&f->book->shape), first = c->lanes.count, lane = first;
    if (blocks == 0) return NACRE_OK;
    TRY(lanes_add(&c->lanes, index, begin, blocks));
    for (uint32_t done = 0, count; done < blocks; done += count, lane += (size_t)count * CODE_LANES) {
        count = blocks - done < BLOCKS_AT_ONCE ? blocks - done : BLOCKS_AT_ONCE;
        code_scan(&f->query, part->codes.block + (begin + done) * block_size, count, f->bases[at], f->roots[at],
                  c->estimates, c->lanes.bounds + lane, c->lanes.least + lane / CODE_LANES);
        for (size_t i = used; done + count == blocks && i < (size_t)blocks * CODE_LANES; i++)
            c->lanes.bounds[first + i] = INFINITY;
        if (s->query->limited) coded_count(s, f, at, c->estimates, blocks == done + count ? used - done * CODE_LANES : count * CODE_LANES);
        coded_choose(c, lane, count);
    }
    s->db->counters.codes_scored += used;
    if (f->book->lists == 1 && part->source.run->tier != TIER_LAST) s->scored_flat += (uint64_t)used * code_size(&f->book->shape);
    return NACRE_OK;
}

/* The lanes of a block whose rows match, of those that are used. */
static uint32_t coded_lanes(const CodedPart *part, uint32_t block, uint32_t used) {
    uint32_t lanes = 0;
    if (!part->codes.numbers) return get_u32(part->mask.bits + 4 * (size_t)block); /* zeros behind the last slot */
    for (uint32_t lane = 0; lane < used; lane++)
        lanes |= (uint32_t)mask_has(&part->mask, codes_slot(&part->codes, block, lane)) << lane;
    return lanes;
}

/* The same where a mask says which rows count: blocks that have any. Of the lists that would be asked
 * without a filter (`counts`) all are estimated. */
static nacre_status coded_scan_masked(Search *s, CodedFrame *f, size_t index, uint32_t at, bool counts) {
    Coded *c = s->coded;
    const CodedPart *part = &c->parts[index];
    uint32_t begin = codes_list_begin(&part->codes, f->lists[at]), used = codes_list_count(&part->codes, f->lists[at]);
    uint32_t blocks = codes_list_end(&part->codes, f->lists[at]) - begin;
    size_t block_size = code_block_size(&f->book->shape);
    for (uint32_t i = 0; i < blocks; i++) {
        uint32_t left = used - i * CODE_LANES, of_block = left < CODE_LANES ? left : CODE_LANES;
        uint32_t lanes = coded_lanes(part, begin + i, of_block);
        size_t first = c->lanes.count;
        float *bounds = c->estimates + CODE_LANES; /* of no use */
        CodeLeast *least = NULL;
        if (!lanes && !counts) continue;
        if (lanes) {
            TRY(lanes_add(&c->lanes, index, begin + i, 1));
            bounds = c->lanes.bounds + first;
            least = c->lanes.least + first / CODE_LANES;
        }
        code_scan(&f->query, part->codes.block + (begin + i) * block_size, 1, f->bases[at], f->roots[at], c->estimates, bounds, least);
        s->db->counters.codes_scored += of_block;
        if (counts) coded_count(s, f, at, c->estimates, of_block);
        if (!lanes) continue;
        for (uint32_t lane = 0; lane < CODE_LANES; lane++)
            if (!(lanes >> lane & 1)) bounds[lane] = INFINITY;
        coded_choose(c, first, 1);
    }
    return NACRE_OK;
}

/* How far beyond a distance list `at` is: seen from the query, the rows of a list lie at about base +
 * the mean rest, and the spread of that grows with |y - c|. In spreads. */
static double coded_beyond(const CodedFrame *f, uint32_t at, double distance) {
    double n = (double)f->counted, mean = f->rest / n, variance = f->square / n - mean * mean;
    double spread = sqrt(variance > 0 ? variance : 0) * (double)f->roots[at] * n / f->root;
    double beyond = (double)f->bases[at] + mean - distance;
    return spread > 0 ? beyond / spread : beyond > 0 ? SPREADS_MOST : 0;
}

/* The limit of the search in the unit of estimates, with what rounding may have done. */
static float coded_limit(const Search *s) {
    float distance = search_limit(s);
    if (distance < 0 && s->metric.metric != METRIC_IP) return -FLT_MAX;
    float limit = s->metric.metric == METRIC_L2 ? distance * distance : 2 * distance;
    limit += SLACK * fabsf(limit) + FLT_MIN;
    return limit < FLT_MAX ? limit : FLT_MAX; /* lanes of INFINITY were looked at */
}

/* Have enough lists been asked? Without a filter that is known. With one, the first list that would be
 * left out without it tells how far beyond the k-th nearest of all rows lists may be left out; so far
 * beyond the k-th nearest that matches they are left out, too. Likewise where rows beyond a distance
 * are not wanted. `all`: only that ends it. */
static bool coded_enough(const Search *s, const CodedFrame *f, uint32_t at, uint32_t probes, bool all) {
    const Coded *c = s->coded;
    if (at < probes) return false;
    if (s->query->limited && f->counted && f->root > 0 && coded_beyond(f, at, (double)coded_limit(s)) >= SPREADS_MOST) return true;
    if (all || s->query->probes) return !all;
    if (!s->masked) return true;
    if (c->best.count < s->k || c->near.count < s->k || !(f->root > 0)) return false;
    double least = coded_beyond(f, probes < f->routed ? probes : f->routed - 1, (double)c->near.heap[0].estimate);
    if (least < SPREADS_LEAST) least = SPREADS_LEAST;
    if (least > SPREADS_MOST) least = SPREADS_MOST;
    return coded_beyond(f, at, (double)c->best.heap[0].estimate) >= least;
}

/* The search stands on a part. */
static void coded_stand(Search *s, size_t index) {
    Coded *c = s->coded;
    const CodedPart *part = &c->parts[index];
    if (c->current == index + 1) return;
    search_leave_block(s);
    c->current = index + 1;
    s->place = part->place;
    s->source = part->source;
    s->segment = part->segment;
    s->section = part->section;
}

/* A query so far out that its distances to centroids are no floats: vectors are scored, once. */
static nacre_status coded_score(Search *s, size_t frame) {
    Coded *c = s->coded;
    bool masked = s->masked;
    nacre_status status = NACRE_OK;
    if (c->frames[frame].scored) return NACRE_OK;
    c->frames[frame].scored = true;
    s->masked = false; /* each row is asked about */
    for (size_t p = 0; p < c->part_count && status == NACRE_OK; p++) {
        if (c->parts[p].frame != frame) continue;
        coded_stand(s, p);
        status = search_section(s);
    }
    s->masked = masked;
    return status;
}

/* Room at once for what is asked without a filter. */
static nacre_status coded_reserve(Search *s, size_t frame) {
    Coded *c = s->coded;
    const CodedFrame *f = &c->frames[frame];
    size_t blocks = 0;
    for (size_t p = 0; p < c->part_count && !s->masked; p++)
        for (uint32_t at = 0; at < f->routed && c->parts[p].frame == frame; at++)
            blocks += codes_list_end(&c->parts[p].codes, f->lists[at]) - codes_list_begin(&c->parts[p].codes, f->lists[at]);
    return lanes_reserve(&c->lanes, blocks);
}

/* Asks the frame's lists, nearest first; `all`: those that were not asked yet, to the last. */
static nacre_status coded_ask(Search *s, size_t frame, bool all) {
    Coded *c = s->coded;
    CodedFrame *f = &c->frames[frame];
    if (f->probes == 0) coded_route(s, f);
    if ((all || s->masked) && f->routed < f->book->lists) coded_route_all(s, f);
    if (f->routed == 0) return coded_score(s, frame);
    const uint32_t probes = f->probes;
    TRY(coded_reserve(s, frame));
    for (uint32_t at = 0; at < f->routed; at++) {
        uint32_t list = f->lists[at];
        if (coded_enough(s, f, at, probes, all)) return NACRE_OK;
        if (f->asked[list / 8] >> list % 8 & 1) continue;
        f->asked[list / 8] |= (uint8_t)(1u << list % 8);
        TRY(search_in_time(s));
        for (size_t p = 0; p < c->part_count; p++)
            if (c->parts[p].frame == frame) TRY(s->masked ? coded_scan_masked(s, f, p, at, at < probes) : coded_scan(s, f, p, at));
    }
    return NACRE_OK;
}

/* ---- rows ---- */

/* The rows that wait are looked at: their vectors are on the way from memory by now. */
static nacre_status coded_look_at_waiting(Search *s) {
    Coded *c = s->coded;
    nacre_status status = NACRE_OK;
    for (uint32_t i = 0; i < c->look_count; i++) {
        CodedLook *look = &c->looks[i];
        if (status == NACRE_OK && look->vector)
            metric_many(&s->metric, look->vector, c->parts[look->part].section.stride, 1, &look->distance);
        cache_unpin(&s->db->cache, look->pin);
        if (status != NACRE_OK || !search_wants(s, look->distance)) continue;
        coded_stand(s, look->part);
        status = search_consider(s, look->slot, look->distance);
    }
    c->look_count = 0;
    return status;
}

/* The row of a slot, from the section's first one on, is looked at together with others. */
static nacre_status coded_wait(Search *s, size_t index, uint32_t slot) {
    Coded *c = s->coded;
    const CodedPart *part = &c->parts[index];
    CodedLook look = {.part = index, .slot = slot + part->section.first_slot};
    if (search_known_dead(s, part->segment, look.slot)) return NACRE_OK;
    TRY(segment_vector(part->segment, &part->section, look.slot, &c->scratch, &c->scratch_capacity, &look.vector, &look.pin));
    s->db->counters.vectors_scored++;
    if (look.pin) {
        metric_prefetch(look.vector, part->section.stride);
    } else { /* in the scratch memory */
        metric_many(&s->metric, look.vector, part->section.stride, 1, &look.distance);
        look.vector = NULL;
    }
    c->looks[c->look_count++] = look;
    return c->look_count == LOOKS_AT_ONCE ? coded_look_at_waiting(s) : NACRE_OK;
}

/* The row of a lane, once. */
static nacre_status coded_wait_lane(Search *s, size_t lane) {
    Coded *c = s->coded;
    const LaneStretch *stretch = lanes_find(&c->lanes, lane);
    size_t within = lane - stretch->lane;
    c->lanes.bounds[lane] = INFINITY;
    return coded_wait(s, stretch->part, codes_slot(&c->parts[stretch->part].codes, stretch->block + (uint32_t)(within / CODE_LANES),
                                                   (uint32_t)(within % CODE_LANES)));
}

static bool order_before(const Coded *c, uint32_t a, uint32_t b) {
    const float *bounds = c->lanes.bounds;
    return bounds[a] < bounds[b] || (bounds[a] == bounds[b] && a < b);
}

static void order_down(const Coded *c, size_t at, size_t count) {
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count) return;
        if (child + 1 < count && order_before(c, c->order[child + 1], c->order[child])) child++;
        if (!order_before(c, c->order[child], c->order[at])) return;
        uint32_t kept = c->order[at];
        c->order[at] = c->order[child];
        c->order[child] = kept;
        at = child;
    }
}

/* The k nearest are not full: rows that were near are gone, or do not match. The others come in the
 * order of their bounds, from a heap of lanes. */
static nacre_status coded_look_in_order(Search *s) {
    Coded *c = s->coded;
    void *order = c->order;
    size_t count = 0;
    TRY(env_grow(&s->db->env, &order, &c->order_capacity, c->lanes.count, sizeof *c->order));
    c->order = order;
    for (size_t lane = 0; lane < c->lanes.count; lane++)
        if (c->lanes.bounds[lane] < INFINITY) c->order[count++] = (uint32_t)lane;
    for (size_t at = count / 2; at > 0; at--) order_down(c, at - 1, count);
    while (count > 0 && c->lanes.bounds[c->order[0]] <= coded_limit(s)) {
        uint32_t lane = c->order[0];
        c->order[0] = c->order[--count];
        order_down(c, 0, count);
        TRY(coded_wait_lane(s, lane));
    }
    return coded_look_at_waiting(s);
}

static nacre_status coded_look_below(Search *s) {
    Coded *c = s->coded;
    float limit = coded_limit(s);
    for (size_t b = 0; b < c->lanes.count / CODE_LANES; b++) {
        if (c->lanes.least[b].bound > limit) continue;
        for (uint32_t near = code_below(c->lanes.bounds + b * CODE_LANES, limit); near; near &= near - 1) {
            TRY(coded_wait_lane(s, b * CODE_LANES + (uint32_t)__builtin_ctz(near)));
            if (c->look_count == 0) limit = coded_limit(s);
        }
    }
    return coded_look_at_waiting(s);
}

/* What was estimated is looked at, as far as it may be among the nearest. */
static nacre_status coded_look_at_all(Search *s) {
    Coded *c = s->coded;
    best_sort(&c->best);
    for (uint32_t i = 0; i < c->best.count; i++)
        if (c->lanes.bounds[c->best.heap[i].lane] < INFINITY) TRY(coded_wait_lane(s, c->best.heap[i].lane));
    c->best.count = 0;
    TRY(coded_look_at_waiting(s));
    return s->count < s->k ? coded_look_in_order(s) : coded_look_below(s);
}

static nacre_status coded_search_lists(Search *s, bool all) {
    Coded *c = s->coded;
    for (size_t f = 0; f < c->frame_count; f++) TRY(coded_ask(s, f, all));
    return coded_look_at_all(s);
}

/* ---- filters ---- */

/* Was the filter asked for lately? It is from now on. */
static bool coded_saw_filter(Search *s) {
    Db *db = s->db;
    uint64_t hash = checksum64(s->membrane->id, s->query->filter.data, s->query->filter.size) | 1;
    for (uint32_t i = 0; i < FILTERS_SEEN; i++)
        if (db->filters_seen[i] == hash) return true;
    db->filters_seen[db->filters_at] = hash;
    db->filters_at = (db->filters_at + 1) % FILTERS_SEEN;
    return false;
}

static nacre_status coded_mask(Search *s, bool make, bool *all) {
    Coded *c = s->coded;
    *all = true;
    for (size_t p = 0; p < c->part_count; p++) {
        CodedPart *part = &c->parts[p];
        if (part->mask.pin) continue;
        TRY(mask_get(s->db, part->segment, &part->section, s->query->filter, s->filter, make, &part->mask));
        *all &= part->mask.pin != NULL;
    }
    return NACRE_OK;
}

/* A filter that comes for the first time, and that many rows match, is asked about the few rows
 * that are near; any other one is worth a mask. */
static nacre_status coded_plan(Search *s) {
    Coded *c = s->coded;
    if (!s->filter) return NACRE_OK;
    bool seen = coded_saw_filter(s);
    TRY(coded_mask(s, false, &s->masked));
    if (s->masked) return NACRE_OK;
    for (size_t p = 0; p < c->part_count && !seen; p++)
        TRY(mask_sample(s->db, c->parts[p].segment, &c->parts[p].section, s->filter, &c->sample_looked,
                        &c->sample_matched));
    if (!seen && c->sample_matched * SHARE_UNMASKED >= c->sample_looked) return NACRE_OK;
    return coded_mask(s, true, &s->masked);
}

/* Near the query, do far fewer rows match than elsewhere? Then there may be nearer ones in lists
 * that were not asked. */
static bool coded_is_sparse(const Search *s) {
    const Coded *c = s->coded;
    if (!s->filter || s->masked || s->query->probes) return false;
    return 2 * s->filter_matched * c->sample_looked < s->filter_asked * c->sample_matched;
}

/* What was asked row by row goes on with masks. */
static nacre_status coded_mask_late(Search *s) {
    TRY(coded_mask(s, true, &s->masked));
    return coded_search_lists(s, false);
}

/* Few rows match: each is looked at. */
static nacre_status coded_look_at_matches(Search *s) {
    Coded *c = s->coded;
    for (size_t p = 0; p < c->part_count; p++) {
        const CodedPart *part = &c->parts[p];
        for (uint32_t slot = 0; slot < part->section.slot_count; slot += 32)
            for (uint32_t word = get_u32(part->mask.bits + slot / 8); word; word &= word - 1)
                TRY(coded_wait(s, p, slot + (uint32_t)__builtin_ctz(word)));
    }
    return coded_look_at_waiting(s);
}

static bool coded_few_match(const Search *s) {
    const Coded *c = s->coded;
    uint64_t slots = 0, matches = 0;
    for (size_t p = 0; p < c->part_count; p++) {
        slots += c->parts[p].section.slot_count;
        matches += c->parts[p].mask.count;
    }
    return matches <= MATCHES_EXACT || matches <= slots / SHARE_EXACT || matches <= 4 * (uint64_t)s->k;
}

/* ---- the whole ---- */

nacre_status coded_search(Search *s) {
    Coded *c = s->coded;
    Env *env = &s->db->env;
    if (!c || c->part_count == 0) return NACRE_OK;
    TRY(coded_plan(s));
    if (s->masked && coded_few_match(s)) {
        s->path = NACRE_PATH_MATCHES;
        return coded_look_at_matches(s);
    }
    TRY(coded_frames(s));
    s->path = NACRE_PATH_FLAT;
    for (size_t f = 0; f < c->frame_count; f++)
        if (c->frames[f].book->lists > 1) s->path = NACRE_PATH_IVF;
    TRY(best_begin(&c->best, env, s->k));
    TRY(best_begin(&c->near, env, s->k));
    if (!(c->estimates = env_alloc(env, BLOCKS_AT_ONCE * CODE_LANES * sizeof *c->estimates)))
        return NACRE_RESOURCE_EXHAUSTED;
    TRY(coded_search_lists(s, false));
    if (coded_is_sparse(s)) TRY(coded_mask_late(s));
    if (s->count == s->k || s->query->probes) return NACRE_OK;
    return coded_search_lists(s, true);
}
