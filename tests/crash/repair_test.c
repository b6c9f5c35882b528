/* repair_test.c - verify and repair on files that were damaged in a thousand seeded ways (B22,
 * B23). Where each row lies is found out before, from the whole files; then of every fault
 * it is known which rows it has hit.
 *
 * Laws: a fault that changed a byte that anything refers to is found. While one of the two
 * manifests is whole, a row whose own bytes are whole is saved, and a deletion whose own bytes are whole holds. What else is in the new database
 * was written once, and told as a doubt; what is missing is told as a loss. The damaged files
 * are not written to. */
#include "crash/history.h"
#include "db/keycode.h"
#include "db/roster.h"
#include "db/survey.h"
#include "lib/check.h"
#include "memtable/record_format.h"
#include "segment/spare.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXTENT = 65536, PLACES_MAX = 24, ROUNDS = 70, EXTRA = 3 };

static const char *const files[3] = {"db", "db-wal0", "db-wal1"};
static const char *const names[MODEL_MEMBRANES] = {"texts", "numbers", "vectors"};

typedef struct Range {
    int file;
    uint64_t from, size;
} Range;

typedef struct Ranges {
    Range *items;
    size_t count, capacity;
} Ranges;

static void ranges_add(Ranges *ranges, int file, uint64_t from, uint64_t size) {
    if (ranges->count == ranges->capacity) {
        ranges->capacity = ranges->capacity ? 2 * ranges->capacity : 64;
        ranges->items = realloc(ranges->items, ranges->capacity * sizeof *ranges->items);
        if (!ranges->items) abort();
    }
    ranges->items[ranges->count++] = (Range){file, from, size};
}

/* What one row, or its deletion, consists of. */
typedef struct Place {
    bool known;
    Ranges ranges;
    Ranges index, spare; /* of its segment, where it has a vector: one of them must be whole */
} Place;

/* A database at rest, and where everything of it lies. */
typedef struct Past {
    History history;
    Model last;
    SimDisk *disk, *work, *before;
    Place places[MODEL_MEMBRANES][HISTORY_KEYS];
    Ranges all;        /* bytes that anything refers to */
    Ranges manifests[2], indexes;
} Past;

/* ---- where things lie ---- */

static void add_stream(Ranges *ranges, const Segment *segment, uint32_t stream, uint64_t from, uint64_t size) {
    while (size > 0) { /* extents may lie anywhere */
        uint64_t part = EXTENT - from % EXTENT;
        if (part > size) part = size;
        ranges_add(ranges, 0, segment_place(segment, stream, from), part);
        from += part, size -= part;
    }
}

typedef struct Keys { /* encoded, with the membrane's id of the past */
    uint8_t bytes[MODEL_MEMBRANES][HISTORY_KEYS][64];
    size_t sizes[MODEL_MEMBRANES][HISTORY_KEYS];
} Keys;

static void encode_keys(const Survey *survey, Span catalog, Keys *keys) {
    Roster roster = {.env = survey->env};
    CHECK_EQ(roster_add_copy(&roster, catalog), NACRE_OK);
    memset(keys, 0, sizeof *keys);
    for (size_t i = 0; i < roster.count; i++)
        for (int m = 0; m < MODEL_MEMBRANES; m++) {
            if (strcmp(roster.entries[i].name, names[m]) != 0) continue;
            for (uint32_t k = 0; k < HISTORY_KEYS; k++) {
                char room[48];
                nacre_value key = model_key(m, k, room);
                uint8_t *at = keys->bytes[m][k];
                put_u32_be(at, roster.entries[i].id);
                keys->sizes[m][k] = (size_t)(key_encode(&roster.entries[i].schema, &key, 1, KEY_WHOLE, at + 4) - at);
            }
        }
    roster_clear(&roster);
}

static Place *place_of(Past *p, const Keys *keys, Span key) {
    for (int m = 0; m < MODEL_MEMBRANES; m++) {
        if (keys->sizes[m][0] == 0 || memcmp(keys->bytes[m][0], key.data, 4) != 0) continue;
        for (uint32_t k = 0; k < HISTORY_KEYS; k++)
            if (span_eq(key, span_of(keys->bytes[m][k], keys->sizes[m][k]))) return &p->places[m][k];
    }
    return NULL;
}

