/* expiry_test.c - rows that expire, over power failures (C33): the time that was
 * acknowledged is the time that is found, and what is over stays away. */
#include "lib/check.h"
#include "lib/sim_disk.h"

#include "nacre.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 60, PUTS = 260, START = 1700000000 };

typedef struct Put {
    int64_t key;
    uint64_t expires; /* 0: never */
    size_t acknowledged; /* operations of the disk when it was */
} Put;

static nacre_db *open_on(SimDisk *disk, nacre_membrane **kv) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.vfs = sim_disk_vfs(disk);
    options.memory = 4 << 20;
    options.memtable_size = 64 << 10;
    options.segment_size = 64 << 10;
    options.seed = 5;
    nacre_db *db = NULL;
    nacre_error error = {0};
    if (nacre_open("db", &options, &db, &error) != NACRE_OK) {
        check_that(CHECK_HERE, error.text, false);
        return NULL;
    }
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_TEXT);
    schema.ttl_ms = 400;
    if (kv && !CHECK_EQ(nacre_membrane_open(db, "kv", &schema, kv), NACRE_OK)) abort();
    return db;
}

/* One life: puts with and without times, the clock going on, flushes and merges between. */
static SimDisk *live(Put *puts, uint64_t *random, uint64_t *now) {
    SimDisk *disk = sim_disk_new(1);
    sim_disk_set_clock(disk, *now = START);
    nacre_membrane *kv = NULL;
    nacre_db *db = open_on(disk, &kv);
    char text[700];
    memset(text, 'x', sizeof text);
    for (int i = 0; i < PUTS && db; i++) {
        static const uint64_t ttls[] = {0, 20, 100000, NACRE_TTL_NEVER};
        nacre_put_options options = NACRE_PUT_INIT;
        options.ttl_ms = ttls[test_random(random) % 4];
        puts[i].key = (int64_t)(test_random(random) % KEYS);
        nacre_value key = nacre_integer(puts[i].key), value = nacre_text_sized(text, 200 + test_random(random) % 500);
        CHECK_EQ(nacre_put_with(kv, &key, NULL, &value, &options), NACRE_OK);
        uint64_t ttl = options.ttl_ms == 0 ? 400 : options.ttl_ms;
        puts[i].expires = ttl == NACRE_TTL_NEVER ? 0 : *now + ttl;
        puts[i].acknowledged = sim_disk_operations(disk);
        sim_disk_set_clock(disk, *now += test_random(random) % 12);
        if (i % 70 == 69) CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
        if (i == 150) CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    return disk;
}

/* Is the row of a key, at this clock, what one of the puts from `least` on left? */
static bool row_can_be(const Put *puts, int last, int most, int64_t key, nacre_status status, uint64_t expires, uint64_t now) {
    for (int i = last; i <= most; i++) {
        if (i >= 0 && puts[i].key != key) continue;
        bool there = i >= 0 && (puts[i].expires == 0 || puts[i].expires > now);
        if (status == (there ? NACRE_OK : NACRE_NOT_FOUND) && (!there || expires == puts[i].expires)) return true;
    }
    return false;
}

static void c33_times_survive_any_power_failure(void) {
    static Put puts[PUTS];
    uint64_t random = test_seed() + 33, end = 0;
    SimDisk *life = live(puts, &random, &end);
    SimDisk *at = sim_disk_new(0), *after = sim_disk_new(0);
    size_t operations = sim_disk_operations(life), stride = 1 + operations / 150;
    int wrong = 0;
    for (size_t k = test_random(&random) % stride; k <= operations && wrong < 3; k += stride) {
        sim_disk_replay(life, k, at);
        sim_disk_copy(at, after);
        uint64_t states = sim_disk_crash_states(after, SIM_CRASH_PREFIX);
        sim_disk_crash(after, SIM_CRASH_PREFIX, test_random(&random) % states);
        uint64_t now = end + test_random(&random) % 2 * 400;
        sim_disk_set_clock(after, now);
        nacre_membrane *kv = NULL;
        nacre_db *db = open_on(after, &kv);
        if (!db) break;
        int acknowledged = -1, most = -1;
        while (acknowledged + 1 < PUTS && puts[acknowledged + 1].acknowledged <= k) acknowledged++;
        most = acknowledged + 1 < PUTS ? acknowledged + 1 : acknowledged; /* one may be in flight */
        for (int64_t key = 0; key < KEYS; key++) {
            int last = acknowledged; /* the last acknowledged put of the key; -1: none */
            while (last >= 0 && puts[last].key != key) last--;
            nacre_value value = nacre_integer(key);
            nacre_row row = {0};
            nacre_status status = nacre_get(kv, NULL, &value, &row);
            wrong += !row_can_be(puts, last, most, key, status, status == NACRE_OK ? row.expires_ms : 0, now);
        }
        uint64_t problems = 0;
        CHECK_EQ(nacre_verify(db, true, NULL, NULL, &problems), NACRE_OK);
        CHECK_EQ(problems, 0);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        if (wrong) printf("# crash after %zu of %zu operations\n", k, operations);
    }
    CHECK_EQ(wrong, 0);
    sim_disk_free(at);
    sim_disk_free(after);
    sim_disk_free(life);
}

void expiry_test(void) { RUN(c33_times_survive_any_power_failure); }
