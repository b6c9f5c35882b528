/* commit.c - making a state durable: manifest, sync, superblock, sync (rule 2 of
 * superblock_format.h), and giving logs and extents back when both superblocks
 * know better. */
#include "base/checksum.h"
#include "db/ingest.h"
#include "db/state.h"

nacre_status state_poison(Db *db, nacre_status status) {
    db->poisoned = true;
    return status;
}

nacre_status log_sync(Db *db) {
    for (int i = 0; i < 2; i++) {
        if (db->logs[i].unsynced == 0) continue;
        nacre_status status = wal_sync(&db->logs[i]);
        if (status != NACRE_OK) return state_poison(db, status);
        db->counters.log_syncs++;
    }
    db->synced_lsn = db->last_lsn;
    db->unsynced_since_ms = 0;
    return NACRE_OK;
}

/* Recomputes every mark from what references extents (rule 1 of extents.h). */
void commit_recount(Db *db) {
    ExtentMap *map = &db->map;
    extent_map_unmark(map, EXTENT_CURRENT | EXTENT_PREVIOUS | EXTENT_WRITING | EXTENT_PINNED);
    static const uint8_t marks[2] = {EXTENT_CURRENT, EXTENT_PREVIOUS};
    for (int i = 0; i < 2; i++) {
        if (!db->durable[i].version) continue;
        version_mark(db->durable[i].version, map, marks[i]);
        extent_map_mark(map, &db->durable[i].superblock.manifest, marks[i]);
    }
    for (const Version *v = db->versions; v; v = v->older) version_mark(v, map, EXTENT_PINNED);
    for (size_t i = 0; i < db->held_count; i++)
        extent_map_mark(map, &db->held[i].state.superblock.manifest, EXTENT_PINNED);
    for (int i = 0; i < JOB_COUNT; i++) {
        const Job *job = &db->jobs[i];
        for (size_t s = 0; s < job->finished_count; s++)
            for (int k = 0; k < STREAM_COUNT; k++)
                extent_map_mark(map, &job->finished[s]->streams[k].extents, EXTENT_WRITING);
        if (job->writing)
            for (int k = 0; k < STREAM_COUNT; k++)
                extent_map_mark(map, &job->writer.streams[k].stream.extents, EXTENT_WRITING);
    }
    ingests_mark(db);
    if (db->spool) extent_map_mark(map, db->spool, EXTENT_WRITING);
    extent_map_recount(map);
}

static nacre_status commit_manifest(Db *db, const Version *version, Superblock *next) {
    Env *env = &db->env;
    size_t catalog_size = catalog_copy_size(db), size = manifest_size(version, catalog_size);
    uint8_t *bytes = NULL, *catalog = env_alloc(env, catalog_size);
    nacre_status status = NACRE_OK;
    if (!catalog || !(bytes = env_alloc(env, size))) TRY_OUT(NACRE_RESOURCE_EXHAUSTED);
    catalog_copy(db, catalog);
    ManifestTail tail = {.catalog = span_of(catalog, catalog_size),
                         .generation = next->generation,
                         .epoch = next->epoch,
                         .flushed_lsn = next->flushed_lsn};
    memcpy(tail.database_id, next->database_id, sizeof tail.database_id);
    manifest_encode(version, db->ids, &tail, bytes, size);
    next->manifest_size = size;
    next->manifest_checksum = checksum64(next->generation, bytes, size);
    uint32_t first = 0;
    size_t extents = (size_t)extents_in(size);
    TRY_OUT(extent_map_take_run(&db->map, extents, &first));
    for (size_t i = 0; i < extents; i++) TRY_OUT(extent_list_add(env, &next->manifest, first + (uint32_t)i));
    TRY_OUT(data_write(&db->data, &next->manifest, 0, bytes, size));
out:
    env_free(env, bytes, size);
    env_free(env, catalog, catalog_size);
    return status;
}

/* Rule 5 of superblock_format.h: has another writer taken over? */
static nacre_status commit_check_epoch(Db *db) {
    for (int slot = 0; slot < 2; slot++) {
        Superblock found;
        SlotState state;
        TRY(superblock_read(&db->data, slot, &found, &state));
        uint64_t epoch = state == SLOT_VALID ? found.epoch : 0, generation = state == SLOT_VALID ? found.generation : 0;
        superblock_clear(&db->env, &found);
        /* A generation that is not ours counts only in our epoch: after a fallback the damaged
         * newer superblock is still there, of an older one. */
        if (epoch > db->epoch || (epoch == db->epoch && generation > db->durable[0].superblock.generation))
            return state_poison(db, env_fail(&db->env, NACRE_BUSY,
                                             "%s: another process has taken the database over; reopen", db->name));
    }
    return NACRE_OK;
}

/* The superblock `next`, of `version`, is durable: state moves after success. The one before
 * the last is free now, unless a reader in another process pins it. */
static void commit_move(Db *db, const Superblock *next, Version *version) {
    if (db->readers && db->durable[1].version) held_add(db, &db->durable[1], NULL);
    superblock_clear(&db->env, &db->durable[1].superblock);
    version_release(db->durable[1].version);
    db->durable[1] = db->durable[0];
    db->durable[0] = (Durable){*next, version};
    version_retain(version);
    held_ask(db);
}

