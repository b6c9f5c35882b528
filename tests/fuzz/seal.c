/* seal.c - walks a database of which nothing is believed and computes each checksum anew,
 * from the inside out: values, blocks and vectors, indexes, manifests, superblocks. */
#include "fuzz/fuzz.h"

#include "base/checksum.h"
#include "log/wal_format.h"
#include "segment/segment_format.h"
#include "store/extents.h"
#include "store/manifest_format.h"
#include "store/superblock_format.h"

#include <string.h>

typedef struct Walk {
    uint8_t *data;
    size_t size;
    SealVisit *visit; /* NULL: checksums are written */
    void *self;
} Walk;

/* Where byte `at` of the stream lies, and how many follow it there; NULL: nowhere. */
static uint8_t *stream_at(const SealStream *s, uint64_t at, size_t *left) {
    for (uint32_t i = 0; i < s->run_count; i++) {
        uint64_t length = (uint64_t)get_u32(s->runs + 8 * (size_t)i + 4) * EXTENT_SIZE;
        if (at >= length) {
            at -= length;
            continue;
        }
        uint64_t offset = (uint64_t)get_u32(s->runs + 8 * (size_t)i) * EXTENT_SIZE + at;
        if (offset >= s->data_size) return NULL;
        uint64_t part = length - at;
        *left = part < s->data_size - offset ? (size_t)part : (size_t)(s->data_size - offset);
        return s->data + offset;
    }
    return NULL;
}

/* Copies out (or back in); false: not all of it is there. */
static bool stream_copy(const SealStream *s, uint64_t at, uint8_t *bytes, size_t size, bool back) {
    while (size > 0) {
        size_t part = 0;
        uint8_t *place = stream_at(s, at, &part);
        if (!place) return false;
        if (part > size) part = size;
        if (back) memcpy(place, bytes, part);
        else memcpy(bytes, place, part);
        bytes += part, at += part, size -= part;
    }
    return true;
}

static void stream_tell(const Walk *walk, const SealStream *s, int kind, uint64_t at, uint64_t size) {
    while (size > 0) {
        size_t part = 0;
        const uint8_t *place = stream_at(s, at, &part);
        if (!place) return;
        if (part > size) part = (size_t)size;
        walk->visit(walk->self, kind, (uint64_t)(place - walk->data), part);
        at += part, size -= part;
    }
}

static bool read_extents(ByteReader *r, const Walk *walk, SealStream *s) {
    s->data = walk->data, s->data_size = walk->size;
    s->run_count = br_u32(r);
    s->runs = br_bytes(r, 8 * (uint64_t)s->run_count).data;
    return br_ok(r) && s->runs;
}

/* ---- values ---- */

enum { BLOB_BYTES_MAX = 4 << 20 };

static void seal_reference(const SealStream *blobs, uint8_t *reference, bool pieces) {
    uint64_t offset = get_u64(reference), size = get_u64(reference + 8);
    uint64_t count = pieces ? piece_count_of(size) : 0;
    if (!blobs->runs || size > BLOB_BYTES_MAX || count > 64) return;
    uint8_t *bytes = malloc((size_t)(size + 8 * count) + 1);
    MUST(bytes);
    if (stream_copy(blobs, offset, bytes, (size_t)(size + 8 * count), false)) {
        uint8_t *table = bytes + size;
        for (uint64_t i = 0; i < count; i++) {
            uint64_t left = size - i * PIECE_SIZE;
            put_u64(table + 8 * i, checksum64(i, bytes + i * PIECE_SIZE, left < PIECE_SIZE ? (size_t)left : PIECE_SIZE));
        }
        if (pieces) stream_copy(blobs, offset + size, table, (size_t)(8 * count), true);
        put_u64(reference + 16, pieces ? checksum64(size, table, (size_t)(8 * count)) : checksum64(size, bytes, (size_t)size));
    }
    free(bytes);
}

static void seal_value(const SealStream *blobs, uint8_t *block, size_t size, uint32_t flags, uint64_t at) {
    if (!(flags & ENTRY_BLOB)) return;
    at += (flags & ENTRY_EXPIRES ? 8u : 0u) + (flags & ENTRY_VECTOR ? 4u : 0u);
    if (at + BLOB_REF_SIZE <= size) seal_reference(blobs, block + at, flags & ENTRY_PIECES);
}

static void seal_values(const SealStream *blobs, uint8_t *block, size_t size) {
    size_t n = get_u16(block + 12);
    if (block[14] == BLOCK_NORMAL && BLOCK_HEAD + 4 * n + 2 <= size) {
        const uint8_t *flags = block + BLOCK_HEAD + n, *offsets = flags + n;
        for (size_t i = 0; i < n; i++) seal_value(blobs, block, size, flags[i], get_u16(offsets + 2 * i));
    } else if (block[14] == BLOCK_LONG && size >= BLOCK_LONG_HEAD) {
        seal_value(blobs, block, size, block[BLOCK_HEAD], (uint64_t)BLOCK_LONG_HEAD + get_u32(block + BLOCK_HEAD + 4));
    }
}

