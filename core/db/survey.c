/* survey.c - reads superblocks, manifests and logs one by one, each for itself. Knows nothing
 * of rows; which state counts is survey_newest's affair, what follows from it that of those
 * who ask (verify.c, repair.c, inspect.c). */
#include "db/survey.h"

#include "base/checksum.h"
#include "db/options.h"
#include "host/vfs_crypt.h"
#include "host/vfs_posix.h"

#include <stdio.h>

enum {
    SURVEY_MANIFEST_MAX = 256 << 20, /* bytes: more than any that was written */
    SURVEY_HEAD = 24,                /* of a manifest */
};

/* Notes what is wrong, and forgets it, if it is damage. */
static nacre_status survey_note(Survey *s, nacre_status status, char wrong[SURVEY_TEXT]) {
    if (status != NACRE_CORRUPT && status != NACRE_VERSION && status != NACRE_IO) return status;
    snprintf(wrong, SURVEY_TEXT, "%.*s", SURVEY_TEXT - 1, s->env->error.text);
    env_clear(s->env);
    return NACRE_OK;
}

/* Extents that are believed: a file that was cut has lost some, but what is damaged may claim
 * more than there is memory for. */
static uint64_t survey_limit(const Survey *s) { return 65536 + 16 * extents_in(s->data_size); }

/* ---- manifests ---- */

/* Bytes of the file, as many as there are; damage and an end of the file are zeros. */
static nacre_status survey_read(Survey *s, uint64_t offset, uint8_t *into, size_t size) {
    for (size_t at = 0; at < size;) {
        size_t part = size - at < EXTENT_SIZE ? size - at : EXTENT_SIZE;
        uint64_t left = s->data_size > offset + at ? s->data_size - offset - at : 0;
        memset(into + at, 0, part);
        if (left && s->env->vfs->read(s->data.file, offset + at, into + at, left < part ? (size_t)left : part) != NACRE_OK)
            memset(into + at, 0, part);
        at += part;
    }
    return NACRE_OK;
}

static nacre_status survey_manifest_bytes(Survey *s, SurveyState *state) {
    const Superblock *sb = &state->superblock;
    if (sb->manifest_size == 0 || extents_in(sb->manifest_size) != sb->manifest.count ||
        sb->manifest_size > SURVEY_MANIFEST_MAX)
        return env_fail(s->env, NACRE_CORRUPT, "manifest of generation %llu: its size cannot be",
                        (unsigned long long)sb->generation);
    state->size = (size_t)sb->manifest_size;
    state->offset = (uint64_t)sb->manifest.items[0] * EXTENT_SIZE;
    if (!(state->bytes = env_alloc(s->env, state->size))) return NACRE_RESOURCE_EXHAUSTED;
    for (size_t i = 0; i < sb->manifest.count; i++) {
        size_t at = i * EXTENT_SIZE, size = state->size - at < EXTENT_SIZE ? state->size - at : EXTENT_SIZE;
        TRY(survey_read(s, (uint64_t)sb->manifest.items[i] * EXTENT_SIZE, state->bytes + at, size));
    }
    return NACRE_OK;
}

static nacre_status survey_decode(Survey *s, SurveyState *state) {
    const Superblock *sb = &state->superblock;
    ManifestTail tail;
    size_t size = 0;
    TRY(survey_manifest_bytes(s, state));
    TRY(version_alloc(s->env, &s->versions, &state->version));
    if (checksum64(sb->generation, state->bytes, state->size) != sb->manifest_checksum)
        return env_fail(s->env, NACRE_CORRUPT, "manifest of generation %llu: checksum",
                        (unsigned long long)sb->generation);
    TRY(manifest_parse(&s->io, span_of(state->bytes, state->size), survey_limit(s), state->version, &state->ids,
                       &tail, &size));
    if (size != state->size) return env_fail(s->env, NACRE_CORRUPT, "manifest: cut short, or too long");
    state->catalog = tail.catalog;
    state->whole = true;
    return NACRE_OK;
}

static const char *survey_slot_wrong(SlotState state) {
    switch (state) {
    case SLOT_VALID: return NULL;
    case SLOT_EMPTY: return "a superblock is missing";
    case SLOT_FOREIGN: return "this is no superblock of Nacre";
    case SLOT_VERSION: return "a superblock of another format version";
    default: return "a superblock is damaged";
    }
}

