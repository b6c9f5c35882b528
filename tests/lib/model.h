/* model.h - the simplest thing that a database must equal: numbered keys, each with a
 * version or absent. The value of a key is made from its number and version, so that
 * every byte can be checked without being kept. */
#ifndef TESTS_MODEL_H
#define TESTS_MODEL_H

#include "nacre.h"

enum { MODEL_KEYS = 512, MODEL_MEMBRANES = 3, MODEL_DIMENSIONS = 8 };

/* Versions with one of these have a time to live: so long that it never ends, or a
 * millisecond, so that the row is as good as absent: 0 in a Model. */
enum { MODEL_LASTS = 1 << 29, MODEL_ENDS = 1 << 30 };

typedef struct Model {
    uint32_t version[MODEL_MEMBRANES][MODEL_KEYS]; /* 0: absent */
    uint32_t large;                                /* the value of model_stream; 0: absent */
} Model;

/* Opens the model's membranes: 0 text keys and bytes values, 1 integer keys and bytes
 * values (some of them large), 2 a collection with a vector and a field. */
nacre_status model_open(nacre_db *db, nacre_membrane *membranes[MODEL_MEMBRANES]);

nacre_value model_key(int membrane, uint32_t key, char room[48]);

/* Adds a put or delete to a batch. */
nacre_status model_put(nacre_batch *batch, nacre_membrane *membranes[MODEL_MEMBRANES], int membrane, uint32_t key,
                       uint32_t version);
nacre_status model_delete(nacre_batch *batch, nacre_membrane *membranes[MODEL_MEMBRANES], int membrane, uint32_t key);

/* The same for a bulk load, which wants its keys in order: `keys` rise as numbers, and are
 * put into the order of the membrane's. */
nacre_status model_bulk_put(nacre_bulk *bulk, int membrane, uint32_t key, uint32_t version);
void model_sort(int membrane, uint32_t *keys, size_t count);

/* Streams the one large value, of more than a MiB, into a membrane of its own. */
nacre_status model_stream(nacre_db *db, uint32_t version);

/* The same inside a transaction; deleting what is not there is NACRE_NOT_FOUND. */
nacre_status model_transaction_put(nacre_transaction *tx, nacre_membrane *membranes[MODEL_MEMBRANES], int membrane,
                                   uint32_t key, uint32_t version);
nacre_status model_transaction_delete(nacre_transaction *tx, nacre_membrane *membranes[MODEL_MEMBRANES], int membrane,
                                      uint32_t key);

/* Is the row what put made it with some version? The version, or 0: it is wrong. */
uint32_t model_row_version(int membrane, uint32_t key, const nacre_row *row);

/* Compares everything through gets, a forward and a backward scan, a count. The number
 * of differences; 0: equal. Prints the first ones. */
int model_differences(nacre_db *db, const nacre_snapshot *snapshot, const Model *model);

/* Reads the whole state as a model; false: something in it cannot be (printed). */
bool model_read(nacre_db *db, const nacre_snapshot *snapshot, Model *model);

/* What the whole is just after the commit of a sequence: rows that were loaded are not among
 * the changes. `at` NULL: nothing was loaded. */
typedef struct ModelPast {
    const Model *(*at)(const void *self, uint64_t sequence);
    const void *self;
} ModelPast;

/* Applies what the reader of changes gives until there is nothing newer; the sequence up to
 * which all was given, 0: something in it cannot be (printed). */
uint64_t model_replay(nacre_db *db, nacre_changes *changes, ModelPast past, Model *model);
/* The same from `since` on, with a reader of its own. */
uint64_t model_replay_since(nacre_db *db, uint64_t since, ModelPast past, Model *model);

/* Searches for the vector of each present key: the nearest must be that key. */
int model_search_differences(nacre_db *db, const nacre_snapshot *snapshot, const Model *model, uint32_t queries);

#endif
