/* reader_test.c - reading beside a writer (D10, C07): a reader sees a state that was
 * committed, at whatever moment of the writer it looks and whatever the writer does
 * while it looks; it can move on; what it pins stays, and what it no longer pins does not. */
#include "lib/between.h"
#include "lib/check.h"
#include "lib/failing_allocator.h"
#include "lib/sim_disk.h"

#include "db/state.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- states that say which one they are ----
 *
 * Batch n puts row n % KEYS, with a value made of n, and row COUNTER with n itself. So a
 * reader finds n in COUNTER, and from n it is known what every row must be. */

enum { KEYS = 40, COUNTER = 1000 };

static nacre_options options_on(const Vfs *vfs, nacre_mode mode) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.vfs = vfs;
    options.mode = mode;
    options.memory = 4 << 20;
    options.memtable_size = 64 << 10;
    options.seed = 9;
    return options;
}

static nacre_status try_open(const Vfs *vfs, nacre_mode mode, nacre_db **db) {
    nacre_options options = options_on(vfs, mode);
    nacre_error error = {NACRE_OK, ""};
    nacre_status status = nacre_open("db", &options, db, &error);
    if (status != NACRE_OK && status != NACRE_BUSY) printf("# open: %s\n", error.text);
    return status;
}

static nacre_membrane *open_rows(nacre_db *db, bool create) {
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    nacre_membrane *rows = NULL;
    CHECK_EQ(nacre_membrane_open(db, "rows", create ? &schema : NULL, &rows), NACRE_OK);
    return rows;
}

static size_t value_of(int64_t n, uint8_t *into) {
    size_t size = 8 + (size_t)(n * 7919 % 500);
    memset(into, (int)(n % 251), size);
    memcpy(into, &n, 8);
    return size;
}

static nacre_status put_batch(nacre_db *db, nacre_membrane *rows, int64_t n) {
    uint8_t bytes[600];
    size_t size = value_of(n, bytes);
    nacre_batch *batch = NULL;
    nacre_value key = nacre_integer(n % KEYS), value = nacre_bytes(bytes, size), counter = nacre_integer(COUNTER);
    TRY(nacre_batch_begin(db, &batch));
    nacre_status status = nacre_batch_put(batch, rows, &key, NULL, &value);
    if (status == NACRE_OK) status = nacre_batch_put(batch, rows, &counter, NULL, &(nacre_value){NACRE_BYTES, 0, 0, {&n, 8}});
    if (status == NACRE_OK) return nacre_batch_commit(batch);
    nacre_batch_abort(batch);
    return status;
}

/* Which state this is, every row of it checked; -1: none that ever was. A refusal with
 * BUSY (rule 5 of reader.c) is -2. */
static int64_t state_seen(nacre_membrane *rows, const nacre_snapshot *snapshot) {
    nacre_row row;
    int64_t n = 0;
    nacre_value key = nacre_integer(COUNTER);
    nacre_status status = nacre_get(rows, snapshot, &key, &row);
    if (status == NACRE_BUSY) return -2;
    if (status == NACRE_NOT_FOUND) return 0;
    if (!CHECK_EQ(status, NACRE_OK)) return -1;
    memcpy(&n, row.fields[0].bytes.data, 8);
    for (int64_t k = 0; k < KEYS; k++) {
        int64_t last = n >= k ? n - (n - k) % KEYS : 0; /* the last batch up to n that put row k */
        key = nacre_integer(k);
        status = nacre_get(rows, snapshot, &key, &row);
        if (status == NACRE_BUSY) return -2;
        if (last <= 0) {
            if (!CHECK_EQ(status, NACRE_NOT_FOUND)) return -1;
            continue;
        }
        uint8_t want[600];
        size_t size = value_of(last, want);
        if (!CHECK_EQ(status, NACRE_OK)) return -1;
        if (!CHECK(row.fields[0].bytes.size == size && memcmp(row.fields[0].bytes.data, want, size) == 0)) return -1;
    }
    return n;
}

/* ---- a reader that looks after every operation of a writer ---- */

enum { OLD = 3 };

typedef struct Watcher {
    SimDisk *disk;
    nacre_db *db;
    nacre_membrane *rows;
    nacre_snapshot *old[OLD];
    int64_t old_state[OLD];
    int64_t begun, done; /* by the writer */
    uint64_t random, looks, opens;
} Watcher;

static void watcher_check(Watcher *w, nacre_membrane *rows) {
    int64_t n = state_seen(rows, NULL);
    CHECK(n >= w->done && n <= w->begun);
}

