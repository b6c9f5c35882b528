/* wal.h - one write-ahead log: append, sync, read back. Bodies are opaque. */
#ifndef LOG_WAL_H
#define LOG_WAL_H

#include "host/env.h"
#include "log/wal_format.h"

typedef struct WalHeader {
    uint32_t flags;
    uint8_t database_id[16];
    uint64_t sequence, salt, base_lsn, epoch;
} WalHeader;

typedef enum WalState {
    WAL_MISSING,  /* no such file, or not even a header's worth of it */
    WAL_DAMAGED,  /* neither header is whole */
    WAL_VALID,
} WalState;

typedef struct Wal {
    Env *env;
    char *name;     /* borrowed from the database */
    VfsFile *file;
    WalState state;
    WalHeader header;
    bool lone_header; /* one header is damaged or older than the other: wal_mend */
    int good_header;  /* which one is right */
    bool cut_short;   /* ends before WAL_HEAD, and not because it was never finished */
    uint64_t salt;  /* of the next frame: the header's, or that of the last cut */
    uint64_t end;   /* bytes of frames */
    uint64_t unsynced; /* bytes of frames not yet synced */
    bool broken;    /* a failed write that could not be taken back, or a failed sync */
} Wal;

/* Opens the file (how: VFS_READ, VFS_WRITE, VFS_CREATE) and reads its header; a
 * missing file is WAL_MISSING and NACRE_OK. Also NACRE_VERSION. */
NACRE_CHECKED nacre_status wal_open(Wal *wal, Env *env, char *name, int how);
void wal_close(Wal *wal);

/* Makes the two headers the same again, before anything is written behind them. */
NACRE_CHECKED nacre_status wal_mend(Wal *wal);

/* Empties the log for a new use (rule 2). */
NACRE_CHECKED nacre_status wal_reset(Wal *wal, const WalHeader *header);

/* Writes the frame that lies at `frame`: FRAME_HEAD bytes of room, then the body.
 * Fills the head in. On failure the log is as before, or broken. */
NACRE_CHECKED nacre_status wal_append(Wal *wal, uint8_t *frame, size_t size, uint32_t kind, uint64_t lsn,
                                      uint64_t previous, uint64_t synced);
NACRE_CHECKED nacre_status wal_sync(Wal *wal);

/* Bytes of frames in the file, torn ones included. */
NACRE_CHECKED nacre_status wal_size(const Wal *wal, uint64_t *size);
NACRE_CHECKED nacre_status wal_read(const Wal *wal, uint8_t *into, size_t size);
NACRE_CHECKED nacre_status wal_read_from(const Wal *wal, uint64_t offset, uint8_t *into, size_t size);

/* Walks the frames of a log that was read into memory. */
typedef struct WalReader {
    const Wal *wal;
    Span bytes;
    size_t at;          /* offset of the next frame */
    uint64_t salt;
    uint64_t last_lsn;  /* of the frame before; before the first, the last LSN known from elsewhere */
    uint64_t first_previous; /* of the first frame */
    bool begun;
    uint64_t synced;    /* highest synced seen */
} WalReader;

typedef struct WalFrame {
    uint32_t kind;
    uint64_t lsn;
    size_t body_offset; /* in the bytes */
    Span body;
} WalFrame;

/* `known_lsn`: what the segments or the other log end with. */
WalReader wal_reader(const Wal *wal, Span bytes, uint64_t known_lsn);
/* NACRE_NOT_FOUND: the log ends here (or is torn from here on). NACRE_CORRUPT. */
NACRE_CHECKED nacre_status wal_next(WalReader *reader, WalFrame *frame);
/* After wal_next said NACRE_NOT_FOUND: NACRE_CORRUPT if rule 4 says damage; else
 * *torn bytes are behind the end, *lsn_seen is the highest LSN among them or 0. */
NACRE_CHECKED nacre_status wal_check_tail(const WalReader *reader, uint64_t *torn, uint64_t *lsn_seen);

/* Ends the frames at reader->at for good (rule 5); the next batch follows `lsn`. */
NACRE_CHECKED nacre_status wal_cut(Wal *wal, const WalReader *reader, uint64_t lsn);
/* The salt behind a cut. */
uint64_t wal_cut_salt(uint64_t salt);

#endif
