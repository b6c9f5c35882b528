/* spare.c - blocks and vectors of a segment without its index. Each block proves itself by
 * its checksum, which names segment and page. Knows nothing of what living rows are. */
#include "segment/spare.h"

#include "segment/units.h"

enum { SPARE_BLOCK_MAX = 256 << 10 }; /* bytes: more than any block that holds one long key and a short value */

#define SPARE_PLACE ((uint64_t)253 << 56)

uint64_t segment_place(const Segment *segment, uint32_t stream, uint64_t offset) {
    const ExtentList *extents = &segment->streams[stream].extents;
    uint64_t index = offset / EXTENT_SIZE;
    return index < extents->count ? (uint64_t)extents->items[index] * EXTENT_SIZE + offset % EXTENT_SIZE : 0;
}

static nacre_status spare_corrupt(const Segment *segment, const char *what) {
    return env_fail(segment->io->env, NACRE_CORRUPT, "%s: segment %llu: spare of the index: %s",
                    segment->io->data->name, (unsigned long long)segment->id, what);
}

/* Where it must lie; size 0: nowhere. */
static uint64_t spare_offset(const Segment *segment, size_t *size) {
    uint64_t offset = round_up(segment->meta_offset + segment->meta_size, SEGMENT_PAGE);
    uint64_t end = segment->streams[STREAM_ROWS].size;
    *size = 0;
    if (segment->streams[STREAM_VECTORS].size && offset < end && end - offset <= UINT32_MAX / 2)
        *size = (size_t)(end - offset);
    return offset;
}

/* Counts are believed once they are found to be the bytes' size. */
static const char *spare_parse(const Segment *segment, Span bytes, SegmentMeta *meta) {
    ByteReader r = br_over(bytes);
    uint64_t checksum = br_u64(&r), size = segment->streams[STREAM_VECTORS].size;
    if (bytes.size < SPARE_HEAD || checksum != checksum64(place_seed(segment->id, 255, 1), bytes.data + 8, bytes.size - 8))
        return "checksum";
    *meta = (SegmentMeta){.section_count = br_u32(&r)};
    meta->unit_count = br_u32(&r);
    meta->sections = br_bytes(&r, (uint64_t)SECTION_SIZE * meta->section_count).data;
    meta->unit_checksums = br_bytes(&r, 8 * (uint64_t)meta->unit_count).data;
    if (!br_ok(&r) || br_left(&r) || meta->unit_count != (size + VECTOR_UNIT - 1) / VECTOR_UNIT) return "structure";
    for (uint32_t i = 0; i < meta->section_count; i++) {
        const uint8_t *s = meta->sections + (size_t)SECTION_SIZE * i;
        uint64_t stride = get_u32(s + 4), slots = get_u32(s + 12), offset = get_u64(s + 16);
        if (slots && (stride == 0 || offset > size || stride * slots > size - offset)) return "sections";
    }
    return NULL;
}

nacre_status segment_pin_spare(Segment *segment, CacheEntry **pin) {
    SegmentIo *io = segment->io;
    CacheEntry *entry = NULL;
    size_t size;
    uint64_t offset = spare_offset(segment, &size);
    if (segment->meta_entry) return segment_pin_meta(segment, pin);
    if (size == 0) return spare_corrupt(segment, "there is none");
    TRY(cache_add(io->cache, segment->id, SPARE_PLACE, size, &entry));
    nacre_status status = data_read(io->data, &segment->streams[STREAM_ROWS].extents, offset, entry->data, size);
    SegmentMeta meta;
    const char *wrong = status == NACRE_OK ? spare_parse(segment, span_of(entry->data, size), &meta) : NULL;
    if (wrong) status = spare_corrupt(segment, wrong);
    if (status != NACRE_OK) {
        cache_abandon(io->cache, entry);
        return status;
    }
    segment->meta = meta;
    entry->evicted = segment_leave_blocks;
    entry->evicted_self = segment;
    cache_publish(io->cache, entry, &segment->meta_entry);
    *pin = entry;
    return NACRE_OK;
}

nacre_status segment_check_spare(Segment *segment, const char **wrong) {
    Env *env = segment->io->env;
    size_t size;
    uint64_t offset = spare_offset(segment, &size);
    *wrong = NULL;
    if (size == 0) return NACRE_OK; /* of version 1, or without vectors */
    uint8_t *bytes = env_alloc(env, size);
    if (!bytes) return NACRE_RESOURCE_EXHAUSTED;
    SegmentMeta spare;
    const SegmentMeta *meta = &segment->meta;
    nacre_status status = data_read(segment->io->data, &segment->streams[STREAM_ROWS].extents, offset, bytes, size);
    if (status == NACRE_OK && (*wrong = spare_parse(segment, span_of(bytes, size), &spare)) == NULL &&
        (spare.section_count != meta->section_count ||
         memcmp(spare.sections, meta->sections, (size_t)SECTION_SIZE * meta->section_count) != 0 ||
         memcmp(spare.unit_checksums, meta->unit_checksums, 8 * (size_t)meta->unit_count) != 0))
        *wrong = "it is not what the index says";
    env_free(env, bytes, size);
    return status;
}

/* ---- blocks ---- */

/* Bytes that the head of a block claims; 0: it is none. */
static size_t spare_block_size(const uint8_t *head, uint64_t left) {
    uint32_t size = get_u32(head + 8);
    bool may_be = head[14] <= BLOCK_LZ4 && head[15] == 0 && get_u16(head + 12) > 0;
    return may_be && size > BLOCK_HEAD && size <= left && size <= SPARE_BLOCK_MAX ? size : 0;
}

nacre_status segment_block_at_page(Segment *segment, uint64_t page, uint8_t **bytes, size_t *capacity, Block *block,
                                   uint64_t *count) {
    SegmentIo *io = segment->io;
    const Stream *rows = &segment->streams[STREAM_ROWS];
    uint64_t offset = page * segment->page_size, left = rows->size > offset ? rows->size - offset : 0;
    uint8_t head[BLOCK_HEAD];
    *count = 0;
    if (left < sizeof head || page > UINT32_MAX) return NACRE_OK;
    TRY(data_read(io->data, &rows->extents, offset, head, sizeof head));
    size_t size = spare_block_size(head, left);
    if (size == 0) return NACRE_OK;
    void *memory = *bytes;
    TRY(env_grow(io->env, &memory, capacity, size + BLOCK_SIZE_MAX, 1));
    *bytes = memory;
    TRY(data_read(io->data, &rows->extents, offset, *bytes, size));
    uint64_t seed = place_seed(segment->id, STREAM_ROWS, page);
    const char *wrong = block_plain_size(*bytes, size) ? block_unpack(block, *bytes, size, seed, *bytes + size)
                                                       : block_open(block, *bytes, size, seed);
    if (!wrong) *count = round_up(size, segment->page_size) / segment->page_size;
    return NACRE_OK;
}

nacre_status segment_page_is_empty(Segment *segment, uint64_t page, bool *empty) {
    uint8_t bytes[SEGMENT_PAGE];
    uint64_t from = page * segment->page_size, to = from + segment->page_size;
    const Stream *rows = &segment->streams[STREAM_ROWS];
    if (to > rows->size) to = rows->size;
    *empty = true;
    for (; from < to && *empty; from += sizeof bytes) {
        size_t size = to - from < sizeof bytes ? (size_t)(to - from) : sizeof bytes;
        TRY(data_read(segment->io->data, &rows->extents, from, bytes, size));
        for (size_t i = 0; i < size; i++) *empty = *empty && bytes[i] == 0;
    }
    return NACRE_OK;
}
