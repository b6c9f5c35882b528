/* count_disk.c - passes everything on, and counts. Knows nothing of what is in files. */
#include "lib/count_disk.h"

#include "host/vfs_memory.h"

#include <stdlib.h>

struct CountDisk {
    Vfs vfs;
    const Vfs *inner;
    Vfs *own; /* NULL: the inner one is borrowed */
    DiskCounts counts;
};

struct VfsFile {
    CountDisk *disk;
    VfsFile *inner;
};

static void *count_alloc(void *self, size_t size) {
    (void)self;
    return malloc(size);
}

static void count_alloc_free(void *self, void *memory, size_t size) {
    (void)self, (void)size;
    free(memory);
}

static nacre_status count_wrap(CountDisk *disk, nacre_status status, VfsFile *inner, VfsFile **file) {
    if (status != NACRE_OK) return status;
    VfsFile *made = malloc(sizeof *made);
    if (!made) abort();
    *made = (VfsFile){disk, inner};
    *file = made;
    return NACRE_OK;
}

static nacre_status count_open(void *self, const char *name, int how, VfsFile **file) {
    CountDisk *disk = self;
    VfsFile *inner = NULL;
    nacre_status status = disk->inner->open(disk->inner->self, name, how, &inner);
    return count_wrap(disk, status, inner, file);
}

static nacre_status count_size(VfsFile *file, uint64_t *size) { return file->disk->inner->size(file->inner, size); }

static nacre_status count_read(VfsFile *file, uint64_t offset, void *into, size_t size) {
    file->disk->counts.reads++;
    file->disk->counts.bytes_read += size;
    return file->disk->inner->read(file->inner, offset, into, size);
}

static nacre_status count_write(VfsFile *file, uint64_t offset, const void *from, size_t size) {
    file->disk->counts.writes++;
    file->disk->counts.bytes_written += size;
    return file->disk->inner->write(file->inner, offset, from, size);
}

static nacre_status count_truncate(VfsFile *file, uint64_t size) {
    file->disk->counts.truncates++;
    return file->disk->inner->truncate(file->inner, size);
}

static nacre_status count_sync(VfsFile *file) {
    file->disk->counts.syncs++;
    return file->disk->inner->sync(file->inner);
}

static nacre_status count_close(VfsFile *file) {
    nacre_status status = file->disk->inner->close(file->inner);
    free(file);
    return status;
}

static nacre_status count_lock(void *self, const char *name, bool break_it, VfsFile **lock) {
    CountDisk *disk = self;
    VfsFile *inner = NULL;
    nacre_status status = disk->inner->lock(disk->inner->self, name, break_it, &inner);
    return count_wrap(disk, status, inner, lock);
}

static void count_unlock(void *self, VfsFile *lock) {
    CountDisk *disk = self;
    disk->inner->unlock(disk->inner->self, lock->inner);
    free(lock);
}

static uint64_t count_now_ms(void *self) {
    CountDisk *disk = self;
    return disk->inner->now_ms(disk->inner->self);
}

static void count_random(void *self, void *into, size_t size) {
    CountDisk *disk = self;
    disk->inner->random(disk->inner->self, into, size);
}

static const char *count_message(void *self) {
    CountDisk *disk = self;
    return disk->inner->message(disk->inner->self);
}

CountDisk *count_disk_new(const Vfs *inner) {
    static const nacre_allocator plain = {NULL, count_alloc, count_alloc_free};
    CountDisk *disk = calloc(1, sizeof *disk);
    if (!disk || (!inner && vfs_memory_create(&plain, &disk->own) != NACRE_OK)) abort();
    disk->inner = inner ? inner : disk->own;
    disk->vfs = (Vfs){.self = disk,
                      .open = count_open,
                      .size = count_size,
                      .read = count_read,
                      .write = count_write,
                      .truncate = count_truncate,
                      .sync = count_sync,
                      .close = count_close,
                      .lock = count_lock,
                      .unlock = count_unlock,
                      .now_ms = count_now_ms,
                      .random = count_random,
                      .message = count_message};
    return disk;
}

void count_disk_free(CountDisk *disk) {
    if (!disk) return;
    if (disk->own) disk->own->destroy(disk->own->self);
    free(disk);
}

const Vfs *count_disk_vfs(const CountDisk *disk) { return &disk->vfs; }
DiskCounts count_disk_counts(const CountDisk *disk) { return disk->counts; }

DiskCounts count_disk_since(const CountDisk *disk, DiskCounts before) {
    const DiskCounts *now = &disk->counts;
    return (DiskCounts){now->reads - before.reads,
                        now->bytes_read - before.bytes_read,
                        now->writes - before.writes,
                        now->bytes_written - before.bytes_written,
                        now->syncs - before.syncs,
                        now->truncates - before.truncates};
}

uint64_t count_disk_size(const CountDisk *disk, const char *name) {
    VfsFile *file = NULL;
    uint64_t size = 0;
    if (disk->inner->open(disk->inner->self, name, VFS_READ, &file) != NACRE_OK) return 0;
    if (disk->inner->size(file, &size) != NACRE_OK) size = 0;
    disk->inner->close(file);
    return size;
}
