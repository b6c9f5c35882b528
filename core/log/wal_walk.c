/* wal_walk.c - looks for frames at every place where one may begin. Knows nothing of
 * batches; whether what lies between two frames was acknowledged is not asked here. */
#include "log/wal_walk.h"

#include "base/checksum.h"

WalWalk wal_walk(const Wal *log, Span bytes) {
    return (WalWalk){.bytes = bytes,
                     .salt = log->header.salt,
                     .old_salt = log->header.salt,
                     .salted = log->state == WAL_VALID,
                     .budget = 16 * (uint64_t)bytes.size + 65536};
}

/* Could a frame begin there, where there is room for a head? */
static bool walk_head(const WalWalk *walk, size_t at, WalPiece *piece) {
    size_t left = walk->bytes.size - at;
    const uint8_t *frame = walk->bytes.data + at;
    uint32_t kind = get_u32(frame + 8), size = get_u32(frame + 12);
    if (kind != FRAME_BATCHES && kind != FRAME_CUT) return false;
    if (size < FRAME_HEAD || size % 4 != 0 || size > left || (kind == FRAME_CUT && size != FRAME_HEAD + 8)) return false;
    *piece = (WalPiece){.at = at, .size = size, .kind = kind, .lsn = get_u64(frame + 16), .previous = get_u64(frame + 24),
                        .synced = get_u64(frame + 32), .body = span_of(frame + FRAME_HEAD, size - FRAME_HEAD)};
    return piece->lsn >= piece->previous && piece->synced <= piece->lsn;
}

static bool walk_proved(WalWalk *walk, const WalPiece *piece, uint64_t salt) {
    const uint8_t *frame = walk->bytes.data + piece->at;
    if (piece->size > walk->budget) return false;
    walk->budget -= piece->size;
    return get_u64(frame) == checksum64(salt, frame + 8, piece->size - 8);
}

/* Is it one behind a cut that is damaged (rule 5 of wal_format.h)? */
static bool walk_behind_cut(WalWalk *walk, const WalPiece *piece) {
    uint64_t salt = wal_cut_salt(walk->salt);
    if (!walk_proved(walk, piece, salt)) return false;
    walk->old_salt = walk->salt;
    walk->salt = salt;
    return true;
}

static bool walk_is_frame(WalWalk *walk, WalPiece *piece) {
    if (!walk->salted) return !walk->begun || piece->previous == walk->last_lsn;
    piece->proved = walk_proved(walk, piece, walk->salt);
    if (piece->proved || piece->at == walk->at) return piece->proved;
    piece->proved = walk->old_salt != walk->salt && walk_proved(walk, piece, walk->old_salt);
    if (piece->proved) return true;
    piece->proved = piece->behind_cut = walk_behind_cut(walk, piece);
    return piece->proved;
}

bool wal_walk_next(WalWalk *walk, WalPiece *piece) {
    for (size_t at = walk->at; at + FRAME_HEAD <= walk->bytes.size; at += 4) {
        if (!walk_head(walk, at, piece) || !walk_is_frame(walk, piece)) {
            if (!walk->salted) return false;
            continue;
        }
        piece->gap = at - walk->at;
        if (piece->kind == FRAME_CUT) {
            walk->old_salt = walk->salt;
            walk->salt = get_u64(piece->body.data);
            walk->salted = true;
        }
        walk->at = at + piece->size;
        walk->last_lsn = piece->lsn;
        walk->begun = true;
        return true;
    }
    return false;
}
