/* segment.c - reads what segment_format.h describes, through the cache. Knows nothing
 * of other segments, of membranes' schemas or of what is newest. */
#include "segment/segment.h"

#include "segment/codes.h"
#include "segment/fields.h"
#include "segment/filter_blocks.h"
#include "segment/spare.h"
#include "segment/units.h"

#include <stdio.h>

#define PLACE_META ((uint64_t)255 << 56)
#define PLACE_BLOCK(index) ((uint64_t)STREAM_ROWS << 56 | (index))

nacre_status segment_alloc(SegmentIo *io, uint64_t id, Segment **out) {
    Segment *segment = env_alloc_zeroed(io->env, sizeof *segment);
    if (!segment) return NACRE_RESOURCE_EXHAUSTED;
    segment->io = io;
    segment->id = id;
    segment->references = 1;
    segment->page_size = SEGMENT_PAGE;
    *out = segment;
    return NACRE_OK;
}

void segment_retain(Segment *segment) { segment->references++; }

/* The meta goes: what is cached of the blocks would not be found without it, and the pointers
 * to them are not worth their memory. */
void segment_leave_blocks(void *self) {
    Segment *segment = self;
    SegmentIo *io = segment->io;
    segment_leave_vectors(segment);
    for (uint32_t i = 0; i < segment->block_slots; i++) cache_leave(io->cache, &segment->blocks[i]);
    env_free(io->env, segment->blocks, segment->block_slots * sizeof *segment->blocks);
    segment->blocks = NULL;
    segment->block_slots = 0;
}

void segment_release(Segment *segment) {
    if (!segment || --segment->references > 0) return;
    Env *env = segment->io->env;
    Cache *cache = segment->io->cache;
    segment_leave_codes(segment);
    cache_leave(cache, &segment->fields);
    ASSERT(!segment->meta_entry || segment->meta_entry->pins == 0);
    if (segment->streams[STREAM_CODES].size || segment->streams[STREAM_FIELDS].size) cache_forget(cache, segment->id);
    cache_leave(cache, &segment->meta_entry); /* and with it all blocks and vectors */
    ASSERT(!segment->blocks && !segment->vectors);
    for (int i = 0; i < STREAM_COUNT; i++) extent_list_clear(env, &segment->streams[i].extents);
    env_free(env, segment->first_key, segment->first_key_size);
    env_free(env, segment->last_key, segment->last_key_size);
    env_free(env, segment->dead, segment->dead_size);
    env_free(env, segment->checked, segment->checked_size);
    env_free(env, segment, sizeof *segment);
}

nacre_status segment_set_keys(Segment *segment, Span first, Span last) {
    Env *env = segment->io->env;
    ASSERT(!segment->first_key && !segment->last_key);
    if (!(segment->first_key = env_alloc(env, first.size))) return NACRE_RESOURCE_EXHAUSTED;
    segment->first_key_size = first.size;
    if (!(segment->last_key = env_alloc(env, last.size))) return NACRE_RESOURCE_EXHAUSTED;
    segment->last_key_size = last.size;
    memcpy(segment->first_key, first.data, first.size);
    memcpy(segment->last_key, last.data, last.size);
    segment->first_head = key_head(first);
    segment->last_head = key_head(last);
    return NACRE_OK;
}

uint64_t segment_bytes(const Segment *segment) {
    uint64_t extents = 0;
    for (int i = 0; i < STREAM_COUNT; i++) extents += segment->streams[i].extents.count;
    return extents * EXTENT_SIZE;
}

/* ---- meta ---- */

unsigned long long segment_place_shown(const Segment *segment, uint32_t stream, uint64_t offset) {
    return (unsigned long long)segment_place(segment, stream, offset);
}

nacre_status segment_corrupt(const Segment *segment, const char *what) {
    return env_fail(segment->io->env, NACRE_CORRUPT, "%s: offset %llu: segment %llu: %s", segment->io->data->name,
                    segment_place_shown(segment, STREAM_ROWS, segment->meta_offset), (unsigned long long)segment->id, what);
}

