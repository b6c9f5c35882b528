/* codes.c - reads STREAM_CODES. The directory is read once and kept with the segment, so are
 * the codebooks once they are asked for; bodies are entries of the cache, whole. */
#include "segment/codes.h"

#include "segment/codes_format.h"
#include "segment/spare.h"

#define PLACE_CODES(entry) ((uint64_t)STREAM_CODES << 56 | (entry))

struct CodesEntry {
    uint32_t membrane;
    uint32_t book_size, body_size;
    uint64_t offset, book_checksum, body_checksum;
    Codebook *book;   /* NULL: not read yet */
    CacheEntry *body; /* NULL: not in the cache */
    uint32_t *lanes;  /* of each slot; NULL: not asked for yet */
    size_t lane_count;
};

static nacre_status codes_corrupt(const Segment *segment, uint64_t offset, const char *what) {
    return env_fail(segment->io->env, NACRE_CORRUPT, "%s: offset %llu: segment %llu: codes: %s", segment->io->data->name,
                    (unsigned long long)segment_place(segment, STREAM_CODES, offset), (unsigned long long)segment->id, what);
}

void segment_leave_codes(Segment *segment) {
    for (uint32_t i = 0; i < segment->codes_count; i++) {
        cache_leave(segment->io->cache, &segment->codes[i].body);
        codebook_release(segment->codes[i].book);
        env_free(segment->io->env, segment->codes[i].lanes, segment->codes[i].lane_count * sizeof(uint32_t));
    }
    env_free(segment->io->env, segment->codes, segment->codes_count * sizeof *segment->codes);
    segment->codes = NULL;
    segment->codes_count = 0;
}

/* ---- the directory ---- */

static nacre_status codes_read(const Segment *segment, uint64_t offset, uint8_t *into, size_t size, uint64_t number,
                               uint64_t checksum, const char *what) {
    TRY(data_read(segment->io->data, &segment->streams[STREAM_CODES].extents, offset, into, size));
    if (checksum64(place_seed(segment->id, STREAM_CODES, number), into, size) == checksum) return NACRE_OK;
    return codes_corrupt(segment, offset, what);
}

/* Parts follow each other from the stream's beginning to the directory, membranes rise. */
static bool codes_parse_directory(const uint8_t *bytes, uint32_t count, uint64_t end, struct CodesEntry *entries) {
    uint64_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *e = bytes + (size_t)CODES_ENTRY_SIZE * i;
        entries[i] = (struct CodesEntry){.membrane = get_u32(e),
                                         .offset = get_u64(e + 8),
                                         .book_size = get_u32(e + 16),
                                         .body_size = get_u32(e + 20),
                                         .book_checksum = get_u64(e + 24),
                                         .body_checksum = get_u64(e + 32)};
        if (entries[i].offset != at || (i && entries[i].membrane <= entries[i - 1].membrane)) return false;
        at += round_up(entries[i].book_size, CODES_ALIGN) + entries[i].body_size;
        if (at > end) return false;
    }
    return at == end;
}

static nacre_status codes_open_directory(Segment *segment) {
    Env *env = segment->io->env;
    uint64_t size = segment->streams[STREAM_CODES].size;
    uint8_t tail[CODES_TAIL_SIZE];
    if (segment->codes || size == 0) return NACRE_OK;
    if (size < CODES_TAIL_SIZE) return codes_corrupt(segment, 0, "directory");
    TRY(data_read(segment->io->data, &segment->streams[STREAM_CODES].extents, size - CODES_TAIL_SIZE, tail, sizeof tail));
    uint32_t count = get_u32(tail);
    uint64_t entries_size = (uint64_t)count * CODES_ENTRY_SIZE, end = size - CODES_TAIL_SIZE;
    if (count == 0 || entries_size > end || entries_size > UINT32_MAX / 2)
        return codes_corrupt(segment, end, "directory");
    uint64_t offset = end - entries_size;
    size_t bytes_size = (size_t)entries_size + 8;
    uint8_t *bytes = env_alloc(env, bytes_size);
    struct CodesEntry *entries = env_alloc_zeroed(env, count * sizeof *entries);
    nacre_status status = bytes && entries ? NACRE_OK : NACRE_RESOURCE_EXHAUSTED;
    if (status == NACRE_OK)
        status = codes_read(segment, offset, bytes, bytes_size, CODES_DIRECTORY_NUMBER, get_u64(tail + 8), "directory: checksum");
    if (status == NACRE_OK && !codes_parse_directory(bytes, count, offset, entries))
        status = codes_corrupt(segment, offset, "directory");
    env_free(env, bytes, bytes_size);
    if (status != NACRE_OK) {
        env_free(env, entries, count * sizeof *entries);
        return status;
    }
    segment->codes = entries;
    segment->codes_count = count;
    return NACRE_OK;
}

