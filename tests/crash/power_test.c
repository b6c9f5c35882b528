/* power_test.c - power fails at every operation of recorded lives, with unsynced writes dropped,
 * reordered, torn and turned to junk, and again while that is being recovered. In each state
 * found, the laws of DESIGN 10: see recovered_state. What was found before in the same life is
 * not looked at again. CRASH_STATES=n explores about n states (make crash-long: many); --seed
 * or TEST_SEED another set of lives. */
#include "crash/history.h"
#include "lib/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined __wasm__ || defined __aarch64__ /* often emulated */
enum { STATES = 900, ROUNDS = 60, SPARSE = 1 };
#elif defined CRASH_SANITIZED
enum { STATES = 12000, ROUNDS = 120, SPARSE = 0 };
#else
enum { STATES = 90000, ROUNDS = 250, SPARSE = 0 };
#endif

/* One state to look at, and enough to make it again. */
typedef struct Crash {
    const History *history;
    uint64_t life;       /* the history's seed */
    size_t operations;   /* done before the power failed */
    SimCrash policy;
    uint64_t seed;
    size_t again;        /* operations of the recovery before it failed again; SIZE_MAX: it did not */
    SimCrash again_policy;
    uint64_t again_seed;
} Crash;

static bool wrong(const Crash *c, const char *law, const char *text) {
    static const char *const levels[] = {"strict", "relaxed", "none"};
    printf("# %s, life %" PRIu64 ", crash after %zu operations, policy %d seed %" PRIu64, levels[c->history->durability],
           c->life, c->operations, (int)c->policy, c->seed);
    if (c->again != SIZE_MAX)
        printf(", again after %zu, policy %d seed %" PRIu64, c->again, (int)c->again_policy, c->again_seed);
    printf(": %s (%s)\n", law, text);
    return check_that(CHECK_HERE, law, false);
}

static nacre_db *open_after(const Crash *c, SimDisk *disk, const char *what) {
    nacre_options options = history_options(disk, NACRE_STRICT);
    nacre_db *db = NULL;
    nacre_error error = {0};
    if (nacre_open("db", &options, &db, &error) != NACRE_OK) wrong(c, what, error.text);
    return db;
}

typedef struct Problem {
    char text[200];
} Problem;

static void note_problem(void *self, const char *where, uint64_t offset, const char *what) {
    Problem *problem = self;
    if (!problem->text[0]) snprintf(problem->text, sizeof problem->text, "%s at %" PRIu64 ": %s", where, offset, what);
}

static bool counts_agree(nacre_db *db, const Model *model) {
    static const char *const names[MODEL_MEMBRANES] = {"texts", "numbers", "vectors"};
    for (int m = 0; m < MODEL_MEMBRANES; m++) {
        nacre_membrane *membrane = NULL;
        uint64_t want = 0, got = 0;
        for (uint32_t key = 0; key < MODEL_KEYS; key++) want += model->version[m][key] != 0;
        nacre_status status = nacre_membrane_open(db, names[m], NULL, &membrane);
        if (status == NACRE_NOT_FOUND && want == 0) continue;
        if (status != NACRE_OK || nacre_count(membrane, NULL, NULL, &got) != NACRE_OK || got != want) return false;
    }
    return true;
}

static const Model *state_after(const void *self, uint64_t sequence) {
    const History *h = self;
    size_t c = 0;
    while (c < h->count && h->commits[c].sequence != sequence) c++;
    return c < h->count ? &h->states[c + 1] : NULL;
}

/* Commit number `found` was the last: do the changes after an earlier one lead there? */
static bool changes_lead(nacre_db *db, const History *h, size_t found, const Model *model, uint64_t *random) {
    uint64_t oldest = 0, newest = 0;
    ModelPast past = {state_after, h};
    if (nacre_changes_bounds(db, &oldest, &newest) != NACRE_OK) return false;
    size_t first = 0; /* commits of sequences that are not above `oldest` */
    while (first < found && h->commits[first].sequence <= oldest) first++;
    Model from = h->states[first];
    if (model_replay_since(db, oldest, past, &from) == 0 && newest > 0) return false;
    if (memcmp(&from, model, sizeof from) != 0) return false;
    if (first == found) return true;
    size_t some = first + 1 + (size_t)(test_random(random) % (found - first)); /* that many commits */
    from = h->states[some];
    return model_replay_since(db, h->commits[some - 1].sequence, past, &from) > 0 && memcmp(&from, model, sizeof from) == 0;
}