static void place_log(Past *p, const Keys *keys, const SurveyLog *log, int file, uint64_t flushed) {
    WalWalk walk = wal_walk(&log->wal, span_of(log->bytes, log->size));
    for (int copy = 0; copy < 2; copy++) ranges_add(&p->all, file, copy ? WAL_HEADER_COPY : 0, WAL_HEADER_SIZE);
    for (WalPiece piece; wal_walk_next(&walk, &piece);) {
        if (piece.lsn <= flushed) continue;
        ranges_add(&p->all, file, WAL_HEAD + piece.at, piece.size);
        const uint8_t *at = piece.body.data, *end = at + piece.body.size;
        while (piece.kind == FRAME_BATCHES && at < end) {
            const uint8_t *record = at + BATCH_HEAD;
            for (uint32_t i = 0; i < get_u32(at + 4); i++) {
                Place *place = place_of(p, keys, record_key(record));
                if (place) {
                    place->known = true;
                    place->ranges.count = 0;
                    ranges_add(&place->ranges, file, WAL_HEAD + piece.at, piece.size);
                }
                record += record_size(record_key_size(record), record_value_size(record));
            }
            at += get_u32(at);
        }
    }
}

static void place_row(Place *place, Segment *segment, const Entry *entry, uint64_t block_from, uint64_t block_size) {
    Section section;
    Ranges *ranges = &place->ranges;
    add_stream(ranges, segment, STREAM_ROWS, block_from, block_size);
    if (entry->flags & ENTRY_BLOB) add_stream(ranges, segment, STREAM_BLOBS, entry->blob.offset, entry->blob.size);
    if (!(entry->flags & ENTRY_VECTOR)) return;
    CHECK(segment_find_section(segment, get_u32_be(entry->key.data), &section));
    uint64_t from = section.offset + (uint64_t)(entry->slot - section.first_slot) * section.stride;
    uint64_t end = round_up(from + section.stride, VECTOR_UNIT);
    from -= from % VECTOR_UNIT; /* a checksum is over the whole unit */
    if (end > segment->streams[STREAM_VECTORS].size) end = segment->streams[STREAM_VECTORS].size;
    add_stream(ranges, segment, STREAM_VECTORS, from, end - from);
    add_stream(&place->index, segment, STREAM_ROWS, segment->meta_offset, segment->meta_size);
    from = round_up(segment->meta_offset + segment->meta_size, SEGMENT_PAGE);
    add_stream(&place->spare, segment, STREAM_ROWS, from, segment->streams[STREAM_ROWS].size - from);
}

static void place_segment(Past *p, const Keys *keys, Segment *segment, Span above, bool newest) {
    CacheEntry *pin = NULL;
    BlocksAhead ahead = {.segment = NULL};
    uint8_t *key = NULL;
    size_t capacity = 0;
    Env *env = segment->io->env;
    REQUIRE(CHECK_EQ(segment_pin_meta(segment, &pin), NACRE_OK));
    uint64_t end = segment->streams[STREAM_ROWS].size;
    add_stream(&p->indexes, segment, STREAM_ROWS, segment->meta_offset, segment->meta_size);
    add_stream(&p->all, segment, STREAM_ROWS, segment->meta_offset, segment->meta_size);
    uint64_t spare = round_up(segment->meta_offset + segment->meta_size, SEGMENT_PAGE);
    if (spare < end) add_stream(&p->indexes, segment, STREAM_ROWS, spare, end - spare);
    if (spare < end) add_stream(&p->all, segment, STREAM_ROWS, spare, end - spare);
    for (int k = STREAM_VECTORS; k <= STREAM_BLOBS; k++) add_stream(&p->all, segment, (uint32_t)k, 0, segment->streams[k].size);
    for (uint32_t i = 0; i < segment->meta.block_count; i++) {
        Block block;
        uint8_t head[12];
        uint64_t from = (uint64_t)get_u32(segment->meta.pages + 4 * (size_t)i) * segment->page_size;
        CHECK_EQ(data_read(segment->io->data, &segment->streams[STREAM_ROWS].extents, from, head, sizeof head), NACRE_OK);
        uint64_t size = get_u32(head + 8);
        add_stream(&p->all, segment, STREAM_ROWS, from, size);
        CHECK_EQ(segment_block_ahead(segment, i, 0, &ahead, &block), NACRE_OK);
        for (uint32_t row = 0; row < block.count && newest; row++) {
            Entry entry = {.flags = 0};
            CHECK_EQ(segment_row_key(env, &block, row, &key, &capacity, &entry.key), NACRE_OK);
            Place *place = place_of(p, keys, entry.key);
            if (!place || place->known || (above.size && span_compare(entry.key, above) <= 0)) continue;
            segment_entry(segment, &block, row, &entry);
            place->known = true;
            place_row(place, segment, &entry, from, size);
        }
    }
    cache_unpin(segment->io->cache, pin);
    env_free(env, key, capacity);
    env_free(env, ahead.bytes, ahead.capacity);
}