static void watcher_look(void *self, int kind, const char *file) {
    Watcher *w = self;
    bool log = strcmp(file, "db") != 0;
    if (w->done == 0 || (log && kind != SIM_TRUNCATE && test_random(&w->random) % 8)) return;
    if (!w->db) {
        REQUIRE(try_open(sim_disk_vfs(w->disk), NACRE_READ, &w->db) == NACRE_OK);
        w->rows = open_rows(w->db, false);
    }
    w->looks++;
    CHECK_EQ(nacre_refresh(w->db), NACRE_OK);
    watcher_check(w, w->rows);
    size_t i = (size_t)(test_random(&w->random) % OLD);
    if (w->old[i]) CHECK_EQ(state_seen(w->rows, w->old[i]), w->old_state[i]);
    if (test_random(&w->random) % 16 == 0) {
        nacre_snapshot_release(w->old[i]);
        CHECK_EQ(nacre_snapshot_open(w->db, &w->old[i]), NACRE_OK);
        w->old_state[i] = state_seen(w->rows, w->old[i]);
    }
    if (test_random(&w->random) % 8 == 0) {
        nacre_db *fresh = NULL;
        if (!CHECK_EQ(try_open(sim_disk_vfs(w->disk), NACRE_READ, &fresh), NACRE_OK)) return;
        watcher_check(w, open_rows(fresh, false));
        CHECK_EQ(nacre_close(fresh, NULL), NACRE_OK);
        w->opens++;
    }
}

/* Puts a few batches and does, now and then, what makes segments and moves them. */
static void writer_work(nacre_db *db, nacre_membrane *rows, int64_t *begun, int64_t *done, uint64_t *random) {
    bool more;
    uint64_t what = test_random(random) % 64;
    ++*begun;
    if (CHECK_EQ(put_batch(db, rows, *begun), NACRE_OK)) *done = *begun;
    if (what == 0) CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    if (what == 1) CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    if (what < 8) CHECK_EQ(nacre_step(db, 1 << 16, &more), NACRE_OK);
}

static void d10_a_reader_sees_a_committed_state_after_every_operation_of_a_writer(void) {
    for (int durability = NACRE_STRICT; durability <= NACRE_NONE; durability += 2) {
        SimDisk *disk = sim_disk_new(1);
        Between between;
        between_init(&between, disk);
        Watcher watcher = {.disk = disk, .random = test_seed() + (uint64_t)durability};
        between.hook = watcher_look;
        between.self = &watcher;
        nacre_options options = options_on(&between.vfs, NACRE_READWRITE);
        options.durability = (nacre_durability)durability;
        nacre_db *db = NULL;
        uint64_t random = test_seed() + 77;
        for (int session = 0; session < 3; session++) { /* writers come and go, the reader stays */
            REQUIRE(nacre_open("db", &options, &db, NULL) == NACRE_OK);
            nacre_membrane *rows = open_rows(db, true);
            for (int i = 0; i < 400; i++) writer_work(db, rows, &watcher.begun, &watcher.done, &random);
            CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        }
        CHECK(watcher.looks > 300 && watcher.opens > 30);
        CHECK_EQ(nacre_close(watcher.db, NULL), NACRE_OK); /* its snapshots go with it */
        CHECK_EQ(sim_disk_pins(disk), 0);
        CHECK_EQ(sim_disk_open_handles(disk), 0);
        sim_disk_free(disk);
    }
}

/* ---- a writer that works between all operations of a reader ---- */

typedef struct Busy {
    nacre_db *db;
    nacre_membrane *rows;
    int64_t begun, done;
    uint64_t random, one_in, work;
} Busy;

static void busy_work(void *self, int kind, const char *file) {
    Busy *b = self;
    (void)kind, (void)file;
    if (test_random(&b->random) % b->one_in) return;
    b->work++;
    for (uint64_t i = 1 + test_random(&b->random) % 12; i > 0; i--)
        writer_work(b->db, b->rows, &b->begun, &b->done, &b->random);
}

