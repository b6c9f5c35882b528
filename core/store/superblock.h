/* superblock.h - the two slots that say what the current state is. */
#ifndef STORE_SUPERBLOCK_H
#define STORE_SUPERBLOCK_H

#include "store/data_file.h"
#include "store/superblock_format.h"

typedef struct Superblock {
    uint32_t flags;
    uint8_t database_id[16];
    uint64_t generation, epoch, flushed_lsn, synced_lsn;
    uint64_t manifest_size, manifest_checksum;
    ExtentList manifest; /* owned: superblock_clear */
} Superblock;

typedef enum SlotState {
    SLOT_EMPTY,   /* nothing was ever written there */
    SLOT_DAMAGED,
    SLOT_FOREIGN, /* another file format */
    SLOT_VERSION, /* a Nacre file of another format version */
    SLOT_VERSION_UNSURE, /* the same, or a damaged one of this version: the checksum is wrong */
    SLOT_VALID,
} SlotState;

/* Reads slot 0 or 1; only failures of the file are failures. */
NACRE_CHECKED nacre_status superblock_read(DataFile *data, int slot, Superblock *superblock, SlotState *state);
/* The same where the file may have been cut: the manifest may lie behind its end, below extent `limit`. */
NACRE_CHECKED nacre_status superblock_read_below(DataFile *data, int slot, uint64_t limit, Superblock *superblock,
                                                 SlotState *state);
/* Writes into slot generation mod 2, without syncing. The manifest must lie in at
 * most SUPERBLOCK_RUNS_MAX runs of extents. */
NACRE_CHECKED nacre_status superblock_write(DataFile *data, const Superblock *superblock);
/* After a failed write or sync of `superblock`: overwrites its slot, as well as may be, so
 * that the next open does not build on what reads may show but the device may lack. */
void superblock_spoil(DataFile *data, const Superblock *superblock);
void superblock_clear(Env *env, Superblock *superblock);

/* Encodes and decodes extent lists as in the picture; also for the manifest. */
void extent_list_encode(ByteWriter *w, const ExtentList *list);
/* NACRE_CORRUPT: cut short, or an extent that is 0 or not below `limit`. */
NACRE_CHECKED nacre_status extent_list_decode(Env *env, const char *file, ByteReader *r, uint64_t limit,
                                               ExtentList *list);
/* One more than the last extent that a file of `size` bytes reaches. */
static inline uint64_t extents_in(uint64_t size) { return (size + EXTENT_SIZE - 1) / EXTENT_SIZE; }

#endif
