/* between.h - a Vfs that does something after each operation of a simulated disk, and
 * counts the bytes that are read through it. */
#ifndef TESTS_BETWEEN_H
#define TESTS_BETWEEN_H

#include "lib/sim_disk.h"

typedef struct Between {
    Vfs vfs;
    const Vfs *inner;
    void (*hook)(void *self, int kind, const char *file); /* after an operation (SIM_...) */
    void *self;
    bool inside; /* the hook runs: what it does is not hooked again */
    uint64_t bytes_read;
    VfsReaders readers;
} Between;

/* The struct must not move while files are open through it. */
void between_init(Between *b, SimDisk *disk);

#endif
