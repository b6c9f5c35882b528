/* train.c - k-means over a sample, in the frame of the index, then calibration. Knows nothing of
 * where rows come from, nor of blocks of rows on disk.
 *
 * The sample is shuffled as it comes in. Its first rows are held out: they are the queries of the
 * calibration. The others are trained on; the first of them are the first centroids.
 *
 * 1. Whatever decides is an integer, or a float sum in a fixed order: rows in their order, and a
 *    row's elements as the kernels have it. Ties go to the lower index.
 * 2. Each unit of work leaves all state in the struct. The number of units depends on counts only,
 *    so no data makes it run for ever. */
#include "vector/train.h"

#include "vector/kernels_body.h" /* FP_CONTRACT */
#include "vector/shortlist.h"

#include <math.h>

enum {
    TRAIN_ROWS = 32,       /* rows per list: more gain little */
    TRAIN_SAMPLE = 8192,   /* rows at least, where there are so many: few lists are calibrated better */
    TRAIN_ROWS_MIN = 8,    /* below it, fewer lists are better */
    TRAIN_ITERATIONS = 6,  /* more gain little */
    TRAIN_LIST_ROWS = 200, /* rows of the index per list */
    TRAIN_LISTS_MIN = 16,
    TRAIN_QUERIES = 1024, /* held out, at most, and at most a quarter of the sample */
    TRAIN_QUERIES_MIN = 64,
    TRAIN_HITS = 100,       /* the most neighbours that a recall is calibrated for */
    TRAIN_SPARSE = 4,       /* and one query in so many is asked for more than 10 */
    TRAIN_LEAST = 16,       /* one query in so many has a nearer list than the least unit */
    TRAIN_QUERY_COST = 100, /* units of work: a query is compared with all rows */
    TRAIN_NEAR = 128,       /* rows compared exactly to find a query's neighbours in the sample */
};

/* What is aimed at beyond a recall, as a part of what it leaves: for the noise of the sample, and
 * for the few neighbours that estimates miss. Under inner product a few long rows are neighbours of
 * many queries, so a sample of rows says less. */
#define TRAIN_MARGIN         .1
#define TRAIN_MARGIN_PRODUCT .3

typedef enum TrainPhase {
    TRAIN_GATHER,
    TRAIN_CENTRE,    /* a row: the mean is taken off */
    TRAIN_DERIVE,    /* 32 centroids: their codes */
    TRAIN_ASSIGN,    /* a row: to its list's sum */
    TRAIN_UPDATE,    /* a list: its centroid from the sum */
    TRAIN_ENCODE,    /* 32 rows: their codes, to find neighbours with */
    TRAIN_LOOK,      /* a query: how near is its nearest list */
    TRAIN_CALIBRATE, /* a query: in which of its lists its neighbours are */
    TRAIN_DONE,
} TrainPhase;

struct Trainer {
    Env *env;
    const Kernels *kernels;
    Codebook *book;
    uint64_t random, total;
    uint32_t wants, count;
    uint32_t queries, held; /* rows held out, at most, and in fact: the first ones */
    TrainPhase phase;
    uint32_t at, iteration; /* within the phase */
    CodeShape code_shape;   /* of the rows trained on, in TRAIN_ENCODE and after */
    uint32_t weights[CODEBOOK_RANKS][TRAIN_HITS];
    size_t size;
    /* In one allocation with this: */
    double *sum; /* of all rows, for the mean */
    float *rows; /* float[wants * padded] */
    float *sums;
    uint32_t *counts;  /* of the rows of each list */
    uint32_t *list_of; /* of each row trained on */
    /* For 10 and for 100 neighbours: by how many lists were asked before theirs, weighted; of each
     * how far its list is, and its weight. */
    uint64_t *hits[CODEBOOK_RANKS], *reaches[CODEBOOK_RANKS];
    uint64_t *nearest; /* of each query: the score of its nearest list */
    uint32_t reach_counts[CODEBOOK_RANKS];
    float *values, *bounds, *minima, *query;
    uint64_t *keys;
    uint8_t *blocks, *codes, *lut, *scratch;
};

