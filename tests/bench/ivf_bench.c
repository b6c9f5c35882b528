/* ivf_bench.c - the index in memory, without a database: what training, coding and searching cost,
 * and whether the calibrated recall is kept. The yardstick of the product's search.
 *
 *   ivf_bench DIRECTORY SET ROWS [LISTS [BITS [KERNELS]]]
 *
 * DIRECTORY has the .npy files; ROWS counts for made sets only (sets.h). LISTS 0: as the trainer
 * chooses. For each way: the share of true neighbours found, and of those that lay in the lists
 * that were read; means of lists, rows scanned and exact distances per query; the median of CPU
 * time. */
#define _GNU_SOURCE
#include "sets.h"
#include "vector/shortlist.h"
#include "vector/train.h"

enum { ROUNDS = 5, STEP = 256 };

typedef struct Index {
    Codebook *book;
    uint32_t *list_of;
    uint32_t *first,
        *blocks_before; /* of each list: its rows and blocks before; one more at the end */
    uint32_t *row_of;   /* of each lane */
    uint8_t *blocks;
    double train, assign, encode;
} Index;

typedef struct Found {
    uint32_t rows[SET_HITS], lists, scanned, exact;
    float distances[SET_HITS];
} Found;

static const Kernels *kernels;
static Set set;
static Env env;
static uint32_t bits = 1;
static float *est, *bound, *squares, *frame, *unit_query;
static uint32_t *lists;
static void *scratch;
static uint8_t *lut;

/* CPU time: neighbours on the machine take turns, and are not counted. */
static double now(void) { return clock_of(CLOCK_THREAD_CPUTIME_ID); }

static void *take(size_t size) {
    void *memory = aligned_alloc(64, (size + 127) / 64 * 64);
    if (!memory) die(set.name, "no memory");
    return memory;
}

static void check(nacre_status status) {
    if (status != NACRE_OK) die(set.name, env.error.text);
}

static const float *row_at(size_t row) { return set.rows + row * set.dimensions; }

static float product(const float *a, const float *b) { return kernels->dot(a, b, set.dimensions); }

static Codebook *train(const CodeShape *shape, uint32_t list_count, bool flat) {
    Codebook *book;
    if (flat) {
        const uint32_t count = set.count < 20000 ? set.count : 20000;
        check(codebook_flat(&env, kernels, shape, 1, (const void *)set.rows,
                            4 * (size_t)set.dimensions, count, &book));
        return book;
    }
    Trainer *trainer;
    check(
        trainer_create(&env, kernels, shape, 1, set.count, list_count, (size_t)1 << 30, &trainer));
    const uint32_t wants = trainer_wants(trainer), count = wants < set.count ? wants : set.count;
    for (uint32_t i = 0; i < count; i++)
        check(trainer_add(trainer, row_at((uint64_t)i * set.count / count)));
    for (bool done = false; !done;) check(trainer_step(trainer, STEP, &done));
    check(trainer_take(trainer, &book));
    trainer_free(trainer);
    return book;
}

static void encode(Index *x) {
    const Codebook *c = x->book;
    const size_t stride = code_size(&c->shape), padded = c->shape.padded;
    uint8_t *codes = take(CODE_LANES * stride);
    float *y = take(4 * padded);
    CodeFactors factors[CODE_LANES];
    for (uint32_t list = 0; list < c->lists; list++)
        for (uint32_t at = x->first[list], count; at < x->first[list + 1]; at += count) {
            const uint32_t left = x->first[list + 1] - at,
                           block = x->blocks_before[list] + (at - x->first[list]) / CODE_LANES;
            count = left < CODE_LANES ? left : CODE_LANES;
            for (uint32_t i = 0; i < count; i++) {
                codebook_frame(c, kernels, row_at(x->row_of[block * CODE_LANES + i]), y);
                code_encode(&c->shape, kernels, y, c->centroids + list * padded, c->mean,
                            codes + i * stride, &factors[i]);
            }
            code_block_pack(&c->shape, codes, stride, factors, count,
                            x->blocks + block * code_block_size(&c->shape));
        }
    free(codes), free(y);
}

