/* maintain.c - flushes and merges, in steps that writes pay for. There is no thread:
 * a job's whole state lies in its Job, and a step may end after any row.
 *
 * Policy: lazy-leveled (Dayan and Idreos, "Dostoevsky", SIGMOD 2018): tiers of runs
 * above, one last level. TIER_RUNS adjacent runs of a tier become one of the next tier;
 * once the tiers hold LAST_LEVEL_RATIO of the last level, they and everything older
 * become the last level. A merge commits after each segment it has written, and gives
 * its inputs back from the left, so that it needs room for a few segments only and an
 * interrupted one has lost at most one. */
#include "db/feed.h"
#include "db/ingest.h"
#include "db/vectors.h"

#include "memtable/mem_iter.h"
#include "segment/run_iter.h"

bool maintain_dropped(const Db *db, uint32_t membrane) {
    size_t low = 0, high = db->dropped_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (db->dropped_ids[middle] == membrane) return true;
        if (db->dropped_ids[middle] < membrane) low = middle + 1;
        else high = middle;
    }
    return false;
}

static void job_clear(Db *db, Job *job) {
    training_free(db, job->training);
    if (job->merging) merge_clear(&job->merge);
    if (job->writing) segment_writer_clear(&job->writer);
    for (size_t i = 0; i < job->finished_count; i++) {
        for (int k = 0; k < STREAM_COUNT; k++)
            extent_map_give_back(&db->map, &job->finished[i]->streams[k].extents);
        segment_release(job->finished[i]);
    }
    env_free(&db->env, job->finished, job->finished_capacity * sizeof *job->finished);
    env_free(&db->env, job->last_key, job->last_key_capacity);
    *job = (Job){0};
}

void maintain_abort(Db *db) {
    for (int i = 0; i < JOB_COUNT; i++) job_clear(db, &db->jobs[i]);
}

/* ---- one job ---- */

nacre_status maintain_close_segment(Db *db, Job *job) {
    if (!job->writing) return NACRE_OK;
    void *finished = job->finished;
    TRY(env_grow(&db->env, &finished, &job->finished_capacity, job->finished_count + 1, sizeof(Segment *)));
    job->finished = finished;
    TRY(segment_writer_finish(&job->writer, &job->finished[job->finished_count]));
    job->finished_count++;
    job->writing = false;
    return NACRE_OK;
}

/* The segments of `job` join a run of `version` at `at`. */
static nacre_status job_append(Db *db, Job *job, Version *version, size_t at) {
    for (size_t i = 0; i < job->finished_count; i++)
        TRY(run_append(&db->env, &version->runs[at], job->finished[i]));
    return NACRE_OK;
}

static void job_forget_finished(Job *job) {
    for (size_t i = 0; i < job->finished_count; i++) segment_release(job->finished[i]);
    job->finished_count = 0;
}

static nacre_status flush_commit(Db *db, Job *job) {
    Version *next = NULL;
    TRY(version_copy(db->version, &next));
    nacre_status status = NACRE_OK;
    size_t rows = job->feed.begun ? job->feed.first : job->finished_count;
    if (rows) status = version_insert_run(next, 0, job->output, 0);
    for (size_t i = 0; i < rows && status == NACRE_OK; i++)
        status = run_append(&db->env, &next->runs[0], job->finished[i]);
    if (status == NACRE_OK) status = feed_flush_commit(db, job, next);
    if (status != NACRE_OK) {
        version_release(next);
        return status;
    }
    TRY(commit_version(db, next, db->frozen->last_lsn));
    job_forget_finished(job);
    feed_flushed(db, db->frozen->last_lsn);
    db->log_covered[db->frozen->log] = db->durable[0].superblock.generation;
    memtable_release(db->frozen);
    db->frozen = NULL;
    db->counters.flushes++;
    return NACRE_OK;
}

