/* block_test.c - one block of rows: found and sought as in a sorted list, refused when a
 * bit is wrong, and harmless when everything in it lies (B20, H19). */
#include "segment_lab.h"

/* A block in memory of exactly its size, so that a read behind it is noticed. */
typedef struct Bytes {
    uint8_t *data;
    size_t size;
    uint64_t seed;
} Bytes;

static BlockLayout packed_layout(const void *self, uint32_t membrane) {
    (void)self, (void)membrane;
    return (BlockLayout){4096, true};
}

/* The only block of a segment of these rows. */
static Bytes block_of(LabRows *rows, uint32_t page_size, bool packed) {
    Lab lab;
    Bytes bytes = {NULL, 0, 0};
    lab_sort(rows);
    lab_open(&lab, page_size, 10, 1 << 20);
    if (packed) lab.io.layout = packed_layout;
    Segment *segment = lab_write(&lab, rows, 0, rows->count);
    CacheEntry *pin = NULL;
    Block block;
    BlocksAhead ahead = {0};
    CHECK_EQ(segment_pin_meta(segment, &pin), NACRE_OK);
    CHECK_EQ(segment->meta.block_count, 1);
    CHECK_EQ(segment_block_ahead(segment, 0, 0, &ahead, &block), NACRE_OK);
    CHECK_EQ(block.count, rows->count);
    bytes.size = get_u32(ahead.bytes + 8);
    bytes.data = malloc(bytes.size);
    bytes.seed = place_seed(segment->id, STREAM_ROWS, 0);
    memcpy(bytes.data, ahead.bytes, bytes.size);
    env_free(&lab.env, ahead.bytes, ahead.capacity);
    cache_unpin(&lab.cache, pin);
    segment_release(segment);
    lab_close(&lab);
    return bytes;
}

typedef enum Shape { SAME_WIDTH, WIDTHS_DIFFER, ONE_ROW, LONG_ROW, PACKED, SHAPES } Shape;

static LabRows shaped(Shape shape) {
    LabRows rows = {NULL, 0};
    int count = shape == ONE_ROW || shape == LONG_ROW ? 1 : 24;
    uint8_t *tail = calloc(1, 6000);
    for (int i = 0; i < count; i++) {
        size_t size = shape == LONG_ROW ? 6000 : shape == WIDTHS_DIFFER ? 3 + (size_t)i % 9 : shape == PACKED ? 90 : 6;
        tail[2] = (uint8_t)(i * 5);
        LabRow *row = lab_add(&rows, 7, tail, size);
        row->value_size = i % 10 == 9 && shape != PACKED ? 2000 : (uint32_t)i;
        row->deleted = i % 6 == 5;
        row->vector_size = i % 4 == 0 ? 8 : 0;
    }
    free(tail);
    return rows;
}

static uint8_t *plain; /* of the last block that was compressed: exactly its size, too */

static const char *open_any(Block *block, const uint8_t *data, size_t size, uint64_t seed) {
    size_t plain_size = block_plain_size(data, size);
    free(plain);
    plain = plain_size ? malloc(plain_size) : NULL;
    return plain ? block_unpack(block, data, size, seed, plain) : block_open(block, data, size, seed);
}

static bool full_key_is(const Block *block, uint32_t row, Span key) {
    Span suffix = block_suffix(block, row);
    return key.size == block->prefix.size + suffix.size && span_starts_with(key, block->prefix) &&
           span_eq(span_of(key.data + block->prefix.size, suffix.size), suffix);
}

static void seeks_and_finds_like_a_sorted_list(void) {
    for (Shape shape = 0; shape < SHAPES; shape++) {
        LabRows rows = shaped(shape);
        Bytes bytes = block_of(&rows, 4096, shape == PACKED);
        Block block;
        CHECK(open_any(&block, bytes.data, bytes.size, bytes.seed) == NULL);
        CHECK_EQ(block.is_long, shape == LONG_ROW);
        CHECK_EQ(plain != NULL, shape == PACKED);
        for (uint32_t i = 0; i < rows.count; i++) {
            uint8_t *key = malloc(rows.items[i].key_size + 1);
            CHECK(full_key_is(&block, i, lab_key(&rows.items[i])));
            for (int how = 0; how < 5; how++) { /* the key itself, and what stands close to it */
                memcpy(key, rows.items[i].key, rows.items[i].key_size);
                Span span = span_of(key, rows.items[i].key_size);
                if (how == 1) key[span.size++] = 0;
                if (how == 2) span.size--;
                if (how == 3) key[6]++;
                if (how == 4) key[3] = (uint8_t)(i % 2 ? 0 : 0xff); /* another membrane */
                size_t at = lab_lower(&rows, span);
                bool there = at < rows.count && span_eq(lab_key(&rows.items[at]), span), equal = !there;
                CHECK_EQ(block_seek(&block, span, &equal), at);
                CHECK_EQ(equal, there);
                CHECK_EQ(block_find(&block, span, key_hash(span.data, span.size)), there ? at : rows.count);
            }
            free(key);
        }
        free(bytes.data);
        lab_rows_free(&rows);
    }
}

