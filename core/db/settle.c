/* settle.c - what held snapshots see of old memtables goes to the file when memory is short,
 * so that holding snapshots never stops writing. Knows nothing of when a memtable is frozen.
 *
 * 1. A memtable that is neither active nor frozen is in segments already, of newer states:
 *    only snapshots (and cursors) keep it. Its rows as of each of theirs become private runs
 *    (ingest.h) in front of a copy of the snapshot's Version, which the snapshot then has
 *    instead. No log and no manifest knows them: a crash, or the release, leaves free extents.
 * 2. A snapshot's older memtable goes first, for its rows stand behind those of the newer.
 * 3. The states of one memtable that snapshots see, by rising stamp, are numbered from 1.
 *    Run i has the rows written after state i - (i & -i), up to state i: state i is then the
 *    runs i, i - (i & -i), ... down to 0 (a Fenwick tree). Each state is one run written and
 *    few runs read, and a row is written at most log2(states) + 1 times, not once per state.
 * 4. All snapshots of a memtable settle, or, where anything fails, none. Where they see so many
 *    states that the lists of them would take more memory than the memtable, only those settle
 *    that were opened after it was frozen and see all of it: the next one is free of it then. */
#include "db/ingest.h"

#include "db/state.h"
#include "memtable/mem_iter.h"

enum { SETTLE_NO_RUN = -1, SETTLED_SEGMENT = 1024 /* bytes of memory, about */ };

typedef struct SettledSnapshot {
    Snapshot *snapshot;
    uint32_t stamp;
    uint32_t state;   /* rule 3; 0: it sees nothing of the memtable */
    Version *version; /* what it will have: a reference */
} SettledSnapshot;

typedef struct SettledState {
    uint32_t stamp;
    int64_t run; /* which of the runs written */
} SettledState;

typedef struct Settle {
    Db *db;
    const Memtable *table;
    bool whole_only;            /* only snapshots opened after it was frozen (rule 4) */
    SettledSnapshot *snapshots; /* oldest first: stamps rise, equal versions are neighbours */
    size_t count;
    SettledState *states; /* [0] is unused */
    uint32_t state_count;
    Ingest *ingest;
    int64_t runs;
} Settle;

static uint64_t settle_table_bytes(const Memtable *table) { return table->capacity + memtable_node_bytes(table); }

/* The memtable that a snapshot can settle next (rule 2); NULL: none. */
static Memtable *settle_table_of(const Db *db, const Snapshot *snapshot) {
    Memtable *table = snapshot->tables[1] ? snapshot->tables[1] : snapshot->tables[0];
    return table == db->active || table == db->frozen ? NULL : table;
}

/* The oldest whose base is `from` or later. */
static Memtable *settle_oldest(const Db *db, uint64_t from) {
    Memtable *oldest = NULL;
    for (const Snapshot *s = db->snapshots; s; s = s->next) {
        Memtable *table = settle_table_of(db, s);
        if (table && table->base_lsn >= from && (!oldest || table->base_lsn < oldest->base_lsn)) oldest = table;
    }
    return oldest;
}

/* Has the snapshot this memtable, and is it to settle? */
static bool settle_wants(const Settle *settle, const Snapshot *snapshot) {
    return settle_table_of(settle->db, snapshot) == settle->table && (!settle->whole_only || snapshot->tables[1]);
}

static bool settle_same(const Settle *settle, size_t i, size_t k) {
    return settle->snapshots[i].state == settle->snapshots[k].state &&
           settle->snapshots[i].snapshot->version == settle->snapshots[k].snapshot->version;
}

/* Who has the memtable, and which states of it they see. */
static nacre_status settle_gather(Settle *settle) {
    Db *db = settle->db;
    for (const Snapshot *s = db->snapshots; s; s = s->next) settle->count += settle_wants(settle, s);
    settle->snapshots = env_alloc_zeroed(&db->env, settle->count * sizeof *settle->snapshots);
    settle->states = env_alloc_zeroed(&db->env, (settle->count + 1) * sizeof *settle->states);
    if (!settle->snapshots || !settle->states) return NACRE_RESOURCE_EXHAUSTED;
    size_t at = settle->count;
    uint32_t last = memtable_stamp(settle->table, settle->table->last_lsn);
    for (Snapshot *s = db->snapshots; s; s = s->next) { /* newest first */
        if (!settle_wants(settle, s)) continue;
        uint32_t stamp = memtable_stamp(settle->table, s->lsn);
        settle->snapshots[--at] = (SettledSnapshot){.snapshot = s, .stamp = stamp < last ? stamp : last};
    }
    for (size_t i = 0; i < settle->count; i++) {
        SettledSnapshot *one = &settle->snapshots[i];
        if (one->stamp > settle->states[settle->state_count].stamp)
            settle->states[++settle->state_count] = (SettledState){one->stamp, SETTLE_NO_RUN};
        ASSERT(one->stamp == settle->states[settle->state_count].stamp);
        one->state = settle->state_count;
    }
    return NACRE_OK;
}

