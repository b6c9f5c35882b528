/* segment_format.h - the bytes of a segment: a sorted, immutable piece of a run, held
 * as streams in extents of the data file. The manifest says where the streams are.
 *
 *   ROWS    := block* | meta | spare, perhaps
 *   VECTORS := for each section, at a multiple of 16 bytes: vectors (vector/element.h) * slots
 *   BLOBS   := values that do not fit into a block, one after the other
 *   CODES   := codes of the vectors, by which a search finds those to look at (codes_format.h)
 *   FIELDS  := values of indexed fields, and the rows that have them (fields_format.h)
 *   (POSTINGS: kept for text)
 *
 *   block   := checksum u64 | size u32 | count u16 | kind u8 | 0 u8 | prefix_size u16
 *              | suffix_width u16 (ffff: they differ) | first_slot u32 | BODY | zeros
 *   kind 0  := fp u8[n] | flags u8[n] | value_offset u16[n+1] | key_offset u16[n+1] if they
 *              differ | prefix | suffixes | values          offsets: from the block's start
 *   kind 2  := plain size u32 | LZ4 of the BODY of a block of kind 0 of that size, which has the
 *              same head but for checksum, size and kind
 *   kind 1  := flags u8 | 0 u8[3] | key_size u32 | value_size u32 | key | value
 *
 *   value   := nothing if ENTRY_DELETE
 *            | (expiry u64 if ENTRY_EXPIRES) (slot u32 if ENTRY_VECTOR) (offset u64 | size u64 | checksum u64 if ENTRY_BLOB, else bytes)
 *
 *   meta    := block_count u32 | unit_count u32 | section_count u32 | filter_size u32
 *              | separators_size u32 | prefix_size u32 | page u32[block_count + 1]
 *              | first_slot u32[block_count] | separator_offset u32[block_count + 1]
 *              | section* | fence u64[block_count] | unit_checksum u64[unit_count]
 *              | filter | prefix | separators | model, perhaps
 *   spare   := checksum u64 | section_count u32 | unit_count u32 | section* | unit_checksum u64[unit_count]
 *   section := membrane u32 | stride u32 | first_slot u32 | slot_count u32 | offset u64 | rows u64
 *
 * 1. Rows are ordered by key, and no key is there twice. A key begins with its
 *    membrane's id, so one segment may hold rows of several membranes.
 * 2. Pages are of 512 bytes to 64 KiB: the manifest says; SEGMENT_PAGE are written. A
 *    block begins with a page and has as many as lie before the next one's, zeros behind
 *    its size. How much is gathered into a block is the writer's affair (4-64 KiB, by
 *    membrane); those of 4 KiB and more that are not compressed begin at multiples of
 *    BLOCK_ALIGN, so that reading one touches no more pages of the system than it must. A
 *    row that cannot share a block has one of kind 1 of its own. (Version 1: pages of 4
 *    KiB and more, a block of kind 0 is one of them.)
 * 3. A block's checksum is over everything after it up to size, seeded with segment id
 *    and page; a unit's (16 KiB of VECTORS, the last one shorter) with segment id and
 *    unit (place_seed below). Ids are never reused, so a stale or misdirected block does
 *    not verify, and an extent may be moved by copying it. A blob's checksum, seeded
 *    with its size, stands where it is referenced; meta's, seeded as number 0 of stream
 *    255, in the manifest.
 * 4. A key's hash is XXH3-64 of all its bytes, seed 0. fp is bits 32-39 of it. flags:
 *    ENTRY_*.
 * 5. A value longer than a quarter of a block is a blob; one that was a blob stays one.
 * 6. separator i is not above the first key of block i and above the last of block
 *    i - 1. prefix is what the segment's first and last key have in common. fence i = the
 *    8 bytes of separator i after it, padded with zeros, as a big-endian number.
 * 7. The filter is a split-block Bloom filter (Putze et al. 2007; the salts are those
 *    of Apache Parquet; filter_blocks.h) over the hashes of all keys; size 0: none.
 * 8. Slots count the segment's vectors from 0, in the order of rows: a row's is slot -
 *    section.first_slot vectors into its section. first_slot of a block: the next slot
 *    where it begins. Each membrane has a section; without vectors its stride,
 *    slot_count and offset are 0.
 * 9. expiry: milliseconds since 1970, from which on the row is as if deleted; below 2^63.
 * 10. A blob of SOLO_BYTES or more is ENTRY_PIECES: behind its bytes stand checksums u64 of
 *    its pieces (256 KiB each, the last one shorter), each seeded with the piece's number,
 *    and the checksum of its reference is over those. So a part of it can be read and
 *    checked without the rest. Its row is alone in its segment: merges take that segment
 *    over as it is (db/maintain.c). Of version 2; before, no blob had pieces.
 * 11. model: a learned index (learned_format.h) over the fences. It is there when it pays:
 *    a piece for 64 fences at least, or one for 32 (tests/bench/README.md). Of version 2.
 *
 * 12. A block of kind 2 is as large as the LZ4 block format makes it (no frame), and at least
 *     a page smaller than it would be plain. The plain one has at most BLOCK_SIZE_MAX bytes.
 * 13. spare: what of meta nothing else tells, once more, for repair (db/repair.c). Blocks are
 *     found without meta, page by page, for each proves itself; vectors are not. It is there
 *     when there are units, at the first page behind meta; its checksum is over all behind
 *     itself, seeded as number 1 of stream 255. Readers do not look at it. Of version 2.
 *
 * Why blocks have no labels by which to find them without a manifest: free extents still hold
 * blocks of segments that were merged away. Each proves itself as well as a living one, and
 * with it rows would come back that were overwritten or deleted. What lives only the manifest
 * tells; so there are two of them, and each can be found by itself (manifest_format.h).
 *
 * Why whole rows in one page: one read per get is the whole budget (columns apart cost
 * a block each). Why vectors apart: a scan reads nothing else. */
