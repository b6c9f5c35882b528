/* recover.c - from what lies on the disk to the newest state that can be proved: the
 * newest superblock whose manifest verifies, and the logs from there on. Decides
 * between a database, one that was never finished, and damage; never makes an empty
 * one of the latter. */
#include "base/checksum.h"
#include "db/feed.h"
#include "memtable/record.h"

#include <stdio.h>

typedef struct Slots {
    Superblock superblock[2];
    SlotState state[2];
} Slots;

static void recover_note(Db *db, const char *what) {
    size_t used = strlen(db->recovery_message);
    snprintf(db->recovery_message + used, sizeof db->recovery_message - used, "%s%s", used ? "; " : "", what);
}

/* ---- creating ---- */

static uint32_t recover_flags(const Db *db) { return db->restoring ? LOG_RESTORING : 0; }

nacre_status recover_reset_log(Db *db, int i, uint32_t flags) {
    WalHeader header = {.flags = flags | recover_flags(db),
                        .sequence = db->next_log_sequence++,
                        .salt = state_random(db),
                        .base_lsn = db->durable[0].superblock.flushed_lsn,
                        .epoch = db->epoch};
    memcpy(header.database_id, db->database_id, sizeof header.database_id);
    TRY(wal_reset(&db->logs[i], &header));
    db->log_free[i] = true;
    db->log_covered[i] = 0;
    return NACRE_OK;
}

/* Logs that say LOG_CREATING, then two superblocks, then logs that do not: whatever of it
 * a crash leaves can be told from damage. */
static nacre_status recover_create(Db *db) {
    for (int i = 0; i < 16; i += 8) put_u64(db->database_id + i, state_random(db));
    db->epoch = 1;
    db->next_log_sequence = 1;
    db->ids = (ManifestIds){1, 1};
    for (int i = 0; i < 2; i++) TRY(recover_reset_log(db, i, LOG_CREATING));
    Version *empty = NULL;
    nacre_status status = db->env.vfs->truncate(db->data.file, 0);
    if (status == NACRE_OK) status = db->env.vfs->truncate(db->data.file, EXTENT_SIZE);
    if (status != NACRE_OK) return env_fail_vfs(&db->env, status, "data file");
    TRY(extent_map_reach(&db->map, 0));
    for (int i = 0; i < 2; i++) {
        TRY(version_alloc(&db->env, &db->versions, &empty));
        TRY(commit_version(db, empty, 0));
    }
    for (int i = 0; i < 2; i++) TRY(recover_reset_log(db, i, 0));
    return NACRE_OK;
}

/* ---- superblocks and manifest ---- */

static nacre_status recover_mark_once(Db *db, const ExtentList *list) {
    for (size_t i = 0; i < list->count; i++) {
        TRY(extent_map_reach(&db->map, list->items[i]));
        if (db->map.marks[list->items[i]])
            return env_fail(&db->env, NACRE_CORRUPT, "%s: manifest: extent %u is used twice", db->name,
                            list->items[i]);
        db->map.marks[list->items[i]] = EXTENT_CURRENT;
    }
    return NACRE_OK;
}

/* Every extent has one user: checked before anything is written into a "free" one. */
static nacre_status recover_check_extents(Db *db, const Version *version, const Superblock *superblock) {
    extent_map_unmark(&db->map, 0xff);
    TRY(extent_map_reach(&db->map, 0));
    db->map.marks[0] = EXTENT_CURRENT;
    TRY(recover_mark_once(db, &superblock->manifest));
    for (size_t i = 0; i < version_run_count(version); i++) {
        const Run *run = version_run_at(version, i);
        for (size_t s = 0; s < run->count; s++)
            for (int k = 0; k < STREAM_COUNT; k++)
                TRY(recover_mark_once(db, &run->segments[s]->streams[k].extents));
    }
    return NACRE_OK;
}

