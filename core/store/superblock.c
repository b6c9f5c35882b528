/* superblock.c - encodes, decodes and checks superblocks. Which one counts is
 * decided at open (db/recover.c). */
#include "store/superblock.h"

#include "base/checksum.h"

void extent_list_encode(ByteWriter *w, const ExtentList *list) {
    uint8_t *count_at = w->at;
    uint32_t runs = 0;
    bw_u32(w, 0);
    for (size_t i = 0; i < list->count; runs++) {
        size_t first = i++;
        while (i < list->count && list->items[i] == list->items[i - 1] + 1) i++;
        bw_u32(w, list->items[first]);
        bw_u32(w, (uint32_t)(i - first));
    }
    put_u32(count_at, runs);
}

nacre_status extent_list_decode(Env *env, const char *file, ByteReader *r, uint64_t limit, ExtentList *list) {
    uint32_t runs = br_u32(r);
    if (limit > EXTENT_COUNT_MAX) limit = EXTENT_COUNT_MAX;
    for (uint32_t i = 0; i < runs; i++) {
        uint32_t first = br_u32(r), length = br_u32(r);
        if (!br_ok(r)) break;
        if (first == 0 || length == 0 || (uint64_t)first + length > limit ||
            list->count + (uint64_t)length > limit)
            return env_fail(env, NACRE_CORRUPT, "%s: extents: %u from %u", file, length, first);
        for (uint32_t e = first; e < first + length; e++) TRY(extent_list_add(env, list, e));
    }
    return br_ok(r) ? NACRE_OK : env_fail(env, NACRE_CORRUPT, "%s: extents: a list that is cut short", file);
}

void superblock_clear(Env *env, Superblock *superblock) { extent_list_clear(env, &superblock->manifest); }

static nacre_status superblock_decode(Env *env, const uint8_t *bytes, uint64_t limit, Superblock *sb,
                                      SlotState *state) {
    static const uint8_t zeros[64];
    if (memcmp(bytes, SUPERBLOCK_MAGIC, 8) != 0) {
        *state = memcmp(bytes, zeros, sizeof zeros) == 0 ? SLOT_EMPTY : SLOT_FOREIGN;
        return NACRE_OK;
    }
    bool whole = get_u64(bytes + SUPERBLOCK_SIZE - 8) == checksum64(0, bytes, SUPERBLOCK_SIZE - 8);
    ByteReader r = br_over(span_of(bytes + 8, SUPERBLOCK_SIZE - 16));
    uint32_t version = br_u32(&r);
    if (version < FORMAT_OLDEST || version > FORMAT_VERSION) { /* rule 8 */
        *state = whole ? SLOT_VERSION : SLOT_VERSION_UNSURE;
        return NACRE_OK;
    }
    *state = SLOT_DAMAGED;
    if (!whole) return NACRE_OK;
    sb->flags = br_u32(&r);
    memcpy(sb->database_id, br_bytes(&r, 16).data, 16);
    sb->generation = br_u64(&r);
    sb->epoch = br_u64(&r);
    sb->flushed_lsn = br_u64(&r);
    sb->synced_lsn = br_u64(&r);
    sb->manifest_size = br_u64(&r);
    sb->manifest_checksum = br_u64(&r);
    nacre_status status = extent_list_decode(env, "superblock", &r, limit, &sb->manifest);
    if (status == NACRE_CORRUPT) { /* the slot's fault, not the database's: the other may be right */
        env_clear(env);
        return NACRE_OK;
    }
    if (status == NACRE_OK) *state = SLOT_VALID;
    return status;
}

nacre_status superblock_read(DataFile *data, int slot, Superblock *superblock, SlotState *state) {
    return superblock_read_below(data, slot, 0, superblock, state);
}

nacre_status superblock_read_below(DataFile *data, int slot, uint64_t limit, Superblock *superblock, SlotState *state) {
    const Vfs *vfs = data->env->vfs;
    uint8_t bytes[SUPERBLOCK_SIZE];
    uint64_t offset = slot ? SUPERBLOCK_SLOT : 0, size = 0;
    *state = SLOT_EMPTY;
    *superblock = (Superblock){0};
    nacre_status status = vfs->size(data->file, &size);
    if (status != NACRE_OK) return env_fail_vfs(data->env, status, "data file");
    if (size <= offset) return NACRE_OK;
    if (size < offset + sizeof bytes) { /* cut short: only its beginning can be told */
        memset(bytes, 0, sizeof bytes);
        status = vfs->read(data->file, offset, bytes, (size_t)(size - offset));
        if (status != NACRE_OK) return env_fail_vfs(data->env, status, "data file");
        *state = memcmp(bytes, SUPERBLOCK_MAGIC, 8) == 0 ? SLOT_DAMAGED : SLOT_FOREIGN;
        return NACRE_OK;
    }
    status = vfs->read(data->file, offset, bytes, sizeof bytes);
    if (status != NACRE_OK) return env_fail_vfs(data->env, status, "data file");
    status = superblock_decode(data->env, bytes, limit ? limit : extents_in(size), superblock, state);
    if (*state != SLOT_VALID) superblock_clear(data->env, superblock);
    return status;
}

nacre_status superblock_write(DataFile *data, const Superblock *sb) {
    uint8_t bytes[SUPERBLOCK_SIZE] = {0};
    ByteWriter w = {bytes, bytes + sizeof bytes};
    ASSERT(extent_list_encoded_size(&sb->manifest) <= 4 + 8 * SUPERBLOCK_RUNS_MAX);
    bw_bytes(&w, span_of(SUPERBLOCK_MAGIC, 8));
    bw_u32(&w, FORMAT_VERSION);
    bw_u32(&w, sb->flags);
    bw_bytes(&w, span_of(sb->database_id, 16));
    bw_u64(&w, sb->generation);
    bw_u64(&w, sb->epoch);
    bw_u64(&w, sb->flushed_lsn);
    bw_u64(&w, sb->synced_lsn);
    bw_u64(&w, sb->manifest_size);
    bw_u64(&w, sb->manifest_checksum);
    extent_list_encode(&w, &sb->manifest);
    put_u64(bytes + SUPERBLOCK_SIZE - 8, checksum64(0, bytes, SUPERBLOCK_SIZE - 8));
    if (data->broken) return env_fail(data->env, NACRE_IO, "%s: closed by a failed sync; reopen", data->name);
    nacre_status status =
        data->env->vfs->write(data->file, sb->generation % 2 ? SUPERBLOCK_SLOT : 0, bytes, sizeof bytes);
    data->unsynced += sizeof bytes;
    data->written += sizeof bytes;
    return status == NACRE_OK ? NACRE_OK : env_fail_vfs(data->env, status, "superblock");
}

void superblock_spoil(DataFile *data, const Superblock *superblock) {
    static const uint8_t zeros[SUPERBLOCK_SIZE];
    (void)!data->env->vfs->write(data->file, superblock->generation % 2 ? SUPERBLOCK_SLOT : 0, zeros, sizeof zeros);
}
