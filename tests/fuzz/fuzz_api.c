/* fuzz_api.c - any sequence of calls against the model of tests/lib/model.h: writes, batches,
 * transactions with savepoints, bulk loads, snapshots, checkpoints, merges, reopening, power
 * failures, full disks. After each reopening and at the end the database must equal the model: by
 * scans, and where the options say so in every way.
 *
 *   input := options u8 | call*          call := which u8 | arguments */
#include "fuzz/fuzz.h"

#include "lib/model.h"
#include "lib/sim_disk.h"

#include <string.h>

enum { CALLS_MAX = 300, SNAPSHOTS = 2, SAVEPOINTS = 3 };

typedef struct World {
    SimDisk *disk;
    nacre_options options;
    nacre_db *db;
    nacre_membrane *membranes[MODEL_MEMBRANES];
    Model model, kept[SNAPSHOTS];
    nacre_snapshot *snapshots[SNAPSHOTS];
    nacre_transaction *tx;
    Model in_tx, saved[SAVEPOINTS];
    uint64_t serials[SAVEPOINTS];
    int savepoints;
    uint32_t version;
} World;

static void world_open(World *w) {
    nacre_error error;
    nacre_status status = nacre_open("db", &w->options, &w->db, &error);
    if (status != NACRE_OK) fprintf(stderr, "%s\n", error.text);
    MUST(status == NACRE_OK);
    MUST(model_open(w->db, w->membranes) == NACRE_OK);
}

static void world_forget(World *w) {
    for (int i = 0; i < SNAPSHOTS; i++) {
        if (w->snapshots[i]) nacre_snapshot_release(w->snapshots[i]);
        w->snapshots[i] = NULL;
    }
    nacre_rollback(w->tx);
    w->tx = NULL;
}

/* By scans, which is quick; the end of a run asks in every way. */
static void check(World *w, const nacre_snapshot *snapshot, const Model *want) {
    static Model found;
    MUST(model_read(w->db, snapshot, &found));
    if (memcmp(&found, want, sizeof found) == 0) return;
    (void)model_differences(w->db, snapshot, want);
    abort();
}

static void world_check(World *w) { check(w, NULL, &w->model); }

/* Rows of one batch, at most `most`; `into` is what they make of the model. */
static bool some_rows(World *w, Input *in, nacre_batch *batch, Model *into) {
    uint32_t count = 1 + br_u8(in) % 12;
    for (uint32_t i = 0; i < count; i++) {
        int membrane = (int)input_below(in, MODEL_MEMBRANES);
        uint32_t key = input_below(in, MODEL_KEYS);
        bool delete = br_u8(in) % 4 == 0;
        uint32_t version = ++w->version;
        nacre_status status = delete ? model_delete(batch, w->membranes, membrane, key)
                                     : model_put(batch, w->membranes, membrane, key, version);
        if (status != NACRE_OK) {
            MUST(status == NACRE_RESOURCE_EXHAUSTED);
            return false;
        }
        into->version[membrane][key] = delete ? 0 : version;
    }
    return true;
}

/* A full disk, or no memory, refuses a write and has changed nothing. */
static void applied(World *w, nacre_status status, const Model *after) {
    MUST(status == NACRE_OK || status == NACRE_QUOTA || status == NACRE_RESOURCE_EXHAUSTED);
    if (status == NACRE_OK) w->model = *after;
}

static void do_batch(World *w, Input *in) {
    Model after = w->model;
    nacre_batch *batch = NULL;
    bool commit = br_u8(in) % 8 != 0;
    if (nacre_batch_begin(w->db, &batch) != NACRE_OK) return;
    if (some_rows(w, in, batch, &after) && commit) applied(w, nacre_batch_commit(batch), &after);
    else nacre_batch_abort(batch);
}

static void do_many(World *w, Input *in) { /* enough to fill memtables */
    Model after = w->model;
    nacre_batch *batch = NULL;
    int membrane = (int)input_below(in, MODEL_MEMBRANES);
    uint32_t first = input_below(in, MODEL_KEYS), count = 1 + br_u8(in);
    if (nacre_batch_begin(w->db, &batch) != NACRE_OK) return;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t key = (first + i * 7) % MODEL_KEYS;
        if (model_put(batch, w->membranes, membrane, key, ++w->version) != NACRE_OK) {
            nacre_batch_abort(batch);
            return;
        }
        after.version[membrane][key] = w->version;
    }
    applied(w, nacre_batch_commit(batch), &after);
}