/* What is left, if anything, is a model of the fences. */
static bool segment_parse_model(ByteReader *r, SegmentMeta *meta) {
    meta->model = (Learned){0};
    if (br_left(r) == 0) return true;
    return learned_open(&meta->model, br_bytes(r, br_left(r))) && meta->model.key_count == meta->block_count;
}

/* Counts are believed only after everything they claim was found to be inside. */
static bool segment_parse_meta(const Segment *segment, Span bytes, SegmentMeta *meta) {
    ByteReader r = br_over(bytes);
    meta->block_count = br_u32(&r);
    meta->unit_count = br_u32(&r);
    meta->section_count = br_u32(&r);
    meta->filter_size = br_u32(&r);
    uint32_t separators_size = br_u32(&r), prefix_size = br_u32(&r);
    uint64_t n = meta->block_count;
    meta->pages = br_bytes(&r, 4 * (n + 1)).data;
    meta->first_slots = br_bytes(&r, 4 * n).data;
    meta->separator_offsets = br_bytes(&r, 4 * (n + 1)).data;
    meta->sections = br_bytes(&r, (uint64_t)SECTION_SIZE * meta->section_count).data;
    meta->fences = br_bytes(&r, 8 * n).data;
    meta->unit_checksums = br_bytes(&r, 8 * (uint64_t)meta->unit_count).data;
    meta->filter = br_bytes(&r, meta->filter_size).data;
    meta->prefix = br_bytes(&r, prefix_size);
    meta->separators = br_bytes(&r, separators_size).data;
    if (!br_ok(&r) || !segment_parse_model(&r, meta) || n == 0 || meta->filter_size % FILTER_BLOCK != 0) return false;
    if (meta->unit_count != (segment->streams[STREAM_VECTORS].size + VECTOR_UNIT - 1) / VECTOR_UNIT) return false;

    uint64_t page_limit = segment->meta_offset / segment->page_size;
    for (uint32_t i = 0; i < n; i++) {
        if (get_u32(meta->pages + 4 * (size_t)i) >= get_u32(meta->pages + 4 * (size_t)(i + 1))) return false;
        if (get_u32(meta->separator_offsets + 4 * (size_t)i) > get_u32(meta->separator_offsets + 4 * (size_t)(i + 1)))
            return false;
    }
    if (get_u32(meta->pages + 4 * n) > page_limit) return false;
    if (get_u32(meta->separator_offsets + 4 * n) != separators_size) return false;
    for (uint32_t i = 0; i < meta->section_count; i++) {
        const uint8_t *s = meta->sections + (size_t)SECTION_SIZE * i;
        uint64_t stride = get_u32(s + 4), slots = get_u32(s + 12), offset = get_u64(s + 16);
        uint64_t size = segment->streams[STREAM_VECTORS].size;
        if (get_u64(s + 24) > segment->rows) return false;
        if (slots && (stride == 0 || offset > size || stride * slots > size - offset)) return false;
    }
    return true;
}

nacre_status segment_pin_meta(Segment *segment, CacheEntry **pin) {
    SegmentIo *io = segment->io;
    CacheEntry *entry = segment->meta_entry;
    if (entry) {
        cache_pin(io->cache, entry);
        *pin = entry;
        return NACRE_OK;
    }
    if (segment->meta_size > UINT32_MAX / 2) return segment_corrupt(segment, "meta size");
    TRY(cache_add(io->cache, segment->id, PLACE_META, (size_t)segment->meta_size, &entry));
    nacre_status status = data_read(io->data, &segment->streams[STREAM_ROWS].extents, segment->meta_offset,
                                    entry->data, entry->size);
    if (status == NACRE_OK && checksum64(place_seed(segment->id, 255, 0), entry->data, entry->size) !=
                                  segment->meta_checksum)
        status = segment_corrupt(segment, "index: checksum");
    if (status == NACRE_OK && !segment_parse_meta(segment, span_of(entry->data, entry->size), &segment->meta))
        status = segment_corrupt(segment, "index: structure");
    if (status != NACRE_OK) {
        cache_abandon(io->cache, entry);
        return status;
    }
    entry->evicted = segment_leave_blocks;
    entry->evicted_self = segment;
    cache_publish(io->cache, entry, &segment->meta_entry);
    *pin = entry;
    return NACRE_OK;
}

