/* house.c - checkpoint, and compaction to the smallest file. */
#include "base/checksum.h"
#include "db/feed.h"
#include "db/vectors.h"

#include <stdio.h>

nacre_status db_checkpoint(Db *db) {
    if (db->in_memory && db->readonly) return NACRE_OK;
    TRY(state_writable(db));
    TRY(log_sync(db));
    if (db->active->record_count > 0) TRY(maintain_freeze(db));
    TRY(maintain_flush(db));
    db->maintenance_error.code = NACRE_OK;
    return log_release(db); /* both superblocks know: the log is emptied */
}

nacre_status db_step(Db *db, uint64_t bytes, bool *more) {
    TRY(state_writable(db));
    nacre_status status = maintain_step(db, bytes, more);
    if (db->data.broken) db->poisoned = true;
    return status;
}

/* ---- compaction ---- */

/* A copy of a segment's description whose extents from `end` on are moved to lower ones where there are
 * room. Blocks are seeded with the segment's id, not with their place: bytes are copied. */
static nacre_status compact_move(Db *db, const Segment *from, size_t end, uint8_t *buffer, Segment **out) {
    Env *env = &db->env;
    Segment *to = NULL;
    nacre_status status = NACRE_OK;
    TRY(segment_alloc(&db->io, from->id, &to));
    to->page_size = from->page_size;
    to->meta_offset = from->meta_offset, to->meta_size = from->meta_size, to->meta_checksum = from->meta_checksum;
    to->rows = from->rows, to->deletes = from->deletes, to->first_expiry = from->first_expiry;
    TRY_OUT(segment_set_keys(to, segment_first_key(from), segment_last_key(from)));
    for (int k = 0; k < STREAM_COUNT; k++) {
        const Stream *stream = &from->streams[k];
        to->streams[k].size = stream->size;
        for (size_t i = 0; i < stream->extents.count; i++) {
            uint32_t extent = stream->extents.items[i];
            if (extent >= end && db->map.lowest < extent) {
                uint32_t lower = 0;
                TRY_OUT(extent_map_take(&db->map, &lower));
                uint64_t at = (uint64_t)i * EXTENT_SIZE, left = stream->size - at;
                size_t size = left < EXTENT_SIZE ? (size_t)left : EXTENT_SIZE;
                TRY_OUT(extent_list_add(env, &to->streams[k].extents, lower));
                TRY_OUT(data_read(&db->data, &stream->extents, at, buffer, size));
                TRY_OUT(data_write(&db->data, &to->streams[k].extents, at, buffer, size));
            } else {
                TRY_OUT(extent_list_add(env, &to->streams[k].extents, extent));
            }
        }
    }
    *out = to;
    to = NULL;
out:
    segment_release(to);
    return status;
}

static bool compact_needs_move(const Segment *segment, size_t end) {
    for (int k = 0; k < STREAM_COUNT; k++)
        for (size_t i = 0; i < segment->streams[k].extents.count; i++)
            if (segment->streams[k].extents.items[i] >= end) return true;
    return false;
}

/* Moves what lies beyond the size that the file should have into holes before it. */
static nacre_status compact_pack(Db *db, bool *packed) {
    Env *env = &db->env;
    *packed = true;
    Version *next = NULL;
    size_t end = 1 + (size_t)(version_bytes(db->version) / EXTENT_SIZE);
    uint8_t *buffer = env_alloc(env, EXTENT_SIZE);
    nacre_status status = NACRE_OK;
    if (!buffer) return NACRE_RESOURCE_EXHAUSTED;
    extent_map_recount(&db->map);
    while (db->map.lowest < db->map.count && db->map.marks[db->map.lowest]) db->map.lowest++;
    TRY_OUT(version_copy(db->version, &next));
    for (size_t i = 0; i < version_run_count(next); i++)
        for (size_t s = 0; s < version_run_at(next, i)->count; s++) {
            Segment **place = &version_run_at(next, i)->segments[s], *moved = NULL;
            if (!compact_needs_move(*place, end)) continue;
            TRY_OUT(compact_move(db, *place, end, buffer, &moved));
            *packed = false;
            segment_release(*place);
            *place = moved;
        }
    Version *taken = next;
    next = NULL;
    TRY_OUT(commit_version(db, taken, db->durable[0].superblock.flushed_lsn));
out:
    version_release(next);
    env_free(env, buffer, EXTENT_SIZE);
    if (status != NACRE_OK && !db->poisoned) commit_recount(db); /* what was taken in vain is free again */
    return status;
}

/* Would a merge of everything make the file smaller, or searches faster? */
static nacre_status compact_worthwhile(Db *db, bool *worthwhile) {
    const Version *version = db->version;
    *worthwhile = version->count > 1 || db->indexes_damaged || (db->dropped_count > 0 && !db->dropped_clean);
    if (*worthwhile || version->count == 0) return NACRE_OK;
    const Run *run = &version->runs[0];
    *worthwhile = run->above_size > 0;
    for (size_t s = 0; s < run->count && !*worthwhile; s++) {
        const Segment *segment = run->segments[s];
        *worthwhile = segment->deletes || (segment->first_expiry && segment->first_expiry <= state_now(db));
    }
    return *worthwhile ? NACRE_OK : vectors_want_lists(db, run, worthwhile);
}

/* Bytes of all files, and rows of segments without those of the catalog. */
static nacre_status compact_measure(Db *db, uint64_t *bytes, uint64_t *rows) {
    uint64_t log = 0;
    nacre_status status = db->env.vfs->size(db->data.file, bytes);
    if (status != NACRE_OK) return env_fail_vfs(&db->env, status, "data file");
    for (int i = 0; i < 2; i++) {
        TRY(wal_size(&db->logs[i], &log));
        *bytes += log;
    }
    *rows = 0;
    for (size_t i = 0; i < db->version->count; i++)
        for (size_t s = 0; s < db->version->runs[i].count; s++) {
            Segment *segment = db->version->runs[i].segments[s];
            Section catalog;
            CacheEntry *pin = NULL;
            *rows += segment->rows;
            if (get_u32_be(segment->first_key) != 0) continue;
            TRY(segment_pin_meta(segment, &pin));
            if (segment_find_section(segment, 0, &catalog)) *rows -= catalog.rows;
            cache_unpin(&db->cache, pin);
        }
    return NACRE_OK;
}

nacre_status db_compact(Db *db, nacre_compact_report *report) {
    nacre_compact_report done = {0, 0, 0};
    TRY(state_writable(db));
    TRY(compact_measure(db, &done.before, &done.rows));
    TRY(db_checkpoint(db));
    bool worthwhile = false;
    TRY(compact_worthwhile(db, &worthwhile));
    if (worthwhile) {
        nacre_status status = maintain_merge_all(db);
        if (status == NACRE_QUOTA && !db->poisoned) status = maintain_reclaim(db);
        TRY(status);
    }
    db->dropped_clean = true;
    db->indexes_damaged = false;
    /* Twice: the extents of the state before last are free only when both superblocks
     * have moved on; then move, and twice again. */
    TRY(commit_again(db));
    TRY(commit_again(db));
    bool packed = false;
    for (int round = 0; !packed && round < COMPACT_ROUNDS; round++) {
        TRY(compact_pack(db, &packed));
        TRY(commit_again(db));
        TRY(commit_again(db));
    }
    TRY(commit_truncate(db, true));
    TRY(log_release(db));
    TRY(compact_measure(db, &done.after, &done.rows));
    if (report) *report = done;
    return NACRE_OK;
}