static nacre_status recover_manifest(Db *db, const Superblock *superblock, Version **out, ManifestIds *ids) {
    Env *env = &db->env;
    uint64_t size = superblock->manifest_size, file_size = 0;
    Version *version = NULL;
    uint8_t *bytes = NULL;
    nacre_status status = env->vfs->size(db->data.file, &file_size);
    if (status != NACRE_OK) return env_fail_vfs(env, status, "data file");
    if (size > file_size || extents_in(size) != superblock->manifest.count)
        return env_fail(env, NACRE_CORRUPT, "%s: manifest of generation %llu: cut short", db->name,
                        (unsigned long long)superblock->generation);
    if (!(bytes = env_alloc(env, (size_t)size))) return NACRE_RESOURCE_EXHAUSTED;
    TRY_OUT(data_read(&db->data, &superblock->manifest, 0, bytes, (size_t)size));
    if (checksum64(superblock->generation, bytes, (size_t)size) != superblock->manifest_checksum)
        TRY_OUT(env_fail(env, NACRE_CORRUPT, "%s: manifest of generation %llu: checksum", db->name,
                         (unsigned long long)superblock->generation));
    TRY_OUT(version_alloc(env, &db->versions, &version));
    TRY_OUT(manifest_decode(&db->io, span_of(bytes, (size_t)size), extents_in(file_size), version, ids));
    TRY_OUT(feed_check(db, version, superblock->flushed_lsn));
    TRY_OUT(recover_check_extents(db, version, superblock));
    *out = version;
    version = NULL;
out:
    version_release(version);
    env_free(env, bytes, (size_t)size);
    return status;
}

/* Takes the newest slot whose manifest verifies; the other stays as the fallback. */
static nacre_status recover_state(Db *db, Slots *slots) {
    Env *env = &db->env;
    int newest = slots->state[1] == SLOT_VALID && (slots->state[0] != SLOT_VALID ||
                 slots->superblock[1].generation > slots->superblock[0].generation);
    /* unreachable: its end. A slot is valid (recover_verdict), and only a valid one is tried after it */
    for (int attempt = 0; attempt < 2; attempt++) {
        int slot = attempt ? 1 - newest : newest;
        if (slots->state[slot] != SLOT_VALID) continue; /* unreachable: as said */
        nacre_status status = recover_manifest(db, &slots->superblock[slot], &db->version, &db->ids);
        if (status == NACRE_CORRUPT && attempt == 0 && slots->state[1 - slot] == SLOT_VALID) {
            recover_note(db, env->error.text);
            env_clear(env);
            db->fallback = true;
            continue;
        }
        TRY(status);
        db->durable[0] = (Durable){slots->superblock[slot], db->version};
        version_retain(db->version);
        slots->superblock[slot] = (Superblock){0};
        db->epoch = db->durable[0].superblock.epoch;
        if (slots->state[1 - slot] == SLOT_VALID && slots->superblock[1 - slot].epoch > db->epoch)
            db->epoch = slots->superblock[1 - slot].epoch; /* its manifest may be damaged: it was written all the same */
        memcpy(db->database_id, db->durable[0].superblock.database_id, sizeof db->database_id);
        return NACRE_OK;
    }
    return env_fail(env, NACRE_CORRUPT, "%s: no superblock has a manifest that verifies", db->name);
}

/* The older state stays protected until two new commits have replaced it; when it cannot
 * be read there is nothing in it to protect. */
static nacre_status recover_previous(Db *db, Slots *slots) {
    for (int slot = 0; slot < 2; slot++) {
        if (slots->state[slot] != SLOT_VALID || slots->superblock[slot].generation == 0) continue;
        Version *version = NULL;
        ManifestIds ids;
        nacre_status status = recover_manifest(db, &slots->superblock[slot], &version, &ids);
        if (status == NACRE_OK) {
            db->durable[1] = (Durable){slots->superblock[slot], version};
            slots->superblock[slot] = (Superblock){0};
        } else if (status != NACRE_CORRUPT) { /* it may be whole: its extents are not free */
            return status;
        }
        env_clear(&db->env);
    }
    return NACRE_OK;
}

