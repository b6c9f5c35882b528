/* between.c - passes everything on to the simulated disk, which is its own folder of pins. */
#include "lib/between.h"

#include "base/status.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct BetweenFile {
    Between *owner;
    VfsFile *inner;
    char name[32];
} BetweenFile;

static void between_hook(Between *b, int kind, const char *file) {
    if (!b->hook || b->inside) return;
    b->inside = true;
    b->hook(b->self, kind, file);
    b->inside = false;
}

static nacre_status between_open(void *self, const char *name, int how, VfsFile **file) {
    Between *b = self;
    VfsFile *inner = NULL;
    TRY(b->inner->open(b->inner->self, name, how, &inner));
    BetweenFile *f = malloc(sizeof *f);
    *f = (BetweenFile){.owner = b, .inner = inner};
    snprintf(f->name, sizeof f->name, "%s", name);
    *file = (VfsFile *)f;
    between_hook(b, SIM_OPEN, name);
    return NACRE_OK;
}

#define BETWEEN(call, kind)                                                                        \
    BetweenFile *f = (BetweenFile *)file;                                                          \
    const Vfs *inner = f->owner->inner;                                                            \
    nacre_status status = inner->call;                                                             \
    between_hook(f->owner, kind, f->name);                                                         \
    return status

static nacre_status between_size(VfsFile *file, uint64_t *size) { BETWEEN(size(f->inner, size), SIM_READ); }
static nacre_status between_read(VfsFile *file, uint64_t offset, void *into, size_t size) {
    ((BetweenFile *)file)->owner->bytes_read += size;
    BETWEEN(read(f->inner, offset, into, size), SIM_READ);
}
static nacre_status between_write(VfsFile *file, uint64_t offset, const void *from, size_t size) {
    BETWEEN(write(f->inner, offset, from, size), SIM_WRITE);
}
static nacre_status between_truncate(VfsFile *file, uint64_t size) { BETWEEN(truncate(f->inner, size), SIM_TRUNCATE); }
static nacre_status between_sync(VfsFile *file) { BETWEEN(sync(f->inner), SIM_SYNC); }
static nacre_status between_close(VfsFile *file) {
    BetweenFile *f = (BetweenFile *)file;
    nacre_status status = f->owner->inner->close(f->inner);
    free(f);
    return status;
}
static nacre_status between_lock(void *self, const char *name, bool break_it, VfsFile **lock) {
    const Vfs *inner = ((Between *)self)->inner;
    return inner->lock(inner->self, name, break_it, lock);
}
static void between_unlock(void *self, VfsFile *lock) {
    const Vfs *inner = ((Between *)self)->inner;
    inner->unlock(inner->self, lock);
}
static uint64_t between_now(void *self) { return ((Between *)self)->inner->now_ms(((Between *)self)->inner->self); }
static void between_random(void *self, void *into, size_t size) {
    ((Between *)self)->inner->random(((Between *)self)->inner->self, into, size);
}
static const char *between_message(void *self) {
    return ((Between *)self)->inner->message(((Between *)self)->inner->self);
}
/* The simulated disk itself is the folder of pins. */
static nacre_status between_readers(void *self, const char *name, bool break_it, VfsFile **readers) {
    const Vfs *inner = ((Between *)self)->inner;
    return inner->readers->open(inner->self, name, break_it, readers);
}

void between_init(Between *b, SimDisk *disk) {
    *b = (Between){.inner = sim_disk_vfs(disk)};
    if (b->inner->readers) {
        b->readers = *b->inner->readers;
        b->readers.open = between_readers;
    }
    b->vfs = (Vfs){.self = b, .open = between_open, .size = between_size, .read = between_read,
                   .write = between_write, .truncate = between_truncate, .sync = between_sync,
                   .close = between_close, .lock = between_lock, .unlock = between_unlock,
                   .readers = b->inner->readers ? &b->readers : NULL, .now_ms = between_now,
                   .random = between_random, .message = between_message};
}