/* Commits what a merge has written so far: the inputs begin behind last_key now. */
static nacre_status merge_commit(Db *db, Job *job) {
    Version *next = NULL;
    TRY(version_copy(db->version, &next));
    nacre_status status = NACRE_OK;
    size_t at = version_find_run(next, job->output);
    if (at == next->count && job->finished_count) {
        for (at = 0; at < next->count && next->runs[at].id != job->inputs[0]; at++) {}
        TRY_OUT(version_insert_run(next, at, job->output, job->tier));
    }
    if (job->finished_count) TRY_OUT(job_append(db, job, next, at));
    for (size_t i = 0; i < job->input_count; i++) {
        size_t input = version_find_run(next, job->inputs[i]);
        if (input == next->count) continue; /* used up by an earlier commit */
        if (!job->done) TRY_OUT(run_trim(&db->env, &next->runs[input], span_of(job->last_key, job->last_key_size)));
        if (job->done || next->runs[input].count == 0) version_remove_run(next, input);
    }
    Version *taken = next;
    next = NULL;
    TRY_OUT(commit_version(db, taken, db->durable[0].superblock.flushed_lsn));
    job_forget_finished(job);
    if (db->reclaiming) TRY_OUT(commit_again(db)); /* what the inputs gave back is free at once */
    if (commit_truncate(db, false) != NACRE_OK) env_clear(&db->env); /* space given back late is no failure */
out:
    version_release(next);
    return status;
}

/* A row whose time is over goes on as a deletion: older ones of its key stay hidden. */
static bool job_keeps(Db *db, const Job *job, Entry *entry) {
    if ((entry->flags & ENTRY_EXPIRES) && state_gone(db, entry))
        *entry = (Entry){.key = entry->key, .flags = ENTRY_DELETE};
    if (job->bottom && (entry->flags & ENTRY_DELETE)) return false;
    if (entry->key.size < 4) return true; /* the writer says what is wrong */
    return db->dropped_count == 0 || !maintain_dropped(db, get_u32_be(entry->key.data));
}

static nacre_status job_remember_key(Db *db, Job *job, Span key) {
    void *last = job->last_key;
    TRY(env_grow(&db->env, &last, &job->last_key_capacity, key.size + 1, 1));
    job->last_key = last;
    memcpy(job->last_key, key.data, key.size);
    job->last_key_size = key.size;
    return NACRE_OK;
}

/* A value so large has a segment to itself (segment_format.h, rule 10). Where it has one already
 * that is taken over as it is: *written says whether anything was copied. */
static nacre_status job_solo_row(Db *db, Job *job, const Entry *entry, bool *written) {
    TRY(maintain_close_segment(db, job));
    *written = !(entry->segment && segment_is_solo(entry->segment) && entry->blob.pieces);
    if (*written) {
        segment_writer_init(&job->writer, &db->io, &db->map, db->ids.next_segment++);
        job->writing = true;
        TRY(segment_writer_add(&job->writer, entry));
        return maintain_close_segment(db, job);
    }
    void *finished = job->finished;
    TRY(env_grow(&db->env, &finished, &job->finished_capacity, job->finished_count + 1, sizeof(Segment *)));
    job->finished = finished;
    job->finished[job->finished_count++] = entry->segment;
    segment_retain(entry->segment);
    return NACRE_OK;
}

static nacre_status job_row(Db *db, Job *job, uint64_t *work) {
    Entry entry;
    merge_entry(&job->merge, &entry);
    *work += entry.key.size + entry.value.size + entry.vector.size + 16;
    if ((entry.flags & ENTRY_BLOB) && !segment_is_solo(entry.segment)) *work += entry.blob.size;
    if ((entry.flags & ENTRY_VECTOR) && entry.segment) {
        const Membrane *membrane = catalog_by_id(db, get_u32_be(entry.key.data));
        *work += membrane ? schema_vector_size(&membrane->schema) : 0;
    }
    if (job_keeps(db, job, &entry)) {
        if (entry_is_solo(&entry)) {
            bool written = false;
            TRY(job_remember_key(db, job, entry.key));
            TRY(job_solo_row(db, job, &entry, &written));
            TRY(merge_next(&job->merge));
            return written && job->kind == JOB_MERGE ? merge_commit(db, job) : NACRE_OK;
        }
        if (!job->writing) {
            segment_writer_init(&job->writer, &db->io, &db->map, db->ids.next_segment++);
            job->writer.want_lists = job->tier == TIER_LAST;
            job->writing = true;
        }
        TRY(segment_writer_add(&job->writer, &entry));
        if (segment_writer_is_full(&job->writer, db->segment_size, db->vectors_size, db->segment_rows)) {
            TRY(job_remember_key(db, job, entry.key));
            TRY(merge_next(&job->merge));
            TRY(maintain_close_segment(db, job));
            if (job->kind == JOB_MERGE) TRY(merge_commit(db, job));
            return NACRE_OK;
        }
    }
    return merge_next(&job->merge);
}

