/* manifest_format.h - what a state of the database consists of: its runs and their
 * segments. A superblock says where the manifest is, how long, and its checksum.
 *
 *   manifest := next segment id u64 | next run id u64 | run count u32 | shape u32 | run*
 *               | catalog size u32 | catalog | seal            (not in shapes 0 and 1)
 *   run      := id u64 | tier u32 | segment count u32 | above size u32 | above | segment*
 *   segment  := id u64 | page size u32 | stream count u32 | rows u64 | deletes u64
 *               | first expiry u64 (not in shape 0)
 *               | meta offset u64 | meta size u64 | meta checksum u64
 *               | first key size u32 | first key | last key size u32 | last key | stream*
 *   stream   := kind u32 | 0 u32 | size u64 | extents (superblock_format.h)
 *   catalog  := (membrane id u32 | name size u32 | schema size u32 | name | schema)*
 *   seal     := magic "NACREMAN" | database id u8[16] | generation u64 | epoch u64
 *               | flushed lsn u64 | checksum u64 of the whole manifest before it, seed 0
 *
 * 1. Runs stand newest first: of one key, the first run that has it is right.
 * 2. The segments of a run rise and do not overlap.
 * 3. Keys <= above are not looked for in a run: a merge, under way or given up, has moved
 *    them.
 * 4. tier: 0 for a flushed memtable, one more for each merge; TIER_LAST for the last.
 *    TIER_FEED: no rows, but the archive of changes (db/feed_format.h). There is one such
 *    run at most, it stands behind the others, and nothing is looked for in it.
 * 5. Ids rise for ever.
 * 6. first expiry: of the rows, the expiry that comes first (segment_format.h, rule 9); 0:
 *    none expires.
 * 7. shape: MANIFEST_SHAPE; 0 is that of format version 1, still read: a superblock of
 *    version 2 may refer to one where the disk had no room for another. 1 was never released.
 * 8. catalog and seal are for repair (db/repair.c); nothing else reads them. catalog: the
 *    membranes that there were at the commit, for what one damaged block may take with it; rows
 *    of membrane 0 are what counts. seal: what the superblock says, so that a manifest, which
 *    begins with an extent and lies in neighbouring ones, is found when both superblocks are
 *    gone, and proves that it is whole.
 * 9. It is written whole at each commit: with segments of 16 MiB that is some tens
 *    of KB for 10 M rows. Why not edits, as LevelDB has: nothing to replay, nothing to compact. */
#ifndef STORE_MANIFEST_FORMAT_H
#define STORE_MANIFEST_FORMAT_H

enum { TIER_LAST = 255, TIER_FEED = 256, MANIFEST_SHAPE = 2, MANIFEST_SEAL_SIZE = 56 };

#define MANIFEST_MAGIC "NACREMAN"

#endif
