/* catalog_format.h - what membranes there are: rows of membrane 0, logged, merged and
 * recovered like all others, so that creating one is atomic with what it is for.
 *
 *   01                     -> next membrane id u32
 *   02 | name | 00         -> membrane id u32 | schema (schema_format.h)
 *   03 | membrane id u32BE -> (nothing): it was dropped, merges leave its rows out
 *
 * 1. An id is given once, for ever: rows of a dropped membrane may still lie in segments.
 * 2. Names hold no control characters, so none is a prefix of another with its 00.
 * 3. Keys 04 and above are kept: tokens of clients, options. */
#ifndef DB_CATALOG_FORMAT_H
#define DB_CATALOG_FORMAT_H

enum { CATALOG_NEXT = 1, CATALOG_NAME = 2, CATALOG_DROPPED = 3 };

#endif
