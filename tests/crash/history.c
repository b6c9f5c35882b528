/* history.c - the recorded workload. Knows nothing of what is done to the recording. */
#include "crash/history.h"

#include "lib/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t crash_states(uint64_t usual) {
    const char *wanted = getenv("CRASH_STATES");
    return wanted && *wanted ? strtoull(wanted, NULL, 10) : usual;
}

bool crash_exhaustive(void) { return getenv("CRASH_ALL") != NULL; }

void crash_count(uint64_t states) { printf("# crash states: %" PRIu64 "\n", states); }

const uint8_t *history_key;

nacre_options history_options(SimDisk *disk, nacre_durability durability) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.vfs = sim_disk_vfs(disk);
    options.durability = durability;
    options.memory = 4 << 20;
    options.memtable_size = 64 << 10;
    options.segment_size = 64 << 10;
    options.changes_size = durability == NACRE_RELAXED ? 0 : 128 << 10;
    options.encryption_key = history_key;
    options.seed = 7; /* the same one at each open: nothing may depend on luck */
    return options;
}

uint64_t history_hash(const Model *model) {
    uint64_t hash = 0;
    for (int m = 0; m < MODEL_MEMBRANES; m++)
        for (uint32_t key = 0; key < MODEL_KEYS; key++)
            if (model->version[m][key])
                hash += ((uint64_t)model->version[m][key] << 20 ^ (uint64_t)m << 16 ^ key) * 0x9e3779b97f4a7c15u;
    return hash + model->large * 0xd1b54a32d192ed03u;
}

uint64_t history_sequence(nacre_db *db) {
    uint64_t oldest = 0, newest = 0;
    CHECK(nacre_changes_bounds(db, &oldest, &newest) == NACRE_OK);
    return newest;
}

void history_init(History *history, uint64_t seed, nacre_durability durability) {
    *history = (History){.disk = sim_disk_new(seed), .durability = durability, .random = seed, .capacity = 64,
                         .clock = 1000000000000, .lazy = seed % 2 == 1, .large = seed % 8 == 3};
    history->states = calloc(history->capacity + 1, sizeof(Model));
    history->hashes = calloc(history->capacity + 1, sizeof(uint64_t));
    history->commits = calloc(history->capacity, sizeof(HistoryCommit));
    if (!history->states || !history->hashes || !history->commits) abort();
}

void history_free(History *history) {
    if (history->reader) (void)nacre_close(history->reader, NULL);
    if (history->db) (void)nacre_close(history->db, NULL);
    sim_disk_free(history->disk);
    free(history->states);
    free(history->hashes);
    free(history->commits);
    *history = (History){0};
}

/* The next commit, in room made for it. */
static HistoryCommit *history_commit(History *h) {
    if (h->count == h->capacity) {
        h->capacity *= 2;
        h->states = realloc(h->states, (h->capacity + 1) * sizeof(Model));
        h->hashes = realloc(h->hashes, (h->capacity + 1) * sizeof(uint64_t));
        h->commits = realloc(h->commits, h->capacity * sizeof(HistoryCommit));
        if (!h->states || !h->hashes || !h->commits) abort();
    }
    HistoryCommit *commit = &h->commits[h->count];
    *commit = (HistoryCommit){.acknowledged = sim_disk_operations(h->disk), .sequence = history_sequence(h->db)};
    return commit;
}

static void history_note(History *h, const Model *next) {
    h->count++;
    h->states[h->count] = *next;
    h->hashes[h->count] = history_hash(next);
}

/* A call returned NACRE_OK: its frame is the last one written to a log. */
static void history_acknowledged(History *h, const Model *next, size_t before) {
    HistoryCommit *commit = history_commit(h);
    /* The first write behind a log's headers since `before`, not counting cuts: only opening cuts.
     * A flush or merge may come before it (no log is written) or after it. */
    for (size_t i = before; i < commit->acknowledged && !commit->written; i++) {
        SimOperation op = sim_disk_operation(h->disk, i);
        if (op.kind == SIM_WRITE && strstr(op.file, "-wal") && op.offset >= 8192) commit->written = i + 1;
    }
    CHECK(commit->written > 0); /* B01: nothing is acknowledged before its frame is written */
    history_note(h, next);
}

/* A bulk load returned NACRE_OK: a superblock tells of it, none before the first that was
 * written since `before`, and all of it is synced. */
