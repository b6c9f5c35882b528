/* crypt_keys.c - the slots: finding the data key, making it, wrapping it in another key.
 * Decides between a database that is not there yet, a wrong key and damage (rules 7 and 8). */
#include "base/checksum.h"
#include "host/crypt.h"

typedef enum SlotVerdict {
    CRYPT_SLOT_NOTHING, /* not of this format, or damaged */
    CRYPT_SLOT_PLAIN,   /* of a database that is not encrypted */
    CRYPT_SLOT_LATER,   /* of a version that is not known */
    CRYPT_SLOT_WHOLE,
} SlotVerdict;

static SlotVerdict slot_verdict(const uint8_t slot[CRYPT_SLOT], uint32_t kind) {
    if (memcmp(slot, "NACREDB\n", 8) == 0 || memcmp(slot, "NACRELOG", 8) == 0) return CRYPT_SLOT_PLAIN;
    if (memcmp(slot, CRYPT_MAGIC, 8) != 0) return CRYPT_SLOT_NOTHING;
    if (get_u64(slot + CRYPT_SLOT - 8) != checksum64(0, slot, CRYPT_SLOT - 8)) return CRYPT_SLOT_NOTHING;
    if (get_u32(slot + 8) != CRYPT_VERSION) return CRYPT_SLOT_LATER;
    return get_u32(slot + 12) == kind ? CRYPT_SLOT_WHOLE : CRYPT_SLOT_NOTHING;
}

/* `data_key` NULL: a log's. */
static void slot_make(Crypt *c, const uint8_t *key, const uint8_t *data_key, uint64_t generation,
                      uint8_t slot[CRYPT_SLOT]) {
    memset(slot, 0, CRYPT_SLOT);
    memcpy(slot, CRYPT_MAGIC, 8);
    put_u32(slot + 8, CRYPT_VERSION);
    put_u32(slot + 12, data_key ? CRYPT_SLOT_KEYS : CRYPT_SLOT_LOG);
    put_u64(slot + 16, generation);
    if (data_key) {
        AeadKey wrapping;
        uint8_t *nonce = slot + 24;
        c->under->random(c->under->self, nonce, CRYPT_NONCE);
        aead_key(&wrapping, key, nonce);
        aead_seal(&wrapping, nonce + 16, slot, 24, data_key, CRYPT_KEY, slot + 64, slot + 48);
        aead_wipe(&wrapping, sizeof wrapping);
    }
    put_u64(slot + CRYPT_SLOT - 8, checksum64(0, slot, CRYPT_SLOT - 8));
}

static bool slot_unwrap(const uint8_t slot[CRYPT_SLOT], const uint8_t *key, uint8_t data_key[CRYPT_KEY]) {
    AeadKey wrapping;
    aead_key(&wrapping, key, slot + 24);
    bool right = aead_open(&wrapping, slot + 40, slot, 24, slot + 48, slot + 64, CRYPT_KEY, data_key);
    aead_wipe(&wrapping, sizeof wrapping);
    return right;
}

/* ---- reading ---- */

/* What a file begins with. A missing file has no bytes, and NACRE_OK. */
typedef struct CryptSight {
    bool there;
    uint64_t size;
    uint8_t slots[2][CRYPT_SLOT]; /* zeros where the file is too short */
} CryptSight;

static nacre_status sight_read(Crypt *c, int which, CryptSight *sight) {
    const Vfs *under = c->under;
    VfsFile *file = NULL;
    *sight = (CryptSight){0};
    nacre_status status = under->open(under->self, c->names[which], VFS_READ, &file);
    if (status == NACRE_NOT_FOUND) return NACRE_OK;
    if (status == NACRE_OK) status = under->size(file, &sight->size);
    sight->there = status == NACRE_OK;
    for (int i = 0; i < 2 && status == NACRE_OK; i++) {
        uint64_t offset = i ? CRYPT_SLOT_COPY : 0;
        if (sight->size >= offset + CRYPT_SLOT) status = under->read(file, offset, sight->slots[i], CRYPT_SLOT);
    }
    if (file) under->close(file);
    return crypt_below(c, status);
}

