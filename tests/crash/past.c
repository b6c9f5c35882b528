/* past.c - a past that is damaged: how it came to be, and the judge of what is found. */
#include "crash/past.h"

#include "lib/check.h"
#include "log/wal_format.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#if defined __wasm__ || defined __aarch64__ /* often emulated */
enum { ROUNDS = 60 };
#else
enum { ROUNDS = 70 };
#endif

const char *const past_files[3] = {"db", "db-wal0", "db-wal1"};

void past_clear(Past *p) {
    sim_disk_free(p->disk);
    sim_disk_free(p->work);
    sim_disk_free(p->before);
    history_free(&p->history);
}

uint64_t past_size(const Past *p, const char *file) {
    uint64_t size = 0;
    (void)sim_disk_bytes(p->disk, file, &size);
    return size;
}

/* Where the last whole frame begins, by the sizes in their heads. */
static void past_find_frames(Past *p) {
    uint64_t sequence[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        uint64_t size = 0;
        const uint8_t *bytes = sim_disk_bytes(p->disk, past_files[1 + i], &size);
        p->last_frame[i] = UINT64_MAX;
        sequence[i] = get_u64(bytes + 32);
        uint64_t at = WAL_HEAD;
        while (at + FRAME_HEAD <= size && get_u32(bytes + at + 12) >= FRAME_HEAD && get_u32(bytes + at + 12) <= size - at) {
            p->last_frame[i] = at;
            at += get_u32(bytes + at + 12);
        }
        p->end[i] = at;
    }
    p->active = sequence[1] > sequence[0];
    if (p->last_frame[p->active] == UINT64_MAX) p->active = 1 - p->active; /* reset in advance, not used yet */
}

bool past_init(Past *p, bool closed) {
    *p = (Past){.closed = closed};
    /* Most rows in segments of many blocks, the newest ones in both logs. */
    History *h = &p->history;
    history_init(h, test_seed() & ~UINT64_C(1), NACRE_STRICT);
    bool right = history_go_on(h, ROUNDS) && (h->db || history_go_on(h, 1)) &&
                 CHECK_EQ(nacre_compact(h->db, NULL), NACRE_OK) && history_go_on(h, ROUNDS / 2);
    while (right && (!h->db || h->count % 4)) right = history_go_on(h, 1);
    if (closed) right = right && history_close(h);
    sim_disk_wait(h->disk, 1000);
    p->disk = sim_disk_clone(p->history.disk);
    sim_disk_crash(p->disk, SIM_CRASH_PREFIX, sim_disk_crash_states(p->disk, SIM_CRASH_PREFIX) - 1);
    p->work = sim_disk_new(0);
    p->before = sim_disk_new(0);
    past_find_frames(p);
    return right;
}

SimDisk *past_copy(Past *p) {
    sim_disk_copy(p->disk, p->work);
    return p->work;
}

bool past_same_files(const SimDisk *a, const SimDisk *b) { return sim_disk_hash(a) == sim_disk_hash(b); }

static Answer wrong(const char *damage, const char *law, const char *text) {
    printf("# %s: %s (%s)\n", damage, law, text);
    check_that(CHECK_HERE, law, false);
    return ANSWER_WRONG;
}

/* Reads all rows: NACRE_OK, or the failure, which must be one. *model has what was read. */
nacre_status past_read(nacre_db *db, Model *model, bool *right) {
    static const char *const names[MODEL_MEMBRANES] = {"texts", "numbers", "vectors"};
    *right = true;
    memset(model, 0, sizeof *model);
    for (int m = 0; m < MODEL_MEMBRANES; m++) {
        nacre_membrane *membrane = NULL;
        nacre_status status = nacre_membrane_open(db, names[m], NULL, &membrane);
        if (status == NACRE_NOT_FOUND) continue;
        if (status != NACRE_OK) return status;
        for (uint32_t key = 0; key < HISTORY_KEYS; key++) {
            char room[48];
            nacre_value name = model_key(m, key, room);
            nacre_row row;
            status = nacre_get(membrane, NULL, &name, &row);
            if (status == NACRE_NOT_FOUND) continue;
            if (status != NACRE_OK) return status;
            if (!(model->version[m][key] = model_row_version(m, key, &row))) *right = false;
        }
        nacre_cursor *cursor = NULL;
        nacre_row row;
        if ((status = nacre_cursor_open(membrane, NULL, NULL, &cursor)) != NACRE_OK) return status;
        uint64_t seen = 0, count = 0;
        while ((status = nacre_cursor_next(cursor, &row)) == NACRE_OK) seen++;
        nacre_cursor_close(cursor);
        if (status != NACRE_NOT_FOUND) return status;
        for (uint32_t key = 0; key < HISTORY_KEYS; key++) count += model->version[m][key] != 0;
        if (seen != count) *right = false;
    }
    return NACRE_OK;
}

