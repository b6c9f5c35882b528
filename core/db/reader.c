/* reader.c - opening for reading, and moving on (refresh), while a writer in another
 * place may be at work on the same files. Nothing is ever written to them.
 *
 * 1. What is read is pinned first (held.c), so that the writer does not use its extents
 *    again. Logs are read into memory, at once.
 * 2. Nothing is locked: a log may be reset, a superblock be replaced while it is read.
 *    What was read counts only when the superblock that it began with is still one of
 *    the two newest. A log is reset only when both superblocks cover it
 *    (log/wal_format.h), so then no row that was needed can be missing.
 * 3. What looks damaged is damaged only when nothing has changed meanwhile; else it is
 *    read again. So it is with signs of an unclean end: a frame that is being written
 *    looks torn.
 * 4. Refreshing reads the new state beside the old one, and fails without changing
 *    anything. Snapshots and cursors keep what they see, and the pin of it.
 * 5. Whoever could not pin may find that blocks are gone. Their checksums tell (segment
 *    ids are never used again); the answer is BUSY, and refreshing helps. */
#include "db/state.h"

#include <stdio.h>

enum {
    READER_TRIES = 64,
    READER_UNCLEAN_TRIES = 8, /* then the torn end of the log is taken for one being written */
};

/* What a refresh replaces. */
typedef struct ReadState {
    Durable durable[2];
    Version *version;
    ManifestIds ids;
    Memtable *active, *frozen;
    Wal logs[2];
    VfsFile *pin;
    uint64_t last_lsn, synced_lsn, epoch, next_log_sequence, replayed_frames, torn_bytes;
    uint8_t database_id[16];
    bool fallback;
    char message[200];
} ReadState;

/* Moves the state out of the database, which is as before opening then. */
static void reader_take(Db *db, ReadState *s) {
    *s = (ReadState){.version = db->version, .ids = db->ids, .active = db->active, .frozen = db->frozen, .pin = db->pin,
                     .last_lsn = db->last_lsn, .synced_lsn = db->synced_lsn, .epoch = db->epoch,
                     .next_log_sequence = db->next_log_sequence, .replayed_frames = db->replayed_frames,
                     .torn_bytes = db->torn_bytes, .fallback = db->fallback};
    memcpy(s->durable, db->durable, sizeof s->durable);
    memcpy(s->logs, db->logs, sizeof s->logs);
    memcpy(s->database_id, db->database_id, sizeof s->database_id);
    memcpy(s->message, db->recovery_message, sizeof s->message);
    db->version = NULL;
    db->active = db->frozen = NULL;
    db->pin = NULL;
    memset(db->durable, 0, sizeof db->durable);
    memset(db->logs, 0, sizeof db->logs);
    db->last_lsn = db->synced_lsn = db->next_log_sequence = db->replayed_frames = db->torn_bytes = 0;
    db->fallback = false;
    db->recovery_message[0] = 0;
}

static void reader_give(Db *db, const ReadState *s) {
    memcpy(db->durable, s->durable, sizeof s->durable);
    memcpy(db->logs, s->logs, sizeof s->logs);
    memcpy(db->database_id, s->database_id, sizeof s->database_id);
    memcpy(db->recovery_message, s->message, sizeof s->message);
    db->version = s->version, db->ids = s->ids, db->active = s->active, db->frozen = s->frozen, db->pin = s->pin;
    db->last_lsn = s->last_lsn, db->synced_lsn = s->synced_lsn, db->epoch = s->epoch;
    db->next_log_sequence = s->next_log_sequence, db->replayed_frames = s->replayed_frames;
    db->torn_bytes = s->torn_bytes, db->fallback = s->fallback;
}

static void reader_drop(Db *db, ReadState *s) {
    memtable_release(s->active);
    memtable_release(s->frozen);
    version_release(s->version);
    for (int i = 0; i < 2; i++) {
        version_release(s->durable[i].version);
        superblock_clear(&db->env, &s->durable[i].superblock);
        wal_close(&s->logs[i]);
    }
    if (s->pin) db->env.vfs->readers->unpin(db->readers, s->pin);
    *s = (ReadState){0};
}

/* ---- looking at the files ---- */