/* *entry NULL: the membrane's vectors have no codes here. */
static nacre_status codes_find(Segment *segment, uint32_t membrane, struct CodesEntry **entry) {
    *entry = NULL;
    TRY(codes_open_directory(segment));
    uint32_t low = 0, high = segment->codes_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct CodesEntry *e = &segment->codes[middle];
        if (e->membrane == membrane) {
            *entry = e;
            return NACRE_OK;
        }
        if (e->membrane < membrane) low = middle + 1;
        else high = middle;
    }
    return NACRE_OK;
}

/* ---- the codebook ---- */

static nacre_status codes_open_book(Segment *segment, struct CodesEntry *e) {
    const SegmentIo *io = segment->io;
    if (e->book) return NACRE_OK;
    uint8_t *bytes = env_alloc(io->env, e->book_size);
    if (!bytes) return NACRE_RESOURCE_EXHAUSTED;
    nacre_status status = codes_read(segment, e->offset, bytes, e->book_size,
                                     codes_book_number((size_t)(e - segment->codes)), e->book_checksum, "codebook: checksum");
    if (status == NACRE_OK && io->shelf && e->book_size >= 8) { /* segments coded alike share one */
        e->book = shelf_known(io->shelf, get_u64(bytes));
        if (e->book) codebook_retain(e->book);
    }
    if (status == NACRE_OK && !e->book) status = codebook_read(io->env, io->kernels, span_of(bytes, e->book_size), &e->book);
    env_free(io->env, bytes, e->book_size);
    if (status == NACRE_OK && io->shelf) shelf_learn(io->shelf, e->membrane, e->book);
    return status;
}

nacre_status segment_codebook(Segment *segment, uint32_t membrane, Codebook **book) {
    struct CodesEntry *e;
    *book = NULL;
    TRY(codes_find(segment, membrane, &e));
    if (!e) return NACRE_OK;
    TRY(codes_open_book(segment, e));
    *book = e->book;
    return NACRE_OK;
}

/* ---- the body ---- */

/* Numbers are believed only when they all agree; slots in any case are below `slots`. */
static bool codes_parse_body(Span bytes, const Codebook *book, SegmentCodes *c) {
    ByteReader r = br_over(bytes);
    c->slots = br_u32(&r);
    c->blocks = br_u32(&r);
    uint32_t lists = br_u32(&r), end = 0;
    uint64_t rows = 0;
    if (br_u32(&r) != 0 || lists != book->lists) return false;
    c->ends = br_bytes(&r, 4 * (uint64_t)lists).data;
    c->counts = br_bytes(&r, 4 * (uint64_t)lists).data;
    c->numbers = lists > 1 ? br_bytes(&r, 4 * (uint64_t)CODE_LANES * c->blocks).data : NULL;
    if (!br_ok(&r)) return false;
    size_t at = (size_t)round_up(bytes.size - br_left(&r), CODES_ALIGN);
    if (at > bytes.size || c->blocks > (bytes.size - at) / code_block_size(&book->shape)) return false;
    c->block = bytes.data + at;
    for (uint32_t list = 0; list < lists; list++) {
        uint32_t count = codes_list_count(c, list), next = codes_list_end(c, list);
        if (next < end || (uint64_t)(next - end) != ((uint64_t)count + CODE_LANES - 1) / CODE_LANES) return false;
        end = next;
        rows += count;
    }
    if (end != c->blocks || rows != c->slots) return false;
    for (size_t i = 0; c->numbers && i < (size_t)c->blocks * CODE_LANES; i++)
        if (get_u32(c->numbers + 4 * i) >= c->slots) return false;
    return true;
}