static void crypt_use(Crypt *c, const uint8_t slot[CRYPT_SLOT], bool mended) {
    memcpy(c->slot, slot, CRYPT_SLOT);
    c->generation = get_u64(slot + 16);
    c->mended = mended;
    c->under->random(c->under->self, c->session, sizeof c->session);
    c->sealed = 0;
    aead_key(&c->session_key, c->data_key, c->session);
    memcpy(c->seen, c->session, sizeof c->seen);
    c->seen_key = c->session_key;
    c->keys = CRYPT_READY;
}

/* No slot of NAME is whole: is there no database yet (rule 8)? */
static nacre_status crypt_judge(Crypt *c, const CryptSight *data) {
    bool marked = true, bare = true;
    for (int i = 1; i < CRYPT_FILES; i++) {
        CryptSight log;
        TRY(sight_read(c, i, &log));
        SlotVerdict verdict = slot_verdict(log.slots[0], CRYPT_SLOT_LOG);
        if (verdict == CRYPT_SLOT_PLAIN)
            return crypt_fail(c, NACRE_INVALID_ARGUMENT, "%s is not encrypted, but a key was given", c->names[i]);
        marked &= verdict == CRYPT_SLOT_WHOLE;
        bare &= log.size <= CRYPT_HEAD;
    }
    if (bare && (data->size == 0 || (marked && data->size <= CRYPT_HEAD))) return NACRE_OK;
    if (data->size == 0)
        return crypt_fail(c, NACRE_CORRUPT, "%s: the file is missing or empty, but its logs are there", c->names[0]);
    return crypt_fail(c, NACRE_CORRUPT, "%s: this is no encrypted Nacre database, or both copies of its key are damaged",
                      c->names[0]);
}

nacre_status crypt_load(Crypt *c) {
    CryptSight data;
    int best = -1;
    int whole = 0;
    bool later = false, plain = false, same = true;
    c->keys = CRYPT_UNREAD;
    TRY(sight_read(c, CRYPT_DATA, &data));
    for (int i = 0; i < 2; i++) {
        SlotVerdict verdict = slot_verdict(data.slots[i], CRYPT_SLOT_KEYS);
        later |= verdict == CRYPT_SLOT_LATER;
        plain |= verdict == CRYPT_SLOT_PLAIN;
        if (verdict != CRYPT_SLOT_WHOLE) continue;
        whole++;
        if (best < 0 || get_u64(data.slots[i] + 16) > get_u64(data.slots[best] + 16)) best = i;
    }
    if (later)
        return crypt_fail(c, NACRE_VERSION, "%s: encrypted by another format version than %u", c->names[0], CRYPT_VERSION);
    if (best < 0 && plain)
        return crypt_fail(c, NACRE_INVALID_ARGUMENT, "%s is not encrypted, but a key was given", c->names[0]);
    if (best < 0) {
        TRY(crypt_judge(c, &data));
        c->keys = CRYPT_NONE;
        return NACRE_OK;
    }
    same = memcmp(data.slots[0], data.slots[1], CRYPT_SLOT) == 0;
    if (!slot_unwrap(data.slots[best], c->key, c->data_key)) /* rule 7 */
        return crypt_fail(c, NACRE_PERMISSION, "%s: the key is not that of this database", c->names[0]);
    crypt_use(c, data.slots[best], same);
    c->lone = whole == 1;
    return NACRE_OK;
}

/* ---- writing ---- */

/* One of the files, as it is open already, or opened for this. */
static nacre_status keys_borrow(Crypt *c, int which, VfsFile **file) {
    *file = c->open[which] ? c->open[which]->under : NULL;
    if (*file) return NACRE_OK;
    return crypt_below(c, c->under->open(c->under->self, c->names[which], VFS_CREATE, file));
}

static void keys_return(Crypt *c, int which, VfsFile *file) {
    if (!c->open[which] && file) c->under->close(file);
}

