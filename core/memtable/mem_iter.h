/* mem_iter.h - a memtable's rows as an Iter, as of a stamp. */
#ifndef MEMTABLE_MEM_ITER_H
#define MEMTABLE_MEM_ITER_H

#include "memtable/memtable.h"
#include "segment/entry.h"

/* Keeps a reference on the memtable. */
NACRE_CHECKED nacre_status mem_iter_open(Memtable *memtable, uint32_t stamp, Iter **iter);

/* An entry that borrows a record's bytes. */
void mem_entry(const uint8_t *record, Entry *entry);

#endif
