/* version.c - edits of a state before it is published, and its manifest. Which edits
 * to make is decided in db/maintain.c. */
#include "store/version.h"

#include "base/checksum.h"
#include "store/superblock.h"

nacre_status version_alloc(Env *env, Version **all, Version **out) {
    Version *version = env_alloc_zeroed(env, sizeof *version);
    if (!version) return NACRE_RESOURCE_EXHAUSTED;
    version->env = env;
    version->references = 1;
    version->feed.tier = TIER_FEED;
    version->all = all;
    version->older = *all;
    if (*all) (*all)->newer = version;
    *all = version;
    *out = version;
    return NACRE_OK;
}

void run_clear(Env *env, Run *run) {
    for (size_t i = 0; i < run->count; i++) segment_release(run->segments[i]);
    env_free(env, run->segments, run->capacity * sizeof *run->segments);
    env_free(env, run->above, run->above_size);
    *run = (Run){0};
}

void version_retain(Version *version) { version->references++; }

void version_release(Version *version) {
    if (!version || --version->references > 0) return;
    for (size_t i = 0; i < version_run_count(version); i++) run_clear(version->env, version_run_at(version, i));
    env_free(version->env, version->runs, version->capacity * sizeof *version->runs);
    if (version->newer) version->newer->older = version->older;
    else *version->all = version->older;
    if (version->older) version->older->newer = version->newer;
    env_free(version->env, version, sizeof *version);
}

nacre_status version_insert_run(Version *version, size_t at, uint64_t id, uint32_t tier) {
    void *runs = version->runs;
    TRY(env_grow(version->env, &runs, &version->capacity, version->count + 1, sizeof(Run)));
    version->runs = runs;
    memmove(&version->runs[at + 1], &version->runs[at], (version->count - at) * sizeof(Run));
    version->runs[at] = (Run){.id = id, .tier = tier};
    version->count++;
    return NACRE_OK;
}

void version_remove_run(Version *version, size_t at) {
    run_clear(version->env, &version->runs[at]);
    version->count--;
    memmove(&version->runs[at], &version->runs[at + 1], (version->count - at) * sizeof(Run));
}

size_t version_find_run(const Version *version, uint64_t id) {
    size_t at = 0;
    while (at < version->count && version->runs[at].id != id) at++;
    return at;
}

static bool segment_same_place(const Segment *a, const Segment *b) {
    bool same = a->id == b->id;
    for (int k = 0; k < STREAM_COUNT && same; k++) {
        const ExtentList *x = &a->streams[k].extents, *y = &b->streams[k].extents;
        same = x->count == y->count && (x->count == 0 || memcmp(x->items, y->items, x->count * sizeof *x->items) == 0);
    }
    return same;
}

Segment *version_find_segment(const Version *version, const Segment *segment) {
    for (size_t i = 0; i < version_run_count(version); i++) {
        const Run *run = version_run_at(version, i);
        size_t low = 0, high = run->count;
        while (low < high) { /* the first that does not end before it begins */
            size_t middle = low + (high - low) / 2;
            if (span_compare(segment_last_key(run->segments[middle]), segment_first_key(segment)) < 0) low = middle + 1;
            else high = middle;
        }
        if (low < run->count && segment_same_place(run->segments[low], segment)) return run->segments[low];
    }
    return NULL;
}

nacre_status run_append(Env *env, Run *run, Segment *segment) {
    void *segments = run->segments;
    TRY(env_grow(env, &segments, &run->capacity, run->count + 1, sizeof *run->segments));
    run->segments = segments;
    run->segments[run->count++] = segment;
    segment_retain(segment);
    return NACRE_OK;
}

nacre_status run_set_above(Env *env, Run *run, Span above) {
    uint8_t *copy = NULL;
    if (above.size) {
        if (!(copy = env_alloc(env, above.size))) return NACRE_RESOURCE_EXHAUSTED;
        memcpy(copy, above.data, above.size);
    }
    env_free(env, run->above, run->above_size);
    run->above = copy;
    run->above_size = above.size;
    return NACRE_OK;
}

