/* wal_format.h - the bytes of a write-ahead log, NAME-wal0 or NAME-wal1.
 *
 *   log    := header (at 0) | the same header (at 4096) | frame* (from 8192)
 *   header := magic "NACRELOG" | version u32 | flags u32 | database id u8[16]
 *             | sequence u64 | salt u64 | base lsn u64 | epoch u64 | checksum u64
 *   frame  := checksum u64 | kind u32 | size u32 | lsn u64 | previous u64 | synced u64
 *             | body u8[size - 40]                                      little-endian
 *
 * 1. A header's checksum is over everything before it, seed 0. A frame's is over
 *    everything after itself, seeded with the log's salt. `size` counts the whole
 *    frame and is a multiple of 4. The body of FRAME_BATCHES is batches of
 *    record_format.h, one after the other, their LSNs rising.
 * 2. The two logs take turns. Each use of a log begins with a reset: the file is
 *    cut to its headers, the first header is written and synced, then the second.
 *    `sequence` rises by one with each reset of either log, `salt` is random. No
 *    frame is written before both headers are synced: so both headers damaged
 *    means damage, and never a crash. A crash in between leaves two that differ: the
 *    newer one counts, and opening for writing makes them the same before anything else.
 * 3. lsn is that of the last batch in the frame, previous that of the last batch
 *    before the frame, wherever that is: for the first frame it is what the other log
 *    or the segments end with. base lsn: everything up to it was in segments that both
 *    superblocks knew when the log was reset. A frame whose checksum is right and
 *    whose previous is not the lsn before it is damage.
 * 4. synced is the highest LSN known to be on the device when the frame was
 *    written. The first frame that is not whole ends the log. If a whole frame of
 *    the same salt follows later: with a synced above the last LSN before the gap,
 *    acknowledged batches are missing, and the log is damaged; else the gap is the
 *    torn end of writes that were never synced, and is cut.
 * 5. A cut truncates the newer log behind its last whole frame, and appends there a
 *    frame of kind FRAME_CUT (body: new salt u64; its own checksum uses the old one).
 *    The new salt is the checksum of 8 zero bytes, seeded with the old one, so that repair
 *    can go on where the cut is damaged. Readers take what the body says. (Version 1: any number.) The frames after it use the new salt, and LSNs go on from the cut's own, which is
 *    above every one seen, cut ones included. What an older log ends with stays until
 *    its reset.
 * 6. flags: LOG_CREATING while the database is being made; no frame is written
 *    until it is gone. LOG_RESTORING while it is made of a backup: whatever there is, it is
 *    not all. It stands in at least one log from before anything else is written until
 *    everything is durable, and a database where it stands is refused.
 * 7. Kinds FRAME_PART and FRAME_LAST are kept for transactions larger than memory.
 * 8. After a failed sync the log is truncated to what was synced. The device may have
 *    dropped the rest while reads still show it: the next open would build upon frames
 *    that the next power failure takes away. For the same reason a header whose sync
 *    failed is overwritten with zeros: the other one is right, and it is written anew.
 * 9. Version 2 differs by the records it may hold (record_format.h). A log of version 1
 *    goes on as such until its reset: that it may not be read by an older program is
 *    said by the superblock, which is of version 2 before anything is appended.
 * 10. Behind the last frame there may be zeros: room that a host made ahead (a browser that refuses
 *    to make files longer writes inside of them). They are no torn write.
 *
 * Assumed of the device: a write damages no bytes outside its own range, even when
 * it shares a sector with them ("powersafe overwrite", as SQLite assumes).
 *
 * Why truncate on reset: behind the last frame there is then nothing, so anything
 * there is a torn write, and is reported. Overwriting old frames in place measured
 * no faster. Why not fixed blocks: a log is only read from its start to its end. */
#ifndef LOG_WAL_FORMAT_H
#define LOG_WAL_FORMAT_H

#include "base/codec.h"

#define WAL_MAGIC "NACRELOG"
#define WAL_VERSION 2u
#define WAL_OLDEST 1u

enum {
    WAL_HEADER_SIZE = 72,
    WAL_HEADER_COPY = 4096, /* offset of the second header */
    WAL_HEAD = 8192,        /* offset of the first frame */
    FRAME_HEAD = 40,
};

#define LOG_CREATING 1u
#define LOG_RESTORING 2u

/* Four letters each, so that a frame is not easily mistaken. */
#define FRAME_BATCHES 0x42574e01u
#define FRAME_PART 0x42574e02u
#define FRAME_LAST 0x42574e03u
#define FRAME_CUT 0x42574e04u

#endif
