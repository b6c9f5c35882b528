/* print.c - snprintf for the reactors: the conversions that the library's messages have, %s %c %d %u
 * %x with what stands before them (0, width, precision, l ll z), and no others. The C library's would be
 * four times as large, most of it for floats. The size that is returned is that of the whole text, as
 * everywhere. */
#include "base/span.h"
#include "base/status.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct Print {
    char *at;
    size_t size, used; /* used may be beyond size */
} Print;

static void print_char(Print *p, char c) {
    if (p->used + 1 < p->size) p->at[p->used] = c;
    p->used++;
}

static void print_padded(Print *p, const char *text, size_t size, size_t width, char pad) {
    for (size_t i = size; i < width; i++) print_char(p, pad);
    for (size_t i = 0; i < size; i++) print_char(p, text[i]);
}

static void print_number(Print *p, uint64_t number, bool negative, unsigned base, size_t width, char pad) {
    char digits[24];
    size_t at = sizeof digits;
    do digits[--at] = "0123456789abcdef"[number % base];
    while (number /= base);
    if (negative && pad == '0') print_char(p, '-'), width -= width > 0;
    if (negative && pad == ' ') digits[--at] = '-';
    print_padded(p, digits + at, sizeof digits - at, width, pad);
}

/* A number in the format, or an argument where there is a star. */
#define PRINT_COUNT(value)                                                                                             \
    do {                                                                                                               \
        (value) = 0;                                                                                                   \
        if (*format == '*') {                                                                                          \
            int given = va_arg(list, int);                                                                             \
            (value) = given < 0 ? 0 : (size_t)given;                                                                   \
            format++;                                                                                                  \
        }                                                                                                              \
        for (; *format >= '0' && *format <= '9'; format++) (value) = (value) * 10 + (size_t)(*format - '0');           \
    } while (0)

int vsnprintf(char *restrict into, size_t size, const char *restrict format, va_list list) {
    Print p = {into, size, 0};
    for (; *format; format++) {
        if (*format != '%') {
            print_char(&p, *format);
            continue;
        }
        size_t width, precision = SIZE_MAX;
        char pad = *++format == '0' ? '0' : ' ';
        PRINT_COUNT(width);
        if (*format == '.') {
            format++;
            PRINT_COUNT(precision);
        }
        int longs = 0;
        for (; *format == 'l'; format++) longs++;
        if (*format == 'z') format++, longs = sizeof(size_t) == sizeof(long long) ? 2 : 0;
        switch (*format) {
        case '%': print_char(&p, '%'); break;
        case 'c': print_char(&p, (char)va_arg(list, int)); break;
        case 's': {
            const char *text = va_arg(list, const char *);
            size_t length = 0;
            while (length < precision && text[length]) length++;
            print_padded(&p, text, length, width, ' ');
            break;
        }
        case 'd': {
            int64_t number = longs == 2 ? va_arg(list, long long) : longs ? va_arg(list, long) : va_arg(list, int);
            print_number(&p, number < 0 ? UINT64_C(0) - (uint64_t)number : (uint64_t)number, number < 0, 10, width, pad);
            break;
        }
        case 'u':
        case 'x': {
            uint64_t number = longs == 2 ? va_arg(list, unsigned long long)
                              : longs    ? va_arg(list, unsigned long)
                                         : va_arg(list, unsigned);
            print_number(&p, number, false, *format == 'x' ? 16 : 10, width, pad);
            break;
        }
        default: ASSERT(*format == 0); /* no other conversion is known here */
        }
    }
    if (size) into[p.used < size ? p.used : size - 1] = 0;
    return p.used > INT_MAX ? -1 : (int)p.used;
}

int snprintf(char *restrict into, size_t size, const char *restrict format, ...) {
    va_list list;
    va_start(list, format);
    int used = vsnprintf(into, size, format, list);
    va_end(list);
    return used;
}
