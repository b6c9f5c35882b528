/* keycode_format.h - keys as bytes whose order is the order of the keys.
 *
 *   key  := part[key_count of the schema]
 *   part := integer, bigint, timestamp : u64 big-endian of the int64 with its sign bit flipped
 *         | real    : u64 big-endian of its IEEE bits, the sign bit flipped when it is
 *                     positive, all bits flipped when it is negative
 *         | boolean : 00 false, 01 true
 *         | text, bytes : each byte 00 as 00 FF, all others as they are; then 00 01
 *
 * 1. memcmp of two keys of one membrane is the order of their values, part by part.
 *    Text is ordered by its UTF-8 bytes, the shorter first.
 * 2. No key is a prefix of another key of the same membrane.
 * 3. A real is never NaN and never -0: -0 is written as +0, so that equal keys are equal
 *    bytes. A timestamp is within LIMIT_TIMESTAMP_MS.
 * 4. Text is valid UTF-8. No byte of a character but U+0000 is 00, so an escape never
 *    cuts one.
 * 5. The raw bytes of all parts (8, 8, 1, length) are at most LIMIT_KEY_SIZE.
 * 6. All keys that begin with given parts lie in [p, successor(p)), p the bytes of those
 *    parts; all that continue a text or bytes part lie in the same range of p without its
 *    last 00 01. successor(p): p without trailing FF bytes, its last byte plus one; there
 *    is none when nothing is left, and then nothing is greater.
 *
 * integer and bigint have the same bytes: they differ only in how JavaScript gives them
 * back.
 *
 * Why 00 01 and not a single 00: 00 would be a prefix of an escape. Why not a length in
 * front: it would order by length. */
#ifndef DB_KEYCODE_FORMAT_H
#define DB_KEYCODE_FORMAT_H

enum {
    KEYCODE_ESCAPE = 0x00,
    KEYCODE_ESCAPED_ZERO = 0xff, /* after an escape: a byte 00 */
    KEYCODE_END = 0x01,          /* after an escape: end of the part */
    KEYCODE_NUMBER_SIZE = 8,
};

#endif
