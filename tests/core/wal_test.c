/* wal_test.c - the rules of wal_format.h (B02, B06, B21): what is read back is what was
 * appended, or an exact prefix of it, or CORRUPT; never a gap. */
#include "lib/check.h"
#include "lib/sim_disk.h"
#include "base/checksum.h"
#include "log/wal.h"
#include "log/wal_walk.h"

#include <stdio.h>
#include <stdlib.h>

static char log_name[] = "log";

typedef struct World {
    SimDisk *disk;
    Env env;
    Wal wal;
} World;

static const WalHeader first_header = {.flags = 0, .database_id = {1, 2, 3}, .sequence = 5, .salt = 77, .base_lsn = 10, .epoch = 3};

static void world_on(World *w, SimDisk *disk) {
    w->disk = disk;
    env_init(&w->env, sim_disk_vfs(disk), NULL, 1 << 26);
    CHECK_EQ(wal_open(&w->wal, &w->env, log_name, VFS_CREATE), NACRE_OK);
}

static void world_new(World *w) {
    world_on(w, sim_disk_new(1));
    CHECK_EQ(wal_reset(&w->wal, &first_header), NACRE_OK);
}

static void world_close(World *w) {
    wal_close(&w->wal);
    sim_disk_free(w->disk);
}

/* Frame number i (from 1): its LSN, and a body that follows from the number. */
static uint64_t frame_lsn(uint64_t i) { return 10 + 3 * i; }
static size_t body_size(uint64_t i) { return 4 * (size_t)(i * 7 % 11); }

static nacre_status append(World *w, uint64_t i, uint64_t synced) {
    uint8_t frame[FRAME_HEAD + 64] = {0};
    for (size_t b = 0; b < body_size(i); b++) frame[FRAME_HEAD + b] = (uint8_t)(i + b);
    return wal_append(&w->wal, frame, FRAME_HEAD + body_size(i), FRAME_BATCHES, frame_lsn(i), i == 1 ? 10 : frame_lsn(i - 1), synced);
}

typedef struct Replay {
    nacre_status status; /* NACRE_OK, or what stopped it */
    uint64_t frames, torn, lsn_seen;
    WalReader reader;
} Replay;

/* Reads the log anew; frames must be 1, 2, 3 ... in order, each whole. */
static Replay replay(Wal *wal, uint8_t **bytes) {
    Replay r = {0};
    uint64_t size = 0;
    WalFrame frame;
    CHECK_EQ(wal_size(wal, &size), NACRE_OK);
    *bytes = malloc((size_t)size + 1);
    CHECK_EQ(wal_read(wal, *bytes, (size_t)size), NACRE_OK);
    r.reader = wal_reader(wal, span_of(*bytes, (size_t)size), 10);
    while ((r.status = wal_next(&r.reader, &frame)) == NACRE_OK) {
        if (frame.kind == FRAME_CUT) continue;
        uint64_t i = ++r.frames;
        CHECK_EQ(frame.lsn, frame_lsn(i));
        CHECK_EQ(frame.body.size, body_size(i));
        for (size_t b = 0; b < frame.body.size; b++) CHECK_EQ(frame.body.data[b], (uint8_t)(i + b));
    }
    if (r.status == NACRE_NOT_FOUND) r.status = wal_check_tail(&r.reader, &r.torn, &r.lsn_seen);
    return r;
}

static Replay replay_disk(SimDisk *disk) {
    World w;
    uint8_t *bytes;
    world_on(&w, disk);
    Replay r = replay(&w.wal, &bytes);
    free(bytes);
    wal_close(&w.wal);
    return r;
}

/* `synced`: every frame knows that the one before it is on the device. */
static SimDisk *log_of(uint64_t frames, bool synced) {
    World w;
    world_new(&w);
    for (uint64_t i = 1; i <= frames; i++) CHECK_EQ(append(&w, i, synced ? i == 1 ? 10 : frame_lsn(i - 1) : 0), NACRE_OK);
    CHECK_EQ(wal_sync(&w.wal), NACRE_OK);
    wal_close(&w.wal);
    return w.disk;
}