static void past_place(Past *p) {
    Survey s;
    static Keys keys;
    nacre_options options = history_options(p->disk, NACRE_STRICT);
    REQUIRE(CHECK_EQ(survey_open(&s, "db", &options, NULL), NACRE_OK));
    SurveyState *newest = survey_newest(&s);
    if (CHECK(newest != NULL) && CHECK(s.states[0].whole && s.states[1].whole)) {
        encode_keys(&s, newest->catalog, &keys);
        int older = survey_older_log(&s);
        for (int i = 0; i < 2; i++) {
            int log = i ? 1 - older : older;
            place_log(p, &keys, &s.logs[log], 1 + log, newest->superblock.flushed_lsn);
            ranges_add(&p->all, 0, i ? SUPERBLOCK_SLOT : 0, SUPERBLOCK_SIZE);
            ranges_add(&p->all, 0, s.states[i].offset, s.states[i].size);
            ranges_add(&p->manifests[i], 0, s.states[i].offset, s.states[i].size);
        }
        for (int i = 0; i < 2; i++) {
            SurveyState *state = i ? (newest == &s.states[0] ? &s.states[1] : &s.states[0]) : newest;
            for (size_t r = 0; r < version_run_count(state->version); r++) {
                const Run *run = version_run_at(state->version, r);
                bool rows = i == 0 && r < state->version->count;
                for (size_t n = 0; n < run->count; n++)
                    if (i == 0 || !version_find_segment(newest->version, run->segments[n]))
                        place_segment(p, &keys, run->segments[n], span_of(run->above, run->above_size), rows);
            }
        }
    }
    survey_close(&s);
}

/* ---- pasts ---- */

/* Kind 0: closed. 1: a power failure that left everything, then closed: there is a cut. 2: all in one last level, and a little in the log. */
static bool past_init(Past *p, int kind) {
    memset(p, 0, sizeof *p);
    History *h = &p->history;
    history_init(h, (test_seed() & ~UINT64_C(1)) + 10 * (uint64_t)kind, NACRE_STRICT);
    bool right = history_go_on(h, ROUNDS) && (h->db || history_go_on(h, 1));
    if (kind == 2) right = right && CHECK_EQ(nacre_compact(h->db, NULL), NACRE_OK);
    right = right && history_close(h);
    p->disk = sim_disk_clone(h->disk);
    p->last = h->states[h->count];
    nacre_options options = history_options(p->disk, NACRE_STRICT);
    uint64_t random = test_seed() + 77;
    for (int i = 0; i < EXTRA && right; i++) {
        nacre_db *db = NULL;
        Model next = p->last;
        right = CHECK_EQ(nacre_open("db", &options, &db, NULL), NACRE_OK);
        right = right && CHECK_EQ(history_batch(db, &p->last, &next, &random), NACRE_OK);
        if (i == 0 && kind == 1) { /* the next one finds a log that was not closed */
            SimDisk *left = sim_disk_clone(p->disk);
            sim_disk_crash(left, SIM_CRASH_PREFIX, sim_disk_crash_states(left, SIM_CRASH_PREFIX) - 1);
            (void)nacre_close(db, NULL);
            sim_disk_free(p->disk);
            p->disk = left;
            options = history_options(p->disk, NACRE_STRICT);
        } else if (db) {
            right = CHECK_EQ(nacre_close(db, NULL), NACRE_OK) && right;
        }
        p->last = next;
    }
    sim_disk_wait(p->disk, 1000); /* what expires has expired */
    p->work = sim_disk_new(0);
    p->before = sim_disk_new(0);
    if (right) past_place(p);
    return right;
}