/* ---- logs ---- */

static nacre_status recover_damage(Db *db, const Wal *log, size_t at, const char *what) {
    return env_fail(&db->env, NACRE_CORRUPT, "%s: offset %llu: %s", log->name, (unsigned long long)(WAL_HEAD + at),
                    what);
}

/* Indexes the batches of one frame, each record checked for what memory safety needs. */
static nacre_status recover_frame(Db *db, const Wal *log, Memtable *table, const WalFrame *frame) {
    size_t at = frame->body_offset, end = at + frame->body.size;
    uint64_t lsn = db->last_lsn;
    while (at < end) {
        const uint8_t *batch = table->arena + at;
        if (end - at < BATCH_HEAD) return recover_damage(db, log, at, "batch: cut short");
        size_t size = get_u32(batch);
        uint32_t count = get_u32(batch + 4);
        if (size < BATCH_HEAD || size > end - at || size % 4) return recover_damage(db, log, at, "batch: size");
        size_t left = size - BATCH_HEAD;
        if (get_u64(batch + 8) <= lsn || get_u64(batch + 8) > frame->lsn)
            return recover_damage(db, log, at, "batch: LSN");
        if ((uint64_t)count * RECORD_HEAD > left) return recover_damage(db, log, at, "batch: count");
        lsn = get_u64(batch + 8);
        TRY(memtable_reserve(table, count));
        at += BATCH_HEAD;
        for (uint32_t i = 0; i < count; i++) {
            const uint8_t *record = table->arena + at;
            uint64_t record_bytes = 0;
            const char *problem = record_problem(record, left, &record_bytes);
            if (!problem && (record_link(record) || record_stamp(record))) problem = "record: malformed";
            if (problem) return recover_damage(db, log, at, problem);
            if (get_u32_be(record_key(record).data) == 0) db->catalog_moved = true;
            if (lsn - table->base_lsn > UINT32_MAX || !memtable_insert(table, (uint32_t)at, (uint32_t)(lsn - table->base_lsn)))
                return recover_damage(db, log, at, "record: key");
            at += (size_t)record_bytes;
            left -= (size_t)record_bytes;
        }
        if (left) return recover_damage(db, log, at, "batch: bytes left over");
    }
    if (lsn != frame->lsn) return recover_damage(db, log, at, "frame: LSN");
    return NACRE_OK;
}

typedef struct LogEnd {
    WalReader reader;
    uint64_t torn, lsn_seen;
} LogEnd;

/* Replays one log into a memtable of its own, which is empty when segments cover it. */
static nacre_status recover_log(Db *db, int which, Memtable **table, LogEnd *end) {
    Wal *log = &db->logs[which];
    Env *env = &db->env;
    uint64_t size = 0, flushed = db->durable[0].superblock.flushed_lsn;
    TRY(wal_size(log, &size));
    uint64_t capacity = size > db->options.memtable_size ? size : db->options.memtable_size;
    if (size > UINT32_MAX) /* records lie at offsets of 32 bits */
        return env_fail(env, NACRE_CORRUPT, "%s: %llu bytes are more than any log has", log->name,
                        (unsigned long long)size);
    if (capacity > SIZE_MAX / 2) /* unreachable: but where size_t has 32 bits */
        return env_fail(env, NACRE_RESOURCE_EXHAUSTED, "%s: %llu bytes", log->name, (unsigned long long)size);
    Memtable *replayed = NULL;
    nacre_status status = NACRE_OK;
    TRY_OUT(memtable_alloc(env, (size_t)capacity, db->last_lsn, (uint32_t)which, &replayed));
    TRY_OUT(wal_read(log, replayed->arena, (size_t)size));
    WalReader reader = wal_reader(log, span_of(replayed->arena, (size_t)size), db->last_lsn);
    for (;;) {
        WalFrame frame;
        size_t at = reader.at;
        bool first = !reader.begun;
        status = wal_next(&reader, &frame);
        if (status == NACRE_NOT_FOUND) break;
        TRY_OUT(status);
        if (first && frame.lsn > flushed && reader.first_previous != db->last_lsn)
            TRY_OUT(recover_damage(db, log, at, "batches before this frame are missing"));
        if (frame.lsn <= flushed) continue;
        if (frame.kind == FRAME_BATCHES) TRY_OUT(recover_frame(db, log, replayed, &frame));
        db->last_lsn = replayed->last_lsn = frame.lsn;
        db->replayed_frames++;
    }
    status = wal_check_tail(&reader, &end->torn, &end->lsn_seen);
    TRY_OUT(status);
    replayed->used = log->end = reader.at;
    log->salt = reader.salt;
    if (reader.synced > db->synced_lsn) db->synced_lsn = reader.synced;
    end->reader = reader;
    *table = replayed;
    replayed = NULL;
out:
    memtable_release(replayed);
    return status;
}

