/* sim_disk.h - a simulated disk: a Vfs whose power fails, whose writes tear, whose
 * syncs lie, deterministically.
 *
 *     SimDisk *disk = sim_disk_new(seed);
 *     options.vfs = sim_disk_vfs(disk);
 *     ... work; sim_disk_operations(disk) after each acknowledgement ...
 *     SimDisk *at = sim_disk_new(0), *after = sim_disk_new(0);
 *     for (size_t k = 0; k <= sim_disk_operations(disk); k++) {
 *         sim_disk_replay(disk, k, at);              advances by one operation
 *         for (uint64_t s = 0; s < sim_disk_crash_states(at, SIM_CRASH_PREFIX); s++) {
 *             sim_disk_copy(at, after);
 *             sim_disk_crash(after, SIM_CRASH_PREFIX, s);
 *             ... open, verify; a crash during recovery: copy and crash again ...
 *         }
 *     }
 *
 * 1. A file is two images: what reads see, and what is durable. Between them lies
 *    the list of unsynced changes: creation, writes, truncations, in order.
 * 2. sync makes the changes of its file durable (and its name), of no other file.
 * 3. A crash keeps durable bytes. Of the unsynced changes, those arrive that the
 *    policy chooses, whole or in pieces. Bytes outside a written range never change;
 *    a range between the end of the file and a piece that arrived reads as zeros.
 * 4. A file whose creation did not arrive is gone, with all its writes.
 * 5. After a crash every old handle answers NACRE_IO; close still frees it.
 *
 * Lock and unlock are no operations, nor are pins; a crash forgets both. Ordinary malloc; out of
 * memory aborts. */
#ifndef TESTS_SIM_DISK_H
#define TESTS_SIM_DISK_H

#include "base/vfs.h"

typedef struct SimDisk SimDisk;

SimDisk *sim_disk_new(uint64_t seed); /* of what `random` answers */
void sim_disk_free(SimDisk *disk);    /* open handles too; NULL is fine */
const Vfs *sim_disk_vfs(SimDisk *disk);

/* ---- What happened ---- */

enum {
    SIM_OPEN = 1,
    SIM_CREATE = 2, /* an open that made the file */
    SIM_WRITE = 4,
    SIM_TRUNCATE = 8,
    SIM_SYNC = 16,
    SIM_CLOSE = 32,
    SIM_READ = 64,  /* never in the log; for faults */
    SIM_SIZE = 128, /* the same: how large is a file? */
    SIM_ANY = 255,
};

typedef struct SimOperation {
    int kind;
    const char *file; /* name; borrowed while the disk lives */
    uint64_t offset;  /* SIM_WRITE; SIM_TRUNCATE: the new size */
    uint64_t size;    /* SIM_WRITE: bytes asked for */
    nacre_status status;
} SimOperation;

/* Operations since sim_disk_new, failed ones too; reads, size and lock do not count. */
size_t sim_disk_operations(const SimDisk *disk);
SimOperation sim_disk_operation(const SimDisk *disk, size_t index);
uint64_t sim_disk_syncs(const SimDisk *disk, const char *file); /* good ones; NULL: of all files */
uint64_t sim_disk_bytes_written(const SimDisk *disk);
uint64_t sim_disk_reads(const SimDisk *disk);
size_t sim_disk_open_handles(const SimDisk *disk); /* locks too */

/* ---- Copies ---- */

/* Images, unsynced changes, clock, random and capacity. Not the log (it begins
 * anew), handles, locks, faults or counters. `random` goes on from the same state in
 * both: sim_disk_seed gives the copy numbers of its own. */
SimDisk *sim_disk_clone(const SimDisk *disk);
/* The same into a disk that exists (no handle of it may be open): its buffers are
 * used again, which makes it the fast way. */
void sim_disk_copy(const SimDisk *from, SimDisk *into);

/* Makes `into` what the recorded disk was before operation number `operations`:
 * all earlier ones done. Goes on from where the last replay of the same recording
 * into `into` stopped, if that was not later. The recording must have begun on an
 * empty disk (sim_disk_new) and not have crashed; failed operations are replayed as what they left. */
void sim_disk_replay(const SimDisk *recording, size_t operations, SimDisk *into);

/* ---- Readers ---- */

size_t sim_disk_pins(const SimDisk *disk);
/* From now on there is no place for pins, as in a folder that may only be read. */
void sim_disk_no_pins(SimDisk *disk);

/* ---- Power ---- */

/* Operation number `index` and everything after it fails with NACRE_IO (reads too)
 * until sim_disk_crash. What it was writing may arrive, like any unsynced change.
 * SIZE_MAX: never. */
