/* record_format.h - one row as it is logged, and as it lies in a memtable: the
 * log's bytes are the memtable's arena, there is no second copy.
 *
 *   batch  := size u32 | count u32 | lsn u64 | record*          size: of all of it, bytes
 *   record := key_size (lower 24 bits) and flags (upper 8) u32 | value_size u32
 *             | link u32 | stamp u32 | key | value | zeros up to a multiple of 4
 *
 * 1. A batch and each record begin at a multiple of 4 bytes from the log's start.
 * 2. key = membrane id u32 big-endian, then the row's key in its order-preserving
 *    encoding (keycode_format.h). No key is a prefix of another.
 * 3. flags: RECORD_DELETE, the row is gone (no value, no other flag); RECORD_VECTOR, the
 *    value is vector_size u32, the vector (f32 little-endian), then the fields;
 *    RECORD_EXPIRES, all that stands behind an expiry u64: milliseconds since 1970, from
 *    which on the row is as if deleted. While it is being written the expiry may be
 *    RECORD_LIFETIME + milliseconds: the check before the log makes it a time, so that there
 *    is one clock. In a log or memtable it is always below RECORD_LIFETIME.
 * 4. link and stamp are zero in the log. In the memtable they are set when the
 *    record is indexed: link = offset / 4 of the version before this one (0: none),
 *    stamp = LSN of the batch - base LSN of the memtable.
 * 5. RECORD_EXPIRES is of version 2. Flags of a later version (value references, parts of large transactions) are
 *    refused as NACRE_CORRUPT by this one.
 *
 * Why link and stamp take room in the log: 8 bytes more to write per record buy a
 * memtable without an entry of its own per record. */
#ifndef MEMTABLE_RECORD_FORMAT_H
#define MEMTABLE_RECORD_FORMAT_H

#include "base/codec.h"

enum {
    BATCH_HEAD = 16,
    RECORD_HEAD = 16,
    RECORD_KEY_SIZE_MAX = 0xffffff,
};

#define RECORD_DELETE 0x01u
#define RECORD_VECTOR 0x02u
#define RECORD_EXPIRES 0x08u
#define RECORD_FLAGS_KNOWN 0x0bu

#define RECORD_LIFETIME (UINT64_C(1) << 63)

static inline uint32_t record_key_size(const uint8_t *r) { return get_u32(r) & 0xffffffu; }
static inline uint32_t record_flags(const uint8_t *r) { return get_u32(r) >> 24; }
static inline uint32_t record_value_size(const uint8_t *r) { return get_u32(r + 4); }
static inline uint32_t record_link(const uint8_t *r) { return get_u32(r + 8); }
static inline uint32_t record_stamp(const uint8_t *r) { return get_u32(r + 12); }
static inline Span record_key(const uint8_t *r) { return span_of(r + RECORD_HEAD, record_key_size(r)); }
static inline Span record_value(const uint8_t *r) {
    return span_of(r + RECORD_HEAD + record_key_size(r), record_value_size(r));
}
static inline uint64_t record_size(uint64_t key_size, uint64_t value_size) {
    return round_up(RECORD_HEAD + key_size + value_size, 4);
}

#endif
