/* textform.c - ISO 8601 and base64. Calendar: Howard Hinnant's days_from_civil, which is
 * exact for the proleptic Gregorian calendar. */
#include "base/textform.h"

#include "base/limits.h"

#include <stdio.h>

/* ---- timestamps ---- */

static int64_t textform_days(int64_t year, int64_t month, int64_t day) {
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool textform_leap(int64_t year) {
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int64_t textform_month_days(int64_t year, int64_t month) {
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && textform_leap(year));
}

/* Exactly `digits` digits from *text. */
static bool textform_number(Span *text, size_t digits, int64_t *number) {
    int64_t n = 0;
    if (text->size < digits) return false;
    for (size_t i = 0; i < digits; i++) {
        uint8_t c = text->data[i];
        if (c < '0' || c > '9') return false;
        n = n * 10 + (c - '0');
    }
    *text = span_of(text->data + digits, text->size - digits);
    *number = n;
    return true;
}

static bool textform_char(Span *text, char c) {
    if (text->size == 0 || text->data[0] != (uint8_t)c) return false;
    *text = span_of(text->data + 1, text->size - 1);
    return true;
}

static bool textform_date(Span *text, int64_t *days) {
    int64_t year = 0, month = 1, day = 1;
    bool minus = textform_char(text, '-'), plus = !minus && textform_char(text, '+');
    if (!textform_number(text, minus || plus ? 6 : 4, &year)) return false;
    if (minus) year = -year;
    if (!textform_char(text, '-') || !textform_number(text, 2, &month)) return false;
    if (!textform_char(text, '-') || !textform_number(text, 2, &day)) return false;
    if (month < 1 || month > 12 || day < 1 || day > textform_month_days(year, month)) return false;
    *days = textform_days(year, month, day);
    return true;
}

static bool textform_fraction(Span *text,
                              int64_t *ms) { /* what is finer than a millisecond is cut */
    int64_t unit = 100, digit = 0;
    *ms = 0;
    if (!textform_number(text, 1, &digit)) return false;
    do {
        *ms += digit * unit;
        unit /= 10;
    } while (textform_number(text, 1, &digit));
    return true;
}

static bool textform_time(Span *text, int64_t *ms) {
    int64_t hour = 0, minute = 0, second = 0, fraction = 0;
    if (!textform_number(text, 2, &hour) || !textform_char(text, ':') ||
        !textform_number(text, 2, &minute))
        return false;
    if (textform_char(text, ':')) {
        if (!textform_number(text, 2, &second)) return false;
        if (textform_char(text, '.') && !textform_fraction(text, &fraction)) return false;
    }
    if (hour > 24 || minute > 59 || second > 59 || (hour == 24 && (minute || second || fraction)))
        return false;
    *ms = ((hour * 60 + minute) * 60 + second) * 1000 + fraction;
    return true;
}

static bool textform_offset(Span *text, int64_t *minutes) {
    int64_t hour = 0, minute = 0;
    if (textform_char(text, 'Z')) return true;
    bool minus = textform_char(text, '-');
    if (!minus && !textform_char(text, '+')) return true;
    if (!textform_number(text, 2, &hour) || !textform_char(text, ':') ||
        !textform_number(text, 2, &minute))
        return false;
    if (hour > 23 || minute > 59) return false;
    *minutes = (hour * 60 + minute) * (minus ? -1 : 1);
    return true;
}

bool timestamp_parse(Span text, int64_t *milliseconds) {
    int64_t days = 0, ms = 0, offset = 0;
    if (!textform_date(&text, &days)) return false;
    if (text.size > 0) {
        if (!textform_char(&text, 'T') && !textform_char(&text, ' ')) return false;
        if (!textform_time(&text, &ms) || !textform_offset(&text, &offset)) return false;
    }
    int64_t total = days * 86400000 + ms - offset * 60000;
    if (text.size > 0 || total > LIMIT_TIMESTAMP_MS || total < -LIMIT_TIMESTAMP_MS) return false;
    *milliseconds = total;
    return true;
}

size_t timestamp_print(int64_t milliseconds, char text[TIMESTAMP_TEXT_SIZE]) {
    int64_t ms = milliseconds % 86400000, days = milliseconds / 86400000;
    if (ms < 0) ms += 86400000, days--;
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097, of_era = days - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100),
            shifted = (5 * of_year + 2) / 153;
    int day = (int)(of_year - (153 * shifted + 2) / 5 + 1),
        month = (int)(shifted < 10 ? shifted + 3 : shifted - 9);
    year += era * 400 + (month <= 2);
    const char *form = year < 0      ? "-%06lld-%02d-%02dT%02d:%02d:%02d.%03dZ"
                       : year > 9999 ? "+%06lld-%02d-%02dT%02d:%02d:%02d.%03dZ"
                                     : "%04lld-%02d-%02dT%02d:%02d:%02d.%03dZ";
    int size = snprintf(text, TIMESTAMP_TEXT_SIZE, form, (long long)(year < 0 ? -year : year),
                        month, day, (int)(ms / 3600000), (int)(ms / 60000 % 60),
                        (int)(ms / 1000 % 60), (int)(ms % 1000));
    return (size_t)size;
}

/* ---- base64 ---- */

char *base64_print(Span bytes, char *at) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t n = (uint32_t)bytes.data[i] << 16;
        if (left > 1) n |= (uint32_t)bytes.data[i + 1] << 8;
        if (left > 2) n |= bytes.data[i + 2];
        *at++ = digits[n >> 18];
        *at++ = digits[n >> 12 & 63];
        *at++ = left > 1 ? digits[n >> 6 & 63] : '=';
        *at++ = left > 2 ? digits[n & 63] : '=';
    }
    return at;
}

static int textform_digit64(uint8_t c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_parse(Span text, uint8_t *at, size_t *size) {
    size_t count = text.size, written = 0;
    if (count % 4 == 0)
        for (int i = 0; i < 2 && count > 0 && text.data[count - 1] == '='; i++) count--;
    if (count % 4 == 1) return false;
    uint32_t bits = 0;
    for (size_t i = 0; i < count; i++) {
        int digit = textform_digit64(text.data[i]);
        if (digit < 0) return false;
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4 != 0)
            at[written++] = (uint8_t)(bits >> (6 - 2 * (i % 4))); /* 4, 2 or 0 bits are left */
    }
    if (count % 4 != 0 && (bits & (count % 4 == 2 ? 15u : 3u)) != 0)
        return false; /* bits that belong to nothing */
    *size = written;
    return true;
}
