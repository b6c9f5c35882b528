/* crypt.h - what the files of the encrypting layer share: vfs_crypt.c (the verbs), crypt_keys.c
 * (slots and keys), crypt_pages.c, crypt_log.c. Rules are those of crypt_format.h. */
#ifndef HOST_CRYPT_H
#define HOST_CRYPT_H

#include "base/codec.h"
#include "base/status.h"
#include "host/aead.h"
#include "host/vfs_crypt.h"

enum {
    CRYPT_DATA = 0, /* NAME; 1 and 2: its logs */
    CRYPT_FILES = 3,
    CRYPT_BATCH = 16,                            /* pages that are read or written at once */
    CRYPT_BUFFER = CRYPT_BATCH * CRYPT_STRIDE,
    CRYPT_MESSAGE = 400,
};

typedef struct Crypt Crypt;

/* What the core holds as a VfsFile. */
typedef struct CryptFile {
    Crypt *owner;
    VfsFile *under;
    int file; /* CRYPT_DATA ... */
    bool writable;
    /* Of a log that is open for writing: where it ends, once that is known. */
    bool settled;
    uint64_t end, at;
} CryptFile;

/* A place in a log where a record ended that was whole, so that nothing before it is read
 * again. It holds while that record is still there: its head is the witness. */
typedef struct CryptMark {
    uint64_t end, at;   /* of the text, of the file */
    uint64_t record_at; /* 0: the place is before the first record */
    uint8_t head[CRYPT_RECORD];
} CryptMark;

typedef enum CryptKeys { CRYPT_UNREAD, CRYPT_NONE, CRYPT_READY } CryptKeys;

struct Crypt {
    Vfs vfs;
    VfsReaders readers;
    const Vfs *under;
    nacre_allocator allocator;
    char *names[CRYPT_FILES];
    size_t names_size;
    CryptFile *open[CRYPT_FILES]; /* for writing; NULL: not open */
    uint8_t key[CRYPT_KEY];       /* the user's */
    CryptKeys keys;
    bool mended;                  /* both slots are the same */
    bool lone;                    /* only one was whole */
    uint64_t generation;
    uint8_t slot[CRYPT_SLOT];     /* the one that counts */
    uint8_t data_key[CRYPT_KEY];
    uint8_t session[16];          /* rule 2 */
    uint64_t sealed;
    AeadKey session_key;
    uint8_t seen[16];             /* the head of the nonce that was opened last */
    AeadKey seen_key;
    CryptMark marks[2][2];        /* of each log: its last record; where it was read last */
    uint8_t *buffer;              /* CRYPT_BUFFER bytes */
    char message[CRYPT_MESSAGE];  /* empty: the last failure was of the layer below */
};

/* ---- vfs_crypt.c ---- */

/* A failure of this layer. */
#if defined(__GNUC__) || defined(__clang__)
__attribute__((format(printf, 3, 4)))
#endif
nacre_status crypt_fail(Crypt *c, nacre_status status, const char *format, ...);
/* One of the layer below, or none. */
nacre_status crypt_below(Crypt *c, nacre_status status);
/* Seals `text` as `out`, with a new nonce before it. `extra` as rule 1 says. */
void crypt_seal(Crypt *c, const uint8_t *extra, size_t extra_size, const uint8_t *text, size_t size, uint8_t *seal,
                uint8_t *out);
/* Opens it, or poisons `out`. */
bool crypt_open(Crypt *c, const uint8_t *extra, size_t extra_size, const uint8_t *seal, const uint8_t *text,
                size_t size, uint8_t *out);
NACRE_CHECKED nacre_status crypt_under_size(CryptFile *f, uint64_t *size);

/* ---- crypt_keys.c ---- */

/* Finds the data key; CRYPT_NONE: there is no database yet. */
NACRE_CHECKED nacre_status crypt_load(Crypt *c);
/* Before anything is written: makes a data key, or the two slots the same. */
NACRE_CHECKED nacre_status crypt_prepare(Crypt *c);
NACRE_CHECKED nacre_status crypt_rekey(Crypt *c, const uint8_t key[CRYPT_KEY]);
/* A log's slot, where the file is too short to have one. */
NACRE_CHECKED nacre_status crypt_mark_log(CryptFile *f);

/* ---- crypt_pages.c: of NAME, and of a log its first CRYPT_LOG_PAGES bytes ---- */

uint64_t crypt_pages_size(uint64_t under_size); /* bytes of text */
NACRE_CHECKED nacre_status crypt_pages_read(CryptFile *f, uint64_t offset, uint8_t *into, size_t size);
NACRE_CHECKED nacre_status crypt_pages_write(CryptFile *f, uint64_t offset, const uint8_t *from, size_t size);
NACRE_CHECKED nacre_status crypt_pages_truncate(CryptFile *f, uint64_t size);

/* ---- crypt_log.c ---- */

NACRE_CHECKED nacre_status crypt_log_size(CryptFile *f, uint64_t *size);
NACRE_CHECKED nacre_status crypt_log_read(CryptFile *f, uint64_t offset, uint8_t *into, size_t size);
NACRE_CHECKED nacre_status crypt_log_write(CryptFile *f, uint64_t offset, const uint8_t *from, size_t size);
NACRE_CHECKED nacre_status crypt_log_truncate(CryptFile *f, uint64_t size);

#endif