static void do_bulk(World *w, Input *in) {
    uint32_t keys[64], count = 1 + br_u8(in) % 63, step = 1 + br_u8(in) % 7, first = input_below(in, MODEL_KEYS - 64 * 7);
    int membrane = (int)input_below(in, MODEL_MEMBRANES);
    Model after = w->model;
    nacre_bulk *bulk = NULL;
    for (uint32_t i = 0; i < count; i++) keys[i] = first + i * step;
    model_sort(membrane, keys, count);
    nacre_status status = nacre_bulk_begin(w->membranes[membrane], &bulk);
    if (status != NACRE_OK) return;
    for (uint32_t i = 0; i < count; i++) {
        status = model_bulk_put(bulk, membrane, keys[i], ++w->version);
        if (status != NACRE_OK) {
            MUST(status == NACRE_QUOTA || status == NACRE_RESOURCE_EXHAUSTED);
            nacre_bulk_abort(bulk);
            return;
        }
        after.version[membrane][keys[i]] = w->version;
    }
    applied(w, nacre_bulk_commit(bulk, NULL), &after);
}

static void do_clear(World *w, Input *in) {
    int membrane = (int)input_below(in, MODEL_MEMBRANES);
    char room[48];
    nacre_range range = NACRE_RANGE_INIT;
    nacre_value bound = model_key(membrane, input_below(in, MODEL_KEYS), room);
    Model after = w->model;
    uint64_t removed = 0, expected = 0;
    bool below = br_u8(in) % 2;
    if (below) range.lt = &bound;
    else range.gte = &bound;
    for (uint32_t key = 0; key < MODEL_KEYS; key++) {
        char other_room[48];
        nacre_value other = model_key(membrane, key, other_room);
        int order = membrane ? (other.integer < bound.integer ? -1 : other.integer > bound.integer)
                             : span_compare(span_of(other.bytes.data, other.bytes.size), span_of(bound.bytes.data, bound.bytes.size));
        if ((order < 0) != below || !after.version[membrane][key]) continue;
        after.version[membrane][key] = 0;
        expected++;
    }
    nacre_status status = nacre_clear(w->membranes[membrane], &range, &removed);
    applied(w, status, &after);
    if (status == NACRE_OK) MUST(removed == expected);
}

/* ---- transactions ---- */

static void do_tx_write(World *w, Input *in) {
    uint32_t count = 1 + br_u8(in) % 40;
    for (uint32_t i = 0; i < count && w->tx; i++) {
        int membrane = (int)input_below(in, MODEL_MEMBRANES);
        uint32_t key = input_below(in, MODEL_KEYS), *there = &w->in_tx.version[membrane][key];
        bool delete = br_u8(in) % 4 == 0;
        nacre_status status = delete ? model_transaction_delete(w->tx, w->membranes, membrane, key)
                                     : model_transaction_put(w->tx, w->membranes, membrane, key, ++w->version);
        if (status == NACRE_QUOTA || status == NACRE_RESOURCE_EXHAUSTED) continue;
        MUST(status == (delete && !*there ? NACRE_NOT_FOUND : NACRE_OK));
        if (status == NACRE_OK) *there = delete ? 0 : w->version;
    }
}

static void do_tx(World *w, Input *in) {
    uint32_t what = br_u8(in) % 8;
    if (!w->tx) {
        if (nacre_begin(w->db, &w->tx) != NACRE_OK) w->tx = NULL;
        w->in_tx = w->model;
        w->savepoints = 0;
        if (!w->tx) return;
    }
    if (what < 3) {
        do_tx_write(w, in);
    } else if (what == 3 && w->savepoints < SAVEPOINTS) {
        w->saved[w->savepoints] = w->in_tx;
        if (nacre_savepoint(w->tx, &w->serials[w->savepoints]) == NACRE_OK) w->savepoints++;
    } else if (what == 4 && w->savepoints) {
        int to = (int)(br_u8(in) % (uint32_t)w->savepoints);
        nacre_status status = nacre_rollback_to(w->tx, w->serials[to]);
        MUST(status == NACRE_OK || status == NACRE_RESOURCE_EXHAUSTED || status == NACRE_QUOTA);
        if (status == NACRE_OK) w->in_tx = w->saved[to], w->savepoints = to + 1;
    } else if (what == 5) {
        check(w, nacre_transaction_snapshot(w->tx), &w->in_tx);
    } else if (what == 6) {
        nacre_rollback(w->tx);
        w->tx = NULL;
    } else {
        /* Whether there is a conflict is told by what others wrote since the beginning; where
         * nobody did, there is none. Each outcome must be whole. */
        nacre_status status = nacre_commit(w->tx);
        w->tx = NULL;
        MUST(status == NACRE_OK || status == NACRE_CONFLICT || status == NACRE_QUOTA || status == NACRE_RESOURCE_EXHAUSTED);
        if (status == NACRE_OK) {
            Model now = {0};
            MUST(model_read(w->db, NULL, &now));
            for (int m = 0; m < MODEL_MEMBRANES; m++)
                for (int k = 0; k < MODEL_KEYS; k++)
                    MUST(now.version[m][k] == w->in_tx.version[m][k] || now.version[m][k] == w->model.version[m][k]);
            w->model = now;
        }
    }
}