/* Would the lists of what is in the file take less memory than the memtable does? */
static bool settle_pays(const Settle *settle) {
    uint64_t bytes = (uint64_t)settle->state_count * SETTLED_SEGMENT;
    uint32_t deep = 1;
    while (deep < 32 && settle->state_count >> deep) deep++;
    for (size_t i = 0; i < settle->count; i++) {
        const Version *version = settle->snapshots[i].snapshot->version;
        if (i > 0 && settle_same(settle, i, i - 1)) continue;
        bytes += sizeof *version + (version->count + deep) * (sizeof(Run) + 64) + version_segments(version) * 16;
    }
    return bytes < settle_table_bytes(settle->table);
}

WRAPS static nacre_status settle_write_run(Settle *settle, uint32_t state) {
    Db *db = settle->db;
    uint32_t low = settle->states[state - (state & (0 - state))].stamp;
    MemCursor cursor;
    mem_cursor_init(&cursor, settle->table, settle->states[state].stamp);
    TRY(ingest_new_run(settle->ingest));
    for (bool on = mem_cursor_first(&cursor); on; on = mem_cursor_next(&cursor)) {
        if (record_stamp(cursor.record) <= low) continue;
        Entry entry;
        mem_entry(cursor.record, &entry);
        if (db->dropped_count > 0 && maintain_dropped(db, get_u32_be(entry.key.data))) continue;
        TRY(ingest_add(settle->ingest, &entry));
    }
    TRY(ingest_end_run(settle->ingest));
    if ((int64_t)ingest_version(settle->ingest)->count > settle->runs) /* it has rows */
        settle->states[state].run = settle->runs++;
    return NACRE_OK;
}

/* Puts the runs of a state in front of all others. */
WRAPS static nacre_status settle_insert(const Settle *settle, uint32_t state, Version *into) {
    const Version *written = ingest_version(settle->ingest);
    for (size_t at = 0; state > 0; state -= state & (0 - state)) {
        if (settle->states[state].run == SETTLE_NO_RUN) continue;
        const Run *run = &written->runs[written->count - 1 - (size_t)settle->states[state].run];
        TRY(version_insert_run(into, at, run->id, run->tier));
        for (size_t s = 0; s < run->count; s++) TRY(run_append(into->env, &into->runs[at], run->segments[s]));
        at++;
    }
    return NACRE_OK;
}

static nacre_status settle_versions(Settle *settle) {
    for (size_t i = 0; i < settle->count; i++) {
        SettledSnapshot *one = &settle->snapshots[i];
        if (one->state == 0 || (i > 0 && settle_same(settle, i, i - 1))) {
            one->version = one->state == 0 ? one->snapshot->version : settle->snapshots[i - 1].version;
            version_retain(one->version);
            continue;
        }
        TRY(version_copy(one->snapshot->version, &one->version));
        TRY(settle_insert(settle, one->state, one->version));
    }
    return NACRE_OK;
}

/* Nothing here can fail. */
static void settle_apply(Settle *settle) {
    for (size_t i = 0; i < settle->count; i++) {
        SettledSnapshot *one = &settle->snapshots[i];
        Version *before = one->snapshot->version;
        int which = one->snapshot->tables[1] ? 1 : 0;
        one->snapshot->version = one->version;
        one->version = before;
        memtable_release(one->snapshot->tables[which]);
        one->snapshot->tables[which] = NULL;
    }
}

/* ingest_free counts the extents anew: what snapshots took over is pinned, the rest is free. */
static void settle_clear(Settle *settle) {
    Env *env = &settle->db->env;
    for (size_t i = 0; settle->snapshots && i < settle->count; i++) version_release(settle->snapshots[i].version);
    env_free(env, settle->snapshots, settle->count * sizeof *settle->snapshots);
    env_free(env, settle->states, (settle->count + 1) * sizeof *settle->states);
    ingest_free(settle->ingest);
}

/* *settled: it was tried, for it pays. */
static nacre_status settle_table(Db *db, const Memtable *table, bool whole_only, bool *settled) {
    Settle settle = {.db = db, .table = table, .whole_only = whole_only};
    nacre_status status = settle_gather(&settle);
    *settled = status == NACRE_OK && settle.count > 0 && settle_pays(&settle);
    if (*settled) status = ingest_begin(db, &settle.ingest);
    for (uint32_t state = 1; *settled && state <= settle.state_count && status == NACRE_OK; state++)
        status = settle_write_run(&settle, state);
    if (*settled && status == NACRE_OK) status = settle_versions(&settle);
    if (*settled && status == NACRE_OK) settle_apply(&settle);
    settle_clear(&settle);
    return status;
}

static bool settle_short(const Db *db, uint64_t bytes) {
    uint64_t cache = db->cache.bytes + db->cache.count * sizeof(CacheEntry);
    uint64_t used = db->env.memory_used > cache ? db->env.memory_used - cache : 0;
    return used + bytes > db->env.memory_budget / 4 * 3;
}

void snapshots_settle(Db *db, uint64_t bytes) {
    nacre_error error = db->env.error;
    nacre_status status = NACRE_OK;
    uint64_t from = 0;
    for (Memtable *table; status == NACRE_OK && settle_short(db, bytes) && (table = settle_oldest(db, from)) != NULL;) {
        bool settled = false;
        uint64_t base = table->base_lsn; /* it may be gone afterwards */
        status = settle_table(db, table, false, &settled);
        if (status == NACRE_OK && !settled) {
            from = base + 1;
            status = settle_table(db, table, true, &settled);
        }
        if (status == NACRE_OK) db->counters.settles += settled;
    }
    db->env.error = error; /* what was asked for goes on, and says itself when memory is out */
}
