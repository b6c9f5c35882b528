/* count_disk.h - files that count what is done to them: another Vfs with counters in front.
 * For laws about work, where the simulated disk (sim_disk.h) would remember too much.
 *
 *     CountDisk *disk = count_disk_new(NULL);      over files in memory
 *     options.vfs = count_disk_vfs(disk);
 */
#ifndef TESTS_COUNT_DISK_H
#define TESTS_COUNT_DISK_H

#include "base/vfs.h"

typedef struct DiskCounts {
    uint64_t reads, bytes_read, writes, bytes_written, syncs, truncates;
} DiskCounts;

typedef struct CountDisk CountDisk;

/* `inner`: borrowed; NULL: files in memory, which are the disk's own. Ordinary malloc. */
CountDisk *count_disk_new(const Vfs *inner);
void count_disk_free(CountDisk *disk);
const Vfs *count_disk_vfs(const CountDisk *disk);
DiskCounts count_disk_counts(const CountDisk *disk);
/* What was done since `before`. */
DiskCounts count_disk_since(const CountDisk *disk, DiskCounts before);
/* The size of a file; 0: there is none. */
uint64_t count_disk_size(const CountDisk *disk, const char *name);

#endif