/* Failures count as "nothing there": whoever reads in earnest reports them. */
static void reader_look(Db *db, Sight *sight) {
    const Vfs *vfs = db->env.vfs;
    nacre_error error = db->env.error;
    *sight = (Sight){{false}, {0}, {0}, {0}, {0}, 0};
    for (int i = 0; i < 2; i++) {
        Superblock found;
        SlotState state = SLOT_EMPTY;
        if (db->data.file && superblock_read(&db->data, i, &found, &state) == NACRE_OK) {
            sight->valid[i] = state == SLOT_VALID;
            sight->generation[i] = state == SLOT_VALID ? found.generation : 0;
            superblock_clear(&db->env, &found);
        }
        Wal log;
        if (wal_open(&log, &db->env, db->log_names[i], VFS_READ) != NACRE_OK) continue;
        sight->sequence[i] = log.header.sequence, sight->salt[i] = log.header.salt;
        if (wal_size(&log, &sight->log_size[i]) != NACRE_OK) sight->log_size[i] = 0;
        wal_close(&log);
    }
    if (db->data.file && vfs->size(db->data.file, &sight->file_size) != NACRE_OK) sight->file_size = 0;
    db->env.error = error;
}

static bool sight_same(const Sight *a, const Sight *b, bool sizes) {
    bool same = !sizes || a->file_size == b->file_size;
    for (int i = 0; i < 2; i++)
        same = same && a->valid[i] == b->valid[i] && a->generation[i] == b->generation[i] &&
               a->sequence[i] == b->sequence[i] && a->salt[i] == b->salt[i] &&
               (!sizes || a->log_size[i] == b->log_size[i]);
    return same;
}

static uint64_t sight_newest(const Sight *sight) {
    return sight->generation[1] > sight->generation[0] ? sight->generation[1] : sight->generation[0];
}

/* The newest generation on the disk; 0: none can be read. */
static uint64_t reader_newest(Db *db) {
    uint64_t newest = 0;
    nacre_error error = db->env.error;
    for (int i = 0; i < 2; i++) {
        Superblock found;
        SlotState state = SLOT_EMPTY;
        if (!db->data.file || superblock_read(&db->data, i, &found, &state) != NACRE_OK) continue;
        if (state == SLOT_VALID && found.generation > newest) newest = found.generation;
        superblock_clear(&db->env, &found);
    }
    db->env.error = error;
    return newest;
}

bool reader_is_current(Db *db) {
    Sight now;
    if (db->half_followed) return false;
    reader_look(db, &now);
    return sight_same(&now, &db->sight, true);
}

/* ---- one attempt ---- */

/* Pins `generation`. Where no pin can be made, it is read without one (rule 5). */
static void reader_pin(Db *db, uint64_t generation) {
    if (!db->readers) return;
    const VfsReaders *verbs = db->env.vfs->readers;
    if (verbs->pin(db->readers, generation, &db->pin) == NACRE_OK || !db->pin) return;
    verbs->unpin(db->readers, db->pin); /* it is of another generation */
    db->pin = NULL;
}

/* *moved: the writer was faster (rule 2); what was read does not count. */
static nacre_status reader_attempt(Db *db, bool *moved) {
    uint64_t newest = reader_newest(db), pinned = newest;
    if (newest) reader_pin(db, newest);
    nacre_status status = recover(db);
    if (status == NACRE_OK) {
        uint64_t generation = db->durable[0].superblock.generation;
        if (generation != pinned) reader_pin(db, generation);
        *moved = reader_newest(db) > generation + 1;
    }
    return status;
}

static void reader_undo(Db *db) {
    ReadState failed;
    reader_take(db, &failed);
    reader_drop(db, &failed);
}

/* The segments of the state before that are there still stay what they are, so that what
 * the cache has of them stays, too. (Nothing has been read of the new ones yet.) */
static void reader_share(const Version *from, Version *to) {
    for (size_t i = 0; i < version_run_count(to); i++)
        for (size_t s = 0; s < version_run_at(to, i)->count; s++) {
            Segment **place = &version_run_at(to, i)->segments[s], *same = version_find_segment(from, *place);
            if (!same) continue;
            segment_retain(same);
            (*place)->streams[STREAM_ROWS].size = 0; /* what the cache has under its id is the other's */
            segment_release(*place);
            *place = same;
        }
}

/* Reads the files into the database, which is empty (but for its catalog, when it is
 * being refreshed); `open` opens them. The catalog comes last, and is changed only when
 * nothing can fail behind it. `former`: the state before, or NULL. */
static nacre_status reader_read(Db *db, const Version *former, nacre_status (*open)(Db *db)) {
    for (int tries = 1;; tries++) {
        Sight before, after;
        bool moved = false;
        reader_look(db, &before);
        nacre_status status = open(db);
        if (status == NACRE_OK) status = reader_attempt(db, &moved);
        reader_look(db, &after);
        bool changed = !sight_same(&before, &after, true);
        moved &= changed; /* else the two superblocks are far apart by themselves */
        bool unclean = db->fallback || db->torn_bytes > 0;
        bool good = status == NACRE_OK && !moved && (!unclean || !changed || tries >= READER_UNCLEAN_TRIES);
        if (good && former) reader_share(former, db->version);
        if (good) status = catalog_load(db);
        if (good && status == NACRE_OK) {
            if (unclean && changed) { /* rule 3: a writer is at work there */
                db->fallback = false;
                db->torn_bytes = 0;
                db->recovery_message[0] = 0;
            }
            db->sight = before;
            return NACRE_OK;
        }
        bool again = changed && (status == NACRE_OK || status == NACRE_CORRUPT || status == NACRE_IO ||
                                 status == NACRE_NOT_FOUND);
        if (!again || tries == READER_TRIES) {
            if (status != NACRE_OK) return status;
            return env_fail(&db->env, NACRE_BUSY, "%s: a writer changes it faster than it can be read", db->name);
        }
        reader_undo(db);
        env_clear(&db->env);
    }
}

