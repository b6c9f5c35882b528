/* record.c - the checks that records from a log and from the archive of changes share. */
#include "memtable/record.h"

const char *record_problem(const uint8_t *record, uint64_t left, uint64_t *size) {
    if (left < RECORD_HEAD) return "record: cut short";
    uint64_t whole = record_size(record_key_size(record), record_value_size(record));
    uint32_t flags = record_flags(record);
    if (whole > left || record_key_size(record) < 4) return "record: malformed";
    Span value = record_value(record);
    if (flags & ~RECORD_FLAGS_KNOWN) return "record: of a later version";
    if ((flags & RECORD_DELETE) && (flags != RECORD_DELETE || value.size)) return "record: a deletion with a value";
    if ((flags & RECORD_EXPIRES) && (value.size < 8 || get_u64(value.data) >= RECORD_LIFETIME)) return "record: expiry";
    if (flags & RECORD_EXPIRES) value = span_of(value.data + 8, value.size - 8);
    if ((flags & RECORD_VECTOR) && (value.size < 4 || get_u32(value.data) > value.size - 4)) return "record: vector";
    *size = whole;
    return NULL;
}
