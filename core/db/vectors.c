/* vectors.c - finds the codebook that a membrane's vectors are coded with, and trains those
 * with lists, in steps, before a merge into the last level begins to write. A codebook lives in
 * the segments that are coded with it: what is trained and never used is forgotten at close. */
#include "db/vectors.h"

#include "segment/codes.h"
#include "vector/train.h"

enum {
    DIMENSIONS_MIN = 32,      /* below, codes tell too little */
    CODED_MEMORY_MIN = 8 << 20, /* of the budget: with less there is no room for them while they are written */
    TRAIN_GROWTH = 3,         /* times more lists wanted than there are: they are trained anew */
    TRAIN_MEMORY_SHARE = 4,   /* of the budget, for a sample */
    SAMPLE_RUN = 4,           /* neighbouring vectors read at a place */
    ROWS_PER_LIST = 200,
    WORK_SHARE = 4,           /* a unit of training costs as much as copying so many vectors */
    UNITS_AT_ONCE = 64,
};

/* ---- the code host ---- */

static bool vectors_shape(void *self, uint32_t membrane, CodeShape *shape, Element *element) {
    const Db *db = self;
    const Membrane *m = catalog_by_id(db, membrane);
    if (db->options.memory < CODED_MEMORY_MIN || !m || m->schema.kind != NACRE_COLLECTION || m->schema.dimensions < DIMENSIONS_MIN) return false;
    if (m->schema.element == NACRE_BIT) return false;
    *element = (Element)m->schema.element;
    *shape = (CodeShape){.dimensions = m->schema.dimensions,
                         .padded = code_padded(m->schema.dimensions),
                         .bits = m->schema.bits,
                         .metric = (Metric)m->schema.metric};
    return true;
}

/* What a segment is coded with; NULL also where that is damaged: a merge makes it anew. Opening a
 * codebook tells the shelf of it. */
static nacre_status vectors_codebook(Db *db, Segment *segment, uint32_t membrane, Codebook **book) {
    nacre_error error = db->env.error;
    nacre_status status = segment_codebook(segment, membrane, book);
    if (status != NACRE_CORRUPT) return status;
    db->env.error = error;
    return NACRE_OK;
}

static nacre_status vectors_look(Db *db, uint32_t membrane) {
    for (size_t i = db->version->count; i > 0; i--) {
        const Run *run = &db->version->runs[i - 1];
        for (size_t s = 0; s < run->count; s++) {
            Codebook *book;
            if (segment_spans(run->segments[s], membrane)) TRY(vectors_codebook(db, run->segments[s], membrane, &book));
        }
    }
    return NACRE_OK;
}

static nacre_status vectors_find(void *self, uint32_t membrane, bool lists, Codebook **book) {
    Db *db = self;
    ShelfPlace *place = shelf_place(&db->shelf, membrane);
    *book = NULL;
    if (!place) return NACRE_RESOURCE_EXHAUSTED;
    if (!place->looked) {
        TRY(vectors_look(db, membrane));
        place = shelf_place(&db->shelf, membrane);
        if (!place) return NACRE_RESOURCE_EXHAUSTED;
        place->looked = true;
    }
    *book = lists && place->lists ? place->lists : place->flat;
    return NACRE_OK;
}

static void vectors_learn(void *self, uint32_t membrane, Codebook *book) {
    Db *db = self;
    shelf_learn(&db->shelf, membrane, book);
}

void vectors_init(Db *db) {
    db->shelf = (Shelf){.env = &db->env};
    db->code_host = (CodeHost){vectors_shape, vectors_find, vectors_learn, db};
    db->io.kernels = db->kernels;
    db->io.code_host = &db->code_host;
    db->io.shelf = &db->shelf;
    db->unlisted = true; /* not known */
}

void vectors_clear(Db *db) { shelf_clear(&db->shelf); }

/* ---- what is there ---- */

typedef struct VectorCount {
    uint32_t membrane;
    uint64_t slots, listed; /* listed: of them, in segments whose codes have lists */
} VectorCount;

typedef struct VectorCounts {
    VectorCount *items; /* in the order they were met */
    size_t count, capacity;
} VectorCounts;

static nacre_status counts_add(Db *db, VectorCounts *counts, const Section *section, bool listed) {
    size_t at = 0;
    while (at < counts->count && counts->items[at].membrane != section->membrane) at++;
    if (at == counts->count) {
        void *items = counts->items;
        TRY(env_grow(&db->env, &items, &counts->capacity, at + 1, sizeof *counts->items));
        counts->items = items;
        counts->items[counts->count++] = (VectorCount){.membrane = section->membrane};
    }
    counts->items[at].slots += section->slot_count;
    if (listed) counts->items[at].listed += section->slot_count;
    return NACRE_OK;
}