static void past_clear(Past *p) {
    for (int m = 0; m < MODEL_MEMBRANES; m++)
        for (uint32_t k = 0; k < HISTORY_KEYS; k++) {
            free(p->places[m][k].ranges.items);
            free(p->places[m][k].index.items);
            free(p->places[m][k].spare.items);
        }
    free(p->all.items);
    free(p->indexes.items);
    for (int i = 0; i < 2; i++) free(p->manifests[i].items);
    sim_disk_free(p->disk);
    sim_disk_free(p->work);
    sim_disk_free(p->before);
    history_free(&p->history);
}

/* Was any of these bytes changed in p->work? */
static bool hit(const Past *p, const Ranges *ranges) {
    for (size_t i = 0; i < ranges->count; i++) {
        const Range *range = &ranges->items[i];
        uint64_t old_size = 0, size = 0;
        const uint8_t *old = sim_disk_bytes(p->disk, files[range->file], &old_size);
        const uint8_t *now = sim_disk_bytes(p->work, files[range->file], &size);
        if (range->from + range->size > old_size) abort();
        if (!now || range->from + range->size > size) return true;
        if (memcmp(old + range->from, now + range->from, (size_t)range->size) != 0) return true;
    }
    return false;
}

/* ---- faults ---- */

static void change(Past *p, int file, uint64_t at, uint64_t size, const uint8_t *with) {
    uint64_t file_size = 0;
    const uint8_t *bytes = sim_disk_bytes(p->work, files[file], &file_size);
    if (!bytes || at >= file_size) return;
    if (size > file_size - at) size = file_size - at;
    uint8_t *changed = malloc((size_t)file_size);
    if (!changed) abort();
    memcpy(changed, bytes, (size_t)file_size);
    if (with) memcpy(changed + at, with, (size_t)size);
    else memset(changed + at, 0, (size_t)size);
    sim_disk_put(p->work, files[file], changed, (size_t)file_size);
    free(changed);
}

static void swap(Past *p, int file, uint64_t a, uint64_t b, uint64_t unit) {
    uint64_t size = 0;
    const uint8_t *bytes = sim_disk_bytes(p->work, files[file], &size);
    if (!bytes || a + unit > size || b + unit > size) return;
    uint8_t *copies = malloc(2 * (size_t)unit);
    if (!copies) abort();
    memcpy(copies, bytes + a, (size_t)unit);
    memcpy(copies + unit, bytes + b, (size_t)unit);
    change(p, file, a, unit, copies + unit);
    change(p, file, b, unit, copies);
    free(copies);
}

static void flip_in(Past *p, const Range *range, uint64_t *random) {
    if (sim_disk_bytes(p->work, files[range->file], &(uint64_t){0}))
        sim_disk_flip(p->work, files[range->file], 8 * (range->from + test_random(random) % range->size) + test_random(random) % 8);
}

static Range any_range(const Ranges *ranges, uint64_t *random) {
    return ranges->items[test_random(random) % ranges->count];
}

static void damage_superblocks(Past *p, bool both, uint64_t *random, char *text, size_t room) {
    int first = (int)(test_random(random) % 2);
    for (int i = 0; i < 1 + both; i++) change(p, 0, (first + i) % 2 ? SUPERBLOCK_SLOT : 0, SUPERBLOCK_SIZE, NULL);
    snprintf(text, room, "%s zeroed", both ? "both superblocks" : "a superblock");
}

static void damage_manifests(Past *p, bool both, uint64_t *random, char *text, size_t room) {
    int first = (int)(test_random(random) % 2), way = (int)(test_random(random) % 2);
    for (int i = 0; i < 1 + both; i++) {
        Range range = p->manifests[(first + i) % 2].items[0];
        uint64_t at = test_random(random) % ((range.size + 511) / 512) * 512;
        if (way) change(p, 0, range.from + at, 512 < range.size - at ? 512 : range.size - at, NULL);
        else flip_in(p, &range, random);
    }
    snprintf(text, room, "%s %s", both ? "both manifests" : "a manifest", way ? "zeroed in part" : "flipped");
}

