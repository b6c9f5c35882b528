/* options.c - the table of options: its rows are the documentation, the defaults and
 * the range checks. */
#include "db/options.h"

#include "base/limits.h"

#define MIB (1024u * 1024u)
#define NAMES(name, low, high, initial, text) name ": default " initial ", " low " to " high ". " text "\n"

const char *nacre_options_describe(void) {
    return NAMES("memory", "1 MiB", "1 TiB", "64 MiB", "Budget in bytes of caches, memtables and indexes together.")
           NAMES("memtable_size", "64 KiB", "1 GiB", "an eighth of memory, at most 8 MiB",
                 "Bytes of log before a memtable becomes segments.")
           NAMES("segment_size", "64 KiB", "1 GiB", "16 MiB", "Bytes at which a segment is closed.")
           NAMES("database_size", "256 KiB", "128 TiB", "0: none", "Bytes of file that are not exceeded.")
           NAMES("block_size", "4 KiB", "64 KiB", "4 KiB", "Bytes of a block of rows, a power of two.")
           NAMES("filter_bits", "1", "32", "10", "Bits per key in the key filters; UINT32_MAX: no filters.")
           NAMES("relaxed_ms", "1", "60000", "200", "Milliseconds within which relaxed durability syncs.")
           NAMES("changes_size", "1", "1 TiB", "0: what the logs hold",
                 "Bytes of changes kept for readers of them; at most half of database_size.")
           NAMES("mapped", "false", "true", "false",
                 "Blocks of rows are read in a mapping of the file; for writers, on 64-bit systems.")
           NAMES("checkpoint_ms", "1", "86400000", "0: by size only",
                 "Milliseconds in the log after which rows go to segments, little by little, with the next calls.")
           NAMES("encryption_key", "32 bytes", "32 bytes", "none", "Everything in the files is encrypted with it.")
           NAMES("seed", "1", "2^64-1", "0: from the host", "Of everything random.");
}

static nacre_status options_range(Env *env, const char *name, uint64_t value, uint64_t low, uint64_t high) {
    if (value >= low && value <= high) return NACRE_OK;
    return env_fail(env, NACRE_INVALID_ARGUMENT, "option %s: %llu is not in %llu to %llu", name,
                    (unsigned long long)value, (unsigned long long)low, (unsigned long long)high);
}

nacre_status options_resolve(Env *env, const nacre_options *given, nacre_options *options) {
    *options = (nacre_options)NACRE_OPTIONS_INIT;
    if (given) {
        if (given->struct_size != sizeof *given)
            return env_fail(env, NACRE_INVALID_ARGUMENT, "options: struct_size %zu, expected %zu", given->struct_size,
                            sizeof *given);
        *options = *given;
    }
    if ((unsigned)options->mode > NACRE_READ)
        return env_fail(env, NACRE_INVALID_ARGUMENT, "option mode: %d", (int)options->mode);
    if ((unsigned)options->durability > NACRE_NONE)
        return env_fail(env, NACRE_INVALID_ARGUMENT, "option durability: %d", (int)options->durability);
    if ((unsigned)options->lock > NACRE_LOCK_BREAK)
        return env_fail(env, NACRE_INVALID_ARGUMENT, "option lock: %d", (int)options->lock);
    if (options->mapped && options->mode == NACRE_READ)
        return env_fail(env, NACRE_UNSUPPORTED, "option mapped: not beside a writer, who may cut the file");
    if ((options->allocator.alloc == NULL) != (options->allocator.free == NULL))
        return env_fail(env, NACRE_INVALID_ARGUMENT, "option allocator: alloc and free come together");
    if (!options->memory) options->memory = 64 * MIB;
    if (!options->memtable_size)
        options->memtable_size = options->memory / 8 < 8 * MIB ? options->memory / 8 : 8 * MIB;
    if (!options->segment_size) options->segment_size = 16 * MIB;
    if (!options->block_size) options->block_size = 4096;
    if (!options->filter_bits) options->filter_bits = 10;
    if (!options->relaxed_ms) options->relaxed_ms = 200;
    if (options->filter_bits == UINT32_MAX) options->filter_bits = 0;
    TRY(options_range(env, "memory", options->memory, MIB, (uint64_t)1 << 40));
    TRY(options_range(env, "memtable_size", options->memtable_size, 64u << 10, (uint64_t)1 << 30));
    TRY(options_range(env, "segment_size", options->segment_size, 64u << 10, (uint64_t)1 << 30));
    TRY(options_range(env, "block_size", options->block_size, 4096, 65536));
    TRY(options_range(env, "filter_bits", options->filter_bits, 0, 32));
    TRY(options_range(env, "relaxed_ms", options->relaxed_ms, 1, 60000));
    if (options->checkpoint_ms) TRY(options_range(env, "checkpoint_ms", options->checkpoint_ms, 1, 86400000));
    if (options->database_size)
        TRY(options_range(env, "database_size", options->database_size, 256u << 10, (uint64_t)1 << 47));
    uint64_t changes_most = options->database_size ? options->database_size / 2 : (uint64_t)1 << 40;
    TRY(options_range(env, "changes_size", options->changes_size, 0, changes_most));
    if (options->block_size & (options->block_size - 1))
        return env_fail(env, NACRE_INVALID_ARGUMENT, "option block_size: %u is no power of two", options->block_size);
    return NACRE_OK;
}

const nacre_allocator *options_allocator(const nacre_options *given) {
    bool known = given && given->struct_size == sizeof *given;
    return known && given->allocator.alloc && given->allocator.free ? &given->allocator : NULL;
}

nacre_limits nacre_limits_get(void) {
    return (nacre_limits){LIMIT_KEY_SIZE, LIMIT_VALUE_SIZE, LIMIT_NAME_SIZE,      LIMIT_DIMENSIONS,
                          LIMIT_FIELDS,   LIMIT_KEY_PARTS,  LIMIT_K, LIMIT_MEMBRANES};
}
