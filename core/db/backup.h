/* backup.h - streams of backup_format.h: written from a database that goes on working
 * (backup.c, archive.c), read and checked (backup_read.c), made a database again (restore.c). */
#ifndef DB_BACKUP_H
#define DB_BACKUP_H

#include "db/backup_format.h"
#include "db/state.h"

typedef struct BackupHeader {
    uint32_t kind;
    uint8_t database_id[16];
    uint64_t lsn, flushed_lsn, base_lsn, base_checksum;
} BackupHeader;

/* A segment as an END tells of it. */
typedef struct BackupSegment {
    uint64_t id, meta_checksum;
} BackupSegment;

typedef struct BackupSegments {
    BackupSegment *items;
    size_t count, capacity;
} BackupSegments;

NACRE_CHECKED nacre_status backup_segments_add(Env *env, BackupSegments *list, BackupSegment segment);
void backup_segments_sort(BackupSegments *list); /* by id */
const BackupSegment *backup_segments_find(const BackupSegments *sorted, uint64_t id);
void backup_segments_clear(Env *env, BackupSegments *list);

/* What a later stream must know of an earlier one. */
typedef struct BackupToken {
    BackupHeader header; /* of it: kind, database id and lsn */
    uint64_t checksum;
    BackupSegments segments; /* sorted */
} BackupToken;

/* `bytes` end with an END. NACRE_INVALID_ARGUMENT, or NACRE_CORRUPT. */
NACRE_CHECKED nacre_status backup_token_decode(Env *env, Span bytes, BackupToken *token);

/* ---- reading ---- */

/* Takes bytes as they come, checks every piece and their order, and hands them on. */
typedef struct BackupReader {
    Env *env;
    /* Told of each piece that is right and in its place; NULL: nobody is. */
    nacre_status (*piece)(void *self, const BackupHeader *header, uint32_t kind, Span body);
    void *self;
    bool from_start;  /* the first stream must be a full one */
    const uint8_t *key; /* of encrypted streams; NULL: none was given */
    bool sealed_only;   /* a stream that is not encrypted is refused */
    uint8_t *buffer;  /* the piece under way */
    size_t used, capacity;
    struct SealedReader *sealed; /* the encrypted stream under way; NULL: none */
    bool in_stream;
    BackupHeader header;
    uint64_t chain, pieces, bytes; /* of the stream under way */
    uint32_t last;    /* what BYTES would belong to: a kind; 0: nothing */
    uint64_t left;    /* bytes that are still to come of it, where that is known */
    uint64_t last_lsn, mark_lsn, mark_ms;
    bool state_seen;
    BackupSegments shipped, state;
    /* Of the streams that ended. */
    uint32_t streams;
    BackupHeader ended;
    uint64_t ended_checksum; /* of the last full or incremental one */
    uint64_t reached;        /* LSN */
    uint64_t segments, total; /* total: bytes, as they are in the streams */
    uint8_t *token; /* the last END of such a stream */
    size_t token_size;
} BackupReader;

NACRE_CHECKED nacre_status backup_reader_write(BackupReader *reader, Span bytes);
/* NACRE_CORRUPT: a stream was cut short, or there was none. */
NACRE_CHECKED nacre_status backup_reader_end(BackupReader *reader);
void backup_reader_clear(BackupReader *reader);

/* ---- between the files of db/ ---- */
/* Writes the pieces of a stream of BACKUP_LOG (archive.c). */
typedef struct LogStream LogStream;
/* The stream's next piece. *kind 0: there is none. `body` has BACKUP_PIECE bytes. */
NACRE_CHECKED nacre_status log_stream_next(LogStream *stream, uint32_t *kind, uint8_t *body, size_t *size);
void log_stream_free(LogStream *stream, bool whole);

/* Records, of which parts are copied out with zeros for link and stamp. */
typedef struct RecordBytes {
    const uint8_t *at, *end;
    size_t within; /* bytes of the record at `at` that are copied */
} RecordBytes;
size_t record_bytes_copy(RecordBytes *records, uint8_t *out, size_t room);

/* Makes a stream of `stream`'s (taken, also on failure). */
NACRE_CHECKED nacre_status backup_begin_log(Db *db, LogStream *stream, const BackupHeader *header, Backup **out);

void backups_free(Db *db);  /* at close */
void archives_free(Db *db);
/* A commit was acknowledged: its time is noted. */
void archives_commit(Db *db);
/* Room for a load, so that archives_loaded cannot fail; then: it was published. */
NACRE_CHECKED nacre_status archives_reserve(Db *db);
void archives_loaded(Db *db, uint64_t lsn, Version *version);

#endif