static void d10_a_writer_that_works_while_a_reader_reads_is_noticed(void) {
    SimDisk *disk = sim_disk_new(2);
    Between between;
    between_init(&between, disk);
    Busy busy = {.random = test_seed() + 5, .one_in = 4};
    REQUIRE(try_open(sim_disk_vfs(disk), NACRE_READWRITE, &busy.db) == NACRE_OK);
    busy.rows = open_rows(busy.db, true);
    busy_work(&busy, 0, "");
    between.hook = busy_work;
    between.self = &busy;
    int refused = 0, seen = 0;
    for (int round = 0; round < 40; round++) {
        nacre_db *db = NULL;
        int64_t before = busy.done;
        busy.one_in = round % 2 ? 4 : 12;
        nacre_status status = try_open(&between.vfs, NACRE_READ, &db);
        refused += status == NACRE_BUSY;
        if (status == NACRE_BUSY || !CHECK_EQ(status, NACRE_OK)) continue;
        nacre_membrane *rows = open_rows(db, false);
        nacre_snapshot *first = NULL;
        CHECK_EQ(nacre_snapshot_open(db, &first), NACRE_OK);
        int64_t opened = state_seen(rows, first);
        CHECK(opened >= before && opened <= busy.begun);
        for (int i = 0; i < 6; i++) {
            before = busy.done;
            status = nacre_refresh(db);
            refused += status == NACRE_BUSY;
            if (status != NACRE_BUSY) CHECK_EQ(status, NACRE_OK);
            int64_t n = state_seen(rows, NULL);
            CHECK(n <= busy.begun && (status == NACRE_BUSY || n >= before));
            seen++;
        }
        CHECK_EQ(state_seen(rows, first), opened); /* whatever was compacted since */
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    }
    CHECK(seen > 200 && refused < 20 && busy.work > 500);
    CHECK_EQ(nacre_close(busy.db, NULL), NACRE_OK);
    CHECK_EQ(sim_disk_pins(disk), 0);
    sim_disk_free(disk);
}

/* ---- both at once, operation by operation ----
 *
 * A writer's operations are recorded; while a reader reads, they go on, some of them
 * between each two of its own. Nobody sees its pins, so what it reads may be gone. */

typedef struct Unfolding {
    Vfs vfs;
    SimDisk *recording, *disk;
    size_t at;
    uint64_t random, pace; /* at most so many operations at once */
} Unfolding;

typedef struct UnfoldingFile {
    Unfolding *owner;
    char name[32];
} UnfoldingFile;

static void unfold(Unfolding *u) {
    size_t steps = (size_t)(test_random(&u->random) % (u->pace + 1)), last = sim_disk_operations(u->recording);
    u->at = u->at + steps < last ? u->at + steps : last;
    sim_disk_replay(u->recording, u->at, u->disk);
}

static nacre_status unfolding_open(void *self, const char *name, int how, VfsFile **file) {
    Unfolding *u = self;
    (void)how;
    unfold(u);
    if (!sim_disk_bytes(u->disk, name, NULL)) return NACRE_NOT_FOUND;
    UnfoldingFile *f = malloc(sizeof *f);
    f->owner = u;
    snprintf(f->name, sizeof f->name, "%s", name);
    *file = (VfsFile *)f;
    return NACRE_OK;
}

static nacre_status unfolding_size(VfsFile *file, uint64_t *size) {
    UnfoldingFile *f = (UnfoldingFile *)file;
    unfold(f->owner);
    return sim_disk_bytes(f->owner->disk, f->name, size) ? NACRE_OK : NACRE_IO;
}

static nacre_status unfolding_read(VfsFile *file, uint64_t offset, void *into, size_t size) {
    UnfoldingFile *f = (UnfoldingFile *)file;
    uint64_t has = 0;
    unfold(f->owner);
    const uint8_t *bytes = sim_disk_bytes(f->owner->disk, f->name, &has);
    if (!bytes || offset > has || size > has - offset) return NACRE_IO;
    memcpy(into, bytes + offset, size);
    return NACRE_OK;
}

static nacre_status unfolding_close(VfsFile *file) {
    free(file);
    return NACRE_OK;
}

static const char *unfolding_message(void *self) { return (void)self, "short read"; }
static uint64_t unfolding_now(void *self) { return (void)self, 1; }
static void unfolding_random(void *self, void *into, size_t size) { (void)self, memset(into, 7, size); }

enum { UNFOLDING_BATCHES = 500 };

/* How many batches were begun and done before each operation. */
typedef struct Progress {
    size_t begun[UNFOLDING_BATCHES + 1], done[UNFOLDING_BATCHES + 1]; /* batch -> operations */
} Progress;

static int64_t done_before(const Progress *p, size_t operation) {
    int64_t n = 0;
    while (n < UNFOLDING_BATCHES && p->done[n + 1] <= operation) n++;
    return n;
}

static int64_t begun_before(const Progress *p, size_t operation) {
    int64_t n = 0;
    while (n < UNFOLDING_BATCHES && p->begun[n + 1] < operation) n++;
    return n;
}