Section segment_section(const Segment *segment, uint32_t index) {
    const uint8_t *s = segment->meta.sections + (size_t)SECTION_SIZE * index;
    return (Section){.membrane = get_u32(s),
                     .stride = get_u32(s + 4),
                     .first_slot = get_u32(s + 8),
                     .slot_count = get_u32(s + 12),
                     .offset = get_u64(s + 16),
                     .rows = get_u64(s + 24)};
}

bool segment_find_section(const Segment *segment, uint32_t membrane, Section *section) {
    uint32_t low = 0, high = segment->meta.section_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        *section = segment_section(segment, middle);
        if (section->membrane == membrane) return true;
        if (section->membrane < membrane) low = middle + 1;
        else high = middle;
    }
    return false;
}

/* ---- blocks ---- */

static uint32_t segment_page(const Segment *segment, uint32_t index) {
    return get_u32(segment->meta.pages + 4 * (size_t)index);
}

static size_t segment_block_size(const Segment *segment, uint32_t index) {
    return (size_t)(segment_page(segment, index + 1) - segment_page(segment, index)) * segment->page_size;
}

static nacre_status segment_read_pages(Segment *segment, uint32_t index, uint8_t *into, size_t size) {
    segment->io->blocks_read++;
    return data_read(segment->io->data, &segment->streams[STREAM_ROWS].extents,
                     (uint64_t)segment_page(segment, index) * segment->page_size, into, size);
}

/* `plain`: room for what block_plain_size says; NULL where that is 0. */
static nacre_status segment_open_block(const Segment *segment, uint32_t index, const uint8_t *bytes, size_t size,
                                       uint8_t *plain, Block *block) {
    uint32_t page = segment_page(segment, index);
    uint64_t seed = place_seed(segment->id, STREAM_ROWS, page);
    const char *wrong = plain ? block_unpack(block, bytes, size, seed, plain) : block_open(block, bytes, size, seed);
    if (!wrong) return NACRE_OK;
    return env_fail(segment->io->env, NACRE_CORRUPT, "%s: offset %llu: segment %llu: block %u (page %u): %s",
                    segment->io->data->name, segment_place_shown(segment, STREAM_ROWS, (uint64_t)page * segment->page_size),
                    (unsigned long long)segment->id, index, page, wrong);
}

enum { BLOCK_LINES = 5 }; /* of memory: an entry's head, and what a look-up reads of a block of 4 KiB first */

/* A pointer for each block, so that a cached one is found without a search. */
static nacre_status segment_make_slots(Segment *segment) {
    uint32_t count = segment->meta.block_count;
    if (segment->blocks) return NACRE_OK;
    segment->blocks = env_alloc_zeroed(segment->io->env, count * sizeof *segment->blocks);
    if (!segment->blocks) return NACRE_RESOURCE_EXHAUSTED;
    segment->block_slots = count;
    return NACRE_OK;
}

static const uint8_t *segment_mapped_bytes(const Segment *segment, uint32_t index) {
    return data_mapped(segment->io->data, &segment->streams[STREAM_ROWS].extents,
                       (uint64_t)segment_page(segment, index) * segment->page_size, segment_block_size(segment, index));
}

static bool segment_was_checked(const Segment *segment, uint32_t index) {
    return segment->checked && segment->checked[index / 8] >> index % 8 & 1;
}

/* Block `index` where the file is mapped, checked once. *mapped false: it has to be read. */
static nacre_status segment_map_block(Segment *segment, uint32_t index, Block *block, bool *mapped) {
    const uint8_t *bytes = segment_mapped_bytes(segment, index);
    if (!bytes) return NACRE_OK;
    if (segment_was_checked(segment, index)) {
        block_reopen(block, bytes);
        *mapped = true;
        return NACRE_OK;
    }
    size_t size = segment_block_size(segment, index);
    if (block_plain_size(bytes, size)) return NACRE_OK; /* compressed */
    if (!segment->checked) {
        segment->checked = env_alloc_zeroed(segment->io->env, (segment->meta.block_count + 7) / 8);
        if (!segment->checked) return NACRE_RESOURCE_EXHAUSTED;
        segment->checked_size = (segment->meta.block_count + 7) / 8;
    }
    segment->io->blocks_read++;
    TRY(segment_open_block(segment, index, bytes, size, NULL, block));
    segment->checked[index / 8] |= (uint8_t)(1u << index % 8);
    *mapped = true;
    return NACRE_OK;
}

