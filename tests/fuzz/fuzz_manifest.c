/* fuzz_manifest.c - hostile manifests and superblocks, alone.
 *
 *   input := 0 u8 | limit u16 | a manifest, decoded, encoded, decoded again
 *          | 1 u8 | bytes of both slots, sealed */
#include "fuzz/fuzz.h"

#include "base/checksum.h"
#include "store/superblock.h"
#include "store/version.h"

#include <string.h>

typedef struct World {
    Env env;
    FuzzDisk disk;
    DataFile data;
    Cache cache;
    SegmentIo io;
} World;

static void world_open(World *w) {
    memset(w, 0, sizeof *w);
    fuzz_disk_init(&w->disk);
    env_init(&w->env, &w->disk.vfs, NULL, 64 << 20);
    w->data = (DataFile){.env = &w->env, .name = "db"};
    MUST(w->env.vfs->open(w->env.vfs->self, "db", VFS_CREATE, &w->data.file) == NACRE_OK);
    MUST(cache_init(&w->cache, &w->env, 1 << 20) == NACRE_OK);
    w->io = (SegmentIo){.env = &w->env, .data = &w->data, .cache = &w->cache, .block_size = 4096, .filter_bits = 10};
}

static void world_close(World *w) {
    cache_clear(&w->cache);
    MUST(w->env.memory_used == 0);
    w->env.vfs->close(w->data.file);
    fuzz_disk_clear(&w->disk);
}

/* `parsed`: as repair reads it, of bytes that may go on behind. */
static Version *decode(World *w, Span bytes, uint64_t limit, bool parsed, Version **all, ManifestIds *ids, ManifestTail *tail) {
    Version *version = NULL;
    size_t size = 0;
    MUST(version_alloc(&w->env, all, &version) == NACRE_OK);
    env_clear(&w->env);
    nacre_status status = parsed ? manifest_parse(&w->io, bytes, limit, version, ids, tail, &size)
                                 : manifest_decode(&w->io, bytes, limit, version, ids);
    MUST(status == NACRE_OK || status == NACRE_CORRUPT || status == NACRE_VERSION || status == NACRE_RESOURCE_EXHAUSTED);
    MUST(size <= bytes.size);
    if (status == NACRE_OK) return version;
    MUST(w->env.error.text[0]);
    version_release(version);
    return NULL;
}

static void manifest_round_trip(World *w, Input *in) {
    Version *all = NULL;
    ManifestIds ids = {0}, ids_again = {0};
    ManifestTail tail = {0}, tail_again = {0};
    uint64_t limit = br_u16(in);
    Span given = input_rest(in);
    uint8_t *sealed = malloc(given.size + 1);
    MUST(sealed);
    bytes_copy(sealed, given.data, given.size);
    Span bytes = span_of(sealed, given.size);
    if (bytes.size > MANIFEST_SEAL_SIZE && memcmp(sealed + bytes.size - MANIFEST_SEAL_SIZE, MANIFEST_MAGIC, 8) == 0)
        put_u64(sealed + bytes.size - 8, checksum64(0, sealed, bytes.size - 8));
    Version *version = decode(w, bytes, limit, false, &all, &ids, &tail);
    version_release(version);
    version = decode(w, bytes, limit, true, &all, &ids, &tail);
    if (!version) {
        free(sealed);
        return;
    }
    size_t size = manifest_size(version, tail.catalog.size);
    uint8_t *encoded = malloc(size), *twice = malloc(size);
    MUST(encoded && twice);
    manifest_encode(version, ids, &tail, encoded, size);
    Version *again = decode(w, span_of(encoded, size), limit, true, &all, &ids_again, &tail_again);
    MUST(again && manifest_size(again, tail_again.catalog.size) == size && tail_again.sealed);
    manifest_encode(again, ids_again, &tail_again, twice, size);
    MUST(memcmp(encoded, twice, size) == 0);
    MUST(version_bytes(version) == version_bytes(again) && version_segments(version) == version_segments(again));
    for (size_t i = 0; i < version->count; i++) {
        MUST(version_find_run(version, version->runs[i].id) <= i);
        Run *run = &again->runs[i];
        if (run->count > 1) {
            Span last = segment_last_key(run->segments[0]);
            uint8_t *above = malloc(last.size); /* the segment goes, and its keys with it */
            MUST(above);
            bytes_copy(above, last.data, last.size);
            MUST(run_trim(&w->env, run, span_of(above, last.size)) == NACRE_OK);
            free(above);
        }
    }
    free(encoded), free(twice), free(sealed);
    version_release(version), version_release(again);
}

static void read_slots(World *w, Input *in) {
    uint8_t *bytes = calloc(1, 3 * EXTENT_SIZE);
    MUST(bytes);
    Span given = input_rest(in);
    bytes_copy(bytes, given.data, given.size < SUPERBLOCK_SIZE - 8 ? given.size : SUPERBLOCK_SIZE - 8);
    if (given.size > SUPERBLOCK_SIZE - 8) bytes_copy(bytes + SUPERBLOCK_SLOT, given.data + SUPERBLOCK_SIZE - 8, given.size - SUPERBLOCK_SIZE + 8 < SUPERBLOCK_SIZE ? given.size - SUPERBLOCK_SIZE + 8 : SUPERBLOCK_SIZE);
    for (size_t at = 0; at <= SUPERBLOCK_SLOT; at += SUPERBLOCK_SLOT)
        put_u64(bytes + at + SUPERBLOCK_SIZE - 8, checksum64(0, bytes + at, SUPERBLOCK_SIZE - 8));
    MUST(w->env.vfs->write(w->data.file, 0, bytes, 3 * EXTENT_SIZE) == NACRE_OK);
    free(bytes);
    for (int slot = 0; slot < 2; slot++) {
        Superblock read = {0}, again = {0};
        SlotState state = SLOT_EMPTY, state_again = SLOT_EMPTY;
        nacre_status status = superblock_read(&w->data, slot, &read, &state);
        MUST(status == NACRE_OK);
        if (state != SLOT_VALID) continue;
        bool few = extent_list_encoded_size(&read.manifest) <= 4 + 8 * SUPERBLOCK_RUNS_MAX;
        if (few) {
            MUST(superblock_write(&w->data, &read) == NACRE_OK);
            MUST(superblock_read(&w->data, (int)(read.generation % 2), &again, &state_again) == NACRE_OK);
            MUST(state_again == SLOT_VALID && again.generation == read.generation && again.epoch == read.epoch &&
                 again.manifest.count == read.manifest.count && again.manifest_size == read.manifest_size);
        }
        superblock_clear(&w->env, &read), superblock_clear(&w->env, &again);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Input in = input_over(data, size);
    World w;
    world_open(&w);
    if (br_u8(&in) % 2 == 0) manifest_round_trip(&w, &in);
    else read_slots(&w, &in);
    world_close(&w);
    return 0;
}