static void history_loaded(History *h, const Model *next, size_t before) {
    HistoryCommit *commit = history_commit(h);
    for (size_t i = before; i < commit->acknowledged && !commit->written; i++) {
        SimOperation op = sim_disk_operation(h->disk, i);
        if (op.kind == SIM_WRITE && strcmp(op.file, "db") == 0 && op.offset < 65536) commit->written = i + 1;
    }
    CHECK(commit->written > 0);
    commit->durable = commit->acknowledged;
    history_note(h, next);
}

void history_seal(History *h) {
    size_t operations = sim_disk_operations(h->disk);
    sim_disk_set_clock(h->disk, h->clock += 1000);
    for (size_t c = 0; c < h->count; c++) {
        HistoryCommit *commit = &h->commits[c];
        if (commit->durable) continue; /* a bulk load */
        const char *log = sim_disk_operation(h->disk, commit->written - 1).file;
        commit->durable = SIZE_MAX;
        for (size_t i = commit->written; i < operations && commit->durable == SIZE_MAX; i++) {
            SimOperation op = sim_disk_operation(h->disk, i);
            if (op.kind == SIM_SYNC && op.status == NACRE_OK && strcmp(op.file, log) == 0) commit->durable = i + 1;
        }
    }
}

/* One change of a batch; the numbers drawn are the same whoever asks. */
typedef struct Change {
    int membrane;
    uint32_t key, version; /* 0: a deletion */
} Change;

static uint64_t draw_count(uint64_t *random) {
    uint64_t most = test_random(random) % 6 ? 8 : 60;
    return 1 + test_random(random) % most;
}

static uint32_t draw_version(uint64_t *random) { return 1 + (uint32_t)(test_random(random) % 500000000); }

static Change draw_change(uint64_t *random) {
    Change change = {.membrane = (int)(test_random(random) % MODEL_MEMBRANES)};
    change.key = (uint32_t)(test_random(random) % HISTORY_KEYS);
    uint64_t kind = test_random(random) % 16;
    uint32_t version = draw_version(random);
    change.version = kind < 4 ? 0 : kind == 4 ? version | MODEL_ENDS : kind == 5 ? version | MODEL_LASTS : version;
    return change;
}

static void change_apply(Model *model, Change c) {
    model->version[c.membrane][c.key] = c.version & MODEL_ENDS ? 0 : c.version;
}

void history_plan(Model *model, uint64_t *random) {
    for (uint64_t i = draw_count(random); i > 0; i--) {
        change_apply(model, draw_change(random));
    }
}

nacre_status history_batch(nacre_db *db, const Model *model, Model *next, uint64_t *random) {
    nacre_membrane *membranes[MODEL_MEMBRANES];
    nacre_batch *batch = NULL;
    *next = *model;
    nacre_status status = model_open(db, membranes);
    if (status == NACRE_OK) status = nacre_batch_begin(db, &batch);
    for (uint64_t i = draw_count(random); i > 0 && status == NACRE_OK; i--) {
        Change c = draw_change(random);
        status = c.version ? model_put(batch, membranes, c.membrane, c.key, c.version)
                           : model_delete(batch, membranes, c.membrane, c.key);
        change_apply(next, c);
    }
    if (status == NACRE_OK) return nacre_batch_commit(batch);
    nacre_batch_abort(batch);
    return status;
}

nacre_status history_load(nacre_db *db, const Model *model, Model *next, uint64_t *random) {
    nacre_membrane *membranes[MODEL_MEMBRANES];
    nacre_bulk *bulk = NULL;
    uint32_t keys[HISTORY_KEYS];
    size_t count = 0;
    int m = (int)(test_random(random) % MODEL_MEMBRANES);
    uint32_t from = (uint32_t)(test_random(random) % HISTORY_KEYS), to = from + (uint32_t)(test_random(random) % HISTORY_KEYS);
    uint32_t step = 1 + (uint32_t)(test_random(random) % 4);
    uint64_t kind = test_random(random) % 8;
    uint32_t version = draw_version(random) | (kind == 0 ? MODEL_ENDS : kind == 1 ? MODEL_LASTS : 0);
    for (uint32_t key = from; key <= to && key < HISTORY_KEYS; key += step) keys[count++] = key;
    model_sort(m, keys, count);
    *next = *model;
    nacre_status status = model_open(db, membranes);
    if (status == NACRE_OK) status = nacre_bulk_begin(membranes[m], &bulk);
    for (size_t i = 0; i < count && status == NACRE_OK; i++) {
        status = model_bulk_put(bulk, m, keys[i], version);
        next->version[m][keys[i]] = version & MODEL_ENDS ? 0 : version;
    }
    if (status == NACRE_OK) return nacre_bulk_commit(bulk, NULL);
    nacre_bulk_abort(bulk);
    return status;
}

