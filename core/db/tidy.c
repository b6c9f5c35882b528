/* tidy.c - searches move what they score slowly again and again: vectors of a memtable, which are
 * compared one by one, into a segment, where they have codes; codes of flat lists into the last level,
 * where they are in lists. When that begins, searches have spent on it about as much as the move costs:
 * so all of it is at most twice what it would be if the future were known (ski rental; Karlin et al.,
 * "Competitive snoopy caching", Algorithmica 1988). What is above the last level is moved sooner while
 * there is little in it: then nearly all that is merged is what was slow. Each search pays for a slice. */
#include "db/state.h"

enum {
    TIDY_MEMORY_LEAST = 512 << 10, /* bytes of vectors: below, codes are not worth a segment */
    TIDY_SCORES = 64, /* a vector costs as much to write and code as to compare so many times */
    TIDY_MERGES = 64, /* a byte costs as much to merge as the same of codes to read so many times */
    TIDY_SLICE = 128 << 10, /* bytes of work that a search pays for */
};

/* The other log may have to be emptied first: one call does that, and the next one goes on. */
static nacre_status tidy_freeze(Db *db) {
    if (!db->log_free[1 - db->active->log]) return log_release(db);
    TRY(maintain_freeze(db));
    db->scored_memory = 0;
    db->tidying = db->checkpointing = true;
    return NACRE_OK;
}

static nacre_status tidy_begin(Db *db, uint64_t memory) {
    if (memory >= TIDY_MEMORY_LEAST && db->scored_memory >= TIDY_SCORES * memory && db->active->used >= memory / 2)
        return tidy_freeze(db);
    if (db->scored_flat == 0) return NACRE_OK;
    TRY(maintain_begin_last(db, db->scored_flat, TIDY_MERGES, &db->tidying));
    if (db->tidying) db->scored_flat = 0;
    return NACRE_OK;
}

void tidy_after_search(Db *db, uint64_t memory, uint64_t flat) {
    nacre_error error = db->env.error;
    nacre_status status = NACRE_OK;
    if (db->readonly || db->poisoned || db->damaged || db->maintenance_error.code != NACRE_OK) return;
    if (memory >= TIDY_MEMORY_LEAST) db->scored_memory += memory;
    db->scored_flat += flat;
    if (!db->tidying && maintain_idle(db)) status = tidy_begin(db, memory);
    if (db->tidying && status == NACRE_OK) status = maintain_step(db, TIDY_SLICE, &db->tidying);
    if (db->data.broken) db->poisoned = true;
    if (status != NACRE_OK) {
        db->maintenance_error = db->env.error;
        db->tidying = false;
    }
    db->env.error = error;
}