static nacre_status recover_check_logs(Db *db) {
    for (int i = 0; i < 2; i++) {
        const Wal *log = &db->logs[i];
        if (log->state != WAL_VALID)
            return env_fail(&db->env, NACRE_CORRUPT, "%s: %s; it may hold acknowledged rows", log->name,
                            log->state == WAL_MISSING ? "the log is missing" : "both headers are damaged");
        if (log->cut_short)
            return env_fail(&db->env, NACRE_CORRUPT, "%s: cut short within its headers; it may have held acknowledged rows",
                            log->name);
        if (memcmp(log->header.database_id, db->database_id, sizeof db->database_id) != 0)
            return env_fail(&db->env, NACRE_CORRUPT, "%s: the log of another database", log->name);
        if (log->header.base_lsn > db->durable[0].superblock.flushed_lsn)
            return env_fail(&db->env, NACRE_CORRUPT, "%s: the superblock is older than the log", log->name);
        if (log->header.epoch > db->epoch) db->epoch = log->header.epoch;
        if (log->header.sequence >= db->next_log_sequence) db->next_log_sequence = log->header.sequence + 1;
    }
    return NACRE_OK;
}

/* The logs in the order of their use: the older may become `frozen`, the newer `active`. */
static nacre_status recover_logs(Db *db, LogEnd ends[2], int *newer) {
    TRY(recover_check_logs(db));
    *newer = db->logs[1].header.sequence > db->logs[0].header.sequence;
    int older = 1 - *newer;
    Memtable *table = NULL;
    db->last_lsn = db->synced_lsn = db->durable[0].superblock.flushed_lsn;
    TRY(recover_log(db, older, &table, &ends[older]));
    /* Also without rows, when its LSNs are above the segments': the newer log follows them, so
     * it may be reset only after a flush has brought flushed lsn up to them. */
    if (table->record_count > 0 || db->readonly || db->last_lsn > db->durable[0].superblock.flushed_lsn) {
        db->frozen = table;
    } else {
        memtable_release(table);
        uint64_t size = 0;
        TRY(wal_size(&db->logs[older], &size));
        db->log_free[older] = size == 0;
        db->log_covered[older] = db->durable[0].superblock.generation;
    }
    TRY(recover_log(db, *newer, &db->active, &ends[*newer]));
    if (!db->readonly) db->feed_floor = (db->frozen ? db->frozen : db->active)->base_lsn;
    db->log_free[*newer] = false;
    for (int i = 0; i < 2; i++) db->torn_bytes += ends[i].torn;
    uint64_t synced = db->durable[0].superblock.synced_lsn;
    if (synced > db->synced_lsn) db->synced_lsn = synced;
    if (db->last_lsn < synced)
        return env_fail(&db->env, NACRE_CORRUPT,
                        "%s: rows up to %llu were durable, but segments and logs end with %llu", db->name,
                        (unsigned long long)synced, (unsigned long long)db->last_lsn);
    return NACRE_OK;
}

