/* aead.h - XChaCha20-Poly1305, by Monocypher. Knows keys and bytes; nothing of files. */
#ifndef HOST_AEAD_H
#define HOST_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { AEAD_KEY = 32, AEAD_NONCE = 24, AEAD_TAG = 16 };

/* A key as it is after the first 16 bytes of a nonce, so that many nonces that begin the same
 * way cost that step once. */
typedef struct AeadKey {
    uint8_t subkey[32];
} AeadKey;

void aead_key(AeadKey *out, const uint8_t key[AEAD_KEY], const uint8_t nonce_head[16]);

/* `out` may be `text`. `extra` is authenticated and not encrypted. */
void aead_seal(const AeadKey *key, const uint8_t nonce_tail[8], const uint8_t *extra, size_t extra_size,
               const uint8_t *text, size_t size, uint8_t *out, uint8_t tag[AEAD_TAG]);

/* False: not sealed with this key, nonce and extra, or changed since; `out` is untouched. */
bool aead_open(const AeadKey *key, const uint8_t nonce_tail[8], const uint8_t *extra, size_t extra_size,
               const uint8_t tag[AEAD_TAG], const uint8_t *sealed, size_t size, uint8_t *out);

/* Zeros, which no compiler leaves out. */
void aead_wipe(void *secret, size_t size);

#endif
