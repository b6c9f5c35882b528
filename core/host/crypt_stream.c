/* crypt_stream.c - heads and chunks of encrypted streams. Knows nothing of what they hold, nor
 * of where they come from. Rules are those of crypt_stream.h. */
#include "host/crypt_stream.h"

#include "base/checksum.h"
#include "base/codec.h"

enum { SEALED_TAGGED = 32, SEALED_LAST = 31 };

void crypt_stream_begin(CryptStream *s, const Vfs *vfs, const uint8_t key[AEAD_KEY]) {
    uint8_t tail[8] = {0}, none[1] = {0};
    *s = (CryptStream){.count = 0};
    memcpy(s->head, SEALED_MAGIC, 8);
    put_u32(s->head + 8, SEALED_VERSION);
    vfs->random(vfs->self, s->head + SEALED_PREFACE, 16);
    aead_key(&s->key, key, s->head + SEALED_PREFACE);
    aead_seal(&s->key, tail, s->head, SEALED_TAGGED, none, 0, none, s->head + SEALED_TAGGED);
    put_u64(s->head + SEALED_HEAD - 8, checksum64(0, s->head, SEALED_HEAD - 8));
}

void crypt_stream_seal(CryptStream *s, uint8_t *chunk, size_t size, bool last) {
    uint8_t tail[8];
    put_u32(chunk, (uint32_t)size | (uint32_t)last << SEALED_LAST);
    put_u64(tail, ++s->count);
    aead_seal(&s->key, tail, chunk, 4, chunk + SEALED_CHUNK, size, chunk + SEALED_CHUNK, chunk + 4);
}

nacre_status crypt_stream_open(CryptStream *s, const uint8_t key[AEAD_KEY]) {
    uint8_t tail[8] = {0}, none[1] = {0};
    s->count = 0;
    if (memcmp(s->head, SEALED_MAGIC, 8) != 0) return NACRE_CORRUPT;
    if (get_u64(s->head + SEALED_HEAD - 8) != checksum64(0, s->head, SEALED_HEAD - 8)) return NACRE_CORRUPT;
    if (get_u32(s->head + 8) != SEALED_VERSION || get_u32(s->head + 12) != 0) return NACRE_VERSION;
    aead_key(&s->key, key, s->head + SEALED_PREFACE);
    return aead_open(&s->key, tail, s->head, SEALED_TAGGED, s->head + SEALED_TAGGED, none, 0, none) ? NACRE_OK
                                                                                                    : NACRE_PERMISSION;
}

bool crypt_stream_size(const uint8_t chunk[SEALED_CHUNK], size_t *size, bool *last) {
    uint32_t word = get_u32(chunk);
    *last = word >> SEALED_LAST;
    *size = word & ~(1u << SEALED_LAST);
    return *size <= SEALED_TEXT;
}

bool crypt_stream_unseal(CryptStream *s, uint8_t *chunk, size_t size) {
    uint8_t tail[8];
    put_u64(tail, s->count + 1);
    if (!aead_open(&s->key, tail, chunk, 4, chunk + 4, chunk + SEALED_CHUNK, size, chunk + SEALED_CHUNK)) return false;
    s->count++;
    return true;
}
