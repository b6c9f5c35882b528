/* compress.h - bytes made smaller, and back: LZ4's block format, by liblz4.
 *
 * 1. Nothing is written beyond the room that is given, whatever the bytes say.
 * 2. The same bytes are compressed to the same, on every host: liblz4 does so up to COMPRESS_MAX
 *    bytes at once, beyond them it asks how wide a register is. */
#ifndef BASE_COMPRESS_H
#define BASE_COMPRESS_H

#include "base/span.h"

enum { COMPRESS_STATE_SIZE = 16 * 1024 + 64 }; /* bytes of memory that compressing needs */

enum { COMPRESS_MAX = 65536 };

/* At most COMPRESS_MAX bytes, into `room` bytes at `out`; `state` is aligned for any type. Bytes written; 0: they do not fit. */
size_t compress_lz4(void *state, Span plain, uint8_t *out, size_t room);
/* Bytes that nobody has checked. false: they do not hold exactly `size` bytes. */
bool decompress_lz4(Span packed, uint8_t *out, size_t size);

#endif