nacre_status run_trim(Env *env, Run *run, Span above) {
    /* The bound only rises: what an earlier, interrupted merge hid stays hidden, for it may
     * have dropped the deletions that hid it before. */
    if (run->above_size && span_compare(above, span_of(run->above, run->above_size)) <= 0) return NACRE_OK;
    TRY(run_set_above(env, run, above));
    size_t below = 0;
    while (below < run->count && span_compare(segment_last_key(run->segments[below]), above) <= 0)
        segment_release(run->segments[below++]);
    run->count -= below;
    memmove(run->segments, run->segments + below, run->count * sizeof *run->segments);
    return NACRE_OK;
}

void run_remove_first(Run *run) {
    segment_release(run->segments[0]);
    run->count--;
    memmove(run->segments, run->segments + 1, run->count * sizeof *run->segments);
}

nacre_status version_copy(const Version *from, Version **out) {
    Version *version = NULL;
    TRY(version_alloc(from->env, from->all, &version));
    nacre_status status = NACRE_OK;
    for (size_t i = 0; i < from->count; i++) {
        const Run *run = &from->runs[i];
        TRY_OUT(version_insert_run(version, i, run->id, run->tier));
        TRY_OUT(run_set_above(from->env, &version->runs[i], span_of(run->above, run->above_size)));
        for (size_t s = 0; s < run->count; s++)
            TRY_OUT(run_append(from->env, &version->runs[i], run->segments[s]));
    }
    version->feed.id = from->feed.id;
    for (size_t s = 0; s < from->feed.count; s++)
        TRY_OUT(run_append(from->env, &version->feed, from->feed.segments[s]));
    *out = version;
    version = NULL;
out:
    version_release(version);
    return status;
}

uint64_t run_bytes(const Run *run) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < run->count; i++) bytes += segment_bytes(run->segments[i]);
    return bytes;
}

uint64_t version_bytes(const Version *version) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < version_run_count(version); i++) bytes += run_bytes(version_run_at(version, i));
    return bytes;
}

uint64_t version_segments(const Version *version) {
    uint64_t count = 0;
    for (size_t i = 0; i < version_run_count(version); i++) count += version_run_at(version, i)->count;
    return count;
}

/* Many versions share most of their segments: each is marked once in a round. */
static void segment_mark(Segment *segment, ExtentMap *map, uint8_t mark) {
    if (segment->marked_round != map->rounds) segment->marked = 0;
    if (segment->marked & mark) return;
    segment->marked_round = map->rounds;
    segment->marked |= mark;
    for (int k = 0; k < STREAM_COUNT; k++) extent_map_mark(map, &segment->streams[k].extents, mark);
}

void version_mark(const Version *version, ExtentMap *map, uint8_t mark) {
    for (size_t i = 0; i < version_run_count(version); i++) {
        const Run *run = version_run_at(version, i);
        for (size_t s = 0; s < run->count; s++) segment_mark(run->segments[s], map, mark);
    }
}

/* ---- manifest ---- */

enum { MANIFEST_HEAD = 24, RUN_HEAD = 20, SEGMENT_HEAD = 64, STREAM_HEAD = 16 };

/* Runs that are written down: the feed only if there is any. */
static size_t manifest_run_count(const Version *version) { return version->count + (version->feed.count > 0); }

size_t manifest_size(const Version *version, size_t catalog_size) {
    size_t size = MANIFEST_HEAD + 4 + catalog_size + MANIFEST_SEAL_SIZE;
    for (size_t i = 0; i < manifest_run_count(version); i++) {
        const Run *run = version_run_at(version, i);
        size += RUN_HEAD + run->above_size;
        for (size_t s = 0; s < run->count; s++) {
            const Segment *segment = run->segments[s];
            size += SEGMENT_HEAD + 8 + segment->first_key_size + segment->last_key_size;
            for (int k = 0; k < STREAM_COUNT; k++)
                if (segment->streams[k].size)
                    size += STREAM_HEAD + extent_list_encoded_size(&segment->streams[k].extents);
        }
    }
    return size;
}