/* B19: every bit of it is covered, and so are its place and its segment. */
static void every_flipped_bit_is_refused(void) {
    for (Shape shape = 0; shape < SHAPES; shape++) {
        LabRows rows = shaped(shape);
        Bytes bytes = block_of(&rows, 4096, shape == PACKED);
        Block block;
        for (size_t bit = 0; bit < bytes.size * 8; bit++) {
            bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            CHECK(open_any(&block, bytes.data, bytes.size, bytes.seed) != NULL);
            bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        CHECK(open_any(&block, bytes.data, bytes.size, bytes.seed + 1) != NULL);
        for (size_t size = 0; size < bytes.size; size++) /* B21: cut short at every byte */
            CHECK(open_any(&block, bytes.data, size, bytes.seed) != NULL);
        free(bytes.data);
        lab_rows_free(&rows);
    }
}

static uint64_t touched; /* keeps the reads */

static void touch(Span span) {
    for (size_t i = 0; i < span.size; i++) touched += span.data[i];
}

/* Reads all that a reader might of a block that was accepted. */
static void use(const Block *block, const LabRows *rows) {
    bool equal;
    touch(block->prefix);
    for (uint32_t i = 0; i < block->count; i++) {
        Span value = block_value(block, i);
        uint32_t flags = block_flags(block, i);
        touch(block_suffix(block, i));
        touch(value);
        if (flags & ENTRY_VECTOR) CHECK(value.size >= 4);
        if (flags & ENTRY_BLOB) CHECK(value.size >= BLOB_REF_SIZE);
        CHECK((flags & ~ENTRY_FLAGS_KNOWN) == 0);
    }
    for (size_t i = 0; i < rows->count; i++) {
        Span key = lab_key(&rows->items[i]);
        CHECK(block_seek(block, key, &equal) <= block->count);
        CHECK(block_find(block, key, key_hash(key.data, key.size)) <= block->count);
    }
}

/* Opens edited bytes whose checksum is right; true: they were accepted. */
static bool try_edited(uint8_t *data, size_t size, uint64_t seed, const LabRows *rows) {
    Block block;
    size_t claimed = get_u32(data + 8);
    if (claimed >= BLOCK_HEAD && claimed <= size) put_u64(data, checksum64(seed, data + 8, claimed - 8));
    if (open_any(&block, data, size, seed) != NULL) return false;
    CHECK(block.count > 0);
    use(&block, rows);
    return true;
}

static void a_block_that_lies_stays_within_its_bytes(void) {
    uint64_t random = test_seed() + 10;
    for (Shape shape = 0; shape < SHAPES; shape++) {
        LabRows rows = shaped(shape);
        Bytes bytes = block_of(&rows, 4096, shape == PACKED);
        uint8_t *edited = malloc(bytes.size);
        uint64_t accepted = 0;
        size_t interesting = bytes.size < 300 ? bytes.size : 300; /* heads, flags, offsets */
        for (size_t at = 8; at < interesting; at++) /* each byte, every value */
            for (uint32_t value = 0; value < 256; value++) {
                memcpy(edited, bytes.data, bytes.size);
                edited[at] = (uint8_t)value;
                accepted += try_edited(edited, bytes.size, bytes.seed, &rows);
            }
        for (int round = 0; round < 20000; round++) {
            memcpy(edited, bytes.data, bytes.size);
            for (uint64_t edits = 1 + test_random(&random) % 4; edits > 0; edits--)
                edited[8 + test_random(&random) % (interesting - 8)] = (uint8_t)test_random(&random);
            accepted += try_edited(edited, bytes.size, bytes.seed, &rows);
        }
        CHECK(accepted > (shape == PACKED ? 100 : 1000)); /* else nothing was tried */
        free(edited);
        free(bytes.data);
        lab_rows_free(&rows);
    }
}

/* Nothing but noise behind a head that claims all kinds of things. */
static void noise_is_harmless(void) {
    uint64_t random = test_seed() + 11;
    LabRows rows = shaped(WIDTHS_DIFFER);
    for (int round = 0; round < 20000; round++) {
        size_t size = BLOCK_HEAD + (size_t)(test_random(&random) % 200);
        uint8_t *data = malloc(size);
        lab_bytes(test_random(&random), data, size);
        put_u32(data + 8, (uint32_t)size);
        put_u16(data + 12, (uint16_t)(test_random(&random) % 20));
        data[14] = (uint8_t)(test_random(&random) % 4);
        if (data[14] == BLOCK_LZ4 && size >= BLOCK_LZ4_HEAD) put_u32(data + BLOCK_HEAD, (uint32_t)(test_random(&random) % 300));
        put_u16(data + 16, (uint16_t)(test_random(&random) % 30));
        put_u16(data + 18, test_random(&random) % 2 ? SUFFIXES_DIFFER : (uint16_t)(test_random(&random) % 12));
        (void)try_edited(data, size, 5, &rows);
        free(data);
    }
    lab_rows_free(&rows);
}

void block_test(void) {
    RUN(seeks_and_finds_like_a_sorted_list);
    RUN(every_flipped_bit_is_refused);
    RUN(a_block_that_lies_stays_within_its_bytes);
    RUN(noise_is_harmless);
    free(plain);
}
