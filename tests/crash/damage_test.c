/* damage_test.c - what is on the disk is not what was written: flipped bits, cut files, zeroed
 * and swapped blocks, missing, foreign and later files. The answer is the right content, or a
 * typed error that names the file and leaves all files as they were. Only damage at the very end
 * of a log may cost the last commits, for it cannot be told from a torn write; then stats report
 * what was cut. Wrong rows, and an empty database in the place of a damaged one: never. */
#include "base/checksum.h"
#include "crash/past.h"
#include "lib/check.h"
#include "log/wal_format.h"
#include "store/superblock_format.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined __wasm__ || defined __aarch64__ /* often emulated */
enum { SAMPLES = 150, FLIPS = 150, ROUNDS = 60 };
#elif defined CRASH_SANITIZED
enum { SAMPLES = 600, FLIPS = 300, ROUNDS = 70 };
#else
enum { SAMPLES = 2500, FLIPS = 800, ROUNDS = 70 };
#endif
enum { EXTENT = 65536 };

/* ---- bits ---- */

static bool flip(Past *p, Verdicts *v, int file, uint64_t offset) {
    char damage[100];
    uint64_t bit = offset * 8 + (offset * 5 + offset / 8) % 8;
    snprintf(damage, sizeof damage, "%s: bit %" PRIu64 " of %s flipped", p->closed ? "closed" : "crashed", bit, past_files[file]);
    sim_disk_flip(past_copy(p), past_files[file], bit);
    return verdict_count(v, past_ask(p, damage, past_at_the_end(p, file, offset), true));
}

static void flip_range(Past *p, Verdicts *v, int file, uint64_t from, uint64_t to, uint64_t most) {
    uint64_t size = past_size(p, past_files[file]);
    if (to > size) to = size;
    uint64_t step = to > from ? 1 + (to - from) / (most ? most : 1) : 1;
    for (uint64_t at = from; at < to && flip(p, v, file, at); at += step) {}
}

/* Each byte of superblocks, manifests, log headers and frame heads; frames' bodies and blocks are sampled. */
static void flip_all(bool closed) {
    Past p;
    Verdicts v = {0};
    REQUIRE(past_init(&p, closed));
    for (int slot = 0; slot < 2; slot++) {
        uint64_t at = slot ? SUPERBLOCK_SLOT : 0, size;
        flip_range(&p, &v, 0, at, at + 200, FLIPS);
        flip_range(&p, &v, 0, at + 200, at + SUPERBLOCK_SIZE - 8, FLIPS / 20);
        flip_range(&p, &v, 0, at + SUPERBLOCK_SIZE - 8, at + SUPERBLOCK_SIZE, FLIPS);
        const uint8_t *sb = sim_disk_bytes(p.disk, "db", &size) + at;
        uint64_t manifest = (uint64_t)get_u32(sb + 84) * EXTENT, manifest_size = get_u64(sb + 64);
        CHECK(manifest > 0 && manifest < size && manifest_size > 0 && manifest_size < EXTENT);
        flip_range(&p, &v, 0, manifest, manifest + manifest_size, FLIPS / 4);
    }
    uint64_t end = past_size(&p, "db");
    flip_range(&p, &v, 0, EXTENT, end, FLIPS);
    for (int log = 0; log < 2; log++) {
        flip_range(&p, &v, 1 + log, 0, WAL_HEADER_SIZE, FLIPS);
        flip_range(&p, &v, 1 + log, WAL_HEADER_COPY, WAL_HEADER_COPY + WAL_HEADER_SIZE, FLIPS);
        flip_range(&p, &v, 1 + log, WAL_HEAD, p.end[log], FLIPS);
        uint64_t size;
        for (uint64_t at = WAL_HEAD; at < p.end[log]; at += get_u32(sim_disk_bytes(p.disk, past_files[1 + log], &size) + at + 12))
            flip_range(&p, &v, 1 + log, at, at + FRAME_HEAD, 8);
        if (p.last_frame[log] != UINT64_MAX) flip_range(&p, &v, 1 + log, p.last_frame[log], p.end[log], FLIPS / 4);
    }
    verdict_print("flipped bits", &v);
    CHECK(v.full > 0 && v.errors > 0);
    past_clear(&p);
}
static void no_flipped_bit_shows_wrong_data_after_a_close(void) { flip_all(true); }
static void no_flipped_bit_shows_wrong_data_after_a_crash(void) { flip_all(false); }

