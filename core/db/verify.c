/* verify.c - is all that a database consists of as it must be? One check for a database that
 * is open and for files that cannot be opened: both are looked at as a Survey.
 *
 * 1. What is looked at: superblocks, manifests, who uses which extents, logs; deep: every byte
 *    of every segment, of both states, and each row against its membrane.
 * 2. Extents that nothing uses are no problem: they are free, or a crash has left them.
 * 3. The end of the newer log that is no whole frame is no problem unless something says that
 *    it was acknowledged: rule 4 of wal_format.h. Frames that segments cover are not needed.
 * 4. Beside a writer (a reader asks) only what the reader pins is certain: problems of the rest
 *    count only when nothing has changed meanwhile. */
#include "base/checksum.h"
#include "db/feed.h"
#include "db/keycode.h"
#include "db/roster.h"
#include "db/row.h"
#include "db/survey.h"
#include "host/vfs_crypt.h"
#include "memtable/record.h"
#include "segment/run_iter.h"
#include "segment/spare.h"

#include <stdio.h>

enum { VERIFY_KEPT = 32 }; /* problems that are kept until it is clear that they count */

typedef struct VerifyKept {
    char where[120], what[240];
    uint64_t offset;
} VerifyKept;

typedef struct Verify {
    Survey *survey;
    Env *env;
    Db *db;           /* NULL: the files are not open */
    Roster roster;    /* without db */
    bool rows_known;  /* the roster is whole */
    nacre_problem *problem;
    void *self;
    uint64_t problems;
    VerifyKept *kept; /* NULL: problems count at once */
    size_t kept_count;
    uint64_t seen_lsn; /* the logs end with */
} Verify;

static void verify_report(Verify *v, const char *where, uint64_t offset, const char *what) {
    if (v->kept) {
        if (v->kept_count == VERIFY_KEPT) return;
        VerifyKept *kept = &v->kept[v->kept_count++];
        snprintf(kept->where, sizeof kept->where, "%s", where);
        snprintf(kept->what, sizeof kept->what, "%s", what);
        kept->offset = offset;
        return;
    }
    v->problems++;
    v->problem(v->self, where, offset, what);
}

/* A nacre_problem, for what reports by itself. */
static void verify_pass_on(void *self, const char *where, uint64_t offset, const char *what) {
    Verify *v = self;
    v->problem(v->self, where, offset, what);
}

/* Damage is reported and forgotten; other failures go up. */
static nacre_status verify_status(Verify *v, nacre_status status, const char *where, uint64_t offset) {
    if (status != NACRE_CORRUPT && status != NACRE_VERSION) return status;
    verify_report(v, where, offset, v->env->error.text);
    env_clear(v->env);
    return NACRE_OK;
}

/* ---- superblocks and manifests ---- */

static nacre_status verify_states(Verify *v) {
    Survey *s = v->survey;
    if (!s->data.file) verify_report(v, s->name, 0, "the file is missing");
    for (int slot = 0; slot < 2 && s->data.file; slot++) {
        const SurveyState *state = &s->states[slot];
        uint64_t offset = state->slot != SLOT_VALID ? (slot ? SUPERBLOCK_SLOT : 0) : state->offset;
        if (state->wrong[0]) verify_report(v, s->name, offset, state->wrong);
    }
    const Vfs *crypt = v->db ? v->db->crypt : s->crypt;
    const char *wrong = crypt ? vfs_crypt_problem(crypt) : NULL;
    if (wrong) verify_report(v, s->name, 0, wrong);
    const Superblock *a = &s->states[0].superblock, *b = &s->states[1].superblock;
    if (s->states[0].slot == SLOT_VALID && s->states[1].slot == SLOT_VALID &&
        (memcmp(a->database_id, b->database_id, sizeof a->database_id) != 0 || a->generation == b->generation))
        verify_report(v, s->name, SUPERBLOCK_SLOT, "the superblocks do not belong together");
    return NACRE_OK;
}

/* ---- extents ---- */

static void verify_use(Verify *v, const ExtentList *list, uint8_t *used, size_t count, const char *who) {
    for (size_t i = 0; i < list->count; i++) {
        char what[160];
        uint32_t extent = list->items[i];
        if (extent < count && !used[extent]) {
            used[extent] = 1;
            continue;
        }
        snprintf(what, sizeof what, "%s: extent %u %s", who, extent, extent < count ? "is used twice" : "is not in the file");
        verify_report(v, v->survey->name, (uint64_t)extent * EXTENT_SIZE, what);
    }
}

