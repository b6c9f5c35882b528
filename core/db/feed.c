/* feed.c - the archive of changes: batches of a memtable that is flushed go into segments
 * of their own, as feed_format.h says. Knows nothing of what the records mean. */
#include "db/feed.h"

#include "db/backup.h"

#include "memtable/record.h"
#include "segment/run_iter.h"

enum { FEED_LOADS_MAX = 256 }; /* remembered without an archive */

uint64_t feed_limit(const Db *db) {
    return db->options.durability == NACRE_STRICT && !db->readonly ? db->synced_lsn : db->last_lsn;
}

uint64_t feed_last(const Version *version) {
    const Run *feed = &version->feed;
    return feed->count ? feed_key_lsn(segment_last_key(feed->segments[feed->count - 1])) : 0;
}

uint64_t feed_floor(const Db *db) {
    const Run *feed = &db->version->feed;
    if (feed->count) return feed_key_lsn(segment_first_key(feed->segments[0]));
    return db->readonly ? (db->frozen ? db->frozen : db->active)->base_lsn : db->feed_floor;
}

/* ---- writing ---- */

/* One row of a segment of the archive; the first one of it is preceded by its mark. */
static nacre_status feed_add(SegmentWriter *writer, uint64_t mark, uint64_t lsn, uint32_t index, Span value) {
    uint8_t key[FEED_KEY];
    if (writer->rows == 0)
        TRY(segment_writer_add(writer, &(Entry){.key = feed_key(mark, FEED_MARK, key), .value = {key, 0}}));
    return segment_writer_add(writer, &(Entry){.key = feed_key(lsn, index, key), .value = value});
}

void feed_flush_begin(const Db *db, Job *job) { job->feed = (FeedWriter){.done = db->options.changes_size == 0}; }

/* The rows' last segment ends here. */
static nacre_status feed_begin(Db *db, Job *job) {
    FeedWriter *feed = &job->feed;
    TRY(maintain_close_segment(db, job));
    feed->begun = true;
    feed->first = job->finished_count;
    feed->last = db->version->feed.count ? feed_last(db->version) : db->frozen->base_lsn;
    mem_log_init(&feed->log, db->frozen, 0);
    return NACRE_OK;
}

/* Stands on the next batch that has records, or is done. */
static nacre_status feed_next_batch(Db *db, Job *job) {
    FeedWriter *feed = &job->feed;
    const Memtable *frozen = db->frozen;
    bool full = job->writing && segment_writer_is_full(&job->writer, db->segment_size, db->vectors_size, db->segment_rows);
    if (full) TRY(maintain_close_segment(db, job));
    do {
        if (!mem_log_next(&feed->log, frozen->base_lsn, frozen->last_lsn, &feed->batch)) {
            feed->done = true;
            return maintain_close_segment(db, job);
        }
    } while (feed->batch.count == 0);
    feed->at = feed->batch.at;
    feed->index = 0;
    return NACRE_OK;
}

static nacre_status feed_write_piece(Db *db, Job *job, uint64_t *work) {
    FeedWriter *feed = &job->feed;
    const uint8_t *arena = db->frozen->arena;
    size_t end = feed->at, count = 0;
    do {
        const uint8_t *record = arena + end;
        size_t size = (size_t)record_size(record_key_size(record), record_value_size(record));
        if (count && end + size - feed->at > FEED_PIECE) break;
        end += size;
        count++;
    } while (end < feed->batch.end);
    if (!job->writing) {
        segment_writer_init(&job->writer, &db->io, &db->map, db->ids.next_segment++);
        job->writing = true;
    }
    TRY(feed_add(&job->writer, feed->last, feed->batch.lsn, feed->index, span_of(arena + feed->at, end - feed->at)));
    *work += end - feed->at;
    feed->at = end;
    feed->index += (uint32_t)count;
    if (end == feed->batch.end) feed->last = feed->batch.lsn;
    return NACRE_OK;
}

nacre_status feed_flush_step(Db *db, Job *job, double budget, uint64_t *work) {
    FeedWriter *feed = &job->feed;
    if (!feed->begun) TRY(feed_begin(db, job));
    while (!feed->done && (double)*work < budget) {
        if (feed->at == feed->batch.end) TRY(feed_next_batch(db, job));
        if (!feed->done) TRY(feed_write_piece(db, job, work));
    }
    return NACRE_OK;
}

/* Whole segments go, from the oldest on, while what stays is all that is asked for. */
static void feed_trim(Db *db, Run *feed) {
    uint64_t bytes = run_bytes(feed);
    while (feed->count > 1 && bytes - segment_bytes(feed->segments[0]) >= db->options.changes_size) {
        bytes -= segment_bytes(feed->segments[0]);
        run_remove_first(feed);
    }
}

