/* sim_disk.c - the simulated disk: images, unsynced changes, and a log that can be
 * replayed. Bytes that were written are counted references, shared by the log, the
 * lists of unsynced changes and their copies. */
#include "lib/sim_disk.h"

#include "base/checksum.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIM_PAGE = 4096 };

typedef struct SimBytes {
    size_t references;
    uint8_t data[];
} SimBytes;

/* A page of an image, shared by all images that have the same; NULL among the pages: zeros. */
typedef struct SimPage {
    size_t references;
    uint64_t hash; /* of the bytes; 0: not known */
    uint8_t data[SIM_PAGE];
} SimPage;

/* What lies behind `size` within the last page is zero. */
typedef struct SimImage {
    SimPage **pages;
    size_t size, capacity; /* capacity: pages there is room for; those in use come first */
    uint8_t *flat;         /* all bytes one behind the other, for who wants to look */
    size_t flat_capacity;
    bool flat_right;
} SimImage;

/* A change that no sync covers yet. `order` runs through all files. */
typedef struct SimChange {
    int kind; /* SIM_CREATE, SIM_WRITE, SIM_TRUNCATE */
    uint64_t order, offset, size;
    SimBytes *bytes;
} SimChange;

typedef struct SimFile {
    char *name;
    bool there, durable_there; /* false: never made, or gone */
    SimImage image, durable;
    SimChange *changes;
    size_t change_count, change_capacity;
    uint64_t syncs;
} SimFile;

typedef struct SimRecord {
    int kind;
    size_t file; /* index */
    uint64_t offset, size, landed;
    SimBytes *bytes; /* `landed` of them */
    nacre_status status;
    bool synced, lost; /* what a sync did, whatever it answered */
} SimRecord;

typedef struct SimHandle {
    SimDisk *disk;
    struct SimHandle *next, *previous;
    size_t file;
    uint64_t life; /* of the disk, when opened */
    bool writable, lock;
} SimHandle;

/* A pin of a reader; the disk itself stands for the folder that they are in. */
typedef struct SimPin {
    uint64_t generation;
    struct SimPin *next;
} SimPin;

struct SimDisk {
    Vfs vfs;
    SimPin *pins;
    bool no_pins;
    SimFile *files;
    size_t file_count, file_capacity;
    uint64_t order;
    SimRecord *log;
    size_t log_count, log_capacity;
    SimHandle *handles;
    size_t handle_count;
    uint64_t life; /* crashes so far */
    size_t off_at;
    bool off;
    SimFault fault;
    uint64_t fault_seen, fault_hits;
    uint64_t capacity, used; /* used: bytes of all images */
    uint64_t clock, random;
    uint64_t reads, written;
    void (*seen)(void *self, const char *file, uint64_t offset, size_t size); /* may be NULL */
    void *seen_self;
    uint64_t id;
    uint64_t replayed; /* id of the recording, 0: none; and how far */
    size_t replayed_count;
    char message[240];
};

/* ---- Memory ---- */

static void *sim_realloc(void *memory, size_t size) {
    void *result = realloc(memory, size ? size : 1);
    if (!result) {
        fprintf(stderr, "sim_disk: out of memory\n");
        abort();
    }
    return result;
}

/* Room for one more item of `size` bytes. */
static void *sim_grow(void *items, size_t count, size_t *capacity, size_t size) {
    if (count < *capacity) return items;
    *capacity = *capacity ? *capacity * 2 : 16;
    return sim_realloc(items, *capacity * size);
}

static SimBytes *sim_bytes_new(const void *from, size_t size) {
    SimBytes *bytes = sim_realloc(NULL, sizeof *bytes + size);
    bytes->references = 1;
    if (size) memcpy(bytes->data, from, size);
    return bytes;
}

static SimBytes *sim_bytes_keep(SimBytes *bytes) {
    if (bytes) bytes->references++;
    return bytes;
}

static void sim_bytes_drop(SimBytes *bytes) {
    if (bytes && --bytes->references == 0) free(bytes);
}