/* What stats say of ingests; 0 when they cannot be had. */
static uint64_t history_ingests(nacre_db *db) {
    const char *json = NULL, *at = NULL;
    if (nacre_stats_json(db, &json) != NACRE_OK || !(at = strstr(json, "\"ingests\":"))) return 0;
    return strtoull(at + 10, NULL, 10);
}

static nacre_status transaction_changes(nacre_transaction *tx, nacre_membrane *membranes[MODEL_MEMBRANES],
                                        uint64_t count, Model *model, uint64_t *random) {
    nacre_status status = NACRE_OK;
    for (; count > 0 && status == NACRE_OK; count--) {
        Change c = draw_change(random);
        status = c.version ? model_transaction_put(tx, membranes, c.membrane, c.key, c.version)
                           : model_transaction_delete(tx, membranes, c.membrane, c.key);
        if (status == NACRE_NOT_FOUND && !c.version && !model->version[c.membrane][c.key]) status = NACRE_OK;
        change_apply(model, c);
    }
    return status;
}

nacre_status history_transaction(nacre_db *db, const Model *model, Model *next, uint64_t *random, bool *spilled) {
    nacre_membrane *membranes[MODEL_MEMBRANES];
    nacre_transaction *tx = NULL;
    Model kept = *model, undone;
    uint64_t savepoint = 0, large = test_random(random) % 2, ingests = history_ingests(db);
    kept.version[0][0] = draw_version(random); /* something is changed in any case */
    nacre_status status = model_open(db, membranes);
    if (status == NACRE_OK) status = nacre_begin(db, &tx);
    if (status == NACRE_OK) status = model_transaction_put(tx, membranes, 0, 0, kept.version[0][0]);
    if (status == NACRE_OK) status = transaction_changes(tx, membranes, large ? 130 : 5, &kept, random);
    if (status == NACRE_OK) status = nacre_savepoint(tx, &savepoint);
    undone = kept;
    if (status == NACRE_OK) status = transaction_changes(tx, membranes, large ? 130 : 5, &undone, random);
    if (test_random(random) % 2 == 0) {
        if (status == NACRE_OK) status = nacre_rollback_to(tx, savepoint);
    } else {
        kept = undone;
    }
    if (status == NACRE_OK) status = transaction_changes(tx, membranes, large ? 60 : 5, &kept, random);
    *next = kept;
    if (status == NACRE_OK) status = nacre_commit(tx);
    else nacre_rollback(tx);
    *spilled = history_ingests(db) > ingests;
    return status;
}

static bool history_ok(History *h, nacre_status status) {
    if (status == NACRE_OK) return true;
    return check_that(__FILE__, __LINE__, h->db ? nacre_message(h->db) : "open", false);
}

