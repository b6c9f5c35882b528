/* data_file.c - reads and writes that cross extents are split where extents are
 * not neighbours. A mapped file is shown in place, but only below its end: touching what
 * lies behind ends the process. Knows nothing of what the bytes mean. */
#include "store/data_file.h"

/* How many bytes from `offset` lie together in the file, at most `size`. */
static size_t data_together(const ExtentList *extents, uint64_t offset, size_t size, uint64_t *file_offset) {
    size_t index = (size_t)(offset / EXTENT_SIZE), within = (size_t)(offset % EXTENT_SIZE);
    *file_offset = (uint64_t)extents->items[index] * EXTENT_SIZE + within;
    size_t together = EXTENT_SIZE - within;
    while (together < size && extents->items[index + 1] == extents->items[index] + 1) {
        together += EXTENT_SIZE;
        index++;
    }
    return together < size ? together : size;
}

static bool data_within(const ExtentList *extents, uint64_t offset, size_t size) {
    uint64_t end = (uint64_t)extents->count * EXTENT_SIZE;
    return offset <= end && size <= end - offset;
}

nacre_status data_read(DataFile *data, const ExtentList *extents, uint64_t offset, void *into, size_t size) {
    if (!data_within(extents, offset, size))
        return env_fail(data->env, NACRE_CORRUPT, "%s: %zu bytes at %llu of a stream of %zu extents", data->name,
                        size, (unsigned long long)offset, extents->count);
    uint8_t *at = into;
    while (size > 0) {
        uint64_t file_offset;
        size_t part = data_together(extents, offset, size, &file_offset);
        nacre_status status = data->env->vfs->read(data->file, file_offset, at, part);
        if (status != NACRE_OK) {
            uint64_t file_size = 0;
            if (data->env->vfs->size(data->file, &file_size) == NACRE_OK && file_offset + part > file_size)
                return env_fail(data->env, NACRE_CORRUPT,
                                "%s: cut short: %llu bytes, but a segment or manifest needs bytes %llu to %llu",
                                data->name, (unsigned long long)file_size, (unsigned long long)file_offset,
                                (unsigned long long)(file_offset + part));
            return env_fail_vfs(data->env, status, "data file");
        }
        at += part, offset += part, size -= part;
    }
    return NACRE_OK;
}

enum { MAP_BITS = 40 }; /* of addresses: a database that grows beyond is read there */

nacre_status data_map(DataFile *data) {
    const Vfs *vfs = data->env->vfs;
    if (!vfs->map) return env_fail(data->env, NACRE_UNSUPPORTED, "%s: these files cannot be mapped", data->name);
    data->map_size = (uint64_t)1 << MAP_BITS;
    data->map_end = 0;
    nacre_status status = vfs->map(data->file, &data->map, &data->map_size);
    return status == NACRE_OK ? NACRE_OK : env_fail_vfs(data->env, status, "data file");
}

const uint8_t *data_mapped(DataFile *data, const ExtentList *extents, uint64_t offset, size_t size) {
    uint64_t at = 0;
    if (!data->map || !data_within(extents, offset, size)) return NULL;
    if (data_together(extents, offset, size, &at) < size || at > data->map_size || size > data->map_size - at)
        return NULL;
    if (at + size <= data->map_end) return data->map + at;
    if (data->env->vfs->size(data->file, &data->map_end) != NACRE_OK) data->map_end = 0;
    return at + size <= data->map_end ? data->map + at : NULL;
}

nacre_status data_truncate(DataFile *data, uint64_t size) {
    data->map_end = 0; /* asked anew */
    return data->env->vfs->truncate(data->file, size);
}

nacre_status data_write(DataFile *data, const ExtentList *extents, uint64_t offset, const void *from, size_t size) {
    ASSERT(data_within(extents, offset, size));
    if (data->broken) return env_fail(data->env, NACRE_IO, "%s: closed by a failed sync; reopen", data->name);
    const uint8_t *at = from;
    while (size > 0) {
        uint64_t file_offset;
        size_t part = data_together(extents, offset, size, &file_offset);
        nacre_status status = data->env->vfs->write(data->file, file_offset, at, part);
        if (status != NACRE_OK) return env_fail_vfs(data->env, status, "data file");
        data->unsynced += part;
        data->written += part;
        at += part, offset += part, size -= part;
    }
    return NACRE_OK;
}

nacre_status data_sync(DataFile *data) {
    if (data->broken) return env_fail(data->env, NACRE_IO, "%s: closed by a failed sync; reopen", data->name);
    nacre_status status = data->env->vfs->sync(data->file);
    if (status != NACRE_OK) {
        data->broken = true;
        return env_fail_vfs(data->env, status, "data file sync");
    }
    data->unsynced = 0;
    data->syncs++;
    return NACRE_OK;
}