/* Each extent has one use, and lies in the file. */
static nacre_status verify_extents(Verify *v, const SurveyState *state) {
    Survey *s = v->survey;
    size_t count = (size_t)extents_in(s->data_size);
    char who[60] = "superblocks";
    uint8_t *used = env_alloc_zeroed(v->env, count);
    if (!used) return NACRE_RESOURCE_EXHAUSTED;
    if (count) used[0] = 1;
    snprintf(who, sizeof who, "manifest of generation %llu", (unsigned long long)state->superblock.generation);
    verify_use(v, &state->superblock.manifest, used, count, who);
    for (size_t i = 0; i < version_run_count(state->version); i++)
        for (size_t n = 0; n < version_run_at(state->version, i)->count; n++) {
            const Segment *segment = version_run_at(state->version, i)->segments[n];
            snprintf(who, sizeof who, "segment %llu", (unsigned long long)segment->id);
            for (int k = 0; k < STREAM_COUNT; k++) verify_use(v, &segment->streams[k].extents, used, count, who);
        }
    env_free(v->env, used, count);
    return NACRE_OK;
}

/* ---- logs ---- */

static const char *verify_batches(const WalPiece *piece) {
    const uint8_t *at = piece->body.data;
    size_t left = piece->body.size;
    uint64_t last = 0;
    while (left >= BATCH_HEAD) {
        size_t size = get_u32(at);
        uint64_t lsn = get_u64(at + 8), whole = 0;
        if (size < BATCH_HEAD || size > left || size % 4 || lsn <= last || lsn > piece->lsn) return "a batch that cannot be";
        size_t rest = size - BATCH_HEAD;
        const uint8_t *record = at + BATCH_HEAD;
        for (uint32_t i = 0; i < get_u32(at + 4); i++) {
            const char *problem = record_problem(record, rest, &whole);
            if (problem) return problem;
            record += whole, rest -= (size_t)whole;
        }
        if (rest) return "a batch: bytes left over";
        last = lsn;
        at += size, left -= size;
    }
    return left || last != piece->lsn ? "a frame: its batches and its LSN differ" : NULL;
}

/* `last`: what the segments, or the older log, end with; becomes what this one ends with. */
static void verify_frames(Verify *v, const SurveyLog *log, uint64_t flushed, uint64_t *last) {
    WalWalk walk = wal_walk(&log->wal, span_of(log->bytes, log->size));
    char what[200];
    for (WalPiece piece; wal_walk_next(&walk, &piece);) {
        uint64_t offset = WAL_HEAD + piece.at - piece.gap;
        bool needed = piece.lsn > flushed;
        const char *wrong = needed && piece.kind == FRAME_BATCHES ? verify_batches(&piece) : NULL;
        if (needed && piece.lsn <= *last) wrong = "a frame that is not above the one before it";
        if (wrong) verify_report(v, log->wal.name, WAL_HEAD + piece.at, wrong);
        if (piece.gap && piece.synced > *last && needed) {
            snprintf(what, sizeof what, "damaged frame; batches up to %llu were synced, found up to %llu",
                     (unsigned long long)piece.synced, (unsigned long long)*last);
            verify_report(v, log->wal.name, offset, what);
        } else if (needed && !piece.gap && piece.previous != *last && piece.previous > flushed) {
            snprintf(what, sizeof what, "batches before this frame are missing: it follows %llu, not %llu",
                     (unsigned long long)piece.previous, (unsigned long long)*last);
            verify_report(v, log->wal.name, offset, what);
        } else if (needed && piece.gap) {
            break; /* the torn end of what was never synced */
        }
        if (needed) *last = piece.lsn;
    }
}

static void verify_header(Verify *v, const SurveyLog *log, const Superblock *superblock) {
    if (log->wrong[0]) verify_report(v, log->wal.name, 0, log->wrong);
    if (log->wal.state != WAL_VALID) return;
    for (int copy = 0; copy < 2; copy++)
        if (!log->good[copy]) verify_report(v, log->wal.name, copy ? WAL_HEADER_COPY : 0, "a header is damaged");
    if (!superblock) return;
    if (memcmp(log->wal.header.database_id, superblock->database_id, sizeof superblock->database_id) != 0)
        verify_report(v, log->wal.name, 0, "the log of another database");
    if (log->wal.header.base_lsn > superblock->flushed_lsn)
        verify_report(v, log->wal.name, 0, "the superblock is older than the log");
}

