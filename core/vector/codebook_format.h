/* codebook_format.h - the bytes of a codebook: the frame of an index and its lists.
 *
 *   codebook := checksum u64 | magic u32 | dimensions u32 | seed u64 | lists u32
 *               | bits u8 | metric u8 | probes u16[2][11]
 *               | reach f32[2][11] | least f32 | mean f32[padded] | centroids f32[lists][padded], absent if lists is 1
 *
 * 1. The checksum is XXH3 of what follows it, seeded with CODEBOOK_MAGIC; of the floats in pieces of
 *    CODEBOOK_PIECE of them (the mean, then each centroid, begin a piece of their own), each seeded
 *    with the result so far. It is the codebook's id: equal ids, equal codebooks.
 * 2. seed, dimensions: of the rotation (rotation.h). padded: dimensions up to a multiple of 64.
 * 3. The mean is that of the rotated rows; centroids are rotated too, and minus the mean. With one
 *    list its centroid is 0. All are finite.
 * 4. For the 10 and for the 100 nearest rows, for each recall of CODEBOOK_RECALLS, not descending in
 *    either direction: probes, how many lists must be read by a
 *    query like the rows, in 1 ... lists; reach, how far any query must look. The score of a list is
 *    |q - c|^2, under inner product -2 <q, c>; s is the least. Lists are read whose score is
 *    s + reach * sqrt(max(s, least)) at most; under inner product s + reach * |q|. Reaches and least
 *    are finite and not negative.
 * 5. bits: of the rows' codes, 1 to 8. metric: 1 L2, 2 cosine, 3 inner product.
 *
 * Why a reach and not a number of lists alone: the farther a query is from all lists, the farther
 * are its neighbours, and the more lists they may be in. A number calibrated on rows lost 4 points
 * of recall to real questions about texts, which lie farther off than the texts from each other; a
 * reach lost none, and reads fewer lists for the queries that need few. The distance to the plane
 * between two lists is (|q - c|^2 - s) / (2 |c - c'|), hence a difference of squares; it is set in
 * relation to a distance, not to a square, because that kept recalls best (README.md).
 *
 * Why no codes of the centroids: they follow from them, in less time than reading takes. */
#ifndef NACRE_VECTOR_CODEBOOK_FORMAT_H
#define NACRE_VECTOR_CODEBOOK_FORMAT_H

enum {
    CODEBOOK_MAGIC = 0x4b424356, /* "VCBK" */
    CODEBOOK_STEPS = 11,
    CODEBOOK_RANKS = 2, /* 10 and 100 neighbours */
    CODEBOOK_HEAD = 34 + 6 * CODEBOOK_STEPS * CODEBOOK_RANKS,
    CODEBOOK_PIECE = 256,
    CODEBOOK_LISTS_MAX = 4096,
};

#define CODEBOOK_RECALLS {.80f, .85f, .90f, .925f, .95f, .96f, .97f, .98f, .99f, .995f, .999f}

#endif
