/* inspect.c - what lies in the files, a line of JSON for each thing. Knows nothing of rows. */
#include "base/json.h"
#include "db/db.h"
#include "db/survey.h"
#include "memtable/record_format.h"
#include "segment/spare.h"

#include <stdarg.h>
#include <stdio.h>

enum { INSPECT_LINE = 1600, INSPECT_KEY = 32 };

typedef struct Inspect {
    Survey survey;
    nacre_line *line;
    void *self;
    char text[INSPECT_LINE];
    size_t size;
} Inspect;

#if defined(__GNUC__) || defined(__clang__)
__attribute__((format(printf, 2, 3)))
#endif
static void inspect_add(Inspect *i, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int size = vsnprintf(i->text + i->size, sizeof i->text - i->size, format, args);
    va_end(args);
    if (size > 0 && i->size + (size_t)size < sizeof i->text) i->size += (size_t)size;
}

/* Text that is not ours, cut to what a line has room for. */
static void inspect_text(Inspect *i, const char *name, const char *text) {
    char quoted[6 * SURVEY_TEXT + 3];
    size_t size = strlen(text) < SURVEY_TEXT ? strlen(text) : SURVEY_TEXT;
    quoted[json_quote(span_of(text, size), quoted)] = 0;
    inspect_add(i, ",\"%s\":%s", name, quoted);
}

static void inspect_number(Inspect *i, const char *name, uint64_t number) {
    inspect_add(i, ",\"%s\":%llu", name, (unsigned long long)number);
}

static void inspect_hex(Inspect *i, const char *name, Span bytes) {
    inspect_add(i, ",\"%s\":\"", name);
    for (size_t n = 0; n < bytes.size && n < INSPECT_KEY; n++) inspect_add(i, "%02x", bytes.data[n]);
    inspect_add(i, "%s\"", bytes.size > INSPECT_KEY ? "..." : "");
}

static void inspect_begin(Inspect *i, const char *what) {
    i->size = 0;
    inspect_add(i, "{\"what\":\"%s\"", what);
}

static void inspect_end(Inspect *i) {
    inspect_add(i, "}");
    i->line(i->self, i->text);
}

/* ---- logs ---- */

static void inspect_count(const WalPiece *piece, uint64_t *batches, uint64_t *records) {
    const uint8_t *at = piece->body.data;
    size_t left = piece->body.size;
    *batches = *records = 0;
    while (piece->kind == FRAME_BATCHES && left >= BATCH_HEAD) {
        size_t size = get_u32(at);
        if (size < BATCH_HEAD || size > left) break;
        ++*batches;
        *records += get_u32(at + 4);
        at += size, left -= size;
    }
}

static void inspect_torn(Inspect *i, const char *file, size_t at, size_t size) {
    if (size == 0) return;
    inspect_begin(i, "gap");
    inspect_text(i, "file", file);
    inspect_number(i, "offset", WAL_HEAD + at);
    inspect_number(i, "size", size);
    inspect_text(i, "wrong", "no whole frame");
    inspect_end(i);
}

static void inspect_log(Inspect *i, const SurveyLog *log, const char *name) {
    const WalHeader *header = &log->wal.header;
    inspect_begin(i, "log");
    inspect_text(i, "file", name);
    if (log->wal.state == WAL_VALID) {
        inspect_number(i, "sequence", header->sequence);
        inspect_number(i, "baseLsn", header->base_lsn);
        inspect_number(i, "epoch", header->epoch);
        inspect_number(i, "flags", header->flags);
    }
    inspect_number(i, "size", log->size);
    if (log->wrong[0]) inspect_text(i, "wrong", log->wrong);
    else if (!log->good[0] || !log->good[1]) inspect_text(i, "wrong", log->good[0] ? "the second header is damaged" : "the first header is damaged");
    inspect_end(i);
    WalWalk walk = wal_walk(&log->wal, span_of(log->bytes, log->size));
    for (WalPiece piece; wal_walk_next(&walk, &piece);) {
        uint64_t batches, records;
        inspect_torn(i, name, piece.at - piece.gap, piece.gap);
        inspect_count(&piece, &batches, &records);
        inspect_begin(i, piece.kind == FRAME_CUT ? "cut" : "frame");
        inspect_text(i, "file", name);
        inspect_number(i, "offset", WAL_HEAD + piece.at);
        inspect_number(i, "size", piece.size);
        inspect_number(i, "lsn", piece.lsn);
        inspect_number(i, "previous", piece.previous);
        inspect_number(i, "synced", piece.synced);
        inspect_number(i, "batches", batches);
        inspect_number(i, "records", records);
        if (!piece.proved) inspect_text(i, "wrong", "no header is whole: its checksum cannot be asked");
        inspect_end(i);
    }
    inspect_torn(i, name, walk.at, log->size - walk.at);
}

/* ---- superblocks, manifests, segments ---- */