/* Where its body begins, in the stream. */
static uint64_t codes_body_at(const struct CodesEntry *e) { return e->offset + round_up(e->book_size, CODES_ALIGN); }

static nacre_status codes_read_body(Segment *segment, struct CodesEntry *e, SegmentCodes *c, CacheEntry **pin) {
    Cache *cache = segment->io->cache;
    size_t index = (size_t)(e - segment->codes);
    TRY(cache_add(cache, segment->id, PLACE_CODES(index), e->body_size, pin));
    nacre_status status = codes_read(segment, codes_body_at(e), (*pin)->data, e->body_size,
                                     codes_body_number(index), e->body_checksum, "checksum");
    if (status == NACRE_OK && !codes_parse_body(span_of((*pin)->data, e->body_size), e->book, c))
        status = codes_corrupt(segment, codes_body_at(e), "structure");
    if (status != NACRE_OK) {
        cache_abandon(cache, *pin);
        *pin = NULL;
        return status;
    }
    cache_publish(cache, *pin, &e->body);
    return NACRE_OK;
}

/* Of a body that was found right when it came into the cache. */
static void codes_reopen(const CacheEntry *pin, const Codebook *book, SegmentCodes *c) {
    size_t lists = book->lists, at = CODES_BODY_HEAD + 8 * lists;
    c->slots = get_u32(pin->data);
    c->blocks = get_u32(pin->data + 4);
    c->ends = pin->data + CODES_BODY_HEAD;
    c->counts = c->ends + 4 * lists;
    c->numbers = lists > 1 ? c->counts + 4 * lists : NULL;
    if (c->numbers) at += 4 * (size_t)CODE_LANES * c->blocks;
    c->block = pin->data + round_up(at, CODES_ALIGN);
}

/* The body of an entry, pinned; *pin is NULL on failure. */
static nacre_status codes_open_body(Segment *segment, struct CodesEntry *e, SegmentCodes *c, CacheEntry **pin) {
    *pin = NULL;
    TRY(codes_open_book(segment, e));
    c->book = e->book;
    if (!e->body) return codes_read_body(segment, e, c, pin);
    cache_pin(segment->io->cache, e->body);
    *pin = e->body;
    codes_reopen(*pin, e->book, c);
    return NACRE_OK;
}

nacre_status segment_codes(Segment *segment, uint32_t membrane, uint32_t slot_count, uint32_t dimensions,
                           SegmentCodes *codes, CacheEntry **pin) {
    struct CodesEntry *e;
    *pin = NULL;
    TRY(codes_find(segment, membrane, &e));
    if (!e) return NACRE_OK;
    TRY(codes_open_body(segment, e, codes, pin));
    if (codes->slots == slot_count && (dimensions == 0 || e->book->shape.dimensions == dimensions)) return NACRE_OK;
    cache_unpin(segment->io->cache, *pin);
    *pin = NULL;
    return codes_corrupt(segment, e->offset, "of other vectors");
}

/* ---- codes for another segment ---- */

static nacre_status codes_find_lanes(Segment *segment, struct CodesEntry *e, const SegmentCodes *c) {
    if (e->lanes || !c->numbers) return NACRE_OK;
    if (!(e->lanes = env_alloc_zeroed(segment->io->env, c->slots * sizeof *e->lanes))) return NACRE_RESOURCE_EXHAUSTED;
    e->lane_count = c->slots;
    for (uint32_t list = 0, block = 0; list < e->book->lists; list++) {
        uint32_t count = codes_list_count(c, list);
        for (uint32_t i = 0; i < count; i++)
            e->lanes[codes_slot(c, block + i / CODE_LANES, i % CODE_LANES)] = block * CODE_LANES + i;
        block = codes_list_end(c, list);
    }
    return NACRE_OK;
}