static void d10_any_interleaving_of_operations_shows_a_committed_state_or_none(void) {
    SimDisk *recording = sim_disk_new(6);
    Progress progress = {{0}, {0}};
    nacre_db *db = NULL;
    bool more;
    REQUIRE(try_open(sim_disk_vfs(recording), NACRE_READWRITE, &db) == NACRE_OK);
    nacre_membrane *rows = open_rows(db, true);
    size_t made = sim_disk_operations(recording);
    for (int64_t n = 1; n <= UNFOLDING_BATCHES; n++) {
        progress.begun[n] = sim_disk_operations(recording);
        CHECK_EQ(put_batch(db, rows, n), NACRE_OK);
        progress.done[n] = sim_disk_operations(recording);
        if (n % 40 == 7) CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
        if (n % 90 == 80) CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
        if (n % 9 == 0) CHECK_EQ(nacre_step(db, 1 << 14, &more), NACRE_OK);
        if (n % 200 == 150) { /* a writer ends, another one begins */
            CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
            REQUIRE(try_open(sim_disk_vfs(recording), NACRE_READWRITE, &db) == NACRE_OK);
            rows = open_rows(db, false);
        }
    }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    Unfolding u = {.recording = recording, .disk = sim_disk_new(0), .random = test_seed() + 8};
    u.vfs = (Vfs){.self = &u, .open = unfolding_open, .size = unfolding_size, .read = unfolding_read,
                  .close = unfolding_close, .now_ms = unfolding_now, .random = unfolding_random,
                  .message = unfolding_message};
    int seen = 0, refused = 0;
    for (int round = 0; round < 60; round++) {
        size_t before = u.at = made + (size_t)(test_random(&u.random) % (sim_disk_operations(recording) - made));
        u.pace = 1 + test_random(&u.random) % 3;
        sim_disk_replay(recording, u.at, u.disk);
        nacre_db *reader = NULL;
        nacre_status status = try_open(&u.vfs, NACRE_READ, &reader);
        for (int i = 0; i < 8 && reader; i++) {
            size_t after = u.at;
            u.pace = 0; /* stand still while rows are checked */
            int64_t n = state_seen(open_rows(reader, false), NULL);
            if (n != -2) CHECK(n >= done_before(&progress, before) && n <= begun_before(&progress, after));
            seen += n > 0;
            before = u.at;
            u.pace = 1 + test_random(&u.random) % 3;
            status = nacre_refresh(reader);
            if (status == NACRE_BUSY) break;
            CHECK_EQ(status, NACRE_OK);
        }
        refused += status == NACRE_BUSY;
        CHECK(status == NACRE_OK || status == NACRE_BUSY);
        CHECK_EQ(nacre_close(reader, NULL), NACRE_OK);
    }
    CHECK(seen > 200 && refused < 20);
    sim_disk_free(u.disk);
    sim_disk_free(recording);
}

/* ---- pins ---- */

typedef struct Pair {
    SimDisk *disk;
    nacre_db *writer, *reader;
    nacre_membrane *written, *read;
    int64_t begun, done;
    uint64_t random;
} Pair;

static bool pair_begin(Pair *p, bool pins) {
    *p = (Pair){.disk = sim_disk_new(3), .random = test_seed() + 3};
    if (!CHECK_EQ(try_open(sim_disk_vfs(p->disk), NACRE_READWRITE, &p->writer), NACRE_OK)) return false;
    p->written = open_rows(p->writer, true);
    for (int i = 0; i < 300; i++) writer_work(p->writer, p->written, &p->begun, &p->done, &p->random);
    CHECK_EQ(nacre_checkpoint(p->writer), NACRE_OK);
    if (!pins) sim_disk_no_pins(p->disk);
    if (!CHECK_EQ(try_open(sim_disk_vfs(p->disk), NACRE_READ, &p->reader), NACRE_OK)) return false;
    p->read = open_rows(p->reader, false);
    return true;
}

static void pair_churn(Pair *p) {
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < 200; i++) writer_work(p->writer, p->written, &p->begun, &p->done, &p->random);
        CHECK_EQ(nacre_compact(p->writer, NULL), NACRE_OK);
    }
}

static void pair_end(Pair *p) {
    CHECK_EQ(nacre_close(p->writer, NULL), NACRE_OK);
    CHECK_EQ(nacre_close(p->reader, NULL), NACRE_OK);
    CHECK_EQ(sim_disk_pins(p->disk), 0);
    CHECK_EQ(sim_disk_open_handles(p->disk), 0);
    sim_disk_free(p->disk);
}

/* The reader's cache is too small to hide anything: it reads its blocks again and again. */
static int64_t read_uncached(Pair *p) {
    cache_shrink(&p->reader->cache, UINT64_MAX);
    return state_seen(p->read, NULL);
}