nacre_status commit_version(Db *db, Version *version, uint64_t flushed_lsn) {
    Env *env = &db->env;
    nacre_status status = state_writable(db);
    if (status == NACRE_OK) status = held_reserve(db);
    Superblock next = {.flags = db->loose ? SUPERBLOCK_LOOSE : 0,
                       .generation = db->durable[0].superblock.generation + 1,
                       .epoch = db->epoch,
                       .flushed_lsn = flushed_lsn};
    memcpy(next.database_id, db->database_id, sizeof next.database_id);
    if (status == NACRE_OK) status = commit_check_epoch(db);
    /* What a segment leaves out because of a logged row (a dropped membrane) must not be
     * durable before that row. */
    if (status == NACRE_OK) status = log_sync(db);
    if (status == NACRE_OK) status = commit_manifest(db, version, &next);
    if (status == NACRE_OK) {
        status = data_sync(&db->data);
        if (status != NACRE_OK) db->poisoned = true;
    }
    if (status != NACRE_OK) { /* nothing refers to what was written */
        extent_map_give_back(&db->map, &next.manifest);
        superblock_clear(env, &next);
        version_release(version);
        return status;
    }
    next.synced_lsn = db->synced_lsn > flushed_lsn ? db->synced_lsn : flushed_lsn;
    status = superblock_write(&db->data, &next);
    if (status == NACRE_OK) status = data_sync(&db->data);
    if (status != NACRE_OK) { /* it may be on the disk or not */
        db->data.broken = true;
        superblock_spoil(&db->data, &next);
        superblock_clear(env, &next);
        version_release(version);
        return state_poison(db, status);
    }
    commit_move(db, &next, version);
    version_release(db->version);
    db->version = version;
    db->counters.commits++;
    commit_recount(db);
    return NACRE_OK;
}

nacre_status commit_again(Db *db) {
    version_retain(db->version);
    return commit_version(db, db->version, db->durable[0].superblock.flushed_lsn);
}

nacre_status commit_in_place(Db *db) {
    Env *env = &db->env;
    env_clear(env);
    const Superblock *now = &db->durable[0].superblock;
    Superblock next = *now;
    next.manifest = (ExtentList){0};
    next.generation++;
    next.flags = db->loose ? SUPERBLOCK_LOOSE : 0;
    next.epoch = db->epoch;
    next.synced_lsn = db->synced_lsn;
    TRY(held_reserve(db));
    uint8_t *bytes = env_alloc(env, (size_t)now->manifest_size);
    if (!bytes) return NACRE_RESOURCE_EXHAUSTED;
    nacre_status status = data_read(&db->data, &now->manifest, 0, bytes, (size_t)now->manifest_size);
    if (status == NACRE_OK) next.manifest_checksum = checksum64(next.generation, bytes, (size_t)now->manifest_size);
    env_free(env, bytes, (size_t)now->manifest_size);
    for (size_t i = 0; i < now->manifest.count && status == NACRE_OK; i++)
        status = extent_list_add(env, &next.manifest, now->manifest.items[i]);
    if (status == NACRE_OK) {
        status = superblock_write(&db->data, &next);
        if (status == NACRE_OK) status = data_sync(&db->data);
        if (status != NACRE_OK) {
            superblock_spoil(&db->data, &next);
            db->data.broken = true;
            (void)state_poison(db, status);
        }
    }
    if (status != NACRE_OK) {
        superblock_clear(env, &next);
        return status;
    }
    commit_move(db, &next, db->version);
    commit_recount(db);
    return NACRE_OK;
}

nacre_status log_release(Db *db) {
    uint32_t other = db->active ? 1 - db->active->log : 0;
    /* Sequences tell the order of use: a log that was never used since it was reset before
     * the active one must be reset again, or it would be replayed first. */
    bool later = !db->active || db->logs[other].header.sequence > db->logs[db->active->log].header.sequence;
    if (db->frozen || (db->log_free[other] && later)) return NACRE_OK;
    ASSERT(db->log_covered[other] > 0 || db->log_free[other]);
    while (db->durable[0].superblock.generation < db->log_covered[other] + 1) TRY(commit_again(db));
    WalHeader header = {.flags = db->restoring ? LOG_RESTORING : 0,
                        .sequence = db->next_log_sequence,
                        .salt = state_random(db),
                        .base_lsn = db->durable[0].superblock.flushed_lsn,
                        .epoch = db->epoch};
    memcpy(header.database_id, db->database_id, sizeof header.database_id);
    nacre_status status = wal_reset(&db->logs[other], &header);
    if (status != NACRE_OK) return state_poison(db, status);
    db->next_log_sequence++;
    db->log_free[other] = true;
    db->log_covered[other] = 0;
    return NACRE_OK;
}

nacre_status commit_truncate(Db *db, bool all) {
    uint64_t size = 0, end = (uint64_t)extent_map_end(&db->map) * EXTENT_SIZE;
    const Vfs *vfs = db->env.vfs;
    nacre_status status = vfs->size(db->data.file, &size);
    if (status == NACRE_OK && size > end && (all || (size - end >= TRUNCATE_MIN && size - end > size / 4)))
        status = data_truncate(&db->data, end);
    return status == NACRE_OK ? NACRE_OK : env_fail_vfs(&db->env, status, "data file");
}
