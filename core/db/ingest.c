/* ingest.c - private segments, and how they become the newest rows of the database. Knows
 * nothing of where rows come from or of what may be written: that was checked before. */
#include "db/ingest.h"

#include "db/backup.h"
#include "db/feed.h"

nacre_status ingest_begin(Db *db, Ingest **out) {
    Ingest *ingest = NULL;
    TRY(state_writable(db));
    if (!(ingest = env_alloc_zeroed(&db->env, sizeof *ingest))) return NACRE_RESOURCE_EXHAUSTED;
    ingest->db = db;
    nacre_status status = version_alloc(&db->env, &db->versions, &ingest->version);
    if (status != NACRE_OK) {
        env_free(&db->env, ingest, sizeof *ingest);
        return status;
    }
    ingest->next = db->ingests;
    if (db->ingests) db->ingests->previous = ingest;
    db->ingests = ingest;
    *out = ingest;
    return NACRE_OK;
}

/* A version that nobody else reads (rule 3). */
static nacre_status ingest_own(Ingest *ingest) {
    ASSERT(ingest->version);
    if (ingest->version->references == 1) return NACRE_OK;
    Version *copy = NULL;
    TRY(version_copy(ingest->version, &copy));
    version_release(ingest->version);
    ingest->version = copy;
    return NACRE_OK;
}

nacre_status ingest_new_run(Ingest *ingest) {
    TRY(ingest_end_run(ingest));
    TRY(ingest_own(ingest));
    return version_insert_run(ingest->version, 0, ingest->db->ids.next_run++, 0);
}

static nacre_status ingest_refuse(const Ingest *ingest) {
    return env_fail(&ingest->db->env, NACRE_MISUSE, "%s: an earlier failure left rows unfinished; abort", ingest->db->name);
}

/* Bit by bit: the commit then waits for the rest only. */
static nacre_status ingest_sync(Db *db) {
    if (db->data.unsynced < SYNC_BYTES) return NACRE_OK;
    nacre_status status = data_sync(&db->data);
    return status == NACRE_OK ? NACRE_OK : state_poison(db, status);
}

static nacre_status ingest_end_segment(Ingest *ingest) {
    Db *db = ingest->db;
    Segment *segment = NULL;
    if (ingest->failed) return ingest_refuse(ingest);
    if (!ingest->writing) return NACRE_OK;
    ingest->failed = true; /* until all of it is done */
    TRY(ingest_own(ingest));
    TRY(segment_writer_finish(&ingest->writer, &segment));
    ingest->writing = false;
    nacre_status status = run_append(&db->env, &ingest->version->runs[0], segment);
    segment_release(segment);
    if (status == NACRE_OK) status = ingest_sync(db);
    ingest->failed = status != NACRE_OK;
    return status;
}

/* Memtables must still find room below the file's limit. */
static nacre_status ingest_room(Db *db) {
    if (!db->options.database_size) return NACRE_OK;
    uint64_t memory = db->active->used + (db->frozen ? db->frozen->used : 0);
    if (extent_map_used(&db->map) + 4 + memory / EXTENT_SIZE <= db->map.limit - db->reserve) return NACRE_OK;
    return env_fail(&db->env, NACRE_QUOTA, "%s: the file may have %llu bytes and is full; delete or compact to make room",
                    db->name, (unsigned long long)db->options.database_size);
}

/* A segment to write into. */
static nacre_status ingest_writer(Ingest *ingest) {
    Db *db = ingest->db;
    ASSERT(ingest->version && ingest->version->count > 0);
    if (ingest->failed) return ingest_refuse(ingest);
    ingest->failed = true; /* until what was asked for is done: nothing is left out */
    if (ingest->writing) return NACRE_OK;
    TRY(state_writable(db));
    TRY(ingest_room(db));
    segment_writer_init(&ingest->writer, &db->io, &db->map, db->ids.next_segment++);
    ingest->writing = true;
    return NACRE_OK;
}

/* A segment that is one large value is taken over as it is. */
static nacre_status ingest_adopt(Ingest *ingest, Segment *segment) {
    TRY(ingest_own(ingest));
    return run_append(&ingest->db->env, &ingest->version->runs[0], segment);
}

static nacre_status ingest_row(Ingest *ingest, const Entry *entry) {
    Db *db = ingest->db;
    bool solo = entry_is_solo(entry), streamed = (entry->flags & ENTRY_BLOB) && !entry->segment;
    if (solo && !streamed) {
        TRY(ingest_end_segment(ingest));
        if (entry->segment && segment_is_solo(entry->segment) && entry->blob.pieces)
            return ingest_adopt(ingest, entry->segment);
    }
    TRY(ingest_writer(ingest));
    TRY(segment_writer_add(&ingest->writer, entry));
    ingest->failed = false;
    bool full = segment_writer_is_full(&ingest->writer, db->segment_size, db->vectors_size, db->segment_rows);
    return solo || full ? ingest_end_segment(ingest) : NACRE_OK;
}

