/* feed_format.h - the archive of changes: what was logged, kept for readers who come later
 * (option changes_size). Rows of a membrane that nobody can open, in segments of their own,
 * which the manifest lists as a run of tier TIER_FEED.
 *
 *   key   := ff ff ff fe | lsn u64 big-endian | index u32 big-endian
 *   value := index FEED_MARK:  nothing
 *            index FEED_LOAD:  membrane id u32 *
 *            else:             record *                       (record_format.h)
 *
 * 1. A row without a special index is a piece of the batch `lsn`, from its index-th record
 *    on. It has whole records, of at most FEED_PIECE bytes together unless it is a single
 *    one. The pieces of a batch follow each other without a gap, from index 0.
 * 2. FEED_LOAD: with this LSN rows of these membranes were loaded by another way than the
 *    log: they are in segments, and one reads the membranes to know them.
 * 3. The first row of a segment, and no other, is a FEED_MARK; a batch does not cross
 *    segments. Its lsn: all changes above it are kept from there on. In the first segment
 *    that is where the archive begins, in each other one the last LSN of the one before.
 * 4. The archive ends with what the superblock's flushed LSN covers: the logs go on there.
 *    It is written by the same commit.
 * 5. link and stamp of a record are as the memtable left them; nobody looks at them.
 *
 * Why segments: space, checksums, commits and verification are there already. Why of their
 * own: merges pass them by, each byte is written once, and the oldest go without being read. */
#ifndef DB_FEED_FORMAT_H
#define DB_FEED_FORMAT_H

#include "base/codec.h"

#define FEED_MEMBRANE 0xfffffffeu
#define FEED_MARK 0xffffffffu
#define FEED_LOAD 0xfffffffeu

enum { FEED_KEY = 16, FEED_PIECE = 256 << 10 };

static inline Span feed_key(uint64_t lsn, uint32_t index, uint8_t out[FEED_KEY]) {
    put_u32_be(out, FEED_MEMBRANE);
    put_u64_be(out + 4, lsn);
    put_u32_be(out + 12, index);
    return span_of(out, FEED_KEY);
}

static inline bool feed_key_ok(Span key) { return key.size == FEED_KEY && get_u32_be(key.data) == FEED_MEMBRANE; }
static inline uint64_t feed_key_lsn(Span key) { return get_u64_be(key.data + 4); }
static inline uint32_t feed_key_index(Span key) { return get_u32_be(key.data + 12); }

#endif