/* ---- pieces ---- */

/* B06, B21. What is cut off whole frames cannot be told from never having been written. */
static void cut_files_are_a_prefix_or_refused(void) {
    for (int closed = 0; closed < 2; closed++) {
        Past p;
        Verdicts v = {0};
        REQUIRE(past_init(&p, closed));
        for (int file = 0; file < 3; file++) {
            uint64_t size = past_size(&p, past_files[file]), step = 512 * (1 + size / 512 / SAMPLES);
            uint64_t dense = file && p.last_frame[file - 1] != UINT64_MAX ? p.last_frame[file - 1] : size;
            for (uint64_t to = 0; to < size && v.wrong < 3; to += to + step <= dense ? step : to < dense ? dense - to : 1 + (size - dense) / 800) {
                char damage[100];
                snprintf(damage, sizeof damage, "%s cut to %" PRIu64 " of %" PRIu64 " bytes", past_files[file], to, size);
                sim_disk_resize(past_copy(&p), past_files[file], to);
                bool log_end = file == 1 + p.active && !closed && to >= WAL_HEAD;
                verdict_count(&v, past_ask(&p, damage, log_end, false));
            }
        }
        verdict_print(closed ? "cut after a close" : "cut after a crash", &v);
        CHECK(v.errors > 0);
        past_clear(&p);
    }
}

static void zero_or_swap(Past *p, int file, uint64_t a, uint64_t b, size_t unit, bool swap, Verdicts *v) {
    uint64_t size = past_size(p, past_files[file]);
    SimDisk *work = past_copy(p);
    if (a + unit > size || b + unit > size) return;
    static uint8_t at_a[EXTENT], at_b[EXTENT];
    sim_disk_peek(work, past_files[file], a, at_a, unit);
    sim_disk_peek(work, past_files[file], b, at_b, unit);
    sim_disk_poke(work, past_files[file], a, swap ? at_b : NULL, unit);
    if (swap) sim_disk_poke(work, past_files[file], b, at_a, unit);
    char damage[120];
    snprintf(damage, sizeof damage, "%s: %zu bytes at %" PRIu64 " %s %" PRIu64, past_files[file], unit, a,
             swap ? "swapped with those at" : "zeroed", b);
    /* Pieces longer than a frame may take several from the end. */
    uint64_t far = swap && b > a ? b : a;
    bool end = file == 1 + p->active && !p->closed && far + unit > p->last_frame[p->active];
    verdict_count(v, past_ask(p, damage, end, true));
}

static void lost_and_misdirected_blocks_are_noticed(void) {
    for (int closed = 0; closed < 2; closed++) {
        Past p;
        Verdicts zeroed = {0}, swapped = {0};
        uint64_t random = test_seed();
        REQUIRE(past_init(&p, closed));
        for (int file = 0; file < 3; file++) {
            uint64_t size = past_size(&p, past_files[file]), step = 512 * (crash_exhaustive() ? 1 : 1 + size / 512 / (SAMPLES / 2));
            for (uint64_t at = 0; at + 512 <= size && zeroed.wrong < 3; at += step)
                zero_or_swap(&p, file, at, at, 512, false, &zeroed);
            for (int i = 0; i < (crash_exhaustive() ? 20 : 1) * SAMPLES / 8 && swapped.wrong < 3; i++) {
                size_t unit = i % 3 == 0 ? 512 : i % 3 == 1 ? 4096 : EXTENT;
                if (size < unit) continue;
                uint64_t a = test_random(&random) % (size / unit) * unit, b = test_random(&random) % (size / unit) * unit;
                zero_or_swap(&p, file, a, b, unit, true, &swapped);
            }
        }
        /* Neighbours within a segment, and the same page of two segments. */
        uint64_t pages = past_size(&p, "db") / 4096, beside = EXTENT / 4096;
        for (uint64_t page = beside; page + 1 < pages && swapped.wrong < 3; page += 2500 / SAMPLES)
            zero_or_swap(&p, 0, page * 4096, page * 4096 + 4096, 4096, true, &swapped);
        for (uint64_t a = 1; a < pages / beside && swapped.wrong < 3; a++)
            for (uint64_t b = a + 1; b < pages / beside && swapped.wrong < 3; b += 2500 / SAMPLES)
                zero_or_swap(&p, 0, a * EXTENT + 4096, b * EXTENT + 4096, 4096, true, &swapped);
        verdict_print("zeroed", &zeroed);
        verdict_print("swapped", &swapped);
        past_clear(&p);
    }
}