nacre_status ingest_add(Ingest *ingest, const Entry *entry) {
    Db *db = ingest->db;
    db->map.reserve = db->reserve;
    nacre_status status = ingest_row(ingest, entry);
    db->map.reserve = 0;
    TRY(status);
    ingest->bytes += entry->key.size - 4 + entry->value.size + entry->vector.size;
    if (entry->flags & ENTRY_BLOB) ingest->bytes += entry->blob.size;
    return NACRE_OK;
}

static nacre_status ingest_stream_bytes(Ingest *ingest, Span bytes) {
    Db *db = ingest->db;
    if (ingest->writing && ingest->writer.rows > 0) TRY(ingest_end_segment(ingest));
    TRY(ingest_writer(ingest));
    TRY(segment_writer_stream(&ingest->writer, bytes));
    ingest->failed = false;
    return ingest_sync(db);
}

nacre_status ingest_stream(Ingest *ingest, Span bytes) {
    ingest->db->map.reserve = ingest->db->reserve;
    nacre_status status = ingest_stream_bytes(ingest, bytes);
    ingest->db->map.reserve = 0;
    return status;
}

nacre_status ingest_end_run(Ingest *ingest) {
    TRY(ingest_end_segment(ingest));
    if (ingest->version->count > 0 && ingest->version->runs[0].count == 0) {
        TRY(ingest_own(ingest));
        version_remove_run(ingest->version, 0);
    }
    return NACRE_OK;
}

Span ingest_last_key(const Ingest *ingest) {
    if (ingest->writing && ingest->writer.rows > 0) return segment_writer_last_key(&ingest->writer);
    const Run *run = ingest->version->count ? &ingest->version->runs[0] : NULL;
    return run && run->count ? segment_last_key(run->segments[run->count - 1]) : (Span){NULL, 0};
}

static void ingest_forget_segment(Ingest *ingest) {
    if (ingest->writing) segment_writer_clear(&ingest->writer);
    ingest->writing = ingest->failed = false;
}

nacre_status ingest_drop_runs(Ingest *ingest, size_t count) {
    Db *db = ingest->db;
    ASSERT(ingest->version && count <= ingest->version->count);
    if (count == 0) return NACRE_OK;
    TRY(ingest_own(ingest));
    ingest_forget_segment(ingest);
    for (; count > 0; count--) version_remove_run(ingest->version, 0);
    commit_recount(db);
    return NACRE_OK;
}

/* ---- publishing ---- */

static bool segments_overlap(const Segment *a, const Segment *b) {
    return span_compare(segment_first_key(a), segment_last_key(b)) <= 0 &&
           span_compare(segment_first_key(b), segment_last_key(a)) <= 0;
}

/* Both rise: one walk. */
static bool runs_overlap(const Run *a, const Run *b) {
    for (size_t i = 0, k = 0; i < a->count && k < b->count;) {
        if (segments_overlap(a->segments[i], b->segments[k])) return true;
        if (span_compare(segment_last_key(a->segments[i]), segment_first_key(b->segments[k])) < 0) i++;
        else k++;
    }
    return false;
}

/* Segments of `run` take their places among those of `into`, which they do not overlap. */
static nacre_status run_interleave(Env *env, Run *into, const Run *run) {
    Run merged = {.id = into->id, .tier = into->tier};
    nacre_status status = NACRE_OK;
    for (size_t i = 0, k = 0; (i < into->count || k < run->count) && status == NACRE_OK;) {
        bool old = k == run->count || (i < into->count && span_compare(segment_first_key(into->segments[i]),
                                                                       segment_first_key(run->segments[k])) < 0);
        status = run_append(env, &merged, old ? into->segments[i++] : run->segments[k++]);
    }
    Run *gone = status == NACRE_OK ? into : &merged;
    for (size_t i = 0; i < gone->count; i++) segment_release(gone->segments[i]);
    env_free(env, gone->segments, gone->capacity * sizeof *gone->segments);
    if (status == NACRE_OK) *into = merged;
    return status;
}

/* Rows that overlap nothing may stand anywhere: they join the last level, and no merge ever
 * copies them upwards. Not while a merge is interrupted, whose output is told by its last key. */
static nacre_status ingest_place_last(Ingest *ingest, Version *next, bool *placed) {
    const Run *run = &ingest->version->runs[0];
    Run *last = NULL;
    size_t lasts = 0;
    bool bounded = false;
    *placed = false;
    if (ingest->version->count != 1) return NACRE_OK;
    for (size_t s = 0; s < run->count; s++)
        if (run->segments[s]->deletes) return NACRE_OK;
    for (size_t i = 0; i < next->count; i++) {
        Run *other = &next->runs[i];
        if (runs_overlap(run, other)) return NACRE_OK;
        bounded |= other->above_size > 0;
        lasts += other->tier == TIER_LAST;
        if (other->tier == TIER_LAST && !maintain_busy(ingest->db, other->id)) last = other;
    }
    bool joins = last && !bounded;
    *placed = joins || lasts < TIER_RUNS; /* more would only be merged with all that is older */
    if (!*placed) return NACRE_OK;
    if (joins) return run_interleave(next->env, last, run);
    TRY(version_insert_run(next, next->count, run->id, TIER_LAST));
    return run_interleave(next->env, &next->runs[next->count - 1], run);
}