nacre_status segment_block(Segment *segment, uint32_t index, Block *block, CacheEntry **pin) {
    Cache *cache = segment->io->cache;
    ASSERT(segment->meta_entry && segment->meta_entry->pins > 0 && index < segment->meta.block_count);
    if (segment->io->data->map) {
        bool mapped = false;
        TRY(segment_map_block(segment, index, block, &mapped));
        *pin = NULL;
        if (mapped) return NACRE_OK;
    }
    TRY(segment_make_slots(segment));
    CacheEntry *entry = segment->blocks[index];
    if (entry) {
        for (int line = 0; line < BLOCK_LINES; line++) memory_expect((const uint8_t *)entry + line * 64);
        cache_pin(cache, entry);
        block_reopen(block, entry->data);
        *pin = entry;
        return NACRE_OK;
    }
    cache->misses++;
    TRY(cache_add(cache, segment->id, PLACE_BLOCK(index), segment_block_size(segment, index), &entry));
    nacre_status status = segment_read_pages(segment, index, entry->data, entry->size);
    size_t plain_size = status == NACRE_OK ? block_plain_size(entry->data, entry->size) : 0;
    if (plain_size) { /* what is kept is plain */
        CacheEntry *packed = entry;
        entry = NULL;
        status = cache_add(cache, segment->id, PLACE_BLOCK(index), plain_size, &entry);
        if (status == NACRE_OK)
            status = segment_open_block(segment, index, packed->data, packed->size, entry->data, block);
        cache_abandon(cache, packed);
    } else if (status == NACRE_OK) {
        status = segment_open_block(segment, index, entry->data, entry->size, NULL, block);
    }
    if (status != NACRE_OK) {
        if (entry) cache_abandon(cache, entry);
        return status;
    }
    cache_publish(cache, entry, &segment->blocks[index]);
    *pin = entry;
    return NACRE_OK;
}

/* Bytes of blocks [first, end). */
static size_t segment_blocks_size(const Segment *segment, uint32_t first, uint32_t end) {
    return (size_t)(segment_page(segment, end) - segment_page(segment, first)) * segment->page_size;
}

nacre_status segment_block_ahead(Segment *segment, uint32_t index, size_t room, BlocksAhead *ahead, Block *block) {
    if (ahead->segment != segment || index < ahead->first || index >= ahead->end) {
        uint32_t end = index + 1;
        while (end < segment->meta.block_count && segment_blocks_size(segment, index, end + 1) <= room) end++;
        size_t size = segment_blocks_size(segment, index, end);
        void *bytes = ahead->bytes;
        ahead->segment = NULL;
        TRY(env_grow(segment->io->env, &bytes, &ahead->capacity, size, 1));
        ahead->bytes = bytes;
        TRY(segment_read_pages(segment, index, ahead->bytes, size));
        *ahead = (BlocksAhead){segment, index, end, ahead->bytes, ahead->capacity};
    }
    size_t at = segment_blocks_size(segment, ahead->first, index), size = segment_block_size(segment, index);
    size_t all = segment_blocks_size(segment, ahead->first, ahead->end);
    size_t plain_size = block_plain_size(ahead->bytes + at, size);
    if (plain_size) { /* it goes behind all of them */
        void *bytes = ahead->bytes;
        TRY(env_grow(segment->io->env, &bytes, &ahead->capacity, all + plain_size, 1));
        ahead->bytes = bytes;
    }
    return segment_open_block(segment, index, ahead->bytes + at, size, plain_size ? ahead->bytes + all : NULL, block);
}

Span segment_separator(const Segment *segment, uint32_t index) {
    uint32_t from = get_u32(segment->meta.separator_offsets + 4 * (size_t)index);
    return span_of(segment->meta.separators + from,
                   get_u32(segment->meta.separator_offsets + 4 * (size_t)(index + 1)) - from);
}