/* splitmix64 */
WRAPS static uint64_t train_random(uint64_t *state) {
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint32_t train_below(uint64_t *state, uint32_t limit) {
    return (uint32_t)((train_random(state) >> 32) * limit >> 32);
}

/* ---- memory ---- */

/* Lays the arrays out behind the struct when `base` is not NULL; returns their size. */
static size_t train_lay_out(Trainer *t, uint8_t *base) {
    const size_t padded = t->book->shape.padded, lists = t->book->lists, rows = t->wants;
    const size_t longest = (rows > lists ? rows : lists) + CODE_LANES;
    const size_t reaches = 8 * TRAIN_HITS * ((size_t)t->queries / TRAIN_SPARSE + 1);
    size_t size = 0;
    struct {
        void *pointer;
        size_t size;
    } parts[] = {
        {&t->sum, 8 * padded},
        {&t->rows, 4 * padded * rows},
        {&t->sums, 4 * padded * lists},
        {&t->counts, 4 * lists},
        {&t->list_of, 4 * rows},
        {&t->hits[0], 8 * lists},
        {&t->hits[1], 8 * lists},
        {&t->nearest, 8 * (size_t)t->queries},
        {&t->reaches[0], reaches},
        {&t->reaches[1], reaches},
        {&t->values, 4 * longest},
        {&t->bounds, 4 * longest},
        {&t->minima, 4 * longest},
        {&t->query, 4 * padded},
        {&t->keys, 8 * longest},
        {&t->blocks, longest / CODE_LANES * code_block_size(&t->code_shape)},
        {&t->codes, CODE_LANES * code_size(&t->code_shape)},
        {&t->lut, code_query_size(&t->code_shape)},
        {&t->scratch, codebook_scratch(t->book)},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (base) {
            uint8_t *at = base + size;
            memcpy(parts[i].pointer, &at, sizeof at);
        }
        size += (parts[i].size + 63) / 64 * 64;
    }
    return size;
}

/* The bytes that `lists` lists and `rows` rows for each take, nearly. */
static uint64_t train_bytes(const CodeShape *shape, uint64_t lists, uint64_t rows,
                            uint64_t queries) {
    const uint64_t padded = shape->padded, count = lists * rows + queries;
    return lists * (padded * 9 + 64) + count * (padded * 5 + 32) + 8 * TRAIN_HITS / 2 * queries +
           padded * 64;
}

static uint32_t train_lists(uint64_t total) {
    const uint64_t lists = total / TRAIN_LIST_ROWS;
    if (lists < TRAIN_LISTS_MIN) return TRAIN_LISTS_MIN;
    return lists > CODEBOOK_LISTS_MAX ? CODEBOOK_LISTS_MAX : (uint32_t)lists;
}

nacre_status trainer_create(Env *env, const Kernels *k, const CodeShape *shape, uint64_t seed,
                            uint64_t total, uint32_t lists, size_t memory, Trainer **out) {
    uint32_t rows = TRAIN_ROWS, queries = TRAIN_QUERIES;
    if (lists == 0) lists = train_lists(total);
    if (lists > CODEBOOK_LISTS_MAX) lists = CODEBOOK_LISTS_MAX;
    const uint64_t least = (total < TRAIN_SAMPLE ? total : TRAIN_SAMPLE) / lists;
    if (rows < least) rows = (uint32_t)least;
    while (rows > TRAIN_ROWS_MIN && train_bytes(shape, lists, rows, queries) > memory) rows--;
    while (queries > TRAIN_QUERIES_MIN && train_bytes(shape, lists, rows, queries) > memory)
        queries /= 2;
    while (lists > 1 && train_bytes(shape, lists, rows, queries) > memory) lists--;

    Trainer plan = {.env = env, .kernels = k, .random = seed, .total = total, .code_shape = *shape};
    plan.queries = queries;
    plan.wants = lists * rows + queries;
    plan.code_shape.bits = 1;
    TRY(codebook_create(env, shape, seed, lists, &plan.book));
    const size_t head = (sizeof plan + 63) / 64 * 64;
    plan.size = head + train_lay_out(&plan, NULL) + 64;
    Trainer *t = env_alloc(env, plan.size);
    if (!t) {
        codebook_release(plan.book);
        return NACRE_RESOURCE_EXHAUSTED;
    }
    *t = plan;
    (void)train_lay_out(t, (uint8_t *)codebook_align(t) + head);
    memset(t->sum, 0, 8 * (size_t)shape->padded);
    *out = t;
    return NACRE_OK;
}

void trainer_free(Trainer *t) {
    if (!t) return;
    codebook_release(t->book);
    env_free(t->env, t, t->size);
}

/* ---- the sample ---- */

uint32_t trainer_wants(const Trainer *t) { return t->wants; }

static float *train_row(const Trainer *t, size_t row) {
    return t->rows + row * t->book->shape.padded;
}

/* A shuffle while rows come in: the new one goes to a random place, what was there to the end. */
nacre_status trainer_add(Trainer *t, const float *row) {
    ASSERT(t->phase == TRAIN_GATHER && t->count < t->wants);
    const size_t padded = t->book->shape.padded;
    float *last = train_row(t, t->count);
    if (!codebook_rotate(t->book, t->kernels, row, last)) return NACRE_OK; /* it has no place */
    for (size_t i = 0; i < padded; i++) t->sum[i] += (double)last[i];
    float *place = train_row(t, train_below(&t->random, ++t->count));
    for (size_t i = 0; i < padded; i++) {
        const float value = last[i];
        last[i] = place[i];
        place[i] = value;
    }
    return NACRE_OK;
}

/* Rows trained on. */
static uint32_t train_count(const Trainer *t) { return t->count - t->held; }

static void train_begin(Trainer *t) {
    Codebook *c = t->book;
    t->held = t->count / 4 < t->queries ? t->count / 4 : t->queries;
    if (c->lists > train_count(t)) c->lists = train_count(t) ? train_count(t) : 1;
    for (size_t i = 0; t->count && i < c->shape.padded; i++)
        c->mean[i] = (float)(t->sum[i] / (double)t->count);
}

static void train_centre(Trainer *t) {
    float *row = train_row(t, t->at);
    for (size_t i = 0; i < t->book->shape.padded; i++) row[i] -= t->book->mean[i];
}

/* ---- k-means ---- */

static void train_begin_lists(Trainer *t) {
    Codebook *c = t->book;
    const size_t size = 4 * (size_t)c->shape.padded * c->lists;
    memset(t->sums, 0, size);
    memset(t->counts, 0, 4 * (size_t)c->lists);
    for (size_t n = 0; n < CODEBOOK_RANKS; n++) memset(t->hits[n], 0, 8 * (size_t)c->lists);
    if (t->iteration == 0 && c->lists > 1) memcpy(c->centroids, train_row(t, t->held), size);
}

static void train_assign(Trainer *t) {
    const size_t padded = t->book->shape.padded;
    const float *row = train_row(t, t->held + t->at);
    const uint32_t list = codebook_assign(t->book, t->kernels, row, t->scratch);
    float *sum = t->sums + list * padded;
    for (size_t i = 0; i < padded; i++) sum[i] += row[i];
    t->counts[list]++;
    t->list_of[t->at] = list;
}

/* An empty list gets a random row. The last counts are kept for the calibration. */
static void train_update(Trainer *t) {
    const size_t padded = t->book->shape.padded;
    float *centroid = t->book->centroids + t->at * padded, *sum = t->sums + t->at * padded;
    if (t->counts[t->at] == 0)
        memcpy(centroid, train_row(t, t->held + train_below(&t->random, train_count(t))),
               4 * padded);
    else
        for (size_t i = 0; i < padded; i++) centroid[i] = sum[i] / (float)t->counts[t->at];
    memset(sum, 0, 4 * padded);
    if (t->iteration + 1 < TRAIN_ITERATIONS) t->counts[t->at] = 0;
}

/* ---- calibration ---- */

static void train_encode(Trainer *t) {
    const Codebook *c = t->book;
    const size_t stride = code_size(&t->code_shape);
    const uint32_t first = t->at * CODE_LANES, left = train_count(t) - first;
    const uint32_t count = left < CODE_LANES ? left : CODE_LANES;
    CodeFactors factors[CODE_LANES];
    for (uint32_t i = 0; i < count; i++)
        code_encode(&t->code_shape, t->kernels, train_row(t, t->held + first + i), NULL, c->mean,
                    t->codes + i * stride, &factors[i]);
    code_block_pack(&t->code_shape, t->codes, stride, factors, count,
                    t->blocks + t->at * code_block_size(&t->code_shape));
}

static const uint32_t train_ranks[CODEBOOK_RANKS] = {10, TRAIN_HITS};

/* What a neighbour of the sample counts. With a share p of the rows in it, the r-th nearest there
 * is one of the n nearest of all rows as probably as at least r of these are there. */
static void train_weigh(Trainer *t) {
    const double p = t->total > train_count(t) ? (double)train_count(t) / (double)t->total : 1;
    for (size_t n = 0; n < CODEBOOK_RANKS; n++) {
        double among[TRAIN_HITS + 1] = {1}; /* [i]: that exactly i are there */
        for (size_t i = 0; i < train_ranks[n]; i++) {
            for (size_t j = i + 1; j > 0; j--) among[j] = among[j] * (1 - p) + among[j - 1] * p;
            among[0] *= 1 - p;
        }
        double probability = 0;
        for (size_t r = TRAIN_HITS; r > 0; r--) {
            probability += among[r];
            t->weights[n][r - 1] = (uint32_t)(probability * 256);
        }
    }
}

/* The keys of the nearest rows trained on, from the nearest; returns how many. */
static uint32_t train_neighbours(Trainer *t, const float *y) {
    const Codebook *c = t->book;
    const Kernels *k = t->kernels;
    const size_t padded = c->shape.padded;
    const bool product = c->shape.metric == METRIC_IP;
    CodeQuery query;
    code_query_init(&query, &t->code_shape, k, y, t->lut, 0);
    code_scan(&query, t->blocks, (train_count(t) + CODE_LANES - 1) / CODE_LANES, 0, 0, t->values,
              t->bounds, NULL);
    const uint32_t count =
        shortlist_pick(t->values, train_count(t), TRAIN_NEAR, t->minima, t->keys);
    for (size_t i = 0; product && i < padded; i++) t->query[i] = y[i] + c->mean[i];
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t row = (uint32_t)t->keys[i];
        const float *x = train_row(t, t->held + row);
        t->keys[i] =
            shortlist_key(product ? 0 - k->dot(t->query, x, padded) : k->l2(y, x, padded), row);
    }
    shortlist_sort(t->keys, count);
    return count;
}