/* The list of a block: the first that ends behind it. */
static uint32_t codes_list_of(const SegmentCodes *c, uint32_t block) {
    uint32_t low = 0, high = c->book->lists - 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (codes_list_end(c, middle) <= block) low = middle + 1;
        else high = middle;
    }
    return low;
}

static nacre_status codes_copy(Segment *segment, const Section *section, uint32_t slot, const Codebook *book,
                               uint8_t *code, CodeFactors *factors, uint32_t *list, bool *copied) {
    struct CodesEntry *e;
    SegmentCodes c;
    CacheEntry *pin;
    TRY(codes_find(segment, section->membrane, &e));
    if (!e) return NACRE_OK;
    TRY(codes_open_book(segment, e));
    if (e->book->id != book->id) return NACRE_OK;
    TRY(codes_open_body(segment, e, &c, &pin));
    nacre_status status = codes_find_lanes(segment, e, &c);
    if (status == NACRE_OK && c.slots == section->slot_count && slot < c.slots) {
        uint32_t at = c.numbers ? e->lanes[slot] : slot;
        *list = codes_list_of(&c, at / CODE_LANES);
        code_block_lane(&book->shape, c.block + at / CODE_LANES * code_block_size(&book->shape), at % CODE_LANES, code, factors);
        *copied = true;
    }
    cache_unpin(segment->io->cache, pin);
    return status;
}

void segment_copy_code(Segment *segment, const Section *section, uint32_t slot, const Codebook *book, uint8_t *code,
                       CodeFactors *factors, uint32_t *list, bool *copied) {
    Env *env = segment->io->env;
    nacre_error error = env->error;
    *copied = false;
    if (segment->streams[STREAM_CODES].size == 0) return;
    if (codes_copy(segment, section, slot, book, code, factors, list, copied) != NACRE_OK) env->error = error;
}

/* ---- verify ---- */

/* Each slot has a lane. */
static nacre_status codes_check_slots(Segment *segment, const struct CodesEntry *e, const SegmentCodes *c) {
    Env *env = segment->io->env;
    size_t size = c->slots / 8 + 1;
    uint8_t *seen = env_alloc_zeroed(env, size);
    bool right = true;
    if (!seen) return NACRE_RESOURCE_EXHAUSTED;
    for (uint32_t list = 0, block = 0; list < e->book->lists; list++) {
        uint32_t left = codes_list_count(c, list);
        for (; block < codes_list_end(c, list); block++)
            for (uint32_t lane = 0; lane < CODE_LANES && left > 0; lane++, left--) {
                uint32_t slot = codes_slot(c, block, lane);
                right &= !(seen[slot / 8] >> slot % 8 & 1);
                seen[slot / 8] |= (uint8_t)(1u << slot % 8);
            }
    }
    env_free(env, seen, size);
    return right ? NACRE_OK : codes_corrupt(segment, codes_body_at(e), "a vector has two");
}

nacre_status segment_verify_codes(Segment *segment) {
    TRY(codes_open_directory(segment));
    for (uint32_t i = 0; i < segment->codes_count; i++) {
        struct CodesEntry *e = &segment->codes[i];
        SegmentCodes codes;
        CacheEntry *pin = NULL;
        Section section;
        if (!segment_find_section(segment, e->membrane, &section) || section.slot_count == 0)
            return codes_corrupt(segment, e->offset, "of no section");
        /* What the cache has was right once: the file is asked. */
        cache_leave(segment->io->cache, &e->body);
        TRY(segment_codes(segment, e->membrane, section.slot_count, 0, &codes, &pin));
        nacre_status status = codes_check_slots(segment, e, &codes);
        cache_unpin(segment->io->cache, pin);
        TRY(status);
    }
    return NACRE_OK;
}
