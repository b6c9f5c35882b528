/* repair.c - a new database from what can be read of a damaged one.
 *
 * 1. The state is the newest manifest that is whole: of a superblock, else one that is found by
 *    itself, else what is left of a damaged one.
 * 2. Every whole frame of the logs above that state is replayed, also behind damage.
 * 3. Rows are merged as a reader would see them, newest first; what a run hides (a bound, a
 *    deletion) stays hidden. Where newer rows cannot be read, older ones stand in their place,
 *    and the range is told as a doubt.
 * 4. A row is saved when its block, its value and its vector prove themselves.
 * 5. All rows become part of the new database by one commit, at the end.
 *
 * Knows nothing of how damage came about. */
#include "db/feed_format.h"
#include "db/ingest.h"
#include "db/keycode.h"
#include "db/keytext.h"
#include "db/roster.h"
#include "db/row.h"
#include "db/state.h"
#include "db/survey.h"
#include "host/vfs_crypt.h"
#include "memtable/mem_iter.h"
#include "memtable/record.h"
#include "merge/merge.h"
#include "segment/salvage_iter.h"
#include "segment/spare.h"

#include <stdio.h>
#include <stdlib.h>

/* What a log ends with, and is no frame. */
typedef struct RepairTail {
    int log;
    size_t at, size; /* size 0: nothing */
} RepairTail;

typedef struct Repair {
    Survey survey;
    Env *env;             /* the survey's */
    SurveyState found;    /* a manifest found by itself */
    SurveyState *state;   /* NULL: there is none, and no segment is known */
    Memtable *tables[2];  /* of the logs, the newer one first; NULL: nothing was in it */
    uint64_t flushed;     /* LSN up to which the state's segments have everything */
    uint64_t last_lsn;    /* replayed, or flushed */
    RepairTail tail;      /* until something follows it */
    Roster roster;
    bool catalog_doubt;   /* rows of the catalog may be missing */
    bool copied;          /* the roster is the manifest's copy, and newer rows */
    bool telling;         /* gaps are told of: not while the catalog is read, for they come again */
    Db *db;               /* the new one */
    uint32_t *ids;        /* in the new database, of each entry of the roster; 0: not made */
    uint64_t unknown;     /* rows of membranes that nothing is known of */
    uint8_t *key, *value, *vector; /* of the row under way */
    size_t key_capacity, value_capacity, vector_capacity;
    nacre_found *hook;
    void *self;
    nacre_repair_report report;
} Repair;

/* ---- telling ---- */

static void repair_tell(Repair *r, nacre_finding finding) {
    r->report.damages += finding.kind == NACRE_FOUND_DAMAGE;
    r->report.losses += finding.kind == NACRE_FOUND_LOSS;
    r->report.doubts += finding.kind == NACRE_FOUND_DOUBT;
    if (r->hook) r->hook(r->self, &finding);
}

static void repair_tell_damage(Repair *r, const char *where, uint64_t offset, const char *what) {
    repair_tell(r, (nacre_finding){.kind = NACRE_FOUND_DAMAGE, .where = where, .offset = offset, .what = what});
}

static const RosterEntry *repair_membrane(const Repair *r, Span key) {
    const RosterEntry *entry = key.size < 4 ? NULL : roster_find(&r->roster, get_u32_be(key.data));
    return entry && !entry->dropped ? entry : NULL;
}

/* A key in words; NULL where nothing is known of its membrane. */
static const char *repair_key_text(Repair *r, Span key, char text[KEY_TEXT_SIZE]) {
    const RosterEntry *entry = repair_membrane(r, key);
    if (!entry) return NULL;
    key_text(r->env, &entry->schema, span_of(key.data + 4, key.size - 4), text);
    return text;
}

/* Rows from `from` to `to`; in several membranes where these differ. */
static void repair_tell_rows(Repair *r, nacre_finding_kind kind, const char *where, uint64_t offset, const char *what,
                             Span from, Span to) {
    char texts[2][KEY_TEXT_SIZE];
    const RosterEntry *first = repair_membrane(r, from), *last = repair_membrane(r, to);
    repair_tell(r, (nacre_finding){.kind = kind, .where = where, .offset = offset, .what = what,
                                   .membrane = first && first == last ? first->name : NULL,
                                   .from = repair_key_text(r, from, texts[0]),
                                   .to = repair_key_text(r, to, texts[1])});
}

