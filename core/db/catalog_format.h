/* catalog_format.h - what membranes there are: rows of membrane 0, logged, merged and
 * recovered like all others, so that creating one is atomic with what it is for.
 *
 *   01                     -> next membrane id u32
 *   02 | name | 00         -> membrane id u32 | schema (schema_format.h)
 *   03 | membrane id u32BE -> (nothing): it was dropped, merges leave its rows out
 *   04 | client u8[16] | number u64BE -> what whoever wrote it says, at most 64 KiB:
 *                             the client's request of that number was carried out
 *
 * 1. An id is given once, for ever: rows of a dropped membrane may still lie in segments.
 * 2. Names hold no control characters, so none is a prefix of another with its 00.
 * 3. Tokens (04) are the only rows that come from outside, in the batch that carries the
 *    request out: so it is known after any crash whether it was. They are in no list of
 *    membranes and in no list of changes. When they go is told by whoever writes them.
 * 4. Keys 05 and above are kept: options. */
#ifndef DB_CATALOG_FORMAT_H
#define DB_CATALOG_FORMAT_H

#include "base/span.h"

enum { CATALOG_NEXT = 1, CATALOG_NAME = 2, CATALOG_DROPPED = 3, CATALOG_TOKEN = 4 };
enum { CATALOG_TOKEN_SIZE = 1 + 16 + 8, CATALOG_TOKEN_VALUE_MAX = 64 << 10 };

static inline bool catalog_is_token(Span key) {
    return key.size == CATALOG_TOKEN_SIZE && key.data[0] == CATALOG_TOKEN;
}

#endif
