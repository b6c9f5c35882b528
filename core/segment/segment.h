/* segment.h - reading one immutable segment: look-ups, blobs, vectors. */
#ifndef SEGMENT_SEGMENT_H
#define SEGMENT_SEGMENT_H

#include "base/key_head.h"
#include "segment/block.h"
#include "segment/entry.h"
#include "segment/learned.h"
#include "segment/codes_writer.h"
#include "segment/fields_writer.h"
#include "segment/shelf.h"
#include "store/cache.h"
#include "store/data_file.h"

/* How rows of a membrane are put into blocks. */
typedef struct BlockLayout {
    uint32_t size; /* bytes gathered: 4096 ... BLOCK_SIZE_MAX */
    bool compress; /* blocks and big values */
} BlockLayout;

/* What every segment of a database shares. */
typedef struct SegmentIo {
    Env *env;
    DataFile *data;
    Cache *cache;
    uint32_t block_size; /* for new segments, where `layout` says nothing else */
    uint32_t filter_bits;
    BlockLayout (*layout)(const void *self, uint32_t membrane); /* NULL: all alike */
    const void *layout_self;
    const Kernels *kernels;
    const CodeHost *code_host; /* NULL: vectors are not coded */
    Shelf *shelf;              /* NULL: codebooks are not shared */
    const FieldHost *field_host; /* NULL: no fields are indexed */
    uint64_t blocks_read, filter_misses;
} SegmentIo;

typedef struct Stream {
    ExtentList extents;
    uint64_t size; /* bytes */
} Stream;

typedef struct Section {
    uint32_t membrane, stride; /* stride: bytes of a vector; 0: none */
    uint32_t first_slot, slot_count;
    uint64_t offset; /* in STREAM_VECTORS */
    uint64_t rows;
} Section;

/* The parsed meta; points into the cache entry that holds its bytes. */
typedef struct SegmentMeta {
    uint32_t block_count, unit_count, section_count;
    size_t filter_size;
    const uint8_t *pages, *first_slots, *separator_offsets, *sections, *fences, *unit_checksums, *filter, *separators;
    Span prefix;
    Learned model; /* of the fences; without pieces: there is none */
} SegmentMeta;

typedef struct Segment {
    SegmentIo *io;
    CacheEntry *meta_entry; /* NULL: not in the cache */
    CacheEntry **blocks;    /* of each block what the cache has of it; NULL: of none. Goes with meta_entry */
    CacheEntry **vectors;   /* the same of units of vectors, and behind them of extents */
    uint32_t block_slots, vector_slots;
    uint32_t references;
    KeyHead first_head, last_head;
    SegmentMeta meta;
    uint64_t id;
    uint32_t page_size;
    Stream streams[STREAM_COUNT];
    uint64_t meta_offset, meta_size, meta_checksum; /* in STREAM_ROWS */
    uint64_t rows, deletes; /* deletes are among the rows */
    uint64_t marked_round;  /* of the extent map: when `marked` was put on its extents */
    uint8_t marked;
    uint64_t first_expiry;  /* of its rows, the first that expires; 0: none does */
    uint8_t *first_key, *last_key;
    size_t first_key_size, last_key_size;
    uint8_t *checked; /* a bit per block: found right where the file is mapped. NULL: none was */
    size_t checked_size;
    /* Slots known to be shadowed by newer rows, found while searching: true of every
     * state of `dead_lsn` or later. NULL: none found yet. */
    uint8_t *dead;
    size_t dead_size;
    uint64_t dead_lsn;
    struct CodesEntry *codes; /* the directory of STREAM_CODES; NULL: not read, or none */
    uint32_t codes_count;
    CacheEntry *fields; /* the directory of STREAM_FIELDS; NULL: not in the cache */
} Segment;

/* An empty shell with one reference, to be filled by the manifest or the writer. */
NACRE_CHECKED nacre_status segment_alloc(SegmentIo *io, uint64_t id, Segment **segment);
void segment_retain(Segment *segment);
void segment_release(Segment *segment);
static inline Span segment_first_key(const Segment *s) { return span_of(s->first_key, s->first_key_size); }
static inline Span segment_last_key(const Segment *s) { return span_of(s->last_key, s->last_key_size); }
uint64_t segment_bytes(const Segment *segment); /* of extents */
/* One row, and a value that makes it stand alone (segment_format.h, rule 10). */
static inline bool segment_is_solo(const Segment *s) {
    return s->rows == 1 && s->streams[STREAM_BLOBS].size >= SOLO_BYTES;
}
/* Copies the keys of the first and the last row. Once. */
NACRE_CHECKED nacre_status segment_set_keys(Segment *segment, Span first, Span last);
/* Is all of it before the key, or after it? */
static inline bool segment_is_before(const Segment *s, Span key, KeyHead head) {
    return key_compare(segment_last_key(s), s->last_head, key, head) < 0;
}
static inline bool segment_is_after(const Segment *s, Span key, KeyHead head) {
    return key_compare(segment_first_key(s), s->first_head, key, head) > 0;
}