static Index build(uint32_t list_count, bool flat) {
    Index x = {0};
    const CodeShape shape = {set.dimensions, code_padded(set.dimensions), bits, set.metric};
    double began = now();
    x.book = train(&shape, list_count, flat);
    x.train = now() - began, began = now();

    const uint32_t count = x.book->lists;
    scratch = take(codebook_scratch(x.book));
    x.list_of = take(4 * (size_t)set.count);
    x.first = take(4 * (size_t)count + 4), x.blocks_before = take(4 * (size_t)count + 4);
    uint32_t *sizes = calloc(count, 4);
    for (uint32_t i = 0; i < set.count; i++) {
        if (!flat) codebook_frame(x.book, kernels, row_at(i), frame);
        x.list_of[i] = codebook_assign(x.book, kernels, frame, scratch);
        sizes[x.list_of[i]]++;
    }
    x.assign = now() - began, began = now();

    x.first[0] = x.blocks_before[0] = 0;
    for (uint32_t i = 0; i < count; i++) {
        x.first[i + 1] = x.first[i] + sizes[i];
        x.blocks_before[i + 1] = x.blocks_before[i] + (sizes[i] + CODE_LANES - 1) / CODE_LANES;
        sizes[i] = 0;
    }
    x.blocks = take(x.blocks_before[count] * code_block_size(&shape));
    x.row_of = take(4 * (size_t)x.blocks_before[count] * CODE_LANES);
    for (uint32_t i = 0; i < set.count; i++) {
        const uint32_t list = x.list_of[i];
        x.row_of[x.blocks_before[list] * CODE_LANES + sizes[list]++] = i;
    }
    encode(&x);
    x.encode = now() - began;
    free(sizes);
    est = take(4 * (size_t)x.blocks_before[count] * CODE_LANES);
    bound = take(4 * (size_t)x.blocks_before[count] * CODE_LANES);
    lists = take(4 * (size_t)count), squares = take(4 * (size_t)count);
    return x;
}

static void clear(Index *x) {
    codebook_release(x->book);
    free(x->list_of), free(x->first), free(x->blocks_before), free(x->row_of), free(x->blocks);
    free(est), free(bound), free(lists), free(squares), free(scratch);
}

/* ---- searching ---- */

/* In the unit of estimates. Rows are unit vectors under cosine. */
static float exact(const float *query, uint32_t row) {
    return set.metric == METRIC_IP ? -2 * product(query, row_at(row))
                                   : kernels->l2(query, row_at(row), set.dimensions);
}

static void offer(Found *f, uint32_t *count, float distance, uint32_t row) {
    if (*count == SET_HITS && distance >= f->distances[SET_HITS - 1]) return;
    uint32_t at = *count < SET_HITS ? (*count)++ : SET_HITS - 1;
    for (; at > 0 && f->distances[at - 1] > distance; at--)
        f->distances[at] = f->distances[at - 1], f->rows[at] = f->rows[at - 1];
    f->distances[at] = distance, f->rows[at] = row;
}

static float base_of(const Codebook *c, uint32_t list, float square) {
    const size_t padded = c->shape.padded;
    if (c->shape.metric != METRIC_IP) return square;
    return -2 * (kernels->dot(frame, c->centroids + list * padded, padded) +
                 kernels->dot(frame, c->mean, padded) + kernels->dot(c->mean, c->mean, padded));
}

/* Estimates and bounds of all rows of the lists, then the SET_HITS of least estimate exactly, then
 * all whose bound is below the worst of these. */
static void search(const Index *x, const float *query, uint32_t count, Found *f) {
    const Codebook *c = x->book;
    CodeQuery q;
    uint32_t lanes = 0, hits = 0;
    uint64_t best[SET_HITS];
    code_query_init(&q, &c->shape, kernels, frame, lut, 1.9f);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t list = lists[i], rows = x->first[list + 1] - x->first[list];
        const uint32_t first = x->blocks_before[list], blocks = x->blocks_before[list + 1] - first;
        code_scan(&q, x->blocks + first * code_block_size(&c->shape), blocks,
                  base_of(c, list, squares[i]), sqrtf(squares[i]), est + lanes, bound + lanes, NULL);
        for (uint32_t lane = rows; lane < blocks * CODE_LANES; lane++)
            est[lanes + lane] = bound[lanes + lane] = INFINITY;
        for (uint32_t lane = 0; lane < blocks * CODE_LANES; lane++) {
            if (hits == SET_HITS && !(est[lanes + lane] < shortlist_value(best[SET_HITS - 1])))
                continue;
            const uint64_t key = shortlist_key(est[lanes + lane], lanes + lane);
            uint32_t at = hits < SET_HITS ? hits++ : SET_HITS - 1;
            for (; at > 0 && best[at - 1] > key; at--) best[at] = best[at - 1];
            best[at] = key;
        }
        lanes += blocks * CODE_LANES;
        f->scanned += rows;
    }
    f->lists = count;
    uint32_t found = 0;
    /* est becomes the mark of what was compared; lanes of the lists lie behind each other */
    for (uint32_t i = 0; i < hits; i++) {
        const uint32_t lane = (uint32_t)best[i];
        uint32_t at = lane, list = 0;
        for (; list < count; list++) {
            const uint32_t span =
                (x->blocks_before[lists[list] + 1] - x->blocks_before[lists[list]]) * CODE_LANES;
            if (at < span) break;
            at -= span;
        }
        if (bound[lane] == INFINITY) continue;
        const uint32_t row = x->row_of[x->blocks_before[lists[list]] * CODE_LANES + at];
        bound[lane] = INFINITY;
        offer(f, &found, exact(query, row), row);
        f->exact++;
    }
    uint32_t lane = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t *rows = x->row_of + x->blocks_before[lists[i]] * CODE_LANES;
        const uint32_t span =
            (x->blocks_before[lists[i] + 1] - x->blocks_before[lists[i]]) * CODE_LANES;
        for (uint32_t at = 0; at < span; at++, lane++)
            if (bound[lane] < f->distances[SET_HITS - 1] ||
                (found < SET_HITS && bound[lane] < INFINITY)) {
                offer(f, &found, exact(query, rows[at]), rows[at]);
                f->exact++;
            }
    }
}

