/* status.h - failing and passing failures on.
 *
 * Two macros, and no third: TRY returns a failure, TRY_OUT goes to the one exit
 * `out:` of a function that holds something (and has a local `status`). */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#include "nacre.h"

#define TRY(call)                                     \
    do {                                              \
        nacre_status try_status = (call);             \
        if (try_status != NACRE_OK) return try_status; \
    } while (0)

#define TRY_OUT(call)                       \
    do {                                    \
        status = (call);                    \
        if (status != NACRE_OK) goto out;   \
    } while (0)

/* Our own bugs stop the program, in release too: going on would harm data. */
#define ASSERT(condition)                                                    \
    do {                                                                     \
        if (!(condition)) assert_failed(#condition, __FILE__, __LINE__);     \
    } while (0)

#if defined(__GNUC__) || defined(__clang__)
__attribute__((noreturn, cold))
#endif
void assert_failed(const char *condition, const char *file, int line);

#endif