static void what_is_appended_is_read_back(void) {
    SimDisk *disk = log_of(500, true);
    World w;
    uint8_t *bytes;
    world_on(&w, disk);
    CHECK_EQ(w.wal.state, WAL_VALID);
    CHECK_EQ(w.wal.header.sequence, 5);
    CHECK_EQ(w.wal.header.base_lsn, 10);
    CHECK_EQ(w.wal.header.epoch, 3);
    CHECK_BYTES(w.wal.header.database_id, 16, first_header.database_id, 16);
    Replay r = replay(&w.wal, &bytes);
    CHECK_EQ(r.status, NACRE_OK);
    CHECK_EQ(r.frames, 500);
    CHECK_EQ(r.torn, 0);
    CHECK_EQ(r.reader.last_lsn, frame_lsn(500));
    CHECK_EQ(r.reader.synced, frame_lsn(499));
    CHECK_EQ(r.reader.first_previous, 10);
    free(bytes);
    world_close(&w);
}

/* Rule 3, B06: the file cut short at every byte of its frames opens with the frames that
 * are whole. */
static void every_truncation_leaves_the_whole_frames(void) {
    enum { FRAMES = 12 };
    SimDisk *disk = log_of(FRAMES, true);
    uint64_t size = 0, end = WAL_HEAD, whole = 0;
    (void)sim_disk_bytes(disk, "log", &size);
    for (uint64_t cut = WAL_HEAD; cut <= size; cut++) {
        while (whole < FRAMES && end + FRAME_HEAD + body_size(whole + 1) <= cut) end += FRAME_HEAD + body_size(++whole);
        SimDisk *torn = sim_disk_clone(disk);
        sim_disk_resize(torn, "log", cut);
        Replay r = replay_disk(torn);
        CHECK_EQ(r.status, NACRE_OK);
        CHECK_EQ(r.frames, whole);
        CHECK_EQ(r.torn, cut - end);
        sim_disk_free(torn);
    }
    sim_disk_free(disk);
}

/* Rules 3 and 4, B06: any bit of a log of 100 frames. Where a later frame proves that the
 * damaged one was synced, it is CORRUPT; nothing proves the last one: an exact prefix. */
static void every_flipped_bit_is_corrupt_or_an_exact_prefix(void) {
    enum { FRAMES = 100 };
    for (int synced = 0; synced < 2; synced++) {
        SimDisk *disk = log_of(FRAMES, synced);
        World w;
        world_on(&w, disk);
        uint64_t at = WAL_HEAD;
        for (uint64_t i = 1; i <= FRAMES; i++) {
            size_t size = FRAME_HEAD + body_size(i);
            for (size_t bit = i % 3; bit < size * 8; bit += i < 4 || i > 97 ? 1 : 7) {
                uint8_t *bytes;
                sim_disk_flip(disk, "log", at * 8 + bit);
                Replay r = replay(&w.wal, &bytes);
                CHECK_EQ(r.frames, i - 1);
                CHECK_EQ(r.status, synced && i < FRAMES ? NACRE_CORRUPT : NACRE_OK);
                if (r.status == NACRE_OK) CHECK_EQ(r.lsn_seen, i < FRAMES ? frame_lsn(FRAMES) : 0);
                else CHECK(strstr(w.env.error.text, "offset")); /* C30 */
                sim_disk_flip(disk, "log", at * 8 + bit);
                env_clear(&w.env);
                free(bytes);
            }
            at += size;
        }
        world_close(&w);
    }
}

/* Rule 3: a whole frame that does not follow the one before it is damage. */
static void a_frame_that_is_missing_is_damage(void) {
    for (int which = 0; which < 3; which++) {
        World w;
        uint8_t frame[FRAME_HEAD] = {0}, *bytes;
        world_new(&w);
        CHECK_EQ(append(&w, 1, 0), NACRE_OK);
        uint64_t lsn = which == 1 ? 5 : 30, previous = which == 0 ? frame_lsn(2) : frame_lsn(1);
        CHECK_EQ(wal_append(&w.wal, frame, FRAME_HEAD, FRAME_BATCHES, lsn, previous, which == 2 ? 31 : 0), NACRE_OK);
        Replay r = replay(&w.wal, &bytes);
        CHECK_EQ(r.status, NACRE_CORRUPT);
        CHECK_EQ(r.frames, 1);
        free(bytes);
        world_close(&w);
    }
}

