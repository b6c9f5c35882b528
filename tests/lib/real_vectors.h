/* real_vectors.h - vectors of the world, for what random ones do not show. Generated from
 * examples/data and tests/data by real-vectors.sh; a byte is an element. */
#ifndef NACRE_TESTS_REAL_VECTORS_H
#define NACRE_TESTS_REAL_VECTORS_H

#include <stdint.h>

enum {
    REAL_PACKAGES = 400, /* embeddings of texts, int8 */
    REAL_PACKAGES_DIMENSIONS = 384,
    REAL_SIFT = 400, /* descriptors of patches of images, uint8 */
    REAL_SIFT_DIMENSIONS = 128,
    REAL_DIGITS = 200, /* pixels, uint8: many are 0 */
    REAL_DIGITS_DIMENSIONS = 784,
};

extern const uint8_t real_packages[REAL_PACKAGES * REAL_PACKAGES_DIMENSIONS];
extern const uint8_t real_sift[REAL_SIFT * REAL_SIFT_DIMENSIONS];
extern const uint8_t real_digits[REAL_DIGITS * REAL_DIGITS_DIMENSIONS];

#endif