static nacre_status survey_read_state(Survey *s, int slot) {
    SurveyState *state = &s->states[slot];
    state->slot = SLOT_EMPTY;
    if (s->data.file) TRY(survey_note(s, superblock_read_below(&s->data, slot, survey_limit(s), &state->superblock, &state->slot), state->wrong));
    const char *wrong = survey_slot_wrong(state->slot);
    if (wrong) {
        if (!state->wrong[0]) snprintf(state->wrong, sizeof state->wrong, "%s", wrong);
        return NACRE_OK;
    }
    return survey_note(s, survey_decode(s, state), state->wrong);
}

void survey_state_clear(Survey *s, SurveyState *state) {
    version_release(state->version);
    superblock_clear(s->env, &state->superblock);
    env_free(s->env, state->bytes, state->size);
    *state = (SurveyState){.slot = SLOT_EMPTY};
}

SurveyState *survey_newest(Survey *s) {
    SurveyState *a = &s->states[0], *b = &s->states[1];
    if (a->whole && b->whole) return b->superblock.generation > a->superblock.generation ? b : a;
    return a->whole ? a : b->whole ? b : NULL;
}

/* ---- a manifest without its superblock ---- */

/* Does one of this version begin with these bytes, as far as its head tells? */
static bool survey_may_begin(const uint8_t head[SURVEY_HEAD]) {
    return get_u64(head) > 0 && get_u64(head + 8) > 0 && get_u32(head + 20) == MANIFEST_SHAPE &&
           get_u32(head + 16) < 1u << 20;
}

/* The manifest at `offset`, if its seal proves it and it is newer than *state. */
static nacre_status survey_find_at(Survey *s, uint64_t offset, SurveyState *state, bool *found) {
    uint64_t left = s->data_size - offset, room = EXTENT_SIZE;
    for (bool more = true; more; room *= 4) {
        SurveyState here = {.slot = SLOT_EMPTY, .offset = offset};
        ManifestTail tail;
        size_t size = 0;
        here.size = (size_t)(left < room ? left : room);
        more = here.size < left && room < SURVEY_MANIFEST_MAX;
        if (!(here.bytes = env_alloc(s->env, here.size))) return NACRE_RESOURCE_EXHAUSTED;
        nacre_status status = survey_read(s, offset, here.bytes, here.size);
        if (status == NACRE_OK) status = version_alloc(s->env, &s->versions, &here.version);
        if (status == NACRE_OK)
            status = manifest_parse(&s->io, span_of(here.bytes, here.size), survey_limit(s), here.version,
                                    &here.ids, &tail, &size);
        if (status == NACRE_OK && tail.sealed && (!*found || tail.generation > state->superblock.generation)) {
            here.superblock.generation = tail.generation;
            here.superblock.epoch = tail.epoch;
            here.superblock.flushed_lsn = tail.flushed_lsn;
            here.superblock.manifest_size = size;
            memcpy(here.superblock.database_id, tail.database_id, 16);
            here.catalog = tail.catalog;
            here.whole = true;
            survey_state_clear(s, state);
            *state = here;
            *found = true;
            return NACRE_OK;
        }
        more = more && status == NACRE_CORRUPT;
        survey_state_clear(s, &here);
        if (status == NACRE_RESOURCE_EXHAUSTED) return status;
        env_clear(s->env);
    }
    return NACRE_OK;
}

nacre_status survey_find(Survey *s, SurveyState *state, bool *found) {
    *found = false;
    *state = (SurveyState){.slot = SLOT_EMPTY};
    if (!s->data.file) return NACRE_OK;
    for (uint64_t offset = EXTENT_SIZE; offset + SURVEY_HEAD <= s->data_size; offset += EXTENT_SIZE) {
        uint8_t head[SURVEY_HEAD];
        TRY(survey_read(s, offset, head, sizeof head));
        if (survey_may_begin(head)) TRY(survey_find_at(s, offset, state, found));
    }
    return NACRE_OK;
}

/* ---- what is left of a damaged manifest ---- */

/* Is the segment where this says? Its index, or one of its blocks, proves it. */
static bool survey_segment_there(Survey *s, Segment *segment) {
    CacheEntry *pin = NULL;
    if (segment_pin_meta(segment, &pin) == NACRE_OK) {
        cache_unpin(s->io.cache, pin);
        return true;
    }
    env_clear(s->env);
    return false;
}

