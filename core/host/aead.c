/* aead.c - Monocypher (BSD 2-Clause or CC0, Loup Vaillant) within this file: the Makefile
 * makes its functions static, so that a program may have another Monocypher beside. */
#include "host/aead.h"

#undef MIN /* of another library, in the amalgamation */
#include <monocypher.c>

#undef FOR_T
#undef FOR
#undef COPY
#undef ZERO
#undef WIPE_CTX
#undef WIPE_BUFFER
#undef MIN
#undef MAX
#undef QUARTERROUND

_Static_assert(sizeof(((crypto_aead_ctx *)0)->key) == AEAD_KEY, "a subkey");

void aead_key(AeadKey *out, const uint8_t key[AEAD_KEY], const uint8_t nonce_head[16]) {
    crypto_chacha20_h(out->subkey, key, nonce_head);
}

void aead_seal(const AeadKey *key, const uint8_t nonce_tail[8], const uint8_t *extra, size_t extra_size,
               const uint8_t *text, size_t size, uint8_t *out, uint8_t tag[AEAD_TAG]) {
    crypto_aead_ctx context;
    crypto_aead_init_djb(&context, key->subkey, nonce_tail);
    crypto_aead_write(&context, out, tag, extra, extra_size, text, size);
    crypto_wipe(&context, sizeof context);
}

bool aead_open(const AeadKey *key, const uint8_t nonce_tail[8], const uint8_t *extra, size_t extra_size,
               const uint8_t tag[AEAD_TAG], const uint8_t *sealed, size_t size, uint8_t *out) {
    crypto_aead_ctx context;
    crypto_aead_init_djb(&context, key->subkey, nonce_tail);
    int wrong = crypto_aead_read(&context, out, tag, extra, extra_size, sealed, size);
    crypto_wipe(&context, sizeof context);
    return wrong == 0;
}

void aead_wipe(void *secret, size_t size) { crypto_wipe(secret, size); }
