/* wal_walk.h - the whole frames of a log that may be damaged, in the order in which they lie
 * there (pieces of the file may have changed places): what is not one is stepped over.
 * For repair and for showing a log; what a database opens with is wal_next. */
#ifndef LOG_WAL_WALK_H
#define LOG_WAL_WALK_H

#include "log/wal.h"

typedef struct WalWalk {
    Span bytes;        /* from WAL_HEAD on */
    size_t at;         /* behind the last frame */
    uint64_t salt, old_salt; /* old: before the last cut */
    bool salted;       /* the salt is known: frames are proved by their checksums. Else only by what they say, one
                          behind the other from the beginning */
    bool begun;
    uint64_t last_lsn; /* of the last frame */
    uint64_t budget;   /* bytes that may still be hashed in the search for frames */
} WalWalk;

typedef struct WalPiece {
    size_t at, size;    /* of the frame in the bytes */
    size_t gap;         /* bytes before it that are no whole frame */
    bool proved;        /* its checksum is right */
    bool behind_cut;    /* what lies before it is, or ends with, a damaged cut */
    uint32_t kind;
    uint64_t lsn, previous, synced;
    Span body;
} WalPiece;

/* `log` may have no header that is whole. */
WalWalk wal_walk(const Wal *log, Span bytes);
/* The next frame. false: there is none; what is left from walk->at on is no whole frame. */
bool wal_walk_next(WalWalk *walk, WalPiece *piece);

#endif