/* The next place from *at on where a segment is described; its run is one of its own. */
static nacre_status survey_next_segment(Survey *s, SurveyState *state, size_t *at, bool *found) {
    Version *version = state->version;
    for (*found = false; *at + 64 < state->size && !*found; ++*at) {
        ByteReader r = br_over(span_of(state->bytes + *at, state->size - *at));
        Run run = {.tier = TIER_LAST};
        if (get_u32(r.at + 12) > STREAM_COUNT || get_u32(r.at + 8) < SEGMENT_PAGE || get_u32(r.at + 8) > BLOCK_SIZE_MAX)
            continue;
        nacre_status status = manifest_parse_segment(&s->io, &r, survey_limit(s), &run);
        if (status == NACRE_OK && survey_segment_there(s, run.segments[0])) {
            status = version_insert_run(version, version->count, 0, TIER_LAST);
            if (status == NACRE_OK) version->runs[version->count - 1] = run, run = (Run){.tier = TIER_LAST};
            *at = (size_t)(r.at - state->bytes) - 1;
            *found = true;
        }
        run_clear(s->env, &run);
        if (status == NACRE_RESOURCE_EXHAUSTED) return status;
        env_clear(s->env);
    }
    return NACRE_OK;
}

nacre_status survey_mend(Survey *s, SurveyState *state) {
    ManifestTail tail;
    size_t at = 0;
    bool more = state->bytes != NULL;
    if (!more) return NACRE_OK;
    version_release(state->version);
    state->version = NULL;
    TRY(version_alloc(s->env, &s->versions, &state->version));
    nacre_status status = manifest_parse(&s->io, span_of(state->bytes, state->size), survey_limit(s),
                                         state->version, &state->ids, &tail, &at);
    if (status == NACRE_RESOURCE_EXHAUSTED) return status;
    env_clear(s->env);
    bool all = status == NACRE_OK && at == state->size;
    while (more && !all) TRY(survey_next_segment(s, state, &at, &more));
    return NACRE_OK;
}

/* The place of a segment among the runs; count: it is not there. */
static size_t survey_run_of(const Version *version, uint64_t id) {
    for (size_t r = 0; r < version->count; r++)
        for (size_t n = 0; n < version->runs[r].count; n++)
            if (version->runs[r].segments[n]->id == id) return r;
    return version->count;
}

/* Do they say the same, but for what is damaged in one? Both cannot lie in the same place. */
static bool survey_same_segment(const Segment *a, const Segment *b) {
    const ExtentList *x = &a->streams[STREAM_ROWS].extents, *y = &b->streams[STREAM_ROWS].extents;
    return a->id == b->id || (x->count && y->count && x->items[x->count - 1] == y->items[y->count - 1]);
}

/* A segment that is not where its description says: the other manifest may describe it better. */
static void survey_better_segment(Survey *s, Segment **place, const Version *other) {
    if (survey_segment_there(s, *place)) return;
    for (size_t r = 0; r < other->count; r++)
        for (size_t n = 0; n < other->runs[r].count; n++) {
            Segment *segment = other->runs[r].segments[n];
            if (!survey_same_segment(*place, segment) || !survey_segment_there(s, segment)) continue;
            segment_retain(segment);
            segment_release(*place);
            *place = segment;
            return;
        }
}

nacre_status survey_join(Survey *s, SurveyState *state, const SurveyState *other, bool *same) {
    *same = state->ids.next_segment && state->ids.next_segment == other->ids.next_segment && state->ids.next_run == other->ids.next_run &&
            state->version && other->version;
    size_t at = 0; /* behind the run of the segment before */
    for (size_t r = 0; state->version && other->version && r < state->version->count; r++)
        for (size_t n = 0; n < state->version->runs[r].count; n++)
            survey_better_segment(s, &state->version->runs[r].segments[n], other->version);
    for (size_t r = 0; *same && r < other->version->count; r++) {
        const Run *run = &other->version->runs[r];
        for (size_t n = 0; n < run->count; n++) {
            Segment *segment = run->segments[n];
            size_t known = survey_run_of(state->version, segment->id);
            if (known < state->version->count) {
                at = known + 1;
            } else {
                TRY(version_insert_run(state->version, at, run->id, run->tier));
                TRY(run_append(s->env, &state->version->runs[at], segment));
                at++;
            }
        }
    }
    return NACRE_OK;
}

/* ---- logs ---- */