/* ---- files ---- */

static void expect(Past *p, const char *damage, nacre_status want) {
    nacre_options options = history_options(p->work, NACRE_STRICT);
    for (nacre_mode mode = NACRE_READWRITE; mode <= NACRE_READ; mode++) {
        if (mode == NACRE_CREATE) continue;
        nacre_db *db = NULL;
        nacre_error error = {0};
        options.mode = mode;
        sim_disk_copy(p->work, p->before);
        nacre_status status = nacre_open("db", &options, &db, &error);
        if (status != want || (status != NACRE_OK && !strstr(error.text, "db"))) {
            printf("# %s, mode %d: %s\n", damage, (int)mode, error.text);
            CHECK_STR(nacre_status_name(status), nacre_status_name(want));
        }
        if (status != NACRE_OK) CHECK(past_same_files(p->work, p->before));
        (void)nacre_close(db, NULL);
    }
}

/* B09, B30: a missing file is named, and never made anew. */
static void missing_files_are_named(void) {
    for (int closed = 0; closed < 2; closed++) {
        Past p;
        REQUIRE(past_init(&p, closed));
        for (int set = 1; set < 7; set++) {
            char damage[40];
            snprintf(damage, sizeof damage, "files of set %d missing", set);
            SimDisk *work = past_copy(&p);
            for (int file = 0; file < 3; file++)
                if (set >> file & 1) sim_disk_remove(work, past_files[file]);
            expect(&p, damage, NACRE_CORRUPT);
        }
        for (int file = 0; file < 3; file++) {
            sim_disk_put(past_copy(&p), past_files[file], "", 0);
            expect(&p, "an emptied file", NACRE_CORRUPT);
        }
        past_clear(&p);
    }
}

/* B10: what is no Nacre database is refused as such, and not touched. */
static void foreign_files_are_refused(void) {
    static const struct {
        const char *name, *begin;
        size_t size;
        nacre_status want;
    } rows[] = {{"text", "Dear diary,", 11, NACRE_CORRUPT},
                {"a picture", "\x89PNG\r\n\x1a\n", 5000, NACRE_CORRUPT},
                {"SQLite", "SQLite format 3", 8192, NACRE_CORRUPT},
                {"zeros", "", 70000, NACRE_CORRUPT},
                {"one byte", "N", 1, NACRE_CORRUPT},
                {"the magic alone", "NACREDB\n", 8, NACRE_CORRUPT},
                {"the magic and no version of ours", "NACREDB\n", 70000, NACRE_VERSION}};
    Past p;
    REQUIRE(past_init(&p, true));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t *bytes = calloc(1, rows[i].size);
        if (!bytes) abort();
        size_t begin = strlen(rows[i].begin);
        memcpy(bytes, rows[i].begin, begin < rows[i].size ? begin : rows[i].size);
        for (int file = 0; file < 3; file++) { /* among ours; then alone */
            sim_disk_put(past_copy(&p), past_files[file], bytes, rows[i].size);
            expect(&p, rows[i].name, file == 0 ? rows[i].want : NACRE_CORRUPT);
        }
        SimDisk *work = past_copy(&p);
        for (int file = 1; file < 3; file++) sim_disk_remove(work, past_files[file]);
        sim_disk_put(work, "db", bytes, rows[i].size);
        expect(&p, rows[i].name, rows[i].want);
        free(bytes);
    }
    for (int file = 1; file < 3; file++) { /* a log of another database: it has another id */
        uint64_t size = 0;
        const uint8_t *bytes = sim_disk_bytes(p.disk, past_files[file], &size);
        uint8_t *copy = malloc((size_t)size);
        if (!copy) abort();
        memcpy(copy, bytes, (size_t)size);
        for (int c = 0; c < 2; c++) {
            uint8_t *header = copy + (c ? WAL_HEADER_COPY : 0);
            header[16] ^= 1;
            put_u64(header + WAL_HEADER_SIZE - 8, checksum64(0, header, WAL_HEADER_SIZE - 8));
        }
        sim_disk_put(past_copy(&p), past_files[file], copy, (size_t)size);
        expect(&p, "a log of another database", NACRE_CORRUPT);
        free(copy);
    }
    past_clear(&p);
}

