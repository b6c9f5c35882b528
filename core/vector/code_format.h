/* code_format.h - the bytes of a RaBitQ code, and of a block of 32. README.md has the formulas.
 *
 *   code  := plane*                          one per bit, the most significant first
 *   plane := u8[padded / 8]                  dimension j is bit j % 8 of byte j / 8
 *
 *   block := head  add:u16[32]  res:u16[32]  plane*
 *   head  := add_min:f32 add_step:f32 res_min:f32 res_step:f32 kappa:f32  0:u8[12]
 *   plane := (u8[16])*                       one for each nibble: four dimensions, 4m ... 4m+3
 *
 * All of it little-endian. A code takes bits * padded / 8 bytes, a block 160 + 4 * padded * bits.
 *
 * 1. A factor is min + step * u16. Steps are powers of two (or 0: all are min) and mins multiples
 *    of theirs, so that this is exact, and so that copying a lane into a block of the same or
 *    finer steps loses nothing, however often.
 * 2. A row whose factors a block cannot hold (not finite, or beyond 2^100) has add = 65535, and
 *    all else 0: it is unknown how far it is, so whoever searches looks at the row itself.
 * 3. kappa is the greatest err / |res| of the block: one number instead of 32, as they differ by a
 *    few percent.
 * 4. In a nibble of a plane, byte i has lane i in its low half and lane 16 + i in its high half;
 *    bit k of a half is dimension 4m + k.
 * 5. Lanes that are not used are 0 throughout.
 *
 * Nothing in a block decides where is read, and no bits of one give a NaN: hostile blocks make
 * estimates wrong, no more. So they are not checked but for the checksum around them.
 *
 * Why 4 dimensions for 16 bytes: a shuffle of bytes looks up 16 lanes in a table of 16 entries
 * (FastScan), and the bytes are right for every width: a wider shuffle takes more nibbles. */
#ifndef NACRE_VECTOR_CODE_FORMAT_H
#define NACRE_VECTOR_CODE_FORMAT_H

enum {
    CODE_LANES = 32,
    CODE_BITS_MAX = 8,
    CODE_PADDING = 64, /* padded is a multiple of it */

    CODE_BLOCK_HEAD = 32,
    CODE_BLOCK_ADD = CODE_BLOCK_HEAD,
    CODE_BLOCK_RES = CODE_BLOCK_ADD + 2 * CODE_LANES,
    CODE_BLOCK_PLANES = CODE_BLOCK_RES + 2 * CODE_LANES,

    CODE_ADD_UNKNOWN = 65535, /* rule 2 */
};

#endif