bool history_close(History *h) {
    nacre_db *db = h->db, *reader = h->reader;
    h->db = h->reader = NULL;
    if (reader) CHECK_EQ(nacre_close(reader, NULL), NACRE_OK);
    return CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

static bool history_open(History *h) {
    nacre_options options = history_options(h->disk, h->durability);
    nacre_error error = {0};
    nacre_membrane *membranes[MODEL_MEMBRANES];
    if (nacre_open("db", &options, &h->db, &error) != NACRE_OK) return check_that(__FILE__, __LINE__, error.text, false);
    return history_ok(h, model_open(h->db, membranes)); /* made here: batches write one frame */
}

static bool history_drop(History *h) {
    static const char *const names[MODEL_MEMBRANES] = {"texts", "numbers", "vectors"};
    int m = (int)(test_random(&h->random) % MODEL_MEMBRANES);
    Model next = h->states[h->count];
    memset(next.version[m], 0, sizeof next.version[m]);
    size_t before = sim_disk_operations(h->disk);
    if (!history_ok(h, nacre_membrane_drop(h->db, names[m]))) return false;
    history_acknowledged(h, &next, before);
    nacre_membrane *membranes[MODEL_MEMBRANES];
    return history_ok(h, model_open(h->db, membranes));
}

static bool history_write(History *h) {
    Model next;
    size_t before = sim_disk_operations(h->disk);
    if (!history_ok(h, history_batch(h->db, &h->states[h->count], &next, &h->random))) return false;
    history_acknowledged(h, &next, before);
    return true;
}

static bool history_bulk(History *h) {
    Model next;
    size_t before = sim_disk_operations(h->disk);
    if (!history_ok(h, history_load(h->db, &h->states[h->count], &next, &h->random))) return false;
    history_loaded(h, &next, before);
    return true;
}

static bool history_transact(History *h) {
    Model next;
    bool spilled = false;
    size_t before = sim_disk_operations(h->disk);
    if (!history_ok(h, history_transaction(h->db, &h->states[h->count], &next, &h->random, &spilled))) return false;
    if (spilled) history_loaded(h, &next, before);
    else history_acknowledged(h, &next, before);
    h->transactions[spilled]++;
    return true;
}

static bool history_stream(History *h) {
    Model next = h->states[h->count];
    nacre_membrane *files = NULL;
    nacre_schema schema = nacre_schema_kv(NACRE_TEXT, NACRE_BYTES);
    if (!history_ok(h, nacre_membrane_open(h->db, "files", &schema, &files))) return false;
    size_t before = sim_disk_operations(h->disk);
    next.large = draw_version(&h->random);
    if (!history_ok(h, model_stream(h->db, next.large))) return false;
    history_loaded(h, &next, before);
    h->streams++;
    return true;
}

/* Someone who only reads comes, goes, or looks: it sees what was acknowledged. */
static bool history_read(History *h) {
    if (!h->reader) {
        nacre_options options = history_options(h->disk, h->durability);
        nacre_error error = {0};
        options.mode = NACRE_READ;
        if (nacre_open("db", &options, &h->reader, &error) == NACRE_OK) return true;
        return check_that(__FILE__, __LINE__, error.text, false);
    }
    if (test_random(&h->random) % 4 == 0) {
        nacre_db *reader = h->reader;
        h->reader = NULL;
        return CHECK_EQ(nacre_close(reader, NULL), NACRE_OK);
    }
    Model model;
    sim_disk_set_clock(h->disk, h->clock += 2);
    h->reads++;
    return CHECK_EQ(nacre_refresh(h->reader), NACRE_OK) && CHECK(model_read(h->reader, NULL, &model)) &&
           CHECK(memcmp(&model, &h->states[h->count], sizeof model) == 0);
}

bool history_go_on(History *h, unsigned rounds) {
    bool more;
    for (unsigned i = 0; i < rounds; i++) {
        if (!h->db && !history_open(h)) return false;
        sim_disk_set_clock(h->disk, h->clock += test_random(&h->random) % 60);
        if (!history_write(h)) return false;
        bool ok = i % 40 != 20 || history_transact(h);
        if (ok && i % 16 == 9) ok = history_read(h);
        if (ok && h->large && i % 60 == 30) ok = history_stream(h);
        if (!ok) return false;
        switch (test_random(&h->random) % (h->lazy ? 400 : 50)) {
        case 0: ok = history_ok(h, nacre_checkpoint(h->db)); break;
        case 1: ok = history_ok(h, nacre_compact(h->db, NULL)); break;
        case 2: ok = history_close(h); break;
        case 3: ok = history_drop(h); break;
        case 4: ok = history_ok(h, nacre_flush(h->db)); break;
        case 5:
        case 6: ok = history_ok(h, nacre_step(h->db, 20000, &more)); break;
        case 7:
        case 8: ok = history_bulk(h); break;
        case 9:
        case 10: ok = history_transact(h); break;
        default: break;
        }
        if (!ok) return false;
    }
    return true;
}

size_t history_least(const History *h, size_t operations) {
    size_t least = 0;
    for (size_t c = 0; c < h->count; c++) {
        size_t promised = h->durability == NACRE_STRICT ? h->commits[c].acknowledged : h->commits[c].durable;
        if (promised <= operations) least = c + 1;
    }
    return least;
}

size_t history_most(const History *h, size_t operations) {
    size_t most = 0;
    while (most < h->count && h->commits[most].written <= operations) most++;
    return most;
}

size_t history_find(const History *h, const Model *model, size_t least, size_t most) {
    uint64_t hash = history_hash(model);
    for (size_t c = most + 1; c-- > least;)
        if (h->hashes[c] == hash && memcmp(&h->states[c], model, sizeof *model) == 0) return c;
    return SIZE_MAX;
}