/* B10: a later format version, in either slot or log, is VERSION; all stays as it is. */
static void later_versions_are_refused_untouched(void) {
    Past p;
    REQUIRE(past_init(&p, true));
    for (int which = 1; which < 16; which++) { /* bits 0, 1: superblocks; 2, 3: logs with both headers */
        SimDisk *work = past_copy(&p);
        for (int file = 0; file < 3; file++) {
            uint64_t size = 0;
            const uint8_t *bytes = sim_disk_bytes(work, past_files[file], &size);
            uint8_t *copy = malloc((size_t)size);
            if (!copy) abort();
            memcpy(copy, bytes, (size_t)size);
            for (int c = 0; c < 2; c++) {
                size_t head = file ? WAL_HEADER_SIZE : SUPERBLOCK_SIZE;
                uint8_t *at = copy + (c ? 4096 : 0);
                if (!(which >> (file ? file + 1 : c) & 1)) continue;
                put_u32(at + 8, (file ? WAL_VERSION : FORMAT_VERSION) + 1);
                put_u64(at + head - 8, checksum64(0, at, head - 8));
            }
            sim_disk_put(work, past_files[file], copy, (size_t)size);
            free(copy);
        }
        char damage[40];
        snprintf(damage, sizeof damage, "later version, set %d", which);
        expect(&p, damage, NACRE_VERSION);
    }
    past_clear(&p);
}

/* ---- order ---- */

/* B07: when a log is emptied, both superblocks on the device cover every batch in it. */
static void a_log_is_emptied_only_when_both_superblocks_cover_it(void) {
    size_t resets = 0;
    for (uint64_t seed = test_seed(); seed < test_seed() + 4; seed++) {
        History h;
        history_init(&h, seed, (nacre_durability)(seed % 3));
        SimDisk *at = sim_disk_new(0);
        bool lived = history_go_on(&h, 150);
        for (size_t k = 0; k < sim_disk_operations(h.disk) && lived; k++) {
            SimOperation op = sim_disk_operation(h.disk, k);
            if (op.kind != SIM_TRUNCATE || !strstr(op.file, "-wal") || op.offset > WAL_HEAD) continue;
            sim_disk_replay(h.disk, k, at);
            uint64_t size = 0, log_size = 0, most = 0;
            const uint8_t *log = sim_disk_bytes(at, op.file, &log_size);
            for (uint64_t f = WAL_HEAD; log && f + FRAME_HEAD <= log_size; f += get_u32(log + f + 12)) {
                if (get_u32(log + f + 12) < FRAME_HEAD || get_u32(log + f + 12) > log_size - f) break;
                if (get_u32(log + f + 8) == FRAME_BATCHES) most = get_u64(log + f + 16);
            }
            SimDisk *durable = sim_disk_clone(at);
            sim_disk_crash(durable, SIM_CRASH_PREFIX, 0);
            const uint8_t *sb = sim_disk_bytes(durable, "db", &size);
            if (most) CHECK(size >= 8192 && get_u64(sb + 48) >= most && get_u64(sb + SUPERBLOCK_SLOT + 48) >= most);
            resets += most > 0;
            sim_disk_free(durable);
        }
        sim_disk_free(at);
        history_free(&h);
    }
    CHECK(resets > 3);
}

