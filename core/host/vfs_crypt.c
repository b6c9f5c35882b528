/* vfs_crypt.c - the verbs of the encrypting layer: which of the three files is meant, and
 * sealing and opening with the keys that crypt_keys.c has found. Knows nothing of what the
 * database writes. Rules are those of crypt_format.h. */
#include "host/crypt.h"

#include <stdarg.h>
#include <stdio.h>

nacre_status crypt_fail(Crypt *c, nacre_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(c->message, sizeof c->message, format, args);
    va_end(args);
    return status;
}

nacre_status crypt_below(Crypt *c, nacre_status status) {
    if (status != NACRE_OK) c->message[0] = 0;
    return status;
}

/* ---- sealing ---- */

void crypt_seal(Crypt *c, const uint8_t *extra, size_t extra_size, const uint8_t *text, size_t size, uint8_t *seal,
                uint8_t *out) {
    memcpy(seal, c->session, sizeof c->session); /* rule 2 */
    put_u64(seal + sizeof c->session, ++c->sealed);
    aead_seal(&c->session_key, seal + sizeof c->session, extra, extra_size, text, size, out, seal + CRYPT_NONCE);
}

bool crypt_open(Crypt *c, const uint8_t *extra, size_t extra_size, const uint8_t *seal, const uint8_t *text,
                size_t size, uint8_t *out) {
    ASSERT(c->keys == CRYPT_READY);
    if (memcmp(seal, c->seen, sizeof c->seen) != 0) {
        memcpy(c->seen, seal, sizeof c->seen);
        aead_key(&c->seen_key, c->data_key, c->seen);
    }
    if (aead_open(&c->seen_key, seal + sizeof c->seen, extra, extra_size, seal + CRYPT_NONCE, text, size, out))
        return true;
    memset(out, CRYPT_POISON, size); /* rule 5 */
    return false;
}

/* ---- verbs ---- */

static void crypt_free(CryptFile *f) {
    nacre_allocator *a = &f->owner->allocator;
    a->free(a->self, f, sizeof *f);
}

static nacre_status crypt_vfs_open(void *self, const char *name, int how, VfsFile **file) {
    Crypt *c = self;
    int which = CRYPT_DATA;
    while (which < CRYPT_FILES && strcmp(name, c->names[which]) != 0) which++;
    if (which == CRYPT_FILES) return crypt_fail(c, NACRE_IO, "open %s: not a file of this encrypted database", name);
    if (c->keys != CRYPT_READY) TRY(crypt_load(c));
    CryptFile *f = c->allocator.alloc(c->allocator.self, sizeof *f);
    if (!f) return crypt_fail(c, NACRE_RESOURCE_EXHAUSTED, "open %s: no memory", name);
    *f = (CryptFile){.owner = c, .file = which, .writable = how != VFS_READ};
    nacre_status status = crypt_below(c, c->under->open(c->under->self, name, how, &f->under));
    if (status != NACRE_OK) {
        crypt_free(f);
        return status;
    }
    if (f->writable) c->open[which] = f;
    *file = (VfsFile *)f;
    return NACRE_OK;
}

nacre_status crypt_under_size(CryptFile *f, uint64_t *size) {
    return crypt_below(f->owner, f->owner->under->size(f->under, size));
}

static nacre_status crypt_vfs_size(VfsFile *file, uint64_t *size) {
    CryptFile *f = (CryptFile *)file;
    if (f->file != CRYPT_DATA) return crypt_log_size(f, size);
    uint64_t under_size = 0;
    TRY(crypt_under_size(f, &under_size));
    *size = crypt_pages_size(under_size);
    return NACRE_OK;
}

