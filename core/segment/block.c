/* block.c - checks a block once, when it is read, so that everything else may trust
 * its offsets. Knows nothing of files or caches. */
#include "segment/block.h"

#include "base/compress.h"
#include "base/find16.h"

void block_reopen(Block *block, const uint8_t *data) {
    *block = (Block){.data = data, .count = get_u16(data + 12), .first_slot = get_u32(data + 20)};
    block->is_long = data[14] == BLOCK_LONG;
    if (block->is_long) {
        block->flags = data + BLOCK_HEAD;
        return;
    }
    uint32_t n = block->count, prefix_size = get_u16(data + 16);
    block->suffix_width = get_u16(data + 18);
    block->fps = data + BLOCK_HEAD;
    block->flags = block->fps + n;
    block->value_offsets = block->flags + n;
    const uint8_t *at = block->value_offsets + 2 * ((size_t)n + 1);
    if (block->suffix_width == SUFFIXES_DIFFER) {
        block->key_offsets = at;
        at += 2 * ((size_t)n + 1);
    }
    block->prefix = span_of(at, prefix_size);
    block->suffixes = at + prefix_size;
}

static uint32_t block_at(const uint8_t *offsets, uint32_t row) { return get_u16(offsets + 2 * (size_t)row); }

/* Bytes that the flags promise in front of the value. */
static uint32_t block_head_size(uint32_t flags) {
    return ((flags & ENTRY_EXPIRES) ? 8u : 0) + ((flags & ENTRY_VECTOR) ? 4u : 0) +
           ((flags & ENTRY_BLOB) ? (uint32_t)BLOB_REF_SIZE : 0);
}

/* Offsets rise and stay inside; every row has a membrane, and room for what its flags promise. */
static const char *block_check_rows(const Block *block, uint32_t size) {
    uint32_t n = block->count;
    uint64_t suffixes_at = (uint64_t)(block->suffixes - block->data), values_at = suffixes_at;
    if (block->suffix_width == SUFFIXES_DIFFER) {
        if (block_at(block->key_offsets, 0) != suffixes_at) return "key offsets";
        for (uint32_t i = 0; i < n; i++) {
            uint32_t from = block_at(block->key_offsets, i), to = block_at(block->key_offsets, i + 1);
            if (from > to) return "key offsets";
            if (block->prefix.size + (to - from) < 4) return "a key without a membrane";
        }
        values_at = block_at(block->key_offsets, n);
    } else {
        values_at += (uint64_t)n * block->suffix_width;
        if (block->prefix.size + block->suffix_width < 4) return "a key without a membrane";
    }
    if (values_at > size || block_at(block->value_offsets, 0) != values_at) return "value offsets";
    for (uint32_t i = 0; i < n; i++) {
        uint32_t from = block_at(block->value_offsets, i), to = block_at(block->value_offsets, i + 1);
        if (from > to || to > size) return "value offsets";
        uint32_t flags = block->flags[i], need = block_head_size(flags);
        if (flags & ~ENTRY_FLAGS_KNOWN) return "flags of a later version";
        if ((flags & ENTRY_PIECES) && !(flags & ENTRY_BLOB)) return "pieces of no blob";
        if (to - from < need || ((flags & ENTRY_BLOB) && to - from != need)) return "value size";
        if ((flags & ENTRY_DELETE) && (flags != ENTRY_DELETE || from != to)) return "deleted row with a value";
    }
    return NULL;
}

static const char *block_check_sum(const uint8_t *data, size_t pages_size, uint64_t seed) {
    if (pages_size < BLOCK_HEAD) return "cut short";
    uint32_t size = get_u32(data + 8);
    if (size < BLOCK_HEAD || size > pages_size) return "checksum"; /* a flipped size shows like this */
    return get_u64(data) == checksum64(seed, data + 8, size - 8) ? NULL : "checksum";
}

static const char *block_open_normal(Block *block, const uint8_t *data, uint32_t size) {
    uint32_t n = get_u16(data + 12);
    if (n == 0) return "no rows";
    uint64_t fixed = BLOCK_HEAD + 2 * (uint64_t)n + 2 * ((uint64_t)n + 1) + get_u16(data + 16);
    if (get_u16(data + 18) == SUFFIXES_DIFFER) fixed += 2 * ((uint64_t)n + 1);
    if (fixed > size) return "head";
    block_reopen(block, data);
    return block_check_rows(block, size);
}

size_t block_plain_size(const uint8_t *data, size_t size) {
    if (size < BLOCK_LZ4_HEAD || data[14] != BLOCK_LZ4) return 0;
    uint32_t plain = get_u32(data + BLOCK_HEAD);
    return plain > BLOCK_HEAD && plain <= BLOCK_SIZE_MAX ? plain : 0;
}

