/* superblock_format.h - where everything begins: two slots in the first extent of
 * NAME, at 0 and at 4096.
 *
 *   superblock := magic "NACREDB\n" | version u32 | flags u32 | database id u8[16]
 *                 | generation u64 | epoch u64 | flushed lsn u64 | synced lsn u64
 *                 | manifest size u64 | manifest checksum u64
 *                 | extents of the manifest: run count u32, (first u32, length u32)*
 *                 | zeros | checksum u64 (the last 8 of 2048 bytes)
 *
 * 1. Slot = generation mod 2; generation rises by one with each commit. What either
 *    slot references is never overwritten. Extents are pieces of 64 KiB (extents.h).
 * 2. A commit: manifest into free extents, sync, superblock into the older slot, sync.
 *    Where the disk has no room for another manifest, opening writes only a superblock:
 *    it shares the other slot's manifest.
 * 3. The checksum is over everything before it, seed 0. The manifest's is seeded with
 *    the generation. Later versions keep magic, version and checksum where they are, so
 *    that this one can tell them from damage.
 * 4. flushed lsn: everything up to it is in segments; logs are replayed above it.
 *    synced lsn: at least this much was on the device when the superblock was
 *    written; segments and logs must reach it, or something is missing.
 * 5. epoch: rises when the database is opened for writing. A writer that finds
 *    a higher epoch or generation than its own on disk has been replaced, and may not
 *    commit. (Appending to a log is not fenced by this: the lock is.)
 * 6. Open takes the slot of higher generation whose manifest verifies, and reports
 *    it when that is not the higher of the two written. It may fall back only when
 *    the logs connect: a log is reset only after both slots cover it.
 *    A slot whose write or sync failed is overwritten with zeros, and the next open syncs
 *    the file before it writes: the device may hold either.
 * 7. flags: SUPERBLOCK_ALONE, an exported file that needs no logs (kept for later).
 *    SUPERBLOCK_LOOSE, the writer acknowledges before it syncs, and has not closed yet: it
 *    may have shown LSNs of which a crash leaves no trace, so none near is used again.
 * 8. Later versions keep magic, version and checksum where they are. A whole slot of
 *    a version that is not known refuses the file, whatever the other slot says; one with
 *    a wrong checksum does when there is no valid slot.
 * 9. Version 2 may hold what the pages mark as such: rows that expire, blocks of several
 *    pages, compressed ones, schemas of version 2. A version 1 file is read as it is, and
 *    every superblock that is written says 2: the first commit, which opening for writing
 *    is, makes it one that older programs refuse. */
#ifndef STORE_SUPERBLOCK_FORMAT_H
#define STORE_SUPERBLOCK_FORMAT_H

#include "base/codec.h"

#define SUPERBLOCK_MAGIC "NACREDB\n"
#define FORMAT_VERSION 2u /* written */
#define FORMAT_OLDEST 1u  /* read: from here on */

#define SUPERBLOCK_ALONE 1u
#define SUPERBLOCK_LOOSE 2u

enum {
    SUPERBLOCK_SIZE = 2048,
    SUPERBLOCK_SLOT = 4096, /* offset of slot 1 */
    SUPERBLOCK_RUNS_MAX = 128,
};

#endif