static void d10_what_a_reader_pins_stays_until_it_moves_on(void) {
    Pair p;
    REQUIRE(pair_begin(&p, true));
    int64_t opened = p.done;
    CHECK_EQ(read_uncached(&p), opened);
    CHECK_EQ(sim_disk_pins(p.disk), 1);
    pair_churn(&p);
    CHECK_EQ(read_uncached(&p), opened);
    CHECK_EQ(p.writer->held_count, 1); /* the one that is pinned, and none in between */
    uint64_t pinned = 0, given_back = 0;
    CHECK(sim_disk_bytes(p.disk, "db", &pinned) != NULL);
    CHECK_EQ(nacre_refresh(p.reader), NACRE_OK);
    CHECK_EQ(read_uncached(&p), p.done);
    CHECK_EQ(sim_disk_pins(p.disk), 1);
    CHECK_EQ(nacre_compact(p.writer, NULL), NACRE_OK);
    CHECK_EQ(p.writer->held_count, 1); /* of the refreshed reader: what it sees is just compacted away */
    CHECK_EQ(nacre_refresh(p.reader), NACRE_OK);
    CHECK_EQ(nacre_checkpoint(p.writer), NACRE_OK);
    CHECK_EQ(put_batch(p.writer, p.written, ++p.begun), NACRE_OK);
    p.done++;
    CHECK_EQ(nacre_compact(p.writer, NULL), NACRE_OK);
    CHECK(sim_disk_bytes(p.disk, "db", &given_back) != NULL);
    CHECK(given_back < pinned);
    pair_end(&p);
}

static void d10_a_readers_snapshots_pin_each_their_own_state(void) {
    Pair p;
    REQUIRE(pair_begin(&p, true));
    nacre_snapshot *snapshots[4] = {NULL};
    int64_t states[4];
    for (int i = 0; i < 4; i++) {
        states[i] = p.done;
        CHECK_EQ(nacre_refresh(p.reader), NACRE_OK);
        CHECK_EQ(nacre_snapshot_open(p.reader, &snapshots[i]), NACRE_OK);
        pair_churn(&p);
    }
    CHECK_EQ(nacre_refresh(p.reader), NACRE_OK);
    CHECK_EQ(sim_disk_pins(p.disk), 5);
    for (int i = 0; i < 4; i++) {
        cache_shrink(&p.reader->cache, UINT64_MAX);
        CHECK_EQ(state_seen(p.read, snapshots[i]), states[i]);
    }
    nacre_snapshot_release(snapshots[1]);
    CHECK_EQ(read_uncached(&p), p.done);
    CHECK_EQ(sim_disk_pins(p.disk), 4);
    pair_churn(&p);
    CHECK_EQ(state_seen(p.read, snapshots[0]), states[0]);
    CHECK_EQ(state_seen(p.read, snapshots[3]), states[3]);
    pair_end(&p);
}

static void d10_a_writer_that_comes_later_honours_pins(void) {
    Pair p;
    REQUIRE(pair_begin(&p, true));
    int64_t opened = p.done;
    CHECK_EQ(nacre_close(p.writer, NULL), NACRE_OK);
    CHECK_EQ(nacre_refresh(p.reader), NACRE_OK);
    for (int session = 0; session < 3; session++) {
        REQUIRE(try_open(sim_disk_vfs(p.disk), NACRE_READWRITE, &p.writer) == NACRE_OK);
        p.written = open_rows(p.writer, false);
        CHECK_EQ(read_uncached(&p), opened);
        pair_churn(&p);
        CHECK_EQ(read_uncached(&p), opened);
        opened = p.done;
        if (session == 2) break;
        CHECK_EQ(nacre_close(p.writer, NULL), NACRE_OK);
        CHECK_EQ(nacre_refresh(p.reader), NACRE_OK);
    }
    pair_end(&p);
}

/* Rule 5 of reader.c: never wrong rows, never "damaged". */
static void d10_without_a_pin_a_state_is_right_or_gone(void) {
    Pair p;
    REQUIRE(pair_begin(&p, false));
    int gone = 0, right = 0;
    int64_t shown = p.done;
    CHECK_EQ(sim_disk_pins(p.disk), 0);
    for (int i = 0; i < 60; i++) {
        for (int k = 0; k < 40; k++) writer_work(p.writer, p.written, &p.begun, &p.done, &p.random);
        int64_t n = read_uncached(&p);
        CHECK(n == shown || n == -2);
        if (n == shown) right++;
        if (n != -2) continue;
        gone++;
        CHECK(strstr(nacre_message(p.reader), "refresh") != NULL);
        CHECK_EQ(nacre_refresh(p.reader), NACRE_OK);
        shown = p.done;
        CHECK_EQ(read_uncached(&p), shown);
    }
    CHECK(gone > 5 && right > 5);
    pair_end(&p);
}

/* ---- what else a refresh is ---- */