static nacre_status crypt_vfs_read(VfsFile *file, uint64_t offset, void *into, size_t size) {
    CryptFile *f = (CryptFile *)file;
    if (size == 0) return NACRE_OK;
    uint64_t bytes = size;
    if (offset > INT64_MAX / 2 || bytes > INT64_MAX / 2)
        return crypt_fail(f->owner, NACRE_IO, "read %s: beyond what a file can be", f->owner->names[f->file]);
    return f->file == CRYPT_DATA ? crypt_pages_read(f, offset, into, size) : crypt_log_read(f, offset, into, size);
}

static nacre_status crypt_writable(CryptFile *f, uint64_t offset, uint64_t size) {
    Crypt *c = f->owner;
    if (!f->writable) return crypt_fail(c, NACRE_PERMISSION, "write %s: opened for reading", c->names[f->file]);
    if (offset > INT64_MAX / 2 || size > INT64_MAX / 2)
        return crypt_fail(c, NACRE_QUOTA, "write %s: beyond what a file can be", c->names[f->file]);
    return crypt_prepare(c);
}

static nacre_status crypt_vfs_write(VfsFile *file, uint64_t offset, const void *from, size_t size) {
    CryptFile *f = (CryptFile *)file;
    TRY(crypt_writable(f, offset, size));
    if (size == 0) return NACRE_OK;
    return f->file == CRYPT_DATA ? crypt_pages_write(f, offset, from, size) : crypt_log_write(f, offset, from, size);
}

static nacre_status crypt_vfs_truncate(VfsFile *file, uint64_t size) {
    CryptFile *f = (CryptFile *)file;
    TRY(crypt_writable(f, size, 0));
    return f->file == CRYPT_DATA ? crypt_pages_truncate(f, size) : crypt_log_truncate(f, size);
}

static nacre_status crypt_vfs_sync(VfsFile *file) {
    CryptFile *f = (CryptFile *)file;
    return crypt_below(f->owner, f->owner->under->sync(f->under));
}

static nacre_status crypt_vfs_close(VfsFile *file) {
    CryptFile *f = (CryptFile *)file;
    Crypt *c = f->owner;
    if (c->open[f->file] == f) c->open[f->file] = NULL;
    nacre_status status = crypt_below(c, c->under->close(f->under));
    crypt_free(f);
    return status;
}

static nacre_status crypt_vfs_lock(void *self, const char *name, bool break_it, VfsFile **lock) {
    Crypt *c = self;
    TRY(crypt_below(c, c->under->lock(c->under->self, name, break_it, lock)));
    c->keys = CRYPT_UNREAD; /* whoever had it before may have made the database, or changed its key */
    return NACRE_OK;
}

static void crypt_vfs_unlock(void *self, VfsFile *lock) {
    Crypt *c = self;
    c->under->unlock(c->under->self, lock);
}

static nacre_status crypt_vfs_readers(void *self, const char *name, bool break_it, VfsFile **readers) {
    Crypt *c = self;
    return crypt_below(c, c->under->readers->open(c->under->self, name, break_it, readers));
}

static uint64_t crypt_vfs_now_ms(void *self) {
    Crypt *c = self;
    return c->under->now_ms(c->under->self);
}

static void crypt_vfs_random(void *self, void *into, size_t size) {
    Crypt *c = self;
    c->under->random(c->under->self, into, size);
}

static const char *crypt_vfs_message(void *self) {
    Crypt *c = self;
    return c->message[0] ? c->message : c->under->message(c->under->self);
}

static nacre_status crypt_vfs_remove(void *self, const char *name) {
    Crypt *c = self;
    return crypt_below(c, c->under->remove(c->under->self, name));
}

static void crypt_vfs_destroy(void *self) {
    Crypt *c = self;
    nacre_allocator a = c->allocator;
    if (c->buffer) aead_wipe(c->buffer, CRYPT_BUFFER);
    if (c->buffer) a.free(a.self, c->buffer, CRYPT_BUFFER);
    if (c->names[0]) a.free(a.self, c->names[0], c->names_size);
    aead_wipe(c, sizeof *c);
    a.free(a.self, c, sizeof *c);
}

