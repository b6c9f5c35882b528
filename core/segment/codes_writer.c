/* codes_writer.c - the first vectors of a section wait as they are, until there are so many
 * that coding pays; then they and all that follow are coded as they come. */
#include "segment/codes_writer.h"

#include "segment/codes_format.h"

enum { FIRST_BYTES = 2 << 20, FIRST_LEAST = 64 };

void codes_writer_begin(CodesWriter *w, Env *env, const Kernels *kernels, const CodeHost *host, uint32_t membrane,
                        bool want_lists) {
    codes_writer_clear(w);
    w->env = env;
    w->kernels = kernels;
    w->host = host;
    w->membrane = membrane;
    w->want_lists = want_lists;
    w->coded = host && host->shape(host->self, membrane, &w->shape, &w->element);
}

void codes_writer_clear(CodesWriter *w) {
    if (!w->env) return;
    Env *env = w->env;
    env_free(env, w->first, (size_t)w->first_room * w->shape.dimensions * 4);
    env_free(env, w->row, (size_t)w->shape.dimensions * 4);
    env_free(env, w->codes, w->codes_capacity * (w->coded ? code_size(&w->shape) : 1));
    env_free(env, w->factors, w->factors_capacity * sizeof *w->factors);
    env_free(env, w->lists, w->lists_capacity * sizeof *w->lists);
    env_free(env, w->frame, (size_t)w->shape.padded * sizeof *w->frame);
    if (w->book) env_free(env, w->scratch, codebook_scratch(w->book) + CODES_ALIGN);
    codebook_release(w->book);
    *w = (CodesWriter){0};
}

static nacre_status codes_room(CodesWriter *w) {
    size_t need = (size_t)w->count + 1;
    void *codes = w->codes, *factors = w->factors, *lists = w->lists;
    TRY(env_grow(w->env, &codes, &w->codes_capacity, need, code_size(&w->shape)));
    w->codes = codes;
    TRY(env_grow(w->env, &factors, &w->factors_capacity, need, sizeof *w->factors));
    w->factors = factors;
    if (w->book->lists == 1) return NACRE_OK;
    TRY(env_grow(w->env, &lists, &w->lists_capacity, need, sizeof *w->lists));
    w->lists = lists;
    return NACRE_OK;
}

uint8_t *codes_writer_place(CodesWriter *w) {
    if (!w->coded || !w->book || codes_room(w) != NACRE_OK) return NULL;
    return w->codes + w->count * code_size(&w->shape);
}

void codes_writer_took(CodesWriter *w, const CodeFactors *factors, uint32_t list) {
    w->factors[w->count] = *factors;
    if (w->lists) w->lists[w->count] = list;
    w->count++;
}

static nacre_status codes_encode(CodesWriter *w, const float *vector) {
    const Codebook *book = w->book;
    TRY(codes_room(w));
    codebook_frame(book, w->kernels, vector, w->frame);
    const float *centroid = NULL;
    if (book->lists > 1) {
        uint32_t list = codebook_assign(book, w->kernels, w->frame, codebook_align(w->scratch));
        w->lists[w->count] = list;
        centroid = book->centroids + (size_t)list * w->shape.padded;
    }
    code_encode(&w->shape, w->kernels, w->frame, centroid, book->mean, w->codes + w->count * code_size(&w->shape),
                &w->factors[w->count]);
    w->count++;
    return NACRE_OK;
}

/* Enough have come: with what are they coded? */
static nacre_status codes_begin(CodesWriter *w) {
    const CodeHost *host = w->host;
    size_t stride = (size_t)w->shape.dimensions * 4;
    Codebook *book = NULL;
    TRY(host->find(host->self, w->membrane, w->want_lists, &book));
    if (book) {
        codebook_retain(book);
    } else {
        TRY(codebook_flat(w->env, w->kernels, &w->shape, 0, (const uint8_t *)w->first, stride, w->first_count, &book));
        host->learn(host->self, w->membrane, book);
    }
    w->book = book;
    w->shape = book->shape;
    w->frame = env_alloc(w->env, (size_t)w->shape.padded * sizeof *w->frame);
    w->scratch = env_alloc(w->env, codebook_scratch(book) + CODES_ALIGN);
    if (!w->frame || !w->scratch) return NACRE_RESOURCE_EXHAUSTED;
    for (uint32_t i = 0; i < w->first_count; i++) TRY(codes_encode(w, w->first + (size_t)i * w->shape.dimensions));
    return NACRE_OK;
}