static uint64_t sim_random(uint64_t *state) { /* splitmix64 */
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* ---- Images ---- */

static size_t sim_pages_in(uint64_t size) { return (size_t)((size + SIM_PAGE - 1) / SIM_PAGE); }

static void sim_page_drop(SimPage *page) {
    if (page && --page->references == 0) free(page);
}

/* A page that only this image has, to be written to. */
static SimPage *sim_page_own(SimImage *image, size_t index) {
    SimPage *page = image->pages[index];
    if (page && page->references == 1) {
        page->hash = 0;
        return page;
    }
    SimPage *own = sim_realloc(NULL, sizeof *own);
    if (page) memcpy(own->data, page->data, SIM_PAGE);
    else memset(own->data, 0, SIM_PAGE);
    own->references = 1;
    own->hash = 0;
    sim_page_drop(page);
    return image->pages[index] = own;
}

static void sim_image_touch(SimImage *image) { image->flat_right = false; }

static void sim_image_reserve(SimImage *image, size_t pages) {
    if (pages <= image->capacity) return;
    image->capacity = image->capacity * 2 > pages ? image->capacity * 2 : pages;
    image->pages = sim_realloc(image->pages, image->capacity * sizeof *image->pages);
}

static void sim_image_resize(SimImage *image, uint64_t size) {
    size_t had = sim_pages_in(image->size), has = sim_pages_in(size);
    sim_image_touch(image);
    for (size_t i = has; i < had; i++) sim_page_drop(image->pages[i]);
    sim_image_reserve(image, has);
    for (size_t i = had; i < has; i++) image->pages[i] = NULL;
    if (size < image->size && size % SIM_PAGE && image->pages[has - 1])
        memset(sim_page_own(image, has - 1)->data + size % SIM_PAGE, 0, SIM_PAGE - size % SIM_PAGE);
    image->size = (size_t)size;
}

/* `from` NULL: zeros. */
static void sim_image_write(SimImage *image, uint64_t offset, const void *from, uint64_t size) {
    if (size == 0) return;
    if (offset + size > image->size) sim_image_resize(image, offset + size);
    sim_image_touch(image);
    for (uint64_t at = 0; at < size;) {
        size_t in = (size_t)((offset + at) % SIM_PAGE);
        size_t part = size - at < SIM_PAGE - in ? (size_t)(size - at) : SIM_PAGE - in;
        SimPage *page = sim_page_own(image, (size_t)((offset + at) / SIM_PAGE));
        if (from) memcpy(page->data + in, (const uint8_t *)from + at, part);
        else memset(page->data + in, 0, part);
        at += part;
    }
}

static void sim_image_read(const SimImage *image, uint64_t offset, void *into, size_t size) {
    for (size_t at = 0; at < size;) {
        size_t in = (size_t)((offset + at) % SIM_PAGE);
        size_t part = size - at < SIM_PAGE - in ? size - at : SIM_PAGE - in;
        const SimPage *page = image->pages[(offset + at) / SIM_PAGE];
        if (page) memcpy((uint8_t *)into + at, page->data + in, part);
        else memset((uint8_t *)into + at, 0, part);
        at += part;
    }
}

static void sim_image_copy(const SimImage *from, SimImage *into) {
    size_t pages = sim_pages_in(from->size), had = sim_pages_in(into->size);
    sim_image_touch(into);
    for (size_t i = 0; i < pages; i++)
        if (from->pages[i]) from->pages[i]->references++;
    for (size_t i = 0; i < had; i++) sim_page_drop(into->pages[i]);
    sim_image_reserve(into, pages);
    if (pages) memcpy(into->pages, from->pages, pages * sizeof *into->pages);
    into->size = from->size;
}

static void sim_image_free(SimImage *image) {
    sim_image_resize(image, 0);
    free(image->pages);
    free(image->flat);
}

static uint64_t sim_image_hash(const SimImage *image) {
    uint64_t hash = image->size;
    for (size_t i = 0; i < sim_pages_in(image->size); i++) {
        SimPage *page = image->pages[i];
        if (page && !page->hash) page->hash = checksum64(1, page->data, SIM_PAGE) | 1;
        uint64_t pair[2] = {hash, page ? page->hash : 0};
        hash = checksum64(i, pair, sizeof pair);
    }
    return hash;
}

/* ---- Files ---- */

static size_t sim_find(const SimDisk *disk, const char *name) {
    for (size_t i = 0; i < disk->file_count; i++)
        if (strcmp(disk->files[i].name, name) == 0) return i;
    return SIZE_MAX;
}

/* The slot of a name, made when missing; the file in it need not be there. */
static size_t sim_slot(SimDisk *disk, const char *name) {
    size_t index = sim_find(disk, name);
    if (index != SIZE_MAX) return index;
    disk->files = sim_grow(disk->files, disk->file_count, &disk->file_capacity, sizeof *disk->files);
    size_t size = strlen(name) + 1;
    disk->files[disk->file_count] = (SimFile){.name = memcpy(sim_realloc(NULL, size), name, size)};
    return disk->file_count++;
}

static SimFile *sim_existing(const SimDisk *disk, const char *name) {
    size_t index = sim_find(disk, name);
    if (index == SIZE_MAX || !disk->files[index].there) {
        fprintf(stderr, "sim_disk: no file %s\n", name);
        abort();
    }
    return &disk->files[index];
}

static void sim_forget_changes(SimFile *file) {
    for (size_t i = 0; i < file->change_count; i++) sim_bytes_drop(file->changes[i].bytes);
    file->change_count = 0;
}

/* What a failed sync of Linux forgets: data and size, not the name. */
static void sim_lose_changes(SimFile *file) {
    size_t kept = 0;
    for (size_t i = 0; i < file->change_count; i++) {
        sim_bytes_drop(file->changes[i].bytes);
        if (file->changes[i].kind == SIM_CREATE) file->changes[kept++] = file->changes[i];
    }
    file->change_count = kept;
}

static void sim_image_apply(SimImage *image, const SimChange *change) {
    if (change->kind == SIM_WRITE)
        sim_image_write(image, change->offset, change->bytes->data, change->size);
    if (change->kind == SIM_TRUNCATE) sim_image_resize(image, change->offset);
}

/* Makes a change visible and unsynced. Takes a reference of `bytes` for itself. */
static void sim_change(SimDisk *disk, size_t index, int kind, uint64_t offset, uint64_t size,
                       SimBytes *bytes) {
    SimFile *file = &disk->files[index];
    file->changes = sim_grow(file->changes, file->change_count, &file->change_capacity,
                             sizeof *file->changes);
    SimChange *change = &file->changes[file->change_count++];
    *change = (SimChange){kind, disk->order++, offset, size, sim_bytes_keep(bytes)};
    disk->used -= file->image.size;
    if (kind == SIM_CREATE) {
        file->there = true;
        sim_image_resize(&file->image, 0);
    }
    sim_image_apply(&file->image, change);
    disk->used += file->image.size;
}

/* Rule 2. */
static void sim_make_durable(SimDisk *disk, size_t index) {
    SimFile *file = &disk->files[index];
    for (size_t i = 0; i < file->change_count; i++) {
        if (file->changes[i].kind == SIM_CREATE) {
            file->durable_there = true;
            sim_image_resize(&file->durable, 0);
        }
        sim_image_apply(&file->durable, &file->changes[i]);
    }
    sim_forget_changes(file);
    file->syncs++;
}

/* ---- Faults, power, the log ---- */

static nacre_status sim_fail(SimDisk *disk, nacre_status status, const char *name,
                             const char *what) {
    snprintf(disk->message, sizeof disk->message, "simulated file %s: %s", name, what);
    return status;
}

/* True when the armed fault meets an operation of this kind. */
static bool sim_fault_meets(SimDisk *disk, int kind) {
    if (disk->fault.nth == 0 || !(disk->fault.kinds & kind)) return false;
    disk->fault_seen++;
    if (disk->fault_seen < disk->fault.nth) return false;
    if (disk->fault_seen > disk->fault.nth && !disk->fault.forever) return false;
    disk->fault_hits++;
    return true;
}

static SimRecord *sim_record(SimDisk *disk, int kind, size_t file) {
    disk->log = sim_grow(disk->log, disk->log_count, &disk->log_capacity, sizeof *disk->log);
    SimRecord *record = &disk->log[disk->log_count++];
    *record = (SimRecord){.kind = kind, .file = file};
    return record;
}

/* True when the power is off at the operation that now follows. */
static bool sim_power_fails(SimDisk *disk) {
    if (disk->log_count >= disk->off_at) disk->off = true;
    return disk->off;
}

static nacre_status sim_handle_check(SimHandle *handle) {
    SimDisk *disk = handle->disk;
    const char *name = disk->files[handle->file].name;
    if (handle->life != disk->life) return sim_fail(disk, NACRE_IO, name, "opened before a crash");
    if (disk->off) return sim_fail(disk, NACRE_IO, name, "no power");
    return NACRE_OK;
}

/* What a recorded operation left behind, done again (and done the first time). */
static void sim_do(SimDisk *disk, const SimRecord *record, size_t file) {
    if (record->kind == SIM_CREATE && record->landed) sim_change(disk, file, SIM_CREATE, 0, 0, NULL);
    if (record->kind == SIM_WRITE && record->landed) {
        sim_change(disk, file, SIM_WRITE, record->offset, record->landed, record->bytes);
        disk->written += record->landed;
    }
    if (record->kind == SIM_TRUNCATE && record->landed)
        sim_change(disk, file, SIM_TRUNCATE, record->offset, 0, NULL);
    if (record->synced) sim_make_durable(disk, file);
    if (record->lost) sim_lose_changes(&disk->files[file]);
}

/* ---- The verbs ---- */

static SimHandle *sim_handle_new(SimDisk *disk, size_t file) {
    SimHandle *handle = sim_realloc(NULL, sizeof *handle);
    *handle = (SimHandle){.disk = disk, .next = disk->handles, .file = file, .life = disk->life};
    if (disk->handles) disk->handles->previous = handle;
    disk->handles = handle;
    disk->handle_count++;
    return handle;
}

static void sim_handle_free(SimHandle *handle) {
    SimDisk *disk = handle->disk;
    if (handle->previous) handle->previous->next = handle->next;
    else disk->handles = handle->next;
    if (handle->next) handle->next->previous = handle->previous;
    disk->handle_count--;
    free(handle);
}

static nacre_status sim_open(void *self, const char *name, int how, VfsFile **file) {
    SimDisk *disk = self;
    size_t index = sim_slot(disk, name);
    bool create = how == VFS_CREATE && !disk->files[index].there;
    bool off = sim_power_fails(disk);
    bool fault = !off && sim_fault_meets(disk, create ? SIM_CREATE : SIM_OPEN);
    nacre_status status = NACRE_OK;
    if (off) status = sim_fail(disk, NACRE_IO, name, "no power");
    else if (fault) status = sim_fail(disk, disk->fault.status, name, "open: a fault as ordered");
    else if (!create && !disk->files[index].there)
        status = sim_fail(disk, NACRE_NOT_FOUND, name, "no such file");

    if (!off || disk->log_count == disk->off_at) {
        SimRecord *record = sim_record(disk, create ? SIM_CREATE : SIM_OPEN, index);
        record->status = status;
        record->landed = create && !fault; /* off: the name may arrive */
        sim_do(disk, record, index);
    }
    if (status != NACRE_OK) return status;
    SimHandle *handle = sim_handle_new(disk, index);
    handle->writable = how != VFS_READ;
    *file = (VfsFile *)handle;
    return NACRE_OK;
}

static nacre_status sim_size(VfsFile *file, uint64_t *size) {
    SimHandle *handle = (SimHandle *)file;
    SimDisk *disk = handle->disk;
    nacre_status status = sim_handle_check(handle);
    if (status != NACRE_OK) return status;
    if (sim_fault_meets(disk, SIM_SIZE))
        return sim_fail(disk, disk->fault.status, disk->files[handle->file].name, "size: a fault as ordered");
    *size = disk->files[handle->file].image.size;
    return NACRE_OK;
}

static nacre_status sim_read(VfsFile *file, uint64_t offset, void *into, size_t size) {
    SimHandle *handle = (SimHandle *)file;
    SimDisk *disk = handle->disk;
    nacre_status status = sim_handle_check(handle);
    if (status != NACRE_OK) return status;
    SimFile *f = &disk->files[handle->file];
    disk->reads++;
    bool fault = sim_fault_meets(disk, SIM_READ);
    if (fault && disk->fault.way == SIM_FAULT_SHORT && offset <= f->image.size && size / 2 <= f->image.size - offset)
        sim_image_read(&f->image, offset, into, size / 2);
    if (fault)
        return sim_fail(disk, disk->fault.status, f->name, "read: a fault as ordered");
    if (offset > f->image.size || size > f->image.size - offset) {
        snprintf(disk->message, sizeof disk->message,
                 "short read: file %s has %zu bytes, wanted %zu at %llu", f->name, f->image.size,
                 size, (unsigned long long)offset);
        return NACRE_IO;
    }
    sim_image_read(&f->image, offset, into, size);
    if (disk->seen) disk->seen(disk->seen_self, f->name, offset, size);
    return NACRE_OK;
}

/* Begins a change: NACRE_OK, or what the caller is told without anything recorded. */
static nacre_status sim_change_check(SimHandle *handle) {
    SimDisk *disk = handle->disk;
    const char *name = disk->files[handle->file].name;
    nacre_status status = sim_handle_check(handle);
    if (status == NACRE_OK && !handle->writable)
        status = sim_fail(disk, NACRE_PERMISSION, name, "opened for reading");
    return status;
}

/* How many more bytes all files may take. */
static uint64_t sim_room(const SimDisk *disk) {
    return disk->capacity > disk->used ? disk->capacity - disk->used : 0;
}

/* A write that is answered with NACRE_OK, and did something else. */
static nacre_status sim_write_lie(SimHandle *handle, uint64_t offset, const void *from, size_t size) {
    SimDisk *disk = handle->disk;
    SimFile *f = &disk->files[handle->file];
    uint64_t there = f->image.size > offset ? f->image.size - offset : 0;
    SimBytes *old = sim_realloc(NULL, sizeof *old + size);
    old->references = 1;
    memset(old->data, 0, size);
    sim_image_read(&f->image, offset, old->data, there < size ? (size_t)there : size);
    SimRecord *record = sim_record(disk, SIM_WRITE, handle->file);
    *record = (SimRecord){.kind = SIM_WRITE, .file = handle->file, .offset = offset, .size = size, .landed = size, .bytes = old};
    sim_do(disk, record, handle->file);
    if (disk->fault.way != SIM_FAULT_ASTRAY) return NACRE_OK;
    uint64_t astray = (offset + disk->fault.distance) % (f->image.size > size ? f->image.size - size : 1);
    record = sim_record(disk, SIM_WRITE, handle->file);
    *record = (SimRecord){.kind = SIM_WRITE, .file = handle->file, .offset = astray, .size = size, .landed = size};
    record->bytes = sim_bytes_new(from, size);
    sim_do(disk, record, handle->file);
    return NACRE_OK;
}

static nacre_status sim_write(VfsFile *file, uint64_t offset, const void *from, size_t size) {
    SimHandle *handle = (SimHandle *)file;
    SimDisk *disk = handle->disk;
    nacre_status status = sim_change_check(handle);
    if (status != NACRE_OK) return status;
    SimFile *f = &disk->files[handle->file];
    uint64_t landed = size, grown = f->image.size + sim_room(disk);
    if (sim_power_fails(disk)) {
        status = sim_fail(disk, NACRE_IO, f->name, "write: the power failed");
    } else if (sim_fault_meets(disk, SIM_WRITE)) {
        if (disk->fault.way >= SIM_FAULT_STALE) return sim_write_lie(handle, offset, from, size);
        status = sim_fail(disk, disk->fault.status, f->name, "write: a fault as ordered");
        landed = disk->fault.way == SIM_FAULT_SHORT ? size / 2 : 0;
    } else if (offset > SIZE_MAX - size || offset + size > SIZE_MAX / 4) {
        status = sim_fail(disk, NACRE_QUOTA, f->name, "write: larger than memory");
        landed = 0;
    }
    /* Growth stops where the disk is full (a gap counts as bytes). */
    if (landed && offset + landed > f->image.size && offset + landed > grown) {
        landed = grown > offset ? grown - offset : 0;
        if (status == NACRE_OK) status = sim_fail(disk, NACRE_QUOTA, f->name, "disk full");
    }
    SimRecord *record = sim_record(disk, SIM_WRITE, handle->file);
    record->offset = offset, record->size = size, record->landed = landed;
    record->bytes = sim_bytes_new(from, (size_t)landed);
    record->status = status;
    sim_do(disk, record, handle->file);
    return status;
}

static nacre_status sim_truncate(VfsFile *file, uint64_t size) {
    SimHandle *handle = (SimHandle *)file;
    SimDisk *disk = handle->disk;
    nacre_status status = sim_change_check(handle);
    if (status != NACRE_OK) return status;
    SimFile *f = &disk->files[handle->file];
    bool landed = true;
    if (sim_power_fails(disk)) {
        status = sim_fail(disk, NACRE_IO, f->name, "truncate: the power failed");
    } else if (sim_fault_meets(disk, SIM_TRUNCATE)) {
        status = sim_fail(disk, disk->fault.status, f->name, "truncate: a fault as ordered");
        landed = false;
    }
    if (landed && size > f->image.size &&
        (size > SIZE_MAX / 4 || size - f->image.size > sim_room(disk))) {
        status = sim_fail(disk, NACRE_QUOTA, f->name, "disk full");
        landed = false;
    }
    SimRecord *record = sim_record(disk, SIM_TRUNCATE, handle->file);
    record->offset = size, record->landed = landed;
    record->status = status;
    sim_do(disk, record, handle->file);
    return status;
}

static nacre_status sim_sync(VfsFile *file) {
    SimHandle *handle = (SimHandle *)file;
    SimDisk *disk = handle->disk;
    nacre_status status = sim_handle_check(handle);
    if (status != NACRE_OK) return status;
    const char *name = disk->files[handle->file].name;
    bool lost = false, idle = false;
    if (sim_power_fails(disk)) {
        status = sim_fail(disk, NACRE_IO, name, "sync: the power failed");
    } else if (sim_fault_meets(disk, SIM_SYNC)) {
        idle = disk->fault.way == SIM_FAULT_IDLE;
        if (!idle) status = sim_fail(disk, disk->fault.status, name, "sync: a fault as ordered");
        lost = disk->fault.way == SIM_FAULT_LOSE;
    }
    SimRecord *record = sim_record(disk, SIM_SYNC, handle->file);
    record->status = status;
    record->synced = status == NACRE_OK && !idle;
    record->lost = lost;
    sim_do(disk, record, handle->file);
    return status;
}

static nacre_status sim_close(VfsFile *file) {
    SimHandle *handle = (SimHandle *)file;
    SimDisk *disk = handle->disk;
    nacre_status status = sim_handle_check(handle);
    const char *name = disk->files[handle->file].name;
    if (status == NACRE_OK) {
        if (sim_power_fails(disk)) status = sim_fail(disk, NACRE_IO, name, "no power");
        else if (sim_fault_meets(disk, SIM_CLOSE))
            status = sim_fail(disk, disk->fault.status, name, "close: a fault as ordered");
        sim_record(disk, SIM_CLOSE, handle->file)->status = status;
    }
    sim_handle_free(handle);
    return status;
}

static nacre_status sim_lock(void *self, const char *name, bool break_it, VfsFile **lock) {
    SimDisk *disk = self;
    size_t index = sim_slot(disk, name);
    if (disk->off) return sim_fail(disk, NACRE_IO, name, "no power");
    for (SimHandle *h = disk->handles; h; h = h->next) {
        if (!h->lock || h->file != index || h->life != disk->life) continue;
        if (!break_it) return sim_fail(disk, NACRE_BUSY, name, "open for writing already");
        h->lock = false;
    }
    SimHandle *handle = sim_handle_new(disk, index);
    handle->lock = true;
    *lock = (VfsFile *)handle;
    return NACRE_OK;
}

static void sim_unlock(void *self, VfsFile *lock) {
    (void)self;
    if (lock) sim_handle_free((SimHandle *)lock);
}

static nacre_status sim_readers_open(void *self, const char *name, bool break_it, VfsFile **readers) {
    SimDisk *disk = self;
    (void)break_it;
    if (disk->no_pins) return sim_fail(disk, NACRE_PERMISSION, name, "no place for pins, as ordered");
    *readers = self;
    return NACRE_OK;
}

static void sim_readers_close(VfsFile *readers) { (void)readers; }

static nacre_status sim_pin(VfsFile *readers, uint64_t generation, VfsFile **pin) {
    SimDisk *disk = (SimDisk *)readers;
    if (disk->off) return sim_fail(disk, NACRE_IO, "pin", "no power");
    SimPin *p = (SimPin *)*pin;
    if (!p) {
        p = sim_realloc(NULL, sizeof *p);
        p->next = disk->pins;
        disk->pins = p;
    }
    p->generation = generation;
    *pin = (VfsFile *)p;
    return NACRE_OK;
}

static void sim_unpin(VfsFile *readers, VfsFile *pin) {
    SimDisk *disk = (SimDisk *)readers;
    SimPin **at = &disk->pins;
    while (*at && *at != (SimPin *)pin) at = &(*at)->next;
    if (!*at) return; /* a crash has forgotten it */
    *at = (*at)->next;
    free(pin);
}

static nacre_status sim_pins(VfsFile *readers, VfsPinVisit visit, void *self) {
    SimDisk *disk = (SimDisk *)readers;
    if (disk->off) return sim_fail(disk, NACRE_IO, "pins", "no power");
    for (SimPin *p = disk->pins; p; p = p->next) visit(self, p->generation);
    return NACRE_OK;
}

static const VfsReaders sim_readers = {sim_readers_open, sim_readers_close, sim_pin, sim_unpin, sim_pins};

static void sim_forget_pins(SimDisk *disk) {
    while (disk->pins) {
        SimPin *next = disk->pins->next;
        free(disk->pins);
        disk->pins = next;
    }
}

size_t sim_disk_pins(const SimDisk *disk) {
    size_t count = 0;
    for (SimPin *p = disk->pins; p; p = p->next) count++;
    return count;
}

void sim_disk_no_pins(SimDisk *disk) { disk->no_pins = true; }

static uint64_t sim_now_ms(void *self) { return ((SimDisk *)self)->clock; }

static void sim_random_verb(void *self, void *into, size_t size) {
    SimDisk *disk = self;
    uint8_t *at = into;
    for (size_t i = 0; i < size; i++) at[i] = (uint8_t)sim_random(&disk->random);
}

static const char *sim_message(void *self) { return ((SimDisk *)self)->message; }

/* ---- Making, copying, freeing ---- */

SimDisk *sim_disk_new(uint64_t seed) {
    static uint64_t made; /* addresses come again, numbers do not */
    SimDisk *disk = sim_realloc(NULL, sizeof *disk);
    *disk = (SimDisk){
        .vfs = {.self = disk,
                .open = sim_open,
                .size = sim_size,
                .read = sim_read,
                .write = sim_write,
                .truncate = sim_truncate,
                .sync = sim_sync,
                .close = sim_close,
                .lock = sim_lock,
                .unlock = sim_unlock,
                .readers = &sim_readers,
                .now_ms = sim_now_ms,
                .random = sim_random_verb,
                .message = sim_message},
        .off_at = SIZE_MAX,
        .capacity = UINT64_MAX,
        .clock = 1000000000000,
        .random = seed,
        .id = ++made,
    };
    return disk;
}

static void sim_forget_log(SimDisk *disk) {
    for (size_t i = 0; i < disk->log_count; i++) sim_bytes_drop(disk->log[i].bytes);
    disk->log_count = 0;
}

void sim_disk_free(SimDisk *disk) {
    if (!disk) return;
    while (disk->handles) sim_handle_free(disk->handles);
    sim_forget_pins(disk);
    sim_forget_log(disk);
    for (size_t i = 0; i < disk->file_count; i++) {
        SimFile *file = &disk->files[i];
        sim_forget_changes(file);
        free(file->changes);
        sim_image_free(&file->image);
        sim_image_free(&file->durable);
        free(file->name);
    }
    free(disk->files);
    free(disk->log);
    free(disk);
}

const Vfs *sim_disk_vfs(SimDisk *disk) { return &disk->vfs; }

static void sim_file_copy(const SimFile *from, SimFile *into) {
    into->there = from->there;
    into->durable_there = from->durable_there;
    sim_image_copy(&from->image, &into->image);
    sim_image_copy(&from->durable, &into->durable);
    sim_forget_changes(into);
    if (from->change_count > into->change_capacity) {
        into->changes = sim_realloc(into->changes, from->change_count * sizeof *into->changes);
        into->change_capacity = from->change_count;
    }
    for (size_t i = 0; i < from->change_count; i++) {
        into->changes[i] = from->changes[i];
        sim_bytes_keep(into->changes[i].bytes);
    }
    into->change_count = from->change_count;
}

static void sim_file_clear(SimFile *file) {
    sim_forget_changes(file);
    file->there = file->durable_there = false;
    sim_image_resize(&file->image, 0);
    sim_image_resize(&file->durable, 0);
}

/* Log, counters, faults and power as on a new disk. */
static void sim_begin_anew(SimDisk *disk) {
    sim_forget_log(disk);
    for (size_t i = 0; i < disk->file_count; i++) disk->files[i].syncs = 0;
    disk->off_at = SIZE_MAX;
    disk->off = false;
    disk->fault = (SimFault){0};
    disk->fault_seen = disk->fault_hits = disk->reads = disk->written = 0;
    disk->replayed = 0;
    disk->replayed_count = 0;
}

static void sim_refuse_open_handles(const SimDisk *disk, const char *where) {
    if (disk->handle_count == 0) return;
    fprintf(stderr, "sim_disk: %s: %zu handles are open, one of %s\n", where, disk->handle_count,
            disk->files[disk->handles->file].name);
    abort();
}

void sim_disk_copy(const SimDisk *from, SimDisk *into) {
    sim_refuse_open_handles(into, "copy into a disk");
    sim_begin_anew(into);
    for (size_t i = 0; i < into->file_count; i++)
        if (sim_find(from, into->files[i].name) == SIZE_MAX) sim_file_clear(&into->files[i]);
    for (size_t i = 0; i < from->file_count; i++) {
        size_t index = sim_slot(into, from->files[i].name);
        sim_file_copy(&from->files[i], &into->files[index]);
    }
    into->order = from->order;
    into->used = from->used;
    into->capacity = from->capacity;
    into->clock = from->clock;
    into->random = from->random;
}

SimDisk *sim_disk_clone(const SimDisk *disk) {
    SimDisk *clone = sim_disk_new(0);
    sim_disk_copy(disk, clone);
    return clone;
}

void sim_disk_replay(const SimDisk *recording, size_t operations, SimDisk *into) {
    sim_refuse_open_handles(into, "replay into a disk");
    if (operations > recording->log_count) operations = recording->log_count;
    if (recording->life != 0) {
        fprintf(stderr, "sim_disk: replay of a recording that has crashed\n");
        abort();
    }
    if (into->replayed != recording->id || into->replayed_count > operations ||
        into->log_count != 0 || into->replayed_count == 0) {
        sim_begin_anew(into);
        for (size_t i = 0; i < into->file_count; i++) sim_file_clear(&into->files[i]);
        into->order = into->used = 0;
        into->replayed = recording->id;
        into->clock = recording->clock;
        into->random = recording->random;
        into->capacity = recording->capacity;
    }
    for (size_t i = into->replayed_count; i < operations; i++) {
        const SimRecord *record = &recording->log[i];
        sim_do(into, record, sim_slot(into, recording->files[record->file].name));
    }
    into->replayed_count = operations;
}

/* ---- Crashes ---- */

void sim_disk_power_off_at(SimDisk *disk, size_t index) { disk->off_at = index; }
bool sim_disk_is_off(const SimDisk *disk) { return disk->off; }

size_t sim_disk_unsynced(const SimDisk *disk) {
    size_t count = 0;
    for (size_t i = 0; i < disk->file_count; i++) count += disk->files[i].change_count;
    return count;
}

/* One unsynced change on its way to the disk, or a piece of one. */
typedef struct SimArrival {
    size_t file;
    const SimChange *change;
} SimArrival;

static int sim_by_order(const void *a, const void *b) {
    uint64_t x = ((const SimArrival *)a)->change->order, y = ((const SimArrival *)b)->change->order;
    return x < y ? -1 : x > y;
}

/* All unsynced changes of the disk in the order of their making; free() them. */
static SimArrival *sim_arrivals(const SimDisk *disk, size_t *count) {
    SimArrival *all = sim_realloc(NULL, sim_disk_unsynced(disk) * sizeof *all);
    *count = 0;
    for (size_t i = 0; i < disk->file_count; i++)
        for (size_t j = 0; j < disk->files[i].change_count; j++)
            all[(*count)++] = (SimArrival){i, &disk->files[i].changes[j]};
    if (*count) qsort(all, *count, sizeof *all, sim_by_order);
    return all;
}

/* Pieces of a change when writes are cut at multiples of `unit` of the file. */
static uint64_t sim_pieces(const SimChange *change, uint64_t unit) {
    if (change->kind != SIM_WRITE) return 1;
    return (change->offset + change->size - 1) / unit - change->offset / unit + 1;
}

/* The range of piece `index` of a write. */
static void sim_piece(const SimChange *change, uint64_t unit, uint64_t index, uint64_t *from,
                      uint64_t *to) {
    uint64_t first = change->offset / unit, end = change->offset + change->size;
    *from = index == 0 ? change->offset : (first + index) * unit;
    *to = (first + index + 1) * unit < end ? (first + index + 1) * unit : end;
}

static void sim_arrive_range(SimDisk *disk, const SimArrival *arrival, uint64_t from, uint64_t to) {
    SimFile *file = &disk->files[arrival->file];
    const SimChange *change = arrival->change;
    if (file->durable_there)
        sim_image_write(&file->durable, from, change->bytes->data + (from - change->offset),
                        to - from);
}

static void sim_arrive(SimDisk *disk, const SimArrival *arrival) {
    SimFile *file = &disk->files[arrival->file];
    if (arrival->change->kind == SIM_CREATE) file->durable_there = true;
    if (file->durable_there) sim_image_apply(&file->durable, arrival->change); /* rule 4 */
}

/* The first `limit` pieces, in order. */
static void sim_arrive_prefix(SimDisk *disk, const SimArrival *all, size_t count, uint64_t unit,
                              uint64_t limit) {
    for (size_t i = 0; i < count && limit > 0; i++) {
        uint64_t pieces = sim_pieces(all[i].change, unit), from, to;
        if (pieces <= limit) {
            sim_arrive(disk, &all[i]);
            limit -= pieces;
        } else {
            sim_piece(all[i].change, unit, limit - 1, &from, &to);
            sim_arrive_range(disk, &all[i], all[i].change->offset, to);
            limit = 0;
        }
    }
}

static void sim_arrive_junk(SimDisk *disk, const SimArrival *arrival, uint64_t from, uint64_t to,
                            uint64_t *random) {
    SimFile *file = &disk->files[arrival->file];
    if (!file->durable_there) return;
    for (uint64_t i = from; i < to; i++) {
        uint8_t junk = (uint8_t)sim_random(random);
        sim_image_write(&file->durable, i, &junk, 1);
    }
}

/* Some pieces of a write; what stays out keeps what was there, or becomes junk. */
static void sim_arrive_torn(SimDisk *disk, const SimArrival *arrival, uint64_t unit, bool junk,
                            uint64_t *random) {
    const SimChange *change = arrival->change;
    uint64_t pieces = sim_pieces(change, unit);
    /* For single bytes one cut at either side: real devices do not scatter bytes. */
    uint64_t cut = sim_random(random) % (pieces + 1);
    bool scatter = unit > 1 && sim_random(random) % 2, front = sim_random(random) % 4 != 0;
    for (uint64_t i = 0; i < pieces; i++) {
        uint64_t from, to;
        if (unit == 1) { /* all at once */
            from = change->offset + (front ? 0 : cut);
            to = front ? change->offset + cut : change->offset + change->size;
            if (to > from) sim_arrive_range(disk, arrival, from, to);
            return;
        }
        sim_piece(change, unit, i, &from, &to);
        bool arrives = scatter ? sim_random(random) % 2 : front ? i < cut : i >= cut;
        if (arrives) sim_arrive_range(disk, arrival, from, to);
        else if (junk && sim_random(random) % 4 == 0)
            sim_arrive_junk(disk, arrival, from, to, random);
    }
}

static void sim_arrive_random(SimDisk *disk, SimArrival *all, size_t count, bool junk,
                              uint64_t seed) {
    static const uint64_t units[4] = {1, 512, 4096, 512};
    uint64_t random = seed ^ UINT64_C(0x5eed0fc4a5);
    uint64_t likely = sim_random(&random) % 9;         /* of 8 changes so many arrive */
    uint64_t torn = sim_random(&random) % 3;           /* 0: none, 1: half, 2: all of them */
    bool reorder = sim_random(&random) % 2 != 0;
    bool lose_names = sim_random(&random) % 4 == 0;    /* creations are as unsure as writes */
    uint64_t unit = units[sim_random(&random) % 4];
    for (size_t i = 0; i < count; i++) /* names first: they do not wait for data */
        if (all[i].change->kind == SIM_CREATE && (!lose_names || sim_random(&random) % 2))
            sim_arrive(disk, &all[i]);
    for (size_t i = count; reorder && i > 1; i--) {
        size_t j = (size_t)(sim_random(&random) % i);
        SimArrival swap = all[i - 1];
        all[i - 1] = all[j];
        all[j] = swap;
    }
    for (size_t i = 0; i < count; i++) {
        if (all[i].change->kind == SIM_CREATE || sim_random(&random) % 8 >= likely) continue;
        bool tear = all[i].change->kind == SIM_WRITE &&
                    (torn == 2 || (torn == 1 && sim_random(&random) % 2));
        if (tear) sim_arrive_torn(disk, &all[i], unit, junk, &random);
        else sim_arrive(disk, &all[i]);
    }
}

static uint64_t sim_unit(SimCrash policy) {
    switch (policy) {
    case SIM_CRASH_TORN_4096: return 4096;
    case SIM_CRASH_TORN_512: return 512;
    case SIM_CRASH_TORN_BYTE: return 1;
    default: return UINT64_MAX / 2; /* one piece each */
    }
}

void sim_disk_crash(SimDisk *disk, SimCrash policy, uint64_t seed) {
    size_t count = 0;
    SimArrival *all = sim_arrivals(disk, &count);
    switch (policy) {
    case SIM_CRASH_PREFIX:
    case SIM_CRASH_TORN_4096:
    case SIM_CRASH_TORN_512:
    case SIM_CRASH_TORN_BYTE: sim_arrive_prefix(disk, all, count, sim_unit(policy), seed); break;
    case SIM_CRASH_SUBSET:
        for (size_t i = 0; i < count; i++)
            if (seed >> i % 64 & 1) sim_arrive(disk, &all[i]);
        break;
    case SIM_CRASH_RANDOM:
    case SIM_CRASH_JUNK:
        sim_arrive_random(disk, all, count, policy == SIM_CRASH_JUNK, seed);
        break;
    }
    free(all);
    disk->used = 0;
    for (size_t i = 0; i < disk->file_count; i++) {
        SimFile *file = &disk->files[i];
        sim_forget_changes(file);
        if (!file->durable_there) sim_image_resize(&file->durable, 0);
        file->there = file->durable_there;
        sim_image_copy(&file->durable, &file->image);
        disk->used += file->image.size;
    }
    sim_forget_pins(disk);
    disk->life++;
    disk->off = false;
    disk->off_at = SIZE_MAX;
    disk->replayed = 0; /* a replay would have to begin anew */
}

uint64_t sim_disk_crash_states(const SimDisk *disk, SimCrash policy) {
    if (policy == SIM_CRASH_RANDOM || policy == SIM_CRASH_JUNK) return UINT64_MAX;
    if (policy == SIM_CRASH_SUBSET) {
        size_t count = sim_disk_unsynced(disk);
        return count >= 64 ? UINT64_MAX : UINT64_C(1) << count;
    }
    uint64_t states = 1;
    for (size_t i = 0; i < disk->file_count; i++)
        for (size_t j = 0; j < disk->files[i].change_count; j++)
            states += sim_pieces(&disk->files[i].changes[j], sim_unit(policy));
    return states;
}

/* ---- What happened ---- */

size_t sim_disk_operations(const SimDisk *disk) { return disk->log_count; }

SimOperation sim_disk_operation(const SimDisk *disk, size_t index) {
    if (index >= disk->log_count) abort();
    const SimRecord *r = &disk->log[index];
    return (SimOperation){r->kind, disk->files[r->file].name, r->offset, r->size, r->status};
}

uint64_t sim_disk_syncs(const SimDisk *disk, const char *file) {
    uint64_t syncs = 0;
    for (size_t i = 0; i < disk->file_count; i++)
        if (!file || strcmp(disk->files[i].name, file) == 0) syncs += disk->files[i].syncs;
    return syncs;
}

uint64_t sim_disk_bytes_written(const SimDisk *disk) { return disk->written; }
uint64_t sim_disk_reads(const SimDisk *disk) { return disk->reads; }
size_t sim_disk_open_handles(const SimDisk *disk) { return disk->handle_count; }

/* ---- Faults, clock, bytes ---- */

void sim_disk_fault(SimDisk *disk, SimFault fault) {
    disk->fault = fault;
    disk->fault_seen = disk->fault_hits = 0;
}

uint64_t sim_disk_fault_hits(const SimDisk *disk) { return disk->fault_hits; }
uint64_t sim_disk_fault_calls(const SimDisk *disk) { return disk->fault_seen; }
void sim_disk_capacity(SimDisk *disk, uint64_t bytes) { disk->capacity = bytes; }
void sim_disk_set_clock(SimDisk *disk, uint64_t now_ms) { disk->clock = now_ms; }
void sim_disk_watch(SimDisk *disk, void (*seen)(void *self, const char *file, uint64_t offset, size_t size), void *self) {
    disk->seen = seen;
    disk->seen_self = self;
}
void sim_disk_wait(SimDisk *disk, uint64_t ms) { disk->clock += ms; }
void sim_disk_seed(SimDisk *disk, uint64_t seed) { disk->random = seed; }

const uint8_t *sim_disk_bytes(const SimDisk *disk, const char *file, uint64_t *size) {
    static const uint8_t nothing[1] = {0};
    size_t index = sim_find(disk, file);
    if (index == SIZE_MAX || !disk->files[index].there) return NULL;
    SimImage *image = &disk->files[index].image;
    if (size) *size = image->size;
    if (!image->size) return nothing;
    if (!image->flat_right) {
        if (image->size > image->flat_capacity) {
            image->flat = sim_realloc(image->flat, image->size);
            image->flat_capacity = image->size;
        }
        sim_image_read(image, 0, image->flat, image->size);
        image->flat_right = true;
    }
    return image->flat;
}

uint64_t sim_disk_hash(const SimDisk *disk) {
    uint64_t hash = 0;
    for (size_t i = 0; i < disk->file_count; i++)
        if (disk->files[i].there) /* the order of the files does not count */
            hash += checksum64(sim_image_hash(&disk->files[i].image), disk->files[i].name, strlen(disk->files[i].name));
    return hash;
}

static void sim_image_flip(SimImage *image, uint64_t bit) {
    uint8_t byte;
    if (bit / 8 >= image->size) return;
    sim_image_read(image, bit / 8, &byte, 1);
    byte ^= (uint8_t)(1u << bit % 8);
    sim_image_write(image, bit / 8, &byte, 1);
}

void sim_disk_flip(SimDisk *disk, const char *file, uint64_t bit) {
    SimFile *f = sim_existing(disk, file);
    sim_image_flip(&f->image, bit);
    sim_image_flip(&f->durable, bit);
}

void sim_disk_poke(SimDisk *disk, const char *file, uint64_t offset, const void *bytes, size_t size) {
    SimFile *f = sim_existing(disk, file);
    disk->used -= f->image.size;
    sim_image_write(&f->image, offset, bytes, size);
    sim_image_write(&f->durable, offset, bytes, size);
    disk->used += f->image.size;
}

void sim_disk_peek(const SimDisk *disk, const char *file, uint64_t offset, void *bytes, size_t size) {
    const SimImage *image = &sim_existing(disk, file)->image;
    if (offset > image->size || size > image->size - offset) abort();
    sim_image_read(image, offset, bytes, size);
}

void sim_disk_resize(SimDisk *disk, const char *file, uint64_t size) {
    SimFile *f = sim_existing(disk, file);
    disk->used -= f->image.size;
    sim_image_resize(&f->image, size);
    sim_image_resize(&f->durable, size);
    disk->used += f->image.size;
}

void sim_disk_put(SimDisk *disk, const char *file, const void *bytes, size_t size) {
    size_t index = sim_slot(disk, file);
    SimFile *f = &disk->files[index];
    disk->used -= f->image.size;
    sim_forget_changes(f);
    f->there = f->durable_there = true;
    sim_image_resize(&f->image, 0);
    sim_image_resize(&f->durable, 0);
    sim_image_write(&f->image, 0, bytes, size);
    sim_image_write(&f->durable, 0, bytes, size);
    disk->used += f->image.size;
}

void sim_disk_remove(SimDisk *disk, const char *file) {
    size_t index = sim_find(disk, file);
    if (index == SIZE_MAX) return;
    for (SimHandle *h = disk->handles; h; h = h->next)
        if (h->file == index && !h->lock && h->life == disk->life)
            sim_refuse_open_handles(disk, "remove an open file");
    disk->used -= disk->files[index].image.size;
    sim_file_clear(&disk->files[index]);
}

size_t sim_disk_file_count(const SimDisk *disk) {
    size_t count = 0;
    for (size_t i = 0; i < disk->file_count; i++) count += disk->files[i].there;
    return count;
}

const char *sim_disk_file_name(const SimDisk *disk, size_t index) {
    for (size_t i = 0; i < disk->file_count; i++)
        if (disk->files[i].there && index-- == 0) return disk->files[i].name;
    return NULL;
}