static void inspect_run(Inspect *i, const SurveyState *state, const Run *run) {
    uint64_t rows = 0, deletes = 0;
    for (size_t s = 0; s < run->count; s++) rows += run->segments[s]->rows, deletes += run->segments[s]->deletes;
    if (run->count == 0) return;
    inspect_begin(i, "run");
    inspect_number(i, "generation", state->superblock.generation);
    inspect_number(i, "run", run->id);
    inspect_number(i, "tier", run->tier);
    inspect_number(i, "segments", run->count);
    inspect_number(i, "rows", rows);
    inspect_number(i, "deletes", deletes);
    inspect_number(i, "bytes", run_bytes(run));
    if (run->above_size) inspect_hex(i, "above", span_of(run->above, run->above_size));
    inspect_end(i);
}

static void inspect_state(Inspect *i, const SurveyState *state, const char *what, uint64_t offset) {
    const Superblock *sb = &state->superblock;
    inspect_begin(i, what);
    inspect_text(i, "file", i->survey.name);
    inspect_number(i, "offset", offset);
    if (state->slot == SLOT_VALID || state->whole) {
        inspect_number(i, "generation", sb->generation);
        inspect_number(i, "epoch", sb->epoch);
        inspect_number(i, "flushedLsn", sb->flushed_lsn);
        inspect_number(i, "syncedLsn", sb->synced_lsn);
        inspect_number(i, "manifestOffset", state->offset);
        inspect_number(i, "manifestSize", sb->manifest_size);
    }
    if (state->wrong[0]) inspect_text(i, "wrong", state->wrong);
    inspect_end(i);
    for (size_t r = 0; state->version && r < version_run_count(state->version); r++)
        inspect_run(i, state, version_run_at(state->version, r));
}

static nacre_status inspect_segment(Inspect *i, const Run *run, Segment *segment) {
    CacheEntry *pin = NULL;
    Env *env = i->survey.env;
    inspect_begin(i, "segment");
    inspect_number(i, "segment", segment->id);
    inspect_number(i, "run", run->id);
    inspect_number(i, "tier", run->tier);
    inspect_number(i, "rows", segment->rows);
    inspect_number(i, "deletes", segment->deletes);
    inspect_number(i, "bytes", segment_bytes(segment));
    inspect_number(i, "offset", segment_place(segment, STREAM_ROWS, 0));
    inspect_number(i, "indexOffset", segment_place(segment, STREAM_ROWS, segment->meta_offset));
    inspect_hex(i, "firstKey", segment_first_key(segment));
    inspect_hex(i, "lastKey", segment_last_key(segment));
    nacre_status status = segment_pin_meta(segment, &pin);
    if (status == NACRE_OK) {
        inspect_number(i, "blocks", segment->meta.block_count);
        inspect_number(i, "membranes", segment->meta.section_count);
        cache_unpin(i->survey.io.cache, pin);
    } else if (status == NACRE_CORRUPT || status == NACRE_IO || status == NACRE_VERSION) {
        inspect_text(i, "wrong", env->error.text);
        env_clear(env);
        status = NACRE_OK;
    }
    inspect_end(i);
    return status;
}

static nacre_status inspect_segments(Inspect *i) {
    Survey *s = &i->survey;
    SurveyState found = {.slot = SLOT_EMPTY}, *state = survey_newest(s);
    nacre_status status = NACRE_OK;
    bool any = state != NULL;
    if (!any) TRY_OUT(survey_find(s, &found, &any));
    if (!any)
        for (int slot = 0; slot < 2; slot++) {
            if (s->states[slot].slot != SLOT_VALID) continue;
            TRY_OUT(survey_mend(s, &s->states[slot]));
            if (!state || version_segments(s->states[slot].version) > version_segments(state->version)) state = &s->states[slot];
        }
    if (!state && any) state = &found;
    for (size_t r = 0; state && state->version && r < version_run_count(state->version); r++) {
        const Run *run = version_run_at(state->version, r);
        for (size_t n = 0; n < run->count; n++) TRY_OUT(inspect_segment(i, run, run->segments[n]));
    }
out:
    survey_state_clear(s, &found);
    return status;
}

static nacre_status inspect_manifests(Inspect *i) {
    Survey *s = &i->survey;
    SurveyState found;
    bool any = false;
    for (int slot = 0; slot < 2; slot++) inspect_state(i, &s->states[slot], "superblock", slot ? SUPERBLOCK_SLOT : 0);
    if (survey_newest(s)) return NACRE_OK;
    nacre_status status = survey_find(s, &found, &any);
    if (status == NACRE_OK && any) inspect_state(i, &found, "manifest found by itself", found.offset);
    survey_state_clear(s, &found);
    return status;
}

nacre_status inspect_files(const char *path, const nacre_options *options, nacre_inspection what, nacre_line *line,
                           void *self, nacre_error *error) {
    Inspect i = {.line = line, .self = self};
    TRY(survey_open(&i.survey, path, options, error));
    Survey *s = &i.survey;
    nacre_status status = NACRE_OK;
    int older = survey_older_log(s);
    switch (what) {
    case NACRE_INSPECT_LOG:
        inspect_log(&i, &s->logs[older], s->log_names[older]);
        inspect_log(&i, &s->logs[1 - older], s->log_names[1 - older]);
        break;
    case NACRE_INSPECT_MANIFEST: status = inspect_manifests(&i); break;
    case NACRE_INSPECT_SEGMENTS: status = inspect_segments(&i); break;
    }
    if (error && status != NACRE_OK) *error = s->env->error;
    survey_close(s);
    return status;
}