static nacre_status codes_add(CodesWriter *w, Span vector) {
    size_t stride = (size_t)w->shape.dimensions * 4;
    if (vector.size != element_size(w->element, w->shape.dimensions)) { /* the segment's writer says what is wrong */
        w->coded = false;
        return NACRE_OK;
    }
    const float *row = (const float *)(const void *)vector.data; /* at any address */
    if (w->element != ELEMENT_F32) {
        if (!w->row && !(w->row = env_alloc(w->env, stride))) return NACRE_RESOURCE_EXHAUSTED;
        element_decode(w->element, vector.data, w->shape.dimensions, w->row);
        row = w->row;
    }
    if (w->book) return codes_encode(w, row);
    if (!w->first) {
        size_t room = FIRST_BYTES / stride;
        room = room > CODES_MIN ? CODES_MIN : room < FIRST_LEAST ? FIRST_LEAST : room;
        if (!(w->first = env_alloc(w->env, room * stride))) return NACRE_RESOURCE_EXHAUSTED;
        w->first_room = (uint32_t)room;
    }
    memcpy((uint8_t *)w->first + w->first_count++ * stride, row, stride);
    return w->first_count == w->first_room ? codes_begin(w) : NACRE_OK;
}

/* Codes are a help: where there is no memory for them, there are none. */
nacre_status codes_writer_add(CodesWriter *w, Span vector) {
    if (!w->coded) return NACRE_OK;
    nacre_error error = w->env->error;
    nacre_status status = codes_add(w, vector);
    if (status != NACRE_RESOURCE_EXHAUSTED) return status;
    w->env->error = error;
    codes_writer_clear(w);
    return NACRE_OK;
}

/* ---- the layout ---- */

typedef struct CodesLayout {
    uint32_t *ends, *counts; /* of each list: blocks, and lanes; `counts` first of all, then lanes placed */
    uint32_t *order;         /* rows, list by list */
    uint32_t lists, blocks;
} CodesLayout;

static void codes_layout_clear(const CodesWriter *w, CodesLayout *l) {
    env_free(w->env, l->ends, 2 * (size_t)l->lists * sizeof *l->ends);
    env_free(w->env, l->order, (size_t)w->count * sizeof *l->order);
}

/* Rows by list, in their order: a counting sort. */
static nacre_status codes_lay_out(const CodesWriter *w, CodesLayout *l) {
    l->lists = w->book->lists;
    l->ends = env_alloc_zeroed(w->env, 2 * (size_t)l->lists * sizeof *l->ends);
    l->order = env_alloc(w->env, (size_t)w->count * sizeof *l->order);
    if (!l->ends || !l->order) return NACRE_RESOURCE_EXHAUSTED;
    l->counts = l->ends + l->lists;
    for (uint32_t i = 0; i < w->count; i++) l->counts[w->lists ? w->lists[i] : 0]++;
    uint32_t rows = 0;
    for (uint32_t list = 0; list < l->lists; list++) {
        l->ends[list] = rows; /* where its rows begin, for now */
        rows += l->counts[list];
    }
    for (uint32_t i = 0; i < w->count; i++) l->order[l->ends[w->lists ? w->lists[i] : 0]++] = i;
    for (uint32_t list = 0; list < l->lists; list++) {
        l->blocks += (l->counts[list] + CODE_LANES - 1) / CODE_LANES;
        l->ends[list] = l->blocks;
    }
    return NACRE_OK;
}

