/* vfs_memory.c - files as lists of chunks, so that growing never copies.
 *
 * 1. A chunk that is missing reads as zeros. Bytes of chunks beyond the file's end
 *    are zeros.
 * 2. A write allocates all it needs before it changes anything.
 * 3. Files stay until the Vfs is destroyed: closing is not deleting.
 *
 * It does not know of budgets: its owner charges vfs_memory_bytes. */
#include "host/vfs_memory.h"

#include "base/span.h"
#include "base/status.h"
#include "host/vfs_posix.h"

#include <stdio.h>

enum { VFS_MEMORY_CHUNK = 64 * 1024, VFS_MEMORY_MESSAGE = 240 };

typedef struct VfsMemoryData {
    struct VfsMemoryData *next;
    char *name;
    size_t name_size; /* with its zero */
    uint64_t size;
    uint8_t **chunks;
    size_t chunk_count;          /* slots in `chunks` */
    struct VfsMemoryHandle *held; /* the lock of this name, while taken */
} VfsMemoryData;

typedef struct VfsMemory {
    Vfs vfs;
    nacre_allocator allocator;
    VfsMemoryData *files;
    uint64_t bytes;
    char message[VFS_MEMORY_MESSAGE];
} VfsMemory;

/* What the core holds as a VfsFile. */
typedef struct VfsMemoryHandle {
    VfsMemory *owner;
    VfsMemoryData *data;
    bool writable;
} VfsMemoryHandle;

static nacre_status vfs_memory_fail(VfsMemory *m, nacre_status status, const char *name,
                                    const char *what) {
    snprintf(m->message, sizeof m->message, "memory file %s: %s", name, what);
    return status;
}

static void *vfs_memory_alloc(VfsMemory *m, size_t size) {
    void *memory = m->allocator.alloc(m->allocator.self, size);
    if (!memory) return NULL;
    memset(memory, 0, size);
    m->bytes += size;
    return memory;
}

static void vfs_memory_release(VfsMemory *m, void *memory, size_t size) {
    if (!memory) return;
    m->bytes -= size;
    m->allocator.free(m->allocator.self, memory, size);
}

static VfsMemoryData *vfs_memory_find(VfsMemory *m, const char *name) {
    for (VfsMemoryData *d = m->files; d; d = d->next)
        if (strcmp(d->name, name) == 0) return d;
    return NULL;
}

static VfsMemoryData *vfs_memory_add(VfsMemory *m, const char *name) {
    size_t name_size = strlen(name) + 1;
    VfsMemoryData *d = vfs_memory_alloc(m, sizeof *d);
    char *copy = vfs_memory_alloc(m, name_size);
    if (!d || !copy) {
        vfs_memory_release(m, d, sizeof *d);
        vfs_memory_release(m, copy, name_size);
        return NULL;
    }
    memcpy(copy, name, name_size);
    *d = (VfsMemoryData){.next = m->files, .name = copy, .name_size = name_size};
    m->files = d;
    return d;
}

static nacre_status vfs_memory_open(void *self, const char *name, int how, VfsFile **file) {
    VfsMemory *m = self;
    VfsMemoryData *data = vfs_memory_find(m, name);
    if (!data && how != VFS_CREATE)
        return vfs_memory_fail(m, NACRE_NOT_FOUND, name, "no such file");
    VfsMemoryHandle *handle = vfs_memory_alloc(m, sizeof *handle);
    if (handle && !data) data = vfs_memory_add(m, name);
    if (!handle || !data) {
        vfs_memory_release(m, handle, sizeof *handle);
        return vfs_memory_fail(m, NACRE_RESOURCE_EXHAUSTED, name, "no memory to open it");
    }
    *handle = (VfsMemoryHandle){.owner = m, .data = data, .writable = how != VFS_READ};
    *file = (VfsFile *)handle;
    return NACRE_OK;
}

static nacre_status vfs_memory_size(VfsFile *file, uint64_t *size) {
    *size = ((VfsMemoryHandle *)file)->data->size;
    return NACRE_OK;
}

