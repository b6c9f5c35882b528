/* api_backup.c - backups, archives and restores. */
#include "db/api.h"

struct nacre_backup {
    ApiHandle handle;
    Db *db;
    Backup *backup;
};

struct nacre_archive {
    ApiHandle handle;
    Db *db;
    Archive *archive;
};

/* ---- backups ---- */

static nacre_status api_backup_alloc(Db *db, nacre_backup **out) {
    nacre_backup *backup = env_alloc_zeroed(&db->env, sizeof *backup);
    if (!backup) return NACRE_RESOURCE_EXHAUSTED;
    backup->db = db;
    *out = backup;
    return NACRE_OK;
}

static nacre_status api_backup_begun(nacre_backup *backup, nacre_status status, nacre_backup **out) {
    if (status != NACRE_OK) {
        env_free(&backup->db->env, backup, sizeof *backup);
        return status;
    }
    api_handle_add(backup->db, &backup->handle, API_BACKUP);
    *out = backup;
    return NACRE_OK;
}

nacre_status nacre_backup_begin(nacre_db *db, const nacre_span *base, nacre_backup **out) {
    nacre_backup *backup = NULL;
    if (!db) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(db));
    if (!out) return api_null(db, "backup");
    if (base && (!base->data || base->size == 0)) return api_null(db, "base");
    TRY(api_backup_alloc(db, &backup));
    Span token = base ? span_of(base->data, base->size) : (Span){NULL, 0};
    return api_backup_begun(backup, backup_begin(db, token, &backup->backup), out);
}

nacre_status nacre_backup_encrypt(nacre_backup *backup, const uint8_t *key) {
    if (!backup) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(backup->db));
    return backup_encrypt(backup->backup, key);
}

nacre_status nacre_backup_read(nacre_backup *backup, void *into, size_t size, size_t *got) {
    if (!backup) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(backup->db));
    if (!got || (!into && size)) return api_null(backup->db, got ? "into" : "got");
    if (size == 0) return env_fail(&backup->db->env, NACRE_INVALID_ARGUMENT, "backup: a buffer of no bytes");
    return backup_read(backup->backup, into, size, got);
}

nacre_status nacre_backup_describe(nacre_backup *backup, nacre_backup_info *info) {
    if (!backup) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(backup->db));
    if (!info) return api_null(backup->db, "info");
    backup_describe(backup->backup, info);
    return NACRE_OK;
}

void api_backup_free(nacre_backup *backup) {
    Env *env = &backup->db->env;
    backup_end(backup->backup);
    env_free(env, backup, sizeof *backup);
}

void nacre_backup_end(nacre_backup *backup) {
    if (!backup || backup->db->in_hook) return;
    db_call(backup->db);
    api_handle_remove(backup->db, &backup->handle);
    api_backup_free(backup);
}

/* ---- archives ---- */

nacre_status nacre_archive_open(nacre_db *db, uint64_t since, nacre_archive **out) {
    if (!db) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(db));
    if (!out) return api_null(db, "archive");
    nacre_archive *archive = env_alloc_zeroed(&db->env, sizeof *archive);
    if (!archive) return NACRE_RESOURCE_EXHAUSTED;
    nacre_status status = archive_open(db, since, &archive->archive);
    if (status != NACRE_OK) {
        env_free(&db->env, archive, sizeof *archive);
        return status;
    }
    archive->db = db;
    api_handle_add(db, &archive->handle, API_ARCHIVE);
    *out = archive;
    return NACRE_OK;
}

nacre_status nacre_archive_begin(nacre_archive *archive, nacre_backup **out) {
    nacre_backup *backup = NULL;
    if (!archive) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(archive->db));
    if (!out) return api_null(archive->db, "backup");
    TRY(api_backup_alloc(archive->db, &backup));
    return api_backup_begun(backup, archive_begin(archive->archive, &backup->backup), out);
}

void api_archive_free(nacre_archive *archive) {
    Env *env = &archive->db->env;
    archive_close(archive->archive);
    env_free(env, archive, sizeof *archive);
}

void nacre_archive_close(nacre_archive *archive) {
    if (!archive || archive->db->in_hook) return;
    db_call(archive->db);
    api_handle_remove(archive->db, &archive->handle);
    api_archive_free(archive);
}

/* ---- restores ---- */

nacre_status nacre_restore_begin(const char *path, const nacre_options *options, const nacre_restore_options *until,
                                 nacre_restore **restore, nacre_error *error) {
    if (restore) return restore_begin(path, options, until, restore, error);
    if (error) *error = (nacre_error){NACRE_INVALID_ARGUMENT, "restore: NULL"};
    return NACRE_INVALID_ARGUMENT;
}

nacre_status nacre_restore_write(nacre_restore *restore, const void *data, size_t size) {
    if (!restore) return NACRE_INVALID_ARGUMENT;
    if (!data && size) return env_fail(restore_env(restore), NACRE_INVALID_ARGUMENT, "restore: data is NULL");
    return restore_write(restore, span_of(data, size));
}

nacre_status nacre_restore_describe(nacre_restore *restore, nacre_backup_info *info) {
    if (!restore) return NACRE_INVALID_ARGUMENT;
    if (!info) return env_fail(restore_env(restore), NACRE_INVALID_ARGUMENT, "info: NULL");
    restore_describe(restore, info);
    return NACRE_OK;
}

const char *nacre_restore_message(const nacre_restore *restore) {
    if (!restore) return "restore: NULL";
    const Env *env = restore_env((Restore *)restore);
    return env->error.code == NACRE_OK ? "" : env->error.text;
}

nacre_status nacre_restore_finish(nacre_restore *restore, nacre_db **db, nacre_error *error) {
    Db *made = NULL;
    if (!restore) return NACRE_INVALID_ARGUMENT;
    TRY(restore_finish(restore, db ? &made : NULL, error));
    return made ? api_adopt(made, db, error) : NACRE_OK;
}

void nacre_restore_abort(nacre_restore *restore) { restore_abort(restore); }
