/* index_format.h - values of indexed fields as bytes whose order is theirs (fields_format.h).
 *
 *   integer, bigint, timestamp, real, boolean   as parts of a key (keycode_format.h)
 *   text, bytes                                 their bytes; of more than INDEX_VALUE_SIZE the first
 *                                               INDEX_VALUE_SIZE + 1
 *
 * 1. So one of INDEX_VALUE_SIZE + 1 bytes was cut, and stands for all values that begin with it:
 *    whether its rows match may have to be asked of them.
 * 2. -0 is there as 0, which it equals. */
#ifndef DB_INDEX_FORMAT_H
#define DB_INDEX_FORMAT_H

#include "segment/fields_format.h"

enum { INDEX_VALUE_SIZE = FIELDS_VALUE_MAX - 1 };

#endif
