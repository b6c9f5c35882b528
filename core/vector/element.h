/* element.h - what the elements of stored vectors are, and numbers made elements and back.
 *
 * 1. f32: 4 bytes, any finite float, kept bit for bit. f16: IEEE 754's binary16 in 2 bytes; a
 *    number is rounded to the nearest one, to the even one of two, and must not be beyond 65504
 *    then. i8: a byte, whole numbers from -128 to 127. bit: 0 or 1; element i is bit i % 8 of
 *    byte i / 8, from the lowest, and bits that no element has are 0. Little-endian.
 * 2. Bytes of a file may be anything: they are numbers all the same, never NaN. (A binary16 that
 *    is no finite number reads as 65536 or more.) A float alone may read as one that is not finite.
 * 3. Numbers and bits are the same on every host. */
#ifndef NACRE_VECTOR_ELEMENT_H
#define NACRE_VECTOR_ELEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers of nacre_element. */
typedef enum Element { ELEMENT_F32 = 1, ELEMENT_F16 = 2, ELEMENT_I8 = 3, ELEMENT_BIT = 4 } Element;

/* Bytes of a vector. */
static inline size_t element_size(Element element, size_t dimensions) {
    switch (element) {
    case ELEMENT_F16: return 2 * dimensions;
    case ELEMENT_I8: return dimensions;
    case ELEMENT_BIT: return (dimensions + 7) / 8;
    default: return 4 * dimensions;
    }
}

/* Whether a number can be an element, and whether it is 0 then. */
bool element_takes(Element element, float number);
bool element_zero(Element element, float number);
/* The first of numbers, at any address, that cannot be an element; `dimensions`: all can. *zero:
 * those before it are all 0 then. */
size_t element_check(Element element, const float *numbers, size_t dimensions, bool *zero);

/* Writes numbers that element_takes; returns the end. */
uint8_t *element_encode(Element element, const float *numbers, size_t dimensions, uint8_t *into);
/* Reads a vector at any address. */
void element_decode(Element element, const void *vector, size_t dimensions, float *numbers);

/* Whether the bits of the last byte that no element has are 0. */
bool element_bits_end(const uint8_t *vector, size_t dimensions);

#endif
