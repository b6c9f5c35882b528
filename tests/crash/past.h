/* past.h - what was on the disk when a recorded life ended, in a close or in a power failure that took
 * nothing away; copies of it are damaged, and past_ask says what the answer is. */
#ifndef TESTS_CRASH_PAST_H
#define TESTS_CRASH_PAST_H

#include "crash/history.h"

extern const char *const past_files[3]; /* the data, the two logs */

/* Two pasts: one ended in close, one in a power failure that took nothing away. */
typedef struct Past {
    History history;
    SimDisk *disk, *work, *before;
    bool closed;
    uint64_t last_frame[2]; /* offset of the last frame of each log; UINT64_MAX: there is none */
    uint64_t end[2];
    int active;             /* the log that was used last */
} Past;

bool past_init(Past *p, bool closed);
void past_clear(Past *p);
uint64_t past_size(const Past *p, const char *file);
SimDisk *past_copy(Past *p); /* p->work, fresh */
bool past_same_files(const SimDisk *a, const SimDisk *b);
/* Is this byte of the file at or behind the last frame of the log that was used last? */
bool past_at_the_end(const Past *p, int file, uint64_t offset);

typedef enum Answer { ANSWER_FULL, ANSWER_PREFIX, ANSWER_ERROR, ANSWER_WRONG } Answer;

typedef struct Verdicts {
    uint64_t full, prefix, errors, wrong;
} Verdicts;

/* Reads all rows: NACRE_OK, or the failure, which must be one. *model has what was read. */
nacre_status past_read(nacre_db *db, Model *model, bool *right);
/* What is the answer to the damaged p->work? Is it allowed to be a shorter prefix; need that be
 * reported as torn? Compares the files with how they were when it is refused. */
Answer past_ask(Past *p, const char *damage, bool may_be_shorter, bool torn);
bool verdict_count(Verdicts *v, Answer answer); /* false: enough is wrong */
void verdict_print(const char *what, const Verdicts *v);

#endif
