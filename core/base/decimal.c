/* decimal.c - decimal to binary. Most numbers take the fast path: 15 digits and a small
 * exponent are exact in one operation. The others are kept as decimal digits and doubled
 * or halved until their bits can be read off (Nigel Tao's "simple decimal conversion"). */
#include "base/decimal.h"

enum {
    DECIMAL_DIGITS = 800,   /* 768 decide any double; the rest only say "and some more" */
    DECIMAL_SHIFT_MAX = 60, /* 10 << 60 fits in 64 bits */
    DECIMAL_EXPONENT_MAX = 100000,
};

/* 0.d1 d2 d3 ... x 10^point */
typedef struct Decimal {
    uint8_t digits[DECIMAL_DIGITS];
    int count;
    int point;
    bool more; /* digits that are not zero were dropped */
} Decimal;

static void decimal_trim(Decimal *d) {
    while (d->count > 0 && d->digits[d->count - 1] == 0) d->count--;
    if (d->count == 0) d->point = 0;
}

static void decimal_double(Decimal *d, int times) { /* x 2^times, 1 to DECIMAL_SHIFT_MAX */
    uint64_t carry = 0;
    for (int i = d->count; i-- > 0;) {
        carry += (uint64_t)d->digits[i] << times;
        d->digits[i] = (uint8_t)(carry % 10);
        carry /= 10;
    }
    uint8_t front[20];
    int added = 0;
    for (; carry > 0; carry /= 10) front[added++] = (uint8_t)(carry % 10);
    int kept = d->count;
    if (kept + added > DECIMAL_DIGITS) kept = DECIMAL_DIGITS - added;
    for (int i = kept; i < d->count; i++)
        if (d->digits[i] != 0) d->more = true;
    memmove(d->digits + added, d->digits, (size_t)kept);
    for (int i = 0; i < added; i++) d->digits[i] = front[added - 1 - i];
    d->count = kept + added;
    d->point += added;
    decimal_trim(d);
}

static void decimal_halve(Decimal *d, int times) { /* / 2^times */
    int read = 0, write = 0;
    uint64_t n = 0, mask = (UINT64_C(1) << times) - 1;
    for (; n >> times == 0; read++) {
        if (read >= d->count && n == 0) {
            d->count = d->point = 0;
            return;
        }
        n = n * 10 + (read < d->count ? d->digits[read] : 0);
    }
    d->point -= read - 1;
    for (; read < d->count; read++) {
        uint8_t digit = (uint8_t)(n >> times);
        n = (n & mask) * 10 + d->digits[read];
        d->digits[write++] = digit;
    }
    while (n > 0) {
        uint8_t digit = (uint8_t)(n >> times);
        n = (n & mask) * 10;
        if (write < DECIMAL_DIGITS)
            d->digits[write++] = digit;
        else if (digit > 0)
            d->more = true;
    }
    d->count = write;
    decimal_trim(d);
}

static void decimal_scale(Decimal *d, int times) { /* x 2^times, either way */
    for (; times > DECIMAL_SHIFT_MAX; times -= DECIMAL_SHIFT_MAX)
        decimal_double(d, DECIMAL_SHIFT_MAX);
    if (times > 0) decimal_double(d, times);
    for (; times < -DECIMAL_SHIFT_MAX; times += DECIMAL_SHIFT_MAX)
        decimal_halve(d, DECIMAL_SHIFT_MAX);
    if (times < 0) decimal_halve(d, -times);
}

/* The nearest integer, ties to even; it fits in 64 bits. */
static uint64_t decimal_round(const Decimal *d) {
    uint64_t n = 0;
    for (int i = 0; i < d->point; i++) n = n * 10 + (i < d->count ? d->digits[i] : 0);
    if (d->point < 0 || d->point >= d->count) return n;
    bool up = d->digits[d->point] >= 5;
    if (d->digits[d->point] == 5 && d->point + 1 == d->count && !d->more) up = n & 1;
    return n + up;
}

static double decimal_bits(bool negative, uint64_t bits) {
    double value;
    bits |= (uint64_t)negative << 63;
    memcpy(&value, &bits, 8);
    return value;
}

static double decimal_slow(Decimal *d, bool negative) {
    /* How often 10^n can be halved and stay 1 or more. */
    static const int8_t halvings[] = {1,  3,  6,  9,  13, 16, 19, 23, 26, 29,
                                      33, 36, 39, 43, 46, 49, 53, 56, 59};
    enum { HALVINGS = sizeof halvings };
    const uint64_t infinity = UINT64_C(0x7ff) << 52;
    int exponent = 0;

    if (d->count == 0 || d->point < -330) return decimal_bits(negative, 0);
    if (d->point > 310) return decimal_bits(negative, infinity);
    while (d->point > 0) {
        int n = d->point < HALVINGS ? halvings[d->point] : DECIMAL_SHIFT_MAX;
        decimal_scale(d, -n);
        exponent += n;
    }
    while (d->point < 0 || d->digits[0] < 5) {
        int n = -d->point < HALVINGS ? halvings[-d->point] : DECIMAL_SHIFT_MAX;
        decimal_scale(d, n);
        exponent -= n;
    }
    exponent--; /* from [1/2, 1) to [1, 2) */
    if (exponent < -1022) {
        decimal_scale(d, exponent + 1022);
        exponent = -1022;
    }
    if (exponent > 1023) return decimal_bits(negative, infinity);
    decimal_scale(d, 53); /* to [2^52, 2^53): the mantissa with its leading one */
    uint64_t mantissa = decimal_round(d), one = UINT64_C(1) << 52;
    if (mantissa == one << 1) mantissa >>= 1, exponent++;
    if (exponent > 1023) return decimal_bits(negative, infinity);
    uint64_t biased = mantissa & one ? (uint64_t)(exponent + 1023) : 0; /* 0: subnormal */
    return decimal_bits(negative, (mantissa & (one - 1)) | biased << 52);
}