static void repair_segment_name(const Repair *r, const Segment *segment, char *text, size_t size) {
    snprintf(text, size, "%.200s: segment %llu", r->survey.name, (unsigned long long)segment->id);
}

/* A SalvageTold: rows are lost with blocks. */
static nacre_status repair_gap(void *self, const SalvageGap *gap) {
    Repair *r = self;
    char where[240], what[260];
    uint32_t low = get_u32_be(gap->from.data), high = get_u32_be(gap->to.data);
    if (low == 0) r->catalog_doubt = true;
    if (!r->telling || low == FEED_MEMBRANE || high == 0) return NACRE_OK; /* the catalog has a copy */
    repair_segment_name(r, gap->segment, where, sizeof where);
    snprintf(what, sizeof what, "rows are lost with %llu damaged %s: %.160s", (unsigned long long)gap->count,
             gap->count == 1 ? "place" : "places", gap->what);
    repair_tell_rows(r, NACRE_FOUND_LOSS, where, gap->offset, what, gap->from, gap->to);
    repair_tell_rows(r, NACRE_FOUND_DOUBT, where, gap->offset, "older rows, or deleted ones, may stand in their place",
                     gap->from, gap->to);
    return NACRE_OK;
}

/* ---- 1: the state ---- */

static void repair_tell_states(Repair *r) {
    for (int slot = 0; slot < 2; slot++) {
        const SurveyState *state = &r->survey.states[slot];
        uint64_t offset = state->slot != SLOT_VALID ? (slot ? SUPERBLOCK_SLOT : 0) : state->offset;
        if (r->survey.data.file && state->wrong[0]) repair_tell_damage(r, r->survey.name, offset, state->wrong);
    }
    if (!r->survey.data.file) repair_tell_damage(r, r->survey.name, 0, "the file is missing");
    const char *wrong = r->survey.crypt ? vfs_crypt_problem(r->survey.crypt) : NULL;
    if (wrong) repair_tell_damage(r, r->survey.name, 0, wrong);
}

/* The damaged manifest of which most is left. */
static nacre_status repair_mend(Repair *r) {
    uint64_t most = 0;
    for (int slot = 0; slot < 2; slot++) {
        SurveyState *state = &r->survey.states[slot];
        if (state->slot != SLOT_VALID) continue;
        TRY(survey_mend(&r->survey, state));
        uint64_t segments = state->version ? version_segments(state->version) : 0;
        if (segments == 0 || (r->state && segments < most)) continue;
        if (segments == most && r->state->superblock.generation > state->superblock.generation) continue;
        r->state = state;
        most = segments;
    }
    if (!r->state) return NACRE_OK;
    const SurveyState *other = r->state == &r->survey.states[0] ? &r->survey.states[1] : &r->survey.states[0];
    bool same = false;
    if (other->slot == SLOT_VALID) TRY(survey_join(&r->survey, r->state, other, &same));
    repair_tell(r, (nacre_finding){.kind = NACRE_FOUND_LOSS, .where = r->survey.name, .offset = r->state->offset,
                                   .what = same ? "both manifests are damaged: what each names has been put together; a segment "
                                                  "that both have lost is not found, with all its rows"
                                                : "both manifests are damaged: segments that the better one does not name any "
                                                  "more are not found, with all their rows"});
    repair_tell(r, (nacre_finding){.kind = NACRE_FOUND_DOUBT, .where = r->survey.name, .offset = r->state->offset,
                                   .what = "where rows were in a segment that is not found, older or deleted ones may stand"});
    return NACRE_OK;
}

/* A manifest was found by itself. Is it the last one? */
static void repair_tell_old(Repair *r, bool contradicted) {
    nacre_finding finding = {.kind = NACRE_FOUND_DOUBT, .where = r->survey.name, .offset = r->found.offset,
                             .what = "no superblock leads to a manifest: this one, the newest that was found, may be older "
                                     "than the last"};
    repair_tell(r, finding);
    if (!contradicted) return;
    finding.kind = NACRE_FOUND_LOSS;
    finding.what = "the last manifests are lost: what was written to segments since this one is not found";
    repair_tell(r, finding);
}