/* Indexes what has come to one log since it was read into `table`. */
static nacre_status recover_follow_log(Db *db, Memtable *table, bool *done) {
    Wal *log = &db->logs[table->log];
    uint64_t size = 0;
    TRY(wal_size(log, &size));
    *done = size >= log->end && size <= table->capacity && size <= UINT32_MAX;
    if (!*done || size == log->end) return NACRE_OK;
    TRY(wal_read_from(log, log->end, table->arena + log->end, (size_t)(size - log->end)));
    WalReader reader = wal_reader(log, span_of(table->arena, (size_t)size), db->last_lsn);
    reader.at = (size_t)log->end;
    reader.salt = log->salt;
    reader.begun = true; /* whatever came before: the next frame follows last_lsn */
    nacre_status status = NACRE_OK;
    for (WalFrame frame; (status = wal_next(&reader, &frame)) == NACRE_OK;) {
        if (frame.kind == FRAME_BATCHES) TRY(recover_frame(db, log, table, &frame));
        db->last_lsn = table->last_lsn = frame.lsn;
        db->replayed_frames++;
        table->used = log->end = reader.at;
        log->salt = reader.salt;
    }
    if (reader.synced > db->synced_lsn) db->synced_lsn = reader.synced;
    if (status != NACRE_NOT_FOUND) return status;
    *done = reader.at == size;
    return NACRE_OK;
}

nacre_status recover_follow(Db *db, bool *done) {
    db->catalog_moved = false;
    /* What the other log may begin with, once this one has ended, follows its last frame. */
    if (db->frozen && db->logs[db->active->log].end == 0) {
        TRY(recover_follow_log(db, db->frozen, done));
        if (!*done) return NACRE_OK;
    }
    TRY(recover_follow_log(db, db->active, done));
    return db->catalog_moved ? catalog_load(db) : NACRE_OK;
}

/* After an unclean end: cuts the log, and leaves a gap of LSNs, so that none that
 * anybody may have seen is used again. */
static nacre_status recover_cut(Db *db, LogEnd ends[2], int newer) {
    const Superblock *superblock = &db->durable[0].superblock;
    bool clean = db->last_lsn == superblock->synced_lsn && ends[0].torn == 0 && ends[1].torn == 0 &&
                 !(superblock->flags & SUPERBLOCK_LOOSE) && !db->fallback;
    if (clean) return NACRE_OK;
    /* Only the newer log can be written to; a torn older one is left as it is, to be reset. */
    uint64_t lsn = db->last_lsn;
    for (int i = 0; i < 2; i++)
        if (ends[i].lsn_seen > lsn) lsn = ends[i].lsn_seen;
    if (lsn > UINT64_MAX - 2 * (uint64_t)LSN_GAP)
        return env_fail(&db->env, NACRE_CORRUPT, "%s: LSN %llu", db->name, (unsigned long long)lsn);
    lsn += LSN_GAP;
    /* The cut says that the frames before it are synced: make that true first. */
    nacre_status status = NACRE_OK;
    for (int i = 0; i < 2 && status == NACRE_OK; i++) status = db->env.vfs->sync(db->logs[i].file);
    if (status != NACRE_OK) return env_fail_vfs(&db->env, status, "log sync");
    Wal *log = &db->logs[newer];
    ends[newer].reader.synced = db->last_lsn;
    TRY(wal_cut(log, &ends[newer].reader, lsn));
    Memtable *active = db->active;
    uint8_t *cut = active->arena + active->used; /* the arena is what the log is, also for mem_log.h */
    if (active->capacity < log->end) { /* the cut took the last bytes */
        /* full: the next write freezes it */
        memset(cut, 0, active->capacity - active->used);
        active->used = active->capacity;
    } else {
        put_u32(cut + 8, FRAME_CUT);
        put_u32(cut + 12, (uint32_t)(log->end - active->used));
        put_u64(cut + 16, lsn);
        active->used = (size_t)log->end;
    }
    db->last_lsn = db->synced_lsn = lsn;
    db->active->last_lsn = lsn;
    return NACRE_OK;
}

