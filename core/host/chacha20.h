/* chacha20.h - the key stream of ChaCha20, many blocks side by side: each lane of a vector is a
 * block. Knows nothing of nonces that must not be used twice, nor of tags. */
#ifndef HOST_CHACHA20_H
#define HOST_CHACHA20_H

#include <stddef.h>
#include <stdint.h>

/* Where the compiler has vectors of any host, and the host has some; elsewhere aead.c goes without. */
#if (defined(__clang__) || (defined(__GNUC__) && __GNUC__ >= 12)) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && \
    (defined(__SSE2__) || defined(__ARM_NEON) || defined(__wasm_simd128__))
#define CHACHA20_LANES 1

enum { CHACHA20_BLOCK = 64, CHACHA20_GROUP = 512 };

/* At least `size` bytes, at most CHACHA20_GROUP, of the stream from block `counter` on, which are
 * the first of `stream`. What is behind them there is spoiled. */
void chacha20_stream(const uint8_t key[32], const uint8_t nonce[8], uint64_t counter, size_t size,
                     uint8_t stream[CHACHA20_GROUP]);
#endif

#endif