/* Works until `budget` bytes are done or the job is; clears the job when it is. */
static nacre_status job_step(Db *db, Job *job, double budget, uint64_t *done_bytes) {
    uint64_t work = 0;
    nacre_status status = NACRE_OK;
    db->map.reserve = job->kind == JOB_MERGE && !db->reclaiming ? db->reserve : 0;
    if (job->training) training_step(db, &job->training, budget, &work);
    while (status == NACRE_OK && merge_valid(&job->merge) && (double)work < budget) status = job_row(db, job, &work);
    bool rows_done = status == NACRE_OK && !job->training && !merge_valid(&job->merge);
    if (rows_done && job->kind == JOB_FLUSH && !job->feed.done) status = feed_flush_step(db, job, budget, &work);
    db->map.reserve = 0;
    *done_bytes = work;
    job->credit -= (double)work;
    if (status == NACRE_OK && rows_done && (job->kind == JOB_MERGE || job->feed.done)) {
        job->done = true;
        status = maintain_close_segment(db, job);
        bool is_flush = job->kind == JOB_FLUSH;
        if (status == NACRE_OK) status = is_flush ? flush_commit(db, job) : merge_commit(db, job);
        if (status == NACRE_OK) {
            if (!is_flush) db->counters.merges++;
            job_clear(db, job);
        }
    }
    if (status != NACRE_OK) job_clear(db, job);
    if (status == NACRE_CORRUPT) db->damaged = true; /* merging it again would fail again */
    return status;
}

/* ---- starting ---- */

static nacre_status flush_start(Db *db) {
    Job *job = &db->jobs[0];
    if (job->kind) return NACRE_OK;
    Iter *iter = NULL;
    TRY(mem_iter_open(db->frozen, UINT32_MAX, &iter));
    *job = (Job){.kind = JOB_FLUSH, .rate = db->options.changes_size ? 2 * FLUSH_RATE : FLUSH_RATE, .bottom = db->version->count == 0,
                 .output = db->ids.next_run++};
    nacre_status status = merge_init(&job->merge, &db->env, &iter, 1);
    job->merging = status == NACRE_OK;
    feed_flush_begin(db, job);
    if (status == NACRE_OK) status = merge_seek(&job->merge, (Span){NULL, 0});
    if (status != NACRE_OK) job_clear(db, job);
    return status;
}

bool maintain_busy(const Db *db, uint64_t id) {
    for (int i = 1; i < JOB_COUNT; i++) {
        const Job *job = &db->jobs[i];
        if (job->kind == JOB_NONE) continue;
        if (job->output == id) return true;
        for (size_t k = 0; k < job->input_count; k++)
            if (job->inputs[k] == id) return true;
    }
    return false;
}

/* Runs [first, first + count) that do not overlap become one without being read. */
static nacre_status merge_join(Db *db, size_t first, size_t count, bool bottom, uint32_t tier, bool *joined) {
    const Version *version = db->version;
    size_t order[MERGE_INPUTS_MAX];
    *joined = false;
    for (size_t i = 0; i < count; i++) {
        const Run *run = &version->runs[first + i];
        if (run->above_size || run->count == 0) return NACRE_OK; /* a manifest may name a run of nothing */
        for (size_t s = 0; s < run->count && bottom; s++)
            if (run->segments[s]->deletes) return NACRE_OK;
        size_t at = i; /* by first key */
        for (; at > 0 && span_compare(segment_first_key(run->segments[0]),
                                      segment_first_key(version->runs[order[at - 1]].segments[0])) < 0;
             at--)
            order[at] = order[at - 1];
        order[at] = first + i;
    }
    for (size_t i = 0; i + 1 < count; i++) {
        const Run *a = &version->runs[order[i]], *b = &version->runs[order[i + 1]];
        if (span_compare(segment_last_key(a->segments[a->count - 1]), segment_first_key(b->segments[0])) >= 0)
            return NACRE_OK;
    }
    Version *next = NULL;
    TRY(version_copy(version, &next));
    nacre_status status = version_insert_run(next, first + count, db->ids.next_run++, tier);
    for (size_t i = 0; i < count && status == NACRE_OK; i++)
        for (size_t s = 0; s < next->runs[order[i]].count && status == NACRE_OK; s++)
            status = run_append(&db->env, &next->runs[first + count], next->runs[order[i]].segments[s]);
    if (status != NACRE_OK) {
        version_release(next);
        return status;
    }
    for (size_t i = 0; i < count; i++) version_remove_run(next, first);
    db->unlisted = true;
    TRY(commit_version(db, next, db->durable[0].superblock.flushed_lsn));
    *joined = true;
    return NACRE_OK;
}