WRAPS uint32_t segment_block_of(const Segment *segment, Span key) {
    const SegmentMeta *meta = &segment->meta;
    size_t common = span_common_prefix(meta->prefix, key);
    if (common < meta->prefix.size) {
        bool before = common == key.size || key.data[common] < meta->prefix.data[common];
        return before ? 0 : meta->block_count - 1;
    }
    uint64_t head = fence_of(key, meta->prefix.size);
    LearnedWindow window = {0, meta->block_count};
    if (meta->model.piece_count) window = learned_find(&meta->model, head);
    /* Fences below head, counted without a branch: which way each step goes is a coin's throw. */
    const uint8_t *at = meta->fences + 8 * (size_t)window.low;
    uint32_t left = window.high - window.low;
    while (left > 1) {
        uint32_t half = left / 2;
        at += (0 - (size_t)(get_u64(at + 8 * (size_t)(half - 1)) < head)) & 8 * (size_t)half;
        left -= half;
    }
    uint32_t below = (uint32_t)((size_t)(at - meta->fences) / 8) + (left > 0 && get_u64(at) < head);
    /* Among equal fences the separators decide; usually there is one or none. */
    uint32_t low = below, high = meta->block_count;
    if (low < high && get_u64(meta->fences + 8 * (size_t)low) != head) high = low;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        bool equal_fence = get_u64(meta->fences + 8 * (size_t)middle) == head;
        if (equal_fence && span_compare(segment_separator(segment, middle), key) <= 0) low = middle + 1;
        else high = middle;
    }
    return low ? low - 1 : 0;
}

uint32_t segment_block_of_slot(const Segment *segment, uint32_t slot) {
    uint32_t low = 0, high = segment->meta.block_count;
    while (low < high) { /* first block whose first slot is above */
        uint32_t middle = low + (high - low) / 2;
        if (get_u32(segment->meta.first_slots + 4 * (size_t)middle) <= slot) low = middle + 1;
        else high = middle;
    }
    return low ? low - 1 : 0;
}

void segment_entry(Segment *segment, const Block *block, uint32_t row, Entry *entry) {
    Span value = block_value(block, row);
    entry->flags = block_flags(block, row);
    entry->segment = segment;
    entry->vector = (Span){NULL, 0};
    if (entry->flags & ENTRY_EXPIRES) {
        entry->expires = get_u64(value.data);
        value = span_of(value.data + 8, value.size - 8);
    }
    if (entry->flags & ENTRY_VECTOR) {
        entry->slot = get_u32(value.data);
        value = span_of(value.data + 4, value.size - 4);
    }
    if (entry->flags & ENTRY_BLOB) {
        entry->blob = (BlobRef){get_u64(value.data), get_u64(value.data + 8), get_u64(value.data + 16),
                                (entry->flags & ENTRY_PIECES) != 0};
        value = (Span){NULL, 0};
    }
    entry->value = value;
}

void segment_expect(const Segment *segment, uint64_t hash) {
    if (!segment->meta_entry || segment->meta.filter_size == 0) return;
    memory_expect(segment->meta.filter + filter_blocks_place(hash, segment->meta.filter_size));
}

bool segment_expect_block(const Segment *segment, Span key, uint64_t hash) {
    bool mapped = segment->io->data->map != NULL;
    if (!segment->meta_entry || (!segment->blocks && !mapped)) return false;
    if (!filter_blocks_may_have(segment->meta.filter, segment->meta.filter_size, hash)) return false;
    uint32_t index = segment_block_of(segment, key);
    const uint8_t *block = mapped ? segment_mapped_bytes(segment, index) : (const uint8_t *)segment->blocks[index];
    for (int line = 0; block && line < BLOCK_LINES; line++) memory_expect(block + line * 64);
    return true;
}

/* The key filter let the key pass. */
static nacre_status segment_get_row(Segment *segment, Span key, uint64_t hash, Entry *entry, CacheEntry **pin) {
    Block block;
    CacheEntry *block_pin = NULL;
    TRY(segment_block(segment, segment_block_of(segment, key), &block, &block_pin));
    uint32_t row = block_find(&block, key, hash);
    if (row == block.count) {
        cache_unpin(segment->io->cache, block_pin);
        segment->io->filter_misses++;
        return NACRE_NOT_FOUND;
    }
    entry->key = key;
    segment_entry(segment, &block, row, entry);
    *pin = block_pin;
    return NACRE_OK;
}