static nacre_status repair_choose(Repair *r) {
    bool found = false;
    uint64_t newest = 0; /* generation of a superblock; its manifest is damaged */
    repair_tell_states(r);
    r->state = survey_newest(&r->survey);
    if (!r->state) {
        TRY(survey_find(&r->survey, &r->found, &found));
        for (int slot = 0; slot < 2; slot++)
            if (r->survey.states[slot].slot == SLOT_VALID && r->survey.states[slot].superblock.generation > newest)
                newest = r->survey.states[slot].superblock.generation;
        if (found && r->found.superblock.generation + 1 >= newest) { /* the last one, or the one before it */
            r->state = &r->found;
        } else {
            TRY(repair_mend(r));
            if (!r->state && found) r->state = &r->found;
        }
        if (r->state == &r->found) repair_tell_old(r, r->found.superblock.generation + 1 < newest);
    }
    if (!r->state)
        repair_tell(r, (nacre_finding){.kind = NACRE_FOUND_LOSS, .where = r->survey.name, .offset = 0,
                                       .what = "no manifest can be read: of the rows in segments none can be found"});
    r->flushed = r->last_lsn = r->state ? r->state->superblock.flushed_lsn : 0;
    return NACRE_OK;
}

/* ---- 2: the logs ---- */

/* Are these batches, as record_format.h says? Checked whole before any of it counts. */
static bool repair_frame_right(const WalPiece *piece, uint64_t after) {
    const uint8_t *at = piece->body.data;
    size_t left = piece->body.size;
    while (left > 0) {
        if (left < BATCH_HEAD) return false;
        size_t size = get_u32(at);
        uint32_t count = get_u32(at + 4);
        uint64_t lsn = get_u64(at + 8), record_bytes = 0;
        if (size < BATCH_HEAD || size > left || size % 4 || lsn > piece->lsn || lsn <= after) return false;
        size_t rest = size - BATCH_HEAD;
        const uint8_t *record = at + BATCH_HEAD;
        for (uint32_t i = 0; i < count; i++) {
            if (record_problem(record, rest, &record_bytes) || record_link(record) || record_stamp(record)) return false;
            record += record_bytes;
            rest -= (size_t)record_bytes;
        }
        if (rest) return false;
        after = lsn;
        at += size;
        left -= size;
    }
    return after == piece->lsn;
}

static nacre_status repair_index_frame(Repair *r, Memtable *table, const WalPiece *piece) {
    size_t at = piece->at + FRAME_HEAD, end = piece->at + piece->size;
    while (at < end) {
        const uint8_t *batch = table->arena + at;
        size_t record = at + BATCH_HEAD;
        uint64_t stamp = get_u64(batch + 8) - table->base_lsn;
        TRY(memtable_reserve(table, get_u32(batch + 4)));
        at += get_u32(batch);
        while (record < at) {
            const uint8_t *bytes = table->arena + record;
            if (stamp > UINT32_MAX || !memtable_insert(table, (uint32_t)record, (uint32_t)stamp))
                repair_tell_rows(r, NACRE_FOUND_LOSS, r->survey.log_names[table->log], WAL_HEAD + record,
                                 "a row whose key cannot be", record_key(bytes), record_key(bytes));
            record += (size_t)record_size(record_key_size(bytes), record_value_size(bytes));
        }
    }
    return NACRE_OK;
}

static void repair_tell_log_gap(Repair *r, int log, size_t at, uint64_t after, uint64_t before, bool end) {
    char what[240];
    if (end) /* it may be the torn end of what was never acknowledged */
        snprintf(what, sizeof what, "no whole frame from here to the end: batches above LSN %llu, if there were any, are lost",
                 (unsigned long long)after);
    else
        snprintf(what, sizeof what, "batches between LSN %llu and %llu are lost", (unsigned long long)after,
                 (unsigned long long)before);
    nacre_finding finding = {.kind = NACRE_FOUND_LOSS, .where = r->survey.log_names[log], .offset = WAL_HEAD + at, .what = what};
    repair_tell(r, finding);
    finding.kind = NACRE_FOUND_DOUBT;
    finding.what = "rows that they wrote may be older than they were, and rows that they deleted may be there";
    repair_tell(r, finding);
    r->catalog_doubt = true;
}