/* Salts must not repeat, or a frame that outlived the reset of its log could pass for a new
 * one; with options.seed every open would draw the same. What is on the disk differs. */
static void recover_stir(Db *db) {
    uint8_t bytes[32];
    put_u64(bytes, db->epoch);
    put_u64(bytes + 8, db->durable[0].superblock.generation);
    put_u64(bytes + 16, db->last_lsn);
    put_u64(bytes + 24, db->next_log_sequence);
    db->random_state ^= checksum64(0, bytes, sizeof bytes);
}

/* ---- the whole ---- */

static uint64_t slots_generation(const Slots *slots) {
    uint64_t generation = 0;
    for (int i = 0; i < 2; i++)
        if (slots->state[i] == SLOT_VALID && slots->superblock[i].generation > generation)
            generation = slots->superblock[i].generation;
    return generation;
}

/* The new epoch goes to the disk with a commit, which also brings the other superblock up
 * to what the logs begin with. A full disk can still be opened, so that rows can be deleted. */
static nacre_status recover_raise_epoch(Db *db) {
    nacre_status status = commit_again(db);
    return status == NACRE_QUOTA && !db->poisoned ? commit_in_place(db) : status;
}

static nacre_status recover_existing(Db *db, Slots *slots, bool creating) {
    TRY(recover_state(db, slots));
    if (slots->state[0] != SLOT_VALID || slots->state[1] != SLOT_VALID) {
        db->fallback = true;
        recover_note(db, slots->state[0] != SLOT_VALID ? "superblock 0 is damaged" : "superblock 1 is damaged");
    }
    if (!db->readonly) TRY(recover_previous(db, slots));
    commit_recount(db);
    if (creating && !db->readonly) {
        TRY(recover_check_logs(db));
        for (int i = 0; i < 2; i++) TRY(wal_mend(&db->logs[i])); /* a reset tears one header at a time */
        for (int i = 0; i < 2; i++) TRY(recover_reset_log(db, i, 0));
    }
    LogEnd ends[2] = {{{0}, 0, 0}, {{0}, 0, 0}};
    int newer = 0;
    TRY(recover_logs(db, ends, &newer));
    if (db->torn_bytes) recover_note(db, "the log ended in a write that was never acknowledged; it was cut");
    if (db->readonly) return NACRE_OK;
    TRY(catalog_load(db)); /* the last that may find damage: nothing was written before */
    recover_stir(db);
    for (int i = 0; i < 2; i++) TRY(wal_mend(&db->logs[i]));
    if (db->fallback) TRY(data_sync(&db->data)); /* a spoiled slot must not come back when extents are used again */
    TRY(recover_cut(db, ends, newer));
    db->epoch++;
    db->ids.next_segment += ID_GAP * db->epoch; /* also where an open could not write them down */
    return recover_raise_epoch(db);
}

bool recover_half_restored(const Db *db) {
    bool half = false;
    for (int i = 0; i < 2; i++)
        half |= db->logs[i].state == WAL_VALID && (db->logs[i].header.flags & LOG_RESTORING);
    return half;
}

nacre_status recover_unfinished(const Db *db, bool *unfinished) {
    *unfinished = true;
    for (int i = 0; i < 2; i++) {
        uint64_t bytes = 0;
        TRY(wal_size(&db->logs[i], &bytes));
        *unfinished &= bytes == 0 && (db->logs[i].state != WAL_VALID || (db->logs[i].header.flags & LOG_CREATING));
    }
    return NACRE_OK;
}

static nacre_status recover_other_version(Db *db) {
    return env_fail(&db->env, NACRE_VERSION, "%s: a database of another format version than %u to %u", db->name,
                    FORMAT_OLDEST, FORMAT_VERSION);
}