nacre_status segment_get(Segment *segment, Span key, uint64_t hash, Entry *entry, CacheEntry **pin) {
    CacheEntry *meta_pin = NULL;
    TRY(segment_pin_meta(segment, &meta_pin));
    nacre_status status = NACRE_NOT_FOUND;
    if (filter_blocks_may_have(segment->meta.filter, segment->meta.filter_size, hash))
        status = segment_get_row(segment, key, hash, entry, pin);
    cache_unpin(segment->io->cache, meta_pin);
    return status;
}

/* ---- blobs and vectors ---- */

static nacre_status segment_blob_corrupt(const Segment *segment, const BlobRef *blob, uint64_t at) {
    return env_fail(segment->io->env, NACRE_CORRUPT, "%s: offset %llu: segment %llu: value of %llu bytes at %llu: checksum",
                    segment->io->data->name, segment_place_shown(segment, STREAM_BLOBS, blob->offset + at),
                    (unsigned long long)segment->id, (unsigned long long)blob->size,
                    (unsigned long long)(blob->offset + at));
}

static uint64_t blob_table_size(const BlobRef *blob) { return blob->pieces ? 8 * piece_count_of(blob->size) : 0; }

nacre_status segment_check_blob(const Segment *segment, const BlobRef *blob) {
    uint64_t end = segment->streams[STREAM_BLOBS].size;
    if (blob->offset <= end && blob->size <= end - blob->offset &&
        blob_table_size(blob) <= end - blob->offset - blob->size)
        return NACRE_OK;
    return segment_corrupt(segment, "a row refers to a value that is not there");
}

nacre_status segment_blob_table(Segment *segment, const BlobRef *blob, uint8_t **table, size_t *capacity) {
    TRY(segment_check_blob(segment, blob));
    uint64_t size = blob_table_size(blob);
    void *memory = *table;
    if (size > UINT32_MAX / 2) return segment_corrupt(segment, "a value larger than memory");
    TRY(env_grow(segment->io->env, &memory, capacity, (size_t)size + 1, 1));
    *table = memory;
    TRY(data_read(segment->io->data, &segment->streams[STREAM_BLOBS].extents, blob->offset + blob->size, *table,
                  (size_t)size));
    if (checksum64(blob->size, *table, (size_t)size) == blob->checksum) return NACRE_OK;
    return segment_blob_corrupt(segment, blob, blob->size);
}

nacre_status segment_blob_piece(Segment *segment, const BlobRef *blob, const uint8_t *table, uint64_t index,
                                uint8_t *into) {
    uint64_t at = index * PIECE_SIZE, left = blob->size - at;
    ASSERT(at < blob->size);
    size_t size = left < PIECE_SIZE ? (size_t)left : PIECE_SIZE;
    TRY(data_read(segment->io->data, &segment->streams[STREAM_BLOBS].extents, blob->offset + at, into, size));
    if (checksum64(index, into, size) == get_u64(table + 8 * (size_t)index)) return NACRE_OK;
    return segment_blob_corrupt(segment, blob, at);
}

static nacre_status segment_read_pieces(Segment *segment, const BlobRef *blob, uint8_t *into) {
    uint8_t *table = NULL;
    size_t capacity = 0;
    nacre_status status = segment_blob_table(segment, blob, &table, &capacity);
    for (uint64_t i = 0; i < piece_count_of(blob->size) && status == NACRE_OK; i++)
        status = segment_blob_piece(segment, blob, table, i, into + i * PIECE_SIZE);
    env_free(segment->io->env, table, capacity);
    return status;
}

nacre_status segment_read_blob(Segment *segment, BlobRef blob, uint8_t *into) {
    TRY(segment_check_blob(segment, &blob));
    if (blob.size > SIZE_MAX / 2) return segment_corrupt(segment, "a value larger than memory");
    if (blob.pieces) return segment_read_pieces(segment, &blob, into);
    TRY(data_read(segment->io->data, &segment->streams[STREAM_BLOBS].extents, blob.offset, into, (size_t)blob.size));
    return checksum64(blob.size, into, (size_t)blob.size) == blob.checksum ? NACRE_OK
                                                                           : segment_blob_corrupt(segment, &blob, 0);
}