static nacre_status merge_start(Db *db, Job *job, size_t first, size_t count, uint32_t tier, double rate) {
    const Version *version = db->version;
    bool bottom = first + count == version->count;
    Iter *iters[MERGE_INPUTS_MAX];
    size_t opened = 0;
    nacre_status status = NACRE_OK;
    ASSERT(count <= MERGE_INPUTS_MAX && job->kind == JOB_NONE);
    *job = (Job){.kind = JOB_MERGE, .rate = rate, .bottom = bottom, .tier = tier};
    for (size_t i = 0; i < count && status == NACRE_OK; i++) {
        const Run *run = &version->runs[first + i];
        job->inputs[job->input_count++] = run->id;
        status = run_iter_open(&db->io, run->segments, run->count, span_of(run->above, run->above_size), false,
                               &iters[opened]);
        opened += status == NACRE_OK;
    }
    job->output = db->ids.next_run++;
    if (status == NACRE_OK) {
        status = merge_init(&job->merge, &db->env, iters, opened);
        job->merging = status == NACRE_OK;
    } else {
        for (size_t i = 0; i < opened; i++) iters[i]->verbs->close(iters[i]);
    }
    if (status == NACRE_OK) status = merge_seek(&job->merge, (Span){NULL, 0});
    if (status == NACRE_OK && tier == TIER_LAST) training_begin(db, &version->runs[first], count, &job->training);
    if (status != NACRE_OK) job_clear(db, job);
    return status;
}

/* A merge that was interrupted (by a close, a crash, a fault) left its inputs with one and
 * the same bound, right behind its output, which ends with that bound: it goes on there,
 * so that short sessions, too, come to the end of long merges. */
static nacre_status merge_resume(Db *db, Job *job, bool *resumed) {
    const Version *version = db->version;
    *resumed = false;
    for (size_t i = 0; i + 1 < version->count; i++) {
        const Run *output = &version->runs[i], *next = &version->runs[i + 1];
        if (next->above_size == 0 || maintain_busy(db, output->id)) continue;
        Span above = span_of(next->above, next->above_size);
        if (!span_eq(segment_last_key(output->segments[output->count - 1]), above)) continue;
        size_t count = 0;
        bool idle = true;
        for (size_t k = i + 1; k < version->count && count < db->merge_inputs_max; k++, count++) {
            const Run *run = &version->runs[k];
            if (!span_eq(span_of(run->above, run->above_size), above)) break;
            idle &= !maintain_busy(db, run->id);
        }
        if (!idle) continue;
        uint64_t id = output->id;
        uint32_t tier = output->tier;
        TRY(merge_start(db, job, i + 1, count, tier, LAST_RATE * 2));
        job->output = id;
        *resumed = true;
        return NACRE_OK;
    }
    return NACRE_OK;
}

/* Bytes that merging a run would copy. */
static uint64_t run_cost(const Run *run) {
    uint64_t bytes = 0;
    for (size_t s = 0; s < run->count; s++)
        if (!segment_is_solo(run->segments[s])) bytes += segment_bytes(run->segments[s]);
    return bytes;
}

/* How a merge of runs [first, first + *count) is to go: into the next tier, or with all
 * that is older into the last level. */
static void merge_plan(Db *db, size_t *first, size_t *count, uint32_t *tier, double *rate) {
    const Version *version = db->version;
    uint64_t upper = 0, last = 0, input = 0;
    bool idle = true;
    for (size_t i = 0; i < version->count; i++)
        *(version->runs[i].tier == TIER_LAST ? &last : &upper) += run_cost(&version->runs[i]);
    for (size_t i = *first; i < version->count; i++) {
        idle &= !maintain_busy(db, version->runs[i].id);
        input += run_cost(&version->runs[i]);
    }
    *tier = version->runs[*first].tier + 1;
    if (*tier >= TIER_LAST) *tier = TIER_LAST - 1;
    *rate = TIER_RATE;
    /* While the last level is being written, the tiers go on among themselves. */
    if (!idle || (double)upper < LAST_LEVEL_RATIO * (double)last) return;
    double least = (double)(db->options.memtable_size * TIER_RUNS);
    double period = LAST_LEVEL_RATIO * (double)(last + upper);
    *rate = LAST_RATE * (double)input / (period > least ? period : least);
    *tier = TIER_LAST;
    *count = version->count - *first;
    if (*count > db->merge_inputs_max) {
        *first += *count - db->merge_inputs_max;
        *count = db->merge_inputs_max;
    }
}

