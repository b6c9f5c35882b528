/* open.c - from a path to a database, and back: files, lock, memory, then recovery. */
#include "db/backup.h"
#include "db/feed.h"
#include "db/ingest.h"
#include "db/picks.h"
#include "db/vectors.h"
#include "host/vfs_crypt.h"
#include "host/vfs_memory.h"
#include "host/vfs_posix.h"

#include <stdio.h>

static void open_report(const Env *env, nacre_status status, nacre_error *error) {
    if (!error) return;
    *error = env->error;
    if (error->code == NACRE_OK && status != NACRE_OK)
        *error = (nacre_error){status, "no more is known"};
    error->code = status;
    if (status == NACRE_OK) error->text[0] = 0;
}

/* splitmix64 (Steele et al., "Fast Splittable Pseudorandom Number Generators", 2014). */
WRAPS uint64_t state_random(Db *db) {
    uint64_t z = (db->random_state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static nacre_status open_names(Db *db, const char *path) {
    size_t size = strlen(path) + 1;
    db->names_size = 4 * (size + 8);
    if (!(db->names = env_alloc(&db->env, db->names_size))) return NACRE_RESOURCE_EXHAUSTED;
    char *at = db->names;
    char **names[4] = {&db->name, &db->log_names[0], &db->log_names[1], &db->lock_name};
    static const char *const suffixes[4] = {"", "-wal0", "-wal1", "-lock"};
    for (int i = 0; i < 4; i++) {
        *names[i] = at;
        at += snprintf(at, size + 8, "%s%s", path, suffixes[i]) + 1;
    }
    return NACRE_OK;
}

static nacre_status open_vfs(Db *db, const char *path) {
    db->in_memory = strcmp(path, ":memory:") == 0;
    nacre_status status = NACRE_OK;
    if (db->in_memory) status = vfs_memory_create(&db->env.allocator, &db->own_vfs);
    else if (!db->options.vfs) status = vfs_posix_create(&db->env.allocator, &db->own_vfs);
    if (status != NACRE_OK) return env_fail(&db->env, status, "no memory for the file layer");
    db->env.vfs = db->own_vfs ? db->own_vfs : db->options.vfs;
    const uint8_t *key = db->options.encryption_key;
    if (!key) return NACRE_OK;
    db->options.encryption_key = NULL; /* borrowed */
    if (db->in_memory)
        return env_fail(&db->env, NACRE_INVALID_ARGUMENT, "option encryption_key: \":memory:\" has no files to encrypt");
    status = vfs_crypt_create(&db->env.allocator, db->env.vfs, path, key, &db->crypt);
    if (status != NACRE_OK) return env_fail(&db->env, status, "no memory for the encrypting layer");
    db->env.vfs = db->crypt;
    return NACRE_OK;
}

static nacre_status open_fail_vfs(Db *db, nacre_status status) {
    return env_fail_vfs(&db->env, status, "open");
}

/* Does anything of the database exist? Nothing is made by asking. Without a key it is known here, and
 * only here, that there should be one. */
static nacre_status open_exists(Db *db, bool *exists) {
    char *names[3] = {db->name, db->log_names[0], db->log_names[1]};
    bool encrypted = false;
    nacre_status status = vfs_crypt_look(db->env.vfs, names, exists, db->crypt ? NULL : &encrypted);
    if (status != NACRE_OK) return open_fail_vfs(db, status);
    if (encrypted)
        return env_fail(&db->env, NACRE_PERMISSION, "%s: the database is encrypted, and no key was given", db->name);
    return NACRE_OK;
}

nacre_status state_open_files(Db *db) {
    const Vfs *vfs = db->env.vfs;
    bool exists = false, may_create = db->options.mode == NACRE_READWRITE || db->options.mode == NACRE_CREATE;
    TRY(open_exists(db, &exists));
    if (!exists && !may_create)
        return env_fail(&db->env, NACRE_NOT_FOUND, "%s: there is no such database", db->name);
    if (!db->readonly && !db->in_memory && db->options.lock != NACRE_LOCK_HOST) {
        nacre_status status = vfs->lock(vfs->self, db->lock_name, db->options.lock == NACRE_LOCK_BREAK, &db->lock);
        if (status != NACRE_OK) return open_fail_vfs(db, status);
    }
    /* Files are made only where nothing says that there was a database: a file that is not
     * ours is not touched, and a missing one is not replaced. */
    db->data = (DataFile){.env = &db->env, .name = db->name};
    int how = db->readonly ? VFS_READ : VFS_WRITE;
    for (int i = 0; i < 2; i++) TRY(wal_open(&db->logs[i], &db->env, db->log_names[i], how));
    uint64_t size = 0;
    nacre_status status = vfs->open(vfs->self, db->name, how, &db->data.file);
    if (status == NACRE_OK) status = vfs->size(db->data.file, &size);
    if (status != NACRE_OK && status != NACRE_NOT_FOUND) return open_fail_vfs(db, status);
    if (size > 0) return NACRE_OK;
    bool unfinished = false;
    TRY(recover_unfinished(db, &unfinished));
    if (!unfinished && !(db->restoring && recover_half_restored(db)))
        return env_fail(&db->env, NACRE_CORRUPT, "%s: the file is missing or empty, but its logs are there", db->name);
    if (!may_create)
        return env_fail(&db->env, NACRE_NOT_FOUND, "%s: no database was ever finished there", db->name);
    if (!db->data.file) status = vfs->open(vfs->self, db->name, VFS_CREATE, &db->data.file);
    if (status != NACRE_OK) return open_fail_vfs(db, status);
    for (int i = 0; i < 2; i++)
        if (!db->logs[i].file) TRY(wal_open(&db->logs[i], &db->env, db->log_names[i], VFS_CREATE));
    return NACRE_OK;
}

static void open_cache_reclaim(void *self, uint64_t size) { cache_shrink(&((Db *)self)->cache, size); }

static nacre_status open_all(Db *db, const char *path) {
    Env *env = &db->env;
    TRY(open_vfs(db, path));
    db->random_state = db->options.seed;
    if (!db->random_state) env->vfs->random(env->vfs->self, &db->random_state, sizeof db->random_state);
    TRY(open_names(db, path));
    TRY(cache_init(&db->cache, env, db->options.memory / 2));
    env->reclaim = open_cache_reclaim;
    env->reclaim_self = db;
    extent_map_init(&db->map, env, db->options.database_size);
    db->io = (SegmentIo){.env = env,
                         .data = &db->data,
                         .cache = &db->cache,
                         .block_size = db->options.block_size,
                         .layout = catalog_layout,
                         .layout_self = db,
                         .filter_bits = db->options.filter_bits};
    db->kernels = kernels_choose();
    vectors_init(db);
    picks_init(db);
    uint64_t share = db->options.memory / SEGMENT_MEMORY_SHARE, work = 8 * db->options.memtable_size;
    db->segment_size = db->options.segment_size < share ? db->options.segment_size : share;
    if (db->segment_size > work) db->segment_size = work; /* what a crash costs a merge */
    db->vectors_size = VECTORS_SHARE * db->segment_size;
    db->reserve = db->map.limit / 4 < EXTENT_RESERVE ? db->map.limit / 4 : EXTENT_RESERVE;
    db->segment_rows = share / 16; /* a hash per row, and it doubles */
    db->merge_inputs_max = (size_t)(db->options.memory / MERGE_INPUT_MEMORY);
    if (db->merge_inputs_max > MERGE_INPUTS_MAX) db->merge_inputs_max = MERGE_INPUTS_MAX;
    db->loose = db->options.durability != NACRE_STRICT;
    if (db->readonly) return reader_open(db);
    TRY(state_open_files(db));
    held_open(db);
    if (db->options.mapped) TRY(data_map(&db->data));
    return recover(db);
}

static void open_undo(Db *db) {
    Env *env = &db->env;
    cursors_close(db);
    bulks_abort(db);
    values_close(db);
    pinned_release_all(db);
    snapshots_release(db);
    backups_free(db);
    archives_free(db);
    ingests_free(db);
    while (db->changes) db_changes_close(db->changes);
    maintain_abort(db);
    catalog_clear(db);
    cache_unpin(&db->cache, db->borrowed);
    memtable_release(db->active);
    memtable_release(db->frozen);
    version_release(db->version);
    for (int i = 0; i < 2; i++) {
        version_release(db->durable[i].version);
        superblock_clear(env, &db->durable[i].superblock);
    }
    reader_close(db);
    held_close(db);
    ASSERT(db->versions == NULL);
    vectors_clear(db);
    lanes_leave(&db->env, &db->lane_room);
    if (db->cache.table) cache_clear(&db->cache);
    env->reclaim = NULL;
    extent_map_clear(&db->map);
    for (int i = 0; i < 2; i++) wal_close(&db->logs[i]);
    if (db->data.file) env->vfs->close(db->data.file);
    if (db->lock) env->vfs->unlock(env->vfs->self, db->lock);
    feed_clear(db);
    env_free(env, db->names, db->names_size);
    env_free(env, db->blob, db->blob_capacity);
    env_free(env, db->vector, db->vector_capacity);
    env_free(env, db->text, db->text_capacity);
    ASSERT(env->memory_used == sizeof *db); /* nothing leaks */
    if (db->crypt) db->crypt->destroy(db->crypt->self);
    if (db->own_vfs) db->own_vfs->destroy(db->own_vfs->self);
    nacre_allocator allocator = env->allocator;
    allocator.free(allocator.self, db, sizeof *db);
}

static nacre_status open_any(const char *path, const nacre_options *given, bool restoring, Db **out,
                             nacre_error *error) {
    Env env;
    env_init(&env, NULL, options_allocator(given), UINT64_MAX);
    nacre_options options;
    nacre_status status = options_resolve(&env, given, &options);
    if (status == NACRE_OK && (!path || !path[0]))
        status = env_fail(&env, NACRE_INVALID_ARGUMENT, "open: the path is empty");
    if (status == NACRE_OK && !out) status = env_fail(&env, NACRE_INVALID_ARGUMENT, "open: db is NULL");
    if (status == NACRE_OK) env.memory_budget = options.memory;
    if (restoring) options.mode = NACRE_CREATE;
    Db *db = status == NACRE_OK ? env_alloc_zeroed(&env, sizeof *db) : NULL;
    if (!db) {
        status = status == NACRE_OK ? NACRE_RESOURCE_EXHAUSTED : status;
        open_report(&env, status, error);
        return status;
    }
    db->env = env;
    db->options = options;
    db->readonly = options.mode == NACRE_READ;
    db->restoring = restoring;
    status = open_all(db, path);
    open_report(&db->env, status, error);
    if (status == NACRE_OK) *out = db;
    else if (restoring && recover_half_restored(db)) db_discard(db);
    else open_undo(db);
    return status;
}

nacre_status db_open(const char *path, const nacre_options *given, Db **db, nacre_error *error) {
    return open_any(path, given, false, db, error);
}

nacre_status db_open_restoring(const char *path, const nacre_options *given, Db **db, nacre_error *error) {
    return open_any(path, given, true, db, error);
}

void db_discard(Db *db) {
    const Vfs *vfs = db->env.vfs;
    const char *names[3] = {db->name, db->log_names[0], db->log_names[1]};
    VfsFile **files[3] = {&db->data.file, &db->logs[0].file, &db->logs[1].file};
    for (int i = 0; i < 3; i++) { /* the logs last: they say what it is */
        if (!*files[i]) continue;
        (void)!vfs->truncate(*files[i], 0);
        vfs->close(*files[i]);
        *files[i] = NULL;
        if (vfs->remove) (void)!vfs->remove(vfs->self, names[i]);
    }
    open_undo(db);
}

/* Everything acknowledged is synced; the superblock then says how far, so that the next
 * open can tell a clean end from a lost one. */
static nacre_status close_sync(Db *db) {
    if (db->readonly) return NACRE_OK;
    if (db->poisoned) { /* what strict acknowledged is synced */
        if (db->options.durability == NACRE_STRICT || db->last_lsn == db->synced_lsn) return NACRE_OK;
        return env_fail(&db->env, NACRE_IO, "%s: a sync failed: what was acknowledged since the last good one is lost",
                        db->name);
    }
    nacre_status parked = maintain_park(db);
    maintain_abort(db);
    if (db->poisoned) return parked;
    env_clear(&db->env); /* work that was not kept is done again */
    TRY(log_sync(db));
    db->loose = false;
    if (!db->in_memory && db->logs[0].end + db->logs[1].end > CLOSE_LOG && db_checkpoint(db) != NACRE_OK)
        env_clear(&db->env); /* for the next opening's sake only: the rows are in the log */
    const Superblock *now = &db->durable[0].superblock;
    if (db->last_lsn == now->synced_lsn && !(now->flags & SUPERBLOCK_LOOSE)) return NACRE_OK;
    nacre_status status = commit_again(db);
    if (status == NACRE_QUOTA && !db->poisoned) status = commit_in_place(db);
    if (status == NACRE_QUOTA || status == NACRE_RESOURCE_EXHAUSTED) { /* the rows are in the log all the same */
        env_clear(&db->env);
        status = NACRE_OK;
    }
    return status;
}

nacre_status db_close(Db *db, nacre_error *error) {
    if (!db) {
        if (error) *error = (nacre_error){NACRE_OK, ""};
        return NACRE_OK;
    }
    env_clear(&db->env);
    transaction_rollback(db->transaction);
    nacre_status status = close_sync(db);
    open_report(&db->env, status, error);
    open_undo(db);
    return status;
}

nacre_status db_rekey(Db *db, const uint8_t *key) {
    TRY(state_writable(db));
    if (!db->crypt) return env_fail(&db->env, NACRE_UNSUPPORTED, "%s: not encrypted: there is no key to change", db->name);
    nacre_status status = vfs_crypt_rekey(db->crypt, key);
    if (status == NACRE_OK) return NACRE_OK;
    /* It synced the data file: what was written there before is as unknown as the key. */
    return state_poison(db, env_fail_vfs(&db->env, status, "rekey"));
}

Env *db_env(Db *db) { return &db->env; }

void db_call(Db *db) {
    env_clear(&db->env);
    cache_unpin(&db->cache, db->borrowed);
    db->borrowed = NULL;
    db->now_ms = 0;
    if (db->readonly && db->held_count) held_drop_unread(db);
    if (db->unsynced_since_ms && !db->poisoned) { /* relaxed: due at the next call */
        uint64_t now = db->env.vfs->now_ms(db->env.vfs->self);
        if (now - db->unsynced_since_ms >= db->options.relaxed_ms) {
            if (log_sync(db) != NACRE_OK) env_clear(&db->env); /* it poisons: the next write tells */
        }
    }
}