void sim_disk_power_off_at(SimDisk *disk, size_t index);
bool sim_disk_is_off(const SimDisk *disk);

typedef enum SimCrash {
    SIM_CRASH_PREFIX,    /* the first `seed` unsynced changes arrive, whole */
    SIM_CRASH_SUBSET,    /* change i arrives when bit i % 64 of `seed` is set */
    SIM_CRASH_TORN_4096, /* the first `seed` pieces: writes cut at multiples of 4096 of the file */
    SIM_CRASH_TORN_512,
    SIM_CRASH_TORN_BYTE,
    SIM_CRASH_RANDOM, /* any subset in any order, each whole or any subset of its pieces */
    SIM_CRASH_JUNK,   /* the same, and what did not arrive of a written range may be garbage */
} SimCrash;

/* Power fails and comes back: builds the state that is found then. The same disk,
 * policy and seed give the same state. */
void sim_disk_crash(SimDisk *disk, SimCrash policy, uint64_t seed);

/* How many seeds, from 0, give all states of a policy; the last one of PREFIX,
 * SUBSET and TORN_* is "everything arrived", the first "nothing". UINT64_MAX: no end. */
uint64_t sim_disk_crash_states(const SimDisk *disk, SimCrash policy);
size_t sim_disk_unsynced(const SimDisk *disk); /* changes */

/* ---- Faults ---- */

typedef enum SimFaultWay {
    SIM_FAULT_FAIL,  /* nothing happens, `status` is answered */
    SIM_FAULT_SHORT, /* a write or a read: half of its bytes land, then `status` */
    SIM_FAULT_LOSE,  /* a sync: `status`, and the unsynced changes are forgotten: reads see
                        them, a later sync answers NACRE_OK, a crash loses them */
    /* Lies: NACRE_OK is answered. */
    SIM_FAULT_IDLE,  /* a sync: nothing becomes durable by it */
    SIM_FAULT_STALE, /* a write: what was there before stays there; the file grows by zeros */
    SIM_FAULT_ASTRAY, /* a write: the same, and the bytes land `distance` bytes further on, beyond the
                         end of the file that far from its beginning */
} SimFaultWay;

typedef struct SimFault {
    int kinds;    /* SIM_WRITE | SIM_SYNC ...; close always frees */
    uint64_t nth; /* of those kinds from now, from 1; 0: no fault */
    bool forever; /* the later ones too */
    SimFaultWay way;
    nacre_status status;
    uint64_t distance; /* of SIM_FAULT_ASTRAY */
} SimFault;

void sim_disk_fault(SimDisk *disk, SimFault fault); /* in place of the one before */
uint64_t sim_disk_fault_hits(const SimDisk *disk);  /* since sim_disk_fault */
uint64_t sim_disk_fault_calls(const SimDisk *disk); /* since then, of those kinds, failed or not */

/* All files together may grow to `bytes`; what fits of a growing write lands, then
 * NACRE_QUOTA. Overwriting always works. UINT64_MAX: no limit. */
void sim_disk_capacity(SimDisk *disk, uint64_t bytes);

/* ---- Clock, random, bytes ---- */

void sim_disk_set_clock(SimDisk *disk, uint64_t now_ms); /* stands still until set again */
void sim_disk_wait(SimDisk *disk, uint64_t ms);
void sim_disk_seed(SimDisk *disk, uint64_t seed);

/* Told of each read of a file from now on; NULL: of none. */
void sim_disk_watch(SimDisk *disk, void (*seen)(void *self, const char *file, uint64_t offset, size_t size), void *self);

/* What reads see. NULL: no such file. Borrowed until the file is written. */
const uint8_t *sim_disk_bytes(const SimDisk *disk, const char *file, uint64_t *size);
/* A part of it, which must be there. */
void sim_disk_peek(const SimDisk *disk, const char *file, uint64_t offset, void *bytes, size_t size);
/* Of names, sizes and bytes of all files, as reads see them. */
uint64_t sim_disk_hash(const SimDisk *disk);
/* These change both images, behind everyone's back. The file must exist (not for put). */
void sim_disk_flip(SimDisk *disk, const char *file, uint64_t bit); /* bit % 8 of byte bit / 8 */
void sim_disk_poke(SimDisk *disk, const char *file, uint64_t offset, const void *bytes, size_t size); /* NULL: zeros */
void sim_disk_resize(SimDisk *disk, const char *file, uint64_t size);
void sim_disk_put(SimDisk *disk, const char *file, const void *bytes, size_t size); /* whole file */
void sim_disk_remove(SimDisk *disk, const char *file); /* no handle of it may be open */
size_t sim_disk_file_count(const SimDisk *disk);
const char *sim_disk_file_name(const SimDisk *disk, size_t index);

#endif
