/* crypt_stream.h - a stream of bytes encrypted with a key, chunk by chunk: backups.
 *
 *   stream := head chunk* last
 *   head   := magic "NACRESEC" | version u32 | 0 u32 | nonce u8[16] | tag u8[16] | checksum u64
 *   chunk  := size u32 | tag u8[16] | text u8[size]                        little-endian
 *   last   := the same, with bit 31 of `size` set
 *
 * 1. XChaCha20-Poly1305. The first 16 bytes of each nonce are those in the head, drawn from the
 *    host for this stream; then a u64: 0 for the head's tag, n for chunk n, from 1 on. What is
 *    authenticated besides the text (of the head: nothing) are the head's first 32 bytes, and of a
 *    chunk `size`. So a chunk is right only in its place, in its stream.
 * 2. The checksum is XXH3 of what is before it, seed 0: a head that is damaged is told from a
 *    wrong key, for which the tag is wrong.
 * 3. A text has SEALED_TEXT bytes at most. Behind the last chunk another stream may begin; one
 *    that ends without it was cut.
 *
 * Why not one tag at the end: what is read would be used before it is known to be right. */
#ifndef HOST_CRYPT_STREAM_H
#define HOST_CRYPT_STREAM_H

#include "base/vfs.h"
#include "host/aead.h"

#define SEALED_MAGIC "NACRESEC"

enum {
    SEALED_VERSION = 1,
    SEALED_PREFACE = 16, /* magic, version: as long as that of a backup */
    SEALED_HEAD = 56,
    SEALED_CHUNK = 20,   /* bytes before a text */
    SEALED_TEXT = 64 << 10,
    SEALED_ROOM = SEALED_CHUNK + SEALED_TEXT,
};

/* One direction of it. Wiped by its owner. */
typedef struct CryptStream {
    AeadKey key;
    uint64_t count; /* chunks so far */
    uint8_t head[SEALED_HEAD];
} CryptStream;

/* Draws a nonce and makes the head. */
void crypt_stream_begin(CryptStream *stream, const Vfs *vfs, const uint8_t key[AEAD_KEY]);
/* A chunk of `size` bytes at chunk + SEALED_CHUNK, encrypted in place. */
void crypt_stream_seal(CryptStream *stream, uint8_t *chunk, size_t size, bool last);

/* `stream->head` was read. NACRE_CORRUPT, NACRE_VERSION; NACRE_PERMISSION: the wrong key. */
NACRE_CHECKED nacre_status crypt_stream_open(CryptStream *stream, const uint8_t key[AEAD_KEY]);
/* How many bytes of text come behind this beginning of a chunk. false: that cannot be. */
bool crypt_stream_size(const uint8_t chunk[SEALED_CHUNK], size_t *size, bool *last);
/* A chunk, decrypted in place. false: it was not sealed so. */
bool crypt_stream_unseal(CryptStream *stream, uint8_t *chunk, size_t size);

#endif