/* What was loaded into the last level, or joined to it, was not read: once there is nothing else
 * to do with it, it is written anew with lists. */
static nacre_status merge_for_lists(Db *db, Job *job, bool *begun) {
    const Version *version = db->version;
    *begun = false;
    if (!db->unlisted || version->count == 0) return NACRE_OK;
    const Run *last = &version->runs[version->count - 1];
    if (last->tier != TIER_LAST || last->above_size || maintain_busy(db, last->id)) return NACRE_OK;
    db->unlisted = false;
    bool wanted = false;
    TRY(vectors_want_lists(db, last, &wanted));
    *begun = wanted;
    return wanted ? merge_start(db, job, version->count - 1, 1, TIER_LAST, LAST_RATE) : NACRE_OK;
}

/* Looks for TIER_RUNS adjacent idle runs of one tier, and begins what the policy says. */
static nacre_status merge_schedule(Db *db) {
    Job *job = NULL;
    for (int i = 1; i < JOB_COUNT && !job; i++)
        if (db->jobs[i].kind == JOB_NONE) job = &db->jobs[i];
    const Version *version = db->version;
    bool begun = false;
    if (!job || db->damaged) return NACRE_OK;
    TRY(merge_resume(db, job, &begun));
    if (begun) return NACRE_OK;
    TRY(merge_for_lists(db, job, &begun));
    if (begun) return NACRE_OK;
    for (size_t first = 0, same = 0; first + same < version->count;) {
        const Run *run = &version->runs[first + same];
        bool fits = run->tier != TIER_LAST && run->tier == version->runs[first].tier && !maintain_busy(db, run->id);
        if (fits && ++same < TIER_RUNS) continue;
        if (!fits) {
            first += same ? same : 1;
            same = 0;
            continue;
        }
        size_t count = TIER_RUNS;
        uint32_t tier = 0;
        double rate = 0;
        merge_plan(db, &first, &count, &tier, &rate);
        TRY(merge_join(db, first, count, first + count == version->count, tier, &begun));
        return begun ? NACRE_OK : merge_start(db, job, first, count, tier, rate);
    }
    return NACRE_OK;
}

/* Closing keeps what a merge has written, as one more small segment. */
nacre_status maintain_park(Db *db) {
    for (int i = 1; i < JOB_COUNT; i++) {
        Job *job = &db->jobs[i];
        if (job->kind == JOB_NONE || !job->writing || segment_writer_size(&job->writer) < EXTENT_SIZE) continue;
        nacre_status status = job_remember_key(db, job, segment_writer_last_key(&job->writer));
        if (status == NACRE_OK) status = maintain_close_segment(db, job);
        if (status == NACRE_OK) status = merge_commit(db, job);
        job_clear(db, job);
        TRY(status);
    }
    return NACRE_OK;
}

/* ---- faces ---- */

static nacre_status maintain_flush_once(Db *db) {
    while (db->frozen) {
        uint64_t work;
        TRY(flush_start(db));
        TRY(job_step(db, &db->jobs[0], 1e30, &work));
    }
    return NACRE_OK;
}

/* The file may not grow: merges in pieces of a few extents turn garbage into room, as far
 * as the reserve that only they may use (extents.h) lets them begin. */
nacre_status maintain_reclaim(Db *db) {
    uint64_t segment_size = db->segment_size, vectors_size = db->vectors_size;
    nacre_error error = db->env.error;
    env_clear(&db->env);
    /* Half of the reserve, and the index of the segment still fits into its last extent. */
    if (db->segment_size > (db->reserve / 2 + 1) * EXTENT_SIZE - EXTENT_SIZE / 4)
        db->segment_size = (db->reserve / 2 + 1) * EXTENT_SIZE - EXTENT_SIZE / 4;
    db->vectors_size = db->segment_size / 2; /* and its codes */
    db->reclaiming = true;
    nacre_status status = commit_again(db); /* what merges gave back is free for the first piece */
    if (status == NACRE_OK) status = maintain_merge_all(db);
    if (status == NACRE_OK) status = commit_again(db);
    if (status == NACRE_OK) status = commit_again(db);
    db->segment_size = segment_size;
    db->vectors_size = vectors_size;
    db->reclaiming = false;
    if (status == NACRE_QUOTA) db->env.error = error; /* what was asked for, and was refused */
    return status;
}