static void manifest_encode_segment(ByteWriter *w, const Segment *segment) {
    uint32_t streams = 0;
    for (int k = 0; k < STREAM_COUNT; k++) streams += segment->streams[k].size > 0;
    bw_u64(w, segment->id);
    bw_u32(w, segment->page_size);
    bw_u32(w, streams);
    bw_u64(w, segment->rows);
    bw_u64(w, segment->deletes);
    bw_u64(w, segment->first_expiry);
    bw_u64(w, segment->meta_offset);
    bw_u64(w, segment->meta_size);
    bw_u64(w, segment->meta_checksum);
    bw_u32(w, (uint32_t)segment->first_key_size);
    bw_bytes(w, segment_first_key(segment));
    bw_u32(w, (uint32_t)segment->last_key_size);
    bw_bytes(w, segment_last_key(segment));
    for (uint32_t k = 0; k < STREAM_COUNT; k++) {
        if (segment->streams[k].size == 0) continue;
        bw_u32(w, k);
        bw_u32(w, 0);
        bw_u64(w, segment->streams[k].size);
        extent_list_encode(w, &segment->streams[k].extents);
    }
}

void manifest_encode(const Version *version, ManifestIds ids, const ManifestTail *tail, uint8_t *out, size_t size) {
    ByteWriter w = {out, out + size};
    bw_u64(&w, ids.next_segment);
    bw_u64(&w, ids.next_run);
    bw_u32(&w, (uint32_t)manifest_run_count(version));
    bw_u32(&w, MANIFEST_SHAPE);
    for (size_t i = 0; i < manifest_run_count(version); i++) {
        const Run *run = version_run_at(version, i);
        bw_u64(&w, run->id);
        bw_u32(&w, run->tier);
        bw_u32(&w, (uint32_t)run->count);
        bw_u32(&w, (uint32_t)run->above_size);
        bw_bytes(&w, span_of(run->above, run->above_size));
        for (size_t s = 0; s < run->count; s++) manifest_encode_segment(&w, run->segments[s]);
    }
    bw_u32(&w, (uint32_t)tail->catalog.size);
    bw_bytes(&w, tail->catalog);
    bw_bytes(&w, span_of(MANIFEST_MAGIC, 8));
    bw_bytes(&w, span_of(tail->database_id, 16));
    bw_u64(&w, tail->generation);
    bw_u64(&w, tail->epoch);
    bw_u64(&w, tail->flushed_lsn);
    bw_u64(&w, checksum64(0, out, size - 8));
    ASSERT(w.at == w.end);
}

static nacre_status manifest_corrupt(SegmentIo *io, const char *what) {
    return env_fail(io->env, NACRE_CORRUPT, "%s: manifest: %s", io->data->name, what);
}

static nacre_status manifest_key(SegmentIo *io, ByteReader *r, Span *key) {
    *key = br_bytes(r, br_u32(r));
    if (!br_ok(r)) return manifest_corrupt(io, "cut short");
    return key->size < 4 ? manifest_corrupt(io, "a key without a membrane") : NACRE_OK;
}

static bool manifest_page_size_ok(uint32_t size) {
    return size >= SEGMENT_PAGE && size <= BLOCK_SIZE_MAX && (size & (size - 1)) == 0;
}

static nacre_status manifest_decode_streams(SegmentIo *io, ByteReader *r, uint32_t streams, uint64_t limit,
                                            Segment *segment) {
    for (uint32_t i = 0; i < streams; i++) {
        uint32_t kind = br_u32(r);
        (void)br_u32(r);
        uint64_t size = br_u64(r);
        if (!br_ok(r)) return manifest_corrupt(io, "cut short");
        if (kind >= STREAM_COUNT)
            return env_fail(io->env, NACRE_VERSION, "%s: manifest: a stream of a later version", io->data->name);
        Stream *stream = &segment->streams[kind];
        if (stream->size || size == 0) return manifest_corrupt(io, "streams");
        TRY(extent_list_decode(io->env, io->data->name, r, limit, &stream->extents));
        stream->size = size;
        uint64_t room = (uint64_t)stream->extents.count * EXTENT_SIZE;
        if (size > room || room - size >= EXTENT_SIZE) return manifest_corrupt(io, "a stream and its extents differ");
    }
    return NACRE_OK;
}