/* What a state was found to be: another one with the same bytes is the same. */
typedef struct Seen {
    uint64_t bytes; /* hash; 0: an empty place */
    size_t found;
    uint64_t sequence;
} Seen;

/* Of one life: places by hash, at most half of them taken. */
typedef struct SeenTable {
    Seen *places;
    size_t capacity, count;
} SeenTable;

static Seen *seen_place(const SeenTable *t, uint64_t bytes) {
    size_t at = (size_t)bytes % t->capacity;
    while (t->places[at].bytes && t->places[at].bytes != bytes) at = (at + 1) % t->capacity;
    return &t->places[at];
}

static void seen_add(SeenTable *t, Seen seen) {
    if (2 * t->count >= t->capacity) {
        SeenTable larger = {.capacity = t->capacity ? 2 * t->capacity : 1024, .count = t->count};
        if (!(larger.places = calloc(larger.capacity, sizeof *larger.places))) abort();
        for (size_t i = 0; i < t->capacity; i++)
            if (t->places[i].bytes) *seen_place(&larger, t->places[i].bytes) = t->places[i];
        free(t->places);
        *t = larger;
    }
    *seen_place(t, seen.bytes) = seen;
    t->count++;
}

/* Law 7. False: it is broken. *model is what the reader saw, when *saw. */
static bool read_beside(const Crash *c, SimDisk *disk, Model *model, bool *saw) {
    nacre_options options = history_options(disk, NACRE_STRICT);
    nacre_db *db = NULL;
    nacre_error error = {0};
    uint64_t before = sim_disk_hash(disk);
    options.mode = NACRE_READ;
    nacre_status status = nacre_open("db", &options, &db, &error);
    *saw = status == NACRE_OK;
    if (status == NACRE_NOT_FOUND) return true; /* never finished: law 1 tells */
    if (status != NACRE_OK) return wrong(c, "it opens for reading", error.text);
    bool right = model_read(db, NULL, model) || wrong(c, "a reader finds rows that were put", nacre_message(db));
    if (nacre_close(db, NULL) != NACRE_OK) right = wrong(c, "a reader closes", "");
    if (sim_disk_hash(disk) != before) right = wrong(c, "a reader writes nothing", "");
    return right;
}

/* The laws:
 * 1. It opens, and is the state after some number of commits, none left out in between.
 * 2. With `strict`, every acknowledged commit is among them; else, every one known synced.
 * 3. verify finds nothing; counts are exact.
 * 4. LSNs go on above all that were ever acknowledged.
 * 5. From any sequence that is kept, the changes lead to this state.
 * 6. It takes writes, and keeps them over the next power failure: recovering is idempotent.
 * 7. Who opens it for reading before it is recovered sees the same, and writes nothing.
 * The disk is used up. */