static void damage_headers(Past *p, bool both, uint64_t *random, char *text, size_t room) {
    int file = 1 + (int)(test_random(random) % 2), first = (int)(test_random(random) % 2);
    for (int i = 0; i < 1 + both; i++) flip_in(p, &(Range){file, (first + i) % 2 ? WAL_HEADER_COPY : 0, WAL_HEADER_SIZE}, random);
    snprintf(text, room, "%s: %s flipped", files[file], both ? "both headers" : "a header");
}

/* The `number`-th fault, in p->work. */
static void damage(Past *p, uint64_t number, char *text, size_t room) {
    uint64_t random = test_seed() + 1000003 * number, size = 0, dice = test_random(&random) % 8;
    int file = dice < 5 ? 0 : dice < 7 ? 1 : 2;
    sim_disk_copy(p->disk, p->work);
    (void)sim_disk_bytes(p->work, files[file], &size);
    uint64_t a = test_random(&random), b = test_random(&random), unit = test_random(&random) % 3 ? 512 : 4096;
    Range range = any_range(&p->all, &random), index = any_range(&p->indexes, &random);
    bool both = test_random(&random) % 3 == 0;
    switch (number % 10) {
    case 0: case 1:
        flip_in(p, &range, &random);
        snprintf(text, room, "%s: a bit flipped within %" PRIu64 " bytes at %" PRIu64, files[range.file], range.size, range.from);
        break;
    case 2:
        change(p, file, a % size / 512 * 512, 512, NULL);
        snprintf(text, room, "%s: 512 bytes at %" PRIu64 " zeroed", files[file], a % size / 512 * 512);
        break;
    case 3:
        change(p, range.file, range.from / 512 * 512, 512, NULL);
        snprintf(text, room, "%s: 512 bytes at %" PRIu64 " zeroed", files[range.file], range.from / 512 * 512);
        break;
    case 4:
        swap(p, file, a % size / unit * unit, b % size / unit * unit, unit);
        snprintf(text, room, "%s: %" PRIu64 " bytes at %" PRIu64 " and %" PRIu64 " swapped", files[file], unit,
                 a % size / unit * unit, b % size / unit * unit);
        break;
    case 5:
        if (number % 100 == 5) {
            sim_disk_remove(p->work, files[file]);
            snprintf(text, room, "%s is lost", files[file]);
        } else {
            sim_disk_resize(p->work, files[file], a % size);
            snprintf(text, room, "%s cut to %" PRIu64 " of %" PRIu64 " bytes", files[file], a % size, size);
        }
        break;
    case 6: damage_superblocks(p, both, &random, text, room); break;
    case 7: damage_manifests(p, both, &random, text, room); break;
    case 8: damage_headers(p, both, &random, text, room); break;
    default:
        if (both) flip_in(p, &index, &random);
        else
            for (int i = 0; i < 5; i++) {
                range = any_range(&p->all, &random);
                flip_in(p, &range, &random);
            }
        snprintf(text, room, both ? "an index or its spare flipped at %" PRIu64 : "five bits flipped, the last near %" PRIu64,
                 both ? index.from : range.from);
    }
}

/* ---- asking ---- */

typedef struct Tally {
    uint64_t faults, harmless, found, rows, saved, lost, older, hopeless, wrong;
} Tally;

static bool wrong(Tally *t, const char *fault, const char *law, const char *text) {
    printf("# %s: %s (%s)\n", fault, law, text);
    check_that(CHECK_HERE, law, false);
    t->wrong++;
    return false;
}

static bool same_file(const SimDisk *a, const SimDisk *b, const char *name) {
    uint64_t a_size = 0, b_size = 0;
    const uint8_t *x = sim_disk_bytes(a, name, &a_size), *y = sim_disk_bytes(b, name, &b_size);
    return !x == !y && a_size == b_size && (a_size == 0 || memcmp(x, y, (size_t)a_size) == 0);
}

/* Between a log's headers nothing lies that counts, but it must be there. */
static bool logs_have_heads(const Past *p) {
    for (int i = 1; i < 3; i++) {
        uint64_t size = 0;
        if (!sim_disk_bytes(p->work, files[i], &size) || size < WAL_HEAD) return false;
    }
    return true;
}