nacre_status run_append_checked(SegmentIo *io, Run *run, Segment *segment) {
    uint64_t rows_size = segment->streams[STREAM_ROWS].size; /* a block has a page at least, and at most 65 535 rows */
    bool right = manifest_page_size_ok(segment->page_size) && segment->rows > 0 &&
                 segment->rows <= rows_size / segment->page_size * UINT16_MAX &&
                 segment->deletes <= segment->rows && segment->meta_offset <= rows_size &&
                 segment->meta_size <= rows_size - segment->meta_offset &&
                 segment->meta_offset % segment->page_size == 0 &&
                 span_compare(segment_first_key(segment), segment_last_key(segment)) <= 0;
    if (right && run->count)
        right = span_compare(segment_last_key(run->segments[run->count - 1]), segment_first_key(segment)) < 0;
    return right ? run_append(io->env, run, segment) : manifest_corrupt(io, "a segment that cannot be");
}

static nacre_status manifest_decode_segment(SegmentIo *io, ByteReader *r, uint32_t shape, uint64_t limit, Run *run) {
    Segment *segment = NULL;
    nacre_status status = NACRE_OK;
    TRY(segment_alloc(io, br_u64(r), &segment));
    segment->page_size = br_u32(r);
    uint32_t streams = br_u32(r);
    segment->rows = br_u64(r);
    segment->deletes = br_u64(r);
    segment->first_expiry = shape ? br_u64(r) : 0;
    segment->meta_offset = br_u64(r);
    segment->meta_size = br_u64(r);
    segment->meta_checksum = br_u64(r);
    Span first, last;
    TRY_OUT(manifest_key(io, r, &first));
    TRY_OUT(manifest_key(io, r, &last));
    TRY_OUT(segment_set_keys(segment, first, last));
    TRY_OUT(manifest_decode_streams(io, r, streams, limit, segment));
    TRY_OUT(run_append_checked(io, run, segment));
out:
    segment_release(segment);
    return status;
}

nacre_status manifest_parse_segment(SegmentIo *io, ByteReader *reader, uint64_t limit, Run *run) {
    return manifest_decode_segment(io, reader, MANIFEST_SHAPE, limit, run);
}

static nacre_status manifest_decode_tail(SegmentIo *io, Span bytes, ByteReader *r, ManifestTail *tail) {
    tail->catalog = br_bytes(r, br_u32(r));
    Span magic = br_bytes(r, 8), id = br_bytes(r, 16);
    tail->generation = br_u64(r);
    tail->epoch = br_u64(r);
    tail->flushed_lsn = br_u64(r);
    size_t sealed = (size_t)(r->at - bytes.data);
    uint64_t checksum = br_u64(r);
    if (!br_ok(r)) return manifest_corrupt(io, "cut short");
    if (!span_eq(magic, span_of(MANIFEST_MAGIC, 8)) || checksum64(0, bytes.data, sealed) != checksum)
        return manifest_corrupt(io, "its seal is not right");
    memcpy(tail->database_id, id.data, 16);
    tail->sealed = true;
    return NACRE_OK;
}

