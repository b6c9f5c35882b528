/* segment_test.c - what a writer writes, a reader reads (segment_format.h), for every
 * page size, key, value, membrane and vector; and bytes that lie cannot hurt a reader. */
#include "segment_lab.h"

#include "segment/filter_blocks.h"

static void read_back(Lab *lab, const LabRows *rows, Segment *segment) {
    CacheEntry *pin = NULL;
    uint64_t deletes = 0, problems = 0;
    for (size_t i = 0; i < rows->count; i++) {
        const LabRow *row = &rows->items[i];
        Entry entry = {.key = {NULL, 0}};
        deletes += row->deleted;
        Span key = lab_key(row);
        if (!CHECK_EQ(segment_get(segment, key, key_hash(key.data, key.size), &entry, &pin), NACRE_OK)) return;
        CHECK(lab_entry_is(lab, row, &entry));
        cache_unpin(&lab->cache, pin);
    }
    CHECK_EQ(segment->rows, rows->count);
    CHECK_EQ(segment->deletes, deletes);
    CHECK(span_eq(segment_first_key(segment), lab_key(&rows->items[0])));
    CHECK(span_eq(segment_last_key(segment), lab_key(&rows->items[rows->count - 1])));
    CHECK_EQ(segment_verify(segment, NULL, NULL, &problems), NACRE_OK);
    CHECK_EQ(problems, 0);
}

/* Keys near those that are there, but not there. */
static void absent_keys_are_absent(Lab *lab, const LabRows *rows, Segment *segment) {
    (void)lab;
    for (size_t i = 0; i < rows->count; i += 1 + rows->count / 200) {
        const LabRow *row = &rows->items[i];
        uint8_t *key = malloc(row->key_size + 1);
        for (int how = 0; how < 3; how++) {
            memcpy(key, row->key, row->key_size);
            size_t size = row->key_size;
            if (how == 0) key[size++] = 0;
            else if (how == 1) key[size - 1] ^= 1;
            else if (size > 5) size--;
            Span span = span_of(key, size);
            size_t at = lab_lower(rows, span);
            if (at < rows->count && span_eq(lab_key(&rows->items[at]), span)) continue;
            Entry entry;
            CacheEntry *pin = NULL;
            CHECK_EQ(segment_get(segment, span, key_hash(key, size), &entry, &pin), NACRE_NOT_FOUND);
        }
        free(key);
    }
}

static void write_and_read(LabRows *rows, uint32_t page_size, uint64_t cache) {
    Lab lab;
    lab_sort(rows);
    lab_open(&lab, page_size, 10, cache);
    Segment *segment = lab_write(&lab, rows, 0, rows->count);
    if (segment) {
        read_back(&lab, rows, segment);
        absent_keys_are_absent(&lab, rows, segment);
    }
    segment_release(segment);
    lab_close(&lab);
    lab_rows_free(rows);
}

static const uint32_t page_sizes[5] = {4096, 8192, 16384, 32768, 65536};

/* C19: short keys of all lengths, values from nothing to more than a page, deletions. */
static void small_rows_are_read_back_from_every_page_size(void) {
    uint64_t random = test_seed();
    for (int p = 0; p < 5; p++) {
        LabRows rows = {NULL, 0};
        for (int i = 0; i < 3000; i++) {
            uint8_t tail[64];
            size_t size = (size_t)(test_random(&random) % 40);
            lab_bytes(random, tail, size);
            if (i % 3 == 0) memset(tail, i % 2 ? 0 : 0xff, size); /* zeros and FFs to the end */
            LabRow *row = lab_add(&rows, 1 + (uint32_t)(test_random(&random) % 5), tail, size);
            row->value_size = (uint32_t)(test_random(&random) % (i % 20 ? 120 : 20000));
            row->deleted = i % 7 == 0;
        }
        write_and_read(&rows, page_sizes[p], 1 << 20);
    }
}