/* Rule 7: kinds of a later version are not taken for torn bytes. */
static void a_later_kind_is_refused(void) {
    static const uint32_t kinds[2] = {FRAME_PART, FRAME_LAST};
    for (int i = 0; i < 2; i++) {
        World w;
        uint8_t frame[FRAME_HEAD] = {0}, *bytes;
        world_new(&w);
        CHECK_EQ(wal_append(&w.wal, frame, FRAME_HEAD, kinds[i], 11, 10, 0), NACRE_OK);
        Replay r = replay(&w.wal, &bytes);
        CHECK_EQ(r.status, NACRE_VERSION);
        free(bytes);
        world_close(&w);
    }
}

/* Rule 2: empties the file, then one header after the other, each synced before the next. */
static void a_reset_empties_and_syncs_each_header(void) {
    World w;
    uint8_t *bytes;
    world_new(&w);
    for (uint64_t i = 1; i <= 20; i++) CHECK_EQ(append(&w, i, 0), NACRE_OK);
    CHECK_EQ(wal_sync(&w.wal), NACRE_OK);
    size_t from = sim_disk_operations(w.disk);
    WalHeader second = first_header;
    second.sequence = 6, second.salt = 78;
    CHECK_EQ(wal_reset(&w.wal, &second), NACRE_OK);
    static const struct { int kind; uint64_t offset; } want[5] = {
        {SIM_TRUNCATE, WAL_HEAD}, {SIM_WRITE, 0}, {SIM_SYNC, 0}, {SIM_WRITE, WAL_HEADER_COPY}, {SIM_SYNC, 0}};
    CHECK_EQ(sim_disk_operations(w.disk) - from, 5);
    for (size_t i = 0; i < 5; i++) {
        SimOperation operation = sim_disk_operation(w.disk, from + i);
        CHECK_EQ(operation.kind, want[i].kind);
        if (operation.kind != SIM_SYNC) CHECK_EQ(operation.offset, want[i].offset);
    }
    Replay r = replay(&w.wal, &bytes);
    CHECK_EQ(r.frames, 0);
    CHECK_EQ(r.torn, 0);
    free(bytes);
    world_close(&w);
}

/* Rule 2: a power cut at any operation of a reset leaves a log that opens: the old one
 * without frames, or the new one; never both headers damaged. */
static void a_reset_survives_any_crash(void) {
    for (size_t stop = 0; stop < 6; stop++)
        for (uint64_t seed = 0; seed < 600; seed += seed < 100 ? 1 : 37) {
            World w;
            world_new(&w);
            size_t from = sim_disk_operations(w.disk);
            sim_disk_power_off_at(w.disk, from + stop);
            WalHeader second = first_header;
            second.sequence = 6;
            bool done = wal_reset(&w.wal, &second) == NACRE_OK;
            CHECK_EQ(done, stop == 5);
            wal_close(&w.wal);
            sim_disk_power_off_at(w.disk, SIZE_MAX);
            sim_disk_crash(w.disk, seed < 300 ? SIM_CRASH_TORN_BYTE : SIM_CRASH_JUNK, seed);
            world_on(&w, w.disk);
            CHECK_EQ(w.wal.state, WAL_VALID);
            CHECK(w.wal.header.sequence == 6 || (!done && w.wal.header.sequence == 5));
            world_close(&w);
        }
}

/* Rule 1 and 2: one header may be damaged anywhere; both may not. */
static void one_good_header_is_enough(void) {
    SimDisk *disk = log_of(3, true);
    for (uint64_t bit = 0; bit < WAL_HEADER_SIZE * 8; bit++) {
        for (int copy = 0; copy < 2; copy++) {
            sim_disk_flip(disk, "log", (uint64_t)(copy ? WAL_HEADER_COPY : 0) * 8 + bit);
            Replay r = replay_disk(disk);
            CHECK_EQ(r.frames, 3);
            sim_disk_flip(disk, "log", (uint64_t)(copy ? WAL_HEADER_COPY : 0) * 8 + bit);
        }
        World w;
        sim_disk_flip(disk, "log", bit);
        sim_disk_flip(disk, "log", WAL_HEADER_COPY * 8 + bit);
        world_on(&w, disk);
        CHECK_EQ(w.wal.state, WAL_DAMAGED);
        wal_close(&w.wal);
        sim_disk_flip(disk, "log", bit);
        sim_disk_flip(disk, "log", WAL_HEADER_COPY * 8 + bit);
    }
    sim_disk_free(disk);
}

