/* wal.c - one write-ahead log. Knows frames; nothing of batches, memtables or of
 * the other log. Rules are those of wal_format.h. */
#include "log/wal.h"

#include "base/checksum.h"

static void wal_encode_header(const WalHeader *header, uint8_t out[WAL_HEADER_SIZE]) {
    ByteWriter w = {out, out + WAL_HEADER_SIZE};
    bw_bytes(&w, span_of(WAL_MAGIC, 8));
    bw_u32(&w, WAL_VERSION);
    bw_u32(&w, header->flags);
    bw_bytes(&w, span_of(header->database_id, 16));
    bw_u64(&w, header->sequence);
    bw_u64(&w, header->salt);
    bw_u64(&w, header->base_lsn);
    bw_u64(&w, header->epoch);
    bw_u64(&w, checksum64(0, out, WAL_HEADER_SIZE - 8));
}

typedef enum WalHeaderVerdict { WAL_HEADER_BAD, WAL_HEADER_OTHER_VERSION, WAL_HEADER_GOOD } WalHeaderVerdict;

static WalHeaderVerdict wal_decode_header(const uint8_t in[WAL_HEADER_SIZE], WalHeader *header) {
    if (memcmp(in, WAL_MAGIC, 8) != 0) return WAL_HEADER_BAD;
    bool whole = get_u64(in + WAL_HEADER_SIZE - 8) == checksum64(0, in, WAL_HEADER_SIZE - 8);
    /* The checksum decides first: a flipped bit must not pass for another version. */
    if (!whole) return WAL_HEADER_BAD;
    uint32_t version = get_u32(in + 8);
    if (version < WAL_OLDEST || version > WAL_VERSION) return WAL_HEADER_OTHER_VERSION;
    header->flags = get_u32(in + 12);
    memcpy(header->database_id, in + 16, 16);
    header->sequence = get_u64(in + 32);
    header->salt = get_u64(in + 40);
    header->base_lsn = get_u64(in + 48);
    header->epoch = get_u64(in + 56);
    return WAL_HEADER_GOOD;
}

static nacre_status wal_read_header(Wal *wal, uint64_t file_size) {
    bool found = false, other_version = false, differ = file_size < WAL_HEADER_COPY + WAL_HEADER_SIZE;
    for (int copy = 0; copy < 2; copy++) {
        uint8_t bytes[WAL_HEADER_SIZE];
        uint64_t offset = copy ? WAL_HEADER_COPY : 0;
        if (file_size < offset + sizeof bytes) continue;
        nacre_status status = wal->env->vfs->read(wal->file, offset, bytes, sizeof bytes);
        if (status != NACRE_OK) return env_fail_vfs(wal->env, status, "log header");
        WalHeader header = {0};
        WalHeaderVerdict verdict = wal_decode_header(bytes, &header);
        other_version |= verdict == WAL_HEADER_OTHER_VERSION;
        differ |= verdict != WAL_HEADER_GOOD || (found && header.sequence != wal->header.sequence);
        if (verdict != WAL_HEADER_GOOD) continue;
        if (!found || header.sequence > wal->header.sequence) {
            wal->header = header;
            wal->good_header = copy;
        }
        found = true;
    }
    wal->lone_header = differ;
    wal->cut_short = found && file_size < WAL_HEAD && !(wal->header.flags & LOG_CREATING);
    if (other_version && !found)
        return env_fail(wal->env, NACRE_VERSION, "%s: the log is of another format version than %u to %u",
                        wal->name, WAL_OLDEST, WAL_VERSION);
    wal->state = found ? WAL_VALID : WAL_DAMAGED;
    wal->salt = wal->header.salt;
    return NACRE_OK;
}

nacre_status wal_open(Wal *wal, Env *env, char *name, int how) {
    *wal = (Wal){.env = env, .name = name, .state = WAL_MISSING};
    nacre_status status = env->vfs->open(env->vfs->self, name, how, &wal->file);
    if (status == NACRE_NOT_FOUND) return NACRE_OK;
    if (status != NACRE_OK) return env_fail_vfs(env, status, "log");
    uint64_t size = 0;
    status = env->vfs->size(wal->file, &size);
    if (status != NACRE_OK) status = env_fail_vfs(env, status, "log");
    else if (size > 0) status = wal_read_header(wal, size);
    if (status != NACRE_OK) wal_close(wal);
    return status;
}

void wal_close(Wal *wal) {
    if (wal->file) wal->env->vfs->close(wal->file);
    wal->file = NULL;
}

static nacre_status wal_write_header(Wal *wal, const uint8_t *bytes, uint64_t offset) {
    const Vfs *vfs = wal->env->vfs;
    nacre_status status = vfs->write(wal->file, offset, bytes, WAL_HEADER_SIZE);
    if (status == NACRE_OK) status = vfs->sync(wal->file);
    if (status == NACRE_OK) return NACRE_OK;
    status = env_fail_vfs(wal->env, status, "log header");
    static const uint8_t spoiled[WAL_HEADER_SIZE]; /* rule 8: the next open must not believe it */
    (void)!vfs->write(wal->file, offset, spoiled, sizeof spoiled);
    return status;
}