static nacre_status slot_write(Crypt *c, VfsFile *file, int copy, const uint8_t slot[CRYPT_SLOT]) {
    nacre_status status = c->under->write(file, copy ? CRYPT_SLOT_COPY : 0, slot, CRYPT_SLOT);
    if (status == NACRE_OK) status = c->under->sync(file);
    return crypt_below(c, status);
}

/* Both, one after the other. *written: how many are. */
static nacre_status slots_write(Crypt *c, const uint8_t slot[CRYPT_SLOT], int first, int *written) {
    VfsFile *file = NULL;
    nacre_status status = NACRE_OK;
    *written = 0;
    TRY_OUT(keys_borrow(c, CRYPT_DATA, &file));
    for (int i = 0; i < 2; i++) {
        TRY_OUT(slot_write(c, file, i ? 1 - first : first, slot));
        ++*written;
    }
out:
    keys_return(c, CRYPT_DATA, file);
    return status;
}

nacre_status crypt_mark_log(CryptFile *f) {
    Crypt *c = f->owner;
    uint64_t size = 0;
    uint8_t slot[CRYPT_SLOT];
    TRY(crypt_under_size(f, &size));
    if (size >= CRYPT_HEAD) return NACRE_OK;
    slot_make(c, NULL, NULL, 0, slot);
    return crypt_below(c, c->under->write(f->under, 0, slot, CRYPT_SLOT));
}

/* Rule 8: a log is emptied and marked, and that is synced before NAME is touched. */
static nacre_status keys_mark_log(Crypt *c, int which) {
    VfsFile *file = NULL;
    uint8_t slot[CRYPT_SLOT];
    slot_make(c, NULL, NULL, 0, slot);
    nacre_status status = NACRE_OK;
    TRY_OUT(keys_borrow(c, which, &file));
    TRY_OUT(crypt_below(c, c->under->truncate(file, 0)));
    TRY_OUT(slot_write(c, file, 0, slot));
out:
    keys_return(c, which, file);
    return status;
}

static nacre_status crypt_make(Crypt *c) {
    uint8_t slot[CRYPT_SLOT];
    int written = 0;
    for (int i = 1; i < CRYPT_FILES; i++) TRY(keys_mark_log(c, i));
    c->under->random(c->under->self, c->data_key, sizeof c->data_key);
    slot_make(c, c->key, c->data_key, 1, slot);
    TRY(slots_write(c, slot, 0, &written));
    crypt_use(c, slot, true);
    return NACRE_OK;
}

nacre_status crypt_prepare(Crypt *c) {
    ASSERT(c->keys != CRYPT_UNREAD);
    if (c->keys == CRYPT_NONE) return crypt_make(c);
    if (c->mended) return NACRE_OK;
    int written = 0;
    TRY(slots_write(c, c->slot, 0, &written));
    c->mended = true;
    c->lone = false;
    return NACRE_OK;
}

nacre_status crypt_rekey(Crypt *c, const uint8_t key[CRYPT_KEY]) {
    if (!c->open[CRYPT_DATA] || c->keys != CRYPT_READY)
        return crypt_fail(c, NACRE_READONLY, "%s: a key is changed where the database is open for writing", c->names[0]);
    TRY(crypt_prepare(c));
    uint8_t slot[CRYPT_SLOT];
    int written = 0, first = (int)((c->generation + 1) % 2);
    slot_make(c, key, c->data_key, c->generation + 1, slot);
    nacre_status status = slots_write(c, slot, first, &written);
    if (written == 0) { /* it may be there or not: put back what was */
        (void)!c->under->write(c->open[CRYPT_DATA]->under, first ? CRYPT_SLOT_COPY : 0, c->slot, CRYPT_SLOT);
        c->mended = false;
        return status;
    }
    memcpy(c->key, key, sizeof c->key);
    memcpy(c->slot, slot, sizeof c->slot);
    c->generation++;
    c->mended = written == 2;
    return status;
}
