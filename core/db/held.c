/* held.c - states that are no longer one of the two newest, and are read all the same:
 * by readers in other places, whose pins a writer asks for at each commit
 * (host/lock_format.h, 16 to 20), and by a reader's own snapshots and cursors, for which
 * it keeps the pin. (A database's own snapshots need no such thing where it writes: the
 * segments that they refer to are marked by commit_recount.) */
#include "db/state.h"

static void held_forget_pin(void *self, uint64_t generation) { (void)self, (void)generation; }

void held_open(Db *db) {
    const Vfs *vfs = db->env.vfs;
    if (!vfs->readers || db->in_memory || db->readers) return;
    bool break_it = !db->readonly && db->options.lock == NACRE_LOCK_BREAK;
    if (vfs->readers->open(vfs->self, db->lock_name, break_it, &db->readers) != NACRE_OK) {
        db->readers = NULL;
        return;
    }
    /* A host without lists of files: nothing would ever be free again. */
    if (db->readonly || vfs->readers->list(db->readers, held_forget_pin, NULL) == NACRE_OK) return;
    vfs->readers->close(db->readers);
    db->readers = NULL;
}

static void held_release(Db *db, size_t index) {
    Held *held = &db->held[index];
    superblock_clear(&db->env, &held->state.superblock);
    version_release(held->state.version);
    if (held->pin) db->env.vfs->readers->unpin(db->readers, held->pin);
    db->held_count--;
    memmove(held, held + 1, (db->held_count - index) * sizeof *held);
}

void held_close(Db *db) {
    while (db->held_count) held_release(db, db->held_count - 1);
    env_free(&db->env, db->held, db->held_capacity * sizeof *db->held);
    db->held = NULL;
    db->held_capacity = 0;
    if (db->readers) db->env.vfs->readers->close(db->readers);
    db->readers = NULL;
}

nacre_status held_reserve(Db *db) {
    if (!db->readers) return NACRE_OK;
    void *held = db->held;
    TRY(env_grow(&db->env, &held, &db->held_capacity, db->held_count + 1, sizeof *db->held));
    db->held = held;
    return NACRE_OK;
}

void held_add(Db *db, Durable *state, VfsFile *pin) {
    ASSERT(db->held_count < db->held_capacity);
    db->held[db->held_count++] = (Held){.state = *state, .pin = pin};
    *state = (Durable){0};
}

static void held_want(void *self, uint64_t generation) {
    Db *db = self;
    for (size_t i = 0; i < db->held_count; i++)
        if (generation == UINT64_MAX || db->held[i].state.superblock.generation == generation)
            db->held[i].wanted = true;
}

WRAPS void held_ask(Db *db) {
    if (!db->readers || db->readonly) return;
    for (size_t i = 0; i < db->held_count; i++) db->held[i].wanted = false;
    if (db->held_count == 0 || db->env.vfs->readers->list(db->readers, held_want, db) != NACRE_OK)
        held_want(db, UINT64_MAX); /* not known: all of it stays until it is */
    for (size_t i = db->held_count; i-- > 0;)
        if (!db->held[i].wanted) held_release(db, i);
}

WRAPS void held_drop_unread(Db *db) {
    for (size_t i = db->held_count; i-- > 0;) {
        const Version *version = db->held[i].state.version;
        size_t others = 0; /* of the same version, with a pin of their own */
        for (size_t k = 0; k < db->held_count; k++) others += db->held[k].state.version == version;
        others += (size_t)(db->version == version) + (size_t)(db->durable[0].version == version);
        if (version->references <= others) held_release(db, i);
    }
}