static bool crypt_name(Crypt *c, const char *name) {
    size_t room = strlen(name) + 6;
    c->names_size = CRYPT_FILES * room;
    if (!(c->names[0] = c->allocator.alloc(c->allocator.self, c->names_size))) return false;
    static const char *const suffixes[CRYPT_FILES] = {"", "-wal0", "-wal1"};
    for (int i = 0; i < CRYPT_FILES; i++) {
        c->names[i] = c->names[0] + (size_t)i * room;
        snprintf(c->names[i], room, "%s%s", name, suffixes[i]);
    }
    return true;
}

nacre_status vfs_crypt_create(const nacre_allocator *allocator, const Vfs *under, const char *name,
                              const uint8_t key[CRYPT_KEY], Vfs **vfs) {
    Crypt *c = allocator->alloc(allocator->self, sizeof *c);
    if (!c) return NACRE_RESOURCE_EXHAUSTED;
    *c = (Crypt){
        .vfs = {.self = c,
                .open = crypt_vfs_open,
                .size = crypt_vfs_size,
                .read = crypt_vfs_read,
                .write = crypt_vfs_write,
                .truncate = crypt_vfs_truncate,
                .sync = crypt_vfs_sync,
                .close = crypt_vfs_close,
                .lock = crypt_vfs_lock,
                .unlock = crypt_vfs_unlock,
                .now_ms = crypt_vfs_now_ms,
                .random = crypt_vfs_random,
                .message = crypt_vfs_message,
                .destroy = crypt_vfs_destroy},
        .under = under,
        .allocator = *allocator,
    };
    if (under->remove) c->vfs.remove = crypt_vfs_remove;
    if (under->readers) {
        c->readers = *under->readers;
        c->readers.open = crypt_vfs_readers;
        c->vfs.readers = &c->readers;
    }
    memcpy(c->key, key, sizeof c->key);
    c->buffer = allocator->alloc(allocator->self, CRYPT_BUFFER);
    if (!c->buffer || !crypt_name(c, name)) {
        crypt_vfs_destroy(c);
        return NACRE_RESOURCE_EXHAUSTED;
    }
    *vfs = &c->vfs;
    return NACRE_OK;
}

const uint8_t *vfs_crypt_key(const Vfs *vfs) { return ((const Crypt *)vfs->self)->key; }

const char *vfs_crypt_problem(const Vfs *vfs) {
    const Crypt *c = vfs->self;
    return c->keys == CRYPT_READY && c->lone ? "one of the two copies of the key is damaged" : NULL;
}

/* Does it begin with a slot, or has it the copy of one? */
static nacre_status look_at(const Vfs *vfs, VfsFile *file, bool *encrypted) {
    uint64_t size = 0;
    TRY(vfs->size(file, &size));
    for (uint64_t offset = 0; offset <= CRYPT_SLOT_COPY && !*encrypted; offset += CRYPT_SLOT_COPY) {
        uint8_t magic[8];
        if (size < offset + CRYPT_SLOT) return NACRE_OK;
        TRY(vfs->read(file, offset, magic, sizeof magic));
        *encrypted = memcmp(magic, CRYPT_MAGIC, sizeof magic) == 0;
    }
    return NACRE_OK;
}

nacre_status vfs_crypt_look(const Vfs *vfs, char *const names[3], bool *exists, bool *encrypted) {
    *exists = false;
    if (encrypted) *encrypted = false;
    for (int i = 0; i < 3; i++) {
        VfsFile *file = NULL;
        nacre_status status = vfs->open(vfs->self, names[i], VFS_READ, &file);
        if (status == NACRE_NOT_FOUND) continue;
        TRY(status);
        *exists = true;
        if (encrypted) status = look_at(vfs, file, encrypted);
        vfs->close(file);
        TRY(status);
    }
    return NACRE_OK;
}

nacre_status vfs_crypt_rekey(Vfs *vfs, const uint8_t key[CRYPT_KEY]) { return crypt_rekey(vfs->self, key); }