#ifndef SEGMENT_SEGMENT_FORMAT_H
#define SEGMENT_SEGMENT_FORMAT_H

#include "base/checksum.h"
#include "base/codec.h"

enum {
    STREAM_ROWS = 0,
    STREAM_VECTORS = 1,
    STREAM_BLOBS = 2,
    STREAM_CODES = 3,
    STREAM_FIELDS = 4,
    STREAM_COUNT = 5, /* known to this version */
};

enum {
    SEGMENT_PAGE = 512,
    BLOCK_ALIGN = 4096,
    BLOCK_SIZE_MAX = 65536,
    BLOCK_HEAD = 24,
    BLOCK_NORMAL = 0,
    BLOCK_LONG = 1,
    BLOCK_LZ4 = 2,
    BLOCK_LZ4_HEAD = BLOCK_HEAD + 4,
    BLOCK_LONG_HEAD = BLOCK_HEAD + 12,
    SUFFIXES_DIFFER = 0xffff,
    META_HEAD = 24,
    SPARE_HEAD = 16,
    SECTION_SIZE = 32,
    BLOB_REF_SIZE = 24,
    VECTOR_UNIT = 16384,
    VECTOR_ALIGN = 16,
    FILTER_BLOCK = 32,
    PIECE_SIZE = 256 << 10,
    SOLO_BYTES = 1 << 20,
    MODEL_EPSILON = 4,
    MODEL_FENCES_MIN = 32,
    MODEL_FENCES_PER_PIECE = 64,
};

#define ENTRY_DELETE 0x01u
#define ENTRY_VECTOR 0x02u
#define ENTRY_BLOB 0x04u
#define ENTRY_EXPIRES 0x08u
#define ENTRY_PIECES 0x10u
#define ENTRY_FLAGS_KNOWN 0x1fu

/* Seed of a checksum: what the bytes are (rule 3). */
WRAPS static inline uint64_t place_seed(uint64_t segment, uint32_t stream, uint64_t number) {
    return segment * 0x9e3779b97f4a7c15u + ((uint64_t)stream << 56) + number + 1;
}

/* Rule 6: the 8 bytes of a key behind `prefix` of them. */
static inline uint64_t fence_of(Span key, size_t prefix) {
    uint64_t fence = 0;
    for (size_t i = 0; i < 8; i++) fence = fence << 8 | (prefix + i < key.size ? key.data[prefix + i] : 0);
    return fence;
}

/* Rule 10. */
static inline uint64_t piece_count_of(uint64_t size) { return size / PIECE_SIZE + (size % PIECE_SIZE != 0); }

static inline uint8_t fingerprint_of(uint64_t hash) { return (uint8_t)(hash >> 32); }

#endif
