/* crypt_test.c - H08: the laws of power and faults over the encrypting layer; then what only it
 * can do wrong: damage of what is sealed, nonces, plain text in a file, changes of the key. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200112L /* setenv */
#endif
#include "crash/history.h"
#include "base/codec.h"
#include "host/crypt_format.h"
#include "lib/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void power_test(void);
void fault_test(void);
void restore_test(void);

#if defined __wasm__ || defined __aarch64__ || defined CRASH_SANITIZED
enum { SAMPLES = 24 };
#else
enum { SAMPLES = 120 };
#endif

static const uint8_t key[32] = "the key of a database of a test";

/* ---- damage ---- */

static const char *const files[3] = {"db", "db-wal0", "db-wal1"};

typedef struct Damage {
    History history;
    SimDisk *disk, *work;
    uint64_t last[2]; /* where the last record of each log begins; its end where there is none */
    uint64_t random, counts[3]; /* right, shorter, refused */
    size_t wrong;
} Damage;

/* Where the last record is, by the sizes in their heads. */
static uint64_t damage_last(const Damage *d, const char *file) {
    uint64_t size = 0, last, at = CRYPT_LOG_HEAD;
    const uint8_t *bytes = sim_disk_bytes(d->disk, file, &size);
    for (last = size; at + CRYPT_RECORD <= size; at += CRYPT_RECORD + get_u64(bytes + at + CRYPT_SEAL + 8)) last = at;
    return last;
}

static bool damage_init(Damage *d) {
    *d = (Damage){.random = test_seed()};
    history_init(&d->history, test_seed() & ~UINT64_C(7), NACRE_STRICT);
    bool right = history_go_on(&d->history, 60) && (d->history.db || history_go_on(&d->history, 1)) &&
                 CHECK_EQ(nacre_compact(d->history.db, NULL), NACRE_OK) && history_go_on(&d->history, 30);
    while (right && (!d->history.db || d->history.count % 4)) right = history_go_on(&d->history, 1);
    d->disk = sim_disk_clone(d->history.disk);
    sim_disk_crash(d->disk, SIM_CRASH_PREFIX, sim_disk_crash_states(d->disk, SIM_CRASH_PREFIX) - 1);
    sim_disk_set_clock(d->disk, d->history.clock += 1000);
    d->work = sim_disk_new(0);
    for (int i = 0; i < 2; i++) d->last[i] = damage_last(d, files[1 + i]);
    return right;
}

/* `d->work` is damaged at [at, at + size) of `file`: the right rows, or CORRUPT; a state before only
 * when the end of a log is concerned. */
static void damage_ask(Damage *d, int file, uint64_t at, uint64_t size, const char *how) {
    nacre_options options = history_options(d->work, NACRE_STRICT);
    nacre_db *db = NULL;
    nacre_error error = {0};
    Model model;
    bool end = file > 0 && at + size > d->last[file - 1];
    nacre_status status = nacre_open("db", &options, &db, &error);
    uint64_t problems = 0;
    bool right = status == NACRE_OK || status == NACRE_CORRUPT;
    if (db) right = CHECK_EQ(nacre_verify(db, true, NULL, NULL, &problems), NACRE_OK);
    if (db && problems == 0) {
        if (!CHECK(model_read(db, NULL, &model))) d->wrong++;
        size_t found = history_find(&d->history, &model, 0, d->history.count);
        right = found == d->history.count || (end && found != SIZE_MAX);
        d->counts[found == d->history.count ? 0 : 1]++;
    } else {
        d->counts[2]++;
    }
    if (!right) printf("# %s: %s, %llu bytes at %llu: %s\n", files[file], how, (unsigned long long)size,
                       (unsigned long long)at, error.text);
    d->wrong += !CHECK(right);
    (void)nacre_close(db, NULL);
}

static void damage_flip(Damage *d, int file, uint64_t at) {
    sim_disk_copy(d->disk, d->work);
    sim_disk_flip(d->work, files[file], at * 8 + test_random(&d->random) % 8);
    damage_ask(d, file, at, 1, "a bit flipped");
}

/* Pieces zeroed, or swapped with those of another place. */
static void damage_piece(Damage *d, int file, uint64_t a, uint64_t b, size_t unit, bool swap) {
    uint64_t size = 0;
    sim_disk_copy(d->disk, d->work);
    const uint8_t *bytes = sim_disk_bytes(d->work, files[file], &size);
    uint8_t *changed = malloc((size_t)size);
    if (!changed) abort();
    if (a + unit <= size && b + unit <= size) {
        memcpy(changed, bytes, (size_t)size);
        if (swap) memcpy(changed + a, bytes + b, unit), memcpy(changed + b, bytes + a, unit);
        else memset(changed + a, 0, unit);
        sim_disk_put(d->work, files[file], changed, (size_t)size);
        damage_ask(d, file, swap && b > a ? b : a, unit, swap ? "swapped" : "zeroed");
    }
    free(changed);
}

static void h08_damage_is_told_and_never_shown(void) {
    Damage d;
    REQUIRE(damage_init(&d));
    for (int file = 0; file < 3 && d.wrong < 3; file++) {
        uint64_t size = 0;
        (void)sim_disk_bytes(d.disk, files[file], &size);
        for (int i = 0; i < SAMPLES && d.wrong < 3; i++) damage_flip(&d, file, test_random(&d.random) % size);
        for (int i = 0; i < SAMPLES / 4 && d.wrong < 3; i++) {
            size_t unit = i % 3 == 0 ? 512 : i % 3 == 1 ? 4096 : CRYPT_STRIDE;
            uint64_t a = test_random(&d.random) % size, b = test_random(&d.random) % size;
            if (unit == CRYPT_STRIDE) { /* whole pages change places: each authenticates elsewhere only */
                a = CRYPT_HEAD + a / CRYPT_STRIDE * CRYPT_STRIDE;
                b = CRYPT_HEAD + b / CRYPT_STRIDE * CRYPT_STRIDE;
            }
            damage_piece(&d, file, a, b, unit, i % 2);
        }
    }
    printf("# %llu right, %llu shorter, %llu refused\n", (unsigned long long)d.counts[0],
           (unsigned long long)d.counts[1], (unsigned long long)d.counts[2]);
    CHECK(d.counts[0] > 0 && d.counts[2] > 0);
    sim_disk_free(d.work);
    sim_disk_free(d.disk);
    history_free(&d.history);
}

void crypt_test(void) {
    const char *wanted = getenv("CRASH_STATES");
    if (!wanted) setenv("CRASH_STATES", "450", 1);
    history_key = key;
    RUN(h08_damage_is_told_and_never_shown);
    power_test();
    fault_test();
    restore_test();
    history_key = NULL;
    if (!wanted) unsetenv("CRASH_STATES");
}