/* May it hold rows of a membrane? */
static inline bool segment_spans(const Segment *s, uint32_t membrane) {
    return get_u32_be(s->first_key) <= membrane && membrane <= get_u32_be(s->last_key);
}

/* Makes segment->meta readable until the pin is given back by cache_unpin. */
NACRE_CHECKED nacre_status segment_pin_meta(Segment *segment, CacheEntry **pin);
Section segment_section(const Segment *segment, uint32_t index);
/* The section of a membrane; false: it has no rows here. Meta must be pinned. */
bool segment_find_section(const Segment *segment, uint32_t membrane, Section *section);

/* Block `index`; meta must be pinned. Borrowed until the pin is given back; where the file is
 * mapped, *pin may be NULL, and the block is borrowed while the segment's extents are its own. */
NACRE_CHECKED nacre_status segment_block(Segment *segment, uint32_t index, Block *block, CacheEntry **pin);
static inline bool segment_block_is_cached(const Segment *segment, uint32_t index) {
    return segment->blocks && segment->blocks[index];
}
/* Blocks read past the cache, many at a time. Zero is empty; free `bytes`. */
typedef struct BlocksAhead {
    const Segment *segment;
    uint32_t first, end; /* blocks that are there */
    uint8_t *bytes;
    size_t capacity;
} BlocksAhead;
enum { BLOCKS_AHEAD_BYTES = 65536 };
/* Block `index`, from those that were read with an earlier one, or with up to `room` bytes of
 * what follows it. Borrowed until the next call. Meta must be pinned. */
NACRE_CHECKED nacre_status segment_block_ahead(Segment *segment, uint32_t index, size_t room, BlocksAhead *ahead,
                                               Block *block);
/* What is not above the first key of a block, and above the last of the one before; meta must be pinned. */
Span segment_separator(const Segment *segment, uint32_t index);
/* Last block whose separator is <= key, or 0; meta must be pinned. */
uint32_t segment_block_of(const Segment *segment, Span key);
/* The block that holds `slot`; meta must be pinned. */
uint32_t segment_block_of_slot(const Segment *segment, uint32_t slot);

/* Asks for the memory that looking for a key of this hash will want first. */
void segment_expect(const Segment *segment, uint64_t hash);
/* The next step: asks for the block that the key would be in; false where the filter says no,
 * or nothing is known yet. */
bool segment_expect_block(const Segment *segment, Span key, uint64_t hash);
/* One key. NACRE_NOT_FOUND; else *entry (deletions included) is borrowed until *pin,
 * the block's, is given back. */
NACRE_CHECKED nacre_status segment_get(Segment *segment, Span key, uint64_t hash, Entry *entry, CacheEntry **pin);

/* The whole key of a row, put together in *key, which grows as needed. */
NACRE_CHECKED nacre_status segment_row_key(Env *env, const Block *block, uint32_t row, uint8_t **key, size_t *capacity,
                                           Span *whole);
/* Fills entry's flags, value, slot and blob from row `row`; key is the caller's. */
void segment_entry(Segment *segment, const Block *block, uint32_t row, Entry *entry);

/* A blob's bytes, and the checksums of its pieces, lie within the stream. */
NACRE_CHECKED nacre_status segment_check_blob(const Segment *segment, const BlobRef *blob);
/* The checksums of a blob's pieces, checked, into a buffer that grows. */
NACRE_CHECKED nacre_status segment_blob_table(Segment *segment, const BlobRef *blob, uint8_t **table,
                                              size_t *capacity);
/* One piece of it, checked: PIECE_SIZE bytes, or what is left of the last one. */
NACRE_CHECKED nacre_status segment_blob_piece(Segment *segment, const BlobRef *blob, const uint8_t *table,
                                              uint64_t index, uint8_t *into);
/* Reads a whole blob and checks it. `into` has blob.size bytes. */
NACRE_CHECKED nacre_status segment_read_blob(Segment *segment, BlobRef blob, uint8_t *into);
/* For scans: an extent of the vectors at once, through the cache; *size bytes of it are
 * used. Meta must be pinned. */
NACRE_CHECKED nacre_status segment_vector_extent(Segment *segment, uint32_t index, CacheEntry **pin, size_t *size);
/* The vector of a slot. Meta must be pinned. */
NACRE_CHECKED nacre_status segment_read_vector(Segment *segment, const Section *section, uint32_t slot,
                                               uint8_t *into);

/* The same without a copy: *vector is borrowed until *pin is given back, or (a vector that goes on in
 * the next unit of the cache) lies in *scratch, which grows. */
NACRE_CHECKED nacre_status segment_vector(Segment *segment, const Section *section, uint32_t slot, uint8_t **scratch,
                                          size_t *capacity, const uint8_t **vector, CacheEntry **pin);

/* What is wrong with any byte of it, to the end; reports through `problem`. */
NACRE_CHECKED nacre_status segment_verify(Segment *segment, nacre_problem *problem, void *self, uint64_t *problems);

#endif