static void ask_verify(Past *p, const char *fault, Tally *t) {
    nacre_options options = history_options(p->work, NACRE_STRICT);
    nacre_error error = {.code = NACRE_OK};
    uint64_t problems = 0;
    bool harmless = !hit(p, &p->all) && logs_have_heads(p);
    nacre_status status = nacre_verify_files("db", &options, true, NULL, NULL, &problems, &error);
    t->harmless += harmless;
    t->found += problems > 0;
    if (status != NACRE_OK) wrong(t, fault, "verify looks at damaged files", error.text);
    else if (!harmless && problems == 0) wrong(t, fault, "a fault in what is referred to is found", "no problem");
    else if (harmless && problems > 0) wrong(t, fault, "a fault in what nothing refers to is no problem", "problems");
}

typedef struct Told {
    uint64_t losses, doubts, damages;
    bool no_manifest, both_manifests;
    char text[200];
} Told;

static void told(void *self, const nacre_finding *finding) {
    Told *told_so_far = self;
    if (finding->kind == NACRE_FOUND_LOSS) {
        if (told_so_far->losses++ == 0) snprintf(told_so_far->text, sizeof told_so_far->text, "%s", finding->what);
        if (strstr(finding->what, "no manifest can be read")) told_so_far->no_manifest = true;
    }
    if (strstr(finding->what, "both manifests")) told_so_far->both_manifests = true;
    told_so_far->doubts += finding->kind == NACRE_FOUND_DOUBT;
    told_so_far->damages += finding->kind == NACRE_FOUND_DAMAGE;
    CHECK(finding->what && finding->where);
    if (getenv("REPAIR_SHOW")) printf("# %d %s %" PRIu64 " %s [%s: %s .. %s]\n", finding->kind, finding->where, finding->offset, finding->what, finding->membrane ? finding->membrane : "", finding->from ? finding->from : "", finding->to ? finding->to : "");
}

/* One row in the new database: 0 for absent. */
static uint32_t version_now(nacre_membrane *membrane, int m, uint32_t k, bool *right) {
    char room[48];
    nacre_value key = model_key(m, k, room);
    nacre_row row;
    *right = true;
    if (!membrane) return 0;
    nacre_status status = nacre_get(membrane, NULL, &key, &row);
    if (status == NACRE_NOT_FOUND) return 0;
    uint32_t version = status == NACRE_OK ? model_row_version(m, k, &row) : 0;
    *right = version != 0;
    return version;
}

static void ask_row(Past *p, const char *fault, nacre_membrane *membrane, int m, uint32_t k, bool hopeless, const Told *said,
                    Tally *t) {
    const Place *place = &p->places[m][k];
    bool right, whole = !hit(p, &place->ranges) && !(hit(p, &place->index) && hit(p, &place->spare));
    uint32_t is = version_now(membrane, m, k, &right), should = p->last.version[m][k];
    char text[120];
    snprintf(text, sizeof text, "%s %u: version %u, it was %u", names[m], (unsigned)k, (unsigned)is, (unsigned)should);
    t->rows++;
    t->saved += is == should;
    if (!right) wrong(t, fault, "no row is wrong", text);
    else if (is == should) return;
    else if (whole && !hopeless) wrong(t, fault, "what is undamaged is saved, and what is deleted stays so", text);
    else if (said->losses == 0) wrong(t, fault, "what is lost is told", text);
    else if (is != 0 && said->doubts == 0) wrong(t, fault, "what is older is told", text);
    t->lost += is == 0;
    t->older += is != 0 && is != should;
}