static int repair_piece_order(const void *a, const void *b) {
    const WalPiece *x = a, *y = b;
    if (x->lsn != y->lsn) return x->lsn < y->lsn ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* All whole frames, by LSN: pieces of the file may have changed places. What is behind the last
 * one waits for what the other log says. */
static nacre_status repair_pieces_of(Repair *r, int which, Span bytes, WalPiece **pieces, size_t *count, size_t *capacity) {
    WalWalk walk = wal_walk(&r->survey.logs[which].wal, bytes);
    for (WalPiece piece; wal_walk_next(&walk, &piece);) {
        void *memory = *pieces;
        TRY(env_grow(r->env, &memory, capacity, *count + 1, sizeof piece));
        *pieces = memory;
        (*pieces)[(*count)++] = piece;
    }
    if (*count > 1) qsort(*pieces, *count, sizeof **pieces, repair_piece_order);
    r->tail = (RepairTail){which, walk.at, bytes.size - walk.at};
    return NACRE_OK;
}

static nacre_status repair_piece(Repair *r, Memtable *table, const WalPiece *piece, bool *doubt) {
    const char *file = r->survey.log_names[table->log];
    uint64_t place = WAL_HEAD + piece->at;
    if (piece->lsn <= r->last_lsn) return NACRE_OK; /* in segments, or twice in the file */
    bool only_cut = piece->behind_cut && piece->gap == FRAME_HEAD + 8;
    if (only_cut) repair_tell_damage(r, file, place - piece->gap, "a cut is damaged");
    else if (piece->previous > r->last_lsn)
        repair_tell_log_gap(r, (int)table->log, piece->at - piece->gap, r->last_lsn, piece->lsn, false);
    if (piece->kind == FRAME_BATCHES && !repair_frame_right(piece, 0)) {
        repair_tell_log_gap(r, (int)table->log, piece->at, r->last_lsn, piece->lsn + 1, false);
        return NACRE_OK;
    }
    if (!piece->proved && !*doubt) {
        *doubt = true;
        repair_tell(r, (nacre_finding){.kind = NACRE_FOUND_DOUBT, .where = file, .offset = place,
                                       .what = "both headers are damaged: these rows follow one another as they must, but no "
                                               "checksum can be asked"});
    }
    if (piece->kind == FRAME_BATCHES) TRY(repair_index_frame(r, table, piece));
    r->last_lsn = table->last_lsn = piece->lsn;
    r->report.frames++;
    return NACRE_OK;
}

static nacre_status repair_replay(Repair *r, int which, Memtable **out) {
    SurveyLog *log = &r->survey.logs[which];
    Memtable *table = NULL;
    WalPiece *pieces = NULL;
    size_t count = 0, capacity = 0;
    bool doubt = false;
    TRY(memtable_alloc(r->env, log->size + 4, r->last_lsn, (uint32_t)which, &table));
    memcpy(table->arena, log->bytes, log->size);
    RepairTail before = r->tail;
    nacre_status status = repair_pieces_of(r, which, span_of(table->arena, log->size), &pieces, &count, &capacity);
    if (r->tail.size == 0 && count == 0) r->tail = before; /* nothing follows it yet */
    for (size_t i = 0; i < count && status == NACRE_OK; i++) status = repair_piece(r, table, &pieces[i], &doubt);
    env_free(r->env, pieces, capacity * sizeof *pieces);
    if (status == NACRE_OK && table->record_count > 0) {
        *out = table;
        return NACRE_OK;
    }
    memtable_release(table);
    return status;
}

static nacre_status repair_logs(Repair *r) {
    int older = survey_older_log(&r->survey);
    for (int i = 0; i < 2; i++) {
        int which = i ? 1 - older : older;
        const SurveyLog *log = &r->survey.logs[which];
        if (log->wrong[0]) repair_tell_damage(r, r->survey.log_names[which], 0, log->wrong);
        else if (!log->good[0] || !log->good[1])
            repair_tell_damage(r, r->survey.log_names[which], log->good[0] ? WAL_HEADER_COPY : 0, "a header is damaged");
        if (log->size > 0) TRY(repair_replay(r, which, &r->tables[1 - i]));
    }
    if (r->tail.size > 0) repair_tell_log_gap(r, r->tail.log, r->tail.at, r->last_lsn, 0, true);
    uint64_t synced = 0;
    for (int i = 0; i < 2; i++)
        if (r->survey.states[i].slot == SLOT_VALID && r->survey.states[i].superblock.synced_lsn > synced)
            synced = r->survey.states[i].superblock.synced_lsn;
    if (synced > r->last_lsn) {
        char what[200];
        snprintf(what, sizeof what, "batches up to LSN %llu were durable, but only those up to %llu were found",
                 (unsigned long long)synced, (unsigned long long)r->last_lsn);
        repair_tell(r, (nacre_finding){.kind = NACRE_FOUND_LOSS, .where = r->survey.name, .offset = 0, .what = what});
        r->catalog_doubt = true;
    }
    return NACRE_OK;
}

/* ---- 3: all rows, in the order of their keys ---- */

static nacre_status repair_merge(Repair *r, bool segments, Merge *merge) {
    const Version *version = r->state && segments ? r->state->version : NULL;
    size_t most = 2 + (version ? version->count : 0), count = 0;
    Iter **iters = env_alloc(r->env, most * sizeof *iters);
    if (!iters) return NACRE_RESOURCE_EXHAUSTED;
    nacre_status status = NACRE_OK;
    for (size_t i = 0; i < most && status == NACRE_OK; i++) {
        if (i < 2 && !r->tables[i]) continue;
        const Run *run = i < 2 ? NULL : &version->runs[i - 2];
        status = run ? salvage_iter_open(&r->survey.io, run->segments, run->count, span_of(run->above, run->above_size),
                                         repair_gap, r, &iters[count])
                     : mem_iter_open(r->tables[i], UINT32_MAX, &iters[count]);
        count += status == NACRE_OK;
    }
    if (status == NACRE_OK) {
        status = merge_init(merge, r->env, iters, count);
        if (status == NACRE_OK) status = merge_seek(merge, (Span){NULL, 0});
        if (status != NACRE_OK) merge_clear(merge);
    } else {
        for (size_t i = 0; i < count; i++) iters[i]->verbs->close(iters[i]);
    }
    env_free(r->env, iters, most * sizeof *iters);
    return status;
}

/* A value that lies apart, into r->value. */
static nacre_status repair_load_value(Repair *r, Entry *entry) {
    void *value = r->value;
    if (!(entry->flags & ENTRY_BLOB)) return NACRE_OK;
    TRY(segment_check_blob(entry->segment, &entry->blob));
    if (entry->blob.size > SIZE_MAX / 2) return env_fail(r->env, NACRE_CORRUPT, "a value larger than memory");
    TRY(env_grow(r->env, &value, &r->value_capacity, (size_t)entry->blob.size, 1));
    r->value = value;
    TRY(segment_read_blob(entry->segment, entry->blob, r->value));
    entry->value = span_of(r->value, (size_t)entry->blob.size);
    entry->flags &= ~(ENTRY_BLOB | ENTRY_PIECES);
    return NACRE_OK;
}

static nacre_status repair_load_vector(Repair *r, Entry *entry) {
    Segment *segment = entry->segment;
    CacheEntry *pin = NULL;
    if (!(entry->flags & ENTRY_VECTOR) || !segment) return NACRE_OK;
    nacre_status status = segment_pin_meta(segment, &pin);
    if (status == NACRE_CORRUPT || status == NACRE_IO) {
        env_clear(r->env);
        status = segment_pin_spare(segment, &pin);
    }
    TRY(status);
    Section section;
    void *vector = r->vector;
    if (!segment_find_section(segment, get_u32_be(entry->key.data), &section))
        status = env_fail(r->env, NACRE_CORRUPT, "a vector without a section");
    if (status == NACRE_OK) status = env_grow(r->env, &vector, &r->vector_capacity, section.stride, 1);
    r->vector = vector;
    if (status == NACRE_OK) status = segment_read_vector(segment, &section, entry->slot, r->vector);
    if (status == NACRE_OK) entry->vector = span_of(r->vector, section.stride);
    cache_unpin(r->survey.io.cache, pin);
    return status;
}

static bool repair_large(const Entry *entry) { return (entry->flags & ENTRY_PIECES) != 0; }

/* A value of pieces is looked through before any of it is written: a piece that is damaged is
 * known in time. Then it goes over piece by piece. */
static nacre_status repair_pieces(Repair *r, const Entry *entry, Ingest *ingest) {
    uint8_t *piece = env_alloc(r->env, PIECE_SIZE), *table = NULL;
    size_t capacity = 0;
    if (!piece) return NACRE_RESOURCE_EXHAUSTED;
    nacre_status status = segment_blob_table(entry->segment, &entry->blob, &table, &capacity);
    for (uint64_t i = 0; i < piece_count_of(entry->blob.size) && status == NACRE_OK; i++) {
        uint64_t left = entry->blob.size - i * PIECE_SIZE;
        status = segment_blob_piece(entry->segment, &entry->blob, table, i, piece);
        if (status == NACRE_OK && ingest)
            status = ingest_stream(ingest, span_of(piece, left < PIECE_SIZE ? (size_t)left : PIECE_SIZE));
    }
    env_free(r->env, piece, PIECE_SIZE);
    env_free(r->env, table, capacity);
    return status;
}

/* Is it what the schema says? A file that is made up may hold anything. */
static nacre_status repair_check(Repair *r, const RosterEntry *membrane, const Entry *entry) {
    const Schema *schema = &membrane->schema;
    bool vector = schema->kind == NACRE_COLLECTION;
    if (!key_check(schema, span_of(entry->key.data + 4, entry->key.size - 4)))
        return env_fail(r->env, NACRE_CORRUPT, "a key that its schema does not know");
    if (vector != ((entry->flags & ENTRY_VECTOR) != 0) || (vector && entry->vector.size != schema_vector_size(schema)))
        return env_fail(r->env, NACRE_CORRUPT, "a vector that its schema does not know");
    if (schema->kind == NACRE_KV) return NACRE_OK;
    nacre_status status = repair_large(entry) ? NACRE_INVALID_ARGUMENT : row_check(r->env, schema, entry->value);
    return status == NACRE_INVALID_ARGUMENT ? NACRE_CORRUPT : status;
}

/* Everything of the row, in memory or known to be there. */
static nacre_status repair_load(Repair *r, const RosterEntry *membrane, Entry *entry) {
    if (repair_large(entry)) TRY(repair_pieces(r, entry, NULL));
    else TRY(repair_load_value(r, entry));
    TRY(repair_load_vector(r, entry));
    return repair_check(r, membrane, entry);
}

/* The key in the new database. */
static nacre_status repair_rename(Repair *r, Entry *entry, uint32_t id) {
    void *key = r->key;
    TRY(env_grow(r->env, &key, &r->key_capacity, entry->key.size, 1));
    r->key = key;
    memcpy(r->key, entry->key.data, entry->key.size);
    put_u32_be(r->key, id);
    entry->key = span_of(r->key, entry->key.size);
    return NACRE_OK;
}

/* Fails with what the new database answers; its words are told. */
static nacre_status repair_failed(Repair *r, nacre_status status) {
    if (status == NACRE_OK || r->env->error.code != NACRE_OK) return status;
    return env_fail(r->env, status, "%s", r->db->env.error.text);
}

static nacre_status repair_save(Repair *r, Entry *entry, uint32_t id, Ingest *ingest) {
    if (repair_large(entry)) TRY(repair_pieces(r, entry, ingest));
    TRY(repair_rename(r, entry, id));
    entry->segment = NULL;
    return ingest_add(ingest, entry);
}

static nacre_status repair_row(Repair *r, Entry *entry, Ingest *ingest) {
    const RosterEntry *membrane = repair_membrane(r, entry->key);
    uint32_t id = membrane ? r->ids[membrane - r->roster.entries] : 0;
    Segment *segment = entry->segment;
    if (state_gone(r->db, entry)) return NACRE_OK;
    if (!membrane || id == 0) {
        const RosterEntry *known = roster_find(&r->roster, get_u32_be(entry->key.data));
        r->unknown += !r->copied && (!known || !known->dropped); /* the copy has all that lived */
        return NACRE_OK;
    }
    nacre_status status = repair_load(r, membrane, entry);
    if (status == NACRE_CORRUPT || status == NACRE_IO || status == NACRE_VERSION) {
        char where[240], what[260];
        snprintf(what, sizeof what, "the row is lost: %.220s", r->env->error.text);
        env_clear(r->env);
        repair_segment_name(r, segment ? segment : &(Segment){.id = 0}, where, sizeof where);
        uint64_t offset = !segment ? 0 : entry->flags & ENTRY_BLOB ? segment_place(segment, STREAM_BLOBS, entry->blob.offset)
                                                                   : segment_place(segment, STREAM_VECTORS, 0);
        repair_tell_rows(r, NACRE_FOUND_LOSS, segment ? where : "log", offset, what, entry->key, entry->key);
        return NACRE_OK;
    }
    TRY(status);
    status = repair_save(r, entry, id, ingest);
    r->report.rows += status == NACRE_OK;
    return repair_failed(r, status);
}

/* ---- the catalog ---- */

static nacre_status repair_catalog_row(Repair *r, Entry *entry, bool newer) {
    if (entry->flags & ENTRY_DELETE) return NACRE_OK;
    nacre_status status = repair_load_value(r, entry);
    Span key = span_of(entry->key.data + 4, entry->key.size - 4);
    if (status == NACRE_OK)
        status = newer ? roster_replace_row(&r->roster, key, entry->value) : roster_add_row(&r->roster, key, entry->value);
    if (status != NACRE_CORRUPT && status != NACRE_IO && status != NACRE_UNSUPPORTED) return status;
    repair_tell_damage(r, r->survey.name, 0, r->env->error.text);
    env_clear(r->env);
    r->catalog_doubt = true;
    return NACRE_OK;
}

/* Rows of membrane 0: of everything, or of the logs alone, over what is known already. */
static nacre_status repair_catalog_rows(Repair *r, bool logs) {
    Merge merge = {.env = NULL};
    nacre_status status = NACRE_OK;
    TRY(repair_merge(r, !logs, &merge));
    while (status == NACRE_OK && merge_valid(&merge) && get_u32_be(merge_key(&merge).data) == 0) {
        Entry entry = {.flags = 0};
        merge_entry(&merge, &entry);
        status = repair_catalog_row(r, &entry, logs);
        if (status == NACRE_OK) status = merge_next(&merge);
    }
    merge_clear(&merge);
    return status;
}

/* The manifest's copy is newer than any row in segments: where some of these are lost, others
 * that they hid may have come forth. Rows of the logs are newer than both. */
static nacre_status repair_catalog_copy(Repair *r) {
    size_t before = r->roster.count;
    r->copied = r->state && r->state->catalog.size > 0;
    if (r->copied) {
        roster_clear(&r->roster);
        before = 0;
        TRY(roster_add_copy(&r->roster, r->state->catalog));
        TRY(repair_catalog_rows(r, true));
    } else {
        for (int i = 0; i < 2; i++) TRY(roster_add_copy(&r->roster, r->survey.states[i].catalog));
    }
    if (r->roster.count > before)
        repair_tell(r, (nacre_finding){.kind = NACRE_FOUND_DOUBT, .where = r->survey.name, .offset = 0,
                                       .what = "the catalog is damaged, or may be: membranes come from the manifest's copy of "
                                               "it, and may have been renamed or dropped since"});
    return NACRE_OK;
}

static nacre_status repair_catalog(Repair *r) {
    r->roster.env = r->env;
    r->telling = false;
    TRY(repair_catalog_rows(r, false));
    r->telling = true;
    return r->catalog_doubt || !r->state || !r->state->whole ? repair_catalog_copy(r) : NACRE_OK;
}

/* ---- the new database ---- */

static nacre_status repair_make_membranes(Repair *r) {
    Roster *roster = &r->roster;
    if (!(r->ids = env_alloc_zeroed(r->env, (roster->count + 1) * sizeof *r->ids))) return NACRE_RESOURCE_EXHAUSTED;
    for (size_t i = 0; i < roster->count; i++) {
        const RosterEntry *entry = &roster->entries[i];
        Membrane *membrane = NULL;
        if (entry->dropped) continue;
        nacre_status status = db_membrane_open(r->db, span_of(entry->name, entry->name_size), &entry->schema, &membrane);
        if (status == NACRE_OK && i > 0 && membrane_id(membrane) <= r->ids[i - 1]) status = NACRE_EXISTS;
        if (status == NACRE_SCHEMA_MISMATCH || status == NACRE_WRONG_KIND || status == NACRE_EXISTS) {
            env_clear(&r->db->env); /* two membranes of one name: the copy of the catalog is old */
            repair_tell(r, (nacre_finding){.kind = NACRE_FOUND_LOSS, .where = r->survey.name, .membrane = entry->name,
                                           .what = "another membrane has the same name: its rows are left out"});
            continue;
        }
        TRY(repair_failed(r, status));
        r->ids[i] = membrane_id(membrane);
        r->report.membranes++;
    }
    return NACRE_OK;
}

static nacre_status repair_rows(Repair *r) {
    Merge merge = {.env = NULL};
    Ingest *ingest = NULL;
    TRY(repair_failed(r, ingest_begin(r->db, &ingest)));
    nacre_status status = repair_failed(r, ingest_new_run(ingest));
    bool merging = false;
    if (status == NACRE_OK) status = repair_merge(r, true, &merge);
    merging = status == NACRE_OK;
    while (status == NACRE_OK && merge_valid(&merge)) {
        Entry entry = {.flags = 0};
        merge_entry(&merge, &entry);
        uint32_t id = get_u32_be(entry.key.data);
        if (id != 0 && id != FEED_MEMBRANE) status = repair_row(r, &entry, ingest);
        if (status == NACRE_OK) status = merge_next(&merge);
    }
    if (merging) merge_clear(&merge);
    if (status == NACRE_OK) status = repair_failed(r, ingest_publish(ingest));
    ingest_free(ingest);
    return status;
}

static void repair_tell_unknown(Repair *r) {
    char what[160];
    if (r->unknown == 0) return;
    snprintf(what, sizeof what, "%llu rows are of membranes whose schema is lost", (unsigned long long)r->unknown);
    repair_tell(r, (nacre_finding){.kind = NACRE_FOUND_LOSS, .where = r->survey.name, .what = what});
}

static nacre_status repair_open(Repair *r, const char *to, const nacre_options *given) {
    nacre_options options = NACRE_OPTIONS_INIT;
    nacre_error error = {.code = NACRE_OK};
    if (given) {
        options.allocator = given->allocator;
        options.vfs = given->vfs;
        options.memory = given->memory;
        options.seed = given->seed;
        options.lock = given->lock;
        options.encryption_key = given->encryption_key;
    }
    options.mode = NACRE_CREATE;
    nacre_status status = db_open(to, &options, &r->db, &error);
    return status == NACRE_OK ? NACRE_OK : env_fail(r->env, status, "%s", error.text);
}

static nacre_status repair_all(Repair *r) {
    TRY(repair_choose(r));
    TRY(repair_logs(r));
    TRY(repair_catalog(r));
    TRY(repair_make_membranes(r));
    TRY(repair_rows(r));
    repair_tell_unknown(r);
    return NACRE_OK;
}

nacre_status repair_files(const char *from, const char *to, const nacre_options *options, nacre_found *found, void *self,
                          nacre_repair_report *report, nacre_error *error) {
    Repair r = {.hook = found, .self = self};
    TRY(survey_open(&r.survey, from, options, error));
    r.env = r.survey.env;
    nacre_status status = NACRE_OK;
    if (!to || !to[0] || strcmp(from, to) == 0)
        TRY_OUT(env_fail(r.env, NACRE_INVALID_ARGUMENT, "repair: the new database needs another name than \"%s\"", from));
    TRY_OUT(repair_open(&r, to, options)); /* first: nothing is told where it cannot be made */
    TRY_OUT(repair_all(&r));
out:
    if (r.db) {
        nacre_error closing = {.code = NACRE_OK};
        nacre_status closed = db_close(r.db, &closing);
        if (status == NACRE_OK && closed != NACRE_OK) status = env_fail(r.env, closed, "%s", closing.text);
    }
    if (status == NACRE_OK && report) *report = r.report;
    if (error) *error = r.env->error;
    if (error && status == NACRE_OK) *error = (nacre_error){.code = NACRE_OK};
    for (int i = 0; i < 2; i++) memtable_release(r.tables[i]);
    env_free(r.env, r.ids, (r.roster.count + 1) * sizeof *r.ids);
    env_free(r.env, r.key, r.key_capacity);
    env_free(r.env, r.value, r.value_capacity);
    env_free(r.env, r.vector, r.vector_capacity);
    roster_clear(&r.roster);
    survey_state_clear(&r.survey, &r.found);
    survey_close(&r.survey);
    return status;
}
