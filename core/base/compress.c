/* compress.c - liblz4 (BSD 2-Clause, Yann Collet) within this file: its functions are
 * static here, so that a program may have another liblz4 beside. It allocates nothing. */
#include "base/compress.h"

#include "base/status.h"

#include <limits.h>

#define LZ4LIB_VISIBILITY static
#include <lz4.c>

_Static_assert(sizeof(LZ4_stream_t) <= COMPRESS_STATE_SIZE, "LZ4's state");

size_t compress_lz4(void *state, Span plain, uint8_t *out, size_t room) {
    ASSERT(plain.size <= COMPRESS_MAX);
    if (room > INT_MAX) return 0;
    int size = LZ4_compress_fast_extState(state, (const char *)plain.data, (char *)out, (int)plain.size, (int)room, 1);
    return size > 0 ? (size_t)size : 0;
}

bool decompress_lz4(Span packed, uint8_t *out, size_t size) {
    /* Sizes are never negative there: some versions of liblz4 do not ask (CVE-2021-3520). */
    if (packed.size > INT_MAX || size > INT_MAX) return false;
    return LZ4_decompress_safe((const char *)packed.data, (char *)out, (int)packed.size, (int)size) == (int)size;
}