static nacre_status recover_verdict(Db *db, const Slots *slots, bool *create, bool *creating) {
    Env *env = &db->env;
    uint64_t size = 0, log_bytes = 0, bytes = 0;
    nacre_status status = env->vfs->size(db->data.file, &size);
    if (status != NACRE_OK) return env_fail_vfs(env, status, "data file");
    bool valid = false, unfinished = true, logs_there = false;
    for (int i = 0; i < 2; i++) {
        valid |= slots->state[i] == SLOT_VALID;
        logs_there |= db->logs[i].state != WAL_MISSING;
        TRY(wal_size(&db->logs[i], &bytes));
        log_bytes += bytes;
        /* A log that a creation has not finished: made, torn, or still saying so. */
        unfinished &= db->logs[i].state != WAL_VALID || (db->logs[i].header.flags & LOG_CREATING);
    }
    *create = *creating = false;
    if (slots->state[0] == SLOT_VERSION || slots->state[1] == SLOT_VERSION) return recover_other_version(db);
    if (valid) {
        /* Generations 1 and 2 are the creation's: after it no log is emptied on a flag's word. */
        *creating = log_bytes == 0 && slots_generation(slots) <= 2 &&
                    ((db->logs[0].state == WAL_VALID && (db->logs[0].header.flags & LOG_CREATING)) ||
                     (db->logs[1].state == WAL_VALID && (db->logs[1].header.flags & LOG_CREATING)));
        return NACRE_OK;
    }
    bool nothing = size == 0 || (slots->state[0] == SLOT_EMPTY && slots->state[1] == SLOT_EMPTY);
    bool both_creating = db->logs[0].state == WAL_VALID && db->logs[1].state == WAL_VALID && unfinished;
    if (log_bytes == 0 && ((unfinished && size == 0) || both_creating)) {
        *create = true;
        return NACRE_OK;
    }
    if (slots->state[0] == SLOT_VERSION_UNSURE || slots->state[1] == SLOT_VERSION_UNSURE)
        return recover_other_version(db);
    if (nothing && logs_there)
        return env_fail(env, NACRE_CORRUPT, "%s: the file is missing or empty, but its logs are there", db->name);
    if (slots->state[0] == SLOT_FOREIGN || slots->state[0] == SLOT_EMPTY)
        return env_fail(env, NACRE_CORRUPT, "%s: this is no Nacre database", db->name);
    return env_fail(env, NACRE_CORRUPT, "%s: both superblocks are damaged", db->name);
}

nacre_status recover(Db *db) {
    Slots slots = {0};
    bool create = false, creating = false;
    nacre_status status = NACRE_OK;
    for (int i = 0; i < 2; i++) TRY_OUT(superblock_read(&db->data, i, &slots.superblock[i], &slots.state[i]));
    bool half = recover_half_restored(db);
    if (half && !db->restoring)
        TRY_OUT(env_fail(&db->env, NACRE_CORRUPT,
                         "%s: restoring it from a backup did not come to its end; restore it again", db->name));
    if (half) create = true;
    else TRY_OUT(recover_verdict(db, &slots, &create, &creating));
    if (create && (db->readonly || db->options.mode == NACRE_EXISTING))
        TRY_OUT(env_fail(&db->env, NACRE_NOT_FOUND, "%s: no database was ever finished there", db->name));
    if (!create && db->options.mode == NACRE_CREATE)
        TRY_OUT(env_fail(&db->env, NACRE_EXISTS, "%s: there is a database already", db->name));
    if (create) {
        TRY_OUT(recover_create(db));
        int newer = 1;
        db->log_free[newer] = false;
        TRY_OUT(memtable_alloc(&db->env, (size_t)db->options.memtable_size, 0, (uint32_t)newer, &db->active));
        TRY_OUT(catalog_load(db));
    } else {
        TRY_OUT(recover_existing(db, &slots, creating));
    }
out:
    for (int i = 0; i < 2; i++) superblock_clear(&db->env, &slots.superblock[i]);
    return status;
}