void seal_block(uint8_t *block, size_t size, uint64_t seed) {
    if (size < BLOCK_HEAD) return;
    size_t used = get_u32(block + 8);
    if (used < 8 || used > size) return;
    put_u64(block, checksum64(seed, block + 8, used - 8));
}

/* ---- segments ---- */

static void walk_blocks(const Walk *walk, const SealSegment *s, const uint8_t *pages, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        uint64_t page = get_u32(pages + 4 * i), next = get_u32(pages + 4 * (i + 1));
        if (next <= page || next - page > 4096 || s->page_size > BLOCK_SIZE_MAX) continue;
        size_t size = (size_t)(next - page) * s->page_size;
        if (walk->visit) {
            stream_tell(walk, &s->streams[STREAM_ROWS], PIECE_BLOCK, page * s->page_size, size);
            continue;
        }
        uint8_t *block = size <= (4 << 20) && size >= BLOCK_HEAD ? malloc(size) : NULL;
        if (block && stream_copy(&s->streams[STREAM_ROWS], page * s->page_size, block, size, false)) {
            seal_values(&s->streams[STREAM_BLOBS], block, size);
            seal_block(block, size, place_seed(s->id, STREAM_ROWS, page));
            stream_copy(&s->streams[STREAM_ROWS], page * s->page_size, block, size, true);
        }
        free(block);
    }
}

static void seal_units(const SealSegment *s, uint8_t *checksums, uint64_t count) {
    uint8_t *unit = malloc(VECTOR_UNIT);
    MUST(unit);
    for (uint64_t i = 0; i < count && i * VECTOR_UNIT < s->streams[STREAM_VECTORS].size; i++) {
        uint64_t left = s->streams[STREAM_VECTORS].size - i * VECTOR_UNIT;
        size_t size = left < VECTOR_UNIT ? (size_t)left : VECTOR_UNIT;
        if (stream_copy(&s->streams[STREAM_VECTORS], i * VECTOR_UNIT, unit, size, false))
            put_u64(checksums + 8 * i, checksum64(place_seed(s->id, STREAM_VECTORS, i), unit, size));
    }
    free(unit);
}

/* The index of a segment in memory. */
static void walk_meta(const Walk *walk, const SealSegment *s, uint8_t *meta, size_t size) {
    ByteReader r = br_over(span_of(meta, size));
    uint64_t blocks = br_u32(&r), units = br_u32(&r), sections = br_u32(&r);
    (void)br_bytes(&r, META_HEAD - 12);
    const uint8_t *pages = br_bytes(&r, 4 * (blocks + 1)).data;
    if (pages) walk_blocks(walk, s, pages, blocks);
    (void)br_bytes(&r, 4 * blocks + 4 * (blocks + 1) + SECTION_SIZE * sections + 8 * blocks);
    const uint8_t *checksums = br_bytes(&r, 8 * units).data;
    if (checksums && units && !walk->visit) seal_units(s, meta + (checksums - meta), units);
}

static uint64_t walk_segment(const Walk *walk, const SealSegment *s) {
    uint64_t checksum = 0, spare = round_up(s->meta_offset + s->meta_size, s->page_size ? s->page_size : 1);
    const SealStream *rows = &s->streams[STREAM_ROWS];
    if (s->meta_size > (4 << 20)) return 0;
    if (walk->visit) {
        stream_tell(walk, &s->streams[STREAM_ROWS], PIECE_META, s->meta_offset, s->meta_size);
        stream_tell(walk, &s->streams[STREAM_VECTORS], PIECE_VECTORS, 0, s->streams[STREAM_VECTORS].size);
        stream_tell(walk, &s->streams[STREAM_BLOBS], PIECE_BLOBS, 0, s->streams[STREAM_BLOBS].size);
    }
    uint8_t *meta = malloc((size_t)s->meta_size + 1);
    MUST(meta);
    if (stream_copy(&s->streams[STREAM_ROWS], s->meta_offset, meta, (size_t)s->meta_size, false)) {
        walk_meta(walk, s, meta, (size_t)s->meta_size);
        if (!walk->visit) stream_copy(&s->streams[STREAM_ROWS], s->meta_offset, meta, (size_t)s->meta_size, true);
        checksum = checksum64(place_seed(s->id, 255, 0), meta, (size_t)s->meta_size);
    }
    free(meta);
    if (!walk->visit && spare < rows->size && rows->size - spare <= (4 << 20)) {
        size_t size = (size_t)(rows->size - spare);
        uint8_t *bytes = malloc(size);
        MUST(bytes);
        if (size > SPARE_HEAD && stream_copy(rows, spare, bytes, size, false)) {
            put_u64(bytes, checksum64(place_seed(s->id, 255, 1), bytes + 8, size - 8));
            stream_copy(rows, spare, bytes, size, true);
        }
        free(bytes);
    }
    return checksum;
}

uint64_t seal_segment(uint8_t *data, size_t size, const SealSegment *segment) {
    return walk_segment(&(Walk){data, size, NULL, NULL}, segment);
}

/* ---- manifests ---- */

