/* stats.c - what is counted, as JSON text. Names are those of API.md's Stats. */
#include "db/state.h"
#include "host/vfs_memory.h"

#include <inttypes.h>
#include <stdio.h>

enum { STATS_ROOM = 4096 };

/* Text for a JSON string: what could end or break it is left out. */
static void stats_text(const char *from, char *to, size_t size) {
    size_t at = 0;
    for (; *from && at + 1 < size; from++)
        if ((unsigned char)*from >= 0x20 && *from != '"' && *from != '\\') to[at++] = *from;
    to[at] = 0;
}

typedef struct StatsMemory {
    uint64_t memtables, cache, files, other, total;
} StatsMemory;

static StatsMemory stats_memory(const Db *db) {
    StatsMemory m = {0};
    const Memtable *tables[2] = {db->active, db->frozen};
    for (int i = 0; i < 2; i++)
        if (tables[i]) m.memtables += tables[i]->capacity + memtable_node_bytes(tables[i]);
    m.cache = db->cache.bytes + db->cache.count * sizeof(CacheEntry) + db->cache.table_size * sizeof(CacheEntry *);
    if (db->in_memory) m.files = vfs_memory_bytes(db->own_vfs);
    m.total = db->env.memory_used + m.files;
    uint64_t known = m.memtables + m.cache + m.files;
    m.other = m.total > known ? m.total - known : 0;
    return m;
}

/* Rows that cannot be read now (damage, no memory left) are taken for live: everything else
 * can be told all the same. */
static uint64_t stats_live(Db *db) {
    uint64_t live = version_bytes(db->version);
    nacre_error error = db->env.error;
    env_clear(&db->env);
    if (space_live(db, &live) != NACRE_OK) env_clear(&db->env);
    db->env.error = error;
    return live;
}

nacre_status db_stats(Db *db, Span *json) {
    void *text = db->text;
    TRY(env_grow(&db->env, &text, &db->text_capacity, STATS_ROOM, 1));
    db->text = text;
    uint64_t size = 0, log = 0, bytes = 0;
    nacre_status status = db->env.vfs->size(db->data.file, &size);
    if (status != NACRE_OK) return env_fail_vfs(&db->env, status, "data file");
    for (int i = 0; i < 2; i++) {
        TRY(wal_size(&db->logs[i], &bytes));
        log += bytes;
    }
    uint64_t live = stats_live(db), used = (uint64_t)extent_map_used(&db->map) * EXTENT_SIZE;
    if (used > size) used = size; /* the last extent is not filled */
    StatsMemory memory = stats_memory(db);
    char message[sizeof db->recovery_message], maintenance[NACRE_ERROR_TEXT_SIZE], oldest[24] = "null";
    stats_text(db->recovery_message, message, sizeof message);
    stats_text(db->maintenance_error.code ? db->maintenance_error.text : "", maintenance, sizeof maintenance);
    const Snapshot *last = db->snapshots;
    while (last && last->next) last = last->next;
    if (last) {
        uint64_t now = db->env.vfs->now_ms(db->env.vfs->self);
        snprintf(oldest, sizeof oldest, "%" PRIu64, now > last->opened_ms ? now - last->opened_ms : 0);
    }
    uint64_t written = db->data.written + db->counters.log_bytes, user = db->counters.user_bytes ? db->counters.user_bytes : UINT64_MAX;
    const Counters *c = &db->counters;
    uint64_t tier_runs = 0;
    for (size_t i = 0; i < db->version->count; i++) tier_runs += db->version->runs[i].tier != TIER_LAST;
    int length = snprintf(
        (char *)db->text, STATS_ROOM,
        "{\"sequence\":\"%" PRIu64 "\",\"recovery\":{\"replayedFrames\":%" PRIu64 ",\"tornBytes\":%" PRIu64
        ",\"fallback\":%s%s%s%s},\"file\":{\"size\":%" PRIu64 ",\"used\":%" PRIu64
        ",\"live\":%" PRIu64 ",\"free\":%" PRIu64
        ",\"log\":%" PRIu64 "},\"memory\":{\"total\":%" PRIu64 ",\"budget\":%" PRIu64 ",\"memtables\":%" PRIu64
        ",\"cache\":%" PRIu64 ",\"files\":%" PRIu64 ",\"other\":%" PRIu64 "},\"segments\":%" PRIu64
        ",\"snapshots\":%" PRIu32 ",\"views\":%" PRIu32 ",\"oldestSnapshotMs\":%s,\"writeAmplification\":%" PRIu64 ".%03u,\"syncs\":%" PRIu64
        ",\"maintenance\":\"%s\",\"kernels\":\"%s\",\"counters\":{\"puts\":%" PRIu64 ",\"deletes\":%" PRIu64
        ",\"gets\":%" PRIu64 ",\"searches\":%" PRIu64 ",\"commits\":%" PRIu64 ",\"flushes\":%" PRIu64
        ",\"merges\":%" PRIu64 ",\"stalls\":%" PRIu64 ",\"checkpoints\":%" PRIu64 ",\"settles\":%" PRIu64 ",\"ingests\":%" PRIu64 ",\"logSyncs\":%" PRIu64 ",\"dataSyncs\":%" PRIu64
        ",\"userBytes\":%" PRIu64 ",\"logBytes\":%" PRIu64 ",\"dataBytes\":%" PRIu64 ",\"vectorsScored\":%" PRIu64
        ",\"rowsChecked\":%" PRIu64 ",\"cacheHits\":%" PRIu64 ",\"cacheMisses\":%" PRIu64 ",\"blocksRead\":%" PRIu64
        ",\"runs\":%zu,\"tierRuns\":%" PRIu64 ",\"peakMemory\":%" PRIu64 ",\"poisoned\":%d}}",
        db->last_lsn, db->replayed_frames, db->torn_bytes, db->fallback ? "true" : "false",
        message[0] ? ",\"message\":\"" : "", message, message[0] ? "\"" : "", size, used, live,
        size - used, log, memory.total, db->options.memory, memory.memtables, memory.cache,
        memory.files, memory.other, version_segments(db->version), db->snapshot_count, db->pinned_count, oldest,
        written / user, (unsigned)(written % user * 1000 / user), c->log_syncs + db->data.syncs, maintenance, db->kernels->name,
        c->puts, c->deletes, c->gets, c->searches, c->commits, c->flushes, c->merges, c->stalls, c->checkpoints, c->settles, c->ingests, c->log_syncs,
        db->data.syncs, c->user_bytes, c->log_bytes, db->data.written, c->vectors_scored, c->rows_checked,
        db->cache.hits, db->cache.misses, db->io.blocks_read, db->version->count, tier_runs, db->env.memory_peak,
        db->poisoned ? 1 : 0);
    ASSERT(length > 0 && length < STATS_ROOM);
    *json = span_of(db->text, (size_t)length);
    return NACRE_OK;
}