/* ---- damage, or gone ---- */

/* Rule 5. */
static nacre_status reader_judge(void *self, nacre_status code) {
    Db *db = self;
    if (code != NACRE_CORRUPT) return code;
    uint64_t oldest = db->durable[0].superblock.generation;
    for (size_t i = 0; i < db->held_count; i++)
        if (db->held[i].state.superblock.generation < oldest) oldest = db->held[i].state.superblock.generation;
    db->env.judge = NULL;
    uint64_t newest = reader_newest(db);
    db->env.judge = reader_judge;
    if (newest <= oldest + 1 || (newest == sight_newest(&db->sight) && db->held_count == 0)) return code;
    nacre_error *error = &db->env.error;
    size_t used = strlen(error->text);
    snprintf(error->text + used, sizeof error->text - used,
             "; a writer has gone on since, and may have used the place again: refresh");
    return error->code = NACRE_BUSY;
}

/* ---- opening, refreshing, closing ---- */

static nacre_status reader_open_files(Db *db) {
    if (db->data.file) db->env.vfs->close(db->data.file);
    db->data.file = NULL;
    for (int i = 0; i < 2; i++) wal_close(&db->logs[i]);
    nacre_status status = state_open_files(db);
    if (status == NACRE_OK) held_open(db);
    return status;
}

nacre_status reader_open(Db *db) {
    if (reader_open_files(db) != NACRE_OK) env_clear(&db->env); /* only for the first look */
    TRY(reader_read(db, NULL, reader_open_files));
    db->env.judge = reader_judge;
    db->env.judge_self = db;
    return NACRE_OK;
}

static nacre_status reader_open_logs(Db *db) {
    for (int i = 0; i < 2; i++) TRY(wal_open(&db->logs[i], &db->env, db->log_names[i], VFS_READ));
    return NACRE_OK;
}

/* The state before goes, or stays with its pin for those who still read it. */
static void reader_replace(Db *db, ReadState *old) {
    if (db->readers) held_add(db, &old->durable[0], old->pin), old->pin = NULL;
    reader_drop(db, old);
    held_drop_unread(db);
}

static nacre_status reader_reload(Db *db) {
    TRY(held_reserve(db));
    ReadState old;
    reader_take(db, &old);
    uint8_t id[16];
    memcpy(id, old.database_id, sizeof id);
    Sight sight = db->sight;
    nacre_status status = reader_read(db, old.version, reader_open_logs);
    if (status == NACRE_OK && memcmp(id, db->database_id, sizeof id) != 0)
        status = env_fail(&db->env, NACRE_CORRUPT, "%s: another database is in its place; open it again", db->name);
    if (status == NACRE_OK) {
        reader_replace(db, &old);
        db->half_followed = false;
        return NACRE_OK;
    }
    reader_undo(db);
    reader_give(db, &old);
    db->sight = sight;
    return status;
}

static nacre_status reader_refresh(Db *db) {
    Sight now;
    reader_look(db, &now);
    if (sight_same(&now, &db->sight, true) && !db->half_followed) return NACRE_OK;
    if (sight_same(&now, &db->sight, false) && !db->half_followed) { /* the logs have grown, no more */
        bool done = false;
        nacre_status status = recover_follow(db, &done);
        db->half_followed = status != NACRE_OK;
        if (status == NACRE_OK && done && reader_newest(db) <= sight_newest(&now)) {
            db->sight = now;
            return NACRE_OK;
        }
        env_clear(&db->env);
    }
    return reader_reload(db);
}

nacre_status db_refresh(Db *db, bool *membranes) {
    *membranes = false;
    if (!db->readonly || db->in_memory) return NACRE_OK; /* a writer is always there */
    uint64_t loads = db->catalog_loads;
    db->env.judge = NULL;
    nacre_status status = reader_refresh(db);
    db->env.judge = reader_judge;
    *membranes = db->catalog_loads != loads;
    return status;
}

void reader_close(Db *db) {
    if (db->pin) db->env.vfs->readers->unpin(db->readers, db->pin);
    db->pin = NULL;
}