static void d10_damage_is_damage_also_to_a_reader(void) {
    Pair p;
    REQUIRE(pair_begin(&p, true));
    uint64_t size = 0;
    CHECK(sim_disk_bytes(p.disk, "db", &size) != NULL);
    CHECK_EQ(nacre_close(p.writer, NULL), NACRE_OK);
    p.writer = NULL;
    for (uint64_t at = EXTENT_SIZE; at < size; at += 64) sim_disk_flip(p.disk, "db", at * 8);
    cache_shrink(&p.reader->cache, UINT64_MAX);
    nacre_row row;
    nacre_value key = nacre_integer(COUNTER);
    CHECK_EQ(nacre_get(p.read, NULL, &key, &row), NACRE_CORRUPT);
    nacre_db *fresh = NULL;
    nacre_options options = options_on(sim_disk_vfs(p.disk), NACRE_READ);
    CHECK_EQ(nacre_open("db", &options, &fresh, NULL), NACRE_CORRUPT);
    pair_end(&p);
}

static void d10_membranes_follow_a_refresh(void) {
    Pair p;
    REQUIRE(pair_begin(&p, true));
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_TEXT);
    nacre_membrane *a = NULL, *b = NULL, *ra = NULL, *rb = NULL, *rc = NULL;
    CHECK_EQ(nacre_membrane_open(p.writer, "a", &schema, &a), NACRE_OK);
    CHECK_EQ(nacre_membrane_open(p.writer, "b", &schema, &b), NACRE_OK);
    CHECK_EQ(nacre_membrane_open(p.reader, "a", NULL, &ra), NACRE_NOT_FOUND);
    CHECK_EQ(nacre_refresh(p.reader), NACRE_OK);
    CHECK_EQ(nacre_membrane_open(p.reader, "a", NULL, &ra), NACRE_OK);
    CHECK_EQ(nacre_membrane_open(p.reader, "b", NULL, &rb), NACRE_OK);
    nacre_value key = nacre_integer(5), value = nacre_text("five");
    CHECK_EQ(nacre_put(a, &key, NULL, &value), NACRE_OK);
    CHECK_EQ(nacre_membrane_drop(p.writer, "b"), NACRE_OK);
    CHECK_EQ(nacre_membrane_rename(p.writer, "a", "z"), NACRE_OK);
    CHECK_EQ(nacre_membrane_open(p.writer, "a", &schema, &b), NACRE_OK);
    for (int round = 0; round < 2; round++) { /* by the log alone, and with all of it in segments */
        if (round) CHECK_EQ(nacre_checkpoint(p.writer), NACRE_OK);
        CHECK_EQ(nacre_refresh(p.reader), NACRE_OK);
        CHECK_STR(nacre_membrane_name(ra), "z");
        nacre_row row;
        CHECK_EQ(nacre_get(ra, NULL, &key, &row), NACRE_OK);
        CHECK_EQ(nacre_get(rb, NULL, &key, &row), NACRE_NOT_FOUND);
        CHECK(strstr(nacre_message(p.reader), "dropped") != NULL);
        CHECK_EQ(nacre_membrane_open(p.reader, "b", NULL, &rc), NACRE_NOT_FOUND);
        CHECK_EQ(nacre_membrane_open(p.reader, "a", NULL, &rc), NACRE_OK);
        CHECK(rc != ra);
        CHECK_EQ(nacre_get(rc, NULL, &key, &row), NACRE_NOT_FOUND);
    }
    pair_end(&p);
}

/* What a refresh reads is what was appended, not the log. */
static void d10_a_refresh_reads_what_is_new(void) {
    SimDisk *disk = sim_disk_new(4);
    Between between;
    between_init(&between, disk);
    nacre_db *db = NULL, *reader = NULL;
    nacre_options options = options_on(sim_disk_vfs(disk), NACRE_READWRITE);
    options.memtable_size = 1 << 20;
    REQUIRE(nacre_open("db", &options, &db, NULL) == NACRE_OK);
    nacre_membrane *rows = open_rows(db, true);
    int64_t n = 0;
    for (int i = 0; i < 1500; i++) CHECK_EQ(put_batch(db, rows, ++n), NACRE_OK);
    options.vfs = &between.vfs;
    options.mode = NACRE_READ;
    REQUIRE(nacre_open("db", &options, &reader, NULL) == NACRE_OK);
    nacre_membrane *read = open_rows(reader, false);
    CHECK(between.bytes_read > 400000);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(put_batch(db, rows, ++n), NACRE_OK);
        between.bytes_read = 0;
        CHECK_EQ(nacre_refresh(reader), NACRE_OK);
        CHECK(between.bytes_read < 16000); /* superblocks, headers, one frame */
        CHECK_EQ(state_seen(read, NULL), n);
        between.bytes_read = 0;
        CHECK_EQ(nacre_refresh(reader), NACRE_OK);
        CHECK(between.bytes_read < 10000);
    }
    CHECK_EQ(nacre_close(reader, NULL), NACRE_OK);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* A cache that was warm stays warm: segments that are still there are still known. */