/* One block of up to 32 rows. */
static void codes_put_block(const CodesWriter *w, const uint32_t *rows, uint32_t count, uint8_t *gathered,
                            uint8_t *block) {
    CodeFactors factors[CODE_LANES];
    size_t size = code_size(&w->shape);
    for (uint32_t i = 0; i < count; i++) {
        memcpy(gathered + i * size, w->codes + rows[i] * size, size);
        factors[i] = w->factors[rows[i]];
    }
    code_block_pack(&w->shape, gathered, size, factors, count, block);
}

static size_t codes_blocks_at(const CodesLayout *l) {
    size_t numbers = 2 * (size_t)l->lists + (l->lists > 1 ? (size_t)l->blocks * CODE_LANES : 0);
    return (size_t)round_up(CODES_BODY_HEAD + 4 * numbers, CODES_ALIGN);
}

static nacre_status codes_put_body(const CodesWriter *w, const CodesLayout *l, uint8_t *body, size_t size) {
    size_t block_size = code_block_size(&w->shape);
    uint8_t *gathered = env_alloc(w->env, CODE_LANES * code_size(&w->shape));
    if (!gathered) return NACRE_RESOURCE_EXHAUSTED;
    ByteWriter b = {body, body + size};
    bw_u32(&b, w->count);
    bw_u32(&b, l->blocks);
    bw_u32(&b, l->lists);
    bw_u32(&b, 0);
    for (uint32_t i = 0; i < l->lists; i++) bw_u32(&b, l->ends[i]);
    for (uint32_t i = 0; i < l->lists; i++) bw_u32(&b, l->counts[i]);
    uint8_t *block = body + codes_blocks_at(l);
    const uint32_t *rows = l->order;
    for (uint32_t list = 0; list < l->lists; list++)
        for (uint32_t left = l->counts[list], part; left > 0; left -= part, rows += part, block += block_size) {
            part = left < CODE_LANES ? left : CODE_LANES;
            codes_put_block(w, rows, part, gathered, block);
            for (uint32_t i = 0; i < CODE_LANES && l->lists > 1; i++) bw_u32(&b, i < part ? rows[i] : 0);
        }
    env_free(w->env, gathered, CODE_LANES * code_size(&w->shape));
    return NACRE_OK;
}

nacre_status codes_writer_end(CodesWriter *w, CodesPart *part) {
    CodesLayout layout = {0};
    nacre_status status = NACRE_OK;
    *part = (CodesPart){0};
    if (!w->env) return NACRE_OK;
    nacre_error error = w->env->error;
    if (!w->coded || w->count < CODES_MIN) goto out;
    TRY_OUT(codes_lay_out(w, &layout));
    uint64_t book_size = codebook_bytes(w->book), body_at = round_up(book_size, CODES_ALIGN);
    uint64_t body_size = round_up(codes_blocks_at(&layout) + layout.blocks * (uint64_t)code_block_size(&w->shape), CODES_ALIGN);
    if (body_at + body_size > UINT32_MAX / 2)
        TRY_OUT(env_fail(w->env, NACRE_RESOURCE_EXHAUSTED, "membrane %u: codes too large for a segment", w->membrane));
    part->book_size = (size_t)book_size;
    part->body_size = (size_t)body_size;
    part->size = (size_t)(body_at + body_size);
    if (!(part->bytes = env_alloc_zeroed(w->env, part->size))) TRY_OUT(NACRE_RESOURCE_EXHAUSTED);
    codebook_write(w->book, part->bytes);
    TRY_OUT(codes_put_body(w, &layout, part->bytes + body_at, part->body_size));
out:
    codes_layout_clear(w, &layout);
    Env *env = w->env;
    if (status != NACRE_OK) codes_part_clear(env, part);
    codes_writer_clear(w);
    if (status != NACRE_RESOURCE_EXHAUSTED) return status;
    env->error = error;
    return NACRE_OK;
}

void codes_part_clear(Env *env, CodesPart *part) {
    env_free(env, part->bytes, part->size);
    *part = (CodesPart){0};
}