nacre_status ingest_replace(Ingest *ingest, size_t first, size_t count, Ingest *with) {
    ASSERT(with->version && with->version->count == 1 && !with->writing && !ingest->writing);
    ASSERT(first + count <= ingest->version->count);
    const Run *run = &with->version->runs[0];
    TRY(ingest_own(ingest));
    TRY(version_insert_run(ingest->version, first + count, run->id, run->tier));
    nacre_status status = run_interleave(ingest->version->env, &ingest->version->runs[first + count], run);
    if (status != NACRE_OK) {
        version_remove_run(ingest->version, first + count);
        return status;
    }
    for (; count > 0; count--) version_remove_run(ingest->version, first);
    return NACRE_OK;
}

static nacre_status ingest_place(Ingest *ingest, Version *next) {
    bool placed = false;
    TRY(ingest_place_last(ingest, next, &placed));
    for (size_t i = 0; i < ingest->version->count && !placed; i++) {
        const Run *run = &ingest->version->runs[i];
        TRY(version_insert_run(next, i, run->id, 0));
        TRY(run_interleave(next->env, &next->runs[i], run));
    }
    return NACRE_OK;
}

/* The older superblock, too, must know the rows before the next frame is logged, which
 * follows their LSN: a fallback would not connect. */
nacre_status ingest_cover(Db *db) {
    nacre_status status = commit_again(db);
    if (status == NACRE_QUOTA && !db->poisoned) status = commit_in_place(db);
    db->half_covered = status != NACRE_OK;
    return status;
}

static void ingest_count(const Ingest *ingest) {
    Counters *counters = &ingest->db->counters;
    counters->ingests++;
    counters->user_bytes += ingest->bytes;
    for (size_t i = 0; i < ingest->version->count; i++)
        for (size_t s = 0; s < ingest->version->runs[i].count; s++) {
            const Segment *segment = ingest->version->runs[i].segments[s];
            counters->puts += segment->rows - segment->deletes;
            counters->deletes += segment->deletes;
        }
}

nacre_status ingest_publish(Ingest *ingest) {
    Db *db = ingest->db;
    Version *next = NULL;
    TRY(state_writable(db));
    TRY(ingest_end_run(ingest));
    if (ingest->version->count == 0) return NACRE_OK;
    /* Logs have no frame of what comes now: theirs must all be older, and in segments. */
    if (db->active->used > 0) TRY(maintain_freeze(db));
    TRY(maintain_flush(db));
    ASSERT(db->active->used == 0 && !db->frozen);
    TRY(archives_reserve(db));
    TRY(version_copy(db->version, &next));
    uint64_t lsn = db->last_lsn + 1;
    nacre_status status = ingest_place(ingest, next);
    if (status == NACRE_OK) status = feed_add_load(db, next, lsn, ingest->version);
    if (status == NACRE_OK) status = commit_version(db, next, lsn);
    else version_release(next);
    if (status != NACRE_OK) {
        if (!db->poisoned) commit_recount(db); /* what the archive took in vain */
        return status;
    }
    feed_loaded(db);
    db->unlisted = true;
    db->last_lsn = db->synced_lsn = db->active->last_lsn = lsn;
    db->unsynced_since_ms = 0;
    /* The log before this one may be reset only when both superblocks know all of this. */
    uint32_t other = 1 - db->active->log;
    if (db->log_covered[other]) db->log_covered[other] = db->durable[0].superblock.generation;
    ingest_count(ingest);
    archives_loaded(db, lsn, ingest->version);
    version_release(ingest->version);
    ingest->version = NULL;
    /* Where that fails the rows are there all the same; the next write tries again, first. */
    if (ingest_cover(db) != NACRE_OK) db->maintenance_error = db->env.error;
    env_clear(&db->env);
    /* Merges that are due begin, and are paid for as by a memtable of rows. */
    maintain_after_write(db, ingest->bytes < db->options.memtable_size ? ingest->bytes : db->options.memtable_size);
    feed_acknowledged(db);
    return NACRE_OK;
}

void ingest_free(Ingest *ingest) {
    if (!ingest) return;
    Db *db = ingest->db;
    ingest_forget_segment(ingest);
    bool held = ingest->version && ingest->version->count > 0;
    version_release(ingest->version);
    if (ingest->next) ingest->next->previous = ingest->previous;
    if (ingest->previous) ingest->previous->next = ingest->next;
    else db->ingests = ingest->next;
    env_free(&db->env, ingest, sizeof *ingest);
    if (held) commit_recount(db);
}

void ingests_mark(Db *db) {
    for (const Ingest *ingest = db->ingests; ingest; ingest = ingest->next)
        for (int k = 0; k < STREAM_COUNT && ingest->writing; k++)
            extent_map_mark(&db->map, &ingest->writer.streams[k].stream.extents, EXTENT_WRITING);
}

void ingests_free(Db *db) {
    while (db->ingests) ingest_free(db->ingests);
}