/* Keys of 4 bytes to the longest there can be (C21: long rows have blocks of their own). */
static void keys_of_every_length_are_read_back(void) {
    static const size_t lengths[] = {0,    1,    2,     100,   900,   1000,  3900,  3950,  3990,  4000, 4040,
                                     4092, 8000, 16000, 32000, 65400, 65460, 65530, 65535, 65536, 131100};
    uint64_t random = test_seed() + 1;
    for (int p = 0; p < 5; p += 2) {
        LabRows rows = {NULL, 0};
        uint8_t *tail = calloc(1, 131100 + 8);
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
            for (int i = 0; i < 4; i++) {
                lab_bytes(i % 2 ? test_random(&random) : 7, tail, lengths[l]); /* a long common prefix, or none */
                if (lengths[l]) tail[lengths[l] - 1] = (uint8_t)i;
                LabRow *row = lab_add(&rows, 3, tail, lengths[l]);
                row->value_size = (uint32_t)(test_random(&random) % 3000);
                row->vector_size = 12;
                row->deleted = i == 3;
                if (row->deleted) row->vector_size = 0;
            }
        free(tail);
        write_and_read(&rows, page_sizes[p], 1 << 20);
    }
}

/* Values from nothing over the edges of block and extent to several MiB (C16, B16). */
static void values_of_every_size_are_read_back(void) {
    static const uint32_t value_sizes[] = {0,    1,     1023,  1024,  1025,  4095,    4096,    4097,   16383, 16384,
                                           16385, 65535, 65536, 65537, 70000, 1 << 20, 3 << 20, 5000000};
    for (int p = 0; p < 5; p += 4) {
        LabRows rows = {NULL, 0};
        for (uint32_t i = 0; i < sizeof value_sizes / sizeof *value_sizes; i++)
            for (uint8_t twin = 0; twin < 2; twin++) {
                uint8_t tail[2] = {(uint8_t)i, twin};
                lab_add(&rows, 1, tail, 2)->value_size = value_sizes[i];
            }
        write_and_read(&rows, page_sizes[p], 1 << 20);
    }
}

/* E24: vectors of several collections in one segment, each of its own width. */
static void vectors_of_many_membranes_are_read_back(void) {
    static const uint32_t dimensions[8] = {1, 3, 4, 100, 384, 1024, 4096, 5000};
    uint64_t random = test_seed() + 2;
    LabRows rows = {NULL, 0};
    for (uint32_t m = 0; m < 40; m++)
        for (int i = 0; i < (m % 8 < 5 ? 60 : 12); i++) {
            uint8_t tail[8];
            lab_bytes(test_random(&random), tail, 8);
            LabRow *row = lab_add(&rows, m + 1, tail, 8);
            row->value_size = (uint32_t)(random % 60);
            row->deleted = i % 9 == 8;
            row->vector_size = row->deleted || m % 10 == 9 ? 0 : dimensions[m % 8] * 4;
        }
    write_and_read(&rows, 4096, 1 << 20);
}

/* A cache of a few blocks answers the same, block after block (C05: fences). */
static void a_tiny_cache_changes_nothing(void) {
    LabRows rows = {NULL, 0};
    for (uint32_t i = 0; i < 4000; i++) {
        uint8_t tail[8] = {0};
        put_u32_be(tail + 4, i * 3);
        LabRow *row = lab_add(&rows, 1, tail, 8);
        row->value_size = i % 50;
        row->vector_size = 64;
    }
    write_and_read(&rows, 4096, 16 << 10);
}

/* ---- filters (C05) ---- */

typedef struct Filtered {
    double rate;      /* false positives of the filter */
    uint64_t denied;  /* keys that are there and were denied */
    uint64_t looked;  /* blocks read by PROBES gets of absent keys */
} Filtered;
enum { FILTER_KEYS = 100000, FILTER_PROBES = 5000 };

static void filter_key(uint8_t out[12], uint64_t number, bool sequential) {
    put_u32_be(out, 1);
    put_u64_be(out + 4, sequential ? number : number * 0x9e3779b97f4a7c15u); /* one to one */
}