static nacre_status manifest_decode_run(SegmentIo *io, ByteReader *r, uint32_t shape, uint64_t limit, uint32_t i,
                                        Version *version, size_t *known, Span bytes) {
    uint64_t id = br_u64(r);
    uint32_t tier = br_u32(r), segments = br_u32(r);
    Span above = br_bytes(r, br_u32(r));
    if (!br_ok(r)) return manifest_corrupt(io, "cut short");
    if (segments == 0) return manifest_corrupt(io, "a run without segments");
    if (version->feed.count) return manifest_corrupt(io, "a run behind the archive of changes");
    if (tier == TIER_FEED && above.size) return manifest_corrupt(io, "an archive of changes with a bound");
    if (tier != TIER_FEED) TRY(version_insert_run(version, i, id, tier));
    Run *run = tier == TIER_FEED ? &version->feed : &version->runs[i];
    run->id = id;
    TRY(run_set_above(io->env, run, above));
    for (uint32_t s = 0; s < segments; s++) {
        *known = (size_t)(r->at - bytes.data);
        TRY(manifest_decode_segment(io, r, shape, limit, run));
    }
    *known = (size_t)(r->at - bytes.data);
    return NACRE_OK;
}

nacre_status manifest_parse(SegmentIo *io, Span bytes, uint64_t limit, Version *version, ManifestIds *ids,
                            ManifestTail *tail, size_t *size) {
    ByteReader r = br_over(bytes);
    *tail = (ManifestTail){.sealed = false};
    *size = 0;
    ids->next_segment = br_u64(&r);
    ids->next_run = br_u64(&r);
    uint32_t runs = br_u32(&r), shape = br_u32(&r);
    if (!br_ok(&r)) return manifest_corrupt(io, "cut short");
    if (shape > MANIFEST_SHAPE)
        return env_fail(io->env, NACRE_VERSION, "%s: manifest: of a later version", io->data->name);
    *size = MANIFEST_HEAD;
    for (uint32_t i = 0; i < runs; i++) TRY(manifest_decode_run(io, &r, shape, limit, i, version, size, bytes));
    if (shape >= 2) TRY(manifest_decode_tail(io, bytes, &r, tail));
    *size = (size_t)(r.at - bytes.data);
    return NACRE_OK;
}

/* Adds an id to a table of 2^bits places, at most half of them taken; false: it is there, or cannot be. */
WRAPS static bool manifest_add_id(uint64_t *table, unsigned bits, uint64_t id, uint64_t next) {
    size_t at = (size_t)(id * 0x9e3779b97f4a7c15u >> (64 - bits)), mask = ((size_t)1 << bits) - 1;
    if (id == 0 || id >= next) return false;
    while (table[at] && table[at] != id) at = (at + 1) & mask;
    if (table[at]) return false;
    table[at] = id;
    return true;
}

/* Rule 5 of manifest_format.h. The cache knows segments by their ids: two of one would be mixed up. */
static nacre_status manifest_check_ids(SegmentIo *io, const Version *version, ManifestIds ids) {
    size_t count = manifest_run_count(version);
    bool right = true;
    for (size_t i = 0; i < manifest_run_count(version); i++) count += version_run_at(version, i)->count;
    unsigned bits = 1;
    while ((size_t)1 << bits < 2 * count) bits++;
    size_t size = ((size_t)2 << bits) * sizeof(uint64_t);
    uint64_t *segments = env_alloc_zeroed(io->env, size), *runs = segments ? segments + ((size_t)1 << bits) : NULL;
    if (!segments) return NACRE_RESOURCE_EXHAUSTED;
    for (size_t i = 0; i < manifest_run_count(version) && right; i++) {
        const Run *run = version_run_at(version, i);
        right = manifest_add_id(runs, bits, run->id, ids.next_run);
        for (size_t s = 0; s < run->count && right; s++)
            right = manifest_add_id(segments, bits, run->segments[s]->id, ids.next_segment);
    }
    env_free(io->env, segments, size);
    return right ? NACRE_OK : manifest_corrupt(io, "ids that are used twice, or were never given");
}

nacre_status manifest_decode(SegmentIo *io, Span bytes, uint64_t limit, Version *version, ManifestIds *ids) {
    ManifestTail tail;
    size_t size = 0;
    TRY(manifest_parse(io, bytes, limit, version, ids, &tail, &size));
    if (size != bytes.size) return manifest_corrupt(io, "cut short, or too long");
    return manifest_check_ids(io, version, *ids);
}
