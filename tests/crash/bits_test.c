/* bits_test.c - B19, B20: bits flip, each one of a database and its logs (make bits-long), or a sample
 * with all of them where little decides much. What a bit concerns is found out first: which
 * reads of the file are made by opening, by getting which row, by reading the changes. Then the
 * bit is flipped under a handle for reading, and only that is asked again: the right answer or a
 * typed failure, never another row and never an absence. Budget and steps stay those of the
 * right file, so memory and time do as well. */
#include "crash/past.h"
#include "lib/check.h"
#include "log/wal_format.h"
#include "store/superblock_format.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined __wasm__ || defined __aarch64__ || defined CRASH_SANITIZED /* emulated, or slow */
enum { OPEN_STEP = 4001, READ_STEP = 499 };
#else
enum { OPEN_STEP = 397, READ_STEP = 13 };
#endif

enum { UNIT = 64, WHO_NOBODY = 0, WHO_OPENING = 1, WHO_CHANGES = 2, WHO_ROW = 3 /* and the row's number */ };

/* Who reads each unit of each file first. */
typedef struct Bits {
    Past past;
    uint16_t *who[3];
    uint64_t size[3];
    uint16_t reader; /* who reads now */
    nacre_db *db;    /* that has not read what is flipped; NULL: open it */
    nacre_membrane *membranes[MODEL_MEMBRANES];
    const Model *model;
    uint64_t changes; /* a hash of all of them */
    uint64_t opening, reading, following, nobody, right, refused, prefix, wrong;
} Bits;

static void bits_seen(void *self, const char *file, uint64_t offset, size_t size) {
    Bits *b = self;
    for (int f = 0; f < 3; f++)
        for (uint64_t u = offset / UNIT; strcmp(file, past_files[f]) == 0 && size && u <= (offset + size - 1) / UNIT; u++)
            if (b->who[f][u] == WHO_NOBODY) b->who[f][u] = b->reader;
}

static nacre_status bits_open(Bits *b) {
    static const char *const names[MODEL_MEMBRANES] = {"texts", "numbers", "vectors"};
    nacre_options options = history_options(b->past.work, NACRE_STRICT);
    options.mode = NACRE_READ;
    nacre_status status = nacre_open("db", &options, &b->db, NULL);
    for (int m = 0; m < MODEL_MEMBRANES && status == NACRE_OK; m++)
        status = nacre_membrane_open(b->db, names[m], NULL, &b->membranes[m]);
    return status;
}

static void bits_close(Bits *b) {
    (void)nacre_close(b->db, NULL);
    b->db = NULL;
}

/* All changes that are kept, as one number. */
static nacre_status bits_follow(Bits *b, uint64_t *hash) {
    nacre_changes *changes = NULL;
    nacre_change change = {.kind = NACRE_CHANGE_PUT};
    uint64_t oldest = 0, newest = 0;
    *hash = 0;
    nacre_status status = nacre_changes_bounds(b->db, &oldest, &newest);
    if (status == NACRE_OK) status = nacre_changes_open(b->db, oldest, &changes);
    while (status == NACRE_OK && (status = nacre_changes_next(changes, &change)) == NACRE_OK) {
        if (change.kind == NACRE_CHANGE_NONE) break;
        uint64_t bytes = change.kind != NACRE_CHANGE_PUT || change.row.fields[0].type == NACRE_INTEGER
                             ? 0 : change.row.fields[0].bytes.size;
        *hash = (*hash + change.sequence * 31 + change.index + (uint64_t)change.kind + bytes) * 0x9e3779b97f4a7c15u;
    }
    nacre_changes_close(changes);
    return status;
}

static bool bits_wrong(Bits *b, int file, uint64_t bit, const char *law, nacre_status status) {
    printf("# bit %" PRIu64 " (byte %" PRIu64 ") of %s: %s (%s)\n", bit, bit / 8, past_files[file], law, nacre_status_name(status));
    b->wrong++;
    return check_that(CHECK_HERE, law, false);
}

static bool is_refusal(nacre_status status) { return status == NACRE_CORRUPT || status == NACRE_VERSION; }

/* What opening reads is flipped: everything is asked. */
static void bits_ask_all(Bits *b, int file, uint64_t bit) {
    Model model;
    bool right = true;
    bits_close(b);
    nacre_options options = history_options(b->past.work, NACRE_STRICT);
    options.mode = NACRE_READ;
    nacre_status status = nacre_open("db", &options, &b->db, NULL);
    if (status == NACRE_OK) status = past_read(b->db, &model, &right);
    size_t found = status == NACRE_OK ? history_find(&b->past.history, &model, 0, b->past.history.count) : SIZE_MAX;
    b->opening++;
    if (is_refusal(status)) b->refused++;
    else if (status != NACRE_OK) bits_wrong(b, file, bit, "damage is CORRUPT or VERSION", status);
    else if (!right || found == SIZE_MAX) bits_wrong(b, file, bit, "the content is that after some commit", status);
    else if (found == b->past.history.count) b->right++;
    else if (past_at_the_end(&b->past, file, bit / 8)) b->prefix++;
    else bits_wrong(b, file, bit, "no commit is missing", status);
    bits_close(b);
}