static bool walk_manifest_segment(const Walk *walk, ByteReader *r, uint8_t *manifest, const uint8_t *base, uint32_t shape) {
    SealSegment s = {.id = br_u64(r), .page_size = br_u32(r)};
    uint32_t streams = br_u32(r);
    (void)br_bytes(r, shape ? 24 : 16);
    s.meta_offset = br_u64(r), s.meta_size = br_u64(r);
    const uint8_t *checksum = br_bytes(r, 8).data;
    (void)br_bytes(r, br_u32(r));
    (void)br_bytes(r, br_u32(r));
    for (uint32_t i = 0; i < streams && br_ok(r); i++) {
        SealStream stream = {0};
        uint32_t kind = br_u32(r);
        (void)br_u32(r);
        stream.size = br_u64(r);
        if (!read_extents(r, walk, &stream)) return false;
        if (kind < STREAM_COUNT) s.streams[kind] = stream;
    }
    if (!br_ok(r) || !checksum) return false;
    uint64_t sum = walk_segment(walk, &s);
    if (!walk->visit) put_u64(manifest + (checksum - base), sum);
    return true;
}

static void walk_manifest(const Walk *walk, uint8_t *manifest, size_t size) {
    ByteReader r = br_over(span_of(manifest, size));
    (void)br_bytes(&r, 16);
    uint32_t runs = br_u32(&r), shape = br_u32(&r);
    for (uint32_t i = 0; i < runs && br_ok(&r); i++) {
        (void)br_bytes(&r, 12);
        uint32_t segments = br_u32(&r);
        (void)br_bytes(&r, br_u32(&r));
        for (uint32_t s = 0; s < segments && br_ok(&r); s++)
            if (!walk_manifest_segment(walk, &r, manifest, manifest, shape)) return;
    }
}

static void walk_slot(const Walk *walk, uint8_t *slot) {
    ByteReader r = br_over(span_of(slot + 8, SUPERBLOCK_SIZE - 16));
    SealStream stream = {0};
    (void)br_bytes(&r, 24);
    uint64_t generation = br_u64(&r);
    (void)br_bytes(&r, 24);
    uint64_t size = br_u64(&r);
    (void)br_u64(&r);
    if (read_extents(&r, walk, &stream) && size <= (1 << 20)) {
        uint8_t *manifest = malloc((size_t)size + 1);
        MUST(manifest);
        if (stream_copy(&stream, 0, manifest, (size_t)size, false)) {
            if (walk->visit) stream_tell(walk, &stream, PIECE_MANIFEST, 0, size);
            walk_manifest(walk, manifest, (size_t)size);
            if (!walk->visit) {
                uint8_t *seal = manifest + size - MANIFEST_SEAL_SIZE;
                if (size > MANIFEST_SEAL_SIZE && memcmp(seal, MANIFEST_MAGIC, 8) == 0)
                    put_u64(manifest + size - 8, checksum64(0, manifest, (size_t)size - 8));
                stream_copy(&stream, 0, manifest, (size_t)size, true);
                put_u64(slot + 72, checksum64(generation, manifest, (size_t)size));
            }
        }
        free(manifest);
    }
    if (walk->visit) walk->visit(walk->self, PIECE_SUPERBLOCK, (uint64_t)(slot - walk->data), SUPERBLOCK_SIZE);
    else put_u64(slot + SUPERBLOCK_SIZE - 8, checksum64(0, slot, SUPERBLOCK_SIZE - 8));
}

static void walk_database(const Walk *walk) {
    for (size_t at = 0; at <= SUPERBLOCK_SLOT; at += SUPERBLOCK_SLOT)
        if (at + SUPERBLOCK_SIZE <= walk->size && memcmp(walk->data + at, SUPERBLOCK_MAGIC, 8) == 0)
            walk_slot(walk, walk->data + at);
}

void seal_database(uint8_t *data, size_t size) { walk_database(&(Walk){data, size, NULL, NULL}); }
void seal_visit(uint8_t *data, size_t size, SealVisit *visit, void *self) {
    walk_database(&(Walk){data, size, visit, self});
}

/* ---- logs ---- */

void seal_log(uint8_t *log, size_t size, bool chain) {
    if (size < WAL_HEAD) return;
    for (size_t at = 0; at <= WAL_HEADER_COPY; at += WAL_HEADER_COPY)
        put_u64(log + at + WAL_HEADER_SIZE - 8, checksum64(0, log + at, WAL_HEADER_SIZE - 8));
    uint64_t salt = get_u64(log + 40), last = 0;
    for (size_t at = WAL_HEAD; size - at >= FRAME_HEAD;) {
        uint8_t *frame = log + at;
        size_t frame_size = get_u32(frame + 12);
        if (frame_size < FRAME_HEAD || frame_size > size - at) return;
        if (chain && last) put_u64(frame + 24, last);
        last = get_u64(frame + 16);
        put_u64(frame, checksum64(salt, frame + 8, frame_size - 8));
        if (get_u32(frame + 8) == FRAME_CUT && frame_size >= FRAME_HEAD + 8) salt = get_u64(frame + FRAME_HEAD);
        at += frame_size;
        if (size - at < FRAME_HEAD) return;
    }
}
