/* record.h - is a record of which nothing is known one of record_format.h? */
#ifndef MEMTABLE_RECORD_H
#define MEMTABLE_RECORD_H

#include "memtable/record_format.h"

/* NULL, and *size bytes are the record's; else what is wrong with it. `left` bytes are there.
 * For memory's sake: sizes and flags fit each other. Whether key and fields are those of a
 * membrane is asked by who knows its schema. */
const char *record_problem(const uint8_t *record, uint64_t left, uint64_t *size);

#endif
