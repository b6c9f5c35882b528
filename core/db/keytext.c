/* keytext.c - the parts of a key as text. Knows nothing of what the text is for. */
#include "db/keytext.h"

#include "base/decimal.h"
#include "db/keycode.h"

#include <inttypes.h>
#include <stdio.h>

enum { KEY_TEXT_SHOWN = 40 }; /* bytes of one part */

static int key_text_part(const nacre_value *value, char *at, size_t size) {
    const uint8_t *bytes = value->bytes.data;
    int shown = value->bytes.size < KEY_TEXT_SHOWN ? (int)value->bytes.size : KEY_TEXT_SHOWN, used;
    switch (value->type) {
    case NACRE_TEXT:
        return snprintf(at, size, "\"%.*s\"%s", shown, (const char *)bytes,
                        value->bytes.size > KEY_TEXT_SHOWN ? "..." : "");
    case NACRE_REAL: return snprintf(at, size, "%s", decimal_print(value->real, (char[DECIMAL_TEXT_SIZE]){0}));
    case NACRE_BYTES:
        used = snprintf(at, size, "0x");
        for (int i = 0; i < shown && used >= 0 && (size_t)used + 3 < size; i++)
            used += snprintf(at + used, size - (size_t)used, "%02x", bytes[i]);
        return used;
    default: return snprintf(at, size, "%" PRId64, value->integer);
    }
}

void key_text(Env *env, const Schema *schema, Span key, char text[KEY_TEXT_SIZE]) {
    nacre_value values[NACRE_KEY_PARTS_MAX];
    nacre_error error = env->error;
    uint8_t *room = env_alloc(env, key.size);
    bool known = room && key_decode(schema, key, values, room);
    env->error = error; /* only a help */
    memcpy(text, "?", 2);
    for (uint32_t i = 0, used = 0; known && i < schema->key_count; i++) {
        if (i > 0) used += (uint32_t)snprintf(text + used, KEY_TEXT_SIZE - used, ", ");
        if (used < KEY_TEXT_SIZE) used += (uint32_t)key_text_part(&values[i], text + used, KEY_TEXT_SIZE - used);
        if (used >= KEY_TEXT_SIZE - 1) break;
    }
    env_free(env, room, key.size);
}