/* Scores of all lists to t->values; the least of them. */
static float train_scores(Trainer *t) {
    const Codebook *c = t->book;
    codebook_scores(c, t->kernels, train_row(t, t->at), t->values);
    float least = t->values[0];
    for (uint32_t i = 1; i < c->lists; i++) least = t->values[i] < least ? t->values[i] : least;
    return least;
}

/* The least unit is what one query in TRAIN_LEAST has. */
static void train_look(Trainer *t) {
    t->nearest[t->at] = shortlist_key(train_scores(t), 0);
    if (t->at + 1 < t->held) return;
    shortlist_sort(t->nearest, t->held);
    const float least = shortlist_value(t->nearest[t->held / TRAIN_LEAST]);
    if (least > 0 && least <= FLT_MAX) t->book->least = least;
}

/* Where a row trained on would be, had it not been: centroids are nearer to rows that they are the
 * mean of than to others, by a part in as many as these are. To *score goes the query's of that
 * list. Most rows of the index were not trained on, so without this lists seem to be better. */
static uint32_t train_list(Trainer *t, const float *y, uint32_t row, float *score) {
    const Codebook *c = t->book;
    const Kernels *k = t->kernels;
    const size_t padded = c->shape.padded;
    const float *x = train_row(t, t->held + row);
    const uint32_t own = t->list_of[row], rows = t->counts[own];
    const float *centroid = c->centroids + own * padded;
    float *without = t->query, *squares = t->bounds;

    k->l2_many(x, c->centroids, 4 * padded, c->lists, padded, squares);
    const float part = rows > 1 ? 1 / (float)(rows - 1) : 0;
    for (size_t i = 0; i < padded; i++) without[i] = centroid[i] + (centroid[i] - x[i]) * part;
    squares[own] = rows > 1 ? k->l2(x, without, padded) : INFINITY;
    uint32_t list = 0;
    for (uint32_t i = 1; i < c->lists; i++) list = squares[i] < squares[list] ? i : list;
    *score = list == own ? codebook_score(c, k, y, without) : t->values[list];
    return list;
}