static nacre_status counts_of_segment(Db *db, Segment *segment, VectorCounts *counts) {
    CacheEntry *pin = NULL;
    nacre_status status = NACRE_OK;
    if (segment->streams[STREAM_VECTORS].size == 0) return NACRE_OK;
    TRY(segment_pin_meta(segment, &pin));
    for (uint32_t i = 0; i < segment->meta.section_count && status == NACRE_OK; i++) {
        Section section = segment_section(segment, i);
        Codebook *book = NULL;
        if (section.slot_count == 0) continue;
        status = vectors_codebook(db, segment, section.membrane, &book);
        if (status == NACRE_OK) status = counts_add(db, counts, &section, book && book->lists > 1);
    }
    cache_unpin(&db->cache, pin);
    return status;
}

/* Are so many vectors of a membrane to be in lists? */
static bool vectors_may_have_lists(Db *db, uint32_t membrane, uint64_t count) {
    const Membrane *m = catalog_by_id(db, membrane);
    CodeShape shape;
    Element element;
    if (!m || m->schema.index == SCHEMA_FLAT) return false;
    if (count < (m->schema.index == SCHEMA_IVF ? LISTS_ROWS_ASKED : LISTS_ROWS)) return false;
    return vectors_shape(db, membrane, &shape, &element);
}

nacre_status vectors_want_lists(Db *db, const Run *run, bool *wanted) {
    VectorCounts counts = {0};
    nacre_status status = NACRE_OK;
    *wanted = false;
    for (size_t s = 0; s < run->count && status == NACRE_OK; s++)
        status = counts_of_segment(db, run->segments[s], &counts);
    for (size_t i = 0; i < counts.count && status == NACRE_OK; i++) {
        const VectorCount *c = &counts.items[i];
        *wanted |= c->listed < c->slots / 2 && vectors_may_have_lists(db, c->membrane, c->slots);
    }
    env_free(&db->env, counts.items, counts.capacity * sizeof *counts.items);
    return status;
}

/* ---- training ---- */

struct Training {
    Segment **segments; /* of the merge's inputs, those with vectors; a reference on each */
    size_t segment_count, segments_capacity;
    VectorCounts counts;
    size_t at;          /* the membrane under way */
    Trainer *trainer;   /* NULL: the next one is to begin */
    uint32_t sampled;   /* places read */
    uint32_t places;
    uint32_t missing;   /* rows that the trainer still wants */
    Element element;
    uint8_t *stored; /* a row as it is stored, and as floats */
    float *row;
    size_t stored_size, row_size; /* bytes */
};

void training_free(Db *db, Training *t) {
    Env *env = &db->env;
    if (!t) return;
    for (size_t i = 0; i < t->segment_count; i++) segment_release(t->segments[i]);
    env_free(env, t->segments, t->segments_capacity * sizeof *t->segments);
    env_free(env, t->counts.items, t->counts.capacity * sizeof *t->counts.items);
    env_free(env, t->stored, t->stored_size);
    env_free(env, t->row, t->row_size);
    trainer_free(t->trainer);
    env_free(env, t, sizeof *t);
}

/* Is a new codebook worth its training? */
static nacre_status training_wants(Db *db, const VectorCount *c, bool *wants) {
    Codebook *book = NULL;
    uint64_t lists = c->slots / ROWS_PER_LIST;
    *wants = false;
    if (!vectors_may_have_lists(db, c->membrane, c->slots)) return NACRE_OK;
    TRY(vectors_find(db, c->membrane, true, &book));
    if (lists > LISTS_MAX) lists = LISTS_MAX;
    *wants = !book || book->lists == 1 || lists >= (uint64_t)TRAIN_GROWTH * book->lists;
    return NACRE_OK;
}

static nacre_status training_collect(Db *db, const Run *runs, size_t count, Training *t) {
    for (size_t r = 0; r < count; r++)
        for (size_t s = 0; s < runs[r].count; s++) {
            Segment *segment = runs[r].segments[s];
            if (segment->streams[STREAM_VECTORS].size == 0) continue;
            void *segments = t->segments;
            TRY(env_grow(&db->env, &segments, &t->segments_capacity, t->segment_count + 1, sizeof *t->segments));
            t->segments = segments;
            segment_retain(segment);
            t->segments[t->segment_count++] = segment;
            TRY(counts_of_segment(db, segment, &t->counts));
        }
    size_t kept = 0;
    for (size_t i = 0; i < t->counts.count; i++) {
        bool wants = false;
        TRY(training_wants(db, &t->counts.items[i], &wants));
        if (wants) t->counts.items[kept++] = t->counts.items[i];
    }
    t->counts.count = kept;
    return NACRE_OK;
}