static bool recovered_state(const Crash *c, SimDisk *disk, uint64_t *random, Seen *seen_now) {
    const History *h = c->history;
    size_t least = history_least(h, c->operations), most = history_most(h, c->operations);
    size_t acknowledged = 0;
    while (acknowledged < h->count && h->commits[acknowledged].acknowledged <= c->operations) acknowledged++;
    uint64_t seen = acknowledged ? h->commits[acknowledged - 1].sequence : 0;

    Model model, next, again, beside;
    bool saw = false;
    if (test_random(random) % 4 == 0 && !read_beside(c, disk, &beside, &saw)) return false;
    Problem problem = {{0}};
    uint64_t problems = 0;
    nacre_db *db = open_after(c, disk, "it opens");
    if (!db) return false;
    bool right = model_read(db, NULL, &model);
    if (!right) wrong(c, "every row was put", nacre_message(db));
    size_t found = right ? history_find(h, &model, least, most) : SIZE_MAX;
    if (right && found == SIZE_MAX) {
        char text[120];
        size_t any = history_find(h, &model, 0, h->count);
        snprintf(text, sizeof text, "commits %zu to %zu were possible; it is %s %zu", least, most,
                 any == SIZE_MAX ? "none of" : "that after", any == SIZE_MAX ? h->count : any);
        right = wrong(c, "it is a prefix of the commits", text);
    }
    if (right && saw && memcmp(&model, &beside, sizeof model) != 0)
        right = wrong(c, "a reader sees what is recovered", "");
    if (nacre_verify(db, true, note_problem, &problem, &problems) != NACRE_OK)
        right = wrong(c, "verify runs", nacre_message(db));
    if (problems) right = wrong(c, "verify finds nothing", problem.text);
    if (right && !counts_agree(db, &model)) right = wrong(c, "counts are exact", "");
    if (right && !changes_lead(db, h, found, &model, random))
        right = wrong(c, "the changes lead to this state", nacre_message(db));
    *seen_now = (Seen){seen_now->bytes, found, history_sequence(db)};
    if (seen_now->sequence < seen) right = wrong(c, "no LSN is used twice", "sequence");
    if (history_batch(db, &model, &next, random) != NACRE_OK) right = wrong(c, "it takes writes", nacre_message(db));
    if (history_sequence(db) <= seen) right = wrong(c, "no LSN is used twice", "after a write");
    sim_disk_wait(disk, 2);

    sim_disk_crash(disk, SIM_CRASH_PREFIX, 0);
    (void)nacre_close(db, NULL);
    if (!right || !(db = open_after(c, disk, "it opens after another crash"))) return false;
    if (!model_read(db, NULL, &again) || memcmp(&again, &next, sizeof next) != 0)
        right = wrong(c, "a write after recovery stays", nacre_message(db));
    if (nacre_close(db, NULL) != NACRE_OK) right = wrong(c, "it closes", "");
    if (test_random(random) % 4) return right;
    sim_disk_crash(disk, SIM_CRASH_PREFIX, 0);
    if (!(db = open_after(c, disk, "it opens after a clean end"))) return false;
    if (!model_read(db, NULL, &again) || memcmp(&again, &next, sizeof next) != 0)
        right = wrong(c, "a clean end changes nothing", nacre_message(db));
    (void)nacre_close(db, NULL);
    return right;
}

typedef struct Explorer {
    uint64_t states, known, target, random;
    size_t operations, lives, wrong, transactions[2], streams, reads;
    SeenTable seen;
} Explorer;

/* What was found before must be right here, too: other commits may be promised. */
static bool known_state(const Crash *c, const Seen *known) {
    const History *h = c->history;
    size_t acknowledged = 0;
    while (acknowledged < h->count && h->commits[acknowledged].acknowledged <= c->operations) acknowledged++;
    if (known->found < history_least(h, c->operations) || known->found > history_most(h, c->operations))
        return wrong(c, "it is a prefix of the commits", "as found before");
    return !acknowledged || known->sequence >= h->commits[acknowledged - 1].sequence || wrong(c, "no LSN is used twice", "");
}

/* Recovers `after`, with a second failure on the way when `twice`. */
static bool explore_one(Explorer *e, Crash c, const SimDisk *at, SimDisk *after, bool twice) {
    uint64_t *random = &e->random;
    sim_disk_copy(at, after);
    sim_disk_crash(after, c.policy, c.seed);
    c.again = SIZE_MAX;
    if (twice) {
        nacre_options options = history_options(after, c.history->durability);
        nacre_db *db = NULL;
        c.again = (size_t)(test_random(random) % 24);
        c.again_policy = (SimCrash)(test_random(random) % 7);
        sim_disk_power_off_at(after, sim_disk_operations(after) + c.again);
        (void)!nacre_open("db", &options, &db, NULL);
        uint64_t states = sim_disk_crash_states(after, c.again_policy);
        c.again_seed = test_random(random) % (states ? states : 1);
        sim_disk_power_off_at(after, SIZE_MAX);
        sim_disk_crash(after, c.again_policy, c.again_seed);
        if (db) (void)nacre_close(db, NULL);
    }
    Seen seen = {.bytes = sim_disk_hash(after) | 1};
    const Seen *known = e->seen.capacity ? seen_place(&e->seen, seen.bytes) : NULL;
    if (known && known->bytes) {
        e->known++;
        return known_state(&c, known);
    }
    e->states++;
    if (!recovered_state(&c, after, random, &seen)) return false;
    seen_add(&e->seen, seen);
    return true;
}