/* Even numbers are there, odd ones are not. */
static Filtered filtered(uint32_t bits, bool sequential) {
    Lab lab;
    LabRows rows = {NULL, 0};
    Filtered found = {0, 0, 0};
    uint8_t key[12];
    lab_open(&lab, 4096, bits, 8 << 20);
    for (uint32_t i = 0; i < FILTER_KEYS; i++) {
        filter_key(key, 2 * (uint64_t)i, sequential);
        lab_add(&rows, 1, key + 4, 8);
    }
    lab_sort(&rows);
    Segment *segment = lab_write(&lab, &rows, 0, rows.count);
    CacheEntry *pin = NULL, *meta = NULL;
    if (!segment || !CHECK_EQ(segment_pin_meta(segment, &meta), NACRE_OK)) return found;
    const uint8_t *filter = segment->meta.filter;
    size_t size = segment->meta.filter_size;
    uint64_t let_through = 0;
    for (uint32_t i = 0; i < 10 * FILTER_KEYS; i++) {
        filter_key(key, 2 * (uint64_t)i + 1, sequential);
        let_through += filter_blocks_may_have(filter, size, key_hash(key, 12));
        filter_key(key, 2 * (uint64_t)(i % FILTER_KEYS), sequential);
        found.denied += !filter_blocks_may_have(filter, size, key_hash(key, 12));
    }
    found.rate = (double)let_through / (double)(10 * FILTER_KEYS);
    for (uint32_t i = 0; i < FILTER_PROBES; i++) {
        Entry entry;
        filter_key(key, 2 * (uint64_t)i + 1, sequential);
        CHECK_EQ(segment_get(segment, span_of(key, 12), key_hash(key, 12), &entry, &pin), NACRE_NOT_FOUND);
    }
    found.looked = lab.io.filter_misses;
    cache_unpin(&lab.cache, meta);
    segment_release(segment);
    lab_rows_free(&rows);
    lab_close(&lab);
    return found;
}

static void filters_seldom_let_absent_keys_through(void) {
    static const struct { uint32_t bits; double rate; } rows[2] = {{10, 0.013}, {12, 0.006}};
    for (int i = 0; i < 4; i++) {
        Filtered found = filtered(rows[i / 2].bits, i % 2);
        CHECK_NEAR(found.rate, 0, rows[i / 2].rate);
        CHECK_EQ(found.denied, 0); /* no false negative */
        CHECK(found.looked <= FILTER_PROBES / 40);
    }
    Filtered off = filtered(0, false); /* then every get reads its block */
    CHECK_EQ(off.looked, FILTER_PROBES);
    CHECK_EQ(off.denied, 0);
}

/* ---- bytes that lie ---- */

static LabRows mixed_rows(uint32_t count) {
    LabRows rows = {NULL, 0};
    for (uint32_t i = 0; i < count; i++) {
        uint8_t tail[24] = {0};
        put_u32_be(tail + 3, i * 5);
        LabRow *row = lab_add(&rows, 1 + i % 3, tail, i % 3 ? 7 : 7 + i % 17);
        row->value_size = i % 40 == 39 ? 3000 : i % 90;
        row->deleted = i % 11 == 10;
        row->vector_size = i % 3 == 1 && !row->deleted ? 400 : 0;
    }
    uint8_t *tail = calloc(1, 9000);
    for (uint8_t i = 0; i < 2; i++) {
        tail[0] = i;
        lab_add(&rows, 2, tail, 9000)->value_size = 700;
    }
    free(tail);
    lab_sort(&rows);
    return rows;
}