/* B10: another version, with its checksums right, is told from damage. */
static void another_version_is_refused(void) {
    SimDisk *disk = log_of(1, true);
    uint64_t size = 0;
    const uint8_t *bytes = sim_disk_bytes(disk, "log", &size);
    uint8_t *edited = malloc((size_t)size);
    memcpy(edited, bytes, (size_t)size);
    for (size_t at = 0; at <= WAL_HEADER_COPY; at += WAL_HEADER_COPY) {
        put_u32(edited + at + 8, WAL_VERSION + 1);
        put_u64(edited + at + WAL_HEADER_SIZE - 8, checksum64(0, edited + at, WAL_HEADER_SIZE - 8));
    }
    sim_disk_put(disk, "log", edited, (size_t)size);
    Env env;
    Wal wal;
    env_init(&env, sim_disk_vfs(disk), NULL, 1 << 20);
    CHECK_EQ(wal_open(&wal, &env, log_name, VFS_WRITE), NACRE_VERSION);
    CHECK(wal.file == NULL);
    free(edited);
    sim_disk_free(disk);
}

static void a_missing_log_is_missing(void) {
    SimDisk *disk = sim_disk_new(1);
    Env env;
    Wal wal;
    env_init(&env, sim_disk_vfs(disk), NULL, 1 << 20);
    CHECK_EQ(wal_open(&wal, &env, log_name, VFS_READ), NACRE_OK);
    CHECK_EQ(wal.state, WAL_MISSING);
    CHECK_EQ(wal_mend(&wal), NACRE_OK); /* there is nothing to mend */
    CHECK_EQ(wal_open(&wal, &env, log_name, VFS_CREATE), NACRE_OK);
    CHECK_EQ(wal.state, WAL_MISSING);
    wal_close(&wal);
    sim_disk_free(disk);
}

/* Rule 5: after a cut the old frames never come back, whatever is appended behind it, and
 * LSNs go on above all that were seen. */
static void a_cut_is_for_good(void) {
    enum { FRAMES = 12 };
    for (uint64_t damaged = 1; damaged <= FRAMES; damaged++) {
        SimDisk *disk = log_of(FRAMES, false);
        uint64_t at = WAL_HEAD;
        for (uint64_t i = 1; i < damaged; i++) at += FRAME_HEAD + body_size(i);
        sim_disk_flip(disk, "log", at * 8 + 3);
        World w;
        uint8_t *bytes, frame[FRAME_HEAD + 8] = {0};
        world_on(&w, disk);
        Replay r = replay(&w.wal, &bytes);
        CHECK_EQ(r.status, NACRE_OK);
        CHECK_EQ(r.frames, damaged - 1);
        uint64_t lsn = 1000;
        CHECK_EQ(wal_cut(&w.wal, &r.reader, lsn), NACRE_OK);
        free(bytes);
        CHECK_EQ(wal_append(&w.wal, frame, sizeof frame, FRAME_BATCHES, lsn + 1, lsn, lsn), NACRE_OK);
        CHECK_EQ(wal_sync(&w.wal), NACRE_OK);
        wal_close(&w.wal);

        world_on(&w, disk);
        uint64_t size = 0, seen = 0;
        WalFrame got;
        nacre_status status;
        CHECK_EQ(wal_size(&w.wal, &size), NACRE_OK);
        bytes = malloc((size_t)size);
        CHECK_EQ(wal_read(&w.wal, bytes, (size_t)size), NACRE_OK);
        WalReader reader = wal_reader(&w.wal, span_of(bytes, (size_t)size), 10);
        while ((status = wal_next(&reader, &got)) == NACRE_OK) seen++;
        CHECK_EQ(status, NACRE_NOT_FOUND);
        CHECK_EQ(seen, damaged - 1 + 2); /* the frames before, the cut, the new one */
        CHECK_EQ(got.lsn, lsn + 1);
        CHECK_EQ(reader.at, size); /* and nothing behind */
        CHECK_EQ(reader.salt, wal_cut_salt(r.reader.salt));
        free(bytes);
        world_close(&w);
    }
}