/* For each neighbour: how far is the list it is in, and how many does the query ask before it? */
static void train_calibrate(Trainer *t) {
    const Codebook *c = t->book;
    const float *y = train_row(t, t->at);
    const uint32_t count = train_neighbours(t, y);
    const float least = train_scores(t), unit = codebook_unit(c, t->kernels, y, least);
    const size_t ranks = t->at % TRAIN_SPARSE == 0 ? CODEBOOK_RANKS : 1;
    for (uint32_t r = 0; r < count && r < TRAIN_HITS && t->weights[ranks - 1][r]; r++) {
        float score;
        const uint32_t list = train_list(t, y, (uint32_t)t->keys[r], &score);
        const float reach = unit > 0 && score > least ? (score - least) / unit : 0;
        uint32_t before = 0;
        for (uint32_t i = 0; i < c->lists; i++) before += i != list && t->values[i] < score;
        for (size_t n = 0; n < ranks; n++) {
            const uint32_t weight = t->weights[n][r];
            t->hits[n][before] += weight;
            if (weight) t->reaches[n][t->reach_counts[n]++] = shortlist_key(reach, weight);
        }
    }
}

static double train_goal(const Trainer *t, size_t step) {
    static const float recalls[CODEBOOK_STEPS] = CODEBOOK_RECALLS;
    const double recall = (double)recalls[step];
    return recall +
           (t->code_shape.metric == METRIC_IP ? TRAIN_MARGIN_PRODUCT : TRAIN_MARGIN) * (1 - recall);
}