nacre_status wal_mend(Wal *wal) {
    if (wal->state != WAL_VALID || !wal->lone_header) return NACRE_OK;
    uint8_t bytes[WAL_HEADER_SIZE];
    wal_encode_header(&wal->header, bytes);
    TRY(wal_write_header(wal, bytes, wal->good_header ? 0 : WAL_HEADER_COPY));
    wal->lone_header = false;
    return NACRE_OK;
}

nacre_status wal_reset(Wal *wal, const WalHeader *header) {
    const Vfs *vfs = wal->env->vfs;
    uint8_t bytes[WAL_HEADER_SIZE];
    wal_encode_header(header, bytes);
    wal->broken = true; /* until all of it is done */
    nacre_status status = vfs->truncate(wal->file, WAL_HEAD);
    if (status != NACRE_OK) return env_fail_vfs(wal->env, status, "log reset");
    TRY(wal_write_header(wal, bytes, 0));
    TRY(wal_write_header(wal, bytes, WAL_HEADER_COPY));
    wal->header = *header;
    wal->salt = header->salt;
    wal->state = WAL_VALID;
    wal->end = wal->unsynced = 0;
    wal->broken = false;
    return NACRE_OK;
}

nacre_status wal_append(Wal *wal, uint8_t *frame, size_t size, uint32_t kind, uint64_t lsn, uint64_t previous,
                        uint64_t synced) {
    ASSERT(wal->file && size >= FRAME_HEAD && size % 4 == 0 && size <= UINT32_MAX);
    if (wal->broken) return env_fail(wal->env, NACRE_IO, "%s: closed by an earlier failure; reopen", wal->name);
    put_u32(frame + 8, kind);
    put_u32(frame + 12, (uint32_t)size);
    put_u64(frame + 16, lsn);
    put_u64(frame + 24, previous);
    put_u64(frame + 32, synced);
    put_u64(frame, checksum64(wal->salt, frame + 8, size - 8));

    const Vfs *vfs = wal->env->vfs;
    nacre_status status = vfs->write(wal->file, WAL_HEAD + wal->end, frame, size);
    if (status != NACRE_OK) {
        status = env_fail_vfs(wal->env, status, "log append");
        /* A refused write must not come back at the next open: take away what of it
         * arrived. Where even that fails, nothing more may be written. */
        if (vfs->truncate(wal->file, WAL_HEAD + wal->end) != NACRE_OK) wal->broken = true;
        return status;
    }
    wal->end += size;
    wal->unsynced += size;
    return NACRE_OK;
}

nacre_status wal_sync(Wal *wal) {
    if (wal->broken) return env_fail(wal->env, NACRE_IO, "%s: closed by an earlier failure; reopen", wal->name);
    if (wal->unsynced == 0) return NACRE_OK;
    nacre_status status = wal->env->vfs->sync(wal->file);
    if (status != NACRE_OK) {
        wal->broken = true; /* rule 3 of vfs.h: never sync again and hope */
        status = env_fail_vfs(wal->env, status, "log sync");
        /* Rule 8. Where this fails too, nothing better is left to do. */
        (void)!wal->env->vfs->truncate(wal->file, WAL_HEAD + wal->end - wal->unsynced);
        return status;
    }
    wal->unsynced = 0;
    return NACRE_OK;
}

nacre_status wal_size(const Wal *wal, uint64_t *size) {
    *size = 0;
    if (!wal->file) return NACRE_OK;
    uint64_t file_size = 0;
    nacre_status status = wal->env->vfs->size(wal->file, &file_size);
    if (status != NACRE_OK) return env_fail_vfs(wal->env, status, "log");
    *size = file_size > WAL_HEAD ? file_size - WAL_HEAD : 0;
    return NACRE_OK;
}

nacre_status wal_read_from(const Wal *wal, uint64_t offset, uint8_t *into, size_t size) {
    if (size == 0) return NACRE_OK;
    nacre_status status = wal->env->vfs->read(wal->file, WAL_HEAD + offset, into, size);
    return status == NACRE_OK ? NACRE_OK : env_fail_vfs(wal->env, status, "log");
}

nacre_status wal_read(const Wal *wal, uint8_t *into, size_t size) { return wal_read_from(wal, 0, into, size); }

WalReader wal_reader(const Wal *wal, Span bytes, uint64_t known_lsn) {
    return (WalReader){.wal = wal, .bytes = bytes, .salt = wal->header.salt, .last_lsn = known_lsn};
}

/* Is there a whole frame at `at`? */
static bool wal_frame_whole(const WalReader *reader, size_t at) {
    size_t left = reader->bytes.size - at;
    if (left < FRAME_HEAD) return false;
    const uint8_t *frame = reader->bytes.data + at;
    uint32_t kind = get_u32(frame + 8), size = get_u32(frame + 12);
    if (kind < FRAME_BATCHES || kind > FRAME_CUT) return false;
    if (size < FRAME_HEAD || size % 4 != 0 || size > left) return false;
    return get_u64(frame) == checksum64(reader->salt, frame + 8, size - 8);
}

