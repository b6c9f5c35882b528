/* api_changes.c - changes in the order of commits, and the hook that is told of them. */
#include "db/api.h"

struct nacre_changes {
    ApiHandle handle;
    Db *db;
    Changes *changes;
    ApiRow row;
};

nacre_status nacre_changes_bounds(nacre_db *db, uint64_t *oldest, uint64_t *newest) {
    if (!db) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(db));
    if (!oldest || !newest) return api_null(db, oldest ? "newest" : "oldest");
    return db_changes_bounds(db, oldest, newest);
}

nacre_status nacre_changes_open(nacre_db *db, uint64_t since, nacre_changes **out) {
    if (!db) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(db));
    if (!out) return api_null(db, "changes");
    nacre_changes *changes = env_alloc_zeroed(&db->env, sizeof *changes);
    if (!changes) return NACRE_RESOURCE_EXHAUSTED;
    nacre_status status = db_changes_open(db, since, &changes->changes);
    if (status != NACRE_OK) {
        env_free(&db->env, changes, sizeof *changes);
        return status;
    }
    changes->db = db;
    api_handle_add(db, &changes->handle, API_CHANGES);
    *out = changes;
    return NACRE_OK;
}

static nacre_status api_show_change(nacre_changes *changes, const ChangeView *view, nacre_change *change) {
    *change = (nacre_change){.kind = view->kind,
                             .index = view->index,
                             .sequence = view->sequence,
                             .membrane = view->membrane,
                             .name = (const char *)view->name.data,
                             .from = (const char *)view->from.data};
    if (view->kind == NACRE_CHANGE_PUT) return api_show(view->membrane, &view->row, &changes->row, &change->row);
    if (view->kind == NACRE_CHANGE_DELETE)
        return api_show_key(view->membrane, view->row.key, &changes->row, &change->row);
    return NACRE_OK;
}

nacre_status nacre_changes_next(nacre_changes *changes, nacre_change *change) {
    ChangeView view;
    if (!changes) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(changes->db));
    if (!change) return api_null(changes->db, "change");
    TRY(db_changes_next(changes->changes, &view));
    return api_show_change(changes, &view, change);
}

void api_changes_free(nacre_changes *changes) {
    Env *env = &changes->db->env;
    db_changes_close(changes->changes);
    api_row_clear(env, &changes->row);
    env_free(env, changes, sizeof *changes);
}

void nacre_changes_close(nacre_changes *changes) {
    if (!changes) return;
    db_call(changes->db);
    api_handle_remove(changes->db, &changes->handle);
    api_changes_free(changes);
}

nacre_status nacre_on_commit(nacre_db *db, nacre_commit_hook *hook, void *self) {
    if (!db) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(db));
    return db_on_commit(db, hook, self);
}
