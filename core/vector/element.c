/* element.c - element.h's conversions. Knows nothing of distances. */
#include "vector/element.h"

#include "base/codec.h"

#include <string.h>

static uint32_t element_float_bits(float number) {
    uint32_t bits;
    memcpy(&bits, &number, 4);
    return bits;
}

static float element_bits_float(uint32_t bits) {
    float number;
    memcpy(&number, &bits, 4);
    return number;
}

/* ---- binary16 ---- */

#define HALF_BEYOND 0x477ff000u /* 65520: from here on the nearest would be infinity */
#define HALF_NORMAL 0x38800000u /* 2^-14 */
#define HALF_ZERO   0x33000000u /* 2^-25: half of the least one, and the even one of two is 0 */

static uint16_t element_half(float number) {
    uint32_t bits = element_float_bits(number), sign = bits >> 16 & 0x8000u, size = bits & 0x7fffffffu;
    if (size < HALF_NORMAL) { /* the addition rounds to a multiple of 2^-24 */
        float sum = element_bits_float(size) + 0.5f;
        return (uint16_t)(sign | (element_float_bits(sum) - 0x3f000000u));
    }
    size += 0xfffu + (size >> 13 & 1);
    return (uint16_t)(sign | ((size - 0x38000000u) >> 13));
}

/* The exponent is too small by 112; multiplying is exact, for those below the normal ones too. */
static float element_half_float(uint16_t half) {
    float size = element_bits_float((uint32_t)(half & 0x7fffu) << 13) * 0x1p112f;
    return element_bits_float(element_float_bits(size) | (uint32_t)(half & 0x8000u) << 16);
}

/* ---- all ---- */

bool element_takes(Element element, float number) {
    uint32_t size = element_float_bits(number) & 0x7fffffffu;
    switch (element) {
    case ELEMENT_F16: return size < HALF_BEYOND;
    case ELEMENT_I8: return number >= -128 && number <= 127 && (float)(int)number == number;
    case ELEMENT_BIT: return number == 0 || number == 1;
    default: return size < 0x7f800000u;
    }
}

bool element_zero(Element element, float number) {
    return (element_float_bits(number) & 0x7fffffffu) <= (element == ELEMENT_F16 ? HALF_ZERO : 0);
}

/* Of floats the largest one tells both. A loop that compilers make vectors of. */
static uint32_t element_largest(const uint8_t *numbers, size_t dimensions) {
    uint32_t most = 0;
    for (size_t i = 0; i < dimensions; i++) {
        uint32_t size = get_u32(numbers + 4 * i) & 0x7fffffffu;
        most = size > most ? size : most;
    }
    return most;
}

size_t element_check(Element element, const float *numbers, size_t dimensions, bool *zero) {
    const uint8_t *at = (const void *)numbers;
    float most = element_bits_float(element_largest(at, dimensions));
    *zero = true;
    if (element != ELEMENT_I8 && element != ELEMENT_BIT && element_takes(element, most)) {
        *zero = element_zero(element, most);
        return dimensions;
    }
    for (size_t i = 0; i < dimensions; i++) {
        float number = element_bits_float(get_u32(at + 4 * i));
        if (!element_takes(element, number)) return i;
        *zero &= element_zero(element, number);
    }
    return dimensions;
}

uint8_t *element_encode(Element element, const float *numbers, size_t dimensions, uint8_t *into) {
    size_t size = element_size(element, dimensions);
    if (element == ELEMENT_BIT) memset(into, 0, size);
    for (size_t i = 0; i < dimensions; i++) {
        switch (element) {
        case ELEMENT_F16: put_u16(into + 2 * i, element_half(numbers[i])); break;
        case ELEMENT_I8: into[i] = (uint8_t)((int)numbers[i] & 0xff); break;
        case ELEMENT_BIT:
            if (numbers[i] != 0) into[i / 8] |= (uint8_t)(1u << i % 8);
            break;
        default: put_u32(into + 4 * i, element_float_bits(numbers[i])); break;
        }
    }
    return into + size;
}

void element_decode(Element element, const void *vector, size_t dimensions, float *numbers) {
    const uint8_t *from = vector;
    switch (element) {
    case ELEMENT_F16:
        for (size_t i = 0; i < dimensions; i++) numbers[i] = element_half_float(get_u16(from + 2 * i));
        break;
    case ELEMENT_I8:
        for (size_t i = 0; i < dimensions; i++) numbers[i] = (float)(from[i] < 128 ? from[i] : from[i] - 256);
        break;
    case ELEMENT_BIT:
        for (size_t i = 0; i < dimensions; i++) numbers[i] = (float)(from[i / 8] >> i % 8 & 1);
        break;
    default:
        for (size_t i = 0; i < dimensions; i++) numbers[i] = element_bits_float(get_u32(from + 4 * i));
        break;
    }
}

bool element_bits_end(const uint8_t *vector, size_t dimensions) {
    return dimensions % 8 == 0 || vector[dimensions / 8] >> dimensions % 8 == 0;
}