static nacre_status survey_headers(Survey *s, SurveyLog *log, uint64_t file_size) {
    for (int copy = 0; copy < 2; copy++) {
        uint8_t bytes[WAL_HEADER_SIZE] = {0};
        uint64_t offset = copy ? WAL_HEADER_COPY : 0;
        if (file_size < offset + sizeof bytes) continue;
        if (s->env->vfs->read(log->wal.file, offset, bytes, sizeof bytes) != NACRE_OK) continue;
        log->good[copy] = memcmp(bytes, WAL_MAGIC, 8) == 0 &&
                          get_u64(bytes + WAL_HEADER_SIZE - 8) == checksum64(0, bytes, WAL_HEADER_SIZE - 8);
    }
    return NACRE_OK;
}

static nacre_status survey_read_log(Survey *s, int i) {
    SurveyLog *log = &s->logs[i];
    uint64_t size = 0, file_size = 0;
    nacre_status status = s->lent ? NACRE_OK : wal_open(&log->wal, s->env, s->log_names[i], VFS_READ);
    if (status == NACRE_VERSION || status == NACRE_CORRUPT) { /* it was closed */
        log->wal = (Wal){.env = s->env, .name = s->log_names[i], .state = WAL_DAMAGED};
        return survey_note(s, status, log->wrong);
    }
    TRY(status);
    if (!log->wal.file) {
        snprintf(log->wrong, sizeof log->wrong, "the log is missing");
        return NACRE_OK;
    }
    status = s->env->vfs->size(log->wal.file, &file_size);
    if (status != NACRE_OK) return env_fail_vfs(s->env, status, "log");
    TRY(survey_headers(s, log, file_size));
    TRY(wal_size(&log->wal, &size));
    if (log->wal.state != WAL_VALID)
        snprintf(log->wrong, sizeof log->wrong, file_size ? "both headers are damaged" : "the log is empty");
    else if (log->wal.cut_short) snprintf(log->wrong, sizeof log->wrong, "cut short within its headers");
    if (size > UINT32_MAX || size > SIZE_MAX / 2) {
        snprintf(log->wrong, sizeof log->wrong, "larger than any log");
        return NACRE_OK;
    }
    log->size = (size_t)size;
    if (!(log->bytes = env_alloc(s->env, log->size))) return NACRE_RESOURCE_EXHAUSTED;
    for (size_t at = 0; at < log->size;) { /* what cannot be read is as if zero */
        size_t part = log->size - at < 4096 ? log->size - at : log->size - at > EXTENT_SIZE ? EXTENT_SIZE : 4096;
        status = wal_read_from(&log->wal, at, log->bytes + at, part);
        if (status != NACRE_OK) {
            memset(log->bytes + at, 0, part);
            TRY(survey_note(s, status, log->wrong));
        }
        at += part;
    }
    return NACRE_OK;
}

int survey_older_log(const Survey *s) {
    const Wal *a = &s->logs[0].wal, *b = &s->logs[1].wal;
    if (a->state == WAL_VALID && b->state == WAL_VALID) return b->header.sequence > a->header.sequence ? 0 : 1;
    WalWalk walks[2] = {wal_walk(a, span_of(s->logs[0].bytes, s->logs[0].size)),
                        wal_walk(b, span_of(s->logs[1].bytes, s->logs[1].size))};
    WalPiece first[2];
    uint64_t lsn[2];
    for (int i = 0; i < 2; i++) lsn[i] = wal_walk_next(&walks[i], &first[i]) ? first[i].lsn : UINT64_MAX;
    return lsn[1] < lsn[0];
}

/* ---- the whole ---- */

nacre_status survey_look(Survey *s) {
    for (int i = 0; i < 2; i++) TRY(survey_read_log(s, i));
    for (int i = 0; i < 2; i++) TRY(survey_read_state(s, i));
    return NACRE_OK;
}

void survey_look_away(Survey *s) {
    for (int i = 0; i < 2; i++) {
        survey_state_clear(s, &s->states[i]);
        env_free(s->env, s->logs[i].bytes, s->logs[i].size);
        if (s->logs[i].wal.file && !s->lent) wal_close(&s->logs[i].wal);
    }
    ASSERT(s->versions == NULL);
}

