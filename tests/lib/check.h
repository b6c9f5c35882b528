/* check.h - the harness of the C tests.
 *
 * tests/core/NAME_test.c defines `void NAME_test(void)`, which says RUN(law) for
 * each of its static functions `void law(void)`; make lists the suites. The name
 * of a test is the law that it shows.
 *
 * 1. A check that fails is printed with file and line and counted; the test goes
 *    on, for WebAssembly has no longjmp. Where going on makes no sense, say
 *    REQUIRE, or `if (!CHECK(...)) return ...;` in a function that answers.
 * 2. Only the first few failures of a test are printed.
 * 3. A random test takes its numbers from test_random(&state), state starting at
 *    test_seed(): the same seed, the same run, on every host. */
#ifndef NACRE_TESTS_CHECK_H
#define NACRE_TESTS_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHECK_HERE __FILE__, __LINE__
/* Refuses to compile for float and double: those want CHECK_NEAR. */
#define CHECK_INTEGER(x) ((long long)_Generic((x), float: (void)0, double: (void)0, default: (x)))

/* Each is an expression: true when it held. */
#define CHECK(condition) check_that(CHECK_HERE, #condition, (condition))
#define CHECK_EQ(got, want)                                                                        \
    check_eq(CHECK_HERE, #got " == " #want, CHECK_INTEGER(got), CHECK_INTEGER(want))
#define CHECK_NEAR(got, want, tolerance)                                                           \
    check_near(CHECK_HERE, #got " ~ " #want, (double)(got), (double)(want), (double)(tolerance))
#define CHECK_STR(got, want) check_str(CHECK_HERE, #got " == " #want, (got), (want))
#define CHECK_BYTES(got, got_size, want, want_size)                                                \
    check_bytes(CHECK_HERE, #got " == " #want, (got), (got_size), (want), (want_size))

/* Ends the test (a function that returns nothing) when it does not hold. */
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!check_that(CHECK_HERE, #condition, (condition))) return;                              \
    } while (0)

#define RUN(law) check_run(#law, law)

/* The seed of this run: --seed N, or a constant. */
uint64_t test_seed(void);
/* The next of a sequence of random numbers (splitmix64). */
uint64_t test_random(uint64_t *state);
/* An empty directory that is removed afterwards (--dir PATH), or NULL: skip then. */
const char *test_dir(void);

bool check_that(const char *file, int line, const char *text, bool held);
bool check_eq(const char *file, int line, const char *text, long long got, long long want);
bool check_near(const char *file, int line, const char *text, double got, double want,
                double tolerance);
bool check_str(const char *file, int line, const char *text, const char *got, const char *want);
bool check_bytes(const char *file, int line, const char *text, const void *got, size_t got_size,
                 const void *want, size_t want_size);
void check_run(const char *law, void (*body)(void));
/* On an emulated processor (TEST_EMULATED in the environment)? Laws of arithmetic that others show
 * there, and that take minutes there, are left out: RUN_FAST. */
bool test_emulated(void);
#define RUN_FAST(law) (test_emulated() ? (void)0 : check_run(#law, law))

typedef struct CheckSuite {
    const char *name;
    void (*run)(void);
} CheckSuite;
extern const CheckSuite check_suites[]; /* generated; ends with a NULL name */

#endif