static nacre_status verify_logs(Verify *v) {
    Survey *s = v->survey;
    const SurveyState *newest = survey_newest(s);
    uint64_t flushed = newest ? newest->superblock.flushed_lsn : 0, last = flushed, synced = 0;
    for (int i = 0; i < 2; i++)
        if (s->states[i].slot == SLOT_VALID && s->states[i].superblock.synced_lsn > synced)
            synced = s->states[i].superblock.synced_lsn;
    int older = survey_older_log(s);
    for (int i = 0; i < 2; i++) {
        const SurveyLog *log = &s->logs[i ? 1 - older : older];
        verify_header(v, log, newest ? &newest->superblock : NULL);
        if (log->wal.state == WAL_VALID) verify_frames(v, log, flushed, &last);
    }
    if (last < synced && newest) {
        char what[160];
        snprintf(what, sizeof what, "rows up to %llu were durable, but segments and logs end with %llu",
                 (unsigned long long)synced, (unsigned long long)last);
        verify_report(v, s->logs[1 - older].wal.name ? s->logs[1 - older].wal.name : s->name, 0, what);
    }
    v->seen_lsn = last;
    return NACRE_OK;
}

/* ---- segments ---- */

static nacre_status verify_segment(Verify *v, Segment *segment, bool deep) {
    CacheEntry *pin = NULL;
    const char *wrong = NULL;
    char where[160];
    snprintf(where, sizeof where, "%.100s: segment %llu", v->survey->name, (unsigned long long)segment->id);
    uint64_t place = segment_place(segment, STREAM_ROWS, segment->meta_offset);
    nacre_status status = segment_pin_meta(segment, &pin);
    if (status == NACRE_OK) {
        status = segment_check_spare(segment, &wrong);
        cache_unpin(v->survey->io.cache, pin);
        if (wrong) verify_report(v, where, place, wrong);
        if (status == NACRE_OK && deep) return segment_verify(segment, verify_pass_on, v, &v->problems);
    }
    return verify_status(v, status, where, place);
}

/* What is known of a membrane. *known false: it never was. NULL: dropped, or not known. */
static const Schema *verify_schema(Verify *v, uint32_t id, bool *known) {
    *known = true;
    if (v->db) {
        Membrane *membrane = catalog_by_id(v->db, id);
        *known = membrane || maintain_dropped(v->db, id);
        return membrane ? &membrane->schema : NULL;
    }
    const RosterEntry *entry = roster_find(&v->roster, id);
    *known = entry || !v->rows_known;
    return entry && !entry->dropped ? &entry->schema : NULL;
}

/* Is the row what its membrane takes? Values that lie apart are left out: they have checksums. */
static const char *verify_row(Verify *v, const Entry *entry) {
    bool known;
    uint32_t id = get_u32_be(entry->key.data);
    if (id == 0) return NULL;
    const Schema *schema = verify_schema(v, id, &known);
    if (!known) return "a row of a membrane that never was";
    if (!schema) return NULL;
    if (!key_check(schema, span_of(entry->key.data + 4, entry->key.size - 4))) return "a key that its membrane does not take";
    if (entry->flags & ENTRY_DELETE) return NULL;
    if ((schema->kind == NACRE_COLLECTION) != ((entry->flags & ENTRY_VECTOR) != 0))
        return "a vector that is missing or not wanted";
    if (schema->kind == NACRE_KV || (entry->flags & ENTRY_BLOB)) return NULL;
    nacre_status status = row_check(v->env, schema, entry->value);
    env_clear(v->env);
    return status == NACRE_INVALID_ARGUMENT ? "fields that its membrane does not take" : NULL;
}

static nacre_status verify_run_rows(Verify *v, const Run *run) {
    Iter *iter = NULL;
    TRY(run_iter_open(&v->survey->io, run->segments, run->count, (Span){NULL, 0}, false, &iter));
    nacre_status status = iter->verbs->seek(iter, (Span){NULL, 0});
    for (uint64_t row = 0; status == NACRE_OK && iter->valid; row++) {
        Entry entry;
        iter->verbs->entry(iter, &entry);
        const char *wrong = verify_row(v, &entry);
        char where[160];
        snprintf(where, sizeof where, "%.100s: run %llu", v->survey->name, (unsigned long long)run->id);
        if (wrong) verify_report(v, where, row, wrong);
        status = iter->verbs->next(iter);
    }
    iter->verbs->close(iter);
    return status;
}

static nacre_status verify_rows(Verify *v, const Version *version) {
    for (size_t i = 0; i < version->count; i++) {
        nacre_status status = verify_run_rows(v, &version->runs[i]);
        if (status != NACRE_CORRUPT && status != NACRE_VERSION) TRY(status);
        else env_clear(v->env); /* damage was told of with its segment */
    }
    return NACRE_OK;
}