static nacre_status survey_names(Survey *s, const char *path) {
    size_t size = strlen(path) + 8;
    s->names_size = 3 * size;
    if (!(s->names = env_alloc(s->env, s->names_size))) return NACRE_RESOURCE_EXHAUSTED;
    s->name = s->names;
    snprintf(s->name, size, "%s", path);
    for (int i = 0; i < 2; i++) {
        s->log_names[i] = s->names + (size_t)(i + 1) * size;
        snprintf(s->log_names[i], size, "%s-wal%d", path, i);
    }
    return NACRE_OK;
}

static nacre_status survey_open_data(Survey *s) {
    const Vfs *vfs = s->env->vfs;
    s->data = (DataFile){.env = s->env, .name = s->name};
    nacre_status status = vfs->open(vfs->self, s->name, VFS_READ, &s->data.file);
    if (status == NACRE_NOT_FOUND) return NACRE_OK;
    if (status == NACRE_OK) status = vfs->size(s->data.file, &s->data_size);
    return status == NACRE_OK ? NACRE_OK : env_fail_vfs(s->env, status, "open");
}

/* Encrypted files without the key would look like damage all over. */
static nacre_status survey_look_for_key(Survey *s) {
    char *names[3] = {s->name, s->log_names[0], s->log_names[1]};
    bool exists = false, encrypted = false;
    if (s->crypt) return NACRE_OK;
    nacre_status status = vfs_crypt_look(s->env->vfs, names, &exists, &encrypted);
    if (status != NACRE_OK && status != NACRE_IO) return env_fail_vfs(s->env, status, "open");
    if (!encrypted) return NACRE_OK; /* or what would say so cannot be read */
    return env_fail(s->env, NACRE_PERMISSION, "%s: the database is encrypted, and no key was given", s->name);
}

static nacre_status survey_all(Survey *s, const char *path, const nacre_options *options) {
    if (options->vfs) {
        s->env->vfs = options->vfs;
    } else {
        nacre_status status = vfs_posix_create(&s->env->allocator, &s->own_vfs);
        if (status != NACRE_OK) return env_fail(s->env, status, "no memory for the file layer");
        s->env->vfs = s->own_vfs;
    }
    if (options->encryption_key) {
        nacre_status status = vfs_crypt_create(&s->env->allocator, s->env->vfs, path, options->encryption_key, &s->crypt);
        if (status != NACRE_OK) return env_fail(s->env, status, "no memory for the encrypting layer");
        s->env->vfs = s->crypt;
    }
    TRY(survey_names(s, path));
    TRY(survey_look_for_key(s));
    TRY(cache_init(&s->own_cache, s->env, options->memory / 4));
    s->io = (SegmentIo){.env = s->env, .data = &s->data, .cache = &s->own_cache, .block_size = options->block_size,
                        .filter_bits = options->filter_bits};
    TRY(survey_open_data(s));
    TRY(survey_look(s));
    if (!s->data.file && !s->logs[0].wal.file && !s->logs[1].wal.file)
        return env_fail(s->env, NACRE_NOT_FOUND, "%s: there is no such database", path);
    return NACRE_OK;
}

static void survey_reclaim(void *self, uint64_t size) { cache_shrink(&((Survey *)self)->own_cache, size); }

nacre_status survey_open(Survey *s, const char *path, const nacre_options *given, nacre_error *error) {
    nacre_options options;
    *s = (Survey){.env = NULL};
    s->env = &s->own_env;
    env_init(s->env, NULL, options_allocator(given), UINT64_MAX);
    nacre_status status = options_resolve(s->env, given, &options);
    if (status == NACRE_OK && (!path || !path[0]))
        status = env_fail(s->env, NACRE_INVALID_ARGUMENT, "the path is empty");
    if (status == NACRE_OK) {
        s->env->memory_budget = options.memory;
        s->env->reclaim = survey_reclaim;
        s->env->reclaim_self = s;
        status = survey_all(s, path, &options);
    }
    if (status == NACRE_OK) return NACRE_OK;
    if (error) *error = s->env->error;
    survey_close(s);
    return status;
}

void survey_close(Survey *s) {
    Env *env = s->env;
    if (!env) return;
    survey_look_away(s);
    if (s->own_cache.table) cache_clear(&s->own_cache);
    env->reclaim = NULL;
    if (s->data.file) env->vfs->close(s->data.file);
    env_free(env, s->names, s->names_size);
    ASSERT(env->memory_used == 0); /* nothing leaks */
    if (s->crypt) s->crypt->destroy(s->crypt->self);
    if (s->own_vfs) s->own_vfs->destroy(s->own_vfs->self);
    s->env = NULL;
}