/* The last whole frame of a log: its offset and LSN; false: there is none. */
static bool last_frame(const SimDisk *disk, const char *file, uint64_t *offset, uint64_t *lsn) {
    uint64_t size = 0;
    const uint8_t *bytes = sim_disk_bytes(disk, file, &size);
    *offset = 0;
    for (uint64_t at = WAL_HEAD; bytes && at + FRAME_HEAD <= size && get_u32(bytes + at + 12) >= FRAME_HEAD &&
                                 get_u32(bytes + at + 12) <= size - at;
         at += get_u32(bytes + at + 12)) {
        *offset = at;
        *lsn = get_u64(bytes + at + 16);
    }
    return *offset != 0;
}

/* While a flush is under way both logs hold rows that no segment has. When the older one does not
 * reach up to the newer one, rows in between are missing, however right each frame is. */
static void a_gap_between_the_logs_is_damage(void) {
    History h;
    size_t looked = 0;
    history_init(&h, test_seed() | 1, NACRE_STRICT);
    REQUIRE(history_go_on(&h, 3 * ROUNDS + 150));
    SimDisk *at = sim_disk_new(0);
    for (size_t k = 0; k < sim_disk_operations(h.disk); k += 3) {
        uint64_t size = 0, offset[2], lsn[2];
        sim_disk_replay(h.disk, k, at);
        const uint8_t *db_bytes = sim_disk_bytes(at, "db", &size);
        if (size < EXTENT || !last_frame(at, past_files[1], &offset[0], &lsn[0]) || !last_frame(at, past_files[2], &offset[1], &lsn[1]))
            continue;
        int older = lsn[0] > lsn[1];
        if (lsn[older] <= get_u64(db_bytes + 48) || lsn[older] <= get_u64(db_bytes + SUPERBLOCK_SLOT + 48)) continue;
        SimDisk *work = sim_disk_clone(at);
        nacre_options options = history_options(work, NACRE_STRICT);
        nacre_db *db = NULL;
        sim_disk_resize(work, past_files[1 + older], offset[older]);
        sim_disk_crash(work, SIM_CRASH_PREFIX, sim_disk_crash_states(work, SIM_CRASH_PREFIX) - 1);
        CHECK_EQ(nacre_open("db", &options, &db, NULL), NACRE_CORRUPT);
        (void)nacre_close(db, NULL);
        sim_disk_free(work);
        looked++;
    }
    CHECK(looked > 5);
    sim_disk_free(at);
    history_free(&h);
}

/* A frame that outlived a reset must not pass for a new one, also when the seed is always the same. */
static void salts_never_repeat(void) {
    uint64_t salts[400], sequences[400];
    size_t count = 0;
    History h;
    history_init(&h, test_seed() & ~UINT64_C(1), NACRE_STRICT);
    REQUIRE(history_go_on(&h, 600));
    SimDisk *at = sim_disk_new(0);
    for (size_t k = 0; k < sim_disk_operations(h.disk) && count < 400; k++) {
        SimOperation op = sim_disk_operation(h.disk, k);
        if (op.kind != SIM_WRITE || !strstr(op.file, "-wal") || op.offset != 0) continue;
        uint64_t size = 0;
        sim_disk_replay(h.disk, k + 1, at);
        const uint8_t *header = sim_disk_bytes(at, op.file, &size);
        sequences[count] = get_u64(header + 32);
        salts[count] = get_u64(header + 40);
        for (size_t i = 0; i < count; i++) CHECK(salts[i] != salts[count] || sequences[i] == sequences[count]);
        count++;
    }
    CHECK(count > 8);
    sim_disk_free(at);
    history_free(&h);
}