/* recall 0: all lists, whatever they are (flat). */
static void ask(const Index *x, const float *query, float recall, Found *f) {
    const Codebook *c = x->book;
    const float *asked = query;
    *f = (Found){0};
    if (set.metric == METRIC_COSINE) {
        const float scale = 1 / sqrtf(product(query, query));
        for (uint32_t i = 0; i < set.dimensions; i++) unit_query[i] = query[i] * scale;
        asked = unit_query;
    }
    codebook_frame(c, kernels, query, frame);
    const uint32_t count =
        recall > 0 ? codebook_ask(c, kernels, frame, recall, SET_HITS, lists, squares, scratch)
                   : codebook_route(c, kernels, frame, c->lists, lists, squares, scratch);
    search(x, asked, count, f);
}

static void report(const Index *x, const char *way, float recall) {
    double *times = malloc(sizeof *times * set.query_count * ROUNDS);
    uint64_t hits = 0, inside = 0, list_sum = 0, scanned = 0, exacts = 0;
    for (uint32_t round = 0; round <= ROUNDS; round++)
        for (uint32_t q = 0; q < set.query_count; q++) {
            Found f;
            const float *query = set.queries + (size_t)q * set.dimensions;
            const double began = now();
            ask(x, query, recall, &f);
            if (round < ROUNDS) times[(size_t)round * set.query_count + q] = now() - began;
            if (round) continue;
            list_sum += f.lists, scanned += f.scanned, exacts += f.exact;
            for (uint32_t i = 0; i < SET_HITS; i++) {
                const uint32_t want = set.near_rows[q * SET_HITS + i];
                /* As near as the last true neighbour is a neighbour: rows may tie. */
                const float last = exact(set.metric == METRIC_COSINE ? unit_query : query,
                                         set.near_rows[q * SET_HITS + SET_HITS - 1]);
                hits += f.distances[i] <= last * (last > 0 ? 1.000001f : .999999f) && i < SET_HITS;
                for (uint32_t l = 0; l < f.lists; l++) inside += lists[l] == x->list_of[want];
            }
        }
    const double queries = set.query_count, truths = (double)SET_HITS * queries;
    printf("  %-8s recall %.4f (in lists %.4f)  p50 %7.1f us  p95 %7.1f  lists %6.1f  scanned "
           "%8.0f  exact %6.1f\n",
           way, (double)hits / truths, (double)inside / truths,
           1e6 * quantile(times, (size_t)set.query_count * ROUNDS, .5),
           1e6 * quantile(times, (size_t)set.query_count * ROUNDS, .95), (double)list_sum / queries,
           (double)scanned / queries, (double)exacts / queries);
    free(times);
}

static void print_build(const Index *x, const char *way) {
    printf("%s %u x %u %s: lists %u, train %.2f s, assign %.2f s, encode %.2f s\n", set.name,
           set.count, set.dimensions, way, x->book->lists, x->train, x->assign, x->encode);
}

int main(int argc, char **argv) {
    if (argc < 4) die("ivf_bench", "DIRECTORY SET ROWS [LISTS [BITS [KERNELS]]]");
    if (!set_load(&set, argv[2], argv[1], (uint32_t)atoi(argv[3]))) die(argv[2], "no such set");
    if (argc > 5) bits = (uint32_t)atoi(argv[5]);
    kernels = argc > 6 ? kernels_by_name(argv[6]) : kernels_choose();
    if (!kernels) die(argv[6], "no such kernels here");
    env_init(&env, NULL, NULL, (uint64_t)8 << 30);
    const CodeShape shape = {set.dimensions, code_padded(set.dimensions), bits, set.metric};
    frame = take(4 * (size_t)shape.padded), unit_query = take(4 * (size_t)shape.padded);
    lut = take(code_query_size(&shape));

    Index x = build(1, true);
    print_build(&x, "flat");
    report(&x, "flat", 0);
    clear(&x);
    x = build(argc > 4 ? (uint32_t)atoi(argv[4]) : 0, false);
    print_build(&x, "ivf");
    report(&x, "ivf .90", .90f);
    report(&x, "ivf .95", .95f);
    report(&x, "ivf .99", .99f);
    clear(&x);
    return 0;
}