/* ---- the world ---- */

static void do_reopen(World *w) {
    world_forget(w);
    (void)nacre_close(w->db, NULL);
    world_open(w);
    world_check(w);
}

static void do_crash(World *w, Input *in) {
    static const SimCrash ways[] = {SIM_CRASH_PREFIX, SIM_CRASH_SUBSET, SIM_CRASH_TORN_512, SIM_CRASH_RANDOM, SIM_CRASH_JUNK};
    SimCrash way = ways[br_u8(in) % 5];
    uint64_t seed = br_u16(in);
    SimDisk *after = sim_disk_clone(w->disk);
    sim_disk_seed(after, seed + w->version + 1);
    sim_disk_crash(after, way, way == SIM_CRASH_PREFIX || way == SIM_CRASH_TORN_512 ? seed % sim_disk_crash_states(after, way) : seed);
    world_forget(w);
    (void)nacre_close(w->db, NULL);
    sim_disk_free(w->disk);
    w->disk = after;
    w->options.vfs = sim_disk_vfs(after);
    world_open(w);
    world_check(w);
}

static void do_snapshot(World *w, Input *in) {
    uint32_t i = br_u8(in) % SNAPSHOTS;
    if (!w->snapshots[i]) {
        if (nacre_snapshot_open(w->db, &w->snapshots[i]) != NACRE_OK) w->snapshots[i] = NULL;
        w->kept[i] = w->model;
        return;
    }
    check(w, w->snapshots[i], &w->kept[i]);
    nacre_snapshot_release(w->snapshots[i]);
    w->snapshots[i] = NULL;
}

static void ignore_full(nacre_status status) {
    MUST(status == NACRE_OK || status == NACRE_QUOTA || status == NACRE_RESOURCE_EXHAUSTED);
}

static void call(World *w, Input *in) {
    bool more = false;
    switch (br_u8(in) % 16) {
    case 0: case 1: case 2: do_batch(w, in); break;
    case 3: case 4: do_many(w, in); break;
    case 5: do_bulk(w, in); break;
    case 6: do_clear(w, in); break;
    case 7: case 8: case 9: do_tx(w, in); break;
    case 10: ignore_full(nacre_checkpoint(w->db)); break;
    case 11: ignore_full(nacre_step(w->db, (uint64_t)br_u8(in) << 12, &more)); break;
    case 12: ignore_full(nacre_compact(w->db, NULL)); break;
    case 13: do_reopen(w); break;
    case 14: do_crash(w, in); break;
    default: do_snapshot(w, in); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static World world;
    World *w = &world;
    Input in = input_over(data, size);
    uint32_t options = br_u8(&in);
    memset(w, 0, sizeof *w);
    w->disk = sim_disk_new(3);
    sim_disk_set_clock(w->disk, 1700000000000u);
    w->options = (nacre_options)NACRE_OPTIONS_INIT;
    w->options.vfs = sim_disk_vfs(w->disk);
    w->options.seed = 5;
    w->options.memory = (options & 1 ? 1u : 8u) << 20;
    w->options.memtable_size = 64 << 10;
    w->options.segment_size = 64 << 10;
    w->options.changes_size = options & 2 ? 128 << 10 : 0;
    w->options.filter_bits = options & 4 ? UINT32_MAX : 0;
    if (options & 8) w->options.database_size = 2 << 20;
    world_open(w);
    for (int i = 0; i < CALLS_MAX && !input_ended(&in); i++) call(w, &in);
    if (w->tx) check(w, nacre_transaction_snapshot(w->tx), &w->in_tx);
    for (int i = 0; i < SNAPSHOTS; i++)
        if (w->snapshots[i]) check(w, w->snapshots[i], &w->kept[i]);
    if (options & 16) MUST(model_differences(w->db, NULL, &w->model) == 0); /* half of all the time, if always */
    else world_check(w);
    uint64_t problems = 0;
    nacre_status status = nacre_verify(w->db, true, NULL, NULL, &problems);
    MUST(status == NACRE_RESOURCE_EXHAUSTED || (status == NACRE_OK && problems == 0));
    world_forget(w);
    (void)nacre_close(w->db, NULL);
    world_open(w);
    world_check(w);
    (void)nacre_close(w->db, NULL);
    MUST(sim_disk_open_handles(w->disk) == 0);
    sim_disk_free(w->disk);
    return 0;
}