/* The exponent after e or E, kept within bounds in which it can be added. */
static int decimal_exponent(const uint8_t *at, const uint8_t *end) {
    bool negative = at < end && *at == '-';
    int exponent = 0;
    if (at < end && (*at == '-' || *at == '+')) at++;
    for (; at < end; at++)
        if (exponent < DECIMAL_EXPONENT_MAX) exponent = exponent * 10 + (*at - '0');
    return negative ? -exponent : exponent;
}

double decimal_to_double(Span text) {
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    const uint8_t *at = text.data, *end = text.data + text.size;
    Decimal d;
    d.count = d.point = 0, d.more = false;
    uint64_t mantissa = 0; /* of the first 19 digits */
    bool negative = at < end && *at == '-', fraction = false;
    if (negative) at++;
    for (; at < end && *at != 'e' && *at != 'E'; at++) {
        if (*at == '.') {
            fraction = true;
            continue;
        }
        if (d.count == 0 && *at == '0') { /* leading zeros */
            d.point -= fraction;
            continue;
        }
        uint8_t digit = (uint8_t)(*at - '0');
        if (d.count < 19) mantissa = mantissa * 10 + digit;
        if (d.count < DECIMAL_DIGITS)
            d.digits[d.count++] = digit;
        else if (digit != 0)
            d.more = true;
        d.point += !fraction;
    }
    if (at < end) d.point += decimal_exponent(at + 1, end);

    int power = d.point - d.count; /* mantissa x 10^power */
    if (d.count <= 19 && mantissa <= UINT64_C(1) << 53 && power >= -22 && power <= 22) {
        double value =
            power < 0 ? (double)mantissa / powers[-power] : (double)mantissa * powers[power];
        return negative ? -value : value;
    }
    decimal_trim(&d);
    return decimal_slow(&d, negative);
}

int number_compare(int64_t integer, double real) {
    if (real >= 9223372036854775808.0) return -1;
    if (real < -9223372036854775808.0) return 1;
    int64_t whole = (int64_t)real; /* toward zero */
    if (integer != whole) return integer < whole ? -1 : 1;
    double rest = real - (double)whole;
    return rest > 0 ? -1 : rest < 0;
}

/* ---- printing ---- */

/* The first `wanted` digits, the last one rounded. */
static int decimal_cut(const Decimal *d, int wanted, uint8_t digits[20], int *point) {
    int count = d->count < wanted ? d->count : wanted;
    memcpy(digits, d->digits, (size_t)count);
    *point = d->point;
    if (d->count > wanted && d->digits[wanted] >= 5) {
        int at = count;
        while (at > 0 && digits[at - 1] == 9) at--;
        count = at;
        if (at > 0) digits[at - 1]++;
        else digits[count++] = 1, ++*point;
    }
    while (count > 0 && digits[count - 1] == 0) count--;
    return count;
}

static char *decimal_write(char *at, bool negative, const uint8_t *digits, int count, int point) {
    bool plain = point > -6 && point <= 21;
    int whole = plain ? point : 1, exponent = point - 1;
    if (negative) *at++ = '-';
    if (whole <= 0) *at++ = '0';
    for (int i = 0; i < whole || i < count; i++) {
        if (i == (whole > 0 ? whole : 0)) {
            *at++ = '.';
            for (int zero = whole; zero < 0; zero++) *at++ = '0';
        }
        *at++ = (char)('0' + (i < count ? digits[i] : 0));
    }
    if (!plain) {
        *at++ = 'e';
        if (exponent < 0) *at++ = '-', exponent = -exponent;
        if (exponent >= 100) *at++ = (char)('0' + exponent / 100);
        if (exponent >= 10) *at++ = (char)('0' + exponent / 10 % 10);
        *at++ = (char)('0' + exponent % 10);
    }
    *at = 0;
    return at;
}

const char *decimal_print(double value, char text[DECIMAL_TEXT_SIZE]) {
    Decimal d;
    uint64_t bits;
    uint8_t digits[20];
    memcpy(&bits, &value, 8);
    bool negative = bits >> 63;
    int biased = (int)(bits >> 52 & 0x7ff), point;
    uint64_t mantissa = (bits & ((UINT64_C(1) << 52) - 1)) | (uint64_t)(biased > 0) << 52;
    d.count = d.point = 0, d.more = false;
    if (mantissa == 0) return memcpy(text, negative ? "-0" : "0", negative ? 3 : 2);
    for (uint64_t left = mantissa; left; left /= 10) d.count++;
    d.point = d.count;
    for (int i = d.count; i-- > 0; mantissa /= 10) d.digits[i] = (uint8_t)(mantissa % 10);
    decimal_trim(&d);
    decimal_scale(&d, (biased ? biased : 1) - 1075);
    for (int wanted = 1; wanted <= 17; wanted++) {
        int count = decimal_cut(&d, wanted, digits, &point);
        const char *end = decimal_write(text, negative, digits, count, point);
        double back = decimal_to_double(span_of((const uint8_t *)text, (size_t)(end - text)));
        if (memcmp(&back, &value, 8) == 0) break;
    }
    return text;
}