static void ask_repair(Past *p, const char *fault, Tally *t) {
    nacre_options options = history_options(p->work, NACRE_STRICT);
    nacre_error error = {.code = NACRE_OK};
    nacre_repair_report report;
    Told said = {.losses = 0};
    nacre_db *db = NULL;
    sim_disk_copy(p->work, p->before);
    nacre_status status = nacre_repair("db", "new", &options, told, &said, &report, &error);
    if (status != NACRE_OK) {
        wrong(t, fault, "repair makes a database", error.text);
        return;
    }
    for (int i = 0; i < 3; i++)
        if (!same_file(p->work, p->before, files[i])) wrong(t, fault, "the damaged files are not touched", files[i]);
    CHECK_EQ(said.losses, report.losses);
    /* Where both manifests are damaged, what both have lost tells which segments live, and in
     * which order: then rows may be lost or older whose own bytes are whole. */
    bool hopeless = hit(p, &p->manifests[0]) && hit(p, &p->manifests[1]);
    t->hopeless += hopeless;
    if ((said.no_manifest || said.both_manifests) && !hopeless) wrong(t, fault, "a manifest that is there is found", said.text);
    if (!CHECK_EQ(nacre_open("new", &options, &db, &error), NACRE_OK)) return;
    uint64_t problems = 0, rows = 0;
    if (nacre_verify(db, true, NULL, NULL, &problems) != NACRE_OK || problems) wrong(t, fault, "the new database is whole", "");
    for (int m = 0; m < MODEL_MEMBRANES && t->wrong < 3; m++) {
        nacre_membrane *membrane = NULL;
        uint64_t count = 0;
        status = nacre_membrane_open(db, names[m], NULL, &membrane);
        CHECK(status == NACRE_OK || status == NACRE_NOT_FOUND);
        if (membrane) CHECK_EQ(nacre_count(membrane, NULL, NULL, &count), NACRE_OK);
        rows += count;
        for (uint32_t k = 0; k < HISTORY_KEYS && t->wrong < 3; k++) ask_row(p, fault, membrane, m, k, hopeless, &said, t);
    }
    if (t->wrong == 0) CHECK_EQ(rows, report.rows);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

/* REPAIR_FAULTS in the environment: so many. */
static uint64_t fault_count(void) {
    const char *given = getenv("REPAIR_FAULTS");
    return given ? strtoull(given, NULL, 10) : crash_exhaustive() ? 1000 : 150;
}

static void faults(int kind) {
    Past p;
    Tally t = {0};
    uint64_t count = fault_count() / 3 + 1;
    if (CHECK(past_init(&p, kind)))
        for (uint64_t i = 0; i < count && t.wrong < 3; i++) {
            char fault[160] = "";
            damage(&p, 3 * i + (uint64_t)kind, fault, sizeof fault);
            t.faults++;
            ask_verify(&p, fault, &t);
            ask_repair(&p, fault, &t);
        }
    printf("# %" PRIu64 " faults: %" PRIu64 " found, %" PRIu64 " harmless, %" PRIu64 " with both manifests damaged; of %" PRIu64
           " rows %" PRIu64 " saved, %" PRIu64 " lost, %" PRIu64 " older\n",
           t.faults, t.found, t.harmless, t.hopeless, t.rows, t.saved, t.lost, t.older);
    CHECK(t.found > 0);
    past_clear(&p);
}

static void b22_b23_faults_in_a_closed_database_are_found_and_repaired(void) { faults(0); }
static void b22_b23_faults_in_a_database_with_a_cut_are_found_and_repaired(void) { faults(1); }
static void b22_b23_faults_in_a_compacted_database_are_found_and_repaired(void) { faults(2); }

/* A database that is whole is copied as it is, and nothing is told. */
static void b23_repair_of_a_whole_database_is_a_copy(void) {
    Past p;
    for (int kind = 0; kind < 3; kind++) {
        REQUIRE(past_init(&p, kind));
        sim_disk_copy(p.disk, p.work);
        nacre_options options = history_options(p.work, NACRE_STRICT);
        Told said = {.losses = 0};
        nacre_repair_report report;
        nacre_db *db = NULL;
        CHECK_EQ(nacre_repair("db", "new", &options, told, &said, &report, NULL), NACRE_OK);
        CHECK_EQ(said.losses + said.doubts + said.damages, 0);
        CHECK_EQ(nacre_open("new", &options, &db, NULL), NACRE_OK);
        CHECK_EQ(model_differences(db, NULL, &p.last), 0);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        CHECK_EQ(nacre_repair("db", "new", &options, NULL, NULL, NULL, NULL), NACRE_EXISTS);
        CHECK_EQ(nacre_repair("db", "db", &options, NULL, NULL, NULL, NULL), NACRE_INVALID_ARGUMENT);
        CHECK_EQ(nacre_repair("nothing", "new2", &options, NULL, NULL, NULL, NULL), NACRE_NOT_FOUND);
        past_clear(&p);
    }
}

void repair_test(void) {
    RUN(b23_repair_of_a_whole_database_is_a_copy);
    RUN(b22_b23_faults_in_a_closed_database_are_found_and_repaired);
    RUN(b22_b23_faults_in_a_database_with_a_cut_are_found_and_repaired);
    RUN(b22_b23_faults_in_a_compacted_database_are_found_and_repaired);
}