/* ---- verify ---- */

typedef struct SegmentCheck {
    Segment *segment;
    nacre_problem *problem;
    void *self;
    uint64_t *problems;
    uint64_t rows, deletes, first_expiry;
    uint32_t slots;
    uint8_t *last; /* last key seen */
    size_t last_size, last_capacity;
    BlocksAhead blocks;
    uint8_t *buffer, *pages; /* a key; a unit of vectors */
    size_t capacity, pages_capacity;
} SegmentCheck;

static void segment_report(SegmentCheck *check, uint64_t offset, const char *what) {
    char where[96];
    snprintf(where, sizeof where, "%.40s: segment %llu", check->segment->io->data->name,
             (unsigned long long)check->segment->id);
    ++*check->problems;
    if (check->problem) check->problem(check->self, where, offset, what);
}

/* A failure that is damage is reported and forgotten; others go up. */
static nacre_status segment_check_status(SegmentCheck *check, nacre_status status, uint64_t offset) {
    Env *env = check->segment->io->env;
    if (status != NACRE_CORRUPT) return status;
    segment_report(check, offset, env->error.text);
    env_clear(env);
    return NACRE_OK;
}

/* Every byte of a value that lies apart; one of pieces, piece by piece. */
static nacre_status segment_check_value(SegmentCheck *check, const BlobRef *blob) {
    Segment *segment = check->segment;
    Env *env = segment->io->env;
    uint64_t place = segment_place(segment, STREAM_BLOBS, blob->offset);
    if (segment_check_blob(segment, blob) != NACRE_OK) return segment_check_status(check, NACRE_CORRUPT, place);
    size_t size = blob->pieces ? PIECE_SIZE : (size_t)blob->size, table_capacity = 0;
    uint8_t *bytes = env_alloc(env, size), *table = NULL;
    if (!bytes) return NACRE_RESOURCE_EXHAUSTED;
    nacre_status status = blob->pieces ? segment_blob_table(segment, blob, &table, &table_capacity)
                                       : segment_read_blob(segment, *blob, bytes);
    status = segment_check_status(check, status, place);
    for (uint64_t i = 0; table_capacity && i < piece_count_of(blob->size) && status == NACRE_OK; i++)
        status = segment_check_status(check, segment_blob_piece(segment, blob, table, i, bytes),
                                      segment_place(segment, STREAM_BLOBS, blob->offset + i * PIECE_SIZE));
    env_free(env, bytes, size);
    env_free(env, table, table_capacity);
    return status;
}

nacre_status segment_row_key(Env *env, const Block *block, uint32_t row, uint8_t **key, size_t *capacity, Span *whole) {
    Span suffix = block_suffix(block, row);
    size_t size = block->prefix.size + suffix.size;
    void *memory = *key;
    TRY(env_grow(env, &memory, capacity, size, 1));
    *key = memory;
    bytes_copy(*key, block->prefix.data, block->prefix.size);
    bytes_copy(*key + block->prefix.size, suffix.data, suffix.size);
    *whole = span_of(*key, size);
    return NACRE_OK;
}

