/* learned_format.h - the bytes of a learned index: straight lines that say nearly where in
 * a sorted sequence a key is.
 *
 *   model := piece_count u32 | key_count u32 | epsilon u32
 *            | first u64[piece_count] | start u32[piece_count] | slope u32[piece_count]
 *            | shifts (in u8, out u8)[piece_count]
 *
 * 1. Keys are numbers in order, equal ones allowed; a key's place is how many are smaller.
 *    first and start ascend strictly, start begins with 0 and is key_count at most.
 * 2. A piece tells of the keys from its first up to the next piece's first. It guesses
 *    guess = start + (min((key - first) >> in, 2^32 - 1) * slope >> out), no more than the
 *    next piece's start (at the end: key_count).
 * 3. The place of any key, there or not, lies in guess - epsilon ... guess + epsilon +
 *    LEARNED_SLACK, within its piece. Below the first key of all it is 0.
 *
 * Why whole numbers: the guess is the same on every host. Why the slack: 1 for keys between
 * two that are there, 2 for what the shifts cut off (learned.c). */
#ifndef SEGMENT_LEARNED_FORMAT_H
#define SEGMENT_LEARNED_FORMAT_H

#include "base/codec.h"

enum {
    LEARNED_HEAD = 12,
    LEARNED_PIECE = 18,
    LEARNED_SLACK = 3,
    LEARNED_KEYS_MAX = 1 << 30,
    LEARNED_EPSILON_MAX = 1 << 20,
};

#endif