/* What is the answer to the damaged p->work? Is it allowed to be a shorter prefix; need that be
 * reported as torn? Compares the files with how they were when it is refused. */
Answer past_ask(Past *p, const char *damage, bool may_be_shorter, bool torn) {
    nacre_options options = history_options(p->work, NACRE_STRICT);
    nacre_db *db = NULL;
    nacre_error error = {0};
    const History *h = &p->history;
    sim_disk_copy(p->work, p->before);
    nacre_status status = nacre_open("db", &options, &db, &error);
    if (status != NACRE_OK) {
        if (status != NACRE_CORRUPT && status != NACRE_VERSION) return wrong(damage, "damage is CORRUPT or VERSION", error.text);
        if (!strstr(error.text, "db")) return wrong(damage, "the file is named", error.text);
        if (!past_same_files(p->work, p->before)) return wrong(damage, "a refused database is not touched", error.text);
        return ANSWER_ERROR;
    }
    Model model;
    bool right = false;
    Answer answer = ANSWER_WRONG;
    status = past_read(db, &model, &right);
    if (status == NACRE_CORRUPT || status == NACRE_VERSION) {
        uint64_t problems = 0;
        char text[NACRE_ERROR_TEXT_SIZE];
        snprintf(text, sizeof text, "%s", nacre_message(db));
        answer = strstr(text, "db") ? ANSWER_ERROR : wrong(damage, "the file is named", text);
        if (nacre_verify(db, true, NULL, NULL, &problems) != NACRE_OK || problems == 0)
            answer = wrong(damage, "verify finds what a read finds", text);
    } else if (status != NACRE_OK) {
        answer = wrong(damage, "damage is CORRUPT or VERSION", nacre_message(db));
    } else if (!right) {
        answer = wrong(damage, "no row is wrong", "");
    } else {
        size_t found = history_find(h, &model, 0, h->count);
        const char *json = "";
        (void)!nacre_stats_json(db, &json);
        if (found == SIZE_MAX) answer = wrong(damage, "the content is that after some commit", "");
        else if (found == h->count) answer = ANSWER_FULL;
        else if (!may_be_shorter) answer = wrong(damage, "no commit is missing", "");
        else if (torn && strstr(json, "\"tornBytes\":0")) answer = wrong(damage, "what was cut is reported", json);
        else answer = ANSWER_PREFIX;
    }
    (void)nacre_close(db, NULL);
    return answer;
}

bool verdict_count(Verdicts *v, Answer answer) {
    v->full += answer == ANSWER_FULL;
    v->prefix += answer == ANSWER_PREFIX;
    v->errors += answer == ANSWER_ERROR;
    v->wrong += answer == ANSWER_WRONG;
    return v->wrong < 3;
}

void verdict_print(const char *what, const Verdicts *v) {
    printf("# %s: %" PRIu64 " right, %" PRIu64 " a prefix, %" PRIu64 " refused, %" PRIu64 " wrong\n", what, v->full,
           v->prefix, v->errors, v->wrong);
}

/* Is this byte of the file at or behind the last frame of the log that was used last? */
bool past_at_the_end(const Past *p, int file, uint64_t offset) {
    return file == 1 + p->active && !p->closed && offset >= p->last_frame[p->active];
}