static nacre_status segment_check_row(SegmentCheck *check, uint32_t index, const Block *block, uint32_t row) {
    Segment *segment = check->segment;
    Span key;
    TRY(segment_row_key(segment->io->env, block, row, &check->buffer, &check->capacity, &key));
    if (check->rows > 0 && span_compare(span_of(check->last, check->last_size), key) >= 0)
        segment_report(check, check->rows, "keys out of order");
    if (segment_block_of(segment, key) != index) segment_report(check, check->rows, "the index leads to another block");
    if (!filter_blocks_may_have(segment->meta.filter, segment->meta.filter_size, key_hash(key.data, key.size)))
        segment_report(check, check->rows, "the filter denies a key that is there");
    Entry entry = {.key = key};
    segment_entry(segment, block, row, &entry);
    if (entry.flags & ENTRY_BLOB) TRY(segment_check_value(check, &entry.blob));
    if (entry.flags & ENTRY_VECTOR) {
        Section section;
        if (key.size < 4 || !segment_find_section(segment, get_u32_be(key.data), &section) ||
            entry.slot < section.first_slot || entry.slot - section.first_slot >= section.slot_count)
            segment_report(check, entry.slot, "a row refers to a vector that is not there");
        if (entry.slot != check->slots++) segment_report(check, entry.slot, "a row refers to the vector of another");
    }
    if (check->rows == 0 && !span_eq(key, segment_first_key(segment)))
        segment_report(check, 0, "the manifest names another first key");
    if ((entry.flags & ENTRY_EXPIRES) && (check->first_expiry == 0 || entry.expires < check->first_expiry))
        check->first_expiry = entry.expires ? entry.expires : 1;
    check->rows++;
    check->deletes += (entry.flags & ENTRY_DELETE) != 0;
    void *last = check->last;
    TRY(env_grow(segment->io->env, &last, &check->last_capacity, key.size, 1));
    check->last = last;
    memcpy(check->last, key.data, key.size);
    check->last_size = key.size;
    return NACRE_OK;
}

static nacre_status segment_check_all(SegmentCheck *check) {
    Segment *segment = check->segment;
    bool all_read = true;
    for (uint32_t i = 0; i < segment->meta.block_count; i++) {
        Block block;
        uint64_t offset = segment_place(segment, STREAM_ROWS, (uint64_t)segment_page(segment, i) * segment->page_size);
        nacre_status status = segment_block_ahead(segment, i, 0, &check->blocks, &block);
        if (status != NACRE_OK) {
            all_read = false;
            TRY(segment_check_status(check, status, offset));
            continue;
        }
        if (all_read && block.first_slot != check->slots) segment_report(check, offset, "the first slot of a block");
        check->slots = block.first_slot;
        for (uint32_t row = 0; row < block.count && status == NACRE_OK; row++)
            status = segment_check_row(check, i, &block, row);
        TRY(status);
    }
    if (all_read && (check->rows != segment->rows || check->deletes != segment->deletes))
        segment_report(check, 0, "the manifest counts other rows");
    if (all_read && check->first_expiry != segment->first_expiry)
        segment_report(check, 0, "the manifest names another first expiry");
    if (all_read && check->rows && !span_eq(span_of(check->last, check->last_size), segment_last_key(segment)))
        segment_report(check, 0, "the manifest names another last key");
    for (uint32_t unit = 0; unit < segment->meta.unit_count; unit++) {
        void *pages = check->pages;
        TRY(env_grow(segment->io->env, &pages, &check->pages_capacity, VECTOR_UNIT, 1));
        check->pages = pages;
        uint64_t left = segment->streams[STREAM_VECTORS].size - (uint64_t)unit * VECTOR_UNIT;
        nacre_status status = segment_read_units(segment, unit, pages, left < VECTOR_UNIT ? (size_t)left : VECTOR_UNIT);
        TRY(segment_check_status(check, status, segment_place(segment, STREAM_VECTORS, (uint64_t)unit * VECTOR_UNIT)));
    }
    TRY(segment_check_status(check, segment_verify_codes(segment), segment_place(segment, STREAM_CODES, 0)));
    return segment_check_status(check, segment_verify_fields(segment), segment_place(segment, STREAM_FIELDS, 0));
}

nacre_status segment_verify(Segment *segment, nacre_problem *problem, void *self, uint64_t *problems) {
    Env *env = segment->io->env;
    SegmentCheck check = {.segment = segment, .problem = problem, .self = self, .problems = problems};
    CacheEntry *meta_pin = NULL;
    nacre_status status = segment_pin_meta(segment, &meta_pin);
    if (status != NACRE_OK)
        return segment_check_status(&check, status, segment_place(segment, STREAM_ROWS, segment->meta_offset));
    status = segment_check_all(&check);
    cache_unpin(segment->io->cache, meta_pin);
    env_free(env, check.buffer, check.capacity);
    env_free(env, check.blocks.bytes, check.blocks.capacity);
    env_free(env, check.pages, check.pages_capacity);
    env_free(env, check.last, check.last_capacity);
    return status;
}