/* What one row or the changes are read from is flipped, under a handle that has not read it. */
static void bits_ask(Bits *b, int file, uint64_t bit, uint16_t who) {
    nacre_status status;
    bool same = true;
    if (who == WHO_CHANGES) {
        uint64_t hash;
        status = bits_follow(b, &hash);
        same = hash == b->changes;
        b->following++;
    } else {
        int m = (who - WHO_ROW) / HISTORY_KEYS;
        uint32_t key = (uint32_t)(who - WHO_ROW) % HISTORY_KEYS;
        char room[48];
        nacre_value name = model_key(m, key, room);
        nacre_row row;
        uint32_t version = b->model->version[m][key];
        status = nacre_get(b->membranes[m], NULL, &name, &row);
        if (status == NACRE_NOT_FOUND && version == 0) status = NACRE_OK; /* nor was it there before */
        else same = status != NACRE_OK || model_row_version(m, key, &row) == version;
        b->reading++;
    }
    if (is_refusal(status)) b->refused++;
    else if (status != NACRE_OK) bits_wrong(b, file, bit, "damage is CORRUPT or VERSION", status);
    else if (!same) bits_wrong(b, file, bit, "no row is another one", status);
    else b->right++;
    if (!is_refusal(status) || who == WHO_CHANGES) bits_close(b); /* it may be in the cache now */
}

static bool bits_prepare(Bits *b) {
    if (!past_init(&b->past, false)) return false;
    b->model = &b->past.history.states[b->past.history.count];
    SimDisk *work = past_copy(&b->past);
    for (int f = 0; f < 3; f++) {
        b->size[f] = past_size(&b->past, past_files[f]);
        b->who[f] = calloc((size_t)(b->size[f] / UNIT + 1), sizeof **b->who);
        if (!b->who[f]) abort();
    }
    sim_disk_watch(work, bits_seen, b);
    b->reader = WHO_OPENING;
    if (!CHECK_EQ(bits_open(b), NACRE_OK)) return false;
    for (int m = 0; m < MODEL_MEMBRANES; m++)
        for (uint32_t key = 0; key < HISTORY_KEYS; key++) {
            char room[48];
            nacre_value name = model_key(m, key, room);
            nacre_row row;
            b->reader = (uint16_t)(WHO_ROW + m * HISTORY_KEYS + (int)key);
            nacre_status status = nacre_get(b->membranes[m], NULL, &name, &row);
            if (!CHECK_EQ(status, b->model->version[m][key] ? NACRE_OK : NACRE_NOT_FOUND)) return false;
        }
    b->reader = WHO_CHANGES;
    bool right = CHECK_EQ(bits_follow(b, &b->changes), NACRE_OK);
    sim_disk_watch(work, NULL, NULL);
    bits_close(b);
    return right;
}

/* How many bits further on is the next one to flip? All of superblocks, manifests and headers,
 * whole frames here and there. */
static uint64_t bits_step(int file, uint64_t bit, uint16_t who) {
    uint64_t at = bit / 8;
    if (crash_exhaustive()) return 1;
    if (who != WHO_OPENING) return READ_STEP;
    bool dense = file ? at % 4096 < WAL_HEADER_SIZE && at < WAL_HEAD : at < 8192 && at % 4096 < 200;
    return !dense ? OPEN_STEP : READ_STEP < 100 ? 1 : 37; /* a prime: each bit of a byte in its turn */
}

static void b19_each_flipped_bit_gives_the_right_row_or_a_typed_failure(void) {
    Bits b = {.wrong = 0};
    uint64_t flipped = 0;
    REQUIRE(bits_prepare(&b));
    for (int file = 0; file < 3 && b.wrong < 3; file++)
        for (uint64_t bit = 0; bit < b.size[file] * 8 && b.wrong < 3;) {
            uint16_t who = b.who[file][bit / 8 / UNIT];
            if (who == WHO_NOBODY) {
                uint64_t next = (bit / 8 / UNIT + 1) * UNIT * 8;
                b.nobody += next - bit;
                bit = next;
                continue;
            }
            if (flipped % 10000 == 9999) { /* a fresh disk: the log of a simulated one only grows */
                bits_close(&b);
                (void)past_copy(&b.past);
            }
            if (!b.db && who != WHO_OPENING && !CHECK_EQ(bits_open(&b), NACRE_OK)) break;
            sim_disk_flip(b.past.work, past_files[file], bit);
            if (who == WHO_OPENING) bits_ask_all(&b, file, bit);
            else bits_ask(&b, file, bit, who);
            sim_disk_flip(b.past.work, past_files[file], bit);
            flipped++;
            bit += bits_step(file, bit, who);
        }
    printf("# %" PRIu64 " bytes in three files; %" PRIu64 " bits flipped: %" PRIu64 " that opening reads, %" PRIu64
           " of rows, %" PRIu64 " of changes; %" PRIu64 " that nobody reads\n", b.size[0] + b.size[1] + b.size[2], flipped,
           b.opening, b.reading, b.following, b.nobody);
    printf("# %" PRIu64 " right, %" PRIu64 " refused, %" PRIu64 " a prefix, %" PRIu64 " wrong\n", b.right, b.refused, b.prefix,
           b.wrong);
    CHECK(b.opening > 0 && b.reading > 0 && b.refused > b.right);
    bits_close(&b);
    for (int f = 0; f < 3; f++) free(b.who[f]);
    past_clear(&b.past);
}

void bits_test(void) { RUN(b19_each_flipped_bit_gives_the_right_row_or_a_typed_failure); }