nacre_status feed_flush_commit(Db *db, Job *job, Version *next) {
    if (db->options.changes_size == 0) { /* what follows would not be in it */
        run_clear(&db->env, &next->feed);
        return NACRE_OK;
    }
    if (next->feed.id == 0) next->feed.id = db->ids.next_run++;
    for (size_t i = job->feed.first; i < job->finished_count; i++)
        TRY(run_append(&db->env, &next->feed, job->finished[i]));
    feed_trim(db, &next->feed);
    return NACRE_OK;
}

void feed_flushed(Db *db, uint64_t lsn) {
    db->feed_floor = lsn;
    db->load_count = 0;
}

/* ---- loads ---- */

/* The membranes of these runs, each once, after those that are remembered. */
static nacre_status feed_collect(Db *db, uint64_t lsn, const Version *runs) {
    db->load_pending = 0;
    for (size_t i = 0; i < runs->count; i++)
        for (size_t s = 0; s < runs->runs[i].count; s++) {
            Segment *segment = runs->runs[i].segments[s];
            CacheEntry *pin = NULL;
            nacre_status status = NACRE_OK;
            TRY(segment_pin_meta(segment, &pin));
            for (uint32_t k = 0; k < segment->meta.section_count && status == NACRE_OK; k++) {
                FeedLoad load = {lsn, segment_section(segment, k).membrane};
                size_t at = db->load_count, end = at + db->load_pending;
                while (at < end && db->loads[at].membrane != load.membrane) at++;
                if (at < end) continue;
                void *loads = db->loads;
                status = env_grow(&db->env, &loads, &db->loads_capacity, end + 1, sizeof load);
                db->loads = loads;
                if (status == NACRE_OK) db->loads[end] = load, db->load_pending++;
            }
            cache_unpin(&db->cache, pin);
            TRY(status);
        }
    return NACRE_OK;
}

/* A segment of the archive with one row. */
static nacre_status feed_write_load(Db *db, Version *next, uint64_t lsn) {
    Env *env = &db->env;
    size_t count = db->load_pending, size = 4 * count;
    SegmentWriter writer;
    Segment *segment = NULL;
    uint8_t *ids = env_alloc(env, size);
    if (!ids) return NACRE_RESOURCE_EXHAUSTED;
    for (size_t i = 0; i < count; i++) put_u32(ids + 4 * i, db->loads[db->load_count + i].membrane);
    uint64_t mark = next->feed.count ? feed_last(next) : lsn - 1;
    segment_writer_init(&writer, &db->io, &db->map, db->ids.next_segment++);
    nacre_status status = feed_add(&writer, mark, lsn, FEED_LOAD, span_of(ids, size));
    if (status == NACRE_OK) status = segment_writer_finish(&writer, &segment);
    if (status != NACRE_OK) segment_writer_clear(&writer);
    env_free(env, ids, size);
    TRY(status);
    if (next->feed.id == 0) next->feed.id = db->ids.next_run++;
    status = run_append(env, &next->feed, segment);
    segment_release(segment);
    feed_trim(db, &next->feed);
    return status;
}

nacre_status feed_add_load(Db *db, Version *next, uint64_t lsn, const Version *runs) {
    TRY(feed_collect(db, lsn, runs));
    if (db->options.changes_size) {
        nacre_status status = db->load_pending ? feed_write_load(db, next, lsn) : NACRE_OK;
        db->load_pending = 0;
        return status;
    }
    run_clear(&db->env, &next->feed);
    return NACRE_OK;
}

void feed_loaded(Db *db) {
    db->load_count += db->load_pending;
    db->load_pending = 0;
    if (db->load_count <= FEED_LOADS_MAX) return;
    /* Too many to remember: the oldest half is history that is not kept, whole loads of it. */
    size_t gone = db->load_count / 2;
    db->feed_floor = db->loads[gone - 1].lsn;
    while (gone < db->load_count && db->loads[gone].lsn == db->feed_floor) gone++;
    db->load_count -= gone;
    memmove(db->loads, db->loads + gone, db->load_count * sizeof *db->loads);
}

/* ---- reading back ---- */

static nacre_status feed_corrupt(Db *db, uint64_t lsn, const char *what) {
    return env_fail(&db->env, NACRE_CORRUPT, "%s: archive of changes: LSN %llu: %s", db->name,
                    (unsigned long long)lsn, what);
}