static void d10_a_refresh_keeps_what_is_cached(void) {
    Pair p;
    REQUIRE(pair_begin(&p, true));
    CHECK_EQ(nacre_compact(p.writer, NULL), NACRE_OK);
    CHECK_EQ(nacre_refresh(p.reader), NACRE_OK);
    CHECK_EQ(state_seen(p.read, NULL), p.done);
    CHECK_EQ(put_batch(p.writer, p.written, ++p.begun), NACRE_OK);
    p.done++;
    CHECK_EQ(nacre_checkpoint(p.writer), NACRE_OK); /* one more run; the others stay */
    uint64_t before = p.reader->io.blocks_read;
    CHECK_EQ(nacre_refresh(p.reader), NACRE_OK);
    CHECK_EQ(state_seen(p.read, NULL), p.done);
    CHECK_EQ(p.reader->io.blocks_read - before, 1); /* the new run's */
    pair_end(&p);
}

/* Each read that fails once: the refresh is refused and nothing has changed, or it is done. */
static void d10_a_failed_refresh_changes_nothing(void) {
    Pair p;
    REQUIRE(pair_begin(&p, true));
    int failed = 0, done = 0;
    for (uint64_t nth = 1; nth < 40; nth++) {
        int64_t shown = state_seen(p.read, NULL);
        for (int i = 0; i < 30; i++) writer_work(p.writer, p.written, &p.begun, &p.done, &p.random);
        if (nth % 2) CHECK_EQ(nacre_checkpoint(p.writer), NACRE_OK);
        sim_disk_fault(p.disk, (SimFault){.kinds = SIM_READ, .nth = nth, .forever = true, .way = SIM_FAULT_FAIL, .status = NACRE_IO});
        nacre_status status = nacre_refresh(p.reader);
        sim_disk_fault(p.disk, (SimFault){0});
        failed += status == NACRE_IO;
        done += status == NACRE_OK;
        CHECK(status == NACRE_IO || status == NACRE_OK);
        CHECK_EQ(state_seen(p.read, NULL), status == NACRE_OK ? p.done : shown);
        CHECK_EQ(nacre_refresh(p.reader), NACRE_OK);
        CHECK_EQ(state_seen(p.read, NULL), p.done);
    }
    CHECK(failed > 5 && done > 5);
    pair_end(&p);
}

/* Each allocation that fails once, likewise. */
static void d10_a_refresh_without_memory_changes_nothing(void) {
    Pair p;
    REQUIRE(pair_begin(&p, true));
    FailingAllocator memory;
    failing_allocator_init(&memory);
    nacre_options options = options_on(sim_disk_vfs(p.disk), NACRE_READ);
    options.allocator = memory.allocator;
    nacre_db *reader = NULL;
    REQUIRE(nacre_open("db", &options, &reader, NULL) == NACRE_OK);
    nacre_membrane *read = open_rows(reader, false);
    int refused = 0;
    for (uint64_t nth = 0; nth < 60; nth++) {
        int64_t shown = state_seen(read, NULL);
        for (int i = 0; i < 20; i++) writer_work(p.writer, p.written, &p.begun, &p.done, &p.random);
        if (nth % 3 == 0) CHECK_EQ(nacre_checkpoint(p.writer), NACRE_OK);
        failing_allocator_fail_at(&memory, 1 + nth / 2, true);
        nacre_status status = nacre_refresh(reader);
        failing_allocator_fail_at(&memory, 0, false);
        refused += status == NACRE_RESOURCE_EXHAUSTED;
        CHECK(status == NACRE_RESOURCE_EXHAUSTED || status == NACRE_OK);
        if (status == NACRE_OK) CHECK_EQ(state_seen(read, NULL), p.done);
        else CHECK(state_seen(read, NULL) >= shown);
        CHECK_EQ(nacre_refresh(reader), NACRE_OK);
        CHECK_EQ(state_seen(read, NULL), p.done);
    }
    CHECK(refused > 10);
    CHECK_EQ(nacre_close(reader, NULL), NACRE_OK);
    CHECK(failing_allocator_clean(&memory));
    failing_allocator_clear(&memory);
    pair_end(&p);
}

