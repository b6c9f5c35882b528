/* checksum.h - XXH3-64 over bytes, seeded with what the bytes are. */
#ifndef BASE_CHECKSUM_H
#define BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

uint64_t checksum64(uint64_t seed, const void *data, size_t size);

/* Hash of a key, for filters and fingerprints. */
static inline uint64_t key_hash(const void *data, size_t size) { return checksum64(0, data, size); }

#endif