/* Uses a segment of which nothing may be believed: any answer will do but a crash. */
static void use(Lab *lab, const LabRows *rows, Segment *segment) {
    uint64_t problems = 0;
    CacheEntry *pin = NULL;
    env_clear(&lab->env);
    for (size_t i = 0; i < rows->count; i += 7) {
        Entry entry;
        Span key = lab_key(&rows->items[i]);
        if (segment_get(segment, key, key_hash(key.data, key.size), &entry, &pin) != NACRE_OK) continue;
        (void)lab_entry_is(lab, &rows->items[i], &entry);
        cache_unpin(&lab->cache, pin);
        pin = NULL;
    }
    Iter *iter = NULL;
    if (run_iter_open(&lab->io, &segment, 1, (Span){NULL, 0}, true, &iter) == NACRE_OK) {
        nacre_status status = iter->verbs->seek(iter, (Span){NULL, 0});
        for (int i = 0; i < 5000 && status == NACRE_OK && iter->valid; i++) status = iter->verbs->next(iter);
        status = iter->verbs->seek_before(iter, lab_key(&rows->items[rows->count / 2]));
        for (int i = 0; i < 5000 && status == NACRE_OK && iter->valid; i++) status = iter->verbs->prev(iter);
        iter->verbs->close(iter);
    }
    (void)!segment_verify(segment, NULL, NULL, &problems);
    if (segment_pin_meta(segment, &pin) == NACRE_OK) {
        for (uint32_t i = 0; i < segment->meta.section_count && i < 10; i++) {
            Section section = segment_section(segment, i);
            if (section.stride == 0 || section.stride > 1 << 20) continue;
            uint8_t *vector = malloc(section.stride);
            (void)!segment_read_vector(segment, &section, section.first_slot, vector);
            (void)!segment_read_vector(segment, &section, section.first_slot + section.slot_count - 1, vector);
            free(vector);
        }
        cache_unpin(&lab->cache, pin);
    }
    env_clear(&lab->env);
}

/* Keys as integers are encoded, `step` apart, or random ones of all sizes; values of about 100 bytes. */
static LabRows numbered_rows(int count, uint64_t step, uint64_t random) {
    LabRows rows = {NULL, 0};
    for (int i = 0; i < count; i++) {
        uint8_t tail[8];
        put_u64_be(tail, ((uint64_t)1 << 63) + (random ? test_random(&random) >> (1 + test_random(&random) % 48) : (uint64_t)i * step));
        lab_add(&rows, 3, tail, sizeof tail)->value_size = 90 + (uint32_t)(i * 7 % 20);
    }
    lab_sort(&rows);
    return rows;
}

/* Every key, and those beside it, lead to the block that a search of all fences leads to. */
static uint32_t led_astray(Segment *segment, const LabRows *rows) {
    uint32_t astray = 0;
    CacheEntry *pin = NULL;
    Learned model = segment->meta.model, none = {0};
    if (!CHECK_EQ(segment_pin_meta(segment, &pin), NACRE_OK)) return 1;
    for (size_t i = 0; i < rows->count; i++)
        for (uint64_t off = 0; off < 5; off++) {
            uint8_t key[13] = {0};
            memcpy(key, rows->items[i].key, 12);
            put_u64_be(key + 4, get_u64_be(key + 4) + off - 2);
            for (size_t size = 0; size <= sizeof key; size += i % 50 ? 12 : 1) {
                segment->meta.model = model;
                uint32_t led = segment_block_of(segment, span_of(key, size));
                segment->meta.model = none;
                astray += led != segment_block_of(segment, span_of(key, size));
            }
        }
    segment->meta.model = model;
    cache_unpin(segment->io->cache, pin);
    return astray;
}

/* Rule 11: lines where keys are even, plain fences where they are not; the same rows either way. */
static void g20_lines_lead_to_the_blocks_where_they_pay(void) {
    for (int shape = 0; shape < 4; shape++) {
        Lab lab;
        LabRows rows = shape == 0 ? numbered_rows(8000, 1, 0) : shape == 1 ? numbered_rows(8000, (uint64_t)1 << 48, 0)
                     : shape == 2 ? numbered_rows(8000, 0, test_seed() + 9) : numbered_rows(900, 1, 0);
        lab_open(&lab, 4096, 10, 4 << 20);
        Segment *segment = lab_write(&lab, &rows, 0, rows.count);
        REQUIRE(segment);
        read_back(&lab, &rows, segment);
        absent_keys_are_absent(&lab, &rows, segment);
        CHECK_EQ(led_astray(segment, &rows), 0);
        uint32_t blocks = segment->meta.block_count, pieces = segment->meta.model.piece_count;
        CHECK(shape == 3 ? blocks < MODEL_FENCES_MIN : blocks > 2 * MODEL_FENCES_MIN);
        CHECK_EQ(pieces, shape < 2);
        if (shape < 2) CHECK_EQ(segment->meta.model.key_count, blocks);
        segment_release(segment);
        lab_rows_free(&rows);
        lab_close(&lab);
    }
}

