/* api_view.c - rows that stay, as typed values. */
#include "db/api.h"

struct nacre_view {
    ApiHandle handle;
    Db *db;
    PinnedRow *pinned;
    ApiRow store;
    nacre_row row;
};

nacre_status nacre_get_pinned(nacre_membrane *membrane, const nacre_snapshot *snapshot, const nacre_value *key,
                              nacre_view **out) {
    Span encoded;
    TRY(api_call(membrane));
    Db *db = membrane->db;
    if (!out) return api_null(db, "view");
    TRY(api_key(membrane, key, &db->api->key, &db->api->key_capacity, &encoded));
    nacre_view *view = env_alloc_zeroed(&db->env, sizeof *view);
    if (!view) return NACRE_RESOURCE_EXHAUSTED;
    view->db = db;
    nacre_status status = pinned_get(membrane, snapshot, encoded, &view->pinned);
    if (status == NACRE_OK) status = api_show(membrane, pinned_row(view->pinned), &view->store, &view->row);
    if (status != NACRE_OK) {
        api_view_free(view);
        return status;
    }
    api_handle_add(db, &view->handle, API_VIEW);
    *out = view;
    return NACRE_OK;
}

const nacre_row *nacre_view_row(const nacre_view *view) { return view ? &view->row : NULL; }

void api_view_free(nacre_view *view) {
    Env *env = &view->db->env;
    pinned_release(view->pinned);
    api_row_clear(env, &view->store);
    env_free(env, view, sizeof *view);
}

void nacre_view_release(nacre_view *view) {
    if (!view) return;
    db_call(view->db);
    api_handle_remove(view->db, &view->handle);
    api_view_free(view);
}