/* A file at its limit: what is in memory goes into it, and garbage out of it. Not at each
 * call: only after as much was logged as makes it worth the work. */
nacre_status maintain_make_room(Db *db) {
    uint64_t logged = db->counters.log_bytes + 1;
    if (db->reclaimed_at && logged - db->reclaimed_at < db->options.memtable_size / 4) return NACRE_OK;
    if (db->active->record_count > 0) TRY(maintain_freeze(db));
    TRY(maintain_flush(db));
    nacre_status status = maintain_reclaim(db);
    db->reclaimed_at = logged;
    if (status == NACRE_QUOTA) env_clear(&db->env);
    return status == NACRE_QUOTA ? NACRE_OK : status;
}

nacre_status maintain_flush(Db *db) {
    nacre_status status = maintain_flush_once(db);
    if (status != NACRE_QUOTA || db->poisoned || db->version->count == 0) return status;
    TRY(maintain_reclaim(db));
    return maintain_flush_once(db);
}

nacre_status maintain_freeze(Db *db) {
    if (db->frozen) {
        db->counters.stalls++;
        TRY(maintain_flush(db));
    }
    TRY(log_release(db));
    /* Before the other log is begun this one is whole on the device, so that at open a
     * gap between the two is damage and nothing else. */
    nacre_status status = wal_sync(&db->logs[db->active->log]);
    if (status != NACRE_OK) return state_poison(db, status);
    db->synced_lsn = db->last_lsn;
    snapshots_settle(db, db->options.memtable_size + memtable_node_bytes(db->active));
    Memtable *fresh = NULL;
    TRY(memtable_alloc(&db->env, (size_t)db->options.memtable_size, db->last_lsn, 1 - db->active->log, &fresh));
    db->logged_since_ms = 0;
    db->frozen = db->active;
    db->active = fresh;
    db->reserved = db->reserved_records = 0; /* what was reserved lay in the other arena */
    return NACRE_OK;
}

/* checkpoint_ms: rows that have been in the log for so long go to segments now. The memtable
 * is frozen here; what follows is done by slices. Where the other log must be emptied
 * first, this call does that, and the next one freezes. */
static nacre_status checkpoint_begin(Db *db) {
    if (!db->options.checkpoint_ms || db->frozen || db->checkpointing) return NACRE_OK;
    if (db->active->record_count == 0) { /* but a log may still wait to be emptied */
        db->logged_since_ms = 0;
        db->checkpointing = !db->log_free[1 - db->active->log];
        return NACRE_OK;
    }
    uint64_t now = db->env.vfs->now_ms(db->env.vfs->self);
    if (db->logged_since_ms == 0 || now < db->logged_since_ms) db->logged_since_ms = now ? now : 1;
    if (now - db->logged_since_ms < db->options.checkpoint_ms) return NACRE_OK;
    if (!db->log_free[1 - db->active->log]) return log_release(db);
    TRY(maintain_freeze(db));
    db->checkpointing = true;
    db->counters.checkpoints++;
    return NACRE_OK;
}

/* The end of it: its rows are in segments, and the log that had them is emptied. */
static nacre_status checkpoint_end(Db *db) {
    if (!db->checkpointing || db->frozen) return NACRE_OK;
    TRY(log_release(db));
    db->checkpointing = false;
    return NACRE_OK;
}

/* A call pays for one commit at most, with its two syncs: what else would commit, sync or
 * reset a log waits for the next call, and keeps its credit, which it spends little by little. */