/* Batches of one frame, a row each, whose value is one byte. */
static void put_frame(nacre_db *db, const nacre_membrane *rows, int64_t first, uint32_t batches) {
    size_t record = (size_t)record_size(12, 1), size = BATCH_HEAD + record;
    uint8_t *at = NULL;
    db_call(db);
    REQUIRE(db_reserve(db, batches * size, batches, &at) == NACRE_OK);
    memset(at, 0, batches * size);
    for (uint32_t i = 0; i < batches; i++, at += size) {
        uint8_t *r = at + BATCH_HEAD;
        put_u32(at, (uint32_t)size);
        put_u32(at + 4, 1);
        put_u32(r, 12);
        put_u32(r + 4, 1);
        put_u32_be(r + RECORD_HEAD, membrane_id(rows));
        put_u64_be(r + RECORD_HEAD + 4, (uint64_t)(first + i) ^ (uint64_t)1 << 63);
    }
    CHECK_EQ(db_commit(db, batches * size, true), NACRE_OK);
}

/* What was followed halfway (a part of a frame; a log, but not its membranes) when memory
 * ended is not followed again from there: rows would be indexed twice, membranes stay unseen. */
static void d10_what_was_followed_halfway_is_read_anew(void) {
    enum { BATCHES = 500, MOST = 80 };
    uint64_t refused = 0;
    for (uint64_t nth = 1; nth < MOST; nth++) {
        Pair p;
        REQUIRE(pair_begin(&p, true));
        FailingAllocator memory;
        failing_allocator_init(&memory);
        nacre_options options = options_on(sim_disk_vfs(p.disk), NACRE_READ);
        options.allocator = memory.allocator;
        nacre_db *reader = NULL;
        REQUIRE(nacre_open("db", &options, &reader, NULL) == NACRE_OK);
        nacre_membrane *more = NULL, *read = NULL;
        nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
        if (nth % 2) CHECK_EQ(nacre_membrane_open(p.writer, "more", &schema, &more), NACRE_OK);
        else put_frame(p.writer, p.written, 5000, BATCHES);
        uint64_t generation = p.writer->durable[0].superblock.generation;
        failing_allocator_fail_at(&memory, 1 + nth / 2, true);
        nacre_status status = nacre_refresh(reader);
        failing_allocator_fail_at(&memory, 0, false);
        refused += status != NACRE_OK;
        CHECK(status == NACRE_OK || status == NACRE_RESOURCE_EXHAUSTED);
        CHECK_EQ(nacre_refresh(reader), NACRE_OK);
        CHECK_EQ(p.writer->durable[0].superblock.generation, generation); /* the log alone has grown */
        CHECK_EQ(reader->active->record_count + (reader->frozen ? reader->frozen->record_count : 0),
                 p.writer->active->record_count);
        if (nth % 2) CHECK_EQ(nacre_membrane_open(reader, "more", NULL, &read), NACRE_OK);
        CHECK_EQ(nacre_close(reader, NULL), NACRE_OK);
        CHECK(failing_allocator_clean(&memory));
        failing_allocator_clear(&memory);
        pair_end(&p);
    }
    CHECK(refused > 10);
}

static void d10_a_writer_needs_no_refresh(void) {
    Pair p;
    REQUIRE(pair_begin(&p, true));
    CHECK_EQ(nacre_refresh(p.writer), NACRE_OK);
    CHECK_EQ(nacre_refresh(NULL), NACRE_INVALID_ARGUMENT);
    nacre_value key = nacre_integer(1), value = nacre_bytes("x", 1);
    CHECK_EQ(nacre_put(p.read, &key, NULL, &value), NACRE_READONLY);
    CHECK_EQ(nacre_checkpoint(p.reader), NACRE_READONLY);
    nacre_db *second = NULL;
    CHECK_EQ(try_open(sim_disk_vfs(p.disk), NACRE_READWRITE, &second), NACRE_BUSY);
    pair_end(&p);
}

void reader_test(void) {
    RUN(d10_a_reader_sees_a_committed_state_after_every_operation_of_a_writer);
    RUN(d10_a_writer_that_works_while_a_reader_reads_is_noticed);
    RUN(d10_any_interleaving_of_operations_shows_a_committed_state_or_none);
    RUN(d10_what_a_reader_pins_stays_until_it_moves_on);
    RUN(d10_a_readers_snapshots_pin_each_their_own_state);
    RUN(d10_a_writer_that_comes_later_honours_pins);
    RUN(d10_without_a_pin_a_state_is_right_or_gone);
    RUN(d10_damage_is_damage_also_to_a_reader);
    RUN(d10_membranes_follow_a_refresh);
    RUN(d10_a_refresh_reads_what_is_new);
    RUN(d10_a_refresh_keeps_what_is_cached);
    RUN(d10_a_failed_refresh_changes_nothing);
    RUN(d10_a_refresh_without_memory_changes_nothing);
    RUN(d10_what_was_followed_halfway_is_read_anew);
    RUN(d10_a_writer_needs_no_refresh);
}