/* `besides`: segments that are in it too were looked at already. */
static nacre_status verify_version(Verify *v, const Version *version, const Version *besides, bool deep) {
    for (size_t i = 0; i < version_run_count(version); i++)
        for (size_t n = 0; n < version_run_at(version, i)->count; n++) {
            Segment *segment = version_run_at(version, i)->segments[n];
            if (!besides || !version_find_segment(besides, segment)) TRY(verify_segment(v, segment, deep));
        }
    return NACRE_OK;
}

/* ---- a database that is open ---- */

/* The parts of it that a Survey has. What it lends is not closed with it. */
static nacre_status verify_borrow(Verify *v, Survey *s) {
    Db *db = v->db;
    *s = (Survey){.env = &db->env, .lent = true, .name = db->name, .data = db->data, .io = db->io};
    for (int i = 0; i < 2; i++) s->log_names[i] = db->log_names[i], s->logs[i].wal = db->logs[i];
    nacre_status status = db->env.vfs->size(db->data.file, &s->data_size);
    if (status != NACRE_OK) return env_fail_vfs(&db->env, status, "data file");
    return survey_look(s);
}

/* Superblocks, manifests and logs, as they are on the disk. */
static nacre_status verify_files_of(Verify *v) {
    TRY(verify_states(v));
    for (int i = 0; i < 2; i++)
        if (v->survey->states[i].whole) TRY(verify_extents(v, &v->survey->states[i]));
    return verify_logs(v);
}

static void verify_keep(Verify *v, bool count) {
    VerifyKept *kept = v->kept;
    v->kept = NULL;
    for (size_t i = 0; i < v->kept_count && count; i++)
        verify_report(v, kept[i].where, kept[i].offset, kept[i].what);
    env_free(v->env, kept, VERIFY_KEPT * sizeof *kept);
}

static nacre_status verify_open_files(Verify *v, bool deep) {
    Db *db = v->db;
    Survey survey;
    v->survey = &survey;
    nacre_status status = verify_borrow(v, &survey);
    if (status == NACRE_OK && db->readonly && !(v->kept = env_alloc(v->env, VERIFY_KEPT * sizeof *v->kept)))
        status = NACRE_RESOURCE_EXHAUSTED;
    if (status == NACRE_OK) status = verify_files_of(v);
    if (v->kept) verify_keep(v, status == NACRE_OK && reader_is_current(db));
    if (status == NACRE_OK) status = verify_version(v, db->version, NULL, deep);
    /* What only the state before refers to is nobody's, when a writer elsewhere moves on. */
    for (int i = 0; i < 2 && status == NACRE_OK && !db->readonly; i++)
        if (survey.states[i].whole) status = verify_version(v, survey.states[i].version, db->version, deep);
    if (status == NACRE_OK && deep) status = verify_rows(v, db->version);
    if (status == NACRE_OK && deep) status = verify_status(v, feed_verify(db), db->name, 0);
    survey_look_away(&survey);
    return status;
}

nacre_status db_verify(Db *db, bool deep, nacre_problem *problem, void *self, uint64_t *problems) {
    Verify v = {.env = &db->env, .db = db, .problem = problem, .self = self};
    TRY(verify_open_files(&v, deep));
    *problems = v.problems;
    return NACRE_OK;
}

/* ---- files that are not open ---- */

/* The catalog, from the manifest's copy: its rows are checked with all others. */
static nacre_status verify_roster(Verify *v, const SurveyState *state) {
    v->roster.env = v->env;
    return roster_add_copy(&v->roster, state->catalog);
}

static nacre_status verify_closed_files(Verify *v, bool deep) {
    Survey *s = v->survey;
    SurveyState *newest = survey_newest(s), *other = newest == &s->states[0] ? &s->states[1] : &s->states[0];
    TRY(verify_files_of(v));
    if (!newest) return NACRE_OK;
    TRY(verify_roster(v, newest));
    TRY(verify_version(v, newest->version, NULL, deep));
    if (other->whole) TRY(verify_version(v, other->version, newest->version, deep));
    return deep ? verify_rows(v, newest->version) : NACRE_OK;
}

nacre_status verify_files(const char *path, const nacre_options *options, bool deep, nacre_problem *problem, void *self,
                          uint64_t *problems, nacre_error *error) {
    Survey survey;
    TRY(survey_open(&survey, path, options, error));
    Verify v = {.env = survey.env, .survey = &survey, .problem = problem, .self = self};
    nacre_status status = verify_closed_files(&v, deep);
    if (status == NACRE_OK) *problems = v.problems;
    else if (error) *error = survey.env->error;
    roster_clear(&v.roster);
    survey_close(&survey);
    return status;
}