/* What is read for the recalls of so many neighbours; never less than for fewer. */
static void train_conclude(Trainer *t, size_t n) {
    Codebook *c = t->book;
    const uint32_t count = t->reach_counts[n];
    uint64_t total = 0, in_lists = 0, in_reach = 0;
    uint32_t lists = 0, at = 0;
    for (uint32_t i = 0; i < c->lists; i++) total += t->hits[n][i];
    shortlist_sort(t->reaches[n], count);
    for (size_t step = 0; step < CODEBOOK_STEPS; step++) {
        const double wanted = train_goal(t, step) * (double)total;
        while (lists < c->lists && (lists == 0 || (double)in_lists < wanted))
            in_lists += t->hits[n][lists++];
        while (at < count && (at == 0 || (double)in_reach < wanted))
            in_reach += (uint32_t)t->reaches[n][at++];
        uint16_t *probes = &c->probes[n][step];
        float *reach = &c->reach[n][step];
        *probes = (uint16_t)(total ? lists : c->lists);
        *reach = at ? shortlist_value(t->reaches[n][at - 1]) : 0;
        if (n > 0 && *probes < c->probes[n - 1][step]) *probes = c->probes[n - 1][step];
        if (n > 0 && *reach < c->reach[n - 1][step]) *reach = c->reach[n - 1][step];
    }
}