static void forget_meta(Lab *lab, Segment *segment) {
    while (lab->cache.newest) cache_drop(&lab->cache, lab->cache.newest);
    CHECK(segment->meta_entry == NULL);
}

/* B20, H19: a segment's index edited at random, its checksum made right again. */
static void an_index_lies(LabRows rows, bool modelled) {
    Lab lab;
    uint64_t random = test_seed() + 4;
    lab_open(&lab, 4096, 10, 1 << 20);
    Segment *segment = lab_write(&lab, &rows, 0, rows.count);
    REQUIRE(segment);
    read_back(&lab, &rows, segment);
    const ExtentList *extents = &segment->streams[STREAM_ROWS].extents;
    size_t size = (size_t)segment->meta_size, whole_without = size;
    if (CHECK_EQ(segment->meta.model.piece_count > 0, modelled) && modelled)
        whole_without -= LEARNED_HEAD + LEARNED_PIECE * (size_t)segment->meta.model.piece_count;
    uint8_t *right = malloc(size), *wrong = malloc(size);
    CHECK_EQ(data_read(&lab.data, extents, segment->meta_offset, right, size), NACRE_OK);
    for (int round = 0; round < 2500; round++) {
        memcpy(wrong, right, size);
        size_t head = META_HEAD + 4 * 8; /* where counts stand, hit more often, as is the model */
        for (uint64_t edits = 1 + test_random(&random) % 3; edits > 0; edits--) {
            size_t at = (size_t)(test_random(&random) % (test_random(&random) % 2 ? size : head));
            if (modelled && test_random(&random) % 2) at = whole_without + (size_t)(test_random(&random) % (size - whole_without));
            if (test_random(&random) % 3 == 0 && at + 4 <= size)
                put_u32(wrong + at, (uint32_t)(test_random(&random) >> test_random(&random) % 32));
            else wrong[at] ^= (uint8_t)(1u << test_random(&random) % 8);
        }
        CHECK_EQ(data_write(&lab.data, extents, segment->meta_offset, wrong, size), NACRE_OK);
        segment->meta_checksum = checksum64(place_seed(segment->id, 255, 0), wrong, size);
        forget_meta(&lab, segment);
        use(&lab, &rows, segment);
    }
    /* and sizes that are not what was written */
    CHECK_EQ(data_write(&lab.data, extents, segment->meta_offset, right, size), NACRE_OK);
    for (size_t cut = 0; cut < size; cut += 1 + size / 300) {
        if (cut == whole_without) continue;
        segment->meta_size = cut;
        segment->meta_checksum = checksum64(place_seed(segment->id, 255, 0), right, cut);
        forget_meta(&lab, segment);
        CacheEntry *pin = NULL;
        CHECK_EQ(segment_pin_meta(segment, &pin), NACRE_CORRUPT);
        env_clear(&lab.env);
    }
    free(right);
    free(wrong);
    segment_release(segment);
    lab_rows_free(&rows);
    lab_close(&lab);
}

static void an_index_that_lies_hurts_nobody(void) {
    an_index_lies(mixed_rows(300), false);
    an_index_lies(numbered_rows(1500, 3, 0), true);
}