/* B13: a write that fails, whole or in part, leaves the log as it was; the next goes on. */
static void a_failed_append_is_taken_back(void) {
    static const SimFaultWay ways[2] = {SIM_FAULT_FAIL, SIM_FAULT_SHORT};
    static const nacre_status statuses[2] = {NACRE_QUOTA, NACRE_IO};
    for (int i = 0; i < 4; i++) {
        World w;
        world_new(&w);
        CHECK_EQ(append(&w, 1, 0), NACRE_OK);
        sim_disk_fault(w.disk, (SimFault){.kinds = SIM_WRITE, .nth = 1, .forever = false, .way = ways[i / 2], .status = statuses[i % 2]});
        CHECK_EQ(append(&w, 2, 0), statuses[i % 2]);
        CHECK(!w.wal.broken);
        env_clear(&w.env);
        CHECK_EQ(append(&w, 2, 0), NACRE_OK);
        CHECK_EQ(append(&w, 3, 0), NACRE_OK);
        CHECK_EQ(wal_sync(&w.wal), NACRE_OK);
        wal_close(&w.wal);
        Replay r = replay_disk(w.disk);
        CHECK_EQ(r.status, NACRE_OK);
        CHECK_EQ(r.frames, 3);
        CHECK_EQ(r.torn, 0);
        sim_disk_free(w.disk);
    }
}

/* B13: where the write cannot even be taken back, or a sync fails, the log is closed. */
static void a_broken_log_takes_nothing_more(void) {
    for (int how = 0; how < 2; how++) {
        World w;
        world_new(&w);
        CHECK_EQ(append(&w, 1, 0), NACRE_OK);
        int kinds = how ? SIM_SYNC : SIM_WRITE | SIM_TRUNCATE;
        sim_disk_fault(w.disk, (SimFault){.kinds = kinds, .nth = 1, .forever = true, .way = how ? SIM_FAULT_LOSE : SIM_FAULT_SHORT,
                                        .status = NACRE_IO});
        CHECK_EQ(how ? wal_sync(&w.wal) : append(&w, 2, 0), NACRE_IO);
        sim_disk_fault(w.disk, (SimFault){.kinds = 0, .nth = 0, .forever = false, .way = SIM_FAULT_FAIL, .status = NACRE_IO});
        size_t operations = sim_disk_operations(w.disk);
        CHECK_EQ(append(&w, 2, 0), NACRE_IO);
        CHECK_EQ(wal_sync(&w.wal), NACRE_IO);
        CHECK_EQ(sim_disk_operations(w.disk), operations);
        world_close(&w);
    }
}

/* H19: whatever lies behind good headers, reading it ends, in bounds. */
static void a_made_up_log_is_harmless(void) {
    uint64_t random = test_seed() + 40;
    World w;
    world_new(&w);
    for (int round = 0; round < 3000; round++) {
        size_t size = (size_t)(test_random(&random) % 2000);
        uint8_t *bytes = malloc(size + 1);
        for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)test_random(&random);
        for (size_t at = 0; at + FRAME_HEAD <= size;) { /* heads that are right in some respects */
            size_t frame = FRAME_HEAD + 4 * (size_t)(test_random(&random) % 12);
            put_u32(bytes + at + 8, FRAME_BATCHES + (uint32_t)(test_random(&random) % 5));
            put_u32(bytes + at + 12, (uint32_t)(test_random(&random) % 20 ? frame : test_random(&random)));
            for (int f = 16; f < 40; f += 8) put_u64(bytes + at + (size_t)f, test_random(&random) % 4);
            if (at + frame <= size && test_random(&random) % 6)
                put_u64(bytes + at, checksum64(w.wal.salt, bytes + at + 8, frame - 8));
            at += frame;
        }
        WalReader reader = wal_reader(&w.wal, span_of(bytes, size), test_random(&random) % 3);
        WalFrame frame;
        nacre_status status;
        uint64_t torn, seen;
        while ((status = wal_next(&reader, &frame)) == NACRE_OK)
            CHECK(frame.body_offset <= size && frame.body.size <= size - frame.body_offset);
        if (status == NACRE_NOT_FOUND) status = wal_check_tail(&reader, &torn, &seen);
        CHECK(status == NACRE_OK || status == NACRE_CORRUPT || status == NACRE_VERSION);
        env_clear(&w.env);
        free(bytes);
    }
    world_close(&w);
}