const char *block_unpack(Block *block, const uint8_t *data, size_t pages_size, uint64_t seed, uint8_t *plain) {
    const char *wrong = block_check_sum(data, pages_size, seed);
    if (wrong) return wrong;
    uint32_t size = get_u32(data + 8);
    size_t plain_size = block_plain_size(data, size);
    if (!plain_size) return "compressed block";
    memcpy(plain, data, BLOCK_HEAD);
    put_u64(plain, 0); /* checked already */
    put_u32(plain + 8, (uint32_t)plain_size);
    plain[14] = BLOCK_NORMAL;
    Span packed = span_of(data + BLOCK_LZ4_HEAD, size - BLOCK_LZ4_HEAD);
    if (!decompress_lz4(packed, plain + BLOCK_HEAD, plain_size - BLOCK_HEAD)) return "compressed block";
    return block_open_normal(block, plain, (uint32_t)plain_size);
}

const char *block_open(Block *block, const uint8_t *data, size_t pages_size, uint64_t seed) {
    const char *wrong = block_check_sum(data, pages_size, seed);
    if (wrong) return wrong;
    uint32_t size = get_u32(data + 8), n = get_u16(data + 12);
    if (n == 0) return "no rows";
    if (data[14] == BLOCK_LONG) {
        if (size < BLOCK_LONG_HEAD || n != 1) return "long row";
        uint32_t flags = data[BLOCK_HEAD], key = get_u32(data + BLOCK_HEAD + 4), value = get_u32(data + BLOCK_HEAD + 8);
        uint32_t need = block_head_size(flags);
        if ((flags & ~ENTRY_FLAGS_KNOWN) || ((flags & ENTRY_PIECES) && !(flags & ENTRY_BLOB)) ||
            (uint64_t)BLOCK_LONG_HEAD + key + value != size || value < need)
            return "long row";
        if (key < 4) return "a key without a membrane";
        if ((flags & ENTRY_DELETE) && (flags != ENTRY_DELETE || value != 0)) return "deleted row with a value";
        if ((flags & ENTRY_BLOB) && value != need) return "long row";
        block_reopen(block, data);
        return NULL;
    }
    if (data[14] == BLOCK_LZ4) return "compressed block"; /* of a size that cannot be */
    if (data[14] != BLOCK_NORMAL) return "block of a later version";
    return block_open_normal(block, data, size);
}

Span block_suffix(const Block *block, uint32_t row) {
    if (block->is_long) return span_of(block->data + BLOCK_LONG_HEAD, get_u32(block->data + BLOCK_HEAD + 4));
    if (block->suffix_width != SUFFIXES_DIFFER)
        return span_of(block->suffixes + (size_t)row * block->suffix_width, block->suffix_width);
    uint32_t from = block_at(block->key_offsets, row);
    return span_of(block->data + from, block_at(block->key_offsets, row + 1) - from);
}

Span block_value(const Block *block, uint32_t row) {
    if (block->is_long) {
        uint32_t key_size = get_u32(block->data + BLOCK_HEAD + 4);
        return span_of(block->data + BLOCK_LONG_HEAD + key_size, get_u32(block->data + BLOCK_HEAD + 8));
    }
    uint32_t from = block_at(block->value_offsets, row);
    return span_of(block->data + from, block_at(block->value_offsets, row + 1) - from);
}

uint32_t block_slot(const Block *block, uint32_t row) {
    return get_u32(block_value(block, row).data + (block_flags(block, row) & ENTRY_EXPIRES ? 8 : 0));
}

uint32_t block_seek(const Block *block, Span key, bool *equal) {
    *equal = false;
    size_t common = span_common_prefix(block->prefix, key);
    if (common < block->prefix.size) {
        bool before = common == key.size || key.data[common] < block->prefix.data[common];
        return before ? 0 : block->count;
    }
    Span rest = span_of(key.data + common, key.size - common);
    uint32_t low = 0, high = block->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = span_compare(block_suffix(block, middle), rest);
        if (order == 0) {
            *equal = true;
            return middle;
        }
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

uint32_t block_find(const Block *block, Span key, uint64_t hash) {
    if (!span_starts_with(key, block->prefix)) return block->count;
    Span rest = span_of(key.data + block->prefix.size, key.size - block->prefix.size);
    if (block->is_long) return span_eq(block_suffix(block, 0), rest) ? 0 : block->count;
    uint8_t fp = fingerprint_of(hash);
    for (uint32_t row = 0; (row = find_byte(block->fps, block->count, row, fp)) < block->count; row++)
        if (span_eq(block_suffix(block, row), rest)) return row;
    return block->count;
}