/* B19, B20: without a matching checksum every flipped bit of any stream is found. */
static void every_flipped_bit_is_found(void) {
    Lab lab;
    uint64_t random = test_seed() + 5;
    LabRows rows = mixed_rows(200);
    lab_open(&lab, 4096, 10, 1 << 20);
    Segment *segment = lab_write(&lab, &rows, 0, rows.count);
    REQUIRE(segment);
    for (int round = 0; round < 600; round++) {
        int stream = (int)(test_random(&random) % (STREAM_BLOBS + 1));
        uint64_t size = segment->streams[stream].size, problems = 0;
        if (stream == STREAM_ROWS) size = segment->meta_offset + segment->meta_size;
        uint64_t at = test_random(&random) % size, bit = test_random(&random) % 8;
        uint64_t place = (uint64_t)segment->streams[stream].extents.items[at / EXTENT_SIZE] * EXTENT_SIZE + at % EXTENT_SIZE;
        uint64_t file_size = 0;
        const uint8_t *before = sim_disk_bytes(lab.disk, "data", &file_size);
        uint8_t byte = before[place];
        sim_disk_flip(lab.disk, "data", place * 8 + bit);
        forget_meta(&lab, segment);
        CHECK_EQ(segment_verify(segment, NULL, NULL, &problems), NACRE_OK);
        /* The rest of a page behind its block is covered by nothing, and means nothing. */
        if (stream != STREAM_ROWS || byte != 0) CHECK(problems > 0);
        sim_disk_flip(lab.disk, "data", place * 8 + bit);
        env_clear(&lab.env);
    }
    forget_meta(&lab, segment);
    read_back(&lab, &rows, segment);
    segment_release(segment);
    lab_rows_free(&rows);
    lab_close(&lab);
}

/* Bytes of segment A read as segment B's: ids are part of every checksum (rule 3). */
static void a_misdirected_segment_is_found(void) {
    Lab lab;
    LabRows rows = mixed_rows(100);
    lab_open(&lab, 4096, 10, 1 << 20);
    Segment *segment = lab_write(&lab, &rows, 0, rows.count);
    REQUIRE(segment);
    segment->id = 77;
    CacheEntry *pin = NULL;
    CHECK_EQ(segment_pin_meta(segment, &pin), NACRE_CORRUPT);
    CHECK(strstr(lab.env.error.text, "77") && strstr(lab.env.error.text, "data")); /* C30 */
    segment_release(segment);
    lab_rows_free(&rows);
    lab_close(&lab);
}

/* B13, C27: a writer that fails at any allocation or write gives everything back. */
static void a_writer_that_fails_gives_everything_back(void) {
    LabRows rows = mixed_rows(120);
    for (uint64_t nth = 1; nth < 40; nth++) {
        Lab lab;
        lab_open(&lab, 4096, 10, 1 << 20);
        lab.env.memory_budget = lab.env.memory_used + nth * 12000;
        SegmentWriter writer;
        Segment *segment = NULL;
        nacre_status status = NACRE_OK;
        uint8_t bytes[4000] = {0};
        segment_writer_init(&writer, &lab.io, &lab.map, 1);
        for (size_t i = 0; i < rows.count && status == NACRE_OK; i++) {
            Entry entry = {.key = lab_key(&rows.items[i]), .value = span_of(bytes, rows.items[i].value_size)};
            status = segment_writer_add(&writer, &entry);
        }
        if (status == NACRE_OK) status = segment_writer_finish(&writer, &segment);
        CHECK(status == NACRE_OK || status == NACRE_RESOURCE_EXHAUSTED);
        CHECK((status == NACRE_OK) == (segment != NULL));
        segment_writer_clear(&writer);
        if (status != NACRE_OK) CHECK_EQ(extent_map_used(&lab.map), lab.map.count > 0); /* extent 0 */
        segment_release(segment);
        lab.env.memory_budget = UINT64_MAX;
        lab_close(&lab);
    }
    lab_rows_free(&rows);
}

void segment_test(void) {
    RUN(small_rows_are_read_back_from_every_page_size);
    RUN(keys_of_every_length_are_read_back);
    RUN(values_of_every_size_are_read_back);
    RUN(vectors_of_many_membranes_are_read_back);
    RUN(a_tiny_cache_changes_nothing);
    RUN(filters_seldom_let_absent_keys_through);
    RUN(g20_lines_lead_to_the_blocks_where_they_pay);
    RUN(an_index_that_lies_hurts_nobody);
    RUN(every_flipped_bit_is_found);
    RUN(a_misdirected_segment_is_found);
    RUN(a_writer_that_fails_gives_everything_back);
}