static nacre_status feed_piece(Db *db, uint64_t lsn, Span value, FeedPlace *place) {
    if (value.size == 0) return feed_corrupt(db, lsn, "a piece without records");
    for (size_t at = 0; at < value.size; place->index++) {
        uint64_t size = 0;
        const char *problem = record_problem(value.data + at, value.size - at, &size);
        if (problem) return feed_corrupt(db, lsn, problem);
        at += (size_t)size;
    }
    return NACRE_OK;
}

nacre_status feed_row(Db *db, Span key, Span value, FeedPlace *place) {
    if (!feed_key_ok(key)) return feed_corrupt(db, place->lsn, "a key of another kind");
    uint64_t lsn = feed_key_lsn(key);
    uint32_t index = feed_key_index(key);
    bool mark = index == FEED_MARK, load = index == FEED_LOAD, goes_on = lsn == place->lsn && index == place->index;
    if (mark ? lsn < place->lsn || value.size : !goes_on && (lsn <= place->lsn || (index != 0 && !load)))
        return feed_corrupt(db, lsn, "a piece is missing");
    if (!goes_on) *place = (FeedPlace){lsn, 0};
    if (!mark && !load) return feed_piece(db, lsn, value, place);
    place->index = UINT64_MAX;
    return load && (value.size == 0 || value.size % 4) ? feed_corrupt(db, lsn, "a load of no membranes") : NACRE_OK;
}

nacre_status feed_check(Db *db, const Version *version, uint64_t flushed_lsn) {
    const Run *feed = &version->feed;
    uint64_t last = 0;
    for (size_t i = 0; i < feed->count; i++) {
        Span first_key = segment_first_key(feed->segments[i]), last_key = segment_last_key(feed->segments[i]);
        if (!feed_key_ok(first_key) || !feed_key_ok(last_key)) return feed_corrupt(db, last, "rows of another kind");
        if (feed_key_index(first_key) != FEED_MARK || feed_key_index(last_key) == FEED_MARK)
            return feed_corrupt(db, feed_key_lsn(first_key), "a segment without its mark");
        if (i > 0 && feed_key_lsn(first_key) != last) return feed_corrupt(db, last, "a segment is missing");
        last = feed_key_lsn(last_key);
    }
    return last <= flushed_lsn ? NACRE_OK : feed_corrupt(db, last, "it ends behind the segments");
}

nacre_status feed_verify(Db *db) {
    const Run *feed = &db->version->feed;
    Iter *iter = NULL;
    uint8_t *blob = NULL, *vector = NULL;
    size_t blob_capacity = 0, vector_capacity = 0;
    FeedPlace place = {0, UINT64_MAX};
    if (feed->count == 0) return NACRE_OK;
    TRY(run_iter_open(&db->io, feed->segments, feed->count, (Span){NULL, 0}, false, &iter));
    nacre_status status = iter->verbs->seek(iter, (Span){NULL, 0});
    while (status == NACRE_OK && iter->valid) {
        Entry entry;
        RowView row;
        iter->verbs->entry(iter, &entry);
        status = row_load(db, FEED_MEMBRANE, &entry, false, &blob, &blob_capacity, &vector, &vector_capacity, &row);
        if (status == NACRE_OK) status = feed_row(db, entry.key, row.value, &place);
        if (status == NACRE_OK) status = iter->verbs->next(iter);
    }
    iter->verbs->close(iter);
    env_free(&db->env, blob, blob_capacity);
    env_free(&db->env, vector, vector_capacity);
    return status;
}

/* ---- the hook ---- */

nacre_status db_acknowledged(const Db *db, nacre_commit_info *totals) {
    *totals = (nacre_commit_info){feed_limit(db), db->counters.puts, db->counters.deletes};
    return NACRE_OK;
}

nacre_status db_on_commit(Db *db, nacre_commit_hook *hook, void *self) {
    db->hook = hook;
    db->hook_self = self;
    db->told = (FeedTold){feed_limit(db), db->counters.puts, db->counters.deletes};
    return NACRE_OK;
}

void feed_acknowledged(Db *db) {
    uint64_t lsn = feed_limit(db);
    if (db->archives) archives_commit(db);
    if (!db->hook || lsn <= db->told.lsn) return;
    FeedTold now = {lsn, db->counters.puts, db->counters.deletes};
    nacre_commit_info commit = {lsn, now.puts - db->told.puts, now.deletes - db->told.deletes};
    db->told = now;
    db->in_hook = true;
    db->hook(db->hook_self, &commit);
    db->in_hook = false;
    env_clear(&db->env); /* of what it tried */
}

void feed_clear(Db *db) { env_free(&db->env, db->loads, db->loads_capacity * sizeof *db->loads); }
