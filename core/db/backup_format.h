/* backup_format.h - one stream of bytes for full backups, incremental ones, what was committed
 * since, and a database as one file.
 *
 *   stream  := magic "NACREBAK" | version u32 | 0 u32 | piece*                little-endian
 *   piece   := checksum u64 | kind u32 | size u32 | body u8[size - 16]
 *
 *   HEADER  := stream kind u32 | 0 u32 | database id u8[16] | lsn u64 | flushed lsn u64
 *              | base lsn u64 | base checksum u64
 *   SEGMENT := id u64 | page size u32 | stream count u32 | rows u64 | deletes u64 | first expiry u64
 *              | meta offset u64 | meta size u64 | meta checksum u64
 *              | first key size u32 | first key | last key size u32 | last key
 *              | (stream of the segment u32 | 0 u32 | size u64)*
 *   STATE   := run count u32 | 0 u32
 *              | (run id u64 | tier u32 | segment count u32 | above size u32 | above | segment id u64 *)*
 *   BATCH   := lsn u64
 *   LOAD    := lsn u64
 *   MARK    := lsn u64 | milliseconds since 1970 u64
 *   VALUE   := size u64 | record
 *   BYTES   := bytes of what began before it
 *   END     := database id u8[16] | stream kind u32 | 0 u32 | lsn u64 | pieces u64 | bytes u64
 *              | checksum before u64 | segment count u64 | (segment id u64 | meta checksum u64)*
 *              | size u32 | "BEND"
 *
 * 1. A piece's checksum is over everything after itself, seeded with the checksum of the piece
 *    before it (of the first: 0). So pieces cannot be left out, repeated or taken from another
 *    stream, and END's checksum stands for all of the stream. END comes last, says how many
 *    pieces and bytes came before it, and repeats its own size (that of the whole piece), so
 *    that it is found from the end; the seed is in it: it can be checked alone.
 * 2. A stream of BACKUP_FULL is the state after batch `lsn`: segments, then the STATE that
 *    they make up, then the batches above flushed lsn that were only in logs. Segment, run
 *    and keys are those of manifest_format.h without extents; streams follow their SEGMENT
 *    as BYTES, one after the other. Ids, and so checksums of blocks, stay what they are.
 * 3. BACKUP_INCREMENTAL is the same, but leaves out the segments that its base has: those
 *    of the same id and meta checksum in the base's END. base lsn and base checksum are that
 *    END's. Ids are never given twice, so what has the same id is the same.
 * 4. BACKUP_LOG is what was committed from above base lsn up to lsn: batches, and what came by
 *    another way than the log (LOAD), in the order of their LSNs. A MARK stands before the
 *    batches that it tells the time of: up to its lsn all was committed by then, and no MARK
 *    has a lower lsn or time than the one before. One reaches `lsn`.
 * 5. BYTES of a BATCH and of a LOAD are records (record_format.h; link and stamp zero), cut
 *    anywhere. A LOAD's keys rise. VALUE is a row of a LOAD whose value is large: its
 *    record has no value, and the value's `size` bytes follow as BYTES.
 * 6. BYTES have BACKUP_PIECE bytes at most, other bodies BACKUP_BODY_MAX.
 * 7. Nothing in it depends on the host, the clock (but for MARKs) or the caller's buffers:
 *    one state gives one stream of BACKUP_FULL, everywhere.
 * 8. A database that is made of it has a database id of its own: the ids of its segments
 *    go on from those of the stream, as may those of the database it was made of.
 *
 * Why segments and not rows: they are checked, compressed, ordered; what is not new need not
 * be read; and a database made of them has the same indexes at once. */
#ifndef DB_BACKUP_FORMAT_H
#define DB_BACKUP_FORMAT_H

#include "base/codec.h"

#define BACKUP_MAGIC "NACREBAK"
#define BACKUP_END_MAGIC 0x444e4542u /* "BEND" */

enum {
    BACKUP_VERSION = 1,
    BACKUP_PREFACE = 16, /* magic, version */
    BACKUP_PIECE_HEAD = 16,
    BACKUP_PIECE = 256 << 10,
    BACKUP_BODY_MAX = 1 << 30,
    BACKUP_HEADER_SIZE = 56,
    BACKUP_SEGMENT_HEAD = 64,
    BACKUP_END_HEAD = 64, /* of END's body, up to the segments */
    BACKUP_END_TAIL = 8,
};

enum { BACKUP_FULL = 1, BACKUP_INCREMENTAL = 2, BACKUP_LOG = 3 };

enum {
    PIECE_HEADER = 1,
    PIECE_SEGMENT = 2,
    PIECE_BYTES = 3,
    PIECE_STATE = 4,
    PIECE_BATCH = 5,
    PIECE_LOAD = 6,
    PIECE_MARK = 7,
    PIECE_VALUE = 8,
    PIECE_END = 9,
};

#endif
