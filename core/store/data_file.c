/* data_file.c - reads and writes that cross extents are split where extents are
 * not neighbours. Knows nothing of what the bytes mean. */
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
