/* vectors.h - what the vectors of a database are coded with: codebooks found, made and trained. */
#ifndef DB_VECTORS_H
#define DB_VECTORS_H

#include "db/state.h"

/* Collections of fewer vectors have no lists: all their codes are read. Asked: where the schema says
 * that there should be lists. */
enum { LISTS_ROWS = 4000, LISTS_ROWS_ASKED = 1000, LISTS_MAX = 4096 };

/* The code host of the database's segments; once, at open. */
void vectors_init(Db *db);
void vectors_clear(Db *db);

/* Training of codebooks with lists, from what a merge into the last level will read, for each
 * membrane that has vectors enough and no such codebook, or one for far fewer. */
typedef struct Training Training;
/* *training NULL: there is nothing to train, or no memory for it: then vectors are coded as they were. */
void training_begin(Db *db, const Run *runs, size_t count, Training **training);
/* Works until *work has reached `budget` bytes' worth or all is trained; then *training is NULL. What
 * fails is left out. */
void training_step(Db *db, Training **training, double budget, uint64_t *work);
void training_free(Db *db, Training *training);

/* Should the last level, whose codes have no lists, be written anew? It is looked at once after
 * anything came into it unread. */
NACRE_CHECKED nacre_status vectors_want_lists(Db *db, const Run *run, bool *wanted);

#endif