static void train_finish(Trainer *t) {
    for (size_t n = 0; n < CODEBOOK_RANKS; n++) train_conclude(t, n);
    codebook_seal(t->book);
}

/* ---- steps ---- */

/* The units of the phase. */
static uint32_t train_units(const Trainer *t) {
    const uint32_t row_blocks = (train_count(t) + CODE_LANES - 1) / CODE_LANES;
    switch (t->phase) {
    case TRAIN_CENTRE: return t->count;
    case TRAIN_DERIVE: return codebook_blocks(t->book);
    case TRAIN_ASSIGN: return train_count(t);
    case TRAIN_UPDATE: return t->book->lists;
    case TRAIN_ENCODE: return row_blocks;
    case TRAIN_LOOK:
    case TRAIN_CALIBRATE: return t->held;
    default: return 0;
    }
}

/* Does one unit of the phase; returns what it cost. */
static size_t train_unit(Trainer *t) {
    size_t cost = 1;
    switch (t->phase) {
    case TRAIN_CENTRE: train_centre(t); break;
    case TRAIN_DERIVE:
        codebook_derive(t->book, t->kernels, t->at, t->scratch), cost = CODE_LANES;
        break;
    case TRAIN_ASSIGN: train_assign(t); break;
    case TRAIN_UPDATE: train_update(t); break;
    case TRAIN_ENCODE: train_encode(t), cost = CODE_LANES; break;
    case TRAIN_LOOK: train_look(t); break;
    case TRAIN_CALIBRATE: train_calibrate(t), cost = TRAIN_QUERY_COST; break;
    default: break;
    }
    t->at++;
    return cost;
}

/* With one list there is nothing to train. */
static void train_next(Trainer *t) {
    t->at = 0;
    switch (t->phase) {
    case TRAIN_GATHER: train_begin(t), t->phase = TRAIN_CENTRE; break;
    case TRAIN_CENTRE: train_begin_lists(t), t->phase = TRAIN_DERIVE; break;
    case TRAIN_DERIVE:
        t->phase = t->book->lists == 1               ? (train_finish(t), TRAIN_DONE)
                   : t->iteration < TRAIN_ITERATIONS ? TRAIN_ASSIGN
                                                     : TRAIN_ENCODE;
        break;
    case TRAIN_ASSIGN: t->phase = TRAIN_UPDATE; break;
    case TRAIN_UPDATE: t->iteration++, t->phase = TRAIN_DERIVE; break;
    case TRAIN_ENCODE: train_weigh(t), t->phase = TRAIN_LOOK; break;
    case TRAIN_LOOK: t->phase = TRAIN_CALIBRATE; break;
    case TRAIN_CALIBRATE: train_finish(t), t->phase = TRAIN_DONE; break;
    case TRAIN_DONE: break;
    }
}

nacre_status trainer_step(Trainer *t, size_t work, bool *done) {
    for (size_t spent = 0; spent < work && t->phase != TRAIN_DONE;) {
        while (t->phase != TRAIN_DONE && t->at == train_units(t)) train_next(t);
        if (t->phase != TRAIN_DONE) spent += train_unit(t);
    }
    *done = t->phase == TRAIN_DONE;
    return NACRE_OK;
}

nacre_status trainer_take(Trainer *t, Codebook **out) {
    ASSERT(t->phase == TRAIN_DONE && t->book);
    *out = t->book;
    t->book = NULL;
    return NACRE_OK;
}