/* ---- walks over damaged logs (wal_walk.h) ---- */

enum { LOG_ROOM = 64 << 10 };

/* Frames 1 to 3, a cut, frames 4 and 5, as they lie behind the headers. */
typedef struct Cut {
    Wal log;
    uint8_t bytes[LOG_ROOM];
    size_t size, at[6]; /* where each frame begins; 0: the cut */
} Cut;

static void cut_log(Cut *cut) {
    World w;
    uint8_t *bytes;
    uint64_t size = 0;
    world_new(&w);
    *cut = (Cut){.size = 0};
    for (uint64_t i = 1; i <= 5; i++) {
        if (i == 4) {
            Replay r = replay(&w.wal, &bytes);
            free(bytes);
            cut->at[0] = (size_t)w.wal.end;
            CHECK_EQ(wal_cut(&w.wal, &r.reader, frame_lsn(3)), NACRE_OK);
        }
        cut->at[i] = (size_t)w.wal.end;
        CHECK_EQ(append(&w, i, 0), NACRE_OK);
    }
    CHECK_EQ(wal_sync(&w.wal), NACRE_OK);
    CHECK_EQ(wal_size(&w.wal, &size), NACRE_OK);
    CHECK_EQ(wal_read(&w.wal, cut->bytes, (size_t)size), NACRE_OK);
    cut->size = (size_t)size;
    cut->log = w.wal;
    cut->log.header = first_header;
    world_close(&w);
}

/* The walk's frames, by their last digits: "123c45". What is not proved is in lower case: "abcde"
 * (cuts are "c" and "x" then); "!": behind a damaged cut; "_": a gap before it. */
static void expect_walk(const Cut *cut, const char *want) {
    char got[64] = "";
    size_t used = 0;
    WalPiece piece;
    WalWalk walk = wal_walk(&cut->log, span_of(cut->bytes, cut->size));
    while (wal_walk_next(&walk, &piece) && used < sizeof got - 4) {
        if (piece.gap) got[used++] = '_';
        if (piece.behind_cut) got[used++] = '!';
        uint64_t number = (piece.lsn - 10) / 3;
        bool is_cut = piece.kind == FRAME_CUT;
        got[used++] = (char)(piece.proved ? is_cut ? 'c' : (char)('0' + number) : is_cut ? 'x' : (char)('a' + number - 1));
        got[used] = 0;
    }
    CHECK_STR(got, want);
}

static void b22_a_walk_steps_over_what_is_damaged(void) {
    static Cut right, cut;
    cut_log(&right);
    expect_walk(&right, "123c45");
    cut = right;
    cut.bytes[cut.at[2] + 30] ^= 1;
    expect_walk(&cut, "1_3c45");
    /* A damaged cut: its salt is computed, not read. */
    cut = right;
    cut.bytes[cut.at[0] + 30] ^= 1;
    expect_walk(&cut, "123_!45");
    /* Behind a cut lies a frame from before it: pieces of the file have changed places. */
    cut = right;
    memcpy(cut.bytes + cut.size + 4, cut.bytes + cut.at[3], cut.at[0] - cut.at[3]);
    cut.size += 4 + cut.at[0] - cut.at[3];
    expect_walk(&cut, "123c45_3");
    /* The last frame is cut short. */
    for (size_t less = 4; less < right.size - right.at[5]; less += 4) {
        cut = right;
        cut.size -= less;
        expect_walk(&cut, "123c4");
    }
}