/* A crash within a reset leaves one right header. Rows written later must not depend on it alone. */
static void a_log_header_left_alone_is_mended_before_rows_follow_it(void) {
    History h;
    size_t looked = 0;
    history_init(&h, test_seed() & ~UINT64_C(1), NACRE_STRICT);
    REQUIRE(history_go_on(&h, ROUNDS));
    SimDisk *at = sim_disk_new(0);
    for (size_t k = 0; k < sim_disk_operations(h.disk); k++) {
        SimOperation op = sim_disk_operation(h.disk, k);
        if (op.kind != SIM_WRITE || !strstr(op.file, "-wal") || op.offset >= WAL_HEAD) continue;
        sim_disk_replay(h.disk, k, at);
        for (int damage = 0; damage < 4; damage++) {
            SimDisk *work = sim_disk_clone(at);
            nacre_options options = history_options(work, NACRE_STRICT);
            nacre_db *db = NULL;
            nacre_error error = {0};
            Model model, found;
            uint64_t random = k;
            sim_disk_crash(work, SIM_CRASH_PREFIX, sim_disk_crash_states(work, SIM_CRASH_PREFIX) - 1);
            if (!CHECK(nacre_open("db", &options, &db, &error) == NACRE_OK)) puts(error.text);
            if (db && CHECK(model_read(db, NULL, &model)) && CHECK_EQ(history_batch(db, &model, &found, &random), NACRE_OK)) {
                model = found;
                sim_disk_wait(work, 2);
                sim_disk_crash(work, SIM_CRASH_PREFIX, 0);
                (void)nacre_close(db, NULL);
                db = NULL;
                sim_disk_flip(work, past_files[1 + damage / 2], damage % 2 ? 8 * WAL_HEADER_COPY + 300 : 300);
                if (!CHECK(nacre_open("db", &options, &db, &error) == NACRE_OK)) puts(error.text);
                if (db) CHECK(model_read(db, NULL, &found) && memcmp(&model, &found, sizeof model) == 0);
                looked++;
            }
            (void)nacre_close(db, NULL);
            sim_disk_free(work);
        }
    }
    CHECK(looked > 20);
    sim_disk_free(at);
    history_free(&h);
}

/* The newest superblock or its manifest is gone: the one before and the logs tell the same, and stats say so. */
static void a_damaged_newest_superblock_is_replaced_by_the_older_one(void) {
    Past p;
    REQUIRE(past_init(&p, true));
    uint64_t size = 0;
    const uint8_t *db_bytes = sim_disk_bytes(p.disk, "db", &size);
    int newest = get_u64(db_bytes + SUPERBLOCK_SLOT + 32) > get_u64(db_bytes + 32);
    uint64_t slot = newest ? SUPERBLOCK_SLOT : 0;
    uint64_t where[2] = {slot + 100, (uint64_t)get_u32(db_bytes + slot + 84) * EXTENT + 3};
    for (int i = 0; i < 2; i++) {
        nacre_db *db = NULL;
        const char *json = "";
        Model model;
        sim_disk_flip(past_copy(&p), "db", where[i] * 8);
        nacre_options options = history_options(p.work, NACRE_STRICT);
        REQUIRE(nacre_open("db", &options, &db, NULL) == NACRE_OK);
        CHECK(nacre_stats_json(db, &json) == NACRE_OK && strstr(json, "\"fallback\":true"));
        CHECK(model_read(db, NULL, &model) && memcmp(&model, &p.history.states[p.history.count], sizeof model) == 0);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    }
    sim_disk_flip(past_copy(&p), "db", 800);
    sim_disk_flip(p.work, "db", (SUPERBLOCK_SLOT + 100) * 8);
    expect(&p, "both superblocks damaged", NACRE_CORRUPT);
    past_clear(&p);
}

void damage_test(void) {
    RUN(no_flipped_bit_shows_wrong_data_after_a_close);
    RUN(no_flipped_bit_shows_wrong_data_after_a_crash);
    RUN(cut_files_are_a_prefix_or_refused);
    RUN(lost_and_misdirected_blocks_are_noticed);
    RUN(missing_files_are_named);
    RUN(foreign_files_are_refused);
    RUN(later_versions_are_refused_untouched);
    RUN(a_log_is_emptied_only_when_both_superblocks_cover_it);
    RUN(a_gap_between_the_logs_is_damage);
    RUN(salts_never_repeat);
    RUN(a_log_header_left_alone_is_mended_before_rows_follow_it);
    RUN(a_damaged_newest_superblock_is_replaced_by_the_older_one);
}