nacre_status wal_next(WalReader *reader, WalFrame *frame) {
    if (!wal_frame_whole(reader, reader->at)) return NACRE_NOT_FOUND;
    const uint8_t *bytes = reader->bytes.data + reader->at;
    uint32_t size = get_u32(bytes + 12);
    uint64_t lsn = get_u64(bytes + 16), previous = get_u64(bytes + 24), synced = get_u64(bytes + 32);
    *frame = (WalFrame){get_u32(bytes + 8), lsn, reader->at + FRAME_HEAD,
                        span_of(bytes + FRAME_HEAD, size - FRAME_HEAD)};
    Env *env = reader->wal->env;
    unsigned long long where = (unsigned long long)(WAL_HEAD + reader->at);
    if ((reader->begun && previous != reader->last_lsn) || lsn < previous || synced > lsn)
        return env_fail(env, NACRE_CORRUPT, "%s: offset %llu: frame %llu does not follow %llu", reader->wal->name,
                        where, (unsigned long long)lsn, (unsigned long long)reader->last_lsn);
    if (frame->kind == FRAME_CUT) {
        if (frame->body.size != 8)
            return env_fail(env, NACRE_CORRUPT, "%s: offset %llu: a cut of %zu bytes", reader->wal->name, where,
                            frame->body.size);
        reader->salt = get_u64(frame->body.data);
    } else if (frame->kind != FRAME_BATCHES) {
        return env_fail(env, NACRE_VERSION, "%s: offset %llu: a frame of a later version", reader->wal->name, where);
    }
    if (!reader->begun) reader->first_previous = previous;
    reader->begun = true;
    reader->at += size;
    reader->last_lsn = lsn;
    if (synced > reader->synced) reader->synced = synced;
    return NACRE_OK;
}

nacre_status wal_check_tail(const WalReader *reader, uint64_t *torn, uint64_t *lsn_seen) {
    *torn = reader->bytes.size - reader->at;
    size_t zeros = 0; /* rule 10; a frame does not begin with so many */
    while (zeros < *torn && reader->bytes.data[reader->at + zeros] == 0) zeros++;
    if (zeros == *torn && zeros >= FRAME_HEAD) *torn = 0;
    *lsn_seen = 0;
    /* A made-up log could hold heads without end that each claim a large frame: what
     * is hashed here is bounded, and past the bound the log counts as damaged. */
    uint64_t budget = 16 * (uint64_t)reader->bytes.size + 65536;
    for (size_t at = reader->at; at + FRAME_HEAD <= reader->bytes.size; at += 4) {
        const uint8_t *frame = reader->bytes.data + at;
        uint32_t kind = get_u32(frame + 8), size = get_u32(frame + 12);
        if (kind < FRAME_BATCHES || kind > FRAME_CUT || size > reader->bytes.size - at) continue;
        if (size > budget)
            return env_fail(reader->wal->env, NACRE_CORRUPT, "%s: offset %llu: frames within frames",
                            reader->wal->name, (unsigned long long)(WAL_HEAD + at));
        budget -= size;
        if (!wal_frame_whole(reader, at)) continue;
        uint64_t lsn = get_u64(frame + 16), synced = get_u64(frame + 32);
        if (lsn > *lsn_seen) *lsn_seen = lsn;
        if (synced > reader->last_lsn) /* rule 4 */
            return env_fail(reader->wal->env, NACRE_CORRUPT,
                            "%s: offset %llu: damaged frame; batches up to %llu were synced, found up to %llu",
                            reader->wal->name, (unsigned long long)(WAL_HEAD + reader->at),
                            (unsigned long long)synced, (unsigned long long)reader->last_lsn);
    }
    return NACRE_OK;
}

uint64_t wal_cut_salt(uint64_t salt) {
    static const uint8_t zeros[8];
    return checksum64(salt, zeros, sizeof zeros);
}

nacre_status wal_cut(Wal *wal, const WalReader *reader, uint64_t lsn) {
    const Vfs *vfs = wal->env->vfs;
    uint64_t salt = wal_cut_salt(reader->salt);
    uint8_t frame[FRAME_HEAD + 8];
    put_u64(frame + FRAME_HEAD, salt);
    wal->end = reader->at;
    wal->salt = reader->salt;
    /* Cut first, then say so: a frame behind the mark could otherwise be taken for a
     * new one only if its salt were guessed, but it would be reported again. */
    nacre_status status = vfs->truncate(wal->file, WAL_HEAD + wal->end);
    if (status != NACRE_OK) return env_fail_vfs(wal->env, status, "log cut");
    TRY(wal_append(wal, frame, sizeof frame, FRAME_CUT, lsn, reader->last_lsn, reader->synced));
    TRY(wal_sync(wal));
    wal->salt = salt;
    return NACRE_OK;
}
