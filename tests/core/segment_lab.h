/* segment_lab.h - a data file on a simulated disk, and rows made from numbers, for the
 * tests of segments, iterators and merges. A row's bytes follow from its seed, so that
 * what was written need not be kept. */
#ifndef TESTS_SEGMENT_LAB_H
#define TESTS_SEGMENT_LAB_H

#include "lib/check.h"
#include "lib/sim_disk.h"
#include "segment/run_iter.h"
#include "segment/writer.h"

#include <stdlib.h>

typedef struct Lab {
    SimDisk *disk;
    Env env;
    DataFile data;
    Cache cache;
    ExtentMap map;
    SegmentIo io;
    uint64_t next_id;
} Lab;

static inline void lab_open(Lab *lab, uint32_t page_size, uint32_t filter_bits, uint64_t cache_limit) {
    *lab = (Lab){.disk = sim_disk_new(1), .next_id = 1};
    env_init(&lab->env, sim_disk_vfs(lab->disk), NULL, (uint64_t)1 << 30);
    lab->data = (DataFile){.env = &lab->env, .name = "data"};
    CHECK_EQ(lab->env.vfs->open(lab->env.vfs->self, "data", VFS_CREATE, &lab->data.file), NACRE_OK);
    CHECK_EQ(cache_init(&lab->cache, &lab->env, cache_limit), NACRE_OK);
    extent_map_init(&lab->map, &lab->env, 0);
    lab->io = (SegmentIo){.env = &lab->env, .data = &lab->data, .cache = &lab->cache,
                          .block_size = page_size, .filter_bits = filter_bits};
}

/* Everything was given back. */
static inline void lab_close(Lab *lab) {
    cache_clear(&lab->cache);
    extent_map_clear(&lab->map);
    lab->env.vfs->close(lab->data.file);
    CHECK_EQ(lab->env.memory_used, 0);
    sim_disk_free(lab->disk);
}

typedef struct LabRow {
    uint8_t *key; /* owned */
    size_t key_size;
    uint64_t seed;
    uint32_t value_size, vector_size; /* vector 0: none */
    bool deleted;
} LabRow;

typedef struct LabRows {
    LabRow *items; /* by key, each once */
    size_t count;
} LabRows;

static inline void lab_bytes(uint64_t seed, uint8_t *out, size_t size) {
    uint64_t state = seed, bits = 0;
    for (size_t i = 0; i < size; i++, bits >>= 8) {
        if (i % 8 == 0) bits = test_random(&state);
        out[i] = (uint8_t)bits;
    }
}

static inline Span lab_key(const LabRow *row) { return span_of(row->key, row->key_size); }

static inline int lab_compare(const void *a, const void *b) {
    return span_compare(lab_key((const LabRow *)a), lab_key((const LabRow *)b));
}

/* Adds a row with a key of `membrane` and `tail`. */
static inline LabRow *lab_add(LabRows *rows, uint32_t membrane, const void *tail, size_t size) {
    if ((rows->count & (rows->count - 1)) == 0) /* room for the next power of two */
        rows->items = realloc(rows->items, (rows->count ? 2 * rows->count : 1) * sizeof *rows->items);
    LabRow *row = &rows->items[rows->count++];
    *row = (LabRow){.key = malloc(4 + size), .key_size = 4 + size, .seed = rows->count};
    put_u32_be(row->key, membrane);
    if (size) memcpy(row->key + 4, tail, size);
    return row;
}

/* Sorts, and leaves the first of equal keys. */
static inline void lab_sort(LabRows *rows) {
    qsort(rows->items, rows->count, sizeof *rows->items, lab_compare);
    size_t kept = 0;
    for (size_t i = 0; i < rows->count; i++) {
        if (kept && lab_compare(&rows->items[kept - 1], &rows->items[i]) == 0) free(rows->items[i].key);
        else rows->items[kept++] = rows->items[i];
    }
    rows->count = kept;
}

static inline void lab_rows_free(LabRows *rows) {
    for (size_t i = 0; i < rows->count; i++) free(rows->items[i].key);
    free(rows->items);
    *rows = (LabRows){NULL, 0};
}

/* Index of the first row whose key is >= key. */
static inline size_t lab_lower(const LabRows *rows, Span key) {
    size_t low = 0, high = rows->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (span_compare(lab_key(&rows->items[middle]), key) < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* Writes rows [from, to) as one segment. */
static inline Segment *lab_write(Lab *lab, const LabRows *rows, size_t from, size_t to) {
    SegmentWriter writer;
    Segment *segment = NULL;
    segment_writer_init(&writer, &lab->io, &lab->map, lab->next_id++);
    bool written = true;
    for (size_t i = from; i < to && written; i++) {
        const LabRow *row = &rows->items[i];
        uint8_t *bytes = malloc((size_t)row->value_size + row->vector_size + 1);
        lab_bytes(row->seed, bytes, (size_t)row->value_size + row->vector_size);
        Entry entry = {.key = lab_key(row), .flags = row->deleted ? ENTRY_DELETE : row->vector_size ? ENTRY_VECTOR : 0};
        if (!row->deleted) entry.value = span_of(bytes, row->value_size);
        if (!row->deleted && row->vector_size) entry.vector = span_of(bytes + row->value_size, row->vector_size);
        written = CHECK_EQ(segment_writer_add(&writer, &entry), NACRE_OK);
        free(bytes);
    }
    if (written) CHECK_EQ(segment_writer_finish(&writer, &segment), NACRE_OK);
    segment_writer_clear(&writer);
    return segment;
}

/* Is the entry the row as it was written, value, blob and vector too? */
static inline bool lab_entry_is(Lab *lab, const LabRow *row, const Entry *entry) {
    if (row->deleted) return entry->flags == ENTRY_DELETE && entry->value.size == 0;
    if (entry->flags & ENTRY_DELETE || ((entry->flags & ENTRY_VECTOR) != 0) != (row->vector_size > 0)) return false;
    size_t size = (size_t)row->value_size + row->vector_size;
    uint8_t *want = malloc(size + 1), *got = malloc(size + 1);
    lab_bytes(row->seed, want, size);
    bool same = false;
    if (entry->flags & ENTRY_BLOB)
        same = entry->blob.size == row->value_size && segment_read_blob(entry->segment, entry->blob, got) == NACRE_OK &&
               memcmp(got, want, row->value_size) == 0;
    else
        same = span_eq(entry->value, span_of(want, row->value_size));
    if (same && row->vector_size) {
        CacheEntry *pin = NULL;
        Section section = {0};
        same = segment_pin_meta(entry->segment, &pin) == NACRE_OK &&
               segment_find_section(entry->segment, get_u32_be(row->key), &section) &&
               section.stride == row->vector_size &&
               segment_read_vector(entry->segment, &section, entry->slot, got) == NACRE_OK &&
               memcmp(got, want + row->value_size, row->vector_size) == 0;
        cache_unpin(&lab->cache, pin);
    }
    free(want);
    free(got);
    return same;
}

static inline bool lab_iter_is(Lab *lab, Iter *iter, const LabRow *row) {
    Entry entry = {.key = {NULL, 0}};
    if (!iter->valid || !span_eq(iter->key, lab_key(row))) return false;
    iter->verbs->entry(iter, &entry);
    return span_eq(entry.key, lab_key(row)) && lab_entry_is(lab, row, &entry);
}

#endif