void training_begin(Db *db, const Run *runs, size_t count, Training **training) {
    nacre_error error = db->env.error;
    Training *t = env_alloc_zeroed(&db->env, sizeof *t);
    nacre_status status = t ? training_collect(db, runs, count, t) : NACRE_RESOURCE_EXHAUSTED;
    if (status != NACRE_OK || t->counts.count == 0) {
        training_free(db, t);
        t = NULL;
    }
    db->env.error = error;
    *training = t;
}

/* Vector number `at` of the membrane's in all inputs, and those behind it, as many as are wanted
 * and in its segment. */
static nacre_status training_read(Db *db, Training *t, uint64_t at, uint32_t wanted, uint64_t *work) {
    uint32_t membrane = t->counts.items[t->at].membrane;
    for (size_t i = 0; i < t->segment_count; i++) {
        CacheEntry *pin = NULL;
        Section section;
        if (!segment_spans(t->segments[i], membrane)) continue;
        TRY(segment_pin_meta(t->segments[i], &pin));
        nacre_status status = NACRE_OK;
        bool here = segment_find_section(t->segments[i], membrane, &section);
        bool hit = here && at < section.slot_count;
        for (uint32_t k = 0; hit && k < wanted && at + k < section.slot_count && status == NACRE_OK; k++) {
            if (section.stride != t->stored_size) status = NACRE_CORRUPT;
            else status = segment_read_vector(t->segments[i], &section, section.first_slot + (uint32_t)at + k, t->stored);
            if (status != NACRE_OK) break;
            element_decode(t->element, t->stored, (size_t)t->row_size / 4, t->row);
            status = trainer_add(t->trainer, t->row);
            t->missing--;
            *work += section.stride;
        }
        cache_unpin(&db->cache, pin);
        TRY(status);
        if (hit) return NACRE_OK;
        if (here) at -= section.slot_count;
    }
    return NACRE_OK;
}

static nacre_status training_start(Db *db, Training *t) {
    const VectorCount *c = &t->counts.items[t->at];
    CodeShape shape;
    if (!vectors_shape(db, c->membrane, &shape, &t->element)) return NACRE_NOT_FOUND; /* dropped meanwhile */
    env_free(&db->env, t->stored, t->stored_size);
    env_free(&db->env, t->row, t->row_size);
    t->stored_size = element_size(t->element, shape.dimensions);
    t->row_size = (size_t)shape.dimensions * 4;
    t->row = env_alloc(&db->env, t->row_size);
    t->stored = env_alloc(&db->env, t->stored_size);
    if (!t->row || !t->stored) return NACRE_RESOURCE_EXHAUSTED;
    TRY(trainer_create(&db->env, db->kernels, &shape, 0, c->slots, 0, (size_t)(db->options.memory / TRAIN_MEMORY_SHARE), &t->trainer));
    t->missing = trainer_wants(t->trainer);
    t->places = (t->missing + SAMPLE_RUN - 1) / SAMPLE_RUN;
    t->sampled = 0;
    return NACRE_OK;
}

/* A bit of work on the membrane under way; *done: its codebook is on the shelf. */
static nacre_status training_advance(Db *db, Training *t, uint64_t *work, bool *done) {
    const VectorCount *c = &t->counts.items[t->at];
    *done = false;
    if (!t->trainer) TRY(training_start(db, t));
    if (t->sampled < t->places) {
        uint64_t at = c->slots * t->sampled / t->places;
        t->sampled++;
        return training_read(db, t, at, t->missing < SAMPLE_RUN ? t->missing : SAMPLE_RUN, work);
    }
    bool trained = false;
    TRY(trainer_step(t->trainer, UNITS_AT_ONCE, &trained));
    *work += (uint64_t)WORK_SHARE * UNITS_AT_ONCE * t->row_size;
    if (!trained) return NACRE_OK;
    Codebook *book = NULL;
    TRY(trainer_take(t->trainer, &book));
    shelf_learn(&db->shelf, c->membrane, book);
    codebook_release(book);
    *done = true;
    return NACRE_OK;
}

void training_step(Db *db, Training **training, double budget, uint64_t *work) {
    Training *t = *training;
    while (t->at < t->counts.count && (double)*work < budget) {
        nacre_error error = db->env.error;
        bool done = false;
        nacre_status status = training_advance(db, t, work, &done);
        if (status == NACRE_OK && !done) continue;
        db->env.error = error; /* what cannot be trained goes on without lists */
        trainer_free(t->trainer);
        t->trainer = NULL;
        t->at++;
    }
    if (t->at < t->counts.count) return;
    training_free(db, t);
    *training = NULL;
}
