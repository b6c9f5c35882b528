/* aead.c - Monocypher (BSD 2-Clause or CC0, Loup Vaillant) within this file: the Makefile
 * makes its functions static, so that a program may have another Monocypher beside. Where
 * vectors make it several times as fast, the stream comes from chacha20.c; where 64 bits are
 * multiplied at once, the tag from poly1305.c; all else, and both on other hosts, is Monocypher's. */
#include "host/aead.h"

#include "base/codec.h"
#include "host/chacha20.h"
#include "host/poly1305.h"

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

void aead_wipe(void *secret, size_t size) {
#if defined(__GNUC__) || defined(__clang__)
    memset(secret, 0, size);
    __asm__ __volatile__("" : : "r"(secret) : "memory"); /* as if somebody read it */
#else
    crypto_wipe(secret, size);
#endif
}

void aead_key(AeadKey *out, const uint8_t key[AEAD_KEY], const uint8_t nonce_head[16]) {
    crypto_chacha20_h(out->subkey, key, nonce_head);
}

#ifdef CHACHA20_LANES

#ifdef POLY1305_WIDE
typedef Poly1305 AeadMac;
static void mac_init(AeadMac *mac, const uint8_t key[32]) { poly1305_init(mac, key); }
static void mac_add(AeadMac *mac, const uint8_t *bytes, size_t size) { poly1305_add(mac, bytes, size); }
static void mac_end(AeadMac *mac, uint8_t tag[AEAD_TAG]) { poly1305_end(mac, tag); }
#else
typedef crypto_poly1305_ctx AeadMac;
static void mac_init(AeadMac *mac, const uint8_t key[32]) { crypto_poly1305_init(mac, key); }
static void mac_add(AeadMac *mac, const uint8_t *bytes, size_t size) {
    static const uint8_t zeros[16];
    crypto_poly1305_update(mac, bytes, size);
    crypto_poly1305_update(mac, zeros, (16 - size % 16) % 16);
}
static void mac_end(AeadMac *mac, uint8_t tag[AEAD_TAG]) { crypto_poly1305_final(mac, tag); }
#endif

/* RFC 8439, 2.8, with the stream's first block for the key of the tag. */
static void aead_tag(const uint8_t mac_key[32], const uint8_t *extra, size_t extra_size, const uint8_t *sealed, size_t size,
                     uint8_t tag[AEAD_TAG]) {
    uint8_t sizes[16];
    AeadMac mac;
    mac_init(&mac, mac_key);
    mac_add(&mac, extra, extra_size);
    mac_add(&mac, sealed, size);
    put_u64(sizes, extra_size);
    put_u64(sizes + 8, size);
    mac_add(&mac, sizes, sizeof sizes);
    mac_end(&mac, tag);
    aead_wipe(&mac, sizeof mac);
}

static void aead_xor(const uint8_t *stream, const uint8_t *text, size_t size, uint8_t *out) {
    for (; size >= 8; stream += 8, text += 8, out += 8, size -= 8) {
        uint64_t a, b;
        memcpy(&a, stream, 8);
        memcpy(&b, text, 8);
        a ^= b;
        memcpy(out, &a, 8);
    }
    for (size_t i = 0; i < size; i++) out[i] = stream[i] ^ text[i];
}

/* `group` has the stream's first blocks; it is overwritten. */
static void aead_crypt(const AeadKey *key, const uint8_t nonce_tail[8], uint8_t group[CHACHA20_GROUP], const uint8_t *text,
                       size_t size, uint8_t *out) {
    uint64_t counter = 1;
    for (size_t at = CHACHA20_BLOCK; size > 0; at = 0) {
        size_t part = size < CHACHA20_GROUP - at ? size : CHACHA20_GROUP - at;
        aead_xor(group + at, text, part, out);
        counter += (CHACHA20_GROUP - at) / CHACHA20_BLOCK;
        text += part, out += part, size -= part;
        if (size > 0) chacha20_stream(key->subkey, nonce_tail, counter, size, group);
    }
}

void aead_seal(const AeadKey *key, const uint8_t nonce_tail[8], const uint8_t *extra, size_t extra_size,
               const uint8_t *text, size_t size, uint8_t *out, uint8_t tag[AEAD_TAG]) {
    uint8_t group[CHACHA20_GROUP], mac_key[32];
    chacha20_stream(key->subkey, nonce_tail, 0, CHACHA20_BLOCK + size, group);
    memcpy(mac_key, group, sizeof mac_key);
    aead_crypt(key, nonce_tail, group, text, size, out);
    aead_tag(mac_key, extra, extra_size, out, size, tag);
    aead_wipe(group, sizeof group);
    aead_wipe(mac_key, sizeof mac_key);
}

bool aead_open(const AeadKey *key, const uint8_t nonce_tail[8], const uint8_t *extra, size_t extra_size,
               const uint8_t tag[AEAD_TAG], const uint8_t *sealed, size_t size, uint8_t *out) {
    uint8_t group[CHACHA20_GROUP], right[AEAD_TAG];
    chacha20_stream(key->subkey, nonce_tail, 0, CHACHA20_BLOCK + size, group);
    aead_tag(group, extra, extra_size, sealed, size, right);
    bool same = crypto_verify16(tag, right) == 0;
    if (same) aead_crypt(key, nonce_tail, group, sealed, size, out);
    aead_wipe(group, sizeof group);
    aead_wipe(right, sizeof right);
    return same;
}

#else

void aead_seal(const AeadKey *key, const uint8_t nonce_tail[8], const uint8_t *extra, size_t extra_size,
               const uint8_t *text, size_t size, uint8_t *out, uint8_t tag[AEAD_TAG]) {
    crypto_aead_ctx context;
    crypto_aead_init_djb(&context, key->subkey, nonce_tail);
    crypto_aead_write(&context, out, tag, extra, extra_size, text, size);
    aead_wipe(&context, sizeof context);
}

bool aead_open(const AeadKey *key, const uint8_t nonce_tail[8], const uint8_t *extra, size_t extra_size,
               const uint8_t tag[AEAD_TAG], const uint8_t *sealed, size_t size, uint8_t *out) {
    crypto_aead_ctx context;
    crypto_aead_init_djb(&context, key->subkey, nonce_tail);
    int wrong = crypto_aead_read(&context, out, tag, extra, extra_size, sealed, size);
    aead_wipe(&context, sizeof context);
    return wrong == 0;
}

#endif