/* Bytes from `offset` to the end of its chunk, at most `size`. */
static size_t vfs_memory_piece(uint64_t offset, uint64_t size) {
    size_t left = VFS_MEMORY_CHUNK - (size_t)(offset % VFS_MEMORY_CHUNK);
    return size < left ? (size_t)size : left;
}

static nacre_status vfs_memory_read(VfsFile *file, uint64_t offset, void *into, size_t size) {
    VfsMemoryHandle *handle = (VfsMemoryHandle *)file;
    VfsMemoryData *data = handle->data;
    if (offset > data->size || size > data->size - offset) {
        snprintf(handle->owner->message, sizeof handle->owner->message,
                 "short read: file %s has %llu bytes, wanted %llu at %llu", data->name,
                 (unsigned long long)data->size, (unsigned long long)size,
                 (unsigned long long)offset);
        return NACRE_IO;
    }
    uint8_t *to = into;
    while (size > 0) {
        size_t piece = vfs_memory_piece(offset, size);
        const uint8_t *chunk = data->chunks[offset / VFS_MEMORY_CHUNK];
        if (chunk)
            memcpy(to, chunk + offset % VFS_MEMORY_CHUNK, piece);
        else
            memset(to, 0, piece); /* rule 1 */
        to += piece, offset += piece, size -= piece;
    }
    return NACRE_OK;
}

/* Room in the list of chunks for a file of `size` bytes. */
static bool vfs_memory_reserve(VfsMemory *m, VfsMemoryData *data, uint64_t size) {
    uint64_t need = size / VFS_MEMORY_CHUNK + (size % VFS_MEMORY_CHUNK != 0);
    if (need <= data->chunk_count) return true;
    uint64_t count = need > 2 * (uint64_t)data->chunk_count ? need : 2 * (uint64_t)data->chunk_count;
    if (count < 8) count = 8;
    if (count > SIZE_MAX / sizeof *data->chunks) return false;
    uint8_t **chunks = vfs_memory_alloc(m, (size_t)count * sizeof *chunks);
    if (!chunks) return false;
    if (data->chunk_count) memcpy(chunks, data->chunks, data->chunk_count * sizeof *chunks);
    vfs_memory_release(m, data->chunks, data->chunk_count * sizeof *chunks);
    data->chunks = chunks;
    data->chunk_count = (size_t)count;
    return true;
}

static bool vfs_memory_fill(VfsMemory *m, VfsMemoryData *data, uint64_t offset, uint64_t size) {
    if (!vfs_memory_reserve(m, data, offset + size)) return false;
    for (uint64_t i = offset / VFS_MEMORY_CHUNK; i <= (offset + size - 1) / VFS_MEMORY_CHUNK; i++) {
        if (data->chunks[i]) continue;
        data->chunks[i] = vfs_memory_alloc(m, VFS_MEMORY_CHUNK);
        if (!data->chunks[i]) return false;
    }
    return true;
}

static nacre_status vfs_memory_write(VfsFile *file, uint64_t offset, const void *from, size_t size) {
    VfsMemoryHandle *handle = (VfsMemoryHandle *)file;
    VfsMemoryData *data = handle->data;
    if (!handle->writable)
        return vfs_memory_fail(handle->owner, NACRE_PERMISSION, data->name, "opened for reading");
    if (size == 0) return NACRE_OK;
    if (offset > UINT64_MAX - size || !vfs_memory_fill(handle->owner, data, offset, size))
        return vfs_memory_fail(handle->owner, NACRE_RESOURCE_EXHAUSTED, data->name,
                               "no memory to grow");
    if (offset + size > data->size) data->size = offset + size;
    const uint8_t *at = from;
    while (size > 0) {
        size_t piece = vfs_memory_piece(offset, size);
        memcpy(data->chunks[offset / VFS_MEMORY_CHUNK] + offset % VFS_MEMORY_CHUNK, at, piece);
        at += piece, offset += piece, size -= piece;
    }
    return NACRE_OK;
}