static void b22_heads_that_cannot_be_are_no_frames(void) {
    static const struct {
        uint32_t kind, size;
        uint64_t lsn, previous, synced;
    } rows[] = {
        {FRAME_PART, FRAME_HEAD, 5, 4, 0},        {0, FRAME_HEAD, 5, 4, 0},
        {FRAME_BATCHES, FRAME_HEAD - 4, 5, 4, 0}, {FRAME_BATCHES, FRAME_HEAD + 2, 5, 4, 0},
        {FRAME_BATCHES, 1 << 20, 5, 4, 0},        {FRAME_CUT, FRAME_HEAD, 5, 4, 0},
        {FRAME_CUT, FRAME_HEAD + 12, 5, 4, 0},    {FRAME_BATCHES, FRAME_HEAD, 4, 5, 0},
        {FRAME_BATCHES, FRAME_HEAD, 5, 4, 6},
    };
    static Cut right, cut;
    cut_log(&right);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t frame[FRAME_HEAD + 12] = {0};
        cut = right;
        put_u32(frame + 8, rows[i].kind);
        put_u32(frame + 12, rows[i].size);
        put_u64(frame + 16, rows[i].lsn);
        put_u64(frame + 24, rows[i].previous);
        put_u64(frame + 32, rows[i].synced);
        size_t room = rows[i].size < sizeof frame && rows[i].size >= 16 ? rows[i].size - 8 : 8;
        put_u64(frame, checksum64(wal_cut_salt(first_header.salt), frame + 8, room)); /* right, where there is one */
        memcpy(cut.bytes + cut.size, frame, sizeof frame);
        cut.size += sizeof frame;
        expect_walk(&cut, "123c45");
    }
}

/* Without a header no salt is known: frames are what they say, one behind the other, up to a cut,
 * which says the salt. */
static void b22_without_a_header_frames_must_follow_each_other(void) {
    static Cut right, cut;
    cut_log(&right);
    right.log.state = WAL_DAMAGED;
    expect_walk(&right, "abcx45");
    cut = right;
    put_u64(cut.bytes + cut.at[3] + 24, 11); /* the third does not follow the second */
    expect_walk(&cut, "ab");
    cut = right;
    put_u32(cut.bytes + 8, 0); /* the first is none */
    expect_walk(&cut, "");
    cut = right;
    cut.size = 3 * FRAME_HEAD / 4;
    expect_walk(&cut, "");
}

/* Heads that each claim all that follows: what is hashed in the search is bounded. */
static void h19_a_walk_over_frames_within_frames_ends(void) {
    static Cut cut;
    cut_log(&cut);
    for (size_t at = cut.size; at + FRAME_HEAD <= LOG_ROOM; at += FRAME_HEAD) {
        put_u32(cut.bytes + at + 8, FRAME_BATCHES);
        put_u32(cut.bytes + at + 12, (uint32_t)(LOG_ROOM - at) & ~3u);
    }
    cut.size = LOG_ROOM;
    WalPiece piece;
    WalWalk walk = wal_walk(&cut.log, span_of(cut.bytes, cut.size));
    uint64_t budget = walk.budget;
    for (int i = 0; i < 6; i++) CHECK(wal_walk_next(&walk, &piece));
    CHECK(!wal_walk_next(&walk, &piece));
    CHECK(walk.budget < budget / 8); /* it was used, and was not enough */
}

void wal_test(void) {
    RUN(what_is_appended_is_read_back);
    RUN(every_truncation_leaves_the_whole_frames);
    RUN(every_flipped_bit_is_corrupt_or_an_exact_prefix);
    RUN(a_frame_that_is_missing_is_damage);
    RUN(a_later_kind_is_refused);
    RUN(a_reset_empties_and_syncs_each_header);
    RUN(a_reset_survives_any_crash);
    RUN(one_good_header_is_enough);
    RUN(another_version_is_refused);
    RUN(a_missing_log_is_missing);
    RUN(a_cut_is_for_good);
    RUN(a_failed_append_is_taken_back);
    RUN(a_broken_log_takes_nothing_more);
    RUN(a_made_up_log_is_harmless);
    RUN(b22_a_walk_steps_over_what_is_damaged);
    RUN(b22_heads_that_cannot_be_are_no_frames);
    RUN(b22_without_a_header_frames_must_follow_each_other);
    RUN(h19_a_walk_over_frames_within_frames_ends);
}
