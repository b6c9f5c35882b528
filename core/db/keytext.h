/* keytext.h - a key in words, for messages. */
#ifndef DB_KEYTEXT_H
#define DB_KEYTEXT_H

#include "db/schema.h"

enum { KEY_TEXT_SIZE = 128 };

/* Writes an encoded key's parts, cut to what fits, as "text", 0x6279 or 12.5, with commas
 * between them; "?" when it is malformed or there is no memory. Ends with a zero byte. */
void key_text(Env *env, const Schema *schema, Span key, char text[KEY_TEXT_SIZE]);

#endif