static void vfs_memory_shrink(VfsMemory *m, VfsMemoryData *data, uint64_t size) {
    size_t keep = (size_t)(size / VFS_MEMORY_CHUNK);
    size_t tail = (size_t)(size % VFS_MEMORY_CHUNK);
    if (tail) {
        if (data->chunks[keep]) memset(data->chunks[keep] + tail, 0, VFS_MEMORY_CHUNK - tail);
        keep++;
    }
    for (size_t i = keep; i < data->chunk_count; i++) {
        vfs_memory_release(m, data->chunks[i], VFS_MEMORY_CHUNK);
        data->chunks[i] = NULL;
    }
}

static nacre_status vfs_memory_truncate(VfsFile *file, uint64_t size) {
    VfsMemoryHandle *handle = (VfsMemoryHandle *)file;
    VfsMemoryData *data = handle->data;
    if (!handle->writable)
        return vfs_memory_fail(handle->owner, NACRE_PERMISSION, data->name, "opened for reading");
    if (size < data->size) vfs_memory_shrink(handle->owner, data, size);
    else if (!vfs_memory_reserve(handle->owner, data, size))
        return vfs_memory_fail(handle->owner, NACRE_RESOURCE_EXHAUSTED, data->name,
                               "no memory to grow");
    data->size = size;
    return NACRE_OK;
}

static nacre_status vfs_memory_sync(VfsFile *file) {
    (void)file;
    return NACRE_OK;
}

static nacre_status vfs_memory_close(VfsFile *file) {
    VfsMemoryHandle *handle = (VfsMemoryHandle *)file;
    vfs_memory_release(handle->owner, handle, sizeof *handle);
    return NACRE_OK;
}

static nacre_status vfs_memory_lock(void *self, const char *name, bool break_it, VfsFile **lock) {
    VfsMemory *m = self;
    VfsMemoryData *data = vfs_memory_find(m, name);
    if (data && data->held && !break_it)
        return vfs_memory_fail(m, NACRE_BUSY, name, "open for writing already");
    VfsFile *file = NULL;
    TRY(vfs_memory_open(self, name, VFS_CREATE, &file));
    VfsMemoryHandle *handle = (VfsMemoryHandle *)file;
    handle->data->held = handle;
    *lock = file;
    return NACRE_OK;
}

static void vfs_memory_unlock(void *self, VfsFile *lock) {
    VfsMemoryHandle *handle = (VfsMemoryHandle *)lock;
    (void)self;
    if (!handle) return;
    if (handle->data->held == handle) handle->data->held = NULL; /* else it was broken */
    vfs_memory_release(handle->owner, handle, sizeof *handle);
}

static const char *vfs_memory_message(void *self) { return ((VfsMemory *)self)->message; }

static void vfs_memory_destroy(void *self) {
    VfsMemory *m = self;
    while (m->files) {
        VfsMemoryData *data = m->files;
        m->files = data->next;
        for (size_t i = 0; i < data->chunk_count; i++)
            vfs_memory_release(m, data->chunks[i], VFS_MEMORY_CHUNK);
        vfs_memory_release(m, data->chunks, data->chunk_count * sizeof *data->chunks);
        vfs_memory_release(m, data->name, data->name_size);
        vfs_memory_release(m, data, sizeof *data);
    }
    nacre_allocator allocator = m->allocator;
    allocator.free(allocator.self, m, sizeof *m);
}

nacre_status vfs_memory_create(const nacre_allocator *allocator, Vfs **vfs) {
    VfsMemory *m = allocator->alloc(allocator->self, sizeof *m);
    if (!m) return NACRE_RESOURCE_EXHAUSTED;
    *m = (VfsMemory){
        .vfs = {.self = m,
                .open = vfs_memory_open,
                .size = vfs_memory_size,
                .read = vfs_memory_read,
                .write = vfs_memory_write,
                .truncate = vfs_memory_truncate,
                .sync = vfs_memory_sync,
                .close = vfs_memory_close,
                .lock = vfs_memory_lock,
                .unlock = vfs_memory_unlock,
                .now_ms = vfs_posix_now_ms,
                .random = vfs_posix_random,
                .message = vfs_memory_message,
                .destroy = vfs_memory_destroy},
        .allocator = *allocator,
        .bytes = sizeof *m,
    };
    *vfs = &m->vfs;
    return NACRE_OK;
}

uint64_t vfs_memory_bytes(const Vfs *vfs) { return ((const VfsMemory *)vfs->self)->bytes; }