static nacre_status maintain_slices(Db *db, uint64_t bytes) {
    nacre_status first = NACRE_OK;
    uint64_t commits = db->counters.commits;
    TRY(checkpoint_begin(db));
    if (db->frozen) first = flush_start(db);
    if (db->checkpointing) db->jobs[0].credit += (double)CHECKPOINT_SLICE;
    if (first == NACRE_OK && db->maintenance_error.code == NACRE_OK) first = merge_schedule(db);
    for (int i = 0; i < JOB_COUNT && !db->poisoned; i++) { /* a flush that fails does not stop the merges */
        Job *job = &db->jobs[i];
        if (job->kind == JOB_NONE) continue;
        uint64_t work;
        double share = (double)bytes * job->rate, most = CATCH_UP * share + (double)STEP_CREDIT_MIN;
        if (job->kind == JOB_FLUSH && db->checkpointing) most += (double)CHECKPOINT_SLICE;
        job->credit += share;
        nacre_status status = NACRE_OK;
        if (job->credit >= (double)STEP_CREDIT_MIN && db->counters.commits == commits)
            status = job_step(db, job, job->credit < most ? job->credit : most, &work);
        if (first == NACRE_OK) first = status;
    }
    TRY(first);
    if (db->counters.commits != commits) return NACRE_OK;
    uint32_t other = 1 - db->active->log;
    if (db->checkpointing && !db->frozen) return checkpoint_end(db);
    if (!db->frozen && !db->log_free[other] &&
        (db->durable[0].superblock.generation > db->log_covered[other] || db->active->used > db->active->capacity / 2))
        TRY(log_release(db));
    else if (db->data.unsynced >= SYNC_BYTES)
        TRY(data_sync(&db->data));
    return NACRE_OK;
}

/* What fails here was asked for by nobody: the write that paid is done. It is kept for
 * stats, and merges rest until a flush or a step succeeds. */
void maintain_after_write(Db *db, uint64_t bytes) {
    if (db->poisoned) return;
    uint64_t flushes = db->counters.flushes;
    nacre_status status = maintain_slices(db, bytes);
    if (db->data.broken) db->poisoned = true;
    if (status != NACRE_OK) db->maintenance_error = db->env.error;
    else if (db->counters.flushes > flushes) db->maintenance_error.code = NACRE_OK;
    env_clear(&db->env);
}

nacre_status maintain_step(Db *db, uint64_t bytes, bool *more) {
    db->maintenance_error.code = NACRE_OK;
    if (db->half_covered) TRY(ingest_cover(db));
    TRY(checkpoint_begin(db));
    if (db->frozen) TRY(flush_start(db));
    TRY(merge_schedule(db));
    *more = false;
    for (int i = 0; i < JOB_COUNT; i++) {
        uint64_t work = 0;
        if (db->jobs[i].kind != JOB_NONE && bytes > 0) TRY(job_step(db, &db->jobs[i], (double)bytes, &work));
        bytes = work < bytes ? bytes - work : 0;
        *more |= db->jobs[i].kind != JOB_NONE;
    }
    TRY(checkpoint_end(db));
    *more |= db->checkpointing;
    return NACRE_OK;
}

bool maintain_idle(const Db *db) {
    bool idle = !db->frozen && !db->checkpointing;
    for (int i = 0; i < JOB_COUNT; i++) idle &= db->jobs[i].kind == JOB_NONE;
    return idle;
}

nacre_status maintain_begin_last(Db *db, uint64_t most, uint64_t dearer, bool *begun) {
    uint64_t above = 0, last = 0;
    ASSERT(maintain_idle(db));
    *begun = false;
    for (size_t i = 0; i < db->version->count; i++)
        *(db->version->runs[i].tier == TIER_LAST ? &last : &above) += run_cost(&db->version->runs[i]);
    if (above == 0 || above + dearer * last > most || db->version->count > db->merge_inputs_max) return NACRE_OK;
    *begun = true;
    return merge_start(db, &db->jobs[1], 0, db->version->count, TIER_LAST, LAST_RATE);
}

static nacre_status maintain_finish_jobs(Db *db) {
    for (int i = 0; i < JOB_COUNT; i++)
        while (db->jobs[i].kind != JOB_NONE) {
            uint64_t work;
            TRY(job_step(db, &db->jobs[i], 1e30, &work));
        }
    return NACRE_OK;
}

nacre_status maintain_merge_all(Db *db) {
    db->maintenance_error.code = NACRE_OK;
    TRY(maintain_finish_jobs(db));
    for (bool all = false; !all && db->version->count > 0;) {
        size_t count = db->version->count < db->merge_inputs_max ? db->version->count : db->merge_inputs_max;
        all = count == db->version->count;
        TRY(merge_start(db, &db->jobs[1], db->version->count - count, count, TIER_LAST, 1));
        TRY(maintain_finish_jobs(db));
    }
    return NACRE_OK;
}
