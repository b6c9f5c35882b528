/* utf8.c - checking and writing UTF-8. Knows nothing of text but its bytes. */
#include "base/utf8.h"

#include "base/limits.h"

/* Size of the character at `p`, of which `left` bytes are there; 0: it is none. The
 * table is RFC 3629's: each lead byte bounds the byte after it. */
static size_t utf8_character(const uint8_t *p, size_t left) {
    uint8_t lead = p[0], low = 0x80, high = 0xbf;
    size_t size = 0;
    if (lead < 0x80) return 1;
    if (lead < 0xc2) return 0;
    if (lead < 0xe0) {
        size = 2;
    } else if (lead < 0xf0) {
        size = 3;
        if (lead == 0xe0) low = 0xa0;  /* overlong */
        if (lead == 0xed) high = 0x9f; /* surrogates */
    } else if (lead < 0xf5) {
        size = 4;
        if (lead == 0xf0) low = 0x90;
        if (lead == 0xf4) high = 0x8f; /* past U+10FFFF */
    } else {
        return 0;
    }
    if (size > left || p[1] < low || p[1] > high) return 0;
    for (size_t i = 2; i < size; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    return size;
}

bool utf8_valid(Span text) {
    const uint8_t *p = text.data;
    size_t left = text.size;
    while (left > 0) {
        if (left >= 8) { /* eight of ASCII at once: nearly all text is */
            uint64_t eight;
            memcpy(&eight, p, 8);
            if ((eight & UINT64_C(0x8080808080808080)) == 0) {
                p += 8, left -= 8;
                continue;
            }
        }
        size_t size = utf8_character(p, left);
        if (size == 0) return false;
        p += size, left -= size;
    }
    return true;
}

size_t utf8_put(uint8_t *at, uint32_t code_point) {
    if (code_point < 0x80) {
        at[0] = (uint8_t)code_point;
        return 1;
    }
    if (code_point < 0x800) {
        at[0] = (uint8_t)(0xc0 | code_point >> 6);
        at[1] = (uint8_t)(0x80 | (code_point & 0x3f));
        return 2;
    }
    if (code_point < 0x10000) {
        at[0] = (uint8_t)(0xe0 | code_point >> 12);
        at[1] = (uint8_t)(0x80 | (code_point >> 6 & 0x3f));
        at[2] = (uint8_t)(0x80 | (code_point & 0x3f));
        return 3;
    }
    at[0] = (uint8_t)(0xf0 | code_point >> 18);
    at[1] = (uint8_t)(0x80 | (code_point >> 12 & 0x3f));
    at[2] = (uint8_t)(0x80 | (code_point >> 6 & 0x3f));
    at[3] = (uint8_t)(0x80 | (code_point & 0x3f));
    return 4;
}

const char *utf8_name_problem(Span name) {
    if (name.size == 0) return "is empty";
    if (name.size > LIMIT_NAME_SIZE) return "is longer than 255 bytes";
    if (!utf8_valid(name)) return "is not UTF-8";
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        /* C1 controls, U+0080 to U+009F, are C2 80 to C2 9F */
        if (c < 0x20 || c == 0x7f || (c == 0xc2 && name.data[i + 1] < 0xa0))
            return "has a control character";
        if (c == '/' || c == '\\') return "has a / or a \\";
    }
    if (span_eq(name, span_of(".", 1)) || span_eq(name, span_of("..", 2))) return "is . or ..";
    return NULL;
}