/* With none and with all of what was unsynced, two ways at random, and a failure while recovering. */
static void explore_point(Explorer *e, Crash c, const SimDisk *at, SimDisk *after) {
    uint64_t all = sim_disk_crash_states(at, SIM_CRASH_PREFIX);
    for (int pick = 0; pick < 5; pick++) {
        bool twice = pick == 4;
        c.policy = pick < 2 ? SIM_CRASH_PREFIX : (SimCrash)(1 + test_random(&e->random) % 6);
        uint64_t states = sim_disk_crash_states(at, c.policy);
        c.seed = pick == 0 ? 0 : pick == 1 ? all - 1 : test_random(&e->random) % (states ? states : 1);
        if (all == 1 && pick > 0 && !twice) continue; /* nothing unsynced: one state */
        e->wrong += !explore_one(e, c, at, after, twice);
    }
}

/* Each operation of one life. */
static void explore_life(Explorer *e, nacre_durability durability, uint64_t seed) {
    History history;
    history_init(&history, seed, durability);
    bool lived = history_go_on(&history, history.lazy ? 3 * ROUNDS : ROUNDS) &&
                 (!history.db || history_close(&history));
    history_seal(&history);
    size_t operations = sim_disk_operations(history.disk);
    if (durability == NACRE_STRICT) /* B01 */
        for (size_t c = 0; c < history.count; c++) CHECK(history.commits[c].durable <= history.commits[c].acknowledged);
    SimDisk *after = sim_disk_new(0);
    SimDisk *at = sim_disk_new(0);
    size_t stride = SPARSE || history_key ? 1 + operations * 3 / (size_t)e->target : 1;
    for (size_t k = test_random(&e->random) % stride; k <= operations && lived && e->wrong < 3; k += stride) {
        sim_disk_replay(history.disk, k, at);
        Crash crash = {.history = &history, .life = seed, .operations = k};
        explore_point(e, crash, at, after);
    }
    sim_disk_free(at);
    e->operations += operations;
    for (int i = 0; i < 2; i++) e->transactions[i] += history.transactions[i];
    e->streams += history.streams;
    e->reads += history.reads;
    e->lives++;
    free(e->seen.places);
    e->seen = (SeenTable){0};
    sim_disk_free(after);
    history_free(&history);
}

static void explore(nacre_durability durability) {
    Explorer e = {.target = crash_states(STATES) / 3 + 1, .random = test_seed() + (uint64_t)durability};
    while (e.states < e.target && e.wrong < 3) explore_life(&e, durability, test_seed() + e.lives);
    printf("# %" PRIu64 " states (and %" PRIu64 " the same as one of these) after %zu operations of %zu lives, seeds %"
           PRIu64 " to %" PRIu64 ", %zu + %zu transactions, %zu streams, %zu readings beside\n", e.states, e.known,
           e.operations, e.lives, test_seed(), test_seed() + e.lives - 1, e.transactions[0], e.transactions[1], e.streams,
           e.reads);
    crash_count(e.states);
    CHECK(e.transactions[0] + e.transactions[1] > 0);
    CHECK(e.lives < 8 || e.streams > 0);
    CHECK(e.reads > 0);
    CHECK(SPARSE || (e.transactions[0] > 0 && e.transactions[1] > 0)); /* through the log, and past it */
}

static void strict_commits_survive_any_power_failure(void) { explore(NACRE_STRICT); }
static void relaxed_commits_survive_as_a_prefix(void) { explore(NACRE_RELAXED); }
static void unsynced_commits_survive_as_a_prefix(void) { explore(NACRE_NONE); }

void power_test(void) {
    RUN(strict_commits_survive_any_power_failure);
    RUN(relaxed_commits_survive_as_a_prefix);
    RUN(unsynced_commits_survive_as_a_prefix);
}
