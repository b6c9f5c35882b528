/* files.c - the Vfs of the fuzz targets. A handle is the file itself. */
#include "fuzz/fuzz.h"

#include <string.h>

static nacre_status file_open(void *self, const char *name, int how, VfsFile **file) {
    FuzzDisk *disk = self;
    FuzzFile *found = fuzz_disk_find(disk, name);
    if (!found && how != VFS_CREATE) return NACRE_NOT_FOUND;
    for (int i = 0; i < FUZZ_FILES && !found; i++) {
        if (disk->files[i].name[0]) continue;
        found = &disk->files[i];
        snprintf(found->name, sizeof found->name, "%s", name);
        found->size = 0;
    }
    MUST(found);
    found->handles++;
    *file = (VfsFile *)found;
    return NACRE_OK;
}

static nacre_status file_size(VfsFile *file, uint64_t *size) {
    *size = ((FuzzFile *)file)->size;
    return NACRE_OK;
}

static nacre_status file_read(VfsFile *file, uint64_t offset, void *into, size_t size) {
    const FuzzFile *f = (FuzzFile *)file;
    if (offset > f->size || size > f->size - offset) return NACRE_IO;
    bytes_copy(into, f->bytes + offset, size);
    return NACRE_OK;
}

static nacre_status file_resize(FuzzFile *f, uint64_t size) {
    if (size > f->limit) return NACRE_QUOTA;
    if (size > f->capacity) {
        f->capacity = (size_t)size * 2;
        f->bytes = realloc(f->bytes, f->capacity);
        MUST(f->bytes);
    }
    if (size > f->size) memset(f->bytes + f->size, 0, (size_t)size - f->size);
    f->size = (size_t)size;
    return NACRE_OK;
}

static nacre_status file_write(VfsFile *file, uint64_t offset, const void *from, size_t size) {
    FuzzFile *f = (FuzzFile *)file;
    if (offset > f->limit || size > f->limit - offset) return NACRE_QUOTA;
    if (offset + size > f->size && file_resize(f, offset + size) != NACRE_OK) return NACRE_QUOTA;
    bytes_copy(f->bytes + offset, from, size);
    return NACRE_OK;
}

static nacre_status file_truncate(VfsFile *file, uint64_t size) { return file_resize((FuzzFile *)file, size); }

static nacre_status file_sync(VfsFile *file) {
    (void)file;
    return NACRE_OK;
}

static nacre_status file_close(VfsFile *file) {
    MUST(((FuzzFile *)file)->handles-- > 0);
    return NACRE_OK;
}

static nacre_status file_lock(void *self, const char *name, bool break_it, VfsFile **lock) {
    (void)name, (void)break_it;
    *lock = self;
    return NACRE_OK;
}

static void file_unlock(void *self, VfsFile *lock) { (void)self, (void)lock; }

static uint64_t disk_now(void *self) { return ((FuzzDisk *)self)->now; }

static void disk_random(void *self, void *into, size_t size) {
    FuzzDisk *disk = self;
    for (size_t i = 0; i < size; i++) {
        disk->random = disk->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        ((uint8_t *)into)[i] = (uint8_t)(disk->random >> 56);
    }
}

static const char *disk_message(void *self) {
    (void)self;
    return "a file of the fuzzer";
}

void fuzz_disk_init(FuzzDisk *disk) {
    memset(disk, 0, sizeof *disk);
    disk->now = 1700000000000u;
    disk->random = 1;
    for (int i = 0; i < FUZZ_FILES; i++) disk->files[i].limit = (size_t)64 << 20;
    disk->vfs = (Vfs){.self = disk,
                      .open = file_open,
                      .size = file_size,
                      .read = file_read,
                      .write = file_write,
                      .truncate = file_truncate,
                      .sync = file_sync,
                      .close = file_close,
                      .lock = file_lock,
                      .unlock = file_unlock,
                      .now_ms = disk_now,
                      .random = disk_random,
                      .message = disk_message};
}

void fuzz_disk_clear(FuzzDisk *disk) {
    for (int i = 0; i < FUZZ_FILES; i++) {
        MUST(disk->files[i].handles == 0);
        free(disk->files[i].bytes);
    }
    memset(disk, 0, sizeof *disk);
}

void fuzz_disk_put(FuzzDisk *disk, const char *name, Span bytes) {
    VfsFile *file = NULL;
    MUST(file_open(disk, name, VFS_CREATE, &file) == NACRE_OK);
    ((FuzzFile *)file)->handles--;
    ((FuzzFile *)file)->size = 0;
    MUST(file_write(file, 0, bytes.data, bytes.size) == NACRE_OK);
}

void fuzz_disk_copy(const FuzzDisk *from, FuzzDisk *into) {
    for (int i = 0; i < FUZZ_FILES; i++)
        if (from->files[i].name[0])
            fuzz_disk_put(into, from->files[i].name, span_of(from->files[i].bytes, from->files[i].size));
    into->now = from->now;
}

FuzzFile *fuzz_disk_find(FuzzDisk *disk, const char *name) {
    for (int i = 0; i < FUZZ_FILES; i++)
        if (strcmp(disk->files[i].name, name) == 0) return &disk->files[i];
    return NULL;
}
